"""`Joint`: by name what the functions do by axis; marginals, conditions, push-forwards, samples; against dit."""

import itertools

import dit
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from plogp.measures.channel import Channel
from plogp.measures.entropy import entropy
from plogp.measures.joint import Joint


def random_joint(seed: int, shape=(2, 3, 2), names="XYZ", zeros: float = 0.3) -> Joint:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(int(np.prod(shape)))).reshape(shape)
    return Joint(np.where(rng.random(shape) < zeros, 0.0, p), names, normalize=True)


def to_dit(j: Joint) -> dit.Distribution:
    d = dit.Distribution([tuple(map(str, o)) for o in j.to_dict()], list(j.to_dict().values()))
    d.set_rv_names(j.names)
    return d


@pytest.mark.parametrize("seed", range(4))
def test_against_dit_by_name(seed):
    j = random_joint(seed)
    d = to_dit(j)
    for word in ("X", "Y", "Z", "XY", "XZ", "YZ", "XYZ"):
        assert j.H(word, base=2) == pytest.approx(dit.shannon.entropy(d, list(word)), abs=1e-12)
    for a, b in itertools.permutations(["X", "Y", "Z", "XY", "YZ"], 2):
        assert j.H(a, given=b, base=2) == pytest.approx(dit.shannon.conditional_entropy(d, list(a), list(b)), abs=1e-12)
        assert j.I(a, b, base=2) == pytest.approx(dit.shannon.mutual_information(d, list(a), list(b)), abs=1e-12)
    for a, b, c in itertools.permutations("XYZ"):
        theirs = dit.multivariate.coinformation(d, [[a], [b]], [c])
        assert j.I(a, b, given=c, base=2) == pytest.approx(theirs, abs=1e-9)
    assert j.total_correlation(base=2) == pytest.approx(dit.multivariate.total_correlation(d), abs=1e-12)
    assert j.o_information(base=2) == pytest.approx(dit.multivariate.o_information(d), abs=1e-9)
    assert j.interaction_information(base=2) == pytest.approx(dit.multivariate.interaction_information(d), abs=1e-9)
    assert j.total_correlation("X", "Y") == pytest.approx(j.I("X", "Y"), abs=1e-14)
    assert j.s_information() == pytest.approx(j.total_correlation() + j.dual_total_correlation(), abs=1e-14)
    assert j.co_information() == pytest.approx(-j.interaction_information(), abs=1e-14)


def test_self_information_of_any_divergence_is_the_entropy_it_generates():
    j = random_joint(1)
    for name in ("kl", "tv", "hellinger", "chi2"):
        expected = entropy(j.marginal("Y").pmf, "f_copy", D=name)
        assert j.I("Y", "Y", D=name) == pytest.approx(expected, abs=1e-12)
        assert j.I("X", "Y", D=name) <= expected + 1e-12
    assert j.I("XY", "YZ") == pytest.approx(j.H("XY") + j.H("YZ") - j.H(), abs=1e-12)
    assert j.H("XY", given="X") == pytest.approx(j.H("Y", given="X"), abs=1e-14)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_chain_rules(seed):
    j = random_joint(seed)
    assert j.H() == pytest.approx(j.H("X") + j.H("Y", given="X") + j.H("Z", given="XY"), abs=1e-13)
    assert j.I("X", "YZ") == pytest.approx(j.I("X", "Y") + j.I("X", "Z", given="Y"), abs=1e-13)
    assert j.variation_of_information("X", "Y") == pytest.approx(j.H("X", given="Y") + j.H("Y", given="X"))
    assert 0 <= j.rajski_distance("X", "Y") <= 1
    assert j.rajski_distance("X", "X") == 0.0


def test_marginal_and_condition():
    j = random_joint(2, zeros=0.0)
    assert np.allclose(j.marginal("Z", "X").pmf, j.pmf.sum(1).T)
    given = j.condition(Y=2)
    assert given.names == ("X", "Z")
    assert np.allclose(given.pmf, j.pmf[:, 2] / j.pmf[:, 2].sum())
    mean = sum(j.pmf[:, y].sum() * j.condition(Y=y).I("X", "Z") for y in range(3))
    assert j.I("X", "Z", given="Y") == pytest.approx(mean, abs=1e-14)


def test_condition_knows_the_states_by_label():
    j = Joint.from_samples({"a": ["u", "v", "u", "w"], "b": [True, False, True, True]})
    assert j.condition(a="u").to_dict() == {(True,): 1.0}
    assert j.condition(b=True).to_dict() == {("u",): pytest.approx(2 / 3), ("w",): pytest.approx(1 / 3)}


