import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate as quadrature
from scipy import stats

from plogp.estimate.diffusion import VPSDE, MaskedScore, NormalScore, integrate, score_entropy, score_kl
from plogp.estimate.score_network import check_mask, denoising_loss, expand_mask

PROCESSES = [VPSDE(), VPSDE(0.5, 5.0), VPSDE(0.0, 12.0), VPSDE(4.0, 4.0), VPSDE(0.1, 20.0, T=0.5, t_eps=1e-4)]


def design(mean, covariance):
    """Every pair of a sigma point of the data and one of the noise: their moments are exact up to order 2."""
    d = len(covariance)
    points = math.sqrt(d) * np.concatenate([np.eye(d), -np.eye(d)])
    x = np.asarray(mean) + points @ np.linalg.cholesky(covariance).T
    return np.repeat(x, 2 * d, axis=0), torch.tensor(np.tile(points, (2 * d, 1)))


def normal_score(mean, covariance, sde):
    """The score of a noised normal law by solving with its covariance at each time."""
    mean, covariance = (torch.as_tensor(np.asarray(a, dtype=np.float64)) for a in (mean, covariance))
    eye = torch.eye(len(mean), dtype=torch.float64)

    def score(x, t):
        k2 = sde.mean_coefficient(t)[:, :, None] ** 2
        noised = k2 * covariance + (1 - k2) * eye
        return -torch.linalg.solve(noised, (x - sde.mean_coefficient(t) * mean)[:, :, None])[:, :, 0]

    return score


def normal_kl(m0, c0, m1, c1):
    gap = np.subtract(m1, m0)
    inverse = np.linalg.inv(c1)
    log = np.linalg.slogdet(c1)[1] - np.linalg.slogdet(c0)[1]
    return 0.5 * (np.trace(inverse @ c0) + gap @ inverse @ gap - len(gap) + log)


# --- the process


@pytest.mark.parametrize("sde", PROCESSES)
def test_process_by_its_definition(sde):
    for t in (0.01, 0.2, 0.45):
        mass = quadrature.quad(lambda s: float(sde.beta(s)), 0, t)[0]
        assert float(sde.integrated_beta(t)) == pytest.approx(mass, rel=1e-12)
        assert float(sde.log_mean_coefficient(t)) == pytest.approx(-mass / 2, rel=1e-12)
        assert float(sde.mean_coefficient(t)) == pytest.approx(math.exp(-mass / 2), rel=1e-12)
        assert float(sde.sigma(t)) ** 2 == pytest.approx(1 - math.exp(-mass), rel=1e-12)
        assert float(sde.rate(t)) == pytest.approx(float(sde.beta(t)) / (1 - math.exp(-mass)), rel=1e-12)


@pytest.mark.parametrize("sde", PROCESSES)
def test_density_of_times(sde):
    """It sums to 1, its integral is the distribution function, and its normaliser is the integral of the rate."""
    parts = [(0.0, sde.t_eps), (sde.t_eps, sde.T)]
    total = sum(quadrature.quad(lambda s: float(sde.time_density(s)), *p, limit=400)[0] for p in parts)
    assert total == pytest.approx(1.0, abs=1e-8)
    for t in (0.5 * sde.t_eps, 10 * sde.t_eps, 0.3 * sde.T):
        ends = [0.0, min(t, sde.t_eps), t]
        mass = sum(
            quadrature.quad(lambda s: float(sde.time_density(s)), a, b, limit=400)[0]
            for a, b in itertools.pairwise(ends)
        )
        assert float(sde.time_cdf(t)) == pytest.approx(mass, abs=1e-8)
    assert float(sde.time_cdf(sde.T)) == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(u=st.floats(0.0, 1.0), which=st.integers(0, len(PROCESSES) - 1))
def test_quantile_undoes_the_distribution(u, which):
    sde = PROCESSES[which]
    t = sde.time_quantile(u)
    assert 0 <= float(t) <= sde.T * (1 + 1e-9)
    assert float(sde.time_cdf(t)) == pytest.approx(u, abs=1e-9)
    single = sde.time_quantile(torch.tensor(u, dtype=torch.float32))  # float32 keeps its digits
    assert float(single) == pytest.approx(float(t), rel=1e-4, abs=1e-7)


