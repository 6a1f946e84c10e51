"""Scorecards: optimal binning, IV on noise and on a copy of the target, beside optbinning where it is installed.

Run ``python benchmarks/bench_scorecard.py``. Times are the best of the repetitions on one thread. optbinning's
monotone programme is cut off after the seconds of ``--limit``. Targets: the dynamic programme is exact and at
least 20 times as fast; a copy of the target has a large IV; noise has none.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from plogp.tables.information_value import iv_from_counts
from plogp.tables.iv_psi import iv
from plogp.tables.partition import optimal_partition, pool


def best_time(run: Callable[[], Any], repetitions: int) -> tuple[float, Any]:
    """Return the least wall time and the last result."""
    least, value = np.inf, None
    for _ in range(repetitions):
        start = time.perf_counter()
        value = run()
        least = min(least, time.perf_counter() - start)
    return least, value


def partition_rows() -> None:
    """Bin 60 fine bins into 8: free and monotone, and what IV is kept."""
    rng = np.random.default_rng(0)
    rate = 0.1 + 0.5 * np.linspace(0, 1, 60) + 0.05 * np.sin(np.arange(60))
    events = rng.binomial(500, rate)
    others = 500 - events
    print("60 fine bins of 30,000 rows into at most 8")
    for monotonic in (None, "auto"):
        spent, cuts = best_time(lambda m=monotonic: optimal_partition(events, others, 8, 0.05, m), 5)
        value = iv_from_counts(pool(events, cuts), pool(others, cuts)).value.value
        print(f"  plogp, monotonic={monotonic!s:5}  {spent * 1e3:8.2f} ms   {len(cuts) + 1} bins   IV {value:.4f}")


def against_optbinning(limit: int) -> None:
    """Time a whole column, and compare what a copy of the target and pure noise are said to be worth."""
    try:
        from optbinning import OptimalBinning
    except ImportError:
        print("optbinning is not installed: its rows are left out")
        return
    rng = np.random.default_rng(0)
    n = 30_000
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(1 - x))

    def theirs(x: Any, y: Any, **options: Any) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            binning = OptimalBinning(name="x", dtype="numerical", time_limit=limit, **options)
            binning.fit(x, y.astype(int))
            table = binning.binning_table
            table.build()
        return float(table.iv)

    def ours(x: Any, y: Any, **options: Any) -> float:
        return float(iv({"x": x, "y": y}, "y", **options)["x"].value.value)

    print(f"one column of {n:,} rows, IV (true 1 / (1 + exp(1 - x)))")
    runs = (
        ("plogp", ours, {"max_bins": 8}),
        ("optbinning", theirs, {"max_n_bins": 8}),
        ("plogp, monotone", ours, {"max_bins": 8, "monotonic": "increasing"}),
        ("optbinning, monotone, 60 prebins", theirs, {"max_n_bins": 8, "max_n_prebins": 60, "min_prebin_size": 0.01}),
    )
    for name, run, options in runs:
        spent, value = best_time(lambda run=run, options=options: run(x, y, **options), 1)
        print(f"  {name:34} {spent:8.3f} s   IV {value:.4f}")
    copy = rng.random(2000)
    print("a perfect predictor, y = (x > 0.5)")
    print(f"  plogp {ours(copy, copy > 0.5):.2f}   optbinning {theirs(copy, copy > 0.5):.2f}")
    print("pure noise, 500 rows, 50 seeds: mean IV, share above 0.02 and above 0.1")
    for name, run in (("plogp", ours), ("optbinning", theirs)):
        found = np.array([run(rng.normal(size=500), rng.random(500) < 0.5) for _ in range(50)])
        print(f"  {name:12} {found.mean():.4f}   {np.mean(found > 0.02):.0%}   {np.mean(found > 0.1):.0%}")


def whole_table() -> None:
    """IV of 30 columns of 200,000 rows, from a data frame through the embedded engine."""
    rng = np.random.default_rng(0)
    n = 200_000
    y = rng.random(n) < 0.2
    table: dict[str, Any] = {f"x{k}": rng.normal(size=n) + 0.05 * k * y for k in range(24)}
    table |= {f"c{k}": rng.integers(0, 12, n).astype(str) for k in range(6)} | {"y": y}
    spent, found = best_time(lambda: iv(table, "y"), 1)
    print(f"iv() of 30 columns x {n:,} rows: {spent:.2f} s, largest {found[0].feature} {found[0].value.value:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=20, help="seconds that optbinning may search")
    options = parser.parse_args()
    partition_rows()
    against_optbinning(options.limit)
    whole_table()


if __name__ == "__main__":
    main()
