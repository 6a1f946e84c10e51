"""Limits of variational estimators, and SMILE (Song and Ermon, arXiv 1910.06222).

The paper: the variance of the partition term of NWJ and DV grows like e^I, InfoNCE is capped at log n, clipping the
partition term bounds its variance, and estimators by discrimination fail tests of self-consistency.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch

from plogp.estimate import Separable, bound, neural_mutual_information, self_consistency, variance_floor
from plogp.papers.claim import Result, claim

SLUG = "smile"


def _correlation(information: float, d: int) -> float:
    return math.sqrt(-math.expm1(-2 * information / d))


def _batch(n: int, d: int, rho: float, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    x, noise = torch.randn(2, n, d, generator=g)
    return x, rho * x + math.sqrt(1 - rho * rho) * noise


def _optimal(x: torch.Tensor, y: torch.Tensor, rho: float) -> torch.Tensor:
    """Log density ratio of all pairs."""
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None]
    return -0.5 * x.shape[1] * math.log1p(-rho * rho) - (rho**2 * squares - 2 * rho * x @ y.T) / (2 * (1 - rho**2))


@claim(SLUG, kind="statistical")
def variance_of_the_partition_term(seed: int = 0) -> Result:
    """Optimal critic, 1-d normal, n = 200, 2,000 repetitions: Var of the mean ratio is χ²/n, above (e^I - 1)/n."""
    n, repetitions = 200, 2000
    rng = np.random.default_rng(seed)
    measured, expected, floors = {}, {}, {}
    for rho in (0.3, 0.5):
        x, y = rng.standard_normal((2, repetitions, n))
        log_ratio = -0.5 * math.log1p(-(rho**2)) - (rho**2 * (x * x + y * y) - 2 * rho * x * y) / (2 * (1 - rho**2))
        measured[str(rho)] = float(np.exp(log_ratio).mean(axis=1).var())
        expected[str(rho)] = (1 / (1 - rho**2) - 1) / n
        floors[str(rho)] = float(variance_floor(-0.5 * math.log1p(-(rho**2)), n))
    near = all(abs(measured[k] / expected[k] - 1) <= 0.2 for k in measured)
    above = all(measured[k] > floors[k] for k in measured)
    return Result(
        measured,
        expected,
        "within 20 % of the closed form, and above the floor",
        near and above,
        details={"floor": floors},
    )


@claim(SLUG, kind="exact")
def clipping(seed: int = 0) -> Result:
    """The clipped mean's variance stays below (e^τ - e^-τ)²/4n; without clipping SMILE is DV, bit for bit."""
    n, rng = 200, np.random.default_rng(seed)
    worst = 0.0
    nothing = torch.zeros(1, dtype=torch.float64)
    for spread in (0.1, 1.0, 3.0, 30.0):
        scores = torch.tensor(spread * rng.standard_normal((2000, 1)))
        for tau in (0.5, 1.0, 5.0):
            # Partition terms of one score each; a mean of n has 1/n of their variance.
            clipped = [math.exp(-float(bound(nothing, "smile", tau=tau, product=t).value)) for t in scores]
            variance = float(np.var(clipped)) / n
            worst = max(worst, variance * 4 * n / (math.exp(tau) - math.exp(-tau)) ** 2)
    S = torch.tensor(10 * rng.standard_normal((50, 50)))
    same = bool(bound(S, "smile", tau=math.inf).value == bound(S, "dv").value)
    return Result(
        worst,
        {"at most": 1.0},
        "largest variance over its bound <= 1, and SMILE without clipping equal to DV",
        worst <= 1.0 and same,
    )


@claim(SLUG, kind="statistical")
def partition_term_at_the_optimal_critic(seed: int = 0) -> Result:
    """20-d normal vectors, I = 6, batches of 64, the true log-ratio: SMILE's partition term (τ=1) against NWJ's."""
    rho, g = _correlation(6.0, 20), torch.Generator().manual_seed(seed)
    terms: dict[str, list[float]] = {"nwj": [], "smile": []}
    values: dict[str, list[float]] = {"nwj": [], "smile": [], "infonce": []}
    for _ in range(400):
        S = _optimal(*_batch(64, 20, rho, g), rho)
        joint = float(S.diagonal().double().mean())
        for kind, shift in (("nwj", 1), ("smile", 0), ("infonce", 0)):
            values[kind].append(float(bound(S + shift, kind, tau=1.0).value))
        terms["nwj"].append(joint + 1 - values["nwj"][-1])
        terms["smile"].append(joint - values["smile"][-1])
    spread = {k: float(np.std(v)) for k, v in terms.items()}
    floor = math.sqrt(variance_floor(6.0, 64 * 63))
    return Result(
        spread["smile"],
        {"at most": spread["nwj"] / 3},
        "standard deviation at most a third of NWJ's, which is above its floor for 64 x 63 independent pairs",
        spread["smile"] <= spread["nwj"] / 3 and spread["nwj"] > floor,
        baseline=spread["nwj"],
        unit="nats",
        details={
            "floor": floor,
            "standard deviations of the values": {k: float(np.std(v)) for k, v in values.items()},
            "means of the values": {k: float(np.mean(v)) for k, v in values.items()},
            "truth": 6.0,
        },
    )


