"""Masked diffusion language models for code (Zhang et al., arXiv 2509.11252): orders and steps of decoding.

The paper: diffusion language models rival autoregressive ones; more steps trade speed for quality, and which tokens
are unmasked first matters. Here the models are exact, so that what the decoder loses is known.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from plogp.decode import MaskedDiffusionDecoder, pass_at_k, unmask_cost
from plogp.decode.masked_diffusion import MarkovMaskedPredictor, plan_law
from plogp.measures import divergence, entropy_from_logits
from plogp.papers.claim import Result, claim
from plogp.trace import MarkovLM

SLUG = "dllm-code"
LENGTH, VOCABULARY = 6, 4


@claim(SLUG, kind="exact")
def cost_is_conditional_total_correlation(seed: int = 0) -> Result:
    """KL of a plan's law from the joint is the sum of conditional total correlations; one token a step is free."""
    joint = np.random.default_rng(seed).dirichlet(np.ones(81)).reshape(3, 3, 3, 3)
    plans = {
        "0|1|2|3": [[0], [1], [2], [3]],
        "3|1|0|2": [[3], [1], [0], [2]],
        "01|23": [[0, 1], [2, 3]],
        "0123": [[0, 1, 2, 3]],
    }
    kl = {k: float(divergence("kl")(joint.ravel(), plan_law(joint, plan).ravel())) for k, plan in plans.items()}
    cost = {k: unmask_cost(joint, plan) for k, plan in plans.items()}
    gap = max(abs(kl[k] - cost[k]) for k in plans)
    single = max(kl["0|1|2|3"], kl["3|1|0|2"])
    return Result(
        {"largest gap": gap, "cost of one token a step": single},
        {"largest gap": 0.0, "cost of one token a step": 0.0},
        "gap <= 1e-10 for four plans, one token a step costs <= 1e-10, several more than 1e-3",
        gap <= 1e-10 and single <= 1e-10 and min(kl["01|23"], kl["0123"]) > 1e-3,
        unit="nats",
        details={"cost": cost},
    )


