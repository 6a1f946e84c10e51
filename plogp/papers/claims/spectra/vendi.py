"""The Vendi score (Friedman and Dieng, arXiv 2210.02410; orders: Pasarkar and Dieng, arXiv 2310.12952).

The paper: exp of the entropy of the eigenvalues of a similarity matrix over n counts the effectively different
items, sees mode collapse, and sees correlations inside a set that the mean similarity (IntDiv) cannot.
"""

import math

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

import plogp as pl
from plogp.papers.claim import Result, claim
from plogp.spectra.vendi import vendi_interval

SLUG = "vendi"


def _items(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5


@claim(SLUG, kind="exact")
def equal_groups_count_themselves(seed: int = 0) -> Result:
    """M equally frequent groups of identical items score m, for every kernel and order; one item scores 1."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(8, 8)))
    worst = 0.0
    for m in (1, 2, 5, 8):
        x = np.repeat(turn[:m], 4, axis=0)
        K = x @ x.T
        for order in (0.5, 1.0, 2.0, math.inf):
            scores = [pl.spectra.vendi_score(x, order=order), pl.spectra.vendi_score(K, "precomputed", order)]
            scores.append(pl.spectra.vendi_score(list(x), lambda a, b: float(a @ b), order))
            worst = max(worst, *(abs(s - m) for s in scores))
    return Result(worst, 0.0, "largest |score - m| <= 1e-10", worst <= 1e-10)


@claim(SLUG, kind="exact")
def dual_weights_and_stream(seed: int = 0) -> Result:
    """The d x d problem gives the score of the n x n one, weights are duplication, and batches add up."""
    x = _items(60, 9, seed)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    counts = np.random.default_rng(seed).integers(1, 5, 60)
    repeated = np.repeat(x, counts, axis=0)
    gaps = {}
    for order in (0.5, 1.0, 3.0):
        score = pl.spectra.vendi_score(x, order=order)
        weighted = pl.spectra.vendi_score(x, order=order, weights=counts / counts.sum())
        stream = pl.spectra.VendiScore(order)
        for part in np.array_split(x, 7):
            stream.update(part)
        gaps[f"dual, order {order}"] = abs(pl.spectra.vendi_score(unit @ unit.T, "precomputed", order) / score - 1)
        gaps[f"weights, order {order}"] = abs(pl.spectra.vendi_score(repeated, order=order) / weighted - 1)
        gaps[f"stream, order {order}"] = abs(stream.compute() / score - 1)
    worst = max(gaps.values())
    return Result(worst, 0.0, "largest relative difference <= 1e-9", worst <= 1e-9, details=gaps)


@claim(SLUG, kind="exact")
def falls_with_the_order(seed: int = 0) -> Result:
    """The score never rises with its order, from the rank of the similarities (0) to 1/λ_max (infinity)."""
    orders = (0.0, 0.3, 1.0, 2.0, 8.0, math.inf)
    rise, ends = -math.inf, 0.0
    for s in range(20):
        x = _items(30, 12, 100 * seed + s)
        scores = [pl.spectra.vendi_score(x, order=q) for q in orders]
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        top = float(np.linalg.eigvalsh(unit @ unit.T / 30)[-1])
        rise = max(rise, float(np.max(np.diff(scores))))
        ends = max(ends, abs(scores[0] - 12), abs(scores[-1] * top - 1))
    return Result(
        {"largest rise": rise, "ends": ends},
        {"ends": 0.0},
        "every step down, the rank (12) at order 0 and 1/λ_max at infinity to 1e-9",
        rise < 0 and ends <= 1e-9,
    )


@claim(SLUG, kind="exact")
def sees_correlation_that_mean_similarity_cannot(seed: int = 0) -> Result:
    """Two sets of 10 with the same mean similarity: the one that falls into two tight groups has the lower score."""
    even = np.full((10, 10), 0.4)
    np.fill_diagonal(even, 1.0)
    groups = np.kron(np.eye(2), np.full((5, 5), 0.9))
    np.fill_diagonal(groups, 1.0)
    score = [pl.spectra.vendi_score(K, "precomputed") for K in (even, groups)]
    by_mean = [float(1 - K.mean()) for K in (even, groups)]
    # Eigenvalues by hand: (1 + 9·0.4)/10 and nine of 0.6/10; two of (1 + 4·0.9)/10 and eight of 0.1/10.
    known = [math.exp(pl.entropy(p)) for p in ([0.46] + [0.06] * 9, [0.46] * 2 + [0.01] * 8)]
    gap = max(abs(a - b) for a, b in zip(score, known))
    return Result(
        {"even": score[0], "two groups": score[1]},
        {"even": known[0], "two groups": known[1]},
        "mean similarities equal to 1e-12, scores within 1e-9 of those by hand, the second lower",
        abs(by_mean[0] - by_mean[1]) < 1e-12 and gap <= 1e-9 and score[1] < score[0],
        baseline={"even": by_mean[0], "two groups": by_mean[1]},
    )


@claim(SLUG, kind="directional")
def dropped_modes_lower_the_score(seed: int = 0) -> Result:
    """120 digits of only c classes: the mean score over 10 draws rises with c = 1..10, for two kernels."""
    digits = load_digits()
    x = digits.data / 16
    curves: dict[str, list[float]] = {}
    ranks: dict[str, list[float]] = {}
    for name in ("cosine", "rbf"):
        draws = []
        for s in range(10):
            rng = np.random.default_rng(1000 * seed + s)
            classes = rng.permutation(10)
            scores = []
            for c in range(1, 11):
                sizes = [len(part) for part in np.array_split(np.arange(120), c)]
                members = [np.flatnonzero(digits.target == k) for k in classes[:c]]
                rows = np.concatenate([rng.choice(m, size, replace=False) for m, size in zip(members, sizes)])
                scores.append(pl.spectra.vendi_score(x[rows], name, bandwidth=2.0))
            draws.append(scores)
        curves[name] = np.mean(draws, axis=0).tolist()
        ranks[name] = [float(spearmanr(range(10), scores).statistic) for scores in draws]
    correlation = {name: float(spearmanr(range(10), curve).statistic) for name, curve in curves.items()}
    return Result(
        correlation,
        {"cosine": 1.0, "rbf": 1.0},
        "Spearman correlation of the mean score with the number of classes >= 0.95, both kernels",
        min(correlation.values()) >= 0.95,
        details={"by draw": ranks, "n": 120},
        series={
            "x": list(range(1, 11)),
            "curves": {name: [v / curve[-1] for v in curve] for name, curve in curves.items()},
            "xlabel": "classes",
            "ylabel": "score / score of all classes",
        },
        note="Single draws are not strictly monotone (0.8 to 1): some digits are more varied than others.",
    )


@claim(SLUG, kind="statistical")
def interval_covers_and_size_matters(seed: int = 0) -> Result:
    """The score grows with n; the subsampling interval covers the mean score at n and at n/4 in 85 to 100 %."""
    n, repeats = 160, 40
    rng = np.random.default_rng(seed)

    def sample() -> np.ndarray:
        return rng.normal(size=(n, 24)) * np.arange(1, 25) ** -0.5

    truth = {
        size: float(np.mean([pl.spectra.vendi_score(sample()[:size]) for _ in range(200)])) for size in (n // 4, n)
    }
    covered = dict.fromkeys(truth, 0.0)
    for s in range(repeats):
        x = sample()
        for size, value in truth.items():
            low, high = vendi_interval(x, size=size, num_subsamples=30, rng=s).interval()
            covered[size] += (low < value < high) / repeats
    passed = min(covered.values()) >= 0.85 and truth[n // 4] < truth[n]
    return Result(
        {f"coverage at n = {size}": share for size, share in covered.items()},
        {"nominal": 0.95},
        "coverage >= 85 % over 40 repetitions at both sizes, and the score at 40 items below that at 160",
        passed,
        details={"mean score": truth},
    )
