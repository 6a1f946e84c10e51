"""What all binners share: reading tables, coding columns, candidate edges and the exact choice among them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.binning import quantile_edges
from plogp.tables.coding import Categories, Coding, Intervals
from plogp.tables.columns import Codes, Target, Values, code_target, read_columns
from plogp.tables.partition import optimal_partition, optimal_partition_classes

__all__ = ["UNKNOWN", "Binner", "best_cut", "between", "merge_edges", "quantile_cuts"]

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
    return between(xs, last[[int(np.argmax(score))]])


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


def between(values: Floats, left: npt.NDArray[Any]) -> Floats:
    """Return edges halfway between ascending values and their successors; the value itself where there is none.

    The value before a gap is also an edge of that gap, since bins are closed on the right.
    """
    i = left.astype(np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        middle = values[i] + 0.5 * (values[i + 1] - values[i])
    return np.where(np.isfinite(middle) & (middle < values[i + 1]), middle, values[i])
