import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.spectra import CovarianceAccumulator, FrequentDirections, Spectrum

torch = pytest.importorskip("torch")


def data(n, d, seed=0, decay=1.0):
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** (-decay / 2)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.floats(-1e6, 1e6), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_batches_of_any_sizes_give_the_covariance(sizes, offset, seed):
    X = data(sum(sizes), 4, seed) + offset
    a, b = CovarianceAccumulator(4), CovarianceAccumulator(4)
    at = 0
    for i, size in enumerate(sizes):
        (a if i % 2 else b).update(X[at : at + size])
        at += size
    merged = a.merge(b)
    assert merged.n == len(X)
    np.testing.assert_allclose(merged.mean, X.mean(0), rtol=1e-12, atol=1e-12)
    if len(X) > 1:
        np.testing.assert_allclose(merged.covariance(), np.cov(X.T), rtol=1e-6, atol=1e-8)
        exact = Spectrum.covariance(X)
        np.testing.assert_allclose(merged.spectrum().values, exact.values, atol=1e-8 * exact.values[0])
        assert merged.spectrum().dof == exact.dof


def test_a_large_offset_costs_nothing():
    """The sum of squares less the square of the sum would leave no digit here."""
    X = data(1000, 3)
    a = CovarianceAccumulator()
    for part in np.split(X + 1e8, 20):
        a.update(part)
    np.testing.assert_allclose(a.covariance(), np.cov((X + 1e8).T), atol=1e-7)
    np.testing.assert_allclose(a.covariance(), np.cov(X.T), atol=1e-7)


def test_uncentred_and_biased():
    X = data(40, 5) + 2.0
    a = CovarianceAccumulator().update(X[:7]).update(X[7:])
    np.testing.assert_allclose(a.covariance(center=False), X.T @ X / 40, rtol=1e-12)
    np.testing.assert_allclose(a.covariance(unbiased=False), np.cov(X.T, ddof=0), rtol=1e-12)
    np.testing.assert_allclose(a.spectrum(center=False).values, Spectrum.covariance(X, center=False).values, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors(dtype):
    X = torch.tensor(data(60, 4) + 50.0).to(dtype).requires_grad_()
    a = CovarianceAccumulator().update(X[:20]).update(X[20:].reshape(4, 10, 4))
    assert a.covariance().dtype == torch.float64
    assert not a.covariance().requires_grad
    np.testing.assert_allclose(a.covariance(), np.cov(X.detach().double().numpy().T), rtol=1e-9)
    assert float(a.spectrum().entropy()) == pytest.approx(Spectrum.covariance(X.detach().double().numpy()).entropy())
    with pytest.raises(TypeError, match="library"):
        a.update(np.ones((2, 4)))


def test_state_round_trip():
    X = data(30, 3)
    a = CovarianceAccumulator().update(X[:10])
    b = CovarianceAccumulator.from_state(a.state_dict()).update(X[10:])
    np.testing.assert_allclose(b.covariance(), np.cov(X.T), rtol=1e-12)
    np.testing.assert_allclose(CovarianceAccumulator().merge(b).covariance(), np.cov(X.T), rtol=1e-12)
    assert b.merge(CovarianceAccumulator()).n == 30
    with pytest.raises(ValueError, match="shape"):
        CovarianceAccumulator.from_state({"n": 3, "mean": np.zeros(3), "scatter": np.zeros((2, 2))})


def test_refusals():
    a = CovarianceAccumulator(3)
    for call, match in (
        (lambda: a.mean, "0 rows"),
        (lambda: a.spectrum(), "0 rows"),
        (lambda: a.update(np.ones((2, 4))), "3 columns"),
        (lambda: a.update(np.full((2, 3), np.nan)), "NaN"),
        (lambda: a.update(np.empty((0, 3))), "empty"),
        (lambda: CovarianceAccumulator(0), "positive"),
        (lambda: a.merge(CovarianceAccumulator(4)), "dimensions"),
        (lambda: a.update(np.ones((1, 3))).covariance(), "at least 2"),
        (lambda: FrequentDirections(1), "at least 2"),
        (lambda: FrequentDirections(4).merge(FrequentDirections(5)), "differ"),
        (lambda: FrequentDirections(4).spectrum(), "0 rows"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError, match="merged"):
        a.merge(FrequentDirections(4))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("decay", [0.5, 2.0])
def test_sketch_keeps_its_promise(center, decay):
    """0 <= AᵀA - BᵀB <= shrinkage <= |A - A_k|²/(size - k), and the trace is exact."""
    X, size = data(400, 30, decay=decay) + 1.0, 8
    sketch = FrequentDirections(size, center=center)
    for part in np.array_split(X, 13):
        sketch.update(part)
    A = X - X.mean(0) if center else X
    gap = np.linalg.eigvalsh(A.T @ A - sketch._sketch.T @ sketch._sketch)
    assert gap[0] >= -1e-9 * gap[-1]
    assert gap[-1] <= sketch.shrinkage * (1 + 1e-12)
    tail = np.linalg.svd(A, compute_uv=False) ** 2
    for k in range(size - 1):
        assert sketch.shrinkage <= tail[k:].sum() / (size - k) * (1 + 1e-12)
    exact = Spectrum.covariance(X, center)
    s = sketch.spectrum()
    assert s.nuclear == pytest.approx(exact.nuclear, rel=1e-10)
    k = s.resolved
    assert np.all(np.abs(s.values[:k] - exact.values[:k]) <= 0.5 * sketch.shrinkage / exact.dof * (1 + 1e-9))


def test_sketch_of_few_directions_is_exact_and_merges():
    X = data(300, 3) @ np.random.default_rng(1).normal(size=(3, 50))
    a, b = FrequentDirections(6), FrequentDirections(6)
    for i, part in enumerate(np.split(X + 5, 6)):
        (a if i % 2 else b).update(part)
    exact = Spectrum.covariance(X)
    np.testing.assert_allclose(a.merge(b).spectrum().values[:3], exact.values[:3], rtol=1e-8)
    assert a.mean == pytest.approx((X + 5).mean(0))
    t = FrequentDirections(6).update(torch.tensor(X))
    np.testing.assert_allclose(t.spectrum().values[:3], exact.values[:3], rtol=1e-8)
    assert FrequentDirections(8).update(data(50, 4)).spectrum().resolved is None
    np.testing.assert_allclose(
        FrequentDirections(8).update(data(50, 4)).spectrum().values, Spectrum.covariance(data(50, 4)).values
    )
