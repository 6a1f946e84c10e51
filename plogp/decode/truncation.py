"""Truncations: which tokens may be drawn at all. Top-k, top-p, min-p, epsilon, eta, and what the others build on."""

from __future__ import annotations

import math
from typing import Any

from plogp.decode.sampler import SHANNON, Sampler, count, fraction, take_rows, tempered
from plogp.measures.arrays import Array, log_softmax

__all__ = [
    "Epsilon",
    "Eta",
    "MinP",
    "Tempered",
    "TopK",
    "TopP",
    "Truncation",
    "descending",
    "first_ranked",
    "kth_largest",
]


class Truncation(Sampler):
    """A sampler that removes tokens and leaves the other logits as they are.

    A subclass says in `keep` which tokens stay. At least `min_keep` tokens stay in any case (the most probable ones),
    and tokens that tie with the last one kept are kept with it, so that no rule depends on the order of the ids.
    """

    min_keep: int = 1

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        """Return the mask (B, V) of the tokens that stay."""
        raise NotImplementedError

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        mask = self.keep(xp, z, state)
        return xp.where(mask, z, xp.full_like(z, -math.inf)), state


class Tempered(Truncation):
    """A truncation that divides the logits by a `temperature` of its own first, and returns the divided ones."""

    temperature: float = 1.0

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        return super()._edit(xp, tempered(xp, z, self.temperature), state, ids)


class TopK(Truncation):
    """Keep the k most probable tokens.

    Parameters
    ----------
    k : int
        How many; more than V keeps all. Tokens with the logit of the k-th are kept too.
    min_keep : int
        At least so many.

    Raises
    ------
    ValueError, TypeError
        If `k` is not a whole number of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> TopK(2).filter(np.array([3.0, 1.0, 2.0])).tolist()
    [3.0, -inf, 2.0]

    Same mask as transformers' ``TopKLogitsWarper``. Fan, Lewis and Dauphin (2018), arXiv:1805.04833.
    """

    def __init__(self, k: int = 50, min_keep: int = 1):
        self.k = count(k, "k")
        self.min_keep = count(min_keep, "min_keep")

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        return z >= kth_largest(xp, z, max(self.k, self.min_keep))


class TopP(Truncation):
    """Keep the nucleus: the smallest set of most probable tokens whose mass reaches `mass`.

    A token stays where the tokens more probable than it hold less than `mass`.

    Parameters
    ----------
    mass : float
        p in (0, 1]; 1 keeps every token of positive probability.
    min_keep : int
        At least so many.

    Notes
    -----
    Tokens that tie with the last of the nucleus all stay; transformers' ``TopPLogitsWarper`` keeps some of them in
    the order of an unstable sort. The masks are equal where nothing ties at the border.

    Examples
    --------
    >>> import numpy as np
    >>> TopP(0.7).filter(np.log([0.5, 0.3, 0.2])).round(3).tolist()
    [-0.693, -1.204, -inf]

    Holtzman, Buys, Du, Forbes and Choi (2020), arXiv:1904.09751.
    """

    def __init__(self, mass: float = 0.9, min_keep: int = 1):
        self.mass = fraction(mass, "mass")
        self.min_keep = count(min_keep, "min_keep")

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        # Summed from the least probable up: at a mass near 1 nothing is lost to rounding.
        up = xp.sort(z, axis=-1)
        outside = xp.cumulative_sum(xp.exp(log_softmax(up)), axis=-1) <= 1.0 - self.mass
        removed = xp.sum(xp.astype(outside, xp.int64), axis=-1, keepdims=True)
        return z >= take_rows(xp, up, xp.clip(removed, None, max(z.shape[-1] - self.min_keep, 0)))


