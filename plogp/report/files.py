"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_all"]


def write_all(directory: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    """Write each text under its name in `directory` and return the paths in the same order.

    All texts are first written beside their places and then moved, so that a full disk or an interrupt leaves no
    partial file; a directory made for them is removed again if nothing could be written.

    Raises
    ------
    OSError
        If the directory cannot be made or written to.
    """
    new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    waiting: list[tuple[str, Path]] = []
    try:
        for name, text in texts.items():
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=directory)
            waiting.append((temporary, directory / name))
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                # Surrogates come from file names that are not UTF-8; a page must not fail over them.
                file.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
            os.chmod(temporary, 0o666 & ~_umask())
        for temporary, path in waiting:
            os.replace(temporary, path)
    except BaseException:
        for temporary, _ in waiting:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        if new:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise
    return tuple(path for _, path in waiting)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
