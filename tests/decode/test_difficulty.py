"""DifficultyRouter: labels, probes, routing; and the test of the U shape."""

import numpy as np
import pytest

from plogp.decode import DifficultyRouter, Strategy
from plogp.decode.difficulty import u_shape


def questions(n=400, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return rng.normal(size=(3, 16))[y] + noise * rng.normal(size=(n, 16)), y


def test_the_table_of_labels():
    router = DifficultyRouter(accuracy=0.6, entropy=1.0)
    accuracy, entropy = [0.6, 0.6, 0.59, 0.0, 1.0], [1.01, 1.0, 0.1, 3.0, 0.2]
    assert router.label(accuracy, entropy).tolist() == [0, 1, 2, 2, 1]
    by_median = DifficultyRouter(accuracy=0.6)
    by_median.label(accuracy, entropy)
    assert by_median.entropy_ == 1.0  # the median of 1.01, 1.0 and 0.2: over solved questions only


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_probes_learn_and_repeat(probe):
    x, y = questions()
    router = DifficultyRouter(probe=probe, steps=200, lr=0.01, rng=0).fit(x[:300], y[:300])
    assert (router.route(x[300:]) == y[300:]).mean() > 0.95
    p = router.predict_proba(x[300:])
    assert p.shape == (100, 3)
    assert p.sum(axis=1) == pytest.approx(1)
    again = DifficultyRouter(probe=probe, steps=200, lr=0.01, rng=0).fit(x[:300], y[:300])
    assert np.array_equal(again.predict_proba(x[300:]), p)


def test_rare_classes_weigh_as_much_as_common_ones():
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(380, int), np.full(20, 2)]
    x = rng.normal(size=(400, 1)) + 2.0 * (y[:, None] == 2)
    router = DifficultyRouter(probe="linear", steps=400, lr=0.03, rng=0).fit(x, y)
    found = router.route(x)
    assert (found[y == 2] == 2).mean() > 0.6
    assert 1 not in found


def test_a_classifier_of_ones_own():
    neighbors = pytest.importorskip("sklearn.neighbors")
    x, y = questions()
    x, y = x[y != 1], y[y != 1]
    router = DifficultyRouter(probe=neighbors.KNeighborsClassifier(3)).fit(x, y)
    assert (router.route(x) == y).all()
    assert (router.predict_proba(x)[:, 1] == 0).all()
    strategy = router.strategy(x[0])
    assert strategy.name == ("easy", "normal", "hard")[y[0]]


def test_strategies():
    assert Strategy("a", share=0.4).max_tokens(1000) == 400
    assert Strategy("a", share=0.01).max_tokens(3) == 1
    for bad in ({"temperature": -1.0}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(ValueError, match="temperature"):
            Strategy("a", **bad)


def test_the_u_shape_is_least_squares():
    rng = np.random.default_rng(0)
    d = rng.random(80)
    h = 1 - 2 * d + 1.5 * d**2 + 0.1 * rng.normal(size=80)
    found = u_shape(d, h)
    assert found.curvature == pytest.approx(np.polyfit(d, h, 2)[0], abs=1e-10)
    cov = np.polyfit(d, h, 2, cov="unscaled")[1]
    scale = np.sum((h - np.polyval(np.polyfit(d, h, 2), d)) ** 2) / 77
    assert found.se == pytest.approx(np.sqrt(scale * cov[0, 0]), rel=1e-8)
    assert found.p_value < 0.01
    assert u_shape(d, -h).p_value > 0.99
    assert found.minimum == pytest.approx(2 / 3, abs=0.1)
    with pytest.raises(ValueError, match="at least 4"):
        u_shape([0, 1, 0, 1], [1, 2, 3, 4])


def test_hostile_input():
    with pytest.raises(ValueError, match="three"):
        DifficultyRouter([Strategy("a")])
    with pytest.raises(ValueError, match="probe"):
        DifficultyRouter(probe="deep")
    router = DifficultyRouter()
    with pytest.raises(ValueError, match="not fitted"):
        router.route(np.ones((2, 3)))
    with pytest.raises(ValueError, match="accuracy"):
        router.label([1.5, 0.1], [1.0, 1.0])
    with pytest.raises(ValueError, match="median"):
        router.label([0.1, 0.2], [1.0, 1.0])
    with pytest.raises(ValueError, match="labels"):
        router.fit(np.random.default_rng(0).normal(size=(3, 2)), [0, 1, 3])
    with pytest.raises(ValueError, match="one class"):
        router.fit(np.random.default_rng(0).normal(size=(3, 2)), [1, 1, 1])
