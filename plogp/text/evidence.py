"""Evidence put in other orders, or hidden in part: the ensembles of prompts that the decompression law compares.

Source: L. Chlon, A. Karim and M. Chlon, 2025, arXiv 2509.11208; the closed-book masks follow the authors' toolkit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_array
from plogp.measures import jensen_shannon
from plogp.measures.arrays import check_probabilities, log_softmax

__all__ = ["PermutationMixture", "banded_permutations", "js_certificate", "permutation_mixture", "skeletons"]

Floats = npt.NDArray[np.float64]


def js_certificate(S: Any) -> Any:
    r"""Return :math:`\sqrt{\frac12 E_k KL(S_k‖\bar S)}`, a bound on E|S_k(A) - S̄(A)| for every event A.

    By Pinsker and Jensen; it assumes nothing of the model. S: (..., m, V), one distribution an order.

    >>> S = np.array([[0.9, 0.1], [0.5, 0.5]])
    >>> round(float(js_certificate(S)), 3), float(np.abs(S[:, 0] - 0.7).mean())
    (0.226, 0.2)
    """
    return jensen_shannon(S) ** 0.5 * 0.5**0.5


@dataclass(frozen=True, eq=False)
class PermutationMixture:
    """Predictions under m orders of the evidence: `orders` (m, n), `S` (m, V), and their `mean` S̄ (V,)."""

    orders: npt.NDArray[np.int64]
    S: Floats

    @property
    def mean(self) -> Floats:
        """The mixture S̄."""
        return np.asarray(self.S.mean(0))

    @property
    def certificate(self) -> float:
        """`js_certificate` of the orders."""
        return float(js_certificate(self.S))


def banded_permutations(
    n: int, m: int, bands: int | None = 6, rng: np.random.Generator | int | None = 0
) -> npt.NDArray[np.int64]:
    """Return m orders of n chunks that shuffle inside `bands` consecutive bands (None: over everything), (m, n).

    The orders differ where there are enough of them. With n <= bands nothing moves.

    >>> banded_permutations(4, 2, bands=2, rng=0)
    array([[0, 1, 2, 3],
           [0, 1, 3, 2]])
    """
    if n < 1 or m < 1 or (bands is not None and bands < 1):
        raise ValueError(f"n, m and bands must be at least 1, got {n!r}, {m!r}, {bands!r}")
    generator = np.random.default_rng(rng)
    parts = np.array_split(np.arange(n), 1 if bands is None else min(bands, n))
    possible = math.prod(math.factorial(len(part)) for part in parts)
    found: list[npt.NDArray[np.int64]] = []
    seen: set[bytes] = set()
    while len(found) < m:
        order = np.concatenate([generator.permutation(part) for part in parts]).astype(np.int64)
        if len(seen) < possible and order.tobytes() in seen:
            continue
        seen.add(order.tobytes())
        found.append(order)
    return np.stack(found)


def permutation_mixture(
    predictor: Any,
    chunks: Sequence[Any],
    m: int = 6,
    bands: int | None = 6,
    *,
    prefix: Sequence[int] = (),
    suffix: Sequence[int] = (),
    rng: np.random.Generator | int | None = 0,
    progress: bool = False,
) -> PermutationMixture:
    """Return what a model predicts under m orders of its evidence.

    Parameters
    ----------
    predictor : Predictor or callable
        ``next(ids) -> logits (V,)`` of `plogp.trace`, called with prefix + chunks in order + suffix; or a callable of
        the ordered list of chunks that returns probabilities (V,), such as those of "answer" and "refuse".
    chunks : sequence
        Token ids of each piece of evidence (for a Predictor), or whatever the callable reads.
    m, bands, rng
        As in `banded_permutations`.
    prefix, suffix : sequence of int
        Instructions before, the question after the evidence.

    Examples
    --------
    >>> mixture = permutation_mixture(lambda c: [0.9, 0.1] if c[0] == "a" else [0.6, 0.4], ["a", "b"], 2, 1)
    >>> mixture.mean
    array([0.75, 0.25])
    """
    pieces = list(chunks)
    if not pieces:
        raise ValueError("chunks is empty; expected at least one piece of evidence")
    orders = banded_permutations(len(pieces), m, bands, rng)
    rows: Any = orders
    if progress:
        from rich.progress import track

        rows = track(orders, description="orders")
    predictions = []
    for order in rows:
        arranged = [pieces[i] for i in order]
        if hasattr(predictor, "next"):
            parts = [np.asarray(x, np.int64).ravel() for x in (prefix, *arranged, suffix)]
            logits = np.asarray(as_array(predictor.next(np.concatenate(parts)), "logits"), np.float64)
            predictions.append(np.exp(log_softmax(logits)))
        else:
            predictions.append(np.asarray(as_array(predictor(arranged), "the prediction"), np.float64))
    S = np.stack(predictions)
    check_probabilities(S, -1, "the predictions")
    return PermutationMixture(orders, S)


#: Content that a closed-book skeleton hides: quotations, runs of capitalised words, numbers.
_CONTENT = (
    re.compile(r"“[^”]+”|\"[^\"]+\""),
    re.compile(r"\b[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)+"),
    re.compile(r"\b\d+(?:[.,]\d+)*\b"),
)


def skeletons(
    text: str,
    strengths: Sequence[float] = (0.25, 0.35, 0.5, 0.65, 0.8, 0.9),
    *,
    mask: str = "[…]",
    rng: np.random.Generator | int | None = 0,
) -> list[str]:
    """Return weakened forms of a prompt without evidence: each name, number and quotation is masked with a chance.

    After the masking, lines (if there are several) are put in a random order. Priors q_k of the answer come from
    these, the budget from the full prompt against them.

    >>> skeletons('Who wrote "Emma" in 1815 for John Murray?', [1.0])
    ['Who wrote […] in […] for […]?']
    """
    generator = np.random.default_rng(rng)
    out = []
    for strength in strengths:
        if not 0 <= strength <= 1:
            raise ValueError(f"strengths must lie in [0, 1], got {strength!r}")
        weak = text
        hide = partial(_masked, mask, strength, generator)
        for pattern in _CONTENT:
            weak = pattern.sub(hide, weak)
        lines = [line for line in weak.splitlines() if line.strip()]
        out.append("\n".join(lines[i] for i in generator.permutation(len(lines))) if len(lines) > 1 else weak)
    return out


def _masked(mask: str, strength: float, rng: np.random.Generator, hit: re.Match[str]) -> str:
    return mask if rng.random() < strength else hit[0]
