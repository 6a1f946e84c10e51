"""Evidence for a table of columns: tests from counts, and what remains of it after looking many times."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from plogp.estimate.counts import CountTable
from plogp.estimate.independence import independence_test

__all__ = ["Correction", "adjusted", "homogeneity", "rank_sum"]

Floats = npt.NDArray[np.float64]
Correction = Literal["bh", "by", "holm", "none"]


def homogeneity(table: npt.ArrayLike) -> float:
    """Return the p-value of the independence of rows and columns of a table of counts.

    The G test with Williams' correction where every expected count is 5 or more, else Pearson's X² with its exact
    permutation mean and variance, which stays valid with hundreds of rare states.

    >>> homogeneity([[50, 50], [50, 50]])
    1.0
    >>> homogeneity([[90, 10], [50, 50]]) < 1e-8
    True
    """
    t = np.asarray(table, dtype=np.int64)
    t = t[t.sum(axis=1) > 0][:, t.sum(axis=0) > 0]
    if t.size == 0 or min(t.shape) < 2:
        return 1.0
    return min(1.0, independence_test(CountTable.from_counts(t), (0,), (1,)).p_value)


def rank_sum(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the two-sided p-value of the Wilcoxon-Mann-Whitney test from counts of ordered states.

    Ties within a state have their mid-rank, and the variance is corrected for them; normal law.

    >>> rank_sum([30, 20, 10], [10, 20, 30]) < 1e-4
    True
    >>> rank_sum([10, 20, 10], [5, 10, 5])
    1.0

    References
    ----------
    Mann and Whitney (1947); correction for ties: Lehmann (1975), Nonparametrics.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n, m = x.sum(), y.sum()
    both, total = x + y, n + m
    if n < 1 or m < 1 or total < 3:
        return 1.0
    mid_rank = np.cumsum(both) - both / 2 + 0.5
    statistic = float(x @ mid_rank) - n * (total + 1) / 2
    ties = float((both**3 - both).sum()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - ties)
    if variance <= 0:
        return 1.0
    return float(min(1.0, 2 * special.ndtr(-abs(statistic) / math.sqrt(variance))))


def adjusted(p_values: npt.ArrayLike, method: Correction = "bh") -> Floats:
    """Return the p-values after correction for having looked at all of them.

    ``"bh"`` (Benjamini-Hochberg) and ``"by"`` (Benjamini-Yekutieli, any dependence) control the share of false
    finds, ``"holm"`` the chance of a single one.

    >>> adjusted([0.01, 0.02, 0.03]).round(3).tolist()
    [0.03, 0.03, 0.03]
    >>> adjusted([0.01, 0.04, 0.03], "holm").round(3).tolist()
    [0.03, 0.06, 0.06]

    Raises
    ------
    ValueError
        For values outside [0, 1] or an unknown method.

    References
    ----------
    Benjamini and Hochberg (1995); Benjamini and Yekutieli (2001); Holm (1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p_values must be a list of numbers between 0 and 1")
    m = len(p)
    if method == "none" or m == 0:
        return p.copy()
    order = np.argsort(p, kind="stable")
    rank = np.arange(1, m + 1)
    if method in ("bh", "by"):
        factor = float((1.0 / rank).sum()) if method == "by" else 1.0
        sorted_p = np.minimum.accumulate((p[order] * m * factor / rank)[::-1])[::-1]
    elif method == "holm":
        sorted_p = np.maximum.accumulate(p[order] * (m - rank + 1))
    else:
        raise ValueError(f"correction must be 'bh', 'by', 'holm' or 'none', got {method!r}")
    out = np.empty(m)
    out[order] = np.minimum(sorted_p, 1.0)
    return out
