"""A table larger than memory: `profile`, `relate` and `drift` on gigabytes of Parquet with DuckDB held to a limit.

    python benchmarks/large_table.py --gigabytes 4 --memory 1GB --directory /tmp/large

writes a reference and a current table of that size together (with known drift in column x1), runs the three calls
one after another, and prints their time, DuckDB's limit, and the peak resident memory of this process.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from plogp.tables import drift, open_table, profile, relate

#: Columns of doubles beside the key, the category and the label; random doubles do not compress.
WIDTH = 20
BYTES_PER_ROW = 8 * (WIDTH + 1)


def write(path: Path, rows: int, shift: float, seed: float) -> None:
    """Write one table of normal columns, a category, an identifier and a label that depends on x0."""
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '1GB'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET threads = 2")
        connection.execute(f"SELECT setseed({seed})")
        gauss = "sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())"
        columns = [f"{gauss} + {shift if i == 1 else 0.0} AS x{i}" for i in range(WIDTH)]
        columns += ["'shop ' || floor(50 * random() * random())::INT AS shop", "range AS id"]
        inner = f"SELECT {', '.join(columns)} FROM range({rows})"
        whole = f"SELECT *, (x0 + {gauss} > 0) AS label FROM ({inner})"
        connection.execute(f"COPY ({whole}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


def peak_megabytes() -> float:
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--directory", type=Path, default=None)
    given = parser.parse_args()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="plogp-large-"))
    directory.mkdir(parents=True, exist_ok=True)
    rows = int(given.gigabytes * 1e9 / BYTES_PER_ROW / 2)
    paths = [directory / "reference.parquet", directory / "current.parquet"]
    for path, shift, seed in zip(paths, (0.0, 0.08), (0.1, 0.2)):
        if not path.exists():
            write(path, rows, shift, seed)
    size = sum(p.stat().st_size for p in paths) / 1e9
    print(f"two tables of {rows:,} rows x {WIDTH + 3} columns, {size:.2f} GB on disk; DuckDB limit {given.memory}")
    print(f"peak resident memory before: {peak_megabytes():,.0f} MB")
    with open_table(paths[0], memory_limit=given.memory) as a, open_table(paths[1], memory_limit=given.memory) as b:
        for name, call in (
            ("drift", lambda: drift(a, b)),
            ("profile", lambda: profile(a)),
            ("relate", lambda: relate(a, "label")),
        ):
            start = time.perf_counter()
            result = call()
            seconds = time.perf_counter() - start
            print(f"{name:8s} {seconds:7.1f} s   peak {peak_megabytes():6,.0f} MB   {result.title}")
    if given.directory is None:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
