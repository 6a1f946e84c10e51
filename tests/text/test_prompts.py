import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp import text
from plogp.text import prompts
from plogp.text.prompts import keep_annotations, select_words
from plogp.text.word_labels import join_words, split_words


def subsequence(short, long):
    rest = iter(long)
    return all(word in rest for word in short)


class TestWords:
    def test_split(self):
        said = "It's 3.50, well-known;\nO’Neil said “no”."
        units = split_words(said)
        assert [w for w, _, _ in units][:4] == ["It's", "3.50", ",", "well-known"]
        assert all(said[a:b] == w for w, a, b in units)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=60))
    def test_nothing_but_spaces_is_lost(self, said):
        units = split_words(said)
        assert "".join(w for w, _, _ in units) == "".join(c for c in said if c == "\n" or not c.isspace())
        kept = [w for w, _, _ in split_words(join_words(said, np.ones(len(units), bool)))]
        assert "".join(kept) == "".join(w for w, _, _ in units)

    def test_join(self):
        said = "Dr. Lee (the chair), spoke.\nThen they voted."
        words = [w for w, _, _ in split_words(said)]
        assert join_words(said, [True] * len(words)) == said
        keep = [w in ("Lee", "chair", "spoke", ".", "\n", "voted") for w in words]
        assert join_words(said, keep) == ". Lee chair spoke.\nvoted."
        with pytest.raises(ValueError, match="one label"):
            join_words(said, [True])


def by_the_rule(original, compressed, window):
    """Label by the rule as it is written: nearest unlabelled equal word, ahead before behind."""
    labels, at = [False] * len(original), 0
    for word in compressed:
        free = [j for j, w in enumerate(original) if w == word and not labels[j] and abs(j - at) < window]
        if not free:
            continue
        j = min(free, key=lambda j: (abs(j - at), j < at))
        labels[j] = True
        at = j if j <= at + window // 2 else at + window // 2
    return labels


class TestAlignment:
    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.sampled_from("abcdef"), min_size=1, max_size=25),
        st.lists(st.sampled_from("abcdefg"), max_size=20),
        st.integers(1, 30),
    )
    def test_by_the_rule(self, original, compressed, window):
        _, labels = text.align_labels(original, compressed, window)
        assert labels.tolist() == by_the_rule(original, compressed, window)

    def test_a_subsequence_has_no_gap(self):
        rng = random.Random(0)
        for _ in range(200):
            original = [rng.choice("abcdefgh") for _ in range(rng.randint(1, 40))]
            compressed = [w for w in original if rng.random() < 0.4]
            words, labels = text.align_labels(original, compressed)
            assert sorted(w for w, y in zip(words, labels) if y) == sorted(compressed)
            q = text.compression_quality(original, compressed)
            assert q.matching_rate == q.hitting_rate
            assert q.alignment_gap == 0
            different = list(dict.fromkeys(original))
            mask = [rng.random() < 0.4 for _ in different]
            assert text.align_labels(different, [w for w, y in zip(different, mask) if y])[1].tolist() == mask

    def test_case_commas_and_a_lemmatiser(self):
        words, labels = text.align_labels("The dogs, barked", "dog BARKED ,", lemma=lambda w: w.lower().rstrip("s"))
        assert words == ["The", "dogs", ",", "barked"]
        assert labels.tolist() == [False, True, False, True]

    def test_quality_by_hand(self):
        q = text.compression_quality("a b c d e", "b b x")
        assert (q.rate, q.hitting_rate, q.matching_rate) == (0.6, 0.4, 0.2)
        assert q.variation_rate == pytest.approx(1 / 3)
        assert q.alignment_gap == pytest.approx(0.2)
        assert text.compression_quality("a b", "").variation_rate == 1

    def test_filters(self):
        rng = np.random.default_rng(0)
        q = [prompts.CompressionQuality(0.5, v, 0.5, 0.5 - g, g) for v, g in rng.random((100, 2))]
        v, g = (np.array([getattr(x, n) for x in q]) for n in ("variation_rate", "alignment_gap"))
        first = v < np.percentile(v, 90)
        expected = first & (g < np.percentile(g[first], 90))
        np.testing.assert_array_equal(keep_annotations(q), expected)
        clean = [prompts.CompressionQuality(0.5, 0.0, 0.5, 0.5, 0.0)] * 5
        assert keep_annotations(clean).all()
        assert not keep_annotations(clean, released=True).any()

    def test_refuses(self):
        with pytest.raises(ValueError, match="no words"):
            text.align_labels(" ,", "a")
        with pytest.raises(ValueError, match="window"):
            text.align_labels("a", "a", 0)
        with pytest.raises(ValueError, match="empty"):
            keep_annotations([])


