"""Scores of a text that need one model and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plogp.text.scores.kept import Floats, Kept
from plogp.text.scores.registry import scoring

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = ["entropy", "logrank", "loss", "lrr", "min_k", "min_k_pp", "rank", "standardised_tokens"]


@scoring(source="Yeom et al. 2018; Solaiman et al. 2019")
def loss(trace: Trace, *, protocol: str = "all") -> Floats:
    r"""Mean log-probability of a text's tokens, :math:`\frac1n \sum_t \log p_t(y_t)`: minus the loss, in nats.

    Parameters
    ----------
    trace : Trace
    protocol : {"all", "paper"}
        Count every scored token, or leave out each text's first, as the released programs of the detectors do.

    Returns
    -------
    array, shape (S,)
        Larger for machine text and members; NaN for a text without scored tokens.

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> t = Trace(np.array([1, 0, 1]), np.array([0, 2, 3]), np.ones(3, bool), np.log([0.5, 0.125, 0.5]))
    >>> loss(t).round(4)
    array([-1.3863, -0.6931])
    """
    kept = Kept(trace, protocol)
    return kept.mean(kept.field("logprob"))


@scoring(needs=("entropy",), source="Gehrmann, Strobelt and Rush 2019")
def entropy(trace: Trace, *, protocol: str = "all") -> Floats:
    r"""Minus the mean entropy of the model's law along the text, :math:`-\frac1n \sum_t H_t`.

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> H = np.array([1.0, 0.5])
    >>> t = Trace(np.array([0, 1]), np.array([0, 2]), np.ones(2, bool), np.log([0.5, 0.125]), entropy=H)
    >>> entropy(t)
    array([-0.75])
    """
    kept = Kept(trace, protocol)
    return -kept.mean(kept.field("entropy"))


@scoring(needs=("rank",), source="Gehrmann, Strobelt and Rush 2019")
def rank(trace: Trace, *, protocol: str = "all") -> Floats:
    """Minus the mean rank of the tokens in the model's law; 1 is the most likely.

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> t = Trace(np.array([0, 1]), np.array([0, 2]), np.ones(2, bool), np.log([0.5, 0.125]), rank=np.array([1, 4]))
    >>> rank(t)
    array([-2.5])
    """
    kept = Kept(trace, protocol)
    return -kept.mean(kept.field("rank"))


@scoring(needs=("rank",), source="Gehrmann, Strobelt and Rush 2019; Mitchell et al. 2023, arXiv 2301.11305")
def logrank(trace: Trace, *, protocol: str = "all") -> Floats:
    """Minus the mean natural logarithm of the rank.

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> t = Trace(np.array([0, 1]), np.array([0, 2]), np.ones(2, bool), np.log([0.5, 0.125]), rank=np.array([1, 4]))
    >>> logrank(t).round(4)                # half of ln 4
    array([-0.6931])
    """
    kept = Kept(trace, protocol)
    return -kept.mean(np.log(kept.field("rank")))


@scoring(needs=("rank",), source="Su et al. 2023, arXiv 2306.05540")
def lrr(trace: Trace, *, protocol: str = "all") -> Floats:
    r"""Likelihood log-rank ratio, :math:`-\sum_t \log p_t(y_t) \,/\, \sum_t \ln r_t`; infinite if all ranks are 1.

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> t = Trace(np.array([0, 1]), np.array([0, 2]), np.ones(2, bool), np.log([0.5, 0.125]), rank=np.array([1, 4]))
    >>> lrr(t).round(4)                    # ln 16 / ln 4
    array([2.])
    """
    kept = Kept(trace, protocol)
    return kept.over(-kept.sum(kept.field("logprob")), kept.sum(np.log(kept.field("rank"))))


@scoring(source="Shi et al. 2024, arXiv 2310.16789")
def min_k(trace: Trace, *, k: float = 0.2, protocol: str = "all") -> Floats:
    r"""Min-K %: mean log-probability of the :math:`\max(1, \lfloor k n \rfloor)` least likely tokens of a text.

    Parameters
    ----------
    trace : Trace
    k : float
        The share, 0 < k <= 1.
    protocol : {"all", "paper"}
        "paper" leaves out the first token and takes ⌊k n⌋ tokens, so that a text of fewer than 1 / k is NaN.

    Raises
    ------
    ValueError
        For a share outside (0, 1].

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> t = Trace(np.arange(5), np.array([0, 5]), np.ones(5, bool), -np.array([1.0, 5.0, 2.0, 4.0, 3.0]))
    >>> min_k(t, k=0.4)
    array([-4.5])
    """
    kept = Kept(trace, protocol)
    return kept.smallest(kept.field("logprob"), _share(k), at_least=int(protocol == "all"))


@scoring(needs=("entropy", "varentropy"), source="Zhang et al. 2025, arXiv 2404.02936")
def min_k_pp(trace: Trace, *, k: float = 0.2, protocol: str = "all") -> Floats:
    r"""Min-K %++: as Min-K %, of the standardised log-probabilities :math:`(\log p_t(y_t) + H_t) / \sqrt{V_t}`.

    A token of which the model is certain (V = 0) counts 0, where the released program has NaN.

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> facts = {"entropy": np.ones(2), "varentropy": np.full(2, 0.25)}
    >>> t = Trace(np.array([0, 1]), np.array([0, 2]), np.ones(2, bool), -np.array([1.0, 3.0]), **facts)
    >>> min_k_pp(t)                        # (-3 + 1) / 0.5
    array([-4.])
    """
    kept = Kept(trace, protocol)
    return kept.smallest(standardised_tokens(kept), _share(k), at_least=int(protocol == "all"))


def standardised_tokens(kept: Kept) -> Floats:
    r"""Return :math:`(\log p_t(y_t) + H_t) / \sqrt{V_t}` of the kept tokens, with 0 / 0 := 0."""
    above = kept.field("logprob") + kept.field("entropy")
    below = np.sqrt(np.maximum(kept.field("varentropy"), 0.0))
    with np.errstate(divide="ignore"):
        return np.divide(above, below, out=np.where(np.isneginf(above), -np.inf, 0.0), where=below > 0)


def _share(k: float) -> float:
    if not 0 < k <= 1:
        raise ValueError(f"k must be a share in (0, 1], got {k!r}")
    return float(k)
