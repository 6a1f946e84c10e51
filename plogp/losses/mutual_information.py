"""Mutual information between two batches as a loss: contrastive objectives, and a regulariser of either sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from plogp.estimate.variational import KINDS, bound
from plogp.losses.embeddings import HALF, as_embeddings

__all__ = ["NWJ", "InfoNCE", "KPair", "MutualInformation", "clip_to", "info_nce", "k_pair", "nwj"]

Critic = Callable[[Tensor, Tensor], Tensor]


def info_nce(S: Tensor, *, symmetric: bool = False, log_k: bool = True) -> Tensor:
    """Minus the InfoNCE bound of scores of all pairs, shape (k, k), the diagonal the true ones.

    >>> S = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    >>> round(float(info_nce(S)), 4), round(float(info_nce(S, log_k=False)), 4)
    (-0.5662, 0.1269)
    """
    S, dtype = _scores(S)
    loss = -bound(S, "infonce").objective
    if symmetric:
        loss = (loss - bound(S.T, "infonce").objective) / 2
    return (loss if log_k else loss + math.log(len(S))).to(dtype)


def nwj(S: Tensor) -> Tensor:
    """Minus the NWJ bound ``mean S_ii - mean exp(S_ij - 1)`` (i ≠ j) of scores of all pairs, shape (k, k).

    >>> round(float(nwj(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))), 4)        # -(2 - 1/e)
    -1.6321
    """
    S, dtype = _scores(S)
    return (-bound(S, "nwj").objective).to(dtype)


def k_pair(S: Tensor) -> Tensor:
    r"""Multi-class K-pair loss, the mean of ``log(1 + Σ_{j≠i} exp(S_ij - S_ii))``, of scores of shape (k, k).

    >>> S = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    >>> round(float(k_pair(S) - info_nce(S)), 4) == round(math.log(2), 4)
    True
    """
    S, dtype = _scores(S)
    return torch.logsumexp(S - S.diagonal()[:, None], dim=1).mean().to(dtype)


def _scores(S: Tensor) -> tuple[Tensor, torch.dtype]:
    S, dtype = as_embeddings(S, "S", rows=2)
    if S.shape[0] != S.shape[1]:
        raise ValueError(f"S must hold the scores of all pairs, shape (k, k) with k >= 2, got {tuple(S.shape)}")
    return S, dtype


def _check_pair(x: Tensor, y: Tensor) -> None:
    """Half precision is left to the critic, so that its layers see the dtype they have."""
    for name, z in (("x", x), ("y", y)):
        as_embeddings(z, name, rows=2)
    if len(x) != len(y):
        raise ValueError(f"x and y must be paired row by row, got {len(x)} and {len(y)} rows")


class _Contrastive(nn.Module):
    """A loss of a critic's scores; a critic that is a module is part of it, and trained with it."""

    def __init__(self, critic: Critic):
        super().__init__()
        if not callable(critic):
            raise TypeError(f"critic must be called as critic(x, y) -> (k, k), got {type(critic).__name__}")
        self.critic = critic

    def _score(self, x: Tensor, y: Tensor) -> Tensor:
        S = self.critic(x, y)
        if S.shape != (len(x), len(y)):
            raise ValueError(f"the critic must give the scores of all pairs, {(len(x), len(y))}, got {tuple(S.shape)}")
        return S


