"""Normal and Student vectors whose two parts are dependent in a chosen pattern."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats
from plogp.estimate.tasks.base import Samples, Task
from plogp.measures.differential import multivariate_normal

__all__ = [
    "dense_correlation",
    "gaussian_vector",
    "latent_correlation",
    "multinormal_dense",
    "multinormal_lvm",
    "multinormal_two_pair",
    "multistudent_dense",
    "multistudent_identity",
    "multistudent_two_pair",
    "student_excess",
    "student_vector",
]


def _parts(covariance: npt.ArrayLike, d_x: int, name: str) -> tuple[Floats, Floats, float]:
    """Return a covariance, its root, and the information between the first d_x normal components and the rest."""
    sigma = np.asarray(covariance, dtype=np.float64)
    if sigma.ndim != 2 or sigma.shape[0] != sigma.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {sigma.shape}")
    if not 0 < d_x < len(sigma):
        raise ValueError(f"d_x must lie between 1 and {len(sigma) - 1}, got {d_x}")
    if not np.allclose(sigma, sigma.T):
        raise ValueError(f"{name} must be symmetric")
    try:
        root: Floats = np.asarray(np.linalg.cholesky(sigma), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"{name} must be positive definite") from error
    entropies = [multivariate_normal(part) for part in (sigma[:d_x, :d_x], sigma[d_x:, d_x:], sigma)]
    return sigma, root, float(entropies[0] + entropies[1] - entropies[2])


def gaussian_vector(covariance: npt.ArrayLike, d_x: int, *, name: str | None = None) -> Task:
    """Two parts of one normal vector with a given covariance: the first `d_x` components and the rest.

    >>> round(gaussian_vector([[1.0, 0.6], [0.6, 1.0]], d_x=1).truth, 4)
    0.2231
    """
    sigma, root, truth = _parts(covariance, d_x, "covariance")

    def draw(n: int, rng: np.random.Generator) -> Samples:
        z = rng.standard_normal((n, len(sigma))) @ root.T
        return z[:, :d_x], z[:, d_x:]

    return Task(name or f"gaussian_vector({d_x}+{len(sigma) - d_x})", truth, draw)


def student_excess(df: float, d_x: int, d_y: int) -> float:
    r"""Return the information that two parts of a Student vector have beyond that of the normal correlations.

    It is ``h(d_x) + h(d_y) - h(d_x + d_y)``, where, with ν = df and Γ_j, ψ_j the gamma and digamma functions
    at (ν + j)/2,

    .. math:: h(j) = \log\frac{Γ_0}{Γ_j} + \frac{j}{2}\log(\nu\pi) + \frac{\nu + j}{2}(ψ_j - ψ_0)

    is the entropy of a spherical Student law of j components.

    >>> round(student_excess(1.0, 1, 1), 4)
    0.2242

    Notes
    -----
    R. B. Arellano-Valle, J. E. Contreras-Reyes and M. G. Genton, Scandinavian Journal of Statistics 40, 2013.
    """
    from scipy import special

    if not df > 0:
        raise ValueError(f"df must be positive, got {df}")

    def entropy_part(j: int) -> float:
        # Without the log-determinant and the terms that cancel.
        a = (df + j) / 2
        return float(
            special.gammaln(df / 2)
            - special.gammaln(a)
            + j / 2 * math.log(df * math.pi)
            + a * (special.digamma(a) - special.digamma(df / 2))
        )

    return entropy_part(d_x) + entropy_part(d_y) - entropy_part(d_x + d_y)


def student_vector(df: float, dispersion: npt.ArrayLike, d_x: int, *, name: str | None = None) -> Task:
    """Two parts of one Student vector with a given dispersion matrix: the first `d_x` components and the rest.

    The truth is that of normal vectors with this covariance plus `student_excess`.

    >>> round(student_vector(1, np.eye(2), d_x=1).truth, 4)
    0.2242
    """
    sigma, root, truth = _parts(dispersion, d_x, "dispersion")
    d_y = len(sigma) - d_x
    truth += student_excess(df, d_x, d_y)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        z = rng.standard_normal((n, len(sigma))) @ root.T
        z *= np.sqrt(df / rng.chisquare(df, (n, 1)))
        return z[:, :d_x], z[:, d_x:]

    return Task(name or f"student_vector(df={df:g}, {d_x}+{d_y})", truth, draw)


def dense_correlation(d: int, rho: float = 0.5) -> Floats:
    """Return the matrix with 1 on the diagonal and rho elsewhere.

    >>> dense_correlation(2, 0.3)
    array([[1. , 0.3],
           [0.3, 1. ]])
    """
    out = np.full((d, d), float(rho))
    np.fill_diagonal(out, 1.0)
    return out


def latent_correlation(
    d_x: int,
    d_y: int,
    pairs: int = 2,
    *,
    pair: float = 2.0,
    common: float = 0.0,
    own: float = 0.0,
    noise: float = 1.0,
    filler: float | None = None,
) -> Floats:
    r"""Return the correlations of two vectors that share latent variables, the x components first.

    All latent variables are independent and standard normal:

    .. math:: X_i = common·U + own·U_X + noise·E_i + pair·Z_i\ (i < pairs),\ + filler·V_i\ (i \ge pairs)

    and the same for Y with its own U_Y, F and W. `filler` (by default `pair`) gives the components without a
    partner the same variance as the others have.

    >>> latent_correlation(1, 1, pairs=1).round(12)
    array([[1. , 0.8],
           [0.8, 1. ]])
    """
    if not 0 <= pairs <= min(d_x, d_y):
        raise ValueError(f"pairs must lie between 0 and the smaller dimension {min(d_x, d_y)}, got {pairs}")
    d = d_x + d_y
    x, y = np.arange(d) < d_x, np.arange(d) >= d_x
    partner = np.concatenate([np.arange(d_x), np.arange(d_y)])
    covariance = np.full((d, d), float(common) ** 2)
    covariance += own**2 * (np.outer(x, x) | np.outer(y, y))
    alone = (pair if filler is None else filler) ** 2
    covariance += np.diag(noise**2 + np.where(partner < pairs, pair**2, alone))
    shared = (partner[:, None] == partner[None, :]) & (partner < pairs)[:, None] & np.outer(x, y)
    covariance += pair**2 * (shared | shared.T)
    sd = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(sd, sd))


def multinormal_dense(d_x: int, d_y: int, rho: float = 0.5) -> Task:
    """Normal vectors in which every two components, of x or of y, have correlation rho.

    >>> round(multinormal_dense(5, 5).truth, 4)
    0.5928
    """
    return gaussian_vector(dense_correlation(d_x + d_y, rho), d_x, name=f"multinormal_dense({d_x}+{d_y})")


def multinormal_two_pair(d_x: int, d_y: int, strength: float = 2.0) -> Task:
    """Normal vectors in which only the first two components of x and y interact, each with its partner.

    Their correlation is ``strength²/(1 + strength²)``; the information does not depend on the dimensions.

    >>> round(multinormal_two_pair(5, 25).truth, 4)
    1.0217
    """
    correlations = latent_correlation(d_x, d_y, 2, pair=strength)
    return gaussian_vector(correlations, d_x, name=f"multinormal_two_pair({d_x}+{d_y})")


def multinormal_lvm(
    d_x: int,
    d_y: int,
    pairs: int,
    *,
    pair: float,
    common: float,
    own: float = 0.0,
    noise: float = 1.0,
    filler: float | None = None,
) -> Task:
    """Normal vectors that share latent variables: see `latent_correlation`.

    >>> round(multinormal_lvm(3, 3, 1, pair=1.5, common=0.4, own=0.3).truth, 4)
    0.3246
    """
    correlations = latent_correlation(d_x, d_y, pairs, pair=pair, common=common, own=own, noise=noise, filler=filler)
    return gaussian_vector(correlations, d_x, name=f"multinormal_lvm({d_x}+{d_y}, pairs={pairs})")


def multistudent_identity(df: float, d_x: int, d_y: int) -> Task:
    """A spherical Student vector: no correlation, only the common scale.

    >>> round(multistudent_identity(2, 3, 3).truth, 4)
    0.2909
    """
    return student_vector(df, np.eye(d_x + d_y), d_x, name=f"multistudent(df={df:g}, {d_x}+{d_y})")


def multistudent_dense(df: float, d_x: int, d_y: int, rho: float = 0.5) -> Task:
    """A Student vector with the dispersion of `multinormal_dense`.

    >>> round(multistudent_dense(5, 2, 2).truth, 4)
    0.3447
    """
    name = f"multistudent_dense(df={df:g}, {d_x}+{d_y})"
    return student_vector(df, dense_correlation(d_x + d_y, rho), d_x, name=name)


def multistudent_two_pair(df: float, d_x: int, d_y: int, strength: float = 2.0) -> Task:
    """A Student vector with the dispersion of `multinormal_two_pair`.

    >>> round(multistudent_two_pair(5, 3, 3).truth, 4)
    1.1107
    """
    name = f"multistudent_two_pair(df={df:g}, {d_x}+{d_y})"
    return student_vector(df, latent_correlation(d_x, d_y, 2, pair=strength), d_x, name=name)
