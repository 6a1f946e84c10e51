import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plogp.losses.vendi import VendiDiversity, vendi_diversity  # noqa: E402
from plogp.losses.von_neumann import vne  # noqa: E402


def rows(n=12, d=5, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rbf(z):
    return torch.exp(-((z[:, None] - z[None]) ** 2).sum(-1) / 4)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, math.inf])
def test_is_the_vendi_score(q):
    vendi = pytest.importorskip("vendi_score.vendi")
    z = rows()
    unit = z / z.norm(dim=1, keepdim=True)
    if math.isinf(q):  # theirs is NaN there
        largest = np.linalg.eigvalsh((unit @ unit.T).numpy() / len(z)).max()
        assert -float(vendi_diversity(z, q, log=False)) == pytest.approx(1 / largest, rel=1e-10)
        return
    theirs = vendi.score_K((unit @ unit.T).numpy(), q=q)
    assert -float(vendi_diversity(z, q, log=False)) == pytest.approx(theirs, rel=1e-6)
    assert -float(vendi_diversity(z, q, coef=0.3)) == pytest.approx(0.3 * math.log(theirs), rel=1e-6)
    theirs = vendi.score_K(rbf(z).numpy(), q=q)
    assert -float(VendiDiversity(q, kernel=rbf, log=False)(z)) == pytest.approx(theirs, rel=1e-6)


def test_order_one_is_vne():
    assert float(VendiDiversity()(rows())) == pytest.approx(float(vne(rows(), 1.0)), abs=1e-12)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, math.inf])
def test_gradient(q):
    for kernel in ("cosine", rbf):
        z = rows(6, 3).requires_grad_()
        assert torch.autograd.gradcheck(lambda v, kernel=kernel: vendi_diversity(v, q, kernel=kernel), z)


def test_groups_and_monotone_in_q():
    z = torch.eye(3, dtype=torch.float64).repeat(4, 1)
    values = [-float(vendi_diversity(z, q, log=False)) for q in (0.0, 1.0, 3.0)]
    assert values == pytest.approx([3.0, 3.0, 3.0], abs=1e-10)
    values = [-float(vendi_diversity(rows(), q)) for q in (0.0, 0.5, 1.0, 2.0, 10.0, math.inf)]
    assert np.all(np.diff(values) <= 1e-12)


def test_a_kernel_with_parameters_is_part_of_the_loss():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

        def forward(self, z):
            return rbf(self.scale * z)

    loss = VendiDiversity(kernel=Scaled())
    loss(rows()).backward()
    assert "kernel.scale" in loss.state_dict()
    assert loss.kernel.scale.grad is not None


def test_refuses():
    with pytest.raises(ValueError, match="q must be"):
        VendiDiversity(-1)
    with pytest.raises(ValueError, match="kernel"):
        VendiDiversity(kernel="rbf")
    with pytest.raises(ValueError, match=r"must give shape \(12, 12\)"):
        vendi_diversity(rows(), kernel=lambda z: z)
    with pytest.raises(ValueError, match="symmetric"):
        vendi_diversity(rows(5, 5), kernel=lambda z: z)
