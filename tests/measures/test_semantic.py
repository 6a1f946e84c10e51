from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.measures.growth import growth_rate, information_value, log_optimal_portfolio
from plogp.measures.matching import match_channels
from plogp.measures.semantic import SemanticChannel, boltzmann_truth, confirmation, gaussian_truth, optimal_truth


def shannon(joint):
    return sum(
        joint[i, j] * np.log(joint[i, j] / joint[i].sum() / joint[:, j].sum())
        for i, j in np.ndindex(joint.shape)
        if joint[i, j] > 0
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_x=st.integers(1, 6), n_y=st.integers(1, 5))
def test_identities_against_loops(seed, n_x, n_y):
    rng = np.random.default_rng(seed)
    joint = rng.dirichlet(np.full(n_x * n_y, 0.5)).reshape(n_x, n_y) + 1e-9
    joint /= joint.sum()
    truth = rng.uniform(0.01, 1, (n_x, n_y))
    px, py = joint.sum(axis=1), joint.sum(axis=0)
    channel = SemanticChannel(truth, px)
    logical = [sum(px[i] * truth[i, j] for i in range(n_x)) for j in range(n_y)]
    by_hand = sum(joint[i, j] * np.log(truth[i, j] / logical[j]) for i in range(n_x) for j in range(n_y))
    g = channel.mutual_information(joint)
    assert g == pytest.approx(by_hand, abs=1e-12)
    assert g <= shannon(joint) + 1e-12
    assert g == pytest.approx(channel.semantic_entropy(py) - channel.fuzzy_entropy(joint), abs=1e-12)
    assert g == pytest.approx(py @ channel.label_information(joint), abs=1e-12)
    assert channel.mutual_information(joint, base=2) == pytest.approx(g / np.log(2), abs=1e-12)
    np.testing.assert_allclose(channel.posterior().sum(axis=1), 1)
    np.testing.assert_allclose(channel.information(), np.log(channel.posterior().T / px[:, None]), atol=1e-12)
    # Rescaling a truth function changes nothing.
    scaled = SemanticChannel(truth * 0.5, px)
    assert scaled.mutual_information(joint) == pytest.approx(g, abs=1e-12)
    # No truth function beats the optimal one.
    best = SemanticChannel.from_channel(joint / px[:, None], px)
    assert best.mutual_information(joint) == pytest.approx(shannon(joint), abs=1e-12)
    assert np.all(best.truth.max(axis=0) == 1)


def test_carnap_bar_hillel_and_false_statements():
    px = np.array([0.1, 0.2, 0.7])
    channel = SemanticChannel([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], px)
    assert channel.information(0, 0) == pytest.approx(np.log(1 / 0.3))
    assert channel.information(2, 0) == -np.inf
    truthful = np.array([[0.1, 0.0], [0.1, 0.1], [0.0, 0.7]])
    assert channel.fuzzy_entropy(truthful) == 0.0
    assert np.isfinite(channel.mutual_information(truthful))
    lie = np.array([[0.0, 0.1], [0.2, 0.0], [0.0, 0.7]])
    assert channel.mutual_information(lie) == -np.inf
    assert channel.choose().tolist() == [0, 0, 1]
    never = np.column_stack([px, np.zeros(3)])
    never[2] = [0.7, 0.0]
    assert np.isnan(channel.label_information(never)[1])


def test_source_change_only_moves_logical_probabilities():
    channel = SemanticChannel([[1.0, 0.2], [0.1, 1.0]], [0.5, 0.5])
    moved = channel.with_source([0.9, 0.1])
    np.testing.assert_allclose(moved.truth, channel.truth)
    np.testing.assert_allclose(moved.logical_probability, [0.91, 0.28])
    with pytest.raises(ValueError, match="with_source"):
        channel.mutual_information([[0.8, 0.1], [0.05, 0.05]])


def test_gaussian_truth_is_squared_error():
    x = np.linspace(-3, 3, 61)
    channel = SemanticChannel(gaussian_truth(x, [-1.0, 1.0], [0.5, 2.0]), np.full(61, 1 / 61))
    expected = -np.log(channel.logical_probability) - (x[:, None] - [-1, 1]) ** 2 / (2 * np.array([0.25, 4.0]))
    np.testing.assert_allclose(channel.information(), expected, atol=1e-12)


