"""`drift`: size and evidence, and every way in which the peers' verdicts were wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import plogp as pl
from plogp.tables import TableError, drift
from plogp.tables.results import MISSING


def normal(seed: int, n: int, mean: float = 0.0, sd: float = 1.0) -> Any:
    return np.random.default_rng(seed).normal(mean, sd, n)


def test_a_small_shift_of_a_large_table_is_drift() -> None:
    d = drift({"x": normal(0, 50_000)}, {"x": normal(1, 50_000, 0.08)})
    assert d["x"].drifted
    assert "mean up by 0.08 sd" in d["x"].how or "mean up by 0.07" in d["x"].how
    assert d["x"].wasserstein is not None
    low, high = d["x"].wasserstein.interval(0.999)
    assert low <= 0.08 <= high


@pytest.mark.parametrize("n", [1001, 3000, 10_000])
def test_hundreds_of_categories_without_drift(n: int) -> None:
    cities = [f"city{i}" for i in range(300)]
    hits = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        hits += drift({"c": rng.choice(cities, n)}, {"c": rng.choice(cities, n)})["c"].drifted
    assert hits <= 2


def test_three_hundred_columns_without_drift() -> None:
    rng = np.random.default_rng(0)
    a, b = ({f"x{i}": rng.normal(size=500) for i in range(300)} for _ in range(2))
    assert len(drift(a, b).drifted) <= 1


def test_false_alarms_over_many_small_tables() -> None:
    flagged = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = (
            {"x": rng.normal(size=80), "k": rng.poisson(2, 80), "c": rng.choice(list("abcdef"), 80)} for _ in range(2)
        )
        flagged += bool(drift(a, b).drifted)
    assert flagged <= 7  # 5 % of 40 tables is 2; 7 is 3.6 standard deviations more


def test_psi_of_a_large_shift_and_one_outlier() -> None:
    a, b = normal(0, 5000), normal(1, 5000, 2.0)
    clean = drift({"x": a}, {"x": b})["x"]
    spoiled = drift({"x": np.append(a[1:], 1e6)}, {"x": b})["x"]
    other = drift({"x": a}, {"x": np.append(b[1:], -1e300)})["x"]
    for row in (clean, spoiled, other):
        assert row.psi.value == pytest.approx(3.9, abs=0.25)
        assert row.drifted
        assert row.wasserstein is not None
        assert row.wasserstein.value == pytest.approx(2.0, abs=0.15)
        assert row.how.startswith("mean up by")


def test_one_rare_row_changes_nothing() -> None:
    for seed in range(1, 6):
        rng = np.random.default_rng(seed)
        a, b = (rng.choice(["u", "v", "w"], 3000).tolist() for _ in range(2))
        new = b[:-30] + ["fresh"] * 30
        for current, verdict in ((b, False), (new, True)):
            plain = drift({"c": a}, {"c": current})["c"]
            rare = drift({"c": [*a, "odd"]}, {"c": [*current, "odd"]})["c"]
            assert plain.drifted == rare.drifted == verdict
            # A peer's PSI goes from 0.046 to 0.184 here.
            assert rare.psi.value == pytest.approx(plain.psi.value, abs=0.004)


def test_numbers_against_exact_divergences() -> None:
    rng = np.random.default_rng(1)
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.35, 0.25])
    row = drift({"c": rng.choice(list("abc"), 40_000, p=p)}, {"c": rng.choice(list("abc"), 40_000, p=q)}, "hellinger")[
        "c"
    ]
    for estimate, name in ((row.psi, "jeffreys"), (row.js, "js"), (row.kl, "kl"), (row.effect, "hellinger")):
        low, high = estimate.interval(0.999)
        assert low <= float(pl.divergence(name)(p, q)) <= high, name


def test_direction_of_kl_is_reference_first() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.choice(list("ab"), 20_000, p=[0.5, 0.5]), rng.choice(list("ab"), 20_000, p=[0.95, 0.05])
    forward = drift({"c": a}, {"c": b}, "kl")["c"]
    exact = 0.5 * math.log(0.5 / 0.95) + 0.5 * math.log(0.5 / 0.05)
    assert forward.kl.value == pytest.approx(exact, rel=0.05)
    assert forward.effect.value == forward.kl.value
    assert drift({"c": a}, {"c": b}, "reverse_kl")["c"].effect.value == pytest.approx(0.4946, rel=0.05)


def test_any_divergence_and_sums_of_several() -> None:
    a, b = {"x": normal(0, 3000)}, {"x": normal(1, 3000, 0.5)}
    mixed = 0.7 * pl.divergence("kl") + 0.3 * pl.divergence("reverse_kl")
    d = drift(a, b, mixed)
    row = d["x"]
    assert row.drifted
    assert row.effect.value == pytest.approx(0.125, rel=0.25)  # both directions of two normals half a sd apart
    assert "kl" in d.divergence
    for name in ("tv", "le_cam", "chi2", "gjs"):
        assert drift(a, b, name)["x"].drifted


def test_categories_that_come_and_go_and_missing_values() -> None:
    rng = np.random.default_rng(3)
    a = {"c": rng.choice(["old", "x", "y"], 2000, p=[0.05, 0.5, 0.45]), "m": normal(0, 2000)}
    m = normal(1, 2000)
    m[:200] = np.nan
    b = {"c": rng.choice(["<new>", "x", "y"], 2000, p=[0.05, 0.5, 0.45]), "m": m}
    d = drift(a, b)
    assert d["c"].new_categories == ["<new>"]
    assert d["c"].vanished_categories == ["old"]
    assert "new category '<new>'" in d["c"].how
    assert d["m"].drifted
    assert "missing 0 % -> 10.0 %" in d["m"].how
    assert (d["m"].missing_reference, d["m"].missing_current) == (0, 200)
    assert d["m"].reference.labels == d["m"].current.labels
    assert d["m"].current.labels[-1] == MISSING
    assert sum(d["m"].current.counts) == 2000


def test_words_for_what_changed() -> None:
    wide = drift({"x": normal(0, 5000)}, {"x": normal(1, 5000, 0, 1.3)})["x"]
    assert wide.how.startswith("wider by")
    assert drift({"x": normal(0, 5000)}, {"x": normal(1, 5000, -0.4)})["x"].how.startswith("mean down by")
    flag = drift({"b": normal(0, 4000) > 0}, {"b": normal(1, 4000) > 0.5})["b"]
    assert "share of 'true'" in flag.how
    day = np.datetime64("2024-01-01T00:00:00")
    a = day + np.random.default_rng(0).integers(0, 86_400 * 30, 3000)
    later = drift({"t": a}, {"t": a + np.timedelta64(86_400 * 10, "s")})["t"]
    assert "later" in later.how
    assert "10 days" in later.how
    assert drift({"x": normal(0, 500)}, {"x": normal(1, 500)})["x"].how == "within noise"


def test_a_certain_but_negligible_change_is_not_drift_unless_asked() -> None:
    a, b = {"x": normal(0, 400_000)}, {"x": normal(1, 400_000, 0.015)}
    row = drift(a, b)["x"]
    assert row.p_adjusted < 0.05
    assert not row.drifted
    assert row.how.startswith("certain but small")
    assert drift(a, b, min_shift=0.0)["x"].drifted


def test_columns_in_one_table_only_and_types_that_disagree() -> None:
    n = 400
    a = {"x": normal(0, n), "gone": np.arange(n), "t": normal(1, n), "k": [1, 2] * (n // 2), "e": [None] * n}
    b = {
        "x": normal(2, n),
        "come": np.arange(n),
        "t": ["word", "more"] * (n // 2),
        "k": normal(3, n),
        "e": normal(4, n),
    }
    d = drift(a, b)
    assert (d.only_in_reference, d.only_in_current) == (["gone"], ["come"])
    assert d["t"].drifted
    assert any("compared as text" in note for note in d["t"].notes)
    assert d["k"].kind == "continuous"
    assert d["k"].drifted
    assert d["e"].drifted
    assert "missing 100 % -> 0 %" in d["e"].how
    with pytest.raises(TableError, match="share no column"):
        drift({"a": [1, 2]}, {"b": [1, 2]})
    with pytest.raises(TableError, match="did you mean 'x'"):
        drift(a, b, columns=["xx"])
    with pytest.raises(TableError, match="every cell is missing"):
        drift({"a": [None, None]}, {"a": [None, None]})


def test_awkward_columns() -> None:
    n = 500
    a = {
        "same": ["k"] * n,
        "number": [3.0] * n,
        "ids": [f"a{i}" for i in range(n)],
        "inf": [math.inf if i % 2 else 1.0 * i for i in range(n)],
        "big": [1e308 * (-1) ** i for i in range(n)],
    }
    b = {
        "same": ["k"] * n,
        "number": [3.0] * (n // 2) + [4.0] * (n // 2),
        "ids": [f"b{i}" for i in range(n)],
        "inf": [math.inf if i % 2 else 1.0 * i for i in range(n)],
        "big": [1e308 * (-1) ** i for i in range(n)],
    }
    d = drift(a, b)
    assert [r.column for r in d.drifted] == ["number"]
    assert d["ids"].new_categories == []
    assert d["same"].p_value == 1.0
    assert all(math.isfinite(r.psi.value) for r in d)


def test_given_bins_and_the_number_of_bins() -> None:
    a, b = {"x": normal(0, 2000)}, {"x": normal(1, 2000, 0.4)}
    assert len(drift(a, b, bins=5)["x"].reference.counts) == 5
    row = drift(a, b, bins={"x": [-1.0, 0.0, 1.0]})["x"]
    assert row.reference.labels == ["<= -1", "(-1, 0]", "(0, 1]", "> 1"]
    assert row.reference.counts[0] == np.sum(a["x"] <= -1)
    for bad in ({"level": 2.0}, {"min_shift": -1.0}, {"bins": 1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            drift(a, b, **bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite cut"):
        drift(a, b, bins={"x": [math.nan]})


def test_power_beside_the_t_test() -> None:
    """A shift of 0.2 sd in 1000 rows, among 20 quiet columns, is found nearly always."""
    found = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        a = {f"x{i}": rng.normal(size=1000) for i in range(21)}
        b = {f"x{i}": rng.normal(size=1000) for i in range(20)} | {"x20": rng.normal(0.2, 1, 1000)}
        found += drift(a, b)["x20"].drifted
    assert found >= 9


def test_a_column_that_turns_infinite_has_drifted() -> None:
    x = np.linspace(0, 10, 100) ** 2
    gone = drift({"x": np.full(100, np.inf)}, {"x": x}).rows[0]
    assert gone.drifted
    assert gone.reference.labels == ["finite values", "∞"]
    half = drift({"x": x}, {"x": np.where(np.arange(100) < 50, -np.inf, x)}).rows[0]
    assert half.drifted
    assert half.current.labels[0] == "-∞"
    assert half.current.counts[0] == 50
    assert "'-∞' 0 % -> 50.0 %" in half.how
    same = drift({"x": np.r_[x, np.inf]}, {"x": np.r_[x, np.inf]}, bins=5).rows[0]
    assert not same.drifted
    assert same.reference.counts[-1] == 1
