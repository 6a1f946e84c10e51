"""Diversity of a collection of texts by the n-grams that they share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.spectra.vendi import vendi_score

__all__ = ["ngram_similarity", "tokenize", "vendi_ngrams"]

_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokenize(text: str) -> list[str]:
    """Return words and single punctuation marks.

    >>> tokenize("No, it isn't.")
    ['No', ',', 'it', 'isn', "'", 't', '.']
    """
    return _TOKEN.findall(text)


def ngram_similarity(
    texts: Sequence[Any],
    n: int | Iterable[int] = (1, 2, 3, 4),
    *,
    tokenizer: Callable[[str], Sequence[Any]] | None = None,
    lowercase: bool = False,
) -> npt.NDArray[np.float64]:
    r"""Return the mean over n of the cosine similarities of n-gram counts, for all pairs of texts.

    .. math:: K_{ij} = \frac{1}{|N|} \sum_{n \in N} \cos(c_n(i), c_n(j))

    A text of fewer than n tokens has no n-grams; for that n it is 1 to texts of the very same tokens and 0 to all
    others, so that the diagonal is 1 and equal texts stay equal.

    Parameters
    ----------
    texts : sequence of str, or of token sequences
        Token sequences (lists of strings or ids) are taken as they are.
    n : int or iterable of int
    tokenizer : callable, optional
        Text to tokens; by default `tokenize`.
    lowercase : bool

    Returns
    -------
    array, shape (len(texts), len(texts))

    Raises
    ------
    TypeError
        If `texts` is one string, or holds something that is neither text nor tokens.
    ValueError
        If there are no texts, or an n is not positive.

    Examples
    --------
    >>> ngram_similarity(["a b", "a c"], n=[1, 2])
    array([[1.  , 0.25],
           [0.25, 1.  ]])
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError("texts must be a collection of texts, got one text")
    tokens = [_tokens(text, at, tokenizer, lowercase) for at, text in enumerate(texts)]
    if not tokens:
        raise ValueError("texts is empty")
    orders = list(n) if isinstance(n, Iterable) else [n]
    if not orders or any(not isinstance(m, (int, np.integer)) or isinstance(m, bool) or m < 1 for m in orders):
        raise ValueError(f"n must be a positive integer, or some, got {n!r}")
    total = np.zeros((len(tokens), len(tokens)))
    for m in orders:
        total += _cosine(tokens, int(m))
    return total / len(orders)


def _tokens(text: Any, at: int, tokenizer: Callable[[str], Sequence[Any]] | None, lowercase: bool) -> tuple[Any, ...]:
    if isinstance(text, str):
        return tuple((tokenizer or tokenize)(text.lower() if lowercase else text))
    if isinstance(text, (list, tuple, np.ndarray)):
        return tuple(t.lower() if lowercase and isinstance(t, str) else t for t in text)
    raise TypeError(f"text {at} must be a string or a sequence of tokens, got {type(text).__name__}")


def _cosine(tokens: list[tuple[Any, ...]], n: int) -> npt.NDArray[np.float64]:
    """Return the cosine similarities of the counts of n-grams."""
    from scipy import sparse

    vocabulary: dict[Any, int] = {}
    rows, columns = [], []
    for at, words in enumerate(tokens):
        # What a text without n-grams has instead: the text itself, which equals no n-gram.
        grams = list(zip(*(words[i:] for i in range(n)))) if len(words) >= n else [("whole", words)]
        rows += [at] * len(grams)
        columns += [vocabulary.setdefault((len(words) >= n, gram), len(vocabulary)) for gram in grams]
    counts = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(tokens), len(vocabulary)))
    counts.sum_duplicates()
    size = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    unit = sparse.diags_array(1.0 / size) @ counts
    return np.asarray((unit @ unit.T).toarray())


def vendi_ngrams(
    texts: Sequence[Any],
    n: int | Iterable[int] = (1, 2, 3, 4),
    *,
    order: float = 1.0,
    weights: Any = None,
    tokenizer: Callable[[str], Sequence[Any]] | None = None,
    lowercase: bool = False,
) -> float:
    """Return the Vendi score of texts under the n-gram similarity, averaged over n: how many different texts.

    Parameters
    ----------
    texts, n, tokenizer, lowercase
        As in `ngram_similarity`.
    order, weights
        As in `plogp.spectra.vendi_score`.

    Returns
    -------
    float
        Between 1 (all the same) and len(texts) (no shared n-gram).

    Examples
    --------
    >>> round(vendi_ngrams(["the cat sat", "the cat sat", "rain fell on Rome"]), 4)
    1.8899
    >>> round(vendi_ngrams(["one", "two", "three"], n=1), 6)
    3.0

    Notes
    -----
    The score grows with the number of texts: compare collections of one size. Source: D. Friedman and A. Dieng
    (2023), arXiv 2210.02410. The released code gives a text of fewer than n tokens similarity 0 to itself.
    """
    K = ngram_similarity(texts, n, tokenizer=tokenizer, lowercase=lowercase)
    return float(vendi_score(K, "precomputed", order, weights=weights))
