"""Code lengths of a binary string under many codes, and of labels under a learner; in nats, side by side."""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CODES", "PrequentialCode", "code_length", "prequential_code_length"]

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def code_length(bits: Any, model: Any = "kt", *, base: float | None = None, **options: Any) -> float:
    """Return the length of the code that `model` gives to a binary string, in nats.

    Parameters
    ----------
    bits : array (n,)
        Zeros and ones, or booleans.
    model : str, array (n,) or callable
        A name: ``"raw"`` (n log 2); ``"enumerative"`` (log of the number of strings with as many ones; that
        number is taken as known); ``"per_one"`` (log n for each one, its position stated by itself);
        ``"kt"`` (adaptive, Krichevsky-Trofimov, ``order=k`` for contexts of the k previous bits);
        ``"gap_gamma"``, ``"gap_delta"`` (Elias codes of the gaps between ones); ``"gap_entropy"`` (the gaps
        at their empirical entropy; the table of gap frequencies is taken as known); ``"zlib"``, ``"bz2"``,
        ``"lzma"`` (the bytes of the packed string at the highest level). An array holds the probability of a
        one at every position. A callable is called with the bits and returns nats.
    base : float, optional
        Base of the result's logarithm, 2 for bits.
    **options
        Of the named code.

    Raises
    ------
    ValueError
        For values other than 0 and 1, an empty string, an unknown name, or probabilities of another shape.

    Examples
    --------
    >>> code_length([0, 1, 0, 0], "raw", base=2)
    4.0
    >>> round(code_length([0, 1, 0, 0], "enumerative", base=2), 9)  # one of four
    2.0
    >>> code_length([0, 1], [0.5, 0.25], base=2)  # 1 bit, then 2
    3.0
    >>> code_length([0, 0, 1], "gap_gamma", base=2)  # gaps 3 and 1: 3 + 1 bits
    4.0

    References
    ----------
    P. Elias 1975; R. Krichevsky and V. Trofimov 1981; T. Cover 1973 (enumerative).
    """
    string = _bits(bits)
    if callable(model):
        nats = float(model(string, **options))
    elif isinstance(model, str):
        if model not in CODES:
            raise ValueError(f"model must be one of {', '.join(CODES)}, got {model!r}")
        nats = CODES[model](string, **options)
    else:
        nats = _predicted(string, np.asarray(model, dtype=np.float64), **options)
    if base is None:
        return nats
    if not (base > 0 and base != 1):
        raise ValueError(f"base must be positive and not 1, got {base!r}")
    return nats / math.log(base)


def _bits(bits: Any) -> Bits:
    array = np.asarray(bits)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"bits must be one-dimensional and not empty, got shape {array.shape}")
    if array.dtype.kind not in "buif" or (array.dtype.kind != "b" and not np.all((array == 0) | (array == 1))):
        raise ValueError("bits must hold zeros and ones only")
    return array.astype(np.bool_)


def _predicted(bits: Bits, ones: Floats) -> float:
    if ones.shape != bits.shape:
        raise ValueError(f"model: probabilities must have shape {bits.shape} like bits, got {ones.shape}")
    if not np.all((ones >= 0) & (ones <= 1)):
        raise ValueError("model: probabilities of a one must lie in [0, 1]")
    with np.errstate(divide="ignore"):
        return float(-np.sum(np.log(ones[bits])) - np.sum(np.log1p(-ones[~bits])))


def _raw(bits: Bits) -> float:
    return len(bits) * math.log(2.0)


def _enumerative(bits: Bits) -> float:
    n, ones = len(bits), int(np.count_nonzero(bits))
    return math.lgamma(n + 1) - math.lgamma(ones + 1) - math.lgamma(n - ones + 1)


def _per_one(bits: Bits) -> float:
    return int(np.count_nonzero(bits)) * math.log(len(bits))


def _kt(bits: Bits, order: int = 0) -> float:
    """Each context codes its own bits with ½ added to both counts; the first `order` bits cost log 2 each."""
    if not 0 <= order <= 20:
        raise ValueError(f"order must lie between 0 and 20, got {order!r}")
    n = len(bits)
    if n <= order:
        return _raw(bits)
    context = np.zeros(n - order, dtype=np.int64)
    for back in range(order):
        context |= bits[back : n - order + back].astype(np.int64) << back
    counts = np.bincount(2 * context + bits[order:], minlength=2 ** (order + 1)).reshape(-1, 2)
    # The product of the adaptive probabilities depends on the counts only: a Beta(½, ½) integral.
    from scipy.special import gammaln

    zeros, ones = counts[:, 0], counts[:, 1]
    blocks = 2 * gammaln(0.5) + gammaln(zeros + ones + 1.0) - gammaln(zeros + 0.5) - gammaln(ones + 0.5)
    return float(np.sum(blocks)) + order * math.log(2.0)


def _gaps(bits: Bits) -> npt.NDArray[np.int64]:
    """Distances between consecutive ones, from position 0 to a last one just beyond the end."""
    return np.diff(np.concatenate([[0], np.flatnonzero(bits) + 1, [len(bits) + 1]]))


def _log2_floor(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64) - 1


def _gap_gamma(bits: Bits) -> float:
    return float(np.sum(2 * _log2_floor(_gaps(bits)) + 1)) * math.log(2.0)


