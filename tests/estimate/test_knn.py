import math

import numpy as np
import pytest
from scipy import special
from scipy.spatial import cKDTree

from plogp.estimate.knn import (
    knn_error,
    kozachenko_leonenko,
    log_unit_ball,
    neighbour_weights,
    weighted_kozachenko_leonenko,
)
from plogp.estimate.tasks import continuous_entropy, gaussian_entropy_task


@pytest.mark.parametrize(("metric", "p"), [("euclidean", 2), ("chebyshev", np.inf), ("manhattan", 1)])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_formula_by_brute_force(metric, p, d):
    x = np.random.default_rng(d).standard_normal((120, d))
    apart = np.linalg.norm(x[:, None] - x[None], ord=p, axis=-1)
    radius = np.sort(apart, axis=1)[:, 3]
    ball = {2: math.pi ** (d / 2) / math.gamma(1 + d / 2), np.inf: 2**d, 1: 2**d / math.factorial(d)}[p]
    truth = special.digamma(120) - special.digamma(3) + math.log(ball) + d * np.log(radius).mean()
    assert kozachenko_leonenko(x, 3, metric=metric).value == pytest.approx(truth, abs=1e-12)


def test_ball_volumes():
    assert math.exp(log_unit_ball(3)) == pytest.approx(4 / 3 * math.pi)
    assert math.exp(log_unit_ball(3, "manhattan")) == pytest.approx(8 / 6)


def test_moves_as_an_entropy_does():
    x = np.random.default_rng(0).standard_normal((300, 2))
    base = kozachenko_leonenko(x, 4).value
    assert kozachenko_leonenko(x * 3 + 7, 4).value == pytest.approx(base + 2 * math.log(3), abs=1e-9)
    assert kozachenko_leonenko(x[::-1], 4).value == pytest.approx(base, abs=1e-12)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert kozachenko_leonenko(x @ turn, 4).value == pytest.approx(base, abs=1e-9)


@pytest.mark.parametrize(("k", "d"), [(1, 1), (4, 1), (2, 2), (8, 3)])
def test_error_constant_against_a_torus(k, d):
    """On a torus the uniform density has no edges: all error is the noise that `knn_error` models."""
    rng = np.random.default_rng(10 * k + d)
    n, means, modelled = 250, [], []
    for _ in range(1000):
        x = rng.random((n, d))
        tree = cKDTree(x, boxsize=1.0)
        terms = d * np.log(tree.query(x, k=[k + 1], p=np.inf)[0][:, 0])
        means.append(terms.mean())
        modelled.append(knn_error(terms, k) ** 2)
    assert np.mean(modelled) / np.var(means) == pytest.approx(1.0, abs=0.18)


@pytest.mark.parametrize("law", ["normal", "uniform", "exponential", "laplace"])
def test_coverage(law):
    task = continuous_entropy(law)
    rng = np.random.default_rng(11)
    for estimator in (kozachenko_leonenko, weighted_kozachenko_leonenko):
        inside = [not estimator(*task.sample(300, rng)).distinguishable(task.truth) for _ in range(300)]
        assert 0.90 <= np.mean(inside) <= 0.99


@pytest.mark.parametrize("d", [4, 5, 8, 12])
def test_weights_meet_their_constraints(d):
    k = 6 * d
    for orders in (None, d // 4, 2):
        j, w = neighbour_weights(k, d, orders)
        assert w.sum() == pytest.approx(1.0, abs=1e-10)
        for ell in range(1, (d // 4 if orders is None else orders) + 1):
            moment = special.gamma(j + 2 * ell / d) / special.gamma(j)
            assert abs(w @ moment) < 1e-10 * moment.max()


def test_one_weight_is_the_plain_estimator():
    x = np.random.default_rng(1).standard_normal(200)
    plain, weighted = kozachenko_leonenko(x, 5).value, weighted_kozachenko_leonenko(x, 5).value
    # The weighted form has log(n - 1) in the place of ψ(n).
    assert weighted - plain == pytest.approx(math.log(199) - special.digamma(200), abs=1e-12)


def test_weights_remove_bias():
    task = gaussian_entropy_task(5)
    rng = np.random.default_rng(2)
    samples = [task.sample(2000, rng)[0] for _ in range(25)]
    plain = np.mean([kozachenko_leonenko(x, 4).value for x in samples]) - task.truth
    weighted = np.mean([weighted_kozachenko_leonenko(x).value for x in samples]) - task.truth
    assert plain < -0.05
    assert abs(weighted) < 0.7 * abs(plain)


def test_hostile_input():
    with pytest.raises(ValueError, match="jitter"):
        kozachenko_leonenko(np.repeat([1.0, 2.0, 3.0], 10))
    assert math.isfinite(kozachenko_leonenko(np.repeat([1.0, 2.0, 3.0], 10), jitter=1e-10, rng=0).value)
    with pytest.raises(ValueError, match="too few samples"):
        kozachenko_leonenko([1.0, 2.0, 3.0], 3)
    with pytest.raises(ValueError, match="NaN"):
        kozachenko_leonenko([1.0, np.nan])
    with pytest.raises(ValueError, match="too few to cancel"):
        weighted_kozachenko_leonenko(np.random.default_rng(0).standard_normal((50, 8)), 2)
    two_equal = np.r_[np.linspace(0, 1, 50), 0.0]
    assert math.isfinite(kozachenko_leonenko(two_equal, 3).value)  # fewer duplicates than k


def test_estimates_of_one_sample_subtract_with_their_joint_error():
    rng = np.random.default_rng(3)
    xy = rng.standard_normal((500, 2))
    one = object()
    h = [kozachenko_leonenko(a, 3, sample=one) for a in (xy[:, 0], xy[:, 1], xy)]
    joint = h[0] + h[1] - h[2]
    assert abs(joint.value) < 5 * joint.se
    assert joint.se < math.hypot(h[0].se, math.hypot(h[1].se, h[2].se))
