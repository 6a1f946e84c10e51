"""Von Neumann entropy of a batch of representations as a regulariser (VNE) and as an objective (I-VNE+)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from plogp.losses.embeddings import as_embeddings, as_views, unit_rows
from plogp.spectra.spectrum import Spectrum
from plogp.trace.hooks import capture

__all__ = ["IVNE", "VNE", "Regularizer", "ivne", "regularize", "vne"]


def vne(H: Tensor, coef: float) -> Tensor:
    """Von Neumann entropy of representations times -coef; `VNE` documents it.

    >>> round(float(vne(torch.eye(4), coef=1.0)), 6) == -round(math.log(4), 6)
    True
    """
    H, dtype = as_embeddings(H, "H")
    return (-coef * _entropy(H, "H")).to(dtype)


def _entropy(H: Tensor, name: str) -> Tensor:
    # Scaled here, so that the error for a zero row names the argument.
    return Spectrum.autocorrelation(unit_rows(H, name), normalize=None).entropy()


class VNE(nn.Module):
    r"""Von Neumann entropy of the autocorrelation of a batch, as a term to add to a loss.

    .. math:: L = -\alpha\, S, \qquad S = -\sum_i \lambda_i \log \lambda_i, \quad
        \lambda = \mathrm{eig}\left(\tfrac1n \sum_k \frac{h_k h_k^\top}{\|h_k\|^2}\right)

    α > 0 raises the entropy: representations use more directions, evenly and uncorrelated; α < 0 lowers it. S lies
    between 0 (all rows along one line) and log min(n, d), and exp S is at most the rank.

    Suitable for any layer of any model, with batches of 32 rows and more and |α| of 1e-3 to 1e-1. Rows are not
    centred, so a common direction of all rows counts as low entropy.

    Parameters
    ----------
    coef : float
        α. Mind the sign: a positive one rewards entropy.

    Shape
    -----
    ``forward(H)``: H (n, d) of floats; returns a scalar, in nats times α, in the dtype of H (half precision is
    computed in float32).

    Raises
    ------
    TypeError, ValueError
        For other than a floating tensor (n, d), NaN, or zero rows (they have no direction).

    Examples
    --------
    >>> H = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    >>> term = VNE(0.01)(H)
    >>> term.backward()
    >>> -0.01 * math.log(8) < term.item() < 0
    True

    Notes
    -----
    J. Kim, S. Kang, D. Hwang, J. Shin and W. Rhee, CVPR 2023, arXiv 2304.01434.
    """

    def __init__(self, coef: float):
        super().__init__()
        self.coef = float(coef)

    def forward(self, H: Tensor) -> Tensor:
        """Return -coef times the entropy of `H`."""
        return vne(H, self.coef)

    def extra_repr(self) -> str:
        return f"coef={self.coef}"


def ivne(
    views: Tensor | Sequence[Tensor], *, alpha1: float | str = "log_batch", alpha2: float = 1.0, main: int = 2
) -> Tensor:
    """I-VNE+ of the views of a batch; `IVNE` documents it.

    >>> z = torch.eye(4)
    >>> round(float(ivne([z, z])), 4) == round(-2 * math.log(4), 4)      # log 4 for agreement, log 4 for entropy
    True
    """
    found, dtype = as_views(views)
    if not 1 <= main <= len(found):
        raise ValueError(f"main must lie between 1 and the number of views ({len(found)}), got {main}")
    if isinstance(alpha1, str):
        if alpha1 != "log_batch":
            raise ValueError(f"alpha1 must be a number or 'log_batch', got {alpha1!r}")
        alpha1 = math.log(len(found[0]))
    units = [unit_rows(v, f"views[{i}]") for i, v in enumerate(found)]
    cosines = [(a * b).sum(dim=1).mean() for i, a in enumerate(units[:main]) for j, b in enumerate(units) if j != i]
    entropies = [Spectrum.autocorrelation(u, normalize=None).entropy() for u in units]
    return (-alpha1 * torch.stack(cosines).mean() - alpha2 * torch.stack(entropies).mean()).to(dtype)


class IVNE(nn.Module):
    r"""I-VNE+: self-supervised learning by views that agree and representations of high von Neumann entropy.

    .. math:: L = -\alpha_1 \langle \cos(h_i^{(a)}, h_i^{(b)}) \rangle - \alpha_2 \langle S(H^{(a)}) \rangle

    Cosines are averaged over pairs of views (each of the first `main` against all others) and rows, entropies over
    views. Without the second term all rows would collapse onto one direction.

    Parameters
    ----------
    alpha1 : float or "log_batch"
        Weight of agreement; ``"log_batch"`` is the logarithm of the number of rows (4.16 for 64, as published).
    alpha2 : float
        Weight of the entropy.
    main : int
        How many views, from the first on, are compared with all others (the two large crops).

    Shape
    -----
    ``forward(views)``: a list of tensors (n, d), or one (k, n, d); returns a scalar in the views' dtype.

    Raises
    ------
    TypeError, ValueError
        For fewer than two views, unequal shapes, NaN, zero rows.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> z = torch.randn(2, 64, 8, generator=g, requires_grad=True)
    >>> IVNE()(z).backward()
    >>> bool(torch.isfinite(z.grad).all())
    True

    Notes
    -----
    J. Kim, S. Kang, D. Hwang, J. Shin and W. Rhee, CVPR 2023, arXiv 2304.01434.
    """

    def __init__(self, alpha1: float | str = "log_batch", alpha2: float = 1.0, main: int = 2):
        super().__init__()
        if isinstance(alpha1, str) and alpha1 != "log_batch":
            raise ValueError(f"alpha1 must be a number or 'log_batch', got {alpha1!r}")
        self.alpha1, self.alpha2, self.main = alpha1, float(alpha2), int(main)

    def forward(self, views: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the loss of the views."""
        return ivne(views, alpha1=self.alpha1, alpha2=self.alpha2, main=self.main)

    def extra_repr(self) -> str:
        return f"alpha1={self.alpha1!r}, alpha2={self.alpha2}, main={self.main}"


