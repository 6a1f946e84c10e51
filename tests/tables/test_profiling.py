"""`profile`: entropies and information against closed forms, and tables of every awkward shape."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from plogp.tables import TableError, profile
from plogp.tables.results import MISSING, OTHER


def test_entropies_against_closed_forms() -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    share = np.array([0.5, 0.25, 0.125, 0.125])
    table = {
        "normal": rng.normal(0, 3, n),
        "uniform": rng.uniform(0, 10, n),
        "dyadic": rng.choice(list("abcd"), n, p=share),
        "coin": rng.integers(0, 2, n),
        "die": rng.integers(1, 7, n),
        "rounded": np.round(rng.normal(0, 3, n), 1),
    }
    truth = {
        "normal": 0.5 * math.log(2 * math.pi * math.e * 9),
        "uniform": math.log(10),
        "dyadic": 1.75 * math.log(2),
        "coin": math.log(2),
        "die": math.log(6),
        "rounded": 0.5 * math.log(2 * math.pi * math.e * 9),
    }
    p = profile(table, pairs=False)
    for name, h in truth.items():
        low, high = p[name].entropy.interval(0.999)
        assert low <= h <= high, (name, p[name].entropy, h)
    assert p["normal"].entropy_of == "density"
    assert p["dyadic"].entropy_of == "values"
    assert p["rounded"].entropy_of == "density (values are 0.1 apart)"


def test_density_of_values_with_a_heavy_atom_comes_from_a_histogram() -> None:
    rng = np.random.default_rng(0)
    x = np.where(rng.random(5000) < 0.3, 0.0, rng.normal(size=5000))
    c = profile({"x": x, "y": x}, pairs=False)["x"]
    assert c.entropy_of == "density (histogram)"
    assert math.isfinite(c.entropy.value)


def test_information_of_pairs_against_closed_forms() -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    x = rng.normal(size=n)
    flip = rng.random(n) < 0.1
    a = rng.integers(0, 2, n)
    table = {
        "x": x,
        "r6": 0.6 * x + 0.8 * rng.normal(size=n),
        "r9": 0.9 * x + math.sqrt(0.19) * rng.normal(size=n),
        "a": a,
        "noisy_a": np.where(flip, 1 - a, a),
        "sign": np.where(x > 0, "plus", "minus"),
        "noise": rng.normal(size=n),
    }
    p = profile(table)
    found = {(d.a, d.b): d for d in p.pairs}
    h = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    truth = {
        ("x", "r6"): -0.5 * math.log(1 - 0.36),
        ("x", "r9"): -0.5 * math.log(1 - 0.81),
        ("a", "noisy_a"): math.log(2) - h,
        ("x", "sign"): math.log(2),
    }
    for pair, value in truth.items():
        d = found[pair]
        low, high = d.mutual_information.interval(0.999)
        assert low - 1e-3 <= value <= high + 1e-3, (pair, d)
        assert d.dependent
    assert found["x", "sign"].normalized > 0.95
    assert not any(d.dependent for (i, j), d in found.items() if "noise" in (i, j))


def test_independent_columns_are_rarely_called_dependent() -> None:
    called = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        table = {f"x{i}": rng.normal(size=300) for i in range(6)} | {"c": rng.choice(list("abcdefgh"), 300)}
        p = profile(table)
        called += sum(d.dependent for d in p.pairs)
        values = [d.mutual_information.value for d in p.pairs]
        assert min(values) < 0  # the bias is taken off, the sign is kept
    assert called <= 3  # 12 tables at a false discovery rate of 5 %


def test_pairs_are_about_the_rows_with_both_values() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=3000)
    a, b = (
        np.where(rng.random(3000) < 0.3, np.nan, x),
        np.where(rng.random(3000) < 0.3, np.nan, x + rng.normal(size=3000)),
    )
    (pair,) = profile({"a": a, "b": b}).pairs
    low, high = pair.mutual_information.interval(0.999)
    assert low <= 0.5 * math.log(2) <= high
    assert pair.mutual_information.n == np.sum(~np.isnan(a) & ~np.isnan(b))
    (never,) = profile({"a": [1.0, 2.5, None, None] * 50, "b": [None, None, 3.5, 4.5] * 50}).pairs
    assert (never.p_value, never.mutual_information.n) == (1.0, 0)


def test_awkward_columns() -> None:
    n = 600
    rng = np.random.default_rng(3)
    x = rng.normal(size=n)
    table = {
        "empty": [None] * n,
        "same": ["k"] * n,
        "ids": [f"u{i}" for i in range(n)],
        "many": rng.choice([f"v{i}" for i in range(200)], n).tolist(),
        "inf": np.where(np.arange(n) % 50 == 0, np.inf, x),
        "zeros": np.where(rng.random(n) < 0.6, 0.0, x),
        "<script>alert(1)</script>": x,
        "when": np.datetime64("2024-03-01T00:00") + rng.integers(0, 10**6, n).astype("timedelta64[s]"),
        "(other)": [OTHER if i % 2 else MISSING for i in range(n)],
    }
    p = profile(table)
    assert p["empty"].kind == "constant"
    assert "every value is missing" in p["empty"].notes
    assert p["empty"].entropy.value == 0
    assert p["empty"].histogram.counts == [n]
    assert p["ids"].kind == "text/id"
    assert p["ids"].entropy.value == pytest.approx(math.log(n))
    assert len(p["ids"].histogram.labels) <= 31
    assert p["many"].histogram.labels[-1] == OTHER
    assert sum(p["many"].histogram.counts) == n
    assert any("infinite" in note for note in p["inf"].notes)
    assert math.isfinite(p["inf"].entropy.value)
    assert p["(other)"].histogram.labels == [f"'{MISSING}'", f"'{OTHER}'"]
    assert p["when"].summary["dates"]["min"].startswith("2024-03-01")
    assert any("not paired" in note for note in p.notes)
    for c in p:
        assert sum(c.histogram.counts) == n, c.name
        assert len(set(c.histogram.labels)) == len(c.histogram.labels), c.name
        if c.histogram.edges is not None:
            assert c.histogram.edges == sorted(c.histogram.edges)


def test_two_rows_and_hostile_arguments() -> None:
    p = profile({"a": [1.0, 2.0], "b": ["x", "y"], "c": [None, None]})
    assert [c.n for c in p] == [2, 2, 2]
    with pytest.raises(TableError, match="every cell is missing"):
        profile({"a": [None, None], "b": [float("nan"), None]})
    with pytest.raises(TableError, match="did you mean 'a'"):
        profile({"a": [1, 2], "bb": [3, 4]}, columns=["A"])
    for bad in ({"bins": 1}, {"sample": 5}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            profile({"a": [1, 2]}, **bad)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_result() -> None:
    rng = np.random.default_rng(4)
    table = {"x": rng.normal(size=12_000), "y": rng.normal(size=12_000)}
    a, b, c = (profile(table, sample=5000, seed=s) for s in (0, 0, 1))
    assert a.pairs[0].mutual_information.value == b.pairs[0].mutual_information.value
    assert a.pairs[0].mutual_information.value != c.pairs[0].mutual_information.value
    assert "random rows (seed 0)" in a.pairs[0].method


def test_three_hundred_columns_work() -> None:
    rng = np.random.default_rng(5)
    table = {f"c{i}": rng.normal(size=500) for i in range(300)}
    start = time.process_time()
    p = profile(table)
    assert len(p) == 300
    assert len(p.pairs) == 300 * 299 // 2
    assert sum(d.dependent for d in p.pairs) <= 2
    assert time.process_time() - start < 60  # about 3 s of one core; a quadratic blow-up would take minutes


def test_entropy_where_hardly_a_value_repeats_is_that_of_the_rows() -> None:
    p = profile({"id": [f"k{i}" for i in range(1000)], "x": [1, 2] * 500})
    e = p["id"].entropy
    assert (e.value, e.has_interval) == (pytest.approx(math.log(1000)), False)
    assert p["id"].entropy_of == "rows at hand"
    assert any("of more rows it is larger" in note for note in p["id"].notes)
    # 300 rows of 1,000 equally likely values: 40 repeats suffice for an estimate far beyond the rows.
    few = profile({"c": [f"k{i}" for i in np.random.default_rng(0).integers(0, 1000, 300)], "x": [1, 2] * 150})
    low, high = few["c"].entropy.interval()
    assert low <= math.log(1000) <= high
