"""f-divergences made of powers and kinks: total variation, χ², Hellinger and the power family.

Every class gives its generator in standard form, f(1) = f'(1) = 0, through functions of the log-ratio
r = log t: `_lower(r)` is f(e^r) for r <= 0; `_upper(s)` is e^s f(e^-s) for s <= 0 (symmetric ones need only the
first); `_df` is f', `_d2f` is f'' and `_inv_df` is (f')^-1, where a closed form exists. P is the first argument.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.measures.arrays import Array, detach
from plogp.measures.divergence import Divergence, Pair, strictly_between

__all__ = ["TV", "Alpha", "Chi2", "Hellinger", "HockeyStick", "LeCam", "Neyman"]


def _split(xp: Any, r: Array) -> tuple[Array, Array, Array]:
    """Return where p > q, the log-ratio where it is <= 0, and where it is > 0 (0 elsewhere)."""
    zero, up = xp.zeros_like(r), r > 0
    return up, xp.where(up, zero, r), xp.where(up, r, zero)


def _sign(xp: Any, x: Array) -> Array:
    """Return -1, 0 or 1; the compatibility layer's own `sign` cannot be mapped by torch.func."""
    return xp.astype(x > 0, x.dtype) - xp.astype(x < 0, x.dtype)


class TV(Divergence):
    """Total variation ½ Σ |p - q|: the advantage of the best test between P and Q; at most 1.

    f(t) = ½ |t - 1|.
    """

    name, unit = "tv", ""
    symmetric = True
    f0 = finf = 0.5
    df0 = df0_swapped = -0.5
    curvature = math.inf

    def _lower(self, xp: Any, r: Array) -> Array:
        return -0.5 * xp.expm1(r)

    def _df(self, xp: Any, r: Array) -> Array:
        return 0.5 * _sign(xp, r)

    def _d2f(self, xp: Any, r: Array) -> Array:
        return xp.where(r == 0, xp.full_like(r, math.inf), xp.zeros_like(r))

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return xp.ones_like(u)

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return u

    def _term(self, pair: Pair) -> Array:
        gap = pair.p - pair.q
        if isinstance(gap, np.ndarray):
            return 0.5 * np.abs(gap)
        return 0.5 * gap * _sign(pair.xp, detach(gap))  # subgradient 0 at p = q in every library


class HockeyStick(Divergence):
    """Hockey-stick divergence Σ max(p - g q, 0), g >= 1: the δ of (log g, δ)-differential privacy; at most 1.

    f(t) = max(t - g, 0); g = 1 is total variation. Source: Sason and Verdú (2016); Balle et al. (2018).
    """

    name, unit = "hockey_stick", ""
    f0, finf = 0.0, 1.0
    df0 = 0.0

    def __init__(self, g: float = 1.0):
        self.g = float(g)
        if not 1.0 <= self.g < math.inf:
            raise ValueError(f"g must be at least 1, got {g!r}")
        self.symmetric = self.g == 1.0
        self.df0_swapped = -self.g
        self.curvature = math.inf if self.g == 1.0 else 0.0

    @property
    def parameters(self) -> dict[str, Any]:
        return {"g": self.g}

    def _lower(self, xp: Any, r: Array) -> Array:
        return xp.zeros_like(r)

    def _upper(self, xp: Any, s: Array) -> Array:
        gap = 1.0 - self.g * xp.exp(s)
        return xp.where(gap > 0, gap, xp.zeros_like(gap))

    def _df(self, xp: Any, r: Array) -> Array:
        return xp.where(r > math.log(self.g), xp.ones_like(r), xp.zeros_like(r))

    def _d2f(self, xp: Any, r: Array) -> Array:
        kink = r == math.log(self.g)
        return xp.where(kink, xp.full_like(r, math.inf), xp.zeros_like(r))

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return xp.full_like(u, self.g)

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return self.g * u

    def _term(self, pair: Pair) -> Array:
        gap = pair.p - self.g * pair.q
        return pair.xp.where(gap > 0, gap, pair.xp.zeros_like(gap))


