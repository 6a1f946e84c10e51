"""Benchmarks that grow: how new and how varied problems are, and a search for newer ones that pass their tests.

Source: I. Garg et al., InfoSynth, arXiv 2601.00575, 2026.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.knn import kozachenko_leonenko, log_unit_ball
from plogp.estimate.knn_divergence import knn_kl
from plogp.estimate.samples import as_samples
from plogp.measures import Estimate
from plogp.text.encoder import Encoder, unit_rows
from plogp.text.evolution import Evolution, evolve, k_farthest
from plogp.text.sandbox import run_python

__all__ = ["Evolution", "TestReport", "diversity", "evolve", "k_farthest", "novelty", "run_tests"]

Floats = npt.NDArray[np.float64]
Projection = int | Callable[[Floats], Any] | None


def novelty(
    new: Any, reference: Any, k: int = 4, *, project: Projection = None, sphere: bool | None = None, encoder: Any = None
) -> Estimate:
    r"""Return KL(new‖reference) of embeddings by k-th neighbour distances: how much lies where the reference is rare.

    Parameters
    ----------
    new, reference : array (n, d), (m, d), or sequences of str
        Points, or texts to embed.
    k : int
        Neighbours.
    project : int, callable or None
        Reduce both sets together: to this many principal components (uncentred), or by ``f(rows) -> rows``, such as
        ``umap.UMAP(n_components=5, metric="cosine").fit_transform``. Texts are reduced to 5 by default, since
        neighbours say little in hundreds of dimensions. Report several.
    sphere : bool, optional
        Scale rows to unit length (by default: texts yes, arrays no). Points on a sphere have d - 1 dimensions, and
        d - 1 is what multiplies the logarithms then; with d the divergence is too large by d/(d - 1).
    encoder : optional
        What `Encoder` takes, for texts.

    Returns
    -------
    Estimate
        In nats. The estimator smooths: it is too low where the sets differ much and d is large (0.97 of 1.0 in two
        dimensions, 1.93 of 2.5 in five, at n = m = 3,000, k = 4), and its interval does not cover that.

    Raises
    ------
    ValueError
        For too few points for k, different dimensions, NaN, or k copies of one point (remove duplicates first).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> old = rng.normal(size=(500, 2))
    >>> bool(novelty(rng.normal(2, 1, (500, 2)), old).value > 1 > novelty(rng.normal(size=(500, 2)), old).value)
    True

    References
    ----------
    Q. Wang, S. Kulkarni and S. Verdú, IEEE Transactions on Information Theory 55, 2009.
    """
    x, y, on_sphere = _points(new, reference, project, sphere, encoder)
    found = knn_kl(x, y, k=k)
    if not on_sphere:
        return found
    constant = math.log(len(y) / (len(x) - 1))
    return replace(
        (found - constant) * ((x.shape[1] - 1) / x.shape[1]) + constant, method=f"{found.method}, on the sphere"
    )


def diversity(
    x: Any, k: int = 4, *, project: Projection = None, sphere: bool | None = None, encoder: Any = None
) -> Estimate:
    """Return the differential entropy of embeddings by k-th neighbour distances (Kozachenko-Leonenko).

    It may be negative, and compares only between sets of the same size, dimension and k. Parameters as in `novelty`;
    on the sphere the entropy is with respect to its surface.

    >>> rng = np.random.default_rng(0)
    >>> bool(diversity(rng.normal(size=(500, 2))).value > diversity(0.5 * rng.normal(size=(500, 2))).value)
    True
    """
    points, _, on_sphere = _points(x, None, project, sphere, encoder)
    found = kozachenko_leonenko(points, k)
    if not on_sphere:
        return found
    d = points.shape[1]
    mean_log = (found - log_unit_ball(d) - _digammas(len(points), k)) * ((d - 1) / d)
    method = f"{found.method}, on the sphere"
    return replace(mean_log + log_unit_ball(d - 1) + _digammas(len(points), k), method=method)


def _digammas(n: int, k: int) -> float:
    from scipy.special import digamma

    return float(digamma(n) - digamma(k))


def _points(
    new: Any, reference: Any, project: Projection, sphere: bool | None, encoder: Any
) -> tuple[Floats, Floats, bool]:
    texts = _are_texts(new)
    given = [new] if reference is None else [new, reference]
    if any(_are_texts(x) is not texts for x in given):
        raise TypeError("new and reference must both be texts or both be points")
    if texts:
        network = Encoder.of(encoder)
        sets = [network.encode(x).astype(np.float64) for x in given]
        project = 5 if project is None else project
    else:
        if encoder is not None:
            raise ValueError("encoder is of use for texts only; these are points")
        sets = [as_samples(x, name) for x, name in zip(given, ("new", "reference"))]
        if len({x.shape[1] for x in sets}) > 1:
            raise ValueError(f"new has {sets[0].shape[1]} dimensions, reference {sets[1].shape[1]}; expected the same")
    on_sphere = texts if sphere is None else sphere
    joint = np.concatenate(sets)
    if isinstance(project, int):
        if not 1 <= project <= min(joint.shape):
            raise ValueError(f"project must lie in 1..{min(joint.shape)}, got {project}")
        _, vectors = np.linalg.eigh(joint.T @ joint)
        joint = joint @ vectors[:, : -project - 1 : -1]
    elif project is not None:
        joint = as_samples(project(joint), "what project returned")
        if len(joint) != sum(map(len, sets)):
            raise ValueError(f"project must return a row for each of the {sum(map(len, sets))} points")
    if on_sphere:
        if joint.shape[1] < 2:
            raise ValueError("a sphere needs at least 2 dimensions")
        joint = unit_rows(joint, "the points")
    return joint[: len(sets[0])], joint[len(sets[0]) :], on_sphere


def _are_texts(x: Any) -> bool:
    return not hasattr(x, "dtype") and len(x) > 0 and isinstance(x[0], str)


@dataclass(frozen=True)
class TestReport:
    """What `run_tests` found: whether all passed, the error of each test ("" if it passed), and what was printed."""

    passed: bool
    errors: tuple[str, ...]
    timed_out: bool
    output: str = field(repr=False, default="")

    __test__ = False  # pytest: this is no test

    @property
    def feedback(self) -> str:
        """The errors, a line a failed test, as a generator can read them."""
        return "\n".join(f"test {i + 1}: {error}" for i, error in enumerate(self.errors) if error)


_DRIVER = """
import contextlib, io, json, sys
code, tests, mark = json.loads({payload!r})
space, errors, printed = {{"__name__": "solution"}}, [], io.StringIO()
def attempt(source, name):
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, name, "exec"), space)
    except BaseException as error:
        return f"{{type(error).__name__}}: {{error}}"
    return ""
