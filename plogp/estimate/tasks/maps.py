"""One-to-one maps of the variables of a task: they change every margin and leave the information as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from plogp.estimate.samples import Floats
from plogp.estimate.tasks.base import Task, transformed

__all__ = [
    "MAPS",
    "half_cubed",
    "mapped",
    "mixture_margin",
    "spiralled",
    "swiss_roll",
    "through_normal_cdf",
    "wiggled_x",
    "wiggled_y",
]

Map = Callable[[Floats], Floats]


def half_cubed(x: Floats) -> Floats:
    """Return ``x·sqrt|x|``: longer tails.

    >>> half_cubed(np.array([-4.0, 4.0]))
    array([-8.,  8.])
    """
    return np.asarray(x * np.sqrt(np.abs(x)))


def through_normal_cdf(x: Floats) -> Floats:
    """Return the normal distribution function at x: a standard normal margin becomes uniform.

    >>> through_normal_cdf(np.array([0.0]))
    array([0.5])
    """
    from scipy import special

    return np.asarray(special.ndtr(x))


def wiggled_x(x: Floats) -> Floats:
    """Return x plus three sine waves, an increasing function (its slope is at least 0.16)."""
    return np.asarray(x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5))


def wiggled_y(y: Floats) -> Floats:
    """Return y plus three other sine waves, an increasing function (its slope is at least 0.53)."""
    return np.asarray(y - 0.4 * np.sin(0.4 * y) + 0.17 * np.sin(1.3 * y + 3.5) + 0.02 * np.sin(4.3 * y - 2.5))


def spiralled(x: Floats, plane: tuple[int, int] = (0, 1), speed: float = 1.0) -> Floats:
    """Turn each row in a plane of two of its axes by the angle ``speed·|x|²``; the length stays, so it can be undone.

    >>> spiralled(np.array([[1.0, 0.0]]), speed=math.pi / 2).round(12)
    array([[0., 1.]])
    """
    i, j = plane
    angle = speed * np.sum(x * x, axis=1)
    cos, sin = np.cos(angle), np.sin(angle)
    out = np.array(x, dtype=np.float64)
    out[:, i] = cos * x[:, i] - sin * x[:, j]
    out[:, j] = sin * x[:, i] + cos * x[:, j]
    return out


def swiss_roll(x: Floats) -> Floats:
    """Roll a column of numbers in [0, 1] up in the plane: ``(t cos t, t sin t)/21``, t from 1.5π to 4.5π.

    >>> swiss_roll(np.array([[0.25]])).round(4)
    array([[0.238, 0.238]])
    """
    if x.ndim != 2 or x.shape[1] != 1:
        raise ValueError(f"a Swiss roll is made of one column, got an array of shape {x.shape}")
    t = 1.5 * math.pi * (1 + 2 * x)
    return np.hstack([t * np.cos(t), t * np.sin(t)]) / 21.0


def mixture_margin(z: Floats, weights: Sequence[float], means: Sequence[float]) -> Floats:
    """Turn standard normal numbers into numbers from a mixture of unit-variance normals, in the same order.

    The equation F(x) = Φ(z) is solved by bisection, on the upper tails where z > 0, to the last digits.

    >>> mixture_margin(np.array([-1.0, 2.0]), [1.0], [5.0])
    array([4., 7.])
    """
    from scipy import special

    w, m = np.asarray(weights, dtype=np.float64), np.asarray(means, dtype=np.float64)
    side = np.where(z > 0, -1.0, 1.0)
    goal = special.ndtr(side * z)
    # Every component of F at z + min(means) is at most Φ(z), and at z + max(means) at least.
    low, high = z + m.min(), z + m.max()
    for _ in range(60):
        middle = 0.5 * (low + high)
        share = special.ndtr(side[..., None] * (middle[..., None] - m)) @ w
        below = np.where(z > 0, share > goal, share < goal)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))


def _spiral_y(y: Floats) -> Floats:
    d = y.shape[1]
    if d < 2:
        raise ValueError(f"a spiral needs at least two columns, got {d}")
    return spiralled(y, (1, 2) if d > 2 else (0, 1), 1.0 / d)


def _spiral_x(x: Floats) -> Floats:
    if x.shape[1] < 2:
        raise ValueError(f"a spiral needs at least two columns, got {x.shape[1]}")
    return spiralled(x, (0, 1), 1.0 / x.shape[1])


#: By name: the maps of x and of y (None: left as it is).
MAPS: dict[str, tuple[Map | None, Map | None]] = {
    "asinh": (np.arcsinh, np.arcsinh),
    "bimodal": (
        lambda x: mixture_margin(x, (0.3, 0.7), (0.0, 5.0)),
        lambda y: mixture_margin(y, (0.5, 0.5), (-1.0, 3.0)),
    ),
    "cubic": (None, lambda y: y**3),
    "half_cube": (half_cubed, half_cubed),
    "normal_cdf": (through_normal_cdf, through_normal_cdf),
    "spiral": (_spiral_x, _spiral_y),
    "swiss_roll": (swiss_roll, None),
    "wiggly": (wiggled_x, wiggled_y),
}


def mapped(task: Task, *names: str) -> Task:
    """Return the task with its two variables sent through named one-to-one maps, the first name first.

    The truth stays. The names are those of `MAPS`:

    - ``"asinh"`` (shorter tails) and ``"half_cube"``, ``x·sqrt|x|`` (longer tails), of both variables;
    - ``"cubic"``: y³, x as it is;
    - ``"normal_cdf"``: both through the normal distribution function; standard normal margins become uniform;
    - ``"wiggly"``: both through increasing functions made of sine waves;
    - ``"bimodal"``: standard normal margins become two-peaked, 0.3 N(0,1) + 0.7 N(5,1) and ½ N(-1,1) + ½ N(3,1);
    - ``"spiral"``: each vector of d columns is turned by the angle |·|²/d, x in the plane of its first two
      axes, y in that of its second and third (of its first two where d = 2);
    - ``"swiss_roll"``: x, one column of numbers in [0, 1], becomes a rolled-up line in the plane.

    Raises
    ------
    ValueError
        For an unknown name, or (when drawing) for the wrong number of columns.

    Examples
    --------
    >>> from plogp.estimate.tasks import gaussian
    >>> task = mapped(gaussian(0.75), "normal_cdf", "swiss_roll")
    >>> task.name, task.sample(5, rng=0)[0].shape
    ('swiss_roll of normal_cdf of gaussian(rho=0.75, d=1)', (5, 2))

    Notes
    -----
    P. Czyż, F. Grabowski, J. E. Vogt, N. Beerenwinkel and A. Marx, NeurIPS 2023, arXiv 2306.11078.
    """
    for name in names:
        if name not in MAPS:
            raise ValueError(f"unknown map {name!r}; expected one of {', '.join(map(repr, MAPS))}")
        task = transformed(task, name, *MAPS[name])
    return task
