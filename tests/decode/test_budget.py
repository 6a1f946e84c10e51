"""BudgetedEntropy: its rule, its telescoping identity, and what it holds."""

from __future__ import annotations

import numpy as np
import pytest

import plogp as pl
from plogp.decode.budget import BudgetedEntropy


def entropy_of(z):
    p = np.exp(z - z.max())
    p = p[p > 0] / p.sum()
    return float(-(p * np.log(p)).sum())


def test_the_longest_prefix_within_the_allowance():
    g = np.random.default_rng(0)
    sampler = BudgetedEntropy(1.0)
    for _ in range(100):
        z = g.normal(0, 2, 30)
        out, state = sampler.step(z[None], sampler.init_state(1))
        size = int(np.isfinite(out).sum())
        order = np.argsort(-z)
        assert set(np.flatnonzero(np.isfinite(out[0]))) == set(order[:size])
        assert entropy_of(z[order[:size]]) <= 1.0 + 1e-12
        assert size == 30 or entropy_of(z[order[: size + 1]]) > 1.0
        assert state["spent"][0] == pytest.approx(entropy_of(z[order[:size]]))


def test_the_steps_telescope():
    g = np.random.default_rng(1)
    sampler = BudgetedEntropy(1.0, 0.2)
    state = sampler.init_state(3)
    spent = np.zeros(3)
    for _ in range(60):
        out, state = sampler.step(g.normal(0, 2, (3, 40)), state)
        spent += [entropy_of(row) for row in out]
        state = sampler.observe([0, 0, 0], [-1.0] * 3, state)
    np.testing.assert_allclose(spent / 60 - 1.0, (1.0 - state["allowance"]) / (0.2 * 60), atol=1e-9)


def test_the_budget_is_met():
    lm = pl.trace.MarkovLM.random(60, 1.5, rng=0)
    for budget in (0.3, 1.5):
        out = pl.decode.generate(lm, [0], BudgetedEntropy(budget), 200, num_samples=2, rng=1)
        assert max(abs(e.mean() - budget) for e in out.drawn_entropy) < 0.03
    plain = pl.decode.generate(lm, [0], None, 200, rng=1)
    assert plain.drawn_entropy[0].mean() > 2.2


def test_a_budget_above_the_model_cuts_nothing_in_the_end():
    lm = pl.trace.MarkovLM.random(10, 2.0, rng=0)
    out = pl.decode.generate(lm, [0], BudgetedEntropy(2.29), 60, rng=0)
    assert (out.n_kept[0][10:] == 10).all()


def test_observe_needs_step_and_ignores_padding():
    sampler = BudgetedEntropy(1.0)
    with pytest.raises(ValueError, match="call step"):
        sampler.observe([0], [-1.0], sampler.init_state(1))
    _, state = sampler.step(np.zeros((2, 8)), sampler.init_state(2))
    after = sampler.observe([0, 0], [-1.0, np.nan], state)
    assert after["allowance"][1] == 1.0
    assert after["allowance"][0] == pytest.approx(1.0 - (np.log(2) - 1.0))


def test_errors():
    with pytest.raises(ValueError, match="budget"):
        BudgetedEntropy(0.0)
    with pytest.raises(ValueError, match="learning_rate"):
        BudgetedEntropy(1.0, np.inf)
    with pytest.raises(ValueError, match="one allowance per row"):
        BudgetedEntropy(1.0).filter(np.zeros((2, 4)), BudgetedEntropy(1.0).init_state(3))
