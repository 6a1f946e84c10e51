"""Exact functionals of known distributions: entropies, divergences and what is built from them."""

from plogp.measures import bounds
from plogp.measures.algorithmic import (
    PrequentialCode,
    UniversalPrior,
    bit_tape_machine,
    code_length,
    doubling_machine,
    omega_clt,
    prequential_code_length,
    prime_code_report,
    universal_prior,
)
from plogp.measures.association import (
    information_gain,
    normalized_mutual_information,
    rajski_distance,
    variation_of_information,
)
from plogp.measures.bernoulli import bernoulli_kl, bernoulli_kl_inverse
from plogp.measures.bottleneck import information_bottleneck
from plogp.measures.bregman import Bregman
from plogp.measures.capacity import CapacityPoint, channel_capacity
from plogp.measures.channel import Channel, is_deterministic
from plogp.measures.contraction import contraction_coefficient, maximal_correlation
from plogp.measures.custom import from_generator
from plogp.measures.differential import differential_entropy
from plogp.measures.distinguishability import distinguishable, helstrom_error
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
from plogp.measures.growth import information_value
from plogp.measures.information import (
    conditional_entropy,
    conditional_mutual_information,
    lautum_information,
    mutual_information,
    pointwise_mutual_information,
)
from plogp.measures.joint import Joint
from plogp.measures.lattice import Lattice, Partition, shannon_distance
from plogp.measures.matching import match_channels
from plogp.measures.mixture import jensen_shannon
from plogp.measures.multivariate import (
    co_information,
    dual_total_correlation,
    interaction_information,
    joint_entropy,
    o_information,
    s_information,
    total_correlation,
)
from plogp.measures.quantum import von_neumann
from plogp.measures.rate import RatePoint, rate_at, rate_function
from plogp.measures.reconstruction import ReconstructionReport, reconstruction
from plogp.measures.registry import divergence, divergences
from plogp.measures.semantic import SemanticChannel, boltzmann_truth, confirmation, gaussian_truth, optimal_truth
from plogp.measures.surprisal import (
    cross_entropy,
    cross_entropy_from_logits,
    perplexity,
    redundancy,
    sequence_perplexity,
)
from plogp.measures.uncertainty import Estimate

__all__ = [
    "Bregman",
    "CapacityPoint",
    "Channel",
    "Dissimilarity",
    "Divergence",
    "Entropy",
    "Estimate",
    "Joint",
    "Lattice",
    "Partition",
    "PrequentialCode",
    "RatePoint",
    "ReconstructionReport",
    "SemanticChannel",
    "UniversalPrior",
    "bernoulli_kl",
    "bernoulli_kl_inverse",
    "bit_tape_machine",
    "boltzmann_truth",
    "bounds",
    "channel_capacity",
    "co_information",
    "code_length",
    "conditional_entropy",
    "conditional_mutual_information",
    "confirmation",
    "contraction_coefficient",
    "cross_entropy",
    "cross_entropy_from_logits",
    "differential_entropy",
    "distinguishable",
    "divergence",
    "divergences",
    "doubling_machine",
    "dual_total_correlation",
    "entropies",
    "entropy",
    "entropy_from_logits",
    "from_generator",
    "gaussian_truth",
    "get_entropy",
    "helstrom_error",
    "hill_number",
    "information_bottleneck",
    "information_gain",
    "information_value",
    "interaction_information",
    "is_deterministic",
    "jensen_shannon",
    "joint_entropy",
    "lautum_information",
    "match_channels",
    "maximal_correlation",
    "mutual_information",
    "normalized_mutual_information",
    "o_information",
    "omega_clt",
    "optimal_truth",
    "perplexity",
    "pointwise_mutual_information",
    "prequential_code_length",
    "prime_code_report",
    "rajski_distance",
    "rate_at",
    "rate_function",
    "reconstruction",
    "redundancy",
    "s_information",
    "sequence_perplexity",
    "shannon_distance",
    "total_correlation",
    "universal_prior",
    "varentropy",
    "variation_of_information",
    "von_neumann",
]
