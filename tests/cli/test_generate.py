"""``plogp generate``: what it prints, that a seed fixes it, and its one-line errors."""

from __future__ import annotations

import io
import json
import math

import pytest

import plogp as pl
from plogp.cli import main


def run(argv, capsys):
    code = main(["generate", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def fails(argv, capsys):
    code, out, err = run(argv, capsys)
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("plogp: ")]
    assert len(lines) == 1
    return lines[0]


def test_it_continues_the_prompt_and_a_seed_fixes_the_text(capsys):
    argv = ["--sampler", "top-h", "--alpha", "0.4", "--prompt", "The sea", "--max-new-tokens", "6", "--seed", "3"]
    code, first, _ = run(argv, capsys)
    assert code == 0
    assert first.startswith("The sea")
    assert run(argv, capsys)[1] == first


def test_json_agrees_with_the_library(capsys):
    argv = ["--sampler", "min-p", "--value", "0.2", "--temperature", "0.8", "--prompt", "In", "--max-new-tokens", "5"]
    code, out, _ = run([*argv, "--num-samples", "2", "--seed", "1", "--stats", "--json"], capsys)
    assert code == 0
    document = json.loads(out)
    model = pl.trace.load_model(None)
    sampler = pl.decode.Temperature(0.8) | pl.decode.MinP(0.2)
    same = pl.decode.generate(model, "In", sampler, 5, num_samples=2, rng=1)
    assert [s["ids"] for s in document["samples"]] == [ids.tolist() for ids in same.ids]
    one = document["samples"][0]
    assert one["surprisal_bits"] == pytest.approx(float(same.trace[0].mean_nll()[0]) / math.log(2), rel=1e-6)
    assert one["perplexity"] == pytest.approx(2 ** one["surprisal_bits"], rel=1e-6)
    assert document["sampler"] == "Temperature(temperature=0.8) | MinP(ratio=0.2, min_keep=1)"


def test_stats_and_several_samples(capsys):
    code, out, _ = run(
        ["--sampler", "mirostat", "--target-surprise=4", "--num-samples", "2", "--max-new-tokens", "4", "--stats"],
        capsys,
    )
    assert code == 0
    assert "--- 1 of 2 ---" in out
    assert out.count("surprisal") == 2
    assert "perplexity" in out


def test_the_prompt_from_stdin_and_greedy(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("A word"))
    code, out, _ = run(["--prompt", "-", "--sampler", "greedy", "--max-new-tokens", "3"], capsys)
    assert code == 0
    assert out.startswith("A word")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--sampler", "nucleus"], "no sampler 'nucleus'"),
        (["--sampler", "top-h", "--mass", "0.3"], "--mass is no option of top-h; it has --alpha"),
        (["--sampler", "top-h", "--alpha", "7"], "alpha must lie"),
        (["--sampler", "top-h", "--alpha"], "--alpha needs a value"),
        (["--sampler", "top-h", "--alpha", "much"], "--alpha must be a number, got 'much'"),
        (["--alpha", "0.4"], "--alpha belongs to a sampler"),
        (["--value", "0.4"], "--value belongs to a sampler"),
        (["--temperature", "0"], "temperature must be positive"),
        (["--max-new-tokens", "0"], "--max-new-tokens must be at least 1"),
        (["--num-samples", "-1"], "--num-samples must be at least 1"),
        (["--seed", "-1"], "--seed must not be negative"),
        (["hello"], "the prompt is given with --prompt"),
        (["--sampler", "top-p", "--mass", "abc"], "--mass must be a number, got 'abc'"),
        (["--sampler", "greedy", "--value", "3"], "greedy takes no parameter"),
        (["--sampler", "greedy", "--k", "3"], "greedy takes no parameter"),
        (["--sampler", "top-p", "--value", "0.5", "--mass", "0.7"], "--value and --mass are the same"),
        (["--max-tokens", "4"], "did you mean --max-new-tokens?"),
        (["--sampler", "top-p", "--sead", "4"], "did you mean --seed?"),
        (["--prompt", "a\udcff"], "--prompt is not UTF-8"),
        (["--device", "nowhere"], "device 'nowhere' is not there"),
    ],
)
def test_mistakes_are_one_line(argv, words, capsys):
    assert words in fails(argv, capsys)
