"""A lens trained to read a language model's prediction off every layer: one affine map a layer."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch

from plogp.measures import divergence
from plogp.trace.architectures import Architecture, architecture
from plogp.trace.hooks import capture
from plogp.trace.passes import as_batches, evaluating, forward

__all__ = ["TunedLens"]

Tensor = Any


class TunedLens(torch.nn.Module):
    """One affine map a layer, r -> r + A_i r + b_i, that takes the residual stream to where the head expects it.

    The maps start at the identity and are trained so that the head reads the final prediction off every layer:
    KL(p_K‖p_i) is least. The last layer needs none.

    Parameters
    ----------
    layers, width : int
        Blocks of the model and width of its residual stream.

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=50, n_positions=16))
    >>> ids = torch.randint(50, (8, 16), generator=torch.Generator().manual_seed(0))
    >>> lens = TunedLens.fit(model, ids, steps=30, rng=0)
    >>> from plogp.trace.lens import residual_lens
    >>> before, after = (residual_lens(model, ids, lens=each).kl[0].mean() for each in ("logit", lens))
    >>> bool(after < before)
    True

    Notes
    -----
    Source: N. Belrose et al. (2023), arXiv 2303.08112.
    """

    def __init__(self, layers: int, width: int):
        super().__init__()
        for label, value in (("layers", layers), ("width", width)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{label} must be a whole number of at least 1, got {value!r}")
        self.layers, self.width = layers, width
        self.weight = torch.nn.Parameter(torch.zeros(layers, width, width))
        self.bias = torch.nn.Parameter(torch.zeros(layers, width))
        #: Mean KL(p_K‖p_i) over the layers at each training step, in nats.
        self.history: list[float] = []

    def forward(self, residual: Tensor, layer: int) -> Tensor:
        """Return the corrected stream of a layer, shape (..., width); the dtype is kept."""
        if not 0 <= layer <= self.layers:
            raise ValueError(f"layer must lie between 0 and {self.layers}, got {layer!r}")
        if layer == self.layers:
            return residual
        x = residual.to(self.weight.dtype)
        return (x + x @ self.weight[layer].T + self.bias[layer]).to(residual.dtype)

    def check(self, arch: Architecture) -> None:
        """Raise unless the lens fits a model."""
        depth = len(arch.blocks)
        norm = getattr(arch.final_norm, "weight", None)
        width = self.width if norm is None else len(norm)
        if (depth, width) != (self.layers, self.width):
            raise ValueError(
                f"the lens is for {self.layers} layers of width {self.width}, but {type(arch.model).__name__} has "
                f"{depth} of width {width}"
            )

    @classmethod
    def fit(
        cls,
        model: Any,
        inputs: Any,
        *,
        steps: int = 250,
        lr: float = 1e-3,
        tokens: int = 512,
        mask: Any = "attention_mask",
        rng: int | None = None,
        progress: bool = False,
    ) -> TunedLens:
        """Train a lens on a model that stays as it is.

        Parameters
        ----------
        model : torch.nn.Module
            As in `residual_lens`.
        inputs : tensor, mapping or iterable
            Batches of token ids, gone through again and again.
        steps : int
            Steps of Adam, one a batch. An interrupt ends the training and keeps the lens as it is.
        lr : float
            Step size.
        tokens : int
            How many tokens of a batch to use in a step, drawn at random; bounds the memory of the logits.
        mask : str, tensor or callable
            As in `plogp.trace.capture`.
        rng : int, optional
            Seed of the draw of tokens.
        progress : bool
            Show a bar.

        Raises
        ------
        ValueError
            If there are no inputs, a setting is not positive, or the inputs are an iterator that ends before `steps`.
        """
        for label, value in (("steps", steps), ("tokens", tokens)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{label} must be a whole number of at least 1, got {value!r}")
        if not lr > 0:
            raise ValueError(f"lr must be positive, got {lr!r}")
        arch = architecture(model)
        batches = as_batches(inputs)
        generator = torch.Generator()
        generator.manual_seed(rng) if rng is not None else generator.seed()
        lens: TunedLens | None = None
        optimizer: Any = None
        stream: Any = iter(())
        counted: Any = range(steps)
        if progress:
            from rich.progress import track

            counted = track(counted, description="tuned lens", total=steps)
        try:
            for _ in counted:
                batch = next(stream, None)
                if batch is None:
                    stream = iter(batches)
                    batch = next(stream, None)
                if batch is None:
                    raise ValueError("inputs hold no (more) batches; pass a list or a data loader, not an iterator")
                residuals = _drawn(arch, batch, mask, tokens, generator)
                if lens is None:
                    width = residuals[0].shape[-1]
                    lens = cls(len(arch.blocks), width).to(residuals[0].device)
                    optimizer = torch.optim.Adam(lens.parameters(), lr=lr)
                lens.history.append(lens._step(arch, residuals, optimizer))
        except KeyboardInterrupt:
            if lens is None:
                raise
        assert lens is not None
        return lens

    def _step(self, arch: Architecture, residuals: Sequence[Tensor], optimizer: Any) -> float:
        """Take one step of all layers; only one layer's logits are held at a time."""
        total = 0.0
        with evaluating(arch.model):
            final = arch.logits(residuals[-1]).float().log_softmax(-1)
        optimizer.zero_grad(set_to_none=False)
        self.weight.grad, self.bias.grad = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        with evaluating(arch.model, gradient=True):
            for i, residual in enumerate(residuals[:-1]):
                logits = arch.logits(self(residual, i)).float()
                loss = divergence("kl").from_logits(final, logits, check=False).mean()
                # Not backward(): the head's own parameters must not collect gradients.
                weight, bias = torch.autograd.grad(loss, [self.weight, self.bias])
                self.weight.grad += weight
                self.bias.grad += bias
                total += float(loss.detach())
        optimizer.step()
        return total / self.layers

    def save(self, path: str | PathLike[str]) -> None:
        """Write the lens as safetensors."""
        state = {"weight": self.weight.detach().cpu().contiguous(), "bias": self.bias.detach().cpu().contiguous()}
        _safetensors().save_file(state, str(path), {"plogp": "tuned_lens"})

    @classmethod
    def load(cls, path: str | PathLike[str], device: Any = None) -> TunedLens:
        """Read a lens that `save` wrote.

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        state = _safetensors().load_file(str(path), device="cpu" if device is None else str(device))
        weight, bias = state.get("weight"), state.get("bias")
        if set(state) != {"weight", "bias"} or weight.ndim != 3 or bias.shape != weight.shape[:2]:
            shapes = {name: tuple(x.shape) for name, x in state.items()}
            raise ValueError(
                f"{path} holds no tuned lens: {shapes}; expected weight (layers, d, d) and bias (layers, d)"
            )
        lens = cls(*bias.shape).to(weight.device, weight.dtype)
        lens.load_state_dict(state)
        return lens

    def extra_repr(self) -> str:
        return f"layers={self.layers}, width={self.width}"


def _drawn(arch: Architecture, batch: Any, mask: Any, tokens: int, generator: Any) -> list[Tensor]:
    """Return the residual stream after 0, 1, ..., K blocks at some random tokens of a batch."""
    kept: list[Tensor] = []
    chosen: list[Tensor] = []

    def keep(name: str, x: Tensor) -> None:
        if not chosen:
            chosen.append(torch.randperm(len(x), generator=generator)[:tokens])
        kept.append(x[chosen[0].to(x.device)])

    with (
        evaluating(arch.model),
        capture(arch.model, arch.blocks[0], where="input", mask=mask, rows=True, reduce=keep),
        capture(arch.model, list(arch.blocks), mask=mask, rows=True, reduce=keep),
    ):
        forward(arch.model, batch)
    if not len(kept[0]):
        raise ValueError("a batch is all padding; expected at least one token")
    return [x.to(kept[-1].device) for x in kept]


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError("plogp[lm] is needed to save and load: pip install 'plogp[lm]'") from error
    return safetensors.torch
