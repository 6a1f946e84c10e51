"""Sequences with known structure: cellular automata, Markov chains, pseudo-random bits, noise with memory, channels.

Symbols are small integers; each function draws with ``rng`` (a NumPy generator or seed) and is repeatable.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats
from plogp.estimate.series import positive
from plogp.estimate.tasks.base import Samples, Task

__all__ = [
    "Induction",
    "awgn",
    "coloured",
    "eca",
    "gar",
    "gma",
    "induction",
    "markov",
    "prng",
    "stationary",
]

Symbols = npt.NDArray[np.uint8]
Seed = np.random.Generator | int | None


def evolve(states: npt.ArrayLike, rule: int, steps: int = 1) -> Symbols:
    """Return rings of cells, shape (..., width), after `steps` updates by an elementary rule (Wolfram's number).

    >>> evolve([0, 0, 0, 1, 0, 0, 0], rule=90, steps=2)
    array([0, 1, 0, 0, 0, 1, 0], dtype=uint8)
    """
    if not 0 <= rule < 256:
        raise ValueError(f"rule must lie between 0 and 255, got {rule}")
    table = np.array([(rule >> code) & 1 for code in range(8)], dtype=np.uint8)
    cells = np.asarray(states, dtype=np.uint8)
    if cells.size and cells.max() > 1:
        raise ValueError("cells must be 0 or 1")
    for _ in range(positive("steps", steps, 0)):
        cells = table[4 * np.roll(cells, 1, -1) + 2 * cells + np.roll(cells, -1, -1)]
    return cells


def eca(rule: int, width: int = 64, steps: int = 48, n: int = 1, rng: Seed = None) -> tuple[Symbols, Symbols]:
    """Return n random rings of cells and what an elementary cellular automaton makes of them.

    Parameters
    ----------
    rule : int
        Wolfram's number, 0 to 255: bit ``4·left + 2·cell + right`` of it is the cell's next state.
    width, steps : int
        Cells of the ring (its ends touch), and updates from the first to the last row.
    n : int
        Rings.

    Returns
    -------
    first, last : arrays of uint8, shape (n, width)

    Examples
    --------
    >>> first, last = eca(15, width=8, steps=1, n=1, rng=0)     # rule 15: the inverse of the left neighbour
    >>> bool((last == 1 - np.roll(first, 1, axis=1)).all())
    True

    Notes
    -----
    S. Wolfram, Reviews of Modern Physics 55, 1983. As data to learn: Finzi et al., arXiv 2601.03220.
    """
    shape = positive("n", n), positive("width", width, 3)
    first = np.random.default_rng(rng).integers(0, 2, shape, dtype=np.uint8)
    return first, evolve(first, rule, steps)


def stationary(matrix: npt.ArrayLike) -> Floats:
    """Return the stationary distribution of a Markov matrix (rows sum to 1).

    >>> stationary([[0.9, 0.1], [0.3, 0.7]]).round(12)
    array([0.75, 0.25])
    """
    p = _stochastic(matrix)
    rows = np.vstack([p.T - np.eye(len(p)), np.ones(len(p))])
    return np.asarray(np.linalg.lstsq(rows, np.r_[np.zeros(len(p)), 1.0], rcond=None)[0])


def _stochastic(matrix: npt.ArrayLike) -> Floats:
    p = np.asarray(matrix, dtype=np.float64)
    if p.ndim != 2 or p.shape[0] != p.shape[1]:
        raise ValueError(f"matrix must be square, got shape {p.shape}")
    if not np.isfinite(p).all() or (p < 0).any() or (abs(p.sum(1) - 1) > 1e-9).any():
        raise ValueError("the rows of matrix must be distributions: not negative, with sum 1")
    return p


def markov(matrix: npt.ArrayLike, length: int, n: int | None = None, rng: Seed = None) -> npt.NDArray[np.int64]:
    """Return stationary sequences of a Markov chain, shape (length,), or (n, length) for n of them.

    Its entropy rate is ``stationary(matrix) @ entropy(matrix)`` with ``plogp.entropy``.

    >>> x = markov([[0.9, 0.1], [0.3, 0.7]], 20_000, rng=0)
    >>> bool(abs(x.mean() - 0.25) < 0.02), bool(abs((x[1:] != x[:-1]).mean() - 0.15) < 0.01)
    (True, True)
    """
    p = _stochastic(matrix)
    random = np.random.default_rng(rng)
    count, total = 1 if n is None else positive("n", n), positive("length", length)
    steps = np.cumsum(p, axis=1)
    steps[:, -1] = 1.0
    out = np.empty((count, total), dtype=np.int64)
    state = np.searchsorted(np.cumsum(stationary(p))[:-1], random.random(count), side="right")
    if n is None:  # one long sequence: look-ups in plain lists are faster than arrays of one
        import bisect

        rows, now = steps.tolist(), int(state[0])
        out[0, 0] = now
        for t, u in enumerate(random.random(total - 1).tolist(), 1):
            now = bisect.bisect_right(rows[now], u)
            out[0, t] = now
        return out[0]
    for t in range(total):
        out[:, t] = state
        state = (random.random(count)[:, None] >= steps[state]).sum(axis=1)
    return out


class Induction(NamedTuple):
    """Sequences whose rule is partly hidden.

    Attributes
    ----------
    given : array, shape (n, g)
        What is shown first: the rows of a Markov matrix that are not hidden, or the cells that are not hidden.
    sequence : array of int, shape (n, length)
        What is to be predicted.
    hidden : array
        What is not shown: for each n, which rows (easy) or which cells (hard).
    """

    given: npt.NDArray[Any]
    sequence: npt.NDArray[np.int64]
    hidden: npt.NDArray[Any]


def induction(
    level: str,
    n: int,
    *,
    num_hidden: int = 2,
    symbols: int = 8,
    length: int = 128,
    rule: int = 30,
    width: int = 32,
    steps: int = 4,
    rng: Seed = None,
) -> Induction:
    """Return tasks in which a model that predicts well has to infer what it was not shown.

    Parameters
    ----------
    level : {"easy", "hard"}
        ``"easy"``: n Markov chains of `symbols` states, each with rows of its own (uniform on the simplex); all rows
        but `num_hidden` are given, and the hidden ones can be counted from the sequence. ``"hard"``: a ring of cells
        after `steps` updates by `rule`; its start is given but for the first `num_hidden` cells, and finding those
        from the cells already seen means inverting the automaton.
    n : int
    num_hidden, symbols, length : int
        Of the easy task; which rows are hidden is the same for all n.
    num_hidden, rule, width, steps : int
        Of the hard task.

    Examples
    --------
    >>> task = induction("hard", 5, num_hidden=3, width=16, rng=0)
    >>> task.given.shape, task.sequence.shape, task.hidden.shape
    ((5, 13), (5, 16), (5, 3))
    >>> easy = induction("easy", 4, num_hidden=2, symbols=3, length=50, rng=0)
    >>> easy.given.shape, easy.sequence.shape                   # one row of three is shown
    ((4, 3), (4, 50))

    Notes
    -----
    After the induction experiments of Finzi et al., arXiv 2601.03220.
    """
    random, count = np.random.default_rng(rng), positive("n", n)
    hide = positive("num_hidden", num_hidden, 0)
    if level == "hard":
        if hide >= width:
            raise ValueError(f"num_hidden must be below width={width}, got {hide}")
        first, last = eca(rule, width, steps, count, random)
        return Induction(first[:, hide:], last.astype(np.int64), first[:, :hide])
    if level != "easy":
        raise ValueError(f"level must be 'easy' or 'hard', got {level!r}")
    if hide > positive("symbols", symbols, 2):
        raise ValueError(f"num_hidden must be at most symbols={symbols}, got {hide}")
    rows = random.dirichlet(np.ones(symbols), size=(count, symbols))
    hidden = np.sort(random.permutation(symbols)[:hide])
    shown = np.setdiff1d(np.arange(symbols), hidden)
    sequence = np.empty((count, positive("length", length)), dtype=np.int64)
    state = np.array([random.choice(symbols, p=np.clip(s, 0, None) / s.clip(0).sum()) for s in map(stationary, rows)])
    upto = np.cumsum(rows, axis=2)
    upto[..., -1] = 1.0
    for t in range(length):
        sequence[:, t] = state
        state = (random.random(count)[:, None] >= upto[np.arange(count), state]).sum(axis=1)
    return Induction(rows[:, shown].reshape(count, -1), sequence, np.broadcast_to(hidden, (count, hide)))


def prng(n: int, kind: str = "shake", seed: int = 0) -> Symbols:
    """Return n bits of a deterministic generator.

    Parameters
    ----------
    n : int
    kind : {"shake", "lcg", "alternating"}
        ``"shake"``: SHAKE-256 of the seed, a cryptographic expansion: no efficient model should find structure.
        ``"lcg"``: the lowest bit of each of 8 bits of a linear congruential generator modulo 2^8, of period 256.
        ``"alternating"``: 0, 1, 0, 1, ...
    seed : int

    Examples
    --------
    >>> bool(abs(prng(10_000).mean() - 0.5) < 0.02), prng(4, "alternating")
    (True, array([0, 1, 0, 1], dtype=uint8))
    """
    count = positive("n", n)
    if kind == "shake":
        raw = hashlib.shake_256(int(seed).to_bytes(8, "little", signed=True)).digest(-(-count // 8))
        return np.unpackbits(np.frombuffer(raw, dtype=np.uint8))[:count]
    if kind == "lcg":
        state, out = int(seed) % 256, np.empty(-(-count // 8), dtype=np.uint8)
        for i in range(len(out)):
            state = (141 * state + 3) % 256
            out[i] = state
        return np.unpackbits(out)[:count]
    if kind == "alternating":
        return (np.arange(count) % 2).astype(np.uint8)
    raise ValueError(f"kind must be 'shake', 'lcg' or 'alternating', got {kind!r}")


def coloured(white: Any, ma: float = 0.0, ar: float = 0.0, delay: int = 1) -> Any:
    r"""Return stationary noise with memory, made of white noise: ``Z_t = ar Z_{t-k} + U_t + ma U_{t-k}``, k = delay.

    Parameters
    ----------
    white : array or tensor, shape (..., T + delay, d)
        Independent normal values; the first `delay` of them set the state before the first step, so that the result
        is stationary from its start.
    ma, ar : float
        |ar| < 1.
    delay : int

    Returns
    -------
    array or tensor, shape (..., T, d)

    Examples
    --------
    >>> coloured(np.array([[1.0], [2.0], [4.0]]), ma=0.5).ravel()
    array([2.5, 5. ])
    """
    if not abs(ar) < 1:
        raise ValueError(f"ar must lie strictly between -1 and 1 (stationary noise), got {ar}")
    k = positive("delay", delay)
    if white.shape[-2] <= k:
        raise ValueError(f"white must hold more than delay={k} steps, got {white.shape[-2]}")
    start = white[..., :k, :] / math.sqrt(1 - ar * ar)
    if ar == 0:
        state = white
    elif isinstance(white, np.ndarray):
        from scipy import signal

        pushes = np.concatenate([start, white[..., k:, :]], axis=-2)
        state = signal.lfilter([1.0], [1.0, *[0.0] * (k - 1), -ar], pushes, axis=-2)
    else:
        import torch

        parts = [start]
        for t in range(k, white.shape[-2], k):
            push = white[..., t : t + k, :]
            parts.append(ar * parts[-1][..., : push.shape[-2], :] + push)
        state = torch.cat(parts, dim=-2)
    return state[..., k:, :] + ma * state[..., :-k, :]


def _channel(name: str, power: float, variance: float, ma: float, ar: float, history: int) -> Task:
    """``Y_t = X_t + Z_t`` with white normal X; the source is X one step ahead, so that lag 1 sees the present input."""
    for label, number in (("power", power), ("variance", variance)):
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{label} must be a positive number, got {number}")
    h = positive("history", history, 0)
    lags = np.arange(h + 1)
    first = variance * (1 + (ma + ar) ** 2 / (1 - ar * ar))
    second = variance * (ma + ar) * (1 + ma * ar) / (1 - ar * ar)
    memory = np.where(lags == 0, first, second * np.power(float(ar), np.maximum(lags - 1, 0)))

    def innovation(r: Floats) -> float:
        whole = r[abs(lags[:, None] - lags)]
        return float(np.exp(np.linalg.slogdet(whole)[1] - (np.linalg.slogdet(whole[1:, 1:])[1] if h else 0.0)))

    # Given the inputs too, what is left of Y and of its past is the noise.
    truth = 0.5 * math.log(innovation(memory + power * (lags == 0)) / innovation(memory))

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x = math.sqrt(power) * rng.standard_normal(n + 1)
        z = coloured(math.sqrt(variance) * rng.standard_normal((n + 2, 1)), ma, ar)[:, 0]
        return x[1:], (x + z)[:-1]

    return Task(name, truth, draw, "transfer_entropy")


def awgn(power: float = 1.0, variance: float = 1.0) -> Task:
    """Transfer entropy through white noise, with the present input seen: ``½ log(1 + P/σ²)``.

    >>> round(awgn().truth, 4)
    0.3466
    """
    return _channel(f"awgn(P={power:g}, variance={variance:g})", power, variance, 0.0, 0.0, 0)


def gma(a: float = 0.5, power: float = 1.0, variance: float = 1.0, history: int = 1) -> Task:
    """Through noise ``U_t + a U_{t-1}``; the truth is for `history` past outputs and history + 1 inputs.

    >>> round(gma(0.0).truth, 4), round(gma(0.5, history=20).truth, 4)
    (0.3466, 0.3787)
    """
    return _channel(f"gma(a={a:g}, P={power:g}, history={history})", power, variance, float(a), 0.0, history)


def gar(a: float = 0.5, power: float = 1.0, variance: float = 1.0, history: int = 1) -> Task:
    """Through noise ``Z_t = a Z_{t-1} + U_t``; the truth is for `history` past outputs and history + 1 inputs.

    >>> round(gar(0.0).truth, 4)
    0.3466
    """
    if not abs(a) < 1:
        raise ValueError(f"a must lie strictly between -1 and 1 (stationary noise), got {a}")
    return _channel(f"gar(a={a:g}, P={power:g}, history={history})", power, variance, 0.0, float(a), history)
