"""Expected surprisals of one or two distributions: cross-entropy, perplexity, redundancy."""

from __future__ import annotations

import math
from typing import Any

from plogp.measures.arrays import Array, check_axis, floats, is_traced, log_softmax, xlogy
from plogp.measures.entropy import entropy, hill_number
from plogp.measures.functional import Distribution, Functional, log_factor
from plogp.measures.grouping import last, mass_one, result

__all__ = [
    "cross_entropy",
    "cross_entropy_from_logits",
    "perplexity",
    "redundancy",
    "sequence_perplexity",
]


class CrossEntropy(Functional):
    """The functional of two distributions behind :func:`cross_entropy`."""

    name = "cross_entropy"
    _additive = True

    def _reduce(self, p: Distribution, q: Distribution) -> Array:
        return -p.xp.sum(xlogy(p.p, q.p), axis=-1) + 0.0  # -0.0 of a certain outcome becomes 0.0


def cross_entropy(p: Array, q: Array, axis: int = -1, *, base: float | None = None, normalize: bool = False) -> Any:
    """Return the cross-entropy ``-Σ p log q``: the mean code length of data from p under the model q.

    Parameters
    ----------
    p, q : array, shape (..., K)
        Data and model; leading axes broadcast.
    axis : int
        The probability axis.
    base : float, optional
        Logarithm base; nats by default.
    normalize : bool
        Divide both by their mass first.

    Returns
    -------
    array, shape (...)
        ``H(p) + KL(p‖q)``; infinite where q misses mass of p.

    Raises
    ------
    ValueError
        If an argument is no distribution, or the shapes do not match.

    Examples
    --------
    >>> float(cross_entropy([0.5, 0.5], [0.25, 0.75], base=2))
    1.207518749639422
    >>> float(cross_entropy([1.0, 0.0], [1.0, 0.0])), float(cross_entropy([0.5, 0.5], [1.0, 0.0]))
    (0.0, inf)

    References
    ----------
    I. J. Good 1963; T. Cover and J. Thomas, Elements of Information Theory, 2006.
    """
    kind = CrossEntropy()
    return kind._of_probabilities(kind._reduce, {"p": p, "q": q}, axis, base, normalize, check=True)


def cross_entropy_from_logits(
    p: Array, logits: Array, axis: int = -1, *, base: float | None = None, normalize: bool = False
) -> Any:
    """Return the cross-entropy of data p under ``softmax(logits)``, computed in the log domain.

    Parameters
    ----------
    p : array, shape (..., K), or integer array, shape (...)
        Target distributions, or the index of the one correct state of each row.
    logits : array, shape (..., K)
        Unnormalised log-probabilities; -inf masks a state, ±1e4 is harmless.
    axis : int
        The state axis of `logits` (and of `p`, where it has one).
    base : float, optional
        Logarithm base; nats by default.
    normalize : bool
        Divide p by its mass first.

    Raises
    ------
    ValueError
        If p is no distribution, an index is out of range, or the logits hold NaN, +inf or only -inf.

    Examples
    --------
    >>> round(float(cross_entropy_from_logits([0.0, 1.0], [1e4, 1e4 - 2.0])), 9)
    2.126928011
    >>> cross_entropy_from_logits([0, 1], [[5.0, -math.inf], [0.0, 0.0]])
    array([0.        , 0.69314718])

    References
    ----------
    T. Cover and J. Thomas, Elements of Information Theory, 2006.
    """
    factor = log_factor(base)
    xp, (target, scores), out = floats(p=p, logits=logits)
    scores = last(xp, scores, axis, "logits")
    if target.ndim == scores.ndim - 1:
        target = _one_hot(xp, target, scores)
    else:
        target = last(xp, target, axis, "p")
        _same_states(target, scores, ("p", "logits"))
        target = mass_one(xp, target, (-1,), "p", normalize, out)
    if not is_traced(scores) and not bool(xp.all(xp.isfinite(xp.max(scores, axis=-1)))):
        raise ValueError("logits hold NaN, +inf, or a row that is masked (-inf) throughout")
    log_q = log_softmax(scores)
    off = (target == 0) & (log_q == -math.inf)
    terms = target * xp.where(off, xp.zeros_like(log_q), log_q)
    return result(xp, -xp.sum(terms, axis=-1) + 0.0, factor, out)


