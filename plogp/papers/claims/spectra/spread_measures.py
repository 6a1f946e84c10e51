"""Reliable measures of spread in latent spaces (Marbut, McKinney-Bock and Wheeler, arXiv 2212.08172).

The paper: average cosine similarity and the partition-function isotropy mislead; eigenvalue early enrichment (EEE)
and the Vasicek ratio error (VRM) do not.
"""

import numpy as np
from scipy.stats import spearmanr

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "spread_measures"


@claim(SLUG, kind="exact")
def ends_of_early_enrichment(seed: int = 0) -> Result:
    """Equal eigenvalues give 0; one alone gives 1 - 1/d as a sum and (1 - 1/d)² by the trapezoid rule."""
    worst = 0.0
    for d in (2, 5, 64):
        flat = pl.spectra.Spectrum.from_values(np.full(d, 3.0))
        one = pl.spectra.Spectrum.from_values(np.eye(d)[0])
        gaps = [flat.eee(), flat.eee("trapezoid"), one.eee() - (1 - 1 / d), one.eee("trapezoid") - (1 - 1 / d) ** 2]
        worst = max(worst, float(np.abs(gaps).max()))
    return Result(worst, 0.0, "largest difference <= 1e-12", worst <= 1e-12)


@claim(SLUG, kind="exact")
def no_matter_where_or_how_turned(seed: int = 0) -> Result:
    """EEE and VRM do not change under shifts, rotations and scale; average cosine similarity changes under a shift."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 12)) / np.arange(1, 13)
    turn, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    base = pl.spectra.spread(x, ["eee", "vrm"])
    worst = 0.0
    for moved in (x + 50, x @ turn, 1e-4 * x):
        found = pl.spectra.spread(moved, ["eee", "vrm"])
        worst = max(worst, *(abs(found[name] - base[name]) for name in base))
    cosine = pl.spectra.spread(x + 50, "acs")["acs"] - pl.spectra.spread(x, "acs")["acs"]
    return Result(
        {"eee, vrm": worst, "acs": cosine},
        {"eee, vrm": 0.0},
        "EEE and VRM within 1e-8, ACS moved by more than 0.9",
        worst <= 1e-8 and cosine > 0.9,
    )


@claim(SLUG, kind="directional")
def cosine_similarity_misleads_on_three_clouds(seed: int = 0) -> Result:
    """A ball, a line and a shifted ball (5,000 points, d = 32): ACS calls the line spread and the ball collapsed."""
    d, runs = 32, []
    for s in range(3):
        rng = np.random.default_rng(100 * seed + s)
        ball = rng.normal(size=(5000, d))
        line = rng.normal(size=(5000, 1)) * rng.normal(size=d)
        clouds = {"ball": ball, "line": line, "shifted": ball + 10}
        runs.append({name: pl.spectra.spread(x, ["acs", "eee", "vrm"]) for name, x in clouds.items()})
    right = all(
        abs(r["ball"]["acs"]) < 0.01
        and abs(r["line"]["acs"]) < 0.01
        and r["shifted"]["acs"] > 0.98
        and max(r["ball"]["eee"], r["shifted"]["eee"]) < 0.06
        and abs(r["line"]["eee"] - (1 - 1 / d) ** 2) < 1e-3
        and max(r["ball"]["vrm"], r["shifted"]["vrm"]) < 0.005
        and 1.4 < r["line"]["vrm"] < 1.9
        for r in runs
    )
    return Result(
        {name: [r[name]["eee"] for r in runs] for name in runs[0]} | {"vrm of the line": runs[0]["line"]["vrm"]},
        {"ball": 0.044, "line": 0.938, "shifted": 0.044},
        "3/3 seeds: ACS 0, 0 and > 0.98; EEE < 0.06, 0.938 and < 0.06; VRM < 0.005, 1.4 to 1.9 and < 0.005",
        right,
        baseline={name: [r[name]["acs"] for r in runs] for name in runs[0]},
        details={"runs": runs},
    )


@claim(SLUG, kind="directional")
def follows_the_decay_and_not_the_dimension(seed: int = 0) -> Result:
    """EEE and VRM rise with the exponent of decaying variances, and of a ball hardly move from d = 16 to d = 64."""
    exponents = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0]
    rho: dict[str, float] = {"eee": 1.0, "vrm": 1.0}
    drift: dict[str, float] = {"eee": 0.0, "vrm": 0.0}
    curves: dict[str, list[float]] = {}
    for s in range(3):
        rng = np.random.default_rng(100 * seed + s)
        balls = {d: rng.normal(size=(5000, d)) for d in (16, 64)}
        flat = {d: pl.spectra.spread(x, ["eee", "vrm"]) for d, x in balls.items()}
        x = rng.normal(size=(2000, 32))
        decayed = [pl.spectra.spread(x * np.arange(1, 33) ** (-a / 2), ["eee", "vrm"]) for a in exponents]
        for name in rho:
            curve = [found[name] for found in decayed]
            rho[name] = min(rho[name], float(spearmanr(exponents, curve).statistic))
            drift[name] = max(drift[name], abs(flat[16][name] - flat[64][name]))
            curves.setdefault(name, curve)
    return Result(
        {"Spearman": rho, "change with d": drift},
        {"Spearman": 1.0, "change with d": 0.0},
        "Spearman > 0.95 and |value at d = 16 - value at d = 64| < 0.05, both measures, 3/3 seeds",
        min(rho.values()) > 0.95 and max(drift.values()) < 0.05,
        series={"x": exponents, "curves": curves, "xlabel": "exponent of the variances", "ylabel": "measure"},
    )
