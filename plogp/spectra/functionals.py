"""What is read from a spectrum: entropies, ranks, shape, comparison with another one and with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from plogp.measures import Divergence, Entropy, Estimate, divergence, entropy, hill_number
from plogp.measures.arrays import Array, detach, is_traced, namespace, scalar
from plogp.spectra.eigen import padded, placed

if TYPE_CHECKING:
    from plogp.spectra.noise import MarchenkoPastur

__all__ = ["Functionals", "host"]


def host(x: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return an array of any library as NumPy float64, cut off from gradients."""
    x = detach(x)
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Functionals:
    """Values, largest first, and their functionals; `plogp.spectra.Spectrum` adds the constructors."""

    values: Array
    n: int | None = None
    d: int | None = None
    source: str = "values"
    of: str = "eigen"
    dof: int | None = None
    resolved: int | None = None

    @property
    def xp(self) -> Any:
        """The array namespace of the values."""
        return namespace(self.values)

    @property
    def p(self) -> Array:
        """The shares values / sum, shape (..., r).

        Raises
        ------
        ValueError
            If all values are 0: every row is the same (or zero), and no direction has a share.
        """
        total = self.xp.sum(self.values, axis=-1, keepdims=True)
        if not is_traced(total) and bool(self.xp.any(detach(total) <= 0)):
            raise ValueError(
                f"the spectrum of the {self.source} is all zero (constant rows, if centred), so it has no shares"
            )
        return self.values / total

    def entropy(self, kind: str | Entropy = "shannon", base: float | None = None, **params: Any) -> Any:
        """Return the entropy of the shares, of any kind that `plogp.entropy` knows; in nats.

        >>> from plogp.spectra import Spectrum
        >>> float(Spectrum.from_values([1, 1, 1, 1]).entropy(base=2))
        2.0
        """
        return entropy(self.p, kind, base=base, check=False, **params)

    def hill(self, q: float = 1.0) -> Any:
        """Return the effective number of directions of order q: exp of the Rényi entropy; 1/p_max at infinity.

        >>> from plogp.spectra import Spectrum
        >>> float(Spectrum.from_values([2, 1, 1]).hill(math.inf))
        2.0
        """
        return hill_number(self.p, q)

    @property
    def effective_rank(self) -> Any:
        """Exponential of the Shannon entropy of the shares (Roy and Vetterli, 2007): `hill(1)`."""
        return self.hill(1.0)

    @property
    def participation_ratio(self) -> Any:
        """(Σλ)² / Σλ²: `hill(2)`."""
        return self.hill(2.0)

    @property
    def stable_rank(self) -> Any:
        """‖A‖²_F / ‖A‖²_2: Σσ²/σ²_max of singular values, Σλ/λ_max of the eigenvalues of AᵀA."""
        p = self.p
        squared = p * p if self.of == "singular" else p
        return scalar(self.xp.sum(squared, axis=-1) / squared[..., 0])

    def numerical_rank(self, tol: float | None = None) -> Any:
        """Return how many values exceed `tol` times the largest; by default those above rounding (not 0)."""
        xp = self.xp
        if tol is not None and not 0 <= tol < 1:
            raise ValueError(f"tol is a share of the largest value, in [0, 1), got {tol!r}")
        above = self.values > (tol or 0.0) * self.values[..., :1]
        return scalar(xp.sum(xp.astype(above, xp.int64), axis=-1))

    @property
    def isotropy(self) -> Any:
        """Smallest value over largest: 1 if all directions carry the same, 0 if one carries nothing."""
        p = self.p
        return scalar(p[..., -1] / p[..., 0])

    @property
    def condition(self) -> Any:
        """Largest value over smallest; infinite if the smallest is 0."""
        xp, p = self.xp, self.p
        low = p[..., -1]
        zero = low == 0
        ratio = p[..., 0] / xp.where(zero, xp.ones_like(low), low)
        return scalar(xp.where(zero, xp.full_like(ratio, math.inf), ratio))

    @property
    def nuclear(self) -> Any:
        """Sum of the values: the nuclear norm of the matrix (the trace, of eigenvalues)."""
        return scalar(self.xp.sum(self.values, axis=-1))

    def eee(self, rule: str = "sum") -> Any:
        r"""Return the eigenvalue early enrichment: how far the cumulative shares lie above the diagonal.

        .. math:: EEE = \frac{2}{D} \sum_{i=1}^{D} (c_i - i/D), \qquad c_i = p_1 + \dots + p_i

        0 for equal values, 1 - 1/D for a single one. ``"trapezoid"`` takes the area under the curve through the D
        points instead of their sum: then (1 - 1/D)² for a single one. D is the number of values, zeros included.

        Raises
        ------
        ValueError
                For an unknown rule.

        Examples
        --------
        >>> from plogp.spectra import Spectrum
        >>> float(Spectrum.from_values([1, 0, 0, 0]).eee())
        0.75

        Notes
        -----
        Source: A. Marbut et al. (2022), arXiv 2212.08172 (trapezoid); N. Jha and B. Reagen (2026),
        arXiv 2603.06922 (sum).
        """
        if rule not in ("sum", "trapezoid"):
            raise ValueError(f"rule must be 'sum' or 'trapezoid', got {rule!r}")
        xp, p = self.xp, self.p
        size = p.shape[-1]
        # Σ_i (c_i - i/D) = Σ_j (D + 1 - j) (p_j - 1/D): weights instead of a running sum. The trapezoid rule
        # leaves out half of the first point (the last one is 0).
        place = placed(p)
        weight = xp.arange(size, 0, -1, dtype=p.dtype, **place)
        if rule == "trapezoid":
            weight = xp.where(weight == size, weight - 0.5, weight)
        area = xp.sum(weight * (p - 1.0 / size), axis=-1) / (0.5 * size)
        return scalar(xp.clip(area, 0.0, 1.0))

    def rankme(self, eps: float = 1e-7) -> Any:
        """Return exp(-Σ q log q), q = p + eps: RankMe, if these are the singular values of embeddings.

        Singular values are the original; several papers use covariance eigenvalues. `of` says which these are.

        >>> from plogp.spectra import Spectrum
        >>> round(float(Spectrum.from_values([1, 1, 1], of="singular").rankme()), 4)
        3.0

        Notes
        -----
        Source: Q. Garrido et al. (2023), arXiv 2210.02885.
        """
        shifted = self.p + eps
        # The shifted shares sum to a little more than 1 in the original too.
        return scalar(self.xp.exp(entropy(shifted, check=False)))

    def alpha_req(self, i0: int | None = None, i1: int | None = None, *, weights: str | None = "rank") -> Estimate:
        """Return the decay exponent α of λ_i ~ i^(-α): see `plogp.spectra.power_law.fit_power_law`."""
        from plogp.spectra.power_law import fit_power_law

        return fit_power_law(self, i0, i1, weights=weights)

    def divergence(self, other: Functionals, d: str | Divergence = "kl", **params: Any) -> Any:
        """Return a divergence from these shares to those of `other`, matched by rank, zeros filling the shorter.

        Parameters
        ----------
        other : Spectrum
        d : str or Divergence
            Anything :func:`plogp.divergence` knows; this spectrum is the reference.
        **params
            Of a named divergence.

        Examples
        --------
        >>> from plogp.spectra import Spectrum
        >>> a, b = Spectrum.from_values([3, 1]), Spectrum.from_values([1, 1])
        >>> float(a.divergence(b, "tv"))
        0.25
        """
        if not isinstance(other, Functionals):
            raise TypeError(f"other must be a Spectrum, got {type(other).__name__}")
        xp, size = self.xp, max(self.values.shape[-1], other.values.shape[-1])
        p, q = padded(xp, self.p, size), padded(other.xp, other.p, size)
        return divergence(d, **params)(p, q, check=False)

    def js(self, other: Functionals) -> Any:
        """Return the Jensen-Shannon divergence of the shares matched by rank; between 0 and log 2."""
        return self.divergence(other, "js")

    def hill_bounds(self, q: float = 1.0) -> tuple[Any, Any]:
        """Return the range of `hill(q)` that the values not computed allow (equal ends if all were).

        The upper end shares the rest of the trace evenly; the lower one gives it to as few values as may be, each
        no larger than the smallest computed one.

        >>> from plogp.spectra import Spectrum
        >>> low, high = Spectrum(np.array([4.0, 2.0, 1.0, 1.0]), resolved=2).hill_bounds(2)
        >>> round(float(low), 4), round(float(high), 4)
        (2.6667, 2.9091)
        """
        high = self.hill(q)
        if self.resolved is None:
            return high, high
        xp, k = self.xp, self.resolved
        edge = self.values[..., k - 1 : k]
        left = xp.sum(self.values[..., k:], axis=-1, keepdims=True)
        place = placed(edge)
        rank = xp.arange(self.values.shape[-1] - k, dtype=edge.dtype, **place)
        tail = xp.clip(left - rank * edge, 0.0, None)
        tail = xp.where(tail > edge, edge, tail)
        packed = replace(self, values=xp.concat([self.values[..., :k], tail], axis=-1))
        return packed.hill(q), high

    def marchenko_pastur(self, variance: str | float = "mean") -> MarchenkoPastur:
        """Return what eigenvalues of pure noise look like at this n and d: see `plogp.spectra.noise`.

        Parameters
        ----------
        variance : "mean", "median" or float
            Noise variance: the mean eigenvalue (white data of the same trace), the median one matched to the law's
            median (robust against a few large signal values), or a number.

        Raises
        ------
        ValueError
            If this is no covariance of known n and d, or a batch.

        Examples
        --------
        >>> from plogp.spectra import Spectrum
        >>> X = np.random.default_rng(0).normal(size=(400, 100))
        >>> X[:, 0] *= 4
        >>> s = Spectrum.covariance(X)
        >>> int((s.values > 1.05 * s.marchenko_pastur("median").upper).sum())
        1
        """
        from plogp.spectra.noise import null_of

        return null_of(self, variance)

    def bias_corrected(self, kind: str = "shannon", **options: Any) -> Estimate:
        """Return the entropy of the population's spectrum: see `plogp.spectra.noise.corrected_entropy`."""
        from plogp.spectra.noise import corrected_entropy

        return corrected_entropy(self, kind, **options)

    def plot(self, ax: Any = None, *, label: str | None = None) -> Any:
        """Draw the shares against their rank on logarithmic axes (zeros left out). Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        ax = plt.subplots()[1] if ax is None else ax
        shares = host(self.p).reshape(-1, self.values.shape[-1])
        for row, p in enumerate(shares):
            name = label if len(shares) == 1 else f"{label or self.source} {row}"
            rank = np.arange(1, len(p) + 1)[p > 0]
            ax.loglog(rank, p[p > 0], marker="." if len(rank) <= 64 else None, linewidth=1.0, label=name)
        ax.set_xlabel("rank")
        ax.set_ylabel(f"share of the {'eigenvalues' if self.of == 'eigen' else 'singular values'}")
        ax.set_title(self.source if self.n is None else f"{self.source}, n = {self.n}")
        if label is not None or len(shares) > 1:
            ax.legend()
        return ax

    def __repr__(self) -> str:
        shape = tuple(self.values.shape)
        size = f"{shape[-1]} values" if len(shape) == 1 else f"values of shape {shape}"
        known = "" if self.resolved is None else f" ({self.resolved} computed)"
        where = ", ".join(f"{k}={v}" for k, v in (("n", self.n), ("d", self.d)) if v is not None)
        return f"Spectrum({size}{known}, {self.of} of the {self.source}{', ' + where if where else ''})"
