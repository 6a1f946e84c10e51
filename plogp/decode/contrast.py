"""Contrast of two streams: the same continuation read behind two prompts, one of them without what should count."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.decode.sampler import Sampler, fraction, like
from plogp.measures import divergence
from plogp.measures.arrays import Array, floats, log_softmax, namespace
from plogp.trace.predictors import as_ids, session

__all__ = ["CAD", "USCD", "AdaCAD", "Contrast", "SecondStream", "lame_prompt", "spread"]

Ids = npt.NDArray[np.int64]
#: (log p, log q) of the two streams, (B, V) each, to one number a row.
RowRule = Callable[[Array, Array], Array]


class SecondStream:
    """The other prompt's reading of the same continuation, kept in step with the main one.

    Parameters
    ----------
    predictor : Predictor
        Anything that `plogp.trace.session` takes; where it keeps a cache, each new token costs one step.
    prompt_ids : sequence of int, or list of them
        The other prompt; one for all rows of a batch, or one each.

    Raises
    ------
    ValueError
        For several prompts and another number of rows.

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> stream = SecondStream(MarkovLM([[0.9, 0.1], [0.5, 0.5]]), [0])
    >>> np.exp(stream.logits(np.zeros((1, 0), dtype=int))).round(2).tolist()
    [[0.9, 0.1]]
    >>> np.exp(stream.logits(np.array([[1]]))).round(2).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, predictor: Any, prompt_ids: Any):
        self.predictor = predictor
        several = isinstance(prompt_ids, (list, tuple)) and len(prompt_ids) > 0 and np.ndim(prompt_ids[0]) == 1
        several = several or (hasattr(prompt_ids, "ndim") and prompt_ids.ndim == 2)
        self.several = several
        rows = list(prompt_ids) if several else [prompt_ids]
        self.prompts = [as_ids(row, predictor.vocab_size, "prompt_ids") for row in rows]
        self._sessions: list[Any] = []

    def logits(self, emitted: Any) -> npt.NDArray[Any]:
        """Return the logits (B, V) behind the prompt and the tokens emitted since, (B, n)."""
        emitted = np.asarray(emitted, dtype=np.int64)
        prompts = self.prompts if self.several else self.prompts * len(emitted)
        if len(prompts) != len(emitted):
            raise ValueError(f"the second stream has {len(prompts)} prompts for {len(emitted)} sequences")
        if len(self._sessions) != len(prompts):
            first: dict[bytes, Any] = {}
            for prompt in prompts:
                if prompt.tobytes() not in first:
                    first[prompt.tobytes()] = session(self.predictor, prompt)
            self._sessions = [first[prompt.tobytes()].copy() for prompt in prompts]
        return np.stack([_follow(s, p, row) for s, p, row in zip(self._sessions, prompts, emitted, strict=True)])

    def __repr__(self) -> str:
        return f"SecondStream({self.predictor!r}, {len(self.prompts)} prompt{'s' * (len(self.prompts) != 1)})"


def _follow(reader: Any, prompt: Ids, emitted: Ids) -> Any:
    """Bring a session to `prompt` + `emitted` by the shortest way; return its logits."""
    read, wanted = reader.ids, np.concatenate([prompt, emitted])
    n = min(len(read), len(wanted))
    differ = np.flatnonzero(read[:n] != wanted[:n])
    common = int(differ[0]) if len(differ) else n
    if common < len(read):
        reader.rewind(len(read) - common)
    if common < len(wanted):
        reader.feed(wanted[common:])
    return reader.logits


