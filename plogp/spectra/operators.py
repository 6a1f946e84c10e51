"""Operators known only by their products with vectors: leading eigenvalues, traces of functions (Lanczos)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures import Estimate
from plogp.measures.arrays import Array, namespace
from plogp.spectra.eigen import lanczos, placed, random_normal, settled

__all__ = ["leading_of_operator", "spectral_sum"]

Floats = npt.NDArray[np.float64]


def _checked(xp: Any, matvec: Callable[[Array], Array], dim: int) -> Callable[[Array], Array]:
    """Return `matvec` with a look at what it returns."""

    def apply(v: Array) -> Array:
        out = matvec(v)
        shape = tuple(getattr(out, "shape", ()))
        if shape != (dim,):
            raise ValueError(f"matvec must return a vector of shape ({dim},), got {shape}")
        if not bool(xp.all(xp.isfinite(out))):
            raise ValueError("matvec returned NaN or infinite values")
        return out

    return apply


def _size(dim: Any, k: Any, name: str = "k") -> tuple[int, int]:
    for what, value in (("dim", dim), (name, k)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{what} must be a positive integer, got {value!r}")
    if k > dim:
        raise ValueError(f"{name} must be at most dim = {dim}, got {k}")
    return int(dim), int(k)


def leading_of_operator(
    xp: Any,
    matvec: Callable[[Array], Array],
    dim: int,
    k: int,
    trace: float | None,
    probes: int,
    like: Array,
    rng: np.random.Generator | int | None,
) -> tuple[Array, Any]:
    """Return the k leading eigenvalues of a PSD operator and its trace (see `Spectrum.operator`).

    Lanczos runs until the k leading values of its tridiagonal matrix have converged. One starting vector sees an
    eigenvalue of any multiplicity once; where the space is exhausted before, it starts again orthogonally to it.
    """
    dim, k = _size(dim, k)
    apply = _checked(xp, matvec, dim)
    generator = np.random.default_rng(rng)
    found = np.empty(0)
    vectors: Array = None
    converged = False
    while not converged and len(found) < dim:
        start = random_normal(xp, (dim,), generator, like)
        start = _outside(xp, start, vectors)

        deflated = partial(_deflated, xp, apply, vectors)
        steps = min(dim - len(found), max(4 * k + 20, 40))
        # Each run past the first looks for copies of repeated eigenvalues; when its largest value would no longer
        # enter the leading k, there are none left.
        values, basis = _ritz(xp, deflated, start, steps, max(1, k - len(found)))
        converged = len(found) >= k and values[0] <= np.sort(found)[::-1][k - 1] * (1 + 1e-9)
        found = np.concatenate([found, values])
        vectors = basis if vectors is None else xp.concat([vectors, basis])
    order = np.argsort(-found)[:k]
    place = placed(like)
    top = settled(xp, xp.asarray(found[order], dtype=start.dtype, **place), "the operator", dim)
    if trace is None:
        trace = (
            float(found.sum()) if len(found) >= dim else _trace(xp, apply, dim, probes, found, vectors, like, generator)
        )
    elif trace < float(found[order].sum()) * (1 - 1e-6):
        raise ValueError(f"trace={trace!r} is below the sum {found[order].sum():.6g} of the leading eigenvalues")
    return top, trace


def _deflated(xp: Any, apply: Callable[[Array], Array], vectors: Array | None, v: Array) -> Array:
    """Return the operator's product with `v`, both without their parts along the rows of `vectors`."""
    return _outside(xp, apply(_outside(xp, v, vectors)), vectors)


def _ritz(xp: Any, apply: Callable[[Array], Array], start: Array, steps: int, k: int) -> tuple[Floats, Array]:
    """Return the k leading Ritz values and vectors (rows), with more Lanczos steps until their residuals are small."""
    dim = start.shape[0]
    while True:
        diagonal, off, basis = lanczos(xp, apply, start, min(steps, dim))
        values, inside = _tridiagonal(diagonal, off)
        order = np.argsort(-values)[:k]
        done = len(diagonal) < min(steps, dim) or len(diagonal) >= dim
        if not done:
            # The residual of a Ritz pair is the next off-diagonal entry times the last entry of its vector.
            beyond = apply(basis[-1]) - diagonal[-1] * basis[-1] - off[-1] * basis[-2]
            residual = float(xp.sqrt(xp.sum(beyond * beyond))) * np.abs(inside[-1, order])
            tolerance = 1e-9 if "64" in str(start.dtype) else 1e-5
            done = bool((residual <= tolerance * max(abs(values).max(), 1e-300)).all())
        if done:
            place = placed(basis)
            turn = xp.asarray(np.ascontiguousarray(inside[:, order].T), dtype=basis.dtype, **place)
            return values[order], turn @ basis
        steps *= 2


