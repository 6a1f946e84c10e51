"""What is asked about the tokens of a window, and how a predictor's blocks answer it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.trace.predictors import TopKPredictor
from plogp.trace.protocol import chunk_rows, zip_blocks
from plogp.trace.rivals import Rival
from plogp.trace.tokens import STATS, TokenStats, token_stats

__all__ = ["Answer", "Job", "Question", "answers", "measure_rows", "part_of", "without_first"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Question:
    """What is asked about each token, in the terms of `token_stats`, and how it is computed."""

    stats: tuple[str, ...] = STATS
    powers: tuple[float, ...] = ()
    top_k: int = 0
    temperature: float = 1.0
    js: bool = False
    vocab_size: int | None = None
    dtype: str | None = None
    chunk_tokens: int | None = None
    route: str = "auto"
    hidden: bool = False
    layers: Any = False

    @property
    def terms(self) -> dict[str, Any]:
        """Arguments of `token_stats` and `linear_information`."""
        return {
            "stats": self.stats,
            "powers": self.powers,
            "top_k": self.top_k,
            "temperature": self.temperature,
        }


@dataclass(frozen=True, eq=False)
class Job:
    """One window of one text: what goes into the model, and where its answer goes.

    Attributes
    ----------
    ids : array
        Input of the model, BOS included.
    first : int
        Index in `ids` of the first token to score; those from there on are scored.
    to : int
        Place of that token among all tokens of the trace.
    rival_ids : tuple of arrays
        Input of each reference: the same tokens behind its own BOS.
    mark : int or None
        Index in `ids` of the token whose hidden state is wanted, for text `text`.
    """

    ids: Ids
    first: int
    to: int
    rival_ids: tuple[Ids, ...]
    mark: int | None
    text: int


Answer = tuple[Job, slice, TokenStats, dict[str, Any]]


def answers(predictor: Any, batch: Sequence[Job], question: Question, others: Sequence[Rival]) -> Iterator[Answer]:
    """Yield (job, positions from its first, statistics, further columns) in pieces."""
    if hasattr(predictor, "measure"):
        yield from predictor.measure(batch, question, others)
        return
    if question.hidden or question.layers:
        raise ValueError(f"hidden and layers need a transformers model, got {type(predictor).__name__}")
    if isinstance(predictor, TopKPredictor):
        for job in batch:
            yield from _told(predictor, job, question, others)
        return
    # Short texts share a call: what a call costs would otherwise exceed what it computes.
    most = question.chunk_tokens or chunk_rows(predictor.vocab_size)
    held: list[_Piece] = []
    count = 0
    for job in batch:
        for piece in _pieces(predictor, job, others, most):
            like = not held or [r is None for r in held[0].rivals] == [r is None for r in piece.rivals]
            if held and (not like or count + len(piece.rows) > most):
                yield from _measured(held, question)
                held, count = [], 0
            held.append(piece)
            count += len(piece.rows)
    if held:
        yield from _measured(held, question)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some positions of one job, with the laws of the model and of its references."""

    job: Job
    where: slice
    rows: Any
    rivals: list[Any]


def _pieces(predictor: Any, job: Job, others: Sequence[Rival], most: int) -> Iterator[_Piece]:
    own = predictor.blocks(job.ids[job.first :], job.ids[: job.first])
    seconds = [r.blocks(job, i) for i, r in enumerate(others)]
    moving = [s for s in seconds if not isinstance(s, np.ndarray)]
    for where, rows, parts in zip_blocks(own, *moving):
        for at in range(where.start, where.stop, most):
            stop = min(at + most, where.stop)
            local, moved = slice(at - where.start, stop - where.start), iter(parts)
            rivals = [s if isinstance(s, np.ndarray) and s.ndim == 1 else _cut(next(moved), local) for s in seconds]
            yield _Piece(job, slice(at, stop), rows[local], rivals)


