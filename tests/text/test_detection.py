import json

import numpy as np
import pytest
from scipy.stats import beta, binom
from sklearn.metrics import roc_auc_score, roc_curve

from plogp.text import Detector, evaluate_scores, mint, scores
from plogp.text.detection import conformal_p_values, order_for
from plogp.text.evaluation import BinomialBounds
from plogp.text.human_reference import CALIBRATION, FORMAT, HumanReference
from plogp.trace import MarkovLM, Trace, trace

MODEL, HUMAN = MarkovLM.random(12, 1.5, rng=0), MarkovLM.random(12, 1.0, rng=0)


def traced(lm, n, seed, length=60, **more):
    return trace(MODEL, lm.sample(n, length, rng=seed), **more)


NEG, POS = traced(HUMAN, 120, 1), traced(MODEL, 80, 2)


# --- guarantees ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [19, 20, 59, 60, 99, 250, 1000])
@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("confidence", [None, 0.9, 0.95])
def test_the_order_statistic_is_the_largest_with_the_guarantee(n, fpr, confidence):
    def holds(r):
        if confidence is None:
            return r / (n + 1) <= fpr + 1e-12
        return beta.cdf(fpr, r, n + 1 - r) >= confidence

    good = [r for r in range(1, n + 1) if holds(r)]
    if good:
        assert order_for(n, fpr, confidence) == max(good)
    else:
        with pytest.raises(ValueError, match="at least") as error:
            order_for(n, fpr, confidence)
        needed = int(str(error.value).split("at least ")[1].split()[0])
        assert order_for(needed, fpr, confidence) == 1
        with pytest.raises(ValueError):
            order_for(needed - 1, fpr, confidence)


@pytest.mark.parametrize("ties", [False, True])
def test_the_guarantees_hold_over_calibrations(ties):
    """True rate of each of 600 detectors, of scores of known law."""
    rng = np.random.default_rng(0)
    rates = {None: [], 0.9: []}
    for _ in range(600):
        neg = rng.random(99)
        neg = np.round(neg, 1) if ties else neg
        for confidence, found in rates.items():
            t = Detector("loss", 0.1, confidence=confidence).fit(neg).threshold_
            # P(S > t): of round(U, 1) the values above t are t + 0.1, ..., 1, and 1 has half a cell
            found.append(max(1 - t - 0.05, 0.0) if ties else 1 - t)
    average = np.mean(rates[None])
    assert average <= 0.1 + 3 * np.std(rates[None]) / np.sqrt(600)
    exceeded = np.mean(np.array(rates[0.9]) > 0.1 + 1e-9)
    assert exceeded <= 0.1 + 3 * np.sqrt(0.09 / 600)
    if not ties:  # without ties the average is exact
        assert average > 0.09


def test_p_values_are_at_most_uniform_and_agree_with_predict():
    rng = np.random.default_rng(0)
    p = np.array([conformal_p_values(x[:1], x[1:])[0] for x in rng.integers(0, 30, (4000, 20))])
    for level in (0.05, 0.1, 0.5):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 4000)
    assert conformal_p_values([5.0, -1.0, np.nan], [1.0, 5.0, 7.0]) == pytest.approx([0.75, 1.0, np.nan], nan_ok=True)
    detector = Detector("loss", 0.05, confidence=None).fit(NEG)
    np.testing.assert_array_equal(detector.predict(POS), detector.p_value(POS) <= 0.05)
    with pytest.raises(ValueError, match="calibration"):
        conformal_p_values([1.0], [])


def test_the_bound_on_the_rate_is_that_of_the_beta_law():
    detector = Detector("loss", 0.1).fit(NEG)
    assert detector.rate_bound_ == pytest.approx(beta.ppf(0.95, detector.rank_, 121 - detector.rank_))
    assert detector.rate_bound_ <= 0.1


# --- the detector ----------------------------------------------------------------------------------------------------


def test_it_flags_the_models_text_and_says_how_much():
    detector = Detector("fast_detect_gpt", 0.1).fit(NEG, POS)
    s = scores.fast_detect_gpt(POS)
    np.testing.assert_allclose(detector.scores(POS), s)
    np.testing.assert_array_equal(detector.predict(POS), s > detector.threshold_)
    np.testing.assert_allclose(detector.decision_function(POS), s - detector.threshold_)
    assert detector.power_.value == pytest.approx((s > detector.threshold_).mean())
    low, high = detector.power_.interval()
    assert low < detector.power_.value < high
    assert detector.predict(NEG).mean() <= 0.1


