"""Decoding with masked diffusion language models, and what unmasking several tokens at once costs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from plogp.decode.controllers import Floats, Ints, normalized, steps
from plogp.measures import entropy_from_logits, joint_entropy
from plogp.measures.arrays import check_probabilities

__all__ = [
    "HFMaskedPredictor",
    "JointMaskedPredictor",
    "MarkovMaskedPredictor",
    "MaskedDiffusionDecoder",
    "MaskedGeneration",
    "MaskedPredictor",
    "pass_at_k",
    "plan_law",
    "unmask_cost",
]

ALGORITHMS = ("low_confidence", "maskgit", "entropy", "margin", "random", "origin")


class MaskedPredictor(Protocol):
    """A model of every masked position at once, given the others."""

    vocab_size: int

    def __call__(self, ids: Ints) -> Any:
        """Return logits (batch, tokens, vocabulary) of ids (batch, tokens), some of which are the mask."""
        ...


@dataclass
class HFMaskedPredictor:
    """A transformers model whose logits stand at the masked positions: LLaDA, BERT and their kin.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(input_ids=...)`` returns an object with `logits`; run in evaluation mode, without gradient.
    shift : bool
        For models that predict position i at i - 1 (Dream and others that grew out of a causal model): the logits
        are moved by one to the right, the first repeated.
    batch_size : int
        Rows a forward pass.
    """

    model: Any
    shift: bool = False
    batch_size: int = 16

    def __post_init__(self) -> None:
        self.vocab_size = int(self.model.config.vocab_size)

    def __call__(self, ids: Ints) -> Floats:
        """Return logits of ids, shape (batch, tokens, vocabulary)."""
        import torch

        from plogp.trace.passes import evaluating

        device = next(self.model.parameters()).device
        rows = []
        with evaluating(self.model):
            for start in range(0, len(ids), self.batch_size):
                out = self.model(input_ids=torch.as_tensor(ids[start : start + self.batch_size], device=device))
                rows.append(out.logits.double().cpu().numpy())
        logits = np.concatenate(rows)
        if self.shift:
            logits = np.concatenate([logits[:, :1], logits[:, :-1]], axis=1)
        return np.asarray(logits)


class JointMaskedPredictor:
    """The exact conditional marginals of a known joint law: a world to test decoders in.

    Parameters
    ----------
    joint : array, shape (K, ..., K)
        One axis a position; the mask id is K.

    Examples
    --------
    >>> world = JointMaskedPredictor([[0.5, 0.0], [0.0, 0.5]])
    >>> np.exp(world(np.array([[1, 2]]))).round(3).tolist()
    [[[0.0, 1.0], [0.0, 1.0]]]
    """

    def __init__(self, joint: Any) -> None:
        self.joint = np.asarray(joint, np.float64)
        check_probabilities(self.joint, axis=tuple(range(self.joint.ndim)), name="joint")
        if len(set(self.joint.shape)) != 1:
            raise ValueError(f"joint must have axes of one length, got shape {self.joint.shape}")
        self.vocab_size = self.mask_id = self.joint.shape[0]

    def __call__(self, ids: Ints) -> Floats:
        """Return log p(x_i | the positions that are not masked) for every i, shape (batch, L, K)."""
        length, k = self.joint.ndim, self.vocab_size
        out = np.full((len(ids), length, k), -np.inf)
        for b, row in enumerate(ids):
            known = [np.eye(k)[x] if x < k else np.ones(k) for x in row]
            weight = self.joint
            for i, factor in enumerate(known):
                weight = weight * factor.reshape([-1 if j == i else 1 for j in range(length)])
            for i in range(length):
                marginal = weight.sum(axis=tuple(j for j in range(length) if j != i))
                if not marginal.sum() > 0:
                    raise ValueError(f"ids row {b} fixes positions to values of probability 0")
                out[b, i] = _log(marginal / marginal.sum())
        return out


class MarkovMaskedPredictor:
    """The exact conditional marginals of a Markov chain of order 1, by messages from both sides.

    Parameters
    ----------
    chain : MarkovLM

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> world = MarkovMaskedPredictor(MarkovLM([[0.9, 0.1], [0.2, 0.8]]))
    >>> np.exp(world(np.array([[0, 2, 1]])))[0, 1].round(3).tolist()  # 0.9 * 0.1 against 0.1 * 0.8
    [0.529, 0.471]
    """

    def __init__(self, chain: Any) -> None:
        if chain.order != 1:
            raise ValueError(f"chain must have order 1, got {chain.order}")
        self.transition, self.initial = np.asarray(chain.transition), np.asarray(chain.initial)
        self.vocab_size = self.mask_id = int(chain.vocab_size)

    def __call__(self, ids: Ints) -> Floats:
        """Return log p(x_i | the positions that are not masked), shape (batch, L, K)."""
        known = np.concatenate([np.eye(self.vocab_size), np.ones((1, self.vocab_size))])[ids]
        forward, backward = np.empty_like(known), np.empty_like(known)
        forward[:, 0], backward[:, -1] = self.initial, 1.0
        for i in range(1, ids.shape[1]):
            forward[:, i] = _scaled(forward[:, i - 1] * known[:, i - 1]) @ self.transition
        for i in range(ids.shape[1] - 2, -1, -1):
            backward[:, i] = _scaled(backward[:, i + 1] * known[:, i + 1]) @ self.transition.T
        return _log(_scaled(forward * backward * known))


def _scaled(weight: Floats) -> Floats:
    total = weight.sum(axis=-1, keepdims=True)
    if not np.all(total > 0):
        raise ValueError("ids fix positions to values of probability 0")
    return np.asarray(weight / total)


def _log(p: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(p)


@dataclass(frozen=True, eq=False)
class MaskedGeneration:
    """What `MaskedDiffusionDecoder.generate` returns.

    Attributes
    ----------
    ids : array of int64, shape (batch, length)
        The new tokens.
    order : array of int, shape (batch, length)
        The step, from 0, at which each was fixed.
    confidence : array, shape (batch, length)
        Log-probability of each when it was fixed, under the model's law at that step (guidance included, without
        temperature).
    steps : int
        Model evaluations.
    seconds : float
    """

    ids: Ints
    order: Ints
    confidence: Floats
    steps: int
    seconds: float

    @property
    def tokens_per_step(self) -> float:
        """Tokens of a sequence for each evaluation of the model."""
        return self.ids.shape[1] / max(self.steps, 1)

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all sequences a second."""
        return self.ids.size / max(self.seconds, 1e-12)

    def __repr__(self) -> str:
        return f"MaskedGeneration({self.ids.shape[0]} x {self.ids.shape[1]} tokens in {self.steps} steps)"


