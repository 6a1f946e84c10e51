"""Check suites that every member of a room passes, and that you can run on your own.

    >>> import plogp as pl
    >>> from plogp.testing import check_divergence
    >>> check_divergence(pl.divergence("js"), libraries=["numpy"])

Each suite runs named checks and raises one `AssertionError` that lists those that failed and why. A check that
does not apply is exempted by name and with a reason: ``skip={"symmetry": "the metric is asymmetric"}``.
"""

from plogp.testing.divergences import check_divergence
from plogp.testing.entropies import check_entropy
from plogp.testing.estimators import check_estimator

__all__ = ["check_divergence", "check_entropy", "check_estimator"]
