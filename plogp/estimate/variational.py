"""Variational bounds on mutual information from a critic's scores: what is differentiated and what is reported.

A critic scores pairs, ``S[i, j] = T(x_i, y_j)``: the diagonal are samples of the joint law P, the n(n - 1) other
entries of the product law Q of the marginals. Every bound is a line or two on `Scores`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import softplus

from plogp.measures import Dissimilarity
from plogp.measures import divergence as divergence_of
from plogp.measures.divergence import Divergence

__all__ = ["KINDS", "Bound", "Scores", "bound", "bound_terms", "variance_floor"]


class Bound(NamedTuple):
    """A bound on a batch of scores: `objective` is to be maximised, `value` (no gradient) to be reported, in nats."""

    objective: Tensor
    value: Tensor


class Scores:
    """Scores under the joint and the product law, with means over both; samples may carry log weights.

    Parameters
    ----------
    S : tensor
        Scores of all pairs, shape (n, n); or those of joint samples, any shape, when `product` is given.
    product : tensor, optional
        Scores of independent pairs, any shape.
    log_weights : tensor, shape (n,), optional
        Of the rows of the batch. They make the derivative with respect to a sample's weight, its influence.
    """

    def __init__(self, S: Tensor, product: Tensor | None = None, log_weights: Tensor | None = None):
        self.matrix = S if product is None else None
        self.log_weights = log_weights
        if product is not None:
            self.joint, self.product = S.reshape(-1), product.reshape(-1)
        else:
            self.joint, self.product = S.diagonal(), _off_diagonal(S)
        self._pair_weights: Tensor | None = None
        if log_weights is not None:
            self._pair_weights = _off_diagonal(log_weights[:, None] + log_weights[None])

    def map(self, function: Callable[[Tensor], Tensor]) -> Scores:
        """Return the scores of another critic, function(T)."""
        if self.matrix is not None:
            return Scores(function(self.matrix), None, self.log_weights)
        return Scores(function(self.joint), function(self.product), self.log_weights)

    def over_joint(self, values: Tensor) -> Tensor:
        """Mean over joint samples of `values`, one a sample."""
        return values.mean() if self.log_weights is None else torch.softmax(self.log_weights, 0) @ values

    def over_product(self, values: Tensor) -> Tensor:
        """Mean over product samples."""
        if self._pair_weights is None:
            return values.mean()
        return (torch.softmax(self._pair_weights.reshape(-1), 0) * values.reshape(-1)).sum()

    def log_mean_exp(self, values: Tensor) -> Tensor:
        """Log of the mean over product samples of exp(values)."""
        if self._pair_weights is None:
            return torch.logsumexp(values.reshape(-1), 0) - math.log(values.numel())
        weights = self._pair_weights.reshape(-1)
        return torch.logsumexp(values.reshape(-1) + weights, 0) - torch.logsumexp(weights, 0)

    def all_pairs(self, kind: str) -> Tensor:
        """The (n, n) matrix, or a ValueError where there is none."""
        if self.matrix is None:
            raise ValueError(f"kind {kind!r} compares each pair with all others: it needs the (n, n) scores S alone")
        return self.matrix


def _off_diagonal(S: Tensor) -> Tensor:
    """The n(n - 1) entries off the diagonal, as a view of shape (n - 1, n) where the memory allows one."""
    n = len(S)
    return S.reshape(-1)[1:].reshape(n - 1, n + 1)[:, :-1]


def _edge(scores: Tensor, limit: float | None = None) -> Tensor:
    """Scores held within ±limit, with the gradient of the edge beyond it: exponentials continue as straight lines."""
    limit = {torch.float64: 150.0}.get(scores.dtype, 30.0) if limit is None else limit
    return scores + (scores.clamp(-limit, limit) - scores).detach()


@dataclass(frozen=True)
class Settings:
    """What the bounds may be told; each reads what concerns it."""

    divergence: Any = None
    tau: float = 5.0
    alpha: float = 0.5
    rate: float = 0.01
    baseline: Tensor | None = None
    state: MutableMapping[str, Any] | None = None


def _dv(s: Scores, o: Settings) -> Tensor:
    return s.over_joint(s.joint) - s.log_mean_exp(s.product)


def _mine(s: Scores, o: Settings) -> Tensor:
    log_mean = s.log_mean_exp(s.product)
    state = {} if o.state is None else o.state
    seen = log_mean.detach()
    if "log_mean" in state:
        before = state["log_mean"].to(seen)
        seen = torch.logaddexp(before + math.log1p(-o.rate), seen + math.log(o.rate))
    state["log_mean"] = seen
    # The gradient is E ∇T - E[∇T e^T]/m with m the moving average; the number is the Donsker-Varadhan bound.
    ratio = torch.exp(log_mean - seen)  # <= 1/rate, since m holds rate · mean e^T
    return s.over_joint(s.joint) - ratio + (ratio - log_mean).detach()


def _tuba(s: Scores, o: Settings) -> Tensor:
    s = _less_baseline(s, o.baseline)
    return 1.0 + s.over_joint(s.joint) - s.over_product(torch.exp(_edge(s.product, _exp_limit(s))))


def _tuba_value(s: Scores, o: Settings) -> Tensor:
    s = _less_baseline(s, o.baseline)
    return 1.0 + s.over_joint(s.joint) - torch.exp(s.log_mean_exp(s.product))


def _less_baseline(s: Scores, baseline: Tensor | None) -> Scores:
    if baseline is None:
        return s
    S = s.all_pairs("with a baseline")
    return Scores(S - _row(baseline, S)[None], None, s.log_weights)


def _row(baseline: Tensor, S: Tensor) -> Tensor:
    if baseline.numel() != S.shape[1]:
        raise ValueError(f"baseline must hold log a(y_j), {S.shape[1]} numbers, got shape {tuple(baseline.shape)}")
    return baseline.reshape(-1).to(S)


def _exp_limit(s: Scores) -> float:
    return 600.0 if s.joint.dtype == torch.float64 else 80.0


def _shifted(function: Callable[[Scores, Settings], Tensor], by: float) -> Callable[[Scores, Settings], Tensor]:
    return lambda s, o: function(s.map(lambda t: t + by), o)


def _infonce(s: Scores, o: Settings) -> Tensor:
    S = s.all_pairs("infonce")
    if s.log_weights is None:
        return s.over_joint(s.joint - torch.logsumexp(S, 1) + math.log(len(S)))
    w = s.log_weights
    return s.over_joint(s.joint - torch.logsumexp(S + w[None], 1) + torch.logsumexp(w, 0))


def _js(s: Scores, o: Settings) -> Tensor:
    return -s.over_joint(softplus(-s.joint)) - s.over_product(softplus(s.product))


def _smile_value(s: Scores, o: Settings) -> Tensor:
    return s.over_joint(s.joint) - s.log_mean_exp(s.product.clamp(-o.tau, o.tau))


def _log_sum_of_others(S: Tensor) -> Tensor:
    """Entry (k, j): log of the sum over i != k of e^{S_ij}, without cancellation where one term outweighs the rest."""
    top, place = S.max(0, keepdim=True)
    at_top = torch.zeros_like(S, dtype=torch.bool).scatter(0, place, True)
    without = torch.logsumexp(S.masked_fill(at_top, -math.inf), 0, keepdim=True)
    whole = torch.logaddexp(without, top)
    # Any term but the largest is at most half of the sum, so that taking it away is harmless.
    other = whole + torch.log1p(-torch.exp((S - whole).masked_fill(at_top, -1.0)))
    return torch.where(at_top, without, other)


def _interpolated(s: Scores, o: Settings) -> Tensor:
    S = s.all_pairs("interpolated")
    n = len(S)
    w = S.new_zeros(n) if s.log_weights is None else s.log_weights
    others = _log_sum_of_others(S + w[:, None]) - _log_sum_of_others(w[:, None])  # log m(y_j; x without x_k)
    own = S.new_zeros(n) if o.baseline is None else _row(o.baseline, S)
    share = S.new_tensor(o.alpha)
    mix = torch.logaddexp(others + torch.log(share), (own + torch.log1p(-share))[None])
    # Joint: x_k other than x_j is left out, so that x_j is among the n - 1. Product: x_j is the one left out.
    pair = torch.softmax(_off_diagonal(w[:, None] + w[None]).reshape(-1), 0)
    joint = (pair * _off_diagonal(s.joint[None] - mix).reshape(-1)).sum()
    excess = others.diagonal() - mix.diagonal()
    return 1.0 + joint - s.over_joint(torch.exp(_edge(excess, _exp_limit(s))))


def f_divergence(d: Any) -> Divergence:
    """Return the f-divergence whose conjugate bounds it from below; kl where none is given."""
    found = divergence_of("kl" if d is None else d)
    if not isinstance(found, Divergence):
        what = f"{found!r}" if isinstance(found, Dissimilarity) else f"{type(found).__name__}"
        raise TypeError(f"divergence must be an f-divergence (see plogp.divergences('f')), got {what}")
    if not math.isfinite(found.curvature):
        raise ValueError(
            f"{found!r} has a kink at 1: its slope does not tell ratios apart, so no critic can be trained"
        )
    return found


def _f(s: Scores, o: Settings) -> Tensor:
    d = f_divergence(o.divergence)
    joint, product = _edge(s.joint), _edge(s.product)
    # u = f'(e^v) runs over the whole domain of f*, and f*(f'(e^v)) is minus the slope of the reversed generator.
    cost = s.over_product(d.reversed().grad_weight(-product))
    gain = s.over_joint(d.grad_weight(joint))
    return torch.where(torch.isneginf(cost), cost, gain + cost)


class Kind(NamedTuple):
    """A bound: what is maximised, what is reported, and how the optimal critic relates to the log-ratio."""

    objective: Callable[[Scores, Settings], Tensor]
    value: Callable[[Scores, Settings], Tensor]
    #: T = log dP/dQ + offset at the optimum; None: up to a constant, or a function of x, that the batch gives.
    offset: float | None
    #: Whether the value is in expectation (for infonce at any batch size) at most the information.
    lower: bool


KINDS: dict[str, Kind] = {
    "dv": Kind(_dv, _dv, None, False),
    "mine": Kind(_mine, _dv, None, False),
    "nwj": Kind(_shifted(_tuba, -1.0), _shifted(_tuba_value, -1.0), 1.0, True),
    "tuba": Kind(_tuba, _tuba_value, 0.0, True),
    "infonce": Kind(_infonce, _infonce, None, True),
    "js": Kind(_js, _tuba_value, 0.0, True),
    "smile": Kind(_js, _smile_value, 0.0, False),
    "interpolated": Kind(_interpolated, _interpolated, None, True),
    "f": Kind(_f, _f, 0.0, False),
}


def settings(kind: str, tau: float = 5.0, alpha: float = 0.5, rate: float = 0.01, **rest: Any) -> tuple[Kind, Settings]:
    """Return a bound by name with its settings, checked."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    if not tau > 0:
        raise ValueError(f"tau must be positive, got {tau!r}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha!r}")
    if not 0 < rate <= 1:
        raise ValueError(f"rate must lie in (0, 1], got {rate!r}")
    if rest.get("divergence") is not None and kind != "f":
        raise ValueError(f"divergence= belongs to kind 'f', got kind {kind!r}")
    return KINDS[kind], Settings(tau=float(tau), alpha=float(alpha), rate=float(rate), **rest)


