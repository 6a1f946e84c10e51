"""What a finite number of samples does to a covariance spectrum: the Marchenko-Pastur law, and its undoing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plogp.measures import Estimate, entropy
from plogp.measures.entropy import Entropy, get_entropy

if TYPE_CHECKING:
    from plogp.spectra.functionals import Functionals

__all__ = ["MarchenkoPastur", "corrected_entropy", "null_of"]

Floats = npt.NDArray[np.float64]

#: Nodes of the quadrature over the law's support.
NODES = 512
#: Rounds of matching the mean simulated spectrum to the observed one, draws in each, and draws of the bias.
ROUNDS, DRAWS, BIAS_DRAWS = 12, 8, 40


@dataclass(frozen=True)
class MarchenkoPastur:
    r"""The limit law of sample-covariance eigenvalues of white noise, at ratio = d / degrees of freedom.

    .. math:: f(x) = \frac{\sqrt{(b - x)(x - a)}}{2 \pi \, ratio \, variance \, x}, \qquad
        a, b = variance (1 \mp \sqrt{ratio})^2

    and, for ratio > 1, an atom of 1 - 1/ratio at 0 (of which `density` and the edges know nothing).

    Parameters
    ----------
    ratio, variance : float
        Positive.

    Examples
    --------
    >>> law = MarchenkoPastur(0.25)
    >>> law.lower, law.upper
    (0.25, 2.25)
    >>> round(law.mean(lambda x: x * np.log(x)), 6)               # ratio / 2
    0.125

    Notes
    -----
    V. Marchenko and L. Pastur, Mathematics of the USSR-Sbornik 1, 1967.
    """

    ratio: float
    variance: float = 1.0

    def __post_init__(self) -> None:
        for name in ("ratio", "variance"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float, np.number)) and 0 < value < math.inf):
                raise ValueError(f"{name} must be a positive number, got {value!r}")

    @property
    def lower(self) -> float:
        """Smallest eigenvalue above 0."""
        return self.variance * (1 - math.sqrt(self.ratio)) ** 2

    @property
    def upper(self) -> float:
        """Largest eigenvalue; that of a finite sample fluctuates around it by a share of about n^(-2/3)."""
        return self.variance * (1 + math.sqrt(self.ratio)) ** 2

    @property
    def atom(self) -> float:
        """Share of eigenvalues that are exactly 0."""
        return max(0.0, 1.0 - 1.0 / self.ratio)

    def density(self, x: Any) -> Floats:
        """Return the density of the part above 0; its mass is 1 - `atom`."""
        x = np.asarray(x, dtype=np.float64)
        inside = (x > self.lower) & (x < self.upper)
        safe = np.where(inside, x, 1.0)
        root = np.sqrt(np.where(inside, (self.upper - safe) * (safe - self.lower), 0.0))
        return np.asarray(root / (2 * math.pi * self.ratio * self.variance * safe))

    def _grid(self, angle: Floats) -> tuple[Floats, Floats]:
        """Return x = mid - half·cos(angle), from the lower edge on, and density·dx/d(angle), which is smooth."""
        half = 2 * self.variance * math.sqrt(self.ratio)
        # a + half (1 - cos): no cancellation at the lower edge.
        x = self.lower + 2 * half * np.sin(angle / 2) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            f = (half * np.sin(angle)) ** 2 / (2 * math.pi * self.ratio * self.variance * x)
        edge = 2 * half / (2 * math.pi * self.ratio * self.variance) if self.lower == 0 else 0.0
        return x, np.where(x > 0, f, edge)

    def mean(self, f: Callable[[Floats], Any]) -> float:
        """Return the mean of f over all eigenvalues (f(0) for the atom, if there is one)."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        x, density = self._grid(0.5 * math.pi * (nodes + 1))
        value = 0.5 * math.pi * float(weights @ (density * np.asarray(f(x), dtype=np.float64)))
        return value + (self.atom * float(np.asarray(f(np.zeros(1)))[0]) if self.atom > 0 else 0.0)

    def cdf(self, x: Any) -> Floats:
        """Return the share of eigenvalues at or below x."""
        x = np.asarray(x, dtype=np.float64)
        half = 2 * self.variance * math.sqrt(self.ratio)
        end = np.arccos(np.clip(1 - (x - self.lower) / half, -1.0, 1.0))
        nodes, weights = np.polynomial.legendre.leggauss(128)
        _, density = self._grid(0.5 * end[..., None] * (nodes + 1))
        below = 0.5 * end * (density @ weights)
        return np.where(x < 0, 0.0, np.minimum(self.atom + below, 1.0))

    def quantile(self, u: Any) -> Floats:
        """Return the eigenvalue below which a share u lies."""
        u = np.asarray(u, dtype=np.float64)
        if not ((u >= 0) & (u <= 1)).all():
            raise ValueError(f"u must lie in [0, 1], got {u!r}")
        low, high = np.full(u.shape, self.lower), np.full(u.shape, self.upper)
        for _ in range(60):
            middle = 0.5 * (low + high)
            small = self.cdf(middle) < u
            low, high = np.where(small, middle, low), np.where(small, high, middle)
        return np.where(u <= self.atom, 0.0, 0.5 * (low + high))

    def hill(self, q: float, d: int) -> float:
        """Return the effective number of directions of order q of d such eigenvalues: what white noise shows.

        >>> round(MarchenkoPastur(0.5).hill(2, 100), 6)               # d / (1 + ratio)
        66.666667
        """
        if q == math.inf:
            return d * self.variance / self.upper
        if q == 1.0:
            from scipy.special import xlogy

            return d * math.exp(-self.mean(lambda x: xlogy(x / self.variance, x / self.variance)))
        if q == 0.0:
            return d * (1.0 - self.atom)
        return d * self.mean(lambda x: (x / self.variance) ** q) ** (1.0 / (1.0 - q))


