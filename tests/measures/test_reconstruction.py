"""Perfect reconstruction: the bound over random families, the known examples, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.measures.lattice import Lattice, Partition
from plogp.measures.reconstruction import reconstruction


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_no_family_beyond_the_bound_reconstructs(seed, n):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 10))
    p = rng.dirichlet(np.ones(size))
    world = Lattice(p)
    report = reconstruction(world.top, [world.partition(rng.integers(0, 4, size)) for _ in range(n)])
    if report.reconstructs:
        assert report.possible
        joint = report.slack * report.entropy  # redundancy: total correlation of the parts
        assert joint >= -1e-12
        assert report.mean_distance <= 1 - 1 / n + 1e-12
        assert report.independent == (abs(joint) < 1e-12)
    elif report.independent and report.entropy > 1e-9:
        assert not report.slack > 1e-9  # for independent parts the condition is sufficient


@pytest.mark.parametrize(
    ("moduli", "sum_d", "reconstructs"),
    [((2, 3, 5), 2.0, True), ((2, 3), 1.4732, False), ((6, 10, 15), 1.0, True), ((2, 4, 8), 1.7799, False)],
)
def test_residues_of_thirty(moduli, sum_d, reconstructs):
    x = np.arange(30)
    report = reconstruction(x, [x % m for m in moduli])
    assert report.sum_d == pytest.approx(sum_d, abs=5e-5)
    assert report.reconstructs is reconstructs
    assert report.independent == (moduli in [(2, 3, 5), (2, 3)])
    assert report.possible == (moduli != (2, 3))


def test_weights_constants_and_partitions():
    x = np.arange(4)
    report = reconstruction(x, [x // 2, x % 2], probs=[0.5, 0.5, 0.0, 0.0])
    assert report.reconstructs
    assert report.distances == (1.0, 0.0)
    assert report.slack == 0.0
    constant = reconstruction([0, 0], [[5, 5]])
    assert constant.reconstructs
    assert constant.sum_d == 0.0
    whole = Partition(x)
    assert reconstruction(whole, [whole]).slack == 0.0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="parts is empty"):
        reconstruction([0, 1], [])
    with pytest.raises(ValueError, match=r"parts\[1\] is no function of x"):
        reconstruction([0, 0, 1], [[0, 0, 1], [0, 1, 1]])
