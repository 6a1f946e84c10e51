"""Eigenvalues of the Hessian against the matrix itself, and the loss between two points."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from plogp.spectra import hessian_top
from plogp.spectra.hessian import loss_on_segment


def test_a_quadratic_of_known_spectrum():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    values = np.linspace(-3, 8, 40)
    A = torch.tensor(q @ np.diag(values) @ q.T)
    w = torch.tensor(rng.normal(size=40), requires_grad=True)
    top = hessian_top(lambda: 0.5 * w @ A @ w, [w], k=4, tol=1e-10)
    np.testing.assert_allclose(top, values[::-1][:4], rtol=1e-8)


def test_a_network_against_autograd():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = torch.randn(30, 3).double(), torch.randint(2, (30,))
    shapes = [p.shape for p in model.parameters()]
    sizes = [p.numel() for p in model.parameters()]

    def flat_loss(v):
        a, b, c, d = (part.reshape(s) for part, s in zip(v.split(sizes), shapes))
        return nn.functional.cross_entropy(torch.tanh(x @ a.T + b) @ c.T + d, y)

    flat = torch.cat([p.detach().ravel() for p in model.parameters()])
    full = torch.linalg.eigvalsh(torch.autograd.functional.hessian(flat_loss, flat)).numpy()[::-1]
    found = hessian_top(lambda: nn.functional.cross_entropy(model(x), y), model.parameters(), k=3, tol=1e-10)
    np.testing.assert_allclose(found, full[:3], rtol=1e-7)
    assert all(p.grad is None for p in model.parameters())


def test_small_and_linear_cases():
    w = torch.ones(2, requires_grad=True)
    np.testing.assert_allclose(hessian_top(lambda: w.sum(), [w], k=2), 0)
    np.testing.assert_allclose(hessian_top(lambda: (w**3).sum(), [w], k=1), 6)
    idle = torch.ones(3, requires_grad=True)
    np.testing.assert_allclose(hessian_top(lambda: (w**2).sum(), [w, idle], k=2), 2)


def test_the_segment_between_two_minima():
    w = torch.tensor([5.0])
    values = loss_on_segment(lambda: ((w**2 - 1) ** 2).sum(), [w], [torch.tensor([-1.0])], [torch.tensor([1.0])])
    assert values[0] == values[-1] == 0
    assert values[5] == pytest.approx(1.0)
    assert w.item() == 5.0
    with pytest.raises(ValueError, match="end does not hold"):
        loss_on_segment(lambda: w.sum(), [w], [w], [torch.zeros(2)])


def test_mistakes_are_named():
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="no tensor that requires"):
        hessian_top(lambda: w.sum(), [torch.ones(2)])
    with pytest.raises(ValueError, match="k must be"):
        hessian_top(lambda: w.sum(), [w], k=3)
    with pytest.raises(ValueError, match="one finite number"):
        hessian_top(lambda: w * 2, [w])
    with pytest.raises(ValueError, match="one finite number"):
        hessian_top(lambda: (w * float("nan")).sum(), [w])
