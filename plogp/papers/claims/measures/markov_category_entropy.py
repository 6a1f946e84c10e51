"""Entropy as distance from determinism (Perrone, arXiv 2212.11719): one construction, many entropies.

The paper: in a category of channels with a divergence, the entropy of f is D(copy∘f ‖ (f⊗f)∘copy) and the
mutual information of a joint source is D(h ‖ h_X ⊗ h_Y). KL gives Shannon's, Rényi's of order a gives Rényi's
of order 2 - a, total variation gives Gini-Simpson's.
"""

from collections.abc import Callable

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "markov_category_entropy"


def _random_distributions(seed: int, count: int = 100) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.ones(rng.integers(2, 13))) for _ in range(count)]


@claim(SLUG, kind="exact")
def one_construction_many_entropies(seed: int = 0) -> Result:
    """The literal D(copy∘p ‖ p⊗p) equals each divergence's entropy in closed form, on 100 random p."""
    closed: dict[str, tuple[dict[str, float], Callable[[np.ndarray], float]]] = {
        "kl": ({}, lambda p: pl.entropy(p)),
        "tv": ({}, lambda p: pl.entropy(p, "gini_simpson")),
        "hellinger": ({}, lambda p: 1 - np.sum(p**1.5)),
        "chi2": ({}, lambda p: len(p) - 1),
        "alpha": ({"a": 0.3}, lambda p: pl.entropy(p, "tsallis", q=1.7) / 0.3),
        "renyi": ({"alpha": 0.5}, lambda p: pl.entropy(p, "renyi", alpha=1.5)),
    }
    worst = {}
    for name, (options, value) in closed.items():
        d = pl.divergence(name, **options)
        gaps = []
        for p in _random_distributions(seed):
            truth = float(value(p))
            shown = [pl.Channel(p).entropy(d, literal=True), pl.Channel(p).entropy(d)]
            shown.append(d(np.diag(p).ravel(), np.outer(p, p).ravel()))
            gaps += [abs(float(s) - truth) / max(1.0, truth) for s in shown]
        worst[name] = max(gaps)
    return Result(
        worst,
        dict.fromkeys(worst, 0.0),
        "largest relative difference <= 1e-12",
        max(worst.values()) <= 1e-12,
    )


@claim(SLUG, kind="exact")
def every_generator_has_the_general_formula(seed: int = 0) -> Result:
    """H_D(p) = Σ p² f(1/p) + (1 - Σ p²) f(0) for every f-divergence of the catalogue with finite f(0)."""
    worst = {}
    for name in ("kl", "js", "tv", "chi2", "hellinger", "le_cam", "skew_kl"):
        d = pl.divergence(name)
        gaps = []
        for p in _random_distributions(seed, 30):
            formula = np.sum(p**2 * d.f(1 / p)) + (1 - np.sum(p**2)) * d.f0
            shown = (pl.entropy(p, "f_copy", D=d), pl.Channel(p).entropy(d, literal=True))
            gaps += [abs(float(h) - formula) for h in shown]
        worst[name] = max(gaps)
    return Result(worst, dict.fromkeys(worst, 0.0), "largest difference <= 1e-11", max(worst.values()) <= 1e-11)


@claim(SLUG, kind="exact")
def renyi_reflects_its_order(seed: int = 0) -> Result:
    """Rényi's divergence of order a generates Rényi's entropy of order 2 - a, for a in {1/4, 1/2, 3/2}."""
    worst = {}
    for order in (0.25, 0.5, 1.5):
        d = pl.divergence("renyi", alpha=order)
        worst[str(order)] = max(
            abs(float(pl.Channel(p).entropy(d) - pl.entropy(p, "renyi", alpha=2 - order)))
            for p in _random_distributions(seed)
        )
    return Result(worst, dict.fromkeys(worst, 0.0), "largest difference <= 1e-12", max(worst.values()) <= 1e-12)


