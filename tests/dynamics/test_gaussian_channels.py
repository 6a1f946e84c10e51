import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import plogp as pl
from plogp.dynamics import ARMA, AWGN, Autoregressive, MovingAverage, capacity, water_filling

OMEGA = np.arange(512) * 2 * np.pi / 512


def feedback_by_optimisation(channel, power, taps=30):
    """The best strictly causal filter of the noise: the largest ∫ ½ log|1 + B|² with ∫ |B|² S = P (Kim 2010).

    Not concave in B: started where the power is large and followed down to the power asked for.
    """
    delays = np.exp(-1j * np.outer(OMEGA, np.arange(1, taps + 1)))
    spectrum = channel.spectrum(OMEGA)

    def objective(c, p):
        response = delays @ c
        used = np.mean(abs(response) ** 2 * spectrum)
        r = math.sqrt(p / used)
        whole = 1 + r * response
        of_b = -np.real(np.conj(delays).T @ (whole / abs(whole) ** 2)) / len(OMEGA)
        of_used = 2 * np.real(np.conj(delays).T @ (response * spectrum)) / len(OMEGA)
        return -np.mean(np.log(abs(whole))), r * of_b - (of_b @ c) * r / (2 * used) * of_used

    found = []
    for sign in (1.0, -1.0):
        c = np.zeros(taps)
        c[0] = sign
        for p in np.geomspace(max(30, 10 * power), power, 20):
            result = optimize.minimize(objective, c, args=(p,), jac=True, method="BFGS", options={"gtol": 1e-8})
            c = result.x / np.abs(result.x).max()
        found.append(-result.fun)
    return max(found)


def water_by_grid(channel, power):
    spectrum = channel.spectrum(np.arange(20_000) * 2 * np.pi / 20_000)
    level = optimize.brentq(lambda t: np.maximum(t - spectrum, 0).mean() - power, 0, 1000, xtol=1e-14)
    return 0.5 * np.log(np.maximum(level, spectrum) / spectrum).mean()


@pytest.mark.parametrize(
    ("channel", "power"),
    [
        (MovingAverage(0.5), 0.5),
        (MovingAverage(2.0, variance=0.5), 3.0),
        (Autoregressive(-0.8, variance=2.0), 3.0),
        (ARMA(ma=0.4, ar=0.3), 3.0),
        (ARMA(ma=0.3, ar=-0.8), 0.5),
    ],
)
def test_feedback_capacity_is_that_of_the_best_filter(channel, power):
    assert capacity(channel, power, feedback=True) == pytest.approx(feedback_by_optimisation(channel, power), abs=2e-6)


@pytest.mark.parametrize(
    "channel",
    [MovingAverage(0.9), MovingAverage(-3.0, 0.4), Autoregressive(0.5), Autoregressive(-0.95), ARMA(ma=0.4, ar=0.7)],
)
@pytest.mark.parametrize("power", [0.01, 1.0, 50.0])
def test_water_filling_of_a_spectrum(channel, power):
    assert capacity(channel, power) == pytest.approx(water_by_grid(channel, power), abs=2e-8)


@settings(max_examples=60, deadline=None)
@given(a=st.floats(0.05, 3.0), b=st.floats(0.05, 0.98), power=st.floats(1e-4, 100))
def test_the_published_quartics(a, b, power):
    """-a²x⁴ + 2a x³ + (a² - 1 - P)x² - 2a x + 1 = 0 and P b²x⁴ + 2P b x³ + (P + 1)x² - 1 = 0."""
    x = math.exp(-capacity(MovingAverage(min(a, 1.0)), power, feedback=True))
    m = min(a, 1.0)
    assert abs(-(m**2) * x**4 + 2 * m * x**3 + (m**2 - 1 - power) * x**2 - 2 * m * x + 1) < 1e-9 * (1 + power)
    x = math.exp(-capacity(Autoregressive(b), power, feedback=True))
    assert abs(power * b**2 * x**4 + 2 * power * b * x**3 + (power + 1) * x**2 - 1) < 1e-9 * (1 + power)


@settings(max_examples=60, deadline=None)
@given(
    ma=st.floats(-3, 3), ar=st.floats(-0.95, 0.95), power=st.floats(1e-3, 100), variance=st.floats(0.1, 10),
)  # fmt: skip
def test_bounds_and_symmetries(ma, ar, power, variance):
    channel = ARMA(ma, ar, variance)
    alone, fed = channel.capacity(power), channel.capacity(power, feedback=True)
    assert -1e-12 <= alone <= fed + 1e-9
    assert fed <= min(2 * alone, alone + 0.5 * math.log(2)) + 1e-9  # Cover and Pombra
    assert ARMA(-ma, -ar, variance).capacity(power) == pytest.approx(alone, rel=1e-7, abs=1e-9)
    assert ARMA(-ma, -ar, variance).capacity(power, feedback=True) == pytest.approx(fed, rel=1e-9)
    assert ARMA(ma, ar, variance * 3).capacity(power * 3, feedback=True) == pytest.approx(fed, rel=1e-9)
    # Among noises of one variance white is the worst; of one innovation variance, the coloured is as good or better.
    innovation = variance * max(1.0, ma * ma)
    assert alone >= 0.5 * math.log1p(power / (channel.noise_variance)) - 1e-9
    assert fed >= 0.5 * math.log1p(power / innovation) - 1e-9


