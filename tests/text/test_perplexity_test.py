import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.text import PerplexityTest, sample_size, scores, source_test
from plogp.text.perplexity_test import tail_bound
from plogp.trace import MarkovLM, Trace, trace

A = MarkovLM.random(15, rng=0)
POWERS = PerplexityTest.powers()


def traced(lm, n, length, seed, **more):
    return trace(A, lm.sample(n, length, rng=seed), powers=POWERS, **more)


OWN, HOT, COLD = (traced(lm, 300, 200, i) for i, lm in enumerate((A, A.tempered(1.5), A.tempered(0.7))))


def test_the_clt_form_is_minus_fast_detect_gpt():
    from scipy.stats import norm

    z = -scores.fast_detect_gpt(OWN)
    for side, p in (("greater", norm.sf(z)), ("less", norm.cdf(z)), ("two", 2 * norm.sf(abs(z)))):
        np.testing.assert_allclose(PerplexityTest(side=side).test(OWN).p_value, p, rtol=1e-9)
    result = PerplexityTest().test(OWN)
    np.testing.assert_allclose(result.difference, OWN.mean_nll() - OWN.means("entropy"), atol=1e-6)
    np.testing.assert_allclose(result.difference / result.se, z, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 8), st.floats(0.05, 0.95), st.sampled_from([-1, 1]), st.integers(0, 1000))
def test_the_bet_is_fair(v, size, sign, seed):
    """E exp(lam X - psi) = 1 by enumeration."""
    p = np.random.default_rng(seed).dirichlet(np.full(v, 0.5)) + 1e-9
    p /= p.sum()
    H = -(p * np.log(p)).sum()
    lam = sign * size
    x = -np.log(p) - H
    psi = np.log((p ** (1 - lam)).sum()) - lam * H
    assert (p * np.exp(lam * x - psi)).sum() == pytest.approx(1, rel=1e-9)


def test_the_ville_martingale_has_mean_one_over_all_texts():
    """By enumeration of every text of four tokens."""
    lm = MarkovLM.random(3, 2.0, rng=1)
    ids = list(itertools.product(range(3), repeat=4))
    for side in ("two", "greater", "less"):
        t = trace(lm, ids, powers=PerplexityTest.powers(), dtype="float64")
        result = PerplexityTest(method="ville", side=side).test(t)
        weight = np.exp(-t.nll())
        assert weight.sum() == pytest.approx(1)
        assert (weight * result.e_value).sum() == pytest.approx(1, rel=1e-6)
        for level in (0.1, 0.3, 0.7, 0.95):  # Ville's inequality, exactly
            assert weight[result.p_value <= level].sum() <= level


@pytest.mark.parametrize("method", ["clt", "azuma", "hoeffding", "ville"])
@pytest.mark.parametrize("side", ["two", "greater", "less"])
def test_levels_hold_and_a_change_of_temperature_is_found(method, side):
    floor = float(A.transition.min()) if method in ("azuma", "hoeffding") else None
    test = PerplexityTest(0.05, method, side, floor=floor)
    share = test.test(OWN).reject.mean()
    assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    hot, cold = test.test(HOT).reject.mean(), test.test(COLD).reject.mean()
    if method in ("clt", "ville"):
        often = 0.9 if method == "clt" else 0.6  # a test that is valid at every n at once is weaker at one
        assert hot > often if side != "less" else hot == 0
        assert cold > often if side != "greater" else cold == 0
    elif side == "less":
        assert hot == 0
    elif side == "greater":
        assert cold == 0


def test_the_bounds_by_hand():
    t = traced(A, 5, 50, 9)
    floor = float(A.transition.min())
    d, log = t.mean_nll() - t.means("entropy"), -np.log(floor)
    for method, factor in (("azuma", 0.5), ("hoeffding", 2.0)):
        p = PerplexityTest(method=method, floor=floor).test(t).p_value
        np.testing.assert_allclose(p, np.minimum(2 * np.exp(-factor * 50 * d**2 / log**2), 1), rtol=1e-5)
    n = sample_size(0.4, 0.05, floor)
    assert 2 * np.exp(-n * 0.4**2 / (2 * log**2)) <= 0.05 < 2 * np.exp(-(n - 1) * 0.4**2 / (2 * log**2))
    assert sample_size(0.4, 0.05, floor, "hoeffding") == pytest.approx(n / 4, abs=1)


