"""`NGramLM`: a language model of counts, trained in a second, to test methods on and to start from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import log_probabilities
from plogp.trace.protocol import as_ids, chunk_rows

__all__ = ["NGramLM"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

#: Entries of laws kept for contexts that come again.
KEPT = 2**22


class NGramLM:
    r"""A language model of n-gram counts.

    With c(h, v) the count of token v behind the last n - 1 tokens h, c(h) their sum, and h' the context without its
    oldest token:

    - "interpolated" (Jelinek-Mercer): :math:`p(v|h) = \sum_m w_m\, c(h_m, v)/c(h_m)` over the contexts of 0, ..., n - 1
      tokens, the weights of unseen contexts given to the others, and the empty context smoothed by `delta`. Weights
      are found from the training text by expectation-maximisation with each n-gram left out once.
    - "witten-bell": :math:`p(v|h) = \frac{c(h, v) + N(h)\, p(v|h')}{c(h) + N(h)}` with N(h) the number of different
      tokens seen behind h; the last p is uniform.
    - "add": :math:`p(v|h) = \frac{c(h, v) + \delta}{c(h) + \delta V}`, the longest context only.

    Parameters
    ----------
    order : int
        n: 1 is a law of single tokens, 3 looks back two.
    vocab_size : int
    smoothing : "interpolated", "witten-bell" or "add"
    delta : float
        Pseudo-count; not used by Witten-Bell.
    weights : array, shape (order,), optional
        Of "interpolated", from the empty context to the longest; they sum to 1. By default they are fitted.
    bos_id, eos_id : int, optional
        Tokens that start and end a text. With `bos_id` every training text is read behind one (which is never
        counted as a prediction). EOS is the caller's to append.

    Attributes
    ----------
    n_tokens : int
        Tokens counted.

    Notes
    -----
    The first tokens of a text have the contexts that there are: without BOS the first has the empty one.

    Examples
    --------
    >>> lm = NGramLM(order=2, vocab_size=3, smoothing="add", delta=1.0).fit([[0, 1, 0, 1, 2]])
    >>> np.exp(lm.next([0])).round(3).tolist()
    [0.2, 0.6, 0.2]
    >>> lm.logprob([0, 1]).shape, lm.sample(2, 4, rng=0).shape
    ((2,), (2, 4))

    Source: S. Chen and J. Goodman (1996), arXiv cmp-lg/9606011, for both smoothings.
    """

    def __init__(
        self,
        order: int = 3,
        vocab_size: int | None = None,
        smoothing: str = "interpolated",
        delta: float = 0.05,
        weights: Any = None,
        *,
        bos_id: int | None = None,
        eos_id: int | None = None,
    ):
        if order < 1:
            raise ValueError(f"order must be at least 1, got {order}")
        if vocab_size is None or vocab_size < 1:
            raise ValueError(f"vocab_size must be the number of tokens, at least 1, got {vocab_size}")
        if smoothing not in ("interpolated", "witten-bell", "add"):
            raise ValueError(f"smoothing must be 'interpolated', 'witten-bell' or 'add', got {smoothing!r}")
        if not delta >= 0 or (delta == 0 and smoothing == "add"):
            raise ValueError(f"delta must be positive, got {delta!r}")
        for name, value in (("bos_id", bos_id), ("eos_id", eos_id)):
            if value is not None and not 0 <= value < vocab_size:
                raise ValueError(f"{name} must be below the vocabulary's size, {vocab_size}, got {value}")
        self.order, self.vocab_size, self.smoothing, self.delta = int(order), int(vocab_size), smoothing, float(delta)
        self.bos_id, self.eos_id = bos_id, eos_id
        self._given: Floats | None = None
        if weights is not None:
            given = np.array(weights, dtype=np.float64)
            if smoothing != "interpolated":
                raise ValueError(f"weights are for smoothing='interpolated', not {smoothing!r}")
            if given.shape != (order,) or (given < 0).any() or abs(given.sum() - 1) > 1e-6:
                raise ValueError(f"weights must be {order} numbers >= 0 that sum to 1, got {weights!r}")
            self._given = given
        # context -> {token: count}, for contexts of 0, ..., order - 1 tokens
        self._counts: list[dict[tuple[int, ...], dict[int, int]]] = [{} for _ in range(order)]
        self._tables: dict[tuple[int, ...], tuple[Ids, Floats]] = {}
        self._laws: dict[tuple[int, ...], Floats] = {}
        self._fitted: Floats | None = None
        self.n_tokens = 0

    # --- training ------------------------------------------------------------------------------------------------

    def fit(self, sequences: Any) -> NGramLM:
        """Count anew: one sequence of ids, or several."""
        self._counts = [{} for _ in range(self.order)]
        self.n_tokens = 0
        return self.partial_fit(sequences)

    def partial_fit(self, sequences: Any) -> NGramLM:
        """Count more sequences."""
        for ids in _sequences(sequences, self.vocab_size):
            known, first = self._with_bos(ids)
            for t in range(first, len(known)):
                for m in range(min(t, self.order - 1) + 1):
                    behind = self._counts[m].setdefault(tuple(known[t - m : t]), {})
                    behind[known[t]] = behind.get(known[t], 0) + 1
            self.n_tokens += len(known) - first
        self._tables.clear()
        self._laws.clear()
        self._fitted = None
        return self

    def _with_bos(self, ids: Ids) -> tuple[list[int], int]:
        known = ids.tolist()
        if self.bos_id is None:
            return known, 0
        return ([] if known[:1] == [self.bos_id] else [self.bos_id]) + known, 1

    @property
    def weights(self) -> Floats:
        """Weights of "interpolated", from the empty context to the longest."""
        if self._given is not None:
            return self._given
        if self._fitted is None:
            self._fitted = self._em()
        return self._fitted

    def _em(self, steps: int = 30) -> Floats:
        """Fit the weights with each n-gram left out of its own counts (deleted interpolation)."""
        grams = [(h, v, c) for h, behind in self._counts[-1].items() for v, c in behind.items()]
        if not grams:
            return np.full(self.order, 1.0 / self.order)
        fit = np.zeros((len(grams), self.order))
        totals = [{h: sum(behind.values()) for h, behind in level.items()} for level in self._counts]
        for i, (h, v, _) in enumerate(grams):
            for m in range(self.order):
                short = h[len(h) - m :]
                seen, total = self._counts[m].get(short, {}).get(v, 0), totals[m].get(short, 0)
                if m == 0:
                    fit[i, m] = (max(seen - 1, 0) + self.delta) / max(total - 1 + self.delta * self.vocab_size, 1e-300)
                elif total > 1:
                    fit[i, m] = max(seen - 1, 0) / (total - 1)
        count = np.array([c for *_, c in grams], dtype=np.float64)
        w = np.full(self.order, 1.0 / self.order)
        for _ in range(steps):
            share = fit * w
            total = share.sum(axis=1, keepdims=True)
            share = np.divide(share, total, out=np.zeros_like(share), where=total > 0)
            new = count @ share
            if not new.sum() > 0:
                return np.full(self.order, 1.0 / self.order)
            w = new / new.sum()
        # A context is never trusted wholly: what it has not seen must stay possible.
        w = np.maximum(w, 1e-3)
        return np.asarray(w / w.sum())

    # --- laws ----------------------------------------------------------------------------------------------------

    def counts(self, context: Sequence[int]) -> tuple[Ids, Floats] | None:
        """Return the tokens seen behind a context and how often; None for a context that was not seen.

        Parameters
        ----------
        context : sequence of int
            At most order - 1 tokens.

        Raises
        ------
        ValueError
            If it is longer.

        Examples
        --------
        >>> tokens, counts = NGramLM(order=2, vocab_size=3).fit([[0, 1, 0, 1, 0, 2]]).counts([0])
        >>> dict(zip(tokens.tolist(), counts.tolist()))
        {1: 2.0, 2: 1.0}
        """
        context = tuple(context)
        if len(context) >= self.order:
            raise ValueError(f"context must hold at most {self.order - 1} tokens, got {len(context)}")
        found = self._tables.get(context)
        if found is None:
            behind = self._counts[len(context)].get(context)
            if behind is None:
                return None
            found = np.fromiter(behind, np.int64), np.fromiter(behind.values(), np.float64)
            self._tables[context] = found
        return found

    def _law(self, context: tuple[int, ...]) -> Floats:
        """Return log p(. | context) with the context cut to order - 1 tokens."""
        context = context[len(context) - min(len(context), self.order - 1) :]
        law = self._laws.get(context)
        if law is None:
            law = log_probabilities(getattr(self, "_" + self.smoothing.replace("-", "_"))(context))
            law.flags.writeable = False
            if len(self._laws) * self.vocab_size >= KEPT:
                self._laws.clear()
            self._laws[context] = law
        return law

    def _smoothed(self, context: tuple[int, ...]) -> Floats:
        p = np.full(self.vocab_size, self.delta)
        seen = self.counts(context)
        if seen is not None:
            p[seen[0]] += seen[1]
        total = p.sum()
        return p / total if total > 0 else np.full(self.vocab_size, 1.0 / self.vocab_size)

    def _add(self, context: tuple[int, ...]) -> Floats:
        return self._smoothed(context)

    def _interpolated(self, context: tuple[int, ...]) -> Floats:
        weights = self.weights
        p, mass = weights[0] * self._smoothed(()), weights[0]
        for m in range(1, len(context) + 1):
            seen = self.counts(context[len(context) - m :])
            if seen is None:
                break  # a longer context is unseen too
            p[seen[0]] += weights[m] * seen[1] / seen[1].sum()
            mass += weights[m]
        return np.asarray(p / mass) if mass > 0 else self._smoothed(())

    def _witten_bell(self, context: tuple[int, ...]) -> Floats:
        p = np.full(self.vocab_size, 1.0 / self.vocab_size)
        for m in range(len(context) + 1):
            seen = self.counts(context[len(context) - m :])
            if seen is None:
                break
            tokens, counts = seen
            total = counts.sum() + len(tokens)
            p *= len(tokens) / total
            p[tokens] += counts / total
        return p

    # --- the protocol --------------------------------------------------------------------------------------------

    def blocks(self, ids: Any, context: Any = ()) -> Iterator[tuple[slice, Floats]]:
        """Yield log-probabilities (c, V) of every token of `ids`, the first included."""
        ids, before = as_ids(ids, self.vocab_size), as_ids(context, self.vocab_size, "context")
        known, rows = [*before.tolist(), *ids.tolist()], chunk_rows(self.vocab_size)
        for at in range(0, len(ids), rows):
            stop = min(at + rows, len(ids))
            here = range(len(before) + at, len(before) + stop)
            yield slice(at, stop), np.stack([self._law(tuple(known[max(0, t - self.order + 1) : t])) for t in here])

    def next(self, ids: Any) -> Floats:
        """Return log-probabilities (V,) of the token that follows `ids`."""
        ids = as_ids(ids, self.vocab_size)
        return self._law(tuple(ids[max(0, len(ids) - self.order + 1) :].tolist()))

    def logprob(self, ids: Any) -> Floats:
        """Return log p of every token of one sequence, behind BOS where the model has one."""
        known, first = self._with_bos(as_ids(ids, self.vocab_size))
        return np.array(
            [self._law(tuple(known[max(0, t - self.order + 1) : t]))[known[t]] for t in range(first, len(known))]
        )

    def sample(self, n: int, length: int, rng: Any = None) -> Ids:
        """Draw `n` sequences of `length` tokens, shape (n, length); BOS is their context, not their first token."""
        g = np.random.default_rng(rng)
        start = () if self.bos_id is None else (self.bos_id,)
        cumulative: dict[tuple[int, ...], Floats] = {}
        out = np.zeros((n, length), dtype=np.int64)
        for i in range(n):
            context = start[: self.order - 1]
            u = g.random(length)
            for t in range(length):
                total = cumulative.get(context)
                if total is None:
                    total = np.cumsum(np.exp(self._law(context)))
                    if len(cumulative) * self.vocab_size >= KEPT:
                        cumulative.clear()
                    cumulative[context] = total
                token = int(np.searchsorted(total, u[t] * total[-1], side="right"))
                out[i, t] = token = min(token, int(np.searchsorted(total, total[-1])))
                context = (*context, token)[-(self.order - 1) :] if self.order > 1 else ()
        return out

    @property
    def name(self) -> str:
        """What a trace calls it."""
        return f"NGramLM(order={self.order}, V={self.vocab_size}, {self.smoothing})"

    def fingerprint(self) -> str:
        """Return a hash of the counts and settings."""
        digest = hashlib.sha256(repr((self.name, self.delta, self.bos_id, self.eos_id, self._given)).encode())
        for level in self._counts:
            for context in sorted(level):
                digest.update(repr((context, sorted(level[context].items()))).encode())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"{self.name[:-1]}, {self.n_tokens} tokens)"


def _sequences(sequences: Any, vocab_size: int) -> Iterator[Ids]:
    """Yield one sequence, or each of several, as ids."""
    if isinstance(sequences, np.ndarray) or hasattr(sequences, "detach"):
        sequences = [sequences] if sequences.ndim == 1 and sequences.dtype != object else sequences
    elif not isinstance(sequences, Iterable) or isinstance(sequences, (str, bytes)):
        raise TypeError(f"sequences must be token ids, or several rows of them, got {type(sequences).__name__}")
    else:
        sequences = list(sequences)
        if sequences and np.ndim(sequences[0]) == 0:
            sequences = [sequences]
    for ids in sequences:
        yield as_ids(ids, vocab_size, "sequences")
