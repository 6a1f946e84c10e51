import math

import numpy as np
import pytest
import torch

import plogp as pl
from plogp.estimate.diffusion import VPSDE, MaskedScore, NormalScore
from plogp.estimate.minde import MINDE, diffusion_entropy, diffusion_kl, minde_mutual_information
from plogp.estimate.score_fitting import Comparison, compare
from plogp.estimate.tasks import gaussian, half_cube

QUICK = {"steps": 20, "rng": 0}


def design(covariance):
    """Every pair of a sigma point of the data and one of the noise: their moments are exact up to order 2."""
    d = len(covariance)
    points = math.sqrt(d) * np.concatenate([np.eye(d), -np.eye(d)])
    x = points @ np.linalg.cholesky(covariance).T
    return np.repeat(x, 2 * d, axis=0), torch.tensor(np.tile(points, (2 * d, 1)))


@pytest.mark.parametrize("kind", ["c", "j"])
@pytest.mark.parametrize("sigma", [None, 1.0, 2.5])
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9, 0.99])
def test_exact_scores_give_the_information(kind, sigma, rho):
    c = np.array([[1.0, rho], [rho, 1.0]])
    x, noise = design(c)
    net = NormalScore(c, (1, 1), VPSDE())
    exact = MINDE(kind, net=net, sigma=sigma, scale=None, times="quadrature", mc_passes=64)
    found = exact.estimate(x[:, 0], x[:, 1], noise=noise)
    assert found.value == pytest.approx(-0.5 * math.log1p(-rho * rho), abs=1e-4)
    assert found.diagnostics["denoising"] == pytest.approx(found.value, abs=1e-6)


@pytest.mark.parametrize("kind", ["c", "j"])
def test_exact_scores_in_more_columns(kind):
    root = np.random.default_rng(1).standard_normal((5, 5))
    c = root @ root.T + np.eye(5)
    c = c / np.sqrt(np.outer(np.diag(c), np.diag(c)))
    c = (c + c.T) / 2
    truth = 0.5 * (np.linalg.slogdet(c[:2, :2])[1] + np.linalg.slogdet(c[2:, 2:])[1] - np.linalg.slogdet(c)[1])
    x, noise = design(c)
    exact = MINDE(kind, net=NormalScore(c, (2, 3), VPSDE()), scale=None, times="quadrature", mc_passes=64)
    assert exact.estimate(x[:, :2], x[:, 2:], noise=noise).value == pytest.approx(truth, abs=2e-4)


def test_interval_covers_with_exact_scores():
    net, task = NormalScore([[1.0, 0.9], [0.9, 1.0]], (1, 1), VPSDE()), gaussian(0.9)
    rng = np.random.default_rng(0)
    inside = []
    for seed in range(60):
        found = MINDE("c", net=net, scale=None, mc_passes=4, rng=seed).estimate(*task.sample(200, rng))
        inside.append(abs(found.value - task.truth) < 1.96 * found.se)
    assert 0.85 <= np.mean(inside) <= 1.0


def test_a_wrong_score_is_seen_in_the_denoising_form():
    """Scores of correlation 0.5 on data of correlation 0.9: the inside form cannot tell, the denoising form can."""
    wrong = NormalScore([[1.0, 0.5], [0.5, 1.0]], (1, 1), VPSDE())
    x, y = gaussian(0.9).sample(4000, 0)
    found = MINDE("c", net=wrong, scale=None, rng=0).estimate(x, y)
    gap = found.diagnostics["denoising"] - found.value
    assert gap > 10 * found.diagnostics["denoising_se"]
    low, high = found.interval(0.95)
    assert low <= found.value <= high
    assert low <= found.diagnostics["denoising"] <= high


