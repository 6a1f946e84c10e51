"""Entropy adaptive decoding: a small model writes, and a large one takes over where the entropy runs high."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plogp.decode.controllers import Controller, Decoding, Draw, Floats, Stop, ends, normalized, steps
from plogp.decode.generation import prompt_tokens
from plogp.measures import divergence, entropy_from_logits
from plogp.measures.uncertainty import convert_unit
from plogp.trace.predictors import Session, session

__all__ = ["CostFrontier", "EntropySwitch", "cost_frontier"]


@dataclass
class EntropySwitch(Controller):
    r"""Decode with two models of one vocabulary, the large one only while the rolling entropy is above a threshold.

    At each token the active model's law is read and its entropy H (before any sampler) joins a window of the last w
    values; the token is drawn from the large model where

    .. math:: \bar H_t = \frac{1}{w} \sum_{i = t - w + 1}^{t} H_i > \tau

    and from the small one otherwise. After a switch the model stays for at least `min_dwell` tokens. A model that was
    idle first reads the tokens that it missed. The small model's tokens are not verified, so the output follows
    neither model: ``divergence=True`` reports how far it is from the large one.

    Parameters
    ----------
    small, large : Predictor
        Of one vocabulary. `as_custom_generate` sets `large`.
    tau : float
        Threshold in `unit`. ``-inf`` is the large model, ``inf`` the small one, token by token.
    window : int
        w. The mean is over fewer values where fewer exist.
    min_dwell : int
        The paper's value is not published; 10 is a choice of this library, 1 switches freely.
    unit : {"bits", "nats"}
    start : {"small", "large"}
        The model whose entropy is read first. "large" keeps the large one until w values exist.
    sample : bool
        Draw tokens; False takes the likeliest.
    cost_ratio : float
        Cost of a token of the small model over one of the large: the ratio of their parameters.
    divergence : bool
        Read the large model at every token, to report KL(p_L‖p_S) where the small one was used.

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> large = MarkovLM.random(20, 3.0, rng=0)
    >>> out = EntropySwitch(large.perturbed(1.0, rng=1), large, tau=1.5, min_dwell=1).decode([0], 200, rng=0)
    >>> 0 < out.report["share_large"] < 1, out.report["cost"] < 1
    (True, True)

    References
    ----------
    T. Simonds 2025, arXiv:2502.06833. Logarithm base, window and the stability rule are as public notes on the paper
    give them; that the decision falls on the token about to be drawn is this library's reading.
    """

    small: Any
    large: Any = None
    tau: float = 1.0
    window: int = 5
    min_dwell: int = 10
    unit: str = "bits"
    start: str = "small"
    sample: bool = True
    cost_ratio: float = 0.1
    divergence: bool = False

    _model = "large"

    def __post_init__(self) -> None:
        if math.isnan(self.tau):
            raise ValueError("tau must be a number, got NaN")
        if self.window < 1 or self.min_dwell < 1:
            raise ValueError(f"window and min_dwell must be >= 1, got {self.window} and {self.min_dwell}")
        if self.unit not in ("bits", "nats"):
            raise ValueError(f"unit must be 'bits' or 'nats', got {self.unit!r}")
        if self.start not in ("small", "large"):
            raise ValueError(f"start must be 'small' or 'large', got {self.start!r}")
        if not self.cost_ratio >= 0:
            raise ValueError(f"cost_ratio must be >= 0, got {self.cost_ratio}")
        if self.large is not None and self.small.vocab_size != self.large.vocab_size:
            raise ValueError(
                f"small and large must share one vocabulary, got {self.small.vocab_size} and {self.large.vocab_size}"
            )

    def decode(
        self,
        prompt_ids: Any,
        max_new_tokens: int = 50,
        *,
        rng: Any = None,
        eos: Any = None,
        stop: Stop | None = None,
        sampler: Any = None,
        progress: bool = False,
    ) -> Decoding:
        """Decode after a prompt.

        Parameters
        ----------
        prompt_ids : array of int, shape (n,), or str
        max_new_tokens : int
        rng : Generator, int or None
            One uniform number a token, so that runs with other thresholds share their draws.
        eos, stop, sampler, progress
            End of sequence, ``stop(new_ids) -> bool``, a `Sampler` applied to the active model's logits, a bar.

        Returns
        -------
        Decoding
            `logprob` is the law's that the token was drawn from, before the sampler. report: ``large`` (bool a
            token), ``entropy`` (in `unit`), ``share_large``, ``switches``, ``read_small``, ``read_large`` (tokens
            that each model processed after the prompt, those it caught up on included), ``cost`` (relative to the
            large model alone: f + (1 - f) cost_ratio), ``cost_read`` (the same of what was processed), and with
            `divergence` ``kl`` (a token, in nats; 0 where the large model was used) and ``mean_kl``.
        """
        if self.large is None:
            raise ValueError("large is missing: EntropySwitch(small, large, tau) is needed to decode")
        prompt = prompt_tokens(self.large, prompt_ids)
        draw, stops = Draw(sampler, self.sample, rng), ends(self.large, eos)
        sessions = (session(self.small, prompt), session(self.large, prompt))
        read, per_nat = [0, 0], convert_unit("nats", self.unit)
        active, dwell = int(self.start == "large"), self.min_dwell
        recent: deque[float] = deque(maxlen=self.window)
        ids, logprob, flags, entropies, kl = prompt, list[float](), list[int](), list[float](), list[float]()

        def law(model: int) -> Floats:
            behind = ids[len(sessions[model].ids) :]
            if len(behind):
                sessions[model].feed(behind)
                read[model] += len(behind)
            return normalized(sessions[model].logits)

        for _ in steps(max_new_tokens, progress, "switching models"):
            logits = law(active)
            h = float(entropy_from_logits(logits)) * per_nat
            recent.append(h)
            entropies.append(h)
            warm = self.start == "large" and len(entropies) < self.window
            wanted = active if warm else int(sum(recent) / len(recent) > self.tau)
            if wanted != active and dwell >= self.min_dwell:
                active, dwell = wanted, 0
                logits = law(active)
            dwell += 1
            if self.divergence:
                kl.append(0.0 if active else _kl(sessions, ids, logits))
            token = draw(logits, ids)
            ids = np.append(ids, token)
            logprob.append(float(logits[token]))
            flags.append(active)
            if token in stops or (stop is not None and stop(ids[len(prompt) :])):
                break
        return Decoding(ids[len(prompt) :], np.array(logprob), self._report(flags, entropies, read, kl))

    def _report(self, flags: list[int], entropies: list[float], read: list[int], kl: list[float]) -> dict[str, Any]:
        n, used = max(len(flags), 1), np.array(flags, bool)
        share = float(used.sum() / n)
        # The law of the first new token comes with the prompt, so a model alone processes n - 1 tokens.
        processed = (read[1] + read[0] * self.cost_ratio) / max(n - 1, 1)
        report = {
            "share_large": share,
            "cost": share + (1 - share) * self.cost_ratio,
            "cost_read": processed,
            "switches": int(np.count_nonzero(np.diff(used.astype(int)))),
            "read_small": read[0],
            "read_large": read[1],
            "large": used,
            "entropy": np.array(entropies),
        }
        if self.divergence:
            report |= {"kl": np.array(kl), "mean_kl": float(np.mean(kl)) if kl else math.nan}
        return report


def _kl(sessions: tuple[Session, Session], ids: Any, small: Floats) -> float:
    """KL(p_L‖p_S) at the next token; a reading that is no part of the method's cost."""
    behind = ids[len(sessions[1].ids) :]
    probe = sessions[1].copy() if len(behind) else sessions[1]
    if len(behind):
        probe.feed(behind)
    return float(divergence("kl").from_logits(normalized(probe.logits), small))


