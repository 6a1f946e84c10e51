"""AdaDec: pause where the next-token entropy is high, look ahead along the likeliest tokens, and rerank them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from plogp.decode.controllers import Controller, Decoding, Floats, Ints, Stop, edited, ends, normalized, steps
from plogp.decode.generation import prompt_tokens
from plogp.estimate.roc import auc
from plogp.measures import entropy_from_logits
from plogp.measures.uncertainty import Estimate
from plogp.trace.predictors import session
from plogp.trace.tracing import as_predictor

Bools = npt.NDArray[np.bool_]

__all__ = ["PUBLISHED_THRESHOLDS", "LookaheadRerank", "ThresholdReport", "learn_entropy_threshold"]

#: Learned thresholds in nats that the authors publish with their code, by model.
PUBLISHED_THRESHOLDS = {
    "deepseek-coder-1.3b": 0.985025,
    "deepseek-coder-6.7b": 1.133754,
    "stable-code-3b": 1.100469,
    "qwen3-0.6b": 1.321288,
    "qwen3-1.7b": 0.615292,
    "qwen3-4b": 0.713369,
    "qwen3-8b": 0.705955,
}


@dataclass(frozen=True)
class _Beam:
    ids: Ints
    score: float
    logprobs: tuple[float, ...] = ()
    done: bool = False


@dataclass
class LookaheadRerank(Controller):
    r"""Greedy decoding (or beam search) that pauses at uncertain steps and reranks the top tokens by a short rollout.

    With H the entropy of the whole untempered next-token law: where H < τ an ordinary greedy step. Else, for each of
    the `branch` likeliest tokens v, a greedy rollout of at most `depth` tokens with log-probability
    :math:`\ell(v)` and actual length l, and the step takes the token of the largest

    .. math:: score(v) = history + \lambda\,\frac{\log p(v) + \ell(v)}{l + 1}

    The mean over l + 1 tokens does not punish a rollout that ends early. ``beams=1`` is the published setting; with
    more, the rollouts are beam searches of the same width, whose best score and longest length are used, and
    `history` is a beam's running score, in which paused steps enter by their mean.

    Parameters
    ----------
    predictor : Predictor, transformers model, name or None
        None is the embedded model; `as_custom_generate` sets it.
    tau : float, str or Trace
        Threshold in nats: a number (``inf`` is greedy, ``-inf`` looks ahead at every step), the name of a model in
        `PUBLISHED_THRESHOLDS`, or a trace of reference texts from which `learn_entropy_threshold` learns it.
    branch, depth : int
        Candidates, and longest rollout.
    weight : float
        λ.
    beams : int
    stop : callable, optional
        ``stop(new_ids) -> bool`` ends the text and any rollout (the end of a block of code, say).

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> chain = MarkovLM([[0.0, 0.6, 0.4], [0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    >>> LookaheadRerank(chain, tau=math.inf).decode([0], 4).ids
    array([1, 0, 1, 0])
    >>> LookaheadRerank(chain, tau=0.6, branch=2, depth=3).decode([0], 4).ids
    array([2, 2, 2, 2])

    References
    ----------
    K. He et al. 2025, arXiv:2506.08980; the authors' generator (SYSUSELab/AdaDec) was run beside this one.
    """

    predictor: Any = None
    tau: Any = 1.0
    branch: int = 3
    depth: int = 5
    weight: float = 1.0
    beams: int = 1
    stop: Stop | None = None

    def __post_init__(self) -> None:
        if isinstance(self.tau, str):
            if self.tau not in PUBLISHED_THRESHOLDS:
                raise ValueError(
                    f"tau must be a number, a trace or one of {', '.join(PUBLISHED_THRESHOLDS)}, got {self.tau!r}: "
                    "learn it for your model with learn_entropy_threshold(trace)"
                )
            self.tau = PUBLISHED_THRESHOLDS[self.tau]
        elif hasattr(self.tau, "entropy"):
            self.tau = learn_entropy_threshold(self.tau)[0]
        self.tau = float(self.tau)
        if math.isnan(self.tau):
            raise ValueError("tau must be a number of nats, got NaN")
        if self.branch < 1 or self.beams < 1 or self.depth < 0:
            raise ValueError(
                f"branch and beams must be >= 1 and depth >= 0, got branch={self.branch}, beams={self.beams}, "
                f"depth={self.depth}"
            )
        if self.branch < self.beams:
            raise ValueError(f"branch must be at least beams, got branch={self.branch}, beams={self.beams}")

    def decode(
        self,
        prompt_ids: Any,
        max_new_tokens: int = 50,
        *,
        rng: Any = None,
        eos: Any = None,
        stop: Stop | None = None,
        sampler: Any = None,
        progress: bool = False,
    ) -> Decoding:
        """Decode after a prompt.

        Parameters
        ----------
        prompt_ids : array of int, shape (n,), or str
        max_new_tokens : int
        rng : object
            Accepted as by every controller; nothing is drawn here.
        eos : int or collection of int, optional
        stop : callable, optional
            Beside the controller's own.
        sampler : Sampler, optional
            Edits the logits before entropy and choice, and so the log-probabilities; stateless ones only.
        progress : bool

        Returns
        -------
        Decoding
            report: ``pauses`` (steps that looked ahead), ``steps``, ``calls`` (laws evaluated, rollouts included),
            ``entropy`` (of every step of every beam, in order), ``score`` (of the best beam).

        Raises
        ------
        ValueError
            For ids outside the vocabulary, NaN logits, or a sampler with state.
        """
        predictor = as_predictor(self.predictor)
        run = _Run(self, predictor, prompt_ids, ends(predictor, eos), (self.stop, stop), sampler)
        beams, pauses, taken = [_Beam(np.empty(0, np.int64), 0.0)], 0, 0
        for _ in steps(max_new_tokens, progress, "looking ahead"):
            candidates: list[_Beam] = []
            for beam in beams:
                if beam.done:
                    candidates.append(beam)
                    continue
                logp = run.law(beam.ids)
                h = float(entropy_from_logits(logp))
                taken += 1
                run.entropy.append(h)
                if h < self.tau:
                    candidates += run.children(beam, logp, self.beams)
                else:
                    pauses += 1
                    candidates += sorted(run.ahead(beam, logp), key=lambda b: -b.score)[: self.beams]
            beams = sorted(candidates, key=lambda b: -b.score)[: self.beams]
            if all(b.done for b in beams):
                break
        best = max(beams, key=lambda b: b.score)
        report: dict[str, Any] = {"pauses": pauses, "steps": taken, "calls": run.calls, "score": best.score}
        report["entropy"] = np.array(run.entropy)
        return Decoding(best.ids, np.array(best.logprobs), report)


class _Run:
    """One decode: reads laws at any continuation through a session that is rewound."""

    def __init__(
        self,
        how: LookaheadRerank,
        predictor: Any,
        prompt_ids: Any,
        eos: frozenset[int],
        stops: tuple[Stop | None, ...],
        sampler: Any,
    ) -> None:
        self.how, self.prompt, self.eos, self.sampler = how, prompt_tokens(predictor, prompt_ids), eos, sampler
        self.stops = [s for s in stops if s is not None]
        self.session, self.at = session(predictor, self.prompt), np.empty(0, np.int64)
        self.calls, self.entropy = 0, list[float]()

    def law(self, new: Ints) -> Floats:
        """Log-probabilities after prompt + new."""
        shared = 0
        while shared < min(len(new), len(self.at)) and new[shared] == self.at[shared]:
            shared += 1
        if shared < len(self.at):
            self.session.rewind(len(self.at) - shared)
        if shared < len(new):
            self.session.feed(new[shared:])
        self.at = new
        self.calls += 1
        return normalized(edited(self.sampler, self.session.logits, np.concatenate([self.prompt, new])))

    def child(self, beam: _Beam, token: int, logp: Floats, score: float) -> _Beam:
        ids = np.append(beam.ids, token)
        done = token in self.eos or any(stop(ids) for stop in self.stops)
        return _Beam(ids, score, (*beam.logprobs, float(logp[token])), done)

    def children(self, beam: _Beam, logp: Floats, width: int) -> list[_Beam]:
        top = np.argsort(-logp, kind="stable")[:width]
        return [self.child(beam, int(v), logp, beam.score + float(logp[v])) for v in top if logp[v] > -math.inf]

    def ahead(self, beam: _Beam, logp: Floats) -> list[_Beam]:
        """The candidates of a paused step, scored by their rollouts."""
        out = []
        for v in np.argsort(-logp, kind="stable")[: self.how.branch]:
            if logp[v] == -math.inf:
                continue
            first = self.child(beam, int(v), logp, 0.0)
            ahead, length = self.rollout(first)
            score = beam.score + self.how.weight * (float(logp[v]) + ahead) / (length + 1)
            out.append(_Beam(first.ids, score, first.logprobs, first.done))
        return out

    def rollout(self, start: _Beam) -> tuple[float, int]:
        """Best score and longest length of a beam search of at most `depth` tokens."""
        beams, length = [start], 0
        for _ in range(self.how.depth):
            if all(b.done for b in beams):
                break
            grown = [b for b in beams if b.done]
            for b in beams:
                if not b.done:
                    grown += self.children(b, self.law(b.ids), self.how.beams)
            beams = sorted(grown, key=lambda b: -b.score)[: self.how.beams]
            length += 1
        return max(b.score for b in beams), length


@dataclass(frozen=True)
class ThresholdReport:
    """How `learn_entropy_threshold` came to its threshold.

    Attributes
    ----------
    tau : Estimate
        In nats; its standard error is the bootstrap's over tokens of the whole procedure (refitted logistic and
        cut), and holds where tokens may be taken as independent.
    intercept, slope : float
        Of P(rank 1 | H) = 1 / (1 + exp(-(intercept + slope H))).
    cut : float
        The probability at which the decision is taken.
    accuracy, auc : float
        On the held-out tokens; AUC of -H for rank 1.
    n, n_train, n_test : int
        Tokens used, in the balanced training part, and held out.
    """

    tau: Estimate
    intercept: float
    slope: float
    cut: float
    accuracy: float
    auc: float
    n: int
    n_train: int
    n_test: int


def learn_entropy_threshold(
    traces: Any, *, test_share: float = 0.2, penalty: float = 1.0, draws: int = 100, rng: Any = 42
) -> tuple[float, ThresholdReport]:
    r"""Learn from reference texts at which entropy the likeliest token stops being the right one.

    On every scored token y = 1 where its rank is 1. A logistic regression P(y | H) = σ(b + w H) is fitted to a
    training part balanced by dropping tokens of the larger class; the cut c in 0.01, ..., 0.99 of the best accuracy
    on the held-out part gives

    .. math:: \tau = \frac{\log(c / (1 - c)) - b}{w}

    One pass over the texts is enough: ``trace(model, texts)`` with the default fields.

    Parameters
    ----------
    traces : Trace or list of Trace
        With `entropy` and `rank`; or a pair ``(entropy, rank)`` of arrays.
    test_share : float
        Held-out share of the tokens.
    penalty : float
        Ridge on the slope, ½ penalty w², as scikit-learn's default (C = 1).
    draws : int
        Bootstrap draws for the standard error; 0 for none.
    rng : Generator, int or None
        Split and balance.

    Returns
    -------
    tau : float
        In nats, for `LookaheadRerank`.
    report : ThresholdReport

    Raises
    ------
    ValueError
        If one class has fewer than 2 tokens, the entropies do not separate the classes (the slope is not negative),
        or the trace has no entropy or rank.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> h = rng.exponential(1.0, 5000)
    >>> rank = np.where(rng.random(5000) < 1 / (1 + np.exp(3 * (h - 1))), 1, 2)
    >>> tau, report = learn_entropy_threshold((h, rank), rng=0)
    >>> abs(tau - 1.0) < 3 * report.tau.se, report.auc > 0.7
    (True, True)

    References
    ----------
    K. He et al. 2025, arXiv:2506.08980. On three of the entropy and rank tables that the authors publish (129,165 and
    180,879 tokens), with another split: 1.33 ± 0.05, 0.85 ± 0.06 and 1.10 ± 0.12, where they give 1.321, 0.713 and
    1.134.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must lie strictly between 0 and 1, got {test_share}")
    h, y = _pairs(traces)
    generator = np.random.default_rng(rng)
    fitted = _threshold(h, y, test_share, penalty, generator)
    if fitted["slope"] >= 0:
        raise ValueError(
            f"entropy does not separate rank-1 tokens from others here (slope {fitted['slope']:.3g} is not negative)"
        )
    again = [_threshold(h[i], y[i], test_share, penalty, generator)["tau"] for i in _resamples(y, draws, generator)]
    se = float(np.std(again, ddof=1)) if draws > 1 else None
    method = f"logistic threshold(test_share={test_share:g})"
    tau = Estimate(fitted["tau"], se, len(h), method, diagnostics={"se": f"bootstrap of tokens, {draws} draws"})
    keep = {k: fitted[k] for k in ("intercept", "slope", "cut", "accuracy", "auc")}
    return fitted["tau"], ThresholdReport(tau, **keep, n=len(h), n_train=fitted["n_train"], n_test=fitted["n_test"])


def _pairs(traces: Any) -> tuple[Floats, Bools]:
    """Entropy and whether the token has rank 1, of the scored tokens with finite entropy."""
    if isinstance(traces, tuple) and len(traces) == 2 and not hasattr(traces[0], "entropy"):
        h, rank = np.asarray(traces[0], np.float64), np.asarray(traces[1])
        if h.ndim != 1 or h.shape != rank.shape:
            raise ValueError(f"entropy and rank must be vectors of one length, got {h.shape} and {rank.shape}")
    else:
        parts = [traces] if hasattr(traces, "entropy") else list(traces)
        for t in parts:
            if t.entropy is None or t.rank is None:
                raise ValueError("traces must hold entropy and rank: trace(..., stats=('entropy', 'rank'))")
        h = np.concatenate([np.asarray(t.entropy, np.float64)[t.scored] for t in parts])
        rank = np.concatenate([np.asarray(t.rank)[t.scored] for t in parts])
    keep = np.isfinite(h)
    h, y = h[keep], rank[keep] == 1
    if min(y.sum(), len(y) - y.sum()) < 2:
        raise ValueError(
            f"traces must hold at least 2 tokens of rank 1 and 2 of other ranks, got {y.sum()} and {(~y).sum()}"
        )
    return h, y


def _resamples(y: Bools, draws: int, generator: np.random.Generator) -> list[Ints]:
    out: list[Ints] = []
    while len(out) < draws:
        i = generator.integers(len(y), size=len(y))
        if 2 <= y[i].sum() <= len(y) - 2:
            out.append(i)
    return out


def _threshold(
    h: Floats, y: Bools, test_share: float, penalty: float, generator: np.random.Generator
) -> dict[str, Any]:
    order = generator.permutation(len(h))
    cutoff = max(math.ceil(test_share * len(h)), 1)
    test, train = order[:cutoff], order[cutoff:]
    yes, no = train[y[train]], train[~y[train]]
    count = min(len(yes), len(no))
    if count < 1:
        raise ValueError("traces hold too few tokens of one class to train on: give longer reference texts")
    train = np.concatenate([generator.permutation(yes)[:count], generator.permutation(no)[:count]])
    intercept, slope = _logistic(h[train], y[train].astype(float), penalty)
    cuts = np.arange(1, 100) / 100
    hit = ((expit(intercept + slope * h[test]) >= cuts[:, None]) == y[test]).mean(axis=1)
    best = int(hit.argmax())
    tau = (math.log(cuts[best] / (1 - cuts[best])) - intercept) / slope
    area = auc(-h[test], y[test]).value if 0 < y[test].sum() < len(test) else math.nan
    return {
        "tau": float(tau),
        "intercept": intercept,
        "slope": slope,
        "cut": float(cuts[best]),
        "accuracy": float(hit[best]),
        "auc": float(area),
        "n_train": len(train),
        "n_test": len(test),
    }


def _logistic(x: Floats, y: Floats, penalty: float) -> tuple[float, float]:
    """Newton's method for the log-likelihood less ½ penalty slope²; the intercept is free."""
    theta, ridge = np.zeros(2), np.diag([1e-12, penalty])
    design = np.stack([np.ones_like(x), x], axis=1)

    def loss(t: Floats) -> float:
        z = design @ t
        return float(np.sum(np.logaddexp(0, z) - y * z) + 0.5 * penalty * t[1] ** 2)

    for _ in range(100):
        p = expit(design @ theta)
        step = np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + ridge, design.T @ (y - p) - ridge @ theta)
        size, before = 1.0, loss(theta)
        while loss(theta + size * step) > before and size > 1e-8:
            size /= 2
        theta = theta + size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return float(theta[0]), float(theta[1])
