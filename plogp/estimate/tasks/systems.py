"""Systems of several normal variables in which redundancy, or synergy, or both, are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats
from plogp.estimate.tasks.base import Samples, Task
from plogp.measures.differential import multivariate_normal

__all__ = [
    "QUANTITIES",
    "block_system",
    "mixed_system",
    "normal_information",
    "normal_system",
    "product_synergy",
    "redundancy",
    "redundancy_covariance",
    "synergy",
    "synergy_covariance",
]

QUANTITIES = ("total_correlation", "dual_total_correlation", "o_information", "s_information")
Map = Callable[[Floats], Floats]


def redundancy_covariance(variables: int = 3, rho: float = 0.8) -> Floats:
    """Unit variances, all correlations rho.

    >>> redundancy_covariance(2, 0.5).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    _positive(variables)
    out = np.full((variables, variables), float(rho))
    np.fill_diagonal(out, 1.0)
    return out


def synergy_covariance(variables: int = 3, rho: float = 0.7) -> Floats:
    """The first two correlated by ``1/√(n-1)``, the second and each later one by ``ρ/√(n-1)``, the rest independent.

    The second variable is a mixture of all others, which are independent until it is known.

    >>> synergy_covariance(3, 0.7).round(3).tolist()
    [[1.0, 0.707, 0.0], [0.707, 1.0, 0.495], [0.0, 0.495, 1.0]]
    """
    if variables < 3:
        raise ValueError(f"a synergistic system has at least three variables, got {variables}")
    out = np.eye(variables)
    root = math.sqrt(variables - 1)
    out[0, 1] = out[1, 0] = 1 / root
    out[1, 2:] = out[2:, 1] = rho / root
    return out


def _positive(variables: int) -> None:
    if variables < 2:
        raise ValueError(f"a system has at least two variables, got {variables}")


def normal_information(covariance: npt.ArrayLike, sizes: Sequence[int] | None = None) -> dict[str, float]:
    r"""Total and dual total correlation, O- and S-information of a normal vector, in nats.

    With h the entropy of a normal vector of the given covariance,

    .. math:: TC = \sum_i h(X_i) - h(X), \quad DTC = \sum_i h(X_{-i}) - (m-1) h(X), \quad
        Ω = TC - DTC, \quad S = TC + DTC.

    Parameters
    ----------
    covariance : array, shape (d, d)
    sizes : sequence of int, optional
        Columns of each variable; by default each column is one.

    Raises
    ------
    ValueError
        If the covariance is not positive definite or the sizes do not add up.

    Examples
    --------
    >>> found = normal_information(redundancy_covariance(3, 0.8))
    >>> {k: round(v, 5) for k, v in found.items()}
    {'total_correlation': 1.13168, 'dual_total_correlation': 0.73089, 'o_information': 0.40079,
     's_information': 1.86257}
    >>> round(normal_information(synergy_covariance(3, 0.7))["o_information"], 4)
    -0.1962

    Notes
    -----
    F. E. Rosas et al., Physical Review E 100, 2019, arXiv 1902.11239.
    """
    whole = np.asarray(covariance, dtype=np.float64)
    parts = [1] * len(whole) if sizes is None else list(sizes)
    if whole.ndim != 2 or whole.shape != (sum(parts), sum(parts)):
        raise ValueError(f"covariance must have shape ({sum(parts)}, {sum(parts)}), got {whole.shape}")
    _positive(len(parts))
    columns = [np.arange(a, b) for a, b in pairwise(np.cumsum([0, *parts]))]

    def h(keep: npt.NDArray[np.intp]) -> float:
        return float(multivariate_normal(whole[np.ix_(keep, keep)]))

    every = np.concatenate(columns)
    joint = h(every)
    tc = math.fsum(h(c) for c in columns) - joint
    dtc = math.fsum(h(np.setdiff1d(every, c)) for c in columns) - (len(columns) - 1) * joint
    return dict(zip(QUANTITIES, (tc, dtc, tc - dtc, tc + dtc)))


