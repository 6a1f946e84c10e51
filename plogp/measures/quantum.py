"""Quantum divergences of density matrices, and the von Neumann entropy, through eigenvalues.

A density matrix is Hermitian, positive semi-definite, with trace 1; the last two axes hold it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from plogp.measures.arrays import (
    Array,
    cast,
    floats,
    is_traced,
    log_probabilities,
    namespace,
    non_negative,
    scalar,
    xlogx,
)
from plogp.measures.divergence import Dissimilarity, Pair
from plogp.measures.functional import log_factor

__all__ = ["SandwichedRenyi", "Umegaki", "check_density", "von_neumann"]


def check_density(rho: Array, name: str = "rho") -> None:
    """Raise unless `rho` holds symmetric positive semi-definite matrices with trace 1."""
    xp = namespace(rho)
    if rho.ndim < 2 or rho.shape[-1] != rho.shape[-2]:
        raise ValueError(f"{name} must hold square matrices, got shape {tuple(rho.shape)}")
    if is_traced(rho):
        return
    tol = 100 * float(xp.finfo(rho.dtype).eps) * rho.shape[-1]
    if not bool(xp.all(xp.isfinite(rho))):
        raise ValueError(f"{name} contains NaN or infinite entries")
    if bool(xp.any(xp.abs(rho - xp.matrix_transpose(rho)) > tol)):
        raise ValueError(f"{name} must be symmetric")
    trace = xp.linalg.trace(rho)
    if bool(xp.any(xp.abs(trace - 1.0) > tol)):
        raise ValueError(f"{name} must have trace 1, got {float(xp.max(trace)):.6g}")
    low = float(xp.min(xp.linalg.eigvalsh(rho)))
    if low < -tol:
        raise ValueError(f"{name} must be positive semi-definite, got an eigenvalue {low:.3g}")


def _eigen(xp: Any, rho: Array) -> tuple[Array, Array]:
    """Return eigenvalues, those below rounding set to exactly 0, and eigenvectors."""
    values, vectors = xp.linalg.eigh(rho)
    floor = 16 * float(xp.finfo(rho.dtype).eps) * rho.shape[-1]
    return xp.where(values < floor, xp.zeros_like(values), values), vectors


def von_neumann(rho: Array, *, base: float | None = None, check: bool = True) -> Any:
    """Return the von Neumann entropy -tr ρ log ρ of density matrices, shape (..., d, d) -> (...), in nats.

    >>> import numpy as np
    >>> float(von_neumann(np.eye(2) / 2))
    0.6931471805599453
    """
    xp, (rho,), out = floats(rho=rho)
    if check:
        check_density(rho)
    values = xp.linalg.eigvalsh(rho)
    values = xp.where(values < 0, xp.zeros_like(values), values)
    entropy = -xp.sum(xlogx(values), axis=-1)
    return scalar(cast(xp, entropy * log_factor(base), out))


class _Quantum(Dissimilarity):
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
        """Return D(ρ‖σ) for density matrices p = ρ and q = σ, shape (..., d, d) -> (...)."""
        if axis != -1:
            raise ValueError("a quantum divergence takes matrices on the last two axes; axis has no meaning")
        factor = self._factor(base)
        xp, (rho, sigma), out = floats(p=p, q=q)
        if normalize:
            rho = rho / xp.linalg.trace(rho)[..., None, None]
            sigma = sigma / xp.linalg.trace(sigma)[..., None, None]
        if check:
            check_density(rho, "p")
            check_density(sigma, "q")
        if rho.shape[-2:] != sigma.shape[-2:]:
            shapes = f"{tuple(rho.shape)} and {tuple(sigma.shape)}"
            raise ValueError(f"p and q must hold matrices of the same size, got shapes {shapes}")
        value = self._matrices(xp, rho, sigma)
        return self._result(xp, non_negative(xp, value), factor, out)

    @abstractmethod
    def _matrices(self, xp: Any, rho: Array, sigma: Array) -> Array:
        """Return the divergence of matrices on the last two axes."""

    def _reduce(self, pair: Pair) -> Array:
        raise TypeError(f"{self.name} compares density matrices: call it on matrices, not on logits")


class Umegaki(_Quantum):
    """Umegaki's relative entropy tr ρ (log ρ - log σ); +inf where ρ has support outside σ's.

    Source: Umegaki (1962).
    """

    name = "umegaki"

    def _matrices(self, xp: Any, rho: Array, sigma: Array) -> Array:
        a, u = _eigen(xp, rho)
        b, v = _eigen(xp, sigma)
        overlap = (xp.matrix_transpose(u) @ v) ** 2  # |<u_i|v_j>|²
        mass = xp.sum(a[..., :, None] * overlap, axis=-2)  # what ρ puts on each eigenvector of σ
        cross = xp.sum(mass * xp.where(b > 0, log_probabilities(xp.where(b > 0, b, xp.ones_like(b))), 0.0 * b), axis=-1)
        outside = xp.sum(xp.where(b > 0, xp.zeros_like(mass), mass), axis=-1)
        value = xp.sum(xlogx(a), axis=-1) - cross
        floor = 64 * float(xp.finfo(rho.dtype).eps) * rho.shape[-1]
        return xp.where(outside > floor, xp.full_like(value, math.inf), value)


class SandwichedRenyi(_Quantum):
    """Sandwiched Rényi divergence log tr[(σ^c ρ σ^c)^α] / (α - 1), c = (1-α)/(2α), α >= ½.

    α → 1 is Umegaki's (ask for that by name). Source: Müller-Lennert et al. (2013); Wilde et al. (2014).
    """

    name = "sandwiched_renyi"

    def __init__(self, alpha: float = 2.0):
        self.alpha = float(alpha)
        if not 0.5 <= self.alpha < math.inf or self.alpha == 1.0:
            raise ValueError(f"alpha must be in [½, ∞) and not 1, got {alpha!r} (1 is 'umegaki')")

    @property
    def parameters(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def _matrices(self, xp: Any, rho: Array, sigma: Array) -> Array:
        alpha, power = self.alpha, (1.0 - self.alpha) / (2.0 * self.alpha)
        b, v = _eigen(xp, sigma)
        safe = xp.where(b > 0, b, xp.ones_like(b))
        root = xp.where(b > 0, safe**power, xp.zeros_like(b))
        half = (v * root[..., None, :]) @ xp.matrix_transpose(v)
        inner = half @ rho @ half
        values = xp.linalg.eigvalsh(0.5 * (inner + xp.matrix_transpose(inner)))
        positive = values > 0
        moment = xp.sum(
            xp.where(positive, xp.where(positive, values, xp.ones_like(values)) ** alpha, 0.0 * values),
            axis=-1,
        )
        value = log_probabilities(moment) / (alpha - 1.0)
        if alpha < 1.0:
            return value
        outside = xp.where(b > 0, xp.zeros_like(b), xp.sum((rho @ v) * v, axis=-2))
        floor = 64 * float(xp.finfo(rho.dtype).eps) * rho.shape[-1]
        return xp.where(xp.sum(outside, axis=-1) > floor, xp.full_like(value, math.inf), value)