class Contrast(Sampler):
    """Tilt the main stream's law p away from a second stream's law q.

    In ``space="logit"``, log p' = (1 + w) log p − w log q: the product p (p/q)^w. In ``space="prob"``, p' ∝ p − w q
    over the tokens with p >= `keep` / V, and what is not positive removed; where nothing is left, the most probable
    token of p.

    Parameters
    ----------
    second : SecondStream or callable
        Or a function of the emitted tokens (B, n) to logits (B, V).
    weight : float or callable
        w, or (log p, log q) -> w (B,).
    space : {"logit", "prob"}
    gate : callable, optional
        (log p, log q) -> bool (B,): the rows to contrast. The others keep the main stream.
    keep : float
        For "prob": a token takes part if its probability is at least `keep` times the mean one, 1/V.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, or logits of different vocabularies.

    Notes
    -----
    The sampler is stateful, because the second stream reads what was drawn: its state is the tokens emitted so far.
    Both laws are the full ones, before temperature and truncation: put the contrast first in a pipeline. A token that
    q holds impossible and p does not has an infinite ratio: where there are such tokens and w > 0 in "logit" space,
    only they are kept, with (1 + w) log p.

    Examples
    --------
    >>> import numpy as np
    >>> Contrast(lambda emitted: np.log([[0.5, 0.5]]), weight=1.0).filter(np.log([[0.75, 0.25]])).round(3).tolist()
    [[0.118, -2.079]]
    """

    stateful = True

    def __init__(
        self,
        second: Any,
        weight: float | RowRule = 0.5,
        *,
        space: str = "logit",
        gate: RowRule | None = None,
        keep: float = 0.0,
    ):
        if not callable(second) and not hasattr(second, "logits"):
            raise TypeError(f"second must be a SecondStream or a function of tokens, got {type(second).__name__}")
        if space not in ("logit", "prob"):
            raise ValueError(f"space must be 'logit' or 'prob', got {space!r}")
        if not callable(weight) and not (0 <= float(weight) < math.inf):
            raise ValueError(f"weight must be a number >= 0 or a function of (log p, log q), got {weight!r}")
        if not 0 <= keep < math.inf:
            raise ValueError(f"keep must be a number >= 0, got {keep!r}")
        self.second = second
        self.weight = weight
        self.space = space
        self.gate = gate
        self.keep = float(keep)

    def init_state(self, batch: int) -> Any:
        return np.zeros((batch, 0), dtype=np.int64)

    def observe(self, token: Any, logprob: Any, state: Any) -> Any:
        token = np.asarray(token.detach().cpu() if hasattr(token, "detach") else token, dtype=np.int64)
        return np.concatenate([state, token.reshape(-1, 1)], axis=1)

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        if len(state) != z.shape[0]:
            raise ValueError(f"state must hold one sequence per row of logits, {z.shape[0]}, got {len(state)}")
        read = self.second.logits if hasattr(self.second, "logits") else self.second
        return self.combine(z, like(xp, read(state), z)), state

    def combine(self, logits: Array, other: Array) -> Array:
        """Return the contrasted scores of two logits arrays (B, V), the main stream first."""
        xp, (z, y), _ = floats(logits=logits, other=other)
        if z.shape != y.shape:
            raise ValueError(
                f"the two streams must have one vocabulary and batch, got shapes {tuple(z.shape)}, {tuple(y.shape)}"
            )
        log_p, log_q = log_softmax(z), log_softmax(y)
        out = self._probabilities(xp, log_p, log_q) if self.space == "prob" else self._logits(xp, log_p, log_q)
        if self.gate is None:
            return out
        return xp.where(self.gate(log_p, log_q)[:, None], out, log_p)

    def weights(self, log_p: Array, log_q: Array) -> Array:
        """Return w (B,) of two log-probability arrays."""
        if callable(self.weight):
            return self.weight(log_p, log_q)
        return namespace(log_p).full_like(log_p[:, 0], float(self.weight))

    def _logits(self, xp: Any, log_p: Array, log_q: Array) -> Array:
        w = self.weights(log_p, log_q)[:, None]
        out, zero = xp.full_like(log_p, -math.inf), xp.zeros_like(log_p)
        possible, unlimited = log_p > -math.inf, (log_p > -math.inf) & (log_q == -math.inf) & (w > 0)
        finite = xp.where(possible, log_p, zero)
        ratio = finite - xp.where(log_q == -math.inf, finite, log_q)
        kept = possible & (unlimited | ~xp.any(unlimited, axis=-1, keepdims=True))
        return xp.where(kept, finite + w * xp.where(unlimited, finite, ratio), out)

    def _probabilities(self, xp: Any, log_p: Array, log_q: Array) -> Array:
        p, q = xp.exp(log_p), xp.exp(log_q)
        left = p - self.weights(log_p, log_q)[:, None] * q
        kept = (p >= self.keep / p.shape[-1]) & (left > 0)
        kept = kept | (~xp.any(kept, axis=-1, keepdims=True) & (p == xp.max(p, axis=-1, keepdims=True)))
        scores = xp.log(xp.where(kept & (left > 0), left, xp.ones_like(p)))
        return xp.where(kept, scores, xp.full_like(p, -math.inf))