@pytest.mark.parametrize("side", ["greater", "less"])
def test_the_tail_bound_holds_by_enumeration(side):
    lm = MarkovLM.random(3, 1.5, rng=2)
    t = trace(lm, list(itertools.product(range(3), repeat=6)), dtype="float64")
    weight = np.exp(-t.nll())
    d = (t.mean_nll() - t.means("entropy")) * (1 if side == "greater" else -1)
    laws = np.vstack([lm.transition, lm.initial])
    for eps in (0.1, 0.3, 0.5):
        bound = tail_bound(laws, eps, 6, side)
        assert weight[d > eps].sum() <= bound <= 1
    assert tail_bound(laws, 0.5, 200, side) < tail_bound(laws, 0.5, 100, side) < 0.2


def test_one_text_is_an_estimate():
    one = PerplexityTest(method="ville").test(OWN[0])[0]
    assert one.n == 200
    assert one.unit == "nats"
    assert 0 <= one.p_value <= 1
    assert one.diagnostics["e_value"] > 0
    assert len(list(PerplexityTest().test(OWN[:3]))) == 3


def test_certain_and_impossible_texts():
    certain = MarkovLM([[0.0, 1.0], [1.0, 0.0]], initial=[1.0, 0.0])
    t = trace(certain, [[0, 1, 0, 1]], powers=POWERS)
    for method in ("clt", "ville"):
        assert PerplexityTest(method=method).test(t).p_value[0] == 1
        wrong = trace(certain, [[0, 1, 1]], powers=POWERS)
        assert PerplexityTest(method=method).test(wrong).p_value[0] == 0
    empty = Trace(np.zeros(1, int), np.array([0, 1]), np.zeros(1, bool), np.array([np.nan]), np.ones(1), np.ones(1))
    assert np.isnan(PerplexityTest().test(empty).p_value[0])
    assert not PerplexityTest().test(empty).reject[0]


def test_bad_input_is_refused():
    for bad in (
        {"alpha": 0.0},
        {"method": "exact"},
        {"side": "both"},
        {"method": "azuma"},
        {"floor": 0.1},
        {"lambdas": (1.0,)},
        {"method": "azuma", "floor": 1.5},
    ):
        with pytest.raises(ValueError):
            PerplexityTest(**bad)
    with pytest.raises(ValueError, match="power"):
        PerplexityTest(method="ville").test(trace(A, [[1, 2, 3]]))
    with pytest.raises(ValueError, match="below the floor"):
        PerplexityTest(method="azuma", floor=0.5).test(OWN)
    with pytest.raises(ValueError, match="temperature 2"):
        PerplexityTest().test(trace(A, [[1, 2, 3]], temperature=2.0))
    for args in ((0.0, 0.1, 0.1), (0.1, 1.0, 0.1), (0.1, 0.1, 0.0), (0.1, 0.1, 0.1, "clt")):
        with pytest.raises(ValueError):
            sample_size(*args)
    with pytest.raises(ValueError, match="side"):
        tail_bound([[0.5, 0.5]], 0.1, 10, "two")


def test_two_sources_are_told_apart_at_the_level():
    b = A.perturbed(0.7, rng=1)
    ids = np.vstack([A.sample(150, 120, rng=2), b.sample(150, 120, rng=3)])
    ta, tb = trace(A, ids), trace(b, ids, references={"a": A})
    result = source_test(ta, tb, ref="a")
    np.testing.assert_allclose(result.log_ratio, tb.nll() - ta.nll(), rtol=1e-5)
    assert (result.p_value_a[:150] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert (result.p_value_b[150:] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    truth = np.repeat(["A", "B"], 150)
    assert (result.source == truth).mean() > 0.9
    assert (result.closer == truth).mean() > 0.6
    swapped = source_test(tb, ta)
    np.testing.assert_allclose(swapped.log_ratio, -result.log_ratio)
    same = source_test(ta, ta)
    assert (same.source == "").all()
    assert (same.p_value_a == 1).all()


def test_a_token_that_one_source_excludes_decides():
    b = MarkovLM([[0.0, 1.0], [0.5, 0.5]], initial=[0.5, 0.5])
    a = MarkovLM([[0.5, 0.5], [0.5, 0.5]])
    ids = [[0, 0, 1, 1]]
    result = source_test(trace(a, ids), trace(b, ids))
    assert result.p_value_b[0] == 0
    assert result.source[0] == "A"
    with pytest.raises(ValueError, match="neither wrote"):
        source_test(trace(b, ids), trace(b, ids))
    with pytest.raises(ValueError, match="same tokens"):
        source_test(trace(a, ids), trace(b, [[0, 1]]))
