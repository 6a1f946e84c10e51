"""Neural mutual information: known truths, held-out honesty, every source of data, new pairs, pointwise values."""

import math

import numpy as np
import pytest

import plogp as pl
from plogp.estimate import tasks

torch = pytest.importorskip("torch")
neural = pytest.importorskip("plogp.estimate.neural")
variational = pytest.importorskip("plogp.estimate.variational")
critics = pytest.importorskip("plogp.estimate.critics")
NeuralMutualInformation, neural_mutual_information = neural.NeuralMutualInformation, neural.neural_mutual_information

#: Small and quick; the defaults are checked by the slow tests.
QUICK = {"critic": "separable", "steps": 200, "batch_size": 128, "restarts": 1, "width": 32, "embed": 8, "rng": 0}
KINDS = [*variational.KINDS, "doe"]


def _pair(rho=0.8, n=1500, seed=0):
    return tasks.gaussian(rho).sample(n, seed)


@pytest.fixture(scope="module")
def fitted():
    x, y = _pair()
    return NeuralMutualInformation("smile", **QUICK).fit(x, y)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_a_strong_dependence_and_its_log_ratio(kind):
    x, y = _pair()
    model = NeuralMutualInformation(kind, **QUICK).fit(x, y)
    e = model.estimate()
    assert abs(e.value - tasks.gaussian(0.8).truth) < 0.1 + 2 * e.se
    assert e.interval()[0] > 0.2
    assert e.unit == "nats"
    assert e.diagnostics["kind"] == kind
    assert e.diagnostics["held_out"] == 300
    assert len(e.terms) == 300
    u, v = _pair(n=500, seed=5)
    truth = -0.5 * math.log1p(-0.64) - (0.64 * (u**2 + v**2) - 1.6 * u * v).ravel() / 0.72
    found = model.pointwise(u, v)
    assert found.shape == (500,)
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    assert abs(np.mean(found - truth)) < 0.15


def test_independent_variables_have_none():
    rng = np.random.default_rng(0)
    e = neural_mutual_information(rng.normal(size=1500), rng.normal(size=1500), **QUICK | {"steps": 100})
    assert abs(e.value) < 0.03


