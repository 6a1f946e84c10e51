from __future__ import annotations

from datetime import date
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.estimate.counts import CountTable, contingency, encode, pairwise_tables

COLUMNS = {
    "integers": [3, -1, 3, 7],
    "far integers": [2**62, -(2**62), 0, 2**62],
    "unsigned": np.array([2**64 - 1, 0, 5, 5], dtype=np.uint64),
    "booleans": [True, False, True, True],
    "one boolean": [True, True, True, True],
    "strings": ["b", "a", "b", "ü"],
    "bytes": np.array([b"x", b"y", b"x", b"x"]),
    "objects": np.array(["b", 1, "b", ("t",)], dtype=object),
    "whole floats": [1.0, 2.0, 1.0, 1.0],
    "dates": np.array(["2020-01-01", "2021-01-01", "2020-01-01", "2020-01-01"], dtype="datetime64[D]"),
    "python dates": np.array([date(2020, 1, 1), date(2021, 1, 1)] * 2, dtype=object),
    "rows": np.array([[1, 2], [1, 3], [1, 2], [0, 2]]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_labels_of_the_codes_are_the_column(name):
    column = np.asarray(COLUMNS[name])
    codes, labels = encode(column)
    assert codes.dtype == np.uint8
    assert sorted(set(codes.tolist())) == list(range(len(labels)))
    back = labels[codes]
    assert all(np.array_equal(a, b) for a, b in zip(back, column))


def test_labels_are_sorted_where_they_have_an_order():
    assert encode(["b", "a", "c", "a"])[1].tolist() == ["a", "b", "c"]
    assert encode(np.array([300, -5, 300]))[1].tolist() == [-5, 300]


@pytest.mark.parametrize(
    ("column", "error", "words"),
    [
        ([], ValueError, "empty"),
        ([1.0, np.nan], ValueError, "NaN"),
        ([0.5, 1.0], TypeError, "real numbers"),
        ([np.inf, 1.0], TypeError, "real numbers"),
        (np.array(["a", None], dtype=object), ValueError, "missing"),
        (np.array(["a", float("nan")], dtype=object), ValueError, "missing"),
        (np.array([{}, {}], dtype=object), TypeError, "hashable"),
        (np.array(["2020", "NaT"], dtype="datetime64[D]"), ValueError, "NaT"),
        (np.ma.array([1, 2], mask=[0, 1]), ValueError, "masked"),
        (np.zeros((2, 2, 2), int), ValueError, "shape"),
        (np.array([1j, 2j]), TypeError, "labels"),
    ],
)
def test_hostile_columns_are_refused_by_name(column, error, words):
    with pytest.raises(error, match=words) as caught:
        encode(column, "price")
    assert "price" in str(caught.value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.sampled_from("ab")), min_size=1, max_size=60))
def test_contingency_is_the_brute_force_count(rows):
    columns = [np.array([r[j] for r in rows]) for j in range(3)]
    table = contingency(*columns)
    labels = [encode(c)[1] for c in columns]
    for cell in np.ndindex(table.shape):
        key = tuple(labels[j][cell[j]] for j in range(3))
        assert table[cell] == sum(tuple(r) == key for r in rows)


def test_sparse_and_dense_tables_agree():
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 400, 500) for _ in range(4)]  # 400^4 cells: kept sparse
    table = CountTable.from_columns(*columns)
    assert table.n == 500
    assert len(table.counts) <= 500
    for pair in combinations(range(4), 2):
        assert np.array_equal(table.marginal(pair).dense(), contingency(columns[pair[0]], columns[pair[1]]))
    with pytest.raises(ValueError, match="use CountTable"):
        table.dense()


def test_radix_beyond_64_bits():
    rng = np.random.default_rng(1)
    columns = [rng.integers(0, 1000, 300) for _ in range(9)]  # 1000^9 > 2^63
    columns.append(columns[0])
    table = CountTable.from_columns(*columns)
    assert table.n == 300
    assert np.array_equal(table.marginal(0).dense(), np.bincount(encode(columns[0])[0]))
    both = table.marginal((0, 9)).dense()
    assert np.array_equal(both, np.diag(np.diag(both)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_marginals_sum_the_other_axes(seed, d):
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 3, tuple(rng.integers(1, 4, d)))
    dense.flat[0] += 1
    table = CountTable.from_counts(dense)
    assert np.array_equal(table.dense(), dense)
    keep = tuple(sorted(rng.choice(d, rng.integers(1, d + 1), replace=False)))
    rest = tuple(a for a in range(d) if a not in keep)
    assert np.array_equal(table.marginal(keep).dense(), dense.sum(axis=rest))


def test_projection_of_cells_and_order_of_axes():
    dense = np.arange(24).reshape(2, 3, 4)
    table = CountTable.from_counts(dense)
    margin, where = table.project((2, 0))
    assert np.array_equal(margin.dense(), dense.sum(1).T)
    assert np.array_equal(margin.cells[where], table.cells[:, [2, 0]])
    nothing, where = table.project(())
    assert nothing.counts.tolist() == [dense.sum()]
    assert not where.any()


@pytest.mark.parametrize("states", [2, 3, 20, 300, 2000])
def test_pairwise_tables_are_the_tables_of_the_pairs(states):
    rng = np.random.default_rng(states)
    columns = [rng.integers(0, states if j % 3 else 4, 700) for j in range(9)]
    names = list("abcdefghi")
    seen = set()
    for i, j, table in pairwise_tables(columns, names):
        assert i < j
        seen.add((i, j))
        assert table.names == (names[i], names[j])
        assert np.array_equal(table.dense(), contingency(columns[i], columns[j]))
    assert seen == set(combinations(range(9), 2))


def test_bad_tables_are_refused():
    with pytest.raises(ValueError, match="y has 1 samples but x has 2"):
        contingency([1, 2], [1])
    with pytest.raises(ValueError, match="negative"):
        CountTable.from_counts([1, -1])
    with pytest.raises(ValueError, match="whole"):
        CountTable.from_counts([1.5])
    with pytest.raises(ValueError, match="NaN"):
        CountTable.from_counts([np.nan, 1])
    with pytest.raises(ValueError, match="sums to 0"):
        CountTable.from_counts([0, 0])
    with pytest.raises(TypeError, match="counts"):
        CountTable.from_counts(["a"])
    with pytest.raises(ValueError, match="at least one column"):
        CountTable.from_columns()
    table = CountTable.from_columns([1, 2], [1, 1], names=("age", "sex"))
    with pytest.raises(ValueError, match="no variable named 'agw'"):
        table.marginal("agw")
    with pytest.raises(ValueError, match="out of range"):
        table.marginal(2)
    with pytest.raises(ValueError, match="distinct"):
        table.marginal((0, 0))
    with pytest.raises(ValueError, match="distinct names"):
        CountTable.from_columns([1], [1], names=("a", "a"))
