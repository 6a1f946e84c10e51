import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from plogp.estimate.kde_phase import kde_phase, phase_rate


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0.25, (0.947, 1.339, 0.834)), (0.5, (0.652, 0.922, 0.622)), (1.0, (0.372, 0.526, 0.369))]
)
def test_published_values(alpha, expected):
    d = round(16 / alpha)
    phase = kde_phase(round(math.exp(alpha * d)), d)
    assert (round(phase.h_g, 3), round(phase.h_clt, 3), round(phase.h_opt, 3)) == expected


@pytest.mark.parametrize("lam", [0.01, 0.3, 1.0, 5.0])
def test_rate_by_integration_and_by_differences(lam):
    # Per coordinate: log E exp(-lam (x - y)^2 / 2) over y, averaged over x, both standard normal.
    grid = np.linspace(-12, 12, 4001)
    p = np.exp(-(grid**2) / 2)
    p /= p.sum()
    phi, slope, s = phase_rate(lam)
    inner = np.array([np.log(p @ np.exp(-0.5 * lam * (x - grid) ** 2)) for x in grid[::20]])
    q = p[::20] / p[::20].sum()
    assert q @ inner == pytest.approx(phi, abs=1e-9)
    step = 1e-5 * lam
    numeric = (phase_rate(lam + step)[0] - phase_rate(lam - step)[0]) / (2 * step)
    assert numeric == pytest.approx(slope, rel=1e-7)
    assert s == pytest.approx(lam * slope - phi, abs=1e-12)


def test_best_bandwidths_solve_their_branches():
    for kernel, exponent in (("gaussian", 2), ("exponential", 1)):
        phase = kde_phase(3000, 20, sigma=2.0, kernel=kernel)
        g = kde_phase(3000, 20).h_g ** 2
        nearest = 2.0 * math.sqrt(20 * g * (1 + 2 * g) / (1 + g) ** 2)

        def minus_log_density(h, nearest=nearest, exponent=exponent):
            return 20 * math.log(h) + (nearest / h) ** exponent / exponent

        best = minimize_scalar(minus_log_density, bounds=(0.01, 10), method="bounded", options={"xatol": 1e-9}).x
        assert phase.h_opt == pytest.approx(best, rel=1e-5)
        assert phase.h_opt < phase.h_g < phase.h_clt == pytest.approx(2 ** (1 / exponent) * phase.h_g)


def test_order_scale_and_limits():
    previous = math.inf
    for n in (3, 30, 3000, 10**6):
        phase = kde_phase(n, 12)
        assert phase.h_opt < phase.h_g < phase.h_clt
        assert phase.h_g < previous  # more samples, smaller bandwidths
        previous = phase.h_g
    assert kde_phase(500, 10, sigma=3.0).h_opt == pytest.approx(3 * kde_phase(500, 10).h_opt)
    assert kde_phase(2, 10**6).h_g > 10
    assert kde_phase(10**9, 1).h_g > 0


def test_index_and_regimes():
    phase = kde_phase(2981, 16)
    assert phase.index(phase.h_g) == pytest.approx(1.0)
    assert phase.index(phase.h_clt) == pytest.approx(2.0)
    assert phase.index(9.0) == 2.0
    assert [phase.regime(c * phase.h_g) for c in (0.5, 1.2, 1.5)] == ["condensed", "stable", "normal"]
    assert phase.participation(0.3 * phase.h_g) == pytest.approx(0.91)
    assert phase.participation(1.1 * phase.h_g) == 0.0
    with pytest.raises(ValueError, match="positive bandwidth"):
        phase.index(0.0)


def test_measured_phase_is_near_the_formula_and_follows_scale():
    x = np.random.default_rng(0).normal(size=(1000, 14))
    measured, formula = kde_phase(samples=x), kde_phase(1000, 14)
    assert 1.0 < measured.h_g / formula.h_g < 1.35
    assert 1.0 < measured.h_opt / formula.h_opt < 1.35
    assert measured.source == "samples"
    assert (measured.n, measured.d) == (1000, 14)
    assert kde_phase(samples=10 * x).h_g == pytest.approx(10 * measured.h_g, rel=1e-3)
    exponential = kde_phase(samples=x, kernel="exponential")
    assert exponential.h_clt == pytest.approx(2 * exponential.h_g)
    assert 0.9 < exponential.h_g / kde_phase(1000, 14, kernel="exponential").h_g < 1.7


def test_measured_phase_in_one_dimension_is_far_below_the_rules():
    x = np.random.default_rng(0).normal(size=(500, 1))
    phase = kde_phase(samples=x)
    assert phase.h_clt < 0.05
    assert phase.regime(phase.h_opt) == "normal"


def test_bad_input():
    for arguments, said in (
        ({"n": 1, "d": 3}, "n must be a whole number of at least 2"),
        ({"n": 10, "d": 0}, "d must be"),
        ({"n": 10}, "d must be"),
        ({"n": 10, "d": 3, "sigma": 0.0}, "sigma must be"),
        ({"n": 10, "d": 3, "kernel": "box"}, "kernel must be one of"),
        ({"n": 9, "samples": np.eye(3)}, "contradicts"),
        ({"samples": np.eye(2)}, "at least 3 rows"),
        ({"samples": np.ones((9, 2))}, "repeated"),
        ({"samples": [[np.nan], [1.0], [2.0]]}, "NaN"),
    ):
        with pytest.raises(ValueError, match=said):
            kde_phase(**arguments)
    with pytest.raises(ValueError, match="lam must be"):
        phase_rate(-1.0)
