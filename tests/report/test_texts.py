"""The report on texts: what is read, what is said, and that nothing hostile gets through."""

import bz2
import dataclasses
import gzip
import json
import lzma

import jsonschema
import numpy as np
import pytest

from plogp.cli import main
from plogp.measures.uncertainty import Estimate
from plogp.report import UnsupportedInputError, report
from plogp.report.document import schema
from plogp.report.readings import MOST_CHARS, PASSAGE_CHARS, passages_of
from plogp.report.text_scores import ScoreRow
from plogp.report.text_words import apart
from plogp.report.texts import is_text, open_text

# The first paragraphs of two books whose authors died long ago.
AUSTEN = """It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want
of a wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this
truth is so well fixed in the minds of the surrounding families, that he is considered as the rightful property of some
one or other of their daughters. "My dear Mr. Bennet," said his lady to him one day, "have you heard that Netherfield
Park is let at last?" Mr. Bennet replied that he had not. "But it is," returned she; "for Mrs. Long has just been here,
and she told me all about it." Mr. Bennet made no answer."""
MELVILLE = """Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and
nothing particular to interest me on shore, I thought I would sail about a little and see the watery part of the world.
It is a way I have of driving off the spleen and regulating the circulation. Whenever I find myself growing grim about
the mouth; whenever it is a damp, drizzly November in my soul; whenever I find myself involuntarily pausing before
coffin warehouses, and bringing up the rear of every funeral I meet, then, I account it high time to get to sea as soon
as I can."""


@pytest.fixture
def prose(tmp_path):
    path = tmp_path / "austen.txt"
    path.write_text("\n\n".join([AUSTEN, MELVILLE] * 3), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def one():
    return report([AUSTEN + "\n\n" + MELVILLE + " qx#zz9!! vvvw"])


# --- opening -------------------------------------------------------------------------------------------


def test_what_is_a_text(tmp_path):
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"text": "' + "long enough " * 8 + '"}\n')
    table = tmp_path / "b.jsonl"
    table.write_text('{"x": 1, "text": "no"}\n')
    assert is_text("a.txt")
    assert is_text("README.md.gz")
    assert is_text(lines)
    assert not is_text(table)
    assert is_text(table, text_field="text")
    assert not is_text("a.csv")
    assert not is_text({"x": [1]})
    assert not is_text([])
    assert not is_text("postgres://host/a.txt")


@pytest.mark.parametrize("opener", [gzip.open, bz2.open, lzma.open])
def test_compressed(tmp_path, opener):
    path = tmp_path / f"a.txt.{ {'gzip': 'gz', 'bz2': 'bz2', 'lzma': 'xz'}[opener.__module__] }"
    with opener(path, "wt", encoding="utf-8") as file:
        file.write("žluťoučký kůň")
    assert open_text(path).documents == ["žluťoučký kůň"]


def test_marks_and_line_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\ntwo".encode("utf-8"))
    assert open_text(path).documents == ["one\ntwo"]
    assert "CR LF" in open_text(path).notes[-1]
    path.write_bytes("one".encode("utf-16"))
    assert open_text(path).documents == ["one"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"caf\xe9", "not UTF-8 text .byte 3 is 0xe9"),
        (b"", "holds no text"),
        (b" \n\t", "holds no text"),
        (b"a\0b", "NUL"),
    ],
)
def test_no_text(tmp_path, data, words):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=words):
        open_text(path)


def test_lines_that_are_not_as_they_should_be(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"other": 1}\n')
    with pytest.raises(ValueError, match="line 2 has no text in the field 'text'"):
        open_text(path, text_field="text")
    path.write_text('{"text": "one"}\n{"text"\n')
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        open_text(path, text_field="text")
    path.write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="--text-field"):
        open_text(path)
    with pytest.raises(ValueError, match="cannot be decompressed"):
        open_text(_written(tmp_path / "b.txt.gz", b"no gzip"))


def _written(path, data):
    path.write_bytes(data)
    return path


