"""The command line: ``plogp report``, ``measure``, ``papers``, ``reproduce``, ``cite`` and ``demo``.

One file a command; a command imports its room when it runs, so ``plogp --help`` stays quick.
"""

from plogp.cli.main import main

__all__ = ["main"]
