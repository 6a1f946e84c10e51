"""`collapse`: generations of a model that is trained on what the one before wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.entropy import entropy
from plogp.measures.registry import divergence

__all__ = ["collapse"]

Floats = npt.NDArray[np.float64]


def collapse(
    model: Any,
    generations: int = 8,
    sampler: Callable[[Floats], Any] | Any = None,
    *,
    n_tokens: int = 3000,
    top_p: float = 0.95,
    tail_mass: float = 0.1,
    rng: Any = None,
) -> dict[str, Floats]:
    """Train a unigram model on its own samples, again and again, and watch it lose its tail.

    Parameters
    ----------
    model : array, shape (V,)
        The law of human text.
    generations : int
        How often a corpus is sampled and the law estimated again from its counts.
    sampler : optional
        What the law goes through after the truncation to `top_p`: a callable ``logits (V,) -> logits``, or an object
        with ``filter`` such as `plogp.decode.TailMix`.
    n_tokens : int
        Size of each corpus.
    top_p : float
        Nucleus truncation of each generation, 1 for none.
    tail_mass : float
        The tail is made of the rarest tokens of human text that have at most this much mass together.
    rng : Generator, int or None

    Returns
    -------
    dict of str to array, shape (generations + 1,)
        ``entropy`` and ``js`` (Jensen-Shannon divergence from human text) in nats, ``support`` (tokens left) and
        ``tail`` (mass of the human tail), of generation 0, which is human, to the last.

    Raises
    ------
    ValueError
        For a model that is no law, or parameters out of range.

    Examples
    --------
    >>> import numpy as np
    >>> zipf = 1 / np.arange(1, 101); zipf /= zipf.sum()
    >>> plain = collapse(zipf, 5, rng=0)
    >>> bool(plain["entropy"][-1] < plain["entropy"][0] - 0.5), int(plain["support"][0])
    (True, 100)
    """
    p = np.asarray(model, dtype=np.float64)
    if p.ndim != 1 or len(p) < 2 or not np.isfinite(p).all() or (p < 0).any() or abs(p.sum() - 1) > 1e-6:
        raise ValueError("model must be a vector of probabilities that sum to 1")
    if generations < 1 or n_tokens < 1 or not 0 < top_p <= 1 or not 0 < tail_mass < 1:
        raise ValueError("expected generations >= 1, n_tokens >= 1, 0 < top_p <= 1 and 0 < tail_mass < 1")
    g = np.random.default_rng(rng)
    human, js = p / p.sum(), divergence("js")
    order = np.argsort(human, kind="stable")
    rare = order[np.cumsum(human[order]) <= tail_mass]
    columns: dict[str, list[float]] = {"entropy": [], "js": [], "support": [], "tail": []}
    law = human
    for step in range(generations + 1):
        if step:
            law = g.multinomial(n_tokens, _drawn_from(law, sampler, top_p)) / n_tokens
        for name, value in (
            ("entropy", float(entropy(law))),
            ("js", float(js(human, law))),
            ("support", float((law > 0).sum())),
            ("tail", float(law[rare].sum())),
        ):
            columns[name].append(value)
    return {name: np.array(values) for name, values in columns.items()}


def _drawn_from(law: Floats, sampler: Any, top_p: float) -> Floats:
    """Return the law truncated to its nucleus and passed through a sampler."""
    order = np.argsort(-law, kind="stable")
    ahead = np.cumsum(law[order]) - law[order]
    kept = np.where(np.isin(np.arange(len(law)), order[ahead < top_p]), law, 0.0)
    if sampler is None:
        return kept / kept.sum()
    with np.errstate(divide="ignore"):
        z = np.log(kept / kept.sum())
    edit = getattr(sampler, "filter", sampler)
    z = np.asarray(edit(z), dtype=np.float64)
    q = np.exp(z - z.max())
    return np.asarray(q / q.sum())
