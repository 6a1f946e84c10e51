import math

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from plogp.nn.flow import AffineCoupling, RealNVP  # noqa: E402


def moved(flow, seed=0, size=0.3):
    """The flow with random weights: it starts as the identity."""
    g = torch.Generator().manual_seed(seed)
    flow = flow.double()
    with torch.no_grad():
        for p in flow.parameters():
            p += size * torch.randn(p.shape, generator=g, dtype=torch.float64)
    return flow


@settings(max_examples=15, deadline=None)
@given(dim=st.integers(2, 9), layers=st.integers(1, 5), seed=st.integers(0, 99))
def test_inverse_and_log_determinant(dim, layers, seed):
    flow = moved(RealNVP(dim, layers, width=8, rng=seed), seed)
    x = 3 * torch.randn(4, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    z, log_det = flow(x)
    log_det = log_det.detach()
    torch.testing.assert_close(flow.inverse(z), x, atol=1e-9, rtol=1e-9)
    for i in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0], x[i])
        assert float(torch.linalg.slogdet(jacobian).logabsdet) == pytest.approx(float(log_det[i]), abs=1e-9)


def test_starts_as_the_identity_and_every_coordinate_moves():
    flow = RealNVP(5, layers=2, rng=0)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    z, log_det = flow(x)
    assert torch.equal(z, x)
    assert torch.equal(log_det, torch.zeros(6))
    z, _ = moved(flow)(x.double())
    assert ((z - x).abs() > 1e-3).all(dim=1).all()


def test_density_integrates_to_one():
    flow = moved(RealNVP(2, layers=4, width=8, rng=1), 1, size=0.2)
    line = torch.linspace(-30, 30, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        mass = flow.log_prob(grid).exp().sum() * (line[1] - line[0]) ** 2
    assert float(mass) == pytest.approx(1.0, abs=2e-3)


def test_samples_follow_the_density():
    flow = moved(RealNVP(2, layers=4, width=8, rng=2), 2, size=0.2)
    with torch.no_grad():
        x = flow.sample(20000, rng=0)
        z, _ = flow(x)
    assert x.dtype == torch.float64
    # Mapped back, samples are standard normal.
    assert z.mean(dim=0).abs().max() < 4 / math.sqrt(20000)
    assert (torch.cov(z.T) - torch.eye(2)).abs().max() < 0.05
    assert torch.equal(flow.sample(3, rng=7), flow.sample(3, rng=7))


def test_learns_a_bent_density():
    g = torch.Generator().manual_seed(3)
    a = torch.randn(1000, generator=g)
    x = torch.stack([a, a**2 + 0.2 * torch.randn(1000, generator=g)], dim=1)
    flow = RealNVP(2, layers=4, width=32, rng=0)
    optimiser = torch.optim.Adam(flow.parameters(), lr=5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        loss = -flow.log_prob(x).mean()
        loss.backward()
        optimiser.step()
    truth = 2 * 0.5 * (1 + math.log(2 * math.pi)) + math.log(0.2)  # entropy of the pair
    assert float(loss) < truth + 0.25


def test_gradients_dtype_state_and_extremes():
    flow = moved(RealNVP(3, layers=2, width=4, rng=0))
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: flow(v), x)
    assert torch.autograd.gradcheck(lambda v: flow.inverse(v), x)
    other = RealNVP(3, layers=2, width=4, rng=9).double()
    other.load_state_dict(flow.state_dict())
    assert torch.equal(other(x)[0], flow(x)[0])
    z, log_det = flow(1e4 * x)
    assert torch.isfinite(z).all()
    assert log_det.abs().max() <= 2 * 3 * 2.0  # bounded scales
    half = RealNVP(4, rng=0).bfloat16()
    assert half(torch.ones(2, 4, dtype=torch.bfloat16))[0].dtype == torch.bfloat16
    again = RealNVP(3, layers=2, width=4, rng=0)
    assert all(torch.equal(p, q) for p, q in zip(again.parameters(), RealNVP(3, 2, 4, rng=0).parameters()))


def test_refuses():
    with pytest.raises(ValueError, match="at least 2"):
        RealNVP(1)
    with pytest.raises(ValueError, match="layers"):
        RealNVP(3, 0)
    with pytest.raises(ValueError, match=r"\(n, 3\)"):
        RealNVP(3)(torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"z must have"):
        RealNVP(3).inverse(torch.ones(3))
    with pytest.raises(TypeError, match="Tensor"):
        RealNVP(3)([[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="True and False"):
        AffineCoupling(torch.tensor([True, True]))
    with pytest.raises(ValueError, match="bound"):
        AffineCoupling(torch.tensor([True, False]), bound=0)