def test_forms_by_hand():
    """All three integrands at one drawn time, written out."""
    sde, g = VPSDE(), torch.Generator().manual_seed(0)
    net = MaskedScore((1, 1), width=16, rng=0)
    torch.nn.init.normal_(net.net.leave.weight, generator=g)
    x = torch.randn(50, 2, generator=g)
    both = [Comparison("c", {0: (1, -1)}, {0: (1, 0)}), Comparison("j", {0: (1, 1), 1: (1, 1)}, {0: (1, 0), 1: (0, 1)})]
    for sigma in (None, 2.0):
        values, gains = compare(net, sde, x, both, sigma=sigma, passes=1, rng=7)
        g = torch.Generator().manual_seed(7)
        t = sde.time_quantile(torch.rand(50, 1, generator=g))
        noise = torch.randn(50, 2, generator=g)
        x_t = sde.mean_coefficient(t) * x + sde.sigma(t) * noise
        with torch.no_grad():
            m, c, d, j = (net(x_t, x, t, mask) for mask in ((1, -1), (1, 0), (0, 1), (1, 1)))
        k, s = sde.mean_coefficient(t), sde.sigma(t)
        r = torch.zeros_like(x_t) if sigma is None else s * x_t / (k**2 * 4 + s**2)
        fine = torch.cat([c[:, :1], d[:, 1:]], dim=1)
        if sigma is None:
            by_hand = [((m - c)[:, 0] ** 2), ((j - fine) ** 2).sum(1)]
        else:
            by_hand = [(c - r)[:, 0] ** 2 - (m - r)[:, 0] ** 2, ((fine - r) ** 2).sum(1) - ((j - r) ** 2).sum(1)]
        gain = [
            (m - noise)[:, 0] ** 2 - (c - noise)[:, 0] ** 2,
            ((j - noise) ** 2).sum(1) - ((fine - noise) ** 2).sum(1),
        ]
        half = 0.5 * sde.normalizer
        torch.testing.assert_close(values, half * torch.stack(by_hand, 1).double(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(gains, half * torch.stack(gain, 1).double(), rtol=1e-4, atol=1e-4)


def test_masks_to_learn():
    assert sorted(MINDE("c")._masks(2)) == [(1, -1), (1, 0)]
    assert sorted(MINDE("j")._masks(2)) == [(0, 1), (1, 0), (1, 1), (1, 1)]


def test_a_short_training_learns():
    x, y = gaussian(0.9).sample(3000, 0)
    model = MINDE("c", steps=300, lr=0.01, width=32, rng=0).fit(x, y)
    losses = model.history.losses
    assert np.mean(losses[-30:]) < 0.6 * np.mean(losses[:10])
    found = model.estimate()
    assert found.n == 600
    assert abs(found.value - 0.83) < 0.3
    assert abs(found.diagnostics["denoising"] - 0.83) < 0.3
    assert found.terms.mean() == pytest.approx(found.value)
    # Samples that the network has not seen, and fewer passes.
    other = model.estimate(*gaussian(0.9).sample(500, 1))
    assert other.n == 500
    assert other.diagnostics["samples"] == "given"
    assert abs(other.value - found.value) < 0.3
    one = model.estimate([0.5], [0.4])
    assert one.se is None
    assert not one.has_interval


def test_same_seed_same_result_and_no_global_seed():
    x, y = gaussian(0.6).sample(400, 0)
    state = torch.random.get_rng_state()
    a = MINDE("j", **QUICK).fit(x, y)
    b = MINDE("j", **QUICK).fit(x, y)
    assert torch.equal(state, torch.random.get_rng_state())
    assert a.estimate().value == b.estimate().value == a.estimate().value
    other = MINDE("j", steps=20, rng=1).fit(x, y)
    assert other.estimate().value != a.estimate().value


def test_scaling():
    """Standardised: units do not matter. Ranks: increasing maps do not either."""
    x, y = gaussian(0.7).sample(300, 0)
    base = MINDE("c", **QUICK).fit(x, y).estimate().value
    assert MINDE("c", **QUICK).fit(1e6 * x + 5, -1e-6 * y).estimate().value != base  # the sign of y
    assert MINDE("c", **QUICK).fit(1e6 * x + 5, 1e-6 * y).estimate().value == pytest.approx(base, rel=1e-3, abs=1e-5)
    ranks = MINDE("c", scale="rank", **QUICK).fit(x, y)
    mapped = MINDE("c", scale="rank", **QUICK).fit(np.exp(x), y**3)
    assert ranks.estimate().value == mapped.estimate().value
    new = gaussian(0.7).sample(100, 1)
    assert ranks.estimate(*new).value == pytest.approx(mapped.estimate(np.exp(new[0]), new[1] ** 3).value, abs=0.02)


def test_input_of_all_kinds(tmp_path):
    x, y = (v.astype(np.float32) for v in gaussian(0.7, 2).sample(200, 0))
    base = MINDE("c", **QUICK).fit(x, y).estimate().value
    tensors = [torch.from_numpy(v) for v in (x, y)]
    assert MINDE("c", **QUICK).fit(*tensors).estimate().value == pytest.approx(base, abs=1e-6)
    assert math.isfinite(MINDE("c", **QUICK).fit(*(t.bfloat16() for t in tensors)).estimate().value)
    assert MINDE("c", **QUICK).fit(x.tolist(), y.tolist()).estimate().value == pytest.approx(base, abs=1e-6)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert MINDE("c", **QUICK).fit(mapped, y).estimate().value == pytest.approx(base, abs=1e-6)

    class One(torch.utils.data.Dataset):
        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, i):
            return self.rows[i]

    assert MINDE("c", **QUICK).fit(One(tensors[0]), tensors[1]).estimate().value == pytest.approx(base, abs=1e-6)
    assert tensors[0].shape == (200, 2)


def test_heavy_tails_stay_finite():
    rng = np.random.default_rng(0)
    x = rng.standard_cauchy(400)
    for scale in ("standard", "rank"):
        found = minde_mutual_information(x, x + rng.standard_cauchy(400), scale=scale, **QUICK)
        assert math.isfinite(found.value)


def test_by_name():
    x, y = gaussian(0.7).sample(200, 0)
    for name, kind in (("minde", "c"), ("minde_c", "c"), ("minde_j", "j")):
        found = pl.estimate.mutual_information(x[:, 0], y[:, 0], method=name, **QUICK)
        assert found.method.startswith(f"minde_{kind}")
    assert pl.estimate.MINDE is MINDE


def test_constant_and_hostile_input():
    x, y = (v[:, 0] for v in gaussian(0.7).sample(60, 0))
    nothing = minde_mutual_information(np.ones(60), y)
    assert (nothing.value, nothing.se) == (0.0, 0.0)
    with pytest.raises(ValueError, match="x is constant"):
        MINDE(**QUICK).fit(torch.ones(60), y)
    with pytest.raises(ValueError, match="y holds NaN"):
        MINDE(**QUICK).fit(x, np.where(y > 0, np.nan, y))
    with pytest.raises(ValueError, match="y holds NaN"):
        MINDE(**QUICK).fit(x, torch.full((60,), math.inf))
    with pytest.raises(ValueError, match="x has 60, y has 59"):
        MINDE(**QUICK).fit(x, y[1:])
    with pytest.raises(ValueError, match="too few samples"):
        MINDE(**QUICK).fit(x[:49], y[:49])
    with pytest.raises(ValueError, match="call fit first"):
        MINDE().estimate(x, y)
    with pytest.raises(ValueError, match="both x and y"):
        MINDE().estimate(x)
    with pytest.raises(ValueError, match="columns"):
        MINDE(net=MaskedScore((2, 1)), **QUICK).fit(x, y)
    exact = MINDE(net=NormalScore(np.eye(2), (1, 1), VPSDE()), scale=None)
    with pytest.raises(ValueError, match="no held-out samples"):
        exact.estimate()
    with pytest.raises(ValueError, match="columns"):
        exact.estimate(np.ones((5, 2)), np.ones(5))
    with pytest.raises(TypeError, match="MaskedScore"):
        MINDE(net=torch.nn.Linear(2, 2))
    for options, word in [
        ({"kind": "d"}, "kind"),
        ({"sigma": 0.0}, "sigma"),
        ({"scale": "log"}, "scale"),
        ({"holdout": 1.0}, "holdout"),
        ({"mc_passes": 0}, "mc_passes"),
    ]:
        with pytest.raises(ValueError, match=word):
            MINDE(**options)


def test_interrupt_keeps_what_is_learned(monkeypatch):
    x, y = gaussian(0.9).sample(400, 0)
    from plogp.estimate import score_fitting

    real, calls = score_fitting.denoising_loss, []

    def stopping(*args):
        calls.append(1)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(score_fitting, "denoising_loss", stopping)
    model = MINDE(steps=500, rng=0).fit(x, y)
    found = model.estimate()
    assert found.diagnostics["interrupted"]
    assert found.diagnostics["steps"] == 14
    assert math.isfinite(found.value)


def test_entropy_and_divergence_of_samples():
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, 1500)
    h = 0.5 * math.log(2 * math.pi * math.e * 4)
    found = diffusion_entropy(x, steps=300, lr=0.01, width=32, rng=0)
    assert abs(found.value - h) < 0.15
    assert found.terms.mean() == pytest.approx(found.value)
    assert diffusion_entropy(7 * x, steps=300, lr=0.01, width=32, rng=0).value == pytest.approx(
        found.value + math.log(7), abs=1e-3
    )
    assert found.value < found.diagnostics["denoising"] + 0.1
    near, far = rng.normal(0, 1, 1500), rng.normal(1.5, 1, 1500)
    kl = diffusion_kl(far, near, steps=300, lr=0.01, width=32, rng=0)
    low, high = kl.interval(0.95)
    assert low - 0.2 < 1.125 < high + 0.2
    assert 0.6 < kl.value < 2.0
    with pytest.raises(ValueError, match="rank"):
        diffusion_entropy(x, scale="rank")
    with pytest.raises(ValueError, match="columns"):
        diffusion_kl(np.ones((60, 2)), np.ones(60))
    with pytest.raises(ValueError, match="scale"):
        diffusion_kl(near, far, scale=None)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "task"), [("c", gaussian(0.9)), ("j", gaussian(0.9)), ("c", half_cube(0.9))])
def test_defaults_are_within_a_tenth(kind, task):
    found = minde_mutual_information(*task.sample(10_000, 0), kind=kind, rng=0)
    assert abs(found.value - task.truth) < 0.1
    low, high = found.interval(0.999)
    assert low < task.truth < high
