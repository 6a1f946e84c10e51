"""Claims of TREET: attention over a fixed window, transfer entropy with known truth, capacities of channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import plogp as pl
from plogp.estimate.tasks.sequences import coloured, gma
from plogp.papers.claim import Result, claim

SLUG = "treet"


@claim(SLUG, kind="exact")
def attention_sees_its_window_only(seed: int = 0) -> Result:
    """A position's output depends on the last l tokens and no others; a drawn token, on its own position alone."""
    import torch

    window, steps = 4, 11
    g = torch.Generator().manual_seed(seed)
    attention = pl.estimate.FixedTimeCausalAttention(8, window, heads=2, generator=g).double()
    tokens = torch.randn(steps, 8, generator=g, dtype=torch.float64, requires_grad=True)
    drawn = torch.randn(steps, 2, 8, generator=g, dtype=torch.float64, requires_grad=True)
    plain, replaced = attention(tokens), attention(tokens, drawn)
    outside, inside = 0.0, math.inf
    for i, t in enumerate(range(window - 1, steps)):
        (of_true,) = torch.autograd.grad(plain[i].sum(), tokens, retain_graph=True)
        past, own = torch.autograd.grad(replaced[i, 0].sum(), (tokens, drawn), retain_graph=True)
        mine = own[t, 0].abs().sum()
        own[t, 0] = 0.0
        seen = slice(t - window + 1, t + 1)
        inside = min(inside, float(of_true[seen].abs().sum(1).min()), float(mine))
        of_true[seen] = 0.0
        past[t - window + 1 : t] = 0.0
        outside = max(outside, *(float(v.abs().max()) for v in (of_true, past, own)))
    return Result(
        {"largest gradient outside": outside, "smallest inside": inside},
        {"largest gradient outside": 0.0},
        "exactly 0 outside, above 0 inside",
        outside == 0.0 and inside > 0.0,
    )


@claim(SLUG, kind="exact")
def capacities_of_gaussian_channels(seed: int = 0) -> Result:
    """The feedback quartics of MA(1) and AR(1) noise and water-filling agree with the numbers found by hand."""
    omega = np.arange(100_000) * 2 * np.pi / 100_000
    worst = {"water-filling": 0.0, "quartics": 0.0, "a = 0 is ½ log(1 + P)": 0.0}
    ordered = True
    for P in (0.3, 1.0, 10.0):
        for a in (0.2, 0.5, 0.95):
            ma, ar = pl.dynamics.MovingAverage(a), pl.dynamics.Autoregressive(a)
            x, z = (math.exp(-pl.dynamics.capacity(c, P, feedback=True)) for c in (ma, ar))
            quartics = (
                -(a**2) * x**4 + 2 * a * x**3 + (a**2 - 1 - P) * x**2 - 2 * a * x + 1,
                P * a**2 * z**4 + 2 * P * a * z**3 + (P + 1) * z**2 - 1,
            )
            worst["quartics"] = max(worst["quartics"], *map(abs, quartics))
            for channel in (ma, ar):
                S = channel.spectrum(omega)
                low, high = 0.0, 100.0
                for _ in range(200):
                    level = (low + high) / 2
                    low, high = (level, high) if np.maximum(level - S, 0).mean() < P else (low, level)
                by_grid = 0.5 * np.log(np.maximum(level, S) / S).mean()
                alone = pl.dynamics.capacity(channel, P)
                worst["water-filling"] = max(worst["water-filling"], abs(alone - by_grid))
                fed = pl.dynamics.capacity(channel, P, feedback=True)
                ordered &= alone < fed < min(2 * alone, alone + math.log(2) / 2)
        for white in (pl.dynamics.MovingAverage(0.0), pl.dynamics.Autoregressive(0.0), pl.dynamics.AWGN()):
            gap = abs(pl.dynamics.capacity(white, P, feedback=True) - 0.5 * math.log1p(P))
            worst["a = 0 is ½ log(1 + P)"] = max(worst["a = 0 is ½ log(1 + P)"], gap)
    return Result(
        worst,
        dict.fromkeys(worst, 0.0),
        "all <= 1e-8; feedback helps, by less than twice and less than ½ log 2",
        ordered and max(worst.values()) <= 1e-8,
        unit="nats",
    )


@claim(SLUG, kind="statistical", slow=True)
def known_transfer_entropy(seed: int = 0) -> Result:
    """y_t = 0.5 y_(t-1) + 0.6 x_(t-1) + e: 0.1537 from x to y, nothing back, in each of 3 runs."""
    task = pl.estimate.tasks.var_process()
    there, back = [], []
    for run in range(3):
        x, y = task.sample(4000, 100 * seed + run)
        options: dict[str, Any] = {"d_model": 16, "heads": 1, "width": 32, "steps": 600, "batch_size": 256, "lr": 3e-3}
        options |= {"method": "treet", "rng": 100 * seed + run}
        there.append(pl.estimate.transfer_entropy(x, y, **options).value)
        back.append(pl.estimate.transfer_entropy(y, x, **options).value)
    passed = max(abs(v - task.truth) for v in there) <= 0.06 and max(map(abs, back)) < 0.05
    return Result(
        {"x to y": there, "y to x": back},
        {"x to y": task.truth, "y to x": 0.0},
        "within 0.06, and back below 0.05, in 3 of 3 runs",
        passed,
        unit="nats",
        details={"steps": 4000, "held out": 1000},
    )


