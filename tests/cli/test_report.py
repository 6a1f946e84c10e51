"""``plogp report`` and ``plogp demo``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from plogp.cli import main


def write(path: Path, n: int = 600, shift: float = 0.0, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=n) + shift, rng.integers(0, 2, n)
    z = y + rng.normal(size=n)
    rows = "\n".join(f"{a:.6f},{b:.6f},{'yes' if c else 'no'}" for a, b, c in zip(x, z, y))
    path.write_text("x,z,label\n" + rows + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def same(tmp_path):
    return write(tmp_path / "a.csv", seed=1), write(tmp_path / "b.csv", seed=2)


@pytest.fixture
def moved(tmp_path):
    return write(tmp_path / "a.csv", seed=1), write(tmp_path / "c.csv", seed=2, shift=1.0)


def test_two_tables(moved, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["report", *moved, "--target", "label", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("1 of 3 columns changed beyond noise: x ")
    assert "1 of 2 columns carries information about label: z" in captured.out
    assert str(out / "report.html") in captured.out
    assert sorted(os.listdir(out)) == ["report.html", "report.json"]
    document = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [r["column"] for r in document["drift"] if r["drifted"]] == ["x"]


def test_default_directory(same, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", same[0]]) == 0
    assert (tmp_path / "plogp-report" / "report.html").is_file()
    assert "plogp-report/report.json" in capsys.readouterr().out


def test_json_on_stdout_is_the_file(same, tmp_path, capsys):
    assert main(["report", *same, "--json", "--base", "2", "--out", str(tmp_path / "o")]) == 0
    out = capsys.readouterr().out
    assert out == (tmp_path / "o" / "report.json").read_text(encoding="utf-8")
    assert json.loads(out)["drift"][0]["js"]["unit"] == "bits"


def test_fail_on(same, moved, tmp_path, capsys):
    out = ["--out", str(tmp_path / "o")]
    assert main(["report", *same, "--fail-on", "drift", *out]) == 0
    assert main(["report", *moved, "--fail-on", "drift", *out]) == 1
    # The files are there either way: a pipeline keeps them as an artefact.
    assert (tmp_path / "o" / "report.json").is_file()
    assert main(["report", same[0], "--target", "label", "--fail-on", "leak", *out]) == 0
    leaky = tmp_path / "leak.csv"
    text = Path(same[0]).read_text(encoding="utf-8").splitlines()
    lines = [text[0] + ",copy", *(f"{line},{'1' if line.endswith('yes') else '0'}" for line in text[1:])]
    leaky.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["report", str(leaky), "--target", "label", "--fail-on", "leak", *out]) == 1
    assert "Possible leak: copy" in capsys.readouterr().out


def test_kinds_and_columns(same, tmp_path, capsys):
    argv = ["report", same[0], "--columns", "x, z", "--as", "z=categorical", "--json", "--out", str(tmp_path / "o")]
    assert main(argv) == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert [(c["name"], c["kind"]) for c in columns] == [("x", "continuous"), ("z", "categorical")]


BAD = {
    "missing file": (["nowhere.csv"], None),
    "empty file": (["bad.csv"], b""),
    "header only": (["bad.csv"], b"a,b\n"),
    "one row": (["bad.csv"], b"a,b\n1,2\n"),
    "binary junk": (["bad.csv"], bytes(range(256)) * 40),
    "png": (["bad.parquet"], b"\x89PNG\r\n\x1a\n" + bytes(500)),
    "parquet that is text": (["bad.parquet"], b"a,b\n1,2\n3,4\n"),
    "broken json lines": (["bad.jsonl"], b'{"a": 1}\n{"a": \n'),
    "all values missing": (["bad.csv"], b"a,b\n,\n,\n,\n"),
    "a directory": (["."], None),
    "unknown suffix": (["bad.docx"], b"PK\x03\x04 not a table"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv, content = BAD[case]
    if content is not None:
        (tmp_path / argv[0]).write_bytes(content)
    code = main(["report", *argv, "--out", "out"])
    captured = capsys.readouterr()
    if case == "all values missing":
        # There is an answer to this one: nothing is known of its columns.
        assert code in (0, 2)
        return
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("plogp: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert "bug" not in captured.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--target", "labl"], "did you mean 'label'"),
        (["--columns", "x,q"], "no column 'q'"),
        (["--columns", ","], "--columns needs names"),
        (["--as", "x"], "--as needs NAME=KIND"),
        (["--as", "x=categorial"], "did you mean 'categorical'"),
        (["--as", "q=categorical"], "'q'"),
        (["--fail-on", "drift"], "needs two inputs"),
        (["--fail-on", "leak"], "needs --target"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(argv, words, same, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["report", same[0], *argv, "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()


def test_wrong_divergence(same, tmp_path, capsys):
    assert main(["report", *same, "--divergence", "jss", "--out", str(tmp_path / "o")]) == 2
    assert "unknown divergence 'jss'" in capsys.readouterr().err


def test_other_kinds(tmp_path, capsys):
    assert main(["report", "essay.pdf"]) == 2
    assert "not yet for this kind of input (a document with markup)" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none.txt")]) == 2
    assert "none.txt: No such file or directory" in capsys.readouterr().err
    assert main(["report", "weights.pkl"]) == 2
    assert "not yet for this kind of input (pickled objects)" in capsys.readouterr().err


def test_out_must_be_writable(same, tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    assert main(["report", same[0], "--out", str(tmp_path / "file")]) == 2
    assert "a directory is needed" in capsys.readouterr().err
    assert main(["report", same[0], "--out", str(tmp_path / "file" / "below")]) == 2
    assert capsys.readouterr().err.startswith("plogp: ")


def test_an_interrupt_keeps_what_is_finished(same, tmp_path, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("plogp.tables.profile", stop)
    out = tmp_path / "o"
    assert main(["report", *same, "--out", str(out)]) == 130
    assert capsys.readouterr().err == "plogp: interrupted; the finished parts were written\n"
    document = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert document["interrupted"] is True
    assert document["drift"]
    assert document["columns"] == []
    # Nothing finished: nothing written.
    assert main(["report", same[0], "--out", str(tmp_path / "none")]) == 130
    assert not (tmp_path / "none").exists()


def test_demo(tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert main(["demo", "--out", str(tmp_path / "d")]) == 0
    out = capsys.readouterr().out
    assert "--target diagnosis" in out
    assert sorted(os.listdir(tmp_path / "d")) == ["first_half.csv", "report.html", "report.json", "second_half.csv"]
    document = json.loads((tmp_path / "d" / "report.json").read_text(encoding="utf-8"))
    rows = {r["column"]: r for r in document["drift"]}
    # Malignant cases are 51 % of the first half and 24 % of the second.
    assert rows["diagnosis"]["drifted"]
    assert sum(t["rows"] for t in document["input"]["tables"]) == 569
    assert document["target"][0]["informative"]
    assert len((tmp_path / "d" / "report.html").read_bytes()) < 300_000


def test_an_interrupt_inside_the_engine_is_an_interrupt(same, tmp_path, monkeypatch, capsys):
    def stop(*_, **__):
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr("plogp.tables.profile", stop)
    assert main(["report", *same, "--out", str(tmp_path / "o")]) == 130
    assert json.loads((tmp_path / "o" / "report.json").read_text(encoding="utf-8"))["interrupted"] is True
    assert main(["report", same[0], "--out", str(tmp_path / "none")]) == 130
    assert capsys.readouterr().err.endswith("plogp: interrupted\n")
    assert not (tmp_path / "none").exists()


def test_out_is_checked_before_any_work(same, tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    for out in ("", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        assert main(["report", same[0], "--out", out]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("plogp: --out")


def test_closed_stdout(same, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert main(["report", same[0], "--out", str(tmp_path / "o")]) == 0
    assert (tmp_path / "o" / "report.html").is_file()


def test_a_narrow_terminal_shows_every_name(moved, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["report", *moved, "--target", "label", "--out", str(tmp_path / "o")]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 40 or all("/" in line for line in lines if len(line) > 40)
    assert "● x" in lines
    assert any(line.startswith("    change: mean up") for line in lines)
    assert "z" in lines


def test_a_target_that_cannot_be_used_is_said_before_any_part(tmp_path, capsys):
    rows = "\n".join(f"{i * i / 7},,k{i},one" for i in range(200))
    path = tmp_path / "a.csv"
    path.write_text("x,gone,name,same\n" + rows + "\n", encoding="utf-8")
    for target, words in (("gone", "has no value"), ("name", "--as"), ("same", "constant"), ("nam", "'name'?")):
        argv = ["report", str(path), str(path), "--target", target, "--out", str(tmp_path / "o")]
        assert main(argv) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert words in captured.err
        assert captured.err.count("\n") == 1
    assert not (tmp_path / "o").exists()
    assert (
        main(["report", str(path), "--target", "name", "--as", "name=categorical", "--out", str(tmp_path / "o")]) == 0
    )
