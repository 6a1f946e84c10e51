"""Tasks for conditional mutual information and transfer entropy."""

from __future__ import annotations

import math

import numpy as np

from plogp.estimate.tasks.base import Samples, Task, correlation, gaussian_pair

__all__ = [
    "conditional_gaussian",
    "var_process",
]


def conditional_gaussian(rho: float, d_z: int = 1) -> Task:
    """X and Y that share Z (d_z normal components) and, given Z, have correlation rho.

    ``I(X; Y | Z) = -½ log(1 - rho²)``.

    >>> round(conditional_gaussian(0.6).truth, 4)
    0.2231
    """
    r = correlation(rho, None, 1)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        z = rng.standard_normal((n, d_z))
        x, y = gaussian_pair(n, r, 1, rng)
        common = z.sum(axis=1, keepdims=True) / math.sqrt(d_z)
        return x + common, y + common, z

    name = f"conditional_gaussian(rho={r:.3g}, d_z={d_z})"
    kinds = ("continuous",) * 3
    return Task(name, -0.5 * math.log1p(-r * r), draw, "conditional_mutual_information", kinds)


def var_process(a: float = 0.5, b: float = 0.6, sigma: float = 1.0, *, reverse: bool = False) -> Task:
    """``Y_t = a Y_{t-1} + b X_{t-1} + sigma e_t`` with white X: transfer entropy ``½ log(1 + b²/sigma²)``.

    With ``reverse=True`` source and target change places, and the truth is 0.

    >>> round(var_process().truth, 4), var_process(reverse=True).truth
    (0.1537, 0.0)
    """
    if not abs(a) < 1:
        raise ValueError(f"a must lie strictly between -1 and 1 (a stationary series), got {a}")
    truth = 0.0 if reverse else 0.5 * math.log1p((b / sigma) ** 2)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        from scipy import signal

        burn = 200 + int(20 / (1 - abs(a)))
        x = rng.standard_normal(n + burn)
        push = sigma * rng.standard_normal(n + burn)
        push[1:] += b * x[:-1]
        y = signal.lfilter([1.0], [1.0, -a], push)
        pair = x[burn:], np.asarray(y[burn:])
        return pair[::-1] if reverse else pair

    name = f"var_process(a={a:g}, b={b:g}{', reverse' if reverse else ''})"
    return Task(name, truth, draw, "transfer_entropy")
