"""A stream of data sets with known mutual information, each of another law, size and dimension."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from plogp.estimate.tasks.families import FAMILIES, TRANSFORMS, Array, Sets

__all__ = ["meta_batch", "meta_dataset"]


def _known(names: Sequence[str] | None, table: Mapping[str, Any], what: str) -> list[str]:
    chosen = list(table) if names is None else [names] if isinstance(names, str) else list(names)
    if not chosen or (unknown := [name for name in chosen if name not in table]):
        raise ValueError(f"{what} must be some of {', '.join(table)}, got {unknown if chosen else 'none'}")
    return chosen


def _range(value: tuple[int, int], name: str, least: int) -> tuple[int, int]:
    low, high = (int(v) for v in value)
    if not least <= low <= high:
        raise ValueError(f"{name} must be (low, high) with {least} <= low <= high, got {tuple(value)}")
    return low, high


def meta_batch(
    size: int,
    n: int,
    d_x: int,
    d_y: int,
    *,
    families: Sequence[str] | None = None,
    transforms: Sequence[str] | None = None,
    rng: np.random.Generator | int | None = None,
) -> Sets:
    """Draw `size` data sets of one shape at once, each of a random family with random parameters and transform.

    Parameters
    ----------
    size, n, d_x, d_y : int
        Number of data sets; rows, and columns of x and of y, of each.
    families, transforms : sequence of str, optional
        Names in `FAMILIES` and `TRANSFORMS`; all by default, equally likely (name one twice to double its share).
    rng : Generator, int or None
        Randomness.

    Returns
    -------
    x, y, information : arrays, shapes (size, n, d_x), (size, n, d_y) and (size,)
        float32 samples and the truth in nats. Columns stand in random order and with random sign.

    Raises
    ------
    ValueError
        For unknown names, or a size below 1.

    Examples
    --------
    >>> x, y, truth = meta_batch(8, n=50, d_x=2, d_y=3, rng=0)
    >>> x.shape, y.shape, truth.shape, bool((truth >= 0).all())
    ((8, 50, 2), (8, 50, 3), (8,), True)
    """
    for name, value in {"size": size, "n": n, "d_x": d_x, "d_y": d_y}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rng = np.random.default_rng(rng)
    names = _known(families, FAMILIES, "families")
    maps = _known(transforms, TRANSFORMS, "transforms")
    parts = []
    for name, count in zip(names, rng.multinomial(size, [1 / len(names)] * len(names)), strict=True):
        if count:
            parts.append(FAMILIES[name](int(count), n, d_x, d_y, rng))
    x, y, truth = (np.concatenate([part[i] for part in parts]) for i in range(3))
    order = rng.permutation(size)
    x, y = (_scrambled(v[order], rng) for v in (x, y))
    which = rng.integers(0, len(maps), size)
    for k, name in enumerate(maps):
        if name != "base" and (chosen := which == k).any():
            for v, of_v in zip((x, y), TRANSFORMS[name], strict=True):
                if of_v is not None:
                    v[chosen] = of_v(v[chosen])
    return x, y, truth[order]


def _scrambled(v: Array, rng: np.random.Generator) -> Array:
    """The columns of each data set in another order and with other signs: no place in a row is special."""
    order = rng.random((len(v), 1, v.shape[2])).argsort(axis=2)
    sign = rng.choice(np.array([-1.0, 1.0], dtype=v.dtype), order.shape)
    return np.asarray(np.take_along_axis(v, order, axis=2) * sign)


def meta_dataset(
    n: int,
    families: Sequence[str] | None = None,
    transforms: Sequence[str] | None = None,
    n_range: tuple[int, int] = (10, 500),
    dims: tuple[int, int] = (1, 5),
    rng: np.random.Generator | int | None = None,
    *,
    group: int = 8,
) -> Iterator[tuple[Array, Array, float]]:
    """Yield `n` data sets with known mutual information, fresh at each call.

    Parameters
    ----------
    n : int
        How many data sets.
    families, transforms : sequence of str, optional
        Names in `FAMILIES` and `TRANSFORMS`, equally likely; all by default.
    n_range, dims : (low, high)
        Rows of a data set, log-uniform; columns of x and of y, uniform and independent of each other. Both ends
        are included.
    rng : Generator, int or None
        Randomness.
    group : int
        How many data sets in a row share one shape (they are drawn together, for speed).

    Yields
    ------
    x, y, information : array (rows, d_x), array (rows, d_y), float
        The information in nats.

    Raises
    ------
    ValueError
        For unknown names or ranges that are empty.

    Examples
    --------
    >>> for x, y, truth in meta_dataset(2, families=["normal_dense"], n_range=(20, 30), dims=(2, 2), rng=0):
    ...     print(20 <= len(x) <= 30, y.shape[1], 0 <= truth < 1)
    True 2 True
    True 2 True

    Notes
    -----
    G. Gritsai, M. Richards, M. Méloux, K. Cho and M. Peyrard, 2025, arXiv 2511.18945 (families and ranges; theirs
    have d_x = d_y up to 32 and uniform sizes).
    """
    if n < 1 or group < 1:
        raise ValueError(f"n and group must be at least 1, got {n} and {group}")
    rows, columns = _range(n_range, "n_range", 2), _range(dims, "dims", 1)
    _known(families, FAMILIES, "families")
    _known(transforms, TRANSFORMS, "transforms")
    return _drawn(n, families, transforms, rows, columns, np.random.default_rng(rng), group)


def _drawn(
    n: int,
    families: Sequence[str] | None,
    transforms: Sequence[str] | None,
    rows: tuple[int, int],
    columns: tuple[int, int],
    rng: np.random.Generator,
    group: int,
) -> Iterator[tuple[Array, Array, float]]:
    left = n
    while left:
        size = min(group, left)
        length = random_length(rows, rng)
        d_x, d_y = (int(d) for d in rng.integers(columns[0], columns[1] + 1, 2))
        sets = meta_batch(size, length, d_x, d_y, families=families, transforms=transforms, rng=rng)
        for x, y, truth in zip(*sets, strict=True):
            yield x, y, float(truth)
        left -= size


def random_length(rows: tuple[int, int], rng: np.random.Generator) -> int:
    """Return a log-uniform number of rows between the two ends."""
    return int(min(np.exp(rng.uniform(np.log(rows[0]), np.log(rows[1] + 1))), rows[1]))
