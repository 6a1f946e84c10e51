import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import plogp as pl
from plogp.spectra import VendiScore, vendi_score
from plogp.spectra.similarity import similarity_matrix
from plogp.spectra.vendi import vendi_interval, vendi_spectrum

torch = pytest.importorskip("torch")


def data(n=40, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (9, 9)])
@pytest.mark.parametrize("order", [0, 0.5, 1, 2, 7.5, math.inf])
def test_against_the_definition(shape, order):
    X = data(*shape)
    Z = X / np.linalg.norm(X, axis=1, keepdims=True)
    p = np.linalg.eigvalsh(Z @ Z.T / len(Z))
    p = p[p > 1e-13]
    if order == 1:
        expected = math.exp(-(p * np.log(p)).sum())
    elif order == math.inf:
        expected = 1 / p.max()
    else:
        expected = (p**order).sum() ** (1 / (1 - order))
    assert vendi_score(X, order=order) == pytest.approx(expected, rel=1e-9)
    assert vendi_score(Z @ Z.T, "precomputed", order) == pytest.approx(expected, rel=1e-8)


def test_against_the_package():
    vendi = pytest.importorskip("vendi_score.vendi")
    X = data(80, 12)
    assert vendi_score(X) == pytest.approx(vendi.score_X(X), rel=1e-10)
    for q in (0.5, 1, 2):
        assert vendi_score(X, order=q) == pytest.approx(vendi.score_dual(X, q=q), rel=1e-10)
    w = np.random.default_rng(0).dirichlet(np.ones(80))
    assert vendi_score(X, weights=w) == pytest.approx(vendi.score_X(X, p=w), rel=1e-10)
    K = X @ X.T + 0.1 * np.eye(80)
    assert vendi_score(K, "precomputed") == pytest.approx(vendi.score_K(K, normalize=True), rel=1e-10)
    names = ["ab", "abc", "xyz", "x", "bcd"]

    def jaccard(a, b):
        return len(set(a) & set(b)) / len(set(a) | set(b))

    assert vendi_score(names, jaccard) == pytest.approx(vendi.score(names, jaccard), rel=1e-10)


@given(st.integers(1, 8), st.integers(1, 5), st.sampled_from([0.3, 1.0, 2.0, math.inf]))
@settings(max_examples=25, deadline=None)
def test_equally_frequent_groups_count_themselves(groups, size, order):
    X = np.repeat(np.eye(8)[:groups], size, axis=0)
    for kernel in ("cosine", "linear"):
        assert vendi_score(X, kernel, order) == pytest.approx(groups, rel=1e-10)
    assert vendi_score(100 * X, "rbf", order, bandwidth=1.0) == pytest.approx(groups, rel=1e-9)
    assert vendi_score([x.argmax() for x in X], lambda a, b: a == b, order) == pytest.approx(groups, rel=1e-10)


def test_weights_are_duplication_and_order_is_no_matter():
    X, counts = data(7), np.array([1, 2, 3, 1, 1, 4, 2])
    for kernel in ("cosine", "rbf", "precomputed"):
        x = np.exp(-np.abs(X[:, None] - X).sum(-1)) if kernel == "precomputed" else X
        index = np.repeat(np.arange(7), counts)
        repeated = x[np.ix_(index, index)] if kernel == "precomputed" else x[index]
        options = {"bandwidth": 1.0} if kernel == "rbf" else {}
        weighted = vendi_score(x, kernel, weights=counts / 14, **options)
        assert vendi_score(repeated, kernel, **options) == pytest.approx(weighted, rel=1e-10)
        turned = x[::-1, ::-1] if kernel == "precomputed" else x[::-1]
        assert vendi_score(turned, kernel, **options) == pytest.approx(vendi_score(x, kernel, **options), rel=1e-10)


