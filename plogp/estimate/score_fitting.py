"""What the score-based estimators share: training one network for all masks, and comparing its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plogp.estimate.diffusion import CHUNK, VPSDE, integrate
from plogp.estimate.samples import Floats, as_samples, check_same_length, normal_scores
from plogp.estimate.score_network import MaskedScore, check_mask, denoising_loss
from plogp.estimate.training import History, Rows, fit, generator
from plogp.measures.uncertainty import Estimate, Normal

__all__ = ["Comparison", "Either", "ScoreEstimator", "Terms", "compare"]

Mask = tuple[int, ...]
#: Samples without which nothing is learned.
FEWEST = 50
#: Noised rows for the check while training: the held-out rows several times over, up to this many.
CHECKED = 20_000


@dataclass(frozen=True)
class Comparison:
    r"""An information as two predictions of the same noise, of which `fine` knows more than `coarse`.

    Each maps a variable (its position) to the mask under which its noise is predicted. With ε_c and ε_f the two
    predictions, weight ``w = ½ β/σ²`` and a reference law N(0, σ²) whose noise is ε_r,

    - inside: ``∫ w ‖ε_c - ε_f‖²``;
    - outside: ``∫ w (‖ε_f - ε_r‖² - ‖ε_c - ε_r‖²)``;
    - denoising: ``∫ w (‖ε_c - ε‖² - ‖ε_f - ε‖²)``, the gain in denoising.

    In expectation all three are equal for exact scores; errors of learned scores enter them differently.
    """

    name: str
    coarse: Mapping[int, Mask]
    fine: Mapping[int, Mask]

    @property
    def masks(self) -> set[Mask]:
        """All masks needed."""
        return {*self.coarse.values(), *self.fine.values()}


def compare(
    net: nn.Module,
    sde: VPSDE,
    x: Tensor,
    comparisons: Sequence[Comparison],
    *,
    sigma: float | None = None,
    passes: int = 10,
    times: str = "importance",
    exact: bool = False,
    noise: Tensor | None = None,
    rng: Any = None,
) -> tuple[Tensor, Tensor]:
    """Evaluate several comparisons on the same noised rows.

    Parameters
    ----------
    net : MaskedScore or NormalScore
    sde : VPSDE
    x : Tensor, shape (n, d)
    comparisons : sequence of Comparison
    sigma : float, optional
        Of the reference law of the outside form; None for the inside form.
    passes, times, exact, noise, rng
        As in `plogp.estimate.diffusion.integrate`.

    Returns
    -------
    terms, denoising : Tensor, shape (n, number of comparisons)
        Terms whose means are the values, and those of the denoising form.
    """
    sizes = net.sizes
    ends = np.cumsum([0, *sizes])
    masks = sorted(set().union(*(c.masks for c in comparisons)))
    g = generator(rng, x.device)

    def terms(x_t: Tensor, x_0: Tensor, t: Tensor, e: Tensor) -> Tensor:
        predicted = {m: net(x_t, x_0, t, m, g) for m in masks}
        out, gains = [], []
        reference = None
        if sigma is not None:
            k, s = sde.mean_coefficient(t), sde.sigma(t)
            reference = s * x_t / (k * k * sigma**2 + s * s)
        for c in comparisons:
            value = gain = torch.zeros(len(x_t), dtype=x_t.dtype, device=x_t.device)
            for i in c.coarse:
                block = slice(ends[i], ends[i + 1])
                a, b = predicted[c.coarse[i]][:, block], predicted[c.fine[i]][:, block]
                if reference is None:
                    value = value + _square(a - b)
                else:
                    value = value + _square(b - reference[:, block]) - _square(a - reference[:, block])
                gain = gain + _square(a - e[:, block]) - _square(b - e[:, block])
            out.append(value)
            gains.append(gain)
        return torch.stack([*out, *gains], dim=1)

    with torch.no_grad():
        found = integrate(terms, x, sde, passes=passes, times=times, exact=exact, noise=noise, rng=g)
    return found[:, : len(comparisons)], found[:, len(comparisons) :]


def _square(x: Tensor) -> Tensor:
    return (x * x).sum(dim=1)


@dataclass(frozen=True)
class Either:
    """Interval law that reaches from the lowest to the highest end of several."""

    laws: tuple[Normal, ...]

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the interval of probability `level`."""
        ends = [law(level) for law in self.laws]
        return min(low for low, _ in ends), max(high for _, high in ends)