def null_of(spectrum: Functionals, variance: str | float) -> MarchenkoPastur:
    """Return the Marchenko-Pastur law for a covariance spectrum (see `Spectrum.marchenko_pastur`)."""
    values, dof = _sample_covariance(spectrum)
    d = len(values)
    ratio = d / dof
    if not isinstance(variance, str):
        return MarchenkoPastur(ratio, variance)
    if variance == "mean":
        return MarchenkoPastur(ratio, float(values.mean()))
    if variance != "median":
        raise ValueError(f"variance must be 'mean', 'median' or a number, got {variance!r}")
    # Zeros come from too few samples, not from noise: compare the middle of the values above 0.
    white = MarchenkoPastur(ratio)
    above = values[: min(d, dof)]
    middle = float(white.quantile(white.atom + 0.5 * (1 - white.atom)))
    return MarchenkoPastur(ratio, float(np.median(above)) / middle)


def _sample_covariance(spectrum: Functionals) -> tuple[Floats, int]:
    from plogp.spectra.functionals import host

    if spectrum.of != "eigen" or spectrum.dof is None or spectrum.d is None or spectrum.source == "autocorrelation":
        raise ValueError(
            f"the law of sampling noise needs covariance eigenvalues of known n and d, got the {spectrum.of} values of "
            f"the {spectrum.source}; use Spectrum.covariance"
        )
    if spectrum.values.ndim != 1 or spectrum.resolved is not None:
        raise ValueError("the law of sampling noise needs one spectrum with all its values, no batch and no sketch")
    return host(spectrum.values), spectrum.dof