def test_quantile_is_the_printed_formula():
    """The authors' form, with Zc = 20.26 for their constants."""
    sde = VPSDE()
    a, b, eps = 19.9, 0.1, 1e-3
    mass = b * eps + a * eps**2 / 2
    r = (b + a * eps) / (1 - math.exp(-mass))

    def anti(m):
        return math.log(1 - math.exp(-m)) + m

    z = r * eps + anti(10.05) - anti(mass)
    assert sde.normalizer == pytest.approx(z, rel=1e-12)
    assert sde.normalizer == pytest.approx(20.26, abs=0.01)
    for u in (0.06, 0.3, 0.99):
        t = (-b + math.sqrt(b**2 + 2 * a * math.log(1 + math.exp(z * u + anti(mass) - r * eps)))) / a
        assert float(sde.time_quantile(u)) == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize("spread", [False, True])
def test_times_drawn_follow_the_density(spread):
    sde = VPSDE()
    t = sde.sample_time(20_000, rng=1, spread=spread)[:, 0].double()
    assert stats.kstest(t.numpy(), lambda v: sde.time_cdf(torch.tensor(v)).numpy()).pvalue > 1e-3
    assert torch.equal(t, sde.sample_time(20_000, rng=1, spread=spread)[:, 0].double())


def test_perturbed_moments_and_end():
    sde = VPSDE()
    x = torch.full((40_000, 1), 2.0, dtype=torch.float64)
    t = torch.full((40_000, 1), 0.3, dtype=torch.float64)
    x_t, noise = sde.perturb(x, t, rng=0)
    k, s = float(sde.mean_coefficient(0.3)), float(sde.sigma(0.3))
    assert float(x_t.mean()) == pytest.approx(2 * k, abs=4 * s / 200)
    assert float(x_t.std()) == pytest.approx(s, rel=0.02)
    torch.testing.assert_close(x_t, k * x + s * noise)
    again, _ = sde.perturb(x, t, noise)
    torch.testing.assert_close(again, x_t)
    assert sde.prior(5, 3, rng=0).shape == (5, 3)
    assert float(sde.mean_coefficient(sde.T)) < 0.007


def test_gradients():
    sde = VPSDE()
    x = torch.tensor([[0.3, -1.0]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.2]], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor([[0.5, 0.1]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: sde.perturb(a, b, noise)[0], (x, t))
    assert torch.autograd.gradcheck(
        sde.time_quantile, (torch.tensor([0.2, 0.7], dtype=torch.float64).requires_grad_(),)
    )
    net = MaskedScore((1, 1), width=16, rng=0).double()
    torch.nn.init.normal_(net.net.leave.weight, generator=torch.Generator().manual_seed(0))
    clean = torch.zeros(1, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: net(a, clean, t.detach(), (1, 0)), (x,))


def test_processes_refused():
    for options, word in [
        ({"beta0": -1.0}, "beta0"),
        ({"beta0": 0.0, "beta1": 0.0}, "beta0"),
        ({"t_eps": 0.0}, "t_eps"),
        ({"t_eps": 2.0}, "t_eps"),
        ({"beta0": 5.0, "beta1": 1.0, "T": 2.0}, "negative"),
    ]:
        with pytest.raises(ValueError, match=word):
            VPSDE(**options)


# --- divergence and entropy from exact scores


@pytest.mark.parametrize("sde", [VPSDE(), VPSDE(0.5, 25.0)])
def test_kl_of_normals(sde):
    m0, m1 = [0.5, -0.2], [-0.3, 0.4]
    c0, c1 = np.array([[1.0, 0.6], [0.6, 1.5]]), np.array([[0.7, -0.2], [-0.2, 2.0]])
    x, noise = design(m0, c0)
    p, q = normal_score(m0, c0, sde), normal_score(m1, c1, sde)
    found = score_kl(p, q, x, sde=sde, passes=64, times="quadrature", noise=noise)
    assert found.value == pytest.approx(normal_kl(m0, c0, m1, c1), abs=2e-4)
    assert score_kl(p, p, x, sde=sde, rng=0).value == 0.0
    # D(q||p) is another number: the order of the arguments matters.
    y, other = design(m1, c1)
    back = score_kl(q, p, y, sde=sde, passes=64, times="quadrature", noise=other).value
    assert back == pytest.approx(normal_kl(m1, c1, m0, c0), abs=2e-4)
    assert abs(back - found.value) > 0.1


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_entropy_of_normals(sigma, scale):
    """Also for sigma other than 1, where the authors' code is wrong."""
    sde = VPSDE()
    c = scale**2 * np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.3], [0.0, 0.3, 1.0]])
    x, noise = design([0.0] * 3, c)
    found = score_entropy(
        normal_score([0.0] * 3, c, sde), x, sigma, sde=sde, passes=64, times="quadrature", noise=noise
    ).value
    assert found == pytest.approx(stats.multivariate_normal(cov=c).entropy(), abs=3e-4)


