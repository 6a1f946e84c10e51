"""`relate`: what each column of a table says about a target, and whether it says too much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.discrete import entropy_from_counts, mutual_information_from_counts
from plogp.estimate.multinomial import multinomial_divergence
from plogp.measures import divergence
from plogp.measures.uncertainty import Estimate
from plogp.tables.coding import Categories, Coding, Intervals, apart_from_infinity, cuts_from_quantiles
from plogp.tables.information_value import is_leak, weight_of_evidence
from plogp.tables.kinds import kinds_of
from plogp.tables.partition import Monotonic, optimal_partition, optimal_partition_classes, pool
from plogp.tables.profiling import PROBS
from plogp.tables.refining import refined
from plogp.tables.results import Bin, Relation, TargetRow
from plogp.tables.significance import Correction, adjusted, homogeneity, rank_sum
from plogp.tables.source import Source, TableError, groups, open_table

__all__ = ["LEAK", "check_target", "relate"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: A column that carries this share of the target's entropy is reported as a leak.
LEAK = 0.9
#: Columns worked on at a time: bounds memory in columns.
GROUP = 32
#: Most categories of a column kept apart, most classes of a target, quantile classes of a continuous target.
CATEGORIES, CLASSES, TARGET_BINS = 200, 30, 10
#: Values of a text or identifier column kept apart: those that hold this share of the table.
ID_SHARE = 0.01


def relate(
    table: Any,
    target: str,
    columns: Iterable[str] | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    event: Any = None,
    max_bins: int = 8,
    monotonic: Monotonic = None,
    correction: Correction = "bh",
    level: float = 0.05,
    smoothing: float = 0.5,
    seed: int = 0,
) -> Relation:
    r"""Measure the information that each column carries about a target.

    .. math:: I(X; Y), \qquad \mathrm{IV} = \sum_b (p_b - q_b) \ln (p_b / q_b)

    with p and q the shares of events and of non-events in the bins of a column, for a target of two values. A column
    is informative if its adjusted p-value is below `level` and its information, less its bias, is positive; it
    is a leak if it (nearly) determines the target.

    Parameters
    ----------
    table : path, URL, data frame, relation, mapping or Source
        See `open_table`.
    target : str
        A column of any kind but text and identifiers. A continuous one is binned by its deciles, except that the
        information of a continuous column about it comes from nearest neighbours. Rows without a value of the
        target are dropped and counted.
    columns, kinds
        As in `profile`.
    event : optional
        For a target of two values, the one that is the event; by default the larger (1, true, "yes").
    max_bins, monotonic
        Of the bins shown, an optimal partition of quantile bins (see `optimal_partition`); missing is a bin of its
        own.
    correction : "bh", "by", "holm" or "none"
        For having tested many columns.
    level : float
        Of the adjusted p-value.
    smoothing : float
        Added to each count of a bin in IV and WoE.
    seed : int
        Of the random rows for nearest neighbours.

    Returns
    -------
    Relation
        Most informative columns first.

    Raises
    ------
    TableError
        If the table cannot be read, a column is unknown, or the target has fewer than two values or too many.
    ValueError
        For parameters out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.random(4000) < 0.4
    >>> r = relate({"x": rng.normal(size=4000) + y, "noise": rng.normal(size=4000), "copy": ~y, "y": y}, "y")
    >>> [(row.column, row.informative, row.leak) for row in r]
    [('copy', True, True), ('x', True, False), ('noise', False, False)]

    Notes
    -----
    The information comes from fine quantile bins and its p-value from ten, both drawn without looking at the target
    (the bins shown were chosen with it, which flatters noise; where nearest neighbours find more in a continuous
    column than its bins, the information is theirs): the G test, or Pearson's X² with its permutation
    moments where counts are small; for an ordered column and two classes, twice the smaller of that and the
    Wilcoxon-Mann-Whitney test's on the fine bins. The IV is that of the bins shown, less its first-order bias;
    where no cut beats noise it is that of the ten quantile bins.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}")
    if not 1 <= max_bins <= 50:
        raise ValueError(f"max_bins must be between 1 and 50, got {max_bins!r}")
    source = open_table(table)
    source.resolve([target])
    names = [n for n in source.resolve(columns) if n != target]
    if not names:
        raise TableError(f"{source.label} has no column beside the target {target!r}")
    kind_why = kinds_of(source, [*names, target], kinds)
    aim = _target(source, target, kind_why[target][0], event)
    study = _Study(source, aim, max_bins, monotonic, smoothing)
    rows: list[TargetRow] = []
    for group in groups(names, GROUP):
        rows += study.rows({n: kind_why[n][0] for n in group})
    p_adjusted = adjusted([r.p_value for r in rows], correction)
    for i, p in enumerate(p_adjusted):
        certain = bool(p < level)
        real = certain and rows[i].mutual_information.value > 0
        rows[i] = replace(rows[i], p_adjusted=float(p), informative=real, leak=rows[i].leak and certain)
    if aim.kind != "datetime":
        rows = refined(source, target, aim.coding, rows, seed)
    rows.sort(key=lambda r: (not r.leak, not r.informative, -r.normalized, -r.mutual_information.value))
    notes = [*source.notes, *source.columns[target].notes, *aim.notes]
    return Relation(
        source.label,
        target,
        aim.kind,
        source.n_rows,
        int(aim.missing),
        rows,
        notes,
        entropy_from_counts(aim.counts[aim.counts > 0]),
        aim.event,
    )


