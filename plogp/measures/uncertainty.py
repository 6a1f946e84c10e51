"""`Estimate`: a number from samples with its uncertainty.

Every estimator of the library returns one, on whatever floor it lives, so the class is on the lowest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["UNITS", "Draws", "Estimate", "Normal", "convert_unit"]

#: How many of each unit make one nat. The empty unit belongs to dimensionless numbers (total variation...).
UNITS: Mapping[str, float] = {"nats": 1.0, "bits": 1.0 / math.log(2.0), "bans": 1.0 / math.log(10.0)}

IntervalLaw = Callable[[float], tuple[float, float]]


def convert_unit(unit: str, to: str) -> float:
    """Return the factor that turns a number in `unit` into one in `to`.

    >>> convert_unit("bits", "nats")
    0.6931471805599453
    """
    if unit == to:
        return 1.0
    for name in (unit, to):
        if name not in UNITS:
            known = ", ".join(repr(u) for u in UNITS)
            raise ValueError(
                f"unit {name!r} cannot be converted: this number is "
                f"{'dimensionless' if name == '' else 'in an unknown unit'}; expected one of {known}"
            )
    return UNITS[to] / UNITS[unit]


@dataclass(frozen=True)
class Normal:
    """Interval law `value ± z·se`, or Student's t with `df` degrees of freedom."""

    value: float
    se: float
    df: float | None = None

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval of probability `level`."""
        from scipy import special

        upper = 0.5 + level / 2
        z = special.ndtri(upper) if self.df is None else special.stdtrit(self.df, upper)
        half = float(z) * self.se
        return self.value - half, self.value + half


@dataclass(frozen=True, eq=False)
class Draws:
    """Interval law from draws of a posterior or of a sampling distribution: equal-tailed quantiles."""

    draws: npt.NDArray[np.float64]

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval of probability `level`."""
        low, high = np.quantile(self.draws, [0.5 - level / 2, 0.5 + level / 2])
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number estimated from samples: its value, its standard error, its interval, and how it came about.

    Parameters
    ----------
    value : float
        The point estimate, in `unit`. Negative values of non-negative quantities keep their sign.
    se : float or None
        Standard error, or None where the method gives only an interval.
    n : int
        Number of samples.
    method : str
        The estimator with its parameters, as a reader would cite it: ``"ksg1(k=4)"``.
    unit : str
        ``"nats"``, ``"bits"``, ``"bans"``, or ``""`` for a dimensionless number.
    law : callable or None
        ``law(level) -> (low, high)`` in nats (or dimensionless). By default the normal law with `se`.
    p_value : float or None
        Of the null hypothesis named in ``diagnostics["null"]``.
    terms : array or None
        Per-sample terms whose mean is the value up to a constant; they let differences of estimates from
        the same samples carry a correct standard error.
    sample : object or None
        Identity of the samples; terms are combined only where it is the same object.
    diagnostics : mapping
        Whatever a careful reader would ask for: k, number of bins, convergence, device, warnings.

    Examples
    --------
    >>> e = Estimate(0.6931471805599453, se=0.05, n=300, method="plugin")
    >>> e
    Estimate(0.693 ± 0.05 nats, 95 % [0.595, 0.791], n=300, plugin)
    >>> e.to("bits").value
    1.0
    >>> low, high = e.interval(0.95)
    >>> round(low, 3), round(high, 3)
    (0.595, 0.791)
    >>> Estimate(-0.01, se=0.02, n=300, method="ksg1(k=4)")
    Estimate(-0.01 ± 0.02 nats, 95 % [-0.0492, 0.0292], n=300, ksg1(k=4), not distinguishable from 0)
    """

    value: float
    se: float | None = None
    n: int = 0
    method: str = ""
    unit: str = "nats"
    law: IntervalLaw | None = None
    p_value: float | None = None
    terms: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    sample: object | None = field(default=None, repr=False)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    _scale: float = field(default=1.0, repr=False)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence (or credible) interval of probability `level`, in the estimate's unit.

        Raises
        ------
        ValueError
            If `level` is not between 0 and 1, or the method gives no interval.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}")
        if self.law is not None:
            low, high = self.law(level)
            ends = (low * self._scale, high * self._scale)
            return min(ends), max(ends)
        if self.se is None:
            why = self.diagnostics.get("no_interval", "the method does not provide one")
            raise ValueError(f"{self.method or 'this estimate'} has no interval: {why}")
        return Normal(self.value, self.se)(level)

    @property
    def has_interval(self) -> bool:
        """Whether `interval` answers."""
        return self.law is not None or self.se is not None

    def distinguishable(self, null: float = 0.0, level: float = 0.95) -> bool:
        """Whether the interval of probability `level` leaves `null` out."""
        low, high = self.interval(level)
        return not low <= null <= high

    def to(self, unit: str) -> Estimate:
        """Return the same estimate in another unit (``"nats"``, ``"bits"``, ``"bans"``)."""
        if unit == self.unit:
            return self
        scaled = self._times(convert_unit(self.unit, unit))
        return replace(scaled, unit=unit)

    def to_dict(self, level: float = 0.95) -> dict[str, Any]:
        """Return ``{value, low, high, unit}`` and what else is known, as JSON can hold it."""
        low, high = self.interval(level) if self.has_interval else (None, None)
        out: dict[str, Any] = {"value": _json(self.value), "low": _json(low), "high": _json(high)}
        out |= {"unit": self.unit, "se": _json(self.se), "n": int(self.n), "method": self.method}
        if self.p_value is not None:
            out["p_value"] = _json(self.p_value)
        return out

    def _times(self, factor: float) -> Estimate:
        return replace(
            self,
            value=self.value * factor,
            se=None if self.se is None else self.se * abs(factor),
            terms=None if self.terms is None else self.terms * factor,
            _scale=self._scale * factor,
        )

    def __mul__(self, factor: float) -> Estimate:
        if not isinstance(factor, (int, float, np.floating, np.integer)):
            return NotImplemented
        return self._times(float(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Estimate:
        return self * (1.0 / divisor)

    def __neg__(self) -> Estimate:
        return self._times(-1.0)

    def __add__(self, other: Estimate | float) -> Estimate:
        if isinstance(other, (int, float, np.floating, np.integer)):
            law = None if self.law is None else _Shifted(self.law, self._scale, float(other))
            return replace(self, value=self.value + float(other), law=law, _scale=1.0)
        if not isinstance(other, Estimate):
            return NotImplemented
        other = other.to(self.unit)
        value, method = self.value + other.value, f"{self.method} + {other.method}"
        paired = self.sample is not None and self.sample is other.sample
        if paired and self.terms is not None and other.terms is not None:
            terms = self.terms + other.terms
            se = float(np.std(terms, ddof=1) / math.sqrt(len(terms)))
            return Estimate(value, se, self.n, method, self.unit, terms=terms, sample=self.sample)
        if paired:
            note = {"no_interval": "the two estimates share their samples but carry no per-sample terms"}
            return Estimate(value, None, self.n, method, self.unit, diagnostics=note)
        if self.se is None or other.se is None:
            note = {"no_interval": "one of the summands has no standard error"}
            return Estimate(value, None, min(self.n, other.n), method, self.unit, diagnostics=note)
        note = {"assumes": "the two estimates come from independent samples"}
        se = math.hypot(self.se, other.se)
        return Estimate(value, se, min(self.n, other.n), method, self.unit, diagnostics=note)

    __radd__ = __add__

    def __sub__(self, other: Estimate | float) -> Estimate:
        difference = self + (-other)
        return (
            replace(difference, method=f"{self.method} - {other.method}") if isinstance(other, Estimate) else difference
        )

    def __rsub__(self, other: float) -> Estimate:
        return -self + other

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        parts = [f"{self.value:.3g}" + ("" if self.se is None else f" ± {self.se:.2g}")]
        if self.unit:
            parts[0] += f" {self.unit}"
        if self.has_interval:
            low, high = self.interval(0.95)
            parts.append(f"95 % [{low:.3g}, {high:.3g}]")
        parts.append(f"n={self.n}")
        if self.method:
            parts.append(self.method)
        if self.p_value is not None:
            parts.append(f"p={self.p_value:.2g}")
        if self.has_interval and not self.distinguishable():
            parts.append("not distinguishable from 0")
        return f"Estimate({', '.join(parts)})"


@dataclass(frozen=True)
class _Shifted:
    """An interval law moved by a constant, after an earlier rescaling."""

    law: IntervalLaw
    scale: float
    shift: float

    def __call__(self, level: float) -> tuple[float, float]:
        low, high = self.law(level)
        return low * self.scale + self.shift, high * self.scale + self.shift


def _json(x: float | None) -> float | str | None:
    """Return a number as strict JSON holds it: infinities and NaN as text."""
    if x is None:
        return None
    x = float(x)
    return x if math.isfinite(x) else {math.inf: "inf", -math.inf: "-inf"}.get(x, "nan")
