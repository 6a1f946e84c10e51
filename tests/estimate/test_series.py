import numpy as np
import pytest
from scipy.signal import lfilter

from plogp.estimate.series import delay_embedding, long_run_error, transfer_blocks


def test_embedding():
    x = np.arange(10.0)
    rows = delay_embedding(x, 3, 2)
    assert rows.shape == (6, 3)
    assert rows[0].tolist() == [0, 2, 4]
    assert delay_embedding(np.c_[x, -x], 2)[0].tolist() == [0, 0, 1, -1]
    with pytest.raises(ValueError, match="at least 11"):
        delay_embedding(x, 6, 2)
    with pytest.raises(TypeError, match="order must be an integer"):
        delay_embedding(x, 2.5)


def test_blocks_point_to_the_right_times():
    x, y = np.arange(100.0, 120.0), np.arange(20.0)
    future, of_x, of_y = transfer_blocks(x, y, source_history=2, target_history=3, lag=2, step=2)
    t = future[:, 0]
    assert t[0] == 5
    assert (of_y == np.c_[t - 1, t - 3, t - 5]).all()
    assert (of_x - 100 == np.c_[t - 2, t - 4]).all()
    with pytest.raises(ValueError, match="source has 20, target has 19"):
        transfer_blocks(x, y[1:])


def test_error_of_independent_and_dependent_series():
    rng = np.random.default_rng(0)
    for a in (0.0, 0.8):
        means, errors = [], []
        for _ in range(300):
            x = lfilter([1], [1, -a], rng.standard_normal(2200))[200:]
            means.append(x.mean())
            errors.append(long_run_error(x)[0])
        assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.15)
    naive = lfilter([1], [1, -0.8], rng.standard_normal(2000)).std() / np.sqrt(2000)
    assert naive < np.mean(errors) / 2


def test_requests_that_cannot_be_met():
    with pytest.raises(ValueError, match="16 terms"):
        long_run_error(np.zeros(10))
    with pytest.raises(ValueError, match="leaves 2 blocks"):
        long_run_error(np.zeros(100), 50)
    assert long_run_error(np.zeros(100))[0] == 0.0
