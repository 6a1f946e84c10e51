"""Samples as rows: what every continuous estimator does with its input before it estimates anything."""

from __future__ import annotations

import math
import numbers
import operator
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "TIE_NOISE",
    "as_array",
    "as_samples",
    "check_neighbours",
    "check_same_length",
    "jittered",
    "normal_scores",
    "repeats",
    "rescaled",
    "tie_generator",
]

Floats = npt.NDArray[np.float64]


def as_array(x: Any, name: str = "x") -> npt.NDArray[Any]:
    """Return samples as a NumPy array, whatever they come in; every estimator reads its input here.

    Lists, columns of data frames and of Arrow tables, and PyTorch tensors (with a gradient, in bfloat16, on any
    device) are accepted. A list that mixes numbers and strings stays a mixture: NumPy would make 1 and "1" one
    label. Objects that are all real numbers, `Decimal` too, and not all whole become floats.

    Raises
    ------
    ValueError
        If `x` has masked entries, is no sequence, or is ragged.

    Examples
    --------
    >>> as_array([1, "1"]).dtype, as_array([Decimal("0.5"), 2]).dtype
    (dtype('O'), dtype('float64'))
    """
    given = x
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = (x.float() if x.dtype.itemsize == 2 and x.is_floating_point() else x).numpy()  # NumPy has no bfloat16
    if np.ma.is_masked(x):
        raise ValueError(f"{name} has masked (missing) entries; drop them or give them a label of their own")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array, one row a sample; its rows differ in length") from error
    if array.ndim == 0:
        raise ValueError(f"{name} must be an array or a list, one row a sample, got {type(given).__name__}")
    if array.dtype.kind in "US" and isinstance(x, (list, tuple)):
        objects = np.array(x, dtype=object)
        if not all(isinstance(v, (str, bytes)) for v in objects.flat):
            array = objects
    return _numbers(array) if array.dtype.kind == "O" and array.size else array


def _numbers(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return objects that are all real numbers, and all floats or not all whole, as float64; others as they are."""
    if not all(_is_number(v) for v in x.flat):
        return x
    fractional = [v for v in x.flat if not isinstance(v, numbers.Integral)]
    if not fractional:
        return x
    floats = len(fractional) == x.size and all(isinstance(v, (float, np.floating)) for v in fractional)
    return x.astype(np.float64) if floats or any(float(v) % 1 != 0 for v in fractional) else x


def _is_number(value: Any) -> bool:
    return isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, (bool, np.bool_))


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
    array = as_array(x, name)
    if array.dtype.kind == "O":
        if any(isinstance(v, (str, bytes)) for v in array.flat):
            raise TypeError(f"{name} must hold real numbers, got strings; categories belong to the discrete estimators")
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
    x = x * np.exp2(-np.clip(np.ceil(np.log2(np.where(peak > 0, peak, 1.0))), -1000, 1000))
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


#: Noise that breaks ties, in standard deviations: far below any digit that matters, far above rounding.
TIE_NOISE = 1e-10


def tie_generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    """Return the generator that breaks ties: the one given, or always the same, so that a call can be repeated."""
    return np.random.default_rng(0 if rng is None else rng)


def repeats(x: Floats) -> float:
    """Return the largest share of values, over the axes, that stand there more than once."""
    return max(1.0 - len(np.unique(x[:, j])) / len(x) for j in range(x.shape[1]))


def jittered(x: Floats, jitter: float | None, rng: np.random.Generator) -> Floats:
    """Return `x` plus uniform noise of `jitter` standard deviations of each axis; None or 0 leaves `x` alone."""
    if jitter is None or jitter == 0:
        return x
    if not (math.isfinite(jitter) and jitter > 0):
        raise ValueError(f"jitter must be a small positive number of standard deviations, got {jitter!r}")
    sd = x.std(axis=0)
    noise = rng.uniform(-0.5, 0.5, x.shape) * np.where(sd > 0, sd, 1.0) * jitter
    return np.asarray(x + noise)
