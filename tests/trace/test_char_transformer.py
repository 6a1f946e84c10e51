import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plogp.trace import CharTransformerLM, session, trace  # noqa: E402 - torch first
from plogp.trace.char_transformer import _Attention  # noqa: E402
from plogp.trace.characters import PRINTABLE, Characters  # noqa: E402

SIZES = {"width": 16, "layers": 2, "heads": 2, "rng": 1}


def loud(lm, scale=0.3):
    """The same model with weights large enough to tell attention patterns apart."""
    g = torch.Generator().manual_seed(0)
    for p in lm.module.parameters():
        p.data = torch.randn(p.shape, generator=g) * scale
    return lm


def rows(lm, ids, context=()):
    return np.concatenate([z for _, z in lm.blocks(ids, context)])


def probabilities(z):
    return np.exp(z - np.logaddexp.reduce(z, axis=-1)[..., None])


def test_attention_scores_are_those_of_the_formula():
    g = torch.Generator().manual_seed(3)
    layer = _Attention(8, 2).double()
    for p in layer.parameters():
        p.data = torch.randn(p.shape, generator=g, dtype=torch.float64)
    x, past = torch.randn(1, 3, 8, generator=g).double(), torch.randn(1, 4, 8, generator=g).double()
    k = 7
    distances = torch.randn(k, 8, generator=g).double()  # row c stands for distance k - 1 - c
    allowed = torch.ones(1, 3, k, dtype=torch.bool).tril(4)
    full = torch.cat([past, x], 1)[0]
    heads = []
    for h in range(2):
        s = slice(4 * h, 4 * h + 4)
        q, keys = layer.query(x[0])[:, s], layer.key(full)[:, s]
        places, values = layer.place(distances)[:, s], layer.value(full)[:, s]
        out = []
        for i in range(3):
            scores = torch.full((k,), -math.inf, dtype=torch.float64)
            for j in range(4 + i + 1):
                distance = 4 + i - j
                r = places[k - 1 - distance]
                scores[j] = ((q[i] + layer.u[h, 0]) @ keys[j] + (q[i] + layer.v[h, 0]) @ r) / 2
            out.append(scores.softmax(0) @ values)
        heads.append(torch.stack(out))
    expected = layer.out(torch.cat(heads, -1))
    torch.testing.assert_close(layer(x, past, distances, allowed)[0], expected)


def test_memory_of_all_is_full_attention_and_a_short_one_is_not():
    ids = np.random.default_rng(0).integers(0, 4, 90)
    whole = rows(loud(CharTransformerLM("abcd", segment=200, **SIZES)), ids)
    for segment in (1, 7, 90):
        lm = loud(CharTransformerLM("abcd", segment=segment, memory=200, **SIZES))
        np.testing.assert_allclose(probabilities(rows(lm, ids)), probabilities(whole), atol=2e-5)
    short = rows(loud(CharTransformerLM("abcd", segment=7, memory=5, **SIZES)), ids)
    assert np.abs(probabilities(short) - probabilities(whole)).max() > 1e-2


@pytest.mark.parametrize("memory", [0, 10])
def test_predictions_never_look_ahead(memory):
    lm = loud(CharTransformerLM("abcd", segment=8, memory=memory, **SIZES))
    rng = np.random.default_rng(1)
    a = rng.integers(0, 4, 40)
    b = a.copy()
    b[23:] = (b[23:] + 1) % 4
    np.testing.assert_array_equal(rows(lm, a)[:24], rows(lm, b)[:24])
    assert not np.array_equal(rows(lm, a)[24:], rows(lm, b)[24:])


@pytest.mark.parametrize("memory", [0, 10])
def test_blocks_cover_each_position_once_with_any_context(memory):
    lm = loud(CharTransformerLM("abcd", segment=8, memory=memory, **SIZES))
    ids = np.random.default_rng(2).integers(0, 4, 37)
    whole = rows(lm, ids)
    for cut in (0, 1, 8, 9, 30):
        where = [w for w, _ in lm.blocks(ids[cut:], ids[:cut])]
        assert [i for w in where for i in range(w.start, w.stop)] == list(range(37 - cut))
        np.testing.assert_allclose(rows(lm, ids[cut:], ids[:cut]), whole[cut:], atol=1e-6)
        np.testing.assert_allclose(rows(lm, ids[cut:], [lm.bos_id, *ids[:cut]]), whole[cut:], atol=1e-6)
    assert list(lm.blocks([])) == []


