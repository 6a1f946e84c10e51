"""What a task is: samples that can be drawn, and the value that an estimator should find."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plogp.estimate.samples import Floats

__all__ = [
    "Draw",
    "Samples",
    "Task",
    "correlation",
    "gaussian_pair",
    "transformed",
]

Samples = tuple[Any, ...]
Draw = Callable[[int, np.random.Generator], Samples]


@dataclass(frozen=True)
class Task:
    """A sampling experiment with a known answer.

    Parameters
    ----------
    name : str
        What a table of results calls it.
    truth : float
        The true value, in nats.
    draw : callable
        ``draw(n, rng)`` returns a tuple of samples, one array a variable, to be passed to an estimator in order.
    quantity : str
        ``"mutual_information"``, ``"entropy"``, ``"conditional_mutual_information"``, ``"transfer_entropy"``.
    kinds : tuple of str
        ``"continuous"``, ``"discrete"`` or ``"mixed"``, one a variable.
    truth_se : float
        The standard error of `truth` where it was averaged over a large sample, 0 where it is exact.

    Examples
    --------
    >>> from plogp.estimate.tasks import gaussian
    >>> task = gaussian(rho=0.6)
    >>> round(task.truth, 4)
    0.2231
    >>> x, y = task.sample(500, rng=0)
    >>> x.shape
    (500, 1)
    """

    name: str
    truth: float
    draw: Draw = field(repr=False)
    quantity: str = "mutual_information"
    kinds: tuple[str, ...] = ("continuous", "continuous")
    truth_se: float = 0.0

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> Samples:
        """Return n samples of each variable."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        return self.draw(n, np.random.default_rng(rng))


def transformed(
    task: Task, name: str, of_x: Callable[[Floats], Floats] | None, of_y: Callable[[Floats], Floats] | None
) -> Task:
    """The same information through one-to-one maps of x and y (None leaves a variable as it is).

    >>> from plogp.estimate.tasks import gaussian
    >>> transformed(gaussian(rho=0.5), "exp", np.exp, None).truth == gaussian(rho=0.5).truth
    True
    """

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x, y = task.draw(n, rng)
        return (x if of_x is None else of_x(x), y if of_y is None else of_y(y))

    return Task(f"{name} of {task.name}", task.truth, draw, task.quantity, task.kinds, task.truth_se)


def correlation(rho: float | None, information: float | None, d: int) -> float:
    """Return the correlation of each of d pairs: rho itself, or the one that gives `information` in all."""
    if (rho is None) == (information is None):
        raise ValueError("give either rho or information, not both and not neither")
    if information is not None:
        if information < 0:
            raise ValueError(f"information must not be negative, got {information}")
        return math.sqrt(-math.expm1(-2 * information / d))
    assert rho is not None
    if not -1 < rho < 1:
        raise ValueError(f"rho must lie strictly between -1 and 1, got {rho}")
    return float(rho)


def gaussian_pair(n: int, rho: float, d: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw two standard normal vectors of d components with correlation rho, component by component."""
    x = rng.standard_normal((n, d))
    y = rho * x + math.sqrt(1 - rho * rho) * rng.standard_normal((n, d))
    return x, y
