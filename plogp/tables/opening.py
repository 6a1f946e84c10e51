"""Files, data frames, mappings and relations opened with DuckDB."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np

from plogp.tables.duckdb_engine import DuckDBSource, adopt, import_duckdb
from plogp.tables.reading import Dialect, first_ragged_record, read_dialect, tidy_names
from plogp.tables.source import TableError

__all__ = ["open_file", "open_frame", "open_relation"]

DELIMITED = (".csv", ".tsv", ".tab", ".psv")
JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq", ".parq")
DATABASE = (".duckdb", ".ddb", ".db")
#: Text files larger than this are loaded into a database on disk rather than in memory.
IN_MEMORY = 256 << 20


def connect(memory_limit: str | None, on_disk: bool = False) -> tuple[Any, Callable[[], None]]:
    """Open a private DuckDB that never touches the network, with a scratch directory of its own."""
    duckdb = import_duckdb()
    scratch = Path(tempfile.mkdtemp(prefix="plogp-"))
    config = {"temp_directory": str(scratch / "spill"), "autoinstall_known_extensions": "false"}
    if memory_limit is not None:
        config["memory_limit"] = memory_limit
    try:
        database = str(scratch / "table.duckdb") if on_disk else ":memory:"
        connection = duckdb.connect(database, config=config)
    except duckdb.Error as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise TableError(f"memory_limit {memory_limit!r} is not understood: {_first_line(error)}") from error
    connection.execute("SET enable_progress_bar = false")
    # TIMESTAMP WITH TIME ZONE is read as UTC wherever this runs.
    connection.execute("SET TimeZone = 'UTC'")

    def release() -> None:
        connection.close()
        shutil.rmtree(scratch, ignore_errors=True)

    return connection, release


def open_file(path: str, label: str | None = None, memory_limit: str | None = None) -> DuckDBSource:
    """Open a CSV, TSV, Parquet, JSON-lines or DuckDB file, or a pattern that matches several of one kind.

    Raises
    ------
    TableError
        If there is no such file, or it cannot be read as a table.
    """
    location, _, inner = path.partition("#")
    if not inner or os.path.exists(path):
        location, inner = path, ""
    file = Path(location)
    label = label or file.name
    if not file.exists() and has_magic(location):
        matches = sorted(glob(location, recursive=True))
        if not matches:
            raise TableError(f"no file matches {location}")
        if not all(m.lower().endswith(PARQUET) for m in matches):
            raise TableError(f"{location} matches files that are not all Parquet; patterns work for Parquet only")
        return _open_parquet(location, label, memory_limit)
    if not file.exists():
        raise TableError(_no_such_file(file))
    if file.is_dir():
        raise TableError(
            f"{location} is a directory; give a file, or a pattern such as {location.rstrip('/')}/*.parquet"
        )
    if not file.is_file():
        raise TableError(f"{location} is not a regular file; write it to disk first")
    if not os.access(file, os.R_OK):
        raise TableError(f"{location} cannot be read: permission denied")
    size = file.stat().st_size
    if size == 0:
        raise TableError(f"{label} is empty")
    ending = file.name.lower().removesuffix(".gz")
    with file.open("rb") as f:
        magic = f.read(16)
    if ending.endswith(PARQUET) or magic[:4] == b"PAR1":
        return _open_parquet(_plain(location), label, memory_limit)
    if ending.endswith(DATABASE) or magic[8:12] == b"DUCK":
        return _open_database(location, inner, label, memory_limit)
    if ending.endswith(JSON):
        return _open_json(file, label, memory_limit)
    if not ending.endswith((*DELIMITED, ".txt", ".dat", ".data")) and "." in ending:
        raise TableError(
            f"{label} is of a kind that cannot be read as a table; expected .csv, .tsv, .parquet, .jsonl or .duckdb"
        )
    return _open_delimited(file, label, memory_limit, size)


def _open_parquet(location: str, label: str, memory_limit: str | None) -> DuckDBSource:
    duckdb = import_duckdb()
    connection, release = connect(memory_limit)
    quoted = _quote(location)
    try:
        described = connection.execute(f"SELECT * FROM read_parquet({quoted}) LIMIT 0").description
        # DuckDB renames columns whose names differ only in case; the file's own schema has the true ones.
        schema = connection.execute(f"SELECT name, num_children, file_name FROM parquet_schema({quoted})").fetchall()
    except duckdb.Error as error:
        release()
        raise TableError(f"{label} cannot be read as Parquet: {_first_line(error)}") from error
    given = _top_level([(n, k) for n, k, f in schema if f == schema[0][2]])
    if len(given) != len(described):
        given = [d[0] for d in described]
    names, notes = tidy_names(given)
    aliases = ", ".join([*(f"c{i}" for i in range(len(names))), "file_row", "file_name"])
    inner = f"SELECT * FROM read_parquet({quoted}, file_row_number = true, filename = true)"
    connection.execute(f"CREATE TEMP VIEW t AS SELECT * FROM ({inner}) AS inside({aliases})")
    return _adopt(connection, names, label, release, "hash(file_name), file_row", notes)


def _top_level(schema: Sequence[tuple[str, int | None]]) -> list[str]:
    """Return the names of the root's children from a schema listed depth first."""
    names: list[str] = []

    def skip(i: int) -> int:
        children = schema[i][1] or 0
        i += 1
        for _ in range(children):
            i = skip(i)
        return i

    i = 1
    for _ in range(schema[0][1] or 0):
        names.append(schema[i][0])
        i = skip(i)
    return names


