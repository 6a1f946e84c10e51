"""Ordinal patterns of a series and permutation entropy (Bandt and Pompe).

A pattern of order m is the order of m values that follow one another. It is numbered by its Lehmer code: digit
i counts how many later values are smaller than value i, and the digits are weighted by factorials. A digit
needs comparisons only, and the comparison of values j steps apart is the same array for all digits, shifted:
m - 1 vector comparisons number all patterns, without sorting and without an embedding matrix.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.discrete import entropy_from_counts
from plogp.estimate.laws import Within
from plogp.estimate.samples import Floats, as_samples
from plogp.estimate.series import long_run_error, positive
from plogp.measures.uncertainty import Estimate, Normal

__all__ = ["ordinal_counts", "ordinal_patterns", "permutation_entropy", "weighted_permutation_entropy"]

Codes = npt.NDArray[np.integer[Any]]

MAX_ORDER = 20  # 20! is the last factorial below 2^63
#: Points of one block; its arrays stay in the cache of a core.
BLOCK = 1 << 16
#: The correction for overlap, itself of order 1/n, is estimated from at most this many patterns.
OVERLAP_FROM = 1 << 17
TIES = ("order", "random", "raise")


def _series(x: Any, order: int, delay: int) -> tuple[Floats, int, int]:
    points = as_samples(x)
    if points.shape[1] != 1:
        raise ValueError(f"x must be one series of shape (n,), got {points.shape[1]} columns")
    order, delay = positive("order", order, 2), positive("delay", delay)
    if order > MAX_ORDER:
        raise ValueError(f"order must be at most {MAX_ORDER} (its factorial must fit 64 bits), got {order}")
    if len(points) < (order - 1) * delay + 1:
        raise ValueError(
            f"the series is too short: order={order} and delay={delay} need at least "
            f"{(order - 1) * delay + 1} points, got {len(points)}"
        )
    return points[:, 0], order, delay


def _code_type(order: int) -> type[np.integer[Any]]:
    for kind in (np.uint8, np.uint16, np.uint32):
        if math.factorial(order) - 1 <= np.iinfo(kind).max:
            return kind
    return np.int64


def _untied(u: Floats, ties: str, rng: np.random.Generator | int | None) -> Floats:
    """Apply the convention for equal values; ``"order"`` needs nothing done."""
    if ties not in TIES:
        raise ValueError(f"ties must be one of {TIES}, got {ties!r}")
    if ties == "order":
        return u
    distinct, rank = np.unique(u, return_inverse=True)
    if len(distinct) == len(u):
        return u
    if ties == "raise":
        raise ValueError(
            f"x has {len(u) - len(distinct)} repeated values; choose ties='order' (the earlier of equals counts as "
            "smaller) or ties='random'"
        )
    # Only the order matters: ranks are exact, and a random fraction orders the equals.
    return np.asarray(rank + np.random.default_rng(rng).random(len(u)))


def ordinal_patterns(
    x: Any,
    order: int = 3,
    delay: int = 1,
    *,
    ties: str = "order",
    rng: np.random.Generator | int | None = None,
) -> Codes:
    """Return the number (Lehmer code, 0 to order! - 1) of the ordinal pattern at each time.

    Code 0 is the rising pattern, order! - 1 the falling one.

    Parameters
    ----------
    x : array, shape (n,)
        A series.
    order, delay : int
        Values in a pattern (2 to 20), and steps between them.
    ties : {"order", "random", "raise"}
        Equal values: the earlier counts as smaller (as a stable sort does), a random order, or an error.
    rng : Generator, int or None
        For ``ties="random"``.

    Returns
    -------
    array, shape (n - (order - 1)·delay,)
        In the smallest unsigned type that holds the codes.

    Raises
    ------
    ValueError
        If x is shorter than one pattern, holds NaN or has several columns.

    Examples
    --------
    >>> ordinal_patterns([1.0, 2.0, 3.0, 2.5, 2.0])
    array([0, 1, 5], dtype=uint8)

    Notes
    -----
    C. Bandt and B. Pompe, Physical Review Letters 88, 174102, 2002.
    """
    u, order, delay = _series(x, order, delay)
    return _encode(_untied(u, ties, rng), order, delay)


def _encode(u: Floats, order: int, delay: int) -> Codes:
    rows = len(u) - (order - 1) * delay
    kind = _code_type(order)
    codes = np.zeros(rows, dtype=kind)
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        part, piece = u[start : stop + (order - 1) * delay], codes[start:stop]
        size = stop - start
        # falls[j][t]: the value j steps after t is smaller than the value at t.
        falls = [part[j * delay :] < part[: len(part) - j * delay] for j in range(1, order)]
        for i in range(order - 1):
            digit = np.zeros(size, dtype=kind)
            for j in range(1, order - i):
                digit += falls[j - 1][i * delay : i * delay + size]
            piece += digit * kind(math.factorial(order - 1 - i))
    return codes


def ordinal_counts(codes: Codes, order: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the codes that occur and how often.

    >>> ordinal_counts(np.array([0, 5, 5], dtype=np.uint8), order=3)
    (array([0, 5]), array([1, 2]))
    """
    if order > 8:
        seen, counts = np.unique(codes, return_counts=True)
        return seen.astype(np.int64), counts.astype(np.int64)
    full = np.zeros(math.factorial(order), dtype=np.int64)
    for start in range(0, len(codes), BLOCK):
        full += np.bincount(codes[start : start + BLOCK], minlength=len(full))
    seen = np.flatnonzero(full)
    return seen.astype(np.int64), full[seen]


