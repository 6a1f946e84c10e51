import copy
import itertools
import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import linalg, stats

import plogp as pl
from plogp.spectra import Spectrum
from plogp.spectra.eigen import as_rows, lanczos
from plogp.spectra.noise import MarchenkoPastur
from plogp.spectra.operators import spectral_sum
from plogp.spectra.power_law import default_range

torch = pytest.importorskip("torch")


def data(n, d, seed=0, decay=1.0):
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** (-decay / 2)


# ------------------------------------------------------------------------------------------------ constructors


@pytest.mark.parametrize(("n", "d"), [(50, 8), (8, 50), (20, 20), (5000, 3)])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("unbiased", [True, False])
def test_covariance_is_that_of_numpy(n, d, center, unbiased):
    X = data(n, d) + 3.0
    s = Spectrum.covariance(X, center, unbiased)
    expected = np.cov(X.T, ddof=int(unbiased)).reshape(d, d) if center else X.T @ X / n
    np.testing.assert_allclose(s.values, np.linalg.eigvalsh(expected)[::-1], atol=1e-12 * s.values[0], rtol=1e-10)
    assert s.values.shape == (d,)
    assert (s.n, s.d, s.of, s.dof) == (n, d, "eigen", n - center)


def test_blocks_of_rows_make_no_difference(monkeypatch):
    X = data(501, 6).astype(np.float32)
    whole = Spectrum.covariance(X).values, Spectrum.autocorrelation(X).values
    monkeypatch.setattr("plogp.spectra.eigen.BLOCK_BYTES", 8 * 6 * 17)
    weights = np.random.default_rng(0).dirichlet(np.ones(501))
    np.testing.assert_allclose(Spectrum.covariance(X).values, whole[0], rtol=1e-13)
    np.testing.assert_allclose(Spectrum.autocorrelation(X).values, whole[1], rtol=1e-13)
    Z = X.astype(float) / np.linalg.norm(X.astype(float), axis=1, keepdims=True) * np.sqrt(weights)[:, None]
    np.testing.assert_allclose(
        Spectrum.autocorrelation(X, weights=weights).values, np.linalg.eigvalsh(Z.T @ Z)[::-1], rtol=1e-10
    )


def test_float32_input_is_summed_in_float64():
    X = (data(4000, 4, decay=0.0) + 300.0).astype(np.float32)
    np.testing.assert_allclose(
        Spectrum.covariance(X).values, np.linalg.eigvalsh(np.cov(X.astype(np.float64).T))[::-1], rtol=1e-10
    )


def test_memory_map(tmp_path):
    X = data(300, 5).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(Spectrum.covariance(mapped).values, Spectrum.covariance(X).values)


def test_autocorrelation_has_trace_one_and_the_eigenvalues_of_the_cosine_kernel():
    for n, d in ((30, 7), (7, 30)):
        X = data(n, d) * np.exp(np.random.default_rng(1).normal(size=(n, 1)) * 5)
        Z = X / np.linalg.norm(X, axis=1, keepdims=True)
        s = Spectrum.autocorrelation(X)
        assert s.nuclear == pytest.approx(1.0, abs=1e-12)
        r = min(n, d)
        np.testing.assert_allclose(s.values[:r], np.linalg.eigvalsh(Z @ Z.T / n)[::-1][:r], atol=1e-13)
        np.testing.assert_allclose(s.values[:r], Spectrum.kernel(Z @ Z.T).values[:r], atol=1e-13)


def test_rows_of_any_length_have_a_direction():
    X = np.array([[3e-200, 4e-200], [3e200, -4e200]])
    np.testing.assert_allclose(Spectrum.autocorrelation(X).values, [0.64, 0.36], rtol=1e-12)
    with pytest.raises(ValueError, match="row 1 is zero"):
        Spectrum.autocorrelation([[1.0, 2.0], [0.0, 0.0]])


def test_singular_values_are_scipys():
    X = data(20, 6) + 1
    np.testing.assert_allclose(Spectrum.singular(X).values, linalg.svdvals(X), rtol=1e-12)
    np.testing.assert_allclose(Spectrum.singular(X, center=True).values, linalg.svdvals(X - X.mean(0)), rtol=1e-12)
    np.testing.assert_allclose(
        Spectrum.singular(X, center=True).values ** 2 / 19, Spectrum.covariance(X).values, rtol=1e-10
    )


