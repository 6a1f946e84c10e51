"""Losses and regularisers for PyTorch: entropies of representations, capacity, mutual information.

Each is a ``torch.nn.Module``. Needs ``plogp[torch]``.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.losses.manifold_capacity import MMCR
    from plogp.losses.maximum_entropy import E2MC
    from plogp.losses.mutual_information import NWJ, InfoNCE, KPair, MutualInformation
    from plogp.losses.vendi import VendiDiversity
    from plogp.losses.von_neumann import IVNE, VNE, regularize
    from plogp.losses.wasserstein import WPC

_HOMES = {
    "E2MC": "maximum_entropy",
    "IVNE": "von_neumann",
    "InfoNCE": "mutual_information",
    "KPair": "mutual_information",
    "MMCR": "manifold_capacity",
    "MutualInformation": "mutual_information",
    "NWJ": "mutual_information",
    "VNE": "von_neumann",
    "VendiDiversity": "vendi",
    "WPC": "wasserstein",
    "regularize": "von_neumann",
}

__all__ = [
    "E2MC",
    "IVNE",
    "MMCR",
    "NWJ",
    "VNE",
    "WPC",
    "InfoNCE",
    "KPair",
    "MutualInformation",
    "VendiDiversity",
    "regularize",
]

__getattr__ = _loader("plogp.losses", _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
