"""The best selections for every price: exact Pareto frontiers by mixed-integer programming.

Choose items of the largest total value at a bounded total cost, no two of them in conflict. The frontier is
every selection that no other beats in both, found by the epsilon-constraint method: the best value for every
budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate

__all__ = ["Frontier", "FrontierPoint", "ParetoMIP"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: The programme counts costs in whole parts of their total, rounded downwards and made good by a cut: whole
#: numbers leave no selection within the solver's tolerance of the budget.
_PARTS = 1e5
#: Two costs closer than this share of the total are one.
_RESOLUTION = 1e-8


@dataclass(frozen=True, eq=False)
class FrontierPoint:
    """One selection that no other beats in both value and cost.

    ``bound`` is what the cost stays below with probability 1 - alpha (the cost itself without `alpha`).
    """

    selected: tuple[int, ...]
    names: tuple[str, ...]
    value: float
    cost: float
    bound: float
    value_se: float | None = None
    cost_se: float | None = None

    def value_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the normal interval of the value; errors of different items count as independent."""
        return _interval(self.value, self.value_se, level)

    def cost_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the normal interval of the cost; errors of different items count as independent."""
        return _interval(self.cost, self.cost_se, level)


@dataclass(frozen=True, eq=False)
class Frontier:
    """The frontier's points, from the cheapest to the most valuable."""

    points: list[FrontierPoint]
    alpha: float | None = None
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[FrontierPoint]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, k: int) -> FrontierPoint:
        return self.points[k]

    @property
    def values(self) -> Floats:
        """Total value of every point, ascending."""
        return np.array([p.value for p in self.points])

    @property
    def bounds(self) -> Floats:
        """Cost (or its upper bound) of every point, ascending."""
        return np.array([p.bound for p in self.points])

    def best(self, budget: float) -> FrontierPoint:
        """Return the most valuable point whose cost (or its bound) is within `budget`."""
        inside = [p for p in self.points if p.bound <= budget]
        if not inside:
            raise ValueError(f"no point costs at most {budget!r}; the cheapest costs {self.points[0].bound:.4g}")
        return inside[-1]

    def __repr__(self) -> str:
        within = "" if self.alpha is None else f"below (p {1 - self.alpha:g})  "
        lines = [f"value   cost    {within}selected"]
        for p in self.points:
            bound = "" if self.alpha is None else f"{p.bound:.4f}".ljust(len(within))
            lines.append(f"{p.value:.4f}  {p.cost:.4f}  {bound}{', '.join(p.names) or '(none)'}")
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


