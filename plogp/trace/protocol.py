"""`Predictor`: what a trace, a sampler or a coder asks of a sequence model, and how a sequence is read step by step."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import log_softmax

__all__ = ["Predictor", "Session", "as_ids", "chunk_rows", "draw", "session", "zip_blocks"]

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]

#: Entries of a (positions, vocabulary) block.
BLOCK = 2**22


@runtime_checkable
class Predictor(Protocol):
    """A model of p(next token | tokens so far) over the ids 0, ..., vocab_size - 1.

    Optional attributes that plogp uses where they are: `bos_id`, `eos_id`, `tokenizer` (``encode(text) -> ids``,
    ``decode(ids) -> text``), `max_length` (longest context), `name`, ``fingerprint() -> str``, and ``session(ids)``
    for an incremental reading cheaper than `next` on all tokens so far.
    """

    vocab_size: int

    def blocks(self, ids: Any, context: Any = ()) -> Iterable[tuple[slice, Array]]:
        """Yield (slice of `ids`, logits or log-probabilities (c, V)) in order, for every position with a prediction.

        Row t of the whole is p(ids[t] | context + ids[:t]). A model without BOS has none for the first token of an
        empty context.
        """
        ...

    def next(self, ids: Any) -> Array:
        """Return the logits (V,) of the token that follows `ids`."""
        ...


def as_ids(ids: Any, vocab_size: int | None = None, name: str = "ids") -> Ids:
    """Return token ids as an array of int64, checked.

    Raises
    ------
    TypeError
        If they are not whole numbers.
    ValueError
        If they are not one row, or outside the vocabulary.

    Examples
    --------
    >>> as_ids([3, 1], 5).dtype
    dtype('int64')
    """
    if hasattr(ids, "detach"):
        ids = ids.detach().cpu().numpy()
    out = np.asarray(ids)
    if out.size == 0:
        return np.zeros(0, dtype=np.int64)
    if out.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers, got {out.dtype}")
    if out.ndim != 1:
        raise ValueError(f"{name} must be one sequence of tokens, got shape {out.shape}")
    if out.min() < 0 or (vocab_size is not None and out.max() >= vocab_size):
        limit = "" if vocab_size is None else f" below the vocabulary's size, {vocab_size}"
        raise ValueError(f"{name} must be at least 0 and{limit or ' whole'}, got {int(out.min())} to {int(out.max())}")
    return out.astype(np.int64)


def chunk_rows(vocab_size: int) -> int:
    """Return how many positions one block holds: about 2^22 entries."""
    return max(1, BLOCK // vocab_size)


def draw(log_p: Array, rng: np.random.Generator) -> Ids:
    """Draw a token from each row of logits (n, V); tokens of probability 0 are never drawn.

    >>> draw(np.log([[0.5, 0.5, 1e-300]]), np.random.default_rng(0)).shape
    (1,)
    """
    p = np.exp(log_softmax(np.asarray(log_p, dtype=np.float64)))
    total = np.cumsum(p, axis=-1)
    u = rng.random((len(p), 1)) * total[:, -1:]
    # "<=" and not "<": with u exactly 0 a leading token of probability 0 would be drawn.
    # And no further than the last token that adds to the total, should the product be rounded up to it.
    last = (total < total[:, -1:]).sum(axis=-1)
    return np.minimum((total <= u).sum(axis=-1), last).astype(np.int64)


class Session:
    """A predictor that reads one sequence as it grows.

    Attributes
    ----------
    ids : array of int64
        What was read.
    logits : array, shape (V,)
        Of the token that follows.

    Examples
    --------
    >>> from plogp.trace.predictors import MarkovLM
    >>> s = session(MarkovLM([[0.9, 0.1], [0.5, 0.5]]), [0])
    >>> np.exp(s.logits).round(2).tolist(), s.feed([1, 0]).shape, s.ids.tolist()
    ([0.9, 0.1], (2, 2), [0, 1, 0])
    >>> s.rewind(1)
    >>> s.ids.tolist(), np.exp(s.logits).round(2).tolist()
    ([0, 1], [0.5, 0.5])
    """

    def __init__(self, predictor: Predictor, ids: Any = ()):
        self.predictor = predictor
        self._ids: list[int] = as_ids(ids, predictor.vocab_size).tolist()
        self._logits: Array | None = None

    @property
    def ids(self) -> Ids:
        """The tokens read so far."""
        return np.array(self._ids, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def logits(self) -> Array:
        """Logits (V,) of the next token."""
        if self._logits is None:
            self._logits = np.asarray(self.predictor.next(self.ids))
        return self._logits

    def feed(self, tokens: Any) -> Array:
        """Read tokens; return the logits (k, V) after each of them. Feeding none gives shape (0, V)."""
        new = as_ids(np.atleast_1d(tokens) if np.ndim(tokens) == 0 else tokens, self.predictor.vocab_size, "tokens")
        rows = []
        for token in new:
            self._ids.append(int(token))
            self._logits = np.asarray(self.predictor.next(self.ids))
            rows.append(self._logits)
        return np.stack(rows) if rows else np.zeros((0, self.predictor.vocab_size))

    def rewind(self, n: int) -> None:
        """Forget the last `n` tokens.

        Raises
        ------
        ValueError
            If fewer were read.
        """
        if not 0 <= n <= len(self._ids):
            raise ValueError(f"n must lie between 0 and the {len(self._ids)} tokens read, got {n}")
        if n:
            del self._ids[len(self._ids) - n :]
            self._logits = None

    def copy(self) -> Session:
        """Return a session that goes on from here by itself."""
        other = copy.copy(self)
        other._ids = list(self._ids)
        return other


def session(predictor: Any, ids: Any = ()) -> Session:
    """Return a `Session` on a predictor that has read `ids`: with a cache of keys and values where it has one."""
    own = getattr(predictor, "session", None)
    return own(ids) if callable(own) else Session(predictor, ids)


def zip_blocks(
    first: Iterable[tuple[slice, Array]], *others: Iterable[tuple[slice, Array]]
) -> Iterator[tuple[slice, Array, list[Array | None]]]:
    """Yield the blocks of several predictors of the same ids over common slices.

    The first predictor's positions lead; another's entry is None where it has no prediction.
    """
    streams = [iter(other) for other in others]
    held: list[tuple[slice, Array] | None] = [next(stream, None) for stream in streams]
    for where, rows in first:
        at = where.start
        while at < where.stop:
            stop = where.stop
            parts: list[Array | None] = []
            for i, stream in enumerate(streams):
                while (block := held[i]) is not None and block[0].stop <= at:
                    held[i] = next(stream, None)
                if block is None:
                    parts.append(None)
                elif block[0].start > at:
                    stop = min(stop, block[0].start)
                    parts.append(None)
                else:
                    stop = min(stop, block[0].stop)
                    parts.append(block[1][at - block[0].start :])
            yield (
                slice(at, stop),
                rows[at - where.start : stop - where.start],
                [None if part is None else part[: stop - at] for part in parts],
            )
            at = stop
