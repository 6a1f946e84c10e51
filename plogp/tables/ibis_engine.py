"""Any engine that Ibis speaks to: PostgreSQL, BigQuery, Spark, ClickHouse, Polars ... by URL or expression.

The same counts as the embedded engine's, written as Ibis expressions. Columns are renamed by position first, so
no name of theirs meets a dialect's rules. Text stays text here: a database has types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from plogp.tables.coding import Coding, Intervals, Value
from plogp.tables.reading import tidy_names
from plogp.tables.source import Column, Floats, Ints, Source, Stats, Storage, TableError, groups, unknown_column

__all__ = ["IbisSource", "open_expression", "open_url"]

#: Columns in one statement, and aggregates in one statement (PostgreSQL returns at most 1664).
GROUP, AGGREGATES = 16, 800


def import_ibis() -> Any:
    """Import Ibis, or say which extra brings it."""
    try:
        import ibis
    except ImportError as error:
        raise ImportError("plogp[warehouse] is needed for engine URLs: pip install 'plogp[warehouse]'") from error
    return ibis


@dataclass
class IbisSource(Source):
    """A table of an engine that Ibis speaks to; `values` are its columns as numbers or text, missing as null."""

    table: Any = field(repr=False, default=None)
    values: dict[str, Any] = field(repr=False, default_factory=dict)
    connection: Any = field(repr=False, default=None)

    def close(self) -> None:
        """Close the connection, if it was opened here."""
        if self.connection is not None:
            self.connection.disconnect()
            self.connection = None

    def _one_row(self, expressions: Sequence[Any]) -> list[Any]:
        """Run many aggregates, in as few statements as the engine can take."""
        out: list[Any] = []
        for part in groups(expressions, AGGREGATES):
            named = [e.name(f"a{i}") for i, e in enumerate(part)]
            out += list(self.table.aggregate(named).to_pyarrow().to_pylist()[0].values())
        return out

    def _scan(self, names: Sequence[str]) -> dict[str, Stats]:
        import_ibis()
        out: dict[str, Stats] = {}
        for group in groups(names, GROUP):
            asked: list[Any] = []
            for name in group:
                v = self.values[name]
                # Some engines count null as a value of its own.
                asked += [v.count(), v.nunique(where=v.notnull())]
                if self.columns[name].numeric:
                    finite = _finite(v)
                    asked += [v.min(), v.max(), finite.mean(), finite.std(how="sample")]
                    asked += [v.count() - finite.count(), (finite != finite.floor()).sum()]
                else:
                    asked += [v.length().cast("float64").mean()]
            row = iter(self._one_row(asked))
            for name in group:
                present, distinct = (int(x) for x in islice(row, 2))
                missing = self.n_rows - present
                if self.columns[name].numeric:
                    low, high, mean, sd, infinite, broken = islice(row, 6)
                    whole = present > 0 and not broken
                    low, high, mean, sd = (None if x is None or x != x else float(x) for x in (low, high, mean, sd))
                    out[name] = Stats(
                        self.n_rows, missing, distinct, True, low, high, mean, sd, int(infinite or 0), whole
                    )
                else:
                    length = next(row)
                    length = None if length is None else float(length)
                    out[name] = Stats(self.n_rows, missing, distinct, True, mean_length=length)
        return out

    def quantiles(self, names: Sequence[str], probs: Floats) -> dict[str, Floats]:
        """Return the engine's own quantiles."""
        from ibis.common.exceptions import IbisError

        wanted = [float(p) for p in probs]
        out: dict[str, Floats] = {}
        for group in groups(names, GROUP):
            try:
                found = self._one_row([self.values[n].quantile(wanted) for n in group])
            except (IbisError, NotImplementedError, TypeError):  # an engine without many quantiles at once
                flat = self._one_row([self.values[n].quantile(p) for n in group for p in wanted])
                found = groups(flat, len(wanted))
            for name, values in zip(group, found):
                empty = values is None or any(v is None for v in values)
                out[name] = np.full(len(wanted), np.nan) if empty else np.asarray(values, dtype=np.float64)
        return out

    def counts(self, codings: Mapping[str, Coding]) -> dict[str, Ints]:
        """Return the rows in every state of every coding: bins as sums of indicators, categories by grouping."""
        bins = [n for n, c in codings.items() if isinstance(c, Intervals)]
        asked = []
        for name in bins:
            v, coding = self.values[name], codings[name]
            assert isinstance(coding, Intervals)
            asked += [v.count(), *((v <= c).sum() for c in coding.cuts)]
        row = iter(self._one_row(asked) if asked else [])
        out: dict[str, Ints] = {}
        for name, coding in codings.items():
            if isinstance(coding, Intervals):
                present = int(next(row))
                below = [int(x or 0) for x in islice(row, len(coding.cuts))]
                states = np.diff([0, *below, present]).tolist()
            else:
                present = self.stats([name])[name].present
                found = {}
                if coding.values:
                    v = self.values[name]
                    grouped = self.table.filter(v.isin(list(coding.values))).group_by(v=v)
                    found = {r["v"]: int(r["n"]) for r in _rows(grouped.aggregate(n=lambda t: t.count()))}
                states = [found.get(v, 0) for v in coding.values]
                states += [present - sum(states)] if coding.other else []
            out[name] = np.asarray([*states, self.n_rows - present], dtype=np.int64)
        return out

    def top(self, names: Sequence[str], k: int) -> dict[str, list[tuple[Value, int]]]:
        """Return the most frequent values with their counts."""
        ibis = import_ibis()
        out: dict[str, list[tuple[Value, int]]] = {}
        for name in names:
            v = self.values[name]
            v = _finite(v) if self.columns[name].numeric else v
            grouped = self.table.filter(v.notnull()).group_by(v=v).aggregate(n=lambda t: t.count())
            found = _rows(grouped.order_by(ibis.desc("n"), "v").limit(int(k)))
            out[name] = [(r["v"], int(r["n"])) for r in found]
        return out

    def repeats(self, name: str) -> dict[int, int]:
        """Return how many distinct values occur once, twice, ..."""
        v = self.values[name]
        each = self.table.filter(v.notnull()).group_by(v=v).aggregate(n=lambda t: t.count())
        found = _rows(each.group_by("n").aggregate(k=lambda t: t.count()))
        return {int(r["n"]): int(r["k"]) for r in found}

    def cross(self, pairs: Sequence[tuple[str, str]], codings: Mapping[str, Coding]) -> list[Ints]:
        """Return the tables of counts, one grouping a pair."""
        out = []
        for a, b in pairs:
            table = np.zeros((codings[a].size, codings[b].size), dtype=np.int64)
            keys = {"a": self._code(a, codings[a]), "b": self._code(b, codings[b])}
            for r in _rows(self.table.group_by(**keys).aggregate(n=lambda t: t.count())):
                table[int(r["a"]), int(r["b"])] = int(r["n"])
            out.append(table)
        return out

    def sample(self, names: Sequence[str], n: int, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
        """Return random rows drawn by the engine (which may not honour the seed)."""
        found = self._sampled({f"s{i}": self.values[name] for i, name in enumerate(names)}, n, seed)
        out: dict[str, npt.NDArray[Any]] = {}
        for i, name in enumerate(names):
            values = found[f"s{i}"]
            numeric = self.columns[name].numeric
            out[name] = np.array(values, dtype=np.float64) if numeric else np.array(values, dtype=object)
        return out

    def sample_codes(self, codings: Mapping[str, Coding], n: int, seed: int = 0) -> dict[str, Ints]:
        """Return the coded values of random rows; the coding is done by the engine."""
        found = self._sampled({f"s{i}": self._code(k, c) for i, (k, c) in enumerate(codings.items())}, n, seed)
        return {name: np.asarray(found[f"s{i}"], dtype=np.int64) for i, name in enumerate(codings)}

    def _sampled(self, expressions: Mapping[str, Any], n: int, seed: int) -> dict[str, list[Any]]:
        ibis = import_ibis()
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n!r}")
        chosen = self.table.select(**expressions)
        if self.n_rows <= n:
            found = chosen.to_pyarrow()
        else:
            share = min(1.0, (n + 6.0 * math.sqrt(n) + 10.0) / self.n_rows)
            try:
                # The random number is a column first: some engines fold a bare random() in a filter.
                marked = self.table.select(**expressions, chance=ibis.random())
                found = marked.filter(marked.chance < share).drop("chance").to_pyarrow()
            except ibis.common.exceptions.OperationNotDefinedError:
                found = chosen.sample(share).to_pyarrow()
        if found.num_rows > n:
            keep = np.sort(np.random.default_rng(seed).choice(found.num_rows, n, replace=False))
            found = found.take(keep)
        return {name: found.column(name).to_pylist() for name in expressions}

    def _code(self, name: str, coding: Coding) -> Any:
        ibis = import_ibis()
        v, last = self.values[name], coding.size - 1
        if isinstance(coding, Intervals):
            state = ibis.literal(0)
            for cut in coding.cuts:
                state = state + ibis.ifelse(v > cut, 1, 0)
        elif coding.values:
            state = ibis.cases(*((v == x, i) for i, x in enumerate(coding.values)), else_=len(coding.values))
        else:
            state = ibis.literal(0)
        return ibis.ifelse(v.isnull(), last, state).cast("int64")