def normal_system(
    covariance: npt.ArrayLike,
    d: int = 1,
    *,
    quantity: str = "o_information",
    transform: Map | None = None,
    name: str = "normal_system",
) -> Task:
    """Normal variables of a given covariance, each of d independent copies: every information is d times as large.

    Parameters
    ----------
    covariance : array, shape (m, m)
    d : int
        Columns of each variable.
    quantity : {"total_correlation", "dual_total_correlation", "o_information", "s_information"}
        Whose truth the task bears.
    transform : callable, optional
        A one-to-one map of each column (`half_cubed`, `through_normal_cdf`); it leaves the truth as it is.

    Examples
    --------
    >>> task = normal_system(synergy_covariance(3, 0.7), d=2, quantity="total_correlation")
    >>> round(task.truth, 4), [x.shape for x in task.sample(10, 0)]
    (1.3665, [(10, 2), (10, 2), (10, 2)])
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(map(repr, QUANTITIES))}, got {quantity!r}")
    if d < 1:
        raise ValueError(f"d must be at least 1, got {d}")
    matrix = np.asarray(covariance, dtype=np.float64)
    truth = d * normal_information(matrix)[quantity]
    root, m = np.linalg.cholesky(matrix), len(matrix)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x = rng.standard_normal((n, d, m)) @ root.T
        x = x if transform is None else transform(x)
        return tuple(np.ascontiguousarray(x[:, :, i]) for i in range(m))

    return Task(f"{name}(m={m}, d={d})", truth, draw, quantity, ("continuous",) * m)


def redundancy(
    variables: int = 3,
    rho: float = 0.8,
    d: int = 1,
    *,
    quantity: str = "o_information",
    transform: Map | None = None,
) -> Task:
    """`normal_system` with `redundancy_covariance`: positive O-information.

    >>> round(redundancy().truth, 4)
    0.4008
    """
    matrix = redundancy_covariance(variables, rho)
    return normal_system(matrix, d, quantity=quantity, transform=transform, name=f"redundancy(rho={rho:g})")


def synergy(
    variables: int = 3,
    rho: float = 0.7,
    d: int = 1,
    *,
    quantity: str = "o_information",
    transform: Map | None = None,
) -> Task:
    """`normal_system` with `synergy_covariance`: negative O-information.

    >>> round(synergy().truth, 4)
    -0.1962
    """
    matrix = synergy_covariance(variables, rho)
    return normal_system(matrix, d, quantity=quantity, transform=transform, name=f"synergy(rho={rho:g})")


def block_system(covariances: Sequence[npt.ArrayLike]) -> Floats:
    """Covariance of independent systems side by side: informations add up.

    >>> block_system([[[1.0]], [[2.0]]]).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    if not covariances:
        raise ValueError("give at least one covariance")
    from scipy.linalg import block_diag

    return np.asarray(block_diag(*(np.asarray(c, dtype=np.float64) for c in covariances)), dtype=np.float64)


def mixed_system(
    redundant: Sequence[int] = (3,),
    synergistic: Sequence[int] = (3,),
    rho: float = 0.8,
    rho_synergy: float = 0.7,
    d: int = 1,
    *,
    quantity: str = "o_information",
    transform: Map | None = None,
) -> Task:
    """Independent redundant and synergistic systems of the given numbers of variables, in one task.

    >>> round(mixed_system().truth, 4)                       # 0.4008 - 0.1962
    0.2046

    Notes
    -----
    The systems of M. Bounoua, G. Franzese and P. Michiardi, SΩI, ICML 2024, arXiv 2402.05667.
    """
    parts = [redundancy_covariance(m, rho) for m in redundant]
    parts += [synergy_covariance(m, rho_synergy) for m in synergistic]
    return normal_system(block_system(parts), d, quantity=quantity, transform=transform, name="mixed_system")


def product_synergy(noise: float = 0.5) -> Task:
    r"""X and Y independent standard normal, ``Z = XY + noise·ε``: O-information without any correlation.

    .. math:: Ω = I(X;Z) - I(X;Z|Y) = h(Z) - E\tfrac12\log 2πe(X^2+η^2) - E\tfrac12\log(1 + Y^2/η^2)

    integrated numerically.

    >>> round(product_synergy(0.5).truth, 4)
    -0.4295
    """
    from scipy import integrate, special

    if not noise > 0:
        raise ValueError(f"noise must be positive, got {noise}")
    at, weight = np.polynomial.hermite_e.hermegauss(200)
    weight = weight / weight.sum()
    variance = at * at + noise * noise

    def surprise(z: float) -> float:
        density = float(weight @ (np.exp(-0.5 * z * z / variance) / np.sqrt(2 * math.pi * variance)))
        return -float(special.xlogy(density, density))

    h = 2 * integrate.quad(surprise, 0, 60, limit=400, epsabs=1e-10, points=[noise, 1.0, 5.0])[0]
    given = float(weight @ (0.5 * np.log(2 * math.pi * math.e * variance)))
    truth = h - given - float(weight @ (0.5 * np.log(variance / noise**2)))

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x, y, e = rng.standard_normal((3, n, 1))
        return x, y, x * y + noise * e

    return Task(f"product_synergy(noise={noise:g})", truth, draw, "o_information", ("continuous",) * 3)