@dataclass
class MaskedDiffusionDecoder:
    r"""Fill masks step by step: all positions are predicted at once, and the surest are fixed.

    Schedule "llada": blocks of `block` tokens from left to right, each in its share of the steps; a step fixes
    ⌊m / n⌋ of the block's m masks, and the remainder one more in the first steps. The token is the argmax of
    exp(z) / (-log u)^T. Confidence is read from the law without noise and temperature. The mask itself is never
    chosen (the study's code lets a model choose it, and leaves the position open).

    Schedule "dream": no blocks; with times from 1 to `eps` in equal steps, step i fixes
    :math:`\lfloor m (1 - t_{i+1} / t_i) \rfloor` of the m masks that are left, and the last step all. The token is
    drawn from the tempered law cut to its `top_p`, from which confidence is read too.

    Parameters
    ----------
    predictor : MaskedPredictor
    mask_id : int, optional
        By default the predictor's own.
    steps : int
    block : int, optional
        "llada" only; by default the whole length.
    alg : {"low_confidence", "maskgit", "entropy", "margin", "random", "origin"}
        What is fixed first. "low_confidence" and "maskgit" are both the probability of the chosen token; "entropy" is
        minus the position's entropy; "margin" the difference of the two largest probabilities; "origin" (Dream)
        fixes each mask with probability 1 - t_{i+1} / t_i, not a set number.
    temperature : float
        0 takes the likeliest token.
    cfg : float
        Guidance w: logits z_u + (w + 1)(z - z_u), z_u with the prompt masked.
    alg_temp : float
        Above 0 the positions are drawn without replacement from softmax(confidence / alg_temp).
    top_p : float
    schedule : {"llada", "dream"}
    eps : float

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> world = MarkovMaskedPredictor(MarkovLM.random(5, 2.0, rng=0))
    >>> out = MaskedDiffusionDecoder(world, steps=4, block=4).generate([1, 2], 8)
    >>> out.ids.shape, out.tokens_per_step, sorted(set(out.order[0].tolist()))
    ((1, 8), 2.0, [0, 1, 2, 3])

    References
    ----------
    C. Zhang et al. 2025, arXiv:2509.11252 (the study); S. Nie et al. 2025, arXiv:2502.09992 (LLaDA); J. Ye et al.
    2025, arXiv:2508.15487 (Dream). The study's LLaDA function was run beside this one. Its settings: LLaDA 512 steps
    for 512 tokens, block 64, temperature 0.4, random; LLaDA-1.5 block 32, temperature 0, low_confidence; Dream-Coder
    2048 steps for 2048 tokens, temperature 0, top_p 0.95, maskgit.
    """

    predictor: Any
    mask_id: int | None = None
    steps: int = 128
    block: int | None = None
    alg: str = "low_confidence"
    temperature: float = 0.0
    cfg: float = 0.0
    alg_temp: float = 0.0
    top_p: float = 1.0
    schedule: str = "llada"
    eps: float = 1e-3

    def __post_init__(self) -> None:
        if self.mask_id is None:
            self.mask_id = getattr(self.predictor, "mask_id", None)
        if self.mask_id is None:
            raise ValueError("mask_id is missing: give the id of the mask token")
        if self.alg not in ALGORITHMS:
            raise ValueError(f"alg must be one of {', '.join(ALGORITHMS)}, got {self.alg!r}")
        if self.schedule not in ("llada", "dream"):
            raise ValueError(f"schedule must be 'llada' or 'dream', got {self.schedule!r}")
        if self.alg == "origin" and self.schedule != "dream":
            raise ValueError("alg='origin' belongs to schedule='dream'")
        if self.schedule == "dream" and self.block is not None:
            raise ValueError("schedule='dream' has no blocks: leave block out")
        if self.schedule == "llada" and self.top_p != 1.0:
            raise ValueError("top_p belongs to schedule='dream'")
        if self.steps < 1 or min(self.temperature, self.cfg, self.alg_temp) < 0:
            raise ValueError("steps must be >= 1 and temperature, cfg and alg_temp >= 0")
        if not 0 < self.top_p <= 1 or not 0 < self.eps < 1:
            raise ValueError(f"top_p must lie in (0, 1] and eps in (0, 1), got {self.top_p} and {self.eps}")

    def generate(self, prompt_ids: Any, length: int, *, rng: Any = None, progress: bool = False) -> MaskedGeneration:
        """Append `length` tokens to a prompt, or to each of a batch.

        Parameters
        ----------
        prompt_ids : array of int, shape (n,) or (batch, n)
            May be empty; must not hold the mask.
        length : int
        rng : Generator, int or None
        progress : bool

        Returns
        -------
        MaskedGeneration

        Raises
        ------
        ValueError
            For ids that are no rows of equal length, a length that the block does not divide, or steps that the
            number of blocks does not divide.
        """
        mask = int(self.mask_id)  # type: ignore[arg-type]
        prompt = np.atleast_2d(np.asarray(prompt_ids, np.int64))
        if prompt.ndim != 2:
            raise ValueError(f"prompt_ids must have shape (n,) or (batch, n), got {np.shape(prompt_ids)}")
        if length < 1:
            raise ValueError(f"length must be >= 1, got {length}")
        if ((prompt < 0) | ((prompt >= self.predictor.vocab_size) & (prompt != mask))).any():
            raise ValueError(f"prompt_ids must lie in 0..{self.predictor.vocab_size - 1} or be the mask")
        if (prompt == mask).any():
            raise ValueError("prompt_ids hold the mask: only the new tokens are filled")
        started, g = time.perf_counter(), np.random.default_rng(rng)
        n, (batch, before) = self.steps, prompt.shape
        x = np.concatenate([prompt, np.full((batch, length), mask, np.int64)], axis=1)
        order, sure = np.full(x.shape, -1), np.full(x.shape, np.nan)
        plan = self._plan(length)
        done = 0
        for i in steps(n, progress, "unmasking"):
            masked = x == mask
            masked[:, :before] = False
            if not masked.any():
                break
            logits = self._logits(x, before)
            tokens, confidence, plain = self._candidates(logits, mask, g)
            done += 1
            if self.schedule == "dream":
                chosen = self._dream(i, masked, confidence, g)
            else:
                stop, counts = plan[i]
                confidence[:, before + stop :] = -np.inf
                confidence[~masked] = -np.inf
                chosen = self._top(confidence, np.full(batch, counts), g)
            x[chosen], order[chosen], sure[chosen] = tokens[chosen], i, plain[chosen]
        cut = (slice(None), slice(before, None))
        return MaskedGeneration(x[cut], order[cut], sure[cut], done, time.perf_counter() - started)

    def _plan(self, length: int) -> list[tuple[int, int]]:
        """End of the block and number of tokens for each step of the "llada" schedule."""
        if self.schedule == "dream":
            return []
        block = length if self.block is None else self.block
        if block < 1 or length % block:
            raise ValueError(f"length must be a multiple of block, got {length} and {block}")
        count = length // block
        if self.steps % count:
            raise ValueError(f"steps must be a multiple of the {count} blocks, got {self.steps}")
        each = self.steps // count
        base, more = divmod(block, each)
        return [((b + 1) * block, base + (s < more)) for b in range(count) for s in range(each)]

    def _logits(self, x: Ints, before: int) -> Floats:
        if self.cfg > 0 and before:
            blind = x.copy()
            blind[:, :before] = int(self.mask_id)  # type: ignore[arg-type]
            both = np.asarray(self.predictor(np.concatenate([x, blind])), np.float64)
            z, free = both[: len(x)], both[len(x) :]
            return np.asarray(free + (self.cfg + 1) * (z - free))
        return np.asarray(self.predictor(x), np.float64)

    def _candidates(self, logits: Floats, mask: int, g: np.random.Generator) -> tuple[Ints, Floats, Floats]:
        """A token, its confidence and its plain log-probability for every position."""
        if mask < logits.shape[-1]:
            logits = logits.copy()
            logits[..., mask] = -np.inf
        plain = normalized(logits)
        law = plain
        if self.schedule == "dream":
            law = normalized(plain / self.temperature) if self.temperature > 0 else plain
            law = _nucleus(law, self.top_p)
        if self.temperature == 0:
            tokens = law.argmax(axis=-1)
        else:
            # Gumbel noise scaled by the temperature: argmax z / T + gumbel is argmax exp(z) / (-log u)^T.
            scale = self.temperature if self.schedule == "llada" else 1.0
            tokens = (law + scale * g.gumbel(size=law.shape)).argmax(axis=-1)

        def at(table: Floats) -> Floats:
            return np.take_along_axis(table, tokens[..., None], axis=-1)[..., 0]

        if self.alg in ("low_confidence", "maskgit", "origin"):
            confidence = np.exp(at(law))
        elif self.alg == "entropy":
            confidence = -np.asarray(entropy_from_logits(law))
        elif self.alg == "margin":
            two = np.exp(np.partition(law, -2, axis=-1)[..., -2:])
            confidence = two[..., 1] - two[..., 0]
        else:
            confidence = g.random(law.shape[:-1])
        return tokens, confidence.astype(np.float64), at(plain)

    def _dream(self, i: int, masked: Any, confidence: Floats, g: np.random.Generator) -> Any:
        now, then = np.linspace(1, self.eps, self.steps + 1)[i : i + 2]
        share = 1 - then / now if i < self.steps - 1 else 1.0
        if self.alg == "origin":
            return masked & (g.random(masked.shape) < share)
        counts = (masked.sum(axis=1) * share).astype(int) if i < self.steps - 1 else masked.sum(axis=1)
        return self._top(np.where(masked, confidence, -np.inf), counts, g)

    def _top(self, confidence: Floats, counts: Any, g: np.random.Generator) -> Any:
        """The `counts` most confident positions of each row, or as many drawn by confidence / alg_temp."""
        keys = confidence
        if self.alg_temp > 0:
            keys = confidence / self.alg_temp + g.gumbel(size=confidence.shape)
        place = np.argsort(np.argsort(-keys, axis=1, kind="stable"), axis=1)
        return (place < np.asarray(counts)[:, None]) & (confidence > -np.inf)


