"""Entropies of known distributions: one small class per functional, one function to call them by name."""

from __future__ import annotations

import difflib
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from plogp.measures.arrays import Array, detach, dot, logsumexp, namespace, non_negative
from plogp.measures.divergence import Divergence
from plogp.measures.functional import Distribution, Functional
from plogp.measures.registry import divergence

__all__ = [
    "Entropy",
    "entropies",
    "entropy",
    "entropy_from_logits",
    "get_entropy",
    "hill_number",
    "varentropy",
]


class Entropy(Functional, ABC):
    """A functional of one distribution that measures its uncertainty.

    Call it on probabilities, log-probabilities or logits; see :func:`entropy` for the shapes, units and errors.

    Examples
    --------
    >>> h = get_entropy("renyi", alpha=2)
    >>> float(h([0.25, 0.25, 0.25, 0.25], base=2))
    2.0
    """

    #: Whether the entropy of a product is the sum of the entropies.
    additive_over_products: ClassVar[bool] = False

    @abstractmethod
    def _reduce(self, p: Distribution) -> Array:
        """Reduce the last axis."""

    @abstractmethod
    def at_uniform(self, k: int) -> float:
        """Return the value at the uniform distribution over `k` states, the largest there is."""

    def __call__(
        self,
        p: Array,
        axis: int = -1,
        *,
        base: float | None = None,
        normalize: bool = False,
        check: bool = True,
    ) -> Any:
        """Return the entropy of probabilities along `axis`; parameters as in :func:`entropy`."""
        return self._of_probabilities(self._reduce, {"p": p}, axis, base, normalize, check)

    def from_log_probs(self, log_p: Array, axis: int = -1, *, base: float | None = None, check: bool = True) -> Any:
        """Return the entropy of normalised log-probabilities; -inf means no mass."""
        return self._of_logs(self._reduce, {"log_p": log_p}, axis, base, check, logits=False)

    def from_logits(self, logits: Array, axis: int = -1, *, base: float | None = None, check: bool = True) -> Any:
        """Return the entropy of softmax(logits); masked (-inf) logits are states without mass."""
        return self._of_logs(self._reduce, {"logits": logits}, axis, base, check, logits=True)

    def __repr__(self) -> str:
        inside = "".join(f", {k}={v!r}" for k, v in self.parameters.items())
        return f"get_entropy({self.name!r}{inside})"


class Shannon(Entropy):
    """Shannon's entropy -Σ p log p. Source: Shannon (1948)."""

    name = "shannon"
    additive_over_products = True
    _additive = True

    def _reduce(self, p: Distribution) -> Array:
        return 0.0 - dot(p.xp, p.p, p.finite_log_p)

    def at_uniform(self, k: int) -> float:
        return math.log(k)


