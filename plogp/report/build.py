"""`report`: open what is given, compute its parts one after another, and hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plogp.measures.divergence import Dissimilarity
from plogp.report.document import Input, document, fingerprint, to_text
from plogp.report.files import write_all
from plogp.tables.frames import Frame
from plogp.tables.results import Drift, Profile, Relation

if TYPE_CHECKING:
    from plogp.tables.source import Source

__all__ = ["UNIT_OF_BASE", "Report", "UnsupportedInputError", "parts", "report"]

#: Unit in which entropies and divergences are shown for each logarithm base.
UNIT_OF_BASE: Mapping[str, str] = {"e": "nats", "2": "bits", "10": "bans"}

#: Suffixes of inputs that are not tables, and what each kind is called.
NOT_TABLES = {
    **dict.fromkeys((".txt", ".md", ".rst", ".html", ".tex"), "text"),
    **dict.fromkeys((".npy", ".npz", ".safetensors"), "arrays"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".joblib"), "pickled objects"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "spreadsheets"),
}
TABLES = "CSV, TSV, Parquet, JSON lines, a DuckDB file or an engine's URL"


class UnsupportedInputError(ValueError):
    """An input of a kind that the report does not read."""


@dataclass
class Report:
    """The finished parts of a report, and their forms.

    Attributes
    ----------
    drift, relation, profile : Drift, Relation, Profile or None
        What differs between the two tables, what each column says about the target, what the (first) table holds.
    inputs : list of Input
        The tables that were read.
    unit : str
        "nats", "bits" or "bans".
    seed : int
        Seed of all randomness.
    interrupted : bool
        Whether the run stopped before all parts were finished.
    """

    inputs: list[Input]
    drift: Drift | None = None
    relation: Relation | None = None
    profile: Profile | None = None
    unit: str = "nats"
    seed: int = 0
    interrupted: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def add(self, part: Drift | Relation | Profile) -> None:
        """Put a finished part in its place."""
        if isinstance(part, Drift):
            self.drift = part
        elif isinstance(part, Relation):
            self.relation = part
        else:
            self.profile = part
        self.__dict__.pop("document", None)

    @property
    def done(self) -> list[Frame]:
        """The parts that are there, in the order of the page, which is the order in which they are made."""
        return [p for p in (self.drift, self.relation, self.profile) if p is not None]

    @cached_property
    def document(self) -> dict[str, Any]:
        """The report as a dictionary, as in ``report.json``."""
        return document(
            self.inputs,
            self.drift,
            self.relation,
            self.profile,
            unit=self.unit,
            seed=self.seed,
            interrupted=self.interrupted,
        )

    @property
    def answer(self) -> list[str]:
        """The answer in words, one sentence each."""
        out: list[str] = self.document["answer"]
        return out

    @property
    def json(self) -> str:
        """The report as strict JSON text, with a versioned schema."""
        return to_text(self.document)

    @property
    def html(self) -> str:
        """The report as one self-contained page."""
        from plogp.report.page import render

        return render(self)

    def save(self, directory: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Write ``report.html`` and ``report.json`` into `directory` (made if need be) and return their paths.

        Each file is complete or not there: it is written beside its place and moved.
        """
        page, data = write_all(Path(directory), {"report.html": self.html, "report.json": self.json})
        return page, data

    def __repr__(self) -> str:
        return "\n".join(self.answer)

    def __rich__(self) -> Any:
        from plogp.report.terminal import summary

        return summary(self)

    def _repr_html_(self) -> str:
        from markupsafe import escape

        # A frame of its own, so that the page's style does not leak into a notebook.
        style = "width:100%;height:42rem;border:1px solid #8886"
        return f'<iframe style="{style}" title="plogp report" srcdoc="{escape(self.html)}"></iframe>'


