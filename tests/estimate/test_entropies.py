from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from plogp.estimate.entropies import (
    STRATEGIES,
    Abundances,
    abundances,
    chao_wang_jost,
    chao_wang_jost_without_one,
    strategy,
)

COUNTS = st.lists(st.integers(0, 12), min_size=2, max_size=12).filter(lambda c: sum(c) >= 2)


def value(name, counts, states=None):
    s = STRATEGIES[name]
    return s.value(abundances(np.asarray(counts), len(counts) if states is None else states, s))


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_closed_forms_against_their_definitions(counts):
    c = np.array([x for x in counts if x])
    n, m, k = c.sum(), len(c), len(counts)
    p = c / n
    plug = float(-(p * np.log(p)).sum())
    assert value("plugin", counts) == pytest.approx(plug, abs=1e-12)
    assert value("miller_madow", counts) == pytest.approx(plug + (m - 1) / (2 * n), abs=1e-12)

    def plugin(c):
        q = c[c > 0] / c.sum()
        return float(-(q * np.log(q)).sum())

    left_out = sum(c[i] / n * plugin(c - np.eye(m, dtype=int)[i]) for i in range(m))
    assert value("jackknife", counts) == pytest.approx(n * plug - (n - 1) * left_out, abs=1e-9)
    # Zhang's own series: Σ_v Z_v / v with Z_v = Σ p_i Π_{j<v} (1 - (n_i - 1)/(n - 1 - j))
    zhang = 0.0
    for x in c:
        product = 1.0
        for v in range(1, n - x + 1):
            product *= 1 - (x - 1) / (n - v)
            zhang += x / n * product / v
    assert value("zhang", counts) == pytest.approx(zhang, abs=1e-9)
    g = special.digamma(c) + 0.5 * (-1.0) ** c * (special.digamma((c + 1) / 2) - special.digamma(c / 2))
    assert value("grassberger", counts) == pytest.approx(math.log(n) - float((c * g).sum()) / n, abs=1e-9)
    full = np.asarray(counts) / n
    distance = ((1 / k - full) ** 2).sum()
    lam = 1.0 if distance == 0 else min(1.0, max(0.0, (1 - (full**2).sum()) / ((n - 1) * distance)))
    q = lam / k + (1 - lam) * full
    assert value("james_stein", counts) == pytest.approx(float(-special.xlogy(q, q).sum()), abs=1e-9)


def test_grassberger_first_terms():
    # G(1) = -γ - log 2, G(2) = 2 - γ - log 2
    assert value("grassberger", [1, 1]) == pytest.approx(math.log(2) + np.euler_gamma + math.log(2))
    assert value("grassberger", [2]) == pytest.approx(math.log(2) - 2 + np.euler_gamma + math.log(2))


@pytest.mark.parametrize("counts", [[1, 1, 1, 2], [5, 3, 1, 1], [1, 1], [1, 4, 9, 1, 1, 2, 2], [7, 1]])
def test_chao_wang_jost_is_its_printed_form(counts):
    c = np.array(counts)
    n, f1, f2 = c.sum(), (c == 1).sum(), (c == 2).sum()
    first = float((c / n * (special.digamma(n) - special.digamma(c))).sum())
    a = 2 * f2 / ((n - 1) * f1 + 2 * f2) if f2 else 2 / ((n - 1) * (f1 - 1) + 2)
    r = np.arange(1, n)
    bracket = -math.log(a) - float(((1 - a) ** r / r).sum())
    unseen = 0.0 if a == 1 else f1 / n * (1 - a) ** (1 - n) * bracket
    assert value("chao_wang_jost", counts) == pytest.approx(first + unseen, abs=1e-9)


def test_chao_wang_jost_survives_large_samples():
    # The printed form overflows here: (1 - A)^(1 - N)
    counts = np.concatenate([np.full(1000, 1000), np.ones(5, int), np.full(40, 2)])
    a = Abundances.of(counts)
    assert 0 < chao_wang_jost(a) - math.log(1000) < 0.01
    mostly_new = Abundances.of(np.ones(10**6, int))
    assert math.isfinite(chao_wang_jost(mostly_new))


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_leaving_one_out_is_evaluating_again(counts):
    c = np.array([x for x in counts if x])
    a = Abundances.of(c)
    quick = chao_wang_jost_without_one(a)
    for r, found in zip(a.r, quick):
        fewer = c.copy()
        fewer[np.flatnonzero(c == r)[0]] -= 1
        assert found == pytest.approx(chao_wang_jost(Abundances.of(fewer)), abs=1e-9)


