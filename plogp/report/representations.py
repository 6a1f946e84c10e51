"""How the rows of an array lie: its spectrum, effective ranks, diversity, spread; a composition of `plogp.spectra`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate, Normal
from plogp.report.arrays import NamedArray
from plogp.tables.frames import Frame

__all__ = [
    "COMPONENTS",
    "MOST_NEIGHBOURS",
    "MOST_ROWS",
    "Geometry",
    "Row",
    "components",
    "describe",
    "finite_rows",
    "in_range",
]

Floats = npt.NDArray[np.float64]

#: Rows used for what is quadratic in the columns, and for what is quadratic in the rows.
MOST_ROWS = 20_000
MOST_NEIGHBOURS = 4_000
#: Widest array whose eigenvalues are computed again without each tenth of the rows, for intervals.
WIDEST_WITH_INTERVALS = 1_536
GROUPS = 10
#: Components that nearest neighbours are looked for in.
COMPONENTS = 5


@dataclass(frozen=True)
class Row:
    """A number about an array: what it is called, its estimate, and one line on what it is."""

    name: str
    value: Estimate
    what: str
    section: str = ""


@dataclass(frozen=True, repr=False)
class Geometry(Frame):
    """How the rows of an array lie: its spectrum, effective ranks, diversity, spread, duplicates.

    Attributes
    ----------
    source, n, d, dtype
        What was read.
    rows : list of Row
        The numbers.
    spectrum : array
        Eigenvalues of the covariance as shares of their sum, descending.
    components : mapping
        Number of principal components that hold 50, 90, 99 % of the variance.
    used, dropped, duplicates, constant : int
        Rows the numbers are of; rows left out because they hold NaN or infinite values; rows equal to an earlier one;
        columns that never change.
    """

    row_type: ClassVar[type] = Row
    shown: ClassVar[tuple[str, ...]] = ("name", "value")

    source: str
    n: int
    d: int
    dtype: str
    rows: list[Row]
    spectrum: Floats
    components: dict[str, int]
    used: int
    dropped: int
    duplicates: int
    constant: int
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """One line in words."""
        return f"{self.source}: {self.n:,} rows of {self.d:,} {self.dtype} numbers"


def _exact(value: float, method: str, n: int, why: str) -> Estimate:
    return Estimate(float(value), None, n, method, unit="", diagnostics={"no_interval": why})


def finite_rows(array: NamedArray, most: int, rng: np.random.Generator) -> tuple[Floats, int, int]:
    """Return at most `most` rows as float64, how many rows were finite, and how many were not."""
    n = len(array)
    values = array.values if array.values.ndim == 2 else array.values[:, None]
    finite = np.empty(n, dtype=bool)
    step = max(1, 2**22 // max(values.shape[1], 1))
    for start in range(0, n, step):
        block = values[start : start + step]
        finite[start : start + step] = np.isfinite(block).all(axis=1) if block.dtype.kind == "f" else True
    kept = np.flatnonzero(finite)
    if len(kept) < 2:
        raise ValueError(
            f"{array.name}: {'all' if not len(kept) else 'all but one of'} {n:,} rows hold NaN or infinite values"
        )
    chosen = kept if len(kept) <= most else np.sort(rng.choice(kept, most, replace=False))
    return np.asarray(values[chosen], dtype=np.float64), len(kept), n - len(kept)


def in_range(*arrays: Floats) -> tuple[Floats, ...]:
    """Divide arrays whose squares would overflow or vanish by one power of two; no number here has a unit."""
    largest = max(float(np.abs(x).max(initial=0.0)) for x in arrays)
    if largest == 0.0 or 1e-100 < largest < 1e100:
        return arrays
    exponent = math.frexp(largest)[1]
    return tuple(np.ldexp(x, -exponent) for x in arrays)


def _duplicates(array: NamedArray) -> int:
    """Finite rows equal to an earlier one, by a 64-bit hash of their bytes (random odd weights, modulo 2^64)."""
    values = array.values if array.values.ndim == 2 else array.values[:, None]
    weights = None
    hashes = []
    step = max(1, 2**22 // max(values.shape[1] * values.dtype.itemsize, 1))
    for start in range(0, len(values), step):
        block = np.ascontiguousarray(values[start : start + step]) + np.zeros(1, dtype=values.dtype)  # -0.0 is 0.0
        block = block[np.isfinite(block).all(axis=1)] if block.dtype.kind == "f" else block
        raw = block.view(np.uint8).reshape(len(block), -1)
        raw = np.pad(raw, ((0, 0), (0, -raw.shape[1] % 4))).view(np.uint32).astype(np.uint64)
        if weights is None:
            weights = np.random.default_rng(0).integers(1, 2**63, raw.shape[1], dtype=np.uint64) | np.uint64(1)
        mixed = (raw + np.uint64(1)) * weights
        mixed ^= mixed >> np.uint64(29)
        hashes.append((mixed * np.uint64(0x9E3779B97F4A7C15)).sum(axis=1, dtype=np.uint64))
    found = np.concatenate(hashes)
    return len(found) - len(np.unique(found))


def describe(array: NamedArray, *, seed: int = 0) -> Geometry:
    """Return the geometry of an array.

    >>> rng = np.random.default_rng(0)
    >>> from plogp.report.arrays import open_array
    >>> g = describe(open_array(rng.normal(size=(500, 8))))
    >>> g.duplicates, 7 < g["effective rank"].value.value < 8
    (0, True)
    """
    from plogp.estimate import kozachenko_leonenko
    from plogp.spectra import Spectrum, alpha_req, vrm

    rng = np.random.default_rng(seed)
    X, finite, dropped = finite_rows(array, MOST_ROWS, rng)
    (X,) = in_range(X)
    n, d = X.shape
    varying = np.ptp(X, axis=0) > 0
    constant = int(d - varying.sum())
    notes = [*array.notes]
    if dropped:
        notes.append(f"{array.name}: {dropped:,} rows hold NaN or infinite values and were left out.")
    if finite > n:
        notes.append(f"{array.name}: numbers are of {n:,} rows drawn from {finite:,} (seed {seed}).")
    if n <= d:
        notes.append(
            f"{array.name}: {n:,} rows span at most {n - 1:,} of {d:,} directions: EEE and VRM, which count all "
            "columns, are large and effective ranks small for that reason alone."
        )
    if not varying.any():
        rows = [Row("effective rank", _exact(0.0, "constant", n, "all rows are equal"), "All rows are equal.")]
        return Geometry(
            array.name, len(array), d, str(array.values.dtype), rows, np.zeros(0), {}, n, dropped, _duplicates(array),
            constant, notes,
        )  # fmt: skip
    spectrum = Spectrum.covariance(X)
    p = np.asarray(spectrum.p)
    rows = [*_with_intervals(X, rng)]
    total = np.cumsum(p)
    held = {f"{share} %": int(np.searchsorted(total, share / 100 - 1e-12) + 1) for share in (50, 90, 99)}
    positive = int((p > 1e-12 * p[0]).sum())
    if positive >= 8:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            slope = alpha_req(X)
        what = "Exponent of the eigenvalues' decay, λ_i ~ i^-α; near 1 smooth, larger compressed; error of the fit."
        rows.append(Row("α-ReQ", slope, what, "spectrum"))
    centre = X.mean(axis=0)
    common = float(centre @ centre / np.mean(np.einsum("ij,ij->i", X, X)))
    what = "Share of the mean square that is the mean itself: near 1, all rows point the same way."
    rows.append(Row("common direction", _exact(common, "mean", n, "descriptive"), what, "spread"))
    eee = float(spectrum.eee())
    what = "Eigenvalue early enrichment: 0 all directions alike, 1 a single one."
    rows.append(Row("EEE", _exact(eee, "eee", n, "descriptive"), what, "spread"))
    if n > 3:
        what = "Mean squared distance of the scaled components' entropy power from a normal's: 0 a normal cloud."
        rows.append(Row("VRM", _exact(float(vrm(X[:, varying])), "vrm", n, "descriptive"), what, "spread"))
    k = min(COMPONENTS, positive)
    if n > 20:
        scores = rng.permutation(components(X, k))[:MOST_NEIGHBOURS]  # a file is often sorted by class
        unique = np.unique(scores, axis=0)
        if len(unique) > 20:
            gap = kozachenko_leonenko(rng.permutation(unique)) - 0.5 * k * math.log(2 * math.pi * math.e)
            what = (
                f"Entropy of the first {k} whitened principal components by nearest neighbours, less that of a normal "
                "cloud: 0 normal, negative the more clustered or curved."
            )
            rows.append(Row("nearest-neighbour entropy", gap, what, "spread"))
    return Geometry(
        array.name, len(array), d, str(array.values.dtype), rows, p, held, n, dropped, _duplicates(array),
        constant, notes,
    )  # fmt: skip


def components(X: Floats, k: int, fitted: Floats | None = None) -> Floats:
    """The first k principal components of X (as found in `fitted`), each scaled to unit variance."""
    base = X if fitted is None else fitted
    centre = base.mean(axis=0)
    if base.shape[1] <= len(base):
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(base, rowvar=False)))
        directions, scale = vectors[:, ::-1][:, :k], np.sqrt(np.maximum(values[::-1][:k], 0.0))
    else:
        _, singular, rotation = np.linalg.svd(base - centre, full_matrices=False)
        directions, scale = rotation[:k].T, singular[:k] / math.sqrt(max(len(base) - 1, 1))
    return np.asarray((X - centre) @ directions / np.where(scale > 0, scale, 1.0))


#: Functionals with an interval: name, section, words, and the value from the spectra (of the covariance, of the raw
#: second moments, of the rows scaled to length one).
_FUNCTIONALS: tuple[tuple[str, str, str, Callable[[Any, Any, Any], float]], ...] = (
    (
        "effective rank", "spectrum",
        "exp of the Shannon entropy of the covariance's eigenvalues: how many directions are in use.",
        lambda covariance, raw, unit: float(covariance.hill(1.0)),
    ),
    (
        "participation ratio", "spectrum",
        "(Σλ)²/Σλ² of the covariance: the same, weighing large directions more.",
        lambda covariance, raw, unit: float(covariance.hill(2.0)),
    ),
    (
        "RankMe", "spectrum",
        "exp of the entropy of the singular values, not centred: the score of that name.",
        lambda covariance, raw, unit: float(raw.rankme()),
    ),
    (
        "Vendi score", "diversity",
        "Effective number of distinct rows by cosine similarity, order 1; it grows with the number of rows.",
        lambda covariance, raw, unit: float(unit.hill(1.0)),
    ),
    (
        "Vendi score, order 2", "diversity",
        "The same of order 2: common rows weigh more, rare ones less.",
        lambda covariance, raw, unit: float(unit.hill(2.0)),
    ),
)  # fmt: skip


def _with_intervals(X: Floats, rng: np.random.Generator) -> Iterator[Row]:
    """The functionals of the spectrum, with jackknife errors over tenths of the rows."""
    n, d = X.shape
    norms = np.linalg.norm(X, axis=1)
    U = X / np.where(norms > 0, norms, 1.0)[:, None]
    values = [f(*spectra) for spectra in [_spectra(X, U)] for *_, f in _FUNCTIONALS]
    error: Sequence[float | None] = [None] * len(values)
    why = f"too few rows for groups of them ({n})" if n < 4 * GROUPS else f"wider than {WIDEST_WITH_INTERVALS} columns"
    if n >= 4 * GROUPS and min(n, d) <= WIDEST_WITH_INTERVALS:
        group = rng.permutation(np.arange(n) % GROUPS)
        without = np.array([[f(*s) for *_, f in _FUNCTIONALS] for s in _leave_out(X, U, group)])
        error = [float(e) for e in np.sqrt((GROUPS - 1) * without.var(axis=0))]
    for (name, section, what, _), value, se in zip(_FUNCTIONALS, values, error):
        method = f"jackknife over {GROUPS} groups of rows"
        if se is None:
            yield Row(name, _exact(value, "spectrum", n, why), what, section)
        else:
            law = _Within(Normal(value, se, df=GROUPS - 1), min(1.0, value), max(float(d), value))
            e = Estimate(value, se, n, method, unit="", law=law)
            yield Row(name, e, what, section)


@dataclass(frozen=True)
class _Within:
    """An interval cut to the range that the number can have: an effective rank is between 1 and d."""

    law: Normal
    low: float
    high: float

    def __call__(self, level: float) -> tuple[float, float]:
        low, high = self.law(level)
        return max(low, self.low), min(high, self.high)


def _spectra(X: Floats, U: Floats) -> tuple[Any, Any, Any]:
    from plogp.spectra import Spectrum

    return Spectrum.covariance(X), Spectrum.singular(X), Spectrum.autocorrelation(U, normalize=None)


def _leave_out(X: Floats, U: Floats, group: npt.NDArray[np.int64]) -> Iterator[tuple[Any, Any, Any]]:
    """The three spectra without each group of rows; where rows are many, from sums of second moments."""
    from plogp.spectra import Spectrum

    n, d = X.shape
    if n <= d:
        for g in range(GROUPS):
            yield _spectra(X[group != g], U[group != g])
        return
    rows = [X[group == g] for g in range(GROUPS)]
    sums = [x.sum(axis=0) for x in rows]
    second, scaled = [x.T @ x for x in rows], [u.T @ u for u in (U[group == g] for g in range(GROUPS))]
    all_sums, all_second, all_scaled = sum(sums), sum(second), sum(scaled)
    for g in range(GROUPS):
        left = n - len(rows[g])
        mean = (all_sums - sums[g]) / left
        raw = all_second - second[g]
        eigen = [
            np.linalg.eigvalsh(m)[::-1].clip(0)
            for m in (raw / left - np.outer(mean, mean), raw, all_scaled - scaled[g])
        ]
        yield (
            Spectrum.from_values(eigen[0], n=left, of="eigen"),
            Spectrum.from_values(np.sqrt(eigen[1]), n=left, of="singular"),
            Spectrum.from_values(eigen[2], n=left, of="eigen"),
        )
