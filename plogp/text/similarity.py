"""How alike texts are: by their words, by embeddings, by any judge; and the groups of equal meaning that follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.text.encoder import Encoder, as_texts, unit_rows

__all__ = ["Encoder", "greedy_clusters", "lexical", "rouge_l", "similarity_matrix", "words"]

Floats = npt.NDArray[np.float64]
Judge = Callable[[str, str], float]

# Scripts written without spaces are read one character at a time.
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|(?:(?![{_SPACELESS}])[^\W_])+")


def words(text: str) -> list[str]:
    """Return the lower-case words of a text: runs of letters and digits; each character of Chinese and Japanese.

    On ASCII text these are the tokens of the reference ROUGE scripts, which however drop every other letter.

    >>> words("The cat's 2 naïve kittens; 猫だ")
    ['the', 'cat', 's', '2', 'naïve', 'kittens', '猫', 'だ']
    """
    return _WORD.findall(text.lower())


def rouge_l(a: str, b: str, *, tokenize: Callable[[str], Sequence[str]] = words) -> float:
    r"""Return ROUGE-L, the F measure of the longest common subsequence of words, in [0, 1]; symmetric.

    .. math:: F = \frac{2\,\mathrm{LCS}(a, b)}{|a| + |b|}

    Two texts without a word are alike (1); one with and one without are not (0).

    Raises
    ------
    TypeError
        If an argument is no string.

    Examples
    --------
    >>> rouge_l("the cat sat on the mat", "the cat lay on a mat")  # the cat on mat
    0.6666666666666666

    References
    ----------
    C.-Y. Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004. Common subsequence by bits: M.
    Crochemore et al., Information Processing Letters 80, 2001.
    """
    first, second = (_tokens(x, tokenize, name) for x, name in ((a, "a"), (b, "b")))
    if not first and not second:
        return 1.0
    return 2.0 * _common_subsequence(first, second) / (len(first) + len(second))


def _common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence: one big-integer step for each token of `b`."""
    places: dict[str, int] = {}
    for i, token in enumerate(a):
        places[token] = places.get(token, 0) | (1 << i)
    full = (1 << len(a)) - 1
    row = full  # a 0 bit is a place where the length grows
    for token in b:
        hit = row & places.get(token, 0)
        row = ((row + hit) | (row - hit)) & full
    return len(a) - row.bit_count()


def lexical(a: str, b: str, *, tokenize: Callable[[str], Sequence[str]] = words) -> float:
    """Return the Jaccard similarity of the sets of words, |A ∩ B| / |A ∪ B|, in [0, 1].

    >>> lexical("the cat sat", "the cat lay")
    0.5
    """
    first, second = (set(_tokens(x, tokenize, name)) for x, name in ((a, "a"), (b, "b")))
    union = first | second
    return len(first & second) / len(union) if union else 1.0


def _tokens(text: Any, tokenize: Callable[[str], Sequence[str]], name: str) -> Sequence[str]:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, got {type(text).__name__}")
    return tokenize(text)


