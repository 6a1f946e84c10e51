"""Adapting trained models: pruning by what blocks and weights carry, and how far an adapter leans on its base."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.adapt.block_pruning import prune_blocks
    from plogp.adapt.lora import LoRALinear, lora_dependency
    from plogp.adapt.weight_pruning import prune

_HOMES = {
    "LoRALinear": "lora",
    "lora_dependency": "lora",
    "prune": "weight_pruning",
    "prune_blocks": "block_pruning",
}

__all__ = [
    "LoRALinear",
    "lora_dependency",
    "prune",
    "prune_blocks",
]

__getattr__ = _loader("plogp.adapt", _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
