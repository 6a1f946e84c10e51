"""Mutual information of every pair of columns of a table, whatever their types."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.counts import encode, pairwise_tables
from plogp.estimate.discrete import evaluate
from plogp.estimate.entropies import STRATEGIES
from plogp.estimate.frontends import entropy, mutual_information
from plogp.estimate.inference import adjust_p_values
from plogp.estimate.registry import Variable, prepare
from plogp.estimate.samples import as_array
from plogp.measures.uncertainty import Estimate

__all__ = ["InformationMatrix", "mutual_information_matrix"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InformationMatrix:
    """Mutual information of all pairs of columns.

    Attributes
    ----------
    names : tuple of str
        The columns.
    estimates : mapping
        From pairs (i, j), i < j, to their `Estimate`.
    entropies : tuple of float
        Entropy of each column: the diagonal; infinite for continuous ones.
    p_adjusted : mapping
        From pairs to p-values adjusted for the number of pairs, where the method has p-values.
    """

    names: tuple[str, ...]
    estimates: Mapping[tuple[int, int], Estimate]
    entropies: tuple[float, ...]
    p_adjusted: Mapping[tuple[int, int], float]

    def _square(self, of: Any, diagonal: Any) -> FloatArray:
        out = np.diag(np.asarray(diagonal, np.float64))
        for (i, j), e in self.estimates.items():
            out[i, j] = out[j, i] = of(e)
        return out

    @property
    def values(self) -> FloatArray:
        """Symmetric matrix in nats, entropies on the diagonal."""
        return self._square(lambda e: e.value, self.entropies)

    @property
    def errors(self) -> FloatArray:
        """Standard errors."""
        return self._square(lambda e: math.nan if e.se is None else e.se, np.zeros(len(self.names)))

    @property
    def p_values(self) -> FloatArray:
        """p-values, NaN where the method has none and on the diagonal."""
        return self._square(lambda e: math.nan if e.p_value is None else e.p_value, np.full(len(self.names), np.nan))

    def __getitem__(self, pair: tuple[Any, Any]) -> Estimate:
        i, j = (self.names.index(p) if isinstance(p, str) else int(p) for p in pair)
        if i == j:
            raise KeyError("a column with itself has its entropy: see `entropies`")
        return self.estimates[min(i, j), max(i, j)]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate over pairs as rows, largest information first."""
        order = sorted(self.estimates, key=lambda pair: -self.estimates[pair].value)
        for pair in order:
            row = {"a": self.names[pair[0]], "b": self.names[pair[1]], "mutual_information": self.estimates[pair]}
            yield row | {"p_adjusted": self.p_adjusted.get(pair)}

    def __repr__(self) -> str:
        rows = [f"InformationMatrix of {len(self.names)} columns, largest first:"]
        rows += [f"  {r['a']}, {r['b']}: {r['mutual_information']!r}" for _, r in zip(range(10), self)]
        more = len(self.estimates) - 10
        return "\n".join(rows + ([f"  ... and {more} pairs more"] if more > 0 else []))


def mutual_information_matrix(
    table: Any,
    method: str = "auto",
    *,
    names: list[str] | None = None,
    p_value: str | None = None,
    num_permutations: int = 199,
    adjust: str = "bh",
    rng: np.random.Generator | int | None = None,
    n_jobs: int | None = None,
    **options: Any,
) -> InformationMatrix:
    """Estimate the mutual information of every pair of columns; the method suits the types of each pair.

    All pairs of label columns are counted together (30 columns of 10 states, 1,000,000 rows: well under a
    second), the others run in parallel through joblib.

    Parameters
    ----------
    table : mapping of columns, data frame, or array of shape (n, c)
        Columns of labels or numbers (see :func:`plogp.estimate.mutual_information`).
    method : str
        ``"auto"``, or a name that suits every pair.
    names : list of str, optional
        Names of the columns of an array.
    p_value, num_permutations
        As in :func:`plogp.estimate.mutual_information`, for every pair.
    adjust : str
        How p-values are adjusted for many pairs (:func:`plogp.estimate.adjust_p_values`).
    rng, n_jobs
        Seed; workers for the pairs that are not counted.
    **options
        Of the method.

    Raises
    ------
    ValueError
        For fewer than two columns, unequal lengths, or what the method raises.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a = rng.integers(0, 3, 500)
    >>> m = mutual_information_matrix({"a": a, "b": a // 2, "c": rng.standard_normal(500)})
    >>> m["a", "b"].value > 0.5, m["a", "c"].distinguishable()
    (True, False)
    """
    columns = _columns(table, names)
    if len(columns) < 2:
        raise ValueError(f"expected a table of two or more columns, got {len(columns)}")
    pairs = [(i, j) for i in range(len(columns)) for j in range(i + 1, len(columns))]
    found: dict[tuple[int, int], Estimate] = {}
    counted = [i for i, c in enumerate(columns) if c.discrete]
    by_counts = p_value is None and (method == "auto" or method.replace("-", "_") in STRATEGIES)
    if by_counts and "num_states" not in options and len(counted) > 1:
        named = [columns[i].name for i in counted]
        for i, j, counts in pairwise_tables([columns[i].values for i in counted], named):
            found[counted[i], counted[j]] = evaluate("mutual_information", counts, method)
    rest = [pair for pair in pairs if pair not in found]
    spawned = np.random.default_rng(rng).spawn(len(rest))
    seeds: list[np.random.Generator | None] = [None] * len(rest) if rng is None else list(spawned)

    def one(pair: tuple[int, int], seed: np.random.Generator | None) -> Estimate:
        x, y = columns[pair[0]], columns[pair[1]]
        settings = {"p_value": p_value, "num_permutations": num_permutations, "rng": seed, **options}
        return mutual_information(x, y, method, **settings)

    if n_jobs in (None, 1) or len(rest) < 2:
        results = [one(pair, seed) for pair, seed in zip(rest, seeds)]
    else:
        from joblib import Parallel, delayed

        results = Parallel(n_jobs=n_jobs, prefer="threads")(delayed(one)(*job) for job in zip(rest, seeds))
    found |= dict(zip(rest, results))
    found = {pair: found[pair] for pair in pairs}
    entropies = tuple(_entropy(c) for c in columns)
    with_p = [pair for pair in pairs if found[pair].p_value is not None]
    adjusted = adjust_p_values([found[pair].p_value for pair in with_p], adjust)
    return InformationMatrix(
        tuple(c.name for c in columns), found, entropies, {pair: float(p) for pair, p in zip(with_p, adjusted)}
    )


def _entropy(column: Variable) -> float:
    if not column.discrete:
        return math.inf
    codes, _ = encode(column.values, column.name)
    return entropy(codes).value


def _columns(table: Any, names: list[str] | None) -> list[Variable]:
    """Return the columns of a mapping, of a data frame (anything with named columns), or of an array."""
    called = getattr(table, "columns", None) if not isinstance(table, Mapping) else list(table)
    if called is not None and not callable(called):
        return prepare(**{str(name): table[name] for name in called})
    if hasattr(table, "column_names"):  # Arrow
        return prepare(**{str(name): table[name] for name in table.column_names})
    array = as_array(table, "table")
    if array.ndim != 2:
        raise ValueError(f"expected a table of columns (mapping, data frame, array of shape (n, c)), got {array.shape}")
    if names is None:
        names = [f"x{j}" for j in range(array.shape[1])]
    if len(names) != array.shape[1]:
        raise ValueError(f"names has {len(names)} entries for {array.shape[1]} columns")
    return prepare(**{name: array[:, j] for j, name in enumerate(names)})