def _check(S: Tensor, product: Tensor | None) -> tuple[Tensor, Tensor | None]:
    for name, t in (("S", S), ("product", product)):
        if t is None:
            continue
        if not isinstance(t, Tensor) or not t.is_floating_point():
            raise TypeError(f"{name} must be a floating tensor, got {getattr(t, 'dtype', type(t).__name__)}")
        if torch.isnan(t).any():
            raise ValueError(f"{name} holds NaN: the critic diverged")
    if product is None and (S.ndim != 2 or S.shape[0] != S.shape[1] or len(S) < 2):
        raise ValueError(f"S must hold the scores of all pairs, shape (n, n) with n >= 2, got {tuple(S.shape)}")
    if S.numel() == 0 or (product is not None and product.numel() == 0):
        raise ValueError("there are no scores")
    S, product = (t.float() if t is not None and t.dtype.itemsize == 2 else t for t in (S, product))
    return S, product


def _fine(t: Tensor | None) -> Tensor | None:
    """The tensor without gradient, in float64 where the device has it."""
    return t if t is None else t.detach().to(torch.float32 if t.device.type == "mps" else torch.float64)


def bound(
    S: Tensor,
    kind: str,
    *,
    divergence: Any = None,
    tau: float = 5.0,
    alpha: float = 0.5,
    rate: float = 0.01,
    baseline: Tensor | None = None,
    product: Tensor | None = None,
    state: MutableMapping[str, Any] | None = None,
) -> Bound:
    r"""Return a variational bound on I(X; Y) from a critic's scores: the objective and the value to report.

    With E_P the mean of the diagonal, E_Q that of the other entries, and T* the optimal critic (r = dP/dQ):

    ==============  ================================================  =========================  ==============
    kind            objective                                         value                      T*
    ==============  ================================================  =========================  ==============
    "dv"            E_P T - log E_Q e^T                               the same                   log r + const
    "mine"          gradient E_P ∇T - E_Q[∇T e^T]/m, m a moving       dv                         log r + const
                    average of E_Q e^T
    "tuba"          1 + E_P[T - log a] - E_Q e^{T - log a}, a(y) > 0  the same                   log r + log a
    "nwj"           E_P T - E_Q e^{T-1}                               the same                   log r + 1
    "infonce"       E_P[T - log mean_j e^{T(x, y_j)}] <= log n        the same                   log r + c(x)
    "js"            -E_P softplus(-T) - E_Q softplus(T)               1 + E_P T - E_Q e^T        log r
    "smile"         that of "js"                                      E_P T - log E_Q            log r
                                                                      clip(e^T, e^-τ, e^τ)
    "interpolated"  from "tuba" (α = 0) to the contrastive (α = 1)    the same                   see Poole et al.
    "f"             E_P f'(e^T) - E_Q f*(f'(e^T))                     the same, <= D_f(P‖Q)      log r
    ==============  ================================================  =========================  ==============

    Only the partition term of "smile" is clipped. "smile" is no bound, and neither are "dv" and "mine" on a finite
    batch: the logarithm of a mean is too low on average, so their values are too high. The value of "js" is NWJ's
    at T + 1, for the optimal T there is log r + 1. The variances of "nwj", "js" and, for many samples, "dv" are at
    least `variance_floor`.

    For "f" the critic's number is mapped into the domain of f* by u = f'(e^T), which increases, whatever the
    divergence is (a sum, a reversed one, one of your own). Its value bounds D_f of the joint from the product law,
    which is the mutual information in nats only for "kl"; but T estimates log r for every f.

    Parameters
    ----------
    S : tensor, shape (n, n)
        Scores of all pairs, the diagonal those of joint samples. bfloat16 and float16 are computed in float32;
        values in float64. With `product`: the scores of joint samples only, of any shape.
    kind : str
    divergence : str or Divergence, optional
        For "f"; by default kl.
    tau : float
        For "smile"; infinite is "dv".
    alpha : float
        For "interpolated".
    rate : float
        For "mine": the share of a new batch in the moving average; 0.01 to 0.1 is usual.
    baseline : tensor, shape (n,), optional
        For "tuba" and "interpolated": log a(y_j); 0 by default.
    product : tensor, optional
        Scores of independent pairs, of any shape: not for "infonce", "interpolated" or a baseline.
    state : mapping, optional
        For "mine": a dictionary that lives as long as the training; it keeps the logarithm of the moving average
        under "log_mean". Without it, the gradient is that of "dv".

    Returns
    -------
    Bound
        ``(objective, value)``: maximise the first, report the second. Where exponentials overflow (T beyond 80 in
        float32) objectives go on as straight lines, so that gradients stay finite; the value is then -inf.
        For "f" the map holds T within ±30 (float32) or ±150. (Gradients that go back to float16 scores end at
        e^11, as all of float16 does.)

    Raises
    ------
    ValueError
        For an unknown kind, NaN, fewer than two samples, or settings out of range.
    TypeError
        If `S` is no floating tensor, or `divergence` no f-divergence.

    Examples
    --------
    >>> S = torch.tensor([[2.0, -1.0], [-1.0, 2.0]])
    >>> {kind: round(float(bound(S, kind).value), 3) for kind in ("dv", "nwj", "infonce", "js", "smile")}
    {'dv': 3.0, 'nwj': 1.865, 'infonce': 0.645, 'js': 2.632, 'smile': 3.0}

    References
    ----------
    Poole, Ozair, van den Oord, Alemi and Tucker (2019), arXiv 1905.06922, for the family; Belghazi et al. (2018),
    arXiv 1801.04062 ("mine"); Song and Ermon (2020), arXiv 1910.06222 ("smile"); Nguyen, Wainwright and Jordan
    (2010) and Nowozin, Cseke and Tomioka (2016), arXiv 1606.00709 ("f", "js"). The code released with the SMILE
    paper differs in two places: its JS bound takes the value of NWJ at T instead of T + 1, which is 1/e less at the
    optimum (here: train "js", report ``bound(S, "nwj").value``), and its moving average keeps only the last batch.
    """
    rest = {"divergence": divergence, "baseline": baseline, "state": state}
    how, told = settings(kind, tau, alpha, rate, **rest)
    S, product = _check(S, product)
    objective = how.objective(Scores(S, product), told)
    with torch.no_grad():
        fine = replace(told, baseline=_fine(baseline), state=None)
        value = how.value(Scores(_fine(S), _fine(product)), fine)
    return Bound(objective, value)