def test_push_and_define():
    j = random_joint(3, zeros=0.0)
    pushed = j.push(lambda z, x: (z + x) % 2, "Z", "X", into="P")
    assert pushed.names == ("Y", "P")
    expected = np.zeros((3, 2))
    for (x, y, z), p in j.to_dict().items():
        expected[y, pushed.states["P"].index((x + z) % 2)] += p
    assert np.allclose(pushed.pmf, expected)
    more = j.define("P", lambda z, x: (z + x) % 2, "Z", "X")
    assert more.H("P", given="XZ") == 0.0
    assert np.allclose(more.marginal("X", "Y", "Z").pmf, j.pmf)
    assert j.I("Y", "XZ") >= pushed.I("Y", "P")


def test_channel_of_a_joint_and_back():
    j = random_joint(4)
    channel = j.channel("XZ", to="Y")
    assert isinstance(channel, Channel)
    px = j.marginal("X", "Z").pmf.ravel()
    assert np.allclose(channel.joint(px), np.moveaxis(j.pmf, 1, -1).reshape(4, 3))
    gap = Joint([[0.5, 0.5], [0.0, 0.0]], "XY").channel("X", "Y")
    assert np.allclose(gap.matrix, [[0.5, 0.5], [0.5, 0.5]])


def test_samples_and_counts():
    rng = np.random.default_rng(0)
    data = rng.integers(0, 3, (200, 2))
    j = Joint.from_samples(data, names=["left", "right"])
    counts = np.zeros((3, 3))
    np.add.at(counts, tuple(data.T), 1)
    assert np.allclose(j.pmf, counts / 200)
    assert np.allclose(Joint.from_counts(counts).pmf, j.pmf)
    both = Joint.from_samples(data[:, 0], data[:, 1])
    assert both.names == ("X0", "X1")
    assert np.allclose(both.pmf, j.pmf)
    assert j.H("left") == pytest.approx(special.entr(counts.sum(1) / 200).sum())


def test_independent_copy_has_the_same_marginals_and_no_information():
    j = random_joint(5)
    free = j.independent()
    for name in "XYZ":
        assert np.allclose(free.marginal(name).pmf, j.marginal(name).pmf)
    assert free.total_correlation() < 1e-28


def test_torch_and_jax_tables_stay_what_they_are_and_differentiate():
    p = random_joint(6, zeros=0.0).pmf
    t = torch.tensor(p, requires_grad=True)
    j = Joint(t, "XYZ")
    value = j.I("X", "Y", given="Z") + j.I("X", "XY") + j.push(max, "X", "Z", into="M").H("M")
    assert isinstance(value, torch.Tensor)
    (gradient,) = torch.autograd.grad(value, t)
    assert torch.isfinite(gradient).all()
    with jax.enable_x64(True):
        expected = Joint(p, "XYZ").I("X", "Y", given="Z")
        assert float(jax.jit(lambda a: Joint(a, "XYZ").I("X", "Y", given="Z"))(jnp.asarray(p))) == pytest.approx(
            float(expected), abs=1e-14
        )


def test_it_prints_its_outcomes():
    text = str(Joint([[0.75, 0.0], [0.0, 0.25]], "AB"))
    assert text.splitlines() == ["Joint(A[2], B[2]; H=0.5623 nats)", "A  B  p", "0  0  0.75", "1  1  0.25"]
    assert "and 20 more outcomes" in str(Joint(np.full((6, 6), 1 / 36)))


def test_bad_input_is_refused():
    p = [[0.5, 0.0], [0.0, 0.5]]
    with pytest.raises(ValueError, match="must sum to 1"):
        Joint([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="NaN"):
        Joint([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="at least one axis"):
        Joint(1.0)
    with pytest.raises(ValueError, match="2 different names"):
        Joint(p, "XX")
    with pytest.raises(ValueError, match="2 different names"):
        Joint(p, "XYZ")
    with pytest.raises(ValueError, match="must label the states"):
        Joint(p, "XY", states={"X": ["a"]})
    j = Joint(p, "XY")
    with pytest.raises(ValueError, match="no variable 'Q'; the variables are X, Y"):
        j.H("Q")
    with pytest.raises(ValueError, match="no state 7"):
        j.condition(X=7)
    with pytest.raises(ValueError, match="leaves no variable"):
        j.condition(X=0, Y=0)
    with pytest.raises(ValueError, match="probability 0"):
        Joint([[[1.0, 0.0]]], "XYZ").condition(Z=1)
    with pytest.raises(ValueError, match="already"):
        j.define("X", abs, "Y")
    with pytest.raises(ValueError, match="equally long"):
        Joint.from_samples([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="not empty"):
        Joint.from_samples([], [])
    with pytest.raises(ValueError, match="NaN"):
        Joint.from_samples([1.0, np.nan], [1, 2])
    with pytest.raises(ValueError, match="more than 1e\\+08 cells"):
        Joint.from_samples(np.arange(20_000), np.arange(20_000))
    with pytest.raises(ValueError, match="cannot be normalised"):
        Joint.from_counts([[0, 0]])
