"""Differential entropies of named continuous distributions, in closed form."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from plogp.measures.functional import log_factor

__all__ = ["differential_entropies", "differential_entropy"]

Value = Any  # a float or an array of parameters


def _positive(**values: Value) -> list[Any]:
    out = []
    for name, value in values.items():
        array = np.asarray(value, dtype=float)
        if not (array > 0).all() or not np.isfinite(array).all():
            raise ValueError(f"{name} must be positive and finite, got {value!r}")
        out.append(array)
    return out


def normal(scale: Value = 1.0) -> Value:
    """½ log(2πe σ²)."""
    (scale,) = _positive(scale=scale)
    return 0.5 * math.log(2 * math.pi * math.e) + np.log(scale)


def multivariate_normal(cov: Value) -> Value:
    """½ log det(2πe Σ), Σ of shape (..., d, d)."""
    cov = np.asarray(cov, dtype=float)
    sign, logdet = np.linalg.slogdet(cov)
    if not (sign > 0).all():
        raise ValueError("cov must be positive definite")
    return 0.5 * (cov.shape[-1] * math.log(2 * math.pi * math.e) + logdet)


def student_t(df: Value, scale: Value = 1.0) -> Value:
    """((ν+1)/2)[ψ((ν+1)/2) - ψ(ν/2)] + log(√ν B(ν/2, ½)) + log σ."""
    from scipy import special

    df, scale = _positive(df=df, scale=scale)
    small = np.minimum(df, 1e5)
    bend = special.digamma((small + 1) / 2) - special.digamma(small / 2)
    exact = (small + 1) / 2 * bend + 0.5 * np.log(small) + special.betaln(small / 2, 0.5)
    # For many degrees of freedom the terms cancel: the expansion about the normal has an error of ν^-4.
    close = 0.5 * math.log(2 * math.pi * math.e) + 1 / df + 0.25 / df**2 - 1 / (6 * df**3)
    return np.where(df > 1e5, close, exact)[()] + np.log(scale)


def laplace(scale: Value = 1.0) -> Value:
    """1 + log(2b)."""
    (scale,) = _positive(scale=scale)
    return 1 + np.log(2 * scale)


def exponential(rate: Value = 1.0) -> Value:
    """1 - log λ."""
    (rate,) = _positive(rate=rate)
    return 1 - np.log(rate)


def uniform(low: Value = 0.0, high: Value = 1.0) -> Value:
    """log(b - a)."""
    (width,) = _positive(width=np.asarray(high, dtype=float) - np.asarray(low, dtype=float))
    return np.log(width)


def gamma(shape: Value, scale: Value = 1.0) -> Value:
    """K + log θ + log Γ(k) + (1 - k) ψ(k)."""
    from scipy import special

    shape, scale = _positive(shape=shape, scale=scale)
    return shape + np.log(scale) + special.gammaln(shape) + (1 - shape) * special.digamma(shape)


def beta(a: Value, b: Value) -> Value:
    """Log B(a, b) - (a-1) ψ(a) - (b-1) ψ(b) + (a+b-2) ψ(a+b)."""
    from scipy import special

    a, b = _positive(a=a, b=b)
    psi = special.digamma
    return special.betaln(a, b) - (a - 1) * psi(a) - (b - 1) * psi(b) + (a + b - 2) * psi(a + b)


def dirichlet(concentration: Value) -> Value:
    """Log B(α) + (α0 - K) ψ(α0) - Σ (α_k - 1) ψ(α_k), with respect to Lebesgue measure on K - 1 coordinates."""
    from scipy import special

    (alpha,) = _positive(concentration=concentration)
    total, k = alpha.sum(-1), alpha.shape[-1]
    log_beta = special.gammaln(alpha).sum(-1) - special.gammaln(total)
    return log_beta + (total - k) * special.digamma(total) - ((alpha - 1) * special.digamma(alpha)).sum(-1)


def _log_bessel(order: float, x: Any) -> Any:
    """Log I_v(x): for large v, where I_v itself underflows, by Debye's uniform expansion."""
    from scipy import special

    if order < 100:
        return np.log(special.ive(order, x)) + x
    z = x / order
    root = np.sqrt(1 + z * z)
    p = 1 / root
    first = (3 * p - 5 * p**3) / 24
    second = (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152
    third = (30375 * p**3 - 369603 * p**5 + 765765 * p**7 - 425425 * p**9) / 414720
    series = np.log1p(first / order + second / order**2 + third / order**3)
    growth = order * (root + np.log(z) - np.log1p(root))
    return growth - 0.5 * np.log(2 * math.pi * order) - 0.5 * np.log(root) + series


def von_mises_fisher(dim: int, concentration: Value) -> Value:
    """-log C_d(κ) - κ A_d(κ) on the unit sphere in R^d, with A_d = I_(d/2)/I_(d/2-1)."""
    if dim < 2:
        raise ValueError(f"dim must be at least 2, got {dim!r}")
    (kappa,) = _positive(concentration=concentration)
    half = dim / 2 - 1
    log_bessel = _log_bessel(half, kappa)
    log_constant = half * np.log(kappa) - dim / 2 * math.log(2 * math.pi) - log_bessel
    mean = np.exp(_log_bessel(half + 1, kappa) - log_bessel)
    return -log_constant - kappa * mean


def wishart(df: float, scale: Value) -> Value:
    """Entropy of the Wishart distribution W_p(ν, V) over symmetric matrices, ν > p - 1."""
    from scipy import special

    scale = np.asarray(scale, dtype=float)
    p = scale.shape[-1]
    if not df > p - 1:
        raise ValueError(f"df must exceed p - 1 = {p - 1}, got {df!r}")
    sign, logdet = np.linalg.slogdet(scale)
    if not (sign > 0).all():
        raise ValueError("scale must be positive definite")
    psi = sum(special.digamma((df - i) / 2) for i in range(p))
    return (
        (p + 1) / 2 * logdet
        + p * (p + 1) / 2 * math.log(2)
        + special.multigammaln(df / 2, p)
        - (df - p - 1) / 2 * psi
        + df * p / 2
    )


FAMILIES: dict[str, Callable[..., Value]] = {
    f.__name__: f
    for f in (normal, multivariate_normal, student_t, laplace, exponential, uniform, gamma, beta, dirichlet,
              von_mises_fisher, wishart)
}  # fmt: skip


def differential_entropies() -> list[str]:
    """Return the names that :func:`differential_entropy` knows.

    >>> differential_entropies()[:2]
    ['normal', 'multivariate_normal']
    """
    return [*FAMILIES]


def differential_entropy(family: str, *, base: float | None = None, **parameters: Value) -> Any:
    """Return the differential entropy -∫ p log p of a named distribution, in nats (may be negative).

    Parameters
    ----------
    family : str
        normal(scale), multivariate_normal(cov), student_t(df, scale), laplace(scale), exponential(rate),
        uniform(low, high), gamma(shape, scale), beta(a, b), dirichlet(concentration),
        von_mises_fisher(dim, concentration) or wishart(df, scale). Parameters broadcast.
    base : float, optional
        Logarithm base; nats by default.

    Raises
    ------
    ValueError
        For an unknown family or a parameter out of range.

    Examples
    --------
    >>> round(float(differential_entropy("normal", scale=1.0)), 6)
    1.418939
    >>> differential_entropy("uniform", low=0.0, high=0.5, base=2)
    np.float64(-1.0)

    References
    ----------
    Cover and Thomas (2006), table 17.1; Lazo and Rathie (1978).
    """
    if family not in FAMILIES:
        near = difflib.get_close_matches(str(family), FAMILIES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown family {family!r}; {hint}known: {', '.join(FAMILIES)}")
    build = FAMILIES[family]
    try:
        inspect.signature(build).bind(**parameters)
    except TypeError as error:
        raise TypeError(f"{family} takes {', '.join(inspect.signature(build).parameters)}: {error}") from None
    value = build(**parameters)
    return value * log_factor(base)
