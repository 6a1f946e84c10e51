"""Effective rank and spectral decay along training, and the phases that the two curves show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_array
from plogp.spectra.spectrum import Spectrum

__all__ = ["GeometryCurve", "Phase", "phases", "project", "track"]

Floats = npt.NDArray[np.float64]


class Phase(NamedTuple):
    """A stretch of training: its name, first and last step, and the RankMe at both ends."""

    name: str
    start: float
    end: float
    rankme_start: float
    rankme_end: float


@dataclass(frozen=True, eq=False)
class GeometryCurve:
    """RankMe and α-ReQ of the features at the checkpoints of a training run.

    Attributes
    ----------
    step : array, shape (S,)
        Rising.
    rankme, alpha, alpha_se : array, shape (S,)
        The effective rank, the exponent of the eigenvalues' decay, and the exponent's standard error (NaN where too
        few eigenvalues are positive for a fit).
    """

    step: Floats
    rankme: Floats
    alpha: Floats
    alpha_se: Floats
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dicts(self) -> list[dict[str, float]]:
        """Return one dictionary a checkpoint."""
        names = ("step", "rankme", "alpha", "alpha_se")
        return [dict(zip(names, map(float, row))) for row in zip(*(getattr(self, n) for n in names))]

    def plot(self, marked: bool = True) -> Any:
        """Draw both curves over the logarithm of the step, the phases shaded; return the matplotlib figure."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(7, 5))
        upper.plot(self.step, self.rankme, marker=".", color="tab:blue")
        upper.set_ylabel("RankMe")
        lower.errorbar(self.step, self.alpha, yerr=self.alpha_se, marker=".", color="tab:orange")
        lower.set_ylabel("α-ReQ")
        lower.set_xlabel("step")
        lower.set_xscale("symlog", linthresh=max(float(self.step[self.step > 0].min(initial=1.0)), 1e-12))
        colours = {"warmup": "0.85", "entropy-seeking": "tab:green", "compression-seeking": "tab:red"}
        for phase in phases(self) if marked and len(self.step) > 2 else []:
            for ax in (upper, lower):
                ax.axvspan(phase.start, phase.end, color=colours[phase.name], alpha=0.15, linewidth=0)
            upper.text(phase.start, 1.01, phase.name, transform=upper.get_xaxis_transform(), fontsize="small")
        figure.tight_layout()
        return figure