class MinP(Truncation):
    """Keep the tokens whose probability is at least `ratio` times that of the most probable one.

    Parameters
    ----------
    ratio : float
        In [0, 1]; 0 keeps all, 1 keeps the most probable (and its ties).
    min_keep : int
        At least so many.

    Notes
    -----
    The rule reads ``z >= max z + log ratio``; no normaliser is needed. Same mask as transformers'
    ``MinPLogitsWarper``, except where rounding of the softmax decides on an exact quotient.

    Examples
    --------
    >>> import numpy as np
    >>> MinP(0.5).filter(np.log([0.5, 0.3, 0.2])).round(3).tolist()
    [-0.693, -1.204, -inf]

    Nguyen et al. (2025), arXiv:2407.01082.
    """

    def __init__(self, ratio: float = 0.1, min_keep: int = 1):
        self.ratio = fraction(ratio, "ratio", zero=True)
        self.min_keep = count(min_keep, "min_keep")

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        top = xp.max(z, axis=-1, keepdims=True)
        mask = z >= top + (math.log(self.ratio) if self.ratio > 0 else -math.inf)
        return mask | (z >= kth_largest(xp, z, self.min_keep))


class Epsilon(Truncation):
    """Keep the tokens of probability at least ε, and the most probable in any case.

    Parameters
    ----------
    epsilon : float
        In (0, 1].
    min_keep : int
        At least so many.

    Examples
    --------
    >>> import numpy as np
    >>> Epsilon(0.25).filter(np.log([0.5, 0.3, 0.2])).round(3).tolist()
    [-0.693, -1.204, -inf]

    Same mask as transformers' ``EpsilonLogitsWarper``. Hewitt, Manning and Liang (2022), arXiv:2210.15191.
    """

    def __init__(self, epsilon: float = 3e-4, min_keep: int = 1):
        self.epsilon = fraction(epsilon, "epsilon")
        self.min_keep = count(min_keep, "min_keep")

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        return (xp.exp(log_softmax(z)) >= self.epsilon) | (z >= kth_largest(xp, z, self.min_keep))


class Eta(Truncation):
    """Keep the tokens of probability at least min(ε, √ε e^(-H)), H the entropy in nats.

    Where the model is uncertain the threshold falls with the probability of a typical token.

    Parameters
    ----------
    epsilon : float
        In (0, 1].
    min_keep : int
        At least so many.

    Examples
    --------
    >>> import numpy as np
    >>> Eta(0.25).filter(np.log([0.7, 0.26, 0.04])).round(3).tolist()
    [-0.357, -1.347, -inf]

    Same mask as transformers' ``EtaLogitsWarper``. Hewitt, Manning and Liang (2022), arXiv:2210.15191.
    """

    def __init__(self, epsilon: float = 3e-4, min_keep: int = 1):
        self.epsilon = fraction(epsilon, "epsilon")
        self.min_keep = count(min_keep, "min_keep")

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        by_entropy = math.sqrt(self.epsilon) * xp.exp(-SHANNON.from_logits(z, check=False))
        least = xp.clip(by_entropy, None, self.epsilon)[:, None]
        return (xp.exp(log_softmax(z)) >= least) | (z >= kth_largest(xp, z, self.min_keep))


def kth_largest(xp: Any, z: Array, k: int) -> Array:
    """Return the k-th largest logit of each row, shape (B, 1); the smallest where there are fewer."""
    if k == 1:
        return xp.max(z, axis=-1, keepdims=True)
    at = min(k, z.shape[-1]) - 1
    return descending(xp, z)[:, at : at + 1]


def descending(xp: Any, z: Array) -> Array:
    """Return each row sorted downwards."""
    return -xp.sort(-z, axis=-1)


def first_ranked(xp: Any, z: Array, ranked: Array, size: Array) -> Array:
    """Return the mask of the `size` (B, 1) largest of each row, equals in the order of their ids."""
    last = take_rows(xp, ranked, size - 1)
    above, equal = z > last, xp.astype(z == last, xp.int64)
    left = size - xp.sum(xp.astype(above, xp.int64), axis=-1, keepdims=True)
    return above | ((equal == 1) & (xp.cumulative_sum(equal, axis=-1) <= left))
