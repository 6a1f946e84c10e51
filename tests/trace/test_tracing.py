"""`trace` against a plain forward pass and a float64 softmax, on tiny models of many families and on known worlds."""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from plogp.measures import divergence
from plogp.trace.heads import StatesPredictor
from plogp.trace.huggingface import HFPredictor
from plogp.trace.ngram_lm import NGramLM
from plogp.trace.predictors import ArrayPredictor, MarkovLM, MixturePredictor, TopKPredictor
from plogp.trace.tracing import trace

V = 97
SIZES = {
    "vocab_size": V,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _gpt2():
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=V, n_embd=16, n_head=2, n_layer=2, n_positions=64))


def _llama():
    return hf.LlamaForCausalLM(hf.LlamaConfig(**SIZES, num_key_value_heads=1))


def _neox():
    return hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**SIZES))


def _gemma2():
    # A cap of 0.5 bends the logits of a tiny random model as one of 30 bends those of a large one.
    return hf.Gemma2ForCausalLM(
        hf.Gemma2Config(
            **SIZES,
            num_key_value_heads=1,
            head_dim=8,
            sliding_window=8,
            final_logit_softcapping=0.5,
            query_pre_attn_scalar=8,
        )
    )


def _mamba():
    sizes = {k: SIZES[k] for k in ("vocab_size", "hidden_size", "num_hidden_layers", "pad_token_id")}
    return hf.MambaForCausalLM(hf.MambaConfig(**sizes, state_size=4, bos_token_id=1, eos_token_id=2))


def _qwen2():
    return hf.Qwen2ForCausalLM(hf.Qwen2Config(**SIZES, num_key_value_heads=1))


def _cohere():
    return hf.CohereForCausalLM(hf.CohereConfig(**SIZES, num_key_value_heads=1, logit_scale=0.0625))


def _granite():
    return hf.GraniteForCausalLM(hf.GraniteConfig(**SIZES, num_key_value_heads=1, logits_scaling=8.0))


FAMILIES = {
    "gpt2": _gpt2,
    "llama": _llama,
    "neox": _neox,
    "gemma2": _gemma2,
    "mamba": _mamba,
    "qwen2": _qwen2,
    "cohere": _cohere,
    "granite": _granite,
}


@functools.cache
def network(family: str):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = FAMILIES[family]()
        for p in model.parameters():  # sharper than the usual start, so that mistakes show
            if p.ndim > 1:
                p.data.mul_(4.0)
    return model.eval()


def plain(model, ids) -> np.ndarray:
    """Return log-probabilities in float64: row j is the law of token j + 1."""
    with torch.no_grad():
        return model(torch.as_tensor(ids)[None], use_cache=False).logits[0].double().log_softmax(-1).numpy()


def rows_of(log_p: np.ndarray, y) -> dict[str, np.ndarray]:
    p, y = np.exp(log_p), np.asarray(y)
    entropy = -(p * log_p).sum(-1)
    return {
        "logprob": log_p[np.arange(len(y)), y],
        "entropy": entropy,
        "varentropy": (p * (log_p + entropy[:, None]) ** 2).sum(-1),
        "max_logprob": log_p.max(-1),
    }


def sequences(seed: int = 0, lengths=(13, 1, 7, 20)) -> list[np.ndarray]:
    g = np.random.default_rng(seed)
    return [g.integers(0, V, n) for n in lengths]


