"""What a text, or a collection of texts, carries.

`InfGram` is a language model by the longest suffix seen, `vendi_ngrams` the diversity of a collection, and
`residual_cross_entropy` the uncertainty of a model's answer from how it forms over the layers.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.text.infgram import InfGram
    from plogp.text.ngrams import vendi_ngrams
    from plogp.text.uncertainty import residual_cross_entropy

_HOMES = {
    "InfGram": "infgram",
    "residual_cross_entropy": "uncertainty",
    "vendi_ngrams": "ngrams",
}

__all__ = [
    "InfGram",
    "residual_cross_entropy",
    "vendi_ngrams",
]

__getattr__ = _loader("plogp.text", _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
