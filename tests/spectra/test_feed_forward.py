import math
import sys

import numpy as np
import pytest

from plogp import spectra, trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
nn = torch.nn

GPT2 = {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 40, "n_positions": 64}
LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "vocab_size": 40,
    "pad_token_id": 0,
}


def make(cls, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cls(config).eval()


def gpt2(**more):
    return make(transformers.GPT2LMHeadModel, transformers.GPT2Config(**GPT2, **more))


def llama():
    return make(transformers.LlamaForCausalLM, transformers.LlamaConfig(**LLAMA))


def ids(rows=6, columns=20, vocabulary=40):
    return torch.randint(1, vocabulary, (rows, columns), generator=torch.Generator().manual_seed(1))


class Toy(nn.Module):
    """Blocks of one MLP each, on given rows."""

    def __init__(self, act, depth=2, width=24):
        super().__init__()
        self.layers = nn.ModuleList()
        for seed in range(depth):
            block = nn.Module()
            block.up, block.down = nn.Linear(8, width), nn.Linear(width, 8)
            for p in block.parameters():
                nn.init.normal_(p, generator=torch.Generator().manual_seed(seed))
            self.layers.append(block)
        self.act = act

    def forward(self, x):
        for block in self.layers:
            x = x + block.down(self.act(block.up(x)))
        return x


@pytest.fixture(autouse=True)
def _families(monkeypatch):
    from plogp.trace.architectures import _FAMILIES

    monkeypatch.setattr("plogp.trace.architectures._FAMILIES", dict(_FAMILIES))
    trace.register_architecture("Toy", blocks="layers", up="up", down="down")


def by_definition(pre, post):
    """The metrics of the paper, written out on NumPy covariance matrices."""
    out, shares = {}, []
    for side, x in (("pre", pre), ("post", post)):
        x = x.double().reshape(-1, x.shape[-1]).numpy()
        lam = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1].clip(0)
        p = lam / lam.sum()
        d = len(p)
        out[f"se_{side}"] = -sum(v * math.log(v) for v in p if v > 0)
        out[f"pr_{side}"] = lam.sum() ** 2 / (lam**2).sum()
        out[f"eee_{side}"] = (np.cumsum(p) - np.arange(1, d + 1) / d).sum() / (d / 2)
        shares.append(p)
    size = max(map(len, shares))
    p, q = (np.pad(s, (0, size - len(s))) for s in shares)
    kl = [sum(a * math.log(2 * a / (a + b)) for a, b in zip(u, v) if a > 0) for u, v in ((p, q), (q, p))]
    out["js"] = 0.5 * sum(kl)
    out["pr_gain"] = out["pr_post"] / out["pr_pre"]
    out["delta_eee"] = out["eee_post"] - out["eee_pre"]
    return out


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_matches_its_definition(kind):
    model = {"gpt2": gpt2, "llama": llama}[kind]()
    table = spectra.ffn_spectra(model, ids())
    seen = {}
    blocks = model.transformer.h if kind == "gpt2" else model.model.layers
    for i, block in enumerate(blocks):
        first = block.mlp.c_fc if kind == "gpt2" else block.mlp.gate_proj
        last = block.mlp.c_proj if kind == "gpt2" else block.mlp.down_proj
        first.register_forward_hook(lambda m, a, o, i=i: seen.__setitem__((i, 0), o.detach()))
        last.register_forward_pre_hook(lambda m, a, i=i: seen.__setitem__((i, 1), a[0].detach()))
    model(ids())
    assert [row.layer for row in table] == [0, 1, 2]
    for row in table:
        assert row.n == 120
        assert row.width == (64 if kind == "gpt2" else 24)
        expected = by_definition(seen[row.layer, 0], seen[row.layer, 1])
        for name, value in expected.items():
            assert getattr(row, name) == pytest.approx(value, rel=2e-4, abs=2e-5), name