@dataclass(frozen=True, eq=False)
class CostFrontier:
    """What `cost_frontier` returns: one entry per threshold.

    Attributes
    ----------
    tau, share_large, cost, mean_kl, mean_logprob : array, shape (k,)
        Threshold; share of tokens by the large model; cost relative to it; mean KL(p_L‖p_S) a token in nats where
        the small one was used; mean log-probability of the output under the large model.
    """

    tau: Floats
    share_large: Floats
    cost: Floats
    mean_kl: Floats
    mean_logprob: Floats

    def plot(self, ax: Any = None, against: str = "mean_kl") -> Any:
        """Draw the frontier of cost against "mean_kl" or "mean_logprob". Needs matplotlib."""
        if against not in ("mean_kl", "mean_logprob"):
            raise ValueError(f"against must be 'mean_kl' or 'mean_logprob', got {against!r}")
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        ax = plt.subplots()[1] if ax is None else ax
        order = np.argsort(self.cost)
        ax.plot(self.cost[order], getattr(self, against)[order], marker="o")
        for t, x, y in zip(self.tau, self.cost, getattr(self, against), strict=True):
            ax.annotate(f"{t:.3g}", (x, y), fontsize=7)
        ax.set_xlabel("cost relative to the large model")
        words = {"mean_kl": "KL from the large model (nats a token)", "mean_logprob": "log-probability (nats a token)"}
        ax.set_ylabel(words[against])
        return ax


