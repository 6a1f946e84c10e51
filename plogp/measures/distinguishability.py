"""Which states can be told apart in one shot, and how often the best measurement errs.

States are pure (vectors), mixed (density matrices) or classical (distributions). They are perfectly
distinguishable exactly when their supports are orthogonal (classically: disjoint); otherwise the least error
for two states is Helstrom's, ½(1 - ‖π_0 ρ_0 - π_1 ρ_1‖_1), classically Bayes', 1 - Σ_x max_i π_i p_i(x), and
the pretty-good measurement is within a factor of two of the best for any number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import check_probabilities

__all__ = [
    "Distinguishability",
    "States",
    "bayes_decision",
    "distinguishable",
    "helstrom_error",
    "isometry_between",
    "pretty_good_measurement",
    "root_fidelity",
]

Complex = npt.NDArray[np.complex128]
Floats = npt.NDArray[np.float64]
Kind = Literal["auto", "pure", "mixed", "classical"]


class States:
    """Checked states of one kind, as density matrices and as bases of their supports.

    Parameters
    ----------
    states : array
        (k, d) unit vectors or distributions, or (k, d, d) density matrices.
    kind : {"auto", "pure", "mixed", "classical"}
        With ``"auto"``, matrices are mixed; rows that are non-negative and sum to 1 are classical, rows of
        unit norm pure (a row that is both is a basis state, where the two agree).

    Raises
    ------
    ValueError
        If the rows are none of these, or of several kinds.

    Examples
    --------
    >>> States([[1, 0], [0.6, 0.8]]).kind, States([[1, 0], [0.5, 0.5]]).kind
    ('pure', 'classical')
    """

    def __init__(self, states: Any, kind: Kind = "auto") -> None:
        array = np.asarray(states)
        if array.dtype.kind not in "buifc":
            raise TypeError(f"states must hold numbers, got dtype {array.dtype}")
        if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[1] != array.shape[2]):
            raise ValueError(f"states must have shape (k, d) or (k, d, d), got {array.shape}")
        if not np.all(np.isfinite(array)):
            raise ValueError("states contain NaN or infinite entries")
        if kind not in ("auto", "pure", "mixed", "classical"):
            raise ValueError(f"kind must be 'auto', 'pure', 'mixed' or 'classical', got {kind!r}")
        self.kind: str = _guess(array) if kind == "auto" else kind
        if (self.kind == "mixed") != (array.ndim == 3):
            raise ValueError(f"{self.kind} states cannot have shape {array.shape}")
        self.count, self.dim = int(array.shape[0]), int(array.shape[1])
        self.array: Complex = array.astype(np.complex128)
        if self.kind == "classical":
            if np.iscomplexobj(array) and np.any(array.imag != 0):
                raise ValueError("classical states must be real probabilities")
            check_probabilities(array.real.astype(np.float64), -1, "states")
        elif self.kind == "pure":
            norms = np.linalg.norm(self.array, axis=1)
            if np.any(np.abs(norms - 1.0) > 1e-9):
                worst = int(np.argmax(np.abs(norms - 1.0)))
                raise ValueError(f"states: pure states must have norm 1, row {worst} has {norms[worst]:.6g}")
        else:
            _check_density(self.array)

    @property
    def densities(self) -> Complex:
        """Density matrices (k, d, d)."""
        if self.kind == "mixed":
            return self.array
        if self.kind == "pure":
            return np.asarray(self.array[:, :, None] * self.array[:, None, :].conj())
        return np.asarray(self.array[:, :, None] * np.eye(self.dim))

    @property
    def distributions(self) -> Floats:
        """Distributions (k, d) of classical states."""
        return np.asarray(self.array.real)

    def roots(self) -> list[Complex]:
        """Return matrices A_i (d, r_i) with A_i A_i† = ρ_i and r_i the rank; they span the supports."""
        if self.kind == "pure":
            return [row[:, None] for row in self.array]
        if self.kind == "classical":
            eye = np.eye(self.dim, dtype=np.complex128)
            return [eye[:, p > 0] * np.sqrt(p[p > 0]) for p in self.distributions]
        out = []
        for rho in self.array:
            values, vectors = np.linalg.eigh(rho)
            keep = values > 16 * np.finfo(np.float64).eps * self.dim * values[-1]
            out.append(vectors[:, keep] * np.sqrt(values[keep]))
        return out


@dataclass(frozen=True, eq=False)
class Distinguishability:
    """Whether states can be told apart with certainty, and the error if not.

    Attributes
    ----------
    perfect : bool
        Whether one measurement tells all states apart without error.
    fidelity : array (k, k)
        Root fidelity of each pair: 0 for orthogonal supports, 1 for equal states.
    gram : array (k, k) or None
        Inner products <s_i|s_j> of pure states.
    closest_pair : (int, int) or None
        The pair of largest fidelity.
    pair_error : float
        Least error probability of telling that pair apart, weighed by its priors: Helstrom's.
    error_bounds : (float, float)
        Bracket of the least error for all states at once; both ends agree for two and for classical states.
    pretty_good_error : float
        Error of the pretty-good measurement.
    kind : str
        ``"pure"``, ``"mixed"`` or ``"classical"``.
    """

    perfect: bool
    fidelity: Floats
    gram: Complex | None
    closest_pair: tuple[int, int] | None
    pair_error: float
    error_bounds: tuple[float, float]
    pretty_good_error: float
    kind: str

    def __bool__(self) -> bool:
        return self.perfect

    def __repr__(self) -> str:
        low, high = self.error_bounds
        error = f"{high:.4g}" if high - low < 1e-12 else f"in [{low:.4g}, {high:.4g}]"
        verdict = "perfectly distinguishable" if self.perfect else "not perfectly distinguishable"
        return f"Distinguishability({len(self.fidelity)} {self.kind} states, {verdict}, least error {error})"


def distinguishable(states: Any, priors: Any = None, *, kind: Kind = "auto", tol: float = 1e-9) -> Distinguishability:
    """Return whether `states` can be told apart with certainty, and how well if not.

    Parameters
    ----------
    states : array
        (k, d) pure states or distributions, or (k, d, d) density matrices; see `States`.
    priors : array (k,), optional
        Probabilities of the states, equal by default; they change the errors, not the verdict.
    kind : {"auto", "pure", "mixed", "classical"}
        What the rows are.
    tol : float
        Largest root fidelity of a pair that counts as orthogonal.

    Raises
    ------
    ValueError
        For malformed states or priors.

    Examples
    --------
    >>> bool(distinguishable([[1, 0], [0, 1]]))
    True
    >>> verdict = distinguishable([[1, 0], [np.sqrt(0.5), np.sqrt(0.5)]])
    >>> verdict.perfect, round(verdict.pair_error, 6)
    (False, 0.146447)

    References
    ----------
    C. Helstrom 1976. P. Hausladen and W. Wootters 1994 (pretty-good measurement). H. Barnum and E. Knill
    2002, arXiv quant-ph/0004088 (its error is at most twice the least).
    """
    checked = States(states, kind)
    weights = _priors(priors, checked.count)
    if not tol >= 0:
        raise ValueError(f"tol must be >= 0, got {tol!r}")
    fidelity = _fidelities(checked)
    off = fidelity - np.diag(np.full(checked.count, np.inf))
    pair: tuple[int, int] | None = None
    pair_error = 0.0
    if checked.count > 1:
        first, second = (int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))
        pair = (min(first, second), max(first, second))
        mass = weights[list(pair)].sum()
        both = weights[list(pair)] / mass if mass > 0 else np.array([0.5, 0.5])
        pair_error = _helstrom(checked.densities[pair[0]], checked.densities[pair[1]], both)
    pretty = 1.0 - _success(checked.densities, weights, _pretty_good(checked.densities, weights))
    pretty = max(pretty, 0.0)
    return Distinguishability(
        perfect=bool(checked.count == 1 or np.max(off) <= tol),
        fidelity=fidelity,
        gram=checked.array.conj() @ checked.array.T if checked.kind == "pure" else None,
        closest_pair=pair,
        pair_error=pair_error,
        error_bounds=_error_bounds(checked, weights, pretty),
        pretty_good_error=pretty,
        kind=checked.kind,
    )


def helstrom_error(first: Any, second: Any, priors: Any = None, *, kind: Kind = "auto") -> float:
    """Return the least error probability of telling two states apart: ½(1 - ‖π_0 ρ_0 - π_1 ρ_1‖_1).

    >>> helstrom_error([1.0, 0.0], [0.5, 0.5])  # distributions: ½(1 - total variation)
    0.25
    """
    checked = States(np.stack([np.asarray(first), np.asarray(second)]), kind)
    return _helstrom(checked.densities[0], checked.densities[1], _priors(priors, 2))


def root_fidelity(first: Any, second: Any, *, kind: Kind = "auto") -> float:
    """Return ‖√ρ √σ‖_1: |<s|t>| of pure states, Σ √(p q) of distributions (Bhattacharyya's coefficient).

    >>> root_fidelity([1.0, 0.0], [0.6, 0.8])
    0.6
    """
    return float(_fidelities(States(np.stack([np.asarray(first), np.asarray(second)]), kind))[0, 1])


def bayes_decision(distributions: Any, priors: Any = None) -> tuple[npt.NDArray[np.int64], float]:
    """Return the best guess for every outcome (d,), argmax_i π_i p_i(x), and its error probability.

    Ties go to the first state.

    >>> guess, error = bayes_decision([[0.7, 0.3, 0.0], [0.0, 0.4, 0.6]])
    >>> guess.tolist(), round(error, 6)
    ([0, 1, 1], 0.15)
    """
    checked = States(distributions, "classical")
    weighed = _priors(priors, checked.count)[:, None] * checked.distributions
    return np.argmax(weighed, axis=0), max(0.0, 1.0 - float(np.sum(np.max(weighed, axis=0))))


def pretty_good_measurement(states: Any, priors: Any = None, *, kind: Kind = "auto") -> Complex:
    """Return the measurement E_i = S^{-1/2} π_i ρ_i S^{-1/2}, S = Σ π_i ρ_i, as matrices (k, d, d).

    They are positive and sum to the projector on the support of S.

    >>> pretty_good_measurement([[1, 0], [0, 1]]).real.round(12).tolist()
    [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]]
    """
    checked = States(states, kind)
    return _pretty_good(checked.densities, _priors(priors, checked.count))


def isometry_between(inputs: Any, outputs: Any, *, tol: float = 1e-9) -> Complex | None:
    """Return U (d_out, d_in) with U†U = 1 and U s_i = t_i for all i, or None where there is none.

    There is one exactly when the Gram matrices agree, <s_i|s_j> = <t_i|t_j>, and d_out >= d_in. It is the
    polar part of Σ_i |t_i><s_i|, completed on the complement of the inputs.

    Parameters
    ----------
    inputs, outputs : arrays (k, d_in) and (k, d_out)
        Vectors as rows.
    tol : float
        Largest difference of the Gram matrices.

    Examples
    --------
    >>> U = isometry_between([[1, 0], [0, 1]], [[0, 1, 0], [0, 0, 1]])
    >>> (U @ np.array([1, 0])).real.round(12).tolist()
    [0.0, 1.0, 0.0]
    >>> isometry_between([[1, 0], [0.6, 0.8]], [[1, 0], [0, 1]]) is None  # cannot make them orthogonal
    True
    """
    source = np.atleast_2d(np.asarray(inputs, dtype=np.complex128))
    target = np.atleast_2d(np.asarray(outputs, dtype=np.complex128))
    if source.ndim != 2 or target.ndim != 2 or len(source) != len(target):
        raise ValueError(f"inputs and outputs must be rows of equal number, got {source.shape}, {target.shape}")
    if not (np.all(np.isfinite(source)) and np.all(np.isfinite(target))):
        raise ValueError("inputs and outputs must be finite")
    if target.shape[1] < source.shape[1]:
        return None
    if np.max(np.abs(source.conj() @ source.T - target.conj() @ target.T)) > tol:
        return None
    left, values, right = np.linalg.svd(target.T @ source.conj())
    rank = int(np.sum(values > 1e-12 * max(values[0], 1e-300)))
    # The singular vectors beyond the rank are orthonormal bases of the two complements.
    full = left[:, : source.shape[1]] @ right
    if rank == 0:
        return np.eye(target.shape[1], source.shape[1], dtype=np.complex128)
    return np.asarray(full)


def _guess(array: npt.NDArray[Any]) -> str:
    if array.ndim == 3:
        return "mixed"
    real = not np.iscomplexobj(array)
    if real and np.all(array >= 0) and np.all(np.abs(array.sum(axis=1) - 1.0) <= 1e-9):
        return "classical"
    if np.all(np.abs(np.linalg.norm(array, axis=1) - 1.0) <= 1e-9):
        return "pure"
    raise ValueError(
        "states: the rows neither are all distributions (>= 0, sum 1) nor all have norm 1; normalise them or "
        "name their kind"
    )


def _check_density(rho: Complex) -> None:
    if np.any(np.abs(rho - rho.conj().transpose(0, 2, 1)) > 1e-9):
        raise ValueError("states: density matrices must be Hermitian")
    trace = np.trace(rho, axis1=1, axis2=2).real
    if np.any(np.abs(trace - 1.0) > 1e-9):
        worst = int(np.argmax(np.abs(trace - 1.0)))
        raise ValueError(f"states: density matrices must have trace 1, number {worst} has {trace[worst]:.6g}")
    low = float(np.min(np.linalg.eigvalsh(rho)))
    if low < -1e-9:
        raise ValueError(f"states: density matrices must be positive, got an eigenvalue {low:.3g}")


def _priors(priors: Any, count: int) -> Floats:
    if priors is None:
        return np.full(count, 1.0 / count)
    weights = np.asarray(priors, dtype=np.float64)
    if weights.shape != (count,):
        raise ValueError(f"priors must have shape ({count},), one for each state, got {weights.shape}")
    check_probabilities(weights, -1, "priors")
    return weights


def _fidelities(states: States) -> Floats:
    if states.kind == "classical":
        root = np.sqrt(states.distributions)
        return np.asarray(root @ root.T)
    if states.kind == "pure":
        return np.asarray(np.abs(states.array.conj() @ states.array.T))
    roots = states.roots()
    out = np.empty((states.count, states.count))
    for i, a in enumerate(roots):
        for j in range(i, states.count):
            # ‖√ρ √σ‖_1 = ‖A†B‖_1 for any A A† = ρ, B B† = σ: no matrix square roots of noise.
            out[i, j] = out[j, i] = float(np.sum(np.linalg.svd(a.conj().T @ roots[j], compute_uv=False)))
    return out


def _helstrom(rho: Complex, sigma: Complex, priors: Floats) -> float:
    gap = np.linalg.eigvalsh(priors[0] * rho - priors[1] * sigma)
    return max(0.0, 0.5 * (1.0 - float(np.sum(np.abs(gap)))))


def _pretty_good(rho: Complex, priors: Floats) -> Complex:
    weighed = priors[:, None, None] * rho
    values, vectors = np.linalg.eigh(np.sum(weighed, axis=0))
    keep = values > 16 * np.finfo(np.float64).eps * len(values) * values[-1]
    whiten = (vectors[:, keep] / np.sqrt(values[keep])) @ vectors[:, keep].conj().T
    return np.asarray(whiten @ weighed @ whiten)


def _success(rho: Complex, priors: Floats, measurement: Complex) -> float:
    return float(np.einsum("i,iab,iba->", priors, rho, measurement).real)


def _error_bounds(states: States, priors: Floats, pretty: float) -> tuple[float, float]:
    if states.count == 1:
        return 0.0, 0.0
    if states.kind == "classical":
        error = bayes_decision(states.distributions, priors)[1]
        return error, error
    rho = states.densities
    if states.count == 2:
        error = _helstrom(rho[0], rho[1], priors)
        return error, error
    # Success of the best measurement: at most the root of the pretty-good one's (Barnum and Knill).
    low = 1.0 - math.sqrt(max(0.0, 1.0 - pretty))
    for i in range(states.count):
        for j in range(i):
            both = priors[[i, j]]
            if both.sum() > 0:
                low = max(low, both.sum() * _helstrom(rho[i], rho[j], both / both.sum()))
    return min(low, pretty), pretty
