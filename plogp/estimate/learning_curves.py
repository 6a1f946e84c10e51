"""Epiplexity: how much structure, and how much of what looks random, a bounded learner finds, over compute.

Training runs (`prequential`, `requential`) each say how long their model's code is and what loss it buys. Which of
them is the best two-part code depends on the compute at hand, and that gives the curves of `epiplexity`; a fitted
`ScalingLaw` gives them in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.code_lengths import LearningCurve, prequential, requential
from plogp.estimate.samples import Floats
from plogp.measures.uncertainty import Estimate

__all__ = [
    "EpiplexityCurve",
    "EpiplexityPoint",
    "LearningCurve",
    "ScalingLaw",
    "epiplexity",
    "prequential",
    "requential",
]


@dataclass(frozen=True)
class EpiplexityPoint:
    """S (structure), H (what looks random) and their sum, in nats, at a compute budget T."""

    T: float
    S: float
    H: float
    parameters: float
    tokens: float
    label: str = ""

    @property
    def total(self) -> float:
        """S + H."""
        return self.S + self.H


@dataclass(frozen=True, eq=False)
class EpiplexityCurve:
    """Epiplexity S, time-bounded entropy H and their sum over the compute T at which the best two-part code changes.

    Attributes
    ----------
    T, S, H : arrays, shape (c,)
        T increases and S + H decreases; between two T, and after the last, the values hold.
    parameters, tokens : arrays, shape (c,)
        Model size and training tokens of the chosen runs.
    labels : list of str
    d_test : float
    method : str
    runs : list of LearningCurve
        All runs, for the plot.
    """

    T: Floats
    S: Floats
    H: Floats
    parameters: Floats
    tokens: Floats
    labels: list[str]
    d_test: float
    method: str
    runs: Sequence[LearningCurve] = field(repr=False, default=())

    @property
    def total(self) -> Floats:
        """S + H."""
        return self.S + self.H

    def at(self, T: float) -> EpiplexityPoint:
        """Return the best two-part code that a compute budget T can pay for.

        Raises
        ------
        ValueError
            If T pays for none of the runs.
        """
        i = int(np.searchsorted(self.T, T, side="right")) - 1
        if i < 0:
            raise ValueError(f"the cheapest run needs T = {self.T[0]:.4g}, got {T:.4g}")
        found = [float(v[i]) for v in (self.S, self.H, self.parameters, self.tokens)]
        return EpiplexityPoint(float(T), found[0], found[1], found[2], found[3], self.labels[i])

    def plot(self, axes: Any = None) -> Any:
        """Draw S + H (with all runs), S and H over compute. Needs matplotlib.

        Parameters
        ----------
        axes : three matplotlib axes, optional
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        if axes is None:
            axes = plt.subplots(1, 3, figsize=(11, 3.2), sharex=True, layout="constrained")[1]
        for run in self.runs:
            compute = run.compute(self.d_test)
            axes[0].plot(compute, run.code + run.loss * self.d_test, color="grey", linewidth=0.6, alpha=0.6)
        end = max([self.T[-1], *(run.compute(self.d_test)[-1] for run in self.runs)])
        for ax, name, values in zip(axes, ("S + H", "S", "H"), (self.total, self.S, self.H)):
            ax.step([*self.T, end], [*values, values[-1]], where="post", linewidth=2)
            ax.set(xscale="log", xlabel="compute (FLOP)", ylabel=f"{name} in nats")
        return axes


