"""Binners: columns to few states, all with one interface (``fit``, ``bins_``, ``edges_``, ``transform``).

Missing values are their own state, rare categories are pooled, and supervised binners end with the exact
dynamic programme of `plogp.tables.partition`, so that a column that says nothing about the target ends in
one bin.
"""

from __future__ import annotations

import inspect
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.binning import quantile_edges
from plogp.tables.coding import Categories, Coding, Intervals
from plogp.tables.columns import Codes, Target, Values, code_target, read_columns
from plogp.tables.partition import (
    Monotonic,
    Penalty,
    cut_threshold,
    optimal_partition,
    optimal_partition_classes,
    pool,
)

__all__ = [
    "UNKNOWN",
    "Binner",
    "OptimalBinner",
    "QuantileBinner",
    "StumpBinner",
    "TreeBinner",
    "UserBinner",
    "cut_threshold",
    "optimal_partition",
    "optimal_partition_classes",
    "pool",
]

Floats = npt.NDArray[np.float64]

#: State of a category that was not there when the bins were made.
UNKNOWN = -1


class Binner(ABC):
    """What all binners share: they read any table, code it, and can be cloned as scikit-learn does it.

    Attributes
    ----------
    features_ : list of str
    bins_ : list of Intervals or Categories
        The coding of each column; missing is the last state of each, and rare categories share the one
        before.
    edges_ : list
        Inner edges of a numeric column; levels with a state of their own of a categorical one.
    dropped_ : int
        Rows without a target, which supervised binners leave out.
    """

    max_bins: int
    min_bin_frac: float
    categorical: Sequence[str] | None

    #: Whether `fit` needs the target.
    supervised = True

    def fit(self, X: Any, y: Any = None) -> Binner:
        """Learn the bins of every column of a table (dict of arrays, data frame, array).

        Raises
        ------
        ValueError
            If a parameter is out of range, the target is missing or has one value, or lengths differ.
        """
        if not self.max_bins >= 2:
            raise ValueError(f"max_bins must be at least 2, got {self.max_bins!r}")
        if not 0 <= self.min_bin_frac < 0.5:
            raise ValueError(f"min_bin_frac must be at least 0 and below 0.5, got {self.min_bin_frac!r}")
        columns = read_columns(X)
        rows = len(next(iter(columns.values())))
        if rows == 0:
            raise ValueError("X must have at least one row")
        target = None
        if y is not None or self.supervised:
            if y is None:
                raise ValueError(f"{type(self).__name__} is supervised: fit(X, y) needs y")
            target = y if isinstance(y, Target) else code_target(y)
            if len(target.codes) != rows:
                raise ValueError(f"X has {rows} rows and y has {len(target.codes)}")
        self._check(columns)
        self.features_ = list(columns)
        self.dropped_ = 0 if target is None else target.dropped
        self.known_: dict[str, frozenset[Any]] = {}
        self.bins_ = self._fit_columns(columns, target)
        self.edges_ = [np.array(b.cuts) if isinstance(b, Intervals) else b.values for b in self.bins_]
        return self

    def transform(self, X: Any) -> Codes:
        """Return the (n, features) states: missing is the last of each coding, an unknown category is -1."""
        if not hasattr(self, "bins_"):
            raise ValueError(f"this {type(self).__name__} is not fitted yet: call fit first")
        columns = read_columns(X)
        absent = [f for f in self.features_ if f not in columns]
        if absent:
            raise ValueError(f"X lacks the columns {absent[:5]} that the bins were made for")
        codings = zip(self.features_, self.bins_)
        return np.column_stack([self._encode(name, coding, columns[name]) for name, coding in codings])

    def _encode(self, name: str, coding: Coding, column: Values) -> Codes:
        text = isinstance(coding, Categories) and not coding.numeric
        if text != (column.storage == "text") and not column.missing.all():
            then, now = ("text", "numbers") if text else ("numbers", "text")
            raise ValueError(f"column {name!r} held {then} when its bins were made and now holds {now}")
        codes = coding.encode(column.array)
        if isinstance(coding, Categories):
            levels, position = column.levels()
            strange = np.array([level not in self.known_[name] for level in levels] + [False], dtype=bool)
            codes[strange[position]] = UNKNOWN
        return codes

    def fit_transform(self, X: Any, y: Any = None) -> Codes:
        """Fit, then return the codes of the same rows."""
        return self.fit(X, y).transform(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Binner:
        """Set constructor arguments and return self."""
        for name, value in params.items():
            if name not in inspect.signature(type(self)).parameters:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}")
            setattr(self, name, value)
        return self

    def _check(self, columns: Mapping[str, Values]) -> None:
        for name in self.categorical or ():
            if name not in columns:
                raise ValueError(f"categorical names a column {name!r} that is not in X")

    def _is_numeric(self, name: str, column: Values) -> bool:
        return column.numeric and name not in (self.categorical or ())

    def _fit_columns(self, columns: Mapping[str, Values], target: Target | None) -> list[Coding]:
        out: list[Coding] = []
        for name, column in columns.items():
            if self._is_numeric(name, column):
                keep = ~column.missing if target is None else ~column.missing & (target.codes >= 0)
                edges = self._edges(name, column.array[keep], None if target is None else target.rows(keep))
                out.append(Intervals(tuple(float(e) for e in edges), dates=column.storage == "datetime"))
            else:
                out.append(self._levels(name, column))
        return out

    def _levels(self, name: str, column: Values) -> Coding:
        """Keep levels as states; pool those below the minimum share."""
        levels, codes = column.levels()
        counts = np.bincount(codes[codes >= 0], minlength=len(levels))
        common = counts >= self.min_bin_frac * max(int(counts.sum()), 1) * (1 - 1e-12)
        self.known_[name] = frozenset(levels)
        kept = tuple(level for level, keep in zip(levels, common) if keep)
        return Categories(kept, other=not common.all(), boolean=column.storage == "boolean")

    @abstractmethod
    def _edges(self, name: str, x: Floats, target: Target | None) -> Floats:
        """Return the inner edges of one numeric column from its present values."""