def _measured(held: Sequence[_Piece], question: Question) -> Iterator[Answer]:
    """Measure pieces in one call."""

    def joined(parts: list[Any]) -> Any:
        if parts[0] is None or parts[0].ndim == 1:  # no prediction, or a vector that stands for all positions
            return parts[0]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    targets = np.concatenate([h.job.ids[h.job.first + h.where.start : h.job.first + h.where.stop] for h in held])
    rivals = [joined([h.rivals[i] for h in held]) for i in range(len(held[0].rivals))]
    found = measure_rows(joined([h.rows for h in held]), targets, rivals, question)
    at = 0
    for h in held:
        yield h.job, h.where, part_of(found, slice(at, at + len(h.rows))), {}
        at += len(h.rows)


def _cut(rows: Any, where: slice) -> Any:
    return None if rows is None else rows[where]


def part_of(found: TokenStats, where: slice) -> TokenStats:
    """Return the statistics of some positions."""

    def cut(x: Any) -> Any:
        return None if x is None else x[where]

    return TokenStats(
        **{
            n: cut(getattr(found, n))
            for n in ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids", "topk_logprob")
        },
        power={a: cut(x) for a, x in found.power.items()},
        references=tuple(
            r and type(r)(*(cut(getattr(r, n)) for n in ("logprob", "cross_entropy", "second_moment", "js")))
            for r in found.references
        ),
    )


def measure_rows(rows: Any, targets: Any, rival_rows: Sequence[Any], question: Question) -> TokenStats:
    """Return `token_stats` of some positions, the vocabulary cut; a reference without prediction there gives NaN."""
    size = question.vocab_size
    rows = rows if size is None else rows[..., :size]
    if isinstance(rows, np.ndarray):
        rows = rows.astype(question.dtype or (rows.dtype if rows.dtype.itemsize >= 4 else np.float32), copy=False)
    there = [r for r in rival_rows if r is not None]
    there = [r if size is None else r[..., :size] for r in there]
    found = token_stats(rows, targets, references=there, js=question.js, **question.terms)
    if len(there) == len(rival_rows):
        return found
    known = iter(found.references)
    return TokenStats(
        **{n: getattr(found, n) for n in ("logprob", "entropy", "varentropy", "max_logprob", "rank")},
        topk_ids=found.topk_ids,
        topk_logprob=found.topk_logprob,
        power=found.power,
        references=tuple(None if r is None else next(known) for r in rival_rows),  # type: ignore[misc]
    )


def _told(predictor: TopKPredictor, job: Job, question: Question, others: Sequence[Rival]) -> Iterator[Answer]:
    """Yield what the answers of a service say, token by token."""
    ids = job.ids[job.first :]
    told = predictor.answers(job.ids[: job.first], ids)
    if others:
        raise ValueError("references need whole laws; a TopKPredictor tells only some log-probabilities")
    if question.temperature != 1.0 or question.vocab_size is not None:
        raise ValueError("temperature and vocab_size need whole laws, which a TopKPredictor does not tell")
    n = len(told)
    sure = predictor.top_k or min((len(a) for a in told), default=0)
    k = question.top_k
    if k > sure:
        raise ValueError(f"top_k={k}, but the answers tell only {sure} tokens surely among the most likely")
    ranked = [sorted(a.items(), key=lambda item: (-item[1], item[0])) for a in told]
    places = [{v: i + 1 for i, (v, _) in enumerate(r[:sure])} for r in ranked]
    nan = np.full(n, np.nan)
    found = TokenStats(
        logprob=np.array([a.get(int(y), np.nan) for a, y in zip(told, ids)]),
        entropy=nan if "entropy" in question.stats else None,
        varentropy=nan if "varentropy" in question.stats else None,
        max_logprob=np.array([r[0][1] for r in ranked]) if "max" in question.stats else None,
        rank=np.array([p.get(int(y), 0) for p, y in zip(places, ids)]) if "rank" in question.stats else None,
        topk_ids=np.array([[v for v, _ in r[:k]] for r in ranked], dtype=np.int64).reshape(n, k) if k else None,
        topk_logprob=np.array([[lp for _, lp in r[:k]] for r in ranked]).reshape(n, k) if k else None,
        power=dict.fromkeys(question.powers, nan),
    )
    yield job, slice(0, n), found, {}


def without_first(where: slice, found: TokenStats) -> tuple[slice, TokenStats]:
    """Leave out the first token, which bos="none" does not score."""
    return slice(where.start + 1, where.stop), part_of(found, slice(1, None))
