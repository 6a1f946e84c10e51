"""Diffusion spectral entropy of a point cloud, and the information that it has about labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.labels import encode
from plogp.estimate.samples import Floats, as_array, as_samples
from plogp.measures import Estimate, entropy
from plogp.measures.arrays import Array
from plogp.spectra.eigen import as_rows, placed
from plogp.spectra.similarity import bandwidth_of, gaussian_kernel, squared_distances
from plogp.spectra.spectrum import Spectrum

__all__ = ["VARIANTS", "clusters_of", "dse", "dsmi"]

#: Rows beyond which random subsets are averaged: the eigenvalues of larger matrices take minutes.
MAX_ROWS = 4000


def _diffusion(X: Array, sigma: str | float, t: float, k: int, bins: int) -> Array:
    return Spectrum.diffusion(X, sigma, t).p


def _adjacency(X: Array, sigma: str | float, t: float, k: int, bins: int) -> Array:
    return Spectrum.diffusion(X, sigma, t, anisotropic=False).p


def _entries(X: Array, sigma: str | float, t: float, k: int, bins: int) -> Array:
    """Shares of the entries of the row-normalised K = D^(-1/2) G D^(-1/2) (t is not used)."""
    xp, X = as_rows(X)
    G = gaussian_kernel(xp, X, sigma)
    root = xp.sqrt(xp.sum(G, axis=-1))
    K = G / (root[..., :, None] * root[..., None, :])
    P = K / xp.sum(K, axis=-1, keepdims=True)
    return xp.reshape(P, (-1,)) / P.shape[-1]


def _knn(X: Array, sigma: str | float, t: float, k: int, bins: int) -> Array:
    """Shares of |eigenvalues| of the graph from each point to all within its k-th distance, itself the first.

    The graph is directed, so eigenvalues may be complex; their moduli count.
    """
    _, X = as_rows(X)
    if not isinstance(X, np.ndarray):
        raise TypeError("the k-nearest-neighbour graph has no gradient; pass a NumPy array")
    squared = squared_distances(np, X)
    n = len(squared)
    if not 1 <= k <= n:
        raise ValueError(f"k must lie between 1 and the number of rows {n}, got {k!r}")
    reach = np.partition(squared, k - 1, axis=1)[:, k - 1 : k]
    graph = (squared <= reach).astype(np.float64)
    symmetric = bool((graph == graph.T).all())
    magnitude = np.abs(np.linalg.eigvalsh(graph) if symmetric else np.linalg.eigvals(graph)) ** t
    return np.asarray(magnitude / magnitude.sum())


def _binned(X: Array, sigma: str | float, t: float, k: int, bins: int) -> Array:
    """Shares of the cells of a grid with `bins` equal intervals between the extremes of each column."""
    points = as_samples(X, "X")
    low, high = points.min(axis=0), points.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    cells = np.minimum(((points - low) / width * bins).astype(np.intp), bins - 1)
    counts = np.unique(cells, axis=0, return_counts=True)[1]
    return np.asarray(counts / counts.sum())


#: What the entropy is of.
VARIANTS: dict[str, Callable[[Array, str | float, float, int, int], Array]] = {
    "diffusion": _diffusion,
    "entries": _entries,
    "adjacency": _adjacency,
    "knn": _knn,
    "binned": _binned,
}


def dse(
    X: Any,
    sigma: str | float = "median",
    t: float = 1.0,
    *,
    variant: str = "diffusion",
    base: float | None = None,
    k: int = 10,
    bins: int = 2,
    max_rows: int = MAX_ROWS,
    num_subsets: int = 5,
    rng: np.random.Generator | int | None = 0,
) -> Any:
    r"""Return the diffusion spectral entropy of a point cloud: how many parts it has at the scale sigma.

    .. math:: DSE_t = -\sum_i \alpha_i \log \alpha_i, \qquad \alpha_i = |\lambda_i|^t / \sum_j |\lambda_j|^t

    with λ the eigenvalues of the diffusion matrix (`Spectrum.diffusion`). Between 0 and log n; for t → ∞ the
    logarithm of the number of connected parts. It resists noise, which adds small eigenvalues only, and does not
    saturate in high dimension as binned entropy does.

    Parameters
    ----------
    X : array, shape (n, d)
        PyTorch tensors keep their gradient.
    sigma : "median" or float
        Bandwidth: the median distance of two points, or a number. The released code has 10. A fixed number makes
        values at different scales comparable and follows the spread of the data; "median" does not.
    t : float
        Diffusion time. Rule of thumb of the paper: about 1 % of the λ^t stay above 0.01.
    variant : {"diffusion", "entries", "adjacency", "knn", "binned"}
        Eigenvalues of the diffusion matrix; entries of its row-normalised form; eigenvalues of the Gaussian
        similarities or of the k-nearest-neighbour graph; cells of a grid (the classic entropy).
    base : float, optional
        Nats by default; the released code has bits.
    k, bins : int
        Of "knn" and "binned".
    max_rows : int
        Above this, the mean over `num_subsets` random subsets of this many rows is returned (of all variants but
        "binned"); it is lower than the entropy of all rows, by less than log(n / max_rows).
    num_subsets : int
    rng : Generator, int or None
        Of the subsets.

    Returns
    -------
    float
        Or a tensor for PyTorch input.

    Raises
    ------
    ValueError
        For NaN, an empty X, an unknown variant, or a sigma, t, k or bins out of range.

    Examples
    --------
    >>> three_points = np.repeat([[0.0], [100.0], [200.0]], 4, axis=0)
    >>> round(dse(three_points, sigma=1.0), 6) == round(math.log(3), 6)
    True

    Notes
    -----
    Source: D. Liao, C. Liu et al. (2023), arXiv 2312.04823.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(map(repr, VARIANTS))}, got {variant!r}")
    if not isinstance(bins, (int, np.integer)) or bins < 1:
        raise ValueError(f"bins must be a positive integer, got {bins!r}")
    if not isinstance(max_rows, (int, np.integer)) or max_rows < 2:
        raise ValueError(f"max_rows must be at least 2, got {max_rows!r}")
    if not isinstance(num_subsets, (int, np.integer)) or num_subsets < 1:
        raise ValueError(f"num_subsets must be at least 1, got {num_subsets!r}")
    xp, X = as_rows(X)
    if X.ndim != 2:
        raise ValueError(f"X must have shape (n, d), got {tuple(X.shape)}")
    n = X.shape[0]
    shares = VARIANTS[variant]
    if n <= max_rows or variant == "binned":
        value = entropy(shares(X, sigma, t, k, bins), base=base, check=False)
    else:
        generator = np.random.default_rng(rng)
        value = 0.0
        for _ in range(num_subsets):
            rows = np.sort(generator.choice(n, max_rows, replace=False))
            part = X[rows] if isinstance(X, np.ndarray) else X[xp.asarray(rows, **placed(X))]
            value = value + entropy(shares(part, sigma, t, k, bins), base=base, check=False) / num_subsets
    return float(value) if isinstance(value, (float, np.floating)) else value


