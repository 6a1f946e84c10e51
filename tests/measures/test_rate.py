"""Rate functions: closed forms of R(D), identities of R(G), the certificate, hostile scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from plogp.measures.information import mutual_information
from plogp.measures.rate import rate_at, rate_function


def h(p):
    return special.entr(p) + special.entr(1 - p)


def hamming(n):
    return 1.0 - np.eye(n)


@pytest.mark.parametrize("s", [0.0, 0.3, 1.0, 4.0, 50.0])
def test_fair_coin_under_hamming_distortion(s):
    point = rate_function([0.5, 0.5], hamming(2), s, kind="distortion")
    d = 1 / (1 + np.exp(s))
    assert point.score == pytest.approx(d, abs=1e-12)
    assert point.rate == pytest.approx(np.log(2) - h(d), abs=1e-12)


@pytest.mark.parametrize(("p", "d"), [(0.3, 0.1), (0.3, 0.25), (0.1, 0.01), (0.5, 0.4)])
def test_biased_coin_at_a_given_distortion(p, d):
    point = rate_at([p, 1 - p], hamming(2), d)
    assert point.score == pytest.approx(d, abs=1e-8)
    assert point.rate == pytest.approx(h(p) - h(d), abs=1e-7)


@pytest.mark.parametrize("n", [3, 8])
def test_uniform_letters_under_hamming_distortion(n):
    point = rate_at(np.full(n, 1 / n), hamming(n), 0.2)
    assert point.rate == pytest.approx(np.log(n) - h(0.2) - 0.2 * np.log(n - 1), abs=1e-7)


def test_gaussian_source_nears_half_log_variance_over_distortion():
    x = np.linspace(-5, 5, 201)
    px = np.exp(-(x**2) / 2) / np.exp(-(x**2) / 2).sum()
    point = rate_function(px, (x[:, None] - x) ** 2, 20.0, kind="distortion")
    assert point.rate == pytest.approx(0.5 * np.log(1 / point.score), abs=2e-3)


def test_semantic_kind_with_log_similarities_is_the_same_curve():
    rng = np.random.default_rng(0)
    px, d = rng.dirichlet(np.ones(4)), rng.random((4, 5))
    plain = rate_function(px, d, 3.0, kind="distortion")
    semantic = rate_function(px, -d, 3.0)
    assert semantic.rate == pytest.approx(plain.rate, abs=1e-14)
    assert semantic.score == pytest.approx(-plain.score, abs=1e-14)


@given(st.integers(0, 10**6), st.floats(-4, 8))
@settings(max_examples=25, deadline=None)
def test_the_point_is_achieved_and_certified(seed, s):
    rng = np.random.default_rng(seed)
    px, log_m = rng.dirichlet(np.ones(4)), rng.normal(size=(4, 3))
    point = rate_function(px, log_m, s)
    joint = px[:, None] * point.channel
    assert np.allclose(point.channel.sum(1), 1)
    assert point.rate == pytest.approx(mutual_information(joint), abs=1e-12)
    assert point.score == pytest.approx((joint * log_m).sum(), abs=1e-12)
    # No channel has a smaller Lagrangian than the certificate allows.
    mine = point.rate - s * point.score
    for _ in range(30):
        other = rng.dirichlet(np.ones(3), 4)
        other = 0.9 * point.channel + 0.1 * other if rng.random() < 0.5 else other
        table = px[:, None] * other
        assert mutual_information(table) - s * (table * log_m).sum() >= mine - point.gap - 1e-12


def test_the_minimum_against_a_general_optimiser():
    rng = np.random.default_rng(3)
    px, log_m, s = rng.dirichlet(np.ones(3)), rng.normal(size=(3, 3)), 1.5

    def loss(z):
        table = px[:, None] * special.softmax(z.reshape(3, 3), axis=1)
        return float(mutual_information(table) - s * (table * log_m).sum())

    best = min(optimize.minimize(loss, rng.normal(size=9), tol=1e-12).fun for _ in range(4))
    point = rate_function(px, log_m, s)
    # The optimum gives up an output altogether, which a softmax only nears: best is an upper bound.
    assert best - 1e-2 <= point.rate - s * point.score <= best + 1e-9


def test_slope_is_the_parameter():
    rng = np.random.default_rng(1)
    px, log_m = np.full(5, 0.2), 2 * np.eye(5) + 0.1 * rng.normal(size=(5, 5))
    for s in (0.8, 1.0, 2.0):
        low, high = (rate_function(px, log_m, s + e, tol=1e-13) for e in (-1e-4, 1e-4))
        assert (high.rate - low.rate) / (high.score - low.score) == pytest.approx(s, rel=1e-4)


def test_forbidden_pairs_and_symbols_that_never_come():
    d = np.array([[0.0, np.inf], [np.inf, 0.0]])
    point = rate_function([0.25, 0.75], d, 1.0, kind="distortion")
    assert (point.score, point.rate) == (0.0, pytest.approx(h(0.25), abs=1e-12))
    point = rate_function([1.0, 0.0], [[0.0, 1.0], [np.inf, np.inf]], 2.0, kind="distortion")
    assert np.isfinite([point.rate, point.score]).all()
    assert np.allclose(point.channel.sum(1), 1)
    far = rate_function([0.5, 0.5], 1e6 * hamming(2), 1e3, kind="distortion")
    assert (far.score, far.rate) == (0.0, pytest.approx(np.log(2)))


def test_targets_at_and_beyond_the_ends():
    free = rate_at([0.3, 0.7], hamming(2), 0.3)
    assert (free.rate, free.score) == (0.0, pytest.approx(0.3))
    assert rate_at([0.3, 0.7], hamming(2), 5.0).rate == 0.0
    with pytest.raises(ValueError, match="out of reach"):
        rate_at([0.3, 0.7], hamming(2) + 0.5, 0.2)
    best = rate_at([0.3, 0.7], np.log([[0.9, 0.1], [0.2, 0.8]]), -0.2, kind="semantic")
    assert best.score == pytest.approx(-0.2, abs=1e-7)


def test_a_point_that_has_not_converged_says_so_and_its_gap_still_holds():
    rng = np.random.default_rng(2)
    px, log_m = rng.dirichlet(np.ones(6)), rng.normal(size=(6, 6))
    early, late = (rate_function(px, log_m, 2.0, max_iter=n) for n in (3, 20_000))
    assert not early.converged
    assert "not converged" in repr(early)
    assert late.converged
    assert early.rate - 2 * early.score <= late.rate - 2 * late.score + early.gap


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="px must have 1 axes"):
        rate_function([[0.5, 0.5]], hamming(2), 1.0)
    with pytest.raises(ValueError, match="px must sum to 1"):
        rate_function([0.5, 0.6], hamming(2), 1.0)
    with pytest.raises(ValueError, match="one row for each entry of px"):
        rate_function([0.5, 0.5], hamming(3), 1.0)
    with pytest.raises(ValueError, match="score contains NaN"):
        rate_function([1.0], [[np.nan]], 1.0)
    with pytest.raises(ValueError, match="distortion must be >= 0"):
        rate_function([1.0], [[-1.0]], 1.0, kind="distortion")
    with pytest.raises(ValueError, match="s must be finite and >= 0"):
        rate_function([1.0], [[1.0]], -1.0, kind="distortion")
    with pytest.raises(ValueError, match="s must be finite"):
        rate_function([1.0], [[1.0]], np.inf)
    with pytest.raises(ValueError, match="forbids every output"):
        rate_function([0.5, 0.5], [[0.0, 0.0], [-np.inf, -np.inf]], 1.0)
    with pytest.raises(ValueError, match="kind must be"):
        rate_function([1.0], [[1.0]], 1.0, kind="rate")
    with pytest.raises(TypeError, match="unexpected options"):
        rate_function([1.0], [[1.0]], 1.0, num_outputs=3)
