"""The one k-nearest-neighbour pass: radii in the joint space and counts in the marginal spaces.

Every k-NN estimator of the library reads off two things: how far the k-th neighbour of a point is, and how
many points lie nearer than that in a projection. Radii come from SciPy's k-d tree (or from exact brute force,
in blocks, in high dimension or on a GPU); counts of 1-D projections come from sorting. Neighbours are exact.

Counts compare the *difference* ``|u_j - u_i|``, computed as the radius was, with the radius. Searching a
sorted column for ``u_i + r_i`` instead is wrong on the boundary, where the k-th neighbour always sits: the
sum rounds, the neighbour falls in or out at random, and the estimate is biased.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats

__all__ = ["Marginal", "Neighbours", "SortedColumn", "count_within", "nearest", "threads"]

Ints = npt.NDArray[np.intp]

#: Norms by the name of their metric, as SciPy's k-d tree wants them.
METRICS = {"chebyshev": np.inf, "euclidean": 2.0, "manhattan": 1.0}
#: Above this dimension a k-d tree visits nearly every point, and brute force in blocks is faster.
TREE_MAX_DIM = 20
#: Below this many points threads cost more than they save.
SERIAL_BELOW = 2000


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest neighbours of each query point, nearest first: distances and row numbers, shape (n, k)."""

    distances: Floats
    ids: Ints

    @property
    def radius(self) -> Floats:
        """Distance to the k-th neighbour of each query point."""
        return np.ascontiguousarray(self.distances[:, -1])


def threads(workers: int = -1, n: int | None = None) -> int:
    """Return the number of threads to use: `workers`, or the cores this process may use if -1."""
    if workers == 0 or workers < -1:
        raise ValueError(f"workers must be a positive number of threads or -1 for all cores, got {workers}")
    if n is not None and n < SERIAL_BELOW:
        return 1
    if workers > 0:
        return workers
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable is not None else (os.cpu_count() or 1)


def norm_of(metric: str) -> float:
    """Return the exponent of the norm behind a metric's name."""
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {sorted(METRICS)}, got {metric!r}")
    return METRICS[metric]


def nearest(
    points: Floats,
    k: int,
    *,
    query: Floats | None = None,
    metric: str = "chebyshev",
    workers: int = -1,
    device: str | None = None,
    only_kth: bool = False,
) -> Neighbours:
    """Return the k nearest of `points` to each row of `query`, or to each point itself (then left out).

    Parameters
    ----------
    points : array, shape (n, d)
        The points that may be neighbours.
    k : int
        How many neighbours; at most n - 1 without `query`, at most n with it.
    query : array, shape (m, d), optional
        Where to look from. None: from each of the `points`, itself excluded.
    metric : {"chebyshev", "euclidean", "manhattan"}
        The norm of the differences.
    workers : int
        Threads, -1 for all cores.
    device : str, optional
        A PyTorch device such as ``"cuda"``: exact brute force in blocks there instead of a k-d tree.
    only_kth : bool
        Return the k-th neighbour only, shape (n, 1); cheaper.

    Examples
    --------
    >>> near = nearest(np.array([[0.0], [1.0], [3.0]]), k=1)
    >>> near.radius
    array([1., 1., 2.])
    >>> near.ids.ravel()
    array([1, 0, 1])
    """
    p = norm_of(metric)
    most = len(points) - (query is None)
    if not 1 <= k <= most:
        raise ValueError(f"k={k} neighbours asked of {most} candidate points")
    if device is not None:
        from plogp.estimate.brute import nearest_torch

        found = nearest_torch(points, k, query, p, device)
    elif points.shape[1] > TREE_MAX_DIM:
        from plogp.estimate.brute import nearest_blocks

        found = nearest_blocks(points, k, query, p, threads(workers, len(points)))
    else:
        return _nearest_tree(points, k, query, p, threads(workers, len(points)), only_kth)
    distances, ids = found
    return Neighbours(distances[:, -1:], ids[:, -1:]) if only_kth else Neighbours(distances, ids)


