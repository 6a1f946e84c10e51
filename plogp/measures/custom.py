"""Divergences from a user's own convex function."""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from plogp.measures.arrays import Array
from plogp.measures.divergence import Divergence

__all__ = ["FromGenerator", "from_generator"]

Function = Callable[[Array], Array]


class FromGenerator(Divergence):
    """An f-divergence of a function given by the user; built by :func:`from_generator`."""

    unit = ""

    def __init__(self, f: Function, df: Function, d2f: Function, name: str, f0: float, finf: float, unit: str):
        self._f, self._slope, self._bend = f, df, d2f
        self.name, self.unit = name, unit  # type: ignore[misc]
        one = np.float64(1.0)
        kink = _has_kink(f)
        # At a kink any slope between those of the two sides will do: the middle favours neither argument.
        slope = float(f(one + 1e-6) - f(one - 1e-6)) / 2e-6 if kink else float(df(one))
        self._at_one, self._slope_at_one = float(f(one)), slope
        self.f0 = max(0.0, f0 - self._at_one + slope)
        self.finf = max(0.0, finf - slope)
        self.curvature = math.inf if kink else float(d2f(one))
        # Where f(t)/t has a limit, ratios so large that f itself overflows are taken as the largest that does not.
        self._reach = _reach(f, 690.0) if math.isfinite(self.finf) else 690.0
        self.df0, self.df0_swapped = self._slope_at_zero(), self._swapped_slope_at_zero()

    @property
    def parameters(self) -> dict[str, Any]:
        given = {"f": self._f, "df": self._slope, "d2f": self._bend, "name": self.name, "unit": self.unit}
        return given | {"f0": self.f0, "finf": self.finf}

    def _standard(self, t: Array) -> Array:
        return self._f(t) - self._at_one - self._slope_at_one * (t - 1.0)

    def _lower(self, xp: Any, r: Array) -> Array:
        return self._standard(xp.exp(xp.where(r < -690.0, xp.full_like(r, -690.0), r)))

    def _upper(self, xp: Any, s: Array) -> Array:
        s = xp.where(s < -self._reach, xp.full_like(s, -self._reach), s)
        return xp.exp(s) * self._standard(xp.exp(-s))

    def _df(self, xp: Any, r: Array) -> Array:
        return self._slope(xp.exp(r)) - self._slope_at_one

    def _d2f(self, xp: Any, r: Array) -> Array:
        return self._bend(xp.exp(r))

    def _slope_at_zero(self) -> float:
        if isinstance(self._slope, Derivative) and not self._slope.exact:
            if not math.isfinite(self.f0):
                return -math.inf
            # Differences of f are lost in rounding near 0; secants from f(0) are good down to e^-14.
            return -_limit(lambda r: (self.f0 - float(self._standard(np.exp(-r)))) * math.exp(r), 14.0)
        return -_limit(lambda r: -float(self._df(np, np.float64(-r))), 300.0)

    def _swapped_slope_at_zero(self) -> float:
        if not math.isfinite(self.finf):
            return -math.inf
        # The swapped generator starts with the slope lim f(t) - f'(∞) t.
        return -_limit(lambda r: self.finf * math.exp(r) - float(self._standard(np.exp(r))), 14.0)

    def __repr__(self) -> str:
        return f"from_generator({self.name!r})"


