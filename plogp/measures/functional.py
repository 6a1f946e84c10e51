"""`Functional`: the plumbing that entropies and divergences share.

From the user's arrays to rows of floats of one dtype with the probability axis last, through the row sweep, to
a result in the user's own dtype and unit, with every refusal of bad input on the way. A subclass says only how
a row is reduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from plogp.measures.arrays import (
    Array,
    cast,
    check_axis,
    check_mass,
    detach,
    floats,
    given_dtype,
    is_traced,
    log_probabilities,
    logsumexp,
    normalized_logs,
    scalar,
    tolerance,
)
from plogp.measures.sweep import sweep

__all__ = ["Distribution", "Functional", "log_factor", "row_masses"]


class Distribution:
    """A distribution along the last axis, as probabilities `p` and logarithms `log_p`, each made when asked for.

    `zero` marks the states without mass (-inf in the log domain; a probability that merely underflows is not
    one of them). `some_zero` is False where it is known that there are none: NumPy arrays are asked, the values
    of other libraries are not looked at, which would wait for the device.
    """

    # Plain slots, filled when asked for: functools.cached_property holds one lock for all threads in 3.11.
    __slots__ = ("_finite_log_p", "_given", "_log_p", "_p", "_row_min", "_some_zero", "_zero", "given_logs", "xp")

    def __init__(self, xp: Any, p: Array = None, log_p: Array = None):
        self.xp, self._p, self._log_p = xp, p, log_p
        self.given_logs = log_p is not None
        self._given = log_p if self.given_logs else p
        self._row_min = self._zero = self._finite_log_p = None
        self._some_zero: bool | None = None

    @property
    def row_min(self) -> Array:
        """The smallest entry of each row, of what was given."""
        if self._row_min is None:
            self._row_min = self.xp.min(self._given, axis=-1)
        return self._row_min

    @property
    def some_zero(self) -> bool:
        """Whether there may be states without mass."""
        if self._some_zero is None:
            looked = isinstance(self._given, np.ndarray)
            nothing = -math.inf if self.given_logs else 0.0
            self._some_zero = not looked or bool((self.row_min <= nothing).any())
        return self._some_zero

    @property
    def zero(self) -> Array:
        """Mask of the states without mass."""
        if self._zero is None:
            self._zero = self._given == (-math.inf if self.given_logs else 0.0)
        return self._zero

    @property
    def p(self) -> Array:
        """Probabilities."""
        if self._p is None:
            self._p = self.xp.exp(self._log_p)
        return self._p

    @property
    def log_p(self) -> Array:
        """Logarithms, -inf where there is no mass."""
        if self._log_p is None:
            self._log_p = log_probabilities(self._p)
        return self._log_p

    @property
    def finite_log_p(self) -> Array:
        """Logarithms, finite where there is no mass: safe to multiply by p, in value and gradient."""
        if self._finite_log_p is None:
            xp, hide = self.xp, self.some_zero
            if self.given_logs:
                self._finite_log_p = (
                    xp.where(self.zero, xp.zeros_like(self._log_p), self._log_p) if hide else self._log_p
                )
            else:
                self._finite_log_p = xp.log(xp.where(self.zero, xp.ones_like(self._p), self._p) if hide else self._p)
        return self._finite_log_p


class Functional:
    """A function of one or more distributions over the same states, batched over leading axes."""

    name: ClassVar[str] = ""
    #: ``"nats"`` for logarithmic quantities; ``""`` for dimensionless ones, which take no `base`.
    unit: ClassVar[str] = "nats"
    #: Whether a row may be reduced piece by piece (a plain sum of terms).
    _additive: ClassVar[bool] = False
    #: Whether the arguments must be probability vectors.
    _on_simplex: ClassVar[bool] = True

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that, with the name, define the object."""
        return {}

    def _finish(self, xp: Any, reduced: Array) -> Array:
        """Turn what the sweep reduced into the value."""
        return reduced

    def _of_probabilities(
        self,
        reduce: Callable[..., Array],
        arrays: dict[str, Array],
        axis: int,
        base: float | None,
        normalize: bool,
        check: bool,
    ) -> Any:
        factor = self._factor(base)
        xp, rows, out = floats(**arrays)
        names = list(arrays)
        rows = _align(xp, rows, axis, names)
        length = rows[0].shape[-1]
        look = check and self._on_simplex and not is_traced(*rows)
        if normalize:
            masses = [row_masses(xp, x, name) for x, name in zip(rows, names)]
            rows = [*rows, *(xp.broadcast_to(mass, x.shape) for mass, x in zip(masses, rows))]

        def kernel(*blocks: Array) -> tuple[Array, ...]:
            if normalize:  # here and not before: the quotient of a large input would be as large again
                blocks = tuple(x / mass[..., :1] for x, mass in zip(blocks[: len(names)], blocks[len(names) :]))
            views = [Distribution(xp, p=x) for x in blocks]
            value = reduce(*views)
            if not look:
                return (value,)
            return (value, *(part for v in views for part in (xp.sum(v.p, axis=-1), v.row_min)))

        done = sweep(kernel, rows, ("sum", *("sum", "min") * len(names) * look), self._additive)
        if look:
            for name, mass, low in zip(names, done[1::2], done[2::2]):
                if math.prod(low.shape):
                    tol = tolerance(xp, given_dtype(arrays[name], out), length)
                    check_mass(float(detach(xp.min(low))), mass, xp, name, axis, tol)
        return self._result(xp, done[0], factor, out)

    def _of_logs(
        self,
        reduce: Callable[..., Array],
        arrays: dict[str, Array],
        axis: int,
        base: float | None,
        check: bool,
        logits: bool,
    ) -> Any:
        factor = self._factor(base)
        xp, rows, out = floats(**arrays)
        names = list(arrays)
        rows = _align(xp, rows, axis, names)
        length = rows[0].shape[-1]

        def kernel(*blocks: Array) -> tuple[Array, ...]:
            if logits:
                both = [normalized_logs(x) for x in blocks]
                logs, norms = [log for log, _ in both], [norm for _, norm in both]
            else:
                logs, norms = list(blocks), [logsumexp(x, keepdims=True) for x in blocks] if look else []
            value = reduce(*(Distribution(xp, log_p=x) for x in logs))
            return (value, *(norm[..., 0] for norm in norms)) if look else (value,)

        look = check and (logits or self._on_simplex) and not is_traced(*rows)
        done = sweep(kernel, rows, ("sum",) * (1 + len(rows) * look), additive=False)
        for name, norm in zip(names, done[1:]):
            _check_log_mass(xp, norm, name, None if logits else tolerance(xp, given_dtype(arrays[name], out), length))
        return self._result(xp, done[0], factor, out)

    def _factor(self, base: float | None) -> float:
        if base is not None and self.unit != "nats":
            raise ValueError(f"base={base!r} has no meaning for {self!r}: its values are dimensionless")
        return log_factor(base)

    def _result(self, xp: Any, reduced: Array, factor: float, dtype: Any) -> Any:
        value = self._finish(xp, reduced)
        return scalar(cast(xp, value if factor == 1.0 else value * factor, dtype))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Functional) and type(self) is type(other) and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))


