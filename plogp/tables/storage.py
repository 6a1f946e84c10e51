"""How a column that DuckDB holds is read: what its values are compared as, and the expression that gives them.

A column of text may hold numbers or dates with a few words among them; the share that can be cast decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from plogp.tables.coding import Value
from plogp.tables.source import CAST_SHARE, MISSING_WORDS, Column, Storage, groups

__all__ = ["literal", "read_columns"]

#: Columns in one statement.
GROUP = 32
#: Rows on which a first look decides whether a column of text could be numbers or dates at all.
LOOK = 5_000

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_INTEGERS |= {"UBIGINT", "UHUGEINT"}
_WIDE = {"BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"}
_BLANKS = "' ' || chr(9) || chr(10) || chr(13)"
_WORDS = ("NA", "N/A", "na", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "-", "?")


def read_columns(
    run: Callable[[str], Any], names: Sequence[str], types: Sequence[str], n_rows: int
) -> tuple[dict[str, Column], dict[str, str]]:
    """Return the columns c0, c1, ... of the relation ``t`` under their names, and the expressions of their values."""
    columns: dict[str, Column] = {}
    expressions: dict[str, str] = {}
    text: list[tuple[str, str]] = []
    wide: list[tuple[str, str]] = []
    for i, (name, kind) in enumerate(zip(names, map(str.upper, types))):
        storage, expression, read_as = _storage(f"c{i}", kind)
        columns[name], expressions[name] = Column(name, storage, read_as), expression
        if storage == "text" and not read_as:
            text.append((name, f"c{i}"))
        if kind in _WIDE:
            wide.append((name, f"c{i}"))
    for name, c in _too_wide(run, wide):
        why = "whole numbers of more than 15 digits, which numbers of 64 bits cannot tell apart: compared as text"
        columns[name], expressions[name] = Column(name, "text", why), f"CAST({c} AS VARCHAR)"
    for group in groups(text, GROUP):
        hopeful = _could_be_cast(run, group, n_rows)
        plain = [pair for pair in group if pair not in hopeful]
        for name, column, expression in [*_read_text(run, hopeful), *_read_words(run, plain)]:
            columns[name], expressions[name] = column, expression
    return columns, expressions


def _too_wide(run: Callable[[str], Any], columns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the columns of whole numbers whose values fall together when they are made floats.

    Identifiers do; times in nanoseconds hardly ever, and stay numbers.
    """
    out = []
    for group in groups(columns, GROUP):
        ends = iter(run(f"SELECT {', '.join(f'min({c}), max({c})' for _, c in group)} FROM t").fetchall()[0])
        for name, c in group:
            low, high = islice(ends, 2)
            if low is None or max(abs(int(low)), abs(int(high))) <= 2**53:
                continue
            exact, rounded = run(f"SELECT count(DISTINCT {c}), count(DISTINCT CAST({c} AS DOUBLE)) FROM t").fetchall()[
                0
            ]
            if rounded < 0.99 * exact:
                out.append((name, c))
    return out


def _storage(c: str, kind: str) -> tuple[Storage, str, str]:
    """Return how a DuckDB type is compared, the expression of its value, and words if that is not plain."""
    base = kind.split("(")[0]
    if kind.endswith("]") or base in ("STRUCT", "MAP", "UNION", "BLOB", "BIT", "VARIANT", "GEOMETRY"):
        return "text", f"CAST({c} AS VARCHAR)", f"{base.lower()} as text"
    if base in _INTEGERS:
        return "integer", f"CAST({c} AS DOUBLE)", ""
    if base in ("FLOAT", "DOUBLE", "DECIMAL"):
        # A NaN is a missing value: it would poison every sum.
        return "float", f"nullif(CAST({c} AS DOUBLE), 'nan'::DOUBLE)", ""
    if base == "BOOLEAN":
        return "boolean", f"CAST(CAST({c} AS INTEGER) AS DOUBLE)", ""
    if base.startswith("TIMESTAMP") or base in ("DATE", "TIME", "INTERVAL"):
        return "datetime", f"epoch({c})", ""
    if base in ("VARCHAR", "ENUM", "UUID"):
        return "text", _text(c), ""
    return "text", f"CAST({c} AS VARCHAR)", f"{base.lower()} as text"


def _text(c: str) -> str:
    """A text that is only blanks is missing; it sorts before '!', which spares the others the trimming."""
    word = f"CAST({c} AS VARCHAR)"
    return f"CASE WHEN {word} < '!' AND trim({word}, {_BLANKS}) = '' THEN NULL ELSE {word} END"


def _trimmed(c: str) -> str:
    return f"trim(CAST({c} AS VARCHAR), {_BLANKS})"


def _could_be_cast(run: Callable[[str], Any], group: Sequence[tuple[str, str]], n_rows: int) -> list[tuple[str, str]]:
    """Return the columns of which at least half the words on some random rows are numbers or dates."""
    if not group or n_rows <= LOOK:
        return list(group)
    parts = []
    for _, c in group:
        word = _trimmed(c)
        number, date = f"TRY_CAST({word} AS DOUBLE)", f"TRY_CAST({word} AS TIMESTAMP)"
        absent = ", ".join(literal(w) for w in MISSING_WORDS)
        parts.append(f"count(*) FILTER (lower({word}) NOT IN ({absent}))")
        parts.append(f"greatest(count({number}), count({date}))")
    inner = f"SELECT {', '.join(c for _, c in group)} FROM t USING SAMPLE {LOOK} ROWS"
    row = iter(run(f"SELECT {', '.join(parts)} FROM ({inner})").fetchall()[0])
    out = []
    for pair in group:
        said, cast = islice(row, 2)
        if said < 100 or cast >= 0.5 * said:
            out.append(pair)
    return out


