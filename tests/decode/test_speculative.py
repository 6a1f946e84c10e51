"""Speculative decoding keeps the target's law: the rule, chains and trees, any predictor and transformers models."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from plogp.decode import SpeculativeDecoder, TopK, Tree, accept
from plogp.decode.readers import SessionReader, path_to
from plogp.decode.speculative import acceptance_rate, expected_length, residual
from plogp.measures import divergence
from plogp.trace import MarkovLM

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def laws(seed, size, zeros=False):
    p = np.random.default_rng(seed).dirichlet(np.ones(size), 2)
    if zeros:
        p[:, 0] = 0
        p /= p.sum(axis=1, keepdims=True)
    return p


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.booleans())
def test_accepted_and_residual_mass_make_the_target(seed, size, zeros):
    p, q = laws(seed, size, zeros)
    rate = float(acceptance_rate(p, q))
    assert rate == pytest.approx(np.minimum(p, q).sum(), abs=1e-12)
    assert rate == pytest.approx(1 - float(divergence("tv")(p, q)), abs=1e-12)
    assert np.minimum(p, q) + (1 - rate) * residual(p, q) == pytest.approx(p, abs=1e-12)


def exact_law_of_accept(p, q, k):
    """The law of accept's token with k candidates drawn without replacement from q, by enumeration."""
    out = np.zeros_like(p)
    for drawn in itertools.permutations(range(len(p)), k):
        weight, left = 1.0, q.copy()
        for x in drawn:
            weight *= left[x] / left.sum()
            left[x] = 0
        now, proposal, alive = p.copy(), q.copy(), weight
        for x in drawn:
            step = proposal / proposal.sum()
            a = min(1.0, now[x] / step[x])
            out[x] += alive * a
            alive *= 1 - a
            now = residual(now, step)
            proposal[x] = 0
        out += alive * now
    return out


def test_several_candidates_keep_the_law_by_enumeration_and_by_draws():
    p, q = laws(0, 4)
    for k in (1, 2, 3):
        assert exact_law_of_accept(p, q, k) == pytest.approx(p, abs=1e-12)
    rng = np.random.default_rng(1)
    for how in ("drawn", "chosen"):
        counts = np.zeros(4)
        for _ in range(2500):
            keys = np.log(q) + rng.gumbel(size=4)
            candidates = np.argsort(-(keys if how == "drawn" else q))[:2].tolist()
            counts[accept(p, q if how == "drawn" else None, candidates, rng)[0]] += 1
        assert chisquare(counts, 2500 * p).pvalue > 0.001


def test_accept_at_the_edges():
    assert accept([0.0, 1.0], [0.5, 0.5], [0], rng=0) == (1, -1)
    assert accept([0.3, 0.7], None, [], rng=0)[1] == -1
    with pytest.raises(ValueError, match="distinct"):
        accept([0.5, 0.5], [0.5, 0.5], [0, 0])
    with pytest.raises(ValueError, match="probability 0"):
        accept([0.5, 0.5], [1.0, 0.0], [1])
    with pytest.raises(ValueError, match="p"):
        accept([0.5, 0.6], [0.5, 0.5], [1])


def test_expected_length_of_independent_acceptances():
    rng = np.random.default_rng(0)
    runs = rng.random((40_000, 5)) < 0.7
    length = 1 + np.cumprod(runs, axis=1).sum(axis=1)
    assert expected_length(0.7, 5) == pytest.approx(length.mean(), abs=4 * length.std() / 200)
    assert expected_length(0.7, 5) == pytest.approx((1 - 0.7**6) / 0.3)


TREES = {
    "chain": Tree.chain(3),
    "adaptive chain": Tree.chain(4, max_entropy=1.2),
    "drawn tree": Tree(3, 2, 9, sample=True),
    "likeliest tree": Tree(2, 3, 7),
    "pruned tree": Tree(3, 3, 5),
}