def _nearest_tree(points: Floats, k: int, query: Floats | None, p: float, workers: int, only_kth: bool) -> Neighbours:
    from scipy.spatial import cKDTree

    if points.shape[1] == 1 and query is None and only_kth:
        return _kth_on_a_line(points[:, 0], k)
    tree = cKDTree(points, leafsize=12, balanced_tree=False, compact_nodes=False)
    own = query is None
    # Asking in the tree's own order makes neighbouring queries walk the same, cached nodes.
    order = tree.indices if own else np.lexsort(query.T[:2]) if query is not None else None
    where = points[order] if query is None else query[order]
    first = k + own if only_kth else 1
    distances, ids = tree.query(where, k=np.arange(first, k + own + 1), p=p, workers=workers)
    out_d = np.empty_like(distances)
    out_i = np.empty_like(ids)
    out_d[order], out_i[order] = distances, ids
    if own and not only_kth:
        out_d, out_i = _without_self(out_d, out_i)
    return Neighbours(out_d, out_i)


def _without_self(distances: Floats, ids: Ints) -> tuple[Floats, Ints]:
    """Drop each point from its own list of k + 1; among duplicates it need not stand first."""
    n, width = ids.shape
    if width == 1:
        raise ValueError("a list of one neighbour cannot lose the point itself")
    itself = ids == np.arange(n)[:, None]
    absent = ~itself.any(axis=1)
    itself[absent, -1] = True  # more than k duplicates crowded it out: all k are at distance 0 anyway
    keep = ~itself
    return distances[keep].reshape(n, width - 1), ids[keep].reshape(n, width - 1)


def _kth_on_a_line(u: Floats, k: int) -> Neighbours:
    """k-th neighbour on the real line: it is among the k next to the left and right in sorted order."""
    n = len(u)
    order = np.argsort(u, kind="stable")
    s = u[order]
    at = np.arange(n)
    # The k nearest form a window of k + 1 sorted values [i - a, i - a + k]: take the tightest one.
    best = np.full(n, np.inf)
    who = np.zeros(n, dtype=np.intp)
    for a in range(k + 1):
        low, high = at - a, at - a + k
        inside = (low >= 0) & (high < n)
        lo, hi = low[inside], high[inside]
        left, right = s[inside] - s[lo], s[hi] - s[inside]
        reach = np.maximum(left, right)
        better = reach < best[inside]
        rows = at[inside][better]
        best[rows] = reach[better]
        who[rows] = np.where(left > right, lo, hi)[better]
    distances, ids = np.empty(n), np.empty(n, dtype=np.intp)
    distances[order], ids[order] = best, order[who]
    return Neighbours(distances[:, None], ids[:, None])


class SortedColumn:
    """A 1-D projection, sorted once, that counts how many other points lie within a radius of each point.

    Examples
    --------
    >>> column = SortedColumn(np.array([0.0, 1.0, 1.5, 4.0]))
    >>> column.count(np.array([1.0, 1.0, 1.0, 1.0]))           # strictly nearer than 1
    array([0, 1, 1, 0])
    >>> column.count(np.array([1.0, 1.0, 1.0, 1.0]), closed=True)
    array([1, 2, 1, 0])
    """

    def __init__(self, values: Floats) -> None:
        self.order: Ints = np.argsort(values)
        self.values: Floats = values[self.order]

    def count(self, radius: Floats, closed: bool = False) -> Ints:
        """Return for each point the number of others with ``|u_j - u_i| < radius_i`` (or ``<=`` if `closed`)."""
        low, high = self.span(radius[self.order], closed)
        out = np.empty(len(low), dtype=np.intp)
        out[self.order] = np.maximum(high - low - 1, 0)
        return out

    def span(self, radius: Floats, closed: bool = False) -> tuple[Ints, Ints]:
        """Return, in sorted order, the half-open index range of the points within `radius` (also sorted)."""
        s = self.values
        low = np.searchsorted(s, s - radius, "left" if closed else "right")
        high = np.searchsorted(s, s + radius, "right" if closed else "left")
        within = np.less_equal if closed else np.less
        return self._settle_low(low, radius, within), self._settle_high(high, radius, within)

    def _settle_high(self, high: Ints, radius: Floats, within: np.ufunc) -> Ints:
        # s_j - s_i grows with s_j (rounding is monotone), so the true end is a few equal values away.
        s, n = self.values, len(self.values)
        wrong = np.flatnonzero(~within(s[high - 1] - s, radius) & (high - 1 > np.arange(n)))
        while len(wrong):
            high[wrong] = np.searchsorted(s, s[high[wrong] - 1], "left")
            wrong = wrong[(high[wrong] - 1 > wrong) & ~within(s[high[wrong] - 1] - s[wrong], radius[wrong])]
        wrong = np.flatnonzero(within(s[np.minimum(high, n - 1)] - s, radius) & (high < n))
        while len(wrong):
            high[wrong] = np.searchsorted(s, s[high[wrong]], "right")
            inside = high[wrong] < n
            wrong = wrong[inside]
            wrong = wrong[within(s[high[wrong]] - s[wrong], radius[wrong])]
        return high

    def _settle_low(self, low: Ints, radius: Floats, within: np.ufunc) -> Ints:
        s, n = self.values, len(self.values)
        wrong = np.flatnonzero(~within(s - s[np.minimum(low, n - 1)], radius) & (low < np.arange(n)))
        while len(wrong):
            low[wrong] = np.searchsorted(s, s[low[wrong]], "right")
            wrong = wrong[(low[wrong] < wrong) & ~within(s[wrong] - s[np.minimum(low[wrong], n - 1)], radius[wrong])]
        wrong = np.flatnonzero(within(s - s[low - 1], radius) & (low > 0))
        while len(wrong):
            low[wrong] = np.searchsorted(s, s[low[wrong] - 1], "left")
            inside = low[wrong] > 0
            wrong = wrong[inside]
            wrong = wrong[within(s[wrong] - s[low[wrong] - 1], radius[wrong])]
        return low


