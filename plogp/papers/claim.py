"""What a claim is: a short function that runs a paper's statement and can fail.

Claims live in ``plogp/papers/claims/<room>/<slug>.py`` (hyphens of the slug become underscores).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

__all__ = ["KINDS", "Claim", "Result", "claim", "claims_of", "module_name", "plain"]

#: exact: identity, theorem or closed form. statistical: known truth, tolerance from the standard error.
#: directional: the paper's headline direction against the paper's own baseline, over several seeds.
KINDS = ("exact", "statistical", "directional")

Measured = float | list[Any] | dict[str, Any]


def plain(value: Any, name: str = "value") -> Any:
    """Return `value` built of plain Python numbers, texts, lists and dictionaries.

    Parameters
    ----------
    value : object
        Numbers and arrays of NumPy are converted; mappings, lists and tuples are walked.
    name : str
        What to call the value in an error.

    Raises
    ------
    TypeError
        If something in it is none of these.

    Examples
    --------
    >>> plain({"a": np.float64(0.5), "b": np.arange(3), "c": (1, None)})
    {'a': 0.5, 'b': [0, 1, 2], 'c': [1, None]}
    """
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(k): plain(v, f"{name}[{k!r}]") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v, f"{name}[{i}]") for i, v in enumerate(value)]
    raise TypeError(f"{name} must be a number, text, list, mapping or NumPy array, got {type(value).__name__}")


@dataclass(frozen=True)
class Result:
    """What running a claim gave.

    Parameters
    ----------
    measured, expected : float, list or dict
        What came out, and what the paper (or a theorem) says.
    criterion : str
        When the claim holds, in words with its tolerance: ``"largest violation <= 1e-12"``.
    passed : bool
        Whether the criterion is met.
    baseline : float, list, dict or None
        The value of the paper's own baseline, for directional claims.
    unit : str
        Of the measured value: ``"nats"``, ``"bits"``, ``""``.
    details : mapping
        Further figures: sample sizes, seeds, per-seed values.
    series : mapping or None
        ``{"x": [...], "curves": {label: [...]}, "xlabel": ..., "ylabel": ...}``, drawn on the page of
        results.
    reproduced : bool
        False where the method is right but the paper's finding did not come out at this scale. Such a result
        has ``passed=False`` and says why in `note`; it is shown as "not reproduced".
    note : str
        A sentence for the reader.

    Raises
    ------
    TypeError, ValueError
        If a field has the wrong type, or the fields contradict each other.

    Examples
    --------
    >>> r = Result(measured=3e-16, expected=0.0, criterion="|difference| <= 1e-12", passed=True)
    >>> r.status
    'passed'
    >>> Result(0.3, 0.5, "at least 0.5", False, reproduced=False, note="needs a larger model").status
    'not reproduced'
    """

    measured: Measured
    expected: Measured
    criterion: str
    passed: bool
    baseline: Measured | None = None
    unit: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    series: Mapping[str, Any] | None = None
    reproduced: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, plain(getattr(self, f.name), f.name))
        for name in ("passed", "reproduced"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        for name in ("measured", "expected"):
            value = getattr(self, name)
            if value is None or isinstance(value, str):
                raise TypeError(f"{name} must be a number, list or mapping, got {value!r}")
        for name in ("criterion", "unit", "note"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be text, got {getattr(self, name)!r}")
        if not self.criterion.strip():
            raise ValueError("criterion must say in words when the claim holds, got an empty text")
        if not isinstance(self.details, dict):
            raise TypeError(f"details must be a mapping, got {type(self.details).__name__}")
        if self.passed and _has_nan(self.measured):
            raise ValueError(f"a claim whose measured value is NaN cannot have passed: {self.measured!r}")
        if not self.reproduced and (self.passed or not self.note.strip()):
            raise ValueError("reproduced=False needs passed=False and a note that says what came out instead")
        if self.series is not None:
            _check_series(self.series)

    @property
    def status(self) -> str:
        """``"passed"``, ``"failed"`` or ``"not reproduced"``."""
        return "passed" if self.passed else "failed" if self.reproduced else "not reproduced"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the status as plain values."""
        return {"status": self.status, **{f.name: getattr(self, f.name) for f in fields(self)}}


def _has_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nan(v) for v in value.values())
    if isinstance(value, list):
        return any(_has_nan(v) for v in value)
    return isinstance(value, float) and math.isnan(value)


