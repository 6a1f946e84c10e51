"""The value of information: log-optimal portfolios, and how much faster capital grows with a forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import check_probabilities, log_probabilities, xlogy
from plogp.measures.rate import rate_function

__all__ = ["Portfolio", "growth_rate", "information_value", "log_optimal_portfolio"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Portfolio:
    """Weights of the fastest growing portfolio.

    Attributes
    ----------
    weights : array (n_assets,)
        Shares of the capital, summing to 1.
    growth : float
        Their growth rate, nats per period.
    gap : float
        The best possible growth rate is at most ``growth + gap``.
    """

    weights: Floats
    growth: float
    gap: float


def growth_rate(weights: Any, returns: Any, p: Any) -> float:
    """Return Σ_x P(x) log Σ_i w_i R_i(x), the growth of capital in nats per period; -inf if it can be lost.

    `weights` (n_assets,), `returns` (n_x, n_assets) gross returns of each asset in each state, `p` (n_x,).

    >>> round(growth_rate([0.5, 0.5], [[2.0, 1.0], [0.5, 1.0]], [0.5, 0.5]), 6)  # log sqrt(9/8)
    0.058892
    """
    gross, chance = _market(returns, p)
    shares = np.asarray(weights, dtype=np.float64)
    if shares.shape != (gross.shape[1],):
        raise ValueError(f"weights must have shape ({gross.shape[1]},), got {shares.shape}")
    check_probabilities(shares, -1, "weights")
    return float(np.sum(xlogy(chance, gross @ shares)))


def log_optimal_portfolio(returns: Any, p: Any, *, tol: float = 1e-9, max_iter: int = 20_000) -> Portfolio:
    """Return the portfolio of largest growth rate (Kelly's for a race, Cover's in general).

    Maximising Σ P(x) log Σ_i w_i R_i(x) is the dual of the rate function with score log R_i(x) at slope 1,
    so the same Blahut-Arimoto loop finds it, with its certificate.

    Parameters
    ----------
    returns : array (n_x, n_assets)
        Gross returns, >= 0: capital after by capital before.
    p : array (n_x,)
        Probabilities of the states.
    tol, max_iter
        As in `rate_function`.

    Raises
    ------
    ValueError
        For mismatched shapes, negative returns, or a state in which every asset is lost.

    Examples
    --------
    In a horse race the best shares are the probabilities, whatever the odds:

    >>> log_optimal_portfolio(np.diag([3.0, 4.0]), [0.25, 0.75]).weights.round(6).tolist()
    [0.25, 0.75]

    References
    ----------
    J. L. Kelly 1956; T. M. Cover 1984, IEEE Trans. Inf. Theory 30(2).
    """
    gross, chance = _market(returns, p)
    if np.any(np.max(gross, axis=1)[chance > 0] <= 0):
        raise ValueError("returns: every asset is lost in one of the states, so no portfolio survives")
    point = rate_function(chance, log_probabilities(gross), 1.0, tol=tol, max_iter=max_iter)
    weights = chance @ point.channel
    weights = weights / np.sum(weights)
    return Portfolio(weights, growth_rate(weights, gross, chance), point.gap)


def information_value(returns: Any, prior: Any, posterior: Any, forecast: Any = None) -> float:
    """Return how much faster capital grows with a forecast: Σ P(x|y) log r(x|θ)/r(x), nats per period.

    r(x) is the return of the portfolio that is best under the prior, r(x|θ) of the one that is best under
    the forecast P(x|θ); the states follow the posterior P(x|y). With a true forecast, P(x|θ) = P(x|y), the
    value lies between 0 and KL(P(x|y)‖P(x)). In a race it *is* the semantic information
    Σ P(x|y) log P(x|θ)/P(x), negative for a misleading forecast.

    Parameters
    ----------
    returns : array (n_x, n_assets)
        Gross returns.
    prior, posterior : arrays (n_x,)
        P(x) and P(x|y).
    forecast : array (n_x,), optional
        P(x|θ); the posterior itself by default.

    Raises
    ------
    ValueError
        As `log_optimal_portfolio`.

    Examples
    --------
    >>> round(information_value(np.diag([2.0, 2.0]), [0.5, 0.5], [0.9, 0.1]), 6)  # log 2 - h(0.1)
    0.368064

    References
    ----------
    J. L. Kelly 1956; A. Barron and T. Cover 1988 (the bound); C. Lu 2025, Entropy 27(5):461 (with truth
    functions; the definition is reconstructed from his published summaries).
    """
    gross, after = _market(returns, posterior, "posterior")
    plain = log_optimal_portfolio(gross, prior)
    informed = log_optimal_portfolio(gross, posterior if forecast is None else forecast)
    return growth_rate(informed.weights, gross, after) - growth_rate(plain.weights, gross, after)


def _market(returns: Any, p: Any, name: str = "p") -> tuple[Floats, Floats]:
    gross, chance = np.asarray(returns, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if chance.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {chance.shape}")
    check_probabilities(chance, -1, name)
    if gross.ndim != 2 or len(gross) != len(chance) or gross.shape[1] == 0:
        raise ValueError(f"returns must have shape ({len(chance)}, n_assets), got {gross.shape}")
    if not np.all(np.isfinite(gross)) or np.any(gross < 0):
        raise ValueError("returns must be finite gross returns >= 0 (1.02 for a gain of two per cent)")
    return gross, chance
