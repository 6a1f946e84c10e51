"""Shannon information between two variables of a known joint table, conditional or not, in any divergence.

A joint table is an array of probabilities with one axis per variable; the axes that a function does not name
are batch axes. Mutual information is computed as a divergence between conditional and marginal rows, in
non-negative terms, so that independence gives a number of the order of 1e-32 and never one below zero.
"""

from __future__ import annotations

import math
from typing import Any

from plogp.measures.arrays import Array, check_axis, floats, log_probabilities, log_ratio
from plogp.measures.divergence import Dissimilarity, Divergence
from plogp.measures.functional import log_factor
from plogp.measures.grouping import Variable, grouped, mass_one, result, two
from plogp.measures.registry import divergence as find_divergence

__all__ = [
    "conditional_entropy",
    "conditional_mutual_information",
    "lautum_information",
    "mutual_information",
    "pointwise_mutual_information",
]


def conditional_entropy(
    joint: Array,
    axis: Variable = -2,
    given: Variable = -1,
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``H(X|Y) = -Σ p(x,y) log p(x|y)``, the uncertainty left in X once Y is known.

    Parameters
    ----------
    joint : array
        Joint probabilities.
    axis, given : int or sequence of int
        The axes of X and of Y; the others are batch axes.
    base : float, optional
        Logarithm base; nats by default.
    normalize : bool
        Divide by the mass first.

    Returns
    -------
    array
        Non-negative; exactly 0 where X is a function of Y.

    Raises
    ------
    ValueError
        If `joint` is no distribution over these axes, or an axis is named twice.

    Examples
    --------
    >>> float(conditional_entropy([[0.5, 0.0], [0.0, 0.5]]))
    0.0
    >>> float(conditional_entropy([[0.25, 0.25], [0.25, 0.25]], base=2))
    1.0

    References
    ----------
    C. E. Shannon 1948.
    """
    factor = log_factor(base)
    xp, p, out = grouped(joint, [axis, given], normalize)
    return result(xp, conditional_entropy_of_groups(xp, p), factor, out)


def mutual_information(
    joint: Array,
    axes: tuple[Variable, Variable] = (-2, -1),
    *,
    divergence: str | Dissimilarity = "kl",
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``I_D(X;Y) = D(p(x,y) ‖ p(x)p(y))``, Shannon's mutual information for ``divergence="kl"``.

    Parameters
    ----------
    joint : array
        Joint probabilities.
    axes : pair of (int or sequence of int)
        The axes of X and of Y; the others are batch axes.
    divergence : str or divergence
        What to measure dependence with: ``"tv"``, ``"chi2"``, ``divergence("renyi", alpha=2)``...
    base : float, optional
        Logarithm base; nats by default. Dimensionless divergences take none.
    normalize : bool
        Divide by the mass first, for a table of counts.

    Returns
    -------
    array
        Non-negative, 0 iff X and Y are independent. Symmetric in X and Y.

    Raises
    ------
    ValueError
        If `joint` is no distribution over these axes, or an axis is named twice.

    Examples
    --------
    >>> round(float(mutual_information([[0.5, 0.0], [0.0, 0.5]], base=2)), 9)
    1.0
    >>> float(mutual_information([[0.5, 0.0], [0.0, 0.5]], divergence="tv"))
    0.5

    References
    ----------
    C. E. Shannon 1948; I. Csiszár 1972 (f-information); P. Perrone 2022, arXiv 2212.11719.
    """
    d = find_divergence(divergence)
    xp, p, out = grouped(joint, [*two(axes), ()], normalize)
    return result(xp, information_of_groups(xp, p, d, base), 1.0, out)


def conditional_mutual_information(
    joint: Array,
    axes: tuple[Variable, Variable, Variable] = (-3, -2, -1),
    *,
    divergence: str | Dissimilarity = "kl",
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``I_D(X;Y|Z) = D(p(x,y,z) ‖ p(z)p(x|z)p(y|z))``; for an f-divergence, the mean of I_D over z.

    Parameters
    ----------
    joint : array
        Joint probabilities.
    axes : triple of (int or sequence of int)
        The axes of X, Y and Z; the others are batch axes.
    divergence, base, normalize
        As in `mutual_information`.

    Returns
    -------
    array
        Non-negative, 0 iff X and Y are independent given Z.

    Raises
    ------
    ValueError
        If `joint` is no distribution over these axes, or an axis is named twice.

    Examples
    --------
    Two fair bits are independent, and determine one another once their sum modulo 2 is known:

    >>> xor = [[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]]
    >>> float(conditional_mutual_information(xor, base=2))
    1.0

    References
    ----------
    R. L. Dobrushin 1959; T. Cover and J. Thomas, Elements of Information Theory, 2006.
    """
    if len(axes) != 3:
        raise ValueError(f"axes must name X, Y and Z, got {axes!r}")
    d = find_divergence(divergence)
    xp, p, out = grouped(joint, list(axes), normalize)
    return result(xp, information_of_groups(xp, p, d, base), 1.0, out)


def lautum_information(
    joint: Array,
    axes: tuple[Variable, Variable] = (-2, -1),
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``KL(p(x)p(y) ‖ p(x,y))``, mutual information with its arguments swapped.

    Infinite where a pair is impossible although both of its parts are possible.

    Parameters
    ----------
    joint, axes, base, normalize
        As in `mutual_information`.

    Examples
    --------
    >>> round(float(lautum_information([[0.4, 0.1], [0.1, 0.4]])), 6)
    0.223144
    >>> float(lautum_information([[0.5, 0.0], [0.0, 0.5]]))
    inf

    References
    ----------
    D. Palomar and S. Verdú 2008.
    """
    return mutual_information(joint, axes, divergence="reverse_kl", base=base, normalize=normalize)


def pointwise_mutual_information(
    joint: Array,
    axes: tuple[int, int] = (-2, -1),
    *,
    base: float | None = None,
    normalize: bool = False,
    normalized: bool = False,
) -> Any:
    """Return ``log p(x,y)/(p(x)p(y))`` for every pair; its mean under `joint` is the mutual information.

    Parameters
    ----------
    joint : array
        Joint probabilities.
    axes : pair of int
        The axes of X and Y; the others are batch axes.
    base : float, optional
        Logarithm base; nats by default.
    normalize : bool
        Divide the table by its mass first.
    normalized : bool
        Divide each value by ``-log p(x,y)``: -1 for pairs that never occur, 1 for states that occur only
        together.

    Returns
    -------
    array, shape of `joint`
        -inf where a pair never occurs though its parts do; 0 where a part never occurs.

    Raises
    ------
    ValueError
        If `joint` is no distribution over these axes, or `base` is given for normalised values.

    Examples
    --------
    >>> pointwise_mutual_information([[0.5, 0.0], [0.0, 0.5]], base=2)
    array([[  1., -inf],
           [-inf,   1.]])

    References
    ----------
    K. Church and P. Hanks 1990; G. Bouma 2009 (normalised).
    """
    if normalized and base is not None:
        raise ValueError("base has no meaning for normalised values: they are dimensionless")
    factor = log_factor(base)
    xp, (p,), out = floats(joint=joint)
    places = tuple(check_axis(p.shape, axis, "joint") for axis in axes)
    if places[0] == places[1]:
        raise ValueError(f"axes must be two different axes, got {axes!r}")
    p = mass_one(xp, p, places, "joint", normalize, out)
    log_p = log_probabilities(p)
    parts = [log_probabilities(xp.sum(p, axis=axis, keepdims=True)) for axis in places]
    never = xp.broadcast_to((parts[0] == -math.inf) | (parts[1] == -math.inf), p.shape)
    zero = xp.zeros_like(p)
    log_q = xp.where(parts[0] == -math.inf, xp.zeros_like(parts[0]), parts[0]) + xp.where(
        parts[1] == -math.inf, xp.zeros_like(parts[1]), parts[1]
    )
    value = xp.where(never, zero, log_p - log_q)
    if normalized:
        inside = (p > 0) & (p < 1)
        scale = -xp.where(inside, log_p, -xp.ones_like(p))
        value = xp.where(inside, xp.where(inside, value, zero) / scale, xp.where(p > 0, zero + 1.0, zero - 1.0))
        value = xp.where(never, zero, value)
    return result(xp, value, factor, out)


def information_of_groups(xp: Any, p: Array, d: Dissimilarity, base: float | None) -> Array:
    """Return I_D(X;Y|Z) of a table with axes (..., x, y, z)."""
    p_xz = xp.sum(p, axis=-2, keepdims=True)
    p_yz = xp.sum(p, axis=-3, keepdims=True)
    p_z = xp.sum(p_yz, axis=-2, keepdims=True)
    if isinstance(d, Divergence):
        base_factor = d._factor(base)
        # An f-divergence is the mean of D(p(y|x,z) ‖ p(y|z)) under p(x,z): no product can underflow, and
        # nearly equal rows are compared to full precision.
        given_z = p_yz / xp.where(p_z > 0, p_z, xp.ones_like(p_z))
        live = p_xz > 0
        given_xz = xp.where(live, p / xp.where(live, p_xz, xp.ones_like(p_xz)), given_z)
        given_z = xp.broadcast_to(given_z, p.shape)
        terms = _generator_terms(xp, given_xz, given_z, d)
        # The price of mass that only p(y|z) has is f(0), of mass that only p(y|x,z) has nothing: there is none.
        return xp.sum(p_xz * terms, axis=(-3, -2, -1)) * base_factor
    logs = [log_probabilities(part) for part in (p_xz, p_yz, p_z)]
    dead = (logs[0] == -math.inf) | (logs[1] == -math.inf)
    finite = [xp.where(part == -math.inf, xp.zeros_like(part), part) for part in logs]
    log_q = xp.where(dead, -math.inf * xp.ones_like(p), finite[0] + finite[1] - finite[2])
    flat = (*p.shape[:-3], math.prod(p.shape[-3:]))
    log_p = log_probabilities(p)
    return xp.asarray(d.from_log_probs(xp.reshape(log_p, flat), xp.reshape(log_q, flat), base=base, check=False))


def _generator_terms(xp: Any, p: Array, q: Array, d: Divergence) -> Array:
    """Return q f(p/q) elementwise for q > 0 wherever p > 0, quadratically small where p and q are close.

    The generator is asked for ratios up to 1 only, above 1 with the arguments swapped, so nothing overflows.
    """
    zero = xp.zeros_like(p)
    empty = (p == 0) | (q == 0)
    r = log_ratio(p, q, empty)
    below = q * d.pointwise(xp.where(r > 0, zero, r))
    above = p * d.reversed().pointwise(xp.where(r > 0, -r, zero))
    inside = xp.where(r > 0, above, below)
    alone = q * d.f0 if math.isfinite(d.f0) else xp.where(q > 0, math.inf * xp.ones_like(q), zero)
    return xp.where(empty, alone, inside)


def conditional_entropy_of_groups(xp: Any, p: Array) -> Array:
    """Return H(X|Y) of a table with axes (..., x, y), in non-negative terms."""
    p_y = xp.sum(p, axis=-2, keepdims=True)
    live = p > 0
    one = xp.ones_like(p)
    surprisal = xp.log(xp.where(live, xp.broadcast_to(p_y, p.shape), one)) - xp.log(xp.where(live, p, one))
    surprisal = xp.where(surprisal > 0, surprisal, xp.zeros_like(surprisal))
    return xp.sum(p * surprisal, axis=(-2, -1))
