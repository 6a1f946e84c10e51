"""1-D Wasserstein from quantiles and from counts: theorems, SciPy, coverage, robustness."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from plogp.tables.coding import sorted_quantiles
from plogp.tables.profiling import PROBS
from plogp.tables.wasserstein import moments, value_wasserstein, wasserstein

Q = np.array([NormalDist().inv_cdf(p) for p in PROBS])


def test_shift_and_scale_of_a_normal() -> None:
    assert wasserstein(PROBS, Q, Q + 1.5, 10**6, 10**6).value == pytest.approx(1.5, rel=1e-6)
    # W1 of N(0, 1) and N(0, s²) is |s - 1| sqrt(2/pi); the grid stops at 0.1 %
    assert wasserstein(PROBS, Q, 2 * Q, 10**9, 10**9).value == pytest.approx(np.sqrt(2 / np.pi), rel=5e-3)


def test_plug_in_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=4000), rng.gamma(2.0, 1.0, 4000)
    e = wasserstein(PROBS, sorted_quantiles(np.sort(x), PROBS), sorted_quantiles(np.sort(y), PROBS), 4000, 4000)
    assert e.diagnostics["plugin"] == pytest.approx(stats.wasserstein_distance(x, y), rel=0.01)
    a, b = rng.integers(0, 5, 300), rng.integers(1, 6, 500)
    counts = [np.bincount(v, minlength=6) for v in (a, b)]
    e = value_wasserstein(np.arange(6.0), *counts)
    assert e.diagnostics["plugin"] == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-12)


@pytest.mark.parametrize(("n", "shift", "scale"), [(500, 0.0, 1.0), (2000, 0.15, 1.0), (2000, 0.0, 1.3)])
def test_intervals_cover(n: int, shift: float, scale: float) -> None:
    rng, hits, values = np.random.default_rng(1), 0, []
    truth = shift if scale == 1.0 else (scale - 1) * np.sqrt(2 / np.pi)
    for _ in range(200):
        x, y = np.sort(rng.normal(size=n)), np.sort(shift + scale * rng.normal(size=n))
        e = wasserstein(PROBS, sorted_quantiles(x, PROBS), sorted_quantiles(y, PROBS), n, n)
        low, high = e.interval()
        hits += low <= truth <= high
        values.append(e.value)
    assert hits >= 182  # 92 % of 200 less 1.5 standard deviations
    if truth == 0:
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)  # centred where nothing changed


def test_one_outlier_has_no_say() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=5000)
    spoiled = np.append(x[1:], 1e6)
    for n in (5000, 300):
        a, b = (sorted_quantiles(np.sort(v[-n:]), PROBS) for v in (x, spoiled))
        assert abs(moments(PROBS, a, n)[1] - moments(PROBS, b, n)[1]) < 0.05
        assert abs(wasserstein(PROBS, a, b, n, n).diagnostics["plugin"]) < 0.05


def test_equal_columns_have_no_distance() -> None:
    e = value_wasserstein([0.0, 1.0], [50, 50], [500, 500])
    assert e.value <= 0
    assert not e.distinguishable()
    assert wasserstein(PROBS, Q * 0 + 3.0, Q * 0 + 3.0, 100, 100).value == 0.0
