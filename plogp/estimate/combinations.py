"""Measures of discrete variables as signed sums of joint entropies, each with the test of its null hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plogp.estimate.counts import CountTable
from plogp.estimate.independence import IndependenceTest, independence_test, mutual_independence_test

__all__ = ["MEASURES", "Axes", "Measure"]

Axes = tuple[int, ...]
Terms = list[tuple[float, Axes]]


@dataclass(frozen=True)
class Measure:
    """A measure of `d` variables as a signed sum of joint entropies.

    Attributes
    ----------
    name : str
        The field's name.
    terms : callable
        ``terms(d)`` returns pairs (sign, axes); the entropy of no axes is 0.
    arity : (int, int or None)
        Fewest and most variables.
    test : callable or None
        The test of its null hypothesis, for measures that are 0 only under an independence.
    null : str
        That hypothesis in words.
    """

    name: str
    terms: Callable[[int], Terms]
    arity: tuple[int, int | None]
    test: Callable[[CountTable], IndependenceTest] | None = None
    null: str = ""


def _everything(d: int) -> Axes:
    return tuple(range(d))


def _without(d: int, i: int) -> Axes:
    return tuple(j for j in range(d) if j != i)


def _total_correlation(d: int) -> Terms:
    return [*((1.0, (i,)) for i in range(d)), (-1.0, _everything(d))]


def _dual_total_correlation(d: int) -> Terms:
    return [(1.0 - d, _everything(d)), *((1.0, _without(d, i)) for i in range(d))]


def _o_information(d: int) -> Terms:
    """Total minus dual total correlation: (d - 2) H(X) + Σ H(X_i) - H(X without i)."""
    return [(d - 2.0, _everything(d)), *((1.0, (i,)) for i in range(d)), *((-1.0, _without(d, i)) for i in range(d))]


def _interaction(d: int) -> Terms:
    """McGill: -Σ_S (-1)^(d - |S|) H(X_S); for three variables I(X;Y|Z) - I(X;Y), positive for synergy."""
    subsets = [tuple(i for i in range(d) if mask >> i & 1) for mask in range(1, 2**d)]
    return [(-((-1.0) ** (d - len(s))), s) for s in subsets]


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("entropy", lambda d: [(1.0, _everything(d))], (1, None)),
        Measure("conditional_entropy", lambda d: [(1.0, _everything(d)), (-1.0, tuple(range(1, d)))], (2, None)),
        Measure(
            "mutual_information",
            lambda d: [(1.0, (0,)), (1.0, (1,)), (-1.0, (0, 1))],
            (2, 2),
            lambda t: independence_test(t, (0,), (1,)),
            "independence",
        ),
        Measure(
            "conditional_mutual_information",
            lambda d: [(1.0, (0, 2)), (1.0, (1, 2)), (-1.0, (0, 1, 2)), (-1.0, (2,))],
            (3, 3),
            lambda t: independence_test(t, (0,), (1,), (2,)),
            "conditional independence",
        ),
        Measure("total_correlation", _total_correlation, (2, None), mutual_independence_test, "mutual independence"),
        Measure("dual_total_correlation", _dual_total_correlation, (2, None)),
        Measure("o_information", _o_information, (3, None)),
        Measure("interaction_information", _interaction, (2, 16)),
    )
}
