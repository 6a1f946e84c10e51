"""Divergences that are no f-divergences: functions of one, or of two distributions as a whole.

They share the interface of :class:`Divergence` (probabilities, log-probabilities, logits; batched;
differentiable) but cannot be added, for their sums are no f-divergences.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.measures.arrays import Array, detach, logsumexp, non_negative, normalized_logs
from plogp.measures.divergence import Dissimilarity, Divergence, Pair
from plogp.measures.kl_family import JS
from plogp.measures.power_family import Alpha, Hellinger

__all__ = [
    "Bhattacharyya",
    "CauchySchwarz",
    "Chernoff",
    "FisherRao",
    "HellingerDistance",
    "Hilbert",
    "JSDistance",
    "MaxDivergence",
    "Renyi",
]


def _root(xp: Any, x: Array) -> Array:
    """Return √x with gradient 0 at exactly 0, where the true one is infinite."""
    zero = x <= 0
    return xp.where(zero, xp.zeros_like(x), xp.sqrt(xp.where(zero, xp.ones_like(x), x)))


def _log_moment(pair: Pair, s: Any) -> Array:
    """Return log Σ p^s q^(1-s) over the states where both have mass."""
    xp = pair.xp
    off = pair.off
    mixed = pair.second.finite_log_p + s * pair.r
    return logsumexp(xp.where(off, xp.full_like(mixed, -math.inf), mixed))


class OfDivergence(Dissimilarity):
    """A monotone function of an f-divergence's value."""

    unit = ""
    inner: Divergence
    _additive = True

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        return self.inner.symmetric

    def _reduce(self, pair: Pair) -> Array:
        return self.inner._reduce(pair)


class JSDistance(OfDivergence):
    """Jensen-Shannon distance √JS, a metric; at most √log 2. Source: Endres and Schindelin (2003)."""

    name, inner = "js_distance", JS()
    upper_bound = math.sqrt(math.log(2.0))

    def _finish(self, xp: Any, reduced: Array) -> Array:
        return _root(xp, reduced)


class HellingerDistance(OfDivergence):
    """Hellinger distance √(1 - Σ √(pq)), a metric; at most 1."""

    name, inner = "hellinger_distance", Hellinger()
    upper_bound = 1.0

    def _finish(self, xp: Any, reduced: Array) -> Array:
        return _root(xp, reduced)


class FisherRao(OfDivergence):
    """Fisher-Rao distance 2 arccos Σ √(pq): the length of the geodesic on the simplex; at most π."""

    name, inner = "fisher_rao", Hellinger()
    upper_bound = math.pi

    def _finish(self, xp: Any, reduced: Array) -> Array:
        # arccos(1 - h) = 2 arcsin √(h/2) keeps its digits for small h.
        chord = _root(xp, 0.5 * reduced)
        return 4.0 * xp.asin(xp.where(chord > 1.0, xp.ones_like(chord), chord))


