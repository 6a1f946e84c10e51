"""The embedded engine: files, data frames and relations behind DuckDB.

Columns are known to DuckDB by position (``c0``, ``c1``, ...), so no name ever reaches a statement: names that
differ only in case, hold quotes, or read like SQL are plain text here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.tables.coding import Coding, Intervals, Value, sorted_quantiles
from plogp.tables.source import Floats, Ints, Source, Stats, groups
from plogp.tables.storage import literal, read_columns

__all__ = ["DuckDBSource", "adopt", "import_duckdb"]

#: Columns in one statement: bounds memory in columns.
GROUP = 32
#: Rows from which quantiles are read; a smaller table gives exact quantiles.
QUANTILE_ROWS = 100_000
#: Distinct values are counted exactly up to about this many (and always where it decides a column's kind).
EXACT_DISTINCT = 20_000
#: Beyond this many distinct values the most frequent are found by a sketch, then counted exactly.
SKETCH_DISTINCT = 1_000_000


def import_duckdb() -> Any:
    """Import DuckDB, or say which extra brings it."""
    try:
        import duckdb
    except ImportError as error:
        raise ImportError("plogp[tables] is needed for tables: pip install 'plogp[tables]'") from error
    return duckdb


@dataclass
class DuckDBSource(Source):
    """A table that DuckDB holds or scans; `run` sends a statement about ``t``."""

    run: Callable[[str], Any] = field(repr=False, default=lambda sql: None)
    expressions: dict[str, str] = field(repr=False, default_factory=dict)
    row_id: str = field(repr=False, default="row_number() OVER ()")
    release: Callable[[], None] = field(repr=False, default=lambda: None)

    def close(self) -> None:
        """Close the connection and remove temporary files."""
        self.release()

    def _scan(self, names: Sequence[str]) -> dict[str, Stats]:
        out: dict[str, Stats] = {}
        for group in groups(names, GROUP):
            out |= self._extent(group)
            self._moments(group, out)
            exact = [name for name in group if self._worth_counting(name, out[name])]
            distinct = self._row(exact, [f"count(DISTINCT v{i})" for i in range(len(exact))])
            for name, number in zip(exact, distinct):
                out[name] = replace(out[name], distinct=number, exact_distinct=True)
        return out

    def _extent(self, group: Sequence[str]) -> dict[str, Stats]:
        """Missing, about how many distinct, extremes."""
        parts = []
        for i, name in enumerate(group):
            v = f"v{i}"
            more = [f"min({v})", f"max({v})"] if self.columns[name].numeric else [f"avg(length({v}))", "NULL"]
            parts += [f"count({v})", f"approx_count_distinct({v})", *more]
        row, out = iter(self._row(group, parts)), {}
        for name in group:
            present, distinct, first, second = islice(row, 4)
            s = Stats(self.n_rows, self.n_rows - present, min(distinct, present), exact_distinct=False)
            if self.columns[name].numeric:
                out[name] = replace(s, low=first, high=second)
            else:
                out[name] = replace(s, mean_length=first)
        return out

    def _moments(self, group: Sequence[str], out: dict[str, Stats]) -> None:
        """Mean, sd, whether all values are whole, infinities; only what the extremes leave open is computed."""
        numeric = [n for n in group if self.columns[n].numeric and out[n].low is not None]
        parts = []
        for i, name in enumerate(numeric):
            v, low, high = f"v{i}", out[name].low or 0.0, out[name].high or 0.0
            finite = math.isfinite(low) and math.isfinite(high)
            of = f"CASE WHEN isfinite({v}) THEN {v} END" if not finite else v
            wholly = all(x == math.trunc(x) for x in (low, high) if math.isfinite(x))
            known = self.columns[name].storage in ("integer", "boolean")
            # Squares overflow beyond 1e150: such columns are scaled by a power of two, which is exact.
            scale = 2.0**-600 if max(abs(x) for x in (low, high, 0.0) if math.isfinite(x)) > 1e150 else 1.0
            of = of if scale == 1.0 else f"{scale!r}::DOUBLE * {of}"
            parts += [f"avg({of})", f"stddev_samp({of})", repr(scale)]
            parts.append("true" if known else f"bool_and({v} = trunc({v}))" if wholly else "false")
            parts.append("0" if finite else f"count_if(isinf({v}))")
        row = iter(self._row(numeric, parts))
        for name in numeric:
            mean, sd, scale, whole, infinite = islice(row, 5)
            scale = float(scale)
            mean, sd = (None if m is None else m / scale for m in (mean, sd))
            out[name] = replace(out[name], mean=mean, sd=sd, whole=bool(whole), infinite=int(infinite))

    def _worth_counting(self, name: str, s: Stats) -> bool:
        """Whether the exact number of distinct values is cheap, or decides the column's kind."""
        if self.columns[name].numeric and not s.whole:
            return s.n <= 10_000 or s.distinct <= EXACT_DISTINCT // 10
        return s.distinct <= EXACT_DISTINCT or (s.distinct > 0.9 * s.present and s.present <= 10_000_000)

    def _row(self, names: Sequence[str], parts: Sequence[str]) -> tuple[Any, ...]:
        """Run one statement that gives one row; in it the values of the names are v0, v1, ..."""
        return tuple(self.run(f"SELECT {', '.join(parts)} FROM {self._values(names)}").fetchall()[0]) if parts else ()

    def _values(self, names: Sequence[str], *more: str) -> str:
        values = [f"{self.expressions[name]} AS v{i}" for i, name in enumerate(names)]
        return f"(SELECT {', '.join([*values, *more])} FROM t)"

    def quantiles(self, names: Sequence[str], probs: Floats) -> dict[str, Floats]:
        """Return quantiles: exact up to 100,000 rows, of a random sample of that size beyond."""
        out: dict[str, Floats] = {}
        for group in groups(names, GROUP):
            for name, x in self.sample(group, QUANTILE_ROWS).items():
                x = np.sort(x[~np.isnan(x)])
                out[name] = sorted_quantiles(x, probs)
        return out

    def counts(self, codings: Mapping[str, Coding]) -> dict[str, Ints]:
        """Return the rows in every state of every coding, with DuckDB's histogram."""
        out: dict[str, Ints] = {}
        for group in groups(list(codings), GROUP):
            row = self._row(group, self._state_parts(group, codings))
            for i, name in enumerate(group):
                states = _states(codings[name], *row[2 * i : 2 * i + 2])
                out[name] = np.asarray([*states, self.n_rows - row[2 * i + 1]], dtype=np.int64)
        return out

    def _state_parts(self, names: Sequence[str], codings: Mapping[str, Coding]) -> list[str]:
        """Two aggregates a name: the counts of the listed states, and of all values."""
        parts = []
        for i, name in enumerate(names):
            coding = codings[name]
            if isinstance(coding, Intervals):
                parts.append(f"histogram(v{i}, {_list(coding.cuts)})")
            elif coding.values:
                parts.append(f"histogram_exact(v{i}, {_list(sorted(coding.values))})")
            else:
                parts.append("NULL")
            parts.append(f"count(v{i})")
        return parts

    def top(self, names: Sequence[str], k: int) -> dict[str, list[tuple[Value, int]]]:
        """Return the most frequent values; of more than a million distinct ones, found by a sketch."""
        out: dict[str, list[tuple[Value, int]]] = {}
        for name in names:
            v = self.expressions[name]
            where = f"{v} IS NOT NULL" + (f" AND isfinite({v})" if self.columns[name].numeric else "")
            if self.stats([name])[name].distinct > SKETCH_DISTINCT:
                likely = self.run(f"SELECT approx_top_k({v}, {int(k)}) FROM t WHERE {where}").fetchall()[0][0] or []
                where += f" AND {v} IN (SELECT unnest({_list(likely)}))" if likely else " AND false"
            sql = f"SELECT {v} AS v, count(*) AS n FROM t WHERE {where} GROUP BY 1 ORDER BY n DESC, v LIMIT {int(k)}"
            out[name] = [(value, int(n)) for value, n in self.run(sql).fetchall()]
        return out

    def repeats(self, name: str) -> dict[int, int]:
        """Return how many distinct values occur once, twice, ..."""
        v = self.expressions[name]
        inner = f"SELECT count(*) AS n FROM t WHERE {v} IS NOT NULL GROUP BY {v}"
        return {int(n): int(k) for n, k in self.run(f"SELECT n, count(*) FROM ({inner}) GROUP BY n").fetchall()}

    def cross(self, pairs: Sequence[tuple[str, str]], codings: Mapping[str, Coding]) -> list[Ints]:
        """Return the tables of counts: for each second column one grouping, with a histogram of every first one."""
        found: dict[tuple[str, str], Ints] = {}
        for by in dict.fromkeys(b for _, b in pairs):
            for group in groups(list(dict.fromkeys(a for a, b in pairs if b == by)), GROUP):
                key = f"{_code(self.expressions[by], codings[by])} AS k"
                parts = ", ".join([*self._state_parts(group, codings), "count(*)"])
                rows = self.run(f"SELECT k, {parts} FROM {self._values(group, key)} GROUP BY k").fetchall()
                for name in group:
                    found[name, by] = np.zeros((codings[name].size, codings[by].size), dtype=np.int64)
                for k, *row in rows:
                    for i, name in enumerate(group):
                        states = _states(codings[name], *row[2 * i : 2 * i + 2])
                        found[name, by][:, k] = [*states, row[-1] - row[2 * i + 1]]
        return [found[pair] for pair in pairs]

    def sample(self, names: Sequence[str], n: int, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
        """Return random rows, chosen by a hash of the row's number and the seed."""
        names = list(dict.fromkeys(names))
        found = self._sampled(names, [f"v{i}" for i in range(len(names))], n, seed)
        out: dict[str, npt.NDArray[Any]] = {}
        for i, name in enumerate(names):
            values = found[f"v{i}"]
            out[name] = _floats(values) if self.columns[name].numeric else _objects(values)
        return out

    def sample_codes(self, codings: Mapping[str, Coding], n: int, seed: int = 0) -> dict[str, Ints]:
        """Return the coded values of random rows; the coding is done by the engine."""
        parts = [f"{_code(f'v{i}', c)} AS s{i}" for i, c in enumerate(codings.values())]
        found = self._sampled(list(codings), parts, n, seed)
        return {name: np.asarray(found[f"s{i}"]) for i, name in enumerate(codings)}

    def _sampled(self, names: Sequence[str], parts: Sequence[str], n: int, seed: int) -> dict[str, npt.NDArray[Any]]:
        """Select from random rows; in the parts the values of the names are v0, v1, ..."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n!r}")
        if self.n_rows <= n:
            return self.run(f"SELECT {', '.join(parts)} FROM {self._values(names)}").fetchnumpy()
        # A little more than n rows pass the threshold; the n with the smallest hash are kept.
        share = min(1.0, (n + 6.0 * math.sqrt(n) + 10.0) / self.n_rows)
        threshold = min(int(share * 2.0**64), 2**64 - 1)
        hashed = self._values(names, f"hash({self.row_id}, {int(seed)}) AS h")
        found = self.run(f"SELECT {', '.join(parts)}, h FROM {hashed} WHERE h <= {threshold}").fetchnumpy()
        order = np.argsort(np.asarray(found.pop("h")), kind="stable")[:n]
        return {name: values[order] for name, values in found.items()}


def _code(v: str, coding: Coding) -> str:
    """Return the expression of the state of a value."""
    last = coding.size - 1
    small = "UTINYINT" if last < 256 else "INTEGER"
    if isinstance(coding, Intervals):
        state = " + ".join(f"({v} > {literal(c)})::{small}" for c in coding.cuts) or f"0::{small}"
    elif coding.values:
        state = f"coalesce(list_position({_list(coding.values)}, {v}) - 1, {len(coding.values)})"
    else:
        state = "0"
    return f"CAST(CASE WHEN {v} IS NULL THEN {last} ELSE {state} END AS {small})"


def adopt(
    run: Callable[[str], Any],
    names: Sequence[str],
    types: Sequence[str],
    label: str,
    row_id: str = "row_number() OVER ()",
    release: Callable[[], None] = lambda: None,
    notes: Sequence[str] = (),
) -> DuckDBSource:
    """Make a source of the relation ``t``, whose columns are c0, c1, ... in the order of `names`."""
    n_rows = int(run("SELECT count(*) FROM t").fetchall()[0][0])
    columns, expressions = read_columns(run, names, types, n_rows)
    return DuckDBSource(label, columns, n_rows, list(notes), {}, QUANTILE_ROWS, run, expressions, row_id, release)


def _states(coding: Coding, found: Mapping[Any, int] | None, present: int) -> list[int]:
    """Return the counts of the states but the missing one, from a histogram of the listed ones."""
    found = found or {}
    if isinstance(coding, Intervals):
        return [found.get(c, 0) for c in (*coding.cuts, math.inf)]
    states = [found.get(v, 0) for v in coding.values]
    return [*states, present - sum(states)] if coding.other else states


def _list(values: Sequence[Value]) -> str:
    if values and isinstance(values[0], str):
        return f"[{', '.join(literal(v) for v in values)}]"
    # One cast of the list: a cast of each number takes longer to parse than the counting takes to run.
    inside = ", ".join(repr(v) if math.isfinite(v) else f"'{v}'::DOUBLE" for v in map(float, values))
    return f"[{inside}]::DOUBLE[]"


def _floats(values: Any) -> Floats:
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(values.astype(np.float64), np.nan), dtype=np.float64)
    return np.asarray(values, dtype=np.float64)


def _objects(values: Any) -> npt.NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        out = np.asarray(values.data, dtype=object).copy()
        out[np.ma.getmaskarray(values)] = None
        return out
    return np.asarray(values, dtype=object)
