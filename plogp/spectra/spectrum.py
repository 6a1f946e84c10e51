"""`Spectrum`: the eigenvalues of a representation, kernel or operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from plogp.measures.arrays import Array, cast, check_probabilities, detach, floats, given_dtype, is_traced, namespace
from plogp.spectra.eigen import (
    as_rows,
    gram_eigenvalues,
    leading_eigenvalues,
    leading_gram_eigenvalues,
    padded,
    placed,
    psd_eigenvalues,
    row_mean,
    settled,
    singular_values,
)
from plogp.spectra.functionals import Functionals, host

__all__ = ["Spectrum", "host"]


class Spectrum(Functionals):
    r"""Eigenvalues (or singular values) of a matrix, largest first, and their functionals.

    With the shares :math:`p_i = \lambda_i / \sum_j \lambda_j`, the entropy of p is the spectral (von Neumann)
    entropy, its Hill number of order 1 the effective rank, of order 2 the participation ratio.

    Build one with a constructor: `covariance`, `autocorrelation`, `singular`, `kernel`, `diffusion`, `operator`
    or `from_values`. Leading axes of the data are a batch of matrices, and every functional keeps them.

    What is decomposed changes every number: a mean that is not taken off looks like collapse, and shares of
    singular values are flatter than those of eigenvalues. Nothing here mixes them; `of` and `source` say which.

    Parameters
    ----------
    values : array, shape (..., r)
        Descending, not negative; below rounding exactly 0. NumPy input gives float64, PyTorch input its own
        dtype (half precision float32), with gradients.
    n, d : int or None
        Rows and columns of the data.
    source : str
        What was decomposed.
    of : {"eigen", "singular"}
        Whether `values` are eigenvalues or singular values.
    dof : int or None
        Degrees of freedom of a covariance: n - 1 if centred, n if not.
    resolved : int or None
        How many leading values were computed, where not all were; the rest of the trace is then shared evenly
        by the other values, so that entropies are upper bounds (see `hill_bounds`).

    Examples
    --------
    >>> X = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> s = Spectrum.covariance(X)
    >>> s.p
    array([0.9, 0.1])
    >>> round(float(s.effective_rank), 4), round(float(s.participation_ratio), 4)
    (1.3841, 1.2195)
    """

    @classmethod
    def covariance(
        cls,
        X: Any,
        center: bool = True,
        unbiased: bool = True,
        *,
        randomized: int | None = None,
        rng: np.random.Generator | int | None = 0,
    ) -> Spectrum:
        """Return the d eigenvalues of (X - μ)ᵀ(X - μ)/(n - 1), from the smaller of the d x d and n x n problems.

        Parameters
        ----------
        X : array, shape (..., n, d)
            Samples as rows.
        center : bool
            Take the mean row off. Without it the divisor is n.
        unbiased : bool
            Divide by n - 1 (of centred data) and not by n.
        randomized : int, optional
            Compute this many leading values only, by a randomised sketch; the rest of the exact trace is shared
            evenly by the others.
        rng : Generator, int or None
            Of the sketch.

        Raises
        ------
        ValueError
            For NaN, an empty X, or fewer than two rows to centre.

        Examples
        --------
        >>> Spectrum.covariance([[1.0, 0.0], [-1.0, 0.0]]).values
        array([2., 0.])
        """
        xp, X = as_rows(X)
        n, d = X.shape[-2:]
        if center and n < 2:
            raise ValueError(f"a centred covariance needs at least 2 rows, got {n}; pass center=False for the raw one")
        dof = n - 1 if center else n
        mean = row_mean(xp, X) if center else None
        divisor = dof if unbiased else n
        source = "covariance" if center else "second moment"
        if randomized is None:
            values = gram_eigenvalues(xp, X, mean=mean, divisor=divisor)
            return cls(values, n, d, source, dof=dof)
        k = _leading(randomized, min(dof, d), X)
        top, trace = leading_gram_eigenvalues(xp, X, k, mean=mean, divisor=divisor, rng=rng)
        return cls(_with_rest(xp, top, trace, min(dof, d), d), n, d, source, dof=dof, resolved=k)

    @classmethod
    def autocorrelation(
        cls,
        X: Any,
        normalize: str | None = "rows",
        *,
        weights: Any = None,
        randomized: int | None = None,
        rng: np.random.Generator | int | None = 0,
    ) -> Spectrum:
        """Return the d eigenvalues of ZᵀZ/n, Z the rows of X scaled to unit length: trace 1, uncentred.

        The non-zero ones are those of the cosine kernel matrix divided by n (the Vendi score's), without building
        it.

        Parameters
        ----------
        X : array, shape (..., n, d)
        normalize : {"rows", None}
            None leaves the rows as they are (the linear kernel).
        weights : array, shape (n,), optional
            Probabilities of the rows instead of 1/n.
        randomized, rng
            As in `covariance`.

        Raises
        ------
        ValueError
            For NaN, an empty X, a zero row to normalise, or weights that are no distribution over the rows.

        Examples
        --------
        >>> Spectrum.autocorrelation([[2.0, 0.0], [0.0, 5.0]]).values
        array([0.5, 0.5])
        """
        if normalize not in ("rows", None):
            raise ValueError(f"normalize must be 'rows' or None, got {normalize!r}")
        xp, X = as_rows(X)
        n, d = X.shape[-2:]
        w = None if weights is None else row_weights(xp, weights, X, n)
        setting: dict[str, Any] = {"unit": normalize == "rows", "weights": w, "divisor": n if w is None else 1.0}
        source = "autocorrelation" if normalize else "second moment"
        if randomized is None:
            return cls(gram_eigenvalues(xp, X, **setting), n, d, source, dof=n)
        k = _leading(randomized, min(n, d), X)
        top, trace = leading_gram_eigenvalues(xp, X, k, **setting, rng=rng)
        return cls(_with_rest(xp, top, trace, min(n, d), d), n, d, source, dof=n, resolved=k)

    @classmethod
    def singular(cls, X: Any, center: bool = False) -> Spectrum:
        """Return the min(n, d) singular values of X itself: shares are σ/Σσ, not σ²/Σσ² (RankMe, nuclear norm).

        Raises
        ------
        ValueError
            For NaN, an empty X, or a single row to centre.

        Examples
        --------
        >>> Spectrum.singular([[3.0, 0.0], [0.0, -4.0]]).values
        array([4., 3.])
        """
        xp, X = as_rows(X)
        n, d = X.shape[-2:]
        if center and n < 2:
            raise ValueError(f"centring needs at least 2 rows, got {n}; pass center=False")
        if isinstance(X, np.ndarray):
            X = X.astype(np.float64, copy=False)
        if center:
            X = X - row_mean(xp, X)
        return cls(singular_values(xp, X), n, d, "centred rows" if center else "rows", "singular", n - center)

    @classmethod
    def kernel(
        cls,
        K: Any,
        weights: Any = None,
        *,
        normalize: bool = False,
        randomized: int | None = None,
        rng: np.random.Generator | int | None = 0,
    ) -> Spectrum:
        """Return the n eigenvalues of K/n, or of K ∘ √(w wᵀ) with weights w: a density matrix if K has ones on
        its diagonal.

        Parameters
        ----------
        K : array, shape (..., n, n)
            Symmetric similarities, positive semi-definite.
        weights : array, shape (n,), optional
            Probabilities of the items.
        normalize : bool
            Divide K_ij by √(K_ii K_jj) first.
        randomized, rng
            As in `covariance`.

        Raises
        ------
        ValueError
            If K is not square, not symmetric, holds NaN, or has a diagonal entry <= 0 to divide by.

        Warns
        -----
        UserWarning
            If K has an eigenvalue below -1e-6 of the largest that the precision K is given in does not explain;
            negative ones count as 0.

        Examples
        --------
        >>> Spectrum.kernel([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).p.round(4)
        array([0.6667, 0.3333, 0.    ])
        """
        given = K
        xp, K = as_rows(K, "K")
        # What the entries may be off by rounding moves the eigenvalues by about √n times as much.
        precision = float(xp.finfo(given_dtype(given, K.dtype)).eps)
        n = K.shape[-1]
        if K.shape[-2] != n:
            raise ValueError(f"K must be square, one row and column an item, got shape {tuple(K.shape)}")
        if isinstance(K, np.ndarray):
            K = K.astype(np.float64, copy=False)
        if not is_traced(K):
            size = float(xp.max(xp.abs(detach(K))))
            apart = float(xp.max(xp.abs(detach(K - xp.matrix_transpose(K)))))
            if apart > 1e3 * precision * size:
                raise ValueError(f"K must be symmetric; K - Kᵀ has an entry of {apart:.3g}")
        if normalize:
            K = unit_diagonal(xp, K)
        if weights is None:
            S = K / n
        else:
            root = xp.sqrt(row_weights(xp, weights, K, n))
            S = K * root[..., :, None] * root[..., None, :]
        if randomized is None:
            error = precision * math.sqrt(n) * xp.max(xp.abs(detach(S)), axis=(-2, -1))[..., None]
            return cls(psd_eigenvalues(xp, S, "K", error), n, None, "kernel")
        k = _leading(randomized, n, K)
        top = leading_eigenvalues(xp, lambda v: S @ v, n, k, S, rng=rng)
        trace = xp.sum(xp.linalg.diagonal(S), axis=-1)
        return cls(_with_rest(xp, top, trace, n, n), n, None, "kernel", resolved=k)

    @classmethod
    def diffusion(cls, X: Any, sigma: str | float = "median", t: float = 1.0, anisotropic: bool = True) -> Spectrum:
        r"""Return the n eigenvalues, as :math:`|\lambda|^t`, of the diffusion matrix of a point cloud.

        .. math:: G_{ij} = e^{-|x_i - x_j|^2 / 2\sigma^2}, \quad K = D^{-1/2} G D^{-1/2}, \quad D = diag(G 1)

        K has the eigenvalues of the random walk D⁻¹G; the largest is 1.

        Parameters
        ----------
        X : array, shape (..., n, d)
        sigma : "median" or float
            Bandwidth; "median" is the median distance of two different points.
        t : float
            Diffusion time.
        anisotropic : bool
            False leaves out the division by the degrees: the spectrum of G itself.

        Raises
        ------
        ValueError
            For NaN, an empty X, or a sigma or t that is not positive.

        Examples
        --------
        >>> far = np.repeat([[0.0], [100.0]], 3, axis=0)
        >>> Spectrum.diffusion(far, sigma=1.0).values.round(6)
        array([1., 1., 0., 0., 0., 0.])

        Notes
        -----
        Source: D. Liao et al. (2023), arXiv 2312.04823.
        """
        from plogp.spectra.similarity import gaussian_kernel

        if not (isinstance(t, (int, float, np.number)) and 0 < t < math.inf):
            raise ValueError(f"t must be a positive number, got {t!r}")
        xp, X = as_rows(X)
        n, d = X.shape[-2:]
        G = gaussian_kernel(xp, X, sigma)
        if anisotropic:
            root = xp.sqrt(xp.sum(G, axis=-1))
            G = G / (root[..., :, None] * root[..., None, :])
        values = psd_eigenvalues(xp, G)
        if t != 1.0:
            zero = values == 0
            values = xp.where(zero, values, xp.where(zero, xp.ones_like(values), values) ** float(t))
        return cls(values, n, d, f"diffusion(t={t:g})" if anisotropic else f"adjacency(t={t:g})")

    @classmethod
    def operator(
        cls,
        matvec: Callable[[Array], Array],
        dim: int,
        k: int,
        *,
        trace: float | None = None,
        probes: int = 16,
        like: Any = None,
        rng: np.random.Generator | int | None = 0,
    ) -> Spectrum:
        """Return the k leading eigenvalues of a PSD operator that is only known by its products, and its trace.

        Lanczos with full orthogonalisation. The trace is `trace`, or estimated by random probes outside the space
        of the eigenvectors found (Hutch++); what the k values leave of it is shared evenly by the dim - k others.

        Parameters
        ----------
        matvec : callable
            Takes a vector of shape (dim,) to one of the same shape.
        dim, k : int
            Size of the operator; how many values to compute.
        trace : float, optional
            The exact trace, if known.
        probes : int
            Products spent on the trace.
        like : array, optional
            A tensor whose library, dtype and device `matvec` expects; NumPy float64 otherwise.
        rng : Generator, int or None
            Starting vector and probes.

        Raises
        ------
        ValueError
            If k is not between 1 and dim, or `matvec` returns another shape or NaN.

        Examples
        --------
        >>> diagonal = np.array([4.0, 3.0, 2.0, 1.0])
        >>> Spectrum.operator(lambda v: diagonal * v, 4, 2, trace=10.0).values.round(6)
        array([4. , 3. , 1.5, 1.5])

        Notes
        -----
        The trace of a function of the operator, with its error, is `plogp.spectra.operators.spectral_sum`. Source of
        the trace: R. Meyer, C. Musco, C. Musco and D. Woodruff (2021), arXiv 2010.09649.
        """
        from plogp.spectra.operators import leading_of_operator

        like = np.empty(0) if like is None else like
        xp = namespace(like)
        top, total = leading_of_operator(xp, matvec, dim, k, trace, probes, like, rng)
        return cls(_with_rest(xp, top, total, dim, dim), None, dim, "operator", resolved=k)

    @classmethod
    def from_values(cls, values: Any, n: int | None = None, d: int | None = None, of: str = "eigen") -> Spectrum:
        """Return the spectrum of given eigenvalues (or singular values), in any order.

        Raises
        ------
        ValueError
            If a value is negative (beyond rounding: -1e-6 of the largest warns and counts as 0), NaN or infinite.

        Examples
        --------
        >>> Spectrum.from_values([1, 3]).p
        array([0.75, 0.25])
        """
        if of not in ("eigen", "singular"):
            raise ValueError(f"of must be 'eigen' or 'singular', got {of!r}")
        xp, (values,), _ = floats(values=values)
        if values.ndim == 0 or math.prod(values.shape) == 0:
            raise ValueError(
                f"values must hold at least one value along the last axis, got shape {tuple(values.shape)}"
            )
        if isinstance(values, np.ndarray):
            values = values.astype(np.float64, copy=False)
        if not is_traced(values):
            if not bool(xp.all(xp.isfinite(detach(values)))):
                raise ValueError("values hold NaN or infinite entries")
            if bool(xp.any(detach(xp.max(values, axis=-1)) < 0)):
                raise ValueError("values must not be negative, but all of a spectrum are")
        values = xp.flip(xp.sort(values, axis=-1), axis=-1)
        if not is_traced(values) and bool(xp.any(detach(values) < 0)):
            values = settled(xp, values, "the operator of the given values")
        return cls(values, n, d, "values", of)


def row_weights(xp: Any, weights: Any, X: Array, n: int) -> Array:
    """Return the checked probabilities of n rows, in the library and dtype of X."""
    _, (given,), dtype = floats(weights=weights)
    if given.shape[-1:] != (n,):
        raise ValueError(f"weights must hold one probability for each of the {n} rows, got shape {tuple(given.shape)}")
    check_probabilities(given, name="weights", dtype=dtype)
    if isinstance(X, np.ndarray):
        return np.asarray(host(given))
    return cast(xp, xp.asarray(given, **placed(X)), X.dtype)


def unit_diagonal(xp: Any, K: Array) -> Array:
    """Return K_ij / √(K_ii K_jj)."""
    diagonal = xp.linalg.diagonal(K)
    if not is_traced(diagonal) and bool(xp.any(detach(diagonal) <= 0)):
        raise ValueError("K has a diagonal entry <= 0, so it cannot be normalised to ones on the diagonal")
    root = xp.sqrt(diagonal)
    return K / (root[..., :, None] * root[..., None, :])


def _leading(k: Any, most: int, X: Array) -> int:
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or not 1 <= k <= most:
        raise ValueError(f"randomized must be a number of leading values between 1 and {most}, got {k!r}")
    if X.ndim != 2:
        raise ValueError(f"randomized takes one matrix at a time, got shape {tuple(X.shape)}")
    return int(k)


def _with_rest(xp: Any, top: Array, trace: Any, rank: int, size: int) -> Array:
    """Return the leading values, the rest of the trace shared evenly up to `rank`, and zeros up to `size`."""
    k = top.shape[-1]
    if rank > k:
        left = xp.clip(trace - xp.sum(top, axis=-1), 0.0, None)
        share = left / (rank - k)
        # Ritz values lie at or below the true ones; the rest may not exceed the last of them but by that error.
        top = xp.concat([top, xp.ones_like(padded(xp, top[..., :0], rank - k)) * share], axis=-1)
    return padded(xp, top, size)
