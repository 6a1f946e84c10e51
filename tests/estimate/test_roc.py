import math

import numpy as np
import pytest

from plogp.estimate.roc import auc, best_threshold


def test_matches_its_definition_and_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    s, y = np.round(rng.normal(size=200), 1), rng.random(200) < 0.3
    s[y] += 0.7
    pairs = s[y][:, None] - s[~y][None]
    assert auc(s, y).value == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)), abs=1e-12)
    assert auc(s, y).value == pytest.approx(metrics.roc_auc_score(y, s), abs=1e-12)
    assert auc(-s, y).value == pytest.approx(1 - auc(s, y).value, abs=1e-12)
    best = best_threshold(s, y)
    rates = {t: (s[y] >= t).mean() - (s[~y] >= t).mean() for t in s}
    assert rates[best] == pytest.approx(max(rates.values()), abs=1e-12)


def test_coverage():
    rng = np.random.default_rng(1)
    truth = 0.5 * math.erfc(-1.0 / 2.0)  # P(N(1, 1) > N(0, 1))
    inside = []
    for _ in range(300):
        s = np.concatenate([rng.normal(1.0, 1.0, 60), rng.normal(0.0, 1.0, 80)])
        inside.append(not auc(s, [1] * 60 + [0] * 80).distinguishable(truth))
    assert 0.90 <= np.mean(inside) <= 0.98


def test_hostile_input():
    assert auc([0.0, 1.0], [0, 1]).se is None
    assert auc([1.0, 1.0, 1.0, 1.0], [0, 1, 0, 1]).value == 0.5
    with pytest.raises(ValueError, match="both groups"):
        auc([1, 2], [1, 1])
    with pytest.raises(ValueError, match="one label for each of the 2"):
        auc([1, 2], [1])
    with pytest.raises(ValueError, match="True and False"):
        auc([1, 2], [1, 2])
    with pytest.raises(ValueError, match="NaN"):
        auc([1, math.nan], [0, 1])
    with pytest.raises(ValueError, match="one-dimensional"):
        auc([[1, 2], [3, 4]], [0, 1])
