"""USCD: uncertainty-aware selective contrastive decoding (Wang et al., arXiv 2409.05923).

The paper: contrast with a prompt that lacks the examples removes what the prompt's form alone suggests; doing so only
where the model is unsure spares the steps that were right.
"""

import math

import numpy as np

import plogp as pl
from plogp.decode.contrast import spread
from plogp.papers.claim import Result, claim

SLUG = "uscd"


@claim(SLUG, kind="exact")
def its_uncertainty_is_the_collision_entropy(seed: int = 0) -> Result:
    """The standard deviation of the probabilities is a function of the Renyi-2 entropy, at most 1/sqrt(V)."""
    z = np.random.default_rng(seed).normal(size=(10_000, 50)) * np.linspace(0, 6, 10_000)[:, None]
    log_p = pl.measures.arrays.log_softmax(z)
    collision = np.exp(pl.trace.token_stats(z, powers=(2,), stats=()).power[2])
    sigma = spread(log_p)
    worst = float(np.abs(sigma**2 - (collision - 1 / 50) / 49).max())
    high = float(sigma.max() * math.sqrt(50))
    return Result(
        {"difference": worst, "largest sigma sqrt(V)": high},
        {"difference": 0.0},
        "difference <= 1e-6 and largest <= 1",
        worst <= 1e-6 and high <= 1 + 1e-9,
    )


@claim(SLUG, kind="exact")
def scales_and_never_empties(seed: int = 0) -> Result:
    """Equal streams: log 0.3 p, same best token; threshold 0: log p to the bit; a token survives in 10,000 rows."""
    z, y = np.random.default_rng(seed).normal(0, 2, (2, 10_000, 30))
    log_p = pl.measures.arrays.log_softmax(z)
    equal = pl.decode.USCD(lambda emitted: z, theta=1.0, keep=1 / 3).filter(z)
    kept = equal > -np.inf
    scale = float(np.abs(equal[kept] - log_p[kept] - math.log(0.3)).max())
    moved = int((equal.argmax(-1) != z.argmax(-1)).sum())
    same = bool((pl.decode.USCD(lambda emitted: y, theta=0.0).filter(z) == log_p).all())
    hard = pl.decode.USCD(lambda emitted: y, theta=1.0, keep=1 / 3, weights=(1.0, -3.0)).filter(z)
    empty = int((~(hard > -np.inf).any(-1)).sum())
    return Result(
        {"scale": scale, "best tokens moved": moved, "empty rows": empty, "same with theta 0": same},
        {"scale": 0.0, "best tokens moved": 0, "empty rows": 0, "same with theta 0": True},
        "scale within 1e-9; none moved, none empty; theta 0 exact",
        scale <= 1e-9 and moved == 0 and empty == 0 and same,
    )


def _steps(rng: np.random.Generator, n: int = 4000, vocab: int = 400) -> tuple[np.ndarray, ...]:
    """Logits with and without the examples; in half of the steps both favour a distractor, the second more."""
    rows, truth = np.arange(n), rng.integers(vocab, size=n)
    rival = (truth + rng.integers(1, vocab, size=n)) % vocab
    sure = rows < n // 2
    shared = rng.normal(size=(n, vocab))
    full, lame = (shared + 0.3 * rng.normal(size=(n, vocab)) for _ in range(2))
    # Sure steps: the examples make the answer plain. Unsure ones: answer and distractor are about as likely.
    full[rows, truth] += np.where(sure, 11.0, 6.0)
    lame[rows, truth] += np.where(sure, 8.0, 5.0)
    bias = np.where(sure, 0.0, 6.0 + rng.normal(size=n))
    full[rows, rival] += bias
    lame[rows, rival] += bias * 1.1
    return full, lame, truth, sure


@claim(SLUG, kind="directional")
def removes_distractors_where_unsure(seed: int = 0) -> Result:
    """4,000 steps, half with a shared distractor: accuracy of the selective contrast and of plain argmax, 3 seeds."""
    gains, certain, plain_all, ours_all, always = [], [], [], [], []
    for s in range(3):
        full, lame, truth, sure = _steps(np.random.default_rng(100 * seed + s))
        plain = full.argmax(-1) == truth
        ours = pl.decode.USCD(lambda emitted, q=lame: q, theta_rel=0.63, keep=1 / 3).filter(full).argmax(-1) == truth
        everywhere = (
            pl.decode.USCD(lambda emitted, q=lame: q, theta_rel=1.0, keep=1 / 3).filter(full).argmax(-1) == truth
        )
        gains.append(float(ours.mean() - plain.mean()))
        certain.append(float(ours[sure].mean() - plain[sure].mean()))
        plain_all.append(float(plain.mean()))
        ours_all.append(float(ours.mean()))
        always.append(float(everywhere.mean()))
    return Result(
        {
            "accuracy": float(np.mean(ours_all)),
            "least gain": min(gains),
            "largest change when sure": max(map(abs, certain)),
        },
        {"least gain": 0.1, "largest change when sure": 0.0},
        "gain > 0.10 in 3/3 seeds, change on the sure half below 0.01",
        min(gains) > 0.10 and max(map(abs, certain)) < 0.01,
        baseline={"argmax": float(np.mean(plain_all)), "contrast at every step": float(np.mean(always))},
        details={"gains": gains, "sure half": certain},
        note="The sure half of this world stands the contrast as well, so that contrast at every step is not worse "
        "here: what is shown is the gain where the model is unsure, not that selection is needed.",
    )