def _open_delimited(file: Path, label: str, memory_limit: str | None, size: int) -> DuckDBSource:
    duckdb = import_duckdb()
    dialect = read_dialect(file, label)
    if len(dialect.names) == 1 and not file.name.lower().removesuffix(".gz").endswith(DELIMITED):
        raise TableError(f"{label} does not look like a table: no comma, tab, semicolon or bar in its first line")
    big = size > IN_MEMORY or (file.suffix == ".gz" and size > IN_MEMORY // 8)
    connection, release = connect(memory_limit, on_disk=big)
    names = ", ".join(f"'c{i}'" for i in range(len(dialect.names)))
    reader = (
        f"read_csv({_quote(_plain(str(file)))}, delim = {_quote(dialect.delimiter)}, quote = '\"', escape = '\"', "
        f"header = {str(dialect.has_header).lower()}, names = [{names}], null_padding = false"
    )
    try:
        _load(connection, reader, dialect)
        ragged = _single_column_trap(connection, dialect)
    except duckdb.Error as error:
        release()
        problem = first_ragged_record(file, dialect, label)
        raise TableError(problem or f"{label} cannot be read: {_first_line(error)}") from error
    if ragged:
        release()
        raise TableError(first_ragged_record(file, dialect, label) or f"{label} cannot be split into columns")
    return _adopt(connection, dialect.names, label, release, "rowid", dialect.notes)


def _load(connection: Any, reader: str, dialect: Dialect) -> None:
    """Load the file with types from its first rows; a column that a later row contradicts is read as text."""
    duckdb = import_duckdb()
    text = {f"c{i}" for i in dialect.codes}
    for _ in range(6):
        types = ", ".join(f"'{c}': 'VARCHAR'" for c in sorted(text))
        typed = f", types = {{{types}}}" if text else ""
        try:
            connection.execute(f"CREATE TABLE t AS SELECT * FROM {reader}, sample_size = 4096{typed})")
            return
        except duckdb.ConversionException as error:
            found = re.search(r'converting column "(c\d+)"', str(error))
            if found is None or found[1] in text:
                break
            text.add(found[1])
    connection.execute(f"CREATE TABLE t AS SELECT * FROM {reader}, all_varchar = true)")


def _single_column_trap(connection: Any, dialect: Dialect) -> bool:
    """Whether DuckDB found another number of columns than the header has."""
    return len(connection.execute("SELECT * FROM t LIMIT 0").description) != len(dialect.names)


def _open_json(file: Path, label: str, memory_limit: str | None) -> DuckDBSource:
    duckdb = import_duckdb()
    connection, release = connect(memory_limit, on_disk=file.stat().st_size > IN_MEMORY)
    reader = f"read_json({_quote(_plain(str(file)))}, sample_size = -1, format = 'auto')"
    try:
        given = [d[0] for d in connection.execute(f"SELECT * FROM {reader} LIMIT 0").description]
        names, notes = tidy_names(given)
        aliases = ", ".join(f"c{i}" for i in range(len(names)))
        connection.execute(f"CREATE TABLE t AS SELECT * FROM {reader} AS inside({aliases})")
    except duckdb.Error as error:
        release()
        raise TableError(f"{label} cannot be read as JSON lines: {_first_line(error)}") from error
    if given == ["json"]:
        release()
        raise TableError(f"{label} holds JSON, but its lines are not objects with named fields")
    return _adopt(connection, names, label, release, "rowid", notes)


def _open_database(location: str, table: str, label: str, memory_limit: str | None) -> DuckDBSource:
    duckdb = import_duckdb()
    connection, release = connect(memory_limit)
    try:
        connection.execute(f"ATTACH {_quote(location)} AS given (READ_ONLY)")
    except duckdb.Error as error:
        release()
        raise TableError(f"{label} cannot be opened as a DuckDB database: {_first_line(error)}") from error
    found = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'given' ORDER BY 1, 2"
    ).fetchall()
    listed = [n if s == "main" else f"{s}.{n}" for s, n in found]
    if not table and len(listed) == 1:
        table = listed[0]
    if table not in listed:
        release()
        if not listed:
            raise TableError(f"{label} holds no table")
        said = f"has no table {table!r}" if table else "holds several tables"
        raise TableError(f"{label} {said}; give one of them after a hash: {location}#{', #'.join(listed[:8])}")
    schema, name = found[listed.index(table)]
    whole = f'given."{_double(schema)}"."{_double(name)}"'
    given = [d[0] for d in connection.execute(f"SELECT * FROM {whole} LIMIT 0").description]
    names, notes = tidy_names(given)
    aliases = ", ".join(f"c{i}" for i in range(len(names)))
    connection.execute(f"CREATE TEMP VIEW t AS SELECT * FROM {whole} AS inside({aliases})")
    return _adopt(connection, names, f"{label}#{table}", release, "row_number() OVER ()", notes)


