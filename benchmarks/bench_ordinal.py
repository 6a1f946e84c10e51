"""Permutation entropy of 1,000,000 points: plogp (with its standard error) beside antropy (value only).

Run ``python benchmarks/bench_ordinal.py``. Target: not slower than antropy.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from plogp.estimate.ordinal import ordinal_patterns, permutation_entropy


def best(run: Callable[[], object], times: int) -> float:
    """Return the least wall time of several runs, after one to warm up."""
    run()
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return min(spent)


def main(n: int = 1_000_000) -> None:
    try:
        import antropy
    except ImportError:
        antropy = None
        print("antropy is not installed")
    x = np.random.default_rng(0).standard_normal(n)
    print(f"permutation entropy of {n:,} points, milliseconds")
    print(f"{'order':>6}{'plogp':>9}{'patterns only':>15}{'antropy':>9}{'ratio':>8}{'difference (bits)':>20}")
    for order in (3, 4, 5, 6, 7):
        mine = best(lambda m=order: permutation_entropy(x, m), 7)
        codes = best(lambda m=order: ordinal_patterns(x, m), 7)
        row = f"{order:6d}{mine * 1e3:9.1f}{codes * 1e3:15.1f}"
        if antropy is not None:
            theirs = best(lambda m=order: antropy.perm_entropy(x, m, 1), 3)
            value = permutation_entropy(x, order, method="plugin").to("bits").value
            row += f"{theirs * 1e3:9.1f}{theirs / mine:8.1f}{value - antropy.perm_entropy(x, order, 1):20.1e}"
        print(row)


if __name__ == "__main__":
    main()
