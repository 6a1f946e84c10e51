"""``plogp compress``."""

from __future__ import annotations

import argparse
import bz2
import contextlib
import lzma
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ["add", "add_model_options", "model", "output_file", "run"]

#: What the file is compared with: name and a compressor that takes it piece by piece.
OTHERS = (
    ("gzip -9", lambda: zlib.compressobj(9, zlib.DEFLATED, 31)),
    ("zlib -9", lambda: zlib.compressobj(9)),
    ("bzip2 -9", lambda: bz2.BZ2Compressor(9)),
    ("xz -9", lambda: lzma.LZMACompressor(preset=9)),
)


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compress",
        help="compress a file without loss, with a language model",
        description="Compress any file without loss: tokens by an arithmetic coder under the law of a language model, "
        "what is no text as bytes. The same model is needed to decompress, and its size is not counted. A few hundred "
        "to a thousand tokens a second with the embedded model on a CPU.",
        epilog="With --model the weights' own dtype is used unless --dtype is given; float32 streams are readable only "
        "where the same computation gives the same rounding: same machine, library versions and number of threads.",
    )
    parser.add_argument("source", metavar="IN", help="the file to compress")
    parser.add_argument("target", metavar="OUT", help="where to write")
    parser.add_argument(
        "--coder", choices=("ac", "rank-zlib"), default="ac", help="arithmetic coding, or zlib of ranks"
    )
    parser.add_argument("--window", type=int, default=511, metavar="N", help="most tokens of context (default: 511)")
    parser.add_argument("--stride", type=int, metavar="N", help="tokens between restarts (default: half the window)")
    parser.add_argument("--streams", type=int, metavar="N", help="parts read in lock step: more are faster and longer")
    add_model_options(parser)
    parser.set_defaults(run=run, parser=parser)


def add_model_options(parser: Any) -> None:
    """Add the options that compress and decompress share."""
    parser.add_argument("--model", metavar="M", help="a model's folder or hub name (default: the embedded model)")
    parser.add_argument("--dtype", choices=("float32", "float64", "bfloat16", "float16"), help="of the model's weights")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--quiet", action="store_true", help="no progress and no figures")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import write

    source, target = Path(args.source), Path(args.target)
    size = source.stat().st_size
    with output_file(source, target, args.force) as out:
        from plogp.text.compression import compress_stream

        predictor = model(args.model, args.dtype)
        start = time.monotonic()
        with open(source, "rb") as file:
            counts = compress_stream(
                file,
                out,
                predictor,
                args.coder,
                args.window,
                stride=args.stride,
                streams=args.streams,
                progress=not args.quiet and sys.stderr.isatty(),
                size=size,
            )
    seconds = max(time.monotonic() - start, 1e-9)
    if args.quiet:
        return 0
    n = counts["bytes"]
    write(f"{target}: {counts['compressed']:,} bytes for {n:,} of {source}{_rate(counts['compressed'], n)}")
    with open(source, "rb") as file:
        for name, length in _others(file):
            write(f"  {name:9}{length:>14,} bytes{_rate(length, n)}")
    weights = getattr(predictor, "model", None)
    held = sum(p.numel() * p.element_size() for p in weights.parameters()) if weights is not None else 0
    write(
        f"{counts['tokens']:,} tokens at {counts['tokens'] / seconds:,.0f} a second. The model's own size "
        f"({held:,} bytes in memory) is not counted: whoever decompresses must have it."
    )
    return 0


def model(name: str | None, dtype: str | None) -> Any:
    """Return the model of the options; the embedded one is in float64 unless told otherwise."""
    from plogp.trace.huggingface import load_model

    if name is not None:
        return load_model(name, dtype=dtype)
    import torch

    from plogp.trace.embedded import embedded_model

    return embedded_model(dtype=getattr(torch, dtype or "float64"))


@contextlib.contextmanager
def output_file(source: Path, target: Path, force: bool) -> Iterator[IO[bytes]]:
    """Open a file beside `target` that takes its place at the end, or vanishes after an error.

    Raises
    ------
    ValueError
        If `target` is the source, is there and not to be replaced, or its folder is not there.
    """
    if not source.is_file():
        raise ValueError(f"{source} is no file" if source.exists() else f"{source}: no such file")
    if target.exists():
        if target.samefile(source):
            raise ValueError(f"IN and OUT are the same file, {source}")
        if target.is_dir():
            raise ValueError(f"{target} is a directory; OUT is the file to write")
        if not force:
            raise ValueError(f"{target} exists; --force replaces it")
    if not target.parent.is_dir():
        raise ValueError(f"{target}: there is no folder {target.parent}")
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _others(file: IO[bytes]) -> Iterator[tuple[str, int]]:
    for name, make in OTHERS:
        file.seek(0)
        compressor, length = make(), 0
        while piece := file.read(1 << 20):
            length += len(compressor.compress(piece))
        yield name, length + len(compressor.flush())


def _rate(length: int, n: int) -> str:
    return f"{8 * length / n:9.3f} bits per byte" if n else ""
