"""What `plogp.estimate.MIST` computes with: data sets without their margins, and the network that reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own name for it
from torch import Tensor, nn

from plogp.estimate.gaussian import log_det_bias as log_det_bias
from plogp.estimate.set_network import QuantileHead, SetTransformer
from plogp.estimate.training import generator

__all__ = ["MISTConfig", "MISTNetwork", "Prepared", "pinball_loss", "prepare", "scores_of", "swapped", "together"]

#: Added to the unit diagonal of the score covariances, so that columns that repeat one another can be whitened.
RIDGE = 1e-6


@dataclass(frozen=True)
class MISTConfig:
    """Size of the network, and of the data sets that it was trained on.

    Parameters
    ----------
    max_dim : int
        Columns of x and of y, at most.
    n_range : (int, int)
        Rows of a data set.
    width, heads, layers, inducing, seeds, head : int
        See `plogp.estimate.set_network`.
    support : mapping
        Statistic of a data set to its largest value in training: see `plogp.estimate.mist_support.statistics_of`.
    """

    max_dim: int = 5
    n_range: tuple[int, int] = (10, 500)
    width: int = 64
    heads: int = 4
    layers: int = 3
    inducing: int = 16
    seeds: int = 4
    head: int = 128
    support: dict[str, float] = field(default_factory=dict)


def pinball_loss(predicted: Tensor, truth: Tensor, tau: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    r"""Mean of ``max(τ e, (τ - 1) e) / scale``, ``e = truth - predicted``: least at the τ-quantile of the truth.

    >>> float(pinball_loss(torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([0.75])))
    1.5
    """
    error = truth - predicted
    return (torch.maximum(tau * error, (tau - 1) * error) / scale).mean()


def scores_of(x: Tensor) -> Tensor:
    """Normal scores of every column of ``(..., n, d)`` samples, as `plogp.estimate.samples.normal_scores` has them.

    In float64. The gradient is that of the map from value to score held fixed: its local slope over about √n
    neighbours, 0 at ties. (Ranks themselves do not change with small changes of x.)

    >>> scores_of(torch.tensor([[3.0], [1.0], [2.0]])).ravel().round(decimals=3)
    tensor([ 0.6740, -0.6740,  0.0000], dtype=torch.float64)
    """
    flat = x.detach().double().transpose(-1, -2).contiguous()
    ordered, n = flat.sort(dim=-1).values, flat.shape[-1]
    low, high = (torch.searchsorted(ordered, flat, right=right) for right in (False, True))
    score = torch.special.ndtri((low + high + 1).double() / (2 * n + 2)).transpose(-1, -2)
    if not x.requires_grad:
        return score
    reach = max(1, round(math.sqrt(n) / 2))
    below, above = (low - reach).clamp(min=0), (high - 1 + reach).clamp(max=n - 1)
    run = ordered.gather(-1, above) - ordered.gather(-1, below)
    rise = torch.special.ndtri((above + 1).double() / (n + 1)) - torch.special.ndtri((below + 1).double() / (n + 1))
    # Where the run is 0 every neighbour is tied.
    slope = torch.where(run > 0, rise / torch.where(run > 0, run, 1.0), 0.0).transpose(-1, -2)
    return score + (x.double() - x.detach().double()) * slope


@dataclass
class Prepared:
    """What the network reads of B data sets.

    Attributes
    ----------
    rows : tensor, shape (B, n, 4 max_dim)
        Scores of x, scores of y, canonical variates of x, of y; each in places of its own, zeros behind.
    context : tensor, shape (B, 5 + 3 max_dim)
    guess, unit : tensor, shape (B,)
        The network answers in units from the guess.
    mask : boolean tensor, shape (B, n), or None
        Which rows are real; None: all.
    """

    rows: Tensor
    context: Tensor
    guess: Tensor
    unit: Tensor
    mask: Tensor | None = None

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Prepared:
        """The same on another device or in another dtype."""
        rows, context, guess, unit = (
            t.to(device=device, dtype=dtype) for t in (self.rows, self.context, self.guess, self.unit)
        )
        return Prepared(rows, context, guess, unit, None if self.mask is None else self.mask.to(device=device))


def prepare(x: Tensor, y: Tensor, max_dim: int) -> Prepared:
    r"""Describe data sets of one shape, ``(B, n, d_x)`` and ``(B, n, d_y)``, so that nothing of the margins is left.

    With the canonical correlations r_k of the normal scores, the information of a normal copula is
    ``-½ Σ log(1 - r_k²)``. The context holds it, its terms and the sizes. The guess is that information less its
    mean under independence, drawn towards 0 where rows are few; the unit is about its standard error.

    Raises
    ------
    ValueError
        If x or y has more than `max_dim` columns.
    """
    n, d_x, d_y = x.shape[-2], x.shape[-1], y.shape[-1]
    if max(d_x, d_y) > max_dim:
        raise ValueError(f"this network was trained for at most {max_dim} columns each of x and y, got {d_x} and {d_y}")
    p, q = scores_of(x), scores_of(y)
    a, b, r = canonical(p, q)
    terms = -0.5 * (1 - r**2).clamp(min=1e-7).log()
    plugin = terms.sum(dim=-1)
    dof = max(n - 1, d_x + d_y + 1)
    bias = 0.5 * (log_det_bias(d_x, dof) + log_det_bias(d_y, dof) - log_det_bias(d_x + d_y, dof))
    guess = (plugin - bias).clamp(min=0) * max(0.0, 1 - (d_x + d_y) / (n - 1))
    unit = torch.sqrt(0.05**2 + (d_x * d_y / 4 + guess) / n)
    ones = torch.ones_like(plugin)
    sizes = torch.stack([ones * (math.log(n) / 3 - 1.4), ones * n**-0.5, plugin, guess, unit], dim=-1)
    hot = torch.zeros(len(x), 2 * max_dim, dtype=sizes.dtype, device=x.device)
    hot[:, d_x - 1] = hot[:, max_dim + d_y - 1] = 1.0
    rows = torch.cat([_filled(v, max_dim) for v in (p, q, a, b)], dim=-1)
    return Prepared(rows, torch.cat([sizes, _filled(terms, max_dim), hot], dim=-1), guess, unit)


def _filled(v: Tensor, width: int) -> Tensor:
    return F.pad(v, (0, width - v.shape[-1]))


def canonical(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Canonical variates of p and of q, as many as the smaller has columns, and their correlations, descending.

    The rotations are held fixed in the gradient (the one of the correlations is exact all the same). The sign of
    a pair is such that the cubes of the sum of the two have a positive mean: it does not depend on which is first.
    """
    n, common = p.shape[-2], min(p.shape[-1], q.shape[-1])
    p, q = _white(p), _white(q)
    cross = p.mT @ q / n
    u, _, vh = torch.linalg.svd(cross.detach(), full_matrices=False)
    u, v = u[..., :common], vh.mT[..., :common]
    r = (u * (cross @ v)).sum(dim=-2)
    a, b = p @ u, q @ v
    sign = torch.where(((a + b).detach() ** 3).sum(dim=-2, keepdim=True) < 0, -1.0, 1.0)
    return a * sign, b * sign, r