def _gap_delta(bits: Bits) -> float:
    size = _log2_floor(_gaps(bits))
    return float(np.sum(size + 2 * _log2_floor(size + 1) + 1)) * math.log(2.0)


def _gap_entropy(bits: Bits) -> float:
    counts = np.unique(_gaps(bits), return_counts=True)[1].astype(np.float64)
    return float(np.sum(counts * (math.log(counts.sum()) - np.log(counts))))


def _compressed(compress: Callable[[bytes], bytes]) -> Callable[[Bits], float]:
    return lambda bits: 8 * math.log(2.0) * len(compress(np.packbits(bits).tobytes()))


#: The named codes.
CODES: dict[str, Callable[..., float]] = {
    "raw": _raw,
    "enumerative": _enumerative,
    "per_one": _per_one,
    "kt": _kt,
    "gap_gamma": _gap_gamma,
    "gap_delta": _gap_delta,
    "gap_entropy": _gap_entropy,
    "zlib": _compressed(lambda raw: zlib.compress(raw, 9)),
    "bz2": _compressed(lambda raw: bz2.compress(raw, 9)),
    "lzma": _compressed(lambda raw: lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)),
}


@dataclass(frozen=True, eq=False)
class PrequentialCode:
    """Code length of labels, predicted one block after another by a learner fitted to all blocks before.

    Attributes
    ----------
    nats : float
        Whole length.
    n : int
        Number of labels.
    edges : array (n_blocks + 1,)
        Where the blocks start and end.
    block_nats : array (n_blocks,)
        Length of each block; the first is coded uniformly.
    """

    nats: float
    n: int
    edges: npt.NDArray[np.int64]
    block_nats: Floats

    def __float__(self) -> float:
        return self.nats

    def __repr__(self) -> str:
        return f"PrequentialCode({self.nats:.6g} nats, {self.nats / self.n:.4g} per label, n={self.n})"


def prequential_code_length(learner: Any, X: Any, y: Any, *, edges: Any = None) -> PrequentialCode:
    """Return the length of the labels `y` when a learner predicts every block from all that came before.

    The length includes the cost of learning, without counting parameters. The first block is coded uniformly
    over the K labels. In each later one the learner's probability p is coded as (t·p + 1)/(t + K) after t
    labels, so that no label, not even one never seen before, has an infinite length.

    Parameters
    ----------
    learner : object
        With ``fit(X, y)``, ``predict_proba(X)`` and then ``classes_``, as scikit-learn's classifiers; it is
        refitted for every block.
    X : array (n, ...)
        What the labels are predicted from.
    y : array (n,)
        Labels; their set is taken as known.
    edges : array of int, optional
        Ends of the blocks, ascending, the last n; by default the block sizes double from 64 on.

    Raises
    ------
    ValueError
        For mismatched lengths or edges that are not ascending up to n.

    Examples
    --------
    >>> class Frequencies:  # Laplace's rule
    ...     def fit(self, X, y):
    ...         self.classes_, counts = np.unique(y, return_counts=True)
    ...         self.p = counts / counts.sum()
    ...     def predict_proba(self, X):
    ...         return np.tile(self.p, (len(X), 1))
    >>> y = np.arange(1000) % 10 == 0
    >>> code = prequential_code_length(Frequencies(), np.zeros((1000, 1)), y)
    >>> bool(0.325 < code.nats / 1000 < 0.375)  # the entropy is 0.3251
    True

    References
    ----------
    A. P. Dawid 1984; L. Blier and Y. Ollivier 2018, arXiv:1802.07044.
    """
    inputs, labels = np.asarray(X), np.asarray(y)
    n = len(labels)
    if labels.ndim != 1 or n == 0 or inputs.ndim == 0 or len(inputs) != n:
        raise ValueError(f"X and y must have one row for each of n labels, got {inputs.shape} and {labels.shape}")
    classes, index = np.unique(labels, return_inverse=True)
    ends = _edges(edges, n)
    block_nats = [float(ends[0]) * math.log(len(classes))]
    for start, end in pairwise(ends.tolist()):
        chance = np.zeros((end - start, len(classes)))
        seen = np.unique(index[:start])
        if len(seen) == 1:  # nothing to discriminate yet
            chance[:, seen[0]] = 1.0
        else:
            learner.fit(inputs[:start], labels[:start])
            chance[:, np.searchsorted(classes, learner.classes_)] = learner.predict_proba(inputs[start:end])
        given = chance[np.arange(end - start), index[start:end]]
        block_nats.append(-float(np.sum(np.log((start * given + 1.0) / (start + len(classes))))))
    bounds = np.concatenate([[0], ends]).astype(np.int64)
    return PrequentialCode(float(np.sum(block_nats)), n, bounds, np.array(block_nats))


def _edges(edges: Any, n: int) -> npt.NDArray[np.int64]:
    if edges is None:
        sizes = 64 * 2 ** np.arange(max(0, math.ceil(math.log2(max(n, 1) / 64))) + 1)
        return np.unique(np.minimum(sizes, n)).astype(np.int64)
    ends = np.asarray(edges)
    if ends.ndim != 1 or ends.dtype.kind not in "ui" or ends.size == 0:
        raise ValueError(f"edges must be a list of integers, got {edges!r}")
    if ends[0] < 1 or np.any(np.diff(ends) < 1) or ends[-1] != n:
        raise ValueError(f"edges must ascend from at least 1 to n={n}, got {ends.tolist()}")
    return ends.astype(np.int64)
