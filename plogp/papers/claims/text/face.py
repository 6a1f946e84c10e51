"""FACE: Fourier analysis of cross-entropy (Yang et al., arXiv 2305.10307).

The paper: the spectrum of a text's surprisal tells how near a model's text is to human text; it identifies the gap
between them, and orders sampling methods.
"""

import math

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim
from plogp.trace import MarkovLM, trace

SLUG = "face"


@claim(SLUG, kind="exact")
def identities(seed: int = 0) -> Result:
    """Equal series; one scaled by c; Parseval's identity; a cosine is one line at its frequency."""
    rng = np.random.default_rng(seed)
    a = [rng.exponential(3, n) for n in (64, 65, 150)]
    same, scaled = pl.text.face(a, a), pl.text.face(a, [4 * s for s in a])
    expected = {"SO": 1.0, "CORR": 1.0, "SAM": 0.0, "SPEAR": 1.0}
    worst = max(abs(same[k].value - v) for k, v in expected.items())
    worst = max(worst, abs(scaled["SO"].value - 1 / 4), abs(scaled["SAM"].value))
    energy = 0.0
    for s in a:
        m = pl.text.surprisal_spectrum(s).magnitude
        rest = abs(np.sum(s * (-1.0) ** np.arange(len(s)))) if len(s) % 2 == 0 else 0.0  # the line at f = 1/2
        energy = max(energy, abs((m[0] ** 2 + 2 * (m[1:] ** 2).sum() + rest**2) / (len(s) * (s**2).sum()) - 1))
    freq, m = pl.text.surprisal_spectrum(2 + np.cos(2 * np.pi * 9 * np.arange(120) / 120))
    line = max(abs(freq[9] - 9 / 120), abs(m[9] - 60), abs(m[0] - 240), np.delete(m, [0, 9]).max())
    measured = {"similarities": worst, "Parseval": energy, "line of a cosine": float(line)}
    return Result(measured, 0.0, "all within 1e-7", max(measured.values()) <= 1e-7)


@claim(SLUG, kind="directional")
def a_periodic_component_is_seen(seed: int = 0) -> Result:
    """Series of 400 with a component of period 25, and without: pairs of one type overlap more. 200 pairs."""
    rng = np.random.default_rng(seed)
    wave = 1.5 * np.cos(2 * np.pi * np.arange(400) / 25)

    def series(periodic: bool) -> list[np.ndarray]:
        return [np.abs(rng.normal(3, 1, 400) + periodic * np.roll(wave, rng.integers(25))) for _ in range(200)]

    first, second, plain = series(True), series(True), series(False)
    # Without the mean, whose line at f = 0 is far above all others; and with it, as published.
    same, different = (pl.text.face(first, x, detrend="mean")["SO"] for x in (second, plain))
    gap = same - different
    published = pl.text.face(first, second)["SO"] - pl.text.face(first, plain)["SO"]
    steps = min(g.value / (g.se or math.inf) for g in (gap, published))
    return Result(
        {"SO, same type": same.value, "SO, different types": different.value, "in standard errors": steps},
        {"in standard errors": 10.0},
        "SO of one type exceeds SO of two by more than 10 standard errors, without the line at f = 0 and with it",
        steps > 10,
        details={
            "difference": gap.value,
            "standard error": gap.se,
            "with the line at f = 0": {"difference": published.value, "standard error": published.se},
        },
    )


@claim(SLUG, kind="directional")
def orders_sampling_methods(seed: int = 0) -> Result:
    """A chain is human and evaluator: its own samples are nearer to it than top-k samples, k = 2 farther than 10."""
    rows = []
    for s in range(5):
        lm = MarkovLM.random(40, rng=100 * seed + s)
        human, own = (trace(lm, lm.sample(60, 300, rng=100 * seed + 10 * k + s)) for k in (1, 2))
        row = {"own": pl.text.face(human, own)["SO"].value}
        for k in (10, 2):
            least = np.sort(lm.transition, axis=1)[:, -k][:, None]
            law = np.where(lm.transition >= least, lm.transition, 0)
            cut = MarkovLM(law / law.sum(axis=1, keepdims=True), initial=lm.initial)
            texts = cut.sample(60, 300, rng=100 * seed + 30 + s)
            row[f"top-{k}"] = pl.text.face(human, trace(lm, texts))["SO"].value
        rows.append(row)
    gaps = [row["own"] - row["top-2"] for row in rows]
    ordered = all(row["own"] > row["top-10"] > row["top-2"] for row in rows)
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return Result(
        {f"SO, {name}": value for name, value in mean.items()},
        {"SO of own samples above top-2": 0.1},
        "SO(human, own) > SO(human, top-10) > SO(human, top-2), and the first exceeds the last by 0.1, in 5/5 seeds",
        min(gaps) > 0.1 and ordered,
        details={"by seed": rows},
        note="Texts of one law reach about 0.65 and not 1: single spectra are noisy.",
    )
