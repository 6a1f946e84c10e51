from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp import measures
from plogp.estimate.combinations import MEASURES
from plogp.estimate.counts import CountTable
from plogp.estimate.discrete import (
    conditional_entropy_from_counts,
    conditional_mutual_information_from_counts,
    dual_total_correlation_from_counts,
    entropy_from_counts,
    evaluate,
    interaction_information_from_counts,
    mutual_information_from_counts,
    o_information_from_counts,
    total_correlation_from_counts,
)
from plogp.estimate.entropies import STRATEGIES
from plogp.measures import multivariate

FREE = [name for name, s in STRATEGIES.items() if not s.needs_states]


def shannon(p):
    p = np.asarray(p, float).ravel()
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def table(seed, shape, most=9):
    counts = np.random.default_rng(seed).integers(0, most, shape)
    counts.flat[0] += 2
    return counts


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(2, 3), (3, 3, 2), (2, 2, 2, 2)]))
def test_plugin_measures_are_the_exact_measures_of_the_frequencies(seed, shape):
    counts = table(seed, shape)
    p = counts / counts.sum()
    d = len(shape)
    h = {s: shannon(p.sum(axis=tuple(i for i in range(d) if i not in s))) for s in [(0,), (1,)]}
    assert entropy_from_counts(counts, "plugin").value == pytest.approx(float(measures.entropy(p.ravel())), abs=1e-10)
    tc = float(multivariate.total_correlation(p))
    assert total_correlation_from_counts(counts, "plugin").value == pytest.approx(tc, abs=1e-10)
    dtc = float(multivariate.dual_total_correlation(p))
    assert dual_total_correlation_from_counts(counts, "plugin").value == pytest.approx(dtc, abs=1e-10)
    interaction = float(multivariate.interaction_information(p))
    assert interaction_information_from_counts(counts, "plugin").value == pytest.approx(interaction, abs=1e-10)
    if d == 2:
        found = mutual_information_from_counts(counts, "plugin")
        assert found.value == pytest.approx(h[(0,)] + h[(1,)] - shannon(p), abs=1e-10)
    if d == 3:
        given_z = sum(
            p[..., z].sum() * mutual_information_from_counts(counts[..., z], "plugin").value
            for z in range(shape[2])
            if counts[..., z].sum() >= 2
        )
        one = sum(counts[..., z].sum() == 1 for z in range(shape[2]))
        if not one:
            found = conditional_mutual_information_from_counts(counts, "plugin").value
            assert found == pytest.approx(given_z, abs=1e-10)
        o = float(multivariate.o_information(p))
        assert o_information_from_counts(counts, "plugin").value == pytest.approx(o, abs=1e-10)
    rest = shannon(p.sum(axis=0))
    assert conditional_entropy_from_counts(counts, "plugin").value == pytest.approx(shannon(p) - rest, abs=1e-10)


@pytest.mark.parametrize("method", STRATEGIES)
@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_works_with_every_strategy(measure, method):
    shape = (3, 2) if measure == "mutual_information" else (2, 2, 3)
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(math.prod(shape))).reshape(shape)
    found = evaluate(measure, rng.multinomial(200_000, p.ravel()).reshape(shape), method)
    exact = evaluate(measure, np.rint(p * 10**9).astype(int), "plugin")
    assert found.value == pytest.approx(exact.value, abs=0.01)
    low, high = found.interval(0.999)
    assert low <= found.value <= high
    assert found.method == method


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_symmetry_and_relabelling(seed):
    counts = table(seed, (3, 4), most=5)
    rng = np.random.default_rng(seed)
    for method in FREE:
        one = mutual_information_from_counts(counts, method)
        two = mutual_information_from_counts(counts.T[rng.permutation(4)], method)
        assert one.value == pytest.approx(two.value, abs=1e-10)
        assert one.interval() == pytest.approx(two.interval(), abs=1e-8)
        assert one.p_value == pytest.approx(two.p_value, abs=1e-10)


def test_jackknife_error_by_brute_force():
    counts = np.array([[5, 1, 0], [2, 7, 3]])
    n = counts.sum()
    full = evaluate("mutual_information", counts)
    pseudo = []
    for cell in np.argwhere(counts):
        fewer = counts.copy()
        fewer[tuple(cell)] -= 1
        pseudo += [n * full.value - (n - 1) * evaluate("mutual_information", fewer).value] * counts[tuple(cell)]
    assert full.se == pytest.approx(np.std(pseudo, ddof=1) / math.sqrt(n), rel=1e-9)


COVERAGE = {
    "uniform entropy": ("entropy", np.ones(50) / 50, 200),
    "Zipf entropy": ("entropy", 1 / np.arange(1, 51) / (1 / np.arange(1, 51)).sum(), 200),
    "fair coin": ("entropy", np.ones(2) / 2, 50),
    "independent": ("mutual_information", np.outer([0.5, 0.5], [0.3, 0.7]), 60),
    "sparse independent": ("mutual_information", np.full((10, 10), 0.01), 400),
    "weak": ("mutual_information", 0.9 * np.full((3, 3), 1 / 9) + 0.1 * np.eye(3) / 3, 100),
    "strong": ("mutual_information", 0.3 * np.full((5, 5), 1 / 25) + 0.7 * np.eye(5) / 5, 150),
    "identity": ("mutual_information", np.diag([0.2, 0.3, 0.5]), 100),
    "conditional": ("conditional_mutual_information", np.ones((2, 2, 3)) / 12, 100),
}


