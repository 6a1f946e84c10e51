"""Columns in memory, row by row: tables of any kind as NumPy arrays, and a target in codes.

`plogp.tables.source` counts tables that may be larger than memory; what is fitted and transformed row by row
(binners, the WoE encoder) reads them here, under the same rules: numbers, dates as seconds since 1970-01-01
and booleans as 0 and 1 are floats with NaN, everything else is text with None.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.binning import quantile_edges
from plogp.tables.source import Storage

__all__ = ["Target", "Values", "code_target", "read_columns", "read_values"]

Codes = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Values:
    """One column's values: float64 with NaN, or objects (text) with None."""

    array: npt.NDArray[Any]
    storage: Storage

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers or dates, which lie on a line (booleans are categories)."""
        return self.storage in ("integer", "float", "datetime")

    @property
    def missing(self) -> Bools:
        """Where there is no value."""
        if self.storage == "text":
            return np.array([v is None for v in self.array], dtype=bool)
        return np.isnan(self.array)

    def __len__(self) -> int:
        return len(self.array)

    def rows(self, keep: npt.NDArray[Any]) -> Values:
        """Return some of the rows (a mask or positions)."""
        return Values(self.array[keep], self.storage)

    def levels(self) -> tuple[list[Any], Codes]:
        """Return the distinct values in order, and of each row the position of its value (-1: missing)."""
        codes = np.full(len(self.array), -1, dtype=np.int64)
        present = ~self.missing
        some = self.array[present]
        if self.storage == "text":
            found: dict[str, int] = {}
            raw = np.array([found.setdefault(v, len(found)) for v in some], dtype=np.int64)
            levels = sorted(found)
            rank = np.empty(len(found), dtype=np.int64)
            rank[[found[v] for v in levels]] = np.arange(len(levels))
            codes[present] = rank[raw]
            return levels, codes
        unique, inverse = np.unique(some, return_inverse=True)
        codes[present] = inverse
        return unique.tolist(), codes


@dataclass(frozen=True, eq=False)
class Target:
    """A target in codes: -1 where it is missing.

    ``kind`` is "binary", "classes" or "continuous"; of a binary target code 1 is the event, ``values[1]``;
    a continuous one is coded by its quantile classes, so that one criterion serves all kinds.
    """

    kind: str
    codes: Codes
    values: tuple[Any, ...]
    numbers: npt.NDArray[np.float64] | None = None

    @property
    def dropped(self) -> int:
        """Rows without a target."""
        return int((self.codes < 0).sum())

    def rows(self, keep: npt.NDArray[Any]) -> Target:
        """Return the target of some of the rows (a mask or positions)."""
        numbers = None if self.numbers is None else self.numbers[keep]
        return Target(self.kind, self.codes[keep], self.values, numbers)


def read_columns(table: Any) -> dict[str, Values]:
    """Return the columns of a table in memory by name.

    A dict of arrays, a data frame of any library (through narwhals), a 2-D array (columns ``x0``, ``x1``...)
    or a 1-D array (``x0``).

    Raises
    ------
    TypeError
        If the table is none of these.
    ValueError
        If it has no columns, or columns of different lengths.

    Examples
    --------
    >>> table = read_columns({"age": [31, None, 40], "job": ["smith", None, "baker"]})
    >>> [(v.storage, v.array.tolist()) for v in table.values()]
    [('float', [31.0, nan, 40.0]), ('text', ['smith', None, 'baker'])]
    """
    if isinstance(table, Mapping):
        out = {str(k): read_values(v, str(k)) for k, v in table.items()}
    elif isinstance(table, (np.ndarray, list, tuple)) or hasattr(table, "__array_interface__"):
        x = np.asarray(table)
        if x.ndim not in (1, 2):
            raise ValueError(f"table must have one or two dimensions, got shape {x.shape}")
        x = x[:, None] if x.ndim == 1 else x
        out = {f"x{k}": read_values(column, f"x{k}") for k, column in enumerate(x.T)}
    else:
        out = _from_frame(table)
    if not out:
        raise ValueError("table has no columns")
    lengths = {k: len(v) for k, v in out.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must have equal lengths, got {lengths}")
    return out


def read_values(values: Any, name: str = "column") -> Values:
    """Return one column: an array, a list, or a column of a data frame.

    >>> read_values([True, None, False]).array
    array([ 1., nan,  0.])
    >>> read_values(np.array(["1970-01-02", "NaT"], dtype="datetime64[D]")).array
    array([86400.,    nan])
    """
    if isinstance(values, Values):
        return values
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ValueError(f"{name} must be one-dimensional, got shape {values.shape}")
        if values.dtype.kind != "O":
            return _from_array(values, name)
    elif isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be an array, a list or a data-frame column, got {type(values).__name__}")
    elif hasattr(values, "to_numpy"):
        return _from_frame(values, name)[name]
    cells = [None if _gone(v) else v for v in values]
    kinds = {type(v) for v in cells if v is not None}
    if kinds and all(issubclass(k, (bool, np.bool_)) for k in kinds):
        storage: Storage = "boolean"
    elif kinds and all(issubclass(k, (int, np.integer)) for k in kinds) and None not in cells:
        storage = "integer"
    elif kinds and all(issubclass(k, (int, float, np.number)) for k in kinds):
        storage = "float"
    elif kinds and all(issubclass(k, (datetime.date, np.datetime64)) for k in kinds):
        return _from_array(np.array(cells, dtype="datetime64[us]"), name)
    else:
        for kind in kinds:
            if kind.__hash__ is None:
                raise TypeError(f"{name}: a cell's argument must be a string or a number, got {kind.__name__}")
        text = np.empty(len(cells), dtype=object)
        text[:] = [None if v is None else str(v) for v in cells]
        return Values(text, "text")
    return Values(np.array([np.nan if v is None else v for v in cells], dtype=np.float64), storage)


def code_target(y: Any, event: Any = None, kind: str | None = None, quantile_classes: int = 5) -> Target:
    """Return the target in codes: binary, classes, or the quantile classes of a continuous one.

    Parameters
    ----------
    y : array-like of shape (n,)
        None and NaN are rows without a target.
    event : optional
        The value that counts as the event of a binary target; by default the larger one in sorted order
        (1, True, "yes"), as scikit-learn orders its classes.
    kind : "binary", "classes" or "continuous", optional
        By default two distinct values are binary, numbers of more than 20 distinct values continuous.
    quantile_classes : int
        Classes that stand for a continuous target.

    Raises
    ------
    ValueError
        If the target has a single value, or `event` is not among its values.

    Examples
    --------
    >>> t = code_target(["no", "yes", None, "no"])
    >>> t.kind, t.codes.tolist(), t.values
    ('binary', [0, 1, -1, 0], ('no', 'yes'))
    """
    column = read_values(y, "y")
    levels, codes = column.levels()
    if len(levels) < 2:
        seen = f"one class only, {levels[0]!r}" if levels else "nothing but missing values"
        raise ValueError(f"target must have at least two distinct values, found {seen}")
    if kind not in (None, "binary", "classes", "continuous"):
        raise ValueError(f"kind must be 'binary', 'classes' or 'continuous', got {kind!r}")
    if kind is None:
        many = column.numeric and len(levels) > 20
        kind = "binary" if len(levels) == 2 else "continuous" if many else "classes"
    if event is not None and (kind != "binary" or event not in levels):
        raise ValueError(f"event {event!r} must be one of the two target values, got {levels[:5]}")
    if kind == "binary":
        if len(levels) != 2:
            raise ValueError(f"a binary target needs two distinct values, found {len(levels)}: {levels[:5]}")
        if event is not None and event == levels[0]:
            levels, codes = levels[::-1], np.where(codes < 0, -1, 1 - codes)
        return Target("binary", codes, tuple(levels))
    if kind == "classes":
        return Target("classes", codes, tuple(levels))
    if column.storage == "text":
        raise ValueError("a continuous target must be numbers, got text")
    numbers, present = column.array, ~column.missing
    edges = quantile_edges(numbers[present], quantile_classes)
    codes = np.where(present, np.searchsorted(edges, numbers, side="left"), -1).astype(np.int64)
    return Target("continuous", codes, tuple(range(len(edges) + 1)), numbers)


def _gone(v: Any) -> bool:
    # pandas' NA answers every comparison with NA, which is neither true nor false; NaN differs from itself.
    return v is None or type(v).__name__ in ("NAType", "NaTType") or (isinstance(v, float) and v != v)


def _from_array(x: npt.NDArray[Any], name: str) -> Values:
    kind = x.dtype.kind
    if kind == "b":
        return Values(x.astype(np.float64), "boolean")
    if kind in "iu":
        return Values(x.astype(np.float64), "integer")
    if kind == "f":
        return Values(x.astype(np.float64), "float")
    if kind in "mM":
        whole = x.astype(f"{'datetime64' if kind == 'M' else 'timedelta64'}[us]")
        seconds = np.where(np.isnat(whole), np.nan, whole.astype(np.int64) / 1e6)
        return Values(seconds, "datetime" if kind == "M" else "float")
    if kind == "c":
        raise ValueError(f"{name}: Complex data not supported")
    text = np.empty(len(x), dtype=object)
    text[:] = x.astype(str).tolist()
    return Values(text, "text")


def _from_frame(table: Any, name: str | None = None) -> dict[str, Values]:
    """Columns of a data frame or series of any library that narwhals knows."""
    try:
        import narwhals as nw
    except ImportError as error:
        raise ImportError("plogp[tables] is needed for data frames: pip install 'plogp[tables]'") from error
    try:
        frame: Any = nw.from_native(table, allow_series=True)
    except TypeError:
        raise TypeError(
            f"table must be a dict of arrays, a data frame or an array, got {type(table).__name__}"
        ) from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, nw.Series):
        return {name or str(frame.name): _from_series(frame, nw)}
    return {str(c): _from_series(frame.get_column(c), nw) for c in frame.columns}


def _from_series(s: Any, nw: Any) -> Values:
    dtype = s.dtype
    if dtype.is_integer() and not s.is_null().any():
        return _from_array(np.asarray(s.to_numpy()), str(s.name))
    if dtype.is_numeric():
        cells = s.cast(nw.Float64).to_list()
        return Values(np.array([np.nan if _gone(v) else v for v in cells], dtype=np.float64), "float")
    if isinstance(dtype, (nw.Datetime, nw.Date)):
        return _from_array(np.asarray(s.cast(nw.Datetime("us")).to_numpy()), str(s.name))
    return read_values(s.to_list(), str(s.name))