def report(
    input: Any,
    other: Any = None,
    target: str | None = None,
    *,
    divergence: str | Dissimilarity = "js",
    base: float | str = "e",
    columns: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    pairs: bool | None = None,
    seed: int = 0,
) -> Report:
    """Report what a table carries, or what drifted between two.

    Parameters
    ----------
    input : path, URL, data frame, relation or mapping
        The table, or the reference where there are two; whatever `plogp.tables.open_table` opens.
    other : same, optional
        The current table.
    target : str, optional
        A column of the first table: the information that each other column has about it is added.
    divergence : str or Divergence
        What sorts the drift.
    base : {"e", 2, 10}
        Base of the logarithm for what is shown; PSI and information value stay in nats, as their users know them.
    columns : sequence of str, optional
        Only these columns (the target is added).
    kinds : mapping of str to str, optional
        Kinds of columns that the type rule gets wrong, such as ``{"postcode": "categorical"}``.
    pairs : bool, optional
        Whether to add the dependence of every pair of columns; by default only for a single table.
    seed : int
        Seed of all randomness.

    Returns
    -------
    Report
        With ``.html``, ``.json``, ``.answer`` and ``.save(directory)``.

    Raises
    ------
    UnsupportedInputError
        For text, arrays and other inputs that are not tables.
    ValueError
        For a table that cannot be read or a column that does not exist.

    Examples
    --------
    >>> table = {"x": list(range(40)) * 5, "y": ["even", "odd"] * 100}
    >>> r = report(table)
    >>> r.answer[0]
    '200 rows and 2 columns: 1 continuous and 1 categorical.'
    """
    *_, finished = parts(
        input,
        other,
        target,
        divergence=divergence,
        base=base,
        columns=columns,
        kinds=kinds,
        pairs=pairs,
        seed=seed,
    )
    return finished


def parts(
    input: Any,
    other: Any = None,
    target: str | None = None,
    *,
    divergence: str | Dissimilarity = "js",
    base: float | str = "e",
    columns: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    pairs: bool | None = None,
    seed: int = 0,
) -> Iterator[Report]:
    """Build the same report as `report` step by step, yielding it after each finished part.

    The same object grows; who is interrupted keeps what it holds.
    """
    unit = UNIT_OF_BASE.get("e" if base == "e" else f"{float(base):g}")
    if unit is None:
        raise ValueError(f"base must be one of e, 2 and 10, got {base!r}")
    for argument in (input, other):
        _refuse_what_is_no_table(argument)
    if other is None and pairs is None:
        pairs = True
    wanted = None if columns is None else list(columns)

    from plogp.tables import drift, open_table, profile, relate
    from plogp.tables.relating import check_target

    with ExitStack() as stack:
        first = stack.enter_context(open_table(input))
        second = None if other is None else stack.enter_context(open_table(other))
        if target is not None:
            # Before any part is shown: a target that cannot be used is known at once.
            check_target(first, target, kinds)
        if second is None:
            inputs = [_input("table", input, first)]
        else:
            inputs = [_input("reference", input, first), _input("current", other, second)]
        settings = {"divergence": str(divergence), "base": str(base), "target": target}
        out = Report(inputs, unit=unit, seed=seed, arguments=settings)
        if second is not None:
            out.add(drift(first, second, divergence=divergence, columns=wanted, kinds=kinds))
            yield out
        if target is not None:
            out.add(relate(first, target, columns=wanted, kinds=kinds, seed=seed))
            yield out
        shown = None if wanted is None else list(dict.fromkeys([*wanted, *([target] if target else [])]))
        if wanted is not None and second is not None:
            # A column that only the current table has was named rightly; the reference cannot describe it.
            shown = [name for name in shown or [] if name in first.columns]
        out.add(profile(first, columns=shown, kinds=kinds, pairs=bool(pairs), seed=seed))
        yield out


def _refuse_what_is_no_table(argument: Any) -> None:
    if not isinstance(argument, (str, os.PathLike)):
        return
    text = os.fspath(argument)
    name = text if isinstance(text, str) else os.fsdecode(text)
    if "://" in name:
        return
    suffix = re.sub(r"\.(gz|zst|bz2|xz)$", "", name.lower())
    kind = NOT_TABLES.get(Path(suffix).suffix)
    if kind is not None:
        raise UnsupportedInputError(f"{name}: not yet for this kind of input ({kind}); a report reads tables: {TABLES}")


def _input(role: str, argument: Any, source: Source) -> Input:
    sha, size, name = None, None, source.label
    if isinstance(argument, (str, os.PathLike)):
        path = Path(os.fsdecode(os.fspath(argument)))
        if not path.is_file():
            path = Path(str(path).partition("#")[0])
        if path.is_file():
            sha, size = fingerprint(path), path.stat().st_size
    return Input(role, name, source.n_rows, len(source.columns), sha, size)
