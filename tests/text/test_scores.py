import zlib as z

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.text import scores
from plogp.text.scores import REGISTRY
from plogp.trace import ArrayPredictor, MarkovLM, Trace, trace
from plogp.trace.record import ReferenceTrace

V = 12
MODEL, OTHER = MarkovLM.random(V, 1.5, rng=0), MarkovLM.random(V, 1.5, rng=1)
HUMAN = MarkovLM.random(V, 0.8, rng=2)
FREQ = np.arange(1, V + 1) / np.arange(1, V + 1).sum()


def traced(ids, **more):
    references = {"other": OTHER, "unigram": FREQ}
    t = trace(MODEL, [list(row) for row in ids], references=references, **more)
    return with_texts(t, [" ".join(map(str, row)) for row in ids])


def with_texts(t, texts):
    from dataclasses import replace

    return replace(t, texts=tuple(texts))


def extra(name, t, rng=0):
    """What a score needs beside the trace."""
    out = {}
    if REGISTRY[name].reference == "required":
        out["ref"] = "other"
    if "perturbed" in REGISTRY[name].extra:
        out["perturbed"] = scores.neighbours(t, MODEL, n=4, rng=rng)
    if "lowercased" in REGISTRY[name].extra:
        out["lowercased"] = trace(OTHER, [one.ids for one in t])
    if "prefixed" in REGISTRY[name].extra:
        out["prefixed"] = trace(HUMAN, [one.ids for one in t], context=[0, 1])
    if "sampled" in REGISTRY[name].extra:
        out["sampled"] = scores.sampled_logprobs(t, MODEL, m=10, rng=rng)
    return out


MACHINE, WRITTEN = traced(MODEL.sample(30, 60, rng=3)), traced(HUMAN.sample(30, 60, rng=4))


# --- the whole registry ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTRY)
def test_every_score_has_one_number_a_text_whatever_the_batch(name):
    options = extra(name, MACHINE)
    together = REGISTRY[name](MACHINE, **options)
    assert together.shape == (30,)
    assert together.dtype == np.float64
    assert np.isfinite(together).all()
    for i in (0, 17):
        own = dict(options)
        if "perturbed" in own:
            own["perturbed"] = own["perturbed"][4 * i : 4 * i + 4]
        if "sampled" in own:
            own["sampled"] = own["sampled"][60 * i : 60 * (i + 1)]
        for key in ("lowercased", "prefixed"):
            if key in own:
                own[key] = own[key][i]
        np.testing.assert_allclose(REGISTRY[name](MACHINE[i], **own), together[i], rtol=1e-9)


@pytest.mark.parametrize("name", [n for n in REGISTRY if n not in ("lowercase", "recall", "zlib")])
def test_every_score_is_larger_for_the_models_own_text(name):
    from plogp.estimate import auc

    s = np.concatenate([REGISTRY[name](t, **extra(name, t)) for t in (MACHINE, WRITTEN)])
    assert auc(s, [1] * 30 + [0] * 30).value > (0.55 if name in ("dc_pdd", "lastde", "lastde_pp", "entropy") else 0.8)
    assert REGISTRY[name].higher_is.startswith("machine")
    assert REGISTRY[name].source


@pytest.mark.parametrize("name", REGISTRY)
def test_a_text_that_is_too_short_is_nan_and_not_0(name):
    ids = [list(range(V)) * 4, []]
    t = traced(ids)
    options = {} if "perturbed" in REGISTRY[name].extra else extra(name, t)
    if "perturbed" in REGISTRY[name].extra:
        options["perturbed"] = [scores.neighbours(t[0], MODEL, n=3, rng=0), traced([[], [], []])]
    found = REGISTRY[name](t, **options)
    assert np.isfinite(found[0])
    assert np.isnan(found[1])


