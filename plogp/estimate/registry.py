"""The registry of estimators by name, and how a front end sees its arguments: discrete or continuous.

A method added with `register` is found by every front end: ``register("mutual_information", "mine", mine)``
makes ``mutual_information(x, y, method="mine")`` work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_array
from plogp.measures.uncertainty import Estimate

__all__ = ["Method", "Variable", "find", "methods", "prepare", "register"]

MEASURES = (
    "entropy",
    "conditional_entropy",
    "mutual_information",
    "conditional_mutual_information",
    "transfer_entropy",
    "total_correlation",
    "dual_total_correlation",
    "o_information",
    "interaction_information",
)


@dataclass(frozen=True)
class Method:
    """An estimator of a measure.

    Attributes
    ----------
    name : str
        What ``method=`` is called.
    estimate : callable
        ``estimate(*variables, **options) -> Estimate``; variables are arrays with samples as rows. It is given
        ``rng`` and ``names`` (of the variables, for messages) where it has such parameters.
    suits : str
        ``"discrete"``, ``"continuous"``, ``"mixed"`` (one of each) or ``"any"``; other data is refused.
    """

    name: str
    estimate: Callable[..., Estimate]
    suits: str = "any"


_REGISTRY: dict[str, dict[str, Method]] = {measure: {} for measure in MEASURES}


def register(measure: str, name: str, estimate: Callable[..., Estimate], suits: str = "any") -> None:
    """Make an estimator known under a name.

    Raises
    ------
    ValueError
        For an unknown measure, or a name that is taken by another estimator.

    Examples
    --------
    >>> from plogp.estimate.entropies import STRATEGIES
    >>> "grassberger" in methods("entropy")
    True
    """
    known = _measure(measure)
    if suits not in ("discrete", "continuous", "mixed", "any"):
        raise ValueError(f"suits must be 'discrete', 'continuous', 'mixed' or 'any', got {suits!r}")
    key = _key(name)
    if key == "auto" or (key in known and known[key].estimate is not estimate):
        raise ValueError(f"the name {name!r} is taken for {measure}")
    known[key] = Method(key, estimate, suits)


def methods(measure: str = "mutual_information") -> list[str]:
    """Return the names that ``method=`` accepts for a measure, besides ``"auto"``.

    >>> "ksg" in methods("mutual_information")
    True
    """
    _load()
    return list(_measure(measure))


def find(measure: str, name: str) -> Method:
    """Return a method by name.

    Raises
    ------
    ValueError
        For an unknown name; the message lists all.
    """
    _load()
    known = _measure(measure)
    key = _key(name)
    if key not in known:
        raise ValueError(f"unknown method {name!r} for {measure}; expected 'auto' or one of {', '.join(known)}")
    return known[key]


def _load() -> None:
    """The estimators of this room are registered where the choice between them is made."""
    import plogp.estimate.choice  # noqa: F401


def _measure(measure: str) -> dict[str, Method]:
    if measure not in _REGISTRY:
        raise ValueError(f"unknown measure {measure!r}; expected one of {', '.join(MEASURES)}")
    return _REGISTRY[measure]


def _key(name: str) -> str:
    return str(name).lower().replace("-", "_").replace(" ", "_")


@dataclass(frozen=True, eq=False)
class Variable:
    """An argument of a front end: its name, its values as an array, and whether they are labels or numbers."""

    name: str
    values: npt.NDArray[Any]
    discrete: bool

    def __len__(self) -> int:
        return len(self.values)

    @property
    def whole(self) -> bool:
        """Whether it is continuous by its type, but holds whole numbers with repeats only."""
        x = self.values
        if self.discrete or (x.ndim == 2 and x.shape[1] != 1):
            return False
        return bool((x == np.floor(x)).all()) and 1 < len(np.unique(x)) < len(x)


def prepare(**named: Any) -> list[Variable]:
    """Return the named arguments as variables of equal length.

    Integers, booleans, strings, dates and objects are labels; floats are numbers, whatever their values.

    Raises
    ------
    ValueError
        For empty or missing values, more than two dimensions, or lengths that differ.
    TypeError
        For values that are neither labels nor real numbers.
    """
    out: list[Variable] = []
    for name, given in named.items():
        if isinstance(given, Variable):
            out.append(given)
            continue
        x = as_array(given, name)
        if x.ndim not in (1, 2) or x.size == 0:
            what = "is empty" if x.size == 0 else f"has shape {x.shape}"
            raise ValueError(f"{name} {what}; expected samples as rows, shape (n,) or (n, d)")
        if x.dtype.kind == "c":
            raise TypeError(f"{name} holds complex numbers; expected labels or real numbers")
        if x.dtype.kind == "f":
            if not np.isfinite(x).all():
                raise ValueError(f"{name} contains NaN or infinite values; drop or impute them first")
            out.append(Variable(name, x, False))
        else:
            out.append(Variable(name, x, True))
    for v in out[1:]:
        if len(v) != len(out[0]):
            raise ValueError(f"{v.name} has {len(v)} samples but {out[0].name} has {len(out[0])}")
    return out
