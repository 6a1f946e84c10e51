"""The training of `plogp.estimate.MIST`: where its data sets come from, and what it is judged by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plogp.estimate.meta_streams import Batch, Clock, FamilyStream, ListStream, SourceStream, prepared_set
from plogp.estimate.mist_network import MISTNetwork, Prepared, pinball_loss
from plogp.estimate.mist_support import largest_of
from plogp.estimate.training import History, fit, generator

__all__ = ["train"]

#: Levels at which held-out data sets are judged.
JUDGED = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
#: Rows of a batch of held-out sets.
JUDGED_ROWS = 8192

Range = tuple[int, int]


def train(
    module: MISTNetwork,
    data: Any,
    *,
    families: Sequence[str] | None,
    steps: int,
    minutes: float | None,
    rows_per_step: int,
    levels_per_set: int,
    lr: float,
    held_out: int,
    every: int,
    patience: int | None,
    better: Callable[[], None] | None,
    report: Callable[[int, float], None] | None,
    rng: Any,
    progress: bool,
) -> tuple[History, dict[str, float], Range]:
    """Train a network as `MIST.fit` describes; return the history, the support, and the rows of the data sets.

    `better` is called when the weights in place are the best so far.
    """
    for name, value in {"rows_per_step": rows_per_step, "levels_per_set": levels_per_set, "held_out": held_out}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    seeds = np.random.default_rng(rng).spawn(4)
    stream, checks, n_range = _sources(module, data, families, held_out, seeds[0])
    level_rng = generator(seeds[1])
    best, judged = math.inf, 0

    def loss(given: Prepared, truth: Tensor) -> Tensor:
        return _loss(module, given, truth, torch.rand(len(truth), levels_per_set, generator=level_rng))

    def validate() -> float:
        nonlocal best, judged
        judged += 1
        each = [(len(t), float(_loss(module, g, t, torch.tensor(JUDGED).expand(len(t), -1)))) for g, t in checks]
        value = sum(n * v for n, v in each) / sum(n for n, _ in each)
        if better is not None and value < best:
            better()
        best = min(best, value)
        if report is not None:
            report(min(judged * every, steps), value)
        return value

    clock = None if minutes is None else Clock(minutes)
    rows: Any = stream if clock is None else _Timed(stream, clock)
    history = fit(
        module,
        loss,
        rows,
        steps=steps,
        batch_size=rows_per_step,
        lr=lr,
        rng=seeds[2],
        optimizer="adamw",
        weight_decay=1e-4,
        clip=1.0,
        ema=0.999,
        validate=validate,
        every=every,
        patience=patience,
        schedule="cosine" if clock is None else clock,
        progress=progress,
        label="MIST",
    )
    if clock is not None and clock.over:
        history.interrupted = False
    return history, largest_of(checks), n_range


def _loss(module: MISTNetwork, given: Prepared, truth: Tensor, tau: Tensor) -> Tensor:
    # Errors count in units that lie between nats and standard errors: neither few rows nor many decide alone.
    device = next(module.parameters()).device
    given, truth, tau = given.to(device=device), truth.to(device), tau.to(device)
    return pinball_loss(module.quantiles(given, tau), truth[:, None], tau, given.unit[:, None].sqrt())


def _sources(
    module: MISTNetwork, data: Any, families: Sequence[str] | None, held_out: int, rng: np.random.Generator
) -> tuple[Any, list[Batch], Range]:
    """What to train on, what to judge by, and the range of rows after that."""
    config = module.config
    low, high = config.n_range
    if data is not None and not callable(data):
        known = [prepared_set(item, config.max_dim) for item in data]
        if len(known) < 10:
            raise ValueError(f"data must have at least 10 data sets, got {len(known)}")
        sizes = [given.rows.shape[1] for given, _ in known]
        order = rng.permutation(len(known))
        cut = max(1, len(known) // 10)
        held, rest = (ListStream([known[i] for i in part]) for part in (order[:cut], order[cut:]))
        return rest, held.once(JUDGED_ROWS), (min(low, *sizes), max(high, *sizes))
    if data is None:
        stream: Any = FamilyStream(config, families)
        fresh: Iterator[Batch] = stream.batches(JUDGED_ROWS, rng)
    else:
        first, second = rng.spawn(2)
        fresh = SourceStream(iter(data(first)), config.max_dim).batches(JUDGED_ROWS)
        stream = SourceStream(iter(data(second)), config.max_dim)
    checks: list[Batch] = []
    count = 0
    while count < held_out:
        checks.append(next(fresh))
        count += len(checks[-1][1])
    return stream, checks, (low, high)


@dataclass
class _Timed:
    stream: Any
    clock: Clock

    def batches(self, size: int, rng: Any = None) -> Iterator[Batch]:
        """Batches of the stream until the time is over."""
        return self.clock.limited(self.stream.batches(size, rng))
