"""The cross-entropy method: search, and the probability of rare events, by fitting a law to its best samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_array
from plogp.measures.uncertainty import Estimate

__all__ = ["Bernoulli", "CrossEntropyMethod", "FullNormal", "IndependentNormal", "SamplingLaw", "SearchResult"]

Floats = npt.NDArray[np.float64]
LOG_2PI = math.log(2 * math.pi)


class SamplingLaw(Protocol):
    """A law that can be sampled, refitted to weighted samples, and mixed with another of its kind."""

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Return n samples, shape (n, d)."""
        ...

    def log_density(self, x: Floats) -> Floats:
        """Return the log-density (or log-probability) of each row, shape (n,)."""
        ...

    def fit(self, x: Floats, weights: Floats) -> Any:
        """Return the law of this kind that is nearest to the weighted samples: that of least cross-entropy."""
        ...

    def mix(self, new: Any, smoothing: float) -> Any:
        """Return smoothing times the parameters of `new` plus the rest of one's own."""
        ...

    def covers(self, other: Any) -> bool:
        """Whether everything possible under `other` is possible here; asked for rare events only."""
        ...

    @property
    def spread(self) -> float:
        """How far from settled: the largest standard deviation."""
        ...


def _vector(value: Any, name: str) -> Floats:
    out = np.atleast_1d(np.asarray(as_array(value, name), np.float64))
    if out.ndim != 1 or not np.isfinite(out).all():
        raise ValueError(f"{name} must be a vector of finite numbers, got shape {out.shape}")
    return out


@dataclass(frozen=True, eq=False)
class IndependentNormal:
    """Independent normal coordinates; parameters `mean` and `sd`, shape (d,).

    With ``fixed_sd`` only the mean is refitted: exponential tilting, the safe choice for rare events.

    Examples
    --------
    >>> law = IndependentNormal([0.0, 1.0], [1.0, 2.0])
    >>> law.sample(3, np.random.default_rng(0)).shape, law.spread
    ((3, 2), 2.0)
    """

    mean: Any
    sd: Any
    fixed_sd: bool = False

    def __post_init__(self) -> None:
        mean, sd = _vector(self.mean, "mean"), _vector(self.sd, "sd")
        if mean.shape != sd.shape or (sd < 0).any():
            raise ValueError(f"sd must be >= 0 and of the shape of mean, got {sd} for {mean.shape}")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "sd", sd)

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Return n samples, shape (n, d)."""
        return np.asarray(self.mean + self.sd * rng.standard_normal((n, len(self.mean))))

    def log_density(self, x: Floats) -> Floats:
        """Return the log-density of each row."""
        z = (x - self.mean) / self.sd
        return np.asarray(-0.5 * (z**2).sum(axis=1) - np.log(self.sd).sum() - 0.5 * len(self.mean) * LOG_2PI)

    def fit(self, x: Floats, weights: Floats) -> IndependentNormal:
        """Return the law of the weighted mean and standard deviation."""
        mean = weights @ x
        sd = self.sd if self.fixed_sd else np.sqrt(weights @ (x - mean) ** 2)
        return IndependentNormal(mean, sd, self.fixed_sd)

    def mix(self, new: IndependentNormal, smoothing: float) -> IndependentNormal:
        """Return the law of mixed parameters."""
        a = smoothing
        return IndependentNormal(a * new.mean + (1 - a) * self.mean, a * new.sd + (1 - a) * self.sd, self.fixed_sd)

    def covers(self, other: IndependentNormal) -> bool:
        """Whether everything possible under `other` is possible here."""
        return bool(((self.sd > 0) | (other.sd == 0)).all())

    @property
    def spread(self) -> float:
        """The largest standard deviation."""
        return float(self.sd.max())


@dataclass(frozen=True, eq=False)
class FullNormal:
    """A normal law with any covariance; parameters `mean`, shape (d,), and `cov`, shape (d, d).

    With ``fixed_cov`` only the mean is refitted.

    Examples
    --------
    >>> FullNormal([0.0, 0.0], [[4.0, 1.0], [1.0, 1.0]]).spread
    2.0
    """

    mean: Any
    cov: Any
    fixed_cov: bool = False

    def __post_init__(self) -> None:
        mean, cov = _vector(self.mean, "mean"), np.atleast_2d(np.asarray(self.cov, np.float64))
        d = len(mean)
        if cov.shape != (d, d) or not np.allclose(cov, cov.T):
            raise ValueError(f"cov must be symmetric with shape ({d}, {d}), got shape {cov.shape}")
        low = np.linalg.eigvalsh(cov)[0]
        if low < -1e-10 * max(1.0, float(np.trace(cov))):
            raise ValueError(f"cov must have no negative eigenvalue, got {low:.3g}")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "cov", cov)

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Return n samples, shape (n, d)."""
        values, vectors = np.linalg.eigh(self.cov)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        return np.asarray(self.mean + rng.standard_normal((n, len(self.mean))) @ root.T)

    def log_density(self, x: Floats) -> Floats:
        """Return the log-density of each row."""
        factor = np.linalg.cholesky(self.cov)
        z = np.linalg.solve(factor, (x - self.mean).T)
        return np.asarray(-0.5 * (z**2).sum(axis=0) - np.log(np.diag(factor)).sum() - 0.5 * len(self.mean) * LOG_2PI)

    def fit(self, x: Floats, weights: Floats) -> FullNormal:
        """Return the law of the weighted mean and covariance."""
        mean = weights @ x
        if self.fixed_cov:
            return FullNormal(mean, self.cov, True)
        y = x - mean
        return FullNormal(mean, (y * weights[:, None]).T @ y)

    def mix(self, new: FullNormal, smoothing: float) -> FullNormal:
        """Return the law of mixed parameters."""
        a = smoothing
        return FullNormal(a * new.mean + (1 - a) * self.mean, a * new.cov + (1 - a) * self.cov, self.fixed_cov)

    def covers(self, other: FullNormal) -> bool:
        """Whether everything possible under `other` is possible here."""
        return bool(np.linalg.matrix_rank(self.cov) >= np.linalg.matrix_rank(other.cov))

    @property
    def spread(self) -> float:
        """The largest standard deviation of a coordinate."""
        return float(np.sqrt(np.clip(np.diag(self.cov), 0, None).max()))


