import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.optimize import linprog

from plogp.measures.distinguishability import (
    States,
    bayes_decision,
    distinguishable,
    helstrom_error,
    isometry_between,
    pretty_good_measurement,
    root_fidelity,
)


def vectors(rng, k, d):
    v = rng.normal(size=(k, d)) + 1j * rng.normal(size=(k, d))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def densities(rng, k, d, rank=None):
    a = rng.normal(size=(k, d, rank or d)) + 1j * rng.normal(size=(k, d, rank or d))
    rho = a @ a.conj().transpose(0, 2, 1)
    return rho / np.trace(rho, axis1=1, axis2=2)[:, None, None]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 5), prior=st.floats(0, 1))
def test_pure_pairs_have_the_closed_form(seed, d, prior):
    s = vectors(np.random.default_rng(seed), 2, d)
    overlap = abs(np.vdot(s[0], s[1]))
    want = 0.5 * (1 - np.sqrt(max(0.0, 1 - 4 * prior * (1 - prior) * overlap**2)))
    assert helstrom_error(*s, [prior, 1 - prior]) == pytest.approx(want, abs=1e-9)
    assert root_fidelity(*s) == pytest.approx(overlap, abs=1e-12)
    as_mixed = np.einsum("ka,kb->kab", s, s.conj())
    assert helstrom_error(*as_mixed, [prior, 1 - prior]) == pytest.approx(want, abs=1e-9)
    assert root_fidelity(*as_mixed) == pytest.approx(overlap, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(2, 5), d=st.integers(1, 6))
def test_classical_states_agree_with_bayes_and_linear_programming(seed, k, d):
    rng = np.random.default_rng(seed)
    p, priors = rng.dirichlet(np.full(d, 0.4), k), rng.dirichlet(np.ones(k))
    weighed = priors[:, None] * p
    # Best stochastic decision rule: maximise Σ π_i p_i(x) e(i|x) over rules e.
    rule = linprog(-weighed.ravel(), A_eq=np.tile(np.eye(d), k), b_eq=np.ones(d), bounds=(0, 1))
    guess, error = bayes_decision(p, priors)
    assert error == pytest.approx(1 + rule.fun, abs=1e-8)
    assert 1 - weighed[guess, np.arange(d)].sum() == pytest.approx(error, abs=1e-12)
    verdict = distinguishable(p, priors, kind="classical")
    assert verdict.error_bounds == (error, error)
    # Barnum and Knill.
    assert error - 1e-12 <= verdict.pretty_good_error <= 2 * error + 1e-12
    if k == 2:
        assert helstrom_error(p[0], p[1], priors, kind="classical") == pytest.approx(error, abs=1e-12)
    np.testing.assert_allclose(verdict.fidelity[0, 1], np.sum(np.sqrt(p[0] * p[1])), atol=1e-12)


def test_mixed_fidelity_against_matrix_roots():
    rng = np.random.default_rng(0)
    for rank in (1, 2, 4):
        rho, sigma = densities(rng, 2, 4, rank)
        root = sqrtm(rho)
        want = np.trace(sqrtm(root @ sigma @ root)).real
        assert root_fidelity(rho, sigma) == pytest.approx(want, abs=1e-6)
        error = helstrom_error(rho, sigma)
        # Fuchs and van de Graaf.
        assert 1 - want <= 1 - 2 * error + 1e-9
        assert 1 - 2 * error <= np.sqrt(1 - want**2) + 1e-6


def test_pretty_good_measurement_is_a_measurement():
    rng = np.random.default_rng(1)
    for states in (vectors(rng, 3, 4), densities(rng, 4, 3)):
        priors = rng.dirichlet(np.ones(len(states)))
        elements = pretty_good_measurement(states, priors)
        assert np.min(np.linalg.eigvalsh(elements)) > -1e-12
        total = elements.sum(axis=0)
        np.testing.assert_allclose(total @ total, total, atol=1e-10)  # a projector: the support
        verdict = distinguishable(states, priors)
        rho = States(states).densities
        right = sum(w * np.trace(r @ e).real for w, r, e in zip(priors, rho, elements))
        assert verdict.pretty_good_error == pytest.approx(1 - right, abs=1e-12)
        low, high = verdict.error_bounds
        assert 0 <= low <= high
        # No projective measurement in a random basis does better than the lower bound.
        for _ in range(50):
            basis = np.linalg.qr(vectors(rng, rho.shape[1], rho.shape[1]).T)[0]
            seen = np.einsum("ax,iab,bx->ix", basis.conj(), rho, basis).real * priors[:, None]
            assert 1 - seen.max(axis=0).sum() >= low - 1e-12


