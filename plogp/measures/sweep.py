"""Row sweeps: reduce large NumPy arrays block by block, in cache, on a thread pool.

A functional of a distribution is a few elementary functions and a sum. Written on whole arrays, each of them
writes and reads a temporary as large as the input, and memory is the bottleneck. Written on blocks of rows
that stay in the second-level cache, the input is read once and nothing else touches memory. NumPy releases
the interpreter lock inside its loops, so the blocks run on all cores.

Every other library (PyTorch, JAX, ...) gets the same kernel on whole arrays: it has its own fusion and threads.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from plogp.measures.arrays import Array

__all__ = ["BLOCK_BYTES", "SMALL_BYTES", "num_threads", "sweep"]

#: Bytes of one input in one block. Temporaries of the kernel take a few times as much, which the caches hold;
#: smaller blocks spend their time in the interpreter, larger ones in memory.
BLOCK_BYTES = 1024 * 1024
#: Inputs below this are reduced at once: starting threads would cost more than it saves.
SMALL_BYTES = 512 * 1024

Kernel = Callable[..., tuple[Array, ...]]


def num_threads() -> int:
    """Return how many threads a sweep uses: `PLOGP_NUM_THREADS`, or the processors of this process."""
    given = os.environ.get("PLOGP_NUM_THREADS")
    if given:
        return max(1, int(given))
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Free one large block, which is never touched.

    glibc gives freed blocks of the sizes used here back to the system at once, and fetching them again, page by
    page, costs more than the arithmetic. Its thresholds adapt to the largest block freed so far.
    """
    block = np.empty(24 << 20, dtype=np.uint8)
    del block


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the pool of this process: after a fork, the threads of the parent are not there."""
    return ThreadPoolExecutor(threads, thread_name_prefix="plogp-sweep")


def sweep(kernel: Kernel, arrays: Sequence[Array], combine: Sequence[str], additive: bool) -> tuple[Array, ...]:
    """Apply `kernel` to arrays of equal shape (..., K), reducing the last axis.

    Parameters
    ----------
    kernel : callable
        ``kernel(*blocks) -> (reduced, ...)``, each of the blocks' shape without the last axis.
    arrays : sequence of arrays
        All of the same shape; the last axis is reduced.
    combine : sequence of str
        How partial results of one row combine, for each output: ``"sum"`` or ``"min"``.
    additive : bool
        Whether a row may be cut at all. Rows longer than a block are then cut too.

    Returns
    -------
    tuple of arrays
    """

    def quiet(*blocks: Array) -> tuple[Array, ...]:
        # Zeros, infinities and NaN are judged by the caller on the results, not announced by NumPy on the way.
        with np.errstate(all="ignore"):
            return kernel(*blocks)

    first = arrays[0]
    if not all(isinstance(a, np.ndarray) for a in arrays):
        return kernel(*arrays)
    if max(a.nbytes for a in arrays) < SMALL_BYTES:
        return quiet(*arrays)
    _keep_freed_memory()
    shape, length = first.shape[:-1], first.shape[-1]
    rows = math.prod(shape)
    per_block = max(1, BLOCK_BYTES // first.itemsize)
    tables = [_as_rows(a, rows, length) for a in arrays]
    if length > per_block and additive:
        return _sweep_long(quiet, tables, rows, combine, shape, per_block)
    step = max(1, per_block // length)
    starts = range(0, rows, step)
    outs: list[tuple[Array, ...]] = _run(
        lambda start: quiet(*(_block(t, start, min(start + step, rows)) for t in tables)), starts, rows * length
    )
    return tuple(np.concatenate([o[i] for o in outs]).reshape(shape) for i in range(len(combine)))


def _as_rows(a: Array, rows: int, length: int) -> Array:
    """Return `a` as a view of shape (rows, length), or as it is where its strides allow none (broadcast inputs)."""
    if a.ndim == 2:
        return a
    if a.ndim == 1 or all(stride == 0 for stride in a.strides[:-1]):
        return np.broadcast_to(a[(0,) * (a.ndim - 1)], (rows, length))
    lead = [(size, stride) for size, stride in zip(a.shape[:-1], a.strides[:-1]) if size > 1]
    joined = all(outer == inner * size for (_, outer), (size, inner) in itertools.pairwise(lead))
    return a.reshape(rows, length) if joined else a


def _block(table: Array, start: int, stop: int, columns: slice = slice(None)) -> Array:
    """Return rows `start` to `stop` of a table; what has no view as rows is copied block by block."""
    if table.ndim == 2:
        return table[start:stop, columns]
    return table[(*np.unravel_index(np.arange(start, stop), table.shape[:-1]), columns)]


def _sweep_long(
    kernel: Kernel, tables: list[Array], rows: int, combine: Sequence[str], shape: tuple[int, ...], per_block: int
) -> tuple[Array, ...]:
    length = tables[0].shape[-1]
    jobs = [(row, start) for row in range(rows) for start in range(0, length, per_block)]
    parts = _run(
        lambda job: kernel(*(_block(t, job[0], job[0] + 1, slice(job[1], job[1] + per_block)) for t in tables)),
        jobs,
        rows * length,
    )
    per_row = len(jobs) // rows
    merged = []
    for i, how in enumerate(combine):
        column = np.concatenate([part[i] for part in parts]).reshape(rows, per_row)
        merged.append((column.sum(axis=-1) if how == "sum" else column.min(axis=-1)).reshape(shape))
    return tuple(merged)


def _run(task: Callable[[Any], Any], jobs: Sequence[Any], size: int) -> list[Any]:
    threads = min(num_threads(), len(jobs))
    if threads == 1:
        return [task(job) for job in jobs]
    # Hand out runs of blocks: one future per block would spend its time in the queue.
    share = max(1, len(jobs) // (threads * 4))
    runs = [jobs[i : i + share] for i in range(0, len(jobs), share)]
    done = _pool(num_threads(), os.getpid()).map(lambda run: [task(job) for job in run], runs)
    return [out for run in done for out in run]
