"""Capacity of a discrete memoryless channel, with a certified bracket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plogp.measures.blahut_arimoto import Floats, channel_of, climb

__all__ = ["CapacityPoint", "channel_capacity"]


@dataclass(frozen=True, eq=False)
class CapacityPoint:
    """Capacity of a channel with its certificate: the true value lies in ``[capacity, capacity + gap]``.

    Attributes
    ----------
    capacity : float
        Mutual information at `input`, in nats: a lower bound on the capacity.
    input : array (n_x,)
        The input distribution that achieves it.
    gap : float
        Width of the certified bracket, in nats.
    iterations : int
        Number of passes made.
    converged : bool
        Whether `gap` came below the tolerance asked for.
    """

    capacity: float
    input: Floats
    gap: float
    iterations: int
    converged: bool

    def __repr__(self) -> str:
        end = "" if self.converged else ", not converged"
        return f"CapacityPoint({self.capacity:.6g} nats, gap={self.gap:.1e}, iterations={self.iterations}{end})"


def channel_capacity(channel: Any, *, tol: float = 1e-9, max_iter: int = 20_000) -> CapacityPoint:
    """Return the capacity of a discrete memoryless channel, max I(X;Y) over p(x), with a certified bracket.

    ``I(p) <= C <= max over x of KL(p(y|x) || p(y))`` holds at every pass.

    Parameters
    ----------
    channel : array (n_x, n_y)
        p(y|x); rows sum to 1.
    tol : float
        Width of the bracket, in nats, at which the loop stops.
    max_iter : int
        Largest number of passes; a point that has not converged says so, and its bracket still holds.

    Raises
    ------
    ValueError
        If the rows are not distributions.

    Examples
    --------
    A binary erasure channel that loses a quarter of its symbols carries 3/4 of a bit:

    >>> point = channel_capacity([[0.75, 0.25, 0.0], [0.0, 0.25, 0.75]])
    >>> round(float(point.capacity / np.log(2)), 9), point.gap < 1e-9
    (0.75, True)

    References
    ----------
    R. Blahut 1972; S. Arimoto 1972.
    """
    rows = channel_of(channel)
    objective = _Capacity(rows)
    climbed = climb(np.full(len(rows), 1.0 / len(rows)), objective, tol, max_iter)
    return CapacityPoint(max(climbed.value, 0.0), *climbed[:4])


class _Capacity:
    """Maximise the mutual information of a channel over its input; the growth is KL(p(y|x) || p(y))."""

    def __init__(self, rows: Floats) -> None:
        self.rows = rows
        self.minus_entropy = np.sum(rows * np.log(np.where(rows > 0, rows, 1.0)), axis=1)

    def __call__(self, weights: Floats) -> tuple[float, Floats, float]:
        output = weights @ self.rows
        growth = self.minus_entropy - self.rows @ np.log(np.where(output > 0, output, 1.0))
        value = float(weights @ growth)
        return value, growth, max(float(np.max(growth)) - value, 0.0)
