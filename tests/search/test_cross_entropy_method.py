"""The cross-entropy method: search in its three laws, rare events against closed forms, hostile input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from plogp.search import CrossEntropyMethod
from plogp.search.cross_entropy_method import Bernoulli, FullNormal, IndependentNormal


def test_densities_are_scipys():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3))
    cov = np.cov(rng.normal(size=(3, 9)))
    mean, sd = rng.normal(size=3), np.array([0.5, 1.0, 2.0])
    assert IndependentNormal(mean, sd).log_density(x) == pytest.approx(stats.norm(mean, sd).logpdf(x).sum(axis=1))
    assert FullNormal(mean, cov).log_density(x) == pytest.approx(stats.multivariate_normal(mean, cov).logpdf(x))
    bits = (x > 0).astype(float)
    p = np.array([0.2, 0.5, 0.9])
    assert Bernoulli(p).log_density(bits) == pytest.approx(stats.bernoulli(p).logpmf(bits).sum(axis=1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_fit_has_the_least_cross_entropy(seed):
    """No nearby law of the same kind gives the weighted samples a higher likelihood."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(12, 2)), rng.dirichlet(np.ones(12))
    bits = (x > 0).astype(float)
    nudge = 0.05 * rng.normal(size=(2, 2))
    best = IndependentNormal([0, 0], [1, 1]).fit(x, w)
    other = IndependentNormal(best.mean + nudge[0], np.abs(best.sd + nudge[1]) + 1e-6)
    assert w @ best.log_density(x) >= w @ other.log_density(x) - 1e-12
    full = FullNormal([0, 0], np.eye(2)).fit(x, w)
    moved = FullNormal(full.mean + nudge[0], full.cov + nudge @ nudge.T)
    assert w @ full.log_density(x) >= w @ moved.log_density(x) - 1e-12
    coin = Bernoulli([0.5, 0.5]).fit(bits, w)
    drawn = Bernoulli(np.clip(coin.p + nudge[0], 0.01, 0.99))
    inside = np.clip(coin.p, 1e-9, 1 - 1e-9)
    assert w @ Bernoulli(inside).log_density(bits) >= w @ drawn.log_density(bits) - 1e-6


def test_samples_have_the_law():
    rng = np.random.default_rng(0)
    cov = np.array([[2.0, 1.2], [1.2, 1.0]])
    x = FullNormal([1.0, -1.0], cov).sample(20_000, rng)
    assert np.cov(x.T) == pytest.approx(cov, abs=0.08)
    assert x.mean(axis=0) == pytest.approx([1, -1], abs=0.05)
    assert Bernoulli([0.1, 1.0]).sample(5000, rng).mean(axis=0) == pytest.approx([0.1, 1.0], abs=0.02)


def test_search_finds_minima_of_each_kind():
    def valley(x):
        return (x[:, 0] + x[:, 1] - 1) ** 2 + 100 * (x[:, 0] - x[:, 1] - 3) ** 2

    method = CrossEntropyMethod(100, 0.1, smoothing=0.9, iterations=200, tol=1e-7, rng=0)
    found = method.search(valley, FullNormal([0, 0], 9 * np.eye(2)))
    assert found.converged
    assert found.best == pytest.approx([2, -1], abs=1e-5)
    goal = np.random.default_rng(1).integers(2, size=20)
    bits = CrossEntropyMethod(200, 0.1, smoothing=0.7, maximize=True, iterations=60, tol=0.05, rng=0).search(
        lambda x: (x == goal).sum(axis=1), Bernoulli(np.full(20, 0.5))
    )
    assert bits.best.tolist() == goal.tolist()
    assert bits.score == 20
    assert bits.levels[-1] >= bits.levels[0]


def test_the_first_iteration_by_hand():
    law = IndependentNormal([0.0], [2.0])
    found = CrossEntropyMethod(10, 0.3, smoothing=0.6, iterations=1, rng=5).search(lambda x: np.abs(x[:, 0] - 1), law)
    x = 2 * np.random.default_rng(5).standard_normal((10, 1))
    elite = x[np.argsort(np.abs(x[:, 0] - 1))[:3], 0]
    assert found.law.mean == pytest.approx([0.6 * elite.mean()])
    assert found.law.sd == pytest.approx([0.6 * elite.std() + 0.4 * 2])
    assert found.best[0] == elite[0]
    assert found.levels[0] == pytest.approx(abs(elite[-1] - 1))
    assert found.evaluations == 10
    assert not found.converged


