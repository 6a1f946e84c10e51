"""``plogp papers``."""

from __future__ import annotations

import argparse
import json
from typing import Any

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "papers",
        help="list the catalogue of methods",
        description="List the papers of the catalogue: which work, which are planned, and under which names.",
    )
    parser.add_argument("--room", help="only this room, such as measures")
    parser.add_argument("--status", choices=("working", "planned"), help="only these")
    parser.add_argument("--json", action="store_true", help="a JSON list of rows")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import output, write
    from plogp.papers import papers

    rows = papers(room=args.room, status=args.status)
    if args.json:
        write(json.dumps([row.to_dict() for row in rows], ensure_ascii=False, indent=1))
        return 0
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, justify in (
        ("seed", "right"),
        ("slug", "left"),
        ("room", "left"),
        ("status", "left"),
        ("method", "left"),
    ):
        how: Any = justify
        table.add_column(name, justify=how, overflow="fold", no_wrap=name in ("seed", "room", "status"))
    for row in rows:
        style = "bold" if row.status == "working" else None
        table.add_row(str(row.seed), row.slug, row.room, row.status, Text(row.method), style=style)
    console = output()
    console.print(table)
    working = sum(row.status == "working" for row in rows)
    console.print(
        f"\n{working} of the {len(rows)} listed work; `plogp reproduce SLUG` runs the claims, `plogp cite SLUG` cites"
    )
    return 0
