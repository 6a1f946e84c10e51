"""PSP-entropy: how far the class of an input decides whether a neuron is on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plogp.measures import entropy
from plogp.trace.hooks import capture
from plogp.trace.passes import evaluating, forward, shown

__all__ = ["PSPEntropy", "psp_entropy"]

Floats = npt.NDArray[np.float64]

#: Probabilities are kept this far from 0 and 1, as the authors' code does.
CLAMP = 1e-4


@dataclass(frozen=True, eq=False)
class PSPEntropy:
    """PSP-entropy of a layer, in bits.

    Attributes
    ----------
    total : array, shape (neurons,) or (neurons, neurons)
        Summed over classes: from 0 to C bits (order 1), from 0 to 2 C bits (order 2, a symmetric matrix whose
        diagonal is the entropy of the neuron itself).
    by_class : array, shape (neurons, C) or (neurons, neurons, C)
    classes : list
    counts : array, shape (C,)
        Inputs of each class (of a convolution, times positions).
    """

    total: Floats
    by_class: Floats
    classes: list[Any]
    counts: npt.NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Mean over neurons, or over pairs of different neurons."""
        if self.total.ndim == 1:
            return float(self.total.mean())
        off = ~np.eye(len(self.total), dtype=bool)
        return float(self.total[off].mean()) if off.any() else float("nan")


def psp_entropy(
    model: Any,
    loader: Iterable[Any],
    layers: Any = None,
    order: int = 1,
    *,
    clamp: float = CLAMP,
    progress: bool = False,
) -> dict[str, PSPEntropy]:
    r"""Return the entropy of neurons' on/off states given the class, layer by layer, in bits.

    With :math:`P_{ic} = \Pr(z_i > 0 \mid c)` the share of inputs of class c that switch neuron i on (z its
    pre-activation, or post-synaptic potential) and h the binary entropy,

    .. math:: H_i = \sum_c h(P_{ic}), \qquad
              H_{ij} = -\sum_c \sum_{a, b \in \{0, 1\}} P(a, b \mid c) \log_2 P(a, b \mid c).

    Low: the class decides whether the neuron is on. High: the neuron is tied less to classes.

    Parameters
    ----------
    model : torch.nn.Module
    loader : iterable of (inputs, labels)
        Batches, such as a ``DataLoader``'s; labels are whole numbers, shape (batch,). A mapping with ``"labels"`` is
        passed to the model as keywords.
    layers : selector of `plogp.trace.capture`, optional
        Modules whose outputs are pre-activations; by default every linear layer and convolution. A convolution's
        channels are its neurons, all positions counted.
    order : {1, 2}
        Single neurons, or pairs: the second keeps neurons² x C counts.
    clamp : float
        First order: probabilities are kept in [clamp, 1 - clamp], so a neuron that the class decides has h(clamp)
        bits a class, 0.0015 by default, and not 0. 0 does not clamp.
    progress : bool
        Show a bar.

    Returns
    -------
    dict of str to PSPEntropy

    Raises
    ------
    ValueError
        For an empty loader, labels that do not fit the batch, or an unknown order.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 2, bias=False)
    >>> layer.weight.data = torch.eye(2)
    >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> found = psp_entropy(layer, [(x, torch.tensor([0, 0, 1, 1]))], layers=layer, clamp=0.0)
    >>> found[""].total                      # the first neuron tells the class, the second is a coin
    array([0., 2.])

    Notes
    -----
    The second order follows the definition by analogy; the authors' code has the first only. Source: E. Tartaglione,
    A. Bragagnolo and M. Grangetto (2020), arXiv 2004.14765.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    if not 0 <= clamp < 0.5:
        raise ValueError(f"clamp must lie in [0, 0.5), got {clamp!r}")
    linear = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    selector = (lambda name, module: isinstance(module, linear)) if layers is None else layers
    on: dict[str, dict[int, Floats]] = {}
    seen: dict[str, dict[int, int]] = {}
    labels = torch.empty(0)

    def count(name: str, z: Any) -> None:
        if z.ndim < 2 or len(z) != len(labels):
            raise ValueError(f"layer {name!r} gave shape {tuple(z.shape)} for {len(labels)} labels")
        # Channels of a convolution are on axis 1, units of anything else on the last; all other axes are positions.
        channels = isinstance(modules[name], linear[1:])
        active = (z > 0).movedim(1, -1) if channels else z > 0
        for c in labels.unique().tolist():
            rows = active[labels.to(z.device) == c].reshape(-1, active.shape[-1]).to(torch.float64)
            found = rows.sum(0) if order == 1 else rows.T @ rows
            held = on.setdefault(name, {})
            held[c] = held.get(c, 0.0) + found.cpu().numpy()
            counts = seen.setdefault(name, {})
            counts[c] = counts.get(c, 0) + len(rows)

    modules = dict(model.named_modules())
    with evaluating(model), capture(model, selector, reduce=count):
        for batch in shown(loader, progress, "forward passes"):
            inputs, given = (batch, batch["labels"]) if isinstance(batch, Mapping) else _pair(batch)
            labels = torch.as_tensor(given).cpu()
            if labels.ndim != 1 or labels.is_floating_point():
                raise ValueError(f"labels must be whole numbers of shape (batch,), got {tuple(labels.shape)}")
            forward(model, inputs)
    return {name: _entropies(on[name], seen[name], order, clamp) for name in on}


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise TypeError(f"a batch must be (inputs, labels) or a mapping with 'labels', got {type(batch).__name__}")
    return batch[0], batch[1]


def _entropies(on: dict[int, Floats], seen: dict[int, int], order: int, clamp: float) -> PSPEntropy:
    classes = sorted(on)
    n = np.array([seen[c] for c in classes])
    share = np.stack([on[c] / seen[c] for c in classes], axis=-1)
    if order == 1:
        p = np.clip(share, clamp, 1 - clamp)
        by_class = np.asarray(entropy(np.stack([p, 1 - p], axis=-1), base=2))
    else:
        both = share
        one = np.einsum("iic->ic", share)
        first, second = one[:, None] - both, one[None, :] - both
        neither = 1 - both - first - second
        # Differences of shares of one count: only rounding makes them negative.
        states = np.clip(np.stack([both, first, second, neither], axis=-1), 0.0, 1.0)
        by_class = np.asarray(entropy(states, base=2, normalize=True))
    return PSPEntropy(by_class.sum(axis=-1), by_class, classes, n)
