"""Codings: how the values of a column become a few states whose counts carry the information.

A coding is `Intervals` (cut points on the line) or `Categories` (listed values and, where some are left out,
"(other)"). Missing is always the last state. Engines turn a coding into an expression; `encode` does the same in
NumPy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.tables.results import MISSING, OTHER, Histogram

__all__ = [
    "Categories",
    "Coding",
    "Intervals",
    "apart_from_infinity",
    "cuts_from_quantiles",
    "format_date",
    "format_number",
    "histogram",
    "sorted_quantiles",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Value = float | str
#: Beyond the largest number there is only infinity.
LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Intervals:
    """Intervals of the line: state i holds ``cuts[i-1] < x <= cuts[i]``; the outer bins are open.

    Examples
    --------
    >>> b = Intervals((0.0, 1.0))
    >>> b.encode(np.array([-3.0, 0.0, 0.5, 9.0, np.nan]))
    array([0, 0, 1, 2, 3])
    >>> b.labels()
    ['<= 0', '(0, 1]', '> 1', '(missing)']

    Infinite values are a state of their own where `apart_from_infinity` put the largest number among the cuts.

    >>> Intervals(apart_from_infinity((0.0, 1.0), 0.0, math.inf)).labels()
    ['<= 0', '(0, 1]', '> 1', '∞', '(missing)']
    """

    cuts: tuple[float, ...]
    dates: bool = False

    @property
    def size(self) -> int:
        """Number of states, the missing one included."""
        return len(self.cuts) + 2

    @property
    def ordered(self) -> bool:
        """Whether the states lie on a line."""
        return True

    def encode(self, values: npt.NDArray[Any]) -> Ints:
        """Return the state of every value."""
        x = np.asarray(values, dtype=np.float64)
        codes = np.searchsorted(np.asarray(self.cuts, dtype=np.float64), x, side="left")
        return np.where(np.isnan(x), self.size - 1, codes).astype(np.int64)

    def labels(self) -> list[str]:
        """Return one label a state."""
        below, above = self.cuts[:1] == (-LARGEST,), self.cuts[-1:] == (LARGEST,)
        words = self._words(self.cuts[int(below) : len(self.cuts) - int(above)])
        if words:
            finite = [f"<= {words[0]}", *(f"({a}, {b}]" for a, b in pairwise(words)), f"> {words[-1]}"]
        else:
            finite = ["finite values" if below or above else "all values"]
        return [*(["-∞"] if below else []), *finite, *(["∞"] if above else []), MISSING]

    def edges(self, low: float, high: float) -> list[float]:
        """Return the ascending edges of the bins, closed by the given extremes."""
        if not self.cuts:
            return [low, high]
        return [min(low, self.cuts[0]), *self.cuts, max(high, self.cuts[-1])]

    def _words(self, cuts: Sequence[float]) -> list[str]:
        if self.dates:
            return [format_date(c) for c in cuts]
        for digits in range(3, 17):
            words = [f"{c:.{digits}g}" for c in cuts]
            if len(set(words)) == len(words):
                return words
        return [repr(c) for c in cuts]


@dataclass(frozen=True)
class Categories:
    """Listed values, then "(other)" for those left out (when `other`), then missing.

    Examples
    --------
    >>> c = Categories(("a", "b"), other=True)
    >>> c.encode(np.array(["b", "z", None], dtype=object))
    array([1, 2, 3])
    >>> c.labels()
    ['a', 'b', '(other)', '(missing)']
    >>> Categories((0.0, 1.0), boolean=True).labels()
    ['false', 'true', '(missing)']
    """

    values: tuple[Value, ...]
    other: bool = False
    boolean: bool = False
    _index: dict[Value, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._index.update({v: i for i, v in enumerate(self.values)})

    @property
    def size(self) -> int:
        """Number of states, the missing one included."""
        return len(self.values) + int(self.other) + 1

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers (then kept ascending, so the states lie on a line)."""
        return all(isinstance(v, float) for v in self.values)

    @property
    def ordered(self) -> bool:
        """Whether the states lie on a line."""
        return self.numeric and not self.other and not self.boolean

    def code_of(self, value: Value) -> int:
        """Return the state of one value that is not missing."""
        # A value outside the list of a closed coding cannot occur; it would be counted as other if it did.
        return self._index.get(value, len(self.values))

    def encode(self, values: npt.NDArray[Any]) -> Ints:
        """Return the state of every value (None, NaN: missing)."""
        last = self.size - 1
        if self.numeric and values.dtype.kind in "fiu":
            x = np.asarray(values, dtype=np.float64)
            known = np.asarray(self.values, dtype=np.float64)
            order = np.argsort(known)
            at = np.searchsorted(known[order], x)
            at = np.minimum(at, max(len(known) - 1, 0))
            hit = (known[order][at] == x) if len(known) else np.zeros(len(x), bool)
            codes = np.where(hit, order[at] if len(known) else 0, len(known))
            return np.where(np.isnan(x), last, codes).astype(np.int64)
        index, other = self._index, len(self.values)
        out = [last if v is None or v != v else index.get(v, other) for v in values.tolist()]
        return np.asarray(out, dtype=np.int64)

    def labels(self) -> list[str]:
        """Return one label a state; values that read alike as labels are told apart by quotes."""
        if self.boolean:
            words = ["true" if v else "false" for v in self.values]
        else:
            words = [format_number(v) if isinstance(v, float) else str(v) for v in self.values]
        words = [f"'{w}'" if w in (OTHER, MISSING) else w for w in words]
        return [*words, *([OTHER] if self.other else []), MISSING]


