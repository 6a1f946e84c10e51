"""Maximum manifold capacity representations: the nuclear norm of the centroids of views as a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plogp.losses.embeddings import as_embeddings, gathered, unit_rows
from plogp.spectra.spectrum import Spectrum

__all__ = ["MMCR", "mmcr", "nuclear_norm"]

LAYOUTS = ("(b k) d", "(k b) d")


def nuclear_norm(matrix: Tensor, smooth: float = 0.0) -> Tensor:
    r"""Sum of the singular values of the last two axes, with a gradient that is finite for every matrix.

    .. math:: \|C\|_* = \mathrm{tr}\,(C^\top C)^{1/2}, \qquad \nabla \|C\|_* = U V^\top

    Parameters
    ----------
    matrix : tensor, shape (..., m, n)
    smooth : float
        s in Σ √(σ² + s) over the min(m, n) singular values, which is smooth where the norm has edges (σ = 0).

    Returns
    -------
    tensor, shape (...)
        Singular values below rounding count as 0 and get no gradient, so at smooth = 0 the gradient is the polar
        factor (the least subgradient), also where values repeat.

    Examples
    --------
    >>> c = torch.zeros(3, 2, requires_grad=True)
    >>> nuclear_norm(c).backward()                       # the norm has an edge here; the gradient is 0, not NaN
    >>> float(nuclear_norm(torch.eye(4)).detach()), bool((c.grad == 0).all())
    (4.0, True)
    """
    spectrum = Spectrum.singular(matrix)
    return torch.sqrt(spectrum.values**2 + smooth).sum(dim=-1) if smooth > 0 else spectrum.nuclear


def mmcr(
    z: Tensor,
    n_views: int,
    *,
    lmbda: float = 0.0,
    smooth: float = 0.0,
    layout: str = "(b k) d",
    z_momentum: Tensor | None = None,
    gather: str | None = "local",
) -> Tensor:
    """Maximum manifold capacity loss of a batch of views; `MMCR` documents it.

    >>> z = torch.eye(3).repeat_interleave(2, dim=0)      # three images, two identical views each
    >>> float(mmcr(z, n_views=2))                         # orthonormal centroids reach the bound -B
    -3.0
    """
    z, dtype = as_embeddings(z)
    views = _views(z, n_views, layout, "z", gather)
    centroids = views.mean(dim=1)
    if z_momentum is not None:
        other, _ = as_embeddings(z_momentum, "z_momentum")
        if other.shape[-1] != z.shape[-1] or len(other) * n_views % len(z):
            shapes = f"{tuple(other.shape)} and {tuple(z.shape)}"
            raise ValueError(f"z_momentum must hold the images of z in the same space, got shapes {shapes}")
        slow = _views(other, len(other) * n_views // len(z), layout, "z_momentum", gather)
        centroids = (centroids + slow.mean(dim=1).detach().to(centroids.dtype)) / 2
    loss = -nuclear_norm(centroids, smooth)
    if lmbda != 0:
        loss = loss + lmbda * nuclear_norm(views, smooth).mean()
    return loss.to(dtype)


def _views(z: Tensor, k: int, layout: str, name: str, gather: str | None) -> Tensor:
    """Unit rows as (images, views, d)."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {LAYOUTS}, got {layout!r}")
    if k < 1 or len(z) % k:
        raise ValueError(f"{name} has {len(z)} rows, which is no multiple of n_views={k}")
    rows = unit_rows(z, name)
    views = rows.reshape(-1, k, z.shape[1]) if layout == LAYOUTS[0] else rows.reshape(k, -1, z.shape[1]).transpose(0, 1)
    return views if gather is None else gathered(views, gather)


class MMCR(nn.Module):
    r"""Maximum manifold capacity representations: few, far-apart directions for the views of each image.

    .. math:: L = -\|C\|_* + \frac{\lambda}{B} \sum_b \|Z_b\|_*, \qquad c_b = \frac1K \sum_k z_{bk}

    with rows z scaled to unit length, C the B x d matrix of centroids (not scaled again) and Z_b the K views of
    image b. The first term rewards both: views that agree (long centroids) and centroids that are orthogonal. It
    lies between -√(min(B, d) B) and 0; the lower bound is reached by identical views whose centroids are
    orthonormal (B <= d: -B) or a tight frame (B > d: -√(B d)).

    Suitable for self-supervised learning with two and more views and no negatives or memory; batches should be
    larger than d for the frame to be spread.

    Parameters
    ----------
    n_views : int
        K, views of each image.
    lmbda : float
        λ, weight of the mean nuclear norm within images. 0 in most of the paper: the first term already shrinks
        the images' manifolds.
    smooth : float
        s in Σ √(σ² + s) for σ: 0 is the norm itself, with its polar factor as gradient (finite everywhere).
    gather : {"local", "all", None}
        What happens when ``torch.distributed`` is initialised: all ranks' images enter the loss and the gradient
        reaches this rank's rows from its own loss (``"local"``, as the authors train; under
        DistributedDataParallel that divides the gradient by the number of ranks) or from every rank's (``"all"``,
        exact). None: each rank by itself.

    Shape
    -----
    ``forward(z, layout="(b k) d", z_momentum=None)``: z (B K, d), the views of an image adjacent, or, with
    ``"(k b) d"``, first view of all images first. `z_momentum` holds embeddings of the same images by a momentum
    encoder; its centroids are averaged with the online ones and have no gradient. Returns a scalar, not averaged
    over images, in the dtype of z.

    Raises
    ------
    TypeError, ValueError
        For other than floating tensors (n, d), rows that are no multiple of n_views, NaN.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> images = torch.randn(32, 1, 16, generator=g)
    >>> z = (images + 0.1 * torch.randn(32, 4, 16, generator=g)).reshape(128, 16).requires_grad_()
    >>> loss = MMCR(n_views=4)(z)
    >>> loss.backward()
    >>> -(32 * 16) ** 0.5 < loss.item() < 0
    True

    Notes
    -----
    T. Yerxa, Y. Kuang, E. Simoncelli and S. Chung, NeurIPS 2023, arXiv 2303.03307. The bound follows from
    ‖C‖_* <= √rank ‖C‖_F.
    """

    def __init__(self, n_views: int, lmbda: float = 0.0, smooth: float = 0.0, gather: str | None = "local"):
        super().__init__()
        if n_views < 1:
            raise ValueError(f"n_views must be at least 1, got {n_views}")
        if smooth < 0:
            raise ValueError(f"smooth must be >= 0, got {smooth}")
        self.n_views, self.lmbda, self.smooth, self.gather = int(n_views), float(lmbda), float(smooth), gather

    def forward(self, z: Tensor, layout: str = "(b k) d", z_momentum: Tensor | None = None) -> Tensor:
        """Return the loss of the embeddings `z`."""
        return mmcr(
            z,
            self.n_views,
            lmbda=self.lmbda,
            smooth=self.smooth,
            layout=layout,
            z_momentum=z_momentum,
            gather=self.gather,
        )

    def extra_repr(self) -> str:
        return f"n_views={self.n_views}, lmbda={self.lmbda}, smooth={self.smooth}, gather={self.gather!r}"
