"""Exact optimal binning: the best division of ordered states into few intervals, by dynamic programming.

The score of a partition is the divergence between the classes that its bins keep, measured in chi-square
units, less a price for every cut. A cut must therefore be worth more than the best cut of pure noise, so
that a column that says nothing ends in one bin.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from plogp.measures import divergence as named
from plogp.measures.divergence import Divergence

__all__ = [
    "Monotonic",
    "Penalty",
    "cut_p_value",
    "cut_threshold",
    "optimal_partition",
    "optimal_partition_classes",
    "pool",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Monotonic = Literal["auto", "increasing", "decreasing"] | None
Penalty = float | Literal["significance", "bic"]


def optimal_partition(
    events: npt.ArrayLike,
    non_events: npt.ArrayLike,
    max_bins: int = 10,
    min_share: float = 0.05,
    monotonic: Monotonic = None,
    divergence: Any = "jeffreys",
    penalty: Penalty = "significance",
    smoothing: float = 0.5,
) -> Ints:
    """Cut ordered states into the intervals that keep most of the divergence between events and non-events.

    Maximises Σ_b (2 n_eff / f''(1)) q_b f(p_b / q_b) - penalty · (bins - 1) exactly over all partitions into
    intervals, with p_b and q_b the shares of the events and of the non-events in bin b and
    n_eff = n1 n0 / (n1 + n0). Under independence that sum is chi-square with one degree of freedom a cut.
    With the default divergence the kept amount is the information value.

    Parameters
    ----------
    events, non_events : array-like of shape (m,)
        Counts of the two classes in m states in their natural order (quantile bins, integer values...).
    max_bins : int
        Largest number of bins.
    min_share : float
        Smallest share of the rows that a bin may hold.
    monotonic : None, "auto", "increasing" or "decreasing"
        Demand that the event rate never falls (rises) from bin to bin; "auto" takes the better of the two.
    divergence : str or Divergence
        Any f-divergence that is smooth at 1; D(events ‖ non-events).
    penalty : "significance", "bic" or float
        Price of a cut in chi-square units: the 5 % threshold of the best cut of noise (`cut_threshold`), the
        logarithm of the rows, or a number (0 for none).
    smoothing : float
        Added to both counts of every bin.

    Returns
    -------
    array of int
        The states at which a new bin begins, ascending, without 0; empty for a single bin.

    Raises
    ------
    ValueError
        If counts are negative, not finite or of different lengths, if a class has no rows, or if the
        divergence has a kink at 1 (total variation) and the penalty is not 0.

    Examples
    --------
    >>> optimal_partition([5, 6, 40, 42, 90, 95], [95, 94, 60, 58, 10, 5])
    array([2, 4])
    >>> optimal_partition([50, 49, 51, 50], [50, 51, 49, 50])          # nothing to see: one bin
    array([], dtype=int64)
    >>> optimal_partition([0, 0, 100, 100], [100, 100, 0, 0])          # a perfect predictor keeps its cut
    array([2])

    Notes
    -----
    O(max_bins · m²) time; the monotone variants O(max_bins · m² log m) with max_bins · m² numbers in memory.
    Dynamic programming over intervals: Fisher (1958), "On grouping for maximum homogeneity".
    """
    e, o = _counts(events, "events"), _counts(non_events, "non_events")
    if e.shape != o.shape or e.ndim != 1 or e.size == 0:
        raise ValueError(
            f"events and non_events must be one-dimensional and of equal length, got {e.shape} and {o.shape}"
        )
    n1, n0 = float(e.sum()), float(o.sum())
    if n1 <= 0 or n0 <= 0:
        raise ValueError(f"both classes need rows, got {n1:g} events and {n0:g} non-events")
    if not smoothing >= 0:
        raise ValueError(f"smoothing must be at least 0, got {smoothing!r}")
    d = _divergence(divergence)
    price = _price(penalty, min_share, len(e), 1, n1 + n0)
    curvature = float(d.curvature)
    if not math.isfinite(curvature) or curvature <= 0:
        if price > 0:
            raise ValueError(
                f"divergence {d.name!r} has a kink at 1, so its cuts have no chi-square scale; "
                "pass penalty=0, or a smooth divergence such as 'jeffreys' or 'js'"
            )
        curvature = 1.0
    se, so = _spans(e), _spans(o)
    p, q = (se + smoothing) / n1, (so + smoothing) / n0
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log(p) - np.log(q)
        score = _terms(d, p, q, log_ratio)
    score *= 2.0 * n1 * n0 / (n1 + n0) / curvature
    return _solve(score, se + so, max_bins, min_share, price, monotonic, log_ratio)


def optimal_partition_classes(
    counts: npt.ArrayLike,
    max_bins: int = 10,
    min_share: float = 0.05,
    monotonic: Monotonic = None,
    penalty: Penalty = "significance",
    class_values: npt.ArrayLike | None = None,
) -> Ints:
    """Cut ordered states into the intervals that keep most mutual information with a target of C classes.

    Maximises 2 n I(bin; class) - penalty · (bins - 1) exactly; the first term is the likelihood-ratio
    statistic, chi-square with C - 1 degrees of freedom a cut under independence. A continuous target enters
    as the counts of its quantile classes.

    Parameters
    ----------
    counts : array-like of shape (m, C)
        Rows of each class in m ordered states.
    max_bins, min_share, monotonic, penalty
        As in `optimal_partition`.
    class_values : array-like of shape (C,), optional
        A number a class, for `monotonic`: the mean of these numbers in a bin must not fall (rise).

    Returns
    -------
    array of int
        The states at which a new bin begins, ascending, without 0.

    Raises
    ------
    ValueError
        If counts are malformed, fewer than two classes have rows, or `monotonic` is asked without
        `class_values`.

    Examples
    --------
    >>> optimal_partition_classes([[90, 5, 5], [88, 6, 6], [5, 90, 5], [4, 6, 90]])
    array([2, 3])
    """
    c = _counts(counts, "counts")
    if c.ndim != 2 or c.shape[0] == 0:
        raise ValueError(f"counts must have shape (states, classes), got {c.shape}")
    totals = c.sum(axis=0)
    present = totals > 0
    if present.sum() < 2:
        raise ValueError(f"at least two classes need rows, got {int(present.sum())}")
    values = None
    if class_values is not None:
        values = np.asarray(class_values, dtype=np.float64)
        if values.shape != totals.shape:
            raise ValueError(f"class_values must hold one number a class ({totals.shape[0]}), got {values.shape}")
        values = values[present]
    elif monotonic is not None:
        raise ValueError("monotonic needs class_values: a number a class, whose mean is to rise or fall")
    c, totals = c[:, present], totals[present]
    n, classes = float(totals.sum()), len(totals)
    price = _price(penalty, min_share, len(c), classes - 1, n)
    size = _spans(c.sum(axis=1))
    score, mean = np.zeros_like(size), np.zeros_like(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in range(classes):
            span = _spans(c[:, k])
            score += np.where(span > 0, 2.0 * span * np.log(span * n / (size * totals[k])), 0.0)
            if values is not None:
                mean += values[k] * span / size
    return _solve(score, size, max_bins, min_share, price, monotonic, mean)


def cut_threshold(level: float = 0.05, min_share: float = 0.05, df: int = 1) -> float:
    """Return the chi-square value that the best cut of an unrelated column exceeds with probability `level`.

    The best of all cuts is not chi-square: it is the supremum of a squared Bessel bridge over the cuts that
    leave `min_share` of the rows on either side, with tail
    x^(df/2) e^(-x/2) / (2^(df/2) Γ(df/2)) · ((1 - df/x) ln λ + 2/x), λ = ((1 - ε)/ε)², ε = min_share.

    Parameters
    ----------
    level : float
        Probability of a cut where there is nothing.
    min_share : float
        Trimming ε, between 0 and 0.5.
    df : int
        Degrees of freedom of one fixed cut: classes - 1.

    Examples
    --------
    >>> round(cut_threshold(0.05, 0.05), 2)                            # a fixed cut would have 3.84
    9.85

    References
    ----------
    James, James and Siegmund (1987), "Tests for a change-point", Biometrika 74; Estrella (2003).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}")
    low = high = df + 2.0
    while _best_cut_tail(high, min_share, df) > level:
        high += 10.0
    while high - low > 1e-10 * high:
        mid = 0.5 * (low + high)
        low, high = (mid, high) if _best_cut_tail(mid, min_share, df) > level else (low, mid)
    return high


