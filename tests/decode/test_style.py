"""NGramPrior: the product of experts from counts of its own, and what the report measures."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import plogp as pl
from plogp.decode.style import NGramPrior, style_report
from plogp.trace import MarkovLM, NGramLM

V = 9
CORPUS = MarkovLM.random(V, 2.0, rng=4).sample(2, 120, rng=1)


@pytest.fixture(scope="module")
def style():
    return NGramLM(order=3, vocab_size=V).fit(CORPUS)


def ratio(context, order):
    """p_n(v | context) by counting, or None where the context is not in the corpus."""
    grams = Counter(tuple(row[i : i + order].tolist()) for row in CORPUS for i in range(len(row) - order + 1))
    counts = np.array([grams[(*context, v)] for v in range(V)], dtype=float)
    return counts / counts.sum() if counts.sum() else None


def factor(past, weights=(0.1, 0.3, 0.6), floor=1e-6):
    out = np.zeros(V)
    for n, w in enumerate(weights, start=1):
        if n - 1 <= len(past):
            p = ratio(tuple(past[len(past) - n + 1 :]), n)
            if p is not None:
                out += w * np.log(np.maximum(p, floor))
    return out


@pytest.mark.parametrize("past", [[], [3], [1, 2], [0, 5, 7], [8, 8, 8]])
def test_a_product_of_experts(style, past):
    z = np.random.default_rng(0).normal(size=(1, V))
    p = np.exp(z) * np.exp(0.7 * factor(past))
    found = np.exp(NGramPrior(style, 0.7).filter(z, ids=[past]))
    np.testing.assert_allclose(found / found.sum(), p / p.sum(), rtol=1e-9)


def test_strength_zero_is_the_identity(style):
    z = np.random.default_rng(0).normal(size=(2, V))
    np.testing.assert_array_equal(NGramPrior(style, 0.0).filter(z, ids=[[0], [1]]), z)


def test_smoothing_takes_the_place_of_the_floor(style):
    found = NGramPrior(style, 1.0, (1.0, 0.0, 0.0), floor=1e-300, delta=2.0).log_factor([])
    counts = np.bincount(CORPUS.ravel(), minlength=V)
    np.testing.assert_allclose(np.exp(found), (counts + 2) / (counts.sum() + 2 * V), rtol=1e-12)


def test_the_divergence_grows_with_the_strength(style):
    z = np.random.default_rng(2).normal(size=(1, V))
    js = pl.divergence("js")
    values = [
        float(js.from_logits(z, NGramPrior(style, lam).filter(z, ids=[[1, 2]]))[0]) for lam in (0, 0.1, 0.25, 0.5, 1.0)
    ]
    assert values[0] == 0
    assert (np.diff(values) > 0).all()


def test_the_report(style):
    base = MarkovLM.random(V, 1.0, rng=0)
    report = style_report(base, NGramPrior(style), (0.0, 0.5), [[0], [1, 2]], max_new_tokens=80, num_samples=2, rng=0)
    plain, steered = report.rows
    assert report.column("lam") == [0.0, 0.5]
    assert plain.js == 0.0
    assert steered.js > 0.01
    assert steered.style_ppl.value < plain.style_ppl.value
    assert all(0 <= share <= 1 for share in steered.overlap)
    assert steered.overlap[1] >= plain.overlap[1]
    assert 0 < steered.distinct_2 <= 1
    assert plain.jaccard == 1.0
    assert len(repr(report).splitlines()) == 3
    again = style_report(base, NGramPrior(style), (0.0, 0.5), [[0], [1, 2]], max_new_tokens=80, num_samples=2, rng=0)
    assert again.column("base_ppl") == report.column("base_ppl")


def test_the_report_draws(style):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    report = style_report(MarkovLM.random(V, 1.0, rng=0), NGramPrior(style), (0.0, 1.0), max_new_tokens=30, rng=0)
    ax = report.plot()
    assert len(ax.get_lines()) == 2
    from matplotlib import pyplot

    pyplot.close(ax.figure)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda s: NGramPrior("text"), TypeError, "ngram must be an NGramLM"),
        (lambda s: NGramPrior(NGramLM(order=2, vocab_size=3)), ValueError, "counted nothing"),
        (lambda s: NGramPrior(s, -1), ValueError, "lam must be"),
        (lambda s: NGramPrior(s, weights=(1, 2)), ValueError, "weights must be 3 numbers"),
        (lambda s: NGramPrior(s, floor=0), ValueError, "floor must lie"),
        (lambda s: NGramPrior(s, delta=-1), ValueError, "delta must be"),
        (lambda s: NGramPrior(s).filter(np.zeros(V)), ValueError, "pass ids"),
        (lambda s: NGramPrior(s).filter(np.zeros(4), ids=[0]), ValueError, "model's own tokenizer"),
        (
            lambda s: style_report(MarkovLM.random(V, rng=0), NGramPrior(s), prompts="text"),
            TypeError,
            "list of prompts",
        ),
        (lambda s: style_report(MarkovLM.random(V, rng=0), NGramPrior(s), ()), ValueError, "must not be empty"),
    ],
)
def test_wrong_parameters(style, make, error, words):
    with pytest.raises(error, match=words):
        make(style)
