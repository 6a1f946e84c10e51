"""Coverage of nominal 95 % intervals over tasks with known truth; writes the table of docs/coverage.md.

    python benchmarks/interval_coverage.py              # 400 repetitions a row, all cores
    python benchmarks/interval_coverage.py --quick      # 60 repetitions, to look at

Rows within a method's stated assumptions should cover 92 to 98 %. The exit status is 1 if one of them covers less
than 92 % by more than two binomial errors.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from plogp import estimate as est
from plogp.estimate import tasks
from plogp.estimate.tasks import Task
from plogp.measures import divergence

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Row:
    """One line of the table: repeat `run(rng)`, which returns an Estimate of `truth`."""

    section: str
    method: str
    task: str
    n: int
    truth: float
    run: Callable[[np.random.Generator], Any]
    assumed: bool = True


@dataclass(frozen=True)
class Result:
    """What the repetitions of a row gave."""

    row: Row
    covered: float
    below: float
    above: float
    bias: float
    width: float
    repeats: int

    @property
    def error(self) -> float:
        return math.sqrt(max(self.covered * (1 - self.covered), 0.25 / self.repeats) / self.repeats)

    @property
    def verdict(self) -> str:
        if self.covered + 2 * self.error < 0.92:
            return "short"
        return "wide" if self.covered - 2 * self.error > 0.98 else "ok"


def zipf(k: int) -> np.ndarray:
    p = 1 / np.arange(1, k + 1)
    return p / p.sum()


def shannon(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def from_task(call: Callable[..., Any], task: Task, n: int, rng: np.random.Generator) -> Any:
    return call(*task.sample(n, rng))


def from_law(call: Callable[..., Any], p: np.ndarray, n: int, rng: np.random.Generator) -> Any:
    return call(rng.multinomial(n, p.ravel()).reshape(p.shape))


def two_laws(d: Any, p: np.ndarray, q: np.ndarray, n_p: int, n_q: int, rng: np.random.Generator) -> Any:
    return est.multinomial_divergence(
        rng.multinomial(n_p, p), rng.multinomial(n_q, q), d, num_permutations=199, rng=rng
    )


def entropy_rows() -> list[Row]:
    fixed = np.random.default_rng(1)
    laws = {
        "uniform, 50 states": np.ones(50) / 50,
        "Zipf, 50 states": zipf(50),
        "Zipf, 1000 states": zipf(1000),
        "Dirichlet(1), 50 states": fixed.dirichlet(np.ones(50)),
        "coin (0.3, 0.7)": np.array([0.3, 0.7]),
    }
    rows = []
    for name, p in laws.items():
        for ratio in (0.5, 1, 4, 20):
            n = int(ratio * len(p)) if len(p) > 2 else int(ratio * 50)
            call = partial(est.entropy_from_counts, method="auto")
            rows.append(
                Row(
                    "Entropy of labels",
                    "chao_wang_jost",
                    name,
                    n,
                    shannon(p),
                    partial(from_law, call, p, n),
                    ratio >= 1,
                )
            )
    p = laws["Dirichlet(1), 50 states"]
    for n in (50, 200, 1000):
        call = partial(est.entropy_from_counts, method="nsb", num_states=50)
        rows.append(
            Row("Entropy of labels", "nsb", "Dirichlet(1), 50 states", n, shannon(p), partial(from_law, call, p, n))
        )
    call = partial(est.entropy_from_counts, method="nsb", num_states=1000)
    rows.append(
        Row("Entropy of labels", "nsb", "Zipf, 1000 states", 1000, shannon(zipf(1000)),
            partial(from_law, call, zipf(1000), 1000), False)
    )  # fmt: skip
    return rows


def table_rows() -> list[Row]:
    fixed = np.random.default_rng(2)
    tables = {
        "independent, 2 x 2": np.outer([0.5, 0.5], [0.3, 0.7]),
        "independent Zipf, 5 x 5": np.outer(zipf(5), zipf(5)),
        "independent uniform, 10 x 10": np.full((10, 10), 0.01),
        "weak diagonal, 3 x 3": 0.9 * np.full((3, 3), 1 / 9) + 0.1 * np.eye(3) / 3,
        "half diagonal, 10 x 10": 0.5 * np.full((10, 10), 0.01) + 0.5 * np.eye(10) / 10,
        "Dirichlet(1), 10 x 10": fixed.dirichlet(np.ones(100)).reshape(10, 10),
        "identity, 3 states": np.eye(3) / 3,
    }
    rows = []
    for name, p in tables.items():
        truth = max(0.0, shannon(p.sum(0)) + shannon(p.sum(1)) - shannon(p.ravel()))
        for n in sorted({max(int(ratio * p.size), 50) for ratio in (1, 4, 20)}):
            run = partial(from_law, est.mutual_information_from_counts, p, n)
            rows.append(Row("Mutual information of labels", "chao_wang_jost", name, n, truth, run, n >= 4 * p.size))
    p = np.einsum("i,ij,ik->jki", [0.3, 0.7], [[0.5, 0.5], [0.2, 0.8]], [[0.1, 0.9], [0.6, 0.4]])
    for n in (50, 400):
        run = partial(from_law, est.conditional_mutual_information_from_counts, p, n)
        rows.append(
            Row("Conditional information of labels", "chao_wang_jost", "independent given z, 2 x 2 x 2", n, 0.0, run)
        )
    return rows


def multinomial_rows() -> list[Row]:
    p, q = np.array([0.1, 0.2, 0.3, 0.25, 0.15]), np.array([0.2, 0.25, 0.25, 0.2, 0.1])
    z, near = zipf(20), 0.9 * zipf(20) + 0.1 / 20
    cases = {
        "equal, 5 states": (p, p, 400, 2500),
        "different, 5 states": (p, q, 400, 2500),
        "equal Zipf, 20 states": (z, z, 1000, 1000),
        "near, 20 states": (z, near, 1000, 1000),
    }
    rows = []
    for d in ("jeffreys", "kl", "js", "hellinger", "tv"):
        for name, (a, b, n_a, n_b) in cases.items():
            truth = float(divergence(d)(a, b))
            rows.append(
                Row("Divergence of two multinomials", d, name, n_a + n_b, truth, partial(two_laws, d, a, b, n_a, n_b))
            )
    return rows


def continuous_rows() -> list[Row]:
    rows = []
    for law in ("normal", "uniform", "exponential", "laplace"):
        task = tasks.continuous_entropy(law)
        for n in (200, 1000):
            run = partial(from_task, est.entropy, task, n)
            rows.append(Row("Entropy of numbers", "kozachenko_leonenko", task.name, n, task.truth, run))
    for task in tasks.mutual_information_tasks():
        for n in (200, 1000):
            run = partial(from_task, est.mutual_information, task, n)
            smooth = not task.name.startswith("uniform_additive")  # a density with sharp edges
            rows.append(Row("Mutual information of numbers", "ksg", task.name, n, task.truth, run, smooth))
    for task, method in ((tasks.mixed_uniform(5), "gao"), (tasks.zero_inflated_poisson(), "gao")):
        run = partial(from_task, partial(est.mutual_information, method=method), task, 1000)
        rows.append(Row("Mutual information of mixtures", method, task.name, 1000, task.truth, run))
    for shift in (0.0, 1.0, 2.0):
        task = tasks.mixed_labels(shift)
        run = partial(from_task, est.mutual_information, task, 500)
        rows.append(Row("Mutual information of label and number", "ross", task.name, 500, task.truth, run))
    for rho in (0.0, 0.6):
        task = tasks.conditional_gaussian(rho)
        run = partial(from_task, est.conditional_mutual_information, task, 1000)
        rows.append(Row("Conditional information of numbers", "frenzel_pompe", task.name, 1000, task.truth, run))
    task = tasks.var_process()
    run = partial(from_task, est.transfer_entropy, task, 2000)
    rows.append(Row("Transfer entropy of numbers", "frenzel_pompe", task.name, 2000, task.truth, run))
    for rho in (0.0, 0.6):
        task = tasks.gaussian(rho)
        run = partial(from_task, partial(est.mutual_information, method="gaussian"), task, 200)
        rows.append(Row("Mutual information, closed form", "gaussian", task.name, 200, task.truth, run))
    return rows


def measure(row: Row, seed: np.random.SeedSequence, repeats: int) -> Result:
    values, lows, highs = [], [], []
    for child in seed.spawn(repeats):
        found = row.run(np.random.default_rng(child))
        low, high = found.interval(0.95)
        values.append(found.value)
        lows.append(low)
        highs.append(high)
    low_ends, high_ends = np.array(lows) - 1e-12, np.array(highs) + 1e-12
    below, above = (high_ends < row.truth).mean(), (low_ends > row.truth).mean()
    width = float(np.mean(high_ends - low_ends))
    return Result(row, float(1 - below - above), below, above, float(np.mean(values)) - row.truth, width, repeats)


def page(results: list[Result], repeats: int, seconds: float) -> str:
    inside = [r for r in results if r.row.assumed]
    good = sum(0.92 - 2 * r.error <= r.covered <= 0.98 + 2 * r.error for r in inside)
    lines = [
        "# Coverage of the intervals",
        "",
        f"Measured by `benchmarks/interval_coverage.py`: {repeats} repetitions a row, {seconds:.0f} s. "
        "Nominal level 95 %.",
        f"Of the {len(inside)} rows within the stated assumptions of their method, {good} cover 92 to 98 %, give or",
        "take two binomial errors. *low* and *high*: how often the whole interval lay below, above the truth.",
        "At independence and equality (truth 0) the lower end is 0, so the nominal coverage there is 97.5 %.",
        "",
    ]
    section = None
    for r in results:
        if r.row.section != section:
            section = r.row.section
            lines += [f"## {section}", "", "| task | method | n | truth | coverage | low | high | bias | width | |"]
            lines.append("|---|---|---|---|---|---|---|---|---|---|")
        verdict = r.verdict if r.row.assumed else f"{r.verdict}, outside the assumptions"
        lines.append(
            f"| {r.row.task} | {r.row.method} | {r.row.n} | {r.row.truth:.4f} | {100 * r.covered:.1f} ± "
            f"{100 * r.error:.1f} % | {100 * r.below:.1f} % | {100 * r.above:.1f} % | {r.bias:+.4f} | {r.width:.3f} "
            f"| {verdict} |"
        )
        if r is results[-1] or results[results.index(r) + 1].row.section != section:
            lines.append("")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="60 repetitions a row")
    parser.add_argument("--repeats", type=int, default=400, help="repetitions a row")
    parser.add_argument("--jobs", type=int, default=-1, help="processes")
    parser.add_argument("--only", default="", help="rows whose section, method or task contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "coverage.md")
    options = parser.parse_args(arguments)
    repeats = 60 if options.quick else options.repeats
    rows = [*entropy_rows(), *table_rows(), *multinomial_rows(), *continuous_rows()]
    rows = [r for r in rows if options.only.lower() in f"{r.section} {r.method} {r.task}".lower()]
    if not rows:
        parser.error(f"no row matches {options.only!r}")
    start = time.perf_counter()
    seeds = np.random.SeedSequence(options.seed).spawn(len(rows))
    jobs = (delayed(measure)(row, seed, repeats) for row, seed in zip(rows, seeds))
    results = list(Parallel(n_jobs=options.jobs)(jobs))
    text = page(results, repeats, time.perf_counter() - start)
    if options.only:
        print(text)
    else:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(text, encoding="utf-8")
        print(f"{options.out} written")
    short = [r for r in results if r.row.assumed and r.verdict == "short"]
    for r in short:
        print(f"short: {r.row.section}, {r.row.task}, {r.row.method}, n={r.row.n}: {100 * r.covered:.1f} %")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
