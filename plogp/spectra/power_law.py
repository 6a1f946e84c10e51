"""The decay exponent of an eigenvalue spectrum: a weighted line through log λ against log rank (alpha-ReQ)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from plogp.measures import Estimate
from plogp.measures.uncertainty import Normal

if TYPE_CHECKING:
    from plogp.spectra.functionals import Functionals

__all__ = ["default_range", "fit_power_law"]

#: The middle of the spectrum by convention: past the first 10, up to half of the values above 0.
FIRST, SHARE = 11, 0.5
#: A spectrum too short for that is fitted over these ranks.
SHORT = (5, 50)


def default_range(rank: int) -> tuple[int, int]:
    """Return the first and last rank (from 1, both included) that are fitted where nothing is asked for.

    11 to half of the values above 0; 5 to 50 (at most all) where that leaves fewer than 20; all of fewer than 10.

    >>> default_range(512), default_range(48), default_range(8)
    ((11, 256), (5, 48), (1, 8))
    """
    last = int(rank * SHARE)
    if last - FIRST + 1 >= 20:
        return FIRST, last
    return (SHORT[0], min(SHORT[1], rank)) if rank >= 10 else (1, rank)


def fit_power_law(
    spectrum: Functionals, i0: int | None = None, i1: int | None = None, *, weights: str | None = "rank"
) -> Estimate:
    r"""Return α of :math:`\log\lambda_i = c - \alpha \log i` over the ranks i0 to i1, with its standard error.

    Least squares with weights 1/i, so that each octave of ranks counts about the same.

    Parameters
    ----------
    spectrum : Spectrum
        One spectrum (no batch).
    i0, i1 : int, optional
        First and last rank, from 1, both included; by default `default_range` of the values above 0.
    weights : {"rank", None}
        Weights 1/i, or equal ones.

    Returns
    -------
    Estimate
        Dimensionless. The error is the larger of two, both in ``diagnostics``: ``fit_se``, from the scatter of the
        points around the line (Newey-West, for its runs of equal sign), and ``sampling_se``, what n independent
        normal rows leave uncertain of each log-eigenvalue (variance 2/n, for well separated ones). Student's
        interval. ``r2`` is the weighted share explained.

        The interval holds where the spectrum is a power law and d/n is small: normal rows with λ_i = 1/i or
        i^(-2), d = 64 and 256, n >= 10 d: nominal 95 % intervals cover 96 to 100 %. It does not hold at larger d/n:
        sample eigenvalues spread out (Marchenko and Pastur) and α comes out too high (d = 64, true α = 1: by 0.03
        at n = 640, by 0.17 at n = 128, where coverage is 70 % or less).

    Raises
    ------
    ValueError
        For a batch, fewer than 3 ranks to fit, a range outside the values above 0, or unknown weights.

    Examples
    --------
    >>> from plogp.spectra import Spectrum
    >>> round(Spectrum.from_values(np.arange(1, 101) ** -1.5).alpha_req().value, 8)
    1.5

    Notes
    -----
    K. Agrawal et al. (2022), "α-ReQ", NeurIPS; C. Stringer et al. (2019), Nature 571, for the weights.
    """
    from plogp.spectra.functionals import host

    if spectrum.values.ndim != 1:
        raise ValueError(f"a power law is fitted to one spectrum, got a batch of shape {tuple(spectrum.values.shape)}")
    if weights not in ("rank", None):
        raise ValueError(f"weights must be 'rank' or None, got {weights!r}")
    values = host(spectrum.values)
    rank = int(np.count_nonzero(values)) if spectrum.resolved is None else spectrum.resolved
    first, last = default_range(rank)
    first, last = first if i0 is None else int(i0), last if i1 is None else int(i1)
    if not (first >= 1 and last <= rank and last - first >= 2):
        raise ValueError(
            f"a power law needs at least 3 values above 0 between ranks i0 and i1, got ranks {first} to {last} of a "
            f"spectrum with {rank} such values"
        )
    i = np.arange(first, last + 1)
    x, y = np.log(i), np.log(values[first - 1 : last])
    w = 1.0 / i if weights == "rank" else np.ones(len(i))
    w = w / w.sum()
    dx = x - w @ x
    spread = w @ (dx * dx)
    pull = w * dx / spread  # α = -Σ pull·y
    slope = float(pull @ y)
    residual = y - w @ y - slope * dx
    fit_se = _newey_west(pull, residual)
    sampling_se = math.sqrt(2.0 / spectrum.dof * float(pull @ pull)) if spectrum.dof else 0.0
    if spectrum.of == "singular":
        sampling_se /= 2.0
    total = float(w @ (y - w @ y) ** 2)
    df = len(i) - 2
    se = max(fit_se, sampling_se)  # the scatter around the line contains the sampling noise
    return Estimate(
        -slope,
        se,
        spectrum.n or len(values),
        f"alpha_req(ranks {first}-{last})",
        unit="",
        law=Normal(-slope, se, df),
        diagnostics={
            "i0": first,
            "i1": last,
            "intercept": float(w @ y - slope * (w @ x)),
            "r2": 1.0 - float(w @ residual**2) / total if total > 0 else 1.0,
            "fit_se": fit_se,
            "sampling_se": sampling_se,
            "of": spectrum.of,
            "source": spectrum.source,
        },
    )


def _newey_west(pull: np.ndarray, residual: np.ndarray) -> float:
    """Return the standard error of Σ pull·y with residuals that follow one another (Bartlett weights)."""
    n = len(residual)
    score = pull * residual
    lags = int(4 * (n / 100) ** (2 / 9)) if n > 10 else 1
    variance = float(score @ score)
    for lag in range(1, min(lags, n - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(score[lag:] @ score[:-lag])
    return math.sqrt(max(variance, 0.0) * n / (n - 2))
