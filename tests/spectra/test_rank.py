import math

import numpy as np
import pytest

import plogp as pl
from plogp.spectra import alpha_req, effective_rank, participation_ratio, rankme, von_neumann_entropy

torch = pytest.importorskip("torch")


def data(n=60, d=9, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** -0.7 + 0.3


def test_rankme_is_the_papers_formula():
    """Checked against its six lines, written out."""
    X = data()
    sigma = np.linalg.svd(X, compute_uv=False)
    p = sigma / sigma.sum() + 1e-7
    assert rankme(X) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-12)
    values = np.linalg.eigvalsh(np.cov(X.T))
    q = values / values.sum() + 1e-7
    assert rankme(X, of="eigen", center=True) == pytest.approx(math.exp(-(q * np.log(q)).sum()), rel=1e-10)
    assert rankme(X, of="eigen", center=True) < rankme(X, center=True)
    with pytest.raises(ValueError, match="of must"):
        rankme(X, of="covariance")


@pytest.mark.parametrize("k", [1, 3, 8])
def test_equal_directions_count_themselves(k):
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(40, k)))
    X = Q @ np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0][:k]
    assert rankme(X) == pytest.approx(k, rel=1e-4)
    assert effective_rank(X) == pytest.approx(k)
    assert participation_ratio(X, center=False) == pytest.approx(k)


def test_participation_ratio_by_traces():
    X = data()
    C = np.cov(X.T)
    assert participation_ratio(X) == pytest.approx(np.trace(C) ** 2 / np.trace(C @ C))


def test_von_neumann_entropy_against_density_matrices():
    X = data()
    Z = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert von_neumann_entropy(X) == pytest.approx(float(pl.measures.von_neumann(Z.T @ Z / len(Z))), abs=1e-12)
    assert von_neumann_entropy(X[:5]) == pytest.approx(float(pl.measures.von_neumann(Z[:5] @ Z[:5].T / 5)), abs=1e-12)
    assert von_neumann_entropy(X, base=2) == pytest.approx(von_neumann_entropy(X) / math.log(2))


def test_von_neumann_entropy_extremes_and_the_rank_bound():
    assert von_neumann_entropy(np.repeat(np.eye(6), 3, axis=0)) == pytest.approx(math.log(6))
    assert von_neumann_entropy(np.ones((5, 4))) == pytest.approx(0.0, abs=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(200):
        r = rng.integers(1, 6)
        X = rng.normal(size=(8, r)) @ rng.normal(size=(r, 7))
        assert math.exp(von_neumann_entropy(X)) <= r * (1 + 1e-10)


def test_gradient_ascent_reaches_the_largest_entropy():
    generator = torch.Generator().manual_seed(0)
    for sign, n, d in ((1, 12, 5), (1, 4, 9), (-1, 12, 5)):
        X = torch.randn(n, d, generator=generator, dtype=torch.float64).requires_grad_()
        optimiser = torch.optim.Adam([X], lr=0.2)
        for _ in range(120):
            loss = -sign * von_neumann_entropy(X)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        value = float(von_neumann_entropy(X.detach()))
        if sign > 0:
            assert value == pytest.approx(math.log(min(n, d)), abs=1e-3)
        else:
            assert value < 1e-2


def test_alpha_req():
    X = np.random.default_rng(0).normal(size=(4000, 64)) / np.arange(1, 65)
    e = alpha_req(X)
    assert e.value == pytest.approx(2.0, abs=3 * e.se)
    assert 0 < e.se < 0.1
    assert e.n == 4000
    assert alpha_req(X, 1, 20).diagnostics["i1"] == 20


@pytest.mark.parametrize("call", [rankme, effective_rank, participation_ratio, von_neumann_entropy])
def test_tensors_batches_and_bad_input(call):
    X = data()
    value = float(call(X))
    t = torch.tensor(X, requires_grad=True)
    assert float(call(t).detach()) == pytest.approx(value)
    call(t).backward()
    assert torch.isfinite(t.grad).all()
    assert float(call(torch.tensor(X).float())) == pytest.approx(value, rel=1e-4)
    assert float(call(torch.tensor(X).bfloat16())) == pytest.approx(value, rel=2e-2)
    assert call(torch.tensor(X).bfloat16()).dtype == torch.float32
    assert call(np.stack([X, 2 * X])).tolist() == pytest.approx([value, value])
    for bad in (np.full((3, 2), np.nan), np.empty((0, 3)), np.zeros((4, 2))):
        with pytest.raises(ValueError, match=r"NaN|empty|zero"):
            call(bad)
