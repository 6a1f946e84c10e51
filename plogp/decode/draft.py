"""The draft model of DREAM: a small head that looks at the target's features by gated cross-attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plogp.decode.controllers import Floats, Ints
from plogp.decode.readers import ROOT, path_to
from plogp.estimate.training import generator
from plogp.measures import divergence as get_divergence

__all__ = [
    "DraftHead",
    "DraftLoss",
    "DraftTerms",
    "HeadDraft",
    "attention_entropy",
    "prune_tokens",
    "received_attention",
    "select_mid_features",
]


def attention_entropy(attention: Tensor, eps: float = 1e-8) -> Tensor:
    r"""Return the mean entropy over heads of each query's attention, :math:`-\sum_k a_k \log(a_k + \epsilon)`.

    Parameters
    ----------
    attention : tensor, shape (..., heads, queries, keys)
        Weights that sum to 1 over the keys; half precision is computed in float32.
    eps : float
        As in the released code; 0 gives the entropy exactly.

    Returns
    -------
    tensor, shape (..., queries)
        In nats: 0 where one key gets everything, log n for n equal weights.

    Examples
    --------
    >>> a = torch.full((1, 2, 3, 4), 0.25)
    >>> torch.allclose(attention_entropy(a), torch.full((1, 3), 1.3862944))
    True

    References
    ----------
    Y. Hu et al. 2025, arXiv:2505.19201.
    """
    if attention.ndim < 3:
        raise ValueError(f"attention must have shape (..., heads, queries, keys), got {tuple(attention.shape)}")
    a = attention.float() if attention.dtype in (torch.float16, torch.bfloat16) else attention
    return -(torch.xlogy(a, a + eps)).sum(-1).mean(-2)


def select_mid_features(
    hidden_states: Sequence[Tensor], attentions: Sequence[Tensor], depth: float = 0.4, eps: float = 1e-8
) -> tuple[Tensor, Tensor]:
    r"""Choose for each token the early layer whose attention is most concentrated, and return its feature.

    Of the layers 1, ..., L - 2 with L = ⌊depth · n⌋ (numbered from 0; the ends are left out)
    :math:`l^*(t) = \arg\min_l E_l(t)`, E the `attention_entropy`. The feature is ``hidden_states[l*]``, which in the
    order of transformers is what enters that layer, as in the released code.

    Parameters
    ----------
    hidden_states : sequence of n + 1 tensors, shape (batch, tokens, width)
    attentions : sequence of n tensors, shape (batch, heads, tokens, tokens)
        As ``model(..., output_hidden_states=True, output_attentions=True)`` gives them.
    depth : float
        Share of the layers to choose from.

    Returns
    -------
    features : tensor, shape (batch, tokens, width)
    layers : tensor of int, shape (batch, tokens)

    Raises
    ------
    ValueError
        If no layer is left (L < 3: fewer than 8 layers at depth 0.4), or the counts do not match.

    References
    ----------
    Y. Hu et al. 2025, arXiv:2505.19201.
    """
    n = len(attentions)
    if len(hidden_states) != n + 1:
        raise ValueError(f"hidden_states must hold one more entry than attentions, got {len(hidden_states)} and {n}")
    last = int(depth * n)
    if last < 3:
        raise ValueError(
            f"no layer between the ends of the first {depth:g} of {n} layers: at least 3 must lie in it, got {last}"
        )
    entropy = torch.stack([attention_entropy(attentions[i], eps) for i in range(1, last - 1)])
    layers = entropy.argmin(0) + 1
    stacked = torch.stack(list(hidden_states[: last - 1]))
    where = layers[None, :, :, None].expand(1, *stacked.shape[1:])
    return stacked.gather(0, where.to(stacked.device))[0], layers


def received_attention(attention: Tensor) -> Tensor:
    """Return the attention that each key receives, a mean over heads and queries: the score for `prune_tokens`.

    Parameters
    ----------
    attention : tensor, shape (batch, heads, queries, keys)

    Returns
    -------
    tensor, shape (batch, keys)
    """
    if attention.ndim != 4:
        raise ValueError(f"attention must have shape (batch, heads, queries, keys), got {tuple(attention.shape)}")
    return attention.float().mean((1, 2))


def prune_tokens(
    ids: Tensor,
    embeds: Tensor,
    scores: Tensor,
    keep: float = 0.7,
    *,
    image_token: int | None = None,
    prunable: Tensor | None = None,
    pad: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the best share of each sequence's prunable (image) tokens and all others, in their order.

    Parameters
    ----------
    ids : tensor of int, shape (batch, tokens)
    embeds : tensor, shape (batch, tokens, width)
    scores : tensor, shape (batch, tokens)
        Larger stays: `received_attention` of the last layer.
    keep : float
        Share in (0, 1]; of n prunable tokens ⌊keep · n⌋ stay, at least one.
    image_token : int, optional
        Tokens of this id may go.
    prunable : tensor of bool, shape (batch, tokens), optional
        Or these.
    pad : int
        Id at the right of shorter rows; their embeddings are 0.

    Returns
    -------
    ids, embeds, mask : tensors
        The shortened rows; `mask` is 1 where a token stands, 0 for padding.

    Raises
    ------
    ValueError
        For shapes that do not match, a share outside (0, 1], or if not exactly one of `image_token` and `prunable`
        is given.

    Examples
    --------
    >>> ids = torch.tensor([[5, 9, 9, 9, 6]])
    >>> scores = torch.tensor([[0.0, 0.1, 0.9, 0.5, 0.0]])
    >>> prune_tokens(ids, torch.zeros(1, 5, 2), scores, 0.67, image_token=9)[0].tolist()
    [[5, 9, 9, 6]]

    References
    ----------
    Y. Hu et al. 2025, arXiv:2505.19201.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must lie in (0, 1], got {keep}")
    if ids.ndim != 2 or embeds.shape[:2] != ids.shape or scores.shape != ids.shape:
        raise ValueError(
            "ids, embeds and scores must have shapes (batch, tokens), (batch, tokens, width) and (batch, tokens), got "
            f"{tuple(ids.shape)}, {tuple(embeds.shape)} and {tuple(scores.shape)}"
        )
    if (image_token is None) == (prunable is None):
        raise ValueError("give exactly one of image_token and prunable")
    may_go = ids == image_token if prunable is None else prunable.bool()
    rows = []
    for i in range(len(ids)):
        stays, where = ~may_go[i], may_go[i].nonzero()[:, 0]
        if len(where):
            stays = stays.clone()
            stays[where[scores[i, where].topk(max(1, int(len(where) * keep))).indices]] = True
        rows.append(stays)
    padded = nn.utils.rnn.pad_sequence
    return (
        padded([a[r] for a, r in zip(ids, rows, strict=True)], batch_first=True, padding_value=pad),
        padded([a[r] for a, r in zip(embeds, rows, strict=True)], batch_first=True),
        padded([torch.ones(int(r.sum()), dtype=torch.long, device=ids.device) for r in rows], batch_first=True),
    )


def _rotated(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Rotary position embedding of (..., tokens, head width)."""
    half = x.shape[-1] // 2
    speed = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = positions[:, None].float() * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class _Norm(nn.Module):
    """Division by the root mean square, in float32, and a learned scale."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype) * self.weight


class _Attention(nn.Module):
    """Attention of queries to keys; rotary positions for self-attention, normalised q and k for cross-attention."""

    def __init__(self, width: int, heads: int, cross: bool, base: float, g: torch.Generator) -> None:
        super().__init__()
        self.heads, self.cross, self.base = heads, cross, base
        self.q, self.k, self.v, self.o = (_linear(width, width, g) for _ in range(4))
        if cross:
            self.q_norm, self.k_norm = _Norm(width // heads), _Norm(width // heads)

    def forward(self, x: Tensor, source: Tensor, seen: Tensor, positions: Tensor) -> Tensor:
        batch, length, width = x.shape
        if not source.shape[1]:
            return torch.zeros_like(x)
        q, k, v = (
            f(y).view(batch, y.shape[1], self.heads, -1).transpose(1, 2)
            for f, y in ((self.q, x), (self.k, source), (self.v, source))
        )
        if self.cross:
            q, k = self.q_norm(q), self.k_norm(k)
        else:
            q, k = _rotated(q, positions, self.base), _rotated(k, positions, self.base)
        # A query that sees nothing gets nothing; SDPA would return NaN (or, with a finite mask, look everywhere).
        some = seen.any(-1)
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen | ~some[:, None])
        out = self.o(out.transpose(1, 2).reshape(batch, length, width))
        return torch.where(some[:, None], out, torch.zeros_like(out))


class _Block(nn.Module):
    """Attention and a gated MLP on the residual stream; `gated` scales both by tanh of a parameter that starts at 0."""

    def __init__(self, width: int, heads: int, inner: int, kind: str, base: float, g: torch.Generator) -> None:
        super().__init__()
        self.kind = kind
        self.before = nn.Identity() if kind == "first" else _Norm(width)
        self.attention = _Attention(width, heads, kind == "cross", base, g)
        self.between = _Norm(width)
        self.gate, self.up, self.down = _linear(width, inner, g), _linear(width, inner, g), _linear(inner, width, g)
        if kind == "cross":
            self.attention_gate, self.mlp_gate = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, source: Tensor | None, seen: Tensor, positions: Tensor) -> Tensor:
        y = self.before(x)
        y = self.attention(y, y if source is None else source, seen, positions)
        x = x + (self.attention_gate.tanh() * y if self.kind == "cross" else y)
        y = self.between(x)
        y = self.down(nn.functional.silu(self.gate(y)) * self.up(y))
        return x + (self.mlp_gate.tanh() * y if self.kind == "cross" else y)


def _linear(d_in: int, d_out: int, g: torch.Generator) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, d_in, d_out, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=g, device=g.device) * 0.02)
    return layer


class DraftHead(nn.Module):
    """Three blocks over the target's embeddings: self-attention, cross-attention to its features, self-attention.

    The token at position i sees the tokens up to i and the target's last hidden states of the positions before i. The
    cross-attention normalises queries and keys a head and enters through tanh gates that start at 0, so that at first
    the head ignores the features. Its output, after a norm, goes through the target's own output matrix.

    Parameters
    ----------
    hidden : int
        Width of the target.
    heads : int
    inner : int, optional
        Width of the MLPs; 4 x hidden by default.
    base : float
        Of the rotary positions.
    rng : Generator, int, torch.Generator or None

    Raises
    ------
    ValueError
        If `heads` does not divide `hidden` into heads of even width.

    Examples
    --------
    >>> head = DraftHead(16, 2, rng=0)
    >>> hidden, mid = head(torch.randn(1, 5, 16), torch.randn(1, 4, 16))
    >>> hidden.shape, mid.shape
    (torch.Size([1, 5, 16]), torch.Size([1, 5, 16]))

    References
    ----------
    Y. Hu et al. 2025, arXiv:2505.19201; the authors' draft model (SAI-Lab-NYU/DREAM), with which this one agrees to
    5e-7 given the same weights. There the first token's query,
    which sees no feature, attends to all of them, later ones included; here it gets none.
    """

    def __init__(
        self, hidden: int, heads: int, inner: int | None = None, *, base: float = 10000.0, rng: Any = None
    ) -> None:
        super().__init__()
        if hidden % heads or (hidden // heads) % 2:
            raise ValueError(f"heads must divide hidden into heads of even width, got {heads} and {hidden}")
        g, wide = generator(rng), inner or 4 * hidden
        self.hidden = hidden
        self.blocks = nn.ModuleList(_Block(hidden, heads, wide, k, base, g) for k in ("first", "cross", "last"))
        self.norm = _Norm(hidden)

    def forward(
        self,
        embeds: Tensor,
        features: Tensor,
        *,
        seen: Tensor | None = None,
        seen_features: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the final hidden states and those after the cross-attention.

        Parameters
        ----------
        embeds : tensor, shape (batch, tokens, hidden)
        features : tensor, shape (batch, k, hidden)
            The target's last hidden states of positions 0, ..., k - 1.
        seen : tensor of bool, shape (tokens, tokens), optional
            Which tokens each sees; causal by default.
        seen_features : tensor of bool, shape (tokens, k), optional
            Which features; those of strictly earlier positions by default.
        positions : tensor of int, shape (tokens,), optional

        Returns
        -------
        hidden, mid : tensors, shape (batch, tokens, hidden)
        """
        if embeds.ndim != 3 or features.ndim != 3 or embeds.shape[-1] != self.hidden:
            raise ValueError(
                f"embeds and features must have shape (batch, tokens, {self.hidden}), got {tuple(embeds.shape)} and "
                f"{tuple(features.shape)}"
            )
        t, k, device = embeds.shape[1], features.shape[1], embeds.device
        if positions is None:
            positions = torch.arange(t, device=device)
        if seen is None:
            seen = torch.ones(t, t, dtype=torch.bool, device=device).tril()
        if seen_features is None:
            seen_features = torch.arange(k, device=device)[None, :] < torch.arange(t, device=device)[:, None]
        x = self.blocks[0](embeds, None, seen, positions)
        mid = self.blocks[1](x, features, seen_features, positions)
        return self.norm(self.blocks[2](mid, None, seen, positions)), mid

    def draft(self, predictor: Any) -> HeadDraft:
        """Return the draft for ``SpeculativeDecoder(predictor, draft)``, on the target that `predictor` holds."""
        return HeadDraft(self, predictor.model, int(predictor.vocab_size))