def test_boltzmann_and_control():
    energy = np.array([0.0, 1.0, 3.0, 3.5])
    channel = SemanticChannel(boltzmann_truth(energy, 0.8), np.full(4, 0.25))
    for s in (0.0, 0.5, 1.0, 3.0):
        weights = np.exp(-s * energy / 0.8)
        np.testing.assert_allclose(channel.control(s, 0), weights / weights.sum(), atol=1e-12)
    np.testing.assert_allclose(channel.control(1.0), channel.posterior(), atol=1e-12)
    assert channel.control(400.0, 0)[0] == pytest.approx(1.0)
    # Among distributions with the same mean energy it is closest to the source.
    rng = np.random.default_rng(0)
    target = channel.control(1.3, 0)
    null = np.linalg.svd(np.stack([np.ones(4), energy]))[2][2:]
    kl = target @ np.log(target / 0.25)
    for _ in range(50):
        other = target + 0.02 * rng.normal(size=2) @ null
        if other.min() > 0:
            assert other @ np.log(other / 0.25) >= kl - 1e-12
    with pytest.raises(ValueError, match="s must"):
        channel.control(-1.0)


def test_rate_of_the_semantic_channel():
    x = np.arange(50.0)
    channel = SemanticChannel(gaussian_truth(x, [8, 22, 40], [4.0, 6.0, 9.0]), np.full(50, 0.02))
    points = [channel.rate(s, tol=1e-12) for s in (0.3, 1.0, 3.0, 30.0)]
    assert all(a.score < b.score and a.rate < b.rate for a, b in pairwise(points))
    assert all(p.score <= p.rate + 1e-12 for p in points)
    joint = 0.02 * points[1].channel
    assert channel.mutual_information(joint) == pytest.approx(points[1].score, abs=1e-12)
    best = channel.most_efficient(tol=1e-12)
    assert best.s == pytest.approx(best.rate / best.score, abs=1e-8)
    assert best.s > 1
    for s in np.linspace(0.8, 1.3, 11):
        p = channel.rate(s, tol=1e-12)
        assert p.score / p.rate <= best.score / best.rate + 1e-9


def test_fitting_from_samples_and_counts():
    rng = np.random.default_rng(1)
    px, py_x = np.array([0.2, 0.3, 0.5]), np.array([[0.7, 0.3], [0.5, 0.5], [0.1, 0.9]])
    x = rng.choice(3, 40_000, p=px)
    y = (rng.random(40_000) < py_x[x, 1]).astype(int)
    fitted = SemanticChannel.fit(x, y)
    np.testing.assert_allclose(fitted.truth, py_x / py_x.max(axis=0), atol=0.03)
    np.testing.assert_allclose(fitted.px, px, atol=0.01)
    assert SemanticChannel.fit(["b", "a"], ["u", "v"]).instances == ("a", "b")
    # Labels trained by themselves: "adult" and "person" are both true at once.
    given, denied = np.array([[0, 9], [10, 10]]), np.array([[10, 1], [0, 0]])
    both = SemanticChannel.from_counts(given, denied)
    np.testing.assert_allclose(both.truth, [[0.0, 0.9], [1.0, 1.0]])
    assert both.logical_probability.sum() > 1
    with pytest.raises(ValueError, match="row 1 is empty"):
        SemanticChannel.from_counts([[1, 2], [0, 0]])
    assert SemanticChannel.from_counts([[1, 2], [0, 0]], smoothing=0.5).truth[1].min() > 0


@pytest.mark.parametrize(
    ("truth", "px", "message"),
    [
        ([[1.0], [0.5]], [0.5, 0.6], "px must sum to 1"),
        ([[1.0], [1.5]], [0.5, 0.5], "truth must lie in"),
        ([[1.0], [np.nan]], [0.5, 0.5], "NaN"),
        ([[1.0, 0.0], [0.5, 0.0]], [0.5, 0.5], "label 1 is false"),
        ([1.0, 0.5], [0.5, 0.5], "shape"),
        ([[1.0], [0.5], [0.2]], [0.5, 0.5], "shape"),
        (np.zeros((0, 0)), [], "px"),
    ],
)
def test_hostile_channels(truth, px, message):
    with pytest.raises(ValueError, match=message):
        SemanticChannel(truth, px)


