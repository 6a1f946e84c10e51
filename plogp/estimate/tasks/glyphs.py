"""Grids of small drawn characters, paired with the next character in each cell: many factors, each known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import Floats
from plogp.estimate.tasks.base import Task

__all__ = ["Glyphs", "multi_glyph"]


class Glyphs:
    r"""Pairs of images: a grid of characters, and the grid in which each has moved on to its alphabet's next letter.

    Cell i shows one of :math:`n_i` letters, uniform and independent of the other cells; the second image shows the
    letter after it (the first after the last). The second image's letters are a one-to-one function of the first's,
    so the information is the entropy of the letters,

    .. math:: I(X; Y) = \sum_i \log n_i.

    A letter is a few random strokes on a square of `size` pixels; every drawing is moved by up to a pixel, and noise
    is added, in either image anew.

    Parameters
    ----------
    grid : int
        Cells on a side.
    letters : int or sequence of int
        Letters of the alphabet of each cell.
    size : int
        Pixels on a side of a cell, at least 5.
    noise : float
        Standard deviation of the pixels' noise; letters are 0 and 1.
    rng : Generator, int or None
        Of the alphabets.

    Examples
    --------
    >>> task = Glyphs(grid=2, letters=5, rng=0)
    >>> x, y, labels = task.draw(10, rng=1)
    >>> x.shape, labels.shape, round(task.information, 4)
    ((10, 256), (10, 4), 6.4378)

    Notes
    -----
    After SpatialMultiOmniglot of S. Ozair et al. (2019), arXiv 1903.11780, with drawn characters in place of
    Omniglot's.
    """

    def __init__(
        self,
        grid: int = 3,
        letters: int | Sequence[int] = 10,
        *,
        size: int = 8,
        noise: float = 0.1,
        rng: np.random.Generator | int | None = 0,
    ):
        if grid < 1 or size < 5:
            raise ValueError(f"grid must be at least 1 and size at least 5, got {grid} and {size}")
        if noise < 0:
            raise ValueError(f"noise must not be negative, got {noise}")
        counts = [letters] * grid**2 if isinstance(letters, int) else list(letters)
        if len(counts) != grid**2 or min(counts) < 2:
            raise ValueError(f"letters must be {grid**2} numbers of at least 2, got {counts}")
        generator = np.random.default_rng(rng)
        self.grid, self.size, self.noise, self.counts = grid, size, float(noise), counts
        self.alphabets = [np.stack([_strokes(size, generator) for _ in range(n)]) for n in counts]
        self.information = math.fsum(math.log(n) for n in counts)

    def draw(
        self, n: int, rng: np.random.Generator | int | None = None
    ) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """Return n pairs of images, flat, and the letter of each cell of the first, shape (n, cells)."""
        generator = np.random.default_rng(rng)
        labels = np.stack([generator.integers(0, m, n) for m in self.counts], axis=1)
        return self._images(labels, generator), self._images((labels + 1) % self.counts, generator), labels

    def task(self) -> Task:
        """Return the pairs of images as a `Task` for estimators of mutual information."""
        name = f"multi_glyph({self.grid}x{self.grid})"
        return Task(name, self.information, lambda n, rng: self.draw(n, rng)[:2])

    def _images(self, labels: npt.NDArray[np.int64], rng: np.random.Generator) -> Floats:
        n, s = len(labels), self.size
        image = np.zeros((n, self.grid * s, self.grid * s))
        for cell, alphabet in enumerate(self.alphabets):
            shown = alphabet[labels[:, cell]]
            moved = rng.integers(-1, 2, (n, 2))
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    here = (moved == (dy, dx)).all(axis=1)
                    shown[here] = np.roll(shown[here], (dy, dx), axis=(1, 2))
            row, column = divmod(cell, self.grid)
            image[:, row * s : (row + 1) * s, column * s : (column + 1) * s] = shown
        return np.asarray((image + self.noise * rng.standard_normal(image.shape)).reshape(n, -1))


def multi_glyph(grid: int = 3, letters: int | Sequence[int] = 10, *, rng: np.random.Generator | int | None = 0) -> Task:
    """Pairs of grids of drawn characters with information ``Σ log n_i``: see `Glyphs`.

    >>> round(multi_glyph(2, 10).truth, 4)
    9.2103
    """
    return Glyphs(grid, letters, rng=rng).task()


def _strokes(size: int, rng: np.random.Generator) -> Floats:
    """Three joined strokes between random points, one pixel inside the edge."""
    image = np.zeros((size, size))
    points = rng.integers(1, size - 1, (4, 2))
    while len(np.unique(points, axis=0)) < 4:
        points = rng.integers(1, size - 1, (4, 2))
    for a, b in pairwise(points):
        for t in np.linspace(0, 1, 3 * size):
            y, x = np.round((1 - t) * a + t * b).astype(int)
            image[y, x] = 1.0
    return image
