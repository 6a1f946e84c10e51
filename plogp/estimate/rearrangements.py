"""Rearrangements of samples for permutation tests: each keeps what the null hypothesis leaves unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.labels import encode
from plogp.estimate.samples import as_samples

__all__ = [
    "Order",
    "Rearrange",
    "circular_shift",
    "local_permutation",
    "shuffle",
    "shuffle_blocks",
    "shuffle_within",
]

Order = npt.NDArray[np.intp]
#: ``rearrange(n, rng)`` returns an order of n rows.
Rearrange = Callable[[int, np.random.Generator], Order]


def shuffle(n: int, rng: np.random.Generator) -> Order:
    """Any order: for independent samples."""
    return rng.permutation(n)


def circular_shift(min_shift: int = 1) -> Rearrange:
    """Shifts around the ends by at least `min_shift`: keep each series' own dependence, break that between two."""

    def rearrange(n: int, rng: np.random.Generator) -> Order:
        if n < 2 * min_shift + 1:
            raise ValueError(f"a circular shift of at least {min_shift} needs {2 * min_shift + 1} samples, got {n}")
        return (np.arange(n) + rng.integers(min_shift, n - min_shift + 1)) % n

    return rearrange


def shuffle_blocks(block_length: int) -> Rearrange:
    """Blocks of consecutive samples in any order (the last may be short): for series with short memory."""
    if block_length < 1:
        raise ValueError(f"block_length must be at least 1, got {block_length}")

    def rearrange(n: int, rng: np.random.Generator) -> Order:
        if n < 2 * block_length:
            raise ValueError(f"block_length={block_length} leaves fewer than two blocks of {n} samples")
        starts = rng.permutation(np.arange(0, n, block_length))
        return np.concatenate([np.arange(s, min(s + block_length, n)) for s in starts])

    return rearrange


def shuffle_within(labels: Any) -> Rearrange:
    """Any order within the samples that share a label: for conditional independence given a discrete variable."""
    codes = encode(labels, "labels")[0]
    home = np.argsort(codes, kind="stable")

    def rearrange(n: int, rng: np.random.Generator) -> Order:
        if n != len(codes):
            raise ValueError(f"labels has {len(codes)} entries for {n} samples")
        mixed = np.lexsort((rng.random(n), codes))
        out = np.empty(n, np.intp)
        out[home] = mixed
        return out

    return rearrange


def local_permutation(z: Any, k: int = 5) -> Rearrange:
    """Each sample gets the value of one of its `k` nearest neighbours in z, no value twice where that can be.

    For conditional independence given continuous z (Runge 2018, arXiv 1709.01447).
    """
    from scipy.spatial import cKDTree

    points = as_samples(z, "z")
    if not 1 <= k < len(points):
        raise ValueError(f"k must lie in 1..{len(points) - 1} (one less than the samples), got {k}")
    near = np.atleast_2d(cKDTree(points).query(points, k=k + 1, p=np.inf)[1])

    def rearrange(n: int, rng: np.random.Generator) -> Order:
        if n != len(points):
            raise ValueError(f"z has {len(points)} rows for {n} samples")
        choices = rng.permuted(near, axis=1)
        used = np.zeros(n, bool)
        out = np.empty(n, np.intp)
        for i in rng.permutation(n):
            free = choices[i][~used[choices[i]]]
            out[i] = free[0] if len(free) else choices[i][-1]
            used[out[i]] = True
        return out

    return rearrange
