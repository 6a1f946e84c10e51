"""DREAM's draft head: features, pruning, the gated head, its loss, and its use as a draft."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from plogp.decode import (  # noqa: E402  after the optional dependencies
    DraftHead,
    DraftLoss,
    SpeculativeDecoder,
    Tree,
    attention_entropy,
    prune_tokens,
    select_mid_features,
)
from plogp.decode.draft import received_attention  # noqa: E402
from plogp.measures import entropy  # noqa: E402


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_attention_entropy_is_the_mean_entropy_of_the_heads():
    a = torch.softmax(3 * randn(2, 3, 5, 7).double(), -1)
    want = np.mean(entropy(a.numpy()), axis=1)
    assert attention_entropy(a, eps=0).numpy() == pytest.approx(want, abs=1e-12)
    assert attention_entropy(a).numpy() == pytest.approx(want, abs=1e-6)
    uniform = torch.full((1, 2, 4, 9), 1 / 9)
    assert attention_entropy(uniform).numpy() == pytest.approx(np.full((1, 4), math.log(9)), abs=1e-6)
    sure = torch.eye(4)[None, None]
    assert attention_entropy(sure, eps=0).abs().max() == 0
    assert attention_entropy(uniform.bfloat16()).dtype == torch.float32
    with pytest.raises(ValueError, match="heads"):
        attention_entropy(torch.ones(3, 3))


def test_the_mid_feature_is_that_of_the_most_concentrated_early_layer():
    hidden = [torch.full((1, 3, 2), float(i)) for i in range(13)]
    attention = [torch.full((1, 2, 3, 4), 0.25) for _ in range(12)]
    attention[2] = torch.eye(4)[:3].expand(1, 2, 3, 4)
    features, layers = select_mid_features(hidden, attention)  # of layers 1 and 2 of the first 4
    assert layers.tolist() == [[2, 2, 2]]
    assert (features == 2).all()
    attention[0] = attention[3] = attention[4] = attention[2]  # the ends and what lies deeper are not looked at
    attention[2] = attention[5]
    attention[1] = torch.tensor([0.7, 0.1, 0.1, 0.1]).expand(1, 2, 3, 4)
    assert select_mid_features(hidden, attention)[1].tolist() == [[1, 1, 1]]
    with pytest.raises(ValueError, match="at least 3"):
        select_mid_features(hidden[:8], attention[:7])
    with pytest.raises(ValueError, match="one more"):
        select_mid_features(hidden[:12], attention)


def test_pruning_keeps_texts_order_and_the_best_images():
    ids = torch.tensor([[1, 9, 9, 9, 9, 2], [1, 9, 2, 3, 4, 5]])
    embeds = randn(2, 6, 3)
    scores = torch.tensor([[0, 4, 1, 3, 2, 0], [0, 1, 0, 0, 0, 0]]).float()
    new, vectors, mask = prune_tokens(ids, embeds, scores, 0.5, image_token=9, pad=7)
    assert new.tolist() == [[1, 9, 9, 2, 7, 7], [1, 9, 2, 3, 4, 5]]
    assert torch.equal(vectors[0, :4], embeds[0, [0, 1, 3, 5]])
    assert vectors[0, 4:].abs().max() == 0
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    same = prune_tokens(ids, embeds, scores, 1.0, prunable=ids == 9)
    assert torch.equal(same[0], ids)
    seen = received_attention(torch.softmax(randn(2, 3, 4, 6), -1))
    assert seen.shape == (2, 6)
    assert seen.sum(1).numpy() == pytest.approx(1, abs=1e-5)
    for bad in ({"keep": 0.0, "image_token": 9}, {"image_token": None}, {"image_token": 9, "prunable": ids == 9}):
        with pytest.raises(ValueError, match=r"keep|exactly one"):
            prune_tokens(ids, embeds, scores, **bad)


def test_closed_gates_make_the_head_blind_to_features():
    head, x = DraftHead(16, 2, rng=0), randn(2, 6, 16)
    a, b = (head(x, randn(2, 5, 16, seed=s))[0] for s in (1, 2))
    assert torch.equal(a, b)
    with torch.no_grad():
        head.blocks[1].attention_gate.fill_(1.0)
    assert (head(x, randn(2, 5, 16, seed=1))[0] - a).abs().max() > 1e-4


def test_the_head_never_looks_ahead():
    head, x, f = DraftHead(16, 2, rng=0), randn(1, 6, 16), randn(1, 5, 16, seed=1)
    with torch.no_grad():
        head.blocks[1].attention_gate.fill_(1.0)
        head.blocks[1].mlp_gate.fill_(0.5)
    hidden, mid = head(x, f)
    later = x.clone()
    later[:, 4:] += 1
    assert torch.allclose(head(later, f)[0][:, :4], hidden[:, :4], atol=1e-6)
    features = f.clone()
    features[:, 3:] += 1  # position 3's feature is first seen at position 4
    assert torch.allclose(head(x, features)[0][:, :4], hidden[:, :4], atol=1e-6)
    assert (head(x, features)[1][:, 4] - mid[:, 4]).abs().max() > 1e-5
    alone, _ = head(x[:, :1], f[:, :0])
    assert torch.allclose(alone[:, 0], hidden[:, 0], atol=1e-6)
    assert torch.equal(DraftHead(16, 2, rng=0)(x, f)[0], DraftHead(16, 2, rng=0)(x, f)[0])


def test_the_head_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    DraftHead(16, 2, rng=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_loss_is_its_three_terms():
    hidden, target, mid, want = (randn(2, 4, 6, seed=s).double() for s in range(4))
    head = torch.nn.utils.skip_init(torch.nn.Linear, 6, 9, bias=False, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(randn(9, 6, seed=9))
    head.requires_grad_(False)
    mask = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 1]])
    terms = DraftLoss().terms(hidden, mid, target, want, head, mask)
    keep = mask.bool()
    smooth = torch.nn.functional.smooth_l1_loss
    p, q = (torch.log_softmax(head(h), -1) for h in (target, hidden))
    kl = (p.exp() * (p - q)).sum(-1)[keep].mean()
    assert float(terms.prediction) == pytest.approx(float(kl), abs=1e-12)
    assert float(terms.feature) == pytest.approx(float(smooth(hidden[keep], target[keep])), abs=1e-12)
    assert float(terms.mid) == pytest.approx(float(smooth(mid[keep], want[keep])), abs=1e-12)
    assert float(terms.total) == pytest.approx(float(0.2 * terms.feature + terms.prediction + terms.mid))
    released = DraftLoss(released=True).terms(hidden, mid, target, want, head, mask)
    assert float(released.prediction) == pytest.approx(float(terms.prediction) / 9)
    assert float(released.feature) == pytest.approx(float(terms.feature) * 5 / 8)
    assert float(DraftLoss(mid=0).terms(hidden, mid, target, None, head).mid) == 0
    reverse = DraftLoss(divergence="reverse_kl").terms(hidden, mid, target, want, head, mask).prediction
    assert float(reverse) == pytest.approx(float((q.exp() * (q - p)).sum(-1)[keep].mean()), abs=1e-12)


def test_gradients_reach_the_draft_only():
    hidden, target = randn(1, 2, 3).double().requires_grad_(), randn(1, 2, 3, seed=1).double().requires_grad_()
    head = torch.nn.Linear(3, 4, bias=False).double().requires_grad_(False)
    loss = DraftLoss(mid=0.0)
    assert torch.autograd.gradcheck(lambda h: loss(h, h, target, None, head), hidden)
    loss(hidden, hidden, target, None, head).backward()
    assert target.grad is None
    assert hidden.grad.abs().max() > 0
    with pytest.raises(ValueError, match="mask"):
        loss(hidden, hidden, target, None, head, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="must match"):
        loss(hidden, hidden, target[:, :1], None, head)


@pytest.fixture(scope="module")
def target():
    from plogp.trace import HFPredictor

    config = transformers.LlamaConfig(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return HFPredictor(transformers.LlamaForCausalLM(config).eval())


@pytest.mark.parametrize("tree", [Tree(3, 3, 9), Tree.chain(3), Tree(2, 2, 6, sample=True)])
def test_the_head_drafts_and_the_output_stays_the_targets(target, tree):
    head = DraftHead(32, 4, 48, rng=0)
    with torch.no_grad():
        head.blocks[1].attention_gate.fill_(0.5)
    plain = target.model.generate(torch.tensor([[1, 5]]), max_new_tokens=12, do_sample=False)[0, 2:].tolist()
    out = SpeculativeDecoder(target, head.draft(target), tree, sample=False).decode([1, 5], 12, eos=(), rng=0)
    assert out.ids.tolist() == plain
    assert out.report["target_passes"] == out.report["rounds"]


def test_tree_drafting_reads_what_the_plain_head_reads(target):
    """Along one path the reader's states are the head's own, with its states standing in for the missing features."""
    from plogp.decode.readers import TreePassReader

    head = DraftHead(32, 4, 48, rng=0)
    with torch.no_grad():
        head.blocks[1].attention_gate.fill_(0.5)
    text = np.array([1, 5, 9])
    reader = TreePassReader(target, text, hidden=True)
    draft = head.draft(target).reader(reader, text)
    assert not draft.ready
    reader.laws([], [], [-1])
    reader.commit([4], [])
    draft.commit([4], [])
    assert draft.ready
    assert reader.features.shape == (3, 32)
    embed, out = target.model.get_input_embeddings(), target.model.get_output_embeddings()
    with torch.no_grad():
        hidden, _ = head(embed(torch.tensor([[1, 5, 9, 4]])), reader.features[None])
        want = out(hidden[0, -1]).numpy()
        assert draft.laws([], [], [-1])[0] == pytest.approx(want, abs=1e-4)
        known = torch.cat([reader.features, hidden[0, -1:]])[None]
        hidden, _ = head(embed(torch.tensor([[1, 5, 9, 4, 8]])), known)
        want = out(hidden[0, -1]).numpy()
    assert draft.laws([3, 8], [-1, -1], [0, 1])[1] == pytest.approx(want, abs=1e-4)


def test_hostile_heads(target):
    for hidden, heads in ((16, 3), (6, 2)):
        with pytest.raises(ValueError, match="heads"):
            DraftHead(hidden, heads)
    with pytest.raises(ValueError, match="embeds"):
        DraftHead(16, 2, rng=0)(torch.zeros(1, 2, 8), torch.zeros(1, 1, 16))
    head = DraftHead(32, 4, rng=0).draft(target)
    with pytest.raises(ValueError, match="paths"):
        SpeculativeDecoder(target, head, verify="paths").decode([1], 3)
