"""The training loop: rows from any source, the best weights kept, interrupts, seeds."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest

torch = pytest.importorskip("torch")
training = pytest.importorskip("plogp.estimate.training")
MLP, History, Rows, fit = training.MLP, training.History, training.Rows, training.fit
generator, linear, numpy_generator = training.generator, training.linear, training.numpy_generator


def _net(seed=0, d_in=1, d_out=1):
    return MLP(d_in, 16, d_out, generator=generator(seed))


def _square(net):
    return lambda x, y: ((net(x) - y) ** 2).mean()


class Pairs(torch.utils.data.Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.normal(size=(37, 3)), rng.integers(0, 5, 37)


def test_every_source_gives_the_same_rows(arrays, tmp_path):
    x, y = arrays
    path = tmp_path / "x.npy"
    np.save(path, x)
    pairs = Pairs(torch.from_numpy(x), torch.from_numpy(y))
    sources = [
        (x, y),
        (torch.from_numpy(x), torch.from_numpy(y)),
        (np.load(path, mmap_mode="r"), y.astype(np.uint16)),
        (x.tolist(), y.astype(">i4")),
        (pairs,),
        (torch.from_numpy(x).to(torch.bfloat16).double(), y),
    ]
    index = [5, 36, 0, 5]
    for source in sources[:-1]:
        rows = Rows(*source)
        assert (rows.n, rows.dims) == (37, (3, 1))
        a, b = rows.take(index)
        assert a.dtype == torch.float32
        np.testing.assert_allclose(a, x[index], rtol=1e-6)
        np.testing.assert_array_equal(b[:, 0], y[index])
    np.testing.assert_allclose(Rows(*sources[-1]).take(index)[0], x[index], rtol=1e-2)
    assert Rows(x, dtype=torch.float64).take([3])[0].numpy().tobytes() == x[3].tobytes()


def test_images_are_flattened_and_tensors_keep_no_graph():
    image = torch.randn(5, 2, 3, generator=generator(0), requires_grad=True)
    (t,) = Rows(image).take([1])
    assert t.shape == (1, 6)
    assert not t.requires_grad


def test_split_and_subset_partition_the_rows():
    rows = Rows(np.arange(100.0))
    a, b = rows.split(0.7, 3)
    values = np.concatenate([r.take(np.arange(r.n))[0][:, 0] for r in (a, b)])
    assert (a.n, b.n) == (70, 30)
    assert sorted(values) == list(range(100))
    inner = b.subset([0, 2])
    np.testing.assert_array_equal(inner.take([1])[0], b.take([2])[0])
    again, _ = rows.split(0.7, 3)
    assert torch.equal(again.take([0, 1])[0], a.take([0, 1])[0])


def test_batches_see_every_row_once_an_epoch():
    rows = Rows(np.arange(10.0))
    seen = [b[:, 0].tolist() for (b,) in rows.batches(4, 0, epochs=2)]
    assert [len(s) for s in seen] == [4, 4, 2, 4, 4, 2]
    assert sorted(itertools.chain(*seen[:3])) == list(range(10))
    assert seen[:3] != seen[3:]
    endless = rows.batches(4, 0)
    assert [len(next(endless)[0]) for _ in range(5)] == [4] * 5
    assert len(next(Rows(np.arange(3.0)).batches(256, 0))[0]) == 3


def test_moments_agree_with_numpy_far_from_zero(monkeypatch):
    monkeypatch.setattr("plogp.estimate.training.PASS_BYTES", 8 * 3 * 100)  # many parts
    x = np.random.default_rng(0).normal(1e8, 1e-2, size=(1000, 3))
    x[:, 2] = 7.0
    ((mean, sd),) = Rows(x).moments()
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(sd[:2], x[:, :2].std(0), rtol=1e-6)
    assert sd[2] == 1.0
    (z,) = Rows(x).standardized().loaded().take(np.arange(1000))
    np.testing.assert_allclose(z[:, :2].std(0, correction=0), 1.0, rtol=1e-4)
    assert (z[:, 2] == 0).all()


def test_mapped_rows():
    rows = Rows(np.arange(4.0), np.ones(4)).mapped(torch.exp, lambda t: -t)
    a, b = rows.take([0, 1])
    np.testing.assert_allclose(a[:, 0], [1.0, math.e], rtol=1e-6)
    assert (b == -1).all()
    with pytest.raises(ValueError, match="one map for each of 2"):
        rows.mapped(torch.exp)


def test_memory_map_is_not_loaded(tmp_path):
    np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.float32, shape=(20_000, 1600))
    x = np.load(tmp_path / "big.npy", mmap_mode="r")  # 128 MB, sparse on the disk
    net = _net(d_in=1600)

    def train(rows):
        fit(net, lambda a: ((net(a) - 1) ** 2).mean(), rows, steps=3, batch_size=64, rng=0)

    train(Rows(np.zeros((64, 1600))))  # PyTorch imports parts of itself at the first step
    tracemalloc.start()
    train(Rows(x).split(0.8, 0)[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


@pytest.mark.parametrize(
    ("arrays", "error", "match"),
    [
        ((), ValueError, "at least one"),
        ((np.zeros(3), np.zeros(4)), ValueError, r"lengths \[3, 4\]"),
        ((np.zeros((0, 2)),), ValueError, "no rows"),
        ((np.array(["a", "b"]),), TypeError, "array 0 must hold real numbers"),
        ((torch.zeros(3, dtype=torch.complex64),), TypeError, "real numbers"),
        ((np.array([1.0, np.nan]),), ValueError, "NaN or infinite values .row 1"),
        ((torch.tensor(3.0),), ValueError, "single number"),
    ],
)
def test_bad_rows(arrays, error, match):
    with pytest.raises(error, match=match):
        Rows(*arrays).moments()


def test_nan_is_found_when_read():
    x = np.zeros((10, 2))
    x[7, 1] = np.inf
    rows = Rows(np.zeros(10), x).subset([0, 7])
    with pytest.raises(ValueError, match="array 1 holds NaN or infinite values"):
        rows.take([1])


def test_iterable_dataset_is_refused():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([1.0])

    with pytest.raises(TypeError, match="IterableDataset"):
        Rows(Stream())


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_bad_share(share):
    with pytest.raises(ValueError, match="share"):
        Rows(np.zeros(5)).split(share)


def test_generators():
    g = torch.Generator()
    assert generator(g) is g
    a, b = (torch.rand(3, generator=generator(np.random.default_rng(5))) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(torch.rand(3, generator=generator(None)), torch.rand(3, generator=generator(None)))
    assert numpy_generator(generator(1)).random() == numpy_generator(generator(1)).random()


def test_start_is_seeded_and_torch_is_left_alone():
    before = torch.get_rng_state().clone()
    one, two = _net(3), _net(3)
    rows = Rows(np.linspace(-1, 1, 50), np.linspace(-1, 1, 50) ** 2)
    for net in (one, two):
        fit(net, _square(net), rows, steps=20, batch_size=10, rng=1)
    for p, q in zip(one.parameters(), two.parameters()):
        assert torch.equal(p, q)
    assert torch.equal(torch.get_rng_state(), before)
    weights = linear(400, 50, generator(0)).weight.detach()
    assert float(weights.abs().max()) <= 1 / 20
    assert abs(float(weights.std()) - 1 / 20 / math.sqrt(3)) < 1e-3


def test_fit_solves_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    y = x @ [1.0, -2.0, 0.5] + 3.0
    net = linear(3, 1, generator(0))
    fit(net, _square(net), Rows(x, y), steps=600, batch_size=100, lr=0.05, rng=0, schedule="cosine")
    solution = np.linalg.lstsq(np.c_[x, np.ones(500)], y, rcond=None)[0]
    np.testing.assert_allclose(np.r_[net.weight.detach()[0], net.bias.detach()], solution, atol=1e-3)


def test_best_weights_are_kept_and_training_stops():
    net = linear(1, 1, generator(0))
    values = iter([3.0, 1.0, 2.0, math.nan, 4.0, 5.0])
    seen = []

    def validate():
        assert not net.training
        assert not torch.is_grad_enabled()
        seen.append(net.weight.detach().clone())
        return next(values)

    rows = Rows(np.ones(20), np.ones(20) * 50)
    history = fit(net, _square(net), rows, steps=100, batch_size=5, validate=validate, every=10, patience=3, rng=0)
    assert history.stopped_early
    assert history.best_step == 20
    assert history.best == 1.0
    assert history.validation[3] == (40, math.inf)
    assert len(history.losses) == 50
    assert torch.equal(net.weight, seen[1])
    assert not net.training


def test_average_of_weights_is_what_is_validated_and_kept():
    net = linear(1, 1, generator(0))
    start = net.weight.detach().clone()
    looked_at = []
    rows = Rows(np.ones(20), np.ones(20) * 50)
    live = []

    def loss(x, y):
        live.append(net.weight.detach().clone())
        return _square(net)(x, y)

    def validate():
        looked_at.append(net.weight.detach().clone())
        return -float(len(looked_at))

    fit(net, loss, rows, steps=4, batch_size=5, ema=0.5, validate=validate, every=4, rng=0, lr=0.1)
    # decays (1 + t)/(10 + t) at t = 1...4, from the start on
    average = start
    for t, w in enumerate([*live[1:], live[-1] + (live[-1] - live[-2])], 1):
        decay = min(0.5, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * w
    assert torch.equal(net.weight, looked_at[-1])
    np.testing.assert_allclose(net.weight.detach(), average, atol=2e-3)
    assert not torch.allclose(net.weight, live[-1], atol=1e-4)


def test_without_validation_the_average_is_left_in():
    one, two = linear(1, 1, generator(0)), linear(1, 1, generator(0))
    rows = Rows(np.ones(20), np.ones(20) * 50)
    for net, ema in ((one, None), (two, 0.9)):
        history = fit(net, _square(net), rows, steps=10, batch_size=5, ema=ema, rng=0, lr=0.1)
        assert history.best_step == 10
    assert (two.weight < one.weight).all()  # it lags behind


def test_interrupt_keeps_the_best():
    net = linear(1, 1, generator(0))
    kept = []
    calls = iter(range(100))

    def loss(x, y):
        if next(calls) == 25:
            raise KeyboardInterrupt
        return _square(net)(x, y)

    def validate():
        kept.append(net.weight.detach().clone())
        return 1.0 + len(kept)

    rows = Rows(np.ones(20), np.ones(20) * 50)
    history = fit(net, loss, rows, steps=100, batch_size=5, validate=validate, every=10, rng=0)
    assert history.interrupted
    assert len(history.losses) == 25
    assert torch.equal(net.weight, kept[0])


def test_divergence_is_loud():
    net = linear(1, 1, generator(0))
    rows = Rows(np.ones(20), np.ones(20))
    with pytest.raises(FloatingPointError, match="by step 10"):
        fit(net, lambda x, y: _square(net)(x, y) * math.nan, rows, steps=30, batch_size=5, every=10)
    count = iter(range(100))

    def late(x, y):
        return _square(net)(x, y) * (math.nan if next(count) > 14 else 1.0)

    net = linear(1, 1, generator(0))
    with pytest.warns(RuntimeWarning, match="best weights before it are kept"):
        history = fit(net, late, rows, steps=50, batch_size=5, every=10, validate=lambda: 1.0)
    assert torch.isfinite(net.weight).all()
    assert history.best_step == 10


def test_clip_weight_decay_and_own_optimizer():
    rows = Rows(np.ones(20) * 1e3, np.ones(20) * 1e6)
    net = linear(1, 1, generator(0))
    start = net.weight.detach().clone()
    fit(net, _square(net), rows, steps=1, batch_size=5, clip=1.0, optimizer="sgd", lr=0.5)
    moved = (net.weight - start).detach()
    assert 0 < float(moved.abs().max()) <= 0.5
    net = linear(1, 1, generator(0))
    fit(net, lambda x, y: 0 * net(x).sum(), rows, steps=1, batch_size=5, optimizer="adamw", lr=0.1, weight_decay=1.0)
    torch.testing.assert_close(net.weight.detach(), 0.9 * start)
    fit(net, _square(net), rows, steps=1, batch_size=5, optimizer=lambda p: torch.optim.Adagrad(p, lr=0.1))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 0}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"every": 0}, "every"),
        ({"ema": 1.0}, "ema"),
        ({"optimizer": "lbfgs"}, "optimizer"),
        ({"schedule": "wavy"}, "schedule"),
    ],
)
def test_bad_options(options, match):
    net = linear(1, 1, generator(0))
    with pytest.raises(ValueError, match=match):
        fit(net, _square(net), Rows(np.ones(9), np.ones(9)), **({"steps": 2, "batch_size": 3} | options))


def test_nothing_to_train():
    with pytest.raises(ValueError, match="no parameters"):
        fit(torch.nn.Identity(), lambda x: x.sum(), Rows(np.ones(5)), steps=1, batch_size=2)


def test_schedules():
    net, held = linear(1, 1, generator(0)), []

    def watched(parameters):
        held.append(torch.optim.SGD(parameters, lr=1.0))
        return held[0]

    def loss(x, y):
        rates.append(held[0].param_groups[0]["lr"])
        return _square(net)(x, y)

    rows = Rows(np.zeros(10), np.zeros(10))
    for schedule, expected in (
        ("linear", [1.0, 0.75, 0.5, 0.25]),
        ("cosine", [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        (lambda step: 1 / (1 + step), [1.0, 1 / 2, 1 / 3, 1 / 4]),
    ):
        rates = []
        held.clear()
        fit(net, loss, rows, steps=4, batch_size=5, optimizer=watched, schedule=schedule)
        np.testing.assert_allclose(rates, expected)


def test_progress_and_plot(capsys):
    net = linear(1, 1, generator(0))
    rows = Rows(np.ones(10), np.ones(10))
    history = fit(net, _square(net), rows, steps=4, batch_size=5, every=2, validate=lambda: 1.0, progress=True)
    capsys.readouterr()
    pytest.importorskip("matplotlib").use("Agg")
    ax = history.plot()
    assert ax.get_xlabel() == "step"
    assert len(ax.lines) == 3
    assert History().best == math.inf
