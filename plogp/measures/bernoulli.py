"""Divergence of two coins, and the coins that lie within a given divergence."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import floats
from plogp.measures.registry import divergence

__all__ = ["bernoulli_kl", "bernoulli_kl_inverse"]

Floats = npt.NDArray[np.float64]


def bernoulli_kl(p: Any, q: Any, *, base: float | None = None) -> Any:
    r"""Return KL(Ber(p)‖Ber(q)), p the truth and q the model.

    .. math:: kl(p‖q) = p \log\frac pq + (1-p) \log\frac{1-p}{1-q}

    Parameters
    ----------
    p, q : array, shapes that broadcast
        Probabilities of success.
    base : float, optional
        Logarithm base of the result; nats by default.

    Returns
    -------
    array
        +inf where q is 0 or 1 and p is not.

    Raises
    ------
    ValueError
        For NaN or a value outside [0, 1].

    Examples
    --------
    >>> bernoulli_kl([0.95, 0.5, 1.0], [0.1, 0.5, 0.0]).round(3)
    array([1.994, 0.   ,   inf])
    """
    xp, (p, q), _ = floats(p=p, q=q)
    for name, x in (("p", p), ("q", q)):
        if not bool(xp.all((x >= 0) & (x <= 1))):  # NaN fails too
            raise ValueError(f"{name} must lie in [0, 1], without NaN")
    p, q = xp.broadcast_arrays(p, q)
    pair = [xp.stack([x, 1 - x], axis=-1) for x in (p, q)]
    return divergence("kl")(*pair, base=base, check=False)


def bernoulli_kl_inverse(given: Any, bound: Any, side: str = "upper", *, solve_for: str = "p") -> Any:
    r"""Return the farthest coin within a divergence: the end of an interval around the coin `given`.

    .. math:: \sup\{p \ge q : kl(p‖q) \le b\} \quad (solve\_for = p), \qquad
              \sup\{q \ge p : kl(p‖q) \le b\} \quad (solve\_for = q)

    With ``side="lower"`` the infimum on the other side. Solving for p: how far a budget of b nats can move the
    probability q of an event. Solving for q: the confidence limits of a proportion p (Chernoff, PAC-Bayes).

    Parameters
    ----------
    given : array
        The other coin, in [0, 1].
    bound : array
        b >= 0 in nats; shapes broadcast.
    side : {"upper", "lower"}
    solve_for : {"p", "q"}
        The first or the second argument of kl.

    Returns
    -------
    float or array of float64
        By bisection, to the last digits of a double.

    Raises
    ------
    ValueError
        For a value outside [0, 1], a negative or NaN bound, or an unknown option.

    Examples
    --------
    >>> bernoulli_kl_inverse(0.1, [0.5, 1.0, 2.0]).round(3)
    array([0.495, 0.689, 0.951])
    >>> round(bernoulli_kl_inverse(0.1, 0.05, solve_for="q"), 3)
    0.22
    """
    if side not in ("upper", "lower"):
        raise ValueError(f"side must be 'upper' or 'lower', got {side!r}")
    if solve_for not in ("p", "q"):
        raise ValueError(f"solve_for must be 'p' or 'q', got {solve_for!r}")
    x, b = np.broadcast_arrays(np.asarray(given, np.float64), np.asarray(bound, np.float64))
    if not ((x >= 0) & (x <= 1)).all():
        raise ValueError("given must lie in [0, 1], without NaN")
    if not (b >= 0).all():
        raise ValueError("bound must be at least 0, without NaN")
    within, beyond = x.copy(), np.full(x.shape, 1.0 if side == "upper" else 0.0)
    reached = _kl(beyond, x, solve_for) <= b
    for _ in range(1100):  # halving from 1 to the smallest double takes that many steps; most stop at 55
        middle = (within + beyond) / 2
        inside = _kl(middle, x, solve_for) <= b
        moved = np.where(inside, middle, within), np.where(inside, beyond, middle)
        if (moved[0] == within).all() and (moved[1] == beyond).all():
            break
        within, beyond = moved
    out = np.where(b == 0, x, np.where(reached, 1.0 if side == "upper" else 0.0, within))
    return float(out) if out.ndim == 0 else out


def _kl(moving: Floats, fixed: Floats, solve_for: str) -> Any:
    from scipy.special import rel_entr

    p, q = (moving, fixed) if solve_for == "p" else (fixed, moving)
    return np.maximum(rel_entr(p, q) + rel_entr(1 - p, 1 - q), 0.0)
