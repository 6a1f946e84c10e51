"""`trace`: one pass over texts gives every per-token number that detection, uncertainty and compression need."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.trace.answers import Job, Question, answers, without_first
from plogp.trace.encoding import Encoded, encode, sequences, sizes
from plogp.trace.predictors import TopKPredictor
from plogp.trace.protocol import as_ids
from plogp.trace.record import ReferenceTrace, Trace
from plogp.trace.rivals import Rival, common_vocabulary, rivals
from plogp.trace.tokens import STATS, TokenStats
from plogp.trace.windows import BOS, Window, check_windows, windows

__all__ = ["as_predictor", "trace"]

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]

#: Windows handed at a time to predictors that are no networks.
TOGETHER = 256
ROUTES = ("auto", "head", "cache", "keep", "full")


def trace(
    model: Any,
    texts_or_ids: Any,
    *,
    tokenizer: Any = None,
    references: Any = (),
    powers: Collection[float] = (),
    top_k: int = 0,
    stats: Collection[str] = STATS,
    js: bool = False,
    context: Any = None,
    window: int | None = None,
    stride: int | None = None,
    bos: str = "first",
    add_special_tokens: bool = False,
    temperature: float = 1.0,
    vocab_size: int | None = None,
    chunk_tokens: int | None = None,
    route: str = "auto",
    batch_size: int = 1,
    hidden: str | None = None,
    layers: Any = False,
    dtype: str | None = None,
    progress: bool = False,
) -> Trace:
    r"""Measure every token of some texts under a language model, in one pass, the logits never held whole.

    For token t with law :math:`p_t = p(\cdot \mid y_{<t})`: :math:`\log p_t(y_t)`, the entropy and varentropy of
    :math:`p_t`, the rank of :math:`y_t`, and what else is asked for; see `Trace`.

    Parameters
    ----------
    model : Predictor, transformers model, str or Path, or None
        A causal language model; a name or folder is loaded (`load_model`), None is the embedded model.
    texts_or_ids : str, list of str, ids, rows of ids, or a tokenizer's output
        Texts need a tokenizer. Of a batch with ``attention_mask`` the padding is left out, on whichever side it is.
    tokenizer : optional
        Of transformers or tokenizers, or a function from text to ids; by default the predictor's.
    references : model, vector, sequence or mapping of them
        Second laws q: a model with the same tokenizer, a vector (V,) of probabilities, or any `Predictor`. In a
        mapping they have names, else "ref", or "ref0", "ref1", ... where there are several.
    powers, top_k, stats, js
        As in `token_stats`: orders a of log Σ p^a, how many of the likeliest tokens to list, which statistics, and
        whether to take the Jensen-Shannon divergence from each reference.
    context : str or ids, or a list with one for each text
        A prompt before each text: conditioned on, not scored.
    window : int, optional
        Longest input; by default the model's longest. Longer texts are read in windows moved by `stride`.
    stride : int, optional
        By default half the window. 1 is exact: every token has the longest context that fits.
    bos : "first", "each", "none" or "eos"
        "first": one BOS before the text if the tokenizer has one, so that the first token is scored; "each": one
        before every window; "none": none, and the first token is not scored; "eos": the end-of-sequence token in its
        place. A BOS is never doubled and never scored.
    add_special_tokens : bool
        Let the tokenizer add its own (a BOS it adds becomes context).
    temperature : float
        Divides the model's logits first.
    vocab_size : int, optional
        Cuts the logits to the first so many: rows beyond the tokenizer's are padding.
    chunk_tokens : int, optional
        Positions whose logits are made at a time; by default 2^24 / V.
    route : "auto", "head", "cache", "keep" or "full"
        How the logits of a transformers model are made piecewise; see `HFPredictor`.
    batch_size : int
        Windows in one forward pass.
    hidden : "last" or "prompt_end", optional
        Keep the last-layer state at the last token of the text or of its context.
    layers : bool or TunedLens
        Also read entropy and log-probability off every layer (`residual_lens`).
    dtype : "float32" or "float64", optional
        What the statistics are computed in; by default the dtype of the logits, half precision as float32.
    progress : bool
        Show a bar.

    Returns
    -------
    Trace

    Raises
    ------
    TypeError, ValueError
        For input of another kind, ids outside the vocabulary, vocabularies of model and reference that do not agree,
        a stride that leaves tokens unscored, or logits with NaN.

    Examples
    --------
    >>> from plogp.trace.predictors import MarkovLM
    >>> lm = MarkovLM([[0.9, 0.1], [0.5, 0.5]])
    >>> t = trace(lm, [[0, 1, 1], [0, 0]], references={"coin": [0.5, 0.5]})
    >>> t.logprob.round(3).tolist(), t.rank.tolist()
    ([-0.182, -2.303, -0.693, -0.182, -0.105], [1, 2, 2, 1, 1])
    >>> t.refs["coin"].cross_entropy.round(3).tolist()
    [0.693, 0.693, 0.693, 0.693, 0.693]
    """
    predictor = as_predictor(model, tokenizer)
    tokenizer = getattr(predictor, "tokenizer", None) if tokenizer is None else tokenizer
    others = rivals(references, lambda m: as_predictor(m, None))
    size = common_vocabulary(predictor, tokenizer, others, vocab_size)
    question = _question(
        others, stats, powers, top_k, temperature, js, size, dtype, chunk_tokens, route, hidden, layers, batch_size
    )
    if bos not in BOS:
        raise ValueError(f"bos must be one of {', '.join(map(repr, BOS))}, got {bos!r}")
    mark = _bos_token(predictor, bos)
    leads = [mark, *(r.lead(bos, mark) for r in others)]
    room = int(any(lead is not None for lead in leads))

    texts = sequences(texts_or_ids, tokenizer, add_special_tokens)
    before = _contexts(context, len(texts), tokenizer)
    pairs = [_without_bos(one, ctx, mark) for one, ctx in zip(texts, before)]
    limit = size or predictor.vocab_size
    for one, ctx in pairs:
        as_ids(one.ids, limit), as_ids(ctx, limit, "context")
    longest = _longest([predictor, *(r.model for r in others if r.model is not None)], window)
    if longest is not None and (stride is not None or window is not None):
        check_windows(longest, stride, bos, room)
    elif stride is not None and stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")

    offsets = np.concatenate([[0], np.cumsum([len(one.ids) for one, _ in pairs])]).astype(np.int64)
    columns = _Columns(int(offsets[-1]))
    jobs = list(_jobs(pairs, offsets, longest, stride, bos, leads, hidden))
    states: dict[int, Array] = {}
    # Batches are for forward passes; what needs none is grouped by memory.
    together = batch_size if hasattr(predictor, "measure") else max(batch_size, TOGETHER)
    for batch in _shown(_batches(jobs, together), progress):
        for job, where, found, extra in answers(predictor, batch, question, others):
            if bos == "none" and job.first == 0 and where.start == 0:
                where, found = without_first(where, found)
            at = slice(job.to + where.start, job.to + where.stop)
            columns.put(at, found, [r.name for r in others], extra)
            if job.mark is not None and "hidden" in extra:
                states[job.text] = extra["hidden"]
    meta = _meta(predictor, question, longest, stride, bos, mark, others, columns)
    return _record(pairs, offsets, columns, question, others, states, hidden, tokenizer, meta)


def as_predictor(model: Any, tokenizer: Any = None) -> Any:
    """Return a `Predictor`: the one given, one around a transformers model, or the one that a name stands for."""
    if hasattr(model, "blocks") and hasattr(model, "vocab_size"):
        return model
    if model is None or isinstance(model, (str, Path)):
        from plogp.trace.huggingface import load_model

        return load_model(model)
    if callable(getattr(model, "named_modules", None)):
        from plogp.trace.huggingface import HFPredictor

        return HFPredictor(model, tokenizer)
    if isinstance(model, tuple) and len(model) == 2 and callable(model[0]):
        from plogp.trace.heads import StatesPredictor

        return StatesPredictor(*model, tokenizer=tokenizer)
    raise TypeError(
        "model must be a Predictor (vocab_size, blocks, next), a transformers causal language model, a pair (function "
        "from ids to states, output matrix), a name or folder, "
        f"or None for the embedded one, got {type(model).__name__}"
    )


# --- what is asked ---------------------------------------------------------------------------------------------------


def _question(
    others: Sequence[Rival],
    stats: Collection[str],
    powers: Collection[float],
    top_k: int,
    temperature: float,
    js: bool,
    size: int | None,
    dtype: str | None,
    chunk_tokens: int | None,
    route: str,
    hidden: str | None,
    layers: Any,
    batch_size: int,
) -> Question:
    if isinstance(stats, str) or not set(stats) <= set(STATS):
        raise ValueError(f"stats must be a collection of {', '.join(map(repr, STATS))}, got {stats!r}")
    if js and not others:
        raise ValueError("js=True needs references")
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    if route not in ROUTES:
        raise ValueError(f"route must be one of {', '.join(map(repr, ROUTES))}, got {route!r}")
    if hidden not in (None, "last", "prompt_end"):
        raise ValueError(f"hidden must be 'last' or 'prompt_end', got {hidden!r}")
    for name, value in (("batch_size", batch_size), ("chunk_tokens", chunk_tokens)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    powers = tuple(float(a) for a in powers)
    return Question(
        tuple(s for s in STATS if s in stats),
        *(powers, int(top_k), float(temperature), bool(js), size, dtype, chunk_tokens, route),
        hidden=hidden is not None,
        layers=layers,
    )


def _bos_token(predictor: Any, bos: str) -> int | None:
    """Return the token that `bos` puts before a text."""
    if bos == "none":
        return None
    name = "eos_id" if bos == "eos" else "bos_id"
    token = getattr(predictor, name, None)
    if token is None and bos != "first":
        raise ValueError(f"bos={bos!r} needs a model with {name}; this one has none")
    return None if token is None else int(token)


def _contexts(context: Any, n: int, tokenizer: Any) -> list[Ids]:
    """Return the context of each of n texts."""
    if context is None:
        return [np.zeros(0, dtype=np.int64)] * n
    one = isinstance(context, str) or (not hasattr(context, "keys") and len(context) and np.ndim(context[0]) == 0)
    one = one and not (not isinstance(context, str) and isinstance(context[0], str))
    each = [context] if one or not len(context) else list(context)
    if not one and len(each) != n:
        raise ValueError(f"context has {len(each)} entries for {n} texts")
    out = []
    for item in each:
        if isinstance(item, str):
            if tokenizer is None:
                raise ValueError("context is a text, but there is no tokenizer; pass tokenizer= or token ids")
            out.append(encode(tokenizer, item).ids)
        else:
            out.append(as_ids(item, name="context"))
    return out * n if one else out


def _without_bos(one: Encoded, context: Ids, mark: int | None) -> tuple[Encoded, Ids]:
    """Take a BOS that is there already off the front: it is put before every text alike."""
    if mark is None:
        return one, context
    if len(context):
        return one, context[1:] if context[0] == mark else context
    if len(one.ids) and one.ids[0] == mark:
        return Encoded(one.ids[1:], one.text, None if one.spans is None else one.spans[1:]), context
    return one, context


def _longest(models: Sequence[Any], window: int | None) -> int | None:
    """Return the longest input of all models, and no more than `window`."""
    known = [int(m.max_length) for m in models if getattr(m, "max_length", None) is not None]
    if window is None:
        return min(known, default=None)
    if known and window > min(known):
        raise ValueError(f"window must be at most the model's longest context, {min(known)}, got {window}")
    return int(window)


# --- jobs ------------------------------------------------------------------------------------------------------------


def _jobs(
    pairs: Sequence[tuple[Encoded, Ids]],
    offsets: Ids,
    longest: int | None,
    stride: int | None,
    bos: str,
    leads: Sequence[int | None],
    hidden: str | None,
) -> Iterator[Job]:
    mark, *second = leads
    lead_length = int(any(lead is not None for lead in leads))
    for text, (one, ctx) in enumerate(pairs):
        full, skip = np.concatenate([ctx, one.ids]), len(ctx)
        found: list[Window] = list(windows(len(full), longest, stride, bos, lead_length, skip))
        wanted = None if hidden is None else (len(full) if hidden == "last" else skip) - 1
        if wanted is not None and not any(w.start <= wanted < w.stop for w in found):
            # A context longer than the window, and what is wanted lies before the first window that scores anything.
            room = skip if longest is None else longest - lead_length
            found.insert(0, Window(max(0, skip - room), skip, skip, skip <= room and lead_length > 0))
        holder = None  # the window that sees the wanted token
        if wanted is not None:
            holder = next((w for w in found if w.start <= wanted < w.stop), None)
            if wanted < 0 and mark is not None:
                holder = next((w for w in found if w.bos), None)
        for w in found:
            if w.write >= w.stop and w is not holder:
                continue
            body = full[w.start : w.stop]
            ids = _behind(mark if w.bos else None, body)
            lead = len(ids) - len(body)
            yield Job(
                ids=ids,
                first=w.write - w.start + lead,
                to=int(offsets[text]) + w.write - skip,
                rival_ids=tuple(_behind(token if w.bos else None, body) for token in second),
                mark=wanted - w.start + lead if w is holder and wanted is not None else None,
                text=text,
            )


def _behind(token: int | None, body: Ids) -> Ids:
    return body if token is None else np.concatenate([[token], body]).astype(np.int64)


def _batches(jobs: list[Job], batch_size: int) -> list[list[Job]]:
    """Group windows of similar length, the longest first: what does not fit into memory fails at once."""
    order = sorted(range(len(jobs)), key=lambda i: -len(jobs[i].ids))
    return [[jobs[i] for i in order[k : k + batch_size]] for k in range(0, len(order), batch_size)]


def _shown(batches: list[list[Job]], progress: bool) -> Any:
    if not progress:
        return batches
    from rich.progress import track

    return track(batches, description="trace")


# --- the record ------------------------------------------------------------------------------------------------------


class _Columns:
    """Arrays over all tokens, made when the first values come, NaN (rank 0, id -1) where none do."""

    def __init__(self, n: int):
        self.n = n
        self.arrays: dict[str, Array] = {}
        self.scored = np.zeros(n, dtype=bool)
        self.unknown: set[str] = set()
        self.notes: dict[str, Any] = {}

    def put(self, at: slice, found: TokenStats, names: Sequence[str], extra: Mapping[str, Any]) -> None:
        flat: dict[str, Any] = {
            n: getattr(found, n)
            for n in ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids", "topk_logprob")
        }
        flat |= {f"power {a}": x for a, x in found.power.items()}
        for name, reference in zip(names, found.references):
            if reference is not None:
                flat |= {
                    f"ref {name} {n}": getattr(reference, n)
                    for n in ("logprob", "cross_entropy", "second_moment", "js")
                }
        flat |= {n: extra[n] for n in ("layer_entropy", "layer_logprob") if n in extra}
        self.notes |= extra.get("notes", {})
        for name, values in flat.items():
            if values is not None:
                self._column(name, values)[at] = values
        if found.logprob is not None:
            self.scored[at] = ~np.isnan(np.asarray(found.logprob))

    def _column(self, name: str, values: Any) -> Array:
        if name not in self.arrays:
            values = np.asarray(values)
            kind = {"rank": np.int32, "topk_ids": np.int32}.get(name, values.dtype)
            fill = {"rank": 0, "topk_ids": -1}.get(name, np.nan)
            self.arrays[name] = np.full((self.n, *values.shape[1:]), fill, dtype=kind)
        return self.arrays[name]

    def get(self, name: str, width: int | None = None) -> Array:
        """Return a column; where nothing was scored, one of the right shape without values."""
        if name in self.arrays:
            return self.arrays[name]
        shape = (self.n,) if width is None else (self.n, width)
        if name in ("rank", "topk_ids"):
            return np.full(shape, 0 if name == "rank" else -1, dtype=np.int32)
        return np.full(shape, np.nan, dtype=np.float32)


def _record(
    pairs: Sequence[tuple[Encoded, Ids]],
    offsets: Ids,
    columns: _Columns,
    question: Question,
    others: Sequence[Rival],
    states: Mapping[int, Array],
    hidden: str | None,
    tokenizer: Any,
    meta: dict[str, Any],
) -> Trace:
    names = {"entropy": "entropy", "varentropy": "varentropy", "max": "max_logprob", "rank": "rank"}
    out: dict[str, Any] = {names[s]: columns.get(names[s]) for s in question.stats}
    if question.top_k:
        out |= {n: columns.get(n, question.top_k) for n in ("topk_ids", "topk_logprob")}
    fields = ("logprob", "cross_entropy", "second_moment", *(("js",) if question.js else ()))
    refs = {r.name: ReferenceTrace(**{n: columns.get(f"ref {r.name} {n}") for n in fields}) for r in others}
    if question.layers and "layer_entropy" in columns.arrays:
        out |= {n: columns.get(n) for n in ("layer_entropy", "layer_logprob")}
    texts = [one for one, _ in pairs]
    if texts and all(one.text is not None for one in texts):
        out["texts"] = tuple(one.text for one in texts)
        found = [sizes(one, columns.scored[a:b], tokenizer) for one, a, b in zip(texts, offsets, offsets[1:])]
        if all(f is not None for f in found):
            out["n_chars"], out["n_bytes"] = np.array(found, dtype=np.int64).reshape(-1, 2).T.copy()
        if all(one.spans is not None for one in texts):
            out["char_span"] = np.concatenate([one.spans for one in texts if one.spans is not None])
    if hidden is not None and states:
        width = len(next(iter(states.values())))
        out["hidden"] = np.stack([states.get(i, np.full(width, np.nan, dtype=np.float32)) for i in range(len(pairs))])
    return Trace(
        ids=np.concatenate([one.ids for one in texts] or [np.zeros(0, dtype=np.int64)]),
        offsets=offsets,
        scored=columns.scored,
        logprob=columns.get("logprob"),
        power={a: columns.get(f"power {a}") for a in question.powers},
        refs=refs,
        meta=meta,
        **out,
    )


def _meta(
    predictor: Any,
    question: Question,
    longest: int | None,
    stride: int | None,
    bos: str,
    mark: int | None,
    others: Sequence[Rival],
    columns: _Columns,
) -> dict[str, Any]:
    identity = getattr(predictor, "fingerprint", None)
    out: dict[str, Any] = {
        "model": str(getattr(predictor, "name", None) or type(predictor).__name__),
        "fingerprint": identity() if callable(identity) else None,
        "vocab_size": question.vocab_size or int(predictor.vocab_size),
        "window": longest,
        "stride": stride,
        "bos": bos,
        "bos_id": mark,
        "temperature": question.temperature,
        "units": "nats",
        **columns.notes,
    }
    if others:
        out["references"] = {r.name: r.description for r in others}
    if question.vocab_size is not None and question.vocab_size < predictor.vocab_size:
        out["vocab_cut_from"] = int(predictor.vocab_size)
    if isinstance(predictor, TopKPredictor):
        names = {"entropy": "entropy", "varentropy": "varentropy"}
        out["unknown"] = [n for n in names if n in question.stats] + [f"power[{a:g}]" for a in question.powers]
    return out
