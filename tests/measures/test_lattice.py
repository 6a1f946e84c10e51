"""The lattice of partitions: laws against brute force, distances as metrics, zero-mass atoms, bad input."""

import itertools

import dit
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.measures.association import rajski_distance
from plogp.measures.information import conditional_entropy
from plogp.measures.joint import Joint
from plogp.measures.lattice import Lattice, Partition, shannon_distance


def draw(rng, world: Lattice, blocks: int = 4) -> Partition:
    return world.partition(rng.integers(0, blocks, len(world.probs)))


def weighted(rng, n: int, zeros: float = 0.0) -> Lattice:
    p = rng.dirichlet(np.ones(n))
    p = np.where(rng.random(n) < zeros, 0.0, p)
    p[0] = max(p[0], 0.1)
    return Lattice(p / p.sum())


def blocks(x: Partition) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(x.labels == b).tolist()) for b in range(x.num_blocks)}


def brute_meet(x: Partition, y: Partition) -> set[frozenset[int]]:
    merged = [set(b) for b in blocks(x)]
    for block in blocks(y):
        touched = [m for m in merged if m & block]
        merged = [m for m in merged if not m & block] + [set().union(*touched)]
    return {frozenset(m) for m in merged}


def test_join_and_meet_agree_with_brute_force_on_six_points():
    every = {Partition(labels) for labels in itertools.product(range(3), repeat=6)}
    some = sorted(every, key=lambda x: x.labels.tolist())[::5]
    for x, y in itertools.product(some, some):
        assert blocks(x | y) == {a & b for a in blocks(x) for b in blocks(y)} - {frozenset()}
        assert blocks(x & y) == brute_meet(x, y)
        assert (x <= y) == all(any(b <= a for a in blocks(x)) for b in blocks(y))


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_lattice_laws(seed):
    rng = np.random.default_rng(seed)
    world = weighted(rng, 12, zeros=0.2)
    x, y, z = (draw(rng, world) for _ in range(3))
    assert x | x == x & x == x
    assert x | y == y | x
    assert x & y == y & x
    assert (x | y) | z == x | (y | z)
    assert (x & y) & z == x & (y & z)
    assert x | (x & y) == x == x & (x | y)
    assert world.bottom <= x & y <= x <= x | y <= world.top
    assert (x >= y) == (y <= x)
    assert not x < x
    assert (x < (x | y)) == (x != (x | y))
    assert (x <= y) == (conditional_entropy_of(x, y) == 0)


def conditional_entropy_of(x: Partition, y: Partition) -> float:
    table = np.zeros((x.num_blocks, y.num_blocks))
    live = x.labels >= 0
    np.add.at(table, (x.labels[live], y.labels[live]), x.lattice.probs[live])
    return float(conditional_entropy(table, normalize=True))


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_complement_joins_to_the_top_and_meets_in_the_constant(seed):
    rng = np.random.default_rng(seed)
    world = weighted(rng, 15, zeros=0.2)
    x = draw(rng, world)
    for top in (world.top, x | draw(rng, world, 6), x):
        z = x.complement(top)
        assert x | z == top
        assert x & z == world.bottom
        assert z <= top


def test_complement_numbers_the_likeliest_first():
    x = Partition([0, 0, 0, 1, 1], [0.1, 0.3, 0.1, 0.2, 0.3])
    assert x.complement().labels.tolist() == [0, 1, 2, 0, 1]  # canonical: by first appearance
    z = x.complement()
    assert z.labels[1] == z.labels[4]  # the likeliest of each block share a label
    assert z.labels[0] == z.labels[3]


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_distances_are_metrics_and_agree_with_the_joint_table(seed):
    rng = np.random.default_rng(seed)
    world = weighted(rng, 10, zeros=0.2)
    x, y, z = (draw(rng, world, 3) for _ in range(3))
    for distance in (shannon_distance, rajski_distance):
        assert distance(x, z) <= distance(x, y) + distance(y, z) + 1e-12
        assert distance(x, y) == pytest.approx(distance(y, x), abs=1e-14)
        assert (distance(x, y) == 0) == (x == y)
    table = np.zeros((x.num_blocks, y.num_blocks))
    live = x.labels >= 0
    np.add.at(table, (x.labels[live], y.labels[live]), world.probs[live])
    assert rajski_distance(x, y) == pytest.approx(float(rajski_distance(table, normalize=True)), abs=1e-13)