class Marginal:
    """A projection made ready to count neighbours in: sorted, or in a k-d tree, or for brute force."""

    def __init__(self, points: Floats, workers: int = -1, device: str | None = None) -> None:
        self.points = points
        self.workers = threads(workers, len(points))
        self.device = device
        self.column: SortedColumn | None = None
        self.tree: Any = None
        if device is not None:
            return
        if points.shape[1] == 1:
            self.column = SortedColumn(np.ascontiguousarray(points[:, 0]))
        elif points.shape[1] <= TREE_MAX_DIM:
            from scipy.spatial import cKDTree

            self.tree = cKDTree(points, balanced_tree=False, compact_nodes=False)

    def count(self, radius: Floats, closed: bool = False) -> Ints:
        """Return for each point the number of other points nearer than its radius (or at it, if `closed`)."""
        if self.column is not None:
            return self.column.count(radius, closed)
        # "strictly nearer than r" is "at most the float below r": distances are floats themselves.
        reach = radius if closed else np.nextafter(radius, -np.inf)
        if self.tree is not None:
            order = self.tree.indices
            found = np.empty(len(radius), dtype=np.intp)
            found[order] = self.tree.query_ball_point(
                self.points[order],
                np.maximum(reach[order], 0.0),
                p=np.inf,
                return_length=True,
                workers=self.workers,
            )
        elif self.device is not None:
            from plogp.estimate.brute import count_torch

            found = count_torch(self.points, reach, self.device)
        else:
            from plogp.estimate.brute import count_blocks

            found = count_blocks(self.points, reach, self.workers)
        return np.where(reach >= 0, found - 1, 0)

    @property
    def repeated(self) -> float | None:
        """Share of the points of a one-column projection that repeat a value; None for several columns."""
        if self.column is None:
            return None
        return float(np.mean(np.append(self.column.values[1:] == self.column.values[:-1], False)))


def count_within(
    points: Floats,
    radius: Floats,
    *,
    closed: bool = False,
    workers: int = -1,
    device: str | None = None,
) -> Ints:
    """Return for each point the number of *other* points within its radius in the Chebyshev norm.

    Parameters
    ----------
    points : array, shape (n, d)
        A marginal space. One column is counted by sorting, several by a k-d tree, many by brute force.
    radius : array, shape (n,)
        Radius of each point.
    closed : bool
        Count ``<=`` instead of ``<``.

    Examples
    --------
    >>> count_within(np.array([[0.0, 0.0], [1.0, 0.5], [3.0, 3.0]]), np.array([1.0, 2.0, 9.0]))
    array([0, 1, 2])
    """
    return Marginal(points, workers, device).count(radius, closed)


def in_parallel(tasks: Sequence[Callable[[], Any]], workers: int, n: int) -> list[Any]:
    """Run independent jobs (one a space) on threads; sorting, searching and k-d trees release the lock."""
    if threads(workers, n) == 1 or len(tasks) == 1:
        return [task() for task in tasks]
    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(lambda task: task(), tasks))
