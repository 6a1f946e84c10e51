"""Distinct n-grams and the longest repeat, against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.trace.repetition import distinct_ngrams, longest_repeat


def brute(documents):
    best = 0
    places = [(i, k) for i, d in enumerate(documents) for k in range(len(d))]
    for a, (i, k) in enumerate(places):
        for j, m in places[a + 1 :]:
            length = 0
            while (
                k + length < len(documents[i])
                and m + length < len(documents[j])
                and documents[i][k + length] == documents[j][m + length]
            ):
                length += 1
            best = max(best, length)
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abc", max_size=14), min_size=1, max_size=4))
def test_the_longest_repeat_is_that_of_brute_force(documents):
    found = longest_repeat(documents)
    assert found.length == brute(documents)
    (i, k), (j, m) = found.first, found.second
    if found.length:
        assert (i, k) != (j, m)
        assert documents[i][k : k + found.length] == documents[j][m : m + found.length]


def test_token_ids_and_long_runs():
    assert longest_repeat([np.zeros(5000, dtype=int)]).length == 4999
    assert longest_repeat([[1, 2, 3], [2, 3]]) == (2, (0, 1), (1, 0))
    assert longest_repeat([]).length == longest_repeat(["", ""]).length == longest_repeat(["abc"]).length == 0


def test_no_passage_crosses_from_one_document_into_the_next():
    assert longest_repeat(["ab", "cab", "c"]).length == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=9), max_size=4), st.integers(1, 4))
def test_distinct_counts_each_kind_once(sequences, n):
    grams = [tuple(s[i : i + n]) for s in sequences for i in range(len(s) - n + 1)]
    got = distinct_ngrams(sequences, n)
    if grams:
        assert got == pytest.approx(len(set(grams)) / len(grams))
    else:
        assert math.isnan(got)


def test_bad_order():
    with pytest.raises(ValueError, match="n must be at least 1"):
        distinct_ngrams([[1]], 0)