def clusters_of(y: Any, n_clusters: int = 10, *, discrete: bool | None = None) -> npt.NDArray[np.intp]:
    """Return a group number for each row of a reference: what the information is about.

    Labels (strings, booleans, integers in one column) are groups as they are; one column of floats is cut into
    equal-width bins; several columns are clustered (spectral clustering on the nearest-neighbour graph). Groups of
    a fixed reference may be found once and passed to `dsmi` for every epoch.

    >>> clusters_of([0.0, 0.1, 0.9, 1.0], 2)
    array([0, 0, 1, 1])
    >>> clusters_of(["a", "b", "a"])
    array([0, 1, 0])
    """
    array = as_array(y, "y")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if discrete is None:
        discrete = array.ndim == 1 and array.dtype.kind not in "f"
    if discrete:
        if array.ndim != 1:
            raise ValueError(f"labels must be one column, got shape {array.shape}")
        return np.asarray(encode(array, "y")[0], dtype=np.intp)
    if not isinstance(n_clusters, (int, np.integer)) or n_clusters < 1:
        raise ValueError(f"n_clusters must be a positive integer, got {n_clusters!r}")
    points = as_samples(array, "y")
    if points.shape[1] == 1:
        column = points[:, 0]
        low, high = float(column.min()), float(column.max())
        if low == high:
            return np.zeros(len(column), dtype=np.intp)
        return np.minimum(((column - low) / (high - low) * n_clusters).astype(np.intp), n_clusters - 1)
    try:
        from sklearn.cluster import SpectralClustering
    except ImportError as error:
        raise ImportError(
            "plogp[sklearn] is needed to cluster a reference of several columns: pip install 'plogp[sklearn]'"
        ) from error
    settings = {"affinity": "nearest_neighbors", "assign_labels": "cluster_qr", "random_state": 0}
    return np.asarray(SpectralClustering(n_clusters, **settings).fit_predict(points), dtype=np.intp)


