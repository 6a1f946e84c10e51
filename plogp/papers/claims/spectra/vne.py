"""VNE: regularising the von Neumann entropy of representations (Kim et al., arXiv 2304.01434).

The paper: adding -α S of a batch's autocorrelation to any loss moves the eigenvalue distribution of the
representation, up for α > 0 and down for α < 0, and keeps self-supervised learning from collapsing.
"""

import math

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import plogp as pl
from plogp.estimate.training import MLP, Rows, fit, linear
from plogp.papers.claim import Result, claim

SLUG = "vne"


def entropy(H: torch.Tensor) -> torch.Tensor:
    return -pl.losses.VNE(1.0)(H)


@claim(SLUG, kind="exact")
def bounds_of_the_entropy(seed: int = 0) -> Result:
    """S is log d for repeated orthonormal rows, 0 for equal ones, and exp S never exceeds the rank."""
    g = torch.Generator().manual_seed(seed)
    gaps = [float(entropy(torch.eye(7, dtype=torch.float64).repeat(3, 1))) - math.log(7)]
    gaps.append(float(entropy(torch.ones(20, 5, dtype=torch.float64))))
    worst = -math.inf
    for _ in range(1000):
        rank = int(torch.randint(1, 6, (), generator=g))
        H = torch.randn(12, rank, generator=g, dtype=torch.float64) @ torch.randn(
            rank, 8, generator=g, dtype=torch.float64
        )
        worst = max(worst, float(entropy(H)) - math.log(rank))
    return Result(
        {"largest gap": max(map(abs, gaps)), "largest S - log rank": worst},
        {"largest gap": 0.0, "largest S - log rank": 0.0},
        "gaps <= 1e-10, and S - log rank <= 1e-10 on 1,000 matrices of known rank",
        max(map(abs, gaps)) <= 1e-10 and worst <= 1e-10,
        unit="nats",
    )


@claim(SLUG, kind="exact")
def entropy_of_any_basis_is_larger(seed: int = 0) -> Result:
    """S equals the entropy of the diagonal in the eigenbasis, and is at most that in any other; both duals agree."""
    rng = np.random.default_rng(seed)
    excess, dual = math.inf, 0.0
    for _ in range(50):
        Z = rng.normal(size=(9, 6)) * rng.uniform(0.1, 3, 6)
        Z /= np.linalg.norm(Z, axis=1, keepdims=True)
        S = float(entropy(torch.from_numpy(Z)))
        values, turned = np.linalg.eigh(Z.T @ Z / 9)
        mixed = turned @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
        dual = max(dual, abs(S - float(pl.entropy(values))))
        dual = max(dual, abs(S - float(pl.entropy(np.clip(np.linalg.eigvalsh(Z @ Z.T / 9), 0, None), check=False))))
        shares = {
            name: np.diag(basis.T @ (Z.T @ Z / 9) @ basis) for name, basis in (("eigen", turned), ("other", mixed))
        }
        dual = max(dual, abs(S - float(pl.entropy(np.clip(shares["eigen"], 0, None), normalize=True))))
        excess = min(excess, float(pl.entropy(shares["other"])) - S)
    return Result(
        {"largest difference of the duals": dual, "smallest excess": excess},
        {"largest difference of the duals": 0.0, "smallest excess": 0.0},
        "duals differ by <= 1e-12, other bases exceed S",
        dual <= 1e-12 and excess >= -1e-12,
        unit="nats",
    )


@claim(SLUG, kind="exact")
def gradient_reaches_both_ends(seed: int = 0) -> Result:
    """Gradient descent on -S reaches log min(N, d), on +S it reaches 0."""
    ends = {}
    for sign, (n, d) in ((1.0, (12, 6)), (1.0, (5, 9)), (-1.0, (12, 6))):
        H = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()
        optimiser = torch.optim.Adam([H], lr=0.05)
        loss = pl.losses.VNE(sign)
        for _ in range(400):
            optimiser.zero_grad()
            loss(H).backward()
            optimiser.step()
        goal = math.log(min(n, d)) if sign > 0 else 0.0
        ends[f"coef {sign:+.0f}, {n} x {d}"] = abs(float(entropy(H.detach())) - goal)
    high = max(v for k, v in ends.items() if "+1" in k)
    low = max(v for k, v in ends.items() if "-1" in k)
    return Result(
        ends,
        dict.fromkeys(ends, 0.0),
        "distance to the end <= 1e-3 upwards, <= 1e-2 downwards",
        high <= 1e-3 and low <= 1e-2,
        unit="nats",
    )


