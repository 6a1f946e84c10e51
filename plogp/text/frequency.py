"""How often each token occurs in a corpus, counted with a model's tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = ["TokenFrequency"]

Floats = npt.NDArray[np.float64]


class TokenFrequency:
    r"""Smoothed token frequencies of a corpus, :math:`f(v) = (c_v + \delta) / (\sum_w c_w + \delta V)`.

    Parameters
    ----------
    vocab_size : int
        V, with the padded rows of the model's output where it has some.
    smoothing : float
        δ; 1 is Laplace's. With 0 a token that was never seen has frequency 0.
    max_tokens : int or None
        Count only the first tokens of a document; the DC-PDD release counts 1,024.

    Attributes
    ----------
    counts : array of int, shape (V,)
    documents : int

    Raises
    ------
    ValueError
        For a vocabulary of fewer than two tokens, negative smoothing, or a limit below 1.

    Examples
    --------
    >>> f = TokenFrequency.fit([[0, 1, 1], [1, 2]], 4)
    >>> f.probability.round(3)
    array([0.222, 0.444, 0.222, 0.111])
    >>> f.partial_fit([[3, 3, 3]]).counts
    array([1, 3, 1, 3])
    """

    def __init__(self, vocab_size: int, smoothing: float = 1.0, max_tokens: int | None = None) -> None:
        if isinstance(vocab_size, bool) or not isinstance(vocab_size, (int, np.integer)) or vocab_size < 2:
            raise ValueError(f"vocab_size must be a whole number of at least 2, got {vocab_size!r}")
        if not (smoothing >= 0 and np.isfinite(smoothing)):
            raise ValueError(f"smoothing must be at least 0, got {smoothing!r}")
        if max_tokens is not None and (isinstance(max_tokens, bool) or max_tokens < 1):
            raise ValueError(f"max_tokens must be at least 1, or None, got {max_tokens!r}")
        self.vocab_size = int(vocab_size)
        self.smoothing = float(smoothing)
        self.max_tokens = max_tokens
        self.counts: npt.NDArray[np.int64] = np.zeros(self.vocab_size, np.int64)
        self.documents = 0

    @classmethod
    def fit(
        cls,
        corpus: Iterable[Any] | Trace,
        vocab_size: int,
        smoothing: float = 1.0,
        max_tokens: int | None = None,
    ) -> TokenFrequency:
        """Return the frequencies of a corpus: documents of token numbers, or a `Trace`."""
        return cls(vocab_size, smoothing, max_tokens).partial_fit(corpus)

    def partial_fit(self, corpus: Iterable[Any] | Trace) -> TokenFrequency:
        """Count further documents, and return the same object.

        Raises
        ------
        TypeError
            For text, or numbers that are not whole.
        ValueError
            For a token outside the vocabulary; nothing of the corpus is counted then.
        """
        from plogp.trace.record import Trace

        documents: Iterable[Any] = (one.ids for one in corpus) if isinstance(corpus, Trace) else corpus
        counts, seen = np.zeros_like(self.counts), 0
        for document in documents:
            ids = np.asarray(document.tolist() if hasattr(document, "detach") else document)
            if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
                raise TypeError("corpus must be documents, each a sequence of token numbers; tokenize texts first")
            ids = ids[: self.max_tokens].astype(np.int64)
            if ids.size and not 0 <= ids.min() <= ids.max() < self.vocab_size:
                raise ValueError(f"document {seen} holds tokens outside 0..{self.vocab_size - 1}")
            counts += np.bincount(ids, minlength=self.vocab_size)
            seen += 1
        self.counts = self.counts + counts
        self.documents += seen
        return self

    @property
    def total(self) -> int:
        """Tokens counted."""
        return int(self.counts.sum())

    @property
    def probability(self) -> Floats:
        """The frequencies, shape (V,), summing to 1; a reference for ``trace(references={"unigram": ...})``.

        Raises
        ------
        ValueError
            If nothing was counted and nothing is smoothed.
        """
        mass = self.counts + self.smoothing
        if not mass.sum() > 0:
            raise ValueError("no token has been counted and smoothing is 0: there are no frequencies")
        return np.asarray(mass / mass.sum())

    @property
    def logprob(self) -> Floats:
        """Their logarithms, in nats; -inf for a frequency of 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.probability)

    def save(self, path: str | Path) -> Path:
        """Write the counts as a NumPy archive (.npz), which holds no code."""
        path = Path(path)
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                counts=self.counts,
                documents=self.documents,
                smoothing=self.smoothing,
                max_tokens=-1 if self.max_tokens is None else self.max_tokens,
            )
        return path

    @classmethod
    def load(cls, path: str | Path) -> TokenFrequency:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                counts, limit = file["counts"], int(file["max_tokens"])
                out = cls(len(counts), float(file["smoothing"]), None if limit < 0 else limit)
                out.counts, out.documents = counts.astype(np.int64), int(file["documents"])
        except (KeyError, TypeError, EOFError) as error:
            raise ValueError(f"{path} is not a file of token frequencies") from error
        return out

    def __repr__(self) -> str:
        return f"TokenFrequency({self.total} tokens of {self.documents} documents, {self.vocab_size} in the vocabulary)"
