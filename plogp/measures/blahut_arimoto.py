"""The Blahut-Arimoto loop, once for all: R(D), R(G), the information bottleneck and channel capacity.

Each problem is the ascent of a weight vector by multiplication, `w <- w·exp(growth)`, where the gradient of a
concave objective gives `growth`, and the largest growth certifies how far the optimum can still be. What
differs is only the objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import check_probabilities, floats
from plogp.measures.grouping import float64
from plogp.measures.information import information_of_groups
from plogp.measures.registry import divergence

__all__ = [
    "Climbed",
    "FixedScore",
    "Objective",
    "RatePoint",
    "channel_of",
    "climb",
    "expected_score",
    "rate_of",
    "source_of",
    "table_of",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RatePoint:
    """One point of a rate function: what is achieved, by which channel, and how close to the optimum.

    Attributes
    ----------
    rate : float
        Mutual information I(X;Y) of `channel` under the source, in nats.
    score : float
        The other coordinate: mean distortion D, semantic information G, or relevant information I(T;Y).
    channel : array (n_x, n_y)
        The conditional distributions that achieve `rate` and `score`; each row sums to 1.
    s : float
        The multiplier: slope dR/dG (semantic), -dR/dD (distortion), the trade-off beta (bottleneck).
    gap : float
        Upper bound on how much ``rate - s·score`` (``rate + s·score`` for a distortion) exceeds its minimum,
        in nats. For the bottleneck, which is not convex, the last decrease of ``rate - s·score``.
    iterations : int
        Number of passes made.
    converged : bool
        Whether `gap` came below the tolerance asked for.
    """

    rate: float
    score: float
    channel: Floats
    s: float
    gap: float
    iterations: int
    converged: bool

    def __repr__(self) -> str:
        end = "" if self.converged else ", not converged"
        return (
            f"RatePoint(rate={self.rate:.6g} nats, score={self.score:.6g}, s={self.s:.6g}, "
            f"gap={self.gap:.1e}, iterations={self.iterations}{end})"
        )


class Climbed(NamedTuple):
    """Where an ascent ended: the weights, the certified gap, the passes made, and the objective's value."""

    weights: Floats
    gap: float
    iterations: int
    converged: bool
    value: float


class Objective(Protocol):
    """What is maximised over a weight vector of mass 1."""

    def __call__(self, weights: Floats) -> tuple[float, Floats, float]:
        """Return the value, the logarithm by which each weight is to grow, and the gap to the optimum."""


def climb(weights: Floats, objective: Objective, tol: float, max_iter: int, relax: bool = True) -> Climbed:
    """Ascend by `w <- w·exp(step·growth)`; step 1 never descends, longer ones are kept while they pay."""
    if not tol > 0 or max_iter < 1:
        raise ValueError(f"tol must be > 0 and max_iter >= 1, got {tol!r} and {max_iter!r}")
    value, growth, gap = objective(weights)
    step, iterations = 1.0, 1
    while gap > tol and iterations < max_iter:
        moved = _grow(weights, growth, step)
        trial = objective(moved)
        iterations += 1
        if relax and step > 1 and trial[0] < value:
            step = 1.0
            continue
        weights, (value, growth, gap) = moved, trial
        step = 1.5 * step if relax else 1.0
    return Climbed(weights, gap, iterations, gap <= tol, value)


def _grow(weights: Floats, growth: Floats, step: float) -> Floats:
    exponent = step * (growth - np.max(growth[weights > 0]))
    grown = weights * np.exp(np.minimum(exponent, 0.0))
    # A long step must not kill for good a weight that later turns out to be needed.
    grown = np.where(weights > 0, np.maximum(grown, 1e-300), 0.0)
    return grown / np.sum(grown)


class FixedScore:
    """Maximise ``Σ p(x) log Σ_y q(y) m(x,y)^s`` over q: minus the Lagrangian of R(D) and R(G)."""

    def __init__(self, source: Floats, log_m: Floats, s: float) -> None:
        power = np.zeros_like(log_m) if s == 0 else s * log_m
        top = np.max(power, axis=1, keepdims=True)
        dead = ~np.isfinite(top[:, 0]) & (source > 0)
        if np.any(dead):
            raise ValueError(
                f"score: row {int(np.argmax(dead))} forbids every output or has an infinite gain at s={s!r}"
            )
        top = np.where(np.isfinite(top), top, 0.0)
        self.source, self.kernel, self.top = source, np.exp(power - top), top[:, 0]

    def __call__(self, weights: Floats) -> tuple[float, Floats, float]:
        partition = self.kernel @ weights
        live = self.source > 0
        value = float(self.source[live] @ (np.log(partition[live]) + self.top[live]))
        ratio = np.divide(self.source, partition, out=np.zeros_like(partition), where=live)
        with np.errstate(divide="ignore"):
            growth = np.log(ratio @ self.kernel)
        return value, growth, max(float(np.max(growth)), 0.0)

    def channel(self, weights: Floats) -> Floats:
        joint = self.kernel * weights
        total = np.sum(joint, axis=1, keepdims=True)
        # A source symbol of probability 0 that may go nowhere still needs a row: it gets the output marginal.
        return np.where(total > 0, joint / np.where(total > 0, total, 1.0), weights)


def rate_of(source: Floats, channel: Floats) -> float:
    """Return the mutual information of a source and a channel, in nats."""
    joint = source[:, None] * channel
    return float(information_of_groups(np, joint[..., None], divergence("kl"), None))


def expected_score(source: Floats, channel: Floats, table: Floats) -> float:
    """Return the mean of a table; a forbidden pair of probability 0 costs nothing."""
    joint = source[:, None] * channel
    return float(np.sum(joint * np.where(joint > 0, table, 0.0)))


def source_of(px: Any) -> Floats:
    """Return a source distribution as a vector of mass 1 in double precision."""
    return _checked(px, "px", 1)


def channel_of(channel: Any, rows: int | None = None) -> Floats:
    """Return the rows of a channel, each of mass 1 in double precision."""
    table_of(channel, rows, "channel")
    return _checked(channel, "channel", 2)


def table_of(table: Any, rows: int | None, name: str) -> Floats:
    """Return a table without NaN, of `rows` rows if that is given."""
    out = float64(table)
    if out.ndim != 2 or 0 in out.shape or (rows is not None and out.shape[0] != rows):
        expected = "(n_x, n_y)" if rows is None else f"({rows}, n_y), one row for each entry of px"
        raise ValueError(f"{name} must have shape {expected}, got {out.shape}")
    if np.any(np.isnan(out)):
        raise ValueError(f"{name} contains NaN")
    return out


def _checked(given: Any, name: str, ndim: int) -> Floats:
    """Return distributions along the last axis; what their own dtype rounded is put right in double precision."""
    _, (p,), dtype = floats(**{name: given})
    if p.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {tuple(p.shape)}")
    check_probabilities(p, -1, name, dtype=dtype)
    out = float64(p)
    return out / out.sum(axis=-1, keepdims=True)
