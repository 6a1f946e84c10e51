"""The WoE encoder: scikit-learn's contract, the meaning of its numbers, cross-fitting, unknown values."""

import numpy as np
import pandas as pd
import polars
import pytest

pytest.importorskip("sklearn")
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from plogp.tables.binning import OptimalBinner, UserBinner
from plogp.tables.information_value import iv_from_counts
from plogp.tables.woe import WoEEncoder


@parametrize_with_checks(
    [
        WoEEncoder(),
        WoEEncoder("quantile", output="ci"),
        WoEEncoder("optimal", orientation="non-event", output="woe_norm"),
        WoEEncoder(None, se="log-odds"),
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def credit():
    rng = np.random.default_rng(5)
    y = rng.random(3000) < 0.3
    frame = pd.DataFrame(
        {
            "income": rng.normal(size=3000) - y,
            "job": np.where(rng.random(3000) < 0.3 + 0.3 * y, "clerk", "smith"),
            "noise": rng.normal(size=3000),
        }
    )
    frame.loc[rng.random(3000) < 0.1, "income"] = np.nan
    return frame, np.where(y, "bad", "good")


def test_numbers_are_those_of_the_counts(credit):
    frame, y = credit
    encoder = WoEEncoder("optimal", event="bad").fit(frame, y)
    assert encoder.classes_.tolist() == ["good", "bad"]
    codes = encoder.binner_.transform(frame)[:, 1]
    bad = np.bincount(codes[y == "bad"], minlength=2)
    good = np.bincount(codes[y == "good"], minlength=2)
    p, q = (bad + 0.5) / (bad.sum() + 1), (good + 0.5) / (good.sum() + 1)
    assert [b.woe for b in encoder.mapping_["job"]] == pytest.approx(np.log(p / q).tolist())
    assert encoder.iv_["job"].value == pytest.approx(iv_from_counts(bad, good).value.value)
    assert encoder.mapping_["income"][-1].label == "(missing)"
    out = encoder.transform(frame)
    assert set(np.round(out[:, 1], 9)) == {round(b.woe, 9) for b in encoder.mapping_["job"]}
    assert np.all(out[:, 2] == 0)  # noise has one bin, whose WoE is 0


def test_orientation_and_outputs(credit):
    frame, y = credit
    plain = WoEEncoder("optimal", event="bad").fit(frame, y)
    turned = WoEEncoder("optimal", event="bad", orientation="non-event").fit(frame, y)
    assert turned.transform(frame) == pytest.approx(-plain.transform(frame))
    scaled = WoEEncoder("optimal", event="bad", output="woe_norm").fit_transform(frame, y)
    assert scaled[:, :2].std(axis=0) == pytest.approx([1.0, 1.0], rel=1e-6)
    wide = WoEEncoder("optimal", event="bad", output="ci", level=0.9).fit(frame, y)
    assert wide.get_feature_names_out().tolist()[:3] == ["income_low", "income", "income_high"]
    low, mid, high = wide.transform(frame)[:, 3:6].T
    half = 1.6448536 * wide.mapping_["job"][0].woe_se
    at = frame["job"] == wide.mapping_["job"][0].label
    assert (high - mid)[at] == pytest.approx(half, rel=1e-6)
    assert (mid - low)[at] == pytest.approx(half, rel=1e-6)


def test_coefficients_are_one_under_conditional_independence():
    rng = np.random.default_rng(0)
    y = rng.random(40_000) < 0.3
    x = rng.normal(size=(40_000, 3)) + np.outer(y, [1.0, 0.7, 0.5])
    encoder = WoEEncoder("optimal")
    model = LogisticRegression(C=1e6).fit(encoder.fit_transform(x, y), y)
    assert model.coef_[0] == pytest.approx([1, 1, 1], abs=0.06)
    assert model.intercept_[0] == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=0.06)


def test_cross_fitting_does_not_leak_the_target():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    many = rng.integers(0, 200, 600).astype(str)  # an identifier that says nothing
    encoder = WoEEncoder(UserBinner({}), cv=5, random_state=0)
    with pytest.warns(UserWarning, match="without training rows"):
        honest = encoder.fit_transform({"id": many}, y).ravel()
    flattering = encoder.fit({"id": many}, y).transform({"id": many}).ravel()
    assert np.corrcoef(flattering, y)[0, 1] > 0.4
    assert abs(np.corrcoef(honest, y)[0, 1]) < 0.15
    with pytest.warns(UserWarning, match="WoE 0"):
        again = WoEEncoder(UserBinner({}), random_state=0).fit_transform({"id": many}, y, cv=5).ravel()
    assert np.array_equal(honest, again)


def test_unknown_and_never_missing_values(credit):
    frame, y = credit
    encoder = WoEEncoder("optimal").fit(frame, y)
    new = frame.head(2).assign(job=["pilot", None])
    with pytest.warns(UserWarning, match=r"'job' \(2 rows\)"):
        assert np.all(encoder.transform(new)[:, 1] == 0)
    strict = WoEEncoder("optimal", handle_unknown="error").fit(frame, y)
    with pytest.raises(ValueError, match="'job'"):
        strict.transform(new)


def test_rows_without_target_are_left_out(credit):
    frame, y = credit
    some = y.astype(object)
    some[::7] = None
    encoder = WoEEncoder("optimal").fit(frame, some)
    rest = WoEEncoder("optimal").fit(frame[np.arange(3000) % 7 > 0], y[np.arange(3000) % 7 > 0])
    assert encoder.dropped_ == 429
    assert [b.woe for b in encoder.mapping_["job"]] == [b.woe for b in rest.mapping_["job"]]


def test_set_output_pipelines_and_frames(credit):
    frame, y = credit
    encoder = WoEEncoder("optimal").set_output(transform="pandas")
    out = encoder.fit_transform(frame, y)
    assert list(out.columns) == ["income", "job", "noise"]
    assert out.index.equals(frame.index)
    pipe = make_pipeline(WoEEncoder("optimal"), LogisticRegression()).fit(frame, y)
    assert pipe.score(frame, y) > 0.7
    other = WoEEncoder("optimal").fit(polars.from_pandas(frame), y)
    assert other.transform(polars.from_pandas(frame)) == pytest.approx(out.to_numpy())


def test_binner_parameters_can_be_searched():
    encoder = WoEEncoder(OptimalBinner(max_bins=3)).set_params(binner__max_bins=4)
    assert encoder.binner.max_bins == 4


@pytest.mark.parametrize(
    ("options", "y", "said"),
    [
        ({"binner": "forest"}, [0, 1] * 10, "binner"),
        ({"orientation": "up"}, [0, 1] * 10, "orientation"),
        ({"output": "log"}, [0, 1] * 10, "output"),
        ({"handle_unknown": "guess"}, [0, 1] * 10, "handle_unknown"),
        ({"level": 95}, [0, 1] * 10, "level"),
        ({}, [0, 1, 2, 1] * 5, "binary"),
        ({}, [1] * 20, "one class"),
        ({}, None, "requires y"),
        ({"event": 5}, [0, 1] * 10, "event"),
    ],
)
def test_bad_input_is_named(options, y, said):
    with pytest.raises(ValueError, match=said):
        WoEEncoder(**options).fit(np.arange(20.0)[:, None], y)


def test_binner_of_another_kind():
    with pytest.raises(TypeError, match="binner"):
        WoEEncoder(binner=3).fit(np.arange(20.0)[:, None], [0, 1] * 10)
