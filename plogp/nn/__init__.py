"""Layers for PyTorch. Needs ``plogp[torch]``."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.estimate.attention import FixedTimeCausalAttention
    from plogp.nn.flow import RealNVP
    from plogp.nn.noise import AdditiveGaussianNoise

__all__ = ["AdditiveGaussianNoise", "FixedTimeCausalAttention", "RealNVP"]

_HOMES = {
    "AdditiveGaussianNoise": "noise",
    "FixedTimeCausalAttention": "plogp.estimate.attention",
    "RealNVP": "flow",
}

__getattr__ = _loader("plogp.nn", _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
