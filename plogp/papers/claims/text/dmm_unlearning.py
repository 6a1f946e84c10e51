"""Unlearning by datamodel matching, and KLoM (Georgiev et al., arXiv 2410.23232).

The paper: fine-tuning a model to match the predicted outputs of one that never saw the forget set comes close to that
model, where descent on retained data and ascent on forgotten data stay far away.
"""

import copy
import math
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "dmm-unlearning"


@claim(SLUG, kind="exact")
def closed_forms(seed: int = 0) -> Result:
    """Ridge without 12 of 80 rows equals retraining; KLoM of a group with itself is 0, of two points log 1e5."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(80, 6)), rng.normal(size=80)
    retrained = np.linalg.solve(X[12:].T @ X[12:] + 0.3 * np.eye(6), X[12:].T @ y[12:])
    gap = float(np.abs(pl.text.unlearning.ridge_without(X, y, np.arange(12), 0.3) - retrained).max())
    x = rng.normal(size=(100, 5))
    same = float(np.abs(pl.text.unlearning.klom(x, x)).max())
    apart = float(pl.text.unlearning.klom(np.zeros((100, 1)), np.ones((100, 1)))[0])
    return Result(
        {"ridge": gap, "KLoM, same": same, "KLoM, two points": apart},
        {"ridge": 0.0, "KLoM, same": 0.0, "KLoM, two points": math.log(1e5)},
        "1e-10, 1e-12 and 1e-4",
        gap < 1e-10 and same < 1e-12 and abs(apart - math.log(1e5)) < 1e-4,
        unit="nats",
    )


@claim(SLUG, kind="statistical")
def datamodels_recover_effects(seed: int = 0) -> Result:
    """300 random subsets of 30 examples with noise: the effects are found within their standard errors."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(size=30)
    found = pl.text.unlearning.datamodels(lambda mask: mask @ effects + 0.3 * rng.normal(), 30, 300, rng=seed)
    z = (found.beta[0] - effects) / found.se[0]
    chi2 = float((z**2).sum())
    return Result(
        {"largest |z|": float(np.abs(z).max()), "sum of z^2": chi2},
        {"sum of z^2": 30.0},
        "largest |z| < 4 and sum of squares within 4 standard deviations of 30",
        bool(np.abs(z).max() < 4) and abs(chi2 - 30) < 4 * math.sqrt(60),
    )


@claim(SLUG, kind="directional")
def matching_has_no_noise_floor(seed: int = 0) -> Result:
    """Least squares, 400 rows, 20 dimensions, 40 forgotten: constant-step SGD on matched targets and on the rest."""
    ends: dict[str, list[float]] = {"matching": [], "retain": []}
    start = []
    for s in range(5):
        rng = np.random.default_rng(100 * seed + s)
        X = rng.normal(size=(400, 20))
        y = X @ rng.normal(size=20) + rng.normal(size=400)
        forget = np.arange(40)
        goal = pl.text.unlearning.ridge_without(X, y, forget)
        theta = {name: np.linalg.lstsq(X, y, rcond=None)[0] for name in ends}
        start.append(float(np.linalg.norm(theta["retain"] - goal)))
        for i in rng.integers(40, 400, 12_000):
            theta["matching"] = theta["matching"] - 0.01 * (X[i] @ (theta["matching"] - goal)) * X[i]
            theta["retain"] = theta["retain"] - 0.01 * (X[i] @ theta["retain"] - y[i]) * X[i]
        for name in ends:
            ends[name].append(float(np.linalg.norm(theta[name] - goal)))
    return Result(
        {"matching": max(ends["matching"]), "retain": min(ends["retain"])},
        {"matching": 0.0},
        "distance to the retrained solution below 1e-8 after matching, above 1e-2 after SGD on retained rows, 5/5",
        max(ends["matching"]) < 1e-8 and min(ends["retain"]) > 1e-2,
        baseline={"SGD on retained data": ends["retain"]},
        details={"at the start": start},
    )