@pytest.mark.parametrize("name", TREES)
def test_sampled_text_follows_the_target(name):
    """The first token and the pairs of the second and third against the chain's exact law."""
    target = MarkovLM.random(4, 1.0, rng=0)
    decoder = SpeculativeDecoder(target, target.perturbed(2.0, rng=1), TREES[name])
    rng = np.random.default_rng(2)
    first, counts = np.zeros(4), np.zeros((4, 4))
    for _ in range(600):
        x, a, b = decoder.decode([0], 3, rng=rng).ids
        first[x] += 1
        counts[a, b] += 1
    law = (target.transition[0] @ target.transition)[:, None] * target.transition
    assert chisquare(first, 600 * target.transition[0]).pvalue > 0.001
    assert chisquare(counts.ravel(), 600 * law.ravel()).pvalue > 0.001


def test_temperature_and_sampler_change_the_law_of_all_tokens():
    target = MarkovLM.random(5, 1.0, rng=3)
    decoder = SpeculativeDecoder(target, target.perturbed(0.5, rng=1), Tree(2, 2, 6), temperature=0.5)
    rng = np.random.default_rng(0)
    counts = np.zeros((5, 5))
    for _ in range(500):
        out = decoder.decode([1], 2, rng=rng, sampler=TopK(3))
        counts[tuple(out.ids)] += 1
    law = np.array([np.where(row >= np.sort(row)[-3], row, 0) ** 2 for row in target.transition])
    law /= law.sum(axis=1, keepdims=True)
    want = (law[1][:, None] * law).ravel()
    assert (counts.ravel()[want == 0] == 0).all()
    assert chisquare(counts.ravel()[want > 0], 500 * want[want > 0]).pvalue > 0.001


def test_a_perfect_draft_is_always_accepted_and_the_rate_is_one_minus_tv():
    target = MarkovLM.random(6, 1.0, rng=0)
    out = SpeculativeDecoder(target, target, Tree.chain(4)).decode([0], 50, rng=0)
    assert out.report["mean_accepted"] == 4.0
    assert out.report["rounds"] == 10
    other = target.perturbed(1.0, rng=1)
    rounds = SpeculativeDecoder(target, other, Tree.chain(1)).decode([0], 800, rng=0)
    ids = np.concatenate([[0], rounds.ids])
    starts = np.concatenate([[0], np.cumsum(rounds.report["accepted"] + 1)])[:-1]
    want = np.array([acceptance_rate(target.transition[ids[i]], other.transition[ids[i]]) for i in starts])
    got = rounds.report["accepted"]
    assert got.mean() == pytest.approx(want.mean(), abs=4 * np.sqrt((want * (1 - want)).sum()) / len(want))


def test_greedy_is_the_targets_argmax_whatever_the_tree():
    target = MarkovLM.random(8, 1.0, order=2, rng=0)
    draft = MarkovLM.random(8, 1.0, rng=1)
    want = SpeculativeDecoder(target, target, Tree.chain(1), sample=False).decode([0, 1], 25).ids.tolist()
    state, plain = [0, 1], []
    for _ in range(25):
        plain.append(int(target.next(state).argmax()))
        state.append(plain[-1])
    assert want == plain
    for tree in TREES.values():
        out = SpeculativeDecoder(target, draft, tree, sample=False).decode([0, 1], 25, rng=0)
        assert out.ids.tolist() == plain
        assert out.logprob == pytest.approx(
            [target.next([0, 1, *plain[:i]])[t] for i, t in enumerate(plain)], abs=1e-12
        )


def test_the_tree_keeps_its_size_and_its_best_nodes():
    target = MarkovLM.random(20, 1.0, rng=0)
    decoder = SpeculativeDecoder(target, target, Tree(4, 3, 10))
    reader = SessionReader(target, np.array([0]))
    tree = decoder._grow(reader, 3, np.array([0]), None, np.random.default_rng(0))
    assert len(tree.tokens) == 10
    assert tree.parents[0] == -1
    assert all(parent < i for i, parent in enumerate(tree.parents))
    whole = SpeculativeDecoder(target, target, Tree(4, 3, 999))._grow(reader, 3, np.array([0]), None, None)
    assert len(whole.tokens) == 4 + 16 + 16
    assert sorted(tree.score) == pytest.approx(sorted(whole.score)[-10:])
    for i, score in enumerate(tree.score):
        path = [0, *(tree.tokens[j] for j in path_to(i, tree.parents))]
        assert score == pytest.approx(sum(np.log(target.transition[a, b]) for a, b in itertools.pairwise(path)))
    drawn = SpeculativeDecoder(target, target, Tree(4, 3, 10, sample=True))._grow(
        reader, 3, np.array([0]), None, np.random.default_rng(0)
    )
    assert len(drawn.tokens) == 8  # whole sets of siblings


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def llama(request):
    return tiny(request.param)


