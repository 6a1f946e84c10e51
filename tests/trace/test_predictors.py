"""Predictors whose laws are known exactly, against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.estimate.tasks.sequences import stationary
from plogp.measures import entropy
from plogp.trace.predictors import (
    ArrayPredictor,
    MarkovLM,
    MixturePredictor,
    Predictor,
    Session,
    TopKPredictor,
    as_ids,
    draw,
    session,
    zip_blocks,
)


def rows(predictor, ids, context=()):
    return np.concatenate([r for _, r in predictor.blocks(ids, context)])


@settings(max_examples=20, deadline=None)
@given(v=st.integers(2, 5), order=st.integers(1, 3), seed=st.integers(0, 99))
def test_the_chain_rule_over_all_texts_sums_to_one(v, order, seed):
    lm = MarkovLM.random(v, 2.0, order, rng=seed)
    length = 4 if v < 4 else 3
    total = 0.0
    for ids in itertools.product(range(v), repeat=length):
        log_p = rows(lm, ids)
        assert log_p.shape == (length, v)
        total += math.exp(sum(log_p[t][y] for t, y in enumerate(ids)))
    assert total == pytest.approx(1.0, abs=1e-10)


@settings(max_examples=20, deadline=None)
@given(v=st.integers(2, 6), order=st.integers(1, 2), seed=st.integers(0, 99))
def test_the_stationary_law_is_stationary(v, order, seed):
    lm = MarkovLM.random(v, 3.0, order, rng=seed)
    moved = (lm.initial[..., None] * lm.transition).sum(axis=0)
    np.testing.assert_allclose(moved, lm.initial, atol=1e-12)
    if order == 1:
        np.testing.assert_allclose(lm.initial, stationary(lm.transition), atol=1e-9)


def test_a_large_chain_finds_its_stationary_law_too():
    lm = MarkovLM.random(45, 1.0, 2, rng=0)  # 2025 pairs: by iteration
    np.testing.assert_allclose((lm.initial[..., None] * lm.transition).sum(axis=0), lm.initial, atol=1e-12)


def test_rates():
    p = np.array([[0.9, 0.1], [0.5, 0.5]])
    lm, other = MarkovLM(p), MarkovLM([[0.6, 0.4], [0.2, 0.8]])
    pi = stationary(p)
    assert lm.entropy_rate == pytest.approx(float(pi @ entropy(p)))
    kl = (p * np.log(p / other.transition)).sum(axis=1)
    assert lm.kl_rate(other) == pytest.approx(float(pi @ kl))
    assert lm.kl_rate(lm) == pytest.approx(0.0, abs=1e-12)
    never = MarkovLM([[1.0, 0.0], [0.5, 0.5]])
    assert lm.kl_rate(never) == math.inf
    with pytest.raises(ValueError, match="chain of shape"):
        lm.kl_rate(MarkovLM.random(3, rng=0))


def test_samples_follow_the_chain():
    lm = MarkovLM.random(3, 1.5, 2, rng=0)
    x = lm.sample(3000, 12, rng=1)
    assert x.shape == (3000, 12)
    assert (lm.sample(5, 4, rng=7) == lm.sample(5, 4, rng=7)).all()
    first = np.bincount(x[:, 0] * 3 + x[:, 1], minlength=9) / 3000
    np.testing.assert_allclose(first, lm.initial.ravel(), atol=0.035)
    for t in (2, 11):
        past = (x[:, t - 2] == 1) & (x[:, t - 1] == 2)
        law = np.bincount(x[past, t], minlength=3) / past.sum()
        np.testing.assert_allclose(law, lm.transition[1, 2], atol=4 / math.sqrt(past.sum()))


def test_a_token_of_probability_zero_is_never_drawn():
    class Low:
        def random(self, shape):
            return np.zeros(shape)

    class High:
        def random(self, shape):
            return np.full(shape, np.nextafter(1.0, 0.0))

    log_p = np.log(
        np.array([[1e-300, 0.7, 0.3, 1e-300]]) * [0, 1, 1, 0] + 0.0, where=[[0, 1, 1, 0]], out=np.full((1, 4), -np.inf)
    )
    assert draw(log_p, Low()).tolist() == [1]
    assert draw(log_p, High()).tolist() == [2]


def test_temperature_and_noise():
    lm = MarkovLM.random(4, rng=0)
    np.testing.assert_allclose(lm.tempered(1.0).transition, lm.transition, atol=1e-12)
    assert lm.tempered(0.3).entropy_rate < lm.entropy_rate < lm.tempered(3.0).entropy_rate
    assert lm.perturbed(0.0, rng=0).transition == pytest.approx(lm.transition)
    assert 0 < lm.kl_rate(lm.perturbed(0.1, rng=0)) < lm.kl_rate(lm.perturbed(1.0, rng=0))
    zero = MarkovLM([[0.0, 1.0], [0.5, 0.5]])
    assert zero.perturbed(1.0, rng=0).transition[0, 0] == 0
    assert zero.tempered(2.0).transition[0, 0] == 0
    for t in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            lm.tempered(t)


def test_chains_that_are_none():
    for bad, words in (
        ([[0.5, 0.5]], "shape"),
        ([[0.5, 0.6], [0.5, 0.5]], "sum to 1"),
        ([[1.5, -0.5], [0.5, 0.5]], "probabilities"),
        ([[math.nan, 1], [0.5, 0.5]], "probabilities"),
    ):
        with pytest.raises(ValueError, match=words):
            MarkovLM(bad)
    with pytest.raises(ValueError, match="several stationary laws"):
        MarkovLM(np.eye(2))
    stays = MarkovLM(np.eye(2), initial=[0.25, 0.75])
    np.testing.assert_allclose(np.exp(stays.next([])), [0.25, 0.75])
    with pytest.raises(ValueError, match="initial must have shape"):
        MarkovLM(np.eye(2), initial=[1.0])
    transient = MarkovLM([[0.5, 0.5], [0.0, 1.0]])
    np.testing.assert_allclose(transient.initial, [0.0, 1.0], atol=1e-15)
    periodic = MarkovLM([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(periodic.initial, [0.5, 0.5])
    assert periodic.entropy_rate == 0.0


def test_contexts_are_what_came_before():
    lm = MarkovLM.random(4, 2.0, 2, rng=3)
    ids = lm.sample(1, 9, rng=0)[0]
    np.testing.assert_array_equal(rows(lm, ids[3:], ids[:3]), rows(lm, ids)[3:])
    for t in range(9):
        np.testing.assert_array_equal(lm.next(ids[:t]), rows(lm, ids)[t])
    assert isinstance(lm, Predictor)


def test_stored_logits():
    z = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    lm = ArrayPredictor(z)
    np.testing.assert_array_equal(rows(lm, [0, 1, 2], [3]), z[1:4])
    np.testing.assert_array_equal(lm.next([1, 1]), z[2])
    with pytest.raises(ValueError, match="token 7 was asked for"):
        lm.next([0] * 6)
    for bad in (np.full((2, 3), np.nan), np.full(3, -np.inf), np.zeros((1, 2, 3)), [math.inf, 0.0]):
        with pytest.raises(ValueError, match="logits"):
            ArrayPredictor(bad)
    assert ArrayPredictor([0.0, -math.inf]).next([]).tolist() == [0.0, -math.inf]
    assert lm.fingerprint() != ArrayPredictor(z + 1).fingerprint()


def test_mixtures():
    a, b = MarkovLM.random(4, 2.0, rng=0), MarkovLM.random(4, 2.0, 2, rng=1)
    ids = a.sample(1, 7, rng=2)[0]
    mix = MixturePredictor([a, b], [0.25, 0.75])
    want = np.log(0.25 * np.exp(rows(a, ids)) + 0.75 * np.exp(rows(b, ids)))
    np.testing.assert_allclose(rows(mix, ids), want, atol=1e-12)
    np.testing.assert_allclose(mix.next(ids[:5]), want[5], atol=1e-12)
    one = MixturePredictor([a, ArrayPredictor([0.0, -math.inf, -math.inf, -math.inf])], [1.0, 0.0])
    np.testing.assert_allclose(rows(one, ids), rows(a, ids), atol=1e-12)
    for bad, words in (([], "at least one"), ([a, MarkovLM.random(3, rng=0)], "vocabularies")):
        with pytest.raises(ValueError, match=words):
            MixturePredictor(bad)
    with pytest.raises(ValueError, match="weights"):
        MixturePredictor([a, b], [0.5, 0.6])


def test_blocks_are_cut_to_common_slices():
    def cut(edges, width=2):
        return [(slice(a, b), np.arange(a, b)[:, None] * np.ones(width)) for a, b in itertools.pairwise(edges)]

    found = list(zip_blocks(cut([0, 4, 9]), cut([2, 3, 9]), cut([0, 1, 6])))
    assert [(w.start, w.stop) for w, *_ in found] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 6), (6, 9)]
    for where, own, (second, third) in found:
        np.testing.assert_array_equal(own[:, 0], np.arange(where.start, where.stop))
        assert (second is None) == (where.start < 2)
        assert (third is None) == (where.start >= 6)
        for part in (second, third):
            if part is not None:
                np.testing.assert_array_equal(part, own)


def test_sessions():
    lm = MarkovLM.random(5, 2.0, 2, rng=0)
    s = session(lm, [1, 2])
    assert type(s) is Session
    assert len(s) == 2
    fed = s.feed([3, 4])
    np.testing.assert_array_equal(fed[0], lm.next([1, 2, 3]))
    np.testing.assert_array_equal(s.logits, lm.next([1, 2, 3, 4]))
    other = s.copy()
    other.feed(0)
    s.rewind(3)
    np.testing.assert_array_equal(s.logits, lm.next([1]))
    assert s.ids.tolist() == [1]
    assert other.ids.tolist() == [1, 2, 3, 4, 0]
    s.rewind(0)
    assert s.feed([]).shape == (0, 5)
    for bad in (2, -1):
        with pytest.raises(ValueError, match="n must lie"):
            s.rewind(bad)
    with pytest.raises(ValueError, match="tokens"):
        s.feed([5])


def test_ids_are_checked():
    assert as_ids([]).dtype == np.int64
    assert as_ids(np.array([3], np.uint8)).tolist() == [3]
    for bad, error in (
        ([0.5], TypeError),
        ([[1]], ValueError),
        ([-1], ValueError),
        ([9], ValueError),
        ([True], TypeError),
    ):
        with pytest.raises(error):
            as_ids(bad, 9)


def test_partial_answers():
    lm = TopKPredictor([{1: -0.5, 2: -1.5}, {0: -0.1, 3: -4.0}], 4)
    assert lm.answers([], [1]) == [{1: -0.5, 2: -1.5}]
    with pytest.raises(ValueError, match="token 3 was asked for"):
        lm.answers([1, 2], [0])
    for bad in ([{}], [{9: -1.0}], [{1: 0.5}]):
        with pytest.raises(ValueError, match="must map ids"):
            TopKPredictor(bad, 4).answers([], [1])
    for call in (lambda: lm.next([]), lambda: lm.blocks([1])):
        with pytest.raises(ValueError, match="whole law"):
            call()
