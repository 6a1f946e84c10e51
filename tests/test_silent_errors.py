"""plogp's answer to every case of docs/silent-errors.md (peers' answers are collected by the benchmark script)."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "silent_errors.py"
spec = importlib.util.spec_from_file_location("silent_errors", SCRIPT)
silent_errors = importlib.util.module_from_spec(spec)
sys.modules["silent_errors"] = silent_errors
spec.loader.exec_module(silent_errors)


@pytest.mark.parametrize("case", silent_errors.CASES, ids=lambda c: c.title)
def test_plogp_is_right(case):
    if case.peer == "torch":
        pytest.importorskip("torch")
    answer = case.answer()
    assert case.holds(answer), f"{case.ours} gave {answer}; truth: {case.truth}"


def test_the_page_holds_every_case():
    page = (SCRIPT.parent.parent / "docs" / "silent-errors.md").read_text()
    for case in silent_errors.CASES:
        assert case.title in page, f"{case.title!r} is not on the page: run benchmarks/silent_errors.py"