def _trained(kind: str, seed: int, steps: int = 2000) -> list[torch.Tensor]:
    """Scores of the last 200 fresh batches of 64 in training a separable critic, as the paper sets it up (I = 6)."""
    rho, g = _correlation(6.0, 20), torch.Generator().manual_seed(seed)
    critic = Separable(20, 20, width=256, embed=32, generator=g)
    optimiser = torch.optim.Adam(critic.parameters(), lr=5e-4)
    last = []
    for step in range(steps):
        S = critic(*_batch(64, 20, rho, g))
        optimiser.zero_grad()
        (-bound(S, kind).objective).backward()
        optimiser.step()
        if step >= steps - 200:
            last.append(S.detach())
    return last


def _values(scores: list[torch.Tensor], kind: str, tau: float = 5.0) -> np.ndarray:
    return np.array([float(bound(S, kind, tau=tau).value) for S in scores])


@claim(SLUG, kind="directional", slow=True)
def smile_beats_infonce_at_high_information(seed: int = 0) -> Result:
    """20-d normal vectors, I = 6, batches of 64: trained SMILE(τ=5) is nearer to I than InfoNCE, which log 64 caps."""
    bias: dict[str, list[float]] = {"smile": [], "infonce": []}
    for s in range(3):
        for kind, found in bias.items():
            found.append(float(_values(_trained(kind, 10 * seed + s), kind).mean() - 6.0))
    passed = all(abs(a) < abs(b) for a, b in zip(*bias.values()))
    return Result(
        bias["smile"],
        {"nearer to 0 than": bias["infonce"]},
        "|bias| below InfoNCE's in each of 3 seeds",
        passed,
        baseline=bias["infonce"],
        unit="nats",
        details={"cap of InfoNCE": math.log(64)},
    )


@claim(SLUG, kind="directional", slow=True)
def smile_is_steadier_than_nwj_in_training(seed: int = 0) -> Result:
    """The same training: the standard deviation over the last 200 batches, SMILE(τ=1) against NWJ."""
    spread: dict[str, list[float]] = {"smile": [], "nwj": []}
    level: dict[str, list[float]] = {"smile": [], "nwj": []}
    for s in range(2):
        for kind in spread:
            values = _values(_trained(kind, 10 * seed + s), kind, tau=1.0)
            spread[kind].append(float(values.std()))
            level[kind].append(float(values.mean()))
    passed = all(3 * a <= b for a, b in zip(spread["smile"], spread["nwj"]))
    return Result(
        spread["smile"],
        {"at most": [b / 3 for b in spread["nwj"]]},
        "at most a third of NWJ's in each of 2 seeds",
        passed,
        baseline=spread["nwj"],
        unit="nats",
        details={"mean values": level, "truth": 6.0},
        reproduced=passed,
        note=""
        if passed
        else "Not reached in 2,000 steps (nor in 8,000: 0.52 against 0.61; with the concatenated critic, 1,500 steps: "
        "0.39 against 0.68). NWJ is steady because it is far too low (3.4 of 6 after 8,000 steps), and the joint term "
        "alone spreads SMILE by 0.35. For the partition terms see partition_term_at_the_optimal_critic.",
    )


@claim(SLUG, kind="directional", slow=True)
def self_consistency_on_digits(seed: int = 0) -> Result:
    """Digits (8 x 8): every estimator by discrimination misses data processing or additivity by more than 10 %."""
    from sklearn.datasets import load_digits

    images = load_digits().images / 16.0
    ratios: dict[str, Any] = {}
    failed: dict[str, list[str]] = {}
    settings: dict[str, Any] = {"critic": "separable", "steps": 600, "restarts": 1, "rng": seed}
    for kind in ("infonce", "smile", "mine"):
        estimator = partial(neural_mutual_information, kind=kind, **settings)
        found = self_consistency(estimator, images, rows=(0, 4, 8), noise=0.1, rng=seed)
        ratios[kind] = {
            "I(X; Y_t) relative": found.monotone_ratios,
            "data processing": found.data_processing_ratio,
            "additivity": found.additivity_ratio,
        }
        failed[kind] = [name for name, ok in found.passed(0.1).items() if not ok]
    passed = all(set(names) & {"data processing", "additivity"} for names in failed.values())
    return Result(
        ratios,
        {"data processing": 1.0, "additivity": 2.0},
        "each kind misses at least one of the last two ratios by more than 10 %",
        passed,
        details={"failed": failed, "n": len(images)},
        note="With noise of 10 % of the pixels' spread on Y the true ratios are 1 and 2 exactly.",
    )
