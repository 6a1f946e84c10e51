"""Binners: one interface, missing and rare and unknown values, leaks, noise, tables of every kind."""

import numpy as np
import pandas as pd
import polars
import pytest

from plogp.tables.binner import best_cut
from plogp.tables.binning import (
    UNKNOWN,
    OptimalBinner,
    QuantileBinner,
    StumpBinner,
    TreeBinner,
    UserBinner,
)
from plogp.tables.columns import code_target, read_columns

SUPERVISED = [OptimalBinner(), TreeBinner(), StumpBinner(backend="sklearn")]
ids = [type(b).__name__ for b in SUPERVISED]


@pytest.fixture
def logistic():
    rng = np.random.default_rng(3)
    x = rng.normal(size=4000)
    return x, rng.random(4000) < 1 / (1 + np.exp(1 - 1.5 * x))


@pytest.mark.parametrize("binner", SUPERVISED, ids=ids)
def test_limits_hold(binner, logistic):
    x, y = logistic
    binner.set_params(max_bins=6, min_bin_frac=0.1)
    counts = np.bincount(binner.fit({"x": x}, y).transform({"x": x}).ravel())
    assert 3 <= len(counts) <= 6
    assert counts.min() >= 0.1 * len(x)


@pytest.mark.parametrize("binner", SUPERVISED, ids=ids)
@pytest.mark.parametrize("share", [0.5, 0.02])
def test_perfect_predictor_is_found(binner, share):
    rng = np.random.default_rng(0)
    x = rng.random(5000)
    binner.set_params(max_bins=10, min_bin_frac=0.01)
    codes = binner.fit({"x": x}, x > 1 - share).transform({"x": x}).ravel()
    pure = [np.mean((x > 1 - share)[codes == c]) for c in np.unique(codes)]
    assert pure[-1] > 0.95
    assert pure[0] <= 0.002  # boosting looks at 255 quantiles


@pytest.mark.parametrize("binner", SUPERVISED, ids=ids)
def test_noise_has_one_bin_mostly(binner):
    rng = np.random.default_rng(0)
    several = [binner.fit({"x": rng.normal(size=500)}, rng.random(500) < 0.3).edges_[0].size > 0 for _ in range(40)]
    assert np.mean(several) <= 0.16  # nominal 0.05, about three standard errors above


@pytest.mark.parametrize("binner", SUPERVISED, ids=ids)
def test_infinite_constant_and_tied_values(binner, logistic):
    x, y = logistic
    wild = np.where(x > 2, np.inf, np.where(x < -2, -np.inf, x))
    assert np.isfinite(binner.fit({"x": wild}, y).edges_[0]).all()
    assert binner.fit({"x": np.ones(100)}, np.arange(100) % 2).edges_[0].size == 0
    stairs = np.repeat([0.0, 1.0, 2.0, 3.0], 50)
    edges = binner.fit({"x": stairs}, stairs >= 2).edges_[0]
    assert edges.tolist() == [1.5]
    near = 1.0 + np.arange(4) * 1e-12  # below single precision
    edges = binner.fit({"x": np.repeat(near, 50)}, np.repeat([0, 0, 1, 1], 50)).edges_[0]
    assert len(edges) == 1
    assert near[1] <= edges[0] < near[2]


@pytest.mark.parametrize("binner", SUPERVISED, ids=ids)
def test_other_targets(binner, logistic):
    x, _ = logistic
    rng = np.random.default_rng(1)
    y = x + 0.5 * rng.normal(size=len(x))
    assert len(binner.fit({"x": x}, y).edges_[0]) >= 3
    assert len(binner.fit({"x": x}, np.digitize(y, [-1, 1])).edges_[0]) >= 2
    assert len(binner.fit({"x": x}, np.array(["low", "mid", "high"])[np.digitize(y, [-1, 1])]).edges_[0]) >= 2


def test_monotone_stumps_are_monotone():
    rng = np.random.default_rng(0)
    x = rng.random(5000)
    y = rng.random(5000) < 0.2 + 0.5 * x + 0.15 * np.sin(12 * x)
    binner = StumpBinner(backend="sklearn", monotonic="increasing")
    codes = binner.fit({"x": x}, y).transform({"x": x}).ravel()
    rates = [y[codes == c].mean() for c in np.unique(codes)]
    assert len(rates) > 2
    assert np.all(np.diff(rates) > 0)


def test_joint_stumps_leave_out_what_others_explain(logistic):
    x, y = logistic
    rng = np.random.default_rng(0)
    table = {"x": x, "noise": rng.normal(size=len(x)), "gap": np.where(x > 1, np.nan, -x)}
    binner = StumpBinner(backend="sklearn", joint=True).fit(table, y)
    assert len(binner.edges_[0]) > 2
    assert len(binner.edges_[1]) == 0


def test_xgboost_gives_the_same_steps():
    pytest.importorskip("xgboost")
    x = np.repeat(np.arange(5.0), 60)
    edges = [StumpBinner(backend=b).fit({"x": x}, x > 2).edges_[0].tolist() for b in ("xgboost", "sklearn")]
    assert edges == [[2.5], [2.5]]