def same(t, want: dict[str, np.ndarray], tol: float = 1e-5) -> None:
    for name, values in want.items():
        np.testing.assert_allclose(getattr(t, name)[t.scored], values, rtol=tol, atol=tol, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_is_that_of_a_plain_pass(family):
    model, texts = network(family), sequences()
    t = trace(HFPredictor(model, bos_id=1), texts, powers=(2.0, 0.5), top_k=3, batch_size=3)
    assert t.scored.all()
    assert len(t) == 4
    log_p = np.concatenate([plain(model, [1, *ids])[:-1] for ids in texts])
    y = np.concatenate(texts)
    same(t, rows_of(log_p, y))
    at = log_p[np.arange(len(y)), y]
    rank = 1 + (log_p > at[:, None]).sum(-1)
    assert (t.rank == rank).mean() > 0.97  # float32 ties
    np.testing.assert_allclose(t.power[2.0], np.log((np.exp(log_p) ** 2).sum(-1)), atol=1e-5)
    np.testing.assert_allclose(t.power[0.5], np.log((np.exp(log_p) ** 0.5).sum(-1)), atol=1e-5)
    np.testing.assert_allclose(t.topk_logprob, -np.sort(-log_p, axis=-1)[:, :3], atol=1e-5)
    assert t.meta["route"] == "head"
    assert t.meta["model_dtype"] == "float32"


def test_positions_that_do_not_begin_at_0_are_the_models_own():
    config = hf.RobertaConfig(**SIZES | {"pad_token_id": 1, "max_position_embeddings": 34}, is_decoder=True)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = hf.RobertaForCausalLM(config).eval()
        for p in model.parameters():
            if p.ndim > 1:
                p.data.mul_(4.0)
    lm = HFPredictor(model, bos_id=3)
    assert lm.max_length == 32  # two rows of the table are for padding
    texts = [np.random.default_rng(n).integers(4, V, n) for n in (31, 6, 17)]
    t = trace(lm, texts, batch_size=3)
    same(t, rows_of(np.concatenate([plain(model, [3, *ids])[:-1] for ids in texts]), np.concatenate(texts)))


@pytest.mark.parametrize("name", ["RecurrentGemma", "xLSTM"])
def test_a_cap_of_another_name_is_found(name):
    sizes = {k: SIZES[k] for k in ("vocab_size", "hidden_size", "pad_token_id", "bos_token_id", "eos_token_id")}
    if name == "xLSTM":
        more = {"embedding_dim": 16, "num_hidden_layers": 1, "num_heads": 2, "chunk_size": 8}
        config = hf.xLSTMConfig(**sizes, **more, output_logit_soft_cap=0.5)
    else:
        more = {"intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "lru_width": 16}
        config = hf.RecurrentGemmaConfig(**sizes, **more, attention_window_size=8, logits_soft_cap=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = getattr(hf, f"{name}ForCausalLM")(config).eval()
        model.get_output_embeddings().weight.data.mul_(8.0)
    ids = sequences()[0]
    t = trace(HFPredictor(model, bos_id=1), [ids])
    assert t.meta["route"] == "head"
    same(t, rows_of(plain(model, [1, *ids])[:-1], ids), tol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("route", ["head", "cache", "keep", "full"])
def test_routes_agree_or_are_refused(family, route):
    model, ids = network(family), sequences(lengths=(21,))[0]
    lm = HFPredictor(model, bos_id=1)
    if family == "mamba" and route == "cache":
        with pytest.raises(ValueError, match="'cache' does not give the logits"):
            trace(lm, ids, route=route)
        return
    t = trace(lm, ids, route=route, chunk_tokens=4)
    same(t, rows_of(plain(model, [1, *ids])[:-1], ids))
    assert t.meta["route"] == route


def test_the_head_route_is_refused_where_the_model_changes_its_logits_in_an_unknown_way():
    class Odd(type(network("gpt2"))):
        def forward(self, *args, **kwargs):
            out = super().forward(*args, **kwargs)
            out.logits = out.logits + 0.3 * torch.sin(5 * out.logits)
            return out

    model = copy.deepcopy(network("gpt2"))
    model.__class__ = Odd
    lm = HFPredictor(model, bos_id=1)
    assert lm.route == "cache"
    ids = sequences(lengths=(9,))[0]
    same(trace(lm, ids, chunk_tokens=2), rows_of(plain(model, [1, *ids])[:-1], ids))
    with pytest.raises(ValueError, match="'head' does not give"):
        trace(lm, ids, route="head")


@pytest.mark.parametrize("route", ["head", "cache", "keep"])
def test_logits_are_never_held_whole(route):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        found = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for x in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(x, torch.Tensor):
                    Largest.found = max(Largest.found, x.numel())
            return out

    words, tokens = 3000, 60
    model = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=words, n_embd=8, n_head=2, n_layer=1, n_positions=64))
    lm, ids = HFPredictor(model), np.random.default_rng(0).integers(0, words, tokens)
    assert lm.route == "head"
    for references in ((), np.full(words, 1 / words)):
        trace(lm, ids[:3], references=references, route=route)  # the check of the route is made by now
        Largest.found = 0
        with Largest():
            trace(lm, ids, references=references, route=route, chunk_tokens=4, top_k=2, powers=(2.0,))
        assert 8 * words <= Largest.found <= 4 * words * 5, Largest.found
    with Largest():
        trace(lm, ids, route="full")
    assert Largest.found == tokens * words  # and the instrument sees what it should


def test_a_cap_or_scale_that_is_told_wrong_is_noticed():
    assert HFPredictor(network("gemma2")).route == "head"
    assert HFPredictor(network("gemma2"), softcap=50.0).route != "head"
    assert HFPredictor(network("granite"), scale=1.0).route != "head"
    assert HFPredictor(network("cohere")).route == "head"


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "mamba"])
def test_numbers_do_not_depend_on_the_batch(family):
    texts = sequences(3, (5, 30, 1, 17, 30, 2))
    lm = HFPredictor(network(family), bos_id=1)
    one = trace(lm, texts)
    for size in (2, 6):
        many = trace(lm, texts, batch_size=size)
        for name in ("logprob", "entropy", "varentropy", "max_logprob"):
            np.testing.assert_allclose(getattr(many, name), getattr(one, name), rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_of_a_callers_batch_is_left_out_on_either_side(side):
    texts = sequences(5, (4, 9))
    pad = 2  # the EOS id, which is also a true token of the first text: only the mask may tell
    texts[0][-1] = texts[1][0] = pad
    ids = np.full((2, 9), pad)
    mask = np.zeros((2, 9), dtype=int)
    for i, row in enumerate(texts):
        where = slice(9 - len(row), 9) if side == "left" else slice(0, len(row))
        ids[i, where], mask[i, where] = row, 1
    lm = HFPredictor(network("llama"), bos_id=1)
    t = trace(lm, {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}, batch_size=2)
    assert t.lengths.tolist() == [4, 9]
    assert (t[0].ids == texts[0]).all()
    np.testing.assert_allclose(t.logprob, trace(lm, texts).logprob, atol=1e-5)
    with pytest.raises(ValueError, match="gaps"):
        trace(lm, {"input_ids": [[1, 2, 3]], "attention_mask": [[1, 0, 1]]})


def test_bos_modes():
    model, ids = network("llama"), np.array([5, 6, 7, 8])
    lm = HFPredictor(model, bos_id=1, eos_id=2)
    with_bos = rows_of(plain(model, [1, *ids])[:-1], ids)
    same(trace(lm, ids), with_bos)
    doubled = trace(lm, [1, *ids])  # a BOS that is there is context, not a token
    assert doubled.ids.tolist() == ids.tolist()
    same(doubled, with_bos)
    none = trace(lm, ids, bos="none")
    assert none.scored.tolist() == [False, True, True, True]
    assert math.isnan(none.logprob[0])
    assert none.rank[0] == 0
    same(none, rows_of(plain(model, ids)[:-1], ids[1:]))
    as_eos = trace(lm, ids, bos="eos")
    same(as_eos, rows_of(plain(model, [2, *ids])[:-1], ids))
    without = HFPredictor(model)
    assert without.bos_id is None
    assert not trace(without, ids).scored[0]
    for wrong in ("each", "eos"):
        with pytest.raises(ValueError, match="needs a model with"):
            trace(
                HFPredictor(network("gpt2"), eos_id=None) if wrong == "each" else NGramLM(1, V).fit([ids]),
                ids,
                bos=wrong,
            )
    with pytest.raises(ValueError, match="bos must be"):
        trace(lm, ids, bos="last")


def test_context_is_conditioned_on_and_not_scored():
    model, ids, prompt = network("llama"), np.array([5, 6, 7]), [9, 8]
    lm = HFPredictor(model, bos_id=1)
    want = rows_of(plain(model, [1, *prompt, *ids])[:-1][2:], ids)
    t = trace(lm, [ids, ids], context=prompt)
    assert t.ids.tolist() == [*ids, *ids]
    same(t[0], want)
    same(t[1], want)
    each = trace(lm, [ids, ids], context=[[1, *prompt], [4]])  # a BOS in the context is not doubled
    same(each[0], want)
    same(each[1], rows_of(plain(model, [1, 4, *ids])[:-1][1:], ids))
    bare = trace(lm, ids, context=prompt, bos="none")
    assert bare.scored.all()
    same(bare, rows_of(plain(model, [*prompt, *ids])[:-1][1:], ids))
    with pytest.raises(ValueError, match="context has 1 entries for 2"):
        trace(lm, [ids, ids], context=[[1, 2]])


def windowed(model, ids, length, stride, bos=None, each=False):
    """Score by the definition: token by token, with the window of the token that is the first to reach it."""
    out = np.full(len(ids), np.nan)
    start = done = 0
    while done < len(ids):
        lead = [bos] if bos is not None and (start == 0 or each) else []
        stop = min(start + length - len(lead), len(ids))
        body = [*lead, *ids[start:stop]]
        log_p = plain(model, body)
        for t in range(done, stop):
            j = t - start + len(lead)
            if j > 0:
                out[t] = log_p[j - 1][ids[t]]
        done, start = stop, start + stride
    return out


@pytest.mark.parametrize(
    ("length", "stride", "bos"),
    [(8, 4, "first"), (8, 1, "first"), (8, 6, "first"), (8, 7, "each"), (5, 2, "none"), (8, None, "each")],
)
def test_windows_score_every_token_once(length, stride, bos):
    model, ids = network("llama"), sequences(8, (31,))[0] % (V - 2) + 2
    lm = HFPredictor(model, bos_id=1)
    t = trace(lm, ids, window=length, stride=stride, bos=bos, batch_size=4)
    want = windowed(model, ids, length, stride or length // 2, None if bos == "none" else 1, bos == "each")
    np.testing.assert_allclose(t.logprob, want, atol=1e-5)
    assert t.scored.tolist() == (~np.isnan(want)).tolist()


def test_stride_one_is_the_exact_sliding_context():
    model, ids = network("gpt2"), sequences(9, (20,))[0]
    t = trace(HFPredictor(model), ids, window=6, stride=1)
    for k in (1, 5, 6, 13, 19):
        past = ids[max(0, k - 5) : k]
        assert t.logprob[k] == pytest.approx(plain(model, past)[-1][ids[k]], abs=1e-5)


def test_windows_behind_a_context():
    model, ids, prompt = network("llama"), sequences(8, (12,))[0], sequences(4, (9,))[0]
    lm = HFPredictor(model)
    whole = windowed(model, np.concatenate([prompt, ids]), 6, 3)
    np.testing.assert_allclose(trace(lm, ids, context=prompt, window=6, stride=3).logprob, whole[9:], atol=1e-5)


@pytest.mark.parametrize(
    ("window", "stride", "bos", "words"),
    [
        (8, 8, "none", "between 1 and 7"),
        (8, 7, "first", "between 1 and 6"),
        (8, 0, "first", "between 1"),
        (2, 1, "first", "at least 3"),
        (65, None, "first", "at most"),
    ],
)
def test_strides_that_leave_tokens_out_are_refused(window, stride, bos, words):
    with pytest.raises(ValueError, match=words):
        trace(HFPredictor(network("llama"), bos_id=1), np.arange(30), window=window, stride=stride, bos=bos)


def test_texts_longer_than_the_model_are_read_in_windows():
    model, ids = network("gpt2"), sequences(1, (300,))[0]
    t = trace(HFPredictor(model), ids, batch_size=8)
    assert t.n_scored.tolist() == [299]
    np.testing.assert_allclose(t.logprob[1:], windowed(model, ids, 64, 32)[1:], atol=1e-5)


def test_empty_texts_and_single_tokens():
    lm = HFPredictor(network("llama"), bos_id=1)
    t = trace(lm, [[], [3], [], [4, 5]], powers=[2.0], top_k=2, batch_size=4)
    assert t.lengths.tolist() == [0, 1, 0, 2]
    assert t.nll()[0] == 0.0
    assert math.isnan(t.mean_nll()[0])
    empty = trace(lm, [[], []], top_k=2, powers=[2.0])
    assert len(empty) == 2
    assert empty.entropy.shape == (0,)
    assert empty.topk_ids.shape == (0, 2)
    assert len(trace(lm, [])) == 0
    alone = trace(HFPredictor(network("llama")), [3])
    assert alone.scored.tolist() == [False]
    assert math.isnan(alone.logprob[0])


def test_half_precision_is_raised_before_anything_is_summed():
    model = copy.deepcopy(network("llama")).to(torch.bfloat16)
    ids = sequences(lengths=(12,))[0]
    t = trace(HFPredictor(model, bos_id=1), ids)
    assert t.logprob.dtype == np.float32
    assert t.meta["model_dtype"] == "bfloat16"
    same(t, rows_of(plain(model.float(), [1, *ids])[:-1], ids), tol=0.1)
    full = trace(HFPredictor(copy.deepcopy(network("llama")).to(torch.bfloat16), bos_id=1), ids, route="full")
    np.testing.assert_allclose(full.logprob, t.logprob, atol=0.1)


def test_float64_statistics():
    t = trace(HFPredictor(network("gpt2")), sequences()[0], dtype="float64")
    assert t.logprob.dtype == np.float64
    same(t, rows_of(plain(network("gpt2"), sequences()[0])[:-1], sequences()[0][1:]), tol=1e-6)


def test_temperature_and_cut_vocabulary():
    model, ids = network("llama"), sequences(lengths=(9,))[0] % 90
    t = trace(HFPredictor(model, bos_id=1), ids, temperature=0.5, vocab_size=90)
    with torch.no_grad():
        z = model(torch.tensor([[1, *ids]])).logits[0, :-1, :90].double()
    same(t, rows_of((z / 0.5).log_softmax(-1).numpy(), ids))
    assert t.meta["vocab_cut_from"] == V
    with pytest.raises(ValueError, match="below the vocabulary"):
        trace(HFPredictor(model), [95, 3], vocab_size=90)


def test_references():
    p_model, q_model, ids = network("llama"), network("neox"), sequences(lengths=(11, 4))
    unigram = np.random.default_rng(0).dirichlet(np.ones(V))
    bigram = NGramLM(2, V).fit(sequences(1, (500,)))
    refs = {"q": HFPredictor(q_model, bos_id=1), "u": unigram, "n": bigram}
    t = trace(HFPredictor(p_model, bos_id=1), ids, references=refs, js=True, batch_size=2, chunk_tokens=3)
    log_p = np.concatenate([plain(p_model, [1, *row])[:-1] for row in ids])
    y = np.concatenate(ids)
    laws = {
        "q": np.concatenate([plain(q_model, [1, *row])[:-1] for row in ids]),
        "u": np.broadcast_to(np.log(unigram), log_p.shape),
        "n": np.concatenate([next(iter(bigram.blocks(row)))[1] for row in ids]),
    }
    for name, log_q in laws.items():
        r = t.refs[name]
        np.testing.assert_allclose(r.logprob, log_q[np.arange(len(y)), y], atol=1e-5)
        np.testing.assert_allclose(r.cross_entropy, -(np.exp(log_p) * log_q).sum(-1), atol=1e-4)
        np.testing.assert_allclose(r.second_moment, (np.exp(log_p) * log_q**2).sum(-1), rtol=1e-4)
        np.testing.assert_allclose(r.js, divergence("js")(np.exp(log_p), np.exp(log_q), normalize=True), atol=1e-4)
    same(t, rows_of(log_p, y))
    on_arrays = trace(bigram, ids, references={"q": refs["q"]})  # a network beside a model of counts
    np.testing.assert_allclose(on_arrays.refs["q"].logprob, t.refs["q"].logprob, atol=1e-5)
    windows = trace(refs["q"], ids, references={"p": HFPredictor(p_model, bos_id=1)}, window=6, stride=2)
    alone = trace(HFPredictor(p_model, bos_id=1), ids, window=6, stride=2)
    np.testing.assert_allclose(windows.refs["p"].logprob, alone.logprob, atol=1e-5)


def test_a_reference_without_prediction_of_the_first_token_is_nan_there():
    lm = MarkovLM.random(V, rng=0)
    t = trace(lm, [[3, 4, 5]], references=HFPredictor(network("gpt2")))
    assert np.isnan(t.refs["ref"].logprob).tolist() == [True, False, False]
    assert t.scored.all()


def test_vocabularies_must_agree():
    lm = MarkovLM.random(6, rng=0)
    with pytest.raises(ValueError, match="pass vocab_size="):
        trace(lm, [1, 2], references=MarkovLM.random(5, rng=0))
    cut = trace(lm, [1, 2], references=MarkovLM.random(5, rng=0), vocab_size=5)
    assert cut.meta["vocab_size"] == 5
    with pytest.raises(ValueError, match="sum to 1"):
        trace(lm, [1, 2], references=np.full(6, 0.5))
    with pytest.raises(ValueError, match="below the vocabulary"):
        trace(lm, [1, 6])


def test_tokens_of_text():
    words = {w: i for i, w in enumerate(["[PAD]", "<s>", "</s>", *"abcdefgh", " "])}
    tok = Tokenizer(models.WordLevel(words, unk_token="[PAD]"))
    tok.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tok.decoder = decoders.Fuse()
    fast = hf.PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<s>", eos_token="</s>", pad_token="[PAD]")
    lm = HFPredictor(network("llama"), fast)
    assert (lm.bos_id, lm.eos_id) == (1, 2)
    t = trace(lm, ["abc", "", "h a"])
    assert t.texts == ("abc", "", "h a")
    assert t.char_span.tolist() == [[0, 1], [1, 2], [2, 3], [0, 1], [1, 2], [2, 3]]
    assert t.n_chars.tolist() == [3, 0, 3]
    assert lm.decode(lm.encode("bad")) == "bad"
    bits = t.nll() / math.log(2)
    assert t.bits_per_byte()[0] == pytest.approx(bits[0] / 3)
    assert math.isnan(t.bits_per_char()[1])
    unscored = trace(lm, ["abc"], bos="none")
    assert unscored.n_chars.tolist() == [2]
    assert unscored.n_bytes.tolist() == [2]
    prompt = trace(lm, "abc", context="de")
    np.testing.assert_allclose(prompt.logprob, trace(lm, [[3, 4, 5]], context=[6, 7]).logprob, atol=1e-6)
    raw = trace(HFPredictor(network("llama"), bos_id=1), ["abc"], tokenizer=tok)
    np.testing.assert_allclose(raw.logprob, t[0].logprob, atol=1e-6)
    with pytest.raises(ValueError, match="no tokenizer"):
        trace(HFPredictor(network("llama")), "abc")
    other = hf.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({**words, "a": 4, "b": 3}, unk_token="[PAD]")), bos_token="<s>"
    )
    with pytest.raises(ValueError, match="another tokenizer"):
        trace(lm, "abc", references=HFPredictor(network("neox"), other))


