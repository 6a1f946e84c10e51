"""MINT: machine text detectors are membership inference attacks (Koike et al., arXiv 2510.19492).

The paper: both tasks have the same optimal statistic, the likelihood ratio of the model and of human text; methods are
approximations of it, and how well one does at one task predicts how well it does at the other (rank correlation > 0.6
over 12 methods).
"""

from typing import Any

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim
from plogp.trace import ArrayPredictor, MarkovLM, NGramLM, trace

SLUG = "mint"
METHODS = (
    *("likelihood_ratio", "loss", "entropy", "rank", "logrank", "lrr", "min_k", "min_k_pp", "dc_pdd"),
    *("fast_detect_gpt", "binoculars", "neighbourhood"),
)


def _world(rng: Any, texts: int = 60) -> tuple[Any, dict[str, Any], Any]:
    """Human law Q; a bigram model M that has overfitted 60 texts of it; traces by M of both tasks."""
    # As sharp as this, the simpler scores are well below an area of 1, and the ratio has something to be better than.
    Q = MarkovLM.random(40, 2.0, rng=rng)
    members, others, human, corpus = (Q.sample(n, 60, rng=rng) for n in (60, texts, texts, 400))
    M = NGramLM(2, 40, "add", 0.05).fit(members)
    f = pl.text.TokenFrequency.fit(corpus, 40).probability
    references = {"human": Q, "unigram": f}
    traced = [trace(M, x, references=references) for x in (members, others, M.sample(texts, 60, rng=rng), human)]
    return M, {"membership": (traced[0], traced[1]), "detection": (traced[2], traced[3])}, Q


@claim(SLUG, kind="exact")
def scores_are_one_family(seed: int = 0) -> Result:
    """With equal models: Fast-DetectGPT is -Z of the perplexity test, Binoculars 1 - surprisal / entropy; ranks."""
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(0, 2, (200, 50)), 1)  # rounding makes ties
    ids = rng.integers(0, 50, 200)
    model = ArrayPredictor(logits)
    t = trace(model, [ids], references={"same": model}, dtype="float64")
    s = pl.text.scores
    result = pl.text.PerplexityTest().test(t)
    place = np.argsort(-logits, axis=1, kind="stable")
    ranks = 1 + np.array([int(np.flatnonzero(row == i)[0]) for row, i in zip(place, ids)])
    differences = {
        "Fast-DetectGPT + Z": float(s.fast_detect_gpt(t)[0] + result.difference[0] / result.se[0]),
        "with and without the reference": float(s.fast_detect_gpt(t, ref="same")[0] - s.fast_detect_gpt(t)[0]),
        "Binoculars": float(s.binoculars(t, ref="same")[0] - (1 - t.mean_nll()[0] / t.means("entropy")[0])),
        "ranks": float(np.abs(np.asarray(t.rank) - ranks).max()),
        "reference ratio to itself": float(s.reference(t)[0]),
    }
    worst = max(map(abs, differences.values()))
    return Result(differences, 0.0, "all within 1e-9", worst <= 1e-9)


@claim(SLUG, kind="statistical")
def the_likelihood_ratio_is_best(seed: int = 0) -> Result:
    """Detection with both laws known, 120 texts a kind: no score has a larger AUC than log M - log Q."""
    excess: dict[str, float] = {}
    first: list[float] = []
    for s in range(3):
        _, tasks, _ = _world(np.random.default_rng(100 * seed + s), texts=120)
        machine, human = tasks["detection"]
        areas = {
            name: pl.text.evaluate_scores(
                np.concatenate([_score(name, t) for t in (machine, human)]), [1] * 120 + [0] * 120
            ).auc.value
            for name in METHODS
            if name != "neighbourhood"
        }
        best = areas.pop("likelihood_ratio")
        first.append(best)
        for name, area in areas.items():
            excess[name] = max(excess.get(name, -1.0), area - best)
    worst = max(excess.values())
    return Result(
        {"AUC above that of the ratio, largest": worst, "AUC of the ratio": first},
        {"AUC above that of the ratio": 0.0},
        "no score has as large an area as the likelihood ratio, 3/3 seeds",
        worst < 0,
        details={"by score": excess},
    )


def _score(name: str, t: Any) -> Any:
    options: dict[str, dict[str, Any]] = {"likelihood_ratio": {"ref": "human"}, "dc_pdd": {"clip": 0.5}}
    return pl.text.scores.REGISTRY[name](t, **options.get(name, {}))


@claim(SLUG, kind="directional")
def what_is_good_at_one_task_is_good_at_the_other(seed: int = 0) -> Result:
    """12 scores on both tasks: their AUCs are correlated in rank, and the likelihood ratio comes first in both."""
    correlations, firsts, tables = [], [], []
    for s in range(3):
        M, tasks, _ = _world(np.random.default_rng(100 * seed + s))
        options: dict[str, Any] = {
            "likelihood_ratio": {"ref": "human"},
            "dc_pdd": {"clip": 0.5},
            "neighbourhood": lambda t, M=M: {"perturbed": pl.text.scores.neighbours(t, M, n=5, rng=0)},
        }
        table = pl.text.mint(tasks, METHODS, options=options, n_resamples=50)
        correlations.append(table.spearman.value)
        firsts.append(all(table.best(task) == "likelihood_ratio" for task in tasks))
        tables.append({name: {task: a.value for task, a in row.items()} for name, row in table.auc.items()})
    mean = {n: {t: float(np.mean([row[n][t] for row in tables])) for t in tables[0][n]} for n in METHODS}
    return Result(
        {"Spearman, by seed": correlations, "likelihood ratio first in both, seeds": sum(firsts)},
        {"Spearman": 0.6, "likelihood ratio first in both, seeds": 3},
        "Spearman > 0.6 and the likelihood ratio first on both tasks, 3/3 seeds",
        min(correlations) > 0.6 and all(firsts),
        details={"AUC, mean over seeds": mean},
        series={
            "x": [mean[n]["membership"] for n in METHODS],
            "curves": {"AUC of detection": [mean[n]["detection"] for n in METHODS]},
            "xlabel": "AUC of membership inference",
            "ylabel": "AUC of detection",
        },
    )
