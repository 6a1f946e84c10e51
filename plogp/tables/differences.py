"""How a column changed, in the words of someone who looks at both distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Change", "how"]

Ints = npt.NDArray[np.int64]
#: A part of a change is mentioned if it is this many standard errors from none.
NOTABLE = 3.0


@dataclass(frozen=True)
class Change:
    """Counts of the same states in reference and current, and for numbers (mean, sd) of both and the rows behind."""

    kind: str
    labels: list[str]
    reference: Ints
    current: Ints
    new: list[str]
    gone: list[str]
    spread_reference: tuple[float, float] | None = None
    spread_current: tuple[float, float] | None = None
    rows_reference: int = 0
    rows_current: int = 0


def how(c: Change) -> str:
    """Return the notable parts of a change, strongest evidence first, at most three.

    >>> how(Change("categorical", ["a", "b", "(missing)"], np.array([500, 500, 0]), np.array([440, 500, 60]), [], []))
    'missing 0 % -> 6 %'
    """
    parts = [*_missing(c), *_numbers(c), *_categories(c)]
    parts = sorted((p for p in parts if p[0] >= NOTABLE), key=lambda p: -p[0])
    if not parts:
        parts = _biggest(c)
    return ", ".join(text for _, text in parts[:3])


def _missing(c: Change) -> list[tuple[float, str]]:
    a, b = int(c.reference[-1]), int(c.current[-1])
    return [(_proportions(c, len(c.labels) - 1), f"missing {_percent(a, c.reference)} -> {_percent(b, c.current)}")]


def _numbers(c: Change) -> list[tuple[float, str]]:
    if c.spread_reference is None or c.spread_current is None or c.kind == "boolean":
        return []
    (mean_a, sd_a), (mean_b, sd_b) = c.spread_reference, c.spread_current
    n, m = max(c.rows_reference, 1), max(c.rows_current, 1)
    out = []
    error = math.sqrt(sd_a**2 / n + sd_b**2 / m)
    unit = sd_a or sd_b
    if unit > 0 and mean_a != mean_b:
        shift = (mean_b - mean_a) / unit
        where = "later" if c.kind == "datetime" and shift > 0 else "earlier" if c.kind == "datetime" else ""
        said = f"{_length(abs(mean_b - mean_a))} {where}" if where else f"{'up' if shift > 0 else 'down'}"
        text = f"mean {said} by {abs(shift):.2g} sd" if not where else f"mean {said} ({abs(shift):.2g} sd)"
        out.append((abs(mean_b - mean_a) / error if error > 0 else math.inf, text))
    if sd_a > 0 and sd_b > 0:
        ratio = sd_b / sd_a
        # The logarithm of a standard deviation has a standard error of about 1 / √(2n) for normal data.
        z = abs(math.log(ratio)) / math.sqrt((1 / n + 1 / m) / 2)
        percent = f"{abs(ratio - 1) * 100:.2g} %"
        out.append((z, f"wider by {percent}" if ratio > 1 else f"narrower by {percent}"))
    elif sd_a != sd_b:
        out.append((math.inf, "no longer constant" if sd_a == 0 else "now constant"))
    return out


def _categories(c: Change) -> list[tuple[float, str]]:
    if c.spread_reference is not None and c.kind != "boolean":
        return []
    out = []
    place = {label: i for i, label in enumerate(c.labels)}
    for label, share in ((c.new, c.current), (c.gone, c.reference)):
        for name in label[:3]:
            word = "new category" if label is c.new else "vanished category"
            z = _proportions(c, place[name])
            out.append((z, f"{word} {_short(name)} ({_percent(int(share[place[name]]), share)})"))
    skip = {*c.new[:3], *c.gone[:3]}
    changes = [(_proportions(c, i), i) for i, name in enumerate(c.labels[:-1]) if name not in skip]
    for z, i in sorted(changes, reverse=True)[:2]:
        out.append((z, _share_change(c, i)))
    if c.kind == "boolean" and len(changes) == 2:  # the two shares are one fact
        out = [o for o in out if o[1] != _share_change(c, 0)]
    return out


def _biggest(c: Change) -> list[tuple[float, str]]:
    """The state that changed most, where no single part stands out."""
    z = [(_proportions(c, i), i) for i in range(len(c.labels) - 1)]
    if not z or max(z)[0] == 0:
        return [(0.0, "no difference")]
    _, i = max(z)
    return [(0.0, _share_change(c, i))]


def _share_change(c: Change, i: int) -> str:
    before, after = _percent(int(c.reference[i]), c.reference), _percent(int(c.current[i]), c.current)
    return f"share of {_short(c.labels[i])} {before} -> {after}"


def _proportions(c: Change, i: int) -> float:
    """Two-sample z of the share of one state, from counts with half a row added."""
    n, m = float(c.reference.sum()), float(c.current.sum())
    a, b = float(c.reference[i]), float(c.current[i])
    pooled = (a + b + 0.5) / (n + m + 1)
    return abs(a / n - b / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))


def _percent(count: int, counts: Ints) -> str:
    share = 100.0 * count / max(int(counts.sum()), 1)
    if share == 0 or share >= 99.95:
        return f"{share:.3g} %"
    return f"{share:.1f} %" if share >= 10 else f"{share:.2g} %"


def _short(label: str) -> str:
    return repr(label) if len(label) <= 30 else repr(label[:29] + "…")


def _length(seconds: float) -> str:
    for name, size in (("years", 31_557_600.0), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} seconds"
