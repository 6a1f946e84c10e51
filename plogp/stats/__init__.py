"""Statistics built on information: semantic classifiers and mixtures, performance against fairness.

Names are loaded on first use, because their modules need scikit-learn or SciPy's optimisers.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

if TYPE_CHECKING:
    from plogp.stats.frontier import Holdout, fair_frontier, holdout, score_information
    from plogp.stats.pareto import Frontier, FrontierPoint, ParetoMIP
    from plogp.stats.power_law import PowerLaw, fit_power_law
    from plogp.stats.semantic import EnMMixture, MSIClassifier

# Public name -> the module that defines it. A new method adds its line here.
_HOMES = {
    "EnMMixture": "semantic",
    "Frontier": "pareto",
    "FrontierPoint": "pareto",
    "Holdout": "frontier",
    "MSIClassifier": "semantic",
    "ParetoMIP": "pareto",
    "PowerLaw": "power_law",
    "fair_frontier": "frontier",
    "fit_power_law": "power_law",
    "holdout": "frontier",
    "score_information": "frontier",
}

__all__ = [
    "EnMMixture",
    "Frontier",
    "FrontierPoint",
    "Holdout",
    "MSIClassifier",
    "ParetoMIP",
    "PowerLaw",
    "fair_frontier",
    "fit_power_law",
    "holdout",
    "score_information",
]


def __getattr__(name: str) -> _Any:
    if name in _HOMES:
        return getattr(_import_module(f"plogp.stats.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'plogp.stats' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