def open_url(url: str, label: str | None = None) -> IbisSource:
    """Open ``scheme://...#table`` or ``scheme://...#schema.table``.

    Raises
    ------
    TableError
        If the engine does not answer or has no such table.
    """
    ibis = import_ibis()
    address, _, inner = url.partition("#")
    where = urlsplit(address)
    shown = f"{where.scheme}://{where.hostname or ''}{where.path}"  # never a password in a report
    try:
        connection = ibis.connect(address)
    except ImportError as error:
        raise ImportError(f"plogp[warehouse] lacks the driver for {where.scheme}: {_first_line(error)}") from error
    except Exception as error:  # every engine raises errors of its own
        raise TableError(f"{shown} cannot be opened: {_first_line(error)}") from error
    try:
        schema, _, name = inner.rpartition(".")
        known = connection.list_tables(database=schema or None)
        if name not in known:
            if not inner:
                raise TableError(f"give the table after a hash: {shown}#{', #'.join(sorted(known)[:8]) or 'table'}")
            message = unknown_column(name, known, shown).replace("column", "table")
            raise TableError(message)
        source = open_expression(connection.table(name, database=schema or None), label or f"{shown}#{inner}")
    except TableError:
        connection.disconnect()
        raise
    except Exception as error:
        connection.disconnect()
        raise TableError(f"{shown}#{inner} cannot be read: {_first_line(error)}") from error
    source.connection = connection
    return source