def cut_p_value(statistic: float, cuts: int, min_share: float = 0.05, df: int = 1) -> float:
    """Return the probability that noise, cut where it looks best, gives a partition so good.

    The usual chi-square p-value of bins that were chosen on the same data is far too small. Here every cut is
    charged as the best of all cuts: P(sup >= statistic / cuts). With one cut that is the law of the maximally
    selected chi-square; with more it errs on the safe side (5,000 simulated noise columns: at 5 %, 1.6 %).

    Parameters
    ----------
    statistic : float
        What the partition keeps, in chi-square units (n_eff · IV, or 2 n I).
    cuts : int
        Bins - 1; with 0 the answer is 1.
    min_share, df
        As in `cut_threshold`.

    Examples
    --------
    >>> cut_p_value(9.85, 1) < 0.0501, round(cut_p_value(20.0, 1), 5)
    (True, 0.00046)
    """
    if cuts < 1:
        return 1.0
    return _best_cut_tail(statistic / cuts, min_share, df)


def _best_cut_tail(x: float, min_share: float, df: int) -> float:
    if not 0 < min_share < 0.5:
        raise ValueError(f"min_share must lie strictly between 0 and 0.5, got {min_share!r}")
    if df < 1:
        raise ValueError(f"df must be at least 1, got {df!r}")
    if x <= df + 2.0:  # the expansion holds, and falls, beyond its mode only
        return 1.0
    log_lambda = 2.0 * math.log((1.0 - min_share) / min_share)
    log_density = 0.5 * df * math.log(x / 2.0) - x / 2.0 - math.lgamma(0.5 * df)
    return min(1.0, math.exp(log_density) * ((1.0 - df / x) * log_lambda + 2.0 / x))


