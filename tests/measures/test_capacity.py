"""Channel capacity: closed forms, the certified bracket, hostile channels."""

import numpy as np
import pytest
from scipy import optimize, special

from plogp.measures.capacity import channel_capacity
from plogp.measures.information import mutual_information

BIT = np.log(2)


def h(p):
    return special.entr(p) + special.entr(1 - p)


@pytest.mark.parametrize("e", [0.0, 0.01, 0.11, 0.3, 0.5])
def test_symmetric_erasure_and_z_channels(e):
    symmetric = channel_capacity([[1 - e, e], [e, 1 - e]])
    assert symmetric.capacity == pytest.approx(BIT - h(e), abs=1e-9)
    erasure = channel_capacity([[1 - e, e, 0], [0, e, 1 - e]])
    assert erasure.capacity == pytest.approx((1 - e) * BIT, abs=1e-9)
    z = channel_capacity([[1, 0], [e, 1 - e]])
    assert z.capacity == pytest.approx(np.log1p((1 - e) * e ** (e / (1 - e))), abs=1e-9)
    for point in (symmetric, erasure, z):
        assert point.converged
        assert point.gap <= 1e-9
        assert point.input.sum() == pytest.approx(1)


def test_noisy_typewriter_and_useless_inputs():
    n = 26
    rows = 0.5 * (np.eye(n) + np.roll(np.eye(n), 1, axis=1))
    assert channel_capacity(rows).capacity == pytest.approx(np.log(13), abs=1e-9)
    # A third input that says nothing new must be given up.
    point = channel_capacity([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert point.capacity == pytest.approx(BIT, abs=1e-9)
    assert point.input[2] < 1e-6


def test_the_bracket_holds_against_a_general_optimiser_and_before_convergence():
    rng = np.random.default_rng(0)
    for _ in range(5):
        rows = rng.dirichlet(np.ones(4), 3)

        def loss(z, rows=rows):
            p = special.softmax(z)
            return -float(mutual_information(p[:, None] * rows))

        best = -optimize.minimize(loss, np.zeros(3), tol=1e-14).fun
        point = channel_capacity(rows)
        assert point.capacity - 1e-7 <= best <= point.capacity + point.gap + 1e-12
        early = channel_capacity(rows, max_iter=2)
        assert early.capacity - 1e-12 <= best <= early.capacity + early.gap + 1e-12


def test_degenerate_channels():
    assert channel_capacity([[0.2, 0.8]]).capacity == 0.0
    assert channel_capacity([[0.2, 0.8]] * 4).capacity == pytest.approx(0.0, abs=1e-15)
    assert channel_capacity(np.eye(5)).capacity == pytest.approx(np.log(5), abs=1e-12)
    slow = channel_capacity(rows := np.array([[1.0, 0.0], [0.5, 0.5]]), max_iter=1)
    assert not slow.converged
    assert "not converged" in repr(slow)
    assert "not converged" not in repr(channel_capacity(rows))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="channel must sum to 1"):
        channel_capacity([[0.5, 0.4]])
    with pytest.raises(ValueError, match="n_x, n_y"):
        channel_capacity([0.5, 0.5])
    with pytest.raises(ValueError, match="NaN"):
        channel_capacity([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="tol"):
        channel_capacity(np.eye(2), tol=0)
