"""Two arrays side by side: the information between paired rows, or how two clouds of rows differ."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate
from plogp.report.arrays import NamedArray
from plogp.report.representations import COMPONENTS, MOST_NEIGHBOURS, MOST_ROWS, components, finite_rows, in_range
from plogp.tables.frames import Frame

__all__ = ["Comparison", "Finding", "difference", "shared_information"]

Floats = npt.NDArray[np.float64]

#: Rows that the permutation tests of two arrays see: the cost is that of 200 estimates.
MOST_TESTED = 600
#: Fewest pairs of rows that a critic is trained on (four fifths) and judged by (one fifth).
FEWEST_LEARNED = 500


@dataclass(frozen=True)
class Finding:
    """One estimate of what two arrays share, or of how they differ, by one method."""

    name: str
    value: Estimate
    what: str


@dataclass(frozen=True, repr=False)
class Comparison(Frame):
    """Two arrays side by side: the information between paired rows, or the divergence between two clouds.

    Attributes
    ----------
    kind : str
        "information" or "divergence".
    first, second : str
    n, m : int
        Rows of each.
    rows : list of Finding
    p_value : float
        Of independence (or of equal laws), by permutation.
    test : str
        What was permuted.
    entropy : Estimate or None
        Of the labels, where the second array holds labels: the information cannot exceed it.
    """

    row_type: ClassVar[type] = Finding
    shown: ClassVar[tuple[str, ...]] = ("name", "value")

    kind: str
    first: str
    second: str
    n: int
    m: int
    rows: list[Finding]
    p_value: float
    test: str
    entropy: Estimate | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether there is more than noise."""
        return self.p_value < 0.05

    @property
    def title(self) -> str:
        """One line in words."""
        what = "Information between" if self.kind == "information" else "Difference between"
        return f"{what} {self.first} and {self.second}"


