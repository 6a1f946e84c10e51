"""The spectrum tracker: what it adds to a training step of a transformer.

Steps of a small GPT-2 (4 layers of 256 units, 512 tokens a step) with Adam; the tracker looks at all four MLPs
(2,048 rows at most) and computes its four default metrics.
"""

from __future__ import annotations

import statistics
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from plogp.spectra import Tracker

STEPS = 40


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, ids: torch.Tensor) -> float:
    started = time.perf_counter()
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - started


def main() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_layer=4, n_embd=256, n_head=4, vocab_size=1_000, n_positions=128))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    ids = torch.randint(1_000, (4, 128))
    for _ in range(5):
        step(model, optimizer, ids)
    plain = statistics.median(step(model, optimizer, ids) for _ in range(STEPS))
    tracker = Tracker(model, "transformer.h.*.mlp", every=1_000_000)
    step(model, optimizer, ids)
    waiting = statistics.median(step(model, optimizer, ids) for _ in range(STEPS))
    tracker.every = 1
    tracker.seconds, before = 0.0, len(tracker.history)
    looking = statistics.median(step(model, optimizer, ids) for _ in range(STEPS // 2))
    record = tracker.seconds / (len(tracker.history) - before) * len(tracker.names)
    tracker.close()
    print(f"training step without a tracker          {1e3 * plain:8.1f} ms")
    print(f"  with a tracker that is not due         {1e3 * waiting:8.1f} ms   {waiting / plain:5.2f} x")
    print(f"  with a tracker that records every step {1e3 * looking:8.1f} ms   {looking / plain:5.2f} x")
    print(f"a record of {len(tracker.names)} modules takes            {1e3 * record:8.1f} ms")
    for every in (10, 100, 1000):
        print(f"  every {every:>4} steps it adds {100 * record / plain / every:6.2f} % to training")


if __name__ == "__main__":
    main()
