"""The compressor: every byte comes back, no code is longer than it must be, and every damage is seen."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.text.compression import compress, compression_report, decompress
from plogp.text.compression.codec import resolve
from plogp.text.compression.container import Reader
from plogp.text.compression.lanes import Lanes, lengths
from plogp.text.compression.laws import GRID, Decoder, Encoder, levels, ranks, token_at, weights
from plogp.text.compression.pieces import Text, alphabet, split
from plogp.trace.ngram_lm import NGramLM
from plogp.trace.predictors import ArrayPredictor, MarkovLM

TEXT = "The cat sat on the mat. The dog sat on the log, and the cat sat on the dog.\r\n" * 6
LM = NGramLM(order=3, vocab_size=256).fit([list(TEXT.encode())])


class Words:
    """A tokenizer that knows some words, in lower case, and loses what it does not know."""

    words = ("<unk>", "the", "cat", "sat", "on", "mat", " ", ".", "dog", "\n")

    def encode(self, text: str) -> list[int]:
        import re

        parts = re.findall(r"\w+|\s|[^\w\s]", text.lower())
        return [self.words.index(p) if p in self.words else 0 for p in parts]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.words[i] for i in ids)


class WordModel(ArrayPredictor):
    """Independent words."""

    def __init__(self) -> None:
        super().__init__(np.log(np.arange(1.0, 11.0) / 55))
        self.tokenizer = Words()


HOSTILE = {
    "empty": b"",
    "one byte": b"x",
    "nul": b"\0",
    "text": TEXT.encode(),
    "crlf": b"a\r\nb\rc\n\r\n",
    "all bytes": bytes(range(256)),
    "invalid utf-8": b"the cat \xff\xfe sat on the mat \xc3",
    "cut utf-8": "the cat sat on the mat, žluťoučký kůň".encode()[:-1],
    "surrogates": b"the cat sat on the mat \xed\xa0\x80 the cat sat",
    "bom": b"\xef\xbb\xbfthe cat sat on the mat",
    "random": np.random.default_rng(0).bytes(700),
    "unknown words": b"the CAT sat\ton the zebra. the dog sat on the mat. " * 5,
}


@pytest.mark.parametrize("coder", ["ac", "rank-zlib"])
@pytest.mark.parametrize("name", HOSTILE)
def test_round_trip(name: str, coder: str) -> None:
    data = HOSTILE[name]
    for predictor in (LM, WordModel()):
        for streams, block in ((1, 1 << 20), (3, 100)):
            blob = compress(data, predictor, coder, window=8, streams=streams, block_bytes=block)
            assert decompress(blob, predictor) == data


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 5), st.integers(16, 64))
def test_round_trip_of_anything(data: bytes, streams: int, block: int) -> None:
    model = WordModel()
    assert decompress(compress(data, model, streams=streams, block_bytes=block), model) == data


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="the catsonmdg.\nZé", max_size=200))
def test_round_trip_of_text_in_part_unknown(text: str) -> None:
    model = WordModel()
    assert decompress(compress(text, model), model, text=True) == text


def test_known_text_is_tokens_and_the_rest_raw() -> None:
    letters = alphabet(WordModel())
    assert isinstance(letters, Text)
    known = b"the cat sat on the mat.\n" * 3
    assert [type(p) for p in letters.pieces(known)] == [np.ndarray]
    mixed = letters.pieces(known + b"\xff\xff" + known)
    assert [isinstance(p, bytes) for p in mixed] == [False, True, False]
    assert mixed[1] == b"\xff\xff"
    # Short scraps of text between invalid bytes stay with them.
    assert letters.pieces(b"\xffthe\xffcat\xff") == [b"\xffthe\xffcat\xff"]


def test_ids_and_text_come_back_as_such() -> None:
    model = MarkovLM.random(7, 2.0, rng=0)
    ids = model.sample(1, 100, rng=1)[0]
    back = decompress(compress(ids, model), model)
    assert back.dtype == np.int64
    np.testing.assert_array_equal(back, ids)
    with pytest.raises(ValueError, match="token ids and no text"):
        decompress(compress(ids, model), model, text=True)
    assert decompress(compress(TEXT, LM), LM, text=True) == TEXT
    assert decompress(compress("", LM), LM) == b""


def test_length_is_the_models_entropy_and_hardly_more() -> None:
    model = MarkovLM.random(500, 3.0, rng=0)
    ids = model.sample(1, 3000, rng=1)[0]
    ideal = -sum(float(r[np.arange(len(r)), ids[s]].sum()) for s, r in model.blocks(ids)) / math.log(2)
    bits = 8 * len(compress(ids, model, streams=1))
    # The container takes about 50 bytes, the coder ends on a whole word of 32 bits.
    assert ideal < bits < ideal + 64 + 8 * 64 + 0.01 * 3000
    # Lanes lose a few starts and nothing else.
    assert 8 * len(compress(ids, model, streams=8)) < bits + 8 * 20
    assert len(compress(ids, model, "rank-zlib")) > bits / 8


def test_report_agrees_with_the_streams_and_with_the_standard_library() -> None:
    report = compression_report(TEXT, LM)
    data = TEXT.encode()
    exact = -sum(float(r[np.arange(len(r)), list(data)[s]].sum()) for s, r in LM.blocks(list(data))) / math.log(2)
    assert report.entropy_bound == pytest.approx(exact, rel=1e-9)
    assert report.entropy_bound <= report.arithmetic <= report.entropy_bound + 70
    assert report.token_by_token >= report.entropy_bound
    assert (report.n_chars, report.n_bytes, report.n_raw) == (len(TEXT), len(data), 0)
    assert report.bits_per_char()["arithmetic"] == report.arithmetic / len(TEXT)
    assert abs(report.gzip - 8 * len(zlib.compress(data, 9))) == 8 * 12  # the two containers
    assert "bits per byte" in str(report)
    raw = compression_report(b"\xff" * 20, WordModel())
    assert (raw.n_raw, raw.n_tokens, raw.entropy_bound) == (20, 0, 160.0)
    assert math.isnan(raw.bits_per_char()["gzip"])
    with pytest.raises(ValueError, match="empty"):
        compression_report("", LM)


def test_stride_one_is_the_sliding_window() -> None:
    model = NGramLM(order=4, vocab_size=256).fit([list(TEXT.encode())])
    data = np.frombuffer(TEXT.encode()[:60], np.uint8).astype(np.int64)
    lanes = Lanes(model, 1, window=3, stride=1)
    for t, token in enumerate(data):
        np.testing.assert_array_equal(lanes.logits[0], model.next(data[max(0, t - 3) : t]))
        lanes.feed(np.array([token]))
    # Otherwise the context is at most the window and at least what was kept.
    lanes = Lanes(model, 2, window=8, stride=4)
    seen = []
    for token in data:
        seen.append(len(lanes._read[0]))
        lanes.feed(np.array([token, token]))
    assert max(seen) == 8
    assert min(seen[9:]) == 5


def test_levels_ranks_and_laws_are_exact() -> None:
    g = np.random.default_rng(0)
    z = np.concatenate([g.normal(0, 5, (4, 30)), np.zeros((1, 30)), np.full((1, 30), -np.inf)])
    z[5, 3] = 0.0
    level = levels(z)
    p = np.exp(z[:5] - z[:5].max(-1, keepdims=True))
    w = weights(level)[:5] / 2**30
    assert np.abs(np.log(w[p > 1e-6]) - np.log(p[p > 1e-6])).max() <= 1 / GRID
    assert (weights(level)[5] > 0).sum() == 1
    for row in range(6):
        order = np.argsort(level[row], kind="stable")
        tokens = np.arange(30)
        rank = ranks(np.tile(level[row], (30, 1)), tokens)
        np.testing.assert_array_equal(order[rank], tokens)  # ties by id
        np.testing.assert_array_equal(token_at(np.tile(level[row], (30, 1)), rank), tokens)
    with pytest.raises(ValueError, match="NaN"):
        levels(np.array([[0.0, np.nan]]))
    with pytest.raises(ValueError, match="-inf for every"):
        levels(np.full((1, 3), -np.inf))


def test_impossible_tokens_can_be_coded() -> None:
    model = ArrayPredictor(np.array([0.0, -np.inf, -1e4, 5.0]))
    ids = np.array([1, 2, 3, 1, 0] * 5)
    np.testing.assert_array_equal(decompress(compress(ids, model), model), ids)


def test_coder_round_trip_of_tokens_and_bytes_in_one_stream() -> None:
    g = np.random.default_rng(1)
    level = levels(g.normal(0, 4, (50, 300)))
    tokens = g.integers(0, 300, 50)
    encoder = Encoder()
    encoder.tokens(level, tokens)
    encoder.raw(b"abc\0\xff" * 20)
    blob = encoder.finish()
    decoder = Decoder(blob)
    np.testing.assert_array_equal(decoder.tokens(level), tokens)
    assert decoder.raw(100) == b"abc\0\xff" * 20


def test_random_bytes_grow_by_little() -> None:
    data = np.random.default_rng(0).bytes(20_000)
    assert len(compress(data, WordModel())) < 1.02 * len(data)


def test_another_model_is_refused() -> None:
    blob = compress(TEXT, LM)
    other = NGramLM(order=3, vocab_size=256).fit([list(TEXT.encode()[:-1])])
    for wrong in (other, NGramLM(order=2, vocab_size=256).fit([list(TEXT.encode())]), WordModel()):
        with pytest.raises(ValueError, match="made by another model"):
            decompress(blob, wrong)
    a, b = MarkovLM.random(256, rng=0), MarkovLM.random(256, rng=1)
    with pytest.raises(ValueError, match="made by another model"):
        decompress(compress(TEXT, a), b)


def test_another_computation_is_noticed() -> None:
    class Shifted(MarkovLM):
        """Says it is the same model and says something else."""

        shift = 0.0

        def next(self, ids: object) -> np.ndarray:
            z = np.array(super().next(ids))
            z[::2] += self.shift
            return z

    model = Shifted(MarkovLM.random(256, rng=0).transition)
    blob = compress(TEXT, model)
    model.shift = 1e-9  # vanishes in the rounding
    assert decompress(blob, model) == TEXT.encode()
    model.shift = 0.3
    with pytest.raises(ValueError, match="block 1 decodes to other data"):
        decompress(blob, model)
    ranked = compress(TEXT, model, "rank-zlib")
    model.shift = -3.0
    with pytest.raises(ValueError, match="block 1 decodes to other data"):
        decompress(ranked, model)


@pytest.mark.parametrize("coder", ["ac", "rank-zlib"])
def test_every_damage_is_an_error(coder: str) -> None:
    blob = compress(TEXT[:200], LM, coder, block_bytes=120)
    for i in range(len(blob)):
        with pytest.raises(
            ValueError, match=r"corrupted|no stream|version|another model|truncated|behind|does not know"
        ):
            decompress(blob[:i] + bytes([blob[i] ^ 0x55]) + blob[i + 1 :], LM)
        with pytest.raises(ValueError, match=r"truncated|no stream"):
            decompress(blob[:i], LM)
    with pytest.raises(ValueError, match="appended"):
        decompress(blob + b"x", LM)
    assert decompress(blob, LM) == TEXT[:200].encode()


def test_a_length_beyond_memory_is_a_truncated_stream(tmp_path: Path) -> None:
    file = tmp_path / "short"
    file.write_bytes(b"abc")
    for n in (2**45, 2**69):
        with open(file, "rb") as source, pytest.raises(ValueError, match="truncated"):
            Reader(source).take(n)


def test_blocks_end_between_lines_words_or_characters() -> None:
    assert split(b"one line\nanother", 12) == 9
    assert split(b"one word another", 12) == 8
    assert split("žluť".encode() * 10, 21) in (20, 21)
    for size in range(1, 12):
        cut = split("žluťoučký".encode(), size)
        assert cut >= 1
        if size >= 2:
            "žluťoučký".encode()[:cut].decode()


def test_lanes_share_the_tokens() -> None:
    for n in range(20):
        for lanes in range(1, 6):
            assert sum(lengths(n, lanes)) == n
            assert max(lengths(n, lanes)) - min(lengths(n, lanes)) <= 1


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="coder must be one of"):
        compress(TEXT, LM, "huffman")
    with pytest.raises(ValueError, match="window must be at least 1"):
        compress(TEXT, LM, window=0)
    with pytest.raises(ValueError, match="stride must lie between"):
        compress(TEXT, LM, window=10, stride=11)
    with pytest.raises(ValueError, match="streams must lie between"):
        compress(TEXT, LM, streams=0)
    with pytest.raises(ValueError, match="block_bytes"):
        compress(TEXT, LM, block_bytes=1)
    with pytest.raises(ValueError, match="no tokenizer"):
        compress(TEXT, MarkovLM.random(5, rng=0))
    with pytest.raises(TypeError, match="whole numbers"):
        compress(np.array([0.5]), LM)
    with pytest.raises(ValueError, match="data must be"):
        compress(np.array([300]), LM)
    with pytest.raises(TypeError, match="blob must be bytes"):
        decompress("text", LM)
    with pytest.raises(TypeError, match="predictor must be"):
        resolve(3)
    with pytest.raises(UnicodeEncodeError):
        compress("\ud800", LM)


def _tiny(dtype: str) -> object:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from plogp.trace.huggingface import HFPredictor

    config = transformers.LlamaConfig(
        vocab_size=256,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=24,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config).to(getattr(torch, dtype))
    return HFPredictor(model, bos_id=0)


def test_a_network_with_its_cache_and_restarts() -> None:
    torch = pytest.importorskip("torch")
    data = TEXT.encode()[:90]
    lm = _tiny("float64")
    for streams in (1, 4):
        blob = compress(data, lm, window=100, streams=streams)
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if threads > 1 else 2)
        try:
            assert decompress(blob, lm) == data
        finally:
            torch.set_num_threads(threads)
    with pytest.raises(ValueError, match="made by another model"):
        decompress(blob, _tiny("float32"))


def test_cached_lanes_give_the_models_own_logits() -> None:
    lm = _tiny("float64")
    g = np.random.default_rng(0)
    tokens = g.integers(1, 256, (3, 40))
    lanes = Lanes(lm, 3, window=20, stride=6)
    context = [[] for _ in range(3)]
    for t in range(40):
        got = lanes.logits
        for i in range(3):
            np.testing.assert_allclose(got[i], lm.next(context[i]), atol=1e-10)
        lanes.feed(tokens[:, t])
        for i in range(3):
            context[i].append(int(tokens[i, t]))
            context[i] = context[i] if len(context[i]) <= 20 else context[i][-15:]


@pytest.mark.slow
def test_embedded_model_beats_gzip_and_comes_back() -> None:
    pytest.importorskip("transformers")
    text = (
        "It was the custom of the house that nobody should speak before the old man had finished his tea. He drank it "
        "slowly, looking out of the window at the rain, and the children waited with their hands on the table.\n"
    )
    data = text.encode() + b"\xff\0" + "Žluťoučký kůň.".encode()
    blob = compress(data)
    assert decompress(blob) == data
    assert len(blob) < len(zlib.compress(data, 9))
