"""`CognitiveState`: seventeen features of how a text is written."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CLAUSE", "FEATURES", "CognitiveState", "cosine", "features", "sentences_of", "words_of"]

Floats = npt.NDArray[np.float64]

#: Name of each feature, and the range that becomes 0 to 1 where no reference texts are given.
FEATURES: dict[str, tuple[float, float]] = {
    "sentence_length": (0.0, 40.0),
    "sentence_length_sd": (0.0, 25.0),
    "burstiness": (-1.0, 1.0),
    "length_autocorrelation": (-1.0, 1.0),
    "clause_rate": (0.0, 4.0),
    "type_token_ratio": (0.0, 1.0),
    "hapax_share": (0.0, 1.0),
    "surprisal": (0.0, 12.0),
    "surprisal_sd": (0.0, 6.0),
    "function_words": (0.0, 0.7),
    "hedges": (0.0, 0.05),
    "intensifiers": (0.0, 0.05),
    "first_person": (0.0, 0.15),
    "questions_exclamations": (0.0, 1.0),
    "repairs": (0.0, 0.5),
    "topic_jumps": (0.0, 1.0),
    "sentiment_swing": (0.0, 0.2),
}
#: Words of MATTR's moving window.
WINDOW = 50


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FUNCTION_WORDS = _set(
    "a about above after again all also although am an and any are as at be because been before being below "
    "between both but by can could did do does down during each few for from further had has have he her here "
    "hers him his how i if in into is it its itself just may me might more most must my no nor not of off on "
    "once only or other our out over own same shall she should so some such than that the their them then "
    "there these they this those through to too under until up upon us very was we were what when where which "
    "while who whom whose why will with would you your"
)
HEDGES = _set(
    "apparently arguably assume believe could fairly generally guess likely maybe might mostly often partly "
    "perhaps possibly presumably probably quite rather relatively roughly seem seemed seems somewhat "
    "sometimes suggest suppose tend think unclear usually"
)
INTENSIFIERS = _set(
    "absolutely always awfully certainly clearly completely deeply definitely enormously entirely extremely "
    "far fully greatly highly incredibly indeed never obviously particularly perfectly really so strongly "
    "surely terribly totally truly utterly very"
)
FIRST_PERSON = _set("i me my mine myself we us our ours ourselves i'm i've i'd i'll we're we've we'd we'll")
POSITIVE = _set(
    "agree beautiful best better bright calm comfort delight easy enjoy excellent fair fine fresh friend gain "
    "gentle glad good grace great happy hope joy kind laugh light like love lucky nice peace please pleasant "
    "pleased pretty pure rich safe smile soft strong success sweet thank true trust useful warm welcome well "
    "win wise wonderful"
)
NEGATIVE = _set(
    "afraid alone anger angry awful bad bitter blood broken cold cruel cry danger dark dead death difficult "
    "dirty doubt dull enemy error evil fail failure false fear fight grief harm hate horrible hurt kill lie "
    "lonely lose loss lost mad miserable pain poor problem ruin sad sick sorrow terrible trouble ugly unhappy "
    "weak worse worst wound wrong"
)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*|\d+")
_SENTENCE = re.compile(r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+|\n\s*\n")
CLAUSE = re.compile(r"[,;:\u2014]|\s-\s")
_REPAIR = re.compile(
    r"\.\.\.|\u2026|\u2014|\s-\s|\b(\w+) \1\b|\b(?:i mean|or rather|well|actually|no wait)\b", re.IGNORECASE
)


def sentences_of(text: str) -> list[str]:
    """Return the sentences that hold a word."""
    return [s.strip() for s in _SENTENCE.split(text) if s and _WORD.search(s)]


def words_of(text: str) -> list[str]:
    """Return the words in lower case."""
    return [w.lower().replace("\u2019", "'") for w in _WORD.findall(text)]


@dataclass(frozen=True, eq=False)
class CognitiveState:
    """Seventeen features of a text, each in [0, 1].

    Mean and standard deviation of sentence length in words, its burstiness (sd - mean)/(sd + mean) and its correlation
    with the sentence before; clause marks a sentence; type-token ratio in a moving window of 50 words, share of words
    that occur once; mean and standard deviation of surprisal a token under a model; shares of function words, hedges,
    intensifiers and first person; shares of sentences with a question or exclamation mark, and with a repair, ellipsis
    or repeated word; mean lexical distance of neighbouring sentences; mean change of sentiment between them.

    Attributes
    ----------
    values : array, shape (17,)
    raw : array, shape (17,)
        Before scaling.

    Examples
    --------
    >>> state = CognitiveState.from_text("Perhaps it rains. I really do not know! It rains and it rains, they say.")
    >>> state.values.shape, round(state["first_person"], 2), round(state["questions_exclamations"], 2)
    ((17,), 0.44, 0.33)

    References
    ----------
    "The Necessity of Imperfection: Reversing Model Collapse via Simulating Cognitive Boundedness" (2025),
    arXiv:2512.01354. The paper names a state of 17 numbers read by a language model; these features, all computed and
    for English, are a reconstruction with the same role.
    """

    values: Floats
    raw: Floats

    @classmethod
    def from_text(
        cls, text: str, reference: Sequence[str] | Floats | None = None, *, predictor: Any = None
    ) -> CognitiveState:
        """Read the state of a text.

        Parameters
        ----------
        text : str
            At least one word.
        reference : sequence of texts, or array (2, 17), optional
            Texts whose 1 % and 99 % quantiles become 0 and 1; or these bounds (`scale`). By default fixed ranges.
        predictor : Predictor, optional
            With a tokenizer: surprisal of its tokens. By default that of each word under the counts of the words
            before it in the same text, plus one for a new word: no model is needed.

        Raises
        ------
        ValueError
            For a text without words, or fewer than two reference texts.
        """
        raw = features(text, predictor)
        low, high = np.array(list(FEATURES.values())).T
        if reference is not None:
            low, high = cls.scale(reference, predictor=predictor)
        return cls(np.clip((raw - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0), raw)

    @staticmethod
    def scale(reference: Sequence[str] | Floats, *, predictor: Any = None) -> Floats:
        """Return the bounds (2, 17): the 1 % and 99 % quantiles of each feature over reference texts."""
        if isinstance(reference, np.ndarray):
            if reference.shape != (2, len(FEATURES)):
                raise ValueError(f"reference must have shape (2, {len(FEATURES)}), got {reference.shape}")
            return reference
        if isinstance(reference, str) or len(reference) < 2:
            raise ValueError("reference must hold at least two texts")
        return np.quantile([features(t, predictor) for t in reference], [0.01, 0.99], axis=0)

    def __getitem__(self, name: str) -> float:
        return float(self.values[list(FEATURES).index(name)])

    def __array__(self, dtype: Any = None, copy: Any = None) -> Floats:
        return np.array(self.values, dtype=dtype)


def features(text: str, predictor: Any = None) -> Floats:
    """Return the 17 features of a text, unscaled."""
    sentences, words = sentences_of(text), words_of(text)
    if not words:
        raise ValueError("text must hold at least one word")
    parts = [words_of(s) for s in sentences]
    lengths = np.array([len(p) for p in parts], dtype=np.float64)
    mean, sd = float(lengths.mean()), float(lengths.std())
    counts, n = Counter(words), len(words)
    windows = [words[i : i + WINDOW] for i in range(max(1, n - WINDOW + 1))]
    surprisal = _surprisal(text, words, predictor)

    def share(lexicon: frozenset[str]) -> float:
        return sum(counts[w] for w in lexicon) / n

    bags = [Counter(p) for p in parts]
    jumps = [1 - cosine(a, b) for a, b in itertools.pairwise(bags)]
    mood = [sum((w in POSITIVE) - (w in NEGATIVE) for w in p) / len(p) for p in parts]
    return np.array(
        [
            mean,
            sd,
            (sd - mean) / (sd + mean),
            _autocorrelation(lengths),
            float(np.mean([len(CLAUSE.findall(s)) for s in sentences])),
            float(np.mean([len(set(w)) / len(w) for w in windows])),
            sum(c == 1 for c in counts.values()) / n,
            float(surprisal.mean()),
            float(surprisal.std()),
            share(FUNCTION_WORDS),
            share(HEDGES),
            share(INTENSIFIERS),
            share(FIRST_PERSON),
            float(np.mean([("?" in s) or ("!" in s) for s in sentences])),
            float(np.mean([bool(_REPAIR.search(s)) for s in sentences])),
            float(np.mean(jumps)) if jumps else 0.0,
            float(np.mean(np.abs(np.diff(mood)))) if len(mood) > 1 else 0.0,
        ]
    )


def _surprisal(text: str, words: list[str], predictor: Any) -> Floats:
    if predictor is None:
        seen: Counter[str] = Counter()
        out = []
        for t, word in enumerate(words):
            # Known words share what a new one, of weight one, leaves them.
            out.append(-math.log(max(seen[word], 1) / (t + 1)))
            seen[word] += 1
        return np.array(out)
    from plogp.trace.tracing import trace

    found = trace(predictor, [text])
    return -np.asarray(found.logprob[found.scored], dtype=np.float64)


def _autocorrelation(lengths: Floats) -> float:
    d = lengths - lengths.mean()
    total = float(d @ d)
    return float(d[:-1] @ d[1:]) / total if total > 0 else 0.0


def cosine(a: Counter[str], b: Counter[str]) -> float:
    """Return the cosine of two bags of words."""
    dot = sum(c * b[w] for w, c in a.items())
    size = math.sqrt(sum(c * c for c in a.values()) * sum(c * c for c in b.values()))
    return dot / size if size else 0.0
