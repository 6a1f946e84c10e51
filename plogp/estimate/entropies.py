"""Strategies that estimate Shannon's entropy from counts: each is a formula over the distinct counts.

A strategy is data: a name, a function of `Abundances`, and whether it must know the number of states. Measures
(`plogp.estimate.discrete`) combine the entropies of joint tables with any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["STRATEGIES", "Abundances", "EntropyStrategy", "abundances", "strategy"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Abundances:
    """Counts of counts: `f[j]` states were seen `r[j]` times each, out of `states` possible ones.

    Every strategy depends on the counts through these alone; tables with millions of cells have few of them.
    """

    r: FloatArray
    f: FloatArray
    states: int | None = None

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64], states: int | None = None) -> Abundances:
        """Group positive counts by value."""
        r, f = np.unique(counts[counts > 0], return_counts=True)
        return cls(r.astype(np.float64), f.astype(np.float64), states)

    @property
    def n(self) -> float:
        """Number of samples."""
        return float(self.r @ self.f)

    @property
    def observed(self) -> float:
        """Number of states seen at least once."""
        return float(self.f.sum())

    def seen(self, times: int) -> float:
        """Number of states seen exactly so many times."""
        at = np.searchsorted(self.r, times)
        return float(self.f[at]) if at < len(self.r) and self.r[at] == times else 0.0


@dataclass(frozen=True)
class EntropyStrategy:
    """One way to estimate an entropy from counts.

    Attributes
    ----------
    name : str
        How it is asked for.
    value : callable
        ``value(abundances) -> float``, in nats.
    needs_states : bool
        Whether the number of possible states must be known.
    reference : str
        The source.
    posterior_sd : callable or None
        Standard deviation of a posterior, where the strategy has one.
    """

    name: str
    value: Callable[[Abundances], float]
    reference: str
    needs_states: bool = False
    posterior_sd: Callable[[Abundances], float] | None = None


def _xlogx(x: FloatArray) -> FloatArray:
    return np.asarray(special.xlogy(x, x), np.float64)


def plugin(a: Abundances) -> float:
    """H = log N - (1/N) Σ n log n: the entropy of the observed frequencies (maximum likelihood)."""
    return math.log(a.n) - float(a.f @ _xlogx(a.r)) / a.n


def _plugin_without_one(a: Abundances) -> FloatArray:
    n = a.n
    if n == 1:
        return np.zeros(1)
    total: FloatArray = float(a.f @ _xlogx(a.r)) - _xlogx(a.r) + _xlogx(a.r - 1)
    return math.log(n - 1) - total / (n - 1)


def miller_madow(a: Abundances) -> float:
    """Plug-in + (m - 1) / (2 N) for m observed states: the first-order bias removed."""
    return plugin(a) + (a.observed - 1) / (2 * a.n)


def jackknife(a: Abundances) -> float:
    """N H - (N - 1) mean H(-j): the 1/N bias removed by leaving out each sample once."""
    n = a.n
    return n * plugin(a) - (n - 1) * float(a.f * a.r @ _plugin_without_one(a)) / n


def grassberger(a: Abundances) -> float:
    """Log N - (1/N) Σ n G(n), G(n) = ψ(n) + ½(-1)^n [ψ((n+1)/2) - ψ(n/2)]."""
    sign = np.where(a.r % 2 == 0, 1.0, -1.0)
    g = special.digamma(a.r) + 0.5 * sign * (special.digamma((a.r + 1) / 2) - special.digamma(a.r / 2))
    return math.log(a.n) - float(a.f * a.r @ g) / a.n


def zhang(a: Abundances) -> float:
    """Σ (n/N) [ψ(N) - ψ(n)]: Zhang's series Σ_v Z_v / v in its closed form."""
    return float(a.f * a.r @ (special.digamma(a.n) - special.digamma(a.r))) / a.n


def chao_shen(a: Abundances) -> float:
    """-Σ q log q / (1 - (1 - q)^N), q = C n/N, coverage C = 1 - f1/N: Horvitz-Thompson for unseen states."""
    n = a.n
    singles = a.seen(1)
    coverage = 1 - (n - 1 if singles == n else singles) / n
    if n == 1:
        return 0.0
    q = coverage * a.r / n
    with np.errstate(divide="ignore"):
        included = -np.expm1(n * np.log1p(-np.minimum(q, 1.0)))
    return float(a.f @ (-_xlogx(q) / included))


