"""What the controllers share: the result of a decode, the draw of a token, and the door to transformers' generate.

A controller chooses more than one token's law: which model answers, how many paths are kept, how far to look ahead.
Each has ``decode(prompt_ids, max_new_tokens, ...)`` and returns a `Decoding`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.trace.predictors import draw

__all__ = ["Controller", "Decoding", "Draw", "Processors", "edited", "ends", "normalized", "steps"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Stop = Callable[[Ints], bool]


@dataclass(frozen=True, eq=False)
class Decoding:
    """What a controller decoded.

    Attributes
    ----------
    ids : array of int64, shape (n,)
        The new tokens, without the prompt; an end-of-sequence token that was emitted is in it.
    logprob : array, shape (n,)
        Natural log-probability of each under the controller's reference model (the one model, the large one, the
        target), untempered and unfiltered.
    report : mapping
        What the controller counted: calls, costs, acceptance lengths, other paths.
    """

    ids: Ints
    logprob: Floats
    report: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mean_logprob(self) -> float:
        """Mean log-probability per token, in nats; NaN without tokens."""
        return float(self.logprob.mean()) if len(self.logprob) else math.nan

    def __repr__(self) -> str:
        counts = {k: v for k, v in self.report.items() if isinstance(v, (int, float, str))}
        told = "".join(f", {k}={v:.4g}" if isinstance(v, float) else f", {k}={v}" for k, v in counts.items())
        return f"Decoding({len(self.ids)} tokens, mean log-probability {self.mean_logprob:.4g}{told})"


def ends(predictor: Any, eos: Any) -> frozenset[int]:
    """Return the end-of-sequence ids: of one id or several, or with None the predictor's own; none of an empty list.

    >>> ends(None, [2, 3]) == {2, 3}, ends(None, None) == set()
    (True, True)
    """
    if eos is None:
        eos = getattr(predictor, "eos_id", None)
    if hasattr(eos, "tolist"):
        eos = eos.tolist()
    if eos is None:
        return frozenset()
    return frozenset(int(e) for e in eos) if isinstance(eos, Collection) else frozenset([int(eos)])


def normalized(logits: Any) -> Floats:
    """Return float64 log-probabilities of logits along the last axis; -inf is probability 0.

    Raises
    ------
    ValueError
        For NaN, +inf or a row without a finite entry.
    """
    z = np.asarray(logits, np.float64)
    best = z.max(axis=-1, keepdims=True)
    if not np.isfinite(best).all():
        raise ValueError("logits hold NaN, +inf, or a row that is -inf throughout")
    # Called for every token that is looked at: three passes of NumPy, where the general log_softmax takes ten.
    z = z - best
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


def steps(total: int, progress: bool, label: str) -> Iterable[int]:
    """Return range(total), with a progress bar if asked for."""
    if total < 0:
        raise ValueError(f"max_new_tokens must be >= 0, got {total}")
    if progress:
        from rich.progress import track

        return track(range(total), description=label)
    return range(total)


class Draw:
    """Draws tokens from logits for one sequence, through a `Sampler` if there is one.

    Parameters
    ----------
    sampler : Sampler or None
        Its `step` edits the logits and its `observe` is told what was drawn.
    sample : bool
        False takes the most likely token; then no random number is used.
    rng : Generator, int or None
        One uniform number is used for each token, whatever the law, so that decoders that share a seed share draws.

    Examples
    --------
    >>> Draw(None, sample=False)(np.log([0.2, 0.5, 0.3]), np.array([0]))
    1
    """

    def __init__(self, sampler: Any = None, sample: bool = True, rng: Any = None) -> None:
        self.sampler, self.sample, self.rng = sampler, sample, np.random.default_rng(rng)
        self._state = None if sampler is None else sampler.init_state(1)

    def __call__(self, logits: Any, ids: Ints) -> int:
        z, state = np.asarray(logits, np.float64)[None], self._state
        if self.sampler is not None:
            z, state = self.sampler.step(z, state, ids[None])
        law = normalized(z)
        token = int(draw(law, self.rng)[0] if self.sample else law.argmax())
        if self.sampler is not None:
            plain = normalized(logits)[token]
            self._state = self.sampler.observe(np.array([token]), np.array([plain]), state)
        return token


def edited(sampler: Any, logits: Any, ids: Ints) -> Floats:
    """Return the logits after a stateless sampler (or none), in float64.

    Raises
    ------
    ValueError
        For a sampler with state: a controller that looks at tokens it may not keep would spoil it.
    """
    z = np.asarray(logits, np.float64)
    if sampler is None:
        return z
    if sampler.stateful:
        raise ValueError(f"sampler must be stateless here, got {sampler!r}: tokens are looked at that are not kept")
    return np.asarray(sampler.filter(z[None], None, ids[None]), np.float64)[0]


class Processors:
    """transformers' logits processors as a stateless sampler."""

    stateful = False

    def __init__(self, processors: Any, device: Any) -> None:
        self.processors, self.device = processors, device

    def init_state(self, batch: int) -> None:
        """Nothing is kept."""

    def observe(self, token: Any, logprob: Any, state: Any) -> None:
        """Nothing is learned."""

    def step(self, logits: Any, state: Any = None, ids: Any = None) -> tuple[Floats, None]:
        """Return `filter`'s logits and no state."""
        return self.filter(logits, state, ids), None

    def filter(self, logits: Any, state: Any = None, ids: Any = None) -> Floats:
        """Return the processed scores."""
        import torch

        scores = torch.as_tensor(np.asarray(logits, np.float32), device=self.device)
        out = self.processors(torch.as_tensor(ids, device=self.device), scores)
        return np.asarray(out.double().cpu())


