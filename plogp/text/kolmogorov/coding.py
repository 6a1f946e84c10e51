"""How many bits a program takes under a uniform prior, and a code that takes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from plogp.text.kolmogorov.language import DOMAIN, FUNCTIONS, Argument, Line, arguments, parse, write

__all__ = ["bits", "decode", "encode"]

#: Choices of a line: 24 functions and the end.
CHOICES = 25
_NAMES = list(FUNCTIONS)
_END = CHOICES - 1


def bits(program: str, strict: bool = False) -> float:
    r"""Return the code length of a program under a uniform prior over the choices of each line, in bits.

    A line costs log2 25 for its function (24 and the end), a value log2 256, a step or a count of repetitions log2 8,
    a reference from line i (from 0) log2(i + 1).

    Parameters
    ----------
    program : str
        In the language of `run`.
    strict : bool
        Count what a decoder needs: the length of a literal list too, and log2 25 for lengths 1 to 25. As published a
        ``set_list`` does not pay for its length, and a length costs log2 20, which cannot tell the 21 lengths that the
        paper's generator draws from 5 to 25.

    Examples
    --------
    >>> program = "sequence_0 = range_func_up(3, 200)\noutput = sequence_0"
    >>> round(bits(program), 2)  # log2 25 + 16, and log2 25 + log2 2 for the end
    26.29
    >>> bits(program) == bits(program, strict=True)
    True

    References
    ----------
    Yoran et al. (2025), arXiv:2503.13992.
    """
    lines, output = parse(program)
    if strict:
        return math.fsum(math.log2(size) for size, _ in _choices(lines, output))
    total = [math.log2(CHOICES) * (len(lines) + 1), math.log2(len(lines) + 1)]
    for i, line in enumerate(lines):
        for letter, value in arguments(line):
            match letter:
                case "r":
                    total.append(math.log2(i + 1))
                case "v":
                    total.append(8.0)
                case "n":
                    total.append(math.log2(20))
                case "l":
                    total.append(8.0 * len(value) if isinstance(value, tuple) else 8.0)
                case _:
                    total.append(3.0)
    return math.fsum(total)


def encode(program: str) -> bytes:
    r"""Return a program as bits, padded to bytes: a prefix code within two bits of ``bits(program, strict=True)``.

    Examples
    --------
    >>> program = "sequence_0 = repeat_num(20, 7)\noutput = sequence_0"
    >>> len(encode(program)), decode(encode(program)) == program
    (3, True)
    """
    low, size = 0, 1
    # The interval [low, low + 1) / size, narrowed by every choice.
    for choices, chosen in _choices(*parse(program)):
        low, size = low * choices + chosen, size * choices
    # The first point of a grid that is finer than half the interval.
    length = size.bit_length() + 1
    code = -((-low << length) // size)
    return (code << -length % 8).to_bytes((length + 7) // 8, "big")


def decode(code: bytes) -> str:
    """Return the program that `encode` wrote; what follows its bits is not read.

    Raises
    ------
    ValueError
        If the bits are no program.
    """
    point = Fraction(int.from_bytes(code, "big"), 1 << 8 * len(code))
    lines: list[Line] = []

    def take(choices: int) -> int:
        nonlocal point
        point *= choices
        chosen = int(point)
        point -= chosen
        return chosen

    # A program of so many bits has no more lines than this, as each costs more than four.
    for i in range(2 * len(code) + 1):
        choice = take(CHOICES)
        if choice == _END:
            output = take(i + 1)
            if output >= i:
                break
            return write(lines, output)
        if choice >= len(_NAMES):
            break
        name = _NAMES[choice]
        given: list[Argument] = []
        for letter in FUNCTIONS[name].takes:
            if letter == "r":
                given.append(take(i + 1))
                if given[-1] == i:
                    raise ValueError(f"the bits are no program: line {i} refers to itself")
            elif letter == "l":
                given.append(tuple(take(256) for _ in range(take(len(DOMAIN["n"])) + 1)))
            else:
                given.append(DOMAIN[letter][take(len(DOMAIN[letter]))])
        lines.append((name, tuple(given)))
    raise ValueError("the bits are no program")


def _choices(lines: list[Line], output: int) -> Iterator[tuple[int, int]]:
    """Yield (number of choices, the one taken) in the order in which a decoder meets them."""
    for i, line in enumerate(lines):
        yield CHOICES, _NAMES.index(line[0])
        for letter, value in arguments(line):
            if isinstance(value, tuple):
                yield len(DOMAIN["n"]), len(value) - 1
                for v in value:
                    yield 256, v
            elif letter == "r":
                yield i + 1, value
            else:
                yield len(DOMAIN[letter]), value - DOMAIN[letter][0]
    yield CHOICES, _END
    yield len(lines) + 1, output
