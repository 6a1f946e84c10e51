"""Contraction coefficients of a channel: how much of a divergence between inputs its outputs keep at most."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.divergence import Divergence
from plogp.measures.registry import divergence

__all__ = ["contraction_coefficient", "contraction_from", "maximal_correlation"]

Floats = npt.NDArray[np.float64]


def contraction_coefficient(d: Divergence, rows: Floats) -> float:
    """Return the supremum of D(Q'K‖QK) / D(Q'‖Q) over all inputs; two states suffice for it."""
    tv = divergence("tv")
    pairs = sorted(
        ((float(tv(rows[i], rows[j], check=False)), i, j) for i, j in itertools.combinations(range(len(rows)), 2)),
        reverse=True,
    )
    best = 0.0
    for bound, i, j in pairs:
        if bound <= best:  # total variation contracts least of all f-divergences
            break
        best = max(best, _contraction_of_pair(d, rows[i], rows[j]))
    return min(best, 1.0)


def maximal_correlation(joint: Floats) -> float:
    """Return the second singular value of a joint table divided by the root of its marginals' product."""
    px, py = joint.sum(axis=1), joint.sum(axis=0)
    live = joint[px > 0][:, py > 0]
    root = np.sqrt(np.outer(px[px > 0], py[py > 0]))
    # Take the first singular pair away (its value is 1): what is left has the second as its largest.
    return float(np.linalg.norm(live / root - root, 2)) if min(live.shape) > 1 else 0.0


def _contraction_of_pair(d: Divergence, first: Floats, second: Floats) -> float:
    """Return the supremum over Q' = (a, 1-a), Q = (b, 1-b) on two inputs with these rows."""

    def outputs(share: Floats) -> Floats:
        return share[..., None] * first + (1 - share[..., None]) * second

    def ratio(a: Floats, b: Floats) -> Floats:
        before = np.asarray(d(np.stack([a, 1 - a], -1), np.stack([b, 1 - b], -1), check=False))
        after = np.asarray(d(outputs(a), outputs(b), check=False))
        usable = np.isfinite(before) & (before > 0) & (np.abs(a - b) > 1e-3)
        return np.where(usable, after / np.where(usable, before, 1.0), 0.0)

    def local(b: Floats) -> Floats:  # the limit a -> b of a smooth divergence, whatever it is
        mean = outputs(b)
        square = np.where(mean > 0, (first - second) ** 2 / np.where(mean > 0, mean, 1.0), 0.0)
        return b * (1 - b) * square.sum(axis=-1)

    grid = np.linspace(0.0, 1.0, 33)
    best = _climb_grid(ratio, [grid, grid])
    if 0 < d.curvature < math.inf:
        best = max(best, _climb_grid(local, [grid]))
    return best


def _climb_grid(function: Any, grids: list[Floats], rounds: int = 10) -> float:
    """Return the largest value that successively finer grids around the best point find."""
    best = -math.inf
    for _ in range(rounds):
        points = np.meshgrid(*grids, indexing="ij")
        values = function(*points)
        place = np.unravel_index(int(np.argmax(values)), values.shape)
        best = max(best, float(values[place]))
        steps = [g[1] - g[0] for g in grids]
        centres = [g[i] for g, i in zip(grids, place)]
        grids = [np.linspace(max(c - s, 0.0), min(c + s, 1.0), 17) for c, s in zip(centres, steps)]
    return best


def contraction_from(d: Divergence, rows: Floats, table: Floats) -> float:
    """Return the supremum over Q' for a fixed Q, found by local search; at least the local limit."""
    from scipy.optimize import minimize

    source, target = table.sum(axis=1), table.sum(axis=0)
    if not np.all(source > 0):
        raise ValueError("px must be positive everywhere: remove the inputs that never occur")
    n = len(source)
    best = maximal_correlation(table) ** 2 if 0 < d.curvature < math.inf else 0.0

    def ratio(q: Floats) -> float:
        before = float(d(q, source, check=False))
        if not math.isfinite(before) or before <= 1e-9:
            return 0.0
        return float(d(q @ rows, target, check=False)) / before

    def loss(logits: Floats) -> float:
        weights = np.exp(logits - logits.max())
        return -ratio(weights / weights.sum())

    moved = [(1 - t) * source + t * corner for corner in np.eye(n) for t in (0.1, 0.5, 1.0)]
    for i, j in itertools.permutations(range(n), 2):
        shifted = source.copy()
        shifted[i], shifted[j] = source[i] + source[j], 0.0
        moved.append(shifted)
    starts = sorted(moved, key=ratio, reverse=True)
    best = max(best, ratio(starts[0]))
    for start in starts[:4]:
        found = minimize(loss, np.log(np.maximum(start, 1e-6)), method="L-BFGS-B")
        best = max(best, -float(found.fun))
    return min(best, 1.0)