class Renyi(Entropy):
    """Rényi's entropy log Σ p^α / (1 - α), α >= 0: α → 1 is Shannon's, 0 Hartley's, ∞ the min-entropy.

    Source: Rényi (1961).
    """

    name = "renyi"
    additive_over_products = True

    def __init__(self, alpha: float = 2.0):
        self.alpha = float(alpha)
        if not 0.0 <= self.alpha < math.inf or self.alpha == 1.0:
            raise ValueError(f"alpha must be in [0, ∞) and not 1, got {alpha!r}")

    @property
    def parameters(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def _reduce(self, p: Distribution) -> Array:
        xp = p.xp
        scaled = xp.where(p.zero, xp.full_like(p.log_p, -math.inf), self.alpha * p.finite_log_p)
        moment, rest = logsumexp(scaled), 1.0 - self.alpha
        value = moment / rest
        # Near order 1 and near certainty the moment is close to 1 and its logarithm mostly rounding; the
        # terms of Tsallis's entropy are then small themselves.
        near = xp.abs(detach(moment)) < 0.5
        if not isinstance(moment, np.ndarray) or near.any():
            excess = rest * Tsallis(self.alpha)._reduce(p)
            value = xp.where(near, xp.log1p(xp.where(near, excess, xp.zeros_like(excess))) / rest, value)
        return non_negative(xp, value) + 0.0

    def at_uniform(self, k: int) -> float:
        return math.log(k)


class Hartley(Entropy):
    """Hartley's (max-) entropy: the log of the number of states with mass."""

    name = "hartley"
    additive_over_products = True
    _additive = True

    def _reduce(self, p: Distribution) -> Array:
        return p.xp.sum(p.xp.where(p.zero, p.xp.zeros_like(p.log_p), p.xp.ones_like(p.log_p)), axis=-1)

    def _finish(self, xp: Any, reduced: Array) -> Array:
        return xp.log(reduced)

    def at_uniform(self, k: int) -> float:
        return math.log(k)


class MinEntropy(Entropy):
    """Min-entropy -log max p: how hard the likeliest state is to guess."""

    name = "min"
    additive_over_products = True

    def _reduce(self, p: Distribution) -> Array:
        return -p.xp.max(p.log_p, axis=-1) + 0.0

    def at_uniform(self, k: int) -> float:
        return math.log(k)


class Tsallis(Entropy):
    """Tsallis (Havrda-Charvát) entropy (1 - Σ p^q)/(q - 1), q >= 0; q → 1 is Shannon's.

    Of a product, S(PQ) = S(P) + S(Q) + (1 - q) S(P) S(Q). Source: Havrda and Charvát (1967); Tsallis (1988).
    """

    name, unit = "tsallis", ""

    def __init__(self, q: float = 2.0):
        self.q = float(q)
        if not 0.0 <= self.q < math.inf or self.q == 1.0:
            raise ValueError(f"q must be in [0, ∞) and not 1, got {q!r}")

    @property
    def parameters(self) -> dict[str, Any]:
        return {"q": self.q}

    def _reduce(self, p: Distribution) -> Array:
        # Σ p (1 - p^(q-1))/(q - 1): no difference of large sums, and it tends to Shannon's summand. The exponent
        # is kept <= 0: p may underflow where p^q does not.
        xp, order, log_p = p.xp, self.q - 1.0, p.finite_log_p
        if order > 0:
            terms = -p.p * xp.expm1(order * log_p) / order
        else:
            terms = xp.exp(self.q * log_p) * xp.expm1(-order * log_p) / order
        return xp.sum(xp.where(p.zero, xp.zeros_like(terms), terms), axis=-1) + 0.0

    def at_uniform(self, k: int) -> float:
        return -math.expm1((1.0 - self.q) * math.log(k)) / (self.q - 1.0)


class GiniSimpson(Entropy):
    """Gini-Simpson index 1 - Σ p²: the probability that two draws differ."""

    name, unit = "gini_simpson", ""
    _additive = True

    def _reduce(self, p: Distribution) -> Array:
        return p.xp.sum(p.p * (1.0 - p.p), axis=-1)

    def at_uniform(self, k: int) -> float:
        return 1.0 - 1.0 / k


class SharmaMittal(Entropy):
    """Sharma-Mittal entropy [(Σ p^q)^((1-r)/(1-q)) - 1]/(1 - r); r → 1 is Rényi's, r → q Tsallis's.

    Source: Sharma and Mittal (1975).
    """

    name, unit = "sharma_mittal", ""

    def __init__(self, q: float = 2.0, r: float = 0.5):
        self.q, self.r = float(q), float(r)
        if not (self.q > 0 and self.q != 1.0 and self.r != 1.0 and math.isfinite(self.q + self.r)):
            raise ValueError(f"q must be positive and not 1, r not 1; got q={q!r}, r={r!r}")

    @property
    def parameters(self) -> dict[str, Any]:
        return {"q": self.q, "r": self.r}

    def _reduce(self, p: Distribution) -> Array:
        return p.xp.expm1((1.0 - self.r) * Renyi(self.q)._reduce(p)) / (1.0 - self.r) + 0.0

    def at_uniform(self, k: int) -> float:
        return math.expm1((1.0 - self.r) * math.log(k)) / (1.0 - self.r)


class Kaniadakis(Entropy):
    """Kaniadakis entropy -Σ (p^(1+k) - p^(1-k))/(2k), 0 < |k| < 1; k → 0 is Shannon's.

    Source: Kaniadakis (2002).
    """

    name, unit = "kaniadakis", ""

    def __init__(self, k: float = 0.5):
        self.k = float(k)
        if not 0.0 < abs(self.k) < 1.0:
            raise ValueError(f"k must satisfy 0 < |k| < 1, got {k!r}")

    @property
    def parameters(self) -> dict[str, Any]:
        return {"k": self.k}

    def _reduce(self, p: Distribution) -> Array:
        xp = p.xp
        k, log_p = abs(self.k), p.finite_log_p
        terms = -xp.exp((1.0 - k) * log_p) * xp.expm1(2.0 * k * log_p) / (2.0 * k)
        return xp.sum(xp.where(p.zero, xp.zeros_like(terms), terms), axis=-1) + 0.0

    def at_uniform(self, k: int) -> float:
        return math.sinh(self.k * math.log(k)) / self.k


class Guessing(Entropy):
    """Massey's guessing entropy Σ i p_(i), p sorted descending: the mean number of guesses, from 1.

    Source: Massey (1994).
    """

    name, unit = "guessing", ""

    def _reduce(self, p: Distribution) -> Array:
        xp = p.xp
        ordered = xp.flip(xp.sort(p.p, axis=-1), axis=-1)
        kwargs = {"device": p.p.device} if hasattr(p.p, "device") and not isinstance(p.p, np.ndarray) else {}
        return xp.sum(ordered * xp.arange(1, p.p.shape[-1] + 1, dtype=p.p.dtype, **kwargs), axis=-1)

    def at_uniform(self, k: int) -> float:
        return (k + 1.0) / 2.0


class FCopy(Entropy):
    """The distance of a distribution from determinism, D(diag p ‖ p⊗p), in any f-divergence D.

    Σ p² f(1/p) + (1 - Σ p²) f(0). KL gives Shannon's entropy, total variation Gini-Simpson's, squared Hellinger
    1 - Σ p^(3/2), chi2 the number of states with mass less one, alpha(a) (Σ p^(2-a) - 1)/(a(a-1)).
    Source: Perrone (2023), arXiv 2212.11719.
    """

    name = "f_copy"

    def __init__(self, D: str | Divergence = "kl"):
        self.D = divergence(D)
        if not isinstance(self.D, Divergence):
            raise TypeError(f"D must be an f-divergence, got {self.D!r}")
        self.unit = self.D.unit  # type: ignore[misc]

    @property
    def parameters(self) -> dict[str, Any]:
        return {"D": self.D}

    def _reduce(self, p: Distribution) -> Array:
        xp = p.xp
        # p² f(1/p) is p times the swapped generator at p; off the diagonal, D charges f(0) for p_i p_j.
        terms = p.p * self.D._upper(xp, p.finite_log_p)
        value = xp.sum(xp.where(p.zero, xp.zeros_like(terms), terms), axis=-1)
        off_diagonal = xp.sum(p.p * (1.0 - p.p), axis=-1)
        if math.isfinite(self.D.f0):
            return value + self.D.f0 * off_diagonal
        return xp.where(off_diagonal > 0, xp.full_like(value, math.inf), value)

    def at_uniform(self, k: int) -> float:
        return float(self(np.full(k, 1.0 / k)))


def _renyi(alpha: float = 2.0) -> Entropy:
    """Rényi's entropy with its limits: Shannon's at 1, Hartley's at 0, the min-entropy at infinity."""
    limits: dict[float, type[Entropy]] = {1.0: Shannon, 0.0: Hartley, math.inf: MinEntropy}
    return limits[float(alpha)]() if float(alpha) in limits else Renyi(alpha)


def _collision() -> Entropy:
    """Collision entropy -log Σ p²: Rényi's of order 2."""
    return Renyi(2.0)


def _tsallis(q: float = 2.0) -> Entropy:
    """Tsallis entropy with its limit: Shannon's at 1."""
    return Shannon() if float(q) == 1.0 else Tsallis(q)


ENTROPIES: dict[str, Callable[..., Entropy]] = {
    "shannon": Shannon,
    "renyi": _renyi,
    "hartley": Hartley,
    "collision": _collision,
    "min": MinEntropy,
    "tsallis": _tsallis,
    "gini_simpson": GiniSimpson,
    "sharma_mittal": SharmaMittal,
    "kaniadakis": Kaniadakis,
    "guessing": Guessing,
    "f_copy": FCopy,
}
ALIASES = {"min_entropy": "min", "max": "hartley", "havrda_charvat": "tsallis", "gini": "gini_simpson"}


def get_entropy(kind: str | Entropy = "shannon", **parameters: Any) -> Entropy:
    """Return an entropy functional by name: one of :func:`entropies`, or an object as it is.

    Raises
    ------
    ValueError
        For an unknown name; the nearest is suggested.

    Examples
    --------
    >>> float(get_entropy("gini_simpson")([0.5, 0.5]))
    0.5
    """
    if isinstance(kind, Entropy):
        if parameters:
            raise TypeError(f"parameters belong to a name; {kind!r} is already built")
        return kind
    key = str(kind).strip().lower().replace("-", "_").replace(" ", "_")
    key = ALIASES.get(key, key)
    if key not in ENTROPIES:
        near = difflib.get_close_matches(key, [*ENTROPIES, *ALIASES], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown entropy {kind!r}; {hint}plogp.measures.entropies() lists all")
    build = ENTROPIES[key]
    try:
        inspect.signature(build).bind(**parameters)
    except TypeError as error:
        takes = ", ".join(inspect.signature(build).parameters) or "no parameters"
        raise TypeError(f"entropy {key!r} takes {takes}: {error}") from None
    return build(**parameters)


def entropies() -> list[str]:
    """Return the names that :func:`entropy` knows.

    >>> entropies()[:3]
    ['shannon', 'renyi', 'hartley']
    """
    return [*ENTROPIES]


def entropy(
    p: Array,
    kind: str | Entropy = "shannon",
    axis: int = -1,
    *,
    base: float | None = None,
    normalize: bool = False,
    check: bool = True,
    **parameters: Any,
) -> Any:
    """Return the entropy of known probabilities along an axis; Shannon's -Σ p log p by default.

    Parameters
    ----------
    p : array, shape (..., K)
        Probabilities; leading axes are a batch. Counts or weights with ``normalize=True``. Samples belong to
        :func:`plogp.estimate.entropy`.
    kind : str or Entropy
        One of :func:`plogp.measures.entropies`.
    axis : int
        The probability axis.
    base : float, optional
        Logarithm base; nats by default. Dimensionless entropies (Tsallis, Gini-Simpson ...) take none.
    normalize : bool
        Divide by the mass first.
    check : bool
        Look at the values and refuse what is no distribution.
    **parameters
        Of the family: ``alpha`` of renyi, ``q`` of tsallis, ``q, r`` of sharma_mittal, ``k`` of kaniadakis,
        ``D`` of f_copy.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ValueError
        For NaN, negative entries, or mass other than 1 (without `normalize`).

    Examples
    --------
    >>> float(entropy([0.5, 0.5], base=2))
    1.0
    >>> entropy([[0.5, 0.5], [1.0, 0.0]])
    array([0.69314718, 0.        ])
    >>> float(entropy([2, 1, 1], "renyi", alpha=0, normalize=True, base=3))
    1.0
    """
    return get_entropy(kind, **parameters)(p, axis, base=base, normalize=normalize, check=check)


def entropy_from_logits(
    logits: Array,
    kind: str | Entropy = "shannon",
    axis: int = -1,
    *,
    base: float | None = None,
    check: bool = True,
    **parameters: Any,
) -> Any:
    """Return the entropy of softmax(logits), computed in the log domain; -inf logits are masked states.

    Value and gradient are finite for logits of ±1e4 and for masked ones. Shapes and units as :func:`entropy`.

    >>> float(entropy_from_logits([0.0, 0.0, -np.inf], base=2))
    1.0
    """
    return get_entropy(kind, **parameters).from_logits(logits, axis, base=base, check=check)


class _Varentropy(Entropy):
    """Variance of the surprisal, Σ p log² p - H²."""

    name = "varentropy"

    def _reduce(self, p: Distribution) -> Array:
        xp = p.xp
        mean = xp.sum(p.p * p.finite_log_p, axis=-1, keepdims=True)
        deviation = p.finite_log_p - mean
        return xp.sum(p.p * deviation * deviation, axis=-1)

    def at_uniform(self, k: int) -> float:
        return 0.0


def varentropy(p: Array, axis: int = -1, *, base: float | None = None, normalize: bool = False) -> Any:
    """Return the variance of the surprisal, Σ p (log p + H)², in squared nats (or squared log `base`).

    >>> float(varentropy([0.5, 0.5]))
    0.0
    """
    factor = _Varentropy()._factor(base)
    return _Varentropy()(p, axis, normalize=normalize) * (factor * factor)


def hill_number(p: Array, order: float = 1.0, axis: int = -1, *, normalize: bool = False) -> Any:
    """Return the Hill number exp(Rényi entropy of `order`): the effective number of states.

    >>> float(hill_number([0.25, 0.25, 0.25, 0.25], order=2))
    4.0
    """
    value = get_entropy("renyi", alpha=order)(p, axis, normalize=normalize)
    return namespace(value).exp(value)
