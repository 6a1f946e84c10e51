"""`Source`: the one small counts interface behind which a table stands, and `open_table`.

Only counts, quantiles and a stated random sample leave an engine, so a table may be larger than memory: no
method returns anything that grows with the number of rows, and columns are taken in groups.
"""

from __future__ import annotations

import difflib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from plogp.tables.coding import Coding, Value

__all__ = ["Column", "Source", "Stats", "TableError", "groups", "open_table", "unknown_column"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Storage = Literal["integer", "float", "boolean", "datetime", "text"]

#: Words that stand for a missing value in a column of numbers or dates (compared in lower case, trimmed).
MISSING_WORDS = ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing")
#: Addresses of files on other machines; the URL of a database engine is another thing.
_REMOTE = ("http://", "https://", "ftp://", "s3://", "gs://", "gcs://", "az://", "abfs://", "hdfs://")
#: A text column is read as numbers (or dates) if at least this share of its words are.
CAST_SHARE = 0.95


class TableError(ValueError):
    """A table that cannot be read or used; the message is one line that says what to do."""


@dataclass(frozen=True)
class Column:
    """A column as the engine holds it.

    ``storage`` is how its values are compared: numbers and dates (as seconds since 1970) on a line, text by equality.
    ``read_as`` says in words how the values came about where that is not plain ("text, 99.2 % numbers").
    """

    name: str
    storage: Storage
    read_as: str = ""
    notes: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether values are numbers for the engine (dates and booleans included)."""
        return self.storage != "text"


@dataclass(frozen=True)
class Stats:
    """What one pass over a column says. Infinite values are counted, and left out of mean and sd."""

    n: int
    missing: int
    distinct: int
    exact_distinct: bool = True
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    sd: float | None = None
    infinite: int = 0
    whole: bool = False
    mean_length: float | None = None

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.n - self.missing


@dataclass
class Source(ABC):
    """A table behind the counts interface.

    Attributes
    ----------
    label : str
        What to call the table in a report.
    columns : dict of str to Column
        The columns by name, in order.
    n_rows : int
        Number of rows.
    notes : list of str
        What a reader of the result should know about how the table was read.
    """

    label: str
    columns: dict[str, Column]
    n_rows: int
    notes: list[str] = field(default_factory=list)
    _stats: dict[str, Stats] = field(default_factory=dict, repr=False)
    #: Rows from which `quantiles` are read at most; None where they are exact.
    quantile_rows: int | None = None

    # --- what an engine provides -----------------------------------------------------------------------

    @abstractmethod
    def _scan(self, names: Sequence[str]) -> dict[str, Stats]:
        """Count rows, missing and distinct values; extremes, mean and sd of numbers."""

    @abstractmethod
    def quantiles(self, names: Sequence[str], probs: Floats) -> dict[str, Floats]:
        """Return the quantiles of many numeric columns (NaN for a column without values)."""

    @abstractmethod
    def counts(self, codings: Mapping[str, Coding]) -> dict[str, Ints]:
        """Return the rows in every state of every coding."""

    @abstractmethod
    def top(self, names: Sequence[str], k: int) -> dict[str, list[tuple[Value, int]]]:
        """Return the `k` most frequent values with their counts, most frequent first (ties by value)."""

    @abstractmethod
    def repeats(self, name: str) -> dict[int, int]:
        """Return how many distinct values occur once, twice, ...: all that an entropy needs to know."""

    @abstractmethod
    def cross(self, pairs: Sequence[tuple[str, str]], codings: Mapping[str, Coding]) -> list[Ints]:
        """Return the table of counts of every pair of coded columns, one row a state of the first."""

    @abstractmethod
    def sample(self, names: Sequence[str], n: int, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
        """Return `n` random rows (all rows where there are fewer): floats with NaN, or objects with None.

        The same seed gives the same rows for any choice of columns.
        """

    def close(self) -> None:  # noqa: B027
        """Release what the engine holds."""

    # --- what all engines share ------------------------------------------------------------------------

    def stats(self, names: Sequence[str] | None = None) -> dict[str, Stats]:
        """Return the statistics of the columns, scanning each column once in the life of the source."""
        names = list(self.columns) if names is None else list(names)
        wanted = [name for name in names if name not in self._stats]
        if wanted:
            self._stats |= self._scan(wanted)
        return {name: self._stats[name] for name in names}

    def sample_codes(self, codings: Mapping[str, Coding], n: int, seed: int = 0) -> dict[str, Ints]:
        """Return the coded values of the same random rows as `sample`."""
        values = self.sample(list(codings), n, seed)
        return {name: coding.encode(values[name]) for name, coding in codings.items()}

    def resolve(self, names: Iterable[str] | None) -> list[str]:
        """Return the names after checking that each is a column.

        Raises
        ------
        TableError
            If a name is not a column; the message suggests the nearest.
        """
        if names is None:
            return list(self.columns)
        if isinstance(names, str):
            names = [names]
        names = list(names)
        if not names:
            raise TableError(f"columns must name at least one column of {self.label}, got none")
        for name in names:
            if name not in self.columns:
                raise TableError(unknown_column(name, self.columns, self.label))
        return list(dict.fromkeys(names))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def unknown_column(name: str, columns: Iterable[str], label: str) -> str:
    """Return the message for a column that is not there, with the nearest that is."""
    known = list(columns)
    folded = {k.casefold(): k for k in known}
    near = difflib.get_close_matches(str(name).casefold(), folded, n=1, cutoff=0.5)
    if near:
        return f"{label} has no column {name!r}; did you mean {folded[near[0]]!r}?"
    shown = ", ".join(map(repr, known[:8])) + (", ..." if len(known) > 8 else "")
    return f"{label} has no column {name!r}; its columns are {shown}"


def groups(items: Sequence[Any], size: int) -> list[list[Any]]:
    """Return the items in groups of at most `size`."""
    items = list(items)
    return [items[i : i + size] for i in range(0, len(items), size)]


def open_table(table: Any, label: str | None = None, memory_limit: str | None = None) -> Source:
    """Open a table, whatever it is, behind the counts interface.

    Parameters
    ----------
    table : path, URL, data frame, relation, mapping or Source
        A CSV, TSV, Parquet, JSON-lines or DuckDB file (``"db.duckdb#table"``); the URL of an engine with the table
        after the hash (``"postgres://user@host/db#schema.table"``); a DuckDB relation; an Ibis table; an Arrow,
        pandas, polars or other data frame that narwhals knows; a mapping of names to arrays. An open `Source`
        is returned as it is.
    label : str, optional
        What to call it in results.
    memory_limit : str, optional
        Of the embedded DuckDB, such as ``"2GB"``; what does not fit goes to temporary files.

    Raises
    ------
    TableError
        If it cannot be read, or holds fewer than two rows or no value at all.

    Examples
    --------
    >>> source = open_table({"x": [1.0, 2.0, float("nan")], "c": ["a", "b", "b"]})
    >>> source.n_rows, list(source.columns), source.stats()["x"].missing
    (3, ['x', 'c'], 1)
    """
    if isinstance(table, Source):
        return table
    if isinstance(table, (str, os.PathLike)):
        text = os.fspath(table)
        if isinstance(text, bytes):
            text = os.fsdecode(text)
        if not text.strip():
            raise TableError("the path of the table is empty")
        if text == "-":
            raise TableError("a table is not read from a pipe (it is counted several times): save it to a file first")
        if text.lower().startswith(_REMOTE):
            raise TableError(f"{text} is not fetched: only databases are read over a network; download the file first")
        if "://" in text and not text.lower().startswith("file://"):
            from plogp.tables.ibis_engine import open_url

            return _checked(open_url(text, label))
        from plogp.tables.opening import open_file

        return _checked(open_file(text.removeprefix("file://"), label, memory_limit))
    module = type(table).__module__.split(".")[0]
    if module == "ibis":
        from plogp.tables.ibis_engine import open_expression

        return _checked(open_expression(table, label))
    if module in ("duckdb", "_duckdb"):
        from plogp.tables.opening import open_relation

        return _checked(open_relation(table, label))
    from plogp.tables.dataframes import open_frame

    return _checked(open_frame(table, label, memory_limit))


def _checked(source: Source) -> Source:
    """Refuse what has nothing to count."""
    problem = None
    if not source.columns:
        problem = f"{source.label} has no columns"
    elif source.n_rows == 0:
        problem = f"{source.label} has a header but no rows"
    elif source.n_rows == 1:
        problem = f"{source.label} has one row; at least 2 are needed to say anything about its columns"
    if problem is not None:
        source.close()
        raise TableError(problem)
    return source
