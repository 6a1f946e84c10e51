"""`capture`: the activations of chosen modules of any PyTorch model, kept or streamed, padding left out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch

__all__ = ["Activations", "capture", "select_modules"]

Module = Any  # torch.nn.Module
Tensor = Any  # torch.Tensor
Selector = Any


class Activations(Mapping[str, Any]):
    """What `capture` recorded: module name to its activations, all forward passes one below the other.

    Attributes
    ----------
    mask : tensor, str, callable or None
        The mask of the next forward pass; may be set between passes.
    """

    def __init__(self, names: Sequence[str], mask: Any = None):
        self.mask = mask
        self._parts: dict[str, list[Tensor]] = {name: [] for name in names}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._parts:
            raise KeyError(f"no module {name!r} was captured; captured are {list(self._parts)}")
        parts = self._parts[name]
        if not parts:
            raise KeyError(
                f"module {name!r} has no activations: no forward pass went through it inside the `with` block, or "
                "they went to reduce="
            )
        if len({part.shape[1:] for part in parts}) > 1:
            shapes = ", ".join(str(tuple(part.shape)) for part in parts)
            raise ValueError(
                f"the forward passes through {name!r} gave the shapes {shapes}, which do not stack; pass rows=True "
                f"for one row a token, or read parts({name!r})"
            )
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def parts(self, name: str) -> list[Tensor]:
        """Return the activations of each forward pass apart."""
        return list(self._parts[name])

    def clear(self) -> None:
        """Forget what was recorded."""
        for parts in self._parts.values():
            parts.clear()

    def __repr__(self) -> str:
        sizes = (f"{name!r}: {sum(map(len, parts))} rows" for name, parts in self._parts.items())
        return f"Activations({', '.join(sizes)})"


@contextmanager
def capture(
    model: Module,
    selector: Selector,
    *,
    where: str = "output",
    mask: Any = None,
    rows: bool = False,
    detach: bool = True,
    device: Any = None,
    dtype: Any = None,
    reduce: Callable[[str, Tensor], Any] | None = None,
) -> Iterator[Activations]:
    """Record what goes into, or comes out of, chosen modules while the ``with`` block runs.

    The hooks are removed at the end of the block, also after an exception. A module that returns several values (an
    attention block) gives its first tensor; for inputs, the first positional tensor, or ``hidden_states``, or the
    first tensor among the keywords.

    Parameters
    ----------
    model : torch.nn.Module
        Any model.
    selector : str, compiled regular expression, module, module class, predicate or a sequence of these
        Which modules. A text is matched with the whole dotted name, with ``*`` for any run of characters (dots too):
        ``"transformer.h.*.mlp"``. A predicate is called with (name, module).
    where : {"output", "input"}
    mask : tensor, str or callable, optional
        Which tokens count, shape (batch, tokens), true or 1 where they do. As a text, the keyword of the model's
        forward pass that holds the mask, usually ``"attention_mask"`` (all tokens count where it is not given). As a
        callable, called without arguments before each use. With a mask one row a token comes out.
    rows : bool
        Merge all axes but the last: one row a token. Implied by `mask`.
    detach : bool
        Without gradient. False keeps the graph, so that a loss can be put on activations.
    device, dtype
        Where and as what to keep the activations: ``"cpu"`` frees the accelerator; float16 and bfloat16 stay as they
        are by default.
    reduce : callable, optional
        ``reduce(name, activations)`` is called in each forward pass and nothing is kept: memory stays bounded. For
        instance the ``update`` of one `plogp.spectra.CovarianceAccumulator` a module.

    Yields
    ------
    Activations
        Mapping of module name to tensor.

    Raises
    ------
    TypeError, ValueError
        If the selector selects nothing or is of an unknown type, or a mask does not fit the activations (raised in
        the forward pass).

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> with capture(model, nn.Linear) as layers, capture(model, "1", where="input") as before:
    ...     _ = model(torch.zeros(5, 4)), model(torch.zeros(2, 4))
    >>> {name: tuple(x.shape) for name, x in layers.items()}
    {'0': (7, 3), '2': (7, 2)}
    >>> bool((before["1"] == layers["0"]).all())
    True

    Stream: only a running sum is kept.

    >>> total = 0.0
    >>> def add(name, x):
    ...     global total
    ...     total = total + x.sum(0)
    >>> with capture(model, "0", reduce=add):
    ...     _ = model(torch.ones(5, 4))
    >>> total.shape
    torch.Size([3])
    """
    if where not in ("output", "input"):
        raise ValueError(f"where must be 'output' or 'input', got {where!r}")
    if reduce is not None and not callable(reduce):
        raise TypeError(f"reduce must be called as reduce(name, activations), got {type(reduce).__name__}")
    chosen = select_modules(model, selector)
    found = Activations(list(chosen), _as_mask(mask))
    handles: list[Any] = []
    running: dict[str, Any] = {}

    def note(name: str, x: Tensor) -> None:
        x = x.detach() if detach else x
        named = isinstance(found.mask, str)
        now = running.get("mask") if named else found.mask
        x = _rows_of(x, now() if callable(now) and not hasattr(now, "shape") else now, name, rows, named)
        x = x.to(device=device, dtype=dtype) if device is not None or dtype is not None else x
        if reduce is None:
            found._parts[name].append(x)
        else:
            reduce(name, x)

    def after(name: str) -> Callable[..., None]:
        return lambda module, args, out: note(name, _first_tensor(out, name))

    def before(name: str) -> Callable[..., None]:
        return lambda module, args, kwargs: note(name, _input_tensor(args, kwargs, name))

    def see_mask(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if isinstance(found.mask, str):
            running["mask"] = call_argument(module, args, kwargs, found.mask)

    try:
        handles.append(model.register_forward_pre_hook(see_mask, with_kwargs=True, prepend=True))
        for name, module in chosen.items():
            if where == "output":
                handles.append(module.register_forward_hook(after(name)))
            else:
                handles.append(module.register_forward_pre_hook(before(name), with_kwargs=True))
        yield found
    finally:
        for handle in handles:
            handle.remove()


def select_modules(model: Module, selector: Selector) -> dict[str, Module]:
    """Return the modules that a selector of `capture` means, by name, in the model's order.

    Raises
    ------
    TypeError, ValueError
        If the selector is of an unknown type or selects nothing.

    Examples
    --------
    >>> from torch import nn
    >>> list(select_modules(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), ["0", nn.ReLU]))
    ['0', '1']
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    several = isinstance(selector, Sequence) and not isinstance(selector, (str, torch.nn.Module))
    wanted = list(selector) if several else [selector]
    everything = dict(model.named_modules())
    hit: set[str] = set()
    for one in wanted:
        matches = _matcher(one)
        names = {name for name, module in everything.items() if matches(name, module)}
        if not names:
            some = [name for name in everything if name]
            shown = ", ".join(some[:12]) + (f" and {len(some) - 12} more" if len(some) > 12 else "")
            raise ValueError(f"selector {_shown(one)} selects no module of {type(model).__name__}; it has {shown}")
        hit |= names
    if not hit:
        raise ValueError("selector is empty; expected a name, a module, a class, a predicate or a list of these")
    return {name: module for name, module in everything.items() if name in hit}


