"""Scores that compare a text's probability with what any text of its kind would have."""

from __future__ import annotations

import zlib as _zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plogp.text.scores.kept import Floats, Kept, reference_of, same_ids
from plogp.text.scores.registry import scoring

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = ["dc_pdd", "likelihood_ratio", "lowercase", "recall", "reference", "reference_ratio", "zlib"]


@scoring(needs=("texts",), source="Carlini et al. 2021, arXiv 2012.07805")
def zlib(trace: Trace, *, texts: Sequence[str] | None = None, protocol: str = "all") -> Floats:
    """Mean log-probability over the bytes of the text's zlib compression.

    Parameters
    ----------
    trace : Trace
    texts : sequence of str, optional
        The texts, where the trace was made from token numbers.
    protocol : {"all", "paper"}

    Raises
    ------
    ValueError
        Without texts, or with a number of them that is not the trace's.

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> t = Trace(np.array([0, 1]), np.array([0, 2]), np.ones(2, bool), -np.array([1.0, 3.0]))
    >>> zlib(t, texts=["a rose is a rose"]).round(4)          # 2 nats a token, 20 bytes
    array([-0.1])
    """
    kept = Kept(trace, protocol)
    given = trace.texts if texts is None else texts
    if given is None:
        raise ValueError("it needs the texts: trace texts and not ids, or pass texts=")
    if isinstance(given, str) or len(given) != len(trace):
        raise ValueError(f"texts must be a sequence of {len(trace)} texts, one a traced sequence")
    return kept.mean(kept.field("logprob")) / [len(_zlib.compress(text.encode())) for text in given]


@scoring(extra=("lowercased",), source="Carlini et al. 2021, arXiv 2012.07805")
def lowercase(trace: Trace, *, lowercased: Trace, protocol: str = "all") -> Floats:
    """Minus the ratio of a text's mean surprisal to that of the same text in lower case.

    Parameters
    ----------
    trace : Trace
    lowercased : Trace
        Of ``[text.lower() for text in texts]``.
    protocol : {"all", "paper"}

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> t = Trace(np.array([0, 1]), np.array([0, 2]), np.ones(2, bool), -np.array([1.0, 3.0]))
    >>> low = Trace(np.array([2, 1]), np.array([0, 2]), np.ones(2, bool), -np.array([2.0, 3.0]))
    >>> lowercase(t, lowercased=low)
    array([-0.8])
    """
    kept, low = Kept(trace, protocol), Kept(lowercased, protocol)
    if len(low) != len(kept):
        raise ValueError(f"lowercased must hold the same {len(kept)} texts in lower case, got {len(low)}")
    return -_ratio(kept.mean(kept.field("logprob")), low.mean(low.field("logprob")))


@scoring(reference="required", source="Carlini et al. 2021, arXiv 2012.07805")
def reference(trace: Trace, *, ref: str | None = None, protocol: str = "all") -> Floats:
    r"""Mean log-probability less that under a reference model, :math:`\frac1n \sum_t \log p_t(y_t) - \log q_t(y_t)`.

    Parameters
    ----------
    trace : Trace
        Made with ``references={name: model}``.
    ref : str, optional
        The reference's name; not needed where there is one.
    protocol : {"all", "paper"}

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model, other = MarkovLM([[0.9, 0.1], [0.5, 0.5]]), MarkovLM([[0.5, 0.5], [0.5, 0.5]])
    >>> reference(trace(model, [[0, 0, 0]], references={"other": other})).round(4)
    array([0.5621])
    """
    kept = Kept(trace, protocol)
    return kept.mean(kept.field("logprob") - kept.field(f"refs[{reference_of(trace, ref)}].logprob"))


@scoring(reference="required", source="as the DC-PDD release: Zhang et al. 2024, arXiv 2409.14781")
def reference_ratio(trace: Trace, *, ref: str | None = None, protocol: str = "all") -> Floats:
    """Minus the ratio of a text's mean surprisal to that under a reference model.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model, other = MarkovLM([[0.9, 0.1], [0.5, 0.5]]), MarkovLM([[0.5, 0.5], [0.5, 0.5]])
    >>> reference_ratio(trace(model, [[0, 0, 0]], references={"other": other})).round(4)
    array([-0.189])
    """
    kept = Kept(trace, protocol)
    other = kept.field(f"refs[{reference_of(trace, ref)}].logprob")
    return -_ratio(kept.mean(kept.field("logprob")), kept.mean(other))


@scoring(reference="required", source="Neyman and Pearson 1933; Koike et al. 2025, arXiv 2510.19492")
def likelihood_ratio(trace: Trace, *, ref: str | None = None, protocol: str = "all") -> Floats:
    r"""Log-likelihood ratio of a text, :math:`\Lambda = \log P_M(y) - \log Q(y)`, in nats over the whole text.

    With Q the true law of human text it is the most powerful test of every size (Neyman and Pearson), and the other
    scores are approximations of it. A model of human text is a proxy for Q.

    Parameters
    ----------
    trace : Trace
        By the model M, with Q among the references.
    ref : str, optional
        Its name.
    protocol : {"all", "paper"}

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model, other = MarkovLM([[0.9, 0.1], [0.5, 0.5]]), MarkovLM([[0.5, 0.5], [0.5, 0.5]])
    >>> likelihood_ratio(trace(model, [[0, 0, 0], [1, 1, 1]], references={"human": other})).round(4)
    array([ 1.6864, -1.0986])
    """
    kept = Kept(trace, protocol)
    total = kept.sum(kept.field("logprob") - kept.field(f"refs[{reference_of(trace, ref)}].logprob"))
    return np.where(kept.n > 0, total, np.nan)