broken = attempt(code, "solution")
for number, test in enumerate(tests, 1):
    errors.append(broken or attempt(test, f"test {{number}}"))
print(mark + json.dumps([errors, printed.getvalue()[-4000:]]))
"""


def run_tests(code: str, tests: str | Sequence[str], timeout: float = 5.0, *, memory_mb: int = 256) -> TestReport:
    """Run a solution and its tests in a process of their own, with limits on time and memory (`run_python`).

    Parameters
    ----------
    code : str
        Python source of the solution.
    tests : str or sequence of str
        Python source that raises where the solution is wrong (``assert f(2) == 4``); each is run after the code, in
        its name space, and all are run even if one fails.
    timeout : float
        Seconds for all.
    memory_mb : int
        Address space.

    Notes
    -----
    The sandbox guards against runaway programs, not against attackers (see `plogp.text.sandbox`); code that sets out
    to deceive the tests, from inside the same process, can.

    Examples
    --------
    >>> report = run_tests("def double(x): return x + 2", ["assert double(2) == 4", "assert double(3) == 6"])
    >>> report.passed, report.errors
    (False, ('', 'AssertionError: '))
    """
    sources = [tests] if isinstance(tests, str) else list(tests)
    if not sources:
        raise ValueError("tests is empty; expected at least one")
    if not isinstance(code, str) or not all(isinstance(t, str) for t in sources):
        raise TypeError("code and tests must be strings of Python source")
    mark = secrets.token_hex(16)
    result = run_python(_DRIVER.format(payload=json.dumps([code, sources, mark])), seconds=timeout, memory_mb=memory_mb)
    printed = result.stdout.decode("utf-8", "replace")
    before, found, after = printed.rpartition(mark)
    if not found:
        if result.timed_out:
            why = f"took longer than {timeout:g} s"
        else:
            tail = result.stderr.decode("utf-8", "replace").strip().splitlines()
            why = f"the process ended with code {result.returncode}" + (f": {tail[-1]}" if tail else "")
        return TestReport(False, (why,) * len(sources), result.timed_out, printed)
    errors, output = json.loads(after.splitlines()[0])
    return TestReport(not any(errors), tuple(errors), False, before + output)