def corrected_entropy(
    spectrum: Functionals,
    kind: str | Entropy = "shannon",
    *,
    method: str | None = None,
    draws: int = BIAS_DRAWS,
    rng: np.random.Generator | int | None = 0,
    **params: Any,
) -> Estimate:
    r"""Return the entropy of the population's covariance spectrum from a sample's, for normal rows.

    Sample eigenvalues spread out around the true ones, so their entropy is too low: with ν degrees of freedom by
    about d/(2ν) nats for white data.

    - ``"simulation"`` (any kind): finds the population spectrum whose mean sample spectrum is the observed one, by
      drawing Wishart matrices, and takes off the bias that the entropy has there. Needs ν > d.
    - ``"expansion"`` (Shannon, no draws): the bias to first order in 1/ν. With
      :math:`L_{ij} = (\log p_i - \log p_j)/(p_i - p_j)`, :math:`L_{ii} = 1/p_i`,

      .. math:: E\hat H - H \approx -\frac{1 + \sum_{ij} p_i p_j L_{ij}}{2\nu}
          + \frac{2}{\nu}\sum_i p_i^2 (\log p_i + 1) + \frac{2H - 1}{\nu} \sum_i p_i^2.

      Good to d/ν of about 1/4: white data, d = 64, ν = 128: 4.118 for 4.159 (uncorrected 3.906).
    - ``"moments"`` (collision entropy, the logarithm of the participation ratio): from unbiased estimates of
      (tr Σ)² and tr Σ², for any n and d.

    Parameters
    ----------
    spectrum : Spectrum
        Of `Spectrum.covariance`, complete.
    kind : str or Entropy
        As in :func:`plogp.entropy`.
    method : {"simulation", "expansion", "moments"}, optional
        By default "moments" for the collision entropy, else "simulation".
    draws : int
        Simulated spectra for the bias and the error.
    rng : Generator, int or None
        Of the simulation.
    **params
        Of the entropy's family.

    Returns
    -------
    Estimate
        In nats (or dimensionless), with ``uncorrected`` and ``bias`` in ``diagnostics``. The interval is normal:
        the error is that of the simulated spectra, or the first- and second-order terms of the expansion.
        Nominal 95 % intervals over 60 repetitions (d = 64 and 32, λ_i = 1/i and i^(-½), d/ν of 1/8 to 1/2) cover 88
        to 97 % with "simulation", 95 to 97 % with "expansion", 93 to 98 % with "moments" (87 % at d = 64, ν = 39).
        For white data at d/ν = 1/2: 87 % with "simulation" (bias -0.003 nats), 2 % with "expansion" (-0.044).

    Raises
    ------
    ValueError
        If this is no complete covariance spectrum, for an unknown method or one that the kind does not have, or for
        too few degrees of freedom.

    Examples
    --------
    >>> from plogp.spectra import Spectrum
    >>> X = np.random.default_rng(0).normal(size=(200, 50))          # true entropy log 50 = 3.912
    >>> s = Spectrum.covariance(X)
    >>> round(float(s.entropy()), 2), round(s.bias_corrected(method="expansion").value, 2)
    (3.79, 3.9)

    Notes
    -----
    The expansion is second-order perturbation theory with normal rows; for white data its leading term is Page's
    d/(2n) (D. Page, 1993, arXiv gr-qc/9305007). Moments: M. Srivastava (2005), Journal of the Japan Statistical
    Society 35.
    """
    values, dof = _sample_covariance(spectrum)
    functional = get_entropy(kind, **params)
    collision = functional == get_entropy("collision")
    method = method or ("moments" if collision else "simulation")
    if method == "moments":
        if not collision:
            raise ValueError(f"method 'moments' is for the collision entropy (Rényi's of order 2), not {functional!r}")
        value, se = _moments(values, dof)
    elif method == "expansion":
        if functional != get_entropy("shannon"):
            raise ValueError(f"method 'expansion' is for Shannon's entropy, not {functional!r}; use 'simulation'")
        _enough(values, dof, method)
        value, se = _expansion(values, dof)
    elif method == "simulation":
        _enough(values, dof, method)
        value, se = _simulation(values, dof, functional, draws, np.random.default_rng(rng))
    else:
        raise ValueError(f"method must be 'simulation', 'expansion' or 'moments', got {method!r}")
    raw = float(entropy(values, functional, normalize=True))
    return Estimate(
        value,
        se,
        spectrum.n or dof,
        f"bias-corrected {functional.name} ({method})",
        unit=functional.unit,
        diagnostics={"uncorrected": raw, "bias": raw - value, "dof": dof, "d": len(values)},
    )


