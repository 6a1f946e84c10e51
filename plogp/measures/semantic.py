"""Semantic information: what a statement says about the world, and whether it is true (Lu's G theory).

A label y_j comes with a *truth function* T(θ_j|x) in [0, 1]: how true it is of x. Under a source P(x),

- logical probability  T(θ_j) = Σ_x P(x) T(θ_j|x)   (not normalised over j: labels may overlap),
- semantic Bayes       P(x|θ_j) = P(x) T(θ_j|x) / T(θ_j),
- information          I(x;θ_j) = log T(θ_j|x)/T(θ_j) = log P(x|θ_j)/P(x), negative when y_j is false of x,
- its mean             G = I(X;Θ) = Σ P(x,y_j) I(x;θ_j) = H(Θ) - H(Θ|X), at most R = I(X;Y),

with G = R - Σ_j P(y_j) KL(P(x|y_j) ‖ P(x|θ_j)). All in nats.

The least R for a given G is a rate function, found by the loop that also finds R(D). Lu places its most
efficient point (largest G/R) at the slope s = 1. Deriving it, d(G/R)/ds = G'(s)(R - sG)/R², so the largest
G/R lies where the tangent passes through the origin, s* = R/G. That is s = 1 exactly when G = R there (all
λ_i = 1), and slightly above 1 otherwise; see `SemanticChannel.most_efficient`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import check_probabilities, log_probabilities, logsumexp, xlogy
from plogp.measures.rate import RatePoint, rate_function

__all__ = ["SemanticChannel", "boltzmann_truth", "confirmation", "gaussian_truth", "optimal_truth"]

Floats = npt.NDArray[np.float64]


class SemanticChannel:
    """Truth functions of some labels over a source of instances.

    Parameters
    ----------
    truth : array (n_x, n_y)
        ``truth[x, j] = T(θ_j|x)``, in [0, 1]. Lu scales each column to a largest value of 1; the information
        does not depend on that scale, so a column whose peak lies between two instances is accepted as it is.
    px : array (n_x,)
        The source P(x).

    Attributes
    ----------
    truth, px : arrays
        As given, as float64.
    instances, labels : tuple
        What the rows and the columns stand for: their numbers, unless `fit` has set them.

    Raises
    ------
    ValueError
        For mismatched shapes, truth outside [0, 1], or a label that is false wherever the source has mass.

    Examples
    --------
    A fair die; "at least 3" and "six":

    >>> truth = np.column_stack([np.arange(1, 7) >= 3, np.arange(1, 7) == 6]).astype(float)
    >>> channel = SemanticChannel(truth, np.full(6, 1 / 6))
    >>> channel.logical_probability
    array([0.66666667, 0.16666667])
    >>> float(channel.information(5, 1, base=2))  # log2 6: true, and it says much
    2.584962500721156
    >>> float(channel.information(0, 1))  # false
    -inf

    References
    ----------
    C. Lu 2019, Information 10(8):261; C. Lu 2025, Entropy 27(5):461.
    """

    def __init__(self, truth: Any, px: Any) -> None:
        self.px = _source(px)
        self.truth = _table(truth, "truth", rows=len(self.px))
        if np.any(self.truth < 0) or np.any(self.truth > 1):
            raise ValueError(f"truth must lie in [0, 1], got {self.truth.min():.6g} to {self.truth.max():.6g}")
        logical = self.px @ self.truth
        if np.any(logical <= 0):
            raise ValueError(f"truth: label {int(np.argmin(logical))} is false wherever px has mass; it says nothing")
        self.logical_probability: Floats = logical
        self.instances: tuple[Any, ...] = tuple(range(self.truth.shape[0]))
        self.labels: tuple[Any, ...] = tuple(range(self.truth.shape[1]))

    def __repr__(self) -> str:
        return f"SemanticChannel({len(self.px)} instances, {len(self.labels)} labels)"

    @classmethod
    def from_channel(cls, channel: Any, px: Any) -> SemanticChannel:
        """Return the semantic channel that matches a Shannon channel p(y|x): `optimal_truth` of it.

        >>> c = SemanticChannel.from_channel([[0.8, 0.2], [0.4, 0.6]], [0.5, 0.5])
        >>> c.truth.round(6).tolist()
        [[1.0, 0.333333], [0.5, 1.0]]
        """
        return cls(optimal_truth(channel), px)

    @classmethod
    def from_counts(cls, counts: Any, negative: Any = None, *, smoothing: float = 0.0) -> SemanticChannel:
        """Return the channel whose truth functions fit the counts best: T = P(y_j|x)/max P(y_j|x).

        Parameters
        ----------
        counts : array (n_x, n_y)
            How often label j was given to instance x.
        negative : array (n_x, n_y), optional
            How often label j was denied of x. Each truth function is then trained by itself on its own
            positive and negative examples (several labels may be true at once).
        smoothing : float
            Added to every count, for tables with empty rows.

        Raises
        ------
        ValueError
            For negative counts, an instance without any count, or a label that was never given.
        """
        positive = _counts(counts, "counts") + smoothing
        if negative is None:
            total = np.sum(positive, axis=1, keepdims=True)
        else:
            denied = _counts(negative, "negative") + smoothing
            if denied.shape != positive.shape:
                raise ValueError(f"negative has shape {denied.shape}, expected {positive.shape} like counts")
            total = positive + denied
        if np.any(total <= 0):
            row = int(np.argmax(np.any(total <= 0, axis=1)))
            raise ValueError(f"counts: row {row} is empty, so its truth is unknown; drop it or give smoothing")
        seen = np.sum(total, axis=1)
        return cls(optimal_truth(positive / total, normalized=negative is None), seen / np.sum(seen))

    @classmethod
    def fit(cls, x: Any, y: Any, *, smoothing: float = 0.0) -> SemanticChannel:
        """Return the best-fitting channel for samples: `x` instances and `y` labels, (n,) each, any values.

        >>> c = SemanticChannel.fit(["a", "a", "a", "b", "b", "b"], [1, 1, 0, 0, 0, 0])
        >>> c.labels, c.truth.round(3).tolist()
        ((0, 1), [[0.333, 1.0], [1.0, 0.0]])
        """
        xs, ys = np.asarray(x), np.asarray(y)
        if xs.ndim != 1 or xs.shape != ys.shape or xs.size == 0:
            raise ValueError(f"x and y must be one-dimensional and of one length, got shapes {xs.shape}, {ys.shape}")
        instances, rows = np.unique(xs, return_inverse=True)
        labels, columns = np.unique(ys, return_inverse=True)
        counts = np.zeros((len(instances), len(labels)))
        np.add.at(counts, (rows, columns), 1.0)
        channel = cls.from_counts(counts, smoothing=smoothing)
        channel.instances, channel.labels = tuple(instances.tolist()), tuple(labels.tolist())
        return channel

    def with_source(self, px: Any) -> SemanticChannel:
        """Return the same truth functions over another source: only the logical probabilities change."""
        moved = SemanticChannel(self.truth, px)
        moved.instances, moved.labels = self.instances, self.labels
        return moved

    def posterior(self, j: int | None = None) -> Floats:
        """Return P(x|θ_j), (n_x,); or of all labels, (n_y, n_x), for ``j=None``."""
        rows = (self.px[:, None] * self.truth / self.logical_probability).T
        return rows if j is None else rows[j]

    def information(self, x: Any = None, j: Any = None, *, base: float | None = None) -> Any:
        """Return I(x;θ_j) = log T(θ_j|x)/T(θ_j) for indices `x`, `j`, or the whole (n_x, n_y) table."""
        table = (log_probabilities(self.truth) - np.log(self.logical_probability)) / _unit(base)
        rows = table if x is None else table[np.asarray(x)]
        return rows if j is None else rows[..., np.asarray(j)]

    def mutual_information(self, joint: Any, *, base: float | None = None) -> float:
        """Return the semantic mutual information G = Σ P(x,y_j) I(x;θ_j); -inf if a false label is used.

        Parameters
        ----------
        joint : array (n_x, n_y)
            P(x, y), with `px` as its first marginal.
        base : float, optional
            Base of the logarithm; nats by default.

        Raises
        ------
        ValueError
            If `joint` is no distribution of that shape, or its source is another one (see `with_source`).
        """
        return float(np.sum(self._weighed(joint))) / _unit(base)

    def label_information(self, joint: Any, *, base: float | None = None) -> Floats:
        """Return I(X;θ_j) = Σ_x P(x|y_j) I(x;θ_j) for each label (n_y,), a generalised KL; NaN if unused."""
        pxy = self._joint(joint)
        py = np.sum(pxy, axis=0)
        used = py > 0
        total = np.sum(self._weighed(joint), axis=0)
        out: Floats = np.where(used, total / np.where(used, py, 1.0), math.nan) / _unit(base)
        return out

    def semantic_entropy(self, py: Any, *, base: float | None = None) -> float:
        """Return H(Θ) = -Σ_j P(y_j) log T(θ_j)."""
        weights = np.asarray(py, dtype=np.float64)
        if weights.shape != (len(self.labels),):
            raise ValueError(f"py must have shape ({len(self.labels)},), got {weights.shape}")
        check_probabilities(weights, -1, "py")
        return float(-weights @ np.log(self.logical_probability)) / _unit(base)

    def fuzzy_entropy(self, joint: Any, *, base: float | None = None) -> float:
        """Return H(Θ|X) = -Σ P(x,y_j) log T(θ_j|x), the mean semantic distortion; 0 if all labels are true."""
        return float(-np.sum(xlogy(self._joint(joint), self.truth))) / _unit(base)

    def choose(self, x: Any = None) -> npt.NDArray[np.int64]:
        """Return the label of most information, argmax_j I(x;θ_j), for the given or for all instances."""
        return np.asarray(np.argmax(self.information(x), axis=-1))

    def control(self, s: float = 1.0, j: int | None = None) -> Floats:
        """Return P(x|θ_j, s) ∝ P(x) T(θ_j|x)^s: the distribution that meets purpose j to degree s.

        Among all distributions with the same mean of log T(θ_j|x) it is the closest to P(x) in KL; with
        T = exp(-E/kT) and a uniform source it is Boltzmann's at temperature T/s. Shapes as `posterior`.
        """
        if not (math.isfinite(s) and s >= 0):
            raise ValueError(f"s must be finite and >= 0, got {s!r}")
        power = np.zeros_like(self.truth) if s == 0 else s * log_probabilities(self.truth)
        log_weight = (log_probabilities(self.px)[:, None] + power).T
        rows = np.exp(log_weight - logsumexp(log_weight, axis=-1, keepdims=True))
        return rows if j is None else rows[j]

    def rate(self, s: float, *, tol: float = 1e-9, max_iter: int = 20_000) -> RatePoint:
        """Return the point of slope dR/dG = `s` on R(G), the least Shannon information for a given G.

        Its `score` is G, its `channel` the Shannon channel to use. s = 1 matches it to the truth functions,
        s → ∞ always says what is most informative, s < 0 says what is false.

        >>> x = np.arange(100.0)
        >>> c = SemanticChannel(gaussian_truth(x, [20, 50, 80], 12.0), np.full(100, 0.01))
        >>> point = c.rate(1.0)
        >>> 0 < point.score <= point.rate
        True
        """
        return rate_function(self.px, self.information(), s, kind="semantic", tol=tol, max_iter=max_iter)

    def most_efficient(self, *, tol: float = 1e-9, max_iter: int = 20_000) -> RatePoint:
        """Return the point of R(G) with the largest G/R, where the tangent passes through the origin.

        Newton's method for R - sG = 0, whose derivative is -G, from s = 1: s <- R/G. Never below s = 1.
        """
        point = self.rate(1.0, tol=tol, max_iter=max_iter)
        for _ in range(50):
            if point.score <= tol or abs(point.rate - point.s * point.score) <= 10 * tol:
                break
            point = self.rate(point.rate / point.score, tol=tol, max_iter=max_iter)
        return point

    def _joint(self, joint: Any) -> Floats:
        pxy = _table(getattr(joint, "pmf", joint), "joint", rows=len(self.px))
        if pxy.shape != self.truth.shape:
            raise ValueError(f"joint must have shape {self.truth.shape} like truth, got {pxy.shape}")
        check_probabilities(pxy, (0, 1), "joint")
        away = float(np.max(np.abs(np.sum(pxy, axis=1) - self.px)))
        if away > 1e-9:
            raise ValueError(
                f"joint: its source differs from px by up to {away:.3g}; use with_source(joint.sum(axis=1))"
            )
        return pxy

    def _weighed(self, joint: Any) -> Floats:
        pxy = self._joint(joint)
        spent: Floats = xlogy(pxy, self.truth) - pxy * np.log(self.logical_probability)
        return spent


def optimal_truth(channel: Any, *, normalized: bool = True) -> Floats:
    """Return the truth functions that maximise G for a Shannon channel: T*(θ_j|x) = p(y_j|x)/max_x p(y_j|x).

    With them G = R.

    Parameters
    ----------
    channel : array (n_x, n_y)
        p(y_j|x).
    normalized : bool
        Whether the rows must sum to 1 (labels exclude one another). Otherwise each entry is a probability
        of its own.

    Raises
    ------
    ValueError
        For entries that are no probabilities, or a label that is never given.

    Examples
    --------
    >>> optimal_truth([[0.5, 0.5], [0.0, 1.0]]).tolist()
    [[1.0, 0.5], [0.0, 1.0]]
    """
    rows = _table(channel, "channel")
    if normalized:
        check_probabilities(rows, -1, "channel")
    elif np.any(rows < 0) or np.any(rows > 1):
        raise ValueError("channel must hold probabilities between 0 and 1")
    peak = np.max(rows, axis=0)
    if np.any(peak <= 0):
        raise ValueError(f"channel: label {int(np.argmin(peak))} is never given, so its truth is unknown")
    return rows / peak


def gaussian_truth(x: Any, centers: Any, sd: Any) -> Floats:
    """Return Gaussian truth functions exp(-(x - c_j)²/(2σ_j²)), shape (n_x, n_y).

    `x` (n_x,) instances, `centers` (n_y,) what each label means, `sd` (n_y,) or a number, how fuzzily. The
    information is then log 1/T(θ_j) - (x - c_j)²/(2σ_j²): it falls with the squared error.

    >>> gaussian_truth([0.0, 1.0], [0.0], 1.0).ravel().round(6).tolist()
    [1.0, 0.606531]
    """
    points, middle = np.asarray(x, dtype=np.float64), np.atleast_1d(np.asarray(centers, dtype=np.float64))
    width = np.broadcast_to(np.asarray(sd, dtype=np.float64), middle.shape)
    if points.ndim != 1 or middle.ndim != 1:
        raise ValueError(f"x and centers must be one-dimensional, got shapes {points.shape}, {middle.shape}")
    if not (np.all(np.isfinite(points)) and np.all(np.isfinite(middle)) and np.all(width > 0)):
        raise ValueError("x and centers must be finite and sd positive")
    return np.asarray(np.exp(-0.5 * ((points[:, None] - middle) / width) ** 2))


def boltzmann_truth(energy: Any, temperature: float) -> Floats:
    """Return truth functions exp(-(E - min E)/kT) of energies (n_x,) or (n_x, n_y); `temperature` is kT.

    Under a uniform source P(x|θ) is Boltzmann's distribution, and G/R is the efficiency with which a
    control of `rate` nats moves the system to it.

    >>> boltzmann_truth([2.0, 1.0], 1.0).ravel().round(6).tolist()
    [0.367879, 1.0]
    """
    levels = np.asarray(energy, dtype=np.float64)
    levels = levels[:, None] if levels.ndim == 1 else levels
    levels = _table(levels, "energy")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be positive and finite, got {temperature!r}")
    ground = np.min(levels, axis=0)
    if not np.all(np.isfinite(ground)):
        raise ValueError("energy must be finite for at least one instance of each label, and never -inf")
    return np.asarray(np.exp(-(levels - ground) / temperature))


def confirmation(table: Any, kind: Literal["channel", "prediction"] = "channel") -> float:
    """Return the degree, in [-1, 1], to which a 2x2 table confirms "if e then h".

    With counts (or probabilities) a = (e, h), b = (e, not h), c = (not e, h), d = (not e, not h):

    - ``"channel"``: b* = [P(e|h) - P(e|not h)] / max(P(e|h), P(e|not h)) = (LR - 1)/max(LR, 1), how good a
      test e is; 1 - b* is the truth of "h" for an instance of not-h.
    - ``"prediction"``: c* = (a - b)/max(a, b), how safely h is predicted from e. Few counterexamples count
      more than many examples, and instances of not-e do not count (no raven paradox).

    Parameters
    ----------
    table : array (2, 2)
        ``[[a, b], [c, d]]``: rows e, not e; columns h, not h.
    kind : {"channel", "prediction"}
        Which degree.

    Raises
    ------
    ValueError
        For another shape or kind, negative counts, or a table that leaves the degree undefined.

    Examples
    --------
    A test with 90 % sensitivity and 95 % specificity, for a disease that one in a thousand has:

    >>> table = [[0.0009, 0.04995], [0.0001, 0.94905]]
    >>> round(confirmation(table), 4), round(confirmation(table, "prediction"), 4)
    (0.9444, -0.982)

    References
    ----------
    C. Lu 2020, Entropy 22(4):384.
    """
    cells = _counts(table, "table")
    if cells.shape != (2, 2):
        raise ValueError(f"table must be [[a, b], [c, d]], got shape {cells.shape}")
    if kind not in ("channel", "prediction"):
        raise ValueError(f"kind must be 'channel' or 'prediction', got {kind!r}")
    yes, no = cells[0]
    if kind == "channel":
        columns = np.sum(cells, axis=0)
        if np.any(columns <= 0):
            raise ValueError("table: both h and not-h must occur for the channel's degree")
        yes, no = cells[0] / columns
    if max(yes, no) <= 0:
        raise ValueError("table: e never occurs, so nothing is confirmed or refuted")
    return float((yes - no) / max(yes, no))


def _unit(base: float | None) -> float:
    if base is None:
        return 1.0
    if not (base > 0 and base != 1):
        raise ValueError(f"base must be positive and not 1, got {base!r}")
    return math.log(base)


def _source(px: Any) -> Floats:
    source = np.asarray(px, dtype=np.float64)
    if source.ndim != 1:
        raise ValueError(f"px must be one-dimensional, got shape {source.shape}")
    check_probabilities(source, -1, "px")
    return source


def _table(table: Any, name: str, rows: int | None = None) -> Floats:
    out = np.asarray(table, dtype=np.float64)
    if out.ndim != 2 or 0 in out.shape or (rows is not None and len(out) != rows):
        expected = "(n_x, n_y)" if rows is None else f"({rows}, n_y), one row for each entry of px"
        raise ValueError(f"{name} must have shape {expected}, got {out.shape}")
    if np.any(np.isnan(out)):
        raise ValueError(f"{name} contains NaN")
    return out


def _counts(counts: Any, name: str) -> Floats:
    out = _table(counts, name)
    if np.any(out < 0) or not np.all(np.isfinite(out)):
        raise ValueError(f"{name} must be finite and non-negative")
    return out
