"""How spread out a cloud of embeddings is: two reliable measures, and those they were found better than."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from plogp.estimate.knn_divergence import knn_kl
from plogp.estimate.neighbours import nearest
from plogp.estimate.samples import Floats, as_samples
from plogp.measures import divergence, entropy
from plogp.spectra.eigen import BLOCK_BYTES, prepared
from plogp.spectra.spectrum import Spectrum

__all__ = ["MEASURES", "spread", "vrm"]

#: Bins of the histograms, and the largest number of neighbours of "knn_overlap".
BINS, MOST_NEIGHBOURS = 30, 100


@dataclass(frozen=True, eq=False)
class _Cloud:
    """Rows, and what several measures need of them, each found once."""

    rows: Floats
    rng: np.random.Generator

    @property
    def n(self) -> int:
        return self.rows.shape[0]

    @property
    def d(self) -> int:
        return self.rows.shape[1]

    @cached_property
    def spectrum(self) -> Spectrum:
        return Spectrum.covariance(self.rows)

    @cached_property
    def components(self) -> Floats:
        """Principal components, scaled to the total variance d of a standard normal cloud."""
        centred = self.rows - self.rows.mean(axis=0)
        # A common scale changes nothing; this one keeps squares of huge and tiny values in range.
        peak = np.abs(centred).max()
        if peak == 0:
            raise ValueError("all rows of X are equal; a cloud without any spread has no measure of it")
        centred = centred / peak
        _, vectors = np.linalg.eigh(centred.T @ centred)
        turned = centred @ vectors[:, ::-1]
        return np.asarray(turned * math.sqrt(self.d / (float(np.sum(turned**2)) / (self.n - 1))))

    @cached_property
    def reference(self) -> Floats:
        """A standard normal cloud of the same size, with the total variance of `components`."""
        z = self.rng.standard_normal((self.n, self.d))
        z -= z.mean(axis=0)
        return np.asarray(z * math.sqrt(self.d * (self.n - 1) / float(np.sum(z**2))))

    @cached_property
    def log_nearest(self) -> Floats:
        return _log_nearest(self.components)


def _log_nearest(points: Floats) -> Floats:
    """Return the logarithms of the distances to the nearest other row; -inf for duplicates."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(nearest(points, 1, metric="euclidean").radius))


def vrm(X: Any) -> float:
    r"""Return the Vasicek ratio mean square error of a cloud: 0 for a standard normal one, larger if less spread.

    .. math:: VRM = \frac1d \sum_j (1 - r_j)^2, \qquad r_j = e^{\hat h_j} / \sqrt{2 \pi e}

    with ĥ_j the spacings entropy (SciPy's automatic choice by sample size) of the j-th principal component, all of
    them scaled so that the total variance is d. It grows where variance is concentrated, and where components are
    not normal. Does not change under shifts, rotations and changes of scale.

    Parameters
    ----------
    X : array, shape (n, d)
        Samples as rows, at least 3.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For NaN, fewer than 3 rows, or rows that are all equal.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(2000, 4))
    >>> bool(vrm(X) < 0.01 < 0.5 < vrm(X * [1, 0, 0, 0]))
    True

    Notes
    -----
    The entropy is `scipy.stats.differential_entropy` because its choice among Vasicek's, Ebrahimi's and van Es's
    estimators by n is part of the published measure; `plogp.estimate.vasicek` has the smaller bias and an interval.
    Source: A. Marbut, K. McKinney-Bock and T. Wheeler (2023), arXiv 2212.08172.
    """
    return _vrm(_cloud(X))


def _ratio(components: Floats) -> Floats:
    """exp(entropy) over that of a standard normal, of each column; 0 for a constant one."""
    from scipy.stats import differential_entropy

    flat = np.ptp(components, axis=0) <= 1e-12 * math.sqrt(components.shape[1])
    ratios = np.zeros(components.shape[1])
    with np.errstate(divide="ignore"):
        ratios[~flat] = np.exp(differential_entropy(components[:, ~flat], axis=0)) if not flat.all() else 0.0
    return ratios / math.sqrt(2 * math.pi * math.e)


def _vrm(cloud: _Cloud) -> float:
    return float(np.mean((1.0 - _ratio(cloud.components)) ** 2))


