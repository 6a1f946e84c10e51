"""The row sweep gives what whole arrays give, whatever the block size, and holds no full-size temporary."""

import tracemalloc

import numpy as np
import pytest

import plogp as pl
from plogp.measures import sweep as module


@pytest.mark.parametrize("shape", [(3, 5), (700, 300), (2, 200_000), (1, 70_001), (5, 7, 9_001)])
@pytest.mark.parametrize("name", ["kl", "js", "tv", "chi2", "renyi", "chernoff"])
def test_blocks_against_whole(monkeypatch, shape, name):
    rng = np.random.default_rng(0)
    p, q = (rng.gamma(0.8, size=shape) + 1e-9 for _ in range(2))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    d = pl.divergence(name)
    swept = d(p, q)
    monkeypatch.setattr(module, "SMALL_BYTES", 1 << 60)
    np.testing.assert_allclose(swept, d(p, q), rtol=1e-11)


def test_broadcast_and_strided_inputs(monkeypatch):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(400), size=(30, 20))
    d = pl.divergence("js")
    expected = np.array([[d(x, p[0, 0]) for x in row] for row in p])
    np.testing.assert_allclose(d(p, p[0, 0]), expected, rtol=1e-11)
    np.testing.assert_allclose(d(np.asfortranarray(p), p[0, 0]), expected, rtol=1e-11)
    np.testing.assert_allclose(d(np.moveaxis(p, -1, 0), p[0, 0][:, None, None], axis=0), expected, rtol=1e-11)


def test_bad_rows_are_found_in_any_block():
    p = np.full((4000, 100), 0.01)
    p[3777, 5] += 0.5
    with pytest.raises(ValueError, match="row 3777"):
        pl.entropy(p)
    p[3777, 5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        pl.entropy(p)


def test_threads_do_not_change_the_answer(monkeypatch):
    p = np.random.default_rng(0).dirichlet(np.ones(500), size=2000)
    two = pl.entropy(p)
    monkeypatch.setenv("PLOGP_NUM_THREADS", "1")
    assert np.array_equal(pl.entropy(p), two)


def test_peak_memory_is_a_few_blocks():
    rng = np.random.default_rng(0)
    p, q = (rng.dirichlet(np.ones(1000), size=10_000) for _ in range(2))  # 80 MB each
    d = pl.divergence("js")
    d(p[:200], q[:200])
    tracemalloc.start()
    d(p, q)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    blocks = 16 * module.BLOCK_BYTES * (module.num_threads() + 1)
    assert peak < blocks + 1_000_000, f"{peak / 1e6:.1f} MB"
    assert peak < p.nbytes / 2
