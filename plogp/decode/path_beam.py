"""Path-aware top-p: the nucleus is taken over several partial texts at once, weighted by what they are worth so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from plogp.decode.controllers import Controller, Decoding, Floats, Ints, Stop, edited, ends, normalized, steps
from plogp.decode.generation import prompt_tokens
from plogp.measures.arrays import log_softmax
from plogp.trace.predictors import session
from plogp.trace.tracing import as_predictor

__all__ = ["Path", "PathBeam"]


@dataclass(frozen=True, eq=False)
class Path:
    """One partial or finished text: its new tokens, their log-probabilities, and whether it has ended."""

    ids: Ints
    logprobs: Floats
    done: bool = False

    @property
    def logprob(self) -> float:
        """Log-probability of the whole path, in nats."""
        return float(self.logprobs.sum())

    def score(self, length_power: float) -> float:
        """Log-probability over length to a power."""
        return self.logprob / max(len(self.ids), 1) ** length_power


@dataclass
class PathBeam(Controller):
    r"""Keep K partial texts; draw the next K from the nucleus of all their continuations together.

    With :math:`L_k` the log-probability of path k, a continuation v of it weighs

    .. math:: w_{kv} \propto \exp(L_k)\, p_k(v)

    The smallest set of continuations whose share of the weight is at least `p` (and at least K of them; ties are kept
    together) is the nucleus; K new paths are drawn from it without replacement (``sample=True``: Gumbel top-K), or
    its K best are taken. One path is nucleus sampling, exactly; ``p`` near 0 is beam search of width K. Ended paths
    stand beside the continuations with their own weight.

    Parameters
    ----------
    predictor : Predictor, transformers model, name or None
        None is the embedded model; `as_custom_generate` sets it.
    k : int
    p : float
        In [0, 1].
    sample : bool
    length_power : float
        a: paths of lengths n are weighed by exp(L / n^a); 0 leaves them as they are.
    replace : bool
        Draw independently instead, so that the draws follow the joint weights; equal paths are then merged.

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> chain = MarkovLM([[0.0, 0.6, 0.4], [0.34, 0.33, 0.33], [0.0, 0.0, 1.0]])
    >>> PathBeam(chain, k=1, sample=False).decode([0], 3).ids  # greedy
    array([1, 0, 1])
    >>> PathBeam(chain, k=2, p=0.0).decode([0], 3).ids  # beam search
    array([2, 2, 2])

    References
    ----------
    Y. Li 2024, arXiv:2409.19790: reconstructed from the one sentence with which it is described (a top-p that takes
    account of the paths' accumulated probability).
    """

    predictor: Any = None
    k: int = 4
    p: float = 0.9
    sample: bool = True
    length_power: float = 0.0
    replace: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be >= 1, got {self.k}")
        if not 0 <= self.p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {self.p}")
        if not math.isfinite(self.length_power) or self.length_power < 0:
            raise ValueError(f"length_power must be >= 0, got {self.length_power}")

    def nucleus(self, log_weight: Any) -> Floats:
        """Return log-shares of the candidates' log-weights, shape (n,), with -inf outside the nucleus.

        Examples
        --------
        >>> np.exp(PathBeam(k=1, p=0.7).nucleus(np.log([0.5, 0.3, 0.2]))).round(3).tolist()
        [0.625, 0.375, 0.0]
        """
        share = normalized(log_weight)
        order = np.argsort(-share, kind="stable")
        mass = np.cumsum(np.exp(share[order]))
        # One rounding error below p must not let another candidate in.
        count = int(np.searchsorted(mass, self.p - 1e-12)) + 1
        last = share[order[min(max(count, self.k), len(share)) - 1]]
        return np.asarray(log_softmax(np.where(share >= last, share, -np.inf)))

    def choose(self, log_weight: Any, rng: np.random.Generator) -> Ints:
        """Return which candidates become the next paths: at most k, best first where nothing is drawn.

        Examples
        --------
        >>> PathBeam(k=2, sample=False).choose(np.log([0.1, 0.6, 0.3]), np.random.default_rng(0))
        array([1, 2])
        """
        kept = self.nucleus(log_weight)
        alive = np.flatnonzero(kept > -np.inf)
        if not self.sample:
            return alive[np.argsort(-kept[alive], kind="stable")[: self.k]]
        if self.replace:
            return np.unique(rng.choice(alive, self.k, p=np.exp(log_softmax(kept[alive]))))
        keys = kept[alive] + rng.gumbel(size=len(alive))
        return alive[np.argsort(-keys)[: self.k]]

    def decode(
        self,
        prompt_ids: Any,
        max_new_tokens: int = 50,
        *,
        rng: Any = None,
        eos: Any = None,
        stop: Stop | None = None,
        sampler: Any = None,
        progress: bool = False,
    ) -> Decoding:
        """Decode after a prompt.

        Parameters
        ----------
        prompt_ids : array of int, shape (n,), or str
        max_new_tokens : int
        rng : Generator, int or None
        eos, stop, sampler, progress
            End of sequence, ``stop(new_ids) -> bool``, a stateless `Sampler` that edits each path's law, a bar.

        Returns
        -------
        Decoding
            The best path by ``L / n^a``; report: ``paths`` (all, best first; `Path` has ids, logprobs, done),
            ``scores``, ``distinct`` (share of distinct paths among k).
        """
        predictor = as_predictor(self.predictor)
        prompt = prompt_tokens(predictor, prompt_ids)
        g, stops = np.random.default_rng(rng), ends(predictor, eos)
        paths = [Path(np.empty(0, np.int64), np.empty(0))]
        states = [session(predictor, prompt)]
        for _ in steps(max_new_tokens, progress, "paths"):
            if all(path.done for path in paths):
                break
            weights, owners, tokens, logps = [], list[int](), list[int](), list[float]()
            for i, (path, state) in enumerate(zip(paths, states, strict=True)):
                if path.done:
                    law, where = np.zeros(1), np.array([-1])
                else:
                    law = normalized(edited(sampler, state.logits, np.concatenate([prompt, path.ids])))
                    where = np.flatnonzero(law > -np.inf)
                    law = law[where]
                length = max(len(path.ids) + (not path.done), 1) ** self.length_power
                weights.append((path.logprob + law) / length)
                owners += [i] * len(where)
                tokens += where.tolist()
                logps += law.tolist()
            grown, moved = [], []
            for c in self.choose(np.concatenate(weights), g):
                i, token = owners[c], tokens[c]
                if token < 0:
                    grown.append(paths[i])
                    moved.append(states[i])
                    continue
                ids = np.append(paths[i].ids, token)
                done = token in stops or (stop is not None and stop(ids))
                grown.append(Path(ids, np.append(paths[i].logprobs, logps[c]), done))
                state = states[i].copy()
                if not done:
                    state.feed([token])
                moved.append(state)
            paths, states = grown, moved
        ranked = sorted(paths, key=lambda path: -path.score(self.length_power))
        scores = np.array([path.score(self.length_power) for path in ranked])
        distinct = len({path.ids.tobytes() for path in ranked}) / self.k
        report = {"paths": ranked, "scores": scores, "distinct": distinct}
        return Decoding(ranked[0].ids, ranked[0].logprobs, report)
