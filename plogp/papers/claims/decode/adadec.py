"""AdaDec: pause at uncertain steps and rerank by lookahead (He et al., arXiv 2506.08980).

The paper: where the next-token entropy is above a threshold learned from reference solutions, looking five tokens
ahead along the three likeliest tokens gives better code than greedy decoding.
"""

import numpy as np

from plogp.decode import LookaheadRerank, learn_entropy_threshold
from plogp.measures import entropy_from_logits
from plogp.papers.claim import Result, claim
from plogp.trace import MarkovLM, trace

SLUG = "adadec"


def _world(seed: int) -> MarkovLM:
    """Thirty states whose rows differ in how sharp they are."""
    rng = np.random.default_rng(seed)
    logits = rng.uniform(0.5, 4.0, (30, 1)) * rng.normal(size=(30, 30))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return MarkovLM(p / p.sum(axis=1, keepdims=True))


@claim(SLUG, kind="exact")
def without_lookahead_it_is_greedy(seed: int = 0) -> Result:
    """Depth 0, or a threshold never reached, gives greedy decoding; a full lookahead the best mean log-probability."""
    chain = _world(seed)
    log, wrong = np.log(chain.transition), 0
    for start in range(30):
        greedy = [start]
        for _ in range(10):
            greedy.append(int(log[greedy[-1]].argmax()))
        for plain in (LookaheadRerank(chain, tau=np.inf), LookaheadRerank(chain, tau=-np.inf, depth=0)):
            wrong += plain.decode([start], 10).ids.tolist() != greedy[1:]
        two = (log[start][:, None] + log) / 2  # log-probability a token of each pair of next tokens
        best = int(two.max(axis=1).argmax())
        wrong += int(LookaheadRerank(chain, tau=-np.inf, branch=30, depth=1).decode([start], 1).ids[0]) != best
    return Result(wrong, 0, "no difference from 30 starts", wrong == 0)


@claim(SLUG, kind="directional")
def likelier_text_than_greedy(seed: int = 0) -> Result:
    """Forty tokens from five states: a higher mean log-probability than greedy, in 5 of 5 chains."""
    ours, greedy, calls, always = [], [], [], []
    for s in range(5):
        chain = _world(100 * seed + s)
        tau = float(np.median(entropy_from_logits(np.log(chain.transition))))
        runs = [LookaheadRerank(chain, tau=t) for t in (tau, np.inf, -np.inf)]
        outs = [[run.decode([start], 40) for start in range(0, 30, 6)] for run in runs]
        mean = [float(np.mean([o.mean_logprob for o in row])) for row in outs]
        ours.append(mean[0])
        greedy.append(mean[1])
        calls.append(float(np.mean([o.report["calls"] for o in outs[0]])))
        always.append(float(np.mean([o.report["calls"] for o in outs[2]])))
    better = sum(a > b for a, b in zip(ours, greedy, strict=True))
    fewer = all(a < b for a, b in zip(calls, always, strict=True))
    return Result(
        {"log-probability a token": ours},
        {"log-probability a token": "above greedy"},
        "higher than greedy in 5 of 5 chains, with fewer model calls than looking ahead at every step",
        better == 5 and fewer,
        baseline={"greedy": greedy},
        unit="nats",
        details={"calls": calls, "calls at every step": always},
    )


@claim(SLUG, kind="statistical")
def threshold_is_learned(seed: int = 0) -> Result:
    """A planted logistic law of rank 1 given entropy: the learned threshold is within 3 standard errors of Bayes'."""
    rng = np.random.default_rng(seed)
    h = rng.exponential(1.0, 8000)
    rank = np.where(rng.random(len(h)) < 1 / (1 + np.exp(3.0 * (h - 0.9))), 1, 2)
    tau, report = learn_entropy_threshold((h, rank), rng=seed)
    chain = _world(seed)
    seen = trace(chain, list(chain.sample(20, 200, rng=seed)))
    area = learn_entropy_threshold(seen, draws=2, rng=seed)[1].auc
    error = abs(tau - 0.9) / float(report.tau.se or np.inf)
    return Result(
        {"threshold": tau, "errors away": error, "AUC on a chain's text": area},
        {"threshold": 0.9, "errors away": 0.0, "AUC on a chain's text": "above 0.7"},
        "within 3 standard errors; AUC of entropy for rank 1 above 0.7",
        error <= 3 and area > 0.7,
        unit="nats",
        details={"standard error": report.tau.se},
    )