def _eee(cloud: _Cloud) -> float:
    return float(cloud.spectrum.eee("trapezoid"))


def _pc_ratio(cloud: _Cloud) -> float:
    return float(cloud.spectrum.isotropy)


def _acs(cloud: _Cloud) -> float:
    """Mean of the off-diagonal cosines: (|Σ z|² - n) / (n (n - 1)) of unit rows z, without a matrix of pairs."""
    total = prepared(np, cloud.rows, unit=True).sum(axis=0)
    return float((total @ total - cloud.n) / (cloud.n * (cloud.n - 1)))


def _partition(cloud: _Cloud) -> float:
    """Smallest over largest Z(c), where Z(c) = mean exp(c·x), over the eigenvectors c of XᵀX and their negatives."""
    _, vectors = np.linalg.eigh(cloud.rows.T @ cloud.rows)
    directions = np.concatenate([vectors, -vectors], axis=1)
    step = max(1, BLOCK_BYTES // (8 * directions.shape[1]))
    logs = np.full(directions.shape[1], -np.inf)
    for start in range(0, cloud.n, step):
        logs = np.logaddexp(logs, np.logaddexp.reduce(cloud.rows[start : start + step] @ directions, axis=0))
    return math.exp(float(logs.min() - logs.max()))


def _koleo(cloud: _Cloud) -> float:
    """Geometric mean of the distances to the nearest row over that of a normal cloud of the same size: 1 if normal."""
    return math.exp(float(np.mean(cloud.log_nearest)) - float(np.mean(_log_nearest(cloud.reference))))


def _knn_overlap(cloud: _Cloud) -> float:
    """Common mass of the histograms of the distances to the nearest and to the k-th neighbour, k = min(5d, 100)."""
    k = min(5 * cloud.d, MOST_NEIGHBOURS, cloud.n - 1)
    near = nearest(cloud.components, k, metric="euclidean").distances
    edges = np.linspace(float(near.min()), float(near.max()) or 1.0, BINS + 1)
    first, last = (np.histogram(near[:, j], edges)[0] for j in (0, -1))
    return 1.0 - float(divergence("tv")(first, last, normalize=True))


def _kl_gaussian(cloud: _Cloud) -> float:
    """KL of the fitted normal from the standard one, ½ Σ (λ_j - 1 - log λ_j): components have mean 0, no covariance."""
    variances = np.var(cloud.components, axis=0, ddof=1)
    tiny = variances <= 1e-12
    if tiny.any():
        return math.inf
    return 0.5 * float(np.sum(variances - 1.0 - np.log(variances)))


def _kl_discrete(cloud: _Cloud) -> float:
    """Mean over components of the squared KL between histograms of the component and of a normal sample."""
    kl, values = divergence("kl"), []
    for ours, theirs in zip(cloud.components.T, cloud.reference.T):
        edges = np.histogram_bin_edges(np.concatenate([ours, theirs]), BINS)
        p, q = (np.histogram(column, edges)[0] + 1.0 / BINS for column in (ours, theirs))
        values.append(float(kl(p, q, normalize=True)) ** 2)
    return float(np.mean(values))


def _kl_knn(cloud: _Cloud) -> float:
    """KL of the components from a normal sample by neighbour distances (Wang, Kulkarni and Verdú), k = 1."""
    if not np.isfinite(cloud.log_nearest).all():
        return math.inf
    return knn_kl(cloud.components, cloud.reference, k=1).value


def _entropy_ratio(cloud: _Cloud) -> float:
    """Mean over components of the histogram entropy over that of a normal sample, on common bins."""
    ratios = []
    for ours, theirs in zip(cloud.components.T, cloud.reference.T):
        edges = np.histogram_bin_edges(np.concatenate([ours, theirs]), BINS)
        p, q = (np.histogram(column, edges)[0] for column in (ours, theirs))
        ratios.append(float(entropy(p, normalize=True)) / float(entropy(q, normalize=True)))
    return float(np.mean(ratios))


#: Every measure by name: what it is of, what it is of a spread-out cloud, and the function.
MEASURES: dict[str, tuple[str, float, Callable[[_Cloud], float]]] = {
    "eee": ("eigenvalue early enrichment: 0 spread, towards 1 collapsed (recommended)", 0.0, _eee),
    "vrm": ("Vasicek ratio MSE: 0 spread and normal (recommended)", 0.0, _vrm),
    "acs": ("average cosine similarity: 0 if spread, but also for a line through the origin", 0.0, _acs),
    "partition": ("I(V), smallest over largest partition function: 1 if isotropic", 1.0, _partition),
    "pc_ratio": ("smallest over largest covariance eigenvalue: 1 if isotropic", 1.0, _pc_ratio),
    "koleo": ("nearest-neighbour distance over a normal cloud's: 1 if normal", 1.0, _koleo),
    "knn_overlap": (
        "overlap of nearest and k-th neighbour distances: large if spread in many dimensions",
        1.0,
        _knn_overlap,
    ),
    "kl_gaussian": ("KL of the fitted normal from the standard one: 0 if isotropic", 0.0, _kl_gaussian),
    "kl_discrete": ("mean squared KL of component histograms from normal ones: 0 if normal", 0.0, _kl_discrete),
    "kl_knn": ("KL from a normal cloud by neighbour distances: 0 if normal", 0.0, _kl_knn),
    "entropy_ratio": ("histogram entropy of components over normal ones: 1 if normal", 1.0, _entropy_ratio),
}
ALIASES = {"iv": "partition", "i(v)": "partition", "kl": "kl_gaussian"}


def _cloud(X: Any, rng: np.random.Generator | int | None = 0) -> _Cloud:
    rows = as_samples(X, "X")
    if len(rows) < 3:
        raise ValueError(f"X must have at least 3 rows to be spread out, got {len(rows)}")
    if not np.ptp(rows, axis=0).any():
        raise ValueError("all rows of X are equal; a cloud without any spread has no measure of it")
    return _Cloud(rows, np.random.default_rng(rng))


def spread(
    X: Any, measures: str | Iterable[str] = ("eee", "vrm"), *, rng: np.random.Generator | int | None = 0
) -> dict[str, float]:
    """Return measures of how spread out the rows of X are, by name.

    Of the eleven, "eee" and "vrm" are recommended by their comparison; the others are for comparing with published
    figures and fail on some clouds (`MEASURES` says what each is, and its value for a spread-out cloud). "acs" and
    "partition" look at the rows as they are and change when all are shifted; "eee" and "pc_ratio" at the centred
    covariance; the rest at principal components scaled to a total variance of d.

    Parameters
    ----------
    X : array, shape (n, d)
        Samples as rows, at least 3.
    measures : "all", a name, or names
        Keys of `MEASURES`.
    rng : Generator, int or None
        Of the normal cloud that "koleo", "kl_discrete", "kl_knn" and "entropy_ratio" compare with.

    Returns
    -------
    dict of str to float
        In the order asked for. "kl_gaussian" and "kl_knn" are infinite where a direction has no variance or rows
        repeat; "koleo" is then 0.

    Raises
    ------
    ValueError
        For an unknown measure, NaN, fewer than 3 rows, rows that are all equal, or a zero row ("acs").

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(1000, 8))
    >>> {name: round(value, 2) for name, value in spread(X + 10, ["acs", "eee"]).items()}
    {'acs': 0.99, 'eee': 0.06}

    Notes
    -----
    Source: A. Marbut, K. McKinney-Bock and T. Wheeler (2023), arXiv 2212.08172; I(V): J. Mu and P. Viswanath
    (2018), arXiv 1702.01417; KoLeo: A. Sablayrolles et al. (2019), arXiv 1806.03198. The released code scales to
    the variance of a sampled normal cloud, uses 1,000 random directions for I(V), and its text reads EEE the wrong
    way round.
    """
    names = list(MEASURES) if measures == "all" else [measures] if isinstance(measures, str) else list(measures)
    keys = []
    for name in names:
        key = ALIASES.get(str(name).lower(), str(name).lower())
        if key not in MEASURES:
            near = difflib.get_close_matches(key, MEASURES, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"unknown measure {name!r}; {hint}expected 'all' or some of {', '.join(MEASURES)}")
        keys.append(key)
    cloud = _cloud(X, rng)
    return {name: MEASURES[key][2](cloud) for name, key in zip(names, keys)}
