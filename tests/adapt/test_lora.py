"""Low-rank adapters and how far they depend on the layer beneath."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn

from plogp.adapt import LoRALinear, lora_dependency


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def adapted(rank: int = 2, d_in: int = 6, d_out: int = 4) -> LoRALinear:
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(d_in, d_out), rank, alpha=3.0)
    nn.init.normal_(layer.B.weight, generator=generator(1))
    return layer


def test_the_adapter_is_low_rank_and_starts_at_nothing():
    base = nn.Linear(6, 4)
    layer = LoRALinear(base, 2, alpha=6.0, rng=generator())
    x = torch.randn(10, 6, generator=generator(2))
    assert torch.equal(layer(x), base(x))
    nn.init.normal_(layer.B.weight)
    delta = layer.scaling * layer.B.weight @ layer.A.weight
    torch.testing.assert_close(layer(x), base(x) + x @ delta.T)
    assert torch.linalg.matrix_rank(delta) == 2
    assert layer.scaling == 3.0
    merged = layer.merge()
    torch.testing.assert_close(merged(x), layer(x))
    assert merged.weight.requires_grad
    assert not base.weight.requires_grad
    assert [n for n, p in layer.named_parameters() if p.requires_grad] == ["A.weight", "B.weight"]
    again = LoRALinear(nn.Linear(6, 4), 2, rng=generator())
    assert torch.equal(again.A.weight, layer.A.weight)
    with pytest.raises(ValueError, match="rank must be"):
        LoRALinear(base, 0)


def test_js_against_scipy():
    layer = adapted()
    x = torch.randn(50, 6, generator=generator())
    found = lora_dependency(nn.Sequential(layer), x)
    o = layer.base(x).softmax(-1).detach().numpy()
    a = (layer.scaling * layer.B(layer.A(x))).softmax(-1).detach().numpy()
    assert found.mean == pytest.approx(float(np.mean(jensenshannon(o, a, axis=1) ** 2)), rel=1e-5)
    scaled = lora_dependency(nn.Sequential(layer), x, scaled=True)
    assert scaled.mean == pytest.approx(found.mean * math.log(2))
    assert found.rows[0].layer == "0"
    assert found.rows[0].tokens == 50


def test_equal_branches_have_js_zero_and_cka_one():
    layer = LoRALinear(nn.Linear(5, 3, bias=False), 3)
    u, s, v = torch.linalg.svd(layer.base.weight.detach(), full_matrices=False)
    layer.A.weight.data, layer.B.weight.data = s[:, None] * v, u
    x = torch.randn(40, 5, generator=generator())
    assert lora_dependency(layer, x).mean == pytest.approx(0.0, abs=1e-6)
    assert lora_dependency(layer, x, "cka").mean == pytest.approx(1.0, abs=1e-5)


def test_cka_is_the_same_in_both_forms():
    layer = adapted(3, 8, 20)
    x = torch.randn(30, 8, generator=generator())
    few, many = lora_dependency(layer, x[:15], "cka").mean, lora_dependency(layer, x, "cka").mean
    o, a = layer.base(x).detach().double(), (layer.scaling * layer.B(layer.A(x))).detach().double()
    for n, found in ((15, few), (30, many)):
        K, L = ((v[:n] - v[:n].mean(0)) @ (v[:n] - v[:n].mean(0)).T for v in (o, a))
        assert found == pytest.approx(float((K * L).sum() / K.norm() / L.norm()), rel=1e-5)


def test_batches_layers_and_tokens():
    model = nn.Sequential(adapted(), nn.Tanh(), adapted(2, 4, 4))
    x = torch.randn(12, 6, generator=generator())
    whole, parts = lora_dependency(model, x), lora_dependency(model, [x[:5], x[5:]])
    assert [r.layer for r in whole] == ["0", "2"]
    np.testing.assert_allclose([r.score for r in whole], [r.score for r in parts], rtol=1e-6)
    assert lora_dependency(model, x, most_tokens=7).rows[0].tokens == 7
    assert whole.to_dicts()[1]["layer"] == "2"


def test_half_precision():
    layer = adapted().bfloat16()
    found = lora_dependency(layer, torch.randn(20, 6, generator=generator()).bfloat16())
    assert 0 <= found.mean <= math.log(2)


@pytest.mark.slow
def test_upper_bounds_are_estimates():
    layer = adapted(2, 6, 2)
    x = torch.randn(2000, 6, generator=generator())
    for kind in ("club", "loo"):
        found = lora_dependency(layer, x, kind)
        assert found.rows[0].estimate.has_interval
        assert math.isfinite(found.mean)


def test_the_shape_of_peft_is_understood():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.base_layer = nn.Linear(6, 4)
            self.lora_A = nn.ModuleDict({"default": nn.Linear(6, 2, bias=False)})
            self.lora_B = nn.ModuleDict({"default": nn.Linear(2, 4, bias=False)})
            self.scaling = {"default": 1.5}
            self.active_adapters = ["default"]

        def forward(self, x):
            return self.base_layer(x) + 1.5 * self.lora_B["default"](self.lora_A["default"](x))

    peft = Wrapped()
    ours = LoRALinear(peft.base_layer, 2, alpha=3.0)
    ours.A.weight.data, ours.B.weight.data = peft.lora_A["default"].weight.data, peft.lora_B["default"].weight.data
    x = torch.randn(20, 6, generator=generator())
    assert lora_dependency(nn.Sequential(peft), x).mean == pytest.approx(lora_dependency(ours, x).mean, rel=1e-6)


def test_mistakes_are_named(tmp_path):
    x = torch.zeros(3, 6)
    with pytest.raises(ValueError, match="score must be"):
        lora_dependency(adapted(), x, "mi")
    with pytest.raises(ValueError, match="no LoRALinear layer"):
        lora_dependency(nn.Linear(6, 2), x)
    import matplotlib

    matplotlib.use("Agg")
    lora_dependency(adapted(), x).plot().figure.savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1_000
