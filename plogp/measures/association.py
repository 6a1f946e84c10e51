"""How closely two variables are associated: normalised mutual information, and the distances beside it."""

from __future__ import annotations

from typing import Any, Literal

from plogp.measures.arrays import Array, xlogx
from plogp.measures.functional import log_factor
from plogp.measures.grouping import Variable, grouped, result, two
from plogp.measures.information import (
    conditional_entropy_of_groups,
    information_of_groups,
    mutual_information,
)
from plogp.measures.registry import divergence

__all__ = ["information_gain", "normalized_mutual_information", "rajski_distance", "variation_of_information"]

Average = Literal["arithmetic", "geometric", "min", "max", "joint", "first", "second"]


def information_gain(
    joint: Array,
    target: Variable = -1,
    feature: Variable = -2,
    *,
    ratio: bool = False,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``H(target) - H(target|feature)``, what a split on the feature tells about the target.

    Equal to the mutual information; ``ratio=True`` divides by the feature's entropy (the gain ratio).

    Parameters
    ----------
    joint : array
        Joint probabilities.
    target, feature : int or sequence of int
        Their axes; the others are batch axes.
    ratio : bool
        Return the gain ratio, dimensionless; 0 for a constant feature.
    base, normalize
        As in `mutual_information`.

    Examples
    --------
    >>> round(float(information_gain([[0.4, 0.1], [0.1, 0.4]], base=2)), 6)
    0.278072

    References
    ----------
    J. R. Quinlan 1986.
    """
    if ratio:
        if base is not None:
            raise ValueError("base has no meaning for a gain ratio: it is dimensionless")
        return normalized_mutual_information(joint, (feature, target), average="first", normalize=normalize)
    return mutual_information(joint, (feature, target), base=base, normalize=normalize)


def normalized_mutual_information(
    joint: Array,
    axes: tuple[Variable, Variable] = (-2, -1),
    *,
    average: Average = "arithmetic",
    normalize: bool = False,
) -> Any:
    """Return mutual information divided by an average of the entropies, between 0 and 1.

    Parameters
    ----------
    joint : array
        Joint probabilities.
    axes : pair of (int or sequence of int)
        The axes of X and Y; the others are batch axes.
    average : {"arithmetic", "geometric", "min", "max", "joint", "first", "second"}
        What to divide by: a mean, the smaller or the larger of H(X) and H(Y), H(X,Y), H(X) alone (Theil's
        uncertainty coefficient of X) or H(Y) alone.
    normalize : bool
        Divide the table by its mass first.

    Returns
    -------
    array
        1 where both variables are constant; 0 where only the divisor is 0.

    Raises
    ------
    ValueError
        If `joint` is no distribution over these axes, or `average` is unknown.

    Examples
    --------
    >>> round(float(normalized_mutual_information([[0.5, 0.0], [0.0, 0.5]])), 12)
    1.0

    References
    ----------
    A. Strehl and J. Ghosh 2002; N. X. Vinh, J. Epps, J. Bailey 2010; H. Theil 1970.
    """
    xp, p, out = grouped(joint, [*two(axes), ()], normalize)
    table = p[..., 0]
    h_x = -xp.sum(xlogx(xp.sum(table, axis=-1)), axis=-1)
    h_y = -xp.sum(xlogx(xp.sum(table, axis=-2)), axis=-1)
    h_xy = -xp.sum(xlogx(table), axis=(-2, -1))
    zero, one = xp.zeros_like(h_x), xp.ones_like(h_x)
    if average == "geometric":  # a square root has no gradient at 0
        positive = (h_x > 0) & (h_y > 0)
        divisor = xp.where(positive, xp.sqrt(xp.where(positive, h_x * h_y, one)), zero)
    elif average in ("min", "max"):
        first = h_x < h_y if average == "min" else h_x > h_y
        divisor = xp.where(first, h_x, h_y)
    elif average in ("arithmetic", "joint", "first", "second"):
        divisor = {"arithmetic": (h_x + h_y) / 2, "joint": h_xy, "first": h_x, "second": h_y}[average]
    else:
        known = "'arithmetic', 'geometric', 'min', 'max', 'joint', 'first' or 'second'"
        raise ValueError(f"average must be {known}, got {average!r}")
    information = information_of_groups(xp, p, divergence("kl"), None)
    value = information / xp.where(divisor > 0, divisor, one)
    value = xp.where(value > 1, one, value)  # rounding
    value = xp.where(divisor > 0, value, xp.where(h_xy > 0, zero, one))
    return result(xp, value, 1.0, out)


def variation_of_information(
    joint: Array,
    axes: tuple[Variable, Variable] = (-2, -1),
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``H(X|Y) + H(Y|X)``, Shannon's distance: a metric on variables up to relabelling.

    Parameters
    ----------
    joint, axes, base, normalize
        As in `mutual_information`.

    Examples
    --------
    >>> float(variation_of_information([[0.25, 0.25], [0.25, 0.25]], base=2))
    2.0

    References
    ----------
    C. E. Shannon 1953; M. Meilă 2003.
    """
    factor = log_factor(base)
    xp, p, out = grouped(joint, list(two(axes)), normalize)
    return result(xp, _variation(xp, p), factor, out)


def rajski_distance(
    joint: Any,
    other: Any = None,
    *,
    axes: tuple[Variable, Variable] = (-2, -1),
    normalize: bool = False,
) -> Any:
    """Return ``(H(X|Y) + H(Y|X)) / H(X,Y) = 1 - I(X;Y)/H(X,Y)``, a metric between 0 and 1.

    Parameters
    ----------
    joint : array, or Partition
        Joint probabilities; or the first of two partitions.
    other : Partition, optional
        The second of two partitions.
    axes, normalize
        As in `mutual_information`.

    Returns
    -------
    array or float
        0 iff the variables determine each other (two constants do), 1 iff they are independent.

    Examples
    --------
    >>> float(rajski_distance([[0.25, 0.25], [0.25, 0.25]])), float(rajski_distance([[0.5, 0.0], [0.0, 0.5]]))
    (1.0, 0.0)

    References
    ----------
    C. Rajski 1961; G. Delsol, O. Rioul et al. 2024, arXiv 2306.15540.
    """
    if other is not None:
        return joint.rajski_distance(other)
    xp, p, out = grouped(joint, list(two(axes)), normalize)
    total = -xp.sum(xlogx(p), axis=(-2, -1))
    one = xp.ones_like(total)
    value = _variation(xp, p) / xp.where(total > 0, total, one)
    return result(xp, xp.where(total > 0, xp.where(value > 1, one, value), xp.zeros_like(total)), 1.0, out)


def _variation(xp: Any, p: Array) -> Array:
    swapped = xp.moveaxis(p, -1, -2)
    return conditional_entropy_of_groups(xp, p) + conditional_entropy_of_groups(xp, swapped)
