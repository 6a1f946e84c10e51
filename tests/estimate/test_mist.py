import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp import estimate
from plogp.estimate import tasks
from plogp.estimate.mist import LEVELS, MIST, MISTConfig, Quantiles, mist_mutual_information, pinball_loss
from plogp.estimate.mist_network import MISTNetwork, Prepared, canonical, prepare, scores_of, swapped, together
from plogp.estimate.mist_support import statistics_of
from plogp.estimate.samples import normal_scores
from plogp.estimate.set_network import SetTransformer
from plogp.estimate.tasks.meta import meta_batch, meta_dataset
from plogp.estimate.training import generator

TINY = MISTConfig(max_dim=2, width=16, heads=2, layers=1, inducing=4, seeds=1, head=16)


@pytest.fixture(scope="module")
def model():
    return MIST()


def pair(n=120, d_x=1, d_y=1, rho=0.6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d_x))
    y = rng.standard_normal((n, d_y))
    y[:, 0] = rho * x[:, 0] + math.sqrt(1 - rho**2) * y[:, 0]
    return x, y


def tensors(n=30, d_x=2, d_y=1, size=3, seed=0):
    x, y, _ = meta_batch(size, n, d_x, d_y, rng=seed)
    return torch.from_numpy(x).double(), torch.from_numpy(y).double()


# ------------------------------------------------------------------------------------------------------- the loss


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.99), st.floats(-3, 3), st.floats(-3, 3))
def test_pinball_gradient(tau, predicted, truth):
    if abs(predicted - truth) < 1e-6:
        return
    q = torch.tensor([predicted], dtype=torch.float64, requires_grad=True)
    pinball_loss(q, torch.tensor([truth], dtype=torch.float64), torch.tensor([tau], dtype=torch.float64)).backward()
    assert q.grad.item() == pytest.approx(-(tau - (truth < predicted)), abs=1e-12)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_pinball_is_least_at_the_quantile(tau):
    y = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=2001))
    grid = torch.linspace(0, 8, 801, dtype=torch.float64)
    losses = [pinball_loss(q.expand(len(y)), y, torch.tensor(tau)).item() for q in grid]
    assert grid[int(np.argmin(losses))].item() == pytest.approx(np.quantile(y, tau), abs=0.02)


# ------------------------------------------------------------------------------------------------- the description


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=30))
def test_scores_with_ties_are_those_of_the_room(values):
    x = np.array(values, dtype=np.float64)[:, None]
    assert scores_of(torch.from_numpy(x)).numpy() == pytest.approx(normal_scores(x), abs=1e-12)


def test_score_gradient_is_the_slope_of_the_map():
    x = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stretched = torch.exp(x).requires_grad_()
    scores_of(stretched).sum().backward()
    inner = x.abs() < 1.5
    slope = 1 / torch.exp(x)  # of log, which makes these values normal again
    assert (stretched.grad / slope)[inner].median().item() == pytest.approx(1.0, abs=0.02)
    tied = torch.ones(30, 1, requires_grad=True)
    scores_of(tied).sum().backward()
    assert (tied.grad == 0).all()


def test_canonical_correlations():
    x, y = tensors(200, 3, 2)
    a, b, r = canonical(x, y)
    for i in range(len(x)):
        cov = np.cov(np.hstack([x[i], y[i]]).T)
        inner = np.linalg.solve(cov[:3, :3], cov[:3, 3:]) @ np.linalg.solve(cov[3:, 3:], cov[3:, :3])
        theirs = np.sqrt(np.sort(np.linalg.eigvals(inner).real)[::-1][:2])
        assert r[i].numpy() == pytest.approx(theirs, abs=1e-4)
        assert np.corrcoef(a[i, :, 0], b[i, :, 0])[0, 1] == pytest.approx(theirs[0], abs=1e-4)
        assert abs(np.corrcoef(a[i, :, 0], b[i, :, 1])[0, 1]) < 1e-4


def test_gradient_of_canonical_correlations():
    x, y = (v.clone().requires_grad_() for v in tensors(20, 2, 2, size=1, seed=3))
    assert torch.autograd.gradcheck(lambda a, b: canonical(a, b)[2], (x, y), atol=1e-5)


def test_first_guess_is_the_normal_copula():
    x, y = pair(400, 2, 3)
    given = prepare(torch.from_numpy(x)[None], torch.from_numpy(y)[None], 5)
    copula = estimate.copula_mutual_information(x, y).value
    assert given.guess.item() / (1 - 5 / 399) == pytest.approx(copula, abs=1e-4)


