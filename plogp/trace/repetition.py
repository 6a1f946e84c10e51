"""Repetition: how much of a sequence was there before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Repeat", "distinct_ngrams", "longest_repeat"]

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2^64
_INVERSE = np.uint64(pow(int(_BASE), -1, 2**64))


class Repeat(NamedTuple):
    """A passage that occurs twice: its length, and the two places as (document, position)."""

    length: int
    first: tuple[int, int]
    second: tuple[int, int]


def distinct_ngrams(sequences: Iterable[Sequence[int] | npt.NDArray[Any]], n: int) -> float:
    r"""Distinct-n: the share of the n-grams of all sequences together that are the first of their kind.

    .. math:: \mathrm{distinct}_n = \frac{\#\{\text{different } n\text{-grams}\}}{\#\{n\text{-grams}\}}

    One minus it is the share of repeated n-grams. Both depend on the length: compare texts of equal length.

    Returns
    -------
    float
        In (0, 1]; NaN where no sequence has n tokens.

    Examples
    --------
    >>> distinct_ngrams([[1, 2, 1, 2, 1]], 2)
    0.5

    References
    ----------
    Li, Galley, Brockett, Gao and Dolan (2016), arXiv 1510.03055.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    total = 0
    seen: set[bytes] = set()
    for sequence in sequences:
        ids = np.ascontiguousarray(sequence, dtype=np.int64).ravel()
        if len(ids) < n:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(ids, n)
        total += len(windows)
        seen.update(row.tobytes() for row in np.unique(windows, axis=0))
    return len(seen) / total if total else float("nan")


def longest_repeat(documents: Iterable[str | Sequence[int]]) -> Repeat:
    """Return the longest passage that occurs twice, within a document or in two; overlapping occurrences count.

    By bisection over the length, with rolling hashes of all windows at once: O(n log² n); what is found is compared
    element by element.

    Parameters
    ----------
    documents : iterable of str or of sequences of int

    Returns
    -------
    Repeat
        Length 0 where nothing repeats.

    Examples
    --------
    >>> longest_repeat(["to be or not to be"])
    Repeat(length=5, first=(0, 0), second=(0, 13))
    """
    parts = [_codes(d) for d in documents]
    if not parts:
        return Repeat(0, (0, 0), (0, 0))
    starts = np.cumsum([0, *(len(p) + 1 for p in parts)])
    # Each document ends with a mark of its own, so that no passage crosses from one into the next.
    codes = np.concatenate([np.append(p, -1 - i) for i, p in enumerate(parts)])
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.concatenate([[np.uint64(1)], np.full(len(codes) - 1, _BASE)]), dtype=np.uint64)
        inverse = np.cumprod(np.concatenate([[np.uint64(1)], np.full(len(codes) - 1, _INVERSE)]), dtype=np.uint64)
        # Small codes are spread over all 64 bits, or short windows of like letters would collide.
        spread = (codes.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03)
        spread ^= spread >> np.uint64(32)
        sums = np.concatenate([[np.uint64(0)], np.cumsum(spread * inverse, dtype=np.uint64)])

        def pair(length: int) -> tuple[int, int] | None:
            # The window at i was summed with weights B^-i, B^-(i+1), ...: B^i makes equal windows equal.
            hashes = (sums[length:] - sums[:-length]) * powers[: len(codes) - length + 1]
            order = np.argsort(hashes)
            same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
            for k in same:
                a, b = int(order[k]), int(order[k + 1])
                if np.array_equal(codes[a : a + length], codes[b : b + length]):
                    return min(a, b), max(a, b)
            return None

        low, high, best = 0, len(codes), (0, 0)
        while low + 1 < high:
            middle = (low + high) // 2
            found = pair(middle)
            if found is None:
                high = middle
            else:
                low, best = middle, found

    def place(at: int) -> tuple[int, int]:
        i = int(np.searchsorted(starts, at, side="right")) - 1
        return i, at - int(starts[i])

    return Repeat(low, place(best[0]), place(best[1]))


def _codes(document: str | Sequence[int]) -> npt.NDArray[np.int64]:
    if isinstance(document, str):
        return np.frombuffer(document.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    return np.ascontiguousarray(document, dtype=np.int64).ravel()
