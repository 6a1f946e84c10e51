"""Contraction coefficients: textbook values, Dobrushin by brute force, no random pair above, singular values."""

import numpy as np
import pytest

from plogp.measures.channel import Channel
from plogp.measures.registry import divergence


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.4, 0.5])
def test_binary_symmetric_channel(flip):
    k = Channel([[1 - flip, flip], [flip, 1 - flip]])
    assert k.contraction("tv") == pytest.approx(abs(1 - 2 * flip), abs=1e-12)
    for name in ("chi2", "kl", "le_cam", "hellinger", "js", "reverse_kl"):
        assert k.contraction(name) == pytest.approx((1 - 2 * flip) ** 2, abs=1e-9)
    assert k.maximal_correlation([0.5, 0.5]) == pytest.approx(abs(1 - 2 * flip), abs=1e-12)


def test_erasure_channel_contracts_every_divergence_alike():
    k = Channel([[0.7, 0.3, 0.0], [0.0, 0.3, 0.7]])
    for name in ("tv", "kl", "chi2", "hellinger"):
        assert k.contraction(name) == pytest.approx(0.7, abs=1e-9)


def test_dobrushin_is_the_largest_distance_of_rows():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(4), 6)
    brute = max(0.5 * np.abs(a - b).sum() for a in rows for b in rows)
    assert Channel(rows).contraction("tv") == pytest.approx(brute, abs=1e-12)


@pytest.mark.parametrize("name", ["tv", "chi2", "kl", "hellinger", "js"])
def test_no_pair_of_inputs_beats_the_coefficient(name):
    rng = np.random.default_rng(1)
    d = divergence(name)
    for _ in range(4):
        k = Channel(rng.dirichlet(0.7 * np.ones(3), 4))
        eta = k.contraction(name)
        p, q = (rng.dirichlet(0.3 * np.ones(4), 3000) for _ in range(2))
        near = 0.99 * p + 0.01 * q
        for a, b in ((p, q), (near, p)):
            before, after = d(a, b), d(k(a), k(b))
            keep = np.isfinite(before) & (before > 1e-9)
            assert np.max(after[keep] / before[keep]) <= eta + 1e-9
        assert eta <= k.contraction("tv") + 1e-12


def test_operator_convex_divergences_share_the_coefficient_of_chi2():
    rng = np.random.default_rng(2)
    k = Channel(rng.dirichlet(np.ones(3), 3))
    chi2 = k.contraction("chi2")
    for name in ("kl", "reverse_kl", "js", "hellinger", "le_cam"):
        assert k.contraction(name) == pytest.approx(chi2, rel=1e-6)


def test_with_a_source_chi2_is_the_squared_singular_value():
    rng = np.random.default_rng(3)
    k, px = Channel(rng.dirichlet(np.ones(4), 3)), rng.dirichlet(np.ones(3))
    py = k(px)
    scaled = np.sqrt(px)[:, None] * k.matrix / np.sqrt(py)
    values = np.linalg.svd(scaled, compute_uv=False)
    assert values[0] == pytest.approx(1.0)
    assert k.contraction("chi2", px) == pytest.approx(values[1] ** 2, rel=1e-7)
    assert k.maximal_correlation(px) == pytest.approx(values[1], rel=1e-12)
    assert k.contraction("chi2", px) <= k.contraction("kl", px) + 1e-9 <= k.contraction("kl") + 1e-6
    assert k.contraction("tv", px) == pytest.approx(k.contraction("tv"), abs=1e-6)


def test_the_two_ends_and_bad_input():
    assert Channel(np.eye(3)).contraction("kl") == pytest.approx(1.0)
    assert Channel([[0.3, 0.7]] * 3).contraction("kl") == pytest.approx(0.0, abs=1e-15)
    assert Channel([[0.3, 0.7]]).contraction("tv") == 0.0
    assert Channel([[0.3, 0.7]] * 3).maximal_correlation([0.2, 0.2, 0.6]) == pytest.approx(0.0, abs=1e-15)
    with pytest.raises(TypeError, match="f-divergence"):
        Channel(np.eye(2)).contraction(divergence("renyi", alpha=2.0))
    with pytest.raises(ValueError, match="positive everywhere"):
        Channel(np.eye(2)).contraction("kl", px=[1.0, 0.0])
