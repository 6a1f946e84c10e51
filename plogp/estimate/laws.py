"""Interval laws of estimates whose truth may lie on the boundary: a divergence that may be zero.

A plug-in divergence (mutual information, KL between two multinomials, ...) is nearly normal away from zero,
and nearly chi-squared at zero, where the normal interval fails. `Boundary` covers both with one family.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from plogp.measures.uncertainty import IntervalLaw

__all__ = ["Below", "Boundary", "Hull", "OneState", "UpTo", "Within", "chi2_sf", "noncentral_chi2_cdf"]


def chi2_sf(x: float, df: float) -> float:
    """Return P(χ²(df) >= x).

    >>> round(chi2_sf(3.841458820694124, 1), 12)
    0.05
    """
    return 1.0 if df <= 0 else float(special.gammaincc(df / 2, max(x, 0.0) / 2))


def noncentral_chi2_cdf(x: float, df: float, shift: float) -> float:
    """Return P(χ'²(df, shift) <= x), by Sankaran's normal approximation where the series would be long."""
    if x <= 0:
        return 0.0
    if df + shift < 1e3:
        return float(special.chndtr(x, df, shift))
    total, spread = df + shift, df + 2 * shift
    h = 1 - 2 * total * (df + 3 * shift) / (3 * spread**2)
    p = spread / total**2
    m = (h - 1) * (1 - 3 * h)
    mean = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    sd = h * math.sqrt(2 * p) * (1 + 0.5 * m * p)
    return float(special.ndtr(((x / total) ** h - mean) / sd))


@dataclass(frozen=True)
class Boundary:
    """Interval by inverting tests of ``rate · D̂ ~ c · χ'²(df / c, rate · D / c)``.

    The family has mean ``D + df / rate`` and variance ``4 c D / rate + 2 c df / rate²``. At D = 0 the plug-in
    statistic has c = 1, the chi-squared law; away from 0, c gives the family the variance se². Each end is
    tested with probability (1 - level) / 2; the lower end is never below 0.

    Parameters
    ----------
    value : float
        Bias-corrected value of D; ``rate · value + df`` is compared with the family.
    rate : float
        What makes ``rate · D̂`` chi-squared at D = 0 (2 N for mutual information).
    df : float
        Degrees of freedom there.
    se : float
        Standard error of the value, by the jackknife or the delta method.

    Examples
    --------
    >>> low, high = Boundary(value=0.0, rate=200.0, df=1.0, se=0.005)(0.95)
    >>> low, round(high, 3)
    (0.0, 0.044)
    """

    value: float
    rate: float
    df: float
    se: float

    @property
    def scale(self) -> float:
        """The factor c; a value of 0 or less says nothing against c = 1."""
        zero = self.df / self.rate
        c = self.rate * self.se**2 / (4 * max(self.value + zero, zero))
        return max(c, 1.0) if self.value <= 0 else max(c, 1e-9)

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the interval of probability `level`."""
        from scipy.optimize import brentq

        tail, c = (1 - level) / 2, self.scale

        def cdf(d: float, value: float) -> float:
            observed = max(self.rate * value + self.df, 0.0)
            return noncentral_chi2_cdf(observed / c, self.df / c, self.rate * d / c)

        def solve(target: float, value: float) -> float:
            """Find D with P(statistic <= observed | D) = target; 0 if that holds at no D."""
            if cdf(0.0, value) <= target:
                return 0.0
            high = max(value, 0.0) + 10 * self.se + 10 * (self.df + 1) / self.rate
            while cdf(high, value) > target:
                high *= 2
            return float(brentq(lambda d: cdf(d, value) - target, 0.0, high, xtol=1e-12, rtol=1e-9))

        # A value below 0 says no more about the upper end than a value of 0 does.
        return solve(1 - tail, self.value), solve(tail, max(self.value, 0.0))


@dataclass(frozen=True)
class Below:
    """Interval of ``top - D`` from the law of D: an entropy below its maximum."""

    top: float
    gap: Boundary

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the interval of probability `level`."""
        low, high = self.gap(level)
        # A bias-corrected value may come out above the maximum; the interval holds it all the same.
        return self.top - high, self.top - min(low, self.gap.value)


@dataclass(frozen=True)
class Hull:
    """The smallest interval around those of several laws: they differ where the bias is not known well."""

    laws: tuple[Boundary, ...]

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the interval of probability `level`."""
        ends = [law(level) for law in self.laws]
        return min(low for low, _ in ends), max(high for _, high in ends)


@dataclass(frozen=True)
class Within:
    """The interval of another law cut to where the truth can lie, but around the value in any case."""

    law: IntervalLaw
    value: float
    low: float = 0.0
    high: float = math.inf

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the interval of probability `level`."""
        low, high = self.law(level)
        return min(max(low, self.low), self.value), max(min(high, self.high), self.value)


@dataclass(frozen=True)
class UpTo:
    """Interval from 0 to the upper end of an entropy's: the samples say nothing about how much is shared."""

    entropy: IntervalLaw

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the interval of probability `level`."""
        return 0.0, self.entropy(level)[1]


@dataclass(frozen=True)
class OneState:
    """Interval of an entropy when all n samples were equal: another state may have probability up to q.

    q solves ``(1 - q)^n = (1 - level) / 2`` (about 3.7 / n at 95 %); the upper end is the entropy of (q, 1 - q).

    Examples
    --------
    >>> low, high = OneState(1000)(0.95)
    >>> low, round(high, 4)
    (0.0, 0.0243)
    """

    n: int

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the interval of probability `level`."""
        q = min(-math.expm1(math.log((1 - level) / 2) / self.n), 0.5)
        return 0.0, float(special.entr(q) + special.entr(1 - q))