@dataclass
class QuantileBinner(Binner):
    """Bins of equal counts, without looking at the target. Ties may make fewer bins than asked.

    Parameters
    ----------
    max_bins : int
        Number of bins aimed at.
    min_bin_frac : float
        Levels of a categorical column below this share are pooled.
    categorical : sequence of str, optional
        Numeric columns to be read as categories.

    Examples
    --------
    >>> b = QuantileBinner(max_bins=4).fit({"x": [1.0, 2, 3, 4, 5, 6, 7, 8]})
    >>> b.edges_[0].tolist(), b.transform({"x": [0.0, 2.0, 2.5, 99.0]}).ravel().tolist()
    ([2.0, 4.0, 6.0], [0, 0, 1, 3])
    """

    max_bins: int = 10
    min_bin_frac: float = 0.05
    categorical: Sequence[str] | None = None

    supervised = False

    def _edges(self, name: str, x: Floats, target: Target | None) -> Floats:
        return quantile_cuts(x, self.max_bins)


@dataclass
class UserBinner(Binner):
    """Bins by given inner edges: intervals (a, b], so the edges [30, 50] make three bins.

    Parameters
    ----------
    edges : mapping of str to sequence of float
        Inner edges of every numeric column; columns not named are categories.
    min_bin_frac : float
        Levels of a categorical column below this share are pooled; 0 keeps all.

    Examples
    --------
    >>> UserBinner({"age": [30, 50]}).fit_transform({"age": [30.0, 31.0, 80.0]}).ravel()
    array([0, 1, 2])
    """

    edges: Mapping[str, Sequence[float]]
    min_bin_frac: float = 0.0
    max_bins: int = 2  # not used: the edges say it

    supervised = False
    categorical = None

    def _is_numeric(self, name: str, column: Values) -> bool:
        return name in self.edges

    def _check(self, columns: Mapping[str, Values]) -> None:
        for name in self.edges:
            if name not in columns:
                raise ValueError(f"edges names a column {name!r} that is not in X")

    def _edges(self, name: str, x: Floats, target: Target | None) -> Floats:
        return np.asarray(self.edges[name], dtype=np.float64)


