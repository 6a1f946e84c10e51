"""Attention over exactly the last l steps of a series, and the critic of conditional densities built on it.

The critic scores a present value y in the light of a window of the past. The past always comes from the data;
the present may be the true one or one drawn from a reference law. That is all that a Donsker-Varadhan bound on
``KL(p(y | past) || reference)`` needs, so true and drawn values go through one pass that reads the past once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from plogp.estimate.training import MLP, linear

__all__ = ["FixedTimeCausalAttention", "Reference", "WindowCritic", "donsker_varadhan", "sinusoids"]


def sinusoids(count: int, d_model: int) -> Tensor:
    """Return the fixed positional code of `count` places: sines and cosines at geometric frequencies.

    >>> sinusoids(3, 4)[0]
    tensor([0., 1., 0., 1.])
    """
    place = torch.arange(count, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float32) * (-math.log(10000.0) / d_model))
    code = torch.zeros(count, d_model)
    code[:, 0::2] = torch.sin(place * rate)
    code[:, 1::2] = torch.cos(place * rate[: d_model // 2])
    return code


class FixedTimeCausalAttention(nn.Module):
    r"""Attention in which every position sees itself and the window - 1 positions before it, no more and no less.

    With e the tokens, p the fixed code of the place in the window and j the lag,

    .. math:: a_{tj} \propto \exp\frac{q_t \cdot W_K(e_{t-j} + p_j)}{\sqrt{d_h}}, \qquad
              o_t = W_O \sum_{j=0}^{l-1} a_{tj} W_V (e_{t-j} + p_j), \qquad q_t = W_Q (e_t + p_0)

    so the same function is applied at every time. A position's own token (lag 0) may be replaced by a drawn one: then
    its query, key and value come from the drawn token, while all earlier ones stay as they are.

    Parameters
    ----------
    d_model : int
        Width of the tokens.
    window : int
        l, the number of positions seen, the own one included.
    heads : int
        Must divide `d_model`. One head weighs the lags in one way; several can form differences over time.
    generator : torch.Generator, optional
        For the start of the weights.

    Raises
    ------
    ValueError
        For sizes below 1, heads that do not divide d_model, or a series shorter than the window.

    Examples
    --------
    >>> attention = FixedTimeCausalAttention(8, window=3, heads=2)
    >>> tokens = torch.randn(5, 10, 8)                         # 5 series of 10 tokens
    >>> attention(tokens).shape                                # positions with a whole window behind them
    torch.Size([5, 8, 8])
    >>> attention(tokens, torch.randn(5, 10, 4, 8)).shape      # 4 drawn tokens a position, each on the true past
    torch.Size([5, 8, 4, 8])

    Notes
    -----
    O. Luxembourg, D. Tsur and H. Permuter, TREET, arXiv 2402.06919. There the code of a position is that of its place
    in a sequence of 2l - 1 steps; here it is the place in the window, so that a shift in time changes nothing.
    """

    def __init__(self, d_model: int, window: int, heads: int = 1, *, generator: torch.Generator | None = None):
        super().__init__()
        for name, number in (("d_model", d_model), ("window", window), ("heads", heads)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        if d_model % heads:
            raise ValueError(f"heads must divide d_model, got heads={heads} and d_model={d_model}")
        self.d_model, self.window, self.heads = d_model, window, heads
        self.query, self.key, self.value, self.out = (linear(d_model, d_model, generator) for _ in range(4))
        self.register_buffer("place", sinusoids(window, d_model), persistent=False)

    def forward(self, tokens: Tensor, drawn: Tensor | None = None) -> Tensor:
        """Attend at every position of a series that has a whole window behind it.

        Parameters
        ----------
        tokens : tensor, shape (..., T, d_model)
        drawn : tensor, shape (..., T, m, d_model), optional
            m tokens a position that take the place of its own one.

        Returns
        -------
        tensor, shape (..., T - window + 1, d_model), or (..., T - window + 1, m, d_model) for drawn tokens
        """
        steps = tokens.shape[-2]
        if steps < self.window:
            raise ValueError(f"a series of {steps} tokens is shorter than the window of {self.window}")
        # (..., T', d, window) with the oldest first, then (..., T', window - 1, d) without the own token.
        past = tokens.unfold(-2, self.window, 1).transpose(-1, -2)[..., :-1, :]
        own = tokens[..., None, :] if drawn is None else drawn
        out = self.attend(own[..., self.window - 1 :, :, :], past)
        return out.squeeze(-2) if drawn is None else out

    def attend(self, own: Tensor, past: Tensor) -> Tensor:
        """Attend from each of m own tokens to itself and to one shared past.

        Parameters
        ----------
        own : tensor, shape (..., m, d_model)
        past : tensor, shape (..., window - 1, d_model)
            The oldest first.

        Returns
        -------
        tensor, shape (..., m, d_model)
        """
        if past.shape[-2] != self.window - 1:
            raise ValueError(f"past must hold window - 1 = {self.window - 1} tokens, got {past.shape[-2]}")
        own = own + self.place[0]
        past = past + self.place[1:].flip(0)
        q, k_own, v_own = (self._split(part(own)) for part in (self.query, self.key, self.value))
        k, v = (self._split(part(past)) for part in (self.key, self.value))
        earlier = torch.einsum("...mhd,...jhd->...mhj", q, k)
        weight = torch.cat([earlier, (q * k_own).sum(-1, keepdim=True)], dim=-1)
        weight = torch.softmax(weight / math.sqrt(self.d_model // self.heads), dim=-1)
        mixed = torch.einsum("...mhj,...jhd->...mhd", weight[..., :-1], v) + weight[..., -1:] * v_own
        return self.out(mixed.flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.d_model // self.heads))


class WindowCritic(nn.Module):
    """F(y, past): a score of m present values y in the light of a window of the past and of a side input.

    Tokens are linear embeddings of (y, x) at one time. The present token is attended from, the earlier ones to; a
    feed-forward network reads the present token beside what it attended to.

    Parameters
    ----------
    d_y, d_x : int
        Columns of the target and of the side input (0 for none).
    window : int
        Tokens seen, the present one included.
    d_model, heads, width : int
        Of tokens, attention and the two hidden layers.

    Examples
    --------
    >>> critic = WindowCritic(1, 2, window=4, d_model=8, heads=2, width=16)
    >>> critic(torch.randn(5, 3, 1), torch.randn(5, 2), torch.randn(5, 3, 3)).shape    # 3 values y on each of 5 pasts
    torch.Size([5, 3])
    """

    def __init__(
        self,
        d_y: int,
        d_x: int,
        *,
        window: int,
        d_model: int,
        heads: int,
        width: int,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.embed = linear(d_y + d_x, d_model, generator)
        self.attention = FixedTimeCausalAttention(d_model, window, heads, generator=generator)
        self.norm = nn.LayerNorm(d_model)
        self.head = MLP(2 * d_model, width, 1, depth=2, activation=nn.ELU, generator=generator)

    def forward(self, y: Tensor, side: Tensor | None, past: Tensor) -> Tensor:
        """Return F, (..., m), for y (..., m, d_y), side (..., d_x) or None, and past (..., window - 1, d_y + d_x)."""
        if side is not None:
            y = torch.cat([y, side[..., None, :].expand(*y.shape[:-1], side.shape[-1])], dim=-1)
        own = self.embed(y)
        seen = self.norm(own + self.attention.attend(own, self.embed(past)))
        return self.head(torch.cat([own, seen], dim=-1)).squeeze(-1)


class Reference:
    """The law that present values are drawn from: uniform on a box around the data, or normal with wide tails.

    Parameters
    ----------
    kind : {"uniform", "normal"}
    low, high : tensor, shape (d,)
        Extremes of the data; the box is wider by 5 % of its sides. A normal reference is centred in 0 with the
        standard deviation 1.25, for standardised data.

    Examples
    --------
    >>> box = Reference("uniform", torch.tensor([-1.0]), torch.tensor([1.0]))
    >>> round(float(box.log_density(torch.zeros(1, 1))), 4), float(box.log_density(torch.full((1, 1), 9.0)))
    (-0.7885, -inf)
    """

    SPREAD = 1.25

    def __init__(self, kind: str, low: Tensor, high: Tensor):
        if kind not in ("uniform", "normal"):
            raise ValueError(f"reference must be 'uniform' or 'normal', got {kind!r}")
        margin = 0.05 * (high - low)
        self.kind, self.low, self.high = kind, low - margin, high + margin

    def draw(self, n: int, m: int, generator: torch.Generator) -> Tensor:
        """Return m values for each of n rows, shape (n, m, d), stratified: one in each m-th of every column's law."""
        d, device = len(self.low), self.low.device
        at = {"device": generator.device}
        order = torch.rand((n, m, d), generator=generator, **at).argsort(dim=1)
        share = ((order + torch.rand((n, m, d), generator=generator, **at)) / m).to(device)
        if self.kind == "uniform":
            return self.low + (self.high - self.low) * share
        return self.SPREAD * torch.special.ndtri(share.clamp(1e-6, 1 - 1e-6))

    def log_density(self, y: Tensor) -> Tensor:
        """Return the log-density at y, shape (..., d) -> (...)."""
        if self.kind == "uniform":
            inside = ((y >= self.low) & (y <= self.high)).all(-1)
            volume = torch.log(self.high - self.low).sum()
            return torch.where(inside, -volume, -math.inf)
        scale = math.log(self.SPREAD) + 0.5 * math.log(2 * math.pi)
        return (-0.5 * (y / self.SPREAD) ** 2 - scale).sum(-1)


def donsker_varadhan(joint: Tensor, drawn: Tensor, *, clip: float | None = None) -> tuple[Tensor, Tensor]:
    """Return ``mean F - log mean exp F~`` and the log-mean-exp, of true and drawn scores of any shape.

    The bound of Donsker and Varadhan on ``KL(true law || reference)``: the largest over all F is the divergence.

    >>> value, _ = donsker_varadhan(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    >>> float(value)
    0.0
    """
    if clip is not None:
        drawn = drawn.clamp(-clip, clip)
    partition = torch.logsumexp(drawn.reshape(-1), 0) - math.log(drawn.numel())
    return joint.mean() - partition, partition
