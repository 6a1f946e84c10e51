"""``plogp generate``: text from a language model through any sampler."""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import math
import sys
from typing import TYPE_CHECKING, Any

from plogp.cli.trace import check_device

if TYPE_CHECKING:
    from plogp.decode.sampler import Entry, Sampler

__all__ = ["add", "read_text", "run"]


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "generate",
        help="continue a text with a language model and a sampler",
        description="Continue a prompt with the embedded language model, or with one of your own. A sampler's "
        "parameters are options of their own: --sampler top-h --alpha 0.4.",
        epilog="samplers: temperature, greedy, top-k (--k), top-p (--mass), min-p (--ratio), epsilon, eta (--epsilon), "
        "typical (--mass), top-h (--alpha), mirostat and mirostat-v2 (--target-surprise, in bits), budgeted-entropy "
        "(--budget, in nats), tail-mix (--share)",
    )
    parser.add_argument("--prompt", default="", metavar="TEXT", help="what to continue; - reads it from stdin")
    parser.add_argument("--sampler", metavar="NAME", help="see below; without one the model's own law")
    parser.add_argument("--value", type=float, metavar="X", help="of the sampler's main parameter, whatever its name")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="before the sampler (default: 1)")
    parser.add_argument("--model", metavar="M", help="a folder or name of a transformers model (default: embedded)")
    parser.add_argument("--device", default="cpu", help="where the model runs (default: cpu)")
    parser.add_argument("--max-new-tokens", type=int, default=100, metavar="N", help="length (default: 100)")
    parser.add_argument("--num-samples", type=int, default=1, metavar="K", help="how many texts (default: 1)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same text (default: 0)")
    parser.add_argument("--stats", action="store_true", help="also surprisal, entropy and perplexity under the model")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(run=run, parser=parser, takes_rest=True)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import waiting, write

    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, got {args.seed}")
    for name in ("max_new_tokens", "num_samples"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    sampler = build_sampler(args)
    prompt = read_text(args.prompt, "--prompt")
    check_device(args.device)
    from plogp.decode import generate
    from plogp.trace import load_model

    with waiting("loading the model"):
        model = load_model(args.model, device=args.device)
    shown = sys.stderr.isatty() and not args.json
    out = generate(
        model,
        prompt,
        sampler,
        args.max_new_tokens,
        num_samples=args.num_samples,
        rng=args.seed,
        progress=shown,
    )
    if out.texts is None or out.trace is None:
        raise ValueError("the model has no tokenizer, so that its tokens cannot be printed as text")
    rows = [_stats(out, i) for i in range(len(out))]
    if args.json:
        samples = [
            {"text": text, "ids": ids.tolist(), "finished": done} | (row if args.stats else {})
            for text, ids, done, row in zip(out.texts, out.ids, out.finished, rows, strict=True)
        ]
        head = {"prompt": prompt, "model": out.trace.meta["model"], "sampler": out.trace.meta["sampler"]}
        write(json.dumps(head | {"seed": args.seed, "samples": samples}, ensure_ascii=False, allow_nan=False))
        return 0
    for i, (text, row) in enumerate(zip(out.texts, rows, strict=True)):
        if len(out) > 1:
            write(f"{'' if i == 0 else chr(10)}--- {i + 1} of {len(out)} ---")
        write(prompt + text)
        if args.stats:
            write(
                f"[{row['tokens']} tokens; surprisal {row['surprisal_bits']:.3f} bits, entropy "
                f"{row['entropy_bits']:.3f} bits per token, perplexity {row['perplexity']:.4g}; "
                f"drawn from {row['tokens_kept']:.1f} tokens, {row['drawn_entropy_bits']:.3f} bits]"
            )
    return 0


def build_sampler(args: argparse.Namespace) -> Sampler | None:
    """Return what ``--sampler``, its own options and ``--temperature`` ask for."""
    from plogp.decode.sampler import SAMPLERS, Temperature, get_sampler

    own = _options(args.rest)
    sampler: Sampler | None = None
    if args.sampler is None:
        if own or args.value is not None:
            option = next(iter(own), "value")
            _known(option, args.parser)
            raise ValueError(f"--{option.replace('_', '-')} belongs to a sampler; name one with --sampler")
    else:
        key = args.sampler.lower().replace("_", "-")
        entry = SAMPLERS.get(key)
        if entry is not None:
            own = _fitting(key, entry, own, args.parser)
            if args.value is not None and entry.parameter in own:
                option = entry.parameter.replace("_", "-")
                raise ValueError(f"--value and --{option} are the same for {key}; pass one of them")
        elif key == "greedy" and (own or args.value is not None):
            raise ValueError("greedy takes no parameter; --sampler top-k --k 3 draws from the three likeliest")
        sampler = get_sampler(key, args.value, **own)
    if args.temperature != 1.0:
        first = Temperature(args.temperature)
        return first if sampler is None else first | sampler
    return sampler


def _options(words: list[str]) -> dict[str, str]:
    """Return {name: text} of ``--name value`` and ``--name=value``."""
    out: dict[str, str] = {}
    i = 0
    while i < len(words):
        word = words[i]
        if not word.startswith("--"):
            raise ValueError(f"unexpected {word!r}; the prompt is given with --prompt")
        name, equals, value = word[2:].partition("=")
        if not equals:
            i += 1
            if i == len(words):
                raise ValueError(f"--{name} needs a value")
            value = words[i]
        out[name.replace("-", "_")] = value
        i += 1
    return out


def _known(option: str, parser: argparse.ArgumentParser) -> None:
    """Refuse an option that no sampler has, as the parser would have done."""
    from plogp.decode.sampler import SAMPLERS

    names = {p for entry in SAMPLERS.values() for p in inspect.signature(entry.cls).parameters}
    of_samplers = {"--" + p.replace("_", "-") for p in names}
    wrong = "--" + option.replace("_", "-")
    if wrong in of_samplers | {"--value"}:
        return
    near = difflib.get_close_matches(wrong, [*parser._option_string_actions, *of_samplers], n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"unrecognized arguments: {wrong}{hint}; see `{parser.prog} --help`")


def _fitting(key: str, entry: Entry, own: dict[str, str], parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Return the options as the sampler's parameters, or say which it has."""
    known = inspect.signature(entry.cls).parameters
    out: dict[str, Any] = {}
    for name, text in own.items():
        if name not in known:
            _known(name, parser)
            options = ", ".join("--" + p.replace("_", "-") for p in known if p != "reference")
            raise ValueError(f"--{name.replace('_', '-')} is no option of {key}; it has {options}")
        out[name] = text if isinstance(known[name].default, str) else _number(text, name)
    return out


def _number(text: str, name: str) -> int | float:
    option = "--" + name.replace("_", "-")
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if not math.isfinite(value):
            raise ValueError(f"{option} must be finite, got {text}")
        return value
    raise ValueError(f"{option} must be a number, got {text!r}")


def read_text(text: str, option: str) -> str:
    """Return a prompt as given, or what stdin holds for ``-``."""
    if text == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise ValueError(f"{option} is not UTF-8 ({error.reason} at byte {error.start:,} of stdin)") from None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # A terminal hands over bytes that are no UTF-8 as lone surrogates.
        raise ValueError(f"{option} is not UTF-8 (character {error.start:,})") from None
    return text


def _stats(out: Any, i: int) -> dict[str, Any]:
    one, bits = out.trace[i], math.log(2.0)
    return {
        "tokens": len(out.ids[i]),
        "surprisal_bits": float(one.mean_nll()[0]) / bits,
        "entropy_bits": float(one.means("entropy")[0]) / bits,
        "perplexity": float(one.ppl()[0]),
        "tokens_kept": float(out.n_kept[i].mean()),
        "drawn_entropy_bits": float(out.drawn_entropy[i].mean()) / bits,
    }
