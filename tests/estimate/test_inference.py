from __future__ import annotations

import math

import numpy as np
import pytest

from plogp.estimate.inference import (
    adjust_p_values,
    block_jackknife,
    jackknife,
    permutation_test,
    subsample_se,
)


def correlation(x, y):
    return abs(np.corrcoef(x, y)[0, 1])


def test_permutation_p_value_is_the_counting_formula():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 30))
    found = permutation_test(correlation, x, y, 199, rng=1)
    assert len(found.null) == 199
    assert found.p_value == pytest.approx((1 + (found.null >= found.statistic).sum()) / 200)
    again = permutation_test(lambda a, b: abs(np.corrcoef(a, b)[0, 1]), x, y, 199, rng=1, n_jobs=2)
    assert np.array_equal(again.null, found.null)


def test_permutation_test_has_its_level_and_power():
    rng = np.random.default_rng(0)
    p = [permutation_test(correlation, *rng.standard_normal((2, 15)), 39, rng).p_value for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)
    x = rng.standard_normal(40)
    assert permutation_test(correlation, x, x, 99, rng).p_value == 0.01


def test_a_family_is_adjusted_by_its_maximum():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(60)
    y = rng.standard_normal((60, 20))
    y[:, 3] += x

    def family(a, b):
        return np.array([correlation(a, b[:, j]) for j in range(b.shape[1])])

    found = permutation_test(family, x, y, 199, rng=0)
    assert found.p_value.shape == (20,)
    assert (found.p_adjusted >= found.p_value - 1e-12).all()
    assert found.p_adjusted[3] == 0.005
    assert (np.delete(found.p_adjusted, 3) > 0.05).mean() > 0.9


def test_jackknife_of_the_mean_and_of_a_biased_variance():
    x = np.random.default_rng(0).standard_normal(50)
    found = jackknife(np.mean, x)
    assert (found.value, found.se) == pytest.approx((x.mean(), x.std(ddof=1) / math.sqrt(50)))
    assert jackknife(np.var, x).value == pytest.approx(x.var(ddof=1))  # the correction is exact here
    grouped = jackknife(np.mean, x, delete=5, rng=0)
    assert grouped.se == pytest.approx(found.se, rel=0.6)
    assert grouped.diagnostics["groups"] == 10


def test_paired_samples_stay_paired():
    x = np.random.default_rng(0).standard_normal((40, 2))
    found = jackknife(lambda a, b: np.corrcoef(a, b)[0, 1], x[:, 0], x[:, 0] + 0.1 * x[:, 1])
    assert found.value > 0.95
    assert found.se < 0.01


def test_blocks_see_the_dependence():
    rng = np.random.default_rng(0)
    errors, values = [], []
    for _ in range(200):
        x = np.zeros(500)
        for t, e in enumerate(rng.standard_normal(500)):
            x[t] = 0.8 * x[t - 1] + e
        values.append(x.mean())
        errors.append(block_jackknife(np.mean, x, block_length=25).se)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)
    assert jackknife(np.mean, x).se < 0.5 * np.std(values)


def test_subsample_error_of_a_mean():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((900, 3))
    found = np.mean([subsample_se(np.mean, x[:, j], rng=rng) for j in range(3)])
    assert found == pytest.approx(1 / 30, rel=0.25)


@pytest.mark.parametrize("method", ["bh", "by", "holm", "bonferroni"])
def test_adjusted_p_values_against_statsmodels(method):
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    p = np.random.default_rng(0).random(30) ** 3
    names = {"bh": "fdr_bh", "by": "fdr_by"}
    assert adjust_p_values(p, method) == pytest.approx(multipletests(p, method=names.get(method, method))[1])
    assert adjust_p_values(p.reshape(5, 6), method).shape == (5, 6)
    assert adjust_p_values([], method).size == 0


def test_bad_input_is_named():
    x = np.arange(10.0)
    with pytest.raises(ValueError, match="x has 10 samples but y has 9"):
        permutation_test(correlation, x, x[:9])
    with pytest.raises(ValueError, match="num_permutations"):
        permutation_test(correlation, x, x, 0)
    with pytest.raises(ValueError, match="at least 2 samples"):
        permutation_test(correlation, [1.0], [2.0])
    with pytest.raises(ValueError, match=r"delete must lie in 1\.\.5"):
        jackknife(np.mean, x, delete=6)
    with pytest.raises(ValueError, match="equal lengths"):
        jackknife(np.mean, x, x[:3])
    with pytest.raises(ValueError, match="4 blocks"):
        block_jackknife(np.mean, x, block_length=4)
    with pytest.raises(ValueError, match="parts of 2 or more"):
        subsample_se(np.mean, x)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        adjust_p_values([0.5, np.nan])
    with pytest.raises(ValueError, match="'bh', 'by'"):
        adjust_p_values([0.5], "fdr")
