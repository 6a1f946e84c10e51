"""A divergence between two multinomials from their counts: value, error, bias, test and interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.counts import CountTable, whole_counts
from plogp.estimate.independence import independence_test
from plogp.estimate.laws import Boundary, Hull, chi2_sf
from plogp.measures import Dissimilarity, Divergence
from plogp.measures import divergence as divergence_of
from plogp.measures.arrays import namespace
from plogp.measures.transforms import OfDivergence
from plogp.measures.uncertainty import Estimate, IntervalLaw, Normal

__all__ = ["multinomial_divergence"]

FloatArray = npt.NDArray[np.float64]
#: Most hypergeometric draws that the permutation test of a sparse table may take.
_DRAWS = 4_000_000
#: Most states for the jackknife, whose work is quadratic in them.
_JACKKNIFE_STATES = 1000


def multinomial_divergence(
    counts_p: Any,
    counts_q: Any,
    d: str | Dissimilarity = "jeffreys",
    *,
    smoothing: float = 0.5,
    correct_bias: bool = False,
    null: bool = True,
    num_permutations: int = 999,
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    r"""Divergence D(P‖Q) between two categorical distributions from independent counts over the same states.

    With p_i = (n_i + s) / (N_p + s B) over the B states seen in either sample, s the `smoothing`, and r = p / q,

    .. math::
        \mathrm{se}^2 = \frac{\mathrm{Var}_p[f'(r)]}{N_p} + \frac{\mathrm{Var}_q[f(r) - r f'(r)]}{N_q}, \qquad
        \frac{2}{f''(1)} \frac{N_p N_q}{N_p + N_q} D \to \chi^2_{B-1} \text{ if } P = Q.

    Population stability index and information value are this function with ``d="jeffreys"``.

    Parameters
    ----------
    counts_p, counts_q : arrays of shape (B,)
        How often each state was seen in the reference and in the other sample.
    d : str or divergence
        Any f-divergence by name or object, or another measure of :func:`plogp.divergence`. For ``"kl"`` and
        others without symmetry the direction is D(P‖Q), P the reference.
    smoothing : float
        Added to every count, 0.5 being Jeffreys' prior. With 0 the value may be infinite.
    correct_bias : bool
        Return the value minus its first-order bias (it may then be negative).
    null : bool
        Test P = Q.
    num_permutations : int
        For the test where the chi-squared law does not hold.
    rng : Generator or int, optional
        For the same.

    Returns
    -------
    Estimate
        In the unit of `d`. ``diagnostics["bias"]`` is the first-order bias, ``["corrected"]`` the value without
        it. The interval inverts tests around the corrected value and is valid at P = Q (lower end 0); nominal
        95 % covered 93 to 98 % in simulations with 5 and more expected counts in each state, and 91 to 100 % with
        2 to 5 in the rarest. The p-value is
        chi-squared where every expected count is 5 or more and the divergence is smooth; else it comes from
        tables of the same margins drawn at random (``diagnostics["test"]``), valid for any counts.

    Raises
    ------
    ValueError
        If the counts differ in shape, are negative, fractional or empty, or a sample has none.

    Examples
    --------
    >>> e = multinomial_divergence([120, 210, 330, 240, 100], [200, 250, 250, 200, 100], "jeffreys")
    >>> round(e.value, 4), round(e.se, 4), e.p_value < 1e-5
    (0.0769, 0.0249, True)

    References
    ----------
    Salicrú, Menéndez, Morales and Pardo 1993 (asymptotic laws of divergence statistics); Pardo 2006.
    """
    n_p, n_q = _checked(counts_p, "counts_p"), _checked(counts_q, "counts_q")
    if n_p.shape != n_q.shape:
        raise ValueError(f"counts_p and counts_q must have one length, got {n_p.shape[0]} and {n_q.shape[0]}")
    if not (math.isfinite(smoothing) and smoothing >= 0):
        raise ValueError(f"smoothing must be a number >= 0, got {smoothing!r}")
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be at least 1, got {num_permutations}")
    dissimilarity = divergence_of(d)
    seen = n_p + n_q > 0
    n_p, n_q = n_p[seen], n_q[seen]
    states, total_p, total_q = len(n_p), int(n_p.sum()), int(n_q.sum())
    effective = total_p * total_q / (total_p + total_q)
    p, q = _smoothed(n_p, smoothing), _smoothed(n_q, smoothing)
    value = float(dissimilarity(p, q))
    unit = dissimilarity.unit
    expected = min(total_p, total_q) / (total_p + total_q) * float((n_p + n_q).min())
    facts: dict[str, Any] = {
        "states": states,
        "n_p": total_p,
        "n_q": total_q,
        "smoothing": smoothing,
        "smallest_expected": expected,
    }
    base = dissimilarity.inner if isinstance(dissimilarity, OfDivergence) else dissimilarity
    smooth = isinstance(base, Divergence) and 0 < base.curvature < math.inf
    generator = np.random.default_rng(rng)
    rate, inner = (2 * effective / base.curvature, float(base(p, q))) if smooth else (math.inf, value)
    p_value, null_mean = None, None
    if null:
        statistic = rate * inner if smooth and expected >= 5 else None
        p_value, facts["test"], null_mean = _test(
            base, n_p, n_q, inner, smoothing, statistic, num_permutations, generator
        )
        facts["null"] = "the two distributions are equal"
    se: float | None = None
    law: IntervalLaw | None = None
    bias = 0.0
    if math.isinf(value):
        facts["no_interval"] = "the value is infinite: a state of P was not seen in Q; use smoothing"
    elif smooth:
        se = _delta_error(base, p, q, total_p, total_q)
        corrected = inner - _bias(base, p, q, total_p, total_q, smoothing)
        centres = [corrected]
        if states <= _JACKKNIFE_STATES:
            centres.append(_jackknife(base, n_p, n_q, smoothing)[0])
        if null_mean is not None:
            centres.append(inner - null_mean)
        law = Hull(tuple(Boundary(c, rate, max(states - 1, 1), se) for c in centres))
        facts["interval"] = "test inversion about several corrections of the bias"
        if isinstance(dissimilarity, OfDivergence):
            law = _Mapped(dissimilarity, law)
            low, high = law(0.6826894921370859)  # half of the interval of one standard error
            se, corrected = (high - low) / 2, _outer(dissimilarity, corrected)
        bias = value - corrected
    else:
        corrected, se = _jackknife(dissimilarity, n_p, n_q, smoothing)
        bias = value - corrected
        law = _Path(dissimilarity, n_p, n_q, smoothing, value, se, int(generator.integers(2**63)))
        facts["interval"] = "test inversion by simulation between the pooled and the observed distributions"
    facts |= {"bias": bias, "corrected": value - bias, "df": states - 1}
    return Estimate(
        value - bias if correct_bias else value,
        se,
        total_p + total_q,
        f"multinomial({dissimilarity.name}, smoothing={smoothing:g})",
        unit,
        law=law,
        p_value=p_value,
        diagnostics=facts,
    )


def _checked(counts: Any, name: str) -> FloatArray:
    x = whole_counts(counts, name)
    if x.ndim != 1:
        raise ValueError(f"{name} must have one axis (states), got shape {x.shape}")
    return x.astype(np.float64)


def _smoothed(counts: FloatArray, smoothing: float) -> FloatArray:
    return (counts + smoothing) / (counts.sum(axis=-1, keepdims=True) + smoothing * counts.shape[-1])


def _gradients(d: Divergence, p: FloatArray, q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return f'(r) and f(r) - r f'(r), the derivatives of D by p and by q, where both have mass."""
    log_ratio = np.log(p) - np.log(q)
    g = np.asarray(d.grad_weight(log_ratio), np.float64)
    h = np.asarray(d.pointwise(log_ratio), np.float64) - np.exp(log_ratio) * g
    return g, h


