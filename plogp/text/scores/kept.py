"""The tokens of a trace that a score counts, and their sums and means per text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = ["PROTOCOLS", "Kept", "reference_of", "same_ids"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: "all": every token that has a prediction. "paper": as the released programs, which drop a text's first token.
PROTOCOLS = ("all", "paper")


class Kept:
    """The scored tokens of a trace under a protocol, in order, with reductions per text in float64.

    Parameters
    ----------
    trace : Trace
        Of S texts.
    protocol : {"all", "paper"}
        "paper" leaves out the first token of each text, scored or not.
    limit : int, optional
        Count only the first `limit` tokens of each text.

    Attributes
    ----------
    index : array of int, shape (K,)
        Where the kept tokens lie in the trace's arrays.
    owner : array of int, shape (K,)
        The text of each.
    n : array of int, shape (S,)
        How many of each text are kept.
    """

    def __init__(self, trace: Trace, protocol: str = "all", limit: int | None = None) -> None:
        from plogp.trace.record import Trace

        if not isinstance(trace, Trace):
            raise TypeError(f"trace must be a Trace (see plogp.trace.trace), got {type(trace).__name__}")
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be 'all' or 'paper', got {protocol!r}")
        offsets = np.asarray(trace.offsets, np.int64)
        owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        position = np.arange(len(owner)) - offsets[owner]
        keep = np.asarray(trace.scored, bool)
        if protocol == "paper":
            keep = keep & (position > 0)
        if limit is not None:
            keep = keep & (position < limit)
        self.trace = trace if trace.units == "nats" else trace.to("nats")
        self.index: Ints = np.flatnonzero(keep)
        self.owner: Ints = owner[keep]
        self.n: Ints = np.bincount(self.owner, minlength=len(offsets) - 1)

    def __len__(self) -> int:
        return len(self.n)

    def only(self, where: npt.NDArray[np.bool_]) -> Kept:
        """Return the kept tokens for which `where`, with one entry a token of the trace, holds."""
        chosen = where[self.index]
        out = object.__new__(Kept)
        out.trace, out.index, out.owner = self.trace, self.index[chosen], self.owner[chosen]
        out.n = np.bincount(out.owner, minlength=len(self.n))
        return out

    def field(self, name: str) -> Floats:
        """Return a field of the trace (`Trace.column`'s names) at the kept tokens, in nats.

        Raises
        ------
        ValueError
            If the trace was made without it, or the model did not give it (NaN, a rank of 0).
        """
        kept = np.asarray(self.trace.column(name))[self.index].astype(np.float64)
        unknown = kept < 1 if name == "rank" else np.isnan(kept)
        if unknown.any():
            raise ValueError(f"{name} is unknown at scored tokens: the model did not give its whole distribution")
        return kept

    def sum(self, values: Floats) -> Floats:
        """Return the sum of `values`, one a kept token, over each text."""
        return np.bincount(self.owner, weights=values, minlength=len(self.n)).astype(np.float64, copy=False)

    def mean(self, values: Floats) -> Floats:
        """Return their mean over each text; NaN for a text without kept tokens."""
        return self.over(self.sum(values), self.n.astype(np.float64))

    def over(self, above: Floats, below: Floats) -> Floats:
        """Return a quotient per text; NaN for a text without kept tokens, and where both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.n > 0, above / below, np.nan)

    def smallest(self, values: Floats, share: float, at_least: int = 1) -> Floats:
        """Return the mean over the smallest ``max(at_least, floor(share n))`` values of each text; NaN where none."""
        order = np.lexsort((values, self.owner))
        start = np.concatenate(([0], np.cumsum(self.n)))
        place = np.arange(len(order)) - start[self.owner]  # `owner` is sorted, so it is unchanged by the order
        # 0.29 * 100 is 28.999...: a product that is whole up to rounding counts as whole.
        count = np.minimum(np.maximum(np.floor(share * self.n + 1e-9), at_least), self.n)
        chosen = place < count[self.owner]
        total = np.bincount(self.owner[chosen], weights=values[order][chosen], minlength=len(self.n))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(count > 0, total / count, np.nan)


def reference_of(trace: Trace, name: str | None) -> str:
    """Return the name of a reference that a trace has: the given one, or without a name its only one.

    Raises
    ------
    ValueError
        If there is none of that name; or, without a name, none or several.
    """
    refs = trace.refs
    if name is None and len(refs) == 1:
        name = next(iter(refs))
    if name is None or name not in refs:
        has = ", ".join(map(repr, refs)) or "none"
        wanted = "exactly one reference, or ref= to name one" if name is None else f"the reference {name!r}"
        raise ValueError(f"this score needs {wanted}; the trace has {has}: trace(..., references={{name: model}})")
    return name


def same_ids(a: Trace, b: Trace, what: str) -> None:
    """Raise unless two traces are of the same tokens."""
    if not (np.array_equal(a.offsets, b.offsets) and np.array_equal(a.ids, b.ids)):
        raise ValueError(f"{what} must be a trace of the same tokens, but its ids differ")
