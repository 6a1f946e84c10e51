"""The page: what the template shows, made of the results, and the shell that all pages share."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import plogp
from plogp.report import array_page, explain, figures, text_page
from plogp.report.array_words import comparison_answer, geometry_answer
from plogp.report.cells import cell, common_axis, dotted
from plogp.report.document import SCHEMA_VERSION
from plogp.report.text_words import reading_answer, text_comparison_answer
from plogp.report.words import (
    drift_answer,
    number,
    p_value,
    percent,
    profile_answer,
    relation_answer,
    shown,
)
from plogp.tables.coding import LARGEST
from plogp.tables.results import ColumnProfile, Drift, DriftRow, Histogram, PairDependence, Profile, Relation, TargetRow

if TYPE_CHECKING:
    from plogp.report.build import Report

__all__ = ["MOST_FIGURES", "render", "render_template"]

#: Columns drawn with a figure; the others are listed as text.
MOST_FIGURES = 50
#: Pairs listed in full, and columns in the map.
MOST_PAIRS = 50
MOST_MAPPED = 32


def render_template(template: str, **values: Any) -> str:
    """Fill a template inside the shell: one file, nothing fetched, only the script and style that it carries run.

    Raises
    ------
    ImportError
        If jinja2 is missing; the message names the extra.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ImportError("plogp[tables] is needed for the page: pip install 'plogp[tables]'") from error
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("plogp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    style, script = (
        files("plogp.report").joinpath("templates", name).read_text(encoding="utf-8").strip()
        for name in ("style.css", "sort.js")
    )
    return environment.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=plogp.__version__,
        **values,
    )


def _breakable(name: str) -> Any:
    """Return an escaped name that a line may break after its underscores, dots and slashes."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([_./-])(?=\w)", r"\1<wbr>", str(escape(name))))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def render(report: Report) -> str:
    """Return the report's page."""
    headline, answer = _answer(report)
    return render_template(
        "report.html",
        title=f"plogp report: {' → '.join(shown(i.source, 60) for i in report.inputs)}",
        headline=headline,
        answer=answer,
        interrupted=report.interrupted,
        inputs=[
            {
                "role": i.role,
                "source": shown(i.source, 200),
                "size": i.size,
                "sha256": i.sha256,
            }
            for i in report.inputs
        ],
        unit=report.unit,
        drift=_drift(report.drift, report.unit) if report.drift else None,
        relation=_relation(report.relation, report) if report.relation else None,
        profile=_profile(report.profile, report) if report.profile else None,
        arrays=array_page.arrays(report.arrays, report.unit) if report.arrays else None,
        comparisons=[array_page.comparison(c, report.unit) for c in report.comparisons],
        texts=text_page.readings(report.texts, report.unit) if report.texts else None,
        text_comparisons=[text_page.comparison(c, report.unit) for c in report.text_comparisons],
        notes=[shown(n, 400) for n in report.document["notes"]],
        seed=report.seed,
        schema_version=SCHEMA_VERSION,
    )


def _answer(report: Report) -> tuple[str, list[dict[str, Any]]]:
    """Return the first sentence, and the others under a title for each part."""
    two = len(report.inputs) > 1
    parts: list[tuple[str, list[str]]] = []
    if report.drift:
        parts.append(("", drift_answer(report.drift)))
    if report.relation:
        parts.append((f"About {shown(report.relation.target, 40)}", relation_answer(report.relation, report.unit)))
    if report.profile:
        parts.append(("The reference" if two else "The table", profile_answer(report.profile, report.unit)))
    for c in report.comparisons:
        title = "What they share" if c.kind == "information" else "How they differ"
        parts.append((title if parts or len(report.comparisons) > 1 else "", comparison_answer(c, report.unit)))
    if report.arrays:
        parts.append(("The arrays" if two else "", geometry_answer(report.arrays)))
    parts += [("", text_comparison_answer(c)) for c in report.text_comparisons]
    parts += [(shown(r.source, 60) if two else "", reading_answer(r)) for r in report.texts]
    headline = parts[0][1].pop(0)
    return headline, [{"title": title, "sentences": said} for title, said in parts if said]


def _sort_p(p: float) -> str:
    return "" if math.isnan(p) else f"{p:.6g}"


# --- drift ---------------------------------------------------------------------------------------------


def _drift(drift: Drift, unit: str) -> dict[str, Any]:
    bounds = common_axis([r.effect for r in drift.rows], unit)
    rows = [_drift_row(r, unit, bounds, figure=i < MOST_FIGURES) for i, r in enumerate(drift.rows)]
    effect = explain.name_of(drift.divergence)
    shown_already = drift.divergence
    return {
        "lead": f"{drift.n_reference:,} rows before, {drift.n_current:,} after. Changed columns first, then by "
        f"{effect}. A column counts as changed when the change is both more than noise (adjusted p below 0.05) and "
        "large enough to matter. Grey numbers are not distinguishable from 0.",
        "explained": explain.drift(drift, unit),
        "effect_name": effect,
        "effect_unit": f"{unit}, 95 % interval" if drift.rows and drift.rows[0].effect.unit else "95 % interval",
        "show_psi": shown_already not in ("psi", "jeffreys"),
        "show_js": shown_already != "js",
        "show_kl": shown_already != "kl",
        "any_missing": any(r.missing_reference or r.missing_current for r in drift.rows[:MOST_FIGURES]),
        "rows": rows[:MOST_FIGURES],
        "folded": rows[MOST_FIGURES:],
    }


