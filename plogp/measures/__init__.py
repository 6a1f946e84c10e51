"""Exact functionals of known distributions: entropies, divergences and what is built from them."""

from plogp.measures import bounds
from plogp.measures.custom import from_generator
from plogp.measures.differential import differential_entropy
from plogp.measures.divergence import Dissimilarity, Divergence
from plogp.measures.entropy import (
    Entropy,
    entropies,
    entropy,
    entropy_from_logits,
    get_entropy,
    hill_number,
    varentropy,
)
from plogp.measures.mixture import jensen_shannon
from plogp.measures.registry import divergence, divergences
from plogp.measures.uncertainty import Estimate

__all__ = [
    "Dissimilarity",
    "Divergence",
    "Entropy",
    "Estimate",
    "bounds",
    "divergence",
    "differential_entropy",
    "divergences",
    "entropies",
    "entropy",
    "entropy_from_logits",
    "from_generator",
    "get_entropy",
    "hill_number",
    "jensen_shannon",
    "varentropy",
]
