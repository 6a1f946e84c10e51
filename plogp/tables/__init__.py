"""Tables: what information the columns carry, what they say about a target, and what drifted.

``profile``, ``relate`` and ``drift`` take a file, an engine's URL or a data frame; the counting is done by the
engine that holds the table (DuckDB embedded, or any Ibis backend). ``iv``, ``psi``, ``WoEEncoder`` and
``Scorecard`` are the scorecard's tools.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from plogp.tables.binning import Binner, OptimalBinner, QuantileBinner, StumpBinner, TreeBinner, UserBinner
from plogp.tables.drifting import drift
from plogp.tables.information_value import (
    InformationRow,
    InformationTable,
    iv_from_counts,
    psi_from_counts,
    weight_of_evidence,
)
from plogp.tables.iv_psi import iv, psi
from plogp.tables.partition import cut_p_value, optimal_partition, optimal_partition_classes
from plogp.tables.profiling import profile
from plogp.tables.relating import relate
from plogp.tables.results import (
    Bin,
    ColumnProfile,
    Drift,
    DriftRow,
    Histogram,
    PairDependence,
    Profile,
    Relation,
    TargetRow,
)
from plogp.tables.scorecard import Scorecard
from plogp.tables.source import Source, TableError, open_table

if _TYPE_CHECKING:
    from plogp.tables.woe import WoEEncoder

__all__ = [
    "Bin",
    "Binner",
    "ColumnProfile",
    "Drift",
    "DriftRow",
    "Histogram",
    "InformationRow",
    "InformationTable",
    "OptimalBinner",
    "PairDependence",
    "Profile",
    "QuantileBinner",
    "Relation",
    "Scorecard",
    "Source",
    "StumpBinner",
    "TableError",
    "TargetRow",
    "TreeBinner",
    "UserBinner",
    "WoEEncoder",
    "cut_p_value",
    "drift",
    "iv",
    "iv_from_counts",
    "open_table",
    "optimal_partition",
    "optimal_partition_classes",
    "profile",
    "psi",
    "psi_from_counts",
    "relate",
    "weight_of_evidence",
]


def __getattr__(name: str) -> _Any:
    if name == "WoEEncoder":  # needs scikit-learn
        from plogp.tables.woe import WoEEncoder

        return WoEEncoder
    raise AttributeError(f"module 'plogp.tables' has no attribute {name!r}")
