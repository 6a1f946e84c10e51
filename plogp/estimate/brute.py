"""Exact neighbours by brute force, in blocks: for high dimension on the CPU, or on a GPU through PyTorch.

Distances are sums (or maxima) of differences, never the expansion ``|a|² - 2ab + |b|²``, which loses the
small distances to cancellation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats

__all__ = ["count_blocks", "count_torch", "nearest_blocks", "nearest_torch"]

Ints = npt.NDArray[np.intp]
#: Bytes of one block of distances: a core's cache on the CPU, a modest slice of memory on a GPU.
CPU_BLOCK, GPU_BLOCK = 1 << 21, 1 << 28


def _rows(m: int, n: int, budget: int) -> Iterator[slice]:
    step = max(1, budget // (8 * n))
    for start in range(0, m, step):
        yield slice(start, min(start + step, m))


def _distances(a: Floats, b: Floats, p: float) -> Floats:
    """Distances of the rows of `a` from the rows of `b`, one axis at a time."""
    out = np.zeros((len(a), len(b)))
    step = np.empty_like(out)
    for j in range(a.shape[1]):
        np.subtract(a[:, j, None], b[None, :, j], out=step)
        if p == 2:
            np.multiply(step, step, out=step)
            out += step
            continue
        np.abs(step, out=step)
        if p == np.inf:
            np.maximum(out, step, out=out)
        else:
            out += step
    return np.sqrt(out, out=out) if p == 2 else out


def _sweep(job: Callable[[slice], None], m: int, n: int, workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(job, _rows(m, n, CPU_BLOCK)):
            pass


def nearest_blocks(points: Floats, k: int, query: Floats | None, p: float, workers: int) -> tuple[Floats, Ints]:
    """Return distances and row numbers of the k nearest points of each query, nearest first."""
    where = points if query is None else query
    distances = np.empty((len(where), k))
    ids = np.empty((len(where), k), dtype=np.intp)

    def job(rows: slice) -> None:
        block = _distances(where[rows], points, p)
        if query is None:
            block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = np.inf
        near = np.argpartition(block, k - 1, axis=1)[:, :k]
        far = np.take_along_axis(block, near, axis=1)
        order = np.argsort(far, axis=1, kind="stable")
        ids[rows] = np.take_along_axis(near, order, axis=1)
        distances[rows] = np.take_along_axis(far, order, axis=1)

    _sweep(job, len(where), len(points), workers)
    return distances, ids


def count_blocks(points: Floats, reach: Floats, workers: int) -> Ints:
    """Return the number of points (the point itself included) at Chebyshev distance at most `reach`."""
    out = np.empty(len(points), dtype=np.intp)

    def job(rows: slice) -> None:
        out[rows] = (_distances(points[rows], points, np.inf) <= reach[rows, None]).sum(axis=1)

    _sweep(job, len(points), len(points), workers)
    return out


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError("plogp[torch] is needed for device=: pip install 'plogp[torch]'") from error
    return torch


def nearest_torch(points: Floats, k: int, query: Floats | None, p: float, device: str) -> tuple[Floats, Ints]:
    """The same as `nearest_blocks`, on a PyTorch device, in float64."""
    torch = _torch()
    all_points = torch.as_tensor(points, dtype=torch.float64, device=device)
    where = all_points if query is None else torch.as_tensor(query, dtype=torch.float64, device=device)
    parts = []
    for rows in _rows(len(where), len(points), GPU_BLOCK):
        block = torch.cdist(where[rows], all_points, p=p, compute_mode="donot_use_mm_for_euclid_dist")
        if query is None:
            inside = torch.arange(rows.stop - rows.start, device=device)
            block[inside, inside + rows.start] = torch.inf
        parts.append(torch.topk(block, k, dim=1, largest=False))
    distances = torch.cat([part.values for part in parts]).cpu().numpy()
    ids = torch.cat([part.indices for part in parts]).cpu().numpy()
    return distances, ids.astype(np.intp)


def count_torch(points: Floats, reach: Floats, device: str) -> Ints:
    """The same as `count_blocks`, on a PyTorch device, in float64."""
    torch = _torch()
    all_points = torch.as_tensor(points, dtype=torch.float64, device=device)
    limit = torch.as_tensor(reach, dtype=torch.float64, device=device)
    parts = [
        (torch.cdist(all_points[rows], all_points, p=float("inf")) <= limit[rows, None]).sum(dim=1)
        for rows in _rows(len(points), len(points), GPU_BLOCK)
    ]
    return np.asarray(torch.cat(parts).cpu().numpy(), dtype=np.intp)
