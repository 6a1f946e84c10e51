"""Pairs of series as tensors: put end to end, standardised, with the times that have a whole window behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from plogp.estimate.samples import Floats, as_samples, check_same_length

__all__ = ["PairedSeries", "as_pairs", "scales_of", "windows"]

Times = npt.NDArray[np.int64]
Pairs = list[tuple[Floats, Floats]]


def windows(series: Tensor, times: Tensor, lags: Tensor) -> Tensor:
    """Return ``series[t - lag]`` of shape (n, len(lags), d) for n times; lags in the order asked for.

    >>> windows(torch.arange(5.0)[:, None], torch.tensor([3, 4]), torch.tensor([2, 1]))[..., 0]
    tensor([[1., 2.],
            [2., 3.]])
    """
    return series[times[:, None] - lags[None, :]]


def as_pairs(x: Any, y: Any) -> Pairs:
    """Return one series each, or lists of them, as pairs of (n, d) arrays.

    Raises
    ------
    ValueError
        For lists of different lengths, series of a pair that differ in length, or columns that differ over the list.

    Examples
    --------
    >>> [(a.shape, b.shape) for a, b in as_pairs([[1.0, 2.0], [3.0, 4.0, 5.0]], [[1.0, 2.0], [3.0, 4.0, 5.0]])]
    [((2, 1), (2, 1)), ((3, 1), (3, 1))]
    """

    def several(v: Any) -> bool:
        return isinstance(v, (list, tuple)) and len(v) > 0 and not np.isscalar(v[0])

    if several(x) != several(y):
        raise ValueError("x and y must both be one series, or both be lists of series")
    if not several(x):
        x, y = [x], [y]
    if len(x) != len(y):
        raise ValueError(f"x and y must be lists of as many series, got {len(x)} and {len(y)}")
    pairs = []
    for i, (a, b) in enumerate(zip(x, y)):
        pair = as_samples(a, f"x[{i}]" if len(x) > 1 else "x"), as_samples(b, f"y[{i}]" if len(y) > 1 else "y")
        check_same_length(x=pair[0], y=pair[1])
        pairs.append(pair)
    for k, name in enumerate("xy"):
        if len({p[k].shape[1] for p in pairs}) > 1:
            raise ValueError(f"all series of {name} must have the same columns")
        if not np.ptp(np.concatenate([p[k] for p in pairs]), axis=0).all():
            raise ValueError(f"{name} has a constant column; drop it, it carries no information")
    return pairs


def scales_of(pairs: Pairs) -> list[tuple[Floats, Floats]]:
    """Return mean and standard deviation of the columns of x and of y."""
    both = (np.concatenate([p[k] for p in pairs]) for k in (0, 1))
    return [(v.mean(axis=0), v.std(axis=0)) for v in both]


@dataclass(frozen=True, eq=False)
class PairedSeries:
    """Series end to end, and the times of training, validation and estimate, in this order in each series.

    Attributes
    ----------
    x, y : tensors, shape (total, d)
        Standardised.
    times, train, check, held : arrays of int
        All times with a whole window behind them, and the three parts.
    """

    x: Tensor
    y: Tensor
    times: Times
    train: Times
    check: Times
    held: Times

    @classmethod
    def of(
        cls, pairs: Pairs, scales: Sequence[tuple[Floats, Floats]], first: int, held: float, check: float, device: Any
    ) -> PairedSeries:
        """Standardise pairs by the scales given; windows need `first` steps before their time.

        Raises
        ------
        ValueError
            If a series is too short for a window.
        """
        parts, start = [], 0
        for x, _ in pairs:
            if len(x) <= first:
                raise ValueError(f"a series of {len(x)} steps is too short: these histories need {first + 1} or more")
            parts.append(np.arange(start + first, start + len(x)))
            start += len(x)
        x, y = (
            torch.as_tensor(
                np.concatenate([(p[k] - scales[k][0]) / scales[k][1] for p in pairs]),
                dtype=torch.float32,
                device=device,
            )
            for k in (0, 1)
        )
        cuts = [(round(len(p) * (1 - held - check)), round(len(p) * (1 - held))) for p in parts]
        three = ([p[:a], p[a:b], p[b:]] for p, (a, b) in zip(parts, cuts))
        train, validation, last = (np.concatenate(part) for part in zip(*three))
        return cls(x, y, np.concatenate(parts), train, validation, last)
