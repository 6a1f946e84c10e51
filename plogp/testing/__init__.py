"""Check suites that every member of a room passes, and that you can run on your own.

    >>> import plogp as pl
    >>> from plogp.testing import check_divergence
    >>> check_divergence(pl.divergence("js"), libraries=["numpy"])

Each suite runs named checks and raises one `AssertionError` that lists those that failed and why. A check that
does not apply is exempted by name and with a reason: ``skip={"symmetry": "the metric is asymmetric"}``.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from plogp.testing.divergences import check_divergence
from plogp.testing.entropies import check_entropy
from plogp.testing.estimators import check_estimator

if _TYPE_CHECKING:
    from plogp.testing.sources import check_source

__all__ = ["check_divergence", "check_entropy", "check_estimator", "check_source"]


def __getattr__(name: str) -> _Any:
    if name == "check_source":  # needs plogp[tables]
        from plogp.testing.sources import check_source

        return check_source
    raise AttributeError(f"module 'plogp.testing' has no attribute {name!r}")
