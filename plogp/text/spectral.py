"""FACE: the Fourier spectrum of a text's surprisal, and how alike the spectra of two collections are."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate

__all__ = ["Face", "SurprisalSpectrum", "face", "surprisal_spectrum"]

Floats = npt.NDArray[np.float64]

PREPROCESS = ("none", "zscore", "minmax", "log", "logzs")
DETREND = ("mean", "linear")


class SurprisalSpectrum(NamedTuple):
    """Frequencies in cycles a token, 0 <= f < 1/2, and the magnitudes of the Fourier transform there."""

    freq: Floats
    magnitude: Floats

    def plot(self, ax: Any = None) -> Any:
        """Draw the spectrum without its line at f = 0. Needs matplotlib."""
        ax = _axes(ax)
        ax.plot(self.freq[1:], self.magnitude[1:], linewidth=0.9)
        ax.set_xlabel("frequency (cycles per token)")
        ax.set_ylabel("magnitude of surprisal's transform (nats)")
        return ax


def surprisal_spectrum(
    trace: Any, *, preprocess: str = "none", detrend: str | None = None, protocol: str = "all"
) -> Any:
    r"""Return the magnitude spectrum of the surprisal of a text, :math:`|X_k| = |\sum_t s_t e^{-2\pi i k t / n}|`.

    Parameters
    ----------
    trace : Trace, or array of shape (n,)
        One text or several; an array is a series of surprisals in nats.
    preprocess : {"none", "zscore", "minmax", "log", "logzs"}
        Of the series: standardised, scaled to [0, 1], log(1 + s), or that and standardised.
    detrend : {"mean", "linear"}, optional
        Take off the mean or the line of best fit before the transform. The line at f = 0 is n times the mean, far
        above all others; the paper keeps it.
    protocol : {"all", "paper"}
        "paper" leaves out the first token.

    Returns
    -------
    SurprisalSpectrum, or a list of them for a trace of several texts

    Raises
    ------
    ValueError
        For a text of fewer than 4 scored tokens, one with a token of probability 0, or an unknown option.

    Examples
    --------
    >>> t = np.arange(100)
    >>> freq, magnitude = surprisal_spectrum(3 + np.cos(2 * np.pi * t / 20))
    >>> float(freq[1 + magnitude[1:].argmax()]), round(float(magnitude[0]), 3)
    (0.05, 300.0)

    References
    ----------
    Z. Yang et al., 2023, arXiv 2305.10307.
    """
    series = _series(trace, "trace", protocol)
    out = [_spectrum(s, preprocess, detrend, i) for i, s in enumerate(series)]
    return out[0] if len(out) == 1 and not isinstance(trace, (list, tuple)) else out


class Face(dict[str, Estimate]):
    """What `face` returns: {"SO", "CORR", "SAM", "SPEAR"} -> Estimate, with the mean spectra to plot.

    Attributes
    ----------
    freq : array, shape (points,)
    human, model : array, shape (points,)
        Mean magnitudes of the two collections.
    """

    freq: Floats
    human: Floats
    model: Floats

    def plot(self, ax: Any = None) -> Any:
        """Draw the mean spectra of the two collections without f = 0. Needs matplotlib."""
        ax = _axes(ax)
        shown = self.freq > 0.005
        for name, values in (("human", self.human), ("model", self.model)):
            ax.plot(self.freq[shown], values[shown], linewidth=0.9, label=name)
        ax.set_xlabel("frequency (cycles per token)")
        ax.set_ylabel("mean magnitude (nats)")
        ax.set_title(", ".join(f"{name} {value.value:.3f}" for name, value in self.items()), fontsize=9)
        ax.legend(frameon=False)
        return ax


def face(
    traces_human: Any,
    traces_model: Any,
    *,
    preprocess: str = "none",
    detrend: str | None = None,
    points: int = 1000,
    protocol: str = "all",
) -> Face:
    r"""Compare two collections of texts by the spectra of their surprisal under one evaluator.

    Text i of the one is paired with text i of the other, the longer collection cut. Both spectra are interpolated
    (and extrapolated) linearly to `points` frequencies in [0, 1/2]; then, averaged over the pairs,

    - SO, spectral overlap :math:`\int \min(|Y_1|, |Y_2|) / \int \max(|Y_1|, |Y_2|)` in [0, 1], 1 is equal;
    - CORR, Pearson's, and SPEAR, Spearman's correlation;
    - SAM, the angle :math:`\arccos(\langle Y_1, Y_2 \rangle / \|Y_1\| \|Y_2\|) / \pi` in [0, 1], 0 is equal.

    Parameters
    ----------
    traces_human, traces_model : Trace, or sequence of arrays
        Of texts by humans and by the model to be judged, traced with the same evaluator; arrays are series of
        surprisals in nats.
    preprocess, detrend, protocol
        As in `surprisal_spectrum`.
    points : int

    Returns
    -------
    Face
        A dictionary of Estimates. The standard error is over pairs, which are taken as independent. With one pair
        there is none.

    Raises
    ------
    ValueError
        For an empty collection, and as `surprisal_spectrum`.

    Notes
    -----
    Single spectra are noisy, so texts of one law are far from SO = 1: about 0.65 by measurement on Markov chains.
    Compare with the SO of two halves of the human texts. Magnitudes grow with the length: pair texts of like length.
    A constant spectrum has no correlation: CORR and SPEAR are NaN. The released program rounds SO to four digits.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> texts = list(rng.exponential(3, (20, 200)))
    >>> same = face(texts, texts)
    >>> [round(same[name].value, 6) for name in ("SO", "CORR", "SAM", "SPEAR")]
    [1.0, 1.0, 0.0, 1.0]

    References
    ----------
    Z. Yang et al., 2023, arXiv 2305.10307.
    """
    if isinstance(points, bool) or points < 3:
        raise ValueError(f"points must be a whole number of at least 3, got {points!r}")
    x = np.linspace(0.0, 0.5, points)
    spectra = []
    for texts, name in ((traces_human, "traces_human"), (traces_model, "traces_model")):
        made = [_spectrum(s, preprocess, detrend, i) for i, s in enumerate(_series(texts, name, protocol))]
        if not made:
            raise ValueError(f"{name} holds no text")
        spectra.append(np.array([_interpolated(s, x) for s in made]))
    pairs = min(map(len, spectra))
    a, b = (s[:pairs] for s in spectra)
    terms = {"SO": _overlap(a, b, x), "CORR": _pearson(a, b), "SAM": _angle(a, b), "SPEAR": _spearman(a, b)}
    facts = {"pairs": pairs, "points": points, "preprocess": preprocess, "detrend": detrend}
    facts["unpaired texts left out"] = abs(len(spectra[0]) - len(spectra[1]))
    out = Face({name: _mean(values, name, facts) for name, values in terms.items()})
    out.freq, out.human, out.model = x, spectra[0].mean(axis=0), spectra[1].mean(axis=0)
    return out


def _series(texts: Any, name: str, protocol: str) -> list[Floats]:
    """Return the surprisals of each text's scored tokens."""
    from plogp.text.scores.kept import Kept
    from plogp.trace.record import Trace

    if isinstance(texts, Trace):
        kept = Kept(texts, protocol)
        return list(np.split(-kept.field("logprob"), np.cumsum(kept.n)[:-1])) if len(kept) else []
    if isinstance(texts, (list, tuple)) and texts and (isinstance(texts[0], Trace) or np.ndim(texts[0]) == 1):
        return [s for one in texts for s in (_series(one, name, protocol))]
    values = np.asarray(texts, np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"{name} must be a Trace or series of surprisals, got shape {values.shape}")
    return list(np.atleast_2d(values))


