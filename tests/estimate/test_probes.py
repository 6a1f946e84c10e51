import math

import numpy as np
import pytest

from plogp.estimate.probes import Wilson, linear_probe

pytest.importorskip("sklearn")


def two_normals(n, d, shift, rng):
    y = rng.permutation(np.repeat([0, 1], n // 2))
    Z = rng.normal(size=(n, d))
    Z[:, 0] += shift * y
    return Z, y


def test_wilson_is_statsmodels_formula():
    # Wilson's interval solves |p - share| = z √(p(1-p)/n) for p.
    for share, n in [(0.3, 20), (0.95, 57)]:
        for p in Wilson(share, n)(0.9):
            assert abs(p - share) == pytest.approx(1.6448536269514722 * math.sqrt(p * (1 - p) / n), rel=1e-9)
    assert Wilson(0.0, 9)(0.95)[0] == 0.0
    assert Wilson(1.0, 9)(0.95)[1] == 1.0


def test_cross_validation_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    Z, y = two_normals(150, 4, 1.0, np.random.default_rng(0))
    seed = int(np.random.default_rng(3).integers(2**31))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000))
    predicted = cross_val_predict(model, Z, y, cv=StratifiedKFold(4, shuffle=True, random_state=seed))
    found = linear_probe(Z, y, folds=4, C=0.5, rng=3)
    np.testing.assert_array_equal(found.terms, predicted == y)
    assert found.value == np.mean(predicted == y)
    assert np.mean(found.diagnostics["folds"]) == pytest.approx(found.value, abs=0.01)


def test_known_accuracy_on_a_test_set():
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    inside = []
    for _ in range(60):
        train, test = two_normals(2000, 2, 2.0, rng), two_normals(200, 2, 2.0, rng)
        low, high = linear_probe(*train, *test).interval(0.95)
        inside.append(low < norm.cdf(1.0) < high)  # the best possible rule errs with Φ(-1)
    assert np.mean(inside) >= 0.88


def test_scale_does_not_matter_and_labels_are_names():
    rng = np.random.default_rng(2)
    Z, y = two_normals(100, 3, 2.0, rng)
    names = np.where(y == 1, "yes", "no")
    scaled = linear_probe(Z * [1e-8, 1.0, 1e8] + 5, names)
    assert scaled.value == linear_probe(Z, y).value
    assert scaled.diagnostics["chance"] == 0.5
    assert linear_probe(Z * [1e-8, 1.0, 1e8], names, scale=False, max_iter=20000).value < scaled.value
    assert linear_probe(Z, y, rng=5).value == linear_probe(Z, y, rng=5).value


def test_tensors():
    torch = pytest.importorskip("torch")
    Z, y = two_normals(80, 2, 2.0, np.random.default_rng(3))
    found = linear_probe(torch.tensor(Z, requires_grad=True), torch.tensor(y))
    assert found.value == linear_probe(Z, y).value


def test_hostile_input():
    rng = np.random.default_rng(4)
    Z, y = two_normals(40, 2, 1.0, rng)
    with pytest.raises(ValueError, match="at least two classes"):
        linear_probe(Z, np.zeros(40))
    with pytest.raises(ValueError, match=r"y must have shape \(40,\)"):
        linear_probe(Z, y[1:])
    with pytest.raises(ValueError, match="smallest class"):
        linear_probe(Z, np.r_[y[:-1], 7])
    with pytest.raises(ValueError, match="together"):
        linear_probe(Z, y, Z)
    with pytest.raises(ValueError, match="2 columns"):
        linear_probe(Z, y, Z[:, :1], y)
    with pytest.raises(ValueError, match="y lacks"):
        linear_probe(Z, y, Z, y + 1)
    with pytest.raises(ValueError, match="Z holds NaN"):
        linear_probe(np.where(Z > 2, np.nan, Z), y)
    with pytest.raises(ValueError, match="y holds NaN"):
        linear_probe(Z, np.where(y == 1, np.nan, 0.0))