def test_the_gate_half_of_phi3():
    config = transformers.Phi3Config(**{**LLAMA, "num_key_value_heads": 2})
    model = make(transformers.Phi3ForCausalLM, config)
    table = spectra.ffn_spectra(model, ids())
    assert table[0].width == 24
    with trace.capture(model, model.model.layers[1].mlp.gate_up_proj) as both:
        model(ids())
    gate = next(iter(both.values()))[..., :24]
    assert table[1].se_pre == pytest.approx(by_definition(gate, gate)["se_pre"], rel=1e-4)


def test_without_a_nonlinearity_nothing_changes():
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    for row in spectra.ffn_spectra(Toy(lambda h: h), x):
        assert row.js == pytest.approx(0.0, abs=1e-12)
        assert row.pr_gain == pytest.approx(1.0, abs=1e-9)
        assert row.delta_eee == pytest.approx(0.0, abs=1e-9)


def test_a_power_of_the_input_scales_nothing():
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = spectra.ffn_spectra(Toy(torch.relu).double(), x, [0])[0]
    model = Toy(torch.relu).double()
    for p in model.layers[0].up.parameters():
        p.data.mul_(50.0)
    fifty = spectra.ffn_spectra(model, x, [0])[0]
    for name in ("se_pre", "se_post", "pr_post", "eee_post", "js"):
        assert getattr(fifty, name) == pytest.approx(getattr(one, name), rel=1e-9)


def test_known_spectra():
    """White pre-activations are uniform; one shared direction is rank one."""
    model = Toy(lambda h: h.sum(-1, keepdim=True).expand_as(h), depth=1, width=8)
    model.layers[0].up.weight.data = torch.eye(8)
    model.layers[0].up.bias.data.zero_()
    x = torch.cat([torch.eye(8), -torch.eye(8)])
    row = spectra.ffn_spectra(model.double(), x.double())[0]
    assert row.se_pre == pytest.approx(math.log(8), abs=1e-12)
    assert row.pr_pre == pytest.approx(8.0, abs=1e-10)
    assert row.eee_pre == pytest.approx(0.0, abs=1e-12)
    assert row.se_post == pytest.approx(0.0, abs=1e-10)
    assert row.pr_post == pytest.approx(1.0, abs=1e-10)
    assert row.eee_post == pytest.approx(1 - 1 / 8, abs=1e-10)


def test_batches_and_passes_do_not_matter():
    model, x = gpt2(), ids()
    whole = spectra.ffn_spectra(model, x)
    parts = spectra.ffn_spectra(model, [x[:1], {"input_ids": x[1:4]}, [x[4:], "labels"]], at_once=2, progress=True)
    for name in ("n", "se_pre", "pr_post", "js"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-5)
    some = spectra.ffn_spectra(model, iter([x]), [-1, 0], device="cpu")
    assert [row.layer for row in some] == [0, 2]
    assert some[1].se_post == pytest.approx(whole[2].se_post, rel=1e-9)
    with pytest.raises(ValueError, match="can be read only once"):
        spectra.ffn_spectra(model, iter([x]), at_once=1)


def test_padding_does_not_count():
    model = gpt2()
    x = ids(2, 12)
    padded = torch.cat([x, torch.zeros(2, 5, dtype=torch.long)], 1)
    mask = torch.cat([torch.ones(2, 12), torch.zeros(2, 5)], 1)
    empty = {"input_ids": padded, "attention_mask": torch.zeros_like(mask)}
    plain = spectra.ffn_spectra(model, x)
    masked = spectra.ffn_spectra(model, [{"input_ids": padded, "attention_mask": mask}, empty])
    assert masked[0].n == 24
    np.testing.assert_allclose(masked["se_post"], plain["se_post"], rtol=1e-4)
    given = spectra.ffn_spectra(model, padded, mask=mask)
    np.testing.assert_allclose(given["se_post"], plain["se_post"], rtol=1e-4)
    counted = spectra.ffn_spectra(model, {"input_ids": padded, "attention_mask": mask}, mask=None)
    assert counted[0].n == 34


