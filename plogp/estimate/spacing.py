"""Differential entropy in one dimension from the spacings of the sorted sample (Vasicek)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.estimate.samples import as_samples, jittered
from plogp.estimate.series import positive
from plogp.measures.uncertainty import Estimate

__all__ = ["vasicek"]


def vasicek(
    x: Any,
    m: int = 3,
    *,
    ends: str = "clamp",
    correction: str = "digamma",
    jitter: float | None = None,
    rng: np.random.Generator | int | None = None,
    sample: object | None = None,
) -> Estimate:
    r"""Differential entropy of one column from m-spacings of its order statistics.

    .. math:: \hat h = \psi(n+1) + \frac1n \sum_i \left[\log\left(x_{(b_i)} - x_{(a_i)}\right)
        - \psi(b_i - a_i)\right], \quad a_i = \max(i - m, 1), \; b_i = \min(i + m, n).

    Each spacing is corrected for its own width by a digamma, so the estimate is exactly unbiased for a uniform
    sample and keeps the tails. ``correction="none"`` is Vasicek's own form, with ``log(n / (2m))`` for the
    digammas (biased by about -1/(4m) and at the ends). ``ends="drop"`` averages the n - m one-sided spacings
    ``x_(i+m) - x_(i)`` only, which loses the tails.

    Suitable for one dimension, where it is faster and steadier than nearest neighbours and exact at sharp
    edges. Prefer `kozachenko_leonenko` for more dimensions.

    Parameters
    ----------
    x : array, shape (n,)
        Samples.
    m : int
        Half the width of a spacing in order statistics (the whole width with ``ends="drop"``).
    ends : {"clamp", "drop"}
        What happens to spacings that reach beyond the sample: cut there, or left out.
    correction : {"digamma", "none"}
        Constants of the estimator.
    jitter : float, optional
        Break ties by uniform noise of this many standard deviations (say 1e-10). Off unless asked for.
    rng : Generator, int or None
        For the jitter only.
    sample : object, optional
        Identity of the samples: estimates with the same `sample` subtract with their joint error.

    Returns
    -------
    Estimate
        In nats. The interval is normal; with w the full width of a spacing, the overlap of spacings gives
        ``n se² = Var(terms) - ψ₁(w) + (2w² - 2w + 1) ψ₁(w) - 2w + 1``. Nominal 95 % intervals cover 91 to 97 %
        for uniform, normal, exponential, Laplace and Student (3) samples of n = 200 to 2000.

    Raises
    ------
    ValueError
        If x has several columns, n <= m, NaN is present, or a spacing is 0 (more than m equal values, as in
        rounded data: a rounded variable has no density).

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(0, 2, 1000)         # h = log 2 = 0.693
    >>> low, high = vasicek(x).interval(0.95)
    >>> low < math.log(2) < high
    True

    Notes
    -----
    O. Vasicek, Journal of the Royal Statistical Society B 38, 1976. Variance: N. Cressie, Biometrika 63,
    1976; P. Hall, Mathematical Proceedings of the Cambridge Philosophical Society 96, 1984.
    """
    from scipy import special

    points = as_samples(x)
    if points.shape[1] != 1:
        raise ValueError(f"spacings need one column, got {points.shape[1]}; use kozachenko_leonenko for several")
    if correction not in ("digamma", "none"):
        raise ValueError(f"correction must be 'digamma' or 'none', got {correction!r}")
    if ends not in ("clamp", "drop"):
        raise ValueError(f"ends must be 'clamp' or 'drop', got {ends!r}")
    s = np.sort(jittered(points, jitter, np.random.default_rng(rng))[:, 0])
    n, m = len(s), positive("m", m)
    full = 2 * m if ends == "clamp" else m
    if n <= full + 1:
        raise ValueError(f"too few samples: m={m} needs at least {full + 2}, got {n}")
    at = np.arange(n)
    low, high = (np.maximum(at - m, 0), np.minimum(at + m, n - 1)) if ends == "clamp" else (at[:-m], at[m:])
    spacing = s[high] - s[low]
    if (zero := int(np.count_nonzero(spacing == 0))) > 0:
        raise ValueError(
            f"x has {zero} spacings of width 0 (more than m={m} equal values), so no density exists there; treat x as "
            "discrete, raise m above the number of repeats, or pass jitter=1e-10 to break ties by noise"
        )
    if correction == "digamma":
        terms = np.log(spacing) + special.digamma(n + 1) - special.digamma(high - low)
    else:
        terms = np.log(spacing) + math.log(n / full)
    trigamma = float(special.polygamma(1, full))
    density = max(float(np.var(terms, ddof=1)) - trigamma, 0.0)
    overlap = (2 * full * full - 2 * full + 1) * trigamma - 2 * full + 1
    # The spacings at the two ends nearly repeat one another, so they count once.
    se = math.sqrt((density + overlap) / max(n - 2 * full, 2))
    diagnostics = {"m": m, "ends": ends, "correction": correction, "jitter": jitter or 0.0}
    return Estimate(float(terms.mean()), se, n, f"vasicek(m={m})", terms=terms, sample=sample, diagnostics=diagnostics)
