"""The last step of a language model, hidden states to logits, a few positions at a time; and what is measured there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plogp.trace.answers import Answer, Job, Question, measure_rows, part_of
from plogp.trace.encoding import decode, encode
from plogp.trace.linear import linear_information
from plogp.trace.protocol import as_ids, zip_blocks
from plogp.trace.tokens import TokenStats
from plogp.trace.windows import windows

__all__ = ["NetworkPredictor", "OutputHead", "StatesPredictor", "as_numpy"]

Tensor = Any
Ids = npt.NDArray[np.int64]
Block = tuple[slice, Tensor]

#: Entries of a (positions, vocabulary) block of logits.
BLOCK = 2**24


@dataclass(frozen=True, eq=False)
class OutputHead:
    """z = softcap · tanh(scale · (W h + b) / softcap); no cap where `softcap` is None.

    `module` makes W h + b where the weights are not plain (quantised).
    """

    weight: Tensor
    bias: Tensor = None
    scale: float = 1.0
    softcap: float | None = None
    module: Callable[[Tensor], Tensor] | None = None

    def logits(self, h: Tensor) -> Tensor:
        """Return the logits (..., V) of states (..., d)."""
        if self.module is None:
            z = torch.nn.functional.linear(h.to(self.weight), self.weight, self.bias)
        else:
            z = self.module(h)
        z = z if self.scale == 1.0 else z * self.scale
        return z if self.softcap is None else self.softcap * torch.tanh(z / self.softcap)

    @property
    def plain(self) -> bool:
        """Whether W is a matrix that can be read."""
        return self.module is None


def as_numpy(x: Tensor) -> npt.NDArray[Any]:
    """Return a tensor as an array, half precision as float32."""
    x = x.detach()
    return np.asarray((x.float() if x.dtype in (torch.float16, torch.bfloat16) else x).cpu().numpy())


def numpy_stats(found: TokenStats) -> TokenStats:
    """Return the same statistics as arrays."""

    def array(x: Any) -> Any:
        return as_numpy(x) if isinstance(x, torch.Tensor) else x

    return TokenStats(
        **{
            n: array(getattr(found, n))
            for n in ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids", "topk_logprob")
        },
        power={a: array(x) for a, x in found.power.items()},
        references=tuple(
            None
            if r is None
            else type(r)(*(array(getattr(r, n)) for n in ("logprob", "cross_entropy", "second_moment", "js")))
            for r in found.references
        ),
    )


class NetworkPredictor:
    """What predictors on tensors share: the protocol of `Predictor`, and measuring several windows in one pass.

    A subclass gives `raw(batch, chunk)`: for several inputs at a time, the logits that predict input j from those
    before it, for j = 1, 2, ..., in blocks; and `states(batch)`, the last-layer states.
    """

    vocab_size: int
    bos_id: int | None = None
    eos_id: int | None = None
    max_length: int | None = None
    tokenizer: Any = None
    name: str = ""
    bos: str = "first"
    device: Any = "cpu"

    # --- text ----------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> Ids:
        """Return the ids of a text, without special tokens."""
        if self.tokenizer is None:
            raise ValueError(f"{self.name} has no tokenizer; pass one when making the predictor")
        return encode(self.tokenizer, text).ids

    def decode(self, ids: Any) -> str:
        """Return the text of ids."""
        if self.tokenizer is None:
            raise ValueError(f"{self.name} has no tokenizer; pass one when making the predictor")
        return decode(self.tokenizer, as_ids(ids))

    # --- what a subclass gives -----------------------------------------------------------------------------------

    def streams(self, batch: Sequence[Ids], firsts: Sequence[int], question: Question) -> list[Iterator[Block]]:
        """Return for each input the blocks (slice counted from `first`, logits) of its tokens from `first` on."""
        raise NotImplementedError

    def flat(self, batch: Sequence[Ids], firsts: Sequence[int], question: Question) -> list[TokenStats] | None:
        """Return the statistics of each input without making logits, or None where that is not possible."""
        return None

    def states(self, batch: Sequence[Ids]) -> list[Tensor]:
        """Return the last-layer states (T, d) of each input."""
        raise NotImplementedError

    def quiet(self) -> Any:
        """Return the context manager under which the network runs."""
        return torch.inference_mode()

    def notes(self, question: Question) -> dict[str, Any]:
        """Return what a trace's `meta` says of this network."""
        return {}

    def layer_columns(self, ids: Ids, first: int, lens: Any) -> dict[str, npt.NDArray[Any]]:
        """Return entropy and log-probability read off every layer."""
        raise ValueError(f"layers need a transformers model that plogp.trace.architecture knows, not {self.name}")

    # --- measuring -----------------------------------------------------------------------------------------------

    def measure(self, batch: Sequence[Job], question: Question, others: Sequence[Any]) -> Iterator[Answer]:
        """Yield the answers about several windows; see `plogp.trace.answers`."""
        yield from self._stepped(self._measured(batch, question, others))

    def _stepped(self, items: Iterator[Any]) -> Iterator[Any]:
        """Run a generator under `quiet` between its yields: never while its reader has the word."""
        while True:
            with self.quiet():
                item = next(items, None)
            if item is None:
                return
            yield item

    def _measured(self, batch: Sequence[Job], question: Question, others: Sequence[Any]) -> Iterator[Answer]:
        jobs = [job for job in batch if len(job.ids) > max(job.first, 1)]
        firsts = [max(job.first, 1) for job in jobs]
        inputs = [job.ids for job in jobs]
        notes = {"notes": self.notes(question)}
        flat = self.flat(inputs, firsts, question) if jobs and not others and question.dtype != "float64" else None
        if flat is not None:
            for job, first, found in zip(jobs, firsts, flat):
                yield job, slice(first - job.first, len(job.ids) - job.first), numpy_stats(found), notes
        elif jobs:
            own: list[Any] = list(self.streams(inputs, firsts, question))
            rivals = [self._rival(other, i, jobs, firsts, question) for i, other in enumerate(others)]
            for j, (job, first) in enumerate(zip(jobs, firsts)):
                seconds = [r if isinstance(r, torch.Tensor) else r[j] for r in rivals]
                moving = [s for s in seconds if not isinstance(s, torch.Tensor)]
                for where, block, parts in zip_blocks(own[j], *moving):
                    moved = iter(parts)
                    rows: Any = block
                    rows = rows.double() if question.dtype == "float64" else rows
                    second: list[Any] = [s if isinstance(s, torch.Tensor) else next(moved) for s in seconds]
                    second = [None if s is None else s.to(rows.device) for s in second]
                    targets = torch.as_tensor(job.ids[first + where.start : first + where.stop], device=rows.device)
                    found = measure_rows(rows, targets, second, question)
                    at = slice(first - job.first + where.start, first - job.first + where.stop)
                    yield job, at, numpy_stats(found), notes
        nothing = TokenStats()
        marked = [job for job in batch if job.mark is not None] if question.hidden else []
        for job, states in zip(marked, self.states([job.ids for job in marked]) if marked else []):
            yield job, slice(0, 0), nothing, {"hidden": as_numpy(states[job.mark])}
        if question.layers:
            for job, first in zip(jobs, firsts):
                columns = self.layer_columns(job.ids, first, question.layers)
                yield job, slice(first - job.first, len(job.ids) - job.first), nothing, columns

    def _rival(self, other: Any, i: int, jobs: Sequence[Job], firsts: Sequence[int], question: Question) -> Any:
        """Return a vector, or for each job the blocks of a reference over the same tokens."""
        if other.vector is not None:
            return torch.from_numpy(other.vector).to(self.device)
        inputs = [job.rival_ids[i] for job in jobs]
        starts = [len(ids) - (len(job.ids) - first) for ids, job, first in zip(inputs, jobs, firsts)]
        if isinstance(other.model, NetworkPredictor):
            return [
                _late(stream, max(start, 1) - start)
                for stream, start in zip(other.model.streams(inputs, [max(s, 1) for s in starts], question), starts)
            ]
        return [_tensors(other.model.blocks(ids[s:], ids[:s])) for ids, s in zip(inputs, starts)]

    # --- the protocol --------------------------------------------------------------------------------------------

    def lead(self, ids: Ids) -> Ids:
        """Return the BOS that goes before `ids`: none where there is one already."""
        token = {"first": self.bos_id, "eos": self.eos_id}.get(self.bos)
        if token is None or (len(ids) and ids[0] == token):
            return ids[:0]
        return np.array([token], dtype=np.int64)

    def raw_blocks(self, ids: Any, context: Any = ()) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """Yield blocks as `blocks` does, with nothing put before the context."""
        before, ids = as_ids(context, self.vocab_size, "context"), as_ids(ids, self.vocab_size)
        full, skip = np.concatenate([before, ids]), len(before)
        for w in windows(len(full), self.max_length, None, "none", 0, skip):
            body, first = full[w.start : w.stop], max(w.write - w.start, 1)
            if first >= len(body):
                continue
            to = w.start + first - skip
            for where, rows in self._stepped(self._one(body, first)):
                yield slice(to + where.start, to + where.stop), rows

    def _one(self, ids: Ids, first: int) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        for where, rows in self.streams([ids], [first], Question())[0]:
            yield where, as_numpy(rows)

    def blocks(self, ids: Any, context: Any = ()) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """Yield (slice of `ids`, logits (c, V)), behind BOS where the model has one."""
        before, ids = as_ids(context, self.vocab_size, "context"), as_ids(ids, self.vocab_size)
        lead = self.lead(np.concatenate([before, ids]))
        yield from self.raw_blocks(ids, np.concatenate([lead, before]))

    def next(self, ids: Any) -> npt.NDArray[Any]:
        """Return the logits (V,) of the token that follows `ids`, behind BOS; of too long ids the last that fit count.

        Raises
        ------
        ValueError
            For no ids and no BOS.
        """
        known = as_ids(ids, self.vocab_size)
        known = np.concatenate([self.lead(known), known])
        if not len(known):
            raise ValueError("there is nothing to predict the first token from: the model has no BOS; pass some ids")
        if self.max_length is not None:
            known = known[max(0, len(known) - self.max_length) :]
        with self.quiet():
            return as_numpy(self.last_logits(known))

    def last_logits(self, ids: Ids) -> Tensor:
        """Return the logits of the token behind an input that fits."""
        raise NotImplementedError


