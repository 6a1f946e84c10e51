"""How uncertain a language model is about an answer, from how the answer forms over its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plogp.estimate.roc import auc, best_threshold
from plogp.measures import Estimate
from plogp.trace.lens import ResidualTrace, residual_lens

__all__ = ["STATISTICS", "ResidualScorer", "residual_cross_entropy"]

Floats = npt.NDArray[np.float64]

#: What to read off a trace, one number a token: the larger, the more uncertain.
STATISTICS: dict[str, Callable[[ResidualTrace], Any]] = {
    "output": lambda trace: trace.output_ce,
    "area": lambda trace: trace.area,
    "settle_depth": lambda trace: trace.settle_depth / trace.layers,
    "kl": lambda trace: trace.kl.mean(axis=0),
}


def residual_cross_entropy(
    model: Any, tokenizer: Any = None, *, lens: Any = "logit", statistic: str = "output", batch_size: int = 32
) -> ResidualScorer:
    r"""Return a scorer of answers by the residual cross-entropy of their tokens: high where a model is unsure.

    With the residual stream after i blocks read by a lens as :math:`p_i` (see `plogp.trace.residual_lens`), the score
    of a token y is

    - ``"output"``: :math:`-\log p_K(y)`, the cross-entropy of the output; for the model's own token -log max p;
    - ``"area"``: the area under :math:`-\log p_i(y)` over depth, so that late deciding counts;
    - ``"settle_depth"``: the depth, from 0 to 1, from which on the most likely token is the final one;
    - ``"kl"``: the mean of KL(p_K‖p_i) over the layers;

    and that of an answer the mean over its tokens.

    Parameters
    ----------
    model : torch.nn.Module
        As in `plogp.trace.residual_lens`.
    tokenizer : callable, optional
        A transformers tokenizer, or any function from text to a list of token numbers. Without it, prompts and
        completions are token numbers.
    lens : "logit" or TunedLens
    statistic : {"output", "area", "settle_depth", "kl"}
    batch_size : int
        Sequences in one forward pass.

    Raises
    ------
    TypeError, ValueError
        For an unknown statistic or a setting of the wrong kind.

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=50, n_positions=16))
    >>> scorer = residual_cross_entropy(model)
    >>> score = scorer.score([3, 4, 5], [6, 7])                 # how surprising is 6 7 after 3 4 5
    >>> own = scorer.score([[3, 4, 5], [6, 7]])                 # the model's own next tokens
    >>> score > 0, own.shape
    (True, (2,))

    Notes
    -----
    Source: G. Brothers, W. Mannering, A. Tien and J. Winder (2024), arXiv 2412.05768. The paper separates correct from
    incorrect completions by the cross-entropy of the model's own answer; which of its layers the detector reads is
    not plain from the text available to us, so "output" is the default and "area" is offered.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(map(repr, STATISTICS))}, got {statistic!r}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
    if tokenizer is not None and not callable(tokenizer):
        raise TypeError(f"tokenizer must be a function from text to token numbers, got {type(tokenizer).__name__}")
    return ResidualScorer(model, tokenizer, lens, statistic, batch_size)


