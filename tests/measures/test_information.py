"""Mutual information and its kin: closed forms, SciPy, dit and scikit-learn, four array libraries, bad input."""

import array_api_strict
import dit
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from plogp.measures import association as assoc
from plogp.measures import information as info
from plogp.measures.registry import divergence

LIBRARIES = {
    "numpy": np.asarray,
    "torch": torch.as_tensor,
    "jax": jnp.asarray,
    "strict": array_api_strict.asarray,
}
FUNCTIONALS = [
    info.mutual_information,
    info.conditional_entropy,
    info.lautum_information,
    assoc.variation_of_information,
    assoc.rajski_distance,
    assoc.normalized_mutual_information,
    assoc.information_gain,
]


def table(seed: int, *shape: int, zeros: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(int(np.prod(shape)))).reshape(shape)
    p = np.where(rng.random(shape) < zeros, 0.0, p) + 1e-12 * (zeros == 0)
    return p / p.sum()


def entropy(p: np.ndarray) -> float:
    return float(special.entr(p).sum())


def mutual(p: np.ndarray) -> float:
    return float(special.rel_entr(p, np.outer(p.sum(1), p.sum(0))).sum())


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("flip", [0.0, 0.01, 0.3, 0.5])
def test_binary_symmetric_pair_has_the_textbook_information(flip):
    joint = [[(1 - flip) / 2, flip / 2], [flip / 2, (1 - flip) / 2]]
    h = entropy(np.array([flip, 1 - flip]))
    assert info.mutual_information(joint) == pytest.approx(np.log(2) - h, abs=1e-15)
    assert info.conditional_entropy(joint) == pytest.approx(h, abs=1e-15)
    assert assoc.variation_of_information(joint) == pytest.approx(2 * h, abs=1e-15)


@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_against_brute_force_entropies(seed, zeros):
    p = table(seed, 4, 6, zeros=zeros)
    hx, hy, hxy = entropy(p.sum(1)), entropy(p.sum(0)), entropy(p)
    assert info.mutual_information(p) == pytest.approx(mutual(p), abs=1e-14)
    assert info.mutual_information(p, base=2) == pytest.approx(mutual(p) / np.log(2), abs=1e-14)
    assert info.conditional_entropy(p) == pytest.approx(hxy - hy, abs=1e-14)
    assert info.conditional_entropy(p, -1, -2) == pytest.approx(hxy - hx, abs=1e-14)
    assert assoc.variation_of_information(p) == pytest.approx(2 * hxy - hx - hy, abs=1e-14)
    assert assoc.rajski_distance(p) == pytest.approx(1 - mutual(p) / hxy, abs=1e-14)
    assert assoc.information_gain(p) == pytest.approx(hy - (hxy - hx), abs=1e-14)
    assert assoc.information_gain(p, ratio=True) == pytest.approx(mutual(p) / hx, abs=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_conditional_mutual_information_against_entropies_and_dit(seed):
    p = table(seed, 2, 3, 4, zeros=0.3)
    expected = entropy(p.sum(1)) + entropy(p.sum(0)) - entropy(p.sum((0, 1))) - entropy(p)
    assert info.conditional_mutual_information(p) == pytest.approx(expected, abs=1e-14)
    outcomes = list(np.ndindex(p.shape))
    d = dit.Distribution(outcomes, [p[o] for o in outcomes])
    theirs = dit.multivariate.coinformation(d, [[0], [1]], [2])
    assert info.conditional_mutual_information(p, base=2) == pytest.approx(theirs, abs=1e-9)


def test_conditional_information_of_any_f_divergence_is_the_mean_over_states():
    p = table(3, 3, 4, 5)
    for name in ("kl", "tv", "hellinger", "chi2", "js", "le_cam"):
        mean = sum(
            p[..., z].sum() * info.mutual_information(p[..., z] / p[..., z].sum(), divergence=name) for z in range(5)
        )
        assert info.conditional_mutual_information(p, divergence=name) == pytest.approx(mean, abs=1e-13)


OTHERS = [("alpha", {"a": 0.3}), ("hockey_stick", {"g": 2.0}), ("renyi", {"alpha": 2.0}), ("renyi", {"alpha": 0.5})]
NAMED = "kl reverse_kl jeffreys js tv chi2 neyman hellinger le_cam bhattacharyya fisher_rao max_divergence"


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in NAMED.split()), *OTHERS])
def test_information_is_the_divergence_from_the_product(name, options):
    p, d = table(1, 3, 4), divergence(name, **options)
    product = np.outer(p.sum(1), p.sum(0))
    direct = d(p.ravel(), product.ravel())
    assert info.mutual_information(p, divergence=d) == pytest.approx(float(direct), rel=1e-10)


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_independence_gives_zero_and_never_a_negative_number(seed, n, m):
    rng = np.random.default_rng(seed)
    joint = np.outer(rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)))
    for value in (
        info.mutual_information(joint, normalize=True),
        info.conditional_mutual_information(joint[..., None], normalize=True),
    ):
        assert 0 <= value < 1e-28


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_data_processing_and_symmetry(seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(12)).reshape(3, 4)
    q = p @ rng.dirichlet(np.ones(3), 4)
    assert info.mutual_information(q) <= info.mutual_information(p) + 1e-14
    assert info.mutual_information(p) == pytest.approx(info.mutual_information(p.T), abs=1e-14)


