"""Every estimator of mutual information on the tasks of the 'Beyond Normal' benchmark; writes docs/mi-benchmark.md.

    python benchmarks/mi_tasks.py                            # all that is not yet in the cache, then the page
    python benchmarks/mi_tasks.py --part classical           # one part: classical, learned, peers, consistency
    python benchmarks/mi_tasks.py --part page                # the page from what the cache holds
    python benchmarks/mi_tasks.py --quick                    # a look: few tasks, n = 500, nothing written but the cache
    python benchmarks/mi_tasks.py --peers-python PATH        # also torch-mist, run by the interpreter that has it

Finished cells (estimator, task, n, repetition) are kept in --cache, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plogp.estimate import tasks
from plogp.estimate.tasks import Task

ROOT = Path(__file__).resolve().parent.parent
SEED = 2306
#: Training steps of the learned estimators: small budgets, which users will want to raise.
STEPS = {"minde": 1500, "other": 600}
LEARNED = ("smile", "infonce", "mine", "nwj", "js", "doe", "minde", "mist")
#: Nothing is trained: these run where the classical ones do. "ksg1" is "ksg"; discrete methods do not suit.
CLASSICAL = ("auto", "ksg", "ksg2", "gao", "gaussian", "copula", "binned", "compressed")
PEERS = ("scikit-learn", "infomeasure", "torch-mist smile", "torch-mist infonce")
PARTS = ("classical", "learned", "peers", "consistency", "page")


@dataclass(frozen=True)
class Cell:
    """One call: an estimator on one sample of a task."""

    estimator: str
    task: str
    n: int
    repetition: int

    @property
    def key(self) -> str:
        return f"{self.estimator}|{self.task}|{self.n}|{self.repetition}"


class Cache:
    """Finished cells, a JSON object a line, appended one by one."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "cells.jsonl"
        self.rows: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # the last line of a run that was killed
                    row = json.loads(line)
                    self.rows[row["key"]] = row

    def add(self, row: dict[str, Any]) -> None:
        self.rows[row["key"]] = row
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def columns(task: Task) -> int:
    """Return how many columns the wider variable of a task has."""
    return max(np.shape(v)[1] for v in task.sample(2, 0))


def repeats(estimator: str, d: int) -> int:
    """Return how often an estimator runs on a task."""
    if estimator in CLASSICAL or estimator == "mist":
        return 5
    return 1 if estimator.startswith("torch-mist") or (estimator in PEERS and d > 3) else 2


def suits(estimator: str, task: Task, d: int) -> bool:
    """Whether an estimator is run on a task."""
    if estimator in ("binned", "scikit-learn"):
        return all(np.shape(v)[1] == 1 for v in task.sample(2, 0))
    if estimator == "gao":
        return d == 1  # on continuous data it is ksg
    return d <= 5 or estimator not in ("ksg", "ksg2", "infomeasure", "mist")  # wide neighbours: "auto" stands for all


def plan(part: str, quick: bool) -> list[Cell]:
    """Return the cells of a part."""
    core = tasks.beyond_normal_core()
    if quick:
        chosen = core[:1] + core[6:7]
        names = {"classical": CLASSICAL, "learned": ("smile", "minde", "mist"), "peers": PEERS}[part]
        return [Cell(e, t.name, 500, 0) for e in names for t in chosen if suits(e, t, columns(t))]
    everywhere = {"classical": CLASSICAL, "learned": ("mist",), "peers": PEERS[:2]}[part]
    on_core = {"classical": (), "learned": LEARNED[:-1], "peers": PEERS[2:]}[part]
    cells = []
    for names, where in ((everywhere, tasks.beyond_normal()), (on_core, core)):
        for task in where:
            d = columns(task)
            for name in names:
                if suits(name, task, d):
                    cells += [Cell(name, task.name, 5000, r) for r in range(repeats(name, d))]
    if part == "classical":  # the larger sample where it costs little
        for task in core:
            d = columns(task)
            for name in ("auto", "gaussian", "copula"):
                if d <= 2 or name != "auto":
                    cells += [Cell(name, task.name, 10_000, r) for r in range(repeats(name, d))]
    return cells


def own(method: str, x: Any, y: Any, seed: int) -> Any:
    """Run an estimator of plogp."""
    from plogp import estimate

    options: dict[str, Any] = {}
    if method in LEARNED and method != "mist":
        options["steps"] = STEPS.get(method, STEPS["other"])
        if method != "minde":
            options["restarts"] = 1
    return estimate.mutual_information(x, y, method=method, rng=seed, **options)


def sklearn_ksg(x: Any, y: Any, seed: int) -> float:
    from sklearn.feature_selection import mutual_info_regression

    return float(mutual_info_regression(x, y.ravel(), random_state=seed)[0])


