"""Search by sampling: `CrossEntropyMethod` fits a law to its best samples until they agree."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.search.cross_entropy_method import Bernoulli, CrossEntropyMethod, FullNormal, IndependentNormal

_HOMES = {
    "Bernoulli": "cross_entropy_method",
    "CrossEntropyMethod": "cross_entropy_method",
    "FullNormal": "cross_entropy_method",
    "IndependentNormal": "cross_entropy_method",
}

__all__ = [
    "Bernoulli",
    "CrossEntropyMethod",
    "FullNormal",
    "IndependentNormal",
]

__getattr__ = _loader("plogp.search", _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
