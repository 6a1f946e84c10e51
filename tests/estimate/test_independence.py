from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from plogp.estimate.counts import CountTable
from plogp.estimate.independence import _parts, independence_test, mutual_independence_test


def columns_of(table):
    cells = np.argwhere(table)
    return np.repeat(cells, table[tuple(cells.T)], axis=0).T


def test_statistics_against_scipy():
    table = np.array([[30, 12, 8], [11, 25, 20]])
    found = independence_test(CountTable.from_counts(table), (0,), (1,))
    g, _, df, _ = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    assert found.name.startswith("G")
    assert (found.statistic, found.df) == pytest.approx((g, df))
    sparse = table // 10
    found = independence_test(CountTable.from_counts(sparse), (0,), (1,))
    rows, cols = sparse.sum(1) > 0, sparse.sum(0) > 0
    x2, *_ = stats.chi2_contingency(sparse[rows][:, cols], correction=False)
    assert found.name.startswith("X²")
    assert found.statistic == pytest.approx(x2)


@pytest.mark.parametrize(
    "table", [[[2, 1], [1, 2]], [[1, 1], [1, 0]], [[1, 0], [0, 1]], [[2, 0, 1], [1, 2, 0]], [[3, 0], [1, 3]]]
)
def test_moments_are_those_of_all_permutations(table):
    table = np.array(table)
    x, y = columns_of(table)
    parts = _parts(CountTable.from_counts(table), (0,), (1,), ())
    rows, cols = table.sum(1), table.sum(0)
    values = []
    for order in permutations(range(len(y))):
        t = np.zeros(table.shape)
        np.add.at(t, (x, y[list(order)]), 1)
        expected = np.outer(rows, cols) / len(y)
        values.append(((t - expected) ** 2 / expected).sum())
    assert parts.mean == pytest.approx(np.mean(values))
    assert parts.variance == pytest.approx(np.var(values), abs=1e-9)


def reject(draw, repeats=400, level=0.05):
    return np.mean([draw().p_value <= level for _ in range(repeats)])


@pytest.mark.parametrize(
    ("p", "q", "n"),
    [
        ([0.5, 0.5], [0.9, 0.1], 100),
        (1 / np.arange(1, 6), 1 / np.arange(1, 6), 200),
        (np.ones(10), np.ones(10), 60),
        ([1, 1], np.ones(300), 300),
        ([0.999, 0.001], 1 / np.arange(1, 9), 2000),
        (np.ones(30), np.ones(30), 900),
    ],
)
def test_size_of_the_test_under_independence(p, q, n):
    """Where G with its chi-squared law rejects 24 to 100 % (10 x 10 at n = 100, 30 x 30 at 900, 2 x 300 at 300)."""
    rng = np.random.default_rng(0)
    joint = np.outer(p, q) / np.sum(p) / np.sum(q)

    def draw():
        return independence_test(
            CountTable.from_counts(rng.multinomial(n, joint.ravel()).reshape(joint.shape)), (0,), (1,)
        )

    assert 0.015 <= reject(draw) <= 0.09


def test_size_given_a_third_variable_and_of_mutual_independence():
    rng = np.random.default_rng(1)

    def conditional():
        z = rng.integers(0, 6, 60)
        x, y = (rng.random(60) < 0.2 + 0.1 * z).astype(int), rng.integers(0, 3, 60) + (z > 3)
        return independence_test(CountTable.from_columns(x, y, z), (0,), (1,), (2,))

    assert 0.015 <= reject(conditional) <= 0.09

    def mutual():
        return mutual_independence_test(CountTable.from_columns(*rng.integers(0, 3, (4, 50))))

    assert 0.015 <= reject(mutual) <= 0.09


def test_power_and_freedom():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 40, 300)
    y = np.where(rng.random(300) < 0.3, x, rng.integers(0, 40, 300))
    assert independence_test(CountTable.from_columns(x, y), (0,), (1,)).p_value < 1e-6
    constant = independence_test(CountTable.from_columns(x, np.zeros(300, int)), (0,), (1,))
    assert (constant.p_value, constant.df) == (1.0, 0.0)
    identifier = independence_test(CountTable.from_columns(np.arange(300), y), (0,), (1,))
    assert identifier.p_value == 1.0  # the margins fix the table: there is no evidence
    rare = np.array([[1997, 1], [2, 0]])  # the gamma law alone would give 0.0 here
    assert independence_test(CountTable.from_counts(rare), (0,), (1,)).p_value > 0.5
