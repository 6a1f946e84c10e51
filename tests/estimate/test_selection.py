from __future__ import annotations

import sys

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from plogp.estimate import MutualInformationSelector, mutual_information

pytestmark = pytest.mark.filterwarnings("ignore:No features were selected")


@parametrize_with_checks([MutualInformationSelector(k=1), MutualInformationSelector(num_permutations=9)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def data(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5))
    y = (x[:, 1] + 0.5 * rng.standard_normal(n) > 0).astype(int)
    return x, y


def test_each_rule_selects():
    x, y = data()
    assert MutualInformationSelector(k=1).fit(x, y).get_support(indices=True).tolist() == [1]
    assert MutualInformationSelector(threshold=0.1).fit(x, y).get_support(indices=True).tolist() == [1]
    by_test = MutualInformationSelector(alpha=0.05, random_state=0).fit(x, y)
    assert by_test.get_support()[1]
    assert by_test.get_support().sum() <= 2
    assert (by_test.adjusted_p_values_ >= by_test.p_values_).all()
    assert MutualInformationSelector(k=0).fit(x, y).get_support().sum() == 0
    assert MutualInformationSelector(k=99).fit(x, y).transform(x).shape == x.shape


def test_scores_are_the_estimates():
    x, y = data()
    found = MutualInformationSelector(k=2).fit(x, y)
    for j in range(5):
        assert found.estimates_[j].value == pytest.approx(mutual_information(x[:, j], y).value)
    assert found.scores_ == pytest.approx([e.value for e in found.estimates_])
    assert found.target_type_ == "discrete"
    assert np.isnan(found.p_values_).all()


def test_types_of_features_and_target():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(200)
    x = np.stack([rng.integers(0, 3, 200), y + rng.standard_normal(200)], 1)
    found = MutualInformationSelector(k=1).fit(x, y)
    assert found.target_type_ == "continuous"
    assert "ross" in found.estimates_[0].method
    assert "ksg" in found.estimates_[1].method
    assert found.get_support().tolist() == [False, True]
    labels = MutualInformationSelector(k=1, discrete_features=[0]).fit(x, (y > 0).astype(str))
    assert labels.estimates_[0].method == "chao_wang_jost"
    words = np.array([["a", "u"], ["b", "u"], ["a", "v"], ["b", "v"]] * 20, dtype=object)
    strings = MutualInformationSelector(k=1).fit(words, words[:, 0])
    assert strings.get_support().tolist() == [True, False]


def test_pipeline_names_and_workers():
    pandas = pytest.importorskip("pandas")
    x, y = data()
    frame = pandas.DataFrame(x, columns=list("abcde"))
    pipe = make_pipeline(MutualInformationSelector(k=1), LogisticRegression()).fit(frame, y)
    assert pipe[:1].get_feature_names_out().tolist() == ["b"]
    assert pipe.score(frame, y) > 0.75
    with parallel_config(backend="threading"):
        both = [MutualInformationSelector(num_permutations=9, random_state=0, n_jobs=j).fit(x, y) for j in (1, 2)]
    assert both[0].p_values_ == pytest.approx(both[1].p_values_)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 1, "alpha": 0.1}, "only one of"),
        ({"k": -1}, "negative"),
        ({"alpha": 2}, "between 0 and 1"),
        ({"target": "labels"}, "target must be"),
        ({"discrete_features": "some"}, "discrete_features"),
        ({"discrete_features": np.array([True])}, "mask"),
        ({"method": "ksq"}, "unknown method"),
    ],
)
def test_bad_settings_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        MutualInformationSelector(**options).fit(*data(40))


def test_missing_scikit_learn_is_one_clear_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "plogp.estimate.selection", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    import plogp.estimate

    monkeypatch.delattr(plogp.estimate, "selection", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'plogp\[sklearn\]'"):
        _ = plogp.estimate.MutualInformationSelector
