import math

import numpy as np
import pytest
import torch

from plogp.estimate import NDG, TREET, transfer_entropy
from plogp.estimate.input_distribution import InputGenerator
from plogp.estimate.tasks import var_process
from plogp.estimate.treet import _dv_terms, treet_transfer_entropy

SMALL = {"d_model": 8, "heads": 1, "width": 16, "draws": 2, "batch_size": 128}


class Oracle(torch.nn.Module):
    """log p(y_t | past) of the process y_t = a y_{t-1} + b x_{t-1} + e, as a critic of standardised windows."""

    def __init__(self, model, a, b, with_x):
        super().__init__()
        (self.mx, self.sx), (self.my, self.sy) = ([torch.tensor(v) for v in s] for s in model._scales)
        self.a, self.b, self.with_x = a, b, with_x

    def forward(self, y, side, past):
        y = y[..., 0] * self.sy + self.my
        mean = self.a * (past[:, -1, 0] * self.sy + self.my)
        variance = 1.0
        if self.with_x:
            mean = mean + self.b * (side[:, 0] * self.sx + self.mx)
        else:
            variance += self.b**2
        return -0.5 * (y - mean[:, None]) ** 2 / variance - 0.5 * math.log(2 * math.pi * variance)


def with_oracle(x, y, a=0.5, b=0.6, **options):
    model = TREET(2, source_history=1, steps=1, rng=0, **SMALL, **options).fit(x, y)
    for nets in model.networks:
        nets["y"], nets["xy"] = Oracle(model, a, b, False), Oracle(model, a, b, True)
    return model


@pytest.mark.parametrize("reference", ["uniform", "normal"])
def test_with_the_true_densities_the_bound_is_the_truth_and_the_interval_covers(reference):
    task = var_process()
    inside, values = [], []
    for seed in range(25):
        e = with_oracle(*task.sample(1200, seed), reference=reference, held_out=0.5).estimate()
        values.append(e.value)
        inside.append(not e.distinguishable(task.truth))
    assert np.mean(values) == pytest.approx(task.truth, abs=0.02)
    assert 0.8 <= np.mean(inside) <= 1.0
    # the two bounds are those of the conditional densities, against the reference
    assert e.diagnostics["bound_given_both"] - e.diagnostics["bound_given_past"] == pytest.approx(e.value)
    assert e.terms.mean() == pytest.approx(e.value)


def test_density_of_the_true_critic_is_the_density():
    x, y = (3 * v + 1 for v in var_process().sample(400, 0))
    found = with_oracle(x, y, b=0.6).log_density(x, y, draws=2000)
    # In units of x and y the process has intercepts; the oracle knows only the slopes, so undo them by hand.
    mean = 0.5 * y[:-1] + 0.6 * x[:-1]
    expected = -0.5 * (y[1:] - mean) ** 2 - 0.5 * math.log(2 * math.pi)
    assert found.shape == (399,)
    inside = np.abs(y[1:] - mean) < 3
    assert found[inside] == pytest.approx(expected[inside], abs=0.25)
    with pytest.raises(ValueError, match="as many columns"):
        with_oracle(x, y).log_density(np.c_[x, x], y)
    with pytest.raises(ValueError, match="given"):
        with_oracle(x, y).log_density_ratio(x, y, given="x")


def test_windows_hold_the_right_times():
    n = 60
    y, x = np.arange(n, dtype=float), 1000.0 + np.arange(n)
    model = TREET(history=3, source_history=2, lag=2, steps=1, rng=0, **SMALL).fit(x, y)
    (mx, sx), (my, sy) = model._scales
    t = torch.tensor([10, 30])
    side, past = model._inputs("xy", model._data, t)
    assert past.shape == (2, 3, 2)
    assert side[:, 0] * sx[0] + mx[0] == pytest.approx(1000 + t - 2, abs=1e-3)
    assert past[0, :, 0] * sy[0] + my[0] == pytest.approx([7, 8, 9], abs=1e-3)
    assert (past[0, :2, 1] == 0).all()  # only two source values are seen: t - 2 beside y, t - 3 here
    assert past[0, 2, 1] * sx[0] + mx[0] == pytest.approx(1007, abs=1e-3)
    assert model._data.times[0] == 3
    # more of the source than of the target
    model = TREET(history=1, source_history=4, lag=1, steps=1, rng=0, **SMALL).fit(x, y)
    (mx, sx), (my, sy) = model._scales
    side, past = model._inputs("xy", model._data, t)
    assert past[1, :, 1] * sx[0] + mx[0] == pytest.approx([1026, 1027, 1028], abs=1e-3)
    assert (past[1, :2, 0] == 0).all()
    assert past[1, 2, 0] * sy[0] + my[0] == pytest.approx(29, abs=1e-3)
    assert model._inputs("y", model._data, t)[1].shape == (2, 1, 1)


