"""Three tests that an estimator of mutual information should pass on any data, without knowing the truth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_array
from plogp.estimate.training import numpy_generator
from plogp.measures.uncertainty import Estimate

__all__ = ["SelfConsistency", "self_consistency"]

Estimator = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], Estimate]


@dataclass(frozen=True, eq=False)
class SelfConsistency:
    """What `self_consistency` found.

    Attributes
    ----------
    rows : list of int
        How many rows (or columns of a table) of X are in Y, for the first test.
    monotonicity : list of Estimate
        I(X; Y_t) at each of them.
    whole : Estimate
        I(X; Y) of the second and third test's data, Y the first `kept` rows of X.
    doubled : Estimate
        I([X, X]; [Y, h(Y)]), h(Y) a part of Y: by data processing equal to I(X; Y).
    added : Estimate
        I([X1, X2]; [Y1, Y2]) of two independent copies: 2 I(X; Y).
    kept, kept_less : int
        Rows in Y and in h(Y).
    """

    rows: list[int]
    monotonicity: list[Estimate]
    whole: Estimate
    doubled: Estimate
    added: Estimate
    kept: int
    kept_less: int

    @property
    def monotone_ratios(self) -> list[float]:
        """I(X; Y_t) over the last of them; from 0 to 1 and nowhere falling, for a consistent estimator."""
        return [_ratio(e, self.monotonicity[-1]) for e in self.monotonicity]

    @property
    def data_processing_ratio(self) -> float:
        """I([X, X]; [Y, h(Y)]) / I(X; Y): 1 for a consistent estimator."""
        return _ratio(self.doubled, self.whole)

    @property
    def additivity_ratio(self) -> float:
        """I([X1, X2]; [Y1, Y2]) / I(X; Y): 2 for a consistent estimator."""
        return _ratio(self.added, self.whole)

    def passed(self, tolerance: float = 0.1) -> dict[str, bool]:
        """Whether each test is passed within a relative tolerance.

        "independence": the ratio with no row is at most `tolerance`, and no step down is larger than it; "data
        processing" and "additivity": the ratio is within `tolerance` of 1 and within twice of 2.
        """
        ratios = self.monotone_ratios
        start = abs(ratios[0]) <= tolerance if self.rows[0] == 0 else True
        rises = all(b >= a - tolerance for a, b in itertools.pairwise(ratios))
        return {
            "independence": bool(start and rises),
            "data processing": abs(self.data_processing_ratio - 1.0) <= tolerance,
            "additivity": abs(self.additivity_ratio - 2.0) <= 2 * tolerance,
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the first test's ratios over the rows in Y. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        if ax is None:
            ax = plt.subplots()[1]
        ax.plot(self.rows, self.monotone_ratios, marker="o")
        ax.set_xlabel("rows of X in Y")
        ax.set_ylabel("I(X; Y) relative to the last")
        found = f"data processing {self.data_processing_ratio:.2f} (1), additivity {self.additivity_ratio:.2f} (2)"
        ax.set_title(f"{self.whole.method}: {found}", fontsize="small")
        return ax

    def __repr__(self) -> str:
        ratios = ", ".join(f"{r:.2f}" for r in self.monotone_ratios)
        return (
            f"SelfConsistency(rows {self.rows}: ratios {ratios}; data processing "
            f"{self.data_processing_ratio:.2f} (1); additivity {self.additivity_ratio:.2f} (2); {self.whole.method})"
        )


def _ratio(a: Estimate, b: Estimate) -> float:
    return a.value / b.value if b.value != 0 else math.nan


def self_consistency(
    estimator: Estimator,
    X: Any,
    *,
    rows: Sequence[int] | None = None,
    kept: int | None = None,
    kept_less: int | None = None,
    noise: float = 0.0,
    rng: Any = None,
) -> SelfConsistency:
    r"""Return what an estimator says in three settings where the true ratios are known, whatever the data.

    With Y_t the first t rows of each image X (or the first t columns of a table):

    1. *independence and monotonicity*: I(X; Y_t) is 0 for t = 0 and does not fall with t;
    2. *data processing*: I([X, X]; [Y, h(Y)]) = I(X; Y) with h(Y) the first `kept_less` rows of Y;
    3. *additivity*: I([X1, X2]; [Y1, Y2]) = 2 I(X; Y) for X1 and X2 drawn independently.

    The samples are shuffled. The second and third test use half of them: the other half are the X2 of the third.

    Parameters
    ----------
    estimator : callable
        ``estimator(x, y) -> Estimate`` of arrays (n, d): any of the library, such as
        ``functools.partial(plogp.estimate.neural_mutual_information, kind="infonce", rng=0)``.
    X : array, shape (n, height, width), (n, channels, height, width) or (n, d)
        Images, whose rows are counted, or a table, whose columns are.
    rows : sequence of int, optional
        The t of the first test, in increasing order; by default 0, a quarter, a half, three quarters and all.
    kept, kept_less : int, optional
        Rows of Y and of h(Y); by default half of them and a quarter.
    noise : float
        Standard deviation of normal noise on the Y's, in units of X's overall standard deviation, drawn once.
        With continuous X and none, I(X; Y_t) is infinite.
    rng : Generator, int or None
        Order of the samples, and the noise.

    Returns
    -------
    SelfConsistency

    Raises
    ------
    ValueError
        For other shapes, fewer than 40 samples, or numbers of rows out of range. The closed forms for normal
        variables raise their own in the second test, whose columns repeat.

    Examples
    --------
    >>> from plogp.estimate import ksg
    >>> X = np.random.default_rng(0).normal(size=(2000, 4))
    >>> found = self_consistency(ksg, X, noise=0.5, rng=0)
    >>> round(found.data_processing_ratio, 1), found.additivity_ratio < 1.9, found.passed()["additivity"]
    (1.0, True, False)

    (k-NN estimates are too low in many dimensions, which the third test sees without knowing the truth.)

    References
    ----------
    Song and Ermon (2020), arXiv 1910.06222. There Y is X with the other rows set to 0, on MNIST and CIFAR10; here
    the other rows are left out, which is the same information. No estimator by discrimination that they tried
    passed all three.
    """
    images = np.asarray(as_array(X, "X"), dtype=np.float64)
    if images.ndim not in (2, 3, 4):
        raise ValueError(f"X must have shape (n, d), (n, height, width) or (n, c, height, width), got {images.shape}")
    if len(images) < 40:
        raise ValueError(f"too few samples: expected at least 40, got {len(images)}")
    height = images.shape[-2] if images.ndim > 2 else images.shape[1]
    random = numpy_generator(rng)
    images = images[random.permutation(len(images))]
    noisy = images + noise * images.std() * random.standard_normal(images.shape) if noise else images

    counts = [round(height * s / 4) for s in range(5)] if rows is None else [int(t) for t in rows]
    half = max(1, height // 2) if kept is None else int(kept)
    less = max(1, half // 2) if kept_less is None else int(kept_less)
    if any(not 0 <= t <= height for t in counts) or sorted(set(counts)) != counts:
        raise ValueError(f"rows must increase between 0 and {height}, got {counts}")
    if not 1 <= less <= half <= height:
        raise ValueError(f"expected 1 <= kept_less <= kept <= {height}, got {less} and {half}")

    def flat(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return x.reshape(len(x), -1)

    def first(x: npt.NDArray[np.float64], t: int) -> npt.NDArray[np.float64]:
        if t == 0:
            return np.zeros((len(x), 1))
        return flat(x[..., :t, :] if x.ndim > 2 else x[:, :t])

    monotonicity = [estimator(flat(images), first(noisy, t)) for t in counts]
    n = len(images) // 2
    x, other, y, other_y = images[:n], images[n : 2 * n], noisy[:n], noisy[n : 2 * n]
    return SelfConsistency(
        rows=counts,
        monotonicity=monotonicity,
        whole=estimator(flat(x), first(y, half)),
        doubled=estimator(np.hstack([flat(x), flat(x)]), np.hstack([first(y, half), first(y, less)])),
        added=estimator(np.hstack([flat(x), flat(other)]), np.hstack([first(y, half), first(other_y, half)])),
        kept=half,
        kept_less=less,
    )
