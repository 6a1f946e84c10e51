"""`generate`: draw continuations from any predictor through any sampler, and keep what the model thought of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.decode.sampler import SHANNON, Sampler, count
from plogp.trace.encoding import decode, encode
from plogp.trace.predictors import as_ids, draw, session
from plogp.trace.record import Trace
from plogp.trace.tokens import token_stats
from plogp.trace.tracing import as_predictor

__all__ = ["Generation", "generate", "prompt_tokens"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Generation:
    """Continuations of one prompt.

    Attributes
    ----------
    ids : list of arrays of int64, shape (n,)
        The new tokens of each sample, the end token included where it was drawn.
    trace : Trace or None
        What the model says of them **before** the sampler: its perplexity is that of the unfiltered law. One text a
        sample, in the same order.
    prompt : array of int64
        What they continue, BOS included.
    finished : tuple of bool
        Whether each sample ended with the end token.
    n_kept : list of arrays of int64, shape (n,)
        How many tokens the sampler left to draw from at each step.
    drawn_entropy : list of arrays, shape (n,)
        Entropy, in nats, of the law that was drawn from.
    texts : tuple of str or None
        The new tokens as text, where the predictor has a tokenizer.
    """

    ids: list[Ids]
    trace: Trace | None
    prompt: Ids
    finished: tuple[bool, ...]
    n_kept: list[Ids]
    drawn_entropy: list[npt.NDArray[np.float64]]
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        lengths = [len(ids) for ids in self.ids]
        shown = f"{lengths[0]} tokens" if len(set(lengths)) == 1 else f"{min(lengths)} to {max(lengths)} tokens"
        return f"Generation({len(self)} sample{'s' * (len(self) != 1)} of {shown})"


def generate(
    predictor: Any,
    prompt_ids: Any = (),
    sampler: Sampler | None = None,
    max_new_tokens: int = 50,
    *,
    num_samples: int = 1,
    eos: int | Collection[int] | None = None,
    rng: Any = None,
    return_trace: bool = True,
    progress: bool = False,
) -> Generation:
    """Draw continuations of a prompt, token by token.

    At each step: the model's logits, `sampler.step`, a draw, `sampler.observe` with the token's log-probability under
    the model.

    Parameters
    ----------
    predictor : Predictor, transformers model, name or None
        What `plogp.trace.trace` takes; None is the embedded model. A predictor with a cache is read step by step.
    prompt_ids : sequence of int, or str
        Text goes through the predictor's tokenizer. BOS is put before it where the predictor has one and the prompt
        does not begin with it, as `plogp.trace.trace` does. What exceeds the model's context slides out of it.
    sampler : Sampler, optional
        By default the model's own law.
    max_new_tokens : int
        Of each sample.
    num_samples : int
        How many, all of the same prompt, drawn independently.
    eos : int or collection of int, optional
        Tokens that end a sample; by default the predictor's `eos_id` where it has one; an empty collection for none.
    rng : Generator, int or None
    return_trace : bool
        Keep log-probability, entropy, varentropy, rank and largest log-probability of each new token.
    progress : bool
        Show a bar.

    Returns
    -------
    Generation

    Raises
    ------
    ValueError
        For an empty prompt and a predictor without a first law, a text without a tokenizer, or tokens outside the
        vocabulary.
    TypeError
        For a sampler that is none.

    Examples
    --------
    >>> import numpy as np
    >>> from plogp.decode.truncation import TopK
    >>> from plogp.trace import MarkovLM
    >>> lm = MarkovLM.random(20, sharpness=2.0, rng=0)
    >>> out = generate(lm, [3], TopK(1), max_new_tokens=4, num_samples=2, rng=0)
    >>> out, bool((out.ids[0] == out.ids[1]).all()), out.trace.rank.tolist()
    (Generation(2 samples of 4 tokens), True, [1, 1, 1, 1, 1, 1, 1, 1])
    """
    predictor = as_predictor(predictor)
    if sampler is not None and not isinstance(sampler, Sampler):
        raise TypeError(f"sampler must be a Sampler (plogp.decode) or None, got {type(sampler).__name__}")
    steps, n = count(max_new_tokens, "max_new_tokens"), count(num_samples, "num_samples")
    prompt = prompt_tokens(predictor, prompt_ids)
    ends = _ends(predictor, eos)
    g = np.random.default_rng(rng)

    first = session(predictor, prompt)
    readers = [first] + [first.copy() for _ in range(n - 1)]
    known = np.zeros((n, len(prompt) + steps), dtype=np.int64)
    known[:, : len(prompt)] = prompt
    length = np.full(n, len(prompt))
    alive = np.ones(n, dtype=bool)
    state = None if sampler is None else sampler.init_state(n)
    record: list[dict[str, Any]] = []
    rows = np.stack([np.asarray(reader.logits) for reader in readers])

    for step in _shown(range(steps), progress):
        scores = rows
        if sampler is not None:
            scores, state = sampler.step(rows, state, [known[i, : length[i]] for i in range(n)])
        token = draw(scores, g)
        stats = token_stats(rows, token, stats=("entropy", "varentropy", "rank", "max") if return_trace else ())
        if sampler is not None:
            state = sampler.observe(token, np.where(alive, stats.logprob, np.nan), state)
        record.append(
            {
                "token": token,
                "alive": alive.copy(),
                "stats": stats,
                "kept": (scores > -np.inf).sum(axis=-1),
                "entropy": SHANNON.from_logits(scores, check=False),
            }
        )
        known[alive, length[alive]] = token[alive]
        length = length + alive
        if ends:
            alive = alive & ~np.isin(token, list(ends))
        if not alive.any() or step == steps - 1:
            break
        # A sample that has ended keeps its last row, so that the batch stays whole; nothing is drawn for it.
        for i in np.flatnonzero(alive):
            readers[i].feed(known[i, length[i] - 1 : length[i]])
        rows = np.stack([np.asarray(reader.logits) for reader in readers])

    ids = [known[i, len(prompt) : length[i]].copy() for i in range(n)]
    tokenizer = getattr(predictor, "tokenizer", None)
    return Generation(
        ids=ids,
        trace=_trace(predictor, sampler, ids, record) if return_trace else None,
        prompt=prompt,
        finished=tuple(bool(len(row) and int(row[-1]) in ends) for row in ids),
        n_kept=[_column(record, i, "kept").astype(np.int64) for i in range(n)],
        drawn_entropy=[_column(record, i, "entropy").astype(np.float64) for i in range(n)],
        texts=None if tokenizer is None else tuple(_text(tokenizer, row, ends) for row in ids),
    )


def prompt_tokens(predictor: Any, prompt: Any) -> Ids:
    """Return a prompt as ids, text through the tokenizer, behind the predictor's BOS where it has one."""
    if isinstance(prompt, str):
        tokenizer = getattr(predictor, "tokenizer", None)
        if tokenizer is None:
            raise ValueError("the prompt is a text, but the predictor has no tokenizer; pass token ids")
        ids = encode(tokenizer, prompt).ids
    else:
        ids = as_ids(prompt, int(predictor.vocab_size), "prompt_ids")
    bos = getattr(predictor, "bos_id", None)
    return ids if bos is None or (len(ids) and ids[0] == bos) else np.concatenate([[int(bos)], ids]).astype(np.int64)


