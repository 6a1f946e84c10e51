"""Sequences read in lock step: the one computation that encoder and decoder both run, token by token."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.text.compression.laws import levels
from plogp.trace.predictors import session

__all__ = ["Lanes", "lengths"]

Ids = npt.NDArray[np.int64]


def lengths(n: int, lanes: int) -> list[int]:
    """Return the numbers of tokens of each lane: equal, the first ones a token longer.

    >>> lengths(7, 3)
    [3, 2, 2]
    """
    return [n // lanes + (i < n % lanes) for i in range(lanes)]


class Lanes:
    """Several sequences of one predictor, fed a token each at a time.

    The context of a token is what came before it in its lane, behind the predictor's BOS where it has one: at first all
    tokens; once that would be more than `window`, the last ``window + 1 - stride`` of them, which then grow again. With
    ``stride=1`` each token sees exactly the `window` before it. A model that has no law of the first token of all codes
    it as one of V equally likely ones.
    """

    def __init__(self, predictor: Any, count: int, window: int, stride: int):
        self.predictor, self.count, self.window, self.keep = predictor, count, window, window + 1 - stride
        self._read: list[list[int]] = [[] for _ in range(count)]
        self._reader: Any = None
        self._logits: Any = None

    @property
    def logits(self) -> npt.NDArray[np.float64]:
        """The logits (lanes, V) of the next tokens."""
        if self._logits is None:
            known = np.array(self._read, dtype=np.int64)
            try:
                self._reader = (
                    _Batch(self.predictor, known) if _batches(self.predictor) else _Side(self.predictor, known)
                )
                self._logits = self._reader.logits
            except ValueError:
                if known.size:
                    raise
                self._reader, self._logits = None, np.zeros((self.count, int(self.predictor.vocab_size)))
        return np.asarray(self._logits, dtype=np.float64)

    def levels(self) -> npt.NDArray[np.int32]:
        """Return the levels (lanes, V) of the next tokens."""
        return levels(self.logits)

    def feed(self, tokens: Ids) -> None:
        """Read one token in each lane."""
        for lane, token in zip(self._read, tokens.tolist(), strict=True):
            lane.append(token)
        if len(self._read[0]) > self.window:
            self._read = [lane[len(lane) - self.keep :] for lane in self._read]
            self._reader = self._logits = None
        elif self._reader is not None:
            self._logits = self._reader.feed(tokens)
        else:
            self._logits = None


class _Side:
    """Sessions of any predictor, side by side."""

    def __init__(self, predictor: Any, known: Ids):
        self.sessions = [session(predictor, row) for row in known]

    @property
    def logits(self) -> npt.NDArray[Any]:
        return np.stack([s.logits for s in self.sessions])

    def feed(self, tokens: Ids) -> npt.NDArray[Any]:
        return np.stack([s.feed([t])[0] for s, t in zip(self.sessions, tokens.tolist(), strict=True)])


def _batches(predictor: Any) -> bool:
    """Whether a predictor is a network of transformers with a cache of keys and values."""
    forward = getattr(getattr(predictor, "model", None), "forward", None)
    return (
        forward is not None
        and hasattr(predictor, "lead")
        and "past_key_values" in inspect.signature(forward).parameters
    )


class _Batch:
    """A network that reads all lanes as one batch, each step with the cache of the ones before."""

    def __init__(self, predictor: Any, known: Ids):
        self.lm = predictor
        more = (
            {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(predictor.model.forward).parameters else {}
        )
        lead = predictor.lead(known[0])
        rows = np.concatenate([np.tile(lead, (len(known), 1)), known], axis=1)
        if not rows.shape[1]:
            raise ValueError("a model without BOS has no law of the first token")
        self._cache = _cache()
        self.logits = self._forward(rows, more)

    def feed(self, tokens: Ids) -> npt.NDArray[Any]:
        return self._forward(tokens[:, None], {})

    def _forward(self, rows: Ids, more: dict[str, Any]) -> npt.NDArray[Any]:
        import torch

        with self.lm.quiet():
            ids = torch.from_numpy(np.ascontiguousarray(rows)).to(self.lm.device)
            out = self.lm.model(input_ids=ids, past_key_values=self._cache, use_cache=True, return_dict=True, **more)
            self._cache = out.past_key_values
            return np.asarray(out.logits[:, -1].double().cpu().numpy())


def _cache() -> Any:
    """Return an empty cache whose layers grow in place: the stock one copies all it holds at every token."""
    from transformers.cache_utils import Cache, DynamicLayer

    class Growing(DynamicLayer):
        room: Any = None

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            held = self.get_seq_length()
            n = held + key_states.shape[-2]
            if self.room is None or n > self.room[0].shape[-2]:
                old, self.room = self.room, []
                for i, states in enumerate((key_states, value_states)):
                    shape = (*states.shape[:-2], max(2 * n, 64), states.shape[-1])
                    self.room.append(states.new_empty(shape))
                    if old is not None:
                        self.room[i][..., :held, :] = old[i][..., :held, :]
            for buffer, states in zip(self.room, (key_states, value_states), strict=True):
                buffer[..., held:n, :] = states
            self.keys, self.values = (buffer[..., :n, :] for buffer in self.room)
            return self.keys, self.values

    return Cache(layer_class_to_replicate=Growing)