def test_symmetric_trine():
    # Three real states at 120 degrees: the pretty-good measurement is the best one, with success 2/3.
    angles = np.array([0, 2, 4]) * np.pi / 3
    verdict = distinguishable(np.column_stack([np.cos(angles), np.sin(angles)]), kind="pure")
    assert verdict.pretty_good_error == pytest.approx(1 / 3)
    np.testing.assert_allclose(np.abs(verdict.gram), [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]], atol=1e-12)


def test_perfectly_distinguishable():
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(vectors(rng, 6, 6).T)[0].T
    verdict = distinguishable(basis[:5])
    assert verdict.perfect
    assert verdict.error_bounds[1] == pytest.approx(0, abs=1e-12)
    first = sum(w * np.outer(v, v.conj()) for w, v in zip([0.5, 0.5], basis[:2]))
    second = sum(w * np.outer(v, v.conj()) for w, v in zip([0.2, 0.3, 0.5], basis[2:5]))
    assert distinguishable([first, second])
    third = 0.999 * second + 0.001 * first
    assert not distinguishable([first, third])
    assert distinguishable([[0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert not distinguishable([[1 - 1e-12, 1e-12], [0.0, 1.0]])
    alone = distinguishable([[0.5, 0.5]])
    assert alone.perfect
    assert alone.closest_pair is None
    assert "perfectly" in repr(verdict)


def test_closest_pair_and_priors():
    states = [[1, 0, 0], [0, 1, 0], [0, 0.8, 0.6]]
    verdict = distinguishable(states, [0.5, 0.25, 0.25])
    assert verdict.closest_pair == (1, 2)
    assert verdict.pair_error == pytest.approx(0.5 * (1 - 0.6))
    assert verdict.error_bounds[0] >= 0.5 * verdict.pair_error - 1e-12


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ([[1, 0], [0.9, 0.9]], "neither"),
        ([[1.0, np.nan]], "NaN"),
        ([1.0, 0.0], "shape"),
        (np.zeros((2, 2, 3)), "shape"),
        (np.zeros((0, 2)), "shape"),
        ([np.eye(2)], "trace 1"),
        ([[[0.5, 1], [0, 0.5]]], "Hermitian"),
        ([[[1.5, 0], [0, -0.5]]], "positive"),
    ],
)
def test_hostile_states(states, message):
    with pytest.raises(ValueError, match=message):
        distinguishable(states)


def test_hostile_arguments():
    with pytest.raises(TypeError, match="numbers"):
        distinguishable([["a", "b"]])
    with pytest.raises(ValueError, match="priors"):
        distinguishable(np.eye(2), [0.5, 0.6])
    with pytest.raises(ValueError, match="priors"):
        distinguishable(np.eye(2), [1.0])
    with pytest.raises(ValueError, match="norm 1"):
        distinguishable([[0.5, 0.5]], kind="pure")
    with pytest.raises(ValueError, match="real"):
        distinguishable([[0.5, 0.5j]], kind="classical")
    with pytest.raises(ValueError, match="kind"):
        distinguishable(np.eye(2), kind="fuzzy")
    assert States([[0.6, 0.8], [1, 0]]).kind == "pure"
    assert States([[0.5, 0.5], [1, 0]]).kind == "classical"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 5), d=st.integers(1, 4), more=st.integers(0, 3))
def test_isometries(seed, k, d, more):
    rng = np.random.default_rng(seed)
    inputs = vectors(rng, k, d)
    hidden = np.linalg.qr(vectors(rng, d + more, d + more).T)[0][:, :d]
    outputs = inputs @ hidden.T
    found = isometry_between(inputs, outputs)
    assert found is not None
    np.testing.assert_allclose(found.conj().T @ found, np.eye(d), atol=1e-9)
    np.testing.assert_allclose(inputs @ found.T, outputs, atol=1e-7)
    if k > 1:
        outputs[0] = vectors(rng, 1, d + more)[0]
        gram_in, gram_out = inputs.conj() @ inputs.T, outputs.conj() @ outputs.T
        assert (isometry_between(inputs, outputs) is None) == (np.abs(gram_in - gram_out).max() > 1e-9)


def test_isometry_limits():
    assert isometry_between(np.eye(3), np.eye(3)[:, :2]) is None  # no room
    with pytest.raises(ValueError, match="rows"):
        isometry_between(np.eye(3), np.eye(2))
    with pytest.raises(ValueError, match="finite"):
        isometry_between([[np.inf]], [[1.0]])
