"""A search for new problems: mutate and cross, verify by running, keep those farthest from what there is.

Source: I. Garg et al., InfoSynth, arXiv 2601.00575, 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_samples
from plogp.text.encoder import unit_rows

__all__ = ["Evolution", "evolve", "k_farthest"]

Floats = npt.NDArray[np.float64]
DIFFICULTIES = ("easier", "equal", "harder")


def k_farthest(candidates: Any, archive: Any, n: int, *, greedy: bool = True) -> list[int]:
    """Return the numbers of the n candidates whose greatest cosine similarity to the archive is smallest.

    Parameters
    ----------
    candidates, archive : array, shapes (a, d) and (b, d)
        Embeddings. An empty archive (shape (0, d), or None) starts with the candidate least like the others.
    n : int
        How many to choose.
    greedy : bool
        Each one chosen joins the archive, so that the chosen also differ from each other; False ranks once.

    Raises
    ------
    ValueError
        If n is not in 1..a, a row is zero, or the dimensions differ.

    Examples
    --------
    >>> k_farthest([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]], [[1.0, 0.0]], 2), k_farthest(np.eye(3), None, 1)
    ([1, 2], [0])
    """
    rows = unit_rows(as_samples(candidates, "candidates"), "candidates")
    if not 1 <= n <= len(rows):
        raise ValueError(f"n must lie in 1..{len(rows)}, the number of candidates, got {n!r}")
    if archive is None or len(archive) == 0:
        nearest = rows @ rows.mean(0)
        fresh = True
    else:
        known = unit_rows(as_samples(archive, "archive"), "archive")
        if known.shape[1] != rows.shape[1]:
            raise ValueError(f"candidates have {rows.shape[1]} dimensions, the archive {known.shape[1]}")
        nearest = (rows @ known.T).max(1)
        fresh = False
    if not greedy:
        return [int(i) for i in np.argsort(nearest, kind="stable")[:n]]
    chosen: list[int] = []
    nearest = nearest.copy()
    for _ in range(n):
        i = int(np.argmin(nearest))
        chosen.append(i)
        if fresh:
            nearest, fresh = np.full(len(rows), -np.inf), False
        nearest = np.maximum(nearest, rows @ rows[i])
        nearest[chosen] = np.inf
    return chosen


@dataclass(frozen=True, eq=False)
class Evolution:
    """What `evolve` returns.

    Attributes
    ----------
    items : list
        The archive: verified seeds and children, in order of arrival.
    embeddings : array, shape (len(items), d)
    parents : list of tuple of int
        For each item the numbers of its parents in `items`; () for seeds and children of a rejected parent.
    rejected : int
        Children that failed their tests to the end.
    repaired : int
        Children that passed after a repair.
    """

    items: list[Any]
    embeddings: Floats
    parents: list[tuple[int, ...]]
    rejected: int
    repaired: int


def evolve(
    seeds: Sequence[Any],
    mutate: Callable[..., Any],
    crossover: Callable[..., Any] | None,
    verify: Callable[[Any], Any],
    embed: Callable[[list[Any]], Any],
    steps: int = 10,
    *,
    per_step: int = 8,
    keep: int = 4,
    rounds: int = 3,
    repair: Callable[..., Any] | None = None,
    farthest: bool = True,
    mutation_rate: float = 0.5,
    parents: int = 2,
    key: Callable[[Any], Any] = repr,
    rng: np.random.Generator | int | None = 0,
    progress: bool = False,
) -> Evolution:
    """Grow a set of problems: mutate and cross, verify by running, keep the farthest from what there is.

    Parameters
    ----------
    seeds : sequence
        Items of any kind: problem, solution and tests.
    mutate : callable
        ``mutate(item, difficulty, rng) -> item`` with difficulty "easier", "equal" or "harder"; all three are asked.
    crossover : callable or None
        ``crossover(items, rng) -> item`` from several parents.
    verify : callable
        ``verify(item)`` returns a `TestReport`, or True and False.
    embed : callable
        ``embed(items) -> (n, d)``; an `Encoder` over the statements, for example.
    steps, per_step, keep : int
        Generations, children of each, and how many of those that pass are kept.
    rounds : int
        How often a child that fails may be repaired.
    repair : callable, optional
        ``repair(item, history, rng) -> item``, with all (item, report) pairs so far.
    farthest : bool
        Keep by `k_farthest`; False: at random, the baseline.
    mutation_rate : float
        Share of operations that mutate rather than cross.
    parents : int
        Of a crossover.
    key : callable
        Items with the same key are duplicates.
    rng, progress
        As everywhere.

    Returns
    -------
    Evolution
        Children that fail are no part of it, though they may still be parents, as in the paper.

    Raises
    ------
    ValueError
        If there is no seed, or a seed does not pass its own tests.

    Examples
    --------
    >>> def more(number, difficulty, rng):
    ...     return number + int(rng.integers(1, 4))
    >>> def place(numbers):
    ...     return np.array([[np.cos(i), np.sin(i)] for i in numbers])
    >>> found = evolve([1, 2], more, None, lambda number: number % 3 > 0, place, steps=3, keep=2, rng=0)
    >>> found.items, found.rejected
    ([1, 2, 4, 5, 7], 3)
    """
    if not len(seeds):
        raise ValueError("seeds is empty; expected at least one item")
    if min(steps, per_step, keep) < 1 or rounds < 0 or not 0 <= mutation_rate <= 1 or parents < 2:
        raise ValueError("steps, per_step, keep >= 1, rounds >= 0, parents >= 2 and mutation_rate in [0, 1] expected")
    generator = np.random.default_rng(rng)
    items = list({key(s): s for s in seeds}.values())
    for i, item in enumerate(items):
        if not _ok(verify(item)):
            raise ValueError(f"seed {i} does not pass its own tests")
    vectors = as_samples(embed(items), "what embed returned")
    pool: list[tuple[Any, int]] = [(item, i) for i, item in enumerate(items)]
    lineage: list[tuple[int, ...]] = [() for _ in items]
    known = {key(item) for item in items}
    rejected = repaired = 0
    loop: Any = range(steps)
    if progress:
        from rich.progress import track

        loop = track(loop, description="generations")
    for _ in loop:
        children: list[tuple[Any, tuple[int, ...]]] = []
        while len(children) < per_step:
            if crossover is None or len(pool) < parents or generator.random() < mutation_rate:
                item, number = pool[int(generator.integers(len(pool)))]
                made = [mutate(item, difficulty, generator) for difficulty in DIFFICULTIES]
                children += [(child, (number,)) for child in made]
            else:
                chosen = [pool[int(i)] for i in generator.choice(len(pool), parents, replace=False)]
                children.append((crossover([c[0] for c in chosen], generator), tuple(c[1] for c in chosen)))
        passed: list[tuple[Any, tuple[int, ...]]] = []
        for child, origin in children[:per_step]:
            if key(child) in known:
                continue
            good, child, fixed = _verified(child, verify, repair, rounds, generator)
            if key(child) in known:
                continue
            known.add(key(child))
            if not good:
                rejected += 1
                pool.append((child, -1))
                continue
            repaired += fixed
            passed.append((child, tuple(i for i in origin if i >= 0)))
        if not passed:
            continue
        rows = as_samples(embed([child for child, _ in passed]), "what embed returned")
        size = min(keep, len(passed))
        if farthest:
            order = k_farthest(rows, vectors, size)
        else:
            order = [int(i) for i in generator.choice(len(passed), size, replace=False)]
        for i in order:
            pool.append((passed[i][0], len(items)))
            items.append(passed[i][0])
            lineage.append(passed[i][1])
        vectors = np.concatenate([vectors, rows[order]])
    return Evolution(items, vectors, lineage, rejected, repaired)


def _ok(report: Any) -> bool:
    return bool(getattr(report, "passed", report))


def _verified(
    item: Any, verify: Callable[[Any], Any], repair: Callable[..., Any] | None, rounds: int, rng: np.random.Generator
) -> tuple[bool, Any, bool]:
    """Return whether the item passes, the item as it is in the end, and whether it took a repair."""
    history = [(item, verify(item))]
    while not _ok(history[-1][1]) and repair is not None and len(history) <= rounds:
        item = repair(item, history, rng)
        history.append((item, verify(item)))
    return _ok(history[-1][1]), item, len(history) > 1 and _ok(history[-1][1])
