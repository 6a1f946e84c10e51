"""`Sampler`: a rule that edits the next token's logits, and how rules are composed, fed back and looked up by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from plogp.measures.arrays import Array, cast, floats, is_traced, log_softmax
from plogp.measures.entropy import get_entropy

__all__ = ["SAMPLERS", "SHANNON", "Entry", "Pipeline", "Sampler", "Temperature", "get_sampler"]

#: Looked up once: a decoding loop asks for an entropy at every step.
SHANNON = get_entropy("shannon")


class Sampler:
    """A rule that edits logits before the draw; callable as ``(input_ids, scores) -> scores``.

    There are two ways to use one. A decoding loop of its own holds the state itself::

        state = sampler.init_state(batch)
        logits, state = sampler.step(logits, state, ids)      # or sampler.filter(...) where the state is not written
        ...draw `token`, with `logprob` = log p(token) under the logits as they were before the filter...
        state = sampler.observe(token, logprob, state)

    As a ``LogitsProcessor`` of transformers (``model.generate(..., logits_processor=[sampler])``) it holds the state
    for the caller: what was drawn is learned from the next call's ``input_ids``. Processors of the user run *before*
    transformers' own temperature and truncations, so pass ``do_sample=True, temperature=1.0, top_k=0, top_p=1.0`` and
    put the temperature into the pipeline: ``Temperature(0.8) | TopH(0.4)``. Logit edits come first, then temperature,
    then truncation.

    Subclasses write `_edit`, and `init_state` and `observe` where they are stateful.

    Every rule keeps these promises: the input is never changed; shape, dtype and device are kept; each row of a batch
    is treated by itself; a removed token is -inf and at least one is left in each row; only what a constant added to
    the logits leaves unchanged is used, so log-probabilities are as good as logits; NaN, +inf and rows without any
    finite logit are errors.

    Examples
    --------
    >>> import numpy as np
    >>> from plogp.decode.truncation import TopK
    >>> (Temperature(0.5) | TopK(2)).filter(np.array([[0.0, 1.0, 2.0]])).tolist()
    [[-inf, -2.0, 0.0]]
    """

    #: Whether what was drawn changes the next step. Beam search, which reorders rows, is refused then.
    stateful = False

    #: What the adapter remembers between two calls of transformers: (ids, log-probabilities, state).
    _memory: tuple[Any, Any, Any] | None = None

    def init_state(self, batch: int) -> Any:
        """Return the state of `batch` new sequences; None for a sampler without state."""
        return None

    def filter(self, logits: Array, state: Any = None, ids: Any = None) -> Array:
        """Return the edited logits.

        Parameters
        ----------
        logits : array, shape (..., V)
            Logits or log-probabilities of the next token, one row per sequence; NumPy, PyTorch, JAX.
        state : object, optional
            From `init_state` or `observe`; by default that of new sequences.
        ids : array or list of sequences, shape (B, n), optional
            The tokens so far, where the rule looks at them.

        Returns
        -------
        array, shape (..., V)
            A new array of the same library, dtype and device.

        Raises
        ------
        ValueError
            For NaN or +inf, a row of -inf only, an empty vocabulary, or a state of another batch size.
        """
        return self.step(logits, state, ids)[0]

    def step(self, logits: Array, state: Any = None, ids: Any = None) -> tuple[Array, Any]:
        """Return `filter`'s logits and the state to give to `observe`.

        The state is the given one, except for rules that note something about the law they made
        (`plogp.decode.BudgetedEntropy`): a decoding loop calls `step` and serves all of them.
        """
        xp, (z,), dtype = floats(logits=logits)
        if z.ndim == 0 or z.shape[-1] == 0:
            raise ValueError(f"logits must have shape (..., V) with V >= 1, got shape {tuple(z.shape)}")
        shape = z.shape
        z = xp.reshape(z, (-1, shape[-1]))
        _check(xp, z)
        if state is None and self.stateful:
            state = self.init_state(z.shape[0])
        ids = rows_of_ids(ids, z.shape[0])
        out, state = self._edit(xp, z, state, ids)
        return xp.reshape(cast(xp, out, dtype), shape), state

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        """Return new logits (B, V) of the checked ones, and the state."""
        raise NotImplementedError

    def observe(self, token: Any, logprob: Any, state: Any) -> Any:
        """Return the state after the draw.

        Parameters
        ----------
        token : array, shape (B,)
            The tokens drawn.
        logprob : array, shape (B,)
            Their log-probabilities, in nats, under the logits before this sampler. Rows where it is not finite
            (padding after the end of a finished sequence) leave the state as it is.
        state : object
            What `step` returned.
        """
        return state

    def reset(self) -> None:
        """Forget the sequences seen as a processor of transformers; the next call starts new ones."""
        self._memory = None

    def __call__(self, input_ids: Any, scores: Array) -> Array:
        """Edit `scores` (B, V) as a ``LogitsProcessor``, given the tokens so far (B, n).

        Raises
        ------
        ValueError
            As `filter`; and for a stateful sampler in a beam search.
        """
        if not self.stateful:
            return self.filter(scores, None, input_ids)
        ids = _host(input_ids)
        if ids.ndim != 2 or ids.shape[0] != scores.shape[0]:
            raise ValueError(
                f"input_ids must have shape (batch, length) with scores' batch of {scores.shape[0]}, got {ids.shape}"
            )
        state = self._remembered(ids, scores)
        out, state = self.step(scores, state, input_ids)
        self._memory = (ids, log_softmax(floats(scores=scores)[1][0]), state)
        return out

    def _remembered(self, ids: Any, scores: Array) -> Any:
        """Return the state that belongs to `ids`: the last one, told of the new token, or that of new sequences."""
        old = self._memory
        if old is not None and ids.shape == (old[0].shape[0], old[0].shape[1] + 1):
            before, log_p, state = old
            if np.array_equal(ids[:, :-1], before):
                token = ids[:, -1]
                logprob = np.array([float(log_p[i, int(t)]) for i, t in enumerate(token)])
                return self.observe(token, logprob, state)
            known = {row.tobytes() for row in before}
            if all(row.tobytes() in known for row in np.ascontiguousarray(ids[:, :-1])):
                raise ValueError(_BEAMS.format(type(self).__name__))
        if ids.shape[0] > 1 and len(np.unique(ids, axis=0)) < ids.shape[0] and _normalized(scores):
            # Equal prompts side by side with log-probabilities for scores are how a beam search begins; several
            # samples of one prompt come with logits.
            raise ValueError(_BEAMS.format(type(self).__name__))
        return self.init_state(ids.shape[0])

    def __or__(self, other: Sampler) -> Pipeline:
        """Return the sampler that applies this one, then `other`."""
        if not isinstance(other, Sampler):
            return NotImplemented
        return Pipeline([self, other])

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({shown})"


_BEAMS = (
    "{} follows what each sequence drew and cannot be used in a beam search, which moves sequences between rows; "
    "use num_beams=1, do_sample=True (and call reset() before a new batch of prompts)"
)


class Pipeline(Sampler):
    """Several samplers in order, each given the logits that the one before it left; ``a | b | c``.

    `observe` tells all of them the log-probability under the logits that entered the pipeline.

    Examples
    --------
    >>> from plogp.decode.truncation import MinP, TopK
    >>> Temperature(0.7) | MinP(0.1) | TopK(50)
    Temperature(temperature=0.7) | MinP(ratio=0.1, min_keep=1) | TopK(k=50, min_keep=1)
    """

    def __init__(self, samplers: Sequence[Sampler]):
        flat: list[Sampler] = []
        for sampler in samplers:
            if not isinstance(sampler, Sampler):
                raise TypeError(f"a Pipeline is made of Samplers, got {type(sampler).__name__}")
            flat += sampler.samplers if isinstance(sampler, Pipeline) else (sampler,)
        if not flat:
            raise ValueError("a Pipeline needs at least one Sampler")
        self.samplers: tuple[Sampler, ...] = tuple(flat)
        self.stateful = any(s.stateful for s in flat)

    def init_state(self, batch: int) -> Any:
        return tuple(s.init_state(batch) for s in self.samplers)

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        states = (None,) * len(self.samplers) if state is None else state
        after = []
        for sampler, own in zip(self.samplers, states, strict=True):
            z, own = sampler.step(z, own, ids)
            after.append(own)
        return z, tuple(after)

    def observe(self, token: Any, logprob: Any, state: Any) -> Any:
        if state is None:  # of samplers without state
            return None
        return tuple(s.observe(token, logprob, own) for s, own in zip(self.samplers, state, strict=True))

    def __repr__(self) -> str:
        return " | ".join(repr(s) for s in self.samplers)


class Temperature(Sampler):
    """Divide the logits by a temperature: p'(v) ∝ p(v)^(1/T); the largest logit becomes 0, which changes no law.

    Parameters
    ----------
    temperature : float
        T > 0; below 1 sharper, above 1 flatter.

    Raises
    ------
    ValueError
        If it is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> Temperature(2.0).filter(np.array([1.0, 0.0, -np.inf])).tolist()
    [0.0, -0.5, -inf]
    """

    def __init__(self, temperature: float = 1.0):
        self.temperature = positive(temperature, "temperature")

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        return tempered(xp, z, self.temperature), state


@dataclass(frozen=True)
class Entry:
    """A sampler that can be built from its name: where it is, its main parameter, and values worth trying."""

    module: str
    name: str
    parameter: str
    default: float
    grid: tuple[float, ...]

    @property
    def cls(self) -> Any:
        """The class."""
        return getattr(import_module(f"plogp.decode.{self.module}"), self.name)


#: Name to sampler, for the command line, `compare_samplers` and the room's common test. Contrasts and style priors
#: need a second model or a corpus and are built in Python.
SAMPLERS: dict[str, Entry] = {
    "temperature": Entry("sampler", "Temperature", "temperature", 1.0, (0.5, 0.7, 0.85, 1.0, 1.2, 1.5)),
    "top-k": Entry("truncation", "TopK", "k", 50, (2, 5, 10, 20, 50, 100, 500)),
    "top-p": Entry("truncation", "TopP", "mass", 0.9, (0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)),
    "min-p": Entry("truncation", "MinP", "ratio", 0.1, (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)),
    "epsilon": Entry("truncation", "Epsilon", "epsilon", 3e-4, (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4)),
    "eta": Entry("truncation", "Eta", "epsilon", 3e-4, (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4)),
    "typical": Entry("typical", "Typical", "mass", 0.9, (0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)),
    "top-h": Entry("top_h", "TopH", "alpha", 0.4, (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)),
    "mirostat": Entry("mirostat", "Mirostat", "target_surprise", 3.0, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)),
    "mirostat-v2": Entry("mirostat", "MirostatV2", "target_surprise", 3.0, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)),
    "budgeted-entropy": Entry("budget", "BudgetedEntropy", "budget", 1.0, (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)),
    "tail-mix": Entry("tail_mix", "TailMix", "share", 0.08, (0.0, 0.02, 0.04, 0.08, 0.16)),
}


def get_sampler(name: str | Sampler, value: float | None = None, **parameters: Any) -> Sampler:
    """Return a sampler by name.

    Parameters
    ----------
    name : str or Sampler
        One of `SAMPLERS`; ``_`` and ``-`` are the same; ``"greedy"`` is top-k with k = 1. A Sampler is returned as
        it is.
    value : float, optional
        Of the main parameter; its usual value by default.
    **parameters
        Others.

    Raises
    ------
    KeyError
        For an unknown name.

    Examples
    --------
    >>> get_sampler("top-p", 0.8)
    TopP(mass=0.8, min_keep=1)
    """
    if isinstance(name, Sampler):
        if value is not None or parameters:
            raise ValueError("a Sampler that is built already takes no parameters; pass its name")
        return name
    key = name.lower().replace("_", "-")
    if key == "greedy" and value is None:
        key, value = "top-k", 1
    if key not in SAMPLERS:
        raise KeyError(f"no sampler {name!r}; expected one of {', '.join(sorted([*SAMPLERS, 'greedy']))}")
    entry = SAMPLERS[key]
    if entry.parameter not in parameters:
        parameters[entry.parameter] = entry.default if value is None else value
    if isinstance(entry.default, int) and float(parameters[entry.parameter]).is_integer():
        parameters[entry.parameter] = int(parameters[entry.parameter])
    built: Sampler = entry.cls(**parameters)
    return built


def tempered(xp: Any, z: Array, temperature: float) -> Array:
    """Return z / T with the largest of each row moved to 0, which keeps half precision finite; z itself for T = 1."""
    if temperature == 1.0:
        return xp.asarray(z, copy=True)
    return (z - xp.max(z, axis=-1, keepdims=True)) / temperature


def positive(value: float, name: str) -> float:
    """Return `value` as a float if it is a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return float(value)


