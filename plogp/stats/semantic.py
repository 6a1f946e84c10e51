"""Semantic information as scikit-learn estimators: a classifier and a mixture model (Lu's G theory)."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.mixture import GaussianMixture
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise ImportError("plogp[sklearn] is needed for plogp.stats.semantic: pip install 'plogp[sklearn]'") from error

from plogp.measures.arrays import logsumexp

__all__ = ["EnMMixture", "MSIClassifier"]


class MSIClassifier(ClassifierMixin, BaseEstimator):
    r"""Maximum semantic information classifier: the label that says most about the instance and is true of it.

    .. math:: j^*(x) = \arg\max_j \log \frac{T(\theta_j|x)}{T(\theta_j)}
        = \arg\max_j \log \frac{P(y_j|x)}{\mathrm{mean}\, P(y_j|\cdot)}

    A probabilistic classifier supplies P(y_j|x); its truth functions are T(θ_j|x) = P(y_j|x)/max P(y_j|·)
    over the training instances, and T(θ_j) their mean. Rare labels say more than common ones: compared with
    the most probable label, recall of rare labels rises and accuracy falls. Where the instances of use come
    from another population, `adapt` recomputes T(θ_j) from them, without labels and without refitting.

    With a two-dimensional 0/1 target each label gets its own truth function, trained on its own positive and
    negative examples, and an instance gets every label that is truer of it than of an average one,
    T(θ_j|x) > T(θ_j).

    Parameters
    ----------
    estimator : classifier with `predict_proba`, optional
        Logistic regression by default. It is cloned, not changed.

    Attributes
    ----------
    classes_ : array (n_classes,) or list of them
        The labels; for a 0/1 matrix, one ``[0, 1]`` per column.
    estimator_ : classifier
        The fitted one; for a 0/1 matrix, `estimators_` is the list, one per column.
    peak_ : array (n_labels,)
        max P(y_j|x) over the training instances.
    logical_probability_ : array (n_labels,)
        T(θ_j).
    n_features_in_ : int
        Number of features.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = (rng.random(4000) < 0.05).astype(int)  # a rare label
    >>> X = rng.normal(2.0 * y, 1.0)[:, None]
    >>> model = MSIClassifier().fit(X, y)
    >>> from sklearn.metrics import recall_score
    >>> bool(recall_score(y, model.predict(X)) > 0.75)
    True
    >>> bool(recall_score(y, model.estimator_.predict(X)) < 0.5)
    True

    References
    ----------
    C. Lu 2019, Information 10(8):261; C. Lu 2025, Entropy 27(5):461. Direction: the information is the
    generalised KL of P(x|y_j) from P(x); maximising it is maximum likelihood, not maximum posterior.
    """

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any) -> MSIClassifier:
        """Fit the truth functions to instances `X` (n, d) and labels `y` (n,) or 0/1 matrix (n, n_labels)."""
        X, y = validate_data(self, X, y, multi_output=True)
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        base = LogisticRegression() if self.estimator is None else self.estimator
        self.multilabel_ = type_of_target(y) == "multilabel-indicator"
        if self.multilabel_:
            self.estimators_ = [clone(base).fit(X, column) if np.ptp(column) else None for column in y.T.astype(int)]
            self._constant = y[0].astype(float)  # what a label is that never varies
            self.classes_ = [np.array([0, 1])] * y.shape[1]
        else:
            if y.ndim != 1:
                raise ValueError(f"y must hold one label per row or a 0/1 matrix, got shape {y.shape}")
            if len(np.unique(y)) < 2:
                raise ValueError("y: the classifier needs at least two classes, got one class")
            self.estimator_ = clone(base).fit(X, y)
            self.classes_ = self.estimator_.classes_
        given = self._given(X)
        self.peak_ = np.max(given, axis=0)
        self.logical_probability_ = self._logical(given)
        return self

    def adapt(self, X: Any) -> MSIClassifier:
        """Recompute T(θ_j) from unlabelled instances `X` of the population of use; return self."""
        check_is_fitted(self)
        self.logical_probability_ = self._logical(self._given(validate_data(self, X, reset=False)))
        return self

    def truth(self, X: Any) -> Any:
        """Return T(θ_j|x) (n, n_labels), clipped at 1 for instances truer than any of the training."""
        check_is_fitted(self)
        return np.minimum(self._ratio(self._given(validate_data(self, X, reset=False))), 1.0)

    def information(self, X: Any) -> Any:
        """Return I(x;θ_j) = log T(θ_j|x)/T(θ_j) (n, n_labels) in nats; negative where the label misleads."""
        check_is_fitted(self)
        return self._information(self._given(validate_data(self, X, reset=False)))

    def predict(self, X: Any) -> Any:
        """Return the label of most information (n,); or the 0/1 matrix of labels that inform."""
        information = self.information(X)
        if self.multilabel_:
            return (information > 0).astype(int)
        return self.classes_[np.argmax(information, axis=1)]

    def predict_proba(self, X: Any) -> Any:
        """Return the posterior under labels made equally probable, ∝ T(θ_j|x)/T(θ_j), (n, n_labels).

        For a 0/1 matrix, entry j weighs label j against its denial in the same way.
        """
        check_is_fitted(self)
        given = self._given(validate_data(self, X, reset=False))
        information = self._information(given)
        if self.multilabel_:
            overall = self.logical_probability_ * np.where(self.peak_ > 0, self.peak_, 1.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                denial = np.log(1 - given) - np.log(1 - overall)
                odds = 1.0 / (1.0 + np.exp(denial - information))
            return np.where(np.isnan(odds), given, odds)
        return np.exp(information - logsumexp(information, axis=1, keepdims=True))

    def _given(self, X: Any) -> Any:
        """P(y_j|x), (n, n_labels)."""
        if not self.multilabel_:
            return self.estimator_.predict_proba(X)
        columns = [
            np.full(len(X), constant) if model is None else model.predict_proba(X)[:, 1]
            for model, constant in zip(self.estimators_, self._constant)
        ]
        return np.stack(columns, axis=1)

    def _ratio(self, given: Any) -> Any:
        return given / np.where(self.peak_ > 0, self.peak_, 1.0)

    def _logical(self, given: Any) -> Any:
        return np.mean(self._ratio(given), axis=0)

    def _information(self, given: Any) -> Any:
        with np.errstate(divide="ignore"):
            overall = np.where(self.logical_probability_ > 0, self.logical_probability_, 1.0)
            return np.log(self._ratio(given)) - np.log(overall)


class EnMMixture(GaussianMixture):
    r"""Gaussian mixture fitted by E-step, n-steps and M-step: EM with the weights settled before each M-step.

    After each E-step the mixture weights are iterated alone, with the components held fixed,

    .. math:: P(y_j) \leftarrow \frac{1}{n} \sum_i P(y_j|x_i), \quad
        P(y_j|x) = \frac{P(y_j) P(x|\theta_j)}{\sum_k P(y_k) P(x|\theta_k)}

    so that the M-step works with a proper Shannon channel. It lowers R - G, since for the responsibilities of
    weights P(y) with mean P'(y) exactly R - G = KL(P(x)‖P_θ(x)) - KL(P'(y)‖P(y)). Every step is a step of EM
    on some of the parameters, so the likelihood never falls. It saves iterations where the weights start far
    from the truth, none where the means do; one iteration evaluates the densities twice, not once.

    Parameters
    ----------
    n_components, covariance_type, tol, reg_covar, max_iter, n_init, init_params, weights_init, means_init,
    precisions_init, random_state, warm_start, verbose, verbose_interval
        As in :class:`sklearn.mixture.GaussianMixture`.
    num_inner : int
        Number of n-steps for each M-step; 0 is EM. Lu iterates until P(y) is stable; a few steps do as well.

    Attributes
    ----------
    weights_, means_, covariances_, converged_, n_iter_, lower_bound_, ...
        As in :class:`sklearn.mixture.GaussianMixture`.
    log_likelihoods_ : list of float
        Mean log-likelihood per sample at the start of each iteration, of all initialisations one after
        another.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(0, 1, 100), rng.normal(4, 1, 1900)])[:, None]
    >>> model = EnMMixture(2, random_state=0).fit(x)
    >>> sorted(model.weights_.round(1).tolist())
    [0.1, 0.9]

    References
    ----------
    C. Lu 2018, arXiv:1810.11227 (CM-EM); C. Lu 2025, Entropy 27(5):461 (EnM). The stopping rule of the inner
    loop is ours.
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        num_inner: int = 5,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        super().__init__(
            n_components=n_components,
            covariance_type=covariance_type,
            tol=tol,
            reg_covar=reg_covar,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            weights_init=weights_init,
            means_init=means_init,
            precisions_init=precisions_init,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            verbose_interval=verbose_interval,
        )
        self.num_inner = num_inner

    def fit_predict(self, X: Any, y: Any = None) -> Any:
        """Fit the mixture and return the most probable component of each sample."""
        if not isinstance(self.num_inner, Integral) or self.num_inner < 0:
            raise ValueError(f"num_inner must be an integer >= 0, got {self.num_inner!r}")
        self.log_likelihoods_: list[float] = []
        return super().fit_predict(X, y)

    def _m_step(self, X: Any, log_resp: Any, **kwargs: Any) -> None:
        """Settle the weights with the components fixed, then update the components."""
        if self.num_inner:
            log_prob = self._estimate_log_prob(X, **kwargs)
            for _ in range(self.num_inner):
                # A component that lost every sample gets a weight of exactly 0, not a logarithm of 0.
                log_weights = logsumexp(log_resp, axis=0) - np.log(len(log_resp))
                log_joint = log_prob + log_weights
                log_resp = log_joint - logsumexp(log_joint, axis=1, keepdims=True)
        super()._m_step(X, log_resp, **kwargs)

    def _compute_lower_bound(self, log_resp: Any, log_prob_norm: Any) -> Any:
        self.log_likelihoods_.append(float(log_prob_norm))
        return super()._compute_lower_bound(log_resp, log_prob_norm)
