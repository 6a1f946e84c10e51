import copy

import numpy as np
import pytest

from plogp import adapt, spectra, trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 40,
    "max_position_embeddings": 64,
}
GPT = {"n_embd": 16, "n_layer": 5, "n_head": 2, "vocab_size": 40, "n_positions": 64}
LOCAL = ["sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention"]
FAMILIES = {
    "gpt2": ("GPT2", GPT),
    "llama": ("Llama", SIZES),
    "gpt_neo": (
        "GPTNeo",
        {
            "hidden_size": 16,
            "num_layers": 5,
            "num_heads": 2,
            "attention_types": [[["global", "local", "local", "global", "local"], 1]],
            "window_size": 4,
            "vocab_size": 40,
            "max_position_embeddings": 64,
        },
    ),
    "gptj": ("GPTJ", {**GPT, "rotary_dim": 4}),
    "gpt_neox": ("GPTNeoX", SIZES),
    "mistral": ("Mistral", {**SIZES, "sliding_window": 4}),
    "qwen2": ("Qwen2", SIZES),
    "gemma2": ("Gemma2", {**SIZES, "head_dim": 8, "sliding_window": 4, "layer_types": LOCAL}),
    "gemma3_text": ("Gemma3", {**SIZES, "head_dim": 8, "sliding_window": 4, "layer_types": LOCAL}),
    "phi": ("Phi", SIZES),
    "phi3": ("Phi3", {**SIZES, "sliding_window": None}),
    "opt": ("OPT", {**SIZES, "ffn_dim": 24, "word_embed_proj_dim": 16}),
}
#: The others repeat what these show.
OFTEN = ("gpt2", "llama", "gptj", "gemma2")
EVERY = [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
IDS = torch.randint(3, 40, (2, 12), generator=torch.Generator().manual_seed(1))


def tiny(name):
    prefix, settings = FAMILIES[name]
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config_class = getattr(transformers, "Gemma3TextConfig" if prefix == "Gemma3" else f"{prefix}Config")
    cls = getattr(transformers, prefix + ("LMHeadModel" if prefix == "GPT2" else "ForCausalLM"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cls(config_class(**settings, **special)).eval()
        for p in model.parameters():
            p.data.add_(0.2 * torch.randn_like(p))
    return model


@torch.no_grad()
def ablated(model, block, numbers):
    """The logits where the output of some attention or MLP branches is made 0 by hooks."""
    arch = trace.architecture(model)
    modules = [(arch.attention if block == "attention" else arch.mlp or arch.down)[i] for i in numbers]

    def zero(module, args, out):
        return (torch.zeros_like(out[0]), *out[1:]) if isinstance(out, tuple) else torch.zeros_like(out)

    handles = [m.register_forward_hook(zero) for m in modules]
    logits = model(IDS).logits
    for handle in handles:
        handle.remove()
    return logits


def generated(model, cache, ids=IDS, **options):
    return model.generate(ids, max_new_tokens=6, do_sample=False, use_cache=cache, eos_token_id=None, **options)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("block", ["attention", "mlp"])
def test_a_dropped_block_adds_nothing(name, block):
    model = tiny(name)
    expected = ablated(model, block, [0, 3])
    pruned = adapt.prune_blocks(model, [0, 3], block=block)
    with torch.no_grad():
        torch.testing.assert_close(pruned(IDS).logits, expected)
        assert not torch.allclose(model(IDS).logits, expected)
    assert sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("block", ["attention", "mlp", "layer"])
def test_generates_with_and_without_a_cache(name, block):
    pruned = adapt.prune_blocks(tiny(name), [0, 2], block=block)
    torch.testing.assert_close(generated(pruned, True), generated(pruned, False))
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), IDS[:1, :9]], 1)
    mask = (padded > 0).long()
    torch.testing.assert_close(
        generated(pruned, True, padded, attention_mask=mask), generated(pruned, False, padded, attention_mask=mask)
    )
    if block == "attention":
        torch.testing.assert_close(generated(pruned, True, num_beams=3), generated(pruned, False, num_beams=3))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("block", ["attention", "mlp", "layer"])