@given(st.integers(2, 30), st.integers(1, 10), st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_bounds_and_monotone_in_order(n, d, seed):
    X = data(n, d, seed)
    scores = [vendi_score(X, order=q) for q in (0, 0.5, 1, 2, 10, math.inf)]
    assert all(a >= b * (1 - 1e-9) for a, b in itertools.pairwise(scores))
    assert scores[-1] >= 1 - 1e-9
    assert scores[0] <= min(n, d) + 1e-9


def test_partitioned_kernels_multiply_entropies():
    """Of two dissimilar parts with shares w: exp(H(w) + Σ w log VS)."""
    a, b = data(6), data(10, seed=1)
    both = np.block([[a, np.zeros((6, 6))], [np.zeros((10, 6)), b]])
    w = np.array([6, 10]) / 16
    expected = math.exp(pl.entropy(w) + w @ np.log([vendi_score(a), vendi_score(b)]))
    assert vendi_score(both) == pytest.approx(expected, rel=1e-10)


def test_normalisation():
    X = data() * np.random.default_rng(0).uniform(0.1, 9, size=(40, 1))
    assert vendi_score(X, "linear") == pytest.approx(vendi_score(X), rel=1e-10)
    raw = vendi_score(X, "linear", normalize=False)
    assert raw == pytest.approx(vendi_score(X @ X.T, "precomputed", normalize=False), rel=1e-9)
    assert raw != pytest.approx(vendi_score(X), rel=1e-3)


def test_sparse_rows():
    X = np.where(np.random.default_rng(0).random((20, 50)) < 0.2, 1.0, 0.0)
    X[:, 0] = 1
    for kernel in ("cosine", "linear"):
        assert vendi_score(sparse.csr_matrix(X), kernel) == pytest.approx(vendi_score(X, kernel), rel=1e-9)
    with pytest.raises(ValueError, match="sparse"):
        vendi_score(sparse.csr_matrix(X), "rbf")
    with pytest.raises(ValueError, match="row 1 is zero"):
        vendi_score(sparse.csr_matrix(np.diag([1.0, 0.0])))


@pytest.mark.parametrize("kernel", ["cosine", "linear", "rbf", "precomputed"])
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, math.inf])
def test_gradients(kernel, order):
    X = torch.tensor(data(7, 3), requires_grad=True)

    def score(x):
        return vendi_score(x @ x.mT + torch.eye(7) if kernel == "precomputed" else x, kernel, order, bandwidth=1.2)

    assert torch.autograd.gradcheck(score, (X,), atol=1e-6)


def test_tensors_of_any_precision():
    X = data()
    value = vendi_score(X)
    assert isinstance(value, float)
    assert float(vendi_score(torch.tensor(X))) == pytest.approx(value)
    assert float(vendi_score(torch.tensor(X).float())) == pytest.approx(value, rel=1e-4)
    half = vendi_score(torch.tensor(X).bfloat16())
    assert half.dtype == torch.float32
    assert float(half) == pytest.approx(value, rel=2e-2)
    assert vendi_score(np.stack([X, X[::-1]])).tolist() == pytest.approx([value, value])


def test_randomized_is_an_upper_bound():
    X = np.random.default_rng(0).normal(size=(300, 60)) / np.arange(1, 61)
    assert vendi_score(X) <= vendi_score(X, randomized=20) <= 1.05 * vendi_score(X)


def test_callable_with_progress(capsys):
    assert vendi_score([1, 1, 5], lambda a, b: math.exp(-abs(a - b)), progress=True) < 2
    assert similarity_matrix([3, 4], lambda a, b: a * b).tolist() == [[9, 12], [12, 16]]


