"""Lists of tasks: those that a benchmark runs over."""

from __future__ import annotations

from plogp.estimate.tasks.base import Task
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
from plogp.estimate.tasks.maps import mapped
from plogp.estimate.tasks.vectors import multinormal_dense, multinormal_two_pair, multistudent_identity

__all__ = ["beyond_normal", "beyond_normal_core", "beyond_normal_families", "mutual_information_tasks"]


def mutual_information_tasks() -> list[Task]:
    """Return the pairs of one column each on which the interval of an estimator should hold.

    >>> len(mutual_information_tasks()) >= 10
    True
    """
    grid = [gaussian(rho) for rho in (0.0, 0.3, 0.6, 0.9)]
    maps = [make(0.6) for make in (cubic, asinh, half_cube, normal_cdf)]
    return [*grid, *maps, student(3), student(5, 0.5), uniform_additive(0.5), uniform_additive(1.0)]


def beyond_normal_families() -> dict[str, list[Task]]:
    """Return the tasks of the 'Beyond Normal' benchmark by family.

    >>> {family: len(tasks) for family, tasks in beyond_normal_families().items()}
    {'one dimension': 9, 'embedding': 1, 'normal': 9, 'Student': 6, 'transformed': 15}

    Notes
    -----
    P. Czyż, F. Grabowski, J. E. Vogt, N. Beerenwinkel and A. Marx, NeurIPS 2023, arXiv 2306.11078. The truths
    agree with those of the authors' package `benchmark-mi` (its samples are other ones).
    """
    rho, sizes = 0.75, (3, 5, 25)
    pairs = {d: multinormal_two_pair(d, d) for d in (2, *sizes)}
    return {
        "one dimension": [
            gaussian(rho),
            normal_cdf(rho),
            uniform_additive(0.1),
            uniform_additive(0.75),
            bimodal(rho),
            wiggly(rho),
            half_cube(rho),
            student(1),
            mapped(student(1), "asinh"),
        ],
        "embedding": [mapped(gaussian(rho), "normal_cdf", "swiss_roll")],
        "normal": [*(multinormal_dense(d, d) for d in (2, 3, 5, 25, 50)), *pairs.values()],
        "Student": [multistudent_identity(df, d, d) for d, df in ((2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3))],
        "transformed": [
            *(mapped(pairs[d], "normal_cdf") for d in sizes),
            *(mapped(pairs[d], "half_cube") for d in sizes),
            *(mapped(pairs[d], "spiral") for d in sizes),
            *(mapped(pairs[d], "normal_cdf", "spiral") for d in sizes),
            *(mapped(multistudent_identity(df, d, d), "asinh") for d, df in ((2, 1), (3, 2), (5, 2))),
        ],
    }


def beyond_normal() -> list[Task]:
    """Return the 40 tasks of the 'Beyond Normal' benchmark: see `beyond_normal_families`.

    >>> tasks = beyond_normal()
    >>> len(tasks), len({task.name for task in tasks})
    (40, 40)
    """
    return [task for family in beyond_normal_families().values() for task in family]


def beyond_normal_core() -> list[Task]:
    """Return a dozen of them, of every family, for estimators that take minutes.

    >>> len(beyond_normal_core())
    12
    """
    one, rolled, normal, heavy, transformed = beyond_normal_families().values()
    return [
        *(one[i] for i in (0, 3, 4, 6, 7)),
        rolled[0],
        *(normal[i] for i in (2, 7, 8)),
        heavy[4],
        *(transformed[i] for i in (1, 6)),
    ]
