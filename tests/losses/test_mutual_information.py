import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from plogp.estimate.critics import Bilinear, ConditionalGaussian, Separable  # noqa: E402
from plogp.estimate.training import generator  # noqa: E402
from plogp.estimate.variational import bound  # noqa: E402
from plogp.losses.mutual_information import (  # noqa: E402
    NWJ,
    InfoNCE,
    KPair,
    MutualInformation,
    clip_to,
    info_nce,
    k_pair,
    nwj,
)


def scores(k, scale=1.0, seed=0):
    return scale * torch.randn(k, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pairs(n=32, d=3, seed=0, noise=0.5):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    return x, x + noise * torch.randn(n, d, generator=g, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(k=st.integers(2, 20), scale=st.floats(0.01, 100), seed=st.integers(0, 999))
def test_k_pair_identity_and_cap(k, scale, seed):
    S = scores(k, scale, seed)
    assert float(k_pair(S) - info_nce(S)) == pytest.approx(math.log(k), abs=1e-9 * scale + 1e-9)
    assert -float(info_nce(S)) <= math.log(k) + 1e-12
    assert float(k_pair(S)) == pytest.approx(float(info_nce(S, log_k=False)), abs=1e-9 * scale + 1e-9)
    cross = torch.nn.functional.cross_entropy
    both = (cross(S, torch.arange(k)) + cross(S.T, torch.arange(k))) / 2
    assert float(info_nce(S, symmetric=True, log_k=False)) == pytest.approx(float(both), abs=1e-9 * scale + 1e-9)


def test_nwj_by_definition():
    S = scores(5)
    off = ~torch.eye(5, dtype=torch.bool)
    expected = S.diagonal().mean() - torch.exp(S[off] - 1).mean()
    assert float(nwj(S)) == pytest.approx(-float(expected), abs=1e-12)


def test_known_information():
    """With the true log-ratio as critic the bounds are near the truth: d/2 log(1 + 1/noise²)."""
    x, y = pairs(2000, 2, noise=1.0)
    truth = math.log(2.0)
    channel = ConditionalGaussian(2, 2, mean=lambda v: v, sd=1.0).double()
    marginal = torch.distributions.Normal(0.0, math.sqrt(2.0))

    def ratio(a, b):
        return channel(a, b) - marginal.log_prob(b).sum(1)[None]

    assert -float(InfoNCE(ratio)(x, y)) == pytest.approx(truth, abs=0.1)
    assert -float(InfoNCE(ratio, symmetric=True)(x, y)) == pytest.approx(truth, abs=0.1)
    assert -float(NWJ(lambda a, b: 1 + ratio(a, b))(x, y)) == pytest.approx(truth, abs=0.1)
    assert float(KPair(ratio)(x, y)) == pytest.approx(math.log(2000) - truth, abs=0.1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", ["mine", "dv", "nwj", "infonce", "js", "smile", "f"])
def test_critic_climbs_and_the_model_follows_the_sign(sign, kind):
    x, y = (v.requires_grad_() for v in pairs())
    critic = Separable(3, 3, width=8, embed=4, generator=generator(0)).double()
    loss = MutualInformation(critic, sign, kind, coef=0.1)
    term = loss(x, y)
    parameters = list(critic.parameters())
    of_x, of_y, *of_critic = torch.autograd.grad(term, [x, y, *parameters])
    objective, value = bound(critic(x, y), kind)
    up_x, up_y, *up_critic = torch.autograd.grad(objective, [x, y, *parameters])
    torch.testing.assert_close(of_x, -sign * 0.1 * up_x)
    torch.testing.assert_close(of_y, -sign * 0.1 * up_y)
    for ours, theirs in zip(of_critic, up_critic):
        torch.testing.assert_close(ours, -theirs)
    assert float(term.detach()) == pytest.approx(-sign * 0.1 * float(value), rel=1e-9)
    assert float(loss.value) == pytest.approx(float(value), rel=1e-9)


def test_regulariser_moves_the_information_its_way():
    """A linear encoder of noisy pairs, trained on the term alone, gains information or loses it."""
    g = torch.Generator().manual_seed(0)
    found = {}
    for sign in (1, -1):
        encoder = torch.nn.Parameter(torch.tensor([[1.0, 1.0]]))
        loss = MutualInformation(Bilinear(1, 1, generator=generator(0)), sign, "infonce")
        optimiser = torch.optim.Adam([encoder, *loss.parameters()], lr=0.02)
        for _ in range(200):
            shared = torch.randn(64, 1, generator=g)
            x = torch.cat([shared, torch.randn(64, 1, generator=g)], dim=1)  # the second column is only noise
            optimiser.zero_grad()
            loss(torch.nn.functional.normalize(x @ encoder.T, dim=0) * 8, shared).backward()
            optimiser.step()
        found[sign] = float(encoder[0, 0].detach().abs()) / float(encoder.detach().abs().sum())
    assert found[1] > 0.7
    assert found[-1] < 0.3


def test_the_moving_average_of_mine():
    x, y = pairs()
    critic = Separable(3, 3, width=8, embed=4, generator=generator(0)).double()
    loss = MutualInformation(critic, rate=0.1)
    loss(x, y)
    first = loss.state["log_mean"].clone()
    loss(x, 3 * y)
    second = loss.state["log_mean"].clone()
    fresh = bound(critic(x, 3 * y), "mine", state=(state := {}))
    assert fresh.value == loss.value
    expected = torch.logaddexp(first + math.log(0.9), state["log_mean"] + math.log(0.1))
    torch.testing.assert_close(second, expected)
    other = copy.deepcopy(loss)
    other.state = {}
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.state["log_mean"], second)
    loss.eval()
    loss(x, y)
    assert torch.equal(loss.state["log_mean"], second)  # evaluation leaves it alone


def test_state_dict_is_loaded_without_code(tmp_path):
    x, y = pairs()
    loss = MutualInformation(Separable(3, 3, width=8, embed=4, generator=generator(0)).double())
    loss(x, y)
    torch.save(loss.state_dict(), tmp_path / "loss.pt")
    other = MutualInformation(Separable(3, 3, width=8, embed=4, generator=generator(1)).double())
    other.load_state_dict(torch.load(tmp_path / "loss.pt", weights_only=True))
    assert torch.equal(other.state["log_mean"], loss.state["log_mean"])


def test_clip_to():
    g = torch.Generator().manual_seed(0)
    main = [torch.randn(3, generator=g), torch.randn(2, 2, generator=g), None]
    information = [10 * torch.randn(3, generator=g), None, torch.randn(5, generator=g)]

    def norm(group):
        return float(torch.sqrt(sum((t**2).sum() for t in group if t is not None)))

    clipped = clip_to(information, main)
    assert clipped[1] is None
    assert norm(clipped) == pytest.approx(norm(main), rel=1e-6)
    torch.testing.assert_close(clipped[0] / information[0], torch.full((3,), norm(main) / norm(information)))
    small = [t if t is None else 1e-3 * t for t in information]
    assert all(a is b or torch.equal(a, b) for a, b in zip(clip_to(small, main), small))
    assert norm(clip_to(information, [None])) == 0.0
    assert clip_to([None], main) == [None]
    assert torch.equal(clip_to([torch.zeros(2)], main)[0], torch.zeros(2))
    assert clip_to([torch.ones(2, dtype=torch.bfloat16)], main)[0].dtype == torch.bfloat16
    with pytest.raises(ValueError, match="gradients have a norm"):
        clip_to([torch.tensor([math.inf])], main)


def test_refuses():
    x, y = pairs()
    critic = Bilinear(3, 3, generator=generator(0)).double()
    with pytest.raises(TypeError, match="critic must be called"):
        InfoNCE("bilinear")
    with pytest.raises(ValueError, match="scores of all pairs"):
        KPair(lambda a, b: a)(x, y)
    with pytest.raises(ValueError, match="at least 2 rows"):
        NWJ(critic)(x[:1], y[:1])
    with pytest.raises(ValueError, match=r"\(k, k\)"):
        k_pair(x)
    for bad, match in (({"sign": 2}, "sign"), ({"kind": "best"}, "kind"), ({"coef": 0.0}, "coef")):
        with pytest.raises(ValueError, match=match):
            MutualInformation(critic, **bad)
    with pytest.raises(TypeError, match="unknown options"):
        MutualInformation(critic, temperature=1)
