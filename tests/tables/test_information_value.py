"""IV and PSI: one number; its error, bias and test; leaks, noise, outliers and rare rows; every kind of table."""

import math

import numpy as np
import pandas as pd
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl
from plogp.tables.information_value import (
    PSI_BANDS,
    band,
    is_leak,
    iv_from_counts,
    psi_from_counts,
    separation,
    weight_of_evidence,
)
from plogp.tables.iv_psi import iv, psi
from plogp.tables.source import TableError, open_table

TABLES = st.lists(st.tuples(st.integers(2, 400), st.integers(2, 400)), min_size=2, max_size=8)


@settings(max_examples=60, deadline=None)
@given(TABLES)
def test_iv_is_psi_is_jeffreys(counts):
    bad, good = np.array(counts).T
    p, q = bad / bad.sum(), good / good.sum()
    truth = float(((p - q) * np.log(p / q)).sum())
    row = iv_from_counts(bad, good, smoothing=0.0)
    assert row.value.value == pytest.approx(truth, abs=1e-12)
    assert psi_from_counts(good, bad, smoothing=0.0).value.value == pytest.approx(truth, abs=1e-12)
    assert float(pl.divergence("jeffreys")(p, q)) == pytest.approx(truth, abs=1e-12)
    assert sum(row.contributions.values()) == pytest.approx(truth, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(TABLES)
def test_woe_is_the_shift_of_the_log_odds(counts):
    bad, good = np.array(counts, dtype=float).T
    woe, error = weight_of_evidence(bad, good, smoothing=0.0)
    assert woe == pytest.approx(np.log(bad / good) - math.log(bad.sum() / good.sum()), abs=1e-12)
    known, wide = error, weight_of_evidence(bad, good, 0.0, "log-odds")[1]
    assert np.all(known <= wide)
    assert wide == pytest.approx(np.sqrt(1 / bad + 1 / good))
    flipped, _ = weight_of_evidence(good, bad, smoothing=0.0)
    assert flipped == pytest.approx(-woe)


def test_woe_error_against_repeated_samples():
    rng = np.random.default_rng(0)
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.3, 0.3])
    drawn = [weight_of_evidence(rng.multinomial(300, p), rng.multinomial(900, q))[0] for _ in range(3000)]
    _, error = weight_of_evidence(300 * p, 900 * q, smoothing=0.0)
    assert np.std(drawn, axis=0) == pytest.approx(error, rel=0.06)


def test_coefficients_of_a_saturated_logit_have_these_errors():
    sm = pytest.importorskip("statsmodels.api")
    events, others = np.array([30, 10, 25]), np.array([10, 20, 60])
    design = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=float)
    fit = sm.GLM(np.column_stack([events, others]), design, family=sm.families.Binomial()).fit()
    woe, error = weight_of_evidence(events, others, 0.0, "log-odds")
    assert fit.params[1:] == pytest.approx(woe[1:] - woe[0], abs=1e-6)
    assert fit.bse[1:] == pytest.approx(np.hypot(error[1:], error[0]), abs=1e-6)


def test_interval_covers_and_bias_is_taken_off():
    rng = np.random.default_rng(0)
    p, q = np.array([0.1, 0.2, 0.3, 0.25, 0.15]), np.array([0.2, 0.25, 0.25, 0.2, 0.1])
    truth = float(((p - q) * np.log(p / q)).sum())
    rows = [iv_from_counts(rng.multinomial(400, p), rng.multinomial(2500, q)) for _ in range(400)]
    ends = np.array([row.value.interval(0.95) for row in rows])
    covered = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    assert 0.92 <= covered <= 0.985
    corrected = np.mean([row.bias_corrected for row in rows])
    assert abs(corrected - truth) < 3 * 0.039 / 20
    assert np.mean([row.value.se for row in rows]) == pytest.approx(0.039, rel=0.08)


def test_a_copy_of_the_target_is_a_leak_and_not_zero():
    rng = np.random.default_rng(0)
    y = rng.random(4000) < 0.3
    x = rng.random(4000)
    table = {
        "copy": np.where(y, "bad", "good"),
        "threshold": np.where(y, 0.5 + x / 2, x / 2),
        "flipped": np.where(rng.random(4000) < 0.01, ~y, y).astype(int),
        "strong": rng.normal(size=4000) + 1.5 * y,
        "y": y,
    }
    found = iv(table, "y")
    for name in ("copy", "threshold", "flipped"):
        assert found[name].leak
        assert 5 < found[name].value.value < 30
        assert found[name].band == "suspicious"
    assert not found["strong"].leak
    rare = {"x": x, "y": x > 0.99}
    assert iv(rare, "y")["x"].leak


def test_noise_is_no_predictor():
    rng = np.random.default_rng(0)
    bands, p_values = [], []
    for _ in range(6):
        table = {f"n{k}": rng.normal(size=500) for k in range(25)} | {"y": rng.random(500) < 0.3}
        rows = iv(table, "y").rows
        bands += [row.band for row in rows]
        p_values += [row.p_value for row in rows]
        assert sum(row.p_adjusted < 0.05 for row in rows) <= 1
    assert np.mean([b == "useless" for b in bands]) > 0.9
    assert np.mean(np.array(p_values) < 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 150)


def test_a_rare_part_that_knows_something_is_not_lost():
    rng = np.random.default_rng(0)
    y = rng.random(4000) < 0.3
    count = (rng.random(4000) < np.where(y, 0.06, 0.02)) * rng.integers(1, 5, 4000)
    row = iv({"count": count, "y": y}, "y")["count"]
    assert row.band == "weak"
    assert row.p_value < 1e-4


