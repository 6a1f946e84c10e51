"""Time and physics: what information allows a process to do.

Names are loaded on first use.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

if TYPE_CHECKING:
    from plogp.dynamics import work
    from plogp.dynamics.work import WorkVerdict, extractable, one_shot

# Public name -> the module that defines it; a module's own name stands for the module.
_HOMES = {"WorkVerdict": "work", "extractable": "work", "one_shot": "work", "work": "work"}

__all__ = ["WorkVerdict", "extractable", "one_shot", "work"]


def __getattr__(name: str) -> _Any:
    if name in _HOMES:
        module = _import_module(f"plogp.dynamics.{_HOMES[name]}")
        return module if name == _HOMES[name] else getattr(module, name)
    raise AttributeError(f"module 'plogp.dynamics' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
