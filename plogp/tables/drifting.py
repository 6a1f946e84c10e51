"""`drift`: which columns of the current table differ from the reference, by how much, and is it more than noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.multinomial import multinomial_divergence
from plogp.measures import divergence as divergence_of
from plogp.measures.uncertainty import Estimate
from plogp.tables.coding import (
    Categories,
    Coding,
    Intervals,
    apart_from_infinity,
    cuts_from_quantiles,
    format_number,
    histogram,
)
from plogp.tables.differences import Change, how
from plogp.tables.kinds import check_kinds, kinds_of, shared_kind
from plogp.tables.profiling import PROBS
from plogp.tables.results import Drift, DriftRow
from plogp.tables.significance import Correction, adjusted, homogeneity, rank_sum
from plogp.tables.source import Source, Stats, TableError, groups, open_table
from plogp.tables.wasserstein import moments, value_wasserstein, wasserstein

__all__ = ["DRIFT_PROBS", "drift"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Reference probabilities that cut a continuous column: deciles, and tails in which much of a shift shows.
DRIFT_PROBS = (0.002, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.998)
#: Columns worked on at a time: bounds memory in columns.
GROUP = 32
#: Most categories kept apart; the rarer ones are "(other)".
MAX_CATEGORIES = 1000
#: Values of a text or identifier column kept apart: those that hold this share of a table.
ID_SHARE = 0.01
#: Most names listed as new or vanished.
LISTED = 100


def drift(
    reference: Any,
    current: Any,
    divergence: Any = "js",
    *,
    columns: Iterable[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    bins: int | Mapping[str, Iterable[float]] | None = None,
    level: float = 0.05,
    min_shift: float = 0.02,
    correction: Correction = "bh",
    smoothing: float = 0.5,
) -> Drift:
    r"""Compare two tables column by column.

    A column has drifted if its p-value, corrected for the number of columns, is below `level`, and its effect is not
    negligible: the chosen divergence, less its bias, exceeds that of a normal column whose mean moved by
    `min_shift` standard deviations.

    Parameters
    ----------
    reference, current : path, URL, data frame, relation, mapping or Source
        See `open_table`.
    divergence : str or divergence
        The effect, as D(reference ‖ current) of the states' shares: any of `plogp.divergence`, or a sum of several.
    columns, kinds
        As in `profile`; `kinds` overrules both tables.
    bins : int or dict, optional
        Number of quantile bins of the reference (default: deciles and tails, `DRIFT_PROBS`), or the cut points
        of named columns.
    level : float
        Of the adjusted p-value.
    min_shift : float
        Smallest effect called drift, as above; 0 for none.
    correction : "bh", "by", "holm" or "none"
        For having looked at many columns.
    smoothing : float
        Added to every count (0.5: Jeffreys' prior), so that no empty bin makes a number infinite.

    Returns
    -------
    Drift
        PSI is Jeffreys' divergence, KL is KL(reference ‖ current), in nats and less their first-order bias (they
        may be slightly negative); Wasserstein in standard deviations of the reference.

    Raises
    ------
    TableError
        If a table cannot be read, a column is unknown, or the tables share no column.
    ValueError
        For parameters out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a = {"x": rng.normal(size=3000), "c": rng.choice(["u", "v"], 3000)}
    >>> b = {"x": rng.normal(0.3, size=3000), "c": rng.choice(["u", "v"], 3000)}
    >>> d = drift(a, b)
    >>> [(r.column, r.drifted) for r in d]
    [('x', True), ('c', False)]
    >>> d["x"].how
    'mean up by 0.35 sd'

    Notes
    -----
    One p-value a column: Pearson's test that the states, missing among them, have the same shares in both tables
    (see `plogp.tables.significance.homogeneity`), valid with hundreds of rare states. For columns with an order it is
    twice the smaller of that and the Wilcoxon-Mann-Whitney test's, which sees small shifts better. Cuts are
    quantiles of the reference, and every state is smoothed from its counts, so that neither an outlier nor a
    rare row changes a verdict.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}")
    if not (math.isfinite(min_shift) and min_shift >= 0):
        raise ValueError(f"min_shift must be a number of at least 0, got {min_shift!r}")
    if isinstance(bins, int) and not 2 <= bins <= 1000:
        raise ValueError(f"bins must be between 2 and 1000, got {bins!r}")
    d = divergence_of(divergence)
    a, b = open_table(reference), open_table(current)
    wanted = _shared(a, b, columns, kinds)
    comparison = _Comparison(a, b, d, smoothing, bins, kinds or {})
    rows: list[DriftRow] = []
    for group in groups(wanted, GROUP):
        rows += comparison.rows(group)
    least = _effect_of_shift(d, min_shift)
    p_adjusted = adjusted([r.p_value for r in rows], correction)
    for i, (row, p) in enumerate(zip(rows, p_adjusted)):
        certain, large = bool(p < level), bool(row.effect.value >= least) or math.isinf(row.effect.value)
        said = row.how if certain and large else f"certain but small: {row.how}" if certain else "within noise"
        rows[i] = replace(row, p_adjusted=float(p), drifted=certain and large, how=said)
    rows.sort(key=lambda r: (not r.drifted, -r.effect.value))
    return Drift(
        a.label,
        b.label,
        d.name if not d.parameters else repr(d),
        a.n_rows,
        b.n_rows,
        rows,
        [n for n in a.columns if n not in b.columns] if columns is None else [],
        [n for n in b.columns if n not in a.columns] if columns is None else [],
        list(dict.fromkeys([*a.notes, *b.notes])),
    )


