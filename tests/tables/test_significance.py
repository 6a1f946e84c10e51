"""Tests from counts against SciPy and statsmodels, and their size on noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.tables.significance import adjusted, homogeneity, rank_sum

P = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(P)
def test_corrections_against_scipy_and_statsmodels(p: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    np.testing.assert_allclose(adjusted(p, "bh"), stats.false_discovery_control(p), atol=1e-15)
    np.testing.assert_allclose(adjusted(p, "by"), stats.false_discovery_control(p, method="by"), atol=1e-15)
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    np.testing.assert_allclose(adjusted(p, "holm"), multitest.multipletests(p, method="holm")[1], atol=1e-12)
    assert adjusted(p, "none").tolist() == p


def test_corrections_refuse_what_is_no_p_value() -> None:
    for bad in ([1.1], [float("nan")], [-0.1]):
        with pytest.raises(ValueError, match="p_values"):
            adjusted(bad)
    with pytest.raises(ValueError, match="correction must be"):
        adjusted([0.1], "bonferoni")  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=8))
def test_rank_sum_against_scipy(table: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    a, b = np.array(table).T
    if a.sum() < 1 or b.sum() < 1 or (a + b > 0).sum() < 2:
        assert rank_sum(a, b) == 1.0
        return
    x, y = np.repeat(np.arange(len(a)), a), np.repeat(np.arange(len(b)), b)
    expected = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False).pvalue
    if a.sum() + b.sum() >= 3:
        assert rank_sum(a, b) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("states", "n"), [(10, 2000), (300, 1001), (50, 60)])
def test_homogeneity_keeps_its_level_dense_and_sparse(states: int, n: int) -> None:
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(states))
    p = [homogeneity(np.stack([rng.multinomial(n, share), rng.multinomial(n, share)])) for _ in range(400)]
    # 400 runs at 5 %: 20 expected, 4.4 standard deviations either way
    assert 3 <= sum(q < 0.05 for q in p) <= 40
    assert min(p) > 1e-5


def test_homogeneity_of_what_cannot_differ_is_one() -> None:
    for table in ([[5, 5]], [[5], [5]], [[0, 0], [3, 4]], np.zeros((2, 2))):
        assert homogeneity(table) == 1.0
