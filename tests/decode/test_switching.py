"""EntropySwitch: which model writes, what it costs, and how far from the large one it is."""

import numpy as np
import pytest

from plogp.decode import EntropySwitch, cost_frontier
from plogp.measures import divergence, entropy_from_logits
from plogp.trace import MarkovLM
from plogp.trace.predictors import Session


@pytest.fixture(scope="module")
def pair():
    large = MarkovLM.random(15, 2.0, rng=0)
    return large.perturbed(0.8, rng=1), large


def entropies(model, base=2.0):
    return np.array([entropy_from_logits(np.log(row)) for row in model.transition]) / np.log(base)


def test_window_and_dwell_of_one_are_the_memoryless_rule(pair):
    small, large = pair
    out = EntropySwitch(small, large, 2.0, window=1, min_dwell=1).decode([0], 200, rng=0)
    states, active, h = [0, *out.ids[:-1].tolist()], 0, (entropies(small), entropies(large))
    for state, used, read in zip(states, out.report["large"], out.report["entropy"], strict=True):
        assert read == pytest.approx(h[active][state])
        active = int(h[active][state] > 2.0)
        assert used == active
    assert 0 < out.report["share_large"] < 1


def test_dwell_and_window(pair):
    small, large = pair
    out = EntropySwitch(small, large, 2.0, window=3, min_dwell=6).decode([0], 300, rng=0)
    runs = np.diff(np.flatnonzero(np.diff(out.report["large"].astype(int))))
    assert out.report["switches"] > 3
    assert runs.min() >= 6
    held = EntropySwitch(small, large, np.inf, window=4, min_dwell=1, start="large").decode([0], 10, rng=0)
    assert held.report["large"].tolist() == [True] * 3 + [False] * 7


def test_units_agree(pair):
    bits = EntropySwitch(*pair, 2.0, min_dwell=1).decode([0], 100, rng=0)
    nats = EntropySwitch(*pair, 2.0 * np.log(2), min_dwell=1, unit="nats").decode([0], 100, rng=0)
    assert bits.ids.tolist() == nats.ids.tolist()
    assert nats.report["entropy"] == pytest.approx(bits.report["entropy"] * np.log(2))


def test_each_model_reads_every_token_it_needs_once(pair):
    fed = []

    class Counting(Session):
        def feed(self, tokens):
            fed.append((self.predictor, len(np.atleast_1d(tokens))))
            return super().feed(tokens)

    class Wrapped:
        def __init__(self, chain):
            self.chain, self.vocab_size = chain, chain.vocab_size
            self.next, self.blocks = chain.next, chain.blocks

        def session(self, ids):
            return Counting(self, ids)

    small, large = Wrapped(pair[0]), Wrapped(pair[1])
    out = EntropySwitch(small, large, 2.0, min_dwell=3).decode([0], 60, rng=0)
    assert out.ids.tolist() == EntropySwitch(*pair, 2.0, min_dwell=3).decode([0], 60, rng=0).ids.tolist()
    for model, key in ((small, "read_small"), (large, "read_large")):
        assert sum(n for m, n in fed if m is model) == out.report[key] <= 59
    f = out.report["share_large"]
    assert out.report["cost"] == pytest.approx(f + (1 - f) * 0.1)
    assert out.report["cost_read"] == pytest.approx((out.report["read_large"] + 0.1 * out.report["read_small"]) / 59)
    alone = EntropySwitch(small, large, -np.inf, start="large").decode([0], 60, rng=0)
    assert alone.report["cost_read"] == 1.0
    assert alone.report["read_small"] == 0


def test_the_reported_divergence_is_that_of_the_laws(pair):
    small, large = pair
    out = EntropySwitch(small, large, 2.0, divergence=True).decode([0], 80, rng=0)
    states = [0, *out.ids[:-1].tolist()]
    kl = divergence("kl")(large.transition[states], small.transition[states])
    assert out.report["kl"] == pytest.approx(np.where(out.report["large"], 0.0, kl), abs=1e-9)
    assert out.ids.tolist() == EntropySwitch(small, large, 2.0).decode([0], 80, rng=0).ids.tolist()


def test_the_frontier_runs_from_the_large_to_the_small_model(pair):
    front = cost_frontier(EntropySwitch(*pair, min_dwell=1), [-np.inf, 1.5, 2.5, np.inf], [[0], [1], [2]], 60, rng=0)
    assert front.share_large[0] == 1
    assert front.share_large[-1] == 0
    assert np.all(np.diff(front.share_large) <= 0)
    assert front.mean_kl[0] == 0
    assert front.mean_kl[-1] > front.mean_kl[1]
    assert front.cost == pytest.approx(front.share_large + 0.1 * (1 - front.share_large))
    pytest.importorskip("matplotlib").use("Agg")
    assert front.plot().get_xlabel()


def test_hostile_input(pair):
    for bad in ({"tau": np.nan}, {"window": 0}, {"min_dwell": 0}, {"unit": "bans"}, {"start": "none"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            EntropySwitch(*pair, **bad)
    with pytest.raises(ValueError, match="vocabulary"):
        EntropySwitch(MarkovLM.random(3, rng=0), pair[1])
    with pytest.raises(ValueError, match="large"):
        EntropySwitch(pair[0]).decode([0], 2)
    with pytest.raises(ValueError, match="taus"):
        cost_frontier(EntropySwitch(*pair), [], [[0]])
