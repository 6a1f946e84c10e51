"""Cross-entropy, perplexity and redundancy: closed forms, PyTorch and SciPy, extreme logits, bad input."""

import array_api_strict
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import special

from plogp.measures import surprisal as sur

P = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0], [0.6, 0.0, 0.4]])
Q = np.array([[0.1, 0.6, 0.3], [0.25, 0.5, 0.25], [0.7, 0.1, 0.2]])


def test_cross_entropy_is_entropy_plus_divergence():
    expected = special.entr(P).sum(-1) + special.rel_entr(P, Q).sum(-1)
    assert np.allclose(sur.cross_entropy(P, Q), expected, rtol=1e-14)
    assert np.allclose(sur.cross_entropy(P.T, Q.T, axis=0, base=2), expected / np.log(2), rtol=1e-14)
    assert np.allclose(sur.cross_entropy(3 * P, 7 * Q, normalize=True), expected, rtol=1e-14)


def test_missed_mass_is_infinitely_surprising_and_missing_mass_is_free():
    assert sur.cross_entropy([0.5, 0.5], [1.0, 0.0]) == np.inf
    value = sur.cross_entropy([1.0, 0.0], [1.0, 0.0])
    assert value == 0.0
    assert not np.signbit(value)


@pytest.mark.parametrize("make", [torch.as_tensor, jnp.asarray, array_api_strict.asarray])
def test_libraries_agree_and_keep_their_dtype(make):
    p, q = make(P.astype(np.float32)), make(Q.astype(np.float32))
    for value in (sur.cross_entropy(p, q), sur.cross_entropy_from_logits(p, make(np.log(Q).astype(np.float32)))):
        assert value.dtype == p.dtype
        assert np.allclose(np.asarray(value), sur.cross_entropy(P, Q), rtol=1e-5)
    assert np.allclose(np.asarray(sur.perplexity(p)), sur.perplexity(P), rtol=1e-5)
    assert np.allclose(np.asarray(sur.redundancy(p)), sur.redundancy(P), atol=1e-6)


def test_logits_against_torch_for_distributions_and_for_indices():
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(5, 7)) * 10, requires_grad=True)
    p = torch.tensor(rng.dirichlet(np.ones(7), 5))
    ours = sur.cross_entropy_from_logits(p, logits)
    theirs = torch.nn.functional.cross_entropy(logits, p, reduction="none")
    assert torch.allclose(ours, theirs, rtol=1e-13)
    index = torch.tensor([0, 6, 3, 3, 1])
    ours = sur.cross_entropy_from_logits(index, logits)
    theirs = torch.nn.functional.cross_entropy(logits, index, reduction="none")
    assert torch.allclose(ours, theirs, rtol=1e-13)
    (gradient,) = torch.autograd.grad(ours.sum(), logits)
    expected = torch.softmax(logits, -1) - torch.nn.functional.one_hot(index, 7)
    assert torch.allclose(gradient, expected, atol=1e-14)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, jnp.asarray])
def test_extreme_and_masked_logits(make):
    logits = make(np.array([[1e4, -1e4, 0.0], [0.0, -np.inf, 0.0]]))
    value = np.asarray(sur.cross_entropy_from_logits(make(np.array([[1.0, 0, 0], [0.5, 0, 0.5]])), logits))
    assert np.allclose(value, [0.0, np.log(2)])
    value = np.asarray(sur.cross_entropy_from_logits(make(np.array([1, 1])), logits))
    assert np.allclose(value, [2e4, np.inf])


def test_gradient_of_a_masked_row_has_no_nan():
    logits = torch.tensor([[0.0, -np.inf, 1.0]], dtype=torch.float64, requires_grad=True)
    loss = sur.cross_entropy_from_logits(torch.tensor([[0.5, 0.0, 0.5]], dtype=torch.float64), logits)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert torch.isfinite(gradient).all()
    q = torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(sur.cross_entropy(torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64), q), q)
    assert torch.allclose(gradient, torch.tensor([-1.0, 0.0, -1.0], dtype=torch.float64))


def test_perplexity_is_the_effective_number_of_states():
    assert np.allclose(sur.perplexity(np.eye(4)[:2] * 0 + 0.25), 4.0)
    assert np.allclose(sur.perplexity(P), np.exp(special.entr(P).sum(-1)))


def test_sequence_perplexity_leaves_padding_out():
    rng = np.random.default_rng(1)
    log_probs = np.log(rng.uniform(0.01, 1, (4, 9)))
    lengths = np.array([9, 1, 4, 6])
    mask = np.arange(9) < lengths[:, None]
    expected = [np.exp(-row[:n].mean()) for row, n in zip(log_probs, lengths)]
    assert np.allclose(sur.sequence_perplexity(log_probs, mask), expected, rtol=1e-14)
    padded = np.where(mask, log_probs, np.nan)  # whatever stands in the padding does not matter
    assert np.allclose(sur.sequence_perplexity(padded, mask), expected, rtol=1e-14)
    assert np.allclose(sur.sequence_perplexity(log_probs.T, mask.T, axis=0), expected)
    tensor = sur.sequence_perplexity(torch.as_tensor(log_probs), torch.as_tensor(mask))
    assert np.allclose(tensor.numpy(), expected)


def test_redundancy_between_its_ends():
    assert sur.redundancy([1.0, 0.0, 0.0]) == 1.0
    assert abs(sur.redundancy([1 / 3] * 3)) < 1e-15
    assert sur.redundancy([1.0]) == 0.0
    assert sur.redundancy([3, 1], normalize=True) == pytest.approx(1 - special.entr([0.75, 0.25]).sum() / np.log(2))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="same number of states"):
        sur.cross_entropy([0.5, 0.5], [0.2, 0.3, 0.5])
    with pytest.raises(ValueError, match="q must sum to 1"):
        sur.cross_entropy([0.5, 0.5], [0.5, 0.6])
    with pytest.raises(ValueError, match="p contains NaN"):
        sur.cross_entropy([0.5, np.nan], [0.5, 0.5])
    with pytest.raises(ValueError, match="same number of states"):
        sur.cross_entropy_from_logits([0.5, 0.5], [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="state indices from 0 to 2"):
        sur.cross_entropy_from_logits([3], [[0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="logits hold NaN"):
        sur.cross_entropy_from_logits([0.5, 0.5], [np.nan, 0.0])
    with pytest.raises(ValueError, match="masked"):
        sur.cross_entropy_from_logits([0.5, 0.5], [-np.inf, -np.inf])
    with pytest.raises(ValueError, match="log-probabilities"):
        sur.sequence_perplexity([0.5, -1.0])
    with pytest.raises(ValueError, match="log-probabilities"):
        sur.sequence_perplexity([np.nan, -1.0])
    with pytest.raises(ValueError, match="no tokens"):
        sur.sequence_perplexity([-1.0, -1.0], mask=[0, 0])
    with pytest.raises(ValueError, match="shape of log_probs"):
        sur.sequence_perplexity([-1.0, -1.0], mask=[1, 0, 1])
