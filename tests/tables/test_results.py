"""The three results: printing, conversion to every frame, plotting, and hostile names in all of them."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from plogp.measures.uncertainty import Estimate
from plogp.tables import Drift, Profile, Relation, drift, profile, relate
from plogp.tables.frames import cell, record

NAME = "<script>[bold]$x$\n"


@pytest.fixture(scope="module")
def results() -> list[Any]:
    rng = np.random.default_rng(0)
    y = rng.random(500) < 0.4
    a = {NAME: rng.normal(size=500), "c": rng.choice(["u", "[red]v"], 500), "y": y, "copy": y}
    b = {NAME: rng.normal(1, 1, size=500), "c": rng.choice(["u", "w"], 500), "y": y, "copy": y}
    return [profile(a), relate(a, "y"), drift(a, b)]


def test_they_iterate_index_and_print(results: list[Any]) -> None:
    p, r, d = results
    assert (len(p), len(r), len(d)) == (4, 3, 4)
    assert isinstance(p, Profile)
    assert isinstance(r, Relation)
    assert isinstance(d, Drift)
    assert p[0].name == p["<script>[bold]$x$"].name
    assert d["c"].new_categories == ["w"]
    with pytest.raises(KeyError, match="no column 'zzz'"):
        d["zzz"]
    for result in results:
        text = repr(result)
        assert result.title in text
        assert "<script>[bold]" in text
        assert len(text.splitlines()) < 20
        out = io.StringIO()
        Console(file=out, width=200, no_color=True).print(result)
        assert "<script>[bold]" in out.getvalue()  # rich's markup is escaped


def test_they_convert_to_every_frame(results: list[Any]) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    for result in results:
        rows = len(result)
        first, second, third = result.to_pandas(), result.to_polars(), result.to_arrow()
        assert isinstance(first, pandas.DataFrame)
        assert isinstance(second, polars.DataFrame)
        assert len(first) == len(second) == third.num_rows == rows
        assert list(first.columns) == second.columns == third.column_names
        json.dumps(result.to_dicts(), default=str)
    d = results[2].to_pandas().set_index("column")
    row = results[2]["c"]
    assert d.loc["c", "psi"] == row.psi.value
    assert d.loc["c", "psi_low"] == pytest.approx(row.psi.interval()[0])
    assert len(results[0].pairs_to_dicts()) == 6


def test_they_plot(results: list[Any]) -> None:
    pytest.importorskip("matplotlib")
    for result in [*results, profile({"x": [1, 2, 3], "y": [1.0, 2.5, 3.5]}, pairs=False)]:
        figure = result.plot()
        out = io.BytesIO()
        figure.savefig(out, format="png")
        assert len(out.getvalue()) > 5000
        assert figure.axes
    with pytest.raises(ValueError, match="limit"):
        results[0].plot(limit=0)


def test_no_columns_convert_too() -> None:
    pytest.importorskip("pyarrow")
    empty = Drift("a", "b", "js", 5, 5, [])
    assert empty.to_arrow().num_rows == 0
    assert "0 of 0 columns" in repr(empty)


def test_cells_and_records() -> None:
    e = Estimate(0.5, 0.1, n=10, method="m")
    assert cell(e) == "0.5 [0.3, 0.7]"
    assert cell(e, base=2).startswith("0.721")
    assert cell(float("nan")) == "nan"
    assert cell("x") == "x"
    histogram = profile({"a": [1, 1, 2], "b": [1, 2, 3]}, pairs=False)[0].histogram
    assert record(histogram)["labels"] == ["1", "2"]