def bound_terms(S: Tensor, kind: str, **options: Any) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the value of a bound on all pairs of a batch, and each sample's term: their mean is the value.

    A term is the value plus n times its derivative with respect to the sample's weight (the infinitesimal
    jackknife), so that sd(terms)/√n is a standard error that counts a sample's part in the product pairs too.

    Examples
    --------
    >>> S = torch.randn(50, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> value, terms = bound_terms(S, "smile")
    >>> bool(np.isclose(terms.mean(), value)), terms.shape
    (True, (50,))
    """
    how, told = settings(kind, **options)
    S, _ = _check(S, None)
    fine = replace(told, baseline=_fine(told.baseline))
    scores = _fine(S)
    assert scores is not None
    with torch.enable_grad():
        log_weights = torch.zeros(len(S), dtype=scores.dtype, device=scores.device, requires_grad=True)
        value = how.value(Scores(scores, None, log_weights), fine)
        (slope,) = torch.autograd.grad(value, log_weights)
    terms = value.detach() + len(S) * slope
    return float(value.detach()), np.asarray(terms.cpu().numpy(), dtype=np.float64)


def variance_floor(information: Any, n: Any) -> Any:
    """Return ``(e^I - 1)/n``: the least variance of the partition term of NWJ, and of DV's for large n.

    With n product samples the optimal critic's mean ratio has variance χ²(P‖Q)/n, and χ² is at least e^I - 1. Where
    this is not small, values of "dv", "mine", "nwj" and "js" say nothing; take "smile" or "infonce".

    Parameters
    ----------
    information : float or array
        Mutual information, in nats.
    n : int or array
        Independent samples of the product law. All n(n - 1) pairs of a batch count as that many: at the optimal
        critic those that share a row are uncorrelated. (In 20 dimensions, with I = 6 and 64 rows, the floor of the
        standard deviation is 0.32; measured 0.8 to 1.5, because χ² is far above e^I - 1 there.)

    Examples
    --------
    >>> round(variance_floor(2.0, 64), 3), round(variance_floor(10.0, 64), 1)
    (0.1, 344.1)

    References
    ----------
    Song and Ermon (2020), arXiv 1910.06222.
    """
    nats, samples = np.asarray(information, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if not (nats >= 0).all():
        raise ValueError(f"information must not be negative, got {information!r}")
    if not (samples >= 1).all():
        raise ValueError(f"n must be at least 1, got {n!r}")
    with np.errstate(over="ignore"):
        out = np.expm1(nats) / samples
    return float(out) if out.ndim == 0 else out
