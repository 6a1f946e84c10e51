"""``plogp measure``: the calculator against NumPy sums written out here."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest

import plogp
from plogp.cli import main
from plogp.cli.measure import JOINT, PYTHON_ONLY

P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
PT, QT = "0.5 0.3 0.2", "0.2, 0.2, 0.6"


def value(argv: list[str], capsys) -> float:
    assert main(["measure", *argv]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return float(captured.out.split()[0])


def kl(p, q):
    return float(np.sum(p * np.log(p / q)))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["KL"], kl(P, Q)),
        (["kl", "--base", "2"], kl(P, Q) / math.log(2)),
        (["reverse-KL"], kl(Q, P)),
        (["JS"], (kl(P, (P + Q) / 2) + kl(Q, (P + Q) / 2)) / 2),
        (["sqrt_js"], math.sqrt((kl(P, (P + Q) / 2) + kl(Q, (P + Q) / 2)) / 2)),
        (["TV"], float(np.abs(P - Q).sum() / 2)),
        (["PSI"], kl(P, Q) + kl(Q, P)),
        (["renyi", "--alpha", "2"], math.log(np.sum(P**2 / Q))),
        (["renyi", "--alpha=2", "--base", "10"], math.log10(np.sum(P**2 / Q))),
        (["renyi", "--param", "alpha=2"], math.log(np.sum(P**2 / Q))),
        (["cross-entropy"], float(-np.sum(P * np.log(Q)))),
    ],
)
def test_two_distributions(argv, expected, capsys):
    assert value([*argv, "--p", PT, "--q", QT], capsys) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["entropy"], float(-np.sum(P * np.log(P)))),
        (["H", "--base", "2"], float(-np.sum(P * np.log2(P)))),
        (["renyi", "--alpha", "2"], -math.log(np.sum(P**2))),
        (["tsallis", "--param", "q=3"], float((1 - np.sum(P**3)) / 2)),
        (["gini-simpson"], float(1 - np.sum(P**2))),
        (["perplexity"], math.exp(-np.sum(P * np.log(P)))),
        (["min"], -math.log(0.5)),
    ],
)
def test_one_distribution(argv, expected, capsys):
    assert value([*argv, "--p", PT], capsys) == pytest.approx(expected, rel=1e-11)


def test_joint_table(capsys):
    table = np.array([[0.4, 0.1], [0.1, 0.4]])
    outer = np.outer(table.sum(1), table.sum(0))
    mi = float(np.sum(table * np.log(table / outer)))
    text = "0.4 0.1; 0.1 0.4"
    assert value(["MI", "--joint", text], capsys) == pytest.approx(mi)
    assert value(["mutual-information", "--joint", "4 1\n1 4", "--normalize"], capsys) == pytest.approx(mi)
    assert value(["MI", "--joint", text, "--base", "2"], capsys) == pytest.approx(mi / math.log(2))
    assert value(["conditional_entropy", "--joint", text], capsys) == pytest.approx(math.log(2) - mi)
    for name in JOINT:
        value([name, "--joint", text], capsys)


def test_direction_is_that_of_p_first(capsys):
    # KL((1,0) ‖ (1/2,1/2)) is log 2, the other way round infinite.
    assert value(["KL", "--p", "1 0", "--q", "1/2 1/2"], capsys) == pytest.approx(math.log(2))
    assert value(["KL", "--p", "1/2 1/2", "--q", "1 0"], capsys) == math.inf


def test_conditional_entropy_is_of_rows_given_columns(capsys):
    # The row is a function of the column, not the other way round.
    assert value(["conditional_entropy", "--joint", "1/4 1/4 0; 0 0 1/2"], capsys) == pytest.approx(0, abs=1e-15)
    assert value(["conditional_entropy", "--joint", "1/4 0; 1/4 0; 0 1/2"], capsys) == pytest.approx(math.log(2) / 2)


def test_every_listed_name_can_be_calculated(capsys):
    for name in plogp.divergences():
        if name not in PYTHON_ONLY:
            value([name, "--p", PT, "--q", QT], capsys)
    for name in plogp.measures.entropies():
        value([name, "--p", PT], capsys)
    assert main(["measure", "--list"]) == 0
    listed = capsys.readouterr().out
    for name in [*plogp.divergences(), *plogp.measures.entropies(), *JOINT]:
        assert (name in listed) != (name in PYTHON_ONLY)


@pytest.mark.parametrize("where", ["before", "after"])
def test_stdin(where, capsys, monkeypatch):
    def given(text: str, *argv: str) -> list[float]:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        words = ["measure", argv[0], "-", *argv[1:]] if where == "before" else ["measure", *argv, "-"]
        assert main(words) == 0
        return [float(line.split()[0]) for line in capsys.readouterr().out.splitlines()]

    assert given("0.5 0.5\n0.9 0.1\n", "KL") == pytest.approx([kl(np.array([0.5, 0.5]), np.array([0.9, 0.1]))])
    assert given("0.5,0.5\n\n1 0\n0.25 0.75", "entropy", "--base", "2") == pytest.approx([1.0, 0.0, 0.8112781244591328])
    assert given("4 1\n1 4\n", "MI", "--normalize") == pytest.approx([0.19274475702175747])
    # Of a name that is both, two lines are two distributions.
    assert len(given("0.5 0.5\n0.9 0.1\n", "renyi")) == 1
    assert len(given("0.5 0.5\n0.9 0.1\n0.3 0.7", "renyi")) == 3


def test_json(capsys):
    assert main(["measure", "KL", "--p", "1/2 1/2", "--q", "1 0", "--base", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "kl", "value": "inf", "unit": "bits", "parameters": {}}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "needs a name"),
        (["KLL", "--p", PT, "--q", QT], "did you mean 'kl'"),
        (["entropie", "--p", PT], "did you mean"),
        (["KL", "--p", "0.5 0.6", "--q", "0.5 0.5"], "p must sum to 1"),
        (["KL", "--p", "0.5 0.6", "--q", "0.5 0.5"], "--normalize"),
        (["KL", "--p", "1.5 -0.5", "--q", "0.5 0.5"], "negative"),
        (["KL", "--p", "nan 1", "--q", "0.5 0.5"], "NaN"),
        (["KL", "--p", "0.5 0.5", "--q", "1"], "shape"),
        (["KL", "--p", "a b", "--q", "0.5 0.5"], "'a' is not a number"),
        (["KL", "--p", "1/0 1", "--q", "0.5 0.5"], "'1/0' is not a number"),
        (["KL", "--p", "", "--q", "0.5 0.5"], "--p: no numbers"),
        (["KL", "--p", "0.5 0.5; 1 0", "--q", "0.5 0.5"], "--p is one distribution, got 2 rows"),
        (["KL", "--p", PT], "give --q"),
        (["KL", "--q", PT], "needs --p"),
        (["entropy", "--p", PT, "--q", QT], "leave --q out"),
        (["KL", "--alpha", "2", "--p", PT, "--q", QT], "takes no parameters"),
        (["renyi", "--alpha", "--p", PT, "--q", QT], "--alpha needs a value"),
        (["renyi", "--alpha", "x", "--p", PT, "--q", QT], "--alpha: 'x' is not a number"),
        (["renyi", "--alpha", "-1", "--p", PT, "--q", QT], "alpha"),
        (["renyi", "--param", "alpha", "--p", PT], "NAME=VALUE"),
        (["KL", "0.5", "0.5"], "unexpected '0.5'"),
        (["MI", "--p", PT], "needs a joint table"),
        (["MI", "--joint", "0.5 0.5; 1"], "different lengths"),
        (["KL", "--joint", "0.5 0.5"], "takes no --joint"),
        (["nmi", "--joint", "0.4 0.1; 0.1 0.4", "--base", "2"], "takes no --base"),
        (["KL", "--p", PT, "--q", QT, "--base", "1"], "--base must be a positive number other than 1"),
        (["KL", "--p", PT, "--q", QT, "--base", "two"], "--base must be e or a number"),
        (["tv", "--p", PT, "--q", QT, "--base", "2"], "base"),
        (["umegaki", "--p", PT, "--q", QT], "in Python"),
    ],
)
def test_mistakes_are_one_line(argv, words, capsys):
    assert main(["measure", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("plogp: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_overflow_is_one_line(capsys, recwarn):
    assert main(["measure", "JS", "--p", "1e308 1e308", "--q", "1 1", "--normalize"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not recwarn.list
