"""Was it written by a machine, was it in the training set: the scores of a text beside those of human texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plogp.measures.uncertainty import Estimate
from plogp.report.words import counted

if TYPE_CHECKING:
    from plogp.report.readings import Traced

__all__ = ["SCORES", "ScoreRow", "scores_of"]

#: Tokens of a passage that is scored on its own: what detection and membership are asked about.
SCORED_TOKENS = 256
MOST_PASSAGES = 64
#: Scores that need no second model and no perturbed texts, and what each looks at.
SCORES = {
    "fast_detect_gpt": "Surprisal against what the model expects, in standard deviations (Fast-DetectGPT).",
    "min_k_pp": "The same token by token, over the least likely fifth (Min-K%++): membership.",
    "min_k": "Mean log-probability of the least likely fifth of the tokens (Min-K%): membership.",
    "loss": "Mean log-probability of the tokens.",
    "lrr": "Log-likelihood over log-rank (LRR).",
    "logrank": "Minus the mean log of the tokens' ranks.",
    "rank": "Minus the mean rank.",
    "entropy": "Minus the mean entropy of the predictions.",
}


@dataclass(frozen=True)
class ScoreRow:
    """A score of detection or membership over the passages of a text, against human texts of their length.

    Attributes
    ----------
    value : Estimate
        Mean over passages.
    p_value : float
        That all passages are human text: twice the mean of their p-values, which is valid however they depend on each
        other (Rüschendorf 1982). NaN where there is no reference for the model.
    share : float
        Of passages with a p-value of at most 5 %: 5 % are expected of human text.
    passages, length : int
        How many, and their tokens.
    auc : float
        The best AUROC of the model's own text, sampled in several ways, against human text of this length; NaN where
        there is no reference.
    """

    name: str
    value: Estimate
    p_value: float
    share: float
    passages: int
    length: int
    what: str
    auc: float = math.nan


def scores_of(given: Traced, predictor: Any) -> tuple[list[ScoreRow], str, list[str]]:
    """Score passages of one length, each read on its own as the human texts of the reference were."""
    from plogp.text.human_reference import HumanReference
    from plogp.text.scores import REGISTRY
    from plogp.trace import trace

    name = given.text.name
    human = HumanReference.load()
    known = given.trace.meta.get("fingerprint") == human.fingerprint
    lengths = [n for n in human.lengths if n <= SCORED_TOKENS]
    sizes = given.trace.n_scored
    length = max((n for n in lengths if n <= sizes.max()), default=0)
    if not length:
        return [], "", [f"{name}: fewer than {min(lengths)} tokens are too few for detection and membership scores."]
    passages = []
    for i in range(len(given.trace)):
        one = given.trace[i]
        ids = np.asarray(one.ids)[np.asarray(one.scored)]
        passages += [ids[a : a + length] for a in range(0, len(ids) - length + 1, length)]
    if len(passages) > MOST_PASSAGES:
        passages = [passages[i] for i in np.linspace(0, len(passages) - 1, MOST_PASSAGES).astype(int)]
    t = trace(predictor, passages)
    rows = []
    for score, what in SCORES.items():
        if known:
            compared = human.test(t, score)
            values, p = compared.value, compared.p_value
            aucs = {s: float(human.power(score, length, s)["auc"]["value"]) for s in human.samplings}
            found = [f"{auc:.2f} ({s})" for s, auc in aucs.items()]
            what += f" AUROC of the model's own text against human text: {', '.join(found)}."
            best = max(aucs.values())
        else:
            best = math.nan
            values, p = REGISTRY[score](t), np.full(len(passages), np.nan)
        n = len(values)
        error = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else None
        why = {} if n > 1 else {"no_interval": "one passage"}
        e = Estimate(float(values.mean()), error, n, f"mean over passages of {length} tokens", "", diagnostics=why)
        whole = min(1.0, 2 * float(p.mean())) if n > 1 else float(p[0])
        share = float((p <= 0.05).mean()) if known else math.nan
        rows.append(ScoreRow(score, e, whole, share, n, length, what, best))
    rows.sort(key=lambda r: (math.isnan(r.p_value), r.p_value))
    if not known:
        note = (
            f"{name}: there are no reference scores of human text under {given.model}, so scores have no p-value; "
            "calibrate plogp.text.Detector on human text of the same kind."
        )
        words = f"{counted(len(passages), 'passage')} of {length} tokens under {given.model}, without a reference."
        return rows, words, [note]
    return rows, _reference_words(human, length, len(passages)), []


def _reference_words(human: Any, length: int, passages: int) -> str:
    kinds = ", ".join(k for k in human.kinds if k != "all")
    n = human.record["human"]["all"][str(length)]["n"]
    return (
        f"{counted(passages, 'passage')} of {length} tokens, each compared with {n:,} human passages of that length "
        f"({kinds}; English, none of them in the training set of the model). A p-value is the share of human text that "
        "looks at least as machine-made or as well known to the model; at p ≤ 5 % five in a hundred human passages are "
        "flagged. Text of another kind or language is outside the reference without a machine's help, and text of "
        "other machines may be inside it: to judge them, calibrate plogp.text.Detector on human text of the same kind."
    )
