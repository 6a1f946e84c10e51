"""Quantum and Bregman divergences, users' own generators, bounds, mixtures, closed-form entropies."""

import math
import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

import plogp as pl
from plogp.measures import bounds, differential, quantum
from plogp.measures.bregman import Bregman
from plogp.testing import check_divergence


def _states(seed, d=4, count=2):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        a = rng.normal(size=(d, d))
        rho = a @ a.T
        out.append(rho / np.trace(rho))
    return out


def test_umegaki_and_sandwiched_against_matrix_functions():
    rho, sigma = _states(0)
    exact = np.trace(rho @ (scipy.linalg.logm(rho) - scipy.linalg.logm(sigma)))
    assert float(pl.divergence("umegaki")(rho, sigma)) == pytest.approx(exact, rel=1e-9)
    for alpha in (0.5, 0.7, 2.0, 5.0):
        power = scipy.linalg.fractional_matrix_power(sigma, (1 - alpha) / (2 * alpha))
        inner = scipy.linalg.fractional_matrix_power(power @ rho @ power, alpha)
        value = float(pl.divergence("sandwiched_renyi", alpha=alpha)(rho, sigma))
        assert value == pytest.approx(math.log(np.trace(inner).real) / (alpha - 1), rel=1e-8)
    near = float(pl.divergence("sandwiched_renyi", alpha=1.00001)(rho, sigma))
    assert near == pytest.approx(exact, rel=1e-4)


def test_quantum_reduces_to_classical_on_diagonals():
    p, q = np.random.default_rng(0).dirichlet(np.ones(5), size=2)
    assert float(pl.divergence("umegaki")(np.diag(p), np.diag(q))) == pytest.approx(float(pl.divergence("kl")(p, q)))
    sandwiched = float(pl.divergence("sandwiched_renyi", alpha=3)(np.diag(p), np.diag(q)))
    assert sandwiched == pytest.approx(float(pl.divergence("renyi", alpha=3)(p, q)))
    assert float(quantum.von_neumann(np.diag(p))) == pytest.approx(float(pl.entropy(p)))


