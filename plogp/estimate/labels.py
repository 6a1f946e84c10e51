"""Labels as integer codes: columns of any type, and several columns mixed into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_array

__all__ = ["distinct", "encode", "mix"]

IntArray = npt.NDArray[Any]


def encode(column: Any, name: str = "x") -> tuple[IntArray, npt.NDArray[Any]]:
    """Return `(codes, labels)` with ``labels[codes]`` equal to the column; codes are small unsigned integers.

    Labels may be integers, booleans, strings, dates or any hashable objects; they come back sorted (objects
    without an order in order of appearance). A two-dimensional column of shape (n, d) is one variable whose
    states are its distinct rows. Integral floats are accepted as labels, other floats are not.

    Parameters
    ----------
    column : array of shape (n,) or (n, d)
        One label (or row of labels) a sample.
    name : str
        How messages call the column.

    Raises
    ------
    ValueError
        If the column is empty, has missing values, or more than two dimensions.
    TypeError
        If it holds floats that are not integers: these are not categories.

    Examples
    --------
    >>> codes, labels = encode(["b", "a", "b"])
    >>> codes.tolist(), labels.tolist()
    ([1, 0, 1], ['a', 'b'])
    """
    x = as_array(column, name)
    if x.ndim == 2 and x.shape[1] != 1:
        table = [encode(x[:, j], f"{name}[:, {j}]") for j in range(x.shape[1])]
        if not table:
            raise ValueError(f"{name} has no columns (shape {x.shape})")
        joint, size = mix([c for c, _ in table], [len(u) for _, u in table])
        cells, codes = distinct(joint, size)
        first = np.empty(len(cells), np.intp)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        return codes.astype(_code_dtype(len(cells))), x[first]
    if x.ndim == 2:
        x = x[:, 0]
    if x.ndim != 1:
        raise ValueError(f"{name} must have shape (n,) or (n, d), got {x.shape}")
    if x.size == 0:
        raise ValueError(f"{name} is empty; expected at least one sample")
    kind = x.dtype.kind
    if kind == "f":
        _check_integral(x, name)
        labels, codes = np.unique(x, return_inverse=True)
    elif kind == "b":
        present = [s for s in (False, True) if (x == s).any()]
        return (x.astype(np.uint8) if len(present) == 2 else np.zeros(x.size, np.uint8)), np.array(present)
    elif kind in "iu":
        return _encode_integers(x)
    elif kind in "mM":
        if np.isnat(x).any():
            raise ValueError(f"{name} has missing dates (NaT); drop them or give them a label of their own")
        labels, codes = np.unique(x, return_inverse=True)
    elif kind in "USTO":
        return _encode_objects(x, name)
    else:
        raise TypeError(f"{name} must hold labels (integers, booleans, strings), got dtype {x.dtype!s}")
    return codes.astype(_code_dtype(len(labels))), labels


def _code_dtype(size: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest unsigned type that holds the codes 0..size-1."""
    if size <= 2**8:
        return np.uint8
    return np.uint16 if size <= 2**16 else np.uint32 if size <= 2**32 else np.uint64


def _check_integral(x: npt.NDArray[Any], name: str) -> None:
    if np.isnan(x).any():
        raise ValueError(f"{name} contains NaN; drop missing values or give them a label of their own")
    if not np.isfinite(x).all() or (x != np.floor(x)).any():
        raise TypeError(
            f"{name} holds real numbers, not categories (almost every value would be its own state); expected "
            "integers, booleans, strings or objects. Bin it first, or use a method for continuous data"
        )


def _encode_integers(x: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[Any]]:
    low, high = int(x.min()), int(x.max())
    if high - low >= max(2**16, 4 * x.size):  # a sparse range: sort
        labels, codes = np.unique(x, return_inverse=True)
        return codes.astype(_code_dtype(len(labels))), labels
    width = high - low + 1
    shifted = x if low == 0 else x - x.dtype.type(low) if x.dtype.kind == "u" else x.astype(np.int64) - low
    present = np.bincount(shifted.astype(_code_dtype(width), copy=False), minlength=width) > 0
    states = np.flatnonzero(present)
    dtype = _code_dtype(len(states))
    labels = states.astype(x.dtype) + x.dtype.type(low)
    if len(states) == width:
        return shifted.astype(dtype, copy=x is shifted), labels
    rank = np.cumsum(present, dtype=np.int64) - 1
    return rank.astype(dtype)[shifted], labels


def _encode_objects(x: npt.NDArray[Any], name: str) -> tuple[IntArray, npt.NDArray[Any]]:
    seen: dict[Any, int] = {}
    put = seen.setdefault
    try:
        codes = np.fromiter((put(v, len(seen)) for v in x.tolist()), np.int64, x.size)
    except TypeError as error:
        raise TypeError(f"{name} holds objects that cannot be labels (not hashable)") from error
    keys = list(seen)
    for key in keys:
        if key is None or type(key).__name__ in {"NAType", "NaTType"} or key != key:
            raise ValueError(f"{name} has missing values ({key!r}); drop them or give them their own label")
    floats = [k for k in keys if isinstance(k, (float, np.floating))]
    if floats:
        _check_integral(np.asarray(floats, float), name)
    labels = np.empty(len(keys), dtype=object) if x.dtype.kind == "O" else np.array(keys, dtype=x.dtype)
    if x.dtype.kind == "O":
        labels[:] = keys
    try:
        order = np.asarray(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)
    except TypeError:
        order = np.arange(len(keys))  # no common order: as they appear
    rank = np.empty(len(keys), _code_dtype(len(keys)))
    rank[order] = np.arange(len(keys))
    return rank[codes], labels[order]


def mix(codes: Sequence[IntArray], sizes: Sequence[int]) -> tuple[IntArray, int]:
    """Return mixed-radix codes of several columns (the last varies fastest) and the number of cells."""
    joint, total = codes[0], sizes[0]
    for code, size in zip(codes[1:], sizes[1:]):
        if total * size > 2**62:  # keep the radix product inside 64 bits
            cells, joint = distinct(joint, total)
            total = len(cells)
        dtype = _code_dtype(total * size)
        joint = joint.astype(dtype) * dtype(size)
        joint += code.astype(dtype, copy=False)
        total *= size
    return joint, total


def distinct(codes: IntArray, size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the distinct codes in order, and for each sample which of them it is."""
    if size > max(2**16, 4 * codes.size):
        cells, inverse = np.unique(codes, return_inverse=True)
        return cells.astype(np.intp), inverse
    present = np.bincount(codes, minlength=size) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[codes]
