import math

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from plogp.estimate.layers import LAYER_METHODS, information_plane, layer_mutual_information, szt_task


def data(n=200, units=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, units)) + y[:, None], y


def test_ebab_against_scikit_learn():
    h, y = data()
    info = layer_mutual_information(h, y, bins=5)
    unique = np.unique(h)
    rank = np.searchsorted(unique, h)
    bins = np.minimum(rank * 5 // len(unique), 4)
    rows = np.unique(bins, axis=0, return_inverse=True)[1].ravel()
    assert info.ix.value == pytest.approx(mutual_info_score(rows, rows), abs=1e-9)
    assert info.iy.value == pytest.approx(mutual_info_score(rows, y), abs=1e-9)


def test_kde_by_the_double_sum():
    h, y = data(60)
    squared = ((h[:, None] - h) ** 2).sum(-1)

    def information(rows, factor):
        return -np.mean(np.log(np.mean(np.exp(-squared[np.ix_(rows, rows)] / (factor * 0.3)), axis=1)))

    everyone = np.arange(60)
    for bound, factor in (("upper", 2), ("lower", 8)):
        info = layer_mutual_information(h, y, method="kde", noise=0.3, bound=bound)
        whole = information(everyone, factor)
        inside = sum(np.mean(y == c) * information(np.flatnonzero(y == c), factor) for c in range(3))
        assert info.ix.value == pytest.approx(whole)
        assert info.iy.value == pytest.approx(whole - inside)


@pytest.mark.parametrize("scale", ["max", "max2", "var"])
def test_adaptive_noise(scale):
    h, y = data()
    size = {"max": np.abs(h).max(), "max2": np.abs(h).max() ** 2, "var": h.var()}[scale]
    info = layer_mutual_information(h, y, method="akde", noise=0.01, scale=scale)
    fixed = layer_mutual_information(h, y, method="kde", noise=0.01 * size)
    assert info.ix.value == pytest.approx(fixed.ix.value)
    blown = layer_mutual_information(1000 * h, y, method="akde", noise=0.01, scale=scale).ix.value
    assert (blown == pytest.approx(info.ix.value)) is (scale != "max")


@pytest.mark.parametrize("method", sorted(LAYER_METHODS))
def test_limits(method):
    h, y = data()
    info = layer_mutual_information(h, y, method=method, noise=1e-12, bins=5000)
    assert info.ix.value == pytest.approx(math.log(200), abs=0.2)
    dead = layer_mutual_information(0 * h, y, method=method)
    assert dead.ix.value == pytest.approx(0, abs=1e-9)
    assert dead.iy.value == pytest.approx(0, abs=1e-9)
    assert 0 <= info.iy.value <= info.ix.value
    assert not info.ix.has_interval
    assert "whole distribution" in info.ix.diagnostics["no_interval"]


def test_one_dimensional_layer_and_string_labels():
    info = layer_mutual_information([0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"], bins=2)
    assert info.iy.value == pytest.approx(math.log(2))


def test_plane(tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    h, y = data()
    plane = information_plane({0: [h, h[:, :1]], 5: [np.round(h), 0 * h[:, :1]]}, y, bins=8)
    assert plane.ix.shape == plane.iy.shape == (2, 2)
    assert plane.compression()[1] == pytest.approx(1.0)
    assert 0 < plane.compression()[0] < 1
    assert plane.plot().get_xlabel() == "I(T;X) in nats"
    with pytest.raises(ValueError, match="at least one epoch"):
        information_plane({}, y)
    with pytest.raises(ValueError, match="expected 1"):
        information_plane({0: [h], 1: [h, h]}, y)


def test_szt_task():
    x, y = szt_task(3)
    assert len(np.unique(x, axis=0)) == 4096
    assert set(np.unique(x)) == {0.0, 1.0}
    assert 0.45 < y.mean() < 0.55
    assert (szt_task(3)[1] == y).all()
    assert (szt_task(4)[1] != y).any()
    # Labels are nearly a function of x at 0.99 bit, and noisier with less information.
    noisy = szt_task(3, information=0.3)[1]
    assert np.mean(noisy != y) > 0.05
    with pytest.raises(ValueError, match="information must lie"):
        szt_task(information=0.7)


def test_bad_input():
    h, y = data()
    for options, said in (
        ({"method": "magic"}, "method must be one of"),
        ({"bound": "middle"}, "bound must be"),
        ({"bins": 0}, "bins must be"),
        ({"method": "kde", "noise": 0.0}, "noise must be"),
        ({"method": "akde", "scale": "min"}, "scale must be"),
    ):
        with pytest.raises(ValueError, match=said):
            layer_mutual_information(h, y, **options)
    with pytest.raises(ValueError, match="same length"):
        layer_mutual_information(h, y[:-1])
    with pytest.raises(ValueError, match="NaN"):
        layer_mutual_information(h * np.nan, y)
