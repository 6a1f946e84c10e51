"""Nearest-neighbour mutual information: plogp beside scikit-learn and infomeasure, same data, same answer.

Run ``python benchmarks/bench_knn.py``; ``taskset -c 0 python benchmarks/bench_knn.py`` for one core. Each row is
the best of several repetitions, taken in turn so that a busy moment of the machine hits all alike. Targets: KSG on
100,000 pairs at least 5 times as fast as scikit-learn and 10 times as fast as infomeasure on two free cores.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from plogp.estimate.ksg import ksg, pairwise_ksg
from plogp.estimate.mixed import ross
from plogp.estimate.neighbours import threads
from plogp.estimate.tasks import gaussian, mixed_labels

Row = tuple[str, float, float, float]


def race(runners: dict[str, tuple[Callable[[], Any], int]]) -> list[Row]:
    """Return (name, wall seconds, CPU seconds, value) of each runner, best of its number of repetitions."""
    best: dict[str, tuple[float, float]] = dict.fromkeys(runners, (np.inf, np.inf))
    values: dict[str, float] = {}
    for turn in range(max(times for _, times in runners.values())):
        for name, (run, times) in runners.items():
            if turn >= times:
                continue
            cpu, wall = time.process_time(), time.perf_counter()
            values[name] = float(run())
            spent = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = min(best[name][0], spent[0]), min(best[name][1], spent[1])
    return [(name, *best[name], values[name]) for name in runners]


def show(title: str, rows: list[Row]) -> None:
    print(f"\n{title}")
    print(f"{'':34}{'wall s':>9}{'cpu s':>9}{'wall ratio':>12}{'cpu ratio':>11}{'value':>12}")
    wall, cpu = rows[0][1:3]
    for name, w, c, value in rows:
        print(f"{name:34}{w:9.3f}{c:9.3f}{w / wall:12.2f}{c / cpu:11.2f}{value:12.6f}")


def bench_pair(n: int = 100_000, k: int = 4) -> list[Row]:
    x, y = gaussian(rho=0.6).sample(n, rng=0)
    runners: dict[str, tuple[Callable[[], Any], int]] = {
        "plogp ksg": (lambda: ksg(x, y, k).value, 7),
        "plogp ksg, one thread": (lambda: ksg(x, y, k, workers=1).value, 5),
    }
    try:
        from sklearn.feature_selection import mutual_info_regression

        runners["scikit-learn"] = (lambda: mutual_info_regression(x, y[:, 0], n_neighbors=k, random_state=0)[0], 3)
    except ImportError:
        print("scikit-learn is not installed")
    try:
        import infomeasure

        def theirs() -> float:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return float(infomeasure.mutual_information(x[:, 0], y[:, 0], approach="ksg", k=k))

        runners["infomeasure"] = (theirs, 2)
    except ImportError:
        print("infomeasure is not installed")
    return race(runners)


def bench_labels(n: int = 100_000, k: int = 4) -> list[Row]:
    c, y = mixed_labels(1.0).sample(n, rng=0)
    runners: dict[str, tuple[Callable[[], Any], int]] = {"plogp ross": (lambda: ross(c, y, k).value, 5)}
    try:
        from sklearn.feature_selection import mutual_info_classif

        runners["scikit-learn"] = (
            lambda: mutual_info_classif(y[:, None], c, n_neighbors=k, random_state=0)[0],
            3,
        )
    except ImportError:
        print("scikit-learn is not installed")
    return race(runners)


def bench_matrix(n: int = 2_000, columns: int = 20, k: int = 4) -> list[Row]:
    x = np.random.default_rng(0).standard_normal((n, columns))
    upper = np.triu_indices(columns, 1)
    runners: dict[str, tuple[Callable[[], Any], int]] = {
        "plogp matrix": (lambda: pairwise_ksg(x, k)[0][upper].mean(), 3)
    }
    try:
        from sklearn.feature_selection import mutual_info_regression

        def loop() -> float:
            pairs = [
                mutual_info_regression(x[:, j + 1 :], x[:, j], n_neighbors=k, random_state=0)
                for j in range(columns - 1)
            ]
            return float(np.concatenate(pairs).mean())

        runners["scikit-learn (clips at 0)"] = (loop, 2)
    except ImportError:
        print("scikit-learn is not installed")
    return race(runners)


if __name__ == "__main__":
    print(f"threads used by plogp: {threads()}")
    show("mutual information, n = 100,000, d = 1 + 1, k = 4", bench_pair())
    show("class and number, n = 100,000, k = 4", bench_labels())
    show("all pairs of 20 columns, n = 2,000, k = 4 (plogp with standard errors)", bench_matrix())
