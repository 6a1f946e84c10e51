import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from plogp.estimate import tasks
from plogp.estimate.tasks import maps, mixtures, vectors


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


#: I(X;Y) of the 40 tasks as the package of the benchmark's authors prints it (benchmark-mi 0.1.3).
BENCHMARK_MI = [
    *(0.41333928659223396, 0.41333928659223396, 1.7094379663467407, 0.3333333333333333, 0.41333928659223396),
    *(0.41333928659223396, 0.41333928659223396, 0.22417142752923613, 0.22417142752923613, 0.41333928659223396),
    *(0.2938933324510593, 0.41333928659223407, 0.5928118328288701, 1.2921837216593204, 1.6242653743036897),
    *[1.0216512475319819] * 4,
    *(0.43194562200144127, 0.1931471805599454, 0.29092192268276484, 0.17871185309236282, 0.44815067691532917),
    0.29854362265275824,
    *[1.0216512475319819] * 12,
    *(0.43194562200144127, 0.29092192268276484, 0.44815067691532917),
]


def test_beyond_normal_has_the_truths_of_its_authors():
    mine = tasks.beyond_normal()
    assert [task.truth for task in mine] == pytest.approx(BENCHMARK_MI, abs=1e-7)  # one of theirs is in float32
    for task in mine:
        x, y = task.sample(20, 1)
        assert x.shape[0] == y.shape[0] == 20
        assert np.isfinite(x).all()
        assert np.isfinite(y).all()
    names = {task.name for task in mine}
    assert {task.name for task in tasks.beyond_normal_core()} <= names


@pytest.mark.parametrize("task", [t for t in tasks.beyond_normal() if "of" not in t.name and "+" in t.name])
def test_vectors_follow_their_law(task):
    # The mean of log p(x,y) - log p(x) - log p(y) with SciPy's densities of the law that the task names.
    x, y = task.sample(4000, 0)
    d = x.shape[1]
    whole = vectors.dense_correlation(2 * d) if "dense" in task.name else np.eye(2 * d)
    if "two_pair" in task.name:
        for i in range(2):
            whole[i, d + i] = whole[d + i, i] = 0.8
    df = float(task.name.split("df=")[1].split(",")[0]) if "df=" in task.name else np.inf
    laws = [stats.multivariate_t(None, s, df=df) for s in (whole, whole[:d, :d], whole[d:, d:])]
    joint, px, py = (law.logpdf(v) for law, v in zip(laws, (np.hstack([x, y]), x, y)))
    local = joint - px - py
    assert local.mean() == pytest.approx(task.truth, abs=4 * local.std() / math.sqrt(len(local)))


def test_latent_correlation_is_that_of_its_latent_variables():
    rng = np.random.default_rng(0)
    n, pair, common, own, noise, filler = 200_000, 1.5, 0.4, 0.3, 0.8, 0.5
    u, ux, uy = rng.standard_normal((3, n, 1))
    z = rng.standard_normal((n, 1)) * pair
    x = common * u + own * ux + noise * rng.standard_normal((n, 3))
    y = common * u + own * uy + noise * rng.standard_normal((n, 2))
    for v in (x, y):
        v[:, :1] += z
        v[:, 1:] += filler * rng.standard_normal((n, v.shape[1] - 1))
    found = np.corrcoef(np.hstack([x, y]), rowvar=False)
    want = vectors.latent_correlation(3, 2, 1, pair=pair, common=common, own=own, noise=noise, filler=filler)
    assert found == pytest.approx(want, abs=0.01)


def test_maps_are_one_to_one():
    z = np.linspace(-8, 8, 4001)[:, None]
    for name in ("asinh", "bimodal", "half_cube", "wiggly"):
        for f in maps.MAPS[name]:
            assert (np.diff(f(z)[:, 0]) > 0).all(), name
    u = maps.through_normal_cdf(np.linspace(-4, 4, 4001)[:, None])
    roll = maps.swiss_roll(u)
    assert (np.diff(np.linalg.norm(roll, axis=1)) > 0).all()  # the radius alone tells where a point was
    rng = np.random.default_rng(0)
    for d in (2, 3, 7):
        x = rng.standard_normal((50, d))
        for f, plane in zip(maps.MAPS["spiral"], ((0, 1), (1, 2) if d > 2 else (0, 1))):
            turned = f(x)
            assert np.linalg.norm(turned, axis=1) == pytest.approx(np.linalg.norm(x, axis=1))
            assert maps.spiralled(turned, plane, -1 / d) == pytest.approx(x)
            assert abs(turned - x).max() > 0.1