def test_same_seed_same_result():
    runs = [
        CrossEntropyMethod(20, iterations=5, rng=3).search(lambda x: x[:, 0] ** 2, IndependentNormal([2.0], [1.0]))
        for _ in range(2)
    ]
    assert runs[0].best == runs[1].best
    assert np.array_equal(runs[0].levels, runs[1].levels)


def test_rare_events_and_their_interval():
    normal, truth = IndependentNormal([0.0], [1.0], fixed_sd=True), stats.norm.sf(4.0)
    hits = 0
    for seed in range(60):
        method = CrossEntropyMethod(200, 0.1, maximize=True, rng=seed)
        e = method.probability(lambda x: x[:, 0], normal, 4.0, samples=2000)
        low, high = e.interval(0.95)
        hits += low <= truth <= high
    assert hits >= 52  # 5 sd of the binomial below 57
    assert e.diagnostics["ess"] > 100
    assert e.diagnostics["levels"][-1] == 4.0
    low = CrossEntropyMethod(200, 0.1, rng=0).probability(lambda x: x[:, 0], normal, -4.0)
    assert low.value == pytest.approx(truth, abs=4 * low.se)
    coins = CrossEntropyMethod(400, 0.1, maximize=True, rng=0).probability(
        lambda x: x.sum(axis=1), Bernoulli(np.full(30, 0.5), floor=0.02), 27.0, samples=20_000
    )
    assert coins.value == pytest.approx(stats.binom.sf(26, 30, 0.5), abs=4 * coins.se)
    plane = FullNormal([0, 0], [[1, 0.5], [0.5, 1]], fixed_cov=True)
    both = CrossEntropyMethod(400, 0.1, maximize=True, rng=0).probability(lambda x: x.sum(axis=1), plane, 7.0)
    assert both.value == pytest.approx(stats.norm.sf(7 / math.sqrt(3)), abs=4 * both.se)


def test_a_law_that_lost_its_support_is_an_error():
    with pytest.raises(ValueError, match="leaves out"):
        CrossEntropyMethod(40, 0.1, maximize=True, rng=0).probability(
            lambda x: x.sum(axis=1), Bernoulli(np.full(30, 0.5)), 28.0
        )


def test_a_common_event_needs_no_tilt():
    e = CrossEntropyMethod(100, 0.1, rng=0).probability(
        lambda x: np.abs(x[:, 0]), IndependentNormal([0.0], [1.0], fixed_sd=True), 1.0
    )
    assert e.value == pytest.approx(0.6827, abs=4 * e.se)


def test_share_of_the_elite():
    method = CrossEntropyMethod(200, 0.2, iterations=3, tol=0, rng=0)
    found = method.search(lambda x: x[:, 0] ** 2, IndependentNormal([1.0], [1.0]))
    e = found.share(lambda x: np.abs(x[:, 0]) < 10)
    assert e.value == 1
    assert e.interval(0.95)[0] < 1
    assert e.n == 40
    assert "evaluations" in repr(found)
    pytest.importorskip("matplotlib").use("Agg")
    assert found.plot().get_xlabel() == "iteration"


def test_hostile_input():
    law = IndependentNormal([0.0], [1.0])
    for bad in ({"elite": 0.0}, {"elite": 1.0}, {"smoothing": 0.0}, {"n": 1}, {"iterations": 0}, {"tol": -1.0}):
        with pytest.raises(ValueError, match=r"elite|smoothing|iterations"):
            CrossEntropyMethod(**bad)
    for score in (lambda x: x, lambda x: np.full(len(x), np.nan)):
        with pytest.raises(ValueError, match="score"):
            CrossEntropyMethod(rng=0).search(score, law)
    with pytest.raises(ValueError, match="not reached"):
        CrossEntropyMethod(50, iterations=2, maximize=True, rng=0).probability(lambda x: x[:, 0], law, 50.0)
    with pytest.raises(ValueError, match="sd"):
        IndependentNormal([0.0], [-1.0])
    with pytest.raises(ValueError, match="cov"):
        FullNormal([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="p must"):
        Bernoulli([1.2])