def tiny(attention="sdpa", seed=0):
    config = transformers.LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.25,
        attn_implementation=attention,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.LlamaForCausalLM(config).eval()


def test_one_tree_pass_reads_what_every_path_reads(llama):
    from plogp.decode.readers import TreePassReader
    from plogp.trace import HFPredictor

    predictor = HFPredictor(llama)
    whole, paths = TreePassReader(predictor, np.array([1, 5, 9])), SessionReader(predictor, np.array([1, 5, 9]))
    tokens, parents = [3, 4, 7, 7, 2, 8], [-1, -1, 0, 1, 2, 4]
    everything = range(-1, 6)
    assert whole.laws(tokens, parents, everything) == pytest.approx(paths.laws(tokens, parents, everything), abs=1e-4)
    assert whole.laws([6], [-1], [0, -1]) == pytest.approx(paths.laws([6], [-1], [0, -1]), abs=1e-4)  # read again
    for reader in (whole, paths):
        reader.laws(tokens, parents, everything)
        reader.commit([3, 7, 2, 11], [0, 2, 4])
    assert whole.laws(tokens, parents, everything) == pytest.approx(paths.laws(tokens, parents, everything), abs=1e-4)
    assert whole.passes == 4


def test_greedy_tree_decoding_of_a_transformers_model(llama):
    from plogp.trace import HFPredictor

    target = HFPredictor(llama)
    plain = llama.generate(torch.tensor([[1, 5, 9]]), max_new_tokens=16, do_sample=False)[0, 3:].tolist()
    draft = HFPredictor(tiny(seed=1))
    for draft_model, tree in ((draft, Tree(4, 3, 12)), (target, Tree(2, 4, 8)), (draft, Tree.chain(3))):
        out = SpeculativeDecoder(target, draft_model, tree, sample=False).decode([1, 5, 9], 16, eos=())
        assert out.ids.tolist() == plain
        assert out.report["verification"] == "tree"
        assert out.report["target_passes"] == out.report["rounds"]
        paths = SpeculativeDecoder(target, draft_model, tree, sample=False, verify="paths")
        by_path = paths.decode([1, 5, 9], 16, eos=())
        assert by_path.ids.tolist() == plain
        assert by_path.report["verification"] == "paths"
    same = SpeculativeDecoder(target, target, Tree.chain(4), sample=False).decode([1], 20, eos=(), rng=0)
    assert same.ids.tolist() == llama.generate(torch.tensor([[1]]), max_new_tokens=20, do_sample=False)[0, 1:].tolist()
    likeliest = SpeculativeDecoder(target, target, Tree(1, 4, 4), sample=False).decode([1], 20, eos=())
    assert likeliest.report["accepted"].tolist() == [4, 4, 4, 4]


def test_sliding_windows_are_read_path_by_path():
    from plogp.trace import HFPredictor

    config = transformers.MistralConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=4,
        initializer_range=0.25,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.MistralForCausalLM(config).eval()
    target = HFPredictor(model)
    out = SpeculativeDecoder(target, MarkovLM.random(40, rng=0), Tree(3, 2, 6), sample=False).decode([1, 5], 12, eos=())
    assert out.report["verification"] == "paths"
    plain = model.generate(torch.tensor([[1, 5]]), max_new_tokens=12, do_sample=False)
    assert out.ids.tolist() == plain[0, 2:].tolist()
    with pytest.raises(ValueError, match="full attention"):
        SpeculativeDecoder(target, target, verify="tree").decode([1, 5], 3)


