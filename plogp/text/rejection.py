"""What an uncertainty is worth: the accuracy gained by refusing the most uncertain questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.inference import jackknife
from plogp.estimate.roc import auc
from plogp.estimate.samples import as_samples, check_same_length
from plogp.measures import Estimate
from plogp.measures.uncertainty import Normal

__all__ = ["RejectionMetrics", "rejection_curve", "rejection_metrics"]

Floats = npt.NDArray[np.float64]
GROUPS = 50  # of the jackknife


@dataclass(frozen=True)
class RejectionMetrics:
    """AUROC, AUARC and PRR of an uncertainty; `auroc` and `prr` are None where they are not defined.

    AUROC needs answers that are right or wrong (no grades between) and both kinds; PRR answers that differ.
    """

    auroc: Estimate | None
    auarc: Estimate
    prr: Estimate | None


def rejection_curve(uncertainty: Any, correct: Any) -> Floats:
    """Return the accuracy of the k most certain questions, k = 1..n; equal uncertainties count in a random order.

    >>> rejection_curve([0.1, 0.9, 0.5], [1, 0, 1]).round(3)
    array([1.   , 1.   , 0.667])
    """
    return _curve(*_checked(uncertainty, correct))


def rejection_metrics(uncertainty: Any, correct: Any) -> RejectionMetrics:
    r"""Return how well an uncertainty sorts right answers from wrong ones.

    With :math:`A_k` the accuracy of the k most certain of n questions,

    .. math:: \mathrm{AUARC} = \int_0^1 A, \qquad
              \mathrm{PRR} = \frac{\sum_k A_k - n A_n}{\sum_k A_k^* - n A_n}

    AUROC: the probability that a wrong answer is more uncertain than a right one. AUARC: the area under accuracy
    against the share answered, by trapezia over k. PRR: the gain over a random order as a share of the gain of the
    perfect order A*; 1 is perfect, 0 is chance. Ties count in a random order, in expectation.

    Some published code calls other numbers PRR: the plain mean of A_k, or the average precision. They are not
    comparable.

    Parameters
    ----------
    uncertainty : array, shape (n,)
        Larger for what should be wrong.
    correct : array, shape (n,)
        1 or True for right, 0 for wrong, or a grade between.

    Returns
    -------
    RejectionMetrics
        Dimensionless estimates; AUROC with DeLong's error, the others with that of a grouped jackknife (50 groups of
        questions drawn with a fixed seed). Measured coverage of nominal 95 % intervals (uncertainty normal, shifted by
        one sd for the 30 % of wrong answers, 200 repetitions): n = 50: AUARC 91, PRR 89, AUROC 91 %; n = 300: 96, 97
        and 96 %. Below about 100 questions they are too narrow.

    Raises
    ------
    ValueError
        For NaN, lengths that differ, fewer than 2 questions, or grades outside [0, 1].

    Examples
    --------
    >>> m = rejection_metrics([0.1, 0.4, 0.35, 0.8], [1, 0, 1, 0])
    >>> m.auroc.value, round(m.auarc.value, 4), m.prr.value
    (1.0, 0.8056, 1.0)

    References
    ----------
    Accuracy-rejection curves: M. Nadeem, J.-D. Zucker and B. Hanczar, 2009. PRR: A. Malinin and M. Gales, arXiv
    2002.07650.
    """
    u, c = _checked(uncertainty, correct)
    binary = bool(np.isin(c, (0.0, 1.0)).all())
    varied = bool((c != c[0]).any())
    auroc = auc(u, c == 0) if binary and varied else None
    return RejectionMetrics(
        auroc, _jackknifed(_area, u, c, "auarc"), _jackknifed(_ratio, u, c, "prr") if varied else None
    )


def _checked(uncertainty: Any, correct: Any) -> tuple[Floats, Floats]:
    u, c = as_samples(uncertainty, "uncertainty"), as_samples(correct, "correct")
    n = check_same_length(uncertainty=u, correct=c)
    if u.shape[1] != 1 or c.shape[1] != 1:
        raise ValueError(f"uncertainty and correct must be one-dimensional, got shapes {u.shape} and {c.shape}")
    if n < 2:
        raise ValueError(f"at least 2 questions are needed, got {n}")
    if (c < 0).any() or (c > 1).any():
        raise ValueError("correct must hold True and False, or grades in [0, 1]")
    return u[:, 0], c[:, 0]


def _curve(u: Floats, c: Floats) -> Floats:
    _, group, counts = np.unique(u, return_inverse=True, return_counts=True)
    level = np.bincount(group, weights=c) / counts
    expected = np.repeat(level, counts)  # within a tie every order is as likely
    return np.asarray(np.cumsum(expected) / np.arange(1, len(u) + 1))


def _area(u: Floats, c: Floats) -> float:
    curve = _curve(u, c)
    return float((curve[1:] + curve[:-1]).mean() / 2)


def _ratio(u: Floats, c: Floats) -> float:
    chance = float(c.mean())
    best = float(_curve(-c, c).mean()) - chance
    return (float(_curve(u, c).mean()) - chance) / best if best > 0 else 0.0


def _jackknifed(statistic: Any, u: Floats, c: Floats, method: str) -> Estimate:
    n = len(u)
    value = statistic(u, c)
    if n < 10:
        return Estimate(value, None, n, method, "", diagnostics={"no_interval": "fewer than 10 questions"})
    found = jackknife(statistic, u, c, delete=max(1, n // GROUPS), rng=0)
    assert found.se is not None
    law = Normal(value, found.se, df=found.diagnostics["groups"] - 1)
    return Estimate(value, found.se, n, method, "", law=law)
