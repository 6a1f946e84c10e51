"""`report` on real tables: what it finds, refuses and keeps."""

from __future__ import annotations

import hashlib
import json
import socket
from itertools import islice

import jsonschema
import numpy as np
import pytest

from plogp.report import Report, UnsupportedInputError, parts, report
from plogp.report.document import schema


def table(n: int = 3_000, seed: int = 0, changed: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    out = {f"x{i}": rng.normal(size=n) for i in range(4)}
    out["colour"] = np.array(["red", "green", "blue"])[rng.integers(0, 3, n)]
    out["y"] = (out["x0"] + rng.normal(size=n) > 0).astype(int)
    if changed:
        out["x1"] = out["x1"] + 0.5
        out["colour"] = np.where(rng.random(n) < 0.1, "violet", out["colour"])
    return out


def csv_of(columns: dict[str, np.ndarray], path):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Report:
    folder = tmp_path_factory.mktemp("tables")
    before = csv_of(table(seed=1), folder / "before.csv")
    after = csv_of(table(seed=2, changed=True), folder / "after.csv")
    return report(before, after, target="y")


def test_it_finds_what_changed_and_what_informs(two):
    assert {r.column for r in two.drift.drifted} == {"x1", "colour"}
    assert two.answer[0].startswith("2 of 6 columns changed beyond noise: ")
    best = two.relation.rows[0]
    assert best.column == "x0"
    assert best.informative
    assert not two.relation["x1"].informative
    document = json.loads(two.json)
    jsonschema.validate(document, schema())
    assert [r["column"] for r in document["drift"] if r["drifted"]] == [r.column for r in two.drift.drifted]
    assert document["drift"][[r["column"] for r in document["drift"]].index("colour")]["new_categories"] == ["violet"]


def test_inputs_are_fingerprinted(two):
    for entry in json.loads(two.json)["input"]["tables"]:
        assert entry["rows"] == 3_000
        assert entry["columns"] == 6
        assert entry["sha256"] in two.html
    frame = report(table(500)).document["input"]["tables"]
    assert [(t["role"], t["sha256"]) for t in frame] == [("table", None)]


def test_the_hash_is_that_of_the_bytes(tmp_path):
    path = csv_of(table(200), tmp_path / "t.csv")
    entry = report(path).document["input"]["tables"][0]
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry["bytes"] == path.stat().st_size


def test_one_table_has_pairs_and_no_drift():
    made = report(table(1_000))
    assert made.drift is None
    assert made.relation is None
    assert len(made.profile.pairs) == 15
    best = max((p for p in made.profile.pairs), key=lambda p: p.normalized)
    assert {best.a, best.b} == {"x0", "y"}
    assert "What changed" not in made.html


def test_known_entropy_in_bits():
    rng = np.random.default_rng(0)
    n = 20_000
    made = report({"fair": rng.integers(0, 4, n).astype(str), "x": rng.normal(size=n)}, base=2)
    number = json.loads(made.json)["columns"][0]["entropy"]
    assert number["unit"] == "bits"
    assert number["value"] == pytest.approx(2.0, abs=0.01)


def test_the_same_seed_gives_the_same_report():
    a, b = (report(table(800), table(800, seed=9), target="y", seed=3) for _ in range(2))
    assert a.json == b.json
    assert a.html == b.html


def test_columns_and_kinds_are_obeyed():
    made = report(table(500), target="y", columns=["x0", "colour"], kinds={"y": "categorical"})
    assert {c.name for c in made.profile.columns} == {"x0", "colour", "y"}
    assert {r.column for r in made.relation.rows} == {"x0", "colour"}


def test_parts_come_one_by_one_and_can_be_left():
    steps = parts(table(500), table(500, seed=1), target="y")
    first, *_ = islice(steps, 1)
    assert [type(p).__name__ for p in first.done] == ["Drift"]
    first.interrupted = True
    assert "interrupted" in first.html
    steps.close()


@pytest.mark.parametrize("name", ["a.html", "b.pdf", "f.pkl", "g.html.gz", "h.xlsx"])
def test_other_kinds_are_refused_with_a_reason(name):
    with pytest.raises(UnsupportedInputError, match="not yet for this kind of input"):
        report(name)
    with pytest.raises(UnsupportedInputError, match="a report reads tables"):
        report(table(100), name)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="base must be one of e, 2 and 10"):
        report(table(100), base=3)
    with pytest.raises(ValueError, match="did you mean 'colour'"):
        report(table(100), target="color")
    with pytest.raises(ValueError, match="unknown divergence"):
        report(table(100), table(100), divergence="jss")


def test_hostile_names_survive_the_whole_way(tmp_path):
    rng = np.random.default_rng(0)
    evil = "<script>alert(1)</script>"
    columns = {
        evil: rng.normal(size=300),
        "b\u202e\"c'&": np.array(["<img src=x>", "{{7*7}}", "' OR 1=1 --"])[rng.integers(0, 3, 300)],
        "{% raw %}": rng.integers(0, 5, 300),
    }
    made = report(columns, {k: np.roll(v, 150) for k, v in columns.items()}, target=evil)
    page = made.html
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert "\u202e" not in page
    assert "{{7*7}}" in page
    jsonschema.validate(json.loads(made.json), schema())
    made.save(tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page


def test_no_socket_is_opened(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    report(table(300), table(300, seed=5), target="y").save(tmp_path)


def test_prints_and_shows():
    from rich.console import Console

    made = report(table(500), table(500, seed=4, changed=True), target="y")
    assert repr(made) == "\n".join(made.answer)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(made)
    text = console.export_text()
    for sentence in made.answer:
        assert sentence.split(":")[0] in " ".join(text.split())
