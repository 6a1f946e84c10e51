"""Mixing a flattened tail into the next-token law, against the loss of rare tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.decode.sampler import Sampler, count, fraction, like
from plogp.decode.truncation import descending, first_ranked
from plogp.measures.arrays import Array, log_probabilities, log_softmax

__all__ = ["TailMix"]


class TailMix(Sampler):
    """Mix a flattened law into the model's: p' = (1 − ρ) p + ρ r^b / Σ r^b.

    r is p itself by default: with b < 1 the added part is flatter, and the entropy never falls. With `reference` it is
    a fixed law, such as the unigram frequencies of human text, which brings tokens back that a model trained on its
    own truncated output has lost.

    Parameters
    ----------
    share : float
        ρ in [0, 1]: how much of the mass is redrawn.
    power : float
        b in [0, 1]: 1 leaves r as it is, 0 makes it uniform over the tokens of positive probability.
    band : (int, int), optional
        Only ranks r1 to r2 (from 1, both included) of r take part in the added law: "with probability ρ draw from the
        band". The entropy may then fall.
    reference : array, shape (V,), optional
        Probabilities or counts of r.

    Raises
    ------
    ValueError
        For parameters out of range, or a band that holds no token of positive probability.

    Notes
    -----
    The scores returned are log-probabilities. Place it before a truncation to have its tail cut again, after one to
    mix the tail into the truncated law.

    Examples
    --------
    >>> import numpy as np
    >>> np.exp(TailMix(0.2, 0.5).filter(np.log([0.64, 0.32, 0.04]))).round(3).tolist()
    [0.614, 0.328, 0.058]

    After the probability perturbation of the cognitive codec (2025), arXiv:2512.01354, of which no formula is public:
    the operator is a reconstruction with the same role.
    """

    def __init__(
        self,
        share: float = 0.08,
        power: float = 0.5,
        *,
        band: tuple[int, int] | None = None,
        reference: Any = None,
    ):
        self.share = fraction(share, "share", zero=True)
        self.power = fraction(power, "power", zero=True)
        self.band = None if band is None else (count(band[0], "band[0]"), count(band[1], "band[1]"))
        if self.band is not None and self.band[0] > self.band[1]:
            raise ValueError(f"band must be (first rank, last rank), got {band!r}")
        self._reference = None
        if reference is not None:
            r = np.asarray(reference, dtype=np.float64)
            if r.ndim != 1 or not np.isfinite(r).all() or (r < 0).any() or r.sum() <= 0:
                raise ValueError("reference must be a vector (V,) of finite, non-negative weights that are not all 0")
            self._reference = log_probabilities(r / r.sum())

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        log_p = log_softmax(z)
        if self.share == 0:
            return log_p, state
        log_r = log_p
        if self._reference is not None:
            if self._reference.shape[0] != z.shape[-1]:
                raise ValueError(f"reference has {self._reference.shape[0]} tokens, logits have {z.shape[-1]}")
            log_r = like(xp, self._reference, z)[None, :] + xp.zeros_like(xp.max(z, axis=-1, keepdims=True))
        out = xp.full_like(z, -math.inf)
        inside = log_r > -math.inf
        if self.band is not None:
            first, last = (min(r, z.shape[-1]) for r in (self.band[0] - 1, self.band[1]))
            ranked = descending(xp, log_r)
            ones = xp.ones_like(xp.sum(xp.astype(inside, xp.int64), axis=-1, keepdims=True))
            upto = first_ranked(xp, log_r, ranked, last * ones)
            before = first_ranked(xp, log_r, ranked, first * ones) if first else inside & ~inside
            inside = inside & upto & ~before
            if bool(xp.any(~xp.any(inside, axis=-1))):
                raise ValueError(f"band {self.band} holds no token of positive probability in some row")
        # A power of 0 times -inf is NaN: what is outside is set aside before.
        tail = xp.where(inside, self.power * xp.where(inside, log_r, xp.zeros_like(z)), out)
        tail = log_softmax(tail) + math.log(self.share)
        if self.share == 1:
            return tail, state
        own = log_p + math.log1p(-self.share)
        top = xp.maximum(own, tail)
        safe = xp.where(top == -math.inf, xp.zeros_like(top), top)
        total = xp.exp(own - safe) + xp.exp(tail - safe)
        some = total > 0
        mixed = safe + xp.log(xp.where(some, total, xp.ones_like(total)))
        return xp.where(some, mixed, out), state
