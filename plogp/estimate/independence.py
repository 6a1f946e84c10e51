"""Tests that discrete variables are independent (given others), from counts.

With enough samples in every cell the G statistic (2 N times the plug-in information) is chi-squared. In sparse
tables it is not, by far; there Pearson's X² is compared with a gamma law that has its exact mean and variance
under permutation of the labels (Haldane 1940; Dawson 1954), which costs no permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import special

from plogp.estimate.counts import CountTable
from plogp.estimate.laws import chi2_sf

__all__ = ["IndependenceTest", "independence_test", "mutual_independence_test"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class IndependenceTest:
    """Outcome of a test of (conditional, mutual) independence.

    Attributes
    ----------
    statistic, df, p_value : float
        The statistic, its degrees of freedom under independence, and the p-value.
    name : str
        ``"G, chi-squared"`` or ``"X², permutation moments"``.
    expected : float
        Smallest expected count of a cell; below 5 the chi-squared law is not used.
    """

    statistic: float
    df: float
    p_value: float
    name: str
    expected: float


@dataclass(frozen=True)
class _Parts:
    """What both tests need, summed over strata: they add."""

    g: float
    df: float
    x2: float
    mean: float
    variance: float
    expected: float
    williams: float  # df-weighted sum of Williams' corrections

    def __add__(self, other: _Parts) -> _Parts:
        return _Parts(
            self.g + other.g,
            self.df + other.df,
            self.x2 + other.x2,
            self.mean + other.mean,
            self.variance + other.variance,
            min(self.expected, other.expected),
            self.williams + other.williams,
        )

    def test(self) -> IndependenceTest:
        if self.df <= 0:
            return IndependenceTest(0.0, 0.0, 1.0, "no freedom: a variable is constant", self.expected)
        if self.expected >= 5:
            g = self.g / (self.williams / self.df)  # Williams 1976: makes the mean of G that of chi-squared
            return IndependenceTest(self.g, self.df, chi2_sf(g, self.df), "G, chi-squared", self.expected)
        name = "X², permutation moments"
        if self.variance <= 1e-12 * max(self.mean, 1.0) ** 2:
            return IndependenceTest(self.x2, self.df, 1.0, name, self.expected)  # the margins fix the table
        shape, scale = self.mean**2 / self.variance, self.variance / self.mean
        p = float(special.gammaincc(shape, self.x2 / scale))
        if self.x2 <= self.mean:  # a gamma law of tiny shape has nearly all its mass at 0
            p = max(p, chi2_sf(self.x2, self.df))
        return IndependenceTest(self.x2, self.df, p, name, self.expected)


def independence_test(
    table: CountTable, a: Sequence[int], b: Sequence[int], given: Sequence[int] = ()
) -> IndependenceTest:
    """Test that axes `a` are independent of axes `b` within every state of axes `given`.

    Examples
    --------
    >>> t = CountTable.from_counts([[30, 10], [10, 30]])
    >>> test = independence_test(t, [0], [1])
    >>> round(test.statistic, 3), test.df, test.p_value < 1e-4
    (20.93, 1.0, True)
    """
    return _parts(table, tuple(a), tuple(b), tuple(given)).test()


def mutual_independence_test(table: CountTable) -> IndependenceTest:
    """Test that all axes are independent of one another: each against all that come before it."""
    d = len(table.shape)
    parts = [_parts(table.project(range(k + 1))[0], tuple(range(k)), (k,), ()) for k in range(1, d)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total.test()


def _parts(table: CountTable, a: tuple[int, ...], b: tuple[int, ...], given: tuple[int, ...]) -> _Parts:
    full, _ = table.project(a + b + given)
    ia, ib = range(len(a)), range(len(a), len(a) + len(b))
    iz = tuple(range(len(a) + len(b), len(a) + len(b) + len(given)))
    in_a, cell_a = full.project((*ia, *iz))
    in_b, cell_b = full.project((*ib, *iz))
    in_z, cell_z = full.project(iz)
    strata = len(in_z.counts)
    z_of_a = np.empty(len(in_a.counts), np.intp)
    z_of_a[cell_a] = cell_z
    z_of_b = np.empty(len(in_b.counts), np.intp)
    z_of_b[cell_b] = cell_z
    n, na, nb = (t.counts.astype(float) for t in (in_z, in_a, in_b))
    cells = full.counts.astype(float)
    expected = na[cell_a] * nb[cell_b] / n[cell_z]
    g = 2 * float(special.xlogy(cells, cells / expected).sum())

    def per_stratum(which: npt.NDArray[np.intp], values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(which, weights=values, minlength=strata), np.float64)

    x2 = n * (per_stratum(cell_z, cells**2 / (na[cell_a] * nb[cell_b])) * n - n) / n
    r, c = per_stratum(z_of_a, np.ones_like(na)), per_stratum(z_of_b, np.ones_like(nb))
    inverse_r, inverse_c = n * per_stratum(z_of_a, 1 / na), n * per_stratum(z_of_b, 1 / nb)
    df = (r - 1) * (c - 1)
    free = df > 0
    if not free.any():
        return _Parts(0.0, 0.0, 0.0, 0.0, 0.0, float("inf"), 0.0)
    smallest_a, smallest_b = np.full(strata, np.inf), np.full(strata, np.inf)
    np.minimum.at(smallest_a, z_of_a, na)
    np.minimum.at(smallest_b, z_of_b, nb)
    mean, variance = _moments(n[free], r[free], c[free], inverse_r[free], inverse_c[free])
    for i in np.flatnonzero(n[free] <= 3):  # the formula needs n > 3
        z = np.flatnonzero(free)[i]
        mean[i], variance[i] = _enumerated(na[z_of_a == z], nb[z_of_b == z])
    williams = df[free] + (inverse_r[free] - 1) * (inverse_c[free] - 1) / (6 * n[free])
    return _Parts(
        g,
        float(df[free].sum()),
        float(x2[free].sum()),
        float(mean.sum()),
        float(variance.sum()),
        float((smallest_a * smallest_b / n)[free].min()),
        float(williams.sum()),
    )


def _moments(
    n: FloatArray, r: FloatArray, c: FloatArray, inverse_r: FloatArray, inverse_c: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of X² over all tables with the same margins; `inverse_r` is N Σ 1/n_i."""
    with np.errstate(divide="ignore", invalid="ignore"):
        u1, v1 = (inverse_r - r**2) / (n - 2), (n - r) * (r - 1) / (n - 1)
        u2, v2 = (inverse_c - c**2) / (n - 2), (n - c) * (c - 1) / (n - 1)
        mean = n / (n - 1) * (r - 1) * (c - 1)
        variance = 2 * n / (n - 3) * (v1 - u1) * (v2 - u2) + n**2 / (n - 1) * u1 * u2
    return mean, np.maximum(variance, 0.0)


def _enumerated(na: FloatArray, nb: FloatArray) -> tuple[float, float]:
    """The same moments for 2 or 3 samples, from all their permutations."""
    a, b = np.repeat(np.arange(len(na)), na.astype(int)), np.repeat(np.arange(len(nb)), nb.astype(int))
    n, values = len(a), []
    for order in permutations(range(n)):
        t = np.zeros((len(na), len(nb)))
        np.add.at(t, (a, b[list(order)]), 1)
        values.append(n * ((t**2 / np.outer(na, nb)).sum() - 1))
    return float(np.mean(values)), float(np.var(values))
