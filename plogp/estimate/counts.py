"""Counting: columns of labels become integer codes, codes become joint counts.

Every discrete estimator starts here. Dense tables come from one pass of `numpy.bincount` over mixed-radix
codes; tables with more cells than are worth holding keep their occupied cells only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.labels import IntArray, distinct, encode, mix

__all__ = ["CountTable", "contingency", "encode", "pairwise_tables"]

#: Largest number of cells that a dense table may have (int64: 512 MiB).
DENSE_CELLS = 2**26
#: Cells of a joint table up to which columns are counted together (`pairwise_tables`).
_BLOCK_CELLS = 2**16


@dataclass(frozen=True, eq=False)
class CountTable:
    """Counts of the joint states of one or several discrete variables; only occupied cells are stored.

    Attributes
    ----------
    cells : int array of shape (m, d)
        The states of the m occupied cells, one row a cell, in lexicographic order.
    counts : int array of shape (m,)
        How often each was seen (all positive).
    shape : tuple of int
        How many states each of the d variables has.
    names : tuple of str
        Names of the variables.
    labels : tuple of arrays, or None
        The labels of the states, per variable, where known.

    Examples
    --------
    >>> t = CountTable.from_columns(["a", "b", "a", "a"], [0, 1, 0, 1], names=("x", "y"))
    >>> t.dense()
    array([[2, 1],
           [0, 1]])
    >>> t.marginal("x").counts
    array([3, 1])
    """

    cells: npt.NDArray[np.intp]
    counts: npt.NDArray[np.int64]
    shape: tuple[int, ...]
    names: tuple[str, ...]
    labels: tuple[npt.NDArray[Any], ...] | None = None

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    @property
    def num_states(self) -> int:
        """Number of possible cells: the product of the shape."""
        return math.prod(self.shape)

    @classmethod
    def from_columns(cls, *columns: Any, names: Sequence[str] | None = None) -> CountTable:
        """Count the joint states of columns of equal length (see `encode` for what a column may be).

        Raises
        ------
        ValueError
            If there is no column, lengths differ, or a column is empty or has missing values.
        """
        names = _names(names, len(columns))
        encoded = [encode(c, name) for c, name in zip(columns, names)]
        return cls.from_codes(
            [c for c, _ in encoded], [len(u) for _, u in encoded], names, tuple(u for _, u in encoded)
        )

    @classmethod
    def from_codes(
        cls,
        codes: Sequence[IntArray],
        sizes: Sequence[int],
        names: Sequence[str] | None = None,
        labels: tuple[npt.NDArray[Any], ...] | None = None,
    ) -> CountTable:
        """Count integer codes ``0 <= codes[j] < sizes[j]``."""
        names = _names(names, len(codes))
        for code, name in zip(codes, names):
            if len(code) != len(codes[0]):
                raise ValueError(f"{name} has {len(code)} samples but {names[0]} has {len(codes[0])}; expected equal")
        joint, total = mix(codes, sizes)
        if total <= max(2**16, 4 * len(joint)) and total == math.prod(sizes):
            dense = np.bincount(joint, minlength=total)
            flat = np.flatnonzero(dense)
            cells = np.stack(np.unravel_index(flat, tuple(sizes)), axis=1)
            return cls(cells, dense[flat].astype(np.int64), tuple(sizes), names, labels)
        _, first, counts = np.unique(joint, return_index=True, return_counts=True)
        cells = np.stack([np.asarray(c)[first].astype(np.intp) for c in codes], axis=1)
        return cls(cells, counts.astype(np.int64), tuple(sizes), names, labels)

    @classmethod
    def from_counts(cls, counts: Any, names: Sequence[str] | None = None) -> CountTable:
        """Take a dense array of counts, one axis a variable.

        Raises
        ------
        ValueError
            If counts are negative, not whole, not finite, or all zero.
        """
        dense = whole_counts(counts, "counts")
        if dense.ndim == 0:
            raise ValueError("counts must have at least one axis, got a scalar")
        where = np.nonzero(dense)
        return cls(np.stack(where, axis=1), dense[where], dense.shape, _names(names, dense.ndim))

    def dense(self) -> npt.NDArray[np.int64]:
        """Return the full array of counts, one axis a variable.

        Raises
        ------
        ValueError
            If the table has more than 2**26 cells.
        """
        if self.num_states > DENSE_CELLS:
            raise ValueError(
                f"a dense table of shape {self.shape} has {self.num_states} cells (limit {DENSE_CELLS}); "
                "use CountTable, which keeps the occupied cells only"
            )
        out = np.zeros(self.shape, np.int64)
        out[tuple(self.cells.T)] = self.counts
        return out

    def axes(self, axes: int | str | Sequence[int | str]) -> tuple[int, ...]:
        """Return axis numbers for names or numbers."""
        if isinstance(axes, (int, str, np.integer)):
            axes = (axes,)
        out = []
        for a in axes:
            if isinstance(a, str):
                if a not in self.names:
                    raise ValueError(f"no variable named {a!r}; this table has {list(self.names)}")
                out.append(self.names.index(a))
            elif not -len(self.shape) <= a < len(self.shape):
                raise ValueError(f"axis {a} is out of range for a table of {len(self.shape)} variables")
            else:
                out.append(int(a) % len(self.shape))
        if len(set(out)) != len(out):
            raise ValueError(f"axes must be distinct, got {list(axes)}")
        return tuple(out)

    def marginal(self, axes: int | str | Sequence[int | str]) -> CountTable:
        """Return the table of some of the variables, summed over the others."""
        keep = self.axes(axes)
        table, _ = self.project(keep)
        return table

    def project(self, axes: Sequence[int]) -> tuple[CountTable, npt.NDArray[np.intp]]:
        """Return the marginal table over `axes`, and for each cell of this table its cell there."""
        sizes = [self.shape[a] for a in axes]
        names = tuple(self.names[a] for a in axes)
        labels = None if self.labels is None else tuple(self.labels[a] for a in axes)
        if not axes:
            empty = np.empty((1, 0), np.intp)
            total = np.array([self.n], np.int64)
            return CountTable(empty, total, (), (), None), np.zeros(len(self.counts), np.intp)
        joint, size = mix([self.cells[:, a] for a in axes], sizes)
        occupied, inverse = distinct(joint, size)
        counts = np.zeros(len(occupied), np.int64)
        np.add.at(counts, inverse, self.counts)
        cells = np.empty((len(occupied), len(axes)), np.intp)
        cells[inverse] = self.cells[:, list(axes)]
        return CountTable(cells, counts, tuple(sizes), names, labels), inverse

    def __repr__(self) -> str:
        states = " x ".join(f"{n}: {k}" for n, k in zip(self.names, self.shape))
        return f"CountTable({states}; n={self.n}, {len(self.counts)} occupied cells)"


def whole_counts(counts: Any, name: str) -> npt.NDArray[np.int64]:
    """Return `counts` as int64 after checking that they are counts; `name` is what messages call them."""
    x = np.asarray(counts)
    if x.dtype.kind not in "iufb":
        raise TypeError(f"{name} must hold counts (non-negative integers), got dtype {x.dtype!s}")
    if x.size == 0:
        raise ValueError(f"{name} is empty; expected at least one state")
    if x.dtype.kind == "f":
        if not np.isfinite(x).all():
            raise ValueError(f"{name} contains NaN or infinite entries; expected counts")
        if (x != np.floor(x)).any():
            raise ValueError(f"{name} must be whole numbers, got {x[x != np.floor(x)].flat[0]!r}: not counts")
    if (x < 0).any():
        raise ValueError(f"{name} contains negative entries (smallest {x.min()}); expected counts")
    out: npt.NDArray[np.int64] = x.astype(np.int64)
    if out.sum() == 0:
        raise ValueError(f"{name} sums to 0; expected at least one sample")
    return out


def _names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if count == 0:
        raise ValueError("expected at least one column")
    if names is None:
        return tuple("xyzw"[:count]) if count <= 4 else tuple(f"x{i}" for i in range(count))
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"names must be {count} distinct names, got {list(names)}")
    return tuple(names)


def contingency(*columns: Any) -> npt.NDArray[np.int64]:
    """Return the dense joint counts of columns of labels, one axis a column, states in sorted order.

    Parameters
    ----------
    *columns : arrays of shape (n,)
        Labels of any kind (see `encode`).

    Raises
    ------
    ValueError
        If lengths differ, a column is empty or has missing values, or the table has more than 2**26 cells.

    Examples
    --------
    >>> contingency([0, 0, 1, 1], ["no", "yes", "yes", "yes"])
    array([[1, 1],
           [0, 2]])
    """
    return CountTable.from_columns(*columns).dense()


def pairwise_tables(
    columns: Sequence[Any], names: Sequence[str] | None = None
) -> Iterator[tuple[int, int, CountTable]]:
    """Yield `(i, j, table)` for every pair i < j of columns of labels, in no particular order.

    Columns with few states are first fused into blocks of at most 2**8 joint states; one pass over two blocks
    then counts every pair between them (30 binary columns: 10 passes instead of 435). One table is held at a
    time beside its block's.

    Examples
    --------
    >>> for i, j, t in pairwise_tables([[0, 1, 1], [0, 0, 1], [1, 0, 0]]):
    ...     print(i, j, t.dense().tolist())
    0 1 [[1, 0], [1, 1]]
    0 2 [[0, 1], [2, 0]]
    1 2 [[1, 1], [1, 0]]
    """
    called = _names(names, len(columns))
    coded = [encode(c, name) for c, name in zip(columns, called)]
    codes, sizes = [c for c, _ in coded], [len(u) for _, u in coded]
    for name, code in zip(called, codes):
        if len(code) != len(codes[0]):
            raise ValueError(f"{name} has {len(code)} samples but {called[0]} has {len(codes[0])}")
    blocks = _blocks(sizes)
    mixed = [mix([codes[i] for i in b], [sizes[i] for i in b]) for b in blocks]

    def labelled(i: int, j: int, table: CountTable) -> tuple[int, int, CountTable]:
        return i, j, replace(table, names=(called[i], called[j]), labels=(coded[i][1], coded[j][1]))

    for a, (block, (code_a, size_a)) in enumerate(zip(blocks, mixed)):
        if len(block) > 1:
            cube = np.bincount(code_a, minlength=size_a).reshape([sizes[i] for i in block])
            for i, j in combinations(block, 2):
                low, high = min(i, j), max(i, j)
                yield labelled(low, high, _pair(cube, block.index(low), block.index(high)))
        for other, (code_b, size_b) in list(zip(blocks, mixed))[a + 1 :]:
            size, members = size_a * size_b, block + other
            if size > max(_BLOCK_CELLS, 4 * len(code_a)):  # mostly empty: two single columns with many states
                i, j = sorted(members)
                yield labelled(i, j, CountTable.from_codes([codes[i], codes[j]], [sizes[i], sizes[j]]))
                continue
            joint, _ = mix([code_a, code_b], [size_a, size_b])
            cube = np.bincount(joint, minlength=size).reshape([sizes[i] for i in members])
            for i, j in product(block, other):
                low, high = min(i, j), max(i, j)
                yield labelled(low, high, _pair(cube, members.index(low), members.index(high)))


def _pair(cube: npt.NDArray[np.int64], p: int, q: int) -> CountTable:
    """Return the table of axes p and q (in that order) of a joint table."""
    pair = cube.sum(axis=tuple(r for r in range(cube.ndim) if r not in (p, q)))
    return CountTable.from_counts(pair if p < q else pair.T)


def _blocks(sizes: Sequence[int]) -> list[list[int]]:
    """Group columns, smallest first, so that two groups together have at most `_BLOCK_CELLS` joint states."""
    limit = math.isqrt(_BLOCK_CELLS)
    blocks: list[list[int]] = []
    cells = 0
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if blocks and cells * sizes[i] <= limit:
            blocks[-1].append(i)
            cells *= sizes[i]
        else:
            blocks.append([i])
            cells = sizes[i]
    return blocks