class TestSelect:
    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 4)), min_size=1, max_size=30), st.floats(0.05, 1))
    def test_share_within_one_word(self, items, rate):
        p, size = np.array([i[0] for i in items]), np.array([i[1] for i in items])
        kept = select_words(p, rate, size)
        share, total = size[kept].sum(), size.sum()
        assert share <= rate * total + 1e-9
        assert share > rate * total - size.max() - 1e-9
        if kept.any() and not kept.all():
            assert p[kept].min() >= p[~kept].max() - 1e-12 or size.max() > 1

    def test_released_rule(self):
        rng = np.random.default_rng(0)
        p, size = rng.random(40), rng.integers(1, 4, 40)
        limit = np.percentile(np.repeat(p, size), 61)
        np.testing.assert_array_equal(select_words(p, 0.4, size, rule="percentile"), p > limit)
        certain = np.array([1.0, 1.0, 1.0, 0.2, 0.1])  # a percentile of 1 itself is no reason to drop
        assert select_words(certain, 0.5, rule="percentile").tolist() == [True, True, True, False, False]

    def test_forced_words_stay(self):
        forced = np.arange(10) < 4
        kept = select_words(np.arange(10.0), 0.2, None, forced)
        assert kept.tolist() == forced.tolist()
        assert select_words(np.arange(10.0), 0.5, None, forced).sum() == 5
        assert select_words([], 0.5).tolist() == []

    @pytest.mark.parametrize("kw", [{"rate": 0}, {"rate": 1.1}, {"rate": np.nan}, {"rate": 0.5, "rule": "x"}])
    def test_refuses(self, kw):
        with pytest.raises(ValueError):
            select_words([0.1, 0.2], **kw)
        with pytest.raises(ValueError):
            select_words([np.nan], 0.5)
        with pytest.raises(ValueError):
            select_words([1.0], 0.5, [1, 2])


def meetings(n, rng):
    """Sentences in which names and numbers matter, between words that do not."""
    pairs = []
    for _ in range(n):
        long, short = [], []
        for _ in range(rng.randint(2, 4)):
            name, number = rng.choice(["Lee", "Ortiz", "Khan", "Novak"]), str(rng.randint(10, 99))
            filler = [rng.choice(["um", "well", "so", "basically", "okay"]) for _ in range(rng.randint(2, 5))]
            long += [*filler, "member", name, "moved", "to", "adopt", "item", number, "."]
            short += [name, "adopt", "item", number, "."]
        pairs.append((" ".join(long), " ".join(short)))
    return pairs