def test_behind_the_end_of_the_context_the_text_is_read_path_by_path():
    from plogp.trace import HFPredictor

    def network(seed):
        config = transformers.GPT2Config(
            vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=16, initializer_range=0.4
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return HFPredictor(transformers.GPT2LMHeadModel(config).eval())

    target, ids = network(0), [1, 5]
    for _ in range(24):
        ids.append(int(np.argmax(target.next(ids))))
    run = SpeculativeDecoder(target, network(1), Tree(3, 3, 9), sample=False)
    assert run.decode([1, 5], 12, eos=()).report["verification"] == "tree"
    out = run.decode([1, 5], 24, eos=())
    assert out.ids.tolist() == ids[2:]
    assert out.report["verification"] == "paths"
    with pytest.raises(ValueError, match="context of 16 tokens"):
        SpeculativeDecoder(target, target, Tree(3, 3, 9), sample=False, verify="tree").decode([1, 5], 24, eos=())


@pytest.mark.parametrize("family", ["Bloom", "Falcon", "Mpt", "OpenAIGPT", "GPTNeo"])
def test_models_that_count_positions_themselves_are_read_path_by_path(family):
    from plogp.trace import HFPredictor

    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = {
        "Bloom": lambda: transformers.BloomConfig(vocab_size=40, hidden_size=16, n_layer=1, n_head=2),
        "Falcon": lambda: transformers.FalconConfig(**sizes, alibi=True, new_decoder_architecture=False),
        "Mpt": lambda: transformers.MptConfig(vocab_size=40, d_model=16, n_layers=1, n_heads=2, expansion_ratio=2),
        "OpenAIGPT": lambda: transformers.OpenAIGPTConfig(vocab_size=40, n_embd=16, n_layer=1, n_head=2),
        "GPTNeo": lambda: transformers.GPTNeoConfig(
            vocab_size=40, hidden_size=16, num_layers=1, num_heads=2, attention_types=[[["local"], 1]], window_size=6
        ),
    }[family]()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = "OpenAIGPTLMHeadModel" if family == "OpenAIGPT" else f"{family}ForCausalLM"
        model = getattr(transformers, head)(config).eval()
        for p in model.parameters():
            p.data.mul_(8.0 if p.ndim > 1 else 1.0)
    target = HFPredictor(model)
    out = SpeculativeDecoder(target, MarkovLM.random(40, rng=0), Tree(3, 2, 6), sample=False).decode([1, 5], 8, eos=())
    assert out.report["verification"] == "paths"
    ids = [1, 5]
    for _ in range(8):
        ids.append(int(np.argmax(target.next(ids))))
    assert out.ids.tolist() == ids[2:]


def test_ends_stops_and_lengths():
    target = MarkovLM.random(6, 1.0, rng=0)
    run = SpeculativeDecoder(target, target, Tree(2, 3, 6), sample=False).decode
    whole = run([0], 20).ids.tolist()
    end = whole[4]
    assert run([0], 20, eos=end).ids.tolist() == whole[: whole.index(end) + 1]
    assert run([0], 20, stop=lambda ids: len(ids) >= 7).ids.tolist() == whole[:7]
    for n in (0, 1, 2):
        assert run([0], n).ids.tolist() == whole[:n]


def test_hostile_input():
    chain = MarkovLM.random(4, rng=0)
    for bad in ({"top_k": 0}, {"depth": 0}, {"nodes": 0}, {"max_entropy": -1.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Tree(**bad)
    with pytest.raises(ValueError, match="temperature"):
        SpeculativeDecoder(chain, chain, temperature=0)
    with pytest.raises(ValueError, match="vocabulary"):
        SpeculativeDecoder(chain, MarkovLM.random(5, rng=0))
    with pytest.raises(ValueError, match="both needed"):
        SpeculativeDecoder(chain).decode([0], 3)
    with pytest.raises(ValueError, match="transformers model"):
        SpeculativeDecoder(chain, chain, verify="tree").decode([0], 3)
