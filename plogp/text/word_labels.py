"""Words of a text, and which of them a compressed version of it kept.

Source: Z. Pan et al., LLMLingua-2, arXiv 2403.12968, 2024.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CompressionQuality", "align_labels", "compression_quality", "join_words", "keep_annotations", "split_words"]

Mask = npt.NDArray[np.bool_]
Words = str | Sequence[str]

_UNIT = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:['’-]\w+)*|\n|[^\w\s]")


def split_words(text: str) -> list[tuple[str, int, int]]:
    """Return the units of a text with their places: words, numbers, punctuation marks, line breaks.

    >>> split_words("It's $3.50, ok")
    [("It's", 0, 4), ('$', 5, 6), ('3.50', 6, 10), (',', 10, 11), ('ok', 12, 14)]
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {type(text).__name__}")
    return [(hit[0], hit.start(), hit.end()) for hit in _UNIT.finditer(text)]


def join_words(text: str, kept: Any) -> str:
    """Return the kept units of a text; units that touched still touch, others are one space or line break apart.

    >>> join_words("It costs $3.50, I think.", [0, 1, 1, 1, 0, 0, 0, 1])
    'costs $3.50.'
    """
    units = split_words(text)
    mask = np.asarray(kept, bool)
    if mask.shape != (len(units),):
        raise ValueError(f"kept must hold one label for each of the {len(units)} units, got shape {mask.shape}")
    out = ""
    for i in np.flatnonzero(mask):
        word, start, _ = units[i]
        touches = (i > 0 and units[i - 1][2] == start) and (mask[i - 1] or not word[0].isalnum())
        if out and not touches and word != "\n" and not out.endswith("\n"):
            out += " "
        out += word
    return out


def _units(text: Words, name: str) -> list[str]:
    if isinstance(text, str):
        return [word for word, _, _ in split_words(text)]
    found = list(text)
    if not all(isinstance(word, str) for word in found):
        raise TypeError(f"{name} must be a text or a list of words")
    return found


def align_labels(
    original: Words,
    compressed: Words,
    window: int = 150,
    *,
    lemma: Callable[[str], str] = str.lower,
    ignore: Collection[str] = (",",),
) -> tuple[list[str], Mask]:
    """Return the words of the original and whether the compressed text kept each.

    A pointer walks along the original. For each compressed word it looks at distance 0, 1, ..., window - 1, ahead
    first and then behind, for the nearest equal word that is not labelled yet; a hit ahead moves the pointer, but by
    no more than half the window, a hit behind moves it back. Words may so be changed in order, and a word that occurs
    several times may be labelled at another occurrence than the one that was kept.

    Parameters
    ----------
    original, compressed : str or sequence of str
        Texts, or their words (see `split_words`).
    window : int
        How far to look; 150 by default, 400 in the authors' preparation of data.
    lemma : callable
        Words are equal if this is; a lemmatiser finds inflected forms.
    ignore : collection of str
        Words without a role; in the original they stay unlabelled.

    Returns
    -------
    words : list of str
    labels : array of bool

    Raises
    ------
    ValueError
        If the original has no word or window < 1.

    Examples
    --------
    >>> words, labels = align_labels("The vote on the budget passed, narrowly.", "vote budget passed")
    >>> [w for w, kept in zip(words, labels) if kept]
    ['vote', 'budget', 'passed']
    """
    words, labels, _, _ = _aligned(original, compressed, window, lemma, ignore)
    return words, labels


def _aligned(
    original: Words, compressed: Words, window: int, lemma: Callable[[str], str], ignore: Collection[str]
) -> tuple[list[str], Mask, int, int]:
    """Return the words, their labels, and how many compressed words there are and occur in the original."""
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window!r}")
    words = _units(original, "original")
    used = [i for i, word in enumerate(words) if word not in ignore]
    if not used:
        raise ValueError("original has no words")
    left = [lemma(words[i]) for i in used]
    right = [lemma(word) for word in _units(compressed, "compressed") if word not in ignore]
    known, last = set(left), len(left) - 1
    labels = np.zeros(len(left), bool)
    at = 0
    for word in right:
        if word not in known:
            continue
        for i in range(min(window, len(left))):
            ahead, behind = min(at + i, last), max(at - i, 0)
            if left[ahead] == word and not labels[ahead]:
                labels[ahead] = True
                at = min(ahead, at + window // 2)
                break
            if left[behind] == word and not labels[behind]:
                labels[behind] = True
                at = behind
                break
    whole = np.zeros(len(words), bool)
    whole[used] = labels
    return words, whole, len(right), sum(word in known for word in right)


@dataclass(frozen=True)
class CompressionQuality:
    """How faithful a compressed text is; all are shares.

    Attributes
    ----------
    rate : float
        Compressed words per original word.
    variation_rate : float
        Compressed words that the original has not: invented or changed.
    hitting_rate : float
        Compressed words that the original has, per original word.
    matching_rate : float
        Original words that `align_labels` labels.
    alignment_gap : float
        hitting_rate - matching_rate, at least 0: words repeated, or moved beyond the window.
    """

    rate: float
    variation_rate: float
    hitting_rate: float
    matching_rate: float
    alignment_gap: float


def compression_quality(
    original: Words,
    compressed: Words,
    window: int = 150,
    *,
    lemma: Callable[[str], str] = str.lower,
    ignore: Collection[str] = (",",),
) -> CompressionQuality:
    """Return variation, hitting and matching rate and alignment gap of a compressed text; parameters as `align_labels`.

    An empty compressed text has variation rate 1, as in the authors' code.

    >>> compression_quality("a b c d", "b e").variation_rate
    0.5
    """
    words, labels, size, found = _aligned(original, compressed, window, lemma, ignore)
    n = sum(word not in ignore for word in words)
    hitting, matching = found / n, int(labels.sum()) / n
    return CompressionQuality(size / n, 1 - found / size if size else 1.0, hitting, matching, hitting - matching)


def keep_annotations(
    qualities: Sequence[CompressionQuality], percentile: float = 90.0, *, released: bool = False
) -> Mask:
    """Return which compressed texts to train on: those below the percentile of variation rate, then of alignment gap.

    A rate of 0 is without fault and stays. The released code drops what is AT the percentile too, so that it drops
    everything where more than that share of a corpus is faultless; `released` does the same.

    Raises
    ------
    ValueError
        If `qualities` is empty or the percentile is outside [0, 100].

    Examples
    --------
    >>> bad = compression_quality("a b", "x y")
    >>> good = compression_quality("a b", "a")
    >>> keep_annotations([good] * 9 + [bad]).sum()
    np.int64(9)
    """
    if not len(qualities):
        raise ValueError("qualities is empty")
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile must lie in [0, 100], got {percentile!r}")
    kept = np.ones(len(qualities), bool)
    for values in ([q.variation_rate for q in qualities], [q.alignment_gap for q in qualities]):
        x = np.array(values)
        if not kept.any():
            break
        kept &= (x < np.percentile(x[kept], percentile)) | (not released and x <= 0)
    return kept
