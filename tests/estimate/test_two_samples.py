import math

import numpy as np
import pytest
from scipy import stats

import plogp as pl
from plogp.estimate.two_samples import TWO_SAMPLE_METHODS, binned_divergence, discrete_divergence, divergence


def normals(n, d=1, seed=0, shift=1.0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    x[:, 0] += shift
    return x, y


def test_auto_follows_the_data():
    x, y = normals(200)
    assert divergence(x, y).method.startswith("one-step")
    for a, b in (([1, 2, 1], [1, 1, 2]), (["a", "b"], ["a", "b"]), ([True, False], [True, True])):
        assert divergence(a, b, "js").method.startswith("multinomial")
    dates = np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")
    assert divergence(dates, dates, "js").value == pytest.approx(0, abs=1e-12)
    objects = np.array([0.1, 0.7, 0.4, 0.9], dtype=object)
    assert divergence(objects, objects + 0.05, "js", k=2).method.startswith("one-step")


@pytest.mark.parametrize("method", sorted(set(TWO_SAMPLE_METHODS) - {"discrete"}))
def test_every_method_of_continuous_samples(method):
    x, y = normals(1500)
    e = divergence(x, y, "kl", method=method, rng=0)
    assert abs(e.value - 0.5) < 0.15
    assert e.n == 3000
    assert e.has_interval
    low, high = e.interval()
    assert low < e.value < high
    assert divergence(x, y, "kl", method=method, rng=0).value == e.value
    assert divergence(x[:, 0].tolist(), y[:, 0].tolist(), "kl", method=method, rng=0).value == pytest.approx(e.value)


def test_direction():
    rng = np.random.default_rng(0)
    x, y = 0.5 * rng.normal(size=2000), rng.normal(size=2000)
    forward, backward = math.log(2) + 0.125 - 0.5, -math.log(2) + 2 - 0.5
    for method in ("one-step", "knn", "binned"):
        assert abs(divergence(x, y, "kl", method=method).value - forward) < 0.08
        assert abs(divergence(y, x, "reverse_kl", method=method).value - forward) < 0.08
        # The other way round it is larger, and hard: where y is dense x has hardly a point.
        assert 0.5 * backward < divergence(y, x, "kl", method=method).value < backward + 0.2


def test_plain_counts_are_the_exact_divergence():
    x, y = ["a"] * 3 + ["b"] * 7, ["a"] * 4 + ["b"] * 5 + ["c"]
    for name in ("kl", "js", "tv", "hellinger", "renyi", "chernoff"):
        d = pl.divergence(name)
        assert divergence(x, y, d).value == pytest.approx(float(d([0.3, 0.7, 0.0], [0.4, 0.5, 0.1])), abs=1e-9)


def test_infinity_is_said():
    # A peer answers -0.693 here.
    e = divergence([0, 1, 0, 1], [0, 0, 0, 0], "kl")
    assert e.value == math.inf
    assert not e.has_interval
    assert "infinite" in e.diagnostics["no_interval"]
    assert math.isfinite(divergence([0, 1, 0, 1], [0, 0, 0, 0], "kl", smoothing=0.5).value)
    assert divergence([0, 1, 0, 1], [0, 0, 0, 0], "reverse_kl").value == pytest.approx(math.log(2))
    assert divergence([0, 1], [2, 3], "js").value == pytest.approx(math.log(2))


def test_rows_are_joint_categories():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (300, 2)), rng.integers(0, 2, (400, 2))
    joint = divergence(a[:, 0] * 2 + a[:, 1], b[:, 0] * 2 + b[:, 1], "js")
    assert divergence(a, b, "js").value == pytest.approx(joint.value)


def test_labels_of_different_kinds_are_refused():
    with pytest.raises(TypeError, match="one kind"):
        discrete_divergence(["1", "2"], [1, 2])
    with pytest.raises(TypeError, match="one sample holds categories"):
        divergence([1, 2, 3], [1.5, 2.5, 3.5])
    objects = np.array(["a", "b"], dtype=object)
    assert discrete_divergence(objects, ["a", "b"], "js").value == pytest.approx(0, abs=1e-12)
    with pytest.raises(TypeError, match="one kind"):
        discrete_divergence(objects, [1, 2])
    with pytest.raises(ValueError, match="same columns"):
        discrete_divergence([[1, 2]], [[1, 2, 3]])
    with pytest.raises(ValueError, match="missing"):
        divergence(["a", None], ["a", "b"])
    with pytest.raises(ValueError, match="x must be an array or a list"):
        discrete_divergence(3, [3])


