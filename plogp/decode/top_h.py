"""Top-H: the most probable tokens whose renormalised entropy stays below a share of the model's."""

from __future__ import annotations

from typing import Any

from plogp.decode.sampler import SHANNON, count, fraction, positive
from plogp.decode.truncation import Tempered, descending, first_ranked
from plogp.measures.arrays import Array, log_softmax, xlogx

__all__ = ["RULES", "TopH", "prefix_entropy"]

#: The paper's rule, the one of transformers, and the one of the authors' code.
RULES = ("renormalised", "partial", "released")


class TopH(Tempered):
    """Keep the longest prefix of the most probable tokens with H(q) <= α H(p), q the renormalised prefix.

    Among sets S with H(q_S) <= α H(p) the one of the largest mass Γ has the smallest Jensen-Shannon divergence to p,
    which depends on Γ only; finding it is NP-hard, and adding tokens from the most probable down is the paper's greedy
    answer. The entropy of a prefix, H(q) = log Γ − (1/Γ) Σ p log p, never falls as the prefix grows, so the first
    violation ends the search. The most probable token is always kept.

    Parameters
    ----------
    alpha : float
        α in (0, 1]; the paper uses 0.4.
    top_n : int or None
        Only so many candidates; None takes all.
    rule : {"renormalised", "partial", "released"}
        ``"renormalised"`` is the paper's constraint. ``"partial"`` is what transformers' ``top_h`` does: over the
        candidates, renormalised to mass 1, keep while Σ −p log p <= α times its total. ``"released"`` is the authors'
        code: the same without the renormalisation. The last two do not bound H(q).
    temperature : float
        Divides the logits first; the returned logits are the divided ones. (The authors' class divides inside, but
        returns the undivided logits, and relies on transformers to divide them again.)
    min_keep : int
        At least so many.

    Raises
    ------
    ValueError
        For an unknown rule, α outside (0, 1], or a temperature that is not positive.

    Notes
    -----
    Tokens of equal probability are taken in the order of their ids: keeping all that tie would break the bound (of a
    uniform law it would keep everything). transformers takes them in the order of its ``topk``, so that with ties at
    the border the same number is kept, but perhaps another of the equals. H(p) is the entropy over the whole
    vocabulary for ``"renormalised"``, of the candidates otherwise. The authors' class takes one row at a time and ends
    with an error for a vocabulary of fewer than 100, for α = 1 and for a candidate of probability 0; here none of
    these is one.

    Examples
    --------
    >>> import numpy as np
    >>> p = [0.5, 0.2, 0.15, 0.1, 0.05]
    >>> TopH(0.5).filter(np.log(p)).round(2).tolist()
    [-0.69, -1.61, -inf, -inf, -inf]
    >>> TopH(0.5, rule="partial").filter(np.log(p)).round(2).tolist()
    [-0.69, -inf, -inf, -inf, -inf]

    Baghaei Potraghloo, Azizi, Kundu and Pedram (2025), arXiv:2509.02510.
    """

    def __init__(
        self,
        alpha: float = 0.4,
        top_n: int | None = 100,
        rule: str = "renormalised",
        temperature: float = 1.0,
        min_keep: int = 1,
    ):
        if rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(map(repr, RULES))}, got {rule!r}")
        self.alpha = fraction(alpha, "alpha")
        self.top_n = None if top_n is None else count(top_n, "top_n")
        self.rule = rule
        self.temperature = positive(temperature, "temperature")
        self.min_keep = count(min_keep, "min_keep")

    def keep(self, xp: Any, z: Array, state: Any) -> Array:
        ranked = descending(xp, z)
        log_p = log_softmax(ranked)[:, : self.top_n]
        if self.rule == "renormalised":
            inside = prefix_entropy(xp, log_p) <= self.alpha * SHANNON.from_logits(z, check=False)[:, None]
        else:
            spent = xp.cumulative_sum(-xlogx(xp.exp(log_softmax(log_p) if self.rule == "partial" else log_p)), axis=-1)
            inside = spent <= self.alpha * spent[:, -1:]
        # The prefix up to the first violation; rounding may let a later entry in again.
        size = xp.sum(xp.cumulative_prod(xp.astype(inside, xp.int64), axis=-1), axis=-1, keepdims=True)
        return first_ranked(xp, z, ranked, xp.clip(size, min(self.min_keep, z.shape[-1]), None))


def prefix_entropy(xp: Any, log_p: Array) -> Array:
    """Return the entropy, in nats, of each renormalised prefix of log-probabilities (B, n).

    >>> import numpy as np
    >>> prefix_entropy(np, np.log([[0.5, 0.5]])).round(4).tolist()
    [[0.0, 0.6931]]
    """
    p = xp.exp(log_p - log_p[:, :1])  # relative to the first: no prefix has a mass of 0
    mass = xp.cumulative_sum(p, axis=-1)
    return xp.log(mass) - xp.cumulative_sum(xlogx(p), axis=-1) / mass
