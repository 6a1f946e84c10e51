"""RankMe and α-ReQ through training (Li et al., arXiv 2509.23024): warmup, entropy-seeking, compression-seeking.

The paper sees three phases in OLMo and Pythia, and explains the first two by a toy: a narrow linear bottleneck under
cross-entropy with skewed class frequencies collapses to its leading direction before the others grow.
"""

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "lm_geometry_phases"


@claim(SLUG, kind="exact")
def functionals(seed: int = 0) -> Result:
    """λ_i = i^-a has α-ReQ a, k equal eigenvalues have RankMe k, and projections on and off k directions add up."""
    rng = np.random.default_rng(seed)
    gaps = {}
    for a in (0.5, 1.0, 2.3):
        gaps[f"alpha {a}"] = pl.spectra.Spectrum.from_values(np.arange(1, 200) ** -a).alpha_req().value - a
    for k in (1, 4, 30):
        gaps[f"RankMe {k}"] = float(pl.spectra.Spectrum.from_values(np.ones(k)).effective_rank) - k
    H = rng.normal(size=(50, 12))
    gaps["projection"] = np.abs(pl.spectra.project(H, 5) + pl.spectra.project(H, 5, "bottom") - H).max()
    worst = max(abs(v) for v in gaps.values())
    return Result(worst, 0.0, "largest difference <= 1e-8", bool(worst <= 1e-8), details=gaps)


@claim(SLUG, kind="exact")
def infgram_is_brute_force(seed: int = 0) -> Result:
    """The ∞-gram counts are those of a search of every suffix of the context through the corpus."""
    rng = np.random.default_rng(seed)
    differences = checked = 0
    for _ in range(20):
        documents = [rng.integers(0, 4, int(rng.integers(1, 60))) for _ in range(3)]
        model = pl.text.InfGram(documents, vocabulary_size=4)
        for _ in range(10):
            context = rng.integers(0, 4, int(rng.integers(0, 12)))
            found = model.continuations(context)
            for length in range(len(context), -1, -1):
                suffix = context[len(context) - length :]
                after = [
                    int(d[i + length])
                    for d in documents
                    for i in range(len(d) - length)
                    if np.array_equal(d[i : i + length], suffix)
                ]
                if after:
                    break
            tokens, counts = np.unique(after, return_counts=True)
            same = found.length == length and np.array_equal(found.tokens, tokens)
            differences += not (same and np.array_equal(found.counts, counts))
            checked += 1
    return Result(differences, 0, "no context differs", differences == 0, details={"contexts": checked})


@claim(SLUG, kind="exact")
def planted_phases_are_found(seed: int = 0) -> Result:
    """A curve that falls, rises and falls again, with noise, is cut into the three phases at its planted turns."""
    rng = np.random.default_rng(seed)
    step = np.geomspace(1, 1e5, 61)
    rank = np.interp(np.arange(61), [0, 15, 42, 60], [30.0, 10.0, 60.0, 35.0]) * np.exp(0.003 * rng.normal(size=61))
    found = pl.spectra.phases((step, rank))
    names = [p.name for p in found]
    turns = [int(np.argmin(np.abs(step - p.end))) for p in found[:-1]]
    right = names == ["warmup", "entropy-seeking", "compression-seeking"]
    close = right and abs(turns[0] - 15) <= 2 and abs(turns[1] - 42) <= 2
    return Result({"turns": turns}, {"turns": [15, 42]}, "the three names, turns within 2 checkpoints", close)


def _toy(skewed: bool, seed: int) -> np.ndarray:
    """RankMe of the 8-dimensional features of a linear classifier of 32 classes along full-batch gradient descent."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, 33) if skewed else np.ones(32)
    prototypes = rng.normal(size=(32, 64))
    label = rng.choice(32, 400, p=share / share.sum())
    X = prototypes[label] + 0.5 * rng.normal(size=(400, 64))
    target = np.eye(32)[label]
    E, W = 0.1 * rng.normal(size=(64, 8)), 0.1 * rng.normal(size=(8, 32))
    ranks = []
    for step in range(12_001):
        F = X @ E
        if step in _STEPS:
            ranks.append(float(pl.spectra.rankme(F)))
        logits = F @ W
        P = np.exp(logits - logits.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        G = (P - target) / 400
        E, W = E - 0.3 * X.T @ (G @ W.T), W - 0.3 * F.T @ G
    return np.array(ranks)


_STEPS = set(np.unique(np.round(np.geomspace(1, 12_001, 60)).astype(int) - 1).tolist())


@claim(SLUG, kind="directional", slow=True)
def skewed_frequencies_collapse_first(seed: int = 0) -> Result:
    """With Zipf frequencies RankMe first falls over three times as far as with equal ones, then rises by over 10 %."""
    curves = {f"{name} {s}": _toy(name == "Zipf", seed + s) for name in ("Zipf", "equal") for s in range(3)}
    dip = {k: float(1 - r.min() / r[0]) for k, r in curves.items()}
    rise = {k: float(r[r.argmin() :].max() / r.min() - 1) for k, r in curves.items()}
    pairs = [(f"Zipf {s}", f"equal {s}") for s in range(3)]
    passed = all(dip[z] > 3 * dip[e] and rise[z] > 0.1 for z, e in pairs)
    return Result(
        {"dip, Zipf": [dip[z] for z, _ in pairs], "rise, Zipf": [rise[z] for z, _ in pairs]},
        {"dip, Zipf": "> 3 times the baseline's", "rise, Zipf": "> 0.10"},
        "both, in 3 of 3 seeds",
        passed,
        baseline={"dip, equal": [dip[e] for _, e in pairs]},
        series={
            "x": sorted(_STEPS),
            "curves": {k: v.tolist() for k, v in curves.items() if k.endswith("0")},
            "xlabel": "step",
            "ylabel": "RankMe",
        },
    )
