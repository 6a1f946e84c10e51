"""How well programs compress sequences: accuracy, precision and compression rate, beside gzip and others."""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from plogp.text.kolmogorov.coding import bits
from plogp.text.kolmogorov.language import run
from plogp.text.sandbox import run_python

__all__ = ["Evaluation", "baseline_bits", "evaluate", "run_program"]

LANGUAGES = ("dsl", "python")
#: Printed before the output, which the program's own prints may precede.
_MARK = b"\x00plogp-output\x00"


@dataclass(frozen=True)
class Evaluation:
    """What programs achieve on sequences.

    Attributes
    ----------
    accuracy : float
        Share of sequences with an exact program.
    precision : float
        Bits of the exact programs over the bits of their sequences under gzip; below 1 they compress. NaN without any.
    compression_rate : float
        (Bits of the exact programs + gzip bits of the remaining sequences, taken together + a bit a sequence) over
        (8 x all values); lower is better.
    gzip_rate : float
        gzip of all sequences taken together over the same.
    programs : list of str or None
        The exact program of each sequence, the shortest of those proposed.
    errors : list of str
        Why each sequence has none; empty where it has.
    """

    accuracy: float
    precision: float
    compression_rate: float
    gzip_rate: float
    n: int
    programs: list[str | None] = field(repr=False)
    errors: list[str] = field(repr=False)


def run_program(program: str, seconds: float = 5.0, memory_mb: int = 256) -> list[int]:
    r"""Return the list `output` that a Python program leaves behind, run by `plogp.text.sandbox.run_python`.

    Raises
    ------
    ValueError
        If it fails, runs out of time or memory, or its `output` is no list of integers.

    Examples
    --------
    >>> run_program("output = [i * i % 7 for i in range(5)]")
    [0, 1, 4, 2, 2]
    """
    tail = "\n\nimport sys as _s; _s.stdout.flush(); "
    tail += f"_s.stdout.buffer.write({_MARK!r} + repr([int(v) for v in output]).encode())"
    result = run_python(program + tail, seconds=seconds, memory_mb=memory_mb)
    if result.timed_out:
        raise ValueError(f"the program ran longer than {seconds:g} s")
    if not result.ok:
        last = result.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(f"the program failed: {last[-1] if last else f'exit code {result.returncode}'}")
    _, mark, shown = result.stdout.rpartition(_MARK)
    if not mark:
        raise ValueError("the program ended before it gave an output")
    shown = shown.strip(b"[]\n")
    try:
        return [int(v) for v in shown.split(b",")] if shown.strip() else []
    except ValueError:
        raise ValueError("the program's output is no list of integers") from None


def evaluate(
    proposals: Callable[[list[int]], Iterable[str]] | Sequence[str | Iterable[str] | None],
    sequences: Sequence[Sequence[int] | bytes],
    *,
    language: str = "dsl",
    cost: Callable[[str], float] | None = None,
    attempts: int = 16,
    seconds: float = 5.0,
    memory_mb: int = 256,
) -> Evaluation:
    r"""Run programs, compare what they print with the sequences, and count bits.

    Parameters
    ----------
    proposals : callable or sequence
        ``propose(sequence) -> programs`` (a `Searcher`, a language model behind a function), or for each sequence a
        program, several, or None.
    sequences : sequence of byte strings or of lists of values 0..255
        What is to be printed.
    language : {"dsl", "python"}
        Of the programs: the one of `run`, or Python that leaves a list `output`, run in a process of its own.
    cost : callable, optional
        Bits of a program. By default `bits` for the first language, and 8 bits for each byte of the program under zlib
        for Python.
    attempts : int
        How many programs of one proposal are tried at most.
    seconds, memory_mb : float, int
        Limits of a Python program.

    Raises
    ------
    ValueError
        For an unknown language, no sequences, values outside 0..255, or another number of proposals than sequences.

    Examples
    --------
    >>> from plogp.text.kolmogorov import Searcher
    >>> result = evaluate(Searcher(), [bytes(range(100)), bytes([3, 3, 4, 9]) * 9])
    >>> result.accuracy, result.compression_rate < 0.3 < result.gzip_rate
    (1.0, True)

    References
    ----------
    Yoran et al. (2025), arXiv:2503.13992.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    data = [_bytes(x, i) for i, x in enumerate(sequences)]
    if not data or not any(data):
        raise ValueError("sequences must hold at least one value")
    if not callable(proposals) and len(proposals) != len(data):
        raise ValueError(f"expected a proposal for each of the {len(data)} sequences, got {len(proposals)}")
    price = cost or (bits if language == "dsl" else lambda program: 8.0 * len(zlib.compress(program.encode(), 9)))

    def execute(program: str) -> list[int]:
        return run(program) if language == "dsl" else run_program(program, seconds, memory_mb)

    chosen: list[str | None] = []
    errors: list[str] = []
    for i, x in enumerate(data):
        given = proposals(list(x)) if callable(proposals) else proposals[i]
        tried = [given] if isinstance(given, str) else list(_first(given or (), attempts))
        best, why = None, "no program"
        for program in tried:
            try:
                printed = execute(program)
            except ValueError as error:
                why = str(error)
                continue
            if printed != list(x):
                why = "the program prints something else"
            elif best is None or price(program) < price(best):
                best = program
        chosen.append(best)
        errors.append("" if best is not None else why)
    own = sum(price(p) for p in chosen if p is not None)
    theirs = sum(_gzip(x) for x, p in zip(data, chosen, strict=True) if p is not None)
    rest = b"".join(x for x, p in zip(data, chosen, strict=True) if p is None)
    total = 8 * sum(map(len, data))
    return Evaluation(
        accuracy=sum(p is not None for p in chosen) / len(data),
        precision=own / theirs if theirs else math.nan,
        compression_rate=(own + (_gzip(rest) if rest else 0.0) + len(data)) / total,
        gzip_rate=_gzip(b"".join(data)) / total,
        n=len(data),
        programs=chosen,
        errors=errors,
    )


def baseline_bits(sequences: Sequence[Sequence[int] | bytes], predictor: Any = None) -> dict[str, float]:
    """Return what the sequences, taken together, cost in bits: raw, under gzip and xz, and under a language model.

    Parameters
    ----------
    sequences : sequence of byte strings or of lists of values 0..255
        As in `evaluate`.
    predictor : Predictor, optional
        Adds ``"lm"``: the arithmetic coder of `plogp.text.compress` under this model.

    Examples
    --------
    >>> baseline_bits([bytes(100)])["raw"]
    800.0
    """
    data = b"".join(_bytes(x, i) for i, x in enumerate(sequences))
    out = {"raw": 8.0 * len(data), "gzip": _gzip(data), "xz": 8.0 * len(lzma.compress(data))}
    if predictor is not None:
        from plogp.text.compression import compress

        out["lm"] = 8.0 * len(compress(data, predictor))
    return out


def _first(programs: Iterable[str], n: int) -> Iterable[str]:
    for _, program in zip(range(n), programs):
        yield program


def _bytes(x: Sequence[int] | bytes, i: int) -> bytes:
    try:
        return bytes(x)
    except (ValueError, TypeError):
        raise ValueError(f"sequences[{i}] must hold values from 0 to 255") from None


def _gzip(data: bytes) -> float:
    return 8.0 * len(zlib.compress(data, 9))