def infomeasure_ksg(x: Any, y: Any, seed: int) -> float:
    import infomeasure

    return float(infomeasure.mutual_information(x, y, approach="metric", k=4))


def torch_mist(bound: str) -> Callable[[Any, Any, int], float]:
    def call(x: Any, y: Any, seed: int) -> float:
        import torch
        from torch_mist.utils import estimate_mi

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        x, y = x.astype(np.float32), y.astype(np.float32)
        test = len(x) // 5
        # Its defaults, but for the layers (which have none), the number of steps and a test set it did not see.
        found = estimate_mi(
            (x[test:], y[test:]),
            estimator=bound,
            test_data=(x[:test], y[:test]),
            hidden_dims=[128, 128],
            max_iterations=STEPS["other"],
            verbose=False,
            logger=False,
        )
        return float(found[0] if isinstance(found, tuple) else found)

    return call


CALLS: dict[str, Callable[[Any, Any, int], Any]] = {
    "scikit-learn": sklearn_ksg,
    "infomeasure": infomeasure_ksg,
    "torch-mist smile": torch_mist("smile"),
    "torch-mist infonce": torch_mist("infonce"),
}


def run(cell: Cell, by_name: dict[str, Task]) -> dict[str, Any]:
    """Run one cell. A refusal (an error of the estimator) is a result too."""
    task = by_name[cell.task]
    seed = SEED + cell.repetition
    # A sample of its own for every task: their errors are then independent.
    x, y = task.sample(cell.n, np.random.default_rng([seed, zlib.crc32(task.name.encode())]))
    row: dict[str, Any] = {"key": cell.key, **cell.__dict__, "truth": task.truth}
    start = time.process_time()
    try:
        found = CALLS[cell.estimator](x, y, seed) if cell.estimator in CALLS else own(cell.estimator, x, y, seed)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        return row | {"error": f"{type(error).__name__}: {error}", "seconds": time.process_time() - start}
    row |= {"seconds": time.process_time() - start, "value": float(found)}
    if getattr(found, "has_interval", False):
        low, high = found.interval(0.95)
        row |= {"low": float(low), "high": float(high)}
    return row


