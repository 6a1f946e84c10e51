"""f-divergences made of logarithms: Kullback-Leibler, and the mixtures and sums of it.

Every class gives its generator in standard form, f(1) = f'(1) = 0, through functions of the log-ratio
r = log t: `_lower(r)` is f(e^r) for r <= 0; `_upper(s)` is e^s f(e^-s) for s <= 0 (symmetric ones need only the
first); `_df` is f', `_d2f` is f'' and `_inv_df` is (f')^-1, where a closed form exists. P is the first argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from plogp.measures.arrays import Array, dot, non_negative, wright_omega
from plogp.measures.divergence import Divergence, Pair, strictly_between
from plogp.measures.functional import Distribution

__all__ = ["GJS", "JS", "KL", "ArithmeticGeometric", "Jeffreys", "ReverseKL", "SkewKL", "SkewReverseKL"]


def _refined(pair: Pair, value: Array, scale: Array, terms: Callable[[Pair], Array]) -> Array:
    """Return the values with those that rounding has eaten into computed again, by slower `terms`.

    Only rows of NumPy arrays whose value is below 1e-8 of their mass are: the others pay nothing.
    """
    if not isinstance(pair.p, np.ndarray):
        return value
    near = np.asarray(value < 1e-8 * scale)
    if not near.any():
        return value
    value = np.array(value)
    first, second = (
        Distribution(np, log_p=v.log_p[near]) if v.given_logs else Distribution(np, p=v.p[near])
        for v in (pair.first, pair.second)
    )
    value[near] = terms(Pair(first, second)).sum(axis=-1)
    return value


def _near_ratio(pair: Pair) -> Array:
    """Return log p - log q with relative accuracy where p is close to q: the difference p - q is exact there."""
    r = pair.r
    if pair.first.given_logs:
        return r
    off = pair.off
    excess = np.where(off, 0.0, pair.p - pair.q) / np.where(off, 1.0, pair.q)
    close = np.abs(excess) < 0.5
    return np.where(close, np.log1p(np.where(close, excess, 0.0)), r)


class KL(Divergence):
    """Kullback-Leibler divergence Σ p log(p/q): mass-covering in q (classic distillation, maximum likelihood).

    f(t) = t log t - t + 1. Source: Kullback and Leibler (1951).
    """

    name = "kl"
    f0, finf = 1.0, math.inf

    def _lower(self, xp: Any, r: Array) -> Array:
        return xp.exp(r) * r - xp.expm1(r)

    def _upper(self, xp: Any, s: Array) -> Array:
        return xp.expm1(s) - s

    def _df(self, xp: Any, r: Array) -> Array:
        return r

    def _d2f(self, xp: Any, r: Array) -> Array:
        return xp.exp(-r)

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return xp.exp(u)

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return xp.expm1(u)

    def _term(self, pair: Pair) -> Array:
        return pair.p * pair.r - (pair.p - pair.q)

    def _reduce(self, pair: Pair) -> Array:
        # The sum of the terms, with the linear part summed apart: fewer passes. q f(0) = q is in it already.
        xp, p, q = pair.xp, pair.p, pair.q
        mass_p, mass_q = xp.sum(p, axis=-1), xp.sum(q, axis=-1)
        value = dot(xp, p, pair.r) - (mass_p - mass_q)
        value = _refined(pair, value, mass_p + mass_q, self._near)
        if not pair.zeros:
            return value
        missing = xp.any(pair.second.zero & ~pair.first.zero, axis=-1)
        return xp.where(missing, xp.full_like(value, math.inf), value)

    @staticmethod
    def _near(pair: Pair) -> Array:
        """Return the terms p (e^-r - 1 + r) of nearly equal distributions."""
        r = _near_ratio(pair)
        series = r * r / 2 * (1 - r / 3 * (1 - r / 4 * (1 - r / 5 * (1 - r / 6 * (1 - r / 7 * (1 - r / 8))))))
        inside = pair.p * np.where(np.abs(r) < 0.02, series, np.expm1(-r) + r)
        return pair.patch(np.where(np.abs(r) > 1.0, pair.p * r - (pair.p - pair.q), inside), pair.q, math.inf)

    def _finish(self, xp: Any, reduced: Array) -> Array:
        return non_negative(xp, reduced)

    def reversed(self) -> Divergence:
        return ReverseKL()


class ReverseKL(Divergence):
    """Reverse Kullback-Leibler divergence Σ q log(q/p): mode-seeking in q (DPO, RLHF, variational inference).

    f(t) = -log t + t - 1.
    """

    name = "reverse_kl"
    f0, finf = math.inf, 1.0

    def _lower(self, xp: Any, r: Array) -> Array:
        return xp.expm1(r) - r

    def _upper(self, xp: Any, s: Array) -> Array:
        return xp.exp(s) * s - xp.expm1(s)

    def _df(self, xp: Any, r: Array) -> Array:
        return -xp.expm1(-r)

    def _d2f(self, xp: Any, r: Array) -> Array:
        return xp.exp(-2.0 * r)

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return 1.0 / (1.0 - u)

    def _conjugate(self, xp: Any, u: Array) -> Array:
        return -xp.log1p(-u)

    def _term(self, pair: Pair) -> Array:
        return (pair.p - pair.q) - pair.q * pair.r

    def _reduce(self, pair: Pair) -> Array:
        return KL()._reduce(pair.swapped())

    def _finish(self, xp: Any, reduced: Array) -> Array:
        return non_negative(xp, reduced)

    def reversed(self) -> Divergence:
        return KL()


class Jeffreys(Divergence):
    """Jeffreys divergence Σ (p - q) log(p/q) = KL(P‖Q) + KL(Q‖P); IV and PSI are this number.

    f(t) = (t - 1) log t. Source: Jeffreys (1946).
    """

    name = "jeffreys"
    symmetric = True
    curvature = 2.0

    def _lower(self, xp: Any, r: Array) -> Array:
        return xp.expm1(r) * r

    def _df(self, xp: Any, r: Array) -> Array:
        return r - xp.expm1(-r)

    def _d2f(self, xp: Any, r: Array) -> Array:
        return xp.exp(-r) + xp.exp(-2.0 * r)

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return 1.0 / wright_omega(1.0 - u)  # w = 1/t solves w + log w = 1 - u

    def _conjugate(self, xp: Any, u: Array) -> Array:
        w = wright_omega(1.0 - u)
        return w + 1.0 / w + u - 2.0

    def _term(self, pair: Pair) -> Array:
        return (pair.p - pair.q) * pair.r


class GJS(Divergence):
    """Skewed Jensen-Shannon divergence π KL(P‖M) + (1-π) KL(Q‖M), M = πP + (1-π)Q; at most h(π).

    f(t) = π t log t - m log m with m = πt + 1 - π. It is the mutual information between a sample of the mixture
    and the coin (with probability π of P) that chose its source. Source: Lin (1991).
    """

    name = "gjs"

    def __init__(self, pi: float = 0.5):
        self.pi = strictly_between("pi", pi, 0.0, 1.0)
        rest = 1.0 - self.pi
        self.symmetric = self.pi == 0.5
        self.f0, self.finf = -rest * math.log(rest), -self.pi * math.log(self.pi)
        self.curvature = self.pi * rest

    @property
    def parameters(self) -> dict[str, Any]:
        return {"pi": self.pi}

    @staticmethod
    def _half(xp: Any, r: Array, pi: float) -> Array:
        excess = pi * xp.expm1(r)  # m - 1
        return pi * xp.exp(r) * r - (1.0 + excess) * xp.log1p(excess)

    def _lower(self, xp: Any, r: Array) -> Array:
        return self._half(xp, r, self.pi)

    def _upper(self, xp: Any, s: Array) -> Array:
        return self._half(xp, s, 1.0 - self.pi)

    def _df(self, xp: Any, r: Array) -> Array:
        pi, zero, up = self.pi, xp.zeros_like(r), r > 0
        low = pi * (xp.where(up, zero, r) - xp.log1p(pi * xp.expm1(xp.where(up, zero, r))))
        high = -pi * xp.log1p((1.0 - pi) * xp.expm1(xp.where(up, -r, zero)))
        return xp.where(up, high, low)

    def _d2f(self, xp: Any, r: Array) -> Array:
        t = xp.exp(r)
        return self.curvature / (t * (1.0 + self.pi * xp.expm1(r)))

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return (1.0 - self.pi) / (xp.exp(-u / self.pi) - self.pi)

    def _conjugate(self, xp: Any, u: Array) -> Array:
        rest = 1.0 - self.pi
        return rest * (math.log(rest) - xp.log1p(-self.pi * xp.exp(u / self.pi)))

    def reversed(self) -> Divergence:
        return self if self.symmetric else GJS(1.0 - self.pi)


class JS(GJS):
    """Jensen-Shannon divergence ½ KL(P‖M) + ½ KL(Q‖M), M = ½(P + Q); at most log 2.

    This is the divergence; its root, `js_distance`, is the metric. f(t) = ½[t log t - (t+1) log((t+1)/2)].
    Source: Lin (1991).
    """

    name = "js"

    def __init__(self) -> None:
        super().__init__(0.5)

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    def _term(self, pair: Pair) -> Array:
        # With d = (p - q)/(p + q), the term is (p + q)/4 · [(1 + d) log(1 + d) + (1 - d) log(1 - d)]. Its error
        # is that of one rounding of p - q; nothing of the size of p or q cancels.
        xp = pair.xp
        total = pair.p + pair.q
        d = xp.tanh(0.5 * pair.r) if pair.first.given_logs or pair.zeros else (pair.p - pair.q) / total
        return 0.25 * total * (self._xlogx_above_one(xp, d) + self._xlogx_above_one(xp, -d))

    def _reduce(self, pair: Pair) -> Array:
        value = super()._reduce(pair)
        return _refined(pair, value, 2.0, self._near)

    def _near(self, pair: Pair) -> Array:
        """Return the terms with relative accuracy: for small d, log(1 - d²) + 2d artanh d is d² and no difference."""
        total = pair.p + pair.q
        d = np.tanh(0.5 * pair.r) if pair.first.given_logs else (pair.p - pair.q) / np.where(total > 0, total, 1.0)
        small = np.where(np.abs(d) < 0.5, d, 0.0)
        inside = 0.25 * total * (np.log1p(-small * small) + 2.0 * small * np.arctanh(small))
        inside = np.where(np.abs(d) < 0.5, inside, np.maximum(self._term(pair), 0.0))
        return pair.patch(inside, pair.q * self.f0, pair.p * self.finf)

    @staticmethod
    def _xlogx_above_one(xp: Any, d: Array) -> Array:
        """Return (1 + d) log(1 + d) for d >= -1."""
        below_one = -1.0 + float(xp.finfo(d.dtype).eps) / 2
        safe = (
            np.maximum(d, below_one)
            if isinstance(d, np.ndarray)
            else xp.where(d < below_one, xp.full_like(d, below_one), d)
        )
        return (1.0 + d) * xp.log1p(safe)


class SkewKL(Divergence):
    """Skewed Kullback-Leibler divergence KL(P‖aP + (1-a)Q), 0 < a < 1; at most log(1/a).

    f(t) = t log(t/m) - (1-a)(t-1) with m = at + 1 - a. Source: Lee (1999); Ko et al. (2024), arXiv 2402.03898.
    """

    name = "skew_kl"

    def __init__(self, a: float = 0.1):
        self.a = strictly_between("a", a, 0.0, 1.0)
        rest = 1.0 - self.a
        self.f0, self.finf = rest, -math.log(self.a) - rest
        self.df0_swapped = -rest * rest / self.a
        self.curvature = rest * rest

    @property
    def parameters(self) -> dict[str, Any]:
        return {"a": self.a}

    def _lower(self, xp: Any, r: Array) -> Array:
        excess = xp.expm1(r)
        return xp.exp(r) * (r - xp.log1p(self.a * excess)) - (1.0 - self.a) * excess

    def _upper(self, xp: Any, s: Array) -> Array:
        excess = (1.0 - self.a) * xp.expm1(s)
        return excess - xp.log1p(excess)

    def _df(self, xp: Any, r: Array) -> Array:
        a, zero, up = self.a, xp.zeros_like(r), r > 0
        down, back = xp.where(up, zero, r), xp.where(up, -r, zero)
        low_m = a * xp.expm1(down)
        low = down - xp.log1p(low_m) - a * (1.0 - a) * xp.expm1(down) / (1.0 + low_m)
        high_m = (1.0 - a) * xp.expm1(back)  # m/t - 1
        high = -xp.log1p(high_m) + a * (1.0 - a) * xp.expm1(back) / (1.0 + high_m)
        return xp.where(up, high, low)

    def _d2f(self, xp: Any, r: Array) -> Array:
        m = 1.0 + self.a * xp.expm1(r)
        return self.curvature / (xp.exp(r) * m * m)

    def reversed(self) -> Divergence:
        return SkewReverseKL(self.a)


class SkewReverseKL(Divergence):
    """Skewed reverse Kullback-Leibler divergence KL(Q‖aQ + (1-a)P), 0 < a < 1; at most log(1/a).

    f(t) = (1-a)(t-1) - log(a + (1-a)t), with a finite slope at 0. Source: Ko et al. (2024), arXiv 2402.03898.
    """

    name = "skew_reverse_kl"

    def __init__(self, a: float = 0.1):
        self._swapped = SkewKL(a)
        self.a = self._swapped.a
        self.f0, self.finf = self._swapped.finf, self._swapped.f0
        self.df0, self.curvature = self._swapped.df0_swapped, self._swapped.curvature

    @property
    def parameters(self) -> dict[str, Any]:
        return {"a": self.a}

    def _lower(self, xp: Any, r: Array) -> Array:
        return self._swapped._upper(xp, r)

    def _upper(self, xp: Any, s: Array) -> Array:
        return self._swapped._lower(xp, s)

    def _df(self, xp: Any, r: Array) -> Array:
        zero, up = xp.zeros_like(r), r > 0
        low = xp.expm1(xp.where(up, zero, r))
        high = xp.expm1(xp.where(up, -r, zero))  # 1/t - 1
        return self.curvature * xp.where(up, -high / (1.0 + self.a * high), low / (1.0 + (1.0 - self.a) * low))

    def _d2f(self, xp: Any, r: Array) -> Array:
        m = 1.0 + (1.0 - self.a) * xp.expm1(r)
        return self.curvature / (m * m)

    def _inv_df(self, xp: Any, u: Array) -> Array:
        return (self.curvature + self.a * u) / (self.curvature - (1.0 - self.a) * u)

    def reversed(self) -> Divergence:
        return SkewKL(self.a)


class ArithmeticGeometric(Divergence):
    """Arithmetic-geometric divergence Σ m log(m/√(pq)), m = ½(p + q).

    f(t) = (t+1)/2 · log((t+1)/(2√t)). Source: Taneja (1995).
    """

    name = "arithmetic_geometric"
    symmetric = True
    curvature = 0.25

    @staticmethod
    def _log_cosh(xp: Any, h: Array) -> Array:
        """Return log cosh h for h <= 0."""
        return -h + xp.log1p(0.5 * xp.expm1(2.0 * h))

    def _lower(self, xp: Any, r: Array) -> Array:
        return 0.5 * (1.0 + xp.exp(r)) * self._log_cosh(xp, 0.5 * r)

    def _df(self, xp: Any, r: Array) -> Array:
        return 0.5 * self._log_cosh(xp, -0.5 * xp.abs(r)) - 0.25 * xp.expm1(-r)

    def _d2f(self, xp: Any, r: Array) -> Array:
        return (1.0 + xp.exp(-2.0 * r)) / (4.0 * (1.0 + xp.exp(r)))
