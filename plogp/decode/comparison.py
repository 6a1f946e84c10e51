"""`compare_samplers`: perplexity, repetition and diversity of what each sampler writes, against its parameter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plogp.decode.generation import generate, prompt_tokens
from plogp.decode.sampler import SAMPLERS, Temperature, get_sampler, positive
from plogp.measures.uncertainty import Estimate
from plogp.trace.record import Trace
from plogp.trace.repetition import distinct_ngrams
from plogp.trace.tracing import as_predictor

__all__ = ["SamplerComparison", "SamplerRow", "compare_samplers"]

#: What is drawn, in this order: (field, label, whether on a logarithmic axis).
PANELS = (
    ("perplexity", "perplexity under the model", True),
    ("repetition", "share of repeated {ngram}-grams", False),
    ("diversity", "distinct-{distinct}", False),
)


@dataclass(frozen=True)
class SamplerRow:
    """One sampler at one value of its parameter.

    Attributes
    ----------
    sampler, parameter : str
    value : float
    perplexity : Estimate
        Of the text under the model as it is, without sampler and temperature.
    repetition : float
        Mean over the texts of the share of n-grams that were there before in the same text.
    diversity : float
        Distinct-n of all texts together.
    surprisal : float
        Mean, in bits per token, under the model as it is: what Mirostat holds.
    entropy : float
        Mean, in nats per token, of the law that was drawn from.
    kept : float
        Mean number of tokens that the sampler left.
    """

    sampler: str
    parameter: str
    value: float
    perplexity: Estimate
    repetition: float
    diversity: float
    surprisal: float
    entropy: float
    kept: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the perplexity; NaN for fewer than 30 tokens, which tell nothing about their spread."""
        known = self.perplexity.se is not None or self.perplexity.law is not None
        return self.perplexity.interval(0.95) if known else (math.nan, math.nan)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        low, high = self.interval
        return {
            "sampler": self.sampler,
            "parameter": self.parameter,
            "value": self.value,
            "perplexity": self.perplexity.value,
            "perplexity_interval": [low, high],
            "repetition": self.repetition,
            "diversity": self.diversity,
            "surprisal_bits": self.surprisal,
            "drawn_entropy_nats": self.entropy,
            "tokens_kept": self.kept,
        }


