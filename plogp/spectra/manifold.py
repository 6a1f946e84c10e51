"""How many class manifolds a linear read-out can tell apart: their radius, dimension and capacity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_array
from plogp.measures.arrays import Array, scalar
from plogp.spectra.eigen import as_rows, row_mean
from plogp.spectra.functionals import host
from plogp.spectra.spectrum import Spectrum

__all__ = ["ManifoldCapacity", "ball_capacity", "manifold_capacity"]

#: Nodes of the quadrature over the norm of a normal vector; these give 12 digits.
NODES = 161


@dataclass(frozen=True, eq=False)
class ManifoldCapacity:
    """Geometry of each class, in the order of `classes`.

    Attributes
    ----------
    classes : array, shape (c,)
    radius : array, shape (c,)
        Root mean square distance from the centroid, in units of the centroid's own length.
    dimension : array, shape (c,)
        How many directions the class extends in: (Σσ)²/Σσ² of the deviations' singular values.
    capacity : array, shape (c,)
        Largest number of such manifolds per dimension of the space that a hyperplane through the origin still
        separates under random binary labels: 2 for points, 1/(D + 1/2) for D-dimensional subspaces.
    counts : array of int, shape (c,)

    Examples
    --------
    >>> m = manifold_capacity([[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0]], [0, 0, 1, 1])
    >>> m.mean["dimension"]
    1.0
    """

    classes: npt.NDArray[Any]
    radius: Array
    dimension: Array
    capacity: Array
    counts: npt.NDArray[np.int64]

    @property
    def mean(self) -> dict[str, float]:
        """Means over classes; of the capacity the harmonic one, since it is manifolds' needs that add up."""
        needs = host(1.0 / self.capacity)
        return {
            "radius": float(host(self.radius).mean()),
            "dimension": float(host(self.dimension).mean()),
            "capacity": float(1.0 / needs.mean()),
        }

    def __repr__(self) -> str:
        said = ", ".join(f"{k} {v:.3g}" for k, v in self.mean.items())
        return f"ManifoldCapacity({len(self.classes)} classes, {sum(self.counts)} samples; mean {said})"


def manifold_capacity(Z: Any, labels: Any, *, center: bool = False) -> ManifoldCapacity:
    r"""Radius, dimension and capacity of the manifold that each class makes in a representation.

    .. math:: R = \frac{\sqrt{\sum_i s_i^2}}{\|c\|}, \qquad D = \frac{(\sum_i s_i)^2}{\sum_i s_i^2}, \qquad
        R \sqrt D = \frac{\|Z - c\|_*}{\sqrt n \, \|c\|}

    with c the centroid of a class and s_i its standard deviations along principal axes (singular values of the n
    deviations over √n). The class is taken for a ball of that radius and dimension in general position; see
    `ball_capacity`. Small and low-dimensional manifolds far from the origin have a high capacity.

    Suitable for comparing layers and models on the same samples. Classes should have many more samples than
    dimensions (D is at most n - 1). That centroids and axes of classes are correlated is not seen: the capacity is
    what these shapes would have in random directions.

    Parameters
    ----------
    Z : array, shape (n, d)
        Representation, one row a sample; NumPy or PyTorch.
    labels : array, shape (n,)
        Class of each row (or image of each view).
    center : bool
        Take the mean of all rows off first, as for a read-out with a threshold.

    Returns
    -------
    ManifoldCapacity
        Radius, dimension (in the library and device of Z, with gradients) and capacity (without) of every class,
        and their means. A class of one sample, or of equal rows, is a point: radius and dimension 0, capacity 2.

    Raises
    ------
    ValueError
        If lengths differ or values are not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(np.arange(10), 50)
    >>> centres = rng.normal(size=(10, 64))
    >>> tight = manifold_capacity(centres[labels] + 0.1 * rng.normal(size=(500, 64)), labels)
    >>> wide = manifold_capacity(centres[labels] + 1.0 * rng.normal(size=(500, 64)), labels)
    >>> tight.mean["capacity"] > 5 * wide.mean["capacity"]
    True

    Notes
    -----
    T. Yerxa, Y. Kuang, E. Simoncelli and S. Chung, NeurIPS 2023, arXiv 2303.03307 (radius and dimension of
    elliptical manifolds); S. Chung, D. Lee and H. Sompolinsky, Physical Review E 93, 2016, arXiv 1512.01834.
    """
    xp, Z = as_rows(Z, "Z")
    if Z.ndim != 2:
        raise ValueError(f"Z must have shape (n, d), got {tuple(Z.shape)}")
    named = as_array(labels, "labels")
    if named.shape != (Z.shape[0],):
        raise ValueError(f"labels must have shape ({Z.shape[0]},), one label a row of Z, got {named.shape}")
    if isinstance(Z, np.ndarray):
        Z = Z.astype(np.float64, copy=False)
    if center:
        Z = Z - row_mean(xp, Z)
    classes, position, counts = np.unique(named, return_inverse=True, return_counts=True)
    place = {} if isinstance(Z, np.ndarray) else {"device": Z.device}
    found = [
        _shape(xp, xp.take(Z, xp.asarray(np.flatnonzero(position == i), **place), axis=0)) for i in range(len(classes))
    ]
    radius, dimension = (xp.stack(column) for column in zip(*found))
    capacity = ball_capacity(host(radius), host(dimension))
    return ManifoldCapacity(
        classes, radius, dimension, xp.asarray(capacity, dtype=Z.dtype, **place), counts.astype(np.int64)
    )


