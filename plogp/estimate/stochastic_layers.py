"""The information plane of a network with noise in it, where I(X;L) is finite without any binning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.compression import MOST, CompressedMI
from plogp.estimate.layers import InformationPlane
from plogp.estimate.samples import Floats
from plogp.measures.uncertainty import Estimate

__all__ = ["noisy_information_plane"]


def noisy_information_plane(
    model: Any,
    loader: Any,
    layers: Sequence[Any],
    *,
    states: Mapping[Any, Mapping[str, Any]] | None = None,
    x_components: int | None = MOST,
    components: int | None = MOST,
    base: Any = "weighted_kozachenko_leonenko",
) -> InformationPlane:
    r"""Return I(X;L) and I(L;Y) of the layers of a stochastic network, through principal components of X and L.

    With noise in the network (`plogp.nn.AdditiveGaussianNoise` after each layer) both are finite, and depend
    on no binning. Pass the outputs of the noise layers; without noise the numbers have no limit to converge to.

    Parameters
    ----------
    model : torch.nn.Module
        Put into evaluation mode while it is read; its mode and weights are restored.
    loader : iterable of (inputs, labels)
        Mini-batches, such as a DataLoader; the same order every time if several states are compared.
    layers : sequence of str or torch.nn.Module
        Modules whose outputs L are looked at, by name or themselves.
    states : mapping of epoch to state_dict, optional
        Weights kept during training (deep copies of ``model.state_dict()``): a row of the plane each. None: the
        model as it is, as epoch 0.
    x_components, components : int or None
        Principal components of the inputs and of each layer that has more columns; None: as they are.
    base : str or callable
        As in `CompressedMI`.

    Returns
    -------
    InformationPlane
        In nats, with the standard errors in ``settings["ix_se"]`` and ``settings["iy_se"]``.

    Raises
    ------
    ValueError
        For no batches, unknown layers, or a layer that did not run.

    Examples
    --------
    >>> import math
    >>> import torch
    >>> from plogp.nn import AdditiveGaussianNoise
    >>> g = torch.Generator().manual_seed(0)
    >>> x = torch.randn(400, 3, generator=g)
    >>> model = torch.nn.Sequential(torch.nn.Identity(), AdditiveGaussianNoise(0.5, rng=1))
    >>> plane = noisy_information_plane(model, [(x, (x[:, 0] > 0).long())], ["1"])
    >>> bool(abs(plane.ix[0, 0] - 1.5 * math.log(5)) < 0.5)        # three channels of signal to noise 4
    True

    Notes
    -----
    I. Butakov et al., ICLR 2024, arXiv 2305.08013.
    """
    modules = dict(model.named_modules())
    names, chosen = [], []
    for layer in layers:
        found = [name for name, module in modules.items() if name == layer or module is layer]
        if not found:
            raise ValueError(f"the model has no module {layer!r}; it has {', '.join(filter(None, modules))}")
        names.append(found[0])
        chosen.append(modules[found[0]])
    if not chosen:
        raise ValueError("layers is empty; name at least one module")
    kept = {name: value.detach().clone() for name, value in model.state_dict().items()}
    rows: list[list[tuple[Estimate, Estimate]]] = []
    try:
        for state in [kept] if states is None else states.values():
            model.load_state_dict(state)
            x, outputs, labels = _outputs(model, loader, chosen, names)
            rows.append([_layer(x, out, labels, x_components, components, base) for out in outputs])
    finally:
        model.load_state_dict(kept)
    if not rows:
        raise ValueError("states is empty; give at least one epoch, or None for the model as it is")
    table = np.array([[[e.value, e.se] for pair in row for e in pair] for row in rows], dtype=np.float64)
    table = table.reshape(len(rows), len(names), 2, 2)
    settings = {"ix_se": table[:, :, 0, 1], "iy_se": table[:, :, 1, 1], "components": components}
    epochs = np.array([0] if states is None else list(states))
    first = rows[0][0][0]
    return InformationPlane(epochs, names, table[:, :, 0, 0], table[:, :, 1, 0], first.n, first.method, settings)


def _outputs(model: Any, loader: Any, chosen: list[Any], names: list[str]) -> tuple[Floats, list[Floats], Any]:
    """Run the model over the loader and keep inputs, the outputs of the chosen modules, and labels."""
    import torch

    inputs: list[npt.NDArray[Any]] = []
    labels: list[npt.NDArray[Any]] = []
    kept: list[list[npt.NDArray[Any]]] = [[] for _ in chosen]

    def rows(tensor: Any) -> npt.NDArray[Any]:
        return np.asarray(tensor.detach().flatten(1).cpu().double().numpy())

    def keeper(into: list[npt.NDArray[Any]]) -> Callable[..., None]:
        def hook(module: Any, given: Any, output: Any) -> None:
            into.append(rows(output))

        return hook

    device = next((p.device for p in model.parameters()), None)
    training = model.training
    hooks = [module.register_forward_hook(keeper(into)) for module, into in zip(chosen, kept)]
    try:
        model.eval()
        with torch.no_grad():
            for x, y in loader:
                model(x if device is None else x.to(device))
                inputs.append(rows(x))
                labels.append(np.asarray(torch.as_tensor(y).cpu()))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    if not inputs:
        raise ValueError("loader gave no batches")
    n = sum(map(len, inputs))
    for name, parts in zip(names, kept):
        if sum(map(len, parts)) != n:
            raise ValueError(f"module {name!r} gave {sum(map(len, parts))} outputs for {n} inputs; expected one each")
    return np.concatenate(inputs), [np.concatenate(parts) for parts in kept], np.concatenate(labels)


def _layer(
    x: Floats, out: Floats, labels: Any, x_components: int | None, components: int | None, base: Any
) -> tuple[Estimate, Estimate]:
    """I(X;L) and I(L;Y) of one layer."""
    of_x = x_components if x_components is not None and x.shape[1] > x_components else None
    of_out = components if components is not None and out.shape[1] > components else None
    about_x = CompressedMI(of_x, of_out, base).fit_estimate(x, out)
    return about_x, CompressedMI(of_out, None, base).fit_estimate(out, labels)