def test_missing_rare_and_unknown_have_their_states():
    job = ["smith"] * 50 + ["baker"] * 45 + ["fool", "king", "monk"] + [None] * 2
    binner = QuantileBinner().fit({"job": job})
    assert binner.bins_[0].labels() == ["baker", "smith", "(other)", "(missing)"]
    codes = binner.transform({"job": ["smith", "king", None, "pilot"]}).ravel()
    assert codes.tolist() == [1, 2, 3, UNKNOWN]
    number = QuantileBinner(max_bins=2).fit({"x": [1.0, 2.0, np.nan, 4.0]})
    assert number.transform({"x": [np.nan, 1e9, -np.inf]}).ravel().tolist() == [2, 1, 0]


def test_rows_without_target_teach_nothing():
    x = np.concatenate([np.arange(100.0), np.full(50, 1e6)])
    y = np.concatenate([np.repeat([0.0, 1.0], 50), np.full(50, np.nan)])
    binner = OptimalBinner().fit({"x": x}, y)
    assert binner.dropped_ == 50
    assert binner.edges_[0].tolist() == [49.5]


def test_frames_of_all_kinds_agree():
    frame = pd.DataFrame(
        {
            "number": [1.0, 2.0, None, 4.0] * 10,
            "text": ["u", "v", None, "w"] * 10,
            "category": pd.Categorical(["q", "r", "q", None] * 10),
            "flag": [True, False] * 20,
            "day": pd.date_range("2020-01-01", periods=40),
            "nullable": pd.array([1, None, 3, 4] * 10, dtype="Int64"),
        }
    )
    binner = QuantileBinner(3).fit(frame)
    truth = binner.transform(frame)
    assert np.array_equal(QuantileBinner(3).fit(polars.from_pandas(frame)).transform(frame), truth)
    as_dict = {name: frame[name].to_list() for name in frame}
    assert np.array_equal(QuantileBinner(3).fit(as_dict).transform(polars.from_pandas(frame)), truth)
    assert truth[2].tolist() == [3, 3, 0, 1, 0, 1]


def test_user_edges_are_closed_on_the_right():
    binner = UserBinner({"x": [0.0, 10.0]}).fit({"x": [5.0], "c": ["a"]})
    assert binner.transform({"x": [0.0], "c": ["a"]}).tolist() == [[0, 0]]
    assert binner.transform({"x": [10.5], "c": ["b"]}).tolist() == [[2, UNKNOWN]]
    with pytest.raises(ValueError, match="'z'"):
        UserBinner({"z": [1.0]}).fit({"x": [1.0]})


def test_best_cut_is_the_best():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 12, 80).astype(float), rng.integers(0, 3, 80)

    def information(edge):
        joint = np.histogram2d(x > edge, y, bins=(2, 3))[0] / 80
        expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
        keep = joint > 0
        return float((joint[keep] * np.log(joint[keep] / expected[keep])).sum())

    found = best_cut(x, y, 3)[0]
    assert information(found) == pytest.approx(max(information(e) for e in np.arange(0.5, 11)))


def test_parameters_can_be_read_set_and_refused():
    binner = StumpBinner(max_bins=5)
    assert binner.get_params()["max_bins"] == 5
    assert binner.set_params(max_bins=4).max_bins == 4
    with pytest.raises(ValueError, match="no parameter"):
        binner.set_params(depth=2)


@pytest.mark.parametrize(
    ("binner", "table", "y", "said"),
    [
        (OptimalBinner(), {"x": [1.0, 2.0]}, None, "needs y"),
        (OptimalBinner(), {"x": [1.0, 2.0]}, [0, 1, 1], "2 rows and y has 3"),
        (OptimalBinner(), {"x": [1.0, 2.0]}, [1, 1], "two distinct"),
        (OptimalBinner(), {"x": [1.0, 2.0], "z": [1.0]}, [0, 1], "equal lengths"),
        (OptimalBinner(max_bins=1), {"x": [1.0, 2.0]}, [0, 1], "max_bins"),
        (QuantileBinner(min_bin_frac=0.9), {"x": [1.0, 2.0]}, None, "min_bin_frac"),
        (QuantileBinner(), {"x": []}, None, "at least one row"),
        (QuantileBinner(categorical=["z"]), {"x": [1.0]}, None, "'z'"),
        (StumpBinner(backend="lightgbm"), {"x": [1.0, 2.0]}, [0, 1], "backend"),
    ],
)
def test_bad_input_is_named(binner, table, y, said):
    with pytest.raises(ValueError, match=said):
        binner.fit(table, y)


def test_transform_refuses_what_it_cannot_code():
    binner = QuantileBinner().fit({"x": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="held numbers"):
        binner.transform({"x": ["a", "b"]})
    with pytest.raises(ValueError, match="lacks"):
        binner.transform({"z": [1.0]})
    with pytest.raises(ValueError, match="not fitted"):
        QuantileBinner().transform({"x": [1.0]})


def test_reading_columns_and_targets():
    with pytest.raises(TypeError, match="dict of arrays"):
        read_columns(object())
    with pytest.raises(TypeError, match="string or a number"):
        read_columns({"x": [{"a": 1}, {"b": 2}]})
    assert code_target([2, 1, 2]).values == (1.0, 2.0)
    assert code_target(["good", "bad"], event="bad").codes.tolist() == [0, 1]
    assert code_target(np.arange(100)).kind == "continuous"
    with pytest.raises(ValueError, match="event"):
        code_target(["a", "b"], event="c")
