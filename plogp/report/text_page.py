"""What the page shows of texts, made of the results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from plogp.measures.uncertainty import UNITS
from plogp.report import figures
from plogp.report.cells import cell, common_axis, dotted
from plogp.report.readings import Reading, Token
from plogp.report.text_comparison import TextComparison
from plogp.report.words import counted, number, p_value, percent, shown

__all__ = ["comparison", "readings"]

#: Surprisal in bits from which a token is drawn one shade darker.
SHADES = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 13.0, 16.0)


def readings(parts: Sequence[Reading], unit: str) -> dict[str, Any]:
    """Return the section on one or two texts."""
    names = list(dict.fromkeys(r.name for g in parts for r in g.rows))
    rows = []
    for name in names:
        found = [next((r for r in g.rows if r.name == name), None) for g in parts]
        first = next(r for r in found if r is not None)
        cells = [cell(r.value if r else None, unit) for r in found]
        whats = [r.what for r in found if r]
        section = first.section + (f", {unit}" if first.value.unit == "nats" else "")
        rows.append({"name": name, "section": section, "cells": cells, "what": " ".join(dict.fromkeys(whats))})
    return {
        "heading": "The texts" if len(parts) > 1 else "The text",
        "lead": "; ".join(
            f"{shown(g.source, 60)}: {counted(g.n_chars, 'character')}"
            + (f" in {g.documents:,} documents" if g.documents > 1 else "")
            + f", of which {g.model} read {g.read_chars:,} ({counted(g.tokens, 'token')})"
            for g in parts
        )
        + ".",
        "names": [shown(g.source, 60) for g in parts] if len(parts) > 1 else ["Value"],
        "rows": rows,
        "curve": _curve(parts),
        "spectrum": _spectrum(parts),
        "texts": [_text(g, unit, len(parts) > 1) for g in parts],
        "explained": [
            ("Bits per byte", "Mean of -log₂ p of the tokens over the bytes that they stand for; the model's own size "
             "is not counted. 8 is no knowledge at all."),
            ("Surprisal, entropy", "-log p of the token that is there; the mean of that under the model's prediction."),
            ("Rank", "Place of the token among the model's guesses; 1 is its first guess."),
            ("Interval", "In square brackets, 95 %, of the text as a sample of its kind (block bootstrap)."),
        ],
    }  # fmt: skip


def _curve(parts: Sequence[Reading]) -> Any:
    at = sorted({x for g in parts for x in g.curve[0]})
    curves = {}
    for g in parts:
        known = dict(zip(*g.curve))
        curves[shown(g.source, 60)] = [known.get(x, math.nan) for x in at]
    series = {"x": at, "curves": curves, "xlabel": "character of the text", "ylabel": "bits per byte"}
    return figures.lines(series, "Bits per byte along the text", width=640, height=200) if len(at) > 2 else ""


def _spectrum(parts: Sequence[Reading]) -> Any:
    shown_parts = [g for g in parts if len(g.frequencies)]
    if not shown_parts:
        return ""
    curves = {shown(g.source, 60): [float(v) for v in g.magnitudes] for g in shown_parts}
    x = [float(f) for f in shown_parts[0].frequencies]
    curves["white noise"] = [1.0] * len(x)
    series = {"x": x, "curves": curves, "xlabel": "cycles per token", "ylabel": "power, 1 = white noise"}
    return figures.lines(series, "Spectrum of the surprisal series", width=640, height=200)


def _text(g: Reading, unit: str, named: bool) -> dict[str, Any]:
    return {
        "name": shown(g.source, 60) if named else "",
        "reference": shown(g.reference, 600),
        "scores": [
            {
                "name": s.name,
                "value": cell(s.value, unit),
                "p": "–" if math.isnan(s.p_value) else p_value(s.p_value),
                "p_sort": "" if math.isnan(s.p_value) else f"{s.p_value:.6g}",
                "share": "–" if math.isnan(s.share) else percent(s.share),
                "share_sort": "" if math.isnan(s.share) else f"{s.share:.6g}",
                "passages": counted(s.passages, "passage"),
                "what": s.what,
            }
            for s in g.scores
        ],
        "passages": [
            {
                "where": (f"document {p.document:,}, " if g.documents > 1 else "") + f"character {p.start:,}",
                "text": shown(" ".join(p.text.split()), 300),
                "bits": number(p.bits_per_byte),
            }
            for p in g.surprising
        ],
        "map": _map(g.tokens_drawn, unit),
        "drawn": counted(len(g.tokens_drawn), "token"),
        "all_drawn": len(g.tokens_drawn) >= g.tokens,
    }


def _map(tokens: Sequence[Token], unit: str) -> Markup:
    """Draw tokens on a background that is darker the more surprising they are; hover shows the numbers."""
    scale = UNITS[unit]
    out = []
    for t in tokens:
        text = escape(_visible(t.text))
        if t.logprob is None or t.entropy is None:
            out.append(f'<span class="s0" title="{text}: not predicted">{text}</span>')
            continue
        bits = -t.logprob * UNITS["bits"]
        shade = sum(bits >= s for s in SHADES)
        said = f"log p {-abs(t.logprob) * scale:.2f} {unit}, entropy {t.entropy * scale:.2f}, rank {t.rank:,}"
        out.append(f'<span class="s{shade}" title="{escape(repr(t.text))}: {said}">{text}</span>')
    return Markup("".join(out))


def _visible(text: str) -> str:
    """Spell out control characters and direction overrides; line ends stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii") for c in text)


def comparison(c: TextComparison, unit: str) -> dict[str, Any]:
    """Return the section on how two texts differ."""
    bounds = common_axis([r.value for r in c.rows], unit)
    return {
        "lead": f"{c.n:,} tokens and {c.m:,} tokens.",
        "unit": unit,
        "rows": [
            {
                "name": r.name,
                "unit": r.value.unit if r.value.unit != "nats" else unit,
                "value": dotted(r.value, unit, bounds),
                "what": r.what,
            }
            for r in c.rows
        ],
        "shifts": [
            {
                "token": shown(s.token, 40),
                "first": percent(s.first),
                "first_sort": f"{s.first:.6g}",
                "second": percent(s.second),
                "second_sort": f"{s.second:.6g}",
                "part": number(s.contribution * UNITS[unit]),
                "part_sort": f"{s.contribution:.6g}",
            }
            for s in c.shifts
        ],
        "first": shown(c.first, 60),
        "second": shown(c.second, 60),
        "p": p_value(c.p_value),
        "test": c.test,
    }