@dataclass(frozen=True, eq=False)
class ParetoMIP:
    """Select items of the largest total value at bounded total cost, exactly.

    max Σ value_j z_j  subject to  Σ cost_j z_j <= τ,  Σ z_j <= max_items,  z_i + z_j <= 1 for conflicts,
    at most one item a group, z binary; the frontier is the solution for every τ.

    Parameters
    ----------
    value, cost : array-like of shape (m,)
        Finite; costs at least 0.
    value_se, cost_se : array-like of shape (m,), optional
        Standard errors. `cost_se` is needed where the frontier is asked for at a level `alpha`.
    conflicts : sequence of pairs
        Items that must not be chosen together.
    groups : array-like of shape (m,), optional
        Items of one group are versions of one thing (binnings of one column): at most one is chosen.
    max_items : int, optional
        Largest number of items.
    names : sequence of str, optional
        Names of the items, by default their numbers.

    Raises
    ------
    ValueError
        If arrays differ in length, are not finite, costs or errors are negative, or a conflict names no item.

    Examples
    --------
    >>> mip = ParetoMIP([0.5, 0.3, 0.2], [0.4, 0.1, 0.0], conflicts=[(1, 2)])
    >>> [(p.selected, round(p.value, 3), round(p.cost, 3)) for p in mip.frontier()]
    [((2,), 0.2, 0.0), ((1,), 0.3, 0.1), ((0, 2), 0.7, 0.4), ((0, 1), 0.8, 0.5)]

    References
    ----------
    Haimes, Lasdon and Wismer (1971) for the epsilon-constraint method; solved by HiGHS through SciPy.
    """

    value: npt.ArrayLike
    cost: npt.ArrayLike
    value_se: npt.ArrayLike | None = None
    cost_se: npt.ArrayLike | None = None
    conflicts: Sequence[tuple[int, int]] = ()
    groups: npt.ArrayLike | None = None
    max_items: int | None = None
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        value = _checked(self.value, "value", None)
        m = len(value)
        cost = _checked(self.cost, "cost", m, least=0.0)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "cost", cost)
        for name in ("value_se", "cost_se"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _checked(getattr(self, name), name, m, least=0.0))
        for i, j in self.conflicts:
            if not (0 <= i < m and 0 <= j < m and i != j):
                raise ValueError(f"conflicts must be pairs of different items 0..{m - 1}, got ({i}, {j})")
        if self.groups is not None and np.asarray(self.groups).shape != (m,):
            raise ValueError(f"groups must hold one label an item ({m})")
        if self.names is not None and len(self.names) != m:
            raise ValueError(f"names must hold one name an item ({m}), got {len(self.names)}")
        if self.max_items is not None and self.max_items < 0:
            raise ValueError(f"max_items must be at least 0, got {self.max_items!r}")

    def bound(self, chosen: Bools, alpha: float | None = None, form: str = "exact") -> float:
        """Return what the cost of a selection stays below with probability 1 - `alpha`."""
        cost, se, q = self._costs(alpha)
        if form == "conservative":
            return float((cost + q * se)[chosen].sum())
        return float(cost[chosen].sum() + q * math.sqrt(float((se[chosen] ** 2).sum())))

    def solve(self, budget: float, alpha: float | None = None, form: str = "exact") -> FrontierPoint | None:
        """Return the most valuable selection within `budget`, or None where not even the empty one fits."""
        if not budget >= 0:
            return None
        return self._point(self._maximise(budget, alpha, form, _Cuts()), alpha, form)

    def frontier(
        self, alpha: float | None = None, form: str = "exact", budgets: npt.ArrayLike | None = None
    ) -> Frontier:
        """Return every selection that no other beats in both value and cost.

        Parameters
        ----------
        alpha : float, optional
            Bound the cost with probability 1 - alpha under independent normal errors: the cost plus
            z_(1-alpha) sqrt(Σ se²) takes the place of the cost.
        form : "exact" or "conservative"
            "conservative" charges every item cost + z_(1-alpha) se, which is linear and errs on the safe
            side.
        budgets : array-like, optional
            Only the best selections at these budgets, for many items; by default all of them.

        Notes
        -----
        The norm sqrt(Σ se_j² z_j) is convex, so each selection that overruns the budget is cut off by the
        tangent plane at it, which no feasible selection violates; the programme stays linear and the answer
        exact.
        """
        if form not in ("exact", "conservative"):
            raise ValueError(f"form must be 'exact' or 'conservative', got {form!r}")
        found: list[FrontierPoint] = []
        if budgets is not None:
            for budget in np.sort(np.asarray(budgets, dtype=np.float64)):
                point = self.solve(float(budget), alpha, form)
                found += [] if point is None else [point]
            return Frontier(_undominated(found, self._step(alpha)), alpha)
        cuts = _Cuts()
        step = self._step(alpha)
        budget = math.inf
        while budget >= 0:
            chosen = self._maximise(budget, alpha, form, cuts)
            if chosen is None:
                break
            found.append(self._point(chosen, alpha, form))
            budget = found[-1].bound - step
            if budget >= 0:
                cuts.add(self._cover(chosen, budget, alpha, form))
        return Frontier(_undominated(found, step), alpha)

    def _costs(self, alpha: float | None) -> tuple[Floats, Floats, float]:
        cost = np.asarray(self.cost)
        if alpha is None:
            return cost, np.zeros_like(cost), 0.0
        if not 0 < alpha <= 0.5:
            raise ValueError(f"alpha must lie in (0, 0.5], got {alpha!r}")
        if self.cost_se is None:
            raise ValueError("alpha needs cost_se, the standard errors of the costs")
        from scipy import special

        return cost, np.asarray(self.cost_se), float(special.ndtri(1 - alpha))

    def _step(self, alpha: float | None) -> float:
        cost, se, q = self._costs(alpha)
        return _RESOLUTION * max(float((cost + q * se).sum()), 1e-300)

    def _maximise(self, budget: float, alpha: float | None, form: str, cuts: _Cuts) -> Bools | None:
        """Solve max value subject to bound <= budget; `cuts` stay valid as the budget falls."""
        value = np.asarray(self.value)
        cost, se, q = self._costs(alpha)
        charge = cost + q * se if form == "conservative" else cost
        scale = _PARTS / max(float((cost + q * se).sum()), 1e-300)
        fixed = self._structure()
        while True:
            rows, upper = list(fixed[0]), list(fixed[1])
            if math.isfinite(budget):
                for row in [charge, *cuts.tangents]:
                    rows.append(np.floor(row * scale))
                    upper.append(math.floor(budget * scale) + 0.5)
            for cover in cuts.covers:
                rows.append(cover.astype(np.float64))
                upper.append(float(cover.sum()) - 1.0)
            chosen = _best_binary(value, np.array(rows).reshape(-1, len(value)), np.array(upper))
            if chosen is None:
                return None
            if self.bound(chosen, alpha, form) <= budget:
                return chosen
            # Over budget: by the convex part that the linear rows lack, or by their rounding.
            norm = math.sqrt(float((se[chosen] ** 2).sum()))
            if form == "exact" and q * norm > 0:
                cuts.tangents.append(cost + q * se**2 * chosen / norm)
            cuts.add(self._cover(chosen, budget, alpha, form))

    def _cover(self, chosen: Bools, budget: float, alpha: float | None, form: str) -> Bools:
        """Return a smallest part of a selection that is over budget on its own: costs only add."""
        cover = chosen.copy()
        for j in np.argsort(np.asarray(self.cost)):
            if cover[j]:
                cover[j] = False
                if self.bound(cover, alpha, form) <= budget:
                    cover[j] = True
        return cover

    def _structure(self) -> tuple[list[Floats], list[float]]:
        m = len(np.asarray(self.value))
        rows: list[Floats] = []
        upper: list[float] = []
        if self.max_items is not None:
            rows.append(np.ones(m))
            upper.append(float(self.max_items))
        for i, j in self.conflicts:
            row = np.zeros(m)
            row[[i, j]] = 1.0
            rows.append(row)
            upper.append(1.0)
        if self.groups is not None:
            labels, member = np.unique(np.asarray(self.groups), return_inverse=True)
            for g in range(len(labels)):
                if (member == g).sum() > 1:
                    rows.append((member == g).astype(np.float64))
                    upper.append(1.0)
        return rows, upper

    def _point(self, chosen: Bools | None, alpha: float | None, form: str) -> Any:
        if chosen is None:
            return None
        value, cost = np.asarray(self.value), np.asarray(self.cost)
        selected = tuple(int(j) for j in np.flatnonzero(chosen))
        names = tuple(str(j) if self.names is None else str(self.names[j]) for j in selected)
        errors = [
            None if se is None else math.sqrt(float((np.asarray(se)[chosen] ** 2).sum()))
            for se in (self.value_se, self.cost_se)
        ]
        return FrontierPoint(
            selected,
            names,
            float(value[chosen].sum()),
            float(cost[chosen].sum()),
            self.bound(chosen, alpha, form),
            errors[0],
            errors[1],
        )