class InfoNCE(_Contrastive):
    r"""InfoNCE: each row of x is to find its own row of y among all of the batch.

    .. math:: L = -\frac1K \sum_i \log \frac{e^{f(x_i, y_i)}}{\frac1K \sum_j e^{f(x_i, y_j)}} \ge -\log K

    Its negative is a lower bound on I(X; Y) in expectation, if the other rows are independent of the pair. It cannot
    exceed log K, and a tighter bound is not a better representation (see the claims of the source).

    Parameters
    ----------
    critic : Module or callable
        ``critic(x, y) -> (K, K)``: `plogp.estimate.Bilinear`, `Separable`, `Concatenated`, or a similarity such as
        ``lambda x, y: normalize(x) @ normalize(y).T / 0.1``.
    symmetric : bool
        Average with the loss of finding x among the x's from y.
    log_k : bool
        False: the plain cross-entropy, log K larger, never negative (equal to `KPair`).

    Shape
    -----
    ``forward(x, y)``: paired rows (K, d_x) and (K, d_y); returns a scalar in nats, in the dtype of the scores.

    Raises
    ------
    TypeError, ValueError
        For other than floating tensors (K, d), unequal K, K < 2, NaN.

    Examples
    --------
    >>> from plogp.estimate import Bilinear
    >>> x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    >>> loss = InfoNCE(Bilinear(4, 4))
    >>> loss(x, x).backward()
    >>> loss.critic.weight.grad is not None
    True

    Notes
    -----
    A. van den Oord, Y. Li and O. Vinyals, 2018, arXiv 1807.03748; M. Tschannen, J. Djolonga, P. Rubenstein, S. Gelly
    and M. Lucic, ICLR 2020, arXiv 1907.13625.
    """

    def __init__(self, critic: Critic, symmetric: bool = False, log_k: bool = True):
        super().__init__(critic)
        self.symmetric, self.log_k = bool(symmetric), bool(log_k)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return minus the bound (plus log K)."""
        _check_pair(x, y)
        return info_nce(self._score(x, y), symmetric=self.symmetric, log_k=self.log_k)

    def extra_repr(self) -> str:
        return f"symmetric={self.symmetric}, log_k={self.log_k}"


class NWJ(_Contrastive):
    r"""Minus the NWJ bound on mutual information, ``-E f + E exp(f - 1)`` over true pairs and all others.

    Not limited by log K, at the price of a variance that grows as e^I / K.

    Parameters
    ----------
    critic : Module or callable
        ``critic(x, y) -> (K, K)``.

    Shape
    -----
    ``forward(x, y)``: paired rows (K, d_x) and (K, d_y); returns a scalar in nats.

    Examples
    --------
    >>> from plogp.estimate import Separable
    >>> x = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    >>> NWJ(Separable(3, 3, width=16, embed=4))(x, x).shape
    torch.Size([])

    Notes
    -----
    X. Nguyen, M. Wainwright and M. Jordan, IEEE Transactions on Information Theory 56, 2010; M. Tschannen et al.,
    ICLR 2020, arXiv 1907.13625.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return minus the bound."""
        _check_pair(x, y)
        return nwj(self._score(x, y))


class KPair(_Contrastive):
    r"""Multi-class K-pair loss ``mean_i log(1 + Σ_{j≠i} exp(f(x_i, y_j) - f(x_i, y_i)))``.

    Exactly log K minus the InfoNCE bound: metric learning and information maximisation are the same objective here. As
    information it may only be read if the negatives are independent of the positives (not mined).

    Parameters
    ----------
    critic : Module or callable
        ``critic(x, y) -> (K, K)``.

    Shape
    -----
    ``forward(x, y)``: paired rows (K, d_x) and (K, d_y); returns a scalar >= 0 in nats.

    Examples
    --------
    >>> x = torch.eye(4)
    >>> float(KPair(lambda a, b: 100 * a @ b.T)(x, x))
    0.0

    Notes
    -----
    K. Sohn, NeurIPS 2016; M. Tschannen et al., ICLR 2020, arXiv 1907.13625.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss."""
        _check_pair(x, y)
        return k_pair(self._score(x, y))


class MutualInformation(_Contrastive):
    r"""Mutual information of two batches as a regulariser: rewarded (sign +1) or penalised (sign -1).

    The critic always climbs the bound; x and y, and with them the model that made them, climb it with ``sign=1`` and
    descend it with ``sign=-1``, in one backward pass (their gradient is turned round behind the critic). The number
    returned is ``-sign * coef * I``, so that it adds to a loss.

    Suitable for keeping information (a generator's code, a representation's input) or removing it (a nuisance, a
    bottleneck). Give the critic's parameters to the optimiser too, with a learning rate of their own if need be.

    Parameters
    ----------
    critic : Module or callable
        ``critic(x, y) -> (n, n)``.
    sign : {+1, -1}
        Whether information is rewarded or penalised.
    kind : str
        Bound, as `plogp.estimate.bound` names them: "mine" (with its moving average), "dv", "nwj", "infonce", "js",
        "smile", "f" ...
    coef : float
        Weight for the model; the critic's own gradient is not scaled by it.
    **options
        Of the bound: ``divergence``, ``tau``, ``alpha``, ``rate``.

    Attributes
    ----------
    value : tensor or None
        The last batch's estimate in nats, without gradient.

    Shape
    -----
    ``forward(x, y)``: paired rows (n, d_x) and (n, d_y); returns a scalar in the dtype of x.

    Raises
    ------
    TypeError, ValueError
        For an unknown kind, other than floating tensors of paired rows, NaN.

    Examples
    --------
    >>> from plogp.estimate import Separable
    >>> x = torch.randn(128, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    >>> penalty = MutualInformation(Separable(2, 2, width=32, embed=8), sign=-1, coef=0.1)
    >>> term = penalty(x, x.detach())
    >>> term.backward()
    >>> bool(torch.isclose(term.detach(), 0.1 * penalty.value.float())), x.grad.shape
    (True, torch.Size([128, 2]))

    Notes
    -----
    M. Belghazi et al., ICML 2018, arXiv 1801.04062.
    """

    def __init__(self, critic: Critic, sign: int = 1, kind: str = "mine", *, coef: float = 1.0, **options: Any):
        super().__init__(critic)
        if sign not in (1, -1):
            raise ValueError(f"sign must be +1 (reward information) or -1 (penalise it), got {sign!r}")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
        if not coef > 0:
            raise ValueError(f"coef must be positive (sign= says which way), got {coef!r}")
        unknown = set(options) - {"divergence", "tau", "alpha", "rate"}
        if unknown:
            raise TypeError(f"unknown options {sorted(unknown)}; a bound takes divergence, tau, alpha and rate")
        self.sign, self.kind, self.coef, self.options = int(sign), kind, float(coef), options
        self.state: dict[str, Any] = {}
        self.value: Tensor | None = None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return -sign * coef times the information, with the gradients that the class describes."""
        _check_pair(x, y)
        factor = self.sign * self.coef
        S = self._score(_scaled_gradient(x, factor), _scaled_gradient(y, factor))
        state = self.state if self.training else dict(self.state)
        objective, self.value = bound(S, self.kind, state=state if self.kind == "mine" else None, **self.options)
        term = -objective
        reported = (-factor * self.value).to(term)
        return (term - term.detach() + reported).to(x.dtype)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the moving average of kind "mine", for `state_dict`."""
        return dict(self.state)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the moving average."""
        self.state = dict(state)

    def extra_repr(self) -> str:
        return f"sign={self.sign:+d}, kind={self.kind!r}, coef={self.coef}"


def _scaled_gradient(z: Tensor, factor: float) -> Tensor:
    """`z` itself, whose gradient is multiplied by `factor`."""
    return z.detach() + factor * (z - z.detach())


def clip_to(gradients: Sequence[Tensor | None], reference: Sequence[Tensor | None]) -> list[Tensor | None]:
    r"""Return gradients scaled down so that their common norm is at most that of reference gradients.

    .. math:: g \min(1, \|g_{ref}\| / \|g\|)

    The adaptive clipping of MINE: the gradient of the information may not drown that of the main loss, however
    large it becomes (information is not bounded).

    Parameters
    ----------
    gradients : sequence of tensor or None
        Of the information term, one for each parameter, as `torch.autograd.grad` gives them.
    reference : sequence of tensor or None
        Of the main loss.

    Raises
    ------
    ValueError
        If one of the norms is not finite.

    Examples
    --------
    >>> weight = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> main, information = weight.sum(), 100 * weight.sum()
    >>> of_main = torch.autograd.grad(main, [weight])
    >>> of_information = clip_to(torch.autograd.grad(information, [weight]), of_main)
    >>> weight.grad = of_main[0] + of_information[0]
    >>> weight.grad
    tensor([2., 2.])

    Notes
    -----
    M. Belghazi et al., ICML 2018, arXiv 1801.04062.
    """
    own, limit = _norm(gradients, "gradients"), _norm(reference, "reference")
    if own is None or own == 0:
        return list(gradients)
    scale = torch.zeros_like(own) if limit is None else torch.clamp(limit.to(own.device) / own, max=1.0)
    return [None if g is None else g * scale.to(g) for g in gradients]


def _norm(group: Sequence[Tensor | None], name: str) -> Tensor | None:
    held = [g.detach() for g in group if g is not None]
    if not held:
        return None
    norms = [torch.linalg.vector_norm(g.float() if g.dtype in HALF else g) for g in held]
    norm = torch.linalg.vector_norm(torch.stack([n.to(norms[0]) for n in norms]))
    if not torch.isfinite(norm):
        raise ValueError(f"{name} have a norm that is not finite")
    return norm
