import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.estimate import FixedTimeCausalAttention
from plogp.estimate.attention import Reference, WindowCritic, donsker_varadhan, sinusoids
from plogp.estimate.training import generator


def tokens(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def by_loops(attention, x, drawn=None):
    """Every position on its own, with plain sums."""
    window, heads, d = attention.window, attention.heads, attention.d_model
    size = d // heads
    out = []
    for t in range(window - 1, len(x)):
        own = x[t] if drawn is None else drawn[t]
        seen = [x[t - j] if j else own for j in range(window)]
        seen = [s + attention.place[j] for j, s in enumerate(seen)]
        q = attention.query(own + attention.place[0])
        mixed = []
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            score = torch.stack([q[part] @ attention.key(s)[part] / math.sqrt(size) for s in seen])
            weight = torch.exp(score - score.max())
            weight = weight / weight.sum()
            mixed.append(sum(w * attention.value(s)[part] for w, s in zip(weight, seen)))
        out.append(attention.out(torch.cat(mixed)))
    return torch.stack(out)


@settings(max_examples=20, deadline=None)
@given(window=st.integers(1, 5), heads=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99), extra=st.integers(0, 4))
def test_against_plain_loops(window, heads, seed, extra):
    attention = FixedTimeCausalAttention(8, window, heads, generator=generator(seed)).double()
    x, drawn = tokens(window + extra, 8, seed=seed), tokens(window + extra, 8, seed=seed + 1)
    assert torch.allclose(attention(x), by_loops(attention, x), atol=1e-12)
    assert torch.allclose(attention(x, drawn[:, None])[:, 0], by_loops(attention, x, drawn), atol=1e-12)


@pytest.mark.parametrize("window", [1, 3, 6])
def test_sees_exactly_its_window(window):
    """Gradients are exactly zero outside of it, and not inside."""
    attention = FixedTimeCausalAttention(8, window, 2, generator=generator(0)).double()
    x = tokens(12, 8).requires_grad_()
    out = attention(x)
    for i, t in enumerate(range(window - 1, 12)):
        (g,) = torch.autograd.grad(out[i].sum(), x, retain_graph=True)
        touched = (g != 0).any(1)
        assert touched.tolist() == [t - window < s <= t for s in range(12)]


def test_drawn_tokens_matter_only_at_their_own_position():
    attention = FixedTimeCausalAttention(8, 4, 2, generator=generator(0)).double()
    x, drawn = tokens(10, 8).requires_grad_(), tokens(10, 3, 8, seed=1).requires_grad_()
    out = attention(x, drawn)
    assert out.shape == (7, 3, 8)
    for i, t in enumerate(range(3, 10)):
        of_x, of_drawn = torch.autograd.grad(out[i, 1].sum(), (x, drawn), retain_graph=True)
        assert (of_x != 0).any(1).tolist() == [t - 4 < s < t for s in range(10)]  # its own true token is gone
        touched = (of_drawn != 0).any(2)
        assert touched.sum() == 1
        assert touched[t, 1]
    # Drawn tokens that are the true ones change nothing.
    assert torch.allclose(attention(x, x[:, None])[:, 0], attention(x), atol=1e-12)


def test_a_shift_in_time_changes_nothing():
    attention = FixedTimeCausalAttention(8, 3, generator=generator(0)).double()
    x = tokens(2, 12, 8)
    assert torch.allclose(attention(x)[:, 4:], attention(x[:, 4:]), atol=1e-12)
    # but the order inside the window matters
    swapped = x.clone()
    swapped[:, [0, 1]] = x[:, [1, 0]]
    assert not torch.allclose(attention(swapped)[:, 0], attention(x)[:, 0])


def test_gradients():
    attention = FixedTimeCausalAttention(4, 3, 2, generator=generator(0)).double()
    assert torch.autograd.gradcheck(
        attention, (tokens(5, 4).requires_grad_(), tokens(5, 2, 4, seed=1).requires_grad_())
    )