@dataclass
class _Cuts:
    """Rows found while solving, valid for every lower budget as well.

    ``tangents``: planes below the convex cost. ``covers``: items that together are over budget, so that not
    all of them can be chosen.
    """

    tangents: list[Floats] = field(default_factory=list)
    covers: list[Bools] = field(default_factory=list)

    def add(self, cover: Bools) -> None:
        """Add a cover, and drop those that it implies."""
        self.covers = [c for c in self.covers if not np.all(c[cover])] + [cover]


def _best_binary(value: Floats, rows: Floats, upper: Floats) -> Bools | None:
    """Return the binary z of the largest value with rows @ z <= upper, or None if there is none.

    HiGHS, as SciPy 1.17 ships it, drops the optimum of about one in a thousand of these programmes
    ("tmpSolver"); the error goes away with any change of the numbers. So each is solved twice, in two orders
    and scales.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    objective = -value / max(float(np.abs(value).max()), 1e-300)
    best: Bools | None = None
    for order, scale, presolve in ((slice(None), 1.0, True), (slice(None, None, -1), 1e-3, False)):
        size = np.where(np.abs(rows).max(axis=1, initial=0.0) > 1, scale, 1.0)[order]
        constraints = []
        if len(rows):
            constraints = [LinearConstraint(rows[order][:, order] * size[:, None], -np.inf, upper[order] * size)]
        answer = milp(
            objective[order],
            constraints=constraints,
            integrality=np.ones(len(value), dtype=np.int64),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0, "presolve": presolve},
        )
        if answer.x is None:
            if answer.status != 2:  # 2: infeasible
                raise RuntimeError(f"the solver stopped without an answer: {answer.message}")
            continue
        found = np.asarray(answer.x > 0.5)[order]
        if np.all(rows @ found <= upper) and (best is None or value[found].sum() > value[best].sum()):
            best = found
    return best


def _undominated(points: list[FrontierPoint], step: float) -> list[FrontierPoint]:
    out: list[FrontierPoint] = []
    for p in sorted(points, key=lambda p: (p.bound, -p.value)):
        if not out or p.value > out[-1].value * (1 + 1e-12) + 1e-300:
            out.append(p)
    return out


def _interval(value: float, se: float | None, level: float) -> tuple[float, float]:
    return Estimate(value, se, method="a sum of estimates").interval(level)


def _checked(x: Any, name: str, m: int | None, least: float | None = None) -> Floats:
    a = np.asarray(x, dtype=np.float64)
    if a.ndim != 1 or a.size == 0 or (m is not None and len(a) != m):
        raise ValueError(f"{name} must be one-dimensional{f' of length {m}' if m else ''}, got shape {a.shape}")
    if not np.all(np.isfinite(a)) or (least is not None and np.any(a < least)):
        raise ValueError(f"{name} must be finite{'' if least is None else f' and at least {least:g}'}")
    return a