@pytest.mark.parametrize("name", REGISTRY)
def test_what_is_missing_is_named(name):
    score = REGISTRY[name]
    bare = Trace(np.arange(8) % V, np.array([0, 8]), np.ones(8, bool), np.full(8, -1.0))
    options = {} if score.extra else {"ref": "absent"} if score.reference in ("optional", "required") else {}
    needs_nothing = not (score.needs or score.reference or score.extra)
    assert bool(score.lacks(bare, **options)) is not needs_nothing
    if needs_nothing:
        assert score(bare).shape == (1,)
        return
    expected = {"dc_pdd": "unigram", "zlib": "texts"}.get(name) or (
        score.extra[0] if score.extra else "absent" if options else score.needs[0]
    )
    with pytest.raises(ValueError, match=expected) as error:
        score(bare, **options)
    assert name in str(error.value)
    assert not score.lacks(MACHINE, **extra(name, MACHINE))


@pytest.mark.parametrize("name", REGISTRY)
def test_bits_and_nats_give_the_same_score(name):
    options = extra(name, MACHINE)
    np.testing.assert_allclose(
        REGISTRY[name](MACHINE.to("bits"), **options), REGISTRY[name](MACHINE, **options), rtol=2e-4
    )


# These three differ in more than that, and are tested below.
@pytest.mark.parametrize("name", [n for n in REGISTRY if n not in ("recall", "min_k", "min_k_pp")])
def test_the_papers_protocol_leaves_out_the_first_token(name):
    """A trace whose first tokens are not scored has the same scores under both protocols."""
    t = MACHINE
    options = extra(name, t)
    first = np.isin(np.arange(len(t.ids)), t.offsets)
    from dataclasses import replace

    cut = replace(t, scored=t.scored & ~first, logprob=np.where(first, np.nan, t.logprob))
    for key in ("perturbed", "lowercased"):
        if key in options:
            p = options[key]
            options[key] = replace(p, scored=p.scored & ~np.isin(np.arange(len(p.ids)), p.offsets))
    np.testing.assert_allclose(REGISTRY[name](t, protocol="paper", **options), REGISTRY[name](cut, **options))
    with pytest.raises(ValueError, match="protocol"):
        REGISTRY[name](t, protocol="mine", **options)


# --- each against an independent computation ------------------------------------------------------------------------


def raw(n=40, seed=0):
    """Random logits of two models and tokens, with a trace of them in float64."""
    rng = np.random.default_rng(seed)
    a, b, ids = rng.normal(0, 2, (n, V)), rng.normal(0, 2, (n, V)), rng.integers(0, V, n)
    t = trace(ArrayPredictor(a), [ids], references={"q": ArrayPredictor(b), "unigram": FREQ}, dtype="float64")
    lp, lq = (x - np.logaddexp.reduce(x, axis=1, keepdims=True) for x in (a, b))
    return t, ids, lp, lq


def test_the_scores_of_one_model_are_their_definitions():
    t, ids, lp, _ = raw()
    own = lp[np.arange(40), ids]
    p, H = np.exp(lp), -(np.exp(lp) * lp).sum(1)
    sd = np.sqrt((p * lp**2).sum(1) - H**2)
    ranks = 1 + (lp > own[:, None]).sum(1)
    expected = {
        "loss": own.mean(),
        "entropy": -H.mean(),
        "rank": -ranks.mean(),
        "logrank": -np.log(ranks).mean(),
        "lrr": -own.sum() / np.log(ranks).sum(),
        "min_k": np.sort(own)[:8].mean(),
        "min_k_pp": np.sort((own + H) / sd)[:8].mean(),
        "fast_detect_gpt": (own + H).sum() / np.sqrt((sd**2).sum()),
        "binoculars": 1 - own.mean() / -H.mean(),
        "dc_pdd": np.mean(
            [min(np.exp(own[i]) * -np.log(FREQ[ids[i]]), 0.01) for i in np.unique(ids, return_index=True)[1]]
        ),
    }
    for name, value in expected.items():
        assert REGISTRY[name](t)[0] == pytest.approx(value, rel=1e-9), name


