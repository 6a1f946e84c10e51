"""`generate`: what it draws, what it records, and when it stops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import plogp as pl
from plogp.decode import Mirostat, Temperature, TopK, generate
from plogp.trace import MarkovLM, NGramLM


@pytest.fixture(scope="module")
def lm():
    return MarkovLM.random(15, 1.5, rng=0)


def test_greedy_follows_the_most_probable_token(lm):
    out = generate(lm, [4], TopK(1), 12)
    expected, at = [], 4
    for _ in range(12):
        at = int(lm.transition[at].argmax())
        expected.append(at)
    assert out.ids[0].tolist() == expected
    assert out.n_kept[0].tolist() == [1] * 12
    np.testing.assert_allclose(out.drawn_entropy[0], 0.0, atol=1e-12)


def test_the_trace_is_that_of_the_unfiltered_model(lm):
    out = generate(lm, [4], Temperature(0.5) | TopK(3), 40, num_samples=3, rng=1)
    direct = pl.trace.trace(lm, list(out.ids), context=[[4]] * 3)
    for name in ("logprob", "entropy", "varentropy", "max_logprob", "rank"):
        np.testing.assert_allclose(getattr(out.trace, name), getattr(direct, name), atol=1e-6)
    assert len(out.trace) == 3
    assert out.trace.scored.all()
    assert "TopK(k=3" in out.trace.meta["sampler"]


def test_without_a_sampler_the_model_is_sampled(lm):
    out = generate(lm, [4], max_new_tokens=1, num_samples=4000, rng=2)
    counts = np.bincount([int(ids[0]) for ids in out.ids], minlength=15)
    assert stats.chisquare(counts, 4000 * lm.transition[4]).pvalue > 1e-3


def test_same_seed_same_text(lm):
    a, b, c = (generate(lm, [0], Mirostat(2.0), 30, num_samples=2, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.ids, b.ids)
    assert not np.array_equal(a.ids, c.ids)


def test_samples_end_at_eos_each_by_itself(lm):
    out = generate(lm, [0], max_new_tokens=60, num_samples=20, eos=[3, 7], rng=0)
    assert sum(out.finished) > 10
    for ids, done, kept in zip(out.ids, out.finished, out.n_kept):
        assert done == bool(np.isin(ids[-1], [3, 7]))
        assert not np.isin(ids[:-1], [3, 7]).any()
        assert done or len(ids) == 60
        assert len(kept) == len(ids)
    assert out.trace.lengths.tolist() == [len(ids) for ids in out.ids]
    direct = pl.trace.trace(lm, list(out.ids), context=[[0]] * 20)
    np.testing.assert_allclose(out.trace.logprob, direct.logprob, atol=1e-6)


def test_the_law_of_transformers_generate_with_the_same_sampler():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        initializer_range=0.6,
    )
    model = LlamaForCausalLM(config).eval()
    ours = generate(pl.trace.HFPredictor(model), [1, 2, 3], TopK(1), 10)
    ids = torch.tensor([[1, 2, 3]])
    theirs = model.generate(
        ids, attention_mask=torch.ones_like(ids), logits_processor=[TopK(1)], do_sample=True, top_k=0, max_new_tokens=10
    )
    assert ours.ids[0].tolist() == theirs[0, 3:].tolist()
    assert ours.texts is None


def test_bos_is_put_before_a_prompt_once():
    lm = NGramLM(order=2, vocab_size=5, bos_id=0, eos_id=4).fit([[1, 2, 4], [1, 3, 4]])
    assert generate(lm, [], TopK(1), 3, rng=0).prompt.tolist() == [0]
    assert generate(lm, [0, 1], TopK(1), 3, rng=0).prompt.tolist() == [0, 1]
    out = generate(lm, [1], TopK(1), 9, rng=0)
    assert out.prompt.tolist() == [0, 1]
    assert out.ids[0].tolist()[-1] == 4
    assert out.finished == (True,)
    assert generate(lm, [1], TopK(1), 9, eos=(), rng=0).ids[0].shape == (9,)


def test_without_a_trace(lm):
    out = generate(lm, [0], Mirostat(2.0), 5, return_trace=False, rng=0)
    assert out.trace is None
    assert repr(out) == "Generation(1 sample of 5 tokens)"


def test_text_through_the_embedded_model():
    model = pl.trace.load_model(None)
    out = generate(model, "The ", TopK(20), 8, num_samples=2, rng=0)
    assert len(out.texts) == 2
    assert model.decode(out.ids[0]).startswith(out.texts[0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda lm: generate(lm, "text"), ValueError, "no tokenizer"),
        (lambda lm: generate(lm, [99]), ValueError, "prompt_ids"),
        (lambda lm: generate(lm, [0], max_new_tokens=0), ValueError, "max_new_tokens must be at least 1"),
        (lambda lm: generate(lm, [0], num_samples=1.5), TypeError, "num_samples must be a whole number"),
        (lambda lm: generate(lm, [0], lambda z: z), TypeError, "sampler must be a Sampler"),
        (lambda lm: generate(lm, [0], eos=77), ValueError, "eos"),
        (lambda lm: generate(3, [0]), TypeError, "model must be"),
    ],
)
def test_wrong_input(lm, call, error, words):
    with pytest.raises(error, match=words):
        call(lm)
