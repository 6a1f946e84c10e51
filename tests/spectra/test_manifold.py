import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.spectra.manifold import ball_capacity, manifold_capacity


def clouds(classes=4, n=30, d=12, spread=0.5, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    labels = rng.permutation(np.repeat(np.arange(classes), n))
    return centres[labels] + spread * rng.normal(size=(classes * n, d)) * rng.random(d), labels


def by_definition(Z):
    centre = Z.mean(0)
    deviations = (Z - centre) / math.sqrt(len(Z))
    s = np.linalg.svd(deviations, compute_uv=False)
    return np.linalg.norm(deviations) / np.linalg.norm(centre), s.sum() ** 2 / (s**2).sum()


def test_radius_and_dimension_by_definition():
    Z, labels = clouds()
    found = manifold_capacity(Z, labels)
    expected = np.array([by_definition(Z[labels == c]) for c in range(4)])
    np.testing.assert_allclose(found.radius, expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.dimension, expected[:, 1], rtol=1e-12)
    np.testing.assert_allclose(found.capacity, ball_capacity(expected[:, 0], expected[:, 1]), rtol=1e-12)
    assert found.mean["capacity"] == pytest.approx(1 / np.mean(1 / found.capacity))
    assert found.counts.tolist() == [30] * 4
    assert "4 classes" in repr(found)


def test_nuclear_norm_is_radius_times_root_of_dimension():
    Z, labels = clouds()
    found = manifold_capacity(Z, labels)
    for i, c in enumerate(found.classes):
        points = Z[labels == c]
        nuclear = np.linalg.norm(points - points.mean(0), "nuc")
        expected = nuclear / math.sqrt(len(points)) / np.linalg.norm(points.mean(0))
        assert found.radius[i] * math.sqrt(found.dimension[i]) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(1e-3, 1e3))
def test_invariances(seed, scale):
    Z, labels = clouds(seed=seed)
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    order = rng.permutation(len(Z))
    a, b = manifold_capacity(Z, labels), manifold_capacity(scale * Z[order] @ turn, labels[order])
    np.testing.assert_allclose(a.radius, b.radius, rtol=1e-9)
    np.testing.assert_allclose(a.dimension, b.dimension, rtol=1e-9)
    moved = manifold_capacity(Z + 7, labels, center=True)
    np.testing.assert_allclose(moved.radius, manifold_capacity(Z, labels, center=True).radius, rtol=1e-9)


def test_tensors_and_gradients():
    torch = pytest.importorskip("torch")
    Z, labels = clouds(classes=2, n=8, d=5)
    tensor = torch.tensor(Z, requires_grad=True)
    found = manifold_capacity(tensor, torch.tensor(labels))
    np.testing.assert_allclose(found.radius.detach().numpy(), manifold_capacity(Z, labels).radius, rtol=1e-10)
    assert not found.capacity.requires_grad
    assert torch.autograd.gradcheck(lambda z: manifold_capacity(z, labels).radius, tensor)
    assert torch.autograd.gradcheck(lambda z: manifold_capacity(z, labels).dimension, tensor)
    half = manifold_capacity(tensor.detach().bfloat16(), labels)
    assert half.radius.dtype == torch.float32
    np.testing.assert_allclose(half.radius, manifold_capacity(Z, labels).radius, rtol=0.02)


def test_limits_of_the_capacity():
    for dimension in (0.5, 1.0, 4.0, 300.0):
        assert ball_capacity(0.0, dimension) == 2.0
        assert ball_capacity(1e-9, dimension) == pytest.approx(2.0, rel=1e-6)
        assert ball_capacity(1.0, dimension) == pytest.approx(2 / (dimension + 1), rel=1e-10)  # a self-dual cone
        assert ball_capacity(np.inf, dimension) == pytest.approx(1 / (dimension + 0.5), rel=1e-12)
        assert ball_capacity(1e8, dimension) == pytest.approx(1 / (dimension + 0.5), rel=1e-6)
    assert ball_capacity(3.0, 0.0) == 2.0
    grid = ball_capacity(np.linspace(0, 5, 30)[:, None], np.array([0.7, 2, 9, 50]))
    assert grid.shape == (30, 4)
    assert (np.diff(grid, axis=0) < 0).all()
    assert (np.diff(grid[1:], axis=1) < 0).all()