def test_the_scores_of_two_models_are_their_definitions():
    t, ids, lp, lq = raw(seed=1)
    at = np.arange(40)
    p, own, other = np.exp(lp), lp[at, ids], lq[at, ids]
    mean = (p * lq).sum(1)
    var = (p * lq**2).sum(1) - mean**2
    assert scores.fast_detect_gpt(t, ref="q")[0] == pytest.approx((other - mean).sum() / np.sqrt(var.sum()), rel=1e-9)
    assert scores.binoculars(t, ref="q")[0] == pytest.approx(1 - other.mean() / mean.mean(), rel=1e-9)
    assert scores.reference(t, ref="q")[0] == pytest.approx((own - other).mean(), rel=1e-9)
    assert scores.reference_ratio(t, ref="q")[0] == pytest.approx(-own.sum() / other.sum(), rel=1e-9)
    assert scores.likelihood_ratio(t, ref="q")[0] == pytest.approx((own - other).sum(), rel=1e-9)
    with pytest.raises(ValueError, match="exactly one reference"):
        scores.reference(t)


def test_zlib_lowercase_and_recall():
    t, *_ = raw(seed=2)
    mean = scores.loss(t)[0]
    assert scores.zlib(t, texts=["a b c"])[0] == pytest.approx(mean / len(z.compress(b"a b c")))
    with pytest.raises(ValueError, match="1 texts"):
        scores.zlib(t, texts=["a", "b"])
    low = trace(ArrayPredictor(np.zeros((5, V))), [[1, 2, 3]])
    assert scores.lowercase(t, lowercased=low)[0] == pytest.approx(mean / np.log(V))  # minus the ratio of two losses
    with pytest.raises(ValueError, match="the same 1 texts"):
        scores.lowercase(t, lowercased=Trace.concat([low, low]))
    members = [list(row) for row in MODEL.sample(3, 20, rng=0)]
    bare, after = trace(MODEL, members), trace(MODEL, members, context=[3])
    np.testing.assert_allclose(scores.recall(bare, prefixed=after), after.means("logprob") / bare.means("logprob"))
    paper = scores.recall(bare, prefixed=after, protocol="paper")
    np.testing.assert_allclose(paper, after.means("logprob") / scores.loss(bare, protocol="paper"))
    with pytest.raises(ValueError, match="same tokens"):
        scores.recall(bare, prefixed=trace(MODEL, [[1]] * 3))


def test_perturbation_scores():
    texts = [list(row) for row in MODEL.sample(3, 30, rng=0)]
    t = trace(MODEL, texts)
    versions = scores.neighbours(t, MODEL, n=5, share=0.2, rng=1)
    own, others = scores.loss(t), scores.loss(versions).reshape(3, 5)
    np.testing.assert_allclose(scores.neighbourhood(t, perturbed=versions), own - others.mean(1))
    expected = (own - others.mean(1)) / others.std(1)
    np.testing.assert_allclose(scores.detect_gpt(t, perturbed=versions), expected)
    in_parts = [versions[5 * i : 5 * i + 5] for i in range(3)]
    np.testing.assert_allclose(scores.detect_gpt(t, perturbed=in_parts), expected)
    logrank = -scores.logrank(versions).reshape(3, 5).mean(1)
    np.testing.assert_allclose(scores.npr(t, perturbed=versions), logrank / -scores.logrank(t))
    same = Trace.concat([t[0]] * 6)
    assert np.isnan(scores.detect_gpt(Trace.concat([t[0]] * 3), perturbed=same)).all()
    assert (scores.detect_gpt(Trace.concat([t[0]] * 3), perturbed=same, protocol="paper") == 0).all()
    with pytest.raises(ValueError, match="k versions"):
        scores.npr(t, perturbed=versions[:7])
    with pytest.raises(ValueError, match="3 traces"):
        scores.npr(t, perturbed=in_parts[:2])


