"""``plogp papers``, ``cite`` and ``reproduce``."""

from __future__ import annotations

import json

import pytest

from plogp.cli import main
from plogp.papers import papers
from plogp.papers.claim import Claim, Result


def test_papers_json_is_a_list_of_rows(capsys):
    assert main(["papers", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 221
    assert {"slug", "seed", "room", "status", "symbols", "claims"} <= set(rows[0])
    assert {r["status"] for r in rows} <= {"working", "planned"}
    assert main(["papers", "--room", "trace", "--json"]) == 0
    assert [r["slug"] for r in json.loads(capsys.readouterr().out)] == ["model-map", "paper-gen"]
    assert main(["papers", "--status", "working", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(papers(status="working"))


def test_papers_lists(capsys):
    assert main(["papers", "--room", "measures"]) == 0
    out = capsys.readouterr().out
    assert "reconstruction_lattice" in out
    assert "of the 6 listed work" in out
    assert main(["papers", "--room", "kitchen"]) == 2
    assert "rooms: adapt, align" in capsys.readouterr().err


def test_cite(capsys):
    assert main(["cite", "mine", "--bibtex", "woe_iv_psi"]) == 0
    out = capsys.readouterr().out
    assert out.count("@misc{") == 2
    assert "MINE: Mutual Information Neural Estimation (2018)" not in out
    assert main(["cite", "187"]) == 0
    assert "MINE: Mutual Information Neural Estimation (2018)" in capsys.readouterr().out
    assert main(["cite", "minne"]) == 2
    assert "did you mean" in capsys.readouterr().err


def right(seed: int = 0) -> Result:
    """Right is <right>."""
    return Result(1.0, 1.0, "equal", True, series={"x": [0, 1], "curves": {"<b>": [0, seed]}})


def wrong(seed: int = 0) -> Result:
    """Wrong is wrong."""
    return Result(0.3, 0.5, "at least 0.5", False, baseline=0.2, unit="nats")


def noted(seed: int = 0) -> Result:
    """Noted is noted."""
    return Result(0.3, 0.5, "at least 0.5", False, reproduced=False, note="needs a larger scale")


@pytest.fixture
def chosen(monkeypatch):
    """Let `plogp reproduce` run the given functions as the claims of one paper."""

    def choose(*functions):
        row = papers(room="measures")[0]
        claims = [(row, Claim(row.slug, f.__name__, "exact", False, f.__doc__, f)) for f in functions]
        monkeypatch.setattr("plogp.papers.select", lambda *_, **__: (claims, 1))

    return choose


def test_reproduce_writes_a_page_and_json(chosen, tmp_path, capsys):
    chosen(right, noted)
    out = tmp_path / "claims"
    assert main(["reproduce", "--all", "--out", str(out), "--seed", "3"]) == 0
    text = capsys.readouterr().out
    assert "passed" in text
    assert "not reproduced" in text
    assert "needs a larger scale" in text
    assert "2 claims of 1 paper: 1 passed, 1 not reproduced; 1 slow one left out" in text
    document = json.loads((out / "claims.json").read_text(encoding="utf-8"))
    assert [c["status"] for c in document["claims"]] == ["passed", "not reproduced"]
    assert document["claims"][0]["series"]["curves"]["<b>"] == [0, 3]
    page = (out / "claims.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "Right is &lt;right&gt;." in page
    assert '<svg class="fig lines"' in page
    assert sorted(p.name for p in out.iterdir()) == ["claims.html", "claims.json"]


def test_reproduce_fails_with_1(chosen, tmp_path, capsys):
    chosen(right, wrong)
    assert main(["reproduce", "--all", "--out", str(tmp_path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["counts"]["failed"] == 1
    assert document == json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))


def test_reproduce_keeps_what_is_finished(chosen, tmp_path, capsys):
    def stop(seed: int = 0) -> Result:
        """Stop."""
        raise KeyboardInterrupt

    chosen(right, stop, wrong)
    assert main(["reproduce", "--all", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "plogp: interrupted; the finished claims were written\n"
    document = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert (document["interrupted"], len(document["claims"])) == (True, 1)
    assert "interrupted" in (tmp_path / "claims.html").read_text(encoding="utf-8")
    chosen(stop)
    assert main(["reproduce", "--all", "--out", str(tmp_path / "none")]) == 130
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "exactly one of these"),
        (["hf-diff", "--all"], "exactly one of these"),
        (["hf-diff"], "planned, not working yet"),
        (["nonsense"], "no paper 'nonsense'"),
        (["--room", "adapt"], "works yet"),
        (["--all", "--seed", "-1"], "--seed must not be negative"),
    ],
)
def test_reproduce_refuses(argv, words, tmp_path, capsys):
    assert main(["reproduce", *argv, "--out", str(tmp_path / "x")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_out_must_be_a_directory(tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    assert main(["reproduce", "--all", "--out", str(tmp_path / "file")]) == 2
    assert "a directory is needed" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"
