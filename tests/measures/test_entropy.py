"""Every entropy against its formula, SciPy, its limits and its identities."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl
from plogp.measures import entropies, entropy_from_logits, get_entropy, hill_number, varentropy
from plogp.testing import check_entropy

MEMBERS = [
    *[get_entropy(name) for name in entropies()],
    get_entropy("renyi", alpha=0.5),
    get_entropy("renyi", alpha=7.0),
    get_entropy("tsallis", q=0.5),
    get_entropy("sharma_mittal", q=0.5, r=2.0),
    get_entropy("kaniadakis", k=-0.2),
    *[get_entropy("f_copy", D=d) for d in ("tv", "hellinger", "chi2", "js")],
]


@pytest.mark.parametrize("h", MEMBERS, ids=repr)
def test_suite(h):
    constant = h.name == "f_copy" and h.D.name == "chi2"  # the number of states less one, whatever they weigh
    skip = {"gradient": "it is constant", "extreme_logits": "underflow"} if constant else None
    check_entropy(h, skip=skip)


P = np.random.default_rng(5).dirichlet(np.ones(7))


@pytest.mark.parametrize(
    ("kind", "parameters", "value"),
    [
        ("shannon", {}, scipy.stats.entropy(P)),
        ("renyi", {"alpha": 0.5}, np.log(np.sum(P**0.5)) / 0.5),
        ("renyi", {"alpha": 1.0}, scipy.stats.entropy(P)),
        ("renyi", {"alpha": 0.0}, math.log(7)),
        ("renyi", {"alpha": math.inf}, -np.log(P.max())),
        ("collision", {}, -np.log(np.sum(P**2))),
        ("hartley", {}, math.log(7)),
        ("min", {}, -np.log(P.max())),
        ("tsallis", {"q": 3.0}, (1 - np.sum(P**3)) / 2),
        ("tsallis", {"q": 0.3}, (1 - np.sum(P**0.3)) / (0.3 - 1)),
        ("gini-simpson", {}, 1 - np.sum(P**2)),
        ("sharma_mittal", {"q": 2.0, "r": 0.5}, (np.sum(P**2) ** (0.5 / -1) - 1) / 0.5),
        ("kaniadakis", {"k": 0.5}, -np.sum(P**1.5 - P**0.5)),
        ("guessing", {}, np.sum(np.arange(1, 8) * np.sort(P)[::-1])),
        ("f_copy", {"D": "kl"}, scipy.stats.entropy(P)),
        ("f_copy", {"D": "tv"}, 1 - np.sum(P**2)),
        ("f_copy", {"D": "hellinger"}, 1 - np.sum(P**1.5)),
        ("f_copy", {"D": "chi2"}, 6.0),
    ],
)
def test_formula(kind, parameters, value):
    assert float(pl.entropy(P, kind, **parameters)) == pytest.approx(float(value), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8).filter(lambda v: sum(v) > 1e-6))
def test_renyi_decreases_with_its_order(weights):
    p = np.array(weights) / sum(weights)
    values = [float(pl.entropy(p, "renyi", alpha=a)) for a in (0, 0.5, 1, 2, 10, math.inf)]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(values))
    assert values[-1] >= 0


def test_pseudo_additivity_of_tsallis():
    p, q = np.random.default_rng(0).dirichlet(np.ones(4), size=2)
    h = get_entropy("tsallis", q=1.7)
    a, b = float(h(p)), float(h(q))
    assert float(h(np.outer(p, q).ravel())) == pytest.approx(a + b + (1 - 1.7) * a * b)


def test_masked_logits_have_finite_value_and_gradient():
    torch = pytest.importorskip("torch")
    logits = torch.tensor([0.0, 0.0, -math.inf], requires_grad=True)
    value = entropy_from_logits(logits)
    value.backward()
    assert value.item() == pytest.approx(math.log(2))
    assert torch.isfinite(logits.grad).all()


def test_hill_and_varentropy():
    assert float(hill_number(np.full(9, 1 / 9), order=3)) == pytest.approx(9)
    surprisal = -np.log(P)
    assert float(varentropy(P)) == pytest.approx(np.sum(P * surprisal**2) - np.sum(P * surprisal) ** 2)
    assert float(varentropy(P, base=2)) == pytest.approx(float(varentropy(P)) / math.log(2) ** 2)


def test_unknown_names_and_parameters():
    with pytest.raises(ValueError, match="did you mean 'shannon'"):
        pl.entropy(P, "shanon")
    with pytest.raises(TypeError, match="takes alpha"):
        pl.entropy(P, "renyi", q=2)
