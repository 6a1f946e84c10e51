"""Values where rounding, overflow or memory could eat them, against 60-digit arithmetic."""

import copy
import itertools
import math
import multiprocessing
import pickle
import tracemalloc
import warnings

import mpmath
import numpy as np
import pytest

import plogp as pl
from plogp.measures import entropies, from_generator, get_entropy, jensen_shannon

EXACT = {
    "kl": lambda p, q: p * mpmath.log(p / q) - p + q,
    "reverse_kl": lambda p, q: q * mpmath.log(q / p) - q + p,
    "js": lambda p, q: (p * mpmath.log(2 * p / (p + q)) + q * mpmath.log(2 * q / (p + q))) / 2,
}


@pytest.mark.parametrize("log_domain", [False, True], ids=["probabilities", "logarithms"])
@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("name", EXACT)
def test_nearly_equal_distributions_keep_their_digits(name, distance, log_domain):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(7))
    q = p * (1 + distance * rng.normal(size=7))
    q /= q.sum()
    d = pl.divergence(name)
    with mpmath.workdps(60):
        a, b = ([mpmath.exp(mpmath.mpf(x)) for x in np.log(v)] if log_domain else map(mpmath.mpf, v) for v in (p, q))
        exact = float(sum(EXACT[name](x, y) for x, y in zip(a, b)))
    value = float(d.from_log_probs(np.log(p), np.log(q)) if log_domain else d(p, q))
    assert value == pytest.approx(exact, rel=1e-9 if distance < 1e-5 else 1e-8, abs=0.0)