def pool(counts: npt.ArrayLike, cuts: npt.ArrayLike) -> npt.NDArray[Any]:
    """Add up the counts of the states that `cuts` leaves in one bin.

    >>> pool([1, 2, 3, 4], [2])
    array([3, 7])
    """
    c = np.asarray(counts)
    return np.add.reduceat(c, np.concatenate([[0], np.asarray(cuts, dtype=np.int64)]), axis=0)


def _counts(x: npt.ArrayLike, name: str) -> Floats:
    c = np.asarray(x, dtype=np.float64)
    if not np.all(np.isfinite(c)) or np.any(c < 0):
        raise ValueError(f"{name} must be finite counts of at least 0")
    return c


def _divergence(divergence: Any) -> Any:
    d = named(divergence)
    if not isinstance(d, Divergence):
        raise ValueError(f"divergence must be an f-divergence, which adds up over bins; got {d!r}")
    return d


def _terms(d: Divergence, p: Floats, q: Floats, log_ratio: Floats) -> Floats:
    """The summand q f(p/q) of every interval; where a class is empty, the limits f(0) and f'(∞)."""
    both = (p > 0) & (q > 0)
    terms = np.where(both, q * np.asarray(d.pointwise(np.where(both, log_ratio, 0.0))), 0.0)
    terms[(p == 0) & (q > 0)] = (q * d.f0)[(p == 0) & (q > 0)]
    terms[(q == 0) & (p > 0)] = (p * d.finf)[(q == 0) & (p > 0)]
    return terms


def _price(penalty: Penalty, min_share: float, states: int, df: int, n: float) -> float:
    if not 0 <= min_share < 0.5:
        raise ValueError(f"min_share must be at least 0 and below 0.5, got {min_share!r}")
    if penalty == "bic":
        return df * math.log(n)
    if penalty == "significance":
        # Without a minimum share the grid of states itself limits how far out a cut can lie.
        return cut_threshold(0.05, min(max(min_share, 1.0 / max(states, 3)), 0.45), df)
    if isinstance(penalty, str) or not penalty >= 0:
        raise ValueError(f"penalty must be 'significance', 'bic' or a number of at least 0, got {penalty!r}")
    return float(penalty)


