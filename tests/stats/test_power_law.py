"""Power laws: known ones are found, outliers do not move them."""

from __future__ import annotations

import numpy as np
import pytest

from plogp.stats import fit_power_law


@pytest.mark.parametrize(("c", "a", "e"), [(2.0, 0.7, 0.5), (30.0, 1.5, 0.0), (0.1, 0.3, 2.0)])
def test_a_known_law_is_found(c, a, e):
    x = np.geomspace(1, 1e3, 12)
    law = fit_power_law(x, e + c * x**-a)
    assert law.exponents["x"] == pytest.approx(a, rel=2e-3)
    assert law.offset == pytest.approx(e, abs=2e-3)
    np.testing.assert_allclose(law(x=x), e + c * x**-a, rtol=1e-3)


def test_several_sizes():
    n, r = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 6), [1.0, 2, 4, 8, 16]))
    law = fit_power_law({"N": n, "R": r}, 0.3 + 50 * n**-0.3 + 0.4 * r**-0.8)
    assert law.exponents["N"] == pytest.approx(0.3, abs=0.01)
    assert law.exponents["R"] == pytest.approx(0.8, abs=0.02)
    assert law.r2 > 0.9999


def test_growth_and_no_offset():
    x = np.array([1.0, 2, 4, 8])
    assert fit_power_law(x, 3 * x**0.5, offset=False).exponents["x"] == pytest.approx(-0.5, abs=1e-4)


def test_an_outlier_counts_linearly():
    x = np.geomspace(1, 1e4, 15)
    y = 2 * x**-0.5
    y[7] *= 3
    assert fit_power_law(x, y, offset=False).exponents["x"] == pytest.approx(0.5, abs=0.01)


def test_mistakes_are_named():
    x = np.array([1.0, 2, 4, 8])
    with pytest.raises(ValueError, match="positive"):
        fit_power_law(x, -x)
    with pytest.raises(ValueError, match="entries"):
        fit_power_law(x[:3], x)
    with pytest.raises(ValueError, match="cannot fix"):
        fit_power_law(x[:2], x[:2])
    with pytest.raises(ValueError, match="expected the sizes x"):
        fit_power_law(x, x)(N=3)
