"""Critics: all pairs against one pair at a time, in blocks and whole, with their gradients; known densities."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
critics = pytest.importorskip("plogp.estimate.critics")
generator = pytest.importorskip("plogp.estimate.training").generator

DIMS = (3, 2)


def _batch(n=6, m=6, dtype=torch.float64):
    g = generator(0)
    return (torch.randn(k, d, generator=g, dtype=dtype) for k, d in zip((n, m), DIMS))


def _critics():
    g = generator(1)
    return {
        "separable": critics.Separable(*DIMS, width=8, embed=4, generator=g),
        "concatenated": critics.Concatenated(*DIMS, width=8, generator=g),
        "deep": critics.Concatenated(*DIMS, width=8, depth=4, activation=torch.nn.Tanh, generator=g),
        "bilinear": critics.Bilinear(*DIMS, generator=g),
        "gaussian": critics.ConditionalGaussian(*DIMS, width=8, generator=g),
        "mixture": critics.ConditionalMixture(*DIMS, components=3, width=8, generator=g),
        "logistic": critics.ConditionalMixture(*DIMS, components=3, family="logistic", width=8, generator=g),
        "marginal": critics.ConditionalMixture(0, 2, components=3, generator=g),
    }


@pytest.mark.parametrize("name", _critics())
def test_all_pairs_are_the_pairs_one_by_one(name):
    critic = _critics()[name].double()
    x, y = _batch(6, 4)
    x = x[:, :0] if name == "marginal" else x
    S = critic(x, y)
    assert S.shape == (6, 4)
    one_by_one = torch.stack(
        [torch.stack([critic.pairs(x[i : i + 1], y[j : j + 1])[0] for j in range(4)]) for i in range(6)]
    )
    torch.testing.assert_close(S, one_by_one)


def test_concatenated_is_the_network_of_the_concatenation():
    critic = critics.Concatenated(*DIMS, width=8, depth=3, generator=generator(0)).double()
    x, y = _batch()
    plain = torch.nn.Sequential(critic.first, *critic.rest)
    expected = torch.stack([plain(torch.cat([x[i].expand(6, -1), y], dim=1))[:, 0] for i in range(6)])
    torch.testing.assert_close(critic(x, y), expected)


@pytest.mark.parametrize("name", ["concatenated", "gaussian", "mixture"])
def test_blocks_change_neither_values_nor_gradients(name, monkeypatch):
    critic = _critics()[name].double()
    x, y = _batch()

    def run():
        critic.zero_grad()
        S = critic(x, y)
        (S * torch.arange(36.0).reshape(6, 6)).sum().backward()
        with torch.no_grad():
            quiet = critic(x, y)
        return S.detach(), quiet, [p.grad.clone() for p in critic.parameters()]

    whole = run()
    monkeypatch.setattr(critics, "PAIR_BYTES", 1)
    blocks = run()
    torch.testing.assert_close(blocks[0], whole[0])
    torch.testing.assert_close(blocks[1], whole[1])
    torch.testing.assert_close(blocks[2], whole[2])


def test_blocks_are_recomputed_instead_of_held(monkeypatch):
    """With small blocks the tensors saved for the way back are few: no (n, n, width) stays."""
    critic = critics.Concatenated(*DIMS, width=64, generator=generator(0))
    x, y = _batch(50, 50, torch.float32)

    def saved():
        sizes = []

        def pack(t):
            sizes.append(t.numel())
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            critic(x, y)
        return sum(sizes)

    whole = saved()
    monkeypatch.setattr(critics, "PAIR_BYTES", 4 * 64 * 50 * 5)
    assert saved() < whole / 4
    assert whole >= 50 * 50 * 64 * 2


def test_shifted_are_entries_of_all_pairs():
    critic = _critics()["concatenated"].double()
    x, y = _batch()
    S, moved = critic(x, y), critic.shifted(x, y, 5)
    assert moved.shape == (5, 6)
    for s in range(5):
        for i in range(6):
            torch.testing.assert_close(moved[s, i], S[i, (i + s + 1) % 6])


def test_bilinear_with_encoders_trains_them():
    encoder = torch.nn.Linear(3, 5)
    critic = critics.Bilinear(5, 2, of_x=encoder)
    x, y = _batch(dtype=torch.float32)
    critic(x, y).sum().backward()
    assert encoder.weight.grad is not None
    torch.testing.assert_close(critic(x, y), encoder(x) @ critic.weight @ y.T)


def test_separable_has_the_rank_of_its_embedding():
    critic = critics.Separable(*DIMS, width=32, embed=3, generator=generator(0)).double()
    x, y = _batch(20, 20)
    assert int(torch.linalg.matrix_rank(critic(x, y).detach())) == 3


def test_gaussian_is_the_normal_density():
    known = critics.ConditionalGaussian(
        *DIMS, mean=lambda x: x[:, :2] ** 2, sd=lambda x: torch.exp(x[:, 2:]).expand(-1, 2)
    )
    assert not list(known.parameters())
    x, y = _batch()
    law = torch.distributions.Normal(x[:, :2] ** 2, torch.exp(x[:, 2:]))
    torch.testing.assert_close(known.pairs(x, y), law.log_prob(y).sum(1))
    for sd in (0.5, torch.tensor([0.5, 2.0])):
        channel = critics.ConditionalGaussian(*DIMS, mean=lambda x: x[:, :2], sd=sd)
        law = torch.distributions.Normal(x[:, :2], torch.as_tensor(sd, dtype=torch.float64))
        torch.testing.assert_close(channel.pairs(x, y), law.log_prob(y).sum(1))
    half = critics.ConditionalGaussian(*DIMS, width=8, sd=0.5)
    assert half.net.layers[-1].out_features == 2


@pytest.mark.parametrize("family", ["gaussian", "logistic"])
def test_mixture_is_a_density(family):
    q = critics.ConditionalMixture(1, 1, components=3, family=family, width=8, generator=generator(0)).double()
    y = torch.linspace(-60, 60, 20_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        S = q(torch.tensor([[0.3], [-2.0]], dtype=torch.float64), y)
    np.testing.assert_allclose(torch.trapezoid(S.exp(), y[:, 0], dim=1), 1.0, atol=1e-6)


def test_gaussian_mixture_is_that_of_torch():
    d = torch.distributions
    q = critics.ConditionalMixture(*DIMS, components=4, width=8, generator=generator(0)).double()
    x, y = _batch()
    log_share, mean, log_sd = q.parameters_of(x)
    each = d.Independent(d.Normal(mean, log_sd.exp()), 1)
    torch.testing.assert_close(q.pairs(x, y), d.MixtureSameFamily(d.Categorical(logits=log_share), each).log_prob(y))


def test_far_values_stay_finite():
    for name, critic in _critics().items():
        x, y = (t * 1e4 for t in _batch(dtype=torch.float32))
        x = x[:, :0] if name == "marginal" else x
        S = critic(x, y)
        S.sum().backward()
        assert torch.isfinite(S).all(), name
        assert all(torch.isfinite(p.grad).all() for p in critic.parameters() if p.grad is not None), name


def test_bfloat16_passes():
    for name in ("separable", "concatenated", "bilinear"):
        critic = _critics()[name].to(torch.bfloat16)
        x, y = _batch(dtype=torch.bfloat16)
        assert critic(x, y).dtype == torch.bfloat16
        assert torch.isfinite(critic(x, y)).all()


def test_start_is_seeded():
    one, two = (critics.Concatenated(*DIMS, generator=generator(4)) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters()))


def test_bad_shapes_and_settings():
    x, y = _batch(dtype=torch.float32)
    for critic in (_critics()[n] for n in ("separable", "concatenated", "bilinear", "gaussian")):
        with pytest.raises(ValueError, match=r"x must have shape \(n, 3\), got \(6, 2\)"):
            critic(y, y)
    with pytest.raises(ValueError, match=r"y must have shape \(n, 2\)"):
        critics.Concatenated(*DIMS).pairs(x, x)
    with pytest.raises(ValueError, match="depth"):
        critics.Concatenated(*DIMS, depth=0)
    with pytest.raises(ValueError, match="family"):
        critics.ConditionalMixture(*DIMS, family="cauchy")
    with pytest.raises(ValueError, match="components"):
        critics.ConditionalMixture(*DIMS, components=0)
    for sd in (-1.0, torch.ones(3), 0.0):
        with pytest.raises(ValueError, match="sd must be one positive number or 2"):
            critics.ConditionalGaussian(*DIMS, sd=sd)
    with pytest.raises(ValueError, match=r"mean\(x\) must have shape"):
        critics.ConditionalGaussian(*DIMS, mean=lambda x: x, sd=1.0)(x, y)
    with pytest.raises(ValueError, match="critic must be one of"):
        critics.as_critic("joint", 1, 1, generator(0))
    assert math.isclose(critics.LOG_TWO_PI, math.log(2 * math.pi))
