"""Distributions with known entropy, mutual information or transfer entropy, to check estimators against.

A `Task` draws samples and knows the true value. Every quantity is in nats. Mutual information does not change
under one-to-one maps of each variable, so a transformed task keeps the truth of the one it starts from.
"""

from plogp.estimate.tasks.base import Task, transformed
from plogp.estimate.tasks.conditional import conditional_gaussian, var_process
from plogp.estimate.tasks.continuous import (
    asinh,
    bimodal,
    cubic,
    gaussian,
    half_cube,
    normal_cdf,
    student,
    uniform_additive,
    wiggly,
)
from plogp.estimate.tasks.entropies import continuous_entropy, gaussian_entropy_task
from plogp.estimate.tasks.glyphs import Glyphs, multi_glyph
from plogp.estimate.tasks.maps import mapped
from plogp.estimate.tasks.meta import meta_batch, meta_dataset
from plogp.estimate.tasks.mixed import discrete_table, mixed_labels, mixed_uniform, zero_inflated_poisson
from plogp.estimate.tasks.mixtures import (
    ai_shape,
    concentric,
    galaxy,
    gaussian_mixture,
    multinormal_with_inliers,
    v_shape,
    waves,
    x_shape,
)
from plogp.estimate.tasks.rendered import images_of
from plogp.estimate.tasks.sequences import awgn, coloured, eca, gar, gma, induction, markov, prng, stationary
from plogp.estimate.tasks.suites import (
    beyond_normal,
    beyond_normal_core,
    beyond_normal_families,
    mutual_information_tasks,
)
from plogp.estimate.tasks.systems import mixed_system, normal_system, product_synergy, redundancy, synergy
from plogp.estimate.tasks.vectors import (
    gaussian_vector,
    multinormal_dense,
    multinormal_lvm,
    multinormal_two_pair,
    multistudent_dense,
    multistudent_identity,
    multistudent_two_pair,
    student_vector,
)

__all__ = [
    "Glyphs",
    "Task",
    "ai_shape",
    "asinh",
    "awgn",
    "beyond_normal",
    "beyond_normal_core",
    "beyond_normal_families",
    "bimodal",
    "coloured",
    "concentric",
    "conditional_gaussian",
    "continuous_entropy",
    "cubic",
    "discrete_table",
    "eca",
    "galaxy",
    "gar",
    "gaussian",
    "gaussian_entropy_task",
    "gaussian_mixture",
    "gaussian_vector",
    "gma",
    "half_cube",
    "images_of",
    "induction",
    "mapped",
    "markov",
    "meta_batch",
    "meta_dataset",
    "mixed_labels",
    "mixed_system",
    "mixed_uniform",
    "multi_glyph",
    "multinormal_dense",
    "multinormal_lvm",
    "multinormal_two_pair",
    "multinormal_with_inliers",
    "multistudent_dense",
    "multistudent_identity",
    "multistudent_two_pair",
    "mutual_information_tasks",
    "normal_cdf",
    "normal_system",
    "prng",
    "product_synergy",
    "redundancy",
    "stationary",
    "student",
    "student_vector",
    "synergy",
    "transformed",
    "uniform_additive",
    "v_shape",
    "var_process",
    "waves",
    "wiggly",
    "x_shape",
    "zero_inflated_poisson",
]
