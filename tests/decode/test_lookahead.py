"""AdaDec: the reranking at paused steps, and the learned threshold."""

import itertools
import math

import numpy as np
import pytest

from plogp.decode import LookaheadRerank, learn_entropy_threshold
from plogp.decode.lookahead import PUBLISHED_THRESHOLDS
from plogp.measures import entropy_from_logits
from plogp.trace import MarkovLM, trace


@pytest.fixture(scope="module")
def chain():
    return MarkovLM.random(6, 1.5, rng=0)


def greedy(chain, state, n):
    out = []
    for _ in range(n):
        state = int(chain.transition[state].argmax())
        out.append(state)
    return out


def test_depth_zero_and_an_infinite_threshold_are_greedy(chain):
    for start in range(6):
        want = greedy(chain, start, 15)
        assert LookaheadRerank(chain, tau=-math.inf, depth=0).decode([start], 15).ids.tolist() == want
        assert LookaheadRerank(chain, tau=math.inf).decode([start], 15).ids.tolist() == want


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_paused_step_maximises_the_mean_log_probability(chain, depth):
    """Brute force: every first token followed greedily."""
    log = np.log(chain.transition)
    for start in range(6):
        scores = []
        for v in range(6):
            path = [start, v, *greedy(chain, v, depth)]
            scores.append(sum(log[a, b] for a, b in itertools.pairwise(path)) / (depth + 1))
        out = LookaheadRerank(chain, tau=-math.inf, branch=6, depth=depth).decode([start], 1)
        assert out.ids[0] == int(np.argmax(scores))
        assert out.report["score"] == pytest.approx(max(scores), abs=1e-12)


def test_wide_beams_search_the_whole_tree():
    chain = MarkovLM.random(3, 1.0, rng=2)
    log = np.log(chain.transition)
    for start in range(3):
        best = {
            v: max(log[start, v] + log[v, a] + log[a, b] for a, b in itertools.product(range(3), repeat=2)) / 3
            for v in range(3)
        }
        out = LookaheadRerank(chain, tau=-math.inf, branch=9, depth=2, beams=9).decode([start], 1)
        assert out.ids[0] == max(best, key=best.get)


def test_the_pause_follows_the_entropy(chain):
    h = np.array([entropy_from_logits(np.log(row)) for row in chain.transition])
    tau = float(np.median(h))
    out = LookaheadRerank(chain, tau=tau).decode([0], 30)
    states = [0, *out.ids[:-1].tolist()]
    assert np.allclose(out.report["entropy"], h[states])
    assert out.report["pauses"] == int((h[states] >= tau).sum())
    assert out.logprob == pytest.approx([np.log(chain.transition[a, b]) for a, b in zip(states, out.ids)])


def test_an_end_stops_text_and_rollout(chain):
    out = LookaheadRerank(chain, tau=math.inf).decode([0], 15, eos=greedy(chain, 0, 3)[2])
    assert len(out) <= 3
    stopped = LookaheadRerank(chain, tau=-math.inf, stop=lambda ids: len(ids) >= 2).decode([0], 9)
    assert len(stopped) == 2
    # A rollout that ends at once is scored over the tokens it has.
    world = MarkovLM([[0.0, 0.6, 0.4, 0.0], [0.3, 0.3, 0.4, 0.0], [0.0, 0.0, 0.0, 1.0], [0.25] * 4])
    out = LookaheadRerank(world, tau=-math.inf, branch=2, depth=5).decode([0], 2, eos=3)
    assert out.ids.tolist() == [2, 3]
    assert out.report["calls"] < 2 * (1 + 2 * 5)


def test_thresholds_by_name_and_by_trace(chain):
    assert LookaheadRerank(chain, tau="qwen3-0.6b").tau == PUBLISHED_THRESHOLDS["qwen3-0.6b"]
    sharp = MarkovLM(np.where(np.arange(20)[:, None] < 10, np.eye(20) * 0.9 + 0.005, 0.05), np.full(20, 0.05))
    seen = trace(sharp, list(sharp.sample(20, 100, rng=0)))
    tau = LookaheadRerank(sharp, tau=seen).tau
    assert tau == learn_entropy_threshold(seen)[0]
    h = entropy_from_logits(np.log(sharp.transition))
    assert h.min() < tau < h.max() + 1
    with pytest.raises(ValueError, match="learn_entropy_threshold"):
        LookaheadRerank(chain, tau="learned")


def test_the_learned_threshold_is_the_planted_one():
    rng = np.random.default_rng(1)
    h = rng.exponential(1.0, 8_000)
    rank = np.where(rng.random(len(h)) < 1 / (1 + np.exp(-(2.4 - 3 * h))), 1, 5)
    tau, report = learn_entropy_threshold((h, rank), rng=0)
    assert abs(tau - 0.8) < 3 * report.tau.se
    assert report.tau.se < 0.1
    assert report.auc > 0.8
    assert report.slope < 0
    again, _ = learn_entropy_threshold((h, rank), rng=0)
    assert again == tau


def test_the_logistic_is_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    from plogp.decode.lookahead import _logistic

    rng = np.random.default_rng(2)
    x = rng.exponential(1.0, 300)
    y = (rng.random(300) < 1 / (1 + np.exp(x - 1))).astype(float)
    theirs = linear_model.LogisticRegression(tol=1e-10).fit(x[:, None], y)
    assert _logistic(x, y, 1.0) == pytest.approx((theirs.intercept_[0], theirs.coef_[0, 0]), abs=1e-5)


def test_hostile_input(chain):
    with pytest.raises(ValueError, match="tau"):
        LookaheadRerank(chain, tau=math.nan)
    with pytest.raises(ValueError, match="branch"):
        LookaheadRerank(chain, branch=0)
    with pytest.raises(ValueError, match="branch"):
        LookaheadRerank(chain, branch=2, beams=3)
    with pytest.raises(ValueError, match="prompt_ids"):
        LookaheadRerank(chain).decode([6])
    assert len(LookaheadRerank(chain).decode([0], 0)) == 0
    with pytest.raises(ValueError, match="at least 2"):
        learn_entropy_threshold((np.ones(5), np.ones(5)))
    with pytest.raises(ValueError, match="one length"):
        learn_entropy_threshold((np.ones(5), np.ones(4)))
    with pytest.raises(ValueError, match="does not separate"):
        learn_entropy_threshold((np.arange(100.0), np.where(np.arange(100) > 50, 1, 2)))
