import math

import numpy as np
import pytest
from scipy import stats

from plogp.estimate.spacing import vasicek
from plogp.estimate.tasks import continuous_entropy


@pytest.mark.parametrize("m", [1, 3, 10])
def test_uncorrected_form_is_scipys(m):
    x = np.random.default_rng(m).standard_normal(200)
    theirs = stats.differential_entropy(x, window_length=m, method="vasicek")
    assert vasicek(x, m, correction="none").value == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("m", [1, 3, 8])
@pytest.mark.parametrize("ends", ["clamp", "drop"])
def test_unbiased_for_a_uniform_sample(m, ends):
    rng = np.random.default_rng(1)
    found = [vasicek(rng.random(40), m, ends=ends) for _ in range(3000)]
    values = np.array([f.value for f in found])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(3000)


@pytest.mark.parametrize("law", ["normal", "uniform", "exponential", "laplace"])
def test_coverage(law):
    task = continuous_entropy(law)
    rng = np.random.default_rng(2)
    inside = [not vasicek(*task.sample(400, rng)).distinguishable(task.truth) for _ in range(500)]
    assert 0.90 <= np.mean(inside) <= 0.985


def test_moves_as_an_entropy_does():
    x = np.random.default_rng(3).standard_normal(100)
    assert vasicek(3 * x + 1).value == pytest.approx(vasicek(x).value + math.log(3), abs=1e-12)


def test_hostile_input():
    x = np.random.default_rng(4).standard_normal(100)
    with pytest.raises(ValueError, match="width 0"):  # SciPy says -inf
        vasicek(np.round(x))
    assert math.isfinite(vasicek(np.round(x), jitter=1e-10, rng=0).value)
    with pytest.raises(ValueError, match="one column"):
        vasicek(np.c_[x, x])
    with pytest.raises(ValueError, match="too few samples"):
        vasicek(x[:5], 3)
    with pytest.raises(ValueError, match="correction"):
        vasicek(x, correction="best")
    with pytest.raises(ValueError, match="ends"):
        vasicek(x, ends="wrap")
    with pytest.raises(ValueError, match="NaN"):
        vasicek([*x, np.nan])
