"""Samples as rows: what every continuous estimator does with its input before it estimates anything."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "as_samples",
    "check_neighbours",
    "check_same_length",
    "jittered",
    "normal_scores",
    "rescaled",
]

Floats = npt.NDArray[np.float64]


def as_samples(x: Any, name: str = "x") -> Floats:
    """Return `x` as a float64 array of shape (n, d): one row a sample; a 1-D `x` is n samples of one dimension.

    Lists, data-frame columns, and PyTorch or JAX arrays (on any device) are accepted.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If `x` is empty, has more than two axes, or holds NaN or infinite values (nothing is dropped silently).

    Examples
    --------
    >>> as_samples([1, 2, 3]).shape
    (3, 1)
    """
    if hasattr(x, "detach"):  # a PyTorch tensor, perhaps with a gradient or on a GPU
        x = x.detach().cpu().numpy()
    try:
        array = np.asarray(x)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of real numbers, one row a sample") from error
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name} must hold real numbers, got objects that are not numbers") from error
    if array.dtype.kind not in "buif":
        raise TypeError(
            f"{name} must hold real numbers, got dtype {array.dtype}; categories belong to the discrete estimators"
        )
    array = np.ascontiguousarray(array, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape (n,) or (n, d), got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: shape {array.shape}")
    # One pass in the good case: a sum is finite unless something in it is not (or it overflows).
    with np.errstate(over="ignore", invalid="ignore"):
        surely_finite = bool(np.isfinite(array.sum()))
    if not surely_finite and not (finite := np.isfinite(array).all(axis=1)).all():
        row = int(np.argmin(finite))
        bad = int(np.count_nonzero(~finite))
        raise ValueError(
            f"{name} holds NaN or infinite values in {bad} of {len(array)} rows (the first is row {row}); "
            "drop or impute them first"
        )
    return array


def check_same_length(**named: Floats) -> int:
    """Return the number of rows that the named samples share, or raise a ValueError that lists their lengths."""
    lengths = {name: len(x) for name, x in named.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"samples must be paired row by row, but {said} rows")
    return next(iter(lengths.values()))


def check_neighbours(k: Any, n: int, name: str = "k") -> int:
    """Return `k` as an int, or raise if it is not between 1 and n - 1."""
    try:
        k = operator.index(k)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {k!r}") from error
    if k < 1:
        raise ValueError(f"{name} must be at least 1, got {k}")
    if n <= k:
        raise ValueError(
            f"too few samples: {name}={k} neighbours need at least {k + 1} samples, got {n}; "
            f"collect more samples or lower {name}"
        )
    return k


def rescaled(x: Floats, scale: str | None) -> Floats:
    """Return `x` with comparable axes: ``"standard"`` (mean 0, sd 1), ``"rank"`` (normal scores) or None (as is).

    Mutual information does not change under one-to-one maps of each variable, the joint norm does: an axis
    in metres beside one in millimetres would decide alone who is a neighbour. A constant axis becomes 0.

    Examples
    --------
    >>> rescaled(np.array([[1.0, 5.0], [3.0, 5.0]]), "standard")
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    if scale is None:
        return x
    if scale == "rank":
        return normal_scores(x)
    if scale != "standard":
        raise ValueError(f"scale must be 'standard', 'rank' or None, got {scale!r}")
    # Dividing by a power of two first keeps squares of huge values finite and changes no digit.
    peak = np.abs(x).max(axis=0)
    x = x * np.exp2(-np.ceil(np.log2(np.where(peak > 0, peak, 1.0))))
    centred = x - x.mean(axis=0)
    centred[:, np.ptp(x, axis=0) == 0] = 0.0
    sd = np.sqrt(np.mean(centred * centred, axis=0))
    return np.asarray(centred / np.where(sd > 0, sd, 1.0))


def normal_scores(x: Floats) -> Floats:
    """Return the normal scores of each column: the standard-normal quantile of rank / (n + 1); ties share a score.

    Examples
    --------
    >>> normal_scores(np.array([[3.0], [1.0], [2.0]])).round(3).ravel() + 0.0
    array([ 0.674, -0.674,  0.   ])
    """
    from scipy import special

    out = np.empty_like(x)
    for j in range(x.shape[1]):
        _, inverse, counts = np.unique(x[:, j], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        mean_rank = last - (counts - 1) / 2.0
        out[:, j] = special.ndtri(mean_rank / (len(x) + 1))[inverse]
    return out


def jittered(x: Floats, jitter: float | None, rng: np.random.Generator) -> Floats:
    """Return `x` plus uniform noise of `jitter` standard deviations of each axis; None or 0 leaves `x` alone."""
    if jitter is None or jitter == 0:
        return x
    if not (math.isfinite(jitter) and jitter > 0):
        raise ValueError(f"jitter must be a small positive number of standard deviations, got {jitter!r}")
    sd = x.std(axis=0)
    noise = rng.uniform(-0.5, 0.5, x.shape) * np.where(sd > 0, sd, 1.0) * jitter
    return np.asarray(x + noise)
