import copy
import io
import math

import pytest

torch = pytest.importorskip("torch")

from plogp.nn import AdditiveGaussianNoise  # noqa: E402


@pytest.mark.parametrize("relative", [False, True])
def test_mean_and_spread(relative):
    x = torch.tensor([-3.0, 0.0, 0.5]).expand(200_000, 3)
    out = AdditiveGaussianNoise(0.2, relative, rng=0)(x)
    want = 0.2 * (x[0].abs() if relative else torch.ones(3))
    assert out.std(0) == pytest.approx(want, rel=0.02, abs=1e-7)
    assert out.mean(0) == pytest.approx(x[0], abs=5 * 0.6 / math.sqrt(200_000))
    corner = (out - x)[:, [0, 2]].T
    assert abs(float(torch.corrcoef(corner)[0, 1])) < 0.02


def test_modes():
    x = torch.ones(5)
    noisy, only_training = AdditiveGaussianNoise(1.0, rng=0), AdditiveGaussianNoise(1.0, always=False, rng=0)
    assert not torch.equal(noisy.eval()(x), x)
    assert torch.equal(only_training.eval()(x), x)
    assert not torch.equal(only_training.train()(x), x)
    assert torch.equal(AdditiveGaussianNoise(0.0)(x), x)


def test_seeds():
    x = torch.zeros(8)
    assert torch.equal(AdditiveGaussianNoise(1.0, rng=4)(x), AdditiveGaussianNoise(1.0, rng=4)(x))
    layer = AdditiveGaussianNoise(1.0, rng=4)
    assert not torch.equal(layer(x), layer(x))
    before = torch.random.get_rng_state()
    layer(x)
    assert torch.equal(before, torch.random.get_rng_state())
    # Without a seed it follows PyTorch's stream, as dropout does.
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one = AdditiveGaussianNoise(1.0)(x)
        torch.manual_seed(1)
        assert torch.equal(one, AdditiveGaussianNoise(1.0)(x))


@pytest.mark.parametrize("relative", [False, True])
def test_gradient(relative):
    x = torch.tensor([0.7, -1.3], dtype=torch.float64, requires_grad=True)

    def f(v):
        return AdditiveGaussianNoise(0.4, relative, rng=2)(v)

    assert torch.autograd.gradcheck(f, x)


def test_dtypes_copies_and_saving():
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2), AdditiveGaussianNoise(0.5, rng=0))
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        out = AdditiveGaussianNoise(0.5, rng=0)(torch.zeros(4, dtype=dtype))
        assert out.dtype == dtype
        assert out.isfinite().all()
    assert "sigma=0.5" in repr(layer)
    assert set(layer.state_dict()) == {"0.weight", "0.bias"}
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(torch.zeros(1, 2)), layer(torch.zeros(1, 2)))
    torch.save(layer.state_dict(), io.BytesIO())
    assert AdditiveGaussianNoise(0.5)(torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    x = torch.zeros(10_000, device="cuda")
    for rng in (None, 0):
        out = AdditiveGaussianNoise(0.5, rng=rng)(x)
        assert out.device == x.device
        assert float(out.std()) == pytest.approx(0.5, rel=0.05)


def test_bad_input():
    for sigma in (-1.0, math.nan, math.inf, "0.1"):
        with pytest.raises(ValueError, match="sigma"):
            AdditiveGaussianNoise(sigma)
    with pytest.raises(TypeError, match="floating-point"):
        AdditiveGaussianNoise(0.1)(torch.arange(3))