def _drift_row(r: DriftRow, unit: str, bounds: tuple[float, float], figure: bool) -> dict[str, Any]:
    n_reference, n_current = r.reference.total, r.current.total
    before = r.missing_reference / n_reference if n_reference else 0.0
    after = r.missing_current / n_current if n_current else 0.0
    gone = bool(r.missing_reference or r.missing_current)
    words = (
        f"Distribution of {shown(r.column, 60)}, reference filled and current as a line: {r.how or 'no change named'}"
    )
    row = {
        "name": shown(r.column, 120),
        "kind": r.kind,
        "hit": r.drifted,
        "how": shown(r.how, 300),
        "effect": dotted(r.effect, unit, bounds) if figure else cell(r.effect, unit),
        "psi": cell(r.psi, unit, keep_nats=True),
        "p": p_value(r.p_adjusted),
        "p_sort": _sort_p(r.p_adjusted),
    }
    if not figure:
        return row
    return row | {
        "figure": figures.overlay(r.reference, r.current, words),
        "js": cell(r.js, unit),
        "kl": cell(r.kl, unit),
        "wasserstein": cell(r.wasserstein, unit),
        "missing": f"missing {percent(before)} → {percent(after)}" if gone else "",
        "categories": _categories("new", r.new_categories) + _categories("vanished", r.vanished_categories),
        "typed": [t for t in (shown(r.why_kind, 200), _binned(r.reference), *(shown(n, 300) for n in r.notes)) if t],
    }


