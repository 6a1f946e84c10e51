"""Channel matching: classify what is seen so that the labels keep the most information about the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import check_probabilities, log_probabilities

__all__ = ["ChannelMatching", "match_channels"]


@dataclass(frozen=True, eq=False)
class ChannelMatching:
    """Labels of maximum mutual information, and how they were reached.

    Attributes
    ----------
    labels : array (n_z,)
        The label of every observation.
    information : array
        R = I(X;Y) in nats at the start of each iteration; it never falls. If converged, the last is that of
        `labels`.
    iterations : int
        Iterations until no label changed (the last of them only confirms it).
    converged : bool
        Whether that happened within the limit.
    """

    labels: npt.NDArray[np.int64]
    information: npt.NDArray[np.float64]
    iterations: int
    converged: bool


def match_channels(joint: Any, start: Any, *, max_iter: int = 100) -> ChannelMatching:
    """Improve a labelling y = f(z) of observations until its information I(X;Y) about the class is stable.

    Two steps alternate. The semantic channel matches the Shannon channel P(y|x) of the present labelling,
    T(θ_j|x) = P(y_j|x)/max_x P(y_j|x). Then each observation takes the label of most expected information,
    f(z) = argmax_j Σ_x P(x|z) I(x;θ_j). The second raises G, the first sets G = R again, so R never falls.
    It may end in a local maximum; labels that are no longer used do not come back.

    Parameters
    ----------
    joint : array (n_x, n_z)
        P(x, z): the hidden class x and the observation z, on a grid.
    start : array of int (n_z,)
        First labelling, 0 ... n_y - 1.
    max_iter : int
        Largest number of iterations.

    Raises
    ------
    ValueError
        If `joint` is no joint distribution or `start` does not label every observation.

    Examples
    --------
    >>> z = np.linspace(-6, 6, 241)
    >>> bell = np.exp(-0.5 * (z - np.array([[-1.5], [1.5]])) ** 2)
    >>> joint = bell / bell.sum()
    >>> result = match_channels(joint, z > 2.0)
    >>> bool(abs(z[np.argmax(result.labels)]) < 0.06)  # the boundary lands in the middle
    True

    References
    ----------
    C. Lu 2019, Information 10(8):261 (the CM iteration for maximum mutual information classification).
    """
    pxz = np.asarray(joint, dtype=np.float64)
    if pxz.ndim != 2:
        raise ValueError(f"joint must have shape (n_x, n_z), got {pxz.shape}")
    check_probabilities(pxz, (0, 1), "joint")
    labels = np.asarray(start)
    if labels.dtype.kind not in "bui" or labels.shape != (pxz.shape[1],) or labels.min() < 0:
        raise ValueError(f"start must hold {pxz.shape[1]} labels 0, 1, ..., got {labels.dtype} of shape {labels.shape}")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter!r}")
    labels = labels.astype(np.int64)
    size = int(labels.max()) + 1
    px = np.sum(pxz, axis=1)
    least = 1e-12 * np.sum(pxz, axis=0)
    path: list[float] = []
    converged = False
    while not converged and len(path) < max_iter:
        pxy = np.zeros((len(px), size))
        np.add.at(pxy.T, labels, pxz.T)
        worth = _information(pxy, px)
        path.append(float(np.sum(np.where(pxy > 0, pxy, 0.0) * np.where(pxy > 0, worth, 0.0))))
        # Σ_x P(x,z) I(x;θ_j): a label that is false of a possible class costs infinitely much.
        gain = np.where(pxz.T[:, :, None] > 0, pxz.T[:, :, None] * worth, 0.0).sum(axis=1)
        best = np.argmax(gain, axis=1)
        # An observation moves only for a real gain, so ties cannot make the iteration run in circles.
        here = np.take_along_axis(gain, labels[:, None], axis=1)[:, 0]
        there = np.take_along_axis(gain, best[:, None], axis=1)[:, 0]
        moved = np.where(there > here + least, best, labels)
        converged = bool(np.array_equal(moved, labels))
        labels = moved
    return ChannelMatching(labels, np.array(path), len(path), converged)


def _information(pxy: npt.NDArray[np.float64], px: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """I(x;θ_j) = log P(x,y_j)/(P(x)P(y_j)) of the matched truth functions; -inf for labels never used."""
    with np.errstate(invalid="ignore"):
        out = log_probabilities(pxy) - log_probabilities(px)[:, None] - log_probabilities(np.sum(pxy, axis=0))
    return np.asarray(np.where(pxy > 0, out, -np.inf))
