"""What maximising mutual information does for representations (Tschannen et al., arXiv 1907.13625).

The paper: encoders g1, g2 of two views are trained to maximise a lower bound on I(g1(X1); g2(X2)). Its point is that
the information itself is not what makes such representations good: invertible encoders, under which it never
changes, become better or worse by training, and looser bounds with simpler critics give better ones.
Here the views are the top and bottom halves of scikit-learn's 8 x 8 digits, with a little noise so that their
information is finite.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import plogp as pl
from plogp.estimate.training import MLP, Rows, fit
from plogp.losses.mutual_information import info_nce, k_pair
from plogp.papers.claim import Result, claim

SLUG = "mi_maximization_limits"
TRAIN = 1200


@claim(SLUG, kind="exact")
def contrast_is_metric_learning(seed: int = 0) -> Result:
    """The InfoNCE bound plus the K-pair loss is log K, so the bound never exceeds log K."""
    g = torch.Generator().manual_seed(seed)
    gap, excess = 0.0, -math.inf
    for k in (2, 8, 64):
        for scale in (0.1, 1.0, 30.0):
            S = scale * torch.randn(k, k, generator=g, dtype=torch.float64) + scale * torch.eye(k, dtype=torch.float64)
            information, pairs = -info_nce(S), k_pair(S)
            gap = max(gap, abs(float(information + pairs) - math.log(k)))
            excess = max(excess, float(information) - math.log(k))
    return Result(
        {"gap": gap, "excess over log K": excess},
        {"gap": 0.0, "excess over log K": 0.0},
        "gap <= 1e-10, excess <= 1e-12",
        gap <= 1e-10 and excess <= 1e-12,
        unit="nats",
    )


@claim(SLUG, kind="exact")
def invertible_encoder_is_invertible(seed: int = 0) -> Result:
    """RealNVP's inverse undoes it, and its log-determinant is that of the Jacobian."""
    g = torch.Generator().manual_seed(seed)
    flow = pl.nn.RealNVP(6, layers=4, width=16, rng=seed).double()
    for parameter in flow.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    x = torch.randn(50, 6, generator=g, dtype=torch.float64)
    with torch.no_grad():
        z, log_det = flow(x)
        back = float((flow.inverse(z) - x).abs().max())
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: flow(v[None])[0][0]))(x)
    wrong = float((torch.linalg.slogdet(jacobian).logabsdet - log_det).detach().abs().max())
    return Result(
        {"round trip": back, "log-determinant": wrong},
        {"round trip": 0.0, "log-determinant": 0.0},
        "largest differences <= 1e-9",
        back <= 1e-9 and wrong <= 1e-9,
    )