def test_batches_and_dtypes():
    attention = FixedTimeCausalAttention(8, 3, generator=generator(0))
    x = tokens(2, 5, 9, 8, dtype=torch.float32)
    assert attention(x).shape == (2, 5, 7, 8)
    assert torch.allclose(attention(x)[1, 2], attention(x[1, 2]), atol=1e-6)
    half = attention.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.isfinite(half).all()
    big = FixedTimeCausalAttention(8, 3, generator=generator(0))(1e4 * x)
    assert torch.isfinite(big).all()


def test_bad_input():
    for make in (
        lambda: FixedTimeCausalAttention(8, 0),
        lambda: FixedTimeCausalAttention(8, 3, heads=3),
        lambda: FixedTimeCausalAttention(0, 3),
        lambda: FixedTimeCausalAttention(8, 5)(torch.zeros(4, 8)),
        lambda: FixedTimeCausalAttention(8, 5).attend(torch.zeros(1, 8), torch.zeros(5, 8)),
        lambda: Reference("student", torch.zeros(1), torch.ones(1)),
    ):
        with pytest.raises(ValueError):
            make()


def test_sinusoids():
    code = sinusoids(5, 6)
    for place in range(5):
        for j in range(3):
            rate = 10000 ** (-2 * j / 6)
            assert code[place, 2 * j] == pytest.approx(math.sin(place * rate), abs=1e-6)
            assert code[place, 2 * j + 1] == pytest.approx(math.cos(place * rate), abs=1e-6)
    assert sinusoids(4, 5).shape == (4, 5)


def test_critic_shares_the_past_among_values():
    critic = WindowCritic(2, 3, window=4, d_model=8, heads=2, width=16, generator=generator(0)).double()
    y, side, past = tokens(6, 5, 2), tokens(6, 3, seed=1), tokens(6, 3, 5, seed=2)
    whole = critic(y, side, past)
    assert whole.shape == (6, 5)
    for j in range(5):
        assert torch.allclose(critic(y[:, j : j + 1], side, past)[:, 0], whole[:, j], atol=1e-12)
    alone = WindowCritic(2, 0, window=1, d_model=8, heads=2, width=16, generator=generator(0)).double()
    assert alone(y, None, tokens(6, 0, 2)).shape == (6, 5)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_reference_draws_follow_its_density(kind):
    law = Reference(kind, torch.tensor([-2.0, 0.0]), torch.tensor([2.0, 1.0]))
    x = law.draw(4000, 8, generator(0)).reshape(-1, 2)
    # the mean of exp(f) over draws against the integral of exp(f + log density)
    grid = [torch.linspace(-8, 8, 1601, dtype=torch.float64)] * 2
    points = torch.stack(torch.meshgrid(*grid, indexing="ij"), -1)
    density = torch.exp(law.log_density(points).double())
    assert float(density.sum() * 1e-4) == pytest.approx(1.0, abs=0.02)
    f = torch.exp(0.3 * points[..., 0] - 0.2 * points[..., 1] ** 2)
    sampled = torch.exp(0.3 * x[:, 0] - 0.2 * x[:, 1] ** 2).double()
    assert float(sampled.mean()) == pytest.approx(float((density * f).sum() * 1e-4), rel=0.03)
    # stratified: of m draws, one in every m-th part of each column's law
    if kind == "uniform":
        share = (law.draw(50, 8, generator(1)) - law.low) / (law.high - law.low)
        assert (torch.sort((share * 8).long(), dim=1).values == torch.arange(8)[:, None]).all()


def test_donsker_varadhan_reaches_the_divergence():
    """With F = log p/q the bound is KL: two normals, and any shift of F changes nothing."""
    x, z = tokens(200_000, seed=0) + 1.0, tokens(200_000, seed=1)
    bound, partition = donsker_varadhan(x - 0.5, z - 0.5)
    assert float(bound) == pytest.approx(0.5, abs=0.02)
    assert float(partition) == pytest.approx(0.0, abs=0.02)
    assert float(donsker_varadhan(x + 7, z + 7)[0]) == pytest.approx(float(bound), abs=1e-9)
    assert float(donsker_varadhan(0.5 * x, 0.5 * z)[0]) < float(bound)
    clipped = donsker_varadhan(x, z, clip=1.0)[1]
    assert float(clipped) == pytest.approx(float(np.log(np.mean(np.exp(np.clip(z.numpy(), -1, 1))))))