def open_relation(relation: Any, label: str | None = None) -> DuckDBSource:
    """Open a DuckDB relation on its own connection, without leaving anything in that database."""
    if not hasattr(relation, "query"):
        raise TableError(f"a DuckDB relation is expected, not {type(relation).__name__}: use connection.sql(...)")
    names, notes = tidy_names(list(relation.columns))
    aliases = ", ".join(f"c{i}" for i in range(len(names)))

    def run(sql: str) -> Any:
        return relation.query("plogp_relation", f"WITH t({aliases}) AS (FROM plogp_relation) {sql}")

    return adopt(run, names, [str(t) for t in relation.types], label or "relation", notes=notes)


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
    return _adopt(connection, tidy, label or kind, release, "row_number() OVER ()", notes)


def _narwhals(table: Any) -> tuple[list[str], Any, str]:
    try:
        import narwhals.stable.v1 as nw
    except ImportError as error:
        raise ImportError("plogp[tables] is needed for data frames: pip install 'plogp[tables]'") from error
    try:
        frame: Any = nw.from_native(table)
    except TypeError as error:
        raise TypeError(
            f"a table is expected (path, URL, data frame, relation or mapping of arrays), got {type(table).__name__}"
        ) from error
    kind = str(frame.implementation).rsplit(".", 1)[-1].lower().replace("pyarrow", "Arrow") + " table"
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    names = [str(c) for c in frame.columns]
    frame = frame.rename({c: f"c{i}" for i, c in enumerate(frame.columns)}) if len(set(names)) == len(names) else frame
    native = frame.to_native()
    if frame.implementation.is_pandas():
        return names, _plain_pandas(native), kind
    if frame.implementation.is_pyarrow():
        return names, native, kind
    try:
        return names, frame.to_arrow(), kind
    except (ImportError, ModuleNotFoundError):
        return names, {f"c{i}": _array(frame[f"c{i}"].to_list(), n) for i, n in enumerate(names)}, kind


