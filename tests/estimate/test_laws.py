from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from plogp.estimate.discrete import entropy_from_counts
from plogp.estimate.laws import Below, Boundary, Hull, OneState, UpTo, Within, chi2_sf, noncentral_chi2_cdf
from plogp.measures.uncertainty import Normal


def test_chi2_against_scipy():
    for x, df in ((0.1, 1), (5.0, 3), (300.0, 200), (50.0, 0.5)):
        assert chi2_sf(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-10)
    assert chi2_sf(3.0, 0) == 1.0
    assert chi2_sf(-1.0, 2) == 1.0


@pytest.mark.parametrize("df", [0.5, 1, 10, 900, 5000])
@pytest.mark.parametrize("shift", [0.0, 1.0, 50.0, 2000.0, 1e6])
def test_noncentral_chi2_against_scipy(df, shift):
    mean, sd = df + shift, math.sqrt(2 * (df + 2 * shift))
    for z in (-2, -0.5, 0, 1, 2.5):
        x = max(mean + z * sd, 1e-3)
        assert noncentral_chi2_cdf(x, df, shift) == pytest.approx(stats.ncx2.cdf(x, df, shift), abs=2e-4)


def test_boundary_is_normal_far_from_zero():
    law = Boundary(value=0.5, rate=2e5, df=4, se=0.003)
    low, high = law(0.95)
    assert low == pytest.approx(0.5 - 1.96 * 0.003, abs=1e-4)
    assert high == pytest.approx(0.5 + 1.96 * 0.003, abs=1e-4)


@pytest.mark.parametrize("d", [0.0, 0.002, 0.01, 0.05])
@pytest.mark.parametrize("df", [1, 9])
def test_boundary_covers_noncentral_chi2(d, df):
    """The exact case c = 1: D̂ rate ~ χ'²(df, rate D)."""
    rate, rng = 400.0, np.random.default_rng(df)
    drawn = (
        stats.ncx2.rvs(df, rate * d, size=1000, random_state=rng)
        if d
        else stats.chi2.rvs(df, size=1000, random_state=rng)
    )
    covered = 0
    for x in drawn:
        value = (x - df) / rate
        se = math.sqrt(4 * max(x / rate, 1e-12) / rate)  # the delta method's variance of χ'²
        low, high = Boundary(value, rate, df, se)(0.95)
        covered += low - 1e-12 <= d <= high
    assert 0.925 <= covered / 1000 <= 0.995


def test_boundary_nested_and_ordered():
    for value in (-0.02, 0.0, 0.01, 0.3):
        law = Boundary(value, 300.0, 3.0, 0.01)
        (a, b), (c, d) = law(0.5), law(0.99)
        assert 0 <= c <= a <= b <= d


def test_hull_below_and_one_state():
    one, two = Boundary(0.1, 1e4, 2, 0.01), Boundary(0.12, 1e4, 2, 0.01)
    low, high = Hull((one, two))(0.9)
    assert (low, high) == (one(0.9)[0], two(0.9)[1])
    low, high = Below(1.0, one)(0.9)
    assert (low, high) == pytest.approx((1 - one(0.9)[1], 1 - one(0.9)[0]))
    assert OneState(10**6)(0.95)[1] < 1e-4
    assert OneState(1)(0.95)[1] == pytest.approx(math.log(2))


def test_an_interval_is_cut_but_holds_its_value():
    law = Within(Normal(1.2, 1.0), 1.2, high=1.0)
    assert law(0.95) == (0.0, 1.2)
    assert Within(Normal(0.5, 0.1), 0.5, high=1.0)(0.95) == Normal(0.5, 0.1)(0.95)
    assert entropy_from_counts([98, 1, 1]).interval(0.95)[0] >= 0
    assert UpTo(Normal(1.0, 0.1))(0.95) == (0.0, Normal(1.0, 0.1)(0.95)[1])