class Renyi(Dissimilarity):
    """Rényi divergence log Σ p^α q^(1-α) / (α - 1) of order α in [0, ∞].

    α → 1 is `kl` (ask for that by name), α = ½ is -2 log Σ √(pq), α = 0 is -log Q(p > 0), α = ∞ is
    log max p/q. Source: Rényi (1961); van Erven and Harremoës (2014), arXiv 1206.2459.
    """

    name = "renyi"

    def __init__(self, alpha: float = 0.5):
        self.alpha = float(alpha)
        if not 0.0 <= self.alpha < math.inf or self.alpha == 1.0:
            raise ValueError(f"alpha must be in [0, ∞) and not 1, got {alpha!r} (1 is 'kl', ∞ is 'max_divergence')")
        self.symmetric = self.alpha == 0.5

    @property
    def parameters(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def _reduce(self, pair: Pair) -> Array:
        xp, order = pair.xp, self.alpha - 1.0
        moment = _log_moment(pair, self.alpha)
        value = moment / order
        missing = xp.any(pair.second.zero & ~pair.first.zero, axis=-1) if self.alpha > 1.0 else moment != moment
        # The moment is close to 1 near equality and for orders near 1, and its logarithm is then mostly rounding.
        # There the value is taken from the terms of the power divergence, which are small themselves.
        near = (xp.abs(detach(moment)) < 0.5) & ~missing
        if self.alpha > 0.0 and (not isinstance(moment, np.ndarray) or near.any()):
            power = Alpha(self.alpha)
            inside = power._log_term(pair, xp.where(near[..., None], pair.r, xp.zeros_like(pair.r)))
            at_zero = (pair.q * power.f0, pair.p * power.finf if order < 0.0 else 0.0)
            excess = self.alpha * order * xp.sum(pair.patch(inside, *at_zero), axis=-1)
            close = xp.log1p(xp.where(near, excess, xp.zeros_like(excess))) / order
            value = xp.where(near, close, value)
        return xp.where(missing, xp.full_like(value, math.inf), non_negative(xp, value))


class Bhattacharyya(Dissimilarity):
    """Bhattacharyya distance -log Σ √(pq), half the Rényi divergence of order ½."""

    name = "bhattacharyya"
    symmetric = True

    def _reduce(self, pair: Pair) -> Array:
        return 0.5 * Renyi(0.5)._reduce(pair)


class Chernoff(Dissimilarity):
    """Chernoff information max over s in (0, 1) of -log Σ p^s q^(1-s): the best exponent of a Bayes test.

    The maximiser is found by bisection of the objective's slope. A last Newton step, which is differentiated,
    gives first and second derivatives. Source: Chernoff (1952).
    """

    name = "chernoff"
    symmetric = True

    def _reduce(self, pair: Pair) -> Array:
        xp, r, off = pair.xp, pair.r, pair.off
        ends = xp.where(off, xp.full_like(r, -math.inf), pair.second.finite_log_p)
        alone = xp.all(off, axis=-1)  # no common state: the exponent is infinite

        def tilted(s: Array, r: Array, ends: Array) -> Array:
            """Return the distribution proportional to p^s q^(1-s): its mean of r is the slope of the log-moment."""
            return xp.exp(normalized_logs(xp.where(alone[..., None], xp.zeros_like(ends), ends + s[..., None] * r))[0])

        fixed_r, fixed_ends = detach(r), detach(ends)
        low = xp.zeros_like(fixed_r[..., 0])
        high = xp.ones_like(low)
        for _ in range(40):
            s = (low + high) / 2.0
            rising = xp.sum(tilted(s, fixed_r, fixed_ends) * fixed_r, axis=-1) > 0
            low, high = xp.where(rising, low, s), xp.where(rising, s, high)
        s = (low + high) / 2.0
        weights = tilted(s, r, ends)
        mean = xp.sum(weights * r, axis=-1)
        spread = xp.sum(weights * (r - mean[..., None]) ** 2, axis=-1)
        # At the ends of [0, 1] and for equal distributions the slope has no zero to step to.
        inner = (detach(low) > 0.0) & (detach(high) < 1.0) & (detach(spread) > 0.0)
        step = xp.where(inner, mean / xp.where(inner, spread, xp.ones_like(spread)), xp.zeros_like(mean))
        return non_negative(xp, -_log_moment(pair, (s - step)[..., None]))


class MaxDivergence(Dissimilarity):
    """Max-divergence log max p/q, Rényi's of order ∞: the ε of pure differential privacy."""

    name = "max_divergence"

    def _reduce(self, pair: Pair) -> Array:
        return pair.xp.max(_masked_log_ratio(pair), axis=-1)


class Hilbert(Dissimilarity):
    """Hilbert's projective metric log max p/q + log max q/p."""

    name = "hilbert"
    symmetric = True

    def _reduce(self, pair: Pair) -> Array:
        xp = pair.xp
        return xp.max(_masked_log_ratio(pair), axis=-1) + xp.max(_masked_log_ratio(pair.swapped()), axis=-1)


def _masked_log_ratio(pair: Pair) -> Array:
    """Return log p/q: +inf where only q is 0, -inf where p is 0."""
    xp = pair.xp
    ratio = pair.r
    ratio = xp.where(pair.first.zero, xp.full_like(ratio, -math.inf), ratio)
    return xp.where(pair.second.zero & ~pair.first.zero, xp.full_like(ratio, math.inf), ratio)


class CauchySchwarz(Dissimilarity):
    """Cauchy-Schwarz divergence -log[(Σ pq)² / (Σ p² Σ q²)]; some authors halve it.

    Source: Principe (2010); Yu et al. (2024), arXiv 2301.08970.
    """

    name = "cauchy_schwarz"
    symmetric = True

    def _reduce(self, pair: Pair) -> Array:
        xp = pair.xp
        lp, lq = pair.first.log_p, pair.second.log_p
        value = logsumexp(2.0 * lp) + logsumexp(2.0 * lq) - 2.0 * logsumexp(lp + lq)
        return non_negative(xp, value)
