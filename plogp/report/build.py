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
from plogp.report.arrays import NamedArray, is_array, open_array
from plogp.report.comparisons import Comparison, difference, shared_information
from plogp.report.document import Input, document, fingerprint, to_text
from plogp.report.files import write_all
from plogp.report.readings import Reading, read, reader, trace_text
from plogp.report.representations import Geometry, describe
from plogp.report.text_comparison import TextComparison, compare_texts
from plogp.report.texts import NamedText, is_text, open_text
from plogp.tables.frames import Frame
from plogp.tables.results import Drift, Profile, Relation

if TYPE_CHECKING:
    from plogp.tables.source import Source

__all__ = ["UNIT_OF_BASE", "Report", "UnsupportedInputError", "parts", "report"]

#: Unit in which entropies and divergences are shown for each logarithm base.
UNIT_OF_BASE: Mapping[str, str] = {"e": "nats", "2": "bits", "10": "bans"}

#: Suffixes of inputs that are not tables, and what each kind is called.
NOT_TABLES = {
    **dict.fromkeys((".html", ".htm", ".pdf", ".docx", ".odt", ".epub"), "a document with markup"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".joblib"), "pickled objects"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "spreadsheets"),
}
READABLE = (
    "tables (CSV, TSV, Parquet, JSON lines, a DuckDB file, an engine's URL), texts (.txt, .md, .rst, .tex, .jsonl) and "
    "arrays (.npy, .npz, .safetensors)"
)


class UnsupportedInputError(ValueError):
    """An input of a kind that the report does not read."""


@dataclass
class Report:
    """The finished parts of a report, and their forms.

    Attributes
    ----------
    drift, relation, profile : Drift, Relation, Profile or None
        What differs between the two tables, what each column says about the target, what the (first) table holds.
    arrays : list of Geometry
        How the rows of each array lie.
    comparisons : list of Comparison
        What two arrays share, or how they differ.
    texts : list of Reading
        What a language model knows about each text.
    text_comparisons : list of TextComparison
        How two texts differ.
    inputs : list of Input
        What was read.
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
    arrays: list[Geometry] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    texts: list[Reading] = field(default_factory=list)
    text_comparisons: list[TextComparison] = field(default_factory=list)
    unit: str = "nats"
    seed: int = 0
    interrupted: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def add(self, part: Drift | Relation | Profile | Geometry | Comparison | Reading | TextComparison) -> None:
        """Put a finished part in its place."""
        if isinstance(part, Drift):
            self.drift = part
        elif isinstance(part, Geometry):
            self.arrays.append(part)
        elif isinstance(part, Comparison):
            self.comparisons.append(part)
        elif isinstance(part, Reading):
            self.texts.append(part)
        elif isinstance(part, TextComparison):
            self.text_comparisons.append(part)
        elif isinstance(part, Relation):
            self.relation = part
        else:
            self.profile = part
        self.__dict__.pop("document", None)

    @property
    def done(self) -> list[Frame]:
        """The parts that are there, in the order of the page, which is the order in which they are made."""
        tables = (self.drift, self.relation, self.profile)
        parts = (*tables, *self.comparisons, *self.arrays, *self.text_comparisons, *self.texts)
        return [p for p in parts if p is not None]

    @cached_property
    def document(self) -> dict[str, Any]:
        """The report as a dictionary, as in ``report.json``."""
        return document(
            self.inputs,
            self.drift,
            self.relation,
            self.profile,
            self.arrays,
            self.comparisons,
            self.texts,
            self.text_comparisons,
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
    model: str | None = None,
    text_field: str | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Report:
    """Report what a table, a text or an array carries, or how two of them differ or depend on each other.

    Parameters
    ----------
    input : path, URL, data frame, relation, mapping, array or tensor
        The table, or the reference where there are two; whatever `plogp.tables.open_table` opens. Or an array of
        rows: ``.npy``, ``.npz``, ``.safetensors``, a NumPy array, a PyTorch tensor. Or a text: ``.txt``, ``.md``,
        ``.rst``, ``.tex``, JSON lines with a field of text, or a list of strings.
    other : same, optional
        The current table; a second text; or a second array. Arrays with equally many rows: the information between
        them; with equally many columns: how they differ.
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
    model : str, optional
        The language model that reads a text: a folder, or a name on the hub; by default the embedded one.
    text_field : str, optional
        The field of JSON lines that holds the text.
    device : str
        Where the model runs: "cpu", "cuda".
    seed : int
        Seed of all randomness.

    Returns
    -------
    Report
        With ``.html``, ``.json``, ``.answer`` and ``.save(directory)``.

    Raises
    ------
    UnsupportedInputError
        For inputs that are neither tables nor texts nor arrays.
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
        model=model,
        text_field=text_field,
        device=device,
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
    model: str | None = None,
    text_field: str | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Iterator[Report]:
    """Build the same report as `report` step by step, yielding it after each finished part.

    The same object grows; who is interrupted keeps what it holds.
    """
    unit = UNIT_OF_BASE.get("e" if base == "e" else f"{float(base):g}")
    if unit is None:
        raise ValueError(f"base must be one of e, 2 and 10, got {base!r}")
    given = [a for a in (input, other) if a is not None]
    tabular = {"target": target, "columns": columns, "kinds": kinds, "pairs": pairs}
    if any(is_text(a, text_field) for a in given):
        if not all(is_text(a, text_field) for a in given):
            raise ValueError("one input is a text and the other is not; give two of a kind")
        _refuse(tabular, "for tables; a text has no columns")
        yield from _text_parts(given, unit, base, model, text_field, device, seed)
        return
    _refuse({"model": model, "text_field": text_field}, "for texts")
    for argument in given:
        _refuse_what_is_no_table(argument)
    if any(map(is_array, given)):
        if not all(map(is_array, given)):
            raise ValueError("one input is an array and the other a table; give two of a kind")
        _refuse(tabular, "for tables; arrays have no named columns")
        yield from _array_parts(given, unit, base, seed)
        return
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


