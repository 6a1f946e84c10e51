"""What `profile`, `relate` and `drift` return: small frames of frozen rows.

Estimated numbers are `Estimate`s (nats, or dimensionless), counts are integers. Nothing here computes
information; it only holds, prints and converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from plogp.measures.uncertainty import Estimate
from plogp.tables.frames import Frame

__all__ = [
    "KINDS",
    "MISSING",
    "OTHER",
    "Bin",
    "ColumnProfile",
    "Drift",
    "DriftRow",
    "Histogram",
    "PairDependence",
    "Profile",
    "Relation",
    "TargetRow",
]

#: Every kind that a column may have.
KINDS = ("continuous", "discrete", "categorical", "boolean", "datetime", "constant", "text/id")
#: Label of the state that holds missing values; always the last.
MISSING = "(missing)"
#: Label of the state that holds categories too rare to be kept apart; before `MISSING`.
OTHER = "(other)"


@dataclass(frozen=True)
class Histogram:
    """Counts of a column's states.

    Parameters
    ----------
    labels : list of str
        One label a state, in the states' natural order; "(other)" holds folded rare categories and
        "(missing)", where present, is last.
    counts : list of int
        Rows in each state.
    edges : list of float or None
        For binned columns the ascending edges of the leading bins, so ``len(edges) - 1`` of the labels
        are bins; the first and last may be infinite. Dates are seconds since 1970-01-01. None for categories.

    Examples
    --------
    >>> h = Histogram(["a", "b", "(missing)"], [6, 3, 1])
    >>> h.total, h.shares
    (10, [0.6, 0.3, 0.1])
    """

    labels: list[str]
    counts: list[int]
    edges: list[float] | None = None

    @property
    def total(self) -> int:
        """Rows counted, missing ones included."""
        return sum(self.counts)

    @property
    def shares(self) -> list[float]:
        """Counts divided by their total (zeros for an empty histogram)."""
        total = self.total
        return [c / total if total else 0.0 for c in self.counts]

    def to_dict(self) -> dict[str, Any]:
        """Return the three fields as plain lists."""
        return {"labels": list(self.labels), "counts": list(self.counts), "edges": self.edges}


@dataclass(frozen=True)
class ColumnProfile:
    """One column of a `Profile`.

    ``entropy_of`` says what the entropy is of: "values" (exact states), "values (30 most frequent and other)", or
    "density" (differential entropy of a continuous column, in nats relative to its own unit, may be negative),
    with words in brackets where the values repeat.
    ``summary`` holds min, max, mean, sd and quantiles for numbers, and mode and mode_share for categories.
    """

    name: str
    kind: str
    n: int
    missing: int
    distinct: int
    entropy: Estimate
    entropy_of: str
    summary: Mapping[str, Any]
    histogram: Histogram
    why_kind: str
    notes: list[str] = field(default_factory=list)

    @property
    def missing_share(self) -> float:
        """Share of the rows that have no value."""
        return self.missing / self.n if self.n else 0.0


@dataclass(frozen=True)
class PairDependence:
    """Mutual information between two columns of a table.

    ``normalized`` is I(A; B) / min(H(A), H(B)) of the same binned states: 0 for independent columns, 1 when one
    column is a function of the other. ``p_adjusted`` controls the false discovery rate over all pairs.
    """

    a: str
    b: str
    mutual_information: Estimate
    normalized: float
    p_value: float
    p_adjusted: float
    method: str

    @property
    def dependent(self) -> bool:
        """Whether the dependence is more than noise: adjusted p below 0.05 and a positive corrected value."""
        return self.p_adjusted < 0.05 and self.mutual_information.value > 0


@dataclass(frozen=True, repr=False)
class Profile(Frame):
    """What `profile` returns: one `ColumnProfile` a column, and the dependence of every pair."""

    source: str
    n_rows: int
    columns: list[ColumnProfile]
    pairs: list[PairDependence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    row_type: ClassVar[type] = ColumnProfile
    shown: ClassVar[tuple[str, ...]] = ("name", "kind", "n", "missing", "distinct", "entropy", "entropy_of")

    @property
    def rows(self) -> list[ColumnProfile]:
        """The columns, in the table's order."""
        return self.columns

    @property
    def title(self) -> str:
        """One line in words."""
        found = sum(p.dependent for p in self.pairs)
        said = f", {found} of {len(self.pairs)} pairs dependent" if self.pairs else ""
        return f"{self.source}: {self.n_rows:,} rows x {len(self.columns)} columns{said}"

    def pairs_to_dicts(self) -> list[dict[str, Any]]:
        """Return the pairs as flat records (an estimate becomes value, low, high and se)."""
        from plogp.tables.frames import record

        return [record(p) for p in self.pairs]


