import math

import numpy as np
import pytest

import plogp as pl
from plogp.estimate.nn_ratio import neighbour_origins
from plogp.estimate.one_step import _table, has_kink, one_step_divergence


def normals(n, d=1, seed=0, shift=1.0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    x[:, 0] += shift
    return x, y


def truth(d, shift=1.0):
    grid = np.linspace(-15, 15, 60_001)
    q = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    return float(np.sum(q * d.pointwise(shift * grid - shift**2 / 2)) * (grid[1] - grid[0]))


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "jeffreys", "js", "hellinger", "le_cam", "skew_kl"])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_unbiased_and_its_error_is_honest(name, shift):
    d = pl.divergence(name, **({"a": 0.1} if name == "skew_kl" else {}))
    found = [one_step_divergence(*normals(500, 2, s, shift), d) for s in range(25)]
    values, se = np.array([e.value for e in found]), np.array([e.se for e in found])
    exact = truth(d, shift)
    assert abs(values.mean() - exact) < 4 * values.std(ddof=1) / 5 + 0.03 * exact + 0.002
    assert 0.6 < se.mean() / values.std(ddof=1) < 1.8
    assert np.mean(np.abs(values - exact) < 1.96 * se) > 0.7


def test_coverage_of_js():
    exact, covered = truth(pl.divergence("js")), 0
    for seed in range(60):
        low, high = one_step_divergence(*normals(400, 2, seed), "js").interval()
        covered += low <= exact <= high
    assert covered >= 52


def test_sums_reversal_and_relatives_follow():
    x, y = normals(300, 2)
    kl, rkl = (one_step_divergence(x, y, d, k=15).value for d in ("kl", "reverse_kl"))
    mix = 0.7 * pl.divergence("kl") + 0.3 * pl.divergence("reverse_kl")
    assert one_step_divergence(x, y, mix, k=15).value == pytest.approx(0.7 * kl + 0.3 * rkl)
    assert one_step_divergence(x, y, "jeffreys", k=15).value == pytest.approx(kl + rkl)
    assert one_step_divergence(y, x, "reverse_kl", k=15).value == pytest.approx(kl)
    js = one_step_divergence(x, y, "js", k=15)
    root = one_step_divergence(x, y, "js_distance", k=15)
    assert root.value == pytest.approx(math.sqrt(js.value))
    assert root.interval()[1] == pytest.approx(math.sqrt(js.interval()[1]))
    half = one_step_divergence(x, y, pl.divergence("renyi", alpha=0.5), k=15)
    hellinger = one_step_divergence(x, y, "hellinger", k=15)
    assert half.value == pytest.approx(-2 * math.log(1 - hellinger.value))


def test_terms_by_hand_without_the_jackknife():
    d = pl.divergence("kl")
    x, y = normals(60, 2)
    counts = neighbour_origins(x, y, np.array([8]))[:, 0]
    t = (counts + 0.5) / (8.5 - counts)
    at_p = _table(d, 8, math.log(60 / 59), jackknife=False, swapped=False)[counts[:60]]
    at_q = _table(d, 8, math.log(59 / 60), jackknife=False, swapped=True)[counts[60:]]
    assert np.allclose(at_p, np.log(t[:60] * 60 / 59))
    assert np.allclose(at_q, 1 - t[60:] * 59 / 60)


def test_jackknife_removes_the_first_order_bias():
    # Average over binomial counts: the table must be nearly unbiased for f'(t) = log t.
    from scipy.stats import binom

    k, share = 40, 0.4
    chance = binom(k, share).pmf(np.arange(k + 1))
    d, exact = pl.divergence("chi2"), 2 * (share / (1 - share) - 1)
    plain = chance @ _table(d, k, 0.0, jackknife=False, swapped=False) - exact
    better = chance @ _table(d, k, 0.0, jackknife=True, swapped=False) - exact
    assert abs(better) < 0.15 * abs(plain)


def test_kinks_are_seen():
    kinked = ("tv", {}), ("hockey_stick", {"g": 1.0}), ("hockey_stick", {"g": 3.0})
    for name, options in kinked:
        assert has_kink(pl.divergence(name, **options))
    assert has_kink(0.1 * pl.divergence("tv") + pl.divergence("kl"))
    for name in pl.divergences("f"):
        if name not in {"tv", "hockey_stick"}:
            assert not has_kink(pl.divergence(name)), name


def test_total_variation_has_no_interval_and_errs_little():
    e = one_step_divergence(*normals(1500), "tv")
    assert not e.has_interval
    assert "kink" in e.diagnostics["no_interval"]
    assert abs(e.value - 0.3829) < 0.08


def test_negative_values_are_kept():
    values = [one_step_divergence(*normals(200, 1, s, 0.0), "js").value for s in range(20)]
    assert min(values) < 0 < max(values)
    assert one_step_divergence(*normals(200, 1, int(np.argmin(values)), 0.0), "js_distance").value < 0


def test_disjoint_samples_reach_the_upper_bound():
    x, y = normals(300, 1, 0, 1000.0)
    assert one_step_divergence(x, y, "js").value == pytest.approx(math.log(2), abs=0.02)
    assert np.isfinite(one_step_divergence(x, y, "kl").value)


def test_bad_input():
    x, y = normals(50)
    with pytest.raises(ValueError, match="too few"):
        one_step_divergence(x, y, k=100)
    with pytest.raises(ValueError, match="at least 1"):
        one_step_divergence(x, y, k=0)
    with pytest.raises(ValueError, match="discrete or rounded"):
        one_step_divergence(np.round(x), np.round(y), k=3)
    with pytest.raises(ValueError, match="no function of one"):
        one_step_divergence(x, y, "chernoff")