def test_session_reads_rewinds_and_copies_as_blocks_do():
    lm = loud(CharTransformerLM("abcd", segment=8, memory=10, **SIZES))
    ids = np.random.default_rng(3).integers(0, 4, 30)
    whole = rows(lm, ids)
    s = session(lm)
    seen = [s.logits]
    for i in ids[:-1]:
        seen.append(s.feed([i])[0])
    np.testing.assert_allclose(np.stack(seen), whole, atol=1e-5)
    for back in (1, 7, 20):
        other = s.copy()
        other.rewind(back)
        assert len(other) == 29 - back
        np.testing.assert_allclose(other.logits, whole[29 - back], atol=1e-5)
        np.testing.assert_allclose(other.feed(ids[29 - back : 29]), whole[30 - back :], atol=1e-5)
    np.testing.assert_allclose(lm.next(ids[:17]), whole[17], atol=1e-5)
    assert s.feed([]).shape == (0, lm.vocab_size)


def test_without_memory_a_session_sees_the_last_segment():
    lm = loud(CharTransformerLM("abcd", segment=8, **SIZES))
    ids = np.random.default_rng(3).integers(0, 4, 30)
    s = session(lm, ids[:20])
    np.testing.assert_allclose(s.feed(ids[20:25])[-1], lm.next(ids[:25]), atol=1e-6)
    other = ids.copy()
    other[:17] = (other[:17] + 1) % 4
    np.testing.assert_allclose(lm.next(ids[:25]), lm.next(other[:25]), atol=1e-6)


@pytest.mark.parametrize("memory", [0, 6])
def test_texts_in_a_batch_do_not_see_each_other(memory):
    """A text's logits are the same alone, beside others in a row, and behind others in the memory."""
    lm = loud(CharTransformerLM("abcd", segment=40, memory=memory, **SIZES))
    first, second = lm.tokenizer.document("abcd"), lm.tokenizer.document("ddca")
    ids = torch.from_numpy(np.concatenate([first, second]))[None]
    of = torch.tensor([[0] * 6 + [1] * 6])
    with torch.no_grad():
        both, _ = lm.module(ids, of)
        alone, _ = lm.module(ids[:, 6:], of[:, 6:])
        _, past = lm.module(ids[:, :6], of[:, :6])
        behind, _ = lm.module(ids[:, 6:], of[:, 6:], past)
    torch.testing.assert_close(both[:, 6:], alone)
    torch.testing.assert_close(behind, alone)


def test_training_data_predicts_every_character_once_an_epoch():
    for memory in (0, 5):
        lm = CharTransformerLM("abcd", segment=6, memory=memory, **SIZES)
        texts = ["abcd", "a", "", "abcdabcdabcdabcd", "dd"]
        documents = [lm.tokenizer.document(t) for t in texts]
        g = torch.Generator().manual_seed(0)
        make = lm._streams if memory else lm._packed
        stream = make(documents, 3, g)
        total, wanted = 0, sum(len(d) - 1 for d in documents)
        counts = np.zeros(lm.vocab_size, int)
        while total < wanted:
            ids, of, _ = next(stream)
            valid = (of[:, 1:] == of[:, :-1]) & (of[:, 1:] >= 0)
            total += valid.sum()
            np.add.at(counts, ids[:, 1:][valid], 1)
        assert total == wanted
        expected = np.zeros(lm.vocab_size, int)
        for d in documents:
            np.add.at(expected, d[1:], 1)
        np.testing.assert_array_equal(counts, expected)


def test_learns_a_known_law():
    """Independent letters: the mean loss comes down to their entropy and the predictions to their shares."""
    rng = np.random.default_rng(0)
    p = np.array([0.6, 0.3, 0.1])
    texts = ["".join(rng.choice(list("abc"), 30, p=p)) for _ in range(200)]
    lm = CharTransformerLM("abc", segment=31, width=16, layers=1, heads=2, rng=0)
    lm.fit(texts, steps=150, batch_size=16, lr=5e-3, rng=0)
    law = probabilities(rows(lm, lm.encode("abacab")))[2:, :3]
    assert np.abs(law / law.sum(1, keepdims=True) - p).max() < 0.08
    assert abs(np.mean(lm.losses[-10:]) - 30 / 31 * -(p * np.log(p)).sum()) < 0.05
    assert lm.losses[0] > 1.3


def test_memory_carries_what_a_segment_cannot():
    """The first letter of a text comes again behind a y, beyond a segment: only a memory can know it."""
    rng = np.random.default_rng(0)
    texts = [c + "xxxxy" + c for c in rng.choice(list("ab"), 400)]
    end = {}
    for memory in (0, 8):
        lm = CharTransformerLM("abxy", segment=3, memory=memory, width=32, layers=1, heads=2, rng=0)
        lm.fit(texts, steps=300, batch_size=64, lr=1e-2, rng=0)
        z = [lm.next(lm.encode(t)) for t in ("axxxxy", "bxxxxy")]
        p = probabilities(np.stack(z))
        end[memory] = (p[0, 0] + p[1, 1]) / 2 / (p[:, :2].sum() / 2)
    assert end[8] > 0.9
    assert end[0] < 0.6