def test_missing_is_a_bin_with_its_own_weight():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=3000), rng.random(3000) < 0.3
    gone = rng.random(3000) < np.where(y, 0.4, 0.1)
    row = iv({"x": np.where(gone, np.nan, x), "y": y}, "y")["x"]
    assert row.woe["(missing)"] > 0.8
    assert row.p_value < 1e-6
    assert row.band in ("medium", "strong", "suspicious")


def test_rows_without_target_are_dropped_and_counted():
    table = {"x": [1, 1, 2, 2, 3, 3] * 30, "y": ["a", "b", "a", "b", None, None] * 30}
    found = iv(table, "y")
    assert any("60 rows without a target" in note for note in found.notes)
    assert "y = b" in found.notes[0]
    assert iv(table, "y", event="a").notes[0].endswith("a")


def test_monotone_and_quantile_bins():
    rng = np.random.default_rng(0)
    x = rng.random(5000)
    y = rng.random(5000) < 0.2 + 0.5 * x + 0.15 * np.sin(12 * x)
    woe = list(iv({"x": x, "y": y}, "y", monotonic="increasing")["x"].woe.values())
    assert len(woe) > 2
    assert np.all(np.diff(woe) > 0)
    assert iv({"x": x, "y": y}, "y", bins="quantile", max_bins=5)["x"].df == 4


def test_one_outlier_does_not_erase_a_shift():
    rng = np.random.default_rng(0)
    ref, cur = rng.normal(size=5000), rng.normal(size=5000) + 2
    plain = psi({"x": ref}, {"x": cur})["x"].value.value
    ref[0] = 1e6
    assert psi({"x": ref}, {"x": cur})["x"].value.value == pytest.approx(plain, rel=0.02)
    assert plain > 2


def test_one_rare_row_does_not_change_a_verdict():
    ref = ["a"] * 5000 + ["b"] * 5000
    cur = ["a"] * 4950 + ["b"] * 4950 + ["new"] * 100
    plain = psi({"c": ref}, {"c": cur})["c"]
    more = psi({"c": [*ref, "rare"]}, {"c": [*cur, "rare"]})["c"]
    assert more.band == plain.band
    assert more.value.value == pytest.approx(plain.value.value, rel=0.05)
    assert plain.contributions["new"] > 0.5 * plain.value.value
    assert plain.p_value < 1e-6


def test_equal_samples_are_stable():
    rng = np.random.default_rng(0)
    rows = [psi({"x": rng.normal(size=2000)}, {"x": rng.normal(size=2000)})["x"] for _ in range(60)]
    assert all(row.band == "stable" for row in rows)
    assert np.mean([row.p_value < 0.05 for row in rows]) < 0.16
    assert abs(np.mean([row.bias_corrected for row in rows])) < 0.002


def test_bins_may_be_given():
    found = psi({"x": [0.0, 1, 2, 3] * 20}, {"x": [0.0, 0, 2, 3] * 20}, bins={"x": [0.5, 1.5]})["x"]
    assert found.df == 2


def test_frames_and_sources_agree():
    rng = np.random.default_rng(0)
    table = {"x": rng.normal(size=600), "c": rng.choice(["u", "v"], 600), "y": rng.integers(0, 2, 600)}
    truth = [row.value.value for row in iv(table, "y")]
    for other in (pd.DataFrame(table), polars.DataFrame(table), open_table(table)):
        assert [row.value.value for row in iv(other, "y")] == pytest.approx(truth)


def test_result_is_a_frame():
    found = iv({"x": [1, 2, 3, 4] * 20, "y": [0, 0, 1, 1] * 20}, "y")
    record = found.to_dicts()[0]
    assert {"feature", "value", "value_low", "value_high", "value_se", "bias_corrected", "chi2", "df"} <= set(record)
    assert found.to_pandas().loc[0, "feature"] == "x"
    assert repr(found).splitlines()[0] == found.title
    assert "suspicious" in repr(found)


def test_separation_and_bands():
    assert separation([10, 0], [0, 90]) == 1.0
    assert separation([1, 9], [9, 1]) == pytest.approx(0.9)
    assert is_leak([0, 50], [50, 0])
    assert not is_leak([0, 50], [50, 0], p_value=0.01)
    assert [band(v) for v in (0.0, 0.05, 0.2, 0.4, 0.9)] == ["useless", "weak", "medium", "strong", "suspicious"]
    assert band(0.3, PSI_BANDS) == "major shift"


@pytest.mark.parametrize(
    ("events", "others", "said"),
    [
        ([1, -1], [1, 1], "events"),
        ([1, math.nan], [1, 1], "events"),
        ([1], [1, 1], "equally long"),
        ([0, 0], [1, 1], "events must have rows"),
        ([1, 1], [0, 0], "non_events must have rows"),
        ([[1, 1]], [[1, 1]], "one-dimensional"),
    ],
)
def test_bad_counts_are_named(events, others, said):
    with pytest.raises(ValueError, match=said):
        iv_from_counts(events, others)


def test_bad_tables_are_named():
    table = {"x": [1, 2, 3, 4], "y": [0, 1, 2, 0]}
    with pytest.raises(TableError, match="two values"):
        iv(table, "y")
    with pytest.raises(TableError, match="no column"):
        iv(table, "target")
    with pytest.raises(TableError, match="no value"):
        iv({"x": [1, 2, 3, 4], "y": [0, 1, 1, 0]}, "y", event=7)
    with pytest.raises(ValueError, match="bins"):
        iv(table, "y", bins="best")
    with pytest.raises(ValueError, match="bins"):
        psi(table, table, bins="width")
    with pytest.raises(TableError, match="'x'"):
        psi({"x": ["a", "b"] * 5}, {"x": [1.5, 2.5] * 5})
    with pytest.raises(ValueError, match="'multinomial' or 'log-odds'"):
        weight_of_evidence([1, 2], [2, 1], se="wald")
