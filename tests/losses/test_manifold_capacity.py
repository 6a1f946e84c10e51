import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from plogp.losses.embeddings import gathered  # noqa: E402
from plogp.losses.manifold_capacity import MMCR, mmcr, nuclear_norm  # noqa: E402


def by_definition(z, k, lmbda=0.0, momentum=None):
    """Rows of an image adjacent; NumPy."""
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    views = unit.reshape(-1, k, z.shape[1])
    centroids = views.mean(1)
    if momentum is not None:
        other = momentum / np.linalg.norm(momentum, axis=1, keepdims=True)
        centroids = (centroids + other.reshape(len(centroids), -1, z.shape[1]).mean(1)) / 2
    local = np.mean([np.linalg.norm(v, "nuc") for v in views])
    return lmbda * local - np.linalg.norm(centroids, "nuc")


@settings(max_examples=25, deadline=None)
@given(b=st.integers(1, 8), k=st.integers(1, 4), d=st.integers(1, 8), seed=st.integers(0, 999))
def test_value_layouts_and_bound(b, k, d, seed):
    z = np.random.default_rng(seed).normal(size=(b * k, d))
    found = float(mmcr(torch.from_numpy(z), k, lmbda=0.3))
    assert found == pytest.approx(by_definition(z, k, 0.3), abs=1e-10)
    turned = z.reshape(b, k, d).swapaxes(0, 1).reshape(-1, d)
    assert float(mmcr(torch.from_numpy(turned), k, lmbda=0.3, layout="(k b) d")) == pytest.approx(found, abs=1e-10)
    assert float(mmcr(torch.from_numpy(z), k)) >= -math.sqrt(min(b, d) * b) - 1e-10


def test_momentum():
    rng = np.random.default_rng(0)
    z, slow = rng.normal(size=(12, 4)), rng.normal(size=(18, 4))  # 6 images: 2 online views, 3 momentum views
    tensor, other = torch.from_numpy(z).requires_grad_(), torch.from_numpy(slow).requires_grad_()
    loss = MMCR(2)(tensor, z_momentum=other)
    assert float(loss.detach()) == pytest.approx(by_definition(z, 2, momentum=slow), abs=1e-12)
    loss.backward()
    assert other.grad is None
    assert tensor.grad.abs().max() > 0
    with pytest.raises(ValueError, match="z_momentum"):
        MMCR(2)(tensor, z_momentum=other[:5])


def test_nuclear_norm_and_its_gradient():
    g = torch.Generator().manual_seed(0)
    c = torch.randn(2, 5, 3, generator=g, dtype=torch.float64)
    expected = [np.linalg.norm(m, "nuc") for m in c.numpy()]
    assert nuclear_norm(c).numpy() == pytest.approx(np.array(expected), abs=1e-12)
    smooth = [np.sqrt(np.linalg.svd(m, compute_uv=False) ** 2 + 0.1).sum() for m in c.numpy()]
    assert nuclear_norm(c, 0.1).numpy() == pytest.approx(np.array(smooth), abs=1e-12)
    assert torch.autograd.gradcheck(nuclear_norm, c.clone().requires_grad_())
    low = (c[0, :, :1] @ c[1, :1, :]).requires_grad_()  # rank one: smooth in spite of it when s > 0
    assert torch.autograd.gradcheck(lambda m: nuclear_norm(m, 0.5), low)
    nuclear_norm(low).backward()
    u, _, vh = torch.linalg.svd(low.detach(), full_matrices=False)
    torch.testing.assert_close(low.grad, u[:, :1] @ vh[:1])


def test_local_term_shrinks_what_is_within_an_image():
    g = torch.Generator().manual_seed(1)
    centre = torch.randn(4, 1, 6, generator=g)
    tight, wide = ((centre + s * torch.randn(4, 5, 6, generator=g)).reshape(20, 6) for s in (0.01, 1.0))
    # K equal unit rows have the nuclear norm √K, the least that K unit rows can have.
    gap = [float(mmcr(z, 5, lmbda=1.0) - mmcr(z, 5)) for z in (tight, wide)]
    assert math.sqrt(5) <= gap[0] + 1e-6 < gap[1]


def test_refuses():
    z = torch.ones(6, 3)
    with pytest.raises(ValueError, match="no multiple of n_views=4"):
        mmcr(z, 4)
    with pytest.raises(ValueError, match="layout"):
        mmcr(z, 2, layout="b k d")
    with pytest.raises(ValueError, match="n_views"):
        MMCR(0)
    with pytest.raises(ValueError, match="smooth"):
        MMCR(2, smooth=-1.0)
    with pytest.raises(ValueError, match="gradients"):
        gathered(z, "some")


WORKER = """
import sys
import torch
import torch.distributed as dist
from plogp.losses import E2MC, MMCR
from plogp.losses.embeddings import gathered

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
g = torch.Generator().manual_seed(0)
whole = torch.randn(16, 4, generator=g, dtype=torch.float64)
mine = slice(8 * rank, 8 * rank + 8)


def check(loss, share):
    local = whole[mine].clone().requires_grad_()
    value = loss(local)
    value.backward()
    single = whole.clone().requires_grad_()
    expected = single_loss(loss, single)
    expected.backward()
    assert torch.allclose(value, expected), (value, expected)
    # What DistributedDataParallel does next is to divide by the two ranks.
    assert torch.allclose(local.grad / 2, share * single.grad[mine]), (local.grad, single.grad[mine])


def single_loss(loss, z):
    from unittest import mock

    with mock.patch("torch.distributed.is_initialized", return_value=False):
        return loss(z)


check(lambda z: MMCR(2, lmbda=0.1, gather="local")(z), 0.5)
check(lambda z: MMCR(2, lmbda=0.1, gather="all")(z), 1.0)
check(lambda z: E2MC(beta=5.0)([z, z * 2])[0], 1.0)
check(lambda z: E2MC(beta=5.0, gather="local")([z, z * 2])[0], 0.5)
alone = whole[mine]
assert torch.equal(MMCR(2, gather=None)(alone), single_loss(lambda z: MMCR(2)(z), alone))
assert torch.equal(gathered(alone), whole)
dist.destroy_process_group()
"""


def test_two_ranks(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path / "store")], stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=240)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], "\n".join(errors)