@dataclass
class HeadDraft:
    """A `DraftHead` on a target: what `SpeculativeDecoder` takes for its draft.

    The head is run over the whole text for each level of the tree: it keeps no cache, since the target's features
    replace its own at every round.
    """

    head: DraftHead
    model: Any
    vocab_size: int

    def reader(self, target: Any, ids: Ints) -> _HeadReader:
        """Return the reader of one text, fed by the target's."""
        return _HeadReader(self, target, ids)


class _HeadReader:
    """Laws of a `DraftHead` at tree nodes; its own states stand in for features that the target has not made."""

    def __init__(self, how: HeadDraft, target: Any, ids: Ints) -> None:
        self.how, self.target, self.ids, self.passes = how, target, [int(i) for i in target.pending], 0
        self._own: dict[int, Tensor] = {}

    @property
    def ready(self) -> bool:
        return self.target.features is not None

    def laws(self, tokens: Sequence[int], parents: Sequence[int], nodes: Sequence[int]) -> Floats:
        head, model, n = self.how.head, self.how.model, len(self.ids)
        features = self.target.features  # of all but the last token
        device, count = features.device, len(tokens)
        paths = [path_to(i, parents) for i in range(count)]
        used = [ROOT, *sorted({a for p in paths for a in p[:-1]})] if count else []
        own = [self._own[i] for i in used]
        known = torch.cat([features, *own])[None] if own else features[None]
        seen = torch.zeros(n + count, n + count, dtype=torch.bool)
        seen[:n, :n] = torch.ones(n, n, dtype=torch.bool).tril()
        seen[n:, :n] = True
        sees = torch.zeros(n + count, known.shape[1], dtype=torch.bool)
        sees[:n, : n - 1] = torch.arange(n - 1) < torch.arange(n)[:, None]
        sees[n:, : n - 1] = True
        for i, path in enumerate(paths):
            seen[n + i, [n + j for j in path]] = True
            sees[n + i, [n - 1 + used.index(j) for j in [ROOT, *path[:-1]]]] = True
        positions = torch.tensor([*range(n), *(n - 1 + len(p) for p in paths)], device=device)
        with torch.inference_mode():
            embeds = model.get_input_embeddings()(torch.tensor([[*self.ids, *tokens]], device=device))
            hidden, _ = head(embeds, known, seen=seen.to(device), seen_features=sees.to(device), positions=positions)
            self._own |= {i: hidden[:, n + i] for i in range(ROOT, count)}
            rows = hidden[0, [n + i for i in nodes]]
            logits = model.get_output_embeddings()(rows)
        self.passes += 1
        return np.asarray(logits.double().cpu().numpy())

    def commit(self, tokens: Sequence[int], nodes: Sequence[int]) -> None:
        self.ids += [int(t) for t in tokens]
        self._own = {}