def epiplexity(
    runs: Sequence[LearningCurve | Estimate], d_test: float, method: str = "preq", *, tol: float = 0.02
) -> EpiplexityCurve:
    r"""Return epiplexity S and time-bounded entropy H of data over compute, from training runs of several sizes.

    For every budget T the run and checkpoint is chosen that minimises

    .. math:: |P| + L \cdot D_{test} \quad\text{subject to}\quad 6 N D + 2 N D_{test} \le T,

    where \|P\| is the length of the model (see `prequential`, `requential`), L its loss and D its tokens; then S_T is
    \|P\| and H_T is L·D_test. This stands in for the minimum over all programs that run in time T: it is an upper
    bound over the networks tried, from a heuristic area ("preq") or a decodable code ("req"). Only differences
    between data sets at equal T and equal D_test mean something.

    Parameters
    ----------
    runs : list of LearningCurve, or of Estimates by `prequential` or `requential`
        Of several model sizes on the same data.
    d_test : float
        D_test, tokens that the model is to code.
    method : {"preq", "req"}
        Which code the runs must carry.
    tol : float
        A costlier code is chosen only if it is shorter by this share, which keeps noise from moving the choice.

    Returns
    -------
    EpiplexityCurve

    Raises
    ------
    ValueError
        For no runs, a d_test that is not positive, or runs of the other kind.

    Examples
    --------
    >>> small = LearningCurve([1e3, 1e4, 1e5], [0.69, 0.50, 0.49], parameters=10, label="small")
    >>> large = LearningCurve([1e3, 1e4, 1e5], [0.69, 0.45, 0.30], parameters=1000, label="large")
    >>> curve = epiplexity([small, large], d_test=1e6)
    >>> curve.at(3e7).label, curve.at(1e12).label
    ('small', 'large')

    Notes
    -----
    M. Finzi, S. Qiu, Y. Jiang, P. Izmailov, J. Z. Kolter and A. G. Wilson, From Entropy to Epiplexity, arXiv
    2601.03220. The released code thins the choices to a lower convex hull; here every minimum is kept.
    """
    if method not in ("preq", "req"):
        raise ValueError(f"method must be 'preq' or 'req', got {method!r}")
    if not (math.isfinite(d_test) and d_test > 0):
        raise ValueError(f"d_test must be a positive number, got {d_test!r}")
    if not 0 <= tol < 1:
        raise ValueError(f"tol must lie in [0, 1), got {tol!r}")
    curves = [_curve_of(r) for r in runs]
    if not curves:
        raise ValueError("runs is empty")
    if odd := [c.label for c in curves if c.kind != method]:
        raise ValueError(f"method={method!r} needs runs of that kind; these are not: {', '.join(map(repr, odd))}")
    table = np.concatenate(
        [
            np.column_stack([c.compute(d_test), c.code, c.loss * d_test, np.full(c.code.size, i), c.tokens])
            for i, c in enumerate(curves)
        ]
    )
    table = table[np.lexsort((table[:, 1] + table[:, 2], table[:, 0]))]
    total, best = table[:, 1] + table[:, 2], math.inf
    chosen: list[int] = []
    for i, value in enumerate(total):
        if value < best - tol * abs(best) or not chosen:
            best = value
            chosen.append(i)
    front = table[chosen]
    who = front[:, 3].astype(int)
    sizes = np.array([curves[i].parameters for i in who])
    names = [curves[i].label for i in who]
    return EpiplexityCurve(front[:, 0], front[:, 1], front[:, 2], sizes, front[:, 4], names, d_test, method, curves)


def _curve_of(run: Any) -> LearningCurve:
    found = run.diagnostics.get("curve") if isinstance(run, Estimate) else run
    if not isinstance(found, LearningCurve):
        raise TypeError(f"runs must hold LearningCurves or Estimates of prequential or requential, got {type(run)}")
    return found


