"""How much structure a learner takes from data: prequential and requential code lengths, and the curves they leave.

A learner that predicts every batch before it learns from it codes the data in Σ L_i nats. What it pays above its
final loss, Σ (L_i - L_final), is spent on learning: the length of the model in a two-part code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats
from plogp.estimate.series import long_run_error
from plogp.measures.uncertainty import Estimate

__all__ = ["LearningCurve", "prequential", "requential"]

#: Points of a run that are kept, evenly spaced in the logarithm of the tokens.
CHECKPOINTS = 200


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A training run: after so many tokens, so much loss a token.

    Parameters
    ----------
    tokens : array, shape (c,)
        Tokens learnt from at each checkpoint, increasing.
    loss : array, shape (c,)
        Loss a token then, in nats.
    parameters : float
        N, the size of the model; compute is counted as 6·N·tokens of training and 2·N of evaluation a token.
    code : array, shape (c,), optional
        Length of the model then, in nats. By default the area under the curve above its present value (the
        trapezoid rule, and the first loss for the tokens before it).
    kind : {"preq", "req"}
        Where `code` is from.
    label : str

    Examples
    --------
    >>> LearningCurve([0, 100, 200], [1.0, 0.5, 0.5], parameters=10).code
    array([ 0., 25., 25.])
    """

    tokens: Any
    loss: Any
    parameters: float = 1.0
    code: Any = None
    kind: str = "preq"
    label: str = ""

    def __post_init__(self) -> None:
        tokens, loss = (np.asarray(v, dtype=np.float64) for v in (self.tokens, self.loss))
        if tokens.ndim != 1 or tokens.shape != loss.shape or tokens.size == 0:
            raise ValueError(f"tokens and loss must be lists of equal length, got {tokens.shape} and {loss.shape}")
        if not (np.isfinite(tokens).all() and np.isfinite(loss).all()) or (np.diff(tokens) <= 0).any() or tokens[0] < 0:
            raise ValueError("tokens must increase from 0 or above, and loss must be finite")
        if not (math.isfinite(self.parameters) and self.parameters > 0):
            raise ValueError(f"parameters must be a positive number, got {self.parameters!r}")
        if self.kind not in ("preq", "req"):
            raise ValueError(f"kind must be 'preq' or 'req', got {self.kind!r}")
        if self.code is None:
            if self.kind == "req":
                raise ValueError("a requential curve needs its code: the cumulative divergence, in nats")
            steps = np.diff(tokens) * (loss[1:] + loss[:-1]) / 2
            code = loss[0] * tokens[0] + np.r_[0.0, np.cumsum(steps)] - loss * tokens
        else:
            code = np.asarray(self.code, dtype=np.float64)
            if code.shape != tokens.shape or not np.isfinite(code).all():
                raise ValueError(f"code must hold one finite number a checkpoint, got shape {code.shape}")
        for name, value in (("tokens", tokens), ("loss", loss), ("code", code)):
            object.__setattr__(self, name, value)

    def compute(self, d_test: float) -> Floats:
        """Return ``6·N·tokens + 2·N·d_test`` at each checkpoint."""
        return np.asarray(6.0 * self.parameters * self.tokens + 2.0 * self.parameters * d_test)


def _parameters(learner: Any) -> float:
    return float(max(getattr(learner, "num_parameters", 1), 1))


def _marks(tokens: Floats, tail: float) -> npt.NDArray[np.int64]:
    """Positions of checkpoints, evenly spaced in log tokens, from the first full window (`_recent`) to the last."""
    targets = np.geomspace(max(tokens[0], tail * tokens[-1] / 10), tokens[-1], CHECKPOINTS)
    return np.unique(np.searchsorted(tokens, targets).clip(max=len(tokens) - 1))


def _recent(total: Floats, tokens: Floats, tail: float) -> Floats:
    """Mean loss a token at every batch over the last share `tail` of the tokens so far (from cumulative sums).

    Over at least a tenth of that share of the whole stream: the noise of a shorter mean would pass for a low loss.
    """
    sums, counts = np.r_[0.0, total], np.r_[0.0, tokens]
    since = np.minimum(tokens * (1 - tail), tokens - tail * tokens[-1] / 10)
    start = np.searchsorted(counts, np.maximum(since, 0.0) * (1 + 1e-12), side="right") - 1
    start = np.minimum(start, np.arange(len(tokens)))
    return np.asarray((total - sums[start]) / (tokens - counts[start]))