def test_bytes_of_characters_that_take_several_tokens():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[: V - 3]
    every = {c: i % V for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    assert alphabet
    lm = MarkovLM.random(256, rng=0)
    tok = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(every)}, merges=[]))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "né😀"
    t = trace(lm, text, tokenizer=tok)
    assert (len(t.ids), t.n_chars[0], t.n_bytes[0]) == (7, 3, 7)
    cut = trace(lm, text, tokenizer=tok, bos="none")
    assert (cut.n_chars[0], cut.n_bytes[0]) == (2, 6)


def test_hidden_states():
    model, lm = network("llama"), HFPredictor(network("llama"), bos_id=1)
    with torch.no_grad():
        h = model(torch.tensor([[1, 9, 8, 5, 6]]), output_hidden_states=True).hidden_states[-1][0].numpy()
    for batch in (1, 2):
        last = trace(lm, [[5, 6], [5]], context=[9, 8], hidden="last", batch_size=batch)
        np.testing.assert_allclose(last.hidden, h[[4, 3]], atol=1e-5)
        end = trace(lm, [[5, 6], []], context=[9, 8], hidden="prompt_end", batch_size=batch)
        np.testing.assert_allclose(end.hidden, h[[2, 2]], atol=1e-5)
    start = trace(lm, [[5, 6]], hidden="prompt_end")
    np.testing.assert_allclose(start.hidden, h[[0]], atol=1e-5)
    long = trace(lm, [np.arange(2, 20)], window=6, stride=2, hidden="last")
    with torch.no_grad():
        h = model(torch.tensor([np.arange(14, 20).tolist()]), output_hidden_states=True).hidden_states[-1][0].numpy()
    np.testing.assert_allclose(long.hidden[0], h[-1], atol=1e-5)
    with pytest.raises(ValueError, match="transformers model"):
        trace(MarkovLM.random(4, rng=0), [1, 2], hidden="last")