def test_neighbours_change_the_asked_share_of_tokens_and_nothing_else():
    texts = [list(row) for row in MODEL.sample(2, 40, rng=0)]
    t = trace(MODEL, texts)
    versions = scores.neighbours(t, MODEL, n=6, share=0.25, rng=1)
    for i in range(2):
        for one in versions[6 * i : 6 * i + 6]:
            assert (one.ids != np.array(texts[i])).sum() == 10
    again = scores.neighbours(t, MODEL, n=6, share=0.25, rng=1)
    np.testing.assert_array_equal(again.ids, versions.ids)
    certain = MarkovLM([[0.0, 1.0], [1.0, 0.0]], initial=[1.0, 0.0])
    kept = scores.neighbours(trace(certain, [[0, 1, 0, 1]]), certain, n=2, share=1.0, rng=0)
    np.testing.assert_array_equal(kept.ids, [0, 1, 0, 1] * 2)
    for bad in ({"n": 0}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(ValueError, match="n must be"):
            scores.neighbours(t, MODEL, **bad)


# --- diversity entropy -----------------------------------------------------------------------------------------------


def diversity_by_hand(x, window, bins):
    cosines = []
    for i in range(len(x) - window):
        a, b = np.array(x[i : i + window]), np.array(x[i + 1 : i + 1 + window])
        cosines.append(a @ b / np.sqrt((a @ a) * (b @ b)))
    share = np.histogram(cosines, bins, (-1, 1))[0] / len(cosines)
    share = share[share > 0]
    return -(share * np.log(share)).sum() / np.log(bins)


def test_lastde_is_its_definition():
    x = np.random.default_rng(0).exponential(1, 50)
    t = Trace(np.zeros(50, int), np.array([0, 50]), np.ones(50, bool), -x)
    moving = [np.convolve(-x, np.ones(k) / k, "valid") for k in range(1, 16)]
    spread = np.std([diversity_by_hand(m, 4, 400) for m in moving], ddof=1)
    assert scores.lastde(t)[0] == pytest.approx(-x.mean() / spread, rel=1e-9)
    draws = np.random.default_rng(1).exponential(1, (50, 6))
    own = scores.lastde(t)[0]
    others = np.array([scores.lastde(Trace(t.ids, t.offsets, t.scored, -d))[0] for d in draws.T])
    expected = (own - others.mean()) / others.std(ddof=1)
    assert scores.lastde_pp(t, sampled=-draws)[0] == pytest.approx(expected, rel=1e-9)


def test_lastde_refuses_what_it_cannot_use():
    t = trace(MODEL, MODEL.sample(1, 18, rng=0))
    assert np.isnan(scores.lastde(t)).all()  # 4 + 15 tokens are the least
    assert np.isfinite(scores.lastde(trace(MODEL, MODEL.sample(1, 19, rng=0)))).all()
    with pytest.raises(ValueError, match="shape"):
        scores.lastde_pp(t, sampled=np.zeros((3, 5)))
    with pytest.raises(ValueError, match="NaN"):
        scores.lastde_pp(t, sampled=np.full((18, 5), np.nan))
    with pytest.raises(ValueError, match="not the model of the trace"):
        scores.sampled_logprobs(t, OTHER, m=3)
    with pytest.raises(ValueError, match="at least 2"):
        scores.lastde(t, window=1)
    with pytest.raises(ValueError, match="window of at least 2"):
        scores.diversity_entropy([1.0, 2.0, 3.0], window=3)


def test_sampled_logprobs_are_of_the_models_law():
    t = trace(MODEL, MODEL.sample(1, 30, rng=0))
    drawn = scores.sampled_logprobs(t, MODEL, m=4000, rng=1)
    error = np.sqrt(np.asarray(t.varentropy) / 4000)
    assert (np.abs(drawn.mean(axis=1) + t.entropy) < 5 * error + 1e-6).all()


# --- hostile input ---------------------------------------------------------------------------------------------------


def test_impossible_and_certain_tokens():
    lm = MarkovLM([[0.0, 1.0], [0.5, 0.5]], initial=[0.5, 0.5])
    impossible = trace(lm, [[1, 0, 0]])
    for name in ("loss", "min_k", "min_k_pp", "fast_detect_gpt", "binoculars"):
        assert REGISTRY[name](impossible)[0] == -np.inf, name
    certain = trace(MarkovLM([[0.0, 1.0], [1.0, 0.0]], initial=[1.0, 0.0]), [[0, 1] * 12])
    assert scores.min_k_pp(certain)[0] == 0.0
    assert np.isnan(scores.fast_detect_gpt(certain)).all()
    assert np.isnan(scores.binoculars(certain)).all()
    assert np.isnan(scores.lrr(certain)).all()
    long = trace(lm, [[0, 0] * 20])
    assert scores.lastde(long)[0] == -np.inf


def test_wrong_input_is_refused():
    with pytest.raises(TypeError, match="must be a Trace"):
        scores.loss([1.0, 2.0])
    for k in (0.0, 1.5, np.nan):
        with pytest.raises(ValueError, match="k must be"):
            scores.min_k(MACHINE, k=k)
    nan = Trace(np.zeros(3, int), np.array([0, 3]), np.ones(3, bool), np.array([-1.0, np.nan, -1.0]))
    with pytest.raises(ValueError, match="unknown at scored tokens"):
        scores.loss(nan)
    no_rank = Trace(nan.ids, nan.offsets, nan.scored, -np.ones(3), rank=np.zeros(3, int))
    with pytest.raises(ValueError, match="rank is unknown"):
        scores.rank(no_rank)


def test_dc_pdd_refuses_frequencies_that_do_not_fit():
    t = trace(MODEL, [[0, 1, 11]])
    for freq, message in (
        (np.ones(V), "sum to 1"),
        (np.ones(5) / 5, "one tokenizer"),
        (np.eye(V)[0], "freq is 0"),
        (np.ones((V, V)) / V**2, "a vector"),
    ):
        with pytest.raises(ValueError, match=message):
            scores.dc_pdd(t, freq=freq)
    with pytest.raises(ValueError, match="clip"):
        scores.dc_pdd(t, freq=FREQ, clip=0.0)


def test_dc_pdd_counts_a_token_once_and_by_the_paper_not_the_first():
    t = Trace(np.array([3, 1, 3, 1, 2]), np.array([0, 5]), np.ones(5, bool), np.log([0.9, 0.1, 0.2, 0.3, 0.4]))
    weight = -np.log(FREQ)
    every = (0.9 * weight[3] + 0.1 * weight[1] + 0.4 * weight[2]) / 3
    paper = (0.1 * weight[1] + 0.2 * weight[3] + 0.4 * weight[2]) / 3
    assert scores.dc_pdd(t, freq=FREQ, clip=None)[0] == pytest.approx(every)
    assert scores.dc_pdd(t, freq=FREQ, clip=None, protocol="paper")[0] == pytest.approx(paper)
    clipped = sum(min(x, 0.3) for x in (0.9 * weight[3], 0.1 * weight[1], 0.4 * weight[2])) / 3
    assert scores.dc_pdd(t, freq=FREQ, clip=0.3)[0] == pytest.approx(clipped)


def test_min_k_takes_one_token_of_a_short_text_but_the_paper_none():
    t = Trace(np.zeros(3, int), np.array([0, 3]), np.ones(3, bool), np.array([-1.0, -3.0, -2.0]))
    assert scores.min_k(t)[0] == -3.0
    assert np.isnan(scores.min_k(t, protocol="paper")[0])
    hundred = Trace(np.zeros(100, int), np.array([0, 100]), np.ones(100, bool), -np.arange(100.0))
    assert scores.min_k(hundred, k=0.29)[0] == -np.mean(np.arange(71, 100))  # 0.29 * 100 is below 29 in floats


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.floats(0.05, 1.0), st.integers(0, 99))
def test_ragged_texts_are_scored_as_one_by_one(lengths, k, seed):
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    scored = rng.random(n) > 0.2
    logprob = np.where(scored, -rng.exponential(1, n), np.nan)
    t = Trace(rng.integers(0, 5, n), offsets, scored, logprob, refs={"r": ReferenceTrace(-rng.exponential(1, n))})
    for name, options in (
        ("loss", {}),
        ("min_k", {"k": k}),
        ("reference", {}),
        ("dc_pdd", {"freq": "r", "clip": None}),
    ):
        together = REGISTRY[name](t, **options)
        for i in range(len(t)):
            alone = REGISTRY[name](t[i], **options)[0]
            assert together[i] == pytest.approx(alone, nan_ok=True, rel=1e-12)
            if name == "loss" and t[i].scored.any():
                assert alone == pytest.approx(t[i].logprob[t[i].scored].mean())
            if not t[i].scored.any():
                assert np.isnan(alone)


def test_the_standardised_surprisal_is_standard_on_the_models_own_text():
    t = trace(MODEL, MODEL.sample(400, 100, rng=5))
    s = scores.standardised_surprisal(t)
    assert abs(s.mean()) < 4 / 20
    assert abs(s.std() - 1) < 0.15
