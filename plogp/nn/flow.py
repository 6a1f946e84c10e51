"""RealNVP: an invertible network of affine couplings with a known Jacobian."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from plogp.estimate.training import MLP, generator

__all__ = ["AffineCoupling", "RealNVP"]


class AffineCoupling(nn.Module):
    r"""Half of the coordinates scale and shift the other half: ``y_b = x_b exp(s(x_a)) + t(x_a)``, ``y_a = x_a``.

    s is bounded by `bound` through a tanh, so that no input makes the map numerically singular. It starts as
    the identity.

    Parameters
    ----------
    keep : tensor of bool, shape (dim,)
        Which coordinates pass unchanged and steer the others.
    width, depth : int
        Hidden units and hidden layers of the network for s and t.
    bound : float
        Largest |s|.

    Examples
    --------
    >>> layer = AffineCoupling(torch.tensor([True, False]), width=8)
    >>> y, log_det = layer(torch.ones(3, 2))
    >>> y.shape, log_det.shape
    (torch.Size([3, 2]), torch.Size([3]))
    """

    def __init__(
        self,
        keep: Tensor,
        width: int = 64,
        depth: int = 2,
        bound: float = 2.0,
        *,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        steering = keep.nonzero()[:, 0]
        moved = keep.logical_not().nonzero()[:, 0]
        if not (len(steering) and len(moved)):
            raise ValueError("keep must have both True and False: some coordinates steer, the others move")
        if not bound > 0:
            raise ValueError(f"bound must be positive, got {bound}")
        self.register_buffer("steering", steering)
        self.register_buffer("moved", moved)
        self.bound = float(bound)
        self.net = MLP(len(steering), width, 2 * len(moved), depth, generator=generator)
        last = self.net.layers[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.net(x[:, self.steering]).chunk(2, dim=1)
        return self.bound * torch.tanh(s / self.bound), t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and log |det dy/dx|, shapes (n, dim) and (n,)."""
        s, t = self._scale_and_shift(x)
        y = x.index_copy(1, self.moved, x[:, self.moved] * torch.exp(s) + t)
        return y, s.sum(dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        """Return the x that maps to y."""
        s, t = self._scale_and_shift(y)
        return y.index_copy(1, self.moved, (y[:, self.moved] - t) * torch.exp(-s))


class RealNVP(nn.Module):
    r"""An invertible network of affine couplings, with its exact inverse and log-determinant.

    Even and odd coordinates take turns in steering one another, over `layers` couplings. Mutual information is
    the same before and after such a map; as a density model, ``log p(x) = log N(f(x); 0, I) + log |det f'(x)|``.

    Parameters
    ----------
    dim : int
        Coordinates, at least 2.
    layers : int
        Couplings; 2 and more move every coordinate.
    width, depth : int
        Hidden units and layers of each coupling's network.
    bound : float
        Largest |log scale| that one coupling gives a coordinate.
    rng : Generator, int, torch.Generator or None
        For the weights. The map starts as the identity, whatever the seed.

    Examples
    --------
    >>> flow = RealNVP(4, layers=4, rng=0)
    >>> x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    >>> z, log_det = flow(x)
    >>> torch.allclose(flow.inverse(z), x), log_det.shape
    (True, torch.Size([5]))

    Notes
    -----
    L. Dinh, J. Sohl-Dickstein and S. Bengio, ICLR 2017, arXiv 1605.08803.
    """

    def __init__(
        self, dim: int, layers: int = 6, width: int = 64, depth: int = 2, bound: float = 2.0, *, rng: Any = None
    ):
        super().__init__()
        if dim < 2:
            raise ValueError(f"dim must be at least 2, so that one coordinate can steer another, got {dim}")
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        self.dim = int(dim)
        g = generator(rng)
        even = torch.arange(dim) % 2 == 0
        self.couplings = nn.ModuleList(
            AffineCoupling(even if i % 2 == 0 else ~even, width, depth, bound, generator=g) for i in range(layers)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z = f(x), shape (n, dim), and log |det f'(x)|, shape (n,)."""
        self._check(x, "x")
        log_det = x.new_zeros(len(x))
        for coupling in self.couplings:
            x, step = coupling(x)
            log_det = log_det + step
        return x, log_det

    def inverse(self, z: Tensor) -> Tensor:
        """Return the x with f(x) = z."""
        self._check(z, "z")
        for coupling in reversed(self.couplings):
            z = coupling.inverse(z)
        return z

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of rows x, in nats, when f(x) is standard normal; shape (n,)."""
        z, log_det = self(x)
        return log_det - 0.5 * (z * z).sum(dim=1) - 0.5 * self.dim * math.log(2 * math.pi)

    def sample(self, n: int, rng: Any = None) -> Tensor:
        """Return n draws of the density of `log_prob`, shape (n, dim); differentiable in the weights."""
        like = next(self.parameters())
        g = generator(rng)
        z = torch.randn((n, self.dim), generator=g, device=g.device, dtype=like.dtype)
        return self.inverse(z.to(like.device))

    def _check(self, x: Tensor, name: str) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"{name} must have shape (n, {self.dim}), got {tuple(x.shape)}")
