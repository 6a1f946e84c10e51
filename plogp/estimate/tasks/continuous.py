"""Pairs of continuous variables whose mutual information has a closed form."""

from __future__ import annotations

import math

import numpy as np

from plogp.estimate.tasks.base import Samples, Task, correlation, gaussian_pair
from plogp.estimate.tasks.maps import mapped
from plogp.estimate.tasks.vectors import student_excess

__all__ = [
    "asinh",
    "bimodal",
    "cubic",
    "gaussian",
    "half_cube",
    "normal_cdf",
    "student",
    "uniform_additive",
    "wiggly",
]


def gaussian(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """Two normal vectors of d components, correlated pairwise: ``I = -d/2 log(1 - rho²)``.

    Give `rho`, or the `information` that it should have.

    >>> round(gaussian(information=2.0, d=5).truth, 12)
    2.0
    """
    r = correlation(rho, information, d)
    truth = -0.5 * d * math.log1p(-r * r)
    return Task(f"gaussian(rho={r:.3g}, d={d})", truth, lambda n, rng: gaussian_pair(n, r, d, rng))


def cubic(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with y cubed."""
    return mapped(gaussian(rho, d, information=information), "cubic")


def asinh(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with both variables through asinh (short tails)."""
    return mapped(gaussian(rho, d, information=information), "asinh")


def half_cube(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with both variables through ``x·sqrt|x|`` (long tails)."""
    return mapped(gaussian(rho, d, information=information), "half_cube")


def normal_cdf(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with both variables through the normal distribution function (uniform marginals)."""
    return mapped(gaussian(rho, d, information=information), "normal_cdf")


def wiggly(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with both variables through increasing functions made of sine waves."""
    return mapped(gaussian(rho, d, information=information), "wiggly")


def bimodal(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with two-peaked margins."""
    return mapped(gaussian(rho, d, information=information), "bimodal")


def student(df: float, rho: float = 0.0, d: int = 1) -> Task:
    """A multivariate Student law: dependent even with ``rho = 0``, through the common scale.

    The information is that of the normal law with the same correlations plus `student_excess`.

    >>> round(student(df=3).truth, 4), bool(student(df=1e6).truth < 1e-5)
    (0.0424, True)
    """
    extra = student_excess(df, d, d)
    r = correlation(rho, None, d)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x, y = gaussian_pair(n, r, d, rng)
        scale = np.sqrt(df / rng.chisquare(df, (n, 1)))
        return x * scale, y * scale

    return Task(f"student(df={df:g}, rho={r:.3g}, d={d})", -0.5 * d * math.log1p(-r * r) + extra, draw)


def uniform_additive(eps: float) -> Task:
    r"""``Y = X + U`` with X uniform on [0, 1] and U uniform on [-eps, eps].

    ``I = 1/(4 eps)`` for eps > 1/2, else ``eps - log(2 eps)``.

    >>> round(uniform_additive(0.5).truth, 12), round(uniform_additive(2.0).truth, 12)
    (0.5, 0.125)

    Notes
    -----
    P. Czyż, F. Grabowski, J. E. Vogt, N. Beerenwinkel and A. Marx, NeurIPS 2023, arXiv 2306.11078.
    """
    if not eps > 0:
        raise ValueError(f"eps must be positive, got {eps}")
    truth = 1 / (4 * eps) if eps > 0.5 else eps - math.log(2 * eps)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x = rng.random((n, 1))
        return x, x + rng.uniform(-eps, eps, (n, 1))

    return Task(f"uniform_additive(eps={eps:g})", truth, draw)
