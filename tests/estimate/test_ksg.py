import math

import numpy as np
import pytest
from scipy import special

from plogp.estimate.ksg import (
    LEAVE_ONE_OUT_EXCESS,
    digamma_table,
    ksg,
    leave_one_out_error,
    pairwise_ksg,
    total_correlation_ksg,
)
from plogp.estimate.samples import rescaled
from plogp.estimate.tasks import gaussian, mutual_information_tasks


def by_definition(blocks, k, variant):
    """KSG with plain loops over the whole distance matrix."""
    n, m = len(blocks[0]), len(blocks)
    apart = [np.abs(b[:, None] - b[None]).max(axis=-1) for b in blocks]
    joint = np.max(apart, axis=0)
    np.fill_diagonal(joint, np.inf)
    near = np.argsort(joint, axis=1)[:, :k]
    total = 0.0
    for i in range(n):
        for a in apart:
            others = np.delete(a[i], i)
            if variant == 1:
                total -= special.digamma((others < joint[i, near[i, -1]]).sum() + 1) / n
            else:
                total -= special.digamma((others <= a[i, near[i]].max()).sum()) / n
    return total + special.digamma(k) + (m - 1) * special.digamma(n) - (variant == 2) * (m - 1) / k


def pair(rho, n, seed):
    return gaussian(rho).sample(n, seed)


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (2, 3)])
def test_matches_its_definition(variant, k, shape):
    rng = np.random.default_rng(k)
    x, y = rng.standard_normal((90, shape[0])), rng.standard_normal((90, shape[1]))
    y[:, :1] += x[:, :1]
    found = ksg(x, y, k, variant=variant, scale=None)
    assert found.value == pytest.approx(by_definition([x, y], k, variant), abs=1e-12)
    assert found.terms.mean() == pytest.approx(found.value, abs=1e-12)


@pytest.mark.parametrize("variant", [1, 2])
def test_total_correlation_matches_its_definition(variant):
    x = np.random.default_rng(0).multivariate_normal([0, 0, 0], np.eye(3) * 0.5 + 0.5, 80)
    found = total_correlation_ksg(x, k=3, variant=variant, scale=None).value
    assert found == pytest.approx(by_definition([x[:, [0]], x[:, [1]], x[:, [2]]], 3, variant), abs=1e-12)
    assert total_correlation_ksg(x[:, 0], x[:, 1:], variant=variant).value == pytest.approx(
        ksg(x[:, 0], x[:, 1:], variant=variant).value, abs=1e-12
    )


def test_same_as_scikit_learn():
    sklearn = pytest.importorskip("sklearn.feature_selection")
    x, y = pair(0.6, 1000, 0)
    theirs = sklearn.mutual_info_regression(x, y[:, 0], n_neighbors=4, random_state=0)[0]
    assert ksg(x, y, 4).value == pytest.approx(theirs, abs=1e-9)


def test_no_bias_at_independence():
    """A count that loses the boundary gives -0.012 here at n = 8,000."""
    values = [ksg(*pair(0.0, 8000, seed), k=3).value for seed in range(6)]
    assert abs(np.mean(values)) < 4 * 0.0075 / math.sqrt(6)


