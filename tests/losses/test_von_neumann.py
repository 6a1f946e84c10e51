import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from plogp.losses.von_neumann import IVNE, VNE, ivne, regularize, vne  # noqa: E402


def by_definition(H):
    Z = H / np.linalg.norm(H, axis=1, keepdims=True)
    values = np.linalg.svd(Z / math.sqrt(len(Z)), compute_uv=False) ** 2
    values = values[values > 1e-15]
    return -float((values * np.log(values)).sum())


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 12), d=st.integers(1, 12), seed=st.integers(0, 999))
def test_value_and_rank_bound(n, d, seed):
    H = np.random.default_rng(seed).normal(size=(n, d)) + 0.5
    entropy = -float(vne(torch.from_numpy(H), 1.0))
    assert entropy == pytest.approx(by_definition(H), abs=1e-12)
    assert -1e-12 <= entropy <= math.log(min(n, d)) + 1e-12


def test_sign_ends_and_reference():
    eye = torch.eye(6, dtype=torch.float64).repeat(4, 1)
    assert float(VNE(0.1)(eye)) == pytest.approx(-0.1 * math.log(6), abs=1e-12)
    assert float(VNE(-0.1)(eye)) == pytest.approx(0.1 * math.log(6), abs=1e-12)
    assert float(VNE(1.0)(torch.ones(9, 3))) == pytest.approx(0.0, abs=1e-6)


def test_gradient_where_eigenvalues_repeat_and_vanish():
    for n, d in [(3, 8), (8, 3)]:
        H = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda h: vne(h, 1.0), H)
    # At the largest entropy, where all eigenvalues are equal, the gradient is 0, not NaN.
    top = torch.eye(4, dtype=torch.float64).requires_grad_()
    vne(top, 1.0).backward()
    assert top.grad.abs().max() < 1e-12
    equal = torch.ones(5, 3, dtype=torch.float64, requires_grad=True)
    vne(equal, 1.0).backward()
    assert torch.isfinite(equal.grad).all()


def test_ivne_by_definition():
    rng = np.random.default_rng(1)
    views = [rng.normal(size=(10, 4)) for _ in range(4)]
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in views]
    cosines = [np.mean((unit[i] * unit[j]).sum(1)) for i in range(2) for j in range(4) if i != j]
    expected = -0.7 * np.mean(cosines) - 0.3 * np.mean([by_definition(v) for v in views])
    tensors = [torch.from_numpy(v) for v in views]
    assert float(ivne(tensors, alpha1=0.7, alpha2=0.3)) == pytest.approx(expected, abs=1e-12)
    assert float(IVNE()(torch.stack(tensors))) == pytest.approx(float(ivne(tensors, alpha1=math.log(10))), abs=1e-12)
    with pytest.raises(ValueError, match="at least 2 views"):
        ivne(tensors[:1])
    with pytest.raises(ValueError, match="main"):
        ivne(tensors, main=5)
    with pytest.raises(ValueError, match="log_batch"):
        IVNE(alpha1="log")


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))


def test_regularize_adds_the_loss_of_a_layer():
    model, x = network(), torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    expected = float(vne(model[:2](x), 0.1).detach())
    with regularize(model, "1", VNE(0.1)) as entropy:
        model(x)
        term = entropy.term
        assert float(term.detach()) == pytest.approx(expected)
        term.backward()
        assert model[0].weight.grad.abs().max() > 0
        assert model[2].weight.grad is None
        with pytest.raises(RuntimeError, match="nothing to regularise"):
            _ = entropy.term  # reading forgets
        model.eval()
        model(x)
        model.train()
        with torch.no_grad():
            model(x)
        with pytest.raises(RuntimeError):
            _ = entropy.term  # neither evaluation counts
        model(x)
        model(x)
        assert float(entropy.term.detach()) == pytest.approx(2 * expected)  # two calls
    model(x)
    with pytest.raises(RuntimeError):
        _ = entropy.term
    assert not model[1]._forward_hooks


def test_regularize_several_layers_tokens_masks_and_maps():
    model, x = network(), torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = model[:2](x), model[:4](x)
    expected = float(vne(first.flatten(0, 1), 1.0) + vne(second.flatten(0, 1), 1.0))
    handle = regularize(model, nn.Tanh, VNE(1.0))
    model(x)
    assert float(handle.term.detach()) == pytest.approx(expected, rel=1e-6)
    handle.remove()
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 3)
    with regularize(model, "1", VNE(1.0), mask=mask) as masked:
        model(x)
        assert float(masked.term.detach()) == pytest.approx(float(vne(first[:, :3].flatten(0, 1), 1.0)), rel=1e-6)
    with regularize(model, "2", VNE(1.0), where="input") as given:
        model(x)
        assert float(given.term.detach()) == pytest.approx(float(vne(first.flatten(0, 1), 1.0)), rel=1e-6)
    convolution = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Flatten(1))
    images = torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = float(vne(convolution[0](images).mean(dim=(2, 3)), 1.0).detach())
    with regularize(convolution, "0", VNE(1.0), rows=lambda y: y.mean(dim=(2, 3))) as pooled:
        convolution(images)
        assert float(pooled.term.detach()) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="selects no module"):
        regularize(model, "layer9", VNE(1.0))
