"""Scores of detection and membership: one number a text, larger for machine text and for members.

Each score is a function of a `Trace`: ``loss(trace)``; `REGISTRY` has them all by name, with what each needs. Whether a
text is by a machine, and whether it was in the training set, is one question, whether it is likelier under the model
than under the law of human text, and the scores differ in what they take for that law (Koike et al. 2025, arXiv
2510.19492).

Examples
--------
>>> from plogp.trace import MarkovLM, trace
>>> model = MarkovLM.random(8, rng=0)
>>> t = trace(model, model.sample(3, 40, rng=1))
>>> REGISTRY["fast_detect_gpt"](t).shape
(3,)
>>> sorted(REGISTRY)[:5]
['binoculars', 'dc_pdd', 'detect_gpt', 'entropy', 'fast_detect_gpt']
"""

from plogp.text.scores.calibrated import dc_pdd, likelihood_ratio, lowercase, recall, reference, reference_ratio, zlib
from plogp.text.scores.curvature import (
    binoculars,
    detect_gpt,
    fast_detect_gpt,
    neighbourhood,
    neighbours,
    npr,
    standardised_surprisal,
)
from plogp.text.scores.diversity import diversity_entropy, lastde, lastde_pp, sampled_logprobs
from plogp.text.scores.likelihood import entropy, logrank, loss, lrr, min_k, min_k_pp, rank
from plogp.text.scores.registry import REGISTRY, Score

__all__ = [
    "REGISTRY",
    "Score",
    "binoculars",
    "dc_pdd",
    "detect_gpt",
    "diversity_entropy",
    "entropy",
    "fast_detect_gpt",
    "lastde",
    "lastde_pp",
    "likelihood_ratio",
    "logrank",
    "loss",
    "lowercase",
    "lrr",
    "min_k",
    "min_k_pp",
    "neighbourhood",
    "neighbours",
    "npr",
    "rank",
    "recall",
    "reference",
    "reference_ratio",
    "sampled_logprobs",
    "standardised_surprisal",
    "zlib",
]