class _Many(torch.nn.Module):
    """Independent two-layer networks side by side: (rows, 64) to (rows, 10 x networks)."""

    def __init__(self, networks: int, seed: int):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.a = torch.nn.Parameter(torch.randn(networks, 64, 24, generator=g) / 8)
        self.b = torch.nn.Parameter(torch.randn(networks, 24, 10, generator=g) / 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (torch.relu(x @ self.a) @ self.b).transpose(0, 1).flatten(1)


def _train(
    nets: _Many, x: torch.Tensor, y: torch.Tensor, kept: torch.Tensor | None = None, steps: int = 100, sign: float = 1.0
) -> _Many:
    """Train copies on the rows that are kept by each; with a negative sign, away from them."""
    nets = copy.deepcopy(nets)
    optimizer = torch.optim.Adam(nets.parameters(), lr=0.01 if sign > 0 else 0.002)
    for _ in range(steps):
        z = nets(x).view(len(x), -1, 10)
        each = torch.nn.functional.cross_entropy(z.flatten(0, 1), y.repeat_interleave(z.shape[1]), reduction="none")
        loss = sign * (each if kept is None else each * kept.T.flatten()).sum() / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return nets


@claim(SLUG, kind="directional", slow=True)
def comes_close_to_retraining_on_digits(seed: int = 0) -> Result:
    """Digits, small networks, 50 a group: KLoM on the forget set of matching, oracle matching, ascent and nothing."""
    digits = load_digits()
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(digits.data))[:240]
    x = torch.tensor(digits.data[rows] / 16, dtype=torch.float32)
    y = torch.tensor(digits.target[rows])
    # Those to be forgotten have wrong labels, so that what was learned from them shows.
    f, n = 24, 50
    y[:f] = (y[:f] + torch.tensor(rng.integers(1, 10, f))) % 10
    forget, retain = x[:f], x[f:]
    oracles = _train(_Many(n, 1000 * seed + 1), retain, y[f:])
    trained = _train(_Many(n, 1000 * seed + 2), x, y)
    # Datamodels by ridge regression on 150 networks, each without a random half of the forget set.
    masks = torch.tensor(rng.random((150, f)) < 0.5, dtype=torch.float32)
    kept = torch.cat([masks, torch.ones(150, len(retain))], dim=1)
    told = _train(_Many(150, 1000 * seed + 3), x, y, kept)(x).detach().view(len(x), 150, 10).transpose(0, 1).flatten(1)
    centred = masks - masks.mean(0)
    beta = torch.linalg.solve(centred.T @ centred + 3 * torch.eye(f), centred.T @ (told - told.mean(0)))
    effect = beta.sum(0).view(len(x), 10).repeat(1, n)

    def upper(v: torch.Tensor) -> torch.Tensor:
        """What the outputs of each network are above the mean of ten oracles."""
        return trained(v) - oracles(v).view(len(v), n, 10)[:, :10].mean(1).repeat(1, n)

    def matched(attribution: Any, **options: Any) -> _Many:
        found = pl.text.unlearning.DatamodelMatching(attribution, trained, rng=seed, **options).fit(forget, retain)
        return found.model_

    until_it_converges: dict[str, Any] = {"epochs": 300, "lr": 0.01, "batch_size": 96, "decay": 0.99}
    effects = (effect[:f], effect[f:])
    groups = {
        "oracle matching": matched(upper, **until_it_converges),
        "matching": matched(effects, **until_it_converges),
        "nothing": trained,
        "oracle matching, published steps": matched(upper),
        "matching, published steps": matched(effects),
        "retrained again": _train(_Many(n, 1000 * seed + 4), retain, y[f:]),
    }
    ascents = {steps: _train(trained, forget, y[:f], None, steps, -1.0) for steps in (10, 20, 30, 40)}

    def margins(nets: _Many, part: slice) -> np.ndarray:
        with torch.no_grad():
            return pl.text.unlearning.margins(nets(x[part]).view(len(x[part]), n, 10).transpose(0, 1), y[part])

    def distance(nets: _Many, part: slice) -> float:
        return float(pl.text.unlearning.klom(margins(nets, part), margins(oracles, part)).mean())

    forgotten, retained = slice(f), slice(f, None)
    by_steps = {steps: (distance(nets, forgotten), distance(nets, retained)) for steps, nets in ascents.items()}
    groups["ascent"] = ascents[20]
    klom = {name: distance(nets, forgotten) for name, nets in groups.items()}
    kept = {name: distance(nets, retained) for name, nets in groups.items()}
    whole = klom["matching"] + kept["matching"] < min(sum(pair) for pair in by_steps.values())
    passed = whole and klom["oracle matching"] <= klom["matching"] < min(klom["ascent"], klom["nothing"])
    best = min(by_steps.values())
    return Result(
        klom["matching"],
        {"from": klom["oracle matching"], "below": min(klom["ascent"], klom["nothing"])},
        "mean KLoM on the forget set: oracle matching <= datamodel matching < ascent (20 steps) and < no unlearning; "
        "with that on retained data added, below ascent wherever it is stopped",
        passed,
        baseline={name: klom[name] for name in ("oracle matching", "ascent", "nothing")},
        unit="nats",
        details={
            "retrained again": klom["retrained again"],
            "ascent by steps, on the forget set and on retained data": by_steps,
            "on retained data": kept,
            "median margin": {name: float(np.median(margins(nets, forgotten))) for name, nets in groups.items()},
            "median margin of the retrained": float(np.median(margins(oracles, forgotten))),
        },
        reproduced=passed,
        note="240 digits, 24 of them with wrong labels; datamodels by ridge on 150 networks. Matching is run until it "
        "converges. With the published steps (5 epochs at 0.0005) these networks hardly move, and the order does not "
        f"hold: oracle matching {klom['oracle matching, published steps']:.1f}, matching "
        f"{klom['matching, published steps']:.1f}, nothing {klom['nothing']:.1f}, ascent {klom['ascent']:.1f}. "
        "Stopped where it is nearest to the retrained, which nobody knows who has not retrained, ascent comes to "
        f"{best[0]:.1f} on the forget set alone, against {klom['matching']:.1f} by matching, and is at {best[1]:.1f} "
        f"on retained data, against {kept['matching']:.1f}. A second retraining is at {klom['retrained again']:.1f}.",
    )
