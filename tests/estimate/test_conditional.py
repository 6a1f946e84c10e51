import math

import numpy as np
import pytest
from scipy import special

from plogp.estimate.conditional import frenzel_pompe, transfer_entropy_knn
from plogp.estimate.ksg import ksg
from plogp.estimate.tasks import conditional_gaussian, gaussian, var_process


def by_definition(x, y, z, k, theiler=0):
    n, total = len(x), 0.0
    for i in range(n):
        far = np.abs(np.arange(n) - i) > theiler
        dx, dy, dz = (np.abs(v - v[i]).max(axis=1)[far] for v in (x, y, z))
        radius = np.sort(np.maximum(np.maximum(dx, dy), dz))[k - 1]
        counts = [(np.maximum(a, dz) < radius).sum() for a in (dx, dy)]
        total += special.digamma(k) + special.digamma((dz < radius).sum() + 1)
        total -= sum(special.digamma(c + 1) for c in counts)
    return total / n


@pytest.mark.parametrize("theiler", [0, 1, 15])
@pytest.mark.parametrize("d_z", [1, 3])
def test_matches_its_definition(theiler, d_z):
    x, y, z = conditional_gaussian(0.6, d_z).sample(100, 0)
    x[5:] += x[:-5]  # neighbours in time become neighbours in space
    x, y, z = np.cumsum(x, axis=0), np.cumsum(y, axis=0), np.cumsum(z, axis=0)
    found = frenzel_pompe(x, y, z, 3, scale=None, theiler=theiler)
    assert found.value == pytest.approx(by_definition(x, y, z, 3, theiler), abs=1e-12)


def test_without_condition_it_is_ksg():
    x, y = gaussian(0.6).sample(300, 1)
    assert frenzel_pompe(x, y).value == pytest.approx(ksg(x, y).value, abs=1e-12)
    assert frenzel_pompe(x, y, np.full(300, 2.5)).value == pytest.approx(ksg(x, y).value, abs=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_coverage(rho):
    task = conditional_gaussian(rho)
    rng = np.random.default_rng(2)
    inside = [not frenzel_pompe(*task.sample(300, rng)).distinguishable(task.truth) for _ in range(200)]
    assert np.mean(inside) >= 0.88


def test_transfer_entropy_has_a_direction():
    forward = [transfer_entropy_knn(*var_process().sample(3000, seed)) for seed in range(4)]
    backward = [transfer_entropy_knn(*var_process(reverse=True).sample(3000, seed)) for seed in range(4)]
    assert np.mean([e.value for e in forward]) == pytest.approx(0.1537, abs=0.02)
    assert np.mean([e.value for e in backward]) == pytest.approx(0.0, abs=0.015)


def test_transfer_entropy_is_its_conditional_information():
    x, y = var_process().sample(400, 3)
    te = transfer_entropy_knn(x, y, 3, source_history=2, target_history=2, lag=2, block=None)
    t = np.arange(3, 400)
    direct = frenzel_pompe(y[t], np.c_[x[t - 2], x[t - 3]], np.c_[y[t - 1], y[t - 2]], 3)
    assert te.value == pytest.approx(direct.value, abs=1e-12)
    assert te.n == 397


def test_transfer_coverage_with_blocks():
    task = var_process()
    rng = np.random.default_rng(4)
    inside = [not transfer_entropy_knn(*task.sample(500, rng)).distinguishable(task.truth) for _ in range(150)]
    assert np.mean(inside) >= 0.88


def test_block_errors_are_at_least_those_of_independent_rows():
    x, y = var_process(a=0.95).sample(1000, 5)
    alone, blocks = (transfer_entropy_knn(x, y, block=b) for b in (None, 50))
    assert blocks.se >= alone.se
    assert blocks.diagnostics["block"] == 50


def test_constants_and_hostile_input():
    x = np.random.default_rng(6).standard_normal(50)
    assert frenzel_pompe(np.ones(50), x, x).value == 0.0
    assert transfer_entropy_knn(np.ones(50), x).value == 0.0
    with pytest.raises(ValueError, match="z has 49"):
        frenzel_pompe(x, x, x[1:])
    with pytest.raises(ValueError, match="theiler=30"):
        frenzel_pompe(x, x**2, x**3, theiler=30)
    with pytest.raises(ValueError, match="lag must be at least 0"):
        transfer_entropy_knn(x, x, lag=-1)
    with pytest.raises(ValueError, match="too short"):
        transfer_entropy_knn(x[:4], x[:4], target_history=4)
    with pytest.raises(ValueError, match="jitter"):
        frenzel_pompe(np.zeros(50) + (np.arange(50) > 25), np.arange(50) > 25, np.arange(50) > 25)
    assert math.isfinite(transfer_entropy_knn(x[:20], x[:20] ** 2).value)