def fraction(value: float, name: str, *, zero: bool = False) -> float:
    """Return `value` as a float if it lies in (0, 1], or in [0, 1] with `zero`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not (0 <= value <= 1) or (value == 0 and not zero):
        raise ValueError(f"{name} must lie in {'[' if zero else '('}0, 1], got {value!r}")
    return float(value)


def count(value: int, name: str) -> int:
    """Return `value` as an int if it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    return int(value)


def rows_of_ids(ids: Any, batch: int) -> list[Any] | None:
    """Return `ids` as one sequence per row: of an array (B, n), of one sequence for a batch of one, of a list."""
    if ids is None:
        return None
    if isinstance(ids, list) and ids and isinstance(ids[0], (list, tuple, np.ndarray)):
        rows = [np.asarray(row, dtype=np.int64) for row in ids]
    else:
        array = _host(ids)
        rows = list(array) if array.ndim == 2 else [array.reshape(-1)]
    if len(rows) != batch:
        raise ValueError(f"ids must hold one sequence for each of the {batch} rows of logits, got {len(rows)}")
    return rows


def take_rows(xp: Any, x: Array, index: Array) -> Array:
    """Return x[i, index[i, j]] for every row i."""
    return xp.take_along_axis(x, index, axis=-1)


def like(xp: Any, values: Any, z: Array) -> Array:
    """Return `values` as an array of the library, dtype and device of `z`."""
    if xp.__name__.endswith("torch"):
        if isinstance(values, np.ndarray) and not values.flags.writeable:
            values = values.copy()  # torch shares the memory, and warns of what it must not write to
        return xp.asarray(values, dtype=z.dtype, device=z.device)
    return xp.asarray(values, dtype=z.dtype)


def _host(x: Any) -> Any:
    """Return `x` as a NumPy array."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def _check(xp: Any, z: Array) -> None:
    if z.shape[0] == 0 or is_traced(z):
        return
    top = _host(xp.max(z, axis=-1))  # the largest of a row with NaN is NaN
    if np.isfinite(top).all():
        return
    row = int(np.flatnonzero(~np.isfinite(top))[0])
    if np.isnan(top[row]):
        raise ValueError(f"logits contain NaN in row {row}; expected finite numbers or -inf")
    if top[row] > 0:
        raise ValueError(f"logits contain +inf in row {row}; expected finite numbers or -inf")
    raise ValueError(f"logits are all -inf in row {row}: no token is left to draw")


def _normalized(scores: Array) -> bool:
    """Whether every row of `scores` is a log-probability vector already."""
    from plogp.measures.arrays import logsumexp

    total = _host(logsumexp(floats(scores=scores)[1][0]))
    return bool(np.abs(total).max() < 1e-4)
