"""Lastde: how diverse the ups and downs of the log-probabilities are along a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from plogp.measures.arrays import log_softmax, xlogx
from plogp.text.scores.kept import Floats, Kept
from plogp.text.scores.registry import scoring

if TYPE_CHECKING:
    from plogp.trace.predictors import Predictor
    from plogp.trace.record import Trace

__all__ = ["diversity_entropy", "lastde", "lastde_pp", "sampled_logprobs"]


def diversity_entropy(series: Any, window: int = 4, bins: int | None = None) -> Floats:
    r"""Return the diversity entropy of series: how widely the angles between successive windows spread.

    The windows :math:`x_{t..t+s-1}` of a series are compared with the next by their cosine; the histogram of the
    cosines over `bins` equal cells of [-1, 1] has the entropy that is returned, over log bins: in [0, 1].

    Parameters
    ----------
    series : array, shape (..., T)
    window : int
        s, at least 2.
    bins : int, optional
        By default 8 T.

    Raises
    ------
    ValueError
        For a window that is too short, or a series of fewer than s + 1 values.

    Examples
    --------
    >>> round(float(diversity_entropy([1, 2, 13, 7, 9, 5, 4], window=3, bins=10)), 4)    # four cosines, two and two
    0.301

    References
    ----------
    X. Wang, S. Si and Y. Li, IEEE Transactions on Industrial Informatics 17, 2021.
    """
    x = np.asarray(series, np.float64)
    if window < 2 or x.shape[-1] <= window:
        raise ValueError(f"a window of at least 2 and a longer series are needed, got {window} and {x.shape[-1]}")
    bins = 8 * x.shape[-1] if bins is None else bins
    orbits = np.lib.stride_tricks.sliding_window_view(x, window, axis=-1)
    norm = np.maximum(np.linalg.norm(orbits, axis=-1), 1e-8)
    cosine = (orbits[..., :-1, :] * orbits[..., 1:, :]).sum(-1) / (norm[..., :-1] * norm[..., 1:])
    # Rounding must not throw a cosine of 1 out of the last cell.
    cell = np.minimum(((np.clip(cosine, -1, 1) + 1) / 2 * bins).astype(np.int64), bins - 1)
    rows = cell.reshape(-1, cell.shape[-1])
    full, counts = np.unique(rows + bins * np.arange(len(rows))[:, None], return_counts=True)
    terms = np.asarray(xlogx(counts / rows.shape[-1]))
    out = np.bincount(full // bins, weights=-terms, minlength=len(rows)) / np.log(bins)
    return out.reshape(cell.shape[:-1])[()]


@scoring(source="Xu et al. 2025, arXiv 2410.06072")
def lastde(trace: Trace, *, window: int = 4, scales: int = 15, bins: int = 8, protocol: str = "all") -> Floats:
    r"""Lastde: mean log-probability over the multiscale diversity entropy of the log-probabilities.

    .. math:: \tfrac1n \sum_t \log p_t(y_t) \,\Big/\, \operatorname{sd}_{\tau = 1..\tau'} \mathrm{DE}(x^{(\tau)})

    with :math:`x^{(\tau)}` the moving average over τ log-probabilities and DE their `diversity_entropy`.

    Parameters
    ----------
    trace : Trace
    window : int
        s of the orbits.
    scales : int
        τ'.
    bins : int
        Cells of the histogram a token: ``bins * n`` in all.
    protocol : {"all", "paper"}

    Returns
    -------
    array, shape (S,)
        NaN for a text with fewer than window + scales scored tokens.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(10, rng=0)
    >>> t = trace(model, model.sample(2, 100, rng=1))
    >>> lastde(t).shape, bool((lastde(t) < 0).all())
    ((2,), True)
    """
    _check(window, scales, bins)
    kept = Kept(trace, protocol)
    series = np.split(kept.field("logprob"), np.cumsum(kept.n)[:-1])
    return np.array([_lastde(x[None], window, scales, bins)[0] for x in series])


@scoring(extra=("sampled",), source="Xu et al. 2025, arXiv 2410.06072")
def lastde_pp(
    trace: Trace, *, sampled: Any, window: int = 4, scales: int = 15, bins: int = 8, protocol: str = "all"
) -> Floats:
    """Lastde++: `lastde` less its mean over texts redrawn token by token, over their standard deviation.

    Parameters
    ----------
    trace : Trace
    sampled : array, shape (N, m)
        Log-probabilities of m tokens drawn at each position from the model's law there (`sampled_logprobs`); the
        paper has m = 100.
    window, scales, bins, protocol
        As in `lastde`.

    Returns
    -------
    array, shape (S,)
        NaN for a text that is too short.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(10, rng=0)
    >>> t = trace(model, model.sample(1, 100, rng=1))
    >>> bool(np.abs(lastde_pp(t, sampled=sampled_logprobs(t, model, 20, rng=2))[0]) < 4)   # a text of the model itself
    True
    """
    _check(window, scales, bins)
    draws = np.asarray(sampled, np.float64)
    if draws.ndim != 2 or draws.shape[0] != len(trace.ids) or draws.shape[1] < 2:
        raise ValueError(f"sampled must have shape ({len(trace.ids)}, m) with m >= 2, got {draws.shape}")
    kept = Kept(trace, protocol)
    own, others = kept.field("logprob"), draws[kept.index]
    if np.isnan(others).any():
        raise ValueError("sampled is NaN at scored tokens; draw it for this trace")
    out, ends = np.full(len(kept), np.nan), np.cumsum(kept.n)
    for i, (a, b) in enumerate(zip(ends - kept.n, ends)):
        values = _lastde(np.vstack((own[a:b], others[a:b].T)), window, scales, bins)
        spread = values[1:].std(ddof=1)
        out[i] = (values[0] - values[1:].mean()) / spread if spread > 0 else np.nan
    return out


def sampled_logprobs(
    trace: Trace, predictor: Predictor, m: int = 100, rng: np.random.Generator | int | None = None
) -> Floats:
    """Return the log-probabilities of `m` tokens drawn at each scored position from the model's law there.

    Parameters
    ----------
    trace : Trace
    predictor : Predictor
        The model of the trace: its log-probabilities of the texts' own tokens must be the trace's.
    m : int
    rng : Generator, int or None

    Returns
    -------
    array, shape (N, m)
        NaN where not scored.

    Raises
    ------
    ValueError
        If the predictor is not the model of the trace (or the trace has a context or a temperature).

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM.random(5, rng=0)
    >>> t = trace(model, model.sample(2, 30, rng=1))
    >>> sampled_logprobs(t, model, m=3, rng=2).shape
    (60, 3)
    """
    if isinstance(m, bool) or m < 1:
        raise ValueError(f"m must be at least 1, got {m!r}")
    generator = np.random.default_rng(rng)
    nats = trace if trace.units == "nats" else trace.to("nats")
    out = np.full((len(trace.ids), m), np.nan)
    for first, last in zip(trace.offsets[:-1], trace.offsets[1:]):
        ids = np.asarray(trace.ids[first:last], np.int64)
        for where, logits in predictor.blocks(ids):
            z = np.asarray(logits, np.float64)
            log_p = np.asarray(log_softmax(z, axis=-1))
            at = slice(first + where.start, first + where.stop)
            scored = np.asarray(trace.scored[at], bool)
            own = log_p[np.arange(len(log_p)), ids[where]]
            if not np.allclose(own[scored], np.asarray(nats.logprob[at], np.float64)[scored], atol=1e-2, rtol=1e-2):
                raise ValueError("predictor is not the model of the trace: the texts' own log-probabilities differ")
            cdf = np.cumsum(np.exp(log_p), axis=-1)
            u = generator.random((len(cdf), m)) * cdf[:, -1:]
            drawn = np.array([np.searchsorted(row, x, side="right") for row, x in zip(cdf, u)])
            drawn = np.minimum(drawn, (cdf < cdf[:, -1:]).sum(axis=-1, keepdims=True))  # none of probability 0
            out[at] = np.where(scored[:, None], np.take_along_axis(log_p, drawn, axis=-1), np.nan)
    return out


def _check(window: int, scales: int, bins: int) -> None:
    if window < 2 or scales < 2 or bins < 1:
        raise ValueError(f"window and scales must be at least 2 and bins 1, got {window}, {scales} and {bins}")


def _lastde(x: Floats, window: int, scales: int, bins: int) -> Floats:
    """Lastde of each row of (m, n); NaN where the series is too short."""
    n = x.shape[1]
    if n < window + scales:
        return np.full(len(x), np.nan)
    if not (finite := np.isfinite(x).all(axis=1)).all():  # a token that the model excludes
        out = np.full(len(x), -np.inf)
        out[finite] = _lastde(x[finite], window, scales, bins)
        return out
    total = np.cumsum(np.pad(x, ((0, 0), (1, 0))), axis=1)
    entropies = [
        diversity_entropy((total[:, tau:] - total[:, :-tau]) / tau, window, bins * n) for tau in range(1, scales + 1)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return x.mean(axis=1) / np.std(entropies, axis=0, ddof=1)
