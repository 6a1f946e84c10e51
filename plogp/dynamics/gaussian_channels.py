"""Channels that add normal noise, with memory or without: simulation, spectrum, capacity with and without feedback."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import is_torch_array

from plogp.estimate.samples import Floats
from plogp.estimate.series import positive
from plogp.estimate.tasks.sequences import coloured

__all__ = ["ARMA", "AWGN", "Autoregressive", "GaussianChannel", "MovingAverage", "capacity", "water_filling"]


def water_filling(levels: npt.ArrayLike, power: float) -> tuple[Floats, float]:
    """Return the power given to each of several parallel noises, and the water level they are filled to.

    Parameters
    ----------
    levels : array, shape (d,)
        Noise variances, positive.
    power : float
        To be divided.

    Examples
    --------
    >>> water_filling([1.0, 2.0, 10.0], 3.0)
    (array([2., 1., 0.]), 3.0)
    """
    noise = np.asarray(levels, dtype=np.float64)
    if noise.ndim != 1 or noise.size == 0 or not (np.isfinite(noise) & (noise > 0)).all():
        raise ValueError("levels must be a list of positive numbers")
    _power(power)
    upto = np.sort(noise)
    level = (power + np.cumsum(upto)) / np.arange(1, len(upto) + 1)
    height = float(level[np.flatnonzero(level >= upto)[-1]])
    return np.maximum(height - noise, 0.0), height


def _power(power: float) -> float:
    if not (math.isfinite(power) and power >= 0):
        raise ValueError(f"P must be a number >= 0, got {power!r}")
    return float(power)


class GaussianChannel:
    """``Y_t = X_t + Z_t`` with normal Z, independent of X but for feedback."""

    def __call__(self, x: Any, rng: Any = None) -> Any:
        """Return what the channel makes of x.

        Parameters
        ----------
        x : array or tensor, shape (T,), (T, d) or (..., T, d)
            Time is the last axis but one; every series before it has a noise of its own.
        rng : Generator or seed; for tensors also torch.Generator
        """
        return x + self.noise(x, rng)

    def noise(self, x: Any, rng: Any = None) -> Any:
        """Return noise of the shape, kind, dtype and device of x (no gradient flows through it)."""
        raise NotImplementedError

    def capacity(self, P: float, *, feedback: bool = False) -> float:
        """Return the capacity at power P, in nats a use."""
        raise NotImplementedError


def _white(x: Any, extra: int, rng: Any) -> Any:
    """Standard normal values of the shape of x, as (..., T, d) with `extra` more steps before the first."""
    shape = [*x.shape, 1] if len(x.shape) == 1 else list(x.shape)
    if len(shape) < 2:
        raise ValueError("x must be a series, shape (T,), (T, d) or (..., T, d); got a single number")
    shape[-2] += extra
    if not is_torch_array(x):
        return np.random.default_rng(rng).standard_normal(shape)
    import torch

    from plogp.estimate.training import generator

    g = generator(rng)
    return torch.randn(shape, generator=g, device=g.device, dtype=torch.float32).to(x.device, x.dtype)


def _like(z: Any, x: Any) -> Any:
    z = z[..., 0] if len(x.shape) == 1 else z
    return z if is_torch_array(x) else z.astype(np.result_type(np.asarray(x).dtype, np.float32), copy=False)


@dataclass(frozen=True)
class AWGN(GaussianChannel):
    """White noise, of one variance or of one for each component of the input.

    Parameters
    ----------
    variance : float or tuple of floats

    Examples
    --------
    >>> round(AWGN(0.5).capacity(1.0), 4)                        # ½ log(1 + P/σ²)
    0.5493
    >>> round(AWGN((1.0, 4.0)).capacity(2.0), 4)                 # all power to the better component
    0.5493
    """

    variance: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        water_filling(np.atleast_1d(self.variance), 1.0)  # checks

    def noise(self, x: Any, rng: Any = None) -> Any:
        sd = np.sqrt(np.atleast_1d(self.variance))
        white = _white(x, 0, rng)
        if len(sd) not in (1, white.shape[-1]):
            raise ValueError(f"x has {white.shape[-1]} components, the channel {len(sd)}")
        return _like(white * (_tensor_like(sd, white) if is_torch_array(x) else sd), x)

    def capacity(self, P: float, *, feedback: bool = False) -> float:
        """Return ``Σ ½ log(1 + P_i/σ_i²)`` with the power P divided by `water_filling`; feedback does not raise it."""
        levels = np.atleast_1d(np.asarray(self.variance, dtype=np.float64))
        given, _ = water_filling(levels, P)
        return float(0.5 * np.log1p(given / levels).sum())


def _tensor_like(values: Floats, like: Any) -> Any:
    return like.new_tensor(values.tolist())


@dataclass(frozen=True)
class ARMA(GaussianChannel):
    r"""Noise ``Z_t = ar Z_{t-k} + U_t + ma U_{t-k}`` with white U and k = `delay`.

    Without feedback, the input spectrum is the noise spectrum S filled up to a water level θ,

    .. math:: C = \frac{1}{2\pi}\int \tfrac12 \log\frac{\max(\theta, S)}{S}\,d\omega, \qquad
              \frac{1}{2\pi}\int \max(\theta - S, 0)\,d\omega = P,

    which is :math:`½ \log((P + \mathrm{Var} Z)/σ²)` once all of S is covered. With feedback, :math:`C = -\log x` for
    the root x in (0, 1) of

    .. math:: \frac{P}{σ^2} x^2 = (1 - x^2)\left(\frac{1 + sαx}{1 + sβx}\right)^2, \qquad s = \mathrm{sign}(β - α),

    with α = ma, β = -ar. (For `ar` = 0 and `ma` = 0 these are the quartics of the moving average and of the
    autoregression.) With ma = ar = 0, and for ma = -ar, both are those of white noise.

    Parameters
    ----------
    ma, ar : float
        |ar| < 1. For |ma| > 1 the noise has the law of that with 1/ma and ma² times the variance.
    variance : float
        σ², of U.
    delay : int
        k. The capacities do not depend on it: the noise is k independent ones in turn.

    Examples
    --------
    >>> channel = ARMA(ma=0.5, ar=0.3)
    >>> y = channel(np.zeros(10_000), rng=0)
    >>> bool(abs(y.var() - channel.noise_variance) < 0.1)
    True
    >>> channel.capacity(1.0) < channel.capacity(1.0, feedback=True)
    True

    Notes
    -----
    Y.-H. Kim, IEEE Transactions on Information Theory 56, 2010, arXiv cs/0602091 (feedback, ARMA(1,1)) and cs/0411036
    (moving average). Checked against an independent optimisation of the feedback filter in the tests.
    """

    ma: float = 0.0
    ar: float = 0.0
    variance: float = 1.0
    delay: int = 1

    def __post_init__(self) -> None:
        if not math.isfinite(self.ma):
            raise ValueError(f"the moving-average coefficient must be finite, got {self.ma}")
        if not abs(self.ar) < 1:
            raise ValueError(f"the autoregressive coefficient must lie strictly between -1 and 1, got {self.ar}")
        if not (math.isfinite(self.variance) and self.variance > 0):
            raise ValueError(f"variance must be a positive number, got {self.variance}")
        positive("delay", self.delay)

    @property
    def noise_variance(self) -> float:
        """Var Z."""
        return self.variance * (1 + (self.ma + self.ar) ** 2 / (1 - self.ar**2))

    def spectrum(self, omega: npt.ArrayLike) -> Floats:
        """Return the power spectrum of the noise at angular frequencies; its mean over a period is Var Z."""
        c = np.cos(self.delay * np.asarray(omega, dtype=np.float64))
        return np.asarray(self._spectrum(c))

    def _spectrum(self, c: Any) -> Any:
        a, b = self.ma, self.ar
        return self.variance * (1 + a * a + 2 * a * c) / (1 + b * b - 2 * b * c)

    def noise(self, x: Any, rng: Any = None) -> Any:
        white = _white(x, self.delay, rng) * math.sqrt(self.variance)
        return _like(coloured(white, self.ma, self.ar, self.delay), x)

    def _invertible(self) -> tuple[float, float, float]:
        """Return (α, β, σ²) of the same noise law with |α| <= 1."""
        a, s2 = (self.ma, self.variance) if abs(self.ma) <= 1 else (1 / self.ma, self.variance * self.ma**2)
        return a, -self.ar, s2

    def capacity(self, P: float, *, feedback: bool = False) -> float:
        power = _power(P)
        if power == 0:
            return 0.0
        alpha, beta, s2 = self._invertible()
        if alpha == beta:
            return 0.5 * math.log1p(power / s2)
        return self._fed_back(power / s2, alpha, beta) if feedback else self._water(power, s2)

    def _fed_back(self, snr: float, alpha: float, beta: float) -> float:
        from scipy import optimize

        s = math.copysign(1.0, beta - alpha)

        def gap(c: float) -> float:
            x = math.exp(-c)
            return snr * x * x * (1 + s * beta * x) ** 2 + math.expm1(-2 * c) * (1 + s * alpha * x) ** 2

        high = 1.0
        while gap(high) > 0:
            high *= 2
        return float(optimize.brentq(gap, 0.0, high, xtol=1e-15, rtol=1e-14))

    def _water(self, power: float, s2: float) -> float:
        from scipy import integrate, optimize

        level = power + self.noise_variance
        turn = 1.0 if self._spectrum(1.0) < self._spectrum(-1.0) else -1.0
        if level >= self._spectrum(-turn):
            return 0.5 * math.log(level / s2)

        def height(u: float) -> float:
            return float(self._spectrum(turn * math.cos(u)))

        def filled(u: float) -> float:
            return (
                integrate.quad(lambda v: height(u) - height(v), 0.0, u, epsabs=1e-12 * power, epsrel=1e-10)[0] / math.pi
            )

        edge = optimize.brentq(lambda u: filled(u) - power, 0.0, math.pi, xtol=1e-14)
        top = height(edge)
        # A spectrum that vanishes at the edge has a logarithmic, integrable singularity there.
        inside = integrate.quad(lambda v: math.log(top / height(v)), 0.0, edge, epsabs=1e-13, limit=200)[0]
        return 0.5 * inside / math.pi


class MovingAverage(ARMA):
    """Noise ``U_t + a U_{t-delay}``: `ARMA` with ma = a.

    >>> round(MovingAverage(0.0).capacity(1.0, feedback=True), 4)
    0.3466
    >>> MovingAverage(0.5, delay=100).capacity(1.0) == MovingAverage(0.5).capacity(1.0)
    True
    """

    def __init__(self, a: float, variance: float = 1.0, delay: int = 1):
        super().__init__(ma=float(a), variance=variance, delay=delay)


class Autoregressive(ARMA):
    """Noise ``Z_t = a Z_{t-delay} + U_t``: `ARMA` with ar = a.

    >>> round(Autoregressive(0.5).capacity(3.0), 4)               # ½ log(3 + 1/(1 - a²)): all of it under water
    0.7332
    """

    def __init__(self, a: float, variance: float = 1.0, delay: int = 1):
        super().__init__(ar=float(a), variance=variance, delay=delay)


def capacity(channel: GaussianChannel, P: float, *, feedback: bool = False) -> float:
    """Return the capacity of a channel with normal noise at input power P, in nats a use.

    For discrete channels see `plogp.measures.channel_capacity`; for channels without a formula train
    `plogp.estimate.NDG`.

    Parameters
    ----------
    channel : AWGN, MovingAverage, Autoregressive or ARMA
    P : float
        Mean power of an input, over all components; not negative.
    feedback : bool
        Whether the sender sees past outputs.

    Raises
    ------
    ValueError
        For a negative or infinite P.
    TypeError
        For something that is no channel of this room.

    Examples
    --------
    >>> round(capacity(AWGN(), 1.0), 4)
    0.3466
    >>> noise = MovingAverage(0.9)
    >>> round(capacity(noise, 1.0), 4), round(capacity(noise, 1.0, feedback=True), 4)
    (0.5124, 0.716)

    Notes
    -----
    C. E. Shannon, 1949 (water-filling); Y.-H. Kim, arXiv cs/0411036 and cs/0602091 (feedback).
    """
    if not isinstance(channel, GaussianChannel):
        raise TypeError(f"channel must be AWGN, MovingAverage, Autoregressive or ARMA, got {type(channel).__name__}")
    return channel.capacity(P, feedback=feedback)
