import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl
from plogp.estimate.diffusion import VPSDE, NormalScore
from plogp.estimate.score_o_information import SOI, score_information
from plogp.estimate.tasks.maps import half_cubed
from plogp.estimate.tasks.systems import (
    block_system,
    mixed_system,
    normal_information,
    normal_system,
    product_synergy,
    redundancy,
    redundancy_covariance,
    synergy,
    synergy_covariance,
)

QUICK = {"steps": 20, "rng": 0}
LONG = {
    "tc": "total_correlation",
    "dtc": "dual_total_correlation",
    "o": "o_information",
    "s": "s_information",
}


def design(covariance):
    """Every pair of a sigma point of the data and one of the noise: their moments are exact up to order 2."""
    d = len(covariance)
    points = math.sqrt(d) * np.concatenate([np.eye(d), -np.eye(d)])
    x = points @ np.linalg.cholesky(covariance).T
    return np.repeat(x, 2 * d, axis=0), torch.tensor(np.tile(points, (2 * d, 1)))


def random_covariance(d, seed):
    root = np.random.default_rng(seed).standard_normal((d, d))
    c = root @ root.T + 0.5 * np.eye(d)
    c = c / np.sqrt(np.outer(np.diag(c), np.diag(c)))
    return (c + c.T) / 2


def gradient(covariance, sizes):
    """Ω(X) - Ω(X without i) from log-determinants."""
    ends = np.cumsum([0, *sizes])
    out = []
    for i in range(len(sizes)):
        keep = np.setdiff1d(np.arange(len(covariance)), np.arange(ends[i], ends[i + 1]))
        rest = [s for j, s in enumerate(sizes) if j != i]
        without = normal_information(covariance[np.ix_(keep, keep)], rest)["o_information"] if len(rest) > 1 else 0.0
        out.append(normal_information(covariance, sizes)["o_information"] - without)
    return out


def half_log_ratio(c, a, b):
    """I(A;B) of a normal vector."""

    def log(keep):
        return np.linalg.slogdet(c[np.ix_(keep, keep)])[1] if len(keep) else 0.0

    return 0.5 * (log(a) + log(b) - log([*a, *b]))


# --- the systems


def test_published_values():
    red, syn = normal_information(redundancy_covariance(3, 0.8)), normal_information(synergy_covariance(3, 0.7))
    assert [red[k] for k in LONG.values()][:3] == pytest.approx([1.13168, 0.73089, 0.4008], abs=1e-4)
    assert [syn[k] for k in LONG.values()][:3] == pytest.approx([0.68325, 0.87940, -0.1962], abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), m=st.integers(2, 6))
def test_identities_of_normal_systems(seed, m):
    """DTC = (m-1) TC - Σ TC(X without i), and the gradient as a sum of informations."""
    c = random_covariance(m, seed)
    found = normal_information(c)
    parts = [np.delete(np.delete(c, i, 0), i, 1) for i in range(m)]
    tc = [normal_information(p)["total_correlation"] if m > 2 else 0.0 for p in parts]
    assert found["dual_total_correlation"] == pytest.approx((m - 1) * found["total_correlation"] - sum(tc), abs=1e-10)
    for i, slope in enumerate(gradient(c, [1] * m)):
        others = [j for j in range(m) if j != i]
        shared = (2 - m) * half_log_ratio(c, [i], others)
        shared += sum(half_log_ratio(c, [i], [k for k in others if k != j]) for j in others)
        assert slope == pytest.approx(shared, abs=1e-10)


def test_systems_are_what_they_say():
    for task, sign in [(redundancy(4, 0.6), 1), (synergy(5, 0.7), -1)]:
        assert math.copysign(1, task.truth) == sign
    assert redundancy(d=3).truth == pytest.approx(3 * redundancy().truth)
    both = normal_information(block_system([redundancy_covariance(3, 0.8), synergy_covariance(3, 0.7)]))
    assert mixed_system().truth == pytest.approx(both["o_information"])
    assert both["o_information"] == pytest.approx(redundancy().truth + synergy().truth, abs=1e-12)
    x = np.hstack(mixed_system((3, 4), (3,)).sample(40_000, 0))
    expected = block_system([redundancy_covariance(3, 0.8), redundancy_covariance(4, 0.8), synergy_covariance(3, 0.7)])
    np.testing.assert_allclose(np.cov(x.T), expected, atol=0.04)
    assert [v.shape for v in synergy(3, d=2).sample(7, 0)] == [(7, 2)] * 3
    plain, mapped = redundancy(), redundancy(transform=half_cubed)
    assert plain.truth == mapped.truth
    np.testing.assert_allclose(half_cubed(np.array(plain.sample(9, 1))), mapped.sample(9, 1))