def _surest_first(world: MarkovMaskedPredictor, texts: np.ndarray, each: int) -> np.ndarray:
    """Log-probability of every text under a decoder that fixes the `each` positions of least entropy at a time."""
    x, total = np.full_like(texts, world.mask_id), np.zeros(len(texts))
    for _ in range(LENGTH // each):
        law = world(x)
        h = np.where(x == world.mask_id, entropy_from_logits(law), np.inf)
        chosen = np.argsort(h, axis=1, kind="stable")[:, :each]
        rows = np.arange(len(texts))[:, None]
        total += law[rows, chosen, texts[rows, chosen]].sum(axis=1)
        x[rows, chosen] = texts[rows, chosen]
    return total


def _random_order(joint: np.ndarray, each: int) -> np.ndarray:
    """The law of a decoder that fixes `each` random positions at a time: the mean over all plans."""
    plans: list[tuple[tuple[int, ...], ...]] = [()]
    for _ in range(LENGTH // each):
        plans = [
            (*plan, s)
            for plan in plans
            for s in itertools.combinations(sorted(set(range(LENGTH)).difference(*plan)), each)
        ]
    return np.mean([plan_law(joint, plan) for plan in plans], axis=0).ravel() if each > 1 else joint.ravel()


def _worlds(seed: int) -> Iterator[tuple[MarkovMaskedPredictor, np.ndarray]]:
    """Five exact models of six tokens, with their joint laws."""
    for s in range(5):
        chain = MarkovLM.random(VOCABULARY, 2.0, rng=100 * seed + s)
        joint = chain.initial
        for _ in range(LENGTH - 1):
            joint = joint[..., None] * chain.transition
        yield MarkovMaskedPredictor(chain), joint


@claim(SLUG, kind="directional")
def more_steps_lose_less(seed: int = 0) -> Result:
    """Exact models of six tokens unmasked in random order: the divergence from the model falls with every step."""
    rows = [
        [float(divergence("kl")(joint.ravel(), _random_order(joint, LENGTH // n))) for n in (1, 2, 3, 6)]
        for _, joint in _worlds(seed)
    ]
    falls = all(a > b for row in rows for a, b in itertools.pairwise(row))
    return Result(
        {"KL by steps": np.mean(rows, axis=0)},
        {"KL by steps": "falling, 0 at one token a step"},
        "KL(model‖decoder) falls from 1 to 2, 3 and 6 steps in 5 of 5 seeds, to <= 1e-12",
        falls and max(row[-1] for row in rows) <= 1e-12,
        baseline={"one step": [row[0] for row in rows]},
        unit="nats",
        details={"by seed": rows},
        series={
            "x": [1, 2, 3, 6],
            "curves": {"random order": np.mean(rows, axis=0)},
            "xlabel": f"steps for {LENGTH} tokens",
            "ylabel": "KL(model‖decoder), nats",
        },
    )


@claim(SLUG, kind="directional")
def confident_tokens_first(seed: int = 0) -> Result:
    """Twelve tokens, two a step, at temperature 0: fixing the most confident first gives likelier text than random."""
    ours, random = [], []
    for s in range(5):
        chain = MarkovLM.random(20, 2.0, rng=100 * seed + s)
        world, prompts = MarkovMaskedPredictor(chain), np.arange(20).repeat(5)[:, None]
        mean = []
        for alg in ("low_confidence", "random"):
            new = MaskedDiffusionDecoder(world, steps=6, alg=alg).generate(prompts, 12, rng=s).ids
            x = np.concatenate([prompts, new], axis=1)
            mean.append(float(np.log(chain.transition[x[:, :-1], x[:, 1:]]).mean()))
        ours.append(mean[0])
        random.append(mean[1])
    wins = sum(a > b for a, b in zip(ours, random, strict=True))
    return Result(
        {"log-probability a token": ours, "seeds": wins},
        {"log-probability a token": "above random order", "seeds": 5},
        "mean log-probability under the model above that of random order in 5 of 5 seeds",
        wins == 5,
        baseline={"random order": random},
        unit="nats",
        reproduced=wins == 5,
        note=""
        if wins == 5
        else f"Higher in {wins} of 5 seeds: two neighbours that are sure of themselves may not go together.",
    )


@claim(SLUG, kind="directional")
def least_entropy_first_when_sampling(seed: int = 0) -> Result:
    """Two sampled tokens a step, the two of least entropy: the divergence from the model against random order."""
    ours, random, gap = [], [], 0.0
    texts = np.array(list(itertools.product(range(VOCABULARY), repeat=LENGTH)))
    for s, (world, joint) in enumerate(_worlds(seed)):
        law = _surest_first(world, texts, 2)
        drawn = MaskedDiffusionDecoder(world, steps=3, alg="entropy", temperature=1.0).generate(
            np.empty((200, 0), np.int64), LENGTH, rng=s
        )
        place = np.ravel_multi_index(tuple(drawn.ids.T), joint.shape)
        gap = max(gap, float(np.abs(drawn.confidence.sum(axis=1) - law[place]).max()))
        ours.append(float((joint.ravel() * (np.log(joint.ravel()) - law)).sum()))
        random.append(float(divergence("kl")(joint.ravel(), _random_order(joint, 2))))
    wins = sum(a < b for a, b in zip(ours, random, strict=True))
    passed = wins == 5 and gap <= 1e-9
    return Result(
        {"KL, least entropy first": ours, "seeds": wins},
        {"KL, least entropy first": "below random order", "seeds": 5},
        "KL(model‖decoder) below random order in 5 of 5 seeds; the decoder's own draws have the law computed "
        "(gap <= 1e-9)",
        passed,
        baseline={"random order": random},
        unit="nats",
        details={"gap": gap},
        reproduced=passed or gap > 1e-9,
        note=""
        if passed
        else f"Lower in {wins} of 5 seeds. In a Markov chain the positions of least entropy lie beside what is fixed "
        "and beside each other, and so depend on each other most; random positions are further apart. Small entropies "
        "bound the total correlation, they do not make it the smallest.",
    )


@claim(SLUG, kind="exact")
def pass_at_k_is_unbiased(seed: int = 0) -> Result:
    """The estimate equals the share of size-k subsets with a success, for every n up to 7."""
    worst = 0.0
    for n in range(1, 8):
        for c, k in itertools.product(range(n + 1), range(1, n + 1)):
            share = sum(any(i < c for i in s) for s in itertools.combinations(range(n), k)) / math.comb(n, k)
            worst = max(worst, abs(pass_at_k(n, c, k) - share))
    return Result(worst, 0.0, "largest difference <= 1e-12", worst <= 1e-12)