def check_target(source: Source, target: str, kinds: Mapping[str, str] | None = None) -> None:
    """Raise what `relate` would about the target, without looking at the other columns.

    >>> check_target(open_table({"x": [1, 2, 3], "y": ["a", "a", "a"]}), "y")
    Traceback (most recent call last):
    plogp.tables.source.TableError: target 'y' of mapping is constant; there is nothing to say about it
    """
    source.resolve([target])
    asked = {name: kind for name, kind in (kinds or {}).items() if name == target}
    _target(source, target, kinds_of(source, [target], asked)[target][0], None)


@dataclass(frozen=True)
class _Target:
    """The coded target: its classes, their counts, and which is the event."""

    name: str
    kind: str
    coding: Coding
    counts: Ints
    missing: int
    event: str | None
    at: int
    notes: list[str]

    @property
    def binary(self) -> bool:
        """Whether information value and WoE are defined."""
        return self.event is not None


def _target(source: Source, name: str, kind: str, event: Any) -> _Target:
    s, notes = source.stats([name])[name], []
    if s.present == 0:
        raise TableError(f"target {name!r} of {source.label} has no value: every row is missing")
    if kind == "constant" or s.distinct < 2:
        raise TableError(f"target {name!r} of {source.label} is constant; there is nothing to say about it")
    if kind == "text/id":
        raise TableError(
            f"target {name!r} of {source.label} is text or an identifier with {s.distinct:,} distinct values; "
            f"to use it all the same give it the kind 'categorical' (--as, or kinds=)"
        )
    coding: Coding
    if kind in ("continuous", "datetime"):
        quantiles = source.quantiles([name], PROBS)[name]
        bins = int(min(TARGET_BINS, max(2, s.present // 30)))
        coding = Intervals(cuts_from_quantiles(PROBS, quantiles, bins, s.low or 0.0, s.high or 0.0), kind == "datetime")
        notes.append(f"the target is continuous: bins and p-values are about its {len(coding.cuts) + 1} quantile bins")
    else:
        values = [v for v, _ in source.top([name], CLASSES)[name]]
        closed = s.exact_distinct and len(values) == s.distinct
        if source.columns[name].numeric or len(values) == 2:
            values.sort()
        if not closed:
            notes.append(f"the target has {s.distinct:,} values: all but the {len(values)} most frequent are one class")
        coding = Categories(tuple(values), not closed, source.columns[name].storage == "boolean")
    counts = source.counts({name: coding})[name]
    classes = counts[:-1]
    if (classes > 0).sum() < 2:
        raise TableError(f"target {name!r} of {source.label} has one class; there is nothing to say about it")
    shown, at = None, len(classes) - 1
    if isinstance(coding, Categories) and len(classes) == 2 and not coding.other:
        if event is not None:
            at = _find_event(coding, source, name, event)
        shown = coding.labels()[at]
        notes.append(f"event: {name} = {shown}")
    elif event is not None:
        raise TableError(f"event {event!r} was given, but target {name!r} does not have two values")
    if counts[-1]:
        notes.append(f"{int(counts[-1]):,} rows without a target were dropped")
    return _Target(name, kind, coding, classes, int(counts[-1]), shown, at, notes)


def _find_event(coding: Categories, source: Source, name: str, event: Any) -> int:
    labels = coding.labels()[:2]
    if str(event) in labels:
        return labels.index(str(event))
    if source.columns[name].numeric and isinstance(event, (int, float, np.number)):
        values = [float(v) for v in coding.values]
        if float(event) in values:
            return values.index(float(event))
    raise TableError(f"target {name!r} has no value {event!r}; it has {labels[0]!r} and {labels[1]!r}")


@dataclass(frozen=True)
class _Study:
    """Everything that is the same for all columns."""

    source: Source
    target: _Target
    max_bins: int
    monotonic: Monotonic
    smoothing: float

    def rows(self, kinds: Mapping[str, str]) -> list[TargetRow]:
        """Relate a group of columns, with one pass of quantiles and one of counts."""
        codings = self._codings(kinds)
        asked = [(n, self.target.name) for n in codings]
        tables = self.source.cross(asked, {**codings, self.target.name: self.target.coding})
        found = dict(zip(codings, tables))
        return [self._row(n, kind, codings[n], found[n]) for n, kind in kinds.items()]

    def _codings(self, kinds: Mapping[str, str]) -> dict[str, Coding]:
        """Bins drawn without looking at the target."""
        source, stats = self.source, self.source.stats(list(kinds))
        smooth = [n for n, k in kinds.items() if k in ("continuous", "datetime") and stats[n].present > 0]
        quantiles = source.quantiles(smooth, PROBS) if smooth else {}
        out: dict[str, Coding] = {}
        for name, kind in kinds.items():
            s = stats[name]
            if name in quantiles:
                cuts = self._cuts(quantiles[name], s.present, s.low, s.high)
                out[name] = Intervals(apart_from_infinity(cuts, s.low, s.high), kind == "datetime")
                continue
            found = source.top([name], CATEGORIES)[name] if s.present else []
            if kind == "text/id":
                found = [(v, c) for v, c in found if c >= ID_SHARE * s.n]
            values = [v for v, _ in found]
            closed = s.exact_distinct and len(values) == s.distinct
            if source.columns[name].numeric:
                values.sort()
            out[name] = Categories(tuple(values), not closed, source.columns[name].storage == "boolean")
        return out

    def _cuts(self, quantiles: Floats, n: int, low: float | None, high: float | None) -> tuple[float, ...]:
        ends = (math.nan if low is None else low, math.nan if high is None else high)
        if n < 10_000:
            return cuts_from_quantiles(PROBS, quantiles, int(min(50, max(2, n // 50))), *ends)
        # Hundredths and finer tails: a leak of a rare event must not hide inside one bin.
        cuts = np.unique(quantiles[np.minimum(PROBS, 1 - PROBS) * n >= 20])
        return tuple(float(c) for c in cuts if ends[0] <= c < ends[1] and math.isfinite(c))

    def _row(self, name: str, kind: str, coding: Coding, table: Ints) -> TargetRow:
        notes = list(self.source.columns[name].notes)
        if kind == "text/id":
            notes.append(f"not expanded: values that hold {ID_SHARE:.0%} of the table, all others, and missing")
        labels, counts = coding.labels(), table[:, :-1]
        seen = counts.sum(axis=1) > 0
        if seen.sum() < 2:
            iv = Estimate(0.0, 0.0, int(counts.sum()), "one state") if self.target.binary else None
            nothing = Estimate(0.0, 0.0, int(counts.sum()), "one state", p_value=1.0)
            notes.append("one state in the rows that have a target: it can say nothing")
            return TargetRow(name, kind, nothing, iv, 1.0, 1.0, False, False, self._bins(labels, counts), notes)
        present = counts[:, counts.sum(axis=0) > 0]
        information = mutual_information_from_counts(present[seen])
        coarse = _coarse(coding, counts)
        p = homogeneity(coarse)
        fine = counts[seen]
        if self.target.binary and coding.ordered and seen[:-1].sum() > 2:
            p = min(1.0, 2 * min(p, rank_sum(counts[:-1, 0], counts[:-1, 1])))
        entropy = float(entropy_from_counts(present.sum(axis=0), "plugin").value)
        normalized = min(1.0, max(0.0, information.value / entropy)) if entropy > 0 else 0.0
        leak = normalized >= LEAK
        shown_labels, shown = self._partition(coding, labels, counts)
        iv = None
        if self.target.binary:
            at = self.target.at
            leak = leak or is_leak(fine[:, at], fine[:, 1 - at], p)
            used = shown if (shown.sum(axis=1) > 0).sum() > 1 else coarse
            if used is not shown:
                notes.append("no cut is better than noise: the IV is that of ten quantile bins")
            iv = multinomial_divergence(
                used[:, at],
                used[:, 1 - at],
                divergence("jeffreys"),
                smoothing=self.smoothing,
                correct_bias=True,
                null=False,
            )
        if leak:
            notes.append(f"it carries {normalized:.1%} of the target's entropy: is it known before the target is?")
        information = replace(information, p_value=p)
        bins = self._bins(shown_labels, shown)
        return TargetRow(name, kind, information, iv, p, 1.0, False, leak, bins, notes, normalized)

    def _partition(self, coding: Coding, labels: list[str], counts: Ints) -> tuple[list[str], Ints]:
        """Merge the states into the bins that are shown: neighbours optimally, categories by their frequency."""
        inside = counts[:-1]
        size = counts.sum()
        if not isinstance(coding, Intervals):
            return _pool_rare(coding, labels, counts, max(5.0, 0.005 * size))
        if len(inside) < 2 or (inside.sum(axis=0) > 0).sum() < 2:
            return labels, counts
        # A bin may be as small as half the rarer class, so that a leak of a rare event gets its own.
        least = float(np.min(inside.sum(axis=0)[inside.sum(axis=0) > 0]) / inside.sum())
        share = min(0.05, max(least / 2, 5.0 / inside.sum()), 0.45)
        if self.target.binary:
            at = self.target.at
            cuts = optimal_partition(
                inside[:, at], inside[:, 1 - at], self.max_bins, share, self.monotonic, smoothing=self.smoothing
            )
        else:
            values = np.arange(inside.shape[1]) if self.target.coding.ordered else None
            rule = self.monotonic if values is not None else None
            cuts = optimal_partition_classes(inside, self.max_bins, share, rule, class_values=values)
        merged = Intervals(tuple(coding.cuts[c - 1] for c in cuts), coding.dates)
        return merged.labels(), np.concatenate([pool(inside, cuts), counts[-1:]]).astype(np.int64)

    def _bins(self, labels: list[str], counts: Ints) -> list[Bin]:
        size, total = counts.sum(axis=1), max(int(counts.sum()), 1)
        keep = [i for i in range(len(labels)) if size[i] > 0]
        if not self.target.binary:
            return [Bin(labels[i], int(size[i]), float(size[i] / total)) for i in keep]
        events, others = counts[:, self.target.at], counts[:, 1 - self.target.at]
        if events.sum() == 0 or others.sum() == 0:
            return [Bin(labels[i], int(size[i]), float(size[i] / total)) for i in keep]
        woe, error = weight_of_evidence(events, others, self.smoothing)
        return [
            Bin(
                labels[i],
                int(size[i]),
                float(size[i] / total),
                float(events[i] / size[i]),
                float(woe[i]),
                float(error[i]),
            )
            for i in keep
        ]


def _coarse(coding: Coding, counts: Ints) -> Ints:
    """Pool fine bins into at most ten of about equal rows, without looking at the classes."""
    if not isinstance(coding, Intervals):
        return counts
    size = counts[:-1].sum(axis=1)
    total = max(int(size.sum()), 1)
    wanted = int(min(10, max(2, total // 50)))
    group = np.minimum((np.cumsum(size) - size / 2) * wanted // total, wanted - 1).astype(np.int64)
    pooled = np.zeros((wanted, counts.shape[1]), dtype=np.int64)
    np.add.at(pooled, group, counts[:-1])
    return np.concatenate([pooled, counts[-1:]])


def _pool_rare(coding: Categories, labels: list[str], counts: Ints, least: float) -> tuple[list[str], Ints]:
    """Put the categories with few rows together as "(other)"."""
    size = counts[:-1].sum(axis=1)
    rare = (size < least) & (size > 0)
    if coding.other:
        rare[-1] = True
    if rare.sum() < 2 and not coding.other:
        return labels, counts
    kept = np.flatnonzero(~rare)
    pooled = counts[:-1][rare].sum(axis=0, keepdims=True)
    other = Categories((), other=True).labels()
    return [*(labels[i] for i in kept), *other], np.concatenate([counts[:-1][kept], pooled, counts[-1:]])
