"""The texts in files: plain text, JSON lines, Parquet, and folders of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from plogp.trace.parquet import arrow

__all__ = ["documents"]

TEXT_FILES = (".txt", ".md", ".text", ".rst")


def documents(source: Any, field: str = "text") -> Iterator[str]:
    """Yield the texts of a source, one after another.

    Parameters
    ----------
    source : str or Path, or an iterable of texts and paths
        A path: a text file (.txt, .md, .text, .rst) is one document, a line of .jsonl and a row of .parquet one each,
        a folder all files of these kinds in it and in its folders, sorted by name. In an iterable, a str is a text
        and a Path is read.
    field : str
        Where the text is, in .jsonl and .parquet.

    Raises
    ------
    ValueError
        For a file of another kind or that is not UTF-8, a folder without any, or a row without the field.
    FileNotFoundError
    """
    if isinstance(source, (str, Path)):
        yield from _file(Path(source), field)
        return
    if not isinstance(source, Iterable):
        raise TypeError(f"the corpus must be a path or an iterable of texts, got {type(source).__name__}")
    for item in source:
        if isinstance(item, Path):
            yield from _file(item, field)
        elif isinstance(item, str):
            yield item
        else:
            raise TypeError(f"a document must be a text or a Path, got {type(item).__name__}")


def _file(path: Path, field: str) -> Iterator[str]:
    if path.is_dir():
        kinds = (*TEXT_FILES, ".jsonl", ".parquet")
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in kinds and p.is_file())
        if not found:
            raise ValueError(f"{path} holds no {', '.join(kinds)} file")
        for one in found:
            yield from _file(one, field)
        return
    if not path.is_file():
        raise FileNotFoundError(2, "no such file or folder", str(path))
    kind = path.suffix.lower()
    if kind == ".parquet":
        yield from _rows(path, field)
    elif kind == ".jsonl":
        with open(path, encoding="utf-8-sig") as lines:
            for number, line in enumerate(_decoded(lines, path), 1):
                if line.strip():
                    yield _json_text(line, field, f"{path}:{number}")
    elif kind in TEXT_FILES:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield "".join(_decoded(file, path))
    else:
        raise ValueError(f"{path}: expected a {', '.join(TEXT_FILES)}, .jsonl or .parquet file, or a folder of them")


def _decoded(lines: Iterable[str], path: Path) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}); convert it first") from error


def _json_text(line: str, field: str, where: str) -> str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: no JSON ({error.msg})") from error
    if not isinstance(row, dict) or not isinstance(row.get(field), str):
        known = ", ".join(map(str, row)) if isinstance(row, dict) else "no object"
        raise ValueError(f"{where}: no text in field {field!r} (it has {known or 'no fields'}); name the field")
    text: str = row[field]
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X}"
        raise ValueError(f"{where}: field {field!r} holds half of a character ({half}); replace it first") from None
    return text


def _rows(path: Path, field: str) -> Iterator[str]:
    file = arrow().parquet.ParquetFile(str(path))
    if field not in file.schema_arrow.names:
        raise ValueError(f"{path}: no column {field!r}; it has {', '.join(file.schema_arrow.names)}")
    at = 0
    for batch in file.iter_batches(columns=[field]):
        for text in batch.column(0).to_pylist():
            if not isinstance(text, str):
                raise ValueError(f"{path}: row {at} of column {field!r} is {type(text).__name__}, expected text")
            yield text
            at += 1
