"""The summary for the terminal: the answer in words, then the largest rows of each part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from plogp.measures.uncertainty import Estimate
from plogp.report.array_words import comparison_answer, geometry_answer
from plogp.report.comparisons import Comparison
from plogp.report.readings import Reading
from plogp.report.representations import Geometry
from plogp.report.text_comparison import TextComparison
from plogp.report.text_words import apart, reading_answer, text_comparison_answer
from plogp.report.words import (
    beside,
    drift_answer,
    interval,
    number,
    p_value,
    percent,
    profile_answer,
    relation_answer,
    shown,
)
from plogp.tables.frames import Frame
from plogp.tables.results import Drift, Profile, Relation

if TYPE_CHECKING:
    from plogp.report.build import Report

__all__ = ["part_summary", "summary"]

MOST_ROWS = 12
MOST_PAIRS = 8


def summary(report: Report) -> RenderableType:
    """Return all parts, one under the other."""
    return Group(*(part_summary(part, report.unit) for part in report.done))


def part_summary(part: Frame, unit: str) -> RenderableType:
    """Return a part's answer in words and its table."""
    if isinstance(part, Drift):
        return _drift(part, unit)
    if isinstance(part, Relation):
        return _relation(part, unit)
    if isinstance(part, Profile):
        return _profile(part, unit)
    if isinstance(part, Geometry):
        return _geometry(part, unit)
    if isinstance(part, Comparison):
        return _comparison(part, unit)
    if isinstance(part, Reading):
        return _reading(part, unit)
    if isinstance(part, TextComparison):
        return _text_comparison(part, unit)
    raise TypeError(f"part must be a part of a report, got {type(part).__name__}")


def _said(sentences: Iterable[str]) -> list[RenderableType]:
    first, *rest = sentences
    return [Text(first, style="bold"), *(Text(s) for s in rest)]


def _estimate(e: Estimate | None, unit: str) -> str:
    if e is None:
        return "–"
    e = e.to(unit) if e.unit == "nats" else e
    if not e.has_interval:
        return number(e.value)
    low, high = e.interval()
    return f"{beside(e.value, low, high)} {interval(low, high)}"


class _Rows:
    """A table, or where the terminal is too narrow for one, each row as a few lines under its name."""

    def __init__(self, *columns: tuple[str, str]):
        self.names = [name for name, _ in columns]
        self.table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        self.lines: list[tuple[str | Text, ...]] = []
        for name, align in columns:
            justify: Any = align
            right = align == "right"
            self.table.add_column(name, justify=justify, overflow="fold", no_wrap=right, min_width=None if right else 8)

    def add_row(self, *cells: str | Text, style: str | None = None) -> None:
        """Add a row; the first cell is its name."""
        self.table.add_row(*cells, style=style)
        self.lines.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if self.table.__rich_measure__(console, options.update(max_width=10_000)).minimum <= options.max_width:
            yield self.table
            return
        for first, *cells in self.lines:
            yield Text(str(first), style="bold")
            for name, cell in zip(self.names[1:], cells):
                if str(cell).strip():
                    yield Text(f"    {name}: {cell}" if name else f"    {cell}")


def _left(n: int, what: str) -> list[RenderableType]:
    return [Text(f"and {n:,} more {what}, all on the page", style="dim")] if n > 0 else []


def _drift(drift: Drift, unit: str) -> RenderableType:
    out = _said(drift_answer(drift))
    named = drift.divergence.upper() if len(drift.divergence) <= 3 else drift.divergence
    table = _Rows(
        ("column", "left"), ("change", "left"), (f"{named} [95 %]", "right"), ("PSI", "right"), ("adjusted p", "right")
    )
    for row in drift.rows[:MOST_ROWS]:
        mark = "● " if row.drifted else "  "
        table.add_row(
            Text(mark + shown(row.column, 32)),
            Text(row.how or ("changed" if row.drifted else "–")),
            _estimate(row.effect, unit),
            number(row.psi.value),
            p_value(row.p_adjusted),
            style="bold" if row.drifted else "dim",
        )
    if drift.rows:
        out += [Padding(table, (1, 0, 0, 0))]
        out += [Text("● changed: adjusted p < 0.05 and an effect worth naming", style="dim")]
    return Group(*out, *_left(len(drift.rows) - MOST_ROWS, "columns"), Text(""))


def _relation(relation: Relation, unit: str) -> RenderableType:
    out = _said(relation_answer(relation, unit))
    binary = any(r.information_value is not None for r in relation.rows)
    columns = [("column", "left"), (f"information, {unit} [95 %]", "right")]
    columns += [("IV", "right")] if binary else []
    table = _Rows(*columns, ("adjusted p", "right"), ("", "left"))
    for row in relation.rows[:MOST_ROWS]:
        mark = "● " if row.informative else "  "
        verdict = "possible leak" if row.leak else "" if row.informative else "not beyond noise"
        cells: list[str | Text] = [
            Text(mark + shown(row.column, 32)),
            _estimate(row.mutual_information, unit),
        ]
        if binary:
            cells.append("–" if row.information_value is None else number(row.information_value.value))
        style = "bold" if row.leak else None if row.informative else "dim"
        table.add_row(*cells, p_value(row.p_adjusted), verdict, style=style)
    if relation.rows:
        out += [Padding(table, (1, 0, 0, 0))]
    return Group(*out, *_left(len(relation.rows) - MOST_ROWS, "columns"), Text(""))