def test_rank_deficient_input_has_exact_zeros():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3)) @ rng.normal(size=(3, 12))
    for s in (Spectrum.covariance(X), Spectrum.autocorrelation(X), Spectrum.singular(X)):
        assert s.numerical_rank() == 3
        assert s.entropy("hartley") == pytest.approx(math.log(3))
        assert s.condition == math.inf
        assert s.isotropy == 0.0
    wide = Spectrum.covariance(data(5, 40))
    assert wide.values.shape == (40,)
    assert wide.numerical_rank() == 4


def test_kernel_weights_and_normalisation():
    X = data(12, 4)
    K = X @ X.T + np.eye(12)
    w = np.random.default_rng(0).dirichlet(np.ones(12))
    root = np.sqrt(np.diag(K))
    np.testing.assert_allclose(
        Spectrum.kernel(K, w, normalize=True).values,
        np.linalg.eigvalsh(K / np.outer(root, root) * np.sqrt(np.outer(w, w)))[::-1],
        atol=1e-14,
    )
    with pytest.raises(ValueError, match="square"):
        Spectrum.kernel(X)
    with pytest.raises(ValueError, match="symmetric"):
        Spectrum.kernel(np.arange(9.0).reshape(3, 3))
    with pytest.raises(ValueError, match="diagonal"):
        Spectrum.kernel(np.array([[0.0, 1.0], [1.0, 1.0]]), normalize=True)
    with pytest.raises(ValueError, match="weights"):
        Spectrum.kernel(K, w[:5])
    with pytest.raises(ValueError, match="sum to 1"):
        Spectrum.kernel(K, np.ones(12))
    with pytest.warns(UserWarning, match="not positive semi-definite"):
        s = Spectrum.kernel(np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert s.values.tolist() == [1.5, 0.0]


def test_diffusion_against_its_definition():
    X = data(40, 3)
    apart = np.linalg.norm(X[:, None] - X, axis=-1)
    for sigma, t in ((0.7, 1.0), ("median", 3.0)):
        width = np.median(apart[np.triu_indices(40, 1)]) if sigma == "median" else sigma
        G = np.exp(-(apart**2) / (2 * width**2))
        walk = np.abs(np.linalg.eigvals(G / G.sum(1, keepdims=True)))
        s = Spectrum.diffusion(X, sigma, t)
        np.testing.assert_allclose(s.values, np.sort(walk)[::-1] ** t, atol=1e-12)
        assert s.values[0] == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(
        Spectrum.diffusion(X, 0.7, anisotropic=False).values,
        np.linalg.eigvalsh(np.exp(-(apart**2) / 0.98))[::-1],
        atol=1e-12,
    )
    for bad in (-1, "mean", 0, math.nan):
        with pytest.raises(ValueError, match="sigma"):
            Spectrum.diffusion(X, bad)
    with pytest.raises(ValueError, match="t must"):
        Spectrum.diffusion(X, 1.0, 0)


def test_median_bandwidth_of_nearly_equal_points():
    X = np.zeros((9, 2))
    assert Spectrum.diffusion(X).entropy() == pytest.approx(0.0, abs=1e-9)
    X[0] = 5.0
    assert Spectrum.diffusion(X).values[1] > 0


def test_from_values():
    s = Spectrum.from_values([1, 3, 2], n=10)
    assert s.values.tolist() == [3, 2, 1]
    for bad, match in (([1, math.nan], "NaN"), ([], "at least one"), (3.0, "at least one"), ([-1.0, -2.0], "negative")):
        with pytest.raises(ValueError, match=match):
            Spectrum.from_values(bad)
    with pytest.warns(UserWarning, match="positive semi-definite"):
        assert Spectrum.from_values([1.0, -0.5]).values.tolist() == [1.0, 0.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Spectrum.from_values([1.0, -1e-17]).values.tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="of must"):
        Spectrum.from_values([1.0], of="values")


@pytest.mark.parametrize("build", [Spectrum.covariance, Spectrum.autocorrelation])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_randomized_leading_values_and_the_rest_of_the_trace(build, library):
    X = data(600, 80, decay=2.0)
    exact = build(X)
    s = build(X if library == "numpy" else torch.tensor(X), randomized=10)
    values = np.asarray(s.values)
    np.testing.assert_allclose(values[:10], exact.values[:10], rtol=1e-3)
    assert (values[:10] <= exact.values[:10] * (1 + 1e-9)).all()
    assert values.sum() == pytest.approx(exact.values.sum(), rel=1e-12)
    assert s.resolved == 10
    for q in (0.5, 1, 2, math.inf):
        low, high = (float(v) for v in s.hill_bounds(q))
        assert low * (1 - 1e-3) <= exact.hill(q) <= high * (1 + 1e-3)
    again = build(X if library == "numpy" else torch.tensor(X), randomized=10)
    np.testing.assert_array_equal(values, np.asarray(again.values))
    for bad in (0, 81, 2.5, True):
        with pytest.raises(ValueError, match="randomized"):
            build(X, randomized=bad)


def test_randomized_kernel():
    X = data(150, 5)
    K = X @ X.T
    s = Spectrum.kernel(K, randomized=5)
    np.testing.assert_allclose(s.values[:5], Spectrum.kernel(K).values[:5], rtol=1e-9)
    assert s.hill_bounds(1)[0] == pytest.approx(s.hill(1), rel=1e-9)


def test_batches_are_separate_spectra():
    X = np.stack([data(30, 5, seed) for seed in range(6)]).reshape(2, 3, 30, 5)
    for build in (Spectrum.covariance, Spectrum.autocorrelation, Spectrum.singular, Spectrum.diffusion):
        s = build(X)
        assert s.values.shape[:2] == (2, 3)
        one = build(X[1, 2])
        for name in ("effective_rank", "participation_ratio", "stable_rank", "isotropy", "condition", "nuclear"):
            assert getattr(s, name)[1, 2] == pytest.approx(getattr(one, name), rel=1e-9)
        assert s.eee()[1, 2] == pytest.approx(one.eee())
        assert s.rankme()[1, 2] == pytest.approx(one.rankme())
        assert s.js(one).shape == (2, 3)
        with pytest.raises(ValueError, match="batch"):
            s.alpha_req()


# ------------------------------------------------------------------------------------------------ operators


def test_operator_finds_repeated_values():
    values = np.r_[5, 5, 5, 3, 3, 2, np.linspace(1, 0.01, 54)]
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(60, 60)))
    M = (Q * values) @ Q.T
    s = Spectrum.operator(lambda v: M @ v, 60, 7, trace=float(values.sum()))
    np.testing.assert_allclose(s.values[:7], values[:7], rtol=1e-7)
    assert s.nuclear == pytest.approx(values.sum())
    guessed = Spectrum.operator(lambda v: M @ v, 60, 7, probes=40)
    assert guessed.nuclear == pytest.approx(values.sum(), rel=0.05)
    T = torch.tensor(M, dtype=torch.float32)
    t = Spectrum.operator(lambda v: T @ v, 60, 7, like=T)
    assert t.values.dtype == torch.float32
    np.testing.assert_allclose(t.values[:7], values[:7], rtol=1e-4)
    np.testing.assert_allclose(Spectrum.operator(lambda v: 2 * v, 9, 4).values, 2.0)
    np.testing.assert_allclose(Spectrum.operator(lambda v: M @ v, 60, 60).values, values, rtol=1e-6)


