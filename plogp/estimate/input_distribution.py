"""The input of a channel that carries the most information, found by training a generator against TREET's critics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plogp.estimate.attention import Reference, WindowCritic, donsker_varadhan
from plogp.estimate.series import positive
from plogp.estimate.training import MLP, generator, linear
from plogp.measures.uncertainty import Estimate

__all__ = ["NDG", "InputGenerator"]

#: A channel: inputs of shape (batch, time, d) and a torch.Generator to outputs of the same shape, differentiably.
Channel = Callable[[Tensor, torch.Generator], Tensor]


class InputGenerator(nn.Module):
    """x_t = h(u_t, ..., u_{t-m} [, y_{t-1}, ..., y_{t-m}]): noise u, and with feedback past outputs, to inputs.

    h is a linear map plus a small network, so that linear filters of the noise are at hand from the start.

    Parameters
    ----------
    d : int
        Components of an input and of an output.
    memory : int
        m.
    feedback : bool
    width : int
        Of the network's two hidden layers.
    """

    def __init__(self, d: int, memory: int, feedback: bool, width: int, start: torch.Generator | None = None):
        super().__init__()
        self.d, self.memory, self.feedback = d, memory, feedback
        inputs = d * (memory + 1) + (d * memory if feedback else 0)
        self.linear = linear(inputs, d, start)
        self.network = MLP(inputs, width, d, activation=nn.ELU, generator=start)

    def forward(self, u: Tensor, past: Tensor | None = None) -> Tensor:
        """Return x for windows of noise (..., (memory + 1)·d) and, with feedback, of outputs (..., memory·d)."""
        both = u if past is None else torch.cat([u, past], dim=-1)
        return self.linear(both) + self.network(both)


class NDG:
    r"""Capacity of a channel with memory: the largest transfer entropy over inputs of limited power.

    .. math:: C = \max_{x_t = h(u_t, \text{past}),\; E\|x_t\|^2 \le P} \; I(X^l; Y_l \mid Y^{l-1})

    The generator h and TREET's critics (with the present input seen, lag 0) are trained in turns. Its value is the
    rate of the input found, as the critics see it: below the capacity where either is not at its best, and, being a
    difference of two bounds, not a bound itself.

    Parameters
    ----------
    channel : callable
        ``channel(x, rng) -> y`` for tensors of shape (batch, time, d), differentiable in x; with `feedback` an object
        whose ``noise(x, rng)`` returns the noise that it adds. See ``plogp.dynamics`` for AWGN and others.
    power : float
        P, over all components together.
    d : int
        Components.
    l : int
        Window of the critics.
    memory : int, optional
        How far back the generator looks, l - 1 by default.
    feedback : bool
        Whether the generator sees past outputs.
    noise : {"uniform", "gaussian"}
        Law of u. From uniform noise a normal input has to be learnt.
    d_model, heads, width, draws
        Of the critics, as in `TREET`; `width` is the generator's too.
    steps, critic_steps, batch_size, length
        Updates of the generator, of the critics for each, series a batch, and predicted steps of each series.
    lr, generator_lr : float
        Adam's rates; both fall to 0 along a cosine.
    polish : int
        Further updates of the critics alone at the end.
    rng, device, progress
        As in `TREET`.

    Examples
    --------
    >>> def channel(x, rng):
    ...     return x + torch.randn(x.shape, generator=rng)
    >>> ndg = NDG(channel, power=1.0, l=2, d_model=8, heads=1, width=16, steps=20, polish=20, rng=0).fit()
    >>> x, y = ndg.sample(500, 20)
    >>> x.shape, bool(abs((x**2).mean() - 1) < 0.1)
    (torch.Size([500, 20, 1]), True)
    >>> ndg.capacity().n
    256

    Notes
    -----
    The neural distribution generator of O. Luxembourg, D. Tsur and H. Permuter, arXiv 2402.06919, with h a moving
    window where theirs is a recurrent or attention network. Power is normalised over each batch in training, over
    all times or, with feedback, at each time; afterwards the mean and scale found on a large sample are kept.
    """

    def __init__(
        self,
        channel: Channel,
        power: float,
        d: int = 1,
        *,
        l: int = 8,  # noqa: E741 - the paper's name
        memory: int | None = None,
        feedback: bool = False,
        noise: str = "uniform",
        d_model: int = 16,
        heads: int = 4,
        width: int = 64,
        draws: int = 4,
        steps: int = 600,
        critic_steps: int = 3,
        batch_size: int = 32,
        length: int = 16,
        lr: float = 3e-3,
        generator_lr: float = 5e-3,
        polish: int = 600,
        rng: Any = None,
        device: Any = None,
        progress: bool = False,
    ):
        if not (math.isfinite(power) and power > 0):
            raise ValueError(f"power must be a positive number, got {power!r}")
        if not callable(channel):
            raise TypeError(f"channel must be callable as channel(x, rng), got {type(channel).__name__}")
        if feedback and not hasattr(channel, "noise"):
            raise TypeError("with feedback the channel must have a method noise(x, rng): the noise that it adds")
        if noise not in ("uniform", "gaussian"):
            raise ValueError(f"noise must be 'uniform' or 'gaussian', got {noise!r}")
        self.channel, self.power, self.d = channel, float(power), positive("d", d)
        self.window = positive("l", l)
        self.memory = self.window - 1 if memory is None else positive("memory", memory, 0)
        self.feedback, self.noise, self.draws = feedback, noise, positive("draws", draws)
        self.steps, self.critic_steps = positive("steps", steps), positive("critic_steps", critic_steps)
        self.batch_size, self.length = positive("batch_size", batch_size), positive("length", length)
        self.polish, self.lr, self.generator_lr = positive("polish", polish, 0), lr, generator_lr
        self.sizes: dict[str, Any] = {"d_model": d_model, "heads": heads, "width": width}
        for name, size in self.sizes.items():
            positive(name, size)
        self.device, self.progress = torch.device(device or "cpu"), progress
        self._rng = generator(rng)
        self._fixed: tuple[Tensor, Tensor] | None = None
        self._trained = False

    def fit(self) -> NDG:
        """Train the generator and the critics in turns, then the critics alone."""
        start = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=self._rng)))
        self.generator = InputGenerator(self.d, self.memory, self.feedback, self.sizes["width"], start).to(self.device)
        critics = {
            "y": WindowCritic(self.d, 0, window=self.window, generator=start, **self.sizes),
            "xy": WindowCritic(self.d, self.d, window=self.window, generator=start, **self.sizes),
        }
        self.critics = nn.ModuleDict(critics).to(self.device)
        self._fixed = None
        with torch.no_grad():
            scale = self._series(1024, self.length)[1].std((0, 1))
        self._scales = torch.full_like(scale, math.sqrt(self.power / self.d)), scale
        self.reference = Reference("normal", -scale, scale)
        of_critics = torch.optim.Adam(self.critics.parameters(), lr=self.lr)
        of_generator = torch.optim.Adam(self.generator.parameters(), lr=self.generator_lr)
        turns = [of_critics] * self.critic_steps + [of_generator]
        plan = turns * self.steps + [of_critics] * self.polish
        for step, optimiser in enumerate(self._shown(plan)):
            if step == len(turns) * self.steps:
                self._freeze()
            share = step / (len(turns) * self.steps)
            fall = 0.5 * (1 + math.cos(math.pi * min(share, 1.0))) if optimiser is of_generator else None
            of_polish = 0.5 * (1 + math.cos(math.pi * max(0, step - len(turns) * self.steps) / max(self.polish, 1)))
            for group in optimiser.param_groups:
                group["lr"] = self.generator_lr * fall if fall is not None else self.lr * of_polish
            with torch.set_grad_enabled(optimiser is of_generator):
                series = self._series(self.batch_size, self.length + self.window - 1)
            bounds = self._bounds(*series, self.draws)
            parts = [donsker_varadhan(true, drawn)[0] for true, drawn in bounds]
            if not torch.isfinite(parts[0] + parts[1]):
                raise FloatingPointError("training diverged; try a smaller lr or generator_lr")
            goal = parts[1] - parts[0] if optimiser is of_generator else parts[1] + parts[0]
            of_critics.zero_grad(set_to_none=True)
            of_generator.zero_grad(set_to_none=True)
            (-goal).backward()
            module = self.generator if optimiser is of_generator else self.critics
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
        if self._fixed is None:
            self._freeze()
        self._trained = True
        return self

    def sample(self, n: int, length: int) -> tuple[Tensor, Tensor]:
        """Return inputs and outputs of n series, each of shape (n, length, d)."""
        self._check()
        with torch.no_grad():
            return self._series(positive("n", n), positive("length", length))

    def capacity(self, num_series: int = 256, length: int = 64) -> Estimate:
        """Return the rate of the input found, in nats a use, on fresh series.

        The error is that of an average over independent series. It does not tell how far generator and critics are
        from the best ones.
        """
        self._check()
        with torch.no_grad():
            x, y = self._series(positive("num_series", num_series, 2), positive("length", length) + self.window - 1)
            y_terms, xy_terms = (_series_terms(*scores) for scores in self._bounds(x, y, 8 * self.draws))
        terms = (xy_terms - y_terms).double().cpu().numpy()
        facts = {
            "power": float((x**2).sum(-1).mean()),
            "bound_given_past": float(y_terms.mean()),
            "bound_given_both": float(xy_terms.mean()),
        }
        se = float(np.std(terms, ddof=1)) / math.sqrt(len(terms))
        label = f"ndg(l={self.window}{', feedback' if self.feedback else ''})"
        return Estimate(float(terms.mean()), se, len(terms), label, terms=terms, diagnostics=facts)

    def _check(self) -> None:
        if not self._trained:
            raise ValueError("fit() must be called first")

    def _shown(self, plan: list[Any]) -> Iterable[Any]:
        if not self.progress:
            return plan
        from rich.progress import track

        return track(plan, description="NDG", transient=True)

    def _series(self, n: int, length: int) -> tuple[Tensor, Tensor]:
        """Draw n series of inputs of limited power, and what the channel makes of them."""
        total = length + self.memory
        u = self._noise((n, total, self.d))
        windows = u.unfold(1, self.memory + 1, 1).transpose(-1, -2).flatten(-2)
        if not self.feedback:
            x = self._limited(self.generator(windows), 0)
            return x, self.channel(x, self._rng)
        shape = torch.zeros((n, length, self.d), device=self.device)
        z = self.channel.noise(shape, self._rng)  # type: ignore[attr-defined]
        past = torch.zeros((n, self.memory, self.d), device=self.device)
        xs, ys = [], []
        for t in range(length):
            x = self._limited(self.generator(windows[:, t], past.flatten(-2)), t)
            xs.append(x)
            ys.append(x + z[:, t])
            past = torch.cat([past, ys[-1][:, None]], dim=1)[:, 1:] if self.memory else past
        return torch.stack(xs, 1), torch.stack(ys, 1)

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        at = {"generator": self._rng, "device": self._rng.device}
        u = torch.randn(shape, **at) if self.noise == "gaussian" else (2 * torch.rand(shape, **at) - 1) * math.sqrt(3)
        return u.to(self.device)

    def _limited(self, x: Tensor, t: int) -> Tensor:
        """Centre x and bring it to the power P: over the batch, or with what `_freeze` found."""
        if self._fixed is not None:
            centre, size = (f[min(t, len(f) - 1)] for f in self._fixed)
        else:
            axes = tuple(range(x.ndim - 1))
            centre = x.mean(axes)
            size = ((x - centre) ** 2).sum(-1).mean().clamp(min=1e-12).sqrt()
        return (x - centre) / size * math.sqrt(self.power)

    def _freeze(self) -> None:
        """Keep the centre and scale of a large sample; with feedback those of each time, and the last from then on."""
        found: list[tuple[Tensor, Tensor]] = []
        free = self._limited

        def note(x: Tensor, t: int) -> Tensor:
            centre = x.mean(tuple(range(x.ndim - 1)))
            found.append((centre, ((x - centre) ** 2).sum(-1).mean().clamp(min=1e-12).sqrt()))
            return free(x, t)

        self._limited = note  # type: ignore[method-assign]
        try:
            with torch.no_grad():
                self._series(4096, 64)
        finally:
            del self._limited
        self._fixed = torch.stack([c for c, _ in found]), torch.stack([s for _, s in found])

    def _bounds(self, x: Tensor, y: Tensor, draws: int) -> list[tuple[Tensor, Tensor]]:
        """Return the scores of true (n, T') and drawn (n, T', draws) outputs by both critics: past of y, and both."""
        x, y = x / self._scales[0], y / self._scales[1]
        n, length = y.shape[0], y.shape[1] - self.window + 1
        now = y[:, self.window - 1 :]
        drawn = self.reference.draw(n * length, draws, self._rng).view(n, length, draws, self.d)
        values = torch.cat([now[:, :, None], drawn], dim=2)

        def past(s: Tensor) -> Tensor:
            return s.unfold(1, self.window, 1).transpose(-1, -2)[..., :-1, :]

        alone = self.critics["y"](values, None, past(y))
        both = self.critics["xy"](values, x[:, self.window - 1 :], past(torch.cat([y, x], dim=-1)))
        return [(s[..., 0], s[..., 1:]) for s in (alone, both)]


def _series_terms(true: Tensor, drawn: Tensor) -> Tensor:
    """One number a series, whose mean is the bound (the influence of the log-mean-exp included)."""
    partition = torch.logsumexp(drawn.reshape(-1), 0) - math.log(drawn.numel())
    weight = torch.exp(drawn - partition).mean((1, 2))
    return true.mean(1) - partition - (weight - 1.0)