def _halves(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Top half, bottom half and label of every digit, in random order."""
    data, rng = load_digits(), np.random.default_rng(seed)
    order = rng.permutation(len(data.data))
    x = data.data[order] / 16 + 0.05 * rng.normal(size=data.data.shape)
    halves = torch.tensor(x, dtype=torch.float32)
    return halves[:, :32], halves[:, 32:], torch.tensor(data.target[order])


class _Encoders(nn.Module):
    """Two encoders, one for each half, and what reads them."""

    def __init__(self, top: nn.Module, bottom: nn.Module, loss: nn.Module):
        super().__init__()
        self.top, self.bottom, self.loss = top, bottom, loss

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = self.top(a), self.bottom(b)
        return (first[0], second[0]) if isinstance(first, tuple) else (first, second)

    def probe(self, a: torch.Tensor, b: torch.Tensor, y: torch.Tensor) -> float:
        """Accuracy of a linear classifier of both halves' representations."""
        with torch.no_grad():
            z = torch.cat(self(a, b), dim=1)
        return pl.estimate.linear_probe(z[:TRAIN], y[:TRAIN], z[TRAIN:], y[TRAIN:]).value

    def information(self, a: torch.Tensor, b: torch.Tensor) -> float:
        """The bound on held-out halves, in batches of 128."""
        with torch.no_grad():
            batches = zip(a[TRAIN:].split(128)[:4], b[TRAIN:].split(128)[:4])
            return -float(np.mean([float(self.loss(*self(*batch))) for batch in batches]))


def _readable(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Share of the labels' variance that the best linear map of z explains: a reader's best answer, in closed form."""
    z = z - z.mean(dim=0)
    y = nn.functional.one_hot(labels.long(), 10).to(z)
    y = y - y.mean(dim=0)
    ridge = 1e-3 * z.var(dim=0).mean() * torch.eye(z.shape[1])
    cross = z.T @ y / len(z)
    return (cross * torch.linalg.solve(z.T @ z / len(z) + ridge, cross)).sum() / (y.square().mean(dim=0).sum())


def _train_invertible(seed: int, against: float) -> dict[str, float]:
    """Maximise InfoNCE over invertible encoders, with `against` times the readability of labels taken off."""
    a, b, y = _halves(seed)
    critic = pl.estimate.Bilinear(32, 32, generator=torch.Generator().manual_seed(seed))
    top, bottom = (pl.nn.RealNVP(32, layers=6, width=64, rng=seed + i) for i in (0, 1))
    model = _Encoders(top, bottom, pl.losses.InfoNCE(critic))

    def loss(u: torch.Tensor, v: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        z, w = model(u, v)
        return model.loss(z, w) + (against * _readable(torch.cat([z, w], dim=1), labels[:, 0]) if against else 0.0)

    found = {"accuracy before": model.probe(a, b, y), "bound before": model.information(a, b)}
    rows = Rows(a[:TRAIN], b[:TRAIN], y[:TRAIN])
    fit(model, loss, rows, steps=200, batch_size=400 if against else 128, lr=1e-3, rng=seed)
    with torch.no_grad():
        inverse = float((model.top.inverse(model.top(a)[0]) - a).abs().max())
    return found | {"accuracy": model.probe(a, b, y), "bound": model.information(a, b), "inverse off by": inverse}


@claim(SLUG, kind="directional", slow=True)
def invertible_encoders_improve(seed: int = 0) -> Result:
    """Trained to maximise information that cannot change, invertible encoders make digits easier to read linearly."""
    runs = [_train_invertible(100 * seed + s, against=0.0) for s in range(3)]
    change = [100 * (r["accuracy"] - r["accuracy before"]) for r in runs]
    passed = all(c > 1 for c in change) and all(r["inverse off by"] < 1e-3 for r in runs)
    return Result(
        change,
        [1.0] * 3,
        "linear accuracy rises by more than 1 point in 3 of 3 seeds; inverse exact to 1e-3",
        passed,
        unit="points",
        details={"runs": runs},
        reproduced=passed,
        note="Pixels of both halves are read at 0.96 already, and that changes by -0.3, -0.3 and -0.5 points while the "
        "bound climbs from 0 to 2.4 nats. Read from the top half alone (0.84) it moved either way: +3.5, -2.8 and -0.2 "
        "points after 200 steps, +2.8, -1.5 and -1.3 after 400. That the same information can be read well or badly "
        "does come out: see information_without_use.",
    )


@claim(SLUG, kind="directional", slow=True)
def information_without_use(seed: int = 0) -> Result:
    """Invertible encoders can climb the bound and lose the labels' readability, when trained against linear readers."""
    runs = [_train_invertible(100 * seed + s, against=10.0) for s in range(3)]
    before, after = (float(np.mean([r[k] for r in runs])) for k in ("accuracy before", "accuracy"))
    return Result(
        after,
        {"below": before - 0.1},
        "accuracy at least 10 points lower and held-out bound higher than at the start, inverse exact to 1e-3, 3 of 3",
        all(
            r["accuracy"] < r["accuracy before"] - 0.1 and r["bound"] > r["bound before"] and r["inverse off by"] < 1e-3
            for r in runs
        ),
        baseline=before,
        details={"runs": runs},
    )


@claim(SLUG, kind="directional", slow=True)
def simple_critics_do_as_well(seed: int = 0) -> Result:
    """A bilinear critic gives representations at least as good as those of a critic that is a network."""
    critics: dict[str, Callable[[torch.Generator], nn.Module]] = {
        "bilinear": lambda g: pl.estimate.Bilinear(32, 32, generator=g),
        "network": lambda g: pl.estimate.Concatenated(32, 32, width=64, depth=2, generator=g),
    }
    accuracy: dict[str, list[float]] = {name: [] for name in critics}
    bound: dict[str, list[float]] = {name: [] for name in critics}
    for s in range(5):
        a, b, y = _halves(100 * seed + s)
        for name, critic in critics.items():
            g = torch.Generator().manual_seed(s)
            top, bottom = (MLP(32, 128, 32, 2, generator=g) for _ in range(2))
            model = _Encoders(top, bottom, pl.losses.InfoNCE(critic(g)))
            fit(
                model,
                lambda u, v, model=model: model.loss(*model(u, v)),
                Rows(a[:TRAIN], b[:TRAIN]),
                steps=200,
                batch_size=128,
                lr=1e-3,
                rng=s,
            )
            accuracy[name].append(model.probe(a, b, y))
            bound[name].append(model.information(a, b))
    mean = {name: float(np.mean(v)) for name, v in accuracy.items()}
    passed = mean["bilinear"] >= mean["network"]
    gap = np.subtract(accuracy["bilinear"], accuracy["network"])
    return Result(
        mean["bilinear"],
        {"at least": mean["network"]},
        "mean accuracy over 5 seeds: bilinear >= network",
        passed,
        baseline=mean["network"],
        details={
            "accuracy": accuracy,
            "held-out bound, nats": bound,
            "difference, s.e.": [float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(5))],
        },
        reproduced=passed,
        note="The difference is within one standard error (0.9 ± 1.0 points), and the network's bound on unseen digits "
        "is not the tighter one here (1.3 nats against 1.8): 1,200 digits are few for it. From the top half alone, "
        "with a network of 128 units and 300 steps, it was -1.6 ± 0.8 points.",
    )
