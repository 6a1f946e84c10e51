"""One-step estimates of f-divergences: a density ratio, and the first-order correction of its error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.estimate.links import link_of
from plogp.estimate.nn_ratio import neighbour_origins, pooled
from plogp.estimate.samples import Floats, check_neighbours
from plogp.measures import Dissimilarity, Divergence, Estimate

__all__ = ["from_terms", "has_kink", "one_step_divergence"]


def one_step_divergence(
    x: Any, y: Any, d: str | Dissimilarity = "kl", *, k: int | None = None, workers: int = -1
) -> Estimate:
    r"""Return D(P‖Q) from samples x ~ P, y ~ Q: nearest-neighbour ratios in the one-step form.

    .. math:: \hat D = \frac1n \sum_i f'(\hat t(x_i)) + \frac1m \sum_j \big[f(\hat t) - \hat t f'(\hat t)\big](y_j)

    With the true ratio t = p/q both sides are equal in expectation, and the right-hand side is a lower bound
    for any other function in the place of t (it is the variational form with T = f'(t̂)): the error of t̂ enters
    in second order only. t̂ comes from the origins of the k nearest pooled neighbours. What is left, the O(1/k)
    bias of a smooth function of a binomial share, is removed by a jackknife over the neighbours.

    Suitable for smooth divergences in up to three dimensions, from n = 300 on; the s.e. combines the spread of
    the terms in both samples. Measured coverage of nominal 95 % intervals (80 repetitions, n = 300 and 1,500,
    d = 1 and 3): JS 89 to 98 % over equal distributions, a bounded tilt and normals shifted by one sd; KL 91 to
    98 % (equal), 89 to 96 % (tilt), 79 to 90 % (shifted normals, whose ratio has heavy tails). In d = 8 smoothing
    bias takes over (shifted normals, n = 1,500: KL -0.07 of 0.5, coverage 30 %; a narrower normal -0.45 of 0.81):
    use a classifier there. Not for divergences with kinks (`tv`, `hockey_stick`), where the expansion fails at
    the kink: the jackknife is left out, an odd k is taken, the value errs downwards and there is no interval. For
    chi-squared take n in the thousands and bounded ratios.

    Parameters
    ----------
    x, y : array, shape (n, d) or (n,)
        The samples.
    d : str or divergence
        Any f-divergence, Rényi's, Bhattacharyya's or a metric of one. Direction: x is P.
    k : int, optional
        Neighbours; by default √n of the smaller sample.
    workers : int
        Threads, -1 for all cores.

    Raises
    ------
    ValueError
        For samples of different dimension, too few for k, with NaN, or with more than k copies of one row.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(1000, 2)) + [1.0, 0.0], rng.normal(size=(1000, 2))
    >>> e = one_step_divergence(x, y, "js")  # truth 0.1114
    >>> round(e.value, 2), not e.distinguishable(0.1114)
    (0.1, True)

    References
    ----------
    Nguyen, Wainwright and Jordan (2010), arXiv 0809.0853 (the variational form); Kandasamy et al. (2015),
    arXiv 1411.4342 (von Mises expansion); the ratio of Noshad et al. (2017), arXiv 1702.05222.
    """
    points, other = pooled(x, y)
    link = link_of(d)
    n, m = len(points), len(other)
    kinked = has_kink(link.inner)
    if k is None:
        k = max(2, round(math.sqrt(min(n, m))))
        k += kinked and k % 2 == 0
    k = check_neighbours(k, n + m - 1)
    counts = neighbour_origins(points, other, np.array([k]), workers=workers)[:, 0]
    # Left out of its own neighbourhood, an x competes with n - 1 others, a y with m - 1.
    at_p = _table(link.inner, k, math.log(m / (n - 1)), jackknife=not kinked, swapped=False)[counts[:n]]
    at_q = _table(link.inner, k, math.log((m - 1) / n), jackknife=not kinked, swapped=True)[counts[n:]]
    estimate = from_terms(at_p, at_q, f"one-step({link.target.name}, k={k})", link.inner.unit, {"k": k}, kinked)
    return link.carry(estimate)


def from_terms(at_p: Floats, at_q: Floats, method: str, unit: str, notes: dict[str, Any], kinked: bool) -> Estimate:
    """Return the estimate whose value is the mean of the terms at P plus that of the terms at Q."""
    value = float(at_p.mean() + at_q.mean())
    se: float | None = None
    if kinked:
        notes = {**notes, "no_interval": "the divergence has a kink, where the expansion behind the s.e. fails"}
    else:
        se = math.sqrt(float(at_p.var(ddof=1)) / len(at_p) + float(at_q.var(ddof=1)) / len(at_q))
    notes = {**notes, "n_x": len(at_p), "n_y": len(at_q)}
    return Estimate(value, se, len(at_p) + len(at_q), method, unit, diagnostics=notes)


def has_kink(d: Divergence) -> bool:
    """Whether f' jumps at some ratio between e^-8 and e^8 (total variation, hockey-stick, sums with them).

    A jump stays when the grid is refined; a steep slope shrinks with it.

    Examples
    --------
    >>> import plogp as pl
    >>> has_kink(pl.divergence("tv")), has_kink(pl.divergence("hockey_stick", g=2.0)), has_kink(pl.divergence("js"))
    (True, True, False)
    """
    coarse = np.linspace(-8.0, 8.0, 1601)
    step = np.diff(d.grad_weight(coarse))
    scale = max(float(np.abs(step).max()), 1e-300)
    for i in np.argsort(step)[-5:]:
        fine = np.diff(d.grad_weight(np.linspace(coarse[i], coarse[i + 1], 1001)))
        if step[i] > 1e-9 * scale and float(fine.max()) > 0.5 * step[i]:
            return True
    return False


def _table(d: Divergence, k: int, log_scale: float, *, jackknife: bool, swapped: bool) -> Floats:
    """Return the term for each number 0..k of neighbours from x: f'(t), or f(t) - t f'(t) if `swapped`.

    The latter is the derivative of the swapped generator at 1/t, so nothing cancels and nothing overflows.
    """
    seen = np.arange(k + 1.0)
    derivative = d.reversed().grad_weight if swapped else d.grad_weight
    sign = -1.0 if swapped else 1.0

    def term(a: Floats, of: int) -> Floats:
        # Half a neighbour more on each side keeps the logarithm finite.
        return np.asarray(derivative(sign * (np.log((a + 0.5) / (of - a + 0.5)) + log_scale)))

    full = term(seen, k)
    if not jackknife or k < 2:
        return full
    without_x, without_y = term(np.maximum(seen - 1, 0), k - 1), term(np.minimum(seen, k - 1), k - 1)
    return k * full - (k - 1) * (seen / k * without_x + (k - seen) / k * without_y)