def _spectrum(s: Floats, preprocess: str, detrend: str | None, i: int) -> SurprisalSpectrum:
    if preprocess not in PREPROCESS:
        raise ValueError(f"preprocess must be one of {', '.join(map(repr, PREPROCESS))}, got {preprocess!r}")
    if detrend is not None and detrend not in DETREND:
        raise ValueError(f"detrend must be 'mean', 'linear' or None, got {detrend!r}")
    if len(s) < 4:
        raise ValueError(f"text {i} has {len(s)} scored tokens; a spectrum needs at least 4")
    if not np.isfinite(s).all():
        raise ValueError(f"text {i} has a surprisal that is infinite or NaN: a token of probability 0")
    s = _prepared(s, preprocess)
    if detrend == "mean":
        s = s - s.mean()
    elif detrend == "linear":
        from scipy.signal import detrend as straighten

        s = straighten(s)
    n = len(s)
    half = (n + 1) // 2  # f = 1/2 itself, where n is even, belongs to the negative half
    return SurprisalSpectrum(np.arange(half) / n, np.abs(np.fft.rfft(s))[:half])


def _prepared(s: Floats, how: str) -> Floats:
    if how.startswith("log"):
        s = np.log1p(s)
    if how in ("zscore", "logzs"):
        return np.asarray((s - s.mean()) / (s.std() + 1e-6))
    if how == "minmax":
        width = np.ptp(s)
        if width == 0:
            raise ValueError("preprocess='minmax' needs surprisals that differ")
        return np.asarray((s - s.min()) / width)
    return s


def _interpolated(spectrum: SurprisalSpectrum, x: Floats) -> Floats:
    """Linear between the lines, and on beyond the last along the last two."""
    f, m = spectrum
    y = np.interp(x, f, m)
    beyond = x > f[-1]
    y[beyond] = m[-1] + (x[beyond] - f[-1]) * (m[-1] - m[-2]) / (f[-1] - f[-2])
    return y


def _overlap(a: Floats, b: Floats, x: Floats) -> Floats:
    from scipy.integrate import trapezoid

    a, b = np.abs(a), np.abs(b)
    roof = trapezoid(np.maximum(a, b), x, axis=1)
    return np.divide(trapezoid(np.minimum(a, b), x, axis=1), roof, out=np.ones(len(a)), where=roof > 0)


def _pearson(a: Floats, b: Floats) -> Floats:
    return _cosine(a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True))


def _angle(a: Floats, b: Floats) -> Floats:
    # The chord is exact for small angles, where the arc cosine loses half the digits.
    u, v = (y / np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1e-300) for y in (a, b))
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))
    return np.asarray(angle / math.pi)


def _spearman(a: Floats, b: Floats) -> Floats:
    from scipy.stats import rankdata

    return _pearson(rankdata(a, axis=1), rankdata(b, axis=1))


def _cosine(a: Floats, b: Floats) -> Floats:
    below = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    out = np.full(len(a), np.nan)
    return np.clip(np.divide((a * b).sum(axis=1), below, out=out, where=below > 0), -1, 1)


def _mean(terms: Floats, name: str, facts: dict[str, Any]) -> Estimate:
    n = len(terms)
    if n < 2:
        facts = facts | {"no_interval": "one pair of texts has no spread"}
    se = float(terms.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    return Estimate(float(terms.mean()), se, n, f"face({name})", "", terms=terms, diagnostics=facts)


def _axes(ax: Any) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
    return plt.subplots()[1] if ax is None else ax
