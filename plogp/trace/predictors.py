"""Models whose laws are known exactly, and models made of others: chains, stored logits, mixtures, partial answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import log_probabilities, log_softmax, logsumexp
from plogp.trace.protocol import Predictor, Session, as_ids, chunk_rows, draw, session, zip_blocks

__all__ = [
    "ArrayPredictor",
    "MarkovLM",
    "MixturePredictor",
    "Predictor",
    "Session",
    "TopKPredictor",
    "as_ids",
    "chunk_rows",
    "draw",
    "session",
    "zip_blocks",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


class MarkovLM:
    r"""A Markov chain of any order as a language model: a world in which every entropy is known.

    Parameters
    ----------
    transition : array, shape (V, V), (V, V, V), ...
        p(next | last), p(next | one before, last), ...; the last axis sums to 1.
    initial : array, shape (V,) * order, optional
        Law of the first `order` tokens; by default the stationary one, so that the first token has a prediction too.

    Attributes
    ----------
    vocab_size, order : int
    transition, initial : array

    Raises
    ------
    ValueError
        For rows that are no laws, other shapes, or a chain with several stationary laws and no `initial`.

    Examples
    --------
    >>> lm = MarkovLM([[0.9, 0.1], [0.5, 0.5]])
    >>> lm.initial.round(4).tolist(), round(lm.entropy_rate, 4)
    ([0.8333, 0.1667], 0.3864)
    >>> np.exp(lm.next([1])).tolist()
    [0.5, 0.5]
    """

    def __init__(self, transition: Any, initial: Any = None):
        table = np.array(transition, dtype=np.float64)
        if table.ndim < 2 or len(set(table.shape)) != 1 or not table.size:
            raise ValueError(f"transition must have shape (V, V), (V, V, V), ..., got {table.shape}")
        self.transition = _laws(table, "transition", axes=1)
        self.vocab_size = int(table.shape[0])
        self.order = table.ndim - 1
        self._log = log_probabilities(self.transition)
        if initial is None:
            self.initial = _stationary(self.transition)
        else:
            start = np.array(initial, dtype=np.float64)
            if start.shape != table.shape[:-1]:
                raise ValueError(f"initial must have shape {table.shape[:-1]}, got {start.shape}")
            self.initial = _laws(start, "initial", axes=self.order)
        self._starts = _conditionals(self.initial)

    @classmethod
    def random(cls, vocab_size: int, sharpness: float = 1.0, order: int = 1, rng: Any = None) -> MarkovLM:
        """Return a chain whose rows are softmax(sharpness x normal): 0 is uniform, large is nearly deterministic."""
        if vocab_size < 2 or order < 1:
            raise ValueError(f"expected vocab_size >= 2 and order >= 1, got {vocab_size} and {order}")
        normal = np.random.default_rng(rng).standard_normal((vocab_size,) * (order + 1))
        return cls(_exp_rows(sharpness * normal))

    def perturbed(self, scale: float = 0.5, rng: Any = None) -> MarkovLM:
        """Return a chain near this one: its logits plus `scale` times normal noise."""
        noise = np.random.default_rng(rng).standard_normal(self.transition.shape)
        return MarkovLM(_exp_rows(self._log + scale * noise))

    def tempered(self, temperature: float) -> MarkovLM:
        """Return the chain with logits divided by `temperature`."""
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature!r}")
        return MarkovLM(_exp_rows(self._log / temperature))

    def sample(self, n: int, length: int, rng: Any = None) -> Ids:
        """Draw `n` sequences of `length` tokens, shape (n, length)."""
        g = np.random.default_rng(rng)
        out = np.zeros((n, length), dtype=np.int64)
        for t in range(length):
            k = min(t, self.order)
            table = self._log if k == self.order else self._starts[k]
            out[:, t] = draw(np.broadcast_to(table[tuple(out[:, t - k : t].T)], (n, self.vocab_size)), g)
        return out

    @property
    def entropy_rate(self) -> float:
        """H(next | past) in nats in the stationary law."""
        return float((_stationary(self.transition)[..., None] * self._information(self._log)).sum())

    def kl_rate(self, other: MarkovLM) -> float:
        """KL divergence a token of this chain from `other`, in nats, in this chain's stationary law.

        Raises
        ------
        ValueError
            If the vocabularies or orders differ.
        """
        if other.transition.shape != self.transition.shape:
            raise ValueError(f"expected a chain of shape {self.transition.shape}, got {other.transition.shape}")
        weight = _stationary(self.transition)[..., None]
        visited = (weight > 0) & (self.transition > 0)
        cross = np.where(visited, weight * self._information(other._log), 0.0).sum()
        return float(cross) - self.entropy_rate

    def _information(self, log_q: Floats) -> Floats:
        """Return -p log q with 0 log 0 = 0."""
        off = self.transition == 0
        return -self.transition * np.where(off, 0.0, log_q)

    def blocks(self, ids: Any, context: Any = ()) -> Iterator[tuple[slice, Floats]]:
        """Yield log-probabilities (c, V) of every token, the first included."""
        ids, before = as_ids(ids, self.vocab_size), as_ids(context, self.vocab_size, "context")
        known = np.concatenate([before, ids])
        rows = chunk_rows(self.vocab_size)
        at = 0
        while at < len(ids):
            k = min(len(before) + at, self.order)
            if k < self.order:
                stop = at + 1
            else:
                stop = min(at + rows, len(ids))
            here = np.arange(len(before) + at, len(before) + stop)
            table = self._log if k == self.order else self._starts[k]
            past = tuple(known[here - j] for j in range(k, 0, -1))
            yield slice(at, stop), np.broadcast_to(table[past], (stop - at, self.vocab_size))
            at = stop

    def next(self, ids: Any) -> Floats:
        """Return log-probabilities (V,) of the token that follows `ids`."""
        known = as_ids(ids, self.vocab_size)
        k = min(len(known), self.order)
        table = self._log if k == self.order else self._starts[k]
        return np.asarray(table[tuple(known[len(known) - k :])])

    @property
    def name(self) -> str:
        """What a trace calls it."""
        return f"MarkovLM(V={self.vocab_size}, order={self.order})"

    def fingerprint(self) -> str:
        """Return a hash of the tables."""
        return _hash(self.transition, self.initial)

    def __repr__(self) -> str:
        return self.name


class ArrayPredictor:
    """Stored logits: row t is the law of token t, whatever came before it.

    Parameters
    ----------
    logits : array, shape (T, V) or (V,)
        Logits or log-probabilities of one text's tokens; one row stands for every token (independent draws).

    Raises
    ------
    ValueError
        For other shapes, NaN, or a row that is -inf throughout.

    Examples
    --------
    >>> [(where, rows.shape) for where, rows in ArrayPredictor(np.zeros((3, 5))).blocks([1, 2])]
    [(slice(0, 2, None), (2, 5))]
    """

    def __init__(self, logits: Any):
        rows = np.asarray(logits.detach().cpu().float().numpy() if hasattr(logits, "detach") else logits)
        if rows.dtype.kind != "f":
            rows = rows.astype(np.float64)
        if rows.ndim not in (1, 2) or rows.shape[-1] == 0:
            raise ValueError(f"logits must have shape (T, V) or (V,), got {rows.shape}")
        if np.isnan(rows).any() or (rows == math.inf).any() or not (rows > -math.inf).any(axis=-1).all():
            raise ValueError("logits must be numbers or -inf, with at least one number in a row")
        self.logits = rows
        self.vocab_size = int(rows.shape[-1])

    def _row(self, start: int, stop: int) -> Array:
        if self.logits.ndim == 1:
            return np.broadcast_to(self.logits, (stop - start, self.vocab_size))
        if stop > len(self.logits):
            raise ValueError(f"logits are stored for {len(self.logits)} tokens, token {stop} was asked for")
        return np.asarray(self.logits[start:stop])

    def blocks(self, ids: Any, context: Any = ()) -> Iterator[tuple[slice, Array]]:
        """Yield the rows of the tokens of `ids`, which stand behind those of `context`."""
        n, before, rows = len(as_ids(ids, self.vocab_size)), len(as_ids(context)), chunk_rows(self.vocab_size)
        for at in range(0, n, rows):
            stop = min(at + rows, n)
            yield slice(at, stop), self._row(before + at, before + stop)

    def next(self, ids: Any) -> Array:
        """Return the row of the token behind `ids`."""
        n = len(as_ids(ids, self.vocab_size))
        return self._row(n, n + 1)[0]

    def fingerprint(self) -> str:
        """Return a hash of the logits."""
        return _hash(self.logits)


class MixturePredictor:
    r"""Several models as one: :math:`p(v) = \sum_i w_i p_i(v)` at every position.

    Parameters
    ----------
    predictors : sequence of Predictor
        Over the same vocabulary. A position has a prediction where all have one.
    weights : array, optional
        Non-negative, summing to 1; by default equal.

    Examples
    --------
    >>> mix = MixturePredictor([ArrayPredictor(np.log([0.9, 0.1])), ArrayPredictor(np.log([0.5, 0.5]))])
    >>> np.exp(mix.next([])).round(2).tolist()
    [0.7, 0.3]
    """

    def __init__(self, predictors: Sequence[Predictor], weights: Any = None):
        self.predictors = tuple(predictors)
        if not self.predictors:
            raise ValueError("predictors must hold at least one")
        sizes = {p.vocab_size for p in self.predictors}
        if len(sizes) > 1:
            raise ValueError(f"predictors have vocabularies of {sorted(sizes)} tokens; expected the same")
        k = len(self.predictors)
        w = np.full(k, 1.0 / k) if weights is None else np.array(weights, dtype=np.float64)
        if w.shape != (k,):
            raise ValueError(f"weights must have shape ({k},), got {w.shape}")
        self.weights = _laws(w, "weights", axes=1)
        self.vocab_size = sizes.pop()

    def _mix(self, parts: Sequence[Array]) -> Floats:
        logs = [
            log_softmax(np.asarray(part, dtype=np.float64)) + math.log(w)
            for part, w in zip(parts, self.weights)
            if w > 0
        ]
        return np.asarray(logsumexp(np.stack(logs), axis=0))

    def blocks(self, ids: Any, context: Any = ()) -> Iterator[tuple[slice, Floats]]:
        """Yield log-probabilities of the mixture."""
        first, *others = (p.blocks(ids, context) for p in self.predictors)
        for where, rows, parts in zip_blocks(first, *others):
            full = [part for part in parts if part is not None]
            if len(full) == len(parts):
                yield where, self._mix([rows, *full])

    def next(self, ids: Any) -> Floats:
        """Return log-probabilities of the mixture."""
        return self._mix([p.next(ids) for p in self.predictors])


class TopKPredictor:
    """A model behind an interface that tells only some log-probabilities of each position.

    Parameters
    ----------
    answers : callable or sequence of mappings
        ``answers(ids)`` is a mapping token id -> log-probability (natural) for the token that follows `ids`: the most
        likely tokens, and the observed one where the service adds it. Or a list of such mappings, one for each token
        of one text.
    vocab_size : int
        Of the vocabulary.
    top_k : int, optional
        How many of each answer are surely the most likely ones; by default all but a possible single addition: the
        number in the shortest answer.

    Notes
    -----
    `trace` on it gives `logprob`, `max_logprob`, `topk_ids`, `topk_logprob` and the `rank` of tokens in the list;
    what needs the whole law (entropy, varentropy, powers, references) is NaN, and ``meta["unknown"]`` names it. A token
    whose log-probability was not told is not scored. There is no `next`: part of a law is no law.

    Examples
    --------
    >>> lm = TopKPredictor([{7: -0.1, 3: -2.5}, {3: -0.7, 5: -0.8}], vocab_size=50)
    >>> lm.answers([], [7, 5])
    [{7: -0.1, 3: -2.5}, {3: -0.7, 5: -0.8}]
    """

    def __init__(
        self,
        answers: Callable[[Ids], Mapping[int, float]] | Sequence[Mapping[int, float]],
        vocab_size: int,
        top_k: int | None = None,
    ):
        if not callable(answers) and isinstance(answers, (Mapping, str)):
            raise TypeError(f"answers must be a function or a list of mappings, got {type(answers).__name__}")
        self._answers = answers if callable(answers) else list(answers)
        self.vocab_size = int(vocab_size)
        self.top_k = top_k

    def answers(self, context: Any, ids: Any) -> list[dict[int, float]]:
        """Return what is told about each token of `ids` behind `context`.

        Raises
        ------
        ValueError
            For an answer that is missing, empty, not a log-probability or outside the vocabulary.
        """
        before, ids = as_ids(context, self.vocab_size, "context"), as_ids(ids, self.vocab_size)
        known = np.concatenate([before, ids])
        out = []
        for t in range(len(before), len(known)):
            if not callable(self._answers) and t >= len(self._answers):
                raise ValueError(f"answers are stored for {len(self._answers)} tokens, token {t + 1} was asked for")
            told = self._answers(known[:t]) if callable(self._answers) else self._answers[t]
            answer = {int(v): float(lp) for v, lp in told.items()}
            if not answer or not all(0 <= v < self.vocab_size and lp <= 1e-6 for v, lp in answer.items()):
                raise ValueError(
                    f"the answer about token {t} must map ids below {self.vocab_size} to log-probabilities, "
                    f"got {told!r}"
                )
            out.append(answer)
        return out

    def blocks(self, ids: Any, context: Any = ()) -> Iterator[tuple[slice, Array]]:
        """Not given: only some log-probabilities are known."""
        raise ValueError("a TopKPredictor does not know whole laws; use plogp.trace.trace on it")

    def next(self, ids: Any) -> Array:
        """Not given: only some log-probabilities are known."""
        raise ValueError("a TopKPredictor does not know the whole law of the next token")


def _laws(p: Floats, name: str, axes: int) -> Floats:
    """Return laws over the last `axes` axes, checked, with their sums exactly 1 to rounding."""
    over = tuple(range(p.ndim - axes, p.ndim))
    if not np.isfinite(p).all() or (p < 0).any():
        raise ValueError(f"{name} must hold probabilities, got values from {np.min(p)} to {np.max(p)}")
    total = p.sum(axis=over, keepdims=True)
    if np.abs(total - 1).max() > 1e-6:
        worst = float(total.flat[int(np.abs(total - 1).argmax())])
        raise ValueError(f"{name} must sum to 1 along its last axis, got a sum of {worst:.6g}")
    return p / total


def _exp_rows(logits: Floats) -> Floats:
    return np.exp(np.asarray(log_softmax(logits)))


def _stationary(transition: Floats) -> Floats:
    """Return the stationary law of the last `order` tokens."""
    v, order = transition.shape[0], transition.ndim - 1
    states = v**order
    if states <= 1500:
        chain = np.zeros((states, states))
        here = np.arange(states)
        for token in range(v):
            chain[here, (here * v + token) % states] += transition.reshape(states, v)[:, token]
        _check_one_class(chain)
        # pi (P - I) = 0 with sum 1; the last equation replaced.
        equations = (chain - np.eye(states)).T
        equations[-1] = 1.0
        right = np.zeros(states)
        right[-1] = 1.0
        pi = np.maximum(np.linalg.solve(equations, right), 0.0)
        return (pi / pi.sum()).reshape((v,) * order)
    pi = np.full((v,) * order, 1.0 / states)
    for _ in range(100_000):
        moved = (pi[..., None] * transition).sum(axis=0)
        new = (pi + moved) / 2  # the lazy chain has the same stationary law and no period
        if np.abs(new - pi).sum() < 1e-14:
            return np.asarray(new / new.sum())
        pi = new
    raise ValueError("the stationary law was not found in 100000 steps; pass initial=")


def _check_one_class(chain: Floats) -> None:
    from scipy.sparse.csgraph import connected_components

    n, label = connected_components(chain > 0, directed=True, connection="strong")
    leaves = np.zeros(n, dtype=bool)
    start, stop = np.nonzero(chain > 0)
    leaves[label[start[label[start] != label[stop]]]] = True
    if (~leaves).sum() > 1:
        raise ValueError("the chain has several stationary laws (parts that are never left); pass initial=")


def _conditionals(joint: Floats) -> list[Floats]:
    """Return log p(x1), log p(x2 | x1), ... of a law of the first tokens; a start that never occurs is uniform."""
    out = []
    for k in range(joint.ndim):
        law = joint.sum(axis=tuple(range(k + 1, joint.ndim)))
        total = law.sum(axis=-1, keepdims=True)
        law = np.divide(law, total, out=np.full_like(law, 1.0 / law.shape[-1]), where=total > 0)
        out.append(log_probabilities(law))
    return out


def _hash(*arrays: Array) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