def _categories(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    some = ", ".join(shown(n, 30) for n in names[:6])
    more = f" and {len(names) - 6:,} more" if len(names) > 6 else ""
    return [f"{what}: {some}{more}"]


def _binned(h: Histogram) -> str:
    if h.edges is None:
        return f"counted as {len(h.labels):,} states"
    inner = [e for e in h.edges if abs(e) < LARGEST]
    ends = f", edges from {number(inner[0])} to {number(inner[-1])}" if len(inner) > 1 else ""
    return f"counted in {len(h.edges) - 1:,} bins{ends}"


# --- target --------------------------------------------------------------------------------------------


def _relation(relation: Relation, report: Report) -> dict[str, Any]:
    unit = report.unit
    bounds = common_axis([r.mutual_information for r in relation.rows], unit)
    rows = [_target_row(r, unit, bounds, i < MOST_FIGURES) for i, r in enumerate(relation.rows)]
    used = relation.n_rows - relation.dropped_rows
    where = f" of the reference ({shown(report.inputs[0].source, 60)})" if len(report.inputs) > 1 else ""
    kind = f"{relation.target_kind} target"
    if relation.event is not None:
        kind += f", event {shown(relation.event, 40)}"
    entropy = ""
    if relation.target_entropy is not None:
        e = relation.target_entropy
        e = e.to(unit) if e.unit == "nats" else e
        entropy = f" Its entropy is {number(e.value)} {e.unit}: no column can tell more."
    return {
        "target": shown(relation.target, 80),
        "lead": f"{used:,} rows{where} with a target"
        + (f", {relation.dropped_rows:,} without one left out" if relation.dropped_rows else "")
        + f"; {kind}.{entropy}",
        "binary": any(r.information_value is not None for r in relation.rows),
        "explained": explain.relation(relation, unit),
        "rows": rows[:MOST_FIGURES],
        "folded": rows[MOST_FIGURES:],
    }


def _target_row(r: TargetRow, unit: str, bounds: tuple[float, float], figure: bool) -> dict[str, Any]:
    row = {
        "name": shown(r.column, 120),
        "kind": r.kind,
        "hit": r.informative,
        "leak": r.leak,
        "verdict_sort": "0" if r.leak else "1" if r.informative else "2",
        "mi": dotted(r.mutual_information, unit, bounds) if figure else cell(r.mutual_information, unit),
        "p": p_value(r.p_adjusted),
        "p_sort": _sort_p(r.p_adjusted),
    }
    if not figure:
        return row
    rated = bool(r.bins) and all(b.event_rate is not None for b in r.bins)
    bins = [
        {
            "label": shown(b.label, 60),
            "n": f"{b.n:,}",
            "rate": "–" if b.event_rate is None else percent(b.event_rate),
            "woe": "–" if b.woe is None else number(b.woe) + ("" if b.woe_se is None else f" ± {number(b.woe_se)}"),
        }
        for b in r.bins
    ]
    picture = None
    if rated and len(r.bins) <= 24:
        words = f"Event rate in each state of {shown(r.column, 60)}"
        picture = figures.bars([b.event_rate or 0.0 for b in r.bins], [b.label for b in r.bins], words)
    return row | {
        "iv": cell(r.information_value, unit, keep_nats=True),
        "bins": bins,
        "rated": rated,
        "figure": picture or "",
        "notes": [shown(n, 300) for n in r.notes],
    }


# --- columns and pairs ---------------------------------------------------------------------------------


def _profile(profile: Profile, report: Report) -> dict[str, Any]:
    rows = [_column(c, report.unit, figure=i < MOST_FIGURES) for i, c in enumerate(profile.columns)]
    two = len(report.inputs) > 1
    return {
        "heading": "The columns of the reference" if two else "The columns",
        "lead": f"{profile.n_rows:,} rows, {len(profile.columns):,} columns, in the order of the table.",
        "explained": explain.profile(profile, report.unit),
        "rows": rows[:MOST_FIGURES],
        "folded": rows[MOST_FIGURES:],
        "pairs": _pairs(profile, report.unit) if profile.pairs else None,
    }


def _column(c: ColumnProfile, unit: str, figure: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": shown(c.name, 120),
        "kind": c.kind,
        "entropy": cell(c.entropy, unit),
        "missing": percent(c.missing_share) if c.missing else "–",
        "missing_sort": f"{c.missing_share:.6g}",
        "distinct": f"{c.distinct:,}",
        "distinct_sort": str(c.distinct),
    }
    if not figure:
        return row
    words = f"Distribution of {shown(c.name, 60)}"
    row["figure"] = figures.overlay(c.histogram, None, words) if c.histogram.labels else ""
    of = "" if c.entropy_of == "values" else f"of {c.entropy_of}"
    row["why"] = shown(c.why_kind, 160)
    row["notes"] = [shown(n, 300) for n in c.notes]
    row["facts"] = [f"entropy {of}"] * bool(of) + _summary(c.summary)
    return row


def _summary(summary: Mapping[str, Any]) -> list[str]:
    """Return what a column's summary says as a few short lines."""
    s = dict(summary)
    lines = []
    if s.get("min") is not None and s.get("max") is not None:
        lines.append(f"from {_value(s.pop('min'))} to {_value(s.pop('max'))}")
    if s.get("mean") is not None:
        sd = s.pop("sd", None)
        lines.append(f"mean {_value(s.pop('mean'))}" + (f", sd {_value(sd)}" if sd is not None else ""))
    if s.get("mode") is not None:
        share = s.pop("mode_share", None)
        lines.append(f"mode {_value(s.pop('mode'))}" + (f" ({percent(float(share))})" if share is not None else ""))
    for name, value in s.items():
        if name in ("quantiles", "q") and isinstance(value, Mapping):
            median = value.get("0.5", value.get(0.5, value.get("50 %")))
            if median is not None:
                lines.append(f"median {_value(median)}")
        elif isinstance(value, (int, float, str)) and not isinstance(value, bool):
            lines.append(f"{str(name).replace('_', ' ')} {_value(value)}")
    return lines[:6]


def _value(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else shown(str(value), 40)


def _pairs(profile: Profile, unit: str) -> dict[str, Any]:
    pairs = sorted(profile.pairs, key=lambda p: (not p.dependent, -p.normalized))
    dependent = [p for p in pairs if p.dependent]
    strength: dict[str, float] = {}
    for p in dependent:
        for name in (p.a, p.b):
            strength[name] = max(strength.get(name, 0.0), p.normalized)
    chosen = set(sorted(strength, key=lambda name: -strength[name])[:MOST_MAPPED])
    names = [c.name for c in profile.columns if c.name in chosen]
    cells = {
        (p.a, p.b): min(max(p.normalized, 0.0), 1.0) if p.dependent else 0.0 for p in pairs if {p.a, p.b} <= chosen
    }
    picture = None
    if len(names) > 1:
        picture = figures.heat_map(
            names, cells, f"Dependence between {len(names)} columns; the table below has the numbers"
        )
    listed = dependent[:MOST_PAIRS]
    verb = "is" if len(dependent) == 1 else "are"
    many = f"{len(dependent):,} of {len(pairs):,} pairs of columns {verb} dependent beyond noise"
    more = f"; the strongest {len(listed):,} are listed, all are in report.json" if len(dependent) > len(listed) else ""
    omitted = len(strength) - len(names)
    return {
        "lead": f"{many}{more}.",
        "explained": explain.pairs(profile, unit),
        "map": picture,
        "caption": "Darker: a larger share of the smaller entropy is shared; blank: not beyond noise."
        + (f" {omitted} columns with weaker dependence are left out." if omitted else ""),
        "rows": [_pair(p, unit) for p in listed],
    }


def _pair(p: PairDependence, unit: str) -> dict[str, Any]:
    share = min(max(p.normalized, 0.0), 1.0)
    return {
        "a": shown(p.a, 80),
        "b": shown(p.b, 80),
        "mi": cell(p.mutual_information, unit),
        "share": percent(share),
        "share_sort": f"{share:.6g}",
        "p": p_value(p.p_adjusted),
        "p_sort": _sort_p(p.p_adjusted),
    }
