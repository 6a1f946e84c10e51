"""Self-consistency: an oracle passes, broken estimators fail the test that they should."""

import numpy as np
import pytest

import plogp as pl
from plogp.measures.uncertainty import Estimate

consistency = pytest.importorskip("plogp.estimate.consistency")
self_consistency = consistency.self_consistency


def _images(n=80, height=8, width=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, height, width))


def _shared(x, y):
    """The number of different columns that x and y share: an information that obeys all three laws."""
    ones = {c.tobytes() for c in x.T if c.any()}
    return Estimate(float(len(ones & {c.tobytes() for c in y.T})), 0.1, len(x), "oracle")


def test_the_oracle_passes():
    found = self_consistency(_shared, _images(), rng=0)
    assert found.rows == [0, 2, 4, 6, 8]
    assert found.monotone_ratios == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert found.data_processing_ratio == 1.0
    assert found.additivity_ratio == 2.0
    assert found.passed(1e-9) == {"independence": True, "data processing": True, "additivity": True}
    assert (found.kept, found.kept_less, found.whole.value) == (4, 2, 12.0)
    assert "additivity 2.00 (2)" in repr(found)


def test_what_the_estimator_is_given():
    calls = []
    X = _images()

    def estimator(x, y):
        calls.append((x, y))
        return Estimate(1.0, 0.1, len(x), "stub")

    self_consistency(estimator, X, rows=[1, 8], kept=3, kept_less=1, rng=0)
    order = np.random.default_rng(0).permutation(80)
    X = X[order]
    shapes = [(x.shape, y.shape) for x, y in calls]
    assert shapes == [
        ((80, 24), (80, 3)),
        ((80, 24), (80, 24)),
        ((40, 24), (40, 9)),
        ((40, 48), (40, 12)),
        ((40, 48), (40, 18)),
    ]
    x, y = calls[3]
    np.testing.assert_array_equal(x, np.tile(X[:40].reshape(40, -1), 2))
    np.testing.assert_array_equal(y, np.hstack([X[:40, :3].reshape(40, -1), X[:40, 0]]))
    x, y = calls[4]
    np.testing.assert_array_equal(x, np.hstack([X[:40].reshape(40, -1), X[40:].reshape(40, -1)]))
    np.testing.assert_array_equal(y, np.hstack([X[:40, :3].reshape(40, -1), X[40:, :3].reshape(40, -1)]))


@pytest.mark.parametrize(
    ("broken", "fails"),
    [
        (lambda e, x, y: e.value + 6.0, {"independence", "additivity"}),  # a bias at independence
        (lambda e, x, y: min(e.value, 12.0), {"additivity"}),  # a cap, as InfoNCE has
        (lambda e, x, y: y.shape[1] * 1.0, {"data processing"}),  # counts columns
        (lambda e, x, y: 24.0 - e.value, {"independence", "additivity"}),
    ],
)
def test_broken_estimators_fail_their_test(broken, fails):
    def estimator(x, y):
        e = _shared(x, y)
        return Estimate(broken(e, x, y), 0.1, len(x), "broken")

    passed = self_consistency(estimator, _images(), rng=0).passed()
    assert {name for name, ok in passed.items() if not ok} == fails


def test_tables_and_channels():
    table = self_consistency(_shared, _images().reshape(80, 24)[:, :8], rng=0)
    assert table.rows == [0, 2, 4, 6, 8]
    colour = self_consistency(_shared, np.random.default_rng(0).normal(size=(60, 2, 8, 3)), rng=0)
    assert colour.whole.value == 24.0
    assert colour.additivity_ratio == 2.0


def test_noise_is_drawn_once():
    """h(Y) is a part of the noisy Y itself, so the second ratio stays 1."""
    seen = []

    def estimator(x, y):
        seen.append(y)
        return Estimate(1.0, 0.1, len(x), "stub")

    X = _images()
    self_consistency(estimator, X, noise=0.5, rng=0)
    half, doubled = seen[5], seen[6]
    np.testing.assert_array_equal(doubled, np.hstack([half, half[:, :6]]))
    rng = np.random.default_rng(0)
    clean = X[rng.permutation(80)].reshape(80, -1)
    assert np.std(seen[4] - clean) == pytest.approx(0.5 * X.std(), rel=0.1)


def test_estimators_of_the_library():
    X = np.random.default_rng(0).normal(size=(1000, 4))
    found = self_consistency(pl.estimate.ksg, X, noise=0.5, rng=0)
    assert found.passed()["independence"]
    assert found.passed()["data processing"]
    again = self_consistency(pl.estimate.ksg, X, noise=0.5, rng=0)
    assert again.monotone_ratios == found.monotone_ratios

    pytest.importorskip("torch")

    def neural(x, y):
        return pl.estimate.neural_mutual_information(
            x, y, kind="infonce", critic="separable", steps=30, restarts=1, rng=0
        )

    found = self_consistency(neural, X[:300], noise=0.5, rng=0)
    assert abs(found.monotonicity[0].value) < 0.05


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    ax = self_consistency(_shared, _images(), rng=0).plot()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0, 0.25, 0.5, 0.75, 1])
    assert "additivity 2.00" in ax.get_title()


@pytest.mark.parametrize(
    ("X", "options", "match"),
    [
        (np.zeros(100), {}, r"X must have shape"),
        (_images(20), {}, "at least 40, got 20"),
        (_images(), {"rows": [0, 9]}, "rows must increase between 0 and 8"),
        (_images(), {"rows": [4, 2]}, "rows must increase"),
        (_images(), {"kept": 9}, "kept_less <= kept <= 8"),
        (_images(), {"kept": 2, "kept_less": 3}, "expected 1 <= kept_less"),
    ],
)
def test_bad_input(X, options, match):
    with pytest.raises(ValueError, match=match):
        self_consistency(_shared, X, **options)
