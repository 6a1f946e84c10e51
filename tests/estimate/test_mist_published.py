import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from plogp.estimate.mist_published import convert

WIDTH, FEED, HEADS, COLUMNS = 16, 24, 4, 6


class Block(nn.Module):
    """Attention block with PyTorch's own multi-head attention, under the names of the published weights."""

    def __init__(self, feed):
        super().__init__()
        self.mha = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.linear1, self.linear2 = nn.Linear(WIDTH, feed), nn.Linear(feed, WIDTH)

    def forward(self, x, y):
        h = self.norm1(x + self.mha(x, y, y)[0])
        return self.norm2(h + self.linear2(nn.functional.gelu(self.linear1(h))))


class Holder(nn.Module):
    def __init__(self, seeds=None, **blocks):
        super().__init__()
        for name, block in blocks.items():
            setattr(self, name, block)
        if seeds is not None:
            setattr(self, *seeds)


class Phi(nn.Module):
    def __init__(self):
        super().__init__()

        def learned(k):
            return nn.Parameter(torch.randn(1, k, WIDTH))

        self.embedding_mlp = nn.Sequential(
            nn.Linear(COLUMNS, 2 * WIDTH), nn.GELU(), nn.LayerNorm(2 * WIDTH), nn.Dropout(0.1),
            nn.Linear(2 * WIDTH, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH),
        )  # fmt: skip
        steps = [Holder(mab=Block(WIDTH)), nn.LayerNorm(WIDTH), nn.Dropout(0.3)]
        steps += [Holder(mab=Block(WIDTH)), nn.LayerNorm(WIDTH), nn.Dropout(0.3)]
        self.feature_interaction_block = Holder(layers=nn.ModuleList(steps))
        self.encoder = nn.Sequential(*(Holder(("i", learned(5)), mab0=Block(FEED), mab1=Block(FEED)) for _ in range(2)))
        self.pooling_pma = Holder(("s", learned(3)), mab=Block(WIDTH))
        self.decoder = nn.Sequential(Holder(mab=Block(WIDTH)), Holder(("s", learned(1)), mab=Block(WIDTH)))
        self.output_layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        h = self.embedding_mlp(x)
        for layer in self.feature_interaction_block.layers:
            h = layer.mab(h, h) if isinstance(layer, Holder) else layer(h)
        for layer in self.encoder:
            h = layer.mab1(h, layer.mab0(layer.i.expand(len(h), -1, -1), h))
        h = self.pooling_pma.mab(self.pooling_pma.s.expand(len(h), -1, -1), h)
        h = self.decoder[0].mab(h, h)
        h = self.decoder[1].mab(self.decoder[1].s.expand(len(h), -1, -1), h)
        return self.output_layer(h[:, 0])


class Network(nn.Module):
    def __init__(self, quantiles):
        super().__init__()
        self.phi = Phi()
        self.rho = nn.Sequential(
            nn.Linear(WIDTH + quantiles, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 1)
        )

    def forward(self, rows, tau=None):
        h = self.phi(rows)
        return self.rho(h if tau is None else torch.cat([h, tau], dim=1))


@pytest.fixture(scope="module", params=[True, False], ids=["quantiles", "point"])
def network(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(request.param).eval()


@pytest.mark.parametrize("prefix", ["", "core.", "msm."])
def test_same_answers(network, prefix, tmp_path):
    save_file({prefix + k: v.contiguous() for k, v in network.state_dict().items()}, str(tmp_path / "w.safetensors"))
    (tmp_path / "config.json").write_text(json.dumps({"n_phi_heads": HEADS, "phi_activation_fun": "gelu"}))
    ours = convert(tmp_path / "w.safetensors")
    rows = torch.randn(3, 17, COLUMNS, generator=torch.Generator().manual_seed(1))
    tau = torch.tensor([[0.1], [0.5], [0.9]]) if ours.quantile_conditioned else None
    with torch.no_grad():
        assert torch.allclose(ours(rows, tau), network(rows, tau), atol=1e-5)
    with pytest.raises(ValueError, match="tau must be given"):
        ours(rows, None if ours.quantile_conditioned else torch.tensor([[0.5]] * 3))


def test_estimates(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "w.pt")
    ours = convert(tmp_path / "w.pt", heads=HEADS)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 2)), rng.standard_normal(40)
    found = ours.estimate(x, y)
    rows = torch.zeros(1, 40, COLUMNS)
    rows[0, :, :3] = torch.from_numpy(np.hstack([x, y[:, None]]))
    with torch.no_grad():
        tau = torch.tensor([[0.5]]) if ours.quantile_conditioned else None
        assert found.value == pytest.approx(network(rows, tau).item(), abs=2e-3 if ours.quantile_conditioned else 1e-5)
    assert found.n == 40
    assert found.has_interval == ours.quantile_conditioned
    if found.has_interval:
        low, high = found.interval(0.9)
        assert low <= found.value <= high
        assert math.isfinite(found.se)
    else:
        with pytest.raises(ValueError, match="point estimate"):
            found.interval()
    with pytest.raises(ValueError, match="7 columns together; these weights take 6"):
        ours.estimate(rng.standard_normal((40, 6)), y)


def test_same_as_the_package(tmp_path):
    package = pytest.importorskip("mist_statinf.model.estimator")
    sizes = {"n_phi_layers": 2, "phi_hidden_dim": 16, "n_phi_heads": 4, "phi_dim_forward": 24, "n_rho_layers": 3}
    sizes |= {"rho_hidden_dim": 12, "n_inds": 5, "n_seeds": 3, "n_dec_layers": 1, "sab_stack_layers": 2}
    theirs = package.MISTModel(
        **sizes, phi_activation_fun="gelu", max_input_dim=8, output_dim=1, quantile_conditioned=True
    ).eval()
    save_file({k: v.contiguous() for k, v in theirs.state_dict().items()}, str(tmp_path / "w.safetensors"))
    ours = convert(tmp_path / "w.safetensors", heads=4)
    rows = torch.randn(2, 30, 8, generator=torch.Generator().manual_seed(0))
    for level in (0.05, 0.5, 0.95):
        tau = torch.full((2, 1), level)
        with torch.no_grad():
            assert torch.allclose(ours(rows, tau), theirs({"source": rows, "tau": tau}), atol=1e-5)


def test_refusals(network, tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights"):
        convert(tmp_path / "none.pt", heads=4)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match="give heads="):
        convert(tmp_path / "w.pt")
    with pytest.raises(ValueError, match="activation"):
        convert(tmp_path / "w.pt", heads=4, activation="tanh")
    torch.save({"state_dict": network.state_dict(), "other": Holder()}, tmp_path / "objects.ckpt")
    with pytest.raises(ValueError, match="objects other than weights"):
        convert(tmp_path / "objects.ckpt", heads=4)
    save_file({"a": torch.ones(1)}, str(tmp_path / "a.safetensors"))
    with pytest.raises(ValueError, match="published MIST"):
        convert(tmp_path / "a.safetensors", heads=4)
    (tmp_path / "b.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="not a safetensors file"):
        convert(tmp_path / "b.safetensors", heads=4)
