import math
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KernelDensity
from sklearn.utils.estimator_checks import check_estimator

from plogp.estimate.density import KDE, TailWarning, kde_entropy, mixture_entropy_bounds
from plogp.estimate.kernels import KERNELS, weight_sums


@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_agrees_with_scikit_learn(kernel, d):
    rng = np.random.default_rng(0)
    x, at = rng.normal(size=(200, d)), rng.normal(size=(30, d))
    ours = KDE(0.4, kernel).fit(x)
    peer = KernelDensity(bandwidth=0.4, kernel=kernel).fit(x)
    assert np.allclose(ours.score_samples(at), peer.score_samples(at), atol=1e-9)
    assert np.isclose(ours.score(at), peer.score(at))


def test_rules_agree_with_scipy():
    x = np.random.default_rng(0).normal(3.0, 7.0, size=(300, 1))
    for rule in ("scott", "silverman"):
        peer = stats.gaussian_kde(x[:, 0], rule)
        assert np.allclose(KDE(rule).fit(x).score_samples(x[:20]), peer.logpdf(x[:20, 0]))


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_kernel_integrates_to_one_and_draws_follow_it(kernel):
    kde = KDE(0.7, kernel).fit([[0.0]])
    grid = np.linspace(-40, 40, 400_001)
    assert math.isclose(np.exp(kde.score_samples(grid[:, None])).sum() * (grid[1] - grid[0]), 1.0, rel_tol=1e-6)
    draws = KDE(0.7, kernel).fit(np.zeros((1, 3))).sample(20_000, 0)
    radius = np.linalg.norm(draws, axis=1) / 0.7
    a, scale = KERNELS[kernel].exponent, KERNELS[kernel].scale
    assert stats.kstest(scale * radius**a, stats.gamma(3 / a).cdf).pvalue > 1e-3


def test_far_points_do_not_underflow():
    assert np.isclose(KDE(0.01).fit([[0.0]]).score_samples([[50.0]])[0], stats.norm(0, 0.01).logpdf(50.0))


def test_leave_one_out_by_brute_force():
    x = np.random.default_rng(0).normal(size=(25, 2))
    brute = [KDE(0.5).fit(np.delete(x, i, 0)).score_samples(x[[i]])[0] for i in range(len(x))]
    assert np.allclose(KDE(0.5).fit(x).leave_one_out(), brute)


def test_blocks_give_the_same_and_bound_the_memory():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 3))
    whole = weight_sums(x[:200], x, 0.5, KERNELS["gaussian"])
    parts = weight_sums(x[:200], x, 0.5, KERNELS["gaussian"], block_bytes=100_000)
    assert np.allclose(whole, parts, rtol=1e-12)
    tracemalloc.start()
    weight_sums(x, x, 0.5, KERNELS["gaussian"], block_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # the full matrix of distances is 72 MB


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kde", [KDE(), KDE(1.0, "exponential"), KDE("phase")])
def test_scikit_learn_checks(kde):
    failed = [r for r in check_estimator(kde, on_fail=None) if r["status"] == "failed"]
    assert not failed, failed


def test_parameters():
    kde = clone(KDE("silverman", "exponential"))
    assert kde.get_params() == {"bandwidth": "silverman", "kernel": "exponential"}
    assert kde.set_params(bandwidth=2.0).bandwidth == 2.0
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        kde.set_params(width=3)


def test_column_names_are_kept():
    import pandas as pd

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["a", "b"])
    kde = KDE().fit(frame)
    assert list(kde.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="same order"):
        kde.score_samples(frame[["b", "a"]])
    with pytest.raises(ValueError, match="unseen at fit time"):
        kde.score_samples(frame.rename(columns={"b": "c"}))


def test_regimes_are_told():
    rng = np.random.default_rng(0)
    x, at = rng.normal(size=(1000, 14)), rng.normal(size=(50, 14))
    with pytest.warns(TailWarning, match="below h_CLT"):
        low = KDE(0.3).fit(x).diagnose(at)
    assert low.regime == "condensed"
    assert low.stable_index < 1
    assert low.participation.mean() > 0.6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        high = KDE(2.0).fit(x).diagnose(at)
    assert high.regime == "normal"
    assert high.participation.mean() < 0.02
    assert not KDE(0.3).fit(x).density(at[:1])[0].has_interval
    assert "stable law" in KDE(0.3).fit(x).density(at[:1])[0].diagnostics["no_interval"]


