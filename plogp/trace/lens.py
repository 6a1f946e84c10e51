"""How a language model's prediction forms over its layers: the residual stream read by a logit or tuned lens."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plogp.measures import divergence, entropy_from_logits
from plogp.trace.architectures import Architecture, architecture
from plogp.trace.hooks import capture
from plogp.trace.passes import evaluating, forward
from plogp.trace.tuned import TunedLens

__all__ = ["ResidualTrace", "TunedLens", "residual_lens"]

Tensor = Any
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: How far the lens of the last layer may be from the model's own log-probabilities, by bytes of a number.
AGREEMENT = {2: 0.5, 4: 1e-2, 8: 1e-6}


@dataclass(frozen=True, eq=False, repr=False)
class ResidualTrace:
    """What `residual_lens` returns, with the layer first: 0 is the embeddings, the last the model's own prediction.

    Attributes
    ----------
    ce : array, shape (K + 1, ...)
        Residual cross-entropy -log p_i(y) of the target y, in nats.
    kl : array, shape (K + 1, ...)
        KL(p_K‖p_i), from the final prediction to the layer's; the last is 0.
    entropy : array, shape (K + 1, ...)
        Of p_i.
    rank : array of int, shape (K + 1, ...)
        Of the target in p_i: 1 is the most likely token.
    top : array of int, shape (K + 1, ...)
        The most likely token of p_i.
    step : array, shape (K, ...)
        ‖r_{i+1} - r_i‖ / ‖r_i‖ of the residual stream.
    cosine : array, shape (K + 1, ...)
        Between r_i and the last.
    target : array of int, shape (...)
        The token y.
    settle_depth : array of int, shape (...)
        The first layer from which on the most likely token is the final one.

    The trailing shape is that of the input: none for one sequence, (batch,) for several, and one more axis where
    several positions were asked for.
    """

    ce: Floats
    kl: Floats
    entropy: Floats
    rank: Ints
    top: Ints
    step: Floats
    cosine: Floats
    target: Ints
    settle_depth: Ints

    @property
    def layers(self) -> int:
        """Number of blocks, K."""
        return len(self.ce) - 1

    @property
    def output_ce(self) -> Floats:
        """Cross-entropy of the output, -log p_K(y): the last of `ce`."""
        return np.asarray(self.ce[-1])

    @property
    def area(self) -> Floats:
        """Area under the curve of `ce` over depth from 0 to 1 (trapezoid rule)."""
        return np.asarray((self.ce[1:] + self.ce[:-1]).mean(axis=0) / 2)

    @property
    def cross_entropy(self) -> Floats:
        """H(p_K, p_i), the cross-entropy of the whole final distribution against the layer's: kl + H(p_K)."""
        return self.kl + self.entropy[-1]

    def plot(self, metric: str = "ce", ax: Any = None) -> Any:
        """Draw one metric over the layers, a line a sequence. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        names = ("ce", "kl", "entropy", "rank", "cosine", "step", "cross_entropy")
        if metric not in names:
            raise ValueError(f"metric must be one of {', '.join(names)}, got {metric!r}")
        ax = plt.subplots()[1] if ax is None else ax
        curve = np.asarray(getattr(self, metric))
        first = 1 if metric == "step" else 0
        ax.plot(np.arange(first, first + len(curve)), curve.reshape(len(curve), -1), linewidth=1.0, alpha=0.7)
        ax.set_xlabel("layer (0: embeddings)")
        words = {"ce": "cross-entropy of the target (nats)", "kl": "KL from the output (nats)"}
        ax.set_ylabel(words.get(metric, metric.replace("_", " ")))
        return ax

    def __repr__(self) -> str:
        shape = tuple(self.target.shape) or "one sequence"
        means = ", ".join(f"{v:.3g}" for v in self.ce.reshape(len(self.ce), -1).mean(axis=1))
        return (
            f"ResidualTrace({self.layers} layers, {shape}; mean cross-entropy by layer: {means} nats; settled at "
            f"layer {self.settle_depth.mean():.3g} of {self.layers})"
        )


def residual_lens(
    model: Any,
    input_ids: Any,
    *,
    lens: str | Callable[[Tensor, int], Tensor] = "logit",
    target: Any = "argmax",
    attention_mask: Any = None,
    positions: Any = None,
) -> ResidualTrace:
    r"""Follow the prediction of the next token through the layers of a causal language model.

    With :math:`r_i` the residual stream after i blocks (:math:`r_0` the embeddings) at the last token, LN the final
    norm and W the unembedding,

    .. math:: p_i = softmax(W\, LN(r_i)), \qquad CE_i(y) = -\log p_i(y)

    y is by default the token that the model itself emits, so no ground truth is needed. Certain answers settle early
    and low.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model that `plogp.trace.architecture` knows, with its head; run in evaluation mode without
        gradient.
    input_ids : array of int, shape (tokens,) or (batch, tokens)
        Padded left or right where sequences differ in length; then pass the mask.
    lens : "logit", TunedLens or callable
        ``lens(residual, layer)`` corrects the stream before the head. "logit" reads it as it is, which is off scale
        in early layers of many models; `TunedLens` learns an affine map a layer.
    target : "argmax", int or array of int
        The token y, one for each position followed.
    attention_mask : array, shape of `input_ids`, optional
        1 for tokens, 0 for padding.
    positions : int or array of int, optional
        Which tokens' predictions to follow: shape (batch,), or (batch, P) for several in one pass; numbers of
        columns of `input_ids`, negative ones from the end. By default the last token that is no padding.

    Returns
    -------
    ResidualTrace
        Arrays with the layer first.

    Raises
    ------
    TypeError, ValueError
        For ids of another shape or type, a mask that does not fit or masks a whole sequence, a position that is
        padding, a target outside the vocabulary, an unknown architecture or a bidirectional model, or an architecture
        whose final norm and unembedding do not give the model's own prediction.

    Notes
    -----
    Memory: only the positions asked for go through the head, one layer at a time; no (tokens, vocabulary) tensor is
    made.

    Source: G. Brothers, W. Mannering, A. Tien and J. Winder (2024), arXiv 2412.05768. Logit lens: nostalgebraist
    (2020), "interpreting GPT: the logit lens".

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> model = GPT2LMHeadModel(GPT2Config(n_layer=3, n_embd=8, n_head=2, vocab_size=50, n_positions=16))
    >>> trace = residual_lens(model, torch.tensor([[3, 4, 5], [6, 7, 8]]))
    >>> trace.ce.shape, trace.layers, trace.settle_depth.shape
    ((4, 2), 3, (2,))
    >>> bool((trace.rank[-1] == 1).all()), bool((trace.kl[-1] == 0).all())
    (True, True)
    """
    if isinstance(lens, str) and lens != "logit":
        raise ValueError(
            f"lens must be 'logit' or a TunedLens (TunedLens.fit(model, batches) trains one), got {lens!r}"
        )
    if not isinstance(lens, str) and not callable(lens):
        raise TypeError(f"lens must be 'logit', a TunedLens or a callable, got {type(lens).__name__}")
    arch = architecture(model)
    if arch.encoder:
        raise ValueError(f"{type(arch.model).__name__} is bidirectional: it has no next-token prediction to follow")
    if isinstance(lens, TunedLens):
        lens.check(arch)
    device = next(arch.model.parameters()).device
    ids, mask = _sequences(input_ids, attention_mask, device)
    where, shape = _positions(positions, mask, torch.as_tensor(input_ids).ndim)
    wide = torch.float32 if device.type == "mps" else torch.float64
    columns: dict[str, list[Tensor]] = {name: [] for name in ("ce", "kl", "entropy", "rank", "top")}
    with evaluating(arch.model):
        residuals, final = _follow(arch, ids, mask, where)
        final = final.to(wide)
        own = final.log_softmax(-1)
        _check_head(arch, residuals[-1], own)
        y = own.argmax(-1) if isinstance(target, str) and target == "argmax" else _targets(target, where, own, shape)
        for i, residual in enumerate(residuals):
            if i == len(residuals) - 1:
                logits = final
            else:
                read = residual if isinstance(lens, str) else lens(residual, i).to(residual.dtype)
                logits = arch.logits(read).to(wide)
            log_p = logits.log_softmax(-1)
            of_target = log_p.gather(-1, y[..., None])
            columns["ce"].append(-of_target[..., 0])
            columns["kl"].append(divergence("kl").from_logits(final, logits))
            columns["entropy"].append(entropy_from_logits(logits))
            columns["rank"].append(1 + (log_p > of_target).sum(-1))
            columns["top"].append(log_p.argmax(-1))
    stream = torch.stack([r.to(wide) for r in residuals])
    size = stream.norm(dim=-1)
    found = {name: torch.stack(values) for name, values in columns.items()}
    found["step"] = (stream[1:] - stream[:-1]).norm(dim=-1) / size[:-1]
    found["cosine"] = torch.nn.functional.cosine_similarity(stream, stream[-1:], dim=-1)
    found["target"] = y
    found["settle_depth"] = _settled(found["top"])
    out = {name: _as_numpy(x, shape, layered=x.ndim == 3) for name, x in found.items()}
    return ResidualTrace(**{f.name: out[f.name] for f in fields(ResidualTrace)})


def _follow(arch: Architecture, ids: Tensor, mask: Tensor, where: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the residual stream at some positions after 0, 1, ..., K blocks, and the model's own logits there."""
    kept: list[Tensor] = []

    def keep(name: str, x: Tensor) -> None:
        kept.append(_at_positions(x, where))

    def narrow(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_at_positions(args[0], where), *args[1:])

    inputs: dict[str, Any] = {"input_ids": ids}
    accepted = inspect.signature(arch.model.forward).parameters
    if not bool(mask.all()):
        if "attention_mask" not in accepted:
            raise ValueError(f"{type(arch.model).__name__} takes no attention_mask; pass sequences of equal length")
        inputs["attention_mask"] = mask.long()
        if "position_ids" in accepted:
            inputs["position_ids"] = (mask.long().cumsum(-1) - 1).clamp_min(0)
    if "input_ids" not in accepted:
        inputs = {next(iter(accepted)): ids} | {k: v for k, v in inputs.items() if k != "input_ids"}
    # The hook in front of the head keeps the model from making logits of every token.
    handle = arch.head.register_forward_pre_hook(narrow)
    try:
        with (
            capture(arch.model, arch.blocks[0], where="input", reduce=keep),
            capture(arch.model, list(arch.blocks), reduce=keep),
        ):
            out = forward(arch.model, inputs)
    finally:
        handle.remove()
    logits = out if isinstance(out, torch.Tensor) else out["logits"] if hasattr(out, "keys") else out[0]
    return [x.to(logits.device) for x in kept], logits  # a model may lie on several devices


