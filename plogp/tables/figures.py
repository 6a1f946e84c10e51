"""Pictures of the three results with matplotlib, for notebooks; the report draws its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from plogp.tables.frames import Frame
from plogp.tables.results import Drift, Histogram, Profile, Relation

__all__ = ["plot"]


def plot(result: Frame, limit: int = 12) -> Any:
    """Draw a result and return the matplotlib figure.

    A `Drift` as overlaid distributions of the most changed columns, a `Relation` as information with its interval, a
    `Profile` as the map of normalised mutual information (or, without pairs, the columns' distributions).
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit!r}")
    if isinstance(result, Drift):
        return _overlays([(r.column, [r.reference, r.current], r.how) for r in result.rows[:limit]])
    if isinstance(result, Relation):
        return _intervals(result, limit)
    if isinstance(result, Profile) and result.pairs:
        return _heat_map(result, limit)
    if isinstance(result, Profile):
        return _overlays([(c.name, [c.histogram], c.kind) for c in result.columns[:limit]])
    raise TypeError(f"there is no picture of a {type(result).__name__}")


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def _overlays(panels: list[tuple[str, list[Histogram], str]]) -> Any:
    across = min(4, max(1, len(panels)))
    down = max(1, -(-len(panels) // across))
    figure = _figure(3.2 * across, 2.3 * down)
    for k, (name, histograms, said) in enumerate(panels):
        axes = figure.add_subplot(down, across, k + 1)
        places = np.arange(len(histograms[0].labels))
        width = 0.8 / len(histograms)
        for j, h in enumerate(histograms):
            label = ("reference", "current")[j] if len(histograms) > 1 else None
            axes.bar(places + (j - (len(histograms) - 1) / 2) * width, h.shares, width, label=label)
        axes.set_title(_plain(f"{name}: {said}"), fontsize=8)
        step = max(1, len(places) // 6)
        axes.set_xticks(places[::step], [_plain(t) for t in histograms[0].labels[::step]], rotation=45, fontsize=6)
        axes.tick_params(axis="y", labelsize=6)
        if k == 0 and len(histograms) > 1:
            axes.legend(fontsize=7)
    return figure


def _intervals(result: Relation, limit: int) -> Any:
    rows = result.rows[:limit][::-1]
    figure = _figure(6.0, 0.6 + 0.3 * max(len(rows), 1))
    axes = figure.add_subplot()
    for k, row in enumerate(rows):
        estimate = row.mutual_information
        low, high = estimate.interval() if estimate.has_interval else (estimate.value, estimate.value)
        axes.plot([low, high], [k, k], color="0.5")
        axes.plot(estimate.value, k, "o", color="C3" if row.leak else "C0" if row.informative else "0.7")
    axes.set_yticks(range(len(rows)), [_plain(r.column) for r in rows])
    axes.axvline(0.0, color="0.8", linewidth=0.8)
    axes.set_xlabel(_plain(f"mutual information with {result.target} (nats), 95 % interval"))
    return figure


def _heat_map(result: Profile, limit: int) -> Any:
    strongest: dict[str, float] = {}
    for pair in result.pairs:
        for name in (pair.a, pair.b):
            strongest[name] = max(strongest.get(name, 0.0), pair.normalized)
    kept = sorted(strongest, key=lambda n: -strongest[n])[:limit]
    names = [c.name for c in result.columns if c.name in kept]
    at = {name: i for i, name in enumerate(names)}
    shown = np.full((len(names), len(names)), np.nan)
    for pair in result.pairs:
        if pair.a in at and pair.b in at:
            shown[at[pair.a], at[pair.b]] = shown[at[pair.b], at[pair.a]] = pair.normalized
    figure = _figure(1.5 + 0.4 * len(names), 1.2 + 0.4 * len(names))
    axes = figure.add_subplot()
    image = axes.imshow(shown, vmin=0.0, vmax=1.0, cmap="Blues")
    axes.set_xticks(range(len(names)), [_plain(n) for n in names], rotation=90)
    axes.set_yticks(range(len(names)), [_plain(n) for n in names])
    axes.set_title("mutual information / smaller entropy", fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.8)
    return figure


def _plain(text: str) -> str:
    """Keep matplotlib from reading a name as a formula."""
    return text.replace("$", r"\$")