def test_layers():
    lm = HFPredictor(network("llama"), bos_id=1)
    t = trace(lm, [[5, 6, 7], [8]], layers=True)
    assert t.layer_entropy.shape == (4, 3)
    np.testing.assert_allclose(t.layer_entropy[:, -1], t.entropy, atol=1e-4)
    np.testing.assert_allclose(t.layer_logprob[:, -1], t.logprob, atol=1e-4)


def test_the_model_is_left_as_it_was():
    model = copy.deepcopy(network("gpt2")).train()
    model.transformer.h[0].eval()
    lm = HFPredictor(model)
    a = trace(lm, sequences()[0])
    assert model.training
    assert not model.transformer.h[0].training
    assert model.transformer.h[1].training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    for _ in lm.blocks(sequences()[0]):
        assert not torch.is_inference_mode_enabled()
        assert model.training
    np.testing.assert_array_equal(a.logprob, trace(lm, sequences()[0]).logprob)  # no dropout
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "mamba"])
def test_sessions_are_next(family):
    lm = HFPredictor(network(family), bos_id=1)
    ids = sequences(2, (12,))[0]
    s = lm.session(ids[:4])
    np.testing.assert_allclose(s.logits, lm.next(ids[:4]), atol=1e-4)
    rows = s.feed(ids[4:9])
    for k in range(5):
        np.testing.assert_allclose(rows[k], lm.next(ids[: 5 + k]), atol=1e-4)
    fork = s.copy()
    fork.feed([3, 3])
    s.rewind(3)
    np.testing.assert_allclose(s.logits, lm.next(ids[:6]), atol=1e-4)
    np.testing.assert_allclose(s.feed(ids[6:8])[-1], lm.next(ids[:8]), atol=1e-4)
    np.testing.assert_allclose(fork.logits, lm.next([*ids[:9], 3, 3]), atol=1e-4)
    s.rewind(8)
    np.testing.assert_allclose(s.logits, lm.next([]), atol=1e-4)
    assert s.feed([]).shape == (0, V)
    with pytest.raises(ValueError, match="between 0 and"):
        s.rewind(1)