def test_nearly_equal_rows_beside_others_and_with_zeros():
    p = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    q = np.array([[0.5 - 1e-9, 0.5, 1e-9], [0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    for name in EXACT:
        d = pl.divergence(name)
        np.testing.assert_allclose(d(p, q, check=False), [d(x, y, check=False) for x, y in zip(p, q)], rtol=1e-14)
    assert float(pl.divergence("kl")(p[2], q[2])) == 0.0


@pytest.mark.parametrize("alpha", [1 - 1e-6, 1 + 1e-9, 1 - 1e-12, 1e-9])
def test_orders_near_the_limits(alpha):
    """The limits hold to first order in the distance; a naive power formula has errors of 1e-16 over it."""
    p, q = np.random.default_rng(0).dirichlet(np.ones(6), size=2)
    limit = pl.divergence("kl" if alpha > 0.5 else "reverse_kl")
    slack = 50 * min(abs(1 - alpha), alpha) + 1e-14
    assert float(pl.divergence("alpha", a=alpha)(p, q)) == pytest.approx(float(limit(p, q)), rel=slack)
    renyi = float(pl.divergence("renyi", alpha=alpha)(p, q))
    assert renyi == pytest.approx(float(limit(p, q)) * (1 if alpha > 0.5 else alpha), rel=slack)
    if alpha > 0.5:
        assert float(pl.entropy(p, "renyi", alpha=alpha)) == pytest.approx(float(pl.entropy(p)), rel=slack)
        assert float(pl.entropy(p, "sharma_mittal", q=alpha, r=alpha)) == pytest.approx(float(pl.entropy(p)), rel=slack)


def test_float32_mass_is_not_amplified_by_orders_near_one():
    p = np.random.default_rng(0).dirichlet(np.ones(1000), size=4).astype(np.float32)
    for alpha in (0.999, 1.001):
        assert (np.asarray(pl.divergence("renyi", alpha=alpha)(p, p)) == 0).all()


def test_bhattacharyya_of_near_equal_distributions_is_half_chi2_over_four():
    p = np.full(4, 0.25)
    q = p + 1e-9 * np.array([1.0, -1.0, 1.0, -1.0])
    assert float(pl.divergence("bhattacharyya")(p, q)) == pytest.approx(4 * 1e-18 / 0.25 / 8, rel=1e-6)


def test_mixed_precision_is_judged_by_the_precision_given():
    p = np.random.default_rng(0).dirichlet(np.ones(50))
    narrow = p.astype(np.float32)
    assert abs(float(narrow.astype(float).sum()) - 1) > 1e-9
    assert float(pl.divergence("kl")(narrow, p)) < 1e-12
    with pytest.raises(ValueError, match=r"a sum of 1 \+1e-07"):
        pl.divergence("kl")(p * (1 + 1e-7), p)


def test_long_rows_of_low_precision_pass_and_a_wrong_mass_does_not():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    logits = torch.randn(2, 250_000) * 3
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        p = torch.softmax(logits.to(dtype), -1)
        exact = pl.entropy(p.double(), normalize=True)
        torch.testing.assert_close(pl.entropy(p).double(), exact, rtol=1e-2, atol=1e-2)
    with pytest.raises(ValueError, match=r"1\.001"):
        pl.entropy([0.5, 0.501])


@pytest.mark.parametrize("name", ["kl", "renyi"])
def test_normalising_makes_no_copy(name):
    rng = np.random.default_rng(0)
    counts = rng.gamma(1.0, size=(8, 500_000)) if name == "kl" else rng.gamma(1.0, size=(20_000, 400))
    other = counts[::-1].copy()
    d = pl.divergence(name)
    expected = d(counts / counts.sum(-1, keepdims=True), other / other.sum(-1, keepdims=True))
    tracemalloc.start()
    value = d(counts, other, normalize=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(value, expected, rtol=1e-11)
    assert peak < counts.nbytes / 2


def test_all_pairs_by_broadcasting_make_no_copy():
    p = np.random.default_rng(0).dirichlet(np.ones(500), size=200)
    d = pl.divergence("js")
    d(p[:20, None], p[None, :20])
    tracemalloc.start()
    value = d(p[:, None], p[None])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * 200 * 500 * 8 / 4
    assert value[3, 7] == pytest.approx(float(d(p[3], p[7])), rel=1e-12)


def _entropy_in_a_child(_):
    return float(pl.entropy(np.random.default_rng(0).dirichlet(np.ones(500), size=2000)).sum())


def test_threads_after_a_fork():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    expected = _entropy_in_a_child(0)  # the parent's pool has threads, which the child does not inherit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.map_async(_entropy_in_a_child, [0]).get(timeout=60) == [expected]


# -- derivatives --------------------------------------------------------------------------------------------


def test_total_variation_has_the_same_subgradient_everywhere():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    tv, p, q = pl.divergence("tv"), [0.1, 0.4, 0.5], [0.2, 0.3, 0.5]
    x = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    tv(x, torch.tensor(q, dtype=torch.float64)).backward()
    found = jax.grad(lambda x: tv(x, jax.numpy.asarray(q)))(jax.numpy.asarray(p))
    assert x.grad.tolist() == list(map(float, found)) == [-0.5, 0.5, 0.0]
    a, b = torch.randn(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(tv.from_logits)(a, b), tv.from_logits(a, b))


@pytest.mark.parametrize(("name", "parameters"), [("chernoff", {}), ("renyi", {"alpha": 2.0}), ("bhattacharyya", {})])
def test_second_derivatives(name, parameters):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    d = pl.divergence(name, **parameters)
    a, b = (torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradgradcheck(lambda x, y: d.from_logits(x, y), (a, b), atol=1e-5)


def test_gradients_raise_no_warning():
    torch = pytest.importorskip("torch")
    p = torch.softmax(torch.randn(3, 4), -1).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jensen_shannon(p).backward()
        pl.divergence("js")(p, p.detach().flip(0)).sum().backward()


@pytest.mark.filterwarnings("ignore::UserWarning")  # the compiler's own, about caches of array-api-compat
@pytest.mark.parametrize("name", ["kl", "js", "renyi"])
def test_torch_compile_takes_the_whole_graph(name):
    torch = pytest.importorskip("torch")
    d, (a, b) = pl.divergence(name), torch.randn(2, 4, 9, dtype=torch.float64)
    compiled = torch.compile(lambda x, y: d.from_logits(x, y), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(a, b), d.from_logits(a, b))


@pytest.mark.parametrize("d", [pl.divergence(n) for n in pl.divergences("f")], ids=repr)
def test_generators_at_extreme_ratios(d):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each, t in itertools.product((d, d.reversed()), (0.0, 1e-300, 1e300, math.inf)):
            assert float(each.f(t)) >= 0
            assert not math.isnan(float(each.df(t)))
            assert t in (0.0, math.inf) or not math.isnan(float(each.d2f(t)))
        for r in (-800.0, 800.0):
            assert float(d.pointwise(r)) >= 0
            assert not math.isnan(float(d.grad_weight(r)))
    assert float(pl.divergence("hockey_stick", g=2.0).reversed().pointwise(800.0)) == 0.0


# -- a user's own generator ---------------------------------------------------------------------------------

OWN = [
    (lambda t: t * np.log(t), pl.divergence("kl")),
    (lambda t: 4.0 - np.sqrt(t) + 2 * t, pl.divergence("hellinger")),
    (lambda t: (t - 1) ** 2 / (2 * (t + 1)), pl.divergence("le_cam")),
    (lambda t: 0.5 * abs(t - 1), pl.divergence("tv")),
    (lambda t: np.maximum(t - 2.0, 0.0), pl.divergence("hockey_stick", g=2.0)),
    (lambda t: -np.log(0.3 + 0.7 * t), pl.divergence("skew_reverse_kl", a=0.3)),
    (lambda t: t**1.001 / (1.001 * 0.001), pl.divergence("alpha", a=1.001)),
    (lambda t: -(t**0.999) / (0.999 * 0.001), pl.divergence("alpha", a=0.999)),
    (lambda t: 1e8 * (t - 1) ** 2, 1e8 * pl.divergence("chi2")),
]


@pytest.mark.filterwarnings("ignore:.*central differences")
@pytest.mark.parametrize(("f", "d"), OWN, ids=[repr(d) for _, d in OWN])
def test_limits_of_a_function_are_found(f, d):
    own = from_generator(f)
    for what in ("f0", "finf", "df0", "df0_swapped", "curvature"):
        assert getattr(own, what) == pytest.approx(getattr(d, what), rel=1e-3, abs=1e-8), what
    tiny = 1e-200 if math.isfinite(d.finf) else 1e-100  # (t - 1)² itself overflows beyond
    p, q = np.array([0.5, 0.5, 0.0]), np.array([tiny, 0.4, 0.6])
    assert float(own(p, q, check=False)) == pytest.approx(float(d(p, q, check=False)), rel=1e-6)


def test_slow_growth_is_growth():
    own = from_generator(lambda t: t * np.log(1 + np.log(1 + t)), df=lambda t: 0 * t, d2f=lambda t: 0 * t)
    assert own.finf == math.inf


def test_own_functions_survive_pickling():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = from_generator(np.square)
    again = pickle.loads(pickle.dumps(own))
    assert again == own
    assert hash(again) == hash(own)
    assert float(again([0.5, 0.5], [0.9, 0.1])) == float(own([0.5, 0.5], [0.9, 0.1]))
    assert own != from_generator(np.square, np.sign, np.sign)


@pytest.mark.parametrize("name", [n for n in pl.divergences() if n != "bregman"])
def test_named_divergences_survive_pickling_and_their_repr(name):
    d = pl.divergence(name)
    for again in (pickle.loads(pickle.dumps(d)), copy.deepcopy(d), eval(repr(d), {"divergence": pl.divergence})):
        assert again == d
        assert hash(again) == hash(d)


@pytest.mark.parametrize("name", entropies())
def test_named_entropies_survive_pickling_and_their_repr(name):
    h, names = get_entropy(name), {"get_entropy": get_entropy, "divergence": pl.divergence}
    for again in (pickle.loads(pickle.dumps(h)), copy.deepcopy(h), eval(repr(h), names)):
        assert again == h
        assert hash(again) == hash(h)


def test_mixture_refuses_an_empty_row():
    with pytest.raises(ValueError, match="cannot be normalised"):
        jensen_shannon([[0.0, 0.0], [1.0, 1.0]], normalize=True)


def test_quantum_sizes_must_agree():
    with pytest.raises(ValueError, match="same size"):
        pl.divergence("umegaki")(np.eye(3) / 3, np.eye(2) / 2)


@pytest.mark.parametrize("df", [3.0, 99_999.0, 100_001.0, 1e9, 1e14])
def test_student_entropy_with_many_degrees_of_freedom(df):
    with mpmath.workdps(60):
        v = mpmath.mpf(df)
        bend = mpmath.digamma((v + 1) / 2) - mpmath.digamma(v / 2)
        exact = float((v + 1) / 2 * bend + mpmath.log(v) / 2 + mpmath.log(mpmath.beta(v / 2, 0.5)))
    assert float(pl.differential_entropy("student_t", df=df)) == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize(("dim", "concentration"), [(3, 1e-3), (100, 1.0), (300, 40.0), (1000, 1.0), (1000, 1e5)])
def test_von_mises_fisher_in_many_dimensions(dim, concentration):
    with mpmath.workdps(60):
        v, k = mpmath.mpf(dim) / 2 - 1, mpmath.mpf(concentration)
        bessel = mpmath.besseli(v, k)
        log_constant = v * mpmath.log(k) - mpmath.mpf(dim) / 2 * mpmath.log(2 * mpmath.pi) - mpmath.log(bessel)
        exact = float(-log_constant - k * mpmath.besseli(v + 1, k) / bessel)
    value = float(pl.differential_entropy("von_mises_fisher", dim=dim, concentration=concentration))
    assert value == pytest.approx(exact, rel=1e-9)
