"""The information plane while a model trains: in a plain loop, in transformers' and in Lightning's trainer."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import plogp as pl
from plogp.estimate.callbacks import InformationPlaneCallback, TrainingCallback


def digits(n: int = 200) -> tuple[torch.Tensor, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x[:n] / 16, dtype=torch.float32), y[:n]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Dropout(0.5), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 10))


def test_a_plain_loop_gives_what_the_function_gives():
    x, y = digits()
    model = network()
    seen = InformationPlaneCallback(x, y, bins=10, every=2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    kept = {}
    for epoch in range(5):
        seen(epoch, model)
        if epoch % 2 == 0:
            with torch.no_grad():
                first = torch.tanh(model[0](x))
                second = torch.relu(model[3](first))
            kept[epoch] = [first.numpy(), second.numpy()]
        model.train()
        nn.functional.cross_entropy(model(x), torch.as_tensor(y)).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert model.training
    expected = pl.estimate.information_plane(kept, y, bins=10)
    plane = seen.plane
    assert plane.layers == ["1", "4"]
    np.testing.assert_array_equal(plane.epochs, [0, 2, 4])
    np.testing.assert_array_equal(plane.ix, expected.ix)
    np.testing.assert_array_equal(plane.iy, expected.iy)
    assert plane.iy[-1, 0] > 0


def test_it_leaves_the_model_and_the_random_state_alone():
    x, y = digits(64)
    model = network()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    InformationPlaneCallback(x, y)(0, model)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_inputs_of_several_kinds_agree():
    x, y = digits(60)
    model = network()
    planes = []
    for inputs in (x, x.numpy(), x.double().numpy(), [x[:40], x[40:]], (b for b in (x[:40], x[40:]))):
        seen = InformationPlaneCallback(inputs, y, ["1"])
        seen(0, model)
        seen(1, model)
        planes.append(seen.plane.ix)
    for other in planes[1:]:
        np.testing.assert_allclose(other, planes[0], atol=1e-12)


def test_convolutions_are_one_layer_each():
    x, y = digits(50)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
    seen = InformationPlaneCallback(x.reshape(-1, 1, 8, 8), y, method="kde", noise=0.1)
    seen(0, model)
    assert seen.plane.ix.shape == (1, 1)
    assert 0 < seen.plane.ix[0, 0] <= np.log(50) + 1e-9


def test_mistakes_are_named():
    x, y = digits(30)
    with pytest.raises(ValueError, match="every must be"):
        InformationPlaneCallback(x, y, every=0)
    with pytest.raises(ValueError, match="'epoch' or 'step'"):
        InformationPlaneCallback(x, y, by="day")
    with pytest.raises(ValueError, match="nothing was recorded"):
        _ = InformationPlaneCallback(x, y).plane
    with pytest.raises(ValueError, match="no module that is an activation function"):
        InformationPlaneCallback(x, y)(0, nn.Linear(64, 2))
    with pytest.raises(ValueError, match="same length"):
        InformationPlaneCallback(x, y[:20])(0, network())


def test_transformers_trainer(tmp_path):
    import transformers

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, x=None, labels=None):
            logits = self.body(x)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    x, y = digits(64)
    rows = [{"x": a, "labels": int(b)} for a, b in zip(x, y)]
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=2, per_device_train_batch_size=16, report_to=[], use_cpu=True,
        disable_tqdm=True, save_strategy="no", logging_strategy="no",
    )  # fmt: skip
    inputs = {"x": x, "labels": torch.as_tensor(y)}
    epochs = InformationPlaneCallback(inputs, y, bins=8)
    steps = InformationPlaneCallback(inputs, y, bins=8, by="step", every=4)
    assert isinstance(epochs, transformers.TrainerCallback)
    trainer = transformers.Trainer(Classifier(), arguments, train_dataset=rows, callbacks=[epochs, steps])
    trainer.train()
    np.testing.assert_array_equal(epochs.plane.epochs, [0, 1, 2])
    np.testing.assert_array_equal(steps.plane.epochs, [0, 4, 8])
    np.testing.assert_array_equal(epochs.plane.ix, steps.plane.ix)


def test_lightning_trainer(tmp_path):
    import lightning

    x, y = digits(64)

    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, x):
            return self.body(x)

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-2)

    seen = InformationPlaneCallback(x, y, bins=8)
    steps = InformationPlaneCallback(x, y, bins=8, by="step", every=4)
    assert isinstance(seen, lightning.pytorch.Callback)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.as_tensor(y)), batch_size=16)
    trainer = lightning.Trainer(
        max_epochs=2, callbacks=[seen, steps], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=str(tmp_path), accelerator="cpu",
    )  # fmt: skip
    trainer.fit(Lit(), data)
    np.testing.assert_array_equal(seen.plane.epochs, [0, 1, 2])
    np.testing.assert_array_equal(steps.plane.epochs, [0, 4, 8])
    np.testing.assert_array_equal(seen.plane.ix, steps.plane.ix)
    assert seen.plane.layers == ["body.1", "body.4"]


def test_a_subclass_says_what_it_records():
    class Norms(TrainingCallback):
        def __init__(self):
            super().__init__(every=3, by="step")
            self.seen = {}

        def record(self, at, model):
            self.seen[at] = float(model.weight.detach().norm())

    norms = Norms()
    for step in range(7):
        norms(step, nn.Linear(2, 2))
    assert list(norms.seen) == [0, 3, 6]
    with pytest.raises(NotImplementedError):
        TrainingCallback()(0, nn.Linear(2, 2))


def test_records_can_be_pickled():
    x, y = digits(30)
    seen = InformationPlaneCallback(x, y)
    seen(0, network())
    again = pickle.loads(pickle.dumps(seen.plane))
    np.testing.assert_array_equal(again.ix, seen.plane.ix)


def test_the_plot(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    x, y = digits(60)
    seen = InformationPlaneCallback(x, y)
    seen(0, network())
    ax = seen.plot()
    ax.figure.savefig(tmp_path / "plane.png")
    assert (tmp_path / "plane.png").stat().st_size > 5_000
