"""Vendi score of 10,000 x 512 embeddings against the vendi-score package, and against one matrix product.

The package's general path (`score_X`, `score_K`) takes the eigenvalues of a 10,000 x 10,000 matrix, which is minutes
of work: it is timed at fewer rows as well, and at all of them with ``--full``; without it the time at 10,000 rows is
extrapolated with the cube of n, and marked so. The floor is the product XᵀX, which no dual form can do without.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from vendi_score import vendi

import plogp as pl


def fastest(*calls: Callable[[], object], repeats: int = 9) -> list[float]:
    """Return the least time of each call; they take turns, so that a busy machine treats them alike."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, taken in zip(calls, times):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def main() -> None:
    full = "--full" in sys.argv
    n, d, few = 10_000, 512, 2_000
    X = np.random.default_rng(0).normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5
    score = pl.spectra.vendi_score
    agree = {
        "dual": abs(score(X) - vendi.score_dual(X)),
        f"general, {few:,} rows": abs(score(X[:few]) - vendi.score_X(X[:few])),
        "order 2": abs(score(X, order=2) - vendi.score_dual(X, q=2)),
    }
    print("differences from the package: " + ", ".join(f"{k} {v:.1e}" for k, v in agree.items()))
    if max(agree.values()) > 1e-8:
        raise SystemExit("the scores differ")
    floor, ours, dual = fastest(lambda: X.T @ X, lambda: score(X), lambda: vendi.score_dual(X))
    ours_few, theirs_few = fastest(lambda: score(X[:few]), lambda: vendi.score_X(X[:few]), repeats=2)
    print(f"one product XᵀX of {n:,} x {d}: {floor * 1e3:.0f} ms")
    print(f"{'':36} {'plogp':>9} {'package':>10} {'ratio':>8} {'x floor':>8}")
    print(f"{'dual path':36} {ours * 1e3:7.0f}ms {dual * 1e3:8.0f}ms {dual / ours:8.2f} {ours / floor:8.1f}")
    label = f"general path, {few:,} rows"
    print(f"{label:36} {ours_few * 1e3:7.0f}ms {theirs_few * 1e3:8.0f}ms {theirs_few / ours_few:8.1f}")
    general = fastest(lambda: vendi.score_X(X), repeats=1)[0] if full else theirs_few * (n / few) ** 3
    label = f"general path, {n:,} rows" + ("" if full else " (extrapolated)")
    print(f"{label:36} {ours * 1e3:7.0f}ms {general * 1e3:8.0f}ms {general / ours:8.0f}")
    stream = pl.spectra.VendiScore()
    (once,) = fastest(lambda: stream.update(X[:1000]))
    print(f"streaming: {once * 1e3:.1f} ms for 1,000 more rows, {8 * d * d / 1e6:.1f} MB of state")
    if ours > 1.05 * dual or general < 20 * ours:
        raise SystemExit("target missed: at least 20 times the general path and not slower than the dual path")


if __name__ == "__main__":
    main()
