import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.utils.estimator_checks import parametrize_with_checks

from plogp.stats import EnMMixture, MSIClassifier


@parametrize_with_checks([MSIClassifier(), EnMMixture(), EnMMixture(num_inner=0)])
def test_scikit_learn_contract(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def make_rare(n, rng, rate=0.05):
    y = (rng.random(n) < rate).astype(int)
    return rng.normal(2.0 * y, 1.0)[:, None], y


def test_classifier_is_maximum_likelihood_not_maximum_posterior():
    X, y = make_rare(40_000, np.random.default_rng(0))
    model = MSIClassifier().fit(X, y)
    # Classes N(0,1) and N(2,1): the likelihood boundary is at 1, whatever the prior.
    grid = np.linspace(-3, 5, 801)[:, None]
    labels = model.predict(grid)
    assert grid[np.argmax(labels), 0] == pytest.approx(1.0, abs=0.08)
    assert np.all(np.diff(labels) >= 0)
    truth = model.truth(grid)
    assert truth.min() >= 0
    assert truth.max() <= 1
    # E over the sample of P(x|θ)/P(x) is 1.
    np.testing.assert_allclose(np.exp(model.information(X)).mean(axis=0), 1.0, atol=1e-12)


def test_information_does_not_depend_on_the_peak():
    X, y = make_rare(2000, np.random.default_rng(1), 0.4)
    model = MSIClassifier(LogisticRegression(C=3.0)).fit(X, y)
    given = LogisticRegression(C=3.0).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(model.information(X), np.log(given / given.mean(axis=0)), atol=1e-12)


def test_adapt_recomputes_the_logical_probability():
    rng = np.random.default_rng(2)
    X, y = make_rare(20_000, rng, 0.5)
    moved, _ = make_rare(20_000, rng, 0.9)
    model = MSIClassifier().fit(X, y)
    before = model.logical_probability_.copy()
    information = model.information(moved)
    assert model.adapt(moved) is model
    assert model.logical_probability_[1] > before[1]
    np.testing.assert_allclose(
        model.information(moved) - information,
        np.broadcast_to(np.log(before / model.logical_probability_), information.shape),
    )


def test_multilabel_truth_functions_are_trained_by_themselves():
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 100, 6000)
    Y = np.column_stack([x > 18, x > 65, np.ones(6000)]).astype(int)
    model = MSIClassifier(RandomForestClassifier(20, random_state=0)).fit(x[:, None], Y)
    got = model.predict(np.array([[5.0], [40.0], [80.0]]))
    assert got[:, :2].tolist() == [[0, 0], [1, 0], [1, 1]]
    # A label that is always given says nothing.
    np.testing.assert_allclose(model.information([[5.0], [80.0]])[:, 2], 0.0)
    single = MSIClassifier(RandomForestClassifier(20, random_state=0)).fit(
        x[:, None], np.column_stack([Y[:, 0], Y[:, 0]])
    )
    np.testing.assert_allclose(single.information([[40.0]])[0, 1], model.information([[40.0]])[0, 0])
    proba = model.predict_proba(np.linspace(0, 100, 50)[:, None])
    assert np.all((proba >= 0) & (proba <= 1))
    assert np.array_equal(proba[:, :2] > 0.5, model.predict(np.linspace(0, 100, 50)[:, None])[:, :2] == 1)


def test_enm_without_inner_steps_is_em():
    X = np.random.default_rng(4).normal(size=(500, 2))
    start = {"weights_init": [0.9, 0.1], "means_init": [[0.0, 0.0], [1.0, 1.0]], "precisions_init": [np.eye(2)] * 2}
    ours = EnMMixture(2, num_inner=0, max_iter=20, tol=1e-6, **start)
    theirs = GaussianMixture(2, max_iter=20, tol=1e-6, **start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours.fit(X)
        theirs.fit(X)
    np.testing.assert_allclose(ours.means_, theirs.means_)
    np.testing.assert_allclose(ours.log_likelihoods_[-1], theirs.lower_bound_)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_enm_likelihood_never_falls_and_agrees_with_em(covariance_type):
    rng = np.random.default_rng(5)
    X = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(5, 1, (900, 2))])
    start = {"weights_init": [0.5, 0.5], "means_init": [[0.0, 0.0], [4.0, 4.0]], "tol": 1e-9, "max_iter": 500}
    enm = EnMMixture(2, covariance_type=covariance_type, **start).fit(X)
    em = GaussianMixture(2, covariance_type=covariance_type, **start).fit(X)
    assert np.all(np.diff(enm.log_likelihoods_) >= -1e-12)
    np.testing.assert_allclose(np.sort(enm.weights_), np.sort(em.weights_), atol=1e-4)
    assert enm.score(X) == pytest.approx(em.score(X), abs=1e-6)


def test_the_gap_identity_of_the_n_step():
    # R - G = KL(P(x) ‖ P_θ(x)) - KL(P'(y) ‖ P(y)) on a discrete source, by hand.
    rng = np.random.default_rng(6)
    px, weights, parts = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(6), 3)
    mixture = weights @ parts
    given = (weights[:, None] * parts / mixture).T
    new = px @ given
    joint = px[:, None] * given
    rate = np.sum(joint * np.log(given / new))
    gain = np.sum(joint * np.log(parts.T / px[:, None]))
    gap = px @ np.log(px / mixture) - new @ np.log(new / weights)
    assert rate - gain == pytest.approx(gap, abs=1e-12)


def test_hostile_mixtures():
    with pytest.raises(ValueError, match="num_inner"):
        EnMMixture(num_inner=-1).fit(np.zeros((5, 1)))
    with pytest.raises(ValueError, match="one class"):
        MSIClassifier().fit(np.zeros((5, 1)), np.zeros(5))