def test_p_values_are_uniform_under_equality_and_small_under_a_shift():
    p = [divergence(*normals(60, 1, s, 0.0), "js", num_permutations=39, rng=s).p_value for s in range(40)]
    assert 0.3 < np.mean(p) < 0.7
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    found = divergence(*normals(100, 1, 0, 1.5), "js", num_permutations=99, rng=0)
    assert found.p_value == 0.01
    assert found.diagnostics["test"] == "permutation"
    assert divergence(["a"] * 90 + ["b"] * 10, ["a"] * 50 + ["b"] * 50, "js").p_value < 1e-6


def test_scale_of_axes():
    x, y = normals(500, 2)
    units = np.array([1.0, 1e6])
    plain = divergence(x, y, "js").value
    assert divergence(x * units, y * units, "js").value == pytest.approx(plain)
    assert divergence(x * units, y * units, "js", scale=None).value != pytest.approx(plain)
    assert divergence(np.exp(x), np.exp(y), "js", scale="rank").value == pytest.approx(
        divergence(x, y, "js", scale="rank").value
    )


def test_binned_is_robust_and_below():
    covered = 0
    for seed in range(30):
        x, y = normals(1000, 1, seed)
        e = binned_divergence(x, y, "kl", bins=12, num_permutations=1)
        edges = np.array([-np.inf, *e.diagnostics["edges"], np.inf])
        p, q = (np.diff(stats.norm(m).cdf(edges)) for m in (1, 0))
        exact = float(pl.divergence("kl")(p, q))
        assert exact < 0.5
        low, high = e.interval()
        covered += low <= exact <= high
    assert covered >= 25
    spoilt = np.append(x[:-1], 1e6)
    assert abs(binned_divergence(spoilt, y, "kl", bins=12).value - e.value) < 0.01
    with pytest.raises(ValueError, match="one dimension"):
        binned_divergence(np.ones((5, 2)), np.ones((5, 2)))
    assert binned_divergence([1.0, 1.0], [1.0, 1.0], "js").value == pytest.approx(0.0, abs=1e-12)


def test_rounded_floats_are_refused_with_advice():
    x, y = normals(500)
    for method in ("one-step", "knn", "nn-ratio"):
        with pytest.raises(ValueError, match="method='discrete'"):
            divergence(np.round(x), np.round(y), method=method, k=5)
    assert divergence(np.round(x).astype(int), np.round(y).astype(int), "js").value > 0.05


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    x, y = normals(200)
    assert divergence(torch.tensor(x), torch.tensor(y), "js").value == pytest.approx(divergence(x, y, "js").value)


def test_bad_options():
    x, y = normals(50)
    with pytest.raises(ValueError, match="method must be one of"):
        divergence(x, y, method="magic")
    with pytest.raises(TypeError, match="no option 'bins'; it takes k, workers"):
        divergence(x, y, bins=3)
    with pytest.raises(ValueError, match="did you mean"):
        divergence(x, y, "hellingr")
    with pytest.raises(ValueError, match="num_permutations"):
        divergence(x, y, num_permutations=-1)
    with pytest.raises(ValueError, match="distances give"):
        divergence(x, y, "js", method="knn")
    with pytest.raises(ValueError, match="x must hold at least 2"):
        divergence([0.1], [0.2, 0.3])
    with pytest.raises(ValueError, match="empty"):
        divergence(np.empty((0, 1)), y)


def test_masked_and_object_samples_are_read_as_elsewhere():
    x = np.random.default_rng(0).standard_normal(60)
    with pytest.raises(ValueError, match="x has masked"):
        divergence(np.ma.array(x, mask=x > 1), x, "js")
    objects = np.array([1, *x[1:]], dtype=object)  # numbers, one of them an int
    assert divergence(objects, x, "js").method.startswith("one-step")
