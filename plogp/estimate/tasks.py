"""Distributions with known entropy, mutual information or transfer entropy, to check estimators against.

A `Task` draws samples and knows the true value. Every quantity is in nats. Mutual information does not change
under one-to-one maps of each variable, so a transformed task keeps the truth of the one it starts from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats

__all__ = [
    "Task",
    "asinh",
    "conditional_gaussian",
    "continuous_entropy",
    "cubic",
    "discrete_table",
    "gaussian",
    "gaussian_entropy_task",
    "gaussian_vector",
    "half_cube",
    "mixed_labels",
    "mixed_uniform",
    "mutual_information_tasks",
    "normal_cdf",
    "student",
    "transformed",
    "uniform_additive",
    "var_process",
    "zero_inflated_poisson",
]

Samples = tuple[Any, ...]
Draw = Callable[[int, np.random.Generator], Samples]


@dataclass(frozen=True)
class Task:
    """A sampling experiment with a known answer.

    Parameters
    ----------
    name : str
        What a table of results calls it.
    truth : float
        The true value, in nats.
    draw : callable
        ``draw(n, rng)`` returns a tuple of samples, one array a variable, to be passed to an estimator in order.
    quantity : str
        ``"mutual_information"``, ``"entropy"``, ``"conditional_mutual_information"``, ``"transfer_entropy"``.
    kinds : tuple of str
        ``"continuous"``, ``"discrete"`` or ``"mixed"``, one a variable.

    Examples
    --------
    >>> task = gaussian(rho=0.6)
    >>> round(task.truth, 4)
    0.2231
    >>> x, y = task.sample(500, rng=0)
    >>> x.shape
    (500, 1)
    """

    name: str
    truth: float
    draw: Draw = field(repr=False)
    quantity: str = "mutual_information"
    kinds: tuple[str, ...] = ("continuous", "continuous")

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> Samples:
        """Return n samples of each variable."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        return self.draw(n, np.random.default_rng(rng))


def _correlation(rho: float | None, information: float | None, d: int) -> float:
    if (rho is None) == (information is None):
        raise ValueError("give either rho or information, not both and not neither")
    if information is not None:
        if information < 0:
            raise ValueError(f"information must not be negative, got {information}")
        return math.sqrt(-math.expm1(-2 * information / d))
    assert rho is not None
    if not -1 < rho < 1:
        raise ValueError(f"rho must lie strictly between -1 and 1, got {rho}")
    return float(rho)


