from __future__ import annotations

import math

import numpy as np
import pytest

from plogp import estimate as est

RNG = np.random.default_rng(0)


def test_mixed_table():
    n = 400
    a = RNG.integers(0, 3, n)
    x = RNG.standard_normal(n)
    table = {"a": a, "b": (a + (RNG.random(n) < 0.2)) % 3, "x": x, "y": x + RNG.standard_normal(n), "s": a.astype(str)}
    m = est.mutual_information_matrix(table)
    assert m.names == ("a", "b", "x", "y", "s")
    for i, p in enumerate(m.names):
        for q in m.names[i + 1 :]:
            alone = est.mutual_information(table[p], table[q])
            assert m[p, q].value == pytest.approx(alone.value)
            assert m[q, p].se == pytest.approx(alone.se)
            assert m[p, q].p_value == alone.p_value
    assert m.values == pytest.approx(m.values.T)
    assert m.values[0, 0] == pytest.approx(est.entropy(a).value)
    assert m.values[2, 2] == math.inf
    assert np.isnan(m.p_values[2, 3])
    assert m.errors[0, 0] == 0
    assert next(iter(m))["mutual_information"].value == max(e.value for e in m.estimates.values())
    assert "a, s" in repr(m)
    assert (m.p_adjusted[0, 1], (2, 3) in m.p_adjusted) == (pytest.approx(0.0, abs=1e-6), False)
    with pytest.raises(KeyError):
        m["a", "a"]


def test_arrays_frames_and_workers():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    data = RNG.integers(0, 4, (300, 3))
    names = ["u", "v", "w"]
    one = est.mutual_information_matrix(data, names=names)
    for frame in (pandas.DataFrame(data, columns=names), polars.DataFrame(data, schema=names)):
        assert est.mutual_information_matrix(frame).values == pytest.approx(one.values)
    numbers = RNG.standard_normal((120, 4))
    serial = est.mutual_information_matrix(numbers, p_value="permutation", num_permutations=9, rng=0)
    parallel = est.mutual_information_matrix(numbers, p_value="permutation", num_permutations=9, rng=0, n_jobs=2)
    assert parallel.values == pytest.approx(serial.values)
    assert parallel.p_values == pytest.approx(serial.p_values, nan_ok=True)


def test_noise_gives_no_adjusted_findings():
    m = est.mutual_information_matrix(RNG.integers(0, 5, (500, 12)))
    assert min(m.p_adjusted.values()) > 0.01
    assert (np.array(list(m.p_adjusted.values())) >= [e.p_value - 1e-12 for e in m.estimates.values()]).all()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a": [1, 2]}, "two or more columns"),
        ({"a": [1, 2], "b": [1]}, "b has 1 samples"),
        ([1, 2, 3], "table of columns"),
    ],
)
def test_bad_tables(table, words):
    with pytest.raises(ValueError, match=words):
        est.mutual_information_matrix(table)
