"""The second laws beside a model: other models, vectors, and whether their vocabulary is the model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.arrays import check_probabilities, log_probabilities
from plogp.trace.encoding import vocabulary

__all__ = ["Rival", "common_vocabulary", "rivals"]

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rival:
    """One reference: a model, or a vector of log-probabilities."""

    name: str
    model: Any = None
    vector: Array | None = None

    @property
    def size(self) -> int:
        """Words in its law."""
        return len(self.vector) if self.vector is not None else int(self.model.vocab_size)

    @property
    def description(self) -> str:
        """What a trace's `meta` calls it."""
        return "vector" if self.model is None else str(getattr(self.model, "name", None) or type(self.model).__name__)

    def lead(self, bos: str, mark: int | None) -> int | None:
        """Return what stands before a text for the reference: its own BOS.

        A network that names none reads the model's, `mark`; a model of counts or a chain reads none.
        """
        if self.model is None or bos == "none":
            return None
        own = getattr(self.model, "eos_id" if bos == "eos" else "bos_id", None)
        if own is None and mark is not None and hasattr(self.model, "measure") and mark < self.size:
            own = mark
        return None if own is None else int(own)

    def blocks(self, job: Any, i: int) -> Any:
        """Return the vector, or an iterator of (slice, rows) over the scored tokens of a job."""
        if self.vector is not None:
            return self.vector
        ids = job.rival_ids[i]
        first = len(ids) - (len(job.ids) - job.first)
        # Networks put their BOS in front themselves, unless told that all is there.
        read = getattr(self.model, "raw_blocks", self.model.blocks)
        return read(ids[first:], ids[:first])


def rivals(references: Any, as_predictor: Callable[[Any], Any]) -> tuple[Rival, ...]:
    """Return the references with their names.

    Raises
    ------
    TypeError, ValueError
        For a reference that is neither a model nor a vector of probabilities.
    """
    if references is None:
        return ()
    if isinstance(references, Mapping):
        named = [(str(name), r) for name, r in references.items()]
    elif _is_one(references):
        named = [("ref", references)]
    else:
        several = list(references)
        named = [("ref" if len(several) == 1 else f"ref{i}", r) for i, r in enumerate(several)]
    out = []
    for name, r in named:
        if _is_vector(r):
            p = np.asarray(r.detach().cpu().numpy() if hasattr(r, "detach") else r, dtype=np.float64)
            if p.ndim != 1:
                raise ValueError(f"reference {name!r} must be a vector of probabilities (V,), got shape {p.shape}")
            check_probabilities(p, name=f"reference {name!r}")
            out.append(Rival(name, vector=np.asarray(log_probabilities(p))))
        else:
            out.append(Rival(name, model=as_predictor(r)))
    return tuple(out)


def _is_vector(r: Any) -> bool:
    if isinstance(r, np.ndarray) or (hasattr(r, "detach") and not hasattr(r, "named_modules")):
        return True
    return isinstance(r, (list, tuple)) and len(r) > 0 and isinstance(r[0], (int, float, np.floating, np.integer))


def _is_one(references: Any) -> bool:
    if _is_vector(references):
        return not (isinstance(references, np.ndarray) and references.ndim != 1)
    return not isinstance(references, (list, tuple))


def common_vocabulary(predictor: Any, tokenizer: Any, others: Sequence[Rival], vocab_size: int | None) -> int | None:
    """Return the size that all logits are cut to, or None where nothing is cut.

    Raises
    ------
    ValueError
        If a reference has another tokenizer, or a law over another number of words and it cannot be told that the
        words beyond are padding.
    """
    full = int(predictor.vocab_size)
    if vocab_size is not None:
        least = min([full, *(r.size for r in others)])
        if not 1 <= vocab_size <= least:
            raise ValueError(f"vocab_size must lie between 1 and {least}, the words of the model, got {vocab_size}")
    own = None if tokenizer is None else vocabulary(tokenizer)
    for r in others:
        theirs = None if r.model is None else vocabulary(getattr(r.model, "tokenizer", None))
        if own is not None and theirs is not None and own is not theirs:
            differ = next((t for t in own if theirs.get(t) != own[t]), None)
            differ = next((t for t in theirs if t not in own), None) if differ is None else differ
            if differ is not None:
                raise ValueError(
                    f"reference {r.name!r} has another tokenizer: {differ!r} is {theirs.get(differ)} there and "
                    f"{own.get(differ)} here; token-level comparison needs the same"
                )
    sizes = {full, *(r.size for r in others)}
    if vocab_size is not None:
        return None if sizes == {vocab_size} else int(vocab_size)
    if len(sizes) == 1:
        return None
    least = min(sizes)
    words = None if own is None else max(own.values(), default=-1) + 1
    if words is None or words > least:
        shown = ", ".join(f"{r.name!r} {r.size}" for r in others)
        raise ValueError(
            f"the model's law has {full} words, those of the references {shown}; pass vocab_size= to cut all to the "
            "words they share"
        )
    return least