def _tensors(blocks: Any) -> Iterator[Block]:
    for where, rows in blocks:
        yield where, torch.from_numpy(np.array(rows))


def _late(stream: Iterator[Block], by: int) -> Iterator[Block]:
    """Count slices from `by` tokens earlier."""
    for where, rows in stream:
        yield slice(where.start + by, where.stop + by), rows


class StatesPredictor(NetworkPredictor):
    """A language model given as a function to hidden states and an output matrix: logits are W h + b.

    Parameters
    ----------
    body : callable
        ``body(ids) -> states``: ids a tensor (1, T), states (1, T, d) or (T, d), causal.
    weight : tensor or array, shape (V, d)
    bias : tensor or array, shape (V,), optional
    scale, softcap : float
        As in `linear_information`.
    tokenizer, bos_id, eos_id, max_length, name
        As in `HFPredictor`.

    Examples
    --------
    >>> table = torch.eye(4)
    >>> lm = StatesPredictor(lambda ids: table[ids], torch.eye(4))
    >>> [(where, rows.shape) for where, rows in lm.blocks([1, 2, 3])]
    [(slice(1, 3, None), (2, 4))]
    """

    def __init__(
        self,
        body: Callable[[Tensor], Tensor],
        weight: Any,
        bias: Any = None,
        *,
        scale: float = 1.0,
        softcap: float | None = None,
        tokenizer: Any = None,
        bos_id: int | None = None,
        eos_id: int | None = None,
        max_length: int | None = None,
        name: str | None = None,
    ):
        if not callable(body):
            raise TypeError(f"body must be a function from ids to states, got {type(body).__name__}")
        w = torch.as_tensor(weight).detach()
        if w.ndim != 2 or not w.is_floating_point():
            raise ValueError(f"weight must be a matrix (V, d) of floats, got {tuple(w.shape)} of {w.dtype}")
        b = None if bias is None else torch.as_tensor(bias).detach()
        if b is not None and tuple(b.shape) != (len(w),):
            raise ValueError(f"bias must have shape ({len(w)},), got {tuple(b.shape)}")
        self.body = body
        self.head = OutputHead(w, b, float(scale), softcap)
        self.vocab_size, self.device = len(w), w.device
        self.tokenizer, self.bos_id, self.eos_id, self.max_length = tokenizer, bos_id, eos_id, max_length
        self.name = name or f"StatesPredictor(V={len(w)}, d={w.shape[1]})"

    def states(self, batch: Sequence[Ids]) -> list[Tensor]:
        """Return the last-layer states (T, d) of each input."""
        out = []
        for ids in batch:
            h = self.body(torch.as_tensor(ids, device=self.device)[None])
            h = h[0] if h.ndim == 3 else h
            if tuple(h.shape) != (len(ids), self.head.weight.shape[1]):
                raise ValueError(
                    f"body must give states of shape ({len(ids)}, {self.head.weight.shape[1]}) for {len(ids)} ids, "
                    f"got {tuple(h.shape)}"
                )
            out.append(h)
        return out

    def streams(self, batch: Sequence[Ids], firsts: Sequence[int], question: Question) -> list[Iterator[Block]]:
        """Return for each input the blocks (slice counted from `first`, logits) of its tokens from `first` on."""
        found = self.states(batch)
        return [head_blocks(self.head, h, first, question.chunk_tokens) for h, first in zip(found, firsts)]

    def flat(self, batch: Sequence[Ids], firsts: Sequence[int], question: Question) -> list[TokenStats] | None:
        """Return the statistics of each input without making logits."""
        return head_stats(self.head, self.states(batch), batch, firsts, question)

    def last_logits(self, ids: Ids) -> Tensor:
        """Return the logits of the token behind an input that fits."""
        return self.head.logits(self.states([ids])[0][-1])

    def fingerprint(self) -> str:
        """Return a hash of the output matrix (the body is a function, of which nothing is known)."""
        import hashlib

        return hashlib.sha256(as_numpy(self.head.weight).tobytes()).hexdigest()[:16]


