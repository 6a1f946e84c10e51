"""Inference for any statistic: permutation tests, jackknives, sub-sampling, and many tests at once.

Bootstrap with replacement is not here on purpose: repeated samples bias entropies and nearest neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.rearrangements import Order, Rearrange, shuffle
from plogp.estimate.samples import as_array
from plogp.measures.uncertainty import Estimate, Normal

__all__ = [
    "PermutationTest",
    "adjust_p_values",
    "block_jackknife",
    "jackknife",
    "permutation_test",
    "subsample_se",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """Outcome of a permutation test of one statistic or of a family of them.

    Attributes
    ----------
    statistic : float or array
        On the data.
    p_value : float or array
        ``(1 + #{T_b >= T}) / (1 + B)``, one for each member of a family.
    p_adjusted : float or array
        For a family: the same against the largest member of each permutation, which controls the chance of any
        false finding. For one statistic: the p-value.
    null : array of shape (B,) or (B, members)
        The statistic on each permutation.
    """

    statistic: Any
    p_value: Any
    p_adjusted: Any
    null: FloatArray


def permutation_test(
    statistic: Callable[..., Any],
    x: Any,
    y: Any,
    num_permutations: int = 999,
    rng: np.random.Generator | int | None = None,
    *,
    rearrange: Rearrange = shuffle,
    n_jobs: int | None = None,
) -> PermutationTest:
    r"""Permutation test that x carries nothing about y: rearranges x against y and computes again.

    .. math:: p = \frac{1 + \#\{b : T_b \ge T\}}{1 + B},

    which is at most the level with the stated probability for every sample size, if the rearrangements leave
    the distribution unchanged under the null hypothesis.

    Parameters
    ----------
    statistic : callable
        ``statistic(x, y)``: a number or `Estimate`, large against the null hypothesis; or an array of them
        (a family).
    x, y : arrays
        Samples as rows, of equal length.
    num_permutations : int
        B; the smallest possible p-value is 1 / (1 + B).
    rng : Generator or int, optional
        Seed of the rearrangements.
    rearrange : callable
        ``rearrange(n, rng)`` returns an order of the rows of x (`plogp.estimate.rearrangements`): `shuffle`
        (independent samples),
        `circular_shift()`, `shuffle_blocks(length)` (series), `local_permutation(z)`, `shuffle_within(labels)`
        (conditional independence).
    n_jobs : int, optional
        Processes, through joblib. The result does not depend on it.

    Raises
    ------
    ValueError
        If lengths differ, there are fewer than 2 samples, or `num_permutations` < 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(50)
    >>> test = permutation_test(lambda a, b: abs(np.corrcoef(a, b)[0, 1]), x, x + rng.standard_normal(50), rng=0)
    >>> test.p_value
    0.001

    References
    ----------
    Phipson and Smyth 2010 (p-values are never 0); Westfall and Young 1993 (largest member of a family).
    """
    x, y = as_array(x, "x"), as_array(y, "y")
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} samples but y has {len(y)}; expected equal lengths")
    if len(x) < 2:
        raise ValueError(f"a permutation test needs at least 2 samples, got {len(x)}")
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be at least 1, got {num_permutations}")
    generator = np.random.default_rng(rng)
    observed = _numbers(statistic(x, y))
    children = generator.spawn(num_permutations)
    one = partial(_permuted, statistic, x, y, rearrange)
    if n_jobs in (None, 1):
        null = np.array([one(child) for child in children])
    else:
        from joblib import Parallel, delayed

        null = np.array(Parallel(n_jobs=n_jobs)(delayed(one)(child) for child in children))
    slack = 1e-12 * np.maximum(1.0, np.abs(observed))  # a rearrangement that changes nothing must count
    p = (1 + (null >= observed - slack).sum(0)) / (1 + num_permutations)
    if observed.ndim == 0:
        return PermutationTest(float(observed), float(p), float(p), null)
    largest = null.max(axis=tuple(range(1, null.ndim)))
    above = (largest.reshape(-1, *[1] * observed.ndim) >= observed - slack).sum(0)
    return PermutationTest(observed, p, (1 + above) / (1 + num_permutations), null)


def _numbers(value: Any) -> FloatArray:
    return np.asarray(float(value) if isinstance(value, Estimate) else value, np.float64)


def _permuted(
    statistic: Callable[..., Any], x: Any, y: Any, rearrange: Rearrange, rng: np.random.Generator
) -> FloatArray:
    return _numbers(statistic(x[rearrange(len(x), rng)], y))


def jackknife(
    statistic: Callable[..., float],
    *samples: Any,
    delete: int = 1,
    rng: np.random.Generator | int | None = None,
    n_jobs: int | None = None,
) -> Estimate:
    r"""Delete-d jackknife: bias and standard error from leaving out `delete` samples at a time.

    With g disjoint groups of d samples and :math:`\bar\theta_{(\cdot)}` the mean of the statistic without each,

    .. math:: \theta_J = g\hat\theta - (g-1)\bar\theta_{(\cdot)}, \qquad
              \mathrm{se}^2 = \frac{g-1}{g}\sum_j (\hat\theta_{(j)} - \bar\theta_{(\cdot)})^2 .

    For smooth statistics of independent samples. Groups are drawn at random when ``delete > 1``; the up to
    ``delete - 1`` samples that fill no group stay in every time.

    Parameters
    ----------
    statistic : callable
        ``statistic(*samples)`` returns a number.
    *samples : arrays
        Paired samples as rows.
    delete : int
        Group size d.

    Returns
    -------
    Estimate
        The corrected value, with Student's t of g - 1 degrees of freedom; ``diagnostics["uncorrected"]``.

    Examples
    --------
    >>> jackknife(np.mean, [1.0, 2.0, 3.0, 4.0])
    Estimate(2.5 ± 0.65, 95 % [0.446, 4.55], n=4, jackknife)

    References
    ----------
    Quenouille 1956; Tukey 1958; Efron and Stein 1981.
    """
    arrays = _paired(samples)
    n = len(arrays[0])
    if not 1 <= delete <= n // 2:
        raise ValueError(f"delete must lie in 1..{n // 2} (half of the {n} samples), got {delete}")
    order = np.arange(n) if delete == 1 else np.random.default_rng(rng).permutation(n)
    groups = order[: n // delete * delete].reshape(-1, delete)
    return _jackknifed(
        statistic, arrays, list(groups), "jackknife" if delete == 1 else f"jackknife(delete={delete})", n_jobs
    )


def block_jackknife(
    statistic: Callable[..., float], *samples: Any, block_length: int, n_jobs: int | None = None
) -> Estimate:
    """Jackknife over blocks of consecutive samples, for dependent series (Künsch 1989, disjoint blocks).

    `block_length` must exceed the memory of the series, and there should be 10 blocks or more.

    >>> x = np.repeat(np.random.default_rng(0).standard_normal(100), 10)
    >>> block_jackknife(np.mean, x, block_length=10).se > 2 * jackknife(np.mean, x).se
    True
    """
    arrays = _paired(samples)
    n = len(arrays[0])
    if block_length < 1 or n // block_length < 4:
        raise ValueError(f"block_length must be at least 1 and leave 4 blocks or more of {n}, got {block_length}")
    groups = list(np.arange(n // block_length * block_length).reshape(-1, block_length))
    return _jackknifed(statistic, arrays, groups, f"block jackknife(length={block_length})", n_jobs)


def _paired(samples: Sequence[Any]) -> list[npt.NDArray[Any]]:
    if not samples:
        raise ValueError("expected at least one array of samples")
    arrays = [as_array(s, f"sample {i}") for i, s in enumerate(samples)]
    lengths = [len(a) for a in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"paired samples must have equal lengths, got {lengths}")
    if lengths[0] < 2:
        raise ValueError(f"at least 2 samples are needed, got {lengths[0]}")
    return arrays


def _jackknifed(
    statistic: Callable[..., float],
    arrays: list[npt.NDArray[Any]],
    groups: list[Order],
    method: str,
    n_jobs: int | None,
) -> Estimate:
    value = float(statistic(*arrays))
    without = np.array(_map(partial(_without, statistic, arrays), groups, n_jobs))
    g = len(groups)
    se = math.sqrt((g - 1) / g * float(((without - without.mean()) ** 2).sum()))
    corrected = g * value - (g - 1) * float(without.mean())
    facts = {"uncorrected": value, "groups": g}
    n = len(arrays[0])
    return Estimate(corrected, se, n, method, unit="", law=Normal(corrected, se, df=g - 1), diagnostics=facts)


def _without(statistic: Callable[..., float], arrays: list[npt.NDArray[Any]], group: Order) -> float:
    return float(statistic(*(np.delete(a, group, axis=0) for a in arrays)))


def _map(function: Callable[[Any], float], items: Sequence[Any], n_jobs: int | None) -> list[float]:
    if n_jobs in (None, 1):
        return [function(item) for item in items]
    from joblib import Parallel, delayed

    return list(Parallel(n_jobs=n_jobs)(delayed(function)(item) for item in items))


def subsample_se(
    statistic: Callable[..., float],
    *samples: Any,
    splits: Sequence[int] = (2, 3, 4, 5, 6, 7, 8, 9, 10),
    rng: np.random.Generator | int | None = None,
    n_jobs: int | None = None,
) -> float:
    r"""Standard error from disjoint sub-samples, for statistics that the bootstrap breaks (nearest neighbours).

    The variance is taken to fall as B / n. Each split into m disjoint random parts gives an estimate of B from
    the spread of its parts (m - 1 degrees of freedom); they are pooled by their degrees of freedom:

    .. math:: \mathrm{se}^2 = \frac{1}{n} \frac{\sum_m (m-1)\, (n/m)\, s_m^2}{\sum_m (m-1)} .

    Parameters
    ----------
    statistic : callable
        ``statistic(*samples)`` returns a number.
    *samples : arrays
        Paired independent samples as rows.
    splits : sequence of int
        The numbers of parts.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal(2000)
    >>> abs(subsample_se(np.mean, x, rng=0) / 2000**-0.5 - 1) < 0.3
    True

    References
    ----------
    Holmes and Nemenman 2019, arXiv 1903.09280.
    """
    arrays = _paired(samples)
    n = len(arrays[0])
    if not splits or min(splits) < 2 or n // max(splits) < 2:
        raise ValueError(f"splits must be numbers of parts of 2 or more samples each, got {list(splits)} for n={n}")
    generator = np.random.default_rng(rng)
    total, degrees = 0.0, 0
    for m in splits:
        parts = np.array_split(generator.permutation(n), m)
        values = np.array(_map(partial(_on, statistic, arrays), parts, n_jobs))
        total += (m - 1) * n / m * float(values.var(ddof=1))
        degrees += m - 1
    return math.sqrt(total / degrees / n)


def _on(statistic: Callable[..., float], arrays: list[npt.NDArray[Any]], rows: Order) -> float:
    return float(statistic(*(a[rows] for a in arrays)))


def adjust_p_values(p_values: Any, method: str = "bh") -> FloatArray:
    """Return p-values adjusted for how many there are; compare them with the level as usual.

    Parameters
    ----------
    p_values : array
        Each in [0, 1].
    method : {"bh", "by", "holm", "bonferroni"}
        False discovery rate of independent (Benjamini-Hochberg) or any (Benjamini-Yekutieli) tests; chance of
        any false finding (Holm, Bonferroni).

    Examples
    --------
    >>> adjust_p_values([0.01, 0.02, 0.5])
    array([0.03, 0.03, 0.5 ])
    """
    p = np.asarray(p_values, np.float64)
    if p.size == 0:
        return p
    if not ((p >= 0) & (p <= 1)).all():  # NaN fails too
        raise ValueError("p_values must lie in [0, 1]")
    if method in ("bh", "by"):
        from scipy import stats

        return np.asarray(stats.false_discovery_control(p, axis=None, method="bh" if method == "bh" else "by")).reshape(
            p.shape
        )
    if method == "bonferroni":
        return np.minimum(p * p.size, 1.0)
    if method == "holm":
        order = np.argsort(p, axis=None)
        steps = p.ravel()[order] * np.arange(p.size, 0, -1)
        out = np.empty(p.size)
        out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
        return out.reshape(p.shape)
    raise ValueError(f"method must be one of 'bh', 'by', 'holm', 'bonferroni', got {method!r}")
