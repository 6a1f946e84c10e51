"""Mutual information by supervised training (Gritsai, Richards, Méloux, Cho and Peyrard, arXiv 2511.18945).

The paper: a permutation-invariant network, trained on simulated data sets with known information, beats classical
estimators at few samples and gives calibrated intervals.
"""

import numpy as np
import torch

import plogp as pl
from plogp.estimate import tasks
from plogp.estimate.mist import MIST, MISTConfig, pinball_loss
from plogp.estimate.mist_network import Prepared, prepare, together
from plogp.estimate.tasks.meta import meta_batch, meta_dataset
from plogp.papers.claim import Result, claim

SLUG = "mist"


def _prepared(n: int, seed: int) -> Prepared:
    x, y, _ = meta_batch(6, n, 3, 2, rng=seed)
    return prepare(torch.from_numpy(x), torch.from_numpy(y), 5).to(dtype=torch.float32)


def _judged(model: MIST, sets: list) -> dict:
    """Root mean squared errors, and coverage of nominal 80 % intervals."""
    truth = np.array([t for *_, t in sets])
    found = model.estimate_many([(x, y) for x, y, _ in sets])
    rivals = {
        "ksg": [pl.estimate.ksg(x, y, k=3, workers=1).value for x, y, _ in sets],
        "gaussian": [pl.estimate.gaussian_mutual_information(x, y).value for x, y, _ in sets],
    }
    values = {"mist": [e.value for e in found], **rivals}
    rmse = {name: float(np.sqrt(np.mean((np.array(v) - truth) ** 2))) for name, v in values.items()}
    ends = np.array([e.interval(0.8) for e in found])
    return rmse | {"coverage": float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))}


@claim(SLUG, kind="exact")
def order_and_padding(seed: int = 0) -> Result:
    """Neither the order of the rows nor rows that only fill up a batch change an answer of the shipped network."""
    network = MIST().module
    given, longer = _prepared(40, seed), _prepared(90, seed + 1)
    tau = torch.tensor([[0.1, 0.5, 0.9]]).expand(6, -1)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(40))
    mixed = Prepared(given.rows[:, order], given.context, given.guess, given.unit)
    with torch.no_grad():
        plain = network.quantiles(given, tau)
        by_order = float((network.quantiles(mixed, tau) - plain).abs().max())
        padded = network.quantiles(together([given, longer]), torch.cat([tau, tau]))[:6]
    worst = max(by_order, float((padded - plain).abs().max()))
    return Result(worst, 0.0, "largest change of a quantile <= 1e-5 nats", worst <= 1e-5, unit="nats")


@claim(SLUG, kind="exact")
def pinball_gradient(seed: int = 0) -> Result:
    """The derivative of the loss by the predicted quantile is -(τ - 1[y < q])."""
    rng = np.random.default_rng(seed)
    q, y, tau = (torch.from_numpy(rng.normal(size=200)) for _ in range(3))
    tau = torch.sigmoid(tau)
    q.requires_grad_()
    (pinball_loss(q, y, tau) * len(q)).backward()
    worst = float((q.grad + tau - (y < q.detach()).double()).abs().max())
    return Result(worst, 0.0, "largest difference <= 1e-12", worst <= 1e-12)


@claim(SLUG, kind="statistical")
def shipped_weights(seed: int = 0) -> Result:
    """Fresh sets of the training families, 20 to 200 rows: smaller errors than both baselines, honest intervals."""
    sets = list(meta_dataset(400, n_range=(20, 200), dims=(1, 5), rng=10_000 + seed, group=1))
    found = _judged(MIST(), sets)
    best = min(found["ksg"], found["gaussian"])
    passed = found["mist"] < best and 0.7 <= found["coverage"] <= 0.9
    return Result(
        {"rmse": found["mist"], "coverage of nominal 80 %": found["coverage"]},
        {"rmse": f"below {best:.3f}", "coverage of nominal 80 %": 0.8},
        "RMSE below KSG (k=3) and the normal plug-in; coverage between 0.7 and 0.9",
        passed,
        baseline={"ksg": found["ksg"], "gaussian": found["gaussian"]},
        unit="nats",
        details={"sets": len(sets), "columns": "1 to 5 each"},
    )


@claim(SLUG, kind="statistical")
def order_of_correlations(seed: int = 0) -> Result:
    """Normal pairs over a grid of correlations: the estimates come in the order of the truths."""
    from scipy import stats

    grid = np.linspace(0.0, 0.95, 20)
    samples = [tasks.gaussian(rho).sample(300, 100 * seed + i) for i, rho in enumerate(grid)]
    found = [pl.estimate.mutual_information(x, y, method="mist").value for x, y in samples]
    truth = [tasks.gaussian(rho).truth for rho in grid]
    rank = float(stats.spearmanr(found, truth).statistic)
    return Result(
        rank,
        {"above": 0.95},
        "rank correlation of estimate and truth above 0.95",
        rank > 0.95,
        details={"n": 300},
        series={
            "x": grid.tolist(),
            "curves": {"estimate": [float(v) for v in found], "truth": [float(t) for t in truth]},
            "xlabel": "correlation",
            "ylabel": "nats",
        },
    )


@claim(SLUG, kind="directional", slow=True)
def tiny_network_learns_to_estimate(seed: int = 0) -> Result:
    """A network of 32 units, trained from nothing on a few thousand sets (20 to 100 rows, 1 or 2 columns)."""
    config = MISTConfig(max_dim=2, n_range=(20, 100), width=32, heads=4, layers=2, inducing=8, seeds=2, head=64)
    rows = []
    for s in range(3):
        model = MIST(False, config=config, rng=3 * seed + s)
        model.fit(steps=300, rows_per_step=1500, lr=3e-3, held_out=200, every=100, rng=3 * seed + s)
        fresh = meta_dataset(300, n_range=(20, 100), dims=(1, 2), rng=20_000 + 3 * seed + s, group=1)
        rows.append(_judged(model, list(fresh)))
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    wins = all(row["mist"] < min(row["ksg"], row["gaussian"]) for row in rows)
    passed = wins and 0.7 <= mean["coverage"] <= 0.9
    return Result(
        {"rmse": mean["mist"], "coverage of nominal 80 %": mean["coverage"]},
        {"rmse": f"below {min(mean['ksg'], mean['gaussian']):.3f}", "coverage of nominal 80 %": 0.8},
        "in each of 3 trainings RMSE below KSG (k=3) and the normal plug-in; mean coverage between 0.7 and 0.9",
        passed,
        baseline={"ksg": mean["ksg"], "gaussian": mean["gaussian"]},
        unit="nats",
        details={"trainings": rows},
    )
