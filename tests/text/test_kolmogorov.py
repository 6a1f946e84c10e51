"""The KoLMogorov test: the interpreter against Python, the code against its own decoder, the searcher against truth."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.text import kolmogorov as k
from plogp.text.kolmogorov.language import parse, write
from plogp.trace.predictors import ArrayPredictor


def program(*calls: str, output: int | None = None) -> str:
    lines = [f"sequence_{i} = {call}" for i, call in enumerate(calls)]
    return "\n".join([*lines, f"output = sequence_{len(calls) - 1 if output is None else output}"])


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (["range_func_up(3, 7)"], [3, 4, 5, 6, 7]),
        (["range_func_up(7, 3)"], []),
        (["range_func_interval(10, 20, 3)"], [10, 13, 16, 19]),
        (["repeat_num(4, 9)"], [9, 9, 9, 9]),
        (["set_list([5, 0, 255])"], [5, 0, 255]),
        (["set_list([1, 2])", "repeat_list(3, sequence_0)"], [1, 2, 1, 2, 1, 2]),
        (["set_list([1, 2, 3])", "reverse_list(sequence_0)"], [3, 2, 1]),
        (["set_list([1, 2, 1])", "substitute(sequence_0, 1, 9)"], [9, 2, 9]),
        (["range_func_up(0, 9)", "get_subsequence_with_jumps(sequence_0, 4)"], [0, 4, 8]),
        (["range_func_up(0, 9)", "get_subsequence_between_indices(sequence_0, 2, 4)"], [2, 3]),
        (["set_list([4, 9, 1, 9])", "max_n(2, sequence_0)"], [9, 9]),
        (["set_list([4, 9, 1, 9])", "min_n(2, sequence_0)"], [1, 4]),
        (["set_list([4, 9])", "add_item_list(3, sequence_0)"], [7, 12]),
        (["set_list([4, 9])", "subtract_item_list(3, sequence_0)"], [1, 6]),
        (["set_list([4, 9])", "modulo_item_list(3, sequence_0)"], [1, 0]),
        (["set_list([0, 3, 4])", "filter(is_even, sequence_0)"], [0, 4]),
        (["set_list([0, 3, 4])", "filter(is_odd, sequence_0)"], [3]),
        (["set_list([0, 3, 4])", "filter(is_not_zero, sequence_0)"], [3, 4]),
        (["set_list([1, 2, 3])", "scan_add(sequence_0)"], [1, 3, 6]),
        (["set_list([1, 2, 3])", "set_list([10, 20])", "add_two_lists(sequence_0, sequence_1)"], [11, 22]),
        (["set_list([9, 8])", "set_list([1, 2])", "subtract_two_lists(sequence_0, sequence_1)"], [8, 6]),
        (["set_list([9, 8, 7])", "set_list([4, 0, 4])", "modulo_two_lists(sequence_0, sequence_1)"], [1, 3]),
        (["set_list([1])", "set_list([2, 3])", "concatenate(sequence_0, sequence_1)"], [1, 2, 3]),
        (["set_list([1, 5])", "set_list([2, 3, 4])", "interleave(sequence_0, sequence_1)"], [1, 2, 5, 3, 4]),
    ],
)
def test_functions(calls: list[str], expected: list[int]) -> None:
    text = program(*calls)
    assert k.run(text) == expected
    assert k.decode(k.encode(text)) == text
    assert write(*parse(text)) == text


def test_drawn_programs_against_their_comments_and_their_code() -> None:
    for text, sequence in k.sample(300, rng=1, comments=True):
        assert k.run(text) == sequence
        assert sequence
        assert 0 <= min(sequence) <= max(sequence) <= 255
        values = [line.split("# ")[1] for line in text.splitlines()[:-1]]
        assert values[-1] == str(sequence)
        code = k.encode(text)
        assert k.run(k.decode(code + b"\xa5\x00")) == sequence
        strict = k.bits(text, strict=True)
        assert strict <= 8 * len(code) < strict + 9
        assert strict >= k.bits(text)
    assert k.sample(3, rng=5) == k.sample(3, rng=5)
    assert k.sample(0, rng=5) == []


def test_bits_by_hand() -> None:
    line, eight = math.log2(25), 8.0
    cases = {
        program("range_func_up(1, 2)"): line + 16,
        program("range_func_interval(1, 2, 3)"): line + 16 + 3,
        program("repeat_num(5, 1)"): line + 8 + math.log2(20),
        program("set_list([1, 2, 3])"): line + 24,
    }
    for text, expected in cases.items():
        assert k.bits(text) == pytest.approx(expected + line + 1, abs=1e-12)
    two = program("repeat_num(5, 1)", "repeat_list(3, sequence_0)")
    rest = line + 3 + 1 + line + math.log2(3)
    assert k.bits(two) == pytest.approx(line + eight + math.log2(20) + rest, abs=1e-12)
    assert k.bits(two, strict=True) - k.bits(two) == pytest.approx(math.log2(25 / 20), abs=1e-12)
    assert k.bits(program("set_list([1, 2])"), strict=True) - k.bits(program("set_list([1, 2])")) == pytest.approx(line)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "output = sequence_0",
        "sequence_0 = set_list([1])",
        "sequence_1 = set_list([1])\noutput = sequence_1",
        program("set_list([256])"),
        program("set_list([True])"),
        program("set_list([])"),
        program("repeat_num(26, 1)"),
        program("repeat_num(5, 1.0)"),
        program("repeat_list(2, sequence_0)"),
        program("unknown(1)"),
        program("range_func_up(1)"),
        program("range_func_up(a=1, b=2)"),
        program("range_func_up(1, __import__('os'))"),
        "import os\n" + program("set_list([1])"),
        program("set_list([1])") + "\nsequence_1 = set_list([1])",
        "sequence_0 = (",
        program("set_list([0])", "modulo_item_list(0, sequence_0)"),
        "x" * 10 + "(" * 5000,
    ],
)
def test_what_is_no_program_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"line|program|modulo"):
        k.run(text)


def test_programs_that_swell_are_stopped() -> None:
    calls = ["set_list([1, 2, 3, 4])"] + [f"repeat_list(9, sequence_{i})" for i in range(9)]
    with pytest.raises(ValueError, match="65536 are the most"):
        k.run(program(*calls))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40))
def test_any_bits_are_a_program_or_an_error(code: bytes) -> None:
    try:
        text = k.decode(code)
    except ValueError:
        return
    parse(text)
    again = k.encode(text)
    assert k.decode(again) == text


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 40), st.integers(0, 255), st.just(0)),
            st.tuples(st.integers(2, 12), st.integers(0, 100), st.integers(1, 8)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_searcher_prints_the_sequence(parts: list[tuple[int, int, int]]) -> None:
    x = [start + i * step for n, start, step in parts for i in range(n)]
    x = [v for v in x if v < 256] or [0]
    found = list(k.Searcher(literal=True).propose(x))
    assert found
    assert all(k.run(text) == x for text in found)
    costs = [k.bits(text, strict=True) for text in found]
    assert costs == sorted(costs)


def test_searcher_finds_what_is_there() -> None:
    search = k.Searcher()
    best = {
        "run": ([7] * 20, 30),
        "range": (list(range(30, 90)), 30),
        "down": (list(range(90, 30, -1)), 40),
        "steps": (list(range(0, 200, 7)), 40),
        "block": ([3, 1, 4, 1, 5] * 8, 75),
        "interleaved": ([v for pair in zip(range(20), range(100, 120), strict=True) for v in pair], 75),
        "sums": (np.cumsum([3, 1, 2] * 6).tolist(), 70),
    }
    for name, (x, most) in best.items():
        text = next(search.propose(x))
        assert k.run(text) == x
        assert k.bits(text, strict=True) < most, name
    assert list(search.propose(np.random.default_rng(0).integers(0, 256, 60).tolist())) == []
    assert list(search.propose([])) == []
    with pytest.raises(ValueError, match="0 to 255"):
        list(search.propose([256]))
    with pytest.raises(ValueError, match="budget"):
        k.Searcher(budget=0)


def test_evaluation_by_hand() -> None:
    good, bad = program("repeat_num(25, 1)"), program("repeat_num(24, 1)")
    sequences = [bytes([1] * 25), bytes([2] * 10)]
    found = k.evaluate([[bad, "nonsense", good], None], sequences)
    gzips = [8 * len(zlib.compress(x, 9)) for x in sequences]
    assert found.accuracy == 0.5
    assert found.precision == pytest.approx(k.bits(good) / gzips[0])
    assert found.compression_rate == pytest.approx((k.bits(good) + gzips[1] + 2) / (8 * 35))
    assert found.gzip_rate == pytest.approx(8 * len(zlib.compress(b"".join(sequences), 9)) / (8 * 35))
    assert found.programs == [good, None]
    assert found.errors == ["", "no program"]
    none = k.evaluate([bad, bad], sequences)
    assert (none.accuracy, none.errors[0]) == (0.0, "the program prints something else")
    assert math.isnan(none.precision)


def test_python_programs_run_in_the_sandbox() -> None:
    programs = ["print('noise')\noutput = [i * i % 256 for i in range(40)]", "output = 1 / 0", "while True: pass"]
    squares = [i * i % 256 for i in range(40)]
    found = k.evaluate(programs[:2], [squares, [1]], language="python", seconds=20.0)
    assert found.accuracy == 0.5
    assert "ZeroDivisionError" in found.errors[1]
    assert "longer than" in k.evaluate(programs[2:], [[2]], language="python", seconds=0.5).errors[0]
    for wrong in ("output = 'text'", "x = 1", "import os; os._exit(0)"):
        with pytest.raises(ValueError, match="the program"):
            k.run_program(wrong)
    assert k.run_program("output = []") == []


def test_baselines() -> None:
    data = [bytes([1, 2] * 40), bytes(10)]
    found = k.baseline_bits(data, ArrayPredictor(np.zeros(256)))
    assert found["raw"] == 8 * 90
    assert found["gzip"] == 8 * len(zlib.compress(b"".join(data), 9))
    assert 8 * 90 < found["lm"] < 8 * 90 + 8 * 70


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="language must be"):
        k.evaluate([None], [b"a"], language="lisp")
    with pytest.raises(ValueError, match="a proposal for each"):
        k.evaluate([None, None], [b"a"])
    with pytest.raises(ValueError, match=r"sequences\[0\]"):
        k.evaluate([None], [[300]])
    with pytest.raises(ValueError, match="at least one value"):
        k.evaluate([], [])
    with pytest.raises(ValueError, match="must not be negative"):
        k.sample(-1)
    with pytest.raises(ValueError, match="probability"):
        k.sample(1, concat=2.0)
    with pytest.raises(ValueError, match="length"):
        k.sample(1, length=(0, 30))
