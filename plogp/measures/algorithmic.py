"""Algorithmic probability: universal priors of prefix machines, code lengths, and the primes as a test case.

The complexity K(x) of a string is the length of the shortest program that prints it, its universal
probability m(x) = Σ 2^-|p| over all programs p that print it. The coding theorem says -log2 m(x) = K(x) + O(1):
simple strings are those that random programs print often. On toy machines both can be counted.

The code lengths live in `codes`, the primes in `primes`; their names are repeated here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from plogp.measures.codes import PrequentialCode, code_length, prequential_code_length
from plogp.measures.primes import omega_clt, prime_code_report

__all__ = [
    "PrequentialCode",
    "UniversalPrior",
    "bit_tape_machine",
    "code_length",
    "doubling_machine",
    "omega_clt",
    "prequential_code_length",
    "prime_code_report",
    "universal_prior",
]

#: A machine is called with `read`, which returns the next bit of the program, and returns what it prints, or
#: None if it has run for too long. Having read exactly its program, its programs are prefix-free.
Machine = Callable[[Callable[[], int]], "str | None"]


@dataclass(frozen=True, eq=False)
class UniversalPrior:
    """Complexities and universal probabilities of strings, counted over all programs up to a length.

    Attributes
    ----------
    complexity : dict of str to int or None
        K(x) in bits; None if no program of at most `max_length` bits prints x.
    log2_probability : dict of str to float
        log2 of the mass of the programs found, a lower bound of log2 m(x); -inf if there are none.
    halting_mass : float
        Σ 2^-|p| over all programs that halt, at most 1 (Kraft).
    undecided_mass : float
        Mass of longer programs and of those that ran out of steps; m(x) exceeds what was found by at most this.
    max_length : int
        Longest program tried, in bits.
    """

    complexity: dict[str, int | None]
    log2_probability: dict[str, float]
    halting_mass: float
    undecided_mass: float
    max_length: int

    def coding_gap(self) -> float:
        """Return the largest K(x) + log2 m(x) over the strings, the constant of the coding theorem; >= 0.

        Raises
        ------
        ValueError
            If some string was not printed by any program.
        """
        gaps = []
        for string, length in self.complexity.items():
            if length is None:
                raise ValueError(f"no program of at most {self.max_length} bits prints {string!r}")
            gaps.append(length + self.log2_probability[string])
        return max(gaps)


class _NeedsBit(Exception):  # noqa: N818 - a signal, not an error
    """The machine has read all of the tape it was given."""


def universal_prior(strings: Iterable[str], machine: Machine | None = None, *, max_length: int = 16) -> UniversalPrior:
    """Return K(x) and m(x) of `strings` on a prefix machine, by running all programs up to `max_length` bits.

    Parameters
    ----------
    strings : iterable of str
        The outputs of interest.
    machine : callable, optional
        ``machine(read) -> str or None``; `doubling_machine` by default. It calls ``read()`` for each bit of
        its program, which is therefore complete by itself and never the beginning of another.
    max_length : int
        Longest program, 1 to 24 bits; the time doubles with each.

    Raises
    ------
    ValueError
        For an unfit `max_length` or no strings.

    Examples
    --------
    >>> prior = universal_prior(["0", "00", "0000", "0110"], max_length=12)
    >>> prior.complexity  # append, append or double, ..., stop: 2 bits each
    {'0': 4, '00': 6, '0000': 8, '0110': 10}
    >>> prior.log2_probability["0000"] > prior.log2_probability["0110"]
    True
    >>> prior.halting_mass + prior.undecided_mass
    1.0

    References
    ----------
    L. A. Levin 1974; R. Solomonoff 1964; A. Kolpakov, A. Rocke 2023, arXiv:2308.10817.
    """
    wanted = list(dict.fromkeys(strings))
    if not wanted:
        raise ValueError("strings is empty; name at least one output")
    if not 1 <= max_length <= 24:
        raise ValueError(f"max_length must lie between 1 and 24, got {max_length!r}")
    run = doubling_machine if machine is None else machine
    shortest: dict[str, int] = {}
    mass = dict.fromkeys(wanted, 0.0)
    halting = undecided = 0.0
    open_tapes: list[tuple[int, ...]] = [()]
    while open_tapes:
        tape = open_tapes.pop()
        try:
            output = run(_reader(tape))
        except _NeedsBit:
            if len(tape) < max_length:
                open_tapes += [(*tape, 0), (*tape, 1)]
            else:
                undecided += 2.0 ** -len(tape)
            continue
        if output is None:
            undecided += 2.0 ** -len(tape)
            continue
        halting += 2.0 ** -len(tape)
        if output in mass:
            mass[output] += 2.0 ** -len(tape)
            shortest[output] = min(shortest.get(output, len(tape)), len(tape))
    return UniversalPrior(
        {x: shortest.get(x) for x in wanted},
        {x: math.log2(m) if m > 0 else -math.inf for x, m in mass.items()},
        halting,
        undecided,
        max_length,
    )


def _reader(tape: tuple[int, ...]) -> Callable[[], int]:
    bits = iter(tape)

    def read() -> int:
        for bit in bits:
            return bit
        raise _NeedsBit

    return read


def doubling_machine(read: Callable[[], int]) -> str:
    """Run a program of two-bit commands: 00 print 0, 01 print 1, 10 print all so far again, 11 stop.

    Not universal, but every program halts, so K and m can be counted without exception.

    >>> program = iter([0, 0, 0, 1, 1, 0, 1, 1])
    >>> doubling_machine(lambda: next(program))
    '0101'
    """
    output = ""
    while True:
        first, second = read(), read()
        if first == 0:
            output += str(second)
        elif second == 0:
            output += output
        else:
            return output


def bit_tape_machine(read: Callable[[], int], max_steps: int = 200) -> str | None:
    """Run a program for a universal machine with a two-way tape of bits, eight commands of three bits.

    000 move right, 001 move left, 010 flip the bit, 011 print it, 100 if it is 0 go behind the matching 101,
    101 go back to the matching 100, 110 set it to the next bit of the program (read when executed, after the
    commands: data), 111 end of the commands. With unlimited steps and program length it computes whatever can
    be computed; None after `max_steps` commands, or if the brackets do not match.

    >>> program = iter([0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1])  # print, flip, print, end
    >>> bit_tape_machine(lambda: next(program))
    '01'
    """
    commands: list[int] = []
    opened: list[int] = []
    jump: dict[int, int] = {}
    while True:
        command = 4 * read() + 2 * read() + read()
        if command == 7:
            break
        if command == 4:
            opened.append(len(commands))
        elif command == 5:
            if not opened:
                return None
            jump[len(commands)] = start = opened.pop()
            jump[start] = len(commands)
        commands.append(command)
    if opened:
        return None
    tape: dict[int, int] = {}
    output, here, at = "", 0, 0
    for _ in range(max_steps):
        if at == len(commands):
            return output
        command, bit = commands[at], tape.get(here, 0)
        if command in (0, 1):
            here += 1 if command == 0 else -1
        elif command == 2:
            tape[here] = 1 - bit
        elif command == 3:
            output += str(bit)
        elif command == 6:
            tape[here] = read()
        elif (command == 4 and bit == 0) or command == 5:
            at = jump[at] - (command == 5)
        at += 1
    return None
