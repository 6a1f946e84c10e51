"""Contrasts: their formulas written out, what must not change, and the second stream."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl
from plogp.decode.contrast import CAD, USCD, AdaCAD, Contrast, SecondStream, lame_prompt, spread
from plogp.trace.tokens import token_stats


def law(scores):
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def fixed(other):
    return lambda emitted: other


def two(seed=0, n=50, vocab=20):
    g = np.random.default_rng(seed)
    return law(g.normal(0, 2, (n, vocab))), law(g.normal(0, 2, (n, vocab)))


def js(p, q):
    m = (p + q) / 2
    return 0.5 * (p * np.log(p / m)).sum(-1) + 0.5 * (q * np.log(q / m)).sum(-1)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_cad_is_a_product_of_powers(alpha):
    p, q = two()
    expected = p * (p / q) ** alpha
    found = law(CAD(fixed(np.log(q)), alpha).filter(np.log(p)))
    np.testing.assert_allclose(found, expected / expected.sum(-1, keepdims=True), rtol=1e-10)


def test_adacad_weighs_with_the_divergence_in_nats():
    p, q = two(1)
    sampler = AdaCAD(fixed(np.log(q)))
    w = js(p, q)[:, None]
    np.testing.assert_allclose(sampler.weights(np.log(p), np.log(q)), w[:, 0], rtol=1e-10)
    expected = (1 + w) * np.log(p) - w * np.log(q)
    np.testing.assert_allclose(law(sampler.filter(np.log(p))), law(expected), rtol=1e-9)
    floored = AdaCAD(fixed(np.log(q)), floor=0.5).weights(np.log(p), np.log(q))
    np.testing.assert_allclose(floored, np.maximum(w[:, 0], 0.5), rtol=1e-10)


def test_adacad_of_equal_streams_changes_nothing_and_of_disjoint_ones_has_weight_log_2():
    p, _ = two(2)
    np.testing.assert_allclose(law(AdaCAD(fixed(np.log(p))).filter(np.log(p))), p, rtol=1e-12)
    a, b = np.array([[0.0, 0.0, -1e4, -1e4]]), np.array([[-1e4, -1e4, 0.0, 0.0]])
    weight = AdaCAD(fixed(b)).weights(a - math.log(2), b - math.log(2))
    assert weight[0] == pytest.approx(math.log(2), abs=1e-12)


def test_tokens_that_the_second_stream_forbids():
    p = np.array([[0.5, 0.3, 0.2, 0.0]])
    q = np.array([[1.0, 0.0, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        z, y = np.log(p), np.log(q)
    # An infinite ratio: the limit of a vanishing floor keeps those tokens only, in the proportion p^(1 + alpha).
    out = law(CAD(fixed(y), 1.0).filter(z))
    np.testing.assert_allclose(out, [[0, 0.09 / 0.13, 0.04 / 0.13, 0]], rtol=1e-12)
    np.testing.assert_allclose(law(CAD(fixed(y), 0.0).filter(z)), p, rtol=1e-12)
    floored = law(CAD(fixed(np.log(np.maximum(q, 1e-12))), 1.0).filter(z))
    np.testing.assert_allclose(floored, out, atol=1e-9)


def test_uscd_by_hand():
    p = np.array([[0.9, 0.06, 0.03, 0.01], [0.4, 0.3, 0.2, 0.1]])
    q = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.2, 0.2]])
    sampler = USCD(fixed(np.log(q)), theta=0.3, keep=0.6, weights=(1.0, -0.7))
    out = sampler.filter(np.log(p))
    np.testing.assert_allclose(out[0], np.log(p[0]), rtol=1e-12)  # sure: 0.43 > 0.3
    assert np.exp(out[1]).round(12).tolist() == [0.05, 0.23, 0.06, 0.0]  # 0.1 < 0.6 / 4
    relative = USCD(fixed(np.log(q)), theta_rel=0.6, keep=0.6)
    np.testing.assert_array_equal(relative.filter(np.log(p)), out)


def test_uscd_of_equal_streams_scales():
    p, _ = two(3)
    out = USCD(fixed(np.log(p)), theta=1.0, keep=1 / 3).filter(np.log(p))
    kept = p >= 1 / 60
    np.testing.assert_allclose(out[kept], np.log(0.3 * p[kept]), rtol=1e-9)
    assert (out[~kept] == -np.inf).all()
    np.testing.assert_array_equal(out.argmax(-1), p.argmax(-1))


def test_uscd_with_threshold_zero_is_the_main_stream_bit_for_bit():
    p, q = two(4)
    out = USCD(fixed(np.log(q)), theta=0.0).filter(np.log(p))
    np.testing.assert_array_equal(out, pl.measures.arrays.log_softmax(np.log(p)))


def test_uscd_never_empties_a_row():
    p, q = two(5, n=10_000)
    out = USCD(fixed(np.log(q)), theta=1.0, keep=1 / 3, weights=(1.0, -3.0)).filter(np.log(p))
    assert (out > -np.inf).any(-1).all()
    emptied = ((p >= 1 / 60) & (p > 3 * q)).sum(-1) == 0
    assert emptied.any()
    np.testing.assert_array_equal(out[emptied].argmax(-1), p[emptied].argmax(-1))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=40))
def test_the_spread_is_a_function_of_the_collision_entropy(logits):
    z = np.array([logits])
    log_p = pl.measures.arrays.log_softmax(z)
    n = len(logits)
    collision = math.exp(float(token_stats(z, powers=(2,)).power[2][0]))
    assert float(spread(log_p)[0]) ** 2 == pytest.approx((collision - 1 / n) / (n - 1), abs=1e-9)
    assert float(spread(log_p)[0]) == pytest.approx(torch.softmax(torch.tensor(z), -1).std().item(), abs=1e-9)
    assert float(spread(log_p)[0]) <= 1 / math.sqrt(n) + 1e-12


def test_gate_and_weight_of_ones_own():
    p, q = two(6, n=4)
    sampler = Contrast(
        fixed(np.log(q)),
        lambda a, b: np.array([0.0, 1.0, 2.0, 3.0]),
        gate=lambda a, b: np.array([True, True, False, True]),
    )
    found = law(sampler.filter(np.log(p)))
    for i, w in enumerate([0.0, 1.0, 0.0, 3.0]):
        expected = p[i] * (p[i] / q[i]) ** w
        np.testing.assert_allclose(found[i], expected / expected.sum(), rtol=1e-9)


class Counting:
    """A predictor that remembers what it was asked."""

    def __init__(self, lm):
        self.lm, self.vocab_size, self.asked = lm, lm.vocab_size, []

    def next(self, ids):
        self.asked.append(ids.tolist())
        return self.lm.next(ids)

    def blocks(self, ids, context=()):
        return self.lm.blocks(ids, context)


def test_the_second_stream_reads_the_same_tokens_behind_its_own_prompt():
    lm = Counting(pl.trace.MarkovLM.random(6, 1.0, order=2, rng=0))
    stream = SecondStream(lm, [5, 4])
    for emitted in ([[]], [[1]], [[1, 2]], [[1, 2, 3]], [[1, 0]], [[]]):
        found = stream.logits(np.array(emitted, dtype=int))
        np.testing.assert_array_equal(found[0], lm.lm.next([5, 4, *emitted[0]]))
    assert [1, 2] not in lm.asked
    assert lm.asked.count([5, 4, 1]) == 1


def test_the_second_stream_takes_one_prompt_each():
    lm = pl.trace.MarkovLM.random(6, 1.0, order=2, rng=0)
    stream = SecondStream(lm, [[0, 1], [2, 3]])
    found = stream.logits(np.array([[4], [5]]))
    np.testing.assert_array_equal(found, np.stack([lm.next([1, 4]), lm.next([3, 5])]))
    with pytest.raises(ValueError, match="2 prompts for 3 sequences"):
        stream.logits(np.zeros((3, 0), dtype=int))
    with pytest.raises(ValueError, match="vocabulary"):
        SecondStream(lm, [9])


def test_both_streams_get_the_drawn_token_in_generate():
    with_context, without = (pl.trace.MarkovLM.random(8, 1.5, order=2, rng=k) for k in (0, 1))
    seen = []

    def second(emitted):
        seen.append(emitted.copy())
        return np.stack([without.next([0, *row]) for row in emitted])

    a = pl.decode.generate(with_context, [3], AdaCAD(second), 10, num_samples=2, rng=5)
    b = pl.decode.generate(with_context, [3], AdaCAD(SecondStream(without, [0])), 10, num_samples=2, rng=5)
    for i in range(2):
        np.testing.assert_array_equal(a.ids[i], b.ids[i])
        np.testing.assert_array_equal(seen[-1][i], a.ids[i][:-1])


def test_lame_prompts():
    prompt = (
        "from typing import List\n\ndef add(xs: List[int]) -> int:\n    '''Add the numbers.\n\n"
        "    Examples:\n    add([1]) == 1\n    add([1, 2]) == 3\n    '''\n"
    )
    assert lame_prompt(prompt) == (
        "from typing import List\n\ndef add(xs: List[int]) -> int:\n    '''Add the numbers.\n\n    '''\n"
    )
    doctests = 'def f(x):\n    """Double x.\n    >>> f(2)\n    4\n    >>> f(3)\n    6\n    """\n'
    assert lame_prompt(doctests) == 'def f(x):\n    """Double x.\n    """\n'
    for_example = 'def g(s):\n    """ Reverse.\n    For example:\n    g("ab") = "ba"\n    """\n'
    assert lame_prompt(for_example) == 'def g(s):\n    """ Reverse.\n    """\n'
    assert lame_prompt("no examples here\n") == "no examples here\n"
    assert lame_prompt("keep [cut] keep", r"\[.*?\] ") == "keep keep"
    with pytest.raises(ValueError, match="not a valid pattern"):
        lame_prompt("x", "(")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Contrast(3), TypeError, "second must be"),
        (lambda: Contrast(fixed(0), -1.0), ValueError, "weight must be"),
        (lambda: Contrast(fixed(0), space="odds"), ValueError, "space must be"),
        (lambda: Contrast(fixed(0), keep=-1), ValueError, "keep must be"),
        (lambda: AdaCAD(fixed(0), floor=2.0), ValueError, "floor must lie"),
        (lambda: USCD(fixed(0), weights=(1.0, 0.5)), ValueError, "weights must be"),
        (lambda: USCD(fixed(0), 0.1, theta_rel=0.2), ValueError, "not both"),
        (lambda: USCD(fixed(0), -0.1), ValueError, "theta must be"),
        (lambda: CAD(fixed(np.zeros((1, 3)))).filter(np.zeros((1, 4))), ValueError, "one vocabulary and batch"),
        (lambda: spread(np.zeros((1, 1))), ValueError, "at least 2 tokens"),
    ],
)
def test_wrong_parameters(make, error, words):
    with pytest.raises(error, match=words):
        make()
