"""`Trace`: what a sequence model says about every token of some texts, in one ragged record."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate, convert_unit

__all__ = ["ReferenceTrace", "Trace"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

#: Fields with one entry a token whose unit is that of information, or its square.
INFORMATION = ("logprob", "entropy", "max_logprob", "topk_logprob", "layer_entropy", "layer_logprob")
SQUARED = ("varentropy",)
PER_TOKEN = (
    *("ids", "scored", "logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids", "topk_logprob"),
    *("char_span", "layer_entropy", "layer_logprob"),
)


@dataclass(frozen=True, eq=False)
class ReferenceTrace:
    """A second law q beside the model's p, token by token; fields are None where they were not asked for.

    Attributes
    ----------
    logprob : array, shape (N,)
        log q_t(y_t).
    cross_entropy : array, shape (N,)
        -Σ_v p_t(v) log q_t(v), the mean of -log q under the model.
    second_moment : array, shape (N,)
        Σ_v p_t(v) (log q_t(v))²; less cross_entropy² it is the variance of log q under p.
    js : array, shape (N,)
        Jensen-Shannon divergence of p_t and q_t.
    """

    logprob: Array
    cross_entropy: Array | None = None
    second_moment: Array | None = None
    js: Array | None = None

    def __getitem__(self, where: Any) -> ReferenceTrace:
        """Return the same of some tokens."""
        return ReferenceTrace(**{f.name: _at(getattr(self, f.name), where) for f in fields(self)})


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    r"""What a sequence model says about every token of S texts: N tokens in all, one after another.

    With :math:`p_t(v) = p(v \mid y_{<t})` the model's law of token t and :math:`y_t` the token that is there,

    .. math:: \text{logprob}_t = \log p_t(y_t),\quad \text{entropy}_t = H_t = -\sum_v p_t(v)\log p_t(v),\quad
              \text{varentropy}_t = \sum_v p_t(v)\,(\log p_t(v) + H_t)^2

    Attributes
    ----------
    ids : array of int64, shape (N,)
        The tokens. Tokens that were only context (BOS, a prompt) are not among them.
    offsets : array of int64, shape (S + 1,)
        Text i is ``ids[offsets[i]:offsets[i + 1]]``.
    scored : array of bool, shape (N,)
        False where there is no prediction: the first token where the model has no BOS.
    logprob : array, shape (N,)
        NaN where not scored.
    entropy, varentropy, max_logprob : array, shape (N,), or None
        Of the law of the token; `max_logprob` is that of its most likely token.
    rank : array of int, shape (N,), or None
        Place of the token in a stable descending sort of the law, from 1; 0 where not scored or unknown.
    topk_ids, topk_logprob : array, shape (N, k), or None
        The k most likely tokens; id -1 where not scored.
    power : dict
        a -> log Σ_v p_t(v)^a.
    refs : dict
        Name -> `ReferenceTrace`.
    char_span : array of int64, shape (N, 2), or None
        Where each token stands in its text, in characters; a token that lies inside one character (byte-level
        vocabularies) has the span of that character.
    n_chars, n_bytes : array of int64, shape (S,), or None
        Unicode code points and UTF-8 bytes of the scored part of each text.
    hidden : array, shape (S, d), or None
        Last-layer state at the place that was asked for.
    layer_entropy, layer_logprob : array, shape (N, K + 1), or None
        Entropy and log-probability of the token read off the residual stream after 0, 1, ..., K blocks.
    meta : dict
        Model, vocabulary, route, windows, BOS, temperature, and ``units``.
    texts : tuple of str, or None
        The texts, where texts were given.

    Notes
    -----
    Values are in nats until `to`. Sums are taken in float64.

    Examples
    --------
    >>> t = Trace(ids=np.array([1, 0, 1]), offsets=np.array([0, 2, 3]), scored=np.ones(3, bool),
    ...           logprob=np.log([0.5, 0.25, 0.5]))
    >>> len(t), t.lengths.tolist(), t[1].ids.tolist()
    (2, [2, 1], [1])
    >>> t.nll().round(4).tolist(), t.ppl().round(4).tolist()
    ([2.0794, 0.6931], [2.8284, 2.0])
    >>> t.to("bits").nll().tolist()
    [3.0, 1.0]
    """

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    scored: npt.NDArray[np.bool_]
    logprob: Array
    entropy: Array | None = None
    varentropy: Array | None = None
    max_logprob: Array | None = None
    rank: Array | None = None
    topk_ids: Array | None = None
    topk_logprob: Array | None = None
    power: Mapping[float, Array] = field(default_factory=dict)
    refs: Mapping[str, ReferenceTrace] = field(default_factory=dict)
    char_span: Array | None = None
    n_chars: Array | None = None
    n_bytes: Array | None = None
    hidden: Array | None = None
    layer_entropy: Array | None = None
    layer_logprob: Array | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    texts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        offsets = np.asarray(self.offsets, dtype=np.int64)
        n = len(self.ids)
        if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != n or (np.diff(offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 to the number of tokens, {n}, got {offsets}")
        for name, values in self._columns():
            if len(values) != n:
                raise ValueError(f"{name} has {len(values)} entries for {n} tokens")
        for name in ("n_chars", "n_bytes", "hidden", "texts"):
            values = getattr(self, name)
            if values is not None and len(values) != len(offsets) - 1:
                raise ValueError(f"{name} has {len(values)} entries for {len(offsets) - 1} texts")

    def _columns(self) -> Iterator[tuple[str, Array]]:
        """Yield every array with one entry a token, with its name."""
        for name in PER_TOKEN:
            if getattr(self, name) is not None:
                yield name, getattr(self, name)
        for a, values in self.power.items():
            yield f"power[{a:g}]", values
        for name, reference in self.refs.items():
            for f in fields(reference):
                if getattr(reference, f.name) is not None:
                    yield f"refs[{name}].{f.name}", getattr(reference, f.name)

    # --- texts ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each text, shape (S,)."""
        return np.diff(self.offsets)

    @property
    def n_scored(self) -> npt.NDArray[np.int64]:
        """Scored tokens of each text, shape (S,)."""
        return np.diff(np.concatenate([[0], np.cumsum(self.scored)])[self.offsets]).astype(np.int64)

    def __getitem__(self, i: int | slice | Sequence[int] | npt.NDArray[Any]) -> Trace:
        """Return the trace of one text, or of several (a slice, numbers or a mask)."""
        if isinstance(i, (int, np.integer)):
            if not -len(self) <= i < len(self):
                raise IndexError(f"text {i} of {len(self)}")
            picked = np.array([i % len(self)])
        else:
            picked = np.arange(len(self))[i]
        spans = [np.arange(self.offsets[k], self.offsets[k + 1]) for k in picked]
        where = np.concatenate([np.zeros(0, dtype=np.int64), *spans])
        offsets = np.concatenate([[0], np.cumsum(self.lengths[picked])]).astype(np.int64)
        out: dict[str, Any] = {name: _at(getattr(self, name), where) for name in PER_TOKEN}
        out |= {name: _at(getattr(self, name), picked) for name in ("n_chars", "n_bytes", "hidden")}
        return Trace(
            **out,
            offsets=offsets,
            power={a: values[where] for a, values in self.power.items()},
            refs={name: reference[where] for name, reference in self.refs.items()},
            meta=dict(self.meta),
            texts=None if self.texts is None else tuple(self.texts[k] for k in picked),
        )

    def __iter__(self) -> Iterator[Trace]:
        return (self[i] for i in range(len(self)))

    # --- fields --------------------------------------------------------------------------------------------------

    @property
    def surprisal(self) -> Array:
        """-logprob, shape (N,)."""
        return -self.logprob

    def column(self, name: str) -> Array:
        """Return a field by name: "entropy", "surprisal", "power[2]", "refs[name].cross_entropy".

        Raises
        ------
        ValueError
            If the trace has it not: the message says what it has and how to ask for it.
        """
        if name == "surprisal":
            return self.surprisal
        known = dict(self._columns())
        exact = re.fullmatch(r"power\[(.*)\]", name)
        if exact:  # 2, 2.0 and 2e0 are one number
            name = next((k for k in known if k.startswith("power[") and _same(k[6:-1], exact[1])), name)
        if name not in known:
            raise ValueError(
                f"this trace has no field {name!r}; it has {', '.join(['surprisal', *known])} "
                "(trace(..., stats=, powers=, references=, top_k=) asks for more)"
            )
        return known[name]

    def _field(self, of: str | Array) -> Array:
        if isinstance(of, str):
            return self.column(of)
        values = np.asarray(of)
        if values.shape[:1] != (len(self.ids),):
            raise ValueError(f"expected one entry for each of {len(self.ids)} tokens, got shape {values.shape}")
        return values

    def sums(self, of: str | Array) -> Floats:
        """Return the sum of a field (or of any array with N entries) over each text's scored tokens, shape (S,).

        A text without scored tokens has the sum 0.
        """
        values = self._field(of).astype(np.float64)
        values = np.where(self.scored.reshape(-1, *[1] * (values.ndim - 1)), values, 0.0)
        if not len(values):
            return np.zeros((len(self), *values.shape[1:]))
        # add.reduceat gives a single entry for an empty stretch, so empty texts are left out of it.
        out = np.zeros((len(self), *values.shape[1:]))
        full = self.lengths > 0
        if full.any():
            out[full] = np.add.reduceat(values, self.offsets[:-1][full], axis=0)
        return out

    def means(self, of: str | Array) -> Floats:
        """Return the mean over each text's scored tokens, shape (S,); NaN for a text without any."""
        total = self.sums(of)
        n = self.n_scored.reshape(-1, *[1] * (total.ndim - 1))
        return np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)

    def padded(self, of: str | Array, fill: float = 0.0) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return a field as a rectangle (S, Tmax) with `fill` behind the texts, and the mask of scored tokens.

        Tokens that are in a text but not scored hold `fill` too.
        """
        values = self._field(of)
        width = int(self.lengths.max(initial=0))
        inside = np.arange(width) < self.lengths[:, None]
        mask = np.zeros(inside.shape, dtype=bool)
        mask[inside] = self.scored
        out = np.full((*inside.shape, *values.shape[1:]), fill, dtype=values.dtype)
        out[mask] = values[self.scored]
        return out, mask

    # --- reductions ----------------------------------------------------------------------------------------------

    def nll(self) -> Floats:
        """-Σ log p of each text, shape (S,)."""
        return -self.sums("logprob")

    def mean_nll(self) -> Floats:
        """Mean surprisal of each text's scored tokens, shape (S,)."""
        return -self.means("logprob")

    def ppl(self) -> Floats:
        """Perplexity exp(mean surprisal in nats) of each text, shape (S,)."""
        return np.exp(self.mean_nll() * convert_unit(self.units, "nats"))

    def bits_per_char(self) -> Floats:
        """-log2 p a Unicode character of the scored part, shape (S,); NaN where it is empty.

        Raises
        ------
        ValueError
            If the trace was made from ids and not from texts.
        """
        return self._bits_per("n_chars")

    def bits_per_byte(self) -> Floats:
        """-log2 p a UTF-8 byte of the scored part, shape (S,); NaN where it is empty.

        Raises
        ------
        ValueError
            If the trace was made from ids and not from texts.
        """
        return self._bits_per("n_bytes")

    def _lengths_in(self, name: str) -> Array:
        n = getattr(self, name)
        if n is None:
            raise ValueError(f"{name} is not known: the trace was made from ids; pass texts and a tokenizer")
        return np.asarray(n)

    def _bits_per(self, name: str) -> Floats:
        bits, n = self.nll() * convert_unit(self.units, "bits"), self._lengths_in(name)
        return np.divide(bits, n, out=np.full_like(bits, np.nan), where=n > 0)

    @property
    def units(self) -> str:
        """Unit of the information: "nats", or what `to` made of it."""
        return str(self.meta.get("units", "nats"))

    def estimate(
        self,
        what: str | Array = "mean_nll",
        method: str = "auto",
        *,
        n_resamples: int = 1000,
        block: int | None = None,
        rng: Any = None,
    ) -> Estimate:
        """Return a reduction over all texts together, with its uncertainty.

        Parameters
        ----------
        what : str or array, shape (N,)
            "mean_nll" (by token), "nll" (mean by text), "ppl", "bits_per_char", "bits_per_byte", the name of a field
            or an array: its mean by token.
        method : "auto", "martingale", "bootstrap" or "block"
            "bootstrap" draws texts, "block" runs of `block` tokens within each text; "auto" is the first from 20
            texts on, else the second. "martingale", sqrt(Σ varentropy)/n, holds where the texts were drawn from the
            model: then surprisal less entropy sums to a martingale. It is for the mean, nll, ppl and bits.
        n_resamples : int
            Of the bootstrap over texts.
        block : int, optional
            Tokens of a run; by default ⌈2 n^(1/3)⌉ with n the tokens of the text.
        rng : Generator, int or None

        Notes
        -----
        See `plogp.trace.reduction` for the laws, and where the intervals fall short.
        """
        from plogp.trace.reduction import estimate

        return estimate(self, what, method, n_resamples=n_resamples, block=block, rng=rng)

    # --- the whole record ----------------------------------------------------------------------------------------

    def to(self, unit: str) -> Trace:
        """Return the same trace in "bits", "bans" or "nats"; squares (varentropy, second_moment) by the square."""
        factor = convert_unit(self.units, unit)

        def times(values: Array | None, f: float) -> Array | None:
            return None if values is None else (values * f).astype(values.dtype)

        out: dict[str, Any] = {name: times(getattr(self, name), factor) for name in INFORMATION}
        out |= {name: times(getattr(self, name), factor**2) for name in SQUARED}
        powers: dict[float, Any] = {a: times(values, factor) for a, values in self.power.items()}
        refs = {
            name: ReferenceTrace(
                (r.logprob * factor).astype(r.logprob.dtype),
                times(r.cross_entropy, factor),
                times(r.second_moment, factor**2),
                times(r.js, factor),
            )
            for name, r in self.refs.items()
        }
        return replace(self, **out, power=powers, refs=refs, meta={**self.meta, "units": unit})

    @staticmethod
    def concat(traces: Sequence[Trace]) -> Trace:
        """Return the texts of several traces in one.

        Raises
        ------
        ValueError
            For no trace, or traces with different fields, units, models or numbers of layers.
        """
        traces = list(traces)
        if not traces:
            raise ValueError("traces must hold at least one Trace")
        first = traces[0]
        names = [name for name, _ in first._columns()]
        for k, other in enumerate(traces):
            if [name for name, _ in other._columns()] != names:
                raise ValueError(f"trace {k} has the fields {[n for n, _ in other._columns()]}, trace 0 has {names}")
            for key in ("units", "model", "fingerprint", "temperature"):
                if other.meta.get(key) != first.meta.get(key):
                    raise ValueError(f"trace {k} has {key} {other.meta.get(key)!r}, trace 0 {first.meta.get(key)!r}")

        def joined(pick: Any) -> Any:
            parts = [pick(t) for t in traces]
            return None if any(p is None for p in parts) else np.concatenate(parts)

        out: dict[str, Any] = {
            name: joined(lambda t, n=name: getattr(t, n)) for name in (*PER_TOKEN, "n_chars", "n_bytes", "hidden")
        }
        refs = {
            name: ReferenceTrace(
                **{f.name: joined(lambda t, n=name, a=f.name: getattr(t.refs[n], a)) for f in fields(ReferenceTrace)}
            )
            for name in first.refs
        }
        known = [t.texts for t in traces if t.texts is not None]
        return Trace(
            **out,
            offsets=np.concatenate([[0], np.cumsum(np.concatenate([t.lengths for t in traces]))]).astype(np.int64),
            power={a: joined(lambda t, a=a: t.power[a]) for a in first.power},
            refs=refs,
            meta=dict(first.meta),
            texts=tuple(text for part in known for text in part) if len(known) == len(traces) else None,
        )

    def to_parquet(self, path: str | Path) -> Path:
        """Write one row a token, to be queried with any engine; see `plogp.trace.parquet`. Needs pyarrow."""
        from plogp.trace.parquet import write

        return write(self, path)

    @staticmethod
    def from_parquet(path: str | Path) -> Trace:
        """Read what `to_parquet` wrote. Needs pyarrow."""
        from plogp.trace.parquet import read

        return read(path)

    def plot(self, i: int = 0, ax: Any = None, tokens: Sequence[str] | None = None) -> Any:
        """Draw surprisal and entropy of text `i` along its tokens. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        one = self[i]
        ax = plt.subplots(figsize=(9, 3))[1] if ax is None else ax
        at = np.arange(len(one.ids))
        ax.bar(at, np.where(one.scored, one.surprisal, 0.0), width=0.9, alpha=0.5, label="surprisal")
        if one.entropy is not None:
            ax.plot(at, one.entropy, color="black", linewidth=1.0, label="entropy")
        if tokens is None and one.texts is not None and one.char_span is not None:
            tokens = [one.texts[0][a:b] for a, b in one.char_span]
        if tokens is not None and len(at) <= 80:
            ax.set_xticks(at, [repr(token)[1:-1] for token in tokens], rotation=90, fontsize=7)
        ax.set_xlabel("token")
        ax.set_ylabel(self.units)
        ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        n = int(self.n_scored.sum())
        words = f"Trace({len(self)} {'text' if len(self) == 1 else 'texts'}, {len(self.ids)} tokens, {n} scored"
        if n:
            mean = float(self.nll().sum()) / n
            words += (
                f"; {mean:.4g} {self.units} a token, perplexity {_exp(mean * convert_unit(self.units, 'nats')):.4g}"
            )
            if self.n_bytes is not None and self.n_bytes.sum():
                bits = float(self.nll().sum()) * convert_unit(self.units, "bits") / float(self.n_bytes.sum())
                words += f", {bits:.4g} bits a byte"
        return words + ")"


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _at(values: Any, where: Any) -> Any:
    return None if values is None else values[where]


def _same(a: str, b: str) -> bool:
    try:
        return float(a) == float(b)
    except ValueError:
        return False
