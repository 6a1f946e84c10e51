"""A layer that adds Gaussian noise, so that the information a network carries is finite."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from plogp.estimate.training import generator

__all__ = ["AdditiveGaussianNoise"]


class AdditiveGaussianNoise(nn.Module):
    r"""Add independent Gaussian noise: ``L' = L + σ Z``, or with ``relative=True`` ``L' = L + σ |L| Z``.

    A deterministic network with continuous activations carries infinite information about its input. With noise
    in it, in training and afterwards, I(X;L') is a finite property of the network itself.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, or its ratio to each activation; 0 or more.
    relative : bool
        Noise in proportion to the size of each activation. (An activation of exactly 0 then passes exactly.)
    always : bool
        Noise in evaluation mode too. False makes it a regulariser for training only, and the network
        deterministic when it is measured.
    rng : torch.Generator, numpy.random.Generator, int or None
        Where the noise is drawn from. None: PyTorch's own stream on the tensor's device, as dropout does.

    Shape
    -----
    Any floating-point tensor to the same shape, dtype and device. Gradients flow through L (and |L|).

    Raises
    ------
    ValueError
        If sigma is negative or not finite.
    TypeError
        If the input is not a floating-point tensor.

    Examples
    --------
    >>> layer = AdditiveGaussianNoise(0.5, rng=0)
    >>> out = layer(torch.zeros(10_000))
    >>> round(float(out.std()), 1)
    0.5
    >>> AdditiveGaussianNoise(0.5, relative=True)(torch.zeros(2))
    tensor([0., 0.])

    Notes
    -----
    I. Butakov, A. Tolmachev, S. Malanchuk, A. Neopryatnaya, A. Frolov and K. Andreev, ICLR 2024, arXiv 2305.08013.
    """

    def __init__(self, sigma: float, relative: bool = False, *, always: bool = True, rng: Any = None):
        super().__init__()
        if not (isinstance(sigma, (int, float)) and 0 <= sigma < math.inf):
            raise ValueError(f"sigma must be a number of at least 0, got {sigma!r}")
        self.sigma = float(sigma)
        self.relative = relative
        self.always = always
        self._generator = None if rng is None else generator(rng)

    def extra_repr(self) -> str:
        """Return the parameters for the module's repr."""
        return f"sigma={self.sigma:g}, relative={self.relative}, always={self.always}"

    def forward(self, x: Tensor) -> Tensor:
        """Return x with noise."""
        if not x.is_floating_point():
            raise TypeError(f"the input must be a floating-point tensor, got {x.dtype}")
        if self.sigma == 0 or not (self.training or self.always):
            return x
        g = self._generator
        place = x.device if g is None else g.device
        z = torch.randn(x.shape, generator=g, device=place, dtype=x.dtype).to(x.device)
        return x + self.sigma * z * (x.abs() if self.relative else 1.0)