def test_the_model_is_left_as_it_was():
    model = gpt2(resid_pdrop=0.5).train()
    model.transformer.h[1].eval()
    first, second = (spectra.ffn_spectra(model, ids()) for _ in range(2))
    np.testing.assert_array_equal(first["se_pre"], second["se_pre"])  # no dropout
    assert model.training
    assert not model.transformer.h[1].training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_half_precision():
    model = gpt2()
    full = spectra.ffn_spectra(model, ids())
    half = spectra.ffn_spectra(model.to(torch.bfloat16), ids())
    np.testing.assert_allclose(half["se_post"], full["se_post"], rtol=0.05)


def test_a_dead_layer_is_nan():
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    model = Toy(lambda h: torch.zeros_like(h), depth=1)
    row = spectra.ffn_spectra(model, x)[0]
    assert math.isfinite(row.se_pre)
    assert math.isnan(row.se_post)
    assert math.isnan(row.js)
    assert math.isnan(row.pr_gain)


def test_table():
    table = spectra.ffn_spectra(gpt2(), ids())
    assert len(table) == 3
    assert table[1].name == "transformer.h.1"
    assert table["pr_gain"].shape == (3,)
    assert table.mean()["js"] == pytest.approx(table["js"].mean())
    assert "MLP spectra of gpt2 (120 tokens, width 64)" in repr(table)
    assert repr(table).count("\n") == 4
    assert set(table.to_dicts()[0]) >= {"layer", "se_pre", "delta_eee"}
    assert "pre" not in table.to_dicts()[0]
    assert float(table[0].pre.divergence(table[0].post, "kl")) > 0
    with pytest.raises(KeyError, match="no column 'pre'"):
        table["pre"]


def test_plots():
    pytest.importorskip("matplotlib").use("Agg")
    assert len(spectra.ffn_spectra(gpt2(), ids()).plot()) == 4
    callback = spectra.FFNSpectrumCallback(1)
    callback(1, gpt2(), ids())
    assert len(callback.plot(["se_pre", "js"])[0].lines) == 3


def test_hostile_input():
    model = gpt2()
    for layers in ([3], [-4], [True], ["0"], []):
        with pytest.raises(ValueError, match="layers"):
            spectra.ffn_spectra(model, ids(), layers)
    with pytest.raises(ValueError, match="at_once"):
        spectra.ffn_spectra(model, ids(), at_once=0)
    with pytest.raises(ValueError, match="hold no batch"):
        spectra.ffn_spectra(model, [])
    with pytest.raises(TypeError, match="token ids, a mapping"):
        spectra.ffn_spectra(model, "a text")
    with pytest.raises(TypeError, match="a batch must be"):
        spectra.ffn_spectra(model, ["a text"])
    with pytest.raises(ValueError, match="at least 2"):
        spectra.ffn_spectra(model, ids(1, 1))
    with pytest.raises(ValueError, match="register_architecture"):
        spectra.ffn_spectra(nn.Linear(2, 2), ids())
    broken = gpt2()
    broken.transformer.h[0].mlp.c_fc.weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        spectra.ffn_spectra(broken, ids())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in broken.modules())


# ------------------------------------------------------------------------------------------------ callback


def test_a_plain_loop():
    model, x = gpt2(), ids()
    logged = []
    callback = spectra.FFNSpectrumCallback(every=3, layers=[1], on_record=logged.append)
    results = [callback(step, model, x) for step in range(1, 8)]
    assert [r is not None for r in results] == [True, False, True, False, False, True, False]
    assert logged == callback.history
    assert [t.step for t in logged] == [1, 3, 6]
    assert results[0][0].se_post == spectra.ffn_spectra(model, x, [1])[0].se_post
    assert callback.to_dicts()[2]["step"] == 6
    steps, curve = callback.curve("js")
    assert steps.tolist() == [1, 3, 6]
    assert curve.shape == (3, 1)