def test_operator_errors():
    with pytest.raises(ValueError, match="shape"):
        Spectrum.operator(lambda v: v[:-1], 5, 2)
    with pytest.raises(ValueError, match="NaN"):
        Spectrum.operator(lambda v: v * math.nan, 5, 2)
    with pytest.raises(ValueError, match="at most dim"):
        Spectrum.operator(lambda v: v, 5, 6)
    with pytest.raises(ValueError, match="trace"):
        Spectrum.operator(lambda v: v, 5, 2, trace=1.0)


def test_lanczos_is_a_tridiagonal_form():
    A = np.cov(data(40, 12).T)
    diagonal, off, Q = lanczos(np, lambda v: A @ v, np.ones(12), 12)
    np.testing.assert_allclose(Q @ Q.T, np.eye(len(diagonal)), atol=1e-12)
    np.testing.assert_allclose(Q @ A @ Q.T, np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1), atol=1e-12)


def test_spectral_sum_covers_the_truth():
    values = np.linspace(0.5, 3.0, 300)
    truth = float(np.sum(values * np.log(values)))
    inside = 0
    for seed in range(40):
        e = spectral_sum(lambda v: values * v, 300, lambda x: x * np.log(x), probes=12, rng=seed)
        low, high = e.interval()
        inside += low < truth < high
    assert inside >= 34
    with pytest.raises(ValueError, match="probes"):
        spectral_sum(lambda v: v, 5, np.log, probes=1)


