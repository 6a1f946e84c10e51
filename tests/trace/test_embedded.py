import gzip
import json
import lzma
import math
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from plogp.trace import EMBEDDED, embedded_model, load_model, session, trace  # noqa: E402 - torch first

# H. G. Wells, The War of the Worlds (1898), its beginning: public domain, and in none of the packages trained on.
WELLS = """\
No one would have believed in the last years of the nineteenth century that this world was being watched keenly and \
closely by intelligences greater than man's and yet as mortal as his own; that as men busied themselves about their \
various concerns they were scrutinised and studied, perhaps almost as narrowly as a man with a microscope might \
scrutinise the transient creatures that swarm and multiply in a drop of water. With infinite complacency men went to \
and fro over this globe about their little affairs, serene in their assurance of their empire over matter. It is \
possible that the infusoria under the microscope do the same. No one gave a thought to the older worlds of space as \
sources of human danger, or thought of them only to dismiss the idea of life upon them as impossible or improbable. \
It is curious to recall some of the mental habits of those departed days. At most terrestrial men fancied there \
might be other men upon Mars, perhaps inferior to themselves and ready to welcome a missionary enterprise. Yet \
across the gulf of space, minds that are to our minds as ours are to those of the beasts that perish, intellects \
vast and cool and unsympathetic, regarded this earth with envious eyes, and slowly and surely drew their plans \
against us. And early in the twentieth century came the great disillusionment.
"""
CODE = '''def mean(values):
    """Return the mean of a list of numbers."""
    if not values:
        raise ValueError("values is empty")
    total = 0.0
    for value in values:
        total += value
    return total / len(values)
'''


@pytest.fixture(scope="module")
def model():
    return embedded_model()


def bits(model, text):
    return float(trace(model, [text]).bits_per_byte()[0])


def test_predicts_english_prose_better_than_compressors(model):
    found = bits(model, WELLS)
    data = WELLS.encode()
    others = [8 * len(pack(data)) / len(data) for pack in (lzma.compress, gzip.compress)]
    assert found < 1.85
    assert found < 0.45 * min(others)


def test_order_matters_to_it(model):
    """Words in another order, or letters, cost more: it knows more than how often tokens come."""
    g = np.random.default_rng(0)
    words = WELLS.split()
    shuffled = " ".join(g.permutation(words))
    letters = "".join(g.permutation(list(WELLS)))
    assert bits(model, WELLS) + 0.2 < bits(model, shuffled) < bits(model, letters) - 1


def test_program_source_and_repetition(model):
    assert bits(model, CODE) < 1.5
    assert bits(model, CODE * 5) < bits(model, CODE)


def test_logits_are_those_of_transformers_on_the_stored_weights(model):
    """An independent pass: the model class of transformers and the tokenizers library on the files."""
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    plain = LlamaForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32, local_files_only=True).eval()
    ids = Tokenizer.from_file(str(EMBEDDED / "tokenizer.json")).encode(WELLS).ids
    with torch.no_grad():
        z = plain(torch.tensor([[0, *ids]])).logits[0].double().log_softmax(-1)
    expected = -z[torch.arange(len(ids)), torch.tensor(ids)].sum().item()
    record = trace(model, [WELLS])
    assert record.ids.tolist() == ids
    assert record.nll()[0] == pytest.approx(expected, rel=1e-4)
    assert record.bits_per_byte()[0] == pytest.approx(expected / math.log(2) / len(WELLS.encode()), rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_every_text_comes_back(text):
    model = embedded_model()
    clean = text.encode("utf-8", "ignore").decode()
    ids = model.encode(clean)
    assert model.decode(ids) == clean
    assert len(ids) <= len(clean.encode())


def test_every_byte_is_a_token_and_zero_begins_a_text(model):
    from tokenizers.pre_tokenizers import ByteLevel

    vocabulary = model.tokenizer.get_vocab()
    assert set(ByteLevel.alphabet()) <= set(vocabulary)
    assert len(vocabulary) == model.vocab_size
    assert model.bos_id == 0
    assert model.max_length == 512
    # Text that spells the mark is text.
    assert model.decode(model.encode("a<|text|>b")) == "a<|text|>b"
    assert 0 not in model.encode("<|text|>b")


def test_hostile_texts_have_finite_bits(model):
    for text in ("a", "\x00", "\U0010ffff", " " * 600, "ÿ" * 200, "\n\n\n", "字" * 50):
        assert 0 < bits(model, text) < 30
    long = (WELLS + CODE) * 3
    record = trace(model, [long])
    assert record.scored.all()
    assert len(record.ids) > 1024


def test_session_agrees_with_trace(model):
    ids = model.encode(WELLS)[:20]
    s = session(model, ids[:5])
    rows = s.feed(ids[5:])
    record = trace(model, [ids])
    z = torch.from_numpy(rows).double().log_softmax(-1).numpy()
    np.testing.assert_allclose(z[np.arange(14), ids[6:]], record.logprob[6:], atol=1e-4)


def test_is_small_offline_and_made_once(model, monkeypatch):
    assert sum(p.stat().st_size for p in EMBEDDED.iterdir()) < 15e6
    assert not [p for p in EMBEDDED.iterdir() if p.suffix not in (".json", ".safetensors", ".md")]
    assert embedded_model() is model
    assert load_model() is model
    assert str(EMBEDDED) not in trace(model, [WELLS]).meta.values()
    assert embedded_model(dtype="float32") is model

    def refuse(*args, **options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    from plogp.trace import embedded

    again = embedded._loaded.__wrapped__("cpu", torch.bfloat16)
    assert next(again.model.parameters()).dtype == torch.bfloat16
    assert abs(bits(again, WELLS) - bits(model, WELLS)) < 0.05
    assert model.dtype == torch.float32


def test_card_and_evaluation_agree():
    card = (EMBEDDED / "README.md").read_text()
    found = json.loads((EMBEDDED / "evaluation.json").read_text())
    rows = {k: v for k, v in found.items() if ": " not in k}
    assert len(rows) >= 5
    for row in rows.values():
        assert f"{row['plogp']:.2f}" in card
    prose = found["prose, all held out"]
    assert prose["plogp"] < min(prose["gzip -9"], prose["zstd -19"], prose["xz -9e"])
