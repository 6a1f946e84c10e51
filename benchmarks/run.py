"""Run every benchmark, one after the other, and write what they print to docs/speed.md.

    python benchmarks/run.py [NAME ...]      # bench_<NAME>.py; all by default; named ones replace their sections

Each is a script of its own that compares with named peers side by side in one process and prints ratios.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BY_HAND = "## A table larger than memory"
PEERS = ("numpy", "scipy", "scikit-learn", "infomeasure", "antropy", "duckdb", "pandas", "optbinning")


def environment() -> str:
    """Return one line about the machine and one about the versions."""
    versions = []
    for name in PEERS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()}, {cores} cores, Python {platform.python_version()}; {', '.join(versions)}"


def main(names: list[str]) -> int:
    """Run the scripts; 1 if one of them failed."""
    scripts = sorted(HERE.glob("bench_*.py"))
    chosen = [s for s in scripts if not names or s.stem.removeprefix("bench_") in names]
    found, failed = {}, 0
    for script in chosen:
        print(f"== {script.stem}", flush=True)
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
        print(done.stdout + done.stderr, flush=True)
        failed |= done.returncode != 0
        title = (script.read_text().split('"""')[1]).strip().splitlines()[0].rstrip(".")
        found[f"## {title}"] = f"\n\n`python benchmarks/{script.name}`\n\n```text\n{done.stdout.rstrip()}\n```\n\n"
    page = HERE.parent / "docs" / "speed.md"
    _, *old = re.split(r"^(## .*)$", page.read_text() if page.exists() else "", flags=re.MULTILINE)
    kept = dict(zip(old[::2], old[1::2]))
    if not names:
        # What takes minutes and gigabytes is run by hand (large_table.py) and kept.
        kept = {BY_HAND: kept[BY_HAND]} if BY_HAND in kept else {}
    by_hand = {BY_HAND: kept.pop(BY_HAND)} if BY_HAND in kept else {}
    sections = "".join(title + text for title, text in (kept | found | by_hand).items())
    intro = (
        "# Speed\n\nWhat `make bench` printed: each comparison ran side by side in one process, the same answer "
        f"checked first. Prefer the ratios to the seconds.\n\n{environment()}.\n\n"
    )
    page.write_text(intro + sections.rstrip() + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
