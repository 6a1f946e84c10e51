"""Time series as samples: delay embedding, the blocks of transfer entropy, and errors under dependence."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats, as_samples, check_same_length

__all__ = ["delay_embedding", "long_run_error", "transfer_blocks"]


def positive(name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int of at least `least`, or raise an error that names the argument."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name} must be an integer, got {value!r}") from error
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def delay_embedding(x: Any, order: int, delay: int = 1) -> Floats:
    """Return the delay vectors ``(x_t, x_{t+delay}, ..., x_{t+(order-1)·delay})`` as rows.

    Parameters
    ----------
    x : array, shape (n,) or (n, d)
        A series, or d series observed together.
    order, delay : int
        Length of a vector, and steps between its entries.

    Raises
    ------
    ValueError
        If the series is shorter than one vector.

    Examples
    --------
    >>> delay_embedding([1.0, 2.0, 3.0, 4.0], order=3)
    array([[1., 2., 3.],
           [2., 3., 4.]])
    """
    series = as_samples(x)
    order, delay = positive("order", order), positive("delay", delay)
    rows = len(series) - (order - 1) * delay
    if rows < 1:
        raise ValueError(
            f"the series is too short: order={order} and delay={delay} need at least "
            f"{(order - 1) * delay + 1} points, got {len(series)}"
        )
    return np.hstack([series[j * delay : j * delay + rows] for j in range(order)])


def transfer_blocks(
    source: Any,
    target: Any,
    *,
    source_history: int = 1,
    target_history: int = 1,
    lag: int = 1,
    step: int = 1,
) -> tuple[Floats, Floats, Floats]:
    """Return ``(future, source_past, target_past)``: the three blocks of ``I(Y_t; X past | Y past)``.

    The row of time t is ``Y_t``; ``X_{t-lag}, X_{t-lag-step}, ...`` (`source_history` of them);
    ``Y_{t-1}, Y_{t-1-step}, ...`` (`target_history` of them). Series may have several columns.

    Parameters
    ----------
    source, target : array, shape (n,) or (n, d)
        X and Y, observed at the same times.
    source_history, target_history : int
        How many past values of each condition the prediction.
    lag : int
        Delay from the source to the target, at least 1 (0 would be the instantaneous exchange).
    step : int
        Steps between the entries of a history.

    Examples
    --------
    >>> future, source_past, target_past = transfer_blocks([1, 2, 3, 4], [10, 20, 30, 40], lag=2)
    >>> future.ravel(), source_past.ravel(), target_past.ravel()
    (array([30., 40.]), array([1., 2.]), array([20., 30.]))
    """
    x, y = as_samples(source, "source"), as_samples(target, "target")
    n = check_same_length(source=x, target=y)
    of_source, of_target = positive("source_history", source_history), positive("target_history", target_history)
    lag, step = positive("lag", lag, 0), positive("step", step)
    start = max(lag + (of_source - 1) * step, 1 + (of_target - 1) * step)
    if n - start < 2:
        raise ValueError(f"the series are too short: these histories need at least {start + 2} points, got {n}")
    times = np.arange(start, n)
    source_past = np.hstack([x[times - lag - j * step] for j in range(of_source)])
    target_past = np.hstack([y[times - 1 - j * step] for j in range(of_target)])
    return y[times], source_past, target_past


def long_run_error(terms: npt.NDArray[np.float64], block: int | str = "auto") -> tuple[float, int, int]:
    """Return the standard error of the mean of a dependent series, its degrees of freedom, the block length.

    The series is cut into blocks longer than its memory; the spread of the block means, which hardly depend
    on one another, gives ``se = sd(block means) / sqrt(number of blocks)``.

    Parameters
    ----------
    terms : array, shape (n,)
        One number a time step.
    block : int or "auto"
        Block length; ``"auto"``: ``2·n^(1/3)`` times the integrated autocorrelation seen at lags up to ``n^(1/3)``,
        and at most n // 8, so that at least 8 blocks remain.

    Examples
    --------
    >>> se, df, block = long_run_error(np.random.default_rng(0).standard_normal(1000))
    >>> abs(se - 1000 ** -0.5) < 0.01
    True
    """
    n = len(terms)
    if n < 16:
        raise ValueError(f"the error of a dependent series needs at least 16 terms, got {n}")
    if block == "auto":
        lags = range(1, max(2, round(n ** (1 / 3))))
        centred = terms - terms.mean()
        power = float(centred @ centred)
        memory = 1.0
        if power > 0:
            memory += 2 * sum(max(float(centred[:-j] @ centred[j:]) / power, 0.0) for j in lags)
        block = max(1, int(min(max(2 * n ** (1 / 3), 4 * memory), n / 8)))
    block = positive("block", block)
    count = n // block
    if count < 4:
        raise ValueError(f"block={block} leaves {count} blocks of {n} terms; at least 4 are needed")
    means = terms[: count * block].reshape(count, block).mean(axis=1)
    # The tail left over by the blocks belongs to the mean too: scale by the full length.
    se = float(np.std(means, ddof=1)) * math.sqrt(block / n)
    return se, count - 1, block
