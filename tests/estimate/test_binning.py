import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.preprocessing import KBinsDiscretizer

from plogp.estimate.binning import STRATEGIES, Binner, kmeans_edges, quantile_edges, unique_quantile_edges, width_edges

arrays = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(arrays, st.integers(1, 12), st.sampled_from(sorted(STRATEGIES)))
def test_every_bin_between_the_outer_ones_can_be_reached(values, bins, strategy):
    binner = Binner(strategy, bins)
    edges = binner.edges(values)
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= bins - 1
    ids = binner(values)
    assert ids.min() >= 0
    assert ids.max() <= len(edges)
    # Both outer bins hold something: no edge below the smallest or at the largest value.
    if len(edges):
        assert (ids == 0).any()
        assert (ids == len(edges)).any()


def test_width_agrees_with_scikit_learn():
    x = np.random.default_rng(0).normal(size=300)
    peer = KBinsDiscretizer(7, encode="ordinal", strategy="uniform").fit(x[:, None])
    assert np.allclose(width_edges(x, 7), peer.bin_edges_[0][1:-1])
    assert (Binner("width", 7)(x) == peer.transform(x[:, None])[:, 0]).all()


def test_quantile_bins_hold_equally_many():
    x = np.random.default_rng(0).normal(size=1003)
    counts = np.bincount(Binner("quantile", 10)(x))
    assert len(counts) == 10
    assert counts.max() - counts.min() <= 1


def test_ties_never_split_and_fewer_bins_come_out():
    x = np.array([0.0] * 90 + list(range(1, 11)))
    binner = Binner("quantile", 5)
    ids = binner(x)
    assert len(set(ids[x == 0])) == 1
    assert len(np.bincount(ids)) == 2


def test_unique_quantiles_ignore_repeats_and_follow_monotone_maps():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.ones(500), rng.normal(size=99)])
    counts = np.bincount(np.searchsorted(unique_quantile_edges(x, 10), np.unique(x)))
    assert counts.tolist() == [10] * 10
    binner = Binner("unique-quantile", 10)
    assert (binner(x) == binner(np.exp(x))).all()
    assert (binner(x) == binner(x**3 + 5)).all()


def test_fewer_values_than_bins_gives_each_its_own():
    x = np.array([3.0, 1.0, 2.0, 2.0])
    assert Binner("unique-quantile", 30)(x).tolist() == [2, 0, 1, 1]


def test_kmeans_is_at_least_as_good_as_lloyd():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, 0.3, 60) for m in (0, 1.2, 5, 9)])

    def cost(ids):
        return sum(((x[ids == i] - x[ids == i].mean()) ** 2).sum() for i in np.unique(ids))

    for k in (2, 3, 4, 6):
        peer = KMeans(k, n_init=10, random_state=0).fit(x[:, None]).labels_
        assert cost(Binner("kmeans", k)(x)) <= cost(peer) * (1 + 1e-9)
    assert len(kmeans_edges(rng.normal(size=3000), 8)) == 7  # more values than the programme keeps


def test_extremes():
    assert width_edges([5.0, 5.0], 4).size == 0
    assert np.isfinite(width_edges([-1e308, 1e308], 4)).all()
    assert quantile_edges([1.0], 4).size == 0
    assert Binner("width", 1)([1.0, 2.0]).tolist() == [0, 0]
    binner = Binner("width", 3)
    assert binner.digitize([-1e300, 1e300], binner.edges([0.0, 3.0])).tolist() == [0, 2]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_bad_input(strategy):
    binner = Binner(strategy, 3)
    with pytest.raises(ValueError, match="x contains NaN"):
        binner.edges([1.0, np.nan])
    with pytest.raises(ValueError, match="x contains NaN or infinite"):
        binner.edges([1.0, np.inf])
    with pytest.raises(ValueError, match="x is empty"):
        binner.edges([])
    with pytest.raises(TypeError, match="real numbers"):
        binner.edges(["a"])


def test_bad_parameters():
    with pytest.raises(ValueError, match="strategy must be one of"):
        Binner("equal")
    for bins in (0, 2.5, True):
        with pytest.raises(ValueError, match="bins must be a whole number"):
            Binner("width", bins)
    with pytest.raises(ValueError, match="ascending"):
        Binner().digitize([1.0], [2.0, 1.0])
    with pytest.raises(ValueError, match="x contains NaN"):
        Binner().digitize([np.nan], [1.0])
