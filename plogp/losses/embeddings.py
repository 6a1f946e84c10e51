"""What every loss of this room does with a batch of embeddings before it looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from plogp.measures.arrays import namespace
from plogp.spectra.eigen import prepared

__all__ = ["as_embeddings", "as_views", "gathered", "unit_rows"]

HALF = (torch.float16, torch.bfloat16)


def as_embeddings(z: Any, name: str = "z", *, ndim: int = 2, rows: int = 1) -> tuple[Tensor, torch.dtype]:
    """Return a batch of embeddings ready to compute with, half precision raised to float32, and the dtype it had.

    Raises
    ------
    TypeError
        If it is no tensor of real floating numbers.
    ValueError
        If it has other than `ndim` axes, fewer than `rows` rows, no columns, or NaN or infinite values.

    Examples
    --------
    >>> z, dtype = as_embeddings(torch.ones(4, 2, dtype=torch.bfloat16))
    >>> z.dtype, dtype
    (torch.float32, torch.bfloat16)
    """
    if not isinstance(z, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(z).__name__}")
    if not z.is_floating_point():
        raise TypeError(f"{name} must hold real floating numbers, got dtype {z.dtype}")
    if z.ndim != ndim:
        shape = "(n, d)" if ndim == 2 else f"{ndim} axes"
        raise ValueError(f"{name} must have shape {shape}, one row a sample, got {tuple(z.shape)}")
    if z.shape[0] < rows or z.numel() == 0:
        raise ValueError(f"{name} needs at least {rows} rows and one column, got shape {tuple(z.shape)}")
    if not torch.isfinite(z).all():
        raise ValueError(f"{name} holds NaN or infinite values")
    return (z.float() if z.dtype in HALF else z), z.dtype


def as_views(views: Any, name: str = "views", *, least: int = 2, rows: int = 1) -> tuple[list[Tensor], torch.dtype]:
    """Return the views of a batch, each (n, d) and all of one shape, and their dtype; one tensor is (k, n, d).

    Examples
    --------
    >>> views, _ = as_views(torch.zeros(2, 8, 3))
    >>> [tuple(v.shape) for v in views]
    [(8, 3), (8, 3)]
    """
    if isinstance(views, Tensor):
        if views.ndim != 3:
            raise ValueError(
                f"{name} must be a list of tensors (n, d) or one of shape (k, n, d), got {tuple(views.shape)}"
            )
        views = list(views)
    elif not isinstance(views, Sequence):
        raise TypeError(f"{name} must be a list of tensors (n, d), got {type(views).__name__}")
    if len(views) < least:
        raise ValueError(f"{name} must hold at least {least} views, got {len(views)}")
    found = [as_embeddings(v, f"{name}[{i}]", rows=rows) for i, v in enumerate(views)]
    shapes = {tuple(v.shape) for v, _ in found}
    if len(shapes) > 1:
        raise ValueError(f"{name} must all have one shape, got {sorted(shapes)}")
    return [v for v, _ in found], found[0][1]


def unit_rows(z: Tensor, name: str = "z") -> Tensor:
    """Return the rows scaled to length 1, without overflow of squares.

    Raises
    ------
    ValueError
        If a row is zero: it has no direction.

    Examples
    --------
    >>> unit_rows(torch.tensor([[3.0, 4.0], [1e30, 0.0]]))
    tensor([[0.6000, 0.8000],
            [1.0000, 0.0000]])
    """
    zero = (z == 0).all(dim=-1)
    if zero.any():
        raise ValueError(
            f"{name} has {int(zero.sum())} zero rows (the first is row {int(zero.nonzero()[0, 0])}), which have no "
            "direction; take the embeddings before a ReLU, or drop those rows"
        )
    return prepared(namespace(z), z, unit=True)


class _Gather(torch.autograd.Function):
    """All ranks' rows; backward adds up what every rank's loss says about this rank's rows."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.rows = len(z)
        return torch.cat(_all_gather(z))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        torch.distributed.all_reduce(total)
        start = torch.distributed.get_rank() * ctx.rows
        return total[start : start + ctx.rows]


def _all_gather(z: Tensor) -> list[Tensor]:
    blocks = [torch.empty_like(z) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(blocks, z.contiguous())
    return blocks


def gathered(z: Tensor, gradients: str = "all") -> Tensor:
    """Return the rows of all ranks of ``torch.distributed``, in rank order; without a process group, `z` itself.

    Every rank must bring the same number of rows.

    Parameters
    ----------
    z : tensor, shape (n, ...)
    gradients : {"all", "local"}
        ``"all"``: each rank's rows collect the gradient of every rank's loss, so that the mean over ranks (what
        DistributedDataParallel takes) is the gradient of the loss of the whole batch. ``"local"``: only this rank's
        loss reaches them; that mean is the same gradient divided by the number of ranks, without a second exchange.

    Examples
    --------
    >>> gathered(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    if gradients not in ("all", "local"):
        raise ValueError(f"gradients must be 'all' or 'local', got {gradients!r}")
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return z
    if gradients == "all":
        return _Gather.apply(z)
    blocks = _all_gather(z.detach())
    blocks[torch.distributed.get_rank()] = z
    return torch.cat(blocks)
