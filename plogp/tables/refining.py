"""Information of continuous columns about a target by nearest neighbours, where bins lose some of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from plogp.estimate.discrete import mutual_information_from_counts
from plogp.estimate.ksg import ksg
from plogp.estimate.mixed import ross
from plogp.measures.uncertainty import Estimate
from plogp.tables.coding import Coding, Intervals
from plogp.tables.results import TargetRow
from plogp.tables.source import Source, groups

__all__ = ["refined"]

#: Random rows for the nearest neighbours, and columns worked on at a time.
ROWS, GROUP = 5_000, 32


def refined(source: Source, target: str, coding: Coding, rows: Sequence[TargetRow], seed: int) -> list[TargetRow]:
    """Replace the binned information of the informative continuous columns by nearest neighbours' on random rows.

    About a continuous target always (KSG). About classes (Ross) only where the neighbours find more, by twice their
    standard error, or once where the column nearly determines the class: bins never find more than there is, and
    where they miss nothing they are the more precise, so that a weak predictor must not gain from noise.
    """
    out = {r.column: r for r in rows}
    smooth = [r.column for r in rows if r.kind == "continuous" and r.informative]
    classes = None if isinstance(coding, Intervals) else coding
    for group in groups(smooth, GROUP):
        values = source.sample([target, *group], ROWS, seed)
        y = values[target] if classes is None else classes.encode(values[target])
        known = np.isfinite(y) if classes is None else y < classes.size - 1
        for name in group:
            both = np.isfinite(values[name]) & known
            if both.sum() < 100:
                continue
            try:
                x = values[name][both]
                found = ksg(x, y[both]) if classes is None else ross(y[both], x)
            except ValueError:  # values repeat: not continuous enough, the bins are right
                continue
            row = out[name]
            if classes is not None:
                # The bins' information is that of all rows with a target: missing values are a state of theirs.
                gone = ~np.isfinite(values[name][known])
                found = found * float(1 - gone.mean()) + _of_missing(gone, y[known])
            margin = (1.0 if row.leak else 2.0) * (found.se or 0.0)
            if classes is None or found.value - margin > row.mutual_information.value:
                out[name] = _with(row, found)
    return [out[r.column] for r in rows]


def _of_missing(gone: npt.NDArray[np.bool_], classes: npt.NDArray[np.int64]) -> float:
    """What it says about the class that the value is missing."""
    if gone.all() or not gone.any():
        return 0.0
    joint = np.bincount(2 * classes + gone, minlength=2 * (int(classes.max()) + 1)).reshape(-1, 2)
    return float(mutual_information_from_counts(joint[joint.sum(axis=1) > 0], "plugin").value)


def _with(row: TargetRow, found: Estimate) -> TargetRow:
    """Return the row with another estimate of its information, and its share of the target's entropy in step."""
    before = row.mutual_information.value
    share = min(1.0, row.normalized * found.value / before) if before > 0 else row.normalized
    return replace(row, mutual_information=replace(found, p_value=row.p_value), normalized=share)
