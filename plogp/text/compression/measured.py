"""`compression_report`: how many bits each way of coding a text takes, under a model and without one."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from plogp.measures.arrays import logsumexp
from plogp.text.compression.codec import Alphabet, context_window, resolve, steps
from plogp.text.compression.lanes import Lanes
from plogp.text.compression.laws import Encoder, RankWriter
from plogp.text.compression.pieces import alphabet

__all__ = ["CompressionReport", "compression_report"]


@dataclass(frozen=True)
class CompressionReport:
    """Sizes of one text in bits, by method; the model's own size is in none of them.

    Attributes
    ----------
    n_chars, n_bytes, n_tokens : int
        Of the text; `n_raw` of the bytes are in no token.
    entropy_bound : float
        Sum of -log2 p of the tokens (exact softmax), plus 8 bits for each raw byte: what no code under this law beats.
    token_by_token : float
        With every token's code length rounded up to whole bits.
    arithmetic, rank_zlib : float
        The streams of the two coders, without headers.
    gzip, bz2, xz : float
        gzip and bzip2 at level 9, xz at level 9 with its extreme setting.
    seconds : float
        For the pass over the text.
    """

    n_chars: int
    n_bytes: int
    n_tokens: int
    n_raw: int
    entropy_bound: float
    token_by_token: float
    arithmetic: float
    rank_zlib: float
    gzip: float
    bz2: float
    xz: float
    seconds: float

    METHODS = ("entropy_bound", "arithmetic", "token_by_token", "rank_zlib", "gzip", "bz2", "xz")

    def bits_per_char(self) -> dict[str, float]:
        """Return bits per character by method, the paper's ratio; NaN for bytes that are no text."""
        return {name: getattr(self, name) / self.n_chars if self.n_chars else math.nan for name in self.METHODS}

    def bits_per_byte(self) -> dict[str, float]:
        """Return bits per byte by method."""
        return {name: getattr(self, name) / self.n_bytes for name in self.METHODS}

    @property
    def tokens_per_second(self) -> float:
        """Tokens read in a second."""
        return self.n_tokens / self.seconds if self.seconds else math.nan

    def __str__(self) -> str:
        per_byte = self.bits_per_byte()
        lines = [f"{self.n_bytes} bytes, {self.n_tokens} tokens; bits per byte, without the model's own size:"]
        return "\n".join(lines + [f"  {name:15} {per_byte[name]:7.4f}" for name in self.METHODS])


def compression_report(
    text: str | bytes,
    predictor: Any = None,
    *,
    window: int = 511,
    stride: int | None = None,
    tokenizer: Any = None,
) -> CompressionReport:
    """Return the sizes of a text under a model's coders and under gzip, bzip2 and xz, from one pass.

    Parameters are those of `compress`; the text is read as one stream.

    Raises
    ------
    ValueError
        For an empty text, or options out of range.

    Examples
    --------
    >>> from plogp.trace import NGramLM
    >>> text = b"a rose is a rose is a rose is a rose. " * 10
    >>> lm = NGramLM(order=4, vocab_size=256).fit([list(text)])
    >>> report = compression_report(text, lm)
    >>> report.entropy_bound <= report.arithmetic <= report.entropy_bound + 66, report.n_tokens
    (True, 380)

    References
    ----------
    Valmeekam et al. (2023), arXiv:2306.04050: the entropy bound and the three coders.
    """
    data = text.encode() if isinstance(text, str) else bytes(text)
    if not data:
        raise ValueError("text must not be empty")
    predictor = resolve(predictor)
    letters: Alphabet = alphabet(predictor, tokenizer)
    window, stride = context_window(predictor, window, stride)
    pieces = letters.pieces(data)
    ids = np.concatenate([np.zeros(0, dtype=np.int64), *(p for p in pieces if not isinstance(p, bytes))]).astype(int)
    raw = b"".join(p for p in pieces if isinstance(p, bytes))
    start = time.perf_counter()
    coder, ranked, bits = Encoder(), RankWriter(), []
    lanes = Lanes(predictor, 1, window, stride)
    for level, where in steps(lanes, ids, [len(ids)]):
        coder.tokens(level, ids[where])
        ranked.tokens(level, ids[where])
        z = lanes.logits
        bits.append(float(logsumexp(z, axis=-1)[0] - z[0, ids[where[0]]]) / math.log(2))
    coder.raw(raw)
    ranked.raw(raw)
    seconds = time.perf_counter() - start
    surprisal = np.array(bits)
    try:
        n_chars = len(data.decode())
    except UnicodeDecodeError:
        n_chars = 0
    return CompressionReport(
        n_chars=n_chars,
        n_bytes=len(data),
        n_tokens=len(ids),
        n_raw=len(raw),
        entropy_bound=float(surprisal.sum()) + 8.0 * len(raw),
        token_by_token=float(np.ceil(surprisal).sum()) + 8.0 * len(raw),
        arithmetic=8.0 * len(coder.finish()),
        rank_zlib=8.0 * (len(ranked.finish()) - 8),
        gzip=8.0 * len(gzip.compress(data, 9)),
        bz2=8.0 * len(bz2.compress(data, 9)),
        xz=8.0 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
        seconds=seconds,
    )
