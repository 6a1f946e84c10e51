"""Token information from hidden states and a linear head, with the (tokens x vocabulary) logits never held."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from plogp.trace.tiles import Gradients, Head, Plan, derivatives, reduced, tile_size
from plogp.trace.tokens import IGNORE_INDEX, ReferenceStats, TokenStats, check_asked

__all__ = ["Head", "LinearInformation", "linear_information"]

Tensor = Any
FIELDS = ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids", "topk_logprob")


class LinearInformation(TokenStats):
    """What `linear_information` returns: the fields of `TokenStats`."""


def linear_information(
    hidden: Any,
    weight: Any,
    targets: Any = None,
    *,
    bias: Any = None,
    scale: float = 1.0,
    softcap: float | None = None,
    temperature: float = 1.0,
    stats: Collection[str] = ("entropy", "varentropy", "rank", "max"),
    powers: Collection[float] = (),
    top_k: int = 0,
    reference: Any = None,
    mask: Any = None,
    chunk_tokens: int | None = None,
    chunk_vocab: int | None = None,
    budget: int = 2**25,
) -> LinearInformation:
    r"""Return `token_stats` of the logits of a linear head without making more than a tile of them at a time.

    .. math:: z = softcap(scale \cdot (W h + b)) / T, \qquad p = softmax(z)

    and of p what `token_stats` lists: log p(y), entropy, varentropy, max, rank, top k, powers, and the cross-entropy
    and second moment of a reference's log-probabilities.

    Parameters
    ----------
    hidden : tensor or NumPy array, shape (..., d)
        States after the final norm. NumPy in, NumPy out.
    weight : tensor or array, shape (V, d)
        Of the head. Half precision is raised to float32 tile by tile, and the logits are float32.
    targets : tensor or array of int, shape (...), optional
        The tokens y; -100 marks positions that do not count: their numbers are NaN, their rank is 0, their
        `topk_ids` -1. They cost nothing.
    bias, scale, softcap, temperature
        As in `Head`.
    stats, powers, top_k
        As in `token_stats`.
    reference : (hidden, weight), (hidden, weight, bias), Head, or tensor of shape (V,), optional
        A second prediction q of the same words: another head's, or fixed logits or log-probabilities. `scale`,
        `softcap` and `temperature` are not applied to it; a `Head` brings its own.
    mask : tensor or array of bool, shape (...), optional
        False where a position does not count.
    chunk_tokens, chunk_vocab : int, optional
        The tile. By default as much as `budget` allows, and on a CPU as much as its caches hold.
    budget : int
        Bytes for tiles and for copies of the weight.

    Returns
    -------
    LinearInformation
        Tensors on the device of `hidden`, float32 (float64 where an argument is). `logprob`, `entropy`, `varentropy`,
        `max_logprob`, `power` and the reference's numbers have exact first derivatives with respect to hidden states,
        weights and biases; the tiles are made again for them.

    Raises
    ------
    TypeError, ValueError
        For shapes, dtypes or devices that do not fit, targets outside the vocabulary, a bias of NaN or +inf, or a
        position whose logits are not finite.

    Notes
    -----
    Memory: `budget`, and a few numbers a token. With gradients also theirs: as large as what they belong to.

    Rank: the target's logit is compared bit for bit as it stands in its tile. Tiles before it have been judged by
    then with bounds on it; where a logit lies between the bounds, those tokens are swept again. In float32 the logits
    themselves carry the rounding of the matrix product, as everywhere, and so does the order of near-equal ones.

    Examples
    --------
    >>> h, w = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> info = linear_information(h, w, torch.tensor([0, 1]))
    >>> info.rank.tolist(), [round(x, 4) for x in info.logprob.tolist()]
    ([1, 1], [-0.862, -0.7586])
    >>> h.requires_grad_()
    tensor([[1., 0.],
            [0., 2.]], requires_grad=True)
    >>> linear_information(h, w).entropy.sum().backward()
    >>> h.grad.shape
    torch.Size([2, 2])
    """
    plain = isinstance(hidden, np.ndarray)
    first = _head(Head(hidden, weight, bias, scale, softcap, temperature), "")
    heads = (first,) if reference is None else (first, _rival(reference, first))
    shape, words = tuple(first.hidden.shape[:-1]), len(first.weight)
    wanted = check_asked(stats, powers, top_k, words)
    y, kept = _positions(targets, mask, shape, words, first.hidden.device)
    tensors = [x for h in heads for x in (h.hidden.reshape(math.prod(shape), h.hidden.shape[-1]), h.weight, h.bias)]
    wide = any(x is not None and x.dtype == torch.float64 for x in tensors)
    work = torch.float64 if wide else torch.float32
    rows = math.prod(shape) if kept is None else len(kept)
    tile = tile_size(rows, heads, work, chunk_tokens, chunk_vocab, budget)
    wanted -= {"rank"} if y is None else set()
    fixed = tuple(Head(*(_cut(x) for x in vars(h).values())) for h in heads)
    plan = Plan(fixed, y, kept, rows, wanted, tuple(float(a) for a in powers), top_k, work, *tile)
    found = dict(zip(plan.names, _Reduction.apply(plan, *tensors), strict=True)) if plan.names else {}

    def whole(name: str) -> Any:
        if name not in found:
            return None
        x, columns = found[name], (top_k,) * name.startswith("topk")
        if kept is not None:
            empty = {"rank": 0, "topk_ids": -1}.get(name, math.nan)
            x = x.new_full((math.prod(shape), *columns), empty).index_copy(0, kept, x)
        x = x.reshape((*shape, *columns))
        return x.detach().numpy() if plain else x

    second = ReferenceStats(whole("of"), whole("cross_entropy"), whole("second_moment"))
    return LinearInformation(
        **{name: whole(name) for name in FIELDS},
        power={a: whole(f"power {a}") for a in plan.powers},
        references=() if reference is None else (second,),
    )


class _Reduction(torch.autograd.Function):
    """The sweep and its derivative."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(tensors[0].device.type, enabled=False):
            found = reduced(plan, plan.sides(tensors))
        if any(ctx.needs_input_grad):
            ctx.plan = plan
            ctx.known = [k for k in found if k not in ("logprob", "rank", "unsure", "topk_ids", "topk_logprob", "of")]
            ctx.save_for_backward(*tensors, *(found[k] for k in ctx.known))
            ctx.set_materialize_grads(False)
        out = [found[name].to(plan.work) if found[name].is_floating_point() else found[name] for name in plan.names]
        fixed = [x for name, x in zip(plan.names, out) if name in ("rank", "topk_ids", "topk_logprob")]
        ctx.mark_non_differentiable(*fixed)
        return tuple(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        plan, saved = ctx.plan, ctx.saved_tensors
        tensors = saved[: -len(ctx.known)]
        values = {k: x.to(plan.work) if x.is_floating_point() else x for k, x in zip(ctx.known, saved[len(tensors) :])}
        upstream = {k: x for k, x in zip(plan.names, grads) if x is not None}
        sides = plan.sides(tensors)
        sums = [Gradients(s, ctx.needs_input_grad[3 * i + 1 : 3 * i + 4], plan.rows) for i, s in enumerate(sides)]
        with torch.autocast(tensors[0].device.type, enabled=False):
            at = None
            for i, chunk, place, h, tile in derivatives(plan, sides, values, upstream):
                if chunk != at:
                    for gathered in sums:
                        if at is not None:
                            gathered.close()
                        gathered.open(*chunk)
                    at = chunk
                sums[i].add(h, place, tile)
            for gathered in sums:
                gathered.close()
        found = [x for i, gathered in enumerate(sums) for x in gathered.of(tensors[3 * i : 3 * i + 3], plan.kept)]
        return (None, *found)


def _tensor(x: Any, name: str) -> Tensor:
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(np.ascontiguousarray(x if x.flags.writeable else x.copy()))
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a PyTorch tensor or a NumPy array, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must hold real numbers, got {x.dtype}")
    return x


def _cut(x: Any) -> Any:
    return x.detach() if isinstance(x, torch.Tensor) else x


def _head(head: Head, of: str) -> Head:
    """Return the head with its tensors checked; `of` goes before the names of its parts in messages."""
    hidden, weight = _tensor(head.hidden, f"{of}hidden"), _tensor(head.weight, f"{of}weight")
    bias = None if head.bias is None else _tensor(head.bias, f"{of}bias")
    if weight.ndim != 2 or hidden.ndim == 0 or hidden.shape[-1] != weight.shape[1] or len(weight) == 0:
        raise ValueError(
            f"{of}hidden and {of}weight must have shapes (..., d) and (V, d), got {tuple(hidden.shape)} and "
            f"{tuple(weight.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (len(weight),):
        raise ValueError(f"{of}bias must have shape ({len(weight)},), one for each word, got {tuple(bias.shape)}")
    if len({x.device for x in (hidden, weight, bias) if x is not None}) > 1:
        raise ValueError(f"{of}hidden, {of}weight and {of}bias must be on one device")
    for name in ("scale", "temperature", "softcap"):
        value = getattr(head, name)
        number = isinstance(value, (int, float)) and math.isfinite(value) and value != 0
        if not (number and (value > 0 or name == "scale")) and not (value is None and name == "softcap"):
            raise ValueError(f"{of}{name} must be a {'' if name == 'scale' else 'positive '}number, got {value!r}")
    if bias is not None and (
        bool((bias.isnan() | (bias == math.inf)).any()) or (head.scale < 0 and bool(bias.isinf().any()))
    ):
        raise ValueError(f"{of}bias must hold numbers, or -inf for words that cannot come; got NaN or +inf")
    return Head(hidden, weight, bias, head.scale, head.softcap, head.temperature)


def _rival(reference: Any, first: Head) -> Head:
    words, shape = len(first.weight), first.hidden.shape[:-1]
    if isinstance(reference, (tuple, list)) and len(reference) in (2, 3):
        reference = Head(*reference)
    if not isinstance(reference, Head):
        vector = _tensor(reference, "reference")
        if tuple(vector.shape) != (words,):
            raise ValueError(
                f"reference must be a pair (hidden, weight), a Head or a vector of shape ({words},), got shape "
                f"{tuple(vector.shape)}"
            )
        # A head without inputs: its bias is all there is.
        reference = Head(vector.new_empty((*shape, 0)), vector.new_empty((words, 0)), vector)
    head = _head(reference, "reference ")
    if len(head.weight) != words:
        raise ValueError(
            f"reference has {len(head.weight)} words, weight {words}: expected the same vocabulary. Where two models "
            "differ in padded rows only, cut both to the common words"
        )
    if head.hidden.shape[:-1] != shape:
        raise ValueError(f"reference has hidden states of shape {tuple(head.hidden.shape)}; expected {(*shape, 'd')}")
    if head.hidden.device != first.hidden.device:
        raise ValueError(f"reference is on {head.hidden.device}, hidden on {first.hidden.device}; expected one device")
    return head


def _positions(
    targets: Any, mask: Any, shape: tuple[int, ...], words: int, device: Any
) -> tuple[Tensor | None, Tensor | None]:
    """Return the targets of the rows that count, and the numbers of these rows: None if all count."""
    counts, y = None, None
    if targets is not None:
        y = torch.as_tensor(targets).to(device)
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise TypeError(f"targets must be whole numbers, got {y.dtype}")
        if tuple(y.shape) != shape:
            raise ValueError(f"targets has shape {tuple(y.shape)}; expected one for each hidden state: {shape}")
        y = y.long().reshape(-1)
        counts = y != IGNORE_INDEX
        off = counts & ((y < 0) | (y >= words))
        if bool(off.any()):
            raise ValueError(
                f"targets holds {int(y[off][0])}; expected token numbers from 0 to {words - 1}, or {IGNORE_INDEX} for "
                "positions that do not count"
            )
    if mask is not None:
        keep = torch.as_tensor(mask).to(device)
        if tuple(keep.shape) != shape:
            raise ValueError(f"mask has shape {tuple(keep.shape)}; expected one for each hidden state: {shape}")
        keep = keep.reshape(-1).bool()
        counts = keep if counts is None else counts & keep
    if counts is None or bool(counts.all()):
        return y, None
    kept = counts.nonzero()[:, 0]
    return (None if y is None else y[kept]), kept
