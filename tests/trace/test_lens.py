import math

import numpy as np
import pytest

from plogp import trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT = {"n_embd": 16, "n_layer": 4, "n_head": 2, "vocab_size": 40, "n_positions": 64}
FAMILIES = {
    "GPT2LMHeadModel": transformers.GPT2Config(**GPT),
    "GPTNeoXForCausalLM": transformers.GPTNeoXConfig(**SIZES),
    "GPTJForCausalLM": transformers.GPTJConfig(**GPT, rotary_dim=4),
    "LlamaForCausalLM": transformers.LlamaConfig(**SIZES),
    "Gemma2ForCausalLM": transformers.Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=2.0),
    "PhiForCausalLM": transformers.PhiConfig(**SIZES),
    "OPTForCausalLM": transformers.OPTConfig(**SIZES, ffn_dim=24, word_embed_proj_dim=8),
}


def tiny(name="GPT2LMHeadModel", scale=0.3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, name)(FAMILIES[name])
        for p in model.parameters():
            p.data.add_(scale * torch.randn_like(p))
    return model


def some(rows=3, columns=9, seed=1):
    return torch.randint(3, 40, (rows, columns), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def written_out(model, ids):
    """GPT-2's stream, block by block, and the lens of each."""
    t = model.eval().transformer
    r = t.wte(ids) + t.wpe(torch.arange(ids.shape[1]))
    stream = [r]
    for block in t.h:
        stream.append(block(stream[-1]))
    last = [r[:, -1].double() for r in stream]
    log_p = [model.lm_head(t.ln_f(r[:, -1])).double().log_softmax(-1) for r in stream]
    return last, log_p


def test_matches_its_definition():
    model, ids = tiny(), some()
    found = trace.residual_lens(model, ids)
    stream, log_p = written_out(model, ids)
    y = log_p[-1].argmax(-1)
    assert found.layers == 4
    np.testing.assert_array_equal(found.target, y)
    for i in range(5):
        own = log_p[i].gather(-1, y[:, None])[:, 0]
        np.testing.assert_allclose(found.ce[i], -own, atol=1e-5)
        kl = (log_p[-1].exp() * (log_p[-1] - log_p[i])).sum(-1)
        np.testing.assert_allclose(found.kl[i], kl, atol=1e-5)
        np.testing.assert_allclose(found.entropy[i], -(log_p[i].exp() * log_p[i]).sum(-1), atol=1e-5)
        np.testing.assert_array_equal(found.rank[i], 1 + (log_p[i] > own[:, None]).sum(-1))
        np.testing.assert_array_equal(found.top[i], log_p[i].argmax(-1))
        np.testing.assert_allclose(found.cosine[i], torch.cosine_similarity(stream[i], stream[-1]), atol=1e-5)
        cross = -(log_p[-1].exp() * log_p[i]).sum(-1)
        np.testing.assert_allclose(found.cross_entropy[i], cross, atol=1e-5)
        if i:
            step = (stream[i] - stream[i - 1]).norm(dim=-1) / stream[i - 1].norm(dim=-1)
            np.testing.assert_allclose(found.step[i - 1], step, atol=1e-5)
    tops = found.top.T.tolist()
    expected = [min(i for i in range(5) if set(row[i:]) == {row[-1]}) for row in tops]
    assert found.settle_depth.tolist() == expected
    curve = found.ce
    np.testing.assert_allclose(found.area, (curve[0] / 2 + curve[1:-1].sum(0) + curve[-1] / 2) / 4)
    assert model.training is False


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_layer_is_the_models_own_prediction(name):
    model, ids = tiny(name), some()
    found = trace.residual_lens(model, ids, target=some(3, 1, 5)[:, 0])
    with torch.no_grad():
        log_p = model.eval()(ids).logits[:, -1].double().log_softmax(-1)
    np.testing.assert_allclose(found.output_ce, -log_p.gather(-1, some(3, 1, 5))[:, 0], atol=1e-5)
    np.testing.assert_array_equal(found.top[-1], log_p.argmax(-1))
    assert (found.kl[-1] == 0).all()
    assert (found.kl >= -1e-9).all()
    np.testing.assert_allclose(found.cosine[-1], 1.0, atol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(name, side):
    model = tiny(name)
    alone = [trace.residual_lens(model, some(1, n, n)[0]) for n in (4, 7, 9)]
    ids, mask = torch.zeros(3, 9, dtype=torch.long), torch.zeros(3, 9, dtype=torch.long)
    for i, n in enumerate((4, 7, 9)):
        place = slice(9 - n, 9) if side == "left" else slice(0, n)
        ids[i, place], mask[i, place] = some(1, n, n)[0], 1
    found = trace.residual_lens(model, ids, attention_mask=mask)
    for i, one in enumerate(alone):
        assert one.ce.shape == (5,)
        np.testing.assert_allclose(found.ce[:, i], one.ce, atol=2e-4)
        assert found.settle_depth[i] == one.settle_depth


def test_positions():
    model, ids = tiny(), some(3, 9)
    several = trace.residual_lens(model, ids, positions=[[0, 8], [3, 4], [-1, -9]])
    assert several.ce.shape == (5, 3, 2)
    assert several.settle_depth.shape == (3, 2)
    cut = trace.residual_lens(model, ids[1:2, :4])
    np.testing.assert_allclose(several.ce[:, 1, 0], cut.ce[:, 0], atol=1e-5)
    each = trace.residual_lens(model, ids, positions=[8, 4, 0])
    np.testing.assert_allclose(
        each.ce, np.stack([several.ce[:, 0, 1], several.ce[:, 1, 1], several.ce[:, 2, 1]], 1), atol=1e-5
    )
    everywhere = trace.residual_lens(model, ids, positions=-1)
    np.testing.assert_allclose(everywhere.ce, trace.residual_lens(model, ids).ce, atol=1e-5)
    one = trace.residual_lens(model, ids[0], positions=range(9), target=ids[0])
    assert one.ce.shape == (5, 9)
    assert one.target.tolist() == ids[0].tolist()


def test_layers_that_add_nothing_leave_the_prediction():
    model = tiny()
    for block in model.transformer.h:
        for p in (*block.attn.c_proj.parameters(), *block.mlp.c_proj.parameters()):
            p.data.zero_()
    found = trace.residual_lens(model, some())
    np.testing.assert_allclose(found.ce, found.ce[:1].repeat(5, 0), atol=1e-12)
    np.testing.assert_allclose(found.kl, 0.0, atol=1e-12)
    assert (found.settle_depth == 0).all()
    assert (found.step == 0).all()
    model = tiny()
    for p in (*model.transformer.h[2].attn.c_proj.parameters(), *model.transformer.h[2].mlp.c_proj.parameters()):
        p.data.zero_()
    found = trace.residual_lens(model, some())
    np.testing.assert_allclose(found.ce[3], found.ce[2], atol=1e-12)
    assert not np.allclose(found.ce[2], found.ce[1])


def test_no_logits_of_all_tokens_are_made():
    model, ids = tiny(), some(3, 50)
    sizes = []
    model.lm_head.register_forward_hook(lambda m, a, out: sizes.append(out.numel()))
    trace.residual_lens(model, ids)
    assert max(sizes) == 3 * 40
    assert len(sizes) == 6  # the model's own, its check, and four layers
    assert len(model.lm_head._forward_pre_hooks) == 0


def test_half_precision():
    model, ids = tiny(scale=0.1), some()
    full = trace.residual_lens(model, ids)
    half = trace.residual_lens(model.to(torch.bfloat16), ids, target=full.target)
    np.testing.assert_allclose(half.ce, full.ce, atol=0.3)
    assert half.ce.dtype == np.float64


def test_a_model_of_ones_own(monkeypatch):
    from plogp.trace.architectures import _FAMILIES

    monkeypatch.setattr("plogp.trace.architectures._FAMILIES", dict(_FAMILIES))

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = torch.nn.Linear(8, 12), torch.nn.Linear(12, 8)

        def forward(self, x):
            return x + self.down(torch.relu(self.up(x)))

    class Own(torch.nn.Module):
        def __init__(self, scale=1.0):
            super().__init__()
            self.embed, self.blocks = torch.nn.Embedding(20, 8), torch.nn.ModuleList(Block() for _ in range(3))
            self.norm, self.out, self.scale = torch.nn.LayerNorm(8), torch.nn.Linear(8, 20), scale

        def forward(self, tokens):
            x = self.embed(tokens)
            for block in self.blocks:
                x = block(x)
            return self.scale * self.out(self.norm(x))

    trace.register_architecture("Own", blocks="blocks", up="up", down="down", final_norm="norm", unembedding="out")
    found = trace.residual_lens(Own(), some() % 20)
    assert found.layers == 3
    with pytest.raises(ValueError, match="do not give the model's own prediction"):
        trace.residual_lens(Own(2.0), some() % 20)
    with pytest.raises(ValueError, match="takes no attention_mask"):
        trace.residual_lens(Own(), some() % 20, attention_mask=torch.tensor([[1] * 9, [1] * 9, [0] + [1] * 8]))


def test_printing_and_plots():
    found = trace.residual_lens(tiny(), some())
    assert "ResidualTrace(4 layers, (3,); mean cross-entropy by layer" in repr(found)
    pytest.importorskip("matplotlib").use("Agg")
    assert len(found.plot().lines) == 3
    assert len(found.plot("step").lines[0].get_xdata()) == 4
    with pytest.raises(ValueError, match="metric must be one of"):
        found.plot("loss")


def test_hostile_input():
    model, ids = tiny(), some()
    for bad in (torch.zeros(0), torch.zeros(2, 0, dtype=torch.long), torch.zeros(1, 2, 3, dtype=torch.long)):
        with pytest.raises((TypeError, ValueError), match="input_ids must"):
            trace.residual_lens(model, bad)
    with pytest.raises(ValueError, match="attention_mask has shape"):
        trace.residual_lens(model, ids, attention_mask=torch.ones(3, 8))
    with pytest.raises(ValueError, match="masks all of sequence 1"):
        trace.residual_lens(model, ids, attention_mask=torch.tensor([[1] * 9, [0] * 9, [1] * 9]))
    for positions in (9, -10, [[]] * 3):
        with pytest.raises((ValueError, TypeError), match="positions must"):
            trace.residual_lens(model, ids, positions=positions)
    with pytest.raises(ValueError, match=r"positions must have shape \(3,\) or \(3, P\), got \(2,\)"):
        trace.residual_lens(model, ids, positions=[1, 2])
    with pytest.raises(ValueError, match="a position is padding"):
        trace.residual_lens(model, ids, positions=0, attention_mask=torch.tensor([[0] + [1] * 8] * 3))
    with pytest.raises(ValueError, match="target must be 'argmax'"):
        trace.residual_lens(model, ids, target="next")
    with pytest.raises(ValueError, match=r"target has shape \(2,\); expected one token for each position: \(3,\)"):
        trace.residual_lens(model, ids, target=[1, 2])
    with pytest.raises(ValueError, match="outside the vocabulary of 40"):
        trace.residual_lens(model, ids, target=40)
    with pytest.raises(TypeError, match="target must be"):
        trace.residual_lens(model, ids, target=0.5)
    with pytest.raises(ValueError, match=r"TunedLens\.fit"):
        trace.residual_lens(model, ids, lens="tuned")
    with pytest.raises(TypeError, match="lens must be"):
        trace.residual_lens(model, ids, lens=3)
    with pytest.raises(ValueError, match="GPT2Model has no unembedding"):
        trace.residual_lens(model.transformer, ids)
    bert = transformers.BertForMaskedLM(transformers.BertConfig(**SIZES))
    with pytest.raises(ValueError, match="is bidirectional"):
        trace.residual_lens(bert, ids)


# ------------------------------------------------------------------------------------------------ tuned lens


def test_a_tuned_lens_starts_as_the_logit_lens_and_improves():
    model, ids = tiny(scale=0.2), some(16, 24)
    model.train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    lens = trace.TunedLens(4, 16)
    plain = trace.residual_lens(model, ids)
    np.testing.assert_allclose(trace.residual_lens(model, ids, lens=lens).ce, plain.ce, atol=1e-6)
    lens = trace.TunedLens.fit(model, [ids[:8], {"input_ids": ids[8:]}], steps=60, lr=1e-2, rng=0, progress=True)
    better = trace.residual_lens(model, ids, lens=lens)
    assert (better.kl[:-1].mean(1) < plain.kl[:-1].mean(1)).all()
    np.testing.assert_array_equal(better.ce[-1], plain.ce[-1])
    assert lens.history[-1] < lens.history[0]
    assert len(lens.history) == 60
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters())
    assert model.training
    again = trace.TunedLens.fit(model, [ids[:8], {"input_ids": ids[8:]}], steps=60, lr=1e-2, rng=0)
    assert torch.equal(again.weight, lens.weight)


def test_training_solves_a_problem_with_a_known_answer():
    """A stream that the last block shifts by a constant: the lens of every layer before it is that shift."""
    model = tiny(scale=0.1)
    for block in model.transformer.h:
        for p in (*block.attn.c_proj.parameters(), *block.mlp.c_proj.parameters()):
            p.data.zero_()
    model.transformer.h[3].mlp.c_proj.bias.data.copy_(torch.linspace(-1, 1, 16))
    lens = trace.TunedLens.fit(model, some(16, 24), steps=100, lr=5e-2, rng=0)
    plain = trace.residual_lens(model, some()).kl
    tuned = trace.residual_lens(model, some(), lens=lens).kl
    assert (tuned[:4] < 0.03 * plain[:4]).all()


def test_saves_and_loads(tmp_path):
    lens = trace.TunedLens.fit(tiny(), some(), steps=3, rng=0)
    lens.save(tmp_path / "lens.safetensors")
    loaded = trace.TunedLens.load(tmp_path / "lens.safetensors")
    assert torch.equal(loaded.weight, lens.weight)
    assert torch.equal(loaded.bias, lens.bias)
    assert repr(loaded) == "TunedLens(layers=4, width=16)"
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"holds no tuned lens: \{'weight': \(3,\)\}"):
        trace.TunedLens.load(tmp_path / "other.safetensors")