def _shared(a: Source, b: Source, columns: Iterable[str] | None, kinds: Mapping[str, str] | None) -> list[str]:
    if columns is not None:
        wanted = a.resolve(columns)
        b.resolve(wanted)
    else:
        wanted = [n for n in a.columns if n in b.columns]
    if not wanted:
        raise TableError(f"{a.label} and {b.label} share no column: {_few(a)} against {_few(b)}")
    for source in (a, b):
        check_kinds({k: v for k, v in (kinds or {}).items() if k in source.columns}, source)
    for name in kinds or {}:
        if name not in wanted:
            a.resolve([name])
            b.resolve([name])
    if all(s.present == 0 for source in (a, b) for s in source.stats(wanted).values()):
        raise TableError(f"{a.label} and {b.label} have no value in any shared column: every cell is missing")
    return wanted


def _few(source: Source) -> str:
    names = list(source.columns)
    return ", ".join(map(repr, names[:4])) + (", ..." if len(names) > 4 else "")


def _effect_of_shift(d: Any, shift: float) -> float:
    """Return the divergence between a standard normal and one moved by `shift`, in the drift's own bins."""
    if shift == 0:
        return -math.inf
    normal = NormalDist()
    cuts = [normal.inv_cdf(p) for p in DRIFT_PROBS]
    q = np.diff([0.0, *(normal.cdf(c - shift) for c in cuts), 1.0])
    return float(d(np.diff([0.0, *DRIFT_PROBS, 1.0]), q))


@dataclass
class _Side:
    """What one table says about a group of columns."""

    source: Source
    stats: dict[str, Stats]
    quantiles: dict[str, Floats] = field(default_factory=dict)
    counts: dict[str, Ints] = field(default_factory=dict)


