"""The tracker: what it records, what it leaves alone, how much memory it takes."""

from __future__ import annotations

import copy
import math
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

import plogp as pl
from plogp.spectra import Tracker, TrackerCallback
from plogp.spectra.tracker import METRICS


def batch(n: int = 64, d: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def test_it_records_what_the_functions_give():
    model, x = network(), batch()
    with Tracker(model, "1", metrics=list(METRICS), every=1) as tracker:
        model(x)
    h = torch.relu(model[0](x)).detach()
    values = tracker.history[0].values
    assert values["rankme"] == pytest.approx(float(pl.spectra.rankme(h)), rel=1e-6)
    assert values["vendi"] == pytest.approx(float(pl.spectra.vendi_score(h)), rel=1e-5)
    assert values["von_neumann_entropy"] == pytest.approx(float(pl.spectra.von_neumann_entropy(h)), rel=1e-5)
    assert values["participation_ratio"] == pytest.approx(float(pl.spectra.participation_ratio(h)), rel=1e-5)
    spectrum = pl.spectra.Spectrum.covariance(h)
    assert values["effective_rank"] == pytest.approx(float(spectrum.effective_rank), rel=1e-6)
    assert values["eee"] == pytest.approx(float(spectrum.eee()), rel=1e-5)
    assert (tracker.history[0].n, tracker.history[0].d) == (64, 16)


def test_the_clock_counts_training_passes():
    model = network()
    with Tracker(model, every=3) as tracker:
        for i in range(7):
            model.train()
            model(batch(seed=i))
            model.eval()
            model(batch(seed=i))
    steps, values = tracker.curve("effective_rank")
    np.testing.assert_array_equal(steps, [0, 3, 6])
    assert values.shape == (3, 1)
    assert np.isfinite(values).all()
    with Tracker(model.eval(), every=1, evaluation=True) as tracker:
        model(batch())
    assert len(tracker.history) == 1


def test_training_is_not_touched():
    a, b = network(), network()
    tracker = Tracker(a, ["0", "1"], every=1)
    torch.manual_seed(3)
    la = a(batch()).square().mean()
    la.backward()
    drawn_a = torch.rand(1)
    torch.manual_seed(3)
    lb = b(batch()).square().mean()
    lb.backward()
    assert torch.equal(la, lb)
    assert torch.equal(drawn_a, torch.rand(1))
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(a.parameters(), b.parameters()))
    tracker.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in a.modules())


def test_hooks_are_gone_after_an_exception():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 4)
            self.fail = True

        def forward(self, x):
            x = self.inner(x)
            if self.fail:
                raise RuntimeError("no")
            return x

    model = Fails()
    with Tracker(model, "inner", every=2) as tracker:
        with pytest.raises(RuntimeError, match="no"):
            model(batch())
        model.fail = False
        model(batch())
        model(batch())
    assert [r.step for r in tracker.history] == [2]
    assert tracker.history[0].n == 64
    assert not model.inner._forward_hooks
    copy.deepcopy(model)


def test_rows_bound_memory_and_are_drawn_the_same_every_time():
    model = nn.Sequential(nn.Linear(8, 32))
    seen = []
    for _ in range(2):
        with Tracker(model, every=1, rows=100, rng=5) as tracker:
            model(batch(50_000))
        assert tracker.history[0].n == 100
        seen.append(tracker.history[0].values)
    assert seen[0] == seen[1]
    tracker = Tracker(model, every=1, rows=64)
    x = batch(50_000)
    model(x)
    tracemalloc.start()
    model(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert not tracker._taken
    tracker.close()


def test_a_module_used_twice_and_a_token_mask():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 8)

        def forward(self, x, attention_mask=None):
            return self.inner(self.inner(x))

    model = Twice()
    x = batch(4 * 6).reshape(4, 6, 8)
    mask = torch.ones(4, 6)
    mask[:, 4:] = 0
    with Tracker(model, "inner", every=1, mask="attention_mask") as tracker:
        model(x, attention_mask=mask)
    assert tracker.history[0].n == 2 * 16
    with Tracker(model, "inner", every=1, rows=20) as tracker:
        model(x)
    assert tracker.history[0].n == 20


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_precisions(dtype):
    model = nn.Linear(8, 6).to(dtype)
    with Tracker(model, every=1, metrics=[m for m in METRICS if m != "alpha_req"]) as tracker:
        model(batch().to(dtype))
    assert all(math.isfinite(v) for v in tracker.history[0].values.values())


def test_what_is_not_defined_is_nan():
    constant = nn.Linear(8, 4)
    nn.init.zeros_(constant.weight)
    with Tracker(constant, every=1) as tracker:
        constant(batch())
        constant(batch(1))
    assert all(math.isnan(v) for r in tracker.history for v in r.values.values())
    broken = nn.Linear(8, 4)
    with Tracker(broken, every=1) as tracker:
        broken(batch() * math.nan)
    assert all(math.isnan(v) for v in tracker.history[0].values.values())
    with Tracker(nn.Linear(2, 3), every=1, metrics=["alpha_req"]) as tracker:
        tracker.module(batch(4, 2))
    assert math.isnan(tracker.history[0].values["alpha_req"])


