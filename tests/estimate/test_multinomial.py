from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl
from plogp.estimate.multinomial import multinomial_divergence

P = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
Q = np.array([0.2, 0.25, 0.25, 0.2, 0.1])
NAMES = ["kl", "reverse_kl", "jeffreys", "js", "hellinger", "chi2", "neyman", "le_cam", "tv"]


def many(p, q, n_p, n_q, d, repeats=400, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [
        multinomial_divergence(rng.multinomial(n_p, p), rng.multinomial(n_q, q), d, rng=rng, **options)
        for _ in range(repeats)
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(NAMES))
def test_value_is_the_divergence_of_the_smoothed_frequencies(seed, name):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 30, (2, 6))
    a[0] += 1
    b[1] += 1
    seen = a + b > 0
    p, q = ((c[seen] + 0.5) / (c[seen] + 0.5).sum() for c in (a, b))
    found = multinomial_divergence(a, b, name, null=False)
    assert found.value == pytest.approx(float(pl.divergence(name)(p, q)), rel=1e-10, abs=1e-14)
    low, high = found.interval()
    assert 0 <= low <= high
    padded = multinomial_divergence([*a, 0, 0], [*b, 0, 0], name, null=False)
    assert padded.value == pytest.approx(found.value, rel=1e-12)


def test_direction_is_reference_first():
    found = multinomial_divergence([50, 50], [90, 10], "kl", smoothing=0)
    assert found.value == pytest.approx(0.510826, abs=1e-6)
    assert multinomial_divergence([50, 50], [90, 10], "reverse_kl", smoothing=0).value == pytest.approx(
        0.368064, abs=1e-6
    )


def test_information_value_error_and_bias_against_simulation():
    """The published check: IV .1210, sd .039, delta .0377, bias .0116."""
    found = many(P, Q, 400, 2500, "jeffreys", repeats=600, null=False, smoothing=0)
    values = np.array([e.value for e in found])
    assert float(pl.divergence("jeffreys")(P, Q)) == pytest.approx(0.1210, abs=5e-5)
    assert values.std() == pytest.approx(0.0391, rel=0.08)
    assert np.mean([e.se for e in found]) == pytest.approx(values.std(), rel=0.08)
    bias = np.mean([e.diagnostics["bias"] for e in found])
    assert bias == pytest.approx(0.0116, rel=0.15)
    assert values.mean() - 0.1210 == pytest.approx(bias, abs=0.005)


def test_delta_error_is_the_full_one():
    """Summing over bins as if they were independent gives .026, a third too small."""
    found = multinomial_divergence(np.rint(400 * P), np.rint(2500 * Q), "jeffreys", smoothing=0)
    w = np.log(P / Q)
    g, h = w + 1 - Q / P, -w + 1 - P / Q
    variance = (P @ g**2 - (P @ g) ** 2) / 400 + (Q @ h**2 - (Q @ h) ** 2) / 2500
    assert found.se == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert found.se == pytest.approx(0.0377, abs=0.0005)


@pytest.mark.parametrize("name", ["kl", "jeffreys", "js", "tv"])
def test_null_rejection_rate_is_the_level(name):
    repeats = 400 if name != "tv" else 200
    rejected = np.mean([e.p_value <= 0.05 for e in many(P, P, 400, 2500, name, repeats, num_permutations=99)])
    assert rejected == pytest.approx(0.05, abs=0.027 if repeats == 400 else 0.035)


@pytest.mark.parametrize("name", ["js"])
def test_many_rare_states_without_drift_are_not_flagged(name):
    """300 cities, 1001 rows each, same distribution: the chi-squared law would reject nearly always."""
    u = np.ones(300) / 300
    found = many(u, u, 1001, 1001, name, 80, num_permutations=99)
    assert np.mean([e.p_value <= 0.05 for e in found]) <= 0.10
    assert found[0].diagnostics["test"].startswith("permutation")
    assert np.mean([e.interval()[0] == 0.0 for e in found]) >= 0.9


