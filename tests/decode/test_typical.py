"""Locally typical sampling against transformers, the paper's rule in a loop, and its optimality."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from transformers import TypicalLogitsWarper

from plogp.decode.typical import Typical


def random_rows(n: int, vocab: int, ties: bool, seed: int) -> np.ndarray:
    g = np.random.default_rng(seed)
    z = g.normal(size=(n, vocab)) * np.exp(g.uniform(-3, 3, (n, 1)))
    z[g.random((n, vocab)) < 0.1] = -np.inf
    z[:, 0] = np.where((z > -np.inf).any(-1), z[:, 0], 0.0)
    return np.round(z) if ties else z


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("mass", [0.05, 0.2, 0.9, 0.99])
def test_mask_of_transformers(mass, ties):
    for vocab in (6, 40, 300):
        z = random_rows(500, vocab, ties, seed=vocab)
        theirs = TypicalLogitsWarper(mass)(None, torch.tensor(z))
        np.testing.assert_array_equal(Typical(mass).filter(z), theirs.numpy())


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_mask_of_transformers_behind_a_temperature(temperature):
    z = random_rows(500, 50, False, seed=1)
    theirs = TypicalLogitsWarper(0.5)(None, torch.tensor(z) / temperature)
    ours = Typical(0.5, temperature=temperature).filter(z)
    np.testing.assert_array_equal(np.isfinite(ours), torch.isfinite(theirs).numpy())
    kept = np.isfinite(ours)
    shift = np.where(kept, theirs.numpy(), 0) - np.where(kept, ours, 0)
    assert all(np.ptp(row[k]) < 1e-9 for row, k in zip(shift, kept))


def test_min_keep_counts_in_the_order_of_deviation():
    z = random_rows(500, 30, False, seed=2)
    theirs = TypicalLogitsWarper(0.05, min_tokens_to_keep=4)(None, torch.tensor(z))
    np.testing.assert_array_equal(Typical(0.05, min_keep=4).filter(z), theirs.numpy())


def test_a_uniform_law_keeps_everything():
    assert np.isfinite(Typical(0.1).filter(np.zeros(50))).all()


def test_the_largest_deviation_is_the_least_that_the_mass_allows():
    g = np.random.default_rng(0)
    for mass in (0.2, 0.5, 0.8):
        for _ in range(20):
            p = g.dirichlet(np.full(7, 0.7))
            d = np.abs(-np.log(p) + (p * np.log(p)).sum())
            kept = np.isfinite(Typical(mass).filter(np.log(p)))
            assert p[kept].sum() >= mass - 1e-12
            best = min(
                d[list(c)].max() for k in range(1, 8) for c in combinations(range(7), k) if p[list(c)].sum() >= mass
            )
            assert d[kept].max() == pytest.approx(best)


@pytest.mark.parametrize("bad", [{"mass": 0}, {"mass": 1.2}, {"temperature": 0}, {"min_keep": 0}])
def test_parameters_out_of_range(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Typical(**bad)