def test_no_memory_is_white_noise():
    for channel in (MovingAverage(0.0, 2.0), Autoregressive(0.0, 2.0), ARMA(0.6, -0.6, 2.0), AWGN(2.0), AWGN((2.0,))):
        for feedback in (False, True):
            assert capacity(channel, 3.0, feedback=feedback) == pytest.approx(0.5 * math.log(2.5), abs=1e-12)
    assert capacity(MovingAverage(0.3), 0.0) == capacity(MovingAverage(0.3), 0.0, feedback=True) == 0.0
    # Approaching no memory, both formulas approach the white one.
    assert capacity(MovingAverage(1e-7), 1.0, feedback=True) == pytest.approx(0.5 * math.log(2), abs=1e-6)
    assert capacity(Autoregressive(1e-7), 1.0) == pytest.approx(0.5 * math.log(2), abs=1e-6)


def test_a_null_in_the_spectrum():
    """ma = 1: the noise vanishes at one frequency; the capacity stays finite."""
    alone = capacity(MovingAverage(1.0), 1.0)
    assert capacity(MovingAverage(0.9999), 1.0) == pytest.approx(alone, abs=1e-3)
    assert math.isfinite(capacity(MovingAverage(-1.0), 1e-3))
    assert capacity(MovingAverage(1.0), 10.0) == pytest.approx(0.5 * math.log(12.0))


def test_parallel_channels():
    given_, level = water_filling([1.0, 4.0, 2.0], 2.0)
    assert given_.sum() == pytest.approx(2.0)
    assert level == pytest.approx(2.5)
    assert given_.tolist() == [1.5, 0.0, 0.5]
    best = optimize.minimize(
        lambda p: -0.5 * np.log1p(p / np.array([1.0, 4.0, 2.0])).sum(),
        np.full(3, 2 / 3),
        bounds=[(0, None)] * 3,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 2},
    )
    assert capacity(AWGN((1.0, 4.0, 2.0)), 2.0) == pytest.approx(-best.fun, abs=1e-7)
    assert water_filling([3.0, 3.0], 0.0)[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize(
    "channel", [MovingAverage(0.7, 2.0, delay=3), Autoregressive(-0.6, 0.5, delay=2), ARMA(0.4, 0.5)]
)
def test_simulated_noise_has_the_spectrum(kind, channel):
    x = np.zeros((400, 128, 1))
    if kind == "torch":
        torch = pytest.importorskip("torch")
        z = channel(torch.as_tensor(x), 0).numpy()[..., 0]
    else:
        z = channel(x, 0)[..., 0]
    r = np.array([(z[:, : 128 - j] * z[:, j:]).mean() for j in range(13)])
    # autocovariances from the spectrum
    truth = np.fft.ifft(channel.spectrum(np.arange(4096) * 2 * np.pi / 4096)).real[:13]
    assert r == pytest.approx(truth, abs=6 * channel.noise_variance / math.sqrt(400 * 128 / 4))
    assert r[0] == pytest.approx(channel.noise_variance, rel=0.04)
    # stationary from the first step
    assert z[:, :4].var(axis=0) == pytest.approx(np.full(4, channel.noise_variance), rel=0.35)


def test_shapes_kinds_and_gradients():
    torch = pytest.importorskip("torch")
    for channel in (AWGN(0.5), MovingAverage(0.5), Autoregressive(0.5)):
        for shape in ((20,), (20, 1), (3, 20, 2)):
            x = np.ones(shape, dtype=np.float32)
            assert channel(x, 0).shape == shape
            assert channel(x, 0).dtype == np.float32
            assert (channel(x, 0) == channel(x, 0)).all()
            t = torch.ones(shape, dtype=torch.float64, requires_grad=True)
            y = channel(t, torch.Generator().manual_seed(0))
            assert y.dtype == torch.float64
            y.sum().backward()
            assert (t.grad == 1).all()
            half = channel(torch.ones(shape, dtype=torch.bfloat16), 0)
            assert half.dtype == torch.bfloat16
    noise = AWGN((1.0, 9.0)).noise(np.zeros((4000, 2)), 1)
    assert noise.std(axis=0) == pytest.approx([1, 3], rel=0.1)


def test_bad_input():
    for make in (
        lambda: AWGN(0.0),
        lambda: AWGN((1.0, -1.0)),
        lambda: Autoregressive(1.0),
        lambda: MovingAverage(math.inf),
        lambda: MovingAverage(0.5, variance=0),
        lambda: MovingAverage(0.5, delay=0),
        lambda: capacity(AWGN(), -1.0),
        lambda: capacity(MovingAverage(0.5), math.nan),
        lambda: AWGN((1.0, 2.0))(np.zeros(5), 0),
        lambda: AWGN()(np.float64(3.0), 0),
        lambda: water_filling([], 1.0),
    ):
        with pytest.raises(ValueError):
            make()
    with pytest.raises(TypeError, match="AWGN"):
        capacity([[0.5, 0.5]], 1.0)


def test_exported():
    assert pl.dynamics.capacity(pl.dynamics.AWGN(), 1.0) == pytest.approx(0.5 * math.log(2))