@dataclass(frozen=True, eq=False)
class Terms:
    """Per-sample terms of several comparisons on the same noised rows, and what made them."""

    values: Floats
    denoising: Floats
    facts: Mapping[str, Any]

    def estimate(self, weights: Sequence[float], method: str, sample: object | None = None) -> Estimate:
        """Estimate a weighted sum of the comparisons.

        The interval holds that of the value and that of its denoising form, which a network's errors enter
        differently; the standard error is the value's own.
        """
        terms, gain = self.values @ np.asarray(weights), self.denoising @ np.asarray(weights)
        n = len(terms)
        value, denoised = float(terms.mean()), float(gain.mean())
        facts: dict[str, Any] = {"denoising": denoised, **self.facts}
        if n < 2:
            facts["no_interval"] = "one sample has no spread"
            return Estimate(value, None, n, method, diagnostics=facts)
        se, other = (float(v.std(ddof=1) / math.sqrt(n)) for v in (terms, gain))
        facts |= {"denoising_se": other, "interval": "from the value's to its denoising form's"}
        law = Either((Normal(value, se), Normal(denoised, other)))
        return Estimate(value, se, n, method, law=law, terms=terms, sample=sample, diagnostics=facts)


class _Ranks:
    """Normal scores of the columns of fitted samples, by interpolation for others."""

    def __init__(self, x: Floats):
        self.at = []
        for column, scores in zip(x.T, normal_scores(x).T):
            values, first = np.unique(column, return_index=True)
            self.at.append((values, scores[first]))

    def __call__(self, x: Floats) -> Floats:
        return np.stack([np.interp(c, *at) for c, at in zip(x.T, self.at)], axis=1)


