import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp import divergence
from plogp.measures.bernoulli import bernoulli_kl, bernoulli_kl_inverse

UNIT = st.floats(0.0, 1.0)


def by_hand(p, q):
    total = 0.0
    for a, b in ((p, q), (1 - p, 1 - q)):
        if a > 0:
            total += math.inf if b == 0 else a * (math.log(a) - math.log(b))
    return total


@settings(max_examples=100, deadline=None)
@given(UNIT, UNIT)
def test_kl_is_its_definition(p, q):
    assert bernoulli_kl(p, q) == pytest.approx(by_hand(p, q), rel=1e-12, abs=1e-14)
    assert bernoulli_kl(p, q, base=2) == pytest.approx(by_hand(p, q) / math.log(2), rel=1e-12, abs=1e-14)


def test_the_direction_is_that_of_the_library():
    assert bernoulli_kl(0.9, 0.2) == pytest.approx(float(divergence("kl")([0.9, 0.1], [0.2, 0.8])))
    assert bernoulli_kl(0.9, 0.2) != pytest.approx(bernoulli_kl(0.2, 0.9))


@settings(max_examples=100, deadline=None)
@given(UNIT, st.floats(0.0, 20.0), st.sampled_from(["upper", "lower"]), st.sampled_from(["p", "q"]))
def test_the_inverse_is_the_end_of_the_interval(x, bound, side, solve_for):
    end = bernoulli_kl_inverse(x, bound, side, solve_for=solve_for)
    assert (end >= x) if side == "upper" else (end <= x)

    def kl(moving):
        return bernoulli_kl(moving, x) if solve_for == "p" else bernoulli_kl(x, moving)

    assert kl(end) <= bound + 1e-14
    beyond = end + (1e-6 if side == "upper" else -1e-6)
    if 0 < beyond < 1:
        assert kl(beyond) > bound - 1e-9


def test_closed_forms_and_the_papers_numbers():
    assert bernoulli_kl_inverse(0.0, 0.3, solve_for="q") == pytest.approx(1 - math.exp(-0.3))
    assert bernoulli_kl_inverse(1.0, 0.3, "lower", solve_for="q") == pytest.approx(math.exp(-0.3))
    np.testing.assert_allclose(bernoulli_kl([0.95] * 3, [0.02, 0.1, 0.3]), [3.519, 1.994, 0.963], atol=5e-4)
    np.testing.assert_allclose(bernoulli_kl_inverse(0.1, [0.5, 1, 2, 3]), [0.495, 0.689, 0.951, 1.0], atol=5e-4)


def test_extremes():
    assert bernoulli_kl(0.0, 0.0) == 0
    assert bernoulli_kl(1.0, 1.0) == 0
    assert bernoulli_kl(0.5, 0.0) == math.inf
    assert bernoulli_kl(0.5, 1.0) == math.inf
    assert bernoulli_kl_inverse(0.3, math.inf) == 1.0
    assert bernoulli_kl_inverse(0.3, 0.0) == 0.3
    assert bernoulli_kl_inverse(0.0, 5.0) == 0.0  # no budget buys what the prior excludes
    assert bernoulli_kl_inverse(0.3, 1e-300) >= 0.3
    assert bernoulli_kl_inverse([[0.1], [0.2]], [1.0, 2.0]).shape == (2, 2)


def test_tensors_and_their_gradient():
    torch = pytest.importorskip("torch")
    q = torch.tensor([0.2, 0.7], dtype=torch.float64, requires_grad=True)
    p = torch.tensor([0.5, 0.1], dtype=torch.float64)
    bernoulli_kl(p, q).sum().backward()
    np.testing.assert_allclose(q.grad, ((q - p) / (q * (1 - q))).detach())


@pytest.mark.parametrize("bad", [(math.nan, 0.5), (0.5, 1.1), (-0.1, 0.5)])
def test_what_is_no_probability_is_refused(bad):
    with pytest.raises(ValueError, match="must lie in"):
        bernoulli_kl(*bad)


def test_bad_options():
    for args, kw in [((0.5, -1), {}), ((0.5, math.nan), {}), ((2, 1), {}), ((0.5, 1, "up"), {})]:
        with pytest.raises(ValueError):
            bernoulli_kl_inverse(*args, **kw)
    with pytest.raises(ValueError, match="solve_for"):
        bernoulli_kl_inverse(0.5, 1, solve_for="x")