def _white(v: Tensor) -> Tensor:
    v = v - v.mean(dim=-2, keepdim=True)
    v = v / v.pow(2).mean(dim=-2, keepdim=True).clamp(min=1e-12).sqrt()
    covariance = v.mT @ v / v.shape[-2]
    root = torch.linalg.cholesky(covariance + RIDGE * torch.eye(v.shape[-1], dtype=v.dtype, device=v.device))
    return torch.linalg.solve_triangular(root, v.mT, upper=False).mT


def swapped(given: Prepared, max_dim: int) -> Prepared:
    """The same data sets with x and y exchanged."""
    p, q, a, b = given.rows.split(max_dim, dim=-1)
    head, hot_x, hot_y = given.context.split([5 + max_dim, max_dim, max_dim], dim=-1)
    rows, context = torch.cat([q, p, b, a], dim=-1), torch.cat([head, hot_y, hot_x], dim=-1)
    return Prepared(rows, context, given.guess, given.unit, given.mask)


def together(parts: Sequence[Prepared]) -> Prepared:
    """Data sets of several sizes as one batch; shorter ones are filled with rows that the mask leaves out."""
    longest = max(part.rows.shape[1] for part in parts)
    even = all(part.rows.shape[1] == longest and part.mask is None for part in parts)
    rows, masks = [], []
    for part in parts:
        count, n = part.rows.shape[:2]
        mask = torch.ones(count, n, dtype=torch.bool, device=part.rows.device) if part.mask is None else part.mask
        rows.append(F.pad(part.rows, (0, 0, 0, longest - n)))
        masks.append(F.pad(mask, (0, longest - n)))
    context, guess, unit = (torch.cat([getattr(part, name) for part in parts]) for name in ("context", "guess", "unit"))
    return Prepared(torch.cat(rows), context, guess, unit, None if even else torch.cat(masks))