def test_bimodal_margins():
    z = np.concatenate([np.linspace(-30, 30, 601), [0.0]])
    low, high = maps.MAPS["bimodal"]
    for x, weights, means in ((low(z), (0.3, 0.7), (0, 5)), (high(z), (0.5, 0.5), (-1, 3))):
        left = sum(w * stats.norm.cdf(x - m) for w, m in zip(weights, means))
        right = sum(w * stats.norm.sf(x - m) for w, m in zip(weights, means))
        small = z <= 0
        assert left[small] == pytest.approx(stats.norm.cdf(z[small]), rel=1e-9)
        assert right[~small] == pytest.approx(stats.norm.sf(z[~small]), rel=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        mixtures.x_shape,
        mixtures.v_shape,
        mixtures.ai_shape,
        lambda: mixtures.gaussian_mixture([[-1, 0], [1, 2]], [np.eye(2), np.eye(2) / 9], 1, weights=(0.3, 0.7)),
    ],
)
def test_mixtures_in_the_plane_by_entropies(make):
    # I = h(X) + h(Y) - h(X,Y) by plain sums over a fine grid: no pointwise information, no whitening.
    law = make().draw.__self__
    edge = np.abs(law.means).max() + 9 * math.sqrt(law.covariances.max())
    axis = np.linspace(-edge, edge, int(2 * edge / 0.008))
    p = np.zeros((len(axis), len(axis)))
    for w, m, s in zip(law.weights, law.means, law.covariances):
        inverse = np.linalg.inv(s)
        a, b = axis[:, None] - m[0], axis[None, :] - m[1]
        square = inverse[0, 0] * a * a + 2 * inverse[0, 1] * a * b + inverse[1, 1] * b * b
        p += w * np.exp(-0.5 * square) / (2 * math.pi * math.sqrt(np.linalg.det(s)))
    step = axis[1] - axis[0]
    p *= step * step
    entropies = [float(special.entr(q).sum()) for q in (p.sum(1), p.sum(0), p)]
    assert entropies[0] + entropies[1] - entropies[2] == pytest.approx(law.integrated(), abs=1e-6)


@pytest.mark.parametrize("make", [mixtures.galaxy, lambda: mixtures.concentric(2), lambda: mixtures.waves(4)])
def test_mixtures_in_space_by_monte_carlo(make, monkeypatch):
    laws = []
    whole = mixtures._Mixture.__init__
    monkeypatch.setattr(mixtures._Mixture, "__init__", lambda self, *a: (whole(self, *a), laws.append(self))[0])
    task = make()
    value, se = laws[0].sampled()
    assert task.truth == pytest.approx(value, abs=4 * se)
    assert task.truth_se == 0
    assert se < 0.005


def test_large_mixtures_state_their_error():
    task = mixtures.concentric(5)
    assert 0 < task.truth_se < 0.002
    assert tasks.transformed(task, "same", None, None).truth_se == task.truth_se
    assert mixtures.multinormal_with_inliers(4, 4).truth < tasks.multinormal_two_pair(4, 4).truth


@pytest.mark.parametrize(("shape", "d"), [("gaussian", 2), ("rectangle", 4)])
def test_images_can_be_read_back(shape, d):
    # The parameters are found again from the pixels: nothing is lost.
    task = tasks.images_of(shape, information=2.0)
    x, y = task.sample(60, 5)
    z = tasks.gaussian(information=2.0, d=d).sample(60, 5)
    assert x.shape == y.shape == (60, 256)
    assert x.min() >= 0
    assert x.max() <= 1
    for image, numbers in zip((x, y), z):
        u = stats.norm.cdf(numbers)
        picture = image.reshape(60, 16, 16)
        for axis in (0, 1):
            profile = picture.max(axis=2 - axis)
            profile /= profile.max(axis=1, keepdims=True)
            if shape == "gaussian":
                # The log of a Gaussian profile is a parabola; its top is the centre.
                a, b, _ = np.array([np.polyfit((np.arange(16) + 0.5) / 16, np.log(p), 2) for p in profile]).T
                assert (-b / (2 * a) - 0.5) / 0.1 == pytest.approx(numbers[:, axis], abs=1e-6)
            else:
                extent = profile.sum(axis=1)
                assert (extent / 16 - 0.25) / 0.35 == pytest.approx(u[:, 2 + axis], abs=1e-6)
                first = (profile > 0).argmax(axis=1)
                start = first + 1 - profile[np.arange(60), first]
                assert start / 6.4 == pytest.approx(u[:, axis], abs=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tasks.mapped(tasks.gaussian(0.5), "knot"),
        lambda: tasks.mapped(tasks.gaussian(0.5), "spiral").sample(5, 0),
        lambda: tasks.mapped(tasks.gaussian(0.5, 2), "swiss_roll").sample(5, 0),
        lambda: tasks.gaussian_vector([[1.0, 2.0], [2.0, 1.0]], 1),
        lambda: tasks.gaussian_vector([[1.0, 0.2], [0.4, 1.0]], 1),
        lambda: tasks.gaussian_vector([1.0, 2.0], 1),
        lambda: tasks.student_vector(-1, np.eye(2), 1),
        lambda: vectors.latent_correlation(2, 3, 3),
        lambda: tasks.gaussian_mixture([[0, 0]], [np.eye(3)], 1),
        lambda: tasks.gaussian_mixture([[0, 0]], [np.eye(2)], 2),
        lambda: tasks.gaussian_mixture([[0, 0]], [-np.eye(2)], 1),
        lambda: tasks.gaussian_mixture([[0, 0]] * 2, [np.eye(2)] * 2, 1, weights=(0.5, 0.6)),
        lambda: tasks.images_of("circle", 0.5),
        lambda: tasks.images_of("gaussian", 0.5, size=4),
        lambda: tasks.images_of("gaussian", 0.5, width=0.0),
        lambda: tasks.waves(0),
        lambda: tasks.concentric(0),
        lambda: tasks.multinormal_with_inliers(2, 2, share=1.0),
    ],
)
def test_impossible_vectors_and_shapes(make):
    with pytest.raises(ValueError):
        make()