# ------------------------------------------------------------------------------------------------ functionals


@given(hnp.arrays(np.float64, st.integers(2, 20), elements=st.floats(1e-3, 1e3)))
@settings(max_examples=40, deadline=None)
def test_functionals_against_their_formulas(values):
    s = Spectrum.from_values(values)
    x = np.sort(values)[::-1]
    p = x / x.sum()
    D = len(p)
    assert s.entropy() == pytest.approx(stats.entropy(p), abs=1e-12)
    assert s.effective_rank == pytest.approx(math.exp(stats.entropy(p)))
    assert s.participation_ratio == pytest.approx(x.sum() ** 2 / (x**2).sum())
    assert s.hill(math.inf) == pytest.approx(x.sum() / x[0])
    assert s.stable_rank == pytest.approx(x.sum() / x[0])
    assert s.isotropy == pytest.approx(x[-1] / x[0])
    assert s.condition == pytest.approx(x[0] / x[-1])
    cumulative = np.cumsum(p) - np.arange(1, D + 1) / D
    assert s.eee() == pytest.approx(np.sum(cumulative) / (D / 2), abs=1e-12)
    assert s.eee("trapezoid") == pytest.approx(np.trapezoid(cumulative) / (D / 2), abs=1e-12)
    shifted = p + 1e-7
    assert s.rankme() == pytest.approx(math.exp(-np.sum(shifted * np.log(shifted))), rel=1e-12)
    orders = [s.hill(q) for q in (0, 0.5, 1, 2, 5, math.inf)]
    assert all(a >= b * (1 - 1e-12) for a, b in itertools.pairwise(orders))
    assert s.numerical_rank(0.5) == np.sum(x > 0.5 * x[0])


def test_stable_rank_of_singular_values_is_the_same():
    X = data(30, 6)
    eigen = Spectrum.covariance(X, center=False)
    assert Spectrum.singular(X).stable_rank == pytest.approx(eigen.stable_rank)
    assert Spectrum.singular(X).stable_rank == pytest.approx(np.linalg.norm(X) ** 2 / np.linalg.norm(X, 2) ** 2)
    assert Spectrum.singular(X).nuclear == pytest.approx(np.linalg.norm(X, "nuc"))


@pytest.mark.parametrize("D", [1, 2, 7, 256])
def test_extremes_of_early_enrichment(D):
    flat, one = Spectrum.from_values(np.ones(D)), Spectrum.from_values(np.eye(D)[0])
    assert flat.eee() == pytest.approx(0.0, abs=1e-12)
    assert one.eee() == pytest.approx(1 - 1 / D, abs=1e-12)
    assert one.eee("trapezoid") == pytest.approx((1 - 1 / D) ** 2, abs=1e-12)


def test_every_entropy_of_the_library():
    s = Spectrum.from_values([4.0, 2.0, 1.0, 0.0])
    for kind in pl.measures.entropies():
        assert float(s.entropy(kind)) == pytest.approx(float(pl.entropy([4, 2, 1, 0], kind, normalize=True)))
    assert s.entropy("renyi", base=2, alpha=3) == pytest.approx(
        pl.entropy([4, 2, 1, 0], "renyi", normalize=True, base=2, alpha=3)
    )


def test_divergences_match_by_rank_and_pad():
    a, b = Spectrum.from_values([3.0, 1.0]), Spectrum.from_values([1.0, 4.0, 3.0])
    p, q = [0.75, 0.25, 0.0], [0.5, 0.375, 0.125]
    for name in ("kl", "reverse_kl", "js", "tv", "hellinger2" if "hellinger2" in pl.divergences() else "chi2"):
        assert a.divergence(b, name) == pytest.approx(float(pl.divergence(name)(p, q)))
    mixed = 0.5 * pl.divergence("kl") + 0.5 * pl.divergence("tv")
    assert a.divergence(b, mixed) == pytest.approx(float(mixed(p, q)))
    assert a.js(a) == 0.0
    assert Spectrum.from_values([1.0, 0.0]).js(Spectrum.from_values([1.0] * 4096)) < math.log(2)
    with pytest.raises(TypeError, match="Spectrum"):
        a.js([1.0])


