"""Files of every kind, hostile ones included: read right, or refused in one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from plogp.tables import TableError, open_table, profile
from plogp.tables.reading import read_dialect, tidy_names


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def columns(path: Path) -> dict[str, str]:
    with open_table(path) as source:
        return {name: c.storage for name, c in source.columns.items()}


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiter_is_that_of_the_header(tmp_path: Path, delimiter: str) -> None:
    rows = [["a", "b b", "c"], ["1", "x, y; z|w", "2.5"], ["2", "", "3.5"]]
    text = "\n".join(delimiter.join(f'"{f}"' if i else f for f in row) for i, row in enumerate(rows)) + "\n"
    path = write(tmp_path / "t.csv", text)
    with open_table(path) as source:
        assert list(source.columns) == ["a", "b b", "c"]
        assert source.n_rows == 2
        assert source.stats()["b b"].missing == 1


def test_names_that_differ_in_case_only_and_duplicates(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,A,a,,x\n1,2,3,4,5\n6,7,8,9,10\n")
    with open_table(path) as source:
        assert list(source.columns) == ["a", "A", "a_2", "column3", "x"]
        assert [s.low for s in source.stats().values()] == [1, 2, 3, 4, 5]
        assert any("no name" in n for n in source.notes)


def test_parquet_keeps_names_that_differ_in_case_only(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table([[1, 2, 3], [4.0, 5.0, None], [{"u": 1}] * 3], names=["a", "A", "nested"])
    parquet.write_table(table, tmp_path / "t.parquet")
    with open_table(tmp_path / "t.parquet") as source:
        assert list(source.columns) == ["a", "A", "nested"]
        assert source.stats()["A"].missing == 1


@pytest.mark.parametrize("word", ["NA", "null", "N/A", "None", "-", "?", "nan", " "])
def test_a_word_for_missing_does_not_make_numbers_text(tmp_path: Path, word: str) -> None:
    rows = "\n".join(str(i / 7) if i % 10 else word for i in range(200))
    path = write(tmp_path / "t.csv", f"x,y\n{rows.replace(chr(10), ',k' + chr(10))},k\n")
    with open_table(path) as source:
        assert source.columns["x"].storage == "float"
        assert source.stats()["x"].missing == 20
        assert profile(source)["x"].kind == "continuous"


def test_a_late_word_is_stated_and_counted_as_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a\n" + "\n".join(str(i * 3) for i in range(30_000)) + "\noops\n")
    with open_table(path) as source:
        column = source.columns["a"]
        assert column.storage == "integer"
        assert source.stats()["a"].missing == 1
        assert "'oops'" in column.notes[0]
        why = profile(source, pairs=False)["a"].why_kind
        assert "99.99 % numbers" in why


def test_half_numbers_stay_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + "".join(f"{i if i % 2 else 'w' + str(i % 6)},1\n" for i in range(100)))
    assert columns(path)["a"] == "text"


def test_codes_with_leading_zeros_stay_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "zip,v\n" + "".join(f"{i % 90:05d},{i}\n" for i in range(300)))
    with open_table(path) as source:
        assert source.columns["zip"].storage == "text"
        assert "leading zeros" in source.columns["zip"].read_as
        assert source.top(["zip"], 1)["zip"][0][0].startswith("0")


def test_dates_as_text_and_as_dates(tmp_path: Path) -> None:
    day = "\n".join(f"2024-01-{i % 28 + 1:02d},{i}" for i in range(60))
    path = write(tmp_path / "t.csv", f"when,i\n{day}\n")
    assert columns(path)["when"] == "datetime"
    mixed = write(tmp_path / "u.csv", f"when,i\n{day}\nunknown,60\n")
    with open_table(mixed) as source:
        assert source.columns["when"].storage == "datetime"
        assert source.stats()["when"].missing == 1


def test_no_header_line_is_seen_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "1,2.5\n3,4.5\n5,6.5\n")
    with open_table(path) as source:
        assert source.n_rows == 3
        assert "no header" in source.notes[0]


def test_quotes_newlines_byte_order_mark_and_windows_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", b'\xef\xbb\xbfa,"b ""q"" ,c"\r\n1,"two\r\nlines"\r\n2,"x"\r\n')
    with open_table(path) as source:
        assert list(source.columns) == ["a", 'b "q" ,c']
        assert source.n_rows == 2


def test_gzip_json_lines_duckdb_and_patterns(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,x\n2,y\n"))
    assert columns(tmp_path / "t.csv.gz") == {"a": "integer", "b": "text"}
    lines = "".join(json.dumps({"a": i, "b": None if i % 2 else "u"}) + "\n" for i in range(10))
    assert columns(write(tmp_path / "t.jsonl", lines)) == {"a": "integer", "b": "text"}
    base = tmp_path / "base.duckdb"
    with duckdb.connect(str(base)) as connection:
        connection.execute('CREATE TABLE "or""der" AS SELECT range AS n FROM range(5)')
    assert columns(base) == {"n": "integer"}
    with duckdb.connect(str(base)) as connection:
        connection.execute("CREATE TABLE second AS SELECT 1 AS x FROM range(3)")
        connection.execute(f"COPY second TO '{tmp_path}/p1.parquet'")
        connection.execute(f"COPY second TO '{tmp_path}/p2.parquet'")
    with pytest.raises(TableError, match="several tables"):
        open_table(base)
    with open_table(f"{base}#second") as source:
        assert source.n_rows == 3
    with open_table(f"{tmp_path}/p*.parquet") as source:
        assert source.n_rows == 6


def test_a_name_that_looks_like_a_pattern_or_sql(tmp_path: Path) -> None:
    path = write(tmp_path / "it's [1]*.csv", 'select,"x\'); drop table t;--",<script>\n1,2,3\n4,5,6\n7,8,8\n')
    with open_table(path) as source:
        assert list(source.columns) == ["select", "x'); drop table t;--", "<script>"]
        assert len(profile(source)) == 3


BAD: list[tuple[str, bytes, str]] = [
    ("empty.csv", b"", "is empty"),
    ("blank.csv", b"\n\n  \n", "is empty"),
    ("header.csv", b"a,b,c\n", "no rows"),
    ("one.csv", b"a,b\n1,2\n", "one row"),
    ("ragged.csv", b"a,b,c\n1,2,3\n4,5\n6,7,8\n", "line 3 has 2 fields where the first line has 3"),
    ("long.csv", b"a,b\n1,2\n3,4,5\n", "line 3 has 3 fields"),
    ("junk.csv", bytes(range(256)) * 40, "binary"),
    ("control.csv", b"a,b\n" + bytes([1, 2, 3, 4, 5, 6]) * 50, "binary"),
    ("latin.csv", "a,b\ncafé,1\nx,2\n".encode("latin-1"), "UTF-8"),
    ("junk.parquet", b"PAR1 not really", "Parquet"),
    ("open.csv", b'a,"b\n1,2\n3,4\n', "never closed"),
    ("prose.txt", b"It was a dark night\nand stormy\n", "does not look like a table"),
    ("image.png", b"\x89PNG\r\n", "kind"),
    ("lines.jsonl", b"{not json}\n{neither}\n", "JSON"),
    ("list.jsonl", b"[1, 2]\n[3, 4]\n", "named fields"),
    ("base.duckdb", b"not a database at all", "DuckDB"),
    ("wide16.csv", "a,b\n1,2\n3,4\n".encode("utf-16"), "UTF-16"),
    ("bare16.csv", ("a,b\n" + "1,2\n" * 50).encode("utf-16-be"), "UTF-16"),
    ("quote.csv", b'a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote is never closed"),
    ("line.csv", b"a,b\n" + b"x" * 3_000_000 + b",1\n2,3\n", "a line of more than 2,000,000 bytes"),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD, ids=[b[0] for b in BAD])
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(TableError, match=words) as caught:
        open_table(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_missing_file_directory_and_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "reference.csv", "a,b\n1,2\n3,4\n")
    with pytest.raises(TableError, match=r"did you mean .*reference\.csv"):
        open_table(tmp_path / "referense.csv")
    with pytest.raises(TableError, match="is a directory"):
        open_table(tmp_path)
    with pytest.raises(TableError, match="no file matches"):
        open_table(f"{tmp_path}/x*.parquet")


def test_wrong_column_suggests_the_nearest() -> None:
    source = open_table({"Temperature": [1, 2], "b": [3, 4]})
    with pytest.raises(TableError, match="did you mean 'Temperature'"):
        source.resolve(["temprature"])
    with pytest.raises(TableError, match="its columns are"):
        source.resolve(["zzz"])


def test_what_is_not_a_table_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="a table is expected"):
        open_table(42)
    with pytest.raises(TableError, match="differ in length"):
        open_table({"a": [1, 2], "b": [1]})
    with pytest.raises(TableError, match="one-dimensional"):
        open_table({"a": np.zeros((3, 2))})
    with pytest.raises(TableError, match="memory_limit"):
        open_table({"a": [1, 2]}, memory_limit="plenty")


def frames() -> list[Any]:
    data = {"x": [1.5, None, float("nan"), float("inf")], "a": ["u", "", None, "v"], "A": [1, 2, 3, 4]}
    out: list[Any] = [data]
    try:
        import polars

        out.append(polars.DataFrame(data, strict=False))
        out.append(polars.DataFrame(data, strict=False).lazy())
    except ImportError:
        pass
    try:
        import pandas

        out.append(pandas.DataFrame(data))
    except ImportError:
        pass
    try:
        import pyarrow

        out.append(pyarrow.table(data))
    except ImportError:
        pass
    return out


@pytest.mark.parametrize("frame", frames(), ids=lambda f: type(f).__name__ + type(f).__module__.split(".")[0])
def test_frames_of_every_library_count_alike(frame: Any) -> None:
    source = open_table(frame)
    s = source.stats()
    assert list(source.columns) == ["x", "a", "A"]
    assert (s["x"].missing, s["x"].infinite, s["x"].mean) == (2, 1, 1.5)  # NaN is missing and poisons nothing
    assert (s["a"].missing, s["a"].distinct) == (2, 2)
    assert s["A"].missing == 0


def test_a_duckdb_relation_is_left_alone() -> None:
    connection = duckdb.connect()
    relation = connection.sql('SELECT range AS n, \'v\' || range % 3 AS "we\'""ird" FROM range(9)')
    source = open_table(relation)
    assert source.stats()["we'\"ird"].distinct == 3
    assert connection.sql("SHOW TABLES").fetchall() == []


def test_dialect_and_names_by_themselves(tmp_path: Path) -> None:
    d = read_dialect(write(tmp_path / "t.tsv", "a,b\tc\n1\t2\n"), "t.tsv")
    assert (d.delimiter, d.names) == ("\t", ("a,b", "c"))
    assert tidy_names(["a", "a", "a_2"])[0] == ("a", "a_3", "a_2")


def test_fields_longer_than_the_csv_module_likes(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    path = write(tmp_path / "a.csv", "a,b\n" + "".join(f"{c * 200_000},{i}\n" for i, c in enumerate("xyx")))
    with open_table(path) as source:
        assert source.stats()["a"].distinct == 2
    assert csv.field_size_limit() == before


def test_a_decimal_comma(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x;y\n" + "".join(f"{i},5;{i}\n" for i in range(40)))
    with open_table(path) as source:
        assert source.columns["x"].storage == "float"
        assert source.stats()["x"].mean == 20.0
        assert source.notes == ["numbers are written with a decimal comma"]
    # Thousands, or points elsewhere, are another matter: the comma is kept as it is.
    for text in ("x;y\n1,234;2\n5,678;3\n", "x;y\n1,25;2.5\n1,50;3.5\n"):
        assert read_dialect(write(tmp_path / "b.csv", text), "b").decimal == "."


def test_a_header_that_looks_like_data_is_said(tmp_path: Path) -> None:
    dialect = read_dialect(write(tmp_path / "a.csv", "0.5,a\n0.7,b\n0.9,c\n"), "a")
    assert dialect.notes == (
        "the first line was taken as the header, although 1 of its fields is a number: is the header missing?",
    )


def test_whole_numbers_of_many_digits_in_a_file(tmp_path: Path) -> None:
    for first in (10**18, 10**30):
        path = write(tmp_path / "a.csv", "i,y\n" + "".join(f"{first + i % 7},{i % 2}\n" for i in range(200)))
        with open_table(path) as source:
            assert source.columns["i"].storage == "text"
            assert source.stats()["i"].distinct == 7


@pytest.mark.parametrize(
    ("address", "words"),
    [("", "empty"), ("-", "pipe"), ("https://example.org/a.csv", "download"), ("s3://b/k.parquet", "download")],
)
def test_addresses_that_are_not_files(address: str, words: str) -> None:
    with pytest.raises(TableError, match=words):
        open_table(address)
