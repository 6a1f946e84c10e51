"""``plogp measure NAME``: a calculator of entropies, divergences and information of known distributions."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

__all__ = ["add", "run"]

#: Measures of a joint table: name to (public function, unit, whether it takes a base, in words).
JOINT: dict[str, tuple[str, str, bool, str]] = {
    "mi": ("mutual_information", "nats", True, "I(X;Y) of rows X and columns Y"),
    "conditional_entropy": ("conditional_entropy", "nats", True, "H(X|Y) of rows X given columns Y"),
    "joint_entropy": ("joint_entropy", "nats", True, "H(X,Y)"),
    "nmi": ("normalized_mutual_information", "", False, "I(X;Y) over the mean of the entropies"),
    "vi": ("variation_of_information", "nats", True, "H(X|Y) + H(Y|X), a metric"),
    "rajski": ("rajski_distance", "", False, "1 - I(X;Y)/H(X,Y), a metric in [0, 1]"),
    "total_correlation": ("total_correlation", "nats", True, "sum of the entropies less the joint one"),
}
JOINT_ALIASES = {
    "mutual_information": "mi",
    "information": "mi",
    "normalized_mutual_information": "nmi",
    "variation_of_information": "vi",
    "rajski_distance": "rajski",
}
#: Measures of two distributions that are not divergences.
TWO = {"cross_entropy": "-Σ p log q, the code length of p under the model q"}
#: Divergences of matrices or of a function, which a line of numbers cannot express.
PYTHON_ONLY = ("bregman", "umegaki", "sandwiched_renyi")

LIST = "`plogp measure --list`"

Rows = list[list[float]]


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "measure",
        help="calculate a divergence, an entropy or a mutual information",
        description="Calculate a measure of known distributions. Numbers are separated by spaces or commas, rows of a "
        "table by semicolons; fractions such as 1/3 are fine. d(p, q) is D(p‖q): p is the reference, q the model.",
        epilog="A family's parameter is an option of its own (--alpha 0.5) or --param q=2. With - the rows are read "
        "from stdin: p then q for a divergence, one distribution a line for an entropy, the table for MI.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="KL, JS, entropy, renyi, MI ...; see --list")
    parser.add_argument("stdin", nargs="?", metavar="-", help="read from stdin")
    parser.add_argument("--p", metavar="NUMBERS", help='a distribution, such as "0.5 0.5"')
    parser.add_argument("--q", metavar="NUMBERS", help="the distribution that p is compared with")
    parser.add_argument("--joint", metavar="ROWS", help='a joint table, such as "0.4 0.1; 0.1 0.4"')
    parser.add_argument("--base", metavar="B", help="base of the logarithm: e (default), 2, 10 or any other")
    parser.add_argument("--normalize", action="store_true", help="divide by the sum first, for counts")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the family")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument("--list", action="store_true", help="list what can be calculated")
    parser.set_defaults(run=run, parser=parser, takes_rest=True)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from plogp.cli.console import write

    if args.list:
        _list()
        return 0
    if args.name is None:
        raise ValueError("measure needs a name, such as KL; `plogp measure --list` lists all")
    # argparse hands over a "-" that follows an option as something unknown.
    from_stdin = args.stdin == "-" or "-" in args.rest
    args.rest = [word for word in args.rest if word != "-"]
    if args.stdin not in (None, "-"):
        raise ValueError(f"unexpected {args.stdin!r}; distributions are given with --p and --q, or - for stdin")
    parameters = _parameters(args.rest, args.param)
    base = _base(args.base)
    import numpy as np

    try:
        # What overflows ends in an error or in an infinity that is printed; a remark beside it says no more.
        with np.errstate(all="ignore"):
            values, unit, name = _calculate(args, from_stdin, base, parameters)
    except (ValueError, TypeError) as error:
        # The library speaks of its arguments; here they are options.
        words = str(error).replace("pass normalize=True", "pass --normalize").replace("plogp.divergences()", LIST)
        raise ValueError(words.replace("plogp.measures.entropies()", LIST)) from error
    if args.json:
        shown: list[Any] = [v if math.isfinite(v) else str(v) for v in values]
        result = {"name": name, "value": shown[0] if len(shown) == 1 else shown, "unit": unit}
        write(json.dumps(result | {"parameters": parameters}, allow_nan=False))
    else:
        for value in values:
            write(f"{value:.12g} {unit}".rstrip())
    return 0


def _calculate(args: argparse.Namespace, from_stdin: bool, base: float | None, parameters: dict[str, Any]) -> Any:
    if not from_stdin:
        return _from_options(args, base, parameters)
    if args.p or args.q or args.joint:
        raise ValueError("give numbers either on stdin or with --p, --q and --joint, not both")
    return _from_rows(args.name, _stdin_rows(), base, args.normalize, parameters)


def _from_options(args: argparse.Namespace, base: float | None, parameters: dict[str, Any]) -> Any:
    key = _key(args.name)
    if key in JOINT:
        if args.joint is None or args.p or args.q:
            raise ValueError(f'{args.name} needs a joint table and nothing else: --joint "0.4 0.1; 0.1 0.4"')
        return _joint(key, _rows(args.joint, "--joint"), base, args.normalize, parameters)
    if args.joint is not None:
        raise ValueError(f"{args.name} takes no --joint; measures of a joint table: {', '.join(JOINT)}")
    if args.p is None:
        raise ValueError(f'{args.name} needs --p "0.5 0.5"' + ("" if args.q is None else " beside --q"))
    p = _one_row(args.p, "--p")
    if args.q is None:
        return _entropy(key, args.name, [p], base, args.normalize, parameters)
    return _divergence(key, args.name, p, _one_row(args.q, "--q"), base, args.normalize, parameters)


def _from_rows(name: str, rows: Rows, base: float | None, normalize: bool, parameters: dict[str, Any]) -> Any:
    key = _key(name)
    if key in JOINT:
        return _joint(key, rows, base, normalize, parameters)
    if _is_entropy(key) and not (_is_divergence(key) and len(rows) == 2):
        return _entropy(key, name, rows, base, normalize, parameters)
    if len(rows) != 2:
        raise ValueError(f"{name} needs two lines on stdin, p and q, got {len(rows)}")
    return _divergence(key, name, rows[0], rows[1], base, normalize, parameters)


def _divergence(
    key: str, name: str, p: list[float], q: list[float], base: float | None, normalize: bool, parameters: dict[str, Any]
) -> Any:
    import plogp

    if key in TWO:
        if parameters:
            raise ValueError(f"{name} takes no parameters, got {', '.join(parameters)}")
        return [float(plogp.cross_entropy(p, q, base=base, normalize=normalize))], _unit("nats", base), key
    if _is_entropy(key) and not _is_divergence(key):
        raise ValueError(f"{name} is of one distribution: leave --q out")
    d = plogp.divergence(name, **parameters)
    if d.name in PYTHON_ONLY:
        raise ValueError(f"{d.name} is not of two lines of numbers; use plogp.divergence({d.name!r}) in Python")
    value = float(d(p, q, base=base, normalize=normalize))
    return [value], _unit(d.unit, base), d.name


def _entropy(key: str, name: str, rows: Rows, base: float | None, normalize: bool, parameters: dict[str, Any]) -> Any:
    import plogp

    if key in TWO or (_is_divergence(key) and not _is_entropy(key)):
        raise ValueError(f'{name} compares two distributions: give --q "..." too')
    if key == "perplexity":
        if base is not None or parameters:
            raise ValueError("perplexity is a number of states: it takes no base and no parameters")
        return [float(plogp.perplexity(row, normalize=normalize)) for row in rows], "", "perplexity"
    functional = plogp.measures.get_entropy("shannon" if key in ("entropy", "h") else name, **parameters)
    values = [float(functional(row, base=base, normalize=normalize)) for row in rows]
    return values, _unit(functional.unit, base), functional.name


def _joint(key: str, rows: Rows, base: float | None, normalize: bool, parameters: dict[str, Any]) -> Any:
    import plogp

    function, unit, takes_base, _ = JOINT[key]
    if parameters:
        raise ValueError(f"{key} takes no parameters, got {', '.join(parameters)}")
    if base is not None and not takes_base:
        raise ValueError(f"{key} is dimensionless and takes no --base")
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"the rows of the joint table have different lengths: {[len(row) for row in rows]}")
    call: Callable[..., Any] = getattr(plogp, function)
    options: dict[str, Any] = {"base": base} if takes_base else {}
    return [float(call(rows, normalize=normalize, **options))], _unit(unit, base), function


def _key(name: str) -> str:
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    return JOINT_ALIASES.get(key, key)


def _is_entropy(key: str) -> bool:
    import plogp

    if key in ("entropy", "h", "perplexity"):
        return True
    try:
        plogp.measures.get_entropy(key)
    except ValueError:
        return False
    except TypeError:
        return True
    return True


def _is_divergence(key: str) -> bool:
    import plogp

    try:
        plogp.divergence(key)
    except ValueError as error:
        return not str(error).startswith("unknown")
    except TypeError:
        return True
    return True


def _base(text: str | None) -> float | None:
    if text is None or text == "e":
        return None
    try:
        base = float(text)
    except ValueError:
        raise ValueError(f"--base must be e or a number, got {text!r}") from None
    if not (base > 0 and base != 1 and math.isfinite(base)):
        raise ValueError(f"--base must be a positive number other than 1, got {text}")
    return base


def _unit(unit: str, base: float | None) -> str:
    if unit != "nats" or base is None:
        return unit
    return {2.0: "bits", 10.0: "bans"}.get(base, f"log-{base:g} units")


def _parameters(rest: list[str], pairs: list[str]) -> dict[str, Any]:
    """Return ``--alpha 0.5``, ``--alpha=0.5`` and ``--param alpha=0.5`` as a mapping."""
    found: list[tuple[str, str]] = []
    waiting = list(rest)
    while waiting:
        option = waiting.pop(0)
        if not option.startswith("--") or len(option) < 3:
            raise ValueError(f'unexpected {option!r}; numbers that belong together are quoted: --p "0.5 0.5"')
        name, equals, value = option[2:].partition("=")
        if not equals:
            if not waiting:
                raise ValueError(f"{option} needs a value")
            value = waiting.pop(0)
        found.append((name, value))
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--param needs NAME=VALUE, got {pair!r}")
        found.append((name, value))
    return {name.replace("-", "_"): _number(value, f"--{name}") for name, value in found}


def _number(text: str, name: str) -> float:
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{name}: {text!r} is not a number") from None


def _rows(text: str, name: str) -> Rows:
    rows = [
        [_number(word, name) for word in line.replace(",", " ").split()]
        for line in text.replace(";", "\n").splitlines()
        if line.strip()
    ]
    if not rows:
        raise ValueError(f"{name}: no numbers")
    return rows


def _one_row(text: str, name: str) -> list[float]:
    rows = _rows(text, name)
    if len(rows) > 1:
        raise ValueError(f"{name} is one distribution, got {len(rows)} rows")
    return rows[0]


def _stdin_rows() -> Rows:
    if sys.stdin.isatty():
        sys.stderr.write("reading rows of numbers from stdin; end with Ctrl-D\n")
    return _rows(sys.stdin.read(), "stdin")


def _list() -> None:
    import inspect

    import plogp
    from plogp.cli.console import write
    from plogp.measures.registry import F_DIVERGENCES, OTHERS

    def takes(build: Callable[..., Any]) -> str:
        names = list(inspect.signature(build).parameters)
        return f"  ({', '.join('--' + n for n in names)})" if names else ""

    write("divergences D(p‖q), of --p and --q:")
    for name, build in {**F_DIVERGENCES, **OTHERS}.items():
        if name not in PYTHON_ONLY:
            write(f"  {name}{takes(build)}")
    for name, words in TWO.items():
        write(f"  {name}: {words}")
    write("entropies, of --p (parameters with --param, such as --param q=2):")
    write("  entropy, perplexity, " + ", ".join(plogp.measures.entropies()))
    write("of a --joint table:")
    for name, (function, _, _, words) in JOINT.items():
        write(f"  {name} ({function}): {words}")
