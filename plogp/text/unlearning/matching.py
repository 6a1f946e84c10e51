"""`DatamodelMatching`: train a copy of a model towards what it would say had it never seen some of its data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch

from plogp.estimate.training import generator

__all__ = ["DatamodelMatching"]

Tensor = Any
LOSSES = ("mse", "cross-entropy")


class DatamodelMatching:
    r"""Unlearning by matching the predicted outputs of a model that never saw the forget set.

    The oracle's outputs are predicted as :math:`\hat f(x) = f_0(x) - m \sum_{i \in F} \beta_i(x)`, and a copy of the
    trained model is fitted to them on the forget set and on three times as many random retained points.

    Parameters
    ----------
    attribution : callable, or (Tensor, Tensor)
        ``attribution(x) -> (n, C)``, the summed effect of the forget set on the outputs at x (`Datamodels.effect`,
        `influence`); or its values on the forget and on the retain set, row by row.
    model : torch.nn.Module
        The trained model, logits (n, C); it is not changed.
    multiplier : float
        m above.
    epochs, lr, decay, batch_size : int, float, float, int
        Adam, its rate multiplied by `decay` after every epoch.
    retain_factor : float
        Retained points for each forgotten one.
    penalty : float
        Weight of the squared distance of the parameters from the trained ones.
    loss : {"mse", "cross-entropy"}
        On logits, or to the softmax of the targets.
    rng : int, torch.Generator or None

    Attributes
    ----------
    model_ : torch.nn.Module
        After `fit`, the unlearned copy.
    losses_ : list of float
        Mean loss of each epoch.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 2)
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> shift = lambda x: torch.full((len(x), 2), 0.5)
    >>> match = DatamodelMatching(shift, model, epochs=400, lr=0.05, decay=1.0, rng=0).fit(x, x)
    >>> bool(torch.allclose(match.model_(x), model(x) - 0.5, atol=1e-2))
    True

    References
    ----------
    Georgiev, Rinberg, Park, Garg, Ilyas, Madry and Neel, "Attribute-to-Delete: Machine Unlearning via Datamodel
    Matching" (2024), arXiv:2410.23232: DM-direct is `direct`, DMM `fit`, oracle matching `from_oracles`.
    """

    def __init__(
        self,
        attribution: Callable[[Tensor], Tensor] | tuple[Tensor, Tensor],
        model: torch.nn.Module,
        *,
        multiplier: float = 1.0,
        epochs: int = 5,
        lr: float = 5e-4,
        decay: float = 0.95,
        batch_size: int = 512,
        retain_factor: float = 3.0,
        penalty: float = 0.0,
        loss: str = "mse",
        rng: Any = None,
    ):
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
        if epochs < 1 or not lr > 0 or not decay > 0 or batch_size < 1 or retain_factor < 0 or penalty < 0:
            raise ValueError(
                "expected epochs >= 1, lr > 0, decay > 0, batch_size >= 1, retain_factor >= 0, penalty >= 0"
            )
        self.attribution, self.model, self.multiplier = attribution, model, multiplier
        self.epochs, self.lr, self.decay, self.batch_size = epochs, lr, decay, batch_size
        self.retain_factor, self.penalty, self.loss, self.rng = retain_factor, penalty, loss, rng

    @classmethod
    def from_oracles(
        cls, oracles: Sequence[torch.nn.Module], model: torch.nn.Module, **options: Any
    ) -> DatamodelMatching:
        """Match the mean logits of retrained models: the upper bound, where they can be had."""
        if not oracles:
            raise ValueError("oracles must hold at least one model")

        def effect(x: Tensor) -> Tensor:
            return _outputs(model, x) - torch.stack([_outputs(oracle, x) for oracle in oracles]).mean(0)

        return cls(effect, model, **{**options, "multiplier": 1.0})

    def fit(self, forget: Tensor, retain: Tensor) -> DatamodelMatching:
        """Fit the copy.

        Parameters
        ----------
        forget, retain : Tensor, shapes (f, ...) and (r, ...)
            Inputs; no labels are needed.

        Raises
        ------
        ValueError
            For an empty forget set, or effects of another shape than the outputs.
        """
        if not len(forget):
            raise ValueError("forget must hold at least one example")
        g = generator(self.rng)
        some = torch.randperm(len(retain), generator=g)[: int(self.retain_factor * len(forget))]
        x = torch.cat([forget, retain[some.to(retain.device)]])
        targets = torch.cat([self._target(forget, 0), self._target(retain, 1)[some.to(retain.device)]])
        student = copy.deepcopy(self.model)
        start = [p.detach().clone() for p in student.parameters()]
        optimizer = torch.optim.Adam(student.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, self.decay)
        self.losses_ = []
        for _ in range(self.epochs):
            total = 0.0
            for rows in torch.randperm(len(x), generator=g).split(self.batch_size):
                rows = rows.to(x.device)
                value = self._loss(student(x[rows]), targets[rows])
                if self.penalty:
                    value = value + self.penalty * sum(
                        ((p - p0) ** 2).sum() for p, p0 in zip(student.parameters(), start, strict=True)
                    )
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                total += float(value.detach()) * len(rows)
            schedule.step()
            self.losses_.append(total / len(x))
        self.model_ = student
        return self

    def direct(self) -> Callable[[Tensor], Tensor]:
        """Return the predicted oracle itself, a function x -> logits; nothing is trained.

        Raises
        ------
        ValueError
            If the effects are known only on the points of the fit.
        """
        if not callable(self.attribution):
            raise ValueError("attribution must be a function of x to be used at new points")
        return lambda x: self._target(x, 0)

    def _target(self, x: Tensor, which: int) -> Tensor:
        outputs = _outputs(self.model, x)
        effect = self.attribution(x) if callable(self.attribution) else self.attribution[which]
        effect = torch.as_tensor(effect, dtype=outputs.dtype, device=outputs.device)
        if effect.shape != outputs.shape:
            raise ValueError(
                f"attribution must have the outputs' shape {tuple(outputs.shape)}, got {tuple(effect.shape)}"
            )
        return (outputs - self.multiplier * effect).detach()

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.loss == "mse":
            return torch.nn.functional.mse_loss(logits, targets)
        return torch.nn.functional.cross_entropy(logits, targets.softmax(-1))


def _outputs(model: torch.nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x)
