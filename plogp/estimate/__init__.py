"""Information quantities from samples: every estimator returns an `Estimate` with its interval.

``entropy(x)``, ``mutual_information(x, y)``, ``conditional_mutual_information(x, y, z)``,
``transfer_entropy(source, target)``, ``total_correlation``, ``o_information`` and
``mutual_information_matrix(table)`` look at the data and choose; ``methods("mutual_information")`` lists what
``method=`` accepts. The estimators themselves, counts, tests and intervals are here too.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

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
from plogp.estimate.series import delay_embedding, long_run_error
from plogp.estimate.spacing import vasicek
from plogp.estimate.two_samples import binned_divergence, discrete_divergence, divergence
from plogp.measures.uncertainty import Draws, Estimate, Normal

if _TYPE_CHECKING:
    from plogp.estimate.selection import MutualInformationSelector

__all__ = [
    "KDE",
    "STRATEGIES",
    "Binner",
    "CountTable",
    "Draws",
    "EntropyStrategy",
    "Estimate",
    "IndependenceTest",
    "InformationMatrix",
    "InformationPlane",
    "LayerInformation",
    "MutualInformationSelector",
    "Normal",
    "PermutationTest",
    "Phase",
    "TailWarning",
    "adjust_p_values",
    "binned_divergence",
    "block_jackknife",
    "circular_shift",
    "classifier_divergence",
    "conditional_entropy",
    "conditional_entropy_from_counts",
    "conditional_mutual_information",
    "conditional_mutual_information_from_counts",
    "contingency",
    "copula_mutual_information",
    "delay_embedding",
    "discrete_divergence",
    "divergence",
    "dual_total_correlation",
    "dual_total_correlation_from_counts",
    "ensemble_weights",
    "entropy",
    "entropy_from_counts",
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
    "local_permutation",
    "long_run_error",
    "methods",
    "mixture_entropy_bounds",
    "multinomial_divergence",
    "mutual_independence_test",
    "mutual_information",
    "mutual_information_from_counts",
    "mutual_information_matrix",
    "nn_ratio_divergence",
    "o_information",
    "o_information_from_counts",
    "one_step_divergence",
    "ordinal_counts",
    "ordinal_patterns",
    "pairwise_tables",
    "permutation_entropy",
    "permutation_test",
    "phase_rate",
    "register",
    "ross",
    "shuffle",
    "shuffle_blocks",
    "shuffle_within",
    "subsample_se",
    "szt_task",
    "total_correlation",
    "total_correlation_from_counts",
    "total_correlation_ksg",
    "transfer_entropy",
    "transfer_entropy_knn",
    "vasicek",
    "weighted_kozachenko_leonenko",
    "weighted_permutation_entropy",
]


def __getattr__(name: str) -> _Any:
    if name == "MutualInformationSelector":  # needs scikit-learn
        from plogp.estimate.selection import MutualInformationSelector

        return MutualInformationSelector
    raise AttributeError(f"module 'plogp.estimate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
