"""The one type rule: every clause of it, and overruling it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plogp.tables import TableError, open_table, profile
from plogp.tables.kinds import kinds_of, shared_kind
from plogp.tables.source import Column

rng = np.random.default_rng(0)
N = 400

CASES: list[tuple[str, str, Any]] = [
    ("constant", "all missing", [None] * N),
    ("constant", "one value", [7.0] * N),
    ("boolean", "stored", (rng.random(N) < 0.5)),
    ("boolean", "zero and one", rng.integers(0, 2, N)),
    ("discrete", "one and two", rng.integers(1, 3, N)),
    ("discrete", "counts", rng.poisson(3, N)),
    ("discrete", "grades", rng.choice([0.5, 1.0, 1.5], N)),
    ("continuous", "normal", rng.normal(size=N)),
    ("continuous", "ages", rng.integers(18, 90, N)),
    ("datetime", "dates", np.datetime64("2024-01-01") + rng.integers(0, 300, N)),
    ("categorical", "cities", rng.choice([f"city{i}" for i in range(100)], N)),
    ("text/id", "names", [f"person {i}" for i in range(N)]),
    ("text/id", "row", np.arange(N)),
    ("text/id", "customer_id", rng.integers(0, 10**6, N)),
    ("categorical", "shop_id", rng.integers(0, 30, N)),
    ("categorical", "zip_code", rng.integers(10_000, 99_999, N)),
    ("text/id", "comment", [f"{'some rather long words ' * 4}{i % 60}" for i in range(N)]),
]


@pytest.mark.parametrize(("kind", "name", "values"), CASES, ids=[c[1] for c in CASES])
def test_every_clause(kind: str, name: str, values: Any) -> None:
    source = open_table({name: values, "beside": np.arange(N) / 3})
    found, why = kinds_of(source, [name])[name]
    assert found == kind, why
    assert why


def test_whole_numbers_with_gaps_are_still_whole() -> None:
    values = [None if i % 9 == 0 else float(i % 6) for i in range(N)]  # what pandas makes of integers with gaps
    assert kinds_of(open_table({"x": values, "y": range(N)}), ["x"])["x"][0] == "discrete"


def test_a_word_such_as_grid_is_not_an_identifier() -> None:
    source = open_table({"grid": rng.integers(0, 1000, N), "userId": rng.integers(0, 1000, N)})
    found = kinds_of(source, ["grid", "userId"])
    assert (found["grid"][0], found["userId"][0]) == ("continuous", "text/id")


def test_overruling() -> None:
    table = {"code": rng.integers(0, 500, N), "word": rng.choice(["a", "b"], N)}
    assert profile(table, kinds={"code": "categorical"}, pairs=False)["code"].kind == "categorical"
    assert profile(table, kinds={"code": "categorical"}, pairs=False)["code"].why_kind == "as asked"
    with pytest.raises(TableError, match="kind 'nonsense'"):
        profile(table, kinds={"code": "nonsense"})
    with pytest.raises(TableError, match="cannot be continuous"):
        profile(table, kinds={"word": "numeric"})
    with pytest.raises(TableError, match="did you mean 'code'"):
        profile(table, kinds={"cod": "categorical"})


def test_kinds_of_two_tables_meet() -> None:
    number, text = Column("x", "float"), Column("x", "text")
    assert shared_kind(("discrete", ""), ("continuous", ""), number, number)[0] == "continuous"
    assert shared_kind(("constant", "one"), ("boolean", ""), number, number)[0] == "boolean"
    kind, _, notes = shared_kind(("continuous", ""), ("categorical", ""), number, text)
    assert (kind, bool(notes)) == ("categorical", True)
    assert shared_kind(("constant", "every value is missing"), ("categorical", ""), number, text)[0] == "categorical"