@dataclass
class _Comparison:
    """Two open tables and how they are to be compared."""

    a: Source
    b: Source
    d: Any
    smoothing: float
    bins: int | Mapping[str, Iterable[float]] | None
    kinds: Mapping[str, str]

    def rows(self, names: list[str]) -> list[DriftRow]:
        """Compare a group of columns: two scans of statistics, two of quantiles, two of counts."""
        sides = [_Side(s, s.stats(names)) for s in (self.a, self.b)]
        asked = {k: v for k, v in self.kinds.items() if k in names}
        each = [kinds_of(s, names, asked) for s in (self.a, self.b)]
        kinds = {n: shared_kind(each[0][n], each[1][n], self.a.columns[n], self.b.columns[n]) for n in names}
        mixed = [n for n in names if self._clash(n, kinds[n][0])]
        smooth = [n for n in names if kinds[n][0] in ("continuous", "datetime") and n not in mixed]
        smooth = [n for n in smooth if all(s.stats[n].present > 0 for s in sides)]
        for side in sides:
            side.quantiles = side.source.quantiles(smooth, PROBS) if smooth else {}
        codings = self._codings([n for n in names if n not in mixed], kinds, sides)
        for side in sides:
            side.counts = side.source.counts(codings)
        out = []
        for name in names:
            kind, why, notes = kinds[name]
            if name in mixed:
                counted: tuple[Coding, Ints, Ints] = _as_words(sides, name)
            else:
                counted = codings[name], sides[0].counts[name], sides[1].counts[name]
            out.append(self._row(name, kind, why, list(notes), *counted, sides))
        return out

    def _clash(self, name: str, kind: str) -> bool:
        """Whether a column is text on one side and numbers on the other."""
        one_sided = self.a.columns[name].numeric != self.b.columns[name].numeric
        empty = any(s.stats([name])[name].present == 0 for s in (self.a, self.b))
        return one_sided and not (empty and kind != "categorical")

    def _codings(self, names: list[str], kinds: Mapping[str, Any], sides: list[_Side]) -> dict[str, Coding]:
        out: dict[str, Coding] = {}
        for name in names:
            kind = kinds[name][0]
            if name in sides[0].quantiles:
                out[name] = self._cuts(name, kind, sides)
            elif kind in ("continuous", "datetime"):  # no value on one side: the other's range is one bin
                out[name] = Intervals((), kind == "datetime")
            else:
                out[name] = _categories(name, kind, sides)
        return out

    def _cuts(self, name: str, kind: str, sides: list[_Side]) -> Intervals:
        s, quantiles = sides[0].stats[name], sides[0].quantiles[name]
        low, high = (v if v is not None else math.nan for v in (s.low, s.high))
        if isinstance(self.bins, Mapping) and name in self.bins:
            cuts = sorted({float(c) for c in self.bins[name]})
            if not cuts or not all(map(math.isfinite, cuts)):
                raise ValueError(f"bins of {name!r} must be finite cut points, got {cuts}")
            return Intervals(tuple(cuts), kind == "datetime")
        # A column that turns infinite on either side has changed, and what it was before is no matter.
        ends = [(side.stats[name].low, side.stats[name].high) for side in sides]
        least, most = min(e[0] or 0.0 for e in ends), max(e[1] or 0.0 for e in ends)
        if isinstance(self.bins, int):
            even = cuts_from_quantiles(PROBS, quantiles, self.bins, low, high)
            return Intervals(apart_from_infinity(even, least, most), kind == "datetime")
        # A tail needs a few rows of the reference to be told from noise.
        probs = [p for p in DRIFT_PROBS if min(p, 1 - p) * s.present >= 5] or [0.5]
        cuts_at = np.unique(np.interp(probs, PROBS, quantiles))
        inside = cuts_at[(cuts_at >= low) & (cuts_at < high) & np.isfinite(cuts_at)]
        if len(inside) == 0 and math.isfinite(low):  # a constant reference: is the current below, at or above it?
            inside = np.array([np.nextafter(low, -math.inf), low])
        return Intervals(apart_from_infinity([float(c) for c in inside], least, most), kind == "datetime")

    def _row(
        self,
        name: str,
        kind: str,
        why: str,
        notes: list[str],
        coding: Coding,
        x: Ints,
        y: Ints,
        sides: list[_Side],
    ) -> DriftRow:
        for side, where in zip(sides, ("reference", "current")):
            notes += [f"{where}: {n}" for n in side.source.columns[name].notes]
            infinite = side.stats[name].infinite
            if infinite:
                notes.append(f"{where}: {infinite:,} infinite values, in the outer bins")
        if kind == "text/id":
            notes.append(f"not expanded: values that hold {ID_SHARE:.0%} of a table, all others, and missing")
        keep = (x + y) > 0
        named = {d: self._divergence(x, y, d) for d in ("jeffreys", "js", "kl")}
        same = [e for name, e in named.items() if type(self.d) is type(divergence_of(name))]
        effect = same[0] if same else self._divergence(x, y, self.d)
        p = homogeneity(np.stack([x[keep], y[keep]]))
        if coding.ordered and keep[:-1].sum() > 2:
            p = min(1.0, 2 * min(p, rank_sum(x[:-1], y[:-1])))
        distance, spreads = self._distance(name, kind, coding, x, y, sides)
        ends = [(s.low, s.high) for s in (side.stats[name] for side in sides)]
        low = min((a for a, _ in ends if a is not None), default=-math.inf)
        high = max((b for _, b in ends if b is not None), default=math.inf)
        shown_x, shown_y = _histograms(coding, x, y, low, high)
        labels = coding.labels()[: len(x) - 1]
        new, gone = [], []
        if isinstance(coding, Categories) and kind != "text/id":
            known = len(coding.values)
            at = np.arange(known)
            new = [labels[i] for i in sorted(at[(x[:known] == 0) & (y[:known] > 0)], key=lambda i: -y[i])]
            gone = [labels[i] for i in sorted(at[(y[:known] == 0) & (x[:known] > 0)], key=lambda i: -x[i])]
        behind = [_behind(s, name) if name in s.quantiles else s.stats[name].present for s in sides]
        change = Change(kind, coding.labels(), x, y, new, gone, *spreads, *behind)
        return DriftRow(
            name,
            kind,
            named["jeffreys"],
            named["js"],
            named["kl"],
            distance,
            effect,
            p,
            1.0,
            False,
            how(change),
            shown_x,
            shown_y,
            new[:LISTED],
            gone[:LISTED],
            int(x[-1]),
            int(y[-1]),
            notes,
            why,
        )

    def _divergence(self, x: Ints, y: Ints, d: Any) -> Estimate:
        return multinomial_divergence(x, y, d, smoothing=self.smoothing, correct_bias=True, null=False)

    def _distance(
        self, name: str, kind: str, coding: Coding, x: Ints, y: Ints, sides: list[_Side]
    ) -> tuple[Estimate | None, tuple[tuple[float, float] | None, tuple[float, float] | None]]:
        """Wasserstein distance in sd of the reference, and (mean, sd) of both sides."""
        if name in sides[0].quantiles:
            n = [_behind(s, name) for s in sides]
            q = [s.quantiles[name] for s in sides]
            if not all(np.isfinite(v).all() for v in q):
                return None, (None, None)
            unit = _unit(*q)
            q = [v / unit for v in q]
            spreads = tuple(moments(PROBS, v, k) for v, k in zip(q, n))
            scale = spreads[0][1] or spreads[1][1]
            if scale == 0.0 or not math.isfinite(scale):
                return None, (spreads[0], spreads[1])
            return wasserstein(PROBS, q[0], q[1], n[0], n[1], scale), (spreads[0], spreads[1])
        numeric = isinstance(coding, Categories) and coding.numeric and not coding.other
        if kind in ("discrete", "boolean") and numeric and isinstance(coding, Categories):
            values, k = np.asarray(coding.values, dtype=np.float64), len(coding.values)
            values = values / _unit(values)
            if x[:k].sum() > 0 and y[:k].sum() > 0 and k > 1:
                means = [float(c[:k] @ values / c[:k].sum()) for c in (x, y)]
                sds = [math.sqrt(float(c[:k] @ (values - m) ** 2) / c[:k].sum()) for c, m in zip((x, y), means)]
                scale = sds[0] or sds[1]
                both = ((means[0], sds[0]), (means[1], sds[1]))
                if scale == 0.0:
                    scale = float(values[-1] - values[0])
                return value_wasserstein(values, x[:k], y[:k], scale), both
        return None, (None, None)