@claim(SLUG, kind="statistical", slow=True)
def capacity_of_white_noise(seed: int = 0) -> Result:
    """An input trained against the critics reaches ½ log(1 + P/σ²), and finds the better of two parallel channels."""
    found, truth, share = {}, {}, 0.0
    for name, channel, P, d in (
        ("one channel, P = 1", pl.dynamics.AWGN(1.0), 1.0, 1),
        ("variances 0.25 and 2, P = 1", pl.dynamics.AWGN((0.25, 2.0)), 1.0, 2),
    ):
        sizes: dict[str, Any] = {"d_model": 8, "heads": 1, "width": 32, "draws": 2, "batch_size": 32, "length": 8}
        ndg = pl.estimate.NDG(channel, P, d, l=1, steps=300, polish=400, lr=5e-3, rng=seed, **sizes).fit()
        found[name], truth[name] = ndg.capacity().value, pl.dynamics.capacity(channel, P)
        power = (ndg.sample(4000, 4)[0] ** 2).mean((0, 1))
        share = float(power[0] / power.sum())
    gaps = [abs(found[k] - truth[k]) for k in found]
    return Result(
        found | {"share of power to the better": share},
        truth | {"share of power to the better": 1.0},
        "within 0.05 of the capacity; at least 0.85 of the power",
        max(gaps) <= 0.05 and share >= 0.85,
        unit="nats",
    )


@claim(SLUG, kind="statistical", slow=True)
def input_for_a_channel_with_memory(seed: int = 0) -> Result:
    """Through noise U_t + 0.9 U_(t-1) the trained input is coloured as water-filling asks, far above white input."""
    channel, P, window = pl.dynamics.MovingAverage(0.9), 1.0, 4
    sizes: dict[str, Any] = {"d_model": 16, "heads": 4, "width": 32, "steps": 400, "polish": 400}
    ndg = pl.estimate.NDG(channel, P, l=window, memory=6, noise="gaussian", rng=seed, **sizes).fit()
    # Input and noise are nearly normal, so the rate of the input found is a closed form of its covariances.
    x, y = (v[..., 0].numpy() for v in ndg.sample(20_000, 12))
    rate = pl.estimate.gaussian_conditional_mutual_information(y[:, -1:], x, y[:, :-1]).value
    seen = ndg.capacity(num_series=512, length=32)
    capacity, white = pl.dynamics.capacity(channel, P), gma(0.9, history=40).truth
    white_seen = gma(0.9, history=window - 1).truth
    passed = abs(rate - capacity) <= 0.03 and seen.value > white_seen + 0.02
    return Result(
        {"rate of the input found": rate, "as the critics see it": seen.value},
        {"rate of the input found": capacity},
        "within 0.03 of the capacity; as seen by critics of 4 steps, 0.02 above white input",
        passed,
        baseline={"white input": white, "white input, 4 steps": white_seen},
        unit="nats",
    )


@claim(SLUG, kind="directional", slow=True)
def memory_beyond_nearest_neighbours(seed: int = 0) -> Result:
    """Noise U_t + 0.9 U_(t-8), window 9: closer to the truth than nearest neighbours on the same 17 values."""
    delay, n, truth = 8, 16_000, gma(0.9, history=1).truth
    blind = gma(0.9, history=0).truth
    ours, theirs = [], []
    for run in range(2):
        rng = np.random.default_rng(10 * seed + run)
        x = rng.standard_normal(n + 1)
        y = x + coloured(rng.standard_normal((n + 1 + delay, 1)), ma=0.9, delay=delay)[:, 0]
        source, target = x[1:], y[:-1]  # lag 1 sees the present input
        histories: dict[str, Any] = {"history": delay, "source_history": delay + 1}
        options: dict[str, Any] = {"d_model": 16, "heads": 2, "width": 64, "steps": 1500, "lr": 3e-3, "draws": 2}
        found = pl.estimate.transfer_entropy(
            source, target, method="treet", rng=run, batch_size=256, **histories, **options
        )
        ours.append(found.value)
        theirs.append(pl.estimate.transfer_entropy(source[:4000], target[:4000], **histories).value)
    closer = [abs(a - truth) < abs(b - truth) for a, b in zip(ours, theirs)]
    return Result(
        {"TREET": ours},
        {"TREET": truth, "without the memory": blind},
        "closer to the truth than nearest neighbours in 2 of 2 runs",
        all(closer),
        baseline={"Frenzel-Pompe": theirs},
        unit="nats",
        details={"delay": delay, "steps": n},
        note="The paper: a delay of 100 and recurrent networks as the baseline, on a GPU.",
    )
