"""Hashed features of words in their context, and logistic regression on them."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fit_logistic", "hashed", "sigmoid"]

Floats = npt.NDArray[np.float64]


def hashed(texts: list[list[str]], dimensions: int) -> Any:
    """Return the features of all words, a sparse matrix (words, dimensions + 1), the texts one after the other.

    Of each word: itself, its ending, its shape, whether it is repeated, and its neighbours up to two words away; the
    last column is the intercept.
    """
    from scipy import sparse

    columns: list[int] = []
    starts = [0]
    for words in texts:
        lower = [word.lower() for word in words]
        shapes = [_shape(word) for word in words]
        often = Counter(lower)
        for i, word in enumerate(lower):
            near = {d: lower[i + d] if 0 <= i + d < len(words) else "" for d in (-2, -1, 1, 2)}
            names = [
                f"w={word}",
                f"e={word[-3:]}",
                f"s={shapes[i]}",
                f"n={min(often[word], 4)}",
                f"l={min(len(word), 8)}",
            ]
            names += [f"{d}={other}" for d, other in near.items()]
            names += [f"-1w={near[-1]}|{word}", f"w1={word}|{near[1]}"]
            names += [f"-1s={shapes[i - 1] if i else ''}", f"1s={shapes[i + 1] if i + 1 < len(words) else ''}"]
            columns += [zlib.crc32(name.encode("utf-8", "surrogatepass")) % dimensions for name in names]
            columns.append(dimensions)  # the intercept
            starts.append(len(columns))
    data = np.ones(len(columns))
    return sparse.csr_matrix((data, columns, starts), shape=(len(starts) - 1, dimensions + 1))


def _shape(word: str) -> str:
    """Return a word's shape: runs of capitals, small letters, digits and other characters.

    >>> _shape("McKay-7")
    'AaAa-0'
    """
    kinds = ["A" if c.isupper() else "a" if c.isalpha() else "0" if c.isdigit() else c for c in word]
    return "".join(c for i, c in enumerate(kinds) if i == 0 or c != kinds[i - 1])


def sigmoid(x: Any) -> Floats:
    """Return 1/(1 + e^-x) without overflow."""
    from scipy.special import expit

    return np.asarray(expit(x))


def fit_logistic(X: Any, y: npt.NDArray[np.bool_], l2: float) -> Floats:
    """Return the weights that minimise the mean logistic loss plus l2/2 ‖w‖² (the intercept is free), by L-BFGS."""
    from scipy.optimize import minimize

    sign = np.where(y, 1.0, -1.0)
    ridge = np.full(X.shape[1], l2)
    ridge[-1] = 0.0

    def loss(w: Floats) -> tuple[float, Floats]:
        margin = sign * (X @ w)
        slope = -sign * sigmoid(-margin) / len(y)
        return float(np.logaddexp(0.0, -margin).mean() + ridge @ w**2 / 2), np.asarray(X.T @ slope + ridge * w)

    found = minimize(loss, np.zeros(X.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return np.asarray(found.x, np.float64)
