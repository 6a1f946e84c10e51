"""Inequalities between divergences: what one of them says about another.

>>> round(between("tv", "kl").upper(0.02), 4)      # Pinsker: no test does better than this
0.1
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from plogp.measures.divergence import Dissimilarity
from plogp.measures.registry import divergence

__all__ = ["Bounds", "between"]

Curve = Callable[[float], float]


@dataclass(frozen=True)
class Bounds:
    """What the value of divergence `given` implies for divergence `of`.

    Attributes
    ----------
    of, given : str
        Names; both take the same pair (P, Q) in the same order.
    names : str
        The inequalities, as the field calls them.
    """

    of: str
    given: str
    names: str
    _lower: Curve
    _upper: Curve
    _largest: float

    def lower(self, value: float) -> float:
        """Return the least value of `of` that is possible where `given` has this value."""
        return max(0.0, self._lower(self._valid(value)))

    def upper(self, value: float) -> float:
        """Return the greatest value of `of` that is possible where `given` has this value; maybe infinity."""
        return self._upper(self._valid(value))

    def _valid(self, value: float) -> float:
        value = float(value)
        if not 0.0 <= value <= self._largest * (1 + 1e-12):
            raise ValueError(f"{self.given} lies in [0, {self._largest:g}], got {value!r}")
        return min(value, self._largest)


def _binary_entropy(x: float) -> float:
    return -sum(t * math.log(t) for t in (x, 1.0 - x) if t > 0)


def _inverse(curve: Curve, largest: float) -> Curve:
    """Return the generalised inverse of an increasing curve on [0, largest], by bisection."""

    def inverse(value: float) -> float:
        if curve(largest) <= value:
            return largest
        low, high = 0.0, largest
        for _ in range(200):
            mid = (low + high) / 2
            low, high = (mid, high) if curve(mid) <= value else (low, mid)
        return low

    return inverse


def _none(value: float) -> float:
    return 0.0


def _unbounded(value: float) -> float:
    return math.inf


def _neg_log1m(x: float) -> float:
    return math.inf if x >= 1.0 else -math.log1p(-x)


# (of, given): (names, lower, upper). The other direction follows by inverting the curves.
_DIRECT: dict[tuple[str, str], tuple[str, Curve, Curve]] = {
    ("tv", "kl"): (
        "Pinsker; Bretagnolle-Huber",
        _none,
        lambda kl: min(math.sqrt(kl / 2), math.sqrt(-math.expm1(-kl))),
    ),
    ("tv", "hellinger"): ("Le Cam", lambda h: h, lambda h: math.sqrt(h * (2 - h))),
    ("tv", "chi2"): ("Cauchy-Schwarz", _none, lambda chi2: min(1.0, math.sqrt(chi2) / 2)),
    ("tv", "le_cam"): ("Cauchy-Schwarz", lambda v: v, lambda v: math.sqrt(v)),
    ("js", "tv"): (
        "Fano; Lin",
        lambda tv: math.log(2) - _binary_entropy((1 - tv) / 2),
        lambda tv: math.log(2) * tv,
    ),
    ("kl", "chi2"): ("Jensen", _none, lambda chi2: math.log1p(chi2)),
    ("hellinger", "kl"): (
        "Jensen",
        _none,
        lambda kl: min(kl / 2, -math.expm1(-kl / 2)),
    ),
    ("le_cam", "hellinger"): ("termwise", lambda h: h, lambda h: min(1.0, 2 * h)),
    ("js", "le_cam"): ("Topsøe", lambda v: v / 2, lambda v: math.log(2) * v),
}
# The same for the other order of the arguments, where it only renames.
for (_of, _given), _entry in list(_DIRECT.items()):
    _swap = {"kl": "reverse_kl", "chi2": "neyman"}
    if _of in _swap or _given in _swap:
        _DIRECT[(_swap.get(_of, _of), _swap.get(_given, _given))] = _entry


def between(of: str | Dissimilarity, given: str | Dissimilarity) -> Bounds:
    """Return the bounds on divergence `of` that the value of divergence `given` implies.

    Pinsker tv² <= kl/2; Bretagnolle-Huber tv² <= 1 - e^-kl; hellinger <= tv <= √(hellinger (2 - hellinger));
    kl <= log(1 + chi2); 4 tv² <= chi2; tv² <= le_cam <= tv; log 2 - h((1 - tv)/2) <= js <= tv log 2;
    hellinger <= 1 - e^(-kl/2) <= kl/2; hellinger <= le_cam <= 2 hellinger; le_cam/2 <= js <= le_cam log 2.

    Raises
    ------
    ValueError
        If no inequality between the two is known here; the known pairs are listed.

    Examples
    --------
    >>> round(between("kl", "tv").lower(0.5), 6)
    0.5
    >>> between("hellinger", "tv").upper(0.3)
    0.3
    """
    a, b = divergence(of), divergence(given)
    pair = (a.name, b.name)
    if pair in _DIRECT:
        names, lower, upper = _DIRECT[pair]
    elif pair[::-1] in _DIRECT:
        names, forward_lower, forward_upper = _DIRECT[pair[::-1]]
        largest = a.upper_bound if a.bounded else 1e6
        # What keeps b below its upper curve keeps a above its inverse, and the other way round.
        lower = _inverse(forward_upper, largest)
        upper = _unbounded if forward_lower is _none else _inverse(forward_lower, largest)
    else:
        known = ", ".join(sorted({" and ".join(sorted(p)) for p in _DIRECT}))
        raise ValueError(f"no inequality between {a.name!r} and {b.name!r} is known here; known: {known}")
    if upper is _unbounded and a.bounded:
        bound = a.upper_bound
        upper = lambda value: bound  # noqa: E731
    return Bounds(a.name, b.name, names, lower, upper, b.upper_bound)