def in_other_python(python: str, cells: list[Cell]) -> Iterator[dict[str, Any]]:
    """Run cells with another interpreter, which sends a JSON object a line back."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen(
        [python, str(Path(__file__).resolve()), "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps([cell.__dict__ for cell in cells]))
    worker.stdin.close()
    for line in worker.stdout:
        yield json.loads(line)
    if worker.wait() != 0:
        raise RuntimeError(f"{python} ended with exit code {worker.returncode}; its message is above")


def work() -> None:
    """Answer `in_other_python`: what the packages print goes to stderr, only rows to stdout."""
    cells = [Cell(**given) for given in json.load(sys.stdin)]
    by_name = {task.name: task for task in tasks.beyond_normal()}
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for cell in cells:
        answer.write(json.dumps(run(cell, by_name)) + "\n")
        answer.flush()


def complete(cells: Iterable[Cell], cache: Cache, peers_python: str | None) -> None:
    """Run the cells that the cache lacks, with progress."""
    from rich.progress import Progress

    missing = [cell for cell in cells if cell.key not in cache.rows]
    elsewhere = [cell for cell in missing if cell.estimator.startswith("torch-mist")]
    here = [cell for cell in missing if cell not in elsewhere]
    by_name = {task.name: task for task in tasks.beyond_normal()}
    with Progress() as progress:
        bar = progress.add_task("cells", total=len(here) + (len(elsewhere) if peers_python else 0))
        for cell in here:
            progress.update(bar, description=f"{cell.estimator} on {cell.task}")
            cache.add(run(cell, by_name))
            progress.advance(bar)
        if peers_python and elsewhere:
            progress.update(bar, description="torch-mist")
            for row in in_other_python(peers_python, elsewhere):
                cache.add(row)
                progress.advance(bar)
        elif elsewhere:
            progress.console.print(f"{len(elsewhere)} cells of torch-mist left: give --peers-python")


# -- self-consistency ------------------------------------------------------------------------------------------


def tables() -> dict[str, Any]:
    """Return the data that the self-consistency tests look at."""
    from sklearn.datasets import load_digits

    normal, _ = tasks.multinormal_dense(4, 1).sample(4000, SEED)
    return {"4 normal columns": normal, "8 x 8 digits": load_digits().images}


def consistency(path: Path, quick: bool) -> None:
    """Ask every estimator for the three ratios; what is in the file is kept."""
    from rich.progress import track

    from plogp import estimate

    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    names = [e for e in CLASSICAL if e not in ("gao", "binned")]
    calls = [(name, data) for data in tables() for name in names]
    calls += [(name, "4 normal columns") for name in LEARNED]
    for name, data in track(calls[:2] if quick else calls, "self-consistency"):
        if f"{name}|{data}" in found:
            continue
        try:
            result = estimate.self_consistency(
                lambda x, y, name=name: own(name, x, y, SEED), tables()[data], noise=0.5, rng=SEED
            )
        except (ValueError, TypeError, RuntimeError) as error:
            found[f"{name}|{data}"] = {"error": f"{type(error).__name__}: {error}"}
        else:
            ratios = [*result.monotone_ratios, result.data_processing_ratio, result.additivity_ratio]
            found[f"{name}|{data}"] = {"ratios": ratios, "passed": result.passed()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))


# -- the page --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """What the repetitions of an estimator on a set of tasks gave."""

    bias: float
    rmse: float
    covered: tuple[int, int]
    seconds: float
    tasks: int
    refused: int

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> Score:
        good = [row for row in rows if "value" in row and math.isfinite(row["value"])]
        error = np.array([row["value"] - row["truth"] for row in good])
        with_interval = [row for row in good if "low" in row]
        hits = sum(row["low"] <= row["truth"] <= row["high"] for row in with_interval)
        return cls(
            float(error.mean()) if good else math.nan,
            float(np.sqrt((error**2).mean())) if good else math.nan,
            (hits, len(with_interval)),
            float(np.median([row["seconds"] for row in rows])),
            len({row["task"] for row in rows}),
            len(rows) - len(good),
        )

    @property
    def coverage(self) -> str:
        hits, count = self.covered
        return f"{100 * hits / count:.0f} %" if count else "none"


def label(estimator: str) -> str:
    return estimator if estimator in PEERS else f"`{estimator}`"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def family_section(family: str, members: list[Task], rows: list[dict[str, Any]]) -> str:
    """Return the tables of a family: scores of the estimators, then bias (RMSE) task by task."""
    names = [task.name for task in members]
    rows = [row for row in rows if row["task"] in names]
    order = [e for e in (*CLASSICAL, *LEARNED, *PEERS) if any(row["estimator"] == e for row in rows)]
    out = [f"## {family[0].upper()}{family[1:]}\n"]
    scores = []
    for e in order:
        s = Score.of([row for row in rows if row["estimator"] == e])
        refused = f"{s.refused}" if s.refused else ""
        figures = [f"{s.bias:+.3f}", f"{s.rmse:.3f}", s.coverage, f"{s.seconds:.2f}", refused]
        scores.append([label(e), f"{s.tasks} of {len(names)}", *figures])
    header = ["estimator", "tasks", "mean bias", "RMSE", "coverage", "seconds a call", "refused"]
    out.append(table(header, scores))
    out.append("Bias (RMSE) task by task:\n")
    body = []
    for task in members:
        line = [task.name, f"{task.truth:.3f}"]
        for e in order:
            here = [row for row in rows if row["estimator"] == e and row["task"] == task.name]
            s = Score.of(here) if here else None
            line.append("" if s is None else "refused" if math.isnan(s.bias) else f"{s.bias:+.2f} ({s.rmse:.2f})")
        body.append(line)
    out.append(table(["task", "truth", *map(label, order)], body))
    return "\n".join(out)


INTRODUCTION = """# Mutual information: every estimator on tasks with a known answer

The 40 tasks are those of the 'Beyond Normal' benchmark (Czyż, Grabowski, Vogt, Beerenwinkel and Marx, NeurIPS 2023,
arXiv 2306.11078), drawn from formulas by `plogp.estimate.tasks`; their true values agree with the authors' own
package to 1e-7. All figures are in nats, n = 5,000 unless said otherwise. *Bias* is the mean of estimate minus truth
over tasks and repetitions, *RMSE* the root of its mean square, *coverage* the share of nominal 95 % intervals that
hold the truth ("none": the estimator gives no interval), *seconds* the median processor time of a call.

What to read from it, and what not:

- Classical estimators ran on all tasks with 5 samples each. Coverage of so few is rough; docs/coverage.md has the
  careful figures for one column.
- An interval speaks of sampling error. Where an estimator is biased (neighbours in many dimensions, a Gaussian
  formula on data that are not Gaussian, principal components of data that have no leading ones) it does not cover.
- `gaussian` is exact on normal vectors and wrong elsewhere; `copula` needs only a Gaussian copula, which the maps of
  single columns keep and Student vectors and spirals do not have.
- `compressed` keeps four principal components of each side. It is made for images and layers; here it can find at
  most what those hold. The Swiss roll has no density in the plane, so its entropies do not exist, and it fails.
- `binned` and scikit-learn take one column against one; they ran on those tasks only.
- `auto` is KSG on ranks, `ksg` on standardised columns, `ksg2` its second form; the last two ran up to 5 columns, as
  did infomeasure. `gao` gives what `ksg` gives on continuous data and ran on one column only.