def dsmi(
    Z: Any,
    y: Any,
    sigma: str | float = "median",
    t: float = 1.0,
    *,
    n_rep: int = 5,
    n_clusters: int = 10,
    discrete: bool | None = None,
    variant: str = "diffusion",
    k: int = 10,
    bins: int = 2,
    max_rows: int = MAX_ROWS,
    num_permutations: int = 0,
    rng: np.random.Generator | int | None = 0,
) -> Estimate:
    r"""Return the diffusion spectral mutual information of a representation with labels (or a signal).

    .. math:: DSMI(Z; Y) = \sum_c p(c) \left[DSE(Z^*_c) - DSE(Z | Y = c)\right]

    with Z*_c a random subset of all rows as large as class c, averaged over `n_rep` draws: entropies grow with the
    number of rows, so only sets of one size may be compared.

    Parameters
    ----------
    Z : array, shape (n, d)
    y : array, shape (n,) or (n, m)
        Labels, or a continuous reference: see `clusters_of`.
    sigma, t, variant, k, bins, max_rows
        As in `dse`. A "median" bandwidth is found once, on all of Z, so that classes share the scale.
    n_rep : int
        Random subsets for each class.
    n_clusters, discrete
        As in `clusters_of`.
    num_permutations : int
        Shuffles of y for a p-value of independence; 0 for none.
    rng : Generator, int or None
        Of the subsets and the shuffles.

    Returns
    -------
    Estimate
        In nats; about 0, either sign, for labels that say nothing. It has no interval: there is no sampling theory
        for these entropies. ``diagnostics["subset_se"]`` is the error of the random subsets, given these rows.
        With `num_permutations`, ``p_value`` is that of a permutation test, exact at any size.

    Raises
    ------
    ValueError
        For mismatched lengths, NaN, or settings out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> Z = rng.normal(size=(100, 3)) + 5 * y[:, None]
    >>> dsmi(Z, y).value > 0.3, abs(dsmi(Z, rng.permutation(y)).value) < 0.1
    (True, True)

    Notes
    -----
    Source: D. Liao, C. Liu et al. (2023), arXiv 2312.04823.
    """
    points = as_samples(Z, "Z")
    groups = clusters_of(y, n_clusters, discrete=discrete)
    n = len(points)
    if len(groups) != n:
        raise ValueError(f"Z and y must have the same number of rows, got {n} and {len(groups)}")
    if not isinstance(n_rep, (int, np.integer)) or n_rep < 1:
        raise ValueError(f"n_rep must be at least 1, got {n_rep!r}")
    if not isinstance(num_permutations, (int, np.integer)) or num_permutations < 0:
        raise ValueError(f"num_permutations must not be negative, got {num_permutations!r}")
    generator = np.random.default_rng(rng)
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(map(repr, VARIANTS))}, got {variant!r}")
    if sigma == "median" and variant in ("diffusion", "entries", "adjacency"):
        sigma = _shared_bandwidth(points)

    def score(rows: Any) -> float:
        return float(
            dse(
                points[rows],
                sigma,
                t,
                variant=variant,
                k=min(k, len(rows)),
                bins=bins,
                max_rows=max_rows,
                rng=generator,
            )
        )

    sizes = np.bincount(groups)
    present = np.flatnonzero(sizes)
    random: dict[int, Floats] = {}
    for c in present:
        random[int(c)] = np.array([score(generator.choice(n, sizes[c], replace=False)) for _ in range(n_rep)])
    share = sizes[present] / n
    outside = float(share @ [random[int(c)].mean() for c in present])

    def inside(labels: npt.NDArray[np.intp]) -> float:
        return float(share @ [score(np.flatnonzero(labels == c)) for c in present])

    value = outside - inside(groups)
    error = None
    if n_rep > 1:
        error = math.sqrt(float(share**2 @ [random[int(c)].var(ddof=1) / n_rep for c in present]))
    p_value = None
    if num_permutations:
        null = [outside - inside(generator.permutation(groups)) for _ in range(num_permutations)]
        p_value = (1 + sum(v >= value - 1e-12 for v in null)) / (1 + num_permutations)
    notes: dict[str, Any] = {
        "subset_se": error,
        "sigma": sigma,
        "t": t,
        "groups": len(present),
        "smallest_group": int(sizes[present].min()),
        "no_interval": "spectral entropies have no sampling theory; num_permutations= tests the value against 0",
    }
    if num_permutations:
        notes["null"] = "labels independent of the representation (permutation)"
    return Estimate(value, None, n, f"dsmi({variant}, t={t:g}, n_rep={n_rep})", p_value=p_value, diagnostics=notes)


def _shared_bandwidth(points: Floats) -> float:
    """Return the median distance of two rows; of at most 2,000 random ones."""
    if len(points) > 2000:
        points = points[np.random.default_rng(0).choice(len(points), 2000, replace=False)]
    return math.sqrt(float(bandwidth_of(np, squared_distances(np, points), "median")))