def test_product_synergy_by_brute_force():
    """Its density on a grid of X and Z, against the quadrature."""
    eta, task = 0.5, product_synergy(0.5)
    x, z = np.linspace(-9, 9, 1201), np.linspace(-40, 40, 16_001)
    weight = np.exp(-0.5 * x * x)
    weight /= weight.sum()
    variance = x * x + eta * eta
    p = np.zeros_like(z)
    for w, v in zip(weight, variance):
        p += w * np.exp(-0.5 * z * z / v) / math.sqrt(2 * math.pi * v)
    h = -np.sum(p[p > 0] * np.log(p[p > 0])) * (z[1] - z[0])
    truth = h - weight @ (0.5 * np.log(2 * math.pi * math.e * variance)) - weight @ (0.5 * np.log(variance / eta**2))
    assert task.truth == pytest.approx(truth, abs=1e-4)
    assert abs(pl.estimate.o_information(*task.sample(4000, 0), method="gaussian").value) < 0.01


def test_systems_refused():
    with pytest.raises(ValueError, match="quantity"):
        normal_system(np.eye(2), quantity="entropy")
    with pytest.raises(ValueError, match="at least two"):
        redundancy(1)
    with pytest.raises(ValueError, match="at least three"):
        synergy(2)
    with pytest.raises(ValueError, match="d must be"):
        synergy(d=0)
    with pytest.raises(ValueError, match="shape"):
        normal_information(np.eye(3), (1, 1))
    with pytest.raises(ValueError, match="positive definite"):
        normal_information([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="at least one covariance"):
        block_system([])
    with pytest.raises(ValueError, match="noise"):
        product_synergy(0.0)


# --- the estimator with exact scores


@pytest.mark.parametrize(
    ("covariance", "sizes"),
    [
        (redundancy_covariance(3, 0.8), (1, 1, 1)),
        (synergy_covariance(3, 0.7), (1, 1, 1)),
        (random_covariance(5, 2), (2, 1, 1, 1)),
        (random_covariance(2, 3), (1, 1)),
    ],
)
@pytest.mark.parametrize("sigma", [None, 1.5])
def test_exact_scores(covariance, sizes, sigma):
    x, noise = design(covariance)
    ends = np.cumsum([0, *sizes])
    data = {f"v{i}": x[:, a:b] for i, (a, b) in enumerate(itertools.pairwise(ends))}
    net = NormalScore(covariance, sizes, VPSDE())
    exact = SOI(2, net=net, sigma=sigma, scale=None, times="quadrature", mc_passes=64)
    found, truth = exact.estimate(data, noise=noise), normal_information(covariance, sizes)
    for name, long in LONG.items():
        assert found[name].value == pytest.approx(truth[long], abs=3e-4)
        assert found[name].diagnostics["denoising"] == pytest.approx(found[name].value, abs=1e-6)
    for form in ("information", "difference"):
        slopes = exact.gradient(data, form=form, noise=noise)
        assert list(slopes) == list(data)
        assert [e.value for e in slopes.values()] == pytest.approx(gradient(covariance, sizes), abs=3e-4)


def test_forms_of_the_gradient_agree_in_expectation():
    c = redundancy_covariance(3, 0.8)
    exact = SOI(2, net=NormalScore(c, (1, 1, 1), VPSDE()), scale=None, mc_passes=4, rng=0)
    x = redundancy(rho=0.8).sample(3000, 0)
    for form in ("information", "difference"):
        for e in exact.gradient(x, form=form).values():
            assert abs(e.value - 0.4008) < 4 * e.se


def test_masks_of_the_paper():
    """Order 1: joint, marginals, conditionals; order 2 also the leave-one-out ones, as in the authors' code."""
    first = SOI(1)._masks(3)
    assert set(first) == {(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)}
    assert first.count((1, 1, 1)) == 3
    assert first.count((1, 0, 0)) == 2
    assert first.count((1, -1, -1)) == 1
    second = set(SOI(2)._masks(3)) - set(first)
    assert second == {(1, 1, -1), (1, -1, 1), (-1, 1, 1), *_permutations()}


def _permutations():
    from itertools import permutations

    return set(permutations((1, 0, -1)))


# --- and with learned ones


def test_learned_parts_are_consistent():
    task = normal_system(random_covariance(4, 5))
    x = task.sample(400, 0)
    model = SOI(order=2, **QUICK).fit(list(x))
    found = model.estimate()
    assert found["o"].value == pytest.approx(found["tc"].value - found["dtc"].value, abs=1e-12)
    assert found["s"].value == pytest.approx(found["tc"].value + found["dtc"].value, abs=1e-12)
    paired = found["tc"] - found["dtc"]
    assert paired.se == pytest.approx(found["o"].se, rel=1e-9)
    assert found["o"].n == 80
    assert list(model.gradient()) == model.names == ["x0", "x1", "x2", "x3"]
    again = SOI(order=2, **QUICK).fit(list(x)).estimate()
    assert again["o"].value == found["o"].value


def test_a_short_training_learns():
    """Two variables: both measures are their information, 0.83 or 0."""
    options = {"steps": 300, "width": 32, "rng": 0}
    for rho, truth in ((0.9, 0.83), (0.0, 0.0)):
        found = SOI(**options).fit(redundancy(2, rho).sample(2000, 0)).estimate()
        for name in ("tc", "dtc"):
            assert abs(found[name].value - truth) < 0.4


def test_by_name():
    x = redundancy().sample(120, 0)
    columns = [v[:, 0] for v in x]
    for front in (pl.estimate.total_correlation, pl.estimate.dual_total_correlation, pl.estimate.o_information):
        assert "soi" in front(*columns, method="soi", steps=5).method
    whole = pl.estimate.o_information(np.hstack(x), method="soi", rng=0, steps=5)
    assert whole.value == score_information(*columns, rng=0, steps=5).value
    assert score_information(np.hstack(x), quantity="s_information", rng=0, steps=5).value == pytest.approx(
        sum(
            score_information(*columns, quantity=q, rng=0, steps=5).value
            for q in ("total_correlation", "dual_total_correlation")
        )
    )


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = SOI(order=2, **QUICK).fit(redundancy().sample(100, 0)).plot()
    assert len(ax.patches) == 3
    import matplotlib.pyplot as plt

    plt.close(ax.figure)


def test_hostile_input():
    x = redundancy().sample(60, 0)
    with pytest.raises(ValueError, match="order"):
        SOI(order=3)
    with pytest.raises(ValueError, match="at least two variables"):
        SOI(**QUICK).fit([x[0]])
    with pytest.raises(ValueError, match="x1 holds NaN"):
        SOI(**QUICK).fit([x[0], np.full(60, np.nan)])
    with pytest.raises(ValueError, match="b is constant"):
        SOI(**QUICK).fit({"a": x[0], "b": np.ones(60)})
    with pytest.raises(ValueError, match="x1 has 59"):
        SOI(**QUICK).fit([x[0], x[1][1:]])
    with pytest.raises(ValueError, match="order 2"):
        SOI(**QUICK).fit(x).gradient()
    with pytest.raises(ValueError, match="call fit"):
        SOI().estimate()
    fitted = SOI(order=2, **QUICK).fit(dict(zip("abc", x)))
    with pytest.raises(ValueError, match="variables of fit"):
        fitted.estimate({"a": x[0], "b": x[1], "d": x[2]})
    with pytest.raises(ValueError, match="form"):
        fitted.gradient(form="both")
    with pytest.raises(ValueError, match="quantity"):
        score_information(*x, quantity="entropy")
    with pytest.raises(ValueError, match="give the variables"):
        score_information()
    with pytest.raises(ValueError, match="too few"):
        score_information(*(v[:20] for v in x))


@pytest.mark.slow
@pytest.mark.parametrize("task", [redundancy(), synergy(), product_synergy()], ids=lambda t: t.name)
def test_defaults_find_the_sign(task):
    found = score_information(*task.sample(10_000, 0), rng=0)
    assert abs(found.value - task.truth) < 0.15
    assert found.value * task.truth > 0
