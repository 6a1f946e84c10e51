import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from plogp.estimate.learners import ContextTree, KrichevskyTrofimov, Markov, SklearnLearner, TorchLearner
from plogp.estimate.tasks.sequences import markov
from plogp.estimate.training import MLP, generator


def symbol_by_symbol(learner, x):
    out = []
    for s in x:
        out.append(float(learner.logprob([s])[0]))
        learner.partial_fit([s])
    return np.array(out)


@settings(max_examples=30, deadline=None)
@given(order=st.integers(0, 3), symbols=st.integers(2, 4), seed=st.integers(0, 99), n=st.integers(0, 40))
def test_code_is_predicting_then_learning(order, symbols, seed, n):
    x = np.random.default_rng(seed).integers(0, symbols, n)
    a, b = Markov(order, symbols), Markov(order, symbols)
    assert np.allclose(a.code(x), symbol_by_symbol(b, x), atol=1e-12)
    assert (a.counts == b.counts).all()
    assert a.context == b.context
    pieces = Markov(order, symbols)  # in two pieces, the same
    found = np.r_[pieces.code(x[: n // 3]), pieces.code(x[n // 3 :])]
    assert np.allclose(found, Markov(order, symbols).code(x), atol=1e-12)


def test_markov_by_plain_counting():
    x = [0, 2, 1, 2, 1, 0, 2, 1]
    learner = Markov(2, 3, alpha=0.25)
    logs, counts, past = [], {}, (0, 0)
    for s in x:
        seen = counts.setdefault(past, [0, 0, 0])
        logs.append(math.log((seen[s] + 0.25) / (sum(seen) + 0.75)))
        seen[s] += 1
        past = (past[1], s)
    assert learner.code(x) == pytest.approx(logs, abs=1e-12)
    assert learner.num_parameters == 9 * 2
    assert np.exp(learner.log_table()).sum(axis=1) == pytest.approx(np.ones(9))


def kt_block(ones, n):
    """The KT probability of a sequence with so many ones, in closed form."""
    return special.betaln(ones + 0.5, n - ones + 0.5) - special.betaln(0.5, 0.5)


def test_kt_closed_form_and_its_redundancy():
    x = np.random.default_rng(0).integers(0, 2, 50)
    assert KrichevskyTrofimov().code(x).sum() == pytest.approx(kt_block(x.sum(), 50), abs=1e-10)
    # The exact expectation over a coin approaches ½ log n + ½ log(π/2) - ½.
    n, k = 20_000, np.arange(20_001)
    theory = 0.5 * math.log(n) + 0.5 * math.log(math.pi / 2) - 0.5
    assert theory == pytest.approx(4.6775, abs=1e-4)
    for p in (0.5, 0.2, 0.05):
        log_binomial = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
        law = np.exp(log_binomial + k * math.log(p) + (n - k) * math.log(1 - p))
        entropy = -n * (p * math.log(p) + (1 - p) * math.log(1 - p))
        assert law @ -kt_block(k, n) - entropy == pytest.approx(theory, abs=2e-3)


def weighted(x, past, depth):
    """Context-tree weighting by its recursion: half the KT block, half the product over the children."""

    def node(context):
        at = [
            s
            for t, s in enumerate(x)
            if (tuple(past) + tuple(x))[len(past) + t - len(context) : len(past) + t] == context
        ]
        own = kt_block(sum(at), len(at))
        if len(context) == depth:
            return own
        children = sum(node((a, *context)) for a in (0, 1))
        return math.log(0.5) + np.logaddexp(own, children)

    return node(())


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_context_tree_is_the_weighted_sum(depth):
    x = np.random.default_rng(depth).integers(0, 2, 40).tolist()
    found = ContextTree(depth).code(x).sum()
    assert found == pytest.approx(weighted(tuple(x), (0,) * depth, depth), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(depth=st.integers(0, 4), symbols=st.integers(2, 3), seed=st.integers(0, 99))
def test_context_tree_is_a_law(depth, symbols, seed):
    x = np.random.default_rng(seed).integers(0, symbols, 30)
    a, b = ContextTree(depth, symbols), ContextTree(depth, symbols)
    assert a.code(x) == pytest.approx(symbol_by_symbol(b, x), abs=1e-12)
    assert np.exp(a.log_proba(x)).sum(axis=1) == pytest.approx(np.ones(30))
    # The probabilities of all sequences of length 3 sum to 1.
    total = sum(math.exp(a.clone().code(list(s)).sum()) for s in itertools.product(range(symbols), repeat=3))
    assert total == pytest.approx(1.0)


def test_context_tree_finds_the_order():
    chain = np.array([[0.95, 0.05], [0.2, 0.8]])
    x = markov(chain, 4000, rng=1)
    tree, right, memoryless = (-m.code(x).sum() for m in (ContextTree(5), Markov(1), KrichevskyTrofimov()))
    assert right < tree < right + 8  # the price of not knowing the order
    assert tree < memoryless - 300


@pytest.mark.parametrize("learner", [Markov(1), ContextTree(3)])
def test_draws_follow_the_predictions(learner):
    chain = np.array([[0.9, 0.1], [0.3, 0.7]])
    learner.partial_fit(markov(chain, 5000, rng=0))
    y = learner.draw(np.zeros(5000), rng=1)
    stay = [(y[1:] == 0)[y[:-1] == 0].mean(), (y[1:] == 1)[y[:-1] == 1].mean()]
    assert stay == pytest.approx([0.9, 0.7], abs=0.04)
    assert (learner.draw(np.zeros(50), rng=3) == learner.draw(np.zeros(50), rng=3)).all()


def test_clones_learn_on_their_own():
    a = Markov(1).partial_fit([0, 1, 1])
    b = a.clone().partial_fit([1, 1, 1])
    assert a.counts.sum() == 3
    assert b.counts.sum() == 6


def test_scikit_learn_learners():
    from sklearn.naive_bayes import GaussianNB

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    x = y[:, None] + 0.3 * rng.standard_normal((400, 2))
    labels = np.array(["a", "b", "c"])
    learner = SklearnLearner(GaussianNB(), labels)
    assert learner.logprob((x, labels[y])) == pytest.approx(np.full(400, -math.log(3)))
    learner.partial_fit((x[:200], labels[y[:200]]))
    p = learner.estimator.predict_proba(x[200:])
    expected = np.log((1 - 1e-4) * p[np.arange(200), y[200:]] + 1e-4 / 3)
    assert learner.logprob((x[200:], labels[y[200:]])) == pytest.approx(expected)
    drawn = learner.draw((x, labels[y]), rng=0)[1]
    assert (drawn == labels[y]).mean() > 0.9
    clone = learner.clone().partial_fit((x, labels[y]))
    assert clone.logprob((x, labels[y])).mean() != learner.logprob((x, labels[y])).mean()
    with pytest.raises(ValueError, match="not among the classes"):
        learner.partial_fit((x[:2], ["a", "z"]))
    with pytest.raises(TypeError, match="partial_fit"):
        SklearnLearner(object(), [0, 1])


def test_torch_learner_averages_its_weights():
    net = MLP(2, 8, 2, generator=generator(0))
    learner = TorchLearner(net, lr=0.01, ema_steps=5)
    x = torch.randn(100, 2, generator=generator(1))
    y = (x[:, 0] > 0).long()
    kept = {n: p.clone() for n, p in net.named_parameters()}
    for steps in range(1, 13):
        learner.partial_fit((x, y))
        decay = min(math.exp(-1 / 5), steps / (10 + steps))
        for n, p in net.named_parameters():
            kept[n] = decay * kept[n] + (1 - decay) * p.detach()
    for n, p in learner.average.named_parameters():
        assert torch.allclose(p, kept[n], atol=1e-6)
    assert learner.num_parameters == sum(p.numel() for p in net.parameters())
    expected = torch.log_softmax(learner.average(x), -1)[torch.arange(100), y]
    assert learner.logprob((x, y)) == pytest.approx(expected.numpy(), abs=1e-5)
    assert learner.logprob((x.numpy(), y.numpy())) == pytest.approx(expected.numpy(), abs=1e-5)
    clone = learner.clone()
    clone.partial_fit((x, y))
    assert learner.steps == 12
    assert clone.steps == 13
    # without an average, the weights themselves
    plain = TorchLearner(MLP(2, 8, 2, generator=generator(0)), lr=0.01, ema_steps=0)
    plain.partial_fit((x, y))
    assert plain.log_proba((x, y)) == pytest.approx(torch.log_softmax(plain.module(x), -1).detach().numpy(), abs=1e-6)


def test_torch_learner_of_many_symbols_a_row():
    class Rows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(4, 3))

        def forward(self, x):
            return self.weight + 0.0 * x[..., None]

    learner = TorchLearner(Rows())
    x, y = np.zeros((5, 4)), np.random.default_rng(0).integers(0, 3, (5, 4))
    assert learner.logprob((x, y)).shape == (20,)
    assert learner.draw((x, y), rng=0)[1].shape == (5, 4)
    with pytest.raises(ValueError, match="y must have shape"):
        learner.logprob((x, y[:, :2]))


def test_bad_input():
    for make in (
        lambda: Markov(-1),
        lambda: Markov(1, 1),
        lambda: Markov(20, 4),
        lambda: Markov(1, alpha=0.0),
        lambda: Markov(1).code([0, 2]),
        lambda: Markov(1).partial_fit([-1]),
        lambda: ContextTree(-1),
        lambda: ContextTree(2, 3).code([3]),
    ):
        with pytest.raises(ValueError):
            make()
    with pytest.raises(TypeError, match="integers"):
        KrichevskyTrofimov().code([0.5, 1.0])
    with pytest.raises(TypeError):
        KrichevskyTrofimov().code([[0, 1]])
