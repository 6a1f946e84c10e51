"""The information bottleneck: what to keep of X so as to know Y, at least cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from plogp.measures.blahut_arimoto import FixedScore, Floats, RatePoint, channel_of, climb, rate_of, source_of

__all__ = ["information_bottleneck"]


def information_bottleneck(
    px: Any,
    channel: Any,
    beta: float,
    *,
    num_outputs: int | None = None,
    num_starts: int = 4,
    rng: np.random.Generator | int | None = 0,
    tol: float = 1e-9,
    max_iter: int = 20_000,
) -> RatePoint:
    r"""Return an encoder p(t|x) that minimises ``I(X;T) - beta·I(T;Y)``.

    .. math:: p(t|x) \propto p(t)\, \exp(-\beta\, KL(p(y|x) \,\|\, p(y|t)))

    The problem is not convex: the best of several starts is returned, without a certificate of optimality.

    Parameters
    ----------
    px : array (n_x,)
        Source distribution.
    channel : array (n_x, n_y)
        p(y|x), from the source to the relevant variable.
    beta : float
        Price of relevant information, >= 0; below 1 the answer is always the trivial encoder.
    num_outputs : int, optional
        Size of T; by default n_x, which suffices for every beta.
    num_starts : int
        Number of starts; with ``num_outputs >= n_x`` the first two are one output per source symbol, sharp
        (best for a large beta) and softened (free to merge).
    rng : Generator, int or None
        Randomness of the other starts.
    tol, max_iter
        As in `rate_function`; the loop stops when the objective falls by less than `tol`.

    Returns
    -------
    RatePoint
        ``rate`` = I(X;T), ``score`` = I(T;Y), ``s`` = beta.

    Raises
    ------
    ValueError
        For mismatched shapes, rows that are not distributions, or a negative beta.

    Examples
    --------
    Symbols that say the same about Y are merged at no loss:

    >>> point = information_bottleneck([0.25] * 4, [[0.9, 0.1]] * 2 + [[0.2, 0.8]] * 2, beta=500.0)
    >>> bool(np.allclose(point.channel[0], point.channel[1])), round(float(point.rate / np.log(2)), 4)
    (True, 1.0)

    References
    ----------
    N. Tishby, F. Pereira, W. Bialek 1999, arXiv physics/0004057.
    """
    source = source_of(px)
    relevant = channel_of(channel, len(source))
    if not math.isfinite(beta) or beta < 0:
        raise ValueError(f"beta must be finite and >= 0, got {beta!r}")
    size = len(source) if num_outputs is None else int(num_outputs)
    if size < 1 or num_starts < 1:
        raise ValueError(f"num_outputs and num_starts must be >= 1, got {num_outputs!r} and {num_starts!r}")
    best: RatePoint | None = None
    for encoder in _starts(len(source), size, num_starts, np.random.default_rng(rng)):
        objective = _Bottleneck(source, relevant, float(beta), encoder)
        climbed = climb(source @ encoder, objective, tol, max_iter, relax=False)
        encoder = objective.encoder
        rate, score = rate_of(source, encoder), rate_of(*_decoder(source, encoder, relevant))
        point = RatePoint(rate, score, encoder, float(beta), *climbed[1:4])
        if best is None or point.rate - beta * point.score < best.rate - beta * best.score - tol:
            best = point
    assert best is not None
    return best


def _starts(n: int, size: int, count: int, rng: np.random.Generator) -> Iterator[Floats]:
    # An exact zero is never filled again where p(y|t) then excludes x; the softened start has none.
    sharp = [np.eye(n, size), 0.9 * np.eye(n, size) + 0.1 / size] if size >= n else []
    for i in range(count):
        yield sharp[i] if i < len(sharp) else rng.dirichlet(np.ones(size), n)


class _Bottleneck:
    """The same loop with a score that follows the encoder: ``log m(x,t) = -KL(p(y|x) || p(y|t))``."""

    def __init__(self, source: Floats, relevant: Floats, beta: float, encoder: Floats) -> None:
        self.source, self.relevant, self.beta, self.encoder = source, relevant, beta, encoder
        self.value = -math.inf

    def __call__(self, weights: Floats) -> tuple[float, Floats, float]:
        _, decoder = _decoder(self.source, self.encoder, self.relevant)
        log_m = self.relevant @ np.log(np.where(decoder > 0, decoder, 1.0)).T
        log_m = np.where((self.relevant > 0).astype(float) @ (decoder <= 0).T > 0, -np.inf, log_m)
        with np.errstate(divide="ignore"):
            step = FixedScore(self.source, np.where(weights > 0, log_m, -np.inf), self.beta)
        _, growth, _ = step(weights)
        self.encoder = step.channel(weights)
        rate, score = (
            rate_of(self.source, self.encoder),
            rate_of(*_decoder(self.source, self.encoder, self.relevant)),
        )
        before, self.value = self.value, self.beta * score - rate
        return self.value, growth, abs(self.value - before)


def _decoder(source: Floats, encoder: Floats, relevant: Floats) -> tuple[Floats, Floats]:
    """Return p(t) and p(y|t); an output that is never used gets the overall p(y)."""
    used = source @ encoder
    joint = (encoder * source[:, None]).T @ relevant
    total = np.sum(joint, axis=1, keepdims=True)
    return used, np.where(total > 0, joint / np.where(total > 0, total, 1.0), source @ relevant)
