"""PSP-entropy against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from plogp.spectra import psp_entropy


def data(n: int = 240, d: int = 6, classes: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, d)), dtype=torch.float32), torch.tensor(rng.integers(0, classes, n))


def test_against_scipy():
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    x, y = data()
    found = psp_entropy(layer, [(x, y)], clamp=0.0)[""]
    pairs = psp_entropy(layer, [(x, y)], order=2)[""]
    on = (layer(x) > 0).numpy()
    for c in range(3):
        rows = on[y.numpy() == c]
        for i in range(4):
            p = rows[:, i].mean()
            assert found.by_class[i, c] == pytest.approx(stats.entropy([p, 1 - p], base=2), abs=1e-12)
            for j in range(4):
                _, counts = np.unique(2 * rows[:, i] + rows[:, j], return_counts=True)
                assert pairs.by_class[i, j, c] == pytest.approx(stats.entropy(counts, base=2), abs=1e-9)
    np.testing.assert_allclose(found.total, found.by_class.sum(-1))
    np.testing.assert_array_equal(found.counts, np.bincount(y))
    assert pairs.mean == pytest.approx(pairs.total[~np.eye(4, dtype=bool)].mean())


def test_batches_add_up_and_modes_are_kept():
    model = nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.5), nn.ReLU(), nn.Linear(5, 3))
    x, y = data()
    whole = psp_entropy(model, [(x, y)])
    parts = psp_entropy(model, list(zip(x.split(17), y.split(17))))
    assert list(whole) == ["0", "3"]
    for name in whole:
        np.testing.assert_allclose(whole[name].by_class, parts[name].by_class, atol=1e-12)
    assert model.training


def test_channels_are_neurons_over_all_positions():
    model = nn.Conv2d(1, 3, 2)
    x = torch.randn(20, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    y = torch.arange(20) % 2
    found = psp_entropy(model, [(x, y)], clamp=0.0)[""]
    assert found.total.shape == (3,)
    assert found.counts.tolist() == [160, 160]
    share = (model(x)[y == 0] > 0).float().mean((0, 2, 3)).numpy()
    np.testing.assert_allclose(found.by_class[:, 0], [stats.entropy([p, 1 - p], base=2) for p in share], atol=1e-6)


def test_mappings_and_mistakes():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(6, 2)

        def forward(self, x, labels=None):
            return self.inner(x)

    x, y = data()
    assert list(psp_entropy(Named(), [{"x": x, "labels": y}])) == ["inner"]
    layer = nn.Linear(6, 2)
    with pytest.raises(ValueError, match="order must be"):
        psp_entropy(layer, [(x, y)], order=3)
    with pytest.raises(ValueError, match="clamp"):
        psp_entropy(layer, [(x, y)], clamp=0.5)
    with pytest.raises(ValueError, match="no batch"):
        psp_entropy(layer, [])
    with pytest.raises(ValueError, match="whole numbers"):
        psp_entropy(layer, [(x, y.float())])
    with pytest.raises(ValueError, match="labels"):
        psp_entropy(layer, [(x, y[:5])])
    with pytest.raises(TypeError, match="a batch must be"):
        psp_entropy(layer, [x])
    assert not layer._forward_hooks
