"""Cognitive codec and perturbation operators against model collapse (arXiv 2512.01354).

The paper: text that keeps the irregularities of human writing stays close to it, and models trained on it do not
collapse. Its engines are prompts to a language model; the operators and the 17 features here are a reconstruction with
the same roles. Its claim about stock markets is not tested.
"""

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "pmcsf"


@claim(SLUG, kind="exact")
def agreement_of_raters(seed: int = 0) -> Result:
    """ICC(2,1) of Shrout and Fleiss's six subjects and four judges, and of raters who agree exactly."""
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    published = pl.text.icc(table).value
    one = pl.text.icc(np.repeat(np.random.default_rng(seed).random((10, 1)), 3, axis=1)).value
    return Result(
        {"Shrout and Fleiss": published, "same raters": one},
        {"Shrout and Fleiss": 0.29, "same raters": 1.0},
        "within 0.005 of the published figure, and 1 within 1e-12",
        abs(published - 0.29) < 0.005 and abs(one - 1) < 1e-12,
    )


@claim(SLUG, kind="exact")
def mixing_in_the_tail_never_lowers_entropy(seed: int = 0) -> Result:
    """1000 random laws: the mixture with p^b, b < 1, sums to 1 and has no lower entropy."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(30, 0.3), size=1000)
    with np.errstate(divide="ignore"):
        mixed = np.exp(np.asarray(pl.decode.TailMix(0.08, 0.5).filter(np.log(p))))
    total = float(np.abs(mixed.sum(-1) - 1).max())
    gain = np.asarray(pl.entropy(mixed, normalize=True)) - np.asarray(pl.entropy(p, normalize=True))
    return Result(
        {"sum off 1": total, "smallest gain": float(gain.min())},
        {"sum off 1": 0.0},
        "sums within 1e-12, gain above -1e-12",
        total < 1e-12 and float(gain.min()) > -1e-12,
        unit="nats",
    )


@claim(SLUG, kind="directional")
def the_human_tail_stops_the_collapse(seed: int = 0) -> Result:
    """Zipf unigrams, 200 words, 3000 tokens, 8 generations under top-p 0.95, with and without a mixed-in human tail."""
    zipf = 1 / np.arange(1, 201) ** 1.1
    zipf /= zipf.sum()
    gains, ratios, ends = [], [], []
    for s in range(3):
        plain = pl.text.collapse(zipf, 8, rng=100 * seed + s)
        mixed = pl.text.collapse(zipf, 8, pl.decode.TailMix(0.08, 0.5, reference=zipf), rng=100 * seed + s)
        gains.append(float(mixed["entropy"][-1] - plain["entropy"][-1]))
        ratios.append(float(mixed["js"][-1] / plain["js"][-1]))
        ends.append({name: [float(plain[name][-1]), float(mixed[name][-1])] for name in plain})
    return Result(
        {"entropy gained": gains, "JS over plain JS": ratios},
        {"entropy gained": 1.2, "JS over plain JS": 0.44},
        "entropy higher by more than 0.8 nats and JS to human at most half, in 3/3 seeds",
        min(gains) > 0.8 and max(ratios) <= 0.5,
        baseline={"plain, last generation": ends[0]},
        unit="nats",
        details={"plain and mixed, last generation": ends},
    )
