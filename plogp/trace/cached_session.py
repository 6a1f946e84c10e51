"""A `Session` of a network: one forward pass a feed, over the new tokens only while the context fits."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from plogp.trace.heads import as_numpy
from plogp.trace.protocol import Session, as_ids

if TYPE_CHECKING:
    from plogp.trace.huggingface import HFPredictor

__all__ = ["CachedSession", "logits_of"]

Tensor = Any


def logits_of(out: Any) -> Tensor:
    """Return the logits in what a model returns."""
    if isinstance(out, torch.Tensor):
        return out
    return out["logits"] if hasattr(out, "keys") else out[0]


class CachedSession(Session):
    """A session of a network: one forward pass a feed, over the new tokens only while the context fits."""

    def __init__(self, predictor: HFPredictor, ids: Any = ()):
        super().__init__(predictor, ids)
        self.lm = predictor
        self._cache: Any = None
        self._seen: list[int] = []  # what the cache holds, BOS included

    def _input(self) -> list[int]:
        known = self.ids
        return [*self.lm.lead(known).tolist(), *self._ids]

    @property
    def logits(self) -> npt.NDArray[Any]:
        """Logits (V,) of the next token."""
        if self._logits is None:
            self._logits = self._read(1)[-1] if self._input() else self.lm.next(())
        return self._logits

    def feed(self, tokens: Any) -> npt.NDArray[Any]:
        """Read tokens; return the logits (k, V) after each of them."""
        new = as_ids(np.atleast_1d(tokens) if np.ndim(tokens) == 0 else tokens, self.lm.vocab_size, "tokens")
        if not len(new):
            return np.zeros((0, self.lm.vocab_size), dtype=np.float32)
        self._ids.extend(new.tolist())
        rows = self._read(len(new))
        self._logits = rows[-1]
        return rows

    def _read(self, k: int) -> npt.NDArray[Any]:
        """Return the logits behind each of the last `k` tokens."""
        known = self._input()
        lm = self.lm
        if lm.max_length is not None and len(known) > lm.max_length:
            # The context slides: every token has the last that fit before it, so no state can be kept.
            self._forget()
            fits = max(0, lm.max_length - (len(known) - k))
            head = [] if not fits else [self._part(known[: len(known) - k + fits], fits)]
            with lm.quiet():
                rest = [
                    as_numpy(lm.last_logits(np.array(known[t - lm.max_length : t], dtype=np.int64)))[None]
                    for t in range(len(known) - k + fits + 1, len(known) + 1)
                ]
            return np.concatenate(head + rest)
        return self._part(known, k)

    def _part(self, known: list[int], k: int) -> npt.NDArray[Any]:
        lm = self.lm
        with lm.quiet():
            step = lm.cache_steps()
            if not step:
                return self._plain(known, k)
            if self._seen != known[: len(self._seen)] or len(known) - len(self._seen) < k:
                self._forget()
            rows: list[Tensor] = []
            if not self._seen and len(known) > k and step > 1:
                # The prompt, whose logits nobody asked for.
                self._advance(known[: len(known) - k], keep=1)
            while len(self._seen) < len(known):
                rows.append(self._advance(known[len(self._seen) : len(self._seen) + step]))
            return as_numpy(torch.cat(rows)[-k:])

    def _plain(self, known: list[int], k: int) -> npt.NDArray[Any]:
        ids = torch.tensor(known, device=self.lm.device)[None]
        keep: dict[str, Any] = {"logits_to_keep": k} if "logits_to_keep" in self.lm.signature else {}
        return as_numpy(logits_of(self.lm.call(ids, **keep))[0, -k:])

    def _advance(self, tokens: list[int], keep: int | None = None) -> Tensor:
        lm = self.lm
        more: dict[str, Any] = {"logits_to_keep": keep} if keep and "logits_to_keep" in lm.signature else {}
        ids = torch.tensor(tokens, device=lm.device)[None]
        out = lm.call(ids, cache=self._cache, caching=True, **more)
        self._cache = lm.cache_of(out)
        self._seen.extend(tokens)
        return logits_of(out)[0]

    def _forget(self) -> None:
        self._cache, self._seen = None, []

    def rewind(self, n: int) -> None:
        """Forget the last `n` tokens."""
        super().rewind(n)
        if not n:
            return
        known = self._input()
        surplus = len(self._seen) - len(known)
        if surplus > 0:
            # The logits after the new last token are not kept, so it is read again.
            if known and self.lm.crop(self._cache, surplus + 1):
                self._seen = self._seen[: len(known) - 1]
            else:
                self._forget()

    def copy(self) -> Session:
        """Return a session that goes on from here by itself."""
        other = super().copy()
        assert isinstance(other, CachedSession)
        other._cache, other._seen = copy.deepcopy(self._cache), list(self._seen)
        return other