def _at_positions(x: Tensor, where: Tensor) -> Tensor:
    """Pick tokens: (batch, tokens, d) and (batch, P) -> (batch, P, d)."""
    where = where.to(x.device)
    return x.gather(1, where[..., None].expand(*where.shape, x.shape[-1]))


def _check_head(arch: Architecture, residual: Tensor, own: Tensor) -> None:
    apart = float((arch.logits(residual).to(own.dtype).log_softmax(-1) - own).abs().max())
    if not apart <= AGREEMENT[residual.dtype.itemsize]:
        raise ValueError(
            f"the final norm and unembedding of {type(arch.model).__name__} as plogp knows them do not give the "
            f"model's own prediction (log-probabilities differ by {apart:.3g}); register its head with "
            "plogp.trace.register_architecture"
        )


def _settled(top: Tensor) -> Tensor:
    """Return the first layer from which on the most likely token is the final one."""
    differs = top != top[-1:]
    layer = torch.arange(1, len(top) + 1, device=top.device).reshape(-1, *[1] * (top.ndim - 1))
    return (differs * layer).amax(0)


def _sequences(input_ids: Any, attention_mask: Any, device: Any) -> tuple[Tensor, Tensor]:
    ids = torch.as_tensor(input_ids)
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise TypeError(f"input_ids must be whole numbers, got {ids.dtype}")
    if ids.ndim not in (1, 2) or ids.numel() == 0:
        raise ValueError(f"input_ids must have shape (tokens,) or (batch, tokens), not empty, got {tuple(ids.shape)}")
    mask = torch.ones_like(ids) if attention_mask is None else torch.as_tensor(attention_mask)
    if mask.shape != ids.shape:
        raise ValueError(
            f"attention_mask has shape {tuple(mask.shape)}, input_ids {tuple(ids.shape)}; expected the same"
        )
    ids, mask = (x[None] if x.ndim == 1 else x for x in (ids, mask))
    mask = mask.to(device).bool()
    if not bool(mask.any(-1).all()):
        raise ValueError(f"attention_mask masks all of sequence {int((~mask.any(-1)).int().argmax())}")
    return ids.to(device), mask


