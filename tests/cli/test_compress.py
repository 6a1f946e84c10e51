"""``plogp compress`` and ``plogp decompress``: files, figures, refusals; with a tiny model on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from plogp.cli import main

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXT = "The cat sat on the mat.\n" * 20


def make_model(folder: Path, seed: int) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    config = transformers.LlamaConfig(
        vocab_size=256,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_model(tmp_path_factory.mktemp("lm"), 0)


def test_there_and_back(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, packed, back = tmp_path / "a.txt", tmp_path / "a.plz", tmp_path / "b.txt"
    for data in (TEXT.encode(), b"", b"\xff\0\x80" * 30):
        source.write_bytes(data)
        assert main(["compress", str(source), str(packed), "--model", model, "--dtype", "float64", "--force"]) == 0
        shown = capsys.readouterr().out
        assert "xz -9" in shown
        assert "not counted" in shown
        assert f"{packed.stat().st_size:,} bytes for {len(data):,}" in shown
        assert main(["decompress", str(packed), str(back), "--model", model, "--dtype", "float64", "--force"]) == 0
        assert back.read_bytes() == data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.plz", "a.txt", "b.txt"]
    capsys.readouterr()
    assert main(["compress", str(source), str(packed), "--model", model, "--force", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def refused(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]


def test_refusals_leave_nothing(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, packed, out = tmp_path / "a.txt", tmp_path / "a.plz", tmp_path / "out"
    source.write_text(TEXT)
    with_model = ["--model", model]
    assert main(["compress", str(source), str(packed), *with_model]) == 0
    capsys.readouterr()
    refused(["compress", str(source), str(packed), *with_model], "exists", capsys)
    refused(["compress", str(source), str(source), *with_model, "--force"], "same file", capsys)
    refused(["compress", str(tmp_path / "no"), str(out), *with_model], "No such file", capsys)
    refused(["compress", str(tmp_path), str(out), *with_model], "is no file", capsys)
    refused(["compress", str(source), str(out), *with_model, "--window", "0"], "window", capsys)
    nowhere = tmp_path / "none" / "out"
    refused(["compress", str(source), str(nowhere), *with_model], f"there is no folder {nowhere.parent}", capsys)
    refused(["compress", str(source), str(out), "--model", str(tmp_path / "none")], "no folder with a model", capsys)
    refused(["decompress", str(source), str(out), *with_model], "no stream", capsys)
    refused(["decompress", str(packed), str(out), *with_model, "--dtype", "float64"], "another model", capsys)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(packed.read_bytes()[:-20])
    refused(["decompress", str(damaged), str(out), *with_model], "truncated", capsys)
    other = make_model(tmp_path / "other", 1)
    capsys.readouterr()
    refused(["decompress", str(packed), str(out), "--model", other], "another model", capsys)
    assert not out.exists()
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".tmp"]
