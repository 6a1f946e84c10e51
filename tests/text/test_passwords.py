import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.measures import jensen_shannon
from plogp.text import PasswordModel, select_by_js
from plogp.text.passwords import meter_errors
from plogp.trace import NGramLM
from plogp.trace.characters import PRINTABLE, Characters


class Fixed:
    """A law over a list of strings, given outright: characters come as that law's conditionals say."""

    def __init__(self, law, alphabet="ab"):
        names = Characters(alphabet)
        self.tokenizer, self.vocab_size, self.bos_id, self.eos_id = names, names.vocab_size, names.bos_id, names.eos_id
        self.law = {(*names.encode(x).tolist(), names.eos_id): p for x, p in law.items()}
        self.name = "fixed"

    def logprob(self, ids):
        p = self.law.get(tuple(int(i) for i in ids), 0.0)
        return np.array([math.log(p) if p else -math.inf])

    def sample(self, n, length, rng=None):
        g = np.random.default_rng(rng)
        keys = list(self.law)
        out = np.full((n, length), self.eos_id)
        for i, k in enumerate(g.choice(len(keys), n, p=list(self.law.values()))):
            out[i, : len(keys[k])] = keys[k]
        return out


def trained(samples=20_000, rng=1, order=3):
    g = np.random.default_rng(0)
    names = Characters("abcd")
    leak = ["".join(g.choice(list("abcd"), g.integers(1, 6), p=[0.5, 0.25, 0.15, 0.1])) for _ in range(600)]
    lm = NGramLM(order, names.vocab_size, bos_id=names.bos_id, eos_id=names.eos_id)
    return PasswordModel(lm, alphabet="abcd", max_length=5, samples=samples, rng=rng).pretrain(leak)


STRINGS = ["".join(x) for k in range(6) for x in itertools.product("abcd", repeat=k)]


def exact_ranks(model):
    log_p = model.logprob(STRINGS)
    return 1 + (log_p > log_p[:, None] + 1e-9).sum(axis=1)


def test_guess_numbers_are_unbiased_and_covered():
    model = trained(samples=2000)
    rank = exact_ranks(model)
    picked = np.random.default_rng(2).choice(len(STRINGS), 40, replace=False)
    numbers, covered = [], []
    for _ in range(30):
        model._drawn = None
        numbers.append(model.guess_numbers([STRINGS[i] for i in picked]))
        for i in picked[:8]:
            low, high = model.guess_number(STRINGS[i]).interval()
            covered.append(low <= rank[i] <= high)
    numbers = np.array(numbers)
    z = (numbers.mean(0) - rank[picked]) / (numbers.std(0, ddof=1) / math.sqrt(30) + 1e-12)
    assert np.abs(z).max() < 4.5
    assert np.mean(covered) > 0.9


def test_the_likeliest_needs_one_guess_and_ties_come_after():
    law = {"a": 0.5, "b": 0.2, "ab": 0.2, "ba": 0.1}
    model = PasswordModel(Fixed(law), max_length=3, samples=20_000, rng=0)
    assert model.guess_number("a").value == 1
    assert model.guess_number("b").value == model.guess_number("ab").value == pytest.approx(2, abs=0.05)
    assert model.guess_number("ba").value == pytest.approx(4, abs=0.1)
    low, high = model.guess_number("a").interval()
    assert low == 1 < high < 1.001
    with pytest.raises(ValueError, match="probability 0"):
        model.guess_number("bb")
    assert model.guess_numbers(["bb"])[0] == math.inf
    assert model.guess_curve(["a", "ba", "bb"], [1, 2, 5]).share.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3])


def test_standard_error_is_that_of_the_mean():
    model = trained(samples=1000)
    x = "cadb"
    e = model.guess_number(x)
    values = []
    for _ in range(25):
        model._drawn = None
        values.append(model.guess_number(x).value)
    assert e.se == pytest.approx(np.std(values, ddof=1), rel=0.5)
    assert e.unit == ""
    assert e.diagnostics["draws above"] > 50
    assert 1 < e.diagnostics["tail_draws"] <= e.diagnostics["draws above"]


def test_logprob_counts_the_end_and_meter_follows():
    names = Characters("ab")
    lm = NGramLM(1, names.vocab_size, smoothing="add", delta=1e-9, bos_id=names.bos_id, eos_id=names.eos_id)
    model = PasswordModel(lm, alphabet="ab", samples=2000, rng=0).pretrain(["ab", "aab"])
    # a 3/7, b 2/7, end 2/7
    assert model.logprob(["ab", ""]) == pytest.approx([math.log(3 / 7 * 2 / 7 * 2 / 7), math.log(2 / 7)])
    s = model.meter("ab")
    assert s.nll == pytest.approx(-math.log(12 / 343))
    assert s.log10 == pytest.approx(math.log10(s.guesses.value))
    assert s.bits == pytest.approx(s.log10 / math.log10(2))
    terms = model.nll(["ab", "b"])
    assert terms.value == pytest.approx(-np.mean(model.logprob(["ab", "b"])))
    assert all(set(x) <= {"a", "b"} for x in model.sample(50, rng=0))


def test_finetuning_moves_towards_the_sample():
    model = PasswordModel(samples=500, rng=0).pretrain(["monkey1", "dragon2", "shadow3"] * 5)
    before = model.logprob(["zebra99"])[0]
    first = model.guess_numbers(["zebra99"])[0]
    model.finetune(["zebra99"], weight=3)
    assert model.logprob(["zebra99"])[0] > before + 5
    assert model.guess_numbers(["zebra99"])[0] < first
    with pytest.raises(ValueError, match="weight"):
        model.finetune(["a"], weight=0)


