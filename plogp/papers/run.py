"""Run claims, one after another, and hold what came out."""

from __future__ import annotations

import math
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import plogp
from plogp.papers.catalogue import Paper, paper, papers
from plogp.papers.claim import Claim, Result

__all__ = ["SCHEMA_VERSION", "Outcome", "document", "reproduce", "select"]

SCHEMA_VERSION = "1.0"


@dataclass(frozen=True)
class Outcome:
    """What happened when a claim was run: its result, or the error that it ended with."""

    paper: Paper
    claim: Claim
    seed: int
    seconds: float
    result: Result | None = None
    error: str = ""
    traceback: str = ""

    @property
    def status(self) -> str:
        """``"passed"``, ``"failed"``, ``"not reproduced"`` or ``"error"``."""
        return "error" if self.result is None else self.result.status

    @property
    def ok(self) -> bool:
        """Whether the method does what it should: passed, or a finding recorded as not reproduced."""
        return self.status in ("passed", "not reproduced")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as strict JSON can hold it (infinities and NaN as text)."""
        out: dict[str, Any] = {
            "slug": self.paper.slug,
            "paper_seed": self.paper.seed,
            "room": self.paper.room,
            "title": self.paper.title,
            "citation": self.paper.citation(),
            "link": self.paper.link,
            "claim": self.claim.name,
            "kind": self.claim.kind,
            "slow": self.claim.slow,
            "statement": self.claim.statement,
            "status": self.status,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
        }
        if self.result is not None:
            out |= {k: v for k, v in self.result.to_dict().items() if k != "status"}
        else:
            out |= {"error": self.error, "traceback": self.traceback}
        return _strict(out)


def select(
    slugs: Iterable[str] = (), room: str | None = None, everything: bool = False, slow: bool = False
) -> tuple[list[tuple[Paper, Claim]], int]:
    """Choose the claims to run, and count the slow ones that are left out.

    Parameters
    ----------
    slugs : iterable of str
        Slugs or seed numbers of working papers.
    room : str, optional
        All working papers of this room.
    everything : bool
        All working papers.
    slow : bool
        Whether claims marked slow are taken too.

    Raises
    ------
    ValueError
        For an unknown slug or room, a paper that is only planned, or nothing to run.
    """
    slugs = list(slugs)
    if bool(slugs) + (room is not None) + everything != 1:
        raise ValueError("give slugs, or a room (--room), or everything (--all): exactly one of these")
    if slugs:
        rows = list({p.slug: p for p in map(paper, slugs)}.values())
        planned = [p.slug for p in rows if p.status != "working"]
        if planned:
            raise ValueError(f"{', '.join(planned)}: planned, not working yet, so there is nothing to run")
    else:
        rows = papers(room=room, status="working")
        if not rows:
            raise ValueError(f"no paper of room {room!r} works yet")
    claims = [(row, c) for row in rows for c in row.load()]
    chosen = [(row, c) for row, c in claims if slow or not c.slow]
    if not chosen:
        raise ValueError(f"all {len(claims)} claims of {', '.join(r.slug for r in rows)} are slow: add slow=True")
    return chosen, len(claims) - len(chosen)


def reproduce(chosen: Iterable[tuple[Paper, Claim]], seed: int = 0) -> Iterator[Outcome]:
    """Run the claims one by one and yield each outcome as soon as it is known.

    An exception inside a claim is that claim's outcome ("error") and does not stop the others; an interrupt
    does, and whatever was yielded before it stays.
    """
    for row, c in chosen:
        start = time.perf_counter()
        try:
            result = c(seed=seed)
        except Exception as error:
            seconds = time.perf_counter() - start
            words = f"{type(error).__name__}: {error}"
            yield Outcome(row, c, seed, seconds, error=words, traceback=traceback.format_exc(limit=-4))
        else:
            yield Outcome(row, c, seed, time.perf_counter() - start, result)


def document(outcomes: Iterable[Outcome], skipped_slow: int = 0, interrupted: bool = False) -> dict[str, Any]:
    """Return the outcomes as one JSON document, which is also what the page of results shows."""
    outcomes = list(outcomes)
    counts = Counter(o.status for o in outcomes)
    return {
        "plogp_version": plogp.__version__,
        "schema_version": SCHEMA_VERSION,
        "counts": {k: counts.get(k, 0) for k in ("passed", "failed", "not reproduced", "error")},
        "skipped_slow": skipped_slow,
        "interrupted": interrupted,
        "papers": len({o.paper.slug for o in outcomes}),
        "claims": [o.to_dict() for o in outcomes],
    }


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
