"""The one type rule: what kind a column is, and why, in words that every report shows.

In this order, over the values that are not missing (d distinct among n):

=============  ==========================================================================================
constant       no value at all, or one distinct value
boolean        stored as such; the numbers 0 and 1; or the words true/false, yes/no, t/f, y/n
datetime       stored as date or time; or text of which 95 % are dates
text/id        text with d > 20 and d > 0.8 n, with d > 10,000, or of more than 60 characters on average;
               whole numbers that count the rows (all distinct and consecutive, n > 50), or whose name ends
               in id, key, uuid, index and which have d > 100
categorical    other text; whole numbers whose name says code, zip or postcode, or id with d <= 100
discrete       numbers with d <= 20 and d <= n / 5 (whole numbers: d <= 10 always)
continuous     all other numbers
=============  ==========================================================================================

Text of which at least 95 % are numbers is numbers (the rest counts as missing, and is stated), unless it has
leading zeros. Any column may be overruled with ``kinds={"name": "categorical"}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from plogp.tables.results import KINDS
from plogp.tables.source import Column, Source, Stats, TableError

__all__ = ["ID_DISTINCT", "check_kinds", "kind_of", "kinds_of", "shared_kind"]

DISCRETE_VALUES = 20
ID_DISTINCT = 10_000
ID_SHARE = 0.8
LONG_TEXT = 60

_ALIASES = {"numeric": "continuous", "number": "continuous", "category": "categorical", "text": "text/id"}
_ALIASES |= {"id": "text/id", "bool": "boolean", "date": "datetime", "binary": "boolean"}
_ID_NAME = re.compile(r"(?i:(^|[_\W])(id|key|uuid|guid|index|idx))$|[a-z](Id|ID|Key|Uuid|UUID)$")
_CODE_NAME = re.compile(r"(^|[_\W])(zip|zip_?code|post_?code|postal(_?code)?|plz)($|[_\W])", re.IGNORECASE)


def check_kinds(kinds: Mapping[str, str] | None, source: Source) -> dict[str, str]:
    """Return the overrides with their full names.

    Raises
    ------
    TypeError
        If `kinds` is no mapping.
    TableError
        If a column or a kind is unknown, or a column of text is to be continuous.
    """
    if kinds is not None and not isinstance(kinds, Mapping):
        raise TypeError(f"kinds must map column names to kinds, got {type(kinds).__name__}")
    out: dict[str, str] = {}
    for name, kind in (kinds or {}).items():
        source.resolve([name])
        full = _ALIASES.get(str(kind).lower(), str(kind).lower())
        if full not in KINDS:
            raise TableError(f"kind {kind!r} of column {name!r} is unknown; expected one of {', '.join(KINDS)}")
        if full in ("continuous", "datetime") and not source.columns[name].numeric:
            raise TableError(f"column {name!r} cannot be {full}: it holds {source.columns[name].read_as or 'text'}")
        out[name] = full
    return out


def kinds_of(source: Source, names: list[str], kinds: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Return (kind, why) of each column."""
    asked = check_kinds(kinds, source)
    stats = source.stats(names)
    out = {}
    for name in names:
        if name in asked:
            out[name] = asked[name], "as asked"
        else:
            out[name] = kind_of(source.columns[name], stats[name])
    return out


def kind_of(column: Column, s: Stats) -> tuple[str, str]:
    """Return (kind, why) of one column by the rule above.

    >>> kind_of(Column("x", "float"), Stats(n=100, missing=0, distinct=98, low=0.0, high=1.5))
    ('continuous', 'numbers, 98 distinct values')
    >>> kind_of(Column("y", "integer"), Stats(n=100, missing=0, distinct=2, low=0.0, high=1.0, whole=True))
    ('boolean', 'only the numbers 0 and 1')
    """
    kind, why = _rule(column, s)
    if column.read_as and column.read_as != "text":
        why = f"{column.read_as}; {why}"
    return kind, why


def _rule(column: Column, s: Stats) -> tuple[str, str]:
    n, d = s.present, s.distinct
    about = "" if s.exact_distinct else "about "
    count = f"{about}{d:,} distinct value{'' if d == 1 else 's'}"
    if n == 0:
        return "constant", "every value is missing"
    if d == 1:
        return "constant", "one distinct value"
    if column.storage == "boolean":
        return "boolean", "stored as true and false"
    if column.storage == "datetime":
        return "datetime", f"dates or times, {count}"
    if column.storage == "text":
        return _text_rule(s, d, n, count)
    if s.whole and d == 2 and s.low == 0 and s.high == 1:
        return "boolean", "only the numbers 0 and 1"
    if s.whole and s.infinite == 0 and s.low is not None and s.high is not None:
        consecutive = d == n and s.exact_distinct and s.high - s.low == n - 1
        if consecutive and n > 50:
            return "text/id", "whole numbers that count the rows"
        if _CODE_NAME.search(column.name):
            return "categorical", f"whole numbers named like a code, {count}"
        if _ID_NAME.search(column.name) and d > DISCRETE_VALUES:
            return ("text/id" if d > 100 else "categorical"), f"whole numbers named like an identifier, {count}"
    if d <= DISCRETE_VALUES and (d * 5 <= n or (s.whole and d <= 10)):
        return "discrete", f"numbers with only {count}"
    return "continuous", f"numbers, {count}"


def _text_rule(s: Stats, d: int, n: int, count: str) -> tuple[str, str]:
    if d > 20 and d > ID_SHARE * n:
        return "text/id", f"text, {count} in {n:,} rows"
    if d > ID_DISTINCT:
        return "text/id", f"text, {count}"
    if s.mean_length is not None and s.mean_length > LONG_TEXT and d > 20:
        return "text/id", f"text of {s.mean_length:.0f} characters on average, {count}"
    return "categorical", f"text, {count}"


def shared_kind(
    a: tuple[str, str], b: tuple[str, str], column_a: Column, column_b: Column
) -> tuple[str, str, list[str]]:
    """Return the kind under which two tables' columns of one name are compared, why, and notes.

    A column that is constant on one side has the other side's kind; of two kinds of number the finer wins; a
    column that is text on one side only is compared as categories.
    """
    (kind_a, why_a), (kind_b, why_b) = a, b
    if column_a.numeric != column_b.numeric:
        if kind_a == "constant" and why_a.endswith("missing"):
            return kind_b, why_b, []
        if kind_b == "constant" and why_b.endswith("missing"):
            return kind_a, why_a, []
        note = f"{_says(column_a)} in the reference, {_says(column_b)} in the current table: compared as text"
        return "categorical", f"{why_a} | {why_b}", [note]
    if kind_a == kind_b:
        return kind_a, why_a, []
    if kind_a == "constant":
        return kind_b, why_b, []
    if kind_b == "constant":
        return kind_a, why_a, []
    order = ("boolean", "discrete", "categorical", "datetime", "continuous", "text/id")
    finer = max(kind_a, kind_b, key=order.index)
    why = why_a if finer == kind_a else why_b
    return finer, why, [f"{kind_a} in the reference, {kind_b} in the current table: compared as {finer}"]


def _says(column: Column) -> str:
    return {"text": "text", "datetime": "dates", "boolean": "booleans"}.get(column.storage, "numbers")