@claim(SLUG, kind="exact")
def zero_iff_deterministic(seed: int = 0) -> Result:
    """A channel has entropy 0 iff it is deterministic, for five divergences and 400 channels."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for i in range(400):
        n, m = rng.integers(1, 6, 2)
        if i % 2:
            f = pl.Channel.from_function(rng.integers(0, m, n), int(m))
        else:
            f = pl.Channel(rng.dirichlet(np.ones(m + 1), n))
        for name in ("kl", "tv", "hellinger", "chi2", "js"):
            wrong += (float(f.entropy(name)) <= 1e-15) != bool(i % 2)
        wrong += f.is_deterministic() != bool(i % 2)
    return Result(wrong, 0, "no channel disagrees", wrong == 0)


@claim(SLUG, kind="exact")
def local_channels_lose_information(seed: int = 0) -> Result:
    """Data processing: on 1,000 joints, channels on X and Y never increase I_D; and I_D(X;Y) <= H_D(X)."""
    rng = np.random.default_rng(seed)
    joints = rng.dirichlet(0.5 * np.ones(20), 1000).reshape(1000, 4, 5)
    f, g = rng.dirichlet(0.5 * np.ones(4), (1000, 4)), rng.dirichlet(0.5 * np.ones(5), (1000, 5))
    f[:100], g[:100] = np.eye(4)[rng.permutation(4)], np.eye(5)[rng.permutation(5)]  # renaming: equality
    after = np.swapaxes(f, 1, 2) @ joints @ g
    worst = {}
    for name, options in [("kl", {}), ("tv", {}), ("hellinger", {}), ("chi2", {}), ("renyi", {"alpha": 0.5})]:
        d = pl.divergence(name, **options)
        before = pl.mutual_information(joints, divergence=d)
        gain = np.max(pl.mutual_information(after, divergence=d) - before)
        own = [float(pl.Channel(joint.sum(1)).entropy(d)) for joint in joints[:200]]
        worst[name] = max(float(gain), float(np.max(before[:200] - own)))
    return Result(worst, dict.fromkeys(worst, 0.0), "largest violation <= 1e-10", max(worst.values()) <= 1e-10)


@claim(SLUG, kind="exact")
def divergences_enrich_composition(seed: int = 0) -> Result:
    """D(g∘f ‖ g'∘f') <= D(f ‖ f') + D(g ‖ g'), the worst input on both sides: 1,000 random kernels."""
    rng = np.random.default_rng(seed)
    worst = {}
    for name in ("tv", "kl"):
        d, violations = pl.divergence(name), []
        for _ in range(1000):
            f, f2 = (pl.Channel(rng.dirichlet(np.ones(4), 3)) for _ in range(2))
            g, g2 = (pl.Channel(rng.dirichlet(np.ones(3), 4)) for _ in range(2))
            left = _worst(d, g @ f, g2 @ f2)
            violations.append(left - _worst(d, f, f2) - _worst(d, g, g2))
        worst[name] = max(violations)
    return Result(worst, dict.fromkeys(worst, 0.0), "largest violation <= 1e-10", max(worst.values()) <= 1e-10)


def _worst(d: pl.Divergence, f: pl.Channel, g: pl.Channel) -> float:
    return float(np.max(d(f.matrix, g.matrix)))


@claim(SLUG, kind="exact")
def processing_and_pairs(seed: int = 0) -> Result:
    """Deterministic processing never increases entropy; that of a product adds for KL and Rényi."""
    rng = np.random.default_rng(seed)
    gain, mismatch = 0.0, 0.0
    for _ in range(300):
        p, q = pl.Channel(rng.dirichlet(np.ones(6))), pl.Channel(rng.dirichlet(np.ones(4)))
        f = pl.Channel.from_function(rng.integers(0, 3, 6), 3)
        for name in ("kl", "tv", "hellinger", "chi2"):
            gain = max(gain, float((f @ p).entropy(name) - p.entropy(name)))
        for d in (pl.divergence("kl"), pl.divergence("renyi", alpha=0.5)):
            mismatch = max(mismatch, abs(float(p.tensor(q).entropy(d) - p.entropy(d) - q.entropy(d))))
    return Result(
        {"gain": gain, "non-additivity": mismatch},
        {"gain": 0.0, "non-additivity": 0.0},
        "largest gain and largest deviation <= 1e-12",
        gain <= 1e-12 and mismatch <= 1e-12,
    )
