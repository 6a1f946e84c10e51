"""The cognitive state, the operators, agreement of raters, and the collapse."""

from __future__ import annotations

import numpy as np
import pytest

from plogp.text.cognition import FEATURES, CognitiveState, codec_report, collapse, icc, perturb
from plogp.text.cognition.state import features, sentences_of, words_of

TEXT = (
    "Perhaps it will rain today, said the old man; nobody answered him. We went out. It was really very cold, and the "
    "wind came over the hill! Did I see the boat? I saw the boat, I saw... well, something like it. The good light "
    "faded. Terrible noise woke us in the dark."
)


def test_features_by_hand() -> None:
    raw = dict(zip(FEATURES, features("I like it. We hate it, they say! Like it."), strict=True))
    lengths = np.array([3, 5, 2])
    assert raw["sentence_length"] == pytest.approx(lengths.mean())
    assert raw["sentence_length_sd"] == pytest.approx(lengths.std())
    assert raw["burstiness"] == pytest.approx((lengths.std() - lengths.mean()) / (lengths.std() + lengths.mean()))
    assert raw["clause_rate"] == pytest.approx(1 / 3)
    assert raw["type_token_ratio"] == pytest.approx(7 / 10)
    assert raw["hapax_share"] == pytest.approx(5 / 10)
    assert raw["first_person"] == pytest.approx(2 / 10)
    assert raw["questions_exclamations"] == pytest.approx(1 / 3)
    assert raw["topic_jumps"] == pytest.approx(np.mean([1 - 1 / np.sqrt(15), 1 - 1 / np.sqrt(10)]))
    mood = np.array([1 / 3, -1 / 5, 1 / 2])
    assert raw["sentiment_swing"] == pytest.approx(np.abs(np.diff(mood)).mean())


def test_state_is_scaled_and_clipped() -> None:
    state = CognitiveState.from_text(TEXT)
    assert state.values.shape == (17,)
    assert ((state.values >= 0) & (state.values <= 1)).all()
    np.testing.assert_array_equal(np.asarray(state), state.values)
    texts = [TEXT, "One. Two words. Three words here.", "A man, a plan, a canal. Panama!"]
    bounds = CognitiveState.scale(texts)
    np.testing.assert_allclose(
        CognitiveState.from_text(TEXT, texts).values, CognitiveState.from_text(TEXT, bounds).values
    )
    rows = np.array([features(t) for t in texts])
    np.testing.assert_allclose(bounds, np.quantile(rows, [0.01, 0.99], axis=0))
    one = CognitiveState.from_text("word")
    assert np.isfinite(one.values).all()
    for bad in ("", "...", "\n\n"):
        with pytest.raises(ValueError, match="at least one word"):
            CognitiveState.from_text(bad)
    with pytest.raises(ValueError, match="two texts"):
        CognitiveState.from_text(TEXT, [TEXT])
    with pytest.raises(ValueError, match="shape"):
        CognitiveState.from_text(TEXT, np.zeros((2, 3)))


def test_length_operator_keeps_the_words_and_moves_the_lengths() -> None:
    plain = " ".join("The man walked slowly to the old bridge, and the dog followed him." for _ in range(40))
    swung = perturb(plain, length={"amplitude": 0.8, "noise": 0.0, "period": 6}, rng=0)
    kept = [w for w in words_of(swung) if w not in ("and", "but", "while", "so")]
    assert kept == [w for w in words_of(plain) if w != "and"]
    before, after = (np.std([len(words_of(s)) for s in sentences_of(t)]) for t in (plain, swung))
    assert before == 0
    assert after > 3
    assert perturb(plain, length=True, rng=1) == perturb(plain, length=True, rng=1)
    assert perturb(TEXT) == TEXT


def test_leap_takes_sentences_from_the_band() -> None:
    pool = ["The boat was old.", "Completely unrelated matter.", "We went out."]
    out = perturb("We went out again.", leap={"rate": 1.0, "band": (0.5, 1.0), "pool": pool}, rng=0)
    assert out == "We went out again. We went out."
    assert perturb("We went out again.", leap={"rate": 0.0, "pool": pool}, rng=0) == "We went out again."

    class Encoder:
        def encode(self, texts: list[str]) -> np.ndarray:
            return np.array([[1.0, float("matter" in t)] for t in texts])

    near = perturb("A.", leap={"rate": 1.0, "band": (0.6, 0.8), "pool": pool, "encoder": Encoder()}, rng=0)
    assert near == "A. Completely unrelated matter."


class Letters:
    """A model of a, b, c, ... with falling probability, and its tokenizer."""

    vocab_size = 26

    def next(self, ids: np.ndarray) -> np.ndarray:
        return -np.arange(26.0)

    def encode(self, text: str) -> list[int]:
        return [ord(c) - 97 for c in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(97 + i) for i in ids)


