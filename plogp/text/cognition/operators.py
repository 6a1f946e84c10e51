"""`perturb`: operators that roughen a text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plogp.text.cognition.state import CLAUSE, cosine, sentences_of, words_of

__all__ = ["perturb"]

CONJUNCTIONS = ("and", "but", "while", "so")


def perturb(
    text: str,
    length: Mapping[str, float] | bool | None = None,
    tail: Mapping[str, Any] | float | None = None,
    leap: Mapping[str, Any] | float | None = None,
    *,
    rng: Any = None,
) -> str:
    """Roughen a text: sentences of swinging length, words from the tail of a model's law, sentences out of place.

    Parameters
    ----------
    text : str
    length : mapping or True, optional
        Sentence i aims at L_i = L0 (1 + A sin(2πi/P + φ)) + N(0, s²) words, cut to [3, longest], by being split at a
        clause mark or joined with the next one by a conjunction. Keys ``L0`` (the text's mean), ``amplitude`` (0.5),
        ``period`` (7), ``phase`` (0), ``noise`` (2), ``longest`` (60).
    tail : float or mapping, optional
        Probability ``rho`` (0.08) that a token is replaced by one of ranks ``band`` (10, 100) of the law of a
        ``predictor`` (the embedded model) there, drawn in proportion to its probability.
    leap : float or mapping, optional
        Probability ``rate`` (0.1) that a sentence is followed by one from elsewhere, whose similarity to it lies in
        ``band`` (0.2, 0.5): from ``pool`` (the text's own sentences), by word counts or by an ``encoder`` with
        ``encode(texts) -> (n, d)``.
    rng : Generator, int or None

    Returns
    -------
    str
        The text, its paragraphs joined by spaces where `length` or `leap` change it.

    Raises
    ------
    ValueError
        For a text without words, unknown keys, or parameters out of range.

    Examples
    --------
    >>> perturb("It rains, and the street is wet. We stay. The cat sleeps.", length={"L0": 4, "noise": 0}, rng=0)
    'It rains. And the street is wet. We stay, and the cat sleeps.'

    References
    ----------
    arXiv:2512.01354 (2025): the three operators; their formulas are a reconstruction with the same roles.
    """
    if not words_of(text):
        raise ValueError("text must hold at least one word")
    g = np.random.default_rng(rng)
    if tail is not None:
        given = {"rho": tail} if isinstance(tail, int | float) else tail
        text = _replace(text, g, **_known(given, "tail", {"rho": 0.08, "band": (10, 100), "predictor": None}))
    if length is not None and length is not False:
        options = {"L0": None, "amplitude": 0.5, "period": 7.0, "phase": 0.0, "noise": 2.0, "longest": 60.0}
        text = _swing(text, g, **_known({} if length is True else length, "length", options))
    if leap is not None:
        given = {"rate": leap} if isinstance(leap, int | float) else leap
        text = _leap(text, g, **_known(given, "leap", {"rate": 0.1, "band": (0.2, 0.5), "pool": None, "encoder": None}))
    return text


def _known(given: Any, name: str, options: dict[str, Any]) -> dict[str, Any]:
    unknown = set(given) - set(options)
    if unknown:
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}; it takes {', '.join(options)}")
    return {**options, **given}


def _swing(
    text: str,
    g: np.random.Generator,
    L0: float | None,
    amplitude: float,
    period: float,
    phase: float,
    noise: float,
    longest: float,
) -> str:
    if not period > 0 or noise < 0 or longest < 3:
        raise ValueError("length: expected period > 0, noise >= 0 and longest >= 3")
    waiting = sentences_of(text)[::-1]
    base = float(np.mean([len(words_of(s)) for s in waiting])) if L0 is None else float(L0)
    out: list[str] = []
    while waiting:
        target = (
            base * (1 + amplitude * math.sin(2 * math.pi * len(out) / period + phase)) + noise * g.standard_normal()
        )
        target = min(max(target, 3.0), longest)
        sentence = waiting.pop()
        while waiting and len(words_of(sentence)) + len(words_of(waiting[-1])) <= 1.25 * target:
            sentence = _join(sentence, waiting.pop(), str(g.choice(CONJUNCTIONS)))
        if len(words_of(sentence)) > 1.25 * target:
            cuts = [(abs(len(words_of(sentence[: m.start()])) - target), m) for m in CLAUSE.finditer(sentence)]
            # Two words on either side, so that no list is torn apart and no number is cut.
            cuts = [c for c in cuts if _apart(sentence, c[1])]
            if cuts:
                mark = min(cuts, key=lambda c: c[0])[1]
                rest = sentence[mark.end() :].strip()
                waiting.append(rest[:1].upper() + rest[1:])
                sentence = sentence[: mark.start()].rstrip() + "."
        out.append(sentence)
    return " ".join(out)


def _apart(sentence: str, mark: re.Match[str]) -> bool:
    before, after = sentence[: mark.start()], sentence[mark.end() :]
    return len(words_of(before)) > 1 and len(words_of(after)) > 1 and (after[:1].isspace() or not after[:1].isalnum())


def _join(first: str, second: str, word: str) -> str:
    lower = second if re.match(r"I\b", second) else second[:1].lower() + second[1:]
    return f"{first.rstrip('.!? ')}, {word} {lower}"


def _replace(text: str, g: np.random.Generator, rho: float, band: tuple[int, int], predictor: Any) -> str:
    first, last = band
    if not 0 <= rho <= 1 or not 1 <= first <= last:
        raise ValueError(f"tail: expected 0 <= rho <= 1 and 1 <= band[0] <= band[1], got {rho} and {band}")
    from plogp.trace.predictors import as_ids, session

    if predictor is None:
        from plogp.trace.huggingface import load_model

        predictor = load_model(None)
    tokenizer = predictor if hasattr(predictor, "encode") else getattr(predictor, "tokenizer", None)
    if tokenizer is None:
        raise ValueError("tail: the predictor has no tokenizer")
    ids = as_ids(tokenizer.encode(text), predictor.vocab_size).tolist()
    changed = g.random(len(ids)) < rho
    longest = getattr(predictor, "max_length", None) or 512
    for t in np.flatnonzero(changed).tolist():
        if t == 0:
            continue  # the first token has no law without a BOS
        z = np.asarray(session(predictor, ids[max(0, t + 1 - longest // 2) : t]).logits, dtype=np.float64)
        ranked = np.argsort(-z, kind="stable")[first - 1 : last]
        p = np.exp(z[ranked] - z[ranked].max())
        if p.sum() > 0:
            ids[t] = int(g.choice(ranked, p=p / p.sum()))
    return str(tokenizer.decode(ids))


def _leap(
    text: str, g: np.random.Generator, rate: float, band: tuple[float, float], pool: Sequence[str] | None, encoder: Any
) -> str:
    low, high = band
    if not 0 <= rate <= 1 or not low <= high:
        raise ValueError(f"leap: expected 0 <= rate <= 1 and band[0] <= band[1], got {rate} and {band}")
    sentences = sentences_of(text)
    others = sentences if pool is None else list(pool)
    if encoder is None:
        bags, theirs = ([Counter(words_of(s)) for s in group] for group in (sentences, others))
        similar = np.array([[cosine(u, v) for v in theirs] for u in bags])
    else:
        a, b = (np.asarray(encoder.encode(list(group)), dtype=np.float64) for group in (sentences, others))
        a, b = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300) for v in (a, b))
        similar = a @ b.T
    out = []
    for i, sentence in enumerate(sentences):
        out.append(sentence)
        near = np.flatnonzero((similar[i] >= low) & (similar[i] <= high))
        if g.random() < rate and len(near):
            out.append(others[int(g.choice(near))])
    return " ".join(out)