def _nucleus(law: Floats, top_p: float) -> Floats:
    """Cut each law to the tokens before which less than or exactly `top_p` of the mass lies, and renormalise."""
    if top_p >= 1:
        return law
    order = np.argsort(-law, axis=-1, kind="stable")
    ranked = np.take_along_axis(law, order, axis=-1)
    before = np.cumsum(np.exp(ranked), axis=-1) - np.exp(ranked)
    ranked = np.where(before <= top_p, ranked, -np.inf)
    out = np.empty_like(law)
    np.put_along_axis(out, order, ranked, axis=-1)
    return normalized(out)


Plan = Sequence[Sequence[int]]


def _checked(joint: Any, plan: Plan) -> tuple[Floats, list[tuple[int, ...]]]:
    p = np.asarray(joint, np.float64)
    check_probabilities(p, axis=tuple(range(p.ndim)), name="joint")
    sets = [tuple(int(i) for i in s) for s in plan]
    if sorted(i for s in sets for i in s) != list(range(p.ndim)):
        raise ValueError(f"plan must name each of the {p.ndim} positions once, got {sets}")
    return p, sets


def unmask_cost(joint: Any, plan: Plan, *, base: float | None = None) -> float:
    r"""Return what a plan of unmasking loses against the joint law, even with a perfect model.

    Fixing the set S_k at step k, each position from its own conditional marginal, gives a law p_dec with

    .. math:: KL(p\|p_{dec}) = \sum_k TC(X_{S_k} \mid X_{S_1}, \ldots, X_{S_{k-1}})

    the conditional total correlations. One token a step, in any order, costs nothing.

    Parameters
    ----------
    joint : array, shape (K_1, ..., K_L)
        Law of the L positions.
    plan : sequence of sequences of int
        The positions of each step; every position once.
    base : float, optional
        Logarithm base; nats by default.

    Raises
    ------
    ValueError
        If `joint` is no distribution or the plan does not name each position once.

    Examples
    --------
    >>> coupled = [[0.5, 0.0], [0.0, 0.5]]
    >>> unmask_cost(coupled, [[0], [1]]), unmask_cost(coupled, [[0, 1]], base=2)
    (0.0, 1.0)

    References
    ----------
    Total correlation: S. Watanabe 1960. The identity is the chain rule of the KL divergence.
    """
    p, sets = _checked(joint, plan)

    def entropy(axes: tuple[int, ...]) -> float:
        if not axes:
            return 0.0
        others = tuple(i for i in range(p.ndim) if i not in axes)
        return float(joint_entropy(p.sum(axis=others)))

    total = 0.0
    fixed: tuple[int, ...] = ()
    for s in sets:
        known = entropy(fixed)
        apart = sum(entropy((*fixed, i)) - known for i in s)
        total += apart - (entropy((*fixed, *s)) - known) if len(s) > 1 else 0.0
        fixed = (*fixed, *s)
    return max(total, 0.0) / (1.0 if base is None else math.log(base))