@pytest.mark.parametrize("variant", [1, 2])
def test_symmetric_and_invariant(variant):
    x, y = pair(0.7, 400, 1)
    base = ksg(x, y, variant=variant).value
    assert ksg(y, x, variant=variant).value == pytest.approx(base, abs=1e-12)
    assert ksg(5 * x + 3, -1e-6 * y, variant=variant).value == pytest.approx(base, abs=1e-9)
    order = np.random.default_rng(0).permutation(400)
    assert ksg(x[order], y[order], variant=variant).value == pytest.approx(base, abs=1e-12)
    ranks = ksg(x, y, variant=variant, scale="rank").value
    assert ksg(np.exp(x), y**3, variant=variant, scale="rank").value == pytest.approx(ranks, abs=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_coverage(rho):
    task = gaussian(rho)
    rng = np.random.default_rng(5)
    inside = [not ksg(*task.sample(250, rng)).distinguishable(task.truth) for _ in range(300)]
    assert 0.90 <= np.mean(inside) <= 0.99


def test_every_task_is_near_its_truth():
    for task in mutual_information_tasks():
        found = ksg(*task.sample(4000, 0), scale="rank")
        assert abs(found.value - task.truth) < 0.04, task


def test_leave_one_out_influences_are_those_of_leaving_one_out():
    """`leave_one_out_error` gets all n recomputations from one pass: compare with n recomputations."""
    x, y = pair(0.8, 60, 2)
    k, n = 3, 60
    whole = by_definition([x, y], k, 1)
    without = [by_definition([np.delete(x, i, 0), np.delete(y, i, 0)], k, 1) for i in range(n)]
    pseudo = n * whole - (n - 1) * np.array(without)
    excess = special.polygamma(1, k) * LEAVE_ONE_OUT_EXCESS
    expected = math.sqrt(max(np.var(pseudo, ddof=1) - excess, 0) / n)
    assert leave_one_out_error(x[:, 0], y[:, 0], k) == pytest.approx(expected, rel=1e-9)
    assert expected > 0


def test_digamma_table():
    np.testing.assert_allclose(digamma_table(300)[1:], special.digamma(np.arange(1, 301)), rtol=1e-12, atol=1e-13)
    assert len(digamma_table(1)) == 2


def test_matrix_is_the_pairs():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((300, 4))
    x[:, 1] += x[:, 0]
    x[:, 3] = 2.5
    values, errors = pairwise_ksg(x, 3)
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        alone = ksg(x[:, i], x[:, j], 3)
        assert values[i, j] == values[j, i] == pytest.approx(alone.value, abs=1e-12)
        assert errors[i, j] == pytest.approx(alone.se, rel=1e-12)
    assert np.isinf(values[0, 0])
    assert (values[3] == 0).all()
    assert (values[:, 3] == 0).all()
    with pytest.raises(ValueError, match="two columns"):
        pairwise_ksg(x[:, 0])


def test_constant_variable_has_no_information():
    found = ksg(np.ones(50), np.arange(50.0))
    assert (found.value, found.se) == (0.0, 0.0)
    assert "x is constant" in found.diagnostics["note"]
    some = total_correlation_ksg(np.ones(50), np.arange(50.0), np.arange(50.0) ** 2 + 0.1)
    assert "variable 0" in some.diagnostics["note"]


def test_hostile_input():
    x = np.arange(20.0)
    with pytest.raises(ValueError, match="gao"):
        ksg(x // 10, x // 10, 3)
    assert math.isfinite(ksg(x // 10, x // 10, 3, jitter=1e-10, rng=0).value)
    with pytest.raises(ValueError, match="variant"):
        ksg(x, x, variant=3)
    with pytest.raises(ValueError, match="x has 20, y has 19"):
        ksg(x, x[1:])
    with pytest.raises(ValueError, match="too few samples"):
        ksg(x[:4], x[:4], 4)
    with pytest.raises(ValueError, match="y holds NaN"):
        ksg(x, np.where(x == 3, np.nan, x))
    with pytest.raises(ValueError, match="at least two variables"):
        total_correlation_ksg(x)
    assert ksg(x[:3], x[:3] ** 2, 2).n == 3  # the smallest sample
    huge = ksg(x * 1e300, (x**2) * 1e-300)
    assert math.isfinite(huge.value)


def test_high_dimension_and_device():
    pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((150, 12)), rng.standard_normal((150, 12))
    y[:, 0] = x[:, 0]
    found = ksg(x, y, 3)  # 24 dimensions together: brute force
    assert found.value == pytest.approx(by_definition([rescaled(v, "standard") for v in (x, y)], 3, 1), abs=1e-12)
    assert ksg(x, y, 3, device="cpu").value == pytest.approx(found.value, abs=1e-12)
