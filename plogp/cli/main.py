"""`main`: parse the arguments, run the command, and turn every mistake into one line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import plogp
from plogp.cli.console import discard_output

__all__ = ["BAD_INPUT", "BUG", "FOUND", "INTERRUPTED", "main"]

#: Exit codes beside 0: what --fail-on names was found or a claim failed; bad input; a bug; an interrupt.
FOUND, BAD_INPUT, BUG, INTERRUPTED = 1, 2, 70, 130
CLOSED_PIPE = 141

COMMANDS = (
    "report",
    "trace",
    "generate",
    "compare-samplers",
    "compress",
    "decompress",
    "measure",
    "papers",
    "reproduce",
    "cite",
    "demo",
)

DESCRIPTION = (
    "Information theory for machine learning: what a table or a text carries, what drifted, and what papers claim."
)
EPILOG = """examples:
  plogp report data.csv --target label      what each column says about the label
  plogp report before.parquet after.parquet what drifted, and is it more than noise
  plogp report essay.txt                    how predictable a text is, and whether a machine wrote it
  plogp generate --prompt "The sea was" --sampler top-h
  plogp compress essay.txt essay.plz        lossless, by a language model; decompress gives it back
  plogp measure JS --p "0.5 0.5" --q "0.9 0.1" --base 2
  plogp demo                                a report on real data, to see what it is

Files are read where they are; nothing is sent anywhere."""


class _Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line that suggests the nearest name."""

    def error(self, message: str) -> NoReturn:
        options = [o for action in self._actions for o in action.option_strings]
        for wrong in re.findall(r"--[\w-]+", message.split("unrecognized arguments:")[-1]):
            near = difflib.get_close_matches(wrong, options, n=1)
            if near and wrong not in options:
                message += f" (did you mean {near[0]}?)"
        self.exit(BAD_INPUT, f"plogp: {message}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="plogp",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"plogp {plogp.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for name in COMMANDS:
        import_module(f"plogp.cli.{name.replace('-', '_')}").add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0 when all is well; 1 when a claim failed or what ``--fail-on`` names was found; 2 for bad input, with one
        line on stderr; 130 after an interrupt.
    """
    # A stream that was closed before the start is None; what is written to it has nowhere to go.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows a question mark rather than stopping the program.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        try:
            args = _parse(list(sys.argv[1:] if argv is None else argv))
        except SystemExit as stop:
            return int(stop.code or 0)
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; what is left in the buffer has nowhere to go.
        discard_output()
        return CLOSED_PIPE
    except OSError as error:
        name = "" if error.filename is None else f"{error.filename}: "
        return _fail(f"{name}{error.strerror or error}", BAD_INPUT)
    except (ValueError, TypeError, KeyError, ImportError) as error:
        if isinstance(error, ImportError) and isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            return _fail("interrupted", INTERRUPTED)  # an extension module that was being loaded
        return _fail(str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error), BAD_INPUT)
    except Exception as error:
        words = f"unexpected {type(error).__name__}: {error} (a bug in plogp: please report it)"
        return _fail(words, BUG)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = build_parser()
    if not argv:
        parser.print_help()
        raise SystemExit(BAD_INPUT)
    first = argv[0]
    if not first.startswith("-") and first not in COMMANDS:
        near = difflib.get_close_matches(first, COMMANDS, n=1)
        hint = f"did you mean `plogp {near[0]}`?" if near else f"commands: {', '.join(COMMANDS)}"
        parser.exit(BAD_INPUT, f"plogp: no command {first!r}; {hint}\n")
    args, rest = parser.parse_known_args(argv)
    # argparse hands over a file or slug that follows an option as something unknown; `late` names its place.
    late = getattr(args, "late", None)
    if late and rest and not any(word.startswith("-") for word in rest):
        value = getattr(args, late)
        if isinstance(value, list):
            setattr(args, late, value + rest)
            rest = []
        elif value is None and len(rest) == 1:
            setattr(args, late, rest[0])
            rest = []
    # Only `measure` takes options of its own, the parameters of a family such as --alpha.
    args.rest = rest
    if rest and not getattr(args, "takes_rest", False):
        getattr(args, "parser", parser).error(f"unrecognized arguments: {' '.join(rest)}")
    return args


def _fail(words: str, code: int) -> int:
    if os.environ.get("PLOGP_TRACEBACK"):
        traceback.print_exc()
    line = " ".join(words.split()) or "no reason given"
    print(f"plogp: {line}", file=sys.stderr)  # noqa: T201
    return code
