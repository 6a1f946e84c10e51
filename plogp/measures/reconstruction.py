"""Perfect reconstruction: whether functions of a variable rebuild it, and what their distances say."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from plogp.measures.association import rajski_distance
from plogp.measures.lattice import Partition

__all__ = ["ReconstructionReport", "reconstruction"]


@dataclass(frozen=True)
class ReconstructionReport:
    """Whether X can be rebuilt from functions of it, and what the distances alone say.

    Attributes
    ----------
    reconstructs : bool
        Whether the parts together determine X; decided combinatorially.
    sum_d : float
        Sum of the Rajski distances from the parts to X.
    bound : float
        n - 1: no family with a larger sum reconstructs.
    slack : float
        ``bound - sum_d``. Where X is reconstructed, it is the redundancy: total correlation over H(X).
    independent : bool
        Whether the parts are mutually independent; the condition is then sufficient too.
    distances : tuple of float
        Rajski distance of each part to X.
    entropy : float
        H(X) in nats.
    """

    reconstructs: bool
    sum_d: float
    bound: float
    slack: float
    independent: bool
    distances: tuple[float, ...]
    entropy: float = field(repr=False)

    @property
    def possible(self) -> bool:
        """Whether the necessary condition ``sum_d <= bound`` holds, to rounding."""
        return self.slack >= -1e-9

    @property
    def mean_distance(self) -> float:
        """Mean Rajski distance; at most ``1 - 1/n`` where X is reconstructed."""
        return self.sum_d / len(self.distances)


def reconstruction(x: Partition | Any, parts: Iterable[Partition | Any], probs: Any = None) -> ReconstructionReport:
    """Judge whether a variable can be rebuilt without error from functions of it.

    X is determined by X_1..X_n = f_i(X) only if ``Σ d(X_i, X) <= n - 1``, with Rajski's distance d; if the
    X_i are independent, exactly then.

    Parameters
    ----------
    x : Partition, or labels (m,)
        The variable to rebuild.
    parts : iterable of Partition, or of labels (m,)
        The functions of it that are known.
    probs : array (m,), optional
        Probabilities of the atoms, where labels are given; equally likely by default.

    Returns
    -------
    ReconstructionReport

    Raises
    ------
    ValueError
        If there is no part, or a part is no function of x.

    Examples
    --------
    The residues modulo 2, 3 and 5 determine a number below 30, with nothing to spare; those modulo 2, 4 and 8
    satisfy the condition and still do not:

    >>> import numpy as np
    >>> x = np.arange(30)
    >>> report = reconstruction(x, [x % 2, x % 3, x % 5])
    >>> report.reconstructs, report.independent, round(report.sum_d, 9), report.bound
    (True, True, 2.0, 2.0)
    >>> report = reconstruction(x, [x % 2, x % 4, x % 8])
    >>> report.reconstructs, report.possible
    (False, True)

    References
    ----------
    G. Delsol, O. Rioul, J. Béguinot, V. Rabiet, A. Souloumiac 2024, arXiv 2306.15540 (Entropy 26(1):86).
    """
    whole = x if isinstance(x, Partition) else Partition(x, probs)
    known = [part if isinstance(part, Partition) else whole.lattice.partition(part) for part in parts]
    if not known:
        raise ValueError("parts is empty: at least one function of x is needed")
    for i, part in enumerate(known):
        if not part <= whole:
            raise ValueError(f"parts[{i}] is no function of x: it splits a block of x")
    distances = tuple(rajski_distance(part, whole) for part in known)
    sum_d, bound = math.fsum(distances), float(len(known) - 1)
    return ReconstructionReport(
        reconstructs=functools.reduce(Partition.__or__, known) == whole,
        sum_d=sum_d,
        bound=bound,
        slack=bound - sum_d,
        independent=known[0].independent_of(*known[1:]),
        distances=distances,
        entropy=whole.entropy(),
    )