def permutation_entropy(
    x: Any,
    order: int = 3,
    delay: int = 1,
    *,
    method: str = "overlap",
    normalize: bool = False,
    ties: str = "order",
    block: int | str = "auto",
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    r"""Permutation entropy: the Shannon entropy of the ordinal patterns of a series.

    .. math:: \hat H = -\sum_\pi \hat p_\pi \log \hat p_\pi + \frac{K - 1 + 2\sum_{l<m} (\sum_\pi
        \hat p_{\pi\pi}(l)/\hat p_\pi - 1)}{2 N}

    Neighbouring patterns share values, so the usual correction (K - 1)/(2N) is too small; the second sum adds
    what overlap does to it, with :math:`\hat p_{\pi\pi}(l)` the share of times at which a pattern recurs l
    steps later.

    Parameters
    ----------
    x : array, shape (n,)
        A series.
    order, delay : int
        Values in a pattern (2 to 20), and steps between them.
    method : str
        ``"overlap"`` as above, ``"plugin"`` without correction (what antropy and ordpy give), or any strategy
        of `entropy_from_counts` (those treat the patterns as independent draws).
    normalize : bool
        Divide by log(order!), which leaves a number without unit between 0 and 1 (up to estimation error).
    ties : {"order", "random", "raise"}
        Equal values: the earlier counts as smaller (as a stable sort does), a random order, or an error.
    block : int or "auto"
        Block length of the standard error.
    rng : Generator, int or None
        For ``ties="random"``.

    Returns
    -------
    Estimate
        In nats (or dimensionless if normalised). The interval is Student's t over block means, or that of the
        second-order error where it is larger (at maximal entropy, white noise, it is all there is). It
        needs a few dozen patterns for each of the order! that occur. ``diagnostics["repeated_values"]`` is the
        share of tied values, counted in the first 10,000.

    Raises
    ------
    ValueError
        If x is shorter than one pattern (or than 16 patterns), holds NaN, or has several columns.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> permutation_entropy(rng.standard_normal(10_000), normalize=True).value > 0.999
    True
    >>> permutation_entropy(np.arange(100.0)).value              # always rising
    0.0

    Notes
    -----
    C. Bandt and B. Pompe, Physical Review Letters 88, 174102, 2002.
    """
    u, order, delay = _series(x, order, delay)
    codes = _encode(_untied(u, ties, rng), order, delay)
    _enough(codes, order)
    seen, counts = ordinal_counts(codes, order)
    n = len(codes)
    probability = counts / n
    plain = float(-np.sum(probability * np.log(probability)))
    overlap = _overlap(codes, seen, probability, order, delay)
    name = f"permutation_entropy(order={order}, delay={delay}, {method})"
    if method == "overlap":
        value = plain + overlap / (2 * n)
    elif method == "plugin":
        value = plain
    else:
        value = entropy_from_counts(counts, method, num_states=math.factorial(order)).value
    terms = _lookup(codes, seen, -np.log(probability), order)
    se, df, length = long_run_error(terms, _at_least(block, order * delay, n))
    # At the maximum all terms are equal and the error is of second order: N²·Var = ½ sum of squared weights.
    se = max(se, overlap / (n * math.sqrt(2 * max(len(seen) - 1, 1))))
    diagnostics = {
        "order": order,
        "delay": delay,
        "ties": ties,
        "repeated_values": 1.0 - len(np.unique(u[:10_000])) / len(u[:10_000]),
        "patterns": len(seen),
        "possible": math.factorial(order),
        "block": length,
    }
    law = _possible(Normal(value, se, df), order)
    found = Estimate(value, se, n, name, law=law, terms=terms, diagnostics=diagnostics)
    return _normalized(found, order) if normalize else found


def weighted_permutation_entropy(
    x: Any,
    order: int = 3,
    delay: int = 1,
    *,
    normalize: bool = False,
    ties: str = "order",
    block: int | str = "auto",
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    r"""Permutation entropy with each pattern weighted by the variance of its values.

    .. math:: \hat H = -\sum_\pi p_\pi \log p_\pi, \qquad p_\pi = \frac{\sum_t w_t [\pi_t = \pi]}{\sum_t w_t},
        \quad w_t = \mathrm{Var}(x_t, \dots, x_{t+(m-1)\tau})

    Parameters
    ----------
    x, order, delay, normalize, ties, block, rng
        As in `permutation_entropy`.

    Returns
    -------
    Estimate
        In nats, plug-in; the standard error is that of the weighted ratio, over blocks.

    Raises
    ------
    ValueError
        If x is too short, holds NaN, or is constant (all weights are 0).

    Examples
    --------
    >>> weighted_permutation_entropy(np.random.default_rng(0).standard_normal(5000), normalize=True).value > 0.99
    True

    Notes
    -----
    B. Fadlallah, B. Chen, A. Keil and J. Príncipe, Physical Review E 87, 022911, 2013.
    """
    u, order, delay = _series(x, order, delay)
    codes = _encode(_untied(u, ties, rng), order, delay)
    _enough(codes, order)
    n = len(codes)
    windows = [u[j * delay : j * delay + n] for j in range(order)]
    mean = sum(windows, np.zeros(n)) / order
    weight = sum(((w - mean) ** 2 for w in windows), np.zeros(n)) / order
    if not weight.any():
        raise ValueError("x is constant: every pattern has weight 0, so the weighted entropy is not defined")
    weight /= weight.mean()
    seen, index = np.unique(codes, return_inverse=True)
    probability = np.bincount(index, weight) / n
    positive_mass = probability > 0
    surprise = np.zeros(len(seen))
    surprise[positive_mass] = -np.log(probability[positive_mass])
    value = float(probability @ surprise)
    # Influence of a time on the ratio: its weight times what its pattern adds beyond the mean.
    terms = weight * (surprise[index] - value) + value
    se, df, length = long_run_error(terms, _at_least(block, order * delay, n))
    diagnostics = {"order": order, "delay": delay, "ties": ties, "patterns": len(seen), "block": length}
    name = f"weighted_permutation_entropy(order={order}, delay={delay})"
    law = _possible(Normal(value, se, df), order)
    found = Estimate(value, se, n, name, law=law, terms=terms, diagnostics=diagnostics)
    return _normalized(found, order) if normalize else found


def _enough(codes: Codes, order: int) -> None:
    if len(codes) < 16:
        raise ValueError(
            f"the series is too short: {len(codes)} patterns of order {order}; at least 16 are needed for an error"
        )


def _lookup(codes: Codes, seen: npt.NDArray[np.int64], values: Floats, order: int) -> Floats:
    """Value of each time's pattern."""
    if order > 8:
        return np.asarray(values[np.searchsorted(seen, codes)])
    table = np.zeros(math.factorial(order))
    table[seen] = values
    out = np.empty(len(codes))
    for start in range(0, len(codes), BLOCK):
        table.take(codes[start : start + BLOCK], out=out[start : start + BLOCK], mode="clip")
    return out


def _overlap(codes: Codes, seen: npt.NDArray[np.int64], probability: Floats, order: int, delay: int) -> float:
    """Return 2N times the bias of the plug-in entropy: the trace of the long-run covariance over p."""
    total = len(seen) - 1.0
    codes = codes[:OVERLAP_FROM]
    for shift in range(delay, order * delay, delay):
        pairs = len(codes) - shift
        if pairs < 1:
            break
        now, later = codes[:pairs], codes[shift:]
        if order > 8:
            recurring, times = np.unique(now[now == later], return_counts=True)
        else:
            # Code + 1 where the pattern recurs, 0 elsewhere: cheaper to count than to select.
            tally = np.zeros(math.factorial(order) + 1, dtype=np.int64)
            for start in range(0, pairs, BLOCK):
                part = now[start : start + BLOCK]
                marked = (part + part.dtype.type(1)) * (part == later[start : start + BLOCK])
                tally += np.bincount(marked, minlength=len(tally))
            recurring = np.flatnonzero(tally[1:])
            times = tally[1:][recurring]
        total += 2 * (float((times / probability[np.searchsorted(seen, recurring)]).sum()) / pairs - 1)
    return max(total, 0.0)


def _at_least(block: int | str, least: int, n: int) -> int | str:
    """Blocks longer than a pattern, unless the user chose."""
    if block != "auto" or n < 64:
        return block
    return max(2 * least, min(round(2 * n ** (1 / 2)), n // 8))


def _possible(law: Normal, order: int) -> Within:
    """Cut an interval to what an entropy of patterns can be."""
    return Within(law, law.value, high=math.log(math.factorial(order)))


def _normalized(found: Estimate, order: int) -> Estimate:
    return replace(found / math.log(math.factorial(order)), unit="")
