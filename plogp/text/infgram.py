"""The ∞-gram language model: counts of what followed the longest suffix of the context that was ever seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Continuations", "InfGram"]

Ids = npt.NDArray[np.int64]


class Continuations(NamedTuple):
    """What followed a suffix: its length, the tokens seen after it and how often."""

    length: int
    tokens: Ids
    counts: Ids


def suffix_array(tokens: Ids) -> Ids:
    """Return the start of every suffix in sorted order, by prefix doubling: O(n log² n) time, O(n) memory.

    >>> suffix_array(np.array([2, 1, 3, 1, 3, 1])).tolist()
    [5, 3, 1, 0, 4, 2]
    """
    n = len(tokens)
    rank = np.unique(tokens, return_inverse=True)[1].astype(np.int64).ravel() + 1
    order = np.argsort(rank, kind="stable")
    step = 1
    while step < n:
        second = np.zeros(n, dtype=np.int64)
        second[: n - step] = rank[step:]
        key = rank * (n + 1) + second
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        rank = np.empty(n, dtype=np.int64)
        rank[order] = np.concatenate([[1], 1 + np.cumsum(ordered[1:] != ordered[:-1])])
        if rank[order[-1]] == n:
            break
        step *= 2
    return order


class InfGram:
    r"""A language model that backs off to the longest suffix of the context that a corpus contains.

    .. math:: p(w \mid c) = \frac{\#(s\,w)}{\sum_v \#(s\,v)}, \qquad s \text{ the longest suffix of } c
              \text{ with } \sum_v \#(s\,v) > 0

    The suffix may be empty, then tokens have their overall shares. Nothing is smoothed: a token that never followed
    the suffix has probability 0.

    Parameters
    ----------
    corpus : sequence of token ids, or a sequence of documents (each a sequence of ids or a text)
        A text is read as its UTF-8 bytes. No suffix crosses from one document into the next.
    vocabulary_size : int, optional
        Length of the distributions; by default 256 for texts, else the largest id plus 1.

    Raises
    ------
    ValueError
        For an empty corpus, negative ids, or ids outside the vocabulary.

    Examples
    --------
    >>> model = InfGram("abracadabra")
    >>> found = model.continuations("xabra")
    >>> found.length, [chr(t) for t in found.tokens], found.counts.tolist()
    (4, ['c'], [1])
    >>> float(np.exp(model.logprob("a")[ord("b")]))      # of the four continued a, two by b
    0.5

    References
    ----------
    J. Liu, S. Min, L. Zettlemoyer, Y. Choi and H. Hajishirzi (2024), arXiv 2401.17377. Used as a measure of
    memorisation by M. Z. Li et al. (2025), arXiv 2509.23024.
    """

    def __init__(self, corpus: Any, vocabulary_size: int | None = None):
        documents = [corpus] if _is_document(corpus) else list(corpus)
        if any(isinstance(d, (str, bytes)) for d in documents) and vocabulary_size is None:
            vocabulary_size = 256
        parts = [_ids(d, "corpus") for d in documents]
        parts = [p for p in parts if len(p)]
        if not parts:
            raise ValueError("corpus is empty; expected at least one token")
        largest = max(int(p.max()) for p in parts)
        self.vocabulary_size = largest + 1 if vocabulary_size is None else int(vocabulary_size)
        if largest >= self.vocabulary_size:
            raise ValueError(f"corpus holds the id {largest}, outside a vocabulary of {self.vocabulary_size}")
        # Documents end with a mark below every token, so that no suffix of a context matches across it.
        self._tokens = np.concatenate([np.append(p, -1) for p in parts])
        self._order = suffix_array(self._tokens)

    def _range(self, suffix: Ids) -> tuple[int, int]:
        """Positions in the sorted suffixes that begin with `suffix` (empty range if none does)."""
        low, high = 0, len(self._order)
        for depth, token in enumerate(suffix):
            # Within the range all suffixes share the first `depth` tokens and are sorted by the next.
            low, high = self._narrow(low, high, depth, int(token))
            if low == high:
                break
        return low, high

    def _narrow(self, low: int, high: int, depth: int, token: int) -> tuple[int, int]:
        def first(bound: int) -> int:
            a, b = low, high
            while a < b:
                middle = (a + b) // 2
                at = self._order[middle] + depth
                if (self._tokens[at] if at < len(self._tokens) else -2) < bound:
                    a = middle + 1
                else:
                    b = middle
            return a

        return first(token), first(token + 1)

    def continuations(self, context: Any) -> Continuations:
        """Return the longest suffix of the context that is continued in the corpus, and how it goes on.

        Suffixes of a suffix that occurs occur too, so the longest is found by bisection.
        """
        ids = _ids(context, "context")
        low, high = 0, len(ids)
        best = self._next(ids[:0])
        while low < high:
            middle = (low + high + 1) // 2
            found = self._next(ids[len(ids) - middle :])
            if len(found[0]):
                low, best = middle, found
            else:
                high = middle - 1
        return Continuations(low, *best)

    def _next(self, suffix: Ids) -> tuple[Ids, Ids]:
        low, high = self._range(suffix)
        after = self._order[low:high] + len(suffix)
        after = self._tokens[after[after < len(self._tokens)]]
        tokens, counts = np.unique(after[after >= 0], return_counts=True)
        return tokens, counts.astype(np.int64)

    def logprob(self, context: Any) -> npt.NDArray[np.float64]:
        """Return the log-probability of every token after the context, shape (vocabulary_size,), in nats."""
        found = self.continuations(context)
        out = np.full(self.vocabulary_size, -np.inf)
        out[found.tokens] = np.log(found.counts / found.counts.sum())
        return out

    def agreement(self, log_probs: Any, ids: Any, *, start: int = 1) -> float:
        """Return how far a language model ranks next tokens as this corpus does: the mean rank correlation.

        Spearman's correlation (ties have their mean rank) between the model's distribution and the ∞-gram's, at each
        position of a text, averaged. It rises where a model reproduces its training text.

        Parameters
        ----------
        log_probs : array, shape (tokens, vocabulary)
            Row t is the model's distribution of token t, given those before it; probabilities or logits do as well.
        ids : sequence of int
            The text.
        start : int
            First position used.

        Raises
        ------
        ValueError
            For shapes that do not fit, or no position left.

        Examples
        --------
        >>> corpus = np.random.default_rng(0).integers(0, 5, 200)
        >>> model = InfGram(corpus)
        >>> own = np.array([model.logprob(corpus[:t]) for t in range(50)])
        >>> model.agreement(np.exp(own), corpus[:50])
        1.0
        """
        from scipy import stats

        text = _ids(ids, "ids")
        rows = np.asarray(log_probs, dtype=np.float64)
        if rows.shape != (len(text), self.vocabulary_size):
            raise ValueError(f"log_probs must have shape ({len(text)}, {self.vocabulary_size}), got {rows.shape}")
        if not 0 <= start < len(text):
            raise ValueError(f"start must lie between 0 and {len(text) - 1}, got {start}")
        values = []
        for t in range(start, len(text)):
            mine = stats.rankdata(self.logprob(text[:t]))
            theirs = stats.rankdata(rows[t])
            if np.ptp(mine) == 0 or np.ptp(theirs) == 0:
                continue  # a distribution without order has no rank correlation
            values.append(float(np.corrcoef(mine, theirs)[0, 1]))
        if not values:
            raise ValueError("no position has two distributions with an order; nothing to correlate")
        return float(np.round(np.mean(values), 15))


def _is_document(corpus: Any) -> bool:
    if isinstance(corpus, (str, bytes)):
        return True
    if isinstance(corpus, np.ndarray) or hasattr(corpus, "detach"):
        return bool(corpus.ndim == 1)
    first = corpus[0] if isinstance(corpus, Sequence) and len(corpus) else None
    return isinstance(first, (int, np.integer))


def _ids(document: Any, name: str) -> Ids:
    if isinstance(document, (str, bytes)):
        raw = document.encode("utf-8") if isinstance(document, str) else document
        return np.frombuffer(raw, dtype=np.uint8).astype(np.int64)
    if hasattr(document, "detach"):
        document = document.detach().cpu().numpy()
    ids = np.asarray(list(document) if isinstance(document, Iterable) else document)
    if ids.size == 0:
        return np.zeros(0, dtype=np.int64)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"{name} must be text, bytes or a sequence of token ids, got {ids.dtype} of shape {ids.shape}")
    if (ids < 0).any():
        raise ValueError(f"{name} holds the negative id {int(ids.min())}")
    return ids.astype(np.int64)
