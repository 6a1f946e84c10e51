"""Data frames and mappings of arrays handed to DuckDB as they are, or as plain arrays where it cannot read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.tables.duckdb_engine import DuckDBSource, import_duckdb
from plogp.tables.opening import adopt_relation, connect
from plogp.tables.reading import tidy_names
from plogp.tables.source import TableError

__all__ = ["open_frame"]


def open_frame(table: Any, label: str | None = None, memory_limit: str | None = None) -> DuckDBSource:
    """Open a data frame of any library that narwhals knows, or a mapping of names to arrays.

    Raises
    ------
    TypeError
        If it is neither.
    TableError
        If columns differ in length.
    """
    import_duckdb()
    if isinstance(table, Mapping):
        names, columns = list(table), {f"c{i}": _array(v, n) for i, (n, v) in enumerate(table.items())}
        lengths = {n: len(c) for n, c in zip(names, columns.values())}
        if len(set(lengths.values())) > 1:
            raise TableError(f"columns differ in length: {lengths}")
        native: Any = columns
        kind = "mapping"
    else:
        names, native, kind = _narwhals(table)
    tidy, notes = tidy_names(names)
    connection, release = connect(memory_limit)
    if not names:
        release()
        raise TableError(f"{label or kind} has no columns")
    connection.register("handed_in", native)
    connection.execute("CREATE TEMP VIEW t AS SELECT * FROM handed_in")
    return adopt_relation(connection, tidy, label or kind, release, "row_number() OVER ()", notes)


def _narwhals(table: Any) -> tuple[list[str], Any, str]:
    try:
        import narwhals.stable.v1 as nw
    except ImportError as error:
        raise ImportError("plogp[tables] is needed for data frames: pip install 'plogp[tables]'") from error
    given, table = _by_position(table)
    try:
        frame: Any = nw.from_native(table)
    except TypeError as error:
        raise TypeError(
            f"a table is expected (path, URL, data frame, relation or mapping of arrays), got {type(table).__name__}"
        ) from error
    kind = str(frame.implementation).rsplit(".", 1)[-1].lower().replace("pyarrow", "Arrow") + " table"
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    names = given or [str(c) for c in frame.columns]
    frame = frame.rename({c: f"c{i}" for i, c in enumerate(frame.columns)})
    native = frame.to_native()
    if frame.implementation.is_pandas():
        return names, _plain_pandas(native, names), kind
    if frame.implementation.is_pyarrow():
        return names, native, kind
    try:
        return names, frame.to_arrow(), kind
    except (ImportError, ModuleNotFoundError):
        return names, {f"c{i}": _array(frame[f"c{i}"].to_list(), n) for i, n in enumerate(names)}, kind


def _by_position(table: Any) -> tuple[list[str], Any]:
    """Name the columns of a pandas or Arrow table c0, c1, ...: theirs may repeat or have several levels."""
    if hasattr(table, "set_axis") and hasattr(table, "columns"):
        names = [".".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in table.columns]
        return names, table.set_axis([f"c{i}" for i in range(len(names))], axis=1)
    if hasattr(table, "rename_columns") and hasattr(table, "column_names"):
        names = [str(c) for c in table.column_names]
        return names, table.rename_columns([f"c{i}" for i in range(len(names))])
    return [], table


def _plain_pandas(frame: Any, names: Sequence[str]) -> Any:
    """Make columns that DuckDB does not know, or would guess from a sample, plain arrays."""
    changed = {}
    for column, name in zip(frame.columns, names):
        dtype = frame[column].dtype
        if isinstance(dtype, np.dtype):
            values = frame[column].to_numpy()
            plain = _array(values, name)
            if plain is not values:
                changed[column] = plain
        elif str(dtype).startswith("Sparse"):
            changed[column] = _array(np.asarray(frame[column]), name)
        elif str(dtype).startswith(("period", "interval")):
            changed[column] = _array(frame[column].astype(object).tolist(), name)
        elif str(dtype) == "category" and dtype.categories.dtype != object and str(dtype.categories.dtype) != "str":
            # Categories that are not words (intervals, numbers) are compared as the words they print as.
            changed[column] = frame[column].cat.rename_categories([str(c) for c in dtype.categories]).array.copy()
        else:
            # The buffers of a reversed or strided view are not read by DuckDB; a copy has plain ones.
            changed[column] = frame[column].array.copy()
    return frame.assign(**changed) if changed else frame


def _array(values: Any, name: str) -> Any:
    """Return one column as an array that DuckDB reads without guessing, contiguous and in native byte order."""
    if isinstance(values, np.ma.MaskedArray):
        absent = np.ma.getmaskarray(values)
        if values.dtype.kind in "iub" and values.ndim == 1:
            return np.ma.masked_array(_plain(values.data), mask=np.ascontiguousarray(absent))
        values = [None if gone else v for v, gone in zip(values.data.tolist(), absent.ravel().tolist())]
    try:
        x = np.asarray(values)
    except ValueError as error:
        raise TableError(f"column {name!r} is not one-dimensional: its rows are lists of different lengths") from error
    if x.ndim != 1:
        raise TableError(f"column {name!r} must be one-dimensional, got shape {x.shape}")
    kind = x.dtype.kind
    if kind in "US":
        return x.astype(str).astype(object)
    if kind == "f" and x.dtype.itemsize not in (4, 8):
        return x.astype(np.float64)
    if kind == "M":
        return np.ascontiguousarray(x.astype("datetime64[us]"))
    if kind == "m":  # durations are numbers, in seconds
        return np.where(np.isnat(x), np.nan, x / np.timedelta64(1, "s"))
    if kind == "c":
        raise TableError(f"column {name!r} holds complex numbers; give its real and imaginary parts")
    if kind == "V":
        raise TableError(f"column {name!r} holds records; give each of their fields as a column")
    return _plain(x) if kind != "O" else _objects(x.tolist())


def _plain(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the same numbers contiguous and in native byte order, which is all that DuckDB reads."""
    return np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))


def _objects(cells: list[Any]) -> Any:
    """Return Python objects as booleans, numbers or dates where all of them are, else as text."""
    cells = [None if _gone(v) else v for v in cells]
    present = [v for v in cells if v is not None]
    if present and all(isinstance(v, (bool, np.bool_)) for v in present):
        return np.ma.masked_array(np.array([bool(v) for v in cells]), mask=[v is None for v in cells])
    if present and all(isinstance(v, (int, float, np.integer, np.floating)) for v in present):
        # Whole numbers that floats cannot tell apart (identifiers of 17 digits and more) stay text.
        if len(set(present)) == len({float(v) for v in present}):
            return np.array([np.nan if v is None else float(v) for v in cells], dtype=np.float64)
    elif present and not any(isinstance(v, str) for v in present) and not hasattr(present[0], "__len__"):
        try:
            return np.array([_utc(v) for v in cells], dtype="datetime64[us]")
        except (ValueError, TypeError):
            pass
    out = np.empty(len(cells), dtype=object)
    out[:] = [None if v is None else str(v) for v in cells]
    return out


def _gone(v: Any) -> bool:
    """Whether a cell is missing: None, NaN, NaT, or pandas' NA, which answers every comparison with NA."""
    return v is None or type(v).__name__ in ("NAType", "NaTType") or (isinstance(v, (float, np.floating)) and v != v)


def _utc(v: Any) -> Any:
    """Return a time with a zone as the same instant in UTC without one, which is what arrays hold."""
    zoned = isinstance(v, datetime) and v.tzinfo is not None
    return v.astimezone(UTC).replace(tzinfo=None) if zoned else v