@dataclass
class OptimalBinner(Binner):
    """Exact optimal bins by dynamic programming over fine quantile bins and the best single cut.

    Parameters
    ----------
    max_bins, min_bin_frac, monotonic, divergence, penalty
        As in `optimal_partition`; `divergence` matters for a binary target only, others use mutual
        information.
    prebins : int
        Fine quantile bins that the programme chooses among.
    categorical : sequence of str, optional
        Numeric columns to be read as categories.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=2000)
    >>> y = x > 0.5
    >>> OptimalBinner().fit({"x": x, "noise": rng.normal(size=2000)}, y).edges_[1]
    array([], dtype=float64)
    """

    max_bins: int = 10
    min_bin_frac: float = 0.05
    monotonic: Monotonic = None
    divergence: Any = "jeffreys"
    penalty: Penalty = "significance"
    prebins: int = 64
    categorical: Sequence[str] | None = None

    def _edges(self, name: str, x: Floats, target: Target | None) -> Floats:
        assert target is not None
        fine, best = quantile_cuts(x, self.prebins), best_cut(x, target.codes, len(target.values))
        if len(best):  # quantiles are values of the sample: one of them may make the same cut
            fine = fine[fine != x[x <= best[0]].max()]
        return merge_edges(x, target, np.union1d(fine, best), self)


@dataclass
class TreeBinner(Binner):
    """Bins from the leaves of a small decision tree per column (scikit-learn), then merged exactly.

    Parameters
    ----------
    max_bins, min_bin_frac, monotonic, divergence, penalty, categorical
        As in `OptimalBinner`.
    """

    max_bins: int = 10
    min_bin_frac: float = 0.05
    monotonic: Monotonic = None
    divergence: Any = "jeffreys"
    penalty: Penalty = "significance"
    categorical: Sequence[str] | None = None

    def _edges(self, name: str, x: Floats, target: Target | None) -> Floats:
        assert target is not None
        if len(x) < 2:
            return np.empty(0)
        tree = _sklearn("tree")
        leaf = max(1, math.ceil(self.min_bin_frac * len(x)))
        options = {"max_leaf_nodes": self.max_bins, "min_samples_leaf": leaf, "random_state": 0}
        # On ranks the trees are the same, and neither infinite nor nearly equal values trouble single
        # precision.
        values, rank = np.unique(x, return_inverse=True)
        if target.numbers is not None:
            fitted = tree.DecisionTreeRegressor(**options).fit(rank[:, None], target.numbers)
        else:
            fitted = tree.DecisionTreeClassifier(criterion="entropy", **options)
            fitted = fitted.fit(rank[:, None], target.codes)
        inner = fitted.tree_.feature >= 0
        return merge_edges(x, target, _between(values, np.unique(np.floor(fitted.tree_.threshold[inner]))), self)


