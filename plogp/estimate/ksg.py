"""Mutual information and total correlation by nearest neighbours (Kraskov, Stögbauer, Grassberger)."""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.knn import knn_error, no_duplicates
from plogp.estimate.neighbours import (
    Marginal,
    SortedColumn,
    in_parallel,
    nearest,
    threads,
)
from plogp.estimate.samples import (
    TIE_NOISE,
    Floats,
    as_samples,
    check_neighbours,
    check_same_length,
    jittered,
    repeats,
    rescaled,
    tie_generator,
)
from plogp.measures.uncertainty import Estimate

__all__ = ["digamma_table", "ksg", "nothing_shared", "pairwise_ksg", "total_correlation_ksg"]


def digamma_table(n: int) -> Floats:
    """Return ψ(1), ..., ψ(n) at the positions 1 to n (position 0 holds -inf): a look-up beats n evaluations.

    >>> digamma_table(2).round(6)
    array([     -inf, -0.577216,  0.422784])
    """
    table = np.empty(n + 1)
    table[0] = -np.inf
    table[1:] = -np.euler_gamma
    table[2:] += np.cumsum(1.0 / np.arange(1, n))
    return table


def nothing_shared(n: int, method: str, constant: list[str]) -> Estimate:
    """The information of a constant variable: exactly 0, without error."""
    note = f"{' and '.join(constant)} is constant, so the information is exactly 0"
    return Estimate(0.0, 0.0, n, method, terms=np.zeros(n), diagnostics={"note": note})


def constant_names(**named: Floats) -> list[str]:
    """Names of the samples whose rows are all equal."""
    return [name for name, x in named.items() if not np.ptp(x, axis=0).any()]


def ksg(
    x: Any,
    y: Any,
    k: int = 4,
    *,
    variant: int = 1,
    scale: str | None = "standard",
    jitter: float | None = None,
    rng: np.random.Generator | int | None = None,
    workers: int = -1,
    device: str | None = None,
) -> Estimate:
    r"""Mutual information of two continuous variables by nearest neighbours (KSG).

    .. math::
        \hat I_1 = \psi(k) + \psi(n) - \langle \psi(n_x + 1) + \psi(n_y + 1) \rangle, \qquad
        \hat I_2 = \psi(k) - 1/k + \psi(n) - \langle \psi(n_x) + \psi(n_y) \rangle.

    Variant 1 counts, in each marginal space, the points strictly nearer than the k-th neighbour of the joint
    space (maximum norm); variant 2 counts those within the extent of the k neighbours along each variable.

    Suitable for continuous variables of a few dimensions with a density. Prefer `gao` where values repeat or
    parts are discrete, `ross` where one variable is a class, `gaussian_mutual_information` where both are
    normal.

    Parameters
    ----------
    x, y : array, shape (n,) or (n, d)
        Paired samples as rows.
    k : int
        Neighbours; 3 to 5 for a value, larger (n / 10 and more) for a test of independence.
    variant : {1, 2}
        The two estimators of the paper. 1 has the smaller error, 2 the smaller bias in high dimension.
    scale : {"standard", "rank", None}
        How the axes are made comparable before the joint norm (the information does not change). ``"rank"``
        (normal scores) costs two sorts and is the better choice for heavy tails: it makes the estimate invariant
        under increasing maps of each column.
    jitter, rng
        Uniform noise of this many standard deviations that breaks ties. None: 1e-10 where values of one column
        repeat (rounded data; counts would be too small there and the estimate too high), from a fixed seed unless
        `rng` is given, and stated in ``diagnostics``. Whole rows that repeat k times are refused all the same. 0:
        never.
    workers : int
        Threads, -1 for all cores.
    device : str, optional
        PyTorch device for exact brute force, such as ``"cuda"``.

    Returns
    -------
    Estimate
        In nats; small negative values keep their sign. ``diagnostics`` holds the share of repeated values. A
        constant variable has 0 information, exactly. The interval is normal with the error of `knn_error`
        (for two columns and n <= 1000 at least that of `leave_one_out_error`); nominal 95 % intervals cover
        92 to 98 % for normal pairs with |rho| <= 0.9, n = 200 to 2000, and, with ``scale="rank"``, for their
        one-to-one maps and Student pairs of 3 and more degrees of freedom. They do not hold:

        - for heavy tails with ``scale="standard"`` (bivariate Cauchy: 4 to 14 %; with ranks 86 to 93 %);
        - for densities with sharp edges at small n (x uniform, y = x + uniform noise: 77 % at n = 200);
        - in more dimensions unless dependence is weak, and near functional dependence: the estimate is then
          too low (normal, 2+2 columns, rho 0.9, n 500: by 0.11 of 1.66, coverage 31 %; rho 0.3: 93 %).

    Raises
    ------
    ValueError
        If lengths differ, n <= k, NaN is present, or a k-th neighbour is at distance 0 (repeated rows).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(1000)
    >>> y = 0.6 * x + 0.8 * rng.standard_normal(1000)            # I = 0.223
    >>> e = ksg(x, y)
    >>> low, high = e.interval(0.95)
    >>> low < 0.223 < high
    True

    Notes
    -----
    A. Kraskov, H. Stögbauer and P. Grassberger, Physical Review E 69, 2004, arXiv cond-mat/0305641.
    """
    return _ksg(
        {"x": as_samples(x, "x"), "y": as_samples(y, "y")}, k, variant, scale, jitter, rng, workers, device, "ksg"
    )