def _shape(xp: Any, Z: Array) -> tuple[Array, Array]:
    """Radius and dimension of one class."""
    n = Z.shape[0]
    centroid = row_mean(xp, Z)
    length = xp.sqrt(xp.sum(centroid * centroid))
    spectrum = Spectrum.singular(Z - centroid)
    peak = spectrum.values[0]
    zero = xp.zeros_like(peak)
    # A point's deviations are rounding errors of its position.
    rounding = 8 * float(xp.finfo(Z.dtype).eps) * math.sqrt(n) * float(host(xp.max(xp.abs(Z))))
    if float(host(peak)) <= rounding:
        return zero, zero
    s = spectrum.values / math.sqrt(n)
    square = xp.sum(s * s)
    radius = xp.sqrt(square) / length if float(host(length)) > 0 else xp.full_like(peak, math.inf)
    return radius, xp.sum(s) ** 2 / square


def ball_capacity(radius: Any, dimension: Any) -> Any:
    r"""Capacity of balls: how many per dimension a hyperplane through the origin separates under random labels.

    .. math:: \alpha^{-1} = \Big\langle \int_{-\tau/R}^{R\tau} \frac{(R\tau - t)^2}{1 + R^2} Dt +
        \int_{-\infty}^{-\tau/R} (t^2 + \tau^2) Dt \Big\rangle_{\tau \sim \chi_D}

    is the mean squared distance of a normal vector from the cone of weights that classify a ball: α is 2 for R = 0,
    2/(D + 1) for R = 1 and 1/(D + 1/2) for R = ∞. Exact for large spaces and balls in random directions.

    Parameters
    ----------
    radius : array
        R, in units of the centroid's length, >= 0 (inf allowed).
    dimension : array
        D > 0, not necessarily whole; 0 is a point.

    Returns
    -------
    array
        Of float64, of the shape that both broadcast to.

    Raises
    ------
    ValueError
        If one is negative or NaN.

    Examples
    --------
    >>> ball_capacity([0.0, 1.0, np.inf], 10.0).round(4)
    array([2.    , 0.1818, 0.0952])

    Notes
    -----
    S. Chung, D. Lee and H. Sompolinsky, Physical Review E 93, 2016, arXiv 1512.01834.
    """
    from scipy import special

    R, D = np.broadcast_arrays(np.asarray(radius, dtype=np.float64), np.asarray(dimension, dtype=np.float64))
    if not ((R >= 0).all() and (D >= 0).all() and np.isfinite(D).all()):
        raise ValueError("radius must be >= 0, dimension finite and >= 0, and neither NaN")
    point, flat = (R == 0) | (D == 0), np.isinf(R)
    R, D = np.where(point | flat, 1.0, R)[..., None], np.where(point, 1.0, D)[..., None]

    def density(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)

    # τ as an increasing function of a normal variable: the trapezoid rule over it converges exponentially.
    normal = np.linspace(-8.0, 8.0, NODES)
    tails = special.ndtr(-np.abs(normal))
    tau = np.sqrt(2 * np.where(normal < 0, special.gammaincinv(D / 2, tails), special.gammainccinv(D / 2, tails)))
    weights = density(normal) * (normal[1] - normal[0])
    low, high = -tau / R, R * tau
    mass = special.ndtr(high) - special.ndtr(low)
    inside = (high * high + 1) * mass + high * density(high) + (low - 2 * high) * density(low)
    outside = (1 + tau * tau) * special.ndtr(low) - low * density(low)
    need = ((inside / (1 + R * R) + outside) * weights).sum(axis=-1)
    need = np.where(flat, D[..., 0] + 0.5, need)
    return scalar(1.0 / np.where(point, 0.5, need))
