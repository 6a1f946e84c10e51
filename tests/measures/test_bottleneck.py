"""The information bottleneck: its ends, its identities, a brute-force search, bad input."""

import numpy as np
import pytest
from scipy import optimize, special

from plogp.measures.bottleneck import information_bottleneck
from plogp.measures.information import mutual_information
from plogp.measures.rate import rate_function


def problem(seed, n=4, m=3):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n)), rng.dirichlet(0.4 * np.ones(m), n)


@pytest.mark.parametrize("seed", range(3))
def test_rate_and_relevance_are_those_of_the_encoder(seed):
    px, k = problem(seed)
    point = information_bottleneck(px, k, 6.0)
    joint_xt = px[:, None] * point.channel
    assert point.rate == pytest.approx(mutual_information(joint_xt), abs=1e-12)
    assert point.score == pytest.approx(mutual_information(joint_xt.T @ k), abs=1e-12)
    assert point.score <= min(point.rate, mutual_information(px[:, None] * k)) + 1e-12  # data processing
    # The encoder is a fixed point of its own equation.
    pt = px @ point.channel
    decoder = joint_xt.T @ k / pt[:, None]
    distance = np.array([[special.rel_entr(row, d).sum() for d in decoder] for row in k])
    fixed = pt * np.exp(-6.0 * distance)
    assert np.allclose(point.channel, fixed / fixed.sum(1, keepdims=True), atol=1e-3)


def test_cheap_relevance_is_worth_nothing_and_dear_relevance_everything():
    px, k = problem(1)
    nothing = information_bottleneck(px, k, 0.9)
    assert nothing.rate < 1e-6
    everything = information_bottleneck(px, k, 1e5)
    assert everything.score == pytest.approx(mutual_information(px[:, None] * k), abs=1e-4)


def test_a_general_optimiser_finds_nothing_better():
    px, k = problem(2, n=3, m=2)
    beta, rng = 8.0, np.random.default_rng(0)

    def loss(z):
        table = px[:, None] * special.softmax(z.reshape(3, 3), axis=1)
        return float(mutual_information(table) - beta * mutual_information(table.T @ k))

    best = min(optimize.minimize(loss, 2 * rng.normal(size=9), tol=1e-6).fun for _ in range(4))
    point = information_bottleneck(px, k, beta)
    assert point.rate - beta * point.score <= best + 1e-5


def test_deterministic_labels():
    px, k = np.full(4, 0.25), np.eye(2)[[0, 0, 1, 1]]
    kept = information_bottleneck(px, k, 2.0)
    assert (kept.rate, kept.score) == (pytest.approx(np.log(2)), pytest.approx(np.log(2)))
    assert information_bottleneck(px, k, 0.5).rate < 1e-6


def test_few_outputs_and_the_front_end():
    px, k = problem(3, n=6)
    point = information_bottleneck(px, k, 1e3, num_outputs=2, rng=1)
    assert point.channel.shape == (6, 2)
    assert 0 < point.rate <= np.log(2) + 1e-12
    same = rate_function(px, k, 1e3, kind="bottleneck", num_outputs=2, rng=1)
    assert (same.rate, same.score) == (point.rate, point.score)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="channel must sum to 1"):
        information_bottleneck([1.0], [[0.5, 0.4]], 1.0)
    with pytest.raises(ValueError, match="beta"):
        information_bottleneck([1.0], [[0.5, 0.5]], -1.0)
    with pytest.raises(ValueError, match="num_outputs"):
        information_bottleneck([1.0], [[0.5, 0.5]], 1.0, num_outputs=0)
    with pytest.raises(ValueError, match="one row for each"):
        information_bottleneck([0.5, 0.5], [[0.5, 0.5]], 1.0)
