import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import gamma

import plogp as pl
from plogp.estimate.knn_divergence import knn_kl, knn_renyi


def normals(n, d=1, seed=0, shift=1.0, m=None):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m or n, d))
    x[:, 0] += shift
    return x, y


def radii(x, y, k):
    own = np.sort(cdist(x, x), axis=1)[:, k]
    return own, np.sort(cdist(x, y), axis=1)[:, k - 1]


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("d", [1, 3])
def test_formulas_by_brute_force(k, d):
    x, y = normals(60, d, m=80)
    rho, nu = radii(x, y, k)
    assert knn_kl(x, y, k=k).value == pytest.approx(d * np.mean(np.log(nu / rho)) + math.log(80 / 59))
    a = 0.6
    terms = (59 * rho**d / (80 * nu**d)) ** (1 - a) * gamma(k) ** 2 / (gamma(k - a + 1) * gamma(k + a - 1))
    assert knn_renyi(x, y, a, k=k).value == pytest.approx(math.log(terms.mean()) / (a - 1))


def test_against_infomeasure():
    im = pytest.importorskip("infomeasure")
    x, y = normals(400, 1)
    peer = im.kld(x[:, 0], y[:, 0], approach="metric", k=4, minkowski_p=2)
    assert knn_kl(x, y, k=4).value == pytest.approx(float(peer), abs=0.12)


def test_renyi_tends_to_kl():
    x, y = normals(500, 2)
    assert knn_renyi(x, y, 1 + 1e-7).value == pytest.approx(knn_kl(x, y).value, abs=1e-5)


def test_unbiased_at_equality_and_covering():
    kl = [knn_kl(*normals(400, 2, s, 0.0)) for s in range(40)]
    values = np.array([e.value for e in kl])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(40) + 0.005
    assert np.mean([e.interval()[0] <= 0 <= e.interval()[1] for e in kl]) >= 0.85
    renyi = [knn_renyi(*normals(400, 1, s), 0.5) for s in range(40)]
    assert np.mean([e.interval()[0] <= 0.25 <= e.interval()[1] for e in renyi]) >= 0.8
    assert abs(np.mean([e.value for e in renyi]) - 0.25) < 0.03


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.8])
def test_renyi_of_shifted_normals(alpha):
    assert abs(knn_renyi(*normals(4000, 1), alpha).value - alpha / 2) < 0.06


def test_objects():
    x, y = normals(300)
    assert knn_renyi(x, y, pl.divergence("bhattacharyya")).value == pytest.approx(knn_renyi(x, y, 0.5).value / 2)
    with pytest.raises(ValueError, match="no function of a power"):
        knn_renyi(x, y, pl.divergence("js"))


def test_invariance():
    x, y = normals(200, 3)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    assert knn_kl(4 * x @ turn + 1, 4 * y @ turn + 1).value == pytest.approx(knn_kl(x, y).value)


def test_bad_input():
    x, y = normals(50)
    with pytest.raises(ValueError, match="at distance 0"):
        knn_kl(np.round(x), y, k=2)
    with pytest.raises(ValueError, match="at distance 0"):
        knn_kl(x, np.repeat(x[:5], 10, axis=0), k=2)
    with pytest.raises(ValueError, match="too few samples"):
        knn_kl(x, y[:3], k=5)
    with pytest.raises(ValueError, match="neighbours"):
        knn_renyi(x, y, 4.0, k=2)
    with pytest.raises(ValueError, match="order 0"):
        knn_renyi(x, y, 0.0)
    with pytest.raises(ValueError, match="power integral"):
        knn_renyi(x, y, 1.0)
    with pytest.raises(ValueError, match="same number of columns"):
        knn_kl(x, np.ones((9, 2)))
