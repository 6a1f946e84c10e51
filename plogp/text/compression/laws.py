"""Integer laws from logits, the range coder over them, and ranks: what encoder and decoder must compute alike."""

from __future__ import annotations

import zlib
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "GRID",
    "MAX_VOCABULARY",
    "Decoder",
    "Encoder",
    "RankReader",
    "RankWriter",
    "levels",
    "ranks",
    "token_at",
    "weights",
]

Array = npt.NDArray[Any]

#: Logits are rounded to multiples of 1/GRID before anything is computed from them.
GRID = 64
#: Weights are integers, of 2^30 for the most likely token.
SCALE = 30
#: Beyond this level the weight rounds to 0 and the coder's own floor, 2^-24, remains.
DEEPEST = 1375
#: Every token gets at least 2^-24 of the mass; a larger vocabulary would spend more than a sixteenth on that.
MAX_VOCABULARY = 2**20


def levels(logits: Any) -> npt.NDArray[np.int32]:
    """Return how many steps of 1/GRID each logit (S, V) lies below the largest of its row, after rounding; int32.

    Rounding erases the last digits, which differ between processors, numbers of threads and batch shapes. What is
    computed from levels is exact: integers from a table.
    """
    z = np.asarray(logits, dtype=np.float64)
    if np.isnan(z).any() or (z == np.inf).any():
        raise ValueError("the model's logits hold NaN or +inf; expected numbers or -inf")
    k = np.rint(z * GRID)
    top = k.max(axis=-1, keepdims=True)
    if (top == -np.inf).any():
        raise ValueError("the model's logits are -inf for every token")
    return np.asarray(np.minimum(top - k, DEEPEST), dtype=np.int32)


@cache
def _table() -> npt.NDArray[np.float64]:
    # Decimal's exp is correctly rounded, so that every machine has the same integers.
    with localcontext() as context:
        context.prec = 40
        entries = [int((Decimal(2) ** SCALE * (Decimal(-k) / GRID).exp()).to_integral_value()) for k in range(DEEPEST)]
    return np.array([*entries, 0], dtype=np.float64)


def weights(level: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Return the integer weights, in float64, that levels stand for: the softmax before its normalisation."""
    return _table()[level]


def ranks(level: npt.NDArray[np.int32], tokens: Array) -> Array:
    """Return the 0-based ranks of tokens (S,) in a stable descending sort of each row's law; ties by id."""
    own = np.take_along_axis(level, tokens[:, None], axis=-1)
    before = np.arange(level.shape[-1]) < tokens[:, None]
    return np.asarray((level < own).sum(axis=-1) + ((level == own) & before).sum(axis=-1))


def token_at(level: npt.NDArray[np.int32], rank: Array) -> Array:
    """Return the tokens (S,) that stand at the given ranks: the inverse of `ranks`."""
    order = np.argsort(level, axis=-1, kind="stable")
    return np.asarray(np.take_along_axis(order, rank[:, None], axis=-1)[:, 0])


class _Bytes:
    """An adaptive law of bytes: one plus the count of each so far, halved from time to time so that it can change."""

    def __init__(self) -> None:
        self.counts = np.ones(256, dtype=np.float64)
        self._total = 256.0

    def seen(self, byte: int) -> None:
        self.counts[byte] += 1.0
        self._total += 1.0
        if self._total > 2**16:
            self.counts = np.ceil(self.counts / 2)
            self._total = float(self.counts.sum())


def _models() -> Any:
    try:
        from constriction import stream
    except ImportError:
        raise ImportError("plogp[lm] is needed to compress: pip install 'plogp[lm]'") from None
    return stream


class Encoder:
    """Writes tokens and bytes into one range-coded stream."""

    def __init__(self) -> None:
        stream = _models()
        self._coder = stream.queue.RangeEncoder()
        # Not "perfect": its search over a law of V tokens takes seconds, for less than V / 2^24 nats a token.
        self._categorical = stream.model.Categorical
        self._family = stream.model.Categorical(perfect=False)
        self._bytes = _Bytes()

    def tokens(self, level: npt.NDArray[np.int32], tokens: Array) -> None:
        """Write one token for each row of levels."""
        self._coder.encode(tokens.astype(np.int32), self._family, weights(level))

    def raw(self, data: bytes) -> None:
        """Write bytes, each under the counts of those before it."""
        for byte in data:
            self._coder.encode(byte, self._categorical(self._bytes.counts, perfect=False))
            self._bytes.seen(byte)

    @property
    def bits(self) -> int:
        """Bits written so far."""
        return int(self._coder.num_bits())

    def finish(self) -> bytes:
        """Return the stream."""
        return bytes(np.asarray(self._coder.get_compressed(), dtype="<u4").tobytes())


class Decoder:
    """Reads what an `Encoder` wrote, given the same levels in the same order."""

    def __init__(self, payload: bytes) -> None:
        stream = _models()
        self._coder = stream.queue.RangeDecoder(np.frombuffer(payload, dtype="<u4").astype(np.uint32))
        self._categorical = stream.model.Categorical
        self._family = stream.model.Categorical(perfect=False)
        self._bytes = _Bytes()

    def tokens(self, level: npt.NDArray[np.int32]) -> Array:
        """Read one token for each row of levels."""
        return np.asarray(self._coder.decode(self._family, weights(level)), dtype=np.int64)

    def raw(self, n: int) -> bytes:
        """Read `n` bytes."""
        out = bytearray()
        for _ in range(n):
            byte = int(self._coder.decode(self._categorical(self._bytes.counts, perfect=False)))
            self._bytes.seen(byte)
            out.append(byte)
        return bytes(out)


class RankWriter:
    """Writes tokens as their ranks: decimals with spaces between them, under zlib; and raw bytes under zlib."""

    def __init__(self) -> None:
        self._ranks: list[int] = []
        self._raw = b""

    def tokens(self, level: npt.NDArray[np.int32], tokens: Array) -> None:
        """Write one token for each row of levels."""
        self._ranks += ranks(level, tokens).tolist()

    def raw(self, data: bytes) -> None:
        """Write bytes."""
        self._raw = data

    def finish(self) -> bytes:
        """Return the stream."""
        told = zlib.compress(" ".join(map(str, self._ranks)).encode(), 9)
        return len(told).to_bytes(8, "little") + told + (zlib.compress(self._raw, 9) if self._raw else b"")


class RankReader:
    """Reads what a `RankWriter` wrote."""

    def __init__(self, payload: bytes) -> None:
        end = 8 + int.from_bytes(payload[:8], "little")
        self._ranks = np.array(zlib.decompress(payload[8:end]).split(), dtype=np.int64)
        self._raw = zlib.decompress(payload[end:]) if payload[end:] else b""
        self._at = 0

    def tokens(self, level: npt.NDArray[np.int32]) -> Array:
        """Read one token for each row of levels."""
        found = token_at(level, self._ranks[self._at : self._at + len(level)])
        self._at += len(level)
        return found

    def raw(self, n: int) -> bytes:
        """Read `n` bytes."""
        return self._raw[:n]
