"""Work and information: when work can be extracted with certainty, and how much.

The theorem (Marletto): if one machine extracts *different* amounts of work with certainty from a system
prepared in any one of several states, without being told which, then those states are distinguishable. It
follows from energy conservation alone. Equal amounts say nothing, and each state by itself may yield work.
An extractor is an isometry |s_i>|0> → |f_i>|w_i>, with the battery states |w_i> orthogonal where the works
differ. Isometries keep inner products, <s_i|s_j> = <f_i|f_j><w_i|w_j>, hence different works need
<s_i|s_j> = 0, mixed states orthogonal supports, and distributions disjoint ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import check_probabilities, log_probabilities, logsumexp
from plogp.measures.distinguishability import States, distinguishable, isometry_between
from plogp.measures.registry import divergence

__all__ = ["WorkVerdict", "extractable", "one_shot"]

Complex = npt.NDArray[np.complex128]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WorkVerdict:
    """Whether a machine that extracts the works with certainty exists.

    Attributes
    ----------
    possible : bool
        The verdict.
    witness : array (d * n_levels, d) or None
        If possible, such a machine: an isometry from the system to system ⊗ battery (the battery index runs
        fastest) that takes |s_i> to |f_i>|w_i>.
    levels : array (n_levels,)
        Battery energies, ascending.
    violating_pair : (int, int) or None
        If impossible because two states with different works are not distinguishable: the worst such pair.
    helstrom_error : float
        Least probability that a machine takes one of that pair for the other, both being equally likely (a
        machine that conserves energy, if a Hamiltonian was given); 0 where no pair violates the condition.
    reason : str
        The verdict in words.
    """

    possible: bool
    witness: Complex | None
    levels: Floats
    violating_pair: tuple[int, int] | None
    helstrom_error: float
    reason: str

    def __bool__(self) -> bool:
        return self.possible

    def __repr__(self) -> str:
        return f"WorkVerdict({'possible' if self.possible else 'impossible'}: {self.reason})"


def extractable(
    states: Any,
    works: Any,
    tol: float = 1e-9,
    *,
    residues: Any = None,
    hamiltonian: Any = None,
    kind: Literal["auto", "pure", "mixed", "classical"] = "auto",
) -> WorkVerdict:
    """Return whether one machine can extract `works[i]` with certainty from `states[i]`, whichever i it is.

    Parameters
    ----------
    states : array
        (k, d) pure states or distributions over micro-states, or (k, d, d) density matrices.
    works : array (k,)
        Work to be extracted from each state.
    tol : float
        Tolerance for orthogonality (root fidelity), for Gram matrices, and for equality of energies.
    residues : array (k, d), optional
        States that the system must be left in (pure inputs only); free by default.
    hamiltonian : array (d,) or (d, d), optional
        Energies of the system. The machine must then conserve the sum of system and battery energy: in each
        block of total energy E the states with different works must be orthogonal (their coherences between
        blocks do not help), and the system needs enough levels at E - w to be left in. Without it the
        machine may use other sources of energy.
    kind : {"auto", "pure", "mixed", "classical"}
        What the rows are; see `plogp.measures.distinguishability.States`.

    Raises
    ------
    ValueError
        For malformed states or works, or residues together with mixed states or a Hamiltonian.

    Examples
    --------
    >>> bool(extractable([[1, 0], [0, 1]], [0.0, 1.0]))
    True
    >>> verdict = extractable([[1, 0], [0.6, 0.8]], [0.0, 1.0])
    >>> verdict.possible, verdict.violating_pair, round(verdict.helstrom_error, 6)
    (False, (0, 1), 0.1)
    >>> bool(extractable([[1, 0], [0.6, 0.8]], [1.0, 1.0]))  # equal works need no distinction
    True

    The two superpositions are orthogonal, yet no machine that conserves energy tells them apart by the work:

    >>> plus, minus = np.array([1, 1]) / np.sqrt(2), np.array([1, -1]) / np.sqrt(2)
    >>> bool(extractable([plus, minus], [0.0, 1.0], hamiltonian=[0.0, 1.0]))
    False

    References
    ----------
    C. Marletto 2022, J. Phys. Commun. 6:055012, arXiv:2009.04588. The Gram-matrix criterion and its form
    with conserved energy are derived here from her theorem's quantum case.
    """
    # Basis states are distributions as well; next to residues they are meant as vectors.
    checked = States(states, "pure" if kind == "auto" and residues is not None else kind)
    amounts = np.asarray(works, dtype=np.float64)
    if amounts.shape != (checked.count,) or not np.all(np.isfinite(amounts)):
        raise ValueError(
            f"works must hold {checked.count} finite numbers, one for each state, got shape {amounts.shape}"
        )
    if not tol > 0:
        raise ValueError(f"tol must be positive, got {tol!r}")
    if residues is not None:
        if checked.kind != "pure" or hamiltonian is not None:
            raise ValueError("residues can be prescribed for pure states without a hamiltonian only")
        return _with_residues(checked, amounts, States(residues, "pure"), tol)
    groups = _groups(amounts, tol)
    energies = np.zeros((checked.dim, checked.dim)) if hamiltonian is None else _hamiltonian(hamiltonian, checked)
    blocks = _blocks(energies, tol)
    found = _violation(_dephased(checked, blocks) if len(blocks) > 1 else checked, groups, tol)
    if found is not None:
        pair, error = found
        how = "" if hamiltonian is None else " by a machine that conserves energy"
        reason = f"states {pair[0]} and {pair[1]} are to yield different works but are not distinguishable{how}"
        return WorkVerdict(False, None, _levels(amounts, groups), pair, error, reason)
    return _machine(checked, amounts, groups, blocks, hamiltonian is not None, tol)


def one_shot(
    p: Any,
    energies: Any,
    temperature: float,
    kind: Literal["deterministic", "average", "formation", "erasure"] = "deterministic",
) -> float:
    """Return the work, in the unit of `energies`, that a known diagonal state and a heat bath can yield.

    With g the thermal distribution and ``temperature`` = kT in energy units:

    - ``"deterministic"``: kT D_0(p‖g) = -kT log Σ_{p_i>0} g_i, obtained in every single run;
    - ``"average"``: kT KL(p‖g), the mean over many runs;
    - ``"formation"``: kT D_∞(p‖g) = kT log max p_i/g_i, what making the state costs with certainty;
    - ``"erasure"``: the mean work to reset the state to the lowest level, kT [KL(δ_0‖g) - KL(p‖g)]; for
      degenerate levels Landauer's kT H(p).

    Always deterministic <= average <= formation.

    Parameters
    ----------
    p, energies : arrays (d,)
        Populations and energies of the levels; energies are finite.
    temperature : float
        kT > 0.
    kind : str
        Which work.

    Raises
    ------
    ValueError
        For mismatched shapes, a temperature that is not positive, or an unknown kind.

    Examples
    --------
    Szilard: one known bit is worth kT log 2, in every sense.

    >>> [round(one_shot([1.0, 0.0], [0.0, 0.0], 1.0, kind), 6) for kind in ("deterministic", "average")]
    [0.693147, 0.693147]
    >>> one_shot([0.9, 0.1], [0.0, 0.0], 1.0)  # nothing is certain if every level may be occupied
    0.0

    References
    ----------
    J. Åberg 2013, arXiv:1110.6121; M. Horodecki and J. Oppenheim 2013, arXiv:1111.3834.
    """
    populations, levels = np.asarray(p, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    if populations.ndim != 1 or levels.shape != populations.shape or not np.all(np.isfinite(levels)):
        raise ValueError(
            f"p and energies must be one-dimensional, of one length, and energies finite; got shapes "
            f"{populations.shape} and {levels.shape}"
        )
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be positive and finite, got {temperature!r}")
    orders = {"deterministic": 0.0, "average": 1.0, "formation": math.inf}
    if kind not in orders and kind != "erasure":
        raise ValueError(f"kind must be one of {', '.join([*orders, 'erasure'])}, got {kind!r}")
    check_probabilities(populations, -1, "p")
    # In logarithms, so that levels far above kT do not underflow to an infinite work.
    thermal = -levels / temperature
    thermal = thermal - logsumexp(thermal)
    order = orders.get(kind, 1.0)
    nats = divergence("renyi", alpha=order).from_log_probs(log_probabilities(populations), thermal)
    if kind == "erasure":
        nats = -float(np.max(thermal)) - nats
    return float(temperature * nats) + 0.0  # no negative zero


def _groups(works: Floats, tol: float) -> list[list[int]]:
    """Indices of the states with equal works, in ascending order of work."""
    order = np.argsort(works, kind="stable")
    groups: list[list[int]] = []
    for i in order.tolist():
        if groups and works[i] - works[groups[-1][-1]] <= tol:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _levels(works: Floats, groups: list[list[int]]) -> Floats:
    return np.unique(np.concatenate([[0.0], [works[g[0]] for g in groups]]))


def _violation(states: States, groups: list[list[int]], tol: float) -> tuple[tuple[int, int], float] | None:
    """Return the least distinguishable pair with different works, and its Helstrom error."""
    fidelity = distinguishable(states.array, kind=states.kind).fidelity.copy()  # type: ignore[arg-type]
    for group in groups:
        fidelity[np.ix_(group, group)] = -1.0
    if np.max(fidelity) <= tol:
        return None
    i, j = sorted(int(k) for k in np.unravel_index(int(np.argmax(fidelity)), fidelity.shape))
    pair = distinguishable(states.array[[i, j]], kind=states.kind)  # type: ignore[arg-type]
    return (i, j), pair.pair_error


def _with_residues(states: States, works: Floats, residues: States, tol: float) -> WorkVerdict:
    if (residues.count, residues.dim) != (states.count, states.dim):
        raise ValueError(f"residues must have the shape of states, {(states.count, states.dim)}")
    groups = _groups(works, tol)
    levels = _levels(works, groups)
    battery = np.eye(len(levels))[[int(np.argmin(np.abs(levels - w))) for w in works]]
    outputs = np.einsum("ia,ib->iab", residues.array, battery).reshape(states.count, -1)
    witness = isometry_between(states.array, outputs, tol=tol)
    if witness is not None:
        return WorkVerdict(True, witness, levels, None, 0.0, "the Gram matrices of input and output agree")
    gap = np.abs(states.array.conj() @ states.array.T - outputs.conj() @ outputs.T)
    i, j = sorted(int(k) for k in np.unravel_index(int(np.argmax(gap)), gap.shape))
    error = distinguishable(states.array[[i, j]], kind="pure").pair_error
    reason = f"states {i} and {j} would change their overlap by {gap[i, j]:.3g}"
    return WorkVerdict(False, None, levels, (i, j), error, reason)


def _hamiltonian(hamiltonian: Any, states: States) -> Complex:
    matrix = np.asarray(hamiltonian, dtype=np.complex128)
    matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
    if matrix.shape != (states.dim, states.dim) or not np.all(np.isfinite(matrix)):
        raise ValueError(f"hamiltonian must be finite of shape ({states.dim},) or its square, got {matrix.shape}")
    if np.any(np.abs(matrix - matrix.conj().T) > 1e-9):
        raise ValueError("hamiltonian must be Hermitian")
    return matrix


def _dephased(states: States, blocks: list[tuple[float, Complex]]) -> States:
    """Return Σ_E P_E ρ P_E: all that a machine that conserves energy can see of ρ in the battery's energy."""
    projectors = np.stack([basis @ basis.conj().T for _, basis in blocks])
    return States(np.einsum("eab,ibc,ecd->iad", projectors, states.densities, projectors), "mixed")


