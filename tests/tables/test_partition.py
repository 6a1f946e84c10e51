"""Exact optimal binning: against enumeration, its invariants, its level on noise, hostile counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl
from plogp.tables.partition import (
    cut_p_value,
    cut_threshold,
    optimal_partition,
    optimal_partition_classes,
    pool,
)


def score(events, others, cuts, price, divergence="jeffreys"):
    d = pl.divergence(divergence)
    n1, n0 = events.sum(), others.sum()
    p, q = (pool(events, cuts) + 0.5) / n1, (pool(others, cuts) + 0.5) / n0
    total = float((q * d.f(p / q)).sum())
    return 2 * n1 * n0 / (n1 + n0) / d.curvature * total - price * len(cuts)


def ordered(rates, monotonic):
    up, down = np.all(np.diff(rates) >= 0), np.all(np.diff(rates) <= 0)
    return {None: True, "increasing": up, "decreasing": down, "auto": up or down}[monotonic]


def best_by_enumeration(events, others, max_bins, share, monotonic, price, divergence):
    best = -np.inf
    size = events + others
    for k in range(max_bins):
        for cuts in itertools.combinations(range(1, len(events)), k):
            rows = pool(size, cuts)
            if np.any(rows < share * size.sum()) or np.any(rows == 0):
                continue
            rates = (pool(events, cuts) + 0.5) / (pool(others, cuts) + 0.5)
            if ordered(rates, monotonic):
                best = max(best, score(events, others, cuts, price, divergence))
    return best


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.05, 0.2]),
    st.sampled_from([None, "auto", "increasing", "decreasing"]),
    st.sampled_from([0.0, 2.0, 6.0]),
    st.sampled_from(["jeffreys", "kl", "js", "chi2"]),
)
def test_is_the_optimum(counts, max_bins, share, monotonic, price, divergence):
    events, others = np.array(counts, dtype=float).T
    if events.sum() == 0 or others.sum() == 0:
        return
    cuts = optimal_partition(events, others, max_bins, share, monotonic, divergence, price)
    truth = best_by_enumeration(events, others, max_bins, share, monotonic, price, divergence)
    assert score(events, others, cuts, price, divergence) == pytest.approx(truth, abs=1e-9)
    rates = (pool(events, cuts) + 0.5) / (pool(others, cuts) + 0.5)
    assert ordered(rates, monotonic)
    assert len(cuts) < max_bins
    assert np.all(pool(events + others, cuts) >= share * (events + others).sum() - 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 20)] * 3), min_size=1, max_size=7), st.integers(1, 5))
def test_classes_are_the_optimum(counts, max_bins):
    counts = np.array(counts, dtype=float)
    if (counts.sum(axis=0) > 0).sum() < 2:
        return

    def kept(cuts):
        joint = pool(counts, cuts) / counts.sum()
        return 2 * counts.sum() * float(pl.mutual_information(joint)) - 3.0 * len(cuts)

    rows = counts.sum(axis=1)
    truth = max(
        kept(cuts)
        for k in range(max_bins)
        for cuts in itertools.combinations(range(1, len(counts)), k)
        if np.all(pool(rows, cuts) > 0)
    )
    cuts = optimal_partition_classes(counts, max_bins, 0.0, penalty=3.0)
    assert kept(cuts) == pytest.approx(truth, abs=1e-8)


def test_two_classes_agree_with_binary():
    rng = np.random.default_rng(0)
    events, others = rng.integers(50, 90, 30), rng.integers(50, 90, 30)
    events[12:20] += 60  # and state 11 is high by chance
    # 2 n I(bin; class) is the Jensen-Shannon divergence with the classes' shares, in chi-square units.
    weighted = pl.divergence("gjs", pi=events.sum() / (events + others).sum())
    a = optimal_partition(events, others, divergence=weighted, smoothing=0.0)
    b = optimal_partition_classes(np.column_stack([others, events]))
    assert a.tolist() == b.tolist() == [11, 20]


def test_monotone_classes_follow_the_values():
    counts = np.array([[30, 5, 1], [5, 30, 5], [20, 10, 5], [1, 5, 30]])
    values = np.array([0.0, 1.0, 2.0])
    cuts = optimal_partition_classes(counts, 4, 0.0, "increasing", 0.0, values)
    pooled = pool(counts, cuts)
    assert np.all(np.diff(pooled @ values / pooled.sum(axis=1)) >= 0)
    with pytest.raises(ValueError, match="class_values"):
        optimal_partition_classes(counts, monotonic="auto")


@pytest.mark.parametrize(("n", "rate"), [(500, 0.5), (2000, 0.1), (5000, 0.01)])
def test_noise_ends_in_one_bin(n, rate):
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        parts = np.array_split(rng.random(n) < rate, 64)
        events = np.array([p.sum() for p in parts])
        others = np.array([len(p) - p.sum() for p in parts])
        if events.sum():
            found += len(optimal_partition(events, others)) > 0
    assert found / 300 <= 0.08  # nominal 0.05, three standard errors above


def test_search_is_charged_to_the_p_value():
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(400):
        parts = (rng.random(3000) < 0.2).reshape(60, 50).sum(axis=1)
        cuts = optimal_partition(parts, 50 - parts, penalty=4.0)
        statistic = score(parts, 50 - parts, cuts, 0.0)
        p_values.append(cut_p_value(statistic, len(cuts)))
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_threshold_against_simulated_suprema():
    # Andrews (1993, corrected 2003), trimming 0.15 and 0.05 at the 5 % level.
    assert cut_threshold(0.05, 0.15, 1) == pytest.approx(8.68, abs=0.1)
    assert cut_threshold(0.05, 0.15, 2) == pytest.approx(11.72, abs=0.1)
    assert cut_threshold(0.05, 0.05, 1) == pytest.approx(9.84, abs=0.1)
    assert cut_p_value(cut_threshold(0.01), 1) == pytest.approx(0.01, rel=1e-6)


def test_a_perfect_predictor_keeps_its_cut():
    assert optimal_partition([0] * 30 + [10] * 30, [10] * 30 + [0] * 30).tolist() == [30]


def test_any_divergence_object_and_kinks():
    events, others = [5, 6, 40, 42], [95, 94, 60, 58]
    mixed = 0.5 * pl.divergence("kl") + 0.5 * pl.divergence("js")
    assert optimal_partition(events, others, divergence=mixed).tolist() == [2]
    with pytest.raises(ValueError, match="kink"):
        optimal_partition(events, others, divergence="tv")
    assert len(optimal_partition(events, others, max_bins=2, divergence="tv", penalty=0)) == 1


@pytest.mark.parametrize(
    ("events", "others", "options", "said"),
    [
        ([1, -1], [1, 1], {}, "events"),
        ([1, np.nan], [1, 1], {}, "events"),
        ([1, 1], [1, 1, 1], {}, "equal length"),
        ([0, 0], [1, 1], {}, "both classes"),
        ([], [], {}, "equal length"),
        ([1, 2], [2, 1], {"max_bins": 0}, "max_bins"),
        ([1, 2], [2, 1], {"min_share": 0.7}, "min_share"),
        ([1, 2], [2, 1], {"monotonic": "up"}, "monotonic"),
        ([1, 2], [2, 1], {"penalty": "aic"}, "penalty"),
        ([1, 2], [2, 1], {"smoothing": -1}, "smoothing"),
    ],
)
def test_bad_input_is_named(events, others, options, said):
    with pytest.raises(ValueError, match=said):
        optimal_partition(events, others, **options)
