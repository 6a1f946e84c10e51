"""Scores that compare a text's log-probability with that of texts the model might have written in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plogp.text.scores.kept import Floats, Kept, reference_of
from plogp.text.scores.registry import scoring

if TYPE_CHECKING:
    from plogp.trace.predictors import Predictor
    from plogp.trace.record import Trace

__all__ = [
    "binoculars",
    "detect_gpt",
    "fast_detect_gpt",
    "neighbourhood",
    "neighbours",
    "npr",
    "standardised_surprisal",
]


def standardised_surprisal(trace: Trace, ref: str | None = None, *, protocol: str = "all") -> Floats:
    r"""Return a text's log-probability less its mean, in standard deviations, under what the model would write there.

    .. math:: \frac{\sum_t \log q_t(y_t) + \mathrm{CE}_t}{\sqrt{\sum_t \mathrm{Var}_{p_t} \log q_t}}

    with p the traced model, which draws, and q the reference, which scores; without a reference q = p, and CE and the
    variance are the entropy and varentropy. Under text drawn from p it has mean 0 and variance 1 and, by the
    martingale central limit theorem, the normal law as the text grows.

    Parameters
    ----------
    trace : Trace
    ref : str, optional
        The reference q, with `cross_entropy` and `second_moment`.
    protocol : {"all", "paper"}
        "paper" leaves out the first token.

    Returns
    -------
    array, shape (S,)
        NaN for a text without scored tokens or without any variance (a certain model and a certain text).

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> p = np.array([0.5, 0.25, 0.25])
    >>> H = -(p * np.log(p)).sum()
    >>> V = (p * (np.log(p) + H) ** 2).sum()
    >>> t = Trace(np.array([0, 0]), np.array([0, 2]), np.ones(2, bool), np.log(p[[0, 0]]), np.full(2, H), np.full(2, V))
    >>> standardised_surprisal(t).round(6)             # log p + H is half of ln 2 each time, and so is the deviation
    array([1.414214])
    """
    kept = Kept(trace, protocol)
    if ref is None:
        above, variance = kept.field("logprob") + kept.field("entropy"), kept.field("varentropy")
    else:
        name = f"refs[{reference_of(trace, ref)}]"
        mean = kept.field(f"{name}.cross_entropy")
        above, variance = kept.field(f"{name}.logprob") + mean, kept.field(f"{name}.second_moment") - mean**2
    return kept.over(kept.sum(above), np.sqrt(kept.sum(np.maximum(variance, 0.0))))


@scoring(needs=("entropy", "varentropy"), reference="optional", source="Bao et al. 2024, arXiv 2310.05130")
def fast_detect_gpt(trace: Trace, *, ref: str | None = None, protocol: str = "all") -> Floats:
    """Fast-DetectGPT, analytic: the conditional probability curvature, `standardised_surprisal`.

    The trace is by the model that draws (the paper's sampling or reference model), `ref` names the scoring model.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(10, rng=0)
    >>> own, flat = model.sample(1, 300, rng=1), np.arange(300)[None] % 10
    >>> fast_detect_gpt(trace(model, [*own, *flat])) > -3
    array([ True, False])
    """
    return standardised_surprisal(trace, ref, protocol=protocol)


@scoring(needs=("entropy",), reference="optional", source="Hans et al. 2024, arXiv 2401.12070")
def binoculars(trace: Trace, *, ref: str | None = None, protocol: str = "all") -> Floats:
    r"""Binoculars, as :math:`1 - \frac{\sum_t -\log q_t(y_t)}{\sum_t \mathrm{CE}(p_t, q_t)}`.

    p is the traced model, the observer, under which the expectation is taken; q, the reference, is the performer.
    Without one q = p, and the score is 1 - mean surprisal / mean entropy.

    Parameters
    ----------
    trace : Trace
    ref : str, optional
    protocol : {"all", "paper"}
        "paper": the first 512 tokens less the first. The released program takes its cross-entropy over one position
        more, the prediction behind the last token, which a trace does not hold: the two differ by the order of 1/n.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(10, rng=0)
    >>> own, flat = model.sample(1, 300, rng=1), np.arange(300)[None] % 10
    >>> binoculars(trace(model, [*own, *flat])).round(1)
    array([ 0. , -0.3])
    """
    kept = Kept(trace, protocol, 512 if protocol == "paper" else None)
    if ref is None:
        return 1.0 - kept.over(-kept.sum(kept.field("logprob")), kept.sum(kept.field("entropy")))
    name = f"refs[{reference_of(trace, ref)}]"
    return 1.0 - kept.over(-kept.sum(kept.field(f"{name}.logprob")), kept.sum(kept.field(f"{name}.cross_entropy")))


@scoring(extra=("perturbed",), source="Mattern et al. 2023, arXiv 2305.18462")
def neighbourhood(trace: Trace, *, perturbed: Trace | Sequence[Trace], protocol: str = "all") -> Floats:
    """Mean log-probability of a text less the mean of it over its perturbed versions.

    Parameters
    ----------
    trace : Trace
        Of S texts.
    perturbed : Trace or sequence of S traces
        Of S k texts, the k versions of the first text first; or one trace a text. `neighbours` makes some; masked
        language models make better ones.
    protocol : {"all", "paper"}

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(10, rng=0)
    >>> t = trace(model, model.sample(1, 100, rng=1))
    >>> neighbourhood(t, perturbed=neighbours(t, model, n=10, rng=2)) > 0
    array([ True])
    """
    own, others = _perturbed(trace, perturbed, "logprob", protocol)
    return own - others.mean(axis=1)


@scoring(extra=("perturbed",), source="Mitchell et al. 2023, arXiv 2301.11305")
def detect_gpt(trace: Trace, *, perturbed: Trace | Sequence[Trace], protocol: str = "all") -> Floats:
    """DetectGPT: as `neighbourhood`, over the standard deviation of the perturbed versions.

    NaN for a text with fewer than two versions, or all of one score. `protocol="paper"` divides by 1 there, as the
    released program.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(10, rng=0)
    >>> t = trace(model, model.sample(1, 100, rng=1))
    >>> detect_gpt(t, perturbed=neighbours(t, model, n=10, rng=2)) > 1
    array([ True])
    """
    own, others = _perturbed(trace, perturbed, "logprob", protocol)
    spread = others.std(axis=1) if others.shape[1] > 1 else np.zeros(len(own))
    spread = np.where(spread > 0, spread, 1.0 if protocol == "paper" else np.nan)
    return (own - others.mean(axis=1)) / spread


@scoring(needs=("rank",), extra=("perturbed",), source="Su et al. 2023, arXiv 2306.05540")
def npr(trace: Trace, *, perturbed: Trace | Sequence[Trace], protocol: str = "all") -> Floats:
    """Normalised log-rank perturbation: mean log-rank of the perturbed versions over that of the text.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(10, rng=0)
    >>> t = trace(model, model.sample(1, 100, rng=1))
    >>> npr(t, perturbed=neighbours(t, model, n=10, rng=2)) > 1
    array([ True])
    """
    own, others = _perturbed(trace, perturbed, "rank", protocol)
    with np.errstate(divide="ignore", invalid="ignore"):
        return others.mean(axis=1) / own


def neighbours(
    trace: Trace,
    predictor: Predictor,
    n: int = 10,
    share: float = 0.15,
    rng: np.random.Generator | int | None = None,
    progress: bool = False,
    **options: Any,
) -> Trace:
    """Return the trace of `n` perturbed versions of each text: some tokens redrawn from the model's own law.

    At ``max(1, round(share m))`` of the m scored tokens of a text, chosen at random, the token is replaced by a draw
    from the model's law of that token given the original past, without the token itself. The papers mask spans of
    words and fill them by a masked language model, which sees the future too; these neighbours need no second model.

    Parameters
    ----------
    trace : Trace
        Of S texts.
    predictor : Predictor
        The model of the trace.
    n : int
        Versions of each text.
    share : float
        Of the tokens, in (0, 1].
    rng : Generator, int or None
    progress : bool
        Show how far the tracing is.
    **options
        For `plogp.trace.trace`.

    Returns
    -------
    Trace
        Of S n texts, those of the first text first: ready for `neighbourhood`, `detect_gpt` and `npr`.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(6, rng=0)
    >>> t = trace(model, model.sample(3, 20, rng=1))
    >>> len(neighbours(t, model, n=4, rng=2))
    12
    """
    from plogp.trace.predictors import draw
    from plogp.trace.tracing import trace as traced

    if isinstance(n, bool) or n < 1 or not 0 < share <= 1:
        raise ValueError(f"n must be at least 1 and share in (0, 1], got {n!r} and {share!r}")
    generator = np.random.default_rng(rng)
    versions: list[Any] = []
    for one in trace:
        ids, scored = np.asarray(one.ids, np.int64), np.flatnonzero(one.scored)
        if not len(scored):
            raise ValueError("a text without scored tokens has no neighbours; leave it out")
        out = np.tile(ids, (n, 1))
        count = max(1, round(share * len(scored)))
        changed = np.zeros(out.shape, bool)
        for row in changed:
            row[generator.choice(scored, count, replace=False)] = True
        for where, logits in predictor.blocks(ids):
            for t, z in zip(range(where.start, where.stop), np.asarray(logits, np.float64)):
                if rows := np.flatnonzero(changed[:, t]).tolist():
                    z = z.copy()
                    z[ids[t]] = -np.inf
                    if np.isneginf(z).all():
                        continue  # the model is certain of this token: it has no other
                    out[rows, t] = draw(np.tile(z, (len(rows), 1)), generator)
        versions.extend(out)
    return traced(predictor, versions, progress=progress, **options)


def _perturbed(trace: Trace, perturbed: Trace | Sequence[Trace], field: str, protocol: str) -> tuple[Floats, Floats]:
    """Return the mean of a field (the log of a rank) of each text, (S,), and of its k versions, (S, k)."""

    def mean(t: Trace) -> Floats:
        kept = Kept(t, protocol)
        values = kept.field(field)
        return kept.mean(np.log(values) if field == "rank" else values)

    own = mean(trace)
    if isinstance(perturbed, Sequence):
        rows = [mean(t) for t in perturbed]
        if len(rows) != len(own) or len({len(row) for row in rows}) > 1:
            raise ValueError(f"perturbed must be {len(own)} traces, one a text, of equally many versions each")
        others = np.array(rows).reshape(len(own), -1)
    else:
        flat = mean(perturbed)
        if not len(own) or len(flat) % len(own) or not len(flat):
            raise ValueError(f"perturbed must hold k versions of each of {len(own)} texts, got {len(flat)} texts")
        others = flat.reshape(len(own), -1)
    return own, others
