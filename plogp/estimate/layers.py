"""How much a hidden layer of a network knows of its input and of the label: the information plane.

A deterministic network with continuous activations carries infinite information about a continuous input, so
every number here depends on how activations are made discrete or noisy, and says so. The N inputs given are
taken as the whole input distribution, each with probability 1/N: within that reading the values are exact and
have no sampling error, and I(T;X) cannot exceed log N. With more states (or less noise) than N can fill, I(T;X)
sticks at log N and I(T;Y) at H(Y), whatever the layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plogp.estimate.binning import Binner
from plogp.estimate.counts import encode
from plogp.estimate.density import mixture_entropy_bounds
from plogp.estimate.samples import Floats, as_samples
from plogp.measures import Estimate

__all__ = [
    "LAYER_METHODS",
    "InformationPlane",
    "LayerInformation",
    "information_plane",
    "layer_mutual_information",
    "szt_task",
]

WHOLE = "the inputs are taken as the whole distribution, so there is no sampling error"
#: How the noise of "akde" follows the activations h.
NOISE_SCALES: dict[str, Callable[[Floats], float]] = {
    "max": lambda h: float(np.abs(h).max()),
    "max2": lambda h: float(np.abs(h).max()) ** 2,
    "var": lambda h: float(h.var()),
}


class LayerInformation(NamedTuple):
    """I(T;X) and I(T;Y) of a layer T: about the input X and about the label Y."""

    ix: Estimate
    iy: Estimate


def layer_mutual_information(
    T: Any,
    labels: Any,
    *,
    method: str = "ebab",
    bins: int = 30,
    noise: float = 1e-3,
    scale: str = "max",
    bound: str = "upper",
) -> LayerInformation:
    r"""Return the information that a layer's activations carry about the input and about the label.

    With H(T) the entropy of the discretised, or noisy, layer,

    .. math:: I(T;X) = H(T) - H(T|X), \qquad I(T;Y) = H(T) - \sum_y p(y) H(T|Y=y)

    A layer is discretised or made noisy in one of these ways:

    - ``"ebab"``, entropy-based adaptive binning: `bins` bins, the same for every unit, each holding equally
      many of the different activation values of the whole layer. Follows unbounded units, and saturated values
      use up no bins. Does not change under strictly increasing maps of the activations.
    - ``"bin"``: `bins` bins of equal width between the layer's extremes.
    - ``"akde"``: Gaussian noise of variance `noise` times the layer's largest absolute activation
      (``scale="max"``), its square (``"max2"``: does not change when activations are rescaled) or its variance
      (``"var"``); Kolchinsky-Tracey bounds on the entropies of the mixtures.
    - ``"kde"``: the same with the variance `noise` as it stands.

    Parameters
    ----------
    T : array, shape (N, units)
        Activations, one row an input.
    labels : array, shape (N,)
        Classes.
    method : {"ebab", "akde", "bin", "kde"}
    bins : int
        For "ebab" and "bin".
    noise : float
        For "akde" and "kde".
    scale : {"max", "max2", "var"}
        For "akde".
    bound : {"upper", "lower"}
        Which bound, for "akde" and "kde". For I(T;Y), a difference, it names the one used for both entropies.

    Returns
    -------
    LayerInformation
        `ix` and `iy`, in nats, without interval: see the module's first lines.

    Raises
    ------
    ValueError
        For mismatched lengths, NaN, or an unknown method, scale or bound.

    Notes
    -----
    B = 30 and the noise constant 1e-3 are not in the paper's abstract and were reconstructed from descriptions
    of it; the proportionality to the largest activation is confirmed there.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat([0, 1], 100)
    >>> T = labels[:, None] + 1e-3 * rng.normal(size=(200, 1))
    >>> info = layer_mutual_information(T, labels, bins=2)
    >>> round(info.ix.value, 4), round(info.iy.value, 4)
    (0.6931, 0.6931)

    References
    ----------
    Chelombiev, Houghton and O'Donnell (2019), arXiv 1902.09037. Saxe et al. (2018) for the Kolchinsky-Tracey
    bounds in this use; Shwartz-Ziv and Tishby (2017), arXiv 1703.00810, for the information plane.
    """
    activations = as_samples(T, "T")
    classes, names = encode(labels, "labels")
    if len(classes) != len(activations):
        raise ValueError(f"T and labels must have the same length, got {len(activations)} and {len(classes)}")
    if method not in LAYER_METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, LAYER_METHODS))}, got {method!r}")
    if bound not in ("lower", "upper"):
        raise ValueError(f"bound must be 'lower' or 'upper', got {bound!r}")
    entropy, label, notes = LAYER_METHODS[method](activations, bins, noise, scale, bound)
    whole = entropy(np.ones(len(activations), dtype=bool))
    shares = np.bincount(classes, minlength=len(names)) / len(classes)
    inside = math.fsum(share * entropy(classes == y) for y, share in enumerate(shares))
    notes = {**notes, "no_interval": WHOLE, "log_n": math.log(len(activations))}
    ix, iy = (Estimate(v, None, len(classes), label, diagnostics=notes) for v in (whole, whole - inside))
    return LayerInformation(ix, iy)


_Entropy = Callable[[npt.NDArray[np.bool_]], float]


def _binned(strategy: str) -> Callable[..., tuple[_Entropy, str, dict[str, Any]]]:
    """Return a method that discretises all units by the same edges and counts whole rows."""

    def prepare(h: Floats, bins: int, noise: float, scale: str, bound: str) -> Any:
        binner = Binner(strategy, bins)
        edges = binner.edges(h)
        states, labels = encode(binner.digitize(h, edges), "T")

        def entropy(rows: npt.NDArray[np.bool_]) -> float:
            counts = np.bincount(states[rows])
            share = counts[counts > 0] / counts.sum()
            return 0.0 - float(share @ np.log(share))  # not -0.0 for one state

        facts = {"bins": len(edges) + 1, "states": len(labels)}
        return entropy, f"{'ebab' if strategy == 'unique-quantile' else 'bin'}(bins={bins})", facts

    return prepare


def _noisy(adaptive: bool) -> Callable[..., tuple[_Entropy, str, dict[str, Any]]]:
    """Return a method that adds Gaussian noise; entropies are less that of the noise, H(T|X)."""

    def prepare(h: Floats, bins: int, noise: float, scale: str, bound: str) -> Any:
        if not (isinstance(noise, (int, float, np.number)) and 0 < noise < math.inf):
            raise ValueError(f"noise must be a positive number, got {noise!r}")
        if adaptive and scale not in NOISE_SCALES:
            raise ValueError(f"scale must be one of {', '.join(map(repr, NOISE_SCALES))}, got {scale!r}")
        size = NOISE_SCALES[scale](h) if adaptive else 1.0
        # A layer that is 0 (or constant, for "var") throughout carries nothing at any noise level.
        variance = float(noise) * size if size > 0 else 1.0
        own = 0.5 * h.shape[1] * math.log(2 * math.pi * math.e * variance)

        def entropy(rows: npt.NDArray[np.bool_]) -> float:
            return mixture_entropy_bounds(h[rows], variance)[bound == "upper"] - own

        name = f"akde({bound}, noise={noise:g}·{scale})" if adaptive else f"kde({bound}, noise={noise:g})"
        return entropy, name, {"variance": variance, "bound": bound}

    return prepare


#: Methods by name: each prepares (entropy of a subset of rows less H(T|X), label, facts) from the activations.
LAYER_METHODS: dict[str, Callable[..., tuple[_Entropy, str, dict[str, Any]]]] = {
    "ebab": _binned("unique-quantile"),
    "bin": _binned("width"),
    "akde": _noisy(adaptive=True),
    "kde": _noisy(adaptive=False),
}


@dataclass(frozen=True, eq=False)
class InformationPlane:
    """I(T;X) and I(T;Y) of every layer over training.

    Attributes
    ----------
    epochs : array, shape (E,)
    layers : list of str
    ix, iy : array, shape (E, L)
        In nats.
    n : int
        Inputs; I(T;X) is at most log n.
    method : str

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> h, y = rng.normal(size=(64, 3)), rng.integers(0, 2, 64)
    >>> plane = information_plane({0: [h], 1: [np.round(h)], 2: [0 * h]}, y, bins=4)
    >>> plane.ix.shape, plane.compression()
    ((3, 1), array([1.]))
    """

    epochs: npt.NDArray[Any]
    layers: list[str]
    ix: Floats
    iy: Floats
    n: int
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def compression(self) -> Floats:
        """Return, per layer, the share of I(T;X) lost after its maximum: (max - last) / max; 0 where it is 0."""
        top = self.ix.max(axis=0)
        return np.where(top > 0, (top - self.ix[-1]) / np.where(top > 0, top, 1.0), 0.0)

    def plot(self, ax: Any = None) -> Any:
        """Draw the plane: a line a layer, dark at the first epoch and bright at the last. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        if ax is None:
            ax = plt.subplots()[1]
        for j, name in enumerate(self.layers):
            ax.plot(self.ix[:, j], self.iy[:, j], linewidth=0.8, alpha=0.6, label=name)
            ax.scatter(self.ix[:, j], self.iy[:, j], c=np.arange(len(self.epochs)), s=8)
        ax.set_xlabel("I(T;X) in nats")
        ax.set_ylabel("I(T;Y) in nats")
        ax.set_title(self.method)
        ax.legend()
        return ax