@pytest.mark.parametrize("counts", [[3, 1, 0, 0], [10, 5, 2, 1, 1, 0], [4, 4, 4], [1, 0, 0, 0, 0, 0, 0, 1]])
def test_nsb_against_direct_integration(counts):
    c = np.array(counts, float)
    n, k = c.sum(), len(c)

    def weight(u):
        b = math.exp(u)
        slope = k * special.polygamma(1, k * b + 1) - special.polygamma(1, b + 1)
        likelihood = special.gammaln(k * b) - special.gammaln(n + k * b)
        likelihood += (special.gammaln(c + b) - special.gammaln(b)).sum()
        return slope * b * math.exp(likelihood + 2 * n)

    def mean(u):
        alpha = c + math.exp(u)
        total = alpha.sum()
        return special.digamma(total + 1) - (alpha / total * special.digamma(alpha + 1)).sum()

    top, _ = integrate.quad(lambda u: weight(u) * mean(u), -20, 14, limit=400)
    bottom, _ = integrate.quad(weight, -20, 14, limit=400)
    assert value("nsb", counts) == pytest.approx(top / bottom, rel=1e-4)


def test_nsb_posterior_by_simulation():
    counts = np.array([6, 3, 1, 0, 0])
    s, a = STRATEGIES["nsb"], Abundances.of(counts, 5)
    rng = np.random.default_rng(0)
    # Draw from the prior, flat in the a-priori entropy, and weigh by the likelihood.
    grid = np.exp(np.linspace(-14, 10, 4000))
    xi = special.digamma(5 * grid + 1) - special.digamma(grid + 1)
    beta = np.interp(rng.random(200_000) * (xi[-1] - xi[0]) + xi[0], xi, grid)
    p = rng.gamma(beta[:, None], size=(len(beta), 5)) + 1e-300
    p /= p.sum(1, keepdims=True)
    logs = (counts * np.log(p)).sum(1)
    w = np.exp(logs - logs.max())
    h = -special.xlogy(p, p).sum(1)
    mean = (w * h).sum() / w.sum()
    sd = math.sqrt((w * (h - mean) ** 2).sum() / w.sum())
    assert s.value(a) == pytest.approx(mean, abs=0.02)
    assert s.posterior_sd is not None
    assert s.posterior_sd(a) == pytest.approx(sd, rel=0.05)


def test_published_comparison():
    """K = 100, N = 60, Dirichlet(1): the known ranking and sizes, within the error of 100 draws."""
    rng = np.random.default_rng(0)
    expected = {
        "plugin": 3.467,
        "miller_madow": 3.771,
        "grassberger": 4.03,
        "james_stein": 4.42,
        "chao_shen": 4.09,
        "chao_wang_jost": 4.12,
        "nsb": 4.14,
    }
    found: dict[str, list[float]] = {name: [] for name in expected}
    for _ in range(100):
        counts = rng.multinomial(60, rng.dirichlet(np.ones(100)))
        for name in expected:
            found[name].append(value(name, counts))
    for name, target in expected.items():
        assert np.mean(found[name]) == pytest.approx(target, abs=0.08), name


@pytest.mark.parametrize("name", STRATEGIES)
def test_consistency_and_invariance(name):
    p = np.array([0.5, 0.25, 0.15, 0.1])
    truth = float(-(p * np.log(p)).sum())
    counts = np.random.default_rng(0).multinomial(200_000, p)
    assert value(name, counts) == pytest.approx(truth, abs=0.01)
    assert value(name, counts[::-1]) == pytest.approx(value(name, counts), rel=1e-12)
    if not STRATEGIES[name].needs_states:
        assert value(name, [*counts, 0, 0]) == pytest.approx(value(name, counts), rel=1e-12)


@pytest.mark.parametrize("name", STRATEGIES)
def test_extremes_are_finite(name):
    for counts in ([2, 0], [1, 1], [10**9, 1], [1] * 500, [0, 0, 3]):
        assert math.isfinite(value(name, counts))


def test_infomeasure_agrees_where_it_is_right():
    im = pytest.importorskip("infomeasure")
    x = np.random.default_rng(3).integers(0, 40, 60)
    counts = np.bincount(x, minlength=40)
    pairs = {
        "plugin": "discrete",
        "miller_madow": "miller_madow",
        "chao_shen": "chao_shen",
        "zhang": "zhang",
        "chao_wang_jost": "chao_wang_jost",
    }
    for ours, theirs in pairs.items():
        assert value(ours, counts) == pytest.approx(im.entropy(x, approach=theirs, base="e"), abs=1e-9)
    seen = int((counts > 0).sum())
    shrunk = im.entropy(x, approach="shrink", base="e")
    assert value("james_stein", counts[counts > 0], seen) == pytest.approx(shrunk, abs=1e-9)


def test_names_and_missing_states():
    assert strategy("Chao-Shen") is STRATEGIES["chao_shen"]
    with pytest.raises(ValueError, match=r"unknown method 'bub'; the discrete methods are plugin"):
        strategy("bub")
    with pytest.raises(ValueError, match="needs num_states"):
        abundances(np.array([1, 2]), None, STRATEGIES["nsb"])
    with pytest.raises(ValueError, match="smaller than the 3 states"):
        abundances(np.array([1, 2, 3]), 2, STRATEGIES["james_stein"])
