"""``plogp compare-samplers``: its table, its files, and its one-line errors."""

from __future__ import annotations

import json

import pytest

from plogp.cli import main

SMALL = ["--max-new-tokens", "5", "--num-samples", "1"]


def run(argv, capsys):
    code = main(["compare-samplers", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_table_json_and_plot(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "cmp"
    argv = [*SMALL, "--samplers", "top-h=0.2:0.8,min-p=0.1", "--prompt", "The", "--out", str(out)]
    code, printed, _ = run(argv, capsys)
    assert code == 0
    assert "top-h" in printed
    assert "alpha=0.2" in printed
    assert "comparison.svg" in printed
    assert sorted(p.name for p in out.iterdir()) == ["comparison.json", "comparison.svg"]
    document = json.loads((out / "comparison.json").read_text())
    assert [(row["sampler"], row["value"]) for row in document["rows"]] == [
        ("top-h", 0.2),
        ("top-h", 0.8),
        ("min-p", 0.1),
    ]
    assert all(row["perplexity"] >= 1 for row in document["rows"])
    svg = (out / "comparison.svg").read_text()
    assert svg.lstrip().startswith("<?xml")
    assert "perplexity under the model" in svg


def test_prompts_from_a_file_and_json(tmp_path, capsys):
    file = tmp_path / "prompts.txt"
    file.write_text("One\n\nTwo\n")
    code, printed, _ = run([*SMALL, "--samplers", "top-k=3", "--prompts", str(file), "--json"], capsys)
    assert code == 0
    document = json.loads(printed)
    assert document["settings"]["prompts"] == 2
    assert document["rows"][0]["tokens_kept"] == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--samplers", "nucleus"], "no sampler 'nucleus'"),
        (["--samplers", "top-p=much"], "values are numbers"),
        (["--samplers", "top-p=1.5"], "mass must lie"),
        (["--samplers", "top-p,top-p"], "names top-p twice"),
        (["--samplers", ","], "at least one name"),
        (["--prompt", "a\udcff"], "--prompt is not UTF-8"),
        (["--device", "nowhere"], "device 'nowhere' is not there"),
        (["--ngram", "0"], "--ngram must be at least 1"),
        (["--max-new-tokens", "2"], "too short for 4-grams"),
        (["--prompts", "/no/such/file"], "No such file"),
        (["--seed", "-3"], "--seed must not be negative"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_file(argv, words, tmp_path, capsys):
    out = tmp_path / "out"
    code, printed, err = run([*argv, "--out", str(out)], capsys)
    assert code == 2
    assert printed == ""
    assert words in err
    assert not out.exists()


def test_out_must_be_a_directory(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("x")
    code, _, err = run(["--out", str(file)], capsys)
    assert code == 2
    assert "is a file" in err