def _plain_pandas(frame: Any) -> Any:
    """Make columns of mixed objects text, which DuckDB would otherwise guess from a sample."""
    changed = {}
    for name in frame.columns:
        if frame[name].dtype == object:
            values = frame[name].tolist()
            changed[name] = _array(values, name)
    return frame.assign(**changed) if changed else frame


def _array(values: Any, name: str) -> Any:
    """Return one column as an array that DuckDB reads without guessing."""
    try:
        x = np.asarray(values)
    except ValueError as error:
        raise TableError(f"column {name!r} is not one-dimensional: {error}") from error
    if x.ndim != 1:
        raise TableError(f"column {name!r} must be one-dimensional, got shape {x.shape}")
    if x.dtype.kind in "US":
        return x.astype(object)
    if x.dtype.kind == "f" and x.dtype.itemsize not in (4, 8):
        return x.astype(np.float64)
    if x.dtype.kind == "M":
        return x.astype("datetime64[us]")
    if x.dtype.kind == "m":  # durations are numbers, in seconds
        return np.where(np.isnat(x), np.nan, x / np.timedelta64(1, "s"))
    if x.dtype.kind == "c":
        raise TableError(f"column {name!r} holds complex numbers; give its real and imaginary parts")
    if x.dtype.kind != "O":
        return x
    present = [v for v in x.tolist() if v is not None and v == v]
    if present and all(isinstance(v, (bool, np.bool_)) for v in present):
        return np.ma.masked_array(
            np.array([bool(v) if v is not None and v == v else False for v in x.tolist()]),
            mask=[v is None or v != v for v in x.tolist()],
        )
    if present and all(isinstance(v, (int, float, np.integer, np.floating)) for v in present):
        return np.array([float(v) if v is not None else np.nan for v in x.tolist()], dtype=np.float64)
    if present and not any(isinstance(v, str) for v in present) and not hasattr(present[0], "__len__"):
        try:
            return np.array(x.tolist(), dtype="datetime64[us]")
        except (ValueError, TypeError):
            pass
    out = np.empty(len(x), dtype=object)
    out[:] = [None if v is None or v != v else str(v) for v in x.tolist()]
    return out


def _adopt(
    connection: Any, names: Sequence[str], label: str, release: Callable[[], None], row_id: str, notes: Sequence[str]
) -> DuckDBSource:
    duckdb = import_duckdb()
    try:
        types = [str(d[1]) for d in connection.execute("SELECT * FROM t LIMIT 0").description]
        source = adopt(connection.execute, names, types, label, row_id, release, notes)
    except duckdb.Error as error:
        release()
        raise TableError(f"{label} cannot be read: {_first_line(error)}") from error
    weakref.finalize(source, release)
    return source


def _no_such_file(file: Path) -> str:
    import difflib

    folder = file.parent if file.parent.is_dir() else None
    near = difflib.get_close_matches(file.name, os.listdir(folder), n=1) if folder else []
    return f"no such file: {file}" + (f"; did you mean {file.parent / near[0]}?" if near else "")


def _plain(location: str) -> str:
    """Return a path in which DuckDB sees no pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in location) if has_magic(location) else location


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _double(name: str) -> str:
    return name.replace('"', '""')


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
