"""Delimited text files: header and delimiter by rule, not by guess, and errors that name the line."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from plogp.tables.source import TableError

__all__ = ["Dialect", "first_ragged_record", "read_dialect", "tidy_names"]

DELIMITERS = (",", "\t", ";", "|")
_HEAD = 1 << 18
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")
_COMMA, _POINT = re.compile(r"\s*[+-]?[0-9]+,[0-9]+\s*"), re.compile(r"\s*[+-]?[0-9]*\.[0-9]+\s*")


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written: its delimiter, its column names, whether the first record holds them."""

    delimiter: str
    names: tuple[str, ...]
    has_header: bool
    notes: tuple[str, ...] = ()
    #: Columns that hold digits with leading zeros in the first rows: codes, which must stay text.
    codes: tuple[int, ...] = ()
    #: What stands before the decimals.
    decimal: str = "."


def open_text(path: Path, label: str) -> IO[bytes]:
    """Open a file of text, unpacking gzip by its ending."""
    try:
        return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise TableError(f"{label} cannot be opened: {error.strerror or error}") from error


def read_dialect(path: Path, label: str) -> Dialect:
    """Read the first record of a file and decide how it is written.

    The delimiter is the one of ``, tab ; |`` that splits the first record most often (tab for ``.tsv``). The
    first record is the header unless every field in it is a number.

    Raises
    ------
    TableError
        If the file is empty, is not text, or is not UTF-8.
    """
    with open_text(path, label) as file:
        try:
            head = file.read(_HEAD)
        except (OSError, EOFError) as error:
            raise TableError(f"{label} cannot be read: {error}") from error
    if not head.strip():
        raise TableError(f"{label} is empty")
    text = _decode(head, label)
    raw = _record_text(text, label)
    with _long_fields():
        if path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab")):
            delimiter = "\t"
        else:
            delimiter = max(DELIMITERS, key=lambda d: len(_first_record(raw, d)))
        record = _first_record(raw, delimiter)
        rows = _first_rows(text, delimiter)
    codes, decimal = _codes(rows, len(record)), "." if delimiter == "," else _decimal(rows)
    numbers = sum(_is_number(field.replace(decimal, ".")) for field in record)
    if numbers + sum(not field.strip() for field in record) == len(record):
        names = tuple(f"column{i}" for i in range(len(record)))
        has_header = False
        notes: tuple[str, ...] = (
            "no header line: every field of the first line is a number, so columns are named by position",
        )
    else:
        names, notes = tidy_names(record)
        has_header = True
        if numbers:
            fields = "1 of its fields is a number" if numbers == 1 else f"{numbers} of its fields are numbers"
            notes += (f"the first line was taken as the header, although {fields}: is the header missing?",)
    if decimal == ",":
        notes += ("numbers are written with a decimal comma",)
    return Dialect(delimiter, names, has_header, notes, codes, decimal)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let the csv module read fields of any length, which it otherwise refuses beyond 131,072 characters."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    """Return the first whole records, the header included."""
    rows = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""), delimiter=delimiter)
    return list(islice(rows, 1000))


def _codes(rows: list[list[str]], width: int) -> tuple[int, ...]:
    """Return the columns with a field such as 0123 among the first rows."""
    found: set[int] = set()
    for fields in rows:
        found.update(i for i, f in enumerate(fields[:width]) if f[:1] in "0+-" and _LEADING_ZERO.match(f))
    return tuple(sorted(found))


def _decimal(rows: list[list[str]]) -> str:
    """Return the decimal mark: a comma where numbers have one, none has a point, and thousands do not explain it."""
    fields = [f for row in rows for f in row]
    commas = [f for f in fields if _COMMA.fullmatch(f)]
    if not commas or any(_POINT.fullmatch(f) for f in fields):
        return "."
    return "," if any(len(f.strip().partition(",")[2]) != 3 for f in commas) else "."


def tidy_names(raw: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return column names made non-empty and unique (case counts), with a note a change.

    >>> tidy_names(["a", "A", "", "a"])
    (('a', 'A', 'column2', 'a_2'), ("column 3 has no name: called 'column2'", "second column 'a' is called 'a_2'"))
    """
    names: list[str] = []
    notes: list[str] = []
    given = {str(n).strip() for n in raw}
    for i, name in enumerate(raw):
        name = str(name).strip()
        if not name:
            name = f"column{i}"
            notes.append(f"column {i + 1} has no name: called {name!r}")
        if name in names:
            tries = (f"{name}_{k}" for k in range(2, len(list(raw)) + 3))
            fresh = next(t for t in tries if t not in names and t not in given)
            notes.append(f"second column {name!r} is called {fresh!r}")
            name = fresh
        names.append(name)
    return tuple(names), tuple(notes)


def first_ragged_record(path: Path, dialect: Dialect, label: str) -> str | None:
    """Return a message about the first record whose number of fields is not the header's, or None."""
    wanted = len(dialect.names)
    try:
        for line, fields in _records(path, dialect.delimiter, label):
            if fields and len(fields) != wanted:
                has = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
                return f"{label} is ragged: line {line} has {has} where the first line has {wanted}"
    except UnicodeDecodeError:
        return f"{label} is not UTF-8 text; convert it first (for example with iconv)"
    except csv.Error as error:
        return f"{label} is not well-formed delimited text: {error}"
    return None


def _records(path: Path, delimiter: str, label: str) -> Iterator[tuple[int, list[str]]]:
    with open_text(path, label) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        start = 1
        with _long_fields():
            try:
                for fields in reader:
                    yield start, fields
                    start = reader.line_num + 1
            except csv.Error as error:
                what = "a quote is never closed" if "end of data" in str(error) else str(error)
                raise csv.Error(f"line {start}: {what}") from error


def _decode(head: bytes, label: str) -> str:
    if _is_utf16(head):
        raise TableError(f"{label} is UTF-16 text, not UTF-8; convert it first: iconv -f UTF-16 -t UTF-8")
    if b"\0" in head:
        raise TableError(f"{label} is binary, not a table that can be read (it holds NUL bytes)")
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The block may end inside a character; anything earlier is not UTF-8.
        if error.start < len(head) - 4 or len(head) < _HEAD:
            raise TableError(
                f"{label} is not UTF-8 text (byte {error.start + 1}); if it is text, convert it first, "
                "for example with iconv"
            ) from error
        text = head[: error.start].decode("utf-8-sig")
    odd = sum(1 for c in text if ord(c) < 32 and c not in "\t\r\n\f")
    if odd > 0.01 * len(text):
        raise TableError(f"{label} is binary, not a table that can be read (control characters)")
    return text


def _is_utf16(head: bytes) -> bool:
    """Whether the bytes begin with a UTF-16 mark, or every other one is NUL as in Latin text written so."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    even, odd = (half.count(0) / max(len(half), 1) for half in (head[::2], head[1::2]))
    return max(even, odd) > 0.9 and min(even, odd) < 0.1


def _record_text(text: str, label: str) -> str:
    """Return the first record that is not blank, whatever delimiter it uses: newlines inside quotes stay."""
    text = text.lstrip("\r\n")
    quoted = False
    for i, c in enumerate(text):
        if c == '"':
            quoted = not quoted
        elif c in "\r\n" and not quoted:
            return text[:i]
    if quoted:
        raise TableError(f"{label} has a quote in its first line that is never closed")
    return text


def _first_record(text: str, delimiter: str) -> list[str]:
    return next(iter(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), [])


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
