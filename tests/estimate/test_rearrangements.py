from __future__ import annotations

import numpy as np
import pytest

from plogp.estimate.inference import permutation_test
from plogp.estimate.rearrangements import circular_shift, local_permutation, shuffle, shuffle_blocks, shuffle_within


def correlation(x, y):
    return abs(np.corrcoef(x, y)[0, 1])


@pytest.mark.parametrize("n", [10, 11, 37])
@pytest.mark.parametrize("make", [lambda: shuffle, lambda: circular_shift(2), lambda: shuffle_blocks(3)])
def test_rearrangements_are_permutations(make, n):
    rng = np.random.default_rng(0)
    rearrange = make()
    for _ in range(10):
        assert sorted(rearrange(n, rng)) == list(range(n))


def test_circular_shift_keeps_the_order_and_moves_far_enough():
    rng = np.random.default_rng(0)
    shifts = set()
    for _ in range(300):
        order = circular_shift(4)(10, rng)
        assert (np.diff(order) % 10 == 1).all()
        shifts.add(int(order[0]))
    assert shifts == {4, 5, 6}


def test_shuffle_within_stays_within():
    labels = np.array(list("abacbbac"))
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        order = shuffle_within(labels)(8, rng)
        assert sorted(order) == list(range(8))
        assert (labels[order] == labels).all()
        seen.add(tuple(order))
    assert len(seen) > 10


def test_local_permutation_moves_to_neighbours():
    z = np.random.default_rng(0).random(200)
    order = local_permutation(z, k=5)(200, np.random.default_rng(1))
    assert np.abs(z[order] - z).max() < 0.1
    assert len(set(order)) > 180
    assert (order != np.arange(200)).mean() > 0.5


def test_local_permutation_tests_conditional_independence():
    """x and y share only z: shuffling freely rejects, shuffling among neighbours in z does not."""
    rng = np.random.default_rng(0)

    def partial(a, _, y, z):
        r = [v - np.polyval(np.polyfit(z, v, 3), z) for v in (a, y)]
        return correlation(*r)

    p = []
    for _ in range(60):
        z = rng.standard_normal(120)
        x, y = z + 0.5 * rng.standard_normal(120), z + 0.5 * rng.standard_normal(120)

        def statistic(a, _, y=y, z=z):
            return partial(a, _, y, z)

        p.append(permutation_test(statistic, x, y, 39, rng, rearrange=local_permutation(z)).p_value)
        free = permutation_test(correlation, x, y, 39, rng).p_value
        assert free == 0.025
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="two blocks"):
        shuffle_blocks(6)(10, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.9"):
        local_permutation(np.arange(10.0), k=10)
    with pytest.raises(ValueError, match="z holds NaN"):
        local_permutation([0.0, np.nan, 1.0], k=1)
