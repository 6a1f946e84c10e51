"""Laws with a known differential entropy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from plogp.estimate.samples import Floats
from plogp.estimate.tasks.base import Task

__all__ = [
    "continuous_entropy",
    "gaussian_entropy_task",
]

#: One-dimensional laws with a closed-form differential entropy: a sampler and the value.
_LAWS: dict[str, tuple[Callable[[int, np.random.Generator], Floats], float]] = {
    "normal": (lambda n, rng: rng.standard_normal(n), 0.5 * math.log(2 * math.pi * math.e)),
    "uniform": (lambda n, rng: rng.random(n), 0.0),
    "exponential": (lambda n, rng: rng.exponential(size=n), 1.0),
    "laplace": (lambda n, rng: rng.laplace(size=n), 1.0 + math.log(2)),
    "logistic": (lambda n, rng: rng.logistic(size=n), 2.0),
    "cauchy": (lambda n, rng: rng.standard_cauchy(n), math.log(4 * math.pi)),
    "gumbel": (lambda n, rng: rng.gumbel(size=n), 1.0 + float(np.euler_gamma)),
}


def continuous_entropy(law: str) -> Task:
    """One column of a standard law: normal, uniform, exponential, laplace, logistic, cauchy or gumbel.

    >>> continuous_entropy("exponential").truth
    1.0
    """
    if law not in _LAWS:
        raise ValueError(f"law must be one of {sorted(_LAWS)}, got {law!r}")
    sampler, truth = _LAWS[law]
    return Task(law, truth, lambda n, rng: (sampler(n, rng),), "entropy", ("continuous",))


def gaussian_entropy_task(d: int, rho: float = 0.0) -> Task:
    """Entropy of d normal components of unit variance, all correlated by rho.

    >>> round(gaussian_entropy_task(2).truth, 4)
    2.8379
    """
    covariance = np.full((d, d), float(rho))
    np.fill_diagonal(covariance, 1.0)
    root = np.linalg.cholesky(covariance)
    truth = 0.5 * d * math.log(2 * math.pi * math.e) + float(np.log(np.diag(root)).sum())
    name = f"normal(d={d}, rho={rho:g})"
    return Task(name, truth, lambda n, rng: (rng.standard_normal((n, d)) @ root.T,), "entropy", ("continuous",))
