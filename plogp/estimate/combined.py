"""Estimators that combine others: discrete measures from columns, binning, O-information of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.binning import Binner
from plogp.estimate.counts import CountTable, encode
from plogp.estimate.discrete import evaluate
from plogp.estimate.gaussian import gaussian_total_correlation
from plogp.estimate.inference import jackknife
from plogp.estimate.ksg import total_correlation_ksg
from plogp.estimate.mixed import ross
from plogp.estimate.series import long_run_error, transfer_blocks
from plogp.measures.uncertainty import Estimate

__all__ = [
    "binned_mutual_information",
    "from_columns",
    "o_information_gaussian",
    "o_information_ksg",
    "ross_either_way",
    "transfer_entropy_from_labels",
]


def from_columns(
    measure: str,
    method: str,
    *variables: Any,
    num_states: Any = None,
    sample: Any = None,
    names: Sequence[str] | None = None,
) -> Estimate:
    """A discrete measure of columns of labels; `sample` asks for per-sample terms, for paired differences."""
    names = names or [f"variable {i}" for i in range(len(variables))]
    if measure == "entropy" and sample is None:  # codes beyond the counts are not needed
        table = CountTable.from_columns(*variables, names=names)
        return evaluate(measure, table, method, num_states=num_states)
    coded = [encode(v, name) for v, name in zip(variables, names)]
    table = CountTable.from_codes([c for c, _ in coded], [len(u) for _, u in coded], names)
    rows = None if sample is None else _rows([c for c, _ in coded], table)
    return evaluate(measure, table, method, num_states=num_states, rows=rows, sample=sample)


def _rows(codes: list[npt.NDArray[Any]], table: CountTable) -> npt.NDArray[np.intp]:
    """Return, for each sample, the row of its cell in the table."""
    joint, _ = encode(np.stack([c.astype(np.int64) for c in codes], axis=1), "joint")
    order = np.empty(len(table.counts), np.intp)
    first = np.unique(joint, return_index=True)[1]
    cells = np.stack([c[first] for c in codes], axis=1).astype(np.intp)
    keys = np.lexsort(cells.T[::-1])
    order[keys] = np.lexsort(table.cells.T[::-1])
    return order[joint]


def transfer_entropy_from_labels(
    method: str,
    source: Any,
    target: Any,
    *,
    source_history: int = 1,
    target_history: int = 1,
    lag: int = 1,
    step: int = 1,
    block: int | str | None = "auto",
    num_states: Any = None,
) -> Estimate:
    """Transfer entropy from counts; the error allows for the dependence in time."""
    x, y = encode(source, "source")[0], encode(target, "target")[0]
    future, source_past, target_past = transfer_blocks(
        x, y, source_history=source_history, target_history=target_history, lag=lag, step=step
    )
    coded = [encode(b.astype(np.int64), "history") for b in (future, source_past, target_past)]
    codes = [c for c, _ in coded]
    table = CountTable.from_codes(codes, [len(u) for _, u in coded], ("future", "source", "target"))

    def error(terms: npt.NDArray[np.float64]) -> float:
        independent = float(terms.std(ddof=1)) / math.sqrt(len(terms))
        return independent if block is None else max(independent, long_run_error(terms, block)[0])

    return evaluate(
        "conditional_mutual_information",
        table,
        method,
        num_states=num_states,
        rows=_rows(codes, table),
        error_of_mean=error,
    )


def binned_mutual_information(
    x: Any, y: Any, *, bins: int | None = None, strategy: str = "quantile", method: str = "auto"
) -> Estimate:
    """Mutual information of binned numbers; a lower bound of that of the numbers, in expectation."""
    n = len(x)
    for name, v in (("x", np.asarray(x)), ("y", np.asarray(y))):
        if v.dtype.kind == "f" and v.ndim == 2 and v.shape[1] > 1:
            raise ValueError(
                f"{name} has {v.shape[1]} columns; 'binned' bins one column of numbers, 'ksg' takes several"
            )
    bins = max(2, math.isqrt(n // 5)) if bins is None else bins
    if bins**2 > n:
        raise ValueError(
            f"bins={bins} make {bins**2} cells for {n} samples: the estimate would be bias; expected at most "
            f"{math.isqrt(n)} bins, or method='ksg', which needs none"
        )
    binner = Binner(strategy, bins)
    columns = [v if v.dtype.kind not in "f" else binner(v.ravel()) for v in (np.asarray(x), np.asarray(y))]
    found = from_columns("mutual_information", method, *columns)
    facts = {**found.diagnostics, "bins": bins, "strategy": strategy, "of": "the binned variables"}
    return replace(found, method=f"binned({strategy}, bins={bins}, {found.method})", diagnostics=facts)


def ross_either_way(x: Any, y: Any, *, names: Sequence[str] = ("x", "y"), **options: Any) -> Estimate:
    """Ross' estimator with its arguments in either order: the labels are those that are no floats."""
    pairs = [(np.asarray(v), name) for v, name in zip((x, y), names)]
    (c, label), (z, number) = pairs if pairs[0][0].dtype.kind != "f" else pairs[::-1]
    return ross(encode(c, label)[0], z, names=(label, number), **options)


def o_information_ksg(*variables: Any, **options: Any) -> Estimate:
    """(2 - d) T(X) + Σ T(X without i), T the total correlation, with the error of the paired terms."""
    columns, d, token = list(variables), len(variables), object()

    def total(some: list[Any]) -> Estimate:
        return replace(total_correlation_ksg(*some, **options), sample=token)

    found = (2.0 - d) * total(columns)
    for i in range(d):
        found = found + total(columns[:i] + columns[i + 1 :])
    k = options.get("k", 4)
    return replace(found, method=f"o_information by total_correlation_ksg(k={k})")


def o_information_gaussian(*variables: Any) -> Estimate:
    """The same combination of log-determinants, with the error of a delete-d jackknife."""
    widths = [1 if np.ndim(v) == 1 else np.shape(v)[1] for v in variables]
    rows = np.column_stack(variables)
    ends = np.cumsum([0, *widths])

    def value(samples: npt.NDArray[np.float64]) -> float:
        blocks = [samples[:, a:b] for a, b in pairwise(ends)]
        d = len(blocks)
        out = (2 - d) * gaussian_total_correlation(*blocks).value
        return out + sum(gaussian_total_correlation(*blocks[:i], *blocks[i + 1 :]).value for i in range(d))

    found = jackknife(value, rows, delete=max(1, len(rows) // 100), rng=0)
    return replace(found, method="gaussian (o_information)", unit="nats")