def test_probabilities_are_logistic_and_follow_the_prior():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    neg, pos = (rng.normal(mean, 1, 4000) for mean in (0, 2))
    detector = Detector("loss").fit(neg, pos)
    x = np.linspace(-2, 4, 7)
    p = detector.predict_proba(x)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    truth = 1 / (1 + np.exp(-(2 * x - 2)))  # N(2, 1) against N(0, 1)
    np.testing.assert_allclose(p[:, 1], truth, atol=0.02)
    labels = np.repeat([0, 1], 4000)
    fitted = LogisticRegression(C=np.inf).fit(np.concatenate([neg, pos])[:, None], labels)
    np.testing.assert_allclose(p[:, 1], fitted.predict_proba(x[:, None])[:, 1], atol=2e-3)
    rare = Detector("loss", prior=0.01).fit(neg, pos).predict_proba(x)[:, 1]
    odds = p[:, 1] / p[:, 0]
    np.testing.assert_allclose(rare, 0.01 * odds / (0.01 * odds + 0.99), rtol=1e-6)
    alone = Detector("loss").fit(neg)
    np.testing.assert_allclose(alone.predict_proba(x)[:, 1], 1 - alone.p_value(x))


def test_it_is_kept_as_json(tmp_path):
    detector = Detector("min_k", 0.1, confidence=0.9, prior=0.2, k=0.3).fit(NEG, POS)
    path = detector.save(tmp_path / "d.json")
    back = Detector.load(path)
    for x in (NEG, POS):
        np.testing.assert_array_equal(back.predict(x), detector.predict(x))
        np.testing.assert_allclose(back.predict_proba(x), detector.predict_proba(x))
        np.testing.assert_allclose(back.p_value(x), detector.p_value(x))
    assert back.options == {"k": 0.3}
    assert back.power_.interval() == detector.power_.interval()
    infinite = Detector("loss", 0.1).fit(np.concatenate([[-np.inf], np.arange(60.0)]))
    assert Detector.load(infinite.save(path)).negatives_[0] == -np.inf
    record = json.loads(path.read_text())
    for broken in ({**record, "format": "x"}, {**record, "rank": 7}, {"format": record["format"]}, [1]):
        path.write_text(json.dumps(broken))
        with pytest.raises(ValueError):
            Detector.load(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="not a detector"):
        Detector.load(path)
    assert list(tmp_path.iterdir()) == [path]


class Letters(MarkovLM):
    """A chain over the letters a to l that reads texts."""

    @staticmethod
    def tokenizer(text):
        return [ord(c) - ord("a") for c in text]


def test_texts_are_traced_with_the_model():
    def texts(lm, n, seed):
        return ["".join(chr(ord("a") + i) for i in row) for row in lm.sample(n, 50, rng=seed)]

    model = Letters(MODEL.transition)
    neg, pos = texts(HUMAN, 60, 1), texts(MODEL, 20, 2)
    for name in ("fast_detect_gpt", "zlib"):
        detector = Detector(name, 0.1, model=model).fit(neg)
        np.testing.assert_allclose(detector.scores(pos), scores.REGISTRY[name](trace(model, pos)), rtol=1e-6)
        assert detector.fingerprint_ == model.fingerprint()
    assert Detector("loss", 0.1, model=model).fit(neg, pos).power_.n == 20


def test_another_models_trace_is_refused():
    detector = Detector("loss", 0.1).fit(NEG)
    with pytest.raises(ValueError, match="another model"):
        detector.predict(trace(HUMAN, HUMAN.sample(3, 30, rng=0)))
    with pytest.raises(ValueError, match="another model"):
        Detector("loss", 0.1).fit(NEG, trace(HUMAN, HUMAN.sample(3, 30, rng=0)))