def track(
    checkpoints: Mapping[float, Any] | Iterable[tuple[float, Any]],
    features: Callable[[Any], Any] | None = None,
    *,
    of: str = "eigen",
    center: bool = False,
    i0: int | None = None,
    i1: int | None = None,
) -> GeometryCurve:
    r"""Return RankMe and α-ReQ at each checkpoint of a training run.

    With :math:`\sigma_i` the eigenvalues of :math:`F^\top F / M` for the M x d features F (for a language model: the
    last token's hidden state in the final layer, one row a sequence),

    .. math:: \mathrm{RankMe} = \exp\Big(-\sum_i p_i \log p_i\Big), \quad p_i = \sigma_i / \sum_j \sigma_j,

    and α is the slope of :math:`\log\sigma_i = c - α \log i`.

    Parameters
    ----------
    checkpoints : mapping of step to checkpoint, or pairs (step, checkpoint)
        A checkpoint is whatever `features` takes: a model, a path. They are taken one after the other, so a generator
        holds one at a time.
    features : callable, optional
        ``features(checkpoint)`` returns the M x d features; by default the checkpoints are the features.
    of : {"eigen", "singular"}
        Shares of eigenvalues (as the paper has it) or of singular values (as RankMe was published).
    center : bool
        Take the mean row off.
    i0, i1 : int, optional
        Ranks of the fit: see `plogp.spectra.alpha_req`.

    Raises
    ------
    ValueError
        If there is no checkpoint, or steps do not rise.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> runs = {step: rng.normal(size=(200, 20)) * np.arange(1, 21) ** -a for step, a in ((1, 0.2), (10, 1.0))}
    >>> curve = track(runs)
    >>> bool(curve.rankme[0] > curve.rankme[1]), bool(curve.alpha[0] < curve.alpha[1])
    (True, True)

    References
    ----------
    M. Z. Li, K. K. Agrawal, A. Ghosh, K. K. Teru, G. Lajoie and B. Richards (2025), arXiv 2509.23024. Range and
    weights of the fit follow α-ReQ's own conventions; the paper's sample sizes are not assumed.
    """
    if of not in ("eigen", "singular"):
        raise ValueError(f"of must be 'eigen' or 'singular', got {of!r}")
    rows = []
    for step, checkpoint in checkpoints.items() if isinstance(checkpoints, Mapping) else checkpoints:
        F = checkpoint if features is None else features(checkpoint)
        covariance = Spectrum.covariance(F, center)
        shares = covariance if of == "eigen" else Spectrum.singular(F, center)
        try:
            slope = covariance.alpha_req(i0, i1)
            alpha, se = slope.value, slope.se if slope.se is not None else np.nan
        except ValueError:
            if i0 is not None or i1 is not None:
                raise
            alpha, se = np.nan, np.nan  # fewer than three positive eigenvalues
        rows.append((float(step), float(shares.effective_rank), float(alpha), float(se)))
    if not rows:
        raise ValueError("checkpoints is empty; expected pairs of a step and a checkpoint")
    curve = np.array(rows, dtype=np.float64).T
    if (np.diff(curve[0]) <= 0).any():
        raise ValueError(f"steps must rise from checkpoint to checkpoint, got {curve[0].tolist()}")
    steps, ranks, exponents, errors = curve
    return GeometryCurve(steps, ranks, exponents, errors, {"of": of, "center": center})


