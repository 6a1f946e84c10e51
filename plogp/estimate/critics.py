"""Critics: functions of two batches that score every pair, ``S[i, j] = T(x_i, y_j)``, the diagonal being the joint.

`ConditionalGaussian` and `ConditionalMixture` score by a conditional density, ``log q(y_j | x_i)``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from plogp.estimate.training import MLP, linear
from plogp.estimate.training import generator as fresh

__all__ = ["Bilinear", "Concatenated", "ConditionalGaussian", "ConditionalMixture", "Critic", "Separable"]

#: Bytes that the hidden units of one block of pairs may take.
PAIR_BYTES = 64 * 2**20
LOG_TWO_PI = math.log(2 * math.pi)


class Critic(nn.Module, ABC):
    """What every critic does: score all pairs of two batches, or the pairs of equal position only."""

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores of all pairs, shape (n, m), of x (n, d_x) and y (m, d_y)."""

    @abstractmethod
    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores T(x_i, y_i), shape (n,): the diagonal of `forward`, without the rest."""


def _check(name: str, x: Tensor, d: int) -> None:
    if x.ndim != 2 or x.shape[1] != d:
        raise ValueError(f"{name} must have shape (n, {d}), got {tuple(x.shape)}")


class Separable(Critic):
    """A critic that is an inner product of two embeddings, ``T(x, y) = g(x)·h(y)``.

    n + m network passes score n·m pairs. `embed` bounds the rank of the log-ratio that it can hold.

    Parameters
    ----------
    d_x, d_y : int
        Columns of x and y.
    width, embed, depth : int
        Hidden units, columns of the embeddings, hidden layers.
    activation : callable
        Makes the activation module.
    generator : torch.Generator, optional
        Of the first weights.

    Examples
    --------
    >>> critic = Separable(3, 2, width=16, embed=4)
    >>> critic(torch.zeros(5, 3), torch.zeros(7, 2)).shape
    torch.Size([5, 7])
    """

    def __init__(
        self,
        d_x: int,
        d_y: int,
        width: int = 256,
        embed: int = 32,
        depth: int = 2,
        *,
        activation: Callable[[], nn.Module] = nn.ReLU,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        g = generator if generator is not None else fresh()
        self.g = MLP(d_x, width, embed, depth, activation, generator=g)
        self.h = MLP(d_y, width, embed, depth, activation, generator=g)
        self.d_x, self.d_y = d_x, d_y

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        _check("x", x, self.d_x)
        _check("y", y, self.d_y)
        return self.g(x) @ self.h(y).T

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        _check("x", x, self.d_x)
        _check("y", y, self.d_y)
        return (self.g(x) * self.h(y)).sum(dim=1)


class Bilinear(Critic):
    """The critic ``T(x, y) = xᵀ W y``, of x and y themselves or of their images under two given modules.

    Without such modules (they are part of the critic, and trained with it) it holds no term in x or y alone, so that
    even for normal variables only bounds that do not need such terms (InfoNCE's in x) can become tight.

    Parameters
    ----------
    d_x, d_y : int
        Columns of x and y (of their images, where modules are given).
    of_x, of_y : torch.nn.Module, optional
    generator : torch.Generator, optional

    Examples
    --------
    >>> critic = Bilinear(3, 2)
    >>> x, y = torch.ones(4, 3), torch.ones(4, 2)
    >>> bool(torch.allclose(critic(x, y).diagonal(), critic.pairs(x, y)))
    True
    """

    def __init__(
        self,
        d_x: int,
        d_y: int,
        *,
        of_x: nn.Module | None = None,
        of_y: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.of_x = nn.Identity() if of_x is None else of_x
        self.of_y = nn.Identity() if of_y is None else of_y
        g = generator if generator is not None else fresh()
        self.weight = nn.Parameter(torch.randn(d_x, d_y, generator=g, device=g.device) / math.sqrt(d_x * d_y))

    def _images(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.of_x(x), self.of_y(y)
        _check("x", x, self.weight.shape[0])
        _check("y", y, self.weight.shape[1])
        return x, y

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = self._images(x, y)
        return x @ self.weight @ y.T

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = self._images(x, y)
        return ((x @ self.weight) * y).sum(dim=1)


class Concatenated(Critic):
    """A critic that is one network of x and y together, ``T(x, y) = f([x; y])``: the most general, the most costly.

    The first layer is a sum, ``W [x; y] = W_x x + W_y y``, so it is computed once for each x and once for each y;
    the n·m pairs go through the other layers in blocks of rows. When gradients are needed and all blocks together
    would hold more than 64 MiB a hidden layer, each block is computed again on the way back instead of being held.

    Parameters
    ----------
    d_x, d_y : int
        Columns of x and y.
    width, depth : int
        Hidden units and hidden layers.
    activation : callable
    generator : torch.Generator, optional

    Examples
    --------
    >>> critic = Concatenated(3, 2, width=16)
    >>> x, y = torch.ones(4, 3), torch.ones(4, 2)
    >>> critic(x, y).shape, bool(torch.allclose(critic(x, y).diagonal(), critic.pairs(x, y)))
    (torch.Size([4, 4]), True)
    """

    def __init__(
        self,
        d_x: int,
        d_y: int,
        width: int = 256,
        depth: int = 2,
        *,
        activation: Callable[[], nn.Module] = nn.ReLU,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        g = generator if generator is not None else fresh()
        self.first = linear(d_x + d_y, width, g)
        layers: list[nn.Module] = [activation()]
        for _ in range(depth - 1):
            layers += [linear(width, width, g), activation()]
        self.rest = nn.Sequential(*layers, linear(width, 1, g))
        self.d_x, self.d_y, self.width = d_x, d_y, width

    def _halves(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        _check("x", x, self.d_x)
        _check("y", y, self.d_y)
        of_x, of_y = self.first.weight.split([self.d_x, self.d_y], dim=1)
        return nn.functional.linear(x, of_x, self.first.bias), nn.functional.linear(y, of_y)

    def _block(self, a: Tensor, b: Tensor) -> Tensor:
        return self.rest(a[:, None] + b[None]).squeeze(-1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = self._halves(x, y)
        rows = max(1, PAIR_BYTES // (a.element_size() * self.width * max(len(b), 1)))
        if rows >= len(a):
            return self._block(a, b)
        blocks = a.split(rows)
        if torch.is_grad_enabled() and a.requires_grad:
            again = [checkpoint(self._block, p, b, use_reentrant=False, preserve_rng_state=False) for p in blocks]
            return torch.cat(again)
        return torch.cat([self._block(p, b) for p in blocks])

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = self._halves(x, y)
        return self.rest(a + b).squeeze(-1)

    def shifted(self, x: Tensor, y: Tensor, shifts: int) -> Tensor:
        """Return the scores T(x_i, y_{i+s}), s = 1...shifts (positions modulo n), shape (shifts, n).

        Pairs of independent rows for a mini-batch, at the cost of `shifts` passes instead of n.
        """
        a, b = self._halves(x, y)
        moved = torch.stack([b.roll(-s, dims=0) for s in range(1, shifts + 1)])
        return self.rest(a[None] + moved).squeeze(-1)


class ConditionalDensity(Critic):
    """A critic that is a conditional log density: ``S[i, j] = log q(y_j | x_i)``."""

    @abstractmethod
    def parameters_of(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters of q(· | x_i), each with n rows."""

    @abstractmethod
    def density(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """Return log q of y (broadcast against the parameters' rows)."""

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        return self.density(y, *self.parameters_of(x))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        parameters = self.parameters_of(x)
        size = max(1, PAIR_BYTES // (y.element_size() * max(p[0].numel() for p in parameters) * max(len(y), 1)))
        parts = zip(*(p.split(size) for p in parameters))
        return torch.cat([self.density(y[None], *(p[:, None] for p in part)) for part in parts])


class ConditionalGaussian(ConditionalDensity):
    r"""The critic ``S[i, j] = log N(y_j; μ(x_i), diag σ(x_i)²)``: a known conditional density, or a learned one.

    .. math:: \log q(y | x) = -\tfrac12 \sum_k \Big[ \frac{(y_k - \mu_k(x))^2}{\sigma_k(x)^2} +
        2 \log \sigma_k(x) + \log 2\pi \Big]

    Parameters
    ----------
    d_x, d_y : int
        Columns of x and y.
    width, depth : int
        Of the network that gives what `mean` and `sd` do not.
    mean : callable, optional
        ``mean(x)`` of shape (n, d_y), where it is known.
    sd : float, tensor or callable, optional
        A number, d_y numbers, or ``sd(x)`` of shape (n, d_y) or (n, 1), where it is known.
    activation, generator
        As in `Separable`.

    Examples
    --------
    The channel y = x + noise of standard deviation 1/2:

    >>> channel = ConditionalGaussian(1, 1, mean=lambda x: x, sd=0.5)
    >>> channel.pairs(torch.tensor([[1.0]]), torch.tensor([[1.0]])).round(decimals=4)
    tensor([-0.2258])
    """

    #: Least and largest log standard deviation that a network gives, in units of the data's own.
    LOG_SD = (-12.0, 12.0)

    def __init__(
        self,
        d_x: int,
        d_y: int,
        width: int = 256,
        depth: int = 2,
        *,
        mean: Callable[[Tensor], Tensor] | None = None,
        sd: float | Tensor | Callable[[Tensor], Tensor] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.d_x, self.d_y, self.mean = d_x, d_y, mean
        if sd is not None and not callable(sd):
            fixed = torch.as_tensor(sd, dtype=torch.get_default_dtype() if not isinstance(sd, Tensor) else sd.dtype)
            if fixed.ndim > 1 or fixed.numel() not in (1, d_y) or not bool((fixed > 0).all()):
                raise ValueError(f"sd must be one positive number or {d_y} of them, got {sd!r}")
            self.register_buffer("fixed", fixed.reshape(-1))
            sd = None
        else:
            self.register_buffer("fixed", None)
        self.sd = sd
        missing = d_y * ((mean is None) + (sd is None and self.fixed is None))
        self.net = MLP(d_x, width, missing, depth, activation, generator=generator) if missing else None

    def parameters_of(self, x: Tensor) -> tuple[Tensor, ...]:
        _check("x", x, self.d_x)
        learned: tuple[Tensor, ...] = () if self.net is None else self.net(x).split(self.d_y, dim=1)
        mean = learned[0] if self.mean is None else self.mean(x)
        if mean.shape != (len(x), self.d_y):
            raise ValueError(f"mean(x) must have shape ({len(x)}, {self.d_y}), got {tuple(mean.shape)}")
        if self.fixed is not None:
            log_sd = self.fixed.to(mean.dtype).log().expand(len(x), self.d_y)
        elif self.sd is not None:
            log_sd = self.sd(x).log().expand(len(x), self.d_y)
        else:
            log_sd = learned[-1].clamp(*self.LOG_SD)
        return mean, log_sd

    def density(self, y: Tensor, *parameters: Tensor) -> Tensor:
        mean, log_sd = parameters
        z = (y - mean) * torch.exp(-log_sd)
        return -0.5 * (z * z + 2 * log_sd + LOG_TWO_PI).sum(dim=-1)


class ConditionalMixture(ConditionalDensity):
    r"""The critic ``S[i, j] = log q(y_j | x_i)`` with q a mixture of products of normal or logistic densities.

    .. math:: q(y | x) = \sum_c \pi_c(x) \prod_k q_c(y_k; \mu_{ck}(x), s_{ck}(x))

    With ``d_x = 0`` it is a density of y alone, without a network.

    Parameters
    ----------
    d_x, d_y : int
        Columns of x (0: none) and y.
    components : int
    family : {"gaussian", "logistic"}
    width, depth, activation, generator
        As in `Separable`.

    Examples
    --------
    >>> q = ConditionalMixture(0, 2, components=3)
    >>> q.pairs(torch.zeros(5, 0), torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    FAMILIES = ("gaussian", "logistic")

    def __init__(
        self,
        d_x: int,
        d_y: int,
        components: int = 8,
        family: str = "gaussian",
        width: int = 256,
        depth: int = 2,
        *,
        activation: Callable[[], nn.Module] = nn.ReLU,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if family not in self.FAMILIES:
            raise ValueError(f"family must be one of {', '.join(map(repr, self.FAMILIES))}, got {family!r}")
        if components < 1:
            raise ValueError(f"components must be at least 1, got {components}")
        self.d_x, self.d_y, self.components, self.family = d_x, d_y, components, family
        g = generator if generator is not None else fresh()
        # The components start apart, over the bulk of standardised data.
        start = torch.cat(
            [
                torch.zeros(components),
                torch.randn(components * d_y, generator=g, device=g.device).cpu() * (components > 1),
                torch.zeros(components * d_y),
            ]
        )
        self.start = nn.Parameter(start)
        self.net = MLP(d_x, width, len(start), depth, activation, generator=g) if d_x else None

    def parameters_of(self, x: Tensor) -> tuple[Tensor, ...]:
        _check("x", x, self.d_x)
        raw = self.start.expand(len(x), -1)
        if self.net is not None:
            raw = raw + self.net(x)
        c, d = self.components, self.d_y
        logits, mean, log_sd = raw.split([c, c * d, c * d], dim=1)
        low, high = ConditionalGaussian.LOG_SD
        shape = (len(x), c, d)
        return torch.log_softmax(logits, dim=1), mean.reshape(shape), log_sd.reshape(shape).clamp(low, high)

    def density(self, y: Tensor, *parameters: Tensor) -> Tensor:
        log_share, mean, log_sd = parameters
        z = (y[..., None, :] - mean) * torch.exp(-log_sd)
        if self.family == "gaussian":
            each = -0.5 * (z * z + LOG_TWO_PI) - log_sd
        else:
            each = -z - 2 * nn.functional.softplus(-z) - log_sd
        return torch.logsumexp(log_share + each.sum(dim=-1), dim=-1)


def as_critic(critic: str | nn.Module, d_x: int, d_y: int, generator: torch.Generator, **options: Any) -> nn.Module:
    """Return a critic by name with its options, or the module given."""
    kinds: dict[str, Callable[..., nn.Module]] = {
        "separable": Separable,
        "concatenated": Concatenated,
        "bilinear": Bilinear,
    }
    if isinstance(critic, nn.Module):
        return critic
    if critic not in kinds:
        raise ValueError(f"critic must be one of {', '.join(map(repr, kinds))} or a module, got {critic!r}")
    return kinds[critic](d_x, d_y, generator=generator, **options)
