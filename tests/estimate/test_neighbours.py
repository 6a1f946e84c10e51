import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from plogp.estimate import brute, neighbours
from plogp.estimate.neighbours import Marginal, SortedColumn, count_within, nearest, threads


def distances(points, query=None, p=np.inf):
    where = points if query is None else query
    out = np.linalg.norm(where[:, None] - points[None], ord=p, axis=-1)
    if query is None:
        np.fill_diagonal(out, np.inf)
    return out


@pytest.mark.parametrize("d", [1, 2, 3, 25])
@pytest.mark.parametrize(("metric", "p"), [("chebyshev", np.inf), ("euclidean", 2), ("manhattan", 1)])
@pytest.mark.parametrize("only_kth", [False, True])
def test_nearest_is_brute_force(d, metric, p, only_kth):
    points = np.random.default_rng(d).standard_normal((200, d))
    near = nearest(points, 5, metric=metric, only_kth=only_kth)
    truth = np.sort(distances(points, p=p), axis=1)[:, 4:5] if only_kth else np.sort(distances(points, p=p))[:, :5]
    np.testing.assert_allclose(near.distances, truth, rtol=1e-13)
    picked = np.take_along_axis(distances(points, p=p), near.ids, axis=1)
    np.testing.assert_allclose(picked, near.distances, rtol=1e-13)


@pytest.mark.parametrize("d", [1, 2, 25])
def test_nearest_of_a_query(d):
    rng = np.random.default_rng(d)
    points, query = rng.standard_normal((80, d)), rng.standard_normal((30, d))
    near = nearest(points, 3, query=query)
    np.testing.assert_allclose(near.distances, np.sort(distances(points, query), axis=1)[:, :3], rtol=1e-13)
    everyone = nearest(points, 80, query=query)
    assert (np.sort(everyone.ids, axis=1) == np.arange(80)).all()


@pytest.mark.parametrize("d", [1, 2, 25])
@pytest.mark.parametrize("only_kth", [False, True])
def test_duplicates_leave_each_point_out_of_its_own_list(d, only_kth):
    points = np.random.default_rng(0).integers(0, 2, (60, 1)).repeat(d, axis=1).astype(float)
    near = nearest(points, 4, only_kth=only_kth)
    assert near.distances.shape == near.ids.shape == (60, 1 if only_kth else 4)
    assert (near.radius == 0).all()
    if not only_kth:
        # More than k + 1 copies may crowd a point out of its list, but it never is its own neighbour.
        assert (near.ids != np.arange(60)[:, None]).all() or d < 25


def test_torch_path_agrees_with_the_tree():
    pytest.importorskip("torch")
    points = np.random.default_rng(1).standard_normal((150, 3))
    for metric in ("chebyshev", "euclidean"):
        here, there = nearest(points, 4, metric=metric), nearest(points, 4, metric=metric, device="cpu")
        np.testing.assert_allclose(here.distances, there.distances, rtol=1e-12)
        assert (here.ids == there.ids).all()
    radius = nearest(points, 4).radius
    assert (count_within(points[:, :2], radius) == count_within(points[:, :2], radius, device="cpu")).all()
    with_query = brute.nearest_torch(points, 2, points[:5], np.inf, "cpu")
    assert (with_query[1][:, 0] == np.arange(5)).all()


def exact_counts(points, radius, closed):
    apart = np.abs(points[:, None] - points[None]).max(axis=-1)
    inside = apart <= radius[:, None] if closed else apart < radius[:, None]
    return inside.sum(axis=1) - (inside[np.arange(len(points)), np.arange(len(points))])


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("d", [1, 2, 22])
def test_counts_keep_the_boundary_exactly(closed, d):
    """The k-th neighbour sits at exactly the radius along one axis: it must not be counted, or must."""
    rng = np.random.default_rng(7)
    for scale in (1.0, 1e-8, 1e8):
        joint = np.round(rng.standard_normal((400, d + 1)), 3) * scale + 0.1
        radius = nearest(joint, 3).radius
        block = np.ascontiguousarray(joint[:, :d])
        assert (count_within(block, radius, closed=closed) == exact_counts(block, radius, closed)).all()


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-5, 5, width=16)),
    st.floats(0, 4, width=16),
    st.booleans(),
)
def test_sorted_column_counts_like_brute_force(values, radius, closed):
    values = values * 0.1  # makes sums and differences round
    for r in (radius * 0.1, 0.0, *(np.abs(values - values[0])[:3])):
        radii = np.full(len(values), r)
        found = SortedColumn(values).count(radii, closed)
        assert (found == exact_counts(values[:, None], radii, closed)).all()


def test_a_naive_search_is_wrong_on_the_boundary():
    """What the column guards against: u + r rounds back on to the neighbour."""
    rng = np.random.default_rng(0)
    joint = rng.standard_normal((4000, 2))
    radius, u = nearest(joint, 3).radius, joint[:, 0]
    s = np.sort(u)
    r = np.nextafter(radius, 0)
    naive = np.searchsorted(s, u + r, "right") - np.searchsorted(s, u - r, "left") - 1
    right = exact_counts(u[:, None], radius, False)
    assert (naive != right).mean() > 0.05
    assert (SortedColumn(u).count(radius) == right).all()


def test_marginal_reports_repeats():
    assert Marginal(np.array([[1.0], [1.0], [2.0], [3.0]])).repeated == 0.25
    assert Marginal(np.zeros((3, 2))).repeated is None


def test_bad_requests():
    points = np.zeros((5, 2))
    with pytest.raises(ValueError, match="k=5"):
        nearest(points, 5)
    with pytest.raises(ValueError, match="metric"):
        nearest(points, 1, metric="cosine")
    with pytest.raises(ValueError, match="workers"):
        threads(0)
    assert threads(3) == 3
    assert threads(-1) >= 1
    assert threads(8, n=10) == 1


def test_threads_do_not_change_the_answer():
    points = np.random.default_rng(3).standard_normal((neighbours.SERIAL_BELOW + 500, 2))
    one, two = nearest(points, 3, workers=1), nearest(points, 3, workers=2)
    assert (one.distances == two.distances).all()
