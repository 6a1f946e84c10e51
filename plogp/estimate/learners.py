"""Predictors that learn as they go: counts (Krichevsky-Trofimov), Markov, context trees, scikit-learn, PyTorch.

A learner answers ``logprob(batch)``, the log-probability of every symbol as it knows the world now, and learns by
``partial_fit(batch)``. Those that learn from single symbols also answer ``code(batch)``: every symbol is predicted,
then learnt. A batch is a sequence of symbols 0, 1, ..., or a pair (x, y) for those that predict y from x.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats
from plogp.estimate.series import positive

__all__ = ["ContextTree", "KrichevskyTrofimov", "Learner", "Markov", "SklearnLearner", "TorchLearner"]

Ints = npt.NDArray[np.int64]


class Learner(Protocol):
    """What `prequential` and `requential` need of a predictor; `log_proba` and `draw` only of a teacher."""

    def logprob(self, batch: Any) -> Floats:
        """Return the log-probability of every symbol of the batch, without learning from it."""
        ...

    def partial_fit(self, batch: Any) -> Any:
        """Learn from a batch."""
        ...


def _symbols(batch: Any, alphabet: int) -> Ints:
    given = np.asarray(batch)
    if given.ndim != 1 or given.dtype.kind not in "bui":
        raise TypeError(f"a batch must be a sequence of integers 0 to {alphabet - 1}, got {given.dtype} {given.shape}")
    found = given.astype(np.int64)
    if found.size and (found.min() < 0 or found.max() >= alphabet):
        raise ValueError(f"symbols must lie between 0 and {alphabet - 1}, got {found.min()} to {found.max()}")
    return found


def _earlier(keys: Ints) -> Ints:
    """For each position, how often its key stood before."""
    order = np.argsort(keys, kind="stable")
    first = np.r_[True, np.diff(keys[order]) != 0]
    starts = np.flatnonzero(first)
    out = np.empty(len(keys), dtype=np.int64)
    out[order] = np.arange(len(keys)) - np.repeat(starts, np.diff(np.r_[starts, len(keys)]))
    return out


class Markov:
    r"""Order-k Markov predictor with Dirichlet counts: ``p(a | context) = (n_a + α)/(n + Aα)``.

    With α = ½ in every context (Krichevsky and Trofimov) the excess over a source of that order is
    :math:`\tfrac{A^k (A - 1)}{2} \log n + O(1)` nats.

    Parameters
    ----------
    order : int
        k. Before the first symbol the context is all 0.
    symbols : int
        A.
    alpha : float

    Examples
    --------
    >>> learner = Markov(1).partial_fit([0, 1, 0, 1, 0, 1])
    >>> np.exp(learner.logprob([0])).round(3)                   # after a 1, two times out of two a 0 has come
    array([0.833])
    """

    def __init__(self, order: int = 1, symbols: int = 2, alpha: float = 0.5):
        self.order, self.symbols = positive("order", order, 0), positive("symbols", symbols, 2)
        if not (math.isfinite(alpha) and alpha > 0):
            raise ValueError(f"alpha must be a positive number, got {alpha!r}")
        if symbols ** (order + 1) > 2**26:
            raise ValueError(f"{symbols}^{order + 1} counts are too many for a table; use ContextTree")
        self.alpha = float(alpha)
        self.counts = np.zeros((symbols**order, symbols), dtype=np.int64)
        self.context = 0

    @property
    def num_parameters(self) -> int:
        """A^k (A - 1)."""
        return self.counts.shape[0] * (self.symbols - 1)

    def _contexts(self, s: Ints) -> tuple[Ints, int]:
        """The context before every symbol, and the one after the last."""
        before = [self.context // self.symbols**j % self.symbols for j in range(self.order)][::-1]
        whole = np.r_[np.array(before, dtype=np.int64), s]
        states = np.zeros(len(s) + 1, dtype=np.int64)
        for j in range(self.order):
            states += whole[self.order - 1 - j : len(whole) - j] * self.symbols**j  # the latest is the last digit
        return states[:-1], int(states[-1])

    def logprob(self, batch: Any) -> Floats:
        s = _symbols(batch, self.symbols)
        c, _ = self._contexts(s)
        return np.asarray(self.log_table()[c, s])

    def log_table(self) -> Floats:
        """Return log p(a | context), shape (A^k, A)."""
        row = self.counts + self.alpha
        return np.asarray(np.log(row) - np.log(row.sum(axis=1, keepdims=True)))

    def log_proba(self, batch: Any) -> Floats:
        """Return the log-probabilities of all symbols at every position, shape (n, A)."""
        c, _ = self._contexts(_symbols(batch, self.symbols))
        return np.asarray(self.log_table()[c])

    def partial_fit(self, batch: Any) -> Markov:
        s = _symbols(batch, self.symbols)
        c, self.context = self._contexts(s)
        np.add.at(self.counts, (c, s), 1)
        return self

    def code(self, batch: Any) -> Floats:
        """Return the log-probability of every symbol, each learnt before the next is predicted."""
        s = _symbols(batch, self.symbols)
        c, _ = self._contexts(s)
        seen = self.counts[c, s] + _earlier(c * self.symbols + s)
        whole = self.counts.sum(axis=1)[c] + _earlier(c)
        self.partial_fit(s)
        return np.asarray(np.log((seen + self.alpha) / (whole + self.symbols * self.alpha)))

    def draw(self, batch: Any, rng: Any = None) -> Ints:
        """Return a sequence as long as the batch, sampled from the present predictions."""
        random, upto = np.random.default_rng(rng), np.cumsum(np.exp(self.log_table()), axis=1)
        out, now, modulus = np.empty(len(batch), dtype=np.int64), self.context, self.symbols**self.order
        for t, u in enumerate(random.random(len(batch))):
            out[t] = min(int(np.searchsorted(upto[now], u, side="right")), self.symbols - 1)
            now = (now * self.symbols + out[t]) % modulus
        return out

    def clone(self) -> Markov:
        """Return a copy that learns on its own."""
        return copy.deepcopy(self)


class KrichevskyTrofimov(Markov):
    """Counts plus a half: the predictor whose code length exceeds that of any fixed probabilities by (A-1)/2 log n.

    >>> np.exp(KrichevskyTrofimov().code([0, 0, 0, 1])).round(4)
    array([0.5   , 0.75  , 0.8333, 0.125 ])
    """

    def __init__(self, symbols: int = 2):
        super().__init__(0, symbols, 0.5)


class ContextTree:
    r"""Context-tree weighting: the average over all tree sources of at most a given depth, computed exactly.

    Every node holds the counts of its context and the odds β of "stop here" against "ask for one more symbol"; with
    KT the estimate of the node,

    .. math:: p_w(a) = \frac{β\, p_{KT}(a) + p_w^{child}(a)}{β + 1}, \qquad
              β \leftarrow β\, \frac{p_{KT}(a)}{p_w^{child}(a)}

    Parameters
    ----------
    depth : int
        Longest context. Before the first symbol it is all 0.
    symbols : int

    Examples
    --------
    >>> x = np.tile([0, 0, 1, 1], 50)
    >>> bool(-ContextTree(3).code(x).sum() < 0.15 * len(x) * np.log(2))
    True

    Notes
    -----
    F. Willems, Y. Shtarkov and T. Tjalkens, IEEE Transactions on Information Theory 41, 1995.
    """

    def __init__(self, depth: int = 8, symbols: int = 2):
        self.depth, self.symbols = positive("depth", depth, 0), positive("symbols", symbols, 2)
        self._nodes: dict[tuple[int, ...], list[float]] = {}  # counts of each symbol, their sum, log β
        self._past = [0] * self.depth

    @property
    def num_parameters(self) -> int:
        """Contexts seen times A - 1."""
        return len(self._nodes) * (self.symbols - 1)

    def _predict(self, past: Sequence[int]) -> tuple[list[list[float]], list[list[float]]]:
        """Probabilities of all symbols by KT and by weighting, at the contexts of `past` from the root down."""
        a = self.symbols
        fresh = [0.0] * a + [0.0, 0.0]
        kt, weighted = [], []
        path = [self._nodes.get(tuple(past[len(past) - d :]), fresh) for d in range(self.depth + 1)]
        for node in path:
            kt.append([(node[j] + 0.5) / (node[a] + a / 2) for j in range(a)])
        below = kt[-1]
        weighted.append(below)
        for d in range(self.depth - 1, -1, -1):
            share = 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, path[d][a + 1]))))
            below = [share * k + (1.0 - share) * b for k, b in zip(kt[d], below)]
            weighted.append(below)
        return kt, weighted[::-1]

    def _learn(self, past: Sequence[int], symbol: int, kt: list[list[float]], weighted: list[list[float]]) -> None:
        a = self.symbols
        for d in range(self.depth + 1):
            node = self._nodes.setdefault(tuple(past[len(past) - d :]), [0.0] * a + [0.0, 0.0])
            if d < self.depth:
                node[a + 1] += math.log(kt[d][symbol]) - math.log(weighted[d + 1][symbol])
            node[symbol] += 1.0
            node[a] += 1.0

    def code(self, batch: Any) -> Floats:
        """Return the log-probability of every symbol, each learnt before the next is predicted."""
        out = []
        for symbol in _symbols(batch, self.symbols).tolist():
            kt, weighted = self._predict(self._past)
            out.append(math.log(weighted[0][symbol]))
            self._learn(self._past, symbol, kt, weighted)
            self._past = [*self._past, symbol][1:] if self.depth else []
        return np.array(out)

    def partial_fit(self, batch: Any) -> ContextTree:
        self.code(batch)
        return self

    def log_proba(self, batch: Any) -> Floats:
        """Return the log-probabilities of all symbols at every position, shape (n, A)."""
        past, rows = list(self._past), []
        for symbol in _symbols(batch, self.symbols).tolist():
            rows.append(self._predict(past)[1][0])
            past = [*past, symbol][1:] if self.depth else []
        return np.asarray(np.log(np.array(rows).reshape(-1, self.symbols)))

    def logprob(self, batch: Any) -> Floats:
        s = _symbols(batch, self.symbols)
        return np.asarray(np.take_along_axis(self.log_proba(s), s[:, None], 1)[:, 0])

    def draw(self, batch: Any, rng: Any = None) -> Ints:
        """Return a sequence as long as the batch, sampled from the present predictions."""
        random, past, out = np.random.default_rng(rng), list(self._past), []
        for u in random.random(len(batch)).tolist():
            upto = np.cumsum(self._predict(past)[1][0])
            out.append(min(int(np.searchsorted(upto, u, side="right")), self.symbols - 1))
            past = [*past, out[-1]][1:] if self.depth else []
        return np.array(out, dtype=np.int64)

    def clone(self) -> ContextTree:
        """Return a copy that learns on its own."""
        return copy.deepcopy(self)


class SklearnLearner:
    """A scikit-learn classifier with ``partial_fit`` and ``predict_proba``; batches are pairs (x, y).

    Its probabilities p become ``(1 - mix)·p + mix/K``, so that no symbol costs infinitely much; before the first batch
    all K classes are equally likely.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 200)
    >>> x = y[:, None] + 0.1 * rng.standard_normal((200, 1))
    >>> learner = SklearnLearner(GaussianNB(), classes=[0, 1])
    >>> bool(learner.logprob((x, y)).mean() < -0.69), bool(learner.partial_fit((x, y)).logprob((x, y)).mean() > -0.1)
    (True, True)
    """

    def __init__(self, estimator: Any, classes: Any, mix: float = 1e-4):
        for method in ("partial_fit", "predict_proba"):
            if not hasattr(estimator, method):
                raise TypeError(f"estimator must have {method}; {type(estimator).__name__} has not")
        if not 0 < mix < 1:
            raise ValueError(f"mix must lie strictly between 0 and 1, got {mix!r}")
        self.estimator, self.classes, self.mix = estimator, np.unique(np.asarray(classes)), mix
        self._fitted = False

    def log_proba(self, batch: Any) -> Floats:
        """Return the log-probabilities of all classes for every row, shape (n, K)."""
        x, _ = batch
        k = len(self.classes)
        p = self.estimator.predict_proba(x) if self._fitted else np.full((len(x), k), 1.0 / k)
        return np.asarray(np.log((1 - self.mix) * p + self.mix / k))

    def logprob(self, batch: Any) -> Floats:
        return np.asarray(np.take_along_axis(self.log_proba(batch), self._codes(batch[1])[:, None], 1)[:, 0])

    def _codes(self, y: Any) -> Ints:
        codes = np.searchsorted(self.classes, y)
        if (self.classes[np.minimum(codes, len(self.classes) - 1)] != np.asarray(y)).any():
            raise ValueError(f"y holds labels that are not among the classes {self.classes.tolist()}")
        return codes

    def partial_fit(self, batch: Any) -> SklearnLearner:
        x, y = batch
        self._codes(y)
        self.estimator.partial_fit(x, y, classes=self.classes)
        self._fitted = True
        return self

    def draw(self, batch: Any, rng: Any = None) -> tuple[Any, Any]:
        """Return the batch's x with labels sampled from the present predictions."""
        upto = np.cumsum(np.exp(self.log_proba(batch)), axis=1)
        u = np.random.default_rng(rng).random((len(upto), 1)) * upto[:, -1:]
        return batch[0], self.classes[(u >= upto).sum(axis=1).clip(max=len(self.classes) - 1)]

    def clone(self) -> SklearnLearner:
        """Return a copy that learns on its own."""
        return copy.deepcopy(self)