@dataclass(frozen=True, repr=False)
class SamplerComparison:
    """What `compare_samplers` measured: rows, and how they were made.

    Attributes
    ----------
    rows : tuple of SamplerRow
    settings : mapping
        Model, prompts, lengths, temperature, seed.
    """

    rows: tuple[SamplerRow, ...]
    settings: Mapping[str, Any]

    def curve(self, sampler: str, field: str) -> tuple[list[float], list[float]]:
        """Return parameter and field of one sampler, the parameter rising.

        Raises
        ------
        KeyError
            For a sampler that was not compared.
        """
        rows = sorted((row for row in self.rows if row.sampler == sampler), key=lambda row: row.value)
        if not rows:
            raise KeyError(f"no sampler {sampler!r} here; compared were {', '.join(self.samplers)}")
        values = [getattr(row, field) for row in rows]
        return [row.value for row in rows], [v.value if isinstance(v, Estimate) else v for v in values]

    @property
    def samplers(self) -> tuple[str, ...]:
        """Names, in the order of the comparison."""
        return tuple(dict.fromkeys(row.sampler for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Return settings and rows as plain numbers, for JSON; what is not a number is None."""
        rows = [{k: _plain(v) for k, v in row.to_dict().items()} for row in self.rows]
        return {"settings": dict(self.settings), "rows": rows}

    def table(self) -> Any:
        """Return a `rich` table of the rows."""
        from rich import box
        from rich.table import Table

        n, d = self.settings["ngram"], self.settings["distinct"]
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        table.add_column("sampler", no_wrap=True)
        for head in ("parameter", "perplexity", "95 %", "bits", f"rep-{n}", f"dist-{d}", "H drawn", "kept"):
            table.add_column(head, justify="left" if head == "parameter" else "right", no_wrap=True)
        last = ""
        for row in self.rows:
            if last and row.sampler != last:
                table.add_section()
            low, high = row.interval
            table.add_row(
                row.sampler if row.sampler != last else "",
                f"{row.parameter}={row.value:g}",
                f"{row.perplexity.value:.4g}",
                "" if math.isnan(low) else f"{low:.3g} to {high:.3g}",
                f"{row.surprisal:.2f}",
                f"{row.repetition:.3f}",
                f"{row.diversity:.3f}",
                f"{row.entropy:.2f}",
                f"{row.kept:.1f}",
            )
            last = row.sampler
        return table

    def __repr__(self) -> str:
        return f"SamplerComparison({', '.join(self.samplers)}; {len(self.rows)} rows)"

    def plot(self, figure: Any = None) -> Any:
        """Draw each sampler's perplexity, repetition and diversity against its parameter; return the figure.

        One column a sampler, as each has a parameter of its own; the rows share their axis.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        names = self.samplers
        if figure is None:
            figure = Figure(figsize=(2.6 * len(names) + 0.8, 6.6), layout="constrained")
        axes = figure.subplots(len(PANELS), len(names), squeeze=False, sharey="row", sharex="col")
        for i, (field, label, log) in enumerate(PANELS):
            for j, name in enumerate(names):
                ax = axes[i][j]
                x, y = self.curve(name, field)
                if field == "perplexity":
                    rows = sorted((row for row in self.rows if row.sampler == name), key=lambda row: row.value)
                    spans = [row.interval for row in rows]
                    ax.fill_between(x, [s[0] for s in spans], [s[1] for s in spans], alpha=0.25, lw=0)
                ax.plot(x, y, marker="o", ms=3.5)
                if log:
                    ax.set_yscale("log")
                else:
                    ax.set_ylim(-0.03, 1.03)
                if len(x) > 2 and min(x) > 0 and max(x) / min(x) >= 30:
                    ax.set_xscale("log")
                ax.grid(alpha=0.3)
                if i == 0:
                    ax.set_title(name)
                if j == 0:
                    ax.set_ylabel(label.format(**self.settings))
                if i == len(PANELS) - 1:
                    ax.set_xlabel(SAMPLERS[name].parameter.replace("_", " "))
        return figure


def compare_samplers(
    predictor: Any = None,
    prompts: Sequence[Any] = ((),),
    samplers: Sequence[str] | Mapping[str, Sequence[float]] = ("top-p", "typical", "top-h", "min-p", "mirostat"),
    *,
    max_new_tokens: int = 100,
    num_samples: int = 4,
    temperature: float = 1.0,
    ngram: int = 4,
    distinct: int = 2,
    rng: int | np.random.Generator | None = None,
    progress: bool = False,
) -> SamplerComparison:
    """Sweep the parameter of several samplers and measure what they write.

    Parameters
    ----------
    predictor : Predictor, transformers model, name or None
        What writes, and what judges; None is the embedded model.
    prompts : sequence of str or of sequences of int
        Each is continued `num_samples` times at each setting; by default one empty prompt.
    samplers : sequence of str, or mapping of str to values
        Names of `plogp.decode.sampler.SAMPLERS`, with the values of its main parameter to try; by default those
        listed there.
    max_new_tokens : int
        Of every text: none ends early, because repetition and diversity depend on the length.
    num_samples : int
    temperature : float
        Applied before the sampler. Perplexity is that of the model at temperature 1.
    ngram, distinct : int
        n of repetition and of distinct-n.
    rng : Generator, int or None
    progress : bool
        Show a bar.

    Returns
    -------
    SamplerComparison

    Raises
    ------
    KeyError, ValueError, TypeError
        For an unknown sampler, a value out of its range, or empty prompts: before anything is generated.

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> lm = MarkovLM.random(50, sharpness=2.0, rng=0)
    >>> found = compare_samplers(lm, [[0]], {"top-p": (0.3, 0.9)}, max_new_tokens=200, num_samples=2, rng=0)
    >>> low, high = found.rows
    >>> low.perplexity.value < high.perplexity.value, low.repetition > high.repetition, low.diversity < high.diversity
    (True, True, True)

    The plots of Basu et al. (2021), arXiv:2007.14966, and Baghaei Potraghloo et al. (2025), arXiv:2509.02510.
    """
    if isinstance(prompts, str):
        raise TypeError("prompts must be a list of prompts; for one, pass [prompt]")
    if isinstance(samplers, str):
        raise TypeError("samplers must be a list of names; for one, pass [name]")
    sweep = list(_settings(samplers))
    first = [] if positive(temperature, "temperature") == 1.0 else [Temperature(temperature)]
    predictor = as_predictor(predictor)
    starts = [prompt_tokens(predictor, prompt) for prompt in prompts]
    if not starts or not sweep:
        raise ValueError("prompts and samplers must not be empty")
    if max_new_tokens < max(ngram, distinct):
        raise ValueError(f"max_new_tokens={max_new_tokens} is too short for {max(ngram, distinct)}-grams")
    g = np.random.default_rng(rng)
    shown: Any = sweep
    if progress:
        from rich.console import Console
        from rich.progress import track

        shown = track(sweep, description="compare samplers", console=Console(stderr=True))
    rows = []
    for name, value in shown:
        sampler = get_sampler(name, value)
        for edit in first:
            sampler = edit | sampler
        out = [
            generate(predictor, start, sampler, max_new_tokens, num_samples=num_samples, eos=(), rng=g)
            for start in starts
        ]
        texts: list[Any] = [ids for o in out for ids in o.ids]
        trace = Trace.concat([o.trace for o in out if o.trace is not None])
        rows.append(
            SamplerRow(
                sampler=name,
                parameter=SAMPLERS[name].parameter,
                value=value,
                perplexity=trace.estimate("ppl", rng=0),
                repetition=float(np.mean([1.0 - distinct_ngrams([ids], ngram) for ids in texts])),
                diversity=distinct_ngrams(texts, distinct),
                surprisal=float(np.mean(trace.surprisal, dtype=np.float64)) / math.log(2.0),
                entropy=float(np.mean(np.concatenate([e for o in out for e in o.drawn_entropy]))),
                kept=float(np.mean(np.concatenate([k for o in out for k in o.n_kept]))),
            )
        )
    settings = {
        "model": str(getattr(predictor, "name", None) or type(predictor).__name__),
        "vocab_size": int(predictor.vocab_size),
        "prompts": len(starts),
        "num_samples": num_samples,
        "max_new_tokens": max_new_tokens,
        "temperature": float(temperature),
        "ngram": ngram,
        "distinct": distinct,
        "seed": rng if isinstance(rng, int) else None,
    }
    return SamplerComparison(tuple(rows), settings)


def _settings(samplers: Sequence[str] | Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float]]:
    """Yield (name, value), each built once so that a mistake shows before any work."""
    grids = samplers if isinstance(samplers, Mapping) else dict.fromkeys(samplers, None)
    for given, values in grids.items():
        name = given.lower().replace("_", "-")
        if name not in SAMPLERS:
            raise KeyError(f"no sampler {given!r} to compare; expected some of {', '.join(sorted(SAMPLERS))}")
        for value in SAMPLERS[name].grid if values is None else values:
            get_sampler(name, value)
            yield name, float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
