"""Traces as Parquet, one row a token, so that any engine can query them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.trace.record import PER_TOKEN, ReferenceTrace, Trace

__all__ = ["FORMAT", "arrow", "from_arrow", "read", "replacing", "write"]

#: Version of the layout, in the file's metadata.
FORMAT = 1
KEY = b"plogp.trace"
PLAIN = [name for name in PER_TOKEN if name not in ("ids", "char_span")]


def arrow() -> Any:
    """Return pyarrow.

    Raises
    ------
    ImportError
        If it is missing: one line with what to install.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("plogp[lm] is needed to read and write Parquet: pip install 'plogp[lm]'") from error
    return pyarrow


def to_arrow(trace: Trace, documents: Any = None, more: Mapping[str, Any] | None = None) -> Any:
    """Return a trace as a table: one row a token.

    Columns: ``document``, ``position`` (in the document), ``id``, ``token`` (its characters, where they are known), all
    fields (``power_2``, ``ref_NAME_cross_entropy``; lists for top_k and layers), ``char_start``, ``char_end``,
    ``n_chars`` and ``n_bytes`` (of the document, on each row), ``text`` on the first row of a document and ``hidden``
    on its last. Documents without tokens have no row; they are listed in the metadata.

    Parameters
    ----------
    trace : Trace
    documents : array of int, shape (S,), optional
        Numbers of the texts; by default 0, ..., S - 1.
    more : mapping, optional
        Further metadata, as JSON can hold it.
    """
    pa = arrow()
    numbers = np.arange(len(trace)) if documents is None else np.asarray(documents, dtype=np.int64)
    lengths = trace.lengths
    of = np.repeat(np.arange(len(trace)), lengths)
    columns: dict[str, Any] = {
        "document": pa.array(numbers[of], pa.int64()),
        "position": pa.array(np.arange(len(of)) - trace.offsets[of], pa.int32()),
        "id": pa.array(trace.ids, pa.int64()),
    }
    if trace.texts is not None and trace.char_span is not None:
        tokens = [trace.texts[i][a:b] for i, (a, b) in zip(of, trace.char_span)]
        columns["token"] = pa.array([_valid(t) for t in tokens], pa.string())
    for name in PLAIN:
        values = getattr(trace, name)
        if values is not None:
            columns[name] = _column(pa, values)
    for a, values in trace.power.items():
        columns[f"power_{a:g}"] = _column(pa, values)
    for name, reference in trace.refs.items():
        for f in fields(reference):
            if getattr(reference, f.name) is not None:
                columns[f"ref_{name}_{f.name}"] = _column(pa, getattr(reference, f.name))
    if trace.char_span is not None:
        columns["char_start"], columns["char_end"] = (pa.array(x, pa.int64()) for x in trace.char_span.T)
    for name in ("n_chars", "n_bytes"):
        if getattr(trace, name) is not None:
            columns[name] = pa.array(getattr(trace, name)[of], pa.int64())
    first, last = trace.offsets[:-1], trace.offsets[1:] - 1
    full = np.flatnonzero(lengths)
    if trace.texts is not None:
        cells: list[Any] = [None] * len(of)
        for i in full:
            cells[first[i]] = _valid(trace.texts[i])
        columns["text"] = pa.array(cells, pa.string())
    if trace.hidden is not None:
        cells = [None] * len(of)
        for i in full:
            cells[last[i]] = trace.hidden[i].tolist()
        columns["hidden"] = pa.array(cells, pa.list_(pa.from_numpy_dtype(trace.hidden.dtype)))
    empty = np.flatnonzero(lengths == 0)
    told = {
        "format": FORMAT,
        "meta": dict(trace.meta),
        "powers": list(trace.power),
        "references": list(trace.refs),
        "empty": numbers[empty].tolist(),
        "empty_texts": None if trace.texts is None else [_valid(trace.texts[i]) for i in empty],
        "empty_hidden": None if trace.hidden is None else trace.hidden[empty].tolist(),
        **(more or {}),
    }
    return pa.table(columns).replace_schema_metadata({KEY: json.dumps(told, default=str).encode()})


