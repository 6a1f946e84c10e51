"""`compare_samplers`: its measures by hand, its order, its errors and its plot."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import plogp as pl
from plogp.decode import compare_samplers, generate
from plogp.decode.sampler import SAMPLERS, get_sampler


@pytest.fixture(scope="module")
def lm():
    return pl.trace.MarkovLM.random(30, 2.0, rng=0)


@pytest.fixture(scope="module")
def found(lm):
    grids = {"top-p": (0.9, 0.2), "mirostat": (2.3, 2.5, 2.7)}
    return compare_samplers(lm, [[0], [1]], grids, max_new_tokens=60, num_samples=2, rng=0)


def test_the_measures_are_those_of_the_texts(lm):
    one = compare_samplers(lm, [[0]], {"typical": (0.4,)}, max_new_tokens=50, num_samples=3, ngram=2, distinct=1, rng=7)
    texts = generate(lm, [0], get_sampler("typical", 0.4), 50, num_samples=3, rng=np.random.default_rng(7))
    row = one.rows[0]
    nll = np.concatenate([[-math.log(lm.transition[a, b]) for a, b in zip([0, *ids[:-1]], ids)] for ids in texts.ids])
    assert row.perplexity.value == pytest.approx(math.exp(nll.mean()), rel=1e-5)
    assert row.surprisal == pytest.approx(nll.mean() / math.log(2), rel=1e-5)
    repeated = [1 - len({*zip(ids[:-1].tolist(), ids[1:].tolist())}) / 49 for ids in texts.ids]
    assert row.repetition == pytest.approx(np.mean(repeated))
    assert row.diversity == pytest.approx(len(np.unique(np.concatenate(texts.ids))) / 150)
    assert row.kept == pytest.approx(np.mean(np.concatenate(texts.n_kept)))


def test_curves_rise_with_the_parameter(found):
    assert found.samplers == ("top-p", "mirostat")
    x, y = found.curve("top-p", "perplexity")
    assert x == [0.2, 0.9]
    assert y[0] < y[1]
    targets, bits = found.curve("mirostat", "surprisal")
    np.testing.assert_allclose(bits, targets, atol=0.15)
    assert found.curve("mirostat", "repetition")[1][0] > found.curve("mirostat", "repetition")[1][-1]
    with pytest.raises(KeyError, match="no sampler 'eta' here"):
        found.curve("eta", "perplexity")


def test_the_document_is_json(found):
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["settings"]["prompts"] == 2
    assert document["settings"]["seed"] == 0
    assert [row["value"] for row in document["rows"]] == [0.9, 0.2, 2.3, 2.5, 2.7]
    low, high = document["rows"][0]["perplexity_interval"]
    assert low < document["rows"][0]["perplexity"] < high


def test_table_and_plot(found):
    assert found.table().row_count == 5
    pytest.importorskip("matplotlib")
    figure = found.plot()
    assert len(figure.axes) == 6
    assert [ax.get_title() for ax in figure.axes[:2]] == ["top-p", "mirostat"]
    np.testing.assert_allclose(figure.axes[2].get_lines()[0].get_ydata(), found.curve("top-p", "repetition")[1])


def test_a_temperature_comes_before_the_sampler(lm):
    cold = compare_samplers(lm, [[0]], {"top-p": (0.9,)}, max_new_tokens=80, temperature=0.3, rng=0)
    warm = compare_samplers(lm, [[0]], {"top-p": (0.9,)}, max_new_tokens=80, temperature=2.0, rng=0)
    assert cold.rows[0].perplexity.value < warm.rows[0].perplexity.value


def test_every_registered_sampler_compares(lm):
    grids = {name: (entry.default,) for name, entry in SAMPLERS.items()}
    assert len(compare_samplers(lm, [[0]], grids, max_new_tokens=8, num_samples=1, rng=0).rows) == len(SAMPLERS)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"samplers": ["nucleus"]}, KeyError, "no sampler 'nucleus'"),
        ({"samplers": "top-p"}, TypeError, "list of names"),
        ({"prompts": "text"}, TypeError, "list of prompts"),
        ({"prompts": []}, ValueError, "must not be empty"),
        ({"samplers": {"top-p": (1.5,)}}, ValueError, "mass must lie"),
        ({"max_new_tokens": 3}, ValueError, "too short"),
        ({"temperature": 0.0}, ValueError, "temperature must be positive"),
    ],
)
def test_mistakes_show_before_any_work(lm, arguments, error, words):
    with pytest.raises(error, match=words):
        compare_samplers(lm, **({"prompts": [[0]]} | arguments))
