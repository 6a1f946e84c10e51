"""`Searcher`: programs found without a language model, by parsing a sequence into what the language can say shortly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plogp.text.kolmogorov.coding import CHOICES, bits
from plogp.text.kolmogorov.language import FUNCTIONS, Line, write

__all__ = ["Searcher"]

_LINE = math.log2(CHOICES)
#: What a reference is taken to cost while its line is not known yet.
_REFERENCE = 3.0
_JOIN = _LINE + 2 * _REFERENCE


class Tree(NamedTuple):
    """An expression: a function and its arguments, some of them expressions again."""

    name: str
    given: tuple[Any, ...]


class Searcher:
    r"""Finds short programs: runs, ranges, repeated blocks, interleaved parts, running sums, and literal lists.

    A sequence is cut by dynamic programming into segments, each a constant run, a range up or down with a step of 1 to
    8, a block repeated 2 to 9 times (itself searched for), or a literal list, such that the code lengths add up to the
    least. The same is tried on the two halves of an interleaving, and on the differences, whose running sums it is.
    The best few are given, shortest first, by the code length of `bits`.

    Parameters
    ----------
    budget : int
        How many sequences (parts included) may be parsed in all for one answer.
    strict : bool
        Which code length to make small.
    literal : bool
        Whether to answer also with programs that are longer than the sequence's own 8 bits a value.
    longest : int
        Sequences longer than this are not tried: the time grows with the square.

    Examples
    --------
    >>> from plogp.text.kolmogorov import run
    >>> x = [7] * 12 + list(range(40, 60)) + [1, 5, 2] * 4
    >>> program = next(Searcher().propose(x))
    >>> run(program) == x, bits(program, strict=True) < 8 * len(x) / 3
    (True, True)

    References
    ----------
    A solver for the task of Yoran et al. (2025), arXiv:2503.13992, in the place of the paper's language models.
    """

    def __init__(self, budget: int = 64, *, strict: bool = True, literal: bool = False, longest: int = 1024):
        if budget < 1:
            raise ValueError(f"budget must be at least 1, got {budget}")
        self.budget, self.strict, self.literal, self.longest = budget, strict, literal, longest
        self._left = 0
        self._known: dict[tuple[int, ...], tuple[float, Tree]] = {}

    def propose(self, sequence: Sequence[int] | bytes) -> Iterator[str]:
        """Yield programs that print `sequence`, shortest first; none where none is shorter than the sequence.

        Raises
        ------
        ValueError
            If a value is not from 0 to 255.
        """
        x = tuple(int(v) for v in sequence)
        if x and not 0 <= min(x) <= max(x) <= 255:
            raise ValueError(f"sequence must hold values from 0 to 255, got {min(x)} to {max(x)}")
        if not x or len(x) > self.longest:
            return
        self._left, self._known = self.budget, {}
        programs = {_linear(tree) for tree in self._whole(x)}
        for cost, program in sorted((bits(p, self.strict), p) for p in programs):
            if self.literal or cost < 8 * len(x):
                yield program

    def __call__(self, sequence: Sequence[int] | bytes) -> Iterator[str]:
        """Yield programs, as `propose` does."""
        return self.propose(sequence)

    def _whole(self, x: tuple[int, ...], depth: int = 0) -> Iterator[Tree]:
        """Yield expressions for all of `x`: parsed, or made of simpler sequences."""
        if self._left <= 0:
            return
        self._left -= 1
        yield self._parse(x, depth)[1]
        if depth > 1 or len(x) < 4:
            return
        even, odd = x[::2], x[1::2]
        halves = [self._best(half, depth + 1) for half in (even, odd)]
        if all(half is not None for half in halves):
            yield Tree("interleave", tuple(halves))
        steps = np.diff(np.array(x))
        if (steps >= 0).all():
            inner = self._best((x[0], *steps.tolist()), depth + 1)
            if inner is not None:
                yield Tree("scan_add", (inner,))

    def _best(self, x: tuple[int, ...], depth: int) -> Tree | None:
        trees = list(self._whole(x, depth))
        return min(trees, key=_cost) if trees else None

    def _parse(self, x: tuple[int, ...], depth: int) -> tuple[float, Tree]:
        """Return the cheapest concatenation of segments and its approximate cost."""
        if x in self._known:
            return self._known[x]
        n = len(x)
        values = np.array(x)
        ranges = {step: _lengths(np.diff(values) == step) for step in (0, *range(1, 9), *range(-8, 0))}
        best: list[float] = [0.0] + [math.inf] * n
        made: list[tuple[int, Tree]] = [(0, Tree("set_list", ((),)))] * (n + 1)

        def offer(i: int, j: int, cost: float, tree: Tree) -> None:
            total = best[i] + cost + (_JOIN if i else 0.0)
            if total < best[j]:
                best[j], made[j] = total, (i, tree)

        # Repeated blocks first: they are found for all places at once, and their parts are searched in their turn.
        blocks = self._blocks(x, depth)
        for i in range(n):
            for length in range(1, min(25, n - i) + 1):
                tree = Tree("set_list", (x[i : i + length],))
                offer(i, i + length, _cost(tree), tree)
            for step, lengths in ranges.items():
                run = int(lengths[i]) + 1 if i < n - 1 else 1
                for length in sorted({run, min(run, 25)}) if run > 1 else ():
                    found = _range(x[i], step, length)
                    if found is not None:
                        offer(i, i + length, _cost(found), found)
            for j, tree in blocks.get(i, ()):
                offer(i, j, _cost(tree), tree)
        parts: list[Tree] = []
        at = n
        while at:
            at, tree = made[at]
            parts.append(tree)
        whole = parts.pop()
        while parts:
            whole = Tree("concatenate", (whole, parts.pop()))
        self._known[x] = best[n], whole
        return self._known[x]

    def _blocks(self, x: tuple[int, ...], depth: int) -> dict[int, list[tuple[int, Tree]]]:
        """Return, by start, (end, expression) of the blocks that are repeated 2 to 9 times; the longest first."""
        if depth > 2:
            return {}
        n, values, found = len(x), np.array(x), []
        for period in range(2, n // 2 + 1):
            same = _lengths(values[period:] == values[:-period])
            for start in np.flatnonzero(same >= period).tolist():
                if start and same[start - 1]:
                    continue  # inside a longer repetition
                # No more than nine at a time, as the language says it.
                for i in range(start, start + int(same[start]) - period + 1, 9 * period):
                    count = min((int(same[start]) - (i - start)) // period + 1, 9)
                    found.append((period * (count - 1), i, period, count))
        out: dict[int, list[tuple[int, Tree]]] = {}
        # Those that save most are tried first, as the budget may end.
        for _, i, period, count in sorted(found, reverse=True)[: self.budget]:
            block = x[i : i + period]
            if block not in self._known:
                if self._left <= 0:
                    break
                self._left -= 1
            tree = Tree("repeat_list", (count, self._parse(block, depth + 1)[1]))
            out.setdefault(i, []).append((i + period * count, tree))
        return out


def _lengths(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return at each place how many True follow from it on without a gap."""
    out = np.zeros(len(same), dtype=np.int64)
    run = 0
    for i in range(len(same) - 1, -1, -1):
        run = run + 1 if same[i] else 0
        out[i] = run
    return out


