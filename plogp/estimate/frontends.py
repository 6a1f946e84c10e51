"""Front ends: one call per measure, which looks at the data and chooses the estimator.

Integers, booleans, strings and objects are labels and are counted; floats are numbers and go to nearest
neighbours. ``method=`` names any registered estimator (`plogp.estimate.registry`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plogp.estimate.choice import Seed, estimate
from plogp.estimate.combined import from_columns
from plogp.estimate.inference import permutation_test
from plogp.estimate.rearrangements import Rearrange, circular_shift, local_permutation, shuffle, shuffle_within
from plogp.estimate.registry import Variable, prepare
from plogp.measures.uncertainty import Estimate

__all__ = [
    "conditional_entropy",
    "conditional_mutual_information",
    "dual_total_correlation",
    "entropy",
    "interaction_information",
    "mutual_information",
    "o_information",
    "total_correlation",
    "transfer_entropy",
]


def _tested(
    found: Estimate,
    again: Callable[[Any, Any], Estimate],
    moved: Variable,
    kept: Any,
    p_value: str | None,
    num_permutations: int,
    rng: np.random.Generator,
    rearrange: Rearrange,
    n_jobs: int | None,
    null: str,
) -> Estimate:
    """Give an estimate the p-value asked for."""
    if p_value is None:
        return found
    if p_value != "permutation":
        raise ValueError(f"p_value must be None (the method's own, if any) or 'permutation', got {p_value!r}")
    test = permutation_test(
        lambda a, _: again(a, kept),
        moved.values,
        np.arange(len(moved)),
        num_permutations,
        rng,
        rearrange=rearrange,
        n_jobs=n_jobs,
    )
    facts = {
        **found.diagnostics,
        "null": null,
        "test": f"permutation ({num_permutations})",
        "null_mean": float(test.null.mean()),
    }
    return replace(found, p_value=test.p_value, diagnostics=facts)


def _spawn(rng: Seed) -> tuple[np.random.Generator | None, np.random.Generator]:
    """One stream for the estimate and one for the test, so that the value does not depend on the test.

    Without a seed the estimate gets none: what breaks ties then has one of its own, and the same call gives the same
    value.
    """
    first, second = np.random.default_rng(rng).spawn(2)
    return (None if rng is None else first), second


def entropy(x: Any, method: str = "auto", *, rng: Seed = None, **options: Any) -> Estimate:
    """Estimate the entropy of samples: Shannon's of labels, differential of numbers.

    Parameters
    ----------
    x : array of shape (n,) or (n, d)
        Samples as rows. Integers, booleans, strings, objects: labels (a row of several is one joint state).
        Floats: numbers with a density.
    method : str
        ``"auto"``: Chao-Wang-Jost for labels, Kozachenko-Leonenko for numbers. ``methods("entropy")`` lists all.
    rng : Generator or int, optional
        For methods that draw.
    **options
        Of the method: ``k``, ``num_states``, ``jitter``, ...

    Returns
    -------
    Estimate
        In nats; see the method for what its interval assumes.

    Raises
    ------
    ValueError
        For too few samples, NaN, floats that are whole numbers with repeats, or an unknown method.
    TypeError
        For a method that does not suit the data.

    Examples
    --------
    >>> entropy(["a", "b", "a", "b", "a", "b", "a", "b"]).value > 0.69
    True
    >>> x = np.random.default_rng(0).standard_normal(2000)
    >>> e = entropy(x)                                    # ½ log(2πe) = 1.419
    >>> e.interval()[0] < 1.419 < e.interval()[1]
    True
    """
    return estimate("entropy", prepare(x=x), method, rng, options)


def conditional_entropy(x: Any, y: Any, method: str = "auto", **options: Any) -> Estimate:
    """H(X|Y) of labels; each may have several columns.

    >>> conditional_entropy([0, 0, 1, 1] * 10, [0, 0, 1, 1] * 10).value
    0.0
    """
    return estimate("conditional_entropy", prepare(x=x, y=y), method, None, options)


def _flagged(found: Estimate, variables: list[Variable]) -> Estimate:
    """Note a value above the entropy of a label variable, which the information cannot exceed."""
    for v in variables:
        if v.discrete and len(v) > 1:
            bound = from_columns("entropy", "chao_wang_jost", v.values)
            if found.value > max(bound.value, bound.interval(0.95)[1]) + 1e-9:
                note = f"the value exceeds the entropy of {v.name}, {bound.value:.4g} nats: it is too high"
                return replace(found, diagnostics={**found.diagnostics, "warning": note})
    return found


def mutual_information(
    x: Any,
    y: Any,
    method: str = "auto",
    *,
    p_value: str | None = None,
    num_permutations: int = 199,
    rng: Seed = None,
    n_jobs: int | None = None,
    **options: Any,
) -> Estimate:
    """Estimate the mutual information I(X;Y) of paired samples of any kind.

    Parameters
    ----------
    x, y : arrays of shape (n,) or (n, d)
        Paired samples as rows. Integers, booleans, strings, objects are labels; floats are numbers.
    method : str
        ``"auto"``: Chao-Wang-Jost for two label columns, KSG for two numbers and Ross for one of each,
        both on ranks.
        ``methods("mutual_information")`` lists all, among them ``"gao"`` for mixtures with repeated values and
        ``"binned"``, which refuses more cells than samples.
    p_value : {None, "permutation"}
        None: the method's own test (G or X² for labels; none for nearest neighbours).
    num_permutations : int
        For the permutation test.
    rng, n_jobs
        Seed; processes for the permutations.
    **options
        Of the method: ``k``, ``num_states``, ``bins``, ``jitter``, ...

    Returns
    -------
    Estimate
        In nats. Negative values keep their sign; ``diagnostics["warning"]`` tells if the value exceeds an entropy.

    Raises
    ------
    ValueError
        For unequal lengths, too few samples, NaN, an unknown method.
    TypeError
        For a method that does not suit the data.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(1000)
    >>> e = mutual_information(x, 0.6 * x + 0.8 * rng.standard_normal(1000))     # 0.223
    >>> e.interval()[0] < 0.223 < e.interval()[1]
    True
    >>> mutual_information(x > 0, rng.integers(0, 3, 1000)).distinguishable()
    False
    """
    for_value, for_test = _spawn(rng)
    a, b = prepare(x=x, y=y)
    found = estimate("mutual_information", [a, b], method, for_value, options)
    found = _flagged(found, [a, b])

    def again(values: Any, kept: Variable) -> Estimate:
        return estimate("mutual_information", [replace(a, values=values), kept], method, None, options)

    return _tested(found, again, a, b, p_value, num_permutations, for_test, shuffle, n_jobs, "independence")


def conditional_mutual_information(
    x: Any,
    y: Any,
    z: Any,
    method: str = "auto",
    *,
    p_value: str | None = None,
    num_permutations: int = 199,
    rng: Seed = None,
    n_jobs: int | None = None,
    **options: Any,
) -> Estimate:
    """Estimate the conditional mutual information I(X;Y|Z).

    All labels: joint entropies. All numbers: Frenzel-Pompe on ranks. Labels z with numbers: an average over the
    states of z. The permutation test rearranges x within the states of z, or among near neighbours in z (Runge 2018).

    Parameters and errors are those of :func:`mutual_information`; z has samples as rows too.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.integers(0, 2, 500), rng.integers(0, 2, 500)
    >>> conditional_mutual_information(x, y, x ^ y).value > 0.6
    True
    """
    for_value, for_test = _spawn(rng)
    a, b, c = prepare(x=x, y=y, z=z)
    found = estimate("conditional_mutual_information", [a, b, c], method, for_value, options)

    def again(values: Any, kept: Any) -> Estimate:
        return estimate("conditional_mutual_information", [replace(a, values=values), b, c], method, None, options)

    rearrange: Rearrange = shuffle
    if p_value is not None:
        rearrange = shuffle_within(c.values) if c.discrete else local_permutation(c.values)
    null = "conditional independence"
    return _tested(found, again, a, None, p_value, num_permutations, for_test, rearrange, n_jobs, null)


def transfer_entropy(
    source: Any,
    target: Any,
    history: int = 1,
    lag: int = 1,
    method: str = "auto",
    *,
    source_history: int = 1,
    p_value: str | None = None,
    num_permutations: int = 199,
    rng: Seed = None,
    n_jobs: int | None = None,
    **options: Any,
) -> Estimate:
    r"""Estimate the transfer entropy from one series to another.

    .. math:: T_{X \to Y} = I(Y_t;\; X_{t-\mathrm{lag}}, \dots \mid Y_{t-1}, \dots, Y_{t-\mathrm{history}})

    Parameters
    ----------
    source, target : arrays of shape (n,) or (n, d)
        Series observed at the same times; both labels or both numbers.
    history, source_history : int
        Number of past values of the target, of the source.
    lag : int
        Delay from source to target, at least 1.
    method : str
        ``"auto"``: Chao-Wang-Jost for labels, Frenzel-Pompe on ranks for numbers.
    p_value : {None, "permutation"}
        The permutation test shifts the source in a circle, which keeps the memory of each series.
    num_permutations, rng, n_jobs, **options
        As in :func:`mutual_information`; also ``step``, ``block`` (of the error), ``theiler``.

    Returns
    -------
    Estimate
        In nats a step; the error allows for dependence in time.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.integers(0, 2, 2000)
    >>> y = np.roll(x, 1)
    >>> round(transfer_entropy(x, y).value, 1), transfer_entropy(y, x).distinguishable()
    (0.7, False)

    References
    ----------
    Schreiber 2000, arXiv nlin/0001042.
    """
    for_value, for_test = _spawn(rng)
    a, b = prepare(source=source, target=target)
    settings = {**options, "target_history": history, "source_history": source_history, "lag": lag}
    if lag < 1:
        raise ValueError(f"lag must be at least 1 (0 would be the present of the source), got {lag}")
    found = estimate("transfer_entropy", [a, b], method, for_value, settings)

    def again(values: Any, kept: Any) -> Estimate:
        return estimate("transfer_entropy", [replace(a, values=values), b], method, None, settings)

    rearrange = circular_shift(max(lag + source_history, len(a) // 20))
    null = "no transfer (circular shifts of the source)"
    return _tested(found, again, a, None, p_value, num_permutations, for_test, rearrange, n_jobs, null)


def _columns(variables: Sequence[Any]) -> list[Variable]:
    """Return the variables; one two-dimensional array stands for its columns."""
    if len(variables) == 1:
        (only,) = prepare(x=variables[0])
        if only.values.ndim != 2:
            raise ValueError("expected two or more variables, or one array of shape (n, d)")
        return [Variable(f"x[:, {j}]", only.values[:, j], only.discrete) for j in range(only.values.shape[1])]
    return prepare(**{f"variable {i}": v for i, v in enumerate(variables)})


def _multivariate(
    measure: str, fewest: int, variables: Sequence[Any], method: str, rng: Seed, options: Any
) -> Estimate:
    found = _columns(variables)
    if len(found) < fewest:
        raise ValueError(f"{measure.replace('_', ' ')} needs {fewest} variables or more, got {len(found)}")
    return estimate(measure, found, method, rng, options)


def total_correlation(*variables: Any, method: str = "auto", rng: Seed = None, **options: Any) -> Estimate:
    """Estimate Σ H(X_i) - H(X_1, ..., X_d) of paired samples, all labels or all numbers.

    >>> x = np.random.default_rng(0).integers(0, 2, (300, 3))
    >>> total_correlation(x).distinguishable()
    False
    """
    return _multivariate("total_correlation", 2, variables, method, rng, options)


def dual_total_correlation(*variables: Any, method: str = "auto", rng: Seed = None, **options: Any) -> Estimate:
    """Estimate H(X) - Σ H(X_i | the others) of paired labels (of numbers with ``method="soi"``).

    >>> x = np.random.default_rng(0).integers(0, 2, 300)
    >>> round(dual_total_correlation(x, x).value, 1)
    0.7
    """
    return _multivariate("dual_total_correlation", 2, variables, method, rng, options)


def o_information(*variables: Any, method: str = "auto", rng: Seed = None, **options: Any) -> Estimate:
    """Estimate the O-information (total minus dual total correlation): positive for redundancy, negative for synergy.

    >>> x = np.random.default_rng(0).integers(0, 2, (300, 2))
    >>> o_information(x[:, 0], x[:, 1], x[:, 0] ^ x[:, 1]).value < -0.6
    True
    """
    return _multivariate("o_information", 3, variables, method, rng, options)


def interaction_information(*variables: Any, method: str = "auto", **options: Any) -> Estimate:
    """Estimate McGill's interaction information of labels; for three, I(X;Y|Z) - I(X;Y), positive for synergy.

    >>> x = np.random.default_rng(0).integers(0, 2, (300, 2))
    >>> interaction_information(x[:, 0], x[:, 1], x[:, 0] ^ x[:, 1]).value > 0.6
    True
    """
    return _multivariate("interaction_information", 2, variables, method, None, options)
