import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import interpolate, stats

from plogp.text import face, surprisal_spectrum
from plogp.trace import MarkovLM, Trace, trace


def series(n, lengths=(60, 61, 90), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.exponential(2, lengths[i % len(lengths)]) for i in range(n)]


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 200), st.integers(0, 10**6))
def test_frequencies_and_energy_of_the_spectrum(n, seed):
    s = np.random.default_rng(seed).exponential(3, n)
    freq, magnitude = surprisal_spectrum(s)
    whole = np.abs(np.fft.fftshift(np.fft.fft(s)))[n // 2 :]
    np.testing.assert_allclose(magnitude, whole, atol=1e-9)
    np.testing.assert_allclose(freq, np.fft.fftshift(np.fft.fftfreq(n))[n // 2 :], atol=1e-12)
    nyquist = np.abs(np.fft.fft(s)[n // 2]) ** 2 if n % 2 == 0 else 0.0
    assert magnitude[0] ** 2 + 2 * (magnitude[1:] ** 2).sum() + nyquist == pytest.approx(n * (s**2).sum())


def test_a_cosine_is_one_line_and_the_mean_is_at_zero():
    s = 5 + np.cos(2 * np.pi * 7 * np.arange(140) / 140)
    freq, magnitude = surprisal_spectrum(s)
    expected = np.zeros(70)
    expected[[0, 7]] = 700, 70
    np.testing.assert_allclose(magnitude, expected, atol=1e-9)
    assert freq[7] == 7 / 140
    assert surprisal_spectrum(s, detrend="mean").magnitude[0] == pytest.approx(0, abs=1e-9)
    ramp = surprisal_spectrum(np.arange(50.0), detrend="linear").magnitude
    np.testing.assert_allclose(ramp, 0, atol=1e-9)
    np.testing.assert_allclose(
        surprisal_spectrum(s, preprocess="logzs").magnitude[1:],
        np.abs(np.fft.fft(stats.zscore(np.log1p(s))))[1:70],
        rtol=1e-4,
        atol=1e-4,
    )
    lowest = surprisal_spectrum(s, preprocess="minmax").magnitude
    np.testing.assert_allclose(lowest[7], 35, rtol=1e-6)


def test_a_trace_gives_the_spectrum_of_its_scored_tokens():
    lm = MarkovLM.random(8, rng=0)
    t = trace(lm, [lm.sample(1, n, rng=n)[0] for n in (40, 50)])
    both = surprisal_spectrum(t)
    np.testing.assert_allclose(both[1].magnitude, surprisal_spectrum(-t[1].logprob.astype(float)).magnitude)
    np.testing.assert_allclose(surprisal_spectrum(t[0]).magnitude, both[0].magnitude)
    paper = surprisal_spectrum(t, protocol="paper")[0]
    np.testing.assert_allclose(paper.magnitude, surprisal_spectrum(-t[0].logprob[1:].astype(float)).magnitude)


def test_equal_and_scaled_series():
    a = series(8)
    same = face(a, a)
    assert [same[k].value for k in ("SO", "CORR", "SAM", "SPEAR")] == pytest.approx([1, 1, 0, 1], abs=1e-12)
    scaled = face(a, [2.5 * s for s in a])
    assert [scaled[k].value for k in ("SO", "CORR", "SAM", "SPEAR")] == pytest.approx([0.4, 1, 0, 1], abs=1e-7)


def test_the_four_numbers_by_hand():
    a, b = series(6), series(9, (55, 80), seed=1)
    x = np.linspace(0, 0.5, 1000)
    rows = {"SO": [], "CORR": [], "SAM": [], "SPEAR": []}
    for s1, s2 in zip(a, b):
        y1, y2 = (interpolate.interp1d(*surprisal_spectrum(s), fill_value="extrapolate")(x) for s in (s1, s2))
        u, v = np.abs(y1), np.abs(y2)
        rows["SO"].append(np.trapezoid(np.minimum(u, v), x) / np.trapezoid(np.maximum(u, v), x))
        rows["CORR"].append(stats.pearsonr(y1, y2)[0])
        rows["SAM"].append(np.arccos(y1 @ y2 / np.linalg.norm(y1) / np.linalg.norm(y2)) / np.pi)
        rows["SPEAR"].append(stats.spearmanr(y1, y2)[0])
    found = face(a, b)
    for name, values in rows.items():
        assert found[name].value == pytest.approx(np.mean(values), abs=1e-9)
        assert found[name].se == pytest.approx(np.std(values, ddof=1) / np.sqrt(6), rel=1e-6)
        np.testing.assert_allclose(found[name].terms, values, atol=1e-9)
    assert found["SO"].diagnostics["unpaired texts left out"] == 3


def test_swapping_the_collections_changes_nothing():
    a, b = series(5), series(5, seed=3)
    for name, value in face(a, b).items():
        assert value.value == pytest.approx(face(b, a)[name].value, abs=1e-12)


def test_one_pair_has_no_interval_and_a_constant_spectrum_no_correlation():
    one = face([np.arange(10.0)], [np.arange(10.0) ** 0.5])
    with pytest.raises(ValueError, match="no spread"):
        one["SO"].interval()
    impulse = np.zeros(64)
    impulse[0] = 1.0
    flat = face([impulse], [np.arange(64.0)], detrend=None)
    assert np.isnan(flat["CORR"].value)
    assert np.isnan(flat["SPEAR"].value)
    assert 0 < flat["SO"].value < 1


def test_bad_input_is_refused():
    a = series(2)
    for call, message in (
        (lambda: surprisal_spectrum([1.0, 2.0, 3.0]), "at least 4"),
        (lambda: surprisal_spectrum([1.0, np.inf, 2.0, 3.0]), "infinite or NaN"),
        (lambda: surprisal_spectrum(a[0], preprocess="square"), "preprocess"),
        (lambda: surprisal_spectrum(a[0], detrend="quadratic"), "detrend"),
        (lambda: surprisal_spectrum(np.ones(9), preprocess="minmax"), "differ"),
        (lambda: face(a, a, points=2), "points"),
        (lambda: face(Trace(np.zeros(0, int), np.zeros(1, int), np.zeros(0, bool), np.zeros(0)), a), "no text"),
        (lambda: surprisal_spectrum(np.ones((2, 3, 4))), "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_plots():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    result = face(series(3), series(3, seed=1))
    assert len(result.plot().lines) == 2
    assert len(surprisal_spectrum(series(1)[0]).plot().lines) == 1
    plt.close("all")
