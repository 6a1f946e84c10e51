"""The report as one JSON document: the same numbers as the page, with a versioned schema.

The schema is ``report.schema.json`` beside this file. Estimated numbers are ``{value, low, high, unit}``; a value
that is not finite is the text "inf", "-inf" or "nan", so the document is strict JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import plogp
from plogp.measures.uncertainty import Estimate
from plogp.report.array_words import comparison_answer, geometry_answer
from plogp.report.comparisons import Comparison
from plogp.report.readings import Reading
from plogp.report.representations import Geometry
from plogp.report.text_comparison import TextComparison
from plogp.report.text_words import reading_answer, text_comparison_answer
from plogp.report.words import drift_answer, profile_answer, relation_answer
from plogp.tables.results import ColumnProfile, Drift, DriftRow, PairDependence, Profile, Relation, TargetRow

__all__ = ["SCHEMA_VERSION", "Input", "document", "estimate", "fingerprint", "schema", "to_text"]

SCHEMA_VERSION = "1.2"

#: Leading eigenvalues that the document holds.
MOST_EIGENVALUES = 1024


@dataclass(frozen=True)
class Input:
    """What was read: its role, what it is called, its size, and the SHA-256 of its bytes if it is a file.

    A text has one row a document, and characters in place of columns.
    """

    role: str
    source: str
    rows: int
    columns: int | None
    sha256: str | None = None
    size_bytes: int | None = None
    characters: int | None = None

    @property
    def size(self) -> str:
        """The size in words."""
        if self.characters is None:
            return f"{self.rows:,} rows × {self.columns:,} columns"
        documents = f" in {self.rows:,} documents" if self.rows > 1 else ""
        return f"{self.characters:,} characters{documents}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return {
            "role": self.role,
            "source": self.source,
            "rows": self.rows,
            "columns": self.columns,
            "sha256": self.sha256,
            "bytes": self.size_bytes,
            "characters": self.characters,
        }


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the document.

    >>> schema()["properties"]["schema_version"]
    {'const': '1.2'}
    """
    text = files("plogp.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    out: dict[str, Any] = json.loads(text)
    return out


def estimate(e: Estimate | None, unit: str = "nats") -> dict[str, Any] | None:
    """Return an estimate as ``{value, low, high, unit}`` with its 95 % interval, nats converted to `unit`.

    >>> estimate(Estimate(0.5, se=None, n=3, method="x"))
    {'value': 0.5, 'low': None, 'high': None, 'unit': 'nats'}
    """
    if e is None:
        return None
    if e.unit == "nats":
        e = e.to(unit)
    low, high = e.interval(0.95) if e.has_interval else (None, None)
    return {"value": strict(float(e.value)), "low": strict(low), "high": strict(high), "unit": e.unit}


def to_text(document: Mapping[str, Any]) -> str:
    """Return a document as strict JSON, one row a line: it can be read, searched and compared line by line.

    >>> print(to_text({"a": 1, "rows": [{"x": 1}, {"x": 2}], "none": []}), end="")
    {
    "a": 1,
    "rows": [
     {"x": 1},
     {"x": 2}
    ],
    "none": []
    }
    """

    def flat(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    entries = []
    for key, value in document.items():
        text = "[\n " + ",\n ".join(map(flat, value)) + "\n]" if isinstance(value, list) and value else flat(value)
        entries.append(f"{flat(key)}: {text}")
    return "{\n" + ",\n".join(entries) + "\n}\n"


def strict(value: Any) -> Any:
    """Return `value` made of what strict JSON can hold."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(v) for v in value]
    if hasattr(value, "item"):
        return strict(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    # Dates and whatever else a table may hold have a text form that a reader knows.
    return str(value)


def _column(c: ColumnProfile, unit: str) -> dict[str, Any]:
    return {
        "name": c.name,
        "kind": c.kind,
        "n": c.n,
        "missing": c.missing,
        "distinct": c.distinct,
        "entropy": estimate(c.entropy, unit),
        "entropy_of": c.entropy_of,
        "entropy_method": c.entropy.method,
        "why_kind": c.why_kind,
        "summary": strict(dict(c.summary)),
        "histogram": strict(c.histogram.to_dict()),
        "notes": list(c.notes),
    }


def _pair(p: PairDependence, unit: str) -> dict[str, Any]:
    return {
        "a": p.a,
        "b": p.b,
        "mutual_information": estimate(p.mutual_information, unit),
        "normalized": strict(float(p.normalized)),
        "p_value": strict(float(p.p_value)),
        "p_adjusted": strict(float(p.p_adjusted)),
        "dependent": p.dependent,
        "method": p.method,
    }


def _target(r: TargetRow, unit: str) -> dict[str, Any]:
    return {
        "column": r.column,
        "kind": r.kind,
        "mutual_information": estimate(r.mutual_information, unit),
        "information_value": estimate(r.information_value),
        "p_value": strict(float(r.p_value)),
        "p_adjusted": strict(float(r.p_adjusted)),
        "informative": r.informative,
        "leak": r.leak,
        "method": r.mutual_information.method,
        "bins": [
            {
                "label": b.label,
                "n": b.n,
                "share": strict(float(b.share)),
                "event_rate": strict(b.event_rate),
                "woe": strict(b.woe),
                "woe_se": strict(b.woe_se),
            }
            for b in r.bins
        ],
        "notes": list(r.notes),
    }


def _drift(r: DriftRow, unit: str) -> dict[str, Any]:
    return {
        "column": r.column,
        "kind": r.kind,
        "psi": estimate(r.psi),
        "js": estimate(r.js, unit),
        "kl": estimate(r.kl, unit),
        "wasserstein": estimate(r.wasserstein, unit),
        "effect": estimate(r.effect, unit),
        "p_value": strict(float(r.p_value)),
        "p_adjusted": strict(float(r.p_adjusted)),
        "drifted": r.drifted,
        "how": r.how,
        "why_kind": r.why_kind,
        "new_categories": list(r.new_categories),
        "vanished_categories": list(r.vanished_categories),
        "missing_reference": r.missing_reference,
        "missing_current": r.missing_current,
        "reference": strict(r.reference.to_dict()),
        "current": strict(r.current.to_dict()),
        "notes": list(r.notes),
    }


def _geometry(g: Geometry, unit: str) -> dict[str, Any]:
    return {
        "source": g.source,
        "rows": g.n,
        "columns": g.d,
        "dtype": g.dtype,
        "used": g.used,
        "dropped": g.dropped,
        "duplicates": g.duplicates,
        "constant": g.constant,
        "components": dict(g.components),
        "spectrum": [strict(float(v)) for v in g.spectrum[:MOST_EIGENVALUES]],
        "measures": [{"name": r.name, "section": r.section, **_found(r.value, unit), "what": r.what} for r in g.rows],
    }


def _found(e: Estimate, unit: str) -> dict[str, Any]:
    return {"estimate": estimate(e, unit), "method": e.method}


def _comparison(c: Comparison, unit: str) -> dict[str, Any]:
    return {
        "kind": c.kind,
        "first": c.first,
        "second": c.second,
        "found": c.found,
        "p_value": strict(float(c.p_value)),
        "test": c.test,
        "entropy": estimate(c.entropy, unit),
        "estimates": [{"name": r.name, **_found(r.value, unit), "what": r.what} for r in c.rows],
    }


def _reading(r: Reading, unit: str) -> dict[str, Any]:
    return {
        "source": r.source,
        "model": r.model,
        "documents": r.documents,
        "characters": r.n_chars,
        "bytes": r.n_bytes,
        "characters_read": r.read_chars,
        "tokens": r.tokens,
        "measures": [{"name": m.name, "section": m.section, **_found(m.value, unit), "what": m.what} for m in r.rows],
        "reference": r.reference,
        "scores": [
            {
                "name": s.name,
                "estimate": estimate(s.value, unit),
                "p_value": strict(float(s.p_value)),
                "share_beyond": strict(float(s.share)),
                "passages": s.passages,
                "passage_tokens": s.length,
                "what": s.what,
            }
            for s in r.scores
        ],
        "surprising": [
            {"document": p.document, "start": p.start, "text": p.text, "bits_per_byte": strict(p.bits_per_byte)}
            for p in r.surprising
        ],
        "curve": {"character": strict(r.curve[0]), "bits_per_byte": strict(r.curve[1])},
        "spectrum": {
            "frequency": [strict(float(f)) for f in r.frequencies],
            "power": [strict(float(v)) for v in r.magnitudes],
        },
        "tokens_drawn": [
            {"text": t.text, "logprob": strict(t.logprob), "entropy": strict(t.entropy), "rank": t.rank}
            for t in r.tokens_drawn
        ],
    }


def _text_comparison(c: TextComparison, unit: str) -> dict[str, Any]:
    return {
        "first": c.first,
        "second": c.second,
        "found": c.found,
        "p_value": strict(float(c.p_value)),
        "test": c.test,
        "estimates": [{"name": r.name, **_found(r.value, unit), "what": r.what} for r in c.rows],
        "tokens": [
            {
                "token": s.token,
                "first": strict(s.first),
                "second": strict(s.second),
                "contribution_nats": strict(s.contribution),
            }
            for s in c.shifts
        ],
    }


def document(
    inputs: list[Input],
    drift: Drift | None = None,
    relation: Relation | None = None,
    profile: Profile | None = None,
    arrays: Sequence[Geometry] = (),
    comparisons: Sequence[Comparison] = (),
    texts: Sequence[Reading] = (),
    text_comparisons: Sequence[TextComparison] = (),
    *,
    unit: str,
    seed: int,
    interrupted: bool,
) -> dict[str, Any]:
    """Return the report as a dictionary that `json.dumps(..., allow_nan=False)` accepts.

    Numbers in nats are converted to `unit`; PSI and information value stay in nats, as their users know them.
    """
    answer = (
        (drift_answer(drift) if drift else [])
        + (relation_answer(relation, unit) if relation else [])
        + (profile_answer(profile, unit) if profile else [])
        + [sentence for c in comparisons for sentence in comparison_answer(c, unit)]
        + (geometry_answer(arrays) if arrays else [])
        + [sentence for c in text_comparisons for sentence in text_comparison_answer(c)]
        + [sentence for r in texts for sentence in reading_answer(r)]
    )
    parts = (drift, relation, profile, *comparisons, *arrays, *text_comparisons, *texts)
    notes = [n for part in parts if part is not None for n in part.notes]
    return {
        "plogp_version": plogp.__version__,
        "schema_version": SCHEMA_VERSION,
        "answer": answer,
        "input": {
            "tables": [i.to_dict() for i in inputs],
            "target": relation.target if relation else None,
            "target_kind": relation.target_kind if relation else None,
            "target_entropy": estimate(relation.target_entropy, unit) if relation else None,
            "event": relation.event if relation else None,
            "dropped_rows": relation.dropped_rows if relation else 0,
            "divergence": drift.divergence if drift else None,
            "only_in_reference": list(drift.only_in_reference) if drift else [],
            "only_in_current": list(drift.only_in_current) if drift else [],
        },
        "columns": [_column(c, unit) for c in profile.columns] if profile else [],
        "pairs": [_pair(p, unit) for p in profile.pairs] if profile else [],
        "target": [_target(r, unit) for r in relation.rows] if relation else [],
        "drift": [_drift(r, unit) for r in drift.rows] if drift else [],
        "arrays": [_geometry(g, unit) for g in arrays],
        "comparisons": [_comparison(c, unit) for c in comparisons],
        "texts": [_reading(r, unit) for r in texts],
        "text_comparisons": [_text_comparison(c, unit) for c in text_comparisons],
        "notes": list(dict.fromkeys(notes)),
        "seed": seed,
        "interrupted": interrupted,
    }