def test_sessions_slide_where_the_context_is_full():
    lm = HFPredictor(network("gpt2"), max_length=6)
    ids = sequences(2, (12,))[0]
    s = lm.session(ids[:4])
    rows = s.feed(ids[4:10])
    for k in range(6):
        np.testing.assert_allclose(rows[k], lm.next(ids[: 5 + k]), atol=1e-4)
    np.testing.assert_allclose(lm.next(ids), plain(network("gpt2"), ids[-6:])[-1] + _norm(lm, ids), atol=1e-4)
    with pytest.raises(ValueError, match="no BOS"):
        lm.next([])


def _norm(lm, ids):
    return float(torch.as_tensor(lm.next(ids)).double().logsumexp(-1))


def test_blocks_are_the_logits():
    lm, ids = HFPredictor(network("llama"), bos_id=1), sequences(3, (10,))[0]
    rows = np.concatenate([r for _, r in lm.blocks(ids)])
    assert rows.shape == (10, V)
    np.testing.assert_allclose(rows[4], lm.next(ids[:4]), atol=1e-5)
    mix = trace(MixturePredictor([lm, HFPredictor(network("neox"), bos_id=1)], [0.3, 0.7]), ids)
    q = plain(network("neox"), [1, *ids])[:-1]
    p = plain(network("llama"), [1, *ids])[:-1]
    want = np.log(0.3 * np.exp(p) + 0.7 * np.exp(q))
    same(mix, rows_of(want, ids))


