"""``plogp demo``: the report on real data that ships inside scikit-learn."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add", "run", "write_tables"]

DEFAULT_OUT = "plogp-demo"
DESCRIPTION = """Report on the Wisconsin diagnostic breast cancer data (569 patients, 30 measurements of cell
nuclei; Wolberg, Street and Mangasarian, 1995), which scikit-learn ships. The file is cut in the middle, in the order
in which it was published: the first half is the reference, the second the current table, the diagnosis the target.
Malignant cases are half of the first part and a quarter of the second, and the measurements move with them: a drift
that is real."""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("demo", help="a report on real data, to see what it is", description=DESCRIPTION)
    parser.add_argument("--out", default=DEFAULT_OUT, metavar="DIR", help=f"where to write (default: {DEFAULT_OUT})")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import write
    from plogp.cli.report import deliver, writable

    out = writable(args.out)
    first, second = write_tables(out)
    write(f"$ plogp report {first} {second} --target diagnosis --out {out}\n")
    return deliver(str(first), str(second), "diagnosis", out=args.out)


def write_tables(directory: Path) -> tuple[Path, Path]:
    """Write the two halves as CSV files and return their paths.

    Raises
    ------
    ImportError
        If scikit-learn is missing; the message names the extra.
    """
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as error:
        raise ImportError("plogp[sklearn] is needed for the demo: pip install 'plogp[tables,sklearn]'") from error
    from plogp.report.files import write_all

    data = load_breast_cancer()
    header = ",".join([*(str(name).replace(" ", "_") for name in data.feature_names), "diagnosis"])
    lines = [
        ",".join([*(repr(float(x)) for x in row), str(data.target_names[label])])
        for row, label in zip(data.data, data.target)
    ]
    half = len(lines) // 2
    texts = {
        "first_half.csv": "\n".join([header, *lines[:half]]) + "\n",
        "second_half.csv": "\n".join([header, *lines[half:]]) + "\n",
    }
    first, second = write_all(directory, texts)
    return first, second