def open_expression(table: Any, label: str | None = None) -> IbisSource:
    """Open an Ibis table expression on the engine it belongs to."""
    ibis = import_ibis()
    if not isinstance(table, ibis.expr.types.Table):
        raise TypeError(f"an Ibis table is expected, got {type(table).__name__}")
    names, notes = tidy_names(table.columns)
    renamed = table.select(**{f"c{i}": table[column] for i, column in enumerate(table.columns)})
    columns: dict[str, Column] = {}
    values: dict[str, Any] = {}
    for i, name in enumerate(names):
        storage, value, read_as = _storage(renamed[f"c{i}"])
        columns[name], values[name] = Column(name, storage, read_as), value
    n_rows = int(renamed.count().to_pyarrow().as_py())
    said = [*notes, "random rows are drawn by the engine: another run may draw others"]
    return IbisSource(label or _name(table), columns, n_rows, said, {}, None, renamed, values)


def _name(table: Any) -> str:
    try:
        return str(table.get_name())
    except Exception:  # an expression without a name
        return "table expression"


def _storage(column: Any) -> tuple[Storage, Any, str]:
    """Return how a column is compared, its values as float64 or string with missing as null, and words if needed."""
    ibis = import_ibis()
    kind = column.type()
    if kind.is_boolean():
        number = ibis.ifelse(column, ibis.literal(1.0), ibis.literal(0.0))
        return "boolean", ibis.ifelse(column.isnull(), ibis.null("float64"), number), ""
    if kind.is_integer():
        return "integer", column.cast("float64"), ""
    if kind.is_floating() or kind.is_decimal():
        v = column.cast("float64")
        return "float", ibis.ifelse(v.isnan(), ibis.null("float64"), v) if kind.is_floating() else v, ""
    if kind.is_date() or kind.is_timestamp():
        stamp = column.cast("timestamp") if kind.is_date() else column
        return "datetime", stamp.epoch_seconds().cast("float64"), ""
    if kind.is_string():
        return "text", ibis.ifelse(column.strip() == "", ibis.null("string"), column), ""
    return "text", column.cast("string"), f"{str(kind).split('(')[0].split('<')[0]} as text"


def _finite(v: Any) -> Any:
    ibis = import_ibis()
    return ibis.ifelse(v.abs() == math.inf, ibis.null("float64"), v)


def _rows(expression: Any) -> list[dict[str, Any]]:
    return expression.to_pyarrow().to_pylist()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