def test_rows_and_context_have_their_places():
    given = prepare(*tensors(25, 2, 1), 3)
    assert given.rows.shape == (3, 25, 12)
    assert given.context.shape == (3, 14)
    used = (given.rows.abs().sum(dim=(0, 1)) > 0).tolist()
    assert used == [True, True, False, True, False, False, True, False, False, True, False, False]
    assert given.context[0, 8:].tolist() == [0, 1, 0, 1, 0, 0]
    back = swapped(swapped(given, 3), 3)
    assert torch.equal(back.rows, given.rows)
    assert torch.equal(back.context, given.context)
    x, y = tensors(25, 2, 1)
    other, exchanged = prepare(y, x, 3), swapped(given, 3)
    assert torch.allclose(other.rows, exchanged.rows, atol=1e-9)
    assert torch.allclose(other.context, exchanged.context, atol=1e-9)


# -------------------------------------------------------------------------------------------------------- the network


@pytest.fixture(scope="module")
def network():
    return MISTNetwork(TINY, rng=0).double()


def test_row_order_does_not_matter(network):
    given = prepare(*tensors(40), 2)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    mixed = Prepared(given.rows[:, order], given.context, given.guess, given.unit)
    tau = torch.full((3, 2), 0.3, dtype=torch.float64)
    assert torch.allclose(network.quantiles(given, tau), network.quantiles(mixed, tau), atol=1e-9)


def test_padding_does_not_matter(network):
    parts = [prepare(*tensors(n, seed=n), 2) for n in (12, 40, 25)]
    tau = torch.tensor([[0.1, 0.9]], dtype=torch.float64)
    alone = torch.cat([network.quantiles(p, tau.expand(3, -1)) for p in parts])
    joined = together(parts)
    assert joined.rows.shape[1] == 40
    assert joined.mask.sum().item() == 3 * (12 + 40 + 25)
    assert torch.allclose(network.quantiles(joined, tau.expand(9, -1)), alone, atol=1e-9)
    filled = Prepared(joined.rows.clone(), joined.context, joined.guess, joined.unit, joined.mask)
    filled.rows[~joined.mask] = 1e3
    assert torch.allclose(network.quantiles(filled, tau.expand(9, -1)), alone, atol=1e-9)
    assert together(parts[:1]).mask is None


def test_network_gradient(network):
    given = prepare(*tensors(12, size=1), 2)

    def quantile(rows):
        tau = torch.tensor([[0.4]], dtype=torch.float64)
        return network.quantiles(Prepared(rows, given.context, given.guess, given.unit), tau)

    assert torch.autograd.gradcheck(quantile, given.rows.clone().requires_grad_(), atol=1e-6)