def similarity_matrix(
    texts: Any,
    kind: str | Judge = "rouge-l",
    *,
    encoder: Any = None,
    symmetric: bool = False,
    progress: bool = False,
) -> Floats:
    """Return the symmetric n x n similarities of texts, with ones on the diagonal.

    Equal texts count as similarity 1 and are judged once, so many equal answers cost little.

    Parameters
    ----------
    texts : sequence of str
        Or, for "cosine", an array (n, d) of their embeddings.
    kind : {"rouge-l", "lexical", "cosine"} or callable
        Longest common subsequence of words; shared words (Jaccard); cosine of embeddings, in [-1, 1]; or
        ``f(a, b)``, for example the probability that a entails b. A callable is asked both ways and averaged.
    encoder : Encoder, folder or object with ``encode``, optional
        For "cosine": what `Encoder` takes.
    symmetric : bool
        The callable gives the same both ways: ask it once a pair.
    progress : bool
        Show a bar.

    Raises
    ------
    TypeError, ValueError
        If `texts` is no list of strings, `kind` is unknown, or a callable returns no finite number.

    Examples
    --------
    >>> similarity_matrix(["in Paris", "Paris", "in Rome"]).round(3)
    array([[1.   , 0.667, 0.5  ],
           [0.667, 1.   , 0.   ],
           [0.5  , 0.   , 1.   ]])
    """
    if isinstance(kind, str) and kind == "cosine":
        return _cosines(texts, encoder, progress)
    if encoder is not None:
        raise ValueError(f"encoder is of use for kind='cosine' only, got kind={kind!r}")
    judge: Judge
    if callable(kind):
        judge = kind
    elif kind in ("rouge-l", "lexical"):
        judge, symmetric = (rouge_l if kind == "rouge-l" else lexical), True
    else:
        raise ValueError(f"kind must be 'rouge-l', 'lexical', 'cosine' or a function of two texts, got {kind!r}")
    strings = as_texts(texts)
    unique = list(dict.fromkeys(strings))
    K = np.eye(len(unique))
    rows: Any = range(len(unique))
    if progress:
        from rich.progress import track

        rows = track(rows, description="similarities")
    for i in rows:
        for j in range(i):
            K[i, j] = _judged(judge, unique[j], unique[i])
            if not symmetric:
                K[i, j] = (K[i, j] + _judged(judge, unique[i], unique[j])) / 2
            K[j, i] = K[i, j]
    number = {text: i for i, text in enumerate(unique)}
    place = np.array([number[text] for text in strings])
    return np.asarray(K[np.ix_(place, place)])


def _judged(judge: Judge, a: str, b: str) -> float:
    value = float(judge(a, b))
    if not np.isfinite(value):
        raise ValueError(f"kind returned {value} for the texts {a[:60]!r} and {b[:60]!r}; expected a finite number")
    return value


def _cosines(texts: Any, encoder: Any, progress: bool) -> Floats:
    given = getattr(texts, "ndim", 0) == 2
    if given and encoder is not None:
        raise ValueError("texts are embeddings already; pass no encoder")
    unit = unit_rows(texts, "texts") if given else Encoder.of(encoder).encode(texts, progress=progress)
    unit = unit.astype(np.float64)
    K = np.clip(unit @ unit.T, -1.0, 1.0)
    np.fill_diagonal(K, 1.0)
    return np.asarray((K + K.T) / 2)


def greedy_clusters(equivalent: Any, items: Sequence[Any] | None = None, *, reassign: bool = False) -> list[int]:
    """Group items by meaning: each joins the first group whose first member it is equivalent to.

    Parameters
    ----------
    equivalent : array of bool, shape (n, n), or callable
        Whether two items mean the same: a matrix, read both ways (entailment must hold in both directions), for
        example ``similarity_matrix(texts) >= 0.7``; or ``equivalent(a, b) -> bool``, asked with the items.
    items : sequence, optional
        The items, for a callable.
    reassign : bool
        Let an item leave its group for a later one whose first member it is also equivalent to, as the released
        code of the papers on semantic entropy does. It differs only where equivalence is not transitive.

    Returns
    -------
    list of int
        The group of each item, numbered from 0 in order of appearance.

    Raises
    ------
    TypeError, ValueError
        For a matrix that is not square or not boolean, or a callable without items.

    Examples
    --------
    >>> greedy_clusters(lambda a, b: a[0] == b[0], ["Paris", "Rome", "paris", "Prague"])
    [0, 1, 2, 0]
    """
    if callable(equivalent):
        if items is None:
            raise TypeError("items are needed beside a callable")
        members = list(items)
        n = len(members)

        def same(i: int, j: int) -> bool:
            return bool(equivalent(members[i], members[j]))
    else:
        if items is not None:
            raise TypeError("items belong to a callable; a matrix needs none")
        matrix = np.asarray(equivalent)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype != np.bool_:
            raise ValueError(
                f"equivalent must be a square matrix of bool, got shape {matrix.shape} of {matrix.dtype}; "
                "compare similarities with a threshold first"
            )
        n = len(matrix)

        def same(i: int, j: int) -> bool:
            return bool(matrix[i, j] and matrix[j, i])

    labels = [-1] * n
    group = 0
    for i in range(n):
        if labels[i] >= 0:
            continue
        labels[i] = group
        for j in range(i + 1, n):
            if (reassign or labels[j] < 0) and same(i, j):
                labels[j] = group
        group += 1
    return labels
