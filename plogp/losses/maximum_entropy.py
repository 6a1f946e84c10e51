"""Effective entropy maximisation (E2MC): even marginals without correlation, from 1-D and 2-D statistics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from plogp.estimate.spacing import m_spacing_entropy
from plogp.losses.embeddings import as_views, gathered

__all__ = ["E2MC", "e2mc", "hypercube_covariance"]

#: Machine epsilon of float32, inside the logarithm of a spacing: tied values have a finite gradient.
TIE_FLOOR = 1.1920929e-07

SQUASH = {"normal_cdf": torch.special.ndtr, "sigmoid": torch.sigmoid}


def hypercube_covariance(u: Tensor) -> Tensor:
    """Sum of the squared covariances of different columns, divided by the number of columns; u (n, d), n >= 2.

    >>> float(hypercube_covariance(torch.tensor([[0.0, 0.0], [1.0, 1.0]])))      # covariance 0.5, twice, halved
    0.25
    """
    centred = u - u.mean(dim=0)
    covariance = centred.T @ centred / (len(u) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / u.shape[1]


def e2mc(
    views: Tensor | Sequence[Tensor],
    *,
    lmbda: float = 10.0,
    beta: float = 1.0,
    squash: str = "normal_cdf",
    m: int | str = "sqrt",
    gather: str | None = "all",
) -> tuple[Tensor, dict[str, Tensor]]:
    """Effective entropy criterion of views of a batch; `E2MC` documents it.

    >>> z = torch.randn(512, 4, generator=torch.Generator().manual_seed(0))
    >>> loss, parts = e2mc([z, z])
    >>> parts["entropy"].item() > -0.1          # normal values are already uniform under the normal CDF
    True
    """
    if squash not in SQUASH:
        raise ValueError(f"squash must be one of {', '.join(map(repr, SQUASH))}, got {squash!r}")
    found, dtype = as_views(views, least=1, rows=2)
    entropies, covariances = [], []
    for view in found:
        u = SQUASH[squash](view if gather is None else gathered(view, gather))
        entropies.append(m_spacing_entropy(u, m, eps=TIE_FLOOR).mean())
        covariances.append(hypercube_covariance(u))
    entropy, covariance = torch.stack(entropies).mean(), torch.stack(covariances).sum()
    loss = beta * covariance - lmbda * entropy
    return loss.to(dtype), {"entropy": entropy.detach(), "covariance": covariance.detach()}


class E2MC(nn.Module):
    r"""Effective entropy maximisation: an add-on that spreads embeddings evenly over a hypercube.

    .. math:: L = \beta \sum_v V(u_v) - \lambda \, \overline{H_j(u_v)}, \qquad
        H_j = \frac{1}{n-m} \sum_i \log\left[\frac{n+1}{m}\left(u_{(i+m)j} - u_{(i)j}\right) + \varepsilon\right],
        \quad V = \frac1d \sum_{i \neq j} \mathrm{Cov}(u)_{ij}^2

    Embeddings are mapped to (0, 1) by the normal CDF (or the sigmoid); the entropy of each coordinate there is at
    most 0, reached by the uniform law, that is by standard normal (logistic) coordinates before the map. Entropies
    are averaged over views and coordinates, the covariance penalty is summed over views. Marginal entropies alone
    do not decorrelate; for few columns the published β = 1 is too weak (V <= (d - 1) / 144 a view for uniform
    marginals): look at ``parts`` and raise it.

    Parameters
    ----------
    lmbda : float
        λ, weight of the entropies.
    beta : float
        β, weight of the covariance penalty.
    squash : {"normal_cdf", "sigmoid"}
        The paper uses the first on SwAV, the second on VICReg.
    m : int or "sqrt"
        Width of the spacings, √n rounded.
    gather : {"all", "local", None}
        Whether all ranks' rows enter when ``torch.distributed`` is initialised, and how gradients return; see
        `plogp.losses.embeddings.gathered`.

    Shape
    -----
    ``forward(views)``: a list of tensors (n, d), not normalised, or one of shape (k, n, d). Returns the scalar loss,
    to be added to the host's, and ``{"entropy": mean H, "covariance": sum of V}`` (nats; without gradient). The
    entropy is biased low by about 1/(2√n): use n of 256 and more.

    Raises
    ------
    TypeError, ValueError
        For other than floating tensors of one shape, fewer than two rows (or too few for m), NaN.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> z = torch.randn(256, 8, generator=g, requires_grad=True)
    >>> loss, parts = E2MC(beta=100.0)([z, z + 0.1])
    >>> loss.backward()
    >>> sorted(parts), bool(torch.isfinite(z.grad).all())
    (['covariance', 'entropy'], True)

    Notes
    -----
    D. Chakraborty, Y. LeCun, T. Rudner and E. Learned-Miller, AISTATS 2025, arXiv 2411.15931.
    """

    def __init__(
        self,
        lmbda: float = 10.0,
        beta: float = 1.0,
        squash: str = "normal_cdf",
        m: int | str = "sqrt",
        gather: str | None = "all",
    ):
        super().__init__()
        if squash not in SQUASH:
            raise ValueError(f"squash must be one of {', '.join(map(repr, SQUASH))}, got {squash!r}")
        self.lmbda, self.beta, self.squash, self.m, self.gather = float(lmbda), float(beta), squash, m, gather

    def forward(self, views: Tensor | Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts."""
        return e2mc(views, lmbda=self.lmbda, beta=self.beta, squash=self.squash, m=self.m, gather=self.gather)

    def extra_repr(self) -> str:
        return f"lmbda={self.lmbda}, beta={self.beta}, squash={self.squash!r}, m={self.m!r}, gather={self.gather!r}"
