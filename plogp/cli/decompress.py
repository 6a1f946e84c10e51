"""``plogp decompress``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from plogp.cli.compress import add_model_options, model, output_file

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "decompress",
        help="get a file back from `plogp compress`",
        description="Decompress what `plogp compress` wrote, with the same model. A stream that was damaged, cut off "
        "or made with another model is refused, and nothing is written then.",
    )
    parser.add_argument("source", metavar="IN", help="the compressed file")
    parser.add_argument("target", metavar="OUT", help="where to write")
    add_model_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import write

    source, target = Path(args.source), Path(args.target)
    with output_file(source, target, args.force) as out:
        from plogp.text.compression import decompress_stream

        start = time.monotonic()
        with open(source, "rb") as file:
            counts = decompress_stream(
                file, out, model(args.model, args.dtype), progress=not args.quiet and sys.stderr.isatty()
            )
    if not args.quiet:
        seconds = max(time.monotonic() - start, 1e-9)
        rate = counts["tokens"] / seconds
        write(f"{target}: {counts['bytes']:,} bytes; {counts['tokens']:,} tokens at {rate:,.0f} a second")
    return 0
