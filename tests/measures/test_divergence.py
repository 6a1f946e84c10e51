"""Every divergence against brute force, integration, other libraries, and the identities it must obey."""

import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special
from scipy.spatial.distance import jensenshannon

import plogp as pl
from plogp.testing import check_divergence

ON_VECTORS = [n for n in pl.divergences() if n not in ("bregman", "umegaki", "sandwiched_renyi")]
FAMILY = [
    *[pl.divergence(n) for n in ON_VECTORS],
    pl.divergence("gjs", pi=0.2),
    pl.divergence("skew_kl", a=0.6),
    pl.divergence("skew_reverse_kl", a=0.01),
    pl.divergence("alpha", a=3.0),
    pl.divergence("alpha", a=-1.5),
    pl.divergence("alpha", a=1.3),
    pl.divergence("hockey_stick", g=2.5),
    pl.divergence("hockey_stick", g=2.0).reversed(),
    pl.divergence("renyi", alpha=2.0),
    pl.divergence("renyi", alpha=0.0),
    pl.divergence("tsallis", alpha=0.5),
    0.7 * pl.divergence("kl") + 0.3 * pl.divergence("reverse_kl"),
    2.0 * pl.divergence("js") + pl.divergence("tv"),
]
SKIP = {
    divergence: {"non_negative": "mass above g times the other is needed", "symmetry": "both may be zero"}
    for divergence in (pl.divergence("hockey_stick", g=2.5), pl.divergence("hockey_stick", g=2.0).reversed())
} | {pl.divergence("renyi", alpha=0.0): {"non_negative": "0 for equal supports", "symmetry": "0 for equal supports"}}


@pytest.mark.parametrize("d", FAMILY, ids=repr)
def test_suite(d):
    check_divergence(d, libraries=["numpy", "jax", "array_api_strict", *_torch()], skip=SKIP.get(d))


def _torch():
    return ["torch"] if importlib.util.find_spec("torch") else []


DEFINITIONS = {  # straight from the formula of each name, on strictly positive p and q
    "kl": lambda p, q: np.sum(p * np.log(p / q)),
    "reverse_kl": lambda p, q: np.sum(q * np.log(q / p)),
    "jeffreys": lambda p, q: np.sum((p - q) * np.log(p / q)),
    "js": lambda p, q: 0.5 * special.rel_entr(p, (p + q) / 2).sum() + 0.5 * special.rel_entr(q, (p + q) / 2).sum(),
    "tv": lambda p, q: 0.5 * np.abs(p - q).sum(),
    "chi2": lambda p, q: np.sum((p - q) ** 2 / q),
    "neyman": lambda p, q: np.sum((p - q) ** 2 / p),
    "hellinger": lambda p, q: 1 - np.sum(np.sqrt(p * q)),
    "le_cam": lambda p, q: 0.5 * np.sum((p - q) ** 2 / (p + q)),
    "arithmetic_geometric": lambda p, q: np.sum((p + q) / 2 * np.log((p + q) / 2 / np.sqrt(p * q))),
    "bhattacharyya": lambda p, q: -np.log(np.sum(np.sqrt(p * q))),
    "fisher_rao": lambda p, q: 2 * np.arccos(np.sum(np.sqrt(p * q))),
    "hilbert": lambda p, q: np.log(np.max(p / q)) + np.log(np.max(q / p)),
    "max_divergence": lambda p, q: np.log(np.max(p / q)),
    "js_distance": lambda p, q: jensenshannon(p, q),
    "hellinger_distance": lambda p, q: np.sqrt(0.5 * np.sum((np.sqrt(p) - np.sqrt(q)) ** 2)),
    "cauchy_schwarz": lambda p, q: -np.log(np.sum(p * q) ** 2 / (np.sum(p * p) * np.sum(q * q))),
    "squared_euclidean": lambda p, q: np.sum((p - q) ** 2),
    "itakura_saito": lambda p, q: np.sum(p / q - np.log(p / q) - 1),
    "generalized_kl": lambda p, q: np.sum(p * np.log(p / q) - p + q),
}
WITH_PARAMETERS = [
    ("gjs", {"pi": 0.3}, lambda p, q: _gjs(p, q, 0.3)),
    ("skew_kl", {"a": 0.3}, lambda p, q: np.sum(p * np.log(p / (0.3 * p + 0.7 * q)))),
    ("skew_reverse_kl", {"a": 0.3}, lambda p, q: np.sum(q * np.log(q / (0.3 * q + 0.7 * p)))),
    ("alpha", {"a": 2.5}, lambda p, q: (np.sum(p**2.5 * q**-1.5) - 1) / (2.5 * 1.5)),
    ("hockey_stick", {"g": 1.5}, lambda p, q: np.maximum(p - 1.5 * q, 0).sum()),
    ("tsallis", {"alpha": 1.7}, lambda p, q: (np.sum(p**1.7 * q**-0.7) - 1) / 0.7),
    ("renyi", {"alpha": 0.3}, lambda p, q: np.log(np.sum(p**0.3 * q**0.7)) / (0.3 - 1)),
    ("renyi", {"alpha": 4.0}, lambda p, q: np.log(np.sum(p**4.0 * q**-3.0)) / 3),
]


