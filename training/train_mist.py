"""Train the weights of `plogp.estimate.MIST` on the CPU, on data sets that are drawn as it goes, and evaluate them.

    OMP_NUM_THREADS=1 python training/train_mist.py --minutes 48 --out plogp/estimate/weights/mist.safetensors

An interrupt keeps the best weights so far. ``--evaluate`` only evaluates what is at --out. The evaluation is written
beside the weights as JSON; the model card (MIST.md) quotes it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from plogp import estimate
from plogp.estimate import tasks
from plogp.estimate.mist import MIST, MISTConfig
from plogp.estimate.tasks.families import FAMILIES
from plogp.estimate.tasks.meta import meta_dataset

SIZES = (20, 50, 100, 200, 500)
NOMINAL = (0.5, 0.8, 0.9, 0.95)


def rivals(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """KSG (k = 3, on ranks and on standardised columns) and the two normal closed forms; NaN where not defined."""
    calls = {
        "ksg": lambda: estimate.ksg(x, y, k=3, workers=1),
        "ksg_rank": lambda: estimate.ksg(x, y, k=3, scale="rank", workers=1),
        "gaussian": lambda: estimate.gaussian_mutual_information(x, y),
        "copula": lambda: estimate.copula_mutual_information(x, y),
    }
    out = {}
    for name, call in calls.items():
        try:
            out[name] = float(call().value)
        except ValueError:
            out[name] = float("nan")
    return out


def judged(model: MIST, sets: list[tuple[np.ndarray, np.ndarray, float]]) -> dict[str, object]:
    """Root mean squared error of each estimator, mean error of the network, and coverage of its intervals."""
    found = model.estimate_many([(x, y) for x, y, _ in sets])
    truth = np.array([t for _, _, t in sets])
    values = {"mist": np.array([e.value for e in found])}
    others = [rivals(x, y) for x, y, _ in sets]
    values |= {name: np.array([o[name] for o in others]) for name in others[0]}
    rmse = {name: float(np.sqrt(np.nanmean((v - truth) ** 2))) for name, v in values.items()}
    covered = {}
    for level in NOMINAL:
        ends = np.array([e.interval(level) for e in found])
        covered[str(level)] = float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))
    return {
        "sets": len(sets),
        "information": float(truth.mean()),
        "rmse": rmse,
        "bias": float(np.mean(values["mist"] - truth)),
        "coverage": covered,
        "in_support": float(np.mean([e.diagnostics["in_support"] for e in found])),
    }


def fresh(n: int, count: int, rng: int, **options: object) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Data sets of the training families with n rows."""
    return list(meta_dataset(count, n_range=(n, n), rng=rng, group=1, **options))


def unseen() -> dict[str, tasks.Task]:
    """Laws that no training set follows."""
    pair, uniform = tasks.multinormal_two_pair(3, 3), tasks.normal_cdf(0.75)
    return {
        "spiral": tasks.mapped(pair, "spiral"),
        "swiss_roll": tasks.mapped(uniform, "swiss_roll"),
        "x_shape": tasks.x_shape(),
        "v_shape": tasks.v_shape(),
        "galaxy": tasks.galaxy(),
        "waves": tasks.waves(),
        "inliers": tasks.multinormal_with_inliers(2, 2),
        "uniform_additive(0.1)": tasks.uniform_additive(0.1),
        "uniform_additive(0.75)": tasks.uniform_additive(0.75),
        "bimodal(0.75)": tasks.bimodal(0.75),
    }


def evaluate(model: MIST, count: int = 600, rng: int = 20_000) -> dict[str, object]:
    """The figures of the model card."""
    sizes = {str(n): judged(model, fresh(n, count, rng + n)) for n in SIZES}
    by_family = {
        name: judged(model, list(meta_dataset(count // 2, families=[name], n_range=(20, 500), rng=rng + i, group=1)))
        for i, name in enumerate(FAMILIES)
    }
    by_dimension = {
        str(d): judged(model, list(meta_dataset(count // 2, n_range=(20, 500), dims=(d, d), rng=rng - d, group=1)))
        for d in range(1, model.config.max_dim + 1)
    }
    random = np.random.default_rng(rng)
    other = {}
    for name, task in unseen().items():
        for n in (100, 500):
            sets = [(*task.sample(n, random), task.truth) for _ in range(max(1, count // 10))]
            row = judged(model, sets)
            checked = [model.estimate(x, y).diagnostics["in_support"] for x, y, _ in sets]
            other[f"{name}, n={n}"] = row | {"in_support": float(np.mean(checked))}
    large = {
        str(n): judged(model, list(meta_dataset(count // 5, n_range=(n, n), rng=rng + n, group=1)))
        for n in (1000, 2000)
    }
    x, y, _ = fresh(500, 1, rng, dims=(3, 3))[0]
    times = []
    for _ in range(20):
        start = time.perf_counter()
        model.estimate(x, y, check=False)
        times.append(time.perf_counter() - start)
    return {
        "by rows": sizes,
        "by family, 20 to 500 rows": by_family,
        "by columns, 20 to 500 rows": by_dimension,
        "unseen": other,
        "more rows than trained": large,
        "milliseconds at n=500, 3 + 3 columns": 1e3 * float(np.median(times)),
        "parameters": sum(p.numel() for p in model.module.parameters()),
    }


def main() -> None:
    """Train, keeping the best weights by held-out pinball loss; then evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=48.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rows-per-step", type=int, default=4096)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--start", type=Path, help="weights to train further")
    parser.add_argument("--evaluate", action="store_true", help="only evaluate")
    parser.add_argument("--count", type=int, default=600, help="data sets of each row of the evaluation")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    start = time.monotonic()

    def report(step: int, value: float) -> None:
        minutes = (time.monotonic() - start) / 60
        sys.stdout.write(f"{minutes:6.1f} min  step {step:6d}  held-out loss {value:.5f}\n")
        sys.stdout.flush()

    if not options.evaluate:
        config = MISTConfig(width=options.width, layers=options.layers)
        model = MIST(options.start) if options.start else MIST(False, config=config, rng=options.seed)
        model.fit(
            steps=10**7,
            minutes=options.minutes,
            rows_per_step=options.rows_per_step,
            lr=options.lr,
            held_out=2000,
            every=250,
            checkpoint=options.out,
            rng=options.seed,
            report=report,
        )
    model = MIST(options.out)
    found = evaluate(model, options.count)
    options.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(json.dumps(found["by rows"], indent=1) + "\n")


if __name__ == "__main__":
    main()