def total_correlation_ksg(
    *variables: Any,
    k: int = 4,
    variant: int = 1,
    scale: str | None = "standard",
    jitter: float | None = None,
    rng: np.random.Generator | int | None = None,
    workers: int = -1,
    device: str | None = None,
) -> Estimate:
    r"""Total correlation ``sum h(X_i) - h(X_1, ..., X_m)`` of m continuous variables by nearest neighbours.

    .. math:: \hat T_1 = \psi(k) + (m-1)\psi(n) - \langle \psi(n_1 + 1) + \dots + \psi(n_m + 1) \rangle

    (and with ``-(m-1)/k`` and closed counts in variant 2). A single array of m columns stands for m variables.

    Parameters
    ----------
    *variables : arrays, shape (n,) or (n, d)
        At least two variables, or one array whose columns are the variables.
    k, variant, scale, jitter, rng, workers, device
        As in `ksg`.

    Returns
    -------
    Estimate
        In nats, as in `ksg`.

    Examples
    --------
    >>> x = np.random.default_rng(0).multivariate_normal([0, 0, 0], np.eye(3) * 0.2 + 0.8, 1000)
    >>> abs(total_correlation_ksg(x).value - 1.1317) < 0.15
    True

    Notes
    -----
    A. Kraskov, H. Stögbauer and P. Grassberger, Physical Review E 69, 2004, arXiv cond-mat/0305641.
    """
    if len(variables) == 1:
        columns = as_samples(variables[0], "variables")
        named = {f"column {j}": np.ascontiguousarray(columns[:, j : j + 1]) for j in range(columns.shape[1])}
    else:
        named = {f"variable {j}": as_samples(v, f"variable {j}") for j, v in enumerate(variables)}
    if len(named) < 2:
        raise ValueError(f"total correlation needs at least two variables, got {len(named)}")
    return _ksg(named, k, variant, scale, jitter, rng, workers, device, "total_correlation_ksg")