def test_training_pairs_would_have_said_more():
    """300 pairs, a large network, no early stopping: the critic has learned its own pairs by heart."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 200, 10))
    model = NeuralMutualInformation("dv", **QUICK | {"steps": 200, "width": 128, "patience": None}, ema=None, lr=3e-3)
    model.fit(x, y)
    (run,) = model._runs
    run.model.train()
    rows = model._data
    optimiser = torch.optim.Adam(run.model.parameters(), lr=3e-3)
    seen = np.setdiff1d(np.arange(200), run.test)
    for _ in range(150):  # past the best weights, which the fit had kept
        optimiser.zero_grad()
        run.model.loss(*rows.take(seen)).backward()
        optimiser.step()
    trained = run.model.terms(*rows.take(seen))[0]
    held = model.estimate().value
    assert trained > 1.0
    assert held < 0.2


def test_test_pairs_are_never_trained_or_stopped_on(monkeypatch):
    used, fit = [], neural.fit

    def watched(model, loss, rows, **options):
        used.append((set(rows._index), rows.n))
        return fit(model, loss, rows, **options)

    monkeypatch.setattr(neural, "fit", watched)
    x, y = _pair(n=200)
    model = NeuralMutualInformation("js", **QUICK | {"steps": 3, "restarts": 3}).fit(x, y)
    tests = [set(run.test.tolist()) for run in model._runs]
    assert [len(t) for t in tests] == [40] * 3
    assert len(set.union(*tests)) == 120  # disjoint
    for (train, n), test in zip(used, tests):
        assert not train & test
        assert n == 128  # 0.8 of the other 160; the rest is for stopping


def test_same_seed_same_result_and_torch_is_left_alone():
    x, y = _pair(n=200)
    before = torch.get_rng_state().clone()
    options = QUICK | {"steps": 20, "restarts": 2}
    one, two = (neural_mutual_information(x, y, **options) for _ in range(2))
    other = neural_mutual_information(x, y, **options | {"rng": 1})
    assert one.value == two.value
    assert one.value != other.value
    assert torch.equal(torch.get_rng_state(), before)


def test_every_source_gives_the_same(tmp_path):
    x, y = _pair(n=300)
    np.save(tmp_path / "x.npy", x)

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return 300

        def __getitem__(self, i):
            return x[i], y[i]

    options = QUICK | {"steps": 10}
    expected = neural_mutual_information(x, y, **options).value
    for source in (
        (torch.from_numpy(x), torch.from_numpy(y)),
        (np.load(tmp_path / "x.npy", mmap_mode="r"), y.tolist()),
        (Pairs(),),
    ):
        assert neural_mutual_information(*source, **options).value == pytest.approx(expected, abs=1e-6)


def test_large_data_are_read_as_needed(monkeypatch):
    monkeypatch.setattr(neural, "HELD_BYTES", 0)
    x, y = _pair(n=300)
    reads = []
    loaded = neural.Rows.loaded
    monkeypatch.setattr(neural.Rows, "loaded", lambda self: reads.append(1) or loaded(self))
    value = neural_mutual_information(x, y, **QUICK | {"steps": 10}).value
    assert not reads
    monkeypatch.setattr(neural, "HELD_BYTES", 2**28)
    assert neural_mutual_information(x, y, **QUICK | {"steps": 10}).value == pytest.approx(value, abs=1e-5)
    assert reads


def test_new_pairs(fitted):
    x, y = _pair(n=2000, seed=7)
    e = fitted.estimate(x, y)
    assert abs(e.value - tasks.gaussian(0.8).truth) < 0.1
    assert e.n == 2000
    assert e.diagnostics["held_out"] == 2000
    far = fitted.estimate(x * 1e6, y)
    assert math.isfinite(far.value)


def test_pointwise_answers_in_kind(fitted):
    x, y = _pair(n=50, seed=5)
    found = fitted.pointwise(x, y)
    as_tensor = fitted.pointwise(torch.from_numpy(x), torch.from_numpy(y))
    assert found.dtype == np.float64
    assert isinstance(as_tensor, torch.Tensor)
    np.testing.assert_allclose(as_tensor, found, atol=1e-5)


def test_scaling_makes_monotone_maps_harmless():
    """With normal scores exp(x) and x are the same data; with none, exp of heavy tails spoils the training."""
    x, y = _pair(n=800)
    one = neural_mutual_information(x, y, **QUICK | {"steps": 60})
    two = neural_mutual_information(np.exp(5 * x), -np.arctan(y), **QUICK | {"steps": 60})
    assert two.value == pytest.approx(one.value, abs=0.05)
    shifted = neural_mutual_information(x * 1e-8 + 1e3, y * 1e12, scale="standard", **QUICK | {"steps": 60})
    assert shifted.value == pytest.approx(one.value, abs=0.15)


def test_normal_scores_are_reproduced_and_continued():
    sample = np.random.default_rng(0).gamma(1.0, size=(300, 2)).round(1)
    scores = neural._ranked(sample)
    from plogp.estimate.samples import normal_scores

    np.testing.assert_allclose(scores(torch.from_numpy(sample)), normal_scores(sample), atol=1e-12)
    line = torch.linspace(-1, 20, 400, dtype=torch.float64)[:, None].expand(-1, 2)
    out = scores(line)
    assert (out.diff(dim=0) >= 0).all()
    assert out.abs().max() < 4


def test_constant_variable_has_no_information():
    e = neural_mutual_information(np.ones(300), np.random.default_rng(0).normal(size=300), **QUICK | {"steps": 40})
    assert abs(e.value) < 0.05


def test_f_information_with_any_divergence():
    """JS bound on the divergence of the joint from the product, against quadrature through the true ratio."""
    x, y = _pair(n=2000)
    js = pl.divergence("js")
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 400_000))
    ratio = -0.5 * math.log1p(-0.64) - (0.64 * (u * u + v * v) - 1.6 * u * v) / 0.72
    truth = float(np.mean(js.pointwise(ratio)))
    found = neural_mutual_information(x, y, kind="f", divergence=js, report="divergence", **QUICK)
    assert found.value == pytest.approx(truth, abs=0.03 + 2 * found.se)
    mix = 0.7 * pl.divergence("kl") + 0.3 * pl.divergence("reverse_kl")
    for d in (mix, "jeffreys"):
        e = neural_mutual_information(x, y, kind="f", divergence=d, **QUICK)
        assert abs(e.value - tasks.gaussian(0.8).truth) < 0.1 + 2 * e.se
        assert e.unit == "nats"


def test_known_critic_needs_no_training():
    x, y = _pair(n=1000)

    class Truth(torch.nn.Module):
        def forward(self, a, b):
            q = 0.64 * (a**2 + b.T**2) - 1.6 * a @ b.T
            return -0.5 * math.log1p(-0.64) - q / 0.72

    model = NeuralMutualInformation("dv", Truth(), scale=None, restarts=5, held_out=0.2, rng=0).fit(x, y)
    e = model.estimate()
    assert abs(e.value - tasks.gaussian(0.8).truth) < 4 * e.se
    assert e.diagnostics["held_out"] == 1000
    assert e.diagnostics["steps"] == [0] * 5
    assert e.method == "dv(Truth, restarts=5)"


def test_critics_of_ones_own():
    x, y = _pair(n=300)
    module = critics.Bilinear(1, 1, generator=torch.Generator().manual_seed(0))
    before = module.weight.detach().clone()
    options = {"steps": 20, "restarts": 2, "rng": 0}
    neural_mutual_information(x, y, kind="infonce", critic=module, **options)
    assert torch.equal(module.weight, before)  # a copy is trained
    made = []

    def make(d_x, d_y, g):
        made.append((d_x, d_y))
        return critics.Separable(d_x, d_y, 8, 4, generator=g)

    neural_mutual_information(x, np.c_[y, y], critic=make, **options)
    assert made == [(1, 2), (1, 2)]


def test_diagnostics_tell_where_a_kind_fails():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 4))
    y = x + 0.01 * rng.normal(size=(1000, 4))  # 18 nats
    quick = QUICK | {"steps": 200}
    e = neural_mutual_information(x, y, kind="infonce", **quick)
    assert e.value <= e.diagnostics["cap"] == math.log(200)
    assert "close to its cap" in e.diagnostics["warning"]
    e = neural_mutual_information(x[:100, 0], y[:100, 0], kind="dv", **quick)  # 4.6 nats
    assert e.diagnostics["variance_floor"] == pytest.approx(math.expm1(e.value) / (20 * 19))
    assert "spreads by at least" in e.diagnostics["warning"]
    assert "warning" not in neural_mutual_information(*_pair(0.3, 400), kind="dv", **QUICK | {"steps": 20}).diagnostics


def test_restarts_widen_the_interval_where_they_disagree():
    model = NeuralMutualInformation("dv", **QUICK | {"steps": 5, "restarts": 2})
    model.fit(*_pair(n=200))
    terms = [np.zeros(40) + 1e-3 * np.arange(40)] * 2
    index = np.arange(80)
    calm = model._estimate(np.array([0.5, 0.5]), index, terms, False, 3120)
    apart = model._estimate(np.array([0.3, 0.7]), index, terms, False, 3120)
    assert apart.se == pytest.approx(math.sqrt(0.08 / 2), rel=0.01)
    assert calm.se < 0.01


def test_interrupt_keeps_what_is_finished(monkeypatch):
    calls = iter(range(10**6))
    loss = neural._Ratio.loss

    def interrupted(self, x, y):
        if next(calls) == 70:
            raise KeyboardInterrupt
        return loss(self, x, y)

    monkeypatch.setattr(neural._Ratio, "loss", interrupted)
    model = NeuralMutualInformation("js", **QUICK | {"steps": 500, "restarts": 4, "every": 10}).fit(*_pair(n=200))
    assert len(model.history) == 1
    e = model.estimate()
    assert e.diagnostics["interrupted"]
    assert math.isfinite(e.value)


def test_front_end_knows_the_kinds():
    x, y = _pair(n=300)
    e = pl.estimate.mutual_information(x, y, method="infonce", steps=20, rng=0)
    assert "infonce" in e.method
    for kind in KINDS:
        assert kind in pl.estimate.methods("mutual_information")


def test_plot_and_progress(fitted, capsys):
    pytest.importorskip("matplotlib").use("Agg")
    ax = fitted.plot()
    assert "smile" in ax.get_title()
    assert len(ax.lines) == 2
    neural_mutual_information(*_pair(n=100), **QUICK | {"steps": 3}, progress=True)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "donsker"}, "kind must be one of"),
        ({"critic": "joint"}, "critic must be one of"),
        ({"report": "bits"}, "report must be one of"),
        ({"report": "divergence"}, "belongs to kind 'f'"),
        ({"scale": "minmax"}, "scale must be one of"),
        ({"held_out": 1.0}, "held_out must lie"),
        ({"validation": 0.0}, "validation must lie"),
        ({"restarts": 0}, "restarts must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"negatives": 0}, "negatives must be"),
        ({"kind": "infonce", "negatives": 3}, "needs negatives='all'"),
        ({"activation": "sine"}, "activation must be one of"),
        ({"kind": "doe", "family": "cauchy"}, "family must be one of"),
        ({"kind": "f", "divergence": "tv"}, "kink"),
        ({"tau": -1.0}, "tau must be positive"),
    ],
)
def test_bad_settings(options, match):
    with pytest.raises(ValueError, match=match):
        NeuralMutualInformation(**options).fit(*_pair(n=100))


def test_bad_data():
    x, y = _pair(n=100)
    model = NeuralMutualInformation(**QUICK)
    with pytest.raises(ValueError, match="not fitted"):
        model.estimate()
    with pytest.raises(ValueError, match=r"lengths \[100, 99\]"):
        model.fit(x, y[:99])
    with pytest.raises(ValueError, match="at least 20 pairs, got 10"):
        model.fit(x[:10], y[:10])
    with pytest.raises(ValueError, match="expected pairs"):
        model.fit(x)
    bad = x.copy()
    bad[17] = np.nan
    with pytest.raises(ValueError, match=r"NaN or infinite values \(row 17\)"):
        model.fit(bad, y)
    with pytest.raises(TypeError, match="real numbers"):
        model.fit(np.array(["a"] * 100), y)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_defaults_on_normal_pairs(kind, rho):
    task = tasks.gaussian(rho)
    e = neural_mutual_information(*task.sample(5000, 3), kind=kind, rng=0)
    assert abs(e.value - task.truth) < 0.1