class Regularizer:
    """A hook on layers of a model, whose `term` is what to add to the loss; `regularize` makes one."""

    def __init__(
        self,
        model: nn.Module,
        layer: Any,
        loss: nn.Module,
        where: str = "output",
        mask: Any = None,
        rows: Callable[[Tensor], Tensor] | None = None,
    ):
        self._model, self._loss, self._rows = model, loss, rows
        self._found: list[Tensor] = []
        self._hooks = capture(model, layer, where=where, mask=mask, rows=rows is None, detach=False, reduce=self._keep)
        self._hooks.__enter__()

    def _keep(self, name: str, activations: Tensor) -> None:
        if self._model.training and torch.is_grad_enabled():
            self._found.append(activations if self._rows is None else self._rows(activations))

    @property
    def term(self) -> Tensor:
        """The loss of what the layers gave since it was last read, summed over layers and calls; reading forgets it.

        Raises
        ------
        RuntimeError
            If no layer ran in training mode, with gradients, since then.
        """
        if not self._found:
            raise RuntimeError("nothing to regularise: run the model in training mode, with gradients, before `term`")
        found, self._found = self._found, []
        return torch.stack([self._loss(h) for h in found]).sum()

    def remove(self) -> None:
        """Take the hooks off."""
        self._hooks.__exit__(None, None, None)
        self._found = []

    def __enter__(self) -> Regularizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def regularize(
    model: nn.Module,
    layer: Any,
    loss: nn.Module,
    *,
    where: str = "output",
    mask: Any = None,
    rows: Callable[[Tensor], Tensor] | None = None,
) -> Regularizer:
    """Hook layers of a model so that a loss of their activations can be added to the main loss.

    Parameters
    ----------
    model : torch.nn.Module
    layer : str, module, class, predicate or a sequence of these
        Which layers, as `plogp.trace.hooks.capture` takes them: ``"encoder.layers.*.mlp"``.
    loss : torch.nn.Module
        Takes rows (n, d), gives a scalar: ``VNE(1e-3)``, ``VendiDiversity()``.
    where, mask
        Input or output, and which tokens count, as in `capture`.
    rows : callable, optional
        Turns an activation into rows (n, d). By default leading axes are merged, (batch, tokens, d) to (batch tokens,
        d); for feature maps give ``lambda y: y.mean(dim=(2, 3))``.

    Returns
    -------
    Regularizer
        ``.term`` is the loss of what ran since it was last read (training mode, with gradients); keep it only for
        one step. ``.remove()``, or the end of a ``with`` block, takes the hooks off.

    Raises
    ------
    TypeError, ValueError
        If the model has no such layer.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    >>> with regularize(model, "1", VNE(1e-2)) as entropy:
    ...     loss = model(x).square().mean() + entropy.term
    ...     loss.backward()
    >>> model[0].weight.grad is not None
    True
    """
    return Regularizer(model, layer, loss, where, mask, rows)
