"""Sums of kernels over pairs of points, in blocks of bounded memory: the one loop under every KDE."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats

__all__ = ["BLOCK_BYTES", "KERNELS", "Kernel", "kernel_of", "squared_distances", "weight_sums"]

Rows = npt.NDArray[np.intp]

#: Bytes of the distances held at a time; the work space is about twice that.
BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Kernel:
    """A kernel K(u) = exp(-scale · |u|^exponent) / Z_d.

    >>> KERNELS["gaussian"]
    Kernel(name='gaussian', scale=0.5, exponent=2.0)
    """

    name: str
    scale: float
    exponent: float

    def log_norm(self, d: int) -> float:
        """Return log Z_d = log ∫ exp(-scale |u|^a) du over R^d.

        >>> round(KERNELS["gaussian"].log_norm(2), 6)  # log 2π
        1.837877
        """
        from scipy.special import gammaln

        a = self.exponent
        sphere = math.log(2.0) + 0.5 * d * math.log(math.pi) - float(gammaln(0.5 * d))
        return sphere + float(gammaln(d / a)) - math.log(a) - (d / a) * math.log(self.scale)

    def log_weights(self, squared: Floats, h: float) -> Floats:
        """Turn squared distances into log-weights -scale · (|x-y|/h)^a, in place."""
        if self.exponent == 2.0:
            squared *= -self.scale / (h * h)
            return squared
        np.sqrt(squared, out=squared)
        squared *= 1.0 / h
        np.power(squared, self.exponent, out=squared)
        squared *= -self.scale
        return squared

    def draw(self, size: int, d: int, rng: np.random.Generator) -> Floats:
        """Return `size` draws of the kernel's own distribution on R^d."""
        direction = rng.normal(size=(size, d))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        radius = (rng.gamma(d / self.exponent, size=size) / self.scale) ** (1 / self.exponent)
        return np.asarray(direction * radius[:, None])


KERNELS = {"gaussian": Kernel("gaussian", 0.5, 2.0), "exponential": Kernel("exponential", 1.0, 1.0)}


def kernel_of(name: str) -> Kernel:
    """Return a kernel by name.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(map(repr, KERNELS))}, got {name!r}")
    return KERNELS[name]


def squared_distances(
    queries: Floats, centres: Floats, leave_out: Rows | None = None, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[slice, Floats]]:
    """Yield (rows of `queries`, their squared distances to every centre), block by block.

    Parameters
    ----------
    queries : array, shape (m, d)
    centres : array, shape (n, d)
    leave_out : array of int, shape (m,), optional
        For each query the centre to leave out (itself): its distance is set to infinity.
    block_bytes : int
        Size of one block. A block is the caller's to overwrite.
    """
    from scipy.spatial.distance import cdist

    step = max(1, block_bytes // (8 * len(centres)))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        block = cdist(queries[rows], centres, "sqeuclidean")
        if leave_out is not None:
            block[np.arange(len(block)), leave_out[rows]] = np.inf
        yield rows, block


def weight_sums(
    queries: Floats,
    centres: Floats,
    h: float,
    kernel: Kernel,
    leave_out: Rows | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[Floats, Floats]:
    """Return log Σ_i w_i and the participation Σ_i w_i² / (Σ_i w_i)², for each query.

    Parameters
    ----------
    queries : array, shape (m, d)
    centres : array, shape (n, d)
    h : float
        Bandwidth.
    kernel : Kernel
    leave_out : array of int, shape (m,), optional
        For each query the centre to leave out.
    block_bytes : int
        Size of the blocks of distances; peak memory is about twice that.

    Examples
    --------
    >>> log_sum, participation = weight_sums(np.zeros((1, 1)), np.zeros((4, 1)), 1.0, KERNELS["gaussian"])
    >>> np.exp(log_sum), participation
    (array([4.]), array([0.25]))
    """
    log_sum, participation = np.empty(len(queries)), np.empty(len(queries))
    for rows, block in squared_distances(queries, centres, leave_out, block_bytes):
        logs = kernel.log_weights(block, h)
        top = logs.max(axis=1)
        logs -= top[:, None]
        weights = np.exp(logs, out=logs)
        total = weights.sum(axis=1)
        log_sum[rows] = top + np.log(total)
        participation[rows] = np.einsum("ij,ij->i", weights, weights) / total**2
    return log_sum, participation
