"""Files are whole or not there."""

from __future__ import annotations

import os

import pytest

from plogp.report.files import write_all


def test_writes_all_and_leaves_nothing_beside(tmp_path):
    paths = write_all(tmp_path / "a" / "b", {"x.html": "é", "y.json": "{}"})
    assert [p.read_text(encoding="utf-8") for p in paths] == ["é", "{}"]
    assert sorted(os.listdir(tmp_path / "a" / "b")) == ["x.html", "y.json"]


def test_a_failure_leaves_no_partial_file(tmp_path, monkeypatch):
    (tmp_path / "x.html").write_text("old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write_all(tmp_path, {"x.html": "new", "y.json": "{}"})
    assert os.listdir(tmp_path) == ["x.html"]
    assert (tmp_path / "x.html").read_text() == "old"
    with pytest.raises(OSError, match="No space"):
        write_all(tmp_path / "fresh", {"x.html": "new"})
    assert not (tmp_path / "fresh").exists()


def test_lone_surrogates_do_not_stop_it(tmp_path):
    (path,) = write_all(tmp_path, {"x.html": "bad \udcff name"})
    assert path.read_text(encoding="utf-8") == "bad \\udcff name"
