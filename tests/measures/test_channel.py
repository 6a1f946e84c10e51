"""`Channel`: composition, tensor, Bayes, literal and closed entropies, determinism; against brute force."""

import array_api_strict
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.measures.channel import Channel, is_deterministic
from plogp.measures.entropy import entropy
from plogp.measures.information import mutual_information
from plogp.measures.registry import divergence


def random_channel(rng, n, m, zeros=0.3) -> Channel:
    k = rng.dirichlet(np.ones(m), n)
    k = np.where(rng.random((n, m)) < zeros, 0.0, k) + np.eye(n, m)[rng.permutation(n)] * 0.1 + 1e-3 * np.eye(m)[0]
    return Channel(k / k.sum(1, keepdims=True))


def test_composition_is_matrix_multiplication_in_the_order_of_functions():
    rng = np.random.default_rng(0)
    f, g, h = random_channel(rng, 2, 3), random_channel(rng, 3, 4), random_channel(rng, 4, 2)
    assert (g @ f).shape == (2, 4)
    assert np.allclose((g @ f).matrix, f.matrix @ g.matrix)
    assert np.allclose(f.then(g).matrix, (g @ f).matrix)
    assert np.allclose(((h @ g) @ f).matrix, (h @ (g @ f)).matrix)
    assert np.allclose((f @ Channel.identity(2)).matrix, f.matrix)
    p = rng.dirichlet(np.ones(2), 5)
    assert np.allclose((g @ f)(p), g(f(p)))


def test_tensor_copy_and_discard_obey_the_laws_of_a_markov_category():
    rng = np.random.default_rng(1)
    f, g = random_channel(rng, 2, 3), random_channel(rng, 4, 2)
    f2, g2 = random_channel(rng, 3, 2), random_channel(rng, 2, 5)
    assert np.allclose(f.tensor(g).matrix, np.kron(f.matrix, g.matrix))
    assert np.allclose((f2 @ f).tensor(g2 @ g).matrix, (f2.tensor(g2) @ f.tensor(g)).matrix)
    assert np.allclose((Channel.discard(3) @ f).matrix, Channel.discard(2).matrix)
    n = 3
    one = Channel.identity(n)
    left = Channel.copy(n).tensor(one) @ Channel.copy(n)
    right = one.tensor(Channel.copy(n)) @ Channel.copy(n)
    assert np.allclose(left.matrix, right.matrix)
    assert np.allclose((one.tensor(Channel.discard(n)) @ Channel.copy(n)).matrix, one.matrix)


def test_bayesian_inversion_turns_the_joint_around():
    rng = np.random.default_rng(2)
    f, px = random_channel(rng, 4, 3), rng.dirichlet(np.ones(4))
    inverse = f.bayes_invert(px)
    assert np.allclose(inverse.joint(f(px)), f.joint(px).T)
    never = Channel([[1.0, 0.0], [1.0, 0.0]]).bayes_invert([0.3, 0.7])
    assert np.allclose(never.matrix, [[0.3, 0.7], [0.3, 0.7]])