def test_no_mass_no_shares():
    s = Spectrum.covariance(np.ones((4, 3)))
    assert s.nuclear == 0.0
    with pytest.raises(ValueError, match="all zero"):
        s.entropy()


def test_bad_settings():
    s = Spectrum.from_values([2.0, 1.0])
    with pytest.raises(ValueError, match="rule"):
        s.eee("simpson")
    with pytest.raises(ValueError, match="tol"):
        s.numerical_rank(2.0)
    with pytest.raises(ValueError, match="normalize"):
        Spectrum.autocorrelation(np.eye(2), "columns")
    with pytest.raises(TypeError, match="real numbers"):
        Spectrum.covariance([["a", "b"]])
    with pytest.raises(ValueError, match="scalar"):
        as_rows(3.0)


def test_frozen_and_copied():
    s = Spectrum.covariance(data(20, 3))
    with pytest.raises(AttributeError):
        s.n = 3
    assert pickle.loads(pickle.dumps(s)).effective_rank == copy.deepcopy(s).effective_rank == s.effective_rank
    assert repr(s) == "Spectrum(3 values, eigen of the covariance, n=20, d=3)"


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    ax = Spectrum.covariance(data(50, 6)).plot(label="layer 3")
    assert len(ax.lines) == 1
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_legend().get_texts()[0].get_text() == "layer 3"
    assert len(Spectrum.singular(np.stack([data(9, 3)] * 2)).plot().lines) == 2


# ------------------------------------------------------------------------------------------------ gradients

FUNCTIONALS = {
    "entropy": lambda s: s.entropy(),
    "renyi": lambda s: s.entropy("renyi", alpha=0.7),
    "participation": lambda s: s.participation_ratio,
    "vendi 3": lambda s: s.hill(3),
    "eee": lambda s: s.eee(),
    "nuclear": lambda s: s.nuclear,
    "js": lambda s: s.js(Spectrum.from_values(torch.arange(1.0, 6.0, dtype=torch.float64))),
}


@pytest.mark.parametrize("name", FUNCTIONALS)
@pytest.mark.parametrize("build", ["covariance", "autocorrelation", "singular", "diffusion"])
def test_gradcheck(name, build):
    X = torch.tensor(data(9, 4) + 0.5, requires_grad=True)
    extra = {"sigma": 1.3} if build == "diffusion" else {}
    assert torch.autograd.gradcheck(lambda x: FUNCTIONALS[name](getattr(Spectrum, build)(x, **extra)), (X,), atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONALS)
def test_gradcheck_at_repeated_eigenvalues(name):
    """Four equal eigenvalues (and nothing else): the gradient of a symmetric function of them exists."""
    rows = torch.tensor(np.vstack([np.eye(4), -np.eye(4)]) @ np.diag([2, 2, 1, 1.0]), requires_grad=True)
    if name in ("eee", "js"):
        pytest.skip("depends on the order of equal eigenvalues: one-sided derivatives only")
    assert torch.autograd.gradcheck(lambda x: FUNCTIONALS[name](Spectrum.covariance(x)), (rows,), atol=1e-6)


@pytest.mark.parametrize("build", ["covariance", "autocorrelation", "singular", "kernel", "diffusion"])
def test_gradients_are_finite_where_the_rank_is_deficient(build):
    X = torch.tensor(np.repeat(data(4, 6), 3, axis=0), requires_grad=True)
    argument = X @ X.mT if build == "kernel" else X
    for f in FUNCTIONALS.values():
        (gradient,) = torch.autograd.grad(f(getattr(Spectrum, build)(argument)), X, retain_graph=True)
        assert torch.isfinite(gradient).all()


def test_gradient_of_participation_ratio_at_deficient_rank():
    """(tr C)²/tr C² is smooth there too, so the masked gradient must be the whole one."""
    X = torch.tensor(np.repeat(data(4, 6), 2, axis=0), requires_grad=True)
    Y = X - X.mean(0)
    C = Y.mT @ Y
    (ours,) = torch.autograd.grad(Spectrum.covariance(X).participation_ratio, X)
    (direct,) = torch.autograd.grad(torch.trace(C) ** 2 / (C * C).sum(), X)
    torch.testing.assert_close(ours, direct, rtol=1e-8, atol=1e-10)