def _gjs(p, q, w):
    m = w * p + (1 - w) * q
    return w * np.sum(p * np.log(p / m)) + (1 - w) * np.sum(q * np.log(q / m))


@pytest.mark.parametrize(
    ("name", "parameters", "definition"),
    [(n, {}, f) for n, f in DEFINITIONS.items()] + WITH_PARAMETERS,
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_definition(name, parameters, definition):
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(9), size=2)
    assert float(pl.divergence(name, **parameters)(p, q)) == pytest.approx(definition(p, q), rel=1e-10)


def test_every_name_has_a_definition_here():
    covered = {*DEFINITIONS, *(name for name, _, _ in WITH_PARAMETERS)}
    assert {*pl.divergences()} - covered == {"bregman", "umegaki", "sandwiched_renyi", "chernoff"}


def test_chernoff_against_a_fine_grid():
    p, q = np.random.default_rng(3).dirichlet(np.ones(5), size=2)
    s = np.linspace(1e-4, 1 - 1e-4, 20001)[:, None]
    grid = np.max(-np.log(np.sum(p**s * q ** (1 - s), axis=1)))
    assert float(pl.divergence("chernoff")(p, q)) == pytest.approx(grid, rel=1e-7)


@pytest.mark.parametrize("name", pl.divergences("f"))
def test_normals_by_integration_of_the_generator(name):
    """D_f between two normals, by quadrature of q f(p/q), against the sum over a fine partition."""
    d = pl.divergence(name)

    def density(x, mean, sd):
        return np.exp(-((x - mean) ** 2) / (2 * sd * sd)) / (sd * math.sqrt(2 * math.pi))

    def integrand(x):
        p, q = density(x, 0.4, 0.9), density(x, 0.0, 1.0)
        return q * float(d.f(p / q))

    exact, _ = integrate.quad(integrand, -9, 9, points=[-1, 0, 0.4, 1], limit=200)
    edges = np.linspace(-9, 9, 40001)
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    masses = [density(middle, m, s) * width for m, s in ((0.4, 0.9), (0.0, 1.0))]
    assert float(d(*masses, normalize=True)) == pytest.approx(exact, rel=1e-4)


def test_kl_of_normals_closed_form():
    d, edges = pl.divergence("kl"), np.linspace(-7, 7, 200001)
    cdf = [special.ndtr((edges - m) / s) for m, s in ((0.4, 0.9), (0.0, 1.0))]
    masses = [np.diff(c) for c in cdf]
    exact = math.log(1 / 0.9) + (0.81 + 0.16) / 2 - 0.5
    assert float(d(*masses, normalize=True)) == pytest.approx(exact, rel=1e-6)


# -- identities ---------------------------------------------------------------------------------------------

weights = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6)


@st.composite
def pairs(draw):
    size = draw(st.integers(2, 6))
    vector = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1.0)), min_size=size, max_size=size)
    p, q = (np.array(draw(vector.filter(lambda v: sum(v) > 1e-6))) for _ in range(2))
    return p / p.sum(), q / q.sum()


@pytest.mark.parametrize("name", pl.divergences("f"))
@settings(max_examples=40, deadline=None)
@given(pair=pairs())
def test_non_negative_bounded_and_monotone(name, pair):
    d, (p, q) = pl.divergence(name), pair
    value = float(d(p, q))
    assert value >= 0
    assert not math.isnan(value)
    assert value <= d.upper_bound * (1 + 1e-9) + 1e-12
    assert float(d(p, p)) == pytest.approx(0, abs=1e-12)
    channel = np.array([[0.7, 0.3], [0.2, 0.8]])[np.arange(len(p)) % 2]
    assert float(d(p @ channel, q @ channel)) <= value + 1e-9


