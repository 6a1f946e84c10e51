import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

import plogp as pl
from plogp.estimate import kozachenko_leonenko, tasks
from plogp.estimate.compression import (
    CompressedMI,
    PrincipalComponents,
    compressed_mutual_information,
    compression_loss_bound,
)


def test_components_are_sklearns():
    x = np.random.default_rng(0).normal(size=(200, 7)) * np.arange(1, 8) + 3
    mine, theirs = PrincipalComponents(3).fit(x), PCA(3).fit(x)
    assert np.abs(mine.components_ @ theirs.components_.T) == pytest.approx(np.eye(3), abs=1e-9)
    assert mine.explained_variance_ == pytest.approx(theirs.explained_variance_)
    assert mine.explained_variance_ratio_ == pytest.approx(theirs.explained_variance_ratio_)
    assert np.abs(mine.transform(x[:5])) == pytest.approx(np.abs(theirs.transform(x[:5])))
    wide = x[:4]  # more columns than rows
    assert PrincipalComponents(3).fit_transform(wide).shape == (4, 3)


def test_any_transformer_will_do():
    x, y = tasks.images_of("gaussian", information=2.0).sample(600, 0)
    mine = CompressedMI(2, 2).fit_estimate(x, y)
    theirs = CompressedMI(PCA(2), PCA(2)).fit_estimate(x, y)
    assert mine.value == pytest.approx(theirs.value, abs=1e-6)
    compressor = PCA(2)
    CompressedMI(compressor, None).fit(x, y)
    assert not hasattr(compressor, "components_")  # a copy was fitted


@pytest.mark.parametrize("information", [1.0, 3.0, 5.0])
def test_images(information):
    x, y = tasks.images_of("gaussian", information=information).sample(2000, 1)
    found = CompressedMI(2, 2).fit_estimate(x, y)
    assert found.value == pytest.approx(information, abs=0.25)
    assert found.terms.mean() == pytest.approx(found.value)


@pytest.mark.parametrize("base", ["weighted_kozachenko_leonenko", "kozachenko_leonenko"])
def test_intervals_cover(base):
    task = tasks.gaussian(0.6, 2)
    hits = 0
    for seed in range(60):
        x, y = task.sample(400, seed)
        low, high = CompressedMI(base=base).fit_estimate(x, y).interval(0.95)
        hits += low <= task.truth <= high
    assert hits >= 50


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(-3, 3))
def test_invertible_linear_maps_change_nothing(seed, log_scale):
    rng = np.random.default_rng(seed)
    x, y = tasks.gaussian(0.7, 2).sample(150, rng)
    a = rng.normal(size=(2, 2)) + 2 * np.eye(2)
    plain = CompressedMI().fit_estimate(x, y).value
    assert CompressedMI().fit_estimate(x @ a * 10**log_scale + 5, y).value == pytest.approx(plain, abs=1e-6)


def test_whitening_is_taken_back():
    # One entropy by hand: that of whitened points plus ½ log det of the covariance.
    x, y = tasks.gaussian(0.9).sample(500, 0)
    total = 0.0
    for part, sign in ((x, 1), (y, 1), (np.hstack([x, y]), -1)):
        root = np.linalg.cholesky(np.atleast_2d(np.cov(part, rowvar=False)))
        white = np.linalg.solve(root, (part - part.mean(0)).T).T
        total += sign * (kozachenko_leonenko(white, k=3).value + np.log(np.diag(root)).sum())
    found = CompressedMI(base=lambda v: kozachenko_leonenko(v, k=3)).fit_estimate(x, y)
    assert found.value == pytest.approx(total, abs=1e-9)


def test_labels():
    task = tasks.mixed_labels(2.0, (0.3, 0.7))
    c, y = task.sample(3000, 0)
    found = CompressedMI().fit_estimate(y, c)
    assert found.value == pytest.approx(task.truth, abs=0.05)
    named = np.array(["a", "b"])[c]
    assert compressed_mutual_information(named, y).value == found.value
    assert compressed_mutual_information(y, c).value == found.value
    hits = 0
    for seed in range(60):
        c, y = task.sample(400, seed)
        low, high = CompressedMI().fit_estimate(y, c).interval(0.95)
        hits += low <= task.truth <= high
    assert hits >= 52


def test_through_the_front_end():
    x, y = tasks.images_of("gaussian", information=2.0).sample(800, 0)
    found = pl.estimate.mutual_information(x, y, method="compressed", components=2)
    assert found.value == pytest.approx(2.0, abs=0.25)
    assert "2 PCs" in found.method
    assert compressed_mutual_information(x, y, components=(2, 3)).method.count("PCs") == 2
    z = x[:, :3]
    assert "as is" in compressed_mutual_information(z, z + np.random.default_rng(0).normal(size=z.shape)).method