def plan_law(joint: Any, plan: Plan) -> Floats:
    """Return the law of a decoder that knows `joint` and unmasks by `plan`, shape of `joint`.

    Examples
    --------
    >>> plan_law([[0.5, 0.0], [0.0, 0.5]], [[0, 1]]).tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    p, sets = _checked(joint, plan)
    out = np.ones_like(p)
    fixed: tuple[int, ...] = ()

    def marginal(axes: tuple[int, ...]) -> Floats:
        return np.asarray(p.sum(axis=tuple(i for i in range(p.ndim) if i not in axes), keepdims=True))

    for s in sets:
        given = marginal(fixed)
        for i in s:
            out = out * np.divide(marginal((*fixed, i)), given, out=np.zeros_like(p), where=given > 0)
        fixed = (*fixed, *s)
    return out


def pass_at_k(n: Any, c: Any, k: int) -> Any:
    """Return the unbiased estimate 1 - C(n - c, k) / C(n, k) of solving a problem with k tries.

    Parameters
    ----------
    n : int or array of int
        Tries made on each problem.
    c : int or array of int
        Of them, correct.
    k : int

    Returns
    -------
    float or array
        Of the shape of n and c together; the mean over problems is the benchmark's pass@k.

    Raises
    ------
    ValueError
        Unless 0 <= c <= n and 1 <= k <= n.

    Examples
    --------
    >>> pass_at_k(4, 1, 1), pass_at_k([5, 5], [0, 1], 2).tolist()
    (0.25, [0.0, 0.4])

    References
    ----------
    M. Chen et al. 2021, arXiv:2107.03374.
    """
    n, c = np.broadcast_arrays(np.asarray(n), np.asarray(c))
    if not (np.issubdtype(n.dtype, np.integer) and np.issubdtype(c.dtype, np.integer)):
        raise TypeError(f"n and c must be whole numbers, got {n.dtype} and {c.dtype}")
    if (c < 0).any() or (c > n).any() or k < 1 or (k > n).any():
        raise ValueError(f"expected 0 <= c <= n and 1 <= k <= n, got n={n.tolist()}, c={c.tolist()}, k={k}")
    out = np.array([1 - math.comb(int(a - b), k) / math.comb(int(a), k) for a, b in zip(n.flat, c.flat, strict=True)])
    return float(out[0]) if n.ndim == 0 else out.reshape(n.shape)