def test_entropy_of_a_mixture():
    """Not normal: against the integral of the density; the score comes from autograd."""
    sde, centres, width = VPSDE(), torch.tensor([-1.5, 1.0], dtype=torch.float64), 0.4

    def score(x, t):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            k, s = sde.mean_coefficient(t), sde.sigma(t)
            variance = (k * width) ** 2 + s**2
            density = torch.logsumexp(-((x - k * centres) ** 2) / (2 * variance), dim=1) - 0.5 * variance.log()[:, 0]
            return torch.autograd.grad(density.sum(), x)[0]

    g = np.random.default_rng(0)
    x = g.choice(centres.numpy(), 4000) + width * g.standard_normal(4000)

    def surprise(v):
        p = float(np.mean(stats.norm.pdf(v, centres.numpy(), width)))
        return -p * math.log(p)

    truth = quadrature.quad(surprise, -5, 5)[0]
    found = score_entropy(score, x, sde=sde, rng=0)
    assert abs(found.value - truth) < 4 * found.se
    assert found.se < 0.02


def test_ways_to_integrate_agree():
    sde, c = VPSDE(), np.array([[1.0, 0.8], [0.8, 1.0]])
    x = np.random.default_rng(0).multivariate_normal([0, 0], c, 4000)
    p, q = normal_score([0, 0], c, sde), normal_score([0, 0], np.eye(2), sde)
    found = {
        times: score_kl(p, q, x, passes=16, times=times, rng=1) for times in ("importance", "uniform", "quadrature")
    }
    for e in found.values():
        assert abs(e.value - 0.5108) < 4 * e.se
    assert abs(found["importance"].value - found["uniform"].value) < 4 * max(e.se for e in found.values())


@pytest.mark.slow
def test_interval_covers_with_exact_scores():
    sde = VPSDE()
    p, q = normal_score([1.0], [[1.0]], sde), normal_score([0.0], [[2.0]], sde)
    truth = normal_kl([1.0], [[1.0]], [0.0], [[2.0]])
    rng = np.random.default_rng(0)
    inside = [not score_kl(p, q, rng.normal(1, 1, 500), rng=rng).distinguishable(truth) for _ in range(400)]
    assert 0.92 <= np.mean(inside) <= 0.98


def test_small_times_and_truncation():
    """The weight has no bound at 0: with it, errors that do not vanish there diverge; held constant, they do not."""
    sde, x = VPSDE(), torch.zeros(1000, 1, dtype=torch.float64)

    def wrong(x_t, x_0, t, e):
        return torch.ones_like(t)

    held = integrate(wrong, x, sde, exact=False, rng=0).mean()
    assert float(held) == pytest.approx(0.5 * sde.normalizer, rel=1e-9)
    assert float(integrate(wrong, x, sde, exact=True, rng=0).mean()) > float(held)
    for times in ("uniform", "quadrature"):
        again = integrate(wrong, x, sde, exact=False, times=times, passes=200, rng=0).mean()
        assert float(again) == pytest.approx(0.5 * sde.normalizer, rel=0.05)


