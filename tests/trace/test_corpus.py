"""`trace_corpus`: parts that are whole or not there, shards, and what may be gone on with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plogp.trace import corpus as corpus_module
from plogp.trace.corpus import documents, read_traces, trace_corpus
from plogp.trace.predictors import MarkovLM
from plogp.trace.tracing import trace

pytest.importorskip("pyarrow")

LM = MarkovLM.random(128, 1.0, rng=0)
TEXTS = ["one", "", "three words here", "d", "the fifth", "six", "7", "eight is the last but two", "ix", "X"] * 3


class Spell:
    """A tokenizer of single ASCII characters."""

    def encode(self, text):
        return list(text.encode("ascii"))

    def decode(self, ids):
        return bytes(ids).decode("ascii")


def run(folder, texts=TEXTS, model=LM, **options):
    return trace_corpus(model, texts, folder, **{"tokenizer": Spell(), "part_size": 4, **options})


def test_a_corpus_is_the_trace_of_its_texts(tmp_path):
    done = run(tmp_path / "out", top_k=2, references=np.full(128, 1 / 128))
    want = trace(LM, TEXTS, tokenizer=Spell(), top_k=2, references=np.full(128, 1 / 128))
    found = done.read()
    for name in ("logprob", "entropy", "varentropy", "rank", "topk_ids", "ids", "offsets", "n_bytes", "n_chars"):
        np.testing.assert_array_equal(getattr(found, name), getattr(want, name), err_msg=name)
    np.testing.assert_array_equal(found.refs["ref"].cross_entropy, want.refs["ref"].cross_entropy)
    assert found.texts == tuple(TEXTS)
    assert len(done) == 30
    assert len(done.parts) == 8
    assert done.document.tolist() == list(range(30))
    np.testing.assert_allclose(done.nll, want.nll())
    assert done.estimate("bits_per_byte").value == pytest.approx(want.estimate("bits_per_byte").value)
    for what in ("mean_nll", "ppl"):
        ours, theirs = done.estimate(what, rng=0), want.estimate(what, "bootstrap", rng=0)
        assert (ours.value, ours.se) == pytest.approx((theirs.value, theirs.se))
    assert ours.n == 27  # empty texts are not drawn
    with pytest.raises(ValueError, match="what must be"):
        done.estimate("entropy")


def test_shards_make_one_corpus(tmp_path):
    for rank in (2, 0, 1):
        done = run(tmp_path, shard=(rank, 3))
    whole = trace(LM, TEXTS, tokenizer=Spell())
    np.testing.assert_array_equal(done.read().ids, whole.ids)
    np.testing.assert_array_equal(read_traces(tmp_path).logprob, whole.logprob)
    assert sorted(p.name for p in done.parts)[0] == "part-00000-000000.parquet"
    assert len(done.parts) == 9


def test_the_shard_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(tmp_path).document.tolist() == list(range(1, 30, 2))
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(ValueError, match="RANK and WORLD_SIZE"):
        run(tmp_path)
    for bad in ((2, 2), (-1, 2), (0,), "ab"):
        with pytest.raises(ValueError, match="shard must be"):
            run(tmp_path, shard=bad)


def test_an_interrupt_keeps_finished_parts_and_no_others(tmp_path, monkeypatch):
    calls = []

    def slow(model, texts, **options):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return trace(model, texts, **options)

    monkeypatch.setattr(corpus_module, "trace", slow)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert len(list(tmp_path.glob("part-*.parquet"))) == 2
    assert not list(tmp_path.glob(".*"))
    assert len(read_traces(tmp_path)) == 8
    calls[:] = [0] * 5
    done = run(tmp_path)
    assert len(calls) == 5 + 6  # two of eight parts were there
    np.testing.assert_array_equal(done.read().logprob, trace(LM, TEXTS, tokenizer=Spell()).logprob)


def test_a_file_cut_short_is_never_seen(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("pyarrow.parquet.write_table", broken)
    with pytest.raises(OSError, match="disk full"):
        run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_models_settings_and_texts_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="another model"):
        run(tmp_path, model=MarkovLM.random(128, 1.0, rng=1))
    with pytest.raises(ValueError, match="other settings"):
        run(tmp_path, temperature=2.0)
    with pytest.raises(ValueError, match="other references"):
        run(tmp_path, references=np.full(128, 1 / 128))
    with pytest.raises(ValueError, match="other part_size"):
        run(tmp_path, part_size=5)
    with pytest.raises(ValueError, match="other texts"):
        run(tmp_path, texts=["ONE", *TEXTS[1:]])
    with pytest.raises(ValueError, match="resume=False"):
        run(tmp_path, resume=False)
    assert len(run(tmp_path, batch_size=3)) == 30  # changes no number


def test_folders_that_hold_none(tmp_path):
    with pytest.raises(ValueError, match="no traces"):
        read_traces(tmp_path)
    run(tmp_path / "a", texts=[])
    with pytest.raises(ValueError, match="no finished part"):
        read_traces(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").unlink()
    run(tmp_path / "b")
    (tmp_path / "b" / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"parts but no manifest\.json"):
        run(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x.txt").write_text("text")
    with pytest.raises(ValueError, match="inside the corpus"):
        run(tmp_path / "c" / "out", texts=tmp_path / "c")
    with pytest.raises(ValueError, match="part_size"):
        run(tmp_path / "d", part_size=0)
    assert not (tmp_path / "d").exists()


def test_an_engine_counts_the_corpus(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    done = run(tmp_path)
    rows = duckdb.sql(
        f"SELECT document, count(*), -sum(logprob) FROM '{tmp_path}/part-*.parquet' GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    full = done.tokens > 0
    assert [r[0] for r in rows] == done.document[full].tolist()
    assert [r[1] for r in rows] == done.tokens[full].tolist()
    np.testing.assert_allclose([r[2] for r in rows], done.nll[full])


def test_sources(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "b.txt").write_text("whole\r\nfile", encoding="utf-8", newline="")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text("# é", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "x", "t": "y"}\n\n{"text": "z", "t": "w"}\n', encoding="utf-8")
    pq.write_table(pa.table({"text": ["p", "q"], "n": [1, 2]}), tmp_path / "c.parquet")
    (tmp_path / "skip.csv").write_text("no")
    assert list(documents(tmp_path)) == ["x", "z", "whole\r\nfile", "p", "q", "# é"]
    assert list(documents(str(tmp_path / "b.txt"))) == ["whole\r\nfile"]
    assert list(documents(tmp_path / "a.jsonl", "t")) == ["y", "w"]
    assert list(documents(["one", tmp_path / "sub" / "a.md"])) == ["one", "# é"]
    with pytest.raises(FileNotFoundError):
        list(documents(tmp_path / "none.txt"))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "bad.jsonl").write_text("{", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for source, field, words in (
        (tmp_path / "skip.csv", "text", "expected a .txt"),
        (tmp_path / "latin.txt", "text", "not UTF-8"),
        (tmp_path / "bad.jsonl", "text", r"bad\.jsonl:1: no JSON"),
        (tmp_path / "a.jsonl", "body", r"a\.jsonl:1: no text in field 'body' \(it has text, t\)"),
        (tmp_path / "c.parquet", "body", "no column 'body'; it has text, n"),
        (tmp_path / "c.parquet", "n", "row 0 of column 'n' is int"),
        (tmp_path / "empty", "text", "holds no"),
    ):
        with pytest.raises(ValueError, match=words):
            list(documents(source, field))
    for bad in (3, [3]):
        with pytest.raises(TypeError, match="must be a"):
            list(documents(bad))


def test_the_manifest_says_what_was_done(tmp_path):
    run(tmp_path, bos="none", stats=("entropy",))
    held = json.loads((tmp_path / "manifest.json").read_text())
    assert held["fingerprint"] == LM.fingerprint()
    assert held["model"] == LM.name
    assert held["settings"] == {"bos": "none", "stats": ["entropy"]}
    assert held["part_size"] == 4
    found = read_traces(tmp_path)
    assert found.varentropy is None
    assert not found.scored[0]
    assert found.n_bytes[0] == 2
