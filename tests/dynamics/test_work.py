import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from plogp.dynamics import WorkVerdict, extractable, one_shot, work


def vectors(rng, k, d):
    v = rng.normal(size=(k, d)) + 1j * rng.normal(size=(k, d))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def works_right(verdict, states, works, d):
    """Largest probability that a pure state gets the wrong work."""
    out = (np.asarray(states) @ verdict.witness.T).reshape(len(states), d, len(verdict.levels))
    weight = np.sum(np.abs(out) ** 2, axis=1)
    columns = [int(np.argmin(np.abs(verdict.levels - w))) for w in works]
    return float(np.max(1 - weight[np.arange(len(states)), columns]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 6))
def test_groups_of_equal_work_may_overlap(seed, d):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(vectors(rng, d, d).T)[0].T
    cut = int(rng.integers(1, d))
    mix = lambda rows: vectors(rng, 3, len(rows)) @ rows  # noqa: E731
    states = np.concatenate([mix(basis[:cut]), mix(basis[cut:])])
    works = [1.0] * 3 + [2.5] * 3
    verdict = extractable(states, works)
    assert verdict.possible
    U = verdict.witness
    np.testing.assert_allclose(U.conj().T @ U, np.eye(d), atol=1e-10)
    assert works_right(verdict, states, works, d) < 1e-10
    assert verdict.levels.tolist() == [0.0, 1.0, 2.5]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 5))
def test_overlap_forbids_different_works(seed, d):
    states = vectors(np.random.default_rng(seed), 2, d)
    verdict = extractable(states, [0.0, 1.0])
    overlap = abs(np.vdot(states[0], states[1]))
    assert not verdict
    assert verdict.witness is None
    assert verdict.violating_pair == (0, 1)
    assert verdict.helstrom_error == pytest.approx(0.5 * (1 - math.sqrt(1 - overlap**2)), abs=1e-9)
    assert extractable(states, [1.0, 1.0])
    assert extractable(states[:1], [3.0])


def test_worst_pair_has_different_works():
    s = [[1, 0, 0], [0.999, math.sqrt(1 - 0.999**2), 0], [0.6, 0, 0.8]]
    verdict = extractable(s, [1.0, 1.0, 2.0])
    assert verdict.violating_pair in ((0, 2), (1, 2))
    assert "distinguishable" in repr(verdict)


def test_classical_states():
    assert extractable([[0.5, 0.5, 0], [0, 0, 1.0]], [0.0, 1.0])
    verdict = extractable([[0.5, 0.5, 0], [0, 0.1, 0.9]], [0.0, 1.0])
    assert not verdict
    assert verdict.helstrom_error == pytest.approx(0.05)
    machine = extractable([[0.5, 0.5, 0], [0, 0, 1.0]], [0.0, 1.0]).witness
    # Micro-states go to themselves with the battery raised only for the third.
    np.testing.assert_allclose(np.abs(machine.reshape(3, 2, 3))[[0, 1, 2], [0, 0, 1], [0, 1, 2]], 1)


def test_mixed_states():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(vectors(rng, 4, 4).T)[0].T
    mix = lambda p, rows: np.einsum("k,ka,kb->ab", p, rows, rows.conj())  # noqa: E731
    states = [mix([0.3, 0.7], basis[:2]), mix([0.5, 0.5], basis[2:])]
    verdict = extractable(states, [2.0, 1.0])
    assert verdict
    for rho, w in zip(states, [2.0, 1.0]):
        out = verdict.witness @ rho @ verdict.witness.conj().T
        weight = np.trace(out.reshape(4, 3, 4, 3), axis1=0, axis2=2).diagonal().real
        assert weight[list(verdict.levels).index(w)] == pytest.approx(1)
    assert not extractable([states[0], mix([1e-6, 1 - 1e-6], basis[[0, 2]])], [2.0, 1.0])


def test_prescribed_residues_follow_the_gram_criterion():
    ground = [[1, 0], [1, 0]]
    assert extractable([[1, 0], [0, 1]], [0.0, 1.0], residues=ground)
    # Resetting orthogonal states without leaving a record anywhere is not an isometry.
    verdict = extractable([[1, 0], [0, 1]], [1.0, 1.0], residues=ground)
    assert not verdict
    assert verdict.violating_pair == (0, 1)
    s = np.array([[1, 0], [0.6, 0.8]])
    assert extractable(s, [1.0, 1.0], residues=s[::-1])
    assert not extractable(s, [1.0, 1.0], residues=ground)
    with pytest.raises(ValueError, match="norm 1"):
        extractable([[0.5, 0.5], [0.2, 0.8]], [1.0, 1.0], residues=ground)
    with pytest.raises(ValueError, match="residues"):
        extractable([[0.5, 0.5], [0.2, 0.8]], [1.0, 1.0], residues=ground, kind="classical")
    with pytest.raises(ValueError, match="shape of states"):
        extractable(s, [1.0, 1.0], residues=[[1, 0]])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_machines_conserve_energy(seed):
    rng = np.random.default_rng(seed)
    energies = np.array([0.0, 0.0, 1.0, 1.0, 2.0])
    frame = np.linalg.qr(vectors(rng, 5, 5).T)[0]
    H = frame @ np.diag(energies) @ frame.conj().T
    H = (H + H.conj().T) / 2
    # A superposition inside the upper level, and one across levels that is lowered as a whole by 1.
    states = np.stack([frame[:, 2], (frame[:, 3] + frame[:, 4]) / math.sqrt(2)])
    works = [0.0, 1.0]
    verdict = extractable(states, works, hamiltonian=H)
    assert verdict.possible
    U, levels = verdict.witness, verdict.levels
    total = np.kron(H, np.eye(len(levels))) + np.kron(np.eye(5), np.diag(levels))
    np.testing.assert_allclose(total @ U, U @ H, atol=1e-10)
    np.testing.assert_allclose(U.conj().T @ U, np.eye(5), atol=1e-10)
    assert works_right(verdict, states, works, 5) < 1e-10


