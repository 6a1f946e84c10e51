"""Forward passes over whatever people call inputs: ids, a dictionary, a data loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["as_batches", "evaluating", "forward", "passes", "shown"]

Module = Any  # torch.nn.Module


def as_batches(inputs: Any, name: str = "inputs") -> Iterable[Any]:
    """Return the batches that inputs are made of: one (a tensor or a mapping of arguments), or each of an iterable.

    Raises
    ------
    TypeError
        For a text (tokenize it first) or anything that cannot be iterated over.

    Examples
    --------
    >>> len(list(as_batches(torch.zeros(2, 3)))), len(list(as_batches([{"x": 1}, {"x": 2}])))
    (1, 2)
    """
    if isinstance(inputs, (torch.Tensor, Mapping)):
        return [inputs]
    if isinstance(inputs, (str, bytes)) or not isinstance(inputs, Iterable):
        raise TypeError(
            f"{name} must be token ids, a mapping of the model's arguments, or an iterable of these (a data loader), "
            f"got {type(inputs).__name__}"
        )
    return inputs


@contextmanager
def evaluating(model: Module, gradient: bool = False) -> Iterator[None]:
    """Put a model into evaluation mode for a while, each module back as it was afterwards.

    >>> model = torch.nn.Sequential(torch.nn.Dropout())
    >>> with evaluating(model):
    ...     model[0].training
    False
    >>> model[0].training
    True
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.set_grad_enabled(gradient):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def forward(model: Module, batch: Any) -> Any:
    """Run a model on one batch: a tensor, a mapping of arguments or a sequence whose first entry is the input.

    Tensors are moved to the device of the model's first parameter. A cache of keys and values is not built.
    """
    if isinstance(batch, (tuple, list)) and batch:
        batch = batch[0]
    if not isinstance(batch, (torch.Tensor, Mapping)):
        raise TypeError(
            "a batch must be token ids, a mapping of the model's arguments, or a sequence that starts with one of "
            f"these, got {type(batch).__name__}"
        )
    device = next((p.device for p in model.parameters()), None)
    known = {"use_cache": False} if hasattr(getattr(model, "config", None), "use_cache") else {}
    if isinstance(batch, torch.Tensor):
        return model(batch.to(device), **known)
    return model(**known | {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()})


def passes(model: Module, inputs: Any, progress: bool = False, label: str = "forward passes") -> Iterator[Any]:
    """Run a model over its inputs and yield each batch after its pass.

    Raises
    ------
    ValueError
        If there are none.
    """
    for batch in shown(as_batches(inputs), progress, label):
        forward(model, batch)
        yield batch


def shown(batches: Any, progress: bool, label: str) -> Iterator[Any]:
    """Yield each of the batches, with a bar if asked for; raise a ValueError if there is none."""
    if progress:
        from rich.progress import track

        batches = track(batches, description=label, total=len(batches) if hasattr(batches, "__len__") else None)
    empty = True
    for batch in batches:
        empty = False
        yield batch
    if empty:
        raise ValueError("inputs hold no batch; expected at least one")
