"""Arrays and data frames in memory: views, byte orders, masks and types that DuckDB does not read by itself."""

from __future__ import annotations

import datetime
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from plogp.tables import TableError, open_table, profile

X = np.arange(60.0)


def values(table: Any, name: str = "a") -> npt.NDArray[Any]:
    with open_table(table) as source:
        return source.sample([name], 1000)[name]


@pytest.mark.parametrize(
    "view",
    [
        X[::-1],
        X[::-1].astype(np.int32)[::1],
        np.stack([X, X[::-1]])[1, ::-1][::-1],
        X[::-1].astype(">f8"),
        X[::-1].astype(">i4"),
        np.repeat(X[::-1], 2)[::2],
        X[::-1] > 20,
    ],
)
def test_views_and_byte_orders_count_as_their_copies(view: npt.NDArray[Any]) -> None:
    assert values({"a": view}).tolist() == [float(v) for v in view]


def test_a_mask_is_missing() -> None:
    mask = X % 3 == 0
    for x in (X, X.astype(np.int64), X > 30, X.astype(object)):
        for step in (1, -1):
            with open_table({"a": np.ma.masked_array(x, mask)[::step]}) as source:
                assert source.stats()["a"].missing == 20


def test_reversed_pandas_frames() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "a": X,
            "c": pd.Categorical(["u", "v", "v"] * 20),
            "n": pd.array([1, None, 3] * 20, dtype="Int64"),
            "b": pd.array([True, None] * 30, dtype="boolean"),
            "t": pd.date_range("2024-01-01", periods=60, tz="Europe/Berlin"),
        }
    )
    there, back = open_table(frame), open_table(frame[::-1])
    assert there.stats() == back.stats()
    assert values(frame[::-1]).tolist() == X[::-1].tolist()


def test_pandas_types_that_duckdb_does_not_know() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "cut": pd.cut(X, 3),
            "interval": pd.arrays.IntervalArray.from_breaks(np.arange(61)),
            "period": pd.period_range("2024-01", periods=60, freq="M"),
            "sparse": pd.arrays.SparseArray([0.0, 0.0, 1.0] * 20),
        }
    )
    with open_table(frame) as source:
        assert [c.storage for c in source.columns.values()] == ["text", "text", "datetime", "float"]
        assert [s.distinct for s in source.stats().values()] == [3, 60, 60, 2]
    with pytest.raises(TableError, match="'z' holds complex"):
        open_table(pd.DataFrame({"z": X + 1j}))


def test_column_names_of_frames_may_repeat_or_have_levels() -> None:
    pd, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    twice = pd.DataFrame(np.ones((9, 2)), columns=["a", "a"])
    assert list(open_table(twice).columns) == ["a", "a_2"]
    assert list(open_table(pa.table([[1, 2], [3, 4]], names=["a", "a"])).columns) == ["a", "a_2"]
    levels = pd.DataFrame(np.ones((9, 2)), columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    assert list(open_table(levels).columns) == ["a.x", "a.y"]


def test_times_with_a_zone_are_utc_without_a_warning() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    times = [datetime.datetime(1970, 1, 1, 2, i, tzinfo=zone) for i in range(50)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert values({"a": times}).tolist() == [60.0 * i for i in range(50)]


def test_whole_numbers_that_floats_cannot_tell_apart_stay_apart() -> None:
    for first in (10**18, 10**30):
        p = profile({"a": [first + i % 7 for i in range(700)]})
        assert (p["a"].kind, p["a"].distinct) == ("categorical", 7)
    # Times in nanoseconds are numbers still.
    assert profile({"a": 1_700_000_000_000_000_000 + 10**9 * np.arange(500) ** 2})["a"].kind == "continuous"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a": np.zeros(9, dtype=[("x", "f8")])}, "records"),
        ({"a": [[1, 2], [3]]}, "different lengths"),
        ({"a": {1, 2, 3}}, "one-dimensional"),
        ({}, "no columns"),
    ],
)
def test_what_is_no_column_is_refused(table: Any, words: str) -> None:
    with pytest.raises(TableError, match=words):
        open_table(table)


def test_no_columns_asked_for() -> None:
    with pytest.raises(TableError, match="at least one column"):
        profile({"a": X}, columns=[])
    with pytest.raises(TypeError, match="kinds must map"):
        profile({"a": X}, kinds=["a"])  # type: ignore[arg-type]