def test_integrals_refused():
    x = torch.zeros(3, 1)
    score = normal_score([0.0], [[1.0]], VPSDE())
    with pytest.raises(ValueError, match="times must be one of"):
        integrate(lambda *a: a[0], x, VPSDE(), times="sobol")
    for times, passes in [("importance", 0), ("quadrature", 15)]:
        with pytest.raises(ValueError, match="passes"):
            integrate(lambda *a: a[0], x, VPSDE(), times=times, passes=passes)
    for bad, word in [([1.0, math.nan], "NaN"), (torch.tensor([math.inf]), "NaN"), (torch.zeros(2, 2, 2), "shape")]:
        with pytest.raises(ValueError, match=word):
            score_kl(score, score, bad)
    with pytest.raises(ValueError, match="sigma"):
        score_entropy(score, [0.0, 1.0], 0.0)
    one = score_kl(score, score, [0.5])
    assert one.se is None
    assert score_kl(score, score, torch.zeros(4, dtype=torch.bfloat16)).value == 0.0


# --- networks and masks


def test_exact_scores_are_gradients_of_conditional_densities():
    """Against autograd through PyTorch's normal densities: p(x_t, x_0) over p(x_0)."""
    sde, sizes = VPSDE(), (1, 2, 1)
    root = np.random.default_rng(3).standard_normal((4, 4))
    c = torch.tensor(root @ root.T + np.eye(4))
    net = NormalScore(c, sizes, sde)
    g = torch.Generator().manual_seed(0)
    x_0, x_t = torch.randn(2, 6, 4, generator=g, dtype=torch.float64)
    t = torch.rand(6, 1, generator=g, dtype=torch.float64)
    for mask in [(1, 1, 1), (1, -1, -1), (1, 0, 0), (1, 0, -1), (-1, 1, 1), (0, 1, 0), (1, 1, 0)]:
        columns = expand_mask(torch.tensor(mask), sizes)
        moved, given = (columns == 1).nonzero()[:, 0], (columns == 0).nonzero()[:, 0]
        keep = torch.cat([moved, given])
        for row in range(6):
            k = float(sde.mean_coefficient(t[row]))
            scale, extra = torch.ones(len(keep), dtype=torch.float64), torch.zeros(len(keep), dtype=torch.float64)
            scale[: len(moved)], extra[: len(moved)] = k, float(sde.sigma(t[row])) ** 2
            noised = c[keep][:, keep] * scale[:, None] * scale + torch.diag(extra)
            point = x_t[row, moved].clone().requires_grad_()
            whole = torch.cat([point, x_0[row, given]])
            law = torch.distributions.MultivariateNormal(torch.zeros(len(keep), dtype=torch.float64), noised)
            score = torch.autograd.grad(law.log_prob(whole), point)[0]
            found = net(x_t, x_0, t, mask)[row]
            torch.testing.assert_close(found[moved], -float(sde.sigma(t[row])) * score, rtol=1e-9, atol=1e-9)
            assert not found[columns != 1].any()


class Recorder(torch.nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(d))

    def forward(self, x, tau):
        self.seen, self.tau = x, tau
        return x * self.weight


def test_what_the_network_sees():
    inner = Recorder(4)
    net = MaskedScore((1, 2, 1), inner)
    x_t, x_0 = torch.arange(8.0).reshape(2, 4) + 1, -torch.arange(8.0).reshape(2, 4) - 1
    t = torch.tensor([[0.25], [0.5]])
    out = net(x_t, x_0, t, (1, 0, -1))
    assert inner.seen.tolist() == [[1, -2, -3, 0], [5, -6, -7, 0]]
    assert inner.tau.tolist() == [[0.25, 0, 1], [0.5, 0, 1]]
    assert out.tolist() == [[1, 0, 0, 0], [5, 0, 0, 0]]
    # A mask for each row, and noise in the place of what is integrated out.
    noisy = MaskedScore((1, 2, 1), inner, fill="noise")
    rows = torch.tensor([[1, 0, -1], [-1, 1, 1]])
    noisy(x_t, x_0, t, rows, rng=0)
    first = inner.seen.clone()
    assert first[0, :3].tolist() == [1, -2, -3]
    assert first[1, 1:].tolist() == [6, 7, 8]
    assert first[0, 3] != 0
    noisy(x_t, x_0, t, rows, rng=0)
    assert torch.equal(inner.seen, first)


