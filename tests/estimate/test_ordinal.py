import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from plogp.estimate.discrete import entropy_from_counts
from plogp.estimate.ordinal import ordinal_counts, ordinal_patterns, permutation_entropy, weighted_permutation_entropy


def lehmer(window):
    """Number of a pattern by counting, for each value, the later ones that are smaller."""
    m = len(window)
    return sum(math.factorial(m - 1 - i) * sum(window[j] < window[i] for j in range(i + 1, m)) for i in range(m))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=20, max_size=40), st.integers(2, 6), st.integers(1, 3))
def test_codes_match_their_definition_with_ties(values, order, delay):
    codes = ordinal_patterns(values, order, delay)
    rows = len(values) - (order - 1) * delay
    assert codes.tolist() == [lehmer(values[t : t + order * delay : delay][:order]) for t in range(rows)]


@pytest.mark.parametrize("order", [2, 3, 4, 5, 8, 9])
def test_codes_number_the_permutations(order):
    perms = list(itertools.islice(itertools.permutations(range(order)), 800))
    codes = [int(ordinal_patterns(p, order)[0]) for p in perms]
    assert codes == list(range(len(perms)))  # Lehmer codes are the lexicographic rank


@pytest.mark.parametrize(("order", "kind"), [(5, np.uint8), (6, np.uint16), (9, np.uint32), (13, np.int64)])
def test_smallest_type(order, kind):
    falling = ordinal_patterns(np.arange(30.0)[::-1], order)
    assert falling.dtype == kind
    assert int(falling[0]) == math.factorial(order) - 1


def test_blocks_do_not_show():
    x = np.random.default_rng(0).standard_normal((1 << 16) + 1000)
    codes = ordinal_patterns(x, 4, 3)
    at = (1 << 16) - 5
    assert (codes[at : at + 10] == ordinal_patterns(x[at : at + 10 + 9], 4, 3)).all()
    assert ordinal_counts(codes, 4)[1].sum() == len(codes)


@pytest.mark.parametrize(("order", "delay"), [(3, 1), (5, 4)])
def test_plug_in_by_sorting(order, delay):
    x = np.random.default_rng(order).standard_normal(800).cumsum()
    windows = np.stack([x[t : t + order * delay : delay][:order] for t in range(800 - (order - 1) * delay)])
    _, counts = np.unique(np.argsort(windows, axis=1), axis=0, return_counts=True)
    p = counts / counts.sum()
    assert permutation_entropy(x, order, delay, method="plugin").value == pytest.approx(-(p * np.log(p)).sum())


@pytest.mark.slow
@pytest.mark.parametrize("order", [3, 4, 5, 6])
@pytest.mark.parametrize("delay", [1, 4])
def test_plug_in_is_antropys(order, delay):
    antropy = pytest.importorskip("antropy")
    x = np.random.default_rng(order).standard_normal(3000).cumsum()
    mine = permutation_entropy(x, order, delay, method="plugin").to("bits").value
    assert mine == pytest.approx(antropy.perm_entropy(x, order, delay), abs=1e-10)


def test_high_order_counts():
    x = np.random.default_rng(1).standard_normal(500)
    windows = np.lib.stride_tricks.sliding_window_view(x, 10)
    _, counts = np.unique(np.argsort(windows, axis=1), axis=0, return_counts=True)
    p = counts / counts.sum()
    assert permutation_entropy(x, 10, method="plugin").value == pytest.approx(-(p * np.log(p)).sum(), abs=1e-12)


def test_other_strategies_come_from_the_discrete_estimators():
    x = np.random.default_rng(2).standard_normal(400)
    counts = ordinal_counts(ordinal_patterns(x, 3), 3)[1]
    expected = entropy_from_counts(counts, "miller_madow", num_states=6).value
    assert permutation_entropy(x, 3, method="miller_madow").value == pytest.approx(expected, abs=1e-12)


