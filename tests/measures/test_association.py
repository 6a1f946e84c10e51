"""Normalised information and Rajski's distance: scikit-learn, constants, ends. See also test_information."""

import numpy as np
import pytest
from sklearn import metrics

from plogp.measures import association as assoc


@pytest.mark.parametrize("average", ["arithmetic", "geometric", "min", "max"])
def test_normalised_information_against_scikit_learn(average):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, 500)
    y = (x + rng.integers(0, 2, 500)) % 5
    counts = np.zeros((4, 5))
    np.add.at(counts, (x, y), 1)
    theirs = metrics.normalized_mutual_info_score(x, y, average_method=average)
    assert assoc.normalized_mutual_information(counts, average=average, normalize=True) == pytest.approx(theirs)


def test_normalised_information_of_constants():
    assert assoc.normalized_mutual_information([[1.0]]) == 1.0
    for average in ("arithmetic", "geometric", "min", "max", "joint", "first", "second"):
        value = assoc.normalized_mutual_information([[0.5, 0.5]], average=average)
        assert value == 0.0
        assert assoc.normalized_mutual_information(np.eye(3) / 3, average=average) == pytest.approx(1.0)


def test_rajski_distance_is_a_metric_with_its_two_ends():
    assert assoc.rajski_distance([[1.0]]) == 0.0
    assert assoc.rajski_distance(np.eye(4) / 4) == 0.0
    assert assoc.rajski_distance(np.outer([0.2, 0.8], [0.3, 0.7])) == pytest.approx(1.0, abs=1e-15)


def test_an_unknown_average_is_refused():
    with pytest.raises(ValueError, match="average"):
        assoc.normalized_mutual_information(np.eye(2) / 2, average="harmonic")


def test_gain_ratio_is_dimensionless():
    with pytest.raises(ValueError, match="dimensionless"):
        assoc.information_gain(np.eye(2) / 2, ratio=True, base=2)
