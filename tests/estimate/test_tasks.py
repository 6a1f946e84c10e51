import math

import numpy as np
import pytest
from scipy import integrate, stats

from plogp.estimate import tasks


def information_on_a_grid(density, x, y):
    """Mutual information by the trapezoid rule on a grid."""
    p = density(x[:, None], y[None, :])
    px, py = integrate.trapezoid(p, y, axis=1), integrate.trapezoid(p, x, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(p > 0, p * np.log(p / (px[:, None] * py[None, :])), 0.0)
    return integrate.trapezoid(integrate.trapezoid(inside, y, axis=1), x)


def test_gaussian_by_quadrature():
    grid = np.linspace(-9, 9, 1201)
    law = stats.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]])
    found = information_on_a_grid(lambda x, y: law.pdf(np.stack(np.broadcast_arrays(x, y), -1)), grid, grid)
    assert found == pytest.approx(tasks.gaussian(0.6).truth, abs=1e-6)


def test_student_by_quadrature():
    # A tangent grid reaches far into the tails.
    t = np.linspace(-1.5695, 1.5695, 1501)
    x, jacobian = np.tan(t), 1 / np.cos(t) ** 2
    law = stats.multivariate_t([0, 0], [[1, 0.5], [0.5, 1]], df=5)
    p = law.pdf(np.stack(np.broadcast_arrays(x[:, None], x[None, :]), -1))
    margin = stats.t(5).pdf(x)
    inside = p * np.log(p / (margin[:, None] * margin[None, :])) * jacobian[:, None] * jacobian[None, :]
    found = integrate.trapezoid(integrate.trapezoid(inside, t, axis=1), t)
    assert found == pytest.approx(tasks.student(5, 0.5).truth, abs=5e-4)


@pytest.mark.parametrize("eps", [0.3, 0.5, 2.0])
def test_uniform_additive_by_quadrature(eps):
    x, y = np.linspace(0, 1, 1501), np.linspace(-eps, 1 + eps, 3001)
    found = information_on_a_grid(lambda a, b: (np.abs(b - a) <= eps) / (2 * eps), x, y)
    assert found == pytest.approx(tasks.uniform_additive(eps).truth, abs=5e-3)


def test_mixed_uniform_by_hand():
    # Y has density 1/(2m) on the first and last unit interval and 1/m between.
    m = 4
    h = 2 / (2 * m) * math.log(2 * m) + (m - 1) / m * math.log(m)
    assert tasks.mixed_uniform(m).truth == pytest.approx(h - math.log(2))


def test_poisson_by_monte_carlo():
    task = tasks.zero_inflated_poisson(0.15)
    rng = np.random.default_rng(0)
    x, y = (v[:, 0] for v in task.sample(400_000, rng))
    given = 0.85 * stats.poisson.pmf(y, x) + 0.15 * (y == 0)
    margin = 0.85 * 0.5 ** (y + 1.0) + 0.15 * (y == 0)
    local = np.log(given / margin)
    assert local.mean() == pytest.approx(task.truth, abs=4 * local.std() / math.sqrt(len(local)))


def test_labels_by_monte_carlo():
    task = tasks.mixed_labels(1.5, (0.2, 0.3, 0.5))
    c, y = task.sample(300_000, 0)
    dens = stats.norm.pdf(y[:, None], 1.5 * np.arange(3))
    local = np.log(dens[np.arange(len(c)), c] / (dens @ [0.2, 0.3, 0.5]))
    assert local.mean() == pytest.approx(task.truth, abs=4 * local.std() / math.sqrt(len(local)))


@pytest.mark.parametrize("law", ["normal", "uniform", "exponential", "laplace", "logistic", "cauchy", "gumbel"])
def test_entropies_are_scipys(law):
    scipys = {"normal": "norm", "exponential": "expon", "gumbel": "gumbel_r"}.get(law, law)
    task = tasks.continuous_entropy(law)
    assert task.truth == pytest.approx(float(getattr(stats, scipys).entropy()), abs=1e-9)
    (x,) = task.sample(2000, 1)
    assert stats.kstest(x, scipys).pvalue > 1e-3


def test_vectors_and_maps():
    sigma = np.eye(3) * 0.5 + 0.5
    task = tasks.gaussian_vector(sigma, 2)
    assert task.truth == pytest.approx(0.5 * math.log(np.linalg.det(sigma[:2, :2]) / np.linalg.det(sigma)))
    x, y = task.sample(10, 0)
    assert (x.shape, y.shape) == ((10, 2), (10, 1))
    raw, mapped = tasks.gaussian(0.5).sample(50, 1), tasks.half_cube(0.5).sample(50, 1)
    assert (np.argsort(raw[0][:, 0]) == np.argsort(mapped[0][:, 0])).all()
    assert tasks.gaussian_entropy_task(3, 0.5).truth == pytest.approx(
        stats.multivariate_normal(cov=sigma).entropy(), abs=1e-9
    )


def test_series_follow_their_equation():
    x, y = tasks.var_process(0.5, 0.6).sample(50_000, 0)
    rest = y[1:] - 0.5 * y[:-1] - 0.6 * x[:-1]
    assert rest.std() == pytest.approx(1.0, abs=0.02)
    assert abs(np.corrcoef(rest[1:], rest[:-1])[0, 1]) < 0.02


def test_same_seed_same_sample():
    for task in [
        *tasks.mutual_information_tasks(),
        tasks.var_process(),
        tasks.discrete_table([[0.5, 0.25], [0.25, 0]]),
    ]:
        one, two = task.sample(20, 3), task.sample(20, 3)
        assert all((a == b).all() for a, b in zip(one, two))


@pytest.mark.parametrize(
    "make",
    [
        lambda: tasks.gaussian(1.0),
        lambda: tasks.gaussian(),
        lambda: tasks.gaussian(0.5, information=1.0),
        lambda: tasks.gaussian(information=-1.0),
        lambda: tasks.student(0),
        lambda: tasks.uniform_additive(0),
        lambda: tasks.mixed_uniform(1),
        lambda: tasks.zero_inflated_poisson(1.0),
        lambda: tasks.mixed_labels(1.0, (0.5, 0.6)),
        lambda: tasks.discrete_table([[0.5, 0.6]]),
        lambda: tasks.continuous_entropy("zipf"),
        lambda: tasks.gaussian_vector(np.eye(2), 2),
        lambda: tasks.var_process(1.0),
        lambda: tasks.gaussian(0.5).sample(0),
    ],
)
def test_impossible_tasks(make):
    with pytest.raises(ValueError):
        make()
