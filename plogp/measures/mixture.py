"""Jensen-Shannon divergence of any number of distributions."""

from __future__ import annotations

from typing import Any

from plogp.measures.arrays import Array, cast, check_axis, check_probabilities, floats, is_traced, scalar
from plogp.measures.functional import log_factor, row_masses
from plogp.measures.kl_family import KL

__all__ = ["jensen_shannon"]


def jensen_shannon(
    distributions: Array,
    weights: Array | None = None,
    axis: int = -1,
    component_axis: int = -2,
    *,
    base: float | None = None,
    normalize: bool = False,
) -> Any:
    """Return the generalised Jensen-Shannon divergence Σ_k w_k KL(P_k‖M) with M = Σ_k w_k P_k.

    It equals H(M) - Σ w_k H(P_k): the mutual information between a sample of the mixture and the index of the
    component that it came from, so it is at most H(w).

    Parameters
    ----------
    distributions : array, shape (..., k, K)
        k distributions over K states.
    weights : array, shape (k,), optional
        Non-negative, summing to 1; equal by default.
    axis, component_axis : int
        The probability axis and the axis that counts the distributions.
    base : float, optional
        Logarithm base; nats by default.
    normalize : bool
        Divide the distributions by their mass first.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ValueError
        If an entry is no distribution, or `weights` does not fit.

    Examples
    --------
    >>> round(float(jensen_shannon([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], base=3)), 6)
    1.0

    References
    ----------
    Lin (1991), Divergence measures based on the Shannon entropy.
    """
    xp, (p,), out = floats(distributions=distributions)
    if p.ndim < 2:
        raise ValueError(f"distributions must have a component and a probability axis, got shape {tuple(p.shape)}")
    places = [check_axis(p.shape, a, "distributions") for a in (component_axis, axis)]
    if places[0] == places[1]:
        raise ValueError("axis and component_axis must differ")
    p = xp.moveaxis(p, tuple(places), (-2, -1))
    count = p.shape[-2]
    if normalize:
        p = p / row_masses(xp, p, "distributions")
    check_probabilities(p, -1, "distributions", dtype=out)
    if weights is None:
        w = xp.ones_like(p[..., :, 0]) / count
    else:
        _, (given, _), _ = floats(weights=weights, distributions=p)
        if tuple(given.shape) != (count,):
            raise ValueError(f"weights must have shape ({count},), one per distribution, got {tuple(given.shape)}")
        if not is_traced(given):
            check_probabilities(given, -1, "weights")
        w = xp.zeros_like(p[..., :, 0]) + given
    mixture = xp.sum(w[..., None] * p, axis=-2, keepdims=True)
    mixture = xp.broadcast_to(mixture, p.shape)
    kl = KL()(p, mixture, check=False)
    # A component of weight 0 may have mass where the mixture has none; it does not count.
    live = w > 0
    terms = xp.where(live, w * xp.where(live, kl, xp.zeros_like(w)), xp.zeros_like(w))
    return scalar(cast(xp, xp.sum(terms, axis=-1) * log_factor(base), out))
