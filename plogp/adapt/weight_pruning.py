"""Pruning of single weights by magnitude, at once or little by little."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.utils import prune as torch_prune

__all__ = ["prune", "sparsity_of"]

Module = Any  # torch.nn.Module

LAYERS = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


def prune(
    model: Module,
    sparsity: float,
    schedule: str = "gradual",
    steps: int = 12,
    *,
    train: Callable[[Module, int], Any] | None = None,
    layers: Callable[[str, Module], bool] | None = None,
    permanent: bool = True,
) -> Module:
    r"""Return a copy of a model in which the smallest weights are 0, trained on in between.

    "oneshot" cuts to the target at once and calls `train` once; "gradual" takes `steps` cuts and calls `train` after
    each, the share of weights left falling geometrically, :math:`(1 - s)^{t / T}`, so that each cut takes the same
    share of what is left. Weights of all layers are ranked together by magnitude; biases stay. For a fair comparison
    give both the same amount of training in all.

    Parameters
    ----------
    model : torch.nn.Module
        Not changed.
    sparsity : float
        Share of the weights to set to 0, in [0, 1).
    schedule : {"gradual", "oneshot"}
    steps : int
        Cuts of the gradual schedule.
    train : callable, optional
        ``train(model, t)`` trains the copy in place after cut t = 0, 1, ...; the cut weights stay 0 whatever the
        optimiser does.
    layers : predicate (name, module) -> bool, optional
        Which modules' ``weight`` is pruned; every linear layer and convolution by default.
    permanent : bool
        Write the zeros into the weights at the end. False leaves PyTorch's masks in place, for training on.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ValueError
        For a sparsity outside [0, 1), an unknown schedule, or a model without a layer to prune.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(10, 10), torch.nn.ReLU(), torch.nn.Linear(10, 2))
    >>> small = prune(model, 0.9, "oneshot")
    >>> round(sparsity_of(small), 2), round(sparsity_of(model), 2)
    (0.9, 0.0)

    Notes
    -----
    The masks are those of ``torch.nn.utils.prune``. The comparison of schedules: E. Tartaglione, A. Bragagnolo and
    M. Grangetto (2020), arXiv 2004.14765; their gradual schedule also regularises by sensitivity, which `train` may.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must lie in [0, 1), got {sparsity!r}")
    if schedule not in ("gradual", "oneshot"):
        raise ValueError(f"schedule must be 'gradual' or 'oneshot', got {schedule!r}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    made = copy.deepcopy(model)
    chosen = [(module, "weight") for name, module in made.named_modules() if _wanted(name, module, layers)]
    if not chosen:
        raise ValueError("the model has no layer to prune; name them with layers=")
    total = sum(module.weight.numel() for module, _ in chosen)
    cuts = steps if schedule == "gradual" else 1
    done = 0
    for t in range(1, cuts + 1):
        goal = round(total * (1 - (1 - sparsity) ** (t / cuts)))
        # The pruning method counts among the weights that are left.
        torch_prune.global_unstructured(chosen, pruning_method=torch_prune.L1Unstructured, amount=goal - done)
        done = goal
        if train is not None:
            train(made, t - 1)
    if permanent:
        for module, name in chosen:
            torch_prune.remove(module, name)
    return made


def _wanted(name: str, module: Module, layers: Callable[[str, Module], bool] | None) -> bool:
    return isinstance(module, LAYERS) if layers is None else layers(name, module)


def sparsity_of(model: Module, layers: Callable[[str, Module], bool] | None = None) -> float:
    """Return the share of zeros among the weights that `prune` would look at."""
    weights = [m.weight for name, m in model.named_modules() if _wanted(name, m, layers)]
    if not weights:
        raise ValueError("the model has no layer to prune; name them with layers=")
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
