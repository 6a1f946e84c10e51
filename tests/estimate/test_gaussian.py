import math

import numpy as np
import pytest

from plogp.estimate.gaussian import (
    copula_mutual_information,
    gaussian_conditional_mutual_information,
    gaussian_entropy,
    gaussian_mutual_information,
    gaussian_total_correlation,
    gaussian_transfer_entropy,
)
from plogp.estimate.tasks import conditional_gaussian, gaussian, gaussian_entropy_task, gaussian_vector, var_process


def test_bias_corrected_closed_forms():
    """Means over many small samples hit the truth; without the correction they would miss it by several se."""
    rng = np.random.default_rng(0)
    task = gaussian_entropy_task(3, 0.5)
    values = [gaussian_entropy(task.sample(12, rng)[0]) for _ in range(3000)]
    spread = np.std([v.value for v in values])
    assert np.mean([v.value for v in values]) == pytest.approx(task.truth, abs=4 * spread / math.sqrt(3000))
    assert np.mean([v.se for v in values]) == pytest.approx(spread, rel=0.05)
    pair = gaussian(0.6, 2)
    values = [gaussian_mutual_information(*pair.sample(15, rng)).value for _ in range(3000)]
    assert np.mean(values) == pytest.approx(pair.truth, abs=4 * np.std(values) / math.sqrt(3000))


def test_large_sample_values():
    sigma = np.array([[1.0, 0.5, 0.3], [0.5, 1.0, 0.4], [0.3, 0.4, 1.0]])
    task = gaussian_vector(sigma, 1)
    x, y = task.sample(20_000, 1)
    found = gaussian_mutual_information(x, y)
    assert found.value == pytest.approx(task.truth, abs=4 * found.se)
    total = gaussian_total_correlation(x, y[:, 0], y[:, 1])
    assert total.value == pytest.approx(-0.5 * np.linalg.slogdet(sigma)[1], abs=4 * total.se)
    chain = gaussian_mutual_information(y[:, 0], y[:, 1]).value + found.value
    assert total.value == pytest.approx(chain, abs=1e-9)
    assert gaussian_total_correlation(np.c_[x, y]).value == pytest.approx(total.value, abs=1e-12)


def test_two_columns_against_the_correlation():
    x, y = gaussian(0.6).sample(500, 2)
    r = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    # The bias of -½ log(1 - r²) is about 1/(2n).
    assert gaussian_mutual_information(x, y).value == pytest.approx(-0.5 * math.log(1 - r * r) - 1 / 1000, abs=1e-4)


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize(("rho", "d"), [(0.0, 1), (0.05, 1), (0.3, 1), (0.9, 1), (0.0, 3), (0.1, 3), (0.6, 3)])
def test_interval_coverage(rho, d, n):
    task = gaussian(rho, d)
    rng = np.random.default_rng(3)
    found = [gaussian_mutual_information(*task.sample(n, rng)) for _ in range(600)]
    assert 0.915 <= np.mean([not f.distinguishable(task.truth) for f in found]) <= 0.995
    assert all(low <= f.value <= high for f in found for low, high in [f.interval(0.95)])
    if rho == 0:
        assert np.mean([f.p_value < 0.05 for f in found]) == pytest.approx(0.05, abs=0.03)


def test_conditional_and_transfer():
    task = conditional_gaussian(0.6, 3)
    rng = np.random.default_rng(4)
    found = [gaussian_conditional_mutual_information(*task.sample(100, rng)) for _ in range(400)]
    assert 0.91 <= np.mean([not f.distinguishable(task.truth) for f in found]) <= 0.99
    series = [gaussian_transfer_entropy(*var_process().sample(300, rng)) for _ in range(300)]
    assert 0.91 <= np.mean([not f.distinguishable(0.153742) for f in series]) <= 0.99
    null = [gaussian_transfer_entropy(*var_process(reverse=True).sample(300, rng)).p_value for _ in range(300)]
    assert np.mean(np.array(null) < 0.05) < 0.1


def test_copula_sees_through_increasing_maps():
    x, y = gaussian(0.6).sample(2000, 5)
    plain = copula_mutual_information(x, y)
    assert copula_mutual_information(np.exp(5 * x), -(y**3)).value == pytest.approx(plain.value, abs=1e-12)
    assert plain.value == pytest.approx(0.2231, abs=4 * plain.se)
    assert gaussian_mutual_information(np.exp(3 * x), y).value < 0.1  # the plain form does not


def test_affine_invariance():
    x, y = gaussian(0.7, 2).sample(100, 6)
    base = gaussian_mutual_information(x, y).value
    turned = x @ np.array([[2.0, 1.0], [0.0, 3.0]]) * 1e6 + 5
    assert gaussian_mutual_information(turned, y * 1e-6).value == pytest.approx(base, abs=1e-8)


def test_hostile_input():
    x = np.random.default_rng(7).standard_normal((50, 2))
    with pytest.raises(ValueError, match="linearly dependent"):
        gaussian_mutual_information(x[:, 0], 2 * x[:, 0] + 1)
    with pytest.raises(ValueError, match="linearly dependent"):
        gaussian_entropy(np.c_[x, x.sum(axis=1)])
    with pytest.raises(ValueError, match="constant column"):
        gaussian_entropy(np.ones(50))
    with pytest.raises(ValueError, match="too few samples"):
        gaussian_entropy(x[:3])
    with pytest.raises(ValueError, match="too few samples"):
        gaussian_conditional_mutual_information(x[:6, 0], x[:6, 1], np.eye(6)[:, :4])
    with pytest.raises(ValueError, match="NaN"):
        gaussian_mutual_information(x[:, 0], np.full(50, np.nan))
    assert gaussian_mutual_information(np.ones(50), x[:, 0]).value == 0.0
    assert gaussian_total_correlation(np.ones(50), x[:, 0]).value == 0.0
    with pytest.raises(ValueError, match="at least two"):
        gaussian_total_correlation(x[:, 0])