- The neighbours of scikit-learn (k = 3) and infomeasure (k = 4) are KSG's too.
- `mist` was trained beforehand, on normal, Student and uniform families with maps such as these, for at most 5 columns.
- The other learned estimators ran on a dozen tasks, twice, with small budgets: {other} training steps ({minde} for
  `minde`), one restart. They would do better with more. torch-mist ran once, with its defaults, {other} steps and a
  test set of a fifth.
"""


CONSISTENCY = """## Self-consistency

Three settings in which the ratios are known, whatever the data (`plogp.estimate.self_consistency`; Song and Ermon
2020, arXiv 1910.06222). Y is a part of X with noise of half its standard deviation. *Part*: I of a quarter, a half and
three quarters of X over that of all of it, which must not fall, and be 0 for none of it. *Data processing*: the ratio
after x and a part of y are written down twice, 1. *Additivity*: two independent copies over one, 2. *Passes*: within
10 %. The closed forms refuse columns that repeat.
"""


def consistency_section(path: Path) -> str:
    """Return the tables of the self-consistency tests."""
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    out = [CONSISTENCY]
    for data in dict.fromkeys(key.split("|")[1] for key in found):
        rows = []
        for key, result in found.items():
            name, of = key.split("|")
            if of != data:
                continue
            if "error" in result:
                rows.append([label(name), *["refused"] * 5, ""])
                continue
            none, *parts, _, processing, additivity = result["ratios"]
            figures = [f"{none:.2f}", ", ".join(f"{r:.2f}" for r in parts), f"{processing:.2f}", f"{additivity:.2f}"]
            passes = [test for test, passed in result["passed"].items() if passed]
            rows.append([label(name), *figures, f"{len(passes)} of 3", ", ".join(passes)])
        header = ["estimator", "none (0)", "parts", "data processing (1)", "additivity (2)", "passes", "which"]
        out.append(f"{data[0].upper()}{data[1:]}:\n\n" + table(header, rows))
    return "\n".join(out)


def environment() -> str:
    """Return one line about the machine and the versions."""
    versions = []
    for name in ("numpy", "scipy", "torch", "scikit-learn", "infomeasure"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return f"{platform.machine()}, Python {platform.python_version()}; {', '.join(versions)}."


def page(cache: Cache) -> str:
    """Return docs/mi-benchmark.md."""
    families = tasks.beyond_normal_families()
    known = {task.name for members in families.values() for task in members}
    rows = [row for row in cache.rows.values() if row["task"] in known]
    standard = [row for row in rows if row["n"] == 5000]
    spent = sum(row["seconds"] for row in rows)
    out = [INTRODUCTION.format(**STEPS)]
    out.append(f"Measured by `benchmarks/mi_tasks.py`: {len(rows)} calls, {spent / 60:.0f} min; {environment()}\n")
    for family, members in families.items():
        out.append(family_section(family, members, standard))
    larger = [row for row in rows if row["n"] == 10_000]
    if larger:
        body = []
        for e in ("auto", "gaussian", "copula"):
            at = {row["task"] for row in larger if row["estimator"] == e}
            for n, some in ((5000, standard), (10_000, larger)):
                s = Score.of([row for row in some if row["estimator"] == e and row["task"] in at])
                body.append([label(e), f"{n:,}", str(s.tasks), f"{s.bias:+.3f}", f"{s.rmse:.3f}", s.coverage])
        header = ["estimator", "n", "tasks", "mean bias", "RMSE", "coverage"]
        out.append("## Twice the samples, on tasks of the dozen\n\n" + table(header, body))
    out.append(consistency_section(cache.path.parent / "consistency.json"))
    refused = sorted({(row["estimator"], row["error"]) for row in standard if "error" in row})
    if refused:
        out.append("## Refusals\n\n" + "\n".join(f"- {label(e)}: {said}" for e, said in refused) + "\n")
    return "\n".join(part for part in out if part)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="only this (may be given several times)")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "mi-tasks", help="folder of finished cells")
    parser.add_argument("--quick", action="store_true", help="few tasks, n = 500, no page")
    parser.add_argument("--peers-python", help="interpreter that has torch-mist")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work()
        return
    cache = Cache(given.cache / "quick" if given.quick else given.cache)
    parts = given.part or list(PARTS)
    for part in ("classical", "learned", "peers"):
        if part in parts:
            complete(plan(part, given.quick), cache, given.peers_python)
    if "consistency" in parts:
        consistency(cache.path.parent / "consistency.json", given.quick)
    if given.quick:
        for row in cache.rows.values():
            said = row.get("error") or f"{row['value']:.3f}"
            print(f"{row['estimator']:20s} {row['task']:40s} {row['truth']:.3f}  {said}  {row['seconds']:.2f} s")
    elif "page" in parts:
        (ROOT / "docs" / "mi-benchmark.md").write_text(page(cache))


if __name__ == "__main__":
    main()
