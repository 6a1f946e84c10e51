"""`iv` and `psi`: information value and stability index of every column of a table, wherever the table is.

Only counts leave the engine; the numbers are those of `plogp.tables.information_value`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from plogp.measures import divergence
from plogp.tables.coding import Categories, Coding, Intervals, cuts_from_quantiles
from plogp.tables.information_value import (
    InformationRow,
    InformationTable,
    is_leak,
    iv_from_counts,
    psi_from_counts,
)
from plogp.tables.kinds import kinds_of, shared_kind
from plogp.tables.partition import Monotonic, cut_p_value, optimal_partition, pool
from plogp.tables.results import MISSING, OTHER
from plogp.tables.significance import adjusted
from plogp.tables.source import Source, TableError, open_table

__all__ = ["iv", "psi"]

Floats = npt.NDArray[np.float64]

#: Fine quantile bins that an optimal partition chooses among.
PREBINS = 64
#: Most categories that are kept apart before pooling.
CATEGORIES = 100


def iv(
    table: Any,
    target: str,
    features: Sequence[str] | None = None,
    *,
    event: Any = None,
    bins: Literal["optimal", "quantile"] = "optimal",
    max_bins: int = 10,
    min_bin_frac: float = 0.01,
    monotonic: Monotonic = None,
    smoothing: float = 0.5,
    kinds: Mapping[str, str] | None = None,
) -> InformationTable:
    """Return the information value of every column about a two-valued target.

    Parameters
    ----------
    table : path, URL, data frame, mapping, relation or Source
        Anything that `plogp.tables.open_table` opens; only counts leave the engine.
    target : str
        A column of two values; rows without one are dropped, and counted in the notes.
    features : sequence of str, optional
        By default all other columns.
    event : optional
        The target value that is the event; by default the larger one (1, true, "yes").
    bins : "optimal" or "quantile"
        Numbers are binned by `optimal_partition` of 64 quantile bins (the p-value takes the search into
        account) or by `max_bins` quantiles. Categories are states; those below `min_bin_frac` share one.
        Missing is a state.
    max_bins, min_bin_frac, monotonic
        As in `optimal_partition`. The smallest share is lower than a scorecard's 5 %: 4 % of the rows may
        hold all that a column knows, and what keeps noise out is the price of a cut.
    smoothing : float
        As in `iv_from_counts`.
    kinds : mapping of str to str, optional
        Overrides the kind of a column, as in `profile`.

    Raises
    ------
    TableError
        If the table cannot be read, a column is unknown, or the target does not have two values.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> y = rng.random(4000) < 0.3
    >>> table = {"x": rng.normal(size=4000) + y, "noise": rng.normal(size=4000), "bad": y}
    >>> t = iv(table, "bad")
    >>> [(r.feature, r.band) for r in t]
    [('x', 'suspicious'), ('noise', 'useless')]
    >>> t["noise"].value.value
    0.0
    """
    if bins not in ("optimal", "quantile"):
        raise ValueError(f"bins must be 'optimal' or 'quantile', got {bins!r}")
    with _Opened(table) as source:
        names = source.resolve(features)
        source.resolve([target])
        names = [n for n in names if n != target]
        coded, shown, dropped = _binary_target(source, target, event)
        found = kinds_of(source, names, kinds)
        fine = PREBINS if bins == "optimal" else max_bins
        codings = {n: _coding(source, n, found[n][0], fine) for n in names}
        tables = source.cross([(n, target) for n in names], {**codings, target: coded})
        rows = []
        for name, counts in zip(names, tables):
            e, o = counts[:, 1].astype(float), counts[:, 0].astype(float)
            if e.sum() == 0 or o.sum() == 0:
                raise TableError(f"{source.label}: target {target!r} has no rows of one of its two values")
            rows.append(_row(name, codings[name], e, o, bins, max_bins, min_bin_frac, monotonic, smoothing))
        notes = [f"event: {target} = {shown}"]
        if dropped:
            notes.append(f"{dropped:,} rows without a target were dropped")
        title = f"Information value about {target!r} in {source.label} ({source.n_rows - dropped:,} rows), nats"
        return InformationTable(title, _ranked(rows), notes)


def psi(
    reference: Any,
    current: Any,
    features: Sequence[str] | None = None,
    *,
    bins: Literal["reference-quantile"] | Mapping[str, Sequence[float]] = "reference-quantile",
    n: int = 10,
    smoothing: float = 0.5,
    kinds: Mapping[str, str] | None = None,
) -> InformationTable:
    """Return the population stability index of every column between two tables.

    Parameters
    ----------
    reference, current : path, URL, data frame, mapping, relation or Source
        Anything that `plogp.tables.open_table` opens.
    features : sequence of str, optional
        By default the columns that both have.
    bins : "reference-quantile" or mapping of str to sequence of float
        Numbers are binned by `n` quantiles of the reference, whose outer bins are open, so one outlier moves
        nothing; or by given inner edges. Categories of either table are states, and so is missing.
    n : int
        Quantile bins.
    smoothing, kinds
        As in `iv`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ref = {"x": rng.normal(size=5000), "same": rng.normal(size=5000)}
    >>> cur = {"x": rng.normal(size=5000) + 2, "same": rng.normal(size=5000)}
    >>> [(r.feature, r.band) for r in psi(ref, cur)]
    [('x', 'major shift'), ('same', 'stable')]
    """
    edges = bins if isinstance(bins, Mapping) else {}
    if not isinstance(bins, Mapping) and bins != "reference-quantile":
        raise ValueError(f"bins must be 'reference-quantile' or a mapping of edges, got {bins!r}")
    with _Opened(reference) as a, _Opened(current) as b:
        wanted = [c for c in a.columns if c in b.columns] if features is None else list(features)
        names = a.resolve(wanted)
        b.resolve(names)
        kinds_a, kinds_b = kinds_of(a, names, kinds), kinds_of(b, names, kinds)
        codings: dict[str, Coding] = {}
        notes: list[str] = []
        for name in names:
            if name in edges:
                codings[name] = Intervals(tuple(float(e) for e in edges[name]))
                continue
            of_a, of_b = a.columns[name], b.columns[name]
            kind, _, said = shared_kind(kinds_a[name], kinds_b[name], of_a, of_b)
            if of_a.numeric != of_b.numeric:
                raise TableError(f"column {name!r}: {'; '.join(said) or 'text on one side only'}")
            codings[name] = _coding(a, name, kind, n, other=b)
        of_a_counts, of_b_counts = a.counts(codings), b.counts(codings)
        rows = [
            psi_from_counts(*_shown(of_a_counts[c], of_b_counts[c], codings[c].labels()), c, smoothing) for c in names
        ]
        title = f"Population stability index of {b.label} ({b.n_rows:,} rows) against {a.label} ({a.n_rows:,})"
        return InformationTable(title, _ranked(rows), notes)


class _Opened:
    """Close a source on leaving only if it was opened here."""

    def __init__(self, table: Any):
        self.mine = not isinstance(table, Source)
        if isinstance(table, np.ndarray):
            table = {f"x{k}": column for k, column in enumerate(np.atleast_2d(table.T))}
        self.source = open_table(table)

    def __enter__(self) -> Source:
        return self.source

    def __exit__(self, *failure: object) -> None:
        if self.mine:
            self.source.close()


def _coding(source: Source, name: str, kind: str, bins: int, other: Source | None = None) -> Coding:
    """Code a column: intervals of its quantiles, or its categories (and those of the other table)."""
    column = source.columns[name]
    if column.numeric and column.storage != "boolean" and kind in ("continuous", "discrete", "datetime"):
        probs = np.arange(1, bins) / bins
        s = source.stats([name])[name]
        if s.low is None or s.high is None:
            return Intervals((), dates=column.storage == "datetime")
        cuts = cuts_from_quantiles(probs, source.quantiles([name], probs)[name], bins, s.low, s.high)
        return Intervals(cuts, dates=column.storage == "datetime")
    values = [v for v, _ in source.top([name], CATEGORIES)[name]]
    total = source.stats([name])[name].distinct
    if other is not None:
        more = [v for v, _ in other.top([name], CATEGORIES)[name] if v not in values]
        values, total = [*values, *more], max(total, other.stats([name])[name].distinct)
    ordered = tuple(sorted(values)) if column.numeric else tuple(values)
    return Categories(ordered, other=total > CATEGORIES, boolean=kind == "boolean" and column.numeric)


def _binary_target(source: Source, target: str, event: Any) -> tuple[Categories, str, int]:
    """Return the coding of the target (state 1 is the event), the event in words, and rows without a target."""
    found = source.top([target], 3)[target]
    values = sorted(v for v, _ in found)
    if len(values) != 2 or source.stats([target])[target].distinct != 2:
        distinct = source.stats([target])[target].distinct
        raise TableError(f"{source.label}: target {target!r} must have two values for IV, it has {distinct:,}")
    if event is not None:
        asked = float(event) if source.columns[target].numeric else str(event)
        if asked not in values:
            raise TableError(f"{source.label}: target {target!r} has no value {event!r}, only {values}")
        values = [v for v in values if v != asked] + [asked]
    coded = Categories(tuple(values))
    return coded, coded.labels()[1], source.n_rows - sum(c for _, c in found)


def _row(
    name: str,
    coding: Coding,
    e: Floats,
    o: Floats,
    bins: str,
    max_bins: int,
    min_bin_frac: float,
    monotonic: Monotonic,
    smoothing: float,
) -> InformationRow:
    """Bin one column's counts and measure them."""
    if isinstance(coding, Categories):
        e, o, labels = _pool_rare(e, o, coding, min_bin_frac)
        return iv_from_counts(*_shown(e, o, labels), name, smoothing)
    if bins == "quantile":
        return iv_from_counts(*_shown(e, o, coding.labels()), name, smoothing)
    inside_e, inside_o = e[:-1], o[:-1]
    cuts = np.empty(0, dtype=np.int64)
    if inside_e.sum() > 0 and inside_o.sum() > 0:
        cuts = optimal_partition(
            inside_e, inside_o, max_bins, min_bin_frac, monotonic, divergence("jeffreys"), smoothing=smoothing
        )
    merged = Intervals(tuple(coding.cuts[c - 1] for c in cuts), coding.dates)
    pooled_e, pooled_o = pool(inside_e, cuts), pool(inside_o, cuts)
    row = iv_from_counts(
        *_shown(np.append(pooled_e, e[-1]), np.append(pooled_o, o[-1]), merged.labels()), name, smoothing
    )
    # The bins were sought on these rows: charge the search, and the fixed split of missing values besides.
    share = min(max(min_bin_frac, 1.0 / max(len(inside_e), 3)), 0.45)
    p, said = 1.0, "no cut beyond noise"
    if len(cuts):
        inside = iv_from_counts(pooled_e, pooled_o, smoothing=smoothing)
        p, said = cut_p_value(inside.chi2, len(cuts), share), "maximally selected chi-squared"
    if e[-1] + o[-1] > 0 and inside_e.sum() + inside_o.sum() > 0:
        split = iv_from_counts([inside_e.sum(), e[-1]], [inside_o.sum(), o[-1]], smoothing=smoothing)
        p, said = min(1.0, 2 * min(p, split.p_value)), f"{said}, and missing against present"
    return replace(row, p_value=p, p_adjusted=p, test=said, leak=is_leak(pooled_e, pooled_o, p) or row.leak)


