"""Fair scorecards: what a selection of columns says about the target, against what it says about an attribute.

`fair_frontier` selects by the columns' information values; `holdout` then measures the resulting scores,
since information values add up only where the columns are independent given the class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plogp.estimate.binning import quantile_edges
from plogp.estimate.multinomial import multinomial_divergence
from plogp.estimate.roc import auc
from plogp.measures import divergence
from plogp.measures.uncertainty import Estimate
from plogp.stats.pareto import Frontier, FrontierPoint, ParetoMIP

__all__ = [
    "Frontier",
    "FrontierPoint",
    "Holdout",
    "ParetoMIP",
    "fair_frontier",
    "holdout",
    "score_information",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Holdout:
    """How the score of one frontier point does on rows that chose neither its bins nor its items.

    ``iv`` and ``leak`` are the score's own information about target and attribute (nats, Jeffreys), ``auc``
    the probability that an event outscores a non-event, ``parity`` the difference between the attribute's
    two groups in the share of rows above the median score.
    """

    point: FrontierPoint
    iv: Estimate
    leak: Estimate
    auc: Estimate
    parity: Estimate


def fair_frontier(
    iv: npt.ArrayLike,
    leak: npt.ArrayLike,
    iv_se: npt.ArrayLike | None = None,
    leak_se: npt.ArrayLike | None = None,
    k: int | None = None,
    correlation: npt.ArrayLike | None = None,
    rho: float = 0.7,
    features: Sequence[str] | None = None,
    columns: npt.ArrayLike | None = None,
    alpha: float | None = None,
    form: str = "exact",
) -> Frontier:
    """Return the frontier of information about the target against information about a protected attribute.

    Parameters
    ----------
    iv, leak : array-like of shape (m,)
        Information value of each candidate with respect to the target, and to the protected attribute, on the
        same bins (nats). Negative bias-corrected leaks count as 0.
    iv_se, leak_se : array-like of shape (m,), optional
        Their standard errors.
    k : int, optional
        Largest number of columns.
    correlation : array-like of shape (m, m), optional
        Correlation of the candidates' WoE; pairs beyond `rho` in absolute value exclude each other.
    rho : float
        Largest tolerated correlation.
    features : sequence of str, optional
        Names of the candidates.
    columns : array-like of shape (m,), optional
        The column that each candidate bins, where several binnings of one column compete.
    alpha, form
        As in `ParetoMIP.frontier`: bound the leak with probability 1 - alpha.

    Examples
    --------
    >>> f = fair_frontier([0.6, 0.3, 0.1], [0.2, 0.01, 0.0], features=["status", "age", "job"])
    >>> [p.names for p in f]
    [('job',), ('age', 'job'), ('status', 'job'), ('status', 'age', 'job')]
    >>> f.best(0.05).names
    ('age', 'job')

    References
    ----------
    arXiv 2509.09855 (2025) for the bi-objective selection of scorecard columns.
    """
    leaks = np.maximum(np.asarray(leak, dtype=np.float64), 0.0)
    pairs: list[tuple[int, int]] = []
    if correlation is not None:
        r = np.asarray(correlation, dtype=np.float64)
        if r.shape != (len(leaks), len(leaks)):
            raise ValueError(f"correlation must have shape ({len(leaks)}, {len(leaks)}), got {r.shape}")
        i, j = np.nonzero(np.triu(np.abs(np.nan_to_num(r)) > rho, 1))
        pairs = [(int(a), int(b)) for a, b in zip(i, j)]
    mip = ParetoMIP(iv, leaks, iv_se, leak_se, pairs, columns, k, features)
    return mip.frontier(alpha=alpha, form=form)


def holdout(
    frontier: Frontier,
    score: Callable[[tuple[int, ...]], npt.ArrayLike],
    target: npt.ArrayLike,
    protected: npt.ArrayLike,
    bins: int = 10,
) -> list[Holdout]:
    """Evaluate the score of every point of a frontier on held-out rows.

    Information values add up only if the columns are independent given the class, so the sum that the
    programme maximised is a guide and these numbers are the result.

    Parameters
    ----------
    frontier : Frontier
        Of `fair_frontier` or `ParetoMIP.frontier`.
    score : callable
        ``score(selected)`` returns the held-out rows' scores of a model of the selected items.
    target, protected : array-like of shape (n,)
        Two-valued target and attribute of the held-out rows.
    bins : int
        Quantile bins of the score.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, a = rng.random(4000) < 0.3, rng.random(4000) < 0.5
    >>> x = rng.normal(size=(4000, 2)) + np.column_stack([y, y + 2.0 * a])
    >>> frontier = fair_frontier([1.0, 0.5], [0.0, 1.3])
    >>> found = holdout(frontier, lambda chosen: x[:, list(chosen)].sum(axis=1), y, a)
    >>> [h.leak.distinguishable() for h in found]
    [False, True]
    """
    y, a = _two_valued(target, "target"), _two_valued(protected, "protected")
    out = []
    for point in frontier.points:
        s = np.asarray(score(point.selected), dtype=np.float64)
        if s.shape != y.shape or s.shape != a.shape:
            raise ValueError(f"score gave shape {s.shape} for {y.shape} targets and {a.shape} attributes")
        iv, leak = score_information(s, y, bins), score_information(s, a, bins)
        out.append(Holdout(point, iv, leak, auc(s, y), _parity(s, a)))
    return out


def score_information(score: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 10) -> Estimate:
    """Return the information value of a score about a two-valued label, with its standard error.

    The Jeffreys divergence between the score's distributions in the two groups, over quantile bins (nats).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 5000)
    >>> e = score_information(rng.normal(size=10000) + y, y, bins=20)      # of N(1, 1) and N(0, 1) it is 1
    >>> abs(e.value - 1.0) < 0.1
    True
    """
    s, y = np.asarray(score, dtype=np.float64), _two_valued(labels, "labels")
    if s.shape != y.shape:
        raise ValueError(f"score and labels must have one shape, got {s.shape} and {y.shape}")
    if len(np.unique(s)) < 2:
        edges = np.empty(0)
    else:
        edges = quantile_edges(s, bins)
    codes = np.searchsorted(edges, s, side="left")
    counts = [np.bincount(codes[y == g], minlength=len(edges) + 1) for g in (1, 0)]
    return multinomial_divergence(counts[0], counts[1], divergence("jeffreys"), smoothing=0.5)


def _parity(score: Floats, a: Bools) -> Estimate:
    high = score > np.median(score)
    p, q, n1, n0 = high[a].mean(), high[~a].mean(), a.sum(), (~a).sum()
    se = math.sqrt(p * (1 - p) / n1 + q * (1 - q) / n0)
    return Estimate(float(p - q), se, len(a), "demographic parity difference at the median", "")


def _two_valued(x: npt.ArrayLike, name: str) -> Bools:
    a = np.asarray(x)
    levels = np.unique(a)
    if a.ndim != 1 or len(levels) != 2:
        raise ValueError(f"{name} must be one-dimensional with two values, got {len(levels)} in shape {a.shape}")
    return np.asarray(a == levels[1])
