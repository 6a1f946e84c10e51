"""Top-k, top-p, min-p, epsilon and eta against transformers' warpers and against loops written here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    MinPLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from plogp.decode.truncation import Epsilon, Eta, MinP, TopK, TopP, first_ranked


def random_rows(n: int, vocab: int, ties: bool, seed: int = 0) -> np.ndarray:
    """Rows of many temperatures; with -inf entries, and ties where asked for."""
    g = np.random.default_rng(seed)
    z = g.normal(size=(n, vocab)) * np.exp(g.uniform(-3, 3, (n, 1)))
    z[g.random((n, vocab)) < 0.1] = -np.inf
    z[:, 0] = np.where((z > -np.inf).any(-1), z[:, 0], 0.0)
    return np.round(z) if ties else z


def masks(ours, theirs, z):
    tensor = torch.tensor(z)
    return ours.filter(z) > -np.inf, (theirs(None, tensor) > -torch.inf).numpy()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (TopK(5), TopKLogitsWarper(5)),
        (TopK(500), TopKLogitsWarper(500)),
        (TopK(2, min_keep=4), TopKLogitsWarper(2, min_tokens_to_keep=4)),
        (MinP(0.13), MinPLogitsWarper(0.13)),
        (MinP(0.0), MinPLogitsWarper(0.0)),
        (Epsilon(0.02), EpsilonLogitsWarper(0.02)),
        (Epsilon(0.9), EpsilonLogitsWarper(0.9)),
        (Epsilon(0.3, min_keep=3), EpsilonLogitsWarper(0.3, min_tokens_to_keep=3)),
        (Eta(0.02), EtaLogitsWarper(0.02)),
        (Eta(0.9), EtaLogitsWarper(0.9)),
    ],
)
def test_masks_of_transformers(ours, theirs, ties):
    for vocab in (7, 50, 300):
        mine, other = masks(ours, theirs, random_rows(1700, vocab, ties, seed=vocab))
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("mass", [0.05, 0.5, 0.9, 1.0])
def test_top_p_has_the_mask_of_transformers_without_ties_and_covers_it_with_them(mass):
    for vocab in (7, 50, 300):
        z = random_rows(900, vocab, ties=False, seed=vocab)
        mine, other = masks(TopP(mass), TopPLogitsWarper(mass), z)
        np.testing.assert_array_equal(mine, other)
        z = random_rows(900, vocab, ties=True, seed=vocab)
        mine, other = masks(TopP(mass), TopPLogitsWarper(mass), z)
        assert (mine | ~other).all()
        # What we keep beyond theirs ties with the least that they keep.
        least = np.where(other, z, np.inf).min(-1, keepdims=True)
        assert (z == least)[mine & ~other].all()
        assert (mine | (z != least) | (z == -np.inf)).all()


def test_the_nucleus_is_the_smallest_set():
    g = np.random.default_rng(1)
    for _ in range(300):
        p = g.dirichlet(np.full(8, 0.5))
        kept = TopP(0.7).filter(np.log(p)) > -np.inf
        assert p[kept].sum() >= 0.7 - 1e-12
        assert p[kept].sum() - p[kept].min() < 0.7 + 1e-12
        assert p[kept].min() >= p[~kept].max(initial=0.0)


def test_eta_by_hand():
    p = np.array([[0.6, 0.3, 0.06, 0.04], [0.97, 0.01, 0.01, 0.01]])
    h = -(p * np.log(p)).sum(-1, keepdims=True)
    for epsilon in (0.9, 0.05, 0.01):
        expected = p >= np.minimum(epsilon, np.sqrt(epsilon) * np.exp(-h))
        expected[:, 0] = True
        np.testing.assert_array_equal(Eta(epsilon).filter(np.log(p)) > -np.inf, expected)


def test_min_keep_keeps_the_most_probable():
    z = np.array([[5.0, 1.0, 3.0, -np.inf]])
    for sampler in (TopP(0.01, 2), MinP(1.0, 2), Epsilon(1.0, 2), Eta(1.0, 2), TopK(1, 2)):
        assert np.isfinite(sampler.filter(z)).tolist() == [[True, False, True, False]]
        assert np.isfinite(type(sampler)(1, 9).filter(z)).sum() == 3


def test_first_ranked_takes_equals_in_order():
    z = np.array([[1.0, 2.0, 1.0, 1.0, 0.0]])
    ranked = -np.sort(-z)
    assert first_ranked(np, z, ranked, np.array([[3]])).tolist() == [[True, True, True, False, False]]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: TopK(0), ValueError, "k must be at least 1"),
        (lambda: TopK(2.5), TypeError, "k must be a whole number"),
        (lambda: TopK(True), TypeError, "k must be a whole number"),
        (lambda: TopP(0.0), ValueError, r"mass must lie in \(0, 1\]"),
        (lambda: TopP(1.1), ValueError, "mass must lie"),
        (lambda: TopP("0.9"), TypeError, "mass must be a number"),
        (lambda: MinP(-0.1), ValueError, r"ratio must lie in \[0, 1\]"),
        (lambda: MinP(np.nan), ValueError, "ratio must lie"),
        (lambda: Epsilon(0), ValueError, "epsilon must lie"),
        (lambda: Eta(2), ValueError, "epsilon must lie"),
        (lambda: TopP(0.9, 0), ValueError, "min_keep must be at least 1"),
    ],
)
def test_parameters_out_of_range(make, error, words):
    with pytest.raises(error, match=words):
        make()
