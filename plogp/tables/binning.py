"""Binners: columns to few states, all with one interface (``fit``, ``bins_``, ``edges_``, ``transform``).

Missing values are their own state, rare categories are pooled, and supervised binners end with the exact
dynamic programme of `plogp.tables.partition`, so that a column that says nothing about the target ends in
one bin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.tables.binner import UNKNOWN, Binner, best_cut, merge_edges, quantile_cuts
from plogp.tables.columns import Target, Values
from plogp.tables.partition import Monotonic, Penalty
from plogp.tables.tree_binners import StumpBinner, TreeBinner

__all__ = [
    "UNKNOWN",
    "Binner",
    "OptimalBinner",
    "QuantileBinner",
    "StumpBinner",
    "TreeBinner",
    "UserBinner",
]

Floats = npt.NDArray[np.float64]


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