@dataclass
class StumpBinner(Binner):
    """Bins from the split points of gradient-boosted depth-1 trees, then merged exactly.

    Boosting with stumps is an additive model, a sum of step functions of single columns. The steps of a
    column are its candidate edges; the ``max_bins - 1`` with the largest total gain are kept, and neighbours
    that do not differ beyond noise (or are too small, or break the order) are merged by `optimal_partition`.

    Parameters
    ----------
    max_bins, min_bin_frac, monotonic, divergence, penalty, categorical
        As in `OptimalBinner`.
    backend : "auto", "xgboost" or "sklearn"
        "auto" takes xgboost where it is installed, else scikit-learn's histogram gradient boosting.
    joint : bool
        One boosted model of all columns (a column that others explain gets few splits) instead of one a
        column.
    rounds : int
        Boosting rounds a column.
    learning_rate : float
        Shrinkage of each round.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(size=2000)
    >>> y = rng.uniform(size=2000) < np.where(x > 0.7, 0.8, 0.2)
    >>> StumpBinner(backend="sklearn").fit({"x": x}, y).edges_[0].round(1)
    array([0.7])

    References
    ----------
    Friedman (2001) for boosting; the use of its splits as scorecard bins: arXiv 2509.09855 (2025).
    """

    max_bins: int = 10
    min_bin_frac: float = 0.05
    monotonic: Monotonic = None
    backend: str = "auto"
    divergence: Any = "jeffreys"
    penalty: Penalty = "significance"
    joint: bool = False
    rounds: int = 100
    learning_rate: float = 0.3
    categorical: Sequence[str] | None = None

    def _fit_columns(self, columns: Mapping[str, Values], target: Target | None) -> list[Coding]:
        if self.backend not in ("auto", "xgboost", "sklearn"):
            raise ValueError(f"backend must be 'auto', 'xgboost' or 'sklearn', got {self.backend!r}")
        self._joint_splits: dict[str, Floats] = {}
        numeric = [name for name, c in columns.items() if self._is_numeric(name, c)]
        if self.joint and numeric and target is not None:
            known = target.codes >= 0
            x = np.column_stack([columns[c].array[known] for c in numeric])
            splits = self._splits(x, target.rows(known), self.rounds * len(numeric))
            self._joint_splits = dict(zip(numeric, splits))
        bins = super()._fit_columns(columns, target)
        del self._joint_splits
        return bins

    def _edges(self, name: str, x: Floats, target: Target | None) -> Floats:
        assert target is not None
        if name in self._joint_splits:
            edges = self._joint_splits[name]
        elif len(np.unique(target.codes)) < 2 or len(x) < 2:
            edges = np.empty(0)
        else:
            edges = self._splits(x[:, None], target, self.rounds)[0]
        return merge_edges(x, target, edges, self)

    def _splits(self, x: Floats, target: Target, rounds: int) -> list[Floats]:
        """Return each column's split points with the largest total gain, ascending."""
        backend = self.backend
        if backend == "auto":
            from importlib.util import find_spec

            backend = "xgboost" if find_spec("xgboost") else "sklearn"
        smallest = max(1, math.ceil(self.min_bin_frac * len(x)))
        boost = _xgboost_splits if backend == "xgboost" else _sklearn_splits
        # Ranks: trees ask for the order only, and xgboost and scikit-learn round large or infinite values.
        values, ranks = [], np.full(x.shape, np.nan)
        for j, column in enumerate(x.T):
            present = ~np.isnan(column)
            levels, ranks[present, j] = np.unique(column[present], return_inverse=True)
            values.append(levels)
        split, left, gain = boost(ranks, target, rounds, self.learning_rate, smallest)
        out = []
        for j, levels in enumerate(values):
            points, index = np.unique(left[split == j], return_inverse=True)
            total = np.bincount(index, weights=gain[split == j], minlength=len(points))
            best = np.sort(points[np.argsort(-total, kind="stable")[: self.max_bins - 1]])
            out.append(_between(levels, best))
        return out


def quantile_cuts(x: Floats, bins: int) -> Floats:
    """Return inner edges that cut a column into `bins` parts of nearly equal counts, as far as ties allow.

    Infinite values have no say in where the edges lie; they fall in the outer bins.

    >>> quantile_cuts(np.array([1.0, 2.0, 3.0, 4.0, np.inf]), 2)
    array([2.])
    """
    finite = x[np.isfinite(x)]
    return quantile_edges(finite, bins) if len(finite) else np.empty(0)


def best_cut(x: Floats, codes: Codes, classes: int) -> Floats:
    """Return the single cut that keeps most mutual information with the classes (none if constant).

    Found among all values of the sample, so a column that determines the target keeps its exact threshold.

    >>> best_cut(np.array([0.1, 0.2, 0.3, 0.9]), np.array([0, 0, 0, 1]), 2)
    array([0.6])
    """
    order = np.argsort(x, kind="stable")
    xs = x[order]
    last = np.flatnonzero(xs[1:] > xs[:-1])
    if len(last) == 0:
        return np.empty(0)
    total, score = np.bincount(codes, minlength=classes), np.zeros(len(last))
    left_size = last + 1.0
    for k in range(classes):
        left = np.cumsum(codes[order] == k)[last].astype(np.float64)
        for part, size in ((left, left_size), (total[k] - left, len(x) - left_size)):
            score += np.where(part > 0, part * np.log(np.where(part > 0, part, 1.0) / size), 0.0)
    return _between(xs, last[[int(np.argmax(score))]])