def information_plane(
    activations: Mapping[Any, Iterable[Any]], labels: Any, *, method: str = "ebab", **options: Any
) -> InformationPlane:
    """Return the information plane of a training run.

    Parameters
    ----------
    activations : mapping of epoch to a list of arrays
        The activations of each layer, shape (N, units), at each recorded epoch; the same layers every time.
    labels : array, shape (N,)
        Classes.
    method, **options
        As in `layer_mutual_information`.

    Raises
    ------
    ValueError
        If no epoch is given, or epochs have different numbers of layers.
    """
    if not activations:
        raise ValueError("activations is empty; expected at least one epoch")
    rows = []
    for epoch, layers in activations.items():
        rows.append([layer_mutual_information(h, labels, method=method, **options) for h in layers])
        if len(rows[-1]) != len(rows[0]) or not rows[-1]:
            raise ValueError(f"epoch {epoch!r} has {len(rows[-1])} layers; expected {len(rows[0]) or 'some'}")
    ix, iy = (np.array([[info[i].value for info in row] for row in rows]) for i in (0, 1))
    names = [f"layer {j + 1}" for j in range(ix.shape[1])]
    example = rows[0][0].ix
    return InformationPlane(
        np.array(list(activations)), names, ix, iy, example.n, example.method, dict(options, method=method)
    )


