"""How far unlearning metrics agree with each other and with the truth, and a score that weighs them by that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Reliability", "UnifiedQualityScore", "reliability"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Rank correlations of k metrics over models.

    Attributes
    ----------
    names : tuple of str
    tau, tau_p : array, shape (k, k)
        Kendall's tau-b between the metrics, and its p-values.
    rho, rho_p : array, shape (k,)
        Spearman's correlation of each metric with closeness to the oracle (minus the distance), and its p-value.
    clusters : array of int, shape (k,)
        Metrics that rank the models alike: average linkage of 1 - tau, cut at 1, so that groups agree on average.
    n : int
        Models.
    """

    names: tuple[str, ...]
    tau: Floats
    tau_p: Floats
    rho: Floats
    rho_p: Floats
    clusters: npt.NDArray[np.int64]
    n: int

    @property
    def mean_tau(self) -> float:
        """Mean tau over pairs of different metrics."""
        return float(self.tau[np.triu_indices(len(self.names), 1)].mean())


def reliability(table: Any, oracle_distance: Any) -> Reliability:
    """Return how the metrics of several unlearned models agree, with each other and with the distance to the oracle.

    Parameters
    ----------
    table : mapping of str to array (M,), or array, shape (M, k)
        Values of k metrics of M models; see `metrics`.
    oracle_distance : array, shape (M,)
        Distance of each model from the one retrained without the forget set.

    Raises
    ------
    ValueError
        For fewer than three models, a single metric, NaN, or a metric that is the same for all models.

    Examples
    --------
    >>> found = reliability({"good": [3, 2, 1, 0], "bad": [0, 1, 3, 2]}, [0.1, 0.2, 0.3, 0.4])
    >>> found.rho.round(2).tolist(), round(float(found.tau[0, 1]), 2), found.clusters.tolist()
    ([1.0, -0.8], -0.67, [1, 2])

    References
    ----------
    "Metric Unreliability in Multimodal Machine Unlearning: A Systematic Analysis and Principled Unified Score" (2026),
    arXiv:2605.02206.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from scipy.stats import kendalltau, spearmanr

    names, values = _table(table)
    d = _distance(oracle_distance, len(values))
    k = len(names)
    if k < 2:
        raise ValueError("table must hold at least two metrics")
    tau, tau_p = np.eye(k), np.zeros((k, k))
    for i in range(k):
        for j in range(i):
            found = kendalltau(values[:, i], values[:, j])
            tau[i, j] = tau[j, i] = found.statistic
            tau_p[i, j] = tau_p[j, i] = found.pvalue
    rank = [spearmanr(values[:, j], -d) for j in range(k)]
    groups = fcluster(linkage(squareform(np.clip(1 - tau, 0, 2), checks=False), "average"), 1.0, "distance")
    return Reliability(
        names,
        tau,
        tau_p,
        np.array([r.statistic for r in rank]),
        np.array([r.pvalue for r in rank]),
        np.asarray(groups, dtype=np.int64),
        len(values),
    )


class UnifiedQualityScore:
    r"""One score of unlearned models from several metrics, each weighed by its rank correlation with the truth.

    .. math:: \mathrm{UQS}_i = \sum_j w_j m_{ij},\quad w_j = \rho_j / \sum_l |\rho_l|

    with :math:`m_{ij}` metric j scaled to [0, 1] over the models of the fit and :math:`\rho_j` its Spearman correlation
    with closeness to the oracle. A metric that misleads enters with its sign turned. Fitted where an oracle exists, the
    weights are used where there is none. Larger is better.

    Parameters
    ----------
    positive_part : bool
        Leave misleading metrics out instead.

    Attributes
    ----------
    names, weights, low, high
        After `fit`: metrics, their weights, and the range of each over the models of the fit.

    Examples
    --------
    >>> d = np.array([0.1, 0.4, 0.2, 0.9])
    >>> score = UnifiedQualityScore().fit({"closeness": -d, "misleading": d**2}, d)
    >>> score.weights.tolist(), np.argsort(-score.score({"closeness": -d, "misleading": d**2})).tolist()
    ([0.5, -0.5], [0, 2, 1, 3])

    References
    ----------
    arXiv:2605.02206 (2026). The scaling and the weights are reconstructed from its abstract and public summaries.
    """

    def __init__(self, positive_part: bool = False):
        self.positive_part = positive_part

    def fit(self, table: Any, distance: Any) -> UnifiedQualityScore:
        """Find the weights from models whose distance to the oracle is known.

        Raises
        ------
        ValueError
            As in `reliability`; or if no metric has a correlation (with `positive_part`: a positive one).
        """
        from scipy.stats import spearmanr

        names, values = _table(table)
        d = _distance(distance, len(values))
        rho = np.array([spearmanr(column, -d).statistic for column in values.T])
        rho = np.maximum(rho, 0.0) if self.positive_part else rho
        if not np.abs(rho).sum() > 0:
            raise ValueError("table: no metric is correlated with closeness to the oracle")
        self.names, self.weights = names, rho / np.abs(rho).sum()
        self.low, self.high = values.min(0), values.max(0)
        self._values = values
        return self

    def score(self, table: Any) -> Floats:
        """Return the scores (M,) of models, which may be others than those of the fit: then beyond [0, 1] too."""
        return self._scaled(table) @ self.weights

    def stability(self, n: int = 100, table: Any = None, scale: float = 0.1, rng: Any = None) -> tuple[float, float]:
        """Return mean and standard deviation of Kendall's tau between rankings under perturbed weights.

        Each weight is multiplied by 1 + N(0, scale²), `n` times; the models are those of the fit unless given.
        """
        from scipy.stats import kendalltau

        if n < 2:
            raise ValueError(f"n must be at least 2, got {n}")
        g = np.random.default_rng(rng)
        m = self._scaled(self._named() if table is None else table)
        w = self.weights * (1 + scale * g.standard_normal((n, len(self.weights))))
        ranked = m @ (w / np.abs(w).sum(-1, keepdims=True)).T
        taus = [kendalltau(ranked[:, i], ranked[:, j]).statistic for i in range(n) for j in range(i)]
        return float(np.mean(taus)), float(np.std(taus))

    def _named(self) -> dict[str, Floats]:
        return dict(zip(self._fitted(), self._values.T, strict=True))

    def _fitted(self) -> tuple[str, ...]:
        names: tuple[str, ...] | None = getattr(self, "names", None)
        if names is None:
            raise ValueError("fit must be called first")
        return names

    def _scaled(self, table: Any) -> Floats:
        fitted = self._fitted()
        names, values = _table(table, least=1, constant=True)
        if isinstance(table, Mapping):
            missing = [name for name in fitted if name not in names]
            if missing:
                raise ValueError(f"table lacks the metrics {', '.join(missing)}")
            values = values[:, [names.index(name) for name in fitted]]
        elif len(names) != len(fitted):
            raise ValueError(f"table must have the {len(fitted)} metrics of the fit, got {len(names)}")
        return (values - self.low) / (self.high - self.low)


def _table(table: Any, least: int = 3, constant: bool = False) -> tuple[tuple[str, ...], Floats]:
    if isinstance(table, Mapping):
        names = tuple(str(name) for name in table)
        columns = [np.asarray(v, dtype=np.float64) for v in table.values()]
        if not columns or len({c.shape for c in columns}) > 1 or columns[0].ndim != 1:
            raise ValueError("table must hold columns of one length")
        values = np.stack(columns, axis=1)
    else:
        values = np.asarray(table, dtype=np.float64)
        if values.ndim != 2:
            raise ValueError(f"table must have shape (models, metrics), got {values.shape}")
        names = tuple(f"metric {j}" for j in range(values.shape[1]))
    if len(values) < least:
        raise ValueError(f"table must hold at least {least} models, got {len(values)}")
    if not np.isfinite(values).all():
        raise ValueError("table must hold finite numbers")
    if not constant:
        for name, column in zip(names, values.T, strict=True):
            if column.min() == column.max():
                raise ValueError(f"table: {name} is the same for all models and cannot rank them")
    return names, values


def _distance(distance: Any, n: int) -> Floats:
    d = np.asarray(distance, dtype=np.float64)
    if d.shape != (n,) or not np.isfinite(d).all():
        raise ValueError(f"oracle_distance must hold a finite number for each of the {n} models, got shape {d.shape}")
    if d.min() == d.max():
        raise ValueError("oracle_distance is the same for all models")
    return d
