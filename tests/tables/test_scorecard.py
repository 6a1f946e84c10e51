"""Scorecards: points are the log-odds in another unit, for any encoder output and orientation."""

import io

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("sklearn")
from sklearn.linear_model import LogisticRegression

from plogp.tables.scorecard import Scorecard
from plogp.tables.woe import WoEEncoder


@pytest.fixture(scope="module")
def credit():
    rng = np.random.default_rng(1)
    bad = rng.random(4000) < 0.2
    job = np.where(rng.random(4000) < 0.3 + 0.4 * bad, "fool", "smith")
    return {"x": rng.normal(size=4000) + bad, "z": rng.normal(size=4000) - bad, "job": job}, bad


@pytest.mark.parametrize("output", ["woe", "woe_norm"])
@pytest.mark.parametrize("orientation", ["event", "non-event"])
def test_points_are_the_log_odds(credit, output, orientation):
    table, bad = credit
    card = Scorecard(WoEEncoder("optimal", output=output, orientation=orientation), pdo=20, base=600, odds=50)
    score, p = card.fit(table, bad).predict_points(table), card.predict_proba(table)
    odds = p[:, 0] / p[:, 1]
    assert score == pytest.approx(600 + 20 * np.log2(odds / 50), abs=1e-8)
    assert p[:, 1].mean() == pytest.approx(bad.mean(), abs=1e-4)
    assert card.model.predict_proba(card.encoder.transform(table)) == pytest.approx(p)


def test_points_table_adds_up(credit):
    table, bad = credit
    card = Scorecard(WoEEncoder("optimal")).fit(table, bad)
    points = {(row.feature, row.bin): row.points for row in card.points()}
    codes = card.encoder.binner_.transform(table)
    total = np.zeros(len(bad))
    for k, (name, coding) in enumerate(zip(card.encoder.binner_.features_, card.encoder.binner_.bins_)):
        labels = coding.labels()
        total += [points[name, labels[c]] for c in codes[:, k]]
    assert total == pytest.approx(card.predict_points(table))
    assert card.points_of(table).sum(axis=1) == pytest.approx(total)
    whole = card.predict_points(table, rounded=True)
    assert np.all(whole == np.round(whole))
    assert np.abs(whole - total).max() <= 1.5


def test_doubling_and_base_are_what_they_say(credit):
    table, bad = credit
    card = Scorecard(WoEEncoder("optimal"), pdo=40, base=500, odds=10).fit(table, bad)
    odds = np.divide(*card.predict_proba(table).T)
    score = card.predict_points(table)
    i, j = np.argmin(odds), np.argmax(odds)
    assert score[j] - score[i] == pytest.approx(40 * np.log2(odds[j] / odds[i]))
    assert card.offset + card.factor * np.log(10) == pytest.approx(500)


def test_one_column_is_its_own_log_odds():
    x = np.repeat(["a", "b"], [400, 600])
    y = np.concatenate([np.repeat([1, 0], [200, 200]), np.repeat([1, 0], [100, 500])])
    card = Scorecard(WoEEncoder("optimal", smoothing=0.0), LogisticRegression(C=1e9, tol=1e-10)).fit({"x": x}, y)
    score = card.predict_points({"x": ["a", "b"]})
    assert score == pytest.approx([600 + 20 * np.log2(1 / 50), 600 + 20 * np.log2(5 / 50)], abs=1e-3)


def test_given_parts_and_prints(credit):
    table, bad = credit
    encoder = WoEEncoder("optimal")
    model = LogisticRegression().fit(encoder.fit_transform(table, bad), bad)
    card = Scorecard(encoder, model)
    assert "600 points at odds 50:1" in repr(card)
    assert len(repr(card).splitlines()) == len(card.points()) + 3  # title, header and note
    assert "not fitted" in repr(Scorecard())
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(card)
    assert "points" in console.export_text()


def test_cross_fitted_encoder_and_missing_targets(credit):
    table, bad = credit
    y = bad.astype(float)
    y[:100] = np.nan
    card = Scorecard(WoEEncoder("optimal", cv=4, random_state=0)).fit(table, y)
    assert card.predict_points(table)[bad].mean() < card.predict_points(table)[~bad].mean()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pdo": 0}, "pdo"),
        ({"odds": -1}, "odds"),
        ({"base": float("nan")}, "base"),
        ({"encoder": WoEEncoder(output="ci")}, "one column a feature"),
    ],
)
def test_bad_input_is_named(options, said):
    with pytest.raises(ValueError, match=said):
        Scorecard(**options)


def test_unfitted_and_mismatched(credit):
    table, bad = credit
    with pytest.raises(ValueError, match="not fitted"):
        Scorecard().predict_points(table)
    encoder = WoEEncoder("optimal").fit(table, bad)
    model = LogisticRegression().fit(np.zeros((4, 2)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="2 coefficients"):
        Scorecard(encoder, model).points()