def test_quantum_support_batch_gradient_and_refusals():
    rho = np.diag([0.5, 0.5, 0.0])
    sigma = np.diag([1.0, 0.0, 0.0])
    assert float(pl.divergence("umegaki")(rho, sigma)) == math.inf
    assert float(pl.divergence("umegaki")(sigma, rho)) == pytest.approx(math.log(2))
    assert float(pl.divergence("sandwiched_renyi", alpha=2)(rho, sigma)) == math.inf
    batch = np.stack(_states(1, count=6))
    values = pl.divergence("umegaki")(batch[:3], batch[3:])
    assert values == pytest.approx([float(pl.divergence("umegaki")(a, b)) for a, b in zip(batch[:3], batch[3:])])
    torch = pytest.importorskip("torch")
    states = [torch.tensor(s) for s in _states(2)]
    x = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    kl = pl.divergence("umegaki")

    def loss(x):
        rho = x @ x.T
        return kl(rho / torch.trace(rho), states[0], check=False)

    assert torch.autograd.gradcheck(loss, (x,), atol=1e-5)
    for bad, words in ((np.eye(2), "trace"), (np.array([[0.5, 0.4], [0.1, 0.5]]), "symmetric"),
                       (np.diag([1.5, -0.5]), "semi-definite"), (np.ones((2, 3)), "square")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            kl(bad, np.eye(2) / 2)
    with pytest.raises(TypeError, match="density matrices"):
        kl.from_logits([0.0, 1.0], [0.0, 1.0])


def test_bregman_contains_its_named_members():
    p, q = np.random.default_rng(0).uniform(0.1, 3.0, size=(2, 5))
    shannon = Bregman(lambda x: x * np.log(x), lambda x: np.log(x) + 1)
    burg = pl.divergence("bregman", phi=lambda x: -np.log(x), dphi=lambda x: -1 / x)
    square = Bregman(lambda x: x * x, lambda x: 2 * x)
    for own, name in ((shannon, "generalized_kl"), (burg, "itakura_saito"), (square, "squared_euclidean")):
        assert float(own(p, q)) == pytest.approx(float(pl.divergence(name)(p, q)), rel=1e-10)


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "js", "chi2", "hellinger", "le_cam", "jeffreys"])
def test_own_generator_is_a_full_citizen(name):
    d = pl.divergence(name)
    generators = {  # not in standard form: plogp finds it
        "kl": lambda t: t * np.log(np.where(t > 0, t, 1.0)) + 0.3 * (t - 1),
        "reverse_kl": lambda t: -np.log(t),
        "js": lambda t: 0.5 * (t * np.log(2 * t / (1 + t)) - np.log((1 + t) / 2)),
        "chi2": lambda t: t * t,
        "hellinger": lambda t: 1 - np.sqrt(t),
        "le_cam": lambda t: (1 - t) / (1 + t),
        "jeffreys": lambda t: (t - 1) * np.log(t),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = pl.from_generator(generators[name], name=name, f0=d.f0 if name in ("js",) else None)
    p, q = np.random.default_rng(0).dirichlet(np.ones(6), size=2)
    assert float(own(p, q)) == pytest.approx(float(d(p, q)), rel=1e-6)
    assert own.curvature == pytest.approx(d.curvature, rel=1e-4)
    assert float((own + d)(p, q)) == pytest.approx(2 * float(d(p, q)), rel=1e-6)
    if math.isfinite(d.finf):
        assert own.finf - own.f0 == pytest.approx(d.finf - d.f0, abs=1e-6) or math.isinf(d.f0)


def test_own_generator_with_exact_derivatives_passes_the_suite():
    def f(t):
        return (t - 1) ** 2 / (t + 1)

    def df(t):
        return (t - 1) * (t + 3) / (t + 1) ** 2

    def d2f(t):
        return 8 / (t + 1) ** 3

    own = pl.from_generator(f, df, d2f, name="twice le cam")
    check_divergence(
        own,
        skip={
            "symmetry": "a user's own function is not known to be symmetric",
            "extreme_logits": "the user's function sees t = e^690",
            "f_conjugate": "by bisection, checked below",
        },
    )
    twice = 2.0 * pl.divergence("le_cam")
    u = np.linspace(-2.5, 0.8, 9)
    np.testing.assert_allclose(own.conjugate(u), twice.conjugate(u), atol=1e-6)


def test_own_generator_is_differentiated_by_torch_and_warns_otherwise():
    pytest.importorskip("torch")
    exact = pl.from_generator(lambda t: t * t * t, name="cube")
    assert float(exact.df(2.0)) == pytest.approx(12 - 3, rel=1e-12)
    with pytest.warns(UserWarning, match="central differences"):
        pl.from_generator(lambda t: np.asarray(t) ** 3, name="numpy cube")


@pytest.mark.parametrize(
    ("f", "words"),
    [(lambda t: -t * t, "convex"), (lambda t: np.log(t - 1), "finite"), (lambda t: 1.0, "elementwise")],
)
def test_own_generator_refusals(f, words):
    with pytest.raises(ValueError, match=words):
        pl.from_generator(f, lambda t: t, lambda t: t)


@pytest.mark.parametrize("pair", sorted(bounds._DIRECT))
def test_bounds_hold_both_ways_and_pinsker_is_named(pair):
    rng = np.random.default_rng(0)
    for a, b in (pair, pair[::-1]):
        found = bounds.between(a, b)
        for _ in range(150):
            p = rng.dirichlet(np.full(rng.integers(2, 5), rng.choice([0.2, 1.0, 5.0])))
            q = 0.8 * p + 0.2 * rng.dirichlet(np.ones(len(p))) if rng.random() < 0.5 else rng.permutation(p)
            value, given = float(pl.divergence(a)(p, q)), float(pl.divergence(b)(p, q))
            if math.isfinite(given):
                assert found.lower(given) - 1e-9 <= value <= found.upper(given) + 1e-9, (a, b, p, q)


def test_bounds_are_attained_where_they_are_tight():
    p, q = np.array([0.5, 0.3, 0.0, 0.2]), np.array([0.0, 0.3, 0.5, 0.2])  # mass moves to places that were empty
    assert bounds.between("js", "tv").upper(0.5) == pytest.approx(float(pl.divergence("js")(p, q)))
    assert "Pinsker" in bounds.between("tv", "kl").names
    with pytest.raises(ValueError, match="no inequality"):
        bounds.between("tv", "umegaki")
    with pytest.raises(ValueError, match="lies in"):
        bounds.between("kl", "tv").lower(1.5)


def test_generalised_jensen_shannon():
    rng = np.random.default_rng(0)
    ps, w = rng.dirichlet(np.ones(6), size=4), np.array([0.1, 0.2, 0.3, 0.4])
    expected = scipy.stats.entropy(w @ ps) - w @ [scipy.stats.entropy(p) for p in ps]
    assert float(pl.jensen_shannon(ps, w)) == pytest.approx(expected)
    two = float(pl.jensen_shannon(ps[:2]))
    assert two == pytest.approx(float(pl.divergence("js")(ps[0], ps[1])))
    ps[0, 0], ps[0] = 0, ps[0] / ps[0].sum()
    zero = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert float(pl.jensen_shannon(zero, [1.0, 0.0])) == 0.0
    assert np.shape(pl.jensen_shannon(np.stack([zero, zero]))) == (2,)
    with pytest.raises(ValueError, match="weights must have shape"):
        pl.jensen_shannon(zero, [1.0])


COV = [[2.0, 0.3], [0.3, 1.0]]


@pytest.mark.parametrize(
    ("family", "parameters", "peer"),
    [
        ("normal", {"scale": 2.0}, scipy.stats.norm(0, 2)),
        ("student_t", {"df": 3.0, "scale": 2.0}, scipy.stats.t(3, 0, 2)),
        ("laplace", {"scale": 0.3}, scipy.stats.laplace(0, 0.3)),
        ("exponential", {"rate": 3.0}, scipy.stats.expon(scale=1 / 3)),
        ("uniform", {"low": -1.0, "high": 3.0}, scipy.stats.uniform(-1, 4)),
        ("gamma", {"shape": 2.5, "scale": 0.4}, scipy.stats.gamma(2.5, scale=0.4)),
        ("beta", {"a": 2.0, "b": 0.5}, scipy.stats.beta(2, 0.5)),
        ("dirichlet", {"concentration": [1.0, 2.0, 3.0]}, scipy.stats.dirichlet([1.0, 2.0, 3.0])),
        ("multivariate_normal", {"cov": COV}, scipy.stats.multivariate_normal([0, 0], COV)),
        ("wishart", {"df": 5, "scale": COV}, scipy.stats.wishart(5, COV)),
        ("von_mises_fisher", {"dim": 3, "concentration": 2.0}, scipy.stats.vonmises_fisher([1, 0, 0], 2.0)),
    ],
)  # fmt: skip
def test_differential_entropies_against_scipy(family, parameters, peer):
    value = float(differential.differential_entropy(family, **parameters))
    assert value == pytest.approx(float(peer.entropy()), rel=1e-9, abs=1e-12)


def test_differential_refusals():
    with pytest.raises(ValueError, match="did you mean 'normal'"):
        differential.differential_entropy("norml", scale=1)
    with pytest.raises(ValueError, match="scale must be positive"):
        differential.differential_entropy("normal", scale=-1)
    with pytest.raises(TypeError, match="takes df, scale"):
        differential.differential_entropy("student_t", nu=3)
