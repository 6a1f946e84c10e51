"""Binners whose candidate edges are the splits of trees: one small tree, or boosted depth-1 trees."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.tables.binner import Binner, between, merge_edges
from plogp.tables.coding import Coding
from plogp.tables.columns import Codes, Target, Values
from plogp.tables.partition import Monotonic, Penalty

__all__ = ["StumpBinner", "TreeBinner"]

Floats = npt.NDArray[np.float64]


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
        return merge_edges(x, target, between(values, np.unique(np.floor(fitted.tree_.threshold[inner]))), self)


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
            out.append(between(levels, best))
        return out


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
