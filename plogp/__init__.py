"""plogp: information theory for machine learning.

Measure it, estimate it, train on it, decode with it, audit with it, compress with it. The name is the summand
of Shannon's entropy, p log p. Rooms (``plogp.measures``, ``plogp.estimate``, ...) are loaded on first use.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

__version__ = "0.1.0"

_ROOMS = (
    "adapt",
    "cli",
    "decode",
    "dynamics",
    "estimate",
    "losses",
    "measures",
    "nn",
    "papers",
    "report",
    "search",
    "spectra",
    "stats",
    "tables",
    "testing",
    "text",
    "trace",
)

if TYPE_CHECKING:
    from plogp import adapt as adapt
    from plogp import cli as cli
    from plogp import decode as decode
    from plogp import dynamics as dynamics
    from plogp import estimate as estimate
    from plogp import losses as losses
    from plogp import measures as measures
    from plogp import nn as nn
    from plogp import papers as papers
    from plogp import report as report
    from plogp import search as search
    from plogp import spectra as spectra
    from plogp import stats as stats
    from plogp import tables as tables
    from plogp import testing as testing
    from plogp import text as text
    from plogp import trace as trace
    from plogp.measures import *  # noqa: F403


def __getattr__(name: str) -> _Any:
    if name in _ROOMS:
        return _import_module(f"plogp.{name}")
    if not name.startswith("_"):
        measures = _import_module("plogp.measures")
        if name in measures.__all__:
            return getattr(measures, name)
    raise AttributeError(f"module 'plogp' has no attribute {name!r}; its rooms are {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return sorted([*_ROOMS, *_import_module("plogp.measures").__all__, "__version__"])
