"""Benchmark synthesis (Garg et al., InfoSynth, arXiv 2601.00575).

The paper: the KL divergence of new problems' embeddings from old ones, by nearest neighbours, measures novelty, and
their differential entropy diversity; keeping the children farthest from what there is raises both.
"""

from functools import cache

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "infosynth"


@claim(SLUG, kind="statistical")
def measures_known_gaussians(seed: int = 0) -> Result:
    """Normals shifted by 1 on each axis: novelty d/2 up to a bias that falls with n; diversity their entropy."""
    relative, shrinks, entropies = {}, {}, {}
    for d, allowed in ((2, 0.15), (5, 0.25)):
        errors: dict[int, list[float]] = {500: [], 3000: []}
        entropy = []
        for s in range(3):
            rng = np.random.default_rng(100 * seed + s)
            for n in errors:
                new, old = rng.normal(1, 1, (n, d)), rng.normal(size=(n, d))
                errors[n].append(pl.text.novelty(new, old, 4).value / (d / 2) - 1)
            entropy.append(pl.text.diversity(new, 4).value - d / 2 * np.log(2 * np.pi * np.e))
        relative[d] = (float(np.mean(errors[3000])), allowed)
        shrinks[d] = abs(np.mean(errors[3000])) < abs(np.mean(errors[500]))
        entropies[d] = float(np.mean(entropy))
    return Result(
        {
            "relative error of novelty, d = 2": relative[2][0],
            "relative error of novelty, d = 5": relative[5][0],
            "error of diversity, d = 2": entropies[2],
            "error of diversity, d = 5": entropies[5],
        },
        {"relative error of novelty, d = 2": 0.0, "relative error of novelty, d = 5": 0.0},
        "novelty within 15 % (d = 2) and 25 % (d = 5) at n = 3,000 and nearer than at 500; diversity within 0.15 nats; "
        "means of 3 samples",
        all(abs(e) <= allowed for e, allowed in relative.values())
        and all(shrinks.values())
        and max(map(abs, entropies.values())) <= 0.15,
        details={"k": 4},
    )


def _check(item: tuple[tuple[int, ...], int]) -> bool:
    """Run the item's solution against its test: a polynomial with whole coefficients, its value at 3."""
    coefficients, value = item
    return sum(c * 3**i for i, c in enumerate(coefficients)) == value


def _child(coefficients: list[int], rng: np.random.Generator) -> tuple[tuple[int, ...], int]:
    """Return a problem with a solution that a careless generator gets wrong in one case of ten."""
    value = sum(c * 3**i for i, c in enumerate(coefficients))
    return tuple(coefficients), value + int(rng.random() < 0.1)


def _mutate(item: tuple[tuple[int, ...], int], difficulty: str, rng: np.random.Generator) -> tuple:
    step = {"easier": 1, "equal": 2, "harder": 4}[difficulty]
    coefficients = list(item[0])
    coefficients[int(rng.integers(len(coefficients)))] += int(rng.integers(-step, step + 1))
    return _child(coefficients, rng)


def _cross(items: list, rng: np.random.Generator) -> tuple:
    return _child([int(rng.choice([item[0][i] for item in items])) for i in range(len(items[0][0]))], rng)


def _embed(items: list) -> np.ndarray:
    x = np.array([item[0] for item in items], float)
    fine = np.sin(x @ np.arange(1, 17).reshape(4, 4)) / 100  # so that no two problems are at one point
    return np.concatenate([x + fine, np.full((len(x), 1), 6.0)], axis=1)


@cache
def _evolved(seed: int) -> dict[str, list[float]]:
    """Return novelty and diversity of 10 evolutions that keep the farthest children, and of 10 that keep any.

    "spread" is the diversity of the very problems whose novelty is taken.
    """
    names = [f"{what}, {how}" for what in ("novelty", "spread", "diversity") for how in ("farthest", "any")]
    names.append("diversity, seeds")
    table: dict[str, list[float]] = {name: [] for name in names}
    failed = 0
    for s in range(10):
        rng = np.random.default_rng(1000 * seed + s)
        seeds = list({_child_exact(rng.integers(0, 3, 4)) for _ in range(80)})
        old = _embed(seeds)
        for name, farthest in (("farthest", True), ("any", False)):
            found = pl.text.evolve(
                seeds, _mutate, _cross, _check, _embed, 40, per_step=24, keep=4, farthest=farthest, rng=rng.spawn(1)[0]
            )
            failed += sum(not _check(item) for item in found.items)
            new = found.embeddings[len(seeds) :][:120]
            table[f"novelty, {name}"].append(pl.text.novelty(new, old, sphere=True).value)
            table[f"spread, {name}"].append(pl.text.diversity(new, sphere=True).value)
            size = min(len(new), len(old))
            table[f"diversity, {name}"].append(pl.text.diversity(new[-size:], sphere=True).value)
        table["diversity, seeds"].append(pl.text.diversity(old[:size], sphere=True).value)
    return table | {"failed": [float(failed)]}


