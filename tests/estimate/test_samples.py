from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from plogp.estimate.samples import (
    as_array,
    as_samples,
    check_neighbours,
    check_same_length,
    jittered,
    normal_scores,
    rescaled,
)


def test_shapes_and_types():
    assert as_samples([1, 2, 3]).shape == (3, 1)
    assert as_samples(np.ones((4, 2), dtype=np.float32)).dtype == np.float64
    assert as_samples([True, False]).tolist() == [[1.0], [0.0]]
    torch = pytest.importorskip("torch")
    assert as_samples(torch.ones(3, 2, requires_grad=True)).shape == (3, 2)


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        ([], ValueError, "empty"),
        ([1.0, np.nan], ValueError, "NaN"),
        ([1.0, np.inf, -np.inf], ValueError, "2 of 3 rows"),
        (["a", "b"], TypeError, "real numbers"),
        ([1j], TypeError, "real numbers"),
        (np.ones((2, 2, 2)), ValueError, "shape"),
        ([[1, 2], [3]], (TypeError, ValueError), "weights"),
        (np.array([object()]), TypeError, "numbers"),
    ],
)
def test_bad_input_is_named(bad, error, says):
    with pytest.raises(error, match=says if says != "weights" else "weights"):
        as_samples(bad, "weights")


def test_a_sum_that_overflows_is_not_infinite_input():
    assert as_samples([1e308, 1e308]).shape == (2, 1)


def test_lengths_and_neighbours():
    with pytest.raises(ValueError, match="x has 2, y has 3"):
        check_same_length(x=np.ones((2, 1)), y=np.ones((3, 1)))
    with pytest.raises(ValueError, match="too few samples"):
        check_neighbours(4, 4)
    with pytest.raises(ValueError, match="at least 1"):
        check_neighbours(0, 4)
    with pytest.raises(TypeError, match="integer"):
        check_neighbours(2.5, 4)


def test_rescaling():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 2)) * [1e200, 1e-200] + [3e200, 0]
    y = rescaled(x, "standard")
    np.testing.assert_allclose(y.std(axis=0), 1.0)
    assert (rescaled(np.full((5, 1), 0.1), "standard") == 0).all()
    assert rescaled(x, None) is x
    with pytest.raises(ValueError, match="scale"):
        rescaled(x, "minmax")
    ranks = rescaled(x, "rank")
    assert (np.argsort(ranks[:, 0]) == np.argsort(x[:, 0])).all()


def test_normal_scores_share_ties():
    scores = normal_scores(np.array([[1.0], [2.0], [2.0], [5.0]]))[:, 0]
    assert scores[1] == scores[2]
    assert scores[0] == pytest.approx(-scores[3])


def test_jitter_only_if_asked():
    x = np.zeros((10, 1))
    rng = np.random.default_rng(0)
    assert jittered(x, None, rng) is x
    assert len(np.unique(jittered(x, 1e-10, rng))) == 10
    with pytest.raises(ValueError, match="jitter"):
        jittered(x, -1.0, rng)


def test_every_estimator_reads_the_same_inputs():
    assert as_array([1, "1"]).tolist() == [1, "1"]  # NumPy would make one label of the two
    assert as_array([[1, "a"], [2, "1"]]).tolist() == [[1, "a"], [2, "1"]]
    assert as_array(("a", "b")).dtype.kind == "U"
    for numbers in ([Decimal("0.5"), Decimal(2)], [0.5, 2], np.array([1, 2.5], object), [Fraction(1, 3), 1]):
        assert as_array(numbers).dtype == np.float64
    for labels in (np.array([1, 2], object), np.array([True, 0.5], object), [10**30, 1]):
        assert as_array(labels).dtype == object
    with pytest.raises(ValueError, match="z must be an array or a list, one row a sample, got set"):
        as_array({1, 2}, "z")
    with pytest.raises(ValueError, match="z must be a rectangular array"):
        as_array([[1, 2], [3]], "z")
    with pytest.raises(ValueError, match="z has masked"):
        as_array(np.ma.array([1.0, 2.0], mask=[True, False]), "z")
    torch = pytest.importorskip("torch")
    assert as_array(torch.tensor([0.5, 1.0], dtype=torch.bfloat16)).tolist() == [0.5, 1.0]
    assert as_array(torch.tensor([0.5, 1.0], requires_grad=True)).dtype == np.float32


def test_samples_are_no_strings_and_no_scalars():
    with pytest.raises(TypeError, match="x must hold real numbers, got strings"):
        as_samples(np.array([1, "2"], object))  # float("2") would have made it a number
    with pytest.raises(ValueError, match="got float"):
        as_samples(1.0)


def test_rescaling_denormal_and_huge_axes_warns_of_nothing():
    x = np.random.default_rng(0).standard_normal((50, 1))
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for factor in (1e-310, 1e-160, 1e160, 1e300):
            assert rescaled(x * factor, "standard") == pytest.approx(rescaled(x, "standard"), rel=1e-3, abs=1e-3)
