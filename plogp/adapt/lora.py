"""Low-rank adapters, and how far an adapter's output depends on the frozen layer beneath it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from plogp.estimate.upper_bounds import mi_upper
from plogp.measures import Estimate, divergence
from plogp.trace.hooks import capture
from plogp.trace.passes import evaluating, passes

__all__ = ["SCORES", "LayerDependency", "LoRADependency", "LoRALinear", "lora_dependency"]

Tensor = Any  # torch.Tensor


class LoRALinear(torch.nn.Module):
    r"""A frozen linear layer with a low-rank adapter: :math:`W_0 x + \frac{α}{r} B A x`.

    A is drawn as PyTorch draws linear weights and B is 0, so that at the start nothing changes.

    Parameters
    ----------
    base : torch.nn.Linear
        Frozen here; not copied.
    rank : int
        r, at least 1.
    alpha : float, optional
        By default r, so that the scale is 1.
    rng : torch.Generator, optional
        Of A.

    Raises
    ------
    ValueError
        For a rank that is not positive.

    Examples
    --------
    >>> base = torch.nn.Linear(6, 4)
    >>> layer = LoRALinear(base, rank=2)
    >>> x = torch.ones(3, 6)
    >>> bool((layer(x) == base(x)).all()), [n for n, p in layer.named_parameters() if p.requires_grad]
    (True, ['A.weight', 'B.weight'])

    Notes
    -----
    Source: E. Hu et al. (2021), arXiv 2106.09685.
    """

    def __init__(
        self, base: torch.nn.Linear, rank: int, alpha: float | None = None, *, rng: torch.Generator | None = None
    ):
        super().__init__()
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
            raise ValueError(f"rank must be a whole number of at least 1, got {rank!r}")
        place = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.base = base.requires_grad_(False)
        self.A = torch.nn.Linear(base.in_features, rank, bias=False, **place)
        self.B = torch.nn.Linear(rank, base.out_features, bias=False, **place)
        torch.nn.init.kaiming_uniform_(self.A.weight, a=math.sqrt(5), generator=rng)
        torch.nn.init.zeros_(self.B.weight)
        self.scaling = (rank if alpha is None else alpha) / rank

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both branches."""
        return self.base(x) + self.scaling * self.B(self.A(x))

    @torch.no_grad()
    def merge(self) -> torch.nn.Linear:
        """Return one plain linear layer that does the same."""
        out = copy.deepcopy(self.base).requires_grad_(True)
        out.weight += self.scaling * self.B.weight @ self.A.weight
        return out