def _delta_error(d: Divergence, p: FloatArray, q: FloatArray, total_p: int, total_q: int) -> float:
    both = (p > 0) & (q > 0)
    g, h = np.zeros_like(p), np.zeros_like(q)
    g[both], h[both] = _gradients(d, p[both], q[both])
    # States without mass on one side (smoothing 0): the one-sided derivatives f'(inf) and f(0).
    g[(p > 0) & (q == 0)] = d.finf
    h[(p == 0) & (q > 0)] = d.f0
    variance_p = float(p @ g**2) - float(p @ g) ** 2
    variance_q = float(q @ h**2) - float(q @ h) ** 2
    return math.sqrt(max(variance_p, 0.0) / total_p + max(variance_q, 0.0) / total_q)


def _bias(d: Divergence, p: FloatArray, q: FloatArray, total_p: int, total_q: int, smoothing: float) -> float:
    """First-order bias: of the curvature, half the trace of the Hessian with the covariance, and of the smoothing.

    The Hessian is D_pp = f''(r) / q, D_qq = r² f''(r) / q; at P = Q and without smoothing this is
    f''(1) / 2 · (B - 1) (1 / N_p + 1 / N_q). Smoothing moves p_i by s (1 - B p_i) / N_p on average. States of
    one side only (smoothing 0) are left out: their derivatives do not exist.
    """
    both = (p > 0) & (q > 0)
    p, q, states = p[both], q[both], len(p)
    r = p / q
    bend = np.asarray(d.d2f(r), np.float64)
    g, h = _gradients(d, p, q)
    in_p = 0.5 * bend * r * (1 - p) + smoothing * g * (1 - states * p)
    in_q = 0.5 * bend * r**2 * (1 - q) + smoothing * h * (1 - states * q)
    return float(in_p.sum()) / total_p + float(in_q.sum()) / total_q


@dataclass(frozen=True)
class _Mapped:
    """The interval of an increasing function of a divergence."""

    outer: OfDivergence
    law: IntervalLaw

    def __call__(self, level: float) -> tuple[float, float]:
        low, high = self.law(level)
        return _outer(self.outer, low), _outer(self.outer, high)


def _outer(d: OfDivergence, value: float) -> float:
    """Return the outer function at a value of the inner divergence, held to where it is defined."""
    top = d.inner.upper_bound
    return float(d._finish(namespace(np.empty(0)), np.asarray(min(max(value, 0.0), top))))