def test_capacity_by_simulated_projection():
    """The mean squared distance of a normal vector from the cone, with the projection found numerically."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    radius, dimension = 0.7, 3
    distances = []
    for _ in range(400):
        t = rng.normal(size=dimension + 1)
        tau = np.linalg.norm(t[1:])
        # Within the plane of the axis and t: v0 >= R s.
        best = minimize(
            lambda v, t=t, tau=tau: (v[0] - t[0]) ** 2 + (v[1] - tau) ** 2,
            x0=[1.0, 0.1],
            bounds=[(0, None), (0, None)],
            constraints={"type": "ineq", "fun": lambda v: v[0] - radius * v[1]},
            method="SLSQP",
        )
        distances.append(best.fun)
    need, error = np.mean(distances), np.std(distances) / 20
    assert abs(1 / ball_capacity(radius, dimension) - need) < 4 * error


@pytest.mark.slow
def test_capacity_by_separating_balls():
    """Balls in random directions stop being separable near the number that the capacity says."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(0)
    space, dimension, radius = 60, 3, 0.7

    def separable(count):
        centres = rng.normal(size=(count, space)) / math.sqrt(space)
        axes = [np.linalg.qr(rng.normal(size=(space, dimension)))[0] for _ in range(count)]
        signs = rng.choice([-1.0, 1.0], count)
        size = radius * np.linalg.norm(centres, axis=1)
        points = signs[:, None] * centres
        for _ in range(300):  # cutting planes: the worst point of each ball under the best weights so far
            answer = linprog(
                np.r_[np.zeros(space), -1.0],
                A_ub=np.c_[-points, np.ones(len(points))],
                b_ub=np.zeros(len(points)),
                bounds=[(-1, 1)] * space + [(None, 1.0)],
            )
            w, margin = answer.x[:-1], answer.x[-1]
            if margin <= 1e-9:
                return False
            shadows = np.array([a.T @ w for a in axes])
            lengths = np.linalg.norm(shadows, axis=1)
            value = signs * (centres @ w) - size * lengths
            worst = value < margin - 1e-6
            if (value > 0).all():
                return True
            new = [signs[i] * centres[i] - size[i] * axes[i] @ shadows[i] / lengths[i] for i in np.flatnonzero(worst)]
            points = np.vstack([points, new])
        return False

    critical = ball_capacity(radius, dimension) * space
    below = np.mean([separable(round(0.75 * critical)) for _ in range(12)])
    above = np.mean([separable(round(1.35 * critical)) for _ in range(12)])
    assert below >= 0.75
    assert above <= 0.25


def test_points_and_hostile_input():
    Z = np.r_[np.ones((3, 4)), np.random.default_rng(0).normal(size=(5, 4)), np.full((1, 4), 2.0)]
    labels = ["same"] * 3 + ["cloud"] * 5 + ["single"]
    found = manifold_capacity(Z, labels)
    at = dict(zip(found.classes, zip(found.radius, found.dimension, found.capacity)))
    assert at["same"] == at["single"] == (0.0, 0.0, 2.0)
    assert at["cloud"][0] > 0
    centred = manifold_capacity([[1.0, 2.0], [3.0, 5.0]], [0, 0], center=True)
    assert np.isinf(centred.radius[0])  # the only class's centroid is the mean
    assert centred.capacity[0] == pytest.approx(1 / 1.5)
    with pytest.raises(ValueError, match="one label a row"):
        manifold_capacity(Z, labels[1:])
    with pytest.raises(ValueError, match="NaN"):
        manifold_capacity(np.where(Z == 1, np.nan, Z), labels)
    with pytest.raises(ValueError, match="empty"):
        manifold_capacity(np.empty((0, 3)), [])
    with pytest.raises(ValueError, match="dimension"):
        ball_capacity(-1.0, 2.0)
    with pytest.raises(ValueError, match="NaN"):
        ball_capacity(math.nan, 2.0)
