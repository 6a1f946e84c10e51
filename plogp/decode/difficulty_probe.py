"""The classifier of hidden states behind `DifficultyRouter`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from plogp.estimate.training import Rows, fit, generator, linear

Floats = npt.NDArray[np.float64]

__all__ = ["SoftmaxProbe"]

CLASSES = 3
WIDTH = 256


class _Dropout(nn.Module):
    """Dropout that draws from its own generator, so that PyTorch's global one is left alone."""

    def __init__(self, p: float, g: torch.Generator) -> None:
        super().__init__()
        self.p, self.generator = p, g

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = torch.rand(x.shape, generator=self.generator) >= self.p
        return x * keep.to(x) / (1 - self.p)


class SoftmaxProbe:
    """Standardised inputs, then a linear layer or one hidden layer, trained by class-weighted cross-entropy.

    Parameters
    ----------
    deep : bool
        One hidden layer of 256 with dropout 0.1, instead of none.
    steps, lr, weight_decay, batch_size
        Of AdamW.
    """

    def __init__(self, deep: bool, steps: int, lr: float, weight_decay: float, batch_size: int) -> None:
        self.deep, self.steps, self.lr, self.weight_decay, self.batch_size = deep, steps, lr, weight_decay, batch_size

    def fit(
        self, x: npt.NDArray[np.float64], y: npt.NDArray[np.int64], rng: Any = None, progress: bool = False
    ) -> None:
        """Train on samples (n, d) and labels 0, 1, 2. Classes that do not occur get no weight."""
        g = generator(rng)
        self.mean, sd = x.mean(axis=0), x.std(axis=0)
        self.sd = np.where(sd > 0, sd, 1.0)
        d = x.shape[1]
        if self.deep:
            self.net = nn.Sequential(linear(d, WIDTH, g), nn.ReLU(), _Dropout(0.1, g), linear(WIDTH, CLASSES, g))
        else:
            self.net = nn.Sequential(linear(d, CLASSES, g))
        counts = np.bincount(y, minlength=CLASSES)
        share = np.where(counts > 0, len(y) / np.maximum(counts, 1) / (counts > 0).sum(), 0.0)
        weight = torch.tensor(share).float()
        fit(
            self.net,
            lambda a, b: nn.functional.cross_entropy(self.net(a), b[:, 0].long(), weight=weight),
            Rows(torch.tensor((x - self.mean) / self.sd).float(), torch.tensor(y)),
            steps=self.steps,
            batch_size=min(self.batch_size, len(x)),
            lr=self.lr,
            rng=g,
            optimizer="adamw",
            weight_decay=self.weight_decay,
            progress=progress,
            label="difficulty probe",
        )
        self.net.eval()

    def predict_proba(self, x: Floats) -> Floats:
        """Return class probabilities (n, 3)."""
        with torch.inference_mode():
            logits = self.net(torch.tensor((x - self.mean) / self.sd).float())
            return np.asarray(logits.double().softmax(-1).numpy())