class Chi2(Divergence):
    """Pearson's χ² divergence Σ (p - q)²/q. f(t) = (t - 1)²."""

    name, unit = "chi2", ""
    f0, finf = 1.0, math.inf
    df0 = -2.0
    curvature = 2.0

    def _lower(self, xp: Any, r: Array) -> Array:
        return xp.expm1(r) ** 2

    def _upper(self, xp: Any, s: Array) -> Array:
        return xp.exp(-s) * xp.expm1(s) ** 2

    def _df(self, xp: Any, r: Array) -> Array:
        return 2.0 * xp.expm1(r)

    def _d2f(self, xp: Any, r: Array) -> Array:
        return xp.full_like(r, 2.0)

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return 1.0 + u / 2.0

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return u + u * u / 4.0

    def _term(self, pair: Pair) -> Array:
        if not pair.first.given_logs:
            return super()._term(pair)
        # p may underflow while p²/q does not: p e^r is taken as one exponential.
        xp, (up, down, back) = pair.xp, _split(pair.xp, pair.r)
        high = xp.exp(pair.first.finite_log_p + back) * xp.expm1(-back) ** 2
        return xp.where(up, high, pair.q * xp.expm1(down) ** 2)

    def reversed(self) -> Divergence:
        return Neyman()


class Neyman(Divergence):
    """Neyman's χ² divergence Σ (p - q)²/p. f(t) = (t - 1)²/t."""

    name, unit = "neyman", ""
    f0, finf = math.inf, 1.0
    df0_swapped = -2.0
    curvature = 2.0

    def _lower(self, xp: Any, r: Array) -> Array:
        return xp.exp(-r) * xp.expm1(r) ** 2

    def _upper(self, xp: Any, s: Array) -> Array:
        return xp.expm1(s) ** 2

    def _df(self, xp: Any, r: Array) -> Array:
        return -xp.expm1(-2.0 * r)

    def _d2f(self, xp: Any, r: Array) -> Array:
        return 2.0 * xp.exp(-3.0 * r)

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return (1.0 - u) ** -0.5

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return 2.0 - 2.0 * xp.sqrt(1.0 - u)

    def _term(self, pair: Pair) -> Array:
        return Chi2()._term(pair.swapped())

    def reversed(self) -> Divergence:
        return Chi2()


class Hellinger(Divergence):
    """Squared Hellinger distance 1 - Σ √(pq) (half the sum of (√p - √q)²); at most 1.

    f(t) = ½(√t - 1)². Its root, `hellinger_distance`, is the metric.
    """

    name, unit = "hellinger", ""
    symmetric = True
    f0 = finf = 0.5
    curvature = 0.25

    def _lower(self, xp: Any, r: Array) -> Array:
        return 0.5 * xp.expm1(0.5 * r) ** 2

    def _df(self, xp: Any, r: Array) -> Array:
        return -0.5 * xp.expm1(-0.5 * r)

    def _d2f(self, xp: Any, r: Array) -> Array:
        return 0.25 * xp.exp(-1.5 * r)

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return (1.0 - 2.0 * u) ** -2.0

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return u / (1.0 - 2.0 * u)


class LeCam(Divergence):
    """Le Cam (triangular, Vincze) divergence ½ Σ (p - q)²/(p + q); at most 1.

    f(t) = (t - 1)²/(2(t + 1)).
    """

    name, unit = "le_cam", ""
    symmetric = True
    f0 = finf = 0.5
    df0 = df0_swapped = -1.5
    curvature = 0.5

    def _lower(self, xp: Any, r: Array) -> Array:
        return xp.expm1(r) ** 2 / (2.0 * (1.0 + xp.exp(r)))

    def _df(self, xp: Any, r: Array) -> Array:
        share = 1.0 / (1.0 + xp.exp(xp.where(r > 300.0, xp.full_like(r, 300.0), r)))
        return 0.5 - 2.0 * share * share

    def _d2f(self, xp: Any, r: Array) -> Array:
        return 4.0 / (1.0 + xp.exp(r)) ** 3

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return 2.0 / xp.sqrt(1.0 - 2.0 * u) - 1.0

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return 2.0 - u - 2.0 * xp.sqrt(1.0 - 2.0 * u)

    def _term(self, pair: Pair) -> Array:
        total = pair.p + pair.q
        safe = pair.xp.where(total > 0, total, pair.xp.ones_like(total))  # both may underflow in the log domain
        share = (pair.p - pair.q) / safe
        return 0.5 * (pair.p - pair.q) * share