def _read_words(run: Callable[[str], Any], group: Sequence[tuple[str, str]]) -> list[tuple[str, Column, str]]:
    """Read columns that are plainly text; say where some rows hold a word for missing."""
    if not group:
        return []
    words = ", ".join(literal(w) for w in _WORDS)
    parts = [f"count(*) FILTER ({c} IN ({words})), min({c}) FILTER ({c} IN ({words}))" for _, c in group]
    row = iter(run(f"SELECT {', '.join(parts)} FROM t").fetchall()[0])
    out = []
    for name, c in group:
        absent, word = islice(row, 2)
        notes = (f"{_rows(absent)} {word!r} or the like: kept as a category",) if absent else ()
        out.append((name, Column(name, "text", "text", notes), _text(c)))
    return out


def _read_text(run: Callable[[str], Any], group: Sequence[tuple[str, str]]) -> list[tuple[str, Column, str]]:
    """Decide for every text column whether its words are numbers, dates or text, by the share that can be cast."""
    if not group:
        return []
    words = "(" + ", ".join(literal(w) for w in MISSING_WORDS) + ")"
    parts = []
    for _, c in group:
        word = f"lower({_trimmed(c)})"
        number, date = f"TRY_CAST({word} AS DOUBLE)", f"TRY_CAST({word} AS TIMESTAMP)"
        said = f"{c} IS NOT NULL AND {word} NOT IN {words}"
        parts += [
            f"count(*) FILTER ({said})",
            f"count(*) FILTER ({said} AND {number} IS NOT NULL)",
            f"count(*) FILTER ({said} AND {date} IS NOT NULL)",
            f"count(*) FILTER ({said} AND regexp_matches({word}, '^[+-]?(0[0-9]|[0-9]{{17,}}$)'))",
            f"count(*) FILTER ({c} IS NOT NULL AND {word} <> '' AND {word} IN {words})",
            f"min({c}) FILTER ({said} AND {number} IS NULL)",
            f"min({c}) FILTER ({said} AND {date} IS NULL)",
            f"min({c}) FILTER ({c} IS NOT NULL AND {word} <> '' AND {word} IN {words})",
            f"bool_and({number} = trunc({number})) FILTER ({said})",
        ]
    row = iter(run(f"SELECT {', '.join(parts)} FROM t").fetchall()[0])
    out = []
    for name, c in group:
        said, numbers, dates, zeros, absent, not_number, not_date, absent_word, whole = islice(row, 9)
        trimmed = _trimmed(c)
        if said and numbers >= CAST_SHARE * said and zeros <= 0.01 * said:
            notes = _cast_notes("number", said - numbers, said, not_number, absent, absent_word)
            value = f"nullif(TRY_CAST({trimmed} AS DOUBLE), 'nan'::DOUBLE)"
            storage: Storage = "integer" if whole else "float"
            out.append((name, Column(name, storage, f"text, {_share(numbers, said)} numbers", notes), value))
        elif said and dates >= CAST_SHARE * said and numbers == 0:
            notes = _cast_notes("date", said - dates, said, not_date, absent, absent_word)
            value = f"epoch(TRY_CAST({trimmed} AS TIMESTAMP))"
            out.append((name, Column(name, "datetime", f"text, {_share(dates, said)} dates", notes), value))
        else:
            why, notes = "text", ()
            if zeros > 0.01 * max(said, 1) and numbers >= CAST_SHARE * said:
                why = "text: digits with leading zeros, or 17 and more of them, are a code, not a number"
            elif numbers:
                why = f"text, only {_share(numbers, said)} numbers"
            if absent:
                notes = (f"{_rows(absent)} {absent_word!r} or the like: kept as a category",)
            out.append((name, Column(name, "text", why, notes), _text(c)))
    return out


def _cast_notes(what: str, bad: int, said: int, example: Any, absent: int, word: Any) -> tuple[str, ...]:
    notes = []
    if bad:
        are = "is" if bad == 1 else "are"
        notes.append(f"{bad:,} of {said:,} values {are} not a {what} (such as {_brief(example)}): counted as missing")
    if absent:
        notes.append(f"{_rows(absent)} {_brief(word)} or the like: counted as missing")
    return tuple(notes)


def _rows(n: int) -> str:
    return "1 row says" if n == 1 else f"{n:,} rows say"


def _brief(word: Any) -> str:
    word = str(word)
    return repr(word if len(word) <= 30 else word[:29] + "…")


def _share(part: int, whole: int) -> str:
    """Return a percentage that says 100 only when it is."""
    if part == whole:
        return "100 %"
    return f"{min(100.0 * part / whole, 99.99):.4g} %"


def literal(value: Value) -> str:
    """Return a value as a DuckDB literal; a quote in a text is doubled, which is all that DuckDB needs."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if math.isfinite(value):
        return f"{float(value)!r}::DOUBLE"
    return f"'{value}'::DOUBLE"
