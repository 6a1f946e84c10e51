"""How Rényi's, Bhattacharyya's and the metric divergences hang on one f-divergence, for those who estimate them.

An estimator of f-divergences serves every divergence that is a monotone function of one: estimate the inner
value, then map it and the ends of its interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plogp.measures import Dissimilarity, Divergence, Estimate, divergence
from plogp.measures.arrays import namespace
from plogp.measures.transforms import Bhattacharyya, OfDivergence, Renyi
from plogp.measures.uncertainty import IntervalLaw, Normal

__all__ = ["Link", "link_of"]


@dataclass(frozen=True)
class Link:
    """A divergence as ``outer(inner value)``, with `outer` increasing.

    Attributes
    ----------
    target : Dissimilarity
        What is wanted.
    inner : Divergence
        The f-divergence it is a function of; the target itself if it is one.
    outer : callable
        The function, on [0, inner.upper_bound].
    order : float or None
        a, if the target is a function of the power integral ∫ p^a q^(1-a).
    """

    target: Dissimilarity
    inner: Divergence
    outer: Callable[[float], float]
    order: float | None = None

    def of_power(self, integral: float) -> float:
        """Return the target's value for a given ∫ p^a q^(1-a)."""
        if self.order is None:
            raise ValueError(f"{self.target!r} is no function of a power integral")
        return self.outer((integral - 1.0) / (self.order * (self.order - 1.0)))

    def carry(self, estimate: Estimate) -> Estimate:
        """Turn an estimate of the inner divergence into one of the target: value, interval, unit and s.e."""
        if self.target is self.inner:
            return estimate
        value = self.outer(estimate.value)
        law, se = None, None
        if estimate.has_interval:
            assert estimate.se is not None
            law = _Mapped(estimate.law or Normal(estimate.value, estimate.se), self.outer)
            low, high = law(0.6826894921370859)  # half of the interval of one standard error
            se = (high - low) / 2
        return replace(estimate, value=value, se=se, law=law, unit=self.target.unit, terms=None)


@dataclass(frozen=True)
class _Mapped:
    """An interval law seen through an increasing function."""

    law: IntervalLaw
    outer: Callable[[float], float]

    def __call__(self, level: float) -> tuple[float, float]:
        low, high = self.law(level)
        return self.outer(low), self.outer(high)


def _itself(d: Any) -> Link:
    return Link(d, d, float)


def _renyi(d: Any) -> Link:
    a = d.alpha
    if a == 0.0:
        raise ValueError("the Rényi divergence of order 0 depends on supports alone; samples do not show them")

    def outer(v: float) -> float:
        integral = 1.0 + a * (a - 1.0) * v
        return math.log(integral) / (a - 1.0) if integral > 0 else math.copysign(math.inf, 1.0 - a)

    return Link(d, divergence("alpha", a=a), outer, a)


def _bhattacharyya(d: Any) -> Link:
    half = _renyi(divergence("renyi", alpha=0.5))
    return Link(d, half.inner, lambda v: 0.5 * half.outer(v), 0.5)


def _of_divergence(d: Any) -> Link:
    top = d.inner.upper_bound

    def outer(v: float) -> float:
        # A distance starts at 0: an inner value below it (noise) is kept as a negative number.
        inside = min(abs(v), top)
        return math.copysign(float(d._finish(namespace(np.empty(0)), np.asarray(inside))), v)

    return Link(d, d.inner, outer)


#: What each kind of divergence hangs on; a new kind is a new row.
LINKS: dict[type, Callable[[Any], Link]] = {
    Divergence: _itself,
    Renyi: _renyi,
    Bhattacharyya: _bhattacharyya,
    OfDivergence: _of_divergence,
}


def link_of(d: str | Dissimilarity) -> Link:
    """Return the f-divergence behind `d`, and how `d` hangs on it.

    Raises
    ------
    ValueError
        If `d` is no function of one f-divergence (Chernoff, max-divergence, Hilbert, Bregman, quantum).

    Examples
    --------
    >>> link = link_of(divergence("renyi", alpha=0.5))
    >>> link.inner, round(link.outer(4 * (1 - np.exp(-0.125))), 6)
    (divergence('alpha', a=0.5), 0.25)
    """
    target = divergence(d)
    for kind in type(target).__mro__:
        if kind in LINKS:
            return LINKS[kind](target)
    raise ValueError(
        f"{target!r} cannot be estimated from continuous samples here: it is no function of one f-divergence. "
        "Expected an f-divergence, Rényi, Bhattacharyya or a metric of one; or bin the samples first"
    )
