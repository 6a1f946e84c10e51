"""Information value and population stability index: one number, the Jeffreys divergence of two groups' bins.

IV compares a column's bins between events and non-events, PSI between a reference and a current table:
Σ_b (p_b - q_b) ln(p_b / q_b) = KL(p‖q) + KL(q‖p). Both come from counts alone, so a database does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from plogp.estimate.multinomial import multinomial_divergence
from plogp.measures import divergence
from plogp.measures.uncertainty import Estimate
from plogp.tables.frames import Frame

__all__ = [
    "IV_BANDS",
    "PSI_BANDS",
    "SE",
    "InformationRow",
    "InformationTable",
    "band",
    "is_leak",
    "iv_from_counts",
    "psi_from_counts",
    "separation",
    "weight_of_evidence",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SE = Literal["multinomial", "log-odds"]

#: Industry's words for an information value below each bound; labels, not tests.
IV_BANDS = ((0.02, "useless"), (0.1, "weak"), (0.3, "medium"), (0.5, "strong"), (np.inf, "suspicious"))
#: Industry's words for a population stability index below each bound.
PSI_BANDS = ((0.1, "stable"), (0.25, "shift"), (np.inf, "major shift"))
#: Bins that order events before non-events this well (area under the ROC curve) are taken for a leak.
LEAK_AUC = 0.97


@dataclass(frozen=True)
class InformationRow:
    """One column's information value or stability index.

    ``value`` is the Jeffreys divergence in nats with its delta-method error; ``bias_corrected`` takes off
    what bins of equal distributions would show. ``chi2`` and ``df`` are n1 n0 / (n1 + n0) times the value
    and its degrees of freedom; ``p_value`` is of equal distributions by ``test``, ``p_adjusted`` controls
    the false discovery rate over the table. ``band`` is industry's word. ``contributions`` are the bins'
    parts of the value and ``woe`` their weights of evidence.
    """

    feature: str
    value: Estimate
    bias_corrected: float
    chi2: float
    df: int
    p_value: float
    p_adjusted: float
    band: str
    leak: bool
    contributions: Mapping[str, float]
    woe: Mapping[str, float]
    test: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, repr=False)
class InformationTable(Frame):
    """What `iv` and `psi` return: one `InformationRow` a column, the largest value first."""

    title: str
    rows: list[InformationRow]
    notes: list[str] = field(default_factory=list)

    row_type: ClassVar[type] = InformationRow
    shown: ClassVar[tuple[str, ...]] = ("feature", "value", "bias_corrected", "p_adjusted", "band", "leak")


def weight_of_evidence(
    events: npt.ArrayLike, non_events: npt.ArrayLike, smoothing: float = 0.5, se: SE = "multinomial"
) -> tuple[Floats, Floats]:
    """Return the weight of evidence ln(p_b / q_b) of every bin and its standard error.

    p_b and q_b are the bin's shares of the events and of the non-events, with `smoothing` added to each
    count, so WoE_b = logit P(event | b) - logit P(event): positive where events are over-represented.

    Parameters
    ----------
    events, non_events : array-like of shape (B,)
        Counts.
    smoothing : float
        Added to each count of the bins that have rows.
    se : "multinomial" or "log-odds"
        Var = 1/n1_b - 1/n1 + 1/n0_b - 1/n0 (both totals random), or 1/n1_b + 1/n0_b (the prior log-odds
        known).

    Returns
    -------
    woe, error : arrays of shape (B,)
        Nats. A bin without rows has WoE 0 and an infinite error.

    Examples
    --------
    >>> w, e = weight_of_evidence([30, 20], [10, 20], smoothing=0.0)
    >>> w.round(4), e.round(4)
    (array([ 0.5878, -0.5108]), array([0.2828, 0.216 ]))
    """
    n1, n0 = _pair(events, non_events)
    if se not in ("multinomial", "log-odds"):
        raise ValueError(f"se must be 'multinomial' or 'log-odds', got {se!r}")
    if not smoothing >= 0:
        raise ValueError(f"smoothing must be at least 0, got {smoothing!r}")
    seen = n1 + n0 > 0
    n1, n0 = np.where(seen, n1 + smoothing, 0.0), np.where(seen, n0 + smoothing, 0.0)
    t1, t0 = n1.sum(), n0.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        woe = np.where(seen, np.log(n1 / t1) - np.log(n0 / t0), 0.0)
        variance = 1 / n1 + 1 / n0 - (1 / t1 + 1 / t0 if se == "multinomial" else 0.0)
    # With one bin the multinomial variance is 0 by definition; rounding must not make it negative.
    return woe, np.sqrt(np.where(seen, np.maximum(variance, 0.0), np.inf))


def separation(events: npt.ArrayLike, non_events: npt.ArrayLike) -> float:
    """Return the area under the ROC curve of a column's bins, ordered by their event rate.

    >>> separation([0, 10], [90, 0]), separation([5, 5], [50, 50])
    (1.0, 0.5)
    """
    n1, n0 = _pair(events, non_events)
    with np.errstate(invalid="ignore"):
        order = np.argsort(np.where(n1 + n0 > 0, n1 / (n1 + n0), 0.0), kind="stable")
    n1, n0 = n1[order], n0[order]
    below = np.cumsum(n0) - n0
    return float((n1 * (below + 0.5 * n0)).sum() / (n1.sum() * n0.sum()))


def is_leak(events: npt.ArrayLike, non_events: npt.ArrayLike, p_value: float = 0.0) -> bool:
    """Return whether bins nearly determine the target: area 0.97 or more, and not by chance.

    A column that says who the event is was probably made after it: 1 % of flipped labels still leaves 0.99.

    >>> is_leak([0, 500], [500, 0]), is_leak([100, 400], [400, 100])
    (True, False)
    """
    return separation(events, non_events) >= LEAK_AUC and p_value < 1e-3


def band(value: float, bands: Sequence[tuple[float, str]] = IV_BANDS) -> str:
    """Return industry's word for a value.

    >>> band(0.15), band(0.15, PSI_BANDS)
    ('medium', 'shift')
    """
    return next(word for bound, word in bands if value < bound)


def iv_from_counts(
    events: npt.ArrayLike,
    non_events: npt.ArrayLike,
    labels: Sequence[str] | None = None,
    feature: str = "",
    smoothing: float = 0.5,
    bands: Sequence[tuple[float, str]] = IV_BANDS,
) -> InformationRow:
    """Return the information value of one column from the counts of its bins.

    Parameters
    ----------
    events, non_events : array-like of shape (B,)
        Counts; both groups need rows.
    labels : sequence of str, optional
        Names of the bins.
    feature : str
        Name of the column.
    smoothing : float
        Added to each count of the bins that have rows (0.5 is Jeffreys' prior), so that a pure bin is a large
        finite contribution and neither infinite nor dropped.
    bands : sequence of (bound, word)
        For `band`.

    Examples
    --------
    >>> row = iv_from_counts([40, 80, 120, 100, 60], [500, 625, 625, 500, 250], feature="age")
    >>> round(row.value.value, 4), round(row.value.se, 4), row.band, row.df
    (0.1198, 0.0375, 'medium', 4)
    >>> iv_from_counts([0, 50], [50, 0]).leak                    # a perfect predictor is no "0.0"
    True
    """
    n1, n0 = _pair(events, non_events)
    estimate = multinomial_divergence(n1, n0, divergence("jeffreys"), smoothing=smoothing)
    names = [str(k) for k in range(len(n1))] if labels is None else [str(x) for x in labels]
    if len(names) != len(n1):
        raise ValueError(f"labels must name {len(n1)} bins, got {len(names)}")
    woe, _ = weight_of_evidence(n1, n0, smoothing)
    seen = n1 + n0 > 0
    p, q = ((n + smoothing) * seen / ((n + smoothing) * seen).sum() for n in (n1, n0))
    part = np.where(seen, (p - q) * np.where(seen, woe, 0.0), 0.0)
    p_value = 1.0 if estimate.p_value is None else float(estimate.p_value)
    effective = n1.sum() * n0.sum() / (n1.sum() + n0.sum())
    facts = estimate.diagnostics
    notes = []
    if facts["smallest_expected"] < 5:
        notes.append("a bin has fewer than 5 expected rows of a group: the standard error is rough")
    return InformationRow(
        feature=feature,
        value=estimate,
        bias_corrected=float(facts["corrected"]),
        chi2=float(effective * estimate.value),
        df=int(facts["df"]),
        p_value=p_value,
        p_adjusted=p_value,
        band=band(estimate.value, bands),
        leak=is_leak(n1, n0, p_value),
        contributions=dict(zip(names, part.tolist())),
        woe=dict(zip(names, woe.tolist())),
        test=str(facts["test"]),
        notes=notes,
    )


def psi_from_counts(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    labels: Sequence[str] | None = None,
    feature: str = "",
    smoothing: float = 0.5,
) -> InformationRow:
    """Return the population stability index of one column: `iv_from_counts` with its own words.

    Examples
    --------
    >>> counts = [120, 210, 330], [200, 250, 250]
    >>> psi_from_counts(*counts).value.value == iv_from_counts(*counts).value.value
    True
    """
    row = iv_from_counts(reference, current, labels, feature, smoothing, PSI_BANDS)
    return replace(row, leak=False)


def _pair(events: npt.ArrayLike, non_events: npt.ArrayLike) -> tuple[Floats, Floats]:
    n1, n0 = np.asarray(events, dtype=np.float64), np.asarray(non_events, dtype=np.float64)
    if n1.shape != n0.shape or n1.ndim != 1 or n1.size == 0:
        raise ValueError(f"events and non_events must be one-dimensional and equally long: {n1.shape}, {n0.shape}")
    for name, n in (("events", n1), ("non_events", n0)):
        if not np.all(np.isfinite(n)) or np.any(n < 0):
            raise ValueError(f"{name} must be finite counts of at least 0")
        if n.sum() == 0:
            raise ValueError(f"{name} must have rows: all counts are 0")
    return n1, n0