def test_weak_dependence_keeps_its_digits():
    # I = chi2/2 to leading order; the textbook sum H(X) + H(Y) - H(X,Y) sees nothing of 8e-18.
    e = 1e-9
    joint = np.array([[0.25 + e, 0.25 - e], [0.25 - e, 0.25 + e]])
    assert info.mutual_information(joint) == pytest.approx(8 * e**2, rel=1e-6)


def test_products_of_small_masses_do_not_underflow():
    small = np.float32(1e-25)  # its square is 0 in float32
    joint = np.array([[1 - small, 0], [0, small]], dtype=np.float32)
    assert info.mutual_information(joint) == pytest.approx(1e-25 * (np.log(1e25) + 1), rel=1e-2)
    assert np.isfinite(info.mutual_information(joint, divergence=divergence("renyi", alpha=0.5)))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("function", FUNCTIONALS, ids=lambda f: f.__name__)
def test_every_library_gives_the_same_numbers(library, function):
    p = np.stack([table(i, 3, 4, zeros=0.25 * (i > 0) * (function is not info.lautum_information)) for i in range(3)])
    expected = function(p)
    got = function(LIBRARIES[library](p))
    assert type(got) is type(LIBRARIES[library](p)) or library == "numpy"
    assert np.allclose(np.asarray(got), expected, rtol=1e-13, atol=1e-15)
    loop = [float(function(row)) for row in p]
    assert np.allclose(expected, loop, rtol=1e-13)


@pytest.mark.parametrize("library", LIBRARIES)
def test_dtype_is_kept(library):
    p = LIBRARIES[library](table(0, 3, 4).astype(np.float32))
    for function in (*FUNCTIONALS, info.pointwise_mutual_information):
        assert function(p).dtype == p.dtype
    if library == "torch":
        half = torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.bfloat16)
        value = info.mutual_information(half)
        assert value.dtype == torch.bfloat16
        assert float(value) == pytest.approx(np.log(2), rel=4e-3)


def test_gradients_agree_with_finite_differences_and_between_libraries():
    p = table(4, 3, 4)
    raw = torch.tensor(p, requires_grad=True)
    for function in FUNCTIONALS:
        assert torch.autograd.gradcheck(lambda t, f=function: f(t, normalize=True), (raw,), atol=1e-6)
        ours = torch.autograd.grad(function(raw, normalize=True), raw)[0].numpy()
        theirs = jax.grad(lambda t, f=function: f(t, normalize=True))(jnp.asarray(p))
        assert np.allclose(ours, theirs, atol=1e-12)
    for function in (info.mutual_information, assoc.normalized_mutual_information):
        assert float(jax.jit(function)(jnp.asarray(p))) == pytest.approx(float(function(p)), rel=1e-12)