@dataclass(frozen=True, eq=False)
class Bernoulli:
    """Independent bits; parameter `p`, shape (d,). Samples are rows of 0.0 and 1.0.

    A refitted p stays in [floor, 1 - floor]. Rare events need a floor above 0 (0.02, say): a bit that is the same in
    the whole elite would never vary again, and the events with its other value would be missed.

    Examples
    --------
    >>> Bernoulli([0.5, 1.0]).log_density(np.array([[1.0, 1.0], [1.0, 0.0]])).round(3).tolist()
    [-0.693, -inf]
    """

    p: Any
    floor: float = 0.0

    def __post_init__(self) -> None:
        p = _vector(self.p, "p")
        if (p < 0).any() or (p > 1).any():
            raise ValueError(f"p must lie in [0, 1], got {p.min()}..{p.max()}")
        if not 0 <= self.floor < 0.5:
            raise ValueError(f"floor must lie in [0, 0.5), got {self.floor}")
        object.__setattr__(self, "p", p)

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Return n samples, shape (n, d)."""
        return (rng.random((n, len(self.p))) < self.p).astype(np.float64)

    def log_density(self, x: Floats) -> Floats:
        """Return the log-probability of each row."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(x > 0.5, np.log(self.p), np.log1p(-self.p)).sum(axis=1))

    def fit(self, x: Floats, weights: Floats) -> Bernoulli:
        """Return the law of the weighted shares of ones."""
        return Bernoulli(np.clip(weights @ x, self.floor, 1 - self.floor), self.floor)

    def mix(self, new: Bernoulli, smoothing: float) -> Bernoulli:
        """Return the law of mixed parameters."""
        return Bernoulli(np.clip(smoothing * new.p + (1 - smoothing) * self.p, 0.0, 1.0), self.floor)

    def covers(self, other: Bernoulli) -> bool:
        """Whether everything possible under `other` is possible here."""
        return bool((((self.p > 0) | (other.p == 0)) & ((self.p < 1) | (other.p == 1))).all())

    @property
    def spread(self) -> float:
        """The largest standard deviation of a bit."""
        return float(np.sqrt(self.p * (1 - self.p)).max())


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What `CrossEntropyMethod.search` found.

    Attributes
    ----------
    best : array, shape (d,)
        The sample with the best score of the whole run.
    score : float
        Its score.
    law : SamplingLaw
        The law at the end.
    elite : array, shape (m, d)
        The best samples of the last iteration.
    levels : array, shape (iterations,)
        The elite's worst score, an iteration.
    spreads : array, shape (iterations,)
    converged : bool
        Whether the spread fell below the tolerance.
    evaluations : int
    """

    best: Floats
    score: float
    law: Any
    elite: Floats
    levels: Floats
    spreads: Floats
    converged: bool
    evaluations: int

    def share(self, condition: Callable[[Floats], Any]) -> Estimate:
        """Return the share of elite samples for which a condition holds, with its binomial standard error.

        The elite of one iteration are independent draws given the law, selected by their score; the interval says
        how well the share among such draws is known. It is Wilson's.

        >>> law = IndependentNormal([0.0], [1.0])
        >>> found = CrossEntropyMethod(50, iterations=3, rng=0).search(lambda x: x[:, 0] ** 2, law)
        >>> 0 <= found.share(lambda x: abs(x[:, 0]) < 0.1).value <= 1
        True
        """
        from plogp.estimate.probes import Wilson

        hit = np.asarray(condition(self.elite), bool)
        n, value = len(hit), float(hit.mean())
        se = math.sqrt(value * (1 - value) / n)
        return Estimate(value, se, n, "elite share", "", law=Wilson(value, n))

    def plot(self, ax: Any = None) -> Any:
        """Draw level and spread over the iterations. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        ax = plt.subplots()[1] if ax is None else ax
        ax.plot(self.levels, label="level of the elite")
        ax.plot(self.spreads, label="spread of the law", linestyle="--")
        ax.set_xlabel("iteration")
        ax.legend()
        return ax

    def __repr__(self) -> str:
        state = "settled" if self.converged else "not settled"
        return f"SearchResult(score {self.score:.4g} at {self.best}, {self.evaluations} evaluations, {state})"


