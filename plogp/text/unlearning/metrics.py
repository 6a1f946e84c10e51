"""`metrics` of one unlearned model, and `klom`, which compares many with many retrained ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.roc import auc
from plogp.measures.arrays import logsumexp
from plogp.measures.registry import divergence

__all__ = ["klom", "margins", "metrics"]

Floats = npt.NDArray[np.float64]


def margins(logits: Any, labels: Any) -> Floats:
    r"""Return the margin of the label, :math:`z_y - \log\sum_{c \ne y} e^{z_c}`: the log-odds of the label.

    Parameters
    ----------
    logits : array, shape (..., n, C)
        Of one model or of several, on n points.
    labels : array of int, shape (n,)

    Returns
    -------
    array, shape (..., n)

    Examples
    --------
    >>> margins([[2.0, 0.0], [0.0, 3.0]], [0, 0]).tolist()
    [2.0, -3.0]
    """
    z, y = _numbers(logits, "logits"), np.asarray(_numpy(labels))
    if z.ndim < 2 or y.shape != z.shape[-2:-1] or z.shape[-1] < 2:
        raise ValueError(f"expected logits (..., n, C) with C >= 2 and n labels, got {z.shape} and {y.shape}")
    if y.dtype.kind not in "iu" or (len(y) and not (y.min() >= 0 and y.max() < z.shape[-1])):
        raise ValueError(f"labels must be whole numbers below {z.shape[-1]}")
    own = np.arange(z.shape[-1]) == y[:, None]
    return np.asarray(z[..., own] - logsumexp(np.where(own, -np.inf, z), axis=-1))


def klom(margins_unlearned: Any, margins_oracle: Any, bins: int = 20, eps: float = 1e-5, clip: float = 100.0) -> Floats:
    r"""KL divergence of margins, a point at a time: of unlearned models from models retrained without the data.

    For each point the margins of both groups, clipped to ±`clip`, are counted in `bins` equal bins over their joint
    range (one unit wide where all are the same), and

    .. math:: \mathrm{KLoM}(x) = \sum_b p_b \log\frac{p_b}{q_b}

    with p of the unlearned models and q of the oracles, q raised to `eps` where p > 0 and q then made to sum to 1.
    The binning leaves a floor: two groups of N draws of one law give about (bins filled - 1)/N nats rather than 0.

    Parameters
    ----------
    margins_unlearned, margins_oracle : array, shape (N, n) and (M, n)
        A row for each model, from runs with different seeds; see `margins`. The paper takes 100 of each.

    Returns
    -------
    array, shape (n,), nats

    Raises
    ------
    ValueError
        For other shapes, NaN, fewer than one bin, or `eps` outside (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> klom(x, x).round(12).tolist()
    [0.0, 0.0, 0.0]
    >>> klom(np.zeros((50, 1)), np.ones((50, 1))).round(2).tolist()
    [11.51]

    References
    ----------
    Georgiev et al., "Attribute-to-Delete: Machine Unlearning via Datamodel Matching" (2024), arXiv:2410.23232. The
    released code leaves every margin that equals the largest out of the counts; here the last bin holds its right end.
    """
    a, b = _numbers(margins_unlearned, "margins_unlearned"), _numbers(margins_oracle, "margins_oracle")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not len(a) or not len(b):
        raise ValueError(
            f"expected margins of shape (models, points), the same points in both, got {a.shape}, {b.shape}"
        )
    if bins < 1 or not 0 < eps < 1 or not clip > 0:
        raise ValueError(f"expected bins >= 1, 0 < eps < 1 and clip > 0, got {bins}, {eps} and {clip}")
    a, b = np.clip(a, -clip, clip), np.clip(b, -clip, clip)
    low, high = np.minimum(a.min(0), b.min(0)), np.maximum(a.max(0), b.max(0))
    high = np.where(low < high, high, low + 1)
    p, q = (_shares(x, low, high, bins) for x in (a, b))
    q = np.where(p > 0, np.maximum(q, eps), q)
    return np.asarray(divergence("kl")(p, q / q.sum(-1, keepdims=True)), dtype=np.float64)


def _shares(x: Floats, low: Floats, high: Floats, bins: int) -> Floats:
    """Return the share of each column's values in each of its bins, (n, bins)."""
    edges = np.linspace(low, high, bins + 1)
    # A value belongs to the last edge that is not above it: as digitize has it, but for the right end.
    place = np.clip((x[:, :, None] >= edges.T[None]).sum(-1) - 1, 0, bins - 1)
    counts = np.zeros((x.shape[1], bins))
    np.add.at(counts, (np.broadcast_to(np.arange(x.shape[1]), place.shape), place), 1.0)
    return counts / len(x)


def metrics(
    model: Callable[[Any], Any],
    oracle: Callable[[Any], Any] | None,
    forget: tuple[Any, Any],
    retain: tuple[Any, Any],
    holdout: tuple[Any, Any],
    *,
    original: Callable[[Any], Any] | None = None,
    activations: Callable[[Any, Any], Any] | None = None,
) -> dict[str, float]:
    r"""Return the usual metrics of one unlearned model.

    Parameters
    ----------
    model, oracle : callable
        ``model(x) -> logits (n, C)``; the oracle is retrained without the forget set. Without one (None) the reference
        of AD and JS is `original`.
    forget, retain, holdout : (inputs, labels)
        `holdout` was seen by no model.
    original : callable, optional
        The model before unlearning.
    activations : callable, optional
        ``activations(model, x) -> (n, d)``. By default what goes into the last linear layer of a torch module; for
        other callables there is no AD unless this is given.

    Returns
    -------
    dict
        ``FA``, ``RA``: accuracy on the forget and the retain set. ``MIA``: probability that a forget item has a lower
        loss than a held-out one (AUC; 0.5 when nothing is left to see). ``JS``: mean Jensen-Shannon divergence, in
        nats, of the outputs on the forget set from the reference's. ``AD``: mean Euclidean distance of activations
        there. ``distance``, with an oracle: mean Jensen-Shannon divergence from it over all inputs given.

    Raises
    ------
    ValueError
        Without oracle and original, for an empty set, or for labels that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.eye(3), np.arange(3)
    >>> found = metrics(lambda x: 5 * x, lambda x: 0 * x, (x[:1], y[:1]), (x[1:], y[1:]), (x[::-1], y[::-1]))
    >>> found["FA"], found["MIA"], round(found["JS"], 3)
    (1.0, 0.5, 0.287)
    """
    from scipy.stats import rankdata

    reference = original if oracle is None else oracle
    if reference is None:
        raise ValueError("oracle: give the retrained model, or original= where there is none")
    parts = {name: (pair[0], np.asarray(_numpy(pair[1]))) for name, pair in _named(forget, retain, holdout)}
    for name, (_, labels) in parts.items():
        if not len(labels):
            raise ValueError(f"{name} must hold at least one example")
    logits = {name: _logits(model, x) for name, (x, _) in parts.items()}
    theirs = {name: _logits(reference, x) for name, (x, _) in parts.items()}
    js = divergence("js")
    apart = {name: np.asarray(js.from_logits(logits[name], theirs[name])) for name in parts}

    def accuracy(name: str) -> float:
        return float((logits[name].argmax(-1) == parts[name][1]).mean())

    def score(name: str) -> Floats:
        return margins(logits[name], parts[name][1])

    seen = [score("forget"), score("holdout")]  # ranks carry infinite margins as well
    out = {
        "FA": accuracy("forget"),
        "RA": accuracy("retain"),
        "MIA": auc(rankdata(np.concatenate(seen)), np.repeat([1, 0], [len(s) for s in seen])).value,
        "JS": float(apart["forget"].mean()),
    }
    read = activations or (_last_hidden if hasattr(model, "modules") and hasattr(reference, "modules") else None)
    if read is not None:
        a, b = (_numbers(read(m, forget[0]), "activations") for m in (model, reference))
        out["AD"] = float(np.linalg.norm((a - b).reshape(len(a), -1), axis=-1).mean())
    if oracle is not None:
        out["distance"] = float(np.concatenate(list(apart.values())).mean())
    return out


def _named(forget: Any, retain: Any, holdout: Any) -> list[tuple[str, Any]]:
    return [("forget", forget), ("retain", retain), ("holdout", holdout)]


def _logits(model: Callable[[Any], Any], x: Any) -> Floats:
    if hasattr(model, "modules"):
        import torch

        with torch.inference_mode():
            return _numbers(model(x), "logits")
    return _numbers(model(x), "logits")


def _last_hidden(model: Any, x: Any) -> Any:
    import torch

    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    if not last:
        raise ValueError("activations: the model has no linear layer; pass activations=")
    seen: list[Any] = []
    handle = last[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        with torch.inference_mode():
            model(x)
    finally:
        handle.remove()
    return seen[-1]


def _numpy(x: Any) -> Any:
    return x.detach().cpu().numpy() if hasattr(x, "detach") else x


def _numbers(x: Any, name: str) -> Floats:
    out = np.asarray(_numpy(x.double() if hasattr(x, "detach") else x), dtype=np.float64)
    if np.isnan(out).any():
        raise ValueError(f"{name} must not hold NaN")
    return out
