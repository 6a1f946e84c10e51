"""MMCR: maximum manifold capacity representations (Yerxa, Kuang, Simoncelli and Chung, arXiv 2303.03307).

The paper: the nuclear norm of the matrix of centroids of views, alone, makes views of an image agree and images
spread, and learns representations as good as contrastive ones.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import normalize

import plogp as pl
from plogp.estimate.training import MLP, Rows, fit
from plogp.papers.claim import Result, claim

SLUG = "mmcr"


@claim(SLUG, kind="exact")
def bounds_are_attained(seed: int = 0) -> Result:
    """The loss is -B for orthonormal centroids of identical views and -√(BD) for a tight frame of B > D images."""
    orthonormal = pl.losses.MMCR(3)(torch.eye(5, 8, dtype=torch.float64).repeat_interleave(3, dim=0))
    angle = torch.arange(7, dtype=torch.float64) * (2 * math.pi / 7)
    frame = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)  # the seventh roots of unity
    tight = pl.losses.MMCR(2)(frame.repeat(2, 1), layout="(k b) d")
    gaps = {"orthonormal": abs(float(orthonormal) + 5), "tight frame": abs(float(tight) + math.sqrt(14))}
    g = torch.Generator().manual_seed(seed)
    excess = -math.inf
    for _ in range(200):
        b, d = (int(v) for v in torch.randint(2, 12, (2,), generator=g))
        z = torch.randn(3 * b, d, generator=g, dtype=torch.float64)
        excess = max(excess, -float(pl.losses.MMCR(3)(z)) - math.sqrt(min(b, d) * b))
    return Result(
        gaps | {"largest excess over the bound": excess},
        {"orthonormal": 0.0, "tight frame": 0.0, "largest excess over the bound": 0.0},
        "gaps <= 1e-12; no random batch beyond √(min(B, D) B)",
        max(gaps.values()) <= 1e-12 and excess <= 1e-12,
    )


@claim(SLUG, kind="exact")
def gradient_is_the_polar_factor(seed: int = 0) -> Result:
    """The gradient of the nuclear norm is U Vᵀ, also for repeated and zero singular values; turns change nothing."""
    g = torch.Generator().manual_seed(seed)

    def orthonormal(n: int, k: int) -> torch.Tensor:
        return torch.linalg.qr(torch.randn(n, k, generator=g, dtype=torch.float64))[0]

    u, v = orthonormal(6, 3), orthonormal(4, 3)
    worst = 0.0
    for values in ([3.0, 2.0, 1.0], [2.0, 2.0, 2.0], [2.0, 2.0, 0.0]):
        s = torch.tensor(values, dtype=torch.float64)
        c = ((u * s) @ v.T).requires_grad_()
        pl.losses.manifold_capacity.nuclear_norm(c).backward()
        worst = max(worst, float((c.grad - (u * (s > 0)) @ v.T).abs().max()))
    z = torch.randn(24, 5, generator=g, dtype=torch.float64)
    loss = pl.losses.MMCR(4, lmbda=0.3)
    turned = abs(float(loss(z @ orthonormal(5, 5)) - loss(z)))
    return Result(
        {"gradient": worst, "turned": turned},
        {"gradient": 0.0, "turned": 0.0},
        "largest differences <= 1e-10",
        worst <= 1e-10 and turned <= 1e-10,
    )


VIEWS = 4


def _augmented(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """Digits shifted by up to one pixel each way, with noise."""
    images = torch.nn.functional.pad(x.reshape(-1, 8, 8), (1, 1, 1, 1))
    shift = torch.randint(0, 3, (len(x), 2), generator=g)
    rows = shift[:, :1] + torch.arange(8)
    columns = shift[:, 1:] + torch.arange(8)
    moved = images[torch.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.reshape(-1, 64) + 0.15 * torch.randn(len(x), 64, generator=g)


def _neighbours(z: torch.Tensor, y: torch.Tensor, train: int, k: int = 5) -> float:
    """Accuracy of the k nearest neighbours by cosine."""
    z = normalize(z, dim=1)
    near = (z[train:] @ z[:train].T).topk(k, dim=1).indices
    return float((y[:train][near].mode(dim=1).values == y[train:]).float().mean())


def _contrastive(temperature: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """SimCLR's objective between the first view and each other one."""

    def similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return normalize(a, dim=1) @ normalize(b, dim=1).T / temperature

    pair = pl.losses.InfoNCE(similarity, symmetric=True)

    def loss(z: torch.Tensor) -> torch.Tensor:
        first, *others = z.reshape(-1, VIEWS, z.shape[-1]).unbind(1)
        return torch.stack([pair(first, other) for other in others]).mean()

    return loss


def _figures(net: MLP, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """How good the representation is, and its geometry, on augmented images that training has not seen."""
    with torch.no_grad():
        held = _augmented(x[1200:1300].repeat_interleave(32, dim=0), torch.Generator().manual_seed(0))
        z = normalize(net(held), dim=1)
        centroids = z.reshape(100, 32, -1).mean(dim=1)
        views = (32 * centroids.square().sum(1).mean() - 1) / 31
        images = (centroids.sum(0).square().sum() - centroids.square().sum()) / (100 * 99)
        capacity = pl.spectra.manifold_capacity(z, np.repeat(np.arange(100), 32), center=True)
        return {
            "accuracy": _neighbours(net(x), y, 1200),
            "rank of centroids": float(pl.spectra.Spectrum.singular(centroids).effective_rank),
            "cosine of views": float(views),
            "cosine of views less of images": float(views - images),
            "capacity": capacity.mean["capacity"],
        }


def _run(loss: Callable[[torch.Tensor], torch.Tensor], seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Figures of an encoder before and after 200 steps on augmented digits."""
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.data))
    x, y = torch.tensor(data.data[order] / 16, dtype=torch.float32), torch.tensor(data.target[order])
    net = MLP(64, 128, 32, 2, generator=torch.Generator().manual_seed(seed))
    noise = torch.Generator().manual_seed(seed)
    before = _figures(net, x, y)
    fit(
        net,
        lambda a: loss(net(_augmented(a.repeat_interleave(VIEWS, dim=0), noise))),
        Rows(x[:1200]),
        steps=200,
        batch_size=64,
        lr=1e-3,
        rng=seed,
    )
    return before, _figures(net, x, y)


RISING = ("accuracy", "rank of centroids", "cosine of views less of images", "capacity")


@claim(SLUG, kind="directional", slow=True)
def learns_as_well_as_contrast(seed: int = 0) -> Result:
    """Shifted, noisy digits: accuracy of nearest neighbours and capacity of the views' manifolds rise in training."""
    runs = [_run(pl.losses.MMCR(VIEWS), 100 * seed + s) for s in range(3)]
    others = {t: [_run(_contrastive(t), 100 * seed + s)[1]["accuracy"] for s in range(3)] for t in (0.1, 0.5)}
    accuracy = float(np.mean([after["accuracy"] for _, after in runs]))
    baseline = max(float(np.mean(v)) for v in others.values())
    return Result(
        accuracy,
        {"at least": baseline - 0.02},
        f"{', '.join(RISING)} rise in 3 of 3 seeds; accuracy >= that of InfoNCE (best temperature) - 0.02",
        all(after[k] > before[k] for before, after in runs for k in RISING) and accuracy >= baseline - 0.02,
        baseline=baseline,
        details={
            "before": [before for before, _ in runs],
            "after": [after for _, after in runs],
            "InfoNCE by temperature": {str(t): v for t, v in others.items()},
        },
        note="The bare cosine of views falls: in an untrained net all images are nearly parallel.",
    )
