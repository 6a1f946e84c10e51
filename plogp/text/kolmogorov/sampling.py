"""Random programs of the language and what they print: data whose short description is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from plogp.text.kolmogorov.language import Argument, Line, execute, write

__all__ = ["sample"]


def sample(
    n: int,
    rng: Any = None,
    *,
    base: tuple[int, int] = (1, 5),
    length: tuple[int, int] = (5, 25),
    concat: float = 0.8,
    reuse: float = 0.2,
    update: float = 0.4,
    comments: bool = False,
) -> list[tuple[str, list[int]]]:
    """Draw `n` programs; return pairs (program, what it prints: values 0..255, at least one).

    A program makes 1 to 5 base sequences (ranges, repeated numbers, literal lists), changes some of them, and joins
    them in turn by concatenation or interleaving.

    Parameters
    ----------
    n : int
        How many.
    rng : Generator, int or None
        Randomness.
    base, length : (int, int)
        Least and most base sequences of a program, and values of a base sequence.
    concat : float
        Probability that two are joined one behind the other rather than interleaved.
    reuse : float
        Probability that a base sequence is an earlier one again.
    update : float
        Probability of each group of changes of a base sequence: of the list (reverse, repeat, part, substitute), of
        its values (n largest or smallest, add or subtract a number, modulo), filters, and two lists at once.
    comments : bool
        Write each line's value behind it.

    Raises
    ------
    ValueError
        For negative `n`, probabilities outside [0, 1], or lengths outside 1 to 25.

    Examples
    --------
    >>> from plogp.text import kolmogorov
    >>> program, sequence = kolmogorov.sample(1, rng=0)[0]
    >>> kolmogorov.run(program) == sequence
    True

    References
    ----------
    Yoran et al. (2025), arXiv:2503.13992: the scheme and its probabilities.
    """
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    for name, p in (("concat", concat), ("reuse", reuse), ("update", update)):
        if not 0 <= p <= 1:
            raise ValueError(f"{name} must be a probability, got {p!r}")
    if not 1 <= length[0] <= length[1] <= 25 or not 1 <= base[0] <= base[1]:
        raise ValueError(f"expected 1 <= length <= 25 and base >= 1 with least <= most, got {length} and {base}")
    g = np.random.default_rng(rng)
    out = []
    for _ in range(n):
        draft = _Draft(g, length)
        parts: list[int] = []
        for _ in range(int(g.integers(base[0], base[1] + 1))):
            if parts and g.random() < reuse:
                part = int(g.choice(parts))
            else:
                part = draft.initiate()
            parts.append(draft.change(part, parts, update))
        joined = parts[0]
        for part in parts[1:]:
            joined = draft.add("concatenate" if g.random() < concat else "interleave", joined, part) or joined
        out.append((write(draft.lines[: joined + 1], joined, comments), draft.values[joined]))
    return out


class _Draft:
    """A program as it grows."""

    def __init__(self, g: np.random.Generator, length: tuple[int, int]):
        self.g, self.length = g, length
        self.lines: list[Line] = []
        self.values: list[list[int]] = []

    def add(self, name: str, *given: Argument) -> int | None:
        """Add a line and return its index; None, and no line, if its values leave 0..255 or it is empty or long."""
        line: Line = (name, given)
        try:
            value = execute([*self.lines, line])[-1]
        except ValueError:
            return None
        if not value or len(value) > 2048 or min(value) < 0 or max(value) > 255:
            return None
        self.lines.append(line)
        self.values.append(value)
        return len(self.lines) - 1

    def initiate(self) -> int:
        g = self.g
        n = int(g.integers(self.length[0], self.length[1] + 1))
        value = int(g.integers(256))
        line: int | None
        match int(g.integers(4)):
            case 0:
                start = int(g.integers(256 - n + 1))
                line = self.add("range_func_up", start, start + n - 1)
            case 1:
                step = int(g.integers(1, min(8, 255 // n) + 1))
                start = int(g.integers(256 - n * step))
                line = self.add("range_func_interval", start, start + n * step, step)
            case 2:
                line = self.add("repeat_num", n, value)
            case _:
                line = self.add("set_list", tuple(int(v) for v in g.integers(0, 256, n)))
        if line is None:
            raise AssertionError("a base sequence is always valid")
        return line

    def change(self, at: int, parts: list[int], update: float) -> int:
        g = self.g

        def happens(p: float) -> bool:
            return bool(g.random() < p)

        def then(name: str, *given: Argument) -> None:
            nonlocal at
            new = self.add(name, *given)
            at = at if new is None else new

        if happens(update):
            if happens(0.1):
                then("reverse_list", at)
            if happens(0.1):
                then("repeat_list", int(g.integers(2, 5)), at)
            if happens(0.05):
                a, b = sorted(int(v) for v in g.integers(0, min(len(self.values[at]), 255) + 1, 2))
                then("get_subsequence_between_indices", at, a, b)
            if happens(0.05):
                then("get_subsequence_with_jumps", at, int(g.integers(2, 5)))
            if happens(0.1):
                # A quarter of the substitutions look for a value that may not occur.
                old = int(g.integers(256)) if happens(0.25) else int(g.choice(self.values[at]))
                then("substitute", at, old, int(g.integers(256)))
        if happens(update):
            if happens(0.1):
                then(str(g.choice(["max_n", "min_n"])), int(g.integers(1, min(len(self.values[at]), 255) + 1)), at)
            if happens(0.1):
                then(str(g.choice(["add_item_list", "subtract_item_list"])), int(g.integers(1, 64)), at)
            if happens(0.1):
                then("modulo_item_list", int(g.integers(2, 64)), at)
        if happens(update) and happens(0.3):
            then(str(g.choice(["filter_is_even", "filter_is_odd", "filter_is_not_zero"])), at)
        if parts and happens(update):
            other = int(g.choice(parts))
            if happens(0.1):
                then(str(g.choice(["add_two_lists", "subtract_two_lists"])), at, other)
            if happens(0.1):
                then("modulo_two_lists", at, other)
        if happens(0.1):
            then("scan_add", at)
        return at
