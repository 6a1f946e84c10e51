"""Differential entropy by nearest neighbours: Kozachenko-Leonenko and its weighted version.

The asymptotic error of all k-NN estimators of this room is here too (`knn_error`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.neighbours import nearest, norm_of
from plogp.estimate.samples import Floats, as_samples, check_neighbours, jittered
from plogp.measures.uncertainty import Estimate

__all__ = ["knn_error", "kozachenko_leonenko", "log_unit_ball", "weighted_kozachenko_leonenko"]


def log_unit_ball(d: int, metric: str = "euclidean") -> float:
    """Return the log-volume of the unit ball of R^d in a metric.

    >>> round(math.exp(log_unit_ball(2)), 6), math.exp(log_unit_ball(3, "chebyshev"))
    (3.141593, 7.999999999999998)
    """
    p = norm_of(metric)
    if p == np.inf:
        return d * math.log(2.0)
    return d * math.log(2.0) + d * math.lgamma(1 + 1 / p) - math.lgamma(1 + d / p)


def knn_error(terms: Floats, k: float, overlapping: float = 1.0, volume: float | None = None) -> float:
    r"""Return the standard error of a k-NN estimate that is the mean of `terms`.

    The terms are not independent: a point shares its neighbourhood with its neighbours. The sd of the terms
    over √n misses this and is too small (intervals of nominal 95 % then cover about 86 %). In a small ball
    every density is flat, so what is missing depends on k alone, to a good approximation:

    .. math:: n\,\mathrm{se}^2 = \mathrm{Var}(\text{terms}) + \psi_1(k)\left(\tfrac23 - \tfrac{1}{3k}\right).

    The first summand is the variance of the log-density (or of the information density) plus the trigamma
    ψ₁(k), the variance of one log-volume; the second is the covariance between volumes that overlap, net of
    the fixed number of points. Its form was fitted to simulations on a torus (d = 1...5, k = 1...32), where
    it holds within 6 % of the variance; `tests/estimate/test_knn.py` simulates it again. `overlapping` scales
    the second summand where only a part of the terms comes from such volumes. `volume` replaces ψ₁(k) where a term
    weighs several log-volumes: the variance of their weighted sum.
    """
    from scipy import special

    n = len(terms)
    own = float(special.polygamma(1, k)) if volume is None else volume
    overlap = overlapping * own * (2 / 3 - 1 / (3 * k))
    return math.sqrt((float(np.var(terms, ddof=1)) + overlap) / n)


def no_duplicates(radius: Floats, what: str, k: int) -> None:
    """Raise if some point has its k-th neighbour at distance 0."""
    zero = int(np.count_nonzero(radius == 0))
    if zero:
        raise ValueError(
            f"{what} has {zero} rows with {k} or more exact duplicates, so their {k}-th neighbour is at distance 0 "
            "and no density exists there; treat the variable as discrete, use the mixed estimator (gao) for mutual "
            "information, raise k above the number of repeats, or pass jitter=1e-10 to break ties by noise"
        )


def kozachenko_leonenko(
    x: Any,
    k: int | None = None,
    *,
    metric: str = "euclidean",
    jitter: float | None = None,
    rng: np.random.Generator | int | None = None,
    workers: int = -1,
    device: str | None = None,
    sample: object | None = None,
) -> Estimate:
    r"""Differential entropy from the distances to the k-th neighbours (Kozachenko-Leonenko).

    .. math:: \hat h = \psi(n) - \psi(k) + \log c_d + \frac{d}{n} \sum_i \log \varepsilon_i,

    with :math:`\varepsilon_i` the distance of sample i from its k-th neighbour and :math:`c_d` the volume of
    the unit ball.

    Suitable for continuous data in up to about 5 dimensions. Prefer the weighted version in 4 to 10
    dimensions, the Gaussian closed form where it fits, spacings for one dimension with sharp edges.

    Parameters
    ----------
    x : array, shape (n, d) or (n,)
        Samples as rows.
    k : int, optional
        Neighbours; larger is steadier but blurs more. None: 4 in one dimension, 2 in two, 1 above, where the
        mean squared error is as good as that of larger k and the bias small enough for the interval.
    metric : {"euclidean", "chebyshev", "manhattan"}
        The norm of the distances; the axes should have comparable units.
    jitter : float, optional
        Break ties by uniform noise of this many standard deviations (say 1e-10). Off unless asked for.
    rng : Generator, int or None
        For the jitter only.
    workers : int
        Threads, -1 for all cores.
    device : str, optional
        PyTorch device for exact brute force, such as ``"cuda"``.
    sample : object, optional
        Identity of the samples: estimates with the same `sample` subtract with their joint error.

    Returns
    -------
    Estimate
        In nats. The interval is normal with the error of `knn_error`. Nominal 95 % intervals cover 92 to 97 %
        for normal, Laplace, exponential and uniform samples of n = 200 to 2000 in one dimension, and 91 to
        94 % for normal ones in two. They do not hold for sharp edges in two and more dimensions (uniform on
        a square: about 50 %), nor from three dimensions on unless n is large: the bias, of order n^(-2/d),
        then exceeds the error.

    Raises
    ------
    ValueError
        If n <= k, if x holds NaN, or if a k-th neighbour is at distance 0 (k or more duplicates).

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(0, 2, 1000)         # h = log 2 = 0.693
    >>> kozachenko_leonenko(x)
    Estimate(0.691 ± 0.022 nats, 95 % [0.649, 0.734], n=1000, kozachenko_leonenko(k=4))

    Notes
    -----
    L. F. Kozachenko and N. N. Leonenko, Problems of Information Transmission 23, 1987; the form for k > 1:
    H. Singh et al., 2003. Asymptotic normality: S. Delattre and N. Fournier, arXiv 1602.07440, 2017.
    """
    from scipy import special

    points = jittered(as_samples(x), jitter, np.random.default_rng(rng))
    n, d = points.shape
    k = check_neighbours({1: 4, 2: 2}.get(d, 1) if k is None else k, n)
    radius = nearest(points, k, metric=metric, workers=workers, device=device, only_kth=True).radius
    no_duplicates(radius, "x", k)
    constant = float(special.digamma(n) - special.digamma(k)) + log_unit_ball(d, metric)
    terms = constant + d * np.log(radius)
    return Estimate(
        float(terms.mean()),
        knn_error(terms, k),
        n,
        f"kozachenko_leonenko(k={k})",
        terms=terms,
        sample=sample,
        diagnostics={"k": k, "d": d, "metric": metric, "jitter": jitter or 0.0, "device": device or "cpu"},
    )


def neighbour_weights(k: int, d: int, orders: int | None = None) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the neighbour numbers j and weights w_j that cancel the bias of orders n^(-2l/d), l = 1...orders.

    The weights of smallest norm with ``sum w = 1`` and ``sum w_j Γ(j + 2l/d)/Γ(j) = 0`` on the neighbours
    ``⌊k/d⌋, ⌊2k/d⌋, ..., k``. By default `orders` is the ``⌊d/4⌋`` of the paper, enough for efficiency.

    >>> j, w = neighbour_weights(12, 4)
    >>> j
    array([ 3,  6,  9, 12])
    >>> bool(abs(w.sum() - 1) < 1e-12)
    True
    """
    from scipy import special

    support = np.unique([i * k // d for i in range(1, d + 1)])
    support = support[support >= 1]
    cancelled = range(1, (d // 4 if orders is None else orders) + 1)
    if len(support) < 1 + len(cancelled):
        raise ValueError(
            f"k={k} leaves {len(support)} neighbours in {d} dimensions, too few to cancel {len(cancelled)} orders "
            "of the bias; raise k or lower orders"
        )
    moments = [np.exp(special.gammaln(support + 2 * ell / d) - special.gammaln(support)) for ell in cancelled]
    # Rows scaled to size 1: the moments grow like j^(2l/d).
    rows = np.vstack([np.ones(len(support)), *[m / m.max() for m in moments]])
    goal = np.zeros(len(rows))
    goal[0] = 1.0
    return support, np.asarray(np.linalg.lstsq(rows, goal, rcond=None)[0])


def weighted_kozachenko_leonenko(
    x: Any,
    k: int | None = None,
    *,
    orders: int | None = None,
    jitter: float | None = None,
    rng: np.random.Generator | int | None = None,
    workers: int = -1,
    device: str | None = None,
    sample: object | None = None,
) -> Estimate:
    r"""Differential entropy by a weighted sum over several neighbours, efficient in 4 and more dimensions.

    .. math:: \hat h = \frac1n \sum_i \sum_j w_j \log\left(c_d (n-1) e^{-\psi(j)} \varepsilon_{(j),i}^d\right)

    with weights that cancel the leading terms of the bias. In one dimension there is nothing to cancel, and
    the weights average over neighbours.

    Parameters
    ----------
    x : array, shape (n, d) or (n,)
        Samples as rows.
    k : int, optional
        The farthest neighbour used, at least d. None: 3d (6 in one dimension), within n - 1.
    orders : int, optional
        How many terms n^(-2l/d) of the bias to cancel. The paper's ⌊d/4⌋ makes the bias vanish against the
        error as n grows; at n of a few thousand it does not yet, so None takes up to two: max(⌊d/4⌋, min(⌊d/2⌋, 2)).
    jitter, rng, workers, device, sample
        As in `kozachenko_leonenko`.

    Returns
    -------
    Estimate
        In nats, with the interval of `kozachenko_leonenko`: for normal samples in one to five dimensions at
        n = 200 to 2000 it covers 89 to 97 %, where the unweighted one falls to 60 %. Sharp edges are not covered.

    Raises
    ------
    ValueError
        If n <= k, k < d, x holds NaN, or a used neighbour is at distance 0.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((2000, 4))   # h = 2 log(2πe) = 5.676
    >>> abs(weighted_kozachenko_leonenko(x).value - 5.676) < 0.15
    True

    Notes
    -----
    T. B. Berrett, R. J. Samworth and M. Yuan, Annals of Statistics 47, 2019, arXiv 1606.00304.
    """
    from scipy import special

    points = jittered(as_samples(x), jitter, np.random.default_rng(rng))
    n, d = points.shape
    k = check_neighbours(max(1, min(max(3 * d, 6), n - 1)) if k is None else k, n)
    orders = max(d // 4, min(d // 2, 2)) if orders is None else orders
    support, weights = neighbour_weights(k, d, orders)
    near = nearest(points, k, metric="euclidean", workers=workers, device=device)
    used = near.distances[:, support - 1]
    no_duplicates(used[:, 0], "x", int(support[0]))
    logs = log_unit_ball(d) + math.log(n - 1) - special.digamma(support) + d * np.log(used)
    terms = logs @ weights
    # Log-volumes of one point, to its i-th and its j-th neighbour, have covariance ψ₁(max(i, j)).
    shared = special.polygamma(1, np.maximum.outer(support, support))
    return Estimate(
        float(terms.mean()),
        knn_error(terms, k, volume=float(weights @ shared @ weights)),
        n,
        f"weighted_kozachenko_leonenko(k={k})",
        terms=terms,
        sample=sample,
        diagnostics={"k": k, "d": d, "orders": orders, "neighbours": support.tolist(), "weights": weights.tolist()},
    )
