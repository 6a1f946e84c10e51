"""What a language model knows about a text: a composition of `plogp.trace` and `plogp.text`."""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate
from plogp.report.representations import Row
from plogp.report.text_scores import ScoreRow, scores_of
from plogp.report.texts import NamedText
from plogp.report.words import shown
from plogp.tables.frames import Frame

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = [
    "MOST_CHARS",
    "Passage",
    "Reading",
    "Token",
    "Traced",
    "passages_of",
    "read",
    "reader",
    "trace_text",
]

Floats = npt.NDArray[np.float64]

#: Characters that the model reads of each text; a longer one is read in passages, evenly spaced.
MOST_CHARS = 160_000
PASSAGE_CHARS = 4_000
#: Tokens of a window that is looked at for surprise, and how many are shown.
WINDOW = 24
MOST_WINDOWS = 8
#: Tokens drawn in the heat map.
MOST_DRAWN = 800
#: Characters that are searched for repeats.
MOST_SEARCHED = 500_000
#: Points of the curve along the text, and frequencies of the spectrum.
MOST_POINTS = 120
FREQUENCIES = 48
LN2 = math.log(2.0)


@dataclass(frozen=True)
class Token:
    """A token as the heat map shows it; numbers in nats, None where the model says nothing."""

    text: str
    logprob: float | None
    entropy: float | None
    rank: int | None


@dataclass(frozen=True)
class Passage:
    """A stretch of a text: the document (from 1), where it starts (characters), and its bits per byte."""

    document: int
    start: int
    text: str
    bits_per_byte: float


@dataclass(frozen=True, repr=False)
class Reading(Frame):
    """What a language model knows about a text.

    Attributes
    ----------
    source : str
    model : str
    documents, n_chars, n_bytes : int
        What was given.
    read_chars, tokens : int
        What the model read: characters, and tokens that it scored.
    rows : list of Row
        The numbers.
    scores : list of ScoreRow
        Detection and membership, against human texts.
    surprising : list of Passage
        The most surprising passages, the worst first.
    tokens_drawn : list of Token
        The beginning, token by token.
    curve : tuple of two lists
        Position in the text (characters) and bits per byte there.
    frequencies, magnitudes : arrays
        The spectrum of surprisal: cycles a token, and the mean magnitude relative to white noise.
    reference : str
        Which human texts the scores are compared with.
    """

    row_type: ClassVar[type] = Row
    shown: ClassVar[tuple[str, ...]] = ("name", "value")

    source: str
    model: str
    documents: int
    n_chars: int
    n_bytes: int
    read_chars: int
    tokens: int
    rows: list[Row]
    scores: list[ScoreRow]
    surprising: list[Passage]
    tokens_drawn: list[Token]
    curve: tuple[list[float], list[float]]
    frequencies: Floats
    magnitudes: Floats
    reference: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """One line in words."""
        return f"{self.source}: {self.n_chars:,} characters read by {self.model}"


def passages_of(text: NamedText) -> tuple[list[str], list[tuple[int, int]], list[str]]:
    """Return what the model reads, where each piece comes from (document from 0, character), and notes.

    A text of up to `MOST_CHARS` characters is read whole. Of a longer one, passages of `PASSAGE_CHARS` characters are
    read, evenly spaced over all documents and cut at white space.
    """
    if text.n_chars <= MOST_CHARS:
        return list(text.documents), [(i, 0) for i in range(len(text))], []
    ends = np.cumsum([len(d) for d in text.documents])
    starts = ends - [len(d) for d in text.documents]
    count = MOST_CHARS // PASSAGE_CHARS
    pieces, places = [], []
    for at in np.linspace(0, max(int(ends[-1]) - PASSAGE_CHARS, 0), count).astype(int):
        i = int(np.searchsorted(ends, at, side="right"))
        begin = int(at - starts[i])
        document = text.documents[i]
        if begin:
            begin = next((k + 1 for k in range(begin, min(begin + 200, len(document))) if document[k].isspace()), begin)
        piece = document[begin : begin + PASSAGE_CHARS]
        if piece.strip():
            pieces.append(piece)
            places.append((i, begin))
    note = (
        f"{text.name}: {text.n_chars:,} characters are many; the model read {len(pieces)} passages of up to "
        f"{PASSAGE_CHARS:,} characters, evenly spaced. Compressors and repetition are of the whole."
    )
    return pieces, places, [note]


@lru_cache(maxsize=2)
def reader(model: str | None, device: str) -> Any:
    """Return the language model that reads; the last two are kept."""
    from plogp.trace import load_model

    return load_model(model, device=device)


@dataclass(frozen=True)
class Traced:
    """A text with its trace: what was read of it, where each piece comes from (document, character), and notes."""

    text: NamedText
    trace: Trace
    model: str
    places: list[tuple[int, int]]
    notes: list[str]


def trace_text(text: NamedText, model: str | None = None, device: str = "cpu") -> Traced:
    """Let the model read a text.

    Raises
    ------
    ValueError
        If the model predicts none of its tokens.
    """
    from plogp.trace import trace

    pieces, places, notes = passages_of(text)
    predictor = reader(model, device)
    t = trace(predictor, pieces)
    if not t.scored.any():
        raise ValueError(f"{text.name}: too short, the model predicts none of its tokens")
    name = "the embedded model" if model is None else str(model)
    return Traced(text, t, name, places, notes)