def test_short_texts_are_not_passed_over():
    empty = Trace(np.zeros(0, int), np.zeros(2, int), np.zeros(0, bool), np.zeros(0))
    detector = Detector("loss", 0.1).fit(np.arange(60.0))
    assert np.isnan(detector.p_value(empty)).all()
    assert np.isnan(detector.predict_proba(empty)).all()
    with pytest.raises(ValueError, match="text 0 is too short"):
        detector.predict(empty)
    with pytest.raises(ValueError, match="1 of 1 are not"):
        detector.fit(empty)
    with pytest.raises(ValueError, match="0 of 0"):
        detector.fit(np.zeros(0))


def test_bad_input_is_refused():
    for bad in ({"score": "x"}, {"fpr": 0.0}, {"fpr": 1.0}, {"confidence": 1.0}, {"prior": 0.0}):
        with pytest.raises(ValueError):
            Detector(**bad)
    with pytest.raises(ValueError, match="not fitted"):
        Detector().predict(NEG)
    with pytest.raises(ValueError, match="at least 59"):
        Detector("loss", 0.05).fit(np.arange(58.0))
    with pytest.raises(TypeError, match="wrap it in a list"):
        Detector("loss").fit("a text")
    with pytest.raises(ValueError, match="finite"):
        Detector("loss", 0.1).fit(np.arange(60.0), [np.inf, 1.0])
    with pytest.raises(ValueError, match="shape"):
        Detector("loss").fit(np.zeros((3, 3)))


# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [8, 0])
def test_the_figures_are_those_of_the_roc_curve(decimals):
    rng = np.random.default_rng(0)
    s = np.round(np.concatenate([rng.normal(1, 1, 70), rng.normal(0, 1, 90)]), decimals)
    y = np.repeat([1, 0], [70, 90])
    result = evaluate_scores(s, y, fpr=(0.01, 0.05, 0.1, 0.5))
    false, true, cuts = roc_curve(y, s)
    assert result.auc.value == pytest.approx(roc_auc_score(y, s))
    for rate, value in result.tpr.items():
        assert value.value == pytest.approx(true[false <= rate + 1e-12][-1])
    best = np.argmax(true - false)
    assert result.accuracy.value == pytest.approx((1 + true[best] - false[best]) / 2)
    assert ((s >= result.threshold) == (s >= cuts[best])).all()
    assert json.loads(json.dumps(result.to_dict()))["tpr"]["0.05"]["low"] <= result.tpr[0.05].value
    infinite = evaluate_scores(np.where(s > 2, np.inf, np.where(s < -1, -np.inf, s)), y)
    assert 0.5 < infinite.auc.value < 1


def test_intervals_of_the_rates_cover():
    """Normal scores, so the truth is known: at FPR 0.1 the TPR is Phi(1 - 1.2816)."""
    from scipy.stats import norm

    truth, best = norm.cdf(1 - norm.ppf(0.9)), norm.cdf(0.5)
    rng = np.random.default_rng(0)
    hits = {"tpr": [], "accuracy": [], "narrow": []}
    for _ in range(200):
        s = np.concatenate([rng.normal(1, 1, 100), rng.normal(0, 1, 100)])
        result = evaluate_scores(s, [1] * 100 + [0] * 100, fpr=[0.1])
        low, high = result.tpr[0.1].interval(0.9)
        hits["tpr"].append(low <= truth <= high)
        hits["narrow"].append(high - low)
        low, high = result.accuracy.interval(0.9)
        hits["accuracy"].append(low <= best <= high)
    assert np.mean(hits["tpr"]) >= 0.9
    assert np.mean(hits["accuracy"]) >= 0.9
    assert np.mean(hits["narrow"]) < 0.6


def test_few_negatives_say_nothing_of_a_low_rate():
    result = evaluate_scores(np.arange(40.0), [0] * 20 + [1] * 20, fpr=[0.01])
    assert result.tpr[0.01].value == 1.0
    assert result.tpr[0.01].interval()[0] == 0.0


def test_binomial_bounds_are_exact():
    for k, n in ((0, 5), (3, 10), (10, 10)):
        low, high = BinomialBounds(k, n)(0.9)
        if k:
            assert binom.sf(k - 1, n, low) == pytest.approx(0.05)
        if k < n:
            assert binom.cdf(k, n, high) == pytest.approx(0.05)