def _tridiagonal(diagonal: Floats, off: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues and eigenvectors (columns) of a symmetric tridiagonal matrix."""
    from scipy.linalg import eigh_tridiagonal

    values, vectors = eigh_tridiagonal(diagonal, off)
    return np.asarray(values, dtype=np.float64), np.asarray(vectors, dtype=np.float64)


def _outside(xp: Any, v: Array, vectors: Array | None) -> Array:
    """Return the part of `v` orthogonal to the rows of `vectors`."""
    if vectors is None:
        return v
    return v - xp.matrix_transpose(vectors) @ (vectors @ v)


def _trace(
    xp: Any,
    apply: Callable[[Array], Array],
    dim: int,
    probes: int,
    found: Floats,
    vectors: Array,
    like: Array,
    rng: np.random.Generator,
) -> float:
    """Return the trace: the eigenvalues found, and Girard-Hutchinson probes of what is outside their space."""
    if probes < 1:
        raise ValueError(f"probes must be at least 1 to estimate the trace, got {probes!r}")
    total = 0.0
    for _ in range(probes):
        v = _outside(xp, random_normal(xp, (dim,), rng, like), vectors)
        # Scaled to the length that its expectation has: the trace of a constant is then exact.
        total += float(xp.sum(v * apply(v)) / xp.sum(v * v)) * (dim - len(found))
    return float(found.sum()) + max(total / probes, 0.0)


def spectral_sum(
    matvec: Callable[[Array], Array],
    dim: int,
    f: Callable[[Floats], Any],
    *,
    steps: int = 40,
    probes: int = 30,
    like: Any = None,
    rng: np.random.Generator | int | None = 0,
) -> Estimate:
    r"""Return Σ f(λ_i) over all eigenvalues of a symmetric operator, by stochastic Lanczos quadrature.

    .. math:: tr f(A) \approx \frac{dim}{m} \sum_{v} \sum_j \tau_{vj}^2 f(\theta_{vj})

    over m random unit vectors v, with θ the eigenvalues of Lanczos's tridiagonal matrix from v and τ the first
    entries of its eigenvectors. The entropy of the spectrum with trace T is log T - tr(A log A)/T.

    Parameters
    ----------
    matvec : callable
        Vector of shape (dim,) to vector of shape (dim,).
    dim : int
    f : callable
        Of an array of eigenvalues.
    steps : int
        Lanczos steps: exact for polynomials of degree 2·steps - 1.
    probes : int
        Random vectors.
    like : array, optional
        A tensor whose library, dtype and device `matvec` expects.
    rng : Generator, int or None

    Returns
    -------
    Estimate
        With the spread over probes as its error, Student's interval (dimensionless). The error of the quadrature,
        small where f is smooth over the spectrum, is not in it.

    Raises
    ------
    ValueError
        For sizes that are not positive, or a `matvec` that returns another shape or NaN.

    Examples
    --------
    >>> diagonal = np.linspace(1.0, 2.0, 500)
    >>> e = spectral_sum(lambda v: diagonal * v, 500, np.log)
    >>> low, high = e.interval()
    >>> bool(low < np.log(diagonal).sum() < high)
    True

    Notes
    -----
    Source: S. Ubaru, J. Chen and Y. Saad, SIAM Journal on Matrix Analysis and Applications 38, 2017.
    """
    from plogp.measures.uncertainty import Normal

    dim, steps = _size(dim, min(steps, dim) if isinstance(steps, int) else steps, "steps")
    if probes < 2:
        raise ValueError(f"probes must be at least 2 for an error, got {probes!r}")
    like = np.empty(0) if like is None else like
    xp = namespace(like)
    apply = _checked(xp, matvec, dim)
    generator = np.random.default_rng(rng)
    terms = np.empty(probes)
    for i in range(probes):
        diagonal, off, _ = lanczos(xp, apply, random_normal(xp, (dim,), generator, like), steps)
        nodes, inside = _tridiagonal(diagonal, off)
        terms[i] = dim * float(inside[0] ** 2 @ np.asarray(f(nodes), dtype=np.float64))
    value, se = float(terms.mean()), float(terms.std(ddof=1) / math.sqrt(probes))
    return Estimate(
        value,
        se,
        probes,
        f"slq(steps={steps}, probes={probes})",
        unit="",
        law=Normal(value, se, probes - 1),
        terms=terms,
        diagnostics={"dim": dim, "steps": steps},
    )