def _enough(values: Floats, dof: int, method: str) -> None:
    if dof <= len(values) or values[-1] <= 0:
        raise ValueError(
            f"method {method!r} needs more degrees of freedom than dimensions and a covariance of full rank, got {dof} "
            f"and d = {len(values)}; take more rows, or kind='collision', which has an unbiased form"
        )


def _moments(values: Floats, dof: int) -> tuple[float, float]:
    """Return log (tr Σ)² / tr Σ² from unbiased estimates of both, and its error."""
    first, second = float(values.sum()), float(values @ values)
    if dof < 2:
        raise ValueError(f"unbiased moments need at least 2 degrees of freedom, got {dof}")
    scale = dof / ((dof - 1) * (dof + 2))
    square = scale * ((dof + 1) * first**2 - 2 * second)
    power = scale * (dof * second - first**2)
    if power <= 0:
        raise ValueError(f"too few samples: the unbiased estimate of tr Σ² is {power:.3g}, not positive")
    p = values / first
    s2 = float(p @ p)
    linear = 2.0 / dof * float(p**2 @ (2 - 2 * p / s2) ** 2)
    quadratic = 4.0 / dof**2 * (1.0 - float(p**2 @ p**2) / s2**2)
    return math.log(square / power), math.sqrt(linear + quadratic)


def _expansion(values: Floats, dof: int) -> tuple[float, float]:
    """Return Shannon's entropy less its first-order bias, and its error to second order."""
    p = values / values.sum()
    log_p = np.log(p)
    h = float(entropy(p))
    # The logarithmic mean by artanh: no difference of equal numbers.
    ratio = (p[:, None] - p) / (p[:, None] + p)
    small = np.abs(ratio) < 1e-4
    slope = np.where(small, 1 + ratio**2 / 3, np.arctanh(ratio) / np.where(small, 1.0, ratio)) * 2 / (p[:, None] + p)
    pull = p[:, None] * p * slope
    s2 = float(p @ p)
    bias = -(1 + float(pull.sum())) / (2 * dof) + 2 / dof * float(p**2 @ (log_p + 1)) + (2 * h - 1) / dof * s2
    linear = 2.0 / dof * float(p**2 @ (log_p + h) ** 2)
    quadratic = (float((pull**2).sum()) - s2) / dof**2
    return h - bias, math.sqrt(linear + max(quadratic, 0.0))


def _wishart_eigenvalues(root: Floats, dof: int, rng: np.random.Generator) -> Floats:
    """Return descending eigenvalues of a sample covariance with population eigenvalues root² (Bartlett's factor)."""
    d = len(root)
    factor = np.tril(rng.standard_normal((d, d)), -1)
    factor[np.diag_indices(d)] = np.sqrt(rng.chisquare(dof - np.arange(d)))
    factor *= root[:, None]
    return np.asarray(np.linalg.eigvalsh(factor @ factor.T)[::-1] / dof)


def _simulation(
    values: Floats, dof: int, functional: Entropy, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the entropy less its bias at the population spectrum found, and the simulated spread."""
    if draws < 2:
        raise ValueError(f"draws must be at least 2, got {draws!r}")
    seed = int(rng.integers(2**63))
    population = values.copy()
    for _ in range(ROUNDS):
        same = np.random.default_rng(seed)  # common draws: the map that is iterated does not change
        mean = np.mean([_wishart_eigenvalues(np.sqrt(population), dof, same) for _ in range(DRAWS)], axis=0)
        population = np.sort(population * (values / mean))[::-1]
    seen = [
        float(entropy(_wishart_eigenvalues(np.sqrt(population), dof, rng), functional, normalize=True))
        for _ in range(draws)
    ]
    bias = float(np.mean(seen)) - float(entropy(population, functional, normalize=True))
    raw = float(entropy(values, functional, normalize=True))
    noise = math.sqrt(1 + 1 / draws + 1 / DRAWS)  # of the draws behind the bias and behind the population
    return raw - bias, noise * float(np.std(seen, ddof=1))