class MISTNetwork(nn.Module):
    """Paired samples and a level τ to the τ-quantile of their mutual information: differentiable, in nats.

    ``network(x, y)`` with x of shape (n,), (n, d) or (B, n, d) returns a scalar, or (B,) for a batch. It is the
    mean over both orders of the variables. The gradient with respect to x and y holds the maps to normal scores
    and the rotation to canonical variates fixed (see `scores_of`). The quantile is not cut off at 0.

    Examples
    --------
    >>> network = MISTNetwork(MISTConfig(width=16, layers=1), rng=0)
    >>> x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    >>> value = network(x, x[:, :1] ** 2)
    >>> value.backward()
    >>> value.shape, x.grad.shape
    (torch.Size([]), torch.Size([50, 2]))
    """

    def __init__(self, config: MISTConfig, rng: Any = None):
        super().__init__()
        self.config = config
        g, context = generator(rng), 5 + 3 * config.max_dim
        size = {name: getattr(config, name) for name in ("width", "heads", "layers", "inducing", "seeds")}
        self.encode = SetTransformer(4 * config.max_dim, context, **size, generator=g)
        self.head = QuantileHead(self.encode.d_out + context, config.head, g)

    def quantiles(self, given: Prepared, tau: Tensor) -> Tensor:
        """Quantiles at levels ``(B, T)`` of prepared data sets, ``(B, T)``, in the order of x and y given."""
        summary = torch.cat([self.encode(given.rows, given.context, given.mask), given.context], dim=-1)
        return given.guess[:, None] + given.unit[:, None] * self.head(summary, tau)

    def both_orders(self, given: Prepared, tau: Tensor) -> Tensor:
        """`quantiles`, averaged with those of x and y exchanged."""
        other = swapped(given, self.config.max_dim)
        return 0.5 * (self.quantiles(given, tau) + self.quantiles(other, tau))

    def forward(self, x: Tensor, y: Tensor, tau: float = 0.5) -> Tensor:
        if not 0 < tau < 1:
            raise ValueError(f"tau must lie strictly between 0 and 1, got {tau!r}")
        sets = []
        for name, v in (("x", x), ("y", y)):
            if v.is_complex() or v.ndim not in (1, 2, 3):
                raise ValueError(f"{name} must be real, of shape (n,), (n, d) or (B, n, d); got {tuple(v.shape)}")
            if not torch.isfinite(v).all():
                raise ValueError(f"{name} holds NaN or infinite values; drop or impute them first")
            v = v[:, None] if v.ndim == 1 else v
            sets.append(v if v.ndim == 3 else v[None])
        if sets[0].shape[:2] != sets[1].shape[:2]:
            raise ValueError(f"x and y must be paired row by row, got shapes {tuple(x.shape)} and {tuple(y.shape)}")
        least = self.config.n_range[0]
        if sets[0].shape[1] < least:
            raise ValueError(f"too few samples: this network needs at least {least} rows, got {sets[0].shape[1]}")
        weight = self.head.of_level.weight
        given = prepare(sets[0], sets[1], self.config.max_dim).to(dtype=weight.dtype)
        level = torch.full((len(sets[0]), 1), tau, dtype=weight.dtype, device=weight.device)
        out = self.both_orders(given, level)[:, 0]
        out = out.to(x.dtype) if x.dtype.is_floating_point and x.dtype.itemsize > 2 else out
        return out if x.ndim == 3 else out[0]
