"""``plogp trace``: score a corpus with a language model, token by token, into Parquet."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

__all__ = ["add", "check_device", "run"]


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "trace",
        help="score texts with a language model, token by token, into Parquet",
        description="Score every token of a corpus with a language model: log-probability, entropy, varentropy, rank. "
        "The folder gets one Parquet file for each part of the corpus, one row a token, which any engine reads. An "
        "interrupted run goes on where it stopped when the command is given again.",
    )
    parser.add_argument("corpus", metavar="CORPUS", help=".txt, .md, .jsonl or .parquet file, or a folder of them")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of the traces")
    parser.add_argument("--model", metavar="M", help="folder or hub name of a model; by default the one in plogp")
    parser.add_argument("--field", default="text", help="where the text is, in .jsonl and .parquet (default: text)")
    parser.add_argument("--window", type=int, metavar="TOKENS", help="longest context; by default the model's")
    parser.add_argument("--stride", type=int, metavar="TOKENS", help="how far windows move; by default half of one")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="windows in one pass (default: 8)")
    parser.add_argument("--part-size", type=int, default=256, metavar="N", help="documents in a file (default: 256)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps (default: cpu)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16; by default that of the model's file")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="also keep the K likeliest tokens")
    parser.add_argument(
        "--bos", default="first", choices=("first", "each", "none", "eos"), help="see plogp.trace.trace"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as a JSON object")
    parser.set_defaults(run=run, parser=parser, late="corpus")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import error_console, waiting, write
    from plogp.trace import load_model, trace_corpus

    if not Path(args.corpus).exists():
        raise FileNotFoundError(2, "no such file or folder", args.corpus)
    check_device(args.device)
    console = error_console()
    with waiting("loading the model"):
        model = load_model(args.model, device=args.device, dtype=args.dtype)
    if model.tokenizer is None:
        raise ValueError(f"{args.model} has no tokenizer beside it, so texts cannot be read")
    options = {"window": args.window, "stride": args.stride, "top_k": args.top_k, "bos": args.bos}
    try:
        done = trace_corpus(
            model,
            Path(args.corpus),
            args.out,
            field=args.field,
            part_size=args.part_size,
            batch_size=args.batch_size,
            progress=console.is_terminal,
            **options,
        )
    except KeyboardInterrupt:
        console.print(f"finished parts are in {args.out}; the same command goes on from there")
        raise
    found = summary(done)
    write(json.dumps(found, ensure_ascii=False, indent=1) if args.json else _words(found))
    return 0


def summary(done: Any) -> dict[str, Any]:
    """Return what is said about a traced corpus, as JSON can hold it."""
    out: dict[str, Any] = {
        "folder": str(done.folder),
        "model": done.manifest["model"],
        "parts": len(done.parts),
        "documents": len(done),
        "tokens": int(done.tokens.sum()),
        "scored": int(done.scored.sum()),
    }
    for name, known in (("bits_per_byte", done.n_bytes), ("bits_per_char", done.n_chars), ("ppl", done.scored)):
        if known is not None and known.sum() > 0 and out["scored"]:
            out[name] = done.estimate(name).to_dict()
    return out


def _words(found: dict[str, Any]) -> str:
    lines = [
        f"documents      {found['documents']:,}",
        f"tokens         {found['tokens']:,} ({found['scored']:,} scored)",
    ]
    for name, label in (("bits_per_byte", "bits per byte"), ("bits_per_char", "bits per char"), ("ppl", "perplexity")):
        e = found.get(name)
        if e is not None:
            interval = "" if e["low"] is None else f"  (95 %: {e['low']:.4g} to {e['high']:.4g})"
            lines.append(
                f"{label:<15}{e['value'] if isinstance(e['value'], str) else format(e['value'], '.4g')}{interval}"
            )
    parts = f"{found['parts']} Parquet {'file' if found['parts'] == 1 else 'files'}"
    lines.append(f"traces         {parts} in {found['folder']}, one row a token, under {found['model']}")
    return "\n".join(lines)


def check_device(device: str) -> None:
    """Refuse a device that torch does not have here."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} is not there: {str(error).splitlines()[0]}") from error
