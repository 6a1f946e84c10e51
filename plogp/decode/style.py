"""Style by counting: n-gram frequencies of a corpus added to the logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.decode.generation import generate, prompt_tokens
from plogp.decode.sampler import Sampler, like
from plogp.measures import divergence
from plogp.measures.arrays import Array
from plogp.measures.uncertainty import Estimate
from plogp.trace.ngram_lm import NGramLM
from plogp.trace.record import Trace
from plogp.trace.repetition import distinct_ngrams
from plogp.trace.tracing import as_predictor, trace

__all__ = ["NGramPrior", "StyleReport", "StyleRow", "style_report"]


class NGramPrior(Sampler):
    """Add the log-frequencies of a style corpus's n-grams to the logits.

    z'(v) = z(v) + λ Σ_n w_n log max(p_n(v | last n−1 tokens), floor), over the orders n whose context the corpus has
    (order 1 always), with p_n = (c + δ) / (C + δ V) from the counts. The result is a product of experts,
    p' ∝ p Π p_n^(λ w_n): the unigram factor knows no context, so a large λ drives the text into the modes of the
    count model. Style is bought with fluency and diversity; λ around 0.1 is the regime that the paper finds useful.

    Parameters
    ----------
    ngram : NGramLM
        Counted on the style corpus with the model's own tokenizer.
    lam : float
        λ >= 0; 0 is the identity.
    weights : sequence of float, optional
        w_1, ..., w_order; (0.1, 0.3, 0.6) for order 3 by default, else equal. The paper's values are not public.
    floor : float
        What an unseen token's frequency counts as, in (0, 1): without one, λ > 0 would forbid it.
    delta : float
        δ >= 0, a pseudo-count.

    Raises
    ------
    ValueError
        For parameters out of range, an empty corpus, a corpus of another vocabulary, or when the tokens so far are not
        given.

    Examples
    --------
    >>> style = NGramLM(order=2, vocab_size=3).fit([[0, 1, 0, 1, 0, 2]])
    >>> sampler = NGramPrior(style, lam=1.0, weights=(0.0, 1.0))
    >>> np.exp(sampler.filter(np.zeros((1, 3)), ids=[[0]])).round(3).tolist()     # behind 0: never 0, twice 1, once 2
    [[0.0, 0.667, 0.333]]

    After n-gram style injection (2026), arXiv:2601.16224; weights, floor and smoothing are this library's choice.
    """

    def __init__(
        self,
        ngram: NGramLM,
        lam: float = 0.1,
        weights: Sequence[float] | None = None,
        floor: float = 1e-6,
        delta: float = 0.0,
    ):
        if not isinstance(ngram, NGramLM):
            raise TypeError(f"ngram must be an NGramLM, got {type(ngram).__name__}")
        if not ngram.n_tokens:
            raise ValueError("ngram has counted nothing; call fit on the style corpus first")
        if not 0 <= lam < math.inf:
            raise ValueError(f"lam must be a number >= 0, got {lam!r}")
        if not 0 < floor < 1:
            raise ValueError(f"floor must lie between 0 and 1, got {floor!r}")
        if not 0 <= delta < math.inf:
            raise ValueError(f"delta must be a number >= 0, got {delta!r}")
        if weights is None:
            weights = (0.1, 0.3, 0.6) if ngram.order == 3 else (1.0 / ngram.order,) * ngram.order
        if len(weights) != ngram.order or not all(0 <= w < math.inf for w in weights):
            raise ValueError(f"weights must be {ngram.order} numbers >= 0, one per order, got {tuple(weights)!r}")
        self.ngram = ngram
        self.lam = float(lam)
        self.weights = tuple(float(w) for w in weights)
        self.floor = float(floor)
        self.delta = float(delta)

    def log_factor(self, ids: Any) -> npt.NDArray[np.float64]:
        """Return Σ_n w_n log max(p_n, floor) (V,) behind the tokens `ids`."""
        size, past = self.ngram.vocab_size, [int(i) for i in ids]
        out = np.zeros(size)
        for n, weight in enumerate(self.weights, start=1):
            if n - 1 > len(past) or weight == 0:
                continue
            seen = self.ngram.counts(past[len(past) - n + 1 :])
            if seen is None:
                continue
            p = np.full(size, self.delta)
            p[seen[0]] += seen[1]
            out += weight * np.log(np.maximum(p / (seen[1].sum() + self.delta * size), self.floor))
        return out

    def _edit(self, xp: Any, z: Array, state: Any, ids: list[Any] | None) -> tuple[Array, Any]:
        if self.lam == 0:
            return xp.asarray(z, copy=True), state
        if ids is None:
            raise ValueError("NGramPrior looks at the tokens so far; pass ids")
        if z.shape[-1] != self.ngram.vocab_size:
            raise ValueError(
                f"ngram counts a vocabulary of {self.ngram.vocab_size} tokens, logits have {z.shape[-1]}: "
                "count the style corpus with the model's own tokenizer"
            )
        return z + like(xp, self.lam * np.stack([self.log_factor(row) for row in ids]), z), state


@dataclass(frozen=True)
class StyleRow:
    """What one strength does.

    Attributes
    ----------
    lam : float
    style_ppl, base_ppl : Estimate
        Perplexity of the text under the style's NGramLM and under the model without the prior.
    js : float
        Mean Jensen-Shannon divergence, in nats, of the model's law and the steered one over the steps.
    overlap : tuple of float
        Share of the text's 1-, 2-, ..., order-grams that the corpus has.
    jaccard : float
        Of the two sets of tokens.
    distinct_2 : float
        Distinct-2 of all texts together.
    """

    lam: float
    style_ppl: Estimate
    base_ppl: Estimate
    js: float
    overlap: tuple[float, ...]
    jaccard: float
    distinct_2: float


@dataclass(frozen=True, repr=False)
class StyleReport:
    """One `StyleRow` a strength, as a table, and as a plot of what style costs."""

    rows: tuple[StyleRow, ...]

    def column(self, name: str) -> list[Any]:
        """Return a field of all rows; the values of Estimates."""
        values = [getattr(row, name) for row in self.rows]
        return [v.value if isinstance(v, Estimate) else v for v in values]

    def __repr__(self) -> str:
        orders = len(self.rows[0].overlap)
        head = [
            "lam",
            "style ppl",
            "base ppl",
            "JS",
            *(f"in style {n}" for n in range(1, orders + 1)),
            "Jaccard",
            "dist-2",
        ]
        lines = ["  ".join(f"{h:>10}" for h in head)]
        for row in self.rows:
            cells = (
                row.lam,
                row.style_ppl.value,
                row.base_ppl.value,
                row.js,
                *row.overlap,
                row.jaccard,
                row.distinct_2,
            )
            lines.append("  ".join(f"{cell:>10.4g}" for cell in cells))
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw both perplexities and distinct-2 against the strength; return the matplotlib axes.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        ax = ax or pyplot.subplots()[1]
        lams = self.column("lam")
        ax.plot(lams, self.column("style_ppl"), marker="o", label="perplexity under the style")
        ax.plot(lams, self.column("base_ppl"), marker="s", label="perplexity under the model")
        ax.set(xlabel="strength λ", ylabel="perplexity", yscale="log")
        right = ax.twinx()
        right.plot(lams, self.column("distinct_2"), color="grey", ls="--", label="distinct-2")
        right.set(ylabel="distinct-2", ylim=(0, 1.02))
        lines = [*ax.get_lines(), *right.get_lines()]
        ax.legend(lines, [line.get_label() for line in lines], loc="best")
        return ax


def style_report(
    base: Any,
    prior: NGramPrior,
    lambdas: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
    prompts: Sequence[Any] = ((),),
    *,
    max_new_tokens: int = 200,
    num_samples: int = 1,
    rng: Any = None,
    progress: bool = False,
) -> StyleReport:
    """Sweep the strength of a style prior and measure what it buys and what it costs.

    Parameters
    ----------
    base : Predictor, transformers model, name or None
        The model that is steered; None is the embedded one.
    prior : NGramPrior
        Its `lam` is replaced by each of `lambdas`.
    lambdas : sequence of float
    prompts : sequence of str or of sequences of int
        Each is continued `num_samples` times.
    max_new_tokens : int
        Of each text; none ends early, so that the counts compare.
    num_samples : int
    rng : Generator, int or None
    progress : bool
        Show a bar.

    Returns
    -------
    StyleReport

    Raises
    ------
    ValueError, TypeError
        As `generate` and `NGramPrior`.

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> style = NGramLM(order=3, vocab_size=8).fit(MarkovLM.random(8, 2.0, rng=1).sample(1, 400, rng=0))
    >>> report = style_report(MarkovLM.random(8, rng=0), NGramPrior(style), (0.0, 1.0), max_new_tokens=60, rng=0)
    >>> low, high = report.rows
    >>> low.js, high.js > 0.01, high.style_ppl.value < low.style_ppl.value
    (0.0, True, True)
    """
    if isinstance(prompts, str):
        raise TypeError("prompts must be a list of prompts; for one, pass [prompt]")
    base = as_predictor(base)
    starts = [prompt_tokens(base, prompt) for prompt in prompts]
    if not starts or not len(lambdas):
        raise ValueError("prompts and lambdas must not be empty")
    g = np.random.default_rng(rng)
    steps: Any = list(lambdas)
    if progress:
        from rich.console import Console
        from rich.progress import track

        steps = track(steps, description="style report", console=Console(stderr=True))
    return StyleReport(tuple(_row(base, prior, float(lam), starts, max_new_tokens, num_samples, g) for lam in steps))


def _row(base: Any, prior: NGramPrior, lam: float, starts: list[Any], length: int, n: int, rng: Any) -> StyleRow:
    ngram = prior.ngram
    steered = NGramPrior(ngram, lam, prior.weights, prior.floor, prior.delta)
    traces: list[Trace] = []
    texts: list[Any] = []
    contexts: list[Any] = []
    for start in starts:
        out = generate(base, start, steered, length, num_samples=n, eos=(), rng=rng)
        if out.trace is not None:
            traces.append(out.trace)
        texts.extend(out.ids)
        contexts.extend([start] * n)
    style = trace(ngram, texts, context=contexts, bos="none", stats=())
    shares = [_overlap(ngram, texts, k) for k in range(1, ngram.order + 1)]
    words = ngram.counts(())
    own, corpus = set(np.concatenate(texts).tolist()), set() if words is None else set(words[0].tolist())
    return StyleRow(
        lam=lam,
        style_ppl=style.estimate("ppl", rng=0),
        base_ppl=Trace.concat(traces).estimate("ppl", rng=0),
        js=_path_js(base, steered, texts, contexts),
        overlap=tuple(shares),
        jaccard=len(own & corpus) / len(own | corpus),
        distinct_2=distinct_ngrams(texts, 2),
    )


def _path_js(base: Any, steered: NGramPrior, texts: list[Any], contexts: list[Any]) -> float:
    """Return the mean JS of the base law and the steered one over all steps of the texts."""
    if steered.lam == 0:
        return 0.0
    js, total, n = divergence("js"), 0.0, 0
    for ids, context in zip(texts, contexts, strict=True):
        for where, rows in base.blocks(ids, context):
            rows = np.asarray(rows, dtype=np.float64)
            past = [np.concatenate([context, ids[:t]]) for t in range(where.start, where.stop)]
            total += float(np.sum(js.from_logits(rows, steered.filter(rows, ids=past), check=False)))
            n += len(rows)
    return total / n


def _overlap(ngram: NGramLM, texts: list[Any], n: int) -> float:
    hits, total = 0, 0
    for ids in texts:
        for t in range(n - 1, len(ids)):
            seen = ngram.counts([int(i) for i in ids[t - n + 1 : t]])
            hits += seen is not None and int(ids[t]) in seen[0]
            total += 1
    return hits / total if total else math.nan