def head_blocks(head: OutputHead, states: Tensor, first: int, chunk: int | None) -> Iterator[Block]:
    """Yield the logits of tokens first, first + 1, ... of one input, from its states."""
    n = len(states) - first
    chunk = chunk or max(1, BLOCK // head.weight.shape[0])
    for at in range(0, n, chunk):
        stop = min(at + chunk, n)
        yield slice(at, stop), head.logits(states[first - 1 + at : first - 1 + stop])


def head_stats(
    head: OutputHead, states: Sequence[Tensor], batch: Sequence[Ids], firsts: Sequence[int], question: Question
) -> list[TokenStats] | None:
    """Return the statistics of every token from `first` on of each input, by `linear_information`."""
    if not head.plain:
        return None
    rows = torch.cat([h[first - 1 : -1] for h, first in zip(states, firsts)])
    targets = torch.as_tensor(np.concatenate([ids[first:] for ids, first in zip(batch, firsts)]), device=rows.device)
    size = question.vocab_size
    found = linear_information(
        rows.to(head.weight.dtype),
        head.weight[:size],
        targets,
        bias=None if head.bias is None else head.bias[:size],
        scale=head.scale,
        softcap=head.softcap,
        chunk_tokens=question.chunk_tokens,
        **question.terms,
    )
    counts = [len(ids) - first for ids, first in zip(batch, firsts)]
    stops = np.cumsum(counts)
    return [part_of(found, slice(stop - count, stop)) for stop, count in zip(stops, counts)]
