"""Scores of a vector of several variables, of which some are noised, some given clean, and some integrated out."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from plogp.estimate.noising import VPSDE
from plogp.estimate.training import generator, linear

__all__ = ["MaskedScore", "NormalScore", "SkipMLP", "check_mask", "denoising_loss", "expand_mask"]

GROUPS = 8


def check_mask(mask: Any, variables: int, device: Any = None) -> Tensor:
    """Return a mask as an int8 tensor of shape (m,) or (n, m), or raise.

    Raises
    ------
    ValueError
        For a wrong number of variables, other values than 1, 0, -1, or a row that noises no variable.
    """
    found = torch.as_tensor(mask, device=device)
    if found.ndim not in (1, 2) or found.shape[-1] != variables:
        raise ValueError(f"mask must have shape ({variables},) or (n, {variables}), got {tuple(found.shape)}")
    if not ((found == 1) | (found == 0) | (found == -1)).all():
        raise ValueError("mask must hold 1 (noised), 0 (given clean) or -1 (integrated out)")
    if not (found == 1).any(dim=-1).all():
        raise ValueError("mask must mark at least one variable as noised (1)")
    return found.to(torch.int8)


def expand_mask(mask: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the mask of the columns from that of the variables.

    >>> expand_mask(torch.tensor([1, -1]), (2, 1)).tolist()
    [1, 1, -1]
    """
    repeats = torch.tensor(list(sizes), device=mask.device)
    return mask.repeat_interleave(repeats, dim=-1, output_size=sum(sizes))


class _Block(nn.Module):
    """Group norm, SiLU, linear; twice, with the time added in between, around a linear short cut."""

    def __init__(self, d_in: int, width: int, g: torch.Generator):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, d_in), nn.GroupNorm(GROUPS, width)
        self.first, self.second = linear(d_in, width, g), linear(width, width, g)
        self.time = linear(width, width, g)
        self.short = linear(d_in, width, g) if d_in != width else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        act = nn.functional.silu
        h = self.first(act(self.norm1(x))) + self.time(act(time))
        return self.second(act(self.norm2(h))) + self.short(x)


class SkipMLP(nn.Module):
    """Residual blocks on a linear input, which is joined again before the last; the output starts at 0.

    Parameters
    ----------
    d : int
        Columns.
    variables : int
        Entries of the time vector.
    width : int
        A multiple of 8, at least 16.
    depth : int
        Residual blocks, at least 1. The authors' network has one.
    rng : Generator, int, torch.Generator or None
        Draws the weights.

    Examples
    --------
    >>> net = SkipMLP(3, 2, width=16, rng=0)
    >>> net(torch.ones(5, 3), torch.ones(5, 2)).abs().max().item()
    0.0
    """

    def __init__(self, d: int, variables: int, width: int = 64, depth: int = 1, rng: Any = None):
        super().__init__()
        if operator.index(width) < 2 * GROUPS or width % GROUPS:  # a group of one channel is always 0 when normed
            raise ValueError(f"width must be a multiple of {GROUPS}, at least {2 * GROUPS}, got {width}")
        if operator.index(depth) < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        g = generator(rng)
        self.enter = linear(d, width, g)
        self.time = nn.Sequential(linear(variables, width, g), nn.GELU(), linear(width, width, g))
        self.blocks = nn.ModuleList(_Block(width, width, g) for _ in range(depth - 1))
        self.last = _Block(2 * width, width, g)
        self.norm = nn.GroupNorm(GROUPS, width)
        self.leave = linear(width, d, g)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        """Map noised columns (n, d) and the time of each variable (n, variables) to predicted noise (n, d)."""
        start = h = self.enter(x)
        time = self.time(tau)
        for block in self.blocks:
            h = block(h, time)
        h = self.last(torch.cat([h, start], dim=1), time)
        return self.leave(nn.functional.silu(self.norm(h)))


