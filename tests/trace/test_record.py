"""`Trace`: sums over ragged texts, units, joining, files, and the intervals of averages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.trace.predictors import MarkovLM
from plogp.trace.record import ReferenceTrace, Trace
from plogp.trace.tracing import trace


def made(lengths=(3, 0, 5, 1), seed=0, **more):
    g = np.random.default_rng(seed)
    n = sum(lengths)
    logprob = -g.exponential(2.0, n).astype(np.float32)
    scored = np.ones(n, dtype=bool)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    if n:
        scored[0] = False
        logprob[0] = np.nan
    return Trace(
        ids=g.integers(0, 9, n),
        offsets=starts,
        scored=scored,
        logprob=logprob,
        entropy=g.exponential(1.0, n),
        varentropy=g.exponential(1.0, n),
        rank=g.integers(1, 9, n).astype(np.int32),
        topk_ids=g.integers(0, 9, (n, 2)).astype(np.int32),
        topk_logprob=-g.exponential(1.0, (n, 2)),
        power={2.0: -g.exponential(1.0, n)},
        refs={"q": ReferenceTrace(-g.exponential(1.0, n), g.exponential(1.0, n), g.exponential(1.0, n))},
        n_chars=np.array(lengths) * 2,
        n_bytes=np.array(lengths) * 3,
        hidden=g.standard_normal((len(lengths), 4)).astype(np.float32),
        meta={"units": "nats", "model": "m"},
        **more,
    )


def equal(a: Trace, b: Trace) -> None:
    assert [n for n, _ in a._columns()] == [n for n, _ in b._columns()]
    for (name, x), (_, y) in zip(a._columns(), b._columns()):
        np.testing.assert_array_equal(x, y, err_msg=name)
        assert x.dtype == y.dtype, name
    np.testing.assert_array_equal(a.offsets, b.offsets)
    for name in ("n_chars", "n_bytes", "hidden"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.texts == b.texts


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_sums_are_those_of_a_loop(lengths, seed):
    t = made(tuple(lengths), seed)
    for name in ("entropy", "logprob", "power[2]", "refs[q].cross_entropy", "topk_logprob"):
        values = t.column(name).astype(np.float64)
        want = [values[a:b][t.scored[a:b]].sum(axis=0) for a, b in zip(t.offsets, t.offsets[1:])]
        np.testing.assert_allclose(t.sums(name), want, rtol=1e-12)
    assert t.n_scored.sum() == t.scored.sum()
    assert t.lengths.tolist() == lengths
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(t.means("entropy"), t.sums("entropy") / np.where(t.n_scored, t.n_scored, np.nan))
    rectangle, mask = t.padded("entropy")
    assert rectangle.shape == (len(lengths), max(lengths))
    assert mask.sum() == t.scored.sum()
    np.testing.assert_allclose(rectangle.sum(axis=1), t.sums("entropy"))


def test_sums_are_taken_in_float64():
    n = 100_000
    t = Trace(np.zeros(n, int), np.array([0, n]), np.ones(n, bool), np.full(n, -0.1, np.float32))
    assert t.nll()[0] == pytest.approx(n * float(np.float32(0.1)), rel=1e-12)


def test_reductions():
    t = made()
    a, b = t.offsets[2], t.offsets[3]
    nll = -float(t.logprob[a:b].astype(float).sum())
    assert t.nll()[2] == pytest.approx(nll)
    assert t.mean_nll()[2] == pytest.approx(nll / 5)
    assert t.ppl()[2] == pytest.approx(math.exp(nll / 5))
    assert t.bits_per_char()[2] == pytest.approx(nll / math.log(2) / 10)
    assert t.bits_per_byte()[2] == pytest.approx(nll / math.log(2) / 15)
    assert t.nll()[1] == 0
    assert np.isnan([t.mean_nll()[1], t.bits_per_byte()[1], t.ppl()[1]]).all()
    with pytest.raises(ValueError, match="made from ids"):
        trace(MarkovLM.random(3, rng=0), [1, 2]).bits_per_byte()


def test_units_change_nothing_that_has_none():
    t = made()
    b = t.to("bits")
    np.testing.assert_allclose(b.entropy, t.entropy / math.log(2))
    np.testing.assert_allclose(b.varentropy, t.varentropy / math.log(2) ** 2)
    np.testing.assert_allclose(b.refs["q"].second_moment, t.refs["q"].second_moment / math.log(2) ** 2)
    np.testing.assert_allclose(b.power[2.0], t.power[2.0] / math.log(2))
    np.testing.assert_array_equal(b.rank, t.rank)
    for name in ("ppl", "bits_per_byte", "bits_per_char"):
        np.testing.assert_allclose(getattr(b, name)(), getattr(t, name)(), rtol=1e-6)
    np.testing.assert_allclose(b.to("nats").logprob, t.logprob, rtol=1e-6)
    assert b.meta["units"] == "bits"
    assert t.meta["units"] == "nats"
    assert b.logprob.dtype == np.float32
    for method in ("martingale", "block"):
        for what in ("ppl", "bits_per_byte"):
            assert made((60,)).to("bits").estimate(what, method).se == pytest.approx(
                made((60,)).estimate(what, method).se, rel=1e-6
            )


def test_picking_and_joining_texts():
    t = made()
    equal(Trace.concat([t[0], t[1], t[2], t[3]]), t)
    equal(Trace.concat(list(t)), t)
    equal(t[[2, 0]], Trace.concat([t[2], t[0]]))
    equal(t[np.array([True, False, False, True])], Trace.concat([t[0], t[3]]))
    equal(t[1:3], Trace.concat([t[1], t[2]]))
    equal(t[-1], t[3])
    assert len(t[[]]) == 0
    with pytest.raises(IndexError):
        t[4]
    with pytest.raises(ValueError, match="at least one"):
        Trace.concat([])
    with pytest.raises(ValueError, match="units"):
        Trace.concat([t, t.to("bits")])
    with pytest.raises(ValueError, match="fields"):
        Trace.concat([t, trace(MarkovLM.random(3, rng=0), [1])])


def test_fields_by_name():
    t = made()
    assert t.column("power[2.0]") is t.power[2.0]
    assert (t.column("surprisal")[1:] == -t.logprob[1:]).all()
    with pytest.raises(ValueError, match="no field 'js'; it has surprisal, ids"):
        t.column("js")
    with pytest.raises(ValueError, match="one entry for each of 9 tokens"):
        t.sums(np.zeros(3))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="offsets must rise"):
        Trace(np.zeros(2, int), np.array([0, 1]), np.ones(2, bool), np.zeros(2))
    with pytest.raises(ValueError, match="entropy has 1 entries for 2 tokens"):
        Trace(np.zeros(2, int), np.array([0, 2]), np.ones(2, bool), np.zeros(2), entropy=np.zeros(1))
    with pytest.raises(ValueError, match="n_bytes has 2 entries for 1 texts"):
        Trace(np.zeros(2, int), np.array([0, 2]), np.ones(2, bool), np.zeros(2), n_bytes=np.zeros(2))


def test_parquet_keeps_everything(tmp_path):
    pytest.importorskip("pyarrow")
    for t in (
        made(
            texts=("abc", "  ", "défgh", "i"), char_span=np.array([[i, i + 1] for n in (3, 0, 5, 1) for i in range(n)])
        ),
        made((0, 0), texts=("", "")),
        made((1,)),
        trace(MarkovLM.random(5, rng=0), [[1, 2, 3], [4]], references=np.full(5, 0.2), js=True, powers=(0.5, 2.0)),
    ):
        path = t.to_parquet(tmp_path / "t.parquet")
        back = Trace.from_parquet(path)
        equal(back, t)
        assert back.meta == t.meta
        assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="no trace"):
        Trace.from_parquet(tmp_path / "x.parquet")


def test_any_engine_reads_it(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    t = made(
        texts=("abc", "  ", "défgh", "i"), char_span=np.array([[i, i + 1] for n in (3, 0, 5, 1) for i in range(n)])
    )
    path = t.to_parquet(tmp_path / "t.parquet")
    rows = duckdb.sql(
        f"SELECT document, -sum(logprob::DOUBLE), any_value(n_bytes), string_agg(token, '' ORDER BY position) "
        f"FROM '{path}' WHERE scored GROUP BY document ORDER BY document"
    ).fetchall()
    np.testing.assert_allclose([r[1] for r in rows], t.nll()[[0, 2, 3]], rtol=1e-6)
    assert [r[2] for r in rows] == [9, 15, 3]
    assert [r[3] for r in rows] == ["bc", "défgh", "i"]
    assert duckdb.sql(f"SELECT max(topk_logprob[1]), max(ref_q_cross_entropy) FROM '{path}'").fetchall()[0] == (
        t.topk_logprob[:, 0].max(),
        t.refs["q"].cross_entropy.max(),
    )


def test_pyarrow_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"plogp\[lm\]"):
        made().to_parquet(tmp_path / "t.parquet")


def test_plots():
    plt = pytest.importorskip("matplotlib.pyplot")
    t = made(texts=("abc", "", "defgh", "i"), char_span=np.array([[i, i + 1] for n in (3, 0, 5, 1) for i in range(n)]))
    ax = t.plot(2)
    assert [label.get_text() for label in ax.get_xticklabels()] == list("defgh")
    assert ax.get_ylabel() == "nats"
    plt.close("all")


# --- estimates -------------------------------------------------------------------------------------------------------


def test_values_are_pooled():
    t = made((5, 0, 9, 30))
    n = t.n_scored.sum()
    assert t.estimate().value == pytest.approx(t.nll().sum() / n)
    assert t.estimate("ppl").value == pytest.approx(math.exp(t.nll().sum() / n))
    assert t.estimate("bits_per_byte").value == pytest.approx(t.nll().sum() / math.log(2) / 132)
    assert t.estimate("nll").value == pytest.approx(t.nll().sum() / 3)
    assert t.estimate("entropy").value == pytest.approx(t.entropy[t.scored].mean())
    assert t.estimate(t.entropy).value == pytest.approx(t.entropy[t.scored].mean())
    e = t.estimate("ppl", "block")
    inner = t.estimate("mean_nll", "block")
    np.testing.assert_allclose(np.log(e.interval()), inner.interval())
    assert t.estimate("entropy").unit == "nats"
    assert t.estimate("rank").unit == ""
    assert e.unit == ""


def test_the_bootstrap_is_the_standard_error_of_a_ratio():
    g = np.random.default_rng(0)
    lengths = tuple(g.integers(5, 40, 200))
    t = made(lengths, 1)
    a, b = t.nll(), t.n_scored.astype(float)
    r = a.sum() / b.sum()
    delta = np.sqrt(((a - r * b) ** 2).sum()) / b.sum()
    e = t.estimate("mean_nll", n_resamples=4000, rng=0)
    assert e.method == "mean_nll(bootstrap)"
    assert e.n == 200
    assert e.se == pytest.approx(delta, rel=0.06)
    assert t.estimate("mean_nll", rng=3).se == t.estimate("mean_nll", rng=3).se


def test_runs_of_tokens_have_a_closed_form():
    t = made((50,))
    a = -t.logprob[t.scored].astype(float)
    n, b = len(a), 4
    g = np.random.default_rng(0)
    starts = g.integers(0, n, (20_000, round(n / b)))
    drawn = a[(starts[..., None] + np.arange(b)) % n].sum(axis=(1, 2)) / n
    want = drawn.std() * math.sqrt(n / b / round(n / b))
    assert t.estimate("mean_nll", "block", block=b).se == pytest.approx(want, rel=0.03)
    one = t.estimate("mean_nll", "block", block=1)
    assert one.se == pytest.approx(a.std() / math.sqrt(n))


def test_the_martingale_covers_the_model_that_wrote_the_text():
    lm = MarkovLM.random(6, sharpness=2.0, rng=0)
    t = trace(lm, lm.sample(300, 60, rng=1))
    inside = 0
    for one in t:
        low, high = one.estimate("mean_nll", "martingale").interval()
        inside += low <= one.means("entropy")[0] <= high
    assert 0.91 <= inside / 300 <= 0.985
    assert t.estimate("mean_nll", "martingale").se == pytest.approx(math.sqrt(t.varentropy.sum()) / 18_000)


def test_estimates_that_cannot_be_made():
    t = made((5,))
    few = t.estimate("mean_nll")
    assert few.se is None
    assert not few.has_interval
    with pytest.raises(ValueError, match="at least 30 scored tokens"):
        few.interval()
    with pytest.raises(ValueError, match="at least 2 texts"):
        t.estimate("mean_nll", "bootstrap")
    with pytest.raises(ValueError, match="martingale is one of surprisals"):
        t.estimate("entropy", "martingale")
    with pytest.raises(ValueError, match="method must be"):
        t.estimate("nll", "jackknife")
    with pytest.raises(ValueError, match="no scored token"):
        made((1,)).estimate()
    with pytest.raises(ValueError, match="several numbers"):
        t.estimate("topk_logprob")
    impossible = Trace(np.zeros(40, int), np.array([0, 40]), np.ones(40, bool), np.r_[-math.inf, np.zeros(39)])
    e = impossible.estimate("ppl")
    assert e.value == math.inf
    assert not e.has_interval