Coding = Intervals | Categories


def histogram(coding: Coding, counts: Sequence[int], low: float = -math.inf, high: float = math.inf) -> Histogram:
    """Return the counts of a coding as a `Histogram`; a missing state without rows is left out."""
    labels, rows = coding.labels(), [int(c) for c in counts]
    if rows[-1] == 0:
        labels, rows = labels[:-1], rows[:-1]
    return Histogram(labels, rows, coding.edges(low, high) if isinstance(coding, Intervals) else None)


def cuts_from_quantiles(probs: Floats, values: Floats, bins: int, low: float, high: float) -> tuple[float, ...]:
    """Return at most ``bins - 1`` strictly ascending cuts from a quantile function.

    A value so frequent that several quantiles coincide gets its own upper cut once; cuts at or beyond the
    maximum would leave an empty bin and are dropped, and a heavy minimum keeps a bin of its own.

    >>> cuts_from_quantiles(np.array([.25, .5, .75]), np.array([1.0, 1.0, 3.0]), 4, 1.0, 9.0)
    (1.0, 3.0)
    """
    wanted = np.arange(1, bins) / bins
    cuts = np.unique(np.interp(wanted, probs, values))
    cuts = cuts[(cuts >= low) & (cuts < high) & np.isfinite(cuts)]
    return tuple(float(c) for c in cuts)


def apart_from_infinity(cuts: Sequence[float], low: float | None, high: float | None) -> tuple[float, ...]:
    """Return the cuts, and where the extremes are infinite a last cut that leaves only infinity beyond it."""
    below = (-LARGEST,) if low == -math.inf else ()
    above = (LARGEST,) if high == math.inf else ()
    return (*below, *cuts, *above)


def sorted_quantiles(x: Floats, probs: Floats) -> Floats:
    """Return the quantiles of ascending values by linear interpolation (NaN if there are none)."""
    if len(x) == 0:
        return np.full(len(probs), np.nan)
    at = np.asarray(probs, dtype=np.float64) * (len(x) - 1)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, len(x) - 1)
    part = at - below
    low, high = x[below], x[above]
    # Equal neighbours first: between two infinities the difference would be NaN.
    with np.errstate(invalid="ignore", over="ignore"):
        mixed = low * (1.0 - part) + high * part
    return np.where((low == high) | (part == 0.0), low, mixed)


def format_number(value: float) -> str:
    """Return a number as a reader writes it: 3, not 3.0."""
    if value == int(value) if math.isfinite(value) else False:
        return str(int(value))
    return repr(float(value))


def format_date(seconds: float) -> str:
    """Return seconds since 1970 as a date, with the time of day where there is one."""
    if not math.isfinite(seconds):
        return str(seconds)
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(seconds))
    except OverflowError:
        return f"{seconds:.6g} s"
    return moment.strftime("%Y-%m-%d" if seconds % 86400 == 0 else "%Y-%m-%d %H:%M:%S")