def from_generator(
    f: Function,
    df: Function | None = None,
    d2f: Function | None = None,
    *,
    name: str = "custom",
    f0: float | None = None,
    finf: float | None = None,
    unit: str = "",
) -> Divergence:
    """Return the f-divergence of a convex function f on (0, ∞); f(1) = 0 and f'(1) = 0 are not needed.

    Parameters
    ----------
    f : callable
        Elementwise on arrays. Written with operators only, it works on every array library.
    df, d2f : callable, optional
        Derivatives. Missing ones come from automatic differentiation where `f` accepts PyTorch or JAX arrays
        and one of these libraries has been imported, else from a complex step or central differences; where
        they are differences, a warning says so.
    name : str
        How the divergence prints.
    f0, finf : float, optional
        The limits f(0) and lim f(t)/t; found numerically by default.
    unit : str
        ``"nats"`` if f is a logarithmic quantity, so that `base=` has a meaning.

    Returns
    -------
    Divergence
        Works wherever a named one does.

    Raises
    ------
    ValueError
        If f is not convex, or not finite at 1.

    Examples
    --------
    >>> import plogp as pl
    >>> square = from_generator(lambda t: t * t, lambda t: 2 * t, lambda t: 2 + 0 * t, name="my chi2")
    >>> bool(np.isclose(square([0.5, 0.5], [0.9, 0.1]), pl.divergence("chi2")([0.5, 0.5], [0.9, 0.1])))
    True
    """
    with np.errstate(all="ignore"):
        _check_convex(f)
        if df is None:
            df = _derivative(f, 1, name)
        if d2f is None:
            d2f = _derivative(f, 2, name)
        if f0 is None:
            f0 = float(f(np.float64(0.0)))
            if not math.isfinite(f0):
                f0 = _limit(lambda r: float(f(np.exp(-r))), 300.0)
        if finf is None:
            finf = _limit(lambda r: float(f(np.exp(r))) * math.exp(-r), _reach(f, 300.0))
        return FromGenerator(f, df, d2f, name, f0, finf, unit)


def _check_convex(f: Function) -> None:
    try:
        at_one = float(f(np.float64(1.0)))
    except Exception as error:
        raise TypeError("f must accept NumPy numbers and arrays and return the same") from error
    if not math.isfinite(at_one):
        raise ValueError(f"f must be finite at 1, got f(1) = {at_one}")
    t = np.exp(np.linspace(-12.0, 12.0, 2001))
    values = np.asarray(f(t), dtype=float)
    if values.shape != t.shape:
        raise ValueError(f"f must work elementwise: it turned shape {t.shape} into {values.shape}")
    slopes = np.diff(values) / np.diff(t)
    scale = np.maximum(np.abs(values[1:]), 1.0) / np.diff(t)
    drop = np.diff(slopes) < -1e-9 * (np.abs(slopes[1:]) + 1e-6 * scale[1:])
    if not np.isfinite(values).all() or drop.any():
        where = t[int(np.argmax(drop)) + 1] if drop.any() else t[int(np.argmin(np.isfinite(values)))]
        raise ValueError(f"f must be convex and finite on (0, ∞); it is not near t = {where:.4g}")


def _reach(f: Function, largest: float) -> float:
    """Return the largest r of `largest`, `largest`/2, ... with f(e^r) finite."""
    r = largest
    while r > 1.0 and not math.isfinite(float(f(np.exp(r)))):
        r /= 2.0
    return r


def _limit(value: Callable[[float], float], end: float) -> float:
    """Return the limit of an increasing function of r (a logarithm) for r → ∞, from six values up to r = `end`.

    A limit is approached as e^(-cr), so that successive differences shrink by a constant factor, and the rest of
    the series can be added. They do not shrink so where the function grows for ever: for r itself they are equal,
    for log r they shrink more and more slowly.
    """
    v = [value(end * k / 6.0) for k in range(1, 7)]
    if any(math.isnan(x) for x in v):
        raise ValueError("f has no limit that can be found numerically: give f0 and finf")
    if not all(map(math.isfinite, v)):
        return math.inf
    steps = [b - a for a, b in itertools.pairwise(v)]
    noise = 1e-9 * max(1.0, abs(v[-1]))
    if abs(steps[-1]) <= noise:
        return v[-1]
    if not all(step > 0.0 for step in steps[-3:]):
        return math.inf if steps[-1] > 0.0 else v[-1]
    before, ratio = steps[-2] / steps[-3], steps[-1] / steps[-2]
    if ratio >= 0.9995 or ratio > before * (1.0 + 0.02 * (1.0 - before)) + 1e-6:
        return math.inf
    return v[-1] + steps[-1] * ratio / (1.0 - ratio)