def test_evaluation_refuses_bad_input():
    for s, y, message in (
        ([1.0, np.nan], [0, 1], "NaN for 1 of 2"),
        ([1.0, 2.0], [0, 0], "both groups"),
        ([1.0, 2.0], [0, 2], "True and False"),
        ([[1.0], [2.0]], [0, 1], "one-dimensional"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_scores(s, y)
    with pytest.raises(ValueError, match="fpr"):
        evaluate_scores([1.0, 2.0], [0, 1], fpr=[0.0])


def test_mint_tries_every_score_it_can_on_every_task():
    refs = {"references": {"human": HUMAN}}
    tasks = {
        "one": (traced(MODEL, 30, 1, **refs), traced(HUMAN, 40, 2, **refs)),
        "two": (traced(MODEL, 35, 3, **refs), traced(HUMAN, 30, 4, **refs)),
    }
    options = {"neighbourhood": lambda t: {"perturbed": scores.neighbours(t, MODEL, n=2, rng=0)}}
    table = mint(tasks, options=options)
    assert {"loss", "neighbourhood", "likelihood_ratio", "fast_detect_gpt"} <= set(table.auc)
    assert table.skipped["zlib"] == "zlib needs trace.texts"
    assert set(table.auc) | set(table.skipped) == set(scores.REGISTRY)
    s = np.concatenate([scores.loss(t) for t in tasks["two"]])
    assert table.auc["loss"]["two"].value == pytest.approx(roc_auc_score([1] * 35 + [0] * 30, s))
    columns = [[row[t].value for row in table.auc.values()] for t in tasks]
    from scipy.stats import spearmanr

    assert table.spearman.value == pytest.approx(spearmanr(*columns).statistic)
    low, high = table.spearman.interval()
    assert -1 <= low <= table.spearman.value <= high <= 1
    assert mint(tasks, options=options).spearman.interval() == (low, high)
    assert table.best("one") in table.auc
    assert "Spearman" in repr(table)


def test_mint_refuses_what_it_cannot_do():
    pair = (traced(MODEL, 5, 1), traced(HUMAN, 5, 2))
    with pytest.raises(ValueError, match="two tasks"):
        mint({"one": pair})
    with pytest.raises(ValueError, match="unknown names"):
        mint({"one": pair, "two": pair}, scores=["loss", "magic", "rank"])
    with pytest.raises(ValueError, match="zlib needs"):
        mint({"one": pair, "two": pair}, scores=["loss", "zlib", "rank"])
    with pytest.raises(ValueError, match="at least 3 scores"):
        mint({"one": pair, "two": pair}, scores=["loss", "rank"])


def test_plots():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    assert evaluate_scores(np.arange(9.0), [0, 1, 0] * 3).plot().lines
    pair = (traced(MODEL, 9, 1), traced(HUMAN, 9, 2))
    assert mint({"one": pair, "two": pair}).plot().texts
    plt.close("all")


# --- human reference -------------------------------------------------------------------------------------------------


def reference(keep=1):
    """A reference made of known scores: n = 100 at 20 tokens, 50 at 40; every keep-th order statistic."""
    human = {}
    for n, count in ((20, 100), (40, 50)):
        s = {name: np.sort(scores.REGISTRY[name](traced(HUMAN, count, n, n))) for name in ("loss", "min_k")}
        ranks = np.arange(1, count + 1)[::keep]
        rows = {name: values[ranks - 1].tolist() for name, values in s.items()}
        human[str(n)] = {"n": count, "ranks": ranks.tolist(), "scores": rows}
    figures = {"auc": {"value": 0.8, "low": 0.7, "high": 0.9}}
    record = {
        "format": FORMAT,
        "model": {"name": "MarkovLM", "fingerprint": MODEL.fingerprint()},
        "scores": ["loss", "min_k"],
        "lengths": [20, 40],
        "human": {"all": human, "half": {"20": human["20"]}},
        "generated": {"plain": {"40": {"loss": figures}}},
        "flagged_at_5_percent": {"all": {"40": {"loss": 0.04}}},
    }
    return HumanReference(record)


def test_a_text_is_compared_with_human_texts_of_its_length():
    ref = reference()
    t = trace(MODEL, [list(HUMAN.sample(1, n, rng=n)[0]) for n in (10, 25, 70)])
    found = ref.test(t, "loss")
    assert found.length.tolist() == [0, 20, 40]
    assert found.n.tolist() == [0, 100, 50]
    assert np.isnan(found.p_value[0])
    for i, (n, count) in enumerate(((20, 100), (40, 50)), start=1):
        value = t[i].logprob[:n].mean()
        assert found.value[i] == pytest.approx(value)
        human = scores.loss(traced(HUMAN, count, n, n))
        assert found.p_value[i] == pytest.approx((1 + (human >= value).sum()) / (count + 1))
        assert found.p_low[i] == pytest.approx((1 + (human <= value).sum()) / (count + 1))
        assert f"{count} human texts of {n} tokens" in found.sentence(i)
    assert "too short" in found.sentence(0)
    assert ref.test(t, "loss", kind="half").length.tolist() == [0, 20, 20]
    assert ref.power("loss", 40)["auc"]["value"] == 0.8
    assert ref.flagged("loss", 40) == 0.04


def test_with_some_order_statistics_the_p_values_are_no_smaller():
    full, thin = reference(), reference(keep=7)
    t = traced(MODEL, 60, 5, 40)
    a, b = full.test(t, "min_k"), thin.test(t, "min_k")
    assert (b.p_value >= a.p_value - 1e-12).all()
    assert (b.p_low >= a.p_low - 1e-12).all()
    assert (b.p_value <= a.p_value + 7 / 51 + 1e-12).all()


def test_the_p_values_are_valid_on_human_text():
    p = reference().test(traced(HUMAN, 600, 77, 20), "loss").p_value
    for level in (0.05, 0.2, 0.5):
        # given the 100 reference texts the level has a spread of its own
        spread = np.sqrt(level * (1 - level) * (1 / 600 + 1 / 100))
        assert (p <= level).mean() <= level + 3 * spread


def test_the_reference_refuses_what_it_cannot_answer(tmp_path):
    ref = reference()
    t = traced(MODEL, 2, 1)
    for call, message in (
        (lambda: ref.test(t, "rank"), "score must be"),
        (lambda: ref.test(t, "loss", "poems"), "kind must be"),
        (lambda: ref.test(trace(HUMAN, [[1] * 30]), "loss"), "not by the model"),
        (lambda: ref.power("loss", 20), "no figures"),
        (lambda: ref.power("loss", 40, "greedy"), "samplings: 'plain'"),
        (lambda: ref.flagged("loss", 40, "half"), "no figures"),
        (lambda: HumanReference({"format": FORMAT}), "not a human reference"),
        (lambda: HumanReference({**ref.record, "format": "x"}), "format"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(FileNotFoundError, match="calibrate_lm"):
        HumanReference.load(tmp_path / "none.json")
    path = tmp_path / "r.json"
    path.write_text(json.dumps(ref.record))
    assert HumanReference.load(path).test(t, "loss").p_value == pytest.approx(ref.test(t, "loss").p_value)
    path.write_text("{")
    with pytest.raises(ValueError, match="not a human reference"):
        HumanReference.load(path)


@pytest.mark.skipif(not CALIBRATION.exists(), reason="training/calibrate_lm.py has not been run")
def test_the_reference_that_is_carried_is_of_the_embedded_model():
    pytest.importorskip("transformers")
    from plogp.trace import embedded_model

    ref, model = HumanReference.load(), embedded_model()
    assert ref.fingerprint == model.fingerprint(), "the weights have changed: run training/calibrate_lm.py"
    assert {"loss", "fast_detect_gpt", "min_k_pp"} <= set(ref.scores)
    text = "It was a dark night, and the wind went round the house as if it looked for a door. " * 4
    found = ref.test(trace(model, [text, "Too short."]), "loss")
    assert found.length[0] in ref.lengths
    assert 0 < found.p_value[0] <= 1
    assert np.isnan(found.p_value[1])
    for length in ref.lengths:
        figures = ref.power("fast_detect_gpt", length, ref.samplings[0])
        assert figures["auc"]["low"] <= figures["auc"]["value"] <= figures["auc"]["high"]
        assert 0 <= ref.flagged("loss", length) <= 1
