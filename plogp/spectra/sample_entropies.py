"""Entropies of the rows of one sample, in the forms in which blocks are ranked by them (EntroDrop)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.knn import log_unit_ball
from plogp.estimate.neighbours import nearest
from plogp.measures import differential_entropy, entropy
from plogp.spectra.similarity import gaussian_kernel
from plogp.spectra.spectrum import Spectrum

__all__ = ["FLOOR", "METHODS", "SAMPLE_ENTROPIES", "bucket", "gaussian_log_det", "knn", "renyi"]

Floats = npt.NDArray[np.float64]
Tensor = Any

#: What the paper adds to a neighbour's distance, so that repeated rows have a logarithm.
FLOOR = 1e-10


def knn(x: Tensor, k: int, bins: int, alpha: float) -> float:
    """Return ``d·mean log r_k + log c_d + log n - log k``, r_k the distance to the k-th neighbour.

    >>> import torch
    >>> round(knn(torch.arange(5.0)[:, None], 1, 0, 0.0), 4)                # r = 1: log 2 + log 5
    2.3026
    """
    n, d = x.shape
    if n <= k:
        raise ValueError(
            f"a sample of {n} tokens is too short for k={k} neighbours; pass longer samples or a smaller k"
        )
    device = str(x.device) if x.device.type in ("cpu", "cuda") else "cpu"
    radius = nearest(as_numpy(x), k, metric="euclidean", device=device, only_kth=True).radius
    return float(d * np.log(radius + FLOOR).mean()) + log_unit_ball(d) + math.log(n) - math.log(k)


def bucket(x: Tensor, k: int, bins: int, alpha: float) -> float:
    """Return the sum over dimensions of the plug-in entropy of `bins` bins of equal width from least to greatest.

    >>> import torch
    >>> x = torch.tensor([[0.0, 5.0], [1.0, 5.0]])
    >>> round(bucket(x, 0, 20, 0.0), 4)                                     # log 2, and 0 of a constant
    0.6931
    """
    points = as_numpy(x)
    n, d = points.shape
    low, width = points.min(axis=0), np.ptp(points, axis=0)
    place = np.floor((points - low) / np.where(width > 0, width, 1.0) * bins).astype(np.intp).clip(0, bins - 1)
    counts = np.bincount((place + bins * np.arange(d)).ravel(), minlength=bins * d).reshape(d, bins)
    return float(np.sum(entropy(counts / n, check=False)))


def renyi(x: Tensor, k: int, bins: int, alpha: float) -> float:
    """Return ``log(mean K_ij^(α-1)) / (1-α)``, K Gaussian on standardised dimensions, its width the median distance.

    >>> import torch
    >>> round(renyi(torch.zeros(4, 2), 0, 0, 4.0), 4)
    0.0
    """
    points = as_numpy(x)
    spread = points.std(axis=0, ddof=1) if len(points) > 1 else np.zeros(points.shape[1])
    scaled = (points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    kernel = gaussian_kernel(np, scaled)
    return float(np.log(np.mean(kernel ** (alpha - 1)))) / (1 - alpha) + 0.0


#: Entropies of one sample by name. "gaussian" is of all tokens together, from streamed covariances.
SAMPLE_ENTROPIES: dict[str, Callable[[Tensor, int, int, float], float]] = {"knn": knn, "bucket": bucket, "renyi": renyi}
METHODS = (*SAMPLE_ENTROPIES, "gaussian")


def gaussian_log_det(spectrum: Spectrum) -> float:
    """Return the entropy of a normal law whose covariance has this spectrum, ½ Σ log(2πe λ).

    >>> round(gaussian_log_det(Spectrum.from_values([1.0, 1.0])), 4)
    2.8379
    """
    values = np.asarray(spectrum.values, dtype=np.float64)
    if values[-1] <= 1e-12 * values[0]:
        raise ValueError(
            "method='gaussian' needs activations that span all their dimensions, but some of their covariance's "
            "eigenvalues are 0; pass more tokens than dimensions, or use method='knn'"
        )
    return float(np.sum(differential_entropy("normal", scale=np.sqrt(values))))


def as_numpy(x: Tensor) -> Floats:
    """Return a tensor as NumPy float64, refusing NaN."""
    points = np.asarray(x.double().cpu().numpy())
    if not np.isfinite(points).all():
        raise ValueError("activations hold NaN or infinite values; the model's forward pass is broken at this input")
    return points
