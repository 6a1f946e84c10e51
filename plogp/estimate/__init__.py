"""Information quantities from samples: every estimator returns an `Estimate` with its interval.

``entropy(x)``, ``mutual_information(x, y)``, ``conditional_mutual_information(x, y, z)``,
``transfer_entropy(source, target)``, ``total_correlation``, ``o_information`` and
``mutual_information_matrix(table)`` look at the data and choose; ``methods("mutual_information")`` lists what
``method=`` accepts. The estimators themselves, counts, tests and intervals are here too.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from plogp._lazy import loader as _loader
from plogp.estimate.binning import Binner
from plogp.estimate.classifier_divergence import classifier_divergence
from plogp.estimate.conditional import frenzel_pompe, transfer_entropy_knn
from plogp.estimate.counts import CountTable, contingency, pairwise_tables
from plogp.estimate.density import KDE, TailWarning, kde_entropy, mixture_entropy_bounds
from plogp.estimate.discrete import (
    conditional_entropy_from_counts,
    conditional_mutual_information_from_counts,
    dual_total_correlation_from_counts,
    entropy_from_counts,
    interaction_information_from_counts,
    mutual_information_from_counts,
    o_information_from_counts,
    total_correlation_from_counts,
)
from plogp.estimate.entropies import STRATEGIES, EntropyStrategy
from plogp.estimate.frontends import (
    conditional_entropy,
    conditional_mutual_information,
    dual_total_correlation,
    entropy,
    interaction_information,
    mutual_information,
    o_information,
    total_correlation,
    transfer_entropy,
)
from plogp.estimate.gaussian import (
    copula_mutual_information,
    gaussian_conditional_mutual_information,
    gaussian_entropy,
    gaussian_mutual_information,
    gaussian_total_correlation,
    gaussian_transfer_entropy,
)
from plogp.estimate.independence import IndependenceTest, independence_test, mutual_independence_test
from plogp.estimate.inference import (
    PermutationTest,
    adjust_p_values,
    block_jackknife,
    jackknife,
    permutation_test,
    subsample_se,
)
from plogp.estimate.kde_phase import Phase, kde_phase, phase_rate
from plogp.estimate.knn import kozachenko_leonenko, weighted_kozachenko_leonenko
from plogp.estimate.knn_divergence import knn_kl, knn_renyi
from plogp.estimate.ksg import ksg, total_correlation_ksg
from plogp.estimate.layers import (
    InformationPlane,
    LayerInformation,
    information_plane,
    layer_mutual_information,
    szt_task,
)
from plogp.estimate.matrix import InformationMatrix, mutual_information_matrix
from plogp.estimate.mixed import gao, ross
from plogp.estimate.multinomial import multinomial_divergence
from plogp.estimate.nn_ratio import ensemble_weights, nn_ratio_divergence
from plogp.estimate.one_step import one_step_divergence
from plogp.estimate.ordinal import ordinal_counts, ordinal_patterns, permutation_entropy, weighted_permutation_entropy
from plogp.estimate.rearrangements import (
    circular_shift,
    local_permutation,
    shuffle,
    shuffle_blocks,
    shuffle_within,
)
from plogp.estimate.registry import methods, register
from plogp.estimate.roc import auc, best_threshold
from plogp.estimate.series import delay_embedding, long_run_error
from plogp.estimate.spacing import vasicek
from plogp.estimate.two_samples import binned_divergence, discrete_divergence, divergence
from plogp.measures.uncertainty import Draws, Estimate, Normal

if _TYPE_CHECKING:
    from plogp.estimate import tasks as tasks
    from plogp.estimate.attention import FixedTimeCausalAttention
    from plogp.estimate.autoencoder import Autoencoder
    from plogp.estimate.callbacks import InformationPlaneCallback
    from plogp.estimate.compression import CompressedMI, compression_loss_bound
    from plogp.estimate.consistency import self_consistency
    from plogp.estimate.critics import Bilinear, Concatenated, ConditionalGaussian, Separable
    from plogp.estimate.diffusion import VPSDE, MaskedScore
    from plogp.estimate.learning_curves import ScalingLaw, epiplexity, prequential, requential
    from plogp.estimate.minde import MINDE
    from plogp.estimate.mist import MIST
    from plogp.estimate.neural import NeuralMutualInformation, neural_mutual_information
    from plogp.estimate.probes import linear_probe
    from plogp.estimate.score_o_information import SOI
    from plogp.estimate.selection import MutualInformationSelector
    from plogp.estimate.stochastic_layers import noisy_information_plane
    from plogp.estimate.treet import NDG, TREET
    from plogp.estimate.upper_bounds import mi_upper
    from plogp.estimate.variational import Bound, bound, variance_floor
    from plogp.estimate.wasserstein import dependency, wasserstein_dependency

__all__ = [
    "KDE",
    "MINDE",
    "MIST",
    "NDG",
    "SOI",
    "STRATEGIES",
    "TREET",
    "VPSDE",
    "Autoencoder",
    "Bilinear",
    "Binner",
    "Bound",
    "CompressedMI",
    "Concatenated",
    "ConditionalGaussian",
    "CountTable",
    "Draws",
    "EntropyStrategy",
    "Estimate",
    "FixedTimeCausalAttention",
    "IndependenceTest",
    "InformationMatrix",
    "InformationPlane",
    "InformationPlaneCallback",
    "LayerInformation",
    "MaskedScore",
    "MutualInformationSelector",
    "NeuralMutualInformation",
    "Normal",
    "PermutationTest",
    "Phase",
    "ScalingLaw",
    "Separable",
    "TailWarning",
    "adjust_p_values",
    "auc",
    "best_threshold",
    "binned_divergence",
    "block_jackknife",
    "bound",
    "circular_shift",
    "classifier_divergence",
    "compression_loss_bound",
    "conditional_entropy",
    "conditional_entropy_from_counts",
    "conditional_mutual_information",
    "conditional_mutual_information_from_counts",
    "contingency",
    "copula_mutual_information",
    "delay_embedding",
    "dependency",
    "discrete_divergence",
    "divergence",
    "dual_total_correlation",
    "dual_total_correlation_from_counts",
    "ensemble_weights",
    "entropy",
    "entropy_from_counts",
    "epiplexity",
    "frenzel_pompe",
    "gao",
    "gaussian_conditional_mutual_information",
    "gaussian_entropy",
    "gaussian_mutual_information",
    "gaussian_total_correlation",
    "gaussian_transfer_entropy",
    "independence_test",
    "information_plane",
    "interaction_information",
    "interaction_information_from_counts",
    "jackknife",
    "kde_entropy",
    "kde_phase",
    "knn_kl",
    "knn_renyi",
    "kozachenko_leonenko",
    "ksg",
    "layer_mutual_information",
    "linear_probe",
    "local_permutation",
    "long_run_error",
    "methods",
    "mi_upper",
    "mixture_entropy_bounds",
    "multinomial_divergence",
    "mutual_independence_test",
    "mutual_information",
    "mutual_information_from_counts",
    "mutual_information_matrix",
    "neural_mutual_information",
    "nn_ratio_divergence",
    "noisy_information_plane",
    "o_information",
    "o_information_from_counts",
    "one_step_divergence",
    "ordinal_counts",
    "ordinal_patterns",
    "pairwise_tables",
    "permutation_entropy",
    "permutation_test",
    "phase_rate",
    "prequential",
    "register",
    "requential",
    "ross",
    "self_consistency",
    "shuffle",
    "shuffle_blocks",
    "shuffle_within",
    "subsample_se",
    "szt_task",
    "tasks",
    "total_correlation",
    "total_correlation_from_counts",
    "total_correlation_ksg",
    "transfer_entropy",
    "transfer_entropy_knn",
    "variance_floor",
    "vasicek",
    "wasserstein_dependency",
    "weighted_kozachenko_leonenko",
    "weighted_permutation_entropy",
]


_HOMES = {
    "Autoencoder": "autoencoder",
    "noisy_information_plane": "stochastic_layers",
    "wasserstein_dependency": "wasserstein",
    "Bilinear": "critics",
    "Bound": "variational",
    "CompressedMI": "compression",
    "Concatenated": "critics",
    "ConditionalGaussian": "critics",
    "FixedTimeCausalAttention": "attention",
    "InformationPlaneCallback": "callbacks",
    "MINDE": "minde",
    "MIST": "mist",
    "MaskedScore": "diffusion",
    "NDG": "treet",
    "NeuralMutualInformation": "neural",
    "SOI": "score_o_information",
    "ScalingLaw": "learning_curves",
    "Separable": "critics",
    "TREET": "treet",
    "VPSDE": "diffusion",
    "bound": "variational",
    "compression_loss_bound": "compression",
    "dependency": "wasserstein",
    "epiplexity": "learning_curves",
    "linear_probe": "probes",
    "mi_upper": "upper_bounds",
    "neural_mutual_information": "neural",
    "prequential": "learning_curves",
    "requential": "learning_curves",
    "self_consistency": "consistency",
    "variance_floor": "variational",
}

_learned = _loader("plogp.estimate", _HOMES)
_selector = _loader("plogp.estimate", {"MutualInformationSelector": "selection"}, "sklearn")


def __getattr__(name: str) -> _Any:
    if name == "tasks":
        return _import_module("plogp.estimate.tasks")
    return _learned(name) if name in _HOMES else _selector(name)


def __dir__() -> list[str]:
    return sorted(__all__)
