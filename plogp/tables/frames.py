"""`Frame`: the behaviour that the three results share: iterate, print, convert, plot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from plogp.measures.uncertainty import Estimate

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Frame", "cell", "record"]


def record(row: Any) -> dict[str, Any]:
    """Return a row as a flat record of plain values.

    An `Estimate` becomes ``name``, ``name_low``, ``name_high`` and ``name_se``; histograms and other nested rows
    stay as dictionaries and lists.

    >>> from plogp.tables.results import PairDependence
    >>> r = record(PairDependence("a", "b", Estimate(0.5, 0.1, n=20, method="x"), 0.7, 0.01, 0.02, "x"))
    >>> r["mutual_information"], round(r["mutual_information_low"], 3), r["p_value"]
    (0.5, 0.304, 0.01)
    """
    out: dict[str, Any] = {}
    for f in fields(row):
        value = getattr(row, f.name)
        if isinstance(value, Estimate):
            low, high = value.interval() if value.has_interval else (None, None)
            out |= {f.name: float(value.value), f"{f.name}_low": low, f"{f.name}_high": high}
            out[f"{f.name}_se"] = None if value.se is None else float(value.se)
        elif is_dataclass(value):
            out[f.name] = value.to_dict() if hasattr(value, "to_dict") else record(value)
        elif isinstance(value, list) and value and is_dataclass(value[0]):
            out[f.name] = [record(v) for v in value]
        elif isinstance(value, Mapping):
            out[f.name] = dict(value)
        else:
            out[f.name] = value
    return out


def cell(value: Any, base: float | None = None) -> str:
    """Return a value as a reader wants it in a narrow table; ``base=2`` shows nats as bits.

    >>> cell(0.123456), cell(True), cell(12345), cell(None), cell(2e-31)
    ('0.123', 'yes', '12,345', '', '2e-31')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Estimate):
        if value.unit == "nats" and base is not None:
            value = value / math.log(base)
        if not value.has_interval:
            return f"{value.value:.3g}"
        low, high = value.interval()
        return f"{value.value:.3g} [{low:.2g}, {high:.2g}]"
    return str(value)


class Frame:
    """A result with rows. It iterates, prints as a table, converts to data frames of any library, and plots."""

    row_type: ClassVar[type]
    shown: ClassVar[tuple[str, ...]]

    if TYPE_CHECKING:
        rows: Any
        notes: list[str]

        @property
        def title(self) -> str:
            """One line in words."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> Any:
        """Return a row by position or by its column's name."""
        if isinstance(key, str):
            name = fields(self.row_type)[0].name
            for row in self.rows:
                if getattr(row, name) == key:
                    return row
            raise KeyError(f"no column {key!r} here; there are {[getattr(r, name) for r in self.rows]}")
        return self.rows[key]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one flat record a row, with every estimate's interval."""
        return [record(row) for row in self.rows]

    def to_arrow(self) -> Any:
        """Return a pyarrow Table of the flat columns (nested ones such as histograms are left to `to_dicts`)."""
        try:
            import pyarrow as pa
        except ImportError as error:
            raise ImportError("pyarrow is needed for to_arrow: pip install pyarrow") from error
        return pa.Table.from_pydict(self._flat())

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame of the flat columns."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("pandas is needed for to_pandas: pip install pandas") from error
        return pd.DataFrame(self._flat())

    def to_polars(self) -> Any:
        """Return a polars DataFrame of the flat columns."""
        try:
            import polars as pl
        except ImportError as error:
            raise ImportError("polars is needed for to_polars: pip install polars") from error
        return pl.DataFrame(self._flat(), strict=False)

    def _flat(self) -> dict[str, list[Any]]:
        records = self.to_dicts()
        if not records:
            return {f.name: [] for f in fields(self.row_type)}
        names = list(dict.fromkeys(k for r in records for k in r))
        out: dict[str, list[Any]] = {}
        for name in names:
            values = [r.get(name) for r in records]
            if any(isinstance(v, dict) or (isinstance(v, list) and v and isinstance(v[0], dict)) for v in values):
                continue
            # Lists of words (notes, categories) become one text, which every library can hold.
            out[name] = ["; ".join(map(str, v)) if isinstance(v, list) else v for v in values]
        return out

    def plot(self, limit: int = 12) -> Any:
        """Draw the result with matplotlib and return the figure; at most `limit` panels or rows."""
        from plogp.tables.figures import plot

        return plot(self, limit)

    def __repr__(self) -> str:
        lines = [[name.replace("_", " ") for name in self.shown]]
        for row in self.rows[:60]:
            lines.append([_clip(cell(getattr(row, name))) for name in self.shown])
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.shown))]
        body = ["  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in lines]
        if len(self.rows) > 60:
            body.append(f"... and {len(self.rows) - 60} more")
        return "\n".join([self.title, *body, *(f"note: {n}" for n in self.notes)])

    def __rich__(self) -> Table:
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(self.title), box=box.SIMPLE, title_justify="left", caption_justify="left")
        for name in self.shown:
            table.add_column(name.replace("_", " "), overflow="fold")
        for row in self.rows[:60]:
            strong = bool(getattr(row, "drifted", False) or getattr(row, "leak", False))
            cells = (escape(_clip(cell(getattr(row, name)))) for name in self.shown)
            table.add_row(*cells, style="bold" if strong else None)
        left = len(self.rows) - 60
        words = [f"... and {left} more"] if left > 0 else []
        table.caption = escape("\n".join([*words, *self.notes])) or None
        return table


def _clip(text: str, width: int = 60) -> str:
    """Keep one line of at most `width` characters, with control characters made visible."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= width else text[: width - 1] + "…"