def perplexity(p: Array, axis: int = -1, *, normalize: bool = False) -> Any:
    """Return ``exp(H(p))``, the number of equally likely states with the same entropy (Hill number of order 1).

    For the perplexity of a model on a sequence see `sequence_perplexity`.

    Parameters
    ----------
    p : array, shape (..., K)
        Probabilities along `axis`.
    axis : int
        The probability axis.
    normalize : bool
        Divide by the mass first.

    Examples
    --------
    >>> round(float(perplexity([0.25, 0.25, 0.25, 0.25])), 12)
    4.0

    References
    ----------
    F. Jelinek et al. 1977.
    """
    return hill_number(p, 1.0, axis, normalize=normalize)


def sequence_perplexity(log_probs: Array, mask: Array | None = None, axis: int = -1) -> Any:
    """Return ``exp(-mean log p(x_t))`` over the tokens of each sequence, padding left out.

    Parameters
    ----------
    log_probs : array, shape (..., T)
        Log-probability (nats) that the model gave to each token that occurred.
    mask : array, shape (..., T), optional
        Nonzero where a token counts; by default all count.
    axis : int
        The token axis.

    Raises
    ------
    ValueError
        For log-probabilities that are NaN or above 0, a mask of another shape, or a sequence of no tokens.

    Examples
    --------
    >>> import numpy as np
    >>> float(sequence_perplexity(np.log([0.5, 0.125, 0.9]), mask=[1, 1, 0]))
    4.0

    References
    ----------
    F. Jelinek et al. 1977.
    """
    xp, (log_probs,), out = floats(log_probs=log_probs)
    log_probs = last(xp, log_probs, axis, "log_probs")
    keep = xp.ones_like(log_probs) if mask is None else last(xp, floats(m=log_probs, mask=mask)[1][1], axis, "mask")
    if keep.shape != log_probs.shape:
        raise ValueError(f"mask must have the shape of log_probs, got {tuple(keep.shape)} and {tuple(log_probs.shape)}")
    on = keep != 0
    kept = xp.where(on, log_probs, xp.zeros_like(log_probs))
    count = xp.sum(xp.astype(on, log_probs.dtype), axis=-1)
    if not is_traced(kept):
        if bool(xp.any(~(kept <= 0))):
            raise ValueError("log_probs must be log-probabilities: every token's is <= 0 and not NaN")
        if bool(xp.any(count == 0)):
            raise ValueError("log_probs holds a sequence of no tokens (nothing left by the mask)")
    return result(xp, xp.exp(-xp.sum(kept, axis=-1) / count), 1.0, out)


def redundancy(p: Array, axis: int = -1, *, normalize: bool = False) -> Any:
    """Return ``1 - H(p)/log K``: the share of the alphabet's capacity that the distribution leaves unused.

    Parameters
    ----------
    p : array, shape (..., K)
        Probabilities along `axis`; K counts states of probability 0 too.
    axis : int
        The probability axis.
    normalize : bool
        Divide by the mass first.

    Returns
    -------
    array, shape (...)
        Between 0 (uniform) and 1 (certain); 0 for an alphabet of one letter.

    Examples
    --------
    >>> float(redundancy([1.0, 0.0])), round(float(redundancy([0.5, 0.5, 0.0])), 6)
    (1.0, 0.36907)

    References
    ----------
    C. E. Shannon 1948.
    """
    _, (rows,), _ = floats(p=p)
    letters = rows.shape[check_axis(rows.shape, axis, "p")]
    information = entropy(p, axis=axis, normalize=normalize)
    return information * 0.0 if letters == 1 else 1.0 - information / math.log(letters)


def _same_states(p: Array, q: Array, names: tuple[str, str]) -> None:
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of states, got shapes "
            f"{tuple(p.shape)} and {tuple(q.shape)}"
        )


def _one_hot(xp: Any, index: Array, scores: Array) -> Array:
    states = scores.shape[-1]
    if index.shape != scores.shape[:-1]:
        raise ValueError(
            f"p must hold one state per row of logits, got shapes {tuple(index.shape)} and {tuple(scores.shape)}"
        )
    whole = xp.round(index)
    if not is_traced(index) and not bool(xp.all((index == whole) & (index >= 0) & (index < states))):
        raise ValueError(f"p must hold state indices from 0 to {states - 1}")
    where = {} if not hasattr(scores, "device") else {"device": scores.device}
    return xp.astype(index[..., None] == xp.arange(states, dtype=index.dtype, **where), scores.dtype)