def test_conserved_energy_forbids():
    H = [0.0, 1.0, 2.0]
    plus, minus = np.array([1, 1, 0]) / math.sqrt(2), np.array([1, -1, 0]) / math.sqrt(2)
    assert extractable([plus, minus], [0.0, 1.0])
    verdict = extractable([plus, minus], [0.0, 1.0], hamiltonian=H)
    assert verdict.violating_pair == (0, 1)
    assert verdict.helstrom_error == pytest.approx(0.5)
    # Nothing certain from one superposition that reaches the ground level; energy cannot come from nowhere.
    assert "no room" in extractable([plus], [1.0], hamiltonian=H).reason
    assert extractable([plus], [-1.0], hamiltonian=H)
    assert extractable(np.eye(3), H, hamiltonian=H)
    assert not extractable(np.eye(3), [0.0, 1.5, 2.0], hamiltonian=H)
    # Two states of one level cannot both be put into a ground level of one state.
    assert not extractable(np.eye(3)[1:], [1.0, 1.0], hamiltonian=[0.0, 1.0, 1.0])
    assert extractable(np.eye(3)[1:], [1.0, 0.0], hamiltonian=[0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"works": [1.0]}, "works"),
        ({"works": [1.0, math.nan]}, "works"),
        ({"works": [0.0, 1.0], "tol": 0.0}, "tol"),
        ({"works": [0.0, 1.0], "hamiltonian": [0.0]}, "hamiltonian"),
        ({"works": [0.0, 1.0], "hamiltonian": [[0.0, 1.0], [0.0, 0.0]]}, "Hermitian"),
        ({"works": [0.0, 1.0], "hamiltonian": [0.0, math.inf]}, "hamiltonian"),
        ({"works": [0.0, 1.0], "hamiltonian": [0.0, 1.0], "residues": np.eye(2)}, "residues"),
    ],
)
def test_hostile_extractors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        extractable(np.eye(2), **kwargs)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 6), temperature=st.floats(0.1, 10))
def test_one_shot_closed_forms(seed, d, temperature):
    rng = np.random.default_rng(seed)
    energies, p = rng.normal(size=d), rng.dirichlet(np.full(d, 0.5))
    p = np.where(p < 0.05, 0, p)
    p = p / p.sum()
    g = np.exp(-energies / temperature)
    g /= g.sum()
    low, mean, high = (one_shot(p, energies, temperature, k) for k in ("deterministic", "average", "formation"))
    assert low == pytest.approx(-temperature * math.log(g[p > 0].sum()), abs=1e-9)
    assert mean == pytest.approx(temperature * scipy_entropy(p, g), abs=1e-9)
    assert high == pytest.approx(temperature * math.log(np.max(p / g)), abs=1e-9)
    assert low <= mean + 1e-9
    assert mean <= high + 1e-9
    flat = one_shot(p, np.zeros(d), temperature, "erasure")
    assert flat == pytest.approx(temperature * scipy_entropy(p), abs=1e-9)
    # Free energy of the ground state minus that of p.
    free = lambda q: q @ energies - temperature * scipy_entropy(q)  # noqa: E731
    ground = np.eye(d)[np.argmin(energies)]
    assert one_shot(p, energies, temperature, "erasure") == pytest.approx(free(ground) - free(p), abs=1e-8)


def test_one_shot_limits():
    assert one_shot([1.0, 0.0], [0.0, 0.0], 3.0) == pytest.approx(3.0 * math.log(2))
    thermal = np.exp([-0.0, -2.0])
    for kind in ("deterministic", "average", "formation"):
        assert one_shot(thermal / thermal.sum(), [0.0, 2.0], 1.0, kind) == pytest.approx(0, abs=1e-12)
    # An excited level far above kT: the energy itself, without overflow.
    for kind in ("deterministic", "average", "formation"):
        assert one_shot([0.0, 1.0], [0.0, 5e3], 1.0, kind) == pytest.approx(5e3)
    for p, e, t in (
        ([0.5, 0.6], [0, 0], 1.0),
        ([1.0], [0, 0], 1.0),
        ([1.0, 0.0], [0, 0], 0.0),
        ([1.0], [math.inf], 1.0),
    ):
        with pytest.raises(ValueError, match=r"^p |^temperature"):
            one_shot(p, e, t)
    with pytest.raises(ValueError, match="kind"):
        one_shot([1.0], [0.0], 1.0, "maximal")


def test_room_exports():
    assert isinstance(extractable(np.eye(2), [0.0, 1.0]), WorkVerdict)
    assert work.extractable is extractable