class ScoreEstimator:
    """Base of the score-based estimators: options, scaling, training; a subclass says which masks it needs."""

    #: Whether the loss of a row is divided by its number of noised columns.
    per_column = True
    fill = "zeros"

    def __init__(
        self,
        *,
        sigma: float | None = None,
        net: nn.Module | None = None,
        sde: VPSDE | None = None,
        steps: int = 3000,
        batch_size: int = 256,
        lr: float = 5e-3,
        ema: float | None = 0.999,
        width: int | str = "auto",
        depth: int = 1,
        mc_passes: int = 10,
        times: str = "importance",
        scale: str | None = "standard",
        holdout: float = 0.2,
        schedule: Any = "cosine",
        patience: int | None = None,
        device: Any = None,
        rng: Any = None,
        progress: bool = False,
    ):
        if sigma is not None and not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be a positive number or None, got {sigma!r}")
        if scale not in ("standard", "rank", None):
            raise ValueError(f"scale must be 'standard', 'rank' or None, got {scale!r}")
        if not 0 < holdout < 1:
            raise ValueError(f"holdout must lie strictly between 0 and 1, got {holdout!r}")
        if mc_passes < 1:
            raise ValueError(f"mc_passes must be at least 1, got {mc_passes}")
        if net is not None and not hasattr(net, "sizes"):
            raise TypeError(
                f"net must be a MaskedScore or NormalScore, got {type(net).__name__}; wrap a network in one"
            )
        self.sigma, self.net, self.sde = sigma, net, sde or VPSDE()
        self.steps, self.batch_size, self.lr, self.ema = steps, batch_size, lr, ema
        self.width, self.depth, self.mc_passes, self.times = width, depth, mc_passes, times
        self.scale, self.holdout, self.schedule, self.patience = scale, holdout, schedule, patience
        self.device, self.progress = device, progress
        self.seeds = [int(s) for s in np.random.default_rng(rng).integers(2**62, size=4)]
        self.history: History | None = None
        self.held: Rows | None = None
        self.moments: Any = None
        self._ranks: list[_Ranks] | None = None

    def _masks(self, variables: int) -> list[Mask]:
        """Masks to learn, each as often as it should be drawn."""
        raise NotImplementedError

    def _rows(self, named: Mapping[str, Any]) -> Rows:
        """The variables as rows, scaled as in `fit`."""
        arrays = [_checked(v, name) for name, v in named.items()]
        check_same_length(**dict(zip(named, arrays)))
        if self._ranks is not None:
            arrays = [ranks(as_samples(a, name)) for ranks, a, name in zip(self._ranks, arrays, named)]
        rows = Rows(*arrays, device=self.device, dtype=_dtype(self.net))
        return rows if self.moments is None else rows.standardized(self.moments)

    def _fit(self, named: Mapping[str, Any]) -> None:
        if self.scale == "rank":
            self._ranks = [_Ranks(as_samples(v, name)) for name, v in named.items()]
        self.moments = None
        rows = self._rows(named)
        if rows.n < FEWEST:
            raise ValueError(f"too few samples: scores are learned from at least {FEWEST}, got {rows.n}")
        moments = rows.moments()
        for name, (_, sd), array in zip(named, moments, named.values()):
            if bool((sd == 1).all()) and _constant(array):
                raise ValueError(f"{name} is constant: its information with anything is 0, there is nothing to learn")
        if self.scale == "standard":
            self.moments = moments
            rows = rows.standardized(moments)
        if self.net is None:
            self.net = MaskedScore(rows.dims, width=self.width, depth=self.depth, fill=self.fill, rng=self.seeds[0]).to(
                rows.device
            )
        elif tuple(self.net.sizes) != rows.dims:
            raise ValueError(f"net is for variables of {tuple(self.net.sizes)} columns, the samples have {rows.dims}")
        train, self.held = rows.split(1 - self.holdout, self.seeds[1])
        net, masks = self.net.to(rows.device), check_mask(self._masks(len(rows.dims)), len(rows.dims), rows.device)
        g = generator(self.seeds[2], rows.device)
        check = torch.cat(self.held.take(np.arange(min(self.held.n, CHECKED))), dim=1)
        check = check.repeat(max(1, CHECKED // len(check)), 1)
        check = check[torch.randperm(len(check), generator=torch.Generator().manual_seed(self.seeds[3]))]

        def loss(*batch: Tensor) -> Tensor:
            return denoising_loss(net, self.sde, torch.cat(batch, dim=1), masks, g, self.per_column)

        def validate() -> float:
            same = generator(self.seeds[3], rows.device)  # the same times, noise and masks every time
            return float(denoising_loss(net, self.sde, check, masks, same, self.per_column))

        self.history = fit(
            net,
            loss,
            train,
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            rng=np.random.default_rng(self.seeds[2]),
            ema=self.ema,
            validate=validate,
            every=max(100, self.steps // 20),
            patience=self.patience,
            schedule=self.schedule,
            progress=self.progress,
            label=type(self).__name__,
        )

    def _compare(
        self, comparisons: Sequence[Comparison], named: Mapping[str, Any] | None, noise: Tensor | None = None
    ) -> Terms:
        """Terms of several comparisons, on the held-out rows or on the given samples."""
        if self.net is None or (self.history is None and self.scale is not None):
            raise ValueError("call fit first, or give a net of exact or trained scores with scale=None")
        if named is None and self.held is None:
            raise ValueError("there are no held-out samples: call fit first, or give the samples to estimate on")
        rows = self.held if named is None else self._rows(named)
        assert rows is not None
        if tuple(self.net.sizes) != rows.dims:
            raise ValueError(f"net is for variables of {tuple(self.net.sizes)} columns, the samples have {rows.dims}")
        net, g = self.net.to(rows.device), generator(self.seeds[3] + 1, rows.device)
        found = []
        for start in range(0, rows.n, CHUNK):
            part = np.arange(start, min(start + CHUNK, rows.n))
            found.append(
                compare(
                    net,
                    self.sde,
                    torch.cat(rows.take(part), dim=1),
                    comparisons,
                    sigma=self.sigma,
                    passes=self.mc_passes,
                    times=self.times,
                    exact=not isinstance(net, MaskedScore),
                    noise=None if noise is None else noise[start : start + CHUNK],
                    rng=g,
                )
            )
        values, gains = (torch.cat(parts) for parts in zip(*found))
        return Terms(values.numpy(), gains.numpy(), self._facts("held out" if named is None else "given"))

    def _facts(self, samples: str) -> dict[str, Any]:
        """What a careful reader would ask for: how the estimate was made."""
        facts: dict[str, Any] = {
            "passes": self.mc_passes,
            "times": self.times,
            "samples": samples,
            "form": "inside" if self.sigma is None else f"outside, sigma={self.sigma:g}",
        }
        if self.history is not None:
            facts |= {
                "steps": len(self.history.losses),
                "best_step": self.history.best_step,
                "validation": self.history.best,
                "interrupted": self.history.interrupted,
            }
        return facts


def _dtype(net: nn.Module | None) -> torch.dtype:
    if net is None:
        return torch.float32
    return next((t.dtype for t in (*net.parameters(), *net.buffers()) if t.is_floating_point()), torch.float32)


def _checked(x: Any, name: str) -> Any:
    """Samples as `Rows` reads them: tensors, memory maps and Datasets where they are, the rest through `as_samples`."""
    if isinstance(x, Tensor):
        if x.ndim not in (1, 2) or x.numel() == 0:
            raise ValueError(f"{name} must have shape (n,) or (n, d) and not be empty, got {tuple(x.shape)}")
        if not torch.isfinite(x).all():
            raise ValueError(f"{name} holds NaN or infinite values; drop or impute them first")
        return x
    if isinstance(x, (np.memmap, torch.utils.data.Dataset)):
        return x
    return as_samples(x, name)


def _constant(x: Any) -> bool:
    return bool((x == x[:1]).all()) if isinstance(x, (Tensor, np.ndarray)) else False