@dataclass(frozen=True, eq=False)
class _Path:
    """Interval by inverting simulated tests along P_t = M + t (P - M), Q_t = M + t (Q - M), M the pooled law.

    For functionals with kinks no expansion holds at P = Q. The ends are the D(P_t, Q_t) whose simulated
    statistic lies above (below) the observed one with probability (1 - level) / 2. The upper end is at least
    that of the normal interval about the plain value: kinks bias the value upwards, and states that differ
    little by chance make the path too steep.
    """

    d: Dissimilarity
    n_p: FloatArray
    n_q: FloatArray
    smoothing: float
    value: float
    se: float
    seed: int

    def __call__(self, level: float) -> tuple[float, float]:
        rng, tail = np.random.default_rng(self.seed), (1 - level) / 2
        draws = math.ceil(max(400, 20 / tail))
        total_p, total_q = int(self.n_p.sum()), int(self.n_q.sum())
        p, q = self.n_p / total_p, self.n_q / total_q
        pooled = (self.n_p + self.n_q) / (total_p + total_q)
        steps = np.concatenate([np.linspace(0, 2, 17), [2.5, 3.0, 4.0]])
        truth, low, high = np.empty(len(steps)), np.empty(len(steps)), np.empty(len(steps))
        for i, t in enumerate(steps):
            p_t, q_t = _clipped(pooled + t * (p - pooled)), _clipped(pooled + t * (q - pooled))
            truth[i] = float(self.d(p_t, q_t))
            a = rng.multinomial(total_p, p_t, size=draws).astype(np.float64)
            b = rng.multinomial(total_q, q_t, size=draws).astype(np.float64)
            values = np.asarray(self.d(_smoothed(a, self.smoothing), _smoothed(b, self.smoothing)), np.float64)
            low[i], high[i] = np.quantile(values, [tail, 1 - tail])
        low, high, truth = (np.maximum.accumulate(v) for v in (low, high, truth))
        observed = self.value
        start = 0.0 if observed <= high[0] else float(np.interp(observed, high, truth))
        end = truth[-1] if observed >= low[-1] else float(np.interp(max(observed, low[0]), low, truth))
        end = max(end, start, Normal(observed, self.se)(level)[1])
        return start, min(end, self.d.upper_bound)


def _clipped(p: FloatArray) -> FloatArray:
    p = np.maximum(p, 0.0)
    return p / p.sum()


def _jackknife(d: Dissimilarity, n_p: FloatArray, n_q: FloatArray, smoothing: float) -> tuple[float, float]:
    """Return the two-sample jackknife's corrected value and standard error; states are left out by their counts."""
    value = float(d(_smoothed(n_p, smoothing), _smoothed(n_q, smoothing)))
    corrected, variance = value, 0.0
    for counts, first in ((n_p, True), (n_q, False)):
        total = counts.sum()
        if total < 2:
            continue
        some = np.flatnonzero(counts)
        left_out = np.repeat(counts[None, :], len(some), axis=0)
        left_out[np.arange(len(some)), some] -= 1
        changed = _smoothed(left_out, smoothing)
        other = _smoothed(n_q if first else n_p, smoothing)
        pair = (changed, np.broadcast_to(other, changed.shape))
        values = np.asarray(d(*(pair if first else pair[::-1])), np.float64)
        weights = counts[some] / total
        mean = float(weights @ values)
        corrected += (total - 1) * (value - mean)
        variance += (total - 1) * float(weights @ (values - mean) ** 2)
    return corrected, math.sqrt(variance)


def _test(
    d: Dissimilarity,
    n_p: FloatArray,
    n_q: FloatArray,
    value: float,
    smoothing: float,
    statistic: float | None,
    num_permutations: int,
    rng: np.random.Generator,
) -> tuple[float, str, float | None]:
    """Return the p-value of P = Q, the name of the test, and the mean of the value under P = Q where drawn."""
    states = len(n_p)
    if states == 1:
        return 1.0, "no freedom: one state", None
    if statistic is not None:
        return chi2_sf(statistic, states - 1), "chi-squared", None
    draws = min(num_permutations, _DRAWS // states)
    if draws < 99:
        test = independence_test(CountTable.from_counts(np.stack([n_p, n_q])), (0,), (1,))
        return test.p_value, test.name, None
    pooled = (n_p + n_q).astype(np.int64)
    drawn = rng.multivariate_hypergeometric(pooled, int(n_p.sum()), size=draws).astype(np.float64)
    at_random = np.asarray(d(_smoothed(drawn, smoothing), _smoothed(pooled - drawn, smoothing)), np.float64)
    # Equal tables may differ in the last bits; an infinite value is as large as any other infinite one.
    slack = 1e-12 * max(1.0, abs(value)) if math.isfinite(value) else 0.0
    as_large = int(np.count_nonzero(at_random >= value - slack))
    mean = float(at_random.mean())
    return (1 + as_large) / (1 + draws), f"permutation ({draws} draws)", mean if math.isfinite(mean) else None
