"""Results made by hand, so that the report's tests need no engine."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from plogp.measures.uncertainty import Estimate
from plogp.tables.results import (
    Bin,
    ColumnProfile,
    Drift,
    DriftRow,
    Histogram,
    PairDependence,
    Profile,
    Relation,
    TargetRow,
)

EVIL = "<script>alert(1)</script>"
BIDI = "safe\u202egpj.exe"
QUOTES = "\"quoted\" & 'single' <b>"


def estimate(value: float, se: float | None = None, unit: str = "nats", method: str = "multinomial") -> Estimate:
    return Estimate(value, abs(value) / 6 + 1e-4 if se is None else se, n=50_000, method=method, unit=unit)


def histogram(kind: str, rng: np.random.Generator, shift: float = 0.0, n: int = 50_000, gaps: int = 0) -> Histogram:
    if kind == "categorical":
        labels = [QUOTES, "two", "three", "(other)"]
        shares = np.array([0.5, 0.3, 0.15, 0.05]) + np.array([-shift, shift, 0, 0]) * 0.2
        counts = [int(c) for c in rng.multinomial(n - gaps, shares / shares.sum())]
        edges = None
    else:
        edges = [float("-inf"), *np.linspace(-2.5, 2.5, 19).tolist(), float("inf")]
        x = rng.normal(shift, 1.0, size=n - gaps)
        counts = [int(c) for c in np.histogram(x, edges)[0]]
        labels = [f"({a:.3g}, {b:.3g}]" for a, b in pairwise(edges)]
    return Histogram([*labels, "(missing)"], [*counts, gaps], edges)


def drift(columns: int = 30, changed: int = 2) -> Drift:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(columns):
        hit = i < changed
        kind = "categorical" if i % 5 == 4 else "continuous"
        size = 0.05 / (i + 1) if hit else 2e-4 / (i + 1)
        gaps = 2_500 if i == 3 else 0
        rows.append(
            DriftRow(
                column=EVIL if i == 1 else BIDI if i == 3 else f"x{i}",
                kind=kind,
                psi=estimate(8 * size, unit="nats"),
                js=estimate(size, se=size if not hit else None),
                kl=estimate(4 * size),
                wasserstein=None if kind == "categorical" else estimate(3 * size, unit=""),
                effect=estimate(size, se=size if not hit else None),
                p_value=0.0 if hit else 0.3,
                p_adjusted=0.0 if hit else 0.61,
                drifted=hit,
                how="mean up by 0.21 sd" if hit else "",
                reference=histogram(kind, rng, gaps=gaps),
                current=histogram(kind, rng, shift=0.6 if hit else 0.0, gaps=2 * gaps),
                new_categories=[QUOTES, "later"] if i == 4 else [],
                vanished_categories=["once"] if i == 4 else [],
                missing_reference=gaps,
                missing_current=2 * gaps,
                notes=["read as text, 99.2 % numbers"] if i == 0 else [],
                why_kind="numbers with many distinct values",
            )
        )
    return Drift(
        "before.csv", "after.csv", "js", 50_000, 50_000, rows, ["old"], ["new <i>column</i>"], ["a note & more"]
    )


def relation(columns: int = 29) -> Relation:
    rows = []
    for i in range(columns):
        bins = [Bin(f"({j}, {j + 1}]", 5_000, 0.1, 0.05 * j + 0.05, -1.0 + 0.2 * j, 0.05) for j in range(10)]
        value = 0.3 / (i + 1) ** 2 if i < 5 else -1e-5
        rows.append(
            TargetRow(
                column=EVIL if i == 1 else f"x{i}",
                kind="continuous",
                mutual_information=estimate(value, 1e-4),
                information_value=estimate(4 * abs(value)),
                p_value=1e-20 if i < 5 else 0.4,
                p_adjusted=1e-19 if i < 5 else 0.7,
                informative=i < 5,
                leak=i == 0,
                bins=bins,
                notes=["a perfect predictor"] if i == 0 else [],
            )
        )
    entropy = estimate(0.69, 1e-3)
    return Relation("before.csv", "y", "binary", 50_000, 37, rows, [], entropy, "1")


def profile(columns: int = 30) -> Profile:
    rng = np.random.default_rng(1)
    names = [EVIL if i == 1 else BIDI if i == 3 else f"x{i}" for i in range(columns)]
    made = []
    for i, name in enumerate(names):
        kind = "categorical" if i % 5 == 4 else "continuous"
        gaps = 5_000 if i == 3 else 0
        numbers = {"min": -4.1, "max": 4.0, "mean": 0.01, "sd": 1.0, "quantiles": {"0.5": 0.002}}
        made.append(
            ColumnProfile(
                name=name,
                kind=kind,
                n=50_000,
                missing=gaps,
                distinct=4 if kind == "categorical" else 49_998,
                entropy=estimate(1.1 if kind == "categorical" else 1.42, 3e-3),
                entropy_of="values" if kind == "categorical" else "density",
                summary={"mode": QUOTES, "mode_share": 0.5} if kind == "categorical" else numbers,
                histogram=histogram(kind, rng, gaps=gaps),
                why_kind="numbers with many distinct values",
                notes=["one value is infinite"] if i == 2 else [],
            )
        )
    pairs = []
    for i in range(columns):
        for j in range(i):
            strong = (i + j) % 7 == 0
            value = 0.9 / (1 + abs(i - j)) if strong else -1e-5
            p = 1e-12 if strong else 0.5
            pairs.append(PairDependence(names[j], names[i], estimate(value), abs(value), p, p, "ksg1(k=4)"))
    return Profile("before.csv", 50_000, made, pairs, ["a note & more"])


@pytest.fixture(scope="session")
def handmade() -> SimpleNamespace:
    """The functions above; importlib mode gives tests no other way to share them."""
    return SimpleNamespace(
        EVIL=EVIL, BIDI=BIDI, QUOTES=QUOTES, drift=drift, relation=relation, profile=profile, estimate=estimate
    )


@pytest.fixture
def made(handmade: SimpleNamespace):
    """A whole report of hand-made parts, of any number of columns."""
    from plogp.report.build import Report
    from plogp.report.document import Input

    def build(columns: int = 30, **options):
        inputs = [
            Input("reference", "before.csv", 50_000, columns, "a" * 64, 1_000),
            Input("current", "after.csv", 50_000, columns, None, None),
        ]
        return Report(
            inputs, handmade.drift(columns), handmade.relation(columns - 1), handmade.profile(columns), **options
        )

    return build
