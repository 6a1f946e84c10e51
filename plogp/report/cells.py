"""A number as the page shows it: value, interval, and the dot on an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from plogp.measures.uncertainty import Estimate
from plogp.report import figures
from plogp.report.words import beside, interval, number

__all__ = ["cell", "common_axis", "dotted"]


def cell(e: Estimate | None, unit: str, keep_nats: bool = False) -> dict[str, Any] | None:
    """Return value, interval and sort key as the template wants them; weak when zero is inside the interval."""
    if e is None:
        return None
    if e.unit == "nats" and not keep_nats:
        e = e.to(unit)
    value, bracket, weak = number(e.value), "", False
    if e.has_interval:
        low, high = e.interval()
        value, bracket, weak = beside(e.value, low, high), interval(low, high), low <= 0.0 <= high
    return {"value": value, "interval": bracket, "weak": weak, "sort": f"{float(e.value):.6g}"}


def dotted(e: Estimate, unit: str, bounds: tuple[float, float]) -> dict[str, Any]:
    """Return the cell of a number with its dot on the axis `bounds`."""
    out = cell(e, unit)
    assert out is not None
    e = e.to(unit) if e.unit == "nats" else e
    low, high = e.interval() if e.has_interval else (None, None)
    label = f"{out['value']} {e.unit}".strip() + (f", 95 % interval {out['interval']}" if out["interval"] else "")
    return out | {"figure": figures.dot(e.value, low, high, bounds, label)}


def common_axis(estimates: Sequence[Estimate], unit: str) -> tuple[float, float]:
    """Return one axis for all rows: from the least to the greatest finite end of an interval, zero included."""
    ends = [0.0]
    for e in estimates:
        e = e.to(unit) if e.unit == "nats" else e
        ends += [v for v in (e.value, *(e.interval() if e.has_interval else ())) if math.isfinite(v)]
    # A wide interval below zero would squeeze the rest; a fifth of the axis is enough to see it cross zero.
    top = max(ends)
    return max(min(ends), -0.25 * top) if top > 0 else min(ends), top
