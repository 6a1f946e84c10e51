"""The process that noises data, and the times at which integrals along it are taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plogp.estimate.training import generator

__all__ = ["VPSDE", "normal_like"]

#: Times below this share of T are not drawn: the weight β/σ² has no bound at 0.
LEAST = 1e-8


@dataclass(frozen=True)
class VPSDE:
    r"""The variance-preserving process ``dx = -½ β(t) x dt + √β(t) dw``, with linear β, on [0, T].

    Given x_0 the noised value is ``x_t = k_t x_0 + σ_t ε`` with ε standard normal and

    .. math::
        β(t) = β_0 + (β_1 - β_0) t, \quad B(t) = \int_0^t β, \quad k_t = e^{-B(t)/2}, \quad σ_t^2 = 1 - k_t^2 .

    Integrals with weight β/σ² are taken by drawing t from the density q proportional to that weight, held constant
    below `t_eps` because it has no bound at 0. Its distribution function has a closed inverse.

    Parameters
    ----------
    beta0, beta1 : float
        Rate of the noise at t = 0 and at t = 1.
    T : float
        Where the process ends.
    t_eps : float
        Below it q is constant.

    Raises
    ------
    ValueError
        If a rate is negative, both are 0, or T or t_eps are not positive and in order.

    Examples
    --------
    >>> sde = VPSDE()
    >>> k, s = sde.mean_coefficient(0.5), sde.sigma(0.5)
    >>> round(float(k), 4), round(float(k**2 + s**2), 6)
    (0.2812, 1.0)
    >>> t = sde.sample_time(4, rng=0)
    >>> bool(((0 < t) & (t < 1)).all())
    True

    Notes
    -----
    Y. Song et al., ICLR 2021, arXiv 2011.13456. The density of t: C.-W. Huang, J. H. Lim and A. Courville,
    NeurIPS 2021, arXiv 2106.02808.
    """

    beta0: float = 0.1
    beta1: float = 20.0
    T: float = 1.0
    t_eps: float = 1e-3

    def __post_init__(self) -> None:
        if not (self.beta0 >= 0 and self.beta1 >= 0 and self.beta0 + self.beta1 > 0):
            raise ValueError(f"beta0 and beta1 must not be negative nor both 0, got {self.beta0} and {self.beta1}")
        if not 0 < self.t_eps < self.T < math.inf:
            raise ValueError(f"expected 0 < t_eps < T, got t_eps = {self.t_eps} and T = {self.T}")
        if self.beta0 + (self.beta1 - self.beta0) * self.T < 0:
            raise ValueError(f"the rate of the noise is negative before T = {self.T}")

    def beta(self, t: Tensor | float) -> Tensor:
        """Rate of the noise at t, the squared diffusion coefficient."""
        return self.beta0 + (self.beta1 - self.beta0) * _tensor(t)

    def integrated_beta(self, t: Tensor | float) -> Tensor:
        """``B(t)``, the integral of β from 0 to t."""
        t = _tensor(t)
        return self.beta0 * t + 0.5 * (self.beta1 - self.beta0) * t * t

    def log_mean_coefficient(self, t: Tensor | float) -> Tensor:
        """Logarithm of k_t, ``-B(t)/2``."""
        return -0.5 * self.integrated_beta(t)

    def mean_coefficient(self, t: Tensor | float) -> Tensor:
        """``k_t``, what is left of x_0 at t."""
        return torch.exp(self.log_mean_coefficient(t))

    def sigma(self, t: Tensor | float) -> Tensor:
        """``σ_t``, the standard deviation of the noise at t."""
        return torch.sqrt(-torch.expm1(-self.integrated_beta(t)))

    def perturb(self, x: Tensor, t: Tensor, noise: Tensor | None = None, rng: Any = None) -> tuple[Tensor, Tensor]:
        """Return ``x_t = k_t x + σ_t ε`` and ε, for x of shape (n, d) and t of shape (n, 1)."""
        if noise is None:
            noise = normal_like(x, generator(rng, x.device))
        return self.mean_coefficient(t) * x + self.sigma(t) * noise, noise

    def prior(self, n: int, d: int, rng: Any = None, device: Any = "cpu") -> Tensor:
        """Draw from the law at T, standard normal up to ``k_T`` (0.0066 by default)."""
        g = generator(rng, device)
        return torch.randn(n, d, generator=g, device=g.device).to(device)

    def rate(self, t: Tensor | float) -> Tensor:
        """``r(t) = β(t)/σ_t²``: the weight of a squared difference of predicted noises."""
        return self.beta(t) / -torch.expm1(-self.integrated_beta(t))

    def _antiderivative(self, t: Tensor) -> Tensor:
        # Of r: log(e^B - 1).
        b = self.integrated_beta(t)
        return torch.log(-torch.expm1(-b)) + b

    def _early(self) -> tuple[float, float]:
        """Rate at t_eps, and the antiderivative there."""
        beta, mass, log = self._at(self.t_eps)
        return beta / -math.expm1(-mass), log

    def _at(self, t: float) -> tuple[float, float, float]:
        """β, B and log(e^B - 1) at a number t."""
        mass = self.beta0 * t + 0.5 * (self.beta1 - self.beta0) * t * t
        return self.beta0 + (self.beta1 - self.beta0) * t, mass, mass + math.log(-math.expm1(-mass))

    @property
    def normalizer(self) -> float:
        """Integral of the truncated rate over [0, T], 20.3 by default: q is that rate over it."""
        r, a = self._early()
        return r * self.t_eps + self._at(self.T)[2] - a

    def time_density(self, t: Tensor | float) -> Tensor:
        """Density q(t) of the times that are drawn."""
        return self.rate(_tensor(t).clamp(min=self.t_eps)) / self.normalizer

    def time_cdf(self, t: Tensor | float) -> Tensor:
        """Distribution function of the times that are drawn."""
        r, a = self._early()
        t = _tensor(t)
        late = r * self.t_eps + self._antiderivative(t.clamp(min=self.t_eps)) - a
        return torch.where(t <= self.t_eps, r * t, late) / self.normalizer

    def time_quantile(self, u: Tensor | float) -> Tensor:
        """Inverse of `time_cdf`."""
        r, a = self._early()
        mass = self.normalizer * _tensor(u)
        # e^B - 1 = exp(a + mass - r t_eps) gives B; then the quadratic in t, solved without cancellation.
        b = torch.nn.functional.softplus(mass + (a - r * self.t_eps), threshold=80.0)
        root = torch.sqrt(self.beta0**2 + 2 * (self.beta1 - self.beta0) * b)
        return torch.where(mass <= r * self.t_eps, mass / r, 2 * b / (self.beta0 + root))

    def sample_time(self, n: int, rng: Any = None, device: Any = "cpu", *, spread: bool = False) -> Tensor:
        """Draw n times from q, shape (n, 1); with `spread` one in each of n equally likely intervals, in order."""
        g = generator(rng, device)
        u = torch.rand(n, 1, generator=g, device=g.device).to(device)
        if spread:
            u = (torch.arange(n, device=device)[:, None] + u) / n
        return self.time_quantile(u).clamp(min=LEAST * self.T)


def _tensor(t: Tensor | float) -> Tensor:
    return t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)


def normal_like(x: Tensor, g: torch.Generator) -> Tensor:
    """Standard normal numbers of the shape, dtype and device of x."""
    return torch.randn(x.shape, generator=g, device=g.device, dtype=x.dtype).to(x.device)
