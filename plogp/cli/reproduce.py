"""``plogp reproduce SLUG... | --room ROOM | --all``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

    from plogp.papers import Outcome

__all__ = ["add", "run"]

DEFAULT_OUT = "plogp-claims"
STYLES = {"passed": "green", "failed": "bold red", "error": "bold red", "not reproduced": "yellow"}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "reproduce",
        help="run what papers claim",
        description="Run the claims of papers and write claims.html and claims.json. The exit code is 1 if one fails.",
    )
    parser.add_argument("slug", nargs="*", metavar="SLUG", help="slugs or seed numbers, as in `plogp papers`")
    parser.add_argument("--room", help="all working papers of a room")
    parser.add_argument("--all", action="store_true", help="all working papers")
    parser.add_argument("--slow", action="store_true", help="also claims that take longer than about 20 seconds")
    parser.add_argument("--seed", type=int, default=0, help="seed of every claim (default: 0)")
    parser.add_argument("--out", default=DEFAULT_OUT, metavar="DIR", help=f"where to write (default: {DEFAULT_OUT})")
    parser.add_argument("--json", action="store_true", help="print the JSON document instead of the summary")
    parser.set_defaults(run=run, parser=parser, late="slug")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import error_console, output
    from plogp.cli.main import FOUND, INTERRUPTED
    from plogp.papers import document, reproduce, select
    from plogp.report.document import to_text

    directory = Path(args.out)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"--out {args.out}: it is a file, and a directory is needed")
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, got {args.seed}")
    chosen, skipped = select(args.slug, room=args.room, everything=args.all, slow=args.slow)
    console = output()
    outcomes: list[Outcome] = []
    interrupted = False
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    errors = error_console()
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=len(chosen))
        steps = reproduce(chosen, args.seed)
        try:
            for row, claim in chosen:
                progress.update(task, description=f"{row.slug}: {claim.name}")
                outcomes.append(next(steps))
                progress.advance(task)
                if not args.json:
                    console.print(_line(outcomes[-1]), soft_wrap=True)
                    sys.stdout.flush()
        except KeyboardInterrupt:
            interrupted = True
            if not outcomes:
                raise
    result = document(outcomes, skipped_slow=skipped, interrupted=interrupted)
    paths = _save(directory, result)
    if args.json:
        sys.stdout.write(to_text(result))
    else:
        console.print(_last_line(result), soft_wrap=True)
        for path in paths:
            console.print(str(path), soft_wrap=True)
    if interrupted:
        sys.stderr.write("plogp: interrupted; the finished claims were written\n")
        return INTERRUPTED
    return 0 if all(o.ok for o in outcomes) else FOUND


def _save(directory: Path, result: dict[str, Any]) -> tuple[Path, ...]:
    from plogp.report.claims import claims_page
    from plogp.report.document import to_text
    from plogp.report.files import write_all

    texts = {"claims.json": to_text(result)}
    if importlib.util.find_spec("jinja2") is None:
        sys.stderr.write("plogp: no page: plogp[tables] is needed for it: pip install 'plogp[tables]'\n")
    else:
        texts = {"claims.html": claims_page(result), **texts}
    return write_all(directory, texts)


def _line(outcome: Outcome) -> Text:
    from rich.text import Text

    line = Text(f"{outcome.status:<14}", style=STYLES[outcome.status])
    line.append(f" {outcome.paper.slug}: {outcome.claim.name}", style="bold")
    line.append(f"  ({outcome.claim.kind}, {outcome.seconds:.1f} s)\n", style="dim")
    line.append(f"{'':15}{outcome.claim.statement}\n", style="default")
    if outcome.result is None:
        line.append(f"{'':15}{outcome.error}", style="red")
        return line
    said = f"{'':15}measured {_short(outcome.result.measured)}, expected {_short(outcome.result.expected)}"
    if outcome.result.baseline is not None:
        said += f", baseline {_short(outcome.result.baseline)}"
    line.append(f"{said}; passes if {outcome.result.criterion}", style="dim")
    if outcome.result.note:
        line.append(f"\n{'':15}{outcome.result.note}", style="yellow")
    return line


def _short(value: Any) -> str:
    """Return a measured value in a few characters."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        if isinstance(value, dict):
            items = [f"{k} {_short(v)}" for k, v in list(value.items())[:4]]
            return "{" + ", ".join(items) + (", ..." if len(value) > 4 else "") + "}"
        if isinstance(value, list):
            return "[" + ", ".join(_short(v) for v in value[:4]) + (", ..." if len(value) > 4 else "") + "]"
        return str(value)
    return f"{value:.6g}"


def _last_line(result: dict[str, Any]) -> str:
    counts = ", ".join(f"{n} {name}" for name, n in result["counts"].items() if n)
    left = result["skipped_slow"]
    slow = f"; {_many(left, 'slow one')} left out (--slow runs {'it' if left == 1 else 'them'})" if left else ""
    return f"\n{_many(len(result['claims']), 'claim')} of {_many(result['papers'], 'paper')}: {counts}{slow}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
