"""The decompression law: how many nats of evidence an answer needs, and whether to give it or to refuse.

A prompt's evidence is permuted (or masked) m times; S_k is the model's law of the answer under each, S̄ their mean,
P the law with the evidence as it stands. By convexity and data processing, for every event A,

    Δ = E_k KL(P‖S_k) >= KL(P‖S̄) >= kl(P(A)‖S̄(A)),

so a budget of Δ nats cannot lift the probability of A from q̄ above ``p_max(Δ, q̄)``. That is a necessary condition:
1 - p_max bounds the risk from BELOW, and ISR >= 1 says that a right answer is affordable, not that it is right.
`calibrate` turns the rule into one with a guarantee, on labelled answers.

Source: L. Chlon, A. Karim and M. Chlon, 2025, arXiv 2509.11208 (Predictable Compression Failures).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.probes import Wilson
from plogp.estimate.samples import as_array
from plogp.measures import Estimate
from plogp.measures.arrays import floats, logsumexp
from plogp.measures.bernoulli import bernoulli_kl, bernoulli_kl_inverse
from plogp.text.evaluation import BinomialBounds
from plogp.text.evidence import (
    PermutationMixture,
    banded_permutations,
    js_certificate,
    permutation_mixture,
    skeletons,
)

__all__ = [
    "Audit",
    "Calibration",
    "PermutationMixture",
    "Plan",
    "audit",
    "b2t",
    "banded_permutations",
    "calibrate",
    "dispersion_bound",
    "jensen_gap",
    "js_certificate",
    "order_penalty",
    "p_max",
    "permutation_mixture",
    "plan",
    "skeletons",
]

Floats = npt.NDArray[np.float64]
CLIPS = ("symmetric", "one-sided", "min")


def p_max(delta: Any, q: Any) -> Any:
    """Return sup{p >= q: kl(p‖q) <= delta}: the highest probability that `delta` nats can buy. Negative ones buy none.

    >>> p_max([0.5, 1.0, 2.0, 3.0], 0.1).round(3)
    array([0.495, 0.689, 0.951, 1.   ])
    """
    return bernoulli_kl_inverse(q, np.maximum(np.asarray(delta, np.float64), 0.0), "upper")


def b2t(h: Any, q: Any) -> Any:
    """Return the bits to trust kl(1 - h‖q), in nats: what reliability 1 - h costs from a prior q.

    0 where q already is at least 1 - h: the formula is positive there, but no evidence is needed.

    >>> b2t(0.05, [0.02, 0.10, 0.30, 0.99]).round(3)
    array([3.519, 1.994, 0.963, 0.   ])
    """
    h, q = np.asarray(h, np.float64), np.asarray(q, np.float64)
    cost = np.where(q >= 1 - h, 0.0, bernoulli_kl(1 - h, q))
    return float(cost) if cost.ndim == 0 else cost


@dataclass(frozen=True, eq=False)
class Plan:
    """What `plan` returns: numbers for one question, arrays for a batch.

    Attributes
    ----------
    delta : float or array
        Budget Δ, in nats.
    q_bar, q_lo : float or array
        Mean and (floored) smallest prior probability of the event.
    b2t : float or array
        Bits to trust, in nats.
    isr : float or array
        Information sufficiency ratio Δ/B2T. Where B2T is 0: inf for Δ > 0, 1 for Δ = 0, -inf for Δ < 0.
    roh : float or array
        1 - p_max(Δ, q_bar): the least risk of a wrong answer that the budget allows.
    answer : bool or array of bool
        Δ >= B2T + margin; with margin 0, ISR >= 1.
    margin : float
        In nats.
    """

    delta: Any
    q_bar: Any
    q_lo: Any
    b2t: Any
    isr: Any
    roh: Any
    answer: Any
    margin: float = 0.0

    @property
    def slack(self) -> Any:
        """Δ - B2T, in nats: what the margin is compared with."""
        return self.delta - self.b2t

    def with_margin(self, margin: float) -> Plan:
        """Return the plan with another margin."""
        answer = np.asarray(self.slack) >= margin
        return replace(self, answer=bool(answer) if answer.ndim == 0 else answer, margin=float(margin))


def plan(
    logP: Any,
    logS: Any,
    q: Any,
    h: float = 0.05,
    *,
    clip: float = 6.0,
    clip_mode: str = "symmetric",
    q_floor: float = 0.0,
    margin: float = 0.0,
) -> Plan:
    r"""Decide whether the evidence buys an answer of reliability 1 - h.

    .. math:: Δ = \frac1m \sum_k \mathrm{clip}\big(\log P(y) - \log S_k(y)\big), \quad
              \mathrm{ISR} = \frac{Δ}{kl(1-h‖\min_k q_k)}, \quad \mathrm{RoH} = 1 - p_{max}(Δ, \bar q)

    Parameters
    ----------
    logP : float or array, shape (...)
        Log-probability (nats) of the answer y with the evidence.
    logS : array, shape (..., m)
        Of the same y under the m permutations or skeletons.
    q : array, shape (..., m)
        The event's probability under each.
    h : float
        Target rate of wrong answers, in (0, 1).
    clip : float
        Bound B of each difference, in nats; inf for none.
    clip_mode : {"symmetric", "one-sided", "min"}
        To [-B, B] (the paper, B = 6); to [0, B] (the authors' toolkit, B = 12; its mean is pushed up by noise); to at
        most B, the only one that is a lower bound of Δ in expectation.
    q_floor : float
        Least value of q_lo. Where q is a share of n samples, 1/(n + 2); 0 samples of n are no proof of q = 0.
    margin : float
        Nats of Δ required beyond B2T; see `calibrate`.

    Raises
    ------
    ValueError
        For NaN, log-probabilities above 0, q outside [0, 1], shapes that do not match, or an unknown option.

    Examples
    --------
    >>> p = plan(-0.1, [-2.0, -2.2, -2.1], [0.10, 0.12, 0.11])
    >>> round(p.delta, 3), round(p.b2t, 3), p.answer
    (2.0, 1.994, True)
    """
    if not 0 < h < 1:
        raise ValueError(f"h must lie strictly between 0 and 1, got {h!r}")
    if clip_mode not in CLIPS:
        raise ValueError(f"clip_mode must be one of {', '.join(map(repr, CLIPS))}, got {clip_mode!r}")
    if not clip > 0:
        raise ValueError(f"clip must be positive, got {clip!r}")
    if not 0 <= q_floor < 1:
        raise ValueError(f"q_floor must lie in [0, 1), got {q_floor!r}")
    given = logP.detach() if hasattr(logP, "detach") else logP
    answer_log = np.asarray(as_array(given, "logP") if np.ndim(given) else float(given), np.float64)
    prior_log, prior = _rows(logS, "logS"), _rows(q, "q")
    if prior.shape != prior_log.shape or answer_log.shape != prior_log.shape[:-1]:
        raise ValueError(
            f"logP {answer_log.shape}, logS {prior_log.shape} and q {prior.shape} do not match; expected shapes (...), "
            "(..., m) and (..., m)"
        )
    for name, x in (("logP", answer_log), ("logS", prior_log)):
        if not (x <= 0).all():
            raise ValueError(f"{name} must be log-probabilities, at most 0 and without NaN")
    if np.isneginf(answer_log).any():
        raise ValueError("logP is -inf: the answer cannot have come from a model that gives it probability 0")
    if not ((prior >= 0) & (prior <= 1)).all():
        raise ValueError("q must hold probabilities in [0, 1], without NaN")
    low = {"symmetric": -clip, "one-sided": 0.0, "min": -math.inf}[clip_mode]
    delta = np.clip(answer_log[..., None] - prior_log, low, clip).mean(-1)
    q_lo = np.maximum(prior.min(-1), q_floor)
    q_bar = np.maximum(prior.mean(-1), q_floor)
    need = np.asarray(b2t(h, q_lo))
    free = np.where(delta > 0, math.inf, np.where(delta < 0, -math.inf, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(need > 0, delta / need, free)
    risk = 1.0 - np.asarray(p_max(delta, q_bar))
    found = {"delta": delta, "q_bar": q_bar, "q_lo": q_lo, "b2t": need, "isr": ratio, "roh": risk}
    found["answer"] = delta >= need + margin
    return Plan(**{name: _number(x) for name, x in found.items()}, margin=float(margin))


def _rows(x: Any, name: str) -> Floats:
    array = np.asarray(as_array(x, name), np.float64)
    if array.shape[-1] == 0:
        raise ValueError(f"{name} holds no permutation; expected shape (..., m) with m >= 1")
    return array


def _number(x: Any) -> Any:
    return x.item() if np.ndim(x) == 0 else x


def jensen_gap(logS: Any) -> Any:
    """Return E_k[-log S_k(y)] + log E_k S_k(y) >= 0, in nats: what averaging over the orders saves. logS: (..., m).

    >>> round(jensen_gap(np.log([0.5, 0.1])), 4)
    0.2939
    """
    xp, (x,), _ = floats(logS=logS)
    gap = logsumexp(x, axis=-1) - math.log(x.shape[-1]) - xp.mean(x, axis=-1)
    gap = xp.clip(gap, min=0.0)
    return float(gap) if isinstance(gap, np.generic) or (isinstance(gap, np.ndarray) and gap.ndim == 0) else gap


def dispersion_bound(C: float, n: int, alpha: float = 1.0, *, by: str = "distance") -> float:
    r"""Bound E|q_π - q̄| over random orders of n chunks, if a step from rank r to r + 1 moves the logit by <= C r^-α.

    .. math:: \frac C4\, E\Big[\sum_{r=1}^{|U-V|} r^{-α}\Big] \quad (\text{distance}), \qquad
              \frac C4\, E\Big[\sum_{r=\min(U,V)}^{\max(U,V)-1} r^{-α}\Big] \quad (\text{rank})

    U, V uniform on 1..n; C/4 is for content weights that sum to 1 (the logistic has slope 1/4 at most). Both are
    evaluated exactly. "distance" is the paper's, C/4·E[H_|U-V|] at α = 1, which grows as log n. The same assumption
    gives "rank", which is sharper: at α = 1 it is C/4·(n - 1)/n and stays bounded, so growth as log n is no
    consequence of a step bound that falls with the rank. The closed form H_n - 3/2 in the paper is below
    E[H_|U-V|] at every n (0.783 against 1.140 at n = 5), no valid bound.

    Raises
    ------
    ValueError
        For C < 0, n < 1, or an unknown `by`.

    Examples
    --------
    >>> round(4 * dispersion_bound(1.0, 5), 3), round(4 * dispersion_bound(1.0, 5, by="rank"), 3)
    (1.14, 0.8)
    """
    if by not in ("distance", "rank"):
        raise ValueError(f"by must be 'distance' or 'rank', got {by!r}")
    if not (C >= 0 and math.isfinite(C)):
        raise ValueError(f"C must be a finite number of at least 0, got {C!r}")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n!r}")
    r = np.arange(1, n, dtype=np.float64)
    step = r**-alpha
    if by == "distance":  # P(|U - V| = r) = 2 (n - r) / n²
        return float(C / 4 * (2 * (n - r) / n**2 * np.cumsum(step)).sum())
    return float(C / 4 * (2 * r * (n - r) / n**2 * step).sum())  # P(min <= r < max) = 2 r (n - r) / n²


def order_penalty(logits: Any) -> Any:
    r"""Return :math:`E_{k,l}(\ell_k - \ell_l)^2`, twice the variance of the event's logit over orders; (..., m).

    Times λ, a regulariser against sensitivity to the order; differentiable for tensors.

    >>> float(order_penalty([0.0, 2.0]))
    2.0
    """
    xp, (x,), _ = floats(logits=logits)
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    return 2.0 * xp.mean(centred * centred, axis=-1)


@dataclass(frozen=True, eq=False)
class Audit:
    """What happened to the questions that a rule answered: two shares with Wilson's interval."""

    answer_rate: Estimate
    error_rate: Estimate | None
    errors: int
    answered: int
    n: int


def audit(plans: Plan | Sequence[Plan], wrong: Any) -> Audit:
    """Compare decisions with outcomes.

    Parameters
    ----------
    plans : Plan or sequence of Plan
        One batched plan, or one for each question.
    wrong : array of bool, shape (n,)
        Whether the answer is (or would have been) wrong; read only where the rule answers.

    Returns
    -------
    Audit
        `error_rate` is None where nothing was answered.

    Examples
    --------
    >>> p = plan(np.full(4, -0.1), np.full((4, 2), -3.0), np.full((4, 2), 0.3))
    >>> audit(p, [False, False, True, False]).error_rate.value
    0.25
    """
    answered, _, bad = _outcomes(plans, wrong)
    n, k = len(answered), int(answered.sum())
    errors = int((bad & answered).sum())
    error_rate = _share(errors, k, "share of wrong answers") if k else None
    return Audit(_share(k, n, "share answered"), error_rate, errors, k, n)


def _share(k: int, n: int, what: str) -> Estimate:
    p = k / n
    return Estimate(p, math.sqrt(p * (1 - p) / n), n, what, "", law=Wilson(p, n))


def _outcomes(plans: Plan | Sequence[Plan], wrong: Any) -> tuple[npt.NDArray[np.bool_], Floats, npt.NDArray[np.bool_]]:
    several = [plans] if isinstance(plans, Plan) else list(plans)
    if not several:
        raise ValueError("plans is empty; expected at least one")
    answered = np.concatenate([np.atleast_1d(p.answer) for p in several]).astype(bool)
    slack = np.concatenate([np.atleast_1d(p.slack) for p in several]).astype(np.float64)
    bad = np.asarray(wrong)
    if bad.shape != answered.shape or not np.isin(bad, (0, 1)).all():
        raise ValueError(f"wrong must hold True or False for each of the {len(answered)} plans, got shape {bad.shape}")
    return answered, slack, bad.astype(bool)


@dataclass(frozen=True, eq=False)
class Calibration:
    """The margin that `calibrate` found, in nats (inf: refuse everything), and the audit of the calibration set."""

    margin: float
    h: float
    level: float
    answered: int
    errors: int


def calibrate(
    plans: Plan | Sequence[Plan],
    wrong: Any,
    h: float = 0.05,
    *,
    level: float = 0.95,
    margins: Any = None,
    starts: int = 5,
) -> Calibration:
    """Return the smallest margin at which, with confidence `level`, at most a share h of the answers is wrong.

    Margins are tested from stricter to looser, each by the exact binomial (Clopper-Pearson) limit of its error rate,
    up to the first failure; from several starting points, which share the allowed chance of error equally, so that an
    unlucky early mistake does not end the search. Testing in an order fixed beforehand needs no further correction:
    for exchangeable questions the chance that the returned margin has an error rate above h is at most 1 - level,
    whatever the model and however wrong its probabilities. A margin that answers fewer than
    log((1 - level)/starts)/log(1 - h) questions (90 at 5 %, 95 % and 5 starts) cannot pass. The margin may be negative:
    then the model is better than its budget promises.

    Parameters
    ----------
    plans : Plan or sequence of Plan
        On labelled questions that are not used for the evaluation.
    wrong : array of bool, shape (n,)
        Whether the answer of each is wrong.
    h : float
        Largest share of wrong answers among those given.
    level : float
        Confidence.
    margins : array, optional
        The margins to test, chosen without looking at `wrong`; by default the slacks Δ - B2T that answer 1/40, 2/40,
        ... of the questions, and 0. (They depend on the questions but not on the labels.)
    starts : int
        Starting points, evenly spaced over the margins.

    Returns
    -------
    Calibration
        With margin inf where none passes: then refuse.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> budget = rng.uniform(0, 6, 2000)
    >>> p = plan(np.full(2000, -0.01), -0.01 - budget[:, None], np.full((2000, 1), 0.1))
    >>> wrong = rng.random(2000) < np.exp(-budget)
    >>> found = calibrate(p, wrong, 0.1)
    >>> bool(audit(p.with_margin(found.margin), wrong).error_rate.value <= 0.1)
    True

    References
    ----------
    A. Angelopoulos, S. Bates, E. Candès, M. Jordan and L. Lei, Learn then Test, arXiv 2110.01052 (fixed-sequence
    testing).
    """
    if not (0 < h < 1 and 0 < level < 1):
        raise ValueError(f"h and level must lie strictly between 0 and 1, got {h!r} and {level!r}")
    if starts < 1:
        raise ValueError(f"starts must be at least 1, got {starts!r}")
    _, slack, bad = _outcomes(plans, wrong)
    if margins is None:
        margins = np.append(np.quantile(slack, 1 - np.arange(1, 41) / 40, method="lower"), 0.0)
    error = (1 - level) / starts
    grid = np.unique(np.asarray(margins, np.float64))[::-1]
    least = math.log(error) / math.log(1 - h)
    grid = grid[[int((slack >= margin).sum()) >= least for margin in grid]]
    passed = Calibration(math.inf, h, level, 0, 0)
    for start in np.unique(np.linspace(0, len(grid), starts, endpoint=False).astype(int)):
        for margin in grid[start:]:
            given = slack >= margin
            n, errors = int(given.sum()), int((bad & given).sum())
            limit = BinomialBounds(errors, n)(1 - 2 * error)[1]  # one-sided
            if limit > h:
                break
            if margin < passed.margin:
                passed = Calibration(float(margin), h, level, n, errors)
    return passed