@dataclass(frozen=True)
class Bin:
    """One state of a column beside the target: its rows, the event rate and the weight of evidence.

    ``woe`` is ln(share of events / share of non-events), positive where events are over-represented.
    Event rate and WoE are None where the target is not binary.
    """

    label: str
    n: int
    share: float
    event_rate: float | None = None
    woe: float | None = None
    woe_se: float | None = None


@dataclass(frozen=True)
class TargetRow:
    """What one column says about the target.

    ``informative`` needs both an adjusted p-value below 0.05 and a positive bias-corrected mutual information.
    ``leak`` marks a column that (nearly) determines the target.
    """

    column: str
    kind: str
    mutual_information: Estimate
    information_value: Estimate | None
    p_value: float
    p_adjusted: float
    informative: bool
    leak: bool
    bins: list[Bin]
    notes: list[str] = field(default_factory=list)
    normalized: float = 0.0


@dataclass(frozen=True, repr=False)
class Relation(Frame):
    """What `relate` returns: one `TargetRow` a column, most informative first."""

    source: str
    target: str
    target_kind: str
    n_rows: int
    dropped_rows: int
    rows: list[TargetRow]
    notes: list[str] = field(default_factory=list)
    target_entropy: Estimate | None = None
    event: str | None = None

    row_type: ClassVar[type] = TargetRow
    shown: ClassVar[tuple[str, ...]] = (
        "column",
        "kind",
        "mutual_information",
        "information_value",
        "p_adjusted",
        "informative",
        "leak",
    )

    @property
    def title(self) -> str:
        """One line in words."""
        found, leaks = sum(r.informative for r in self.rows), [r.column for r in self.rows if r.leak]
        said = f"{found} of {len(self.rows)} columns carry information about {self.target!r}"
        if leaks:
            said += f"; possible leak: {', '.join(map(repr, leaks))}"
        return f"{self.source}: {said} ({self.n_rows:,} rows, {self.dropped_rows:,} dropped without a target)"


@dataclass(frozen=True)
class DriftRow:
    """How one column differs between the reference and the current table.

    ``psi`` is the Jeffreys divergence of the binned shares, ``js`` Jensen-Shannon, ``kl`` KL(reference ‖ current);
    ``wasserstein`` is the 1-D Wasserstein-1 distance in units of the reference's standard deviation (None for
    categories, which have no distance). ``effect`` is the divergence that was asked for.
    """

    column: str
    kind: str
    psi: Estimate
    js: Estimate
    kl: Estimate
    wasserstein: Estimate | None
    effect: Estimate
    p_value: float
    p_adjusted: float
    drifted: bool
    how: str
    reference: Histogram
    current: Histogram
    new_categories: list[str] = field(default_factory=list)
    vanished_categories: list[str] = field(default_factory=list)
    missing_reference: int = 0
    missing_current: int = 0
    notes: list[str] = field(default_factory=list)
    why_kind: str = ""


@dataclass(frozen=True, repr=False)
class Drift(Frame):
    """What `drift` returns: one `DriftRow` a shared column, drifted ones first, each group by effect."""

    reference: str
    current: str
    divergence: str
    n_reference: int
    n_current: int
    rows: list[DriftRow]
    only_in_reference: list[str] = field(default_factory=list)
    only_in_current: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    row_type: ClassVar[type] = DriftRow
    shown: ClassVar[tuple[str, ...]] = ("column", "kind", "effect", "psi", "p_adjusted", "drifted", "how")

    @property
    def drifted(self) -> list[DriftRow]:
        """The rows whose change is more than noise."""
        return [r for r in self.rows if r.drifted]

    @property
    def title(self) -> str:
        """One line in words."""
        found = self.drifted
        said = f"{len(found)} of {len(self.rows)} columns changed beyond noise"
        if found:
            said += ": " + ", ".join(f"{r.column} {r.how}".strip() for r in found[:3])
            said += f" and {len(found) - 3} more" if len(found) > 3 else ""
        return f"{self.reference} ({self.n_reference:,}) -> {self.current} ({self.n_current:,}): {said}"