def cost_frontier(
    switch: EntropySwitch,
    taus: Sequence[float],
    prompts: Sequence[Any],
    max_new_tokens: int = 50,
    *,
    rng: Any = None,
    eos: Any = None,
    progress: bool = False,
) -> CostFrontier:
    """Sweep the threshold of a switch over some prompts.

    Parameters
    ----------
    switch : EntropySwitch
        Everything but `tau` is taken from it.
    taus : sequence of float
    prompts : sequence of arrays of int
    max_new_tokens : int
    rng : Generator, int or None
        All thresholds share the draws.
    eos, progress
        As `EntropySwitch.decode` takes them.

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> large = MarkovLM.random(20, 3.0, rng=0)
    >>> switch = EntropySwitch(large.perturbed(1.0, rng=1), large, min_dwell=1)
    >>> front = cost_frontier(switch, [-np.inf, 1.0, np.inf], [[0], [1]], 50, rng=0)
    >>> front.share_large[[0, 2]].tolist(), float(front.mean_kl[0])
    ([1.0, 0.0], 0.0)

    References
    ----------
    T. Simonds 2025, arXiv:2502.06833.
    """
    if not len(taus) or not len(prompts):
        raise ValueError(f"taus and prompts must not be empty, got {len(taus)} and {len(prompts)}")
    seed = int(np.random.default_rng(rng).integers(2**62))
    rows = []
    for _, tau in zip(steps(len(taus), progress, "thresholds"), taus):
        run = replace(switch, tau=float(tau), divergence=True)
        outs = [run.decode(p, max_new_tokens, rng=seed + i, eos=eos) for i, p in enumerate(prompts)]
        weight = np.array([len(o) for o in outs], float)
        share = float(np.average([o.report["share_large"] for o in outs], weights=weight))
        kl = float(np.average([o.report["mean_kl"] for o in outs], weights=weight))
        scored = sum(
            _logprob(switch.large, prompt_tokens(switch.large, p), o.ids) for p, o in zip(prompts, outs, strict=True)
        ) / float(weight.sum())
        rows.append((tau, share, share + (1 - share) * switch.cost_ratio, kl, scored))
    return CostFrontier(*np.array(rows, np.float64).T)


def _logprob(predictor: Any, prompt: Any, new: Any) -> float:
    """Log-probability of the new tokens after the prompt."""
    total = 0.0
    for where, rows in predictor.blocks(new, prompt):
        total += float(np.take_along_axis(normalized(rows), new[where][:, None], axis=1).sum())
    return total
