import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import plogp as pl
from plogp.estimate.links import link_of
from plogp.estimate.nn_ratio import ensemble_weights, neighbour_origins, nn_ratio_divergence


def normals(n, d=2, seed=0, m=None):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m or n, d))
    x[:, 0] += 1
    return x, y


def test_origins_by_brute_force():
    x, y = normals(40, 3, m=55)
    both = np.concatenate([x, y])
    distance = cdist(both, both)
    np.fill_diagonal(distance, np.inf)
    order = distance.argsort(1)
    ks = np.array([1, 4, 9])
    brute = np.stack([(order[:, :k] < 40).sum(1) for k in ks], 1)
    assert (neighbour_origins(x, y, ks) == brute).all()
    assert (neighbour_origins(x, y, ks, at="y") == brute[40:]).all()


def test_origins_in_blocks(monkeypatch):
    x, y = normals(60)
    whole = neighbour_origins(x, y, np.array([5]))
    monkeypatch.setattr("plogp.estimate.nn_ratio.LIST_BYTES", 16 * 6 * 7)
    assert (neighbour_origins(x, y, np.array([5])) == whole).all()


def test_a_few_copies_are_fine_and_many_are_refused():
    x, y = normals(50)
    y[:3] = y[0]
    assert neighbour_origins(x, y, np.array([4]), at="y").shape == (50, 1)
    with pytest.raises(ValueError, match="discrete or rounded"):
        neighbour_origins(x, y, np.array([2]), at="y")
    x[:2], y[:8] = 7.0, 7.0  # more copies than neighbours asked for: a point may not be in its own list
    with pytest.raises(ValueError, match="discrete or rounded"):
        neighbour_origins(x, y, np.array([4]))


@pytest.mark.parametrize("name", ["kl", "js", "tv", "hellinger", "chi2", "le_cam"])
def test_formula_by_hand(name):
    x, y = normals(80, m=120)
    d = pl.divergence(name)
    counts = neighbour_origins(x, y, np.array([10]), at="y")[:, 0]
    t = 120 / 80 * counts / (10 - counts + 1)
    assert nn_ratio_divergence(x, y, d, k=10).value == pytest.approx(np.mean(d.f(t)))


def test_renyi_and_its_relatives_by_hand():
    x, y = normals(80, m=120)
    counts = neighbour_origins(x, y, np.array([10]), at="y")[:, 0]
    t = 120 / 80 * counts / (10 - counts + 1)
    for alpha in (0.3, 0.5, 2.0):
        d = pl.divergence("renyi", alpha=alpha)
        expected = math.log(np.mean(t**alpha)) / (alpha - 1)
        assert nn_ratio_divergence(x, y, d, k=10).value == pytest.approx(expected)
    assert nn_ratio_divergence(x, y, "bhattacharyya", k=10).value == pytest.approx(-math.log(np.mean(np.sqrt(t))))
    root = math.sqrt(nn_ratio_divergence(x, y, "js", k=10).value)
    assert nn_ratio_divergence(x, y, "js_distance", k=10).value == pytest.approx(root)


def test_bounds_hold_the_ratio():
    x, y = normals(80)
    d = pl.divergence("reverse_kl")
    counts = neighbour_origins(x, y, np.array([10]), at="y")[:, 0]
    t = np.clip(counts / (10 - counts + 1), 0.25, 4)
    assert nn_ratio_divergence(x, y, d, k=10, bounds=(0.5, 2.0)).value == pytest.approx(np.mean(d.f(t)))
    floor = np.maximum(counts / (10 - counts + 1), 1 / 20)
    assert nn_ratio_divergence(x, y, d, k=10).value == pytest.approx(np.mean(d.f(floor)))
    with pytest.raises(ValueError, match="bounds must be"):
        nn_ratio_divergence(x, y, bounds=(2.0, 1.0))


@pytest.mark.parametrize(("name", "truth"), [("kl", 0.5), ("js", 0.1114), ("hellinger", 1 - math.exp(-1 / 8))])
def test_ensemble_of_shifted_normals(name, truth):
    values = [nn_ratio_divergence(*normals(2000, 2, s), name, num_blocks=2).value for s in range(5)]
    assert abs(np.mean(values) - truth) < 0.12 * truth + 0.01


def test_direction():
    rng = np.random.default_rng(0)
    wide, narrow = rng.normal(size=(3000, 1)), 0.5 * rng.normal(size=(3000, 1))
    truth = math.log(2) + 0.25 / 2 - 0.5
    assert abs(nn_ratio_divergence(narrow, wide, "kl").value - truth) < 0.06
    assert abs(nn_ratio_divergence(wide, narrow, "reverse_kl").value - truth) < 0.12


