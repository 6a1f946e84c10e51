"""Divergences from a user's own convex function."""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Callable
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
        self._at_one, self._slope_at_one = float(f(one)), float(df(one))
        self.f0 = f0 - self._at_one + self._slope_at_one
        self.finf = finf - self._slope_at_one
        self.curvature = float(d2f(one))
        self.df0, self.df0_swapped = self._slope_at_zero(), self._swapped_slope_at_zero()

    @property
    def parameters(self) -> dict[str, Any]:
        return {"f": self._f}

    def _standard(self, t: Array) -> Array:
        return self._f(t) - self._at_one - self._slope_at_one * (t - 1.0)

    def _lower(self, xp: Any, r: Array) -> Array:
        return self._standard(xp.exp(xp.where(r < -690.0, xp.full_like(r, -690.0), r)))

    def _upper(self, xp: Any, s: Array) -> Array:
        s = xp.where(s < -690.0, xp.full_like(s, -690.0), s)
        return xp.exp(s) * self._standard(xp.exp(-s))

    def _df(self, xp: Any, r: Array) -> Array:
        return self._slope(xp.exp(r)) - self._slope_at_one

    def _d2f(self, xp: Any, r: Array) -> Array:
        return self._bend(xp.exp(r))

    def _slope_at_zero(self) -> float:
        near, nearer = (float(self._df(np, np.float64(r))) for r in (-300.0, -600.0))
        return nearer if math.isfinite(nearer) and near - nearer < 1.0 else -math.inf

    def _swapped_slope_at_zero(self) -> float:
        if not math.isfinite(self.finf):
            return -math.inf
        # f~'(0) = lim f(t) - f'(∞) t; the limit is finite where two large arguments agree.
        near, nearer = (float(self._standard(np.float64(t)) - self.finf * t) for t in (1e6, 1e7))
        return nearer if abs(near - nearer) <= 1e-2 * max(1.0, abs(nearer)) else -math.inf

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
        and one of these libraries has been imported, else from central differences, with a warning.
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
            f0 = _limit(lambda t: float(f(np.float64(t))), [0.0, 1e-100, 1e-200, 1e-300])
        if finf is None:
            finf = _limit(lambda t: float(f(np.float64(t))) / t, [1e100, 1e200, 1e300])
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


def _limit(value: Callable[[float], float], points: list[float]) -> float:
    """Return the limit along `points`, infinity where the values keep growing."""
    found = [v for v in map(value, points) if not math.isnan(v)]
    if not found:
        raise ValueError("f has no limit that can be found numerically: give f0 and finf")
    if math.isfinite(found[0]) and points[0] == 0.0:
        return found[0]
    last = found[-3:]
    growing = all(b > a + 1e-9 * max(1.0, abs(a)) for a, b in itertools.pairwise(last))
    return math.inf if growing or not math.isfinite(last[-1]) else last[-1]


def _derivative(f: Function, order: int, name: str) -> Function:
    """Return f' or f'': automatic where `f` takes tensors, central differences otherwise."""

    def numeric(t: Array) -> Array:
        step = (1e-5 if order == 1 else 1e-3) * t
        if order == 1:
            return (f(t + step) - f(t - step)) / (2.0 * step)
        return (f(t + step) - 2.0 * f(t) + f(t - step)) / (step * step)

    def automatic(t: Array) -> Array:
        torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
        if torch is not None and isinstance(t, torch.Tensor):
            return _torch_derivative(torch, f, t, order)
        if jax is not None and isinstance(t, jax.Array):
            g = jax.grad(f) if order == 1 else jax.grad(jax.grad(f))
            return jax.vmap(g)(t.reshape(-1)).reshape(t.shape)
        if torch is not None and isinstance(t, (np.ndarray, np.generic)):
            exact = _torch_derivative(torch, f, torch.as_tensor(np.asarray(t, dtype=np.float64)), order)
            return exact.detach().numpy()[()]
        return numeric(t)

    torch = sys.modules.get("torch")
    if torch is not None:
        try:
            automatic(np.float64(2.0))
            return automatic
        except Exception as error:  # f is written for NumPy alone
            reason = f"f does not accept tensors ({type(error).__name__})"
    else:
        reason = "PyTorch is not imported"
    warnings.warn(
        f"{name}: derivative {order} of f is taken by central differences, because {reason}; "
        "pass df= and d2f= for exact ones",
        stacklevel=3,
    )
    return numeric


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
