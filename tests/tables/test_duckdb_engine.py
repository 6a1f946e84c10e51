"""The embedded engine's counts against NumPy's, and its sampling."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.tables import open_table
from plogp.tables.coding import Categories, Intervals, cuts_from_quantiles, sorted_quantiles

VALUES = st.lists(st.one_of(st.none(), st.floats(width=32), st.sampled_from([0.0, 1.0, -1.0])), min_size=2, max_size=60)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.lists(st.floats(-1e6, 1e6), max_size=5, unique=True))
def test_bin_counts_are_numpy_s(values: list[float | None], cuts: list[float]) -> None:
    source = open_table({"x": values, "i": list(range(len(values)))})
    if source.columns["x"].storage == "text":  # no number among them
        return
    coding = Intervals(tuple(sorted(cuts)))
    x = np.array([np.nan if v is None else v for v in values])
    expected = np.bincount(coding.encode(x), minlength=coding.size)
    assert source.counts({"x": coding})["x"].tolist() == expected.tolist()
    assert source.sample_codes({"x": coding}, 100)["x"].tolist() == coding.encode(x).tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=2, max_size=40), st.booleans())
def test_category_counts_are_python_s(values: list[str | None], keep_all: bool) -> None:
    if any(v is not None and "\0" in v for v in values):
        return
    words = ["x" + v if v else v for v in values]  # never a number, a date or blank by accident
    source = open_table({"c": words, "i": list(range(len(words)))})
    present = [w for w in words if w]
    known = sorted(set(present))[: None if keep_all else 2]
    coding = Categories(tuple(known), other=not keep_all)
    expected = [present.count(k) for k in known]
    expected += [] if keep_all else [len(present) - sum(expected)]
    expected += [len(words) - len(present)]
    assert source.counts({"c": coding})["c"].tolist() == expected
    if present:
        best = max(present.count(k) for k in set(present))
        assert source.top(["c"], 1)["c"][0][1] == best
        repeats = source.repeats("c")
        assert sum(k * v for k, v in repeats.items()) == len(present)


def test_statistics_are_numpy_s() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, 5000)
    x[::7] = np.nan
    s = open_table({"x": x, "k": rng.integers(0, 9, 5000)}).stats()
    assert s["x"].missing == np.isnan(x).sum()
    np.testing.assert_allclose([s["x"].mean, s["x"].sd], [np.nanmean(x), np.nanstd(x, ddof=1)], rtol=1e-12)
    assert (s["x"].low, s["x"].high, s["x"].distinct) == (np.nanmin(x), np.nanmax(x), len(np.unique(x[~np.isnan(x)])))
    assert s["k"].whole
    assert not s["x"].whole


@pytest.mark.parametrize(
    "values", [[1e308, -1e308, 1e308, 3.0], [1e200, 2e200, 3e200], [5e-324, 0.0, 1e-310], [np.inf, -np.inf, 2.0, 4.0]]
)
def test_extreme_values_have_finite_moments(values: list[float]) -> None:
    s = open_table({"x": values}).stats()["x"]
    finite = np.array([v for v in values if np.isfinite(v)]) / 2.0
    assert s.infinite == len(values) - len(finite)
    assert s.mean == pytest.approx(2 * finite.mean(), rel=1e-9, abs=1e-300)
    with np.errstate(over="ignore"):
        expected = 2e200 * float(np.std(finite / 1e200, ddof=1)) if finite.max() > 1e100 else np.std(2 * finite, ddof=1)
    assert s.sd == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_quantiles_are_numpy_s_and_survive_infinities() -> None:
    rng = np.random.default_rng(1)
    x, probs = rng.normal(size=999), np.array([0.0, 0.01, 0.5, 0.77, 1.0])
    source = open_table({"x": x, "inf": np.where(np.arange(999) % 3 == 0, np.inf, x)})
    found = source.quantiles(["x", "inf"], probs)
    np.testing.assert_allclose(found["x"], np.quantile(x, probs), rtol=1e-12)
    assert found["inf"][-1] == np.inf
    assert not np.isnan(found["inf"]).any()
    assert np.isnan(sorted_quantiles(np.array([]), probs)).all()


def test_cross_counts_are_crosstabs_in_any_order() -> None:
    rng = np.random.default_rng(2)
    a, b, c = rng.integers(0, 3, 400), rng.integers(0, 4, 400), rng.normal(size=400)
    source = open_table({"a": a, "b": b, "c": c})
    codings = {
        "a": Categories((0.0, 1.0, 2.0)),
        "b": Categories((0.0, 1.0), other=True),
        "c": Intervals((-0.3, 0.8)),
    }
    codes = {n: codings[n].encode(v.astype(float)) for n, v in (("a", a), ("b", b), ("c", c))}
    pairs = [("a", "b"), ("b", "a"), ("c", "a"), ("a", "a")]
    for (p, q), table in zip(pairs, source.cross(pairs, codings)):
        expected = np.zeros((codings[p].size, codings[q].size), dtype=int)
        np.add.at(expected, (codes[p], codes[q]), 1)
        assert table.tolist() == expected.tolist(), (p, q)


def test_samples_repeat_with_the_seed_and_are_random(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    duckdb.sql("SELECT range AS i, range / 2.0 AS half FROM range(40000)").write_parquet(str(path))
    with open_table(path) as source:
        first, again, other = (source.sample(["i", "half"], 1000, s) for s in (1, 1, 2))
        assert first["i"].tolist() == again["i"].tolist()
        assert first["i"].tolist() != other["i"].tolist()
        np.testing.assert_array_equal(first["i"] / 2, first["half"])
        assert len(np.unique(first["i"])) == 1000
        # 1000 of 40000 without replacement: mean 19999.5, sd of the mean 360
        assert abs(first["i"].mean() - 19999.5) < 5 * 360
        assert source.sample(["i"], 10**6)["i"].shape == (40000,)


def test_many_distinct_values_are_not_expanded(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    duckdb.sql("SELECT 'u' || range AS id, range % 2 AS y FROM range(1_200_000)").write_parquet(str(path))
    with open_table(path) as source:
        s = source.stats()["id"]
        assert s.distinct > 1_000_000
        assert len(source.top(["id"], 3)["id"]) == 3


def test_cuts_leave_no_empty_bin() -> None:
    probs = np.arange(1, 100) / 100
    heavy = np.sort(np.concatenate([np.zeros(650), np.linspace(0.01, 5, 350)]))
    cuts = cuts_from_quantiles(probs, np.quantile(heavy, probs), 10, 0.0, 5.0)
    counts = np.bincount(Intervals(cuts).encode(heavy), minlength=len(cuts) + 2)[:-1]
    assert (counts > 0).all()
    assert cuts[0] == 0.0