def _gaussian_pair(n: int, rho: float, d: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    x = rng.standard_normal((n, d))
    y = rho * x + math.sqrt(1 - rho * rho) * rng.standard_normal((n, d))
    return x, y


def gaussian(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """Two normal vectors of d components, correlated pairwise: ``I = -d/2 log(1 - rho²)``.

    Give `rho`, or the `information` that it should have.

    >>> round(gaussian(information=2.0, d=5).truth, 12)
    2.0
    """
    r = _correlation(rho, information, d)
    truth = -0.5 * d * math.log1p(-r * r)
    return Task(f"gaussian(rho={r:.3g}, d={d})", truth, lambda n, rng: _gaussian_pair(n, r, d, rng))


def transformed(
    task: Task, name: str, of_x: Callable[[Floats], Floats] | None, of_y: Callable[[Floats], Floats] | None
) -> Task:
    """The same information through one-to-one maps of x and y (None leaves a variable as it is).

    >>> transformed(gaussian(rho=0.5), "exp", np.exp, None).truth == gaussian(rho=0.5).truth
    True
    """

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x, y = task.draw(n, rng)
        return (x if of_x is None else of_x(x), y if of_y is None else of_y(y))

    return Task(f"{name} of {task.name}", task.truth, draw, task.quantity, task.kinds)


def cubic(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with y cubed."""
    return transformed(gaussian(rho, d, information=information), "cubic", None, lambda y: y**3)


def asinh(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with both variables through asinh (short tails)."""
    return transformed(gaussian(rho, d, information=information), "asinh", np.arcsinh, np.arcsinh)


def half_cube(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with both variables through ``x·sqrt|x|`` (long tails)."""

    def stretch(x: Floats) -> Floats:
        return np.asarray(x * np.sqrt(np.abs(x)))

    return transformed(gaussian(rho, d, information=information), "half_cube", stretch, stretch)


def normal_cdf(rho: float | None = None, d: int = 1, *, information: float | None = None) -> Task:
    """`gaussian` with both variables through the normal distribution function (uniform marginals)."""
    from scipy import special

    return transformed(gaussian(rho, d, information=information), "normal_cdf", special.ndtr, special.ndtr)


def student(df: float, rho: float = 0.0, d: int = 1) -> Task:
    r"""A multivariate Student law: dependent even with ``rho = 0``, through the common scale.

    The information is that of the normal law with the same correlations plus ``2 h(d) - h(2d)``, where, with
    ν = df and Γ_j, ψ_j the gamma and digamma functions at (ν + j)/2,

    .. math:: h(j) = \log\frac{Γ_0}{Γ_j} + \frac{j}{2}\log(\nu\pi) + \frac{\nu + j}{2}(ψ_j - ψ_0)

    is the entropy of a spherical Student law of j components.

    >>> round(student(df=3).truth, 4), bool(student(df=1e6).truth < 1e-5)
    (0.0424, True)

    Notes
    -----
    R. B. Arellano-Valle, J. E. Contreras-Reyes and M. G. Genton, Scandinavian Journal of Statistics 40, 2013.
    """
    from scipy import special

    if not df > 0:
        raise ValueError(f"df must be positive, got {df}")
    r = _correlation(rho, None, d)

    def entropy_part(j: int) -> float:
        # Entropy of a j-variate Student law, without the log-determinant and the terms that cancel.
        a = (df + j) / 2
        return float(
            special.gammaln(df / 2)
            - special.gammaln(a)
            + j / 2 * math.log(df * math.pi)
            + a * (special.digamma(a) - special.digamma(df / 2))
        )

    extra = 2 * entropy_part(d) - entropy_part(2 * d)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x, y = _gaussian_pair(n, r, d, rng)
        scale = np.sqrt(df / rng.chisquare(df, (n, 1)))
        return x * scale, y * scale

    return Task(f"student(df={df:g}, rho={r:.3g}, d={d})", -0.5 * d * math.log1p(-r * r) + extra, draw)


def uniform_additive(eps: float) -> Task:
    r"""``Y = X + U`` with X uniform on [0, 1] and U uniform on [-eps, eps].

    ``I = 1/(4 eps)`` for eps > 1/2, else ``eps - log(2 eps)``.

    >>> round(uniform_additive(0.5).truth, 12), round(uniform_additive(2.0).truth, 12)
    (0.5, 0.125)

    Notes
    -----
    P. Czyż, F. Grabowski, J. E. Vogt, N. Beerenwinkel and A. Marx, NeurIPS 2023, arXiv 2306.11078.
    """
    if not eps > 0:
        raise ValueError(f"eps must be positive, got {eps}")
    truth = 1 / (4 * eps) if eps > 0.5 else eps - math.log(2 * eps)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x = rng.random((n, 1))
        return x, x + rng.uniform(-eps, eps, (n, 1))

    return Task(f"uniform_additive(eps={eps:g})", truth, draw)


def mixed_uniform(m: int = 5) -> Task:
    """X uniform on the integers 0...m-1, Y uniform on [X, X + 2]: ``I = log m - (m - 1)/m · log 2``.

    >>> round(mixed_uniform(5).truth, 4)
    1.0549

    Notes
    -----
    W. Gao, S. Kannan, S. Oh and P. Viswanath, NeurIPS 2017, arXiv 1709.06212.
    """
    if m < 2:
        raise ValueError(f"m must be at least 2, got {m}")

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x = rng.integers(0, m, (n, 1))
        return x, x + rng.uniform(0, 2, (n, 1))

    truth = math.log(m) - (m - 1) / m * math.log(2)
    return Task(f"mixed_uniform(m={m})", truth, draw, kinds=("discrete", "continuous"))


def zero_inflated_poisson(p: float = 0.15) -> Task:
    """X standard exponential; Y is 0 with probability p, else Poisson with mean X (both parts unlabelled).

    The truth is integrated numerically. (The closed form in the paper named below is that of a variable that
    also tells which zeros are inflated; for p = 0.15 it is 0.256, the information of this task 0.230.)

    >>> round(zero_inflated_poisson(0.0).truth, 4)
    0.3012

    Notes
    -----
    Task: W. Gao, S. Kannan, S. Oh and P. Viswanath, NeurIPS 2017, arXiv 1709.06212.
    """
    from scipy import integrate, special

    if not 0 <= p < 1:
        raise ValueError(f"p must lie in [0, 1), got {p}")
    # Marginal: the exponential mixture of Poisson laws is geometric with ratio ½.
    counts = np.arange(0, 80)
    marginal = (1 - p) * 0.5 ** (counts + 1.0)
    marginal[0] += p
    h_y = float(-special.xlogy(marginal, marginal).sum())

    def noise(x: float) -> float:
        upto = np.arange(0, int(x + 12 * math.sqrt(x) + 30))
        law = (1 - p) * np.exp(special.xlogy(upto, x) - x - special.gammaln(upto + 1))
        law[0] += p
        return math.exp(-x) * float(-special.xlogy(law, law).sum())

    h_y_given_x = integrate.quad(noise, 0, 60, limit=400, epsabs=1e-10)[0]

    def draw(n: int, rng: np.random.Generator) -> Samples:
        x = rng.exponential(size=(n, 1))
        return x, np.where(rng.random((n, 1)) < p, 0, rng.poisson(x))

    return Task(f"zero_inflated_poisson(p={p:g})", h_y - h_y_given_x, draw, kinds=("continuous", "mixed"))


def mixed_labels(shift: float = 1.0, shares: tuple[float, ...] = (0.5, 0.5)) -> Task:
    """A class c with the given shares, and Y normal around ``shift·c`` with unit variance (integrated numerically).

    >>> round(mixed_labels(2.0).truth, 3), abs(mixed_labels(0.0).truth) < 1e-9
    (0.337, True)
    """
    from scipy import integrate, special

    weight = np.asarray(shares, dtype=np.float64)
    if not (weight > 0).all() or abs(weight.sum() - 1) > 1e-9:
        raise ValueError(f"shares must be positive and sum to 1, got {shares}")
    centre = shift * np.arange(len(weight))

    def surprise(t: float) -> float:
        density = float(weight @ np.exp(-0.5 * (t - centre) ** 2)) / math.sqrt(2 * math.pi)
        return -float(special.xlogy(density, density))

    ends = float(centre.min()) - 12, float(centre.max()) + 12
    h = integrate.quad(surprise, *ends, limit=400, epsabs=1e-11, points=sorted(set(centre.tolist())))[0]

    def draw(n: int, rng: np.random.Generator) -> Samples:
        c = rng.choice(len(weight), size=n, p=weight)
        return c, rng.standard_normal(n) + centre[c]

    truth = h - 0.5 * math.log(2 * math.pi * math.e)
    name = f"mixed_labels(shift={shift:g}, classes={len(weight)})"
    return Task(name, truth, draw, kinds=("discrete", "continuous"))


def discrete_table(joint: npt.ArrayLike) -> Task:
    """Two discrete variables with a given table of joint probabilities.

    >>> round(discrete_table([[0.5, 0.0], [0.0, 0.5]]).truth, 6)
    0.693147
    """
    from plogp.measures.information import mutual_information

    table = np.asarray(joint, dtype=np.float64)
    if table.ndim != 2 or (table < 0).any() or abs(table.sum() - 1) > 1e-9:
        raise ValueError("joint must be a 2-D table of non-negative probabilities that sum to 1")

    def draw(n: int, rng: np.random.Generator) -> Samples:
        cell = rng.choice(table.size, size=n, p=table.ravel() / table.sum())
        return cell // table.shape[1], cell % table.shape[1]

    return Task(f"discrete_table{table.shape}", float(mutual_information(table)), draw, kinds=("discrete", "discrete"))


#: One-dimensional laws with a closed-form differential entropy: a sampler and the value.
_LAWS: dict[str, tuple[Callable[[int, np.random.Generator], Floats], float]] = {
    "normal": (lambda n, rng: rng.standard_normal(n), 0.5 * math.log(2 * math.pi * math.e)),
    "uniform": (lambda n, rng: rng.random(n), 0.0),
    "exponential": (lambda n, rng: rng.exponential(size=n), 1.0),
    "laplace": (lambda n, rng: rng.laplace(size=n), 1.0 + math.log(2)),
    "logistic": (lambda n, rng: rng.logistic(size=n), 2.0),
    "cauchy": (lambda n, rng: rng.standard_cauchy(n), math.log(4 * math.pi)),
    "gumbel": (lambda n, rng: rng.gumbel(size=n), 1.0 + float(np.euler_gamma)),
}


def continuous_entropy(law: str) -> Task:
    """One column of a standard law: normal, uniform, exponential, laplace, logistic, cauchy or gumbel.

    >>> continuous_entropy("exponential").truth
    1.0
    """
    if law not in _LAWS:
        raise ValueError(f"law must be one of {sorted(_LAWS)}, got {law!r}")
    sampler, truth = _LAWS[law]
    return Task(law, truth, lambda n, rng: (sampler(n, rng),), "entropy", ("continuous",))


def gaussian_entropy_task(d: int, rho: float = 0.0) -> Task:
    """Entropy of d normal components of unit variance, all correlated by rho.

    >>> round(gaussian_entropy_task(2).truth, 4)
    2.8379
    """
    covariance = np.full((d, d), float(rho))
    np.fill_diagonal(covariance, 1.0)
    root = np.linalg.cholesky(covariance)
    truth = 0.5 * d * math.log(2 * math.pi * math.e) + float(np.log(np.diag(root)).sum())
    name = f"normal(d={d}, rho={rho:g})"
    return Task(name, truth, lambda n, rng: (rng.standard_normal((n, d)) @ root.T,), "entropy", ("continuous",))


def gaussian_vector(covariance: npt.ArrayLike, d_x: int) -> Task:
    """Two parts of one normal vector with a given covariance: the first `d_x` components and the rest.

    >>> round(gaussian_vector([[1.0, 0.6], [0.6, 1.0]], d_x=1).truth, 4)
    0.2231
    """
    sigma = np.asarray(covariance, dtype=np.float64)
    if not 0 < d_x < len(sigma):
        raise ValueError(f"d_x must lie between 1 and {len(sigma) - 1}, got {d_x}")
    root = np.linalg.cholesky(sigma)
    parts = (sigma[:d_x, :d_x], sigma[d_x:, d_x:])
    truth = 0.5 * float(sum(np.linalg.slogdet(p)[1] for p in parts) - np.linalg.slogdet(sigma)[1])

    def draw(n: int, rng: np.random.Generator) -> Samples:
        z = rng.standard_normal((n, len(sigma))) @ root.T
        return z[:, :d_x], z[:, d_x:]

    return Task(f"gaussian_vector({d_x}+{len(sigma) - d_x})", truth, draw)


def conditional_gaussian(rho: float, d_z: int = 1) -> Task:
    """X and Y that share Z (d_z normal components) and, given Z, have correlation rho.

    ``I(X; Y | Z) = -½ log(1 - rho²)``.

    >>> round(conditional_gaussian(0.6).truth, 4)
    0.2231
    """
    r = _correlation(rho, None, 1)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        z = rng.standard_normal((n, d_z))
        x, y = _gaussian_pair(n, r, 1, rng)
        common = z.sum(axis=1, keepdims=True) / math.sqrt(d_z)
        return x + common, y + common, z

    name = f"conditional_gaussian(rho={r:.3g}, d_z={d_z})"
    kinds = ("continuous",) * 3
    return Task(name, -0.5 * math.log1p(-r * r), draw, "conditional_mutual_information", kinds)


def var_process(a: float = 0.5, b: float = 0.6, sigma: float = 1.0, *, reverse: bool = False) -> Task:
    """``Y_t = a Y_{t-1} + b X_{t-1} + sigma e_t`` with white X: transfer entropy ``½ log(1 + b²/sigma²)``.

    With ``reverse=True`` source and target change places, and the truth is 0.

    >>> round(var_process().truth, 4), var_process(reverse=True).truth
    (0.1537, 0.0)
    """
    if not abs(a) < 1:
        raise ValueError(f"a must lie strictly between -1 and 1 (a stationary series), got {a}")
    truth = 0.0 if reverse else 0.5 * math.log1p((b / sigma) ** 2)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        from scipy import signal

        burn = 200 + int(20 / (1 - abs(a)))
        x = rng.standard_normal(n + burn)
        push = sigma * rng.standard_normal(n + burn)
        push[1:] += b * x[:-1]
        y = signal.lfilter([1.0], [1.0, -a], push)
        pair = x[burn:], np.asarray(y[burn:])
        return pair[::-1] if reverse else pair

    name = f"var_process(a={a:g}, b={b:g}{', reverse' if reverse else ''})"
    return Task(name, truth, draw, "transfer_entropy")


def mutual_information_tasks() -> list[Task]:
    """Return the pairs of one column each on which the interval of an estimator should hold.

    >>> len(mutual_information_tasks()) >= 10
    True
    """
    grid = [gaussian(rho) for rho in (0.0, 0.3, 0.6, 0.9)]
    maps = [make(0.6) for make in (cubic, asinh, half_cube, normal_cdf)]
    return [*grid, *maps, student(3), student(5, 0.5), uniform_additive(0.5), uniform_additive(1.0)]
