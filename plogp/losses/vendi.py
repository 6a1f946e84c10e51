"""The Vendi score of a batch as a loss that rewards diversity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from plogp.losses.embeddings import as_embeddings, unit_rows
from plogp.spectra.spectrum import Spectrum

__all__ = ["VendiDiversity", "vendi_diversity"]

Kernel = Callable[[Tensor], Tensor]


def vendi_diversity(
    z: Tensor, q: float = 1.0, *, coef: float = 1.0, kernel: str | Kernel = "cosine", log: bool = True
) -> Tensor:
    """Minus the (log) Vendi score of rows; `VendiDiversity` documents it.

    >>> round(float(vendi_diversity(torch.eye(5), log=False)), 4)        # five different items
    -5.0
    """
    z, dtype = as_embeddings(z)
    if kernel == "cosine":
        spectrum = Spectrum.autocorrelation(unit_rows(z), normalize=None)
    elif callable(kernel):
        similarity = kernel(z)
        if similarity.shape != (len(z), len(z)):
            raise ValueError(f"kernel must give shape ({len(z)}, {len(z)}), got {tuple(similarity.shape)}")
        spectrum = Spectrum.kernel(similarity)
    else:
        raise ValueError(f"kernel must be 'cosine' or a function of the rows, got {kernel!r}")
    score = spectrum.hill(q)
    return (-coef * (torch.log(score) if log else score)).to(dtype)


class VendiDiversity(nn.Module):
    r"""Minus the logarithm of the Vendi score of a batch: the effective number of different rows, to be raised.

    .. math:: L = -c \log \mathrm{VS}_q = -\frac{c}{1-q} \log \sum_i \lambda_i^q, \qquad
        \lambda = \mathrm{eig}(K / n)

    With the cosine kernel and q = 1 this is VNE with coef = c. Larger q listen to the dominant modes, smaller ones to
    rare items.

    Parameters
    ----------
    q : float
        Order, >= 0; ``inf`` gives 1/λ_max.
    coef : float
        c; negative values reward similarity.
    kernel : "cosine" or callable
        A function from rows (n, d) to a positive semi-definite similarity (n, n) with unit diagonal. The cosine is
        computed in the smaller of n x n and d x d.
    log : bool
        False: minus c times the score itself, between 1 and n, whose gradient grows with the diversity reached.

    Shape
    -----
    ``forward(z)``: z (n, d) of floats; returns a scalar in the dtype of z.

    Raises
    ------
    TypeError, ValueError
        For other than a floating tensor (n, d), NaN, zero rows under the cosine kernel.

    Examples
    --------
    >>> z = torch.randn(32, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    >>> rbf = lambda z: torch.exp(-((z[:, None] - z[None]) ** 2).sum(-1))
    >>> loss = VendiDiversity(q=2, kernel=rbf)(z)
    >>> loss.backward()
    >>> -3.4657 < loss.item() < 0                        # -log 32
    True

    Notes
    -----
    D. Friedman and A. Dieng, TMLR 2023, arXiv 2210.02410; orders q: A. Pasarkar and A. Dieng, 2023, arXiv 2310.12952.
    """

    def __init__(self, q: float = 1.0, *, coef: float = 1.0, kernel: str | Kernel = "cosine", log: bool = True):
        super().__init__()
        if not q >= 0:
            raise ValueError(f"q must be >= 0, got {q!r}")
        if not (kernel == "cosine" or callable(kernel)):
            raise ValueError(f"kernel must be 'cosine' or a function of the rows, got {kernel!r}")
        self.q, self.coef, self.kernel, self.log = float(q), float(coef), kernel, bool(log)

    def forward(self, z: Tensor) -> Tensor:
        """Return the loss of the rows of `z`."""
        return vendi_diversity(z, self.q, coef=self.coef, kernel=self.kernel, log=self.log)

    def extra_repr(self) -> str:
        return f"q={self.q}, coef={self.coef}, kernel={self.kernel!r}, log={self.log}"
