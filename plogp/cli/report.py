"""``plogp report INPUT [OTHER]``."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plogp.report import Report

__all__ = ["add", "deliver", "run", "writable"]

DEFAULT_OUT = "plogp-report"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="what a table, a text or an array carries, or how two differ",
        description="Report what a table carries (one input), or what drifted from a reference to a current table "
        "(two inputs); how predictable a text is, what stands out in it and whether a machine wrote it; how the rows "
        "of an array lie, or what two arrays share and how they differ. In the terminal, as report.html and as "
        "report.json.",
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a table (CSV, TSV, Parquet, JSON lines, DuckDB file, engine URL), a text (.txt, .md, .jsonl) or an array "
        "(.npy, .npz#key, .safetensors#key)",
    )
    parser.add_argument(
        "other",
        metavar="OTHER",
        nargs="?",
        help="the current table, INPUT the reference; a second text; or a second array",
    )
    parser.add_argument("--target", metavar="COLUMN", help="add what each column says about this one")
    parser.add_argument("--divergence", default="js", metavar="NAME", help="what sorts the drift (default: js)")
    parser.add_argument("--base", default="e", choices=("e", "2", "10"), help="nats, bits or bans (default: e)")
    parser.add_argument(
        "--columns", action="append", metavar="A,B", help="only these columns; quote a name that holds a comma"
    )
    parser.add_argument(
        "--as", dest="kinds", action="append", metavar="NAME=KIND", help="how to read a column: postcode=categorical"
    )
    parser.add_argument("--pairs", action="store_true", help="dependence of all pairs also when there are two tables")
    parser.add_argument(
        "--model", metavar="NAME", help="the language model that reads a text (default: the embedded one)"
    )
    parser.add_argument("--text-field", metavar="FIELD", help="the field of JSON lines that holds the text")
    parser.add_argument("--device", default="cpu", help="where the model runs (default: cpu)")
    parser.add_argument("--out", default=DEFAULT_OUT, metavar="DIR", help=f"where to write (default: {DEFAULT_OUT})")
    parser.add_argument("--json", action="store_true", help="print the JSON document instead of the summary")
    parser.add_argument(
        "--fail-on", choices=("drift", "leak"), help="exit with 1 if a column drifted, or gives the target away"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all randomness (default: 0)")
    parser.set_defaults(run=run, parser=parser, late="other")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.fail_on == "drift" and args.other is None:
        raise ValueError("--fail-on drift needs two inputs, a reference and a current one")
    if args.fail_on == "leak" and args.target is None:
        raise ValueError("--fail-on leak needs --target")
    if args.device != "cpu":
        from plogp.cli.trace import check_device

        check_device(args.device)
    return deliver(
        args.input,
        args.other,
        args.target,
        out=args.out,
        as_json=args.json,
        fail_on=args.fail_on,
        divergence=args.divergence,
        base=args.base,
        columns=_columns(args.columns),
        kinds=_kinds(args.kinds),
        pairs=True if args.pairs else None,
        model=args.model,
        text_field=args.text_field,
        device=args.device,
        seed=args.seed,
    )


def deliver(
    table: Any,
    other: Any,
    target: str | None,
    *,
    out: str,
    as_json: bool = False,
    fail_on: str | None = None,
    **options: Any,
) -> int:
    """Print each part as soon as it is finished, then write the files; an interrupt keeps what is finished."""
    from plogp.cli.console import discard_output, output, waiting
    from plogp.cli.main import FOUND, INTERRUPTED
    from plogp.report import parts
    from plogp.report.terminal import part_summary

    directory = writable(out)
    console = output()
    made: Report | None = None
    printed = 0
    steps = parts(table, other, target, **options)
    try:
        while True:
            with waiting("counting"):
                made = next(steps, None) or made
            if made is None or len(made.done) == printed:
                break
            printed = len(made.done)
            if as_json:
                continue
            try:
                console.print(part_summary(made.done[-1], made.unit))
                sys.stdout.flush()
            except BrokenPipeError:
                # Whoever reads the summary (head) has seen enough; the files are still wanted.
                discard_output()
    except (KeyboardInterrupt, RuntimeError) as stop:
        # DuckDB tells of an interrupt by a RuntimeError.
        if isinstance(stop, RuntimeError) and "interrupt" not in str(stop).lower():
            raise
        if made is None or not made.done:
            raise KeyboardInterrupt from stop
        made.interrupted = True
    assert made is not None
    page, data = made.save(directory)
    if as_json:
        sys.stdout.write(made.json)
    else:
        console.print(f"page: {page}\ndata: {data}", soft_wrap=True)
    if made.interrupted:
        sys.stderr.write("plogp: interrupted; the finished parts were written\n")
        return INTERRUPTED
    if fail_on == "drift" and made.drift is not None and made.drift.drifted:
        return FOUND
    if fail_on == "drift" and any(c.kind == "divergence" and c.found for c in made.comparisons):
        return FOUND
    if fail_on == "drift" and any(c.found for c in made.text_comparisons):
        return FOUND
    if fail_on == "leak" and made.relation is not None and any(r.leak for r in made.relation.rows):
        return FOUND
    return 0


def writable(out: str) -> Path:
    """Return the directory of ``--out`` after checking, before any work, that it can be written to."""
    if not out.strip():
        raise ValueError("--out needs the name of a directory, got an empty one")
    directory = Path(out)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"--out {out}: it is a file, and a directory is needed")
    there = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    if not there.is_dir():
        raise ValueError(f"--out {out}: {there} is a file, and a directory is needed")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"--out {out}: {there} cannot be written to")
    return directory


def _columns(values: list[str] | None) -> list[str] | None:
    if values is None:
        return None
    names = [name for value in values for name in next(csv.reader([value], skipinitialspace=True))]
    if not names or not all(names):
        raise ValueError(f"--columns needs names separated by commas, got {', '.join(values)!r}")
    return names


def _kinds(values: list[str] | None) -> dict[str, str] | None:
    if values is None:
        return None
    import difflib

    from plogp.tables.results import KINDS

    kinds: dict[str, str] = {}
    for value in values:
        name, equals, kind = value.rpartition("=")
        if not equals or not name:
            raise ValueError(f"--as needs NAME=KIND, such as postcode=categorical, got {value!r}")
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; kinds: {', '.join(KINDS)}"
            raise ValueError(f"--as {name}: no kind {kind!r}{hint}")
        kinds[name] = kind
    return kinds
