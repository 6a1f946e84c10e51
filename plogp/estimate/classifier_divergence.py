"""Divergence from a classifier that tells two samples apart: its log-odds are the log-ratio of the densities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.estimate.links import link_of
from plogp.estimate.nn_ratio import pooled
from plogp.estimate.one_step import from_terms, has_kink
from plogp.estimate.samples import Floats
from plogp.measures import Dissimilarity, Estimate

__all__ = ["classifier_divergence"]


def classifier_divergence(
    x: Any,
    y: Any,
    d: str | Dissimilarity = "kl",
    *,
    classifier: Any = None,
    num_folds: int = 5,
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    r"""Return D(P‖Q) from samples x ~ P, y ~ Q by cross-fitted log-odds.

    A classifier is trained on all folds but one to tell x from y; on the held-out fold its log-odds, less the
    log-odds of the class sizes, are r̂ = log p̂/q̂. With t̂ = e^r̂,

    .. math:: \hat D = \frac1n \sum_i f'(\hat t(x_i)) + \frac1m \sum_j \big[f(\hat t) - \hat t f'(\hat t)\big](y_j)

    As r̂ does not see the points it is evaluated at, this is in expectation a *lower* bound on D(P‖Q), tight for
    the right ratio, and the s.e. of its terms is honest about the bound. It works in any dimension in which the
    classifier does, where neighbours no longer do. Measured for KL between normals, n = 1,000 each, truth, mean:
    d = 1 0.500, 0.495; d = 2 0.490, 0.459; d = 10 0.200, 0.083; d = 10 1.800, 1.709.

    Parameters
    ----------
    x, y : array, shape (n, d) or (n,)
        The samples.
    d : str or divergence
        Any f-divergence, Rényi's, Bhattacharyya's or a metric of one. Direction: x is P.
    classifier : scikit-learn classifier, optional
        With `fit` and `predict_proba`; cloned for each fold. By default logistic regression on standardised
        features, their squares and products (ridge, C = 0.1): the exact model for normal P and Q.
    num_folds : int
        Folds, at least 2.
    rng : Generator, int or None
        Assigns samples to folds.

    Returns
    -------
    Estimate
        ``diagnostics["accuracy"]`` is the held-out accuracy; ``["held"]`` counts probabilities beyond
        1/(2n) of 0 or 1, which are held there (log-odds of certainty are infinite).

    Raises
    ------
    ValueError
        For fewer samples than folds, different dimension, or NaN.
    ImportError
        Without scikit-learn: ``pip install 'plogp[sklearn]'``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(0.6, 1, size=(1000, 10)), rng.normal(size=(1000, 10))
    >>> e = classifier_divergence(x, y, "kl", rng=0)  # truth 1.8
    >>> e.distinguishable(1.8), e.distinguishable(0.0)
    (False, True)

    References
    ----------
    Nguyen, Wainwright and Jordan (2010), arXiv 0809.0853; Sugiyama, Suzuki and Kanamori (2012). Cross-fitting:
    Chernozhukov et al. (2018), arXiv 1608.00060.
    """
    points, other = pooled(x, y)
    link = link_of(d)
    n, m = len(points), len(other)
    if num_folds < 2 or min(n, m) < num_folds:
        raise ValueError(f"num_folds must be between 2 and the smaller sample size {min(n, m)}, got {num_folds}")
    generator = np.random.default_rng(rng)
    fold_x = generator.permutation(np.arange(n) % num_folds)
    fold_y = generator.permutation(np.arange(m) % num_folds)
    log_ratio_x, log_ratio_y = np.empty(n), np.empty(m)
    held = 0
    for fold in range(num_folds):
        out_x, out_y = fold_x == fold, fold_y == fold
        model = _fitted(points[~out_x], other[~out_y], classifier)
        prior = math.log((~out_x).sum() / (~out_y).sum())
        for into, sample, chosen in ((log_ratio_x, points, out_x), (log_ratio_y, other, out_y)):
            odds, clipped = _log_odds(model, sample[chosen], 0.5 / (n + m))
            into[chosen], held = odds - prior, held + clipped
    at_p = np.asarray(link.inner.grad_weight(log_ratio_x))
    at_q = np.asarray(link.inner.reversed().grad_weight(-log_ratio_y))
    prior = math.log(n / m)
    right = np.concatenate([log_ratio_x + prior > 0, log_ratio_y + prior <= 0])
    notes = {
        "folds": num_folds,
        "accuracy": float(right.mean()),
        "held": held,
        "bias": "downwards: a lower bound in expectation",
    }
    name = "logistic" if classifier is None else type(classifier).__name__
    method = f"classifier({link.target.name}, {name})"
    return link.carry(from_terms(at_p, at_q, method, link.inner.unit, notes, has_kink(link.inner)))


def _fitted(x: Floats, y: Floats, classifier: Any) -> Any:
    """Return a classifier trained to tell x (class 1) from y (class 0)."""
    try:
        from sklearn.base import clone
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures, StandardScaler
    except ImportError as error:
        raise ImportError(
            "plogp[sklearn] is needed for classifier divergences: pip install 'plogp[sklearn]'"
        ) from error
    if classifier is None:
        features = PolynomialFeatures(2, include_bias=False)
        model = make_pipeline(StandardScaler(), features, StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    else:
        model = clone(classifier)
    return model.fit(np.concatenate([x, y]), np.repeat([1, 0], [len(x), len(y)]))


def _log_odds(model: Any, rows: Floats, edge: float) -> tuple[Floats, int]:
    """Return the log-odds of class 1, and how many probabilities were held at `edge` from 0 or 1."""
    share = np.asarray(model.predict_proba(rows), dtype=np.float64)[:, list(model.classes_).index(1)]
    inside = np.clip(share, edge, 1 - edge)
    return np.log(inside) - np.log1p(-inside), int((inside != share).sum())
