"""Mirostat: hold the mean surprisal of what is drawn at a target by feedback."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.decode.sampler import count, like, positive
from plogp.decode.truncation import Truncation, descending
from plogp.measures.arrays import Array, log_softmax

__all__ = ["Mirostat", "MirostatV2", "zipf_exponent"]


class MirostatV2(Truncation):
    """Keep the tokens whose surprisal is at most μ, and move μ so that the mean surprisal meets the target.

    After each draw μ ← μ − η (S − τ), with S the surprisal of the token under the law before the truncation; μ starts
    at 2τ. The steps add up: after N draws mean(S) − τ = (μ_0 − μ_N) / (η N), so the mean converges at rate 1/N
    whatever the model is, as long as μ stays bounded.

    Parameters
    ----------
    target_surprise : float
        The papers' τ, in **bits** per token by default (its perplexity is 2^τ).
    learning_rate : float
        The papers' η.
    base : float
        Of the logarithm of `target_surprise` and μ: 2 for bits, ``math.e`` for nats.

    Raises
    ------
    ValueError
        For a target or a rate that is not positive.

    Notes
    -----
    The state is μ, one per sequence. Where the law's own entropy stays below τ for long, μ grows and nothing is cut:
    no truncation raises surprisal. Nor does one go below the surprisal of the most probable tokens: where greedy text
    is locked in a cycle above the target, μ falls without an end and the mean stays above it. In a pipeline after a
    temperature the controlled surprisal is that of the model, before the temperature: perplexity is what is promised.

    Examples
    --------
    >>> import numpy as np
    >>> sampler = MirostatV2(target_surprise=1.0)
    >>> logits = np.log([[0.5, 0.3, 0.15, 0.05]])      # surprisals 1, 1.74, 2.74, 4.32 bits
    >>> state = sampler.init_state(1)                  # μ = 2 bits
    >>> np.isfinite(sampler.filter(logits, state)).tolist()
    [[True, True, False, False]]
    >>> sampler.observe([1], [np.log(0.3)], state).round(3).tolist()
    [1.263]

    The common variant in inference engines of Basu et al. (2021), arXiv:2007.14966.
    """

    stateful = True

    def __init__(self, target_surprise: float = 3.0, learning_rate: float = 1.0, *, base: float = 2.0):
        self.target_surprise = positive(target_surprise, "target_surprise")
        self.learning_rate = positive(learning_rate, "learning_rate")
        self.base = positive(base, "base")
        if self.base <= 1:
            raise ValueError(f"base must be above 1, got {base!r}")

    def init_state(self, batch: int) -> Any:
        return np.full(batch, 2.0 * self.target_surprise)

    def observe(self, token: Any, logprob: Any, state: Any) -> Any:
        surprise = -_numbers(logprob) / math.log(self.base)
        moved = state - self.learning_rate * (surprise - self.target_surprise)
        return np.where(np.isfinite(surprise), moved, state)

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        _check_state(state, z)
        most = like(xp, -state * math.log(self.base), z)[:, None]
        return (log_softmax(z) >= most) | (z >= xp.max(z, axis=-1, keepdims=True))


class Mirostat(MirostatV2):
    """Keep the top k tokens, k chosen for a cross-entropy of μ under Zipf's law, and move μ by feedback.

    The exponent s of Zipf's law is fitted to the model's `top` + 1 largest probabilities by least squares through the
    origin of ln(p_i / p_(i+1)) on ln((i+1) / i); with ε = s − 1 and N words

        k = round( (ε 2^μ / (1 − N^(−ε)))^(1/s) ) + 1,

    and μ moves as in `MirostatV2`.

    Parameters
    ----------
    target_surprise : float
        The paper's τ, in **bits** per token by default (its perplexity is 2^τ).
    learning_rate : float
        The paper's η.
    top : int
        How many ratios the fit uses; the paper's m.
    vocab_size : int, optional
        N; the size of the logits by default. (The released code has 50,000 whatever the model.)
    base : float
        Of the logarithm of `target_surprise` and μ: 2 for bits, ``math.e`` for nats.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range.

    Notes
    -----
    Probabilities of 0 end the fit; where s <= 0, or nothing can be fitted, all tokens are kept. At s = 1 the quotient
    takes its limit 2^μ / ln N. The state is μ, one per sequence; see `MirostatV2` for what it can and cannot hold.

    Examples
    --------
    >>> import numpy as np
    >>> zipf = -1.2 * np.log(np.arange(1, 1001))
    >>> sampler = Mirostat(target_surprise=3.0, learning_rate=1.0)
    >>> int(np.isfinite(sampler.filter(zipf)).sum())   # at μ = 6 bits, before any feedback
    12
    >>> float(zipf_exponent(np, zipf[None], 100)[0].round(6))
    1.2

    Basu, Ramachandran, Keskar and Varshney (2021), arXiv:2007.14966.
    """

    def __init__(
        self,
        target_surprise: float = 3.0,
        learning_rate: float = 1.0,
        *,
        top: int = 100,
        vocab_size: int | None = None,
        base: float = 2.0,
    ):
        super().__init__(target_surprise, learning_rate, base=base)
        self.top = count(top, "top")
        self.vocab_size = None if vocab_size is None else count(vocab_size, "vocab_size")

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        _check_state(state, z)
        ranked = descending(xp, z)
        s = _numbers(zipf_exponent(xp, ranked, self.top))
        size = self.sizes(s, state, z.shape[-1])
        index = xp.asarray(size[:, None] - 1) if isinstance(z, np.ndarray) else like_int(xp, size[:, None] - 1, z)
        return z >= xp.take_along_axis(ranked, index, axis=-1)

    def sizes(self, s: Any, mu: Any, vocab_size: int) -> Any:
        """Return k (B,) of Zipf exponents and states (B,), clipped to [1, V]."""
        log_n = math.log(self.vocab_size or vocab_size)
        with np.errstate(all="ignore"):
            epsilon = s - 1.0
            # log( ε / (1 − N^(−ε)) ); both signs of ε give a positive quotient, and 0 its limit 1 / ln N.
            x = epsilon * log_n
            quotient = np.where(np.abs(x) < 1e-8, 1.0 + x / 2, x / -np.expm1(-x)) / log_n if log_n > 0 else 1.0
            log_k = (np.log(quotient) + mu * math.log(self.base)) / s
            # Python's and NumPy's rounding agree: halves to even, as in the released code.
            k = np.round(np.exp(np.minimum(log_k, math.log(vocab_size) + 1.0))) + 1.0
        k = np.where((s > 0) & np.isfinite(k), k, vocab_size)
        return np.clip(k, 1, vocab_size).astype(np.int64)


def zipf_exponent(xp: Any, ranked: Array, top: int = 100) -> Array:
    """Return the exponent (B,) of Zipf's law of logits sorted downwards (B, V), fitted to the first `top` ratios.

    s = Σ t_i b_i / Σ t_i², t_i = ln((i+1)/i), b_i = ln(p_i/p_(i+1)), over the ratios of positive probabilities; NaN
    where there is none.
    """
    n = min(top, ranked.shape[-1] - 1)
    low, high = ranked[:, 1 : n + 1], ranked[:, :n]
    seen = low > -math.inf
    zero = xp.zeros_like(low)
    b = xp.where(seen, high - xp.where(seen, low, zero), zero)
    t = like(xp, np.log1p(1.0 / np.arange(1, n + 1)), ranked)[None, :]
    t = xp.where(seen, t + zero, zero)
    squares = xp.sum(t * t, axis=-1)
    none = squares == 0
    nan = xp.full_like(squares, math.nan)
    return xp.where(none, nan, xp.sum(t * b, axis=-1) / xp.where(none, xp.ones_like(squares), squares))


def like_int(xp: Any, values: Any, z: Array) -> Array:
    """Return whole numbers as an array of the library and device of `z`."""
    if xp.__name__.endswith("torch"):
        return xp.asarray(values, dtype=xp.int64, device=z.device)
    return xp.asarray(values)


def _numbers(x: Any) -> Any:
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=np.float64)


def _check_state(state: Any, z: Array) -> None:
    if np.shape(state) != (z.shape[0],):
        raise ValueError(f"state must have shape ({z.shape[0]},), one per row of logits, got {np.shape(state)}")
