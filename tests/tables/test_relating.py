"""`relate`: leaks are found, noise is not called a predictor, and the counts are right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plogp.measures import divergence
from plogp.tables import TableError, relate


@pytest.mark.parametrize("flipped", [0.0, 0.0005, 0.002, 0.01])
def test_a_perfect_predictor_is_a_leak_and_never_scored_zero(flipped: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=4000)
    y = (x > 0.5) ^ (rng.random(4000) < flipped)
    r = relate({"x": x, "copy": np.where(y, "yes", "no"), "noise": rng.normal(size=4000), "y": y}, "y")
    assert r["x"].leak
    assert r["copy"].leak
    assert not r["noise"].leak
    assert r["x"].information_value is not None
    assert r["x"].information_value.value > 5
    assert [row.column for row in r][-1] == "noise"


def test_a_strong_honest_predictor_is_no_leak() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=5000)
    r = relate({"x": x, "y": x + rng.normal(size=5000) > 0}, "y")
    assert r["x"].informative
    assert not r["x"].leak


def test_a_leak_of_a_rare_event_is_found() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=20_000)
    r = relate({"x": x, "y": x > 2.3}, "y")  # 1 % events
    assert r["x"].leak
    assert r["x"].information_value is not None
    assert r["x"].information_value.value > 1


def test_noise_is_rarely_called_a_predictor() -> None:
    found, ivs = 0, []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        table = {f"x{i}": rng.normal(size=500) for i in range(3)} | {
            "letters": rng.choice(list("abcdefghijklmnop"), 500),
            "ids": [f"u{i}" for i in range(500)],
            "y": rng.random(500) < 0.3,
        }
        for row in relate(table, "y"):
            found += row.informative
            assert not row.leak
            assert row.information_value is not None
            ivs.append(row.information_value.value)
    assert found <= 5  # 25 tables at a false discovery rate of 5 %: 1.2 expected
    assert abs(np.mean(ivs)) < 0.01  # a peer's mean is 0.1 here


def test_values_against_closed_forms() -> None:
    n = 40_000
    rng = np.random.default_rng(3)
    y = rng.random(n) < 0.5
    # Two unit normals 1 apart: IV (Jeffreys) is 1; the bins keep nearly all of it.
    x = rng.normal(size=n) + y
    c = np.where(rng.random(n) < np.where(y, 0.8, 0.3), "a", "b")
    r = relate({"x": x, "c": c, "y": y}, "y", max_bins=12)
    assert r["x"].information_value is not None
    assert r["x"].information_value.value == pytest.approx(1.0, abs=0.06)
    p, q = np.array([0.8, 0.2]), np.array([0.3, 0.7])
    exact = float(divergence("jeffreys")(p, q))
    low, high = r["c"].information_value.interval(0.999)  # type: ignore[union-attr]
    assert low <= exact <= high
    m = (p + q) / 2
    mi = float(np.sum(0.5 * p * np.log(p / m)) + np.sum(0.5 * q * np.log(q / m)))
    low, high = r["c"].mutual_information.interval(0.999)
    assert low <= mi <= high


def test_missing_is_a_bin_of_its_own_with_its_own_woe() -> None:
    rng = np.random.default_rng(4)
    y = rng.random(6000) < 0.4
    x = np.where(rng.random(6000) < np.where(y, 0.4, 0.05), np.nan, rng.normal(size=6000))
    row = relate({"x": x, "y": y}, "y")["x"]
    assert row.informative
    last = row.bins[-1]
    assert last.label == "(missing)"
    assert last.n == np.isnan(x).sum()
    assert last.woe == pytest.approx(math.log(0.4 / 0.05), abs=0.25)
    assert sum(b.n for b in row.bins) == 6000
    assert sum(b.share for b in row.bins) == pytest.approx(1)


def test_rows_without_a_target_are_dropped_and_counted() -> None:
    y = [1.0, 0.0, None] * 200
    x = [1.0, 0.0, 1.0] * 200  # the rows without a target must not count as events or as non-events
    r = relate({"x": x, "y": y, "z": list(range(600))}, "y")
    assert r.dropped_rows == 200
    assert r["x"].leak
    assert sum(b.n for b in r["x"].bins) == 400
    assert any("dropped" in n for n in r.notes)


def test_targets_of_other_kinds() -> None:
    rng = np.random.default_rng(5)
    n = 6000
    x = rng.normal(size=n)
    colour = np.array(["red", "green", "blue"])[np.digitize(x + 0.5 * rng.normal(size=n), [-0.5, 0.5])]
    table = {"x": x, "y": 0.8 * x + 0.6 * rng.normal(size=n), "colour": colour, "noise": rng.normal(size=n)}
    many = relate(table, "colour")
    assert many.event is None
    assert [r.informative for r in many] == [True, True, False]
    assert all(b.woe is None for b in many["x"].bins)
    assert many["x"].information_value is None
    smooth = relate(table, "y")
    assert smooth.target_kind == "continuous"
    low, high = smooth["x"].mutual_information.interval(0.999)
    assert low <= -0.5 * math.log(1 - 0.64) <= high
    assert not smooth["noise"].informative
    copy = relate({"y": x, "copy": 3 * x + 1, "noise": table["noise"]}, "y")
    assert copy["copy"].leak
    assert not copy["noise"].leak


def test_the_event_can_be_chosen_and_flips_the_sign() -> None:
    rng = np.random.default_rng(6)
    y = rng.choice(["bad", "good"], 2000)
    x = np.where(rng.random(2000) < np.where(y == "bad", 0.7, 0.2), "u", "v")
    a, b = relate({"x": x, "y": y}, "y"), relate({"x": x, "y": y}, "y", event="bad")
    assert (a.event, b.event) == ("good", "bad")
    woe = [{k.label: k.woe for k in r["x"].bins} for r in (a, b)]
    assert woe[0]["u"] == pytest.approx(-woe[1]["u"])  # type: ignore[operator]
    assert woe[1]["u"] > 0  # type: ignore[operator]
    rate = {k.label: k.event_rate for k in b["x"].bins}
    assert rate["u"] == pytest.approx(np.mean(y[x == "u"] == "bad"))


def test_hostile_targets() -> None:
    table = {"x": np.arange(50) / 3, "same": [1] * 50, "none": [None] * 50, "id": [f"r{i}" for i in range(50)]}
    with pytest.raises(TableError, match="constant"):
        relate(table, "same")
    with pytest.raises(TableError, match="no value"):
        relate(table, "none")
    with pytest.raises(TableError, match="identifier"):
        relate(table, "id")
    with pytest.raises(TableError, match="did you mean 'same'"):
        relate(table, "sme")
    with pytest.raises(TableError, match="no column beside"):
        relate({"x": [1, 2]}, "x")
    with pytest.raises(TableError, match="two values"):
        relate(table, "x", event=3)
    with pytest.raises(TableError, match="no value 'maybe'"):
        relate({"x": np.arange(60), "y": ["n", "y"] * 30}, "y", event="maybe")
    with pytest.raises(ValueError, match="max_bins"):
        relate(table, "x", max_bins=0)


def test_awkward_columns_beside_a_target() -> None:
    n = 300
    table = {
        "empty": [None] * n,
        "same": ["k"] * n,
        "only_once": [1.0] + [None] * (n - 1),
        "inf": [math.inf if i % 5 == 0 else i * 1.0 for i in range(n)],
        "y": [i % 2 == 0 for i in range(n)],
    }
    r = relate(table, "y")
    assert len(r) == 4
    assert not any(row.informative for row in r)
    assert r["empty"].mutual_information.value == 0