def _ksg(
    named: dict[str, Floats],
    k: int,
    variant: int,
    scale: str | None,
    jitter: float | None,
    rng: np.random.Generator | int | None,
    workers: int,
    device: str | None,
    called: str,
) -> Estimate:
    if variant not in (1, 2):
        raise ValueError(f"variant must be 1 or 2, got {variant!r}")
    n = check_same_length(**named)
    k = check_neighbours(k, n)
    method = f"{called}{variant}(k={k})" if called == "ksg" else f"{called}(k={k}, variant={variant})"
    constant = constant_names(**named)
    if len(named) - len(constant) < 2:
        return nothing_shared(n, method, constant)
    named = {name: x for name, x in named.items() if name not in constant}
    generator = tie_generator(rng)
    spaces = {name: rescaled(jittered(x, jitter, generator), scale) for name, x in named.items()}
    diagnostics: dict[str, Any] = {
        "k": k,
        "variant": variant,
        "scale": scale,
        "jitter": jitter or 0.0,
        "device": device or "cpu",
        "error": "knn_error",
    }
    if constant:
        diagnostics["note"] = f"{' and '.join(constant)} is constant and adds nothing"
    blocks = list(spaces.values())
    terms, repeated = _terms(blocks, k, variant, workers, device)
    diagnostics["repeated_values"] = dict(zip(spaces, repeated))
    if jitter is None and any(share for share in repeated):
        # Strict counts leave out the ties at exactly the neighbour's distance, of which there should be half.
        blocks = [rescaled(jittered(x, TIE_NOISE, generator), scale) for x in named.values()]
        terms, _ = _terms(blocks, k, variant, workers, device)
        diagnostics |= {"jitter": TIE_NOISE, "ties": "values repeat; ties are broken by noise of 1e-10 sd"}
    se = knn_error(terms, k)
    if small_pair(blocks, k):
        again = leave_one_out_error(blocks[0][:, 0], blocks[1][:, 0], k)
        if again > se:
            se, diagnostics["error"] = again, "leave_one_out_error"
    return Estimate(float(terms.mean()), se, n, method, terms=terms, diagnostics=diagnostics)


