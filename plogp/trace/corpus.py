"""`trace_corpus`: a corpus scored document by document on many machines, in parts that are finished or not there."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate
from plogp.trace.parquet import arrow, from_arrow, metadata, replacing, write
from plogp.trace.record import Trace
from plogp.trace.rivals import Rival, rivals
from plogp.trace.text_files import documents
from plogp.trace.tracing import as_predictor, trace

__all__ = ["CorpusTrace", "documents", "read_traces", "trace_corpus"]

#: Version of the manifest.
FORMAT = 1
MANIFEST = "manifest.json"
#: Settings that change how a corpus is run through, but no number in it.
INDIFFERENT = ("batch_size", "chunk_tokens", "progress", "route")


@dataclass(frozen=True, eq=False)
class CorpusTrace:
    """A folder of traces, one Parquet file for each part of the corpus.

    Attributes
    ----------
    folder : Path
    manifest : dict
        Model, fingerprint, settings and the plan of parts.
    parts : tuple of Path
        The finished ones; any engine reads them: ``SELECT ... FROM 'folder/*.parquet'``.
    document, tokens, scored, n_chars, n_bytes : array of int, shape (S,)
        Number of each finished document, and its sizes; characters and bytes are None where ids were traced.
    nll : array, shape (S,)
        -Σ log p of each document, in nats.
    """

    folder: Path
    manifest: Mapping[str, Any]
    parts: tuple[Path, ...]
    document: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    scored: npt.NDArray[np.int64]
    nll: npt.NDArray[np.float64]
    n_chars: npt.NDArray[np.int64] | None
    n_bytes: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.document)

    def read(self) -> Trace:
        """Return all finished documents as one `Trace`, in order."""
        return read_traces(self.folder)

    def estimate(self, what: str = "mean_nll", rng: Any = 0) -> Estimate:
        """Return "mean_nll", "ppl", "bits_per_char" or "bits_per_byte" of the corpus, documents drawn with replacement.

        Under 20 documents the tokens are read again and drawn in runs (`Trace.estimate`).
        """
        from plogp.trace.reduction import TEXTS, ratio

        if (self.scored > 0).sum() < TEXTS:
            return self.read().estimate(what, rng=rng)
        sizes = {
            "mean_nll": self.scored,
            "ppl": self.scored,
            "bits_per_char": self.n_chars,
            "bits_per_byte": self.n_bytes,
        }
        if what not in sizes:
            raise ValueError(f"what must be one of {', '.join(map(repr, sizes))}, got {what!r}")
        length = sizes[what]
        if length is None:
            raise ValueError(f"{what} is not known: the tokenizer does not say which characters a token stands for")
        used = self.scored > 0
        told = {"texts": int(used.sum()), "tokens": int(self.scored.sum())}
        return ratio(self.nll[used], length[used].astype(np.float64), what, "nats", rng=rng, told=told)


def trace_corpus(
    model: Any,
    texts_or_files: Any,
    out_dir: str | Path,
    *,
    field: str = "text",
    shard: tuple[int, int] | None = None,
    part_size: int = 256,
    resume: bool = True,
    progress: bool = False,
    tokenizer: Any = None,
    **options: Any,
) -> CorpusTrace:
    """Trace a corpus into a folder of Parquet files, one row a token; go on where an earlier run stopped.

    Document i belongs to process i mod world. Each process works through its documents in parts of `part_size`; a
    part is written under another name and moved into place, so what lies there is whole. A second call with the same
    model, settings and texts skips finished parts.

    Parameters
    ----------
    model, tokenizer, **options
        As in `trace`; `context` is one for all documents.
    texts_or_files : path, or iterable of texts and paths
        See `documents`.
    out_dir : str or Path
        Made if it is missing.
    field : str
        Where the text is, in .jsonl and .parquet.
    shard : (rank, world), optional
        By default that of torch.distributed, or of the environment (RANK, WORLD_SIZE) as torchrun and accelerate set
        it; else (0, 1).
    part_size : int
        Documents in a part.
    resume : bool
        False refuses a folder that holds traces.
    progress : bool
        Show a bar.

    Returns
    -------
    CorpusTrace
        Of all finished parts in the folder, those of other processes included.

    Raises
    ------
    ValueError
        For a folder with traces of another model, other settings or another corpus, or a shard that is none.

    Examples
    --------
    >>> import tempfile
    >>> from plogp.trace.predictors import MarkovLM
    >>> lm, spell = MarkovLM.random(128, rng=0), lambda text: list(text.encode("ascii"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = trace_corpus(lm, ["one text", "another"], folder, tokenizer=spell)
    ...     len(done), done.tokens.tolist(), len(done.read().ids)
    (2, [8, 7], 15)
    """
    rank, world = _shard(shard)
    if isinstance(part_size, bool) or not isinstance(part_size, int) or part_size < 1:
        raise ValueError(f"part_size must be a whole number of at least 1, got {part_size!r}")
    arrow()
    predictor = as_predictor(model, tokenizer)
    folder = Path(out_dir)
    if isinstance(texts_or_files, (str, Path)) and Path(texts_or_files).resolve() in folder.resolve().parents:
        raise ValueError(f"{folder} lies inside the corpus, {texts_or_files}; its files would be read as documents")
    plan = _plan(predictor, options, world, part_size, field)
    new, first = not folder.exists(), False
    folder.mkdir(parents=True, exist_ok=True)
    try:
        first = _agree(folder, plan, resume)
        bar = _Bar(progress, rank, world)
        with bar:
            for k, numbers, texts in _parts(documents(texts_or_files, field), rank, world, part_size):
                path = folder / f"part-{rank:05d}-{k:06d}.parquet"
                digest = _digest(texts)
                if path.exists():
                    _same_texts(path, digest)
                else:
                    found = trace(predictor, texts, tokenizer=tokenizer, **options)
                    write(found, path, numbers, {"texts": digest, "summary": _sums(found)})
                bar.advance(len(texts))
    except BaseException:
        # A plan of which nothing was done binds nobody; other processes may be at work on it, if there are any.
        if first and world == 1 and not any(folder.glob("part-*.parquet")):
            (folder / MANIFEST).unlink(missing_ok=True)
        if new and not any(folder.iterdir()):
            folder.rmdir()
        raise
    return _opened(folder)


def read_traces(folder: str | Path) -> Trace:
    """Return the finished documents of a folder that `trace_corpus` wrote, as one `Trace` in their order.

    Raises
    ------
    ValueError
        If the folder holds no traces.
    """
    found = _opened(Path(folder))
    if not found.parts:
        raise ValueError(f"{folder} holds no finished part")
    read = [from_arrow(arrow().parquet.read_table(str(path))) for path in found.parts]
    numbers = np.concatenate([n for _, n in read])
    return Trace.concat([t for t, _ in read])[np.argsort(numbers, kind="stable")]


def _opened(folder: Path) -> CorpusTrace:
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} holds no traces: there is no {MANIFEST}")
    parts = tuple(sorted(folder.glob("part-*.parquet")))
    rows: dict[str, list[Any]] = {n: [] for n in ("document", "tokens", "scored", "nll", "n_chars", "n_bytes")}
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for path in parts:
        told = metadata(arrow().parquet.read_schema(str(path)))["summary"]
        n = told["count"]
        rank, k = map(int, path.stem.split("-")[1:])
        rows["document"] += [rank + manifest["world"] * (k * manifest["part_size"] + j) for j in range(n)]
        for name in ("tokens", "scored", "nll", "n_chars", "n_bytes"):
            rows[name] += [None] * n if told[name] is None else told[name]
    order = np.argsort(np.array(rows["document"], dtype=np.int64), kind="stable")

    def column(name: str, kind: Any) -> Any:
        return None if any(v is None for v in rows[name]) else np.array(rows[name], dtype=kind)[order]

    return CorpusTrace(
        folder,
        manifest,
        parts,
        nll=column("nll", np.float64),
        **{n: column(n, np.int64) for n in ("document", "tokens", "scored", "n_chars", "n_bytes")},
    )


def _sums(found: Trace) -> dict[str, Any]:
    def told(x: Any) -> Any:
        return None if x is None else np.asarray(x).tolist()

    return {
        "count": len(found),
        "tokens": told(found.lengths),
        "scored": told(found.n_scored),
        "nll": told(found.nll()),
        "n_chars": told(found.n_chars),
        "n_bytes": told(found.n_bytes),
    }


def _shard(shard: Any) -> tuple[int, int]:
    if shard is None:
        distributed = getattr(sys.modules.get("torch"), "distributed", None)
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return int(distributed.get_rank()), int(distributed.get_world_size())
        try:
            shard = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        except ValueError as error:
            raise ValueError("RANK and WORLD_SIZE in the environment must be whole numbers") from error
    try:
        rank, world = (int(x) for x in shard)
    except (TypeError, ValueError) as error:
        raise ValueError(f"shard must be (rank, world), got {shard!r}") from error
    if not 0 <= rank < world:
        raise ValueError(f"shard must be (rank, world) with 0 <= rank < world, got {(rank, world)}")
    return rank, world


def _plan(predictor: Any, options: Mapping[str, Any], world: int, part_size: int, field: str) -> dict[str, Any]:
    """Return what must be the same for a folder to be gone on with."""
    identity = getattr(predictor, "fingerprint", None)
    settings = {n: v for n, v in options.items() if n not in (*INDIFFERENT, "references")}
    out: dict[str, Any] = {
        "format": FORMAT,
        "model": str(getattr(predictor, "name", None) or type(predictor).__name__),
        "fingerprint": identity() if callable(identity) else None,
        "settings": settings,
        "world": world,
        "part_size": part_size,
        "field": field,
    }
    others = rivals(options.get("references", ()), lambda m: as_predictor(m, None))
    if others:
        out["references"] = {r.name: _identity(r) for r in others}
    # As it is read back: tuples become lists, arrays text.
    return dict(json.loads(json.dumps(out, default=lambda x: x.tolist() if hasattr(x, "tolist") else repr(x))))


def _identity(other: Rival) -> str | None:
    if other.vector is not None:
        return hashlib.sha256(np.ascontiguousarray(other.vector).tobytes()).hexdigest()[:16]
    identity = getattr(other.model, "fingerprint", None)
    return identity() if callable(identity) else None


def _agree(folder: Path, plan: dict[str, Any], resume: bool) -> bool:
    """Check that a folder holds traces of this plan only, or write the plan down; return whether it was written."""
    path = folder / MANIFEST
    if not path.exists():
        if any(folder.glob("part-*.parquet")):
            raise ValueError(f"{folder} holds parts but no {MANIFEST}; choose another folder")
        with replacing(path) as temporary:
            Path(temporary).write_text(json.dumps(plan, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return True
    if not resume:
        raise ValueError(f"{folder} holds traces already, and resume=False; choose another folder")
    held = json.loads(path.read_text(encoding="utf-8"))
    for key in ("format", "fingerprint", "model", "settings", "references", "world", "part_size", "field"):
        if held.get(key) != plan.get(key) and not (key == "model" and plan["fingerprint"] is not None):
            words = {"fingerprint": "another model", "model": "another model"}.get(key, f"other {key}")
            was = held.get("model") if key == "fingerprint" else held.get(key)
            now = plan.get("model") if key == "fingerprint" else plan.get(key)
            raise ValueError(f"{folder} holds traces with {words} ({was!r}, now {now!r}); choose another folder")
    return False


def _parts(
    texts: Iterator[str], rank: int, world: int, part_size: int
) -> Iterator[tuple[int, npt.NDArray[np.int64], list[str]]]:
    """Yield (number of the part, numbers of its documents, their texts) of one process."""
    numbers: list[int] = []
    held: list[str] = []
    k = 0
    for i, text in enumerate(texts):
        if i % world != rank:
            continue
        numbers.append(i)
        held.append(text)
        if len(held) == part_size:
            yield k, np.array(numbers), held
            k, numbers, held = k + 1, [], []
    if held:
        yield k, np.array(numbers), held


def _digest(texts: list[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def _same_texts(path: Path, digest: str) -> None:
    if metadata(arrow().parquet.read_schema(str(path))).get("texts") != digest:
        raise ValueError(f"{path} holds other texts: the corpus has changed; choose another folder")


class _Bar:
    """A bar of documents, where one is wanted."""

    def __init__(self, shown: bool, rank: int, world: int):
        self.bar: Any = None
        if shown:
            from rich.console import Console
            from rich.progress import Progress, TextColumn, TimeElapsedColumn

            name = "trace" if world == 1 else f"trace {rank + 1}/{world}"
            columns = TextColumn(name), TextColumn("{task.completed:.0f} documents"), TimeElapsedColumn()
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task(name, total=None)

    def __enter__(self) -> _Bar:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *reason: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, n: int) -> None:
        if self.bar is not None:
            self.bar.advance(self.task, n)
