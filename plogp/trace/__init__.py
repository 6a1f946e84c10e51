"""What a sequence model knows, token by token and layer by layer.

`capture` records the activations of chosen modules, `architecture` tells where a transformer keeps its blocks, and
`residual_lens` reads a prediction off every layer of the residual stream.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.trace.architectures import Architecture, architecture, register_architecture
    from plogp.trace.hooks import capture
    from plogp.trace.lens import ResidualTrace, TunedLens, residual_lens

_HOMES = {
    "Architecture": "architectures",
    "ResidualTrace": "lens",
    "TunedLens": "lens",
    "architecture": "architectures",
    "capture": "hooks",
    "register_architecture": "architectures",
    "residual_lens": "lens",
}

__all__ = [
    "Architecture",
    "ResidualTrace",
    "TunedLens",
    "architecture",
    "capture",
    "register_architecture",
    "residual_lens",
]

__getattr__ = _loader("plogp.trace", _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