def test_a_metric_of_ones_own():
    model = network()
    with Tracker(model, "1", metrics={"sparsity": lambda h: (h == 0).float().mean()}, every=1) as tracker:
        model(batch())
    assert 0 < tracker.history[0].values["sparsity"] < 1
    assert set(tracker.to_dicts()[0]) == {"step", "module", "n", "d", "sparsity"}


def test_mistakes_are_named():
    model = network()
    with pytest.raises(ValueError, match="unknown metric 'rank'; known are"):
        Tracker(model, metrics=["rank"])
    with pytest.raises(ValueError, match="every must be"):
        Tracker(model, every=0)
    with pytest.raises(ValueError, match="rows must be"):
        Tracker(model, rows=1)
    with pytest.raises(ValueError, match="selects no module"):
        Tracker(model, "9")
    with pytest.raises(TypeError, match="must be callable"):
        Tracker(model, metrics={"a": 1})
    with Tracker(model) as tracker, pytest.raises(ValueError, match="is not followed"):
        tracker.curve("eee")
    with pytest.raises(ValueError, match="nothing was recorded"):
        tracker.plot()
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_the_plot(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    model = network()
    with Tracker(model, every=2) as tracker:
        for i in range(6):
            model(batch(seed=i))
    tracker.plot(["rankme", "vendi"]).savefig(tmp_path / "t.png")
    assert (tmp_path / "t.png").stat().st_size > 5_000


def test_transformers_trainer(tmp_path):
    import transformers

    config = transformers.GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=30, n_positions=16)
    model = transformers.GPT2LMHeadModel(config)
    ids = torch.randint(30, (32, 12), generator=torch.Generator().manual_seed(0))
    rows = [{"input_ids": r, "labels": r, "attention_mask": torch.ones_like(r)} for r in ids]
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=1, per_device_train_batch_size=4, gradient_accumulation_steps=2, report_to=[],
        use_cpu=True, disable_tqdm=True, save_strategy="no", logging_strategy="no",
    )  # fmt: skip
    callback = TrackerCallback("transformer.h.*.mlp", every=2, metrics=["rankme"], mask="attention_mask")
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[callback])
    trainer.train()
    steps, values = callback.tracker.curve("rankme")
    np.testing.assert_array_equal(steps, [0, 2])
    assert values.shape == (2, 2)
    logged = [entry for entry in trainer.state.log_history if "spectra/transformer.h.0.mlp/rankme" in entry]
    assert [entry["step"] for entry in logged] == [0, 2]
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_lightning_trainer(tmp_path):
    import lightning

    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, x):
            return self.body(x)

        def training_step(self, rows, _):
            return self(rows[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-2)

    callback = TrackerCallback("body.1", every=2)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(batch(80)), batch_size=16)
    logger = lightning.pytorch.loggers.CSVLogger(str(tmp_path))
    trainer = lightning.Trainer(
        max_epochs=1, callbacks=[callback], logger=logger, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(Lit(), data)
    assert [r.step for r in callback.tracker.history] == [0, 2, 4]
    logger.save()
    assert "spectra/body.1/rankme" in next(tmp_path.rglob("metrics.csv")).read_text()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["zero", "constant", "one row alive", "huge", "nan"])
def test_no_metric_ends_a_training(metric, kind):
    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if kind == "one row alive":
                return torch.zeros(16, 4).index_fill(0, torch.tensor([3]), 1e-30)
            return {"zero": 0 * x, "constant": 0 * x + 2, "huge": x * 1e30, "nan": x * math.nan}[kind]

    with Tracker(Layer(), metrics=[metric], every=1) as tracker:
        tracker.module(batch(16, 4))
    (value,) = tracker.history[0].values.values()
    if kind in ("zero", "constant", "nan"):
        assert math.isnan(value)
    else:
        assert math.isnan(value) or value >= 0


def test_rows_of_zeros_are_left_out_of_the_vendi_score():
    x = batch(32, 4)
    x[5] = 0
    layer = nn.Identity()
    with Tracker(layer, metrics=["vendi"], every=1) as tracker:
        layer(x)
    kept = torch.cat([x[:5], x[6:]])
    assert tracker.history[0].values["vendi"] == pytest.approx(float(pl.spectra.vendi_score(kept)), rel=1e-5)


def test_errors_of_a_callable_are_seen():
    def broken(x: torch.Tensor) -> float:
        raise ValueError("mine")

    layer = nn.Identity()
    with Tracker(layer, metrics={"broken": broken}, every=1), pytest.raises(ValueError, match="mine"):
        layer(batch())
