"""Locally typical sampling: keep the tokens whose surprisal is closest to what is expected."""

from __future__ import annotations

from typing import Any

from plogp.decode.sampler import SHANNON, count, fraction, positive, take_rows
from plogp.decode.truncation import Tempered
from plogp.measures.arrays import Array, log_softmax

__all__ = ["Typical"]


class Typical(Tempered):
    """Keep the tokens with the smallest |−log p(v) − H| until their mass reaches `mass`.

    The deviation d(v) = |−log p(v) − H(p)| of a token's surprisal from the entropy is sorted upwards; the shortest
    prefix whose mass reaches τ is kept (the token that crosses τ included, and all that tie with it). The most
    probable token may be removed where the entropy is large: that is intended.

    Parameters
    ----------
    mass : float
        The paper's τ in (0, 1]: 0.95 for summaries, 0.2 for stories there.
    min_keep : int
        At least so many tokens of the smallest deviation.
    temperature : float
        Divides the logits first; the returned logits are the divided ones.

    Raises
    ------
    ValueError
        For a mass outside (0, 1] or a temperature that is not positive.

    Notes
    -----
    Same mask as transformers' ``TypicalLogitsWarper`` and the authors' class.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.log([0.4, 0.15, 0.15, 0.15, 0.15])      # H = 1.505 nats = a token of probability 0.222
    >>> Typical(0.3).filter(logits).round(2).tolist()
    [-inf, -1.9, -1.9, -1.9, -1.9]

    Meister, Pimentel, Wiher and Cotterell (2022), arXiv:2202.00666.
    """

    def __init__(self, mass: float = 0.9, min_keep: int = 1, temperature: float = 1.0):
        self.mass = fraction(mass, "mass")
        self.min_keep = count(min_keep, "min_keep")
        self.temperature = positive(temperature, "temperature")

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        log_p = log_softmax(z)
        deviation = xp.abs(-log_p - SHANNON.from_logits(z, check=False)[:, None])
        order = xp.argsort(deviation, axis=-1, stable=True)
        mass = xp.cumulative_sum(xp.exp(take_rows(xp, log_p, order)), axis=-1)
        last = xp.sum(xp.astype(mass < self.mass, xp.int64), axis=-1, keepdims=True)
        last = xp.clip(last, min(self.min_keep, z.shape[-1]) - 1, z.shape[-1] - 1)
        return deviation <= take_rows(xp, take_rows(xp, deviation, order), last)
