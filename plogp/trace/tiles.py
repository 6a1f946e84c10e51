"""Tiles of logits, some tokens by some words: made, reduced and thrown away, and made again for derivatives.

What a row needs of its tiles merges: its log-sum-exp, with the largest logit so far taken off, and the means and sums
of squares of log-probabilities by the rule of T. Chan, G. Golub and R. LeVeque (1983), which subtracts nothing large.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from plogp.measures.arrays import namespace
from plogp.trace.tokens import largest

__all__ = ["Gradients", "Head", "Plan", "Side", "derivatives", "reduced", "tile_size"]

Tensor = Any
#: What a logit of -inf is raised to: finite, so that nothing becomes NaN, and still without probability.
FLOOR = -(2.0**60)  # the same number in every precision
#: Entries of a tile on a CPU, where it should stay in the cache.
CACHED = 2**19
#: Tiles alive at one time, with what a comparison or an argmax takes on its way.
BUFFERS = 5
#: How many roundings of the size of a typical partial sum a target's logit may differ by between two products. Wider
#: bounds send more tokens into a second sweep, narrower ones too: it is checked, not trusted.
ROUNDING = 6
#: Log-probabilities below -TINY are as good as -inf in a gradient.
TINY = 1e9


@dataclass(frozen=True, eq=False)
class Head:
    """Hidden states and what makes logits of them: ``softcap(scale · (hidden @ weight.T + bias)) / temperature``.

    Attributes
    ----------
    hidden : tensor, shape (..., d)
        What the head is applied to: after the final norm.
    weight : tensor, shape (V, d)
        The unembedding.
    bias : tensor, shape (V,), optional
        -inf bars a word.
    scale : float
        Multiplies the logits (Cohere's `logit_scale`; one over Granite's `logits_scaling`).
    softcap : float, optional
        c of c · tanh(z / c) (Gemma's `final_logit_softcapping`).
    temperature : float
        Divides last.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor = None
    scale: float = 1.0
    softcap: float | None = None
    temperature: float = 1.0


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be computed of which rows, and in tiles of which size."""

    heads: tuple[Head, ...]
    y: Tensor  # of the rows that count
    kept: Tensor  # their numbers; None if all count
    rows: int
    wanted: set[str]
    powers: tuple[float, ...]
    top_k: int
    work: Any
    tokens: int
    words: int

    @property
    def names(self) -> list[str]:
        """The numbers of a row, in order."""
        asked = {"logprob": self.y is not None, "max_logprob": "max" in self.wanted}
        asked |= {name: name in self.wanted for name in ("entropy", "varentropy", "rank")}
        asked |= {"topk_ids": self.top_k > 0, "topk_logprob": self.top_k > 0}
        rival = len(self.heads) > 1
        asked |= {"cross_entropy": rival, "second_moment": rival, "of": rival and self.y is not None}
        return [name for name, there in asked.items() if there] + [f"power {a}" for a in self.powers]

    @property
    def accumulator(self) -> Any:
        """float64 wherever there is one: it is only for a few numbers a row."""
        return torch.float32 if self.heads[0].hidden.device.type == "mps" else torch.float64

    def sides(self, tensors: Sequence[Tensor]) -> list[Side]:
        threes = (tensors[i : i + 3] for i in range(0, len(tensors), 3))
        return [Side(head, h, w, b, self.work) for head, (h, w, b) in zip(self.heads, threes, strict=True)]

    def token_chunks(self) -> Iterator[tuple[Any, slice]]:
        """Yield the rows of the hidden states, and the same rows among those that count."""
        for start in range(0, max(self.rows, 1), self.tokens):
            place = slice(start, min(start + self.tokens, self.rows))
            yield (place if self.kept is None else self.kept[place]), place

    def word_chunks(self) -> Iterator[tuple[int, int]]:
        size = len(self.heads[0].weight)
        for start in range(0, size, self.words):
            yield start, min(start + self.words, size)

    def buffers(self, count: int) -> list[Tensor]:
        device = self.heads[0].hidden.device
        return [torch.empty(self.tokens * self.words, dtype=self.work, device=device) for _ in range(count)]


class Side:
    """One head at work: tiles of its logits, and what their derivatives are multiplied by."""

    def __init__(self, head: Head, hidden: Tensor, weight: Tensor, bias: Tensor, work: Any):
        self.head, self.hidden, self.weight, self.work = head, hidden, weight, work
        self.bias = None if bias is None else bias.to(work)
        self.barred: Tensor = None if bias is None or head.softcap is not None else bias == -math.inf
        self.floor = self.barred is not None and bool(self.barred.any())
        # A CUDA device multiplies halves into float32; others are given float32.
        self.mixed = hidden.device.type == "cuda" and hidden.dtype == weight.dtype != work

    def rows(self, index: Any) -> Tensor:
        return self.hidden[index] if self.mixed else self.hidden[index].to(self.work)

    def words(self, start: int, stop: int) -> Tensor:
        return self.weight[start:stop] if self.mixed else self.weight[start:stop].to(self.work)

    def logits(self, h: Tensor, start: int, stop: int, buffer: Tensor) -> Tensor:
        """Return the tile of rows `h` and words from `start` to `stop`, in the buffer."""
        z = _shaped(buffer, (len(h), stop - start))
        kind = {"out_dtype": self.work} if self.mixed else {}
        torch.mm(h, self.words(start, stop).T, out=z, **kind)
        if self.bias is not None:
            z += self.bias[start:stop]
        return self.bent(z)

    def bent(self, z: Tensor) -> Tensor:
        """Scale, cap and temper, in place."""
        head = self.head
        if head.softcap is not None:
            return z.mul_(head.scale / head.softcap).tanh_().mul_(head.softcap / head.temperature)
        if head.scale != head.temperature:
            z *= head.scale / head.temperature
        return z.clamp_min_(FLOOR) if self.floor else z

    def slope(self, z: Tensor) -> Tensor | float:
        """Return the derivative of the logits `z` by the products they come from."""
        head = self.head
        rate = head.scale / head.temperature
        return rate if head.softcap is None else rate * (1 - (z * (head.temperature / head.softcap)) ** 2)


class _Mass:
    """A running Σ exp(z), its largest exponent `top` taken off."""

    def __init__(self, like: Tensor):
        self.top, self.sum = torch.full_like(like, FLOOR), torch.zeros_like(like)
        self.moved = self.factors = self.shares = (self.sum, self.sum)

    def add(self, top: Tensor, total: Tensor) -> None:
        """Merge a tile's Σ exp(z - top), and keep how far the origin moved and how much each side weighs."""
        highest = torch.maximum(self.top, top.to(self.top.dtype))
        self.moved = (self.top - highest, top - highest)
        self.factors = (self.moved[0].exp(), self.moved[1].exp())
        self.shares = (self.sum * self.factors[0], total * self.factors[1])
        self.top, self.sum = highest, self.shares[0] + self.shares[1]


class _Moments:
    """The running mean and sum of squared deviations of a quantity under a mass."""

    def __init__(self, like: Tensor):
        self.mean, self.squares = torch.zeros_like(like), torch.zeros_like(like)

    def add(self, mass: _Mass, moved: tuple[Tensor, Tensor], mean: Tensor, squares: Tensor) -> None:
        """Merge a tile just added to `mass`; the origins of the two means have `moved`."""
        (a, b), (old, new) = mass.shares, mass.factors
        before, added = self.mean + moved[0], mean + moved[1]
        self.mean = (a * before + b * added) / (a + b)
        self.squares = self.squares * old + squares * new + (added - before) ** 2 * (a * b / (a + b))


# -- forward --------------------------------------------------------------------------------------------------


def reduced(plan: Plan, sides: list[Side]) -> dict[str, Tensor]:
    """Return every number of every row that counts."""
    buffers = plan.buffers(3)
    parts = [_chunk(plan, sides, buffers, rows, place) for rows, place in plan.token_chunks()]
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    bad = ~(found["top"].abs() < -FLOOR) | ~found["mean"].isfinite() | ~found["spread"].isfinite()
    whose = "logits"
    if "q_top" in found and not bool(bad.any()):
        bad, whose = ~(found["q_top"].abs() < -FLOOR), "reference's logits"
    if bool(bad.any()):
        row = int(bad.int().argmax())
        row = row if plan.kept is None else int(plan.kept[row])
        raise ValueError(f"the {whose} of position {row} hold NaN or infinity, or bar every word")
    if "rank" in plan.wanted:
        for rows in found["unsure"].nonzero()[:, 0].split(plan.tokens):
            found["rank"][rows] = _ranks(plan, sides[0], buffers, rows)
    return found


def _chunk(plan: Plan, sides: list[Side], buffers: list[Tensor], rows: Any, place: slice) -> dict[str, Tensor]:
    """Reduce the rows of one chunk of tokens over all words."""
    p, rival = sides[0], sides[1] if len(sides) > 1 else None
    h, g = p.rows(rows), rival.rows(rows) if rival else None
    y: Tensor = None if plan.y is None else plan.y[place]
    zero = torch.zeros(len(h), dtype=plan.accumulator, device=h.device)
    mass, own, orders = _Mass(zero), _Moments(zero), {a: _Mass(zero) for a in plan.powers}
    q_mass, cost = _Mass(zero), _Moments(zero)
    at_y, q_at_y, highest = (torch.zeros_like(zero, dtype=t) for t in (plan.work, plan.work, torch.int64))
    best = (at_y[:, None][:, :0], highest[:, None][:, :0])
    ahead, unsure = highest.clone(), highest != highest
    low, high = _bounds(p, h, y) if "rank" in plan.wanted else (at_y, at_y)
    for start, stop in plan.word_chunks():
        z = p.logits(h, start, stop, buffers[0])
        spare, third = _shaped(buffers[1], z.shape), _shaped(buffers[2], z.shape)
        top, argmax = z.max(1)
        highest = torch.where(top > mass.top, argmax + start, highest)
        if y is not None:
            inside, column = _inside(y, start, stop)
            at_y[inside] = z[inside, column]
        if "rank" in plan.wanted:
            known = y < stop
            above = torch.gt(z, torch.where(known, at_y, high)[:, None], out=spare).sum(1)
            level = torch.ge(z, torch.where(known, math.inf, low)[:, None], out=spare).sum(1)
            unsure |= ~known & (level != above)
            ahead += above.long()
            ahead[inside] += _ties_before(z[inside], at_y[inside], column)
        if plan.top_k:
            best = _merged(best, z, start, plan.top_k)
        z.sub_(top[:, None])
        for a, order in orders.items():
            scaled = torch.mul(z, a, out=spare)
            peak = scaled.amax(1)
            order.add(a * top.to(zero.dtype) + peak, scaled.sub_(peak[:, None]).exp_().sum(1))
        e = torch.exp(z, out=spare)
        total = e.sum(1)
        mass.add(top, total)
        if plan.wanted & {"entropy", "varentropy"}:
            mean = torch.mul(e, z, out=third).sum(1) / total
            z.sub_(mean[:, None])
            own.add(mass, mass.moved, mean, torch.mul(z.square_(), e, out=third).sum(1))
        if rival is not None:
            r = rival.logits(g, start, stop, third)
            if y is not None:
                q_at_y[inside] = r[inside, column]
            q_top = r.amax(1)
            r.sub_(q_top[:, None])
            q_mass.add(q_top, torch.exp(r, out=z).sum(1))
            mean = torch.mul(e, r, out=z).sum(1) / total
            r.sub_(mean[:, None])
            cost.add(mass, q_mass.moved, mean, e.mul_(r.square_()).sum(1))
    if "rank" in plan.wanted:
        unsure |= ~((low <= at_y) & (at_y <= high))

    log_sum = mass.sum.log()
    found = {"top": mass.top, "log_sum": log_sum, "highest": highest, "mean": own.mean, "spread": own.squares}
    found |= {"entropy": log_sum - own.mean, "varentropy": own.squares / mass.sum, "max_logprob": -log_sum}
    found |= {"rank": 1 + ahead, "unsure": unsure}
    for a, order in orders.items():
        value = (order.top - a * mass.top) + order.sum.log() - a * log_sum
        if p.floor and a <= 0:
            value = value * 0 + (math.inf if a < 0 else math.log(int((~p.barred).sum())))
        found[f"power {a}"] = value
    if y is not None:
        found["logprob"] = _below(at_y, mass.top, log_sum)
    if plan.top_k:
        found |= {"topk_ids": best[1], "topk_logprob": _below(best[0], mass.top[:, None], log_sum[:, None])}
    if rival is not None:
        q_log_sum = q_mass.sum.log()
        ce = q_log_sum - cost.mean
        moment = cost.squares / mass.sum + ce * ce
        if _unpaid(p, rival):
            ce, moment = (torch.full_like(ce, math.inf) for _ in range(2))
        found |= {"cross_entropy": ce, "second_moment": moment, "q_top": q_mass.top, "q_log_sum": q_log_sum}
        found["mean"] = found["mean"] + cost.mean
        if y is not None:
            found["of"] = _below(q_at_y, q_mass.top, q_log_sum)
    return found


def _ranks(plan: Plan, p: Side, buffers: list[Tensor], rows: Tensor) -> Tensor:
    """Return the exact rank of some targets: a sweep for their logits, and one to count the logits before them."""
    h, y = p.rows(rows if plan.kept is None else plan.kept[rows]), plan.y[rows]
    at_y, rank = torch.zeros(len(h), dtype=plan.work, device=h.device), torch.ones_like(y)
    for start, stop in plan.word_chunks():
        inside, column = _inside(y, start, stop)
        if len(inside):
            at_y[inside] = p.logits(h, start, stop, buffers[0])[inside, column]
    for start, stop in plan.word_chunks():
        z = p.logits(h, start, stop, buffers[0])
        spare = _shaped(buffers[1], z.shape)
        inside, column = _inside(y, start, stop)
        z[inside, column] = at_y[inside]
        above = torch.gt(z, at_y[:, None], out=spare).sum(1)
        level = torch.ge(z, at_y[:, None], out=spare).sum(1)
        rank += torch.where(y < stop, above, level).long()
        rank[inside] += _ties_before(z[inside], at_y[inside], column)
    return rank


def _bounds(p: Side, h: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return bounds on the targets' logits as a matrix product rounds them: likely ones, to be checked against it."""
    sums = []
    step = max(1, CACHED // (8 * max(1, h.shape[1])))
    for some in torch.arange(len(h), device=h.device).split(step):
        product = h[some].to(p.work) * p.weight[y[some]].to(p.work)
        sums.append(torch.stack([product.sum(1), product.square_().sum(1)]))
    u, squares = torch.cat(sums, 1) if sums else h.new_zeros((2, 0))
    eps = torch.finfo(p.work).eps
    bias = 0.0 if p.bias is None else p.bias[y]
    slack = ROUNDING * eps * (squares.sqrt() + u.abs())
    ends = torch.stack([u - slack + bias, u + slack + bias])
    ends = p.bent(ends + torch.tensor([[-eps], [eps]], dtype=p.work, device=h.device) * ends.clamp_min(FLOOR).abs())
    ends = ends + torch.tensor([[-4 * eps], [4 * eps]], dtype=p.work, device=h.device) * ends.abs()
    return ends.amin(0), ends.amax(0)


def _inside(y: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Return the rows whose word lies in a chunk, and its column there."""
    rows = ((y >= start) & (y < stop)).nonzero()[:, 0]
    return rows, y[rows] - start


def _ties_before(z: Tensor, at: Tensor, column: Tensor) -> Tensor:
    return ((z == at[:, None]) & (torch.arange(z.shape[1], device=z.device) < column[:, None])).sum(1)


def _merged(best: tuple[Tensor, Tensor], z: Tensor, start: int, k: int) -> tuple[Tensor, Tensor]:
    """Merge a tile into the k largest so far, whose words all come before: a stable sort keeps ties in order."""
    ids = largest(namespace(z), z, min(k, z.shape[1]))
    values, ids = torch.cat([best[0], z.gather(1, ids)], 1), torch.cat([best[1], ids + start], 1)
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values[:, :k], ids.gather(1, order[:, :k])


def _below(z: Tensor, top: Tensor, log_sum: Tensor) -> Tensor:
    """Return log-probabilities of logits; -inf for words that are barred."""
    return torch.where(z <= FLOOR, -math.inf, (z - top) - log_sum)


def _unpaid(p: Side, rival: Side) -> bool:
    """Whether the rival bars a word that p does not: then p's cost under it is infinite."""
    return rival.floor and bool((rival.barred if not p.floor else rival.barred & ~p.barred).any())


def _shaped(buffer: Tensor, shape: Sequence[int]) -> Tensor:
    return buffer[: math.prod(shape)].view(*shape)


class Gradients:
    """The derivatives by one head's hidden states, weight and bias, gathered tile by tile."""

    def __init__(self, side: Side, needed: Sequence[bool], rows: int):
        self.side, self.needed, self.work = side, needed, side.work
        self.hidden = side.hidden.new_zeros((rows, side.hidden.shape[1]), dtype=self.work) if needed[0] else None
        self.weight = torch.zeros_like(side.weight) if needed[1] else None
        self.bias = torch.zeros_like(side.bias) if needed[2] else None

    def open(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        self.words = self.side.words(start, stop).to(self.work)
        self.sum = torch.zeros_like(self.words) if self.weight is not None else None

    def add(self, h: Tensor, place: slice, tile: Tensor) -> None:
        """Add the derivatives by a tile of products."""
        if self.hidden is not None:
            self.hidden[place].addmm_(tile, self.words)
        if self.sum is not None:
            self.sum.addmm_(tile.T, h.to(self.work))
        if self.bias is not None:
            self.bias[self.start : self.stop] += tile.sum(0)

    def close(self) -> None:
        if self.weight is not None:
            self.weight[self.start : self.stop] = self.sum

    def of(self, tensors: Sequence[Tensor], kept: Tensor | None) -> list[Tensor | None]:
        """Return the three, in the shapes and dtypes of what they belong to."""
        rows = self.hidden
        if rows is not None and kept is not None:
            rows = rows.new_zeros(tensors[0].shape).index_copy_(0, kept, rows)
        found = (rows, self.weight, self.bias)
        return [None if x is None else x.to(like.dtype) for x, like in zip(found, tensors)]


def derivatives(
    plan: Plan, sides: list[Side], v: dict[str, Tensor], upstream: dict[str, Tensor]
) -> Iterator[tuple[int, Any, slice, Tensor, Tensor]]:
    """Yield, for each tile and head, the derivative of the weighted sum of all outputs by the tile's products.

    With c = log p + H: d log p(y) is δ_y - p, dH is -p c, dVar is p (c² + 2c - Var), d log Σ p^a is
    a (p^a / Σ p^a - p), dCE is -p (log q + CE) and, by the rival's logits, q - p.
    """
    p, rival = sides[0], sides[1] if len(sides) > 1 else None
    none = torch.zeros_like(v["top"])
    g = {k: upstream.get(k, none) for k in ("logprob", "entropy", "varentropy", "max_logprob", "of")}
    g |= {k: upstream.get(k, none) for k in ("cross_entropy", "second_moment")}
    if rival is not None and _unpaid(p, rival):  # infinite, whatever the logits are
        g |= {"cross_entropy": none, "second_moment": none}
        v = v | {"cross_entropy": none, "second_moment": none}
    # With barred words a power of order a <= 0 is a constant.
    powers = {a: upstream.get(f"power {a}", none) for a in plan.powers if a > 0 or not p.floor}
    flat = g["logprob"] + g["max_logprob"] + g["varentropy"] * v["varentropy"]
    flat = flat + sum((a * x for a, x in powers.items()), none)
    if rival is not None:
        flat = flat + g["cross_entropy"] * v["cross_entropy"] + g["second_moment"] * v["second_moment"]
    buffers = plan.buffers(2)
    for start, stop in plan.word_chunks():
        for rows, place in plan.token_chunks():
            at = {k: x[place, None] for k, x in (v | {f"d {k}": x for k, x in g.items()}).items() if x.ndim == 1}
            h = p.rows(rows)
            z = p.logits(h, start, stop, buffers[0])
            slope = p.slope(z)
            log_p = z.sub_(at["top"]).sub_(at["log_sum"])
            tilted = [(x[place, None] * a) * torch.exp(a * log_p - at[f"power {a}"]) for a, x in powers.items()]
            probs = log_p.exp()
            c = log_p.clamp_min_(-TINY).add_(at["entropy"])
            tile = ((c * at["d varentropy"] + (2 * at["d varentropy"] - at["d entropy"])) * c).sub_(flat[place, None])
            if rival is not None:
                r = rival.rows(rows)
                log_q = rival.logits(r, start, stop, buffers[1])
                rival_slope = rival.slope(log_q)
                log_q.sub_(at["q_top"]).sub_(at["q_log_sum"])
                q = log_q.exp()
                log_q.clamp_min_(-TINY)
                m2, ce = at["d second_moment"], at["d cross_entropy"]
                tile += (log_q * m2 - ce) * log_q
                second = probs * (2 * m2 * log_q - ce) + q * (ce + 2 * m2 * at["cross_entropy"] - at["d of"])
            tile *= probs
            for term in tilted:
                tile += term
            for ids, name in ((plan.y, "logprob"), (v["highest"], "max_logprob")):
                if ids is not None:
                    inside, column = _inside(ids[place], start, stop)
                    tile[inside, column] += g[name][place][inside]
            yield 0, (start, stop), place, h, tile.mul_(slope)
            if rival is not None:
                if plan.y is not None:
                    inside, column = _inside(plan.y[place], start, stop)
                    second[inside, column] += g["of"][place][inside]
                yield 1, (start, stop), place, r, second.mul_(rival_slope)


def tile_size(
    rows: int, heads: Sequence[Head], work: Any, tokens: int | None, words: int | None, budget: int
) -> tuple[int, int]:
    """Return how many tokens and words make a tile."""
    for name, value in (("chunk_tokens", tokens), ("chunk_vocab", words), ("budget", budget)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    cpu, size = heads[0].hidden.device.type == "cpu", len(heads[0].weight)
    tokens = min(tokens or (512 if cpu else 1024), max(rows, 1))
    if words is None:
        copied = sum(h.weight.shape[1] for h in heads if h.weight.dtype != work)
        words = budget // (work.itemsize * (BUFFERS * tokens + copied))
        words = min(words, max(CACHED // tokens, 256)) if cpu else words
    return tokens, max(1, min(words, size, 2**23))  # counts are exact in float32 up to 2^24
