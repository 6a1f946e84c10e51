"""Files and relations opened with DuckDB; what is in memory is in `plogp.tables.dataframes`."""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from collections.abc import Callable, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from plogp.tables.duckdb_engine import DuckDBSource, adopt, import_duckdb
from plogp.tables.reading import Dialect, first_ragged_record, read_dialect, tidy_names
from plogp.tables.source import TableError

__all__ = ["adopt_relation", "connect", "open_file", "open_relation"]

DELIMITED = (".csv", ".tsv", ".tab", ".psv")
JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq", ".parq")
DATABASE = (".duckdb", ".ddb", ".db")
#: Text files larger than this are loaded into a database on disk rather than in memory.
IN_MEMORY = 256 << 20


def connect(memory_limit: str | None, on_disk: bool = False) -> tuple[Any, Callable[[], None]]:
    """Open a private DuckDB that never touches the network, with a scratch directory of its own."""
    duckdb = import_duckdb()
    # It removes itself when the process ends, however that comes about.
    directory = tempfile.TemporaryDirectory(prefix="plogp-", ignore_cleanup_errors=True)
    scratch = Path(directory.name)
    config = {"temp_directory": str(scratch / "spill"), "autoinstall_known_extensions": "false"}
    if memory_limit is not None:
        config["memory_limit"] = memory_limit
    try:
        database = str(scratch / "table.duckdb") if on_disk else ":memory:"
        connection = duckdb.connect(database, config=config)
    except duckdb.Error as error:
        directory.cleanup()
        raise TableError(f"memory_limit {memory_limit!r} is not understood: {_first_line(error)}") from error
    connection.execute("SET enable_progress_bar = false")
    # TIMESTAMP WITH TIME ZONE is read as UTC wherever this runs.
    connection.execute("SET TimeZone = 'UTC'")

    def release() -> None:
        connection.close()
        directory.cleanup()

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
        return _open_parquet(_literal_path(location), label, memory_limit)
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
    return adopt_relation(connection, names, label, release, "hash(file_name), file_row", notes)


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
        f"read_csv({_quote(_literal_path(str(file)))}, delim = {_quote(dialect.delimiter)}, "
        f"quote = '\"', escape = '\"', decimal_separator = '{dialect.decimal}', "
        f"header = {str(dialect.has_header).lower()}, names = [{names}], null_padding = false"
    )
    try:
        _load(connection, reader, dialect)
        ragged = _single_column_trap(connection, dialect)
    except duckdb.Error as error:
        release()
        problem = first_ragged_record(file, dialect, label)
        if problem is None and "Maximum line size" in str(error):
            problem = f"{label} has a line of more than 2,000,000 bytes; is a quote or an end of line missing?"
        raise TableError(problem or f"{label} cannot be read: {_first_line(error)}") from error
    if ragged:
        release()
        raise TableError(first_ragged_record(file, dialect, label) or f"{label} cannot be split into columns")
    return adopt_relation(connection, dialect.names, label, release, "rowid", dialect.notes)


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
    reader = f"read_json({_quote(_literal_path(str(file)))}, sample_size = -1, format = 'auto')"
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
    return adopt_relation(connection, names, label, release, "rowid", notes)


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
    return adopt_relation(connection, names, f"{label}#{table}", release, "row_number() OVER ()", notes)


def open_relation(relation: Any, label: str | None = None) -> DuckDBSource:
    """Open a DuckDB relation on its own connection, without leaving anything in that database."""
    if not hasattr(relation, "query"):
        raise TableError(f"a DuckDB relation is expected, not {type(relation).__name__}: use connection.sql(...)")
    names, notes = tidy_names(list(relation.columns))
    aliases = ", ".join(f"c{i}" for i in range(len(names)))

    def run(sql: str) -> Any:
        return relation.query("plogp_relation", f"WITH t({aliases}) AS (FROM plogp_relation) {sql}")

    return adopt(run, names, [str(t) for t in relation.types], label or "relation", notes=notes)


def adopt_relation(
    connection: Any, names: Sequence[str], label: str, release: Callable[[], None], row_id: str, notes: Sequence[str]
) -> DuckDBSource:
    """Make a source of the relation ``t`` of a private connection, which is released with the source."""
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


def _literal_path(location: str) -> str:
    """Return a path in which DuckDB sees no pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in location) if has_magic(location) else location


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _double(name: str) -> str:
    return name.replace('"', '""')


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
