"""Joint tables by their axes: group the axes into variables, check the mass, scale the result.

A joint table is an array of probabilities with one axis per variable. The axes that a call does not name are
batch axes; the named ones are moved to the end and each variable's axes are flattened into one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import Array, cast, check_axis, check_probabilities, floats, is_traced, scalar

__all__ = ["Variable", "all_axes", "float64", "grouped", "last", "mass_one", "result", "two"]

#: One variable of a joint table: an axis, or several axes taken together.
Variable = int | Sequence[int]


def grouped(joint: Any, groups: Sequence[Variable], normalize: bool) -> tuple[Any, Array, Any]:
    """Return the table with axes (batch..., group 1, group 2, ...), each group flattened into one axis."""
    xp, (p,), out = floats(joint=joint)
    places = [tuple(check_axis(p.shape, a, "joint") for a in _axes_of(g)) for g in groups]
    named = [a for group in places for a in group]
    if len(set(named)) < len(named):
        raise ValueError(f"an axis of joint is named twice: {list(groups)!r}")
    batch = [a for a in range(p.ndim) if a not in named]
    sizes = [math.prod(p.shape[a] for a in group) for group in places]
    shape = (*(p.shape[a] for a in batch), *sizes)
    order = (*batch, *named)
    if order != tuple(range(p.ndim)):
        p = xp.permute_dims(p, order)
    p = p if p.shape == shape else xp.reshape(p, shape)
    axes = tuple(range(p.ndim - len(groups), p.ndim))
    return xp, mass_one(xp, p, axes, "joint", normalize, out), out


def all_axes(joint: Any) -> list[int]:
    """Return every axis of the table."""
    _, (p,), _ = floats(joint=joint)
    return list(range(p.ndim))


def two(axes: tuple[Variable, Variable]) -> tuple[Variable, Variable]:
    """Return the two variables that `axes` names, or say that it does not name two."""
    if len(axes) != 2:
        raise ValueError(f"axes must name two variables, got {axes!r}")
    return axes[0], axes[1]


def _axes_of(variable: Any) -> Sequence[int]:
    return variable if isinstance(variable, Sequence) else (variable,)


def last(xp: Any, x: Array, axis: int, name: str) -> Array:
    """Return `x` with the probability axis moved to the end."""
    place = check_axis(x.shape, axis, name)
    return x if place == x.ndim - 1 else xp.moveaxis(x, place, -1)


def mass_one(xp: Any, p: Array, axes: tuple[int, ...], name: str, normalize: bool, dtype: Any) -> Array:
    """Return probabilities of mass 1 over `axes`: checked, and divided by their mass where asked."""
    if normalize:
        mass = xp.sum(p, axis=axes, keepdims=True)
        if not is_traced(mass) and not bool(xp.all((mass > 0) & (mass < math.inf))):
            raise ValueError(f"{name} cannot be normalised: its mass is {float(xp.min(mass)):.6g}")
        p = p / mass
    check_probabilities(p, axes if len(axes) > 1 else axes[0], name, dtype=dtype)
    return p


def float64(x: Any) -> npt.NDArray[np.float64]:
    """Return an array of any library as NumPy float64, cut off from differentiation."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=np.float64)


def result(xp: Any, value: Array, factor: float, dtype: Any) -> Any:
    """Return the value scaled, in the dtype that was given."""
    return scalar(cast(xp, value if factor == 1.0 else value * factor, dtype))
