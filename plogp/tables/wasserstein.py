"""The 1-D Wasserstein-1 distance between two columns from what leaves an engine: quantiles, or counts of values.

W1 = ∫|Q(u) - R(u)| du = ∫|F(t) - G(t)| dt. The plug-in is biased upward, most where nothing changed; here the
part that noise alone would give is taken off point by point, so that the estimate is centred at 0 without drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate, Normal

__all__ = ["Bracket", "moments", "value_wasserstein", "wasserstein"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bracket:
    """Interval between two estimates with opposite bias: from below the lower to above the upper, `z·se` each.

    >>> low, high = Bracket(0.1, 0.2, 0.05)(0.95)
    >>> round(low, 3), round(high, 3)
    (0.002, 0.298)
    """

    lower: float
    upper: float
    se: float

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the interval of probability `level`."""
        return Normal(self.lower, self.se)(level)[0], Normal(self.upper, self.se)(level)[1]


def wasserstein(
    probs: npt.ArrayLike,
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    n_reference: int,
    n_current: int,
    scale: float = 1.0,
) -> Estimate:
    r"""Wasserstein-1 distance from two quantile functions on one grid of probabilities.

    .. math:: W_1 = \int_0^1 |Q(u) - R(u)|\, du, \qquad
        \mathrm{Var}\,Q(u) \approx u (1 - u)\, Q'(u)^2 / n.

    Beyond the outer probabilities, and within 2 rows of the extremes, the quantile functions are held constant, so
    that one outlier has no say.

    Parameters
    ----------
    probs : array
        Ascending probabilities.
    reference, current : array
        The quantiles there.
    n_reference, n_current : int
        Rows behind the quantiles.
    scale : float
        Divides the distance: the reference's standard deviation gives the unit "sd".

    Returns
    -------
    Estimate
        Dimensionless, possibly slightly negative. The standard error is that of the signed distance, by its
        influence function; the interval reaches from below the corrected to above the plug-in value. Nominal
        95 % covered 93 to 99 % in simulations (normal shifts and scalings, 100 to 50,000 rows).

    Examples
    --------
    >>> u = np.linspace(0.001, 0.999, 999)
    >>> from statistics import NormalDist
    >>> q = np.array([NormalDist().inv_cdf(p) for p in u])
    >>> round(wasserstein(u, q, q + 0.5, 10_000, 10_000).value, 6)
    0.5

    References
    ----------
    Munk and Czado (1998), del Barrio, Giné and Matrán (1999): limit laws of W1 in one dimension.
    """
    u = np.asarray(probs, dtype=np.float64)
    edge = max(u[0], 2.0 / max(min(n_reference, n_current), 4))
    inside = np.clip(u, edge, 1.0 - edge)
    q, r = (np.interp(inside, u, np.asarray(x, dtype=np.float64)) for x in (reference, current))
    weight = _weights(u)
    difference = r - q
    variance = np.zeros_like(u)
    for x, n in ((q, n_reference), (r, n_current)):
        variance += inside * (1 - inside) * _slope(x, inside) ** 2 / n
    value = float(weight @ _less_noise(difference, variance))
    sign = np.sign(difference)
    variance_of_value = _influence(q, sign, weight) / n_reference + _influence(r, sign, weight) / n_current
    plugin = float(weight @ np.abs(difference))
    return _estimate(value, plugin, variance_of_value, scale, n_reference + n_current, "wasserstein(quantiles)")


def value_wasserstein(
    values: npt.ArrayLike, reference: npt.ArrayLike, current: npt.ArrayLike, scale: float = 1.0
) -> Estimate:
    """Wasserstein-1 distance from counts of the same ascending values, as `wasserstein`.

    Examples
    --------
    >>> round(value_wasserstein([0.0, 1.0], [700, 300], [200, 800]).value, 12)
    0.5
    """
    x = np.asarray(values, dtype=np.float64)
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    n, m = a.sum(), b.sum()
    step = np.diff(x)
    f, g, h = (np.cumsum(c)[:-1] / c.sum() for c in (a, b, a + b))
    difference = f - g
    value = float(step @ _less_noise(difference, h * (1 - h) * (1 / n + 1 / m)))
    # The signed distance is a mean of φ(x) = Σ over the steps below x, of their length and sign.
    phi = np.concatenate([[0.0], np.cumsum(step * np.sign(difference))])
    spread = sum((float(c @ phi**2) / c.sum() - (float(c @ phi) / c.sum()) ** 2) / c.sum() for c in (a, b))
    plugin = float(step @ np.abs(difference))
    return _estimate(value, plugin, spread, scale, int(n + m), "wasserstein(values)")


def moments(probs: npt.ArrayLike, quantiles: npt.ArrayLike, n: int) -> tuple[float, float]:
    """Return mean and standard deviation of a quantile function held constant beyond its outer probabilities.

    >>> u = np.linspace(0.001, 0.999, 999)
    >>> mean, sd = moments(u, u, 10_000)                         # uniform on (0, 1)
    >>> round(mean, 3), round(sd, 3)
    (0.5, 0.289)
    """
    u, q = np.asarray(probs, dtype=np.float64), np.asarray(quantiles, dtype=np.float64)
    edge = max(u[0], 2.0 / max(n, 4))
    q = np.interp(np.clip(u, edge, 1.0 - edge), u, q)
    weight = _weights(u)
    centre = float(q[len(q) // 2])  # subtracted first: a date's square would lose its digits
    mean = float(weight @ (q - centre))
    return centre + mean, math.sqrt(max(float(weight @ (q - centre - mean) ** 2), 0.0))


def _estimate(value: float, plugin: float, variance: float, scale: float, n: int, method: str) -> Estimate:
    se = math.sqrt(max(variance, 0.0)) / scale
    facts = {"plugin": plugin / scale, "scale": scale}
    law = Bracket(value / scale, plugin / scale, se)
    return Estimate(value / scale, se, n, method, unit="", law=law, diagnostics=facts)


def _weights(u: Floats) -> Floats:
    """Lengths of the intervals that each probability stands for; they sum to 1."""
    middle = (u[1:] + u[:-1]) / 2
    return np.diff(np.concatenate([[0.0], middle, [1.0]]))


def _slope(q: Floats, u: Floats) -> Floats:
    """Central differences dQ/du, 0 where the probabilities coincide (held constant)."""
    rise = np.zeros_like(q)
    width = np.zeros_like(q)
    rise[1:-1], width[1:-1] = q[2:] - q[:-2], u[2:] - u[:-2]
    rise[0], width[0], rise[-1], width[-1] = q[1] - q[0], u[1] - u[0], q[-1] - q[-2], u[-1] - u[-2]
    return np.divide(rise, width, out=np.zeros_like(q), where=width > 0)


def _less_noise(difference: Floats, variance: Floats) -> Floats:
    """|D| less what noise would give: mean 0 for D ~ N(0, v), and |D| itself far from 0.

    E|D| = √(2v/π) at a true difference of 0, and E exp(-D²/2v) = 1/√2.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.where(variance > 0, np.exp(-(difference**2) / (2 * variance)), 0.0)
    return np.abs(difference) - np.sqrt(4 * variance / math.pi) * near


def _influence(q: Floats, sign: Floats, weight: Floats) -> float:
    """Variance of the influence of one row on ∫ sign(u) Q(u) du."""
    steps = np.diff(q) * (sign[1:] + sign[:-1]) / 2
    phi = np.concatenate([[0.0], np.cumsum(steps)])
    return max(float(weight @ phi**2) - float(weight @ phi) ** 2, 0.0)