def test_a_transformer_passes():
    pytest.importorskip("torch")
    from plogp.trace import CharTransformerLM

    lm = CharTransformerLM("ab", width=16, layers=1, heads=2, segment=8, rng=0)
    model = PasswordModel(lm, max_length=6, samples=3000, rng=0).pretrain(["abab", "ab"] * 10, steps=100, lr=1e-2)
    assert model.guess_curve(["ab", "abab"]).at(3) == 1.0
    # Rank of everything against sorting all strings.
    strings = ["".join(x) for k in range(7) for x in itertools.product("ab", repeat=k)]
    p = np.exp(model.logprob(strings))
    assert 0.9 < p.sum() <= 1 + 1e-6
    model.finetune(["ba"] * 5, steps=40, lr=1e-2)
    assert np.exp(model.logprob(["ba"])[0]) > 5 * p[strings.index("ba")]
    with pytest.raises(ValueError, match="counts"):
        model.finetune(["ba"], weight=2)


def test_guess_curve_rises_and_plots():
    curve = trained(2000).guess_curve(STRINGS[:40])
    assert (np.diff(curve.share) >= 0).all()
    assert curve.at(1e14) == 1.0
    plt = pytest.importorskip("matplotlib.pyplot")
    ax = curve.plot()
    assert ax.get_xscale() == "log"
    plt.close(ax.figure)
    with pytest.raises(ValueError, match="row of numbers"):
        trained(100).guess_curve(["a"], [[1]])


def test_bad_input():
    with pytest.raises(ValueError, match="vocab_size, bos_id, eos_id"):
        PasswordModel(NGramLM(2, 10))
    for options in ({"samples": 1}, {"max_length": 0}):
        with pytest.raises(ValueError):
            PasswordModel(**options)
    model = PasswordModel(samples=100, rng=0)
    for bad in ("password", [1]):
        with pytest.raises(TypeError):
            model.pretrain(bad)
    with pytest.raises(ValueError, match="empty"):
        model.pretrain([])
    with pytest.raises(ValueError, match="alphabet"):
        model.pretrain(["ž"])
    with pytest.raises(ValueError, match="at least 2"):
        model.pretrain(["a"]).nll(["a"])
    assert model.characters.alphabet == PRINTABLE


def test_meter_errors_against_counting():
    g = np.random.default_rng(0)
    a, b = g.integers(0, 6, 40).astype(float), g.normal(size=40)
    e = meter_errors(a, b, 0.2)
    for t, unsafe, safe in zip(e.threshold, e.unsafe, e.safe):
        assert unsafe == np.mean([x >= t and y < 0.2 for x, y in zip(a, b)])
        assert safe == np.mean([x < t and y >= 0.2 for x, y in zip(a, b)])
    assert meter_errors(b, b, 0.2).unsafe_at(0) == 0
    assert e.unsafe_at(1.0) == 0
    for bad in (([1], [1, 2]), ([], []), ([math.nan], [1.0])):
        with pytest.raises(ValueError):
            meter_errors(*bad, 0.0)


def test_select_by_js_against_the_definition():
    choice = select_by_js({"x": ["ab", "b"], "y": ["a"]}, ["aab"], n=1)
    keys = ["\x02", "a", "b", "\x03"]
    counts = {"x": [2, 1, 2, 2], "y": [1, 1, 0, 1], "t": [1, 2, 1, 1]}
    assert len(keys) == 4
    for name in ("x", "y"):
        pair = np.array([counts[name], counts["t"]], float)
        assert choice.divergence[name] == pytest.approx(float(jensen_shannon(pair / pair.sum(1, keepdims=True))))
    assert choice.best == min(choice.divergence, key=choice.divergence.get)
    same = select_by_js([["a1"], ["b"]], ["a1"])
    assert same.best == 0
    assert same.divergence[0] == pytest.approx(0, abs=1e-12)
    shapes = select_by_js([["Xy12!"], ["xyz"]], ["Ab99?"], features="shapes")
    assert shapes.divergence[0] == pytest.approx(0, abs=1e-12)
    assert shapes.divergence[1] == pytest.approx(math.log(2))
    assert select_by_js([["abc"], ["d"]], ["zzz"], features=lambda x: [len(x)]).best == 0
    for bad in ({"features": "no"}, {"n": 0}):
        with pytest.raises(ValueError):
            select_by_js([["a"]], ["b"], **bad)
    with pytest.raises(ValueError, match="candidates"):
        select_by_js([], ["b"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abc1", min_size=1, max_size=6), min_size=1, max_size=8))
def test_js_of_a_sample_with_itself_is_zero_and_bounded(passwords):
    choice = select_by_js([passwords, ["zz"]], passwords)
    assert choice.divergence[0] == pytest.approx(0, abs=1e-12)
    assert -1e-12 <= choice.divergence[1] <= math.log(2) + 1e-12


def test_a_segment_shorter_than_the_passwords_is_refused():
    from plogp.trace import CharTransformerLM

    lm = CharTransformerLM("ab", width=8, layers=1, heads=1, segment=4, rng=0)
    with pytest.raises(ValueError, match="expected a segment of at least 13"):
        PasswordModel(lm, max_length=12)
    PasswordModel(lm, max_length=3)
