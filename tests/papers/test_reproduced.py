"""Every fast claim holds; slow ones run with ``-m slow``."""

from __future__ import annotations

import pytest

from plogp.papers import papers

CLAIMS = [(row, c) for row in papers(status="working") for c in row.load()]


@pytest.mark.parametrize(
    ("row", "c"),
    [pytest.param(row, c, marks=[pytest.mark.slow] if c.slow else [], id=f"{row.slug}:{c.name}") for row, c in CLAIMS],
)
def test_claim(row, c):
    result = c(seed=0)
    assert result.passed or not result.reproduced, f"{c.statement} measured {result.measured}, {result.criterion}"
