"""Rounded data: ties must not make information out of nothing."""

import numpy as np
import pytest

import plogp as pl
from plogp.estimate import ksg, ross
from plogp.estimate.ksg import pairwise_ksg


@pytest.mark.parametrize("estimator", [ross, ksg])
def test_rounding_adds_no_information(estimator):
    values = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=500).round(2)  # about a third of the values repeat
        x = rng.integers(0, 2, 500) if estimator is ross else rng.normal(size=500).round(2)
        e = estimator(x, y)
        assert e.diagnostics["jitter"] == 1e-10
        assert estimator(x, y).value == e.value  # the noise has a fixed seed
        values.append(e.value)
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < max(4 * error, 0.012)


def test_the_bias_is_there_without_it():
    rng = np.random.default_rng(0)
    gap = [ross(rng.integers(0, 2, 200), rng.normal(size=200).round(2), k=7, jitter=0.0).value for _ in range(12)]
    assert np.mean(gap) > 0.02


def test_continuous_data_are_left_alone():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 400))
    assert ksg(x, y).diagnostics["jitter"] == 0.0
    assert ksg(x, y).value == ksg(x, y, jitter=0.0).value


def test_a_matrix_of_rounded_columns():
    x = np.random.default_rng(0).normal(size=(600, 3)).round(2)
    values, errors = pairwise_ksg(x)
    off = ~np.eye(3, dtype=bool)
    assert (np.abs(values[off]) < 5 * errors[off]).all()


def test_iris_works_by_default():
    from sklearn.datasets import load_iris

    data = load_iris()
    e = pl.estimate.mutual_information(data.data[:, 2], data.target_names[data.target])
    assert 0.8 < e.value < 1.0986 + 0.05


@pytest.mark.parametrize("kind", ["numbers", "class"])
def test_the_front_ends_give_the_same_value_each_time(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=300).round(2)
    y = rng.normal(size=300).round(2) if kind == "numbers" else rng.integers(0, 3, 300)
    assert len({pl.estimate.mutual_information(x, y).value for _ in range(3)}) == 1
    assert len({pl.estimate.mutual_information(x, y, rng=s).value for s in (1, 1)}) == 1
    table = {"x": x, "y": y}
    assert len({pl.estimate.mutual_information_matrix(table)["x", "y"].value for _ in range(3)}) == 1
    z = rng.integers(0, 2, 300)
    assert len({pl.estimate.conditional_mutual_information(x, y, z).value for _ in range(3)}) == 1