def test_saves_and_loads(name, block, tmp_path):
    pruned = adapt.prune_blocks(tiny(name), [1, 3], block=block)
    pruned.save_pretrained(tmp_path)
    loaded, report = type(pruned).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    with torch.no_grad():
        expected = pruned(IDS).logits
        torch.testing.assert_close(loaded(IDS).logits, expected)
    assert loaded.config.plogp_dropped[block] == [1, 3]
    torch.testing.assert_close(generated(loaded, True), generated(pruned, True))
    if block == "layer":
        assert loaded.config.num_hidden_layers == len(trace.architecture(loaded).blocks) == 3
    else:
        again = adapt.prune_blocks(loaded, loaded.config.plogp_dropped[block], block=block)
        with torch.no_grad():
            torch.testing.assert_close(again(IDS).logits, expected)
        again.load_state_dict(pruned.state_dict())
        with pytest.raises(RuntimeError, match="Unexpected key"):
            again.load_state_dict(tiny(name).state_dict())


@pytest.mark.parametrize("name", ["gpt2", "llama", "gptj", "gemma2"])
@torch.no_grad()
def test_a_dropped_layer_is_the_identity(name):
    model = tiny(name)
    expected = adapt.prune_blocks(adapt.prune_blocks(model, [1, 2], block="attention"), [1, 2], block="mlp")
    pruned = adapt.prune_blocks(model, [2, 1], block="layer")
    torch.testing.assert_close(pruned(IDS).logits, expected(IDS).logits)
    assert len(trace.architecture(model).blocks) == 5
    assert expected.config.plogp_dropped == {"attention": [1, 2], "mlp": [1, 2], "layer": []}


def test_layer_types_follow_their_layers():
    pruned = adapt.prune_blocks(tiny("gemma2"), [0, 3], block="layer")
    assert pruned.config.layer_types == [LOCAL[i] for i in (1, 2, 4)]
    assert [b.self_attn.layer_idx for b in pruned.model.layers] == [0, 1, 2]


def test_the_order_is_that_of_the_table():
    model = tiny("llama")
    ids = torch.randint(3, 40, (4, 40), generator=torch.Generator().manual_seed(2))
    table = spectra.block_entropy(model, ids, "mlp", k=5)
    for method in ("entropy", "cosine"):
        pruned = adapt.prune_blocks(model, table, 2, (1, 0), method)
        assert pruned.config.plogp_dropped["mlp"] == sorted(table.ranking(method, (1, 0))[:2])
        measured = adapt.prune_blocks(model, ids, 2, (1, 0), method, block="mlp", k=5)
        assert measured.config.plogp_dropped == pruned.config.plogp_dropped
    nothing = adapt.prune_blocks(model, table, 0)
    assert nothing is not model
    with torch.no_grad():
        torch.testing.assert_close(nothing(IDS).logits, model(IDS).logits)


def test_random_choice_is_repeatable_and_keeps_the_protected():
    model = tiny("gpt2")

    def drawn(seed):
        return adapt.prune_blocks(model, IDS, 1, method="random", rng=seed).config.plogp_dropped["attention"][0]

    seen = [drawn(seed) for seed in range(12)]
    assert set(seen) == {2, 3}
    assert [drawn(seed) for seed in range(3)] == seen[:3]


@pytest.mark.parametrize("block", ["attention", "layer"])
def test_greedy_measures_again(block):
    model = tiny("llama")
    ids = torch.randint(3, 40, (4, 40), generator=torch.Generator().manual_seed(2))
    pruned = adapt.prune_blocks(model, ids, 2, (1, 1), block=block, greedy=True, k=5)
    first = spectra.block_entropy(model, ids, block, k=5).ranking(protect=(1, 1))[0]
    step = adapt.prune_blocks(model, [first], block=block)
    gains = spectra.block_entropy(step, ids, block, k=5)["gain"]
    numbers = [i for i in range(5) if block == "attention" or i != first]
    left = {i: g for i, g in zip(numbers, gains) if i in (1, 2, 3) and i != first}
    assert pruned.config.plogp_dropped[block] == sorted([first, min(left, key=left.get)])


def test_in_place():
    model = tiny("gpt2")
    assert adapt.prune_blocks(model, [2], copy=False) is model
    from plogp.adapt.block_pruning import Skip

    assert isinstance(model.transformer.h[2].attn, Skip)
    assert repr(model.transformer.h[2].attn) == "Skip(attention)"
    with pytest.raises(ValueError, match="the attention of block 2 is already dropped"):
        adapt.prune_blocks(model, [2])
    both = adapt.prune_blocks(model, [3])
    assert both.config.plogp_dropped["attention"] == [2, 3]
    assert model.config.plogp_dropped["attention"] == [2]