@scoring(extra=("prefixed",), source="Xie et al. 2024, arXiv 2406.15968")
def recall(trace: Trace, *, prefixed: Trace, protocol: str = "all") -> Floats:
    """ReCaLL: the ratio of a text's mean log-probability after a prefix of non-members to that without.

    Parameters
    ----------
    trace : Trace
    prefixed : Trace
        Of the same tokens, with the prefix as `context`.
    protocol : {"all", "paper"}
        "all" takes both means over the tokens that both traces score. "paper" leaves the first token out without the
        prefix and counts it after the prefix, as the released program.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model = MarkovLM([[0.9, 0.1], [0.5, 0.5]])
    >>> recall(trace(model, [[0, 0]]), prefixed=trace(model, [[0, 0]], context=[1, 1])).round(4)
    array([2.7757])
    """
    same_ids(trace, prefixed, "prefixed")
    kept = Kept(trace, protocol)
    above = Kept(prefixed, "all")
    if protocol == "all":
        both = np.asarray(trace.scored) & np.asarray(prefixed.scored)
        kept, above = kept.only(both), above.only(both)
    return _ratio(above.mean(above.field("logprob")), kept.mean(kept.field("logprob")))


@scoring(reference="unigram", source="Zhang et al. 2024, arXiv 2409.14781")
def dc_pdd(trace: Trace, *, freq: Any = "unigram", clip: float | None = 0.01, protocol: str = "all") -> Floats:
    r"""DC-PDD: mean over the first occurrences of a text's tokens of :math:`\min(p_t(y_t) \log 1/f(y_t),\, a)`.

    f is the frequency of the token in a large public corpus, counted with the model's tokenizer, so that a text is
    not taken for a member because its words are common. Note that the factor is the probability p, not its logarithm.

    Parameters
    ----------
    trace : Trace
    freq : str, TokenFrequency, or array of shape (V,)
        The name of the reference that holds the frequencies, or the frequencies (smoothed: none may be 0).
    clip : float or None
        The bound a; 0.01 is the paper's, for models of 50,000 tokens. Only terms below it differ, so a low bound makes
        the score one of the tokens that the model finds unlikely, and a high one of those that it finds likely. Try
        several on texts that are known.
    protocol : {"all", "paper"}
        "paper" leaves out the first token. The released program returns minus this score.

    Raises
    ------
    ValueError
        For a frequency of 0 of a token of the text, frequencies that do not sum to 1 or are too few, or a clip that
        is not positive.

    Examples
    --------
    >>> from plogp.trace import Trace
    >>> t = Trace(np.array([0, 1, 0]), np.array([0, 3]), np.ones(3, bool), np.log([0.5, 0.25, 0.9]))
    >>> dc_pdd(t, freq=[0.5, 0.5], clip=None) / np.log(2)          # the second 0 does not count
    array([0.375])

    References
    ----------
    W. Zhang et al., 2024, arXiv 2409.14781.
    """
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be positive or None, got {clip!r}")
    kept = Kept(trace, protocol)
    ids = np.asarray(trace.ids, np.int64)[kept.index]
    log_f = kept.field(f"refs[{reference_of(trace, freq)}].logprob") if isinstance(freq, str) else _log(freq, ids)
    if np.isneginf(log_f).any():
        raise ValueError("freq is 0 for a token of the text; smooth it, as TokenFrequency does")
    terms = np.exp(kept.field("logprob")) * -log_f
    if clip is not None:
        terms = np.minimum(terms, clip)
    first = np.unique(kept.owner * (int(ids.max(initial=0)) + 1) + ids, return_index=True)[1]
    where = np.zeros(len(trace.ids), bool)
    where[kept.index[first]] = True
    return kept.only(where).mean(terms[np.sort(first)])


def _log(freq: Any, ids: Any) -> Floats:
    f = np.asarray(getattr(freq, "probability", freq), np.float64)
    if f.ndim != 1 or not (f >= 0).all():
        raise ValueError(f"freq must be a vector of frequencies, one a token of the vocabulary, got shape {f.shape}")
    if len(ids) and int(ids.max()) >= len(f):
        raise ValueError(
            f"freq has {len(f)} entries, but the text holds token {int(ids.max())}: one tokenizer for both"
        )
    if not abs(f.sum() - 1) < 1e-4:
        raise ValueError(f"freq must sum to 1, got {f.sum():.6g}; counts become frequencies by TokenFrequency")
    with np.errstate(divide="ignore"):
        return np.log(f[ids])


def _ratio(a: Floats, b: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return a / b
