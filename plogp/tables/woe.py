"""Weight of evidence as a scikit-learn transformer: columns to log-likelihood ratios of a two-valued target."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import special

from plogp.measures.uncertainty import Estimate
from plogp.tables.binning import (
    Binner,
    OptimalBinner,
    QuantileBinner,
    StumpBinner,
    TreeBinner,
    UserBinner,
)
from plogp.tables.columns import Target, Values, code_target, read_columns
from plogp.tables.information_value import SE, iv_from_counts, weight_of_evidence
from plogp.tables.results import Bin

try:
    from sklearn.base import BaseEstimator, TransformerMixin, clone
    from sklearn.model_selection import StratifiedKFold
    from sklearn.utils import ClassifierTags, check_consistent_length, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("plogp[sklearn] is needed for WoEEncoder: pip install 'plogp[sklearn]'") from error

__all__ = ["WoEEncoder"]

Floats = npt.NDArray[np.float64]

_BINNERS: Mapping[str, type[Any]] = {
    "stump": StumpBinner,
    "optimal": OptimalBinner,
    "tree": TreeBinner,
    "quantile": QuantileBinner,
}
_OUTPUTS = ("woe", "woe_norm", "ci")
_ORIENTATIONS = ("event", "non-event")


class WoEEncoder(TransformerMixin, BaseEstimator):
    """Replace every value by the weight of evidence of its bin, ln P(bin | event) / P(bin | non-event).

    Equal to logit P(event | bin) - logit P(event). If the columns are independent given the class, the sum of
    their WoE and the prior log-odds is the log-odds of the event: the logistic regression has coefficients 1.
    Missing values are a bin of their own.

    Parameters
    ----------
    binner : "stump", "optimal", "tree", "quantile", None or Binner
        How numbers become bins; None takes every distinct value as a category. Categories are bins, rare ones
        pooled.
    smoothing : float
        Added to both counts of every bin.
    orientation : "event" or "non-event"
        Sign: positive where events, or (classical scorecards) where non-events, are over-represented.
    handle_unknown : "zero" or "error"
        A category or a missing value without training rows gets WoE 0 with a warning, or raises.
    output : "woe", "woe_norm" or "ci"
        One column a feature; the same divided by its standard deviation on the training rows; or three
        columns a feature: the ends of the interval of probability `level` around it.
    se : "multinomial" or "log-odds"
        As in `weight_of_evidence`.
    level : float
        Of the intervals.
    event : optional
        Target value that is the event; by default the larger one.
    cv : int, optional
        `fit_transform` encodes each of `cv` folds with the bins and counts of the others, so that a model
        trained on its output has not seen a row's own target. `transform` uses all training rows.
    random_state : int, optional
        Shuffle of the folds.

    Attributes
    ----------
    mapping_ : dict of str to list of Bin
        Of each feature its bins: label, n, share, event_rate, woe, woe_se.
    intervals_ : dict of str to array of shape (bins, 2)
        Ends of the WoE's intervals.
    iv_ : dict of str to Estimate
        Information value (nats) on the training rows; see ``diagnostics["corrected"]`` for it without bias.
    classes_ : array of shape (2,)
        Target values, the event last.
    spreads_ : dict of str to float
        Standard deviation of each feature's WoE over the training rows.
    dropped_ : int
        Training rows without a target.

    Raises
    ------
    ValueError
        If the target does not have two values, or a parameter is out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> job = rng.choice(["baker", "smith"], size=1000)
    >>> y = rng.random(1000) < np.where(job == "smith", 0.6, 0.2)
    >>> encoder = WoEEncoder(binner="quantile").fit({"job": job}, y)
    >>> [(b.label, round(b.woe, 2)) for b in encoder.mapping_["job"]]
    [('baker', -1.15), ('smith', 0.82)]
    >>> encoder.transform({"job": ["smith", "baker"]}).round(2).ravel().tolist()
    [0.82, -1.15]
    """

    def __init__(
        self,
        binner: str | Binner | None = "stump",
        *,
        smoothing: float = 0.5,
        orientation: str = "event",
        handle_unknown: str = "zero",
        output: str = "woe",
        se: SE = "multinomial",
        level: float = 0.95,
        event: Any = None,
        cv: int | None = None,
        random_state: int | None = None,
    ):
        self.binner = binner
        self.smoothing = smoothing
        self.orientation = orientation
        self.handle_unknown = handle_unknown
        self.output = output
        self.se = se
        self.level = level
        self.event = event
        self.cv = cv
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the bins and their weights of evidence.

        Parameters
        ----------
        X : array, data frame or dict of arrays, shape (n, d)
            NaN and None are missing.
        y : array-like of shape (n,)
            Two values; rows without one are left out.
        """
        columns, target = self._read(X, y)
        return self._fit(columns, target)

    def transform(self, X: Any) -> Floats:
        """Return the encoded columns, float64 of shape (n, d), or (n, 3 d) with ``output="ci"``."""
        check_is_fitted(self, "mapping_")
        return self._encode(self._columns(X, reset=False))

    def fit_transform(self, X: Any, y: Any = None, cv: int | None = None) -> Floats:
        """Fit to all rows and return their encoding; with `cv`, each fold's by the other folds."""
        columns, target = self._read(X, y)
        self._fit(columns, target)
        folds = self.cv if cv is None else cv
        # Rows without a target taught nothing, so the encoding from all others is honest for them.
        out = self._encode(columns)
        if folds is None:
            return out
        known = np.flatnonzero(target.codes >= 0)
        splitter = StratifiedKFold(folds, shuffle=True, random_state=self.random_state)
        for train, test in splitter.split(known, target.codes[known]):
            seen = {name: values.rows(known[train]) for name, values in columns.items()}
            other = clone(self)._fit(seen, target.rows(known[train]))
            out[known[test]] = other._encode({name: v.rows(known[test]) for name, v in columns.items()})
        return out

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the encoded columns."""
        check_is_fitted(self, "mapping_")
        names = list(self.mapping_)
        if input_features is not None:
            given = [str(f) for f in input_features]
            if hasattr(self, "feature_names_in_") and given != [str(f) for f in self.feature_names_in_]:
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(given) != len(names):
                raise ValueError(f"input_features should have length equal to {len(names)}, got {len(given)}")
            names = given
        if self.output == "ci":
            names = [f"{name}{end}" for name in names for end in ("_low", "", "_high")]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        # Weight of evidence is of one event against the rest.
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags

    def _fit(self, columns: dict[str, Values], target: Target) -> Self:
        self.classes_ = np.array(target.values)
        self.dropped_ = target.dropped
        self.binner_ = self._new_binner().fit(columns, target)
        codes = self.binner_.transform(columns)
        known = target.codes >= 0
        self.mapping_: dict[str, list[Bin]] = {}
        self.intervals_: dict[str, Floats] = {}
        self.iv_: dict[str, Estimate] = {}
        self.spreads_: dict[str, float] = {}
        self._tables: list[_Table] = []
        for name, coding, states in zip(self.binner_.features_, self.binner_.bins_, codes.T):
            flat = np.bincount(states[known] * 2 + target.codes[known], minlength=2 * coding.size)
            self._learn(name, coding.labels(), flat.reshape(-1, 2))
        return self

    def _learn(self, name: str, labels: list[str], counts: npt.NDArray[np.int64]) -> None:
        non_events, events = counts[:, 0], counts[:, 1]
        sign = 1.0 if self.orientation == "event" else -1.0
        woe, error = weight_of_evidence(events, non_events, self.smoothing, self.se)
        woe, rows = sign * woe, counts.sum(axis=1)
        share = rows / rows.sum()
        half = float(special.ndtri(0.5 + self.level / 2)) * error
        spread = float(np.sqrt((share * (woe - (share * woe).sum()) ** 2).sum()))
        seen = np.flatnonzero(rows)
        self.mapping_[name] = [
            Bin(
                label=labels[k],
                n=int(rows[k]),
                share=float(share[k]),
                event_rate=float(events[k] / rows[k]),
                woe=float(woe[k]),
                woe_se=float(error[k]),
            )
            for k in seen
        ]
        self.intervals_[name] = np.column_stack([woe - half, woe + half])[seen]
        self.iv_[name] = iv_from_counts(events[seen], non_events[seen], smoothing=self.smoothing).value
        self.spreads_[name] = spread if spread > 0 else 1.0
        # The last entry is for new categories: code -1 finds it, and nothing is known about it.
        self._tables.append(_Table(np.append(woe, 0.0), np.append(half, np.inf)))

    def _encode(self, columns: dict[str, Values]) -> Floats:
        codes = self.binner_.transform(columns)
        out, blank = [], []
        for name, table, states in zip(self.mapping_, self._tables, codes.T):
            woe, half = table.woe[states], table.half[states]
            unknown = int(np.isinf(half).sum())
            if unknown:
                blank.append(f"{name!r} ({unknown:,} rows)")
            if self.output == "ci":
                out += [woe - half, woe, woe + half]
            else:
                out.append(woe / self.spreads_[name] if self.output == "woe_norm" else woe)
        if blank and self.handle_unknown == "error":
            raise ValueError(f"values without training rows in {', '.join(blank)}; handle_unknown='zero' allows them")
        if blank:
            warnings.warn(f"values without training rows get WoE 0: {', '.join(blank)}", UserWarning, stacklevel=3)
        return np.column_stack(out)

    def _new_binner(self) -> Binner:
        if self.binner is None:
            return UserBinner({})
        if isinstance(self.binner, str):
            made: Binner = _BINNERS[self.binner]()
            return made
        copy: Binner = clone(self.binner, safe=False)
        return copy

    def _check_parameters(self) -> None:
        allowed = {"orientation": _ORIENTATIONS, "handle_unknown": ("zero", "error"), "output": _OUTPUTS}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, values))}, got {getattr(self, name)!r}")
        if isinstance(self.binner, str) and self.binner not in _BINNERS:
            raise ValueError(f"binner must be one of {', '.join(map(repr, _BINNERS))}, got {self.binner!r}")
        if not (self.binner is None or isinstance(self.binner, (str, Binner))):
            raise TypeError(f"binner must be a name, None or a Binner, got {type(self.binner).__name__}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie strictly between 0 and 1, got {self.level!r}")

    def _read(self, X: Any, y: Any) -> tuple[dict[str, Values], Target]:
        """Check parameters and data as scikit-learn does, and return the columns and the coded target."""
        self._check_parameters()
        if y is None:
            raise ValueError("This WoEEncoder estimator requires y to be passed, but the target y is None.")
        columns = self._columns(X, reset=True)
        if not hasattr(y, "to_numpy"):
            y = column_or_1d(y, warn=True)
        check_consistent_length(next(iter(columns.values())).array, y)
        target = code_target(y, event=self.event)
        if target.kind != "binary":
            check_classification_targets(np.asarray(y))
            raise ValueError(f"Only binary classification is supported: the target has {len(target.values)} classes")
        return columns, target

    def _columns(self, X: Any, reset: bool) -> dict[str, Values]:
        # SciPy's dictionary-of-keys matrices are mappings as well.
        if isinstance(X, Mapping) and not hasattr(X, "toarray"):
            names = [str(name) for name in X]
            if reset:
                self.feature_names_in_, self.n_features_in_ = np.array(names, dtype=object), len(names)
            return read_columns({name: X[name] for name in X})
        # Names and number of columns are scikit-learn's to check; data frames keep their types.
        if hasattr(X, "columns"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return read_columns(X)
        return read_columns(validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False))


@dataclass(frozen=True, eq=False)
class _Table:
    """One feature's WoE, and the half-width of its interval, by state."""

    woe: Floats
    half: Floats