def test_hostile_helpers():
    with pytest.raises(ValueError, match="never given"):
        optimal_truth([[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="sd positive"):
        gaussian_truth([0.0], [0.0], 0.0)
    with pytest.raises(ValueError, match="temperature"):
        boltzmann_truth([0.0, 1.0], 0.0)
    with pytest.raises(ValueError, match="one length"):
        SemanticChannel.fit([1, 2], [1])


@settings(max_examples=60, deadline=None)
@given(cells=st.lists(st.floats(0.1, 100), min_size=4, max_size=4))
def test_confirmation(cells):
    table = np.array(cells).reshape(2, 2)
    (a, b), (c, d) = table
    ratio = (a / (a + c)) / (b / (b + d))
    assert confirmation(table) == pytest.approx((ratio - 1) / max(ratio, 1), abs=1e-12)
    assert confirmation(table, "prediction") == pytest.approx((a - b) / max(a, b), abs=1e-12)
    assert -1 <= confirmation(table) <= 1
    # Exchanging h and not-h changes the sign of both.
    for kind in ("channel", "prediction"):
        assert confirmation(table[:, ::-1], kind) == pytest.approx(-confirmation(table, kind), abs=1e-12)


def test_confirmation_limits():
    assert confirmation([[5, 0], [1, 7]]) == 1.0
    assert confirmation([[0, 5], [1, 7]], "prediction") == -1.0
    for table, message in (
        ([[0, 0], [1, 1]], "never occurs"),
        ([[1, 0], [1, 0]], "must occur"),
        ([[1, -1], [1, 1]], "non-neg"),
    ):
        with pytest.raises(ValueError, match=message):
            confirmation(table)
    with pytest.raises(ValueError, match="kind"):
        confirmation([[1, 1], [1, 1]], "raven")
    with pytest.raises(ValueError, match="shape"):
        confirmation([[1, 1, 1], [1, 1, 1]])


def test_matching_never_loses_and_stops():
    rng = np.random.default_rng(0)
    for _ in range(20):
        joint = rng.dirichlet(np.full(3 * 40, 0.3)).reshape(3, 40)
        start = rng.integers(0, 3, 40)
        result = match_channels(joint, start)
        assert result.converged
        assert np.all(np.diff(result.information) >= -1e-12)
        table = np.stack([joint[:, result.labels == j].sum(axis=1) for j in range(3)], axis=1)
        assert result.information[-1] == pytest.approx(shannon(table), abs=1e-12)
        # No single observation can move with a gain in the matched semantic information.
        again = match_channels(joint, result.labels)
        assert again.iterations == 1
    with pytest.raises(ValueError, match="start"):
        match_channels(joint, np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="start"):
        match_channels(joint, np.zeros(40))


def test_log_optimal_portfolio_against_a_grid():
    rng = np.random.default_rng(3)
    for _ in range(5):
        returns, p = rng.lognormal(0, 0.4, (4, 2)), rng.dirichlet(np.ones(4))
        best = log_optimal_portfolio(returns, p, tol=1e-12)
        grid = [growth_rate([w, 1 - w], returns, p) for w in np.linspace(0, 1, 2001)]
        assert best.growth == pytest.approx(max(grid), abs=1e-6)
        assert best.growth >= max(grid) - 1e-11
        assert best.weights.sum() == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_value_of_a_true_forecast_is_bounded_by_kl(seed):
    rng = np.random.default_rng(seed)
    returns, prior, after = rng.lognormal(0, 0.5, (4, 3)), rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
    value = information_value(returns, prior, after)
    assert -1e-8 <= value <= after @ np.log(after / prior) + 1e-8


def test_hostile_markets():
    with pytest.raises(ValueError, match="no portfolio survives"):
        log_optimal_portfolio([[1.0, 2.0], [0.0, 0.0]], [0.5, 0.5])
    with pytest.raises(ValueError, match=">= 0"):
        growth_rate([1.0], [[-0.1]], [1.0])
    with pytest.raises(ValueError, match="weights must"):
        growth_rate([0.5, 0.6], [[1.0, 1.0]], [1.0])
    assert growth_rate([1.0, 0.0], [[1.0, 2.0], [0.0, 1.0]], [0.5, 0.5]) == -np.inf
