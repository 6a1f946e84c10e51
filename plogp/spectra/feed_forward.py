"""What the nonlinearity of each MLP does to the eigenspectrum of a transformer's activations (NerVE)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plogp.spectra.layer_spectra import FFNSpectra, LayerSpectra, figure
from plogp.spectra.streaming import CovarianceAccumulator
from plogp.trace.architectures import Architecture, architecture
from plogp.trace.hooks import capture
from plogp.trace.passes import as_batches, evaluating, passes

__all__ = ["FFNSpectra", "FFNSpectrumCallback", "LayerSpectra", "ffn_spectra"]


def ffn_spectra(
    model: Any,
    inputs: Any,
    layers: Sequence[int] | None = None,
    *,
    mask: Any = "attention_mask",
    at_once: int | None = None,
    device: Any = None,
    progress: bool = False,
) -> FFNSpectra:
    r"""Compare the eigenspectra of a transformer's MLP activations before and after the nonlinearity, layer by layer.

    With λ the eigenvalues of the covariance of the activations (rows are tokens, D the MLP's width) and
    :math:`\hat\lambda = \lambda / \sum \lambda`,

    .. math:: SE = -\sum \hat\lambda \log \hat\lambda, \quad PR = \frac{(\sum \lambda)^2}{\sum \lambda^2}, \quad
              EEE = \frac{2}{D} \sum_i \Big(\sum_{j \le i} \hat\lambda_j - \frac{i}{D}\Big), \quad
              JS = JS(\hat\lambda_{pre}, \hat\lambda_{post})

    Before is the output of the up projection, or of the gate projection in gated MLPs; after is the input of the
    down projection, so that in gated MLPs it contains the product with the up projection.

    Parameters
    ----------
    model : torch.nn.Module
        A transformer that `plogp.trace.architecture` knows, in any precision, on any device. It is run in
        evaluation mode without gradient and left as it was.
    inputs : tensor, mapping or iterable
        Token ids of shape (batch, tokens), a mapping of the model's arguments, or an iterable of these.
    layers : sequence of int, optional
        Which blocks; negative numbers count from the end. All by default.
    mask : str, tensor or callable, optional
        Which tokens count, as in `plogp.trace.capture`: by default those of the batch's ``attention_mask``.
    at_once : int, optional
        How many layers to hold at a time: two D x D matrices each. The inputs are passed through again for the next
        ones. By default all.
    device : optional
        Where to accumulate: ``"cpu"`` frees the accelerator. By default where the activations are.
    progress : bool
        Show a bar.

    Returns
    -------
    FFNSpectra
        One row a layer. Covariances are exact and streamed: memory does not grow with the inputs.

    Raises
    ------
    ValueError
        For an unknown architecture, a layer that is not there, no inputs, fewer than two tokens, activations that
        are NaN, or several passes over an iterator that can be read only once.

    Notes
    -----
    With fewer tokens than D the spectrum has exact zeros and all metrics are those of a smaller sample; compare at
    equal numbers of tokens. In Phi-3, where gate and up are one matrix, before is its gate half (the reference code
    takes both halves).

    Source: N. Jha and B. Reagen (2026), arXiv 2603.06922.

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=50, n_positions=32))
    >>> ids = torch.randint(50, (8, 32), generator=torch.Generator().manual_seed(0))
    >>> table = ffn_spectra(model, ids)
    >>> [row.layer for row in table], table[0].n, table[0].width
    ([0, 1], 256, 32)
    >>> bool((table["se_post"] <= np.log(32)).all())
    True
    """
    arch = architecture(model)
    chosen = _layers(arch, layers)
    size = len(chosen) if at_once is None else at_once
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"at_once must be a number of layers of at least 1, got {at_once!r}")
    batches = as_batches(inputs)
    if size < len(chosen) and iter(batches) is batches:
        raise ValueError(
            "at_once needs several passes over inputs, which is an iterator that can be read only once; pass a list "
            "or a data loader"
        )
    rows: list[LayerSpectra] = []
    for start in range(0, len(chosen), size):
        with evaluating(arch.model), _watching(arch, chosen[start : start + size], mask, device) as pairs:
            for _ in passes(arch.model, batches, progress, f"layers {start + 1} to {start + size} of {len(chosen)}"):
                pass
        rows += _settled(arch, pairs)
    return FFNSpectra(tuple(rows), arch.name)


@dataclass(eq=False)
class _Pair:
    """The running covariances of one layer."""

    pre: CovarianceAccumulator | None = None
    post: CovarianceAccumulator | None = None

    def add(self, side: str, x: torch.Tensor) -> None:
        if getattr(self, side) is None:
            setattr(self, side, CovarianceAccumulator(x.shape[-1]))
        if len(x):  # a batch may be all padding
            getattr(self, side).update(x)


@contextmanager
def _watching(
    arch: Architecture,
    layers: Sequence[int],
    mask: Any,
    device: Any = None,
    share: float = 1.0,
    rng: torch.Generator | None = None,
) -> Iterator[dict[int, _Pair]]:
    """Accumulate what goes into and comes out of the nonlinearities of some layers."""
    pairs = {i: _Pair() for i in layers}
    kept: dict[int, torch.Tensor] = {}

    def before(layer: int) -> Callable[[str, torch.Tensor], None]:
        def take(name: str, x: torch.Tensor) -> None:
            x = arch.pre_activation(x)
            if share < 1.0:  # the same tokens before and after
                few = min(len(x), max(1, round(share * len(x))))
                kept[layer] = torch.randperm(len(x), generator=rng)[:few]
                x = x[kept[layer].to(x.device)]
            pairs[layer].add("pre", x if device is None else x.to(device))

        return take

    def after(layer: int) -> Callable[[str, torch.Tensor], None]:
        def take(name: str, x: torch.Tensor) -> None:
            x = x[kept[layer].to(x.device)] if share < 1.0 else x
            pairs[layer].add("post", x if device is None else x.to(device))

        return take

    with ExitStack() as stack:
        for i in layers:
            stack.enter_context(capture(arch.model, arch.pre[i], mask=mask, rows=True, reduce=before(i)))
            into = capture(arch.model, arch.down[i], where="input", mask=mask, rows=True, reduce=after(i))
            stack.enter_context(into)
        yield pairs


def _settled(arch: Architecture, pairs: dict[int, _Pair]) -> Iterator[LayerSpectra]:
    """Turn covariances into rows, one layer at a time, forgetting each."""
    for i in list(pairs):
        pair = pairs.pop(i)
        if pair.pre is None or pair.post is None:
            raise ValueError(f"no activations went through the MLP of {arch.names[i]}; was the model run?")
        pre, post = pair.pre.spectrum(), pair.post.spectrum()
        yield LayerSpectra.of(i, arch.names[i], int(pair.pre.n), pre, post)


def _layers(arch: Architecture, layers: Sequence[int] | None) -> list[int]:
    depth = len(arch.blocks)
    if layers is None:
        return list(range(depth))
    out = []
    for i in layers:
        if isinstance(i, bool) or not isinstance(i, (int, np.integer)) or not -depth <= i < depth:
            raise ValueError(f"layers must be numbers from 0 to {depth - 1} (or negative, from the end), got {i!r}")
        out.append(int(i) % depth)
    if not out:
        raise ValueError("layers is empty; expected at least one block number, or None for all")
    return sorted(set(out))


class FFNSpectrumCallback:
    """Follow the MLP spectra of a transformer while it trains: every so many steps one `FFNSpectra` is added.

    It passes as a callback of the transformers ``Trainer`` (``callbacks=[FFNSpectrumCallback(200)]``), where it looks
    at the training batch itself, gradient accumulation included, without a further forward pass; the means go into
    ``trainer.state.log_history``. In any other loop, call it with the step, the model and the batch (one
    evaluation pass on the steps that are due), or put the training step into ``with callback.watching(step, model):``
    (no further pass).

    Parameters
    ----------
    every : int
        Steps between records; the first step is recorded too.
    layers : sequence of int, optional
        Which blocks; all by default. Each holds two D x D matrices during a due step.
    share : float
        Share of the tokens to use, drawn at random, the same before and after the nonlinearity.
    mask, device
        As in `ffn_spectra`.
    rng : int
        Seed of the draw of tokens.
    on_record : callable, optional
        ``on_record(table)`` after each record, for a logger.

    Attributes
    ----------
    history : list of FFNSpectra
        Each with its `step`.

    Raises
    ------
    ValueError
        If `every` is not a positive whole number, or `share` is not in (0, 1].

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=50, n_positions=32))
    >>> ids = torch.randint(50, (8, 32), generator=torch.Generator().manual_seed(0))
    >>> callback = FFNSpectrumCallback(every=2)
    >>> for step in range(1, 6):
    ...     _ = callback(step, model, ids)
    >>> steps, curve = callback.curve("se_post")
    >>> steps, curve.shape
    (array([1, 2, 4]), (3, 2))

    Notes
    -----
    Under data parallelism each process sees its own part of the batch. Where activations are recomputed in the
    backward pass (gradient checkpointing) each token counts twice, which changes no metric.

    Source: N. Jha and B. Reagen (2026), arXiv 2603.06922.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> FFNSpectrumCallback:
        transformers = sys.modules.get("transformers")
        if transformers is not None and cls is FFNSpectrumCallback:
            # A Trainer asks for methods only, but code around it may ask for the class.
            cls = type(cls.__name__, (cls, transformers.TrainerCallback), {"__doc__": cls.__doc__})
        return object.__new__(cls)

    def __init__(
        self,
        every: int = 200,
        *,
        layers: Sequence[int] | None = None,
        share: float = 1.0,
        mask: Any = "attention_mask",
        device: Any = None,
        rng: int = 0,
        on_record: Callable[[FFNSpectra], Any] | None = None,
    ):
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a number of steps of at least 1, got {every!r}")
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share must be a share of the tokens in (0, 1], got {share!r}")
        self.every, self.layers, self.share, self.mask, self.device = every, layers, share, mask, device
        self.on_record = on_record
        self.history: list[FFNSpectra] = []
        self._rng = torch.Generator().manual_seed(rng)
        self._hooks = ExitStack()
        self._step: tuple[int, Architecture, dict[int, _Pair]] | None = None

    def due(self, step: int) -> bool:
        """Whether a step (counted from 1) is recorded."""
        return step == 1 or step % self.every == 0

    def __call__(self, step: int, model: Any, inputs: Any) -> FFNSpectra | None:
        """Record the spectra on `inputs` if the step is due, with one evaluation pass; None if it is not."""
        if not self.due(step):
            return None
        with self.watching(step, model), evaluating(model):
            for _ in passes(model, inputs):
                pass
        return self.history[-1]

    @contextmanager
    def watching(self, step: int, model: Any) -> Iterator[None]:
        """Record the forward passes of the ``with`` block if the step is due."""
        if not self.due(step):
            yield
            return
        arch = architecture(model)
        with self._pairs(arch) as pairs:
            yield
        self._record(step, arch, pairs)

    def _pairs(self, arch: Architecture) -> Any:
        return _watching(arch, _layers(arch, self.layers), self.mask, self.device, self.share, self._rng)

    def _record(self, step: int, arch: Architecture, pairs: dict[int, _Pair]) -> None:
        table = FFNSpectra(tuple(_settled(arch, pairs)), arch.name, step)
        self.history.append(table)
        if self.on_record is not None:
            self.on_record(table)

    def curve(self, metric: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the recorded steps and one metric over them, shape (steps, layers)."""
        if not self.history:
            raise ValueError("nothing is recorded yet")
        return np.array([t.step for t in self.history]), np.array([t[metric] for t in self.history])

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one flat record a step and layer."""
        return [record for table in self.history for record in table.to_dicts()]

    def plot(self, metrics: Sequence[str] = ("se_pre", "se_post", "pr_gain", "js"), axes: Any = None) -> Any:
        """Draw metrics over the steps, a line a layer; returns the axes. Needs matplotlib."""
        axes = figure(len(metrics)) if axes is None else axes
        for ax, metric in zip(axes, metrics):
            steps, values = self.curve(metric)
            for j, row in enumerate(self.history[0]):
                ax.plot(steps, values[:, j], linewidth=1.0, label=f"layer {row.layer}")
            ax.set_xlabel("step")
            ax.set_ylabel(metric.replace("_", " "))
        axes[0].legend()
        return axes

    # -- the transformers Trainer ---------------------------------------------------------------------------

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Put the hooks on if the step that begins is due."""
        self._hooks.close()  # of a step that did not end
        step = int(state.global_step) + 1
        if self.due(step):
            arch = architecture(model)
            self._step = (step, arch, self._hooks.enter_context(self._pairs(arch)))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the hooks off and read the spectra."""
        if self._step is None:
            return
        self._hooks.close()
        found, self._step = self._step, None
        self._record(*found)
        means = {f"ffn_{name}": value for name, value in self.history[-1].mean().items()}
        state.log_history.append({**means, "step": found[0]})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take off hooks that an interrupted step left."""
        self._hooks.close()
        self._step = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):  # the other events of a Trainer
            return lambda *args, **kwargs: None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