def test_a_function_to_states_and_a_matrix():
    model, ids = network("gpt2"), sequences(3, (10, 4))
    lm = StatesPredictor(lambda x: model.transformer(x).last_hidden_state, model.lm_head.weight)
    for refs in ((), np.full(V, 1 / V)):
        t = trace(lm, ids, references=refs, hidden="last")
        same(t, rows_of(np.concatenate([plain(model, row)[:-1] for row in ids]), np.concatenate([r[1:] for r in ids])))
    np.testing.assert_allclose(trace((lm.body, lm.head.weight), ids).logprob, t.logprob, atol=1e-6)
    np.testing.assert_allclose(lm.next(ids[0]), HFPredictor(model).next(ids[0]), atol=1e-4)
    with pytest.raises(ValueError, match="body must give states"):
        trace(StatesPredictor(lambda x: torch.zeros(1, 3, 16), model.lm_head.weight), ids)


def test_known_worlds():
    lm = MarkovLM.random(7, sharpness=2.0, order=2, rng=1)
    ids = lm.sample(200, 50, rng=2)
    t = trace(lm, ids)
    assert t.scored.all()
    assert t.logprob.dtype == np.float64
    later = np.tile(np.arange(50) >= 2, 200)
    assert t.entropy[later].mean() == pytest.approx(lm.entropy_rate, rel=0.02)
    assert t.surprisal[later].mean() == pytest.approx(lm.entropy_rate, rel=0.02)
    other = lm.perturbed(0.7, rng=3)
    r = trace(lm, ids, references=other).refs["ref"]
    kl = (r.cross_entropy - t.entropy)[later].mean()
    assert kl == pytest.approx(lm.kl_rate(other), rel=0.05)
    cold = trace(lm, ids, temperature=0.5)
    np.testing.assert_allclose(cold.logprob[later], trace(lm.tempered(0.5), ids).logprob[later], atol=1e-9)
    assert not trace(lm, ids, bos="none").scored.reshape(200, 50)[:, 0].any()
    halves = trace(lm, ids[0], window=10, stride=4)
    np.testing.assert_allclose(halves.logprob, t[0].logprob, atol=1e-12)


