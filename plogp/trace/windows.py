"""Windows over a long text, so that every token is scored exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["BOS", "Window", "check_windows", "windows"]

#: Where a beginning-of-sequence token is put; "eos" is "first" with the end-of-sequence token.
BOS = ("first", "each", "none", "eos")


@dataclass(frozen=True)
class Window:
    """One forward pass: positions start, ..., stop - 1 of (context + text), of which those from `write` on are new."""

    start: int
    stop: int
    write: int
    bos: bool


def check_windows(length: int, stride: int | None, bos: str, bos_length: int) -> int:
    """Return the stride, checked against windows of `length` tokens.

    Raises
    ------
    ValueError
        For a window too short to predict a token in, or a stride that leaves tokens out or without context.
    """
    least = 2 + bos_length
    if length < least:
        raise ValueError(f"window must hold at least {least} tokens here, got {length}")
    # Behind a BOS of their own, blocks that do not overlap have something to predict their first token from.
    most = length - 1 if bos == "each" and bos_length else length - 1 - bos_length
    stride = max(1, min(length // 2, most)) if stride is None else stride
    if not 1 <= stride <= most:
        why = "the first token of each window would have nothing before it" if stride <= length else "gaps"
        raise ValueError(f"stride must lie between 1 and {most} with windows of {length} tokens ({why}), got {stride}")
    return int(stride)


def windows(
    n: int, length: int | None, stride: int | None, bos: str, bos_length: int, skip: int = 0
) -> Iterator[Window]:
    """Yield the windows over `n` tokens of which the first `skip` need no score.

    Windows are moved by `stride`; each writes what no earlier one has written, so each token is written once, with at
    least ``length - bos_length - stride`` tokens before it except in the first window.

    Examples
    --------
    >>> [(w.start, w.stop, w.write) for w in windows(10, 4, 2, "none", 0)]
    [(0, 4, 0), (2, 6, 4), (4, 8, 6), (6, 10, 8)]
    >>> list(windows(3, None, None, "first", 1))
    [Window(start=0, stop=3, write=0, bos=True)]
    """
    if length is None or bos_length + n <= length:
        yield Window(0, n, skip, bool(bos_length))
        return
    stride = check_windows(length, stride, bos, bos_length)
    start = done = 0
    while done < n:
        own = bos_length if start == 0 or bos == "each" else 0
        stop = min(start + length - own, n)
        if stop > skip:
            yield Window(start, stop, max(done, skip), bool(own))
        done = stop
        start += stride