class CAD(Contrast):
    """Context-aware decoding: log p' = (1 + α) log p − α log p0, p0 without the context, α constant.

    Parameters
    ----------
    second : SecondStream or callable
        The prompt without the context (its instruction and template stay).
    alpha : float
        α >= 0; 0 is ordinary decoding. The authors of AdaCAD run 1.0 for answers and 0.5 for summaries.

    Examples
    --------
    >>> import numpy as np
    >>> sampler = CAD(lambda emitted: np.log([[0.5, 0.5]]), alpha=1.0)
    >>> np.exp(sampler.filter(np.log([[0.75, 0.25]]))).round(3).tolist()     # 0.9 and 0.1 when normalised
    [[1.125, 0.125]]

    Shi et al. (2024), arXiv:2305.14739.
    """

    def __init__(self, second: Any, alpha: float = 0.5):
        super().__init__(second, alpha)
        self.alpha = float(alpha)


class AdaCAD(Contrast):
    """Adaptive context-aware decoding: CAD whose weight is the disagreement of the two streams, step by step.

    log p' = (1 + α_t) log p − α_t log p0 with α_t = max(JS(p, p0), floor), the Jensen-Shannon divergence in nats, in
    [0, log 2]: where context and memory agree nothing changes, where they conflict the context is amplified.

    Parameters
    ----------
    second : SecondStream or callable
        The prompt without the context (its instruction and template stay).
    floor : float
        Least α: 0 for short answers, 0.3 for long text (summaries) in the paper.

    Notes
    -----
    In bits α would reach 1 and over-correct. The released code holds probabilities of 0 at 1e-9 inside the logarithm;
    here the divergence is computed in the log domain, without a clamp. Where the context conflicts with memory in
    half of the questions, plain CAD may be the better choice (measured in this paper's claims).

    Examples
    --------
    >>> import numpy as np
    >>> same = np.log([[0.75, 0.25]])
    >>> np.allclose(AdaCAD(lambda emitted: same).filter(same), same)
    True
    >>> far = AdaCAD(lambda emitted: np.array([[0.0, 50.0]]))
    >>> far.weights(np.array([[0.0, -50.0]]), np.array([[-50.0, 0.0]])).round(3).tolist()
    [0.693]

    Wang, Prasad, Stengel-Eskin and Bansal (2024), arXiv:2409.07394.
    """

    def __init__(self, second: Any, floor: float = 0.0):
        self.floor = fraction(floor, "floor", zero=True)
        js = divergence("js")

        def disagreement(log_p: Array, log_q: Array) -> Array:
            return namespace(log_p).clip(js.from_logits(log_p, log_q, check=False), self.floor, None)

        super().__init__(second, disagreement)