def szt_task(
    rng: np.random.Generator | int | None = 0, *, information: float = 0.99 * math.log(2)
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    r"""Return the 12-bit task of Shwartz-Ziv and Tishby: all 4,096 patterns x and a label y, nearly a rule.

    Each bit switches on one of 12 points of a sphere. The rule sees the pattern only through its rotation
    invariants, the power in each order l of the spherical harmonics,
    :math:`\sum_m |\sum_i x_i Y_{lm}(ω_i)|^2 = \frac{2l+1}{4π} \sum_{ij} x_i x_j P_l(ω_i·ω_j)`, l = 1..6, mixed
    by positive weights, and p(y=1|x) is a sigmoid of it around the median. Its gain is set so that
    I(X;Y) = `information` (0.99 bit in the original), and labels are drawn from it.

    The construction follows the paper's description; the points and weights of the original data file are not
    published, so the numbers differ from that file's.

    Parameters
    ----------
    rng : Generator, int or None
        Draws the points, the weights and the labels.
    information : float
        I(X;Y) in nats, below log 2.

    Returns
    -------
    x : array, shape (4096, 12)
        Bits, 0.0 or 1.0.
    y : array of int, shape (4096,)
        Labels, about half of them 1.

    Raises
    ------
    ValueError
        If `information` is not between 0 and log 2.

    Examples
    --------
    >>> x, y = szt_task(0)
    >>> x.shape, y.shape, bool(0.45 < y.mean() < 0.55)
    ((4096, 12), (4096,), True)

    References
    ----------
    Shwartz-Ziv and Tishby (2017), arXiv 1703.00810; Kazhdan, Funkhouser and Rusinkiewicz (2003) for the
    invariants.
    """
    if not 0 < information < math.log(2):
        raise ValueError(f"information must lie between 0 and log 2 = 0.6931, got {information!r}")
    from scipy.optimize import brentq
    from scipy.special import entr, eval_legendre, expit

    generator = np.random.default_rng(rng)
    x = ((np.arange(4096)[:, None] >> np.arange(12)) & 1).astype(np.float64)
    points = generator.normal(size=(12, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cosines = np.clip(points @ points.T, -1.0, 1.0)
    orders = np.arange(1, 7)
    weights = generator.dirichlet(np.ones(len(orders)))
    kernel = sum(w * (2 * k + 1) / (4 * math.pi) * eval_legendre(k, cosines) for w, k in zip(weights, orders))
    score = np.einsum("ni,ij,nj->n", x, kernel, x)
    score = (score - np.median(score)) / score.std()

    def gap(log_gain: float) -> float:
        share = expit(math.exp(log_gain) * score)
        mean = float(share.mean())
        noise = float(np.mean(entr(share) + entr(1 - share)))
        return float(entr(mean) + entr(1 - mean)) - noise - information

    gain = math.exp(brentq(gap, -8.0, 40.0))
    return x, (generator.random(4096) < expit(gain * score)).astype(np.int64)