@dataclass(frozen=True, eq=False)
class ResidualScorer:
    """What `residual_cross_entropy` returns: `score` answers, and see how well the score finds the wrong ones."""

    model: Any = field(repr=False)
    tokenizer: Any
    lens: Any
    statistic: str
    batch_size: int

    def score(self, prompt: Any, completion: Any = None) -> Any:
        """Return the uncertainty of a completion after a prompt, or of each of several.

        Parameters
        ----------
        prompt : text or sequence of int, or a list of these
        completion : the same, optional
            None: the token that the model itself would emit next.

        Returns
        -------
        float, or array of shape (prompts,)
            In nats (a share of the depth for "settle_depth").

        Raises
        ------
        TypeError, ValueError
            For text without a tokenizer, an empty prompt or completion, or lists of different lengths.
        """
        several = _is_list_of_texts(prompt)
        prompts = [self._ids(p, "prompt") for p in (prompt if several else [prompt])]
        if completion is None:
            answers: list[list[int] | None] = [None] * len(prompts)
        else:
            given = list(completion) if several else [completion]
            if len(given) != len(prompts):
                raise ValueError(f"there are {len(prompts)} prompts but {len(given)} completions")
            answers = [self._ids(c, "completion", begins=False) for c in given]
        scores = np.empty(len(prompts))
        # Sequences of like length share a batch, so that little padding is computed.
        order = sorted(range(len(prompts)), key=lambda i: (answers[i] is None, len(answers[i] or ()), len(prompts[i])))
        start = 0
        while start < len(order):
            size = len(answers[order[start]] or ())
            group = [i for i in order[start : start + self.batch_size] if len(answers[i] or ()) == size]
            scores[group] = self._batch([prompts[i] for i in group], [answers[i] for i in group])
            start += len(group)
        return scores if several else float(scores[0])

    def auc(self, prompts: Sequence[Any], correct: Any, completions: Any = None) -> Estimate:
        """Return how well the score tells incorrect answers (higher) from correct ones: area under the ROC curve.

        Parameters
        ----------
        prompts, completions
            As in `score`.
        correct : array of bool, shape (prompts,)
            Whether each answer is right.
        """
        return auc(self.score(list(prompts), completions), ~np.asarray(correct).astype(bool))

    def threshold(self, prompts: Sequence[Any], correct: Any, completions: Any = None) -> float:
        """Return the score from which on to distrust an answer, chosen on validation answers known right or wrong.

        It makes the rate of wrong answers found, less that of right ones distrusted, largest.
        """
        return best_threshold(self.score(list(prompts), completions), ~np.asarray(correct).astype(bool))

    def _batch(self, prompts: list[list[int]], answers: list[list[int] | None]) -> Floats:
        """Score sequences whose completions are equally long; padded on the right."""
        answered = answers[0] is not None
        # The last token of an answer predicts nothing that is asked for.
        rows = [p + (a or [])[:-1] for p, a in zip(prompts, answers)]
        length = max(map(len, rows))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
        size = len(answers[0] or [0])
        positions = [list(range(len(p) - 1, len(p) - 1 + size)) for p in prompts]
        trace = residual_lens(
            self.model,
            ids,
            lens=self.lens,
            target=[a or [] for a in answers] if answered else "argmax",
            attention_mask=mask,
            positions=positions,
        )
        return np.asarray(STATISTICS[self.statistic](trace)).mean(axis=-1)

    def _ids(self, text: Any, name: str, begins: bool = True) -> list[int]:
        if isinstance(text, str):
            if self.tokenizer is None:
                raise TypeError(f"{name} is text, so tokenizer= is needed; or pass token numbers")
            text = self._tokenized(text, begins)
        ids = torch.as_tensor(text)
        if (ids.ndim != 1 or ids.is_floating_point() or ids.dtype == torch.bool) and ids.numel():
            raise TypeError(f"{name} must be text or a sequence of token numbers, got {text!r}")
        if ids.numel() == 0:
            raise ValueError(f"{name} is empty; expected at least one token")
        return [int(i) for i in ids]

    def _tokenized(self, text: str, begins: bool) -> Any:
        # A completion goes on where the prompt stops: no mark of the beginning (or end) in between.
        if hasattr(self.tokenizer, "convert_ids_to_tokens"):
            return self.tokenizer(text, add_special_tokens=begins)["input_ids"]
        return self.tokenizer(text)


def _is_list_of_texts(prompt: Any) -> bool:
    """Whether a prompt is a list of prompts, and not one sequence of token numbers."""
    if isinstance(prompt, str):
        return False
    if hasattr(prompt, "ndim"):
        return bool(prompt.ndim > 1)
    return isinstance(prompt, Sequence) and any(isinstance(p, str) or hasattr(p, "__len__") for p in prompt)