def read(given: Traced, model: str | None = None, device: str = "cpu", *, seed: int = 0) -> Reading:
    """Return what the model knows about a text."""
    text, t = given.text, given.trace
    frequencies, magnitudes = _spectrum(t)
    scores, reference, more = scores_of(given, reader(model, device))
    return Reading(
        text.name,
        given.model,
        len(text),
        text.n_chars,
        text.n_bytes,
        sum(len(s) for s in t.texts or ()),
        int(t.scored.sum()),
        [*_surprisal(t, seed), *_compressors(text), *_repetition(text, t)],
        scores,
        _surprising(t, given.places),
        _drawn(t[0]),
        _curve(t, given.places, text),
        frequencies,
        magnitudes,
        reference,
        [*text.notes, *given.notes, *more],
    )


def _exact(value: float, unit: str, n: int, why: str = "descriptive") -> Estimate:
    return Estimate(float(value), None, n, "exact", unit=unit, diagnostics={"no_interval": why})


def _surprisal(t: Trace, seed: int) -> Iterator[Row]:
    yield Row(
        "bits per byte",
        t.estimate("bits_per_byte", rng=seed),
        "What the model needs for each byte of the text (UTF-8): lower is more predictable to it.",
        "surprisal",
    )
    yield Row(
        "bits per character",
        t.estimate("bits_per_char", rng=seed),
        "The same for each character.",
        "surprisal",
    )
    yield Row("surprisal", t.estimate("mean_nll", rng=seed), "Mean of -log p over the tokens.", "surprisal")
    scored = t.scored
    entropy = np.asarray(t.entropy, dtype=np.float64)[scored]
    variance = float(np.asarray(t.varentropy, dtype=np.float64)[scored].sum())
    excess = -np.asarray(t.logprob, dtype=np.float64)[scored] - entropy
    yield Row(
        "expected surprisal",
        Estimate(float(entropy.mean()), None, len(entropy), "mean entropy", diagnostics={"no_interval": "descriptive"}),
        "Mean entropy of the model's predictions: its surprisal if it had written the text itself.",
        "surprisal",
    )
    z = float(excess.sum() / math.sqrt(variance)) if variance > 0 else math.nan
    yield Row(
        "surprise beyond expectation",
        _exact(z, "", len(entropy), "a test statistic"),
        "Surprisal less expected surprisal, in standard deviations: within ±2 if the model itself wrote the text.",
        "surprisal",
    )


def _compressors(text: NamedText) -> Iterator[Row]:
    data = "\n".join(text.documents).encode("utf-8", "surrogatepass")
    for name, size in (
        ("gzip -9", len(zlib.compress(data, 9)) + 12),  # gzip's header and trailer are 12 bytes more than zlib's
        ("bzip2 -9", len(bz2.compress(data, 9))),
        ("xz -9", len(lzma.compress(data, preset=9))),
    ):
        yield Row(
            name,
            _exact(8 * size / len(data), "bits/byte", len(data), "exact"),
            "Bits per byte of the whole file under this compressor.",
            "compressors",
        )


def _repetition(text: NamedText, t: Trace) -> Iterator[Row]:
    from plogp.trace import distinct_ngrams, longest_repeat

    ids = [t[i].ids for i in range(len(t))]
    for n in (2, 4):
        share = 1 - distinct_ngrams(ids, n)
        if math.isfinite(share):
            what = f"Share of the {n}-grams of tokens that repeat an earlier one; it grows with the length."
            yield Row(f"repeated {n}-grams", _exact(share, "", sum(map(len, ids))), what, "repetition")
    whole = text.n_chars <= MOST_SEARCHED
    documents = text.documents if whole else _beginning(text.documents, MOST_SEARCHED)
    found = longest_repeat(documents)
    i, k = found.second
    sample = shown(" ".join(documents[i][k : k + min(found.length, 80)].split()), 80)
    what = "Characters of the longest passage that occurs twice"
    what += "" if whole else f" in the first {MOST_SEARCHED:,}"
    what += f": “{sample}”." if found.length > 1 and sample else "."
    yield Row("longest repeat", _exact(found.length, "characters", text.n_chars, "exact"), what, "repetition")


def _beginning(documents: Sequence[str], most: int) -> list[str]:
    out = []
    for document in documents:
        out.append(document[:most])
        most -= len(document)
        if most <= 0:
            break
    return out


def _windows(t: Trace, length: int, step: int) -> Iterator[tuple[int, int, int, float]]:
    """Yield sequence, first and last token and bits per byte of every window of `length` scored tokens."""
    for i in range(len(t)):
        one = t[i]
        surprisal = np.where(one.scored, -np.asarray(one.logprob, dtype=np.float64), 0.0)
        sizes = _token_bytes(one)
        total, size = (np.concatenate([[0.0], np.cumsum(v)]) for v in (surprisal, sizes * one.scored))
        n = len(surprisal)
        for a in range(0, max(n - length, 0) + 1, step):
            b = min(a + length, n)
            if size[b] > size[a]:
                yield i, a, b, float((total[b] - total[a]) / (size[b] - size[a]) / LN2)


