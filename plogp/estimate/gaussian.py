"""Closed forms for normal variables, corrected for the bias of the sample covariance, with their errors.

All are functions of ``log det`` of covariance blocks. For a sample covariance S of d normal variables with ν
degrees of freedom, ``E log det S = log det Σ + sum_i ψ((ν+1-i)/2) + d log(2/ν)`` exactly (Wishart), so the
bias can be taken off; ``Var log det S = sum_i ψ₁((ν+1-i)/2)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.ksg import constant_names, nothing_shared
from plogp.estimate.samples import Floats, as_samples, check_same_length, normal_scores
from plogp.estimate.series import transfer_blocks
from plogp.measures.uncertainty import Estimate

__all__ = [
    "copula_mutual_information",
    "gaussian_conditional_mutual_information",
    "gaussian_entropy",
    "gaussian_mutual_information",
    "gaussian_total_correlation",
    "gaussian_transfer_entropy",
]


def _log_det(covariance: npt.NDArray[np.float64], what: str) -> float:
    sd = np.sqrt(np.diag(covariance))
    if not (sd > 0).all():
        raise ValueError(f"{what} has a constant column, so its covariance is singular")
    # The correlation matrix shows collinearity whatever the units of the columns are.
    correlation = covariance / np.outer(sd, sd)
    least = float(np.linalg.eigvalsh(correlation)[0])
    if least < 1e-13 * len(sd):
        raise ValueError(
            f"{what} has linearly dependent columns (or fewer samples than columns): the normal density does not "
            "exist; drop the redundant columns"
        )
    return float(np.linalg.slogdet(correlation)[1] + 2 * np.log(sd).sum())


def log_det_bias(d: int, dof: int) -> float:
    from scipy import special

    return float(special.digamma((dof + 1 - np.arange(1, d + 1)) / 2).sum() + d * math.log(2 / dof))


def _covariance(x: Floats, what: str, given: int = 0) -> tuple[npt.NDArray[np.float64], int]:
    dof = len(x) - 1 - given
    if dof <= x.shape[1]:
        raise ValueError(
            f"too few samples: the covariance of {x.shape[1]} columns of {what} "
            + (f"given {given} more " if given else "")
            + f"needs at least {x.shape[1] + given + 2} samples, got {len(x)}"
        )
    centred = x - x.mean(axis=0)
    return centred.T @ centred / dof, dof


def gaussian_entropy(x: Any) -> Estimate:
    r"""Differential entropy of normal samples, ``½ log det(2πe Σ)``, without bias.

    Suitable where x is normal; for any other density the value is an upper bound in expectation.

    Parameters
    ----------
    x : array, shape (n,) or (n, d)
        Samples as rows; n > d + 1.

    Returns
    -------
    Estimate
        In nats. Unbiased and with the exact variance ``¼ sum_i ψ₁((n-i)/2)`` for normal samples; the
        interval is not valid for others.

    Raises
    ------
    ValueError
        For too few samples, NaN, or linearly dependent columns.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(0, 2, 500)
    >>> abs(gaussian_entropy(x).value - (0.5 * math.log(2 * math.pi * math.e) + math.log(2))) < 0.1
    True

    Notes
    -----
    N. A. Ahmed and D. V. Gokhale, IEEE Transactions on Information Theory 35, 1989.
    """
    from scipy import special

    points = as_samples(x)
    n, d = points.shape
    covariance, dof = _covariance(points, "x")
    value = 0.5 * (d * math.log(2 * math.pi * math.e) + _log_det(covariance, "x") - log_det_bias(d, dof))
    variance = 0.25 * float(special.polygamma(1, (dof + 1 - np.arange(1, d + 1)) / 2).sum())
    return Estimate(value, math.sqrt(variance), n, "gaussian", diagnostics={"d": d, "assumes": "normal samples"})


@dataclass(frozen=True)
class _RootLaw:
    """Interval of an information from the law of twice its likelihood ratio, ``T = 2νÎ``.

    Near independence T is non-central χ² with mean ``df + λ``, ``λ = 2νI``, and its root is nearly normal;
    with strong dependence its sd shrinks by `spread`. The root scale serves both, where ``value ± 1.96 se``
    fails near 0.
    """

    ratio: float
    df: float
    dof: float
    spread: float
    value: float

    def __call__(self, level: float) -> tuple[float, float]:
        from scipy import special

        z = float(special.ndtri(0.5 + level / 2))
        shift = (self.df - 1) / 2
        root = math.sqrt(max(self.ratio - shift, 0.0))
        up = z
        if self.ratio < 100:  # few and uneven: the exact upper limit of the non-centrality
            tail = 0.5 - level / 2
            found = float(special.chdtr(self.df, self.ratio)) > tail
            limit = float(special.chndtrinc(self.ratio, self.df, tail)) if found else 0.0
            up = math.sqrt(limit + shift) - root
        low, high = ((root + step) * abs(root + step) - shift for step in (-z * self.spread, up * self.spread))
        scale = 1 / (2 * self.dof)
        # True information is not negative, but the estimate may be: the interval holds both.
        return min(low * scale, self.value), max(high * scale, self.value, 0.0)


def _information(
    blocks: list[Floats], method: str, given: Floats | None = None, names: str = "the variables"
) -> Estimate:
    """``sum_b ½ log det Σ_bb - ½ log det Σ`` of blocks of columns, after regression on `given`."""
    joint = np.hstack(blocks)
    n = len(joint)
    taken = 0
    if given is not None:
        design = np.hstack([np.ones((n, 1)), given - given.mean(axis=0)])
        taken = int(np.linalg.matrix_rank(design)) - 1
        if n - taken - 1 <= joint.shape[1]:
            _covariance(joint, names, taken)  # raises, naming the sizes
        joint = joint - design @ np.linalg.lstsq(design, joint, rcond=None)[0]
    covariance, dof = _covariance(joint, names, taken)
    sizes = [b.shape[1] for b in blocks]
    edges = np.cumsum([0, *sizes])
    own = np.zeros_like(covariance)
    value = -_log_det(covariance, names) + log_det_bias(sum(sizes), dof)
    ratio = -_log_det(covariance, names)
    for a, b, size in zip(edges, edges[1:], sizes):
        part = covariance[a:b, a:b]
        own[a:b, a:b] = np.linalg.inv(part)
        value += _log_det(part, names) - log_det_bias(size, dof)
        ratio += _log_det(part, names)
    value, ratio = value / 2, ratio / 2
    # Delta method: ν Var = ½ tr[(B⁻¹Σ - I)²], for two blocks the sum of squared canonical correlations.
    off = own @ covariance - np.eye(len(covariance))
    signal = 0.5 * float(np.einsum("ij,ji->", off, off))
    df = (sum(sizes) ** 2 - sum(s * s for s in sizes)) / 2
    # Bartlett: with this factor the likelihood ratio has mean df under independence.
    bias = ratio - value
    effective = df / (2 * bias) if bias > 0 else float(dof)
    signal = max(signal - df / dof, 0.0)
    se = math.sqrt(signal / dof + df / (2 * dof * dof))
    spread = math.sqrt(min(1.0, signal / (2 * value))) if value > 0 and signal > 0 else 1.0
    law = _RootLaw(2 * effective * ratio, df, effective, max(spread, 0.05), value)
    diagnostics = {"degrees_of_freedom": df, "assumes": "jointly normal samples", "blocks": sizes}
    from scipy import special

    p_value = float(special.chdtrc(df, 2 * effective * ratio))
    diagnostics["null"] = "independence (likelihood ratio, chi-squared)"
    return Estimate(value, se, n, method, law=law, p_value=p_value, diagnostics=diagnostics)


def gaussian_mutual_information(x: Any, y: Any) -> Estimate:
    r"""Mutual information of jointly normal variables, ``½ log(det Σ_x det Σ_y / det Σ)``, without bias.

    For two columns this is ``-½ log(1 - ρ²)``. Suitable where the pair is jointly normal; prefer
    `copula_mutual_information` where only the dependence is, and `ksg` where it is not linear (a normal form
    sees only correlation).

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Paired samples as rows.

    Returns
    -------
    Estimate
        In nats, with the p-value of the likelihood-ratio test of independence. The interval comes from the
        root of the likelihood ratio and holds at and near independence too, where a normal law does not. A
        constant variable has 0 information, exactly.

    Raises
    ------
    ValueError
        If lengths differ, there are too few samples, NaN, or linearly dependent columns inside x or y (or
        between them: the information is then infinite).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(1000)
    >>> y = 0.6 * x + 0.8 * rng.standard_normal(1000)
    >>> gaussian_mutual_information(x, y)
    Estimate(0.235 ± 0.019 nats, 95 % [0.199, 0.275], n=1000, gaussian, p=2.4e-104)

    Notes
    -----
    T. M. Cover and J. A. Thomas, Elements of Information Theory, 2006, chapter 8. Bias: N. R. Goodman, 1963;
    M. S. Bartlett, 1938.
    """
    samples = {"x": as_samples(x, "x"), "y": as_samples(y, "y")}
    n = check_same_length(**samples)
    if constant := constant_names(**samples):
        return nothing_shared(n, "gaussian", constant)
    return _information(list(samples.values()), "gaussian", names="(x, y)")


def gaussian_total_correlation(*variables: Any) -> Estimate:
    r"""Total correlation of jointly normal variables, ``½ (sum log det Σ_ii - log det Σ)``, without bias.

    Parameters
    ----------
    *variables : arrays, shape (n,) or (n, d)
        At least two variables, or one array whose columns are the variables.

    Returns
    -------
    Estimate
        In nats, as in `gaussian_mutual_information`.

    Examples
    --------
    >>> x = np.random.default_rng(0).multivariate_normal([0, 0, 0], np.eye(3) * 0.2 + 0.8, 2000)
    >>> abs(gaussian_total_correlation(x).value - 1.1317) < 0.1
    True

    Notes
    -----
    S. Watanabe, IBM Journal of Research and Development 4, 1960.
    """
    if len(variables) == 1:
        columns = as_samples(variables[0], "variables")
        named = {f"column {j}": columns[:, j : j + 1] for j in range(columns.shape[1])}
    else:
        named = {f"variable {j}": as_samples(v, f"variable {j}") for j, v in enumerate(variables)}
    if len(named) < 2:
        raise ValueError(f"total correlation needs at least two variables, got {len(named)}")
    n = check_same_length(**named)
    constant = constant_names(**named)
    blocks = [x for name, x in named.items() if name not in constant]
    if len(blocks) < 2:
        return nothing_shared(n, "gaussian", constant)
    return _information(blocks, "gaussian")


def gaussian_conditional_mutual_information(x: Any, y: Any, z: Any) -> Estimate:
    r"""Conditional mutual information I(X; Y | Z) of jointly normal variables, without bias.

    The mutual information of what is left of x and y after linear regression on z.

    Parameters
    ----------
    x, y, z : array, shape (n,) or (n, d)
        Samples as rows.

    Returns
    -------
    Estimate
        In nats, as in `gaussian_mutual_information`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal(500)
    >>> x, y = z + rng.standard_normal(500), z + rng.standard_normal(500)
    >>> gaussian_conditional_mutual_information(x, y, z).distinguishable()
    False

    Notes
    -----
    T. M. Cover and J. A. Thomas, Elements of Information Theory, 2006, chapter 8.
    """
    samples = {"x": as_samples(x, "x"), "y": as_samples(y, "y"), "z": as_samples(z, "z")}
    n = check_same_length(**samples)
    if constant := [name for name in constant_names(**samples) if name != "z"]:
        return nothing_shared(n, "gaussian", constant)
    return _information([samples["x"], samples["y"]], "gaussian", given=samples["z"], names="(x, y) given z")


def gaussian_transfer_entropy(
    source: Any,
    target: Any,
    *,
    source_history: int = 1,
    target_history: int = 1,
    lag: int = 1,
    step: int = 1,
) -> Estimate:
    r"""Transfer entropy of jointly normal, stationary series: half the Granger causality.

    Parameters
    ----------
    source, target : array, shape (n,) or (n, d)
        Series observed at the same times.
    source_history, target_history, lag, step : int
        Which past values condition the prediction; see `transfer_blocks`.

    Returns
    -------
    Estimate
        In nats per step, with the p-value of the likelihood-ratio test. Valid where the histories cover the
        memory of the target, so that what is left after regression is white.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal(2000), np.zeros(2000)
    >>> for t in range(1, 2000):
    ...     y[t] = 0.5 * y[t - 1] + 0.6 * x[t - 1] + rng.standard_normal()
    >>> low, high = gaussian_transfer_entropy(x, y).interval(0.95)
    >>> low < 0.1537 < high                                       # ½ log(1 + 0.36)
    True

    Notes
    -----
    L. Barnett, A. B. Barrett and A. K. Seth, Physical Review Letters 103, 238701, 2009, arXiv 0910.4514.
    """
    future, source_past, target_past = transfer_blocks(
        source, target, source_history=source_history, target_history=target_history, lag=lag, step=step
    )
    if constant := constant_names(target=future, source=source_past):
        return nothing_shared(len(future), f"gaussian(lag={lag})", constant)
    return _information([future, source_past], f"gaussian(lag={lag})", given=target_past, names="(future, source past)")


def copula_mutual_information(x: Any, y: Any) -> Estimate:
    r"""Mutual information of a normal copula: the normal closed form after ranks become normal scores.

    Invariant under increasing maps of each column. A lower bound in the large-sample limit for columns x and y
    of any joint law, and equal where the dependence is that of a normal copula.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Paired samples as rows; tied values share their mean rank.

    Returns
    -------
    Estimate
        In nats, as in `gaussian_mutual_information`; the interval is for the copula's value, not for the
        information of a non-normal dependence.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(1000)
    >>> y = 0.6 * x + 0.8 * rng.standard_normal(1000)
    >>> a, b = copula_mutual_information(x, y), copula_mutual_information(np.exp(x), y**3)
    >>> a.value == b.value
    True

    Notes
    -----
    R. A. A. Ince et al., Human Brain Mapping 38, 2017, arXiv 1610.06734.
    """
    samples = {"x": as_samples(x, "x"), "y": as_samples(y, "y")}
    n = check_same_length(**samples)
    if constant := constant_names(**samples):
        return nothing_shared(n, "gaussian_copula", constant)
    scores = [normal_scores(s) for s in samples.values()]
    return _information(scores, "gaussian_copula", names="(x, y) as normal scores")