class TestPromptCompressor:
    @pytest.fixture(scope="class")
    @staticmethod
    def linear():
        return text.PromptCompressor().fit(meetings(80, random.Random(0)))

    def test_learns_what_matters(self, linear):
        for long, short in meetings(20, random.Random(1)):
            kept, mask = linear.compress(long, len(short.split()) / len(long.split()))
            assert kept.replace(".", "").split() == short.replace(".", "").split()
            assert mask.sum() <= len(short.split())

    def test_output_is_a_subsequence(self, linear):
        long = "Totally new words, 7 of them:\nthat the model has never seen — and \n odd * signs."
        for rate in (0.1, 0.5, 0.9, 1.0):
            kept, mask = linear.compress(long, rate, force=())
            words = [w for w, _, _ in split_words(long)]
            assert subsequence([w for w, _, _ in split_words(kept)], words)
            assert abs(mask.sum() - rate * len(words)) <= 1
        assert linear.compress("", 0.5) == ("", pytest.approx(np.zeros(0)))

    def test_forcing(self, linear):
        said = "um 12 well\n\n\nokay 7 so"
        words = [w for w, _, _ in split_words(said)]
        _, mask = linear.compress(said, 0.1)
        assert [w for w, y in zip(words, mask) if y].count("\n") == 3
        kept, _ = linear.compress(said, 0.1, keep_digits=True, drop_consecutive=True)
        assert kept == "12\n7"

    def test_chunks_end_at_sentences(self):
        parts = list(prompts._chunks(["a", "b", ".", "c", "d", "e", ".", "f", "g"], np.ones(9, int), 5))
        assert parts == [slice(0, 3), slice(3, 7), slice(7, 9)]
        assert list(prompts._chunks(list("abcd"), np.ones(4, int), 2)) == [slice(0, 2), slice(2, 4)]
        assert list(prompts._chunks(["a"], np.array([9]), 2)) == [slice(0, 1)]

    def test_the_fit_is_the_minimum(self):
        from plogp.text.word_features import fit_logistic, hashed

        texts = [list("abcab"), list("bcaac")]
        X, y = hashed(texts, 64), np.array([1, 0, 1, 1, 0, 0, 1, 0, 1, 1], bool)
        w = fit_logistic(X, y, 0.01)
        p = 1 / (1 + np.exp(-(X @ w)))
        slope = X.T @ (p - y) / 10 + 0.01 * np.append(w[:-1], 0)
        assert np.abs(slope).max() < 1e-4
        assert X[:, -1].toarray().ravel().tolist() == [1] * 10

    def test_an_encoder_is_fine_tuned(self, tmp_path):
        transformers = pytest.importorskip("transformers")
        torch = pytest.importorskip("torch")
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##b", "."]
        (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
        tokenizer = transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"))
        config = transformers.BertConfig(
            vocab_size=15,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=2,
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.BertForTokenClassification(config)
        rng = random.Random(0)
        texts = [[rng.choice(["a", "b", "ab", "c", "d"]) for _ in range(rng.randint(3, 30))] for _ in range(30)]
        before = torch.random.get_rng_state()
        compressor = text.PromptCompressor(
            model, tokenizer, learning_rate=0.02, epochs=6, max_length=16, rng=0
        ).fit_labels(texts, [[w in ("ab", "c") for w in words] for words in texts])
        assert torch.equal(before, torch.random.get_rng_state())
        kept, _ = compressor.compress("a ab c d b a c ab d d", 0.4)
        assert kept.split() == ["ab", "c", "c", "ab"]
        kept, _ = compressor.compress("a ab c d b a c ab d d " * 4, 0.3)  # in several chunks
        assert len(kept.split()) >= 8
        assert set(kept.split()) == {"ab", "c"}
        p = compressor.scores(["ab", "c", "a"])
        with torch.no_grad():
            logits = model(**tokenizer(["ab c a"], return_tensors="pt")).logits.softmax(-1)[0, :, 1].numpy()
        np.testing.assert_allclose(p, [(logits[1] + logits[2]) / 2, logits[3], logits[4]], atol=1e-5)

    def test_refuses(self, linear):
        with pytest.raises(RuntimeError, match="fit"):
            text.PromptCompressor().compress("a b")
        with pytest.raises(ValueError, match="empty"):
            text.PromptCompressor().fit([])
        with pytest.raises(ValueError, match="keep and words"):
            text.PromptCompressor().fit([("a b", "a b")], filter=False)
        with pytest.raises(ValueError, match="one label"):
            text.PromptCompressor().fit_labels([["a"]], [[1, 0]])
        with pytest.raises(ValueError, match="rate"):
            linear.compress("a b", 0.0)
        with pytest.raises(ValueError, match="tokenizer"):
            text.PromptCompressor(object())


class TestSurprisalCompressor:
    def test_the_rarest_words_stay(self):
        compressor = text.SurprisalCompressor(lambda words: [len(w) for w in words])
        assert compressor.compress("a bb ccc dddd", 0.5)[0] == "ccc dddd"
        with pytest.raises(ValueError, match="each of the 2"):
            text.SurprisalCompressor(lambda words: [1.0]).compress("a b")
        with pytest.raises(ValueError, match="pool"):
            text.SurprisalCompressor(pool="min")

    @pytest.mark.parametrize("pool", ["mean", "sum", "max"])
    def test_with_a_language_model(self, pool, tmp_path):
        transformers = pytest.importorskip("transformers")
        torch = pytest.importorskip("torch")
        from plogp.trace import HFPredictor, trace

        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##b", "."]
        (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
        tokenizer = transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"))
        config = transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=15, n_positions=32)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.GPT2LMHeadModel(config)
            for p in model.parameters():
                p.data.add_(torch.randn_like(p))
        predictor = HFPredictor(model, tokenizer)
        said = "a ab c d ab"
        s = -np.asarray(trace(predictor, [said], bos="none").logprob, float)  # a a ##b c d a ##b
        f = {"mean": np.mean, "sum": np.sum, "max": np.max}[pool]
        expected = [np.nanmax(s), f(s[1:3]), s[3], s[4], f(s[5:7])]
        found = text.SurprisalCompressor(predictor, pool, bos="none").scores(said.split(), said)
        np.testing.assert_allclose(found, expected, atol=1e-5)