def test_gradient_through_a_sketch():
    X = torch.tensor(data(60, 20, decay=3.0), requires_grad=True)
    (sketched,) = torch.autograd.grad(Spectrum.covariance(X, randomized=8).values[:3].sum(), X)
    (exact,) = torch.autograd.grad(Spectrum.covariance(X).values[:3].sum(), X)
    torch.testing.assert_close(sketched, exact, rtol=1e-4, atol=1e-5)


def test_func_transforms():
    X = torch.tensor(np.stack([data(12, 3, seed) for seed in range(3)]))
    mapped = torch.func.vmap(lambda x: Spectrum.covariance(x).entropy())(X)
    torch.testing.assert_close(mapped, Spectrum.covariance(X).entropy())
    gradient = torch.func.grad(lambda x: Spectrum.autocorrelation(x).entropy())(X[0])
    assert gradient.shape == X[0].shape


# ------------------------------------------------------------------------------------------------ power law, noise


@pytest.mark.parametrize("a", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("size", [8, 40, 500])
def test_alpha_of_a_power_law_is_exact(a, size):
    for weights in ("rank", None):
        e = Spectrum.from_values(np.arange(1, size + 1) ** -a).alpha_req(weights=weights)
        assert e.value == pytest.approx(a, abs=1e-8)
        assert e.se == pytest.approx(0.0, abs=1e-8)
        assert e.diagnostics["r2"] == pytest.approx(1.0)


def test_alpha_against_weighted_least_squares():
    s = Spectrum.covariance(data(300, 60))
    e = s.alpha_req(5, 50)
    i = np.arange(5, 51)
    slope, _ = np.polyfit(np.log(i), np.log(s.values[4:50]), 1, w=np.sqrt(1 / i))
    assert e.value == pytest.approx(-slope, abs=1e-10)
    assert (e.diagnostics["i0"], e.diagnostics["i1"]) == (5, 50)
    assert Spectrum.singular(data(300, 60), center=True).alpha_req(5, 50).value == pytest.approx(e.value / 2)


def test_alpha_interval_covers():
    inside = 0
    for seed in range(40):
        low, high = Spectrum.covariance(data(3200, 64, seed)).alpha_req().interval()
        inside += low < 1.0 < high
    assert inside >= 35


def test_alpha_ranges():
    assert default_range(40) == (5, 40)
    with pytest.raises(ValueError, match="at least 3"):
        Spectrum.from_values([3.0, 2.0]).alpha_req()
    with pytest.raises(ValueError, match="ranks 2 to 9"):
        Spectrum.from_values([3.0, 2.0, 1.0, 0.0]).alpha_req(2, 9)
    with pytest.raises(ValueError, match="weights"):
        Spectrum.from_values(np.ones(30)).alpha_req(weights="n")


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.99, 1.0, 1.5, 8.0])
def test_marchenko_pastur_moments(ratio):
    law = MarchenkoPastur(ratio, 2.0)
    assert law.mean(np.ones_like) == pytest.approx(1.0, abs=1e-6)
    assert law.mean(lambda x: x) == pytest.approx(2.0, abs=1e-9)
    assert law.mean(lambda x: x**2) == pytest.approx(4 * (1 + ratio), abs=1e-9)
    assert law.cdf(law.upper) == pytest.approx(1.0, abs=1e-6)
    u = np.array([0.3, 0.6, 0.99])
    above = u > law.atom
    np.testing.assert_allclose(law.cdf(law.quantile(u))[above], u[above], atol=1e-9)
    if ratio < 1:
        from scipy import integrate

        assert integrate.quad(law.density, law.lower, 2.0)[0] == pytest.approx(float(law.cdf(2.0)), abs=1e-6)
        assert law.hill(1, 100) == pytest.approx(100 * math.exp(-ratio / 2), rel=1e-9)  # Page


def test_marchenko_pastur_describes_noise():
    for n, d in ((800, 200), (150, 300)):
        s = Spectrum.covariance(3.0 * data(n, d, decay=0.0))
        null = s.marchenko_pastur()
        assert null.variance == pytest.approx(9.0, rel=0.05)
        for q in (0.5, 1, 2, 3):
            assert s.hill(q) == pytest.approx(null.hill(q, d), rel=0.02)
        assert s.hill(0) == pytest.approx(null.hill(0, d), abs=2)
        assert s.values[0] == pytest.approx(null.upper, rel=0.08)
        above = s.values[s.values > 0]
        shares = (null.cdf(above) - null.atom) / (1 - null.atom)
        distance = stats.kstest(shares, "uniform").statistic
        assert distance < 0.03


