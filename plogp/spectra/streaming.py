"""Covariance spectra of data that comes in batches: exact moments that merge, and a sketch for many dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.measures.arrays import Array, detach, namespace
from plogp.spectra.eigen import as_rows, padded, psd_eigenvalues, settled
from plogp.spectra.spectrum import Spectrum

__all__ = ["CovarianceAccumulator", "FrequentDirections"]


class _Batches:
    """Checks, library and precision that both accumulators share.

    The first batch decides the library and the device. State is float64 (float32 on devices without it), and
    carries no gradient.
    """

    def __init__(self, d: int | None):
        if d is not None and (not isinstance(d, (int, np.integer)) or isinstance(d, bool) or d < 1):
            raise ValueError(f"d must be a positive number of columns, got {d!r}")
        self.d = None if d is None else int(d)
        self.n = 0
        self.xp: Any = None
        self._mean: Array = None

    def _rows(self, X: Any) -> Array:
        """Return a batch as detached rows (n, d) in the precision of the state."""
        xp, X = as_rows(X)
        X = detach(X)
        if X.ndim > 2:
            X = xp.reshape(X, (-1, X.shape[-1]))
        if self.d is None:
            self.d = int(X.shape[-1])
        if X.shape[-1] != self.d:
            raise ValueError(f"X must have {self.d} columns as the batches before, got {X.shape[-1]}")
        if isinstance(X, np.ndarray):
            X = X.astype(np.float64, copy=False)
        elif "mps" not in str(X.device):
            X = xp.astype(X, xp.float64, copy=False)
        if self.xp is None:
            self.xp = xp
        elif type(X) is not type(self._mean):
            raise TypeError(f"X must come from the library of the batches before ({self.xp.__name__})")
        return X

    def _same(self, other: Any) -> None:
        if type(other) is not type(self):
            raise TypeError(f"only a {type(self).__name__} can be merged, got {type(other).__name__}")
        if other.d is not None and self.d is not None and other.d != self.d:
            raise ValueError(f"dimensions differ: {self.d} and {other.d}")

    def _some(self, least: int = 1) -> None:
        if self.n < least:
            raise ValueError(f"{self.n} rows seen so far; at least {least} needed")

    @property
    def mean(self) -> Array:
        """Mean row, shape (d,)."""
        self._some()
        return self._mean


class CovarianceAccumulator(_Batches):
    """Mean and covariance of rows that come in batches: exact, and mergeable over processes.

    The sums of squares are kept about the running mean (Chan, Golub and LeVeque's update), so a large common
    offset costs no digits. Memory is one d x d matrix.

    Parameters
    ----------
    d : int, optional
        Columns; taken from the first batch if None.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(5.0, 1.0, size=(100, 3))
    >>> first, second = CovarianceAccumulator(3).update(X[:10]), CovarianceAccumulator(3).update(X[10:])
    >>> merged = first.merge(second)
    >>> merged.n, bool(np.allclose(merged.covariance(), np.cov(X.T)))
    (100, True)
    >>> round(float(merged.spectrum().effective_rank), 2)
    2.98

    Notes
    -----
    T. Chan, G. Golub and R. LeVeque, The American Statistician 37, 1983.
    """

    def __init__(self, d: int | None = None):
        super().__init__(d)
        self._scatter: Array = None

    def update(self, X: Any) -> CovarianceAccumulator:
        """Add rows, shape (n, d) or (..., d); return the accumulator itself.

        Raises
        ------
        ValueError, TypeError
            For NaN, an empty batch, another number of columns, or another array library.
        """
        X = self._rows(X)
        mean = self.xp.mean(X, axis=0)
        centred = X - mean
        return self._add(int(X.shape[0]), mean, self.xp.matrix_transpose(centred) @ centred)

    def merge(self, other: CovarianceAccumulator) -> CovarianceAccumulator:
        """Add what another accumulator has seen; return this one."""
        self._same(other)
        if other.n == 0:
            return self
        if self.xp is None:
            self.xp, self.d = other.xp, other.d
        elif type(self._mean) is not type(other._mean):
            raise TypeError(f"the accumulators hold arrays of different libraries: {self.xp.__name__} and another")
        return self._add(other.n, other._mean, other._scatter)

    def _add(self, n: int, mean: Array, scatter: Array) -> CovarianceAccumulator:
        if self.n == 0:
            self.n, self._mean, self._scatter = n, mean, scatter
            return self
        total = self.n + n
        step = mean - self._mean
        self._scatter = self._scatter + scatter + (self.n * n / total) * step[:, None] * step[None, :]
        self._mean = self._mean + step * (n / total)
        self.n = total
        return self

    def covariance(self, unbiased: bool = True, center: bool = True) -> Array:
        """Return (X - μ)ᵀ(X - μ)/(n - 1), shape (d, d); about 0 instead of μ, and over n, with center=False."""
        self._some(2 if center else 1)
        if center:
            return self._scatter / (self.n - 1 if unbiased else self.n)
        return self._scatter / self.n + self._mean[:, None] * self._mean[None, :]

    def spectrum(self, center: bool = True, unbiased: bool = True) -> Spectrum:
        """Return the spectrum of the covariance (of the second moment with center=False)."""
        values = psd_eigenvalues(self.xp, self.covariance(unbiased, center))
        source = "covariance" if center else "second moment"
        return Spectrum(values, self.n, self.d, source, dof=self.n - 1 if center else self.n)

    def state_dict(self) -> dict[str, Any]:
        """Return n, mean and scatter: what another process needs to merge this one."""
        self._some()
        return {"n": self.n, "mean": self._mean, "scatter": self._scatter}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> CovarianceAccumulator:
        """Return the accumulator that `state_dict` was taken of.

        >>> a = CovarianceAccumulator().update([[1.0, 2.0], [3.0, 5.0]])
        >>> CovarianceAccumulator.from_state(a.state_dict()).n
        2
        """
        mean, scatter = state["mean"], state["scatter"]
        d = int(mean.shape[0])
        if tuple(scatter.shape) != (d, d):
            raise ValueError(f"the scatter must have shape ({d}, {d}), got {tuple(scatter.shape)}")
        out = cls(d)
        out.xp = namespace(mean)
        return out._add(int(state["n"]), mean, scatter)

    def __repr__(self) -> str:
        return f"CovarianceAccumulator(d={self.d}, n={self.n})"


class FrequentDirections(_Batches):
    r"""Sketch of the covariance of rows that come in batches, in 2·size·d numbers instead of d².

    Rows fill a buffer; when it is full, its squared singular values are lowered by the size-th of them, which
    empties at least half of it. With Δ the sum of what was taken off, the sketch B obeys
    :math:`0 \preceq A^T A - B^T B \preceq \Delta I` and
    :math:`\Delta \le |A - A_k|_F^2 / (size - k)` for every k < size. The trace is kept exactly.

    Centred sketches feed each batch about its own mean, and one row for the step between means: together these
    have the scatter about the overall mean, exactly.

    Parameters
    ----------
    size : int
        Directions kept.
    d : int, optional
        Columns; taken from the first batch if None.
    center : bool

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 40)) * 0.5 ** np.arange(40)
    >>> sketch = FrequentDirections(8)
    >>> for batch in np.split(X, 10):
    ...     sketch = sketch.update(batch)
    >>> exact = Spectrum.covariance(X)
    >>> bool(np.allclose(sketch.spectrum().values[:3], exact.values[:3], rtol=0.01))
    True

    Notes
    -----
    M. Ghashami, E. Liberty, J. Phillips and D. Woodruff (2016), arXiv 1501.01711.
    """

    def __init__(self, size: int, d: int | None = None, center: bool = True):
        super().__init__(d)
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 2:
            raise ValueError(f"size must be at least 2 directions, got {size!r}")
        self.size, self.center = int(size), bool(center)
        self._sketch: Array = None
        self._trace = 0.0
        #: The most by which any direction's sum of squares is understated.
        self.shrinkage = 0.0

    def update(self, X: Any) -> FrequentDirections:
        """Add rows, shape (n, d) or (..., d); return the sketch itself."""
        X = self._rows(X)
        xp, n = self.xp, int(X.shape[0])
        mean = xp.mean(X, axis=0)
        if self.center:
            X = X - mean
        self._append(X)
        return self._step(n, mean)

    def merge(self, other: FrequentDirections) -> FrequentDirections:
        """Add what another sketch of the same size and centring has seen; return this one."""
        self._same(other)
        if (other.size, other.center) != (self.size, self.center):
            raise ValueError(
                f"sketches differ: size {self.size} and {other.size}, center {self.center} and {other.center}"
            )
        if other.n == 0:
            return self
        if self.xp is None:
            self.xp, self.d = other.xp, other.d
        trace = self._trace + other._trace
        self._append(other._sketch)
        self._trace = trace
        self.shrinkage += other.shrinkage
        return self._step(other.n, other._mean)

    def _step(self, n: int, mean: Array) -> FrequentDirections:
        """Take up the mean of n new rows."""
        if self.n == 0:
            self.n, self._mean = n, mean
            return self
        total, step = self.n + n, mean - self._mean
        if self.center:
            self._append(step[None, :] * math.sqrt(self.n * n / total))
        self._mean = self._mean + step * (n / total)
        self.n = total
        return self

    def _append(self, rows: Array) -> None:
        """Add rows to the buffer of 2·size, shrinking it whenever it is full."""
        xp = self.xp
        self._trace += float(xp.sum(rows * rows))
        start = 0
        while start < rows.shape[0]:
            held = 0 if self._sketch is None else int(self._sketch.shape[0])
            part = rows[start : start + max(2 * self.size - held, 1)]
            start += int(part.shape[0])
            self._sketch = part if self._sketch is None else xp.concat([self._sketch, part])
            if self._sketch.shape[0] >= 2 * self.size:
                self._shrink()

    def _shrink(self) -> None:
        xp = self.xp
        _, s, vt = xp.linalg.svd(self._sketch, full_matrices=False)
        if s.shape[0] < self.size:  # fewer columns than directions: the sketch is exact
            self._sketch = s[:, None] * vt
            return
        cut = float(s[self.size - 1]) ** 2
        lowered = xp.sqrt(xp.clip(s[: self.size - 1] ** 2 - cut, 0.0, None))
        self._sketch = lowered[:, None] * vt[: self.size - 1]
        self.shrinkage += cut

    def spectrum(self, unbiased: bool = True) -> Spectrum:
        """Return the spectrum of the covariance: the sketch's values, raised by half of what they may lack.

        Each value is off by at most shrinkage / (2 (n - 1)); the rest of the exact trace is shared evenly by the
        other directions.
        """
        self._some(2 if self.center else 1)
        xp, d = self.xp, int(self._mean.shape[0])
        dof = self.n - 1 if self.center else self.n
        s = xp.linalg.svdvals(self._sketch) ** 2
        rank = min(dof, d)
        exact = self.shrinkage == 0.0
        k = min(int(s.shape[0]), rank) if exact else min(self.size - 1, int(s.shape[0]), rank)
        top = s[:k] if exact else s[:k] + 0.5 * self.shrinkage
        total = float(xp.sum(top))
        top = top * min(1.0, self._trace / total) if total > 0 else top
        if rank > k:
            share = max(self._trace - float(xp.sum(top)), 0.0) / (rank - k)
            top = xp.concat([top, xp.ones_like(padded(xp, top[:0], rank - k)) * share])
        top = xp.flip(xp.sort(padded(xp, top, d)))
        values = settled(xp, top) / (dof if unbiased else self.n)
        source = "covariance" if self.center else "second moment"
        return Spectrum(values, self.n, d, source, dof=dof, resolved=None if exact else k)

    def __repr__(self) -> str:
        return f"FrequentDirections({self.size}, d={self.d}, n={self.n})"
