"""The room's common test: what every sampler promises, over all of them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.decode.contrast import CAD, USCD, AdaCAD, Contrast
from plogp.decode.sampler import SAMPLERS, Sampler, Temperature, get_sampler
from plogp.decode.style import NGramPrior
from plogp.decode.tail_mix import TailMix
from plogp.decode.top_h import TopH
from plogp.decode.truncation import MinP, TopK, Truncation
from plogp.decode.typical import Typical
from plogp.trace import MarkovLM, NGramLM

V = 12
OTHER = np.random.default_rng(99).normal(size=V)


def other(emitted):
    return np.broadcast_to(OTHER, (len(emitted), V))


@cache
def style() -> NGramLM:
    return NGramLM(order=3, vocab_size=V).fit(MarkovLM.random(V, 2.0, rng=1).sample(3, 60, rng=0))


FACTORIES = {name: lambda name=name: get_sampler(name) for name in SAMPLERS} | {
    "tight-" + name: lambda name=name, entry=entry: get_sampler(name, min(entry.grid))
    for name, entry in SAMPLERS.items()
}
FACTORIES |= {
    "top-h-partial": lambda: TopH(0.3, rule="partial"),
    "top-h-released": lambda: TopH(0.3, rule="released", temperature=1.7),
    "typical-tempered": lambda: Typical(0.3, temperature=0.5),
    "tail-band": lambda: TailMix(0.2, 0.0, band=(3, 6)),
    "tail-reference": lambda: TailMix(0.2, 0.7, reference=np.arange(1, V + 1)),
    "cad": lambda: CAD(other, 1.0),
    "adacad": lambda: AdaCAD(other, 0.1),
    "uscd": lambda: USCD(other, theta_rel=0.9, keep=1.0),
    "contrast-prob": lambda: Contrast(other, 2.0, space="prob"),
    "ngram": lambda: NGramPrior(style(), 0.5),
    "pipeline": lambda: Temperature(0.7) | TopH(0.5) | TopK(3),
    "stateful-pipeline": lambda: AdaCAD(other) | Temperature(1.3) | get_sampler("mirostat") | MinP(0.05),
}
IDS = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [1, 1, 1], [2, 0, 2]])


def rows(dtype=np.float64) -> np.ndarray:
    z = np.random.default_rng(0).normal(0, 3, (5, V))
    z[1, ::2] = -np.inf
    z[2] = np.round(z[2])  # ties
    z[3] = np.where(np.arange(V) == 4, 1e4, -1e4)
    z[4] = 2.5
    return z.astype(dtype)


@pytest.fixture(params=sorted(FACTORIES))
def sampler(request) -> Sampler:
    return FACTORIES[request.param]()


def test_every_row_keeps_a_token_and_removed_ones_stay_removed(sampler):
    z = rows()
    out = sampler.filter(z, ids=IDS)
    assert out.shape == z.shape
    assert not np.isnan(out).any()
    assert (out < np.inf).all()
    assert (out > -np.inf).any(axis=-1).all()
    brings_back = isinstance(sampler, TailMix) and sampler._reference is not None
    assert brings_back or (out[z == -np.inf] == -np.inf).all()


def test_the_input_is_not_changed_and_the_same_call_gives_the_same(sampler):
    z = rows()
    before, state = z.copy(), sampler.init_state(5)
    first = sampler.filter(z, state, IDS)
    np.testing.assert_array_equal(z, before)
    np.testing.assert_array_equal(first, sampler.filter(z, state, IDS))
    tensor = torch.tensor(z)
    sampler.filter(tensor, state, torch.tensor(IDS))
    np.testing.assert_array_equal(tensor.numpy(), before)
    first[:] = 0.0
    np.testing.assert_array_equal(z, before)


def test_a_batch_is_its_rows_one_by_one(sampler):
    z = rows()
    whole = sampler.filter(z, ids=IDS)
    for i in range(5):
        np.testing.assert_allclose(sampler.filter(z[i : i + 1], ids=IDS[i : i + 1])[0], whole[i], rtol=1e-12)
        np.testing.assert_allclose(sampler.filter(z[i], ids=IDS[i]), whole[i], rtol=1e-12)


def test_numpy_and_torch_agree(sampler):
    z = rows()
    ours = sampler.filter(z, ids=IDS)
    theirs = sampler.filter(torch.tensor(z), ids=torch.tensor(IDS))
    assert isinstance(theirs, torch.Tensor)
    np.testing.assert_array_equal(np.isinf(ours), np.isinf(theirs.numpy()))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_dtype_and_device_are_kept(sampler, dtype):
    z = torch.tensor(rows()).to(dtype)
    out = sampler.filter(z, ids=torch.tensor(IDS))
    assert out.dtype == dtype
    assert out.device == z.device
    assert not torch.isnan(out).any()
    assert (out > -math.inf).any(dim=-1).all()
    assert (out < math.inf).all()


def test_float32_of_numpy_is_kept(sampler):
    assert sampler.filter(rows(np.float32), ids=IDS).dtype == np.float32


def test_a_constant_changes_no_law(sampler):
    z = rows()
    a, b = sampler.filter(z, ids=IDS), sampler.filter(z - 7.25, ids=IDS)
    keep = z[:3] > -np.inf
    p, q = (np.exp(x - x.max(-1, keepdims=True)) for x in (a[:3], b[:3]))
    np.testing.assert_allclose((p / p.sum(-1, keepdims=True))[keep], (q / q.sum(-1, keepdims=True))[keep], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda z: z.__setitem__((2, 3), np.nan), "NaN in row 2"),
        (lambda z: z.__setitem__((1, 0), np.inf), "inf in row 1"),
    ],
)
def test_nan_and_inf_are_errors(sampler, change, words):
    z = rows()
    change(z)
    with pytest.raises(ValueError, match=words):
        sampler.filter(z, ids=IDS)


def test_a_row_without_tokens_is_an_error(sampler):
    z = rows()
    z[4] = -np.inf
    with pytest.raises(ValueError, match="all -inf in row 4"):
        sampler.filter(z, ids=IDS)
    with pytest.raises(ValueError, match="logits must have shape"):
        sampler.filter(np.zeros((3, 0)), ids=IDS[:3])


TRUNCATIONS = [
    n for n, f in FACTORIES.items() if isinstance(f(), Truncation) and "temper" not in n and "released" not in n
]


@pytest.mark.parametrize("name", sorted(TRUNCATIONS))
def test_a_truncation_leaves_the_logits_of_what_it_keeps(name):
    sampler, z = FACTORIES[name](), rows()
    out = sampler.filter(z, ids=IDS)
    kept = out > -np.inf
    np.testing.assert_array_equal(out[kept], z[kept])


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_vocabulary_of_one_token_is_served(name):
    assert np.isfinite(FACTORIES[name]().filter(np.zeros((2, 1)))).all()


def test_stateful_samplers_follow_what_was_drawn_in_transformers_as_in_a_loop(sampler):
    if not sampler.stateful:
        assert sampler.observe([0], [0.0], None) is None or sampler.init_state(1) is not None
        return
    g = np.random.default_rng(3)
    z = [g.normal(0, 2, (2, V)) for _ in range(8)]
    tokens = g.integers(0, V, (2, 8))
    ids = np.array([[0, 1], [2, 3]])
    state = sampler.init_state(2)
    for t in range(8):
        log_p = z[t] - np.log(np.exp(z[t]).sum(-1, keepdims=True))
        expected, state = sampler.step(z[t], state, ids)
        state = sampler.observe(tokens[:, t], log_p[[0, 1], tokens[:, t]], state)
        found = sampler(torch.tensor(ids), torch.tensor(z[t]))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
        ids = np.concatenate([ids, tokens[:, t : t + 1]], axis=1)
    # A new prompt, or reset(), starts anew.
    fresh = sampler.filter(z[0], ids=np.array([[0, 1], [2, 3]]))
    np.testing.assert_allclose(sampler(torch.tensor([[0, 1], [2, 3]]), torch.tensor(z[0])).numpy(), fresh, rtol=1e-9)
    sampler.reset()
    assert sampler._memory is None


def test_beam_search_is_refused_where_rows_are_followed(sampler):
    log_p = torch.log_softmax(torch.tensor(rows()[:1]).repeat(2, 1), dim=-1)
    ids = torch.tensor([[1, 2], [1, 2]])
    if not sampler.stateful:
        assert sampler(ids, log_p).shape == (2, V)
        return
    with pytest.raises(ValueError, match="beam search"):
        sampler(ids, log_p)
    # Rows that change places later are recognised too.
    sampler.reset()
    z = torch.tensor(rows()[[0, 2]])
    sampler(torch.tensor([[1, 2], [3, 4]]), z)
    with pytest.raises(ValueError, match="beam search"):
        sampler(torch.tensor([[3, 4, 0], [1, 2, 0]]), z)


def test_a_repr_names_the_parameters(sampler):
    assert type(sampler).__name__ in repr(sampler) or " | " in repr(sampler)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e4, 1e4, allow_nan=False, width=32), min_size=V, max_size=V),
    st.sampled_from(sorted(FACTORIES)),
)
def test_any_finite_row_is_served(logits, name):
    out = FACTORIES[name]().filter(np.array([logits]), ids=[[0, 1]])
    assert not np.isnan(out).any()
    assert (out > -np.inf).any()
    assert (out < np.inf).all()


@pytest.fixture(scope="module")
def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=V,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def test_works_in_generate_of_transformers(sampler, llama):
    ids = torch.tensor([[0, 1, 2], [0, 3, 4]])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        out = llama.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            logits_processor=[sampler],
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=6,
        )
    assert out.shape == (2, 9)


@pytest.mark.parametrize("name", ["mirostat", "cad", "budgeted-entropy"])
def test_beams_of_transformers_are_refused(name, llama):
    ids = torch.tensor([[0, 1, 2]])
    with pytest.raises(ValueError, match="beam search"):
        llama.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            logits_processor=[FACTORIES[name]()],
            num_beams=2,
            max_new_tokens=4,
        )


def test_stateless_samplers_serve_beams(llama):
    ids = torch.tensor([[0, 1, 2]])
    out = llama.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        logits_processor=[TopH(0.9)],
        num_beams=2,
        do_sample=False,
        max_new_tokens=4,
    )
    assert out.shape[1] == 7
