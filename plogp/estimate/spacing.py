"""Differential entropy in one dimension from the spacings of the sorted sample (Vasicek)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.estimate.samples import as_samples, jittered
from plogp.estimate.series import positive
from plogp.measures.arrays import Array, cast, floats, is_traced, namespace
from plogp.measures.uncertainty import Estimate

__all__ = ["m_spacing_entropy", "vasicek"]

#: What stands beside the logarithm of a spacing of `width` order statistics among `n`.
CORRECTIONS = ("digamma", "none", "plus_one")


def m_spacing_entropy(
    x: Array,
    m: int | str = "sqrt",
    *,
    ends: str = "drop",
    correction: str = "plus_one",
    eps: float = 0.0,
) -> Any:
    r"""Differential entropy of every column from its m-spacings: any array library, batched, with gradients.

    .. math:: \hat h = \frac{1}{n - m} \sum_{i=1}^{n-m}
        \log\left[\frac{n + 1}{m} \left(x_{(i+m)} - x_{(i)}\right) + \varepsilon\right]

    with the defaults (the form of independent component analysis and of E2MC). The other ends and corrections
    are those of `vasicek`, which adds the standard error.

    Parameters
    ----------
    x : array, shape (n, ...)
        Samples along the first axis; each of the others is estimated by itself.
    m : int or "sqrt"
        Width of a spacing in order statistics (half of it with ``ends="clamp"``); ``"sqrt"`` is round(√n).
    ends : {"drop", "clamp"}
        Spacings that reach beyond the sample are left out, or cut there.
    correction : {"plus_one", "none", "digamma"}
        ``log((n + 1) / m)``, ``log(n / m)``, or the digammas that make the estimate unbiased for a uniform sample.
    eps : float
        Added inside the logarithm: with it, ties have a finite value and a finite gradient.

    Returns
    -------
    array, shape (...)
        In nats, in the library, device and dtype of `x`. Biased low by about 1/(2m) and by the tails that
        dropped ends lose: -0.015 for a uniform sample of n = 1024, -0.054 for a normal one of 4096 (m = √n).

    Raises
    ------
    ValueError
        If there are too few samples for m, values are not finite, or a spacing is 0 while eps is.

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(0, 2, (1000, 2)) * [1, 2]       # log 2, log 4
    >>> m_spacing_entropy(x).round(1)
    array([0.7, 1.4])

    Notes
    -----
    E. Learned-Miller and J. Fisher, Journal of Machine Learning Research 4, 2003; O. Vasicek, Journal of the
    Royal Statistical Society B 38, 1976.
    """
    xp, (x,), out = floats(x=x)
    if x.ndim == 0:
        raise ValueError("x must hold samples along its first axis, got a scalar")
    n = int(x.shape[0])
    width = _width(m, n)
    if not (math.isfinite(eps) and eps >= 0):
        raise ValueError(f"eps must be a small number >= 0, got {eps!r}")
    _check_form(ends, correction)
    if n < 2 or (ends == "drop" and n <= width):
        raise ValueError(f"too few samples: m={width} needs at least {max(width + 1, 2)}, got {n}")
    if not is_traced(x) and not bool(xp.all(xp.isfinite(x))):
        raise ValueError("x holds NaN or infinite values; drop or impute them first")
    spacing, constants = _spacings(xp, xp.sort(x, axis=0), width, ends, correction)
    if eps == 0 and not is_traced(x) and bool(xp.any(spacing == 0)):
        _no_zero_spacing(int(xp.sum(xp.astype(spacing == 0, xp.int32))), width)
    # eps belongs beside the scaled spacing, so the constants go inside the logarithm.
    place = {"device": x.device} if "torch" in xp.__name__ else {}
    scale = xp.asarray(np.exp(constants), dtype=x.dtype, **place)
    scale = xp.reshape(scale, (-1,) + (1,) * (x.ndim - 1))
    return cast(xp, xp.mean(xp.log(scale * spacing + eps), axis=0), out)


def _width(m: int | str, n: int) -> int:
    if m == "sqrt":
        return max(round(math.sqrt(n)), 1)
    if isinstance(m, str):
        raise ValueError(f"m must be a number of order statistics or 'sqrt', got {m!r}")
    return positive("m", m)


def _check_form(ends: str, correction: str) -> None:
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be 'digamma', 'none' or 'plus_one', got {correction!r}")
    if ends not in ("clamp", "drop"):
        raise ValueError(f"ends must be 'clamp' or 'drop', got {ends!r}")


def _spacings(xp: Any, s: Array, m: int, ends: str, correction: str) -> tuple[Array, np.ndarray]:
    """Return the spacings of samples sorted along the first axis, and what is added to their logarithms."""
    from scipy import special

    n = int(s.shape[0])
    full = 2 * m if ends == "clamp" else m
    at = np.arange(n)
    low, high = (np.maximum(at - m, 0), np.minimum(at + m, n - 1)) if ends == "clamp" else (at[:-m], at[m:])
    if ends == "drop":
        spacing = s[m:, ...] - s[:-m, ...]
    else:
        ends_low = xp.broadcast_to(s[:1, ...], (min(m, n), *s.shape[1:]))
        ends_high = xp.broadcast_to(s[-1:, ...], (min(m, n), *s.shape[1:]))
        spacing = xp.concat([s[m:, ...], ends_high], axis=0) - xp.concat([ends_low, s[: max(n - m, 0), ...]], axis=0)
    if correction == "digamma":
        return spacing, special.digamma(n + 1) - special.digamma(high - low)
    return spacing, np.full(len(low), math.log((n + (correction == "plus_one")) / full))


def _no_zero_spacing(zero: int, m: int) -> None:
    if zero:
        raise ValueError(
            f"x has {zero} spacings of width 0 (more than m={m} equal values), so no density exists there; treat x as "
            "discrete, raise m above the number of repeats, or break ties by noise (jitter=1e-10)"
        )


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
    correction : {"digamma", "none", "plus_one"}
        Constants of the estimator; ``"plus_one"`` is ``log((n + 1) / (2m))``.
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
    _check_form(ends, correction)
    s = np.sort(jittered(points, jitter, np.random.default_rng(rng))[:, 0])
    n, m = len(s), positive("m", m)
    full = 2 * m if ends == "clamp" else m
    if n <= full + 1:
        raise ValueError(f"too few samples: m={m} needs at least {full + 2}, got {n}")
    spacing, constants = _spacings(namespace(s), s, m, ends, correction)
    _no_zero_spacing(int(np.count_nonzero(spacing == 0)), m)
    terms = np.log(spacing) + constants
    trigamma = float(special.polygamma(1, full))
    density = max(float(np.var(terms, ddof=1)) - trigamma, 0.0)
    overlap = (2 * full * full - 2 * full + 1) * trigamma - 2 * full + 1
    # The spacings at the two ends nearly repeat one another, so they count once.
    se = math.sqrt((density + overlap) / max(n - 2 * full, 2))
    diagnostics = {"m": m, "ends": ends, "correction": correction, "jitter": jitter or 0.0}
    return Estimate(float(terms.mean()), se, n, f"vasicek(m={m})", terms=terms, sample=sample, diagnostics=diagnostics)
