"""MINDE: mutual information by scores of noised data (Franzese, Bounoua and Michiardi, arXiv 2310.09031).

The paper: mutual information, entropy and divergence are integrals of squared differences of scores, learned by one
network; the estimates are close to the truth where others fail, long tails above all, and pass self-consistency tests.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats

import plogp as pl
from plogp.estimate import tasks
from plogp.estimate.diffusion import NormalScore, score_entropy, score_kl
from plogp.papers.claim import Result, claim

SLUG = "minde"
SDE = pl.estimate.VPSDE()


def _design(covariance: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
    """Every pair of a sigma point of the data and one of the noise: their moments are exact up to order 2."""
    d = len(covariance)
    points = math.sqrt(d) * np.concatenate([np.eye(d), -np.eye(d)])
    x = points @ np.linalg.cholesky(covariance).T
    return np.repeat(x, 2 * d, axis=0), torch.tensor(np.tile(points, (2 * d, 1)))


@claim(SLUG, kind="exact")
def exact_scores_give_the_information(seed: int = 0) -> Result:
    """Kinds c and j, difference inside and outside, with exact normal scores and quadrature in t: -½ log(1 - ρ²)."""
    measured, expected, worst = {}, {}, 0.0
    for rho in (0.3, 0.9, 0.99):
        c = np.array([[1.0, rho], [rho, 1.0]])
        x, noise = _design(c)
        truth = -0.5 * math.log1p(-rho * rho)
        for kind in ("c", "j"):
            for sigma in (None, 1.0, 2.0):
                model = pl.estimate.MINDE(
                    kind, sigma=sigma, net=NormalScore(c, (1, 1), SDE), scale=None, times="quadrature", mc_passes=64
                )
                value = model.estimate(x[:, 0], x[:, 1], noise=noise).value
                worst = max(worst, abs(value - truth))
                measured[f"{kind}, rho={rho}, sigma={sigma}"], expected[f"rho={rho}"] = value, truth
    return Result(measured, expected, "largest error <= 1e-4", worst <= 1e-4, unit="nats", details={"worst": worst})


@claim(SLUG, kind="exact")
def entropy_and_divergence_of_normals(seed: int = 0) -> Result:
    """Entropy by comparison with N(0, σ²), σ = ½, 1, 3, and the divergence of two normal laws, with exact scores."""
    p, q = np.array([[1.0, 0.6], [0.6, 1.0]]), np.array([[0.7, -0.2], [-0.2, 1.5]])

    def score(c: np.ndarray) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        net = NormalScore(c, (2,), SDE)
        return lambda x, t: -net(x, x, t, (1,)) / SDE.sigma(t)

    x, noise = _design(p)
    options = {"sde": SDE, "times": "quadrature", "passes": 64, "noise": noise}
    measured = {f"entropy, sigma={s}": score_entropy(score(p), x, s, **options).value for s in (0.5, 1.0, 3.0)}
    h = float(stats.multivariate_normal(cov=p).entropy())
    expected = dict.fromkeys(measured, h)
    measured["divergence"] = score_kl(score(p), score(q), x, **options).value
    log = np.linalg.slogdet(q)[1] - np.linalg.slogdet(p)[1]
    expected["divergence"] = float(0.5 * (np.trace(np.linalg.solve(q, p)) - 2 + log))
    worst = max(abs(measured[k] - expected[k]) for k in measured)
    return Result(measured, expected, "largest error <= 1e-4", worst <= 1e-4, unit="nats", details={"worst": worst})


@claim(SLUG, kind="statistical")
def importance_sampling_of_time(seed: int = 0) -> Result:
    """Times follow their density, and weighting by it or uniformly gives the same divergence."""
    t = SDE.sample_time(50_000, rng=seed)[:, 0].double().numpy()
    p_value = float(stats.kstest(t, lambda v: SDE.time_cdf(torch.tensor(v)).numpy()).pvalue)
    x = torch.from_numpy(np.stack(tasks.gaussian(0.9).sample(4000, seed))[:, :, 0].T)
    joint, apart = (NormalScore([[1.0, r], [r, 1.0]], (2,), SDE) for r in (0.9, 0.0))
    found = {
        times: score_kl(
            lambda x, t: -joint(x, x, t, (1,)) / SDE.sigma(t),
            lambda x, t: -apart(x, x, t, (1,)) / SDE.sigma(t),
            x,
            times=times,
            rng=seed + 1,
        )
        for times in ("importance", "uniform")
    }
    # The samples are the same, so the difference is noise of times and of perturbations alone.
    gap = np.asarray(found["importance"].terms) - np.asarray(found["uniform"].terms)
    z = float(abs(gap.mean()) / (gap.std(ddof=1) / math.sqrt(len(gap))))
    return Result(
        {"p-value": p_value, "gap in s.e.": z},
        {"gap in s.e.": 0.0},
        "Kolmogorov-Smirnov p > 0.001, gap <= 3.5 s.e.",
        p_value > 1e-3 and z <= 3.5,
        details={
            "values": {k: e.value for k, e in found.items()},
            "s.e.": {k: e.se for k, e in found.items()},
            "truth": tasks.gaussian(0.9).truth,
        },
    )


@claim(SLUG, kind="statistical", slow=True)
def learned_within_a_tenth(seed: int = 0) -> Result:
    """Correlation 0.9, n = 10,000, 3,000 steps of a small network: both kinds within 0.1 of 0.830."""
    task = tasks.gaussian(0.9)
    x, y = task.sample(10_000, seed)
    found = {kind: pl.estimate.MINDE(kind, rng=seed).fit(x, y).estimate() for kind in ("c", "j")}
    worst = max(abs(e.value - task.truth) for e in found.values())
    return Result(
        {k: e.value for k, e in found.items()},
        task.truth,
        "both errors <= 0.1",
        worst <= 0.1,
        unit="nats",
        details={
            "s.e.": {k: e.se for k, e in found.items()},
            "denoising form": {k: e.diagnostics["denoising"] for k, e in found.items()},
        },
    )


@claim(SLUG, kind="directional", slow=True)
def closer_than_mine_on_long_tails(seed: int = 0) -> Result:
    """Half-cube and Student tasks, as many steps: a smaller mean error than MINE's over three seeds."""
    errors: dict[str, dict[str, list[float]]] = {}
    for task in (tasks.half_cube(0.9, d=3), tasks.student(2, rho=0.8)):
        for s in range(3):
            x, y = task.sample(5000, 10 * seed + s)
            values = {
                "minde": pl.estimate.mutual_information(x, y, method="minde_c", steps=1500, rng=s).value,
                "mine": pl.estimate.mutual_information(x, y, method="mine", steps=1500, rng=s).value,
            }
            for name, value in values.items():
                errors.setdefault(name, {}).setdefault(task.name, []).append(abs(value - task.truth))
    mean = {name: float(np.mean([v for runs in of.values() for v in runs])) for name, of in errors.items()}
    passed = mean["minde"] < mean["mine"]
    return Result(
        mean["minde"],
        {"below": mean["mine"]},
        "mean absolute error below MINE's",
        passed,
        baseline=mean["mine"],
        unit="nats",
        details={"errors": errors, "n": 5000, "steps": 1500},
        reproduced=passed,
        note=""
        if passed
        else f"At 1,500 steps and n = 5,000, against MINE on standardised samples with the value from held-out ones, "
        f"MINDE's mean error is {mean['minde']:.3f} and MINE's {mean['mine']:.3f}: the scores are not yet learned to "
        "the accuracy that the paper reaches with some 100,000 steps.",
    )


@claim(SLUG, kind="directional", slow=True)
def self_consistency(seed: int = 0) -> Result:
    """Processing adds nothing and independent pairs add up: ratios to I(X;Y) within 10 % of 1 and of 2."""
    pair = tasks.gaussian(0.8)
    (x, y), (u, v) = pair.sample(5000, seed), pair.sample(5000, seed + 1000)

    def information(a: np.ndarray, b: np.ndarray) -> float:
        return pl.estimate.MINDE("c", steps=2500, rng=seed).fit(a, b).estimate().value

    base = information(x, y)
    processed = information(x, np.hstack([y, np.tanh(y)])) / base
    added = information(np.hstack([x, u]), np.hstack([y, v])) / base
    return Result(
        {"data processing": processed, "additivity": added},
        {"data processing": 1.0, "additivity": 2.0},
        "ratios within 10 %",
        abs(processed - 1) <= 0.1 and abs(added / 2 - 1) <= 0.1,
        details={"base": base, "truth": pair.truth},
    )
