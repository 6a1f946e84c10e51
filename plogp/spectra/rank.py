"""Effective ranks and entropies of a representation in one call each, every one as its paper defines it."""

from __future__ import annotations

from typing import Any

from plogp.measures import Estimate
from plogp.spectra.spectrum import Spectrum

__all__ = ["alpha_req", "effective_rank", "participation_ratio", "rankme", "von_neumann_entropy"]


def _spectrum(x: Any, of: str, center: bool) -> Spectrum:
    if of == "singular":
        return Spectrum.singular(x, center)
    if of == "eigen":
        return Spectrum.covariance(x, center)
    raise ValueError(f"of must be 'singular' or 'eigen', got {of!r}")


def rankme(x: Any, *, of: str = "singular", center: bool = False, eps: float = 1e-7) -> Any:
    r"""Return RankMe, the effective rank of embeddings: a predictor of their quality without labels.

    .. math:: \exp\Big(-\sum_k p_k \log p_k\Big), \qquad p_k = \sigma_k / \sum_j \sigma_j + \epsilon

    Parameters
    ----------
    x : array, shape (..., n, d)
        Embeddings as rows, uncentred in the original.
    of : {"singular", "eigen"}
        σ the singular values of x (the original), or the eigenvalues of its covariance, as several papers on
        language models have it: a much smaller number.
    center : bool
        Take the mean row off first.
    eps : float
        Added to each share.

    Returns
    -------
    float or array, shape (...)
        Between 1 and min(n, d) (up to a few eps·log(1/eps) each); a tensor with gradients for PyTorch.

    Raises
    ------
    ValueError
        For NaN, an empty x, or rows that are all zero.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(rankme(np.eye(6)[:, :4])), 4)
    4.0

    Notes
    -----
    Source: Q. Garrido, R. Balestriero, L. Najman and Y. LeCun (2023), arXiv 2210.02885.
    """
    return _spectrum(x, of, center).rankme(eps)


def effective_rank(x: Any, *, of: str = "singular", center: bool = False) -> Any:
    """Return exp of the Shannon entropy of the normalised singular values (or covariance eigenvalues).

    Parameters
    ----------
    x, of, center
        As in `rankme`.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(effective_rank(np.diag([2.0, 1.0, 1.0]))), 4)
    2.8284

    Notes
    -----
    Source: O. Roy and M. Vetterli, EUSIPCO 2007.
    """
    return _spectrum(x, of, center).effective_rank


def participation_ratio(x: Any, *, center: bool = True) -> Any:
    """Return (Σλ)²/Σλ² of the covariance eigenvalues: the dimension of a cloud of points.

    Too low with few samples: `Spectrum.covariance(x).bias_corrected("collision")` is its unbiased logarithm.

    Parameters
    ----------
    x : array, shape (..., n, d)
    center : bool

    Examples
    --------
    >>> import numpy as np
    >>> round(float(participation_ratio(np.vstack([np.eye(3), -np.eye(3)]))), 4)
    3.0

    Notes
    -----
    Source: P. Gao et al. (2017), bioRxiv 214262.
    """
    return _spectrum(x, "eigen", center).participation_ratio


def alpha_req(
    x: Any, i0: int | None = None, i1: int | None = None, *, center: bool = True, weights: str | None = "rank"
) -> Estimate:
    """Return the decay exponent of the covariance eigenvalues with its standard error (α-ReQ).

    Near 1 the representation is as rich as a smooth one can be; larger is more compressed.

    Parameters
    ----------
    x : array, shape (n, d)
    i0, i1, weights
        Ranks to fit and their weights: see `plogp.spectra.power_law.fit_power_law`.
    center : bool

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(2000, 64)) / np.arange(1, 65)      # λ_i = i^-2
    >>> e = alpha_req(x)
    >>> bool(abs(e.value - 2.0) < 0.1)
    True

    Notes
    -----
    Source: K. Agrawal et al. (2022), NeurIPS.
    """
    return Spectrum.covariance(x, center).alpha_req(i0, i1, weights=weights)


def von_neumann_entropy(
    x: Any, *, normalize: str | None = "rows", base: float | None = None, weights: Any = None
) -> Any:
    r"""Return the von Neumann entropy of a representation: of the eigenvalues of ZᵀZ/n, Z its rows at unit length.

    .. math:: S = -\sum_i \lambda_i \log \lambda_i \le \log \min(n, d)

    Parameters
    ----------
    x : array, shape (..., n, d)
        Representations as rows, uncentred.
    normalize : {"rows", None}
        None keeps the lengths of the rows (the eigenvalues are then shares of the trace).
    base : float, optional
        Nats by default.
    weights : array, shape (n,), optional
        Probabilities of the rows.

    Returns
    -------
    float or array, shape (...)
        A tensor with gradients for PyTorch; the gradient is 0 along directions that carry nothing.

    Raises
    ------
    ValueError
        For NaN, an empty x, or a zero row.

    Examples
    --------
    >>> import numpy as np
    >>> float(von_neumann_entropy(np.eye(4), base=2))
    2.0

    Notes
    -----
    For density matrices themselves: :func:`plogp.measures.von_neumann`. Source: J. Kim et al. (2023),
    arXiv 2304.01434.
    """
    return Spectrum.autocorrelation(x, normalize, weights=weights).entropy(base=base)
