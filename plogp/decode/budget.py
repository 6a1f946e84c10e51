"""Entropy on a budget: truncate so that the law that is drawn from has a chosen mean entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plogp.decode.sampler import like, positive
from plogp.decode.top_h import prefix_entropy
from plogp.decode.truncation import Truncation, descending, first_ranked
from plogp.measures.arrays import Array, log_softmax

__all__ = ["BudgetedEntropy"]


class BudgetedEntropy(Truncation):
    """Keep the longest prefix of the most probable tokens with H(q) <= h, and move h so that H(q) averages a budget.

    After each draw h ← clip(h − η (H(q) − B), 0, log V), q the renormalised prefix that was drawn from; h starts at B.
    As long as the clip is idle the steps add up, so that after N draws mean H(q) − B = (h_0 − h_N) / (η N): steps
    where the model is sure save entropy that is spent where it is not.

    Parameters
    ----------
    budget : float
        B, nats per token.
    learning_rate : float
        η.

    Raises
    ------
    ValueError
        For a budget or a rate that is not positive; from `observe`, when the logits were not filtered with `step`.

    Notes
    -----
    This sampler is plogp's own: the answer of Mirostat's feedback to top-H's quantity. A budget above the mean entropy
    of the model is out of reach of any truncation; h then rises to log V and nothing is cut. What is held is the mean
    entropy of the truncated law, not the surprisal under the model, for which there is `Mirostat`.

    The state is the allowance h and the entropies of the laws of the last step, which only `step` can write down: a
    decoding loop of one's own calls ``logits, state = sampler.step(logits, state)``.

    Examples
    --------
    >>> import numpy as np
    >>> sampler = BudgetedEntropy(0.65)
    >>> state = sampler.init_state(1)
    >>> logits, state = sampler.step(np.log([[0.5, 0.3, 0.15, 0.05]]), state)
    >>> np.isfinite(logits).tolist()                     # two tokens: H = 0.66 > 0.65
    [[True, False, False, False]]
    >>> state = sampler.observe([0], [np.log(0.5)], state)
    >>> np.isfinite(sampler.filter(np.log([[0.5, 0.3, 0.15, 0.05]]), state)).tolist()
    [[True, True, True, True]]
    """

    stateful = True

    def __init__(self, budget: float = 1.0, learning_rate: float = 1.0):
        self.budget = positive(budget, "budget")
        self.learning_rate = positive(learning_rate, "learning_rate")

    def init_state(self, batch: int) -> Any:
        return {"allowance": np.full(batch, self.budget), "spent": None, "most": math.inf}

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        allowance = state["allowance"]
        if allowance.shape != (z.shape[0],):
            raise ValueError(f"state must hold one allowance per row of logits, {z.shape[0]}, got {allowance.shape[0]}")
        ranked = descending(xp, z)
        spent = prefix_entropy(xp, log_softmax(ranked))
        inside = spent <= like(xp, allowance, z)[:, None]
        # The first violation ends the prefix: its entropy never falls in exact arithmetic.
        size = xp.sum(xp.cumulative_prod(xp.astype(inside, xp.int64), axis=-1), axis=-1, keepdims=True)
        size = xp.clip(size, 1, None)
        entropy = xp.take_along_axis(spent, size - 1, axis=-1)[:, 0]
        noted = np.asarray(entropy.detach().cpu() if hasattr(entropy, "detach") else entropy, dtype=np.float64)
        out = xp.where(first_ranked(xp, z, ranked, size), z, xp.full_like(z, -math.inf))
        return out, {"allowance": allowance, "spent": noted, "most": math.log(max(z.shape[-1], 2))}

    def observe(self, token: Any, logprob: Any, state: Any) -> Any:
        if state["spent"] is None:
            raise ValueError("BudgetedEntropy notes the entropy it left in step(); call step() and pass its state on")
        logprob = np.asarray(logprob.detach().cpu() if hasattr(logprob, "detach") else logprob, dtype=np.float64)
        moved = state["allowance"] - self.learning_rate * (state["spent"] - self.budget)
        allowance = np.where(np.isfinite(logprob), np.clip(moved, 0.0, state["most"]), state["allowance"])
        return {"allowance": allowance, "spent": None, "most": state["most"]}
