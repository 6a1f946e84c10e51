"""Families of distributions with known mutual information, drawn many at a time: what `MIST` is trained on.

A family draws `size` data sets at once, each with parameters of its own, and knows the information of each. The
ranges of the parameters are those of the paper's training data (named in each docstring).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.tasks.continuous import uniform_additive
from plogp.estimate.tasks.maps import MAPS, Map
from plogp.estimate.tasks.vectors import dense_correlation, latent_correlation, student_excess

__all__ = ["FAMILIES", "TRANSFORMS", "normal_information"]

Array = npt.NDArray[Any]
#: x of shape (size, n, d_x), y of shape (size, n, d_y), information of shape (size,), in nats.
Sets = tuple[Array, Array, Array]
Family = Callable[[int, int, int, int, np.random.Generator], Sets]
Correlations = Callable[[int, int, int, np.random.Generator], Array]


def dense(size: int, d_x: int, d_y: int, rng: np.random.Generator) -> Array:
    """Every pair of coordinates has the same correlation, uniform on (0, ½)."""
    return np.stack([dense_correlation(d_x + d_y, rho) for rho in rng.uniform(0.0, 0.5, size)])


def sparse(size: int, d_x: int, d_y: int, rng: np.random.Generator, pairs: int | None = None) -> Array:
    """Some pairs interact, 1 to all (or `pairs`), with one strength, uniform on (0.1, 5); no other does."""
    most = min(d_x, d_y)
    count = rng.integers(1, most + 1, size) if pairs is None else np.full(size, min(pairs, most))
    strength = rng.uniform(0.1, 5.0, size)
    return np.stack([latent_correlation(d_x, d_y, int(c), pair=s) for c, s in zip(count, strength, strict=True)])


def two_pair(size: int, d_x: int, d_y: int, rng: np.random.Generator) -> Array:
    """`sparse` with two interacting pairs (one where x or y has one coordinate)."""
    return sparse(size, d_x, d_y, rng, pairs=2)


def lvm(size: int, d_x: int, d_y: int, rng: np.random.Generator) -> Array:
    """`latent_correlation` with common ~ U(0, 1), pair ~ U(0.1, 3), own ~ U(0, 1.5), filler ~ U(0.1, 5)."""
    pairs = rng.integers(1, min(d_x, d_y) + 1, size)
    ranges = {"common": (0.0, 1.0), "pair": (0.1, 3.0), "own": (0.0, 1.5), "filler": (0.1, 5.0)}
    weights = {name: rng.uniform(*ends, size) for name, ends in ranges.items()}
    each = ({name: float(value[i]) for name, value in weights.items()} for i in range(size))
    return np.stack([latent_correlation(d_x, d_y, int(p), **w) for p, w in zip(pairs, each, strict=True)])


def normal_information(covariance: Array, d_x: int) -> Array:
    """``½ (log|S_xx| + log|S_yy| - log|S|)`` of a stack of covariances, shape (size,).

    >>> normal_information(np.array([[[1.0, 0.6], [0.6, 1.0]]]), d_x=1).round(4)
    array([0.2231])
    """
    parts = covariance[:, :d_x, :d_x], covariance[:, d_x:, d_x:], covariance
    of_x, of_y, of_both = (np.linalg.slogdet(part)[1] for part in parts)
    return np.asarray(0.5 * (of_x + of_y - of_both))


def _rows(correlations: Array, n: int, rng: np.random.Generator) -> Array:
    root = np.linalg.cholesky(correlations).astype(np.float32)
    return np.asarray(rng.standard_normal((len(root), n, root.shape[1]), dtype=np.float32) @ root.swapaxes(1, 2))


def normal(make: Correlations) -> Family:
    """Normal vectors with the correlations that `make` draws."""

    def draw(size: int, n: int, d_x: int, d_y: int, rng: np.random.Generator) -> Sets:
        correlations = make(size, d_x, d_y, rng)
        z = _rows(correlations, n, rng)
        return z[..., :d_x], z[..., d_x:], normal_information(correlations, d_x)

    return draw


def multistudent(make: Correlations) -> Family:
    """Student vectors, degrees of freedom ~ U(1, 10), with the dispersion that `make` draws."""

    def draw(size: int, n: int, d_x: int, d_y: int, rng: np.random.Generator) -> Sets:
        correlations, df = make(size, d_x, d_y, rng), rng.uniform(1.0, 10.0, size)
        half = df[:, None, None] / 2
        chi2 = 2 * rng.standard_gamma(np.broadcast_to(half, (size, n, 1)))
        z = _rows(correlations, n, rng) * np.sqrt(2 * half / np.maximum(chi2, 1e-30)).astype(np.float32)
        excess = np.array([student_excess(float(nu), d_x, d_y) for nu in df])
        return z[..., :d_x], z[..., d_x:], normal_information(correlations, d_x) + excess

    return draw


def additive_uniform(size: int, n: int, d_x: int, d_y: int, rng: np.random.Generator) -> Sets:
    """``y_j = x_j + u_j`` with x_j uniform on (0, 1) and u_j on (-eps_j, eps_j), eps_j ~ U(0.1, 2).

    Where x and y differ in dimension, the coordinates without a partner are independent uniform noise.
    """
    most = min(d_x, d_y)
    eps = rng.uniform(0.1, 2.0, (size, most))
    x = rng.random((size, n, d_x), dtype=np.float32)
    y = rng.random((size, n, d_y), dtype=np.float32)
    y[..., :most] = x[..., :most] + (2 * y[..., :most] - 1) * eps[:, None].astype(np.float32)
    return x, y, np.array([sum(uniform_additive(float(e)).truth for e in row) for row in eps])


def independent(size: int, n: int, d_x: int, d_y: int, rng: np.random.Generator) -> Sets:
    """X and y that share nothing: two draws of another family, x of the one and y of the other."""
    name = rng.choice([name for name in FAMILIES if name != "independent"])
    x, _, _ = FAMILIES[name](size, n, d_x, d_y, rng)
    _, y, _ = FAMILIES[name](size, n, d_x, d_y, rng)
    return x, y, np.zeros(size)


#: Family by name: ``family(size, n, d_x, d_y, rng) -> (x, y, information)``, each data set with parameters of its own.
FAMILIES: dict[str, Family] = {
    "normal_dense": normal(dense),
    "normal_sparse": normal(sparse),
    "normal_lvm": normal(lvm),
    "normal_2pair": normal(two_pair),
    "student_dense": multistudent(dense),
    "student_sparse": multistudent(sparse),
    "student_2pair": multistudent(two_pair),
    "additive_uniform": additive_uniform,
    "independent": independent,
}

#: Increasing maps of each coordinate, (of x, of y; None: as it is): the information stays.
TRANSFORMS: dict[str, tuple[Map | None, Map | None]] = {
    "base": (None, None),
    **{name: MAPS[name] for name in ("half_cube", "asinh", "wiggly")},
}
