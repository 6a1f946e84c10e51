"""Eigenvalues of what rows of data make: the smaller of two problems, whole or leading ones only.

The non-zero eigenvalues of AᵀA (d x d) and AAᵀ (n x n) are the same, so the smaller matrix is decomposed. The
backward passes of `eigvalsh` and `svdvals` in PyTorch are V diag(g) Vᵀ and U diag(g) Vᵀ: no differences of
eigenvalues are divided by, so any function of the eigenvalues alone has a correct gradient where they repeat.
Eigenvalues below rounding are set to exactly 0, which also cuts their gradient.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import Array, cast, detach, floats, is_traced

__all__ = [
    "BLOCK_BYTES",
    "as_rows",
    "gram_eigenvalues",
    "lanczos",
    "leading_eigenvalues",
    "leading_gram_eigenvalues",
    "padded",
    "placed",
    "prepared",
    "psd_eigenvalues",
    "random_normal",
    "row_mean",
    "settled",
    "singular_values",
]

#: Bytes of float64 rows held at a time when NumPy input is swept.
BLOCK_BYTES = 1 << 24
#: Squared lengths of rows from this to its inverse are computed without loss.
SMALLEST_SQUARE = 1e-280
#: Eigenvalues below this many roundings, times the root of the size, of the largest are zero.
ROUNDINGS = 4.0
#: A negative eigenvalue beyond this share of the largest is no rounding error.
INDEFINITE = 1e-6


def as_rows(X: Any, name: str = "X") -> tuple[Any, Array]:
    """Return `(xp, X)` with X of shape (..., n, d) and real floats, checked; a 1-D X is n samples of one dimension.

    Half precision is raised to float32, integers become floats. Other NumPy dtypes stay as they are (a memory map
    is not copied) and are raised to float64 block by block where they are used.

    Raises
    ------
    TypeError
        If `X` does not hold real numbers.
    ValueError
        If `X` is empty, a scalar, or holds NaN or infinite values.

    Examples
    --------
    >>> as_rows([1, 2, 3])[1].shape
    (3, 1)
    """
    xp, (X,), _ = floats(**{name: X})
    if X.ndim == 0:
        raise ValueError(f"{name} must have shape (n, d), samples as rows, got a scalar")
    if X.ndim == 1:
        X = X[:, None]
    if math.prod(X.shape) == 0:
        raise ValueError(f"{name} is empty: shape {tuple(X.shape)}")
    if not is_traced(X):
        for part in _parts(X):
            if not _finite(xp, detach(part)):
                raise ValueError(f"{name} holds NaN or infinite values; drop or impute them first")
    return xp, X


def _finite(xp: Any, x: Array) -> bool:
    """Whether all of x is finite; in one pass in the good case (a sum is finite unless something in it is not)."""
    if isinstance(x, np.ndarray):
        with np.errstate(over="ignore", invalid="ignore"):
            if bool(np.isfinite(x.sum())):
                return True
    return bool(xp.all(xp.isfinite(x)))


def _parts(X: Array) -> Iterator[Array]:
    """Yield blocks of rows of a NumPy matrix, or the whole of anything else."""
    if not isinstance(X, np.ndarray) or X.ndim != 2:
        yield X
        return
    step = max(1, BLOCK_BYTES // (8 * X.shape[1]))
    for start in range(0, len(X), step):
        yield X[start : start + step]


def row_mean(xp: Any, X: Array) -> Array:
    """Return the mean row, the axis kept; NumPy sums in float64."""
    if isinstance(X, np.ndarray):
        return np.mean(X, axis=-2, keepdims=True, dtype=np.float64)
    return xp.mean(X, axis=-2, keepdims=True)


def prepared(
    xp: Any,
    X: Array,
    mean: Array | None = None,
    *,
    unit: bool = False,
    weights: Array | None = None,
    first: int = 0,
    out: Array | None = None,
) -> Array:
    """Return rows less `mean`, scaled to unit length with `unit`, and times the roots of `weights`.

    `first` is the number of the first row, for messages; `out` a NumPy array that may be written to and returned.

    Raises
    ------
    ValueError
        If a row to be scaled is zero: it has no direction.
    """
    if isinstance(X, np.ndarray):
        X = X.astype(np.float64, copy=False)
    if mean is not None:
        X = X - mean if out is None else np.subtract(X, mean, out=out)
    if unit:
        if isinstance(X, np.ndarray):
            with np.errstate(over="ignore", under="ignore"):
                squared = np.einsum("...i,...i->...", X, X)[..., None]
            if squared.min() > SMALLEST_SQUARE and squared.max() < 1.0 / SMALLEST_SQUARE:
                # One factor a row for both, direction and weight.
                factor = np.sqrt((1.0 if weights is None else weights[..., None]) / squared)
                return X * factor if out is None else np.multiply(X, factor, out=out)
        # Dividing by the largest entry first keeps squares of huge and tiny values in range.
        peak = detach(xp.max(xp.abs(X), axis=-1, keepdims=True))
        if not is_traced(peak) and bool(xp.any(peak == 0)):
            row = int(xp.argmax(xp.astype(xp.reshape(peak, (-1,)) == 0, xp.int8)))
            raise ValueError(f"row {first + row} is zero and has no direction; drop it or pass normalize=None")
        X = X / peak
        X = X / xp.sqrt(xp.sum(X * X, axis=-1, keepdims=True))
    return X if weights is None else X * xp.sqrt(weights)[..., None]


def _gram_parts(xp: Any, X: Array, mean: Array | None, unit: bool, weights: Array | None) -> Iterator[Array]:
    """Yield the `prepared` rows: a NumPy matrix block by block, anything else whole."""
    if not isinstance(X, np.ndarray) or X.ndim != 2:
        yield prepared(xp, X, mean, unit=unit, weights=weights)
        return
    # One work space for all blocks: fetching new pages costs as much as the arithmetic.
    space = np.empty(0)
    start = 0
    for part in _parts(X):
        space = np.empty(part.shape) if space.size == 0 else space[: len(part)]
        w = None if weights is None else weights[start : start + len(part)]
        yield prepared(xp, part, mean, unit=unit, weights=w, first=start, out=space)
        start += len(part)


def gram_eigenvalues(
    xp: Any,
    X: Array,
    *,
    mean: Array | None = None,
    unit: bool = False,
    weights: Array | None = None,
    divisor: float = 1.0,
) -> Array:
    """Return the d eigenvalues of AᵀA / divisor, A the `prepared` rows, descending; zeros where n < d.

    NumPy input is swept in blocks of rows with sums in float64: no second copy of a large X is made.
    """
    n, d = X.shape[-2:]
    if d <= n and isinstance(X, np.ndarray) and X.ndim == 2:
        from scipy.linalg.blas import dsyrk

        # Added up in place, lower triangle only: what `eigvalsh` reads.
        gram = np.zeros((d, d), order="F")
        for a in _gram_parts(xp, X, mean, unit, weights):
            gram = dsyrk(1.0, a.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
    elif d <= n:
        a = prepared(xp, X, mean, unit=unit, weights=weights)
        gram = xp.matrix_transpose(a) @ a
    else:
        a = prepared(xp, X, mean, unit=unit, weights=weights)
        gram = a @ xp.matrix_transpose(a)
    if not is_traced(gram) and not bool(xp.all(xp.isfinite(detach(gram)))):
        raise ValueError(
            f"the squares of X overflow {str(gram.dtype).removeprefix('torch.')}; divide X by its largest magnitude "
            "(shares of a spectrum do not change)"
        )
    return padded(xp, psd_eigenvalues(xp, gram) / divisor, d)


def leading_gram_eigenvalues(
    xp: Any,
    X: Array,
    k: int,
    *,
    mean: Array | None = None,
    unit: bool = False,
    weights: Array | None = None,
    divisor: float = 1.0,
    rng: np.random.Generator | int | None = 0,
) -> tuple[Array, Array]:
    """Return the leading k eigenvalues of AᵀA / divisor by a randomised sketch, and its exact trace."""

    def apply(v: Array) -> Array:
        parts = _gram_parts(xp, X, mean, unit, weights)
        return sum_of(xp.matrix_transpose(a) @ (a @ v) for a in parts) / divisor

    like = X if not isinstance(X, np.ndarray) else np.empty(0)
    trace = sum_of(xp.sum(a * a, axis=(-2, -1)) for a in _gram_parts(xp, X, mean, unit, weights)) / divisor
    return leading_eigenvalues(xp, apply, X.shape[-1], k, like, rng=rng), trace


def sum_of(parts: Iterator[Array]) -> Array:
    """Return the sum of arrays, added into the first."""
    total = next(parts)
    for part in parts:
        total += part
    return total


def placed(like: Array) -> dict[str, Any]:
    """Return the keyword that makes a new array on the device of `like` (PyTorch; the others have one place)."""
    return {"device": like.device} if hasattr(like, "is_cuda") else {}


def padded(xp: Any, values: Array, size: int) -> Array:
    """Return `values` followed by zeros up to `size`."""
    missing = size - values.shape[-1]
    if missing <= 0:
        return values
    zeros = xp.zeros((*values.shape[:-1], missing), dtype=values.dtype, **placed(values))
    return xp.concat([values, zeros], axis=-1)


def psd_eigenvalues(xp: Any, S: Array, what: str = "", error: Array | None = None) -> Array:
    """Return the eigenvalues of symmetric matrices that should be positive semi-definite, descending, settled."""
    return settled(xp, xp.flip(xp.linalg.eigvalsh(S), axis=-1), what, error=error)


def singular_values(xp: Any, A: Array) -> Array:
    """Return the singular values, descending, those below rounding exactly 0."""
    return settled(xp, xp.linalg.svdvals(A), "", max(A.shape[-2:]))


def settled(xp: Any, values: Array, what: str = "", size: int | None = None, error: Array | None = None) -> Array:
    """Return descending values with those below rounding (and the negative ones) exactly 0.

    Warns where one is too negative for rounding, if `what` names the matrix. `error` is how far values may be off
    because the matrix was given in a lower precision; shape (..., 1).
    """
    top = detach(values[..., :1])
    floor = ROUNDINGS * float(xp.finfo(values.dtype).eps) * math.sqrt(size or values.shape[-1]) * xp.abs(top)
    if error is not None:
        floor = xp.where(floor > error, floor, error)
    if what and not is_traced(values):
        few = INDEFINITE * xp.abs(top)
        low = float(xp.max(-detach(values[..., -1:]) - xp.where(floor > few, floor, few)))
        if low > 0:
            warnings.warn(
                f"{what} is not positive semi-definite: its smallest eigenvalue is "
                f"{float(xp.min(detach(values))):.3g} against a largest of {float(xp.max(top)):.3g}; negative "
                "ones are counted as 0",
                UserWarning,
                stacklevel=4,
            )
    return xp.where(values <= floor, xp.zeros_like(values), values)


def random_normal(xp: Any, shape: tuple[int, ...], rng: np.random.Generator | int | None, like: Array) -> Array:
    """Return normal draws in the library, dtype and device of `like`, the same numbers for every library."""
    draws = np.random.default_rng(rng).standard_normal(shape)
    if isinstance(like, np.ndarray):
        return draws
    return cast(xp, xp.asarray(draws, **placed(like)), like.dtype)


def leading_eigenvalues(
    xp: Any,
    apply: Callable[[Array], Array],
    dim: int,
    k: int,
    like: Array,
    *,
    rng: np.random.Generator | int | None = 0,
    oversample: int = 10,
    iterations: int = 4,
) -> Array:
    """Return about the k leading eigenvalues of a PSD operator, descending: never above the true ones.

    Randomised subspace iteration, then the eigenvalues of QᵀSQ; `apply` takes (dim, m) to (dim, m). The basis Q
    carries no gradient, which is right to first order where it spans an invariant subspace.

    Source: N. Halko, P.-G. Martinsson and J. Tropp (2011), arXiv 0909.4061.
    """
    basis, _ = xp.linalg.qr(random_normal(xp, (dim, min(dim, k + oversample)), rng, like))
    for _ in range(iterations):
        basis, _ = xp.linalg.qr(detach(apply(basis)))
    small = xp.matrix_transpose(basis) @ apply(basis)
    small = 0.5 * (small + xp.matrix_transpose(small))
    return psd_eigenvalues(xp, small)[..., :k]


def lanczos(
    xp: Any, apply: Callable[[Array], Array], start: Array, steps: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], Array]:
    """Return the diagonal, the off-diagonal and the basis (steps, dim) of Lanczos's tridiagonal matrix.

    Each new vector is orthogonalised twice against all before it. Stops early where the space is exhausted.
    """
    q = start / xp.sqrt(xp.sum(start * start))
    basis, diagonal, off = [q], [], []
    scale = 0.0
    for step in range(steps):
        w = detach(apply(q))
        diagonal.append(float(xp.sum(w * q)))
        stack = xp.stack(basis)
        for _ in range(2):
            w = w - xp.matrix_transpose(stack) @ (stack @ w)
        norm = float(xp.sqrt(xp.sum(w * w)))
        scale = max(scale, abs(diagonal[-1]), norm)
        if step == steps - 1 or norm <= 1e3 * float(xp.finfo(w.dtype).eps) * scale:
            break
        off.append(norm)
        q = w / norm
        basis.append(q)
    return np.array(diagonal), np.array(off), xp.stack(basis)
