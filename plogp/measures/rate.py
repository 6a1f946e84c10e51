"""Rate functions: the least information for a given mean distortion, R(D), or semantic information, R(G)."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from plogp.measures.blahut_arimoto import (
    FixedScore,
    RatePoint,
    climb,
    expected_score,
    rate_of,
    source_of,
    table_of,
)
from plogp.measures.bottleneck import information_bottleneck

__all__ = ["RatePoint", "rate_at", "rate_function"]

Kind = Literal["semantic", "distortion", "bottleneck"]


def rate_function(
    px: Any,
    score: Any,
    s: float,
    *,
    kind: Kind = "semantic",
    tol: float = 1e-9,
    max_iter: int = 20_000,
    **options: Any,
) -> RatePoint:
    r"""Return the point of slope `s` on a rate function: the least I(X;Y) for a given mean score.

    With ``log m`` the score, the loop repeats

    .. math:: p(y|x) = p(y)\, m(x,y)^s / \lambda(x),\quad p(y) \leftarrow \sum_x p(x)\, p(y|x)

    Parameters
    ----------
    px : array (n_x,)
        Source distribution.
    score : array (n_x, n_y)
        ``kind="semantic"``: log m, with m = T(θ_y|x)/T(θ_y) (or any log-similarity; -inf forbids the pair).
        ``kind="distortion"``: d(x, y) >= 0; +inf forbids the pair. ``kind="bottleneck"``: the channel p(y|x)
        from the source to the relevant variable; the rows sum to 1.
    s : float
        Multiplier. Semantic: any finite number, dR/dG (negative: the branch of false statements).
        Distortion: -dR/dD >= 0, in nats per unit of distortion. Bottleneck: beta >= 0.
    kind : {"semantic", "distortion", "bottleneck"}
        What `score` is.
    tol : float
        Certified distance from the optimum, in nats, at which the loop stops.
    max_iter : int
        Largest number of passes; a point that has not converged says so.
    **options
        Passed to `information_bottleneck` for ``kind="bottleneck"``.

    Returns
    -------
    RatePoint
        `rate` and `score` are those of the returned channel, hence achievable as they stand.

    Raises
    ------
    ValueError
        For mismatched shapes, NaN, a source symbol for which every pair is forbidden, or an unfit `s`.

    Examples
    --------
    A fair coin under Hamming distortion: R(D) = log 2 - h(D), with D = 1/(1 + e^s).

    >>> point = rate_function([0.5, 0.5], [[0, 1], [1, 0]], s=np.log(9.0), kind="distortion")
    >>> round(point.score, 6), round(float(point.rate / np.log(2)), 6)
    (0.1, 0.531004)

    References
    ----------
    R. Blahut 1972; S. Arimoto 1972 (R(D)). C. Lu 2025, Entropy 27(5):461 (R(G)). N. Tishby, F. Pereira,
    W. Bialek 1999, arXiv physics/0004057 (bottleneck).
    """
    if kind == "bottleneck":
        return information_bottleneck(px, score, s, tol=tol, max_iter=max_iter, **options)
    if options:
        raise TypeError(f"unexpected options for kind={kind!r}: {', '.join(sorted(options))}")
    if kind not in ("semantic", "distortion"):
        raise ValueError(f"kind must be 'semantic', 'distortion' or 'bottleneck', got {kind!r}")
    source = source_of(px)
    table = table_of(score, len(source), "score")
    if not math.isfinite(s) or (kind == "distortion" and s < 0):
        bound = " and >= 0 for a distortion" if kind == "distortion" else ""
        raise ValueError(f"s must be finite{bound}, got {s!r}")
    if kind == "distortion" and np.any(table < 0):
        raise ValueError(f"score: a distortion must be >= 0, got {table.min():.6g}")
    log_m = -table if kind == "distortion" else table
    objective = FixedScore(source, log_m, s)
    start = np.full(log_m.shape[1], 1.0 / log_m.shape[1])
    climbed = climb(start, objective, tol, max_iter)
    channel = objective.channel(climbed.weights)
    mean = expected_score(source, channel, table)
    return RatePoint(rate_of(source, channel), mean, channel, float(s), *climbed[1:4])


def rate_at(
    px: Any,
    score: Any,
    target: float,
    *,
    kind: Kind = "distortion",
    tol: float = 1e-9,
    max_iter: int = 20_000,
    s_max: float = 1e4,
) -> RatePoint:
    """Return the point of a rate function whose mean score is `target`, found by bisection on the slope.

    Where the curve is a straight line one slope has many scores; the returned channel then mixes two of them,
    and its rate is an upper bound by convexity.

    Parameters
    ----------
    px, score, kind, tol, max_iter
        As in `rate_function`; `kind` is ``"distortion"`` or ``"semantic"``.
    target : float
        Mean distortion D allowed, or semantic information G wanted.
    s_max : float
        Largest slope tried.

    Raises
    ------
    ValueError
        If no channel with a slope of at most `s_max` reaches the target.

    Examples
    --------
    >>> point = rate_at([0.5, 0.5], [[0, 1], [1, 0]], target=0.25)
    >>> round(float(point.rate / np.log(2)), 6)
    0.188722

    References
    ----------
    R. Blahut 1972; S. Arimoto 1972.
    """
    if kind not in ("semantic", "distortion"):
        raise ValueError(f"kind must be 'semantic' or 'distortion', got {kind!r}")
    sign = -1.0 if kind == "distortion" else 1.0

    def at(s: float) -> RatePoint:
        return rate_function(px, score, s, kind=kind, tol=tol, max_iter=max_iter)

    source, table = source_of(px), table_of(score, None, "score")
    zero_rate = float(np.max(sign * (source @ np.where(source[:, None] > 0, table, 0.0))))
    if sign * target <= zero_rate:  # a constant output does as well: no information is needed
        column = int(np.argmax(sign * (source @ np.where(source[:, None] > 0, table, 0.0))))
        channel = np.zeros_like(table)
        channel[:, column] = 1.0
        return RatePoint(0.0, sign * zero_rate, channel, 0.0, 0.0, 0, True)
    low, high = 0.0, 1.0
    below, above = at(low), at(high)
    while sign * (above.score - target) < 0:
        if high >= s_max:
            raise ValueError(f"target={target!r} is out of reach: slope {high:g} gives a score of {above.score:.6g}")
        low, below, high = high, above, min(2 * high, s_max)
        above = at(high)
    for _ in range(200):
        if abs(above.score - below.score) <= 1e-12 * max(1.0, abs(target)) or high - low <= 1e-13 * high:
            break
        middle = 0.5 * (low + high)
        point = at(middle)
        if sign * (point.score - target) < 0:
            low, below = middle, point
        else:
            high, above = middle, point
    span = above.score - below.score
    share = 1.0 if span == 0 else (target - below.score) / span
    channel = (1 - share) * below.channel + share * above.channel
    mean = expected_score(source, channel, table)
    iterations, converged = above.iterations + below.iterations, above.converged and below.converged
    rate, gap = rate_of(source, channel), max(above.gap, below.gap)
    return RatePoint(rate, mean, channel, high, gap, iterations, converged)