def test_logprob_is_the_sum_of_blocks_with_the_end():
    lm = loud(CharTransformerLM("abcd", segment=8, memory=6, **SIZES))
    texts = ["", "a", "abcd", "abcdabcdabcdabcd", "dcbadcb"]
    for text, found in zip(texts, lm.logprob(texts)):
        ids = lm.tokenizer.document(text)[1:]
        law = probabilities(rows(lm, ids).astype(float))
        assert found == pytest.approx(np.log(law[np.arange(len(ids)), ids]).sum(), abs=1e-4)
    record = trace(lm, ["abcd"])
    assert len(record.ids) == 4
    law = probabilities(rows(lm, lm.encode("abcd")).astype(float))
    assert record.nll()[0] == pytest.approx(-np.log(law[np.arange(4), lm.encode("abcd")]).sum(), abs=1e-4)


def test_probabilities_of_all_short_texts_and_samples_agree():
    lm = loud(CharTransformerLM("ab", segment=3, memory=4, **SIZES), 0.15)
    texts = ["", "a", "b", "aa", "ab", "ba", "bb"]
    p = np.exp(lm.logprob(texts))
    drawn = lm.sample(6000, 3, rng=0)
    found = [lm.decode(row) for row in drawn if lm.eos_id in row[:3]]
    share = np.array([found.count(t) for t in texts]) / 6000
    assert np.abs(share - p).max() < 4 * np.sqrt(0.25 / 6000)
    assert not (drawn == lm.bos_id).any()
    np.testing.assert_array_equal(drawn, lm.sample(6000, 3, rng=0))


def test_file_holds_the_model(tmp_path):
    lm = CharTransformerLM("abc", segment=8, memory=4, **SIZES).fit(["abcabc"] * 3, steps=5, rng=0)
    other = CharTransformerLM.load(lm.save(tmp_path / "lm.safetensors"))
    np.testing.assert_array_equal(other.logprob(["abc"]), lm.logprob(["abc"]))
    assert other.fingerprint() == lm.fingerprint()
    assert other.steps == 5
    assert other.fit(["abc"], steps=1, rng=0).fingerprint() != lm.fingerprint()
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no file of"):
        CharTransformerLM.load(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        CharTransformerLM.load(tmp_path / "y")


def test_same_seed_same_model_and_global_state_untouched():
    before = torch.get_rng_state()
    made = [
        CharTransformerLM("abc", segment=8, dropout=0.2, **SIZES).fit(["abcabc", "ca"], steps=5, rng=4)
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert made[0].losses == made[1].losses
    assert made[0].fingerprint() == made[1].fingerprint()
    plain = CharTransformerLM("abc", segment=8, **SIZES).fit(["abcabc", "ca"], steps=5, rng=4)
    assert plain.losses != made[0].losses
    further = made[0].partial_fit(["abcabc"], steps=3, rng=0)
    assert further.steps == 8 == len(further.losses)


def test_characters():
    assert len(PRINTABLE) == 95
    c = Characters("xyz")
    assert c.document("zx").tolist() == [3, 2, 0, 4]
    assert c.decode(c.document("zx")) == "zx"
    with pytest.raises(ValueError, match="'q' is not in the alphabet"):
        c.encode("xq")
    for bad in ("", "aa"):
        with pytest.raises(ValueError, match="each once"):
            Characters(bad)
    with pytest.raises(TypeError):
        Characters(["a"])


def test_bad_input():
    for options in ({"width": 10, "heads": 4}, {"segment": 0}, {"memory": -1}, {"dropout": 1.0}):
        with pytest.raises(ValueError):
            CharTransformerLM(**options)
    lm = CharTransformerLM("ab", segment=4, **SIZES)
    with pytest.raises(ValueError, match="empty"):
        lm.fit([], steps=1)
    with pytest.raises(TypeError, match="one string"):
        lm.fit("abab", steps=1)
    with pytest.raises(ValueError, match="positive"):
        lm.fit(["a"], steps=0)
    with pytest.raises(ValueError, match=r"is nan"):
        lm.fit(["abab"], steps=30, lr=1e30)
    with pytest.raises(ValueError):
        lm.next([9])
    with pytest.raises(ValueError, match="positive"):
        lm.sample(0, 3)