class Alpha(Divergence):
    """Power divergence of Cressie and Read, [Σ p^a q^(1-a) - 1]/(a(a-1)).

    f(t) = (t^a - at + a - 1)/(a(a-1)). a → 1 is `kl`, a → 0 `reverse_kl`, a = ½ is 4·`hellinger`, a = 2 is
    ½·`chi2`, a = -1 is ½·`neyman`. Swapping the arguments sends a to 1 - a; Amari's parameter is ±(2a - 1).
    Source: Cressie and Read (1984).
    """

    name, unit = "alpha", ""

    def __init__(self, a: float = 0.5):
        self.a = strictly_between("a", a, -math.inf, math.inf)
        if self.a in (0.0, 1.0):
            raise ValueError(f"alpha({self.a:g}) is a limit: use {'kl' if self.a else 'reverse_kl'!r}")
        self.symmetric = self.a == 0.5
        self.f0 = 1.0 / self.a if self.a > 0 else math.inf
        self.finf = 1.0 / (1.0 - self.a) if self.a < 1 else math.inf
        self.df0 = -1.0 / (self.a - 1.0) if self.a > 1 else -math.inf
        self.df0_swapped = 1.0 / self.a if self.a < 0 else -math.inf

    @property
    def parameters(self) -> dict[str, Any]:
        return {"a": self.a}

    @staticmethod
    def _half(xp: Any, r: Array, a: float) -> Array:
        # Divided differences, so that nothing is lost near the limits a = 0 and a = 1.
        if a < 0.5:
            return (xp.expm1(a * r) / a - xp.expm1(r)) / (a - 1.0)
        return (xp.exp(min(a, 1.0) * r) * xp.expm1(abs(a - 1.0) * r) / abs(a - 1.0) - xp.expm1(r)) / a

    def _lower(self, xp: Any, r: Array) -> Array:
        return self._half(xp, r, self.a)

    def _upper(self, xp: Any, s: Array) -> Array:
        return self._half(xp, s, 1.0 - self.a)

    def _df(self, xp: Any, r: Array) -> Array:
        return xp.expm1((self.a - 1.0) * r) / (self.a - 1.0)

    def _d2f(self, xp: Any, r: Array) -> Array:
        return xp.exp((self.a - 2.0) * r)

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return xp.exp(xp.log1p((self.a - 1.0) * u) / (self.a - 1.0))

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return xp.expm1(self.a * xp.log1p((self.a - 1.0) * u) / (self.a - 1.0)) / self.a

    def _term(self, pair: Pair) -> Array:
        return self._log_term(pair, pair.r) if pair.first.given_logs else super()._term(pair)

    def _log_term(self, pair: Pair, r: Array) -> Array:
        """Return q f(e^r) from the logarithms of the masses: no power of a ratio is formed by itself."""
        xp, (up, down, back) = pair.xp, _split(pair.xp, r)
        low = self._scaled_half(xp, pair.second.finite_log_p, down, self.a)
        return xp.where(up, self._scaled_half(xp, pair.first.finite_log_p, -back, 1.0 - self.a), low)

    @classmethod
    def _scaled_half(cls, xp: Any, log_mass: Array, r: Array, a: float) -> Array:
        """Return e^log_mass f(e^r) for r <= 0; for a < 0, where f grows as e^(ar), as one exponential."""
        if a >= 0:
            return xp.exp(log_mass) * cls._half(xp, r, a)
        rest = -xp.expm1(-a * r) / a - xp.expm1(r) * xp.exp(-a * r)
        return xp.exp(log_mass + a * r) * rest / (a - 1.0)

    def reversed(self) -> Divergence:
        return self if self.symmetric else Alpha(1.0 - self.a)
