"""Mutual information of every pair of columns, from counts of coded values of a stated random sample.

All pairs are counted at once and evaluated together, each on the rows that have both values; dependent pairs with a
continuous column are then refined by nearest neighbours, since bins lose information (a tenth of it at a correlation
of 0.9).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import special

from plogp.estimate.ksg import ksg
from plogp.estimate.mixed import ross
from plogp.measures.uncertainty import Estimate, Normal
from plogp.tables.coding import Categories, Coding, Intervals, cuts_from_quantiles
from plogp.tables.results import PairDependence
from plogp.tables.significance import Correction, adjusted, homogeneity
from plogp.tables.source import Source

__all__ = ["MAX_PAIRS", "pair_bins", "pair_codings", "pair_dependence"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: More pairs than this are not looked at; the first columns are taken, and the result says so.
MAX_PAIRS = 50_000
#: Rows times pairs: with more pairs, fewer random rows are counted.
WORK = 500_000_000
#: Dependent pairs with a continuous column refined by nearest neighbours, strongest first, on this many random rows.
REFINED, REFINED_ROWS = 40, 5_000
#: States of a category beside the rarer ones together.
PAIR_CATEGORIES = 20
_BLOCK_CELLS = 2_000_000


def pair_bins(n: int) -> int:
    """Return how many quantile bins a continuous column has, so that cells of a pair hold 50 rows and more.

    >>> [pair_bins(n) for n in (100, 500, 5_000, 1_000_000)]
    [2, 3, 10, 16]
    """
    return int(min(16, max(2, round(math.sqrt(n / 50)))))


def pair_codings(
    source: Source, kinds: Mapping[str, str], probs: Floats, quantiles: Mapping[str, Floats], bins: int
) -> dict[str, Coding]:
    """Return the coding under which each column enters its pairs: quantile bins, or its frequent values."""
    out: dict[str, Coding] = {}
    stats = source.stats(list(kinds))
    for name, kind in kinds.items():
        s = stats[name]
        if kind in ("continuous", "datetime"):
            low, high = s.low if s.low is not None else math.nan, s.high if s.high is not None else math.nan
            out[name] = Intervals(cuts_from_quantiles(probs, quantiles[name], bins, low, high), kind == "datetime")
        elif kind in ("discrete", "boolean", "categorical"):
            values = [v for v, _ in source.top([name], PAIR_CATEGORIES)[name]]
            closed = s.exact_distinct and len(values) == s.distinct
            if source.columns[name].numeric:
                values.sort()
            out[name] = Categories(tuple(values), other=not closed)
    return out


def pair_dependence(
    source: Source,
    kinds: Mapping[str, str],
    codings: Mapping[str, Coding],
    sample: int,
    seed: int,
    correction: Correction,
) -> tuple[list[PairDependence], list[str]]:
    """Return the dependence of all pairs of coded columns, and notes on what was left out."""
    names, notes = list(codings), []
    most = int((1 + math.sqrt(1 + 8 * MAX_PAIRS)) / 2)
    if len(names) > most:
        notes.append(f"pairs of the first {most} of {len(names)} columns only")
        names = names[:most]
    pairs = list(combinations(range(len(names)), 2))
    if not pairs:
        return [], notes
    rows = min(sample, max(WORK // len(pairs), 2_000))
    codes = source.sample_codes({n: codings[n] for n in names}, rows, seed)
    n = len(next(iter(codes.values())))
    where = "all rows" if n == source.n_rows else f"{n:,} random rows (seed {seed})"
    if n < source.n_rows:
        notes.append(f"dependence of pairs is counted on {where}")
    columns = [codes[name].astype(np.int64) for name in names]
    sizes = [codings[name].size for name in names]
    found = _evaluate(columns, sizes, pairs)
    p_adjusted = adjusted(found.p_values, correction)
    out = []
    for (i, j), value, se, normalized, p, q, both in zip(
        pairs, found.values, found.errors, found.normalized, found.p_values, p_adjusted, found.n
    ):
        a, b = names[i], names[j]
        method = f"G test and bias-corrected plug-in on {_says(codings[a])} x {_says(codings[b])}, {where}"
        value, se, p = float(value), float(se), float(p)
        estimate = Estimate(value, se, int(both), "plugin, bias-corrected", law=Normal(value, se), p_value=p)
        out.append(PairDependence(a, b, estimate, float(normalized), p, float(q), method))
    return _refined(source, kinds, codings, out, seed), notes


class _Found:
    """Arrays over pairs."""

    def __init__(self, n: int):
        self.values, self.errors, self.normalized = np.zeros(n), np.zeros(n), np.zeros(n)
        self.p_values, self.n = np.ones(n), np.zeros(n, dtype=np.int64)


def _evaluate(columns: Sequence[Ints], sizes: Sequence[int], pairs: Sequence[tuple[int, int]]) -> _Found:
    found, width = _Found(len(pairs)), max(sizes)
    block = max(1, _BLOCK_CELLS // width**2)
    for start in range(0, len(pairs), block):
        chunk = pairs[start : start + block]
        tables = np.zeros((len(chunk), width, width))
        for k, (i, j) in enumerate(chunk):
            flat = np.bincount(columns[i] * sizes[j] + columns[j], minlength=sizes[i] * sizes[j])
            # The last state is missing: information is about the rows that have both values.
            tables[k, : sizes[i] - 1, : sizes[j] - 1] = flat.reshape(sizes[i], sizes[j])[:-1, :-1]
        _evaluate_block(tables, found, slice(start, start + len(chunk)))
    return found


def _evaluate_block(tables: Floats, found: _Found, at: slice) -> None:
    """Plug-in information less its bias, its error, and the p-value of independence, for many tables at once."""
    n = np.maximum(tables.sum(axis=(1, 2)), 1.0)
    rows, cols = tables.sum(axis=2), tables.sum(axis=1)
    # Σ c log(c n / r_i c_j) = Σ c log c - Σ r log r - Σ c_j log c_j + n log n
    entropy_rows = (special.entr(rows / n[:, None])).sum(axis=1)
    entropy_cols = (special.entr(cols / n[:, None])).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = rows[:, :, None] * cols[:, None, :] / n[:, None, None]
        local = np.where(tables > 0, np.log(tables / expected), 0.0)
    p = tables / n[:, None, None]
    plugin = (p * local).sum(axis=(1, 2))
    second = (p * local**2).sum(axis=(1, 2))
    r, c = (rows > 0).sum(axis=1), (cols > 0).sum(axis=1)
    df = ((r - 1) * (c - 1)).astype(np.float64)
    # The bias of H(A) + H(B) - H(A, B) by Miller and Madow, with the joint states that could occur where
    # columns are nearly independent, and those that do occur where they are not.
    occupied = (tables > 0).sum(axis=(1, 2))
    bias = np.minimum(df, np.maximum(occupied - r - c + 1.0, 0.0)) / (2 * n)
    # Delta method, plus the quadratic term that remains at independence: the variance of χ²(df) / 2n.
    variance = np.maximum(second - plugin**2, 0.0) / n + df / (2 * n**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        smallest = np.where(rows > 0, rows, np.inf).min(axis=1) * np.where(cols > 0, cols, np.inf).min(axis=1) / n
        inverse_r = np.where(rows > 0, n[:, None] / rows, 0.0).sum(axis=1) - 1
        inverse_c = np.where(cols > 0, n[:, None] / cols, 0.0).sum(axis=1) - 1
        williams = 1 + inverse_r * inverse_c / (6 * n * np.maximum(df, 1.0))
    p_values = np.where(df > 0, special.gammaincc(np.maximum(df, 1.0) / 2, n * plugin / williams), 1.0)
    for k in np.flatnonzero((smallest < 5) & (df > 0)):
        p_values[k] = homogeneity(tables[k].astype(np.int64))
    least = np.minimum(entropy_rows, entropy_cols)
    found.values[at] = np.where(df > 0, plugin - bias, 0.0)
    found.errors[at] = np.sqrt(variance)
    found.normalized[at] = np.clip(np.divide(plugin - bias, least, out=np.zeros_like(least), where=least > 0), 0, 1)
    found.p_values[at] = np.minimum(p_values, 1.0)
    found.n[at] = tables.sum(axis=(1, 2)).astype(np.int64)


def _refined(
    source: Source,
    kinds: Mapping[str, str],
    codings: Mapping[str, Coding],
    pairs: list[PairDependence],
    seed: int,
) -> list[PairDependence]:
    """Replace the information of the strongest dependent pairs with a continuous column by nearest neighbours'."""
    chosen = [k for k, p in enumerate(pairs) if p.dependent and "continuous" in (kinds[p.a], kinds[p.b])]
    chosen = sorted(chosen, key=lambda k: -pairs[k].mutual_information.value)[:REFINED]
    wanted = list(dict.fromkeys(name for k in chosen for name in (pairs[k].a, pairs[k].b)))
    if not wanted:
        return pairs
    values = source.sample(wanted, REFINED_ROWS, seed)
    smooth = {n for n in wanted if isinstance(codings[n], Intervals)}
    points = {n: values[n] if n in smooth else codings[n].encode(values[n]) for n in wanted}
    here = {n: np.isfinite(values[n]) if n in smooth else points[n] < codings[n].size - 1 for n in wanted}
    for k in chosen:
        pair = pairs[k]
        both = here[pair.a] & here[pair.b]
        if both.sum() < 100:
            continue
        x, y = points[pair.a][both], points[pair.b][both]
        try:
            if pair.a in smooth and pair.b in smooth:
                estimate = ksg(x, y)
            else:
                estimate = ross(y, x) if pair.a in smooth else ross(x, y)
        except ValueError:  # values repeat, or a class has too few rows: the bins are right
            continue
        rows = f"{int(both.sum()):,} random rows with both values (seed {seed})"
        pairs[k] = replace(
            pair, mutual_information=estimate, method=f"{estimate.method} on {rows}; p-value: {pair.method}"
        )
    return pairs


def _says(coding: Coding) -> str:
    if isinstance(coding, Intervals):
        return f"{len(coding.cuts) + 1} quantile bins"
    return f"{len(coding.values)}{' + other' if coding.other else ''} values"
