"""Kernel density estimation, and the entropies that come from it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.kde_phase import Phase, kde_phase
from plogp.estimate.kernels import BLOCK_BYTES, kernel_of, squared_distances, weight_sums
from plogp.estimate.protocol import Parameters, check_columns, feature_matrix, not_fitted, remember_columns
from plogp.estimate.samples import Floats, as_samples
from plogp.measures.uncertainty import Estimate

__all__ = ["KDE", "Diagnosis", "TailWarning", "kde_entropy", "mixture_entropy_bounds"]

#: Bandwidth rules: the factor on the root mean variance of the coordinates.
RULES = {
    "scott": lambda n, d: n ** (-1 / (d + 4)),
    "silverman": lambda n, d: (n * (d + 2) / 4) ** (-1 / (d + 4)),
}


class TailWarning(UserWarning):
    """The bandwidth is so small that density estimates have no variance: a normal interval would be false."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What carries a kernel density estimate at some points.

    Attributes
    ----------
    participation : array, shape (m,)
        Σ w² / (Σ w)² at each point: 1/n if all samples weigh the same, 1 if one carries everything.
    regime : {"normal", "stable", "condensed"}
        Where the bandwidth lies among `phase.h_g` and `phase.h_clt`.
    stable_index : float
        Tail index of the fluctuations; 2 is normal, below 2 they have no variance, below 1 no mean.
    phase : Phase
        The regimes, measured on the samples.
    """

    participation: Floats
    regime: str
    stable_index: float
    phase: Phase


class KDE(Parameters):
    """Kernel density estimate p̂(x) = (1/n) Σ_i K((x - x_i)/h) / h^d.

    It has the methods of scikit-learn's ``KernelDensity`` (`fit`, `score_samples`, `score`, `sample`) and
    passes its estimator checks; so X has shape (n, d) here, always. Sums are exact, in blocks of bounded memory.

    Parameters
    ----------
    bandwidth : float or {"scott", "silverman", "phase"}
        h, the same in every direction. The two rules scale with the root mean variance of the coordinates
        (scikit-learn's do not: they suit data of unit variance only). ``"phase"`` maximises the leave-one-out
        likelihood, which is `kde_phase(samples=X).h_opt`; use it above two or three dimensions, where the
        rules oversmooth.
    kernel : {"gaussian", "exponential"}
        exp(-|u|²/2) or exp(-|u|), normalised.

    Attributes
    ----------
    bandwidth_ : float
        The bandwidth used.
    n_features_in_ : int

    Raises
    ------
    ValueError
        For a bandwidth or kernel that is none, for NaN or infinite input, for data without spread.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(500, 2))
    >>> kde = KDE().fit(x)
    >>> kde.score_samples([[0.0, 0.0]]).round(2)
    array([-1.94])
    >>> kde.diagnose([[0.0, 0.0]]).regime
    'normal'

    References
    ----------
    Rosenblatt (1956); Parzen (1962). Scott (1992) and Silverman (1986) for the rules. Biroli and Mézard
    (2024), arXiv 2408.05807, for the regimes.
    """

    def __init__(self, bandwidth: float | str = "scott", kernel: str = "gaussian"):
        self.bandwidth = bandwidth
        self.kernel = kernel

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        tags = Tags(estimator_type="density_estimator", target_tags=TargetTags(required=False))
        tags.input_tags = InputTags(two_d_array=True)
        return tags

    # -- fitting -------------------------------------------------------------------------------------------

    def fit(self, X: npt.ArrayLike, y: object = None) -> KDE:
        """Keep the samples and settle the bandwidth.

        Raises
        ------
        ValueError
            For input that is not a finite (n, d) array, or a bandwidth rule on data that have no spread.
        """
        points = feature_matrix(X)
        kernel_of(self.kernel)
        bandwidth = self._settle(points)
        remember_columns(self, X)
        self.bandwidth_, self.n_features_in_, self._points = bandwidth, points.shape[1], points
        self._phase: Phase | None = None
        return self

    def _settle(self, points: Floats) -> float:
        n, d = points.shape
        if self.bandwidth == "phase":
            if n < 3:
                raise ValueError(f"bandwidth='phase' needs at least 3 samples, got n_samples = {n}")
            return kde_phase(samples=points, kernel=self.kernel).h_opt
        if isinstance(self.bandwidth, str):
            if self.bandwidth not in RULES:
                raise ValueError(
                    f"bandwidth must be a positive number or one of 'scott', 'silverman', 'phase', "
                    f"got {self.bandwidth!r}"
                )
            if n < 2:
                raise ValueError(f"a bandwidth rule needs at least 2 samples, got n_samples = {n}")
            spread = math.sqrt(float(points.var(axis=0, ddof=1).mean()))
            if not spread > 0:
                raise ValueError("X has no spread (all rows are equal), so no rule gives it a bandwidth")
            return float(spread * RULES[self.bandwidth](n, d))
        h = self.bandwidth
        if isinstance(h, bool) or not isinstance(h, (int, float, np.number)) or not 0 < h < math.inf:
            raise ValueError(f"bandwidth must be a positive number or a rule's name, got {h!r}")
        return float(h)

    def _log_scale(self, n: int) -> float:
        """Return log(n h^d Z_d), what log-sums of weights are to be diminished by."""
        d = self.n_features_in_
        return math.log(n) + d * math.log(self.bandwidth_) + kernel_of(self.kernel).log_norm(d)

    def _queries(self, X: npt.ArrayLike) -> Floats:
        if not hasattr(self, "bandwidth_"):
            raise not_fitted(self)
        check_columns(self, X)
        points = feature_matrix(X)
        if points.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {points.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return points

    # -- answers -------------------------------------------------------------------------------------------

    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return the log-density at each row of `X`, in nats; never -inf by underflow."""
        points = self._queries(X)
        kernel = kernel_of(self.kernel)
        log_sum, _ = weight_sums(points, self._points, self.bandwidth_, kernel)
        return log_sum - self._log_scale(len(self._points))

    def score(self, X: npt.ArrayLike, y: object = None) -> float:
        """Return the total log-likelihood of `X`."""
        return float(self.score_samples(X).sum())

    def leave_one_out(self) -> Floats:
        """Return the log-density at each sample as estimated from the others."""
        if not hasattr(self, "bandwidth_"):
            raise not_fitted(self)
        n = len(self._points)
        if n < 2:
            raise ValueError("leaving one out needs at least 2 samples, got 1")
        rows = np.arange(n)
        log_sum, _ = weight_sums(self._points, self._points, self.bandwidth_, kernel_of(self.kernel), rows)
        return log_sum - self._log_scale(n - 1)

    def sample(
        self, n_samples: int = 1, random_state: np.random.Generator | int | None = None
    ) -> npt.NDArray[np.float64]:
        """Return draws from the estimated density, shape (n_samples, d)."""
        if not hasattr(self, "bandwidth_"):
            raise not_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples!r}")
        rng = np.random.default_rng(random_state)
        centres = self._points[rng.integers(len(self._points), size=n_samples)]
        noise = kernel_of(self.kernel).draw(n_samples, self.n_features_in_, rng)
        return np.asarray(centres + self.bandwidth_ * noise)

    def phase(self) -> Phase:
        """Return the regimes measured on the samples (kept after the first call)."""
        if not hasattr(self, "bandwidth_"):
            raise not_fitted(self)
        if self._phase is None:
            self._phase = kde_phase(samples=self._points, kernel=self.kernel)
        return self._phase

    def participation(self, X: npt.ArrayLike) -> Floats:
        """Return Σ w² / (Σ w)² at each row of `X`: 1/n if all samples weigh the same, 1 if one carries all."""
        points = self._queries(X)
        return weight_sums(points, self._points, self.bandwidth_, kernel_of(self.kernel))[1]

    def diagnose(self, X: npt.ArrayLike) -> Diagnosis:
        """Return what carries the estimate at the rows of `X`; warn where it has no variance.

        Warns
        -----
        TailWarning
            If the bandwidth is below h_CLT.
        """
        participation, phase, h = self.participation(X), self.phase(), self.bandwidth_
        if phase.regime(h) != "normal":
            warnings.warn(self._tail_note(phase), TailWarning, stacklevel=2)
        return Diagnosis(participation, phase.regime(h), phase.index(h), phase)

    def _tail_note(self, phase: Phase) -> str:
        return (
            f"bandwidth {self.bandwidth_:.4g} is below h_CLT = {phase.h_clt:.4g}: density estimates are in the "
            f"{phase.regime(self.bandwidth_)} regime, their fluctuations follow a stable law of index "
            f"{phase.index(self.bandwidth_):.2f} without variance, and a normal interval would be false"
        )

    def density(self, X: npt.ArrayLike) -> list[Estimate]:
        """Return the density at each row of `X` with its sampling error.

        The interval covers the smoothed density p * K_h, not p: the smoothing bias is not in it. Below h_CLT
        there is no interval, and the diagnostics say why.

        Examples
        --------
        >>> x = np.random.default_rng(0).normal(size=(500, 1))
        >>> KDE().fit(x).density([[0.0]])
        [Estimate(0.366 ± 0.021, 95 % [0.325, 0.407], n=500, kde(gaussian, h=0.293))]
        """
        points = self._queries(X)
        n, h, phase = len(self._points), self.bandwidth_, self.phase()
        log_sum, participation = weight_sums(points, self._points, h, kernel_of(self.kernel))
        method = f"kde({self.kernel}, h={h:.3g})"
        out = []
        for value, share in zip(np.exp(log_sum - self._log_scale(n)), participation):
            notes: dict[str, Any] = {"participation": float(share), "covers": "the smoothed density"}
            se = None
            if phase.regime(h) == "normal":
                # Σw²/(Σw)² = (1 + cv²)/n, with cv the coefficient of variation of one weight.
                se = float(value) * math.sqrt(max(share * n - 1.0, 0.0) / (n - 1))
            else:
                notes["no_interval"] = self._tail_note(phase)
            out.append(Estimate(float(value), se, n, method, unit="", diagnostics=notes))
        return out