def _terms(
    blocks: list[Floats], k: int, variant: int, workers: int, device: str | None
) -> tuple[Floats, list[float | None]]:
    """Local values of the information, whose mean is the estimate, and the share of repeats in each block."""
    n, m = len(blocks[0]), len(blocks)
    psi = digamma_table(n)
    # The tree is built on one thread; the columns are sorted on others meanwhile.
    near, *spaces = in_parallel(
        [
            partial(nearest, np.hstack(blocks), k, workers=workers, device=device, only_kth=variant == 1),
            *(partial(Marginal, b, max(1, threads(workers, n) // m), device) for b in blocks),
        ],
        workers,
        n,
    )
    no_duplicates(near.radius, "the joint sample", k)
    if variant == 1:
        counts = in_parallel([partial(s.count, near.radius) for s in spaces], workers, n)
        terms = psi[k] + (m - 1) * psi[n] - sum((psi[c + 1] for c in counts), np.zeros(n))
    else:
        reach = [np.abs(b[near.ids] - b[:, None]).max(axis=(1, 2)) for b in blocks]
        counts = in_parallel([partial(s.count, r, True) for s, r in zip(spaces, reach)], workers, n)
        terms = psi[k] - (m - 1) / k + (m - 1) * psi[n] - sum((psi[c] for c in counts), np.zeros(n))
    return terms, [s.repeated for s in spaces]


#: Up to this many samples the second pass costs milliseconds and widens the interval where it should.
LEAVE_ONE_OUT_UP_TO = 1000
#: What leave-one-out overstates of the noise of neighbour distances, in units of the trigamma of k: measured on
#: independent columns, n (Var_leave_one_out - Var) / ψ₁(k) = 2.3 to 2.5 for k = 2...10 and large n. (For k = 1,
#: and at small n, less: then too much is taken off, and `knn_error`, the floor, decides.)
LEAVE_ONE_OUT_EXCESS = 2.4


def small_pair(blocks: list[Floats], k: int) -> bool:
    """Whether `leave_one_out_error` applies: two columns, few enough samples for a second pass to be nothing."""
    return [b.shape[1] for b in blocks] == [1, 1] and k + 1 < len(blocks[0]) <= LEAVE_ONE_OUT_UP_TO


def leave_one_out_error(x: Floats, y: Floats, k: int) -> float:
    """Return a standard error of KSG-1 on two columns from what each point changes when it is left out.

    Leaving a point out moves the radii of those that had it as a neighbour and the counts of those that had
    it in their strips. All n recomputations come out of one pass: the first kind needs neighbour k + 1 only,
    the second is a sum over strips, done by a running total along each sorted column. The spread of these
    changes sees the whole influence of a point, also where strong dependence makes the local values too even;
    it overstates the noise of the neighbour distances by an amount that depends on k alone and is taken off.
    """
    n = len(x)
    near = nearest(np.column_stack([x, y]), k + 1, workers=1)
    radius, wider = near.distances[:, k - 1], near.distances[:, k]
    psi = digamma_table(n)
    influence = np.zeros(n)
    local = np.zeros(n)
    gain = np.zeros((n, k))
    neighbours = near.ids[:, :k]
    for u in (x, y):
        column = SortedColumn(u)
        low, high = column.span(radius[column.order])
        count = column.count(radius)
        weight = 1.0 / np.maximum(count, 1)
        strip = np.zeros(n + 1)
        np.add.at(strip, np.minimum(low, high), weight[column.order])
        np.add.at(strip, high, -weight[column.order])
        influence[column.order] -= np.cumsum(strip[:n])
        influence += weight
        local -= psi[count + 1]
        inside = np.abs(u[neighbours] - u[:, None]) < radius[:, None]
        gain += (psi[np.maximum(column.count(wider), 1)] - psi[count + 1])[:, None] + inside * weight[:, None]
    influence += local + np.bincount(neighbours.ravel(), gain.ravel(), n)
    from scipy import special

    trigamma = float(special.polygamma(1, k))
    excess = trigamma * LEAVE_ONE_OUT_EXCESS
    return math.sqrt(max(float(np.var(influence, ddof=1)) - excess, 0.0) / n)


def pairwise_ksg(
    x: Any,
    k: int = 4,
    *,
    scale: str | None = "standard",
    jitter: float | None = None,
    rng: np.random.Generator | int | None = None,
    n_jobs: int = -1,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mutual information of every pair of columns by KSG-1, and the standard errors, in parallel.

    Each column is rescaled and sorted once and shared by all its pairs; pairs run through joblib (threads), so
    a joblib backend such as Dask's takes them further.

    Parameters
    ----------
    x : array, shape (n, c)
        The columns are the variables.
    k, scale, jitter, rng
        As in `ksg`.
    n_jobs : int
        As joblib means it: -1 for all cores.

    Returns
    -------
    values, errors : arrays, shape (c, c)
        In nats, symmetric. The diagonal is inf (a continuous variable determines itself) with error 0;
        constant columns have 0 with all others and on the diagonal.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 3))
    >>> x[:, 2] += x[:, 0]
    >>> values, errors = pairwise_ksg(x)
    >>> bool(values[0, 2] > 0.25), bool(abs(values[0, 1]) < 3 * errors[0, 1])
    (True, True)

    Notes
    -----
    A. Kraskov, H. Stögbauer and P. Grassberger, Physical Review E 69, 2004, arXiv cond-mat/0305641.
    """
    from joblib import Parallel, delayed

    samples = as_samples(x)
    n, c = samples.shape
    if c < 2:
        raise ValueError(f"x must have at least two columns, got {c}")
    k = check_neighbours(k, n)
    varies = np.ptp(samples, axis=0) > 0
    if jitter is None and repeats(samples[:, varies]) > 0:
        jitter = TIE_NOISE  # ties, as in `ksg`
    columns = rescaled(jittered(samples, jitter, tie_generator(rng)), scale)
    order = [SortedColumn(np.ascontiguousarray(columns[:, j])) for j in range(c)]
    psi = digamma_table(n)

    def pair(i: int, j: int) -> tuple[float, float]:
        joint = np.ascontiguousarray(columns[:, [i, j]])
        radius = nearest(joint, k, workers=1, only_kth=True).radius
        no_duplicates(radius, f"columns {i} and {j} together", k)
        local = psi[k] + psi[n] - psi[order[i].count(radius) + 1] - psi[order[j].count(radius) + 1]
        se = knn_error(local, k)
        if k + 1 < n <= LEAVE_ONE_OUT_UP_TO:
            se = max(se, leave_one_out_error(joint[:, 0], joint[:, 1], k))
        return float(local.mean()), se

    pairs = [(i, j) for i, j in combinations(range(c), 2) if varies[i] and varies[j]]
    found = Parallel(n_jobs=n_jobs, prefer="threads")(delayed(pair)(i, j) for i, j in pairs)
    values, errors = np.zeros((c, c)), np.zeros((c, c))
    values[varies, varies] = np.inf
    for (i, j), (value, se) in zip(pairs, found):
        values[i, j] = values[j, i] = value
        errors[i, j] = errors[j, i] = se
    return values, errors
