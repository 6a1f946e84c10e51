"""Masked diffusion: the two schedules, what is fixed first, the theorem on its cost, pass@k."""

import itertools
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.decode import MaskedDiffusionDecoder, pass_at_k, unmask_cost
from plogp.decode.masked_diffusion import HFMaskedPredictor, JointMaskedPredictor, MarkovMaskedPredictor, plan_law
from plogp.measures import divergence, total_correlation
from plogp.trace import MarkovLM


def joint(seed, k=3, length=4):
    return np.random.default_rng(seed).dirichlet(np.ones(k**length)).reshape((k,) * length)


plans = st.permutations(range(4)).flatmap(
    lambda order: st.lists(st.booleans(), min_size=3, max_size=3).map(
        lambda cuts: [list(group) for group in np.split(np.array(order), [i + 1 for i, cut in enumerate(cuts) if cut])]
    )
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), plans)
def test_the_cost_is_the_divergence_of_the_plans_law(seed, plan):
    p = joint(seed)
    q = plan_law(p, plan)
    assert q.sum() == pytest.approx(1)
    assert unmask_cost(p, plan) == pytest.approx(float(divergence("kl")(p.ravel(), q.ravel())), abs=1e-10)


def test_one_token_a_step_is_free_and_all_at_once_costs_the_total_correlation():
    p = joint(0)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        assert unmask_cost(p, [[i] for i in order]) == 0.0
    assert unmask_cost(p, [[0, 1, 2, 3]]) == pytest.approx(float(total_correlation(p)), abs=1e-12)
    assert unmask_cost(p, [[0, 1, 2, 3]], base=2) == pytest.approx(float(total_correlation(p, base=2)))
    coupled = np.eye(2) / 2
    assert plan_law(coupled, [[0], [1]]).tolist() == coupled.tolist()


def test_the_decoder_draws_the_plans_law():
    """Order by entropy is fixed here: position 0 is the surest, then the others together."""
    p = np.zeros((2, 2, 2))
    p[0] = np.array([[0.4, 0.1], [0.1, 0.3]])
    p[1] = np.array([[0.02, 0.03], [0.03, 0.02]])
    world = JointMaskedPredictor(p)
    decoder = MaskedDiffusionDecoder(world, steps=2, alg="entropy", temperature=1.0)
    out = decoder.generate(np.empty((1500, 0), np.int64), 3, rng=0)
    assert set(out.order[:, 0]) == {0}
    assert set(np.sort(out.order, axis=1).sum(axis=1)) == {1}  # two in the first step, one in the second
    ids = MaskedDiffusionDecoder(world, steps=3, alg="random", temperature=1.0).generate(
        np.empty((1500, 0), np.int64), 3, rng=0
    )
    counts = np.zeros_like(p)
    np.add.at(counts, tuple(ids.ids.T), 1)
    from scipy.stats import chisquare

    assert chisquare(counts.ravel(), 1500 * p.ravel()).pvalue > 0.001


def test_exact_predictors_agree():
    chain = MarkovLM.random(3, 1.5, rng=0)
    p = chain.initial
    for _ in range(3):
        p = p[..., None] * chain.transition
    ids = np.array(list(itertools.product(range(4), repeat=4)))
    assert np.exp(MarkovMaskedPredictor(chain)(ids)) == pytest.approx(np.exp(JointMaskedPredictor(p)(ids)), abs=1e-12)
    with pytest.raises(ValueError, match="probability 0"):
        JointMaskedPredictor(np.eye(2) / 2)(np.array([[0, 1]]))


def bidirectional(vocab, length, seed=0):
    """A made-up model of every position, the mask being the last id."""
    rng = np.random.default_rng(seed)
    embed, out, place = rng.normal(size=(vocab, 6)), rng.normal(size=(6, vocab)), rng.normal(size=(length, vocab))

    class World:
        vocab_size, mask_id = vocab, vocab - 1

        def __call__(self, ids):
            h = embed[ids]
            context = h.cumsum(axis=1) + h[:, ::-1].cumsum(axis=1)[:, ::-1]
            return np.tanh(context) @ out + place[: ids.shape[1]]

    return World()


