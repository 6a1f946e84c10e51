import math

import numpy as np
import pytest
from scipy import stats

from plogp.estimate.spacing import m_spacing_entropy, vasicek
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


def by_definition(x, m, eps=0.0):
    s = sorted(x)
    n = len(s)
    return sum(math.log((n + 1) / m * (s[i + m] - s[i]) + eps) for i in range(n - m)) / (n - m)


@pytest.mark.parametrize("ends", ["clamp", "drop"])
@pytest.mark.parametrize("correction", ["digamma", "none", "plus_one"])
def test_array_form_is_vasicek(ends, correction):
    x = np.random.default_rng(5).standard_normal((60, 3))
    found = m_spacing_entropy(x, 4, ends=ends, correction=correction)
    one_by_one = [vasicek(x[:, j], 4, ends=ends, correction=correction).value for j in range(3)]
    np.testing.assert_allclose(found, one_by_one, rtol=0, atol=1e-12)


def test_array_form_by_definition():
    rng = np.random.default_rng(6)
    for n, m in [(2, 1), (30, 5), (30, 29)]:
        x = rng.random(n)
        assert float(m_spacing_entropy(x, m)) == pytest.approx(by_definition(x, m), abs=1e-12)
    x = np.round(rng.random(40), 1)
    assert float(m_spacing_entropy(x, 3, eps=1e-3)) == pytest.approx(by_definition(x, 3, 1e-3), abs=1e-12)
    x = rng.random((49, 2, 3))
    found = m_spacing_entropy(x)  # m = 7
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(by_definition(x[:, 1, 2], 7), abs=1e-12)
    assert m_spacing_entropy(x.astype(np.float32)).dtype == np.float32


def test_array_form_on_tensors():
    torch = pytest.importorskip("torch")
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert m_spacing_entropy(x).numpy() == pytest.approx(m_spacing_entropy(x.numpy()), abs=1e-12)
    for ends in ("drop", "clamp"):
        assert torch.autograd.gradcheck(
            lambda v, ends=ends: m_spacing_entropy(v, 3, ends=ends), x[:12].clone().requires_grad_()
        )
    assert m_spacing_entropy(x.bfloat16(), eps=1e-7).dtype == torch.bfloat16


def test_array_form_on_jax():
    jax = pytest.importorskip("jax")
    x = np.random.default_rng(7).random(30)
    array = jax.numpy.asarray(x)
    assert float(m_spacing_entropy(array, 3)) == pytest.approx(by_definition(x, 3), abs=1e-5)
    slope = jax.grad(lambda v: m_spacing_entropy(v, 3))(array)
    shift = 1e-6 * np.random.default_rng(8).random(30)
    change = by_definition(x + shift, 3) - by_definition(x, 3)
    assert float(slope @ jax.numpy.asarray(shift)) == pytest.approx(change, rel=1e-2)


def test_array_form_refuses():
    x = np.random.default_rng(8).random(20)
    with pytest.raises(ValueError, match="width 0"):
        m_spacing_entropy(np.round(x), 2)
    with pytest.raises(ValueError, match="too few samples: m=20"):
        m_spacing_entropy(x, 20)
    with pytest.raises(ValueError, match="'sqrt'"):
        m_spacing_entropy(x, "root")
    with pytest.raises(ValueError, match="eps"):
        m_spacing_entropy(x, 2, eps=-1)
    with pytest.raises(ValueError, match="NaN"):
        m_spacing_entropy(np.append(x, np.nan))
    with pytest.raises(ValueError, match="scalar"):
        m_spacing_entropy(np.float64(1.0))