def log_factor(base: float | None) -> float:
    """Return what turns nats into units of log `base`; 1 for None.

    >>> log_factor(None)
    1.0
    """
    if base is None:
        return 1.0
    if not (base > 0 and base != 1 and math.isfinite(base)):
        raise ValueError(f"base must be a positive number other than 1, got {base!r}")
    return 1.0 / math.log(base)


def _align(xp: Any, arrays: list[Array], axis: int, names: list[str]) -> list[Array]:
    """Move the probability axis last and broadcast the arrays against each other."""
    moved = []
    for x, name in zip(arrays, names):
        place = check_axis(x.shape, axis, name)
        if x.shape[place] == 0:
            raise ValueError(f"{name} is empty along its probability axis (shape {tuple(x.shape)})")
        moved.append(x if place == x.ndim - 1 else xp.moveaxis(x, place, -1))
    if len({x.shape for x in moved}) == 1:
        return moved
    shapes = " and ".join(str(tuple(x.shape)) for x in arrays)
    if len({x.shape[-1] for x in moved}) > 1:
        sizes = " and ".join(str(x.shape[-1]) for x in moved)
        raise ValueError(
            f"{' and '.join(names)} must have the same number of states, got {sizes} (shapes {shapes}, axis {axis})"
        )
    try:
        return list(xp.broadcast_arrays(*moved))
    except Exception as error:
        raise ValueError(f"the batch shapes of {' and '.join(names)} do not match: {shapes}") from error


def row_masses(xp: Any, p: Array, name: str) -> Array:
    """Return the mass of each row, the axis kept, or say that a row cannot be divided by it."""
    (mass,) = sweep(lambda block: (xp.sum(block, axis=-1),), [p], ("sum",), additive=True)
    mass = mass[..., None]
    if not is_traced(mass) and math.prod(mass.shape) and not bool(xp.all((mass > 0) & (mass < math.inf))):
        raise ValueError(f"{name} cannot be normalised: a row has mass {float(xp.min(mass)):.6g}")
    return mass


def _check_log_mass(xp: Any, norm: Array, name: str, tol: float | None) -> None:
    """Judge log Σ exp of each row: it must be finite, and 0 where log-probabilities were promised."""
    if math.prod(norm.shape) == 0:
        return
    flat = detach(xp.reshape(norm, (-1,)))
    bad = ~xp.isfinite(flat)
    if bool(xp.any(bad)):
        row = int(xp.argmax(xp.astype(bad, xp.int8)))
        what = "is masked (-inf) throughout" if float(flat[row]) == -math.inf else "holds NaN or +inf"
        raise ValueError(f"row {row} of {name} {what}; expected at least one finite entry")
    if tol is not None and bool(xp.any(xp.abs(flat) > tol)):
        row = int(xp.argmax(xp.abs(flat)))
        raise ValueError(
            f"row {row} of {name} has mass {math.exp(min(700.0, float(flat[row]))):.6g}; expected normalised "
            "log-probabilities (from_logits normalises for you)"
        )