def test_tail_replaces_by_the_band() -> None:
    out = perturb("z" * 200, tail={"rho": 0.5, "band": (3, 4), "predictor": Letters()}, rng=0)
    assert set(out) == {"z", "c", "d"}
    changed = sum(c != "z" for c in out)
    assert 70 < changed < 130
    counts = out.count("c") / changed
    assert abs(counts - 1 / (1 + np.exp(-1))) < 0.15
    assert perturb("zzz", tail={"rho": 0.0, "predictor": Letters()}, rng=0) == "zzz"


def test_operators_refuse() -> None:
    for options, words in (
        ({"length": {"size": 3}}, "length has no size"),
        ({"length": {"period": 0}}, "period > 0"),
        ({"tail": {"rho": 2.0, "predictor": Letters()}}, "0 <= rho <= 1"),
        ({"tail": {"band": (5, 2), "predictor": Letters()}}, "band"),
        ({"leap": 2.0}, "0 <= rate <= 1"),
        ({"leap": {"speed": 1}}, "leap has no speed"),
    ):
        with pytest.raises(ValueError, match=words):
            perturb(TEXT, **options)
    with pytest.raises(ValueError, match="at least one word"):
        perturb("...", length=True)


def test_icc_by_hand_and_by_analysis_of_variance() -> None:
    x = np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 6.0], [2.0, 1.0, 3.0], [7.0, 8.0, 9.0]])
    n, k = x.shape
    rows = k * ((x.mean(1) - x.mean()) ** 2).sum() / (n - 1)
    columns = n * ((x.mean(0) - x.mean()) ** 2).sum() / (k - 1)
    rest = ((x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()) ** 2).sum() / ((n - 1) * (k - 1))
    expected = (rows - rest) / (rows + (k - 1) * rest + k * (columns - rest) / n)
    found = icc(x)
    assert found.value == pytest.approx(expected, abs=1e-12)
    low, high = found.interval()
    assert low < expected < high <= 1
    same = icc(np.repeat(np.arange(5.0)[:, None], 3, axis=1))
    assert same.value == pytest.approx(1)
    assert same.interval() == pytest.approx((1, 1))
    # Shrout and Fleiss (1979) give 0.29 with the interval 0.02 to 0.76.
    judges = icc([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert judges.interval() == pytest.approx((0.0188, 0.7611), abs=2e-4)
    # Absolute agreement: a rater who adds a constant lowers it.
    assert icc(x + np.array([0, 0, 5])).value < found.value
    for bad in (np.zeros((3, 3)), np.zeros((1, 3)), [[1, np.nan], [2, 3]]):
        with pytest.raises(ValueError, match="matrix"):
            icc(bad)


def test_report_of_the_codec() -> None:
    g = np.random.default_rng(0)
    a = g.random((200, 17))
    same = codec_report(a, a)
    assert same["mean"] == pytest.approx(0, abs=1e-12)
    b = a.copy()
    b[:, 3] += 5
    moved = codec_report(a, b)
    name = list(FEATURES)[3]
    assert moved[name] == pytest.approx(np.log(2), abs=1e-6)
    assert moved["mean"] == pytest.approx(moved[name] / 17, abs=1e-12)
    assert codec_report([TEXT, TEXT + " And so on."], [TEXT])["mean"] > 0
    with pytest.raises(ValueError, match="human"):
        codec_report([], a)
    with pytest.raises(ValueError, match="generated"):
        codec_report(a, a[:, :3])


def test_collapse() -> None:
    zipf = 1 / np.arange(1, 101)
    zipf /= zipf.sum()
    plain = collapse(zipf, 6, rng=0)
    assert {len(v) for v in plain.values()} == {7}
    assert plain["entropy"][0] == pytest.approx(-(zipf * np.log(zipf)).sum())
    assert plain["js"][0] == 0
    assert (np.diff(plain["support"]) <= 0).all()
    assert plain["tail"][-1] < plain["tail"][0] <= 0.1
    np.testing.assert_array_equal(plain["js"], collapse(zipf, 6, rng=0)["js"])
    # A callable on logits, and an object with `filter`, are the same.
    log_zipf = np.log(zipf)

    def mix(z: np.ndarray) -> np.ndarray:
        p = np.exp(z - z.max())
        return np.log(0.5 * p / p.sum() + 0.5 * np.exp(log_zipf))

    class Mix:
        filter = staticmethod(mix)

    mixed = collapse(zipf, 6, mix, rng=0)
    np.testing.assert_array_equal(mixed["entropy"], collapse(zipf, 6, Mix(), rng=0)["entropy"])
    assert mixed["entropy"][-1] > plain["entropy"][-1] + 0.5
    # Without truncation nothing but drift happens.
    assert collapse(zipf, 6, top_p=1.0, rng=0)["entropy"][-1] > plain["entropy"][-1]
    for bad in (np.ones(3), np.array([1.5, -0.5]), np.ones((2, 2)) / 4):
        with pytest.raises(ValueError, match="model must be"):
            collapse(bad)
    with pytest.raises(ValueError, match="generations"):
        collapse(zipf, 0)