def test_overlap_correction_removes_the_bias_of_white_noise():
    rng = np.random.default_rng(3)
    series = [rng.standard_normal(150) for _ in range(600)]
    plain, right = (
        np.array([permutation_entropy(x, 3, method=m).value for x in series]) - math.log(6)
        for m in ("plugin", "overlap")
    )
    assert plain.mean() < -0.009
    assert abs(right.mean()) < 0.0025


@pytest.mark.parametrize("kind", ["autoregression", "walk"])
def test_coverage(kind):
    rng = np.random.default_rng(4)

    def series(n):
        noise = rng.standard_normal(n)
        return noise.cumsum() if kind == "walk" else lfilter([1], [1, -0.8], noise)

    truth = permutation_entropy(series(2_000_000), 3).value
    inside = [not permutation_entropy(series(500), 3).distinguishable(truth) for _ in range(300)]
    assert 0.90 <= np.mean(inside) <= 0.99


def test_weighted_by_definition():
    x = np.random.default_rng(5).standard_normal(300)
    windows = np.lib.stride_tricks.sliding_window_view(x, 3)
    codes, weights = ordinal_patterns(x, 3), windows.var(axis=1)
    p = np.bincount(codes, weights) / weights.sum()
    assert weighted_permutation_entropy(x, 3).value == pytest.approx(-(p * np.log(p)).sum(), abs=1e-12)


def test_normalised_is_dimensionless():
    x = np.random.default_rng(6).standard_normal(1000)
    plain, normal = permutation_entropy(x), permutation_entropy(x, normalize=True)
    assert normal.unit == ""
    assert normal.value == pytest.approx(plain.value / math.log(6))
    assert normal.interval(0.9)[0] == pytest.approx(plain.interval(0.9)[0] / math.log(6))


def test_monotone_maps_change_nothing():
    x = np.random.default_rng(7).standard_normal(300)
    assert (ordinal_patterns(np.exp(x), 4) == ordinal_patterns(x, 4)).all()
    assert permutation_entropy(-x, 4, method="plugin").value == pytest.approx(
        permutation_entropy(x, 4, method="plugin").value, abs=1e-12
    )


def test_ties():
    flat = np.zeros(200)
    assert permutation_entropy(flat).value == 0.0  # equal values count as rising
    assert permutation_entropy(flat).diagnostics["repeated_values"] == pytest.approx(0.995)
    assert permutation_entropy(flat, ties="random", rng=0).value > 1.6
    with pytest.raises(ValueError, match="199 repeated values"):
        permutation_entropy(flat, ties="raise")
    x = np.arange(200.0)
    assert permutation_entropy(x, ties="raise").value == permutation_entropy(x, ties="random").value == 0.0


def test_hostile_input():
    x = np.random.default_rng(8).standard_normal(100)
    with pytest.raises(ValueError, match="too short"):
        permutation_entropy(x[:5], 6)
    with pytest.raises(ValueError, match="at least 16"):
        permutation_entropy(x[:10], 3)
    with pytest.raises(ValueError, match="NaN"):
        permutation_entropy([*x, np.nan])
    with pytest.raises(ValueError, match="order must be at least 2"):
        permutation_entropy(x, 1)
    with pytest.raises(ValueError, match="at most 20"):
        permutation_entropy(x, 21)
    with pytest.raises(ValueError, match="ties"):
        permutation_entropy(x, ties="drop")
    with pytest.raises(ValueError, match="one series"):
        permutation_entropy(np.c_[x, x])
    with pytest.raises(ValueError, match="constant"):
        weighted_permutation_entropy(np.ones(100))


def test_intervals_stay_within_what_is_possible():
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal(100)
        for estimate in (permutation_entropy, weighted_permutation_entropy):
            for normalize, top in ((False, math.log(6)), (True, 1.0)):
                found = estimate(x, 3, normalize=normalize)
                low, high = found.interval(0.95)
                assert low <= found.value <= high <= max(top, found.value) + 1e-12
    rare = np.r_[np.arange(60.0), 58.5]
    assert permutation_entropy(rare, 3).interval(0.99)[0] >= 0
