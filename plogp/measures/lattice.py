"""The lattice of information: variables on a finite universe, up to relabelling, are its partitions.

X <= Y iff X is a function of Y. The join `X | Y` is the pair (X, Y), the common refinement; the meet `X & Y` is
the largest common function, Gács and Körner's common information. Order, join, meet and complement are decided
combinatorially from the labels; only entropies and distances are floating point.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import check_probabilities
from plogp.measures.entropy import entropy
from plogp.measures.functional import log_factor
from plogp.measures.grouping import float64
from plogp.measures.joint import Joint

__all__ = ["Lattice", "Partition", "shannon_distance"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]


class Lattice:
    """All partitions of a finite universe of weighted atoms.

    Parameters
    ----------
    probs : array (n,), or int
        Probability of each atom; a number n stands for n equally likely atoms. Atoms of probability 0 belong
        to no block: almost surely they do not happen.

    Raises
    ------
    ValueError
        If `probs` is no distribution.

    Examples
    --------
    >>> world = Lattice(6)
    >>> parity = world.partition([0, 1, 0, 1, 0, 1])
    >>> mod3 = world.partition([0, 1, 2, 0, 1, 2])
    >>> parity | mod3 == world.top, parity & mod3 == world.bottom
    (True, True)

    References
    ----------
    C. E. Shannon 1953; G. Delsol, O. Rioul, J. Béguinot, V. Rabiet, A. Souloumiac 2024, arXiv 2306.15540.
    """

    def __init__(self, probs: Any):
        if isinstance(probs, (int, np.integer)):
            if probs < 1:
                raise ValueError(f"probs: a universe needs at least one atom, got {probs}")
            probs = np.full(int(probs), 1.0 / int(probs))
        self.probs: Floats = np.array(probs, dtype=np.float64)
        if self.probs.ndim != 1:
            raise ValueError(f"probs must be one-dimensional, got shape {self.probs.shape}")
        check_probabilities(self.probs, -1, "probs")
        self.probs.flags.writeable = False

    @classmethod
    def of(cls, joint: Joint) -> tuple[Lattice, dict[str, Partition]]:
        """Return the lattice over the outcomes of a joint distribution, and its variables as partitions.

        Examples
        --------
        >>> _, v = Lattice.of(Joint([[0.5, 0.0], [0.0, 0.5]], "XY"))
        >>> v["X"] == v["Y"]
        True
        """
        table = float64(joint.pmf)
        lattice = cls(table.reshape(-1) / table.sum())
        states = np.unravel_index(np.arange(table.size), table.shape)
        return lattice, {name: lattice.partition(s) for name, s in zip(joint.names, states)}

    def partition(self, labels: Any) -> Partition:
        """Return the partition into atoms of equal label: the variable that maps each atom to its label.

        Parameters
        ----------
        labels : sequence (n,), or array (n, d)
            One label per atom, of any kind that can be compared; rows count as one label.
        """
        return Partition(labels, lattice=self)

    @property
    def top(self) -> Partition:
        """The identity: every atom its own block."""
        return Partition(np.arange(len(self.probs)), lattice=self)

    @property
    def bottom(self) -> Partition:
        """The constant: one block."""
        return Partition(np.zeros(len(self.probs), dtype=np.intp), lattice=self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lattice) and (self is other or np.array_equal(self.probs, other.probs))

    def __hash__(self) -> int:
        return hash(self.probs.tobytes())

    def __repr__(self) -> str:
        return f"Lattice({len(self.probs)} atoms)"


class Partition:
    """A partition of a weighted universe: a variable up to relabelling.

    ``x | y`` is the join, ``x & y`` the meet, ``x <= y`` says that x is a function of y, ``x == y`` that each
    is a function of the other (almost surely).

    Parameters
    ----------
    labels : sequence (n,), or array (n, d)
        One label per atom.
    probs : array (n,), optional
        Probabilities of the atoms; equally likely by default.
    lattice : Lattice, optional
        The universe, instead of `probs`.

    Raises
    ------
    ValueError
        If there is not one label per atom, or a label is NaN.
    TypeError
        If the labels cannot be compared with one another.

    Examples
    --------
    >>> x = Partition(["a", "a", "b", "b"])
    >>> y = Partition([0, 0, 0, 1])
    >>> x <= (x | y), (x & y).num_blocks, round(x.entropy(base=2), 6)
    (True, 1, 1.0)

    References
    ----------
    C. E. Shannon 1953; P. Gács and J. Körner 1973 (the meet).
    """

    def __init__(self, labels: Any, probs: Any = None, *, lattice: Lattice | None = None):
        given = np.asarray(labels)
        if given.ndim not in (1, 2) or len(given) == 0:
            raise ValueError(f"labels must hold one label per atom, got shape {given.shape}")
        if given.dtype.kind == "f" and np.isnan(given).any():
            raise ValueError("labels contain NaN")
        if lattice is None:
            lattice = Lattice(len(given) if probs is None else probs)
        elif probs is not None:
            raise TypeError("give probs or lattice, not both")
        if len(given) != len(lattice.probs):
            raise ValueError(f"labels must hold one label per atom: {len(lattice.probs)}, got {len(given)}")
        self.lattice = lattice
        #: Number of each atom's block, by first appearance; -1 for atoms of probability 0.
        self.labels: Labels = _canonical(given, lattice.probs > 0)
        self.num_blocks = int(self.labels.max()) + 1

    # -- the lattice --------------------------------------------------------------------------------------

    def __or__(self, other: Partition) -> Partition:
        self._same_universe(other)
        return Partition(self.labels * (other.num_blocks + 1) + other.labels, lattice=self.lattice)

    def __and__(self, other: Partition) -> Partition:
        self._same_universe(other)
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        live = self.labels >= 0
        x, y = self.labels[live], other.labels[live] + self.num_blocks
        size = self.num_blocks + other.num_blocks
        edges = coo_array((np.ones(len(x), dtype=np.int8), (x, y)), shape=(size, size))
        _, component = connected_components(edges, directed=False)
        return Partition(np.where(live, component[self.labels], -1), lattice=self.lattice)

    def __le__(self, other: Partition) -> bool:
        """Whether this variable is a function of `other`."""
        if not isinstance(other, Partition):
            return NotImplemented
        return (self | other).num_blocks == other.num_blocks

    def __lt__(self, other: Partition) -> bool:
        return self <= other and self != other

    def __ge__(self, other: Partition) -> bool:
        return other <= self

    def __gt__(self, other: Partition) -> bool:
        return other < self

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Partition) and self.lattice == other.lattice and np.array_equal(self.labels, other.labels)
        )

    def __hash__(self) -> int:
        return hash(self.labels.tobytes())

    def complement(self, top: Partition | None = None) -> Partition:
        """Return a Z with ``self | Z == top`` and ``self & Z`` constant, for a `top` above this variable.

        Complements are not unique. This one numbers the blocks of `top` inside each block of this partition,
        the most probable first (ties by first appearance), and takes the number.

        Raises
        ------
        ValueError
            If this variable is no function of `top`.

        Examples
        --------
        >>> Partition([0, 0, 0, 1, 1]).complement().labels
        array([0, 1, 2, 0, 1])
        """
        top = self.lattice.top if top is None else top
        if not self <= top:
            raise ValueError("top must be above this partition: it does not determine the blocks")
        live = top.labels >= 0
        first = np.full(top.num_blocks, len(live))
        np.minimum.at(first, top.labels[live], np.flatnonzero(live))  # an atom of every block of top
        outer, mass = self.labels[first], top.masses
        order = np.lexsort((np.arange(top.num_blocks), -mass, outer))
        start = np.searchsorted(outer[order], outer[order])
        rank = np.empty(top.num_blocks, dtype=np.intp)
        rank[order] = np.arange(top.num_blocks) - start
        return Partition(np.where(live, rank[top.labels], -1), lattice=self.lattice)

    # -- amounts ------------------------------------------------------------------------------------------

    @property
    def masses(self) -> Floats:
        """Probability of each block."""
        live = self.labels >= 0
        weights = self.lattice.probs[live]
        return np.asarray(np.bincount(self.labels[live], weights, minlength=self.num_blocks), dtype=np.float64)

    def entropy(self, base: float | None = None) -> float:
        """Return the Shannon entropy of the variable, in nats."""
        return float(entropy(self.masses, base=base, normalize=True))

    def shannon_distance(self, other: Partition, base: float | None = None) -> float:
        """Return H(X|Y) + H(Y|X), a metric; 0 exactly where the partitions are equal."""
        p, p_x, p_y = self._cells(other)
        scale = log_factor(base)
        return _apart(p, p_x, p_y) * scale

    def rajski_distance(self, other: Partition) -> float:
        """Return (H(X|Y) + H(Y|X)) / H(X,Y), a metric; 0 iff equal, 1 iff independent."""
        p, p_x, p_y = self._cells(other)
        total = float(entropy(p, normalize=True))
        return min(_apart(p, p_x, p_y) / total, 1.0) if total > 0 else 0.0

    def independent_of(self, *others: Partition, tol: float = 1e-9) -> bool:
        """Whether the variables are mutually independent: every combination has the product of the masses.

        That all combinations occur is decided exactly, that their masses agree to the relative `tol`.
        """
        parts = (self, *others)
        join = functools.reduce(Partition.__or__, parts)
        if join.num_blocks != math.prod(part.num_blocks for part in parts):
            return False
        atoms = np.unique(join.labels, return_index=True)[1][-join.num_blocks :]
        product = np.prod([part.masses[part.labels[atoms]] for part in parts], axis=0)
        return bool(np.allclose(join.masses[join.labels[atoms]], product, rtol=tol, atol=0))

    def _cells(self, other: Partition) -> tuple[Floats, Floats, Floats]:
        """Return the mass of each block of the join, and of the two blocks that it lies in."""
        join = self | other
        live = np.flatnonzero(join.labels >= 0)
        atom = live[np.unique(join.labels[live], return_index=True)[1]]
        # A block is no lighter than a part of it, whatever order the two were added up in.
        p = join.masses
        p_x = np.maximum(self.masses[self.labels[atom]], p)
        p_y = np.maximum(other.masses[other.labels[atom]], p)
        for whole, part in ((p_x, self), (p_y, other)):
            alone = np.bincount(part.labels[atom], minlength=part.num_blocks) == 1
            whole[alone[part.labels[atom]]] = p[alone[part.labels[atom]]]
        return p, p_x, p_y

    def _same_universe(self, other: Partition) -> None:
        if not isinstance(other, Partition):
            raise TypeError(f"expected a Partition, got {type(other).__name__}")
        if self.lattice != other.lattice:
            raise ValueError("the two partitions live on different universes (their probs differ)")

    def __repr__(self) -> str:
        return f"Partition({self.num_blocks} blocks of {len(self.labels)} atoms, H={self.entropy():.4g} nats)"


def shannon_distance(x: Partition, y: Partition, base: float | None = None) -> float:
    """Return Shannon's distance H(X|Y) + H(Y|X) between two partitions.

    For a joint table the same number is :func:`variation_of_information`; for Rajski's normalised distance
    see :func:`rajski_distance`, which takes either.

    >>> shannon_distance(Partition([0, 0, 1, 1]), Partition([0, 1, 0, 1]), base=2)
    2.0
    """
    return x.shannon_distance(y, base)


def _apart(p: Floats, p_x: Floats, p_y: Floats) -> float:
    return float(np.sum(p * (np.log(p_x / p) + np.log(p_y / p))))


def _canonical(labels: npt.NDArray[Any], live: npt.NDArray[np.bool_]) -> Labels:
    """Number the labels by first appearance among the live atoms; -1 for the others."""
    rows = None if labels.ndim == 1 else 0
    try:
        _, first, code = np.unique(labels[live], axis=rows, return_index=True, return_inverse=True)
    except TypeError as error:
        raise TypeError("labels cannot be compared with one another: use labels of one kind") from error
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    out = np.full(len(labels), -1, dtype=np.intp)
    out[live] = rank[code.reshape(-1)]
    return out
