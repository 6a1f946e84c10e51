"""Upper bounds: closed forms on the normal channel, brute force, learned densities, bad input."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
upper = pytest.importorskip("plogp.estimate.upper_bounds")
critics = pytest.importorskip("plogp.estimate.critics")
mi_upper = upper.mi_upper

#: y = x + noise of standard deviation SD, x standard normal.
SD = 0.75
TRUTH = 0.5 * math.log1p(1 / SD**2)


def _pairs(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    return x, x + SD * rng.standard_normal(n)


def _channel():
    return critics.ConditionalGaussian(1, 1, mean=lambda x: x, sd=SD)


def _log_marginal(y):
    return torch.distributions.Normal(0.0, math.sqrt(1 + SD**2)).log_prob(y[:, 0])


def _brute(kind, x, y):
    S = -0.5 * ((y[None] - x[:, None]) / SD) ** 2 - math.log(SD * math.sqrt(2 * math.pi))
    n, off = len(x), ~np.eye(len(x), dtype=bool)
    if kind == "club":
        return np.diag(S).mean() - S[off].mean()
    others = [np.log(np.mean(np.exp(np.delete(S[:, j], j)))) for j in range(n)]
    return np.diag(S).mean() - np.mean(others)


@pytest.mark.parametrize("kind", ["club", "loo"])
def test_formulas_by_brute_force(kind):
    x, y = _pairs(60)
    e = mi_upper(x, y, kind, _channel())
    assert e.value == pytest.approx(_brute(kind, x, y), abs=1e-5)
    assert e.terms.mean() == pytest.approx(e.value)
    assert e.se == pytest.approx(e.terms.std(ddof=1) / math.sqrt(60))


def test_blocks_are_averages_of_blocks():
    x, y = _pairs(200)
    e = mi_upper(x, y, "loo", _channel(), block=50, rng=0)
    order = np.random.default_rng(0).permutation(200)
    parts = [_brute("loo", x[p], y[p]) for p in np.array_split(order, 4)]
    assert e.value == pytest.approx(np.mean(parts), abs=1e-5)


def test_exact_conditional_bounds_from_above():
    """BA with the optimal marginal is I; LOO and CLUB are above; CLUB has its closed form ρ²/(1 - ρ²)."""
    x, y = _pairs(20_000)
    rho2 = 1 / (1 + SD**2)
    ba = mi_upper(x, y, "ba", _channel(), marginal=_log_marginal)
    loo = mi_upper(x, y, "loo", _channel(), rng=0)
    club = mi_upper(x, y, "club", _channel(), rng=0)
    assert abs(ba.value - TRUTH) < 3 * ba.se
    assert loo.value > TRUTH - 3 * loo.se
    assert abs(club.value - rho2 / (1 - rho2)) < 3 * club.se
    assert club.value > TRUTH
    assert [e.diagnostics["conditional"] for e in (ba, loo, club)] == ["given"] * 3


def test_ba_with_any_marginal_is_too_large_by_its_divergence():
    x, y = _pairs(20_000)
    wrong = torch.distributions.Normal(0.5, 2.0)
    sd = math.sqrt(1 + SD**2)
    kl = math.log(2 / sd) + (sd**2 + 0.25) / 8 - 0.5
    e = mi_upper(x, y, "ba", _channel(), marginal=lambda t: wrong.log_prob(t[:, 0]))
    assert abs(e.value - TRUTH - kl) < 3 * e.se


def test_leave_one_out_falls_towards_the_information_with_the_block():
    x, y = _pairs(4096)
    small, large = (
        np.mean([mi_upper(x, y, "loo", _channel(), block=b, rng=s).value for s in range(3)]) for b in (4, 512)
    )
    assert small > large + 0.05
    assert abs(large - TRUTH) < 0.06


@pytest.mark.parametrize("kind", ["club", "loo", "ba"])
def test_standard_error_is_that_over_repetitions(kind):
    found = [
        mi_upper(*_pairs(150, s), kind, _channel(), marginal=_log_marginal if kind == "ba" else None)
        for s in range(200)
    ]
    assert np.mean([e.se for e in found]) == pytest.approx(np.std([e.value for e in found]), rel=0.2)


@pytest.mark.parametrize("kind", ["club", "loo"])
def test_terms_are_the_jackknife_values(kind):
    x, y = _pairs(60)
    terms = mi_upper(x, y, kind, _channel(), rng=0).terms
    whole = _brute(kind, x, y)
    jackknife = [60 * whole - 59 * _brute(kind, np.delete(x, i), np.delete(y, i)) for i in range(60)]
    assert np.corrcoef(terms, jackknife)[0, 1] > 0.995
    assert np.std(terms) == pytest.approx(np.std(jackknife), rel=0.05)


@pytest.mark.parametrize(("kind", "expected"), [("ba", TRUTH), ("loo", TRUTH), ("club", 1 / SD**2)])
def test_learned_conditional(kind, expected):
    x, y = _pairs(2000)
    e = mi_upper(3 * x + 7, 100 * y - 5, kind, steps=300, rng=0)  # units do not matter
    assert abs(e.value - expected) < 0.1 + 2 * e.se
    assert "only as far as" in e.diagnostics["note"]
    assert e.n == 2000
    again = mi_upper(3 * x + 7, 100 * y - 5, kind, steps=300, rng=0)
    assert again.value == e.value


def test_given_conditional_with_learned_marginal():
    x, y = _pairs(2000)
    e = mi_upper(x, y, "ba", _channel(), steps=300, rng=0)
    assert abs(e.value - TRUTH) < 0.05 + 2 * e.se
    assert (e.diagnostics["conditional"], e.diagnostics["marginal"]) == ("given", "learned")


def test_gaussian_channel():
    x, y = _pairs(5000)
    e = mi_upper(x, y, "gaussian", noise=SD**2)
    assert abs(e.value - TRUTH) < 3 * e.se
    rng = np.random.default_rng(0)
    x = rng.choice([-1.0, 1.0], size=5000)  # log 2 at most
    loose = mi_upper(x, x + SD * rng.normal(size=5000), "gaussian", noise=SD**2)
    assert loose.value == pytest.approx(0.5 * math.log1p(1 / SD**2), abs=0.05)
    # Correlated noise in two dimensions, against log det (I + Σ_x Σ_n^-1).
    sigma = np.array([[1.0, 0.3], [0.3, 0.5]])
    x = rng.multivariate_normal([0, 0], np.eye(2), 5000)
    y = x + rng.multivariate_normal([0, 0], sigma, 5000)
    expected = 0.5 * np.linalg.slogdet(np.eye(2) + np.linalg.inv(sigma))[1]
    e = mi_upper(x, y, "gaussian", noise=sigma)
    assert abs(e.value - expected) < 3 * e.se


def test_tensors_are_taken():
    x, y = _pairs(300)
    given = mi_upper(torch.from_numpy(x), torch.from_numpy(y), "club", _channel())
    assert given.value == pytest.approx(_brute("club", x, y), abs=1e-5)


@pytest.mark.parametrize(
    ("args", "options", "match"),
    [
        ((*_pairs(50), "nce"), {}, "kind must be one of"),
        ((*_pairs(50), "club"), {"marginal": _log_marginal}, "belongs to kind 'ba'"),
        ((*_pairs(50), "club"), {"block": 1}, "block"),
        ((*_pairs(20), "club"), {}, "learning needs 40 pairs, got 20"),
        ((_pairs(50)[0], _pairs(49)[0], "club"), {}, r"lengths \[50, 49\]"),
        ((*_pairs(50), "gaussian"), {}, "needs noise="),
        ((*_pairs(50), "gaussian"), {"noise": -1.0}, "noise must be positive"),
        ((*_pairs(50), "gaussian"), {"noise": np.eye(2)}, "noise must be a variance or"),
        ((*_pairs(50), "club", lambda x, y: x), {}, "must have shape"),
        ((*_pairs(50), "club", lambda x, y: x * y.T * math.nan), {}, "NaN for some pairs"),
        ((np.full(50, np.nan), np.zeros(50), "club", _channel()), {}, "NaN or infinite"),
    ],
)
def test_bad_input(args, options, match):
    with pytest.raises(ValueError, match=match):
        mi_upper(*args, **options)
