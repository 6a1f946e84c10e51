"""The command line as a whole: exit codes, one-line errors, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

import plogp
from plogp.cli import main
from plogp.cli.main import COMMANDS


def one_line(capsys) -> str:
    """Return what was written to stderr after checking that it is one line of plogp."""
    err = capsys.readouterr().err
    assert err.startswith("plogp: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    return err


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"plogp {plogp.__version__}\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
    capsys.readouterr()
    assert main([]) == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["reprot"], "did you mean `plogp report`?"),
        (["zzz"], "commands: report, trace"),
        (["report"], "the following arguments are required: INPUT"),
        (["report", "a.csv", "--targt", "y"], "did you mean --target?"),
        (["report", "a.csv", "b.csv", "c.csv"], "unrecognized arguments: c.csv"),
        (["report", "a.csv", "--base", "7"], "invalid choice: '7'"),
        (["papers", "extra"], "unrecognized arguments: extra"),
    ],
)
def test_a_wrong_word_is_one_line(argv, words, capsys):
    assert main(argv) == 2
    assert words in one_line(capsys)


def test_late_positionals_find_their_place(tmp_path, capsys):
    # argparse alone would call the second file unrecognized.
    assert main(["report", "no-a.csv", "--seed", "1", "no-b.csv", "--out", str(tmp_path / "o")]) == 2
    assert "unrecognized" not in one_line(capsys)


def test_an_unexpected_error_is_one_line_and_says_bug(monkeypatch, capsys):
    monkeypatch.setattr("plogp.papers.papers", lambda **_: 1 / 0)
    assert main(["papers"]) == 70
    assert "unexpected ZeroDivisionError" in one_line(capsys)


def test_an_interrupt_is_130(monkeypatch, capsys):
    def stop(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("plogp.papers.papers", stop)
    assert main(["papers"]) == 130
    assert one_line(capsys) == "plogp: interrupted\n"


def run(*argv: str, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, **options.pop("env", {})}
    command = [sys.executable, "-m", "plogp.cli", *argv]
    return subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False, **options)


def test_no_colour_in_a_pipe_or_with_no_color():
    for env in ({}, {"NO_COLOR": "1", "FORCE_COLOR": ""}):
        out = run("papers", "--room", "measures", env=env)
        assert out.returncode == 0
        assert b"\x1b[" not in out.stdout


def test_a_closed_pipe_is_quiet():
    command = f'"{sys.executable}" -m plogp.cli papers --json | head -c 100'
    out = subprocess.run(command, shell=True, capture_output=True, timeout=60, check=False)
    assert len(out.stdout) == 100
    assert out.stderr == b""


def test_a_closed_pipe_does_not_cost_the_files(tmp_path):
    rows = "\n".join(f"{i % 7},{(i * i) % 11}" for i in range(200))
    (tmp_path / "t.csv").write_text("a,b\n" + rows + "\n")
    command = f'"{sys.executable}" -m plogp.cli report t.csv --out o | head -c 10'
    out = subprocess.run(command, shell=True, capture_output=True, timeout=120, check=False, cwd=tmp_path)
    assert (len(out.stdout), out.stderr) == (10, b"")
    assert sorted(os.listdir(tmp_path / "o")) == ["report.html", "report.json"]


def test_a_terminal_without_unicode_is_served():
    out = run("measure", "--list", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert out.returncode == 0
    assert out.stderr == b""


def test_help_imports_no_room_and_is_quick():
    code = (
        "import sys; from plogp.cli import main; main(['--help'])\n"
        "heavy = {'scipy', 'duckdb', 'jinja2', 'sklearn', 'torch', 'rich', 'plogp.tables', 'plogp.measures'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert out.stderr.strip() == b"[]"
    assert time.perf_counter() - start < 5


def test_an_interrupt_while_a_library_loads(monkeypatch, capsys):
    from plogp.cli import papers

    def interrupted(args):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as stop:
            raise ImportError("initialization failed") from stop

    monkeypatch.setattr(papers, "run", interrupted)
    assert main(["papers"]) == 130
    assert capsys.readouterr().err == "plogp: interrupted\n"
