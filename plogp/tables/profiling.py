"""`profile`: what information each column of a table carries, and which columns depend on each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.discrete import entropy_from_counts
from plogp.estimate.knn import kozachenko_leonenko
from plogp.measures.uncertainty import Estimate
from plogp.tables.coding import Categories, Coding, Intervals, cuts_from_quantiles, format_date, histogram
from plogp.tables.kinds import kinds_of
from plogp.tables.pairs import pair_bins, pair_codings, pair_dependence
from plogp.tables.results import ColumnProfile, Histogram, PairDependence, Profile
from plogp.tables.significance import Correction
from plogp.tables.source import Source, Stats, TableError, groups, open_table

__all__ = ["PROBS", "profile"]

Floats = npt.NDArray[np.float64]

#: Probabilities at which quantiles are asked for: hundredths, finer in the tails.
PROBS: Floats = np.concatenate([[0.001, 0.002, 0.005], np.arange(1, 100) / 100, [0.995, 0.998, 0.999]])
#: Columns worked on at a time: bounds memory in columns.
GROUP = 32
#: Values of a category listed in its histogram; the rest are "(other)".
SHOWN = 30
#: Beyond this many distinct values the entropy is that of the most frequent and the others together.
EXACT_STATES = 1_000_000
#: With fewer values that repeat, and most rows a value of their own, the entropy beyond the rows is unknown.
REPEATED = 10
AT_HAND = "rows at hand"
#: Random rows for the differential entropy.
DENSITY_ROWS = 10_000


def profile(
    table: Any,
    columns: Iterable[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    bins: int = 20,
    pairs: bool = True,
    correction: Correction = "bh",
    sample: int = 100_000,
    seed: int = 0,
) -> Profile:
    r"""Describe every column of a table by its entropy, and every pair by its mutual information.

    .. math:: H(X) = -\sum_x p(x) \ln p(x), \qquad h(X) = -\int f \ln f, \qquad I(X; Y) = D(p_{XY} \| p_X p_Y).

    The entropy is that of the values for discrete, boolean and categorical columns (Chao-Wang-Jost, without the
    missing ones; where hardly a value repeats, of the rows at hand, without an interval) and differential for
    continuous ones and dates, on at most 10,000 random rows by nearest neighbours; rounded numbers have
    H(values) + ln(step), other columns with repeated values that of a histogram
    with 64 quantile bins. Pairs are taken over the rows that have both values; see `plogp.tables.pairs`.

    Parameters
    ----------
    table : path, URL, data frame, relation, mapping or Source
        See `open_table`.
    columns : list of str, optional
        Only these.
    kinds : dict, optional
        Overrides of the type rule of `plogp.tables.kinds`: ``{"postcode": "categorical"}``.
    bins : int
        Bars of the histogram of a continuous column.
    pairs : bool
        Whether to look at pairs.
    correction : "bh", "by", "holm" or "none"
        For having tested many pairs.
    sample : int
        Most random rows on which pairs are counted.
    seed : int
        Of the random rows.

    Returns
    -------
    Profile

    Raises
    ------
    TableError
        If the table cannot be read, a column is unknown, or no column has a value.
    ValueError
        For `bins` or `sample` out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=2000)
    >>> p = profile({"x": x, "sign": np.where(x > 0, "up", "down"), "noise": rng.normal(size=2000)})
    >>> [c.kind for c in p], round(p["sign"].entropy.to("bits").value, 2)
    (['continuous', 'categorical', 'continuous'], 1.0)
    >>> [(d.a, d.b, d.dependent) for d in p.pairs]
    [('x', 'sign', True), ('x', 'noise', False), ('sign', 'noise', False)]
    """
    if not 2 <= int(bins) <= 1000:
        raise ValueError(f"bins must be between 2 and 1000, got {bins!r}")
    if int(sample) < 100:
        raise ValueError(f"sample must be at least 100 rows, got {sample!r}")
    source = open_table(table)
    names = source.resolve(columns)
    kind_why = kinds_of(source, names, kinds)
    stats = source.stats(names)
    if all(s.present == 0 for s in stats.values()):
        raise TableError(f"{source.label} has no value in any column: every cell is missing")
    rows: list[ColumnProfile] = []
    codings: dict[str, Coding] = {}
    states = pair_bins(min(source.n_rows, sample))
    for group in groups(names, GROUP):
        here = {n: kind_why[n][0] for n in group}
        smooth = [n for n in group if here[n] in ("continuous", "datetime") and stats[n].present > 0]
        quantiles = source.quantiles(smooth, PROBS) if smooth else {}
        rows += _columns(source, group, kind_why, stats, quantiles, int(bins), seed)
        if pairs:
            usable = {n: k for n, k in here.items() if k not in ("continuous", "datetime") or n in quantiles}
            codings |= pair_codings(source, usable, PROBS, quantiles, states)
    notes = list(source.notes)
    found: list[PairDependence] = []
    if pairs:
        found, said = pair_dependence(
            source, {n: k for n, (k, _) in kind_why.items()}, codings, int(sample), seed, correction
        )
        left = [n for n in names if n not in codings]
        if left:
            said.append(f"not paired: {_listed(left)} (constant, or text and identifiers that are not expanded)")
        notes += said
    return Profile(source.label, source.n_rows, rows, found, notes)


def _columns(
    source: Source,
    group: list[str],
    kind_why: Mapping[str, tuple[str, str]],
    stats: Mapping[str, Stats],
    quantiles: Mapping[str, Floats],
    bins: int,
    seed: int,
) -> list[ColumnProfile]:
    codings: dict[str, Coding] = {}
    fine: dict[str, Intervals] = {}
    for name in quantiles:
        dates = kind_why[name][0] == "datetime"
        codings[name] = Intervals(_even_cuts(PROBS, quantiles[name], bins, stats[name]), dates)
        fine[name] = _fine(quantiles[name], stats[name])
    counted = [n for n in group if n not in quantiles]
    top = source.top(counted, SHOWN)
    for name in counted:
        values = [v for v, _ in top[name]]
        closed = stats[name].exact_distinct and len(values) == stats[name].distinct
        if source.columns[name].numeric:
            values.sort()
        codings[name] = Categories(tuple(values), not closed, source.columns[name].storage == "boolean")
    counts, fine_counts = source.counts(codings), source.counts(fine)
    density = source.sample(list(quantiles), DENSITY_ROWS, seed) if quantiles else {}
    out = []
    for name in group:
        (kind, why), s, notes = kind_why[name], stats[name], list(source.columns[name].notes)
        low, high = (v if v is not None else math.nan for v in (s.low, s.high))
        shown = histogram(codings[name], counts[name].tolist(), low, high)
        if name in quantiles:
            entropy, of = _differential(source, name, density[name], fine[name], fine_counts[name], s)
            if s.infinite:
                notes.append(f"{s.infinite:,} infinite values: in the outer bins, left out of mean, sd and entropy")
            summary = _numbers(s, quantiles[name], kind == "datetime")
        else:
            entropy, of = _of_values(source, name, s, shown)
            summary = _words(source, name, s, top[name])
            if kind == "text/id":
                notes.append("not expanded into categories")
            if of == AT_HAND:
                notes.append(
                    "hardly a value repeats: the entropy is that of the rows at hand, of more rows it is larger"
                )
        if s.missing == s.n:
            notes.append("every value is missing")
        out.append(ColumnProfile(name, kind, s.n, s.missing, s.distinct, entropy, of, summary, shown, why, notes))
    return out


def _even_cuts(probs: Floats, quantiles: Floats, bins: int, s: Stats) -> tuple[float, ...]:
    """Cuts of equal width over the middle 99 % of the values, so that an outlier does not flatten the picture."""
    low, high = (float(q) for q in np.interp([0.005, 0.995], probs, quantiles))
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        low, high = (v if v is not None and math.isfinite(v) else 0.0 for v in (s.low, s.high))
    if not low < high:
        return ()
    with np.errstate(over="ignore"):
        cuts = np.unique(low / bins * np.arange(bins - 1, 0, -1) + high / bins * np.arange(1, bins))
    return tuple(float(c) for c in cuts if math.isfinite(c))


def _fine(quantiles: Floats, s: Stats) -> Intervals:
    low, high = (v if v is not None else math.nan for v in (s.low, s.high))
    return Intervals(cuts_from_quantiles(PROBS, quantiles, 64, low, high))


def _differential(
    source: Source, name: str, x: Floats, fine: Intervals, counts: npt.NDArray[np.int64], s: Stats
) -> tuple[Estimate, str]:
    """Differential entropy: by nearest neighbours; of rounded values by their lattice; else of a histogram."""
    x = x[np.isfinite(x)]
    values = np.unique(x)
    if len(x) >= 20 and len(values) >= 0.95 * len(x):
        try:
            return kozachenko_leonenko(x), "density"
        except ValueError:  # more than k equal values
            pass
    step = _lattice(values)
    if step is not None and s.distinct <= EXACT_STATES and s.infinite == 0:
        # A density seen through rounding to multiples of the step: h = H(values) + ln(step). Where most values
        # occur once or twice, counts say little; spread evenly over their steps, they are a density again.
        if s.distinct <= 0.1 * s.present:
            return entropy_from_counts(_counts(source.repeats(name))) + math.log(
                step
            ), f"density (values are {step:.3g} apart)"
        spread = x + step * np.random.default_rng(0).uniform(-0.5, 0.5, len(x))
        return kozachenko_leonenko(spread), f"density (values are {step:.3g} apart, spread evenly)"
    return _of_histogram(fine, counts, s), "density (histogram)"


def _lattice(values: Floats) -> float | None:
    """Return the step of which all differences are multiples, if the values were rounded."""
    if len(values) < 3:
        return None
    gaps = np.diff(values)
    step = float(gaps.min())
    multiples = gaps / step
    # The smallest gap carries a rounding error of its own: average it over the long gaps' multiples.
    step = float((values[-1] - values[0]) / np.round(multiples).sum()) if np.isfinite(multiples).all() else 0.0
    if step <= 0 or not math.isfinite(step):
        return None
    off = np.abs((values - values[0]) / step - np.round((values - values[0]) / step))
    return step if off.max() < 1e-3 else None


def _of_histogram(fine: Intervals, counts: npt.NDArray[np.int64], s: Stats) -> Estimate:
    if s.low is None or s.high is None or s.present < 2:
        return Estimate(math.nan, None, s.present, "too few values")
    edges = np.asarray(fine.edges(s.low, s.high))
    width, inside = np.diff(edges), counts[: len(edges) - 1]
    use = np.isfinite(width) & (width > 0) & (inside > 0)
    kept = inside[use]
    if kept.sum() < 2:
        return Estimate(math.nan, None, s.present, "too few distinct values")
    # -Σ p ln(p / w) = H(bins) + Σ p ln w; its error is that of the mean of ln(w / p).
    value = entropy_from_counts(kept).value + float(kept @ np.log(width[use]) / kept.sum())
    local = np.log(width[use] / (kept / kept.sum()))
    spread = float(kept @ (local - float(kept @ local) / kept.sum()) ** 2) / kept.sum()
    method = f"histogram of {int(use.sum())} quantile bins"
    return Estimate(value, math.sqrt(spread / kept.sum()), int(kept.sum()), method)


def _counts(repeats: Mapping[int, int]) -> npt.NDArray[np.int64]:
    """Return the counts of the values from how often each count occurs; nothing else leaves the engine."""
    return np.repeat(list(repeats.keys()), list(repeats.values()))


def _of_values(source: Source, name: str, s: Stats, shown: Histogram) -> tuple[Estimate, str]:
    """Entropy of the values themselves."""
    if s.present == 0 or s.distinct <= 1:
        return Estimate(0.0, 0.0, s.present, "one state" if s.present else "no values"), "values"
    if s.distinct <= EXACT_STATES:
        repeats = source.repeats(name)
        if repeats.get(1, 0) > s.present / 2 and sum(k for n, k in repeats.items() if n > 1) < REPEATED:
            # All that the rows say of the source is that it has more values than they show.
            return replace(entropy_from_counts(_counts(repeats), "plugin"), se=None, law=None), AT_HAND
        return entropy_from_counts(_counts(repeats)), "values"
    kept = [c for c in shown.counts if c > 0]
    if len(kept) < 2:
        return Estimate(0.0, 0.0, s.present, "one state"), "values (most frequent and other)"
    return entropy_from_counts(kept), f"values ({SHOWN} most frequent and other)"


def _numbers(s: Stats, quantiles: Floats, dates: bool) -> dict[str, Any]:
    wanted = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    at = {f"{p:g}": float(q) for p, q in zip(wanted, np.interp(wanted, PROBS, quantiles))}
    out: dict[str, Any] = {"min": s.low, "max": s.high, "mean": s.mean, "sd": s.sd, "quantiles": at}
    if dates:
        words = {"min": s.low, "max": s.high, "mean": s.mean, "median": at["0.5"]}
        out["dates"] = {k: format_date(v) for k, v in words.items() if v is not None}
    if s.infinite:
        out["infinite"] = s.infinite
    return out


def _words(source: Source, name: str, s: Stats, top: list[tuple[Any, int]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if source.columns[name].numeric:
        out |= {"min": s.low, "max": s.high, "mean": s.mean, "sd": s.sd}
    if top:
        out |= {"mode": top[0][0], "mode_share": top[0][1] / s.present}
    return out


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
