import math

import numpy as np
import pytest
from scipy import stats

from plogp.spectra import Spectrum, spread, vrm
from plogp.spectra.dispersion import MEASURES


def cloud(n=600, d=8, seed=0, decay=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** (-decay / 2)


def test_formulas_by_brute_force():
    X = cloud(120, 5, decay=1.0) + 0.5
    found = spread(X, "all")
    assert list(found) == list(MEASURES)
    Z = X / np.linalg.norm(X, axis=1, keepdims=True)
    cosines = Z @ Z.T
    assert found["acs"] == pytest.approx(cosines[~np.eye(120, dtype=bool)].mean(), abs=1e-12)
    values, vectors = np.linalg.eigh(X.T @ X)
    Zc = [np.exp(s * X @ v).mean() for v in vectors.T for s in (1, -1)]
    assert found["partition"] == pytest.approx(min(Zc) / max(Zc), rel=1e-9)
    values = np.sort(np.linalg.eigvalsh(np.cov(X.T)))[::-1]
    assert found["pc_ratio"] == pytest.approx(values[-1] / values[0], rel=1e-9)
    curve = np.cumsum(values) - values.sum() * np.arange(1, 6) / 5
    assert found["eee"] == pytest.approx(np.trapezoid(curve) / (values.sum() * 5 / 2), rel=1e-9)
    scaled = values * 5 / values.sum()
    assert found["kl_gaussian"] == pytest.approx(0.5 * (5 - 5 - np.log(scaled).sum()), rel=1e-9)
    centred = X - X.mean(0)
    components = centred @ np.linalg.svd(centred)[2].T * math.sqrt(5 / values.sum())
    ratios = np.exp(stats.differential_entropy(components)) / math.sqrt(2 * math.pi * math.e)
    assert found["vrm"] == pytest.approx(np.mean((1 - ratios) ** 2), rel=1e-6)
    assert vrm(X) == found["vrm"]


@pytest.mark.parametrize("name", ["eee", "vrm", "pc_ratio", "kl_gaussian", "koleo", "knn_overlap"])
def test_no_matter_where_how_turned_or_in_what_unit(name):
    X = cloud(200, 6, decay=1.0)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    value = spread(X, name)[name]
    for moved in (X + 100.0, X @ turn, 1e-3 * X, 1e12 * X):
        assert spread(moved, name)[name] == pytest.approx(value, rel=1e-5)


def test_cosine_similarity_depends_on_the_origin():
    X = cloud()
    assert spread(X, ["acs"])["acs"] == pytest.approx(0.0, abs=0.01)
    assert spread(X + 10, ["acs"])["acs"] > 0.98


def test_every_measure_at_a_spread_out_cloud():
    found = spread(cloud(4000, 3), "all")
    for name, (_, ideal, _) in MEASURES.items():
        if name != "knn_overlap":  # it has no ideal value of its own in finite dimension
            assert found[name] == pytest.approx(ideal, abs=0.12), name


def test_collapse_is_seen():
    line = cloud(500, 1) * np.arange(1, 9)
    found = spread(line, "all")
    assert found["eee"] == pytest.approx((1 - 1 / 8) ** 2, abs=1e-9)
    assert Spectrum.covariance(line).eee() == pytest.approx(1 - 1 / 8, abs=1e-9)
    assert found["vrm"] > 0.8
    assert found["kl_gaussian"] == math.inf
    assert abs(found["acs"]) < 0.02  # which takes a line for a sphere


def test_orders_by_decay_and_stands_still_in_dimension():
    decays = (0.0, 0.5, 1.0, 2.0, 3.0)
    for name in ("eee", "vrm", "kl_gaussian", "pc_ratio"):
        values = [spread(cloud(1500, 16, decay=a), name)[name] for a in decays]
        assert abs(stats.spearmanr(decays, values).statistic) > 0.99
    flat = [spread(cloud(3000, d), ["eee", "vrm"]) for d in (16, 64)]
    assert all(abs(flat[0][name] - flat[1][name]) < 0.06 for name in flat[0])


def test_duplicates_and_constant_columns():
    X = np.repeat(cloud(40, 3), 2, axis=0)
    found = spread(X, ["koleo", "kl_knn", "vrm"])
    assert found["koleo"] == 0.0
    assert found["kl_knn"] == math.inf
    X[:, 2] = 7.0
    assert 1 / 3 <= spread(X)["vrm"] < 2


def test_reproducible_and_named():
    X = cloud(100, 3)
    assert spread(X, "all", rng=3) == spread(X, "all", rng=3)
    assert spread(X, ["KL", "iv"]).keys() == {"KL", "iv"}
    assert spread(X).keys() == {"eee", "vrm"}


@pytest.mark.parametrize(
    ("X", "measures", "match"),
    [
        (cloud(), "eeee", "did you mean 'eee'"),
        (np.full((5, 2), np.nan), "all", "NaN"),
        (np.empty((0, 2)), "all", "empty"),
        (np.ones((1, 2)), "all", "at least 3"),
        (np.ones((9, 2)), "all", "all rows of X are equal"),
        (np.vstack([np.zeros(3), cloud(5, 3)]), "acs", "row 0 is zero"),
    ],
)
def test_bad_input(X, measures, match):
    with pytest.raises(ValueError, match=match):
        spread(X, measures)


def test_tensors_are_taken():
    torch = pytest.importorskip("torch")
    X = cloud(100, 4)
    assert spread(torch.tensor(X)) == pytest.approx(spread(X))
