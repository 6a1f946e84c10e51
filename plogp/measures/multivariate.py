"""Information of several variables: total and dual total correlation, O-, S- and co-information.

The non-negative ones are summed by the chain rule from conditional mutual informations, each in non-negative
terms, so that independence gives 0 to within rounding squared and never a negative number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from plogp.measures.arrays import Array, xlogx
from plogp.measures.entropy import entropy
from plogp.measures.functional import log_factor
from plogp.measures.grouping import Variable, all_axes, grouped, result
from plogp.measures.information import information_of_groups
from plogp.measures.registry import divergence

__all__ = [
    "co_information",
    "dual_total_correlation",
    "interaction_information",
    "joint_entropy",
    "o_information",
    "s_information",
    "total_correlation",
]


def joint_entropy(
    joint: Array, axes: Variable | None = None, *, base: float | None = None, normalize: bool = False
) -> Any:
    """Return the Shannon entropy of the variables on `axes`, taken together.

    Parameters
    ----------
    joint : array
        Joint probabilities, one axis per variable.
    axes : int or sequence of int, optional
        The variables' axes; the others are batch axes. By default all axes.
    base : float, optional
        Logarithm base; nats by default.
    normalize : bool
        Divide by the mass first.

    Raises
    ------
    ValueError
        If `joint` is no distribution over `axes`.

    Examples
    --------
    >>> float(joint_entropy([[0.25, 0.25], [0.25, 0.25]], base=2))
    2.0

    References
    ----------
    C. E. Shannon 1948.
    """
    xp, p, out = grouped(joint, [all_axes(joint) if axes is None else axes], normalize)
    return result(xp, xp.asarray(entropy(p, base=base, check=False)), 1.0, out)


def total_correlation(
    joint: Array,
    axes: Sequence[Variable] | None = None,
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``Σ H(X_i) - H(X_1..X_n)``, the divergence from independence (multi-information).

    Parameters
    ----------
    joint : array
        Joint probabilities, one axis per variable.
    axes : sequence of (int or sequence of int), optional
        The variables; the other axes are batch axes. By default every axis is a variable.
    base : float, optional
        Logarithm base; nats by default.
    normalize : bool
        Divide by the mass first.

    Returns
    -------
    array
        Non-negative, 0 iff the variables are independent.

    Raises
    ------
    ValueError
        If `joint` is no distribution over these axes, or fewer than two variables are named.

    Examples
    --------
    >>> xor = [[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]]
    >>> round(float(total_correlation(xor, base=2)), 9)
    1.0

    References
    ----------
    S. Watanabe 1960.
    """
    factor = log_factor(base)
    xp, p, out = _variables(joint, axes, normalize)
    n = _count(p, joint, axes)
    # The chain rule: each variable against all that come before it.
    value = _chain(xp, p, n, [((i,), tuple(range(i)), ()) for i in range(1, n)])
    return result(xp, value, factor, out)


