"""The language of the synthetic programs: one assignment a line, lists of integers, no loops; its own interpreter."""

from __future__ import annotations

import ast
import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["FUNCTIONS", "Function", "Line", "arguments", "execute", "parse", "run", "write"]

#: Longer lists than this are refused, so that no program swells.
LONGEST = 2**16

#: An argument: a number, a literal list, or the index of an earlier line.
Argument = int | tuple[int, ...]
#: A line: the function's name and its arguments; references are among them as plain indices.
Line = tuple[str, tuple[Argument, ...]]


@dataclass(frozen=True)
class Function:
    """What a function of the language takes and does.

    `takes` has a letter for each argument: ``v`` a value 0..255, ``n`` a length 1..25, ``s`` a small number 1..8, ``k``
    a small number 2..9, ``l`` a literal list of 1..25 values, ``r`` an earlier sequence.
    """

    takes: str
    do: Callable[..., Iterable[int]]


def _interleave(a: list[int], b: list[int]) -> Iterable[int]:
    n = min(len(a), len(b))
    return [*itertools.chain.from_iterable(zip(a, b)), *a[n:], *b[n:]]


def _modulo(v: int, x: list[int]) -> list[int]:
    if v == 0:
        raise ValueError("modulo_item_list by 0")
    return [u % v for u in x]


#: Three of the paper's names are inferred; with the filters as functions of their own these are 23 of its 24.
FUNCTIONS: dict[str, Function] = {
    "range_func_up": Function("vv", lambda a, b: range(a, b + 1)),
    "range_func_interval": Function("vvs", lambda a, b, step: range(a, b, step)),
    "repeat_num": Function("nv", lambda n, v: [v] * n),
    "set_list": Function("l", list),
    "repeat_list": Function("kr", lambda k, x: x * k),
    "reverse_list": Function("r", lambda x: x[::-1]),
    "substitute": Function("rvv", lambda x, old, new: [new if v == old else v for v in x]),
    "get_subsequence_with_jumps": Function("rk", lambda x, j: x[::j]),
    "get_subsequence_between_indices": Function("rvv", lambda x, a, b: x[a:b]),
    "max_n": Function("vr", heapq.nlargest),
    "min_n": Function("vr", heapq.nsmallest),
    "add_item_list": Function("vr", lambda v, x: [u + v for u in x]),
    "subtract_item_list": Function("vr", lambda v, x: [u - v for u in x]),
    "modulo_item_list": Function("vr", _modulo),
    "filter_is_even": Function("r", lambda x: [v for v in x if v % 2 == 0]),
    "filter_is_odd": Function("r", lambda x: [v for v in x if v % 2]),
    "filter_is_not_zero": Function("r", lambda x: [v for v in x if v]),
    "scan_add": Function("r", itertools.accumulate),
    "add_two_lists": Function("rr", lambda a, b: [u + v for u, v in zip(a, b)]),
    "subtract_two_lists": Function("rr", lambda a, b: [u - v for u, v in zip(a, b)]),
    "modulo_two_lists": Function("rr", lambda a, b: [u % v for u, v in zip(a, b) if v]),
    "concatenate": Function("rr", lambda a, b: a + b),
    "interleave": Function("rr", _interleave),
}
#: The values that each letter of `Function.takes` may have.
DOMAIN = {"v": range(256), "n": range(1, 26), "s": range(1, 9), "k": range(2, 10)}


def arguments(line: Line) -> Iterable[tuple[str, Argument]]:
    """Yield (letter, argument) of a line."""
    return zip(FUNCTIONS[line[0]].takes, line[1], strict=True)


def parse(program: str) -> tuple[list[Line], int]:
    """Return the lines of a program and the index of its output.

    Raises
    ------
    ValueError
        For what is no program of the language, naming the line.
    """
    lines: list[Line] = []
    try:
        body = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"the program cannot be read: {error}") from None
    for i, node in enumerate(body):
        where = f"line {i}"
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            raise ValueError(f"{where}: expected `sequence_{i} = function(...)` or `output = sequence_j`")
        target = node.targets[0].id
        if target == "output":
            if i + 1 < len(body):
                raise ValueError(f"{where}: output must be the last line")
            return lines, _reference(node.value, len(lines), where)
        if target != f"sequence_{i}":
            raise ValueError(f"{where}: expected sequence_{i}, got {target}")
        lines.append(_call(node.value, i, where))
    raise ValueError("the program has no line `output = sequence_j`")


