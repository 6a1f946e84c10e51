"""`Channel`: a Markov kernel between finite sets, with composition, tensor, copy, discard and what it loses.

Channels are the arrows of a Markov category: a distribution is a channel from one point, `copy` duplicates a
value, `discard` forgets it. A channel is deterministic iff copying its output is the same as copying its input
and using it twice; how far the two are apart, in any divergence, is its entropy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import Array, check_probabilities, floats, namespace, scalar
from plogp.measures.capacity import CapacityPoint, channel_capacity
from plogp.measures.contraction import contraction_coefficient, contraction_from, maximal_correlation
from plogp.measures.divergence import Dissimilarity, Divergence
from plogp.measures.entropy import entropy
from plogp.measures.grouping import float64
from plogp.measures.registry import divergence as find_divergence

__all__ = ["Channel", "is_deterministic"]

Floats = npt.NDArray[np.float64]


class Channel:
    """A channel p(y|x) between finite sets: row x of the matrix is the distribution of the output.

    Composition reads as for functions: ``g @ f`` is "g after f", so its matrix is ``f.matrix @ g.matrix``;
    ``f.then(g)`` is the same in the order of the data. Tensors index pairs (x1, x2) in row-major order.

    Parameters
    ----------
    matrix : array, shape (n_in, n_out)
        Rows are distributions. A one-dimensional array is a distribution: a channel from one point.

    Raises
    ------
    ValueError
        If a row is no distribution.

    Examples
    --------
    >>> flip = Channel([[0.9, 0.1], [0.1, 0.9]])
    >>> twice = flip @ flip
    >>> twice.matrix
    array([[0.82, 0.18],
           [0.18, 0.82]])
    >>> flip([0.5, 0.5])
    array([0.5, 0.5])
    >>> round(float(flip.capacity().capacity / np.log(2)), 6)
    0.531004
    >>> float(flip.entropy("tv")), flip.is_deterministic()
    (0.18, False)

    References
    ----------
    T. Fritz 2020, arXiv 1908.07021 (Markov categories); P. Perrone 2022, arXiv 2212.11719 (entropy).
    """

    matrix: Array
    __array_ufunc__ = None  # NumPy arrays do not take over `channel @ array`

    def __init__(self, matrix: Any):
        xp, (rows,), dtype = floats(matrix=matrix)
        if rows.ndim == 1:
            rows = xp.reshape(rows, (1, rows.shape[0]))
        if rows.ndim != 2 or 0 in rows.shape:
            raise ValueError(f"matrix must have shape (n_in, n_out), got {tuple(rows.shape)}")
        check_probabilities(rows, -1, "matrix", dtype=dtype)
        self.matrix = rows

    # -- special channels ---------------------------------------------------------------------------------

    @staticmethod
    def identity(n: int, like: Array | None = None) -> Channel:
        """Return the channel that changes nothing; `like` gives the array library, dtype and device."""
        return Channel(_eye(n, like))

    @staticmethod
    def copy(n: int, like: Array | None = None) -> Channel:
        """Return the channel x -> (x, x) from n states to n² pairs."""
        eye = _eye(n, like)
        return Channel(namespace(eye).reshape(eye[:, :, None] * eye[:, None, :], (n, n * n)))

    @staticmethod
    def discard(n: int, like: Array | None = None) -> Channel:
        """Return the channel that forgets: from n states to one point."""
        eye = _eye(n, like)
        return Channel(namespace(eye).ones_like(eye[:, :1]))

    @staticmethod
    def from_function(images: Sequence[int] | npt.NDArray[np.integer], num_outputs: int | None = None) -> Channel:
        """Return the deterministic channel x -> images[x].

        Raises
        ------
        ValueError
            If an image is no state index.

        Examples
        --------
        >>> Channel.from_function([1, 0, 1]).matrix
        array([[0., 1.],
               [1., 0.],
               [0., 1.]])
        """
        targets = np.asarray(images)
        if targets.ndim != 1 or targets.size == 0 or targets.dtype.kind not in "iu":
            raise ValueError(f"images must be a non-empty list of state indices, got {images!r}")
        size = int(targets.max()) + 1 if num_outputs is None else int(num_outputs)
        if targets.min() < 0 or targets.max() >= size:
            raise ValueError(f"images must lie between 0 and {size - 1}, got {targets.min()} to {targets.max()}")
        return Channel(np.eye(size)[targets])

    # -- algebra ------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """Number of input and of output states."""
        return int(self.matrix.shape[0]), int(self.matrix.shape[1])

    def __call__(self, px: Any) -> Any:
        """Return the output distribution for an input distribution, batched over leading axes."""
        xp, (p, k), dtype = floats(px=px, matrix=self.matrix)
        if p.ndim == 0 or p.shape[-1] != self.shape[0]:
            raise ValueError(f"px must have {self.shape[0]} states on its last axis, got shape {tuple(p.shape)}")
        check_probabilities(p, -1, "px", dtype=dtype)
        return xp.matmul(p, k)

    def compose(self, first: Channel) -> Channel:
        """Return the channel "this one after `first`", also written ``self @ first``.

        Raises
        ------
        ValueError
            If the outputs of `first` are not the inputs of this channel.
        """
        if first.shape[1] != self.shape[0]:
            raise ValueError(
                f"cannot compose: the first channel has {first.shape[1]} outputs, the second {self.shape[0]} inputs"
            )
        xp, (k, m), _ = floats(first=first.matrix, second=self.matrix)
        return _made(xp.matmul(k, m))

    def __matmul__(self, first: Channel) -> Channel:
        if not isinstance(first, Channel):
            return NotImplemented
        return self.compose(first)

    def then(self, second: Channel) -> Channel:
        """Return the channel "this one, then `second`"."""
        return second.compose(self)

    def tensor(self, other: Channel) -> Channel:
        """Return the two channels side by side, on pairs of inputs and outputs."""
        xp, (k, m), _ = floats(first=self.matrix, second=other.matrix)
        cells = k[:, None, :, None] * m[None, :, None, :]
        return _made(xp.reshape(cells, (k.shape[0] * m.shape[0], k.shape[1] * m.shape[1])))

    def bayes_invert(self, px: Any) -> Channel:
        """Return p(x|y) for the source `px`.

        An output that never occurs leaves its row free; it is the source `px` there (any choice is almost
        surely the same channel).

        Examples
        --------
        >>> Channel([[0.8, 0.2], [0.4, 0.6]]).bayes_invert([0.5, 0.5]).matrix
        array([[0.66666667, 0.33333333],
               [0.25      , 0.75      ]])
        """
        joint = self.joint(px)
        xp = namespace(joint)
        total = xp.sum(joint, axis=0)[:, None]
        live = total > 0
        source = xp.sum(joint, axis=1)[None, :]
        return _made(xp.where(live, joint.T / xp.where(live, total, xp.ones_like(total)), source))

    def joint(self, px: Any) -> Any:
        """Return the joint table p(x) p(y|x), shape (n_in, n_out)."""
        _, (p, k), dtype = floats(px=px, matrix=self.matrix)
        if p.shape != (self.shape[0],):
            raise ValueError(f"px must have shape ({self.shape[0]},), got {tuple(p.shape)}")
        check_probabilities(p, -1, "px", dtype=dtype)
        return p[:, None] * k

    # -- functionals --------------------------------------------------------------------------------------

    def capacity(self, *, tol: float = 1e-9, max_iter: int = 20_000) -> CapacityPoint:
        """Return the capacity in nats with its certified bracket, by :func:`channel_capacity`."""
        return channel_capacity(self.matrix, tol=tol, max_iter=max_iter)

    def entropy(
        self,
        D: str | Dissimilarity = "kl",
        *,
        mode: Literal["sup", "average"] = "sup",
        px: Any = None,
        base: float | None = None,
        literal: bool = False,
    ) -> Any:
        """Return the distance from determinism, ``D(copy∘f ‖ (f⊗f)∘copy)``.

        For each input, with p its row, this is ``D(diag p ‖ p⊗p)``: Shannon's entropy for ``"kl"``,
        Gini-Simpson's for ``"tv"``, Rényi's of order 2 - a for Rényi's divergence of order a.

        Parameters
        ----------
        D : str or divergence
            Direction: the copied output first.
        mode : {"sup", "average"}
            The worst input (the definition for an enriched Markov category), or the mean over `px`.
        px : array (n_in,), optional
            Source, for ``mode="average"``.
        base : float, optional
            Logarithm base; nats by default. Dimensionless divergences take none.
        literal : bool
            Build both composite channels and compare them, n_out² cells a row, instead of the closed form
            that every f-divergence has. Divergences that are no f-divergences are always computed so.

        Returns
        -------
        array (scalar)
            0 iff every row (that `px` reaches) is deterministic.

        Raises
        ------
        ValueError
            For an unknown mode, or a missing or superfluous `px`.

        Examples
        --------
        >>> f = Channel([[0.5, 0.5], [1.0, 0.0]])
        >>> float(f.entropy("kl", base=2)), float(f.entropy("kl", base=2, mode="average", px=[0.5, 0.5]))
        (1.0, 0.5)

        References
        ----------
        P. Perrone 2022, arXiv 2212.11719.
        """
        if mode not in ("sup", "average"):
            raise ValueError(f"mode must be 'sup' or 'average', got {mode!r}")
        if (px is None) == (mode == "average"):
            raise ValueError(f"px is needed for mode='average' and for nothing else; got mode={mode!r}")
        d = find_divergence(D)
        if isinstance(d, Divergence) and not literal:
            rows = entropy(self.matrix, "f_copy", base=base, check=False, D=d)
        else:
            copied = Channel.copy(self.shape[1], like=self.matrix) @ self
            twice = self.tensor(self) @ Channel.copy(self.shape[0], like=self.matrix)
            rows = d(copied.matrix, twice.matrix, base=base, check=False)
        xp = namespace(rows)
        if mode == "sup":
            return scalar(xp.max(rows))
        _, (p, rows), dtype = floats(px=px, rows=rows)
        if p.shape != rows.shape:
            raise ValueError(f"px must have shape ({self.shape[0]},), got {tuple(p.shape)}")
        check_probabilities(p, -1, "px", dtype=dtype)
        zero = xp.zeros_like(rows)
        return scalar(xp.sum(xp.where(p > 0, p * xp.where(p > 0, rows, zero), zero)))

    def is_deterministic(self, tol: float = 0.0) -> bool:
        """Whether every input has one certain output, to within `tol` of probability.

        Examples
        --------
        >>> Channel.copy(3).is_deterministic(), Channel([[0.5, 0.5]]).is_deterministic()
        (True, False)
        """
        return bool(np.all(np.max(float64(self.matrix), axis=1) >= 1.0 - tol))

    def contraction(self, D: str | Divergence = "tv", px: Any = None) -> float:
        """Return how much of a divergence between inputs can survive: ``sup D(Q'K‖QK) / D(Q'‖Q)``.

        For total variation it is Dobrushin's coefficient; for chi2, and with it for every operator-convex
        generator such as KL, the largest Le Cam coefficient of a pair of rows. With a source `px`, Q is fixed
        to it; chi2 then gives the squared maximal correlation.

        Without `px` the supremum is reached by inputs on two states, so two numbers per pair of rows are
        searched by successive grids. With `px` all of Q' is searched by a local optimiser from many starts:
        the value is then a lower bound, exact where the supremum is local (chi2).

        Parameters
        ----------
        D : str or Divergence
            An f-divergence.
        px : array (n_in,), optional
            Fixed second input, with every entry positive.

        Returns
        -------
        float
            Between 0 (the output ignores the input) and 1.

        Raises
        ------
        TypeError
            If D is no f-divergence.

        Examples
        --------
        >>> flip = Channel([[0.9, 0.1], [0.1, 0.9]])
        >>> round(flip.contraction("tv"), 6), round(flip.contraction("chi2"), 6), round(flip.contraction("kl"), 6)
        (0.8, 0.64, 0.64)

        References
        ----------
        R. L. Dobrushin 1956; M. Raginsky 2016, arXiv 1411.3575; O. Ordentlich and Y. Polyanskiy 2021,
        arXiv 2002.03119 (two states suffice).
        """
        d = find_divergence(D)
        if not isinstance(d, Divergence):
            raise TypeError(f"D must be an f-divergence, got {d!r}")
        rows = float64(self.matrix)
        if px is not None:
            return contraction_from(d, rows, float64(self.joint(px)))
        return contraction_coefficient(d, rows)

    def maximal_correlation(self, px: Any) -> float:
        """Return the Hirschfeld-Gebelein-Rényi correlation of input and output under the source `px`.

        The second singular value of ``diag(px)^½ K diag(py)^-½``.

        Examples
        --------
        >>> round(Channel([[0.9, 0.1], [0.1, 0.9]]).maximal_correlation([0.5, 0.5]), 6)
        0.8

        References
        ----------
        H. O. Hirschfeld 1935; H. Gebelein 1941; A. Rényi 1959.
        """
        return maximal_correlation(float64(self.joint(px)))

    def __repr__(self) -> str:
        return f"Channel({self.shape[0]} -> {self.shape[1]})"


def is_deterministic(channel: Channel | Any, tol: float = 0.0) -> bool:
    """Whether a channel (or matrix of rows) gives every input one certain output.

    >>> is_deterministic([[0.0, 1.0], [1.0, 0.0]])
    True
    """
    return (channel if isinstance(channel, Channel) else Channel(channel)).is_deterministic(tol)


def _made(matrix: Array) -> Channel:
    """Return a channel from rows that are distributions by construction."""
    channel = Channel.__new__(Channel)
    channel.matrix = matrix
    return channel


def _eye(n: int, like: Array | None) -> Array:
    if n < 1:
        raise ValueError(f"n must be >= 1, got {n!r}")
    if like is None or isinstance(like, np.ndarray):
        return np.eye(n, dtype=np.float64 if like is None else like.dtype)
    return namespace(like).eye(n, dtype=like.dtype, device=like.device)
