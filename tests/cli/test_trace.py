"""``plogp trace``."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plogp.cli import main

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")
pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model over bytes, in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("model")
    vocabulary = {c: i for i, c in enumerate(["<s>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)
    config = hf.GPT2Config(vocab_size=257, n_embd=8, n_head=2, n_layer=1, n_positions=32, bos_token_id=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hf.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_file_is_traced_and_summed_up(tmp_path, capsys, model):
    text = "Plain words, and a é.\n" * 3
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    command = ["trace", str(tmp_path / "a.txt"), "--model", str(model), "--out", str(tmp_path / "out"), "--top-k", "2"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "documents      1\n" in out
    assert "bits per byte" in out
    assert "perplexity" in out
    assert main([*command, "--json"]) == 0  # goes on: nothing is left to do
    found = json.loads(capsys.readouterr().out)
    assert found["documents"] == 1
    assert found["tokens"] == found["scored"] == len(text.encode())
    from plogp.trace import load_model, read_traces, trace

    kept = read_traces(tmp_path / "out")
    want = trace(load_model(str(model)), text, top_k=2)
    np.testing.assert_allclose(kept.logprob, want.logprob, atol=1e-5)
    assert found["bits_per_byte"]["value"] == pytest.approx(want.bits_per_byte()[0], rel=1e-5)
    assert found["bits_per_byte"]["low"] < found["bits_per_byte"]["value"] < found["bits_per_byte"]["high"]
    assert kept.topk_ids.shape == (len(kept.ids), 2)
    assert kept.meta["window"] == 32


def test_lines_of_json(tmp_path, capsys, model):
    (tmp_path / "a.jsonl").write_text('{"body": "one"}\n{"body": "two"}\n', encoding="utf-8")
    command = ["trace", str(tmp_path / "a.jsonl"), "--model", str(model), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "no text in field 'text' (it has body)" in capsys.readouterr().err
    options = ["--field", "body", "--window", "16", "--stride", "8", "--bos", "none", "--dtype", "float32"]
    assert main([*command[:-1], str(tmp_path / "new"), *options]) == 0
    assert "documents      2\ntokens         6 (4 scored)" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path, capsys, model):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.csv").write_text("text")
    (tmp_path / "bare").mkdir()
    good = {"corpus": str(tmp_path / "a.txt"), "--model": str(model), "--out": str(tmp_path / "out")}
    for change, words in (
        ({"corpus": str(tmp_path / "none.txt")}, "none.txt"),
        ({"corpus": str(tmp_path / "a.csv")}, "expected a .txt"),
        ({"--model": str(tmp_path / "bare")}, "no folder with a model"),
        ({"--model": "/no/model"}, "no folder with a model"),
        ({"--device": "toaster"}, "device 'toaster' is not there"),
        ({"--dtype": "int7"}, "dtype must be"),
        ({"--stride": "99"}, "stride must lie between"),
        ({"--window": "99"}, "window must be at most"),
        ({"--batch-size": "0"}, "batch_size"),
    ):
        given = {**good, **change}
        corpus = given.pop("corpus")
        assert main(["trace", corpus, *(w for pair in given.items() for w in pair)]) == 2, change
        err = capsys.readouterr().err
        assert words in err, err
        assert err.count("\n") == 1, err
        assert not list(tmp_path.glob("out/part*"))


def test_an_interrupt_says_how_to_go_on(tmp_path, capsys, model, monkeypatch):
    (tmp_path / "a.txt").write_text("text")

    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("plogp.trace.corpus.trace", stopped)
    assert main(["trace", str(tmp_path / "a.txt"), "--model", str(model), "--out", str(tmp_path / "out")]) == 130
    assert "goes on from there" in capsys.readouterr().err.replace("\n", " ")


def test_half_a_character_is_named(tmp_path):
    from plogp.trace.text_files import documents

    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n{"text": "a\\ud800b"}\n')
    with pytest.raises(ValueError, match=r"a.jsonl:2: field 'text' holds half of a character .U.D800"):
        list(documents(tmp_path / "a.jsonl", "text"))