def test_the_last_stretch_of_every_series_is_held_out():
    rng = np.random.default_rng(0)
    series = [rng.standard_normal((n, 2)) for n in (200, 300)], [rng.standard_normal((n, 1)) for n in (200, 300)]
    data = TREET(4, steps=1, rng=0, held_out=0.3, validation=0.2, **SMALL).fit(*series)._data
    first = 4
    assert data.times.tolist() == [*range(first, 200), *range(200 + first, 500)]
    parts = [data.train, data.check, data.held]
    assert np.sort(np.concatenate(parts)).tolist() == data.times.tolist()
    assert data.held[data.held < 200].tolist() == list(range(200 - round(0.3 * 196), 200))
    assert data.train[data.train >= 200].max() < data.check[data.check >= 200].min() < data.held[-1]


def test_finds_a_strong_transfer_and_no_reverse():
    x, y = var_process(a=0.3, b=1.5).sample(1500, 1)
    settings = {**SMALL, "steps": 200, "lr": 5e-3, "source_history": 1}
    there = TREET(2, rng=0, **settings).fit(x, y).estimate()
    back = TREET(2, rng=0, **settings).fit(y, x).estimate()
    assert there.value == pytest.approx(0.5 * math.log(1 + 1.5**2), abs=0.12)  # 0.589
    assert abs(back.value) < 0.06


def test_lag_zero_sees_the_present():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(1200)
    y = x + 0.5 * rng.standard_normal(1200)
    settings = {**SMALL, "steps": 150, "lr": 5e-3, "history": 0, "source_history": 1}
    assert TREET(rng=0, lag=0, **settings).fit(x, y).estimate().value > 0.5  # ½ log 5 = 0.805
    assert abs(TREET(rng=0, lag=1, **settings).fit(x, y).estimate().value) < 0.1


def test_same_seed_same_result_and_restarts():
    x, y = var_process().sample(600, 0)
    a, b = (TREET(3, steps=20, rng=7, **SMALL).fit(x, y).estimate() for _ in range(2))
    assert a.value == b.value
    assert TREET(3, steps=20, rng=8, **SMALL).fit(x, y).estimate().value != a.value
    state = torch.get_rng_state()
    many = TREET(3, steps=20, rng=7, restarts=3, progress=True, **SMALL).fit(torch.as_tensor(x), torch.as_tensor(y))
    assert (torch.get_rng_state() == state).all()
    e = many.estimate()
    assert e.diagnostics["restart_error"] > 0
    assert len(e.diagnostics["steps"]) == 3
    assert many.estimate().value == e.value
    affine = TREET(3, steps=20, rng=7, **SMALL).fit(5 * x - 3, -0.1 * y).estimate()
    assert math.isfinite(affine.value)


def test_front_end():
    x, y = var_process(b=1.0).sample(600, 0)
    options = {**SMALL, "steps": 30}
    found = transfer_entropy(x, y, history=2, source_history=3, lag=2, method="treet", rng=0, **options)
    assert found.diagnostics["history"] == 2
    assert found.diagnostics["source_history"] == 3
    assert found.method == "treet(l=3, lag=2)"
    constant = treet_transfer_entropy(np.zeros(100), y[:100])
    assert (constant.value, constant.se) == (0.0, 0.0)


