"""Discrete mutual information of all pairs of columns against a loop over scikit-learn, in one run.

python benchmarks/bench_discrete.py [--rows 1000000] [--columns 30] [--states 10]
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import combinations

import numpy as np

from plogp import estimate as est

TARGET = 10.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--states", type=int, default=10)
    parser.add_argument("--sample", type=int, default=20, help="pairs that scikit-learn is timed on (0: all)")
    options = parser.parse_args(arguments)
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(0)
    hidden = rng.integers(0, options.states, options.rows)
    columns = {}
    for j in range(options.columns):
        keep = rng.random(options.rows) < 0.05 * (j % 5)
        columns[f"x{j}"] = np.where(keep, hidden, rng.integers(0, options.states, options.rows))
    names = list(columns)

    start = time.perf_counter()
    matrix = est.mutual_information_matrix(columns, method="plugin")
    ours = time.perf_counter() - start

    pairs = list(combinations(range(len(names)), 2))
    timed = pairs
    if 0 < options.sample < len(pairs):
        timed = [pairs[i] for i in rng.choice(len(pairs), options.sample, replace=False)]
    start = time.perf_counter()
    theirs = [mutual_info_score(columns[names[i]], columns[names[j]]) for i, j in timed]
    loop = (time.perf_counter() - start) * len(pairs) / len(timed)

    worst = max(abs(matrix.estimates[pair].value - value) for pair, value in zip(timed, theirs))
    size = f"{options.rows} rows x {options.columns} columns of {options.states} states, {len(pairs)} pairs"
    print(size)
    print(f"plogp.estimate.mutual_information_matrix   {ours:8.2f} s  (with errors and p-values)")
    print(f"scikit-learn mutual_info_score, loop       {loop:8.2f} s  (from {len(timed)} pairs)")
    print(f"ratio {loop / ours:.1f} (target {TARGET:g}); largest difference {worst:.1e} nats")
    return 0 if loop / ours >= TARGET and worst < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