@cache
def _laguerre() -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights of ∫ e^-v g(v) dv."""
    nodes, weights = special.roots_laguerre(64)
    return nodes, weights


def _tail(x: float, n: float) -> float:
    """Return Σ_{j>=0} x^(j+1) / (N + j), as an exponential integral and a smooth remainder."""
    if x <= 0:
        return 0.0
    a = -math.log(x)
    nodes, weights = _laguerre()
    z = a + nodes / n
    with np.errstate(over="ignore"):
        smooth = -1.0 / np.expm1(-z) - 1.0 / z
    y = n * a
    scaled = 1 / (y + 1 / (1 + 1 / (y + 2 / (1 + 2 / y)))) if y > 500 else float(special.hyperu(1, 1, y))
    return x * (scaled + float(weights @ smooth) / n)


def chao_wang_jost(a: Abundances) -> float:
    """Zhang's value and an estimate of the part of the unseen states from the singletons and doubletons.

    Added is ``(f1/N) (1-A)^(1-N) {-log A - Σ_{r<N} (1-A)^r / r}`` with ``A = 2 f2 / ((N-1) f1 + 2 f2)``, here
    in its tail form ``(f1/N) Σ_{j>=0} (1-A)^(j+1) / (N+j)``, free of cancellation.
    """
    return zhang(a) + _unseen_part(a.n, a.seen(1), a.seen(2))


def _unseen_part(n: float, f1: float, f2: float) -> float:
    """Return the entropy that singletons and doubletons say the unseen states have."""
    if f1 == 0 or n == 1:
        return 0.0
    scale = 2 * f2 / ((n - 1) * f1 + 2 * f2) if f2 > 0 else 2 / ((n - 1) * (f1 - 1) + 2)
    return f1 / n * _tail(1 - scale, n)


def chao_wang_jost_without_one(a: Abundances) -> FloatArray:
    """Return Chao-Wang-Jost's value after one sample less in a state seen ``r[j]`` times, for each j."""
    n = a.n - 1
    if n < 1:
        return np.zeros(len(a.r))
    digamma_r = special.digamma(a.r)
    before = special.digamma(np.maximum(a.r - 1, 1.0))
    total = float(a.f * a.r @ digamma_r) - a.r * digamma_r + (a.r - 1) * before
    value = special.digamma(n) - total / n
    value += _unseen_part(n, a.seen(1), a.seen(2))
    for j in range(min(3, len(a.r))):  # only counts of 1, 2 and 3 change the singletons or doubletons
        r = a.r[j]
        if r <= 3:
            singles, doubles = a.seen(1) - (r == 1) + (r == 2), a.seen(2) - (r == 2) + (r == 3)
            value[j] += _unseen_part(n, singles, doubles) - _unseen_part(n, a.seen(1), a.seen(2))
    return value


def james_stein(a: Abundances) -> float:
    """Plug-in of p~ = λ/K + (1-λ) n/N, with the λ that minimises the estimated squared error."""
    n, k = a.n, _states(a)
    p = a.r / n
    unseen = k - a.observed
    distance = float(a.f @ (1 / k - p) ** 2) + unseen / k**2
    ratio = (1 - float(a.f @ p**2)) / ((n - 1) * distance) if distance > 0 and n > 1 else 1.0
    shrink = min(max(ratio, 0.0), 1.0)
    q = shrink / k + (1 - shrink) * p
    return float(-(a.f @ _xlogx(q)) - unseen * special.xlogy(shrink / k, shrink / k))


def _states(a: Abundances) -> int:
    if a.states is None:
        raise ValueError("this strategy needs num_states, the number of possible states")
    return a.states


def _nsb_grid(a: Abundances) -> tuple[FloatArray, FloatArray]:
    """Return β on a grid where its posterior lives, and the log weights of the points."""
    k = _states(a)
    low, high = -14.0 - math.log(k), 14.0
    for _ in range(4):  # close in on the mode: the posterior narrows as 1/sqrt(m)
        log_beta = np.linspace(low, high, 400)
        beta = np.exp(log_beta)
        slope = k * special.polygamma(1, k * beta + 1) - special.polygamma(1, beta + 1)
        evidence = special.betaln(k * beta, a.n)
        for r, f in zip(a.r, a.f):
            evidence = evidence - f * special.betaln(beta, r)
        weight = np.log(np.maximum(slope, 1e-300)) + evidence + log_beta
        weight -= weight.max()
        live = np.flatnonzero(weight > -45.0)
        step = log_beta[1] - log_beta[0]
        narrow = log_beta[live[-1]] - log_beta[live[0]] + 2 * step
        if narrow > 0.5 * (high - low):
            break
        low, high = log_beta[live[0]] - step, log_beta[live[-1]] + step
    return beta, weight


