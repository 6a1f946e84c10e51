"""Shorter prompts by leaving words out: a classifier that learns which to keep, and the baseline by surprisal.

Source: Z. Pan et al., LLMLingua-2, arXiv 2403.12968, 2024. Selection by surprisal: Y. Li et al., arXiv 2310.06201.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.text.word_labels import (
    CompressionQuality,
    align_labels,
    compression_quality,
    join_words,
    keep_annotations,
    split_words,
)

__all__ = [
    "CompressionQuality",
    "PromptCompressor",
    "SurprisalCompressor",
    "align_labels",
    "compression_quality",
    "keep_annotations",
    "select_words",
]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Pair = tuple[str, str]
ENDS = (".", "!", "?", "\n")


def select_words(scores: Any, rate: float, sizes: Any = None, forced: Any = None, *, rule: str = "budget") -> Mask:
    """Return which words to keep: those of the largest scores, up to a share `rate` of the tokens.

    Parameters
    ----------
    scores : array, shape (n,)
    rate : float
        Share kept, in (0, 1].
    sizes : array of int, shape (n,), optional
        Tokens of each word, in the model that will read the prompt.
    forced : array of bool, shape (n,), optional
        Kept whatever their score, and whatever the rate; they use up the budget.
    rule : {"budget", "percentile"}
        "budget" takes words in falling order (ties: the earlier first) while they fit, so the share is within one
        word of the rate. "percentile" is the released rule, words strictly above percentile int(100 (1 - rate) + 1)
        of the scores repeated by size (at it, too, if it is 1, that of a certain word): it keeps about 1 % less, and
        fewer where scores are tied.

    Raises
    ------
    ValueError
        For NaN, a rate outside (0, 1], or shapes that differ.

    Examples
    --------
    >>> select_words([0.1, 0.9, 0.5, 0.4], 0.5)
    array([False,  True,  True, False])
    """
    x = np.asarray(scores, np.float64)
    if not 0 < rate <= 1:
        raise ValueError(f"rate must lie in (0, 1], the share kept, got {rate!r}")
    if x.ndim != 1 or np.isnan(x).any():
        raise ValueError(f"scores must be one-dimensional without NaN, got shape {x.shape}")
    size = np.ones(len(x), np.int64) if sizes is None else np.asarray(sizes)
    keep = np.zeros(len(x), bool) if forced is None else np.asarray(forced, bool)
    if size.shape != x.shape or keep.shape != x.shape or (size < 0).any():
        raise ValueError("sizes (at least 0) and forced must have the shape of scores")
    if rule == "percentile":
        if rate == 1:
            return np.ones(len(x), bool)
        repeated = np.repeat(np.where(keep, 1.0, x), size)
        if not repeated.size:
            return keep.copy()
        limit = np.percentile(repeated, int(100 * (1 - rate) + 1))
        return (x > limit) | ((x == limit) & (limit == 1)) | keep
    if rule != "budget":
        raise ValueError(f"rule must be 'budget' or 'percentile', got {rule!r}")
    order = np.argsort(-x, kind="stable")
    order = order[~keep[order]]
    left = rate * size.sum() * (1 + 1e-12) - size[keep].sum()
    fits = np.cumsum(size[order]) <= left
    out = keep.copy()
    out[order[fits]] = True
    return out


class _Compressor:
    """What the two compressors share: scores of words, and the words kept."""

    #: Words scored and thresholded together.
    chunk = 512

    def scores(self, words: list[str], text: str) -> Floats:
        """Return the score of each word of a text."""
        raise NotImplementedError

    def sizes(self, words: list[str]) -> npt.NDArray[np.int64]:
        """Return how much of a chunk each word takes."""
        return np.ones(len(words), np.int64)

    def compress(
        self,
        text: str,
        rate: float = 0.5,
        force: Collection[str] = ("\n",),
        keep_digits: bool = False,
        *,
        drop_consecutive: bool = False,
        count: Callable[[str], int] | None = None,
        rule: str = "budget",
    ) -> tuple[str, Mask]:
        """Return the text with words left out, and the mask of the units kept (see `split_words`).

        Parameters
        ----------
        text : str
        rate : float
            Share of the tokens kept, in (0, 1], in every chunk.
        force : collection of str
            Units always kept.
        keep_digits : bool
            Keep every unit with a digit.
        drop_consecutive : bool
            Of forced units with nothing kept between two equal ones, keep the first.
        count : callable, optional
            ``count(word) -> int``: its tokens in the model that will read the prompt; 1 each by default.
        rule : {"budget", "percentile"}
            As in `select_words`.

        Raises
        ------
        ValueError
            For a rate outside (0, 1].
        """
        words = [word for word, _, _ in split_words(text)]
        mask = np.zeros(len(words), bool)
        if words:
            scores = self.scores(words, text)
            sizes = np.ones(len(words), np.int64) if count is None else np.array([count(word) for word in words])
            forced = np.array([w in force or (keep_digits and any(c.isdigit() for c in w)) for w in words])
            for part in _chunks(words, self.sizes(words), self.chunk):
                mask[part] = select_words(scores[part], rate, sizes[part], forced[part], rule=rule)
        elif not 0 < rate <= 1:
            raise ValueError(f"rate must lie in (0, 1], the share kept, got {rate!r}")
        if drop_consecutive:
            last = None
            for i in np.flatnonzero(mask):
                if words[i] in force and words[i] == last:
                    mask[i] = False
                last = words[i]
        return join_words(text, mask), mask


def _chunks(words: list[str], sizes: Any, limit: int) -> Iterator[slice]:
    """Cut words into runs of at most `limit`, at the last end of a sentence inside each where there is one."""
    total = np.concatenate([[0], np.cumsum(sizes)])
    start = 0
    while start < len(words):
        end = int(np.searchsorted(total, total[start] + limit, side="right")) - 1
        end = max(end, start + 1)
        if end < len(words):
            stops = [i for i in range(start, end) if words[i] in ENDS]
            end = stops[-1] + 1 if stops else end
        yield slice(start, end)
        start = end


class PromptCompressor(_Compressor):
    """A classifier of words, keep or drop, trained on texts and their compressed versions.

    Parameters
    ----------
    encoder : folder, torch.nn.Module or None
        A transformers model for token classification with two labels (0 drop, 1 keep), such as a released LLMLingua-2
        model, or any encoder to fine-tune. None: logistic regression on hashed features of the word and its
        neighbours, which trains in seconds on a small machine.
    tokenizer : optional
        For a module; of a folder, its own.
    max_length : int
        Tokens the model sees at once, the two special ones among them (linear: words).
    learning_rate, epochs, batch_size : float, int, int
        Of Adam, for an encoder.
    l2 : float
        Ridge of the logistic regression, per observation.
    dimensions : int
        Hash buckets of the logistic regression.
    device : str
    rng : int, Generator or None
        Of the order of batches and of dropout.

    Examples
    --------
    >>> text = "well the vote on item 7 um passed"
    >>> compressor = PromptCompressor().fit([(text, "vote item 7 passed")] * 3, filter=False)
    >>> compressor.compress(text, 0.5)[0]
    'vote item 7 passed'
    """

    def __init__(
        self,
        encoder: Any = None,
        tokenizer: Any = None,
        *,
        max_length: int = 512,
        learning_rate: float = 1e-5,
        epochs: int = 10,
        batch_size: int = 10,
        l2: float = 1e-5,
        dimensions: int = 2**16,
        device: str = "cpu",
        rng: Any = 0,
    ) -> None:
        self.max_length, self.learning_rate, self.epochs = max_length, learning_rate, epochs
        self.batch_size, self.l2, self.dimensions, self.device, self.rng = batch_size, l2, dimensions, device, rng
        self.model, self.tokenizer = encoder, tokenizer
        self.weights: Floats | None = None
        if isinstance(encoder, (str, Path)):
            try:
                from transformers import AutoModelForTokenClassification, AutoTokenizer
            except ImportError as error:
                raise ImportError("plogp[lm] is needed for an encoder: pip install 'plogp[lm]'") from error
            self.model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=2, use_safetensors=True)
            self.tokenizer = AutoTokenizer.from_pretrained(encoder) if tokenizer is None else tokenizer
        if self.model is not None:
            if self.tokenizer is None:
                raise ValueError("tokenizer is needed beside a module")
            self.model.to(device)
            self.chunk = max_length - 2
        else:
            self.chunk = max_length

    def fit(
        self, pairs: Sequence[Pair], *, window: int = 150, filter: bool = True, progress: bool = False
    ) -> PromptCompressor:
        """Train on (original, compressed) texts: labels by `align_labels`, bad pairs dropped by `keep_annotations`.

        Raises
        ------
        ValueError
            If there is no pair, or all words have the same label.
        """
        given = list(pairs)
        if not given:
            raise ValueError("pairs is empty; expected (original, compressed) texts")
        if filter:
            kept = keep_annotations([compression_quality(a, b, window) for a, b in given])
            given = [pair for pair, good in zip(given, kept) if good]
            if not given:
                raise ValueError("all pairs were dropped as bad annotations; pass filter=False to use them")
        return self.fit_labels(*zip(*(align_labels(a, b, window) for a, b in given)), progress=progress)

    def fit_labels(
        self, words: Sequence[Sequence[str]], labels: Sequence[Any], *, progress: bool = False
    ) -> PromptCompressor:
        """Train on words and their labels, a sequence of each a text."""
        texts = [list(w) for w in words]
        truth = [np.asarray(y, bool) for y in labels]
        if len(texts) != len(truth) or any(y.shape != (len(w),) for w, y in zip(texts, truth)):
            raise ValueError("labels must hold one label for each word of each text")
        if len({bool(v) for y in truth for v in y}) < 2:
            raise ValueError("labels must hold words to keep and words to drop")
        if self.model is None:
            from plogp.text.word_features import fit_logistic, hashed

            X = hashed(texts, self.dimensions)
            self.weights = fit_logistic(X, np.concatenate(truth), self.l2)
        else:
            self._fine_tune(texts, truth, progress)
        return self

    def scores(self, words: list[str], text: str = "") -> Floats:
        """Return P(keep) of each word.

        Raises
        ------
        RuntimeError
            Of the linear model before `fit`.
        """
        if self.model is None:
            from plogp.text.word_features import hashed, sigmoid

            if self.weights is None:
                raise RuntimeError("this compressor is not trained; call fit first")
            return sigmoid(hashed([words], self.dimensions) @ self.weights)
        import torch

        self.model.eval()
        out = np.zeros(len(words))
        with torch.inference_mode():
            for part in _chunks(words, self.sizes(words), self.chunk):
                batch, places = self._inputs([words[part]])
                p = self.model(**batch).logits.float().softmax(-1)[0, :, 1].cpu().numpy().astype(np.float64)
                place = np.array(places[0])
                of_word = place >= 0
                pieces = np.bincount(place[of_word], minlength=part.stop - part.start)
                total = np.bincount(place[of_word], weights=p[of_word], minlength=part.stop - part.start)
                out[part] = total / np.maximum(pieces, 1)
        return out

    def sizes(self, words: list[str]) -> npt.NDArray[np.int64]:
        """Return the pieces of each word (linear: 1)."""
        if self.model is None:
            return super().sizes(words)
        inside = self.tokenizer(words, is_split_into_words=True, add_special_tokens=False).word_ids()
        return np.bincount([i for i in inside if i is not None], minlength=len(words)).astype(np.int64)

    def _inputs(self, texts: list[list[str]]) -> tuple[Any, list[list[int]]]:
        """Return a padded batch, and the word of each piece (-1: none)."""
        batch = self.tokenizer(texts, is_split_into_words=True, padding=True, return_tensors="pt")
        places = [[-1 if i is None else i for i in batch.word_ids(row)] for row in range(len(texts))]
        return batch.to(self.device), places

    def _fine_tune(self, texts: list[list[str]], truth: list[Mask], progress: bool) -> None:
        import torch

        from plogp.estimate.training import numpy_generator

        parts = [(w[p], y[p]) for w, y in zip(texts, truth) for p in _chunks(w, self.sizes(w), self.chunk)]
        generator = numpy_generator(self.rng)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)
        epochs: Any = range(self.epochs)
        if progress:
            from rich.progress import track

            epochs = track(epochs, description="epochs")
        devices = [self.device] if str(self.device).startswith("cuda") else []
        self.model.train()
        with torch.random.fork_rng(devices=devices):  # dropout draws from the global generator
            torch.manual_seed(int(generator.integers(2**62)))
            for _ in epochs:
                order = generator.permutation(len(parts))
                for start in range(0, len(parts), self.batch_size):
                    some = [parts[i] for i in order[start : start + self.batch_size]]
                    batch, places = self._inputs([w for w, _ in some])
                    label = [[-100 if i < 0 else int(y[i]) for i in row] for row, (_, y) in zip(places, some)]
                    target = torch.tensor(label, device=self.device)
                    logits = self.model(**batch).logits.float()
                    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
                    optimizer.zero_grad()
                    loss.backward()
                    # After backward: the released trainer clips before it, which clips nothing.
                    torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
                    optimizer.step()
        self.model.eval()


class SurprisalCompressor(_Compressor):
    """The baseline: keep the words that surprise a language model most. Nothing is learnt of what matters.

    Parameters
    ----------
    model : Predictor, transformers model, name, None, or callable
        What `plogp.trace.trace` takes (None: the embedded model); or ``f(words) -> surprisals``.
    pool : {"mean", "sum", "max"}
        Of the tokens that make up a word.
    options
        Further arguments of `trace`.

    Examples
    --------
    >>> SurprisalCompressor(lambda words: [len(w) for w in words]).compress("a longer word", 0.7)[0]
    'longer word'
    """

    def __init__(self, model: Any = None, pool: str = "mean", **options: Any) -> None:
        if pool not in ("mean", "sum", "max"):
            raise ValueError(f"pool must be 'mean', 'sum' or 'max', got {pool!r}")
        self.model, self.pool, self.options = model, pool, options
        #: A language model has read the whole text: one threshold for all of it.
        self.chunk = 1 << 62

    def scores(self, words: list[str], text: str) -> Floats:
        """Return the surprisal of each word, in nats; a first token that is not scored counts as the largest."""
        if callable(self.model) and not hasattr(self.model, "blocks") and not hasattr(self.model, "forward"):
            found = np.asarray(self.model(words), np.float64)
            if found.shape != (len(words),):
                raise ValueError(f"model must return a surprisal for each of the {len(words)} words, got {found.shape}")
            return found
        from plogp.trace import trace

        one = trace(self.model, [text], **self.options)
        if one.char_span is None:
            raise ValueError("the tokenizer gives no character offsets, so tokens cannot be matched with words")
        surprisal = -np.asarray(one.logprob, np.float64)
        surprisal[~one.scored] = surprisal[one.scored].max(initial=0.0)
        starts, ends = np.asarray(one.char_span).T
        pooled = getattr(np, self.pool)
        out = np.zeros(len(words))
        for i, (_, start, end) in enumerate(split_words(text)):
            inside = surprisal[(starts < end) & (ends > start)]
            if inside.size:
                out[i] = pooled(inside)
        return out
