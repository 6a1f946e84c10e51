"""Divergence from the distances to the k-th neighbour in either sample: Kullback-Leibler and Rényi."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.estimate.links import link_of
from plogp.estimate.neighbours import nearest
from plogp.estimate.nn_ratio import pooled
from plogp.estimate.samples import Floats, check_neighbours
from plogp.measures import Dissimilarity, Estimate, divergence

__all__ = ["knn_kl", "knn_renyi"]


def knn_kl(x: Any, y: Any, *, k: int = 5, workers: int = -1) -> Estimate:
    r"""Return KL(P‖Q) from samples x ~ P, y ~ Q by k-th neighbour distances.

    .. math:: \hat D = \frac dn \sum_i \log \frac{ν_k(i)}{ρ_k(i)} + \log \frac{m}{n-1}

    ρ_k(i), ν_k(i): Euclidean distances from x_i to its k-th neighbour among the other x and among y. The
    digamma corrections of the two density estimates cancel at equal k, so the estimate is consistent for
    every fixed k; a larger k trades variance for smoothing bias.

    The s.e. adds the spread of the terms at x and that of the ratio t̂ at y, Var_P[log t]/n + Var_Q[t]/m, both
    with their neighbour noise. Measured coverage of nominal 95 % intervals at k = 5, 60 repetitions, n = 300
    and 1,500: equal normals d = 1, 3, 8: 95 to 98 %; a bounded tilt: 93 to 100 %; normals shifted by one sd:
    d = 1 90 to 93 %, d = 3 73 to 77 %, d = 8 5 to 50 %. The fault is smoothing bias (-0.14 of 0.5 at d = 8,
    n = 1,500; +0.37 of 0.81 for a normal against a wider one): trust it in low dimension only, and
    not where P and Q hardly overlap; `one_step_divergence` has the smaller bias up to d = 3.

    Parameters
    ----------
    x, y : array, shape (n, d) or (n,)
        The samples.
    k : int
        Neighbours, in both samples.
    workers : int
        Threads, -1 for all cores.

    Raises
    ------
    ValueError
        For samples of different dimension, too few for k, with NaN, or with rows repeated so often that a k-th
        distance is 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> e = knn_kl(rng.normal(1, 1, size=2000), rng.normal(size=2000))  # truth 0.5
    >>> e.distinguishable(0.5), e.distinguishable(0.0), e.method
    (False, True, 'knn-kl(k=5)')

    References
    ----------
    Wang, Kulkarni and Verdú (2009), IEEE Trans. Inf. Theory 55:2392.
    """
    points, other = pooled(x, y)
    own, cross = _log_distances(points, other, k, workers)
    n, dim = points.shape
    terms = dim * (cross - own) + math.log(len(other) / (n - 1))
    at_other = _log_ratio_at_second(points, other, k, workers)
    variance = float(terms.var(ddof=1)) / n + float(np.exp(at_other).var(ddof=1)) / len(other)
    return Estimate(
        float(terms.mean()),
        math.sqrt(variance),
        n + len(other),
        f"knn-kl(k={k})",
        diagnostics={"k": k, "n_x": n, "n_y": len(other)},
    )


def knn_renyi(x: Any, y: Any, alpha: float | Dissimilarity = 0.5, *, k: int = 5, workers: int = -1) -> Estimate:
    r"""Return the Rényi divergence of order α, or a function of it, by k-th neighbour distances.

    .. math:: \hat D_α = \frac{1}{α-1} \log \left[ \frac1n \sum_i
              \Big(\frac{(n-1) ρ_k(i)^d}{m\, ν_k(i)^d}\Big)^{1-α} \cdot
              \frac{Γ(k)^2}{Γ(k-α+1)\, Γ(k+α-1)} \right], \qquad |α - 1| < k

    The Gamma factor removes the bias of raising a k-th distance to a power: (n-1) c p ρ^d and m c q ν^d are
    nearly Gamma(k) variables, whose powers have the means Γ(k+1-α)/Γ(k) and Γ(k-1+α)/Γ(k).

    The s.e. is of the power integral (its influence at x and at y), carried through the logarithm.

    Parameters
    ----------
    x, y : array, shape (n, d) or (n,)
        Samples of P and of Q.
    alpha : float or divergence
        Order, positive and not 1; or a divergence that is a function of a power integral (`renyi`,
        `bhattacharyya`).
    k : int
        Neighbours; above |α - 1|.
    workers : int
        Threads, -1 for all cores.

    Raises
    ------
    ValueError
        For an order of 0 or 1, k <= |α - 1|, or samples unfit as for `knn_kl`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(1, 1, size=2000), rng.normal(size=2000)
    >>> knn_renyi(x, y, 0.5).distinguishable(0.25)  # truth α/2 · shift²
    False

    References
    ----------
    Póczos and Schneider (2011), AISTATS.
    """
    target = alpha if isinstance(alpha, Dissimilarity) else divergence("renyi", alpha=alpha)
    link = link_of(target)
    a = link.order
    if a is None:
        raise ValueError(f"{target!r} is no function of a power integral; expected a Rényi order other than 1")
    if not abs(a - 1) < k:
        raise ValueError(f"order {a:g} needs more than |α - 1| = {abs(a - 1):g} neighbours, got k={k}")
    from scipy.special import gammaln

    points, other = pooled(x, y)
    own, cross = _log_distances(points, other, k, workers)
    (n, dim), m = points.shape, len(other)
    log_ratio = dim * (cross - own) + math.log(m / (n - 1))
    correction = float(2 * gammaln(k) - gammaln(k - a + 1) - gammaln(k + a - 1))
    terms = np.exp((a - 1) * log_ratio + correction)
    integral = float(terms.mean())
    # ∫ p^a q^(1-a) moves with p by a t^(a-1) and with q by (1-a) t^a.
    at_q = np.exp(a * _log_ratio_at_second(points, other, k, workers))
    variance = a**2 * float(terms.var(ddof=1)) / n + (1 - a) ** 2 * float(at_q.var(ddof=1)) / m
    inner = Estimate(
        (integral - 1) / (a * (a - 1)),
        math.sqrt(variance) / abs(a * (a - 1)),
        n + m,
        f"knn-renyi(order={a:g}, k={k})",
        link.inner.unit,
        diagnostics={"k": k, "order": a, "n_x": n, "n_y": m},
    )
    return link.carry(inner)


def _log_distances(x: Floats, y: Floats, k: int, workers: int) -> tuple[Floats, Floats]:
    """Return log ρ_k and log ν_k at every x."""
    check_neighbours(k, len(x))
    check_neighbours(k, len(y) + 1)
    own = nearest(x, k, metric="euclidean", workers=workers, only_kth=True).radius
    cross = nearest(y, k, query=x, metric="euclidean", workers=workers, only_kth=True).radius
    for what, radius in (("x", own), ("y", cross)):
        if (radius == 0).any():
            raise ValueError(
                f"{int((radius == 0).sum())} rows of x have k={k} neighbours in {what} at distance 0: the data are "
                "discrete or rounded, and a distance says nothing. Use method='discrete', or a larger k"
            )
    return np.log(own), np.log(cross)


def _log_ratio_at_second(x: Floats, y: Floats, k: int, workers: int) -> Floats:
    """Return log t̂ at every y, t̂ = p̂/q̂ with the mean of 1/Gamma(k) taken out."""
    to_x = nearest(x, k, query=y, metric="euclidean", workers=workers, only_kth=True).radius
    to_y = nearest(y, min(k, len(y) - 1), metric="euclidean", workers=workers, only_kth=True).radius
    if (to_x == 0).any() or (to_y == 0).any():
        raise ValueError(f"rows of y have k={k} neighbours at distance 0: the data are discrete or rounded")
    shrink = math.log((k - 1) / k) if k > 1 else math.log(0.5)
    return np.asarray(y.shape[1] * np.log(to_y / to_x) + math.log((len(y) - 1) / len(x)) + shrink)