def dual_total_correlation(
    joint: Array,
    axes: Sequence[Variable] | None = None,
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``H(X_1..X_n) - Σ H(X_i | the others)``, the information shared by two or more variables.

    Parameters
    ----------
    joint, axes, base, normalize
        As in `total_correlation`.

    Returns
    -------
    array
        Non-negative, 0 iff the variables are independent.

    Examples
    --------
    >>> xor = [[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]]
    >>> round(float(dual_total_correlation(xor, base=2)), 9)
    2.0

    References
    ----------
    T. S. Han 1978; S. Abdallah and M. Plumbley 2012 (binding information).
    """
    factor = log_factor(base)
    xp, p, out = _variables(joint, axes, normalize)
    return result(xp, _dual(xp, p, _count(p, joint, axes)), factor, out)


def o_information(
    joint: Array,
    axes: Sequence[Variable] | None = None,
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return total minus dual total correlation: positive where redundancy prevails, negative where synergy.

    Parameters
    ----------
    joint, axes, base, normalize
        As in `total_correlation`.

    Examples
    --------
    >>> xor = [[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]]
    >>> round(float(o_information(xor, base=2)), 9)
    -1.0

    References
    ----------
    F. Rosas, P. Mediano, M. Gastpar, H. Jensen 2019, arXiv 1902.11239.
    """
    options: dict[str, Any] = {"base": base, "normalize": normalize}
    return total_correlation(joint, axes, **options) - dual_total_correlation(joint, axes, **options)


def s_information(
    joint: Array,
    axes: Sequence[Variable] | None = None,
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return total plus dual total correlation, ``Σ I(X_i; the others)``: all the interdependence there is.

    Parameters
    ----------
    joint, axes, base, normalize
        As in `total_correlation`.

    Examples
    --------
    >>> xor = [[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]]
    >>> round(float(s_information(xor, base=2)), 9)
    3.0

    References
    ----------
    R. James, C. Ellison, J. Crutchfield 2011; F. Rosas et al. 2019, arXiv 1902.11239.
    """
    options: dict[str, Any] = {"base": base, "normalize": normalize}
    return total_correlation(joint, axes, **options) + dual_total_correlation(joint, axes, **options)


def co_information(
    joint: Array,
    axes: Sequence[Variable] | None = None,
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return ``-Σ over non-empty S of (-1)^|S| H(X_S)``, the centre of the information diagram.

    For two variables it is I(X;Y); for three, ``I(X;Y) - I(X;Y|Z)``, positive for redundancy and negative
    for synergy. `interaction_information` is the same number with the sign of McGill.

    Parameters
    ----------
    joint, axes, base, normalize
        As in `total_correlation`; the cost grows as 2^n.

    Examples
    --------
    >>> xor = [[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]]
    >>> round(float(co_information(xor, base=2)), 9)
    -1.0

    References
    ----------
    A. J. Bell 2003; R. W. Yeung 1991.
    """
    factor = log_factor(base)
    xp, p, out = _variables(joint, axes, normalize)
    n = _count(p, joint, axes)
    first = p.ndim - n
    value = xp.zeros_like(xp.sum(p, axis=tuple(range(first, p.ndim))))
    for size in range(1, n + 1):
        for kept in itertools.combinations(range(n), size):
            away = tuple(first + i for i in range(n) if i not in kept)
            marginal = xp.sum(p, axis=away) if away else p
            entropy = -xp.sum(xlogx(marginal), axis=tuple(range(first, first + size)))
            value = value - (-1.0) ** size * entropy
    return result(xp, value, factor, out)


def interaction_information(
    joint: Array,
    axes: Sequence[Variable] | None = None,
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return McGill's interaction information, ``(-1)^n`` times the co-information.

    For two variables it is I(X;Y); for three, ``I(X;Y|Z) - I(X;Y)``, positive for synergy and negative for
    redundancy.

    Parameters
    ----------
    joint, axes, base, normalize
        As in `total_correlation`; the cost grows as 2^n.

    Examples
    --------
    >>> xor = [[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]]
    >>> round(float(interaction_information(xor, base=2)), 9)
    1.0

    References
    ----------
    W. J. McGill 1954.
    """
    value = co_information(joint, axes, base=base, normalize=normalize)
    n = len(all_axes(joint)) if axes is None else len(axes)
    return value if n % 2 == 0 else -value


def _dual(xp: Any, p: Array, n: int) -> Array:
    # The chain rule again: each variable against those before it, given those after it.
    return _chain(xp, p, n, [((i,), tuple(range(i)), tuple(range(i + 1, n))) for i in range(1, n)])


def _chain(xp: Any, p: Array, n: int, splits: Sequence[tuple[tuple[int, ...], ...]]) -> Array:
    """Return the sum of I(X;Y|Z) over triples of groups of the last n axes."""
    kl, first = divergence("kl"), p.ndim - n
    total: Array = None
    for groups in splits:
        used = [i for group in groups for i in group]
        away = tuple(first + i for i in range(n) if i not in used)
        rest = xp.sum(p, axis=away) if away else p
        order = sorted(used)
        places = [first + order.index(i) for i in used]
        rest = xp.permute_dims(rest, (*range(first), *places))
        shape = [math.prod(p.shape[first + i] for i in group) for group in groups]
        part = information_of_groups(xp, xp.reshape(rest, (*rest.shape[:first], *shape)), kl, None)
        total = part if total is None else total + part
    return total


def _variables(joint: Any, axes: Sequence[Variable] | None, normalize: bool) -> tuple[Any, Array, Any]:
    return grouped(joint, all_axes(joint) if axes is None else list(axes), normalize)


def _count(p: Array, joint: Any, axes: Sequence[Variable] | None) -> int:
    n = p.ndim if axes is None else len(axes)
    if n < 2:
        raise ValueError(f"at least two variables are needed, got {n} (joint of shape {tuple(p.shape)})")
    return n
