"""Top-H: its theorems, transformers' rule, the authors' loop, and brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from transformers import TopHLogitsWarper

import plogp as pl
from plogp.decode.top_h import TopH, prefix_entropy


def entropy(p):
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def random_rows(n: int, vocab: int, seed: int) -> np.ndarray:
    g = np.random.default_rng(seed)
    return g.normal(size=(n, vocab)) * np.exp(g.uniform(-2, 2, (n, 1)))


def kept(sampler, p):
    return np.isfinite(sampler.filter(np.log(p)))


def test_the_divergence_of_a_truncation_depends_on_its_mass_only():
    g = np.random.default_rng(0)
    for _ in range(200):
        p = g.dirichlet(np.full(12, 0.5))
        s = g.random(12) < 0.5
        s[g.integers(12)] = True
        gamma = p[s].sum()
        formula = 0.5 * (gamma * np.log(2 * gamma / (1 + gamma)) + (1 - gamma) * np.log(2) + np.log(2 / (1 + gamma)))
        assert float(pl.divergence("js")(p, np.where(s, p, 0) / gamma)) == pytest.approx(formula, abs=1e-12)


def test_the_entropy_of_prefixes_never_falls_and_is_right():
    g = np.random.default_rng(1)
    for _ in range(200):
        p = np.sort(g.dirichlet(np.full(15, 0.3)))[::-1]
        found = prefix_entropy(np, np.log(p)[None])[0]
        assert (np.diff(found) >= -1e-12).all()
        np.testing.assert_allclose(found, [entropy(p[: k + 1] / p[: k + 1].sum()) for k in range(15)], atol=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.8, 1.0])
def test_the_bound_holds_and_the_prefix_is_the_longest(alpha):
    for row in random_rows(200, 40, seed=3):
        p = np.exp(row - row.max())
        p /= p.sum()
        keep = kept(TopH(alpha), p)
        order = np.argsort(-p)
        size = keep.sum()
        assert set(order[:size]) == set(np.flatnonzero(keep))
        if size > 1:
            assert entropy(p[keep] / p[keep].sum()) <= alpha * entropy(p) + 1e-9
        if size < 40:
            longer = order[: size + 1]
            assert entropy(p[longer] / p[longer].sum()) > alpha * entropy(p) - 1e-9


@pytest.mark.parametrize("alpha", [0.2, 0.4, 0.9])
def test_partial_has_the_mask_of_transformers(alpha):
    for vocab in (6, 90, 400):
        z = random_rows(1200, vocab, seed=vocab)
        z[np.random.default_rng(0).random(z.shape) < 0.05] = -np.inf
        z[:, 0] = 0.0
        # An entry of -inf makes transformers' entropy terms 0 * -inf; its mask is compared where that is not so.
        finite = (z > -np.inf).sum(-1) >= min(100, vocab)
        z = z[finite]
        theirs = TopHLogitsWarper(alpha)(None, torch.tensor(z))
        np.testing.assert_array_equal(TopH(alpha, rule="partial").filter(z), theirs.numpy())


def test_partial_keeps_as_many_equals_as_transformers():
    z = np.round(random_rows(2000, 60, seed=5))
    # Not 0.4, of which five equals would make an exact tie that rounding decides.
    theirs = TopHLogitsWarper(0.377)(None, torch.tensor(z)).numpy()
    ours = TopH(0.377, rule="partial").filter(z)
    np.testing.assert_array_equal(np.sort(ours), np.sort(theirs))


def released(p: np.ndarray, alpha: float, top_n: int = 100) -> set[int]:
    """The authors' loop in words: keep adding while the sum of -p log2 p so far is within alpha times that of all."""
    order = [int(i) for i in np.argsort(-p, kind="stable")[:top_n]]
    terms = [-p[i] * np.log2(p[i]) for i in order]
    chosen, spent = {order[0]}, terms[0]
    for i, term in zip(order[1:], terms[1:]):
        spent += term
        if spent > alpha * sum(terms):
            break
        chosen.add(i)
    return chosen


def test_released_is_the_loop_of_the_authors():
    for row in random_rows(200, 150, seed=7):
        p = np.exp(row - row.max())
        p /= p.sum()
        assert set(np.flatnonzero(kept(TopH(0.4, rule="released"), p))) == released(p, 0.4)


def test_the_rules_differ_where_the_tail_is_long():
    p = np.array([[0.5] + [0.5 / 1000] * 1000])
    sizes = [
        int(np.isfinite(TopH(0.4, rule=rule).filter(np.log(p))).sum())
        for rule in ("renormalised", "partial", "released")
    ]
    assert sizes[0] == 100
    assert sizes[1] != sizes[2]


def test_greedy_mass_against_the_best_subset():
    g = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        p = g.dirichlet(np.full(9, 0.6))
        for alpha in (0.4, 0.6):
            bound = alpha * entropy(p)
            best = max(
                p[list(c)].sum()
                for k in range(1, 10)
                for c in combinations(range(9), k)
                if k == 1 or entropy(p[list(c)] / p[list(c)].sum()) <= bound
            )
            shares.append(p[kept(TopH(alpha), p)].sum() / best)
    assert min(shares) >= 0.6
    assert np.mean(shares) >= 0.9


def test_equal_tokens_do_not_break_the_bound():
    assert np.isfinite(TopH(0.5).filter(np.zeros(64))).tolist() == [True] * 8 + [False] * 56


def test_only_the_first_top_n_are_candidates():
    z = np.zeros(64)
    assert np.isfinite(TopH(1.0, top_n=5).filter(z)).sum() == 5
    assert np.isfinite(TopH(1.0, top_n=None).filter(z)).sum() == 64


def test_a_temperature_divides_once():
    z = random_rows(20, 30, seed=9)
    a, b = TopH(0.5, temperature=2.0).filter(z), TopH(0.5).filter(z / 2.0)
    np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
    ok = np.isfinite(a)
    np.testing.assert_allclose((a - a.max(-1, keepdims=True))[ok], (b - b.max(-1, keepdims=True))[ok], atol=1e-12)


@pytest.mark.parametrize("bad", [{"alpha": 0}, {"alpha": 1.5}, {"rule": "other"}, {"top_n": 0}, {"temperature": -1}])
def test_parameters_out_of_range(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        TopH(**bad)
