"""The ∞-gram model against a search through the corpus."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.text import InfGram
from plogp.text.infgram import suffix_array


def brute(documents, context):
    for length in range(len(context), -1, -1):
        suffix = tuple(context[len(context) - length :])
        after = [d[i + length] for d in documents for i in range(len(d) - length) if tuple(d[i : i + length]) == suffix]
        if after:
            return length, after
    raise AssertionError


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=15), min_size=1, max_size=4),
    st.lists(st.integers(0, 3), max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_against_brute_force(documents, context):
    model = InfGram([np.array(d) for d in documents], vocabulary_size=4)
    length, after = brute(documents, context)
    found = model.continuations(context)
    assert found.length == length
    tokens, counts = np.unique(after, return_counts=True)
    np.testing.assert_array_equal(found.tokens, tokens)
    np.testing.assert_array_equal(found.counts, counts)
    p = np.exp(model.logprob(context))
    assert p.sum() == pytest.approx(1.0)
    assert p.shape == (4,)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_suffix_array_is_sorted(tokens):
    order = suffix_array(np.array(tokens))
    suffixes = [tuple(tokens[i:]) for i in order]
    assert suffixes == sorted(suffixes)
    assert sorted(order) == list(range(len(tokens)))


def test_kinds_of_corpora():
    ids = np.frombuffer(b"to be or not to be", dtype=np.uint8)
    for corpus in ("to be or not to be", b"to be or not to be", ids, ids.tolist(), torch.tensor(ids.astype(int))):
        model = InfGram(corpus, vocabulary_size=256)
        assert chr(model.continuations("not to").tokens[0]) == " "
        assert model.continuations("not to").length == 6
    several = InfGram(["ab", "ac", "b"])
    assert several.continuations("a").counts.tolist() == [1, 1]
    assert several.continuations("b").length == 0  # b ends two documents: nothing follows it


def test_agreement():
    rng = np.random.default_rng(0)
    corpus = rng.choice(6, 300, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    model = InfGram(corpus)
    own = np.array([model.logprob(corpus[:t]) for t in range(40)])
    assert model.agreement(np.exp(own), corpus[:40]) == 1.0
    assert model.agreement(-np.exp(own), corpus[:40]) == -1.0
    assert abs(model.agreement(rng.normal(size=(40, 6)), corpus[:40])) < 0.4
    with pytest.raises(ValueError, match="must have shape"):
        model.agreement(own[:, :3], corpus[:40])
    with pytest.raises(ValueError, match="no position"):
        model.agreement(np.zeros((5, 6)), corpus[:5])


def test_a_long_corpus_is_fast_enough():
    rng = np.random.default_rng(0)
    corpus = rng.integers(0, 50, 100_000)
    model = InfGram(corpus)
    found = model.continuations(corpus[50_000:50_040])
    assert found.length == 40
    assert corpus[50_040] in found.tokens


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="empty"):
        InfGram("")
    with pytest.raises(ValueError, match="negative id"):
        InfGram([np.array([1, -2])])
    with pytest.raises(ValueError, match="outside a vocabulary"):
        InfGram([np.array([9])], vocabulary_size=5)
    with pytest.raises(ValueError, match="token ids"):
        InfGram("abc").continuations(np.array([0.5]))
