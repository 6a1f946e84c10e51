"""The three regimes of kernel density estimation when n = e^{αd}: normal, stable and condensed.

A kernel estimate is a sum of n weights w_i = K((x - y_i)/h). In high dimension these weights spread over
many orders of magnitude and the sum behaves like the partition function of a random energy model. With
α = (log n)/d and two bandwidths h_G < h_CLT:

- h > h_CLT: the sum has normal fluctuations;
- h_G < h < h_CLT: the sum finds its mean, but its fluctuations are stable, of index (h/h_G)^a in (1, 2);
- h < h_G: *condensed*. A handful of nearest points carries the whole sum: E Σ(w_i/Σw)² → 1 - (h/h_G)^a.

a is the exponent of the kernel exp(-|u|^a ...): 2 for the Gaussian kernel, 1 for the exponential one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from plogp.estimate.kernels import KERNELS, Kernel, kernel_of, squared_distances, weight_sums
from plogp.estimate.samples import Floats, as_samples

__all__ = ["Phase", "kde_phase", "phase_rate"]

#: Rows from which the phase of a sample is measured; more would only sharpen a third digit.
QUERIES = 256


@dataclass(frozen=True)
class Phase:
    """Where the regimes of a kernel density estimate begin and end, as bandwidths.

    Attributes
    ----------
    h_g : float
        Condensation: below it a few nearest points carry the sum.
    h_clt : float
        Normality: above it the central limit theorem holds. h_clt = 2^{1/a} h_g.
    h_opt : float
        The bandwidth of least KL(truth‖estimate).
    n, d : int
        Number of samples and dimension.
    exponent : float
        a of the kernel: 2 Gaussian, 1 exponential.
    source : str
        ``"gaussian data"`` (the asymptotic formula) or ``"samples"`` (measured at this n and d).
    """

    h_clt: float
    h_g: float
    h_opt: float
    n: int
    d: int
    exponent: float = 2.0
    source: str = "gaussian data"

    @property
    def alpha(self) -> float:
        """(log n) / d."""
        return math.log(self.n) / self.d

    def index(self, h: float) -> float:
        """Return the stable index of the fluctuations at bandwidth `h`: (h/h_G)^a, and 2 (normal) at most.

        Raises
        ------
        ValueError
            If `h` is not positive.
        """
        if not h > 0:
            raise ValueError(f"h must be a positive bandwidth, got {h!r}")
        return min(2.0, (h / self.h_g) ** self.exponent)

    def participation(self, h: float) -> float:
        """Return the limit of E Σ(w_i/Σw)² at bandwidth `h`: 1 - (h/h_G)^a below h_G, 0 above."""
        return max(0.0, 1.0 - self.index(h))

    def regime(self, h: float) -> str:
        """Return ``"normal"``, ``"stable"`` or ``"condensed"`` at bandwidth `h`."""
        index = self.index(h)
        return "normal" if index >= 2.0 else "stable" if index > 1.0 else "condensed"


def phase_rate(lam: float) -> tuple[float, float, float]:
    r"""Return φ(λ), φ'(λ) and the rate s(λ) of standard normal data under the weight exp(-λ|x-y|²/2).

    .. math:: φ(λ) = \lim \tfrac1d \log E_y\, e^{-λ|x-y|²/2} = -\tfrac12\log(1+λ) - \tfrac{λ}{2(1+λ)}, \quad
              s(λ) = λφ'(λ) - φ(λ)

    s(λ) is the cost, per dimension, of the points that dominate the sum; they exist among n = e^{αd} samples
    while s(λ) < α.

    Parameters
    ----------
    lam : float
        λ = (σ/h)² >= 0.

    Examples
    --------
    >>> phi, slope, s = phase_rate(1.0)
    >>> round(phi, 6), round(slope, 6), round(s, 6)
    (-0.596574, -0.375, 0.221574)
    """
    if not lam >= 0:
        raise ValueError(f"lam must be >= 0, got {lam!r}")
    phi = -0.5 * math.log1p(lam) - lam / (2 * (1 + lam))
    slope = -0.5 / (1 + lam) - 0.5 / (1 + lam) ** 2
    return phi, slope, 0.5 * math.log1p(lam) - lam / (2 * (1 + lam) ** 2)


def kde_phase(
    n: int | None = None,
    d: int | None = None,
    sigma: float = 1.0,
    *,
    samples: Any = None,
    kernel: str = "gaussian",
) -> Phase:
    r"""Return the bandwidths that separate the regimes of kernel density estimation.

    For N(0, σ²I) data, with g = (h/σ)² and α = (log n)/d, in the limit of large d:

    .. math:: α = \tfrac12\log(1 + 1/g_G) - \frac{g_G}{2(1+g_G)^2}, \qquad h_{CLT} = \sqrt2\, h_G, \qquad
              h_{opt}^2 = r σ^2, \quad r = \frac{g_G(1+2g_G)}{(1+g_G)^2}

    rσ²d is the squared distance to the nearest sample, so h_opt < h_G: the best bandwidth lies inside the
    condensed phase. The exponential kernel condenses at the same nearest distance: h_G = σ g_G/√(rd),
    h_CLT = 2 h_G, h_opt = σ√(r/d).

    With `samples` the same three are measured at their own n and d. h_G is read from the participation, which
    tends to 1 - (h/h_G)^a: it is 2^{1/a} times the bandwidth at which the participation is one half.
    (Solving s(λ) = α on the estimated φ does not work: with n samples the estimated s reaches α at h = 0
    only.) h_opt maximises the leave-one-out likelihood of the rows that are not exact repetitions. At finite d
    both come out above the limit (σ = 1, d = 16, n = 2,981: h_G 0.80 against 0.652, h_opt 0.77 against 0.622),
    their ratio close to it (0.95).

    Parameters
    ----------
    n, d : int
        Number of samples (at least 2) and dimension; taken from `samples` where given.
    sigma : float
        Standard deviation of each coordinate of normal data.
    samples : array, shape (n, d), optional
        Data to measure the regimes on, instead of the formula for normal data.
    kernel : {"gaussian", "exponential"}
        exp(-|u|²/2) or exp(-|u|).

    Raises
    ------
    ValueError
        For n < 2, d < 1, sigma <= 0, an unknown kernel, `samples` together with another `n` or `d`, or
        samples of which every row is repeated.

    Examples
    --------
    >>> phase = kde_phase(n=2981, d=16)
    >>> round(phase.h_g, 3), round(phase.h_clt, 3), round(phase.h_opt, 3)
    (0.652, 0.922, 0.622)
    >>> phase.regime(0.8), round(phase.index(0.8), 2)
    ('stable', 1.5)

    References
    ----------
    Biroli and Mézard (2024), arXiv 2408.05807. The formulas for normal data were derived again from the
    random energy model (Legendre transform of the log-moment φ) and checked numerically.
    """
    kind = kernel_of(kernel)
    if samples is not None:
        points = as_samples(samples, "samples")
        for name, given, own in (("n", n, points.shape[0]), ("d", d, points.shape[1])):
            if given is not None and given != own:
                raise ValueError(f"{name}={given} contradicts samples of shape {points.shape}; leave it out")
        return _measured(points, kind)
    for name, value, least in (("n", n, 2), ("d", d, 1)):
        if value is None or value != int(value) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    assert n is not None
    assert d is not None
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma must be a positive number, got {sigma!r}")
    g = _condensation(math.log(n) / d)
    r = g * (1 + 2 * g) / (1 + g) ** 2
    if kind is KERNELS["gaussian"]:
        h_g, h_opt = sigma * math.sqrt(g), sigma * math.sqrt(r)
    else:
        h_g, h_opt = sigma * g / math.sqrt(r * d), sigma * math.sqrt(r / d)
    return Phase(2 ** (1 / kind.exponent) * h_g, h_g, h_opt, int(n), int(d), kind.exponent)


def _condensation(alpha: float) -> float:
    """Return g_G = 1/λ_G with s(λ_G) = α; s rises from 0 to infinity, so there is exactly one."""
    from scipy.optimize import brentq

    # s(λ) grows like ½ log λ and starts like λ²/4 · 3: both ends of the bracket are sure.
    high = 2 * alpha + 2.0
    log_lam = brentq(lambda u: phase_rate(math.exp(u))[2] - alpha, -45.0, high, xtol=1e-14, rtol=1e-14)
    return math.exp(-log_lam)


def _measured(points: Floats, kernel: Kernel) -> Phase:
    """Measure h_G (participation one half) and h_opt (leave-one-out likelihood) on at most QUERIES rows."""
    n, d = points.shape
    if n < 3:
        raise ValueError(f"samples must have at least 3 rows to measure a phase, got {n}")
    rows = np.unique(np.linspace(0, n - 1, min(n, QUERIES)).round().astype(np.intp))
    nearest = np.full(len(rows), np.inf)
    widest = 0.0
    for block, distances in squared_distances(points[rows], points, leave_out=rows):
        nearest[block] = distances.min(axis=1)
        widest = max(widest, float(distances[np.isfinite(distances)].max()))
    if not (nearest > 0).any():
        raise ValueError("every row of samples is repeated: the best bandwidth is 0. Expected continuous data")
    low = 0.05 * math.sqrt(float(np.median(nearest[nearest > 0])) / d)
    high = 10.0 * math.sqrt(widest / d)

    def participation(h: float) -> float:
        return float(np.mean(weight_sums(points[rows], points, h, kernel, leave_out=rows)[1]))

    def minus_likelihood(u: float) -> float:
        log_sum = weight_sums(points[rows], points, math.exp(u), kernel, leave_out=rows)[0]
        distinct = log_sum[nearest > 0]
        return d * u - float(np.mean(distinct))

    if kernel.exponent < 2:  # |u| = distance / h where the Gaussian has distance²/(2h²): √d times larger
        low, high = low / math.sqrt(d), high
    h_half = _root_in_log(lambda h: participation(h) - 0.5, low, high)
    h_g = 2 ** (1 / kernel.exponent) * h_half
    h_opt = _minimum_in_log(minus_likelihood, low, high)
    return Phase(2 ** (1 / kernel.exponent) * h_g, h_g, h_opt, n, d, kernel.exponent, "samples")


def _root_in_log(f: Callable[[float], float], low: float, high: float) -> float:
    """Return a zero of a falling `f` by bisection of log h, widening the bracket while the signs agree."""
    from scipy.optimize import brentq

    for _ in range(60):
        if f(low) > 0:
            break
        low /= 2
    for _ in range(60):
        if f(high) < 0:
            break
        high *= 2
    return math.exp(brentq(lambda u: f(math.exp(u)), math.log(low), math.log(high), xtol=1e-4))


def _minimum_in_log(f: Callable[[float], float], low: float, high: float) -> float:
    """Return the h of least f(log h): the best of a coarse grid, then refined between its neighbours."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(math.log(low), math.log(high), 25)
    values = [f(u) for u in grid]
    best = int(np.argmin(values))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return math.exp(minimize_scalar(f, bounds=ends, method="bounded", options={"xatol": 1e-3}).x)