@pytest.mark.parametrize(
    ("x", "options", "match"),
    [
        (np.eye(3), {"kernel": "gauss"}, "kernel"),
        (np.eye(3), {"order": -1}, "order"),
        (np.eye(3), {"order": math.nan}, "order"),
        (np.full((3, 3), np.nan), {}, "NaN"),
        (np.empty((0, 3)), {}, "empty"),
        (np.zeros((3, 3)), {}, "row 0 is zero"),
        (np.ones((3, 2)), {"kernel": "precomputed"}, "square"),
        (np.eye(3), {"weights": [1, 1, 1]}, "sum to 1"),
        (np.eye(3), {"weights": [0.5, 0.5]}, "3 rows"),
        (np.eye(3), {"weights": [1.5, -0.5, 0]}, "negative"),
        ([], {"kernel": lambda a, b: 1.0}, "no items"),
        (np.eye(3), {"kernel": "rbf", "bandwidth": 0}, "sigma"),
    ],
)
def test_bad_input(x, options, match):
    with pytest.raises(ValueError, match=match):
        vendi_score(x, **options)


def test_one_item_and_indefinite_similarities():
    assert vendi_score([[3.0, 4.0]]) == pytest.approx(1.0)
    assert vendi_score([[7.0]], "precomputed") == 1.0
    with pytest.warns(UserWarning, match="not positive semi-definite"):
        assert vendi_score(np.array([[1.0, 2.0], [2.0, 1.0]]), "precomputed", normalize=False) == 1.0


# ------------------------------------------------------------------------------------------------ streaming, interval


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_streaming_is_the_whole(kind):
    X = data(100, 5)
    Y = X if kind == "numpy" else torch.tensor(X, dtype=torch.float64, requires_grad=True)
    a, b = VendiScore(order=2), VendiScore(order=2)
    a.update(Y[:30]).update(Y[30:60])
    b.update(Y[60:])
    assert a.merge(b).compute() == pytest.approx(vendi_score(X, order=2), rel=1e-10)
    assert a.n == 100
    linear = VendiScore(kernel="linear", normalize=False).update(Y)
    assert linear.compute() == pytest.approx(vendi_score(X, "linear", normalize=False), rel=1e-10)
    a.reset()
    with pytest.raises(ValueError, match="no rows"):
        a.compute()
    with pytest.raises(ValueError, match="5 columns"):
        a.update(Y).update(Y[:, :2])
    with pytest.raises(TypeError, match="merged"):
        a.merge(linear)
    with pytest.raises(ValueError, match="vendi_score"):
        VendiScore(kernel="rbf")
    assert VendiScore().merge(b).compute() == pytest.approx(vendi_score(X[60:]), rel=1e-10)


@pytest.mark.parametrize("size", [None, 40])
def test_interval_covers_the_mean_score(size):
    draws = np.random.default_rng(0)

    def sample():
        return draws.normal(size=(160, 24)) * np.arange(1, 25) ** -0.5

    truth = np.mean([vendi_score(sample()[:size]) for _ in range(200)])
    inside = 0
    for seed in range(40):
        low, high = vendi_interval(sample(), size=size, num_subsamples=30, rng=seed).interval()
        inside += low < truth < high
    assert inside >= 34


def test_interval_contract():
    X = data(60)
    e = vendi_interval(X)
    assert e.value == pytest.approx(vendi_score(X))
    assert e.unit == ""
    assert vendi_interval(X, rng=1).se == vendi_interval(X, rng=1).se
    assert vendi_interval(X, size=30).value < e.value
    assert vendi_interval(X, "rbf", 2.0).value == pytest.approx(vendi_score(X, "rbf", 2.0))
    assert vendi_interval(X @ X.T, "precomputed").value == pytest.approx(vendi_score(X))
    assert vendi_interval(torch.tensor(X)).value == pytest.approx(e.value)
    for bad, match in (
        ({"size": 1}, "size"),
        ({"size": 61}, "size"),
        ({"num_subsamples": 1}, "num_subsamples"),
        ({"order": -2}, "order"),
    ):
        with pytest.raises(ValueError, match=match):
            vendi_interval(X, **bad)
    with pytest.raises(ValueError, match="at least 4"):
        vendi_interval(X[:3])


def test_spectrum_of_the_score():
    assert vendi_spectrum(data()).source == "autocorrelation"
    assert vendi_spectrum(data(), "rbf").source == "kernel"
