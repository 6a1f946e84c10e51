"""Mixtures of normal laws: dependence that no correlation shows, with the truth integrated numerically."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats
from plogp.estimate.tasks.base import Samples, Task, transformed
from plogp.estimate.tasks.maps import spiralled
from plogp.estimate.tasks.vectors import latent_correlation

__all__ = [
    "ai_shape",
    "concentric",
    "galaxy",
    "gaussian_mixture",
    "multinormal_with_inliers",
    "v_shape",
    "waves",
    "x_shape",
]

#: Points of a Monte-Carlo truth, and its seed.
DRAWS, SEED = 400_000, 20231018
#: The integration grid of each component: half width and step in its standard deviations, by the number of axes.
GRIDS = {2: (9.0, 0.05), 3: (8.0, 0.25)}


class _Mixture:
    """A mixture of normal laws of (x, y), and its pointwise information."""

    def __init__(self, means: npt.ArrayLike, covariances: npt.ArrayLike, weights: npt.ArrayLike | None, d_x: int):
        self.means = np.asarray(means, dtype=np.float64)
        self.covariances = np.asarray(covariances, dtype=np.float64)
        if self.means.ndim != 2 or self.covariances.shape != (*self.means.shape, self.means.shape[1]):
            raise ValueError(
                "means must have shape (components, d) and covariances (components, d, d), got "
                f"{self.means.shape} and {self.covariances.shape}"
            )
        count, d = self.means.shape
        if not 0 < d_x < d:
            raise ValueError(f"d_x must lie between 1 and {d - 1}, got {d_x}")
        self.weights = np.full(count, 1 / count) if weights is None else np.asarray(weights, dtype=np.float64)
        if self.weights.shape != (count,) or not (self.weights > 0).all() or abs(self.weights.sum() - 1) > 1e-9:
            raise ValueError(f"weights must be {count} positive numbers that sum to 1, got {weights!r}")
        try:
            self.roots = np.linalg.cholesky(self.covariances)
        except np.linalg.LinAlgError as error:
            raise ValueError("every covariance must be positive definite") from error
        self.d_x = d_x

    def draw(self, n: int, rng: np.random.Generator) -> Samples:
        component = rng.choice(len(self.weights), size=n, p=self.weights)
        z = rng.standard_normal((n, self.means.shape[1]))
        points = self.means[component] + np.einsum("nij,nj->ni", self.roots[component], z)
        return points[:, : self.d_x], points[:, self.d_x :]

    def log_density(self, points: Floats, axes: slice) -> Floats:
        """Return the log-density of the margin over some axes, up to the normalising power of 2π."""
        from scipy import special

        logs = np.empty((len(self.weights), len(points)))
        for k, (mean, covariance) in enumerate(zip(self.means, self.covariances)):
            root = np.linalg.cholesky(covariance[axes, axes])
            z = (points[:, axes] - mean[axes]) @ np.linalg.inv(root).T
            logs[k] = math.log(self.weights[k]) - np.log(np.diag(root)).sum() - 0.5 * np.einsum("ni,ni->n", z, z)
        return np.asarray(special.logsumexp(logs, axis=0))

    def pointwise(self, points: Floats) -> Floats:
        """Return log p(x, y) - log p(x) - log p(y); the powers of 2π cancel."""
        whole, x, y = (slice(0, None), slice(0, self.d_x), slice(self.d_x, None))
        return self.log_density(points, whole) - self.log_density(points, x) - self.log_density(points, y)

    def integrated(self) -> float:
        """Return the mean of the pointwise information: a sum over a regular grid around each component.

        For a smooth function that dies out at both ends the error of such a sum falls faster than any power
        of the step.
        """
        d = self.means.shape[1]
        half, step = GRIDS[d]
        axis = np.arange(-half, half + step / 2, step)
        mass = np.exp(-0.5 * axis**2)
        mass /= mass.sum()
        grid = np.stack(np.meshgrid(*[axis] * d, indexing="ij"), -1).reshape(-1, d)
        share = np.prod(np.stack(np.meshgrid(*[mass] * d, indexing="ij"), -1).reshape(-1, d), axis=1)
        grid, share = grid[share > 1e-18], share[share > 1e-18]
        return sum(
            float(weight * share @ self.pointwise(mean + grid @ root.T))
            for weight, mean, root in zip(self.weights, self.means, self.roots)
        )

    def sampled(self) -> tuple[float, float]:
        """Return the mean of the pointwise information over a large sample, and its standard error."""
        rng = np.random.default_rng(SEED)
        local = np.concatenate([self.pointwise(np.hstack(self.draw(DRAWS // 8, rng))) for _ in range(8)])
        return float(local.mean()), float(local.std(ddof=1) / math.sqrt(len(local)))


def gaussian_mixture(
    means: npt.ArrayLike,
    covariances: npt.ArrayLike,
    d_x: int,
    *,
    weights: npt.ArrayLike | None = None,
    name: str | None = None,
) -> Task:
    r"""Two parts of a vector from a mixture of normal laws: the first `d_x` components and the rest.

    .. math:: I(X;Y) = E \log\frac{p(X, Y)}{p(X)\,p(Y)},

    with all three densities mixtures of normal ones. In two and three dimensions altogether the mean is
    integrated on a grid around each component (the error is below 1e-6 unless components differ in width by
    more than about 20); in more it is averaged over 400,000 draws, and `truth_se` says how well that is known.

    Parameters
    ----------
    means : array, shape (components, d)
    covariances : array, shape (components, d, d)
    d_x : int
        How many of the d components are x.
    weights : array, shape (components,), optional
        Shares of the components; equal by default.
    name : str, optional

    Raises
    ------
    ValueError
        For shapes that do not fit, weights that are no probabilities, or a covariance that is none.

    Examples
    --------
    >>> task = gaussian_mixture([[-2, -2], [2, 2]], [np.eye(2) / 4] * 2, d_x=1)   # almost one bit
    >>> round(task.truth, 4)
    0.693

    Notes
    -----
    P. Czyż, F. Grabowski, J. E. Vogt, N. Beerenwinkel and A. Marx, 2023, arXiv 2310.10240.
    """
    law = _Mixture(means, covariances, weights, d_x)
    count, d = law.means.shape
    truth, se = (law.integrated(), 0.0) if d in GRIDS else law.sampled()
    return Task(name or f"gaussian_mixture({count}, {d_x}+{d - d_x})", truth, law.draw, truth_se=se)


def _pair(var_x: float, var_y: float, rho: float = 0.0) -> list[list[float]]:
    shared = rho * math.sqrt(var_x * var_y)
    return [[var_x, shared], [shared, var_y]]


def x_shape(rho: float = 0.9) -> Task:
    """An X: two normal laws with correlations rho and -rho, so that there is no correlation in all.

    >>> round(x_shape().truth, 4)
    0.4084
    """
    return gaussian_mixture(np.zeros((2, 2)), [_pair(1, 1, rho), _pair(1, 1, -rho)], 1, name=f"x_shape(rho={rho:g})")


def v_shape(rho: float = 0.95) -> Task:
    """A V: the left arm falls (correlation -rho), the right arm rises (rho), and there is no correlation in all.

    >>> round(v_shape().truth, 4)
    1.0589
    """
    means = [[-1.5, 0.0], [1.5, 0.0]]
    return gaussian_mixture(means, [_pair(1, 1, -rho), _pair(1, 1, rho)], 1, name=f"v_shape(rho={rho:g})")


def ai_shape() -> Task:
    """The letters A and I, drawn by three normal laws each.

    >>> round(ai_shape().truth, 3)
    0.776
    """
    letter_i = [((1.0, 0.0), _pair(0.01, 0.2)), *(((1.0, y), _pair(0.05, 0.001)) for y in (1.0, -1.0))]
    letter_a = [
        ((-0.8, -0.2), _pair(0.03, 0.001)),
        ((-1.2, 0.0), _pair(0.04, 0.2, 0.95)),
        ((-0.4, 0.0), _pair(0.04, 0.2, -0.95)),
    ]
    means, covariances = zip(*letter_i, *letter_a)
    return gaussian_mixture(means, covariances, 1, name="ai_shape")


def galaxy(speed: float = 0.5, distance: float = 3.0) -> Task:
    """Two balls in space, seen as a plane x, wound up into a spiral, and a height y.

    >>> round(galaxy().truth, 4), galaxy().sample(3, rng=0)[0].shape
    (0.4943, (3, 2))
    """
    means = [[side * distance / 2] * 3 for side in (-1, 1)]
    balls = gaussian_mixture(means, [np.eye(3)] * 2, 2)
    wound = transformed(balls, "wound", partial(spiralled, speed=speed), None)
    return Task(f"galaxy(speed={speed:g}, distance={distance:g})", balls.truth, wound.draw)


def waves(components: int = 12, amplitude: float = 5.0, frequency: float = 3.0) -> Task:
    """A plane x of parallel waves, each with one of four heights y.

    >>> round(waves().truth, 3)
    1.307
    """
    if components < 1:
        raise ValueError(f"components must be at least 1, got {components}")
    means = [[1.5 * i, 1.5 * (i % 4)] for i in range(components)]
    stripes = gaussian_mixture(means, [np.diag([0.1, 0.1])] * components, 1)

    def draw(n: int, rng: np.random.Generator) -> Samples:
        # The position along the stripes is independent of all else: it bears no information.
        x, y = stripes.draw(n, rng)
        along = rng.standard_normal((n, 1))
        return np.hstack([0.1 * (x + amplitude * np.sin(frequency * along)) - 0.8, 0.5 * along]), y

    return Task(f"waves({components})", stripes.truth, draw)


def concentric(d_x: int, components: int = 3) -> Task:
    """Round normal laws of d_x components with standard deviations 1, 2, ...; y tells, almost exactly, which one.

    >>> task = concentric(1)
    >>> 0 < task.truth < math.log(3)
    True
    """
    if d_x < 1 or components < 1:
        raise ValueError(f"d_x and components must be at least 1, got {d_x} and {components}")
    widths = range(1, components + 1)
    means = [[0.0] * d_x + [float(i)] for i in widths]
    covariances = [np.diag([float(i * i)] * d_x + [1e-4]) for i in widths]
    return gaussian_mixture(means, covariances, d_x, name=f"concentric({d_x}+1, components={components})")


def multinormal_with_inliers(d_x: int, d_y: int, share: float = 0.2, strength: float = 2.0) -> Task:
    """The normal vectors with two interacting pairs, of which a share is replaced by x and y drawn apart.

    >>> task = multinormal_with_inliers(2, 2)
    >>> task.truth_se < 0.005 < task.truth < 1.02
    True
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie strictly between 0 and 1, got {share}")
    signal = latent_correlation(d_x, d_y, min(2, d_x, d_y), pair=strength)
    apart = signal.copy()
    apart[:d_x, d_x:] = apart[d_x:, :d_x] = 0.0
    weights: Sequence[float] = (1 - share, share)
    name = f"multinormal_with_inliers({d_x}+{d_y}, share={share:g})"
    return gaussian_mixture(np.zeros((2, d_x + d_y)), [signal, apart], d_x, weights=weights, name=name)