def _call(node: ast.expr, i: int, where: str) -> Line:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords):
        raise ValueError(f"{where}: expected a call of a function")
    name, given = node.func.id, list(node.args)
    if name == "filter" and len(given) == 2 and isinstance(given[0], ast.Name):
        name, given = f"filter_{given[0].id}", given[1:]
    if name not in FUNCTIONS:
        raise ValueError(f"{where}: no function {name!r}; there are {', '.join(FUNCTIONS)}")
    takes = FUNCTIONS[name].takes
    if len(given) != len(takes):
        raise ValueError(f"{where}: {name} takes {len(takes)} arguments, got {len(given)}")
    return name, tuple(_argument(letter, arg, i, f"{where}: {name}") for letter, arg in zip(takes, given, strict=True))


def _argument(letter: str, node: ast.expr, i: int, where: str) -> Argument:
    if letter == "r":
        return _reference(node, i, where)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        raise ValueError(f"{where}: expected a number or a list of numbers") from None
    if letter == "l":
        if not isinstance(value, list) or not 1 <= len(value) <= 25 or not all(_fits(v, DOMAIN["v"]) for v in value):
            raise ValueError(f"{where}: expected a list of 1 to 25 values from 0 to 255")
        return tuple(value)
    if not _fits(value, DOMAIN[letter]):
        raise ValueError(f"{where}: expected a number from {DOMAIN[letter][0]} to {DOMAIN[letter][-1]}, got {value!r}")
    return int(value)


def _fits(value: object, domain: range) -> bool:
    return type(value) is int and value in domain


def _reference(node: ast.expr, i: int, where: str) -> int:
    if isinstance(node, ast.Name) and node.id.startswith("sequence_"):
        digits = node.id.removeprefix("sequence_")
        if digits.isascii() and digits.isdigit() and int(digits) < i and str(int(digits)) == digits:
            return int(digits)
    raise ValueError(f"{where}: expected an earlier sequence")


def write(lines: list[Line], output: int, comments: bool = False) -> str:
    """Return the text of a program; with `comments` each line's value stands behind it."""
    values = execute(lines) if comments else []
    out = []
    for i, line in enumerate(lines):
        shown = [
            f"sequence_{a}" if letter == "r" else str(list(a) if isinstance(a, tuple) else a)
            for letter, a in arguments(line)
        ]
        name = line[0]
        if name.startswith("filter_"):
            name, shown = "filter", [name.removeprefix("filter_"), *shown]
        comment = f"  # {values[i]}" if comments else ""
        out.append(f"sequence_{i} = {name}({', '.join(shown)}){comment}")
    return "\n".join([*out, f"output = sequence_{output}"])


def execute(lines: list[Line]) -> list[list[int]]:
    """Return the values of all lines.

    Raises
    ------
    ValueError
        For a modulo by zero, or a list longer than 65536.
    """
    values: list[list[int]] = []
    for line in lines:
        given = [values[a] if letter == "r" and isinstance(a, int) else a for letter, a in arguments(line)]
        value = list(FUNCTIONS[line[0]].do(*given))
        if len(value) > LONGEST:
            raise ValueError(f"line {len(values)}: {line[0]} gives a list of {len(value)}; {LONGEST} are the most")
        values.append(value)
    return values


def run(program: str) -> list[int]:
    r"""Return the output of a program, in an interpreter of its own: nothing else can happen.

    The functions, with ``r`` an earlier sequence: ``range_func_up(a, b)`` (b included), ``range_func_interval(a, b,
    step)`` (b excluded), ``repeat_num(n, v)``, ``set_list([...])``, ``repeat_list(k, r)``, ``reverse_list(r)``,
    ``substitute(r, old, new)``, ``get_subsequence_with_jumps(r, k)``, ``get_subsequence_between_indices(r, a, b)``,
    ``max_n(n, r)``, ``min_n(n, r)`` (the n largest, largest first; smallest, smallest first), ``add_item_list(v, r)``,
    ``subtract_item_list``, ``modulo_item_list``, ``filter(is_even | is_odd | is_not_zero, r)``, ``scan_add(r)``
    (running sums), ``add_two_lists(r, r)``, ``subtract_two_lists``, ``modulo_two_lists`` (pairs with a divisor of 0 are
    left out), ``concatenate`` and ``interleave`` (in turns, then the rest of the longer).

    Raises
    ------
    ValueError
        For what is no program, a modulo by zero, or a list longer than 65536.

    Examples
    --------
    >>> run("sequence_0 = range_func_up(3, 6)\nsequence_1 = repeat_list(2, sequence_0)\noutput = sequence_1")
    [3, 4, 5, 6, 3, 4, 5, 6]

    References
    ----------
    Yoran et al., "The KoLMogorov Test: Compression by Code Generation" (2025), arXiv:2503.13992. Where the paper does
    not fix an argument's order it is the one above.
    """
    lines, output = parse(program)
    return execute(lines)[output]