def test_attention_against_a_plain_loop():
    net = SetTransformer(3, 2, width=8, heads=2, layers=1, inducing=3, seeds=1, generator=generator(0)).double()
    block = net.pool
    x, source = (torch.randn(1, k, 8, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in (2, 5))
    q = block.query(block.norm_x(x))[0]
    k, v = block.key_value(block.norm_source(source))[0].chunk(2, dim=-1)
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        heads.append(torch.softmax(q[:, h] @ k[:, h].T / 2, dim=-1) @ v[:, h])
    out = x[0] + block.out(torch.cat(heads, dim=-1))
    out = out + block.feed(block.norm_feed(out))
    assert torch.allclose(block(x, source)[0], out, atol=1e-12)
    with pytest.raises(ValueError, match="multiple of heads"):
        SetTransformer(3, 2, width=9, heads=2, generator=generator(0))


def test_module_on_tensors(model):
    x, y = pair(100, 2, 1)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    one = model.module(a, b)
    assert one.dtype == torch.float64
    assert one.shape == ()
    assert one.item() == pytest.approx(model.estimate(x, y).value, abs=1e-4)
    batch = model.module(torch.stack([a, a]), torch.stack([b, b.flip(0)]))
    assert batch.shape == (2,)
    assert batch[0].item() == pytest.approx(one.item(), abs=1e-5)
    assert model.module(a.float(), b.float()).dtype == torch.float32
    assert model.module(a.bfloat16(), b.bfloat16()).item() == pytest.approx(one.item(), abs=0.1)
    low, high = (model.module(a, b, tau=t).item() for t in (0.05, 0.95))
    assert low < one.item() < high
    for bad in (torch.full((100, 1), math.nan), torch.ones(99, 1), torch.ones(2, 2, 2, 2), b.to(torch.complex64)):
        with pytest.raises(ValueError, match=r"y holds NaN|paired|y must be real"):
            model.module(a, bad)
    with pytest.raises(ValueError, match="tau"):
        model.module(a, b, tau=1.0)
    with pytest.raises(ValueError, match="too few samples"):
        model.module(a[:5], b[:5])


def test_gradient_ascent_makes_samples_dependent(model):
    """Following the gradient with respect to y raises the estimate, and an estimator that never saw it agrees."""
    x, y = pair(150, rho=0.3)
    a, b = torch.from_numpy(x), torch.tensor(y, requires_grad=True)
    optimiser = torch.optim.Adam([b], lr=0.1)
    for _ in range(12):
        optimiser.zero_grad()
        (-model.module(a, b)).backward()
        assert torch.isfinite(b.grad).all()
        optimiser.step()
    assert model.module(a, b).item() > model.estimate(x, y).value + 0.2
    assert estimate.ksg(x, b.detach().numpy()).value > estimate.ksg(x, y).value + 0.2


# --------------------------------------------------------------------------------------------------- the estimates


def test_same_answer_for_the_same_set(model):
    x, y = pair(90, 2, 3)
    found = model.estimate(x, y)
    order = np.random.default_rng(0).permutation(90)
    assert model.estimate(x[order], y[order]).value == found.value
    assert model.estimate(np.exp(x), np.arctan(y)).value == found.value
    assert model.estimate(y, x).value == pytest.approx(found.value, abs=1e-5)
    assert model.estimate(torch.from_numpy(x), y.tolist()).value == found.value


def test_many_at_once_as_one_by_one(model):
    sets = [pair(n, d, 1, seed=n) for n, d in ((20, 1), (300, 3), (55, 5), (700, 2))]
    many = model.estimate_many(sets)
    for (x, y), e in zip(sets, many):
        one = model.estimate(x, y, check=False)
        if len(x) <= 500:
            assert e.value == pytest.approx(one.value, abs=1e-5)
            assert e.interval(0.8) == pytest.approx(one.interval(0.8), abs=1e-5)
        assert "ksg" not in e.diagnostics
    assert model.estimate_many([]) == []


def test_estimate_contract(model):
    x, y = pair(200, 2, 2)
    found = model.estimate(x, y, level=0.8)
    assert found.n == 200
    assert found.method == "mist"
    assert found.unit == "nats"
    assert found.diagnostics["interval"] == found.interval(0.8)
    ends = [found.interval(level) for level in (0.2, 0.5, 0.8, 0.95, 0.99)]
    assert all(a[0] >= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(ends))
    low, high = found.interval(math.erf(math.sqrt(0.5)))
    assert found.se == pytest.approx((high - low) / 2)
    assert found.to("bits").interval(0.8) == pytest.approx(np.array(found.interval(0.8)) / math.log(2))
    with pytest.raises(ValueError, match=r"known up to level 0\.998"):
        found.interval(0.9999)
    with pytest.raises(ValueError, match="level"):
        model.estimate(x, y, level=1.0)


def test_quantile_law():
    law = Quantiles(np.sqrt(LEVELS))
    assert law.at(0.5) == math.sqrt(0.5)
    assert law(0.9) == pytest.approx((math.sqrt(0.05), math.sqrt(0.95)), abs=1e-12)


def test_quantiles_rise_and_are_not_negative(model):
    sets = [(x, y) for x, y, _ in meta_dataset(40, rng=5, group=2)]
    for e in model.estimate_many(sets):
        values = [e.law.at(t) for t in np.linspace(0.001, 0.999, 50)]
        assert np.all(np.diff(values) >= 0)
        assert values[0] >= 0
        assert np.isfinite(values).all()


@pytest.mark.parametrize("seed", range(3))
def test_more_rows_than_in_training(model, seed):
    task = tasks.multinormal_dense(2, 2)
    x, y = task.sample(1600, seed)
    found = model.estimate(x, y, rng=0)
    assert found.diagnostics["parts"] == 4
    assert found.n == 1600
    assert found.value == model.estimate(x[::-1], y[::-1], rng=0).value
    assert found.value == pytest.approx(task.truth, abs=0.08)
    assert found.value != model.estimate(x, y, rng=1).value


def test_constants_carry_nothing(model):
    found = model.estimate(np.ones(50), pair(50)[1])
    assert found.value == 0.0
    assert found.se == 0.0
    x, y = pair(50)
    beside = model.estimate(np.hstack([x, np.ones((50, 1))]), y)
    assert np.isfinite(beside.value)
    assert not beside.diagnostics["in_support"]


@pytest.mark.parametrize("rho", [1 - 1e-12, 1.0])
def test_functional_dependence_is_finite_and_large(model, rho):
    x = np.random.default_rng(0).standard_normal((100, 2))
    found = model.estimate(x, x * rho)
    assert np.isfinite(found.value)
    assert found.value > 2


def test_support_flag(model):
    rng = np.random.default_rng(0)
    inside = [model.estimate(x, y).diagnostics["in_support"] for x, y, _ in meta_dataset(60, rng=1, group=2)]
    assert np.mean(inside) > 0.9
    x = rng.standard_normal(300)
    rounded = model.estimate(x, x.round(1)).diagnostics
    assert not rounded["in_support"]
    assert "repeated" in rounded["outside"][0]
    assert "ksg" not in rounded
    parabola = model.estimate(x, x**2 + 0.2 * rng.standard_normal(300)).diagnostics
    assert not parabola["in_support"]
    assert any("nearest neighbours" in why for why in parabola["outside"])
    unchecked = model.estimate(x, np.sin(7 * x) + 0.05 * rng.standard_normal(300), check=False).diagnostics
    assert "ksg" not in unchecked
    checked = model.estimate(x, np.sin(7 * x) + 0.05 * rng.standard_normal(300)).diagnostics
    assert not checked["in_support"]


def test_support_statistics_ignore_padding():
    parts = [prepare(*tensors(n, seed=n), 2) for n in (15, 40)]
    joined = statistics_of(together(parts))
    for name, values in joined.items():
        alone = np.concatenate([statistics_of(p)[name] for p in parts])
        assert values == pytest.approx(alone, abs=1e-9)
    x, y = pair(300)
    x = torch.from_numpy(x)
    even = statistics_of(prepare(x[None], x[None] ** 2 + 0.1 * torch.from_numpy(y)[None], 2))
    assert even["odd-even correlation"] > 8


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        (np.zeros(9), np.zeros(9), ValueError, "trained on 10 rows"),
        (np.ones((30, 6)), np.ones(30), ValueError, "x has 6 columns, but these weights are for at most 5"),
        (np.ones(30), np.ones((30, 7)), ValueError, "y has 7 columns"),
        (np.ones(30), np.ones(31), ValueError, "paired row by row"),
        (np.full(30, np.nan), np.ones(30), ValueError, "x holds NaN"),
        (np.ones((30, 1, 1)), np.ones(30), ValueError, "shape"),
        ([], [], ValueError, "empty"),
        (["a"] * 30, np.ones(30), TypeError, "real numbers"),
    ],
)
def test_bad_samples(model, x, y, error, words):
    with pytest.raises(error, match=words):
        model.estimate(x, y)