def test_watching_needs_no_further_pass():
    model, x = gpt2(), ids()
    calls = []
    model.register_forward_hook(lambda *a: calls.append(1))
    callback = spectra.FFNSpectrumCallback(every=2)
    for step in (1, 2, 3):
        with callback.watching(step, model):
            loss = model(x, labels=x).loss
        loss.backward()
    assert len(calls) == 3
    assert [t.step for t in callback.history] == [1, 2]
    with pytest.raises(RuntimeError, match="stop"), callback.watching(4, model):
        raise RuntimeError("stop")
    assert len(callback.history) == 2
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_share_of_the_tokens():
    model, x = gpt2(), ids(16, 32)
    whole = spectra.ffn_spectra(model, x)
    some = spectra.FFNSpectrumCallback(share=0.25, rng=3)
    table = some(1, model, x)
    assert table[0].n == 128
    np.testing.assert_allclose(table["se_pre"], whole["se_pre"], rtol=0.1)
    again = spectra.FFNSpectrumCallback(share=0.25, rng=3)(1, model, x)
    np.testing.assert_array_equal(table["js"], again["js"])
    identity = spectra.FFNSpectrumCallback(share=0.5)(1, Toy(lambda h: h), torch.randn(64, 8))
    assert identity["js"] == pytest.approx(0.0, abs=1e-12)  # the same tokens on both sides


def test_in_a_transformers_trainer(tmp_path):
    pytest.importorskip("accelerate")
    x = ids(16, 12)
    data = [{"input_ids": row, "labels": row, "attention_mask": torch.ones(12)} for row in x]
    callback = spectra.FFNSpectrumCallback(every=2)
    assert isinstance(callback, transformers.TrainerCallback)
    assert isinstance(callback, spectra.FFNSpectrumCallback)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=4,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
    )
    model = gpt2()
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback])
    trainer.train()
    assert [t.step for t in callback.history] == [1, 2, 4]
    assert callback.history[0][0].n == 48
    logged = [entry for entry in trainer.state.log_history if "ffn_se_pre" in entry]
    assert [entry["step"] for entry in logged] == [1, 2, 4]
    assert logged[0]["ffn_js"] == callback.history[0].mean()["js"]
    assert not any(m._forward_pre_hooks for m in model.modules())


def events(callback, model, steps, finish=True):
    """What a Trainer does, without one."""
    state = type("State", (), {"global_step": 0, "log_history": []})()
    callback.on_init_end(None, state, None)
    for step in range(steps):
        state.global_step = step
        callback.on_step_begin(None, state, None, model=model)
        model(ids(2, 8))
        if not finish:
            break
        state.global_step = step + 1
        callback.on_step_end(None, state, None)
        callback.on_evaluate(None, state, None)
    callback.on_train_end(None, state, None)
    return state


def test_without_transformers(monkeypatch):
    monkeypatch.delitem(sys.modules, "transformers")
    model = make(transformers.GPT2LMHeadModel, transformers.GPT2Config(**GPT2))
    callback = spectra.FFNSpectrumCallback(every=2)
    assert type(callback) is spectra.FFNSpectrumCallback
    state = events(callback, model, 4)
    assert [t.step for t in callback.history] == [1, 2, 4]
    assert len(state.log_history) == 3
    with pytest.raises(AttributeError, match="no attribute 'steps'"):
        _ = callback.steps
    events(callback, model, 1, finish=False)
    assert len(callback.history) == 3
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_hostile_callbacks():
    for every in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="every must be"):
            spectra.FFNSpectrumCallback(every)
    for share in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="share must be"):
            spectra.FFNSpectrumCallback(share=share)
    with pytest.raises(ValueError, match="nothing is recorded"):
        spectra.FFNSpectrumCallback().curve("js")
    callback = spectra.FFNSpectrumCallback()
    with pytest.raises(ValueError, match="no activations went through"), callback.watching(1, gpt2()):
        pass
