"""Time and physics: what information allows a process to do, and what channels with memory carry.

Names are loaded on first use.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

if TYPE_CHECKING:
    from plogp.dynamics import work
    from plogp.dynamics.gaussian_channels import (
        ARMA,
        AWGN,
        Autoregressive,
        GaussianChannel,
        MovingAverage,
        capacity,
        water_filling,
    )
    from plogp.dynamics.work import WorkVerdict, extractable, one_shot

# Public name -> the module that defines it; a module's own name stands for the module.
_HOMES = {
    "ARMA": "gaussian_channels",
    "AWGN": "gaussian_channels",
    "Autoregressive": "gaussian_channels",
    "GaussianChannel": "gaussian_channels",
    "MovingAverage": "gaussian_channels",
    "WorkVerdict": "work",
    "capacity": "gaussian_channels",
    "extractable": "work",
    "one_shot": "work",
    "water_filling": "gaussian_channels",
    "work": "work",
}

__all__ = [
    "ARMA",
    "AWGN",
    "Autoregressive",
    "GaussianChannel",
    "MovingAverage",
    "WorkVerdict",
    "capacity",
    "extractable",
    "one_shot",
    "water_filling",
    "work",
]


def __getattr__(name: str) -> _Any:
    if name in _HOMES:
        module = _import_module(f"plogp.dynamics.{_HOMES[name]}")
        return module if name == _HOMES[name] else getattr(module, name)
    raise AttributeError(f"module 'plogp.dynamics' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
