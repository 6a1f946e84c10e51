"""What sets a data set apart from those that `plogp.estimate.MIST` was trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from plogp.estimate.mist_network import Prepared
from plogp.estimate.samples import Floats, repeats

__all__ = ["largest_of", "statistics_of", "unlike_training"]


def statistics_of(given: Prepared) -> dict[str, Floats]:
    """Statistics that tell data unlike the training sets, one value a data set; large is unlike.

    ``"normal-copula information"`` is the first guess of the network. With a_k and b_k the canonical variates,
    ``"odd-even correlation"`` is √n times the largest of |corr(a_k, b_k²)| and |corr(a_k², b_k)|: of order 1
    for every training family, each symmetric about its centre; a parabola has much.
    """
    rows = given.rows.double()
    mask = torch.ones(rows.shape[:2], device=rows.device) if given.mask is None else given.mask
    weight = mask[..., None].to(rows.dtype)
    n = weight.sum(dim=1)
    _, _, a, b = rows.chunk(4, dim=-1)

    def centred(v: Tensor) -> Tensor:
        return (v - ((v * weight).sum(dim=1) / n)[:, None]) * weight

    def correlation(u: Tensor, v: Tensor) -> Tensor:
        u, v = centred(u), centred(v)
        size = (u.pow(2).sum(dim=1) * v.pow(2).sum(dim=1)).sqrt()
        return ((u * v).sum(dim=1) / size.clamp(min=1e-12)).abs().amax(dim=1)

    odd_even = torch.maximum(correlation(a, b**2), correlation(a**2, b)) * n[:, 0].sqrt()
    return {
        "normal-copula information": given.guess.double().cpu().numpy(),
        "odd-even correlation": odd_even.cpu().numpy(),
    }


def _columns(parts: Sequence[Prepared]) -> Iterator[tuple[str, Floats]]:
    rows = [statistics_of(part) for part in parts]
    return ((name, np.concatenate([row[name] for row in rows])) for name in rows[0])


def largest_of(sets: Sequence[tuple[Prepared, Tensor]]) -> dict[str, float]:
    """The largest value of each statistic over prepared data sets: the support."""
    return {name: float(values.max()) for name, values in _columns([given for given, _ in sets])}


def unlike_training(x: Floats, y: Floats, parts: Sequence[Prepared], support: Mapping[str, float]) -> list[str]:
    """Say what sets samples apart: repeated values, or a statistic (its mean over the parts) beyond its support."""
    found = []
    if (share := repeats(np.hstack([x, y]))) > 0:
        found.append(f"up to {share:.0%} of the values of a column are repeated; training sets are continuous")
    for name, values in _columns(parts):
        limit = support.get(name, math.inf)
        if (value := float(values.mean())) > limit:
            found.append(f"{name} is {value:.3g}, in training at most {limit:.3g}")
    return found
