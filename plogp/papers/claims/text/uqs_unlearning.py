"""Reliability of unlearning metrics and a unified score (arXiv 2605.02206).

The paper: the usual metrics of unlearning disagree with each other and with the distance to a retrained model; a sum
weighed by their rank correlation with that distance ranks better.
"""

import numpy as np
from scipy.stats import kendalltau, spearmanr

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "uqs-unlearning"


@claim(SLUG, kind="exact")
def agrees_with_rank_statistics(seed: int = 0) -> Result:
    """One metric that is the closeness itself ranks exactly; tau-b and rho are SciPy's."""
    rng = np.random.default_rng(seed)
    d = rng.random(12)
    score = pl.text.UnifiedQualityScore().fit({"closeness": -d}, d)
    ranked = kendalltau(score.score({"closeness": -d}), -d).statistic
    table = np.round(rng.normal(size=(12, 4)), 1)
    found = pl.text.unlearning.reliability(table, d)
    worst = max(abs(found.rho[j] - spearmanr(table[:, j], -d).statistic) for j in range(4))
    for i in range(4):
        for j in range(4):
            worst = max(worst, abs(found.tau[i, j] - kendalltau(table[:, i], table[:, j]).statistic))
    return Result(
        {"tau with closeness": float(ranked), "largest difference": float(worst)},
        {"tau with closeness": 1.0, "largest difference": 0.0},
        "1 and 0 within 1e-12",
        bool(abs(ranked - 1) < 1e-12 and worst < 1e-12),
    )


@claim(SLUG, kind="directional")
def ranks_better_than_the_mean_and_the_single_metric(seed: int = 0) -> Result:
    """36 models with a latent distance and five noisy metrics, one of them misleading: fit on 18, rank 18; 20 seeds."""
    taus: dict[str, list[float]] = {"UQS": [], "plain mean": [], "single metric": []}
    for s in range(20):
        rng = np.random.default_rng(1000 * seed + s)
        d = rng.random(36)
        signs, noise = np.array([1.0, 1.0, 1.0, 1.0, -1.0]), np.array([0.3, 0.4, 0.5, 0.6, 0.4])
        table = signs * (1 - d)[:, None] + noise * rng.normal(size=(36, 5))
        score = pl.text.UnifiedQualityScore().fit(table[:18], d[:18])
        low, high = table[18:].min(0), table[18:].max(0)
        plain = ((table[18:] - low) / (high - low)).mean(1)
        taus["UQS"].append(float(kendalltau(score.score(table[18:]), -d[18:]).statistic))
        taus["plain mean"].append(float(kendalltau(plain, -d[18:]).statistic))
        single = [kendalltau(table[18:, j], -d[18:]).statistic for j in range(5)]
        taus["single metric"].append(float(np.mean(single)))
    mean = {name: float(np.mean(values)) for name, values in taus.items()}
    return Result(
        mean["UQS"],
        {"above": [mean["plain mean"], mean["single metric"]]},
        "mean tau of held-out models with closeness above that of the plain mean and of the average single metric",
        mean["UQS"] > mean["plain mean"] and mean["UQS"] > mean["single metric"],
        baseline={name: mean[name] for name in ("plain mean", "single metric")},
        details={"wins over the plain mean of 20": sum(a > b for a, b in zip(taus["UQS"], taus["plain mean"]))},
    )
