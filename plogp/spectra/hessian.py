"""Sharpness of a minimum: the largest eigenvalues of a loss's Hessian, and the loss on the way between two minima."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["hessian_top", "loss_on_segment"]

Tensor = Any  # torch.Tensor


def hessian_top(
    loss_fn: Callable[[], Tensor],
    params: Iterable[Tensor],
    k: int = 1,
    *,
    tol: float = 1e-4,
    max_iterations: int | None = None,
    rng: np.random.Generator | int | None = 0,
) -> npt.NDArray[np.float64]:
    """Return the k largest eigenvalues of the Hessian of a loss, by Lanczos on Hessian-vector products.

    The Hessian is never built: memory is that of some 2 k + 20 vectors of parameters.

    Parameters
    ----------
    loss_fn : callable
        Returns the scalar loss, computed anew from `params`; deterministic (no dropout, the same data each time).
    params : iterable of tensors that require gradients
    k : int
        How many.
    tol : float
        Relative accuracy.
    max_iterations : int, optional
        Restarts of the Lanczos iteration; SciPy's default.
    rng : Generator, int or None
        Of the first vector.

    Returns
    -------
    array, shape (k,)
        Descending.

    Raises
    ------
    ValueError
        If no parameter requires a gradient, k is not between 1 and their number, or the loss is not a finite scalar.

    Examples
    --------
    >>> w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> hessian_top(lambda: (torch.tensor([1.0, 5.0, 3.0]) * w**2).sum() / 2, [w], k=2).round(4)
    array([5., 3.])
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    held = [p for p in params if p.requires_grad]
    size = sum(p.numel() for p in held)
    if not held:
        raise ValueError("params holds no tensor that requires a gradient")
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= size:
        raise ValueError(f"k must be a whole number between 1 and the {size} parameters, got {k!r}")
    loss = loss_fn()
    if loss.numel() != 1 or not bool(torch.isfinite(loss)):
        raise ValueError(f"loss_fn must return one finite number, got {loss.detach()!r}")
    gradient = torch.autograd.grad(loss, held, create_graph=True, materialize_grads=True)

    def product(v: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        parts = _split(torch.as_tensor(np.ascontiguousarray(v).reshape(-1)), held)
        pairs = [(g, p) for g, p in zip(gradient, parts) if g.requires_grad]
        if not pairs:  # a loss that is linear in the parameters
            return np.zeros(size)
        out = torch.autograd.grad(
            [g for g, _ in pairs], held, [p for _, p in pairs], retain_graph=True, materialize_grads=True
        )
        return np.concatenate([h.detach().double().cpu().numpy().ravel() for h in out])

    if size <= 2 * k + 1:  # too small for Lanczos
        matrix = np.stack([product(e) for e in np.eye(size)])
        return np.asarray(np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1][:k])
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = np.random.default_rng(rng).standard_normal(size)
    found = eigsh(operator, k=k, which="LA", v0=start, tol=tol, maxiter=max_iterations, return_eigenvectors=False)
    return np.sort(np.asarray(found))[::-1]


def loss_on_segment(
    loss_fn: Callable[[], Tensor],
    params: Iterable[Tensor],
    start: Sequence[Tensor],
    end: Sequence[Tensor],
    t: npt.ArrayLike = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
) -> npt.NDArray[np.float64]:
    """Return the loss at (1 - t) start + t end: a barrier in between says that the two minima are apart.

    Parameters
    ----------
    loss_fn : callable
        Returns the loss for the present values of `params`.
    params : iterable of tensors
        Put back to what they were.
    start, end : sequences of tensors
        Values of each parameter at both ends.
    t : array, shape (T,)

    Raises
    ------
    ValueError
        If the ends do not fit the parameters.

    Examples
    --------
    >>> w = torch.zeros(1)
    >>> loss_on_segment(lambda: (w**2).sum(), [w], [torch.tensor([-1.0])], [torch.tensor([1.0])], [0, 0.5, 1])
    array([1., 0., 1.])
    """
    held = list(params)
    for name, values in (("start", start), ("end", end)):
        if [tuple(v.shape) for v in values] != [tuple(p.shape) for p in held]:
            raise ValueError(f"{name} does not hold a tensor of the same shape for each parameter")
    before = [p.detach().clone() for p in held]
    out = []
    try:
        with torch.no_grad():
            for share in np.asarray(t, dtype=np.float64).ravel():
                for p, a, b in zip(held, start, end):
                    p.copy_((1 - share) * a + share * b)
                out.append(float(loss_fn()))
    finally:
        with torch.no_grad():
            for p, old in zip(held, before):
                p.copy_(old)
    return np.array(out)


def _split(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts = torch.split(flat, [p.numel() for p in like])
    return [part.reshape(p.shape).to(p) for part, p in zip(parts, like)]
