import math

import numpy as np
import pytest
from scipy import special

from plogp.estimate.frontends import mutual_information
from plogp.estimate.ksg import ksg
from plogp.estimate.mixed import gao, ross
from plogp.estimate.tasks import (
    continuous_entropy,
    discrete_table,
    gaussian,
    mixed_labels,
    mixed_uniform,
    zero_inflated_poisson,
)


def gao_by_definition(x, y, k):
    """The authors' rule with loops: strict counts with the point included, atoms by equality."""
    n, total = len(x), 0.0
    for i in range(n):
        dx, dy = np.abs(x - x[i]).max(axis=1), np.abs(y - y[i]).max(axis=1)
        joint = np.maximum(dx, dy)
        rho = np.sort(joint)[k]  # the point itself is number 0
        if rho == 0:
            own, nx, ny = (joint == 0).sum(), (dx == 0).sum(), (dy == 0).sum()
        else:
            own, nx, ny = k, (dx < rho).sum(), (dy < rho).sum()
        total += special.digamma(own) + math.log(n) - special.digamma(nx) - special.digamma(ny)
    return total / n


@pytest.mark.parametrize("task", [mixed_uniform(5), zero_inflated_poisson(0.3), gaussian(0.6, 2)])
@pytest.mark.parametrize("k", [1, 4])
def test_gao_matches_its_definition(task, k):
    x, y = task.sample(150, 0)
    found = gao(x, y, k, scale=None).value
    assert found == pytest.approx(gao_by_definition(x.astype(float), y.astype(float), k), abs=1e-12)


def test_gao_of_continuous_data_is_ksg_up_to_one_constant():
    x, y = gaussian(0.7).sample(300, 1)
    difference = gao(x, y).value - ksg(x, y).value
    assert difference == pytest.approx(math.log(300) - special.digamma(300), abs=1e-12)


def test_gao_of_discrete_data_is_nearly_the_plug_in():
    """All points on atoms: ψ(count) stands for log(count), nothing else differs."""
    table = np.array([[0.3, 0.1], [0.2, 0.4]])
    task = discrete_table(table)
    x, y = task.sample(3000, 2)
    found = gao(x, y)
    assert found.diagnostics["atoms"] == 1.0
    counts = np.histogram2d(x, y, bins=2)[0]
    p = counts / counts.sum()
    plug_in = (p * np.log(p / p.sum(0) / p.sum(1)[:, None])).sum()
    assert found.value == pytest.approx(plug_in, abs=2e-3)
    assert found.value == pytest.approx(task.truth, abs=4 * found.se)


@pytest.mark.parametrize("task", [mixed_uniform(5), zero_inflated_poisson(0.15)])
def test_gao_finds_the_truth(task):
    values = [gao(*task.sample(4000, seed)) for seed in range(5)]
    assert np.mean([v.value for v in values]) == pytest.approx(task.truth, abs=0.015)


def ross_by_definition(c, y, k):
    n, total = len(c), 0.0
    for i in range(n):
        apart = np.abs(y - y[i])
        same = np.sort(apart[c == c[i]])
        kk = min(k, len(same) - 1)
        radius = same[kk]
        m = (apart < radius).sum()
        total += special.digamma(n) + special.digamma(kk) - special.digamma(len(same)) - special.digamma(m)
    return total / n


def test_ross_matches_its_definition_and_scikit_learn():
    rng = np.random.default_rng(3)
    c = np.r_[np.repeat([0, 1], 60), [2, 2]]  # one class smaller than k
    y = rng.standard_normal(122) + c
    found = ross(c, y, 4, scale=None)
    assert found.value == pytest.approx(ross_by_definition(c, y, 4), abs=1e-12)
    sklearn = pytest.importorskip("sklearn.feature_selection")
    theirs = sklearn.mutual_info_classif(y[:, None], c, n_neighbors=4, random_state=0)[0]
    assert found.value == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("task", [mixed_labels(0.0, (0.9, 0.1)), mixed_labels(1.0), mixed_labels(2.0, (0.2, 0.3, 0.5))])
def test_ross_coverage(task):
    rng = np.random.default_rng(4)
    inside = [not ross(*task.sample(300, rng)).distinguishable(task.truth) for _ in range(300)]
    assert 0.90 <= np.mean(inside) <= 0.995


def test_labels_of_any_kind_and_lonely_classes():
    rng = np.random.default_rng(5)
    number = rng.integers(0, 3, 200)
    y = rng.standard_normal(200) + number
    text = np.array(["a", "b", "c"])[number]
    assert ross(text, y).value == ross(number, y).value == ross(number.astype(float), y).value
    alone = ross([*text, "z"], [*y, 0.0])
    assert (alone.n, alone.diagnostics["dropped"]) == (200, 1)


def test_constant_columns():
    assert gao(np.zeros(30), np.arange(30)).value == 0.0
    assert ross(np.zeros(30), np.random.default_rng(0).standard_normal(30)).value == 0.0
    # A constant beside a class carries nothing (scikit-learn says 0.0245).
    assert ross(np.arange(30) % 2, np.ones(30)).value == 0.0


def test_hostile_input():
    y = continuous_entropy("normal").sample(20, 0)[0]
    with pytest.raises(ValueError, match="single sample"):
        ross(np.arange(20), y)
    with pytest.raises(ValueError, match="gao"):
        ross(np.arange(20) % 2, np.r_[np.zeros(12), y[:8]], jitter=0.0)
    with pytest.raises(ValueError, match="c holds NaN"):
        ross(np.r_[np.nan, np.zeros(19)], y)
    with pytest.raises(ValueError, match="c has 19, y has 20"):
        ross(np.zeros(19), y)
    with pytest.raises(ValueError, match="one class a sample"):
        ross(np.zeros((20, 2)), y)
    with pytest.raises(ValueError, match="too few samples"):
        gao(y[:3], y[:3], 3)
    with pytest.raises(ValueError, match="x holds NaN"):
        gao(np.r_[np.nan, y[1:]], y)


def test_messages_name_the_argument_of_the_front_end():
    y = continuous_entropy("normal").sample(40, 0)[0].ravel()
    tied = np.r_[np.full(20, 0.5), y[:20]]
    with pytest.raises(ValueError, match=r"^x has .* samples whose 4-th neighbour"):
        mutual_information(tied, np.arange(40) % 2, jitter=0.0)
    with pytest.raises(ValueError, match="every class of y has a single sample: it holds identifiers"):
        mutual_information(y, np.arange(40))
