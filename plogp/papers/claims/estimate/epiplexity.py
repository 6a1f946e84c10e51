"""Claims of "From Entropy to Epiplexity": code lengths of learners, the area of a scaling law, cellular automata."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import plogp as pl
from plogp.estimate.learners import ContextTree, KrichevskyTrofimov, Markov, TorchLearner
from plogp.estimate.tasks.sequences import eca, markov, prng, stationary
from plogp.papers.claim import Result, claim

SLUG = "epiplexity"


@claim(SLUG, kind="exact")
def area_of_a_scaling_law(seed: int = 0) -> Result:
    """The area under L(N, D) = E + (N0/N)^a + (D0/D)^b is b/(1-b) D0^b D^(1-b), whatever N is."""
    from scipy.integrate import quad

    worst = 0.0
    for b, d0, d in ((0.3, 2.0, 1e6), (0.7, 50.0, 1e4), (0.05, 1e3, 1e9)):
        law = pl.estimate.ScalingLaw(E=1.1, N0=30.0, a=0.4, D0=d0, b=b)
        # In u = D'^(1-b) the integrand (D0/D')^b - (D0/D)^b has no singularity.
        top = d ** (1 - b)
        c = b / (1 - b)
        by_hand = d0**b / (1 - b) * quad(lambda u, c=c, top=top: 1 - (u / top) ** c, 0, top, epsrel=1e-13)[0]
        worst = max(worst, abs(float(law.area(d)) / by_hand - 1))
    known = float(pl.estimate.ScalingLaw(0.0, 1.0, 1.0, 2.0, 0.3).area(1e6))
    passed = worst <= 1e-10 and abs(known - 8362.4246) < 1e-4
    return Result(
        {"relative difference": worst, "b = 0.3, D0 = 2, D = 1e6": known},
        {"relative difference": 0.0, "b = 0.3, D0 = 2, D = 1e6": 8362.4246},
        "relative difference from quadrature <= 1e-10",
        passed,
        unit="nats",
    )


@claim(SLUG, kind="statistical")
def cost_of_learning_a_coin(seed: int = 0) -> Result:
    """A KT coder pays ½ log n + ½ log(π/2) - ½ nats above n·H for a coin, whatever its bias: 4.68 for n = 20,000."""
    n, runs = 20_000, 200
    theory = 0.5 * math.log(n) + 0.5 * math.log(math.pi / 2) - 0.5
    rng = np.random.default_rng(seed)
    measured, gaps = {}, []
    for bias in (0.5, 0.2, 0.05):
        entropy = float(pl.entropy([bias, 1 - bias]))
        cost = []
        for _ in range(runs):
            tosses = (rng.random(n) < bias).astype(int)
            # The cross-entropy with the true law has mean n·H; taking it off instead of n·H removes most of the noise.
            ideal = -float(np.log(np.where(tosses == 1, bias, 1 - bias)).sum())
            found = pl.estimate.prequential(KrichevskyTrofimov(), [tosses], final=entropy)
            cost.append(found.value - (ideal - n * entropy))
        measured[f"bias {bias}"] = float(np.mean(cost))
        gaps.append((np.mean(cost) - theory) / (np.std(cost, ddof=1) / math.sqrt(runs)))
    return Result(
        measured,
        theory,
        "each within 3.5 standard errors",
        bool(np.max(np.abs(gaps)) <= 3.5),
        unit="nats",
        details={"z": gaps, "n": n, "runs": runs},
    )


@claim(SLUG, kind="statistical")
def cost_of_learning_a_chain(seed: int = 0) -> Result:
    """The cost of an order-1 chain of A symbols grows by A(A - 1)/2 nats for each unit of log n."""
    sizes = [1000, 4000, 16_000, 64_000]
    measured, expected = {}, {}
    passed = True
    for symbols in (2, 4):
        rng = np.random.default_rng(seed)
        slopes = []
        for _ in range(8):
            matrix = rng.dirichlet(2 * np.ones(symbols), symbols)
            x = markov(matrix, sizes[-1], rng=rng)
            ideal = -np.log(matrix[np.r_[0, x[:-1]], x])
            spent = -Markov(1, symbols).code(x)
            cost = [float((spent - ideal)[:n].sum()) for n in sizes]
            slopes.append(float(np.polyfit(np.log(sizes), cost, 1)[0]))
        measured[f"A = {symbols}"] = float(np.mean(slopes))
        expected[f"A = {symbols}"] = symbols * (symbols - 1) / 2
        error = float(np.std(slopes, ddof=1)) / math.sqrt(len(slopes))
        passed = passed and bool(abs(np.mean(slopes) - expected[f"A = {symbols}"]) <= 3.5 * error)
    return Result(measured, expected, "mean slope within 3.5 standard errors", passed, unit="nats")


@claim(SLUG, kind="statistical")
def random_looking_is_not_structure(seed: int = 0) -> Result:
    """Bits of a cryptographic generator are all entropy to a bounded learner, a period none; structure stays small."""
    n = 20_000
    chain = np.array([[0.95, 0.05], [0.3, 0.7]])
    streams = {
        "cryptographic": prng(n, "shake", seed),
        "alternating": prng(n, "alternating"),
        "chain": markov(chain, n, rng=seed),
    }
    entropies = {
        "cryptographic": math.log(2),
        "alternating": 0.0,
        "chain": float(stationary(chain) @ pl.entropy(chain)),
    }
    S, H = {}, {}
    for name, bits in streams.items():
        found = pl.estimate.prequential(ContextTree(6), [bits], final="replay")
        S[name], H[name] = found.value, found.diagnostics["final_loss"]
    passed = (
        all(abs(H[name] - entropies[name]) < 0.01 for name in H)
        and S["cryptographic"] < 30
        and S["alternating"] < 30
        and all(S[name] / n < 0.005 for name in S)
    )
    return Result(
        {"S": S, "H a symbol": H},
        {"H a symbol": entropies},
        "H within 0.01 of the entropy rate; S of at most 30 nats where there is nothing to learn, or only a period",
        bool(passed),
        unit="nats",
    )


def _ring(width: int, channels: int, seed: int) -> Any:
    """A small convolutional network on a ring of cells: from the first row to logits of the last."""
    import torch
    from torch import nn

    class Ring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            for c_in in (1, channels, channels, channels):
                layers += [nn.Conv1d(c_in, channels, 5, padding="same", padding_mode="circular"), nn.GELU()]
            self.layers = nn.Sequential(*layers, nn.Conv1d(channels, 2, 1))

        def forward(self, cells: Any) -> Any:
            return self.layers(2.0 * cells[:, None].float() - 1.0).transpose(1, 2)

    ring, g = Ring(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in ring.layers:
            if isinstance(layer, nn.Conv1d):
                half = (layer.in_channels * layer.kernel_size[0]) ** -0.5
                for weight in (layer.weight, layer.bias):
                    weight.copy_((2 * torch.rand(weight.shape, generator=g) - 1) * half)
    return ring


@claim(SLUG, kind="directional", slow=True)
def complex_automata_hold_most_structure(seed: int = 0) -> Result:
    """Of the rules 15 (shifts), 30 (chaotic) and 54 (gliders), rule 54 has the most structure and 30 the most noise."""
    width, steps, batch, updates, d_test = 16, 16, 64, 800, 1e7
    S: dict[str, list[float]] = {}
    H: dict[str, list[float]] = {}
    for rule in (15, 30, 54):
        for run in range(3):
            curves = []
            for channels in (8, 16):
                rng = np.random.default_rng(1000 * seed + run)
                learner = TorchLearner(_ring(width, channels, 1000 * seed + run), lr=3e-3)
                stream = (eca(rule, width, steps, batch, rng) for _ in range(updates))
                curves.append(pl.estimate.prequential(learner, stream, label=f"rule {rule}, {channels} channels"))
            front = pl.estimate.epiplexity(curves, d_test)
            S.setdefault(f"rule {rule}", []).append(float(front.S[-1]))
            H.setdefault(f"rule {rule}", []).append(float(front.H[-1]) / d_test)
    s15, s30, s54 = (np.array(S[f"rule {r}"]) for r in (15, 30, 54))
    h15, h30, h54 = (np.array(H[f"rule {r}"]) for r in (15, 30, 54))
    held = (s54 > s30) & (s54 > s15) & (h30 > h54) & (h54 > h15)
    return Result(
        {"S": {k: float(np.mean(v)) for k, v in S.items()}, "H a cell": {k: float(np.mean(v)) for k, v in H.items()}},
        {"H a cell": {"rule 15": 0.0, "rule 30": math.log(2)}},
        "S(54) > S(15), S(30) and H(30) > H(54) > H(15) in each of 3 runs",
        bool(held.all()),
        baseline={"S(30)": float(s30.mean())},
        unit="nats",
        details={"S": S, "H a cell": H, "cells": width, "steps": steps, "training cells": batch * width * updates},
        note="Rings of 16 cells, 16 steps, convolutional networks of 1,100 and 4,000 weights; the paper: 64 cells, "
        "48 steps, transformers.",
    )
