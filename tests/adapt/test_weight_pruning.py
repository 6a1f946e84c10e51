"""Magnitude pruning, at once and little by little."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from plogp.adapt import prune
from plogp.adapt.weight_pruning import sparsity_of


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))


@pytest.mark.parametrize("schedule", ["oneshot", "gradual"])
def test_the_smallest_weights_go(schedule):
    model = network()
    before = copy.deepcopy(model.state_dict())
    small = prune(model, 0.8, schedule)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    every = torch.cat([model[0].weight.ravel(), model[2].weight.ravel()]).abs()
    edge = every.sort().values[int(0.8 * len(every)) - 1]
    for a, b in ((model[0], small[0]), (model[2], small[2])):
        assert torch.equal(b.weight, torch.where(a.weight.abs() > edge, a.weight, 0.0))
        assert torch.equal(a.bias, b.bias)
    assert sparsity_of(small) == pytest.approx(0.8)
    assert set(small.state_dict()) == set(before)


def test_gradual_cuts_take_the_same_share_each_time():
    seen = []
    prune(network(), 0.9, steps=4, train=lambda m, t: seen.append((t, sparsity_of(m))))
    assert [t for t, _ in seen] == [0, 1, 2, 3]
    left = [1.0, *(1 - s for _, s in seen)]
    ratios = [b / a for a, b in pairwise(left)]
    assert all(r == pytest.approx(0.1**0.25, abs=0.02) for r in ratios)


def test_cut_weights_stay_zero_while_training():
    def train(model, t):
        optimizer = torch.optim.Adam(model.parameters(), 0.1, weight_decay=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(8, 10)).square().sum().backward()
            optimizer.step()

    small = prune(network(), 0.7, steps=3, train=train)
    assert sparsity_of(small) == pytest.approx(0.7, abs=0.005)
    masked = prune(network(), 0.7, "oneshot", permanent=False)
    train(masked, 0)
    assert sparsity_of(masked) == pytest.approx(0.7, abs=0.005)


def test_choice_of_layers_and_mistakes():
    model = network()
    only = prune(model, 0.5, "oneshot", layers=lambda name, m: name == "2")
    assert (only[0].weight != 0).all()
    assert (only[2].weight == 0).float().mean() == 0.5
    assert sparsity_of(prune(model, 0.0)) == 0.0
    with pytest.raises(ValueError, match="sparsity"):
        prune(model, 1.0)
    with pytest.raises(ValueError, match="schedule"):
        prune(model, 0.5, "slow")
    with pytest.raises(ValueError, match="steps"):
        prune(model, 0.5, steps=0)
    with pytest.raises(ValueError, match="no layer to prune"):
        prune(nn.ReLU(), 0.5)