def _positions(positions: Any, mask: Tensor, axes: int) -> tuple[Tensor, tuple[int, ...]]:
    """Return positions of shape (batch, P) and the trailing shape of the results."""
    batch, tokens = mask.shape
    if positions is None:
        last = (mask.long() * torch.arange(1, tokens + 1, device=mask.device)).argmax(-1)
        return last[:, None], (batch,) * (axes - 1)
    where = torch.as_tensor(positions, device=mask.device)
    if where.is_floating_point() or where.dtype == torch.bool:
        raise TypeError(f"positions must be whole numbers, got {where.dtype}")
    several = where.ndim == axes  # one sequence: (P,); a batch: (batch, P)
    if where.ndim == 0:
        where = where.expand(batch)
    elif not (several and (axes == 1 or len(where) == batch)) and tuple(where.shape) != (batch,):
        wanted = "() or (P,)" if axes == 1 else f"({batch},) or ({batch}, P)"
        raise ValueError(f"positions must have shape {wanted}, got {tuple(where.shape)}")
    where = where.reshape(batch, -1)
    where = torch.where(where < 0, where + tokens, where)
    if bool((where < 0).any()) or bool((where >= tokens).any()) or where.numel() == 0:
        raise ValueError(f"positions must lie among the {tokens} columns of input_ids, got {positions!r}")
    if not bool(mask.gather(1, where).all()):
        raise ValueError("a position is padding; expected tokens that attention_mask keeps")
    shape = (batch,) * (axes - 1) + ((where.shape[1],) if several else ())
    return where, shape


def _targets(target: Any, where: Tensor, own: Tensor, shape: tuple[int, ...]) -> Tensor:
    if isinstance(target, str):
        raise ValueError(f"target must be 'argmax' or token numbers, got {target!r}")
    y = torch.as_tensor(target, device=own.device)
    if y.is_floating_point() or y.dtype == torch.bool:
        raise TypeError(f"target must be 'argmax' or token numbers, got {y.dtype}")
    if y.ndim and tuple(y.shape) != shape:
        raise ValueError(f"target has shape {tuple(y.shape)}; expected one token for each position: {shape}")
    if bool((y < 0).any()) or bool((y >= own.shape[-1]).any()):
        raise ValueError(f"target holds a number outside the vocabulary of {own.shape[-1]} tokens")
    return y.expand(where.shape) if y.ndim == 0 else y.reshape(where.shape)


def _as_numpy(x: Tensor, shape: tuple[int, ...], layered: bool) -> Any:
    array = x.cpu().numpy()
    return array.reshape((len(array), *shape) if layered else shape)
