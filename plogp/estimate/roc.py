"""How well a score tells two groups apart: the area under the ROC curve with DeLong's error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_samples
from plogp.measures.uncertainty import Estimate

__all__ = ["auc", "best_threshold"]


def auc(scores: Any, positive: Any) -> Estimate:
    r"""Return the probability that a random positive scores above a random negative; ties count one half.

    .. math:: \hat A = \frac{1}{n_1 n_0} \sum_{i, j} \big(1[s_i > s_j] + \tfrac12 1[s_i = s_j]\big)

    Parameters
    ----------
    scores : array, shape (n,)
        Higher for what should be positive.
    positive : array of bool or 0/1, shape (n,)

    Returns
    -------
    Estimate
        Dimensionless, with DeLong's standard error (none with fewer than two of a group). The normal interval is
        poor near 0 and 1, where the error goes to 0: at A = 1 it has no width.

    Raises
    ------
    ValueError
        For lengths that differ, NaN, labels other than 0 and 1, or one group only.

    Examples
    --------
    >>> auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).value
    0.75

    References
    ----------
    E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44, 1988.
    """
    from scipy.stats import rankdata

    s, y = _checked(scores, positive)
    n1, n0 = int(y.sum()), int((~y).sum())
    ranks = rankdata(s)
    above = (ranks[y] - rankdata(s[y])) / n0  # of each positive: the share of negatives below it
    below = 1.0 - (ranks[~y] - rankdata(s[~y])) / n1
    value = float(above.mean())
    if min(n1, n0) < 2:
        note = {"no_interval": "fewer than two of a group"}
        return Estimate(value, None, len(y), "auc(delong)", "", diagnostics=note)
    se = math.sqrt(above.var(ddof=1) / n1 + below.var(ddof=1) / n0)
    return Estimate(value, se, len(y), "auc(delong)", "")


def best_threshold(scores: Any, positive: Any) -> float:
    """Return the threshold t for which ``score >= t`` has the largest true minus false positive rate (Youden's J).

    Choose it on validation data; on the data it was chosen on, the rates are too good.

    Raises
    ------
    ValueError
        As `auc`.

    Examples
    --------
    >>> best_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.35
    """
    s, y = _checked(scores, positive)
    levels = np.unique(s)
    rates = [1 - np.searchsorted(np.sort(group), levels, side="left") / len(group) for group in (s[y], s[~y])]
    return float(levels[int(np.argmax(rates[0] - rates[1]))])


def _checked(scores: Any, positive: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    s = as_samples(scores, "scores")
    if s.shape[1] != 1:
        raise ValueError(f"scores must be one-dimensional, got shape {s.shape}")
    labels = np.asarray(positive)
    if labels.shape != (len(s),):
        raise ValueError(f"positive must hold one label for each of the {len(s)} scores, got shape {labels.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("positive must hold True and False (or 1 and 0) only")
    y = labels.astype(bool)
    if y.all() or not y.any():
        raise ValueError("positive must hold both groups, but all labels are the same")
    return s[:, 0], y