def auto_width(d: int) -> int:
    """Width by the number of columns, as in the paper.

    >>> auto_width(2), auto_width(50), auto_width(51)
    (64, 128, 256)
    """
    return 64 if d <= 10 else 128 if d <= 50 else 256


class MaskedScore(nn.Module):
    r"""One network for the scores of a vector of variables, of its parts, and of parts given others.

    A mask has an entry for each variable: 1, noised; 0, given clean; -1, integrated out. The network sees the noised
    and clean columns (those integrated out are 0, or noise) and a vector τ of times, t where noised, 0 where clean,
    1 where integrated out, and predicts the noise ε of the noised columns; the score is ``-ε/σ_t``.

    Parameters
    ----------
    sizes : sequence of int
        Columns of each variable.
    net : Module, optional
        ``net(x, tau)`` of shapes (n, sum(sizes)) and (n, len(sizes)) returns (n, sum(sizes)). By default `SkipMLP`.
    width : int or "auto"
        64, 128 or 256 for up to 10, up to 50 and more columns.
    depth : int
        Residual blocks of the default network.
    fill : {"zeros", "noise"}
        What stands in the place of variables that are integrated out.
    rng : Generator, int, torch.Generator or None
        Draws the weights.

    Examples
    --------
    >>> net = MaskedScore((1, 2), rng=0)
    >>> x = torch.zeros(4, 3)
    >>> net(x, x, torch.full((4, 1), 0.5), (0, 1)).shape                 # the noise of the second given the first
    torch.Size([4, 3])

    Notes
    -----
    G. Franzese, M. Bounoua and P. Michiardi, MINDE, ICLR 2024, arXiv 2310.09031.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        net: nn.Module | None = None,
        *,
        width: int | str = "auto",
        depth: int = 1,
        fill: str = "zeros",
        rng: Any = None,
    ):
        super().__init__()
        self.sizes = tuple(operator.index(s) for s in sizes)
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"sizes must hold the number of columns of each variable, each at least 1, got {sizes}")
        if fill not in ("zeros", "noise"):
            raise ValueError(f"fill must be 'zeros' or 'noise', got {fill!r}")
        if isinstance(width, str) and width != "auto":
            raise ValueError(f"width must be an integer or 'auto', got {width!r}")
        self.fill = fill
        d = sum(self.sizes)
        wide = auto_width(d) if isinstance(width, str) else width
        self.net = SkipMLP(d, len(self.sizes), wide, depth, rng) if net is None else net

    def forward(self, x_t: Tensor, x_0: Tensor, t: Tensor, mask: Any, rng: Any = None) -> Tensor:
        """Predict the noise of the noised columns, 0 in the others.

        Parameters
        ----------
        x_t, x_0 : Tensor, shape (n, d)
            All variables noised, and all clean; the mask says which are seen.
        t : Tensor, shape (n, 1)
        mask : sequence or Tensor, shape (m,) or (n, m)
        rng : Generator, int, torch.Generator or None
            For ``fill="noise"``.
        """
        mask = check_mask(mask, len(self.sizes), x_t.device).expand(len(x_t), -1)
        columns = expand_mask(mask, self.sizes)
        seen = torch.where(columns == 1, x_t, x_0)
        if self.fill == "noise":
            g = generator(rng, x_t.device)
            other = torch.randn(seen.shape, generator=g, device=g.device, dtype=seen.dtype).to(seen.device)
        else:
            other = torch.zeros_like(seen)
        seen = torch.where(columns == -1, other, seen)
        tau = torch.where(mask == 1, t, (mask == -1).to(t.dtype))
        return self.net(seen, tau) * (columns == 1)


class NormalScore(nn.Module):
    """Exact scores of a normal vector under every mask; stands in for a trained `MaskedScore`.

    Parameters
    ----------
    covariance : array, shape (d, d)
        Positive definite; the mean is 0.
    sizes : sequence of int
        Columns of each variable.
    sde : VPSDE

    Examples
    --------
    >>> exact = NormalScore([[1.0, 0.9], [0.9, 1.0]], (1, 1), VPSDE())
    >>> x, t = torch.ones(1, 2, dtype=torch.float64), torch.full((1, 1), 1e-8, dtype=torch.float64)
    >>> noise = exact(x, x, t, (1, 0))
    >>> score = -noise / VPSDE().sigma(t)
    >>> round(float(score[0, 0]), 3)                                       # -(1 - 0.9) / (1 - 0.81)
    -0.526
    """

    def __init__(self, covariance: Any, sizes: Sequence[int], sde: VPSDE):
        super().__init__()
        matrix = torch.as_tensor(covariance, dtype=torch.float64)
        self.sizes, self.sde = tuple(int(s) for s in sizes), sde
        if matrix.shape != (sum(self.sizes),) * 2:
            raise ValueError(f"covariance must have shape {(sum(self.sizes),) * 2}, got {tuple(matrix.shape)}")
        if not torch.equal(matrix, matrix.T) or not float(torch.linalg.eigvalsh(matrix)[0]) > 0:
            raise ValueError("covariance must be symmetric and positive definite")
        self.register_buffer("covariance", matrix)

    def forward(self, x_t: Tensor, x_0: Tensor, t: Tensor, mask: Any, rng: Any = None) -> Tensor:
        """As `MaskedScore`; one mask for all rows."""
        mask = check_mask(mask, len(self.sizes), x_t.device)
        if mask.ndim == 2:
            raise ValueError(f"NormalScore takes one mask for all rows, of shape ({len(self.sizes)},)")
        columns = expand_mask(mask, self.sizes)
        moved, given = (columns == 1).nonzero()[:, 0], (columns == 0).nonzero()[:, 0]
        whole = self.covariance
        inner = whole[moved][:, moved]
        mean = torch.zeros_like(x_t[:, moved], dtype=torch.float64)
        if len(given):
            gain = torch.linalg.solve(whole[given][:, given], whole[given][:, moved])
            inner = inner - whole[moved][:, given] @ gain
            mean = x_0[:, given].double() @ gain
        # One eigenbasis serves all times: the noised covariance is k² C + σ² I.
        values, basis = torch.linalg.eigh(inner)
        k, s = self.sde.mean_coefficient(t.double()), self.sde.sigma(t.double())
        along = (x_t[:, moved].double() - k * mean) @ basis
        noise = s * (along / (k * k * values + s * s)) @ basis.T
        out = torch.zeros_like(x_t)
        out[:, moved] = noise.to(x_t.dtype)
        return out


def denoising_loss(
    net: nn.Module, sde: VPSDE, x: Tensor, masks: Tensor, rng: torch.Generator, per_column: bool = True
) -> Tensor:
    """Denoising score matching over masks drawn at random, one for each row, at times of the process's density q.

    ``w Σ (ε̂ - ε)²`` over the noised columns, with ``w = 2 - (share of columns noised)``, which gives small blocks
    more weight; divided by the number of noised columns if `per_column`.

    Parameters
    ----------
    net : MaskedScore
    sde : VPSDE
    x : Tensor, shape (n, d)
    masks : Tensor, shape (k, m)
        Repeat a mask to draw it more often.
    rng : torch.Generator
    per_column : bool

    Returns
    -------
    Tensor
        Scalar, the mean over rows.
    """
    t = sde.sample_time(len(x), rng, x.device, spread=True).to(x.dtype)  # rows are in random order
    x_t, noise = sde.perturb(x, t, rng=rng)
    pick = torch.randint(len(masks), (len(x),), generator=rng, device=rng.device).to(x.device)
    mask = masks[pick]
    columns = expand_mask(mask, net.sizes) == 1
    count = columns.sum(dim=1)
    weight = 2.0 - count / x.shape[1]
    squares = ((net(x_t, x, t, mask, rng) - noise * columns) ** 2).sum(dim=1)
    return (weight * squares / (count if per_column else 1)).mean()