@dataclass(frozen=True)
class ScalingLaw:
    r"""Loss of a model of N parameters after D tokens: ``L(N, D) = E + (N0/N)^a + (D0/D)^b``, in nats a token.

    Parameters
    ----------
    E : float
        Loss that no model undercuts.
    N0, a, D0, b : float
        Positive. For the area under the curve b must be below 1.

    Examples
    --------
    >>> law = ScalingLaw(E=1.0, N0=1.0, a=0.5, D0=2.0, b=0.3)
    >>> round(float(law.area(1e6)), 4)
    8362.4246
    >>> point = law.epiplexity(T=1e15, d_test=1e8)
    >>> 0 < point.S < point.H, 6 * point.parameters * point.tokens + 2 * point.parameters * 1e8 <= 1.000001e15
    (True, True)

    Notes
    -----
    J. Hoffmann et al., arXiv 2203.15556 (the form); its use here: Finzi et al., arXiv 2601.03220.
    """

    E: float
    N0: float
    a: float
    D0: float
    b: float

    def __post_init__(self) -> None:
        for name in ("N0", "a", "D0", "b"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a positive number, got {getattr(self, name)!r}")
        if not (math.isfinite(self.E) and self.E >= 0):
            raise ValueError(f"E must be a number >= 0, got {self.E!r}")

    def loss(self, N: Any, D: Any) -> Any:
        """Return L(N, D)."""
        N, D = np.asarray(N, dtype=np.float64), np.asarray(D, dtype=np.float64)
        return self.E + (self.N0 / N) ** self.a + (self.D0 / D) ** self.b

    def area(self, D: Any) -> Any:
        r"""Return :math:`\int_0^D [L(N, D') - L(N, D)]\,dD' = \frac{b}{1-b} D_0^b D^{1-b}`, for any N.

        Raises
        ------
        ValueError
            If b >= 1, where the area is infinite.
        """
        if self.b >= 1:
            raise ValueError(f"the area under the curve is infinite for b >= 1, got b = {self.b}")
        return self.b / (1 - self.b) * self.D0**self.b * np.asarray(D, dtype=np.float64) ** (1 - self.b)

    def epiplexity(self, T: float, d_test: float) -> EpiplexityPoint:
        r"""Return S and H of the best two-part code at compute T: N and D minimise the area plus L·d_test.

        On the budget :math:`6ND + 2N D_{test} = T` one number is left to choose; with D_test tokens to code it never
        pays to learn from more than D_test, so the minimum is sought over D below that.
        """
        for name, value in (("T", T), ("d_test", d_test)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value!r}")
        from scipy import optimize

        def total(log_d: Any) -> Any:
            D = np.exp(log_d)
            return self.area(D) + d_test * self.loss(T / (6 * D + 2 * d_test), D)

        grid = math.log(d_test) + np.linspace(-40.0, 0.0, 801)
        i = int(np.argmin(total(grid)))
        ends = float(grid[max(i - 1, 0)]), float(grid[min(i + 1, 800)])
        D = math.exp(optimize.minimize_scalar(total, bounds=ends, method="bounded", options={"xatol": 1e-12}).x)
        N = T / (6 * D + 2 * d_test)
        return EpiplexityPoint(float(T), float(self.area(D)), float(self.loss(N, D)) * d_test, N, D)

    @classmethod
    def fit(cls, N: npt.ArrayLike, D: npt.ArrayLike, L: npt.ArrayLike) -> ScalingLaw:
        """Return the law that fits losses best, in least squares of log L, robust to outliers (Huber).

        Parameters
        ----------
        N, D, L : arrays of equal length
            Parameters, tokens and losses of at least 6 runs, with several N and several D.

        Examples
        --------
        >>> law = ScalingLaw(1.7, 400.0, 0.34, 1000.0, 0.28)
        >>> N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)))
        >>> abs(ScalingLaw.fit(N, D, law.loss(N, D)).E - 1.7) < 1e-4
        True
        """
        n, d, loss = (np.asarray(v, dtype=np.float64).ravel() for v in (N, D, L))
        if not len(n) == len(d) == len(loss):
            raise ValueError(f"N, D and L must have equal lengths, got {len(n)}, {len(d)} and {len(loss)}")
        if len(loss) < 6 or len(np.unique(n)) < 2 or len(np.unique(d)) < 2:
            raise ValueError("a fit needs at least 6 runs, with several N and several D")
        if not all(np.isfinite(v).all() and (v > 0).all() for v in (n, d, loss)):
            raise ValueError("N, D and L must be positive numbers")
        from scipy import optimize

        log_n, log_d, log_l = np.log(n), np.log(d), np.log(loss)

        def gap(p: Floats) -> Floats:
            parts = [np.full(len(loss), p[0]), p[1] - np.exp(p[2]) * log_n, p[3] - np.exp(p[4]) * log_d]
            return np.asarray(np.logaddexp.reduce(parts) - log_l)

        best: Any = None
        for share in (0.3, 0.7, 0.95):
            for a in (0.2, 0.5):
                for b in (0.2, 0.5):
                    rest = math.log((1 - share) * loss.min() / 2)
                    middle = np.log(share * loss.min()), a * log_n.mean(), b * log_d.mean()
                    start = [middle[0], rest + middle[1], math.log(a), rest + middle[2], math.log(b)]
                    found = optimize.least_squares(gap, start, loss="huber", f_scale=1e-3, max_nfev=2000, xtol=1e-15)
                    if best is None or found.cost < best.cost:
                        best = found
        a, b = math.exp(best.x[2]), math.exp(best.x[4])
        return cls(math.exp(best.x[0]), math.exp(best.x[1] / a), a, math.exp(best.x[3] / b), b)
