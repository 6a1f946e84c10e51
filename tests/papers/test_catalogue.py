"""The catalogue is complete, and says "working" only of what works."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import plogp
from plogp.papers import Paper, paper, papers
from plogp.papers.catalogue import catalogue, resolve
from plogp.papers.claim import module_name

#: Rows that must work by now; a later room adds its own.
WORKING = [
    5,
    6,
    9,
    10,
    11,
    15,
    16,
    19,
    22,
    23,
    24,
    26,
    33,
    34,
    35,
    39,
    40,
    44,
    45,
    53,
    66,
    69,
    72,
    78,
    81,
    83,
    84,
    89,
    93,
    99,
    107,
    109,
    113,
    117,
    124,
    126,
    131,
    135,
    150,
    161,
    164,
    171,
    172,
    173,
    174,
    179,
    183,
    186,
    187,
    193,
    194,
    197,
    199,
    202,
    203,
    215,
    217,
    218,
    219,
    220,
]


def test_every_row_is_there_once():
    rows = catalogue()
    assert len(rows) == 221
    # Seed 82 was withdrawn from the list of papers before the catalogue was made.
    assert {r.seed for r in rows} == set(range(1, 223)) - {82}
    names = [module_name(r.slug) for r in rows]
    assert len(set(names)) == 221


@pytest.mark.parametrize("row", catalogue(), ids=lambda r: r.slug)
def test_row_is_well_formed(row):
    assert row.title.strip() == row.title != ""
    assert row.method
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", row.slug)
    assert 1990 <= row.year <= 2026
    if row.arxiv:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", row.arxiv)
        assert row.year == 2000 + int(row.arxiv[:2])
    else:
        assert row.doi or row.url or row.note, "a row without arXiv says where to find it, or that nobody knows"
    if row.status == "planned":
        assert row.symbols == row.claims == ()


def test_exactly_these_rows_work():
    assert [r.seed for r in papers(status="working")] == WORKING


@pytest.mark.parametrize("row", papers(status="working"), ids=lambda r: r.slug)
def test_working_row_has_symbols_and_claims(row):
    assert row.symbols
    for symbol in row.symbols:
        found = resolve(symbol)
        assert callable(found), symbol
        assert not inspect.ismodule(found), symbol
        # Public: every part of the dotted name is listed by the room that it is taken from.
        room, name = symbol.rsplit(".", 1)
        module = importlib.import_module(room)
        assert name in module.__all__, f"{symbol} is not in {room}.__all__"
    assert row.claims
    assert tuple(c.name for c in row.load()) == row.claims


def test_every_claim_file_belongs_to_a_working_row():
    folder = Path(plogp.__file__).parent / "papers" / "claims"
    files = {f.relative_to(folder).as_posix() for f in folder.glob("*/*.py") if f.name != "__init__.py"}
    assert files == {f"{r.room}/{module_name(r.slug)}.py" for r in papers(status="working")}


def test_lookup_accepts_what_people_type():
    assert paper("woe_iv_psi") is paper("woe-iv-psi") is paper("16") is paper(" WOE-iv_psi ")
    with pytest.raises(ValueError, match="did you mean 'top-h'"):
        paper("toph")
    with pytest.raises(ValueError, match=r"no room 'measure'.*did you mean 'measures'"):
        papers(room="measure")
    with pytest.raises(ValueError, match="status must be one of"):
        papers(status="done")


@pytest.mark.parametrize("row", catalogue(), ids=lambda r: r.slug)
def test_every_row_cites(row):
    line, entry = row.citation(), row.bibtex()
    assert row.title in line
    assert "\n" not in line
    assert entry.startswith("@misc{")
    assert entry.count("{") - entry.count("\\{") == entry.count("}") - entry.count("\\}")
    assert f"year = {{{row.year}}}" in entry
    if row.arxiv:
        assert f"eprint = {{{row.arxiv}}}" in entry


def test_bibtex_escapes_what_tex_would_read():
    row = Paper(1, "a-b", "R&D at 5 %, a_b #1", "m", 2020, "measures", "planned", authors=("A & B",))
    assert r"title = {{R\&D at 5 \%, a\_b \#1}}" in row.bibtex()
    assert r"author = {A \& B}" in row.bibtex()
    assert row.bibtex().startswith("@misc{a_b2020,")


def test_resolve_says_what_is_missing():
    with pytest.raises(AttributeError, match="has no 'nothing'"):
        resolve("plogp.papers.nothing")
