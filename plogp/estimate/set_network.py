"""A small set transformer: a function of a set of rows that does not depend on their order."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own name for it
from torch import Tensor, nn

from plogp.estimate.training import MLP, linear

__all__ = ["QuantileHead", "SetTransformer"]


class Attention(nn.Module):
    """``x + W o(softmax(q k / √d) v)``, then a feed-forward step of its own, each on normalised input.

    Keys and values come from `source`; a row that `mask` (True: a real row) leaves out has no influence.
    """

    def __init__(self, width: int, heads: int, feedforward: int, generator: torch.Generator):
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")
        self.heads = heads
        self.query = linear(width, width, generator)
        self.key_value = linear(width, 2 * width, generator)
        self.out = linear(width, width, generator)
        self.feed = nn.Sequential(
            linear(width, feedforward, generator), nn.GELU(), linear(feedforward, width, generator)
        )
        self.norm_x, self.norm_source, self.norm_feed = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        def split(t: Tensor) -> Tensor:
            return t.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

        key, value = self.key_value(self.norm_source(source)).chunk(2, dim=-1)
        keep = None if mask is None else mask[:, None, None, :]
        found = F.scaled_dot_product_attention(split(self.query(self.norm_x(x))), split(key), split(value), keep)
        x = x + self.out(found.transpose(-3, -2).flatten(-2))
        return x + self.feed(self.norm_feed(x))


class SetTransformer(nn.Module):
    r"""Rows to one vector, by induced attention: ``(B, n, d_row), (B, d_context) -> (B, d_out)``.

    Each of `layers` steps lets `inducing` learned vectors attend to the rows and the rows attend to what these
    found (cost linear in n); `seeds` learned vectors then attend to the rows, beside their plain mean. The
    context is added to every row at the start.

    Parameters
    ----------
    d_row, d_context : int
        Columns of a row and of the context.
    width, heads, layers, inducing, seeds, feedforward : int
        Size of the network.
    generator : torch.Generator
        Start of the weights.

    Examples
    --------
    >>> from plogp.estimate.training import generator
    >>> net = SetTransformer(3, 2, width=16, heads=2, layers=1, inducing=4, seeds=2, generator=generator(0))
    >>> rows, context = torch.randn(5, 20, 3, generator=generator(1)), torch.zeros(5, 2)
    >>> out = net(rows, context)
    >>> out.shape, bool(torch.allclose(out, net(rows.flip(1), context), atol=1e-5))
    (torch.Size([5, 48]), True)

    Notes
    -----
    J. Lee, Y. Lee, J. Kim, A. R. Kosiorek, S. Choi and Y. W. Teh, ICML 2019, arXiv 1810.00825; here with the
    normalisation before each step.
    """

    def __init__(
        self,
        d_row: int,
        d_context: int,
        *,
        width: int = 64,
        heads: int = 4,
        layers: int = 3,
        inducing: int = 16,
        seeds: int = 4,
        feedforward: int | None = None,
        generator: torch.Generator,
    ):
        super().__init__()
        feedforward = 2 * width if feedforward is None else feedforward
        self.embed = linear(d_row, width, generator)
        self.embed_context = linear(d_context, width, generator)
        self.lift = nn.Sequential(
            nn.GELU(), linear(width, feedforward, generator), nn.GELU(), linear(feedforward, width, generator)
        )

        def learned(count: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(count, width, generator=generator) * width**-0.5)

        def block() -> Attention:
            return Attention(width, heads, feedforward, generator)

        self.points = nn.ParameterList([learned(inducing) for _ in range(layers)])
        self.gather = nn.ModuleList([block() for _ in range(layers)])
        self.spread = nn.ModuleList([block() for _ in range(layers)])
        self.seeds = learned(seeds)
        self.pool = block()
        self.norm = nn.LayerNorm(width)
        self.d_out = (seeds + 1) * width

    def forward(self, rows: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        h = self.embed(rows) + self.embed_context(context)[:, None]
        h = h + self.lift(h)
        for points, gather, spread in zip(self.points, self.gather, self.spread):
            h = spread(h, gather(points.expand(len(h), -1, -1), h, mask))
        pooled = self.pool(self.seeds.expand(len(h), -1, -1), h, mask)
        if mask is None:
            mean = h.mean(dim=1)
        else:
            weight = mask[..., None].to(h.dtype)
            mean = (h * weight).sum(dim=1) / weight.sum(dim=1)
        return torch.cat([self.norm(pooled).flatten(1), mean], dim=1)


class QuantileHead(nn.Module):
    """A vector and levels τ to quantiles, ``(B, d_in), (B, T) -> (B, T)``; τ enters also as its normal score."""

    def __init__(self, d_in: int, width: int, generator: torch.Generator):
        super().__init__()
        self.trunk = nn.Sequential(linear(d_in, width, generator), nn.GELU())
        self.of_set = linear(width, width, generator)
        self.of_level = linear(2, width, generator)
        self.out = MLP(width, width, 1, depth=1, activation=nn.GELU, generator=generator)

    def forward(self, pooled: Tensor, tau: Tensor) -> Tensor:
        level = torch.stack([2 * tau - 1, torch.special.ndtri(tau)], dim=-1)
        h = self.of_set(self.trunk(pooled))[:, None] + self.of_level(level.to(pooled.dtype))
        return self.out(F.gelu(h)).squeeze(-1)
