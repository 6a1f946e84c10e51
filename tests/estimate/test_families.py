import numpy as np
import pytest

from plogp.estimate.gaussian import gaussian_mutual_information
from plogp.estimate.ksg import ksg
from plogp.estimate.tasks import uniform_additive
from plogp.estimate.tasks.families import FAMILIES, TRANSFORMS, lvm, normal_information, sparse, two_pair
from plogp.estimate.tasks.meta import meta_batch, meta_dataset, random_length

SHAPES = [(1, 1), (2, 2), (1, 3), (4, 2)]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("d_x", "d_y"), SHAPES)
def test_shapes_and_truths(name, d_x, d_y):
    x, y, truth = FAMILIES[name](20, 30, d_x, d_y, np.random.default_rng(0))
    assert x.shape == (20, 30, d_x)
    assert y.shape == (20, 30, d_y)
    assert truth.shape == (20,)
    assert x.dtype == y.dtype == np.float32
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    assert (truth >= 0).all()
    assert (truth == 0).all() == (name == "independent")


@pytest.mark.parametrize("name", [name for name in FAMILIES if name.startswith("normal")])
def test_normal_truth_from_many_samples(name):
    x, y, truth = FAMILIES[name](4, 20_000, 3, 2, np.random.default_rng(1))
    for a, b, t in zip(x, y, truth):
        found = gaussian_mutual_information(a, b)
        assert abs(found.value - t) < 4.5 * found.se + 1e-3


@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.startswith("normal")])
def test_truth_by_nearest_neighbours(name):
    x, y, truth = FAMILIES[name](5, 3000, 1, 1, np.random.default_rng(2))
    for a, b, t in zip(x, y, truth):
        found = ksg(a, b, k=4, scale="rank")
        assert found.value == pytest.approx(t, abs=0.12)


def test_heavy_tails_are_shared_by_all_columns():
    """Scales of the columns of a row move together: without that the excess over the normal law would be false."""
    x, y, _ = FAMILIES["student_sparse"](200, 400, 2, 2, np.random.default_rng(3))
    size_x, size_y = (np.log(np.abs(v)).mean(axis=2) for v in (x, y))
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(size_x, size_y)]
    assert np.mean(correlations) > 0.1


def test_additive_noise_has_the_width_its_truth_says():
    x, y, truth = FAMILIES["additive_uniform"](10, 20_000, 2, 3, np.random.default_rng(4))
    width = np.abs(y[..., :2] - x).max(axis=1)
    again = [sum(uniform_additive(float(e)).truth for e in row) for row in width]
    assert truth == pytest.approx(np.array(again), abs=5e-3)
    assert abs(np.corrcoef(x[0, :, 0], y[0, :, 2])[0, 1]) < 0.05


def test_normal_information_by_hand():
    rho = np.array([0.0, 0.6, -0.9])
    stack = np.array([[[1, r], [r, 1]] for r in rho])
    assert normal_information(stack, 1) == pytest.approx(-0.5 * np.log1p(-(rho**2)), abs=1e-12)


def test_number_of_interacting_pairs():
    rng = np.random.default_rng(5)
    links = [np.count_nonzero(c[:4, 4:]) for c in sparse(300, 4, 4, rng)]
    assert set(links) == {1, 2, 3, 4}
    assert {np.count_nonzero(c[:3, 3:]) for c in two_pair(20, 3, 3, rng)} == {2}
    assert {np.count_nonzero(c[:1, 1:]) for c in two_pair(20, 1, 3, rng)} == {1}
    assert all(np.linalg.eigvalsh(c)[0] > 0 for c in lvm(50, 3, 4, rng))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_keep_ranks_up_to_sign(name):
    plain, changed = (meta_batch(6, 40, 2, 3, transforms=[t], rng=7) for t in ("base", name))
    for a, b in zip(plain[:2], changed[:2]):
        assert (a.argsort(axis=1) == b.argsort(axis=1)).all()
    assert (plain[2] == changed[2]).all()
    assert (name == "base") == bool(np.array_equal(plain[0], changed[0]))


def test_batches_are_scrambled_and_repeatable():
    x, y, truth = meta_batch(300, 50, 2, 2, families=["normal_dense"], rng=8)
    again = meta_batch(300, 50, 2, 2, families=["normal_dense"], rng=8)
    assert all(np.array_equal(a, b) for a, b in zip((x, y, truth), again))
    signs = [np.corrcoef(a[:, 0], b[:, 0])[0, 1] > 0 for a, b in zip(x, y)]
    assert 0.35 < np.mean(signs) < 0.65


def test_scrambling_keeps_rows_together():
    x, y, truth = meta_batch(3, 20_000, 3, 3, families=["normal_sparse"], transforms=["base"], rng=9)
    for a, b, t in zip(x, y, truth):
        assert gaussian_mutual_information(a, b).value == pytest.approx(t, abs=0.05)


def test_meta_dataset():
    sets = list(meta_dataset(50, n_range=(12, 30), dims=(1, 3), rng=0, group=4))
    assert len(sets) == 50
    assert {len(x) for x, _, _ in sets} <= set(range(12, 31))
    assert len({len(x) for x, _, _ in sets}) > 5
    assert {x.shape[1] for x, _, _ in sets} == {1, 2, 3} == {y.shape[1] for _, y, _ in sets}
    assert all(len(x) == len(y) and isinstance(t, float) for x, y, t in sets)
    again = meta_dataset(50, n_range=(12, 30), dims=(1, 3), rng=0, group=4)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(sets, again))
    assert {t for _, _, t in meta_dataset(5, families="independent", rng=0)} == {0.0}


def test_lengths_are_log_uniform_with_both_ends():
    rng = np.random.default_rng(0)
    lengths = np.array([random_length((10, 40), rng) for _ in range(20_000)])
    assert lengths.min() == 10
    assert lengths.max() == 40
    assert np.mean(lengths < 20) == pytest.approx(np.log(2) / np.log(4.1), abs=0.02)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"families": ["cauchy"]}, "families must be some of"),
        ({"families": []}, "got none"),
        ({"transforms": ["log"]}, "transforms must be some of"),
        ({"n_range": (50, 10)}, "n_range"),
        ({"dims": (0, 2)}, "dims"),
        ({"group": 0}, "group"),
    ],
)
def test_bad_requests_at_once(options, words):
    with pytest.raises(ValueError, match=words):
        meta_dataset(3, **options)


def test_bad_sizes():
    with pytest.raises(ValueError, match="n must be at least 1"):
        meta_batch(3, 0, 1, 1)
    with pytest.raises(ValueError, match="n and group"):
        meta_dataset(0)