@pytest.mark.parametrize(
    "name", ["kl", "jeffreys", "js", "hellinger_distance", pytest.param("tv", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("p", "q", "n_p", "n_q"),
    [(P, P, 400, 2500), (P, Q, 400, 2500), (np.ones(12) / 12, 0.9 * np.ones(12) / 12 + 0.1 * np.eye(12)[0], 600, 600)],
)
def test_nominal_95_percent_intervals_cover(name, p, q, n_p, n_q):
    truth = float(pl.divergence(name)(p, q))
    repeats = 100
    hits = 0
    for e in many(p, q, n_p, n_q, name, repeats, null=False):
        low, high = e.interval(0.95)
        hits += low - 1e-12 <= truth <= high + 1e-12
    assert hits / repeats >= 0.92 - 2 * math.sqrt(0.92 * 0.08 / repeats)


def test_total_variation_covers():
    """No expansion holds at a kink: the interval is simulated."""
    hits = 0
    for e in many(P, Q, 400, 400, "tv", 30, null=False):
        low, high = e.interval(0.95)
        hits += low <= 0.15 <= high
    assert hits >= 25


def test_a_sum_and_a_users_own_divergence_work():
    mix = 0.7 * pl.divergence("kl") + 0.3 * pl.divergence("reverse_kl")
    a, b = np.array([30, 50, 20]), np.array([40, 40, 40])
    found = multinomial_divergence(a, b, mix)
    parts = [multinomial_divergence(a, b, name).value for name in ("kl", "reverse_kl")]
    assert found.value == pytest.approx(0.7 * parts[0] + 0.3 * parts[1])
    assert found.p_value < 1
    renyi = multinomial_divergence(a, b, pl.divergence("renyi", alpha=0.5), num_permutations=99, rng=0)
    assert renyi.interval()[0] <= renyi.value <= renyi.interval()[1]


def test_distance_is_a_function_of_the_divergence():
    a, b = np.array([300, 500, 200]), np.array([400, 400, 400])
    js, root = (multinomial_divergence(a, b, name) for name in ("js", "sqrt_js"))
    assert root.value == pytest.approx(math.sqrt(js.value))
    assert root.interval() == pytest.approx(tuple(math.sqrt(v) for v in js.interval()))
    assert root.p_value == pytest.approx(js.p_value)


def test_an_unseen_state_is_infinite_without_smoothing_and_finite_with():
    found = multinomial_divergence([50, 50], [100, 0], "kl", smoothing=0, num_permutations=99, rng=0)
    assert found.value == math.inf
    assert not found.has_interval
    with pytest.raises(ValueError, match="not seen in Q"):
        found.interval()
    assert math.isfinite(multinomial_divergence([50, 50], [100, 0], "kl").value)
    assert math.isfinite(multinomial_divergence([50, 50], [100, 0], "js", smoothing=0).interval()[1])


def test_one_rare_row_changes_no_verdict():
    """A new category at 1 %, then a single row of a rare one on both sides."""
    a, b = np.array([500, 500, 0]), np.array([495, 495, 10])
    one = multinomial_divergence(a, b, "jeffreys", rng=0)
    two = multinomial_divergence([*a, 1], [*b, 1], "jeffreys", rng=0)
    assert two.value == pytest.approx(one.value, rel=0.05)
    assert one.p_value < 0.02
    assert two.p_value < 0.03


def test_bias_correction_on_request():
    plain = multinomial_divergence([40, 30, 30], [30, 40, 30], "js")
    corrected = multinomial_divergence([40, 30, 30], [30, 40, 30], "js", correct_bias=True)
    assert corrected.value == pytest.approx(plain.diagnostics["corrected"])
    assert corrected.value < plain.value


def test_many_states_stay_affordable():
    rng = np.random.default_rng(0)
    a, b = rng.multinomial(60_000, np.ones(100_000) / 100_000, size=2)
    found = multinomial_divergence(a, b, "js", rng=0)
    assert found.diagnostics["test"].startswith("X²")
    assert found.p_value > 0.001


@pytest.mark.parametrize(
    ("p", "q", "options", "words"),
    [
        ([1, 2], [1, 2, 3], {}, "one length, got 2 and 3"),
        ([1, -2], [1, 2], {}, "counts_p contains negative"),
        ([1, 2], [0.5, 2], {}, "counts_q must be whole"),
        ([0, 0], [1, 2], {}, "counts_p sums to 0"),
        ([[1, 2]], [[1, 2]], {}, "one axis"),
        ([1, 2], [1, 2], {"smoothing": -1}, "smoothing"),
        ([1, 2], [1, 2], {"num_permutations": 0}, "num_permutations"),
        ([1, np.nan], [1, 2], {}, "NaN"),
    ],
)
def test_bad_input_is_named(p, q, options, words):
    with pytest.raises(ValueError, match=words):
        multinomial_divergence(p, q, "kl", **options)
