"""Batches of prepared data sets with known information, in the form that the training loop reads them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plogp.estimate.mist_network import MISTConfig, Prepared, prepare, together
from plogp.estimate.samples import as_samples, check_same_length
from plogp.estimate.tasks.meta import meta_batch, random_length

__all__ = ["Batch", "Clock", "FamilyStream", "ListStream", "SourceStream", "prepared_set"]

Batch = tuple[Prepared, Tensor]
#: A prepared data set (a batch of one) and its information.
Known = tuple[Prepared, float]


class FamilyStream:
    """Fresh data sets of the training families for every step: one number of rows a step, several dimensions.

    Rows are log-uniform on ``config.n_range``. Half of the sets have d_x = d_y; small dimensions come more often,
    in proportion to 1/√d. Increasing transforms are left out: the network sees ranks only.
    """

    def __init__(self, config: MISTConfig, families: Sequence[str] | None = None):
        self.config, self.families = config, families

    def batches(self, size: int, rng: Any = None) -> Iterator[Batch]:
        """Yield batches of about `size` rows in all, endlessly."""
        random = np.random.default_rng(rng)
        dims = np.arange(1, self.config.max_dim + 1)
        share = dims**-0.5 / (dims**-0.5).sum()
        while True:
            n = random_length(self.config.n_range, random)
            count = int(np.clip(size // n, 8, 256))
            parts, truths = [], []
            for group in np.array_split(np.arange(count), 4):
                d_x, d_y = (int(d) for d in random.choice(dims, 2, p=share))
                d_y = d_x if random.random() < 0.5 else d_y
                x, y, truth = meta_batch(
                    len(group), n, d_x, d_y, families=self.families, transforms=["base"], rng=random
                )
                parts.append(prepare(torch.from_numpy(x), torch.from_numpy(y), self.config.max_dim))
                truths.append(torch.from_numpy(truth))
            yield together(parts).to(dtype=torch.float32), torch.cat(truths).float()


def prepared_set(item: Any, max_dim: int) -> Known:
    """One data set (x, y, information) of a user, checked.

    Raises
    ------
    ValueError
        If it is no such triple, or the information is negative or not finite.
    """
    try:
        x, y, truth = item
    except (TypeError, ValueError) as error:
        raise ValueError("every data set must be a tuple (x, y, information)") from error
    x, y = as_samples(x, "x"), as_samples(y, "y")
    check_same_length(x=x, y=y)
    truth = float(truth)
    if not (math.isfinite(truth) and truth >= 0):
        raise ValueError(f"the information of every data set must be finite and not negative, got {truth!r}")
    return prepare(torch.from_numpy(x)[None], torch.from_numpy(y)[None], max_dim), truth


def batch_of(held: Sequence[Known]) -> Batch:
    """Several data sets of any size as one batch."""
    given = together([given for given, _ in held]).to(dtype=torch.float32)
    return given, torch.tensor([truth for _, truth in held], dtype=torch.float32)


def _gathered(source: Iterator[Known], size: int) -> Iterator[Batch]:
    held: list[Known] = []
    rows = 0
    for item in source:
        held.append(item)
        rows += item[0].rows.shape[1]
        if rows >= size:
            yield batch_of(held)
            held, rows = [], 0
    if held:
        yield batch_of(held)


class ListStream:
    """Data sets of a finite collection, shuffled again and again."""

    def __init__(self, sets: Sequence[Known]):
        self.sets = sets

    def batches(self, size: int, rng: Any = None) -> Iterator[Batch]:
        """Yield batches of about `size` rows in all, endlessly."""
        random = np.random.default_rng(rng)
        while True:
            yield from _gathered((self.sets[i] for i in random.permutation(len(self.sets))), size)

    def once(self, size: int) -> list[Batch]:
        """Every data set once, in order."""
        return list(_gathered(iter(self.sets), size))


class SourceStream:
    """Data sets of an endless source, prepared as they come."""

    def __init__(self, source: Iterator[Any], max_dim: int):
        self.source, self.max_dim = source, max_dim

    def batches(self, size: int, rng: Any = None) -> Iterator[Batch]:
        """Yield batches of about `size` rows in all, as long as the source lasts."""
        yield from _gathered((prepared_set(item, self.max_dim) for item in self.source), size)
        raise ValueError("the source of data sets ended before training did; give an endless one, or a list")


class Clock:
    """A limit of time: the factor of the learning rate (a short rise, then half a cosine) and the end of the run."""

    def __init__(self, minutes: float, warmup: int = 300):
        if not minutes > 0:
            raise ValueError(f"minutes must be positive, got {minutes!r}")
        self.start, self.seconds, self.warmup = time.monotonic(), 60 * minutes, warmup
        self.over = False

    def __call__(self, step: int) -> float:
        gone = min((time.monotonic() - self.start) / self.seconds, 1.0)
        return min(1.0, (step + 1) / self.warmup) * (0.5 * (1 + math.cos(math.pi * gone)) + 1e-3)

    def limited(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; when time is over, the interrupt upon which the training loop keeps its best weights."""
        for batch in batches:
            if time.monotonic() - self.start > self.seconds:
                self.over = True
                raise KeyboardInterrupt
            yield batch
