"""Several variables: against sums of entropies and dit, known cases, libraries, signs, bad input."""

import array_api_strict
import dit
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from plogp.measures import information as info
from plogp.measures import multivariate as multi

XOR = np.array([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]])
GIANT_BIT = np.array([[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.5]]])
BIT = np.log(2)
ALL = [
    multi.total_correlation,
    multi.dual_total_correlation,
    multi.o_information,
    multi.s_information,
    multi.co_information,
    multi.interaction_information,
]
THEIRS = {
    multi.total_correlation: dit.multivariate.total_correlation,
    multi.dual_total_correlation: dit.multivariate.dual_total_correlation,
    multi.o_information: dit.multivariate.o_information,
    multi.co_information: dit.multivariate.coinformation,
    multi.interaction_information: dit.multivariate.interaction_information,
}


def table(seed: int, *shape: int, zeros: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(int(np.prod(shape)))).reshape(shape)
    p = np.where(rng.random(shape) < zeros, 0.0, p)
    return p / p.sum()


def entropy_of(p: np.ndarray, keep: list[int]) -> float:
    away = tuple(i for i in range(p.ndim) if i not in keep)
    return float(special.entr(p.sum(away)).sum())


@pytest.mark.parametrize("function", THEIRS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 2), (2, 2, 3, 2)])
def test_against_dit(function, shape):
    p = table(len(shape), *shape)
    outcomes = list(np.ndindex(shape))
    theirs = THEIRS[function](dit.Distribution(outcomes, [p[o] for o in outcomes]))
    assert function(p, base=2) == pytest.approx(theirs, abs=1e-9)


def test_s_information_is_what_each_shares_with_the_others():
    p = table(9, 2, 3, 4)
    expected = sum(info.mutual_information(p, axes=(i, tuple(j for j in range(3) if j != i))) for i in range(3))
    assert multi.s_information(p) == pytest.approx(expected, abs=1e-14)


def test_signs_on_pure_synergy_and_pure_redundancy():
    expected = {  # in bits: (xor, giant bit)
        multi.total_correlation: (1, 2),
        multi.dual_total_correlation: (2, 1),
        multi.o_information: (-1, 1),
        multi.s_information: (3, 3),
        multi.co_information: (-1, 1),
        multi.interaction_information: (1, -1),
    }
    for function, (xor, giant) in expected.items():
        assert function(XOR, base=2) == pytest.approx(xor, abs=1e-14), function.__name__
        assert function(GIANT_BIT, base=2) == pytest.approx(giant, abs=1e-14), function.__name__


def test_two_variables_have_one_information():
    p = table(2, 3, 4)
    for function in ALL:
        expected = 0.0 if function is multi.o_information else info.mutual_information(p)
        expected *= 2 if function is multi.s_information else 1
        assert function(p) == pytest.approx(expected, abs=1e-14)


@given(st.integers(0, 10**6), st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_independent_variables_share_nothing(seed, n):
    rng = np.random.default_rng(seed)
    joint = np.ones(())
    for _ in range(n):
        joint = joint[..., None] * rng.dirichlet(np.ones(rng.integers(1, 4)))
    for function in (multi.total_correlation, multi.dual_total_correlation):
        assert 0 <= function(joint, normalize=True) < 1e-27


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_non_negative_and_equal_to_the_sums_of_entropies(seed):
    p = table(seed, 2, 3, 2, 2)
    total = sum(entropy_of(p, [i]) for i in range(4)) - entropy_of(p, [0, 1, 2, 3])
    others = [[j for j in range(4) if j != i] for i in range(4)]
    dual = sum(entropy_of(p, rest) for rest in others) - 3 * entropy_of(p, [0, 1, 2, 3])
    assert multi.total_correlation(p) >= 0
    assert multi.dual_total_correlation(p) >= 0
    assert multi.total_correlation(p) == pytest.approx(total, abs=1e-13)
    assert multi.dual_total_correlation(p) == pytest.approx(dual, abs=1e-13)


def test_joint_entropy_over_named_axes():
    p = table(1, 2, 3, 4)
    assert multi.joint_entropy(p) == pytest.approx(entropy_of(p, [0, 1, 2]))
    rows = p / p.sum((1, 2), keepdims=True)
    expected = special.entr(rows).sum((1, 2))
    assert np.allclose(multi.joint_entropy(rows, axes=(1, 2)), expected)
    assert np.allclose(multi.joint_entropy(rows, axes=(-1, -2), base=2), expected / BIT)


@pytest.mark.parametrize("make", [torch.as_tensor, jnp.asarray, array_api_strict.asarray])
@pytest.mark.parametrize("function", [*ALL, multi.joint_entropy], ids=lambda f: f.__name__)
def test_libraries_batches_and_dtypes(make, function):
    batch = np.stack([table(i, 2, 3, 2) for i in range(3)]).astype(np.float32)
    axes = (1, 2, 3)
    expected = [float(function(row.astype(np.float64), normalize=True)) for row in batch]
    got = function(make(batch), axes=axes)
    assert got.dtype == make(batch).dtype
    assert np.allclose(np.asarray(got), expected, atol=2e-6)


def test_grouped_axes_are_one_variable():
    p = table(3, 2, 2, 3)
    assert multi.total_correlation(p, axes=[(0, 1), 2]) == pytest.approx(
        info.mutual_information(p, axes=((0, 1), 2)), abs=1e-14
    )


def test_gradients():
    p = torch.tensor(table(5, 2, 2, 3, zeros=0.0), requires_grad=True)
    for function in ALL:
        assert torch.autograd.gradcheck(lambda t, f=function: f(t, normalize=True), (p,), atol=1e-6)


def test_bad_input_is_refused():
    for function in ALL:
        with pytest.raises(ValueError, match="at least two variables"):
            function([0.5, 0.5])
        with pytest.raises(ValueError, match="must sum to 1"):
            function(XOR * 2)
        with pytest.raises(ValueError, match="twice"):
            function(XOR, axes=(0, 0, 1))
