"""The second engines: Polars through Ibis, and a real PostgreSQL; both must count what DuckDB counts."""

from __future__ import annotations

import datetime
import shutil
from typing import Any

import numpy as np
import pytest

from plogp.tables import TableError, drift, open_table, profile, relate
from plogp.tables.coding import Categories, Intervals

ibis = pytest.importorskip("ibis", reason="ibis-framework is not installed")


def table(seed: int = 0, n: int = 800, shift: float = 0.0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1.0, n)
    day = datetime.datetime(2024, 1, 1)
    return {
        "x": [None if i % 11 == 0 else float(v) for i, v in enumerate(x)],
        "X": [float(v) for v in rng.integers(0, 5, n)],
        "label": [bool(v > 0) for v in x],
        'we"ird; drop': rng.choice(["a", "b'", "c"], n).tolist(),
        "when": [day + datetime.timedelta(hours=int(h)) for h in rng.integers(0, 900, n)],
    }


def load_postgres(url: str, name: str, data: dict[str, list[Any]]) -> None:
    import psycopg

    host = url.split("host=")[1]
    kinds = {float: "double precision", bool: "boolean", str: "text", datetime.datetime: "timestamp"}
    columns = []
    for column, values in data.items():
        kind = kinds[type(next(v for v in values if v is not None))]
        columns.append('"' + column.replace('"', '""') + f'" {kind}')
    with psycopg.connect(host=host, user="plogp", dbname="postgres") as connection:
        connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        with connection.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for row in zip(*data.values()):
                copy.write_row(row)


def polars_table(data: dict[str, list[Any]]) -> Any:
    polars = pytest.importorskip("polars")
    return ibis.polars.connect(tables={"t": polars.DataFrame(data)}).table("t")


def check_same(second: Any, data: dict[str, list[Any]], grade: str = "X", word: str = 'we"ird; drop') -> None:
    ours = open_table(data)
    assert list(second.columns) == list(ours.columns)
    assert second.n_rows == ours.n_rows
    a, b = second.stats(), ours.stats()
    for name in a:
        assert (a[name].missing, a[name].distinct) == (b[name].missing, b[name].distinct), name
        if a[name].mean is not None:
            np.testing.assert_allclose([a[name].mean, a[name].sd], [b[name].mean, b[name].sd], rtol=1e-9)
        assert (a[name].whole, a[name].infinite) == (b[name].whole, b[name].infinite), name
    probs = np.array([0.1, 0.5, 0.9])
    for name, q in ours.quantiles(["x", grade], probs).items():
        np.testing.assert_allclose(second.quantiles([name], probs)[name], q, rtol=1e-9)
    codings = {
        "x": Intervals((-0.5, 0.0, 1.0)),
        grade: Categories((0.0, 2.0), other=True),
        word: Categories(("a", "b'", "c")),
        "label": Categories((0.0, 1.0), boolean=True),
    }
    for name, counts in ours.counts(codings).items():
        assert second.counts({name: codings[name]})[name].tolist() == counts.tolist(), name
    pairs = [("x", word), (grade, "label")]
    for mine, theirs in zip(ours.cross(pairs, codings), second.cross(pairs, codings)):
        assert mine.tolist() == theirs.tolist()
    assert second.top([word, grade], 2) == ours.top([word, grade], 2)
    assert second.repeats(grade) == ours.repeats(grade)
    small = second.sample(["x", word], 50, 1)
    assert len(small["x"]) == 50
    assert set(small[word]) <= {"a", "b'", "c"}


def test_polars_counts_what_duckdb_counts() -> None:
    data = table()
    check_same(open_table(polars_table(data)), data)


def test_main_calls_run_on_a_second_engine() -> None:
    data = table()
    source = open_table(polars_table(data))
    p, q = profile(source), profile(data)
    assert [c.kind for c in p] == [c.kind for c in q]
    assert [c.histogram.counts for c in p] == [c.histogram.counts for c in q]
    r = relate(source, "label")
    assert r[0].column == "x"
    assert r[0].leak
    d = drift(source, polars_table(table(1, shift=0.6)))
    assert d.drifted[0].column in ("x", "label")
    assert {row.column for row in d.drifted} == {"x", "label"}


@pytest.mark.engine
def test_postgres_counts_what_duckdb_counts(postgres: str) -> None:
    data = table()
    load_postgres(postgres, "reference", data)
    with open_table(f"{postgres}#reference") as source:
        check_same(source, data)
        assert profile(source)["x"].kind == "continuous"
    load_postgres(postgres, "current", table(1, shift=0.6))
    with open_table(f"{postgres}#reference") as a, open_table(f"{postgres}#public.current") as b:
        d = drift(a, b)
        assert {row.column for row in d.drifted} == {"x", "label"}
        assert "plogp@" not in d.reference


@pytest.mark.engine
def test_postgres_errors_are_one_line(postgres: str) -> None:
    load_postgres(postgres, "only_table", {"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(TableError, match="did you mean 'only_table'"):
        open_table(f"{postgres}#only_tabel")
    with pytest.raises(TableError, match="give the table after a hash"):
        open_table(postgres)
    with pytest.raises(TableError, match="cannot be opened"):
        open_table("postgres://nobody@/nothing?host=/nonexistent#t")


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")
def test_spark_counts_what_duckdb_counts() -> None:
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs a JVM, and there is no java on the PATH")
    # Spark's names do not tell x from X.
    data = {{"X": "grade", 'we"ird; drop': "word"}.get(k, k): v for k, v in table().items()}
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.sql.shuffle.partitions", "2")
    session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    try:
        session.createDataFrame(list(zip(*data.values())), schema=list(data)).createOrReplaceTempView("t")
        check_same(open_table(ibis.pyspark.connect(session).table("t")), data, "grade", "word")
    finally:
        session.stop()