def _digits(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.data))
    return torch.tensor(data.data[order] / 16.0, dtype=torch.float32), torch.tensor(data.target[order])


def _classifier(x: torch.Tensor, y: torch.Tensor, coef: float, seed: int) -> tuple[float, float]:
    """Effective rank of the hidden layer and accuracy on held-out digits, trained with VNE(coef) beside the loss."""
    g = torch.Generator().manual_seed(seed)
    model = nn.Sequential(MLP(80, 64, 32, 1, generator=g), nn.Tanh(), linear(32, 10, g))
    with pl.losses.regularize(model, "1", pl.losses.VNE(coef)) as vne:
        fit(
            model,
            lambda a, b: nn.functional.cross_entropy(model(a), b[:, 0].long()) + vne.term,
            Rows(x[:1200], y[:1200]),
            steps=400,
            batch_size=64,
            lr=3e-3,
            rng=seed,
        )
    with torch.no_grad():
        rank = pl.spectra.Spectrum.autocorrelation(model[:2](x[1200:])).effective_rank
        return float(rank), float((model(x[1200:]).argmax(1) == y[1200:]).float().mean())


@claim(SLUG, kind="directional", slow=True)
def coefficient_orders_the_rank(seed: int = 0) -> Result:
    """Digits with correlated nuisance pixels: the effective rank of the hidden layer rises with α; 3 of 3 seeds."""
    found: dict[float, list[tuple[float, float]]] = {-0.05: [], 0.0: [], 0.05: []}
    for s in range(3):
        x, y = _digits(100 * seed + s)
        g = torch.Generator().manual_seed(100 * seed + s)
        nuisance = torch.randn(len(x), 1, generator=g) + 0.1 * torch.randn(len(x), 16, generator=g)
        for coef, runs in found.items():
            runs.append(_classifier(torch.cat([x, nuisance], dim=1), y, coef, 100 * seed + s))
    ranks = {f"{coef:+}": [rank for rank, _ in runs] for coef, runs in found.items()}
    mean = {name: float(np.mean(v)) for name, v in ranks.items()}
    return Result(
        mean,
        {"-0.05": "lowest", "+0.05": "highest"},
        "effective rank: α = -0.05 below 0 below +0.05, in 3 of 3 seeds",
        all(a < b < c for a, b, c in zip(*ranks.values())),
        baseline=mean["+0.0"],
        details={"effective rank": ranks, "test accuracy": {f"{c:+}": [a for _, a in r] for c, r in found.items()}},
    )


def _self_supervised(x: torch.Tensor, y: torch.Tensor, alpha2: float, seed: int) -> tuple[float, float]:
    """Effective rank of an encoder trained on pairs of noisy views, and the accuracy of a linear probe."""
    net = MLP(64, 128, 16, 2, generator=torch.Generator().manual_seed(seed))
    noise = torch.Generator().manual_seed(seed)
    loss = pl.losses.IVNE(alpha2=alpha2)
    fit(
        net,
        lambda a: loss([net(a + 0.2 * torch.randn(a.shape, generator=noise)) for _ in range(2)]),
        Rows(x[:1200]),
        steps=300,
        batch_size=64,
        lr=2e-3,
        rng=seed,
    )
    with torch.no_grad():
        z = net(x)
    probe = pl.estimate.linear_probe(z[:1200], y[:1200], z[1200:], y[1200:]).value
    return float(pl.spectra.Spectrum.autocorrelation(z).effective_rank), probe


@claim(SLUG, kind="directional", slow=True)
def entropy_prevents_collapse(seed: int = 0) -> Result:
    """Without labels, I-VNE+ keeps its rank and learns; agreement of views alone collapses onto one direction."""
    found: dict[float, list[tuple[float, float]]] = {1.0: [], 0.0: []}
    for s in range(3):
        x, y = _digits(100 * seed + s)
        for alpha2, runs in found.items():
            runs.append(_self_supervised(x, y, alpha2, 100 * seed + s))
    high, low = min(rank for rank, _ in found[1.0]), max(rank for rank, _ in found[0.0])
    return Result(
        {"smallest with entropy": high, "largest without": low},
        {"smallest with entropy": "> 6", "largest without": "< 1.5"},
        "effective rank of 16 columns: above 6 with the entropy, below 1.5 without, in 3 of 3 seeds",
        high > 6 and low < 1.5,
        baseline=low,
        details={
            f"alpha2 = {a:g}: effective rank, probe accuracy": [list(r) for r in runs] for a, runs in found.items()
        },
    )
