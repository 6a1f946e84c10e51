"""The answer in words for arrays."""

from __future__ import annotations

from collections.abc import Sequence

from plogp.report.comparisons import Comparison
from plogp.report.representations import Geometry
from plogp.report.words import beside, interval, number, p_value, percent, shown

__all__ = ["comparison_answer", "geometry_answer"]


def geometry_answer(arrays: Sequence[Geometry]) -> list[str]:
    """Say how many directions each array uses, and what is wrong with it."""
    said: list[str] = []
    for g in arrays:
        name = shown(g.source, 60)
        if len(g.rows) == 1:
            said.append(f"{name}: {g.n:,} rows of {g.d:,} numbers, all equal.")
            continue
        rank = g["effective rank"].value.value
        columns = "1 column" if g.d == 1 else f"{g.d:,} columns"
        first = f"{name}: {g.n:,} rows of {columns} use {number(rank)} direction{'' if 0.995 < rank < 1.005 else 's'}"
        half = g.components["90 %"]
        said.append(
            f"{first}; {half:,} component{'' if half == 1 else 's'} hold{'s' * (half == 1)} 90 % of the variance."
        )
        common = g["common direction"].value.value
        if common > 0.5 and g.d > 1:
            said.append(
                f"{name}: {percent(common)} of the mean square is the mean itself, so any two rows have a cosine of "
                f"about {number(common, 2)}: centre first."
            )
        if g.duplicates:
            said.append(f"{name}: {g.duplicates:,} rows ({percent(g.duplicates / g.n)}) repeat an earlier one.")
        if g.constant:
            said.append(f"{name}: {g.constant:,} of {columns} never change.")
        if g.dropped:
            said.append(f"{name}: {g.dropped:,} rows hold NaN or infinite values and were left out.")
    return said


def comparison_answer(c: Comparison, unit: str = "nats") -> list[str]:
    """Say what two arrays share, or how they differ, and whether it is more than noise."""
    a, b = shown(c.first, 60), shown(c.second, 60)
    p = p_value(c.p_value)
    if not c.found:
        verb = "share no information" if c.kind == "information" else "do not differ"
        return [f"{a} and {b} {verb} beyond noise (p = {p})."]
    known = []
    for row in c.rows:
        e = row.value.to(unit) if row.value.unit == "nats" else row.value
        if not e.has_interval or e.value <= 0:  # a bound below 0 says nothing
            continue
        low, high = e.interval()
        known.append((f"{beside(e.value, low, high)} {e.unit}".strip() + f" {interval(low, high)} ({row.name})", row))
    if c.kind == "information":
        verb = "share information"
    else:
        verb = "differ"
    p = p if p.startswith("<") else f"= {p}"
    said = [f"{a} and {b} {verb} beyond noise (p {p})."]
    if known:
        said.append("; ".join(words for words, _ in known) + ".")
    if len(known) > 1 and any(row.name == "infonce" for _, row in known):
        said.append("infonce sees all columns, the others only the leading principal components.")
    if c.entropy is not None and c.entropy.value > 0 and known:
        best = max(known, key=lambda item: item[1].value.value)[1]
        share = percent(min(best.value.to("nats").value / c.entropy.to("nats").value, 1.0))
        limit = c.entropy.to(unit)
        said.append(
            f"The labels' entropy is {number(limit.value)} {unit}: at most {share} of it is found by these methods."
        )
    return said