def _spans(x: Floats) -> Floats:
    """Return the (m+1, m+1) sums over states i..j-1; only the part above the diagonal is meaningful."""
    total = np.concatenate([[0.0], np.cumsum(x)])
    return np.maximum(total[None, :] - total[:, None], 0.0)


def _solve(
    score: Floats,
    size: Floats,
    max_bins: int,
    min_share: float,
    price: float,
    monotonic: Monotonic,
    rate: Floats,
) -> Ints:
    """Maximise Σ score - price · (bins - 1) over partitions whose bins are large enough."""
    if max_bins < 1:
        raise ValueError(f"max_bins must be at least 1, got {max_bins!r}")
    if monotonic not in (None, "auto", "increasing", "decreasing"):
        raise ValueError(f"monotonic must be None, 'auto', 'increasing' or 'decreasing', got {monotonic!r}")
    m = len(score) - 1
    max_bins = min(max_bins, m)
    # A tiny slack: 0.05 of 100 rows is 5 rows, whatever the rounding of 0.05 says.
    enough = (size > 0) & (size >= min_share * size[0, m] * (1 - 1e-12))
    enough &= np.arange(m + 1)[:, None] < np.arange(m + 1)[None, :]
    gain = np.where(enough, score - price, -np.inf)
    if monotonic is None:
        return _free(gain, max_bins)[1]
    tries = []
    if monotonic in ("increasing", "auto"):
        tries.append(_ordered(gain, max_bins, rate))
    if monotonic in ("decreasing", "auto"):
        tries.append(_ordered(gain, max_bins, -rate))
    return max(tries, key=lambda t: t[0])[1]


def _free(gain: Floats, max_bins: int) -> tuple[float, Ints]:
    """best[k, j]: the best division of the first j states into k bins; start[k, j]: its last bin's start."""
    m = len(gain) - 1
    best = np.full((max_bins + 1, m + 1), -np.inf)
    start = np.zeros((max_bins + 1, m + 1), dtype=np.int64)
    best[0, 0] = 0.0
    for k in range(1, max_bins + 1):
        total = best[k - 1][:, None] + gain
        start[k] = np.argmax(total, axis=0)
        best[k] = np.take_along_axis(total, start[k][None, :], axis=0)[0]
    k = 1 + int(np.argmax(best[1:, m]))  # ties go to fewer bins
    cuts, j = [], m
    for level in range(k, 0, -1):
        j = int(start[level, j])
        cuts.append(j)
    return float(best[k, m]), np.array(cuts[:-1][::-1], dtype=np.int64)


def _ordered(gain: Floats, max_bins: int, rate: Floats) -> tuple[float, Ints]:
    """The same with rates that never fall: the state is the whole last bin [i, j), not only its end."""
    m = len(gain) - 1
    best = np.full((max_bins + 1, m + 1, m + 1), -np.inf)
    before = np.zeros((max_bins + 1, m + 1, m + 1), dtype=np.int64)
    best[1, 0] = gain[0]
    for i in range(1, m):
        # Bins [h, i) in the order of their rates: a running maximum answers "the best with a rate of at most
        # r".
        order = np.argsort(rate[:i, i], kind="stable")
        rates = rate[:i, i][order]
        values = best[:max_bins, :i, i][:, order]
        top = np.maximum.accumulate(values, axis=1)
        where = np.maximum.accumulate(np.where(values == top, np.arange(i), 0), axis=1)
        last = np.searchsorted(rates, rate[i, i + 1 :], side="right") - 1
        usable = last >= 0
        columns = np.arange(i + 1, m + 1)[usable]
        best[1:, i, columns] = top[:, last[usable]] + gain[i, columns]
        before[1:, i, columns] = order[where[:, last[usable]]]
    ends = best[:, :, m]
    k, i = divmod(int(np.argmax(ends)), m + 1)
    value, j, cuts = float(ends[k, i]), m, []
    while i > 0:
        cuts.append(i)
        k, i, j = k - 1, int(before[k, i, j]), i
    return value, np.array(cuts[::-1], dtype=np.int64)