def test_bad_input():
    x, y = var_process().sample(200, 0)
    for make in (
        lambda: TREET(0),
        lambda: TREET(2, lag=-1),
        lambda: TREET(2, source_history=0),
        lambda: TREET(2, held_out=1.0),
        lambda: TREET(2, held_out=0.6, validation=0.5),
        lambda: TREET(2, reference="box"),
        lambda: TREET(2, draws=0),
        lambda: TREET(2).estimate(),
        lambda: TREET(2, **SMALL).fit(x, y[:-1]),
        lambda: TREET(2, **SMALL).fit([x, x], [y]),
        lambda: TREET(2, **SMALL).fit([x], y),
        lambda: TREET(2, **SMALL).fit([x, np.c_[x, x]], [y, y]),
        lambda: TREET(300, **SMALL).fit(x, y),
        lambda: TREET(2, **SMALL).fit(np.where(x == x[3], np.nan, x), y),
        lambda: TREET(2, **SMALL).fit(x, np.zeros_like(y)),
    ):
        with pytest.raises(ValueError):
            make()
    with pytest.raises(TypeError):
        TREET(2.5)


class Added:
    """White noise, one variance a component."""

    def __init__(self, *variances):
        self.sd = torch.tensor(variances).sqrt()

    def noise(self, x, rng):
        return torch.randn(x.shape, generator=rng) * self.sd

    def __call__(self, x, rng):
        return x + self.noise(x, rng)


TINY = {"d_model": 8, "heads": 1, "width": 16, "batch_size": 32, "length": 8, "draws": 2}


def test_capacity_of_white_noise():
    ndg = NDG(Added(1.0), 3.0, l=1, steps=20, critic_steps=2, polish=250, lr=1e-2, rng=0, **TINY).fit()
    e = ndg.capacity(256, 16)
    assert e.value == pytest.approx(0.5 * math.log(4), abs=0.08)
    assert e.diagnostics["power"] == pytest.approx(3.0, rel=0.05)
    x, y = ndg.sample(2000, 5)
    assert x.shape == y.shape == (2000, 5, 1)
    assert float((y - x).var()) == pytest.approx(1.0, rel=0.06)


@pytest.mark.parametrize("feedback", [False, True])
def test_power_memory_and_feedback(feedback):
    ndg = NDG(Added(1.0, 2.0), 2.0, 2, l=3, feedback=feedback, steps=2, polish=2, rng=1, progress=True, **TINY).fit()
    x, _ = ndg.sample(3000, 12)
    assert float((x**2).sum(-1).mean()) == pytest.approx(2.0, rel=0.05)
    assert ndg.capacity(16, 8).n == 16
    # What is drawn from the frozen generator does not depend on the rest of the batch.
    assert math.isfinite(ndg.capacity(2, 1).value)


def test_the_generator_looks_back_as_far_as_told():
    net = InputGenerator(1, 2, True, 8, torch.Generator().manual_seed(0)).double()
    u, past = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(net, (u.requires_grad_(), past.requires_grad_()))
    assert net(u, past).shape == (5, 1)


def test_ndg_bad_input():
    for make in (
        lambda: NDG(Added(1.0), 0.0),
        lambda: NDG(Added(1.0), 1.0, noise="cauchy"),
        lambda: NDG(Added(1.0), 1.0, l=0),
        lambda: NDG(Added(1.0), 1.0).capacity(),
    ):
        with pytest.raises(ValueError):
            make()
    with pytest.raises(TypeError, match="callable"):
        NDG(3.0, 1.0)
    with pytest.raises(TypeError, match="noise"):
        NDG(lambda x, rng: x, 1.0, feedback=True)


@pytest.mark.slow
def test_power_goes_to_the_better_component():
    """Parallel channels of variance ¼ and 2, P = 1: all power to the first, ½ log 5."""
    ndg = NDG(Added(0.25, 2.0), 1.0, 2, l=1, memory=0, steps=300, polish=400, rng=0, **{**TINY, "width": 32}).fit()
    x, _ = ndg.sample(4000, 4)
    share = (x**2).mean((0, 1))
    assert float(share[0] / share.sum()) > 0.85
    assert ndg.capacity().value == pytest.approx(0.5 * math.log(5), abs=0.08)


def test_error_of_a_bound_counts_the_noise_of_its_partition():
    """True and drawn scores of a step go together here, so a wrong sign or a lost term shows."""
    values, errors = [], []
    for seed in range(400):
        drawn = torch.randn(300, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        true = 0.7 * drawn.sum(1)
        terms = _dv_terms(true, drawn, None)
        assert terms.mean() == pytest.approx(float(true.mean() - torch.log(torch.exp(drawn).mean())))
        values.append(terms.mean())
        errors.append(terms.std(ddof=1) / math.sqrt(300))
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.12)
