"""The page of claims: what papers say and what came out, from the document of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from plogp.report import figures
from plogp.report.page import render_template
from plogp.report.words import number, shown

__all__ = ["claims_page"]

MARKS = {"passed": "✓ passed", "failed": "✗ failed", "error": "✗ error", "not reproduced": "○ not reproduced"}


def claims_page(document: Mapping[str, Any]) -> str:
    """Return the page of a run of claims.

    Parameters
    ----------
    document : mapping
        What `plogp.papers.document` returns.
    """
    counts = {name: n for name, n in document["counts"].items() if n}
    total = len(document["claims"])
    papers: dict[str, dict[str, Any]] = {}
    for claim in document["claims"]:
        paper = papers.setdefault(
            claim["slug"],
            {
                "slug": claim["slug"],
                "title": claim["title"],
                "citation": claim["citation"],
                "link": claim["link"],
                "room": claim["room"],
                "claims": [],
            },
        )
        paper["claims"].append(_claim(claim))
    return render_template(
        "claims.html",
        headline=f"{counts.get('passed', 0)} of {total} claims of {len(papers)} paper{'s' * (len(papers) != 1)} hold",
        counts=[(MARKS[name].split(" ", 1)[1], n) for name, n in counts.items()],
        skipped=document["skipped_slow"],
        interrupted=document["interrupted"],
        papers=list(papers.values()),
        schema_version=document["schema_version"],
        seeds=sorted({c["seed"] for c in document["claims"]}),
    )


def _claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    picture: Markup | str = ""
    if claim.get("series"):
        picture = figures.lines(claim["series"], f"{shown(claim['claim'], 80)}: {shown(claim['statement'], 200)}")
    facts = [("criterion", claim["criterion"])] if "criterion" in claim else []
    for name in ("measured", "expected", "baseline"):
        if claim.get(name) is not None:
            unit = f" {claim['unit']}" if claim.get("unit") and not isinstance(claim[name], (dict, list)) else ""
            facts.append((name, value_text(claim[name]) + unit))
    if claim.get("note"):
        facts.append(("note", claim["note"]))
    if claim.get("error"):
        facts.append(("error", claim["error"]))
    return {
        "name": claim["claim"].replace("_", " "),
        "statement": claim["statement"],
        "kind": claim["kind"],
        "status": claim["status"],
        "mark": MARKS[claim["status"]],
        "bad": claim["status"] in ("failed", "error"),
        "seconds": f"{claim['seconds']:.1f} s",
        "facts": facts,
        "details": [(str(k), value_text(v)) for k, v in (claim.get("details") or {}).items()],
        "traceback": claim.get("traceback", ""),
        "figure": picture,
    }


def value_text(value: Any) -> str:
    """Return a measured value as text: numbers short, lists and mappings spelt out.

    >>> value_text({"a": 0.123456, "b": [1, 2.5]})
    'a: 0.123456; b: 1, 2.5'
    """
    if isinstance(value, dict):
        return "; ".join(f"{k}: {value_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        some = ", ".join(f"({value_text(v)})" if isinstance(v, list) else value_text(v) for v in value[:40])
        return some + (f" and {len(value) - 40} more" if len(value) > 40 else "")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return shown(str(value), 400)
    return str(value) if isinstance(value, int) else number(value, 6)
