"""Mirostat: the authors' formulas in a loop, the telescoping identity, and control in a world of known laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl
from plogp.decode.mirostat import Mirostat, MirostatV2, zipf_exponent
from plogp.decode.truncation import TopK


def zipf_world(seed: int, vocab: int = 500, rows: int = 32) -> pl.trace.MarkovLM:
    """A chain whose rows are Zipf laws of several exponents over shuffled tokens."""
    g = np.random.default_rng(seed)
    table = np.empty((vocab, vocab))
    kinds = [np.arange(1, vocab + 1) ** -s for s in g.uniform(1.05, 1.6, rows)]
    for v in range(vocab):
        table[v, g.permutation(vocab)] = kinds[g.integers(rows)]
    return pl.trace.MarkovLM(table / table.sum(-1, keepdims=True), initial=np.full(vocab, 1 / vocab))


def paper_k(p: np.ndarray, mu: float, vocab: int) -> int:
    """The released program's estimate, digit by digit."""
    p = sorted(p, reverse=True)
    num = den = 0.0
    for i in range(100):
        b, t = p[i] / p[i + 1], (i + 2) / (i + 1)
        num += math.log(b) * math.log(t)
        den += math.log(t) ** 2
    s = num / den
    eps = s - 1
    return round(((eps * 2**mu) / (1 - vocab ** (-eps))) ** (1 / s)) + 1


def test_k_is_that_of_the_released_program():
    g = np.random.default_rng(0)
    for _ in range(100):
        p = np.exp(g.normal(size=300) * g.uniform(0.5, 3))
        p /= p.sum()
        mu = g.uniform(0.5, 9)
        expected = min(paper_k(p, mu, 300), 300)
        sampler = Mirostat(2.0)
        assert np.isfinite(sampler.filter(np.log(p)[None], np.array([mu]))).sum() == expected
        fixed = Mirostat(2.0, vocab_size=50000)
        assert np.isfinite(fixed.filter(np.log(p)[None], np.array([mu]))).sum() == min(paper_k(p, mu, 50000), 300)


def test_the_exponent_of_an_exact_zipf_law_is_found():
    for s in (0.3, 1.0, 1.7):
        z = -s * np.log(np.arange(1, 400))[None]
        assert float(zipf_exponent(np, z)[0]) == pytest.approx(s, abs=1e-12)


def test_the_limit_at_exponent_one_is_continuous():
    sampler = Mirostat(3.0)
    near = [sampler.sizes(np.array([s]), np.array([8.0]), 1000)[0] for s in (1 - 1e-6, 1.0, 1 + 1e-6)]
    assert near == [round(2**8 / math.log(1000)) + 1] * 3


def test_zeros_end_the_fit_and_flat_laws_keep_all():
    z = -1.4 * np.log(np.arange(1, 41))
    cut = np.where(np.arange(40) < 10, z, -np.inf)[None]
    assert float(zipf_exponent(np, cut)[0]) == pytest.approx(1.4)
    assert np.isnan(zipf_exponent(np, np.array([[0.0, -np.inf, -np.inf]]))[0])
    assert np.isfinite(Mirostat(1.0).filter(np.zeros((1, 30)))).all()
    only = Mirostat(1.0).filter(np.array([[0.0, -np.inf]]))
    assert only.tolist() == [[0.0, -np.inf]]


def test_v2_keeps_what_is_within_mu():
    p = np.array([0.5, 0.25, 0.2, 0.05])
    state = np.array([2.0])
    assert np.isfinite(MirostatV2(1.0).filter(np.log(p)[None], state))[0].tolist() == [True, True, False, False]
    assert np.isfinite(MirostatV2(1.0).filter(np.log(p)[None], np.array([-5.0])))[0].tolist() == [True] + [False] * 3


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-40, -1e-3), min_size=1, max_size=60),
    st.floats(0.1, 8),
    st.floats(0.01, 2),
    st.sampled_from([2.0, math.e]),
)
def test_the_steps_telescope(logprobs, target, rate, base):
    sampler = MirostatV2(target, rate, base=base)
    first = state = sampler.init_state(1)
    for x in logprobs:
        state = sampler.observe([0], [x], state)
    mean = np.mean([-x / math.log(base) for x in logprobs])
    assert mean - target == pytest.approx(float((first - state)[0]) / (rate * len(logprobs)), abs=1e-9)


@pytest.mark.parametrize("make", [Mirostat, MirostatV2])
def test_the_mean_surprisal_meets_the_target(make):
    lm = zipf_world(0)
    for target in (2.0, 3.0):
        out = pl.decode.generate(lm, [0], make(target_surprise=target, learning_rate=1.0), 250, num_samples=2, rng=1)
        bits = out.trace.to("bits").mean_nll()
        assert np.abs(bits - target).max() < 0.06
    plain = pl.decode.generate(lm, [0], TopK(5), 250, num_samples=2, rng=1).trace.to("bits").mean_nll()
    assert np.abs(plain - 3.0).min() > 0.1


def test_nats_and_bits_are_one_controller():
    lm = zipf_world(1, vocab=120)
    a = pl.decode.generate(lm, [0], MirostatV2(2.0), 60, rng=3)
    b = pl.decode.generate(lm, [0], MirostatV2(2.0 * math.log(2), base=math.e), 60, rng=3)
    np.testing.assert_array_equal(a.ids[0], b.ids[0])


def test_an_unreachable_target_leaves_the_model_alone():
    lm = pl.trace.MarkovLM.random(8, 1.0, rng=0)
    out = pl.decode.generate(lm, [0], Mirostat(10.0), 50, rng=0)
    assert (out.n_kept[0] == 8).all()


def test_state_of_another_batch_is_an_error():
    with pytest.raises(ValueError, match="one per row"):
        Mirostat(3.0).filter(np.zeros((2, 9)), np.zeros(3))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"target_surprise": 0}, ValueError),
        ({"learning_rate": -1}, ValueError),
        ({"top": 0}, ValueError),
        ({"base": 1.0}, ValueError),
        ({"target_surprise": "3"}, TypeError),
    ],
)
def test_parameters_out_of_range(bad, error):
    with pytest.raises(error, match=next(iter(bad))):
        Mirostat(**bad)
