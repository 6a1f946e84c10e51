"""``plogp cite SLUG``."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "cite", help="print the citation of a paper", description="Print the citation of a paper and its BibTeX."
    )
    parser.add_argument("slug", nargs="+", metavar="SLUG", help="slug or seed number, as in `plogp papers`")
    parser.add_argument("--bibtex", action="store_true", help="only the BibTeX")
    parser.set_defaults(run=run, parser=parser, late="slug")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import write
    from plogp.papers import paper

    for i, row in enumerate([paper(slug) for slug in args.slug]):
        if i:
            write("")
        if not args.bibtex:
            write(row.citation() + (f" ({row.note})" if row.note else "") + "\n")
        write(row.bibtex())
    return 0
