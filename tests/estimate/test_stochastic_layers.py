import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plogp.estimate.stochastic_layers import noisy_information_plane  # noqa: E402
from plogp.nn import AdditiveGaussianNoise  # noqa: E402


@pytest.fixture
def channel():
    """Two Gaussian channels one after the other: I(X;L) = ½ log(1 + 1/σ²) per component, then that of both."""
    g = torch.Generator().manual_seed(7)
    x = torch.randn(3000, 2, generator=g)
    y = (x[:, 0] + 0.5 * torch.randn(3000, generator=g) > 0).long()
    noises = [AdditiveGaussianNoise(0.5, rng=1), AdditiveGaussianNoise(1.0, rng=2)]
    return torch.nn.Sequential(torch.nn.Linear(2, 2), *noises), x, y


def test_channels(channel):
    model, x, y = channel
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()
    batches = list(zip(x.split(500), y.split(500)))
    plane = noisy_information_plane(model, batches, ["1", model[2]])
    truth = [math.log1p(1 / 0.25), math.log1p(1 / 1.25)]
    assert plane.ix[0] == pytest.approx(truth, abs=0.15)
    assert (np.abs(plane.ix[0] - truth) < 3.5 * plane.settings["ix_se"][0]).all()
    assert plane.iy[0, 0] > plane.iy[0, 1] > 0
    assert plane.iy.max() < math.log(2)
    assert plane.layers == ["1", "2"]
    assert plane.n == 3000


def test_states_and_restoring(channel):
    model, x, y = channel
    states = {}
    for epoch, gain in enumerate((0.1, 1.0, 5.0)):
        with torch.no_grad():
            model[0].weight.copy_(gain * torch.eye(2))
        states[10 * epoch] = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model[0].weight.fill_(3.0)
    model.train()
    plane = noisy_information_plane(model, [(x[:800], y[:800])], ["1"], states=states)
    assert plane.epochs.tolist() == [0, 10, 20]
    assert (np.diff(plane.ix[:, 0]) > 0.5).all()
    assert bool((model[0].weight == 3.0).all())
    assert model.training
    assert not model[1]._forward_hooks


def test_images_and_wide_layers_are_compressed():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(300, 1, 5, 5, generator=g)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(25, 9), AdditiveGaussianNoise(0.3, rng=1))
    plane = noisy_information_plane(model, [(x, torch.arange(300) % 2)], ["2"], x_components=2, components=3)
    assert np.isfinite(plane.ix).all()
    assert plane.settings["components"] == 3


def test_bad_input(channel):
    model, x, y = channel
    with pytest.raises(ValueError, match="no module"):
        noisy_information_plane(model, [(x, y)], ["9"])
    with pytest.raises(ValueError, match="layers is empty"):
        noisy_information_plane(model, [(x, y)], [])
    with pytest.raises(ValueError, match="no batches"):
        noisy_information_plane(model, [], ["1"])
    with pytest.raises(ValueError, match="states is empty"):
        noisy_information_plane(model, [(x, y)], ["1"], states={})
    twice = torch.nn.Sequential(model[1], model[1])
    with pytest.raises(ValueError, match="6000 outputs"):
        noisy_information_plane(twice, [(x, y)], [model[1]])