def _has_kink(f: Function) -> bool:
    """Whether the slope of f jumps at 1: then the change of slope over an interval does not shrink with it."""

    def jump(h: float) -> float:
        left, middle, right = (float(f(np.float64(t))) for t in (1.0 - h, 1.0, 1.0 + h))
        return (right - middle) / h - (middle - left) / h

    scale = abs(float(f(np.float64(1.0)))) + abs(float(f(np.float64(2.0))))
    return jump(1e-3) > 1e-8 * scale and jump(1e-5) > 0.5 * jump(1e-3)


@dataclass(frozen=True)
class Derivative:
    """f' or f'' of a user's function: automatic where `f` takes tensors, else by a complex step or differences.

    f(t + ih) has the imaginary part h f'(t) without any difference being formed, for functions made of arithmetic,
    powers, logarithms and the like; a function with a kink, which this does not suit, gets central differences.
    """

    f: Function
    order: int
    automatic: bool
    complex_step: bool

    @property
    def exact(self) -> bool:
        """Whether the values are good to rounding."""
        return self.automatic or (self.complex_step and self.order == 1)

    def __call__(self, t: Array) -> Array:
        """Return the derivative at t > 0, in the library of `t`."""
        torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
        if torch is not None and isinstance(t, torch.Tensor):
            return _torch_derivative(torch, self.f, t, self.order)
        if jax is not None and isinstance(t, jax.Array):
            g = jax.grad(self.f) if self.order == 1 else jax.grad(jax.grad(self.f))
            return jax.vmap(g)(t.reshape(-1)).reshape(t.shape)
        if torch is not None and self.automatic:
            exact = _torch_derivative(torch, self.f, torch.as_tensor(np.asarray(t, dtype=np.float64)), self.order)
            return exact.detach().numpy()[()]
        return self._first(t) if self.order == 1 else self._second(t)

    def _first(self, t: Array) -> Array:
        if self.complex_step:
            return np.imag(self.f(t + 1e-30j * t)) / (1e-30 * t)
        step = 1e-5 * t
        return (self.f(t + step) - self.f(t - step)) / (2.0 * step)

    def _second(self, t: Array) -> Array:
        if self.complex_step:
            step = 1e-5 * t
            return (self._first(t + step) - self._first(t - step)) / (2.0 * step)
        step = 1e-3 * t
        return (self.f(t + step) - 2.0 * self.f(t) + self.f(t - step)) / (step * step)


def _derivative(f: Function, order: int, name: str) -> Function:
    """Return f' or f'' by the best way that `f` allows, with a warning where that is differences."""
    torch = sys.modules.get("torch")
    reason = "PyTorch is not imported"
    if torch is not None:
        try:
            _torch_derivative(torch, f, torch.tensor(2.0, dtype=torch.float64), order)
            return Derivative(f, order, automatic=True, complex_step=_takes_complex(f))
        except Exception as error:  # f is written for NumPy alone
            reason = f"f does not accept tensors ({type(error).__name__})"
    found = Derivative(f, order, automatic=False, complex_step=_takes_complex(f))
    if not found.exact:
        warnings.warn(
            f"{name}: derivative {order} of f is taken by central differences, because {reason}; "
            "pass df= and d2f= for exact ones",
            stacklevel=3,
        )
    return found


def _takes_complex(f: Function) -> bool:
    """Whether the complex step agrees with central differences."""
    t = np.array([0.05, 0.3, 0.7, 1.5, 3.0, 20.0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Derivative(f, 1, automatic=False, complex_step=True)._first(t)
    except Exception:  # complex numbers are nothing to f
        return False
    differences = Derivative(f, 1, automatic=False, complex_step=False)._first(t)
    scale = 1.0 + np.abs(differences)
    return np.shape(found) == t.shape and bool((np.abs(found - differences) < 1e-5 * scale).all())


def _torch_derivative(torch: Any, f: Function, t: Any, order: int) -> Any:
    with torch.enable_grad():
        x = t if t.requires_grad else t.detach().clone().requires_grad_(True)
        y = f(x)
        for _ in range(order):
            if not y.requires_grad:
                return torch.zeros_like(x)
            (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
            if not y.requires_grad and _ + 1 < order:
                return torch.zeros_like(x)
    return y if t.requires_grad else y.detach()
