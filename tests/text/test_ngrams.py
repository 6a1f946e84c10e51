import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.spectra import vendi_score
from plogp.text import vendi_ngrams
from plogp.text.ngrams import ngram_similarity, tokenize

TEXTS = ["the cat sat on the mat", "the dog sat on the mat", "rain fell on Rome that day", "the cat sat on the mat"]


def test_against_scikit_learn():
    """The package's ngram_vendi_score, whose imports need a tokenizer download, in four lines."""
    text = pytest.importorskip("sklearn.feature_extraction.text")
    from sklearn.preprocessing import normalize

    kernels = []
    for n in (1, 2, 3):
        X = normalize(
            text.CountVectorizer(
                tokenizer=tokenize, token_pattern=None, lowercase=False, ngram_range=(n, n)
            ).fit_transform(TEXTS)
        )
        kernels.append((X @ X.T).toarray())
    np.testing.assert_allclose(ngram_similarity(TEXTS, (1, 2, 3)), np.mean(kernels, axis=0), atol=1e-12)
    assert vendi_ngrams(TEXTS, (1, 2, 3)) == pytest.approx(vendi_score(np.mean(kernels, axis=0), "precomputed"))


def test_extremes():
    assert vendi_ngrams(["a b c"] * 5) == pytest.approx(1.0)
    assert vendi_ngrams(["a b", "c d", "e f"]) == pytest.approx(3.0)
    assert vendi_ngrams(["a b c d e"] * 3 + ["v w x y z"] * 3, order=2) == pytest.approx(2.0)
    assert vendi_ngrams(["a b", "c d"], weights=[0.9, 0.1], order=math.inf) == pytest.approx(1 / 0.9)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_short_and_empty_texts_keep_a_unit_diagonal(tokens):
    K = ngram_similarity(tokens)
    np.testing.assert_allclose(np.diag(K), 1.0, atol=1e-12)
    assert np.linalg.eigvalsh(K)[0] > -1e-9
    for i, a in enumerate(tokens):
        for j, b in enumerate(tokens):
            if a == b:
                assert K[i, j] == pytest.approx(1.0)
    assert 1 - 1e-9 <= vendi_ngrams(tokens) <= len(tokens) + 1e-9


def test_duplicates_add_nothing():
    assert vendi_ngrams(["hi", "hi", "a longer text here"], n=4) == pytest.approx(
        math.exp(math.log(3) - 2 / 3 * math.log(2))
    )


def test_options():
    assert vendi_ngrams(["A b", "a b"], lowercase=True) == pytest.approx(1.0)
    assert vendi_ngrams(["A b", "a b"]) > 1.2
    assert vendi_ngrams(["abc", "abd"], n=1, tokenizer=list) == pytest.approx(vendi_ngrams(["a b c", "a b d"], n=1))
    assert vendi_ngrams([[1, 2, 3], np.array([1, 2, 4])], n=2) == pytest.approx(vendi_ngrams(["a b c", "a b d"], n=2))
    assert vendi_ngrams(["a b c", "a b d"], n=2) < vendi_ngrams(["a b c", "a b d"], n=3)


@pytest.mark.parametrize(
    ("texts", "n", "error", "match"),
    [
        ("one text", 1, TypeError, "one text"),
        ([], 1, ValueError, "empty"),
        (["a"], 0, ValueError, "positive"),
        (["a"], [], ValueError, "positive"),
        (["a"], 1.5, ValueError, "positive"),
        (["a", 3], 1, TypeError, "text 1"),
    ],
)
def test_bad_input(texts, n, error, match):
    with pytest.raises(error, match=match):
        vendi_ngrams(texts, n)
