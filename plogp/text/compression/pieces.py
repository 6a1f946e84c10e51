"""Bytes cut into pieces that the tokenizer gives back exactly, and runs of raw bytes between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.trace.predictors import as_ids

__all__ = ["Bytes", "Ids", "Piece", "Text", "alphabet", "split"]

#: A piece is token ids, or bytes that no tokens stand for.
Piece = npt.NDArray[np.int64] | bytes

#: Text between invalid bytes that is shorter than this is not worth a change of pieces.
SHORTEST = 16
#: Bytes that are not UTF-8 are decoded to lone surrogates, which valid text cannot hold.
_RUN = re.compile("([\udc80-\udcff]+)|[^\udc80-\udcff]+")


class Text:
    """Tokens of a tokenizer with ``encode(text) -> ids`` and ``decode(ids) -> text``."""

    kind = "tokens"

    def __init__(self, tokenizer: Any, vocab_size: int):
        self.tokenizer, self.vocab_size = tokenizer, vocab_size
        # Tokenizers of transformers add special tokens, tidy spaces and warn of long texts unless told not to.
        told = hasattr(tokenizer, "convert_ids_to_tokens")
        self._encode = {"add_special_tokens": False, "verbose": False} if told else {}
        self._decode = {"clean_up_tokenization_spaces": False} if told else {}

    def encode(self, text: str) -> npt.NDArray[np.int64] | None:
        """Return the ids of a text, or None where they do not lead back to exactly this text."""
        ids = self.tokenizer.encode(text, **self._encode)
        ids = as_ids(getattr(ids, "ids", ids))
        if len(ids) and ids.max() >= self.vocab_size:
            return None
        return ids if self.decode(ids) == text.encode() else None

    def decode(self, ids: npt.NDArray[np.int64]) -> bytes:
        """Return the bytes that ids stand for."""
        return str(self.tokenizer.decode(ids.tolist(), **self._decode)).encode("utf-8", "surrogatepass")

    def pieces(self, data: bytes) -> list[Piece]:
        """Cut bytes into tokens and raw runs."""
        out: list[Piece] = []
        raw = bytearray()
        for run, valid in _runs(data):
            for piece in self._text(run.decode()) if valid else [run]:
                if isinstance(piece, bytes):
                    raw += piece
                    continue
                if raw:
                    out.append(bytes(raw))
                    raw.clear()
                out.append(piece)
        return [*out, bytes(raw)] if raw else out

    def _text(self, text: str) -> Iterator[Piece]:
        """Yield pieces of a text, halved at spaces until each half comes back from the tokenizer."""
        ids = self.encode(text)
        if ids is not None:
            yield ids
        elif len(text) < 2 * SHORTEST:
            yield text.encode()
        else:
            middle = len(text) // 2
            cuts = [text.rfind("\n", 1, middle) + 1, text.rfind(" ", 1, middle), middle]
            cut = next(c for c in cuts if c > len(text) // 4)
            yield from self._text(text[:cut])
            yield from self._text(text[cut:])

    def probe(self) -> bytes:
        """Return what tells this tokenizer from another of the same size."""
        words = "The 12 quick brown foxes, naïvely\n\tjumping: «over» x_1 = f(y)."
        ids = self.tokenizer.encode(words, **self._encode)
        return as_ids(getattr(ids, "ids", ids)).astype("<i8").tobytes()


class Bytes:
    """A byte is its own token: for models of 256 symbols."""

    kind = "bytes"
    vocab_size = 256

    def pieces(self, data: bytes) -> list[Piece]:
        """Return the bytes as ids."""
        return [np.frombuffer(data, dtype=np.uint8).astype(np.int64)] if data else []

    def decode(self, ids: npt.NDArray[np.int64]) -> bytes:
        """Return ids as bytes."""
        return bytes(ids.astype(np.uint8).tobytes())

    def probe(self) -> bytes:
        """Return a name."""
        return b"bytes"


class Ids(Bytes):
    """Tokens that are given as such; eight bytes stand for one."""

    kind = "ids"

    def __init__(self, vocab_size: int):
        self.vocab_size = vocab_size

    def pieces(self, data: bytes) -> list[Piece]:
        """Return the ids that the bytes hold."""
        return [as_ids(np.frombuffer(data, dtype="<i8"), self.vocab_size, "data")] if data else []

    def decode(self, ids: npt.NDArray[np.int64]) -> bytes:
        """Return the ids' bytes."""
        return bytes(ids.astype("<i8").tobytes())

    def probe(self) -> bytes:
        """Return a name."""
        return b"ids"


def alphabet(predictor: Any, tokenizer: Any = None) -> Text | Bytes:
    """Return how bytes become tokens of this predictor.

    Raises
    ------
    ValueError
        If it has no tokenizer, none is given, and it is no model of bytes.
    """
    size = int(predictor.vocab_size)
    found = getattr(predictor, "tokenizer", None) if tokenizer is None else tokenizer
    if found is not None:
        return Text(found, size)
    if size == 256:
        return Bytes()
    raise ValueError(
        f"predictor has {size} tokens and no tokenizer: pass tokenizer=, a model of the 256 bytes, or token ids as data"
    )


def split(data: bytes, size: int) -> int:
    r"""Return where to end a block of about `size` bytes: behind a line, else behind a space, else between characters.

    >>> split(b"one line\nanother", 12)
    9
    """
    if len(data) <= size:
        return len(data)
    end = data.rfind(b"\n", size // 2, size) + 1
    if end:
        return end
    # A space belongs to the word that follows it.
    space = data.rfind(b" ", max(size // 2, 1), size)
    if space > 0:
        return space
    cut = size
    while cut > max(size - 4, 1) and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut


def _runs(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield (run, whether it is valid UTF-8 and long enough to be read as text)."""
    for found in _RUN.finditer(data.decode("utf-8", "surrogateescape")):
        run = found[0].encode("utf-8", "surrogateescape")
        yield run, found[1] is None and len(run) >= min(SHORTEST, len(data))