@dataclass(frozen=True)
class LayerDependency:
    """The score of one adapted layer, over `tokens` rows."""

    layer: str
    score: float
    tokens: int
    estimate: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a flat dictionary."""
        return {"layer": self.layer, "score": self.score, "tokens": self.tokens}


@dataclass(frozen=True)
class LoRADependency:
    """Scores of all adapted layers.

    Attributes
    ----------
    kind : str
        "js", "cka", "club" or "loo".
    rows : list of LayerDependency
    """

    kind: str
    rows: Sequence[LayerDependency]

    @property
    def mean(self) -> float:
        """Mean over layers."""
        return float(np.mean([row.score for row in self.rows]))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one dictionary a layer."""
        return [row.to_dict() for row in self.rows]

    def __iter__(self) -> Iterator[LayerDependency]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def plot(self, ax: Any = None) -> Any:
        """Draw one bar a layer and return the axes. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        if ax is None:
            ax = plt.subplots(figsize=(7, 0.8 + 0.3 * len(self.rows)))[1]
        names = [row.layer for row in self.rows]
        ax.barh(names, [row.score for row in self.rows])
        ax.invert_yaxis()
        ax.set_xlabel(self.kind)
        return ax


def _js(base: Tensor, adapter: Tensor) -> float:
    """Mean over tokens of the Jensen-Shannon divergence of the softmax of both branches, in nats."""
    return float(divergence("js").from_logits(base.float(), adapter.float()).mean())


def _cka(base: Tensor, adapter: Tensor) -> float:
    """Linear centred kernel alignment of both branches over tokens, in [0, 1]."""
    o, a = ((v - v.mean(0)).double() for v in (base, adapter))
    # In the smaller of the two forms, tokens x tokens or columns x columns.
    if len(o) <= o.shape[1]:
        top, left, right = ((o @ o.T) * (a @ a.T)).sum(), (o @ o.T).norm(), (a @ a.T).norm()
    else:
        top, left, right = (o.T @ a).square().sum(), (o.T @ o).norm(), (a.T @ a).norm()
    return float(top / (left * right)) if float(left * right) > 0 else math.nan


def _bound(kind: str) -> Callable[[Tensor, Tensor], Estimate]:
    return lambda base, adapter: mi_upper(base.float().cpu().numpy(), adapter.float().cpu().numpy(), kind=kind, rng=0)


#: Scores by name.
SCORES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "js": _js,
    "cka": _cka,
    "club": _bound("club"),
    "loo": _bound("loo"),
}


def lora_dependency(
    model: Any,
    batch: Any,
    score: str = "js",
    *,
    scaled: bool = False,
    mask: Any = None,
    most_tokens: int = 4096,
) -> LoRADependency:
    r"""Return how far each adapter's output l depends on the output o of the frozen layer beneath it.

    ``"js"`` is the score of the paper: :math:`\mathrm{JS}(\mathrm{softmax}(o) \,\|\, \mathrm{softmax}(l))`, averaged
    over tokens. It is a similarity of two vectors, between 0 (equal) and log 2, and **not** a bound on the mutual
    information: the inequality ``I(O;L) <= log 2 · JS(P_OL ‖ P_O P_L)`` that the paper derives it from is false (8
    states, coupled one to one: I = 2.08, JS = 0.50 nats). ``"cka"`` is another similarity. ``"club"`` and ``"loo"``
    estimate genuine upper bounds with a learned conditional density, and return their estimates in the rows; they are
    meant for narrow layers (see `plogp.estimate.mi_upper`).

    Parameters
    ----------
    model : torch.nn.Module
        With `LoRALinear` layers, or with those of PEFT.
    batch : tensor, mapping of the model's arguments, or an iterable of batches
    score : {"js", "cka", "club", "loo"}
    scaled : bool
        Multiply "js" by log 2, as the paper writes it.
    mask : tensor, str or callable, optional
        Which tokens count: see `plogp.trace.capture`.
    most_tokens : int
        Tokens kept of each layer, the first ones.

    Returns
    -------
    LoRADependency
        One row a layer and ``.mean``.

    Raises
    ------
    ValueError
        For an unknown score, or a model without adapters.

    Examples
    --------
    >>> model = torch.nn.Sequential(LoRALinear(torch.nn.Linear(6, 4), rank=2))
    >>> found = lora_dependency(model, torch.randn(20, 6, generator=torch.Generator().manual_seed(0)))
    >>> len(found), 0 <= found.mean <= 0.6932
    (1, True)

    Notes
    -----
    Which tensors the paper compares, and their normalisation, is reconstructed from its abstract and from reports on
    it. Source: J. Zhang et al. (2025), arXiv 2501.03152. CKA: S. Kornblith et al. (2019), arXiv 1905.00414.
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(map(repr, SCORES))}, got {score!r}")
    layers = _adapted(model)
    if not layers:
        raise ValueError("the model has no LoRALinear layer and no LoRA layer of PEFT")
    held: dict[str, list[Tensor]] = {}

    def keep(name: str, x: Tensor) -> None:
        parts = held.setdefault(name, [])
        left = most_tokens - sum(map(len, parts))
        if left > 0:
            parts.append(x[:left].clone())

    wanted = {name for base, parts in layers.values() for name in (base, *(part for part, _ in parts))}
    with evaluating(model), capture(model, sorted(wanted), rows=True, mask=mask, reduce=keep):
        for _ in passes(model, batch):
            pass
    rows = []
    for name, (base, parts) in layers.items():
        if base not in held:
            continue  # a layer that these inputs do not go through
        o = torch.cat(held[base])
        adapter = torch.stack([scale * torch.cat(held[part]).float() for part, scale in parts]).sum(0)
        found = SCORES[score](o, adapter)
        value = float(found) * (math.log(2) if scaled and score == "js" else 1.0)
        rows.append(LayerDependency(name, value, len(o), found if isinstance(found, Estimate) else None))
    return LoRADependency(score, rows)


def _adapted(model: Any) -> dict[str, tuple[str, list[tuple[str, float]]]]:
    """Adapted layers: name to the name of the frozen layer and of the last factors, with their scales."""
    out: dict[str, tuple[str, list[tuple[str, float]]]] = {}
    for name, module in model.named_modules():
        dot = f"{name}." if name else ""
        if isinstance(module, LoRALinear):
            out[name] = (f"{dot}base", [(f"{dot}B", module.scaling)])
        elif hasattr(module, "base_layer") and hasattr(module, "lora_B") and hasattr(module, "scaling"):
            active = getattr(module, "active_adapters", list(module.lora_B.keys()))
            parts = [(f"{dot}lora_B.{a}", float(module.scaling[a])) for a in active if a in module.lora_B]
            if parts:
                out[name] = (f"{dot}base_layer", parts)
    return out