def _array_parts(given: Sequence[Any], unit: str, base: float | str, seed: int) -> Iterator[Report]:
    """Compare two arrays first, then describe each."""
    roles = ["array"] if len(given) == 1 else ["first", "second"]
    arrays = [open_array(a, role) for a, role in zip(given, roles)]
    inputs = [_array_input(role, a) for role, a in zip(roles, arrays)]
    out = Report(inputs, unit=unit, seed=seed, arguments={"base": str(base)})
    if len(arrays) == 2:
        paired = len(arrays[0]) == len(arrays[1])
        alike = arrays[0].width == arrays[1].width and arrays[0].labels == arrays[1].labels and _one_kind(*arrays)
        if paired:
            out.add(shared_information(*arrays, seed=seed))
            yield out
        if alike or not paired:
            out.add(difference(*arrays, seed=seed))
            yield out
    for array in arrays:
        if not array.labels:
            out.add(describe(array, seed=seed))
            yield out
    if not out.done:
        raise ValueError(f"{arrays[0].name} is one column of labels; give the array that they belong to as well")


def _refuse(options: Mapping[str, Any], why: str) -> None:
    for option, value in options.items():
        if value is not None:
            raise ValueError(f"{option} is {why}")


def _text_parts(
    given: Sequence[Any],
    unit: str,
    base: float | str,
    model: str | None,
    text_field: str | None,
    device: str,
    seed: int,
) -> Iterator[Report]:
    """Let the model read the texts, compare two first, then describe each."""
    roles = ["text"] if len(given) == 1 else ["first", "second"]
    texts = [open_text(a, role, text_field) for a, role in zip(given, roles)]
    inputs = [_text_input(role, t) for role, t in zip(roles, texts)]
    out = Report(inputs, unit=unit, seed=seed, arguments={"base": str(base), "model": model})
    read_texts = [trace_text(text, model, device) for text in texts]
    if len(texts) == 2:
        out.add(compare_texts(read_texts[0], read_texts[1], reader(model, device).decode, seed=seed))
        yield out
    for given_text in read_texts:
        out.add(read(given_text, model, device, seed=seed))
        yield out


def _text_input(role: str, t: NamedText) -> Input:
    sha, size = (None, None) if t.path is None else (fingerprint(t.path), t.path.stat().st_size)
    return Input(role, t.name, len(t), None, sha, size, t.n_chars)


def _one_kind(a: NamedArray, b: NamedArray) -> bool:
    """Numbers and numbers, or words and words: what can be compared."""
    return (a.values.dtype.kind in "US") == (b.values.dtype.kind in "US")


def _array_input(role: str, a: NamedArray) -> Input:
    sha, size = (None, None) if a.path is None else (fingerprint(a.path), a.path.stat().st_size)
    return Input(role, a.name, len(a), a.width, sha, size)


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
        raise UnsupportedInputError(f"{name}: not yet for this kind of input ({kind}); a report reads {READABLE}")


def _input(role: str, argument: Any, source: Source) -> Input:
    sha, size, name = None, None, source.label
    if isinstance(argument, (str, os.PathLike)):
        path = Path(os.fsdecode(os.fspath(argument)))
        if not path.is_file():
            path = Path(str(path).partition("#")[0])
        if path.is_file():
            sha, size = fingerprint(path), path.stat().st_size
    return Input(role, name, source.n_rows, len(source.columns), sha, size)