@pytest.mark.parametrize("name", ["kl", "tv", "hellinger", "chi2", "js", "le_cam", "reverse_kl", "neyman"])
def test_literal_and_closed_entropies_agree(name):
    rng = np.random.default_rng(3)
    for n, m in [(1, 2), (3, 4), (5, 2)]:
        f = random_channel(rng, n, m)
        for options in ({}, {"mode": "average", "px": rng.dirichlet(np.ones(n))}):
            closed, literal = f.entropy(name, **options), f.entropy(name, literal=True, **options)
            assert closed == pytest.approx(literal, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("order", [0.25, 0.5, 1.5])
def test_renyi_reflects_its_order(order):
    rng = np.random.default_rng(4)
    p = rng.dirichlet(np.ones(6))
    expected = entropy(p, "renyi", alpha=2 - order)
    assert Channel(p).entropy(divergence("renyi", alpha=order)) == pytest.approx(expected, abs=1e-12)


def test_entropy_modes():
    f = Channel([[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]])
    rows = entropy(f.matrix)
    assert f.entropy() == pytest.approx(rows.max())
    assert f.entropy(mode="average", px=[0.2, 0.5, 0.3]) == pytest.approx(rows @ [0.2, 0.5, 0.3])
    # An input that never comes may have an infinite entropy: it does not count.
    blind = f.entropy("reverse_kl", mode="average", px=[0.0, 1.0, 0.0])
    assert blind == 0.0
    assert f.entropy("reverse_kl") == np.inf


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_deterministic_iff_copying_commutes(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 5, 2)
    f = Channel.from_function(rng.integers(0, m, n), int(m)) if seed % 2 else random_channel(rng, n, m)
    commutes = np.array_equal((Channel.copy(f.shape[1]) @ f).matrix, (f.tensor(f) @ Channel.copy(f.shape[0])).matrix)
    assert f.is_deterministic() == commutes
    for name in ("kl", "tv", "chi2", "hellinger"):
        assert (f.entropy(name) == 0) == commutes


def test_determinism_to_within_a_tolerance():
    assert not is_deterministic([[1 - 1e-9, 1e-9]])
    assert is_deterministic([[1 - 1e-9, 1e-9]], tol=1e-8)


def test_information_of_a_channel_is_bounded_by_capacity():
    rng = np.random.default_rng(5)
    f = random_channel(rng, 3, 4)
    point = f.capacity()
    assert mutual_information(f.joint(point.input)) == pytest.approx(point.capacity, abs=1e-12)
    for _ in range(20):
        assert mutual_information(f.joint(rng.dirichlet(np.ones(3)))) <= point.capacity + point.gap + 1e-12


@pytest.mark.parametrize("make", [torch.as_tensor, jnp.asarray, array_api_strict.asarray])
def test_other_libraries(make):
    k = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]], dtype=np.float32)
    ours, theirs = Channel(make(k)), Channel(k)
    assert ours.matrix.dtype == make(k).dtype
    px = make(np.array([0.25, 0.75], dtype=np.float32))
    assert np.allclose(np.asarray(ours(px)), theirs([0.25, 0.75]), atol=1e-6)
    assert np.allclose(np.asarray(ours.bayes_invert(px).matrix), theirs.bayes_invert([0.25, 0.75]).matrix, atol=1e-6)
    for name in ("kl", "tv"):
        for literal in (False, True):
            value = ours.entropy(name, literal=literal)
            assert type(value) is type(make(k))
            assert float(value) == pytest.approx(float(theirs.entropy(name)), rel=1e-5)
    assert np.allclose(np.asarray((ours.tensor(ours) @ Channel.copy(2, like=ours.matrix)).matrix).sum(1), 1)
    assert ours.capacity().capacity == pytest.approx(theirs.capacity().capacity, rel=1e-6)


def test_bad_input_is_refused():
    f = Channel([[0.5, 0.5]])
    with pytest.raises(ValueError, match="matrix must sum to 1"):
        Channel([[0.5, 0.6]])
    with pytest.raises(ValueError, match="n_in, n_out"):
        Channel(np.ones((2, 2, 2)) / 2)
    with pytest.raises(ValueError, match="cannot compose"):
        f @ f
    with pytest.raises(TypeError):
        f @ np.eye(2)
    with pytest.raises(ValueError, match="px must have 1 states"):
        f([0.5, 0.5])
    with pytest.raises(ValueError, match="px must have shape"):
        f.joint([0.5, 0.5])
    with pytest.raises(ValueError, match="mode"):
        f.entropy(mode="max")
    with pytest.raises(ValueError, match="px is needed"):
        f.entropy(mode="average")
    with pytest.raises(ValueError, match="px is needed"):
        f.entropy(px=[1.0])
    with pytest.raises(ValueError, match="must lie between"):
        Channel.from_function([0, 3], 2)
    with pytest.raises(ValueError, match="state indices"):
        Channel.from_function([])
    with pytest.raises(ValueError, match="n must be"):
        Channel.copy(0)