@dataclass(frozen=True)
class DraftTerms:
    """The parts of a `DraftLoss`, unweighted: feature, prediction and mid-feature terms, and their weighted sum."""

    feature: Tensor
    prediction: Tensor
    mid: Tensor
    total: Tensor


class DraftLoss(nn.Module):
    r"""Loss of a `DraftHead`: match the target's features, its law, and the selected mid feature.

    .. math:: v\,SmoothL1(h, h^*) + p\,D(p^*\|p) + m\,SmoothL1(h_{mid}, f_{l^*})

    a mean over the tokens of the mask; the SmoothL1 terms are means over the width, D sums over the vocabulary.

    Parameters
    ----------
    v, p, mid : float
        Weights.
    divergence : str or Divergence
        D(target‖draft); KL by default, whose gradient is that of the cross-entropy.
    released : bool
        Divide as the released code does: the SmoothL1 terms by batch x tokens whatever the mask, and D by the size
        of the vocabulary as well, which makes the prediction term V times smaller than the formula.

    Examples
    --------
    >>> h = torch.zeros(1, 3, 4)
    >>> float(DraftLoss()(h, h, h, h, nn.Linear(4, 7, bias=False)).detach())
    0.0

    References
    ----------
    Y. Hu et al. 2025, arXiv:2505.19201. Training there: AdamW-type, learning rate 5e-5, batches of 4, 20 epochs,
    noise on the features uniform in ±0.1 x 512 / tokens.
    """

    def __init__(
        self, v: float = 0.2, p: float = 1.0, mid: float = 1.0, *, divergence: Any = "kl", released: bool = False
    ) -> None:
        super().__init__()
        if min(v, p, mid) < 0:
            raise ValueError(f"weights must be >= 0, got v={v}, p={p}, mid={mid}")
        self.v, self.p, self.mid, self.released = v, p, mid, released
        self.divergence = get_divergence(divergence) if isinstance(divergence, str) else divergence

    def forward(
        self,
        hidden: Tensor,
        mid: Tensor,
        target_hidden: Tensor,
        mid_target: Tensor | None,
        head: Callable[[Tensor], Tensor],
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted sum, a scalar.

        Parameters
        ----------
        hidden, mid : tensors, shape (batch, tokens, width)
            What the `DraftHead` returns.
        target_hidden : tensor, shape (batch, tokens, width)
            The target's last hidden states; detached here.
        mid_target : tensor or None
            From `select_mid_features`; None leaves the term out.
        head : callable
            The target's output matrix: hidden states to logits.
        mask : tensor, shape (batch, tokens), optional
            1 for the tokens that count.
        """
        return self.terms(hidden, mid, target_hidden, mid_target, head, mask).total

    def terms(
        self,
        hidden: Tensor,
        mid: Tensor,
        target_hidden: Tensor,
        mid_target: Tensor | None,
        head: Callable[[Tensor], Tensor],
        mask: Tensor | None = None,
    ) -> DraftTerms:
        """Return the parts; arguments as of `forward`."""
        if hidden.shape != target_hidden.shape:
            raise ValueError(
                f"hidden and target_hidden must match, got {tuple(hidden.shape)} and {tuple(target_hidden.shape)}"
            )
        weight = torch.ones(hidden.shape[:2], device=hidden.device) if mask is None else mask.float()
        counted = weight.sum()
        if not counted > 0:
            raise ValueError("mask leaves no token")
        every = torch.tensor(float(weight.numel()), device=hidden.device)
        target_hidden = target_hidden.detach()
        with torch.no_grad():
            truth = head(target_hidden)
        d = self.divergence.from_logits(truth, head(hidden))
        prediction = (weight * d).sum() / counted / (truth.shape[-1] if self.released else 1)
        over = every if self.released else counted
        feature = _smooth(hidden, target_hidden, weight) / over
        middle = hidden.new_zeros(()) if mid_target is None else _smooth(mid, mid_target.detach(), weight) / over
        return DraftTerms(feature, prediction, middle, self.v * feature + self.p * prediction + self.mid * middle)


def _smooth(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    return (weight * nn.functional.smooth_l1_loss(a, b, reduction="none").mean(-1)).sum()