def test_median_variance_ignores_signal():
    X = data(600, 100, decay=0.0)
    X[:, :5] *= 10
    s = Spectrum.covariance(X)
    assert s.marchenko_pastur("median").variance == pytest.approx(1.0, rel=0.05)
    assert s.marchenko_pastur().variance > 4
    assert np.sum(s.values > s.marchenko_pastur("median").upper * 1.05) == 5


def test_noise_needs_a_covariance():
    with pytest.raises(ValueError, match="covariance"):
        Spectrum.from_values([2.0, 1.0]).marchenko_pastur()
    with pytest.raises(ValueError, match="covariance"):
        Spectrum.autocorrelation(data(30, 3)).bias_corrected()
    s = Spectrum.covariance(data(30, 3))
    for bad, match in (({"method": "magic"}, "method"), ({"method": "moments"}, "collision")):
        with pytest.raises(ValueError, match=match):
            s.bias_corrected(**bad)
    with pytest.raises(ValueError, match="expansion"):
        s.bias_corrected("tsallis", method="expansion")
    with pytest.raises(ValueError, match="full rank"):
        Spectrum.covariance(data(5, 9)).bias_corrected()
    with pytest.raises(ValueError, match="variance"):
        s.marchenko_pastur("mode")
    with pytest.raises(ValueError, match="ratio"):
        MarchenkoPastur(0.0)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_bias_correction_by_simulation_of_known_populations(decay):
    """n = 3 d: each method takes off at least 85 % of the bias (96 % white), and the interval is about right."""
    d, n = 32, 97
    population = np.arange(1, d + 1) ** -decay
    truth = {
        "shannon": pl.entropy(population, normalize=True),
        "collision": pl.entropy(population, "collision", normalize=True),
    }
    settings = {
        "expansion": {"kind": "shannon", "method": "expansion"},
        "simulation": {"kind": "shannon", "draws": 20},
        "moments": {"kind": "collision"},
    }
    for name, given_ in settings.items():
        runs = [Spectrum.covariance(data(n, d, seed, decay)).bias_corrected(**given_) for seed in range(25)]
        target = truth[given_["kind"]]
        error = np.mean([e.value for e in runs]) - target
        raw = np.mean([e.diagnostics["uncorrected"] for e in runs]) - target
        noise = np.std([e.value for e in runs]) / 5
        assert raw < -0.05
        assert abs(error) < 0.15 * abs(raw) + 2.5 * noise, name
        if decay:
            low, high = zip(*(e.interval() for e in runs))
            assert np.mean((np.array(low) < target) & (target < np.array(high))) >= 0.76


def test_unbiased_moments_with_fewer_rows_than_columns():
    d, n = 60, 25
    population = np.arange(1, d + 1) ** -0.5
    truth = pl.hill_number(population, 2, normalize=True) if hasattr(pl, "hill_number") else None
    truth = truth or population.sum() ** 2 / (population**2).sum()
    runs = [Spectrum.covariance(data(n, d, seed, 0.5)).bias_corrected("collision") for seed in range(200)]
    assert np.exp(np.mean([e.value for e in runs])) == pytest.approx(truth, rel=0.06)
    assert np.exp(np.mean([e.diagnostics["uncorrected"] for e in runs])) < 0.6 * truth


def test_bias_correction_is_reproducible_and_takes_any_kind():
    s = Spectrum.covariance(data(200, 10))
    first, again = (s.bias_corrected("tsallis", q=1.5, draws=10, rng=3) for _ in range(2))
    assert first.value == again.value
    assert first.unit == ""
    assert first.value > first.diagnostics["uncorrected"]


@pytest.mark.parametrize("shape", [(20, 4), (4, 20)])
def test_squares_that_overflow_are_named(shape):
    X = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(ValueError, match="overflow float64"), np.errstate(over="ignore", invalid="ignore"):
        Spectrum.covariance(X * 1e200)
    with pytest.raises(ValueError, match="overflow float32"):
        Spectrum.covariance(torch.tensor(X, dtype=torch.float32) * 1e30)
