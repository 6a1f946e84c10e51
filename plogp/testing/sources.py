"""The check suite for table engines: a `Source` must count what NumPy counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.tables.coding import Categories, Coding, Intervals
from plogp.tables.source import Source
from plogp.testing.suite import expect_error, run_checks

__all__ = ["check_source"]

Columns = dict[str, list[Any]]


def check_source(
    open_source: Callable[[Columns], Source], *, skip: Mapping[str, str] | None = None, seed: int = 0
) -> None:
    """Raise unless an engine answers the counts interface as NumPy would.

    Runs: the schema, missing and distinct values, moments, quantiles, counts of intervals and categories, crossed
    counts, the most frequent values, how often values repeat, the random sample, hostile column names, and the
    error for a column that is not there.

    Parameters
    ----------
    open_source : callable
        ``open_source(columns) -> Source``: puts a mapping of names to lists (floats and text, None for missing)
        into the engine and opens it.
    skip : mapping, optional
        Names of checks that do not apply, with the reason.
    seed : int
        Of the table.

    Raises
    ------
    AssertionError
        Listing the failed checks.

    Examples
    --------
    >>> from plogp.tables import open_table
    >>> check_source(open_table)
    """
    run_checks("the source", _Suite(open_source, seed), skip)


class _Suite:
    def __init__(self, open_source: Callable[[Columns], Source], seed: int):
        rng = np.random.default_rng(seed)
        x = [None if i % 11 == 0 else float(v) for i, v in enumerate(rng.normal(size=600))]
        words = [None if i % 7 == 3 else str(v) for i, v in enumerate(rng.choice(["a", "b'", 'c"', "d d"], 600))]
        self.columns: Columns = {"x": x, 'we"ird; --': words, "grade": [float(v) for v in rng.integers(0, 5, 600)]}
        self.word = 'we"ird; --'
        self.source = open_source(self.columns)
        self.codings: dict[str, Coding] = {
            "x": Intervals((-0.5, 0.0, 1.0)),
            self.word: Categories(("a", "b'"), other=True),
            "grade": Categories((0.0, 2.0), other=True),
        }

    def __iter__(self) -> Iterator[Callable[[], None]]:
        return iter([getattr(self, n) for n in dir(self) if n.startswith("check_")])

    def _array(self, name: str) -> npt.NDArray[Any]:
        values = self.columns[name]
        if name == self.word:
            return np.array(values, dtype=object)
        return np.array([np.nan if v is None else v for v in values])

    def check_schema(self) -> None:
        assert list(self.source.columns) == list(self.columns), f"columns {list(self.source.columns)}"
        assert self.source.n_rows == 600, f"{self.source.n_rows} rows"

    def check_stats(self) -> None:
        for name, s in self.source.stats().items():
            values = [v for v in self.columns[name] if v is not None]
            assert s.missing == 600 - len(values), f"{name}: {s.missing} missing"
            assert s.distinct == len(set(values)), f"{name}: {s.distinct} distinct"
            if name != self.word:
                assert s.mean is not None, f"{name}: no mean"
                assert s.sd is not None, f"{name}: no sd"
                np.testing.assert_allclose([s.mean, s.sd], [np.mean(values), np.std(values, ddof=1)], rtol=1e-9)
                assert (s.low, s.high) == (min(values), max(values)), f"{name}: {s.low}, {s.high}"

    def check_quantiles(self) -> None:
        probs = np.array([0.05, 0.5, 0.9])
        for name, got in self.source.quantiles(["x", "grade"], probs).items():
            values = np.sort([v for v in self.columns[name] if v is not None])
            for prob, quantile in zip(probs, got):
                around = np.searchsorted(values, quantile, "left"), np.searchsorted(values, quantile, "right")
                assert around[0] - 2 <= prob * len(values) <= around[1] + 2, f"{name}: quantile {prob} is {quantile}"

    def check_counts(self) -> None:
        for name, counts in self.source.counts(self.codings).items():
            coding = self.codings[name]
            expected = np.bincount(coding.encode(self._array(name)), minlength=coding.size)
            assert counts.tolist() == expected.tolist(), f"{name}: {counts.tolist()} against {expected.tolist()}"

    def check_crossed_counts(self) -> None:
        pairs = [("x", self.word), ("grade", "x")]
        for (a, b), table in zip(pairs, self.source.cross(pairs, self.codings)):
            codes = [self.codings[name].encode(self._array(name)) for name in (a, b)]
            expected = np.zeros((self.codings[a].size, self.codings[b].size), dtype=np.int64)
            np.add.at(expected, tuple(codes), 1)
            assert table.tolist() == expected.tolist(), f"{a} and {b}"

    def check_most_frequent(self) -> None:
        values, counts = np.unique([v for v in self.columns["grade"] if v is not None], return_counts=True)
        order = np.lexsort((values, -counts))[:2]
        expected = [(float(values[i]), int(counts[i])) for i in order]
        assert self.source.top(["grade"], 2)["grade"] == expected, f"{self.source.top(['grade'], 2)}"

    def check_repeats(self) -> None:
        counts = np.unique(self.columns["grade"], return_counts=True)[1]
        expected = {int(k): int(v) for k, v in zip(*np.unique(counts, return_counts=True))}
        assert dict(self.source.repeats("grade")) == expected, f"{self.source.repeats('grade')} against {expected}"

    def check_sample(self) -> None:
        part = self.source.sample(["x", self.word], 50, 1)
        assert len(part["x"]) == len(part[self.word]) == 50, "50 rows were asked for"
        rows = set(zip([None if v is None else v for v in self.columns["x"]], self.columns[self.word]))
        got = set(zip([None if np.isnan(v) else float(v) for v in part["x"]], part[self.word]))
        assert got <= rows, "the sample holds rows that the table has not"

    def check_unknown_column(self) -> None:
        expect_error(lambda: self.source.resolve(["grad"]), "did you mean 'grade'", "a column that is not there")
