"""What the page shows of arrays, made of the results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from plogp.report import figures
from plogp.report.cells import cell, common_axis, dotted
from plogp.report.comparisons import Comparison
from plogp.report.representations import Geometry
from plogp.report.words import number, p_value, percent, shown

__all__ = ["arrays", "comparison"]

#: Points of a curve; a spectrum of thousands of eigenvalues is thinned evenly in the logarithm of the rank.
MOST_POINTS = 120


def arrays(parts: Sequence[Geometry], unit: str) -> dict[str, Any]:
    """Return the section on the geometry of one or two arrays."""
    names = list(dict.fromkeys(r.name for g in parts for r in g.rows))
    rows = []
    for name in names:
        found = [next((r for r in g.rows if r.name == name), None) for g in parts]
        first = next(r for r in found if r is not None)
        values = [cell(r.value if r else None, unit) for r in found]
        rows.append({"name": name, "section": first.section, "cells": values, "what": first.what})
    rows += _facts(parts)
    lead = "; ".join(
        f"{shown(g.source, 60)}: {g.n:,} × {g.d:,} {g.dtype}" + (f", {g.used:,} rows used" if g.used < g.n else "")
        for g in parts
    )
    curves, longest = _curves(parts)
    picture = figures.lines(
        {"x": longest, "curves": curves, "xlabel": "rank of the eigenvalue", "ylabel": "share of the variance"},
        "Spectrum of the covariance: share of the variance by rank, both axes logarithmic",
        width=520,
        height=260,
        log=True,
    )
    return {
        "heading": "The arrays" if len(parts) > 1 else "The array",
        "lead": f"{lead}. Intervals are of sampling rows; effective numbers grow with the number of rows, so compare "
        "arrays of equal size.",
        "names": [shown(g.source, 60) for g in parts] if len(parts) > 1 else ["Value"],
        "rows": rows,
        "figure": picture,
        "caption": "Eigenvalues of the covariance, as shares of the variance, on logarithmic axes: a straight line is "
        "a power law, a cliff a lost direction.",
    }


def _facts(parts: Sequence[Geometry]) -> list[dict[str, Any]]:
    """Counts, which have no interval."""

    def row(name: str, values: Sequence[str], sorts: Sequence[float], what: str) -> dict[str, Any]:
        cells = [{"value": v, "interval": "", "weak": False, "sort": f"{s:.6g}"} for v, s in zip(values, sorts)]
        return {"name": name, "section": "counts", "cells": cells, "what": what}

    out = []
    for share in ("50 %", "90 %", "99 %"):
        if all(share in g.components for g in parts):
            counts = [g.components[share] for g in parts]
            what = f"Principal components that hold {share} of the variance."
            out.append(row(f"components for {share}", [f"{c:,}" for c in counts], counts, what))
    for name, values, what in (
        ("duplicates", [g.duplicates for g in parts], "Rows equal to an earlier row, bit by bit."),
        ("constant columns", [g.constant for g in parts], "Columns that never change in the rows used."),
        ("rows left out", [g.dropped for g in parts], "Rows with NaN or infinite values."),
    ):
        words = [f"{v:,}" for v in values]
        if name == "duplicates":
            words = [f"{v:,}" + (f" ({percent(v / g.n)})" if v else "") for v, g in zip(values, parts)]
        out.append(row(name, words, values, what))
    return out


def _curves(parts: Sequence[Geometry]) -> tuple[dict[str, list[float]], list[float]]:
    longest = max((len(g.spectrum) for g in parts), default=0)
    if not longest:
        return {}, []
    ranks = np.unique(np.round(np.geomspace(1, longest, min(longest, MOST_POINTS))).astype(int))
    curves = {}
    for g in parts:
        floor = 1e-9 * g.spectrum[0] if len(g.spectrum) else math.inf
        values = [float(g.spectrum[r - 1]) if r <= len(g.spectrum) else math.nan for r in ranks]
        curves[shown(g.source, 60)] = [v if v > floor else math.nan for v in values]
    return curves, [float(r) for r in ranks]


def comparison(c: Comparison, unit: str) -> dict[str, Any]:
    """Return the section on what two arrays share, or how they differ."""
    bounds = common_axis([r.value for r in c.rows], unit)
    rows = []
    for r in c.rows:
        warnings = [str(r.value.diagnostics[k]) for k in ("warning",) if k in r.value.diagnostics]
        rows.append(
            {
                "name": r.name,
                "method": shown(r.value.method, 80),
                "value": dotted(r.value, unit, bounds),
                "what": r.what,
                "notes": [shown(w, 300) for w in warnings],
            }
        )
    information = c.kind == "information"
    p = p_value(c.p_value)
    entropy = ""
    if c.entropy is not None:
        limit = c.entropy.to(unit)
        entropy = f" The labels' entropy is {number(limit.value)} {unit}: no method can find more."
    return {
        "heading": "What they share" if information else "How they differ",
        "lead": f"{c.n:,} paired rows." if information else f"{c.n:,} rows and {c.m:,} rows.",
        "quantity": "Mutual information" if information else "Divergence",
        "unit": unit,
        "rows": rows,
        "explained": [
            ("p-value", f"{p}: {c.test}."),
            ("Interval", "In square brackets, 95 %, of sampling only: what a method cannot see is not in it."),
            *([("Limit", entropy.strip())] if entropy else []),
            *([] if information else [("Direction", "D(first ‖ second), the first array as the reference.")]),
        ],
    }
