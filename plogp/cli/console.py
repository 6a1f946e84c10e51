"""Where commands write: answers to stdout, progress and remarks to stderr."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["discard_output", "error_console", "output", "waiting", "write"]

#: Width of tables where there is no terminal to ask; COLUMNS overrides it.
PIPE_WIDTH = 120


def output() -> Console:
    """Return the console on stdout; without colour in a pipe or where NO_COLOR is set.

    A reader that goes away (head, less) is a `BrokenPipeError`, as everywhere in Python; rich would exit.
    """
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    fixed = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Output(file=sys.stdout, width=fixed, highlight=False, markup=False, emoji=False)


def discard_output() -> None:
    """Let what is still written to stdout vanish: its reader has gone."""
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def error_console() -> Console:
    """Return the console on stderr."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def write(text: str) -> None:
    """Write a line to stdout as it is, never wrapped."""
    sys.stdout.write(text + "\n")


@contextmanager
def waiting(words: str, after: float = 2.0) -> Iterator[None]:
    """Show `words` with a spinner on a terminal's stderr if the block takes longer than `after` seconds."""
    console = error_console()
    if not console.is_terminal:
        yield
        return
    status = console.status(words)
    timer = threading.Timer(after, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()
