"""Parts of the container: numbers, checksums, and the bar that shows how far it is."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

__all__ = ["Reader", "bar", "crc", "varint"]


class Reader:
    """Reads numbers and bytes and keeps what it read since `start` for a checksum."""

    def __init__(self, raw: IO[bytes]):
        self.raw = raw
        self._crc = 0

    def start(self) -> None:
        """Begin a checksum."""
        self._crc = 0

    def take(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        # Piece by piece: a damaged length may ask for more than there is memory.
        pieces, left = [], n
        while left:
            piece = self.raw.read(min(left, 1 << 20))
            if not piece:
                raise ValueError("the stream is truncated: it ends before its end mark")
            pieces.append(piece)
            left -= len(piece)
        out = b"".join(pieces)
        self._crc = zlib.crc32(out, self._crc)
        return out

    def varint(self) -> int:
        """Return the next number."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("the stream is corrupted: a number has no end")

    def checked(self, words: str) -> None:
        """Read four bytes and compare them with the checksum of what was read since `start`."""
        expected = self._crc.to_bytes(4, "little")
        if self.take(4) != expected:
            raise ValueError(f"{words}: its checksum is wrong")


def varint(value: int) -> bytes:
    """Return a number as bytes of seven bits, the lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def crc(data: bytes) -> bytes:
    """Return four bytes that change when the data do."""
    return zlib.crc32(data).to_bytes(4, "little")


@contextmanager
def bar(words: str, total: int | None, show: bool) -> Iterator[Any]:
    """Yield a function that counts (bytes, tokens) done and, if asked for, shows them with the speed."""
    if not show:
        yield lambda n_bytes, n_tokens: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    start, tokens, done = time.monotonic(), 0, 0.0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(words, total=total, speed="")

        def advance(n_bytes: float, n_tokens: int) -> None:
            nonlocal tokens, done
            tokens, done = tokens + n_tokens, done + n_bytes
            speed = tokens / max(time.monotonic() - start, 1e-3)
            shown.update(task, completed=int(done), speed=f"{speed:,.0f} tokens/s")

        yield advance