def kde_entropy(x: Any, *, bandwidth: float | str = "scott", kernel: str = "gaussian") -> Estimate:
    r"""Return the differential entropy by leave-one-out kernel density: H = -(1/n) Σ log p̂_{-i}(x_i).

    The s.e. is that of the mean of the terms. It covers sampling error, not smoothing: the expected value is a
    cross-entropy, above H by KL(p‖p * K_h) or more, so the estimate errs upwards. Suitable for smooth densities
    in one to three dimensions; prefer nearest neighbours (Kozachenko-Leonenko) for sharp edges and more.

    Parameters
    ----------
    x : array, shape (n, d) or (n,)
        Samples; n >= 3.
    bandwidth, kernel
        As in `KDE`.

    Returns
    -------
    Estimate
        In nats.

    Raises
    ------
    ValueError
        For too few samples, NaN, or samples without spread.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=2000)
    >>> h = kde_entropy(x)
    >>> round(h.value, 2), h.distinguishable(0.5 * np.log(2 * np.pi * np.e))
    (1.42, False)

    References
    ----------
    Joe (1989); Hall and Morton (1993). Beirlant et al. (1997) for a survey.
    """
    points = as_samples(x)
    n = len(points)
    if n < 3:
        raise ValueError(f"x must hold at least 3 samples for a leave-one-out entropy, got {n}")
    kde = KDE(bandwidth, kernel).fit(points)
    terms = -kde.leave_one_out()
    se = float(np.std(terms, ddof=1)) / math.sqrt(n)
    method = f"kde({kernel}, h={kde.bandwidth_:.3g})"
    notes = {"bandwidth": kde.bandwidth_, "bias": "upwards, by the smoothing; not in the interval"}
    return Estimate(float(terms.mean()), se, n, method, terms=terms, sample=x, diagnostics=notes)