def prequential(
    learner: Any,
    stream: Iterable[Any],
    *,
    final: str | float = "tail",
    tail: float = 0.1,
    label: str = "",
    progress: bool = False,
) -> Estimate:
    r"""Return the structure that a learner takes from a stream in one pass: the area under its learning curve.

    .. math:: |P_{preq}| \approx \sum_i (L_i - L_{final})

    Every batch is predicted, then learnt (symbol by symbol where the learner has ``code``). The whole sum Σ L_i is the
    length of a real, decodable code of the data; taking off the data's share at the final loss is a heuristic: it
    tends to be an upper bound of the information in the final model, and is what the paper uses for large runs.

    Parameters
    ----------
    learner : object with ``logprob`` and ``partial_fit``
        See `plogp.estimate.learners`; it is trained by the call.
    stream : iterable of batches
        Read once (and again for ``final="replay"``). Data must not repeat: what is seen again is no longer news.
    final : {"tail", "replay"} or float
        The final loss a symbol: the mean over the last share `tail` of the stream; or each symbol's own loss under the
        final learner, which needs a stream that can be read again and has much the smaller error (but the learner has
        seen the data: about half a nat a parameter more); or a known number, such as the entropy rate.
    tail : float
    label : str
        Of the curve.
    progress : bool

    Returns
    -------
    Estimate
        In nats, for the whole stream. ``diagnostics`` holds ``total`` (Σ L_i), ``final_loss``, ``tokens`` and
        ``curve``, a `LearningCurve` for `epiplexity`. The error is that of the losses around their mean, in blocks;
        it does not say how another learner would fare.

    Raises
    ------
    ValueError
        For an empty stream, a stream that is exhausted when it is to be read again, or infinite losses.

    Examples
    --------
    A Krichevsky-Trofimov coder pays ½ log n + ½ log(π/2) - ½ nats above the entropy of a coin of any bias, 4.68 for
    20,000 tosses:

    >>> from plogp.estimate.learners import KrichevskyTrofimov
    >>> tosses = (np.random.default_rng(0).random(20_000) < 0.2).astype(int)
    >>> found = prequential(KrichevskyTrofimov(), [tosses], final="replay")
    >>> abs(found.value - 5.2) < 0.2                            # with the final learner's own fit to the data
    True

    Notes
    -----
    M. Finzi, S. Qiu, Y. Jiang, P. Izmailov, J. Z. Kolter and A. G. Wilson, arXiv 2601.03220; A. P. Dawid, 1984.
    """
    if isinstance(final, str) and final not in ("tail", "replay"):
        raise ValueError(f"final must be 'tail', 'replay' or a number, got {final!r}")
    if not 0 < tail <= 1:
        raise ValueError(f"tail must lie in (0, 1], got {tail!r}")
    if final == "replay" and iter(stream) is stream:
        raise ValueError("final='replay' reads the stream twice; give a list (or another iterable that can restart)")
    codes, losses = hasattr(learner, "code"), []
    for batch in _shown(stream, progress, "prequential"):
        if codes:
            losses.append(-np.asarray(learner.code(batch), dtype=np.float64).ravel())
        else:
            losses.append(-np.asarray(learner.logprob(batch), dtype=np.float64).ravel())
            learner.partial_fit(batch)
    losses = [v for v in losses if v.size]
    if not losses:
        raise ValueError("stream is empty")
    each = np.concatenate(losses)
    if not np.isfinite(each).all():
        raise ValueError("the learner gave some symbol probability 0 (or NaN), an infinite code length; smooth it")
    n, total = len(each), float(each.sum())
    steps = np.array([v.size for v in losses]) if len(losses) >= 20 else np.ones(n)
    sums = np.array([v.sum() for v in losses]) if len(losses) >= 20 else each
    tokens, cumulative = np.cumsum(steps), np.cumsum(sums)
    recent = _recent(cumulative, tokens, tail)
    at = _marks(tokens, tail)
    curve = LearningCurve(
        tokens[at],
        recent[at],
        _parameters(learner),
        code=np.maximum(cumulative - recent * tokens, 0.0)[at],
        label=label or type(learner).__name__,
    )
    if final == "replay":
        last = np.concatenate([-np.asarray(v, dtype=np.float64).ravel() for v in _replayed(learner, stream)])
        if last.shape != each.shape:
            raise ValueError(f"the stream gave {len(each)} symbols, and {len(last)} when it was read again")
        terms = each - last
    else:
        level = float(recent[-1]) if final == "tail" else float(final)
        terms = each - level
    se = None if n < 16 else long_run_error(terms)[0] * n
    if final == "tail" and se is not None:
        # A level estimated from the tail is common to all terms: weight 1 before it, 1 - 1/tail within.
        noise = long_run_error(each[-max(16, round(tail * n)) :])[0] * math.sqrt(max(16, round(tail * n)))
        se = noise * math.sqrt(n * (1 - tail) + n * tail * (1 / tail - 1) ** 2)
    facts: dict[str, Any] = {"total": total, "final_loss": total / n - float(terms.mean()), "tokens": n, "curve": curve}
    if se is None:
        facts["no_interval"] = "fewer than 16 symbols"
    name = final if isinstance(final, str) else f"{float(final):g}"
    return Estimate(float(terms.sum()), se, n, f"prequential({curve.label}, final={name})", diagnostics=facts)


def _replayed(learner: Any, stream: Iterable[Any]) -> Iterable[Floats]:
    for batch in stream:
        yield learner.logprob(batch)


def _shown(stream: Iterable[Any], progress: bool, label: str) -> Iterable[Any]:
    if not progress:
        return stream
    from rich.progress import track

    return track(stream, description=label, transient=True)