def _profile(profile: Profile, unit: str) -> RenderableType:
    out = _said(profile_answer(profile, unit))
    table = _Rows(
        ("column", "left"), ("kind", "left"), ("missing", "right"), ("distinct", "right"), (f"entropy, {unit}", "right")
    )
    for column in profile.columns[:MOST_ROWS]:
        of = "" if column.entropy_of.startswith("values") else f" ({column.entropy_of})"
        table.add_row(
            Text(shown(column.name, 32)),
            column.kind,
            percent(column.missing_share) if column.missing else "",
            f"{column.distinct:,}",
            _estimate(column.entropy, unit) + of,
        )
    out += [Padding(table, (1, 0, 0, 0)), *_left(len(profile.columns) - MOST_ROWS, "columns")]
    pairs = sorted((p for p in profile.pairs if p.dependent), key=lambda p: -p.normalized)
    if pairs:
        table = _Rows(("pair", "left"), (f"information, {unit} [95 %]", "right"), ("of the smaller entropy", "right"))
        for p in pairs[:MOST_PAIRS]:
            name = f"{shown(p.a, 28)} – {shown(p.b, 28)}"
            share = percent(min(max(p.normalized, 0.0), 1.0))
            table.add_row(Text(name), _estimate(p.mutual_information, unit), share)
        out += [Padding(table, (1, 0, 0, 0)), *_left(len(pairs) - MOST_PAIRS, "dependent pairs")]
    return Group(*out, Text(""))


def _geometry(geometry: Geometry, unit: str) -> RenderableType:
    out = _said(geometry_answer([geometry]))
    table = _Rows(("measure", "left"), ("value [95 %]", "right"), ("", "left"))
    for row in geometry.rows:
        table.add_row(Text(row.name), _estimate(row.value, unit), Text(row.what, style="dim"))
    return Group(*out, Padding(table, (1, 0, 0, 0)), Text(""))


def _comparison(comparison: Comparison, unit: str) -> RenderableType:
    out = _said(comparison_answer(comparison, unit)[:1])
    head = f"{comparison.kind}, {unit} [95 %]"
    table = _Rows(("method", "left"), (head, "right"), ("", "left"))
    for row in comparison.rows:
        weak = row.value.has_interval and not row.value.distinguishable()
        table.add_row(
            Text(row.name), _estimate(row.value, unit), Text(row.what, style="dim"), style="dim" if weak else None
        )
    return Group(*out, Padding(table, (1, 0, 0, 0)), Text(f"p-value: {comparison.test}", style="dim"), Text(""))


def _reading(reading: Reading, unit: str) -> RenderableType:
    out = _said(reading_answer(reading))
    table = _Rows(("measure", "left"), ("value [95 %]", "right"), ("", "left"))
    for row in reading.rows:
        table.add_row(
            Text(row.name + (f", {unit}" if row.value.unit == "nats" else "")),
            _estimate(row.value, unit),
            Text(row.what, style="dim"),
        )
    out += [Padding(table, (1, 0, 0, 0))]
    if reading.scores:
        table = _Rows(
            ("score", "left"), ("mean [95 %]", "right"), ("p-value", "right"), ("passages beyond 5 %", "right")
        )
        found = apart(reading)
        for s in reading.scores:
            mark = "● " if s in found else "  "
            known = s.p_value == s.p_value
            p, share = (p_value(s.p_value), percent(s.share)) if known else ("–", "–")
            table.add_row(Text(mark + s.name), _estimate(s.value, unit), p, share)
        out += [Padding(table, (1, 0, 0, 0)), Text(reading.reference, style="dim")]
    if reading.surprising:
        table = _Rows(("most surprising passage", "left"), ("bits per byte", "right"))
        for passage in reading.surprising[:5]:
            table.add_row(Text(shown(" ".join(passage.text.split()), 96)), number(passage.bits_per_byte))
        out += [Padding(table, (1, 0, 0, 0))]
    return Group(*out, Text(""))


def _text_comparison(comparison: TextComparison, unit: str) -> RenderableType:
    out = _said(text_comparison_answer(comparison))
    table = _Rows(("difference", "left"), ("value [95 %]", "right"), ("", "left"))
    for row in comparison.rows:
        table.add_row(
            Text(row.name + (f", {unit}" if row.value.unit == "nats" else "")),
            _estimate(row.value, unit),
            Text(row.what, style="dim"),
        )
    return Group(*out, Padding(table, (1, 0, 0, 0)), Text(f"p-value: {comparison.test}", style="dim"), Text(""))
