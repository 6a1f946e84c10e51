"""The information in one prediction of a sequence model: everything that a row of logits says about its token."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from plogp.measures import divergence
from plogp.measures.arrays import Array, detach, dot, floats, is_traced, logsumexp, normalized_logs, scalar
from plogp.measures.sweep import sweep

__all__ = ["IGNORE_INDEX", "STATS", "ReferenceStats", "TokenStats", "check_asked", "largest", "token_stats"]

#: What `stats` may name.
STATS = ("entropy", "varentropy", "rank", "max")
#: The target of a position that does not count, as in PyTorch's losses.
IGNORE_INDEX = -100


@dataclass(frozen=True, eq=False)
class ReferenceStats:
    """What a second prediction q says of the same token; see `token_stats`. Fields are None where not asked for.

    Attributes
    ----------
    logprob : array, shape (...)
        log q(y), nats.
    cross_entropy : array, shape (...)
        -Σ p(v) log q(v), nats.
    second_moment : array, shape (...)
        Σ p(v) log² q(v), squared nats: less the square of `cross_entropy`, the variance of log q under p.
    js : array, shape (...)
        Jensen-Shannon divergence of p and q, nats.
    """

    logprob: Array = None
    cross_entropy: Array = None
    second_moment: Array = None
    js: Array = None


@dataclass(frozen=True, eq=False, repr=False)
class TokenStats:
    """What `token_stats` returns: arrays of the batch shape, None where not asked for.

    Attributes
    ----------
    logprob : array, shape (...)
        log p(y) of the target y, nats.
    entropy, varentropy : array, shape (...)
        H = -Σ p log p, nats, and Σ p (log p + H)², squared nats.
    max_logprob : array, shape (...)
        log max p: the min-entropy is its negative.
    rank : array of int, shape (...)
        Of the target, from 1: its place in a stable descending sort of the logits. 0 where there is no target.
    topk_ids, topk_logprob : array, shape (..., k)
        The k likeliest words, likeliest first; of equal ones the lower number first.
    power : dict
        ``power[a]`` is log Σ p^a over the words with mass.
    references : tuple of ReferenceStats
        One for each reference.
    """

    logprob: Array = None
    entropy: Array = None
    varentropy: Array = None
    max_logprob: Array = None
    rank: Array = None
    topk_ids: Array = None
    topk_logprob: Array = None
    power: Mapping[float, Array] = field(default_factory=dict)
    references: tuple[ReferenceStats, ...] = ()

    def __repr__(self) -> str:
        known = [f.name for f in fields(self) if f.name not in ("power", "references")]
        shown = [f"{n}: {tuple(getattr(self, n).shape)}" for n in known if getattr(self, n) is not None]
        shown += [f"power: {list(self.power)}"] if self.power else []
        shown += [f"references: {len(self.references)}"] if self.references else []
        return f"{type(self).__name__}({', '.join(shown)})"


def token_stats(
    logits: Array,
    targets: Array | None = None,
    *,
    references: Sequence[Array] = (),
    powers: Collection[float] = (),
    top_k: int = 0,
    temperature: float = 1.0,
    stats: Collection[str] = STATS,
    js: bool = False,
) -> TokenStats:
    r"""Measure next-token predictions: log-probability, entropy, varentropy, rank and what else is asked for.

    With :math:`p = softmax(z / T)` over the vocabulary and y the token that came,

    .. math:: \log p(y), \quad H = -\sum_v p_v \log p_v, \quad \sum_v p_v (\log p_v + H)^2, \quad
        1 + \#\{v: z_v > z_y\} + \#\{v < y: z_v = z_y\}

    and, against a reference q, :math:`\log q(y)`, :math:`-\sum p \log q`, :math:`\sum p \log^2 q` and the
    Jensen-Shannon divergence. `linear_information` is the same from the hidden states, without the logits.

    Parameters
    ----------
    logits : array, shape (..., V)
        NumPy, PyTorch or JAX; log-probabilities are logits too. -inf is probability 0. Half precision is raised to
        float32 before anything else.
    targets : array of int, shape (...), optional
        The tokens y. Without them there is no `logprob` and no `rank`. -100 marks a position that does not count:
        all its numbers are NaN, its rank 0, its `topk_ids` -1.
    references : sequence of arrays, shape (..., V) or (V,)
        Logits or log-probabilities of other predictions; `temperature` does not touch them.
    powers : collection of float
        Orders a of log Σ p^a: 2 gives the collision entropy, 1 - λ Chernoff's bound.
    top_k : int
        How many of the likeliest words to list.
    temperature : float
        Divides the logits first.
    stats : collection of str
        Of "entropy", "varentropy", "rank" and "max": what to compute beside `logprob`.
    js : bool
        Also the Jensen-Shannon divergence from each reference.

    Returns
    -------
    TokenStats
        Arrays of the logits' library and device, in nats; float32 for half-precision logits, else their dtype.
        Differentiable where the library differentiates (not `rank`).

    Raises
    ------
    TypeError, ValueError
        For a row with NaN or +inf or without a finite logit, targets outside the vocabulary or of another shape,
        references of another vocabulary, a temperature that is not positive, or an unknown name in `stats`. The
        values of tracers (inside `jax.jit`, `torch.func`) are not looked at.

    Notes
    -----
    NumPy rows are swept in blocks that stay in the cache, on a thread pool. The varentropy is the central sum; the
    difference of moments would lose all digits where p is peaked.

    Examples
    --------
    >>> s = token_stats(np.log([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]), np.array([2, 1]), powers=[2.0])
    >>> s.rank.tolist(), s.logprob.round(4).tolist(), s.entropy.round(4).tolist()
    ([3, 1], [-1.3863, -0.2231], [1.0397, 0.639])
    >>> np.exp(s.power[2.0]).round(4).tolist()
    [0.375, 0.66]
    >>> token_stats(np.zeros(4), 3, references=[np.log([0.7, 0.1, 0.1, 0.1])]).references[0].logprob.round(4)
    np.float64(-2.3026)
    """
    if not (isinstance(temperature, (int, float, np.floating, np.integer)) and 0 < temperature < math.inf):
        raise ValueError(f"temperature must be a positive number, got {temperature!r}")
    others = {f"references[{i}]": r for i, r in enumerate(_listed(references))}
    xp, (z, *rivals), _ = floats(logits=logits, **others)
    if z.ndim == 0 or z.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., V) with V >= 1, got {tuple(z.shape)}")
    words, shape = z.shape[-1], tuple(z.shape[:-1])
    wanted = check_asked(stats, powers, top_k, words)
    y, counts = (None, None) if targets is None else _targets(xp, targets, z, shape)
    z = z if temperature == 1.0 else z / float(temperature)
    rivals = [_fitted(xp, r, z, name) for name, r in zip(others, rivals)]
    if counts is not None:  # padding may hold NaN, which must reach no gradient
        z, *rivals = (xp.where(counts[..., None], x, xp.zeros_like(x)) for x in (z, *rivals))

    names = _columns(wanted, powers, top_k, len(rivals), y is not None)

    def kernel(z: Array, *blocks: Array) -> tuple[Array, ...]:
        log_p, norm = normalized_logs(z)
        p, nothing = xp.exp(log_p), log_p == -math.inf
        finite = xp.where(nothing, xp.zeros_like(log_p), log_p)
        entropy = 0.0 - dot(xp, p, finite)
        out = {"norm": norm[..., 0], "entropy": entropy}
        if "varentropy" in wanted:
            apart = finite + entropy[..., None]
            out["varentropy"] = dot(xp, p, apart * apart)
        if "max" in wanted:
            out["max_logprob"] = xp.max(log_p, axis=-1)
        for a in powers:
            at_zero = log_p if a >= 0 else -log_p
            out[f"power {a}"] = logsumexp(xp.where(nothing, at_zero, float(a) * finite))
        at = blocks[-1][..., :1] if y is not None else None
        if y is not None:
            out["logprob"] = xp.take_along_axis(log_p, at, axis=-1)[..., 0]
        if "rank" in wanted and y is not None:
            out["rank"] = _rank(xp, z, at)
        if top_k:
            best = largest(xp, z, top_k)
            listed = xp.take_along_axis(log_p, best, axis=-1)
            out |= {f"id {j}": best[..., j] for j in range(top_k)} | {f"top {j}": listed[..., j] for j in range(top_k)}
        for i in range(len(rivals)):
            log_q, rival_norm = normalized_logs(blocks[i])
            out[f"norm {i}"] = rival_norm[..., 0]
            # p log q is 0 where p is, and infinite where only q is 0.
            cost = xp.where(nothing, xp.zeros_like(log_q), -log_q)
            missing = cost == math.inf
            cost = xp.where(missing, xp.zeros_like(cost), cost)
            infinite = xp.any(missing, axis=-1)
            for name, terms in ((f"ce {i}", cost), (f"m2 {i}", cost * cost)):
                total = dot(xp, p, terms)
                out[name] = xp.where(infinite, xp.full_like(total, math.inf), total)
            if y is not None:
                out[f"of {i}"] = xp.take_along_axis(log_q, at, axis=-1)[..., 0]
        return tuple(out[name] for name in names)

    rows = [z, *rivals] + ([] if y is None else [xp.broadcast_to(y[..., None], z.shape)])
    found = dict(zip(names, sweep(kernel, rows, ("sum",) * len(names), additive=False)))
    for name, norm in (("logits", found["norm"]), *((n, found[f"norm {i}"]) for i, n in enumerate(others))):
        _check_rows(xp, norm, name)
    if js:
        found |= {f"js {i}": divergence("js").from_logits(z, r, check=False) for i, r in enumerate(rivals)}
    if counts is not None:
        found = {name: _hidden(xp, x, counts, name) for name, x in found.items()}
    found = {name: scalar(x) for name, x in found.items()}
    return TokenStats(
        **{
            name: found.get(name)
            for name in ("logprob", "entropy", "varentropy", "max_logprob", "rank")
            if name in names
        },
        topk_ids=xp.stack([found[f"id {j}"] for j in range(top_k)], axis=-1) if top_k else None,
        topk_logprob=xp.stack([found[f"top {j}"] for j in range(top_k)], axis=-1) if top_k else None,
        power={float(a): found[f"power {a}"] for a in powers},
        references=tuple(
            ReferenceStats(found.get(f"of {i}"), found[f"ce {i}"], found[f"m2 {i}"], found.get(f"js {i}"))
            for i in range(len(rivals))
        ),
    )


def largest(xp: Any, z: Array, k: int) -> Array:
    """Return the numbers of the k largest entries of each row, largest first and of equal ones the lower number first.

    >>> largest(np, np.array([1.0, 3.0, 3.0, 2.0, 3.0]), 2)
    array([1, 2])
    """
    z = detach(z)
    if isinstance(z, np.ndarray):
        best = np.argpartition(z, z.shape[-1] - k, axis=-1)[..., -k:]
    elif hasattr(z, "topk") and not is_traced(z):
        best = z.topk(k, dim=-1).indices
    else:
        return _order(xp, z)[..., :k]
    # Which of equal entries a partial sort takes is left to chance: rows cut inside a tie are sorted whole.
    best = xp.sort(best, axis=-1)
    values = xp.take_along_axis(z, best, axis=-1)
    best = xp.take_along_axis(best, _order(xp, values), axis=-1)
    torn = (z >= xp.min(values, axis=-1, keepdims=True)).sum(-1) > k
    if not bool(xp.any(torn)):
        return best
    whole = _order(xp, z[torn])[..., :k]
    if z.ndim == 1:
        return whole[0]
    best[torn] = whole
    return best


def _order(xp: Any, z: Array) -> Array:
    """Return the stable descending order of each row."""
    if isinstance(z, np.ndarray):
        return np.argsort(-z, axis=-1, kind="stable")
    return xp.argsort(z, axis=-1, descending=True, stable=True)


def _rank(xp: Any, z: Array, at: Array) -> Array:
    own = xp.take_along_axis(z, at, axis=-1)
    numbers = xp.arange(z.shape[-1], dtype=at.dtype, **_device(at))
    ahead = (z > own) | ((z == own) & (numbers < at))
    return 1 + xp.count_nonzero(ahead, axis=-1)


def _device(x: Array) -> dict[str, Any]:
    device = None if isinstance(x, np.ndarray) else getattr(x, "device", None)  # JAX's tracers have none
    return {} if device is None else {"device": device}


def _columns(wanted: set[str], powers: Collection[float], top_k: int, rivals: int, targets: bool) -> list[str]:
    """Return the names of the numbers that a row is reduced to."""
    names = ["norm", *(f"power {a}" for a in powers), *(f"{w} {j}" for w in ("id", "top") for j in range(top_k))]
    names += [{"max": "max_logprob"}.get(w, w) for w in STATS if w in wanted and (w != "rank" or targets)]
    names += [f"{w} {i}" for i in range(rivals) for w in ("norm", "ce", "m2", *["of"] * targets)]
    return [*names, *["logprob"] * targets]


def check_asked(stats: Collection[str], powers: Collection[float], top_k: int, words: int) -> set[str]:
    """Return `stats` as a set, or say which of the three cannot be had of a vocabulary of `words`."""
    wanted = {stats} if isinstance(stats, str) else set(stats)
    if not wanted <= set(STATS):
        raise ValueError(f"stats may name {', '.join(STATS)}; got {sorted(wanted - set(STATS))}")
    if isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)) or not 0 <= top_k <= words:
        raise ValueError(f"top_k must lie between 0 and the {words} words, got {top_k!r}")
    if any(not math.isfinite(a) for a in powers):
        raise ValueError(f"powers must be finite numbers, got {list(powers)!r}")
    return wanted


def _listed(references: Any) -> list[Any]:
    if not isinstance(references, (list, tuple)):
        raise TypeError(f"references must be a list of arrays, one for each, got {type(references).__name__}")
    return list(references)


def _targets(xp: Any, targets: Any, z: Array, shape: tuple[int, ...]) -> tuple[Array, Array | None]:
    """Return the targets, those that do not count set to 0, and which ones do count: None if all."""
    whole = xp.asarray([0]).dtype
    if not hasattr(targets, "__array_namespace__") and type(targets).__module__.split(".")[0] not in ("torch", "jax"):
        targets = np.asarray(targets)
    y = targets if not isinstance(targets, np.ndarray) or xp is np else xp.asarray(targets, **_device(z))
    if not xp.isdtype(y.dtype, "integral"):
        raise TypeError(f"targets must be whole numbers, got dtype {y.dtype}")
    if tuple(y.shape) != shape:
        raise ValueError(f"targets has shape {tuple(y.shape)}; expected one for each row of logits: {shape}")
    y = xp.astype(y, whole)
    counts = y != IGNORE_INDEX
    if not is_traced(y, z):
        off = counts & ((y < 0) | (y >= z.shape[-1]))
        if bool(xp.any(off)):
            wrong = int(xp.reshape(y, (-1,))[int(xp.argmax(xp.astype(xp.reshape(off, (-1,)), whole)))])
            raise ValueError(
                f"targets holds {wrong}; expected token numbers from 0 to {z.shape[-1] - 1}, or {IGNORE_INDEX} for "
                "positions that do not count"
            )
        if bool(xp.all(counts)):
            return y, None
    return xp.where(counts, y, xp.zeros_like(y)), counts


def _fitted(xp: Any, r: Array, z: Array, name: str) -> Array:
    if r.ndim == 0 or r.shape[-1] != z.shape[-1]:
        raise ValueError(
            f"{name} has shape {tuple(r.shape)}, logits {tuple(z.shape)}: expected the same vocabulary. Where two "
            "models differ in padded rows only, cut both to the common words"
        )
    if r.ndim != 1 and r.shape != z.shape:
        raise ValueError(f"{name} has shape {tuple(r.shape)}; expected that of logits, {tuple(z.shape)}, or (V,)")
    return r if r.shape == z.shape else xp.broadcast_to(r, z.shape)


def _check_rows(xp: Any, norm: Array, name: str) -> None:
    if is_traced(norm) or not math.prod(norm.shape):
        return
    flat = xp.reshape(detach(norm), (-1,))
    bad = ~xp.isfinite(flat)
    if bool(xp.any(bad)):
        row = int(xp.argmax(xp.astype(bad, xp.int8)))
        what = "has no finite entry" if float(flat[row]) == -math.inf else "holds NaN or +inf"
        raise ValueError(f"row {row} of {name} {what}; expected logits, -inf where a word cannot come")


def _hidden(xp: Any, x: Array, counts: Array, name: str) -> Array:
    """Return `x` with NaN where a position does not count; ranks 0 and word numbers -1."""
    empty = 0 if name == "rank" else -1 if name.startswith("id ") else math.nan
    return xp.where(counts, x, xp.full_like(x, empty))
