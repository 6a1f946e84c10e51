"""Texts as the report reads them: a file of prose, the documents of a JSON-lines file, or strings."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["NamedText", "is_text", "open_text"]

#: Suffixes that are read as one document.
PROSE = (".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".log")
#: Names under which JSON lines usually hold a text, in the order in which they are looked for.
TEXT_FIELDS = ("text", "content", "document", "passage", "body", "output", "completion", "answer")
#: Mean length from which such a field is a text rather than a label in a table.
SHORTEST_TEXT = 40
READERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(frozen=True)
class NamedText:
    """Documents with the name they are shown under.

    Attributes
    ----------
    name : str
    documents : list of str
        Without the empty ones.
    path : Path or None
        The file.
    text_field : str or None
        Field of the JSON lines.
    notes : list of str
    """

    name: str
    documents: list[str]
    path: Path | None = None
    text_field: str | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def n_chars(self) -> int:
        """Characters (code points)."""
        return sum(map(len, self.documents))

    @property
    def n_bytes(self) -> int:
        """Bytes in UTF-8."""
        return sum(len(d.encode("utf-8", "surrogatepass")) for d in self.documents)


def is_text(argument: Any, text_field: str | None = None) -> bool:
    """Return whether the report reads `argument` as text: by its suffix, or JSON lines that hold a text.

    >>> is_text("notes.md"), is_text("table.csv"), is_text(["One text.", "Another."])
    (True, False, True)
    """
    if isinstance(argument, (list, tuple)):
        return bool(argument) and all(isinstance(a, str) for a in argument)
    path = _as_path(argument)
    if path is None:
        return False
    suffix = _suffix(path)
    if suffix in PROSE:
        return True
    if suffix in (".jsonl", ".ndjson") and path.is_file():
        return text_field is not None or _guess_field(path) is not None
    return False


def open_text(argument: Any, role: str = "text", text_field: str | None = None) -> NamedText:
    r"""Read a text.

    Parameters
    ----------
    argument : path or sequence of str
        A file of prose (``.txt``, ``.md``, ...), JSON lines, each also compressed (``.gz``, ``.bz2``, ``.xz``); or the
        documents themselves.
    role : str
        What to call documents that have no file.
    text_field : str, optional
        Field of the JSON lines that holds the text; by default the first of text, content, document, passage, body,
        output, completion, answer that does.

    Raises
    ------
    ValueError
        For a file that is not UTF-8 (or UTF-16 with its mark), holds no text, or a line that is not as it should be.

    Examples
    --------
    >>> open_text(["One text.", " "]).notes
    ['text: 1 of 2 documents was empty and left out.']
    """
    if isinstance(argument, (list, tuple)):
        return _named(role, list(argument), None, None)
    path = _as_path(argument)
    assert path is not None
    if _suffix(path) in (".jsonl", ".ndjson"):
        name = text_field or _guess_field(path)
        if name is None:
            raise ValueError(
                f"{path}: no field of its lines holds a text; name one with --text-field (text_field=), "
                f"looked for: {', '.join(TEXT_FIELDS)}"
            )
        return _named(str(path), _documents(path, name), path, name)
    out = _named(str(path), [_read(path)], path, None)
    if b"\r\n" in _bytes(path, 2**20):
        out.notes.append(f"{path}: its lines end in CR LF, which were read as LF.")
    return out


def _named(name: str, documents: list[str], path: Path | None, text_field: str | None) -> NamedText:
    for i, document in enumerate(documents, 1):
        try:
            document.encode()
        except UnicodeEncodeError as error:
            code = ord(document[error.start])
            raise ValueError(
                f"{name}: document {i:,} holds half of a character (the lone surrogate U+{code:04X}, at character "
                f"{error.start:,}); tokenizers read none, so replace it first"
            ) from None
    kept = [d for d in documents if d.strip()]
    if not kept:
        raise ValueError(f"{name}: it holds no text")
    notes = []
    if len(kept) < len(documents):
        left = len(documents) - len(kept)
        verb = "was" if left == 1 else "were"
        notes.append(f"{name}: {left:,} of {len(documents):,} documents {verb} empty and left out.")
    if text_field is not None:
        notes.append(f"{name}: read as texts, the field {text_field!r} of each line.")
    return NamedText(name, kept, path, text_field, notes)


def _as_path(argument: Any) -> Path | None:
    if not isinstance(argument, (str, os.PathLike)):
        return None
    name = os.fsdecode(os.fspath(argument))
    return None if "://" in name else Path(name)


def _suffix(path: Path) -> str:
    bare = path.with_suffix("") if path.suffix.lower() in READERS else path
    return bare.suffix.lower()


def _bytes(path: Path, most: int = -1) -> bytes:
    opener = READERS.get(path.suffix.lower(), open)
    try:
        with opener(path, "rb") as file:
            data: bytes = file.read(most)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: cannot be decompressed ({error})") from error
    return data


def _read(path: Path) -> str:
    data = _bytes(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 text (byte {error.start:,} is 0x{data[error.start]:02x}); convert it first, for "
            f"instance with `iconv -f latin1 -t utf-8`"
        ) from error
    if "\0" in text:
        raise ValueError(f"{path}: it holds NUL characters, so it is not text")
    # Lines end as Python reads them, whatever system wrote the file; `open_text` says so.
    return text.replace("\r\n", "\n")


def _documents(path: Path, name: str) -> list[str]:
    documents = []
    for i, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: line {i:,} is not JSON ({error.msg})") from error
        if not isinstance(record, dict) or not isinstance(record.get(name), str):
            found = ", ".join(map(str, list(record)[:8])) if isinstance(record, dict) else type(record).__name__
            raise ValueError(f"{path}: line {i:,} has no text in the field {name!r} (it has: {found})")
        documents.append(record[name])
    return documents


def _guess_field(path: Path, lines: int = 50) -> str | None:
    """Return the first usual field that holds a text in every one of the first lines."""
    records = []
    for line in _bytes(path, 2**20).split(b"\n")[: lines + 1]:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line may be cut; a bad one is named when the documents are read
        if isinstance(record, dict):
            records.append(record)
    for name in TEXT_FIELDS:
        values: Sequence[Any] = [r.get(name) for r in records]
        if values and all(isinstance(v, str) for v in values) and sum(map(len, values)) >= SHORTEST_TEXT * len(values):
            return name
    return None
