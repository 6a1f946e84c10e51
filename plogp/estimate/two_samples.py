"""The front end for two samples: D(P‖Q) from x ~ P and y ~ Q, whatever they hold and whichever divergence."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.binning import Binner
from plogp.estimate.classifier_divergence import classifier_divergence
from plogp.estimate.counts import encode
from plogp.estimate.inference import permutation_test
from plogp.estimate.knn_divergence import knn_kl, knn_renyi
from plogp.estimate.links import link_of
from plogp.estimate.multinomial import multinomial_divergence
from plogp.estimate.nn_ratio import nn_ratio_divergence, pooled
from plogp.estimate.one_step import one_step_divergence
from plogp.estimate.samples import as_array, rescaled
from plogp.measures import Dissimilarity, Estimate
from plogp.measures import divergence as divergence_of

__all__ = ["TWO_SAMPLE_METHODS", "binned_divergence", "discrete_divergence", "divergence", "knn_divergence"]


def divergence(
    x: Any,
    y: Any,
    d: str | Dissimilarity = "kl",
    *,
    method: str = "auto",
    scale: str | None = "standard",
    num_permutations: int = 0,
    rng: np.random.Generator | int | None = None,
    **options: Any,
) -> Estimate:
    """Return D(P‖Q) estimated from samples x ~ P (the reference) and y ~ Q, with its uncertainty.

    Parameters
    ----------
    x, y : array, shape (n, d) or (n,)
        The samples. Integers, booleans, strings, dates and objects are categories; floats are continuous.
    d : str or divergence
        Name or object; any f-divergence, sums of them, reversed ones, Rényi's, metrics. Categories take the
        other families too.
    method : str
        ``"auto"``: ``"discrete"`` for categories and ``"one-step"`` for floats. By name:

        - ``"discrete"``: counts of the aligned categories. Unsmoothed by default: KL is infinite, and says
          so, where x has a category that y lacks; ``smoothing=0.5`` keeps it finite.
        - ``"one-step"``: nearest-neighbour ratios with the error of the ratio cancelled to first order;
          smooth divergences, up to three dimensions.
        - ``"knn"``: distances to the k-th neighbour, for `kl`, `reverse_kl` and Rényi's.
        - ``"nn-ratio"``: the plug-in of Noshad et al.
        - ``"classifier"``: cross-fitted log-odds, a lower bound; for high dimension. Needs scikit-learn.
        - ``"binned"``: one dimension, bins of the pooled sample; a lower bound for the binning.
    scale : {"standard", "rank", None}
        How the axes of continuous samples are made comparable, by the pooled sample. Divergences do not change
        under such maps, distances do.
    num_permutations : int
        Permutations of the pooled sample for a p-value of P = Q; 0: none (``"discrete"`` and ``"binned"``
        always have one).
    rng : Generator, int or None
        For permutations, folds and simulated tests.
    **options
        Of the method: k, smoothing, bins, classifier, num_folds, bounds ...

    Returns
    -------
    Estimate
        In nats, or dimensionless where the divergence is. Negative values are kept: no evidence of a difference.

    Raises
    ------
    ValueError
        For unfit samples, an unknown method, or a divergence that the method cannot estimate.
    TypeError
        For categories on one side and numbers on the other, or an option that the method does not have.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(0.5, 1, size=1000), rng.normal(size=1000)
    >>> e = divergence(x, y, "js")  # truth 0.0306
    >>> e.distinguishable(0.0306), e.distinguishable(0.0), e.unit
    (False, True, 'nats')
    >>> divergence(["a", "b", "a", "b"], ["a", "a", "a"], "kl").value
    inf
    """
    target = divergence_of(d)
    if method == "auto":
        method = "discrete" if _is_discrete(x, y) else "one-step"
    if method not in TWO_SAMPLE_METHODS:
        known = ", ".join(repr(name) for name in ("auto", *TWO_SAMPLE_METHODS))
        raise ValueError(f"method must be one of {known}, got {method!r}")
    if num_permutations < 0:
        raise ValueError(f"num_permutations must be >= 0, got {num_permutations}")
    run = TWO_SAMPLE_METHODS[method]
    accepted = inspect.signature(run).parameters
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        takes = ", ".join(name for name in accepted if name not in {"x", "y", "d", "rng", "num_permutations"})
        raise TypeError(f"method {method!r} has no option {unknown[0]!r}; it takes {takes or 'none'}")
    generator = np.random.default_rng(rng)
    if "rng" in accepted:
        options["rng"] = generator
    if "num_permutations" in accepted:
        if num_permutations:
            options["num_permutations"] = num_permutations
        return run(x, y, target, **options)
    points, other = pooled(x, y)
    both = rescaled(np.concatenate([points, other]), scale)
    first = np.arange(len(both)) < len(points)
    estimate = run(both[first], both[~first], target, **options)
    if not num_permutations:
        return estimate

    def statistic(label: npt.NDArray[np.bool_], rows: npt.NDArray[np.float64]) -> float:
        return run(rows[label], rows[~label], target, **options).value

    test = permutation_test(statistic, first, both, num_permutations, generator)
    notes = {**estimate.diagnostics, "null": "the two distributions are equal", "test": "permutation"}
    return replace(estimate, p_value=float(test.p_value), diagnostics=notes)


def discrete_divergence(
    x: Any,
    y: Any,
    d: str | Dissimilarity = "kl",
    *,
    smoothing: float = 0.0,
    correct_bias: bool = False,
    num_permutations: int = 999,
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    """Return D(P‖Q) between two samples of categories, counted over the categories that either has.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Labels of one kind; a row of several is one joint category.
    d : str or divergence
        Any divergence of probability vectors.
    smoothing, correct_bias, num_permutations, rng
        As in `multinomial_divergence`, but unsmoothed by default: a category of x that y lacks makes KL
        infinite rather than some number chosen by the smoothing.

    Raises
    ------
    TypeError
        If one sample holds numbers and the other strings.
    ValueError
        If the numbers of columns differ, or values are missing.

    Examples
    --------
    >>> e = discrete_divergence(["a"] * 30 + ["b"] * 70, ["a"] * 50 + ["b"] * 50, "kl")
    >>> round(e.value, 4), round(e.p_value, 4)
    (0.0823, 0.0041)
    """
    left, right = _labels(x, "x"), _labels(y, "y")
    kinds = _kinds(left), _kinds(right)
    if all(kinds) and not kinds[0] & kinds[1]:
        raise TypeError(
            f"x and y must hold labels of one kind, got {sorted(kinds[0])} and {sorted(kinds[1])}; convert one of them"
        )
    if left.shape[1:] != right.shape[1:]:
        raise ValueError(f"x and y must have the same columns, got shapes {left.shape} and {right.shape}")
    if "O" in (left.dtype.kind, right.dtype.kind):  # else NumPy would turn a mixture into text
        left, right = left.astype(object), right.astype(object)
    codes, labels = encode(np.concatenate([left, right]), "the pooled sample")
    states = len(labels)
    counts_p, counts_q = (np.bincount(part, minlength=states) for part in (codes[: len(left)], codes[len(left) :]))
    return multinomial_divergence(
        counts_p,
        counts_q,
        d,
        smoothing=smoothing,
        correct_bias=correct_bias,
        num_permutations=num_permutations,
        rng=rng,
    )


def binned_divergence(
    x: Any,
    y: Any,
    d: str | Dissimilarity = "kl",
    *,
    bins: int | None = None,
    strategy: str = "quantile",
    smoothing: float = 0.5,
    correct_bias: bool = True,
    num_permutations: int = 999,
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    """Return D between two one-dimensional samples after binning both by the edges of the pooled sample.

    Binning loses information: the truth that the interval covers is the binned one, at most D(P‖Q). Edges come
    from the values of both samples together, so an outlier moves no quantile edge and no bin is empty in both.

    Parameters
    ----------
    x, y : array, shape (n,)
        Samples of numbers.
    d : str or divergence
        Any divergence of probability vectors.
    bins : int, optional
        Number of bins; by default 2 n^{1/3} of the smaller sample, between 4 and 50.
    strategy : {"quantile", "width", "unique-quantile", "kmeans"}
        Where the edges go.
    smoothing, correct_bias, num_permutations, rng
        As in `multinomial_divergence`.

    Raises
    ------
    ValueError
        For more than one dimension, or NaN.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> e = binned_divergence(rng.normal(0.5, 1, size=2000), rng.normal(size=2000), "js")  # truth 0.0306
    >>> round(e.value, 3), e.p_value < 0.001
    (0.029, True)
    """
    points, other = pooled(x, y)
    if points.shape[1] != 1:
        raise ValueError(f"binning is for one dimension, got {points.shape[1]} columns; use another method")
    if bins is None:
        bins = int(np.clip(math.ceil(2 * min(len(points), len(other)) ** (1 / 3)), 4, 50))
    binner = Binner(strategy, bins)
    edges = binner.edges(np.concatenate([points, other]))
    counts_p, counts_q = (
        np.bincount(binner.digitize(sample[:, 0], edges), minlength=len(edges) + 1) for sample in (points, other)
    )
    estimate = multinomial_divergence(
        counts_p,
        counts_q,
        d,
        smoothing=smoothing,
        correct_bias=correct_bias,
        num_permutations=num_permutations,
        rng=rng,
    )
    notes = {**estimate.diagnostics, "edges": edges.tolist(), "covers": "the divergence of the binned samples"}
    return replace(estimate, method=f"binned({strategy}, {len(edges) + 1}) {estimate.method}", diagnostics=notes)


def knn_divergence(x: Any, y: Any, d: str | Dissimilarity = "kl", *, k: int = 5, workers: int = -1) -> Estimate:
    """Return KL, reverse KL or a function of a power integral by the distances to k-th neighbours.

    Raises
    ------
    ValueError
        For a divergence that distances do not give.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> knn_divergence(rng.normal(size=500), rng.normal(size=500), "reverse_kl").method
    'knn-kl(k=5)'
    """
    target = divergence_of(d)
    if target in _BY_DISTANCE:
        return _BY_DISTANCE[target](x, y, k, workers)
    link = link_of(target)
    if link.order is not None:
        return knn_renyi(x, y, target, k=k, workers=workers)
    raise ValueError(
        f"k-th neighbour distances give 'kl', 'reverse_kl', 'renyi' and 'bhattacharyya', not {target!r}; "
        "use method='one-step' or 'nn-ratio'"
    )


#: Divergences that k-th neighbour distances give directly, by equality with the object asked for.
_BY_DISTANCE: dict[Dissimilarity, Callable[[Any, Any, int, int], Estimate]] = {
    divergence_of("kl"): lambda x, y, k, workers: knn_kl(x, y, k=k, workers=workers),
    divergence_of("reverse_kl"): lambda x, y, k, workers: knn_kl(y, x, k=k, workers=workers),
}

#: Methods by name: callables (x, y, d, **options) -> Estimate. Those with a parameter `num_permutations` take the
#: samples as they are and test on their own; the others get scaled (n, d) arrays.
TWO_SAMPLE_METHODS: dict[str, Callable[..., Estimate]] = {
    "discrete": discrete_divergence,
    "one-step": one_step_divergence,
    "knn": knn_divergence,
    "nn-ratio": nn_ratio_divergence,
    "classifier": classifier_divergence,
    "binned": binned_divergence,
}


def _labels(x: Any, name: str) -> npt.NDArray[Any]:
    """Return a sample of labels as an array."""
    array = as_array(x, name)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (n,) or (n, d), got {array.shape}")
    return array


def _kinds(labels: npt.NDArray[Any]) -> set[str]:
    """Return what kinds of labels there are: numbers, text, dates or other objects; missing ones not counted."""
    by_dtype = {"b": "number", "i": "number", "u": "number", "f": "number", "U": "text", "S": "bytes"}
    if labels.dtype.kind != "O":
        return {by_dtype.get(labels.dtype.kind, "date")}
    by_type: dict[type, str] = {str: "text", bytes: "bytes"}
    seen: dict[type, Any] = {type(v): v for v in labels.ravel().tolist()}
    return {
        by_type.get(t, "number" if isinstance(v, (bool, int, float, np.number, np.bool_)) else t.__name__)
        for t, v in seen.items()
        if v is not None and t.__name__ not in {"NAType", "NaTType"}
    }


def _is_discrete(x: Any, y: Any) -> bool:
    """Whether the samples hold categories: anything but floats, on both sides."""
    found = []
    for sample, name in ((x, "x"), (y, "y")):
        found.append(_labels(sample, name).dtype.kind not in "fc")
    if found[0] != found[1]:
        raise TypeError(
            "one sample holds categories (or integers) and the other real numbers; convert one of them, "
            "or name the method"
        )
    return found[0]
