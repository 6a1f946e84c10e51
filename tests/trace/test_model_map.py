"""The map of models: its geometry, its standard errors, its predictions."""

import itertools
import math

import numpy as np
import pytest

from plogp.trace.model_map import KLTable, ModelMap, ScorePrediction, loglik_vector
from plogp.trace.predictors import MarkovLM

RNG = np.random.default_rng(0)
L = RNG.normal(-200, 30, (6, 80))


def test_loglik_vector_is_the_sum_over_tokens():
    lm = MarkovLM.random(5, rng=1)
    texts = [[0, 1, 2, 4], [3], [2, 2]]
    first = np.log(lm.initial[[t[0] for t in texts]])
    rest = [sum(math.log(lm.transition[a, b]) for a, b in itertools.pairwise(t)) for t in texts]
    found = loglik_vector(lm, texts)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, first + rest)
    np.testing.assert_allclose(loglik_vector(lm, texts, temperature=1.0), found)


def test_coordinates_are_centred_both_ways_and_give_the_variance():
    world = ModelMap().fit(L, clip=None)
    np.testing.assert_allclose(world.coordinates.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(world.coordinates.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(world.kl().value, (L[:, None] - L[None]).var(-1) / 2)
    np.testing.assert_allclose(world.quality, L.mean(axis=1))
    moved = ModelMap().fit(L + RNG.normal(size=(6, 1)), clip=None)
    np.testing.assert_allclose(moved.coordinates, world.coordinates, atol=1e-10)
    np.testing.assert_allclose(ModelMap().fit(L + RNG.normal(size=80), clip=None).coordinates, world.coordinates)


def test_clipping_raises_the_lowest_entries_only():
    world = ModelMap().fit(L, clip=0.1)
    assert world.floor == np.quantile(L, 0.1, method="higher")
    np.testing.assert_array_equal(world.loglik, np.maximum(L, world.floor))
    holed = L.copy()
    holed[2, 3] = -math.inf
    assert np.isfinite(ModelMap().fit(holed).coordinates).all()
    np.testing.assert_array_equal(world.transform(L), world.coordinates)


def test_standard_error_is_the_jackknife_over_texts():
    world = ModelMap().fit(L, clip=None)
    e = world.kl(1, 4)
    without = [(np.delete(L[1] - L[4], s)).var() / 2 for s in range(80)]
    jackknife = math.sqrt(79 / 80 * sum((w - np.mean(without)) ** 2 for w in without))
    assert e.se == pytest.approx(jackknife, rel=1e-10)
    table = world.kl()
    assert isinstance(table, KLTable)
    assert table[1, 4].value == pytest.approx(e.value)
    assert table[4, 1].se == pytest.approx(e.se)
    assert table.value[2, 2] == 0
    np.testing.assert_allclose(np.asarray(table), table.value.T)
    # And it says how far other texts would move the value: normal log-ratios have Var(s²) = 2σ⁴/(n-1).
    wide = ModelMap().fit(np.random.default_rng(1).normal(size=(2, 4000)), clip=None).kl(0, 1)
    assert wide.se == pytest.approx(math.sqrt(2 / 4000), rel=0.15)
    assert abs(wide.value - 1) < 4 * wide.se


def test_half_the_squared_distance_is_kl_of_near_models():
    base = MarkovLM.random(20, rng=0)
    texts = base.sample(3000, 20, rng=1)
    models = [base.perturbed(0.15, rng=k) for k in range(6)]
    rows = [np.log(m.initial)[texts[:, 0]] + np.log(m.transition)[texts[:, :-1], texts[:, 1:]].sum(1) for m in models]
    world = ModelMap().fit(rows, clip=None, n_bytes=40)
    for i in range(6):
        for j in range(i):
            p, q = models[i], models[j]
            exact = float(p.initial @ np.log(p.initial / q.initial)) + 19 * p.kl_rate(q)
            assert world.kl(i, j).value == pytest.approx(exact, rel=0.12)


def test_units_and_names():
    world = ModelMap().fit(L, names=list("abcdef"), n_bytes=np.full(80, 50.0))
    nats = world.kl("a", "c")
    assert nats.unit == "nats/text"
    bits = world.kl("a", "c", unit="bits/byte")
    assert bits.value == pytest.approx(nats.value / math.log(2) / 50)
    assert bits.se == pytest.approx(nats.se / math.log(2) / 50)
    assert "bits/byte" in repr(bits)
    assert "6 models, 80 texts" in repr(world.kl(unit="bits/text")) + repr(world)
    assert repr(ModelMap()) == "ModelMap(empty)"


def test_embeddings_keep_distances():
    few = np.random.default_rng(2).normal(size=(9, 2)) @ np.random.default_rng(3).normal(size=(2, 300))
    world = ModelMap().fit(few, clip=None)
    twice = 2 * world.kl().value
    for method in ("pca", "mds"):
        at = world.embed(method)
        np.testing.assert_allclose(((at[:, None] - at[None]) ** 2).sum(-1), twice, rtol=1e-3, atol=1e-3 * twice.max())
    at = world.embed("tsne", rng=0)
    np.testing.assert_array_equal(at, world.embed("tsne", rng=0))
    nearest = np.where(np.eye(9) > 0, np.inf, twice)
    in_plane = np.where(np.eye(9) > 0, np.inf, ((at[:, None] - at[None]) ** 2).sum(-1))
    rank_of_nearest = [(in_plane[i] < in_plane[i, nearest[i].argmin()]).sum() for i in range(9)]
    assert np.mean(rank_of_nearest) < 3
    assert world.embed("pca", dim=9).shape == (9, 9)
    assert ModelMap().fit(few[:1], clip=None).embed("pca", dim=1).tolist() == [[0.0]]


def test_scores_are_predicted_out_of_fold():
    rng = np.random.default_rng(4)
    trait = rng.normal(size=(60, 3))
    rows = trait @ rng.normal(size=(3, 200)) + 0.3 * rng.normal(size=(60, 200))
    world = ModelMap().fit(rows)
    score = 50 + 5 * trait[:, 0] + rng.normal(size=60)
    found = world.predict(score, rng=1)
    assert isinstance(found, ScorePrediction)
    assert found.correlation > 0.9
    assert found.correlation == pytest.approx(np.corrcoef(found.values, score)[0, 1])
    noise = world.predict(rng.normal(size=60), rng=1)
    assert noise.correlation < 0.4  # nothing leaks from the fold that is predicted
    holed = np.where(np.arange(60) < 10, math.nan, score)
    rest = world.predict(holed, rng=1)
    assert rest.n == 50
    assert np.corrcoef(rest.values[:10], score[:10])[0, 1] > 0.8
    np.testing.assert_array_equal(rest.values, world.predict(holed, rng=1).values)


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    world = ModelMap().fit(L, names=list("abcdef"))
    ax = world.plot("mds")
    assert len(ax.collections[0].get_offsets()) == 6
    assert {t.get_text() for t in ax.texts} == set("abcdef")
    many = ModelMap().fit(RNG.normal(size=(200, 30)))
    assert not many.plot(color=np.arange(200)).texts


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ModelMap().kl(), "call fit"),
        (lambda: ModelMap().fit(L[0]), "shape"),
        (lambda: ModelMap().fit(L[:, :1]), "at least 2 texts"),
        (lambda: ModelMap().fit(np.where(L > -100, math.nan, L) * math.nan), "NaN"),
        (lambda: ModelMap().fit(L, clip=1.0), "clip"),
        (lambda: ModelMap().fit(np.where(L < -200, -math.inf, L)), "clip more"),
        (lambda: ModelMap().fit(L, names=["a"]), "names has 1"),
        (lambda: ModelMap().fit(L, n_bytes=[1, 2]), "n_bytes"),
        (lambda: ModelMap().fit(L).kl(0), "two models"),
        (lambda: ModelMap().fit(L).kl(0, 6), "model 6"),
        (lambda: ModelMap().fit(L).kl("x", "y"), "no model is named 'x'"),
        (lambda: ModelMap().fit(L).kl(unit="bans/text"), "unit must be"),
        (lambda: ModelMap().fit(L).kl(unit="nats/byte"), "n_bytes"),
        (lambda: ModelMap().fit(L).embed("umap"), "method"),
        (lambda: ModelMap().fit(L).embed(dim=7), "dim"),
        (lambda: ModelMap().fit(L[:3]).embed("tsne"), "at least 4 models"),
        (lambda: ModelMap().fit(L).predict([1.0, 2.0]), "scores must have shape"),
        (lambda: ModelMap().fit(L).predict([1, 2, 3, math.nan, math.nan, math.nan]), "at least 4"),
        (lambda: ModelMap().fit(L).transform(L[:, :3]), "shape"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words):
        call()
