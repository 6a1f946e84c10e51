import sys

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from plogp.estimate.classifier_divergence import classifier_divergence


def normals(n, d=2, seed=0, shift=1.0, m=None):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m or n, d))
    x[:, 0] += shift
    return x, y


@pytest.mark.parametrize(("name", "truth"), [("kl", 0.5), ("reverse_kl", 0.5), ("js", 0.1114)])
def test_normals_and_their_interval(name, truth):
    found = [classifier_divergence(*normals(400, 2, s, m=600), name, rng=s) for s in range(12)]
    values = np.array([e.value for e in found])
    assert 0.78 * truth < values.mean() < 1.05 * truth  # a lower bound
    assert np.mean([e.interval()[0] <= truth for e in found]) >= 0.9
    assert np.mean([e.interval()[1] >= truth for e in found]) >= 0.5


def test_high_dimension_is_a_lower_bound():
    rng = np.random.default_rng(0)
    e = classifier_divergence(rng.normal(0.6, 1, size=(1000, 10)), rng.normal(size=(1000, 10)), rng=0)
    assert 1.2 < e.value < 1.8 + 3 * e.se


def test_equality_is_not_distinguishable():
    far = sum(classifier_divergence(*normals(200, 3, s, 0.0), "js", rng=0).interval()[0] > 0 for s in range(10))
    assert far == 0


def test_any_classifier():
    x, y = normals(600)
    e = classifier_divergence(x, y, "js", classifier=HistGradientBoostingClassifier(max_iter=30), rng=0)
    assert 0.03 < e.value < 0.15
    assert e.method == "classifier(js, HistGradientBoostingClassifier)"
    assert 0.6 < e.diagnostics["accuracy"] < 0.8


def test_certain_probabilities_are_held_and_counted():
    e = classifier_divergence(*normals(200), "kl", classifier=DecisionTreeClassifier(random_state=0), rng=0)
    assert np.isfinite(e.value)
    assert e.diagnostics["held"] == 400


def test_seed_and_kink():
    x, y = normals(200)
    assert classifier_divergence(x, y, rng=3).value == classifier_divergence(x, y, rng=3).value
    assert not classifier_divergence(x, y, "tv", rng=0).has_interval


def test_bad_input(monkeypatch):
    x, y = normals(30)
    for folds in (1, 31):
        with pytest.raises(ValueError, match="num_folds"):
            classifier_divergence(x, y, num_folds=folds)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError, match=r"plogp\[sklearn\]"):
        classifier_divergence(x, y)