def _machine(
    states: States,
    works: Floats,
    groups: list[list[int]],
    blocks: list[tuple[float, Complex]],
    conserve: bool,
    tol: float,
) -> WorkVerdict:
    """Build the machine one block of total energy at a time (one block only if energy is free).

    In block E, group g goes from its span into the system's level E - w_g (anywhere if energy is free), and
    what no state touches stays where it is with the battery at 0.
    """
    levels = _levels(works, groups)
    zero = int(np.argmin(np.abs(levels)))
    machine = np.zeros((states.dim, len(levels), states.dim), dtype=np.complex128)
    roots = states.roots()
    for value, basis in blocks:
        rest = basis @ basis.conj().T
        for group in groups:
            work = works[group[0]]
            span = _span(basis.conj().T @ np.concatenate([roots[i] for i in group], axis=1))
            source = basis @ span
            stays = not conserve or abs(work) <= tol
            place = source if stays else _level(blocks, value - work, tol)
            if span.shape[1] > place.shape[1]:
                reason = f"the system has no room at energy {value:.6g} - {work:.6g} to be left in"
                return WorkVerdict(False, None, levels, None, 0.0, reason)
            machine[:, int(np.argmin(np.abs(levels - work))), :] += place[:, : span.shape[1]] @ source.conj().T
            rest = rest - source @ source.conj().T
        machine[:, zero, :] += rest
    reason = "states of different works are distinguishable" if len(groups) > 1 else "all works are equal"
    witness = machine.reshape(states.dim * len(levels), states.dim)
    return WorkVerdict(True, witness, levels, None, 0.0, reason)


def _span(vectors: Complex) -> Complex:
    """An orthonormal basis of the columns."""
    left, values, _ = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(left[:, values > 1e-12])


def _blocks(energy: npt.NDArray[Any], tol: float) -> list[tuple[float, Complex]]:
    """Distinct energies, each with an orthonormal basis of its level."""
    values, vectors = np.linalg.eigh(energy.astype(np.complex128))
    cuts = np.flatnonzero(np.diff(values) > tol) + 1
    parts = np.split(np.arange(len(values)), cuts)
    return [(float(np.mean(values[part])), vectors[:, part]) for part in parts]


def _level(blocks: list[tuple[float, Complex]], value: float, tol: float) -> Complex:
    """The basis of the level at `value`; no columns if there is none."""
    none = np.zeros((len(blocks[0][1]), 0), dtype=np.complex128)
    return next((basis for energy, basis in blocks if abs(energy - value) <= 2 * tol), none)