def test_by_name():
    x, y = pair(100)
    found = estimate.mutual_information(x, y, method="mist")
    assert found.value == mist_mutual_information(x, y).value
    with pytest.raises(TypeError, match="unexpected"):
        mist_mutual_information(x, y, k=3)


# ------------------------------------------------------------------------------------------- weights and training


def test_save_and_load(tmp_path):
    fresh = MIST(False, config=TINY, rng=1)
    fresh.save(tmp_path / "w.safetensors")
    again = MIST(tmp_path / "w.safetensors")
    assert again.config == TINY
    x, y = pair(40)
    assert again.estimate(x, y).value == fresh.estimate(x, y).value
    assert mist_mutual_information(x, y, pretrained=tmp_path / "w.safetensors").value == fresh.estimate(x, y).value


def test_refused_files(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match="no weights"):
        MIST(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="not a safetensors file"):
        MIST(tmp_path / "text")
    save_file({"a": torch.ones(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="does not hold MIST weights"):
        MIST(tmp_path / "other.safetensors")
    with pytest.raises(TypeError, match="pretrained"):
        MIST(True)
    with pytest.raises(ValueError, match="config is read from the weights"):
        MIST(config=TINY)


def test_global_seed_is_left_alone():
    state = torch.get_rng_state()
    MIST(False, config=TINY).fit(steps=2, rows_per_step=64, held_out=4, rng=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_improves_and_repeats(tmp_path):
    def trained():
        seen = []
        path = tmp_path / "best.safetensors"
        model = MIST(False, config=TINY, rng=0)
        model.fit(
            steps=80,
            rows_per_step=1000,
            held_out=200,
            every=20,
            lr=5e-3,
            rng=1,
            checkpoint=path,
            report=lambda step, loss: seen.append((step, loss)),
        )
        return model, seen, path

    model, seen, path = trained()
    assert [step for step, _ in seen] == [20, 40, 60, 80]
    start = MIST(False, config=TINY, rng=0).fit(steps=1, lr=0.0, rows_per_step=100, held_out=200, rng=1).history.best
    assert seen[-1][1] < 0.9 * start
    assert model.history.best == min(loss for _, loss in seen)
    assert set(model.config.support) == {"normal-copula information", "odd-even correlation"}
    x, y = pair(60)
    assert MIST(path).estimate(x, y).value == model.estimate(x, y).value
    again, _, _ = trained()
    assert again.estimate(x, y).value == model.estimate(x, y).value


def test_fine_tuning_on_own_data():
    """Pairs with a scale of their own (information 2 nats always): after fitting to them, the answer is that."""
    rng = np.random.default_rng(0)
    rho = math.sqrt(-math.expm1(-4.0))
    sets = [(*pair(25, rho=rho, seed=rng.integers(1 << 30)), 2.0) for _ in range(60)]
    model = MIST(False, config=TINY, rng=0).fit(sets, steps=150, rows_per_step=400, lr=1e-2, every=50, rng=0)
    found = model.estimate(*pair(25, rho=rho, seed=77))
    assert found.value == pytest.approx(2.0, abs=0.15)
    assert found.se < 0.3
    assert model.config.n_range == (10, 500)
    wide = [(*pair(700, seed=i), 0.2) for i in range(10)]
    assert model.fit(wide, steps=1, rng=0).config.n_range == (10, 700)


def test_training_from_a_source():
    def source(rng):
        return meta_dataset(10**6, families=["normal_dense"], n_range=(20, 40), dims=(1, 2), rng=rng)

    model = MIST(False, config=TINY, rng=0).fit(source, steps=5, rows_per_step=100, held_out=10, rng=0)
    assert len(model.history.losses) == 5
    with pytest.raises(ValueError, match="ended before training did"):
        MIST(False, config=TINY).fit(lambda rng: meta_dataset(9, dims=(1, 1), rng=rng), steps=500, held_out=3)


def test_training_within_minutes():
    model = MIST(False, config=TINY, rng=0).fit(
        steps=10**6, minutes=0.02, rows_per_step=200, held_out=10, every=5, rng=0
    )
    assert 1 <= len(model.history.losses) < 10**5
    assert not model.history.interrupted
    with pytest.raises(ValueError, match="minutes"):
        MIST(False, config=TINY).fit(minutes=0, held_out=1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([(np.ones(20), np.ones(20))] * 10, r"tuple \(x, y, information\)"),
        ([(np.arange(20.0), np.arange(20.0), -1.0)] * 10, "not negative"),
        ([(np.arange(20.0), np.arange(20.0), math.nan)] * 10, "finite"),
        ([(np.arange(20.0), np.arange(19.0), 1.0)] * 10, "paired"),
        ([(np.arange(20.0), np.arange(20.0), 1.0)] * 9, "at least 10 data sets"),
    ],
)
def test_refused_data_sets(data, words):
    with pytest.raises(ValueError, match=words):
        MIST(False, config=TINY).fit(data, steps=1)


@pytest.mark.parametrize("option", ["rows_per_step", "levels_per_set", "held_out"])
def test_refused_training_options(option):
    with pytest.raises(ValueError, match=option):
        MIST(False, config=TINY).fit(**{option: 0})


# --------------------------------------------------------------------------------------------- the shipped weights


def test_the_file_is_small_and_says_what_it_is(model):
    from importlib import resources

    path = resources.files("plogp.estimate") / "weights" / "mist.safetensors"
    raw = path.read_bytes()
    assert len(raw) < 4 * 2**20
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["config"])["max_dim"] == 5
    assert (resources.files("plogp.estimate") / "weights" / "MIST.md").is_file()
    assert 200_000 < sum(p.numel() for p in model.module.parameters()) < 600_000
    assert model.config.support


@pytest.mark.parametrize("n", [30, 150])
def test_shipped_weights_beat_the_baselines(model, n):
    sets = list(meta_dataset(200, n_range=(n, n), rng=n + 5, group=1))
    truth = np.array([t for *_, t in sets])
    found = model.estimate_many([(x, y) for x, y, _ in sets])

    def rmse(values):
        return float(np.sqrt(np.mean((np.array(values) - truth) ** 2)))

    ours = rmse([e.value for e in found])
    assert ours < 0.7 * rmse([estimate.ksg(x, y, k=3, workers=1).value for x, y, _ in sets])
    assert ours < rmse([estimate.gaussian_mutual_information(x, y).value for x, y, _ in sets])
    covered = np.mean([low <= t <= high for t, (low, high) in zip(truth, (e.interval(0.8) for e in found))])
    assert 0.7 <= covered <= 0.9
