"""Datamodels: the output of a trained model as a linear function of which examples it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Datamodels", "datamodels", "influence", "ridge_without"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Datamodels:
    r"""The fit :math:`f(x; S) \approx b(x) + \sum_{i\in S} \beta_i(x)`.

    Attributes
    ----------
    beta : array, shape (m, n)
        Effect of each of n training examples on each of m outputs.
    intercept : array, shape (m,)
    se : array, shape (m, n)
        Standard errors of `beta` (exact for ridge 0 and homoscedastic errors).
    """

    beta: Floats
    intercept: Floats
    se: Floats

    def effect(self, forget: Any) -> Floats:
        """Return the summed effect (m,) of the examples `forget` (indices or a mask): what unlearning takes away."""
        return np.asarray(self.beta[:, forget].sum(axis=1))

    def __call__(self, mask: Any) -> Floats:
        """Return the predicted outputs (m,) after training on the examples of a mask."""
        return np.asarray(self.intercept + self.beta @ np.asarray(mask, dtype=np.float64))


def datamodels(
    train_fn: Callable[[npt.NDArray[np.bool_]], Any],
    n_train: int,
    n_subsets: int,
    alpha: float = 0.5,
    *,
    ridge: float = 0.0,
    rng: Any = None,
) -> Datamodels:
    """Fit datamodels by regression on models that were trained on random subsets.

    Parameters
    ----------
    train_fn : callable
        ``train_fn(mask) -> outputs``, any shape: trains on the examples of the mask and returns logits or margins.
    n_train, n_subsets : int
        Training examples, and subsets drawn.
    alpha : float
        Share of the examples in a subset, each in it by its own coin.
    ridge : float
        Penalty on the effects, in units of subsets; needed where there are no more subsets than examples.

    Raises
    ------
    ValueError
        For alpha outside (0, 1), or too few subsets for `ridge` = 0.

    Examples
    --------
    >>> effects = np.array([1.0, -2.0, 0.5])
    >>> found = datamodels(lambda mask: mask @ effects + 3, 3, 20, rng=0)
    >>> found.beta.round(6).tolist(), found.effect([1]).round(6).tolist()
    ([[1.0, -2.0, 0.5]], [-2.0])

    References
    ----------
    Ilyas et al. (2022), arXiv:2202.00622; used for unlearning by Georgiev et al. (2024), arXiv:2410.23232.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
    if ridge < 0 or (ridge == 0 and n_subsets <= n_train + 1):
        raise ValueError(f"n_subsets must exceed n_train + 1 = {n_train + 1} unless ridge > 0, got {n_subsets}")
    g = np.random.default_rng(rng)
    masks = g.random((n_subsets, n_train)) < alpha
    outputs = np.stack([np.asarray(train_fn(mask), dtype=np.float64).reshape(-1) for mask in masks])
    if not np.isfinite(outputs).all():
        raise ValueError("train_fn must return finite numbers")
    x = masks - masks.mean(axis=0)
    y = outputs - outputs.mean(axis=0)
    gram = x.T @ x + ridge * np.eye(n_train)
    try:
        inverse = np.linalg.inv(gram)
    except np.linalg.LinAlgError:
        raise ValueError("n_subsets: the subsets do not tell the examples apart; draw more or set ridge") from None
    beta = inverse @ x.T @ y
    spare = max(n_subsets - n_train - 1, 1)
    noise = ((y - x @ beta) ** 2).sum(axis=0) / spare
    spread = np.diag(inverse @ (x.T @ x) @ inverse)
    return Datamodels(beta.T, outputs.mean(0) - masks.mean(0) @ beta, np.sqrt(np.outer(noise, spread)))


def influence(features: Any, train_features: Any, residuals: Any, ridge: float = 1e-6) -> Floats:
    r"""Return effects :math:`\beta_i(x) = \phi(x)^\top(\Phi^\top\Phi + \lambda I)^{-1}\phi_i r_i` from gradients.

    Parameters
    ----------
    features : array, shape (m, d)
        Gradients of the outputs of interest in the parameters (or random projections of them).
    train_features : array, shape (n, d)
        The same of the training examples' outputs.
    residuals : array, shape (n,)
        Minus the derivative of each example's loss in its output: y - f for half the squared error.
    ridge : float
        Regularisation of the Gram matrix.

    Returns
    -------
    array, shape (m, n)
        First-order effect of each training example on each output.

    Examples
    --------
    >>> X, y = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([0.0, 1.0, 5.0])
    >>> theta = np.linalg.lstsq(X, y, rcond=None)[0]
    >>> influence([[1.0, 3.0]], X, y - X @ theta).round(3)         # on the prediction at 3
    array([[-0.333, -0.333,  0.667]])

    References
    ----------
    Park et al., "TRAK" (2023), arXiv:2303.14186.
    """
    a, b = (np.asarray(v, dtype=np.float64) for v in (features, train_features))
    r = np.asarray(residuals, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or r.shape != (len(b),):
        raise ValueError(f"expected features (m, d), (n, d) and n residuals, got {a.shape}, {b.shape} and {r.shape}")
    return np.asarray(a @ np.linalg.solve(b.T @ b + ridge * np.eye(b.shape[1]), b.T) * r)


def ridge_without(X: Any, y: Any, forget: Any, ridge: float = 0.0) -> Floats:
    r"""Return the ridge solution without some rows, from the one with them: exact, in closed form.

    :math:`\theta_{-F} = \theta - G X_F^\top (I - H_F)^{-1} e_F` with :math:`G = (X^\top X + \lambda I)^{-1}`,
    :math:`H_F = X_F G X_F^\top` and :math:`e_F = y_F - X_F\theta`.

    Parameters
    ----------
    X : array, shape (n, d)
    y : array, shape (n,) or (n, k)
    forget : array of indices, or a mask
    ridge : float

    Examples
    --------
    >>> X, y = np.array([[1.0, 0], [1, 1], [1, 2], [1, 3]]), np.array([0.0, 1, 2, 9])
    >>> bool(np.allclose(ridge_without(X, y, [3]), [0.0, 1.0]))
    True
    """
    X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if X.ndim != 2 or len(y) != len(X):
        raise ValueError(f"expected X (n, d) and n targets, got {X.shape} and {y.shape}")
    G = np.linalg.inv(X.T @ X + ridge * np.eye(X.shape[1]))
    theta = G @ X.T @ y
    X_f = X[forget]
    H = X_f @ G @ X_f.T
    return np.asarray(theta - G @ X_f.T @ np.linalg.solve(np.eye(len(H)) - H, y[forget] - X_f @ theta))