def _text(one: Trace) -> str:
    assert one.texts is not None  # texts were given
    return one.texts[0]


def _spans(one: Trace) -> npt.NDArray[np.int64]:
    if one.char_span is None:
        raise ValueError("the model's tokenizer does not say where its tokens are in the text; use a fast tokenizer")
    return np.asarray(one.char_span, dtype=np.int64)


def _reach(one: Trace) -> npt.NDArray[np.int64]:
    """Characters of the text up to the end of each token; several tokens may end in one character."""
    return np.maximum.accumulate(_spans(one)[:, 1])


def _token_bytes(one: Trace) -> Floats:
    """Bytes of the text that each token stands for; those of a character of several tokens are the first one's."""
    ends = np.concatenate([[0], np.cumsum([len(c.encode("utf-8", "surrogatepass")) for c in _text(one)])])
    return np.diff(ends[_reach(one)], prepend=0).astype(np.float64)


def _surprising(t: Trace, places: Sequence[tuple[int, int]]) -> list[Passage]:
    """The windows of most bits per byte, each text once, none overlapping another, without the first words of a piece.

    The model has seen nothing yet at those, so that a surprise there is not the text's.
    """
    found = sorted(_windows(t, WINDOW, WINDOW // 4), key=lambda w: -w[3])
    kept: list[tuple[int, int, int]] = []
    out: list[Passage] = []
    shown_texts = set()
    for i, a, b, value in found:
        if len(out) == MOST_WINDOWS:
            break
        if b - a < WINDOW // 2 or (a < WINDOW // 4 and len(t[i].ids) > 4 * WINDOW):
            continue
        if any(i == j and b > c and a < d for j, c, d in kept):
            continue
        kept.append((i, a, b))
        spans = _spans(t[i])
        words = _text(t[i])
        begin, end = _whole_words(words, int(spans[a, 0]), int(spans[b - 1, 1]))
        document, offset = places[i]
        said = words[begin:end].strip()
        if said and said not in shown_texts:
            shown_texts.add(said)
            out.append(Passage(document + 1, offset + begin, words[begin:end], value))
    return out


def _whole_words(text: str, begin: int, end: int, most: int = 20) -> tuple[int, int]:
    """Widen a stretch of text to whole words, by at most `most` characters on each side."""
    for _ in range(most):
        if begin > 0 and text[begin - 1].isalnum() and text[begin].isalnum():
            begin -= 1
        if end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
            end += 1
    return begin, end


def _drawn(one: Trace) -> list[Token]:
    """The first tokens with the characters that each stands for; a character of several tokens is the first one's."""
    text, ends = _text(one), _reach(one)
    assert one.entropy is not None  # trace() was asked for all statistics
    assert one.rank is not None
    out, begin = [], 0
    for k in range(min(len(one.ids), MOST_DRAWN)):
        said = bool(one.scored[k])
        out.append(
            Token(
                text[begin : ends[k]],
                float(one.logprob[k]) if said else None,
                float(one.entropy[k]) if said else None,
                int(one.rank[k]) if said else None,
            )
        )
        begin = int(ends[k])
    return out


def _curve(t: Trace, places: Sequence[tuple[int, int]], text: NamedText) -> tuple[list[float], list[float]]:
    """Bits per byte along the text, in about `MOST_POINTS` windows."""
    starts = np.concatenate([[0], np.cumsum([len(d) for d in text.documents])])
    length = max(WINDOW, int(t.scored.sum()) // MOST_POINTS)
    at, values = [], []
    for i, a, b, value in _windows(t, length, length):
        document, offset = places[i]
        spans = _spans(t[i])
        at.append(float(starts[document] + offset + 0.5 * (spans[a, 0] + spans[b - 1, 1])))
        values.append(value)
    return at, values


def _spectrum(t: Trace) -> tuple[Floats, Floats]:
    """Power of the surprisal series by frequency, in units of white noise of the same variance."""
    from plogp.text import surprisal_spectrum

    edges = np.linspace(0, 0.5, FREQUENCIES + 1)
    power, count = np.zeros(FREQUENCIES), np.zeros(FREQUENCIES)
    for i in range(len(t)):
        one = t[i]
        series = np.asarray(one.logprob, dtype=np.float64)[one.scored]
        if len(series) < 2 * FREQUENCIES or series.var() == 0:
            continue
        frequency, magnitude = surprisal_spectrum(one, detrend="mean")
        frequency, magnitude = np.asarray(frequency)[1:], np.asarray(magnitude)[1:]
        bins = np.minimum(np.searchsorted(edges, frequency, side="left") - 1, FREQUENCIES - 1)
        np.add.at(power, bins, magnitude**2 / (len(series) * series.var()))
        np.add.at(count, bins, 1)
    if not count.all():
        return np.zeros(0), np.zeros(0)
    return 0.5 * (edges[1:] + edges[:-1]), power / count