def test_impossible_tokens_and_bad_logits():
    lm = MarkovLM([[0.0, 1.0], [0.5, 0.5]])
    t = trace(lm, [[0, 0, 1]], powers=[2.0], references={"c": [0.5, 0.5]})
    assert t.logprob[1] == -math.inf
    assert t.scored.all()
    assert t.nll()[0] == math.inf
    assert t.entropy[1] == 0.0
    assert t.rank[1] == 2

    class Broken(ArrayPredictor):
        def blocks(self, ids, context=()):
            yield slice(0, 1), np.array([[math.nan, 0.0]])

    with pytest.raises(ValueError, match="logits"):
        trace(Broken(np.zeros(2)), [1])


def test_answers_of_a_service():
    lm = MarkovLM.random(9, sharpness=2.0, rng=1)
    ids = lm.sample(1, 40, rng=2)[0]

    def top(past, k=3):
        row = lm.next(past)
        return {int(v): float(row[v]) for v in np.argsort(-row, kind="stable")[:k]}

    whole, told = trace(lm, ids, top_k=3), trace(TopKPredictor(top, 9), ids, top_k=3, powers=[2.0])
    known = told.scored
    assert 0 < known.sum() < 40
    np.testing.assert_allclose(told.logprob[known], whole.logprob[known])
    assert (told.rank[known] == whole.rank[known]).all()
    assert (told.topk_ids == whole.topk_ids)[known].all()
    np.testing.assert_allclose(told.max_logprob, whole.max_logprob)
    assert np.isnan(told.entropy).all()
    assert told.meta["unknown"] == ["entropy", "varentropy", "power[2]"]
    with pytest.raises(ValueError, match="surely"):
        trace(TopKPredictor(top, 9), ids, top_k=4)
    with pytest.raises(ValueError, match="whole laws"):
        trace(TopKPredictor(top, 9), ids, references=lm)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (3.5, TypeError, "texts or token ids"),
        ([[1.5, 2.0]], TypeError, "whole numbers"),
        (np.zeros((2, 2, 2), int), ValueError, "two-dimensional"),
        ([[1, -1]], ValueError, "at least 0"),
        (["a", 3], TypeError, "mixes"),
        ({"ids": [1]}, ValueError, "input_ids"),
    ],
)
def test_wrong_input(given, error, words):
    with pytest.raises(error, match=words):
        trace(MarkovLM.random(4, rng=0), given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stats": "entropy"}, "stats must be"),
        ({"route": "fast"}, "route must be"),
        ({"dtype": "int8"}, "dtype must be"),
        ({"hidden": "first"}, "hidden must be"),
        ({"batch_size": 0}, "batch_size"),
        ({"temperature": 0.0}, "temperature"),
        ({"top_k": 9}, "top_k"),
        ({"js": True}, "needs references"),
        ({"vocab_size": 9}, "vocab_size"),
    ],
)
def test_wrong_settings(options, words):
    with pytest.raises(ValueError, match=words):
        trace(MarkovLM.random(4, rng=0), [1, 2], **options)


def test_models_that_are_none():
    with pytest.raises(TypeError, match="model must be"):
        trace(3, [1])
    with pytest.raises(ValueError, match="output matrix"):
        trace(network("llama").model, [1])
