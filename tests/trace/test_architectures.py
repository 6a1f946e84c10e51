import copy

import pytest

from plogp import trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "vocab_size": 29,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT = {
    "n_embd": 16,
    "n_layer": 3,
    "n_head": 2,
    "vocab_size": 29,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GQA = {**SMALL, "num_key_value_heads": 1}
GEMMA = {**GQA, "head_dim": 8}
FAMILIES = {
    "gpt2": ("GPT2", "LMHeadModel", GPT),
    "gpt_neo": (
        "GPTNeo",
        "ForCausalLM",
        {
            "hidden_size": 16,
            "num_layers": 3,
            "num_heads": 2,
            "attention_types": [[["global", "local", "global"], 1]],
            "vocab_size": 29,
            "max_position_embeddings": 32,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "gptj": ("GPTJ", "ForCausalLM", {**GPT, "rotary_dim": 4}),
    "gpt_neox": ("GPTNeoX", "ForCausalLM", SMALL),
    "gpt_neox serial": ("GPTNeoX", "ForCausalLM", {**SMALL, "use_parallel_residual": False}),
    "llama": ("Llama", "ForCausalLM", GQA),
    "mistral": ("Mistral", "ForCausalLM", GQA),
    "qwen2": ("Qwen2", "ForCausalLM", GQA),
    "qwen3": ("Qwen3", "ForCausalLM", GEMMA),
    "gemma": ("Gemma", "ForCausalLM", GEMMA),
    "gemma2": ("Gemma2", "ForCausalLM", {**GEMMA, "final_logit_softcapping": 1.5}),
    "gemma3_text": ("Gemma3", "ForCausalLM", GEMMA),
    "phi": ("Phi", "ForCausalLM", GQA),
    "phi3": ("Phi3", "ForCausalLM", GQA),
    "opt": ("OPT", "ForCausalLM", {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": 16}),
    "opt projected": ("OPT", "ForCausalLM", {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": 8}),
    "bert": ("Bert", "ForMaskedLM", SMALL),
    "roberta": ("Roberta", "ForMaskedLM", SMALL),
}


def config_of(name):
    prefix, _, settings = FAMILIES[name]
    kind = f"{prefix}TextConfig" if prefix == "Gemma3" else f"{prefix}Config"
    return getattr(transformers, kind)(**settings)


def tiny(name, head=True):
    prefix, end, _ = FAMILIES[name]
    kind = f"{prefix}TextModel" if prefix == "Gemma3" else f"{prefix}Model"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, prefix + end if head else kind)(config_of(name)).eval()
        for p in model.parameters():  # biases, norms and small weights away from their neutral start
            p.data.add_(0.1 * torch.randn_like(p))
    return model


IDS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 3, 11, 12]])


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_projections_stand_around_the_nonlinearity(name):
    model = tiny(name)
    arch = trace.architecture(model)
    assert arch.name == name.split()[0]
    assert len(arch.blocks) == 3
    up, pre, down = list(arch.up), list(arch.pre), list(arch.down)
    names = {id(m): n for n, m in model.named_modules()}
    with (
        trace.capture(model, up) as lifted,
        trace.capture(model, pre) as before,
        trace.capture(model, down, where="input") as after,
    ):
        model(IDS)
    config = model.config
    act = transformers.activations.ACT2FN[
        getattr(config, "hidden_activation", None)
        or getattr(config, "hidden_act", None)
        or getattr(config, "activation_function", None)
    ]
    for u, p, d in zip(up, pre, down):
        x = arch.pre_activation(before[names[id(p)]])
        expected = act(x)
        if arch.gated:
            lift = lifted[names[id(u)]]
            expected = expected * (lift[..., lift.shape[-1] // 2 :] if arch.fused_gate else lift)
        torch.testing.assert_close(after[names[id(d)]], expected)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_norms_read_the_residual_stream(name):
    model = tiny(name)
    arch = trace.architecture(model)
    if arch.post_norm:
        assert name in ("bert", "roberta")
        assert arch.encoder
        assert arch.attention_norm is None
        return
    names = {id(m): n for n, m in model.named_modules()}
    read = [m for norms in (arch.attention_norm, arch.mlp_norm) if norms for m in norms]
    with (
        trace.capture(model, list(arch.blocks), where="input") as into,
        trace.capture(model, list(arch.blocks)) as out,
        trace.capture(model, read, where="input", rows=True) as norms,
        trace.capture(model, list(arch.attention)) as attention,
    ):
        model(IDS)
    for i, block in enumerate(arch.blocks):
        x, y = into[arch.names[i]], out[arch.names[i]]
        if i:
            torch.testing.assert_close(x, out[arch.names[i - 1]])
        torch.testing.assert_close(norms[names[id(arch.attention_norm[i])]], x.reshape(-1, 16))
        branch = attention[names[id(arch.attention[i])]]
        if arch.parallel:
            assert not torch.allclose(y, x + branch)
        else:
            if hasattr(block, "post_feedforward_layernorm"):
                branch = block.post_attention_layernorm(branch)
            torch.testing.assert_close(norms[names[id(arch.mlp_norm[i])]], (x + branch).reshape(-1, 16))


@pytest.mark.parametrize("name", [n for n in FAMILIES if "bert" not in n])
@torch.no_grad()
def test_logits_of_the_last_block_are_the_models(name):
    model = tiny(name)
    arch = trace.architecture(model)
    with trace.capture(model, arch.blocks[-1]) as last:
        expected = model(IDS).logits
    torch.testing.assert_close(arch.logits(last[arch.names[-1]]), expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_without_a_head(name):
    arch = trace.architecture(tiny(name, head=False))
    assert len(arch.blocks) == 3
    assert arch.unembedding is None
    if not arch.encoder:
        assert arch.final_norm is not None
        with pytest.raises(ValueError, match="no unembedding; pass the model with its language-model head"):
            arch.logits(torch.zeros(1, 16))


def test_wrappers_are_taken_off():
    model = tiny("gpt2")
    assert trace.architecture(torch.nn.DataParallel(model)).model is model

    class Peft(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def get_base_model(self):
            return self.inner

    assert trace.architecture(Peft(model)).blocks[0] is model.transformer.h[0]
    assert trace.architecture(torch.compile(model, backend="eager")).model is model


def test_opt_with_norms_behind_is_known_as_such():
    config = copy.deepcopy(config_of("opt"))
    config.do_layer_norm_before = False
    assert trace.architecture(transformers.OPTForCausalLM(config)).post_norm


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stack = torch.nn.ModuleList(
            torch.nn.ModuleDict({"a": torch.nn.Linear(4, 6), "b": torch.nn.Linear(6, 4)}) for _ in range(2)
        )


def test_an_unknown_model_is_named_and_can_be_registered(monkeypatch):
    monkeypatch.setattr("plogp.trace.architectures._FAMILIES", dict(families()))
    with pytest.raises(ValueError, match=r"where Own \(model_type None\) keeps.*register_architecture\('Own'"):
        trace.architecture(Own())
    trace.register_architecture("Own", blocks="stack", up="a", down="b", gated=True)
    arch = trace.architecture(Own())
    assert arch.gated
    assert arch.gate is None
    assert arch.pre == arch.up
    assert arch.up[1].out_features == 6
    trace.register_architecture("Own", blocks="stack", up="a", down="c")
    with pytest.raises(ValueError, match="'Own' expects 'c' in ModuleDict, which has the modules a, b"):
        trace.architecture(Own())
    trace.register_architecture("Own", blocks="layers", up="a", down="b")
    with pytest.raises(ValueError, match="expects 'layers' in Own"):
        trace.architecture(Own())
    # the class wins over config.model_type
    trace.register_architecture("GPT2LMHeadModel", blocks="transformer.h", up="mlp.c_fc", down="mlp.c_proj")
    assert trace.architecture(tiny("gpt2")).attention is None


def families():
    from plogp.trace.architectures import _FAMILIES

    return _FAMILIES


def test_hostile_input():
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, got str"):
        trace.architecture("gpt2")
    with pytest.raises(TypeError, match="down must be text"):
        trace.register_architecture("x", blocks="b", up="u", down=None)
    with pytest.raises(ValueError, match="gate must be a dotted path"):
        trace.register_architecture("x", blocks="b", up="u", down="d", gate="")
    assert "x" not in families()
    empty = transformers.GPT2Model(transformers.GPT2Config(**{**GPT, "n_layer": 0}))
    with pytest.raises(ValueError, match="has no blocks: 'h' is empty"):
        trace.architecture(empty)