def requential(
    teacher: Any,
    student: Any,
    sampler: Callable[[Any, Any, np.random.Generator], Any] | None = None,
    *,
    stream: Iterable[Any],
    max_kl: float | None = None,
    speed: int = 1,
    tail: float = 0.1,
    rng: np.random.Generator | int | None = None,
    label: str = "",
    progress: bool = False,
) -> Estimate:
    r"""Return the length of a decodable code of a trained student: what its teacher has to tell it.

    .. math:: |P_{req}| = \sum_i KL(P_{teacher, i} \,\|\, P_{student, i})

    The student is trained on samples that the teacher of that moment draws. Coding such a sample for a receiver who
    has the student costs, by relative-entropy coding, its divergence (and a lower-order overhead that is left out), so
    a receiver can follow every update and ends with the same student, without having seen the data.

    Parameters
    ----------
    teacher, student : learners
        Both are trained by the call. The divergence is exact where both have ``log_proba``, else the mean difference
        of log-probabilities over the samples.
    sampler : callable, optional
        ``sampler(teacher, batch, rng)`` returns a batch drawn from the teacher, with the contexts of a real batch; by
        default ``teacher.draw(batch, rng)``.
    stream : iterable of batches
        Real data, that only the teacher learns from; read once.
    max_kl : float, optional
        The teacher pauses while the last divergence a symbol is above this, so that the student can follow.
    speed : int
        Updates of the student for each batch.
    tail : float
        Share of the stream over which the student's loss on real data is averaged.
    rng, label, progress

    Returns
    -------
    Estimate
        In nats. ``diagnostics`` holds ``final_loss`` (of the student on real data), ``tokens`` (the student's),
        ``last_kl`` and ``curve``, a `LearningCurve` for `epiplexity` with ``method="req"``. The error is that of
        averaging divergences over the sampled contexts.

    Examples
    --------
    >>> from plogp.estimate.learners import KrichevskyTrofimov
    >>> tosses = np.random.default_rng(0).random(2000) < 0.1
    >>> batches = np.split(tosses.astype(int), 100)
    >>> found = requential(KrichevskyTrofimov(), KrichevskyTrofimov(), stream=batches, rng=0)
    >>> 1 < found.value < 30, found.diagnostics["tokens"]
    (True, 2000)

    Notes
    -----
    M. Finzi, S. Qiu, Y. Jiang, P. Izmailov, J. Z. Kolter and A. G. Wilson, arXiv 2601.03220.
    """
    if speed < 1:
        raise ValueError(f"speed must be at least 1, got {speed}")
    if not 0 < tail <= 1:
        raise ValueError(f"tail must lie in (0, 1], got {tail!r}")
    random = np.random.default_rng(rng)
    draw = sampler if sampler is not None else lambda teacher, batch, rng: teacher.draw(batch, rng)
    spent, variance, kl, paused = 0.0, 0.0, 0.0, 0
    tokens, codes, losses, sizes, learnt = 0, [], [], [], []
    for batch in _shown(stream, progress, "requential"):
        real = -np.asarray(student.logprob(batch), dtype=np.float64).ravel()
        losses.append(float(real.sum()))
        sizes.append(real.size)
        if max_kl is None or kl <= max_kl:
            teacher.partial_fit(batch)
        else:
            paused += 1
        for _ in range(speed):
            drawn = draw(teacher, batch, random)
            each = _divergence(teacher, student, drawn)
            kl = float(each.mean())
            spent += float(each.sum())
            variance += each.size * float(each.var(ddof=1)) if each.size > 1 else 0.0
            tokens += each.size
            student.partial_fit(drawn)
        codes.append(spent)
        learnt.append(tokens)
    if not losses:
        raise ValueError("stream is empty")
    if not math.isfinite(spent + sum(losses)):
        raise ValueError("a learner gave some symbol probability 0 (or NaN), an infinite code length; smooth it")
    seen = np.cumsum(sizes).astype(np.float64)
    recent = _recent(np.cumsum(losses), seen, tail)
    at = _marks(seen, tail)
    curve = LearningCurve(
        np.asarray(learnt, dtype=np.float64)[at],
        recent[at],
        _parameters(student),
        code=np.asarray(codes)[at],
        kind="req",
        label=label or type(student).__name__,
    )
    facts = {"final_loss": float(recent[-1]), "tokens": tokens, "last_kl": kl, "paused": paused, "curve": curve}
    return Estimate(spent, math.sqrt(variance), tokens, f"requential({curve.label})", diagnostics=facts)


def _divergence(teacher: Any, student: Any, batch: Any) -> Floats:
    """KL(teacher ‖ student) at every symbol of a batch."""
    if hasattr(teacher, "log_proba") and hasattr(student, "log_proba"):
        p, q = (np.asarray(m.log_proba(batch), dtype=np.float64) for m in (teacher, student))
        weight = np.exp(p)
        return np.asarray(np.where(weight > 0, weight * (np.where(weight > 0, p, 0.0) - q), 0.0).sum(axis=-1))
    return np.asarray(np.asarray(teacher.logprob(batch)) - np.asarray(student.logprob(batch)), dtype=np.float64).ravel()
