"""Similarities of all pairs of items: Gaussian (NumPy or PyTorch, with gradients), cosine, or by any function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.kernels import squared_distances as squared_distance_blocks
from plogp.measures.arrays import Array, detach, is_traced
from plogp.spectra.eigen import as_rows, placed, prepared, row_mean

__all__ = ["KERNELS", "bandwidth_of", "gaussian_kernel", "is_sparse", "similarity_matrix", "squared_distances"]

KERNELS = ("cosine", "linear", "rbf", "precomputed")


def squared_distances(xp: Any, X: Array) -> Array:
    """Return the squared distances of all pairs of rows, (..., n, d) -> (..., n, n); exactly 0 on the diagonal.

    Differentiable everywhere, also where two rows coincide. Outside NumPy the distances come from products of
    centred rows.
    """
    if isinstance(X, np.ndarray) and X.ndim == 2:
        X = np.ascontiguousarray(X, dtype=np.float64)
        out = np.empty((len(X), len(X)))
        for rows, block in squared_distance_blocks(X, X):
            out[rows] = block
        return out
    if isinstance(X, np.ndarray):
        X = X.astype(np.float64, copy=False)
    X = X - detach(row_mean(xp, X))
    size = xp.sum(X * X, axis=-1)
    apart = size[..., :, None] + size[..., None, :] - 2.0 * (X @ xp.matrix_transpose(X))
    place = placed(X)
    same = xp.eye(X.shape[-2], dtype=xp.bool, **place)
    apart = 0.5 * (apart + xp.matrix_transpose(apart))
    return xp.where(same | (apart < 0), xp.zeros_like(apart), apart)


def bandwidth_of(xp: Any, squared: Array, sigma: str | float) -> Any:
    """Return sigma squared: a number, or the square of the median distance of two different rows (no gradient).

    Where most points coincide and the median is 0, it is the median of the positive distances; where all coincide,
    any bandwidth gives the same similarities, and it is 1.

    Raises
    ------
    ValueError
        If `sigma` is neither "median" nor a positive number.
    """
    if not isinstance(sigma, str):
        if not (isinstance(sigma, (int, float, np.number)) and 0 < sigma < math.inf):
            raise ValueError(f"sigma must be 'median' or a positive number, got {sigma!r}")
        return float(sigma) ** 2
    if sigma != "median":
        raise ValueError(f"sigma must be 'median' or a positive number, got {sigma!r}")
    if is_traced(squared):
        raise ValueError("sigma='median' looks at the distances and cannot be traced; pass a number")
    n = squared.shape[-1]
    if isinstance(squared, np.ndarray):
        host = squared
    else:
        host = np.asarray(detach(squared).cpu() if hasattr(squared, "cpu") else detach(squared))
    upper = np.triu_indices(n, 1)
    found = []
    for one in host.reshape(-1, n, n):
        apart = np.sqrt(one[upper])
        middle = float(np.median(apart)) if n > 1 else 0.0
        if middle == 0.0 and (apart > 0).any():
            middle = float(np.median(apart[apart > 0]))
        found.append(middle**2 or 1.0)
    if len(found) == 1:
        return found[0]
    place = placed(squared)
    return xp.reshape(xp.asarray(found, dtype=squared.dtype, **place), (*squared.shape[:-2], 1, 1))


def gaussian_kernel(xp: Any, X: Array, sigma: str | float = "median") -> Array:
    """Return exp(-|x_i - x_j|²/(2σ²)), shape (..., n, n).

    >>> gaussian_kernel(np, np.array([[0.0], [2.0]]), 1.0).round(4)
    array([[1.    , 0.1353],
           [0.1353, 1.    ]])
    """
    squared = squared_distances(xp, X)
    return xp.exp(squared * (-0.5 / bandwidth_of(xp, squared, sigma)))


def similarity_matrix(
    x: Any,
    kernel: str | Callable[[Any, Any], float] = "cosine",
    *,
    bandwidth: str | float = "median",
    progress: bool = False,
) -> Array:
    """Return the n x n similarities of items; parameters as in `plogp.spectra.vendi_score`.

    >>> similarity_matrix([[1.0, 0.0], [1.0, 1.0]], "cosine").round(4)
    array([[1.    , 0.7071],
           [0.7071, 1.    ]])
    """
    if callable(kernel):
        return _pairwise(x, kernel, progress)
    if kernel not in KERNELS:
        raise ValueError(
            f"kernel must be one of {', '.join(map(repr, KERNELS))} or a function of two items, got {kernel!r}"
        )
    if is_sparse(x):
        return _sparse_similarities(x, kernel)
    xp, X = as_rows(x, "x")
    if kernel == "precomputed":
        return X
    if kernel == "rbf":
        return gaussian_kernel(xp, X, bandwidth)
    Z = prepared(xp, X, unit=kernel == "cosine")
    return Z @ xp.matrix_transpose(Z)


def _pairwise(items: Any, kernel: Callable[[Any, Any], float], progress: bool) -> npt.NDArray[np.float64]:
    """Return kernel(a, b) of all pairs, each called once."""
    items = list(items)
    n = len(items)
    if n == 0:
        raise ValueError("x holds no items")
    K = np.empty((n, n))
    rows: Any = range(n)
    if progress:
        from rich.progress import track

        rows = track(rows, description="similarities")
    for i in rows:
        for j in range(i, n):
            K[i, j] = K[j, i] = float(kernel(items[i], items[j]))
    return K


def is_sparse(x: Any) -> bool:
    """Whether `x` is a SciPy sparse matrix or array."""
    return type(x).__module__.startswith("scipy.sparse")


def _sparse_similarities(x: Any, kernel: str) -> npt.NDArray[np.float64]:
    from scipy import sparse

    if kernel not in ("cosine", "linear", "precomputed"):
        raise ValueError(f"kernel {kernel!r} takes dense rows; a sparse x goes with 'cosine', 'linear', 'precomputed'")
    X = sparse.csr_array(x, dtype=np.float64)
    if 0 in X.shape:
        raise ValueError(f"x is empty: shape {X.shape}")
    if not np.isfinite(X.data).all():
        raise ValueError("x holds NaN or infinite values; drop or impute them first")
    if kernel == "precomputed":
        return np.asarray(X.toarray())
    if kernel == "cosine":
        size = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
        if not size.all():
            raise ValueError(f"row {int(np.argmin(size))} is zero and has no direction; drop it")
        X = sparse.csr_array(sparse.diags_array(1.0 / size) @ X)
    return np.asarray((X @ X.T).toarray())
