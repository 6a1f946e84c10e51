"""Diffusion spectral entropy and mutual information (Liao, Liu et al., arXiv 2312.04823).

The paper: the entropy of the eigenvalues of a diffusion matrix measures how many parts, or dimensions, a
representation has; it resists noise where binned entropy saturates, and its mutual information with labels falls as
labels are corrupted.
"""

import math

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "diffusion_spectral_entropy"


@claim(SLUG, kind="exact")
def counts_the_parts(seed: int = 0) -> Result:
    """Identical points have entropy 0; m far clusters have log m at a long diffusion time, and a top eigenvalue 1."""
    rng = np.random.default_rng(seed)
    worst = abs(pl.spectra.dse(np.ones((30, 4))))
    top = 0.0
    for m in (2, 3, 6):
        x = np.repeat(np.eye(m) * 1000, 15, axis=0) + rng.normal(size=(15 * m, m))
        worst = max(worst, abs(pl.spectra.dse(x, sigma=5.0, t=60) - math.log(m)))
        top = max(top, abs(float(pl.spectra.Spectrum.diffusion(x, sigma=5.0).values[0]) - 1))
    return Result(
        {"entropy": worst, "eigenvalue": top},
        0.0,
        "entropies within 1e-3, top eigenvalue within 1e-12",
        worst <= 1e-3 and top <= 1e-12,
        unit="nats",
    )


@claim(SLUG, kind="exact")
def is_the_entropy_of_the_random_walk(seed: int = 0) -> Result:
    """The entropy equals that of the eigenvalue moduli, to the power t, of the row-normalised similarities."""
    x = np.random.default_rng(seed).normal(size=(80, 5))
    squared = ((x[:, None] - x) ** 2).sum(-1)
    worst = 0.0
    for sigma, t in ((0.8, 1), (1.5, 3), (4.0, 2)):
        G = np.exp(-squared / (2 * sigma**2))
        walk = np.abs(np.linalg.eigvals(G / G.sum(axis=1, keepdims=True))) ** t
        worst = max(worst, abs(pl.spectra.dse(x, sigma, t) - float(pl.entropy(walk, normalize=True))))
    return Result(worst, 0.0, "largest difference <= 1e-9", worst <= 1e-9, unit="nats")


def _curved(k: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """A random smooth image in 100 dimensions of the k-dimensional cube."""
    z = rng.uniform(-1, 1, (n, k))
    features = np.cos(z @ rng.normal(0, 1.5, (k, 200)) + rng.uniform(0, 2 * np.pi, 200))
    return np.asarray(features @ rng.normal(size=(200, 100)) / 10)


@claim(SLUG, kind="directional")
def grows_with_dimension_and_resists_noise(seed: int = 0) -> Result:
    """Manifolds of dimension 1 to 5 in 100 dimensions, noise a tenth of each coordinate: DSE rises, hardly moves."""
    n, rising, moved, stuck = 400, [], [], []
    curves = []
    for s in range(3):
        rng = np.random.default_rng(100 * seed + s)
        clean = [_curved(k, n, rng) for k in range(1, 6)]
        noisy = [x + 0.1 * rng.normal(size=x.shape) for x in clean]
        a, b = ([pl.spectra.dse(x) for x in clouds] for clouds in (clean, noisy))
        binned = [pl.spectra.dse(x, variant="binned") for x in noisy]
        rising.append(float(spearmanr(range(5), b).statistic))
        moved.append(float(np.max(np.abs(np.array(b) / a - 1))))
        stuck.append(float(np.min(binned)) / math.log(n))
        curves.append(b)
    passed = min(rising) > 0.9 and max(moved) < 0.15 and min(stuck) > 0.95
    return Result(
        {"Spearman with dimension": min(rising), "largest change by noise": max(moved)},
        {"Spearman with dimension": 1.0},
        "Spearman > 0.9 and change < 15 % in 3/3 seeds; binned entropy of all of them above 95 % of log n",
        passed,
        baseline={"binned entropy / log n, smallest": min(stuck)},
        details={"changes": moved, "n": n},
        series={
            "x": [1, 2, 3, 4, 5],
            "curves": {f"seed {s}": curve for s, curve in enumerate(curves)},
            "xlabel": "intrinsic dimension",
            "ylabel": "DSE, nats",
        },
        note="With two bins a coordinate, as released, the grid has 2^100 cells: nearly every point has its own.",
    )


@claim(SLUG, kind="directional")
def information_falls_with_corrupted_labels(seed: int = 0) -> Result:
    """600 digits: the information about labels falls as a growing share of them is redrawn at random, to 0."""
    digits = load_digits()
    shares = np.linspace(0, 1, 6)
    correlations, gaps, nulls, curves = [], [], [], []
    for s in range(3):
        rng = np.random.default_rng(100 * seed + s)
        rows = rng.choice(len(digits.data), 600, replace=False)
        x, y = digits.data[rows] / 16, digits.target[rows]
        curve = []
        for share in shares:
            redrawn = rng.random(600) < share
            curve.append(pl.spectra.dsmi(x, np.where(redrawn, rng.integers(0, 10, 600), y), rng=s).value)
        null = [pl.spectra.dsmi(x, rng.permutation(y), rng=s).value for _ in range(10)]
        correlations.append(float(spearmanr(shares, curve).statistic))
        gaps.append((curve[0] - float(np.mean(null))) / float(np.std(null, ddof=1)))
        nulls.append(float(np.mean(null)))
        curves.append(curve)
    return Result(
        {
            "permuted labels": nulls,
            "Spearman, largest": max(correlations),
            "true labels above permuted, s.d.": min(gaps),
        },
        {"permuted labels": 0.0, "Spearman, largest": -1.0},
        "Spearman < -0.9, permuted labels within 0.02 of 0, true ones more than 10 s.d. above, 3/3 seeds",
        max(correlations) < -0.9 and float(np.abs(nulls).max()) < 0.02 and min(gaps) > 10,
        unit="nats",
        details={"curves": curves},
        series={
            "x": shares.tolist(),
            "curves": {f"seed {s}": curve for s, curve in enumerate(curves)},
            "xlabel": "share of labels redrawn",
            "ylabel": "DSMI, nats",
        },
    )