def test_weights():
    for d in (1, 2, 4):
        scales = np.linspace(0.3, 3, 20)
        w = ensemble_weights(scales, d)
        conditions = np.stack([scales ** (i / d) for i in range(d + 1)])
        scale = np.abs(w).max()
        assert np.allclose(conditions @ w / scale, np.eye(d + 1)[0] / scale, atol=1e-10)
        if d < 3:  # least norm: the pseudo-inverse, where it is still accurate
            assert np.allclose(w, np.linalg.pinv(conditions)[:, 0], rtol=1e-6)
    soft = ensemble_weights(np.linspace(0.3, 3, 20), 2, n=1000)
    assert soft.sum() == pytest.approx(1.0)
    assert np.linalg.norm(soft) < np.linalg.norm(ensemble_weights(np.linspace(0.3, 3, 20), 2))
    # With no noise left the ridge meets both conditions.
    hard = ensemble_weights(np.linspace(0.3, 3, 20), 2, n=1000, noise=1e-9)
    assert abs(hard @ np.linspace(0.3, 3, 20)) < 1e-4
    assert abs(hard @ (1 / np.linspace(0.3, 3, 20))) < 1e-4
    with pytest.raises(ValueError, match="at least 4 scales"):
        ensemble_weights([1.0, 2.0, 3.0], 3)
    with pytest.raises(ValueError, match="all different"):
        ensemble_weights([1.0, 1.0, 3.0], 1)


def test_interval_of_blocks():
    covered = 0
    for seed in range(30):
        low, high = nn_ratio_divergence(*normals(1500, 1, seed), "js").interval()
        covered += low <= 0.1114 <= high
    assert covered >= 26
    few = nn_ratio_divergence(*normals(30), "js", k=10)
    assert not few.has_interval
    assert "too few" in few.diagnostics["no_interval"]


def test_samples_that_hardly_overlap_are_named():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 2)), rng.normal(size=(400, 2)) + 30
    apart = nn_ratio_divergence(x, y, "js")
    assert apart.diagnostics["mass_seen"] == 0.0
    assert "hardly overlap" in apart.diagnostics["warning"]
    assert not apart.has_interval
    together = nn_ratio_divergence(x, rng.normal(size=(400, 2)) + 0.5, "js")
    assert together.diagnostics["mass_seen"] > 0.7
    assert "warning" not in together.diagnostics
    assert together.has_interval


def test_links():
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])
    for name, options in (
        ("renyi", {"alpha": 0.3}),
        ("renyi", {"alpha": 3.0}),
        ("bhattacharyya", {}),
        ("js_distance", {}),
        ("hellinger_distance", {}),
        ("fisher_rao", {}),
        ("js", {}),
        ("tsallis", {"alpha": 2.0}),
    ):
        d = pl.divergence(name, **options)
        link = link_of(d)
        assert link.outer(float(link.inner(p, q))) == pytest.approx(float(d(p, q)), rel=1e-12)
        if link.order is not None:
            integral = float(np.sum(p**link.order * q ** (1 - link.order)))
            assert link.of_power(integral) == pytest.approx(float(d(p, q)), rel=1e-10)
    for name in ("chernoff", "max_divergence", "hilbert", "cauchy_schwarz", "umegaki"):
        with pytest.raises(ValueError, match="no function of one f-divergence"):
            link_of(name)
    with pytest.raises(ValueError, match="order 0"):
        link_of(pl.divergence("renyi", alpha=0.0))
    with pytest.raises(ValueError, match="no function of a power"):
        link_of("js").of_power(0.5)


def test_bad_input():
    x, y = normals(50)
    for bad, said in (
        ((x, y[:, :1]), "same number of columns"),
        ((x[:1], y), "x must hold at least 2"),
        ((x, np.full((9, 2), np.nan)), "y holds NaN"),
    ):
        with pytest.raises(ValueError, match=said):
            nn_ratio_divergence(*bad)
    with pytest.raises(ValueError, match="too few samples"):
        nn_ratio_divergence(x, y, k=50)
    with pytest.raises(ValueError, match="k must be"):
        nn_ratio_divergence(x, y, k="many")
    with pytest.raises(ValueError, match="num_blocks"):
        nn_ratio_divergence(x, y, num_blocks=1)
    with pytest.raises(ValueError, match="too few samples for the ensemble"):
        nn_ratio_divergence(x[:3], y[:3])
    with pytest.raises(TypeError, match="x must hold real numbers"):
        nn_ratio_divergence(["a", "b"], y)