def reference_llada(model, prompt, steps, length, block, cfg):
    """A plain loop over one sequence at temperature 0, written from the schedule's description."""
    mask, x = model.mask_id, np.concatenate([prompt, np.full(length, model.mask_id)])
    blocks = length // block
    for b in range(blocks):
        low, high = len(prompt) + b * block, len(prompt) + (b + 1) * block
        each = steps // blocks
        for s in range(each):
            z = model(x[None])[0]
            if cfg:
                blind = np.where(np.arange(len(x)) < len(prompt), mask, x)
                free = model(blind[None])[0]
                z = free + (cfg + 1) * (z - free)
            z[:, mask] = -np.inf
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            open_ = [i for i in range(low, high) if x[i] == mask]
            take = block // each + (s < block % each)
            for i in sorted(open_, key=lambda i: -p[i].max())[:take]:
                x[i] = p[i].argmax()
    return x[len(prompt) :]


@pytest.mark.parametrize(("steps", "block", "cfg"), [(12, 12, 0.0), (4, 12, 0.0), (6, 4, 0.8), (5, 12, 1.5)])
def test_blocks_steps_and_guidance(steps, block, cfg):
    model = bidirectional(9, 20)
    prompts = np.random.default_rng(1).integers(8, size=(3, 5))
    out = MaskedDiffusionDecoder(model, steps=steps, block=block, cfg=cfg).generate(prompts, 12)
    for row, prompt in zip(out.ids, prompts, strict=True):
        assert row.tolist() == reference_llada(model, prompt, steps, 12, block, cfg).tolist()
    assert (out.ids != model.mask_id).all()
    assert out.steps == steps
    assert out.tokens_per_step == 12 / steps
    assert out.tokens_per_second > 0
    ends = out.order.reshape(3, 12 // block, block).max(axis=2)
    assert (np.diff(ends, axis=1) > 0).all()


def test_the_dream_schedule_counts():
    model = bidirectional(9, 40)
    out = MaskedDiffusionDecoder(model, steps=8, schedule="dream", alg="entropy").generate([1, 2], 30)
    left, t = 30, np.linspace(1, 1e-3, 9)
    for i in range(8):
        n = int(left * (1 - t[i + 1] / t[i])) if i < 7 else left
        assert (out.order == i).sum() == n
        left -= n
    assert (out.ids != 8).all()
    origin = MaskedDiffusionDecoder(model, steps=10, schedule="dream", alg="origin", temperature=1.0)
    counts = np.bincount(origin.generate(np.zeros((50, 1), int), 30, rng=0).order.ravel(), minlength=10) / 1500
    assert np.abs(counts - 0.1).max() < 0.04  # linear in time


@pytest.mark.parametrize("alg", ["low_confidence", "entropy", "margin"])
def test_what_is_fixed_first(alg):
    laws = np.array([[0.5, 0.45, 0.05], [0.55, 0.23, 0.22], [0.48, 0.04, 0.48], [0.34, 0.33, 0.33]])
    measure = {
        "low_confidence": laws.max(axis=1),
        "entropy": np.sum(laws * np.log(laws), axis=1),
        "margin": np.sort(laws, axis=1)[:, -1] - np.sort(laws, axis=1)[:, -2],
    }[alg]

    class Fixed:
        vocab_size = 3

        def __call__(self, ids):
            return np.broadcast_to(np.log(laws), (len(ids), 4, 3))

    for schedule in ("llada", "dream"):
        out = MaskedDiffusionDecoder(Fixed(), 3, steps=4, alg=alg, schedule=schedule, eps=1e-9).generate([], 4)
        first = np.flatnonzero(out.order[0] == out.order[0].min())
        assert measure.argmax() in first


def test_temperature_top_p_and_drawn_positions():
    law = np.log([0.6, 0.3, 0.1])

    class Fixed:
        vocab_size = 3

        def __call__(self, ids):
            return np.broadcast_to(law, (*ids.shape, 3))

    none = np.empty((3000, 0), np.int64)
    for schedule in ("llada", "dream"):
        ids = (
            MaskedDiffusionDecoder(Fixed(), 3, steps=1, temperature=0.5, schedule=schedule).generate(none, 1, rng=0).ids
        )
        want = np.array([0.36, 0.09, 0.01]) / 0.46
        assert np.abs(np.bincount(ids.ravel(), minlength=3) / 3000 - want).max() < 0.03
    cut = MaskedDiffusionDecoder(Fixed(), 3, steps=1, temperature=1.0, schedule="dream", top_p=0.85)
    assert set(cut.generate(none, 1, rng=0).ids.ravel()) == {0, 1}
    a = MaskedDiffusionDecoder(Fixed(), 3, steps=4, alg_temp=1.0).generate(none, 4, rng=0).order
    assert np.abs((a == 0).mean(axis=0) - 0.25).max() < 0.04
    b = MaskedDiffusionDecoder(Fixed(), 3, steps=4, alg_temp=1.0).generate(none, 4, rng=0).order
    assert (a == b).all()


def test_transformers_models_and_the_shift():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertForMaskedLM(config)
    ids = np.random.default_rng(0).integers(20, size=(5, 7))
    plain = HFMaskedPredictor(model, batch_size=2)
    with torch.no_grad():
        want = model.eval()(input_ids=torch.tensor(ids)).logits.double().numpy()
    model.train()
    assert plain(ids) == pytest.approx(want, abs=1e-5)
    assert model.training
    moved = HFMaskedPredictor(model, shift=True)(ids)
    assert moved[:, 1:] == pytest.approx(want[:, :-1], abs=1e-5)
    assert moved[:, 0] == pytest.approx(want[:, 0], abs=1e-5)
    out = MaskedDiffusionDecoder(plain, mask_id=4, steps=3).generate([[1, 2], [3, 5]], 6)
    assert out.ids.shape == (2, 6)
    assert (out.ids != 4).all()
    assert "2 x 6 tokens in 3 steps" in repr(out)


def test_pass_at_k_is_the_share_of_subsets_with_a_success():
    for n, c in ((5, 0), (5, 2), (6, 6), (7, 3)):
        for k in range(1, n + 1):
            subsets = [any(i < c for i in s) for s in itertools.combinations(range(n), k)]
            assert pass_at_k(n, c, k) == pytest.approx(np.mean(subsets), abs=1e-15)
    assert pass_at_k([[4, 4]], [[0, 1]], 2).shape == (1, 2)
    for bad in ((4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)):
        with pytest.raises(ValueError, match="expected 0"):
            pass_at_k(*bad)
    with pytest.raises(TypeError, match="whole"):
        pass_at_k(4.0, 1, 1)


def test_hostile_input():
    model = bidirectional(5, 30)
    for bad in (
        {"alg": "best"},
        {"schedule": "other"},
        {"alg": "origin"},
        {"schedule": "dream", "block": 4},
        {"top_p": 0.5},
        {"steps": 0},
        {"temperature": -1.0},
        {"eps": 0.0},
    ):
        with pytest.raises(ValueError, match=r"alg|schedule|top_p|steps|eps"):
            MaskedDiffusionDecoder(model, **bad)
    decoder = MaskedDiffusionDecoder(model, steps=4, block=4)
    for length, match in ((6, "block"), (12, "blocks"), (0, "length")):
        with pytest.raises(ValueError, match=match):
            decoder.generate([1], length)
    for prompt in ([4], [-1], [9]):
        with pytest.raises(ValueError, match="prompt_ids"):
            decoder.generate(prompt, 4)
    with pytest.raises(ValueError, match="mask_id"):
        MaskedDiffusionDecoder(types.SimpleNamespace(vocab_size=3))
    for plan in ([[0, 1]], [[0, 0, 1, 2, 3]], [[0], [1], [2], [4]]):
        with pytest.raises(ValueError, match="plan"):
            unmask_cost(joint(0), plan)
    with pytest.raises(ValueError, match="joint"):
        unmask_cost(2 * joint(0), [[0], [1], [2], [3]])
