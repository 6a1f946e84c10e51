"""A small autoencoder as a compressor: few numbers from which a network can draw the data again."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from plogp.estimate.protocol import Parameters, not_fitted
from plogp.estimate.samples import Floats, as_samples
from plogp.estimate.training import MLP, Rows, fit, generator

__all__ = ["Autoencoder"]


class _Pair(nn.Module):
    """Encoder and decoder, trained together to return their input."""

    def __init__(self, d: int, width: int, depth: int, n_components: int, noise: float, g: torch.Generator):
        super().__init__()
        self.encoder = MLP(d, width, n_components, depth, nn.GELU, generator=g)
        self.decoder = MLP(n_components, width, d, depth, nn.GELU, generator=g)
        self.noise, self.g = noise, g

    def error(self, x: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the reconstruction, from a code that is blurred a little."""
        code = self.encoder(x)
        blur = torch.randn(code.shape, generator=self.g).to(code) * self.noise
        # The penalty keeps the code's scale, so that the blur cannot be outgrown.
        return ((self.decoder(code + blur) - x) ** 2).mean() + 1e-3 * (code**2).mean()


class Autoencoder(Parameters):
    """Compress rows to `n_components` numbers by a fully connected autoencoder; a transformer with fit and transform.

    For surfaces that principal components fold. Needs PyTorch.

    Parameters
    ----------
    n_components : int
        Numbers that remain.
    width, depth : int
        Units of the hidden layers, and how many there are in the encoder and in the decoder.
    steps, batch_size, lr
        Of the training (Adam).
    noise : float
        Standard deviation of noise on the code while training: neighbouring codes then have similar rows, and the
        code has no folds that are finer than it.
    rng : Generator, int or None
        For the weights, the batches and the noise.
    progress : bool
        Show a progress bar.

    Attributes
    ----------
    error_ : float
        Mean squared error of the reconstruction over the variance of the data, on the rows of `fit`.

    Raises
    ------
    ValueError
        For NaN, rows without variance, or (in `transform`) another number of columns.

    Examples
    --------
    >>> t = np.random.default_rng(0).uniform(0, 3, (500, 1))
    >>> arc = np.hstack([np.cos(t), np.sin(t)])                   # one number, though two columns
    >>> encoder = Autoencoder(1, width=32, steps=300, rng=0).fit(arc)
    >>> code = encoder.transform(arc)[:, 0]
    >>> bool(abs(np.corrcoef(code, t[:, 0])[0, 1]) > 0.95)
    True

    Notes
    -----
    I. Butakov, A. Tolmachev, S. Malanchuk, A. Neopryatnaya, A. Frolov and K. Andreev, ICLR 2024, arXiv 2305.08013
    (convolutional there).
    """

    def __init__(
        self,
        n_components: int = 2,
        width: int = 128,
        depth: int = 2,
        steps: int = 2000,
        batch_size: int = 128,
        lr: float = 1e-3,
        noise: float = 0.05,
        rng: Any = None,
        progress: bool = False,
    ):
        self.n_components = n_components
        self.width = width
        self.depth = depth
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.noise = noise
        self.rng = rng
        self.progress = progress

    def fit(self, X: Any, y: object = None) -> Autoencoder:
        """Train encoder and decoder."""
        points = as_samples(X, "X")
        if not (isinstance(self.n_components, (int, np.integer)) and 1 <= self.n_components <= points.shape[1]):
            raise ValueError(f"n_components must be between 1 and {points.shape[1]}, got {self.n_components!r}")
        mean = points.mean(axis=0)
        centred = points - mean
        scale = float(np.sqrt((centred**2).mean()))
        if not scale > 0:
            raise ValueError("X has no variance: there is nothing to compress")
        g = generator(self.rng)
        pair = _Pair(points.shape[1], self.width, self.depth, int(self.n_components), self.noise, g)
        fit(
            pair,
            pair.error,
            Rows(centred / scale),
            steps=self.steps,
            batch_size=min(self.batch_size, len(points)),
            lr=self.lr,
            rng=g,
            schedule="cosine",
            progress=self.progress,
            label="autoencoder",
        )
        self.mean_, self.scale_, self.network_ = mean, scale, pair.eval()
        with torch.no_grad():
            rows = torch.as_tensor(centred / scale, dtype=torch.float32)
            self.error_ = float(((pair.decoder(pair.encoder(rows)) - rows) ** 2).mean())
        return self

    def transform(self, X: Any) -> Floats:
        """Return the codes, shape (n, n_components)."""
        if not hasattr(self, "network_"):
            raise not_fitted(self)
        points = as_samples(X, "X")
        if points.shape[1] != len(self.mean_):
            raise ValueError(f"X has {points.shape[1]} columns, but the encoder was fitted on {len(self.mean_)}")
        with torch.no_grad():
            rows = torch.as_tensor((points - self.mean_) / self.scale_, dtype=torch.float32)
            return np.asarray(self.network_.encoder(rows).double().numpy())

    def fit_transform(self, X: Any, y: object = None) -> Floats:
        """Fit and transform."""
        return self.fit(X).transform(X)
