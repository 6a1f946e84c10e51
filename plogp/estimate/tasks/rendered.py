"""Images with known mutual information: a few correlated numbers, drawn as shapes that show them without loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plogp.estimate.samples import Floats
from plogp.estimate.tasks.base import Task, correlation, transformed
from plogp.estimate.tasks.continuous import gaussian
from plogp.estimate.tasks.maps import through_normal_cdf

__all__ = ["SHAPES", "images_of"]


def _blobs(z: Floats, size: int, width: float) -> Floats:
    """Draw a round spot: its centre lies `z` tenths of the image from the middle; pixels are its values."""
    pixels = (np.arange(size) + 0.5) / size
    centre = 0.5 + 0.1 * z
    profile = np.exp(-0.5 * ((pixels - centre[:, :, None]) / width) ** 2)
    return np.einsum("ni,nj->nij", profile[:, 0], profile[:, 1]).reshape(len(z), -1)


def _rectangles(z: Floats, size: int, width: float) -> Floats:
    """Draw a rectangle: place and extent on either axis, made uniform; pixels are the areas covered."""
    u = through_normal_cdf(z)
    extent = size * (0.25 + 0.35 * u[:, 2:])
    start = size * 0.4 * u[:, :2]
    left = np.arange(size)
    covered = np.minimum((start + extent)[:, :, None], left + 1) - np.maximum(start[:, :, None], left)
    covered = np.clip(covered, 0.0, 1.0)
    return np.einsum("ni,nj->nij", covered[:, 0], covered[:, 1]).reshape(len(z), -1)


#: By name: how many numbers a shape shows, and how it is drawn.
SHAPES: dict[str, tuple[int, Callable[[Floats, int, float], Floats]]] = {
    "gaussian": (2, _blobs),
    "rectangle": (4, _rectangles),
}


def images_of(
    shape: str, rho: float | None = None, *, information: float | None = None, size: int = 16, width: float = 0.25
) -> Task:
    """Pairs of size × size images whose few parameters are correlated: the images' information is theirs.

    The parameters are `gaussian` pairs. ``"gaussian"`` draws a round Gaussian spot, two parameters being its
    centre. ``"rectangle"`` draws a rectangle with pixels that hold the covered area; its four parameters, made
    uniform by the normal distribution function, are place and extent on both axes. Either drawing can be read
    back, so nothing is lost or added, while the images lie on a curved surface of 2 or 4 dimensions in size² ones.

    Parameters
    ----------
    shape : {"gaussian", "rectangle"}
    rho, information : float
        Correlation of each pair of parameters, or the information of all: give one.
    size : int
        Pixels on a side, at least 8.
    width : float
        Standard deviation of the spot as a share of the side. Narrow spots make the surface so curved that two
        principal components fold it: they then lose information (at 0.25 hardly any).

    Returns
    -------
    Task
        Draws x and y of shape (n, size²), values in [0, 1].

    Raises
    ------
    ValueError
        For an unknown shape, a size below 8, or a width that is not positive.

    Examples
    --------
    >>> task = images_of("gaussian", information=3.0)
    >>> x, y = task.sample(10, rng=0)
    >>> x.shape, round(task.truth, 6)
    ((10, 256), 3.0)

    Notes
    -----
    I. Butakov, A. Tolmachev, S. Malanchuk, A. Neopryatnaya, A. Frolov and K. Andreev, ICLR 2024, arXiv 2305.08013
    (the idea; places and widths are our own).
    """
    if shape not in SHAPES:
        raise ValueError(f"shape must be one of {', '.join(map(repr, SHAPES))}, got {shape!r}")
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels, got {size}")
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    d, render = SHAPES[shape]
    parameters = gaussian(correlation(rho, information, d), d)

    def drawn(z: Floats) -> Floats:
        return render(z, size, width)

    moved = transformed(parameters, shape, drawn, drawn)
    return Task(f"images_of({shape}, {parameters.truth:.3g} nats)", parameters.truth, moved.draw)