class Controller:
    """Base of the controllers: dataclasses whose field `_model` names the one that transformers' model replaces."""

    _model = "predictor"

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
        """Decode after a prompt: ids, or a text where the predictor has a tokenizer."""
        raise NotImplementedError

    def as_custom_generate(self, **options: Any) -> Callable[..., Any]:
        """Return a function for ``model.generate(..., custom_generate=...)`` of transformers (>= 4.57).

        The model on which `generate` is called takes the place of the controller's model (`predictor`, `large` or
        `target`); logits processors, stopping criteria, end of sequence and ``do_sample`` of the call are obeyed.
        Rows are decoded one after another; left padding is left out by the attention mask.

        Parameters
        ----------
        **options
            Passed on to `decode`: ``rng=0``. Without `rng`, PyTorch's generator seeds the draws, so that
            ``transformers.set_seed`` rules them.

        Returns
        -------
        callable
            ``f(model, input_ids, logits_processor, stopping_criteria, generation_config, **kwargs)``; returns ids,
            shape (batch, longest), padded on the right, or a ModelOutput where ``return_dict_in_generate`` is set.
        """

        def custom_generate(
            model: Any,
            input_ids: Any,
            logits_processor: Any = None,
            stopping_criteria: Any = None,
            generation_config: Any = None,
            **kwargs: Any,
        ) -> Any:
            return _generate(
                self, options, model, input_ids, logits_processor, stopping_criteria, generation_config, kwargs
            )

        return custom_generate

    def _with_model(self, model: Any) -> Controller:
        return dataclasses.replace(self, **{self._model: model})  # type: ignore[type-var]


def _generate(
    controller: Controller,
    options: Mapping[str, Any],
    model: Any,
    input_ids: Any,
    processors: Any,
    criteria: Any,
    config: Any,
    kwargs: Mapping[str, Any],
) -> Any:
    """Run a controller row by row on what transformers prepared."""
    import torch

    from plogp.trace.huggingface import HFPredictor

    if config is None:
        raise ValueError("generation_config is missing: call this through model.generate(..., custom_generate=...)")
    if getattr(config, "num_beams", 1) != 1 or getattr(config, "num_return_sequences", 1) != 1:
        raise ValueError("num_beams and num_return_sequences must be 1: the controller keeps its own paths")
    device, known = input_ids.device, dict(options)
    ready = controller._with_model(HFPredictor(model))
    known.setdefault("eos", () if config.eos_token_id is None else config.eos_token_id)
    if "sample" in {f.name for f in dataclasses.fields(ready)}:  # type: ignore[arg-type]
        ready = dataclasses.replace(ready, sample=bool(config.do_sample))  # type: ignore[type-var]
    if processors is not None and len(processors):
        known["sampler"] = Processors(processors, device)
    if "rng" not in known:
        known["rng"] = np.random.default_rng(int(torch.randint(2**62, ())))
    mask, rows = kwargs.get("attention_mask"), []
    for i, row in enumerate(input_ids):
        prompt = row if mask is None else row[mask[i].bool()]

        def stop(new: Ints, row: Any = row) -> bool:
            whole = torch.cat([row, torch.as_tensor(new, device=device)])[None]
            return criteria is not None and bool(torch.as_tensor(criteria(whole, None)).all())

        room = int(config.max_length) - int(input_ids.shape[1])
        decoded = ready.decode(prompt.cpu().numpy(), max(room, 0), stop=stop, **known)
        rows.append(torch.cat([row, torch.as_tensor(decoded.ids, device=device)]))
    pad = config.pad_token_id if config.pad_token_id is not None else next(iter(ends(None, config.eos_token_id)), 0)
    out = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=int(pad))
    if not config.return_dict_in_generate:
        return out
    from transformers.generation import GenerateDecoderOnlyOutput

    return GenerateDecoderOnlyOutput(sequences=out)
