"""Nearest neighbours where bins lose information about a target."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plogp.tables import relate


@pytest.mark.parametrize("seed", range(3))
def test_a_function_that_changes_inside_bins_has_the_entropy_of_its_values(seed: int) -> None:
    x = np.random.default_rng(seed).uniform(size=5000)
    row = relate({"x": x, "y": np.where(np.sin(12 * math.pi * x) > 0, "up", "down")}, "y")["x"]
    low, high = row.mutual_information.interval()
    assert low <= math.log(2) <= high
    assert row.mutual_information.method.startswith("ross")
    assert row.normalized > 0.98


def test_bins_are_kept_where_they_lose_nothing() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.uniform(size=20_000), rng.random(20_000) < 0.1
    row = relate({"x": x, "y": (x > 0.5) ^ noise}, "y")["x"]
    truth = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    low, high = row.mutual_information.interval()
    assert low <= truth <= high
    assert row.mutual_information.n == 20_000


def test_noise_is_not_refined() -> None:
    rng = np.random.default_rng(1)
    row = relate({"x": rng.normal(size=3000), "y": rng.integers(0, 2, 3000)}, "y")["x"]
    assert not row.informative
    assert row.mutual_information.n == 3000
    assert "ross" not in row.mutual_information.method


def test_classes_beside_missing_values() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=6000)
    y = np.array(list("ABCD"), dtype=object)[np.digitize(x, [-1, 0, 1])]
    y[rng.random(6000) < 0.1] = None
    x[rng.random(6000) < 0.1] = np.nan
    row = relate({"x": x, "y": y}, "y")["x"]
    shares = np.array([0.1587, 0.3413, 0.3413, 0.1587])
    # A tenth of the rows says nothing.
    truth = -0.9 * float(shares @ np.log(shares))
    low, high = row.mutual_information.interval()
    assert low <= truth <= high
    assert row.normalized == pytest.approx(0.9, abs=0.02)


def test_that_a_value_is_missing_is_information_too() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(size=6000), rng.integers(0, 3, 6000)
    y = np.where(y == 2, 2, (np.sin(12 * math.pi * x) > 0).astype(int))
    x[y == 2] = np.nan
    row = relate({"x": x, "y": np.array(list("abc"))[y]}, "y")["x"]
    low, high = row.mutual_information.interval()
    assert low <= math.log(3) <= high