def _gain(table: dict[str, list[float]], better: str, worse: str) -> tuple[float, float, int]:
    """Return the mean paired difference, how many standard errors it is from 0, and how often it is positive."""
    gain = np.subtract(table[better], table[worse])
    return float(gain.mean()), float(gain.mean() / (gain.std(ddof=1) / np.sqrt(len(gain)))), int((gain > 0).sum())


@claim(SLUG, kind="directional")
def keeping_the_farthest_raises_diversity(seed: int = 0) -> Result:
    """Evolution that keeps the farthest children is more diverse than one that keeps any, and than the seeds."""
    table = _evolved(seed)
    gain, clear, often = _gain(table, "diversity, farthest", "diversity, any")
    over, clearly, always = _gain(table, "diversity, farthest", "diversity, seeds")
    return Result(
        {"gain": gain, "gain over the seeds": over, "items that fail": table["failed"][0]},
        {"gain": 0.0, "gain over the seeds": 0.0, "items that fail": 0.0},
        "mean gains over 10 seeds above 2 standard errors, and every item passes its test",
        clear > 2 and clearly > 2 and table["failed"][0] == 0,
        baseline={name: float(np.mean(values)) for name, values in table.items() if name.startswith("div")},
        unit="nats",
        details=table | {"in standard errors": [clear, clearly], "positive, of 10": [often, always]},
    )


@claim(SLUG, kind="directional")
def keeping_the_farthest_raises_novelty(seed: int = 0) -> Result:
    """Evolution that keeps the farthest children is more novel than one that keeps any."""
    table = _evolved(seed)
    gain, clear, often = _gain(table, "novelty, farthest", "novelty, any")
    spread = _gain(table, "spread, farthest", "spread, any")[0]
    passed = clear > 2
    return Result(
        gain,
        0.0,
        "mean gain over 10 seeds above 2 standard errors",
        passed,
        baseline={name: float(np.mean(values)) for name, values in table.items() if name.startswith("nov")},
        unit="nats",
        details=table | {"in standard errors": [clear], "positive, of 10": often},
        reproduced=passed,
        note=""
        if passed
        else (
            f"The gain is {gain:.3f} nats, {clear:.1f} standard errors, and positive in {often} of 10 seeds, where a "
            "first criterion asked for every seed. A divergence is cross-entropy less entropy: the farthest children "
            f"do lie farther from the old problems, by {gain + spread:.2f} nats of cross-entropy, but are also spread "
            f"wider, by {spread:.2f} nats of entropy, which takes the gain away. And any evolution leaves the seeds."
        ),
    )


def _child_exact(coefficients: np.ndarray) -> tuple[tuple[int, ...], int]:
    known = tuple(int(c) for c in coefficients)
    return known, sum(c * 3**i for i, c in enumerate(known))


@claim(SLUG, kind="exact")
def wrong_problems_do_not_pass(seed: int = 0) -> Result:
    """A solution and its tests run in a process of their own: right passes; wrong, endless and broken ones do not."""
    cases = {
        "right": ("def f(x):\n    return x * x", True),
        "wrong": ("def f(x):\n    return x + x + 1", False),
        "endless": ("def f(x):\n    while True: pass", False),
        "broken": ("def f(x) return", False),
        "leaves": ("import os\nos._exit(0)", False),
    }
    tests = ["assert f(3) == 9", "assert f(-1) == 1"]
    found = {name: pl.text.run_tests(code, tests, 1.0).passed for name, (code, _) in cases.items()}
    right = sum(found[name] is expected for name, (_, expected) in cases.items())
    return Result(right, len(cases), "every verdict right", right == len(cases), details=found)