def from_arrow(table: Any) -> tuple[Trace, npt.NDArray[np.int64]]:
    """Return the trace in a table of `to_arrow`, and the numbers of its documents (in rising order).

    Raises
    ------
    ValueError
        If the table is none.
    """
    told = metadata(table.schema)
    document = table["document"].to_numpy()
    numbers = np.unique(np.concatenate([document, np.array(told["empty"], dtype=np.int64)])).astype(np.int64)
    order = np.lexsort((table["position"].to_numpy(), document))
    lengths = np.bincount(np.searchsorted(numbers, document), minlength=len(numbers))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    names = set(table.column_names)

    def column(name: str) -> Any:
        return _array(table[name])[order] if name in names else None

    out: dict[str, Any] = {name: column(name) for name in PLAIN}
    if "char_start" in names:
        out["char_span"] = np.stack([column("char_start"), column("char_end")], axis=1)
    full = lengths > 0
    starts, ends = offsets[:-1][full], offsets[1:][full] - 1
    for name in ("n_chars", "n_bytes"):
        if name in names:
            out[name] = np.zeros(len(numbers), dtype=np.int64)
            out[name][full] = column(name)[starts]
    if "text" in names:
        cells = np.array(table["text"].to_pylist(), dtype=object)[order]
        texts: list[Any] = [None] * len(numbers)
        for i, text in zip(np.flatnonzero(full), cells[starts] if len(cells) else []):
            texts[i] = text
        for i, text in zip(np.flatnonzero(~full), told["empty_texts"] or []):
            texts[i] = text
        out["texts"] = tuple(texts)
    if "hidden" in names:
        cells = np.empty(len(document), dtype=object)
        cells[:] = table["hidden"].to_pylist()
        rows = [cells[order[i]] for i in ends]
        width = len(rows[0]) if rows else len((told["empty_hidden"] or [[]])[0])
        out["hidden"] = np.full((len(numbers), width), np.nan, dtype=table["hidden"].type.value_type.to_pandas_dtype())
        if rows:
            out["hidden"][full] = np.array(rows)
        if told["empty_hidden"]:
            out["hidden"][~full] = np.array(told["empty_hidden"])
    trace = Trace(
        ids=column("id"),
        offsets=offsets,
        power={float(a): column(f"power_{a:g}") for a in told["powers"]},
        refs={
            name: ReferenceTrace(**{f.name: column(f"ref_{name}_{f.name}") for f in fields(ReferenceTrace)})
            for name in told["references"]
        },
        meta=told["meta"],
        **out,
    )
    return trace, numbers


def metadata(schema: Any) -> dict[str, Any]:
    """Return what a file says of its trace."""
    held = (schema.metadata or {}).get(KEY)
    if held is None:
        raise ValueError("this Parquet file is no trace: it was not written by plogp")
    told: dict[str, Any] = json.loads(held)
    if told.get("format") != FORMAT:
        raise ValueError(f"this trace has format {told.get('format')!r}, this version of plogp reads {FORMAT}")
    return told


def write(trace: Trace, path: str | Path, documents: Any = None, more: Mapping[str, Any] | None = None) -> Path:
    """Write a trace as one Parquet file, whole or not at all."""
    table, path = to_arrow(trace, documents, more), Path(path)
    with replacing(path) as temporary:
        arrow().parquet.write_table(table, temporary, compression="zstd")
    return path


def read(path: str | Path) -> Trace:
    """Read one Parquet file that `write` wrote."""
    return from_arrow(arrow().parquet.read_table(str(path)))[0]


@contextlib.contextmanager
def replacing(path: Path) -> Any:
    """Give a temporary name beside `path`, and move it there when the block ends well."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _column(pa: Any, values: npt.NDArray[Any]) -> Any:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])


def _array(column: Any) -> npt.NDArray[Any]:
    merged = column.combine_chunks()
    if hasattr(merged, "chunks"):  # combine_chunks of several chunks of lists
        import pyarrow as pa

        merged = pa.concat_arrays(merged.chunks)
    if hasattr(merged.type, "list_size"):
        return np.asarray(merged.flatten().to_numpy(zero_copy_only=False)).reshape(len(merged), merged.type.list_size)
    return np.asarray(merged.to_numpy(zero_copy_only=False))


def _valid(text: str) -> str:
    """Return a text as UTF-8 holds it: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
