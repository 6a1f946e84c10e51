"""scikit-learn's estimator protocol without scikit-learn: parameters, input and the errors its users know.

An estimator that subclasses `Parameters`, reads its input with `feature_matrix` and keeps column names with
`remember_columns` and `check_columns` passes ``sklearn.utils.estimator_checks.check_estimator``, yet imports
nothing of scikit-learn until scikit-learn asks for its tags.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any, Self

import numpy as np

from plogp.estimate.samples import Floats, as_array

__all__ = ["Parameters", "check_columns", "feature_matrix", "not_fitted", "remember_columns"]


class Parameters:
    """`get_params`, `set_params` and a repr, read off the constructor's signature."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the constructor."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"Invalid parameter {name!r} for {self!r}; expected one of {sorted(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({inside})"


def feature_matrix(X: Any) -> Floats:
    """Return `X` as a finite float64 (n, d) array, refusing in the words that scikit-learn's users know."""
    if hasattr(X, "toarray"):
        raise TypeError("X is a sparse matrix; a dense array is required. Use X.toarray()")
    array = as_array(X, "X")
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: X must hold real numbers")
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got array of shape {array.shape} instead. Reshape your data: "
            "X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one sample"
        )
    for count, what in zip(array.shape, ("sample", "feature")):
        if count == 0:
            raise ValueError(f"0 {what}(s) (shape={array.shape}) while a minimum of 1 is required.")
    try:
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"X must hold real numbers: {error}") from error
    if not np.isfinite(array).all():
        raise ValueError("X contains NaN or infinity; drop or impute them first")
    return np.ascontiguousarray(array)


def _columns(X: Any) -> list[str] | None:
    """Return the column names of a data frame, if all are strings."""
    names = getattr(X, "columns", None)
    if names is None or callable(names):
        return None
    names = list(names)
    return names if names and all(isinstance(name, str) for name in names) else None


def remember_columns(estimator: Any, X: Any) -> None:
    """Keep the column names of a data frame as `feature_names_in_`; forget earlier ones for plain arrays."""
    names = _columns(X)
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def check_columns(estimator: Any, X: Any) -> None:
    """Compare column names with those seen in `fit`, as scikit-learn does."""
    seen, now = getattr(estimator, "feature_names_in_", None), _columns(X)
    kind = type(estimator).__name__
    if seen is None and now is None:
        return
    if seen is None:
        warnings.warn(f"X has feature names, but {kind} was fitted without feature names", stacklevel=3)
        return
    if now is None:
        if not hasattr(X, "columns"):
            warnings.warn(
                f"X does not have valid feature names, but {kind} was fitted with feature names", stacklevel=3
            )
        return
    if list(seen) != now:
        extra, gone = sorted(set(now) - set(seen)), sorted(set(seen) - set(now))
        said = "The feature names should match those that were passed during fit.\n"
        if extra:
            said += "Feature names unseen at fit time:\n" + "".join(f"- {name}\n" for name in extra)
        if gone:
            said += "Feature names seen at fit time, yet now missing:\n" + "".join(f"- {n}\n" for n in gone)
        if not extra and not gone:
            said += "Feature names must be in the same order as they were in fit.\n"
        raise ValueError(said)


def not_fitted(estimator: Any) -> Exception:
    """Return scikit-learn's NotFittedError where scikit-learn is installed, else a ValueError."""
    said = f"This {type(estimator).__name__} is not fitted yet; call fit first"
    try:
        from sklearn.exceptions import NotFittedError
    except ImportError:
        return ValueError(said)
    return NotFittedError(said)
