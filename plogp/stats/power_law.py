"""Scaling laws: a sum of power laws of several sizes, fitted robustly on the logarithm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PowerLaw", "fit_power_law"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PowerLaw:
    r"""A fitted law :math:`y = e + \sum_v c_v v^{-a_v}`.

    Attributes
    ----------
    coefficients, exponents : dict of str to float
        c and a of each variable; a is negative where y grows with it.
    offset : float
        e.
    r2 : float
        Share of the variance of y explained.
    """

    coefficients: dict[str, float]
    exponents: dict[str, float]
    offset: float
    r2: float

    def __call__(self, **sizes: Any) -> Any:
        """Return y at the given sizes."""
        if set(sizes) != set(self.exponents):
            raise ValueError(f"expected the sizes {', '.join(self.exponents)}, got {', '.join(sizes) or 'none'}")
        terms = (c * np.asarray(sizes[v], dtype=np.float64) ** -self.exponents[v] for v, c in self.coefficients.items())
        return self.offset + sum(terms)


def fit_power_law(
    sizes: Mapping[str, npt.ArrayLike] | npt.ArrayLike, y: npt.ArrayLike, *, offset: bool = True, delta: float = 1e-3
) -> PowerLaw:
    r"""Fit :math:`y = e + \sum_v c_v v^{-a_v}` by Huber's loss on the logarithm of y.

    Several starting points are tried and the best fit is kept.

    Parameters
    ----------
    sizes : mapping of name to array, or one array (called "x")
        Positive sizes: parameters, rank, tokens.
    y : array, shape (n,)
        Positive values.
    offset : bool
        Fit e >= 0; without it e is 0.
    delta : float
        Residuals of log y beyond it count linearly.

    Raises
    ------
    ValueError
        For sizes or values that are not positive, lengths that differ, or fewer points than parameters.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    >>> law = fit_power_law(x, 0.5 + 2 * x**-0.7)
    >>> round(law.exponents["x"], 4), round(law.offset, 4), round(law.r2, 6)
    (0.7, 0.5, 1.0)

    References
    ----------
    J. Hoffmann et al. (2022), arXiv 2203.15556, for the loss and its delta.
    """
    from scipy.optimize import least_squares

    named = dict(sizes) if isinstance(sizes, Mapping) else {"x": sizes}
    x = {name: np.asarray(v, dtype=np.float64).ravel() for name, v in named.items()}
    values = np.asarray(y, dtype=np.float64).ravel()
    for name, v in [*x.items(), ("y", values)]:
        if not (np.isfinite(v).all() and (v > 0).all()):
            raise ValueError(f"{name} must hold positive finite numbers")
        if len(v) != len(values):
            raise ValueError(f"{name} has {len(v)} entries and y has {len(values)}")
    count = 2 * len(x) + offset
    if len(values) < count:
        raise ValueError(f"{len(values)} points cannot fix {count} parameters")
    # Sizes relative to their geometric mean, so that a coefficient is the term's size in the middle of the data.
    middle = {name: float(np.exp(np.log(v).mean())) for name, v in x.items()}
    logs = {name: np.log(v / middle[name]) for name, v in x.items()}
    scale = float(np.exp(np.log(values).mean()))

    def predicted(theta: Floats) -> Floats:
        total = np.full(len(values), np.exp(theta[-1]) if offset else 0.0)
        for i, log in enumerate(logs.values()):
            total = total + np.exp(theta[2 * i] - theta[2 * i + 1] * log)
        return total

    def residual(theta: Floats) -> Floats:
        return np.asarray(np.log(predicted(theta)) - np.log(values / scale))

    best = None
    starts = product((0.5, 0.05), (0.3, 1.0, -0.3)) if len(x) == 1 else product((0.3,), (0.1, 0.5, 1.0))
    low = np.tile([-30.0, -20.0], len(x)).tolist() + [-40.0] * offset
    high = np.tile([10.0, 20.0], len(x)).tolist() + [10.0] * offset
    for share, exponent in starts:
        theta = np.tile([np.log(share / len(x)), exponent], len(x)).tolist() + [np.log(0.5)] * offset
        found = least_squares(
            residual, theta, bounds=(low, high), loss="huber", f_scale=delta, xtol=1e-14, ftol=1e-14, gtol=1e-14,
            max_nfev=2000,
        )  # fmt: skip
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    theta = best.x
    exponents = {name: float(theta[2 * i + 1]) for i, name in enumerate(x)}
    coefficients = {
        name: float(scale * np.exp(theta[2 * i]) * middle[name] ** exponents[name]) for i, name in enumerate(x)
    }
    error = values - scale * predicted(theta)
    spread = float(((values - values.mean()) ** 2).sum())
    r2 = 1 - float((error**2).sum()) / spread if spread > 0 else 1.0
    return PowerLaw(coefficients, exponents, float(scale * np.exp(theta[-1])) if offset else 0.0, r2)