def phases(curve: GeometryCurve | tuple[Any, Any], *, window: int = 5, hysteresis: float = 0.02) -> list[Phase]:
    """Cut a training run into warmup, entropy-seeking and compression-seeking phases by its effective rank.

    RankMe is smoothed by a running median over checkpoints; a turn counts when the curve has moved back from its last
    extreme by more than `hysteresis` of it. Where RankMe rises, the phase is "entropy-seeking"; where it falls,
    "warmup" if it has not risen before and "compression-seeking" afterwards.

    Parameters
    ----------
    curve : GeometryCurve, or (steps, rankme)
        Checkpoints evenly spaced in the logarithm of the step are what the window is meant for.
    window : int
        Checkpoints in the running median, odd; 1 does not smooth.
    hysteresis : float
        Relative size of a turn.

    Returns
    -------
    list of Phase
        Adjoining, from the first to the last step. A curve that moves by less than `hysteresis` has none.

    Raises
    ------
    ValueError
        For fewer than 3 checkpoints, an even window, or NaN.

    Examples
    --------
    >>> rank = [10, 8, 6, 5, 6, 8, 11, 14, 16, 15, 13, 11]
    >>> [(p.name, p.start, p.end) for p in phases((range(12), rank), window=1)]
    [('warmup', 0.0, 3.0), ('entropy-seeking', 3.0, 8.0), ('compression-seeking', 8.0, 11.0)]

    References
    ----------
    M. Z. Li et al. (2025), arXiv 2509.23024, for the three phases; the rule of the cuts is ours.
    """
    step, rank = (curve.step, curve.rankme) if isinstance(curve, GeometryCurve) else curve
    at, y = (np.asarray(list(v), dtype=np.float64) for v in (step, rank))
    if at.ndim != 1 or at.shape != y.shape or len(at) < 3:
        raise ValueError(f"expected at least 3 checkpoints, steps and ranks of equal length, got {at.shape}, {y.shape}")
    if not (np.isfinite(y).all() and (y > 0).all()):
        raise ValueError("the effective ranks must be positive and finite")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and at least 1, got {window}")
    if not 0 <= hysteresis < 1:
        raise ValueError(f"hysteresis must lie in [0, 1), got {hysteresis}")
    half = min(window // 2, (len(y) - 1) // 2)
    smooth = np.array(
        [np.median(y[i - r : i + r + 1]) for i in range(len(y)) for r in [min(half, i, len(y) - 1 - i)]]
    )  # the window narrows at the ends, so that they stay what they are
    turns, direction = [0], 0
    extreme = 0
    for i in range(1, len(smooth)):
        moved = (smooth[i] - smooth[extreme]) / abs(smooth[extreme])
        if direction == 0:
            if abs(moved) > hysteresis:
                direction, extreme = (1 if moved > 0 else -1), i
        elif direction * moved >= 0:
            extreme = i
        elif -direction * moved > hysteresis:
            turns.append(extreme)
            direction, extreme = -direction, i
    if direction == 0:
        return []
    out: list[Phase] = []
    ends = [*turns, len(at) - 1]
    risen = False
    for a, b in pairwise(ends):
        rising = smooth[b] > smooth[a]
        name = "entropy-seeking" if rising else "compression-seeking" if risen else "warmup"
        risen = risen or rising
        out.append(Phase(name, float(at[a]), float(at[b]), float(smooth[a]), float(smooth[b])))
    return out


def project(H: Any, k: int, keep: str = "top", *, fitted: Any = None, center: bool = False) -> Any:
    r"""Return hidden states projected on their k leading eigen-directions, or with these removed.

    With V the k leading eigenvectors of :math:`H^\top H`: :math:`H V V^\top` for "top", :math:`H - H V V^\top` for
    "bottom". Before a model's output head it shows what the directions carry.

    Parameters
    ----------
    H : array, shape (..., d)
        NumPy or PyTorch; gradients flow through H, not through the directions.
    k : int
        0 to d.
    keep : {"top", "bottom"}
        Keep the leading directions, or all others.
    fitted : array, shape (n, d), optional
        Rows that the directions are taken from; by default those of H.
    center : bool
        Directions of the centred rows, around their mean, which is kept.

    Raises
    ------
    ValueError
        For k outside 0 to d, an unknown `keep`, or other columns in `fitted`.

    Examples
    --------
    >>> H = np.diag([3.0, 2.0, 1.0])
    >>> project(H, 1).round(12).tolist()
    [[3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    >>> bool(np.allclose(project(H, 2) + project(H, 2, "bottom"), H))
    True
    """
    H = H if hasattr(H, "detach") else np.asarray(H)
    d = H.shape[-1]
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 0 <= k <= d:
        raise ValueError(f"k must be a whole number between 0 and {d}, got {k!r}")
    if keep not in ("top", "bottom"):
        raise ValueError(f"keep must be 'top' or 'bottom', got {keep!r}")
    rows = as_array(H if fitted is None else fitted, "H" if fitted is None else "fitted").astype(np.float64)
    if rows.shape[-1] != d:
        raise ValueError(f"fitted has {rows.shape[-1]} columns and H has {d}")
    rows = rows.reshape(-1, d)
    if not np.isfinite(rows).all():
        raise ValueError("H contains NaN or infinite values" if fitted is None else "fitted contains NaN or infinite")
    mean = rows.mean(axis=0) if center else np.zeros(d)
    directions = np.linalg.eigh((rows - mean).T @ (rows - mean))[1][:, ::-1][:, :k]
    if hasattr(H, "detach"):
        import torch

        V, m = (torch.as_tensor(v.copy(), dtype=H.dtype, device=H.device) for v in (directions, mean))
    else:
        V, m = directions.astype(H.dtype, copy=False), mean.astype(H.dtype, copy=False)
    inside = (H - m) @ V @ V.T
    return inside + m if keep == "top" else H - inside