def mixture_entropy_bounds(
    centres: Any, variance: float, weights: npt.ArrayLike | None = None, *, block_bytes: int = BLOCK_BYTES
) -> tuple[float, float]:
    r"""Return (lower, upper) bounds on the entropy of a mixture of normals N(c_i, σ²I), in nats.

    .. math:: H \ge \tfrac d2 \log(2πeσ^2) - \sum_i w_i \log \sum_j w_j e^{-|c_i-c_j|^2/(8σ^2)}, \qquad
              H \le \tfrac d2 \log(2πeσ^2) - \sum_i w_i \log \sum_j w_j e^{-|c_i-c_j|^2/(2σ^2)}

    The pairwise distances are Bhattacharyya's below and Kullback-Leibler's above. Less the entropy of one
    component, they bound the information between the mixture and its component label; that lies in
    [0, H(w)]. Both bounds are tight for clusters that coincide or lie far apart.

    Parameters
    ----------
    centres : array, shape (N, d) or (N,)
        Means of the components.
    variance : float
        σ², the same for all.
    weights : array, shape (N,), optional
        Probabilities of the components; equal by default.
    block_bytes : int
        Size of the blocks of distances.

    Raises
    ------
    ValueError
        For a variance that is not positive, weights that are no distribution, or NaN.

    Examples
    --------
    Two far components: the entropy of one, plus log 2.

    >>> low, high = mixture_entropy_bounds([[0.0], [100.0]], 1.0)
    >>> one = 0.5 * np.log(2 * np.pi * np.e)
    >>> round(float(low - one), 6), round(float(high - one), 6)
    (0.693147, 0.693147)

    References
    ----------
    Kolchinsky and Tracey (2017), arXiv 1706.02419.
    """
    points = as_samples(centres, "centres")
    n, d = points.shape
    if not (isinstance(variance, (int, float, np.number)) and 0 < variance < math.inf):
        raise ValueError(f"variance must be a positive number, got {variance!r}")
    w = np.full(n, 1.0 / n) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (n,) or not (w >= 0).all() or abs(float(w.sum()) - 1) > 1e-9:
        raise ValueError(f"weights must be {n} probabilities that sum to 1, got shape {w.shape}")
    own = 0.5 * d * math.log(2 * math.pi * math.e * variance)
    # A component is at distance 0 from itself, so no sum below is smaller than its own weight.
    lower = upper = 0.0
    for rows, squared in squared_distances(points, points, block_bytes=block_bytes):
        close = np.exp(squared * (-0.125 / variance)) @ w
        squared *= -0.5 / variance
        closer = np.exp(squared, out=squared) @ w
        used = w[rows] > 0
        lower -= float(w[rows][used] @ np.log(close[used]))
        upper -= float(w[rows][used] @ np.log(closer[used]))
    return own + lower, own + upper