def merge_edges(x: Floats, target: Target, candidates: Floats, rule: Any) -> Floats:
    """Keep of the candidate edges the ones that the exact partition keeps.

    `rule` holds max_bins, min_bin_frac, monotonic, divergence and penalty.
    """
    classes = len(target.values)
    if len(candidates) == 0 or len(np.unique(target.codes)) < 2:
        return np.empty(0)
    codes = np.searchsorted(candidates, x, side="left")
    counts = np.bincount(codes * classes + target.codes, minlength=(len(candidates) + 1) * classes)
    counts = counts.reshape(-1, classes)
    limits = {"max_bins": rule.max_bins, "min_share": rule.min_bin_frac, "monotonic": rule.monotonic}
    if target.kind == "binary":
        cuts = optimal_partition(counts[:, 1], counts[:, 0], divergence=rule.divergence, penalty=rule.penalty, **limits)
    else:
        values = np.arange(classes) if target.kind == "continuous" else None
        cuts = optimal_partition_classes(counts, penalty=rule.penalty, class_values=values, **limits)
    return candidates[cuts - 1]


def _between(values: Floats, left: npt.NDArray[Any]) -> Floats:
    """Return edges halfway between ascending values and their successors; the value itself where there is none.

    The value before a gap is also an edge of that gap, since bins are closed on the right.
    """
    i = left.astype(np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        middle = values[i] + 0.5 * (values[i + 1] - values[i])
    return np.where(np.isfinite(middle) & (middle < values[i + 1]), middle, values[i])


def _sklearn_splits(
    ranks: Floats, target: Target, rounds: int, rate: float, smallest: int
) -> tuple[Codes, Codes, Floats]:
    """Boost stumps; return of each one its column, the last rank left of its split, and its gain."""
    ensemble = _sklearn("ensemble")
    options = {
        "max_leaf_nodes": 2,
        "max_iter": rounds,
        "learning_rate": rate,
        "min_samples_leaf": smallest,
        "early_stopping": False,
        "random_state": 0,
    }
    if target.numbers is not None:
        model = ensemble.HistGradientBoostingRegressor(**options).fit(ranks, target.numbers)
    else:
        model = ensemble.HistGradientBoostingClassifier(**options).fit(ranks, target.codes)
    # scikit-learn shows the grown trees nowhere else than in this attribute.
    roots = [tree.nodes[0] for trees in model._predictors for tree in trees if len(tree.nodes) > 1]
    # A split of missing against present has an infinite threshold: missing has its own state anyway.
    roots = [root for root in roots if np.isfinite(root["num_threshold"])]
    column = np.array([root["feature_idx"] for root in roots], dtype=np.int64)
    left = np.array([np.floor(root["num_threshold"]) for root in roots], dtype=np.int64)
    return column, left, np.array([root["gain"] for root in roots], dtype=np.float64)


def _xgboost_splits(
    ranks: Floats, target: Target, rounds: int, rate: float, smallest: int
) -> tuple[Codes, Codes, Floats]:
    """Do as `_sklearn_splits` with xgboost."""
    try:
        import xgboost
    except ImportError as error:
        raise ImportError("backend='xgboost' needs xgboost: pip install xgboost") from error
    options: dict[str, Any] = {"max_depth": 1, "learning_rate": rate, "verbosity": 0, "seed": 0, "nthread": 1}
    label: npt.NDArray[Any] = target.codes
    if target.numbers is not None:
        label = target.numbers
        options |= {"objective": "reg:squarederror", "min_child_weight": smallest}
    elif len(target.values) == 2:
        options |= {"objective": "binary:logistic"}
    else:
        options |= {"objective": "multi:softprob", "num_class": len(target.values)}
    model = xgboost.train(options, xgboost.DMatrix(ranks, label=label), num_boost_round=rounds)
    stumps = [json.loads(text) for text in model.get_dump(dump_format="json", with_stats=True)]
    stumps = [stump for stump in stumps if "split" in stump]
    column = np.array([int(stump["split"][1:]) for stump in stumps], dtype=np.int64)
    # x < t goes left; a threshold at or below the lowest rank splits off the missing values only.
    left = np.array([math.ceil(stump["split_condition"]) - 1 for stump in stumps], dtype=np.int64)
    gain = np.array([stump["gain"] for stump in stumps], dtype=np.float64)
    highest = np.nanmax(ranks, axis=0, initial=0.0)
    inside = (left >= 0) & (left < highest[column])
    return column[inside], left[inside], gain[inside]


def _sklearn(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ImportError("plogp[sklearn] is needed for this binner: pip install 'plogp[sklearn]'") from error