class USCD(Contrast):
    """Uncertainty-aware selective contrastive decoding, of the full prompt against one without examples.

    σ is the standard deviation (ddof 1) of the V probabilities of the main stream: large where it is sure. Rows with
    σ > θ keep the main stream; the others get log(w1 p + w2 q) over the tokens with p >= keep · (1/V), and what is not
    positive is removed.

    Parameters
    ----------
    second : SecondStream or callable
        The "lame" prompt: `lame_prompt` removes input-output examples from a docstring.
    theta : float, optional
        θ as released, which depends on the vocabulary: 0.005 for CodeLlama's 32,016 tokens.
    keep : float
        The paper's f; released: 1/3 by default, 2/3 for CodeLlama-7b.
    weights : (float, float)
        (w1, w2) with w1 > 0 >= w2.
    theta_rel : float, optional
        θ √V in [0, 1] instead of `theta`, the same for every vocabulary: σ² = (Σ p² − 1/V) / (V − 1) is a function of
        the collision probability, and σ <= 1/√V. 0.005 at V = 32,000 is 0.89.

    Raises
    ------
    ValueError
        For weights of other signs, or both thresholds.

    Notes
    -----
    With w2 = −0.7 a row can be left empty where every kept token has p < 0.7 q; the most probable token of p is kept
    then. The released processor takes mask and σ from the first row of the batch; here each row has its own.

    Examples
    --------
    >>> import numpy as np
    >>> sampler = USCD(lambda emitted: np.log([[0.1, 0.5, 0.3, 0.1]]), theta_rel=0.9, keep=0.5)
    >>> np.exp(sampler.filter(np.log([[0.4, 0.4, 0.15, 0.05]]))).round(2).tolist()
    [[0.33, 0.05, 0.0, 0.0]]

    Wang et al. (2024), arXiv:2409.05923.
    """

    def __init__(
        self,
        second: Any,
        theta: float | None = None,
        keep: float = 2 / 3,
        weights: tuple[float, float] = (1.0, -0.7),
        *,
        theta_rel: float | None = None,
    ):
        w1, w2 = float(weights[0]), float(weights[1])
        if not (w1 > 0 >= w2):
            raise ValueError(f"weights must be (w1, w2) with w1 > 0 >= w2, got {weights!r}")
        if theta is not None and theta_rel is not None:
            raise ValueError("give theta or theta_rel, not both")
        if theta is None and theta_rel is None:
            theta = 0.005
        for name, value in (("theta", theta), ("theta_rel", theta_rel)):
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a number >= 0, got {value!r}")
        self.theta, self.theta_rel, self.source_weights = theta, theta_rel, (w1, w2)

        def unsure(log_p: Array, log_q: Array) -> Array:
            limit = theta if theta is not None else float(theta_rel or 0.0) / math.sqrt(log_p.shape[-1])
            return spread(log_p) <= limit

        super().__init__(second, -w2 / w1, space="prob", gate=unsure, keep=keep)

    def _probabilities(self, xp: Any, log_p: Array, log_q: Array) -> Array:
        return super()._probabilities(xp, log_p, log_q) + math.log(self.source_weights[0])


def spread(log_p: Array) -> Array:
    """Return the standard deviation (ddof 1) over the vocabulary of the probabilities, shape (B,).

    Examples
    --------
    >>> float(spread(np.log(np.array([[0.7, 0.2, 0.1]])))[0].round(4)), float(np.std([0.7, 0.2, 0.1], ddof=1).round(4))
    (0.3215, 0.3215)
    """
    xp = namespace(log_p)
    if log_p.shape[-1] < 2:
        raise ValueError("the spread of probabilities needs a vocabulary of at least 2 tokens")
    p = xp.exp(log_p)
    centred = p - 1.0 / p.shape[-1]
    return xp.sqrt(xp.sum(centred * centred, axis=-1) / (p.shape[-1] - 1))


#: What `lame_prompt` removes: doctest lines with their output, and "Example(s):" blocks, up to a blank line or the
#: end of the docstring.
EXAMPLES = (
    r"(?m)^[ \t]*>>>.*\n(?:[ \t]*(?!\"\"\"|''')\S.*\n)*",
    r"(?mi)^[ \t]*(?:for )?examples?\b[^\n]*:[ \t]*[^\n]*\n(?:[ \t]*(?!\"\"\"|''')\S.*\n)*",
)


def lame_prompt(prompt: str, example_regex: str | Sequence[str] = EXAMPLES) -> str:
    r"""Return a prompt without its input-output examples; signature and description stay.

    Parameters
    ----------
    prompt : str
    example_regex : str or sequence of str
        What to remove, one after another; by default doctest lines with their output and "Example:" blocks.

    Raises
    ------
    ValueError
        For an invalid pattern.

    Examples
    --------
    >>> print(lame_prompt("def f(x):\n    '''Double x.\n    >>> f(2)\n    4\n    '''"))
    def f(x):
        '''Double x.
        '''
    """
    for pattern in [example_regex] if isinstance(example_regex, str) else example_regex:
        try:
            prompt = re.sub(pattern, "", prompt)
        except re.error as error:
            raise ValueError(f"example_regex {pattern!r} is not a valid pattern: {error}") from error
    return prompt
