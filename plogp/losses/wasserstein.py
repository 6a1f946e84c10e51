"""Wasserstein predictive coding: InfoNCE with a critic of bounded slope."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from plogp.estimate.wasserstein import METRICS, gradient_penalty
from plogp.losses.embeddings import as_embeddings
from plogp.losses.mutual_information import info_nce

__all__ = ["WPC"]


class WPC(nn.Module):
    r"""Wasserstein predictive coding: the InfoNCE loss plus a penalty on slopes of the critic above 1.

    .. math:: L = -\mathbb E\Big[f(x, y) - \log \frac1K \sum_j e^{f(x, y_j)}\Big]
              + \lambda\,\mathbb E\,(\|\nabla f(\hat x, \hat y)\| - 1)_+^2

    InfoNCE saturates at log K once a few factors tell the pairs of a batch apart; with a bounded slope every further
    factor moves the critic, so more of them are learnt.

    Parameters
    ----------
    critic : Module
        ``critic(x, y) -> (K, K)`` with ``pairs(x, y) -> (K,)``: `plogp.estimate.Separable` and its like.
    weight : float
        λ.
    temperature : float
        Scores are divided by it in the InfoNCE term; the slope is that of f itself.
    two_sided : bool
        Penalise slopes below 1 too.
    metric : {"euclidean", "sum"}
        On pairs: see `plogp.estimate.dependency`.
    symmetric : bool
        As in `InfoNCE`.

    Shape
    -----
    ``forward(x, y)``: paired rows (K, d_x) and (K, d_y); returns a scalar.

    Raises
    ------
    TypeError, ValueError
        For a critic without ``pairs``, an unknown metric, numbers that are not positive, or unfit rows.

    Examples
    --------
    >>> from plogp.estimate import Separable
    >>> import torch
    >>> x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    >>> loss = WPC(Separable(4, 4, width=16))
    >>> loss(x, x).backward()

    Notes
    -----
    λ = 10 and the place of the penalty are those of WGAN-GP. Source: S. Ozair et al. (2019), arXiv 1903.11780.
    """

    def __init__(
        self,
        critic: Any,
        weight: float = 10.0,
        temperature: float = 1.0,
        *,
        two_sided: bool = False,
        metric: str = "euclidean",
        symmetric: bool = False,
    ):
        super().__init__()
        if not callable(getattr(critic, "pairs", None)):
            raise TypeError(f"critic must have pairs(x, y), as plogp.estimate.Separable has; {type(critic).__name__}")
        for name, value in (("weight", weight), ("temperature", temperature)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r}")
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(map(repr, METRICS))}, got {metric!r}")
        self.critic = critic
        self.weight, self.temperature = weight, temperature
        self.two_sided, self.metric, self.symmetric = two_sided, metric, symmetric

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of a batch of pairs."""
        for name, z in (("x", x), ("y", y)):
            as_embeddings(z, name, rows=2)
        if len(x) != len(y):
            raise ValueError(f"x and y must be paired row by row, got {len(x)} and {len(y)} rows")
        contrast = info_nce(self.critic(x, y) / self.temperature, symmetric=self.symmetric)
        penalty = gradient_penalty(self.critic, (x, y), (x, y.roll(1, 0)), metric=self.metric, two_sided=self.two_sided)
        return contrast + self.weight * penalty.to(contrast.dtype)
