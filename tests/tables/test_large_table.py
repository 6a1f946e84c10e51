"""A table larger than the memory it is given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, resource, sys
from plogp.tables import drift, open_table, profile, relate
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
a, b = (open_table(p, memory_limit="200MB") for p in sys.argv[1:3])
d, p, r = drift(a, b), profile(a), relate(a, "label")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({
    "drifted": [row.column for row in d.drifted], "rows": d.n_reference, "notes": p.notes,
    "informative": [row.column for row in r if row.informative], "grown": after - before,
}))
"""


@pytest.mark.slow
def test_hundreds_of_megabytes_under_a_low_limit(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import large_table
    finally:
        sys.path.pop(0)
    rows = 2_000_000
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, shift, seed in zip(paths, (0.0, 0.08), (0.1, 0.2)):
        large_table.write(path, rows, shift, seed)
    size = sum(p.stat().st_size for p in paths) / 2**20
    assert size > 400
    done = subprocess.run([sys.executable, "-c", SCRIPT, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["rows"] == rows
    assert found["drifted"] == ["x1"]
    assert found["informative"] == ["x0"]
    assert any("random rows" in note for note in found["notes"])
    # Two engines of 200 MB, and the samples of one group of columns: far below the size of the tables in memory.
    in_memory = 2 * rows * large_table.BYTES_PER_ROW / 2**20
    assert found["grown"] < 0.95 * in_memory, (found["grown"], in_memory)
    assert found["grown"] < 700
