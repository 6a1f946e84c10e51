"""Feature selection by mutual information with the target, as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.counts import encode
from plogp.estimate.frontends import mutual_information
from plogp.estimate.inference import adjust_p_values
from plogp.measures.uncertainty import Estimate

try:
    from sklearn.base import BaseEstimator
    from sklearn.feature_selection import SelectorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:  # pragma: no cover - exercised in a process without scikit-learn
    raise ImportError("plogp[sklearn] is needed for MutualInformationSelector: pip install 'plogp[sklearn]'") from error

__all__ = ["MutualInformationSelector"]


class MutualInformationSelector(SelectorMixin, BaseEstimator):
    r"""Keep the features that carry information about the target, with intervals and p-values.

    Scores are :math:`I(X_j; Y)` in nats, one feature at a time: redundancy between features is not looked at.
    Exactly one of `k`, `threshold`, `alpha` decides; with none of them, ``alpha=0.05``.

    Parameters
    ----------
    k : int, optional
        Keep the `k` features of the largest score (ties by position; all if there are fewer).
    threshold : float, optional
        Keep the features whose 95 % interval lies above so many nats.
    alpha : float, optional
        Keep the features whose adjusted p-value is at most `alpha`.
    target : {"auto", "discrete", "continuous"}
        Type of y; auto: floats that are not all whole are continuous, everything else labels.
    discrete_features : {"auto", True, False} or array of indices or of booleans
        Which features are labels; auto: those of integers, booleans, strings, and of floats that are all
        whole numbers with repeats. Ties among other floats are broken by noise of 1e-10 sd.
    method : str
        Of :func:`plogp.estimate.mutual_information`.
    adjust : {"bh", "by", "holm", "bonferroni"}
        How the p-values are adjusted for the number of features.
    num_permutations : int
        For the p-values of features that have no asymptotic test; they are made only when `alpha` decides.
        The smallest p-value is 1 / (1 + num_permutations): more features need more permutations.
    random_state : int, RandomState or None
        Seed of the permutations and of the noise that breaks ties between equal numbers.
    n_jobs : int, optional
        Workers over features, through joblib.

    Attributes
    ----------
    scores_ : array of shape (n_features,)
        Mutual information in nats.
    estimates_ : list of Estimate
        The same with intervals.
    p_values_, adjusted_p_values_ : arrays of shape (n_features,)
        NaN where no test was made.
    target_type_ : str
        How y was read.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 3))
    >>> y = (X[:, 1] + 0.5 * rng.standard_normal(300) > 0).astype(int)
    >>> MutualInformationSelector(k=1).fit(X, y).get_support()
    array([False,  True, False])
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        threshold: float | None = None,
        alpha: float | None = None,
        target: str = "auto",
        discrete_features: Any = "auto",
        method: str = "auto",
        adjust: str = "bh",
        num_permutations: int = 199,
        random_state: Any = None,
        n_jobs: int | None = None,
    ):
        self.k = k
        self.threshold = threshold
        self.alpha = alpha
        self.target = target
        self.discrete_features = discrete_features
        self.method = method
        self.adjust = adjust
        self.num_permutations = num_permutations
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> MutualInformationSelector:
        """Estimate the information that each column of X has about y.

        Raises
        ------
        ValueError
            For NaN, unequal lengths, fewer than 2 samples, more than one of `k`, `threshold`, `alpha`.
        """
        from sklearn.utils import check_random_state

        given = [name for name in ("k", "threshold", "alpha") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"only one of k, threshold and alpha may decide, got {' and '.join(given)}")
        if self.k is not None and self.k < 0:
            raise ValueError(f"k must not be negative, got {self.k}")
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {self.alpha}")
        X, y = validate_data(self, X, y, dtype=None, ensure_min_samples=2)
        labels = self._target_is_discrete(y)
        if labels:
            check_classification_targets(y)
        self.target_type_ = "discrete" if labels else "continuous"
        mask = self._discrete_mask(X)
        seed = check_random_state(self.random_state).randint(2**31)
        seeds = np.random.default_rng(seed).spawn(X.shape[1])
        side = _labels(y, "y") if labels else np.asarray(y, np.float64)
        test = self.alpha is not None or not given
        jobs = [(X[:, j], bool(mask[j]), side, labels, seeds[j], test) for j in range(X.shape[1])]
        if self.n_jobs in (None, 1):
            self.estimates_ = [self._one(*job) for job in jobs]
        else:
            from joblib import Parallel, delayed

            self.estimates_ = list(Parallel(n_jobs=self.n_jobs)(delayed(self._one)(*job) for job in jobs))
        self.scores_ = np.array([e.value for e in self.estimates_])
        self.p_values_ = np.array([np.nan if e.p_value is None else e.p_value for e in self.estimates_])
        tested = ~np.isnan(self.p_values_)
        self.adjusted_p_values_ = np.full(len(tested), np.nan)
        self.adjusted_p_values_[tested] = adjust_p_values(self.p_values_[tested], self.adjust)
        return self

    def _one(
        self,
        column: npt.NDArray[Any],
        discrete: bool,
        y: npt.NDArray[Any],
        labels: bool,
        rng: np.random.Generator,
        test: bool,
    ) -> Estimate:
        noise, draws = rng.spawn(2)
        x = _labels(column, "a column of X") if discrete else np.asarray(column, np.float64)
        x = x if discrete else _untied(x, noise)
        y = y if labels else _untied(y, noise)
        p_value = None if (discrete and labels) or not test else "permutation"
        return mutual_information(x, y, self.method, p_value=p_value, num_permutations=self.num_permutations, rng=draws)

    def _target_is_discrete(self, y: npt.NDArray[Any]) -> bool:
        if self.target == "auto":
            return y.dtype.kind != "f" or bool((y == np.floor(y)).all())
        if self.target not in ("discrete", "continuous"):
            raise ValueError(f"target must be 'auto', 'discrete' or 'continuous', got {self.target!r}")
        return bool(self.target == "discrete")

    def _discrete_mask(self, X: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        which, count = self.discrete_features, X.shape[1]
        if isinstance(which, str):
            if which != "auto":
                raise ValueError(f"discrete_features must be 'auto', a bool, indices or a mask, got {which!r}")
            return np.array([_is_label(X[:, j]) for j in range(count)])
        if isinstance(which, (bool, np.bool_)):
            return np.full(count, bool(which))
        chosen = np.asarray(which)
        if chosen.dtype == bool:
            if chosen.shape != (count,):
                raise ValueError(f"the mask discrete_features has shape {chosen.shape} for {count} features")
            return chosen
        mask = np.zeros(count, bool)
        mask[chosen] = True
        return mask

    def _get_support_mask(self) -> npt.NDArray[np.bool_]:
        check_is_fitted(self)
        if self.k is not None:
            mask = np.zeros(len(self.scores_), bool)
            mask[np.argsort(-self.scores_, kind="stable")[: self.k]] = True
            return mask
        if self.threshold is not None:
            return np.array([e.interval(0.95)[0] > self.threshold for e in self.estimates_])
        return np.asarray(self.adjusted_p_values_ <= (0.05 if self.alpha is None else self.alpha))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.string = True
        return tags


def _labels(x: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return a column as labels for the front end: codes, so that floats count as states."""
    return np.asarray(np.unique(x, return_inverse=True)[1]) if x.dtype.kind == "f" else encode(x, name)[0]


def _is_label(column: npt.NDArray[Any]) -> bool:
    """Floats are numbers, unless all are whole and some repeat: these have no density."""
    if column.dtype.kind == "O" and all(isinstance(v, (float, np.floating)) for v in column):
        column = column.astype(np.float64)
    if column.dtype.kind != "f":
        return True
    return bool((column == np.floor(column)).all()) and len(np.unique(column)) < len(column)


def _untied(x: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Break ties between equal numbers by noise of 1e-10 sd, which nearest neighbours need (as scikit-learn does)."""
    if len(np.unique(x)) == len(x) or not np.ptp(x):
        return x
    return np.asarray(x + 1e-10 * x.std() * rng.standard_normal(len(x)))
