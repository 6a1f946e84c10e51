"""How near generated texts come to human ones, and how well readings of them agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.registry import divergence
from plogp.measures.uncertainty import Estimate
from plogp.text.cognition.state import FEATURES, features

__all__ = ["codec_report", "icc"]

Floats = npt.NDArray[np.float64]


def codec_report(human: Any, generated: Any, bins: int = 20, eps: float = 1e-9) -> dict[str, float]:
    """Return the Jensen-Shannon divergence of each feature between human and generated texts, and their mean; nats.

    Parameters
    ----------
    human, generated : sequence of texts, or array (n, 17)
        Or states, a row for each text.
    bins : int
        Equal bins over the joint range of each feature.
    eps : float
        Added to each bin's share.

    Raises
    ------
    ValueError
        For an empty side or other shapes.

    Examples
    --------
    >>> import numpy as np
    >>> report = codec_report(np.zeros((5, 17)), np.ones((5, 17)))
    >>> round(report["mean"], 4), round(report["surprisal"], 4)
    (0.6931, 0.6931)
    """
    a, b = (_states(texts, name) for texts, name in ((human, "human"), (generated, "generated")))
    js, out = divergence("js"), {}
    for j, name in enumerate(FEATURES):
        edges = np.histogram_bin_edges(np.concatenate([a[:, j], b[:, j]]), bins)
        p, q = (np.histogram(x[:, j], edges)[0] / len(x) + eps for x in (a, b))
        out[name] = float(js(p / p.sum(), q / q.sum()))
    return {"mean": float(np.mean(list(out.values()))), **out}


def _states(texts: Any, name: str) -> Floats:
    if len(texts) == 0:
        raise ValueError(f"{name} must hold at least one text")
    first = texts[0]
    rows = [features(t) for t in texts] if isinstance(first, str) else [np.asarray(t, dtype=np.float64) for t in texts]
    out = np.stack(rows)
    if out.ndim != 2 or out.shape[1] != len(FEATURES) or not np.isfinite(out).all():
        raise ValueError(f"{name} must hold texts or finite rows of {len(FEATURES)} features, got shape {out.shape}")
    return out


def icc(matrix: Any) -> Estimate:
    r"""Intraclass correlation ICC(2,1): agreement of k raters on n subjects, both drawn at random, absolute.

    .. math:: \frac{MS_R - MS_E}{MS_R + (k - 1) MS_E + k (MS_C - MS_E)/n}

    Parameters
    ----------
    matrix : array, shape (n, k)
        A row for each subject (text), a column for each rater (generator, reader).

    Returns
    -------
    Estimate
        Dimensionless, with the interval of Shrout and Fleiss, which holds for normal scores.

    Raises
    ------
    ValueError
        For fewer than two rows or columns, NaN, or scores that are all the same.

    Examples
    --------
    >>> round(icc([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]).value, 3)
    0.29

    References
    ----------
    Shrout and Fleiss (1979), Psychological Bulletin 86: the example is theirs. McGraw and Wong (1996).
    """
    x = np.asarray(matrix, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise ValueError(f"matrix must be finite with at least 2 rows and 2 columns, got shape {x.shape}")
    n, k = x.shape
    rows, columns = x.mean(1) - x.mean(), x.mean(0) - x.mean()
    rest = x - x.mean() - rows[:, None] - columns
    msr = k * float(rows @ rows) / (n - 1)
    msc = n * float(columns @ columns) / (k - 1)
    mse = float((rest**2).sum()) / ((n - 1) * (k - 1))
    below = msr + (k - 1) * mse + k * (msc - mse) / n
    if not below > 0:
        raise ValueError("matrix: all scores are the same, so there is nothing to agree on")
    value = (msr - mse) / below

    def law(level: float) -> tuple[float, float]:
        from scipy.stats import f

        if mse <= 1e-14 * msr and msc <= 1e-14 * msr:
            return value, value
        a, b = k * value / (n * (1 - value)), 1 + k * value * (n - 1) / (n * (1 - value))
        v = (a * msc + b * mse) ** 2 / ((a * msc) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1)))
        up, down = (float(f.ppf(0.5 + level / 2, *df)) for df in ((n - 1, v), (v, n - 1)))
        spare = k * msc + (k * n - k - n) * mse
        return n * (msr - up * mse) / (up * spare + n * msr), n * (down * msr - mse) / (spare + n * down * msr)

    shown = {"MSR": msr, "MSC": msc, "MSE": mse}
    return Estimate(value, n=n, method="icc(2,1)", unit="", law=law, diagnostics=shown)