def _unit(*values: Floats) -> float:
    """Return 1, or for values whose squares would overflow their size: distances are relative to an sd anyway."""
    largest = max((float(np.abs(v).max()) for v in values if len(v)), default=0.0)
    return largest if largest > 1e100 else 1.0


def _behind(side: _Side, name: str) -> int:
    """Rows behind the quantiles of a column."""
    present, most = side.stats[name].present, side.source.quantile_rows
    if most is None or side.source.n_rows <= most:
        return present
    return max(2, round(most * present / side.source.n_rows))


def _categories(name: str, kind: str, sides: list[_Side]) -> Categories:
    """The values of both tables; if there are too many, those most frequent in the two together."""
    share: dict[Any, float] = {}
    complete = True
    for side in sides:
        s = side.stats[name]
        found = side.source.top([name], MAX_CATEGORIES)[name] if s.present else []
        complete &= s.distinct == len(found) and s.exact_distinct
        for value, n in found:
            least = ID_SHARE * s.n if kind == "text/id" else 0.0
            if n >= least:
                share[value] = share.get(value, 0.0) + n / max(s.n, 1)
    values = sorted(share, key=lambda v: -share[v])[:MAX_CATEGORIES]
    other = not complete or len(values) < len(share) or kind == "text/id"
    numeric = sides[0].source.columns[name].numeric and sides[1].source.columns[name].numeric
    if numeric:
        values.sort()
    boolean = all(side.source.columns[name].storage == "boolean" for side in sides)
    return Categories(tuple(values), other, boolean)


def _as_words(sides: list[_Side], name: str) -> tuple[Categories, Ints, Ints]:
    """Compare a column that is text in one table and numbers in the other, by how the values read."""
    found: list[dict[str, int]] = []
    for side in sides:
        top = side.source.top([name], MAX_CATEGORIES)[name]
        found.append({(format_number(v) if isinstance(v, float) else v): n for v, n in top})
    together = {w: sum(f.get(w, 0) for f in found) for f in found for w in f}
    words = tuple(sorted(together, key=lambda w: -together[w])[:MAX_CATEGORIES])
    counts = []
    for side, f in zip(sides, found):
        s, kept = side.stats[name], [f.get(w, 0) for w in words]
        counts.append(np.asarray([*kept, s.present - sum(kept), s.missing], dtype=np.int64))
    return Categories(words, other=True), counts[0], counts[1]


def _histograms(coding: Coding, x: Ints, y: Ints, low: float, high: float) -> tuple[Any, Any]:
    """Both histograms with the same labels: a missing state is shown if either table has one."""
    a, b = histogram(coding, x.tolist(), low, high), histogram(coding, y.tolist(), low, high)
    if len(a.labels) != len(b.labels):
        full = coding.labels()
        a, b = (replace(h, labels=full, counts=c.tolist()) for h, c in ((a, x), (b, y)))
    return a, b