def _attempt(name: str, what: str, run: Callable[[], Estimate], notes: list[str]) -> Iterator[Finding]:
    """A method that does not suit these arrays is left out, and the notes say why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield Finding(name, run(), what)
    except (ValueError, TypeError, ImportError) as error:
        notes.append(f"{name} was left out: {str(error).splitlines()[0]}")


def paired_rows(a: NamedArray, b: NamedArray, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[Any], int]:
    """Rows finite in both, at most `MOST_ROWS`, and how many were left out."""
    x, y = (v.values if v.values.ndim == 2 else v.values[:, None] for v in (a, b))
    good = np.ones(len(a), dtype=bool)
    for v in (x, y):
        if v.dtype.kind == "f":
            good &= np.isfinite(v).all(axis=1)
    kept = np.flatnonzero(good)
    dropped = len(a) - len(kept)
    if len(kept) > MOST_ROWS:
        kept = np.sort(rng.choice(kept, MOST_ROWS, replace=False))
    second = np.asarray(y[kept, 0]) if b.labels else in_range(np.asarray(y[kept], dtype=np.float64))[0]
    return in_range(np.asarray(x[kept], dtype=np.float64))[0], second, dropped


def shared_information(a: NamedArray, b: NamedArray, *, seed: int = 0, learned: bool = True) -> Comparison:
    """Return the mutual information between the paired rows of two arrays, by several estimators.

    Nearest neighbours and copulas see the leading principal components of each array (a function of the rows, so
    their information is a lower bound in the limit); the critic of InfoNCE sees all columns.

    Parameters
    ----------
    a, b : NamedArray
        With equally many rows; `b` may hold labels.
    seed : int
        Of components, training and permutations.
    learned : bool
        Whether to add the estimators that need PyTorch, where it is installed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> from plogp.report.arrays import open_array
    >>> x = rng.normal(size=(600, 3))
    >>> c = shared_information(open_array(x), open_array((x[:, 0] > 0).astype(int)), learned=False)
    >>> c.found, round(c.entropy.value, 2)
    (True, 0.69)
    """
    if len(a) != len(b):
        raise ValueError(f"{a.name} has {len(a):,} rows and {b.name} {len(b):,}; their rows must be paired")
    if a.labels and not b.labels:
        a, b = b, a
    from plogp.estimate import entropy, mutual_information

    rng = np.random.default_rng(seed)
    notes = [*a.notes, *b.notes]
    if a.labels:
        first, second = np.asarray(a.values), np.asarray(b.values)
        found = mutual_information(first, second)
        rows = [Finding("counts", found, "From the table of counts of both labels.")]
        p = mutual_information(first, second, p_value="permutation", num_permutations=199, rng=rng).p_value
        return Comparison(
            "information", a.name, b.name, len(a), len(b), rows, 1.0 if p is None else p, "labels shuffled", None, notes
        )
    x, y, dropped = paired_rows(a, b, rng)
    if dropped:
        notes.append(f"{dropped:,} pairs of rows hold NaN or infinite values and were left out.")
    if len(x) < 30:
        raise ValueError(f"only {len(x)} pairs of rows are finite; at least 30 are needed for their information")
    same = [v.name for v, rows in ((a, x), (b, y)) if bool((rows == rows[0]).all())]
    if same:
        test = f"no test: all rows of {same[0]} are equal, so it carries no information"
        return Comparison("information", a.name, b.name, len(a), len(b), [], 1.0, test, None, notes)
    k = max(1, min(COMPONENTS, x.shape[1], len(x) // 20))
    cx = components(_varying(x), k)
    few = slice(None, MOST_NEIGHBOURS)
    order = rng.permutation(len(x))
    rows = []
    if b.labels:
        where = f"the first {cx.shape[1]} principal components of {a.name}"
        classes, counts = np.unique(y, return_counts=True)
        if counts.max() < 5:
            raise ValueError(
                f"{b.name} holds {len(classes):,} labels, hardly any of them twice: no classes to tell apart"
            )
        what = f"Nearest neighbours (Ross) between the labels and {where}."
        rows += _attempt("ross", what, lambda: mutual_information(cx[order][few], y[order][few], method="ross"), notes)
        what = f"Entropies by nearest neighbours of {where}, overall and within each label."
        run = _method(mutual_information, cx[order][few], y[order][few], "compressed", rng=seed)
        rows += _attempt("compressed", what, run, notes)
        tested = mutual_information(
            cx[order][:1000], y[order][:1000], method="ross", p_value="permutation", num_permutations=199, rng=rng
        )
        return Comparison(
            "information", a.name, b.name, len(a), len(b), rows, 1.0 if tested.p_value is None else tested.p_value,
            "ross, labels shuffled 199 times", entropy(y), notes,
        )  # fmt: skip
    cy = components(_varying(y), max(1, min(COMPONENTS, y.shape[1], len(y) // 20)))
    where = f"the leading principal components ({cx.shape[1]} and {cy.shape[1]})"
    pairs = {
        "ksg": f"Nearest neighbours (Kraskov et al.) on {where}.",
        "copula": f"Normal copula of {where}: what a monotone, normal dependence carries.",
        "compressed": f"Weighted nearest-neighbour entropies of {where}.",
    }
    for name, what in pairs.items():
        options: dict[str, Any] = {"rng": seed} if name == "compressed" else {}
        run = _method(mutual_information, cx[order][few], cy[order][few], name, **options)
        rows += _attempt(name, what, run, notes)
    repeats = not any(row.name == "ksg" for row in rows)
    if repeats:
        what = f"Nearest neighbours for mixtures of points and densities (Gao et al.) on {where}."
        rows += _attempt("gao", what, _method(mutual_information, cx[order][few], cy[order][few], "gao"), notes)
    if learned and find_spec("torch") is not None:
        what = f"Pretrained network on {where}."
        if not repeats:  # the network knows densities only
            rows += _attempt("mist", what, _method(mutual_information, cx[order], cy[order], "mist", rng=seed), notes)
        if len(x) < FEWEST_LEARNED:
            notes.append(f"infonce was left out: {len(x)} pairs of rows are too few to train and judge a critic.")
        else:
            what = "Trained critic on all columns: a lower bound, at most the log of its batch."
            run = _method(mutual_information, x, y, "infonce", rng=seed, critic="separable", steps=1500, restarts=1)
            rows += _attempt("infonce", what, run, notes)
    # Ties broken by noise keep the test valid: permutations see the same noise.
    tested = mutual_information(
        cx[order][:MOST_TESTED], cy[order][:MOST_TESTED], method="ksg", jitter=1e-10,
        p_value="permutation", num_permutations=199, rng=rng,
    )  # fmt: skip
    return Comparison(
        "information", a.name, b.name, len(a), len(b), rows, 1.0 if tested.p_value is None else tested.p_value,
        "ksg on the components, rows of one array shuffled 199 times", None, notes,
    )  # fmt: skip


def _method(front: Callable[..., Estimate], x: Any, y: Any, name: str, **options: Any) -> Callable[[], Estimate]:
    return lambda: front(x, y, method=name, **options)


def _varying(x: Floats) -> Floats:
    return x[:, np.ptp(x, axis=0) > 0]


def difference(a: NamedArray, b: NamedArray, *, seed: int = 0) -> Comparison:
    """Return how the rows of two arrays differ in law: divergences with intervals and a two-sample p-value.

    Directions are D(first ‖ second). The classifier sees all columns (through principal components of the pooled
    rows where there are more than 30); nearest neighbours see the leading components.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> from plogp.report.arrays import open_array
    >>> c = difference(open_array(rng.normal(size=(400, 3))), open_array(rng.normal(size=(300, 3)) + 1))
    >>> c.found, c.rows[0].value.distinguishable()
    (True, True)
    """
    if a.width != b.width:
        raise ValueError(
            f"{a.name} is {len(a):,} × {a.width:,} and {b.name} {len(b):,} × {b.width:,}: two arrays need equally many "
            "rows (for the information between them) or equally many columns (for how they differ)"
        )
    from plogp.estimate import divergence

    rng = np.random.default_rng(seed)
    notes = [*a.notes, *b.notes]
    if a.labels and b.labels:
        first, second = np.asarray(a.values), np.asarray(b.values)
        rows = [Finding(d, divergence(first, second, d), f"{d} of the shares of the labels.") for d in ("js", "kl")]
        p = divergence(first, second, "js", num_permutations=199, rng=rng).p_value
        return Comparison(
            "divergence", a.name, b.name, len(a), len(b), rows, 1.0 if p is None else p, "labels shuffled", None, notes
        )
    (x, _, gone), (y, _, lost) = (finite_rows(v, MOST_ROWS, rng) for v in (a, b))
    if gone + lost:
        notes.append(f"{gone + lost:,} rows hold NaN or infinite values and were left out.")
    if min(len(x), len(y)) < 30:
        raise ValueError(f"{len(x)} and {len(y)} finite rows; at least 30 of each are needed to compare them")
    # In random order: what follows takes the first so many, and a file is often sorted by class.
    x, y = in_range(rng.permutation(x), rng.permutation(y))
    pooled = np.concatenate([x, y])
    k = max(1, min(COMPONENTS, x.shape[1]))
    px, py = (components(v, k, pooled) for v in (x, y))
    wide = min(30, x.shape[1])
    wx, wy = (x, y) if x.shape[1] <= wide else (components(v, wide, pooled) for v in (x, y))
    where = f"the first {k} principal components of the pooled rows"
    rows = []
    if find_spec("sklearn") is not None:
        what = f"Jensen-Shannon by a cross-fitted classifier on {wide} columns or components: a lower bound."
        rows += _attempt("js, classifier", what, _difference(wx[:4000], wy[:4000], "js", "classifier", seed), notes)
    for d, method, words in (
        ("kl", "knn", "KL(first ‖ second)"),
        ("reverse_kl", "knn", "KL(second ‖ first)"),
    ):
        what = f"{words} by nearest neighbours of {where}."
        run = _difference(px[:MOST_NEIGHBOURS], py[:MOST_NEIGHBOURS], d, method, seed)
        rows += _attempt(f"{d}, {method}", what, run, notes)
    # Ties broken by noise keep the test valid: permutations see the same noise.
    qx, qy = (v[: MOST_TESTED // 2] for v in (px, py))
    qx, qy = (v + 1e-10 * rng.normal(size=v.shape) for v in (qx, qy))
    tested = divergence(qx, qy, "js", method="nn-ratio", num_permutations=199, rng=rng)
    p_values = [1.0 if tested.p_value is None else tested.p_value]
    test = f"nearest-neighbour ratios on {where}, 199 permutations"
    for row in rows:
        if row.name == "js, classifier" and row.value.se:
            # Its expectation is at most 0 under equal laws, so the one-sided normal test errs on the safe side.
            p_values.append(0.5 * math.erfc(row.value.value / row.value.se / math.sqrt(2)))
            test += "; the classifier's gain over chance; the smaller p-value, doubled"
    p = min(1.0, len(p_values) * min(p_values))
    return Comparison("divergence", a.name, b.name, len(a), len(b), rows, p, test, None, notes)


def _difference(x: Floats, y: Floats, d: str, method: str, seed: int) -> Callable[[], Estimate]:
    from plogp.estimate import divergence

    def run() -> Estimate:
        found = divergence(x, y, d, method=method, rng=seed)
        return replace(found, p_value=None)

    return run
