"""``plogp compare-samplers``: perplexity, repetition and diversity of samplers against their parameters."""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

from plogp.cli.generate import read_text
from plogp.cli.trace import check_device

__all__ = ["add", "run"]

DEFAULT = "top-p,typical,top-h,min-p,mirostat"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare-samplers",
        help="sweep samplers: perplexity, repetition, diversity",
        description="Continue prompts with each sampler over a range of its parameter, and measure the texts: "
        "perplexity under the unfiltered model, share of repeated n-grams, distinct-n. With --out, writes "
        "comparison.json and comparison.svg.",
        epilog="values of one sampler: --samplers 'top-h=0.2:0.4:0.8,min-p' (those of min-p are then the usual ones)",
    )
    parser.add_argument(
        "--samplers", default=DEFAULT, metavar="NAMES", help=f"separated by commas (default: {DEFAULT})"
    )
    parser.add_argument("--prompt", action="append", metavar="TEXT", help="what to continue; may be repeated")
    parser.add_argument("--prompts", metavar="FILE", help="a text file with one prompt a line")
    parser.add_argument("--model", metavar="M", help="a folder or name of a transformers model (default: embedded)")
    parser.add_argument("--device", default="cpu", help="where the model runs (default: cpu)")
    parser.add_argument("--max-new-tokens", type=int, default=60, metavar="N", help="of each text (default: 60)")
    parser.add_argument("--num-samples", type=int, default=4, metavar="K", help="texts a prompt (default: 4)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="before each sampler (default: 1)")
    parser.add_argument("--ngram", type=int, default=4, metavar="N", help="n of repetition (default: 4)")
    parser.add_argument("--distinct", type=int, default=2, metavar="N", help="n of distinct-n (default: 2)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default: 0")
    parser.add_argument("--out", metavar="DIR", help="where to write comparison.json and comparison.svg")
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of the table")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import output, waiting, write

    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, got {args.seed}")
    for name in ("max_new_tokens", "num_samples", "ngram", "distinct"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    directory = None
    if args.out is not None:
        from plogp.cli.report import writable

        directory = writable(args.out)
        if importlib.util.find_spec("matplotlib") is None:
            raise ImportError("plogp[viz] is needed for --out, which plots: pip install 'plogp[viz]'")
    samplers = _samplers(args.samplers)
    prompts = _prompts(args.prompt, args.prompts)
    check_device(args.device)
    from plogp.decode import compare_samplers
    from plogp.trace import load_model

    with waiting("loading the model"):
        model = load_model(args.model, device=args.device)
    found = compare_samplers(
        model,
        prompts,
        samplers,
        max_new_tokens=args.max_new_tokens,
        num_samples=args.num_samples,
        temperature=args.temperature,
        ngram=args.ngram,
        distinct=args.distinct,
        rng=args.seed,
        progress=sys.stderr.isatty(),
    )
    document = json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)
    if args.json:
        write(document)
    else:
        console = output()
        console.print(found.table())
        console.print(
            f"\nperplexity, bits: of the text under the unfiltered model; rep-{args.ngram}: share of repeated "
            f"{args.ngram}-grams in a text; dist-{args.distinct}: different {args.distinct}-grams among all; H drawn: "
            "entropy (nats) and kept: tokens of the law that was drawn from"
        )
    if directory is not None:
        from plogp.report.files import write_all

        paths = write_all(directory, {"comparison.json": document + "\n", "comparison.svg": _svg(found)})
        if not args.json:
            write(f"\nwrote {paths[0]} and {paths[1]}")
    return 0


def _samplers(text: str) -> dict[str, tuple[float, ...]]:
    """Return {name: values} of ``top-h=0.2:0.4,min-p``."""
    from plogp.decode.sampler import SAMPLERS

    out: dict[str, tuple[float, ...]] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, values = part.partition("=")
        name = name.strip().lower().replace("_", "-")
        if name not in SAMPLERS:
            raise ValueError(f"--samplers: no sampler {name!r}; expected some of {', '.join(sorted(SAMPLERS))}")
        if name in out:
            raise ValueError(f"--samplers names {name} twice")
        try:
            out[name] = tuple(float(v) for v in values.split(":")) if equals else SAMPLERS[name].grid
        except ValueError:
            raise ValueError(f"--samplers: values are numbers separated by colons, got {part!r}") from None
    if not out:
        raise ValueError("--samplers needs at least one name")
    return out


def _prompts(given: list[str] | None, file: str | None) -> list[str]:
    prompts = [read_text(prompt, "--prompt") for prompt in given or []]
    if file is not None:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"--prompts {file}: not UTF-8 ({error.reason} at byte {error.start})") from None
        found = [line for line in lines if line.strip()]
        if not found:
            raise ValueError(f"--prompts {file}: no prompts in it, expected one a line")
        prompts += found
    return prompts or [""]


def _svg(found: Any) -> str:
    import matplotlib

    # Text stays text, and the same numbers give the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "plogp"}):
        buffer = io.StringIO()
        found.plot().savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