def test_fit_and_estimate_on_other_samples():
    task = tasks.images_of("gaussian", information=2.0)
    fitted = CompressedMI(2, 2).fit(*task.sample(500, 0))
    assert fitted.estimate(*task.sample(1500, 1)).value == pytest.approx(2.0, abs=0.3)
    assert fitted.get_params()["x_compressor"] == 2


def test_constants_and_repeated_columns():
    x, y = tasks.gaussian(0.8, 2).sample(300, 0)
    for one in (np.ones(300), np.ones((300, 9))):
        for found in (compressed_mutual_information(x, one), CompressedMI(1, 1).fit_estimate(one.reshape(300, -1), y)):
            assert (found.value, found.se) == (0.0, 0.0)
    assert compressed_mutual_information(x, ["a"] * 300).value == 0.0
    twice = compressed_mutual_information(np.hstack([x, x]), np.hstack([y, y[:, :1]]))
    assert twice.value == pytest.approx(compressed_mutual_information(x, y).value, abs=1e-6)


def test_loss_bound_by_hand_and_as_a_bound():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6))
    values = np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1]
    for kept in range(7):
        by_hand = 0.5 * np.log(1 + values[kept:] / 0.09).sum()
        assert compression_loss_bound(x, kept, 0.3) == pytest.approx(by_hand, rel=1e-9)
    bounds = compression_loss_bound(x, [0, 3, 6], 0.3)
    assert bounds[-1] == 0
    assert (np.diff(bounds) < 0).all()
    few = compression_loss_bound(x[:3], 1, 0.3)  # fewer rows than columns
    assert math.isfinite(few)
    # Reached where Y is the dropped signal itself, seen without further noise (a limit).
    sigma, variances = 0.3, np.array([4.0, 1.0])
    true = 0.5 * math.log(1 + variances[1] / sigma**2)
    exact = rng.normal(size=(100_000, 2)) * np.sqrt(variances)
    assert compression_loss_bound(exact, 1, sigma) == pytest.approx(true, abs=0.02)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x, y: CompressedMI(9, 2).fit(x, y), ValueError, "directions"),
        (lambda x, y: CompressedMI(0, 2).fit(x, y), ValueError, "positive integer"),
        (lambda x, y: CompressedMI("pca").fit(x, y), ValueError, "transform"),
        (lambda x, y: CompressedMI().estimate(x, y), ValueError, "not fitted"),
        (lambda x, y: CompressedMI(base="ksg").fit_estimate(x, y), ValueError, "base"),
        (lambda x, y: CompressedMI().fit_estimate(np.hstack([x, x]), y), ValueError, "flat subspace"),
        (lambda x, y: CompressedMI().fit_estimate(x, y[:-1]), ValueError, "samples"),
        (lambda x, y: CompressedMI().fit_estimate(x * np.nan, y), ValueError, "NaN"),
        (lambda x, y: CompressedMI().fit_estimate(x[:2], y[:2]), ValueError, "flat"),
        (lambda x, y: CompressedMI(None, 2).fit(x, np.arange(len(x)) % 2), TypeError, "labels"),
        (lambda x, y: CompressedMI().fit(np.array(["a"] * len(x)), y), TypeError, "labels"),
        (lambda x, y: CompressedMI().fit_estimate(x, [0] * (len(x) - 1) + [1]), ValueError, "class 1"),
        (lambda x, y: CompressedMI(base=lambda v: pl.Estimate(1.0)).fit_estimate(x, y), ValueError, "terms"),
        (lambda x, y: compressed_mutual_information([0, 1], [1, 0]), TypeError, "labels"),
        (lambda x, y: compressed_mutual_information(x, y, components=(1, 2, 3)), ValueError, "pair"),
        (lambda x, y: CompressedMI(2, 2).fit(x, y).estimate(x[:, :2], y), ValueError, "columns"),
        (lambda x, y: compression_loss_bound(x, 4, 0.1), ValueError, "between 0 and 3"),
        (lambda x, y: compression_loss_bound(x, 1.5, 0.1), ValueError, "integer"),
        (lambda x, y: compression_loss_bound(x, 1, 0.0), ValueError, "sigma"),
        (lambda x, y: compression_loss_bound(x[:1], 1, 0.1), ValueError, "2 rows"),
    ],
)
def test_bad_input(call, error, said):
    x, y = tasks.gaussian(0.5, 3).sample(60, 0)
    with pytest.raises(error, match=said):
        call(x, y)