def _nsb_moments(a: Abundances, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the first two posterior moments of H for each Dirichlet(β) prior."""
    k = _states(a)
    total = a.n + k * beta
    alpha = np.append(a.r, 0.0)[:, None] + beta  # the last row stands for the states never seen
    many = np.append(a.f, k - a.observed)[:, None]
    first = special.digamma(total + 1) - (many * alpha * special.digamma(alpha + 1)).sum(0) / total
    u = special.digamma(alpha + 1) - special.digamma(total + 2)
    trigamma = special.polygamma(1, total + 2)
    cross = (many * alpha * u).sum(0) ** 2 - (many * (alpha * u) ** 2).sum(0)
    cross -= trigamma * (total**2 - (many * alpha**2).sum(0))
    v = special.digamma(alpha + 2) - special.digamma(total + 2)
    own = (many * alpha * (alpha + 1) * (v**2 + special.polygamma(1, alpha + 2) - trigamma)).sum(0)
    return first, (cross + own) / (total * (total + 1))


def nsb(a: Abundances) -> float:
    """Posterior mean of H under a mixture of Dirichlet(β) priors that is flat in the a-priori entropy."""
    if _states(a) == 1:
        return 0.0
    beta, log_weight = _nsb_grid(a)
    w = np.exp(log_weight)
    return float(w @ _nsb_moments(a, beta)[0] / w.sum())


def nsb_sd(a: Abundances) -> float:
    """Posterior standard deviation of H under the same prior."""
    if _states(a) == 1:
        return 0.0
    beta, log_weight = _nsb_grid(a)
    w = np.exp(log_weight)
    first, second = _nsb_moments(a, beta)
    mean = w @ first / w.sum()
    return math.sqrt(max(0.0, float(w @ second / w.sum() - mean**2)))


STRATEGIES: Mapping[str, EntropyStrategy] = MappingProxyType(
    {
        s.name: s
        for s in (
            EntropyStrategy("plugin", plugin, "Shannon 1948"),
            EntropyStrategy(
                "miller_madow",
                miller_madow,
                "Miller 1955, in Information Theory in Psychology",
            ),
            EntropyStrategy("jackknife", jackknife, "Zahl 1977, Ecology 58; Efron and Stein 1981"),
            EntropyStrategy("grassberger", grassberger, "Grassberger 2003, arXiv physics/0307138"),
            EntropyStrategy("chao_shen", chao_shen, "Chao and Shen 2003, Environ. Ecol. Stat. 10"),
            EntropyStrategy(
                "james_stein", james_stein, "Hausser and Strimmer 2009, arXiv 0811.3579", needs_states=True
            ),
            EntropyStrategy(
                "nsb",
                nsb,
                "Nemenman, Shafee and Bialek 2002, arXiv physics/0108025",
                needs_states=True,
                posterior_sd=nsb_sd,
            ),
            EntropyStrategy("zhang", zhang, "Zhang 2012, Neural Computation 24; Schürmann 2015"),
            EntropyStrategy("chao_wang_jost", chao_wang_jost, "Chao, Wang and Jost 2013, Methods Ecol. Evol. 4"),
        )
    }
)


def strategy(method: str | EntropyStrategy) -> EntropyStrategy:
    """Return a strategy by name (hyphens and case do not matter), or the object itself.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    """
    if isinstance(method, EntropyStrategy):
        return method
    key = str(method).lower().replace("-", "_").replace(" ", "_")
    if key not in STRATEGIES:
        raise ValueError(f"unknown method {method!r}; the discrete methods are {', '.join(STRATEGIES)}")
    return STRATEGIES[key]


def abundances(counts: Any, states: int | None, s: EntropyStrategy) -> Abundances:
    """Group counts for a strategy, and check that it knows the number of states if it must."""
    a = Abundances.of(np.asarray(counts), states)
    if s.needs_states:
        if states is None:
            raise ValueError(f"method {s.name!r} needs num_states, the number of possible states")
        if states < a.observed:
            raise ValueError(f"num_states={states} is smaller than the {int(a.observed)} states observed")
    return a
