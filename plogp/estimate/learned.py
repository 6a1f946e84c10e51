"""The learned estimators by name: registered here, imported with PyTorch when one is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plogp._lazy import loader
from plogp.estimate.registry import register
from plogp.measures.uncertainty import Estimate

__all__ = ["NEURAL_BOUNDS", "register_learned"]

#: Variational bounds on the mutual information, by the names of `plogp.estimate.bound`.
NEURAL_BOUNDS = ("mine", "dv", "nwj", "tuba", "infonce", "js", "smile", "interpolated", "doe", "f")


def _later(home: str, name: str, label: str, **fixed: Any) -> Callable[..., Estimate]:
    """Return a function that imports ``plogp.estimate.<home>.<name>`` on its first call."""
    get = loader("plogp.estimate", {name: home})

    def call(*variables: Any, rng: Any = None, **options: Any) -> Estimate:
        found: Estimate = get(name)(*variables, rng=rng, **fixed, **options)
        return found

    call.__name__ = call.__qualname__ = label
    return call


def register_learned() -> None:
    """Register every learned estimator under its name."""
    for kind in NEURAL_BOUNDS:
        call = _later("neural", "neural_mutual_information", kind, kind=kind)
        register("mutual_information", kind, call, "continuous")
    for name, kind in (("minde", "c"), ("minde_c", "c"), ("minde_j", "j")):
        call = _later("minde", "minde_mutual_information", name, kind=kind)
        register("mutual_information", name, call, "continuous")
    register("mutual_information", "mist", _later("mist", "mist_mutual_information", "mist"), "continuous")
    call = _later("compression", "compressed_mutual_information", "compressed")
    register("mutual_information", "compressed", call, "any")
    register("transfer_entropy", "treet", _later("treet", "treet_transfer_entropy", "treet"), "continuous")
    for measure in ("total_correlation", "dual_total_correlation", "o_information"):
        call = _later("score_o_information", "score_information", "soi", quantity=measure)
        register(measure, "soi", call, "continuous")
