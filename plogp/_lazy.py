"""Names of a room that are loaded on first use, because they need an extra."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

__all__ = ["loader"]


def loader(
    room: str, homes: Mapping[str, str], extra: str = "torch", modules: Collection[str] = ()
) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that imports each name from its home when it is asked for.

    Parameters
    ----------
    room : str
        The package: ``"plogp.losses"``.
    homes : mapping
        Public name to the module that defines it: of the room, or a full path (``"plogp.estimate.attention"``).
    extra : str
        The extra that these names need; named in the error when one of its packages is missing.
    modules : collection of str
        Modules of the room that are public under their own names (``pl.text.scores``).

    Raises
    ------
    ImportError
        When a package is missing: one line with the extra's name.
    AttributeError
        For other names.

    Examples
    --------
    >>> loader("plogp.measures", {"Estimate": "uncertainty"})("Estimate").__name__
    'Estimate'
    """

    def get(name: str) -> Any:
        if name not in homes and name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        home = homes.get(name, name)
        try:
            module = import_module(home if home.startswith("plogp.") else f"{room}.{home}")
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("plogp"):
                raise
            raise ImportError(f"plogp[{extra}] is needed for {room}.{name}: pip install 'plogp[{extra}]'") from error
        return module if name in modules else getattr(module, name)

    return get
