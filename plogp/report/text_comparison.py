"""Two texts side by side: how predictable each is, which tokens they use, and how surprise comes and goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate
from plogp.report.comparisons import Finding
from plogp.report.readings import Traced
from plogp.tables.frames import Frame

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = ["TextComparison", "TokenShift", "compare_texts"]

#: Tokens of a passage, the unit that the permutation test exchanges between the texts.
PASSAGE = 128
PERMUTATIONS = 499
MOST_SHIFTS = 24
#: Tokens rarer than this in both texts together are pooled into one state.
RAREST = 3


@dataclass(frozen=True)
class TokenShift:
    """A token that one text uses more than the other: shares, and its part of the Jensen-Shannon divergence."""

    token: str
    first: float
    second: float
    contribution: float


@dataclass(frozen=True, repr=False)
class TextComparison(Frame):
    """How two texts differ.

    Attributes
    ----------
    first, second : str
    n, m : int
        Tokens of each.
    rows : list of Finding
        Differences, each with its interval.
    p_value : float
        Of one law of tokens for both, by exchanging passages.
    test : str
    shifts : list of TokenShift
        The tokens whose use differs most.
    """

    row_type: ClassVar[type] = Finding
    shown: ClassVar[tuple[str, ...]] = ("name", "value")

    first: str
    second: str
    n: int
    m: int
    rows: list[Finding]
    p_value: float
    test: str
    shifts: list[TokenShift]
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """One line in words."""
        return f"{self.first} and {self.second}: how the texts differ"

    @property
    def found(self) -> bool:
        """Whether the test finds a difference at 5 %."""
        return self.p_value < 0.05


def compare_texts(first: Traced, second: Traced, decode: Any, *, seed: int = 0) -> TextComparison:
    """Compare two texts from their traces under one model; `decode` turns token ids into text."""
    from plogp.estimate import multinomial_divergence, permutation_test
    from plogp.text import face

    a, b = traces = first.trace, second.trace
    rng = np.random.default_rng(seed)
    rows = []
    for field_name, label, what in (
        ("bits_per_byte", "bits per byte", "First less second: negative, the first is the more predictable."),
        ("mean_nll", "surprisal of a token", "First less second."),
    ):
        e, f = (t.estimate(field_name, rng=seed) for t in traces)
        rows.append(Finding(label, _difference(e, f), what))
    vocabulary, passages, owner = _passages(a, b)
    pooled = np.stack([passages[owner == k].sum(axis=0) for k in (0, 1)])
    js = multinomial_divergence(pooled[0], pooled[1], "js", correct_bias=True, null=False, rng=rng)
    what = "Jensen-Shannon divergence of the two token frequencies; rare tokens pooled, bias removed."
    rows.append(Finding("token frequencies", js, what))
    similarity = face([a[i] for i in range(len(a))], [b[i] for i in range(len(b))]) if _long_enough(a, b) else {}
    for key, label, what in (
        ("SO", "spectral overlap", "FACE: overlap of the spectra of surprisal, 1 the same rhythm."),
        ("CORR", "spectral correlation", "FACE: Pearson correlation of the two spectra."),
    ):
        if similarity:
            rows.append(Finding(label, similarity[key], what))

    def statistic(labels: Any, counts: Any) -> float:
        mine = counts[labels == 0].sum(axis=0)
        return _plain_js(mine, counts.sum(axis=0) - mine)

    p, test = float("nan"), f"not made: it needs two passages of {PASSAGE} tokens in each text"
    if min(np.bincount(owner, minlength=2)) >= 2:
        p = permutation_test(statistic, owner, passages, PERMUTATIONS, rng).p_value
        test = (
            f"passages of {PASSAGE} tokens exchanged between the texts ({PERMUTATIONS} times); statistic: the "
            "Jensen-Shannon divergence of their token frequencies"
        )
    return TextComparison(
        first.text.name,
        second.text.name,
        int(a.scored.sum()),
        int(b.scored.sum()),
        rows,
        p,
        test,
        _shifts(pooled, vocabulary, decode),
    )


def _difference(e: Estimate, f: Estimate) -> Estimate:
    """Return e - f of independent samples."""
    if e.se is None or f.se is None:
        return Estimate(e.value - f.value, None, e.n + f.n, e.method, unit=e.unit, diagnostics=e.diagnostics)
    return Estimate(e.value - f.value, float(np.hypot(e.se, f.se)), e.n + f.n, e.method, unit=e.unit)


def _passages(a: Trace, b: Trace) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Token ids of the states (-1 for the pool of rare ones), counts (passage, state), and whose each passage is."""
    pieces, owner = [], []
    for k, t in enumerate((a, b)):
        ids = np.asarray(t.ids)
        for start in range(0, len(ids), PASSAGE):
            piece = ids[start : start + PASSAGE]
            if len(piece) == PASSAGE or start == 0:
                pieces.append(piece)
                owner.append(k)
    vocabulary, counts = np.unique(np.concatenate(pieces), return_counts=True)
    common = vocabulary[counts >= RAREST]
    table = np.zeros((len(pieces), len(common) + 1), dtype=np.int64)
    for row, piece in zip(table, pieces):
        at = np.searchsorted(common, piece)
        known = (at < len(common)) & (common[np.minimum(at, len(common) - 1)] == piece) if len(common) else at < 0
        np.add.at(row, np.where(known, at, len(common)), 1)
    return np.append(common, -1), table, np.array(owner)


def _plain_js(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> float:
    from plogp.measures import divergence

    return float(divergence("js")(x / x.sum(), y / y.sum()))


def _shifts(pooled: npt.NDArray[np.int64], vocabulary: npt.NDArray[np.int64], decode: Any) -> list[TokenShift]:
    from plogp.measures import divergence

    js = divergence("js")
    p, q = pooled / pooled.sum(axis=1, keepdims=True)
    part = np.where(q > 0, q * js.f(p / np.where(q > 0, q, 1.0)), p * js.finf)  # the summands of Σ q f(p / q)
    order = np.argsort(-part)[:MOST_SHIFTS]
    return [
        TokenShift(decode([int(vocabulary[k])]), float(p[k]), float(q[k]), float(part[k]))
        for k in order
        if vocabulary[k] >= 0 and part[k] > 0
    ]


def _long_enough(a: Trace, b: Trace) -> bool:
    return min(int(t.scored.sum()) for t in (a, b)) >= 64
