"""Running a list of named checks, and the array libraries to run them on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["available_libraries", "converter", "expect_error", "run_checks"]


def available_libraries() -> list[str]:
    """Return the array libraries that are installed: ``numpy`` and maybe ``torch``, ``jax``, ``array_api_strict``."""
    return ["numpy", *(name for name in ("torch", "jax", "array_api_strict") if importlib.util.find_spec(name))]


def converter(library: str) -> Callable[[Any], Any]:
    """Return the function that makes an array of `library` from a NumPy array, keeping its dtype."""
    if library == "numpy":
        return np.asarray
    if library == "torch":
        import torch

        return lambda x: torch.as_tensor(np.asarray(x))
    if library == "jax":
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        return lambda x: jnp.asarray(x)
    if library == "array_api_strict":
        import array_api_strict

        return lambda x: array_api_strict.asarray(np.asarray(x))
    raise ValueError(f"unknown library {library!r}; expected numpy, torch, jax or array_api_strict")


def run_checks(subject: str, checks: Iterable[Callable[[], None]], skip: Mapping[str, str] | None = None) -> None:
    """Run the checks and raise one error that names those that failed.

    Raises
    ------
    AssertionError
        With one line for each failed check.
    ValueError
        If `skip` names a check that does not exist, so that an exemption cannot outlive its reason.
    """
    skip, failures, seen = dict(skip or {}), [], set()
    for check in checks:
        name = check.__name__.removeprefix("check_")
        seen.add(name)
        if name in skip:
            continue
        try:
            check()
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}")
    unknown = set(skip) - seen
    if unknown:
        raise ValueError(f"skip names checks that do not exist: {', '.join(sorted(unknown))}")
    if failures:
        raise AssertionError(f"{subject} failed {len(failures)} of {len(seen)} checks:\n  " + "\n  ".join(failures))


def expect_error(call: Callable[[], Any], words: str, what: str) -> None:
    """Raise unless `call` raises a ValueError or TypeError whose message holds `words`."""
    try:
        call()
    except (ValueError, TypeError) as error:
        if words not in str(error):
            raise AssertionError(f"{what}: the message {str(error)!r} does not name {words!r}") from error
        return
    raise AssertionError(f"{what} was accepted")
