"""Bins for arrays of numbers: where the edges go, and which bin a value falls in.

Bins are given by their *inner* edges, ascending: k edges make k + 1 bins (-∞, e_1], (e_1, e_2], ...,
(e_k, ∞), closed on the right. The outer bins have no end, so that later values always have a bin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["STRATEGIES", "Binner", "kmeans_edges", "quantile_edges", "unique_quantile_edges", "width_edges"]

Floats = npt.NDArray[np.float64]


def width_edges(x: npt.ArrayLike, bins: int) -> Floats:
    """Return the inner edges of `bins` intervals of equal width between the smallest and the largest value.

    A constant `x` has no width and gets no edge.

    Parameters
    ----------
    x : array
        Finite numbers; all entries are taken together.
    bins : int
        Number of bins, at least 1.

    Raises
    ------
    ValueError
        If `x` is empty or not finite, or `bins` is below 1.

    Examples
    --------
    >>> width_edges([0.0, 1.0, 10.0], 5)
    array([2., 4., 6., 8.])
    """
    values, bins = _checked(x, bins)
    low, high = values.min(), values.max()
    # Halves first: the difference of two large numbers of opposite sign must not overflow.
    share = np.arange(1, bins) / bins
    return np.unique(_inner(low * (1 - share) + high * share, low, high))


def quantile_edges(x: npt.ArrayLike, bins: int) -> Floats:
    """Return the inner edges of `bins` bins that hold equally many values, as far as ties allow.

    Edges are values of `x`. A value so frequent that it spans several bins gives one edge: fewer bins come
    out.

    Parameters
    ----------
    x : array
        Finite numbers; all entries are taken together.
    bins : int
        Number of bins, at least 1.

    Raises
    ------
    ValueError
        If `x` is empty or not finite, or `bins` is below 1.

    Examples
    --------
    >>> quantile_edges([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)
    array([2., 4.])
    """
    values, bins = _checked(x, bins)
    return _split_evenly(np.sort(values), bins)


def unique_quantile_edges(x: npt.ArrayLike, bins: int) -> Floats:
    """Return the inner edges of `bins` bins that hold equally many *different* values.

    Repeated values (saturated units) count once. With fewer than `bins` different values each has its own
    bin. The bins of x and of g(x) are the same for every strictly increasing g.

    Parameters
    ----------
    x : array
        Finite numbers; all entries are taken together.
    bins : int
        Number of bins, at least 1.

    Raises
    ------
    ValueError
        If `x` is empty or not finite, or `bins` is below 1.

    Examples
    --------
    >>> unique_quantile_edges([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0], 2)
    array([1.])

    References
    ----------
    Chelombiev, Houghton and O'Donnell (2019), arXiv 1902.09037.
    """
    values, bins = _checked(x, bins)
    return _split_evenly(np.unique(values), bins)


def kmeans_edges(x: npt.ArrayLike, bins: int) -> Floats:
    """Return the inner edges between the `bins` groups of least within-group sum of squares in one dimension.

    The optimum, not a local one: in one dimension groups are intervals, and an exact dynamic programme finds
    them (Wang and Song 2011) over at most 512 quantiles of the values.

    Parameters
    ----------
    x : array
        Finite numbers; all entries are taken together.
    bins : int
        Number of bins, at least 1.

    Raises
    ------
    ValueError
        If `x` is empty or not finite, or `bins` is below 1.

    Examples
    --------
    >>> kmeans_edges([0.0, 0.1, 0.2, 5.0, 5.1, 9.0], 3)
    array([2.6 , 7.05])
    """
    values, bins = _checked(x, bins)
    points, weights = np.unique(values, return_counts=True)
    if len(points) > 512:
        points, weights = np.unique(
            np.quantile(values, (np.arange(512) + 0.5) / 512, method="inverted_cdf"), return_counts=True
        )
    if len(points) <= bins:
        return np.unique(_inner((points[:-1] + points[1:]) / 2, -np.inf, points[-1]))
    scale = np.abs(points).max() or 1.0
    centred = points / scale
    centred = centred - np.average(centred, weights=weights)
    total, first, second = (np.concatenate(([0.0], np.cumsum(weights * centred**k))) for k in (0, 1, 2))

    def cost(start: npt.NDArray[np.intp], stop: int) -> Floats:
        mass, moment = total[stop] - total[start], first[stop] - first[start]
        return np.maximum(second[stop] - second[start] - moment**2 / mass, 0.0)

    m = len(points)
    best = np.concatenate(([0.0], [cost(np.zeros(1, np.intp), stop)[0] for stop in range(1, m + 1)]))
    back = np.zeros((bins, m + 1), np.intp)
    for group in range(1, bins):
        now = np.full(m + 1, np.inf)
        for stop in range(group + 1, m + 1):
            starts = np.arange(group, stop)
            candidates = best[starts] + cost(starts, stop)
            chosen = int(candidates.argmin())
            now[stop], back[group, stop] = candidates[chosen], starts[chosen]
        best = now
    cuts, stop = [], m
    for group in range(bins - 1, 0, -1):
        stop = int(back[group, stop])
        cuts.append(stop)
    at = np.array(cuts[::-1], dtype=np.intp)
    return np.unique(_inner((points[at - 1] + points[at]) / 2, -np.inf, points[-1]))


#: The rules by name. A new one is a function (values, bins) -> inner edges.
STRATEGIES: dict[str, Callable[[npt.ArrayLike, int], Floats]] = {
    "width": width_edges,
    "quantile": quantile_edges,
    "unique-quantile": unique_quantile_edges,
    "kmeans": kmeans_edges,
}


@dataclass(frozen=True)
class Binner:
    """A binning rule: it finds edges from values, and the bins of values from edges.

    Parameters
    ----------
    strategy : {"width", "quantile", "unique-quantile", "kmeans"}
        Bins of equal width; of equally many values; of equally many different values (entropy-based adaptive
        binning, Chelombiev et al. 2019); or of least within-bin variance.
    bins : int
        Number of bins asked for; ties can leave fewer.

    Raises
    ------
    ValueError
        For an unknown strategy or fewer than one bin.

    Examples
    --------
    >>> binner = Binner("quantile", bins=2)
    >>> binner.edges([1.0, 2.0, 3.0, 100.0])
    array([2.])
    >>> binner([1.0, 2.0, 3.0, 100.0])
    array([0, 0, 1, 1])
    """

    strategy: str = "width"
    bins: int = 30
    _rule: Callable[[npt.ArrayLike, int], Floats] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            known = ", ".join(repr(s) for s in STRATEGIES)
            raise ValueError(f"strategy must be one of {known}, got {self.strategy!r}")
        object.__setattr__(self, "bins", _checked_bins(self.bins))
        object.__setattr__(self, "_rule", STRATEGIES[self.strategy])

    def edges(self, x: npt.ArrayLike) -> Floats:
        """Return the inner edges for the values of `x`, all entries taken together."""
        return self._rule(x, self.bins)

    def digitize(self, x: npt.ArrayLike, edges: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the bin of every entry of `x`, 0..len(edges), in the shape of `x`.

        Raises
        ------
        ValueError
            If `x` holds NaN, or `edges` is not ascending.
        """
        values, cuts = np.asarray(x, dtype=np.float64), np.asarray(edges, dtype=np.float64)
        if np.isnan(values).any():
            raise ValueError("x contains NaN; expected numbers (drop missing values first)")
        if cuts.ndim != 1 or np.isnan(cuts).any() or (np.diff(cuts) <= 0).any():
            raise ValueError("edges must be a strictly ascending one-dimensional array")
        return np.searchsorted(cuts, values, side="left").astype(np.int64)

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the bin of every entry of `x` among the bins made from `x`."""
        return self.digitize(x, self.edges(x))


def _split_evenly(ordered: Floats, bins: int) -> Floats:
    """Return the inner edges that cut sorted values into `bins` runs whose lengths differ by at most one."""
    last = np.arange(1, bins) * len(ordered) // bins - 1
    return np.unique(_inner(ordered[last[last >= 0]], -np.inf, ordered[-1]))


def _inner(edges: Floats, low: Any, high: Any) -> Floats:
    """Drop edges that would leave an empty bin at either end."""
    return edges[(edges > low) & (edges < high)]


def _checked(x: npt.ArrayLike, bins: int) -> tuple[Floats, int]:
    values = np.asarray(x)
    if values.dtype.kind not in "buif":
        raise TypeError(f"x must hold real numbers, got dtype {values.dtype!s}")
    values = values.astype(np.float64).ravel()
    if values.size == 0:
        raise ValueError("x is empty; expected at least one value to make bins from")
    if not np.isfinite(values).all():
        raise ValueError("x contains NaN or infinite values; drop them before making bins")
    return values, _checked_bins(bins)


def _checked_bins(bins: Any) -> int:
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins!r}")
    return int(bins)