def test_the_lens_may_be_any_callable():
    model, ids = tiny(), some()
    seen = []

    def shifted(residual, layer):
        seen.append(layer)
        return residual + 0.1

    found = trace.residual_lens(model, ids, lens=shifted)
    assert seen == [0, 1, 2, 3]
    assert found.kl[-1].max() == 0


def test_padding_is_not_trained_on():
    model, ids = tiny(), some(4, 12)
    mask = torch.ones_like(ids)
    mask[:, 6:] = 0
    padded = ids * mask
    few = trace.TunedLens.fit(model, {"input_ids": padded, "attention_mask": mask}, steps=2, tokens=1000, rng=0)
    cut = trace.TunedLens.fit(model, ids[:, :6], steps=2, tokens=1000, rng=0)
    torch.testing.assert_close(few.weight, cut.weight, atol=1e-5, rtol=1e-2)


def test_hostile_lenses():
    model, ids = tiny(), some()
    for bad in ({"steps": 0}, {"tokens": 0}, {"lr": 0.0}, {"lr": math.nan}):
        with pytest.raises(ValueError, match="must be"):
            trace.TunedLens.fit(model, ids, **bad)
    with pytest.raises(ValueError, match=r"no \(more\) batches"):
        trace.TunedLens.fit(model, iter([ids]), steps=2)
    with pytest.raises(ValueError, match="all padding"):
        trace.TunedLens.fit(model, {"input_ids": ids, "attention_mask": torch.zeros_like(ids)}, steps=1)
    with pytest.raises(ValueError, match="the lens is for 3 layers of width 16, but GPT2LMHeadModel has 4 of width 16"):
        trace.residual_lens(model, ids, lens=trace.TunedLens(3, 16))
    with pytest.raises(ValueError, match="of width 8, but"):
        trace.residual_lens(model, ids, lens=trace.TunedLens(4, 8))
    with pytest.raises(ValueError, match="layers must be"):
        trace.TunedLens(0, 8)
    with pytest.raises(ValueError, match="layer must lie between 0 and 4"):
        trace.TunedLens(4, 8)(torch.zeros(8), 5)