def test_long_texts_are_read_in_passages():
    document = "word " * (MOST_CHARS // 2)
    pieces, places, notes = passages_of(open_text([document, "short one " * 2000]))
    assert sum(map(len, pieces)) <= MOST_CHARS
    assert all(len(p) <= PASSAGE_CHARS for p in pieces)
    texts = [document, "short one " * 2000]
    assert all(texts[i][k : k + len(p)] == p for p, (i, k) in zip(pieces, places))
    assert {i for i, _ in places} == {0, 1}
    assert "evenly spaced" in notes[0]


# --- reading -------------------------------------------------------------------------------------------


def test_the_document_has_its_schema_and_the_numbers_agree(one):
    jsonschema.validate(one.document, schema())
    assert json.loads(one.json) == json.loads(json.dumps(one.document))
    text = one.document["texts"][0]
    measures = {m["name"]: m["estimate"]["value"] for m in text["measures"]}
    nll = [-t["logprob"] for t in text["tokens_drawn"] if t["logprob"] is not None]
    assert len(nll) == text["tokens"]  # short enough to be drawn whole
    assert measures["bits per byte"] == pytest.approx(sum(nll) / np.log(2) / text["bytes"], rel=1e-5)
    assert measures["surprisal"] == pytest.approx(np.mean(nll), rel=1e-5)
    assert "".join(t["text"] for t in text["tokens_drawn"]) == AUSTEN + "\n\n" + MELVILLE + " qx#zz9!! vvvw"


def test_the_planted_noise_is_the_most_surprising_passage(one):
    assert "vvvw" in one.document["texts"][0]["surprising"][0]["text"]


def test_the_embedded_model_beats_the_compressors_on_prose(one):
    measures = {m["name"]: m["estimate"]["value"] for m in one.document["texts"][0]["measures"]}
    assert measures["bits per byte"] < 0.75 * measures["xz -9"]


def test_scores_have_p_values(one):
    scores = one.document["texts"][0]["scores"]
    assert {"fast_detect_gpt", "min_k_pp", "loss"} <= {s["name"] for s in scores}
    assert all(0 < s["p_value"] <= 1 for s in scores)


def test_another_model_has_no_reference(tmp_path):
    from shutil import copytree

    import safetensors.torch

    from plogp.trace import EMBEDDED

    copytree(EMBEDDED, tmp_path / "lm")
    weights = safetensors.torch.load_file(tmp_path / "lm" / "model.safetensors")
    name = sorted(weights)[0]
    weights[name] = weights[name] + 0.01
    safetensors.torch.save_file(weights, tmp_path / "lm" / "model.safetensors", metadata={"format": "pt"})
    r = report([AUSTEN], model=str(tmp_path / "lm"))
    assert all(s["p_value"] == "nan" for s in r.document["texts"][0]["scores"])
    assert any("no reference scores" in n for n in r.document["notes"])
    jsonschema.validate(r.document, schema())
    assert "<main>" in r.html


def test_hostile_text_is_escaped():
    r = report(["<script>alert(1)</script> \u202e </span><b onclick='x'> " + AUSTEN])
    page = r.html
    assert "<script>alert" not in page
    assert "<b onclick" not in page
    assert "\u202e" not in page
    assert page.count("<script") == 1


def test_short_and_strange_texts():
    for text in ("a", "ab", "\n\n x", "🙂" * 5, "日本語のテキスト", "a" * 3000):
        r = report([text])
        jsonschema.validate(r.document, schema())
        assert r.html


def test_half_a_character_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "A lone surrogate: \ud800, and more words after it."}) + "\n")
    with pytest.raises(ValueError, match=r"document 1 holds half of a character .*U.D800"):
        report(path)


def test_one_is_singular_and_a_repeated_passage_is_shown_once():
    r = report([AUSTEN])
    assert "1 passages" not in r.html
    assert "surprisal, nats" in r.html
    (repeated,) = report([AUSTEN * 4]).texts
    texts = [p.text.strip() for p in repeated.surprising]
    assert len(texts) > 1
    assert len(set(texts)) == len(texts)


def test_two_texts(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.md"
    first.write_text("\n".join([AUSTEN] * 4))
    second.write_text("def f(x):\n    return [x[i] for i in range(len(x))]\n" * 40)
    r = report(first, second)
    jsonschema.validate(r.document, schema())
    (c,) = r.document["text_comparisons"]
    assert c["found"]
    assert c["p_value"] < 0.05
    names = {"bits per byte", "token frequencies", "spectral overlap", "spectral correlation"}
    assert names <= {e["name"] for e in c["estimates"]}
    assert [t["source"] for t in r.document["texts"]] == [str(first), str(second)]
    same = report(first, first)
    assert not same.document["text_comparisons"][0]["found"]
    assert "uses more" in " ".join(r.answer)
    assert r.html.count('class="box tokens"') == 2


def test_documents_of_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"id": i, "content": t}) + "\n" for i, t in enumerate([AUSTEN, MELVILLE, " "])))
    r = report(path)
    assert r.inputs[0].rows == 2
    assert r.inputs[0].characters == len(AUSTEN) + len(MELVILLE)
    assert any("'content'" in n for n in r.document["notes"])
    assert any("1 of 3 documents was empty" in n for n in r.document["notes"])


def test_options_that_do_not_fit(prose):
    with pytest.raises(ValueError, match="target is for tables; a text has no columns"):
        report(prose, target="x")
    with pytest.raises(ValueError, match="one input is a text and the other is not"):
        report(prose, {"x": [1, 2]})
    with pytest.raises(ValueError, match="model is for texts"):
        report({"x": [1, 2, 3]}, model="m")
    with pytest.raises(UnsupportedInputError, match="not yet for this kind of input"):
        report("page.html")


def test_the_command(prose, tmp_path, capsys):
    assert main(["report", str(prose), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "bits per byte" in said
    assert "fast_detect_gpt" in said
    assert (tmp_path / "out" / "report.html").is_file()
    assert main(["report", str(prose), "--out", str(tmp_path / "o2"), "--json", "--base", "2"]) == 0
    jsonschema.validate(json.loads(capsys.readouterr().out.split("\npage:")[0]), schema())


def test_a_bad_text_leaves_one_line_and_no_files(tmp_path, capsys):
    bad = _written(tmp_path / "bad.txt", b"caf\xe9 au lait")
    assert main(["report", str(bad), "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert "not UTF-8" in shown.err
    assert not (tmp_path / "out").exists()


def test_scores_without_power_do_not_hide_those_that_tell():
    def row(name, p, auc):
        return ScoreRow(
            name, Estimate(0.0, None, 6, "mean", diagnostics={"no_interval": "a test"}), p, 1.0, 6, 256, "", auc
        )

    (reading,) = report([AUSTEN]).texts
    useless = [row(f"useless {i}", 0.5, 0.5) for i in range(6)]
    telling = [row("good", 0.0082, 0.99), row("fair", 0.05, 0.95)]
    found = apart(dataclasses.replace(reading, scores=[*telling, *useless]))
    assert [s.name for s in found] == ["good"]  # 0.0082 < 0.05 / 2
    assert apart(dataclasses.replace(reading, scores=[row("one", 0.0082, 0.5), *useless])) == []  # 0.05 / 7