def test_network_starts_at_zero_and_repeats():
    state = torch.random.get_rng_state()
    a, b, other = MaskedScore((2, 3), rng=5), MaskedScore((2, 3), rng=5), MaskedScore((2, 3), rng=6)
    assert torch.equal(state, torch.random.get_rng_state())
    for p, q in zip(a.parameters(), b.parameters()):
        assert torch.equal(p, q)
    assert any(not torch.equal(p, q) for p, q in zip(a.parameters(), other.parameters()))
    x, t = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), torch.full((7, 1), 0.3)
    assert not a(x, x, t, (1, 1)).any()
    half = a.to(torch.bfloat16)
    assert half(x.bfloat16(), x.bfloat16(), t.bfloat16(), (1, 0)).dtype == torch.bfloat16
    assert MaskedScore((5, 50), rng=0).net.enter.out_features == 256
    assert MaskedScore((5, 5), rng=0, width=32, depth=3)(torch.ones(2, 10), torch.ones(2, 10), t[:2], (1, 1)).shape == (
        2,
        10,
    )


def test_denoising_loss_weights():
    """A network that says 0 has loss w E ε² a column: 1.5 for one of two columns, 1 for both."""
    net, sde = MaskedScore((1, 1), rng=0), VPSDE()
    x = torch.zeros(10_000, 2)
    for masks, columns, weight in [([[1, 0]], 1, 1.5), ([[1, 1]], 2, 1.0), ([[1, -1], [1, 1]], 1.5, None)]:
        mask = torch.tensor(masks, dtype=torch.int8)
        mean = float(denoising_loss(net, sde, x, mask, torch.Generator().manual_seed(0)).detach())
        assert mean == pytest.approx(weight or 1.25, abs=0.05)
        total = float(denoising_loss(net, sde, x, mask, torch.Generator().manual_seed(0), per_column=False).detach())
        assert total == pytest.approx(weight * columns if weight else (1.5 + 2) / 2, abs=0.06)


def test_exact_score_is_the_best_denoiser():
    sde, c = VPSDE(), np.array([[1.0, 0.7], [0.7, 1.0]])
    x = torch.tensor(np.random.default_rng(0).multivariate_normal([0, 0], c, 20_000))
    losses = []
    for rho in (0.7, 0.5, 0.85, 0.0):
        exact = NormalScore([[1.0, rho], [rho, 1.0]], (1, 1), sde)

        def squares(x_t, x_0, t, e, exact=exact):
            return ((exact(x_t, x_0, t, (1, 1)) - e) ** 2).sum(dim=1, keepdim=True)

        losses.append(float(integrate(squares, x, sde, passes=5, exact=False, rng=0).mean()))
    assert losses[0] == min(losses)


def test_masks_refused():
    for mask, word in [((1, 0), "shape"), ((0, 0, -1), "at least one"), ((2, 0, 1), "must hold"), (5, "shape")]:
        with pytest.raises(ValueError, match=word):
            check_mask(mask, 3)
    for options, word in [({"sizes": ()}, "sizes"), ({"sizes": (0, 1)}, "sizes"), ({"fill": "ones"}, "fill")]:
        with pytest.raises(ValueError, match=word):
            MaskedScore(**{"sizes": (1, 1), **options})
    for options in ({"width": 12}, {"width": 8}, {"depth": 0}, {"width": "wide"}):
        with pytest.raises(ValueError, match=r"width|depth"):
            MaskedScore((1, 1), **options)
    with pytest.raises(ValueError, match="positive definite"):
        NormalScore([[1.0, 2.0], [2.0, 1.0]], (1, 1), VPSDE())
    with pytest.raises(ValueError, match="shape"):
        NormalScore(np.eye(3), (1, 1), VPSDE())
    exact = NormalScore(np.eye(2), (1, 1), VPSDE())
    with pytest.raises(ValueError, match="one mask for all rows"):
        exact(torch.zeros(2, 2), torch.zeros(2, 2), torch.ones(2, 1), torch.tensor([[1, 0], [0, 1]]))
