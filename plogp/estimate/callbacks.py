"""Callbacks that record something of a model while it trains, in any loop and in two trainers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

from plogp.estimate.layers import InformationPlane, LayerInformation, layer_mutual_information
from plogp.trace.hooks import capture
from plogp.trace.passes import as_batches, evaluating, forward

__all__ = ["InformationPlaneCallback", "TrainingCallback"]


class TrainingCallback:
    """Base of callbacks that look at a model every so many epochs or steps; a subclass says what it records.

    In a loop of your own, call it with the epoch (or step) and the model. In a transformers ``Trainer`` and a
    Lightning ``Trainer`` put it among ``callbacks``: it passes as one of theirs. The state before training is
    recorded as 0.

    Parameters
    ----------
    every : int
        Epochs or steps between records.
    by : {"epoch", "step"}

    Raises
    ------
    ValueError
        For other values.
    """

    every: int
    by: str

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Trainers ask for their own class; it is mixed in where the trainer's package is already imported.
        bases = [
            base
            for package, name in (
                ("transformers", "TrainerCallback"),
                ("lightning.pytorch", "Callback"),
                ("pytorch_lightning", "Callback"),
            )
            if package in sys.modules and not issubclass(cls, base := getattr(sys.modules[package], name))
        ]
        mixed: Any = type(cls.__name__, (cls, *bases), {"__doc__": cls.__doc__, "__module__": cls.__module__})
        return object.__new__(mixed if bases else cls)

    def __init__(self, every: int = 1, by: str = "epoch"):
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a whole number of at least 1, got {every!r}")
        if by not in ("epoch", "step"):
            raise ValueError(f"by must be 'epoch' or 'step', got {by!r}")
        self.every, self.by = every, by

    def record(self, at: int, model: Any) -> None:
        """Look at the model and keep what is found under the epoch or step `at`."""
        raise NotImplementedError

    def __call__(self, at: int, model: Any) -> None:
        """Record if the epoch or step is due."""
        if at % self.every == 0:
            self.record(at, model)

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Both trainers call this, with arguments of their own."""

    # The transformers Trainer.

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self(round(state.epoch or 0) if self.by == "epoch" else state.global_step, model)

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if self.by == "epoch":
            self(round(state.epoch), model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if self.by == "step":
            self(state.global_step, model)

    # The Lightning Trainer.

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self(trainer.current_epoch if self.by == "epoch" else trainer.global_step, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self.by == "epoch":
            self(trainer.current_epoch + 1, pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.by == "step":
            self(trainer.global_step, pl_module)


class InformationPlaneCallback(TrainingCallback):
    """Record I(T;X) and I(T;Y) of the layers of a model while it trains: the information plane.

    Every record is one evaluation pass over `inputs`; only the numbers are kept. The inputs are taken as the whole
    input distribution, and what a number means depends on `method`: see `layer_mutual_information`.

    Parameters
    ----------
    inputs : array, tensor, mapping of the model's arguments, or an iterable of batches of these
        What the layers are looked at on: the same every time, in the order of `labels`.
    labels : array, shape (N,)
        Classes.
    layers : selector of `plogp.trace.capture`, optional
        Which modules' outputs; by default every activation function (``torch.nn.ReLU`` and its like). All axes but
        the first are one layer: an image's channels and positions, a text's tokens and units.
    method : str
        Of `layer_mutual_information`: "ebab", "bin", "akde", "kde".
    every, by
        As in `TrainingCallback`: epochs by default.
    **options
        Of the method: bins, noise, scale, bound.

    Raises
    ------
    ValueError
        If the model has no activation function and `layers` is not given, or layers and labels differ in length.

    Examples
    --------
    >>> from torch import nn
    >>> X, y = torch.randn(64, 5, generator=torch.Generator().manual_seed(0)), np.arange(64) % 2
    >>> model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> plane = InformationPlaneCallback(X, y, bins=8)
    >>> for epoch in range(3):
    ...     plane(epoch, model)                       # and a training step
    >>> plane.plane.epochs, plane.plane.layers, plane.plane.ix.shape
    (array([0, 1, 2]), ['1'], (3, 1))

    References
    ----------
    Shwartz-Ziv and Tishby (2017), arXiv 1703.00810; Chelombiev, Houghton and O'Donnell (2019), arXiv 1902.09037.
    """

    def __init__(
        self,
        inputs: Any,
        labels: Any,
        layers: Any = None,
        *,
        method: str = "ebab",
        every: int = 1,
        by: str = "epoch",
        **options: Any,
    ):
        super().__init__(every, by)
        if isinstance(inputs, np.ndarray):
            inputs = torch.from_numpy(inputs)
            inputs = inputs.float() if inputs.is_floating_point() else inputs
        if not isinstance(inputs, (torch.Tensor, Mapping)):
            inputs = list(as_batches(inputs))  # an iterator would be empty at the second record
        self.inputs, self.labels, self.layers = inputs, np.asarray(labels), layers
        self.method, self.options = method, options
        self.records: dict[int, dict[str, LayerInformation]] = {}

    def record(self, at: int, model: Any) -> None:
        """Add the information of every layer under the epoch or step `at`."""
        chosen = _is_activation if self.layers is None else self.layers
        try:
            with evaluating(model), capture(model, chosen, device="cpu") as found:
                for batch in as_batches(self.inputs):
                    forward(model, batch)
        except ValueError as error:
            if self.layers is None and "selects no module" in str(error):
                raise ValueError(
                    "the model has no module that is an activation function; name its layers with layers="
                ) from error
            raise
        self.records[at] = {
            name: layer_mutual_information(
                h.reshape(len(h), -1).float(), self.labels, method=self.method, **self.options
            )
            for name, h in found.items()
        }

    @property
    def plane(self) -> InformationPlane:
        """The information plane of what was recorded so far.

        Raises
        ------
        ValueError
            If nothing was.
        """
        if not self.records:
            raise ValueError("nothing was recorded yet; call the callback with an epoch and the model")
        names = list(next(iter(self.records.values())))
        ix, iy = (
            np.array([[layers[name][i].value for name in names] for layers in self.records.values()]) for i in (0, 1)
        )
        one = next(iter(self.records.values()))[names[0]].ix
        settings = dict(self.options, method=self.method)
        return InformationPlane(np.array(list(self.records)), names, ix, iy, one.n, one.method, settings)

    def plot(self, ax: Any = None) -> Any:
        """Draw the plane so far. Needs matplotlib."""
        return self.plane.plot(ax)


def _is_activation(name: str, module: Any) -> bool:
    """Whether a module without parts is one of PyTorch's activation functions (attention lives in the same file)."""
    home = type(module).__module__ == "torch.nn.modules.activation"
    return home and not isinstance(module, torch.nn.MultiheadAttention)