def _range(first: int, step: int, length: int) -> Tree | None:
    """Return the shortest expression of a run, or None where there is none."""
    last = first + step * (length - 1)
    if step == 0:
        return Tree("repeat_num", (length, first)) if length <= 25 else None
    if step < 0:
        up = _range(last, -step, length)
        return None if up is None else Tree("reverse_list", (up,))
    if step == 1:
        return Tree("range_func_up", (first, last))
    return Tree("range_func_interval", (first, last + 1, step)) if last < 255 else None


_SIZE = {"v": 8.0, "n": _LINE, "s": 3.0, "k": 3.0}


def _cost(tree: Tree) -> float:
    """Return the approximate code length of an expression."""
    total = _LINE
    for letter, arg in zip(FUNCTIONS[tree.name].takes, tree.given, strict=True):
        if isinstance(arg, Tree):
            total += _REFERENCE + _cost(arg)
        else:
            total += _LINE + 8 * len(arg) if isinstance(arg, tuple) else _SIZE[letter]
    return total


def _linear(tree: Tree) -> str:
    """Return the program of an expression; what occurs twice is written once."""
    lines: list[Line] = []
    where: dict[Tree, int] = {}

    def place(node: Tree) -> int:
        if node not in where:
            given = tuple(place(arg) if isinstance(arg, Tree) else arg for arg in node.given)
            lines.append((node.name, given))
            where[node] = len(lines) - 1
        return where[node]

    output = place(tree)
    return write(lines, output)