def _matcher(one: Any) -> Callable[[str, Module], bool]:
    if isinstance(one, str):
        return lambda name, module: fnmatchcase(name, one)
    if isinstance(one, re.Pattern):
        return lambda name, module: one.fullmatch(name) is not None
    if isinstance(one, torch.nn.Module):
        return lambda name, module: module is one
    if isinstance(one, type):
        return lambda name, module: isinstance(module, one)
    if callable(one):
        return lambda name, module: bool(one(name, module))
    raise TypeError(
        "selector must be a name pattern, a compiled regular expression, a module, a module class, a predicate "
        f"(name, module) -> bool or a sequence of these, got {type(one).__name__}"
    )


def _shown(one: Any) -> str:
    return f"a {type(one).__name__}" if isinstance(one, torch.nn.Module) else repr(one)


def _as_mask(mask: Any) -> Any:
    if mask is None or isinstance(mask, str) or hasattr(mask, "shape") or callable(mask):
        return mask
    return torch.as_tensor(mask)


def call_argument(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Any:
    """Return an argument of the forward pass by its name, wherever it was passed; None where it was not."""
    if name in kwargs or not args:
        return kwargs.get(name)
    try:
        return inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments.get(name)
    except TypeError:  # the forward pass itself will say what is wrong with its arguments
        return None


def _first_tensor(out: Any, name: str) -> Tensor:
    if isinstance(out, torch.Tensor):
        return out
    values = out.values() if isinstance(out, Mapping) else out if isinstance(out, (tuple, list)) else ()
    for value in values:
        if isinstance(value, torch.Tensor):
            return value
    raise TypeError(f"module {name!r} gave no tensor but {type(out).__name__}")


def _input_tensor(args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Tensor:
    for value in (*args, kwargs.get("hidden_states"), *kwargs.values()):
        if isinstance(value, torch.Tensor):
            return value
    raise TypeError(f"module {name!r} was called without a tensor")


def _rows_of(x: Tensor, mask: Any, name: str, rows: bool, cached: bool) -> Tensor:
    """Return activations with one row a token that the mask keeps."""
    if mask is None:
        return x.reshape(-1, x.shape[-1]) if rows and x.ndim != 2 else x
    keep = torch.as_tensor(mask, device=x.device).bool()
    if cached and x.ndim == 3 and keep.ndim == 2 and keep.shape[1] > x.shape[1]:
        keep = keep[:, -x.shape[1] :]  # decoding with a cache: the mask covers the past too
    flat = x.reshape(-1, x.shape[-1])
    if keep.numel() != len(flat) or (x.ndim > 2 and tuple(keep.shape) != tuple(x.shape[:-1])):
        raise ValueError(
            f"mask has shape {tuple(keep.shape)}, but the activations of {name!r} have shape {tuple(x.shape)}; "
            f"expected a mask of shape {tuple(x.shape[:-1])}"
        )
    return flat[keep.reshape(-1)]