def _pool_rare(e: Floats, o: Floats, coding: Categories, share: float) -> tuple[Floats, Floats, list[str]]:
    """Put the categories below a share of the present rows into "(other)"."""
    size = (e + o)[:-1]
    rare = size < share * max(size.sum(), 1.0) * (1 - 1e-12)
    if coding.other:
        rare[-1] = True
    kept = np.flatnonzero(~rare)
    # A single rare category is its own pool and keeps its name.
    alone = rare.sum() == 1 and not coding.other
    labels = coding.labels()
    if alone or not rare.any():
        return e, o, labels
    fold = [np.concatenate([x[:-1][kept], [x[:-1][rare].sum()], x[-1:]]) for x in (e, o)]
    return fold[0], fold[1], [*(labels[k] for k in kept), OTHER, MISSING]


def _shown(e: npt.NDArray[Any], o: npt.NDArray[Any], labels: list[str]) -> tuple[Floats, Floats, list[str]]:
    """Leave out the states that neither group has."""
    keep = np.flatnonzero(np.asarray(e) + np.asarray(o) > 0)
    return np.asarray(e, float)[keep], np.asarray(o, float)[keep], [labels[k] for k in keep]


def _ranked(rows: list[InformationRow]) -> list[InformationRow]:
    if not rows:
        return rows
    p = adjusted([r.p_value for r in rows])
    return sorted((replace(r, p_adjusted=float(a)) for r, a in zip(rows, p)), key=lambda r: -r.value.value)