def test_gradients_at_zeros_are_finite_where_the_true_ones_are():
    # Cells of an impossible row and column have no effect on H(X|Y); no NaN may come from them.
    p = torch.tensor([[0.5, 0.2, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    for function in FUNCTIONALS:
        if function is info.lautum_information:
            continue
        (gradient,) = torch.autograd.grad(function(p), p)
        assert torch.isfinite(gradient).all(), function.__name__
    joint = jnp.asarray(p.detach().numpy())
    assert bool(jnp.isfinite(jax.grad(info.conditional_entropy)(joint)).all())


def test_axes_name_variables_and_the_rest_is_batch():
    p = table(5, 2, 3, 4)
    batch = np.stack([p, p[::-1]])  # a batch axis in front
    expected = info.mutual_information(p.reshape(2, 12))
    assert info.mutual_information(p, axes=(0, (1, 2))) == pytest.approx(expected, abs=1e-15)
    assert info.mutual_information(batch, axes=(1, (2, 3))) == pytest.approx([expected] * 2, abs=1e-14)
    moved = np.moveaxis(batch, 0, 2)
    assert info.mutual_information(moved, axes=(0, (1, 3))) == pytest.approx([expected] * 2, abs=1e-14)
    assert info.conditional_entropy(p, axis=0, given=(1, 2)) == pytest.approx(entropy(p) - entropy(p.sum(0)), abs=1e-14)


def test_pointwise_information_averages_to_the_mutual_one():
    p = table(6, 4, 5, zeros=0.3)
    pmi = info.pointwise_mutual_information(p)
    assert np.sum(np.where(p > 0, p * np.where(p > 0, pmi, 0), 0)) == pytest.approx(mutual(p), abs=1e-14)
    assert (pmi[(p == 0) & (p.sum(1)[:, None] > 0) & (p.sum(0) > 0)] == -np.inf).all()
    normalized = info.pointwise_mutual_information([[0.3, 0.0, 0.0], [0.0, 0.7, 0.0]], normalized=True)
    assert np.allclose(normalized, [[1, -1, 0], [-1, 1, 0]])
    assert np.isfinite(info.pointwise_mutual_information(p, normalized=True)).all()
    transposed = info.pointwise_mutual_information(p.T, axes=(1, 0))
    assert np.allclose(np.where(p > 0, pmi, 0), np.where(p > 0, transposed.T, 0))


def test_lautum_information():
    p = table(7, 3, 3)
    product = np.outer(p.sum(1), p.sum(0))
    assert info.lautum_information(p) == pytest.approx(special.rel_entr(product, p).sum(), abs=1e-14)
    assert info.lautum_information([[0.5, 0.0], [0.0, 0.5]]) == np.inf


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        ([[0.5, 0.4], [0.0, 0.0]], "must sum to 1"),
        ([[0.5, -0.1], [0.3, 0.3]], "negative"),
        ([[0.5, float("nan")], [0.3, 0.2]], "NaN"),
        ([[3, 1], [1, 3]], "must sum to 1"),
        (np.empty((0, 2)), "empty"),
    ],
)
def test_bad_tables_are_refused(joint, message):
    for function in FUNCTIONALS:
        with pytest.raises(ValueError, match=message):
            function(joint)


def test_bad_arguments_are_refused():
    p = table(0, 3, 4)
    with pytest.raises(ValueError, match="out of range"):
        info.mutual_information([0.5, 0.5])
    with pytest.raises(ValueError, match="twice"):
        info.mutual_information(p, axes=(0, -2))
    with pytest.raises(ValueError, match="two variables"):
        info.mutual_information(p, axes=(0,))
    with pytest.raises(ValueError, match="X, Y and Z"):
        info.conditional_mutual_information(p, axes=(0, 1))
    with pytest.raises(ValueError, match="base"):
        info.mutual_information(p, base=1)
    with pytest.raises(ValueError, match="dimensionless"):
        info.mutual_information(p, divergence="tv", base=2)
    with pytest.raises(ValueError, match="dimensionless"):
        info.pointwise_mutual_information(p, base=2, normalized=True)
    with pytest.raises(ValueError, match="cannot be normalised"):
        info.mutual_information(np.zeros((2, 2)), normalize=True)
    with pytest.raises(TypeError, match="real numbers"):
        info.mutual_information([["a", "b"]])