def test_density_interval_covers_the_smoothed_density():
    h, truth = 0.3, stats.norm(0, math.hypot(1, 0.3)).pdf(0.5)
    covered = 0
    for seed in range(120):
        kde = KDE(h).fit(np.random.default_rng(seed).normal(size=(150, 1)))
        low, high = kde.density([[0.5]])[0].interval()
        covered += low <= truth <= high
    assert 107 <= covered <= 120


def test_phase_bandwidth_is_the_best_in_high_dimension():
    rng = np.random.default_rng(0)
    x, held = rng.normal(size=(600, 10)), rng.normal(size=(400, 10))
    best = max(KDE(h).fit(x).score(held) for h in np.linspace(0.4, 1.6, 25))
    assert KDE("phase").fit(x).score(held) > best - 0.01 * 400


def test_entropy_of_known_laws():
    rng = np.random.default_rng(1)
    for law, scale in ((stats.norm(0, 3), 1), (stats.logistic(), 1)):
        e = kde_entropy(law.rvs(3000, random_state=rng) * scale)
        assert abs(e.value - law.entropy()) < 4 * e.se
    two = kde_entropy(rng.normal(size=(2000, 2)))
    assert abs(two.value - math.log(2 * math.pi * math.e)) < 0.1
    assert len(two.terms) == two.n == 2000
    assert np.isclose(two.terms.mean(), two.value)


def test_entropy_moves_with_scale_exactly():
    x = np.random.default_rng(0).normal(size=(100, 2))
    assert np.isclose(kde_entropy(10 * x).value, kde_entropy(x).value + 2 * math.log(10))


def test_mixture_bounds_bracket_numerical_integration():
    rng = np.random.default_rng(0)
    grid = np.linspace(-30, 30, 60_001)
    for _ in range(10):
        centres, variance = rng.normal(0, 3, size=5), float(rng.uniform(0.2, 2))
        weights = rng.dirichlet(np.ones(5))
        p = weights @ stats.norm(centres[:, None], math.sqrt(variance)).pdf(grid)
        truth = -np.sum(p * np.log(np.where(p > 0, p, 1))) * (grid[1] - grid[0])
        low, high = mixture_entropy_bounds(centres, variance, weights)
        assert low <= truth + 1e-9
        assert truth <= high + 1e-9


def test_mixture_bounds_are_within_the_label_entropy():
    rng = np.random.default_rng(0)
    own = 0.5 * 3 * math.log(2 * math.pi * math.e * 0.1)
    low, high = mixture_entropy_bounds(rng.normal(size=(40, 3)), 0.1)
    assert -1e-12 <= low - own <= high - own <= math.log(40) + 1e-12
    assert mixture_entropy_bounds(np.zeros((5, 3)), 0.1)[1] == pytest.approx(own)
    zero = mixture_entropy_bounds([[0.0], [9.0], [1.0]], 1.0, [0.5, 0.5, 0.0])
    assert zero == pytest.approx(mixture_entropy_bounds([[0.0], [9.0]], 1.0))


def test_bad_input():
    x = np.random.default_rng(0).normal(size=(20, 2))
    for bandwidth in (0.0, -1.0, np.nan, np.inf, "wide", True, None):
        with pytest.raises(ValueError, match="bandwidth must be"):
            KDE(bandwidth).fit(x)
    with pytest.raises(ValueError, match="kernel must be one of"):
        KDE(kernel="tophat").fit(x)
    with pytest.raises(ValueError, match="no spread"):
        KDE().fit(np.ones((5, 2)))
    with pytest.raises(ValueError, match="every row of samples is repeated"):
        KDE("phase").fit(np.repeat(x, 2, axis=0))
    with pytest.raises(ValueError, match="NaN"):
        KDE().fit([[np.nan], [1.0]])
    with pytest.raises(ValueError, match="2D array"):
        KDE().fit([1.0, 2.0])
    for method in ("score_samples", "participation", "density", "diagnose"):
        with pytest.raises(NotFittedError):
            getattr(KDE(), method)(x)
    for method in ("leave_one_out", "sample", "phase"):
        with pytest.raises(NotFittedError):
            getattr(KDE(), method)()
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        KDE().fit(x).sample(0)
    with pytest.raises(ValueError, match="at least 2 samples"):
        KDE(1.0).fit(x[:1]).leave_one_out()
    with pytest.raises(ValueError, match="at least 3 samples"):
        kde_entropy([1.0, 2.0])
    with pytest.raises(ValueError, match="variance must be a positive"):
        mixture_entropy_bounds(x, 0.0)
    with pytest.raises(ValueError, match="20 probabilities"):
        mixture_entropy_bounds(x, 1.0, np.ones(20))
