"""Bregman divergences φ(p) - φ(q) - ⟨∇φ(q), p - q⟩ of separable convex functions.

They compare vectors of positive numbers, not only probabilities: the arguments need not sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from plogp.measures.arrays import Array, non_negative
from plogp.measures.divergence import Dissimilarity, Pair
from plogp.measures.kl_family import KL

__all__ = ["Bregman", "GeneralizedKL", "ItakuraSaito", "SquaredEuclidean"]


class Bregman(Dissimilarity):
    """Bregman divergence Σ φ(p) - φ(q) - φ'(q)(p - q) of your own convex function φ of one variable.

    Parameters
    ----------
    phi, dphi : callable
        The function and its derivative, applied elementwise to arrays.

    Examples
    --------
    >>> half_square = Bregman(lambda x: 0.5 * x * x, lambda x: x)
    >>> float(half_square([1.0, 2.0], [0.0, 0.0]))
    2.5

    References
    ----------
    Bregman (1967); Banerjee et al. (2005).
    """

    name = "bregman"
    unit = ""
    _additive = True
    _on_simplex = False

    def __init__(self, phi: Callable[[Array], Array], dphi: Callable[[Array], Array]):
        self.phi, self.dphi = phi, dphi

    @property
    def parameters(self) -> dict[str, Any]:
        return {"phi": self.phi, "dphi": self.dphi}

    def _reduce(self, pair: Pair) -> Array:
        p, q = pair.p, pair.q
        return pair.xp.sum(self.phi(p) - self.phi(q) - self.dphi(q) * (p - q), axis=-1)


class SquaredEuclidean(Dissimilarity):
    """Squared Euclidean distance Σ (p - q)²: the Bregman divergence of x²."""

    name, unit, symmetric = "squared_euclidean", "", True
    _additive, _on_simplex = True, False

    def _reduce(self, pair: Pair) -> Array:
        return pair.xp.sum((pair.p - pair.q) ** 2, axis=-1)


class GeneralizedKL(Dissimilarity):
    """Generalised KL (I-divergence) Σ p log(p/q) - p + q for non-negative vectors: Bregman's of x log x."""

    name = "generalized_kl"
    _additive, _on_simplex = True, False

    def _reduce(self, pair: Pair) -> Array:
        return KL()._reduce(pair)  # the generator's standard form holds for vectors of any mass

    def _finish(self, xp: Any, reduced: Array) -> Array:
        return non_negative(xp, reduced)


class ItakuraSaito(Dissimilarity):
    """Itakura-Saito divergence Σ p/q - log(p/q) - 1 for positive vectors: Bregman's of -log x.

    Source: Itakura and Saito (1968).
    """

    name = "itakura_saito"
    _additive, _on_simplex = True, False

    def _reduce(self, pair: Pair) -> Array:
        xp = pair.xp
        inside = xp.expm1(pair.r) - pair.r
        return xp.sum(pair.patch(inside, math.inf, math.inf), axis=-1)