def _check_series(series: Any) -> None:
    """Raise unless `series` has an x and curves of its length."""
    if not isinstance(series, dict) or not {"x", "curves"} <= set(series):
        raise ValueError("series must be a mapping with 'x' and 'curves'")
    unknown = set(series) - {"x", "curves", "xlabel", "ylabel"}
    if unknown:
        raise ValueError(f"series has unknown entries {sorted(unknown)}; expected x, curves, xlabel, ylabel")
    x, curves = series["x"], series["curves"]
    if not isinstance(x, list) or not isinstance(curves, dict) or not curves:
        raise ValueError("series needs a list 'x' and a non-empty mapping 'curves' of label to list")
    for label, y in curves.items():
        if not isinstance(y, list) or len(y) != len(x):
            raise ValueError(f"series curve {label!r} must be a list of {len(x)} numbers, as long as 'x'")


ClaimFunction = Callable[..., Result]


@dataclass(frozen=True)
class Claim:
    """A registered claim function: calling it runs it.

    Raises
    ------
    TypeError
        If the function returns something else than a `Result`.
    """

    slug: str
    name: str
    kind: str
    slow: bool
    statement: str
    function: ClaimFunction

    def __call__(self, seed: int = 0) -> Result:
        """Run the claim."""
        result = self.function(seed=seed)
        if not isinstance(result, Result):
            raise TypeError(f"claim {self.slug}:{self.name} must return a Result, got {type(result).__name__}")
        return result


#: Every claim whose file has been imported: module name of the slug, then function name.
_registry: dict[str, dict[str, Claim]] = {}


def claim(slug: str, kind: str, slow: bool = False) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Register the decorated function as a claim of the paper `slug`, and return the function as it is.

    Parameters
    ----------
    slug : str
        The paper's slug in the catalogue (hyphens and underscores are alike).
    kind : {"exact", "statistical", "directional"}
        What sort of evidence it is.
    slow : bool
        True if it runs for more than about 20 seconds: then only ``--slow`` runs it.

    Raises
    ------
    ValueError, TypeError
        For an unknown kind, a function without a ``seed`` parameter, or one without a docstring.

    Examples
    --------
    >>> @claim("an-example", kind="exact")
    ... def one_is_one(seed: int = 0) -> Result:
    ...     "One equals one."
    ...     return Result(measured=1.0, expected=1.0, criterion="equal", passed=True)
    >>> one_is_one().passed
    True
    >>> _ = _registry.pop("an_example")
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")

    def register(function: ClaimFunction) -> ClaimFunction:
        name = function.__name__
        parameter = inspect.signature(function).parameters.get("seed")
        if parameter is None or parameter.default is inspect.Parameter.empty:
            raise TypeError(f"claim {name} must take a parameter `seed` with a default, e.g. `seed: int = 0`")
        statement = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        if not statement:
            raise ValueError(f"claim {name} must have a docstring: one sentence that says what must hold")
        known = _registry.setdefault(module_name(slug), {})
        known[name] = Claim(slug, name, kind, slow, statement, function)
        return function

    return register


def module_name(slug: str) -> str:
    """Return the module name of a slug: ``"woe-iv-psi"`` becomes ``"woe_iv_psi"``."""
    return slug.replace("-", "_").lower()


def claims_of(slug: str, room: str) -> list[Claim]:
    """Import the claim file of a paper and return its claims in the order of the file.

    A paper without a claim file has none. An error inside the file is raised, not hidden.

    Raises
    ------
    ValueError
        If a claim in the file is registered under another paper's slug.
    """
    package, module = f"plogp.papers.claims.{room}", module_name(slug)
    if find_spec("plogp.papers.claims") is None or find_spec(package) is None:
        return []
    if find_spec(f"{package}.{module}") is None:
        return []
    file = import_module(f"{package}.{module}")
    inside = [v for v in vars(file).values() if inspect.isfunction(v) and v.__module__ == file.__name__]
    found = {c.function: c for c in _registry.get(module, {}).values()}
    for other, registered in _registry.items():
        for c in registered.values():
            if other != module and c.function in inside:
                raise ValueError(f"{file.__name__}: claim {c.name} is registered for {c.slug!r}, not {slug!r}")
    return [found[f] for f in inside if f in found]
