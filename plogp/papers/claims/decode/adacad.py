"""AdaCAD (Wang, Prasad, Stengel-Eskin and Bansal, arXiv 2409.07394).

The paper: weighing the contrast of context and memory by their Jensen-Shannon divergence corrects where they conflict
and leaves alone where they agree, which a constant weight does not.
"""

import math

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "adacad"


@claim(SLUG, kind="exact")
def adjusts_by_the_divergence(seed: int = 0) -> Result:
    """No change for equal streams; weight log 2 for disjoint ones; else p (p/p0)^JS, JS by the two-KL form."""
    g = np.random.default_rng(seed)
    z, z0 = g.normal(0, 2, (2, 500, 40))
    kl = pl.divergence("kl")
    p, p0 = (np.exp(x - x.max(-1, keepdims=True)) for x in (z, z0))
    p, p0 = p / p.sum(-1, keepdims=True), p0 / p0.sum(-1, keepdims=True)
    alpha = 0.5 * kl(p, (p + p0) / 2) + 0.5 * kl(p0, (p + p0) / 2)
    found = pl.decode.AdaCAD(lambda emitted: z0).filter(z)
    tilted = p * (p / p0) ** alpha[:, None]
    law = np.exp(found - found.max(-1, keepdims=True))
    worst = float(np.abs(law / law.sum(-1, keepdims=True) - tilted / tilted.sum(-1, keepdims=True)).max())
    same = pl.decode.AdaCAD(lambda emitted: z).filter(z)
    change = float(np.abs(same - np.log(p)).max())
    far = pl.decode.AdaCAD(lambda emitted: z).weights(np.array([[0.0, -800.0]]), np.array([[-800.0, 0.0]]))
    weight = abs(float(far[0]) - math.log(2))
    return Result(
        {"law": worst, "equal streams": change, "disjoint streams": weight},
        0.0,
        "differences <= 1e-9, 1e-9 and 1e-6",
        worst <= 1e-9 and change <= 1e-9 and weight <= 1e-6,
    )


def _accuracies(rate: float, rng: np.random.Generator, n: int = 20_000, answers: int = 50) -> dict[str, np.ndarray]:
    """Right answers of greedy decoding: memory favours one answer; the context adds evidence for the true one."""
    remembered = rng.integers(answers, size=n)
    conflict = rng.random(n) < rate
    true = np.where(conflict, (remembered + rng.integers(1, answers, size=n)) % answers, remembered)
    rows = np.arange(n)
    memory = rng.normal(size=(n, answers))
    memory[rows, remembered] += 4.0
    context = 0.75 * memory + 0.9 * rng.normal(size=(n, answers))
    context[rows, true] += 2.6
    right = {"greedy": context.argmax(-1) == true, "conflict": conflict}
    for name, sampler in (
        ("AdaCAD", pl.decode.AdaCAD(lambda emitted: memory)),
        ("CAD", pl.decode.CAD(lambda emitted: memory, alpha=1.0)),
    ):
        right[name] = sampler.filter(context).argmax(-1) == true
    return right


@claim(SLUG, kind="directional")
def corrects_conflicts_and_spares_the_rest(seed: int = 0) -> Result:
    """20,000 questions, memory wrong in a tenth: accuracy of AdaCAD, greedy and CAD(1), 3 seeds."""
    runs = [_accuracies(0.1, np.random.default_rng(100 * seed + s)) for s in range(3)]
    names = ("AdaCAD", "greedy", "CAD")
    whole = {name: [float(r[name].mean()) for r in runs] for name in names}
    calm = {name: [float(r[name][~r["conflict"]].mean()) for r in runs] for name in names}
    torn = {name: [float(r[name][r["conflict"]].mean()) for r in runs] for name in names}
    ordered = all(a > b > c for a, b, c in zip(whole["AdaCAD"], whole["greedy"], whole["CAD"], strict=True))
    lost = max(g - a for g, a in zip(calm["greedy"], calm["AdaCAD"], strict=True))
    lost_cad = min(g - c for g, c in zip(calm["greedy"], calm["CAD"], strict=True))
    gained = min(a - g for g, a in zip(torn["greedy"], torn["AdaCAD"], strict=True))
    many = _accuracies(0.5, np.random.default_rng(seed))
    return Result(
        {"AdaCAD": float(np.mean(whole["AdaCAD"])), "gain in conflicts": gained, "loss elsewhere": lost},
        {"order": "AdaCAD, greedy, CAD"},
        "AdaCAD > greedy > CAD; loses < 0.005 without conflict where CAD loses > 0.04; gains > 0.05 in conflicts; 3/3",
        ordered and lost < 0.005 and lost_cad > 0.04 and gained > 0.05,
        baseline={"greedy": float(np.mean(whole["greedy"])), "CAD": float(np.mean(whole["CAD"]))},
        details={
            "without conflict": calm,
            "in conflicts": torn,
            "at conflict rate 0.5": {name: float(many[name].mean()) for name in names},
        },
        note="Not a general win: where half of the questions conflict, CAD(1) is the best of the three in this world.",
    )