def test_trains_and_changes_precision():
    pruned = adapt.prune_blocks(tiny("llama"), [1, 2]).train()
    pruned(IDS, labels=IDS).loss.backward()
    assert all((p.grad is not None) == p.requires_grad for p in pruned.parameters())
    frozen = [name for name, p in pruned.named_parameters() if not p.requires_grad]
    assert frozen == ["model.layers.1.input_layernorm.weight", "model.layers.2.input_layernorm.weight"]
    half = copy.deepcopy(pruned).to(torch.bfloat16)
    assert half(IDS).logits.dtype == torch.bfloat16
    assert half.state_dict()["model.layers.1.self_attn.q_proj.weight"].dtype == torch.bfloat16


def test_a_model_of_ones_own(monkeypatch):
    from plogp.trace.architectures import _FAMILIES

    monkeypatch.setattr("plogp.trace.architectures._FAMILIES", dict(_FAMILIES))

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.attention, self.mlp = torch.nn.Identity(), torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

        def forward(self, x):
            x = x + self.attention(x)
            return x + self.mlp(self.norm(x))

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stack = torch.nn.ModuleList(Block() for _ in range(4))

        def forward(self, x):
            for block in self.stack:
                x = block(x)
            return x

    paths = {"blocks": "stack", "up": "mlp", "down": "mlp", "attention": "attention", "mlp": "mlp", "mlp_norm": "norm"}
    trace.register_architecture("Own", **paths, attention_pair=False)
    model, x = Own(), torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    table = spectra.block_entropy(model, x, k=5)
    pruned = adapt.prune_blocks(model, table, 1, (1, 1))
    i = table.ranking(protect=(1, 1))[0]
    torch.testing.assert_close(pruned(x), by_hand(model, x, i))
    short = adapt.prune_blocks(model, [i], block="layer")
    assert len(short.stack) == 3


def by_hand(model, x, skipped):
    for i, block in enumerate(model.stack):
        x = x if i == skipped else x + block.attention(x)
        x = x + block.mlp(x)
    return x


def test_hostile_input():
    model = tiny("gpt2")
    table = spectra.block_entropy(model, IDS, k=5)
    for n in (-1, 3, 1.5, None, True):
        with pytest.raises(ValueError, match=r"n_drop must be a number of blocks from 0 to the 2"):
            adapt.prune_blocks(model, table, n)
    with pytest.raises(ValueError, match="method must be"):
        adapt.prune_blocks(model, table, 1, method="size")
    with pytest.raises(ValueError, match="measures attention blocks; it does not rank mlp"):
        adapt.prune_blocks(model, table, 1, block="mlp")
    with pytest.raises(ValueError, match="block must be one of"):
        adapt.prune_blocks(model, [1], block="head")
    with pytest.raises(ValueError, match="names 2 blocks to drop, but n_drop is 1"):
        adapt.prune_blocks(model, [1, 2], 1)
    for numbers in ([1, 1], [5], [-1]):
        with pytest.raises(ValueError, match="different numbers from 0 to 4"):
            adapt.prune_blocks(model, numbers)
    with pytest.raises(ValueError, match="all layers would be dropped"):
        adapt.prune_blocks(model, range(5), block="layer")
    with pytest.raises(ValueError, match="all layers would be dropped"):
        adapt.prune_blocks(model, IDS, 5, (0, 0), "random", block="layer")
    with pytest.raises(ValueError, match="pass batches"):
        adapt.prune_blocks(model, table, 1, greedy=True)
    short = adapt.prune_blocks(model, [1], block="layer")
    with pytest.raises(ValueError, match="table has 5 blocks, but the model has 4"):
        adapt.prune_blocks(short, table, 1)
    bert = transformers.BertModel(transformers.BertConfig(**SIZES))
    with pytest.raises(ValueError, match="norms behind its residual sums"):
        adapt.prune_blocks(bert, [1])
    fewer = adapt.prune_blocks(bert, [1], block="layer")
    assert fewer(IDS).last_hidden_state.shape == (2, 12, 16)
    scaled = transformers.GPT2Model(transformers.GPT2Config(**GPT, scale_attn_by_inverse_layer_idx=True))
    with pytest.raises(ValueError, match="scales attention by its layer's number"):
        adapt.prune_blocks(scaled, [1], block="layer")
    assert np.isfinite(adapt.prune_blocks(scaled, [1])(IDS).last_hidden_state.detach().numpy()).all()
