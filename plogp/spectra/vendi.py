"""The Vendi score: the effective number of different items in a sample, by any similarity and of any order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures import Estimate
from plogp.measures.arrays import Array
from plogp.spectra.eigen import as_rows, prepared, psd_eigenvalues
from plogp.spectra.functionals import host
from plogp.spectra.similarity import is_sparse, similarity_matrix
from plogp.spectra.spectrum import Spectrum

__all__ = ["VendiScore", "vendi_interval", "vendi_score", "vendi_spectrum"]


def vendi_score(
    x: Any,
    kernel: str | Callable[[Any, Any], float] = "cosine",
    order: float = 1.0,
    *,
    weights: Any = None,
    normalize: bool = True,
    bandwidth: str | float = "median",
    randomized: int | None = None,
    progress: bool = False,
) -> Any:
    r"""Return the Vendi score of items: 1 if all are the same, n if no two are alike.

    .. math:: VS_q = \exp H_q(\lambda), \qquad \lambda = eig(K / n)

    with H_q the Rényi entropy of order q. The cosine and linear kernels never form K: the d x d matrix
    ZᵀZ/n has the same eigenvalues (the smaller of the two is solved).

    The score grows with n, so compare sets of equal size (`vendi_interval` has `size` for that), and its order:
    q < 1 counts rare items more, q = inf is 1/λ_max.

    Parameters
    ----------
    x : array, shape (..., n, d), or a list of items
        Embeddings as rows; n x n similarities for ``"precomputed"``; anything that a callable kernel takes.
        A SciPy sparse matrix is fine for "cosine" and "linear".
    kernel : {"cosine", "linear", "rbf", "precomputed"} or callable
        A callable is a symmetric ``kernel(a, b)`` of two items, called for each pair once.
    order : float
        q >= 0, ``math.inf`` included.
    weights : array, shape (n,), optional
        Probabilities of the items instead of 1/n: the spectrum of K ∘ √(w wᵀ).
    normalize : bool
        Scale the kernel to ones on the diagonal, which makes "linear" the cosine. Without it, the score is of
        K as it stands, its eigenvalues divided by their sum.
    bandwidth : "median" or float
        h of the rbf kernel exp(-|a - b|²/(2h²)).
    randomized : int, optional
        Compute this many leading eigenvalues only (embeddings or a precomputed kernel); the rest of the trace is
        shared evenly, so that the score is an upper bound.
    progress : bool
        Show progress over the pairs of a callable.

    Returns
    -------
    float
        Or a tensor for PyTorch input, with gradients; an array for a batch.

    Raises
    ------
    ValueError
        For an unknown kernel, NaN, no items, a negative order, weights that are no distribution, a zero row to
        normalise, a kernel that is not symmetric, or a diagonal entry <= 0 to normalise.

    Warns
    -----
    UserWarning
        If the similarities are not positive semi-definite (negative eigenvalues count as 0).

    Examples
    --------
    >>> two_groups = np.repeat([[1.0, 0.0], [0.0, 3.0]], 5, axis=0)
    >>> round(vendi_score(two_groups), 6)
    2.0
    >>> words = ["ant", "ant", "bee", "cow"]
    >>> round(vendi_score(words, lambda a, b: float(a == b)), 4)
    2.8284
    >>> vendi_score(words, lambda a, b: float(a == b), order=math.inf)
    2.0

    Notes
    -----
    Sources: D. Friedman and A. Dieng (2023), arXiv 2210.02410; orders: A. Pasarkar and A. Dieng (2024),
    arXiv 2310.12952. The released `score_X` ignores its order, and `score_K` does not divide by the trace unless
    asked to normalise.
    """
    order = _order(order)
    spectrum = vendi_spectrum(
        x,
        kernel,
        weights=weights,
        normalize=normalize,
        bandwidth=bandwidth,
        randomized=randomized,
        progress=progress,
    )
    value = spectrum.hill(order)
    return float(value) if isinstance(value, (float, np.floating)) else value


def vendi_spectrum(
    x: Any,
    kernel: str | Callable[[Any, Any], float] = "cosine",
    *,
    weights: Any = None,
    normalize: bool = True,
    bandwidth: str | float = "median",
    randomized: int | None = None,
    progress: bool = False,
) -> Spectrum:
    """Return the spectrum whose Hill numbers are the Vendi scores; parameters as in `vendi_score`.

    >>> s = vendi_spectrum(np.eye(3))
    >>> [round(float(s.hill(q)), 6) for q in (0.5, 1, 2)]
    [3.0, 3.0, 3.0]
    """
    if kernel in ("cosine", "linear") and not is_sparse(x):
        unit = "rows" if kernel == "cosine" or normalize else None
        return Spectrum.autocorrelation(x, unit, weights=weights, randomized=randomized)
    K = similarity_matrix(x, kernel, bandwidth=bandwidth, progress=progress)
    return Spectrum.kernel(K, weights, normalize=normalize or kernel == "cosine", randomized=randomized)


def _order(order: Any) -> float:
    if not (isinstance(order, (int, float, np.number)) and order >= 0):
        raise ValueError(f"order must be a number >= 0 (math.inf included), got {order!r}")
    return float(order)


def vendi_interval(
    x: Any,
    kernel: str | Callable[[Any, Any], float] = "cosine",
    order: float = 1.0,
    *,
    size: int | None = None,
    num_subsamples: int = 50,
    bandwidth: str | float = "median",
    rng: np.random.Generator | int | None = 0,
    progress: bool = False,
) -> Estimate:
    r"""Return the Vendi score of the source that items were drawn from, at a sample size, with its interval.

    A Vendi score is a property of a set and moves with its size; what two sources have to be compared by is the
    score expected of `size` items from each. It is estimated by subsampling without replacement:

    - ``size=None``: the score of all n items, with the delete-half jackknife's error
      :math:`se^2 = \overline{(\log VS_S - \overline{\log VS_S})^2}` over random halves S.
    - a smaller `size`: the mean score of subsamples of that size (rarefaction), with the error from halves scaled
      to n: the same :math:`se` of the logarithm.

    Parameters
    ----------
    x, kernel, order, bandwidth
        As in `vendi_score`; one set, no batch. A "median" bandwidth is found once, on all items.
    size : int, optional
        Number of items that the score is for, between 2 and n.
    num_subsamples : int
        Subsamples (and halves).
    rng : Generator, int or None
    progress : bool

    Returns
    -------
    Estimate
        Dimensionless; the interval is normal in the logarithm. Nominal 95 % intervals for the mean score at this
        size, over 100 repetitions of normal rows: cosine, n = 200 and 1000, d = 16 and 64: 92 to 100 % (n and n/4);
        too short where n is little against the score (n = 60, score 23: 84 %) and for an rbf kernel in which few
        points are near each other (n = 200, d = 4: 85 %); a `size` of n/4 had 97 % in both. The items must be
        independent draws: no interval knows of near-duplicates that a crawler put in.

    Raises
    ------
    ValueError
        As `vendi_score`, for fewer than 4 items, or a `size` outside 2 to n.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 16))
    >>> all_items, fifty = vendi_interval(x), vendi_interval(x, size=50)
    >>> bool(fifty.value < all_items.value), all_items.n, fifty.diagnostics["size"]
    (True, 200, 50)
    """
    order = _order(order)
    items, spectrum_of = _subsets(x, kernel, bandwidth, progress)
    n = items
    if n < 4:
        raise ValueError(f"an interval by subsampling needs at least 4 items, got {n}")
    if num_subsamples < 2:
        raise ValueError(f"num_subsamples must be at least 2, got {num_subsamples!r}")
    if size is not None and (not isinstance(size, (int, np.integer)) or not 2 <= size <= n):
        raise ValueError(f"size must be a number of items between 2 and {n}, got {size!r}")
    generator = np.random.default_rng(rng)

    def log_score(rows: npt.NDArray[np.intp] | None) -> float:
        return math.log(float(spectrum_of(rows).hill(order)))

    steps: Any = range(num_subsamples)
    if progress:
        from rich.progress import track

        steps = track(steps, description="subsamples")
    half = n // 2
    halves, smaller = np.empty(num_subsamples), np.empty(num_subsamples)
    for i in steps:
        permuted = generator.permutation(n)
        halves[i] = log_score(permuted[:half])
        if size is not None and size < n:
            smaller[i] = math.exp(log_score(permuted[:size])) if size != half else math.exp(halves[i])
    # Deleting n - half of n rows: the jackknife's factor half / (n - half).
    se = math.sqrt(half / (n - half)) * float(halves.std(ddof=1))
    whole = size is None or size == n
    value = math.exp(log_score(None)) if whole else float(smaller.mean())
    return Estimate(
        value,
        value * se,
        n,
        f"vendi(order={order:g}, subsampling)",
        unit="",
        law=_LogNormal(math.log(value), se),
        diagnostics={
            "size": n if whole else int(size or n),
            "log_se": se,
            "num_subsamples": num_subsamples,
            "kernel": kernel if isinstance(kernel, str) else getattr(kernel, "__name__", "callable"),
            "note": "the score grows with the number of items: compare at equal size",
        },
    )


class _LogNormal:
    """Interval that is normal in the logarithm."""

    def __init__(self, log_value: float, se: float):
        self.log_value, self.se = log_value, se

    def __call__(self, level: float) -> tuple[float, float]:
        from plogp.measures.uncertainty import Normal

        low, high = Normal(self.log_value, self.se)(level)
        return math.exp(low), math.exp(high)


def _subsets(
    x: Any, kernel: str | Callable[[Any, Any], float], bandwidth: str | float, progress: bool
) -> tuple[int, Callable[[npt.NDArray[np.intp] | None], Spectrum]]:
    """Return the number of items and a function of row numbers (None: all) to the spectrum of that subset."""
    if kernel in ("cosine", "linear") and not is_sparse(x):
        _, X = as_rows(x, "x")
        if X.ndim != 2:
            raise ValueError(f"x must be one set of shape (n, d), got {tuple(X.shape)}")
        Z = host(X)
        Z = prepared(np, Z, unit=True)
        return len(Z), lambda rows: Spectrum.autocorrelation(Z if rows is None else Z[rows], None)
    K = host(similarity_matrix(x, kernel, bandwidth=bandwidth, progress=progress))
    if K.ndim != 2:
        raise ValueError(f"x must be one set, got similarities of shape {K.shape}")
    return len(K), lambda rows: Spectrum.kernel(K if rows is None else K[np.ix_(rows, rows)], normalize=True)


class VendiScore:
    """Vendi score of embeddings that come in batches (cosine or linear kernel): memory one d x d matrix.

    Parameters
    ----------
    order : float
        q >= 0.
    kernel, normalize
        As in `vendi_score`: "cosine", or "linear", whose rows keep their lengths with ``normalize=False``.
    d : int, optional
        Columns; taken from the first batch if None.

    Examples
    --------
    >>> score = VendiScore()
    >>> X = np.random.default_rng(0).normal(size=(300, 8))
    >>> for batch in np.split(X, 3):
    ...     score = score.update(batch)
    >>> score.n, bool(abs(score.compute() - vendi_score(X)) < 1e-9)
    (300, True)
    """

    def __init__(self, order: float = 1.0, kernel: str = "cosine", normalize: bool = True, d: int | None = None):
        if kernel not in ("cosine", "linear"):
            raise ValueError(
                f"kernel must be 'cosine' or 'linear', got {kernel!r}; others need all items at once: vendi_score"
            )
        self.order, self.kernel, self.d = _order(order), kernel, d
        self.unit = kernel == "cosine" or bool(normalize)
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.n = 0
        self._gram: Array = None
        self._xp: Any = None

    def update(self, X: Any) -> VendiScore:
        """Add rows, shape (n, d); return the score object itself. No gradient is kept.

        Raises
        ------
        ValueError
            For NaN, an empty batch, another number of columns, or a zero row ("cosine").
        """
        xp, X = as_rows(X)
        if X.ndim != 2:
            raise ValueError(f"X must have shape (n, d), got {tuple(X.shape)}")
        self.d = int(X.shape[1]) if self.d is None else self.d
        if X.shape[1] != self.d:
            raise ValueError(f"X must have {self.d} columns, got {X.shape[1]}")
        if not isinstance(X, np.ndarray):
            X = X.detach() if hasattr(X, "detach") else X
            X = X if "mps" in str(X.device) else xp.astype(X, xp.float64, copy=False)
        Z = prepared(xp, X, unit=self.unit)
        gram = xp.matrix_transpose(Z) @ Z
        if self._gram is not None and type(gram) is not type(self._gram):
            raise TypeError("X must come from the array library of the batches before")
        self._gram = gram if self._gram is None else self._gram + gram
        self._xp, self.n = xp, self.n + int(X.shape[0])
        return self

    def merge(self, other: VendiScore) -> VendiScore:
        """Add what another object has seen (another process, say); return this one."""
        if not isinstance(other, VendiScore) or other.unit != self.unit:
            raise TypeError(f"only a VendiScore of the same kernel and normalisation can be merged, got {other!r}")
        if other.n == 0:
            return self
        if self.n and self.d != other.d:
            raise ValueError(f"dimensions differ: {self.d} and {other.d}")
        self._gram = other._gram if self._gram is None else self._gram + other._gram
        self._xp, self.d, self.n = other._xp, other.d, self.n + other.n
        return self

    def spectrum(self) -> Spectrum:
        """Return the spectrum of ZᵀZ/n over all rows seen."""
        if self.n == 0:
            raise ValueError("no rows seen so far; call update first")
        values = psd_eigenvalues(self._xp, self._gram / self.n)
        return Spectrum(values, self.n, self.d, "autocorrelation" if self.unit else "second moment")

    def compute(self) -> float:
        """Return the score of all rows seen."""
        return float(self.spectrum().hill(self.order))

    def __repr__(self) -> str:
        return f"VendiScore(order={self.order:g}, kernel={self.kernel!r}, n={self.n})"