@settings(max_examples=60, deadline=None)
@given(pair=pairs(), other=pairs())
def test_chain_rule_of_kl_over_products(pair, other):
    kl, (p, q), (r, s) = pl.divergence("kl"), pair, other
    joint = float(kl(np.outer(p, r).ravel(), np.outer(q, s).ravel()))
    parts = float(kl(p, q)) + float(kl(r, s))
    assert joint == pytest.approx(parts, rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(first=pairs(), third=pairs())
@pytest.mark.parametrize("name", ["js_distance", "hellinger_distance", "fisher_rao", "tv"])
def test_triangle_inequality_of_the_metrics(name, first, third):
    d, (p, q), (r, _) = pl.divergence(name), first, third
    size = max(len(p), len(r))
    p, q, r = (np.pad(v, (0, size - len(v))) for v in (p, q, r))
    assert float(d(p, q)) <= float(d(p, r)) + float(d(r, q)) + 1e-9


def test_families_meet():
    p, q = np.random.default_rng(0).dirichlet(np.ones(5), size=2)
    d = pl.divergence
    assert d("alpha", a=1) == d("kl")
    assert d("alpha", a=0) == d("reverse_kl")
    for left, right in [
        (d("alpha", a=0.5), 4.0 * d("hellinger")),
        (d("alpha", a=2.0), 0.5 * d("chi2")),
        (d("alpha", a=-1.0), 0.5 * d("neyman")),
        (d("gjs", pi=0.5), d("js")),
        (d("kl") + d("reverse_kl"), d("jeffreys")),
        (d("hockey_stick", g=1.0), d("tv")),
        (d("skew_kl", a=0.5) + d("skew_reverse_kl", a=0.5), 2.0 * d("js")),
        (d("alpha", a=1 + 1e-7), d("kl")),
        (d("tsallis", alpha=1), d("kl")),
    ]:
        assert float(left(p, q)) == pytest.approx(float(right(p, q)), rel=1e-6), (left, right)
    assert float(d("renyi", alpha=1 + 1e-7)(p, q)) == pytest.approx(float(d("kl")(p, q)), rel=1e-5)
    assert float(d("renyi", alpha=200.0)(p, q)) == pytest.approx(float(d("max_divergence")(p, q)), rel=2e-2)


def test_direction_is_pinned_on_an_asymmetric_pair():
    p, q = [0.5, 0.5], [0.9, 0.1]
    assert float(pl.divergence("kl")(p, q)) == pytest.approx(0.5108256, abs=1e-7)  # KL(P‖Q), P first
    assert float(pl.divergence("reverse_kl")(p, q)) == pytest.approx(0.3680642, abs=1e-7)
    assert float(pl.divergence("kl")(p, [1.0, 0.0])) == math.inf
    assert float(pl.divergence("reverse_kl")(p, [1.0, 0.0])) == pytest.approx(math.log(2))


def test_sums_flatten_and_collect():
    kl, js = pl.divergence("kl"), pl.divergence("js")
    mixed = kl + js + kl
    assert mixed.summands == [(2.0, kl), (1.0, js)]
    assert sum([kl, js]) == kl + js
    assert mixed.reversed().summands == [(2.0, pl.divergence("reverse_kl")), (1.0, js)]
    with pytest.raises(ValueError, match="positive"):
        -1.0 * kl
    with pytest.raises(TypeError):
        kl + pl.divergence("renyi", alpha=2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pl.divergence("kullbak"), "did you mean"),
        (lambda: pl.divergence("kl", a=1), "takes no parameters"),
        (lambda: pl.divergence("gjs", pi=1.0), "pi must lie strictly between"),
        (lambda: pl.divergence("hockey_stick", g=0.5), "at least 1"),
        (lambda: pl.divergence("renyi", alpha=-1), "alpha must be"),
        (lambda: pl.divergence(3), "string or a divergence"),
        (lambda: pl.divergences("g"), "kind must be"),
        (lambda: pl.divergence("kl")([0.5, 0.5], [0.5, 0.5], base=1), "base must be"),
        (lambda: pl.divergence("kl")([0.0, 0.0], [0.5, 0.5], normalize=True), "cannot be normalised"),
        (lambda: pl.divergence("kl").from_log_probs([-1.0, -1.0], [-1.0, -1.0]), "has mass"),
        (lambda: pl.divergence("kl").f(-1.0), "ratio of probabilities"),
    ],
)
def test_refusals(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def test_libraries_do_not_mix_but_lists_join():
    torch = pytest.importorskip("torch")
    kl = pl.divergence("kl")
    with pytest.raises(TypeError, match="one array library"):
        kl(np.array([0.5, 0.5]), torch.tensor([0.5, 0.5]))
    value = kl(torch.tensor([0.5, 0.5]), [0.9, 0.1])
    assert isinstance(value, torch.Tensor)
    assert value.dtype == torch.float32


def test_second_order_and_functorch():
    torch = pytest.importorskip("torch")
    a, b = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    js = pl.divergence("js")
    assert torch.autograd.gradgradcheck(lambda x, y: js.from_logits(x, y, check=False), (a, b), atol=1e-4)
    mapped = torch.func.vmap(js.from_logits)(a, b)
    torch.testing.assert_close(mapped, js.from_logits(a, b))


def test_half_precision_is_computed_in_float32():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    a = (torch.randn(8, 20_000) * 2).bfloat16()
    b = (a.float() + 0.02 * torch.randn(8, 20_000)).bfloat16()
    kl = pl.divergence("kl")
    exact = kl.from_logits(a.double(), b.double())
    torch.testing.assert_close(kl.from_logits(a, b).double(), exact, rtol=1e-2, atol=1e-6)
