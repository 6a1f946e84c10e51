"""From texts to token ids, with the place of every token in its text; and from whatever holds ids to sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.trace.protocol import as_ids

__all__ = ["Encoded", "decode", "encode", "sequences", "sizes", "vocabulary"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Encoded:
    """One sequence: its ids; where it came from text, the text and the characters of each token."""

    ids: Ids
    text: str | None = None
    spans: Ids | None = None


def encode(tokenizer: Any, text: str, add_special_tokens: bool = False) -> Encoded:
    """Return the tokens of a text.

    Parameters
    ----------
    tokenizer
        Of transformers (fast ones know the characters of each token), of the tokenizers library, an object with
        ``encode(text)``, or a function.

    Raises
    ------
    TypeError
        If `tokenizer` is none of these.
    """
    if hasattr(tokenizer, "is_fast"):
        fast = bool(tokenizer.is_fast)
        # verbose: a text longer than the model's context is what windows are for, not a mistake.
        out = tokenizer(
            text, add_special_tokens=add_special_tokens, return_offsets_mapping=fast, verbose=False, truncation=False
        )
        return Encoded(as_ids(out["input_ids"]), text, _spans(out["offset_mapping"]) if fast else None)
    if hasattr(tokenizer, "encode"):
        out = tokenizer.encode(text)
        if hasattr(tokenizer, "token_to_id") and hasattr(out, "offsets"):
            out = tokenizer.encode(text, add_special_tokens=add_special_tokens)
            return Encoded(as_ids(out.ids), text, _spans(out.offsets))
    elif callable(tokenizer):
        out = tokenizer(text)
        out = out["input_ids"] if isinstance(out, Mapping) else out
    else:
        raise TypeError(f"tokenizer must be a tokenizer or a function from text to ids, got {type(tokenizer).__name__}")
    return Encoded(as_ids(out), text)


def _spans(offsets: Any) -> Ids:
    return np.asarray(offsets, dtype=np.int64).reshape(-1, 2)


def decode(tokenizer: Any, ids: Any) -> str:
    """Return the text of ids, special tokens included."""
    ids = [int(i) for i in ids]
    if hasattr(tokenizer, "is_fast"):
        return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    if hasattr(tokenizer, "token_to_id"):
        return str(tokenizer.decode(ids, skip_special_tokens=False))
    return str(tokenizer.decode(ids))


def vocabulary(tokenizer: Any) -> Mapping[str, int] | None:
    """Return the tokenizer's map from tokens to ids, where it has one."""
    get = getattr(tokenizer, "get_vocab", None)
    return get() if callable(get) else None


def sequences(given: Any, tokenizer: Any, add_special_tokens: bool, name: str = "texts_or_ids") -> list[Encoded]:
    """Return the sequences in what a caller passes.

    A text, a list of texts, ids (one row), rows of ids of any lengths, a two-dimensional array or tensor, or a mapping
    with ``input_ids`` and ``attention_mask`` as a tokenizer returns it: padding on either side is left out by the mask.

    Raises
    ------
    TypeError, ValueError
        For anything else, text without a tokenizer, or two-dimensional ids with a mask of another shape.
    """
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Mapping) or (hasattr(given, "keys") and hasattr(given, "__getitem__")):
        return _masked(given, name)
    if hasattr(given, "detach"):
        given = given.detach().cpu().numpy()
    if isinstance(given, np.ndarray) and given.dtype.kind not in "OUS":
        if given.ndim not in (1, 2):
            raise ValueError(f"{name} must be one or two-dimensional ids, got shape {given.shape}")
        return [Encoded(as_ids(row, name=name)) for row in (given[None] if given.ndim == 1 else given)]
    if not isinstance(given, (Sequence, np.ndarray)) or isinstance(given, bytes):
        raise TypeError(f"{name} must be texts or token ids, got {type(given).__name__}")
    items = list(given)
    if not items:
        return []
    if isinstance(items[0], str):
        wrong = next((x for x in items if not isinstance(x, str)), None)
        if wrong is not None:
            raise TypeError(f"{name} mixes texts with {type(wrong).__name__}")
        if tokenizer is None:
            raise ValueError(f"{name} are texts, but there is no tokenizer; pass tokenizer= or token ids")
        return [encode(tokenizer, text, add_special_tokens) for text in items]
    if np.ndim(items[0]) == 0:
        return [Encoded(as_ids(items, name=name))]
    return [Encoded(as_ids(row, name=name)) for row in items]


def _masked(batch: Any, name: str) -> list[Encoded]:
    if "input_ids" not in batch:
        raise ValueError(f"{name} is a mapping without 'input_ids'; it has {sorted(batch.keys())}")
    ids = batch["input_ids"]
    mask = batch.get("attention_mask")
    rows = [ids] if np.ndim(ids[0] if len(ids) else 0) == 0 else list(ids)
    masks = [None] * len(rows) if mask is None else [mask] if len(rows) == 1 and np.ndim(mask[0]) == 0 else list(mask)
    if len(masks) != len(rows):
        raise ValueError(f"attention_mask has {len(masks)} rows for {len(rows)} sequences")
    out = []
    for row, keep in zip(rows, masks):
        tokens = as_ids(row, name="input_ids")
        if keep is not None:
            kept = as_ids(keep, name="attention_mask")
            if kept.shape != tokens.shape:
                raise ValueError(f"attention_mask has shape {kept.shape} for {tokens.shape} input_ids")
            inside = np.flatnonzero(kept)
            if len(inside) and inside[-1] - inside[0] + 1 != len(inside):
                raise ValueError("attention_mask has gaps; expected padding at the ends only")
            tokens = tokens[inside]
        out.append(Encoded(tokens))
    return out


def sizes(one: Encoded, scored: npt.NDArray[np.bool_], tokenizer: Any) -> tuple[int, int] | None:
    """Return the characters and UTF-8 bytes of the scored part of a text; None where they cannot be told.

    A token's part reaches from the end of the token before it to its own end, the last token's to the end of the text.
    """
    text = one.text
    if text is None:
        return None
    if scored.all():
        return (len(text), _bytes(text)) if len(scored) else (0, 0)
    if one.spans is None:
        # No spans: the scored part must be the end of the text, as the tokenizer spells it.
        first = int(np.argmax(scored)) if scored.any() else len(scored)
        end = decode(tokenizer, one.ids[first:]) if hasattr(tokenizer, "decode") and scored[first:].all() else None
        return (len(end), _bytes(end)) if end is not None and text.endswith(end) else None
    ends = np.maximum.accumulate(one.spans[:, 1])
    ends[-1] = len(text)
    starts = np.concatenate([[0], ends[:-1]])
    parts = [text[a:b] for a, b in zip(starts[scored], ends[scored])]
    return sum(map(len, parts)), sum(map(_bytes, parts))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
