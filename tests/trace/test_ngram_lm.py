"""`NGramLM` against counts by hand, and against the law it was drawn from."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.trace.ngram_lm import NGramLM
from plogp.trace.predictors import MarkovLM, Predictor
from plogp.trace.tracing import trace

SMOOTHINGS = ("interpolated", "witten-bell", "add")


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=4),
    context=st.lists(st.integers(0, 4), max_size=4),
    order=st.integers(1, 4),
    smoothing=st.sampled_from(SMOOTHINGS),
)
def test_laws_sum_to_one_and_leave_nothing_out(texts, context, order, smoothing):
    lm = NGramLM(order, 5, smoothing).fit(texts)
    p = np.exp(lm.next(context))
    assert p.sum() == pytest.approx(1.0, abs=1e-10)
    assert (p > 0).all()


def by_hand(texts, context, v, order, smoothing, delta, weights, size):
    def count(h, w):
        return sum(t[i : i + len(h) + 1] == [*h, w] for t in texts for i in range(len(t)))

    def law(h):
        return np.array([count(h, w) for w in range(size)], dtype=float)

    contexts = [context[len(context) - m :] for m in range(min(order - 1, len(context)) + 1)]
    if smoothing == "add":
        c = law(contexts[-1])
        return ((c + delta) / (c.sum() + delta * size))[v]
    if smoothing == "witten-bell":
        p = np.full(size, 1 / size)
        for h in contexts:
            c = law(h)
            if c.sum():
                p = (c + (c > 0).sum() * p) / (c.sum() + (c > 0).sum())
        return p[v]
    c = law([])
    p, mass = weights[0] * (c + delta) / (c.sum() + delta * size), weights[0]
    for m, h in enumerate(contexts[1:], 1):
        c = law(h)
        if c.sum():
            p, mass = p + weights[m] * c / c.sum(), mass + weights[m]
    return (p / mass)[v]


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_counts_by_hand(smoothing):
    texts = np.random.default_rng(0).integers(0, 3, (3, 8)).tolist()
    weights = np.array([0.2, 0.3, 0.5]) if smoothing == "interpolated" else None
    lm = NGramLM(3, 3, smoothing, delta=0.3, weights=weights).fit(texts)
    for context in itertools.chain.from_iterable(itertools.product(range(3), repeat=k) for k in range(4)):
        for v in range(3):
            want = by_hand(texts, list(context), v, 3, smoothing, 0.3, weights, 3)
            assert np.exp(lm.next(context))[v] == pytest.approx(want, rel=1e-12)


def test_fitted_weights_are_those_of_held_out_ngrams():
    chain = MarkovLM.random(12, 2.0, rng=0)
    lm = NGramLM(3, 12).fit(chain.sample(30, 60, rng=1))
    w = lm.weights
    assert w.sum() == pytest.approx(1.0)
    assert (w > 0).all()
    assert w[1] > 0.6  # a chain of order 1: pairs carry it
    test = chain.sample(30, 60, rng=2)
    mean = {
        tuple(g): -np.mean([NGramLM(3, 12, weights=g).fit(chain.sample(30, 60, rng=1)).logprob(t).mean() for t in test])
        for g in ([1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3])
    }
    fitted = -np.mean([lm.logprob(t).mean() for t in test])
    assert fitted < min(mean.values())


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_it_learns_the_chain(smoothing):
    chain = MarkovLM.random(5, 1.5, rng=0)
    lm = NGramLM(2, 5, smoothing).fit(chain.sample(40, 250, rng=1))
    t = trace(lm, chain.sample(20, 100, rng=2))
    assert t.estimate("mean_nll").value == pytest.approx(chain.entropy_rate, abs=0.03)


def test_training_in_pieces_is_training_at_once():
    x = MarkovLM.random(6, rng=0).sample(6, 20, rng=1)
    whole, parts = NGramLM(3, 6).fit(x), NGramLM(3, 6)
    parts.next([1])  # what was kept before training is forgotten
    for row in x:
        parts.partial_fit(row)
    np.testing.assert_allclose(parts.next([1, 2]), whole.next([1, 2]))
    assert parts.fingerprint() == whole.fingerprint()
    assert parts.n_tokens == 120
    assert whole.fit(x[:1]).n_tokens == 20
    assert isinstance(whole, Predictor)


def test_the_forms_that_sequences_take():
    rows = [[1, 2, 0], [2, 2, 1]]
    want = NGramLM(2, 3).fit(rows).fingerprint()
    assert NGramLM(2, 3).fit(np.array(rows)).fingerprint() == want
    assert NGramLM(2, 3).fit(iter(rows)).fingerprint() == want
    assert NGramLM(2, 3).fit(rows[0]).fingerprint() == NGramLM(2, 3).fit([rows[0]]).fingerprint()
    for bad, error in (("abc", TypeError), ([[0.5]], TypeError), ([[3]], ValueError), (7, TypeError)):
        with pytest.raises(error):
            NGramLM(2, 3).fit(bad)


def test_texts_that_start_with_bos():
    lm = NGramLM(2, 4, "add", delta=0.01, bos_id=3).fit([[0, 1], [0, 2], [3, 0, 1]])
    assert lm.n_tokens == 6
    t = trace(lm, [[0, 1]])
    assert np.exp(t.logprob[0]) > 0.95  # the first token of every text is 0
    np.testing.assert_allclose(t.logprob, lm.logprob([0, 1]))
    np.testing.assert_allclose(trace(lm, [[3, 0, 1]]).logprob, t.logprob)
    assert (lm.sample(50, 1, rng=0) == 0).mean() > 0.9
    assert t.meta["bos_id"] == 3


def test_samples_follow_the_counts():
    lm = NGramLM(2, 3, "witten-bell").fit(MarkovLM.random(3, 1.0, rng=0).sample(5, 50, rng=1))
    x = lm.sample(400, 20, rng=0)
    assert (x == lm.sample(400, 20, rng=0)).all()
    pairs = Counter(zip(x[:, :-1].ravel().tolist(), x[:, 1:].ravel().tolist()))
    for a in range(3):
        total = sum(pairs[a, b] for b in range(3))
        np.testing.assert_allclose([pairs[a, b] / total for b in range(3)], np.exp(lm.next([a])), atol=0.04)
    assert NGramLM(1, 3).fit([[0, 1]]).sample(2, 3, rng=0).shape == (2, 3)


def test_without_training_all_tokens_are_equal():
    for smoothing in SMOOTHINGS:
        np.testing.assert_allclose(np.exp(NGramLM(3, 4, smoothing).next([1, 2, 3])), 0.25)
    np.testing.assert_allclose(np.exp(NGramLM(3, 4, "interpolated", delta=0.0).next([1])), 0.25)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": 0, "vocab_size": 3}, "order"),
        ({}, "vocab_size"),
        ({"vocab_size": 3, "smoothing": "kneser-ney"}, "smoothing"),
        ({"vocab_size": 3, "smoothing": "add", "delta": 0.0}, "delta"),
        ({"vocab_size": 3, "weights": [0.5, 0.5]}, "3 numbers"),
        ({"vocab_size": 3, "weights": [1, 0, 0], "smoothing": "add"}, "weights are for"),
        ({"vocab_size": 3, "bos_id": 3}, "bos_id"),
    ],
)
def test_wrong_settings(options, words):
    with pytest.raises(ValueError, match=words):
        NGramLM(**options)
