"""PathBeam: nucleus sampling at one end, beam search at the other, the joint law between."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from plogp.decode import PathBeam, TopP
from plogp.trace import MarkovLM


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.floats(0.01, 1.0), st.integers(0, 10**6))
def test_one_path_keeps_the_tokens_of_top_p(size, mass, seed):
    logits = np.random.default_rng(seed).normal(size=size)
    ours = PathBeam(k=1, p=mass).nucleus(logits)
    theirs = TopP(mass).filter(logits)
    assert ((ours > -np.inf) == (theirs > -np.inf)).all()
    assert np.exp(ours).sum() == pytest.approx(1)


def test_one_path_draws_from_the_truncated_law():
    chain = MarkovLM.random(6, 1.0, rng=0)
    law = np.exp(PathBeam(k=1, p=0.7).nucleus(np.log(chain.transition[2])))
    rng = np.random.default_rng(0)
    drawn = [PathBeam(chain, k=1, p=0.7).decode([2], 1, rng=rng).ids[0] for _ in range(800)]
    counts = np.bincount(drawn, minlength=6)
    assert (counts[law == 0] == 0).all()
    assert chisquare(counts[law > 0], 800 * law[law > 0]).pvalue > 0.001


def brute_beam(chain, start, k, n):
    beams = [((), 0.0)]
    for _ in range(n):
        grown = [
            ((*ids, v), score + np.log(chain.transition[(start, *ids)[-1], v]))
            for (ids, score), v in itertools.product(beams, range(chain.vocab_size))
        ]
        beams = sorted(grown, key=lambda b: -b[1])[:k]
    return beams


@pytest.mark.parametrize("sample", [True, False])
def test_a_small_p_is_beam_search(sample):
    chain = MarkovLM.random(7, 1.5, rng=3)
    for start in range(7):
        want = brute_beam(chain, start, 3, 6)
        out = PathBeam(chain, k=3, p=0.0, sample=sample).decode([start], 6, rng=0)
        # Paths of equal probability (the same steps in another order) may stand for each other.
        assert out.report["scores"] == pytest.approx([s for _, s in want])
        assert out.logprob.sum() == pytest.approx(want[0][1])


def test_independent_draws_follow_the_joint_weights():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=8)
    law = np.exp(weights) / np.exp(weights).sum()
    one = PathBeam(k=1, p=1.0, replace=True)
    counts = np.bincount([one.choose(weights, rng)[0] for _ in range(2000)], minlength=8)
    assert chisquare(counts, 2000 * law).pvalue > 0.001
    # Without replacement the first of two follows the law, the second what is left of it.
    pair = PathBeam(k=2, p=1.0)
    seen = np.zeros((8, 8))
    for _ in range(2000):
        a, b = pair.choose(weights, rng)
        seen[a, b] += 1
    want = law[:, None] * law[None, :] / (1 - law[:, None])
    off = ~np.eye(8, dtype=bool)
    assert chisquare(seen[off], 2000 * want[off]).pvalue > 0.001


def test_ties_stay_together_and_at_least_k_are_kept():
    assert (PathBeam(k=1, p=0.3).nucleus(np.log([0.4, 0.4, 0.2])) > -np.inf).tolist() == [True, True, False]
    assert (PathBeam(k=2, p=0.1).nucleus(np.log([0.6, 0.3, 0.1])) > -np.inf).tolist() == [True, True, False]
    assert (PathBeam(k=9, p=0.1).nucleus(np.log([0.6, 0.3, 0.1])) > -np.inf).all()


def test_ended_paths_wait_and_lengths_can_be_weighed():
    world = MarkovLM([[0.0, 0.5, 0.5, 0.0], [0.0, 0.1, 0.0, 0.9], [0.0, 0.0, 0.9, 0.1], [0.25] * 4])
    out = PathBeam(world, k=2, p=0.0).decode([0], 4, eos=3)
    assert out.ids.tolist() == [1, 3]
    assert out.report["paths"][0].done
    assert sorted(len(p.ids) for p in out.report["paths"]) == [2, 4]
    assert out.logprob.sum() == pytest.approx(np.log(0.45))
    mean = PathBeam(world, k=2, p=0.0, length_power=1.0).decode([0], 4, eos=3)
    assert mean.ids.tolist() == [2, 2, 2, 2]


def test_same_seed_same_paths_and_no_path_twice():
    chain = MarkovLM.random(10, 1.0, rng=0)
    a, b = (PathBeam(chain, k=5, p=0.9).decode([0], 12, rng=7) for _ in range(2))
    assert [p.ids.tolist() for p in a.report["paths"]] == [p.ids.tolist() for p in b.report["paths"]]
    assert a.report["distinct"] == 1.0


def test_hostile_input():
    for bad in ({"k": 0}, {"p": 1.5}, {"p": -0.1}, {"length_power": -1.0}, {"length_power": np.inf}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            PathBeam(**bad)
    with pytest.raises(ValueError, match="logits"):
        PathBeam().nucleus([np.nan, 0.0])
    assert len(PathBeam(MarkovLM.random(3, rng=0)).decode([0], 0)) == 0