@dataclass
class CrossEntropyMethod:
    r"""Sample from a law, keep the best share, refit the law to them, repeat.

    The refit is the law f(.; v) of least cross-entropy to the elite: weighted maximum likelihood. With smoothing a
    the parameters move to a v̂ + (1 - a) v.

    Parameters
    ----------
    n : int
        Samples an iteration.
    elite : float
        Share that is kept.
    smoothing : float
        a in (0, 1]; 0.7 for noisy scores.
    iterations : int
        Most iterations.
    tol : float
        Stop when the law's spread is below.
    maximize : bool
        By default low scores are good.
    rng : Generator, int or None

    Examples
    --------
    >>> method = CrossEntropyMethod(80, 0.15, iterations=60, rng=0)
    >>> found = method.search(lambda x: ((x - [1.0, -2.0]) ** 2).sum(axis=1), IndependentNormal([0.0, 0.0], [3.0, 3.0]))
    >>> found.best.round(4).tolist(), found.converged
    ([1.0, -2.0], True)

    References
    ----------
    R. Rubinstein 1999; P.-T. de Boer, D. Kroese, S. Mannor and R. Rubinstein, A Tutorial on the Cross-Entropy Method,
    2005. Search for zeros of the zeta function with it: Y. Li 2024, arXiv:2409.19790.
    """

    n: int = 80
    elite: float = 0.15
    smoothing: float = 1.0
    iterations: int = 100
    tol: float = 1e-8
    maximize: bool = False
    rng: Any = None

    def __post_init__(self) -> None:
        if not 0 < self.elite < 1 or not 0 < self.smoothing <= 1:
            raise ValueError(f"elite must lie in (0, 1) and smoothing in (0, 1], got {self.elite} and {self.smoothing}")
        if self.n < 2 or self.n * self.elite < 2:
            raise ValueError(f"at least 2 elite samples are needed, got n={self.n} and elite={self.elite}")
        if self.iterations < 1 or not self.tol >= 0:
            raise ValueError(f"iterations must be >= 1 and tol >= 0, got {self.iterations} and {self.tol}")

    def _scores(self, score: Callable[[Floats], Any], x: Floats) -> Floats:
        values = np.asarray(score(x), np.float64)
        if values.shape != (len(x),):
            raise ValueError(f"score must return one number for each of {len(x)} rows, got shape {values.shape}")
        if np.isnan(values).any():
            raise ValueError("score returned NaN")
        return -values if self.maximize else values

    def search(self, score: Callable[[Floats], Any], law: SamplingLaw, *, progress: bool = False) -> SearchResult:
        """Minimise (or maximise) a score.

        Parameters
        ----------
        score : callable
            ``score(x)`` of samples (n, d) returns (n,).
        law : SamplingLaw
            Where to begin: `IndependentNormal`, `FullNormal`, `Bernoulli`, or one's own.
        progress : bool

        Returns
        -------
        SearchResult

        Raises
        ------
        ValueError
            For scores that are NaN or of another shape.
        """
        g, keep = np.random.default_rng(self.rng), math.ceil(self.n * self.elite)
        sign = -1.0 if self.maximize else 1.0
        best, low, levels, spreads, used = np.empty(0), math.inf, list[float](), list[float](), 0
        elite = np.empty((0, 0))
        for _ in _shown(self.iterations, progress, "cross-entropy search"):
            x = law.sample(self.n, g)
            values = self._scores(score, x)
            used += self.n
            order = np.argsort(values, kind="stable")[:keep]
            elite = x[order]
            if not len(best) or values[order[0]] < low:
                best, low = elite[0], float(values[order[0]])
            law = law.mix(law.fit(elite, np.full(keep, 1.0 / keep)), self.smoothing)
            levels.append(sign * float(values[order[-1]]))
            spreads.append(law.spread)
            if law.spread < self.tol:
                break
        settled = spreads[-1] < self.tol
        return SearchResult(best, sign * low, law, elite, np.array(levels), np.array(spreads), settled, used)

    def probability(
        self,
        score: Callable[[Floats], Any],
        law: SamplingLaw,
        level: float,
        *,
        samples: int = 10_000,
        progress: bool = False,
    ) -> Estimate:
        r"""Estimate P(score <= level) (>= with `maximize`) under a law, however rare.

        The level is approached by quantiles of the samples; each refit weighs the elite by the likelihood ratio
        W = f(x; u) / f(x; v) of the given law u to the sampling law v. The estimate is the mean of 1[score <= level] W
        over fresh samples of the last law.

        Parameters
        ----------
        score, law
            As `search` takes them. Give normal laws with ``fixed_sd`` or ``fixed_cov``: a refitted spread narrows
            around the elite, the likelihood ratios grow unbounded, and the level may never be reached.
        level : float
        samples : int
            Fresh samples for the estimate.
        progress : bool

        Returns
        -------
        Estimate
            Dimensionless, with the standard error of the mean; diagnostics: ``levels``, ``law`` (that was sampled)
            and ``ess``, the effective number of hits. Below 100 of these the interval is too narrow. On P(X > 4) of
            a standard normal with n = 200, 95 % intervals covered the truth in 193 of 200 runs with 2,000 samples and
            in 191 of 200 with 10,000.

        Raises
        ------
        ValueError
            If the level is not reached within `iterations`, or a refit leaves out part of the given law's support.

        Examples
        --------
        >>> method = CrossEntropyMethod(200, 0.1, maximize=True, rng=0)
        >>> found = method.probability(lambda x: x[:, 0], IndependentNormal([0.0], [1.0], fixed_sd=True), 4.0)
        >>> bool(abs(found.value / 3.167e-5 - 1) < 0.1)
        True
        """
        g, keep = np.random.default_rng(self.rng), math.ceil(self.n * self.elite)
        goal = -level if self.maximize else level
        now, levels = law, list[float]()
        for _ in _shown(self.iterations, progress, "approaching the level"):
            x = now.sample(self.n, g)
            values = self._scores(score, x)
            at = max(float(np.sort(values)[keep - 1]), goal)
            levels.append(-at if self.maximize else at)
            hit = x[values <= at]
            ratio = law.log_density(hit) - now.log_density(hit)
            weights = np.exp(ratio - ratio.max())
            now = now.mix(now.fit(hit, weights / weights.sum()), self.smoothing)
            if not now.covers(law):
                raise ValueError(
                    f"the refitted law leaves out what the given one allows, at level {levels[-1]:g}: take more "
                    "samples, smoothing below 1, a Bernoulli with a floor, or a normal law with fixed_sd"
                )
            if at <= goal:
                break
        else:
            raise ValueError(
                f"level {level:g} was not reached in {self.iterations} iterations; the last was {levels[-1]:g}: take "
                "more samples, or a law with fixed_sd"
            )
        x = now.sample(samples, g)
        inside = self._scores(score, x) <= goal
        terms = np.zeros(samples)
        terms[inside] = np.exp(law.log_density(x[inside]) - now.log_density(x[inside]))
        value, se = float(terms.mean()), float(terms.std(ddof=1) / math.sqrt(samples))
        square = float((terms**2).sum())
        notes = {"levels": np.array(levels), "law": now, "ess": float(terms.sum()) ** 2 / square if square else 0.0}
        return Estimate(value, se, samples, f"cross-entropy(n={self.n})", "", terms=terms, diagnostics=notes)


def _shown(total: int, progress: bool, label: str) -> Sequence[int] | Any:
    if progress:
        from rich.progress import track

        return track(range(total), description=label)
    return range(total)
