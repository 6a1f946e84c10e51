"""`Divergence`: an f-divergence as one object, and the interface that everything divergence-like shares.

D_f(P‖Q) = Σ q f(p/q) + f'(∞) P(q = 0), with f convex and f(1) = 0. Two choices make the code short and stable.

*Standard form.* Adding c(t - 1) to f changes nothing, so every generator is stored with f(1) = f'(1) = 0. Then
f >= 0, each summand is non-negative, and nothing cancels between summands.

*Two halves.* The ratio p/q is never formed. With r = log p - log q, a generator is a pair of functions of
r <= 0: ``lower(r) = f(e^r)`` and ``upper(s) = e^s f(e^-s)``, the generator with the arguments swapped. The
summand is ``q lower(r)`` where p <= q and ``p upper(-r)`` where p > q, so no exponential ever overflows,
f(0) = lower(-∞), f'(∞) = upper(-∞), and reversing a divergence swaps the two.

Direction: ``d(p, q)`` is D(p‖q), the reference (data, teacher, target) first and the model second.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from plogp.measures.arrays import Array, cast, floats, is_traced, log_ratio, non_negative, scalar
from plogp.measures.functional import Distribution, Functional

__all__ = ["Dissimilarity", "Divergence", "Pair", "WeightedSum", "strictly_between"]


def _quiet(method: Callable[[Any, Array], Any]) -> Callable[[Any, Array], Any]:
    """Silence NumPy where extreme ratios overflow on the way to a right result; tensors are passed straight on."""

    @functools.wraps(method)
    def quiet(self: Any, x: Array) -> Any:
        if isinstance(x, (np.ndarray, np.generic, int, float, list, tuple)):
            with np.errstate(all="ignore"):
                return method(self, x)
        return method(self, x)

    return quiet


class Pair:
    """Two distributions `first` and `second` along the last axis, and what compares them.

    `r` is log p - log q, and 0 where either has no mass; `zeros` is False where it is known that both have
    mass everywhere.
    """

    def __init__(self, first: Distribution, second: Distribution):
        self.first, self.second, self.xp = first, second, first.xp
        self.zeros = first.some_zero or second.some_zero

    @property
    def p(self) -> Array:
        """Probabilities of the first."""
        return self.first.p

    @property
    def q(self) -> Array:
        """Probabilities of the second."""
        return self.second.p

    @property
    def off(self) -> Array:
        """Where either has no mass."""
        return self.first.zero | self.second.zero

    @property
    def r(self) -> Array:
        """Log-ratio."""
        if not self.first.given_logs:
            # Entries of at most 1 that are all above 1e-150 have quotients far from overflow.
            tame = not self.zeros and all((v.row_min > 1e-150).all() for v in (self.first, self.second))
            return log_ratio(self.p, self.q, self.off if self.zeros else None, tame=tame)
        ratio = self.first.finite_log_p - self.second.finite_log_p
        return self.xp.where(self.off, self.xp.zeros_like(ratio), ratio) if self.zeros else ratio

    def swapped(self) -> Pair:
        """Return the same two distributions in the other order."""
        return Pair(self.second, self.first)

    def patch(self, inside: Array, at_p_zero: Array | float, at_q_zero: Array | float) -> Array:
        """Return `inside` where both have mass, 0 where neither has, the given terms where one is missing."""
        if not self.zeros:
            return inside
        xp = self.xp

        def full(value: Array | float) -> Array:
            return value if hasattr(value, "shape") else xp.full_like(inside, value)

        out = xp.where(self.first.zero, full(at_p_zero), inside)
        out = xp.where(self.second.zero, full(at_q_zero), out)
        return xp.where(self.first.zero & self.second.zero, xp.zeros_like(inside), out)


class Dissimilarity(Functional, ABC):
    """What every divergence, distance and bound on a pair of distributions can do.

    Calling it on probabilities, on log-probabilities or on logits gives D(p‖q), batched over leading axes,
    in the arrays' own library, dtype and device, differentiable where the library differentiates.
    """

    symmetric: bool = False
    #: The largest value, or infinity.
    upper_bound: float = math.inf

    @property
    def bounded(self) -> bool:
        """Whether the value is finite for every pair of distributions."""
        return math.isfinite(self.upper_bound)

    @abstractmethod
    def _reduce(self, pair: Pair) -> Array:
        """Reduce the last axis of a pair; for additive ones, a sum that `_finish` turns into the value."""

    def _reduce_two(self, first: Distribution, second: Distribution) -> Array:
        return self._reduce(Pair(first, second))

    def __call__(
        self,
        p: Array,
        q: Array,
        axis: int = -1,
        *,
        base: float | None = None,
        normalize: bool = False,
        check: bool = True,
    ) -> Any:
        """Return D(p‖q) for probabilities along `axis`.

        Parameters
        ----------
        p, q : array, shape (..., K)
            The reference and the model; leading axes broadcast.
        axis : int
            The probability axis.
        base : float, optional
            Logarithm base of the result; nats by default. Dimensionless divergences take none.
        normalize : bool
            Divide by the mass first, for counts or weights.
        check : bool
            Look at the values and refuse what is no distribution. False saves a device synchronisation.

        Returns
        -------
        array, shape (...)
            In nats, or in units of log `base`, or dimensionless.

        Raises
        ------
        ValueError
            For NaN, negative entries, mass other than 1 (without `normalize`), or shapes that do not match.
        """
        return self._of_probabilities(self._reduce_two, {"p": p, "q": q}, axis, base, normalize, check)

    def from_log_probs(
        self, log_p: Array, log_q: Array, axis: int = -1, *, base: float | None = None, check: bool = True
    ) -> Any:
        """Return D(p‖q) for normalised log-probabilities; -inf means no mass.

        Raises
        ------
        ValueError
            If the probabilities do not sum to 1, or hold NaN.
        """
        arrays = {"log_p": log_p, "log_q": log_q}
        return self._of_logs(self._reduce_two, arrays, axis, base, check, logits=False)

    def from_logits(self, a: Array, b: Array, axis: int = -1, *, base: float | None = None, check: bool = True) -> Any:
        """Return D(softmax(a)‖softmax(b)), computed in the log domain: logits of ±1e4 and -inf are fine.

        Raises
        ------
        ValueError
            If a row holds NaN or +inf, or is masked (-inf) throughout; the row is named.
        """
        return self._of_logs(self._reduce_two, {"a": a, "b": b}, axis, base, check, logits=True)

    def __repr__(self) -> str:
        inside = "".join(f", {k}={v!r}" for k, v in self.parameters.items())
        return f"divergence({self.name!r}{inside})"


class Divergence(Dissimilarity):
    """An f-divergence D_f(P‖Q) = Σ q f(p/q), with its generator in standard form.

    Build one by name with :func:`plogp.divergence`, add and scale them (``0.7 * d + 0.3 * e``), reverse them
    (``d.reversed()``), or make one from your own convex function (:func:`plogp.measures.from_generator`).
    A subclass gives `lower`, `upper`, `df`, `d2f`, `inv_df`, as functions of an array namespace and the
    log-ratio, and the constants below.

    Attributes
    ----------
    f0, finf : float
        f(0) and f'(∞): the price of mass that P, or Q, does not have.
    df0, df0_swapped : float
        f'(0+) of the generator, and of the swapped one. Where `df0` is finite, optimal policies can put exact
        zeros and gradients stay bounded where the model misses mass; f*(f'(∞)) is -`df0_swapped`.
    curvature : float
        f''(1): near equality D ≈ f''(1)/2 · χ². Infinite where f has a kink at 1.
    symmetric, bounded : bool
    upper_bound : float
        f(0) + f'(∞), the value for distributions without common support.

    Examples
    --------
    >>> import plogp as pl
    >>> kl = pl.divergence("kl")
    >>> round(float(kl([0.5, 0.5], [0.9, 0.1])), 6), round(float(kl.reversed()([0.5, 0.5], [0.9, 0.1])), 6)
    (0.510826, 0.368064)
    >>> kl([0.5, 0.5], [1.0, 0.0])
    np.float64(inf)
    >>> mix = 0.7 * kl + 0.3 * pl.divergence("reverse_kl")
    >>> round(float(mix([0.5, 0.5], [0.9, 0.1])), 6)
    0.467997

    References
    ----------
    Csiszár (1967); Ali and Silvey (1966). Liese and Vajda (2006) for the behaviour at 0 and infinity.
    """

    f0: float = math.inf
    finf: float = math.inf
    df0: float = -math.inf
    df0_swapped: float = -math.inf
    curvature: float = 1.0
    _additive = True

    # -- what a generator is ------------------------------------------------------------------------------

    @abstractmethod
    def _lower(self, xp: Any, r: Array) -> Array:
        """Return f(e^r) for r <= 0."""

    def _upper(self, xp: Any, s: Array) -> Array:
        """Return e^s f(e^-s) for s <= 0; the same function as `_lower` for symmetric ones."""
        if not self.symmetric:
            raise NotImplementedError(f"{type(self).__name__} is not symmetric and must define _upper")
        return self._lower(xp, s)

    @abstractmethod
    def _df(self, xp: Any, r: Array) -> Array:
        """Return f'(e^r)."""

    @abstractmethod
    def _d2f(self, xp: Any, r: Array) -> Array:
        """Return f''(e^r)."""

    def _inv_df(self, xp: Any, u: Array) -> Array:
        """Return the t >= 0 with f'(t) = u, for u between f'(0) and f'(∞); by bisection of log t."""
        lo, hi = xp.full_like(u, -700.0), xp.full_like(u, 700.0)
        for _ in range(75):
            mid = (lo + hi) / 2
            below = self._df(xp, mid) < u
            lo, hi = xp.where(below, mid, lo), xp.where(below, hi, mid)
        return xp.exp((lo + hi) / 2)

    def _term(self, pair: Pair) -> Array:
        """Return q f(p/q) where both have mass."""
        xp, r = pair.xp, pair.r
        if self.symmetric:
            top = pair.xp.where(r > 0, pair.p, pair.q)
            return top * self._lower(xp, -xp.abs(r))
        # Both halves see only arguments <= 0, so that the one not taken overflows in neither value nor gradient.
        zero = xp.zeros_like(r)
        up = r > 0
        lower = pair.q * self._lower(xp, xp.where(up, zero, r))
        upper = pair.p * self._upper(xp, xp.where(up, -r, zero))
        return xp.where(up, upper, lower)

    # -- values -------------------------------------------------------------------------------------------

    @property
    def upper_bound(self) -> float:  # type: ignore[override]
        return self.f0 + self.finf

    def _reduce(self, pair: Pair) -> Array:
        return pair.xp.sum(self.terms(pair), axis=-1)

    def terms(self, pair: Pair) -> Array:
        """Return the summands of D(p‖q), each of them >= 0."""
        xp = pair.xp
        inside = self._term(pair)
        inside = non_negative(xp, inside)  # rounding of nearly equal entries
        missing_p = pair.q * self.f0 if math.isfinite(self.f0) else math.inf
        missing_q = pair.p * self.finf if math.isfinite(self.finf) else math.inf
        return pair.patch(inside, missing_p, missing_q)

    @_quiet
    def f(self, t: Array) -> Any:
        """Return the generator f(t) in standard form, f(1) = f'(1) = 0, for t >= 0."""
        return self._of_ratio(t, self.pointwise, self.f0, math.inf)

    @_quiet
    def df(self, t: Array) -> Any:
        """Return f'(t) for t >= 0 (a subgradient at kinks); f'(∞) at infinity."""
        return self._of_ratio(t, self.grad_weight, self.df0, self.finf)

    @_quiet
    def d2f(self, t: Array) -> Any:
        """Return f''(t) for t > 0; infinite at kinks."""
        xp, (t,), out = floats(t=t)
        return scalar(cast(xp, self._d2f(xp, xp.log(t)), out))

    def _of_ratio(self, t: Array, function: Any, at_zero: float, at_infinity: float) -> Any:
        xp, (t,), out = floats(t=t)
        if not is_traced(t) and bool(xp.any(t < 0)):
            raise ValueError("t must be >= 0: it is a ratio of probabilities")
        inside = (t > 0) & (t < math.inf)
        value = function(xp.log(xp.where(inside, t, xp.ones_like(t))))
        value = xp.where(t == 0, xp.full_like(t, at_zero), value)
        value = xp.where(t == math.inf, xp.full_like(t, at_infinity), value)
        return scalar(cast(xp, value, out))

    @_quiet
    def pointwise(self, log_ratio: Array) -> Any:
        """Return f(e^r) for log-ratios r = log p - log q: the non-negative single-sample estimate under q.

        For `reverse_kl` this is the "k3" estimator of policy optimisation, t - 1 - log t.
        """
        xp, (r,), out = floats(log_ratio=log_ratio)
        zero = xp.zeros_like(r)
        up = r > 0
        big = xp.where(up, r, zero)
        upper = self._upper(xp, -big)
        high = xp.exp(xp.where(upper == 0, zero, big)) * upper  # 0 stays 0 where the exponential overflows
        value = xp.where(up, high, self._lower(xp, xp.where(up, zero, r)))
        return scalar(cast(xp, value, out))

    @_quiet
    def grad_weight(self, log_ratio: Array) -> Any:
        """Return f'(e^r): the weight that the divergence gives to a sample's gradient."""
        xp, (r,), out = floats(log_ratio=log_ratio)
        return scalar(cast(xp, self._df(xp, r), out))

    @_quiet
    def inv_df(self, u: Array) -> Any:
        """Return the ratio t = (f')^-1(u) = (f*)'(u): 0 below f'(0), infinity above f'(∞)."""
        xp, (u,), out = floats(u=u)
        low, high = self.df0, self.finf
        inside = (u > low) & (u < high)
        t = self._inv_df(xp, xp.where(inside, u, xp.zeros_like(u)))
        t = xp.where(u <= low, xp.zeros_like(u), t)
        return scalar(cast(xp, xp.where(u >= high, xp.full_like(u, math.inf), t), out))

    @_quiet
    def conjugate(self, u: Array) -> Any:
        """Return f*(u) = sup over t >= 0 of (u t - f(t)); infinite above f'(∞)."""
        xp, (u,), out = floats(u=u)
        low, high = self.df0, self.finf
        # Inside (f'(0), f'(∞)) the supremum is at t = (f')^-1(u); below, at t = 0; above, at infinity.
        inside = (u > low) & (u < high)
        safe = xp.where(inside, u, xp.zeros_like(u))
        value = self._conjugate(xp, safe)
        value = xp.where(u <= low, xp.full_like(u, -self.f0), value)
        value = xp.where(u >= high, xp.full_like(u, math.inf), value)
        if math.isfinite(high):
            value = xp.where(u == high, xp.full_like(u, -self.df0_swapped), value)
        return scalar(cast(xp, value, out))

    def _conjugate(self, xp: Any, u: Array) -> Array:
        t = self._inv_df(xp, u)
        safe = xp.where(t > 0, t, xp.ones_like(t))
        return xp.where(t > 0, u * safe - self.pointwise(xp.log(safe)), xp.full_like(u, -self.f0))

    # -- algebra ------------------------------------------------------------------------------------------

    def reversed(self) -> Divergence:
        """Return the divergence with its arguments swapped: ``d.reversed()(p, q) == d(q, p)``."""
        return self if self.symmetric else Reversed(self)

    def __add__(self, other: Divergence) -> Divergence:
        if not isinstance(other, Divergence):
            return NotImplemented
        return WeightedSum([(1.0, self), (1.0, other)])

    def __mul__(self, weight: float) -> Divergence:
        if not isinstance(weight, (int, float)) and not hasattr(weight, "__float__"):
            return NotImplemented
        weight = float(weight)
        if not (weight > 0 and math.isfinite(weight)):
            raise ValueError(f"a divergence can be scaled by a positive number only, got {weight!r}")
        return self if weight == 1.0 else WeightedSum([(weight, self)])

    __rmul__ = __mul__

    def __radd__(self, other: object) -> Divergence:
        if other == 0:  # so that sum([d, e]) works
            return self
        return NotImplemented


class Reversed(Divergence):
    """A divergence with its arguments swapped: the generator t f(1/t)."""

    def __init__(self, inner: Divergence):
        self.inner = inner
        self.name = f"{inner.name} reversed"  # type: ignore[misc]
        self.unit = inner.unit  # type: ignore[misc]
        self.f0, self.finf, self.curvature = inner.finf, inner.f0, inner.curvature
        self.df0, self.df0_swapped = inner.df0_swapped, inner.df0

    @property
    def parameters(self) -> dict[str, Any]:
        return {"of": self.inner}

    def _lower(self, xp: Any, r: Array) -> Array:
        return self.inner._upper(xp, r)

    def _upper(self, xp: Any, s: Array) -> Array:
        return self.inner._lower(xp, s)

    def _df(self, xp: Any, r: Array) -> Array:
        # (t f(1/t))' = f(1/t) - f'(1/t)/t, which is -f*(f'(1/t)): nothing cancels in the second form.
        return -self.inner.conjugate(self.inner._df(xp, -r))

    def _d2f(self, xp: Any, r: Array) -> Array:
        bend = self.inner._d2f(xp, -r)
        return xp.exp(xp.where(bend == 0, xp.zeros_like(r), -3.0 * r)) * bend

    def _term(self, pair: Pair) -> Array:
        return self.inner._term(pair.swapped())

    def reversed(self) -> Divergence:
        return self.inner

    def __repr__(self) -> str:
        return f"{self.inner!r}.reversed()"


class WeightedSum(Divergence):
    """A sum of divergences with positive weights; again an f-divergence."""

    name = "sum"

    def __init__(self, terms: list[tuple[float, Divergence]]):
        flat: dict[Divergence, float] = {}
        for weight, d in terms:
            parts = d.summands if isinstance(d, WeightedSum) else [(1.0, d)]
            for inner_weight, part in parts:
                flat[part] = flat.get(part, 0.0) + weight * inner_weight
        self.summands: list[tuple[float, Divergence]] = [(w, d) for d, w in flat.items()]
        units = {d.unit for _, d in self.summands}
        self.unit = units.pop() if len(units) == 1 else ""  # type: ignore[misc]
        self.symmetric = all(d.symmetric for _, d in self.summands)
        self.f0 = math.fsum(w * d.f0 for w, d in self.summands)
        self.finf = math.fsum(w * d.finf for w, d in self.summands)
        self.curvature = math.fsum(w * d.curvature for w, d in self.summands)
        self.df0 = math.fsum(w * d.df0 for w, d in self.summands)
        self.df0_swapped = math.fsum(w * d.df0_swapped for w, d in self.summands)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"summands": self.summands}

    def _sum(self, parts: list[Array]) -> Array:
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _lower(self, xp: Any, r: Array) -> Array:
        return self._sum([w * d._lower(xp, r) for w, d in self.summands])

    def _upper(self, xp: Any, s: Array) -> Array:
        return self._sum([w * d._upper(xp, s) for w, d in self.summands])

    def _df(self, xp: Any, r: Array) -> Array:
        return self._sum([w * d._df(xp, r) for w, d in self.summands])

    def _d2f(self, xp: Any, r: Array) -> Array:
        return self._sum([w * d._d2f(xp, r) for w, d in self.summands])

    def _term(self, pair: Pair) -> Array:
        return self._sum([w * d._term(pair) for w, d in self.summands])

    def _inv_df(self, xp: Any, u: Array) -> Array:
        if len(self.summands) == 1:  # (c f)' = u exactly where f' = u / c
            weight, d = self.summands[0]
            return d._inv_df(xp, u / weight)
        return super()._inv_df(xp, u)

    def reversed(self) -> Divergence:
        return WeightedSum([(w, d.reversed()) for w, d in self.summands])

    def __repr__(self) -> str:
        return " + ".join(f"{d!r}" if w == 1 else f"{w:g} * {d!r}" for w, d in self.summands)


def strictly_between(name: str, value: float, low: float, high: float) -> float:
    """Return a parameter of a family as a float, or say where it must lie."""
    value = float(value)
    if not low < value < high:
        raise ValueError(f"{name} must lie strictly between {low:g} and {high:g}, got {value!r}")
    return value