class TorchLearner:
    """A PyTorch classifier that takes one gradient step a batch; batches are pairs (x, y).

    Parameters
    ----------
    module : nn.Module
        ``module(x)`` returns logits of shape (n, ..., K); y holds integers of shape (n, ...).
    lr : float
        Adam's.
    ema_steps : float
        Time constant, in steps, of the average of the weights that answers; 0 answers with the weights themselves.
    warmup : int
        Steps over which the rate rises.

    Examples
    --------
    >>> import torch
    >>> from plogp.estimate.training import MLP, generator
    >>> learner = TorchLearner(MLP(3, 8, 2, generator=generator(0)), lr=0.01)
    >>> x = torch.randn(64, 3, generator=generator(1))
    >>> y = (x[:, 0] > 0).long()
    >>> before = learner.logprob((x, y)).mean()
    >>> for _ in range(100):
    ...     _ = learner.partial_fit((x, y))
    >>> bool(learner.logprob((x, y)).mean() > before + 0.2)
    True
    """

    def __init__(self, module: Any, *, lr: float = 1e-3, ema_steps: float = 50, warmup: int = 0):
        import torch

        self.module, self.lr, self.warmup = module, lr, warmup
        self.decay = math.exp(-1.0 / ema_steps) if ema_steps > 0 else 0.0
        self.average = copy.deepcopy(module).requires_grad_(False)
        self.optimizer = torch.optim.Adam(module.parameters(), lr=lr)
        self.steps = 0

    @property
    def num_parameters(self) -> int:
        """Weights of the module."""
        return sum(p.numel() for p in self.module.parameters())

    def _pair(self, batch: Any) -> tuple[Any, Any]:
        import torch

        x, y = batch
        at = next(self.module.parameters())
        x, y = torch.as_tensor(x, device=at.device), torch.as_tensor(y, device=at.device)
        return x.to(at.dtype) if x.is_floating_point() else x, y.long()

    def _log_proba(self, module: Any, x: Any, y: Any) -> Any:
        import torch

        logits = module(x)
        if logits.shape[:-1] != y.shape:
            raise ValueError(f"y must have shape {tuple(logits.shape[:-1])} for these logits, got {tuple(y.shape)}")
        return torch.log_softmax(logits.float(), dim=-1)

    def log_proba(self, batch: Any) -> Floats:
        """Return the log-probabilities of all symbols, shape (n·..., K)."""
        import torch

        x, y = self._pair(batch)
        self.average.eval()
        with torch.no_grad():
            found = self._log_proba(self.average, x, y)
        return np.asarray(found.flatten(0, -2).double().cpu().numpy())

    def logprob(self, batch: Any) -> Floats:
        y = self._pair(batch)[1].flatten().cpu().numpy()
        return np.asarray(np.take_along_axis(self.log_proba(batch), y[:, None], 1)[:, 0])

    def partial_fit(self, batch: Any) -> TorchLearner:
        import torch

        x, y = self._pair(batch)
        self.module.train()
        rate = self.lr * min(1.0, (self.steps + 1) / self.warmup) if self.warmup else self.lr
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = -self._log_proba(self.module, x, y).gather(-1, y[..., None]).mean()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        decay = min(self.decay, self.steps / (10.0 + self.steps))  # the start is forgotten quickly
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.module.parameters()):
                kept.lerp_(new, 1.0 - decay)
            for kept, new in zip(self.average.buffers(), self.module.buffers()):
                kept.copy_(new)
        return self

    def draw(self, batch: Any, rng: Any = None) -> tuple[Any, Any]:
        """Return the batch's x with symbols sampled from the present predictions."""
        shape = self._pair(batch)[1].shape
        upto = np.cumsum(np.exp(self.log_proba(batch)), axis=1)
        u = np.random.default_rng(rng).random((len(upto), 1)) * upto[:, -1:]
        drawn = (u >= upto).sum(axis=1).clip(max=upto.shape[1] - 1)
        return batch[0], drawn.reshape(tuple(shape))

    def clone(self) -> TorchLearner:
        """Return a copy that learns on its own."""
        other = TorchLearner(copy.deepcopy(self.module), lr=self.lr, ema_steps=0, warmup=self.warmup)
        other.decay, other.steps = self.decay, self.steps
        other.average.load_state_dict(self.average.state_dict())
        other.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        return other
