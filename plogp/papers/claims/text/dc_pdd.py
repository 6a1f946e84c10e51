"""DC-PDD: divergence-based calibration for pretraining data detection (Zhang et al., arXiv 2409.14781).

The paper: token probabilities alone take texts of common words for training data; weighted by the information of each
token under its corpus frequency they find training data better than Min-K % and others.
"""

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim
from plogp.trace import MarkovLM, NGramLM, Trace, trace

SLUG = "dc-pdd"


def _record(ids: list[int], p: list[float]) -> Trace:
    n = len(ids)
    return Trace(np.array(ids), np.array([0, n]), np.ones(n, bool), np.log(p))


@claim(SLUG, kind="exact")
def by_hand(seed: int = 0) -> Result:
    """Five tokens by hand; tokens that were there before change nothing; the released form keeps out the first."""
    f = pl.text.TokenFrequency.fit([[0] * 5 + [1] * 2 + [2]], 4)  # (6, 3, 2, 1) / 12
    ids, p = [2, 0, 3, 0, 1], [0.5, 0.9, 0.01, 0.2, 0.3]
    score = pl.text.scores.dc_pdd
    log = -np.log(np.array([6, 3, 2, 1]) / 12)
    terms = np.array([0.5 * log[2], 0.9 * log[0], 0.01 * log[3], 0.3 * log[1]])
    worst = 0.0
    for clip in (None, 0.3, 0.01):
        expected = float(np.minimum(terms, clip or np.inf).mean())
        worst = max(worst, abs(float(score(_record(ids, p), freq=f, clip=clip)[0]) - expected))
        more = _record([*ids, 0, 2, 1, 3], [*p, 0.99, 0.5, 0.1, 0.2])
        worst = max(worst, abs(float(score(more, freq=f, clip=clip)[0]) - expected))
        paper = float(score(_record(ids, p), freq=f, clip=clip, protocol="paper")[0])
        worst = max(worst, abs(paper - float(np.minimum(terms[1:], clip or np.inf).mean())))
    return Result(worst, 0.0, "largest difference <= 1e-12", worst <= 1e-12)


@claim(SLUG, kind="directional")
def finds_training_texts(seed: int = 0) -> Result:
    """A bigram model overfitted to 60 texts of 60 tokens: its texts against others of the same source."""
    figures: dict[str, list[float]] = {}
    for s in range(5):
        rng = np.random.default_rng(100 * seed + s)
        source = MarkovLM.random(40, rng=rng)
        members, others, corpus = (source.sample(n, 60, rng=rng) for n in (60, 60, 400))
        model = NGramLM(2, 40, "add", 0.05).fit(members)
        f = pl.text.TokenFrequency.fit(corpus, 40)
        t = trace(model, np.vstack([members, others]))
        scores = {f"clip {clip}": pl.text.scores.dc_pdd(t, freq=f, clip=clip) for clip in (0.01, 0.1, 0.5, None)}
        scores |= {"loss": pl.text.scores.loss(t), "Min-K %": pl.text.scores.min_k(t)}
        for name, value in scores.items():
            figures.setdefault(name, []).append(pl.estimate.auc(value, np.repeat([1, 0], 60)).value)
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    return Result(
        {
            "AUC, smallest (clip 0.5)": min(figures["clip 0.5"]),
            **{f"mean, {k}": means[k] for k in means if "clip" in k},
        },
        {"AUC": 1.0},
        "AUC > 0.6 in 5/5 seeds with the clip 0.5",
        min(figures["clip 0.5"]) > 0.6,
        baseline={name: means[name] for name in ("loss", "Min-K %")},
        details={"by seed": figures},
        note="Where all texts are alike in commonness there is nothing to calibrate, and loss and Min-K % are better.",
    )