@pytest.mark.parametrize("name", COVERAGE)
def test_nominal_95_percent_intervals_cover(name):
    """300 repetitions: the binomial error is 1.3 %."""
    measure, p, n = COVERAGE[name]
    truth = {
        "entropy": lambda: shannon(p),
        "mutual_information": lambda: shannon(p.sum(0)) + shannon(p.sum(1)) - shannon(p),
        "conditional_mutual_information": lambda: 0.0,
    }[measure]()
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(300):
        low, high = evaluate(measure, rng.multinomial(n, p.ravel()).reshape(p.shape)).interval(0.95)
        hits += low - 1e-12 <= truth <= high + 1e-12
    assert hits >= 0.92 * 300 - 4


def test_the_interval_does_not_follow_the_bias_of_the_plugin():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(1000, np.ones(200) / 200)
    found = entropy_from_counts(counts, "plugin")
    low, high = found.interval()
    assert found.value < low < math.log(200) < high


def test_posterior_interval_of_nsb():
    found = entropy_from_counts([6, 3, 1, 0, 0], "nsb")
    low, high = found.interval(0.95)
    assert (high - low) / 2 == pytest.approx(1.959964 * found.se)
    assert found.diagnostics["interval"] == "posterior"


def test_intervals_end_at_the_boundary():
    """Information is not negative: no interval goes below 0, and it reaches 0 where nothing is found."""
    rng = np.random.default_rng(3)
    reached = 0
    for _ in range(100):
        found = mutual_information_from_counts(rng.multinomial(80, np.ones(6) / 6).reshape(2, 3))
        low, high = found.interval()
        assert 0 <= low <= high
        assert high > 0
        reached += low == 0.0
        assert (low > 0) == (found.p_value < 0.025) or abs(found.p_value - 0.025) < 0.02
    assert reached >= 92


def test_noise_is_told_from_dependence():
    assert not mutual_information_from_counts([[25, 25], [24, 26]]).distinguishable()
    found = mutual_information_from_counts([[40, 10], [10, 40]])
    assert found.distinguishable()
    assert found.p_value < 1e-8
    assert found.diagnostics["null"] == "independence"


def test_one_state_and_two_samples():
    constant = entropy_from_counts([100])
    assert constant.value == 0.0
    assert constant.interval()[0] == 0.0
    assert 0 < constant.interval()[1] < 0.2
    nothing = mutual_information_from_counts([[3, 4, 5]])
    assert nothing.value == pytest.approx(0.0, abs=1e-12)
    assert nothing.p_value == 1.0
    assert math.isfinite(entropy_from_counts([1, 1]).value)


def test_unseen_mass_is_noted():
    assert "note" in entropy_from_counts(np.ones(30, int)).diagnostics
    assert "note" not in entropy_from_counts([30, 30]).diagnostics


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: entropy_from_counts([1]), "at least 2 samples, got 1"),
        (lambda: entropy_from_counts([-1, 4]), "negative"),
        (lambda: entropy_from_counts([0.5, 1]), "whole"),
        (lambda: entropy_from_counts([5, 5], "bub"), "unknown method 'bub'"),
        (lambda: mutual_information_from_counts([1, 2]), "table of 2 variables, got one of 1"),
        (lambda: mutual_information_from_counts(np.ones((2, 2, 2))), "got one of 3"),
        (lambda: o_information_from_counts(np.ones((2, 2))), "3 or more variables"),
        (lambda: evaluate("entropy", CountTable.from_columns([1, 2, 2]), "nsb"), "needs num_states"),
        (lambda: mutual_information_from_counts([[1, 2], [2, 1]], "nsb", num_states=(2, 2, 2)), "2 positive integers"),
        (lambda: entropy_from_counts([1, 2, 3], "nsb", num_states=2), "smaller than the 3 states"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_large_sparse_table():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100_000, 50_000)
    t = CountTable.from_columns(x, rng.integers(0, 100_000, 50_000))
    found = evaluate("mutual_information", t)
    low, high = found.interval()
    assert low <= high
    assert found.p_value > 0.001


def test_an_identifier_leaves_the_information_open():
    y = np.array([0, 1, 2] * 20)
    found = mutual_information_from_counts(CountTable.from_columns(np.arange(60), y, names=("row", "y")))
    low, high = found.interval(0.95)
    assert low == 0
    assert high >= math.log(3)
    assert not found.distinguishable()
    assert "every value of row is different" in found.diagnostics["note"]
    twice = CountTable.from_columns(np.repeat(np.arange(30), 2), np.repeat(np.arange(30) % 3, 2))
    assert mutual_information_from_counts(twice).distinguishable()


def test_sparse_tables_are_not_corrected_too_far_and_say_so():
    # Independent, 50 x 50 states, 500 samples: plug-in 1.6, Miller-Madow 1.3; the default scatters around 0.
    rng = np.random.default_rng(0)
    tables = [rng.multinomial(500, np.full(2500, 1 / 2500)).reshape(50, 50) for _ in range(40)]
    values = [mutual_information_from_counts(t).value for t in tables]
    assert abs(np.mean(values)) < 3 * np.std(values, ddof=1) / math.sqrt(40) + 0.01
    p = 0.7 * np.eye(100) / 100 + 0.3 / 10_000
    sparse = mutual_information_from_counts(rng.multinomial(500, p.ravel()).reshape(100, 100))
    assert "fewer samples (500) than joint states" in sparse.diagnostics["note"]
    assert "note" not in mutual_information_from_counts(np.diag([10] * 50)).diagnostics