def test_meet_is_the_common_information_of_dit():
    rng = np.random.default_rng(0)
    table = np.zeros((5, 5))
    table[:2, :2] = rng.random((2, 2))
    table[2:, 2:] = rng.random((3, 3)) * np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]])
    table /= table.sum()
    outcomes = [o for o in np.ndindex(5, 5) if table[o] > 0]
    theirs = dit.multivariate.gk_common_information(dit.Distribution(outcomes, [table[o] for o in outcomes]))
    _, v = Lattice.of(Joint(table, "XY"))
    assert (v["X"] & v["Y"]).entropy(base=2) == pytest.approx(theirs, abs=1e-9)


def test_atoms_without_mass_do_not_count():
    world = Lattice([0.5, 0.5, 0.0])
    x, y = world.partition([0, 1, 0]), world.partition([0, 1, 1])
    assert x == y
    assert x & y == x  # the bridge over the third atom does not exist
    assert x.labels.tolist() == [0, 1, -1]
    assert world.top == x


def test_labels_of_any_kind():
    words = Partition(["b", "a", "b", "c"])
    assert words == Partition([7, 3, 7, 0]) == Partition(np.array([[1, 2], [0, 0], [1, 2], [9, 9]]))
    assert words == Partition([("b", 1), ("a", 1), ("b", 1), ("b", 2)])
    with pytest.raises(TypeError, match="cannot be compared"):
        Partition(np.array([1, None, "x"], dtype=object))
    assert words.masses.tolist() == [0.5, 0.25, 0.25]
    assert hash(words) == hash(Partition([7, 3, 7, 0]))
    assert "3 blocks of 4 atoms" in repr(words)


def test_independence():
    world = Lattice(np.outer([0.2, 0.8], [0.3, 0.3, 0.4]).ravel())
    rows, columns = np.divmod(np.arange(6), 3)
    x, y = world.partition(rows), world.partition(columns)
    assert x.independent_of(y)
    assert not x.independent_of(x)
    assert not x.independent_of(world.top)
    assert x.independent_of()
    assert world.bottom.independent_of(x, y)
    tilted = Lattice([0.25 + 1e-6, 0.25 - 1e-6, 0.25, 0.25])
    assert not tilted.partition([0, 0, 1, 1]).independent_of(tilted.partition([0, 1, 0, 1]))


def test_a_large_universe_is_quick_and_sparse():
    rng = np.random.default_rng(0)
    x, y = (Partition(rng.integers(0, 50_000, 200_000)) for _ in range(2))
    assert 0 < x.rajski_distance(y) <= 1
    assert (x & y).num_blocks < 100  # 200,000 random edges on 100,000 nodes: one giant component


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one label per atom"):
        Lattice(3).partition([0, 1])
    with pytest.raises(ValueError, match="NaN"):
        Partition([0.0, np.nan])
    with pytest.raises(ValueError, match="must sum to 1"):
        Partition([0, 1], [0.5, 0.6])
    with pytest.raises(ValueError, match="at least one atom"):
        Lattice(0)
    with pytest.raises(ValueError, match="different universes"):
        Partition([0, 1]) | Partition([0, 1], [0.1, 0.9])
    with pytest.raises(TypeError, match="expected a Partition"):
        Partition([0, 1]) & 3
    with pytest.raises(ValueError, match="top must be above"):
        Partition([0, 1, 2]).complement(Partition([0, 0, 1]))
    with pytest.raises(TypeError, match="not both"):
        Partition([0, 1], [0.5, 0.5], lattice=Lattice(2))
    with pytest.raises(ValueError, match="one-dimensional"):
        Lattice([[0.5, 0.5]])