def _texts(logits: np.ndarray, tilt: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Texts of 60 tokens, each from its own chain: logits plus its tilt times the log-frequency of the tokens."""
    common = -np.log(np.arange(1, len(logits) + 1))
    cdf = np.cumsum(np.exp(logits + tilt[:, None, None] * (common - common.mean())), axis=2)
    ids, each = rng.integers(0, len(logits), (len(tilt), 60)), np.arange(len(tilt))
    for t in range(1, 60):
        row = cdf[each, ids[:, t - 1]]
        ids[:, t] = (row < rng.random((len(tilt), 1)) * row[:, -1:]).sum(axis=1)
    return ids


@claim(SLUG, kind="directional")
def beats_loss_and_min_k_where_texts_differ_in_commonness(seed: int = 0) -> Result:
    """Zipf's vocabulary of 60, texts of more and less common tokens: the paper's case, with the paper's clip."""
    figures: dict[str, list[float]] = {"DC-PDD": [], "loss": [], "Min-K %": []}
    for s in range(5):
        rng = np.random.default_rng(100 * seed + s)
        logits = rng.normal(size=(60, 60)) - np.log(np.arange(1, 61))
        members, others, more, corpus = (_texts(logits, rng.normal(0, 0.5, n), rng) for n in (60, 60, 120, 120))
        model = NGramLM(2, 60, "add", 0.05).fit(np.vstack([members, more]))
        t = trace(model, np.vstack([members, others]))
        scores = {
            "DC-PDD": pl.text.scores.dc_pdd(t, freq=pl.text.TokenFrequency.fit(corpus, 60)),
            "loss": pl.text.scores.loss(t),
            "Min-K %": pl.text.scores.min_k(t),
        }
        for name, value in scores.items():
            figures[name].append(pl.estimate.auc(value, np.repeat([1, 0], 60)).value)
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    wins = [a > max(b, c) for a, b, c in zip(*figures.values())]
    return Result(
        {"AUC of DC-PDD, mean": means["DC-PDD"], "seeds in which it is the largest": sum(wins)},
        {"seeds in which it is the largest": 5},
        "AUC of DC-PDD above those of loss and Min-K % in 5/5 seeds",
        all(wins),
        baseline={name: means[name] for name in ("loss", "Min-K %")},
        details={"by seed": figures},
        note="The world was made for the paper's premise; where texts are alike (finds_training_texts) Min-K % wins.",
    )


@claim(SLUG, kind="directional")
def common_tokens_mislead_it_less(seed: int = 0) -> Result:
    """Texts of common tokens, in training too, are no members: the calibration takes fewer of them for members."""
    gains: list[float] = []
    figures: dict[str, list[float]] = {"DC-PDD, clip 0.2": [], "DC-PDD, no clip": [], "loss": [], "Min-K %": []}
    for s in range(5):
        rng = np.random.default_rng(100 * seed + s)
        source = MarkovLM.random(40, rng=rng)
        members, corpus = (source.sample(n, 60, rng=rng) for n in (60, 400))
        f = pl.text.TokenFrequency.fit(corpus, 40)
        frequent = np.argsort(f.probability)[-8:]
        tilt = np.ones(40)
        tilt[frequent] = 30.0
        law = source.transition * tilt
        common = MarkovLM(law / law.sum(axis=1, keepdims=True))
        model = NGramLM(2, 40, "add", 0.05).fit(np.vstack([members, common.sample(60, 60, rng=rng)]))
        t = trace(model, np.vstack([members, common.sample(60, 60, rng=rng)]))
        labels = np.repeat([1, 0], 60)
        scores = {
            "DC-PDD, clip 0.2": pl.text.scores.dc_pdd(t, freq=f, clip=0.2),
            "DC-PDD, no clip": pl.text.scores.dc_pdd(t, freq=f, clip=None),
            "loss": pl.text.scores.loss(t),
            "Min-K %": pl.text.scores.min_k(t),
        }
        areas = {name: pl.estimate.auc(value, labels).value for name, value in scores.items()}
        for name, area in areas.items():
            figures[name].append(area)
        gains.append(areas["DC-PDD, clip 0.2"] - areas["loss"])
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    return Result(
        {"AUC above the loss's, smallest": min(gains), **{k: v for k, v in means.items() if k.startswith("DC")}},
        {"AUC above the loss's": 0.1},
        "AUC of DC-PDD (clip 0.2) exceeds that of the loss by 0.1 in 5/5 seeds",
        min(gains) > 0.1,
        baseline={k: v for k, v in means.items() if not k.startswith("DC")},
        details={"by seed": figures},
        note="The calibration helps and does not cure: below 0.5 it still takes common texts for members.",
    )
