"""TailMix against the mixture written out."""

from __future__ import annotations

import numpy as np
import pytest

import plogp as pl
from plogp.decode.tail_mix import TailMix


def law(sampler, p):
    with np.errstate(divide="ignore"):
        return np.exp(sampler.filter(np.log(p)))


def test_the_mixture_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25]])
    r = p**0.3
    expected = 0.9 * p + 0.1 * r / r.sum(-1, keepdims=True)
    np.testing.assert_allclose(law(TailMix(0.1, 0.3), p), expected, rtol=1e-12)


def test_it_sums_to_one_and_never_lowers_the_entropy():
    g = np.random.default_rng(0)
    p = g.dirichlet(np.full(30, 0.2), 1000) + 1e-300
    p /= p.sum(-1, keepdims=True)
    for rho, b in ((0.08, 0.5), (0.5, 0.0), (1.0, 0.9)):
        out = law(TailMix(rho, b), p)
        np.testing.assert_allclose(out.sum(-1), 1.0, rtol=1e-12)
        assert (pl.entropy(out, normalize=True) - pl.entropy(p) >= -1e-12).all()


def test_a_reference_brings_lost_tokens_back():
    out = law(TailMix(0.2, 1.0, reference=[1, 1, 2]), np.array([1.0, 1e-320, 0.0]) + 0.0)
    np.testing.assert_allclose(out, [0.85, 0.05, 0.1], rtol=1e-9)


def test_a_band_of_ranks():
    p = np.array([[0.4, 0.3, 0.2, 0.1]])
    np.testing.assert_allclose(law(TailMix(0.5, 0.0, band=(2, 3)), p), [[0.2, 0.4, 0.35, 0.05]], rtol=1e-12)
    np.testing.assert_allclose(law(TailMix(1.0, 1.0, band=(3, 9)), p), [[0, 0, 2 / 3, 1 / 3]], rtol=1e-12)
    with np.errstate(divide="ignore"):
        z = np.log([[0.5, 0.5, 0.0]])
    with pytest.raises(ValueError, match="holds no token"):
        TailMix(0.5, band=(3, 3)).filter(z)


def test_ends_of_the_parameters():
    p = np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(law(TailMix(0.0), p), p, rtol=1e-12)
    np.testing.assert_allclose(law(TailMix(1.0, 0.0), p), [1 / 3] * 3, rtol=1e-12)
    with np.errstate(divide="ignore"):
        out = TailMix(0.3, 0.0).filter(np.log([0.5, 0.5, 0.0]))
    assert out[2] == -np.inf


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"share": -0.1}, "share"),
        ({"power": 1.5}, "power"),
        ({"band": (3, 2)}, "band must be"),
        ({"band": (0, 2)}, "band"),
        ({"reference": [0.0, 0.0]}, "reference"),
        ({"reference": [[1.0]]}, "reference"),
        ({"reference": [1.0, np.nan]}, "reference"),
    ],
)
def test_parameters_out_of_range(bad, words):
    with pytest.raises(ValueError, match=words):
        TailMix(**bad)


def test_a_reference_of_another_vocabulary():
    with pytest.raises(ValueError, match="reference has 2 tokens, logits have 3"):
        TailMix(0.1, reference=[1, 1]).filter(np.zeros(3))
