"""What a score is, and the list of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = ["REGISTRY", "Score", "scoring"]

Floats = npt.NDArray[np.float64]
F = TypeVar("F", bound=Callable[..., Floats])


@dataclass(frozen=True)
class Score:
    """A score of texts: ``score(trace, **extra)`` returns one number a text, larger for machine text and members.

    Attributes
    ----------
    name : str
        Its key in `REGISTRY`.
    function : callable
        The function of the same name in `plogp.text.scores`.
    needs : tuple of str
        Fields of the trace beside `logprob`.
    reference : str
        "" (none), "optional" or "required": a second model, by `ref`; or the name that the reference has by default.
    extra : tuple of str
        Arguments that must be given: another trace, draws of the model.
    source : str
        Who proposed it.

    Examples
    --------
    >>> from plogp.text.scores import REGISTRY
    >>> REGISTRY["min_k_pp"].needs, REGISTRY["min_k_pp"].lower_is
    (('entropy', 'varentropy'), 'human text, not a member')
    """

    name: str
    function: Callable[..., Floats]
    needs: tuple[str, ...] = ()
    reference: str = ""
    extra: tuple[str, ...] = ()
    source: str = ""
    higher_is: str = "machine text, a member of the training set"
    lower_is: str = "human text, not a member"

    def __call__(self, trace: Trace, **extra: Any) -> Floats:
        """Return the score of each text, shape (S,); NaN for a text that is too short for it."""
        missing = [name for name in self.extra if extra.get(name) is None]
        if missing:
            raise ValueError(f"the score {self.name!r} needs {', '.join(f'{m}=' for m in missing)}")
        try:
            return self.function(trace, **extra)
        except ValueError as error:
            raise ValueError(f"score {self.name!r}: {error}") from error

    def lacks(self, trace: Trace, **extra: Any) -> list[str]:
        """Return what a trace and arguments lack for this score, in words; an empty list if nothing."""
        ref = extra.get("ref")
        named = self.reference == "optional" and ref is not None
        out = [] if named else [f"trace.{n}" for n in self.needs if n not in extra and getattr(trace, n) is None]
        if self.reference == "required" and ref is None:
            out += [] if len(trace.refs) == 1 else ["one reference, or ref="]
        elif self.reference in ("required", "optional"):
            out += [] if ref is None or ref in trace.refs else [f"the reference {ref!r}"]
        elif self.reference and "freq" not in extra and self.reference not in trace.refs:
            out.append(f"the reference {self.reference!r}")
        return out + [f"{name}=" for name in self.extra if extra.get(name) is None]


#: Every score by name; see `Score`.
REGISTRY: dict[str, Score] = {}


def scoring(**facts: Any) -> Callable[[F], F]:
    """Enter the decorated function, under its name, in `REGISTRY`."""

    def enter(function: F) -> F:
        REGISTRY[function.__name__] = Score(function.__name__, function, **facts)
        return function

    return enter