def _ends(predictor: Any, eos: Any) -> frozenset[int]:
    if eos is None:
        eos = getattr(predictor, "eos_id", None)
        if eos is None:
            return frozenset()
    tokens = [eos] if np.ndim(eos) == 0 and not isinstance(eos, (set, frozenset)) else list(eos)
    return frozenset(as_ids(tokens, int(predictor.vocab_size), "eos").tolist())


def _shown(steps: range, progress: bool) -> Iterable[int]:
    if not progress:
        return steps
    from rich.console import Console
    from rich.progress import track

    return track(steps, description="generate", console=Console(stderr=True))


def _text(tokenizer: Any, ids: Ids, ends: frozenset[int]) -> str:
    """Return the text of a sample, without its end token."""
    return decode(tokenizer, ids[:-1] if len(ids) and int(ids[-1]) in ends else ids)


def _column(record: list[dict[str, Any]], i: int, name: str) -> npt.NDArray[Any]:
    return np.array([step[name][i] for step in record if step["alive"][i]])


def _trace(predictor: Any, sampler: Sampler | None, ids: list[Ids], record: list[dict[str, Any]]) -> Trace:
    alive = np.array([step["alive"] for step in record]).T  # (samples, steps): the order of the texts
    columns = {
        name: np.array([getattr(step["stats"], name) for step in record]).T[alive]
        for name in ("logprob", "entropy", "varentropy", "max_logprob", "rank")
    }
    tokens = np.concatenate(ids)
    identity = getattr(predictor, "fingerprint", None)
    return Trace(
        ids=tokens,
        offsets=np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64),
        scored=np.ones(len(tokens), dtype=bool),
        **columns,
        meta={
            "model": str(getattr(predictor, "name", None) or type(predictor).__name__),
            "fingerprint": identity() if callable(identity) else None,
            "vocab_size": int(predictor.vocab_size),
            "temperature": 1.0,
            "units": "nats",
            "sampler": None if sampler is None else repr(sampler),
        },
    )
